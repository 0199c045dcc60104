/*
 * dns.h - TXT records at the DNS providers of tenants, for the ACME challenge dns-01.
 *
 * Model:    a `struct pst_dns_provider` is one set of credentials at one provider, made from the
 *           environment variables of an app.  It adds one value to the TXT records of a name, or
 *           takes one away; other values of the name are never touched, also when somebody else
 *           changes them at the same time.  Both are idempotent: after a crash or a lost answer
 *           the same call is simply made again.  Nothing is remembered between calls but tokens.
 * Threads:  a provider belongs to one thread at a time; the environment may be shared by all, and
 *           its locks put the work on one zone in order.
 * Blocking: each call makes a handful of HTTP requests, each bounded by its client's timeout, and
 *           waits some milliseconds between the tries of a contended change.  It never waits for
 *           a throttling provider or for propagation: it tells when to come again.
 * Memory:   strings are copied; the environment must outlive the provider.
 * Failure:  faults carry retry advice.  PST_RETRY_BACKOFF and PST_RETRY_AT (Retry-After and its
 *           relatives): transient.  PST_RETRY_NEVER: permanent; when a variable is to blame,
 *           pst_dns_blame() names it.  Credentials never appear in a text or in the log, not even
 *           when a provider sends them back in its message.
 */
#ifndef POSTERN_DNS_H
#define POSTERN_DNS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <postern/text.h>

struct pst_clock;
struct pst_err;
struct pst_gate;
struct pst_http;
struct pst_rand;
struct pst_resolver;
struct pst_dns_locks;
struct pst_dns_provider;

/* ---- what all providers of a process share ---- */

/* One lock per zone, more or less: two threads never change the same record set at once. */
int pst_dns_locks_new(struct pst_dns_locks **ret, struct pst_err *err);
void pst_dns_locks_free(struct pst_dns_locks *l); /* NULL is fine */

struct pst_dns_env {
    struct pst_http *http;         /* to the providers' own hosts */
    struct pst_http *gated;        /* to hosts that a tenant names: a client with `gate` */
    const struct pst_gate *gate;   /* judges name servers that a tenant names */
    struct pst_resolver *resolver; /* NULL: no name is looked up (name servers must be addresses) */
    struct pst_dns_locks *locks;   /* NULL: the caller keeps order */
    const struct pst_clock *clock; /* NULL: the system's */
    struct pst_rand *rand;         /* NULL: the system's */
    void (*pause)(void *arg, uint32_t ms); /* NULL: sleep */
    void *pause_arg;
};

/* ---- a provider ---- */

enum { PST_DNS_VARIABLES_MAX = 8, PST_DNS_PROVIDER_SIZE = 64 };

/* Which variables are missing or wrong; this is what `acme_dns_error` shows. */
struct pst_dns_blame {
    char provider[PST_DNS_PROVIDER_SIZE]; /* what DNS_PROVIDER says, cut; "" when nothing is */
    size_t n;                             /* 0 with an unknown provider */
    const char *variables[PST_DNS_VARIABLES_MAX]; /* names that live for ever */
};

struct pst_dns_settings {
    const char *provider; /* DNS_PROVIDER */
    /* The value of an environment variable of the app, or NULL. */
    const char *(*get)(void *arg, const char *name);
    void *arg;
    const char *base_url;  /* the operator's: instead of the provider's API, "https://...", or
                              "http://..." on loopback; NULL or "": the provider's */
    const char *token_url; /* the same for the token endpoint of azure and gcloud */
};

/*
 * Make a provider.  Reads variables, sends nothing.
 *
 * PST_OK       free with pst_dns_provider_free()
 * PST_REFUSED  the provider is not known, or variables are missing or malformed: *ret_blame (may be
 *              NULL) and err.text say which
 * PST_ECONFIG  base_url or token_url is not acceptable
 * PST_ENOMEM
 */
int pst_dns_provider_new(struct pst_dns_provider **ret, const struct pst_dns_env *env,
                         const struct pst_dns_settings *settings, struct pst_dns_blame *ret_blame,
                         struct pst_err *err);
void pst_dns_provider_free(struct pst_dns_provider *p); /* NULL is fine */

/* "cloudflare"; the name of the i-th provider, NULL behind the last. */
const char *pst_dns_provider_name(const struct pst_dns_provider *p);
/* Can values be taken away there?  acme-dns only overwrites them. */
bool pst_dns_provider_removes(const struct pst_dns_provider *p);
const char *pst_dns_provider_at(size_t i);
/* The i-th variable that the provider of this name reads; NULL behind the last. */
const char *pst_dns_provider_variable(const char *provider, size_t i);

/* Who is to blame for the fault of the last call on this provider; n is 0 when no variable is. */
const struct pst_dns_blame *pst_dns_blame(const struct pst_dns_provider *p);

/* The zone that the last call worked on: its name, or its id when that is all we know; "" when it
 * did not get so far. */
const char *pst_dns_zone(const struct pst_dns_provider *p);

/* ---- records ---- */

struct pst_dns_record {
    const char *fqdn;  /* where the record goes, after its CNAMEs; lower-case A-labels, no dot at
                          the end */
    const char *value; /* 1 to 255 printable ASCII characters without quote and backslash */
    bool delegated;    /* a CNAME led here: fqdn itself may be a zone */
    bool again;        /* an earlier try of this value may have had an effect (acme-dns) */
};

/* A change that a provider has taken but not yet confirmed; a text to keep, "" when there is
 * nothing to wait for. */
struct pst_dns_change {
    char text[256];
};

/* The credentials, the zone, and the right to read the records.  Writes nothing.  PST_OK, or a
 * fault.  r->value is not looked at. */
int pst_dns_check(struct pst_dns_provider *p, const struct pst_dns_record *r, struct pst_err *err);

/*
 * The value stands among the TXT records of the name; PST_DONE when it already did.  *ret is what
 * pst_dns_confirm() wants.  Other answers are faults.
 */
int pst_dns_txt_add(struct pst_dns_provider *p, const struct pst_dns_record *r,
                    struct pst_dns_change *ret, struct pst_err *err);

/* The value does not stand there any more; PST_DONE when it did not. */
int pst_dns_txt_remove(struct pst_dns_provider *p, const struct pst_dns_record *r,
                       struct pst_dns_change *ret, struct pst_err *err);

/* Has the provider carried the change out?  PST_OK (also for ""), PST_NOTYET: ask again in some
 * seconds, or a fault. */
int pst_dns_confirm(struct pst_dns_provider *p, const struct pst_dns_change *change,
                    struct pst_err *err);

/* Is it worth trying again? */
bool pst_dns_transient(const struct pst_err *err);

/* ---- what the DNS says ---- */

/*
 * Follow the CNAMEs of a challenge's name.  ret_target is the name at their end, `fqdn` itself when
 * there are none.
 *
 * PST_OK; PST_NOTYET: the look-up was not answered (err says why) and ret_target is `fqdn`.
 */
int pst_dns_follow_cname(struct pst_resolver *r, const char *fqdn, char ret_target[PST_NAME_SIZE],
                         struct pst_err *err);

struct pst_dns_seen {
    size_t servers_n; /* authoritative servers asked */
    size_t have_n;    /* of them, those that have the value (`absent`: that do not) */
    size_t silent_n;  /* of the others, those that said nothing about it */
    char missing[64]; /* the address of one that has not, and why: "192.0.2.1: NXDOMAIN" */
};

/*
 * Ask every authoritative server of the name for the value.  `target` as of pst_dns_follow_cname().
 *
 * PST_OK      all have it (`absent`: none has it)
 * PST_NOTYET  *ret says how far it is; servers_n is 0 when the zone's servers were not found
 * negative    the system, memory
 */
struct pst_dns_look {
    const char *target;
    const char *value;
    bool absent;
    const char *resolver; /* ask only this one ("192.0.2.53:53", the setting dns.resolver); NULL or
                             "": the zone's own servers */
};
int pst_dns_look(struct pst_resolver *r, const struct pst_dns_look *look, struct pst_dns_seen *ret,
                 struct pst_err *err);

#endif
