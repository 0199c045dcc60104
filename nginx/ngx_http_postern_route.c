/*
 * What happens to a request, all in POST_READ: challenge, unknown host, misdirected, canonical
 * domain, force HTTPS, app.  The result hangs on a cleanup of the request's pool, since an internal
 * redirect (error_page, try_files) clears the modules' contexts; only the balancer and the
 * variables use it afterwards.
 */
#include "ngx_http_postern.h"

enum { REQUEST_ID_BYTES = 16, REQUEST_ID_MIN = 8, REQUEST_ID_MAX = 128 };

/* ---- the module's part of a request ---- */

static void request_cleanup(void *data)
{
    struct postern_request *pr = data;

    if (pr->app)
        postern_entry_release(pr->app);
    pr->app = NULL;
}

struct postern_request *postern_request_get(ngx_http_request_t *r)
{
    for (ngx_pool_cleanup_t *c = r->pool->cleanup; c; c = c->next) {
        if (c->handler == request_cleanup)
            return c->data;
    }
    return NULL;
}

static struct postern_request *request_new(ngx_http_request_t *r)
{
    ngx_pool_cleanup_t *c = ngx_pool_cleanup_add(r->pool, sizeof(struct postern_request));

    if (c == NULL)
        return NULL;
    ngx_memzero(c->data, sizeof(struct postern_request));
    c->handler = request_cleanup;
    return c->data;
}

/* ---- answers of our own ---- */

ngx_int_t postern_send(ngx_http_request_t *r, ngx_uint_t status, const char *type,
                       const u_char *body, size_t len)
{
    ngx_chain_t out = {0};
    ngx_int_t rc = ngx_http_discard_request_body(r);

    if (rc != NGX_OK)
        return rc;
    r->headers_out.status = status;
    r->headers_out.content_type.data = (u_char *)type;
    r->headers_out.content_type.len = ngx_strlen(type);
    r->headers_out.content_type_len = r->headers_out.content_type.len;
    r->headers_out.content_length_n = (off_t)len;
    rc = ngx_http_send_header(r);
    if (rc != NGX_OK || r->header_only)
        return rc;
    out.buf = ngx_calloc_buf(r->pool);
    if (out.buf == NULL)
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    out.buf->pos = out.buf->start = (u_char *)body;
    out.buf->last = out.buf->end = out.buf->pos + len;
    out.buf->memory = len > 0;
    out.buf->last_buf = r == r->main;
    out.buf->last_in_chain = 1;
    return ngx_http_output_filter(r, &out);
}

/* Not from a content handler: nginx finalizes what that returns. */
ngx_int_t postern_answer(ngx_http_request_t *r, ngx_uint_t status, const char *type,
                         const u_char *body, size_t len)
{
    ngx_http_finalize_request(r, postern_send(r, status, type, body, len));
    return NGX_DONE;
}

static const struct page {
    const char *error; /* of the X-Postern-Error header */
    ngx_uint_t status;
    const char *body;
} pages[] = {
#define PAGE(status, error, title, text)                                                           \
    {                                                                                              \
        error, status,                                                                             \
            "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><title>" title       \
            "</title></head>\n<body><h1>" title "</h1>\n<p>" text "</p></body></html>\n"           \
    }
    PAGE(404, "unknown-host", "Unknown host", "No application answers under this name."),
    PAGE(421, "misdirected", "Misdirected request",
         "This connection was made for another name; please try again."),
    PAGE(503, "no-upstream", "No backend", "The application has no running backend."),
    PAGE(503, "no-replica", "Not available",
         "The routing data cannot be read at the moment; please try again."),
};
enum { PAGE_UNKNOWN, PAGE_MISDIRECTED, PAGE_NO_UPSTREAM, PAGE_NO_REPLICA };

static ngx_int_t answer_page(ngx_http_request_t *r, const struct page *p)
{
    ngx_table_elt_t *h = ngx_list_push(&r->headers_out.headers);

    if (h == NULL)
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    h->hash = 1;
    ngx_str_set(&h->key, "X-Postern-Error");
    h->value.data = (u_char *)p->error;
    h->value.len = ngx_strlen(p->error);
#if (nginx_version >= 1023000)
    h->next = NULL;
#endif
    return postern_answer(r, p->status, "text/html; charset=utf-8", (const u_char *)p->body,
                          ngx_strlen(p->body));
}

/* ---- 421 ---- */

/* May this host be asked for on this connection?  By look-up, not by the connection's certificate:
 * a resumed session has none. */
static ngx_uint_t is_directed_here(ngx_http_request_t *r, const struct postern_request *pr,
                                   const struct pst_replica_name *name)
{
    struct pst_replica_name of_sni;
    u_char sni[PST_REPLICA_NAME_MAX];
    time_t now;
    uint64_t cert;
    size_t len;

    if (r->connection->ssl == NULL)
        return 1;
    len = postern_connection_sni(r->connection, sni);
    if (len == pr->host_len && ngx_memcmp(sni, pr->host, len) == 0)
        return 1;
    if (len == 0) /* the client was shown the default certificate */
        return postern_covers(NULL, pr->host, pr->host_len);
    now = postern_now();
    if (postern_find_name(sni, len, &of_sni) != NGX_OK)
        return 0;
    cert = postern_current_cert(&of_sni, now);
    return cert != 0 && cert == postern_current_cert(name, now);
}

/* ---- the handler ---- */

static ngx_int_t route(ngx_http_request_t *r, struct postern_request *pr)
{
    struct pst_replica_name name;
    ngx_int_t rc = NGX_DECLINED;

    if (pr->host_len)
        rc = postern_find_name(pr->host, pr->host_len, &name);
    if (rc == NGX_ERROR) {
        postern_count(REQUEST_NO_REPLICA);
        return answer_page(r, &pages[PAGE_NO_REPLICA]);
    }
    if (rc == NGX_OK && !is_directed_here(r, pr, &name)) {
        postern_count(REQUEST_MISDIRECTED);
        return answer_page(r, &pages[PAGE_MISDIRECTED]);
    }
    if (rc == NGX_DECLINED) {
        postern_count(REQUEST_UNKNOWN);
        return answer_page(r, &pages[PAGE_UNKNOWN]);
    }
    rc = postern_redirect(r, pr, &name);
    if (rc != NGX_DECLINED)
        return rc;
    pr->app = postern_find_app(name.app, &rc);
    if (pr->app == NULL && rc == NGX_ERROR) {
        postern_count(REQUEST_NO_REPLICA);
        return answer_page(r, &pages[PAGE_NO_REPLICA]);
    }
    if (pr->app == NULL || pr->app->u.app.upstream_n == 0) {
        postern_count(REQUEST_NO_UPSTREAM);
        return answer_page(r, &pages[PAGE_NO_UPSTREAM]);
    }
    postern_count(REQUEST_ROUTED);
    return NGX_DECLINED;
}

ngx_int_t postern_post_read_handler(ngx_http_request_t *r)
{
    const struct postern_srv_conf *conf = ngx_http_get_module_srv_conf(r, ngx_http_postern_module);
    struct postern_request *pr;
    ngx_int_t rc;

    if (!conf->enable || r != r->main || r->internal)
        return NGX_DECLINED;
    pr = request_new(r);
    if (pr == NULL)
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    pr->host_len =
        postern_normal_name(r->headers_in.server.data, r->headers_in.server.len, pr->host);
    rc = postern_challenge(r, pr->host, pr->host_len);
    if (rc == NGX_DECLINED)
        rc = route(r, pr);
    postern_report_reader();
    return rc;
}

/* ---- variables for proxy_set_header ---- */

static ngx_int_t var_set(ngx_http_variable_value_t *v, u_char *data, size_t len)
{
    v->data = data;
    v->len = (unsigned)len;
    v->valid = 1;
    v->no_cacheable = 0;
    v->not_found = 0;
    return NGX_OK;
}

static ngx_int_t var_port(ngx_http_request_t *r, ngx_http_variable_value_t *v, uintptr_t data)
{
    u_char *p = ngx_pnalloc(r->pool, NGX_INT_T_LEN);

    if (p == NULL)
        return NGX_ERROR;
    ngx_uint_t port = r->connection->ssl ? postern.https_port : postern.http_port;
    return var_set(v, p, (size_t)(ngx_sprintf(p, "%ui", port) - p));
}

/* When the request arrived, "t=<Unix seconds>.<milliseconds>". */
static ngx_int_t var_start(ngx_http_request_t *r, ngx_http_variable_value_t *v, uintptr_t data)
{
    u_char *p = ngx_pnalloc(r->pool, sizeof "t=." + NGX_TIME_T_LEN + 3);

    if (p == NULL)
        return NGX_ERROR;
    return var_set(v, p, (size_t)(ngx_sprintf(p, "t=%T.%03M", r->start_sec, r->start_msec) - p));
}

static ngx_uint_t is_request_id(const ngx_str_t *s)
{
    if (s->len < REQUEST_ID_MIN || s->len > REQUEST_ID_MAX)
        return 0;
    for (size_t i = 0; i < s->len; i++) {
        u_char c = ngx_tolower(s->data[i]);
        if (!((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '_' || c == '.'))
            return 0;
    }
    return 1;
}

static const ngx_str_t *header_in(ngx_http_request_t *r, const char *lower)
{
    size_t len = ngx_strlen(lower);

    for (ngx_list_part_t *part = &r->headers_in.headers.part; part; part = part->next) {
        const ngx_table_elt_t *h = part->elts;
        for (ngx_uint_t i = 0; i < part->nelts; i++) {
            if (h[i].key.len == len && ngx_strncmp(h[i].lowcase_key, lower, len) == 0)
                return &h[i].value;
        }
    }
    return NULL;
}

/* The client's X-Request-ID if it is a sane one, else a new one. */
static ngx_int_t var_request_id(ngx_http_request_t *r, ngx_http_variable_value_t *v, uintptr_t data)
{
    const ngx_str_t *given = header_in(r, "x-request-id");
    u_char random[REQUEST_ID_BYTES], *p;

    if (given && is_request_id(given))
        return var_set(v, given->data, given->len);
    p = ngx_pnalloc(r->pool, 2 * sizeof random);
    if (p == NULL || RAND_bytes(random, sizeof random) != 1)
        return NGX_ERROR;
    ngx_hex_dump(p, random, sizeof random);
    return var_set(v, p, 2 * sizeof random);
}

static ngx_int_t var_app(ngx_http_request_t *r, ngx_http_variable_value_t *v, uintptr_t data)
{
    const struct postern_request *pr = postern_request_get(r->main);

    if (pr == NULL || pr->app == NULL) {
        v->not_found = 1;
        return NGX_OK;
    }
    return var_set(v, pr->app->key, pr->app->key_len);
}

ngx_int_t postern_add_variables(ngx_conf_t *cf)
{
    static ngx_http_variable_t variables[] = {
        {ngx_string("postern_forwarded_port"), NULL, var_port, 0, 0, 0},
        {ngx_string("postern_request_start"), NULL, var_start, 0, 0, 0},
        {ngx_string("postern_request_id"), NULL, var_request_id, 0, 0, 0},
        {ngx_string("postern_app"), NULL, var_app, 0, 0, 0},
    };

    for (size_t i = 0; i < sizeof variables / sizeof *variables; i++) {
        ngx_http_variable_t *v = ngx_http_add_variable(cf, &variables[i].name, variables[i].flags);
        if (v == NULL)
            return NGX_ERROR;
        v->get_handler = variables[i].get_handler;
    }
    return NGX_OK;
}
