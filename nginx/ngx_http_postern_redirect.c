/*
 * Canonical domain and force HTTPS.  Both wait for the certificate: a visitor is never sent to a
 * name that would only show an error, nor held to HTTPS there (HSTS) for a year.
 *
 * canonical  every other domain of the app answers 301 to it while its own ladder covers it now
 * force      plain HTTP answers 301 to the same URL on HTTPS while the name's ladder covers it
 * HSTS       with force, on each answer over TLS, unless the app set that field itself
 *
 * What a redirect costs is one more look-up of a name in place of the app's.
 */
#include "ngx_http_postern.h"

#include <openssl/x509v3.h>

static ngx_http_output_header_filter_pt next_header_filter;

/* ---- which certificate a name has ---- */

uint64_t postern_current_cert(const struct pst_replica_name *name, time_t now)
{
    const struct pst_replica_step *s =
        name ? postern_first_valid(name->steps, name->step_n, now) : NULL;
    struct pst_replica_default def;

    if (s == NULL && postern_find_default(&def) == NGX_OK)
        s = postern_first_valid(def.steps, def.step_n, now);
    return s ? s->cert : 0;
}

/* OpenSSL lets a wildcard stand for letters, digits and hyphens only. Browsers ask for labels with
 * an underscore, too, and take a wildcard for them; to a wildcard one label is as good as another.
 */
static ngx_uint_t leaf_covers(X509 *leaf, const u_char *host, size_t len)
{
    u_char plain[PST_REPLICA_NAME_MAX];
    const u_char *dot = ngx_strlchr((u_char *)host, (u_char *)host + len, '.');
    size_t label = dot ? (size_t)(dot - host) : 0;
    ngx_uint_t odd = 0, ok;
    char *pattern = NULL;

    if (X509_check_host(leaf, (const char *)host, len, 0, NULL) == 1)
        return 1;
    if (len > sizeof plain)
        return 0;
    ngx_memcpy(plain, host, len);
    for (size_t i = 0; i < label; i++) {
        if (plain[i] == '_') {
            plain[i] = 'x';
            odd = 1;
        }
    }
    if (!odd || X509_check_host(leaf, (const char *)plain, len, 0, &pattern) != 1)
        return 0;
    ok = pattern != NULL && pattern[0] == '*'; /* not a name that happens to have an x there */
    OPENSSL_free(pattern);
    return ok;
}

ngx_uint_t postern_covers(const struct pst_replica_name *name, const u_char *host, size_t len)
{
    uint64_t id = postern_current_cert(name, postern_now());
    struct postern_entry *e = id ? postern_cert_get(id) : NULL;
    ngx_uint_t ok;

    if (e == NULL)
        return 0;
    ok = leaf_covers(e->u.cert.leaf, host, len);
    postern_entry_release(e);
    return ok;
}

/* ---- answers ---- */

static ngx_int_t add_header(ngx_http_request_t *r, const char *name, const u_char *value,
                            size_t len)
{
    ngx_table_elt_t *h = ngx_list_push(&r->headers_out.headers);

    if (h == NULL)
        return NGX_ERROR;
    h->hash = 1;
    h->key.data = (u_char *)name;
    h->key.len = ngx_strlen(name);
    h->value.data = (u_char *)value;
    h->value.len = len;
#if (nginx_version >= 1023000)
    h->next = NULL;
#endif
    return NGX_OK;
}

/* A byte that has no place in a URI (RFC 3986 section 2). */
static ngx_uint_t is_outside(u_char c)
{
    return c <= ' ' || c >= 0x7f || c == '"' || c == '<' || c == '>' || c == '\\';
}

/* The request's path and query as they came, in a form that may stand in a URI. */
static u_char *copy_target(u_char *p, const ngx_str_t *from)
{
    static const u_char hex[] = "0123456789ABCDEF";

    if (from->len == 0 || from->data[0] != '/')
        *p++ = '/'; /* "GET http://www.example.com?q HTTP/1.1" */
    for (size_t i = 0; i < from->len; i++) {
        u_char c = from->data[i];
        if (is_outside(c)) {
            *p++ = '%';
            *p++ = hex[c >> 4];
            *p++ = hex[c & 15];
        } else {
            *p++ = c;
        }
    }
    return p;
}

/* 301 to the request's URL on this host.  The answer is kept by nobody, so that another canonical
 * domain does not meet browsers that remember the way back. */
static ngx_int_t send_to(ngx_http_request_t *r, ngx_uint_t tls, const u_char *host, size_t len)
{
    static const u_char no_cache[] = "no-cache";
    static const u_char body[] = "<!doctype html>\n<title>Moved</title>\n<h1>Moved</h1>\n";
    ngx_uint_t port = tls ? postern.https_port : postern.http_port;
    const size_t room =
        sizeof "https://:65535/" + len + 3 * r->unparsed_uri.len; /* each byte may be %XX */
    u_char *url = ngx_pnalloc(r->pool, room), *p;

    if (url == NULL)
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    p = ngx_sprintf(url, "%s://%*s", tls ? "https" : "http", len, host);
    if (port != (tls ? 443 : 80))
        p = ngx_sprintf(p, ":%ui", port);
    p = copy_target(p, &r->unparsed_uri);
    if (add_header(r, "Location", url, (size_t)(p - url)) != NGX_OK ||
        add_header(r, "Cache-Control", no_cache, sizeof no_cache - 1) != NGX_OK)
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    return postern_answer(r, NGX_HTTP_MOVED_PERMANENTLY, "text/html", body, sizeof body - 1);
}

/* ---- rules ---- */

/* Does this name answer with a certificate of its own, for the same app? */
static ngx_uint_t is_served(const char *canonical, const char *app)
{
    struct pst_replica_name rec;
    size_t len = ngx_strlen(canonical);

    return postern_find_name((const u_char *)canonical, len, &rec) == NGX_OK &&
           ngx_strcmp(rec.app, app) == 0 && postern_covers(&rec, (const u_char *)canonical, len);
}

ngx_int_t postern_redirect(ngx_http_request_t *r, struct postern_request *pr,
                           const struct pst_replica_name *name)
{
    const ngx_uint_t tls = r->connection->ssl != NULL;
    const ngx_uint_t forced = name->force_https && postern_covers(name, pr->host, pr->host_len);
    const size_t len = ngx_strlen(name->canonical);

    pr->hsts = tls && forced;
    if (len && (len != pr->host_len || ngx_memcmp(name->canonical, pr->host, len) != 0) &&
        is_served(name->canonical, name->app)) {
        postern_count(REQUEST_CANONICAL);
        return send_to(r, tls || name->force_https, (const u_char *)name->canonical, len);
    }
    if (forced && !tls) {
        postern_count(REQUEST_FORCED);
        return send_to(r, 1, pr->host, pr->host_len);
    }
    return NGX_DECLINED;
}

/* ---- HSTS ---- */

static ngx_uint_t has_hsts(ngx_http_request_t *r)
{
    static const ngx_str_t name = ngx_string("strict-transport-security");

    for (ngx_list_part_t *part = &r->headers_out.headers.part; part; part = part->next) {
        const ngx_table_elt_t *h = part->elts;
        for (ngx_uint_t i = 0; i < part->nelts; i++) {
            if (h[i].hash && h[i].key.len == name.len &&
                ngx_strncasecmp(h[i].key.data, name.data, name.len) == 0)
                return 1;
        }
    }
    return 0;
}

static ngx_int_t hsts_filter(ngx_http_request_t *r)
{
    static const u_char value[] = "max-age=31536000";
    const struct postern_request *pr =
        r == r->main && r->connection->ssl ? postern_request_get(r) : NULL;

    if (pr && pr->hsts && !has_hsts(r) &&
        add_header(r, "Strict-Transport-Security", value, sizeof value - 1) != NGX_OK)
        return NGX_ERROR;
    return next_header_filter(r);
}

void postern_redirect_install(void)
{
    next_header_filter = ngx_http_top_header_filter;
    ngx_http_top_header_filter = hsts_filter;
}
