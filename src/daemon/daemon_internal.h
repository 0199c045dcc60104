/* daemon_internal.h - the parts of posternd, in the order in which they start. */
#ifndef PST_DAEMON_INTERNAL_H
#define PST_DAEMON_INTERNAL_H

#include <pthread.h>
#include <stdatomic.h>

#include <postern/acme.h>
#include <postern/base.h>
#include <postern/conf.h>
#include <postern/crypto.h>
#include <postern/dns.h>
#include <postern/json.h>
#include <postern/store.h>
#include <postern/watch.h>

#define LOG "daemon"

enum { EDGE_ADDRESSES_MAX = 64, PROBE_KEY_LEN = 32 };

/* What the whole process shares.  Made by main(), gone at its end. */
struct daemon {
    struct pst_conf *conf;
    struct pst_conf_cli cli;
    struct pst_keyring *keys;
    struct pst_store *store;
    char node[160];

    const char *addresses[EDGE_ADDRESSES_MAX];
    struct pst_watch_edge edge;
    unsigned char probe_key[PROBE_KEY_LEN];
    struct pst_gate *gate;
    struct pst_resolver *resolver;
    struct pst_resolver *proofs; /* keeps nothing: what proves a name must be there now */
    struct pst_http *http;
    struct pst_http *aia;         /* behind the gate; NULL: uploads.aia is off */
    struct pst_dns_env providers; /* of tenants' DNS */
    struct pst_acme_ca *ca;
    struct pst_order_env *orders;
    struct pst_watch *watch;
    struct pst_webhooks *webhooks;
    pthread_mutex_t parts; /* guards the next three: commits come from any thread */
    struct pst_api *api;
    struct pst_sched *sched;
    struct pst_dnsd *dnsd; /* NULL: dnsd.listen is empty */
    struct dns_glue *dns;
    atomic_bool stopping;
};

/* ---- command.c: posternd init and its sisters ---- */

/* Each gets the arguments after its own name; returns the exit status of the program. */
int pst_command_init(struct daemon *d, int argc, char **argv);
int pst_command_account(struct daemon *d, int argc, char **argv);
int pst_command_root(struct daemon *d, int argc, char **argv);
int pst_command_dns(struct daemon *d, int argc, char **argv); /* dns_command.c */

enum { EXIT_USAGE = 2 };

/* ---- setup.c ---- */

/* By the settings log.level and log.format. */
int pst_daemon_set_logging(struct daemon *d, struct pst_err *err);
/* Master key and database; `create` for init. */
int pst_daemon_open_store(struct daemon *d, bool create, struct pst_err *err);
void pst_daemon_close_store(struct daemon *d);

/* ---- account.c: the row of the ACME account ---- */

struct account_request {
    const char *contact;
    bool agree_terms;
};
/* Make or update the account of acme.directory; its key is made with it.  Nothing is sent. */
int pst_daemon_account(struct daemon *d, const struct account_request *req, struct pst_err *err);

/* ---- platform.c: the default certificate ---- */

/* Do the settings of the platform's names fit each other?  PST_ECONFIG with setting and mend. */
int pst_daemon_platform_check(const struct pst_conf *conf, struct pst_err *err);

/* The platform's names and its default ladder: the operator's files when they are given and good,
 * else a leaf of the local CA.  A job: picks up changed files, renews the local leaf, warns. */
int pst_daemon_platform(void *daemon, struct pst_err *err);
/* The local CA's root as PEM.  PST_NOTFOUND: there is none. */
int pst_daemon_local_root(struct daemon *d, struct pst_buf *ret_pem, struct pst_err *err);

/* ---- platform_domain.c: the platform's own wildcard by ACME ---- */

/* With platform.acme: the domain `wildcard` is there, with the variables of platform.dns_env_file,
 * and orders take it from there; else it is not.  A part of pst_daemon_platform(). */
int pst_daemon_platform_domain(struct daemon *d, const char *wildcard, struct pst_err *err);

/* ---- history.c ---- */

/* A job: seals new events and lets webhooks know. */
int pst_daemon_seal(void *daemon, struct pst_err *err);
int pst_daemon_webhooks_start(struct daemon *d, struct pst_err *err);
int pst_command_events(struct daemon *d, int argc, char **argv);

/* ---- delegation.c: the zone of delegated challenges ---- */

/* Do the settings of dnsd fit each other?  PST_ECONFIG with setting and mend. */
int pst_daemon_delegation_check(const struct pst_conf *conf, struct pst_err *err);
/* Nothing to do where dnsd.listen is empty. */
int pst_daemon_delegation_start(struct daemon *d, struct pst_err *err);
/* A commit of this process changed the answers; from any thread. */
void pst_daemon_delegation_changed(void *daemon);
void pst_daemon_delegation_stop(struct daemon *d);

/* ---- uploads.c ---- */

/* A job: warns of the end of uploaded certificates 30 and 7 days before, and when it has come. */
int pst_daemon_uploads(void *daemon, struct pst_err *err);

/* ---- dns.c: the watch, its verdicts and the database ---- */

/* Resolver, gate, probe key: what orders need too.  The watch itself starts after them. */
int pst_daemon_dns_prepare(struct daemon *d, struct pst_err *err);
int pst_daemon_dns_start(struct daemon *d, struct pst_err *err);
void pst_daemon_dns_end(struct daemon *d);
/* A job: watch all names anew after verdicts could not be stored. */
int pst_daemon_dns_rewatch(void *daemon, struct pst_err *err);
/* Start or stop watching a domain by what the database says of it. */
void pst_daemon_dns_follow(void *daemon, const char *domain_id, const char *ascii);
void pst_daemon_dns_forget(void *daemon, const char *domain_id);
/* The hook of the API: what is known of the CA.  arg: the daemon. */
int pst_daemon_ca_tell(void *arg, const char *directory, bool ask, struct pst_json *to,
                       struct pst_err *err);

/* ---- providers.c: the DNS providers of tenants ---- */

/* What they share: clients, gate, locks. */
int pst_daemon_providers_start(struct daemon *d, struct pst_err *err);
void pst_daemon_providers_end(struct daemon *d);
/* The operator's URLs instead of a provider's; NULL: none. */
const char *pst_daemon_dns_base_url(void *daemon, const char *provider);
const char *pst_daemon_dns_token_url(void *daemon, const char *provider);

/* ---- run.c ---- */

/* Something may be due. */
void pst_daemon_poke(struct daemon *d);

/* Start all parts, say so to the service manager, wait for the signal to end.  Exit status. */
int pst_daemon_run(struct daemon *d);

#endif
