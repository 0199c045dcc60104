/*
 * http.h - bounded HTTP requests, and the gate that keeps them away from our own networks.
 *
 * A `struct pst_http` is a client: settings that all its requests share, and a pool of connections
 * that are used again.  One pst_http_do() is one request and one answer: redirects are not
 * followed, no proxy of the environment is used, certificates are verified, only http: and https:
 * are spoken, a body always goes with its Content-Length, and size and time are bounded.
 *
 * Threads:  one client may be used by many threads at once; a response belongs to one.
 * Blocking: pst_http_do() blocks, at most for the timeout of the request.
 * Memory:   a response belongs to the caller (pst_http_response_free()); inputs are only read
 *           during the call, except the gate and the clock, which must outlive the client.
 * Failure:  every status is an answer (PST_OK).  PST_ENET: no answer; err.text names the address
 *           and the reason.  PST_EINPUT: the answer broke a limit or HTTP itself, or the request
 *           is not well formed.  Secrets never appear in a text.
 */
#ifndef POSTERN_HTTP_H
#define POSTERN_HTTP_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

struct pst_clock;
struct pst_err;
struct pst_gate;
struct pst_secret;
struct pst_http;
struct pst_http_response;

/* ---- client ---- */

struct pst_http_opts {
    const char *ca_file;         /* PEM file of trusted roots; NULL: the system's */
    const char *user_agent;      /* NULL: "postern/<version> libcurl/<version>" */
    uint32_t timeout_ms;         /* for a whole exchange; 0 means 30,000 */
    uint32_t connect_timeout_ms; /* part of it for name, TCP and TLS; 0 means 10,000 */
    size_t max_body;             /* bytes of an answer's body; 0 means 1 MiB */
    unsigned idle_max;           /* idle handles kept, with their connections; 0 means 16 */
    const char *proxy;           /* URL; NULL: none.  Not together with a gate */
    const struct pst_gate *gate; /* judges every address; NULL: none (the operator's own hosts) */
};

/* Free with pst_http_free().  PST_OK, PST_ECONFIG (the CA file cannot be read, proxy with gate) or
 * PST_ENOMEM. */
int pst_http_new(struct pst_http **ret, const struct pst_http_opts *opts, struct pst_err *err);
/* No request may be under way.  NULL is fine. */
void pst_http_free(struct pst_http *h);

/* ---- request ---- */

struct pst_http_header {
    const char *name;
    const char *value;
};

struct pst_http_request {
    const char *method; /* "GET" (also for NULL), "HEAD", "POST", "PUT", "PATCH", "DELETE" */
    const char *url;    /* absolute, http or https, no user information; at most 8,000 bytes */
    const struct pst_http_header *headers; /* "Content-Type" among them; at most 32 */
    size_t headers_n;
    const void *body; /* NULL with len 0: POST, PUT and PATCH then say Content-Length: 0 */
    size_t body_len;
    uint32_t timeout_ms;             /* 0: the client's */
    size_t max_body;                 /* 0: the client's */
    const struct pst_secret *bearer; /* sent as Authorization: Bearer; NULL or empty: none */
    const char *unix_socket;         /* path: connect there, whatever the URL's host is */
    const char *connect_to;          /* "192.0.2.1:80" or "[2001:db8::1]:443": connect there instead
                                        of resolving the host; Host, SNI and the name that is
                                        verified stay those of the URL */
    const atomic_bool *cancel;       /* set by another thread: the call ends with PST_ENET within a
                                        second; NULL: cannot be ended early */
};

/*
 * Send a request and read the answer; free it with pst_http_response_free().
 *
 * PST_OK       an answer, of any status
 * PST_REFUSED  the gate allows none of the addresses; err.text names address and rule and
 *              err.problem is "gate"
 * PST_ENET     not reached, TLS failed, broken off, timed out, cancelled
 * PST_EINPUT   over a limit, not HTTP, or the request itself is not well formed
 * PST_ECONFIG  the CA file holds no certificate
 * PST_ENOMEM
 */
int pst_http_do(struct pst_http *h, const struct pst_http_request *req,
                struct pst_http_response **ret, struct pst_err *err);

/* ---- response ---- */

void pst_http_response_free(struct pst_http_response *r); /* NULL is fine */

/* 100 to 599. */
int pst_http_status(const struct pst_http_response *r);
/* The body with a NUL behind it ("" when there is none), owned by the response. */
const char *pst_http_body(const struct pst_http_response *r, size_t *ret_len);
/* The i-th value (from 0) of a header, any case of the name; NULL when there are no more. */
const char *pst_http_header(const struct pst_http_response *r, const char *name, size_t i);
/* Does Content-Type say `type` ("application/json"), whatever its parameters and case? */
bool pst_http_is_type(const struct pst_http_response *r, const char *type);

/*
 * How many seconds to wait by Retry-After (RFC 9110 section 10.2.3: seconds or a date), within
 * 1 second and 1 day.  Missing, negative, in the past or not to be understood: `default_s` as it
 * is.  now: Unix seconds.
 */
int64_t pst_http_retry_after(const struct pst_http_response *r, int64_t now, int64_t default_s);
/* The same of a header's value, not clamped: false, or seconds in [0, 2^31). */
bool pst_http_retry_after_parse(const char *value, int64_t now, int64_t *ret_s);
/* An HTTP-date in any of the three forms of RFC 9110 section 5.6.7. */
bool pst_http_date_parse(const char *value, int64_t *ret_unix_s);

/*
 * The target of the i-th link (from 0) with relation `rel` in all Link headers (RFC 8288); links
 * with an `anchor` do not count.  As it stands there, not resolved.
 * False: there is none, or it is longer than to_size - 1 bytes.
 */
bool pst_http_link(const struct pst_http_response *r, const char *rel, size_t i, char *to,
                   size_t to_size);

/* ---- URL ---- */

struct pst_http_url {
    bool https;
    bool loopback; /* the host is "localhost", in 127.0.0.0/8 or ::1 */
    uint16_t port;
    char host[256]; /* lower case, no brackets around IPv6 */
};

/* Read an absolute URL as pst_http_do() will.  PST_OK, or PST_EINPUT with the reason: no http or
 * https, no host, user information, a fragment, blanks or control characters, too long. */
int pst_http_url_parse(const char *url, struct pst_http_url *ret, struct pst_err *err);

/* ---- gate ---- */

/*
 * The gate for requests to hosts that a tenant names.  Each address is judged when its socket is
 * opened, so no later change of DNS gets past it.  Refused: loopback, private, link-local, shared
 * (CGNAT), multicast, broadcast, unspecified and reserved networks of IPv4; loopback, unique
 * local, link-local, site-local, multicast and unspecified ones of IPv6; and every IPv6 form that
 * carries an IPv4 address (mapped, compatible, NAT64, 6to4, Teredo).
 *
 * allow  networks that are let through all the same, "127.0.0.0/8", "::1", "10.1.0.0/16".  They
 *        are compared with the address as it is written: an IPv4 entry does not open its mapped
 *        form.
 *
 * Threads: never changes, any number.  Free with pst_gate_free().  PST_OK, PST_ECONFIG (err names
 * the entry) or PST_ENOMEM.
 */
int pst_gate_new(struct pst_gate **ret, const char *const *allow, size_t allow_n,
                 struct pst_err *err);
void pst_gate_free(struct pst_gate *g);

/* May this address be spoken to?  When not, *ret_rule (may be NULL) says why ("private network
 * 10.0.0.0/8"); a text that lives for ever. */
bool pst_gate_allows(const struct pst_gate *g, const struct sockaddr *sa, socklen_t len,
                     const char **ret_rule);

#endif
