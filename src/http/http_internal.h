/* http_internal.h - what the files of http/ and their tests share. */
#ifndef POSTERN_HTTP_INTERNAL_H
#define POSTERN_HTTP_INTERNAL_H

#include <curl/curl.h>
#include <postern/buf.h>
#include <postern/http.h>
#include <postern/mem.h>
#include <pthread.h>

PST_CLEANUP(CURL, curl_easy_cleanup);
PST_CLEANUP(CURLU, curl_url_cleanup);
PST_CLEANUP(struct pst_http_response, pst_http_response_free);

enum {
    PST_HTTP_URL_MAX = 8000,
    PST_HTTP_HEADERS_MAX = 32,             /* of a request */
    PST_HTTP_ANSWER_HEADERS_MAX = 256,     /* of an answer */
    PST_HTTP_ANSWER_HEAD_MAX = 64 * 1024,  /* bytes of an answer's headers */
    PST_HTTP_REQUEST_HEAD_MAX = 64 * 1024, /* bytes of a request's headers */
    PST_HTTP_ORIGIN_SIZE = 512,            /* what tells idle handles apart */
    PST_HTTP_RETRY_AFTER_MAX_S = 24 * 3600,
};

struct pst_http_response {
    int status;
    size_t headers_n;
    struct pst_buf headers; /* name, NUL, value, NUL, and so on */
    struct pst_buf body;
    bool head_done; /* what comes now as a header is a trailer */
};

/* An idle handle keeps its connections, so it is best used for where it has been. */
struct pst_http_idle {
    CURL *curl;
    char origin[PST_HTTP_ORIGIN_SIZE];
};

struct pst_http {
    char *ca_file;
    char *user_agent;
    char *proxy; /* "" for none: libcurl then does not look at the environment */
    uint32_t timeout_ms;
    uint32_t connect_timeout_ms;
    size_t max_body;
    const struct pst_gate *gate;

    pthread_mutex_t lock; /* guards what follows */
    struct pst_http_idle *idle;
    unsigned idle_n;
    unsigned idle_max;
};

/* One exchange under way: what the callbacks of libcurl write to. */
struct pst_http_exchange {
    const struct pst_http *http;
    const struct pst_http_request *req;
    struct pst_http_response *resp;
    bool opened;         /* the gate has let a socket through */
    const char *refused; /* the rule by which it has refused one */
    const char *broken;  /* why a callback has stopped the transfer */
    char address[64];    /* the last one tried; with `refused` and not `opened` the refused one */
    char error[CURL_ERROR_SIZE];

    struct pst_buf head; /* header lines of the request; may hold the bearer token */
    struct curl_slist lines[PST_HTTP_HEADERS_MAX + 4];
    size_t lines_n;
    char connect_to_text[80];
    struct curl_slist connect_to;
};

/* Set up `curl` for the exchange.  PST_OK, PST_REFUSED (a Unix socket with a gate), PST_EINPUT,
 * PST_ENOMEM. */
int pst_http_prepare(struct pst_http_exchange *x, CURL *curl, struct pst_err *err);

/* One line of an answer's head, as libcurl gives it.  False: over a limit or not well formed. */
bool pst_http_head_line(struct pst_http_response *r, const char *line, size_t len,
                        const char **ret_why);

/* "192.0.2.1:80" or "[::1]:80": an address and a port other than 0. */
bool pst_http_address_ok(const char *s);

/* "[::1]:80", or the path of a Unix socket. */
void pst_http_address_text(const struct sockaddr *sa, socklen_t len, char *to, size_t to_size);

/*
 * Walk one Link header's value: skip `*io_i` links with relation `rel`, give the target of the next
 * one, which lies in `value`.  True: found.  False: *io_i is what is left to skip.
 */
bool pst_http_link_find(const char *value, const char *rel, size_t *io_i, const char **ret,
                        size_t *ret_len);

#endif
