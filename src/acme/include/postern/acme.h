/*
 * acme.h - the protocol of an ACME CA (RFC 8555, 9773), and nothing else.
 *
 * A `struct pst_acme_ca` is one directory URL: the directory as last read and a small pool of
 * nonces.  Each call is one exchange: it builds, signs and sends one request, reads the answer
 * strictly and comes back.  There is no database, no waiting and no repeating here; what is kept
 * and when to ask again is the caller's business.  Inside a call only three things are done
 * besides: the directory is read when it is missing or old, a nonce is fetched when the pool is
 * empty, and an exchange refused with badNonce is signed anew and repeated at once.
 *
 * Threads:  a CA may be used by many threads at once; a call, and what it gives, by one.
 * Blocking: a call blocks for at most the timeouts of the requests it makes (1 to 3, with badNonce
 *           up to 12).
 * Memory:   what a `ret_` gives belongs to the caller and is released by the function named beside
 *           it.  Absent strings are NULL.  Strings are valid UTF-8 of bounded length; all URLs have
 *           been checked: https, or http when the directory is on loopback, at most 2,000 bytes.
 * Failure:  PST_EREMOTE  the CA refused with a problem: call->problem holds it, and err has
 *                        problem and retry from pst_acme_problem_advice()
 *           PST_ENET     no answer: whether the CA has acted is unknown
 *           PST_EINPUT   an answer that cannot be understood (HTML, broken JSON, a field missing);
 *                        the CA may have acted
 *           PST_REFUSED  our own request cannot be sent as it is (err names the field)
 *           PST_ENOMEM, PST_EINTERNAL
 *           All calls may give these; further answers stand beside each.
 */
#ifndef POSTERN_ACME_H
#define POSTERN_ACME_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct pst_clock;
struct pst_err;
struct pst_http;
struct pst_key_handle;
struct pst_secret;
struct pst_acme_ca;

/* ---- problems (RFC 8555 section 6.7) ---- */

enum pst_acme_problem_type {
    PST_ACME_NONE, /* no problem */
    PST_ACME_BAD_NONCE,
    PST_ACME_ACCOUNT_DOES_NOT_EXIST,
    PST_ACME_ALREADY_REPLACED,
    PST_ACME_ALREADY_REVOKED,
    PST_ACME_AUTO_RENEWAL, /* the four of RFC 8739 */
    PST_ACME_BAD_CSR,
    PST_ACME_BAD_PUBLIC_KEY,
    PST_ACME_BAD_SIGNATURE_ALGORITHM,
    PST_ACME_BAD_REVOCATION_REASON,
    PST_ACME_CAA,
    PST_ACME_COMPOUND,
    PST_ACME_CONNECTION,
    PST_ACME_TLS,
    PST_ACME_DNS,
    PST_ACME_EXTERNAL_ACCOUNT_REQUIRED,
    PST_ACME_INCORRECT_RESPONSE,
    PST_ACME_INVALID_CONTACT,
    PST_ACME_UNSUPPORTED_CONTACT,
    PST_ACME_INVALID_PROFILE,
    PST_ACME_MALFORMED,
    PST_ACME_ORDER_NOT_READY,
    PST_ACME_RATE_LIMITED,
    PST_ACME_REJECTED_IDENTIFIER,
    PST_ACME_UNSUPPORTED_IDENTIFIER,
    PST_ACME_SERVER_INTERNAL,
    PST_ACME_UNAUTHORIZED,
    PST_ACME_UNKNOWN_DELEGATION,
    PST_ACME_USER_ACTION_REQUIRED, /* also agreementRequired, its older name */
    PST_ACME_CONFLICT,             /* Boulder only */
    PST_ACME_OTHER,                /* another type, none, or no problem document at all */
    PST_ACME_UNAVAILABLE,          /* 503 without a problem document: a balancer's limit */
    PST_ACME_PROBLEM_TYPE__COUNT
};

enum pst_acme_class {
    PST_ACME_NOW,      /* repeat at once, after the change that the type asks for */
    PST_ACME_BACKOFF,  /* repeat, rarer each time */
    PST_ACME_DAILY,    /* the user or our input is at fault: show it, once a day */
    PST_ACME_OPERATOR, /* alarm the operator; stop for this account or feature */
    PST_ACME_SUCCESS,  /* what was wanted has happened already */
    PST_ACME_WAIT,     /* not before advice.not_before_at */
};

/* Where a problem stood: the same type may mean something else. */
enum pst_acme_where {
    PST_ACME_ON_REQUEST,   /* the answer to one of our requests */
    PST_ACME_ON_ORDER,     /* order.error */
    PST_ACME_ON_CHALLENGE, /* challenge.error */
};

enum { PST_ACME_SUBPROBLEMS_MAX = 16, PST_ACME_DETAIL_SIZE = 501 };

struct pst_acme_subproblem {
    enum pst_acme_problem_type type;
    char name[256]; /* the identifier it is about; "" if not stated */
    char detail[200];
};

/* A plain value.  All texts are escaped: printable, no control characters. */
struct pst_acme_problem {
    enum pst_acme_problem_type type;
    int status;            /* of HTTP, or the document's; 0 if neither */
    int64_t retry_after_s; /* 0: not stated; at most 1 day, with rateLimited 7 days */
    char urn[96];          /* the type as it was written; "" if none */
    char detail[PST_ACME_DETAIL_SIZE];
    char instance[512]; /* a page for people; "" if none */
    char terms[512];    /* Link rel="terms-of-service" of the answer; "" if none */
    bool paused;        /* rateLimited, and the name has been paused by the CA */
    size_t subproblems_n;
    struct pst_acme_subproblem subproblems[PST_ACME_SUBPROBLEMS_MAX];
};

struct pst_acme_advice {
    enum pst_acme_class class_;
    bool counts;           /* against the domain's own back-off; not when the CA is at fault */
    int64_t not_before_at; /* Unix seconds; 0: as the class says */
    const char *user;      /* a sentence for the owner of the domain; lives for ever */
};

/* What a problem means.  Of a compound one the subproblem that asks for most care decides.
 * Fills ret and, unless NULL, err: rc PST_EREMOTE, problem, text and retry. */
void pst_acme_problem_advice(const struct pst_acme_problem *p, enum pst_acme_where where,
                             int64_t now, struct pst_acme_advice *ret, struct pst_err *err);

/* "rateLimited"; "other" for PST_ACME_OTHER; never NULL. */
const char *pst_acme_problem_type_name(enum pst_acme_problem_type type);

/* ---- the CA ---- */

struct pst_acme_ca_opts {
    const char *directory_url;
    struct pst_http *http;         /* with the CA file of this directory; outlives the CA */
    const struct pst_clock *clock; /* NULL: the system's */
};

/* Reads nothing yet.  Free with pst_acme_ca_free().  PST_OK, PST_ECONFIG (the URL) or PST_ENOMEM.
 */
int pst_acme_ca_new(struct pst_acme_ca **ret, const struct pst_acme_ca_opts *opts,
                    struct pst_err *err);
void pst_acme_ca_free(struct pst_acme_ca *ca);

struct pst_acme_account {
    const char *url;                  /* the kid; NULL before pst_acme_account_new() */
    const struct pst_key_handle *key; /* no certificate's key */
};

/* Who asks whom, and what the CA said.  Lives on the caller's stack:
 *     struct pst_acme_call call = {.ca = ca, .account = {.url = url, .key = key}};
 */
struct pst_acme_call {
    struct pst_acme_ca *ca;
    struct pst_acme_account account;
    const atomic_bool *cancel;       /* as in struct pst_http_request; NULL: none */
    struct pst_acme_problem problem; /* out: type is PST_ACME_NONE unless PST_EREMOTE came back */
};

/* ---- directory ---- */

struct pst_acme_profile {
    char *name;
    char *text;
};

struct pst_acme_directory {
    bool renewal_info; /* pst_acme_renewal_info() and `replaces` work */
    bool external_account_required;
    char *terms_of_service;
    char *website;
    char **caa_identities;
    size_t caa_identities_n;
    char **issuer_domain_names; /* dns-persist-01, draft -02 */
    size_t issuer_domain_names_n;
    char *account_hash_prefix; /* the same */
    struct pst_acme_profile *profiles;
    size_t profiles_n;
};

/* The directory, at most a day old; with `refresh` it is read anew.  Needs no account.  Release
 * with pst_acme_directory_unref(); it is shared and never changes. */
int pst_acme_directory(struct pst_acme_call *call, bool refresh,
                       const struct pst_acme_directory **ret, struct pst_err *err);
void pst_acme_directory_unref(const struct pst_acme_directory *d);
bool pst_acme_directory_has_profile(const struct pst_acme_directory *d, const char *profile);

/* What is known of a CA without asking it. */
enum { PST_ACME_FAILURE_SIZE = 256 };
struct pst_acme_state {
    const struct pst_acme_directory *directory; /* to be released; NULL: never read */
    int64_t answered_at;                        /* Unix s of its last answer, whatever it said; 0:
                                                   none yet */
    int64_t failed_at;                          /* of the last request without an answer; 0: none */
    char failure[PST_ACME_FAILURE_SIZE];        /* why there was none */
};
void pst_acme_state(struct pst_acme_ca *ca, struct pst_acme_state *ret);

/* Seconds by which the CA's Date header was ahead of our clock in its last answer; 0 before. */
int64_t pst_acme_clock_skew_s(struct pst_acme_ca *ca);

/* ---- account (section 7.3) ---- */

enum pst_acme_account_status {
    PST_ACME_ACCOUNT_VALID,
    PST_ACME_ACCOUNT_DEACTIVATED, /* by us; for ever */
    PST_ACME_ACCOUNT_REVOKED,     /* by the CA; also any unknown status */
};

struct pst_acme_account_request {
    const char *const *contacts; /* "mailto:ops@example.net"; at most 8 */
    size_t contacts_n;
    bool terms_agreed;
    bool only_existing;               /* look up, do not make */
    const char *eab_kid;              /* external account binding; NULL: none */
    const struct pst_secret *eab_key; /* base64url or base64, padded or not, as the CA gave it */
    const char *eab_alg;              /* "HS256" (also for NULL), "HS384" or "HS512" */
};

struct pst_acme_account_info {
    char *url; /* the kid: store it with the key before the first order */
    enum pst_acme_account_status status;
    bool created; /* false: the CA knew the key */
};

/* Make or look up the account of call->account.key (its url is not looked at).
 * PST_NOTFOUND: with only_existing, the CA does not know the key. */
int pst_acme_account_new(struct pst_acme_call *call, const struct pst_acme_account_request *req,
                         struct pst_acme_account_info **ret, struct pst_err *err);
/* Replace the contacts (none: remove them). */
int pst_acme_account_update(struct pst_acme_call *call, const char *const *contacts,
                            size_t contacts_n, struct pst_err *err);
/* For ever. */
int pst_acme_account_deactivate(struct pst_acme_call *call, struct pst_err *err);
void pst_acme_account_info_free(struct pst_acme_account_info *a);

/* ---- order (section 7.4) ---- */

enum pst_acme_order_status {
    PST_ACME_ORDER_PENDING,
    PST_ACME_ORDER_READY,
    PST_ACME_ORDER_PROCESSING,
    PST_ACME_ORDER_VALID,
    PST_ACME_ORDER_INVALID, /* also any unknown status; never comes back */
    PST_ACME_ORDER_STATUS__COUNT
};

struct pst_acme_order_request {
    const char *const *names; /* lower-case A-labels, "*." allowed; 1 to 100, no two the same */
    size_t names_n;
    const char *profile;  /* NULL: none; one that the directory does not list is PST_REFUSED */
    const char *replaces; /* certificate id of RFC 9773; NULL: none; left out when the CA has no
                             renewalInfo */
};

struct pst_acme_order {
    char *url;
    enum pst_acme_order_status status;
    char *finalize;
    char *certificate;  /* only with VALID */
    int64_t expires_at; /* Unix seconds; 0: not stated */
    char **authz;       /* URLs, in any order */
    size_t authz_n;
    char **names; /* with "*." where the order has it, in any order */
    size_t names_n;
    struct pst_acme_problem *error; /* NULL: none */
    int64_t retry_after_ms;         /* 0: not stated; else within 1 s and 1 day */
};

/* A new order, or an older one for the same names that the CA has not ended.  Store its URLs
 * before anything else.  May be READY already. */
int pst_acme_order_new(struct pst_acme_call *call, const struct pst_acme_order_request *req,
                       struct pst_acme_order **ret, struct pst_err *err);
int pst_acme_order_get(struct pst_acme_call *call, const char *order_url,
                       struct pst_acme_order **ret, struct pst_err *err);
/* Hand in the CSR (DER) of a READY order (its url and finalize are used).  Usually PROCESSING
 * comes back: ask with pst_acme_order_get(). */
int pst_acme_finalize(struct pst_acme_call *call, const struct pst_acme_order *order,
                      const void *csr, size_t csr_len, struct pst_acme_order **ret,
                      struct pst_err *err);
void pst_acme_order_free(struct pst_acme_order *o);
const char *pst_acme_order_status_name(enum pst_acme_order_status s);

/* ---- authorization and challenge (sections 7.5 and 8) ---- */

enum pst_acme_authz_status {
    PST_ACME_AUTHZ_PENDING,
    PST_ACME_AUTHZ_VALID,
    PST_ACME_AUTHZ_INVALID, /* also any unknown status */
    PST_ACME_AUTHZ_DEACTIVATED,
    PST_ACME_AUTHZ_EXPIRED,
    PST_ACME_AUTHZ_REVOKED,
    PST_ACME_AUTHZ_STATUS__COUNT
};

enum pst_acme_challenge_status {
    PST_ACME_CHALLENGE_PENDING,
    PST_ACME_CHALLENGE_PROCESSING,
    PST_ACME_CHALLENGE_VALID,
    PST_ACME_CHALLENGE_INVALID, /* also any unknown status */
    PST_ACME_CHALLENGE_STATUS__COUNT
};

enum pst_acme_challenge_type {
    PST_ACME_HTTP_01,
    PST_ACME_DNS_01,
    PST_ACME_TLS_ALPN_01,
    PST_ACME_DNS_ACCOUNT_01,
    PST_ACME_DNS_PERSIST_01,
    PST_ACME_CHALLENGE_OTHER,
    PST_ACME_CHALLENGE_TYPE__COUNT
};

struct pst_acme_challenge {
    enum pst_acme_challenge_type type;
    char *type_text;
    char *url;
    char *token; /* base64url, at most 128 characters; NULL where the type has none */
    enum pst_acme_challenge_status status;
    struct pst_acme_problem *error; /* NULL: none */
    char **issuers;                 /* dns-persist-01: issuer domain names */
    size_t issuers_n;
    char *account_uri; /* dns-persist-01, drafts up to -01 */
    bool hashed;       /* dns-persist-01: the draft -02 form of the record */
};

struct pst_acme_authz {
    char *url;
    char *name; /* without "*." */
    bool wildcard;
    enum pst_acme_authz_status status;
    int64_t expires_at;                    /* Unix seconds; 0: not stated */
    struct pst_acme_challenge *challenges; /* in any order; those we cannot read are left out */
    size_t challenges_n;
    int64_t retry_after_ms; /* 0: not stated; else within 1 s and 1 day */
};

int pst_acme_authz_get(struct pst_acme_call *call, const char *authz_url,
                       struct pst_acme_authz **ret, struct pst_err *err);
void pst_acme_authz_free(struct pst_acme_authz *a);
/* The challenge of this type; NULL: not offered. */
const struct pst_acme_challenge *pst_acme_authz_challenge(const struct pst_acme_authz *a,
                                                          enum pst_acme_challenge_type type);
/* The problem of the challenge that failed; NULL: none. */
const struct pst_acme_problem *pst_acme_authz_error(const struct pst_acme_authz *a);

/* Say "ready" to a PENDING challenge: once only, then ask with pst_acme_authz_get(). */
int pst_acme_challenge_answer(struct pst_acme_call *call, const char *challenge_url,
                              enum pst_acme_challenge_status *ret, struct pst_err *err);

const char *pst_acme_authz_status_name(enum pst_acme_authz_status s);
const char *pst_acme_challenge_type_name(enum pst_acme_challenge_type t); /* "http-01" */
/* "http-01" and so on; PST_ACME_CHALLENGE_OTHER when it is none of ours. */
enum pst_acme_challenge_type pst_acme_challenge_type_parse(const char *s);

/* ---- certificate (section 7.4.2) ---- */

struct pst_acme_certificate {
    char *pem; /* as the CA sent it: CERTIFICATE blocks, leaf first; at most 256 KiB.  Neither the
                  chain nor the leaf has been looked into */
    size_t pem_len;
    char **alternates; /* URLs of other chains of the same leaf; at most 8 */
    size_t alternates_n;
};

int pst_acme_certificate_get(struct pst_acme_call *call, const char *certificate_url,
                             struct pst_acme_certificate **ret, struct pst_err *err);
void pst_acme_certificate_free(struct pst_acme_certificate *c);

/*
 * Revoke (section 7.6).
 *
 * leaf      DER
 * reason    0 (not stated), 1 key compromise, 4 superseded, 5 cessation of operation
 * cert_key  sign with the certificate's own key; NULL: with the account of the call
 *
 * PST_DONE: it was revoked already.
 */
int pst_acme_revoke(struct pst_acme_call *call, const void *leaf, size_t leaf_len, int reason,
                    const struct pst_key_handle *cert_key, struct pst_err *err);

/* ---- renewal information (RFC 9773) ---- */

struct pst_acme_renewal {
    int64_t start_at_ms; /* the window the CA suggests, start < end; Unix ms */
    int64_t end_at_ms;
    int64_t retry_after_s; /* ask again after; within 1 minute and 1 day, 6 hours if not stated */
    char explanation_url[512]; /* "" if none */
};

/* cert_id: base64url(key id of the issuer) "." base64url(serial).  Needs no account.
 * PST_NOTFOUND: this CA has no renewal information. */
int pst_acme_renewal_info(struct pst_acme_call *call, const char *cert_id,
                          struct pst_acme_renewal *ret, struct pst_err *err);

#endif
