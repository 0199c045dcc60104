/*
 * dns_internal.h - what a provider must be able to do, and what it is given for it.
 *
 * A provider is a constant table (struct pst_dns_ops) in a file of its own under providers/.  It
 * only knows how its API says things; what must hold for all of them (neighbours survive, both
 * calls are idempotent, contended changes are tried again) is done once, in change.c, on top of one
 * of three families of operations:
 *
 *   record ids   list, create, destroy (and publish)      cloudflare, dnsimple, ovh
 *   whole sets   read, write (and append)                 azure, gandi, gcloud, godaddy, route53
 *   values       put                                      rfc2136, acme-dns
 */
#ifndef PST_DNS_INTERNAL_H
#define PST_DNS_INTERNAL_H

#include <pthread.h>

#include <postern/base.h>
#include <postern/dns.h>
#include <postern/http.h>
#include <postern/json.h>

#define LOG "dns"

enum {
    URL_MAX = 8000,
    REQUEST_MAX = 256 * 1024,
    VALUES_MAX = 1000, /* of one record set; no provider allows more */
    PAGES_MAX = 100,
    TOKEN_MAX = 16 * 1024,
    VAR_MAX = 16 * 1024,
    SLOTS = 4, /* header values made for a request */
};

/* ---- variables ---- */

enum pst_dns_var_form {
    PST_VAR_TOKEN, /* goes into a header: printable ASCII without blanks */
    PST_VAR_TEXT,  /* anything without control characters */
    PST_VAR_BASE64 /* blanks and line ends are allowed */
};

struct pst_dns_var {
    const char *name;
    enum pst_dns_var_form form;
    bool optional;
    bool plain; /* may be shown: an identifier, not a secret */
};

/* ---- requests ---- */

struct pst_dns_request {
    const char *method;
    struct pst_buf url;
    struct pst_buf body;
    const char *content_type; /* NULL: application/json when there is a body */
    struct pst_http_header headers[12];
    size_t headers_n;
    struct pst_buf slots[SLOTS]; /* values of headers */
    size_t slot_header[SLOTS];   /* of which header */
    size_t slots_n;
    bool no_auth;
    bool gated;
};

#define PST_DNS_REQUEST(m)                                                                         \
    {                                                                                              \
        .method = (m), .url = PST_BUF(URL_MAX), .body = PST_BUF(REQUEST_MAX), .slots = {           \
            PST_BUF(TOKEN_MAX),                                                                    \
            PST_BUF(TOKEN_MAX),                                                                    \
            PST_BUF(TOKEN_MAX),                                                                    \
            PST_BUF(TOKEN_MAX)                                                                     \
        }                                                                                          \
    }
void pst_dns_request_deinit(struct pst_dns_request *r);
#define auto_request __attribute__((cleanup(pst_dns_request_deinit)))

/* A header; `value` must live as long as the request. */
void pst_dns_header(struct pst_dns_request *r, const char *name, const char *value);
/* The buffer in which the value of a header is to be written; it is wiped with the request. */
struct pst_buf *pst_dns_header_slot(struct pst_dns_request *r, const char *name);

/* Append percent-encoded: all but letters, digits, "-._~" and the bytes in `keep`. */
void pst_dns_escape(struct pst_buf *to, const char *s, const char *keep);

struct pst_dns_answer {
    struct pst_http_response *response;
    int status;
    struct pst_json *json; /* NULL: no body, or one that is not JSON */
    const char *body;
    size_t body_len;
};
void pst_dns_answer_deinit(struct pst_dns_answer *a);
#define auto_answer __attribute__((cleanup(pst_dns_answer_deinit)))

/* What an answer that is no success says. */
enum pst_dns_class {
    PST_CLASS_BY_STATUS, /* 408, 425, 429 and 5xx are transient, the rest is permanent */
    PST_CLASS_TRANSIENT,
    PST_CLASS_PERMANENT,
};

struct pst_dns_reason {
    const char *code;    /* the provider's word, in the answer or in p->code; NULL: none */
    const char *message; /* for people, in the answer or in p->message; NULL: none */
    const char *hint;    /* ours, lives for ever; NULL: none */
    enum pst_dns_class class;
    int64_t wait_s; /* 0: by Retry-After */
    unsigned blame; /* bits: 1 << index of a variable */
};

/* ---- record sets ---- */

struct pst_dns_item {
    char *raw;   /* as it came, and as it is sent back */
    char *value; /* what it means */
};

struct pst_dns_set {
    bool exists;
    uint32_t ttl_s;
    char etag[256];
    struct pst_buf extra; /* raw, of the provider */
    struct pst_dns_item *items;
    size_t n;
};
void pst_dns_set_deinit(struct pst_dns_set *s);
#define auto_set __attribute__((cleanup(pst_dns_set_deinit)))
/* Copies both.  PST_OK, PST_ENOMEM, PST_EREMOTE (more than VALUES_MAX). */
int pst_dns_set_add(struct pst_dns_set *s, const char *raw, const char *value, struct pst_err *err);
/* The value is what `text` means (pst_dns_unquote()); damaged quoting stands for itself, which no
 * value of ours equals. */
int pst_dns_set_add_quoted(struct pst_dns_set *s, const char *raw, const char *text,
                           struct pst_err *err);

/* For the family of record ids: an item's raw is its id. */

struct pst_dns_zone {
    char name[PST_NAME_SIZE];
    char id[160];
};

struct pst_dns_target {
    const struct pst_dns_zone *zone;
    const char *fqdn;
    const char *value;
    const char *rel; /* fqdn without ".zone", "" for the zone itself */
    bool again;
};

/* ---- a provider ---- */

struct pst_dns_ops {
    const char *name;
    const struct pst_dns_var *vars;
    size_t vars_n;
    uint32_t ttl_s;
    const char *base_url; /* NULL: it has none */
    const char *token_url;
    size_t state_size;
    bool unguarded; /* whole sets without a way to notice a change in between */
    bool keeps;     /* values cannot be taken away */

    /* Look at the variables (pst_dns_missing() and pst_dns_wrong() say what is bad).  No I/O. */
    int (*create)(struct pst_dns_provider *p, struct pst_err *err);
    void (*destroy_state)(struct pst_dns_provider *p);

    /* Add what authenticates.  `fresh`: what was sent last was refused as stale. */
    int (*authorize)(struct pst_dns_provider *p, struct pst_dns_request *r, bool fresh,
                     struct pst_err *err);
    /* Would a fresh authorization help?  NULL: never. */
    bool (*stale)(struct pst_dns_provider *p, const struct pst_dns_answer *a);
    /* What an answer says; *ret is zero.  NULL: nothing is understood. */
    void (*explain)(struct pst_dns_provider *p, const struct pst_dns_answer *a,
                    struct pst_dns_reason *ret);

    /* Is there a zone of this name?  PST_OK; PST_NOTFOUND; PST_REFUSED: we may not know (err says
     * why; the walk goes on, and ends with it when nothing is found). */
    int (*zone)(struct pst_dns_provider *p, const char *name, struct pst_dns_zone *ret,
                struct pst_err *err);
    /* Before walking: the zone at once; PST_NOTYET: do walk. */
    int (*find)(struct pst_dns_provider *p, const char *fqdn, bool delegated,
                struct pst_dns_zone *ret, struct pst_err *err);
    /* What check() does instead of reading the record set. */
    int (*check)(struct pst_dns_provider *p, const struct pst_dns_target *t, struct pst_err *err);

    /* Record ids.  create: PST_OK, PST_DONE (stands there already); destroy: PST_OK, PST_DONE. */
    int (*list)(struct pst_dns_provider *p, const struct pst_dns_target *t, struct pst_dns_set *ret,
                struct pst_err *err);
    int (*create_record)(struct pst_dns_provider *p, const struct pst_dns_target *t,
                         struct pst_err *err);
    int (*destroy_record)(struct pst_dns_provider *p, const struct pst_dns_target *t,
                          const char *id, struct pst_err *err);
    int (*publish)(struct pst_dns_provider *p, const struct pst_dns_target *t, struct pst_err *err);

    /* Whole sets.  write: PST_OK, PST_CONFLICT (it is not `old` any more); no items: delete. */
    int (*read)(struct pst_dns_provider *p, const struct pst_dns_target *t, struct pst_dns_set *ret,
                struct pst_err *err);
    int (*item)(const struct pst_dns_provider *p, const char *value, struct pst_buf *ret_raw);
    int (*write)(struct pst_dns_provider *p, const struct pst_dns_target *t,
                 const struct pst_dns_set *old, const struct pst_dns_set *set,
                 struct pst_dns_change *ret, struct pst_err *err);
    /* Add without reading.  PST_OK, PST_DONE. */
    int (*append)(struct pst_dns_provider *p, const struct pst_dns_target *t, struct pst_err *err);

    /* Values.  PST_OK, PST_DONE. */
    int (*put)(struct pst_dns_provider *p, const struct pst_dns_target *t, bool remove,
               struct pst_err *err);

    /* PST_OK, PST_NOTYET. */
    int (*confirm)(struct pst_dns_provider *p, const char *change, struct pst_err *err);
};

struct pst_dns_provider {
    const struct pst_dns_ops *ops;
    struct pst_dns_env env;
    char *base;      /* without a slash at the end; "" when it has none */
    char *token_url; /* NULL: the provider's own */
    bool own_base;   /* base is the operator's */
    struct pst_secret vars[PST_DNS_VARIABLES_MAX];
    struct pst_dns_blame blame;
    struct pst_secret token;  /* of OAuth, while there is one */
    int64_t token_until;      /* Unix seconds */
    bool guardless;           /* as ops->unguarded, found out on the way */
    struct pst_err denied;    /* the first zone that we may not know of */
    char zone[PST_NAME_SIZE]; /* of the last call */
    char code[64];            /* room for what explain() finds */
    char message[512];
    void *state;
};

extern const struct pst_dns_ops pst_dns_azure, pst_dns_cloudflare, pst_dns_dnsimple, pst_dns_gandi,
    pst_dns_gandiv5, pst_dns_gcloud, pst_dns_godaddy, pst_dns_ovh, pst_dns_route53, pst_dns_rfc2136,
    pst_dns_acmedns;

/* ---- dns.c ---- */

/* The value of a variable; "" when it was not given. */
const char *pst_dns_var(const struct pst_dns_provider *p, unsigned i);
bool pst_dns_has(const struct pst_dns_provider *p, unsigned i);
void pst_dns_blame_add(struct pst_dns_provider *p, unsigned i);
/* Refuse a variable: begins (or goes on with) a refusal that names it.  Returns PST_REFUSED. */
int pst_dns_missing(struct pst_dns_provider *p, unsigned i, struct pst_err *err);
int pst_dns_wrong(struct pst_dns_provider *p, unsigned i, const char *why, struct pst_err *err);

/* A fault that only a person can mend; text as of pst_fail(). */
#define pst_dns_permanent(err, ...) pst_dns_never((err), pst_fail((err), PST_EREMOTE, __VA_ARGS__))
int pst_dns_never(struct pst_err *err, int rc);

int64_t pst_dns_now(const struct pst_dns_provider *p);
void pst_dns_pause(const struct pst_dns_provider *p, uint32_t ms);
uint64_t pst_dns_below(const struct pst_dns_provider *p, uint64_t below);

/* ---- call.c ---- */

/* Begin the URL with the provider's base. */
void pst_dns_url(const struct pst_dns_provider *p, struct pst_dns_request *r, const char *path);

/* Send; an answer of any status is PST_OK.  A stale authorization is renewed once. */
int pst_dns_send(struct pst_dns_provider *p, struct pst_dns_request *r, struct pst_dns_answer *ret,
                 struct pst_err *err);

/* The fault that an answer is; `what` is what was wanted ("reading the zone"). */
int pst_dns_fault(struct pst_dns_provider *p, const struct pst_dns_answer *a, const char *what,
                  struct pst_err *err);
/* A success that does not say what it must; transient. */
int pst_dns_senseless(const struct pst_dns_answer *a, const char *what, struct pst_err *err);
/* The provider's word for what went wrong, "" when it has none. */
const char *pst_dns_code(struct pst_dns_provider *p, const struct pst_dns_answer *a);

/* A copy of a text of the provider's, fit for people: no control characters, no credentials of
 * ours. */
void pst_dns_clean(const struct pst_dns_provider *p, const char *text, size_t len, char *to,
                   size_t to_size);

/* ---- token.c: OAuth 2 ---- */

/* The token, new when there is none, when it ends soon, or when `fresh`; sets the header.
 * ask() writes the request's URL and form. */
typedef int pst_dns_token_fn(struct pst_dns_provider *p, struct pst_dns_request *r,
                             struct pst_err *err);
int pst_dns_bearer(struct pst_dns_provider *p, struct pst_dns_request *r, bool fresh,
                   pst_dns_token_fn *ask, struct pst_err *err);
bool pst_dns_stale_401(struct pst_dns_provider *p, const struct pst_dns_answer *a);

/* The member of an object by its name in any case. */
const struct pst_json *pst_dns_member(const struct pst_json *obj, const char *name);

/* ---- zone.c ---- */

int pst_dns_find_zone(struct pst_dns_provider *p, const struct pst_dns_record *r,
                      struct pst_dns_zone *ret, struct pst_err *err);
/* `fqdn` without ".zone" into `to`; false when it is not in the zone. */
bool pst_dns_relative(const char *fqdn, const char *zone, char to[PST_NAME_SIZE]);
pthread_mutex_t *pst_dns_lock_of(struct pst_dns_locks *l, const char *provider, const char *zone);

/* ---- value.c ---- */

/* What a TXT value in the presentation of providers means: adjacent quoted strings are joined,
 * escapes are resolved; a text without quotes is taken as it is.  False: damaged, or no memory. */
bool pst_dns_unquote(const char *s, struct pst_buf *to);
/* "value" with quotes; the values that we write need no escapes. */
void pst_dns_quote(struct pst_buf *to, const char *value);

/* ---- xml.c ---- */

/* An element: its content, still with entities. */
struct pst_xml {
    const char *at;
    size_t len;
};
/* The whole document's root element, whose name goes to `name`; false when it is not well formed
 * in the small subset that is read (elements, attributes, text, the five entities; no DTD, no
 * comments, no CDATA; at most 32 deep). */
bool pst_xml_root(const char *text, size_t len, char name[64], struct pst_xml *ret);
/* The i-th child element of this name. */
bool pst_xml_child(const struct pst_xml *in, const char *name, size_t i, struct pst_xml *ret);
/* The text, entities resolved; false when there are elements in it. */
bool pst_xml_text(const struct pst_xml *in, struct pst_buf *to);
/* The same, cut to what fits; "" when there are elements in it.  Needs no memory. */
void pst_xml_copy(const struct pst_xml *in, char *to, size_t to_size);
/* Append as text. */
void pst_xml_escape(struct pst_buf *to, const char *s);

/* ---- sigv4.c ---- */

struct pst_sigv4 {
    const char *key_id;
    const struct pst_secret *secret;
    const char *region;
    const char *service;
    const char *host;  /* as the Host header */
    const char *token; /* X-Amz-Security-Token, or "" */
    int64_t now;
};
enum { PST_AMZ_DATE_SIZE = 17 };
/* "20240115T120000Z". */
void pst_amz_date(int64_t now, char to[PST_AMZ_DATE_SIZE]);
/* The value of the Authorization header.  `query` is canonical: sorted, encoded. */
int pst_sigv4(const struct pst_sigv4 *s, const char *method, const char *path, const char *query,
              const struct pst_buf *body, struct pst_buf *ret, struct pst_err *err);

#endif
