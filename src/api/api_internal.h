/*
 * api_internal.h - what the files of api/ share.
 *
 * Life of a request: server.c makes a struct pst_req when its first line is there, checks its
 * headers, collects its body, suspends the connection and gives it to pool.c.  A worker runs
 * pst_dispatch() (route, who asks, transaction, handler), publishes the answer and resumes the
 * connection; server.c writes the answer and lets go.  The request is counted twice while it is
 * with the pool, so that the timer may answer in a worker's place.
 */
#ifndef POSTERN_API_INTERNAL_H
#define POSTERN_API_INTERNAL_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include <postern/api.h>
#include <postern/base.h>
#include <postern/json.h>
#include <postern/store.h>

#include "limiter.h"
#include "path.h"

enum {
    PST_API_ANSWER_MAX = 4 * 1024 * 1024, /* a page of the feed is 1 MiB, base64 included */
    PST_API_GIVE_UP_MS = 30 * 1000,
    PST_API_EDGES_MS = 2000, /* how long an answer is held back for slow edges */
    PST_API_REQUEST_ID_MAX = PST_WORD_SIZE - 1,
    PST_ROUTE_PARAMS_MAX = 4,
};

/* ---- answers ---- */

#define PST_NDJSON "application/x-ndjson" /* one JSON value a line */

struct pst_answer {
    int status;
    struct pst_buf body;                /* JSON text; empty: no body */
    int64_t retry_after_s;              /* 0: no such header */
    const char *allow;                  /* methods for a 405; NULL: no such header */
    const char *challenge;              /* WWW-Authenticate; NULL: no such header */
    const char *type;                   /* Content-Type; NULL: JSON */
    char location[PST_HOST_SIZE + 128]; /* ""; no such header */
    char link[PST_HOST_SIZE + 256];     /* Link; "": no such header */
    bool close;                         /* end the connection after it */
};
void pst_answer_init(struct pst_answer *a);
void pst_answer_deinit(struct pst_answer *a);
void pst_answer_reset(struct pst_answer *a);

/* Take `json` (may be NULL: no memory) as the body of an answer.  PST_OK or PST_ENOMEM. */
int pst_answer_json(struct pst_answer *a, int status, struct pst_json *json, struct pst_err *err);
/* Take a text that is JSON already: the buffer is empty afterwards. */
int pst_answer_text(struct pst_answer *a, int status, struct pst_buf *text);
/* No body. */
int pst_answer_empty(struct pst_answer *a, int status);
/* {"error": text}.  These return PST_REFUSED (PST_ENOMEM when that fails), so that a handler can
 * return them at once and its transaction is rolled back. */
int pst_answer_error(struct pst_answer *a, int status, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
/* 404 {"resource": resource, "error": "not found"} */
int pst_answer_absent(struct pst_answer *a, const char *resource);
/* 422 {"errors": {field: [text]}} */
int pst_answer_invalid(struct pst_answer *a, const char *field, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

/* Members that are a text, or null for "" and NULL; times, or null for 0. */
bool pst_json_set_or_null(struct pst_json *j, const char *key, const char *value);
bool pst_json_set_time(struct pst_json *j, const char *key, int64_t at_ms);

/* ---- routes ---- */

enum pst_method {
    PST_GET,
    PST_POST,
    PST_PUT,
    PST_PATCH,
    PST_DELETE,
    PST_METHOD__COUNT,
};
const char *pst_method_name(enum pst_method m);
/* HEAD counts as GET.  False for one we never answer. */
bool pst_method_parse(const char *name, enum pst_method *ret);

/* Who may call. */
enum pst_need {
    PST_NEED_NOTHING,  /* anybody, or the handler looks itself */
    PST_NEED_USER,     /* any account; sees what its role lets it see */
    PST_NEED_WRITER,   /* not a reader */
    PST_NEED_OPERATOR, /* reads and changes the platform itself */
    PST_NEED_EDGE,     /* an enrolled edge */
    PST_NEED_METRICS,  /* an operator or reader; anybody on loopback where that is set */
};

/* The transaction that the handler runs in; in PST_TX_NONE its `tx` is NULL. */
enum pst_tx_kind { PST_TX_NONE, PST_TX_READ, PST_TX_WRITE };

struct pst_req;

/*
 * PST_OK       answered; a write is committed
 * PST_REFUSED  answered with an error; a write is rolled back
 * PST_NOTYET   (PST_TX_NONE only) nothing to say yet: run again when the feed moves (after
 *              pst_req_hold(): when edges acknowledge) or when req->wait_until_ms has come
 * negative     a fault: logged, answered with 500 or 503
 *
 * May run again after a rollback, so it changes nothing but `ans`, the database and what
 * pst_req_effect() keeps.
 */
typedef int pst_handler(struct pst_req *req, struct pst_tx *tx, struct pst_answer *ans,
                        struct pst_err *err);

/* What is done with a body. */
enum pst_body {
    PST_BODY_NONE = false, /* not looked at */
    PST_BODY_JSON = true,  /* JSON; without one it is an error */
    PST_BODY_MAYBE,        /* JSON, or nothing: then req->json is NULL */
    PST_BODY_RAW,          /* left to the handler, in req->body */
};

struct pst_route {
    enum pst_method method;
    const char *pattern; /* "/v1/apps/:app/domains/:id" */
    pst_handler *run;
    enum pst_need need;
    enum pst_tx_kind tx;
    enum pst_body body;
    const char *text; /* one sentence for the OpenAPI document */
};

extern const struct pst_route pst_routes[];
extern const size_t pst_routes_n;

/*
 * PST_OK; PST_NOTFOUND (no such path); PST_CONFLICT (not with this method: `allow` has those
 * that are).  params: the segments that stand for the pattern's `:words`, in order.
 */
int pst_route_find(enum pst_method method, const struct pst_target *target,
                   const struct pst_route **ret, const char *params[PST_ROUTE_PARAMS_MAX],
                   const char **ret_allow);

/* ---- requests ---- */

enum pst_effect_kind {
    PST_DOMAIN_ADDED,
    PST_DOMAIN_CHANGED,
    PST_DOMAIN_REMOVED,
};

/* A hook to be called after the commit. */
struct pst_effect {
    enum pst_effect_kind kind;
    char id[PST_ID_SIZE];
    char ascii[PST_NAME_SIZE];
};

enum pst_req_state {
    PST_REQ_READING,  /* headers or body are coming in */
    PST_REQ_QUEUED,   /* waits for a worker */
    PST_REQ_RUNNING,  /* a worker has it */
    PST_REQ_PARKED,   /* waits for the feed */
    PST_REQ_ANSWERED, /* the answer stands, the connection is or was resumed */
};

struct MHD_Connection;

struct pst_req {
    struct pst_api *api;

    /* What was asked.  Written by the server's thread before the pool has it, then constant. */
    char method_name[16];
    enum pst_method method;
    struct pst_target target;
    char id[PST_WORD_SIZE]; /* request id */
    char peer[64];          /* address of the client, for limits and the log */
    char *authorization;    /* NULL: none */
    char content_type[256]; /* "": none */
    char accept[128];
    char origin[PST_HOST_SIZE]; /* "": none; what a browser says of the page it shows */
    char fetch_site[16];        /* "": none; Sec-Fetch-Site */
    char host[PST_HOST_SIZE];
    char forwarded_proto[8]; /* "http", "https" or "" */
    bool dry_run;            /* X-Dry-Run: true */
    struct pst_buf body;
    int64_t began_ms; /* monotonic */

    /* What the worker found out. */
    const struct pst_route *route;
    const char *params[PST_ROUTE_PARAMS_MAX];
    struct pst_json *json; /* the body, with route->body */
    struct pst_user user;
    struct pst_token token;
    struct pst_edge edge;
    char v2_app[PST_HOST_SIZE]; /* what params[0] points to, for /v2 */
    const char *scope;          /* whose objects are seen: user.id, or NULL for all */
    struct pst_effect *effects;
    size_t effects_n, effects_cap;
    bool again;            /* has been parked before */
    int64_t wait_until_ms; /* monotonic; long polls */
    uint64_t feed_seen;    /* api->pool.feed_moves when the handler began */
    uint64_t acks_seen;    /* and api->pool.acks */
    int64_t hold_rev; /* the answer waits until live edges have this revision; 0: it does not */
    int64_t hold_until_ms;  /* monotonic */
    struct pst_answer held; /* what is then answered */

    /* Plumbing, under api->pool.lock once the pool has it. */
    struct MHD_Connection *connection;
    const char *target_end; /* of the raw target, in libmicrohttpd's buffer; only compared */
    enum pst_req_state state;
    unsigned refs;
    int64_t give_up_ms; /* monotonic */
    struct pst_req *next, *prev;
    struct pst_answer answer;
    bool headers_seen;
    bool pooled; /* counted in unwritten_n */
    bool too_large;
    size_t discarded_n; /* bytes of a body that is too large */
};

struct pst_req *pst_req_new(struct pst_api *api);
void pst_req_free(struct pst_req *req);

int pst_req_effect(struct pst_req *req, enum pst_effect_kind kind, const char *id,
                   const char *ascii, struct pst_err *err);
/* Append an event with the request's actor and id.  app_id, domain_id: may be NULL. */
int pst_req_event(struct pst_req *req, struct pst_tx *tx, const char *kind, const char *app_id,
                  const char *domain_id, struct pst_err *err, const char *fmt, ...)
    __attribute__((format(printf, 7, 8)));
/*
 * What was changed must be served when it is answered: keep the answer back until every live edge
 * has acknowledged `rev`, at most PST_API_EDGES_MS.  The handler returns what this returns, and
 * begins with
 *
 *     if (req->hold_rev)
 *         return pst_req_held(req, ans, err);
 *
 * The connection waits suspended, no thread does.  PST_OK, PST_NOTYET, negative.
 */
int pst_req_hold(struct pst_req *req, int64_t rev, struct pst_answer *ans, struct pst_err *err);
int pst_req_held(struct pst_req *req, struct pst_answer *ans, struct pst_err *err);
/* For handlers that need no member: the body is an object, or nothing or null where it may be
 * missing.  PST_OK, PST_REFUSED. */
int pst_req_object(const struct pst_req *req, struct pst_answer *ans);
/* Decode a part of the body by table; members that it does not name are ignored.  PST_OK, or
 * PST_REFUSED with a 422 that names the field. */
int pst_req_decode(const struct pst_json *obj, const struct pst_json_field *fields, size_t n,
                   void *dest, struct pst_answer *ans);
/*
 * domain_name.c: what can be said of a domain's name without the database.  d->canonical is set;
 * d->name, ascii and wildcard are filled.  PST_OK; PST_REFUSED, answered with 422.
 */
int pst_domain_name(struct pst_req *req, const char *name, struct pst_domain *d,
                    struct pst_answer *ans);
/* base_url.c: the URL that clients reach this server under, without a final slash. */
void pst_req_base_url(const struct pst_req *req, char *to, size_t to_size);

/* Run a request: finds the route, checks who asks, runs the handler.  PST_OK, or PST_NOTYET when
 * it is to be parked. */
int pst_dispatch(struct pst_req *req, struct pst_answer *ans);

/* ---- who asks ---- */

/* The first hex digits of a token's hash: a token that got another secret has another tag. */
enum { PST_TOKEN_TAG_SIZE = 17 };

struct pst_claims {
    char user_id[PST_ID_SIZE];
    char token_id[PST_ID_SIZE];
    char tag[PST_TOKEN_TAG_SIZE];  /* of the secret that the session was made with */
    int64_t issued_at, expires_at; /* Unix s */

    /* Not in a session token: an API token that came with the request itself. */
    char direct_hash[65];            /* "": it was a session token */
    char direct_name[PST_WORD_SIZE]; /* oauth_token: its id or its user's name; "": not said */
};
enum { PST_JWT_MAX = 2048, PST_JWT_LIFE_S = 3600 };

int pst_jwt_sign(const struct pst_secret *key, const struct pst_claims *claims, struct pst_buf *ret,
                 struct pst_err *err);
/* PST_OK or PST_REFUSED: not three parts, another algorithm than HS256, a wrong signature, over at
 * `now`, claims missing. */
int pst_jwt_verify(const struct pst_secret *key, const char *text, int64_t now,
                   struct pst_claims *ret, struct pst_err *err);

#define PST_USER_TOKEN_PREFIX "tk-us-"

/* "<scheme> <value>": the value, or NULL. */
const char *pst_auth_value(const char *authorization, const char *scheme);
/* A new token with this prefix, and its hash. */
int pst_token_make(struct pst_rand *rand, const char *prefix, char ret[PST_API_TOKEN_SIZE],
                   char ret_hash[65], struct pst_err *err);
/* The API token in "Basic base64(<user name>:<token>)"; the user name does not matter.  `decoded`
 * holds it. */
bool pst_auth_basic(const struct pst_req *req, struct pst_buf *decoded, const char **ret);
/* Reads the Authorization header that the route needs, without the database.  PST_OK,
 * PST_REFUSED. */
int pst_auth_read(struct pst_req *req, struct pst_claims *ret, struct pst_answer *ans);
/* Loads the account or edge and checks its role.  PST_OK, PST_REFUSED, negative. */
int pst_auth_load(struct pst_req *req, struct pst_tx *tx, const struct pst_claims *claims,
                  struct pst_answer *ans, struct pst_err *err);
/* Write down that the request's token was used, once a minute.  After the handler's transaction. */
void pst_auth_note_use(struct pst_req *req);
/* 429 when too many logins from the request's address failed.  PST_OK, PST_REFUSED. */
int pst_auth_limit(struct pst_req *req, struct pst_answer *ans);

/* ---- the pool ---- */

struct pst_req_list {
    struct pst_req *head, *tail;
    size_t n;
};

struct pst_pool {
    pthread_mutex_t lock;
    pthread_cond_t work, tick;
    struct pst_req_list queued, running, parked;
    uint64_t feed_moves, acks;
    size_t unwritten_n; /* taken by the pool, their answers not yet written */
    bool stopping;
    bool lock_made, work_made, tick_made;
    pthread_t *threads;
    size_t threads_n;
    pthread_t timer;
    bool timer_made;
};

int pst_pool_start(struct pst_api *api, struct pst_err *err);
/* Everything that waits is answered, the threads end.  Afterwards all requests are refused. */
void pst_pool_stop(struct pst_api *api);
void pst_pool_free(struct pst_api *api);
/* Takes a reference when it takes the request.  False: full or stopping. */
bool pst_pool_add(struct pst_req *req);
/* What takes long is to come to an end. */
bool pst_pool_stopping(struct pst_api *api);
void pst_pool_feed_moved(struct pst_api *api);
/* An edge has acknowledged `rev`. */
void pst_pool_acked(struct pst_api *api, int64_t rev);
/* The server is through with a request: drop its reference. */
void pst_req_done(struct pst_req *req);
/* In server.c: make the server go on with an answered request. */
void pst_server_resume(struct pst_req *req);

/* ---- the server ---- */

int pst_server_start(struct pst_api *api, const char *address, size_t i, struct pst_err *err);
void pst_server_stop(struct pst_api *api);

/* ---- settings ---- */

/* Copied from the configuration at start. */
struct pst_api_settings {
    size_t workers, queue_max, connections_max, body_max;
    unsigned idle_s;
    int64_t give_up_ms;
    char public_url[PST_HOST_SIZE];
    char region[PST_WORD_SIZE];
    const struct pst_conf *conf;
};
struct pst_listener {
    void *daemon; /* struct MHD_Daemon */
    char address[PST_HOST_SIZE];
    char socket_path[PST_HOST_SIZE]; /* "" for TCP */
    uint16_t port;
    struct pst_api *api;
};

struct pst_api {
    struct pst_api_opts opts;
    struct pst_api_settings set;
    struct pst_secret jwt_key;
    struct pst_secret proof_key; /* of the values that prove who controls a name */
    struct pst_slots *proofs;    /* who is looking for them */
    struct pst_slots *rsa_keys;  /* who is having one made */
    struct pst_pool pool;
    struct pst_limiter *limiter; /* failed logins by address */
    struct pst_buf roots;        /* public roots, PEM; empty where the system has none */
    atomic_int aia_n;            /* uploads that may be fetching an issuer */
    atomic_int imports_n;        /* requests that bring lines of an import */
    struct pst_listener listeners[PST_API_LISTEN_MAX];
    size_t listeners_n;
};

/* The one stack there is; the edge does not build apps. */
#define PST_STACK_ID "postern-upstream"

/* ---- handlers, one file per resource ---- */

pst_handler pst_tokens_exchange, pst_tokens_create, pst_tokens_list, pst_tokens_patch,
    pst_tokens_renew, pst_tokens_delete;
pst_handler pst_users_self, pst_users_list, pst_users_create, pst_users_get, pst_users_patch,
    pst_users_delete, pst_users_tokens_list, pst_users_tokens_create, pst_users_tokens_delete;
pst_handler pst_apps_rename, pst_apps_restart, pst_operations_get;
pst_handler pst_variables_list, pst_variables_put, pst_variables_create, pst_variables_patch,
    pst_variables_delete, pst_variables_delete_list;
pst_handler pst_domains_retry, pst_ledger_get, pst_ready_get, pst_openapi_get, pst_metrics_get;
pst_handler pst_cas_list, pst_cas_get;
pst_handler pst_regions_list, pst_stacks_list, pst_platform_show;
pst_handler pst_apps_list, pst_apps_create, pst_apps_get, pst_apps_put, pst_apps_patch,
    pst_apps_delete;
pst_handler pst_upstreams_get, pst_upstreams_put, pst_upstreams_patch;
pst_handler pst_domains_list, pst_domains_create, pst_domains_get, pst_domains_patch,
    pst_domains_delete, pst_domains_explain, pst_domains_proof;
pst_handler pst_domains_export;
pst_handler pst_imports_list, pst_imports_create, pst_imports_get, pst_imports_lines,
    pst_imports_refusals, pst_imports_finish, pst_imports_cancel;
pst_handler pst_certificates_check;
pst_handler pst_bundles_list, pst_bundles_delete;
pst_handler pst_requests_list, pst_requests_create, pst_requests_delete;
pst_handler pst_events_list, pst_events_of_app, pst_events_of_domain, pst_health_get;
pst_handler pst_dns_providers_list, pst_edges_list, pst_edges_delete, pst_edges_enrol_token;
pst_handler pst_webhooks_list, pst_webhooks_create, pst_webhooks_get, pst_webhooks_patch,
    pst_webhooks_delete, pst_webhooks_ping;
pst_handler pst_edge_enrol, pst_edge_snapshot, pst_edge_changes;

/* Text for people, without control characters (C0, C1): a terminal that shows it would obey them.
 */
bool pst_is_line(const char *text);
/* What is wrong with a user name or a mail address; NULL: nothing. */
const char *pst_user_problem(const char *username, const char *email);
/* The user of the first parameter, by id or name.  PST_OK, PST_REFUSED (answered 404), negative. */
int pst_req_user(struct pst_req *req, struct pst_tx *tx, struct pst_user *ret,
                 struct pst_answer *ans, struct pst_err *err);
bool pst_role_parse(const char *name, enum pst_role *ret);
struct pst_json *pst_user_json(const struct pst_user *u);

pst_handler pst_v2_self, pst_v2_token, pst_v2_summary, pst_v2_app, pst_v2_vhosts, pst_v2_vhost_put,
    pst_v2_vhost_delete, pst_v2_favourite_get, pst_v2_favourite_put, pst_v2_favourite_delete,
    pst_v2_upload, pst_v2_upload_form, pst_v2_env, pst_v2_env_none, pst_v2_env_put,
    pst_v2_env_put_all, pst_v2_env_delete, pst_v2_bundles, pst_v2_bundle_delete;

/* Append the limits of a CA, and what is left of that of this account. */
int pst_ledger_limits(struct pst_req *req, struct pst_tx *tx, const char *account_id,
                      struct pst_json *list, struct pst_err *err);

/* Append an event to a JSON list: for pst_event_each(). */
int pst_event_push(const struct pst_event *e, void *list);

/* An app by id or name, as far as the caller sees it.  PST_OK, PST_NOTFOUND, negative. */
int pst_req_app_named(struct pst_req *req, struct pst_tx *tx, const char *id_or_name,
                      struct pst_app *ret, struct pst_err *err);
/* The app of the first parameter, as far as the caller sees it.  PST_OK, PST_REFUSED (answered
 * 404), negative. */
int pst_req_app(struct pst_req *req, struct pst_tx *tx, struct pst_app *ret, struct pst_answer *ans,
                struct pst_err *err);
/* The same for who wants to see values of its variables: readers see all apps, but not these. */
int pst_variables_app(struct pst_req *req, struct pst_tx *tx, struct pst_app *ret,
                      struct pst_answer *ans, struct pst_err *err);
/* And the domain of the second one. */
int pst_req_domain(struct pst_req *req, struct pst_tx *tx, struct pst_app *ret_app,
                   struct pst_domain *ret, struct pst_answer *ans, struct pst_err *err);

#endif
