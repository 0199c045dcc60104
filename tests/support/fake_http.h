/*
 * fake_http.h - an HTTP/1.1 server inside a test, driven by a script of canned answers.
 *
 *     struct fake_http *f = fake_http_start();
 *     fake_http_on(f, "GET /dir", -1, 200, "Content-Type: application/json\r\n", "{...}");
 *     fake_http_on(f, NULL, 1, 503, "Retry-After: 7\r\n", "<html>busy</html>");
 *     ... the code under test talks to fake_http_url(f) ...
 *     fake_http_seen(f, 0)->body
 *     fake_http_stop(f);
 *
 * An answer is for one "METHOD /path" (without the query) or, with NULL, for every request.  The
 * first one in the order of the calls that fits and is not used up is given, `times` times, or for
 * ever with -1.  Nothing fits: 599.  In headers and bodies {base} becomes the server's URL, {nonce}
 * a new "nonce<n>" each time; Content-Length is added by itself.
 *
 * Threads: the server has its own; scripts may grow while it runs.  A test that cannot go on
 * (no socket, no memory) aborts.
 */
#ifndef PST_FAKE_HTTP_H
#define PST_FAKE_HTTP_H

#include <stddef.h>

struct fake_http;

/* Listen on 127.0.0.1, port chosen by the kernel. */
struct fake_http *fake_http_start(void);
/* Listen on a Unix socket instead; fake_http_url() is then http://localhost. */
struct fake_http *fake_http_start_unix(const char *path);
void fake_http_stop(struct fake_http *f);

const char *fake_http_url(const struct fake_http *f); /* "http://127.0.0.1:12345" */
int fake_http_port(const struct fake_http *f);

/* headers: whole lines with \r\n each, or "". */
void fake_http_on(struct fake_http *f, const char *request, int times, int status,
                  const char *headers, const char *body);
/* Bytes as they are; then the connection is closed.  len 0 closes it without a word. */
void fake_http_raw(struct fake_http *f, const char *request, int times, const void *bytes,
                   size_t len);
/* Never answer (until fake_http_stop()). */
void fake_http_stall(struct fake_http *f, const char *request, int times);
/* Forget all answers. */
void fake_http_clear(struct fake_http *f);

struct fake_http_request {
    char method[16];
    char path[4096]; /* with the query */
    char *head;      /* the lines after the first, each with \r\n */
    char *body;      /* NUL-terminated */
    size_t body_len;
    unsigned connection; /* number of the connection it came on, from 1 */
};

size_t fake_http_count(struct fake_http *f);
/* How many requests "METHOD /path" there were. */
size_t fake_http_count_of(struct fake_http *f, const char *request);
/* The i-th request, or NULL; valid until fake_http_stop(). */
const struct fake_http_request *fake_http_seen(struct fake_http *f, size_t i);
/* The last one. */
const struct fake_http_request *fake_http_last(struct fake_http *f);
/* A header of a request (any case) in a buffer of the server's that the next call writes over;
 * NULL: not sent. */
const char *fake_http_header(struct fake_http *f, const struct fake_http_request *r,
                             const char *name);

#endif
