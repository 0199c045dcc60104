/*
 * postern_status: the counters of all workers as Prometheus metrics (text format 0.0.4), and a few
 * gauges of the worker that happens to answer.
 */
#include "ngx_http_postern.h"

enum { LINE_MAX_LEN = 128, GAUGES = 6 };

#define POSTERN_COUNTER_NAME(id, name) name,
static const char *const names[] = {POSTERN_COUNTERS(POSTERN_COUNTER_NAME)};

static u_char *gauge(u_char *p, const char *name, uint64_t value)
{
    return ngx_sprintf(p, "# TYPE %s gauge\n%s %uL\n", name, name, value);
}

/* The counter's family begins a new "# TYPE" line unless the one before has the same. */
static u_char *type_line(u_char *p, size_t i)
{
    size_t len = strcspn(names[i], "{");

    if (i && ngx_strncmp(names[i - 1], names[i], len) == 0 && names[i - 1][len] == '{')
        return p;
    return ngx_sprintf(p, "# TYPE %*s %s\n", len, names[i],
                       i >= POSTERN_REPLICA_REV ? "gauge" : "counter");
}

ngx_int_t postern_status_handler(ngx_http_request_t *r)
{
    const size_t n = POSTERN_COUNTER__END;
    struct pst_replica_seen seen = {0};
    u_char *body, *p;

    if (!(r->method & (NGX_HTTP_GET | NGX_HTTP_HEAD)))
        return NGX_HTTP_NOT_ALLOWED;
    body = p = ngx_pnalloc(r->pool, (2 * n + 2 * GAUGES) * LINE_MAX_LEN);
    if (body == NULL)
        return NGX_HTTP_INTERNAL_SERVER_ERROR;

    postern_report_reader();
    if (postern.reader)
        pst_replica_reader_seen(postern.reader, &seen);
    for (size_t i = 0; i < n; i++) {
        p = type_line(p, i);
        p = ngx_sprintf(p, "%s %uA\n", names[i], postern.shared->counters[i]);
    }
    p = gauge(p, "postern_worker_replica_open", (uint64_t)seen.is_open);
    p = gauge(p, "postern_worker_replica_revision", seen.rev);
    p = gauge(p, "postern_worker_cache_bytes", postern_cache_bytes());
    p = gauge(p, "postern_worker_idle_connections", postern_pool_n());
    p = gauge(p, "postern_clock_ahead_seconds", (uint64_t)(postern_now() - ngx_time()));
    return postern_send(r, NGX_HTTP_OK, "text/plain; version=0.0.4", body, (size_t)(p - body));
}
