/*
 * store.h - the typed records of Postern over the database, and nothing but them: no policy.
 *
 * The database is the source of truth.  Every function here works inside a transaction:
 *
 *   - pst_store_write(fn): `fn` runs in a read-write transaction and may run again (serialisation
 *     failure, busy database), so it has no effects outside the transaction.  PST_OK from `fn`
 *     commits; every other answer or fault rolls all back and is returned.  What `fn` changed for
 *     the edges (names, apps, certificates, ...) gets one new feed revision as the last statement
 *     before COMMIT, so that revisions become visible in their order.
 *   - pst_store_read(fn): a read-only snapshot.
 *
 * In a write transaction pst_app_find(), pst_domain_get(), _find() and _by_ascii(),
 * pst_account_by_directory() and pst_bucket_peek() also lock their row, so that a record can be
 * read, changed and written back without losing what another node wrote meanwhile.
 *
 * Threads:  a struct pst_store may be used by many; a struct pst_tx only inside its callback.
 * Blocking: all functions wait for the database.
 * Memory:   records are plain structs with fixed fields; members that are pointers belong to the
 *           record and go with its deinit function.  Iterators hand a record that is only valid
 *           during the call; a non-zero return of the callback ends the walk and is returned.
 * Failure:  negative is PST_EDB (err.retry says whether trying again can help), PST_ENOMEM or
 *           PST_EINTERNAL; positive answers stand at each function.
 * Units:    *_at_ms is Unix milliseconds, 0 meaning never or none; not_before and not_after are
 *           Unix seconds.
 */
#ifndef POSTERN_STORE_H
#define POSTERN_STORE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <postern/buf.h>
#include <postern/rand.h>
#include <postern/secret.h>
#include <postern/text.h>

struct pst_chain;
struct pst_clock;
struct pst_err;
struct pst_keyring;
struct pst_secret;
struct pst_store;
struct pst_tx;

enum { PST_HOST_SIZE = 256, PST_WORD_SIZE = 64 };

/* ---- opening ---- */

struct pst_store_opts {
    const char *url;          /* sqlite:/path or postgresql://... */
    const char *node;         /* this process: "<node name>/<boot id>"; owner of leases */
    bool create;              /* make the database (posternd init); otherwise it must exist */
    struct pst_keyring *keys; /* opened; the wrapped data keys of the database are added to it */
    const struct pst_clock *clock;
    struct pst_rand *rand;
};

/* Runs the migrations.  PST_ECONFIG: no such database, one that is newer than this program, one
 * that another posternd holds, or not one of ours; nothing is made or changed then.  Only with
 * `create`: PST_CONFLICT when there is a database already. */
int pst_store_open(struct pst_store **ret, const struct pst_store_opts *opts, struct pst_err *err);
void pst_store_close(struct pst_store *s);

/* For programs that read or copy without a keyring and for tests. */
const struct pst_clock *pst_store_clock(const struct pst_store *s);
struct pst_rand *pst_store_rand(struct pst_store *s);
struct pst_keyring *pst_store_keys(struct pst_store *s);

/* ---- transactions ---- */

typedef int pst_tx_fn(struct pst_tx *tx, void *arg, struct pst_err *err);

/* *ret_rev (may be NULL): the feed revision made, or 0 when nothing changed for the edges. */
int pst_store_write(struct pst_store *s, pst_tx_fn *fn, void *arg, int64_t *ret_rev,
                    struct pst_err *err);
int pst_store_read(struct pst_store *s, pst_tx_fn *fn, void *arg, struct pst_err *err);

/* Called after each commit that made a feed revision or a due order, from the writing thread,
 * quickly and without database use.  Set before threads start. */
typedef void pst_store_commit_fn(void *arg, int64_t rev);
void pst_store_on_commit(struct pst_store *s, pst_store_commit_fn *fn, void *arg);

/* The store that a transaction belongs to. */
struct pst_store *pst_tx_store(struct pst_tx *tx);

/* ---- small values by name ---- */

/* PST_OK, PST_NOTFOUND. */
int pst_meta_get(struct pst_tx *tx, const char *key, struct pst_buf *ret, struct pst_err *err);
int pst_meta_set(struct pst_tx *tx, const char *key, const char *value, struct pst_err *err);
/* The same, sealed under ("meta", key). */
int pst_meta_get_secret(struct pst_tx *tx, const char *key, struct pst_secret *ret,
                        struct pst_err *err);
int pst_meta_set_secret(struct pst_tx *tx, const char *key, const void *data, size_t len,
                        struct pst_err *err);

/* ---- users and tokens ---- */

enum pst_role { PST_ROLE_OPERATOR, PST_ROLE_TENANT, PST_ROLE_READER, PST_ROLE__COUNT };
const char *pst_role_name(enum pst_role r);

struct pst_user {
    char id[PST_ID_SIZE];
    char username[PST_WORD_SIZE];
    char email[PST_HOST_SIZE];
    char fullname[PST_HOST_SIZE];
    enum pst_role role;
    int64_t created_at_ms;
};

struct pst_token {
    char id[PST_ID_SIZE];
    char user_id[PST_ID_SIZE];
    char name[PST_HOST_SIZE];
    char hash[65]; /* hex SHA-256 of the token; the token itself is never stored */
    int64_t created_at_ms;
    int64_t last_used_at_ms;
    bool read_only;           /* may only read, whatever its user may */
    char app_id[PST_ID_SIZE]; /* may only be used for this app; "": for all of its user's */
    int64_t issued_at_ms;     /* when its secret was made; 0: created_at_ms */
};

/* Fills id and created_at_ms when they are empty (so do all inserts).  PST_CONFLICT: username
 * taken. */
int pst_user_insert(struct pst_tx *tx, struct pst_user *u, struct pst_err *err);
int pst_user_get(struct pst_tx *tx, const char *id, struct pst_user *ret, struct pst_err *err);
int pst_user_by_name(struct pst_tx *tx, const char *username, struct pst_user *ret,
                     struct pst_err *err);
/* By user name. */
int pst_user_each(struct pst_tx *tx, int (*fn)(const struct pst_user *u, void *arg), void *arg,
                  struct pst_err *err);
/* Email, full name and role.  PST_NOTFOUND. */
int pst_user_update(struct pst_tx *tx, const struct pst_user *u, struct pst_err *err);
/* With its tokens, webhooks and bundles.  PST_NOTFOUND; PST_CONFLICT: it still has apps. */
int pst_user_delete(struct pst_tx *tx, const char *id, struct pst_err *err);
/* Lock the user's row until the end of the transaction (check-then-write rules of a tenant). */
int pst_user_lock(struct pst_tx *tx, const char *id, struct pst_err *err);
/* How many apps the user has. */
int pst_user_apps(struct pst_tx *tx, const char *id, int64_t *ret_n, struct pst_err *err);

int pst_token_insert(struct pst_tx *tx, struct pst_token *t, struct pst_err *err);
/* PST_NOTFOUND for an unknown or revoked one.  An index is asked, not in constant time: what its
 * time tells of a digest says nothing of the 256 random bits that it is of. */
int pst_token_by_hash(struct pst_tx *tx, const char *hash, struct pst_token *ret,
                      struct pst_err *err);
int pst_token_get(struct pst_tx *tx, const char *id, struct pst_token *ret, struct pst_err *err);
/* Give it another secret: the sessions of the old one are void. */
int pst_token_renew(struct pst_tx *tx, const char *id, const char *hash, struct pst_err *err);
/* PST_NOTFOUND. */
int pst_token_rename(struct pst_tx *tx, const char *id, const char *name, struct pst_err *err);
int pst_token_used(struct pst_tx *tx, const char *id, struct pst_err *err);
/* PST_NOTFOUND when it is not the user's. */
int pst_token_delete(struct pst_tx *tx, const char *user_id, const char *id, struct pst_err *err);
int pst_token_each(struct pst_tx *tx, const char *user_id,
                   int (*fn)(const struct pst_token *t, void *arg), void *arg, struct pst_err *err);
/* How many tokens the user has. */
int pst_token_count(struct pst_tx *tx, const char *user_id, int64_t *ret_n, struct pst_err *err);

/* ---- apps and upstreams ---- */

struct pst_app {
    char id[PST_ID_SIZE];
    char name[PST_WORD_SIZE];
    char user_id[PST_ID_SIZE];
    bool force_https, sticky_session, router_logs;
    int64_t domains_max; /* 0: the platform's setting */
    int64_t created_at_ms, updated_at_ms;
};

struct pst_upstream {
    char id[PST_ID_SIZE];
    char address[PST_WORD_SIZE]; /* literal "ip:port" or "[ip6]:port" */
    int64_t weight;              /* 1 to 100 */
    bool drain;                  /* gets no new requests; those under way end undisturbed */
};

/* Insert also makes the app's platform name.  PST_CONFLICT: name taken. */
int pst_app_insert(struct pst_tx *tx, struct pst_app *a, struct pst_err *err);
/* By id or name.  A NULL user_id (operator) sees all.  PST_NOTFOUND. */
int pst_app_find(struct pst_tx *tx, const char *user_id, const char *id_or_name,
                 struct pst_app *ret, struct pst_err *err);
int pst_app_each(struct pst_tx *tx, const char *user_id,
                 int (*fn)(const struct pst_app *a, void *arg), void *arg, struct pst_err *err);
/* All fields but id, user_id and created_at_ms.  PST_NOTFOUND, PST_CONFLICT (name taken). */
int pst_app_update(struct pst_tx *tx, const struct pst_app *a, struct pst_err *err);
/* With its upstreams, its variables, the tokens bound to it and its domains (their names are
 * released).  PST_NOTFOUND. */
int pst_app_delete(struct pst_tx *tx, const char *id, struct pst_err *err);
/* Lock the app's row until the end of the transaction (check-then-write rules). */
int pst_app_lock(struct pst_tx *tx, const char *id, struct pst_err *err);

/* The domain that Clever Cloud's tools call the favourite one.  PST_NOTFOUND: none is set, or it is
 * gone. */
int pst_app_favourite(struct pst_tx *tx, const char *app_id, char ret_domain_id[PST_ID_SIZE],
                      struct pst_err *err);
/* "": none. */
int pst_app_favourite_set(struct pst_tx *tx, const char *app_id, const char *domain_id,
                          struct pst_err *err);

/* Replaces the app's list; equal addresses keep their ids. */
int pst_upstreams_set(struct pst_tx *tx, const char *app_id, const struct pst_upstream *list,
                      size_t n, struct pst_err *err);
/* One of an app's, by id or address.  PST_NOTFOUND. */
int pst_upstream_find(struct pst_tx *tx, const char *app_id, const char *id_or_address,
                      struct pst_upstream *ret, struct pst_err *err);
/* Stores its weight and whether it drains.  PST_NOTFOUND. */
int pst_upstream_update(struct pst_tx *tx, const char *app_id, const struct pst_upstream *u,
                        struct pst_err *err);
int pst_upstream_each(struct pst_tx *tx, const char *app_id,
                      int (*fn)(const struct pst_upstream *u, void *arg), void *arg,
                      struct pst_err *err);

/* The platform's domain and region ("example.net", "osc-fr1"): apps are reachable at
 * <app>.<region>.<domain>; "" switches platform names off.  A change rewrites all of them. */
int pst_platform_set(struct pst_tx *tx, const char *domain, const char *region,
                     struct pst_err *err);
int pst_platform_get(struct pst_tx *tx, char ret_domain[PST_NAME_SIZE],
                     char ret_region[PST_WORD_SIZE], struct pst_err *err);

/* ---- variables: the environment of an app ---- */

struct pst_variable {
    char id[PST_ID_SIZE];
    char app_id[PST_ID_SIZE];
    char name[PST_NAME_SIZE];
    struct pst_secret value; /* UTF-8; sealed at rest under ("variable", id) */
    int64_t created_at_ms, updated_at_ms;
};
void pst_variable_deinit(struct pst_variable *v);

/* Make or overwrite the app's variable of this name; fills the other fields.  The app's row is
 * locked.  PST_OK: it is new.  PST_DONE: there was one, which has this value now. */
int pst_variable_set(struct pst_tx *tx, struct pst_variable *v, struct pst_err *err);
/* By id or name.  PST_NOTFOUND. */
int pst_variable_get(struct pst_tx *tx, const char *app_id, const char *id_or_name,
                     struct pst_variable *ret, struct pst_err *err);
/* By name. */
int pst_variable_each(struct pst_tx *tx, const char *app_id,
                      int (*fn)(const struct pst_variable *v, void *arg), void *arg,
                      struct pst_err *err);
int pst_variable_count(struct pst_tx *tx, const char *app_id, int64_t *ret_n, struct pst_err *err);
/* PST_NOTFOUND when it is not the app's. */
int pst_variable_delete(struct pst_tx *tx, const char *app_id, const char *id, struct pst_err *err);

/* ---- domains ---- */

/* Why there is no valid ACME certificate (yet); see status.h for what it looks like outside. */
enum pst_phase {
    PST_PHASE_DNS,     /* DNS does not point here; the CA is not contacted */
    PST_PHASE_WORK,    /* order open, quota wait or back-off */
    PST_PHASE_MANUAL,  /* a wildcard waits for a record that the tenant must make */
    PST_PHASE_BLOCKED, /* only a person can help */
    PST_PHASE__COUNT
};
const char *pst_phase_name(enum pst_phase p);

struct pst_domain {
    char id[PST_ID_SIZE];
    char app_id[PST_ID_SIZE];
    char user_id[PST_ID_SIZE];
    char name[PST_HOST_SIZE];  /* as the tenant wrote it */
    char ascii[PST_NAME_SIZE]; /* normal form; unique */
    bool wildcard;
    bool acme_enabled;
    bool canonical;
    enum pst_phase phase;
    char problem[96];       /* stable identifier of what stands in the way, "" when nothing */
    char reason[400];       /* one sentence for people */
    char evidence[1024];    /* what was seen */
    char record[512];       /* the exact DNS record to make or change, "" when none */
    int64_t next_try_at_ms; /* for people: when something is tried next */
    int64_t due_at_ms;      /* when an order is to be begun; 0: not planned */
    int64_t failures;       /* failed attempts in a row */
    int64_t last_failure_at_ms;
    int64_t acme_cert;       /* number of the ACME certificate in the ladder, 0: none */
    int64_t custom_cert;     /* number of the uploaded certificate, 0: none */
    int64_t acme_seen_at_ms; /* when an edge was first seen serving its ACME certificate */
    char acme_method[24];    /* "http-01", "dns-01:manual", "dns-01:delegation", "dns-01:provider",
                                "dns-persist-01"; "": not decided yet */
    char acme_dns_fqdn[PST_NAME_SIZE]; /* the TXT record to be made by hand; "": none */
    char acme_dns_value[64];
    int64_t acme_dns_until;   /* end of the CA's order that the value belongs to, Unix seconds */
    char acme_dns_error[512]; /* JSON: what is wrong with the provider's variables; "": nothing */
    int64_t created_at_ms, updated_at_ms;
};

/* PST_CONFLICT: the name is held already (by anybody). */
int pst_domain_insert(struct pst_tx *tx, struct pst_domain *d, struct pst_err *err);
int pst_domain_get(struct pst_tx *tx, const char *id, struct pst_domain *ret, struct pst_err *err);
/* A domain of this app by id, by name as written or by normal form. */
int pst_domain_find(struct pst_tx *tx, const char *app_id, const char *id_or_name,
                    struct pst_domain *ret, struct pst_err *err);
int pst_domain_by_ascii(struct pst_tx *tx, const char *ascii, struct pst_domain *ret,
                        struct pst_err *err);
/* By creation time, then id. */
int pst_domain_each(struct pst_tx *tx, const char *app_id,
                    int (*fn)(const struct pst_domain *d, void *arg), void *arg,
                    struct pst_err *err);
/* The wildcard domains, whoever has them, that cover names of this app; by ascii. */
int pst_domain_each_covering(struct pst_tx *tx, const char *app_id,
                             int (*fn)(const struct pst_domain *d, void *arg), void *arg,
                             struct pst_err *err);
/* The canonical domain of an app, unless it is `except` (an id, or "").  PST_NOTFOUND. */
int pst_domain_canonical(struct pst_tx *tx, const char *app_id, const char *except,
                         struct pst_domain *ret, struct pst_err *err);
int pst_domain_count(struct pst_tx *tx, const char *app_id, int64_t *ret_n, struct pst_err *err);
/* All mutable fields.  The edges are told only when what they need changed.  Switching ACME off
 * ends an open order: whoever works on it finds its lease gone and says no more to the CA. */
int pst_domain_update(struct pst_tx *tx, const struct pst_domain *d, struct pst_err *err);
/* Ends its open order and releases the name.  PST_NOTFOUND. */
int pst_domain_delete(struct pst_tx *tx, const char *id, struct pst_err *err);
/* Domains whose DNS is to be watched: ACME on, not a wildcard, phase DNS.  In id order after
 * `after` ("" to begin), at most `limit`. */
int pst_domain_each_watched(struct pst_tx *tx, const char *after, size_t limit,
                            int (*fn)(const struct pst_domain *d, void *arg), void *arg,
                            struct pst_err *err);
/* Domains with due_at_ms in (0, now_ms], ACME on and no open order; earliest first. */
int pst_domain_each_due(struct pst_tx *tx, int64_t now_ms, size_t limit,
                        int (*fn)(const struct pst_domain *d, void *arg), void *arg,
                        struct pst_err *err);
/* The earliest due_at_ms of such domains; 0 when there is none. */
int pst_domain_next_due(struct pst_tx *tx, int64_t *ret_at_ms, struct pst_err *err);

/* ---- who may hold a name ---- */

/* Lock all names below a registered domain ("example.com") until the end of the transaction, for
 * rules between tenants such as a wildcard over another tenant's name. */
int pst_registered_lock(struct pst_tx *tx, const char *registered, struct pst_err *err);
/* The same for all that pst_name_hold() looks at: the name's registered domain, and that of the
 * wildcard over it where it is another one (*.github.io and you.github.io). */
int pst_name_lock(struct pst_tx *tx, const char *ascii, struct pst_err *err);

/* What stands between a tenant and a name. */
enum pst_hold {
    PST_HOLD_FREE,     /* nothing */
    PST_HOLD_OWN,      /* the tenant holds it already */
    PST_HOLD_TAKEN,    /* another tenant holds it */
    PST_HOLD_SHARED,   /* another tenant's wildcard covers it, or it would cover a name of one */
    PST_HOLD_RELEASED, /* another tenant gave it up lately, or a name that one would cover */
};
struct pst_hold_question {
    const char *ascii;
    const char *user_id;       /* the tenant who wants it */
    int64_t released_after_ms; /* older releases do not count */
};
/* With PST_HOLD_OWN and PST_HOLD_TAKEN *ret_holder is the domain, in a write transaction locked. */
int pst_name_hold(struct pst_tx *tx, const struct pst_hold_question *q, enum pst_hold *ret,
                  struct pst_domain *ret_holder, struct pst_err *err);

/* ---- certificates ---- */

struct pst_certificate {
    char id[PST_ID_SIZE];
    int64_t num;                 /* random, positive, unique: the certificate's name at the edge */
    char domain_id[PST_ID_SIZE]; /* "" for the platform's own */
    char origin[16];             /* "acme", "custom", "files", "local" */
    char key_type[16];           /* "p256", "p384", "p521", "rsa", "ed25519" */
    int64_t key_bits;            /* 0: not known, stored by an older version */
    char sha256[65];             /* hex, of the leaf's DER */
    char serial[64];             /* hex */
    char subject[PST_HOST_SIZE];
    char issuer[PST_HOST_SIZE];
    int64_t not_before, not_after; /* Unix seconds */
    int64_t created_at_ms;
    struct pst_buf leaf;     /* DER */
    struct pst_buf sealed;   /* private key, sealed under ("certificate", id) */
    struct pst_buf *issuers; /* DER, in chain order, without the root */
    size_t issuers_n;
};
void pst_certificate_deinit(struct pst_certificate *c);

/* Fill an empty record with what stands in a checked chain, and copies of its leaf and issuers.
 * Left to the caller: id, domain_id, sealed.  PST_OK or PST_ENOMEM. */
int pst_certificate_fill(struct pst_certificate *c, const char *origin,
                         const struct pst_chain *chain, struct pst_err *err);
/* A number that no other certificate has. */
int64_t pst_certificate_num(struct pst_tx *tx);
/* Stores the certificate and its issuers (once each); copies, the record stays the caller's.  A
 * number is made when it has none. */
int pst_certificate_insert(struct pst_tx *tx, struct pst_certificate *c, struct pst_err *err);
/* The whole record with DER and key.  PST_NOTFOUND. */
int pst_certificate_load(struct pst_tx *tx, int64_t num, struct pst_certificate *ret,
                         struct pst_err *err);
/* The record without leaf, sealed and issuers. */
int pst_certificate_get(struct pst_tx *tx, int64_t num, struct pst_certificate *ret,
                        struct pst_err *err);
/* The same of all certificates on a ladder of one of the app's domains, by number: their own, those
 * of wildcard domains that cover them, the platform's. */
int pst_certificate_each_of_app(struct pst_tx *tx, const char *app_id,
                                int (*fn)(const struct pst_certificate *c, void *arg), void *arg,
                                struct pst_err *err);
/* Append known issuers with that subject (pst_der_subject_sha256()) as PEM, at most 8.  Whether one
 * fits is for the caller to check.  PST_OK; PST_NOTFOUND: none. */
int pst_issuer_known(struct pst_tx *tx, const uint8_t subject_sha256[32], struct pst_buf *ret_pem,
                     struct pst_err *err);

/* The end of an uploaded certificate is told three times. */
enum pst_warning {
    PST_WARN_NONE,
    PST_WARN_30_DAYS,
    PST_WARN_7_DAYS,
    PST_WARN_OVER,
};
struct pst_ending {
    char app_id[PST_ID_SIZE], domain_id[PST_ID_SIZE];
    char name[PST_HOST_SIZE]; /* of the domain */
    int64_t num, not_after;
    enum pst_warning due; /* the latest of those that are due and were not given */
};
/* Uploaded certificates in a ladder of which a warning is due, at most `limit`.  now: Unix s. */
int pst_certificate_each_ending(struct pst_tx *tx, int64_t now, size_t limit,
                                int (*fn)(const struct pst_ending *e, void *arg), void *arg,
                                struct pst_err *err);
int pst_certificate_warned(struct pst_tx *tx, int64_t num, enum pst_warning given,
                           struct pst_err *err);

/* Remove those that no ladder names any more and that were replaced before `before_ms`. */
int pst_certificate_sweep(struct pst_tx *tx, int64_t before_ms, int64_t *ret_n,
                          struct pst_err *err);

/* The platform's default ladder: numbers of certificates, 0: none. */
enum pst_default_step {
    PST_DEFAULT_FILES, /* the operator's */
    PST_DEFAULT_ACME,  /* of the platform's own domain, while ACME is on for it */
    PST_DEFAULT_LOCAL, /* the local CA's */
    PST_DEFAULT_STEPS,
};
struct pst_default_ladder {
    int64_t certs[PST_DEFAULT_STEPS];
    char domain_id[PST_ID_SIZE]; /* the platform's own domain; "": none */
};
int pst_default_ladder_get(struct pst_tx *tx, struct pst_default_ladder *ret, struct pst_err *err);
/* All but the ACME step, which follows from the domain. */
int pst_default_ladder_set(struct pst_tx *tx, int64_t files_cert, int64_t local_cert,
                           struct pst_err *err);

/* The app, and the user name, of the platform's own domain: no name that anybody could give. */
#define PST_PLATFORM_APP "_platform"

/*
 * Make the domain, with an app and a user of its own, or take it and the app away.  It is as any
 * other domain to orders, events and explain; but the edges hear of it only as a step of the
 * default ladder.  One of another name is replaced.
 *
 * ascii     "*.osc-fr1.example.com"; NULL: none
 * ret       the domain as it stands now; may be NULL without ascii
 *
 * PST_OK: it was made, replaced or taken away; PST_DONE: nothing was to be changed.
 */
int pst_platform_domain_set(struct pst_tx *tx, const char *ascii, struct pst_domain *ret,
                            struct pst_err *err);

/* ---- certificate requests whose key stays here ---- */

enum { PST_REQUESTS_MAX = 10 }; /* of one domain */

struct pst_request {
    char id[PST_ID_SIZE];
    char domain_id[PST_ID_SIZE];
    char key_type[16];
    int64_t key_bits;
    char subject[1024];
    char spki_sha256[65]; /* hex */
    int64_t created_at_ms;
    int64_t used_at_ms;    /* when a certificate for it was last taken in; 0: never */
    struct pst_buf csr;    /* DER */
    struct pst_buf sealed; /* the key, sealed under ("request", id) */
};
void pst_request_deinit(struct pst_request *r);
int pst_request_insert(struct pst_tx *tx, struct pst_request *r, struct pst_err *err);
/* A request of this domain by id, or by its key.  PST_NOTFOUND. */
int pst_request_get(struct pst_tx *tx, const char *domain_id, const char *id,
                    struct pst_request *ret, struct pst_err *err);
int pst_request_by_key(struct pst_tx *tx, const char *domain_id, const char *spki_sha256,
                       struct pst_request *ret, struct pst_err *err);
/* Newest first, without their keys. */
int pst_request_each(struct pst_tx *tx, const char *domain_id,
                     int (*fn)(const struct pst_request *r, void *arg), void *arg,
                     struct pst_err *err);
int pst_request_count(struct pst_tx *tx, const char *domain_id, int64_t *ret_n,
                      struct pst_err *err);
int pst_request_used(struct pst_tx *tx, const char *id, int64_t at_ms, struct pst_err *err);
/* PST_NOTFOUND. */
int pst_request_delete(struct pst_tx *tx, const char *domain_id, const char *id,
                       struct pst_err *err);

/* ---- ACME accounts ---- */

struct pst_account {
    char id[PST_ID_SIZE];
    char directory[512];
    char url[2048]; /* "" until the CA has answered */
    char contact[PST_HOST_SIZE];
    char thumbprint[64];
    char status[16]; /* "valid", "lost" (CA forgot it), "blocked" (needs the operator) */
    char reason[400];
    int64_t terms_agreed_at_ms;
    int64_t created_at_ms;
    struct pst_buf sealed; /* account key, sealed under ("account", id) */
};
void pst_account_deinit(struct pst_account *a);
int pst_account_insert(struct pst_tx *tx, struct pst_account *a, struct pst_err *err);
int pst_account_by_directory(struct pst_tx *tx, const char *directory, struct pst_account *ret,
                             struct pst_err *err);
/* In the order in which they were made. */
int pst_account_each(struct pst_tx *tx, int (*fn)(const struct pst_account *a, void *arg),
                     void *arg, struct pst_err *err);
int pst_account_update(struct pst_tx *tx, const struct pst_account *a, struct pst_err *err);

/* ---- orders ---- */

/* Which workers run an order's next step.  What talks to hosts that tenants name has its own, so
 * that no slow host of theirs holds up the CA. */
enum pst_lane { PST_LANE_CA, PST_LANE_DNS, PST_LANE__COUNT };

/* The state machine belongs to order/; the store only keeps its row.  At most one open order
 * (ended_at_ms = 0) per domain. */
struct pst_order_row {
    char id[PST_ID_SIZE];
    char domain_id[PST_ID_SIZE];
    char account_id[PST_ID_SIZE];
    char name[PST_NAME_SIZE];
    char state[24];
    char certificate_id[PST_ID_SIZE]; /* id the certificate will have; its key is sealed under it */
    int64_t run_at_ms;                /* when the next step is due */
    int64_t wait_rev;    /* or at once when every live edge has acknowledged this; 0: none */
    int64_t lease_token; /* fence: a save with an older one changes nothing */
    int64_t attempt;     /* 1 is the first */
    int64_t created_at_ms, ended_at_ms;
    char order_url[2048]; /* "" until the CA has answered newOrder */
    char problem[96];
    char detail[400]; /* what went wrong or is waited for */
    enum pst_lane lane;
    struct pst_buf sealed; /* the certificate's key, sealed under ("certificate", certificate_id) */
    struct pst_buf data;   /* JSON of order/ */
};
void pst_order_row_deinit(struct pst_order_row *o);

/* PST_CONFLICT: the domain has an open order. */
int pst_order_insert(struct pst_tx *tx, struct pst_order_row *o, struct pst_err *err);
/* Lease one due open order of the lane for `lease_ms` by the database's clock; tenants take turns.
 * PST_NOTFOUND: nothing is due. */
int pst_order_claim(struct pst_tx *tx, enum pst_lane lane, int64_t now_ms, int64_t lease_ms,
                    struct pst_order_row *ret, struct pst_err *err);
/* Save all fields if `lease_token` is still the row's; `release` ends the lease, otherwise it is
 * prolonged by `lease_ms`.  PST_CONFLICT: somebody else has it, nothing was changed. */
int pst_order_save(struct pst_tx *tx, const struct pst_order_row *o, bool release, int64_t lease_ms,
                   struct pst_err *err);
int pst_order_get(struct pst_tx *tx, const char *id, struct pst_order_row *ret,
                  struct pst_err *err);
/* The domain's open order.  PST_NOTFOUND. */
int pst_order_open_of(struct pst_tx *tx, const char *domain_id, struct pst_order_row *ret,
                      struct pst_err *err);
/* Newest first, without sealed and data. */
int pst_order_each_of(struct pst_tx *tx, const char *domain_id, size_t limit,
                      int (*fn)(const struct pst_order_row *o, void *arg), void *arg,
                      struct pst_err *err);
/* Earliest run_at_ms of the lane's unleased open orders, 0: none. */
int pst_order_next_due(struct pst_tx *tx, enum pst_lane lane, int64_t *ret_at_ms,
                       struct pst_err *err);
/* Free the leases of this node's earlier boots. */
int pst_order_free_stale(struct pst_tx *tx, int64_t *ret_n, struct pst_err *err);
/* Make the open orders of an account (all when NULL) due at once that wait for the CA, e.g. when it
 * is back. */
int pst_order_wake(struct pst_tx *tx, const char *account_id, int64_t now_ms, struct pst_err *err);

/* Make the domain's order due at once that waits for something in the DNS.  PST_NOTFOUND: there is
 * none, or a worker has it right now. */
int pst_order_wake_of(struct pst_tx *tx, const char *domain_id, int64_t now_ms,
                      struct pst_err *err);

/* ---- budget: one GCRA bucket per (kind, key) ---- */

/* `limit` per `period_s`, refilled evenly.  PST_OK: one may be taken now.  PST_NOTYET: not before
 * *ret_at_ms. */
int pst_bucket_peek(struct pst_tx *tx, const char *kind, const char *key, int64_t limit,
                    int64_t period_s, int64_t now_ms, int64_t *ret_at_ms, struct pst_err *err);
/* Take one, even when it is empty (a failure happened whether we like it or not). */
int pst_bucket_spend(struct pst_tx *tx, const char *kind, const char *key, int64_t limit,
                     int64_t period_s, int64_t now_ms, struct pst_err *err);
/* Nothing of (kind, key) before `until_ms`: what a CA's Retry-After says. */
int pst_bucket_block(struct pst_tx *tx, const char *kind, const char *key, int64_t until_ms,
                     struct pst_err *err);
/* *ret_left of `limit` are there now. */
int pst_bucket_left(struct pst_tx *tx, const char *kind, const char *key, int64_t limit,
                    int64_t period_s, int64_t now_ms, int64_t *ret_left, struct pst_err *err);

/* The buckets that were spent from, those that are fullest of spending first. */
int pst_bucket_each(struct pst_tx *tx, size_t limit,
                    int (*fn)(const char *kind, const char *key, void *arg), void *arg,
                    struct pst_err *err);

/* ---- challenge answers ---- */

int pst_challenge_put(struct pst_tx *tx, const char *token, const char *ascii, const char *answer,
                      int64_t until_ms, struct pst_err *err);
int pst_challenge_delete(struct pst_tx *tx, const char *token, struct pst_err *err);
/* Remove those whose time is over. */
int pst_challenge_sweep(struct pst_tx *tx, int64_t now_ms, struct pst_err *err);

/* ---- session ticket keys ---- */

/* Keep keys for now and the next 48 hours; drop those that ended.  Each begins one period after
 * the one before and is valid for two: the one that began last issues tickets, all that are valid
 * open them.  PST_DONE: nothing to do. */
int pst_ticket_rotate(struct pst_tx *tx, int64_t now_ms, int64_t period_s, struct pst_err *err);

/* ---- edges ---- */

struct pst_edge {
    char id[PST_ID_SIZE];
    char name[PST_WORD_SIZE];
    char region[PST_WORD_SIZE];
    char token_hash[65];
    uint8_t public_key[32];
    char probe_address[PST_WORD_SIZE]; /* ip:port that answers TLS, "" when unknown */
    int64_t acked_rev;                 /* everything up to here is in its replica */
    bool caught_up;                    /* has been at the head of the feed once since it joined */
    int64_t polled_at_ms;
    int64_t created_at_ms;
};

/* One-time enrolment tokens, kept as hashes. */
int pst_enrol_token_insert(struct pst_tx *tx, const char *hash, const char *region,
                           int64_t until_ms, struct pst_err *err);
/* PST_NOTFOUND: unknown, used or too old. */
int pst_enrol_token_use(struct pst_tx *tx, const char *hash, int64_t now_ms,
                        char ret_region[PST_WORD_SIZE], struct pst_err *err);

/* An edge of the same name takes the earlier one's place. */
int pst_edge_insert(struct pst_tx *tx, struct pst_edge *e, struct pst_err *err);
int pst_edge_by_token_hash(struct pst_tx *tx, const char *hash, struct pst_edge *ret,
                           struct pst_err *err);
int pst_edge_each(struct pst_tx *tx, int (*fn)(const struct pst_edge *e, void *arg), void *arg,
                  struct pst_err *err);
/* Remember a poll: what the edge has, and whether it is at the head.  Orders that wait for a
 * revision which every live edge has become due (their wait_rev is 0 then).  PST_NOTFOUND. */
int pst_edge_polled(struct pst_tx *tx, const char *id, int64_t acked_rev, bool caught_up,
                    int64_t now_ms, int64_t live_ms, struct pst_err *err);
int pst_edge_delete(struct pst_tx *tx, const char *id, struct pst_err *err);
/* Live edges (caught up once, polled within live_ms): how many there are and how many have `rev`.
 */
int pst_edge_readiness(struct pst_tx *tx, int64_t rev, int64_t now_ms, int64_t live_ms,
                       int64_t *ret_live_n, int64_t *ret_ready_n, struct pst_err *err);

/* ---- events ---- */

struct pst_event {
    char id[PST_ID_SIZE];
    int64_t seq; /* order of writing */
    int64_t at_ms;
    char kind[48];             /* "domain.added", "order.failed", ... */
    char actor[PST_HOST_SIZE]; /* "user:<username>", "system" */
    char request_id[PST_WORD_SIZE];
    char app_id[PST_ID_SIZE];
    char domain_id[PST_ID_SIZE];
    char text[400];             /* one sentence for people */
    char owner_id[PST_ID_SIZE]; /* of the app, when it happened; filled when it is read */
    int64_t chain_pos;          /* place in the chain (history.h), 0: not sealed yet */
    char hash[65];              /* hex; "": not sealed yet */
};
/* Append only.  Fills id, at_ms. */
int pst_event_append(struct pst_tx *tx, struct pst_event *e, struct pst_err *err);
/* What Postern itself did about a domain, or saw; a text that is too long is cut. */
int pst_event_system(struct pst_tx *tx, const char *app_id, const char *domain_id, const char *kind,
                     struct pst_err *err, const char *fmt, ...)
    __attribute__((format(printf, 6, 7)));
/* Newest first; a NULL or "" domain_id: all. */
int pst_event_each(struct pst_tx *tx, const char *domain_id, size_t limit,
                   int (*fn)(const struct pst_event *e, void *arg), void *arg, struct pst_err *err);
/*
 * A page of them.  Back in time: newest first, with a seq below the cursor.  Forward: sealed ones,
 * with a position in the chain above it; positions become visible in order, so that a reader who
 * goes on from the last one misses nothing, which seq does not promise (PostgreSQL).
 */
struct pst_event_page {
    const char *app_id, *domain_id; /* of one of these; both NULL: all there are */
    bool forward;
    int64_t cursor;
    size_t limit;
};
int pst_event_page(struct pst_tx *tx, const struct pst_event_page *p,
                   int (*fn)(const struct pst_event *e, void *arg), void *arg, struct pst_err *err);
/* Newest first: what happened to an app and to its domains. */
int pst_event_each_of_app(struct pst_tx *tx, const char *app_id, size_t limit,
                          int (*fn)(const struct pst_event *e, void *arg), void *arg,
                          struct pst_err *err);

#endif
