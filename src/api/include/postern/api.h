/*
 * api.h - the control plane's HTTP interface: `/v1` for people and their tools, `/edge/v1` for
 * edges.
 *
 * A `struct pst_api` listens, reads requests, finds the handler in the table of routes, checks who
 * asks, runs the handler against the store and writes its JSON answer.  It makes no decision of the
 * engine: what must follow a change is left to the hooks, which run after the commit.
 *
 * Threads:  one thread per listening address only parses and writes.  Each complete request is
 *           handed to a pool of the API's own (setting api.workers), which alone runs handlers; a
 *           timer answers 503 for those that take longer than 30 s, and for those that find the
 *           queue full.  A long poll of an edge waits as a suspended connection, not as a thread.
 * Blocking: pst_api_start() and pst_api_stop() block shortly (stop: for the running handlers);
 *           pst_api_feed_moved() never.
 * Memory:   the options' strings and pointers must outlive the API, except where said.
 * Failure:  what goes wrong in one request is answered and logged there and stops nothing else.
 */
#ifndef POSTERN_API_H
#define POSTERN_API_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct pst_api;
struct pst_buf;
struct pst_clock;
struct pst_conf;
struct pst_err;
struct pst_http;
struct pst_json;
struct pst_rand;
struct pst_resolver;
struct pst_store;
struct pst_tx;

/*
 * What others want to know or know better.  Called from a worker after the commit, so quickly; each
 * may be NULL.  A crash between commit and call loses the call: whoever listens also looks at the
 * database when it starts.
 */
struct pst_api_hooks {
    void *arg;
    void (*domain_added)(void *arg, const char *id, const char *ascii);
    /* acme_enabled was switched, on or off. */
    void (*domain_changed)(void *arg, const char *id, const char *ascii);
    /* Also once for each domain of an app that is removed. */
    void (*domain_removed)(void *arg, const char *id);
    /* Variables of an app were set or removed: its DNS provider may be another now.  This one is
     * called inside the transaction, which may run again.  PST_OK or negative. */
    int (*variables_changed)(void *arg, struct pst_tx *tx, const char *app_id, struct pst_err *err);
    /* Append the value of the dns-persist-01 record for a name; inside a transaction, too.  PST_OK;
     * PST_NOTFOUND: the CA is not known to take such records; negative. */
    int (*persist_value)(void *arg, struct pst_tx *tx, const char *ascii, struct pst_buf *ret,
                         struct pst_err *err);
    /* Put what is known of a CA into an object: reachable, answered_at, failed_at, failure,
     * terms_of_service, website, external_account_required, renewal_info, issuers, profiles.  With
     * `ask` its directory may be read first, which waits for the CA.  PST_OK; PST_NOTFOUND: this
     * process does not use that directory; negative. */
    int (*ca_tell)(void *arg, const char *directory, bool ask, struct pst_json *to,
                   struct pst_err *err);
};

enum { PST_API_LISTEN_MAX = 8 };

struct pst_api_opts {
    struct pst_store *store;
    const struct pst_conf *conf; /* the api.*, app.*, edge.*, platform.* and upstream.* settings */
    const struct pst_clock *clock;
    struct pst_rand *rand; /* must be safe for many threads */
    /* "127.0.0.1:8080", "[::1]:0" (port 0: the system chooses), "unix:/run/postern/api.sock".
     * NULL: the setting api.listen. */
    const char *const *listen;
    size_t listen_n;            /* at most PST_API_LISTEN_MAX */
    struct pst_api_hooks hooks; /* copied */
    /* A `fresh` one, for the records that prove who controls a name; NULL: none is ever seen. */
    struct pst_resolver *proofs;
    struct pst_http *aia; /* behind the gate: fetches missing issuers of uploads; NULL: none
                             are fetched */
};

/*
 * Listen and serve.  A stale Unix socket is replaced; one that somebody answers on is not.  Makes
 * the key for session tokens when the database has none.  End with pst_api_stop().
 *
 * PST_OK, PST_ECONFIG (an address is not one, or is taken), PST_EDB, PST_ESYS, PST_ENOMEM.
 */
int pst_api_start(struct pst_api **ret, const struct pst_api_opts *opts, struct pst_err *err);

/* Answer what is waiting with 503, wait for the running handlers, close.  NULL is fine. */
void pst_api_stop(struct pst_api *api);

/* The feed stands at `rev`: waiting edges are answered.  Any thread; quick, no database. */
void pst_api_feed_moved(struct pst_api *api, int64_t rev);

/* The port of the i-th listening address; 0 for a Unix socket. */
uint16_t pst_api_port(const struct pst_api *api, size_t i);

/*
 * Make an account and an API token for it, in one write transaction of its own: for `posternd
 * init`, which must give its operator something to log in with, and for tests.
 *
 * role        "operator", "tenant" or "reader"
 * ret_token   the token ("tk-us-..."), NUL-terminated; only its hash is stored
 *
 * PST_OK; PST_CONFLICT (the user name is taken); PST_REFUSED (a word is not acceptable); PST_EDB.
 */
enum { PST_API_TOKEN_SIZE = 64 };
int pst_api_user_create(struct pst_store *store, const char *username, const char *email,
                        const char *role, char ret_token[PST_API_TOKEN_SIZE], struct pst_err *err);

#endif
