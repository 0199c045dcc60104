/* What the module keeps about a request, and its own answers. */
#include "ngx_http_postern.h"

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

struct postern_request *postern_request_new(ngx_http_request_t *r)
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
