/* request.c - from a request to the options of a libcurl handle, and its callbacks. */
#include <postern/err.h>
#include <postern/secret.h>
#include <postern/text.h>
#include <stdio.h>
#include <string.h>
#include <sys/un.h>

#include "http_internal.h"

enum body_rule { BODY_NEVER, BODY_MAYBE, BODY_ALWAYS };

static const struct method {
    const char *name;
    enum body_rule body; /* ALWAYS: without one, Content-Length: 0 is sent */
} methods[] = {
    {"GET", BODY_NEVER},  {"HEAD", BODY_NEVER},   {"POST", BODY_ALWAYS},
    {"PUT", BODY_ALWAYS}, {"PATCH", BODY_ALWAYS}, {"DELETE", BODY_MAYBE},
};

/* What this module or libcurl sets; a second value would confuse the framing or the routing. */
static const char *const own_headers[] = {
    "Content-Length", "Transfer-Encoding", "Connection", "Expect", "Host", "Upgrade", "TE",
};

/* ---- callbacks ---- */

static size_t on_head(char *line, size_t size, size_t n, void *arg)
{
    struct pst_http_exchange *x = arg;

    (void)size; /* always 1 */
    return pst_http_head_line(x->resp, line, n, &x->broken) ? n : 0;
}

static size_t on_body(char *data, size_t size, size_t n, void *arg)
{
    struct pst_http_exchange *x = arg;

    (void)size; /* always 1 */
    pst_buf_add(&x->resp->body, data, n);
    if (x->resp->body.too_long)
        x->broken = "the body is larger than allowed";
    return x->resp->body.too_long || x->resp->body.no_memory ? 0 : n;
}

static int on_progress(void *arg, curl_off_t dn_total, curl_off_t dn, curl_off_t up_total,
                       curl_off_t up)
{
    const struct pst_http_exchange *x = arg;

    return atomic_load(x->req->cancel) ? 1 : 0;
}

static curl_socket_t on_socket(void *arg, curlsocktype purpose, struct curl_sockaddr *addr)
{
    struct pst_http_exchange *x = arg;
    const struct pst_gate *gate = x->http->gate;
    const char *rule = NULL;

    if (purpose != CURLSOCKTYPE_IPCXN)
        return CURL_SOCKET_BAD;
    bool allowed = !gate || pst_gate_allows(gate, &addr->addr, addr->addrlen, &rule);
    if (allowed || !x->opened)
        pst_http_address_text(&addr->addr, addr->addrlen, x->address, sizeof x->address);
    if (!allowed) {
        x->refused = rule;
        return CURL_SOCKET_BAD;
    }
    x->opened = true;
    return socket(addr->family, addr->socktype | SOCK_CLOEXEC, addr->protocol);
}

/* ---- the request's head ---- */

static bool is_token(const char *s)
{
    static const char extra[] = "!#$%&'*+-.^_`|~";

    if (!s || !s[0])
        return false;
    for (; *s; s++) {
        bool alnum =
            (*s >= '0' && *s <= '9') || (*s >= 'a' && *s <= 'z') || (*s >= 'A' && *s <= 'Z');
        if (!alnum && !strchr(extra, *s))
            return false;
    }
    return true;
}

static bool is_header_value(const char *s)
{
    for (; s && *s; s++)
        if (((unsigned char)*s < ' ' && *s != '\t') || *s == 0x7f)
            return false;
    return s != NULL;
}

static int check_header(const struct pst_http_header *h, const struct pst_secret *bearer,
                        struct pst_err *err)
{
    if (!is_token(h->name))
        return pst_fail(err, PST_EINPUT, "a header whose name is not a token");
    if (!is_header_value(h->value))
        return pst_fail(err, PST_EINPUT, "header %.60s: its value has control characters", h->name);
    for (size_t i = 0; i < PST_ARRAY_N(own_headers); i++)
        if (pst_strcaseeq(h->name, own_headers[i]))
            return pst_fail(err, PST_EINPUT, "header %s cannot be set by hand", own_headers[i]);
    if (bearer && bearer->len > 0 && pst_strcaseeq(h->name, "Authorization"))
        return pst_fail(err, PST_EINPUT, "header Authorization together with a bearer token");
    return PST_OK;
}

/* Lines stand one after the other in x->head, each with its NUL; pointers are set at the end. */
static int build_head(struct pst_http_exchange *x, struct pst_err *err)
{
    const struct pst_http_request *req = x->req;
    bool typed = false;

    if (req->headers_n > PST_HTTP_HEADERS_MAX)
        return pst_fail(err, PST_EINPUT, "more than %d headers", PST_HTTP_HEADERS_MAX);
    for (size_t i = 0; i < req->headers_n; i++) {
        const struct pst_http_header *h = &req->headers[i];
        int rc = check_header(h, req->bearer, err);
        if (rc)
            return rc;
        typed = typed || pst_strcaseeq(h->name, "Content-Type");
        if (h->value[0])
            pst_buf_printf(&x->head, "%s: %s%c", h->name, h->value, 0);
        else
            pst_buf_printf(&x->head, "%s;%c", h->name, 0); /* libcurl's way to send it empty */
        x->lines_n++;
    }
    if (req->bearer && req->bearer->len > 0) {
        if (strlen((const char *)req->bearer->data) != req->bearer->len ||
            !is_header_value((const char *)req->bearer->data))
            return pst_fail(err, PST_EINPUT, "a bearer token with control characters");
        pst_buf_str(&x->head, "Authorization: Bearer ");
        pst_buf_add(&x->head, req->bearer->data, req->bearer->len);
        pst_buf_char(&x->head, '\0');
        x->lines_n++;
    }
    /* A name and a colon alone keep libcurl from sending its own. */
    pst_buf_add(&x->head, "Expect:", sizeof "Expect:");
    x->lines_n++;
    if (!typed) {
        pst_buf_add(&x->head, "Content-Type:", sizeof "Content-Type:");
        x->lines_n++;
    }
    int rc = pst_buf_check(&x->head, "the headers of a request", err);
    if (rc)
        return rc;

    char *line = x->head.data;
    for (size_t i = 0; i < x->lines_n; i++) {
        x->lines[i].data = line;
        x->lines[i].next = i + 1 < x->lines_n ? &x->lines[i + 1] : NULL;
        line += strlen(line) + 1;
    }
    return PST_OK;
}

/* ---- options ---- */

#define SET(option, value)                                                                         \
    do {                                                                                           \
        if (curl_easy_setopt(curl, (option), (value)) != CURLE_OK)                                 \
            return pst_fail(err, PST_ENOMEM, "libcurl does not take %s", #option);                 \
    } while (0)

static int set_method(struct pst_http_exchange *x, CURL *curl, struct pst_err *err)
{
    const struct pst_http_request *req = x->req;
    const char *name = req->method ? req->method : "GET";
    const struct method *m = NULL;

    for (size_t i = 0; i < PST_ARRAY_N(methods); i++)
        if (pst_streq(name, methods[i].name))
            m = &methods[i];
    if (!m)
        return pst_fail(err, PST_EINPUT, "method \"%.20s\" is not one that is spoken", name);
    if (m->body == BODY_NEVER && req->body_len > 0)
        return pst_fail(err, PST_EINPUT, "%s takes no body", name);

    if (pst_streq(name, "HEAD")) {
        SET(CURLOPT_NOBODY, 1L); /* a custom method would wait for a body */
        return PST_OK;
    }
    if (m->body == BODY_NEVER) {
        SET(CURLOPT_HTTPGET, 1L);
        return PST_OK;
    }
    if (m->body == BODY_ALWAYS || req->body_len > 0) {
        SET(CURLOPT_POST, 1L);
        SET(CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)req->body_len);
        SET(CURLOPT_POSTFIELDS, req->body_len > 0 ? req->body : "");
    }
    if (!pst_streq(name, "POST"))
        SET(CURLOPT_CUSTOMREQUEST, name);
    return PST_OK;
}

static int set_target(struct pst_http_exchange *x, CURL *curl, struct pst_err *err)
{
    const struct pst_http_request *req = x->req;

    SET(CURLOPT_URL, req->url);
    SET(CURLOPT_PATH_AS_IS, 1L); /* a CA's URLs are opaque */
    SET(CURLOPT_PROTOCOLS_STR, "http,https");
    SET(CURLOPT_FOLLOWLOCATION, 0L);
    SET(CURLOPT_PROXY, x->http->proxy);
    SET(CURLOPT_SUPPRESS_CONNECT_HEADERS, 1L);

    if (req->unix_socket) {
        if (x->http->gate)
            return pst_fail(err, PST_REFUSED, "Unix sockets are not for hosts a tenant names");
        if (strlen(req->unix_socket) >= sizeof((struct sockaddr_un){0}).sun_path)
            return pst_fail(err, PST_EINPUT, "the path of the Unix socket is too long");
        SET(CURLOPT_UNIX_SOCKET_PATH, req->unix_socket);
    }
    if (req->connect_to) {
        if (!pst_http_address_ok(req->connect_to))
            return pst_fail(err, PST_EINPUT,
                            "\"%.60s\" is not an address to connect to, such as 192.0.2.1:80",
                            req->connect_to);
        snprintf(x->connect_to_text, sizeof x->connect_to_text, "::%s", req->connect_to);
        x->connect_to = (struct curl_slist){.data = x->connect_to_text};
        SET(CURLOPT_CONNECT_TO, &x->connect_to);
    }
    return PST_OK;
}

static int set_limits(struct pst_http_exchange *x, CURL *curl, struct pst_err *err)
{
    const struct pst_http *h = x->http;
    uint32_t timeout = x->req->timeout_ms ? x->req->timeout_ms : h->timeout_ms;

    SET(CURLOPT_TIMEOUT_MS, (long)timeout);
    SET(CURLOPT_CONNECTTIMEOUT_MS,
        (long)(h->connect_timeout_ms < timeout ? h->connect_timeout_ms : timeout));
    SET(CURLOPT_NOSIGNAL, 1L);
#if LIBCURL_VERSION_NUM >= 0x075700
    SET(CURLOPT_QUICK_EXIT, 1L); /* else a slow name look-up is waited for beyond the timeout */
#endif
    if (x->req->cancel) {
        SET(CURLOPT_NOPROGRESS, 0L);
        SET(CURLOPT_XFERINFOFUNCTION, on_progress);
        SET(CURLOPT_XFERINFODATA, x);
    }
    return PST_OK;
}

static int set_tls(const struct pst_http *h, CURL *curl, struct pst_err *err)
{
    SET(CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
    SET(CURLOPT_SSL_VERIFYPEER, 1L);
    SET(CURLOPT_SSL_VERIFYHOST, 2L);
    if (h->ca_file) {
        SET(CURLOPT_CAINFO, h->ca_file);
        SET(CURLOPT_CAPATH, NULL); /* else the system's roots would count as well */
    }
    return PST_OK;
}

int pst_http_prepare(struct pst_http_exchange *x, CURL *curl, struct pst_err *err)
{
    int rc = build_head(x, err);

    if (!rc)
        rc = set_method(x, curl, err);
    if (!rc)
        rc = set_target(x, curl, err);
    if (!rc)
        rc = set_limits(x, curl, err);
    if (!rc)
        rc = set_tls(x->http, curl, err);
    if (rc)
        return rc;

    SET(CURLOPT_USERAGENT, x->http->user_agent);
    SET(CURLOPT_HTTPHEADER, x->lines);
    SET(CURLOPT_ERRORBUFFER, x->error);
    SET(CURLOPT_HEADERFUNCTION, on_head);
    SET(CURLOPT_HEADERDATA, x);
    SET(CURLOPT_WRITEFUNCTION, on_body);
    SET(CURLOPT_WRITEDATA, x);
    SET(CURLOPT_OPENSOCKETFUNCTION, on_socket);
    SET(CURLOPT_OPENSOCKETDATA, x);
    return PST_OK;
}
