/* The variables that proxy_set_header and the log use. */
#include "ngx_http_postern.h"

enum { REQUEST_ID_BYTES = 16, REQUEST_ID_MIN = 8, REQUEST_ID_MAX = 128 };

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
