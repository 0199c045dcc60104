/*
 * resolve.h - what is true in the DNS: validating look-ups.
 *
 * A pst_resolver asks the resolver it was given, or, without one, the root and downwards itself.
 * With a trust anchor it validates DNSSEC; then a forged or broken answer is the status BOGUS.
 * Answers are kept for at most 60 s, negative ones for 5 s; by a `fresh` one not at all.
 *
 * Threads:  one pst_resolver may be used by many threads at once; it has two of its own.
 * Blocking: each look-up blocks until its answer or for the deadline of the options, per question
 *           (pst_resolve_addresses() asks its two side by side).
 * Memory:   results belong to the caller; free them with the function named beside them.
 * Failure:  what the DNS says, failures of servers and time-outs included, is a *status* in the
 *           result, with `why` for people.  Negative codes are for us: memory, the system.
 */
#ifndef POSTERN_RESOLVE_H
#define POSTERN_RESOLVE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <postern/dnsmsg.h>

struct pst_err;
struct pst_resolver;

struct pst_resolver_opts {
    const char *resolver;     /* "ip:port" or "ip"; NULL or "": full recursion from the root */
    const char *trust_anchor; /* file with DS or DNSKEY records; NULL or "": no validation */
    uint32_t deadline_ms;     /* per question; 0 means 10000 */
    bool fresh;               /* each look-up asks the zone's own servers (or `resolver`) anew */
    uint32_t sockets;         /* questions under way at once; 0 means 4096, fewer if the limit of
                                 open files asks for it */
};

/* PST_OK; PST_ECONFIG (resolver or trust anchor unusable); PST_ENOMEM; PST_ESYS. */
int pst_resolver_new(struct pst_resolver **ret, const struct pst_resolver_opts *opts,
                     struct pst_err *err);

/* No look-up may be under way. */
void pst_resolver_free(struct pst_resolver *r);
static inline void pst_resolver_freep(struct pst_resolver **r)
{
    if (*r)
        pst_resolver_free(*r);
}

/* How a look-up ended. */
struct pst_resolve_end {
    enum pst_dns_status status;
    bool secure;   /* DNSSEC says so */
    char why[200]; /* for people; "" with OK, NODATA and NXDOMAIN */
};

struct pst_resolve_addresses {
    struct pst_resolve_end a, aaaa; /* each of the two questions */
    enum pst_dns_status status; /* together: OK when either has addresses and neither failed; the
                                   worse failure when one failed; else NXDOMAIN or NODATA */
    size_t ip_n;
    struct pst_dns_ip *ips; /* sorted: version 4 before 6, each address once */
    size_t chain_n;
    char **chain; /* CNAME targets in order, of the A question, or of AAAA when that has none */
};
/* PST_OK; PST_REFUSED (not a name to ask for); negative. */
int pst_resolve_addresses(struct pst_resolver *r, const char *name,
                          struct pst_resolve_addresses **ret, struct pst_err *err);
void pst_resolve_addresses_free(struct pst_resolve_addresses *a);
static inline void pst_resolve_addresses_freep(struct pst_resolve_addresses **a)
{
    if (*a)
        pst_resolve_addresses_free(*a);
}

struct pst_caa_rr {
    uint8_t flags;
    char *tag;   /* as in the record, its case kept; "" when the record is malformed */
    char *value; /* NUL-terminated; bytes neither printable nor a tab as \DDD */
};

/* The records of one name and type (CAA, TXT or NS). */
struct pst_resolve_records {
    struct pst_resolve_end end;
    size_t chain_n; /* CNAMEs that led to them; 0: they stand at the name itself */
    size_t n;
    struct pst_caa_rr *caa; /* n of them; pst_resolve_caa() only */
    char **texts;           /* n of them: TXT values, strings joined; or names of servers */
};
void pst_resolve_records_free(struct pst_resolve_records *r);
static inline void pst_resolve_records_freep(struct pst_resolve_records **r)
{
    if (*r)
        pst_resolve_records_free(*r);
}

/* The records at exactly `name` (after its CNAMEs).  Answers as pst_resolve_addresses(). */
int pst_resolve_caa(struct pst_resolver *r, const char *name, struct pst_resolve_records **ret,
                    struct pst_err *err);
int pst_resolve_txt(struct pst_resolver *r, const char *name, struct pst_resolve_records **ret,
                    struct pst_err *err);
int pst_resolve_ns(struct pst_resolver *r, const char *name, struct pst_resolve_records **ret,
                   struct pst_err *err);

enum { PST_RESOLVE_TXT_MAX = 8 };
/* The TXT records of `n` names (at most PST_RESOLVE_TXT_MAX), asked for side by side.  With PST_OK
 * all ret[i] are the caller's to free, else none. */
int pst_resolve_txt_all(struct pst_resolver *r, const char *const *names, size_t n,
                        struct pst_resolve_records **ret, struct pst_err *err);

/* The zone that holds a name, and its servers. */
struct pst_resolve_zone {
    struct pst_resolve_end end; /* OK: found, with at least one address */
    char *zone;                 /* the zone's name; "" when not found */
    size_t ip_n;
    struct pst_dns_ip *ips; /* of its servers, sorted, each once, at most 32 */
};
/* Walks up from `name` to the first name with NS records, then asks for the servers' addresses.
 * Answers as pst_resolve_addresses(). */
int pst_resolve_zone(struct pst_resolver *r, const char *name, struct pst_resolve_zone **ret,
                     struct pst_err *err);
void pst_resolve_zone_free(struct pst_resolve_zone *z);
static inline void pst_resolve_zone_freep(struct pst_resolve_zone **z)
{
    if (*z)
        pst_resolve_zone_free(*z);
}

#endif
