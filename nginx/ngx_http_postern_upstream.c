/*
 * The balancer of `upstream { postern_upstream; }`: smooth weighted round-robin over the app's
 * upstreams, per worker; an upstream that refused a connection is passed over for a while, unless
 * there is no other.
 */
#include "ngx_http_postern.h"

struct postern_peer {
    const struct postern_srv_conf *conf;
    ngx_http_upstream_t *upstream;
    struct postern_entry *app; /* held by the request */
    struct postern_upstream *current;
    uint64_t tried; /* a bit for each upstream */
    ngx_uint_t no_reuse;
};

static ngx_uint_t is_down(const struct postern_upstream *u)
{
    return u->down_until && (ngx_msec_int_t)(u->down_until - ngx_current_msec) > 0;
}

/* Each gains its weight, the richest is taken and pays what all gained. */
static struct postern_upstream *pick_among(struct postern_peer *p, ngx_uint_t also_down)
{
    struct postern_upstream *u = p->app->u.app.upstreams, *best = NULL;
    ngx_int_t total = 0;

    for (ngx_uint_t i = 0; i < p->app->u.app.upstream_n; i++) {
        if ((p->tried & (uint64_t)1 << i) || (!also_down && is_down(&u[i])))
            continue;
        u[i].current += u[i].weight;
        total += u[i].weight;
        if (best == NULL || u[i].current > best->current)
            best = &u[i];
    }
    if (best)
        best->current -= total;
    return best;
}

static ngx_int_t get_peer(ngx_peer_connection_t *pc, void *data)
{
    struct postern_peer *p = data;
    struct postern_upstream *u = pick_among(p, 0);

    pc->cached = 0;
    pc->connection = NULL;
    if (u == NULL)
        u = pick_among(p, 1);
    if (u == NULL)
        return NGX_BUSY;

    p->current = u;
    p->tried |= (uint64_t)1 << (u - p->app->u.app.upstreams);
    pc->sockaddr = &u->sockaddr.sockaddr;
    pc->socklen = u->socklen;
    pc->name = &u->text;
    pc->connection = p->no_reuse ? NULL : postern_pool_take(u, pc->log);
    if (pc->connection == NULL) {
        postern_count(UPSTREAM_NEW);
        return NGX_OK;
    }
    postern_count(UPSTREAM_REUSED);
    pc->cached = 1;
    return NGX_DONE;
}

static ngx_uint_t may_keep(const struct postern_peer *p, const ngx_connection_t *c)
{
    return c && p->app->in_cache && p->upstream->keepalive && p->upstream->request_body_sent &&
           !c->read->eof && !c->read->error && !c->read->timedout && !c->write->error &&
           !c->write->timedout && !ngx_terminate && !ngx_exiting;
}

static void free_peer(ngx_peer_connection_t *pc, void *data, ngx_uint_t state)
{
    struct postern_peer *p = data;
    struct postern_upstream *u = p->current;

    if (u && (state & NGX_PEER_FAILED)) {
        if (pc->cached) {
            /* An idle connection had been closed: nothing is said about the upstream.  It may be
             * tried again, this time with a new connection (nginx gives the try back). */
            p->tried &= ~((uint64_t)1 << (u - p->app->u.app.upstreams));
            p->no_reuse = 1;
        } else if (!p->upstream->request_sent) {
            postern_count(UPSTREAM_FAILED);
            u->down_until = ngx_current_msec + p->conf->fail_timeout;
            if (u->down_until == 0) /* that would mean "up" */
                u->down_until = 1;
        }
    } else if (u) {
        u->down_until = 0;
        if (may_keep(p, pc->connection) && postern_pool_keep(u, p->conf, pc->connection) == NGX_OK)
            pc->connection = NULL;
    }
    p->current = NULL;
    if (pc->tries)
        pc->tries--;
}

#if (NGX_HTTP_SSL)
/* Upstreams speak plain HTTP; with proxy_pass https:// sessions are simply not kept. */
static ngx_int_t set_session(ngx_peer_connection_t *pc, void *data)
{
    return NGX_OK;
}

static void save_session(ngx_peer_connection_t *pc, void *data)
{
}
#endif

static ngx_int_t init_peer(ngx_http_request_t *r, ngx_http_upstream_srv_conf_t *us)
{
    struct postern_request *pr = postern_request_get(r->main);
    struct postern_peer *p;

    if (pr == NULL || pr->app == NULL) {
        ngx_log_error(NGX_LOG_ERR, r->connection->log, 0,
                      "postern: \"%V\" is an upstream of postern, but the server block has no "
                      "\"postern on\"",
                      &us->host);
        return NGX_ERROR;
    }
    p = ngx_pcalloc(r->pool, sizeof *p);
    if (p == NULL)
        return NGX_ERROR;
    p->conf = ngx_http_conf_upstream_srv_conf(us, ngx_http_postern_module);
    p->upstream = r->upstream;
    p->app = pr->app;

    r->upstream->peer.data = p;
    r->upstream->peer.get = get_peer;
    r->upstream->peer.free = free_peer;
    r->upstream->peer.tries = p->app->u.app.upstream_n;
#if (NGX_HTTP_SSL)
    r->upstream->peer.set_session = set_session;
    r->upstream->peer.save_session = save_session;
#endif
    return NGX_OK;
}

static ngx_int_t init_upstream(ngx_conf_t *cf, ngx_http_upstream_srv_conf_t *us)
{
    us->peer.init = init_peer;
    return NGX_OK;
}

static ngx_int_t parse_number(ngx_str_t *arg, const char *name, ngx_uint_t *to)
{
    size_t len = ngx_strlen(name);
    ngx_int_t n;

    if (arg->len <= len || ngx_strncmp(arg->data, name, len) != 0)
        return NGX_DECLINED;
    n = ngx_atoi(arg->data + len, arg->len - len);
    if (n == NGX_ERROR)
        return NGX_ERROR;
    *to = (ngx_uint_t)n;
    return NGX_OK;
}

static ngx_int_t parse_time(ngx_str_t *arg, const char *name, ngx_msec_t *to)
{
    ngx_str_t value;
    size_t len = ngx_strlen(name);
    ngx_int_t ms;

    if (arg->len <= len || ngx_strncmp(arg->data, name, len) != 0)
        return NGX_DECLINED;
    value.data = arg->data + len;
    value.len = arg->len - len;
    ms = ngx_parse_time(&value, 0);
    if (ms == NGX_ERROR || ms == 0)
        return NGX_ERROR;
    *to = (ngx_msec_t)ms;
    return NGX_OK;
}

char *postern_upstream_directive(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    struct postern_srv_conf *pc = conf;
    ngx_http_upstream_srv_conf_t *us =
        ngx_http_conf_get_module_srv_conf(cf, ngx_http_upstream_module);
    ngx_str_t *args = cf->args->elts;
    ngx_http_upstream_server_t *none;

    if (us->peer.init_upstream)
        return "is duplicate, or stands beside another balancer";
    for (ngx_uint_t i = 1; i < cf->args->nelts; i++) {
        if (parse_number(&args[i], "keepalive=", &pc->keepalive) != NGX_OK &&
            parse_number(&args[i], "keepalive_max=", &pc->keepalive_max) != NGX_OK &&
            parse_number(&args[i], "requests=", &pc->requests) != NGX_OK &&
            parse_time(&args[i], "idle_timeout=", &pc->idle_timeout) != NGX_OK &&
            parse_time(&args[i], "fail_timeout=", &pc->fail_timeout) != NGX_OK) {
            ngx_conf_log_error(NGX_LOG_EMERG, cf, 0, "invalid parameter \"%V\"", &args[i]);
            return NGX_CONF_ERROR;
        }
    }

    /* nginx refuses an upstream block without servers; this one is never looked at. */
    none = ngx_array_push(us->servers);
    if (none == NULL)
        return NGX_CONF_ERROR;
    ngx_memzero(none, sizeof *none);
    us->flags = NGX_HTTP_UPSTREAM_CREATE;
    us->peer.init_upstream = init_upstream;
    return NGX_CONF_OK;
}
