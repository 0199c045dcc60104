/*
 * server.c - the only file that knows libmicrohttpd: reads requests, writes answers.
 *
 * libmicrohttpd is lenient where a server behind a proxy must not be (two Content-Lengths, a length
 * beside a transfer coding, blanks in field names), so the fields of each request are judged here
 * before its body is read.  Its threads run nothing of ours but this file.
 */
#include "api_internal.h"

#include <arpa/inet.h>
#include <microhttpd.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

enum {
    CONNECTION_MEMORY = 24 * 1024, /* request line and fields; more is 431 or 414 */
    DISCARD_MAX = 1024 * 1024,     /* of a chunked body that is too large, before we hang up */
    SOCKET_MODE = 0660,
};

/* ---- making the answer ---- */

static struct MHD_Response *make_response(struct pst_answer *a)
{
    size_t len;
    char *text = a->body.len ? pst_buf_take(&a->body, &len) : NULL;

    if (!text)
        return MHD_create_response_from_buffer(0, NULL, MHD_RESPMEM_PERSISTENT);
    struct MHD_Response *r =
        MHD_create_response_from_buffer_with_free_callback(len, text, pst_free);
    if (!r)
        pst_free(text);
    else
        MHD_add_response_header(r, "Content-Type", a->type ? a->type : "application/json");
    return r;
}

/* A page holds no script, is shown in no frame, and its form goes nowhere else.  (With no-referrer
 * browsers would say Origin: null.) */
static void add_page_fields(struct MHD_Response *r)
{
    MHD_add_response_header(r, "Content-Security-Policy",
                            "default-src 'none'; form-action 'self'; base-uri 'none'; "
                            "frame-ancestors 'none'");
    MHD_add_response_header(r, "X-Frame-Options", "DENY");
    MHD_add_response_header(r, "Referrer-Policy", "same-origin");
}

static enum MHD_Result send_answer(struct pst_req *req)
{
    struct pst_answer *a = &req->answer;
    struct MHD_Response *r = make_response(a);
    char seconds[24];

    if (!r)
        return MHD_NO;
    MHD_add_response_header(r, "X-Request-Id", req->id);
    MHD_add_response_header(r, "Cache-Control", "no-store");
    MHD_add_response_header(r, "X-Content-Type-Options", "nosniff");
    if (a->type && pst_str_starts(a->type, "text/html"))
        add_page_fields(r);
    if (a->allow)
        MHD_add_response_header(r, "Allow", a->allow);
    if (a->challenge)
        MHD_add_response_header(r, "WWW-Authenticate", a->challenge);
    if (a->location[0])
        MHD_add_response_header(r, "Location", a->location);
    if (a->link[0])
        MHD_add_response_header(r, "Link", a->link);
    if (a->close)
        MHD_add_response_header(r, "Connection", "close");
    if (a->retry_after_s > 0) {
        snprintf(seconds, sizeof seconds, "%lld", (long long)a->retry_after_s);
        MHD_add_response_header(r, "Retry-After", seconds);
    }
    enum MHD_Result queued = MHD_queue_response(req->connection, (unsigned)a->status, r);
    MHD_destroy_response(r);
    return queued;
}

/* An answer of the server itself, before any handler: the rest of the connection is not trusted. */
static enum MHD_Result refuse(struct pst_req *req, int status, const char *text)
{
    pst_answer_error(&req->answer, status, "%s", text);
    req->answer.close = true;
    req->state = PST_REQ_ANSWERED;
    pst_log_info("api", "request refused", pst_kv_s("method", req->method_name),
                 pst_kv_i("status", status), pst_kv_s("why", text), pst_kv_s("peer", req->peer),
                 pst_kv_s("request_id", req->id));
    return send_answer(req);
}

/* ---- judging the fields ---- */

/* What is wrong with a request's fields; the first finding counts. */
struct fields {
    struct pst_req *req;
    const char *problem;
    unsigned lengths_n, codings_n, hosts_n, authorizations_n;
    const char *length;
    const char *real_ip;
    bool no_memory;
};

static bool is_token(const char *s)
{
    static const char others[] = "!#$%&'*+-.^_`|~";

    if (!*s)
        return false;
    for (; *s; s++) {
        bool alnum =
            (*s >= '0' && *s <= '9') || (*s >= 'a' && *s <= 'z') || (*s >= 'A' && *s <= 'Z');
        if (!alnum && !strchr(others, *s))
            return false;
    }
    return true;
}

static bool is_field_value(const char *s)
{
    for (; *s; s++)
        if (((unsigned char)*s < 0x20 && *s != '\t') || *s == 0x7f)
            return false;
    return true;
}

static bool sane_request_id(const char *s)
{
    size_t len = strspn(s, "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ-_.");

    return len > 0 && len <= PST_API_REQUEST_ID_MAX && s[len] == '\0';
}

static void see_length(struct fields *f, const char *value)
{
    f->lengths_n++;
    f->length = value;
}

static void see_coding(struct fields *f, const char *value)
{
    f->codings_n++;
    if (!pst_strcaseeq(value, "chunked"))
        f->problem = "the transfer coding is not known; use chunked or none";
}

static void see_host(struct fields *f, const char *value)
{
    f->hosts_n++;
    size_t len = strspn(value, "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
                               "-_.:[]");
    if (value[len] || !pst_str_copy(f->req->host, sizeof f->req->host, value))
        f->problem = "the Host field is not a host name";
}

static void see_authorization(struct fields *f, const char *value)
{
    f->authorizations_n++;
    if (f->req->authorization)
        return;
    f->req->authorization = pst_strdup(value);
    f->no_memory = !f->req->authorization;
}

static void see_request_id(struct fields *f, const char *value)
{
    if (sane_request_id(value))
        pst_str_copy(f->req->id, sizeof f->req->id, value);
}

static void see_proto(struct fields *f, const char *value)
{
    if (pst_streq(value, "http") || pst_streq(value, "https"))
        pst_str_copy(f->req->forwarded_proto, sizeof f->req->forwarded_proto, value);
}

static void see_real_ip(struct fields *f, const char *value)
{
    f->real_ip = value;
}

static void see_dry_run(struct fields *f, const char *value)
{
    f->req->dry_run = pst_strcaseeq(value, "true");
}

static void see_content_type(struct fields *f, const char *value)
{
    if (!pst_str_copy(f->req->content_type, sizeof f->req->content_type, value))
        f->problem = "the Content-Type field is too long";
}

/* One that is too long is not this site's. */
static void see_origin(struct fields *f, const char *value)
{
    if (!pst_str_copy(f->req->origin, sizeof f->req->origin, value))
        pst_str_copy(f->req->origin, sizeof f->req->origin, "null");
}

static void see_fetch_site(struct fields *f, const char *value)
{
    if (!pst_str_copy(f->req->fetch_site, sizeof f->req->fetch_site, value))
        pst_str_copy(f->req->fetch_site, sizeof f->req->fetch_site, "cross-site");
}

/* A list that is too long is not one of a browser. */
static void see_accept(struct fields *f, const char *value)
{
    if (!pst_str_copy(f->req->accept, sizeof f->req->accept, value))
        f->req->accept[0] = '\0';
}

static const struct {
    const char *name;
    void (*see)(struct fields *f, const char *value);
} known_fields[] = {
    {"Content-Length", see_length},
    {"Transfer-Encoding", see_coding},
    {"Host", see_host},
    {"Authorization", see_authorization},
    {"X-Request-Id", see_request_id},
    {"X-Forwarded-Proto", see_proto},
    {"X-Real-IP", see_real_ip},
    {"X-Dry-Run", see_dry_run},
    {"Content-Type", see_content_type},
    {"Accept", see_accept},
    {"Origin", see_origin},
    {"Sec-Fetch-Site", see_fetch_site},
};

static enum MHD_Result on_field(void *cls, enum MHD_ValueKind kind, const char *name,
                                const char *value)
{
    struct fields *f = cls;

    (void)kind;
    if (!value)
        value = "";
    if (!is_token(name))
        f->problem = "a field's name is not well formed";
    else if (!is_field_value(value))
        f->problem = "a field's value holds control characters";
    for (size_t i = 0; !f->problem && i < PST_ARRAY_N(known_fields); i++)
        if (pst_strcaseeq(known_fields[i].name, name))
            known_fields[i].see(f, value);
    return f->problem ? MHD_NO : MHD_YES;
}

/* RFC 9112 section 6.3: what two readers may take for different ends is not read at all. */
static void judge(struct fields *f, const char *version)
{
    if (f->problem)
        return;
    if (f->lengths_n > 1)
        f->problem = "more than one Content-Length";
    else if (f->codings_n > 1 || (f->codings_n && f->lengths_n))
        f->problem = "Transfer-Encoding beside another one or beside Content-Length";
    else if (f->hosts_n > 1 || (f->hosts_n == 0 && pst_streq(version, MHD_HTTP_VERSION_1_1)))
        f->problem = "exactly one Host field is needed";
    else if (f->authorizations_n > 1)
        f->problem = "more than one Authorization field";
}

static void set_peer(struct pst_req *req, const struct pst_listener *l, const char *real_ip)
{
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(req->connection, MHD_CONNECTION_INFO_CLIENT_ADDRESS);
    const struct sockaddr *sa = info ? info->client_addr : NULL;
    unsigned char binary[16];

    pst_str_copy(req->peer, sizeof req->peer, "unix");
    /* Only our own nginx can reach the Unix socket, so only there is the field believed. */
    if (l->socket_path[0]) {
        if (real_ip &&
            (inet_pton(AF_INET, real_ip, binary) == 1 || inet_pton(AF_INET6, real_ip, binary) == 1))
            pst_str_copy(req->peer, sizeof req->peer, real_ip);
        return;
    }
    if (sa && sa->sa_family == AF_INET)
        inet_ntop(AF_INET, &((const struct sockaddr_in *)(const void *)sa)->sin_addr, req->peer,
                  sizeof req->peer);
    else if (sa && sa->sa_family == AF_INET6)
        inet_ntop(AF_INET6, &((const struct sockaddr_in6 *)(const void *)sa)->sin6_addr, req->peer,
                  sizeof req->peer);
}

/* The header is complete.  MHD_NO only hangs up. */
static enum MHD_Result admit(struct pst_req *req, const struct pst_listener *l, const char *method,
                             const char *version)
{
    struct fields f = {.req = req};
    int64_t length;

    /* Both lie in one buffer, a blank between them: what is farther apart holds a raw NUL, at which
     * libmicrohttpd ends the target. */
    if (version != req->target_end + 1)
        f.problem = "the request line is not well formed";
    if (!pst_str_copy(req->method_name, sizeof req->method_name, method))
        pst_str_copy(req->method_name, sizeof req->method_name, "?");
    if (!f.problem)
        MHD_get_connection_values(req->connection, MHD_HEADER_KIND, on_field, &f);
    set_peer(req, l, f.real_ip);
    judge(&f, version);
    if (f.no_memory)
        return MHD_NO;
    if (f.problem)
        return refuse(req, 400, f.problem);
    if (f.lengths_n && !pst_parse_i64(f.length, 0, INT64_MAX, &length))
        return refuse(req, 400, "the Content-Length is not a number");
    if (f.lengths_n && length > (int64_t)req->api->set.body_max)
        return refuse(req, 413, "the body is larger than this server accepts");
    if (req->state == PST_REQ_ANSWERED) /* the target was no good */
        return refuse(req, 400, pst_buf_cstr(&req->body));
    if (!pst_method_parse(method, &req->method))
        return refuse(req, 501, "the method is not known");
    return MHD_YES;
}

/* ---- libmicrohttpd's callbacks ---- */

/* First of all: the request line is there.  What this returns is the request's context. */
static void *on_target(void *cls, const char *raw, struct MHD_Connection *connection)
{
    struct pst_listener *l = cls;
    struct pst_req *req = pst_req_new(l->api);

    if (!req)
        return NULL;
    struct pst_err err = {0};
    req->connection = connection;
    req->target_end = raw + strlen(raw);
    if (pst_target_parse(&req->target, raw, &err) != PST_OK) {
        /* Said when the fields are there, in on_request(). */
        req->state = PST_REQ_ANSWERED;
        pst_buf_str(&req->body, err.text);
    }
    return req;
}

static enum MHD_Result take_body(struct pst_req *req, const char *data, size_t len)
{
    const struct pst_api *api = req->api;
    size_t room = api->set.body_max - req->body.len;

    /* libmicrohttpd's own limit begins anew with each byte. */
    if (pst_mono_ms(api->opts.clock) - req->began_ms > api->set.give_up_ms)
        return MHD_NO;
    if (!req->too_large && len <= room) {
        pst_buf_add(&req->body, data, len);
        return req->body.no_memory ? MHD_NO : MHD_YES;
    }
    req->too_large = true;
    req->discarded_n += len;
    return req->discarded_n > DISCARD_MAX ? MHD_NO : MHD_YES;
}

static enum MHD_Result on_request(void *cls, struct MHD_Connection *connection, const char *url,
                                  const char *method, const char *version, const char *data,
                                  size_t *data_len, void **context)
{
    struct pst_req *req = *context;

    (void)url;
    (void)connection;
    if (!req)
        return MHD_NO;
    if (!req->headers_seen) {
        req->headers_seen = true;
        return admit(req, cls, method, version);
    }
    if (req->state == PST_REQ_ANSWERED)
        return send_answer(req);
    if (*data_len) {
        enum MHD_Result go_on = take_body(req, data, *data_len);
        *data_len = 0;
        return go_on;
    }
    if (req->too_large)
        return refuse(req, 413, "the body is larger than this server accepts");
    /* Suspend first: a worker may resume it before pst_pool_add() returns. */
    MHD_suspend_connection(req->connection);
    if (!pst_pool_add(req)) {
        pst_answer_error(&req->answer, 503, "the server has too much to do");
        req->answer.retry_after_s = 5;
        req->state = PST_REQ_ANSWERED;
        pst_server_resume(req);
    }
    return MHD_YES;
}

void pst_server_resume(struct pst_req *req)
{
    MHD_resume_connection(req->connection);
}

static void on_completed(void *cls, struct MHD_Connection *connection, void **context,
                         enum MHD_RequestTerminationCode how)
{
    (void)cls;
    (void)connection;
    (void)how;
    struct pst_req *req = *context;
    *context = NULL;
    if (req)
        pst_req_done(req);
}

/* Decoding is ours, segment by segment. */
static size_t no_unescape(void *cls, struct MHD_Connection *connection, char *s)
{
    (void)cls;
    (void)connection;
    return strlen(s);
}

__attribute__((format(printf, 2, 0))) static void on_log(void *cls, const char *fmt, va_list ap)
{
    char text[300];

    (void)cls;
    vsnprintf(text, sizeof text, fmt, ap);
    text[strcspn(text, "\n")] = '\0';
    pst_log_debug("api", "libmicrohttpd", pst_kv_s("text", text));
}

static void on_panic(void *cls, const char *file, unsigned line, const char *reason)
{
    (void)cls;
    pst_log_error("api", "libmicrohttpd gave up", pst_kv_s("reason", reason),
                  pst_kv_s("file", file), pst_kv_i("line", line));
    abort();
}

/* ---- listening ---- */

static int bind_unix(struct pst_listener *l, int *ret_fd, struct pst_err *err)
{
    struct sockaddr_un sa = {.sun_family = AF_UNIX};
    auto_close int fd = -1, probe = -1;

    if (!l->socket_path[0] || !pst_str_copy(sa.sun_path, sizeof sa.sun_path, l->socket_path))
        return pst_fail(err, PST_ECONFIG,
                        "api.listen: the path of %s is empty or longer than %zu bytes", l->address,
                        sizeof sa.sun_path - 1);
    fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    probe = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || probe < 0)
        return pst_fail_sys(err, "cannot make a socket");
    struct stat st;
    if (lstat(l->socket_path, &st) == 0) {
        if (!S_ISSOCK(st.st_mode))
            return pst_fail(err, PST_ECONFIG, "api.listen: %s is there and is not a socket",
                            l->socket_path);
        if (connect(probe, (struct sockaddr *)&sa, sizeof sa) == 0)
            return pst_fail(err, PST_ECONFIG, "api.listen: somebody answers on %s already",
                            l->socket_path);
        unlink(l->socket_path);
    }
    if (bind(fd, (struct sockaddr *)&sa, sizeof sa) < 0)
        return pst_fail_sys(err, "cannot listen on %s", l->address);
    if (chmod(l->socket_path, SOCKET_MODE) < 0)
        return pst_fail_sys(err, "cannot set the mode of %s", l->socket_path);
    *ret_fd = fd;
    fd = -1;
    return PST_OK;
}

/* "127.0.0.1:8080" or "[::1]:8080". */
static int parse_tcp(const char *address, struct sockaddr_storage *ret, socklen_t *ret_len,
                     struct pst_err *err)
{
    struct sockaddr_in *v4 = (struct sockaddr_in *)(void *)ret;
    struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)(void *)ret;
    const char *colon = strrchr(address, ':');
    char host[64] = "";
    int64_t port;

    memset(ret, 0, sizeof *ret);
    if (colon && (size_t)(colon - address) < sizeof host &&
        pst_parse_i64(colon + 1, 0, 65535, &port)) {
        memcpy(host, address, (size_t)(colon - address));
        size_t len = strlen(host);
        if (inet_pton(AF_INET, host, &v4->sin_addr) == 1) {
            v4->sin_family = AF_INET;
            v4->sin_port = htons((uint16_t)port);
            *ret_len = sizeof *v4;
            return PST_OK;
        }
        if (len > 2 && host[0] == '[' && host[len - 1] == ']') {
            host[len - 1] = '\0';
            if (inet_pton(AF_INET6, host + 1, &v6->sin6_addr) == 1) {
                v6->sin6_family = AF_INET6;
                v6->sin6_port = htons((uint16_t)port);
                *ret_len = sizeof *v6;
                return PST_OK;
            }
        }
    }
    return pst_fail(err, PST_ECONFIG,
                    "api.listen: %s is not an address like 127.0.0.1:8080, [::1]:8080 or "
                    "unix:/run/postern/api.sock",
                    address);
}

static int bind_tcp(struct pst_listener *l, int *ret_fd, struct pst_err *err)
{
    struct sockaddr_storage sa;
    socklen_t len;
    auto_close int fd = -1;
    int on = 1;

    int rc = parse_tcp(l->address, &sa, &len, err);
    if (rc < 0)
        return rc;
    fd = socket(sa.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return pst_fail_sys(err, "cannot make a socket");
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (sa.ss_family == AF_INET6)
        setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof on);
    if (bind(fd, (struct sockaddr *)&sa, len) < 0) {
        rc = pst_fail_sys(err, "cannot listen on %s", l->address);
        return rc;
    }
    if (getsockname(fd, (struct sockaddr *)&sa, &len) < 0)
        return pst_fail_sys(err, "cannot read the port of %s", l->address);
    l->port = ntohs(sa.ss_family == AF_INET ? ((struct sockaddr_in *)(void *)&sa)->sin_port
                                            : ((struct sockaddr_in6 *)(void *)&sa)->sin6_port);
    *ret_fd = fd;
    fd = -1;
    return PST_OK;
}

int pst_server_start(struct pst_api *api, const char *address, size_t i, struct pst_err *err)
{
    struct pst_listener *l = &api->listeners[i];
    auto_close int fd = -1;

    l->api = api;
    if (!pst_str_copy(l->address, sizeof l->address, address))
        return pst_fail(err, PST_ECONFIG, "api.listen: an address is too long");
    bool local = pst_str_starts(address, "unix:");
    if (local)
        pst_str_copy(l->socket_path, sizeof l->socket_path, address + strlen("unix:"));
    int rc = local ? bind_unix(l, &fd, err) : bind_tcp(l, &fd, err);
    if (rc < 0) {
        l->socket_path[0] = '\0'; /* not ours to remove */
        return rc;
    }
    if (listen(fd, SOMAXCONN) < 0)
        return pst_fail_sys(err, "cannot listen on %s", address);
    MHD_set_panic_func(on_panic, NULL);
    l->daemon = MHD_start_daemon(
        MHD_USE_EPOLL_INTERNAL_THREAD | MHD_ALLOW_SUSPEND_RESUME | MHD_USE_ERROR_LOG, 0, NULL, NULL,
        on_request, l, MHD_OPTION_EXTERNAL_LOGGER, on_log, NULL, MHD_OPTION_LISTEN_SOCKET, fd,
        MHD_OPTION_CONNECTION_LIMIT, (unsigned)api->set.connections_max,
        MHD_OPTION_CONNECTION_TIMEOUT, api->set.idle_s, MHD_OPTION_CONNECTION_MEMORY_LIMIT,
        (size_t)CONNECTION_MEMORY, MHD_OPTION_NOTIFY_COMPLETED, on_completed, l,
        MHD_OPTION_URI_LOG_CALLBACK, on_target, l, MHD_OPTION_UNESCAPE_CALLBACK, no_unescape, NULL,
        MHD_OPTION_END);
    if (!l->daemon)
        return pst_fail(err, PST_ESYS, "cannot start the server on %s", address);
    fd = -1;
    return PST_OK;
}

void pst_server_stop(struct pst_api *api)
{
    for (size_t i = 0; i < PST_API_LISTEN_MAX; i++) {
        struct pst_listener *l = &api->listeners[i];
        if (l->daemon)
            MHD_stop_daemon(l->daemon);
        if (l->socket_path[0])
            unlink(l->socket_path);
        l->daemon = NULL;
        l->socket_path[0] = '\0';
    }
}
