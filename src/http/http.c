/* http.c - the client, its idle handles, and one exchange from request to answer. */
#include <fcntl.h>
#include <postern/err.h>
#include <postern/secret.h>
#include <postern/text.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "http_internal.h"

/* ---- client ---- */

static pthread_once_t curl_once = PTHREAD_ONCE_INIT;
static CURLcode curl_ready;

static void start_curl(void)
{
    curl_ready = curl_global_init(CURL_GLOBAL_DEFAULT);
}

static int check_opts(const struct pst_http_opts *o, struct pst_err *err)
{
    if (o->gate && o->proxy)
        return pst_fail(err, PST_ECONFIG,
                        "a proxy and the gate exclude each other: behind a proxy no address can "
                        "be judged");
    if (!o->ca_file)
        return PST_OK;

    auto_close int fd = open(o->ca_file, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        pst_fail_sys(err, "CA file %s", o->ca_file);
        if (err)
            err->rc = PST_ECONFIG;
        return PST_ECONFIG;
    }
    return PST_OK;
}

static char *own_user_agent(void)
{
    return pst_asprintf("postern/%s libcurl/%s", PST_VERSION,
                        curl_version_info(CURLVERSION_NOW)->version);
}

int pst_http_new(struct pst_http **ret, const struct pst_http_opts *opts, struct pst_err *err)
{
    int rc = check_opts(opts, err);
    if (rc)
        return rc;

    pthread_once(&curl_once, start_curl);
    if (curl_ready != CURLE_OK)
        return pst_fail(err, PST_EINTERNAL, "libcurl does not start: %s",
                        curl_easy_strerror(curl_ready));

    struct pst_http *h = pst_zalloc(1, sizeof *h);
    if (!h)
        return pst_fail_nomem(err, "the HTTP client");
    pthread_mutex_init(&h->lock, NULL);
    h->timeout_ms = opts->timeout_ms ? opts->timeout_ms : 30000;
    h->connect_timeout_ms = opts->connect_timeout_ms ? opts->connect_timeout_ms : 10000;
    h->max_body = opts->max_body ? opts->max_body : 1024 * 1024;
    h->idle_max = opts->idle_max ? opts->idle_max : 16;
    h->gate = opts->gate;
    h->ca_file = opts->ca_file ? pst_strdup(opts->ca_file) : NULL;
    h->user_agent = opts->user_agent ? pst_strdup(opts->user_agent) : own_user_agent();
    h->proxy = pst_strdup(opts->proxy ? opts->proxy : "");
    h->idle = pst_zalloc(h->idle_max, sizeof *h->idle);
    if ((opts->ca_file && !h->ca_file) || !h->user_agent || !h->proxy || !h->idle) {
        pst_http_free(h);
        return pst_fail_nomem(err, "the HTTP client");
    }
    *ret = h;
    return PST_OK;
}

void pst_http_free(struct pst_http *h)
{
    if (!h)
        return;
    for (unsigned i = 0; i < h->idle_n; i++)
        curl_easy_cleanup(h->idle[i].curl);
    pthread_mutex_destroy(&h->lock);
    pst_free(h->idle);
    pst_free(h->ca_file);
    pst_free(h->user_agent);
    pst_free(h->proxy);
    pst_free(h);
}

/* ---- idle handles ---- */

/* The handle that was last at this origin, else the one idle longest when the pool is full, else
 * a new one.  NULL: no memory. */
static CURL *handle_get(struct pst_http *h, const char *origin)
{
    CURL *curl = NULL;

    pthread_mutex_lock(&h->lock);
    unsigned pick = h->idle_n;
    for (unsigned i = 0; i < h->idle_n; i++)
        if (pst_streq(h->idle[i].origin, origin))
            pick = i;
    if (pick == h->idle_n && h->idle_n == h->idle_max)
        pick = 0;
    if (pick < h->idle_n) {
        curl = h->idle[pick].curl;
        h->idle_n--;
        memmove(&h->idle[pick], &h->idle[pick + 1], (h->idle_n - pick) * sizeof *h->idle);
    }
    pthread_mutex_unlock(&h->lock);

    if (!curl)
        return curl_easy_init();
    return curl;
}

static void handle_put(struct pst_http *h, CURL *curl, const char *origin)
{
    /* Nothing of this request may be left: the options point into the caller's memory. */
    curl_easy_reset(curl);

    pthread_mutex_lock(&h->lock);
    bool keep = h->idle_n < h->idle_max;
    if (keep) {
        struct pst_http_idle *slot = &h->idle[h->idle_n++];
        slot->curl = curl;
        pst_str_copy(slot->origin, sizeof slot->origin, origin);
    }
    pthread_mutex_unlock(&h->lock);

    if (!keep)
        curl_easy_cleanup(curl);
}

/* ---- exchange ---- */

static const struct {
    CURLcode code;
    int rc;
} codes[] = {
    {CURLE_OUT_OF_MEMORY, PST_ENOMEM},        {CURLE_URL_MALFORMAT, PST_EINPUT},
    {CURLE_UNSUPPORTED_PROTOCOL, PST_EINPUT}, {CURLE_WEIRD_SERVER_REPLY, PST_EINPUT},
    {CURLE_BAD_CONTENT_ENCODING, PST_EINPUT}, {CURLE_HTTP2, PST_EINPUT},
    {CURLE_HTTP2_STREAM, PST_EINPUT},         {CURLE_SSL_CACERT_BADFILE, PST_ECONFIG},
};

static int rc_of(CURLcode code)
{
    for (size_t i = 0; i < PST_ARRAY_N(codes); i++)
        if (codes[i].code == code)
            return codes[i].rc;
    return PST_ENET;
}

/* Why the transfer ended, as a fault.  Texts name the origin only: paths may hold secrets. */
static int explain(struct pst_http_exchange *x, CURLcode code, struct pst_err *err)
{
    const struct pst_http_request *req = x->req;
    const char *at = x->address[0] ? x->address : "no address";
    uint32_t limit = req->timeout_ms ? req->timeout_ms : x->http->timeout_ms;

    if (x->refused && !x->opened) {
        pst_fail(err, PST_REFUSED, "%s must not be spoken to: %s", x->address, x->refused);
        pst_err_problem(err, "gate");
        return PST_REFUSED;
    }
    if (x->resp->body.no_memory || x->resp->headers.no_memory)
        return pst_fail_nomem(err, "an answer");
    if (x->broken)
        return pst_fail(err, PST_EINPUT, "the answer of %s: %s", at, x->broken);
    if (code == CURLE_ABORTED_BY_CALLBACK)
        return pst_fail(err, PST_ENET, "ended early, because we are stopping");
    if (code == CURLE_OPERATION_TIMEDOUT)
        return pst_fail(err, PST_ENET, "no complete answer within %u ms (%s)", limit, at);
    return pst_fail(err, rc_of(code), "%s (%s)", x->error[0] ? x->error : curl_easy_strerror(code),
                    at);
}

static int transfer(struct pst_http_exchange *x, CURL *curl, struct pst_err *err)
{
    int rc = pst_http_prepare(x, curl, err);
    if (rc)
        return rc;

    CURLcode code = curl_easy_perform(curl);
    char *ip = NULL;
    if (!x->address[0] && curl_easy_getinfo(curl, CURLINFO_PRIMARY_IP, &ip) == CURLE_OK && ip)
        snprintf(x->address, sizeof x->address, "%s", ip); /* a connection that was used again */
    if (code != CURLE_OK)
        return explain(x, code, err);
    if (x->resp->status < 100 || x->resp->status > 599)
        return pst_fail(err, PST_EINPUT, "the answer of %s has no usable status", x->address);
    return PST_OK;
}

int pst_http_do(struct pst_http *h, const struct pst_http_request *req,
                struct pst_http_response **ret, struct pst_err *err)
{
    struct pst_http_url url;
    char origin[PST_HTTP_ORIGIN_SIZE];

    int rc = pst_http_url_parse(req->url, &url, err);
    if (rc)
        return rc < 0 ? pst_wrap(err, "HTTP request") : rc;
    snprintf(origin, sizeof origin, "%s://%s:%u %.100s%.100s", url.https ? "https" : "http",
             url.host, url.port, req->connect_to ? req->connect_to : "",
             req->unix_socket ? req->unix_socket : "");

    auto_(pst_http_response_free) struct pst_http_response *resp = pst_zalloc(1, sizeof *resp);
    if (!resp)
        return pst_fail_nomem(err, "an answer");
    resp->headers.max = PST_HTTP_ANSWER_HEAD_MAX;
    resp->body.max = req->max_body ? req->max_body : h->max_body;

    struct pst_http_exchange x = {
        .http = h, .req = req, .resp = resp, .head = PST_BUF(PST_HTTP_REQUEST_HEAD_MAX)};
    CURL *curl = handle_get(h, origin);
    rc = curl ? transfer(&x, curl, err) : pst_fail_nomem(err, "a request");
    if (curl)
        handle_put(h, curl, origin);
    pst_buf_wipe(&x.head);

    if (rc) {
        pst_wrap(err, "%s %s://%s:%u", req->method ? req->method : "GET",
                 url.https ? "https" : "http", url.host, url.port);
        return rc;
    }
    *ret = pst_take(&resp);
    return PST_OK;
}
