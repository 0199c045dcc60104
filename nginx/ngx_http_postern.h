/*
 * ngx_http_postern.h - what the files of the module share.  The model, the directives and the
 * variables are described at the top of ngx_http_postern_module.c.
 *
 * Everything here belongs to one worker process with one thread: the event loop.
 */
#ifndef NGX_HTTP_POSTERN_H
#define NGX_HTTP_POSTERN_H

#include <nginx.h>
#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include <openssl/evp.h>
#include <openssl/ssl.h>

#include <postern/replica_reader.h>

/* ---- configuration ---- */

struct postern_main_conf {
    ngx_str_t replica;
    ngx_str_t key_file;
    u_char *key; /* PST_REPLICA_LOCAL_KEY bytes, read by the master */
    size_t cache_bytes;
    ngx_uint_t https_port;
    ngx_uint_t http_port;
    ngx_shm_zone_t *zone;
};

enum { POSTERN_UNKNOWN_REFUSE, POSTERN_UNKNOWN_DEFAULT };

struct postern_srv_conf {
    ngx_flag_t enable;
    ngx_uint_t unknown_names;

    /* In an upstream block with postern_upstream: */
    ngx_uint_t keepalive;     /* idle connections per upstream */
    ngx_uint_t keepalive_max; /* and in the worker */
    ngx_uint_t requests;      /* per connection */
    ngx_msec_t idle_timeout;
    ngx_msec_t fail_timeout; /* how long an upstream that refused is passed over */
};

extern ngx_module_t ngx_http_postern_module;

/* ---- counters, shared by the workers ---- */

#define POSTERN_COUNTERS(C)                                                                        \
    C(HANDSHAKE_SERVED, "postern_handshakes_total{outcome=\"served\"}")                            \
    C(HANDSHAKE_DEFAULT, "postern_handshakes_total{outcome=\"default\"}")                          \
    C(HANDSHAKE_UNKNOWN, "postern_handshakes_total{outcome=\"unknown_name\"}")                     \
    C(HANDSHAKE_NO_CERT, "postern_handshakes_total{outcome=\"no_certificate\"}")                   \
    C(HANDSHAKE_NO_REPLICA, "postern_handshakes_total{outcome=\"no_replica\"}")                    \
    C(HANDSHAKE_RESUMED, "postern_handshakes_total{outcome=\"resumed\"}")                          \
    C(CACHE_HIT, "postern_certificate_cache_total{result=\"hit\"}")                                \
    C(CACHE_MISS, "postern_certificate_cache_total{result=\"miss\"}")                              \
    C(CACHE_STALE, "postern_certificate_cache_total{result=\"stale\"}")                            \
    C(CACHE_EVICTED, "postern_cache_evictions_total")                                              \
    C(STEP_SKIPPED, "postern_ladder_steps_skipped_total")                                          \
    C(UNSEAL_FAILED, "postern_unseal_failures_total")                                              \
    C(CHAIN_INCOMPLETE, "postern_incomplete_chains_total")                                         \
    C(TICKET_NO_KEY, "postern_tickets_without_key_total")                                          \
    C(REQUEST_ROUTED, "postern_requests_total{outcome=\"routed\"}")                                \
    C(REQUEST_CHALLENGE, "postern_requests_total{outcome=\"challenge\"}")                          \
    C(REQUEST_CANONICAL, "postern_requests_total{outcome=\"canonical\"}")                          \
    C(REQUEST_FORCED, "postern_requests_total{outcome=\"forced_https\"}")                          \
    C(REQUEST_UNKNOWN, "postern_requests_total{outcome=\"unknown_host\"}")                         \
    C(REQUEST_MISDIRECTED, "postern_requests_total{outcome=\"misdirected\"}")                      \
    C(REQUEST_NO_UPSTREAM, "postern_requests_total{outcome=\"no_upstream\"}")                      \
    C(REQUEST_NO_REPLICA, "postern_requests_total{outcome=\"no_replica\"}")                        \
    C(UPSTREAM_NEW, "postern_upstream_connections_total{kind=\"new\"}")                            \
    C(UPSTREAM_REUSED, "postern_upstream_connections_total{kind=\"reused\"}")                      \
    C(UPSTREAM_FAILED, "postern_upstream_failures_total")                                          \
    C(UPSTREAM_REFUSED, "postern_upstream_addresses_refused_total")                                \
    C(REPLICA_OPENED, "postern_replica_opens_total{result=\"ok\"}")                                \
    C(REPLICA_OPEN_FAILED, "postern_replica_opens_total{result=\"failed\"}")                       \
    C(REPLICA_FAULT, "postern_replica_faults_total")                                               \
    C(REPLICA_DAMAGED, "postern_replica_damaged_records_total")                                    \
    C(REPLICA_REV, "postern_replica_revision")                                                     \
    C(REPLICA_COMMITTED, "postern_replica_committed_timestamp_seconds")

#define POSTERN_COUNTER_ENUM(id, name) POSTERN_##id,
enum { POSTERN_COUNTERS(POSTERN_COUNTER_ENUM) POSTERN_COUNTER__END };

struct postern_shared {
    ngx_atomic_t counters[POSTERN_COUNTER__END];
};

#define postern_count(id) (void)ngx_atomic_fetch_add(&postern.shared->counters[POSTERN_##id], 1)

/* ---- the cache: what was decoded, and what was last known ---- */

enum postern_cached {
    POSTERN_CACHED_NAME = 1, /* the last known record, for when the replica fails */
    POSTERN_CACHED_APP,      /* parsed addresses, balancing, idle connections */
    POSTERN_CACHED_CERT,
    POSTERN_CACHED_ISSUER,
    POSTERN_CACHED_DEFAULT,
};

struct postern_upstream {
    ngx_queue_t idle; /* of struct postern_idle, the newest first */
    ngx_uint_t idle_n;
    ngx_int_t weight;
    ngx_int_t current;     /* smooth weighted round-robin */
    ngx_msec_t down_until; /* 0: believed to be up */
    ngx_sockaddr_t sockaddr;
    socklen_t socklen;
    ngx_str_t text; /* the address, for the logs */
    u_char text_data[PST_REPLICA_ADDRESS_MAX + 1];
};

struct postern_entry {
    ngx_queue_t lru;
    struct postern_entry *next; /* in the bucket */
    uint64_t hash;
    uint64_t epoch;
    uint64_t generation;
    size_t bytes;
    ngx_uint_t refs; /* holders beside the cache */
    unsigned in_cache : 1;
    unsigned kind : 3;
    u_char key_len;
    u_char key[PST_REPLICA_KEY_MAX];
    union {
        struct {
            X509 *leaf;
            EVP_PKEY *key;
            STACK_OF(X509) * chain;
        } cert;
        X509 *issuer;
        struct pst_replica_name *name;
        struct pst_replica_default *def;
        struct {
            ngx_uint_t upstream_n;
            struct postern_upstream *upstreams;
        } app;
    } u;
};

/* NULL, or an entry that is now the most recently used. */
struct postern_entry *postern_cache_find(enum postern_cached kind, const void *key, size_t len);
/* A zeroed entry under the key, replacing any before it; `extra` bytes behind it are given through
 * ret_extra, `outside` bytes more are charged.  NULL without memory. */
struct postern_entry *postern_cache_add(enum postern_cached kind, const void *key, size_t len,
                                        size_t extra, size_t outside, void **ret_extra);
void postern_cache_drop(enum postern_cached kind, const void *key, size_t len);
void postern_entry_hold(struct postern_entry *e);
void postern_entry_release(struct postern_entry *e);
ngx_int_t postern_cache_init(size_t max_bytes, ngx_log_t *log);
void postern_cache_deinit(void);
size_t postern_cache_bytes(void);

/* ---- the worker ---- */

struct postern_worker {
    struct pst_replica_reader *reader; /* NULL: no replica configured */
    struct postern_shared *shared;     /* never NULL */
    struct pst_replica_seen reported;  /* what the counters have of the reader already */
    ngx_log_t *log;
    ngx_uint_t https_port;
    ngx_uint_t http_port;
};
extern struct postern_worker postern;

/* Unix seconds: never before the replica's last commit. */
time_t postern_now(void);
/* Bring the reader's own counts into the shared counters; logs what is new and bad. */
void postern_report_reader(void);

/* ---- look-ups with what was last known behind them (ngx_http_postern_lookup.c) ---- */

/* NGX_OK; NGX_DECLINED: there is no such name; NGX_ERROR: the replica cannot tell. */
ngx_int_t postern_find_name(const u_char *host, size_t len, struct pst_replica_name *ret);
/* NGX_OK (possibly without steps); NGX_ERROR. */
ngx_int_t postern_find_default(struct pst_replica_default *ret);
/* The ladder's first step that is valid now; NULL if none is. */
const struct pst_replica_step *postern_first_valid(const struct pst_replica_step *steps,
                                                   ngx_uint_t n, time_t now);
/* A held entry; NULL with *ret_rc NGX_DECLINED (no such app) or NGX_ERROR. */
struct postern_entry *postern_find_app(const char *id, ngx_int_t *ret_rc);
/* Lower-cased into `to`, one trailing dot off.  0 for what cannot be a DNS name. */
size_t postern_normal_name(const u_char *name, size_t len, u_char to[PST_REPLICA_NAME_MAX]);

/* ---- certificates (ngx_http_postern_cert.c) ---- */

ngx_int_t postern_tls_init(ngx_log_t *log); /* once per process, before any SSL exists */
ngx_int_t postern_tls_install(SSL_CTX *ctx, ngx_log_t *log);
/* A held entry, or NULL. */
struct postern_entry *postern_cert_get(uint64_t id);
/* SNI of the connection in normal form; 0 without one. */
size_t postern_connection_sni(ngx_connection_t *c, u_char to[PST_REPLICA_NAME_MAX]);

/* ---- keys (ngx_http_postern_key.c) ---- */

ngx_int_t postern_key_init(const u_char *key, ngx_log_t *log);
void postern_key_deinit(void);
/* Open a sealed blob; `aad` is "<kind>/<key>".  The length of the plain text, or NGX_ERROR.
 * `to` has room for sealed_len bytes; the caller wipes it. */
ssize_t postern_unseal(const u_char *sealed, size_t sealed_len, const u_char *aad, size_t aad_len,
                       u_char *to);
/* A private key from the plain text of its sealed blob, or NULL. */
EVP_PKEY *postern_key_load(ngx_uint_t type, const u_char *plain, size_t len);

/* ---- session tickets (ngx_http_postern_ticket.c) ---- */

ngx_int_t postern_ticket_init(ngx_log_t *log);
void postern_ticket_deinit(void);
ngx_int_t postern_ticket_install(SSL_CTX *ctx);
/* May a ticket be issued now? */
ngx_uint_t postern_ticket_possible(void);

/* ---- requests (ngx_http_postern_request.c, _route.c, _challenge.c) ---- */

struct postern_request {
    struct postern_entry *app; /* held until the request ends */
    u_char host[PST_REPLICA_NAME_MAX];
    size_t host_len;
    unsigned hsts : 1; /* the answer tells browsers to stay on HTTPS */
};

/* The module's part of a request, or NULL; survives internal redirects. */
struct postern_request *postern_request_get(ngx_http_request_t *r);
/* Make it, once a request.  NULL: no memory. */
struct postern_request *postern_request_new(ngx_http_request_t *r);
ngx_int_t postern_post_read_handler(ngx_http_request_t *r);
/* Send an answer of our own: what a content handler returns.  `body` stays until the end. */
ngx_int_t postern_send(ngx_http_request_t *r, ngx_uint_t status, const char *type,
                       const u_char *body, size_t len);
/* The same for a phase handler: the request is finalized, NGX_DONE. */
ngx_int_t postern_answer(ngx_http_request_t *r, ngx_uint_t status, const char *type,
                         const u_char *body, size_t len);
/* NGX_DECLINED when the request is none of a challenge's; else as postern_answer(). */
ngx_int_t postern_challenge(ngx_http_request_t *r, const u_char *host, size_t host_len);

/* ---- redirects (ngx_http_postern_redirect.c) ---- */

/* The certificate that a name's ladder gives now: its own first valid step, else the default's
 * (NULL: only that).  0: none. */
uint64_t postern_current_cert(const struct pst_replica_name *name, time_t now);
/* Is that a certificate for this host? */
ngx_uint_t postern_covers(const struct pst_replica_name *name, const u_char *host, size_t len);
/* Canonical domain, then force HTTPS.  NGX_DECLINED: the request goes on; else as
 * postern_answer(). */
ngx_int_t postern_redirect(ngx_http_request_t *r, struct postern_request *pr,
                           const struct pst_replica_name *name);
/* Once, after the configuration: puts HSTS on answers. */
void postern_redirect_install(void);

/* ---- counters (ngx_http_postern_status.c), variables (ngx_http_postern_variables.c) ---- */

ngx_int_t postern_status_handler(ngx_http_request_t *r);
ngx_int_t postern_add_variables(ngx_conf_t *cf);

/* ---- upstreams ---- */

char *postern_upstream_directive(ngx_conf_t *cf, ngx_command_t *cmd, void *conf);
/* The listening sockets and our own addresses, for refusing to proxy to ourselves. */
ngx_int_t postern_address_init(ngx_cycle_t *cycle);
void postern_address_deinit(void);
/* "192.0.2.1:80", "[2001:db8::1]:80": NGX_OK; NGX_ERROR: not literal; NGX_DECLINED: not allowed. */
ngx_int_t postern_address_parse(const char *text, ngx_sockaddr_t *ret, socklen_t *ret_len);

/* ---- idle upstream connections (ngx_http_postern_pool.c) ---- */

/* An idle connection to the upstream, or NULL. */
ngx_connection_t *postern_pool_take(struct postern_upstream *u, ngx_log_t *log);
/* Keep a connection; NGX_DECLINED: the caller closes it. */
ngx_int_t postern_pool_keep(struct postern_upstream *u, const struct postern_srv_conf *conf,
                            ngx_connection_t *c);
/* Close all idle connections of an app. */
void postern_pool_close(struct postern_entry *app);
ngx_uint_t postern_pool_n(void);

#endif
