/* acme_internal.h - what the files of acme/ and their tests share. */
#ifndef POSTERN_ACME_INTERNAL_H
#define POSTERN_ACME_INTERNAL_H

#include <postern/acme.h>
#include <postern/buf.h>
#include <postern/http.h>
#include <postern/json.h>
#include <postern/mem.h>
#include <pthread.h>

PST_CLEANUP(struct pst_http_response, pst_http_response_free);
PST_CLEANUP(struct pst_acme_order, pst_acme_order_free);
PST_CLEANUP(struct pst_acme_authz, pst_acme_authz_free);
PST_CLEANUP(struct pst_acme_certificate, pst_acme_certificate_free);
PST_CLEANUP(struct pst_acme_account_info, pst_acme_account_info_free);
PST_CLEANUP(struct pst_acme_ca, pst_acme_ca_free);

enum {
    PST_ACME_URL_MAX = 2000,
    PST_ACME_JSON_MAX = 64 * 1024,
    PST_ACME_CHAIN_MAX = 256 * 1024,
    PST_ACME_BODY_MAX = 256 * 1024, /* of a request */
    PST_ACME_NAMES_MAX = 100,
    PST_ACME_CHALLENGES_MAX = 16,
    PST_ACME_TOKEN_MAX = 128,
    PST_ACME_ALTERNATES_MAX = 8,
    PST_ACME_LIST_MAX = 64, /* profiles and other short lists of the directory */
    PST_ACME_NONCES = 16,   /* kept in the pool */
    PST_ACME_NONCE_SIZE = 256,
    PST_ACME_NONCE_MS = 60 * 1000, /* older ones have been evicted at the CA, perhaps */
    PST_ACME_NONCE_TRIES = 10,
    PST_ACME_NONCE_FLUSH = 3, /* badNonce in a row after which the pool is emptied */
    PST_ACME_DIRECTORY_MS = 24 * 3600 * 1000,
    PST_ACME_DIRECTORY_AGAIN_MS = 3600 * 1000, /* an old one is good for, when reading failed */
    PST_ACME_DAY_S = 24 * 3600,
    PST_ACME_RATE_LIMIT_MAX_S = 7 * 24 * 3600,
    PST_ACME_RATE_LIMIT_DEFAULT_S = 3600,
    PST_ACME_PAUSE_MAX_S = 60,
};

/* ---- ca.c: the CA's shared state ---- */

/* The directory's URLs.  Also the groups of a CA's balancer: each has a limit of its own. */
enum pst_acme_endpoint {
    PST_ACME_NEW_NONCE,
    PST_ACME_NEW_ACCOUNT,
    PST_ACME_NEW_ORDER,
    PST_ACME_REVOKE_CERT,
    PST_ACME_KEY_CHANGE,
    PST_ACME_RENEWAL_INFO,
    PST_ACME_ENDPOINT__COUNT,
    PST_ACME_OBJECT = PST_ACME_ENDPOINT__COUNT, /* an account, order, authorization, ... */
    PST_ACME_DIRECTORY,
    PST_ACME_GROUP__COUNT
};

/* The directory as read: what callers see, and our URLs.  Never changes; shared by count. */
struct pst_acme_dir {
    struct pst_acme_directory public; /* first: the pointers are the same */
    atomic_uint refs;
    char *url[PST_ACME_ENDPOINT__COUNT];
};

struct pst_acme_nonce {
    char text[PST_ACME_NONCE_SIZE];
    int64_t at_ms; /* monotonic */
};

struct pst_acme_pause {
    int64_t until_ms;  /* monotonic; nothing is sent before */
    unsigned in_a_row; /* answers that asked for a pause */
};

struct pst_acme_ca {
    char *directory_url;
    bool plain_http; /* the directory is on loopback: http is allowed */
    struct pst_http *http;
    const struct pst_clock *clock;
    _Atomic int64_t skew_s;

    pthread_mutex_t lock; /* guards what follows */
    struct pst_acme_dir *dir;
    int64_t dir_until_ms; /* monotonic; read anew from then on */
    bool dir_doubtful;    /* one of its URLs gave 404 */
    int64_t answered_at;  /* Unix s */
    int64_t failed_at;
    char failure[PST_ACME_FAILURE_SIZE];
    struct pst_acme_nonce nonces[PST_ACME_NONCES];
    size_t nonces_n; /* the newest last */
    struct pst_acme_pause pauses[PST_ACME_GROUP__COUNT];
};

/* A request had an answer, or none, as `err` tells (NULL: it had). */
void pst_acme_note(struct pst_acme_ca *ca, const struct pst_err *err);

/* May we ask this URL?  PST_OK, or PST_EINPUT naming `what`. */
int pst_acme_url_check(const struct pst_acme_ca *ca, const char *url, const char *what,
                       struct pst_err *err);

/* The newest nonce; false: none that is young enough. */
bool pst_acme_nonce_take(struct pst_acme_ca *ca, char to[PST_ACME_NONCE_SIZE]);
/* Text that is no nonce is ignored. */
void pst_acme_nonce_put(struct pst_acme_ca *ca, const char *nonce);
void pst_acme_nonce_flush(struct pst_acme_ca *ca);

/* Seconds until this group may be asked again; 0: now. */
int64_t pst_acme_pause_left_s(struct pst_acme_ca *ca, unsigned group);
/* The group has answered 503: wait `asked_s` (0: twice as long each time).  Gives the seconds. */
int64_t pst_acme_pause_begin(struct pst_acme_ca *ca, unsigned group, int64_t asked_s);
void pst_acme_pause_end(struct pst_acme_ca *ca, unsigned group);

/* ---- directory.c ---- */

/* The directory, read when it is missing, old or doubtful; release with pst_acme_dir_unref(). */
int pst_acme_dir_get(struct pst_acme_call *call, bool refresh, struct pst_acme_dir **ret,
                     struct pst_err *err);
int pst_acme_dir_parse(const struct pst_acme_ca *ca, const struct pst_json *j,
                       struct pst_acme_dir **ret, struct pst_err *err);
void pst_acme_dir_unref(struct pst_acme_dir *d);
PST_CLEANUP(struct pst_acme_dir, pst_acme_dir_unref);

/* ---- jws.c ---- */

/* The flattened JWS of a request.  payload NULL: POST-as-GET.  kid NULL: the public key itself
 * goes into the header. */
struct pst_acme_jws {
    const struct pst_key_handle *key;
    const char *kid;
    const char *nonce; /* NULL: none */
    const char *url;
    const char *payload;
};
int pst_acme_jws_write(const struct pst_acme_jws *jws, struct pst_buf *to, struct pst_err *err);

/* externalAccountBinding (RFC 8555 section 7.3.4): `jwk` signed with the CA's secret. */
struct pst_acme_eab {
    const char *alg;
    const char *kid;
    const struct pst_secret *key;
    const char *url;
};
int pst_acme_eab_write(const struct pst_acme_eab *eab, const char *jwk, struct pst_buf *to,
                       struct pst_err *err);

/* ---- exchange.c ---- */

struct pst_acme_ask {
    unsigned group;
    const char *url;
    const char *payload;              /* JSON; NULL: POST-as-GET */
    const struct pst_key_handle *jwk; /* signs with this key in the header instead of the kid */
    const char *accept;               /* content type of the answer; NULL: not looked at */
    size_t max_body;                  /* 0: PST_ACME_JSON_MAX */
};

/* Sign, send, read.  PST_OK: a 2xx answer of the wanted type. */
int pst_acme_post(struct pst_acme_call *call, const struct pst_acme_ask *ask,
                  struct pst_http_response **ret, struct pst_err *err);
/* The same to one of the directory's URLs.  PST_NOTFOUND: it has none. */
int pst_acme_post_to(struct pst_acme_call *call, enum pst_acme_endpoint endpoint,
                     struct pst_acme_ask *ask, struct pst_http_response **ret, struct pst_err *err);
/* Unsigned GET or HEAD of ask->url. */
int pst_acme_get(struct pst_acme_call *call, const char *method, const struct pst_acme_ask *ask,
                 struct pst_http_response **ret, struct pst_err *err);
/* The answer's body as JSON object. */
int pst_acme_body(const struct pst_http_response *r, struct pst_json **ret, struct pst_err *err);
/* Retry-After within 1 s and 1 day in ms; 0: not stated. */
int64_t pst_acme_retry_after_ms(const struct pst_acme_ca *ca, const struct pst_http_response *r);

/* ---- problem.c ---- */

/* Read a problem document or a member `error`.  NULL or no object: an empty problem. */
void pst_acme_problem_parse(const struct pst_json *j, int status, struct pst_acme_problem *to);
/* The problem of an answer outside 2xx, with document or without. */
void pst_acme_problem_of(const struct pst_http_response *r, int64_t now,
                         struct pst_acme_problem *to);
/* A copy on the heap of the member `error`; *ret stays NULL when there is none.  False: no memory.
 */
bool pst_acme_problem_member(const struct pst_json *obj, struct pst_acme_problem **ret);

/* ---- text.c ---- */

/* Words of the protocol to numbers; `other` when it is none of them. */
unsigned pst_acme_word(const char *const *words, unsigned n, const char *s, unsigned other);
/* Copy for people to read: control and direction characters escaped, cut between characters. */
void pst_acme_show(char *to, size_t to_size, const char *from);
/* RFC 3339 member to Unix seconds; 0: absent or not to be read. */
int64_t pst_acme_time_member(const struct pst_json *obj, const char *key);
/* Copy a text of at most max bytes; *ret stays NULL when j is no text or longer.  False: no
 * memory. */
bool pst_acme_copy(const struct pst_json *j, size_t max, char **ret);
/* Copy the texts of an array; those that are none, or longer than max, are left out. */
bool pst_acme_copy_list(const struct pst_json *arr, size_t max, size_t most, char ***ret,
                        size_t *ret_n);
void pst_acme_free_list(char **list, size_t n);
/* base64url without padding, not empty, at most max characters. */
bool pst_acme_is_b64url(const char *s, size_t max);

/* ---- parsers that the fuzzer drives, too ---- */

int pst_acme_order_parse(const struct pst_acme_ca *ca, const struct pst_json *j,
                         struct pst_acme_order **ret, struct pst_err *err);
int pst_acme_authz_parse(const struct pst_acme_ca *ca, const struct pst_json *j,
                         struct pst_acme_authz **ret, struct pst_err *err);
int pst_acme_renewal_parse(const struct pst_json *j, struct pst_acme_renewal *to,
                           struct pst_err *err);

#endif
