/*
 * Idle upstream connections.  They hang on the upstream inside the app's cache entry: when the
 * app's record changes, the entry goes and its idle connections with it, so nobody ever meets a
 * socket that was opened for another app or another version of it.  Finding one costs nothing.
 */
#include "ngx_http_postern.h"

struct postern_idle {
    ngx_queue_t of_upstream;
    ngx_queue_t of_worker;
    struct postern_upstream *upstream;
    ngx_connection_t *connection;
};

static ngx_queue_t all; /* the newest first */
static ngx_uint_t all_n;

ngx_uint_t postern_pool_n(void)
{
    return all_n;
}

static void unlink_idle(struct postern_idle *idle)
{
    ngx_queue_remove(&idle->of_upstream);
    ngx_queue_remove(&idle->of_worker);
    idle->upstream->idle_n--;
    all_n--;
}

static void close_connection(ngx_connection_t *c)
{
#if (NGX_HTTP_SSL)
    if (c->ssl) {
        c->ssl->no_wait_shutdown = 1;
        c->ssl->no_send_shutdown = 1;
        if (ngx_ssl_shutdown(c) == NGX_AGAIN) {
            c->ssl->handler = close_connection;
            return;
        }
    }
#endif
    ngx_destroy_pool(c->pool);
    ngx_close_connection(c);
}

static void close_idle(struct postern_idle *idle)
{
    ngx_connection_t *c = idle->connection;

    unlink_idle(idle);
    close_connection(c); /* `idle` lives in its pool */
}

static void on_write(ngx_event_t *ev)
{
}

/* The other side closed, sent something nobody asked for, the time is over, or nginx wants the
 * connection back. */
static void on_read(ngx_event_t *ev)
{
    ngx_connection_t *c = ev->data;
    u_char byte;

    if (!c->close && !ev->timedout && recv(c->fd, &byte, 1, MSG_PEEK) == -1 &&
        ngx_socket_errno == NGX_EAGAIN) {
        ev->ready = 0;
        if (ngx_handle_read_event(ev, 0) == NGX_OK)
            return;
    }
    close_idle(c->data);
}

static void set_log(ngx_connection_t *c, ngx_log_t *log)
{
    c->log = log;
    c->read->log = log;
    c->write->log = log;
    c->pool->log = log;
}

ngx_connection_t *postern_pool_take(struct postern_upstream *u, ngx_log_t *log)
{
    if (ngx_queue_empty(&u->idle))
        return NULL;

    struct postern_idle *idle =
        ngx_queue_data(ngx_queue_head(&u->idle), struct postern_idle, of_upstream);
    ngx_connection_t *c = idle->connection;
    unlink_idle(idle);
    if (c->read->timer_set)
        ngx_del_timer(c->read);
    c->idle = 0;
    c->sent = 0;
    c->data = NULL;
    set_log(c, log);
    return c;
}

/* Marks the record of a connection among its pool's cleanups; there is nothing to clean. */
static void is_idle_record(void *data)
{
}

/* The connection's record, made at its first use and found again later. */
static struct postern_idle *record_of(ngx_connection_t *c)
{
    ngx_pool_cleanup_t *cln;

    for (cln = c->pool->cleanup; cln; cln = cln->next) {
        if (cln->handler == is_idle_record)
            return cln->data;
    }
    cln = ngx_pool_cleanup_add(c->pool, sizeof(struct postern_idle));
    if (cln == NULL)
        return NULL;
    cln->handler = is_idle_record;
    return cln->data;
}

ngx_int_t postern_pool_keep(struct postern_upstream *u, const struct postern_srv_conf *conf,
                            ngx_connection_t *c)
{
    struct postern_idle *idle;

    if (conf->keepalive == 0 || conf->keepalive_max == 0 || c->requests >= conf->requests ||
        ngx_handle_read_event(c->read, 0) != NGX_OK)
        return NGX_DECLINED;
    idle = record_of(c);
    if (idle == NULL)
        return NGX_DECLINED;

    if (all.next == NULL) {
        ngx_queue_init(&all);
    }
    if (u->idle_n >= conf->keepalive)
        close_idle(ngx_queue_data(ngx_queue_last(&u->idle), struct postern_idle, of_upstream));
    else if (all_n >= conf->keepalive_max)
        close_idle(ngx_queue_data(ngx_queue_last(&all), struct postern_idle, of_worker));

    idle->upstream = u;
    idle->connection = c;
    ngx_queue_insert_head(&u->idle, &idle->of_upstream);
    ngx_queue_insert_head(&all, &idle->of_worker);
    u->idle_n++;
    all_n++;

    if (c->write->timer_set)
        ngx_del_timer(c->write);
    c->read->delayed = 0;
    ngx_add_timer(c->read, conf->idle_timeout);
    c->write->handler = on_write;
    c->read->handler = on_read;
    c->data = idle;
    c->idle = 1;
    set_log(c, ngx_cycle->log);
    if (c->read->ready)
        on_read(c->read);
    return NGX_OK;
}

void postern_pool_close(struct postern_entry *app)
{
    for (ngx_uint_t i = 0; i < app->u.app.upstream_n; i++) {
        struct postern_upstream *u = &app->u.app.upstreams[i];
        while (!ngx_queue_empty(&u->idle))
            close_idle(ngx_queue_data(ngx_queue_head(&u->idle), struct postern_idle, of_upstream));
    }
}
