/*
 * What happens to a request, all in POST_READ: challenge, unknown host, misdirected, canonical
 * domain, force HTTPS, app.  The result hangs on a cleanup of the request's pool, since an internal
 * redirect (error_page, try_files) clears the modules' contexts; only the balancer and the
 * variables use it afterwards.
 */
#include "ngx_http_postern.h"

/* ---- pages of our own ---- */

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
    pr = postern_request_new(r);
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
