/*
 * Look-ups in the replica, with what was last known behind them: a worker that has served a name
 * goes on serving it when the file is damaged, gone or being replaced.
 */
#include "ngx_http_postern.h"

time_t postern_now(void)
{
    struct pst_replica_seen seen;
    time_t now = ngx_time();

    if (postern.reader == NULL)
        return now;
    pst_replica_reader_seen(postern.reader, &seen);
    return ngx_max(now, (time_t)seen.committed_at);
}

static void add_growth(ngx_uint_t counter, uint64_t now, uint64_t *before)
{
    if (now > *before)
        (void)ngx_atomic_fetch_add(&postern.shared->counters[counter],
                                   (ngx_atomic_int_t)(now - *before));
    *before = now;
}

void postern_report_reader(void)
{
    struct pst_replica_seen seen, *was = &postern.reported;

    if (postern.reader == NULL)
        return;
    pst_replica_reader_seen(postern.reader, &seen);
    if (seen.fault_n != was->fault_n)
        ngx_log_error(NGX_LOG_CRIT, postern.log, 0,
                      "postern: the replica is damaged; serving what is cached until a new one "
                      "stands");
    if (seen.failed_n != was->failed_n && (was->failed_n == 0 || was->is_open))
        ngx_log_error(NGX_LOG_ERR, postern.log, 0,
                      "postern: the replica cannot be opened (code %d); trying again each second",
                      seen.last_errno);
    if (seen.opened_n != was->opened_n)
        ngx_log_error(NGX_LOG_NOTICE, postern.log, 0, "postern: replica opened, revision %uL",
                      seen.rev);
    add_growth(POSTERN_REPLICA_OPENED, seen.opened_n, &was->opened_n);
    add_growth(POSTERN_REPLICA_OPEN_FAILED, seen.failed_n, &was->failed_n);
    add_growth(POSTERN_REPLICA_FAULT, seen.fault_n, &was->fault_n);
    add_growth(POSTERN_REPLICA_DAMAGED, seen.damaged_n, &was->damaged_n);
    was->is_open = seen.is_open;
    /* Not at each request: the line is shared by all workers. */
    if (seen.is_open && (seen.rev != was->rev || seen.committed_at != was->committed_at)) {
        was->rev = seen.rev;
        was->committed_at = seen.committed_at;
        postern.shared->counters[POSTERN_REPLICA_REV] = (ngx_atomic_t)seen.rev;
        postern.shared->counters[POSTERN_REPLICA_COMMITTED] = (ngx_atomic_t)seen.committed_at;
    }
}

static uint64_t epoch_now(void)
{
    struct pst_replica_seen seen;

    pst_replica_reader_seen(postern.reader, &seen);
    return seen.epoch;
}

size_t postern_normal_name(const u_char *name, size_t len, u_char to[PST_REPLICA_NAME_MAX])
{
    if (len && name[len - 1] == '.')
        len--;
    if (len == 0 || len > PST_REPLICA_NAME_MAX)
        return 0;
    for (size_t i = 0; i < len; i++) {
        u_char ch = ngx_tolower(name[i]);
        if (!((ch >= 'a' && ch <= 'z') || (ch >= '0' && ch <= '9') || ch == '-' || ch == '_' ||
              ch == '.'))
            return 0;
        to[i] = ch;
    }
    return len;
}

/* One name as it stands. */
static ngx_int_t find_exact(const u_char *name, size_t len, struct pst_replica_name *ret)
{
    struct postern_entry *e;
    void *room;
    int rc = pst_replica_reader_name(postern.reader, (const char *)name, len, ret);

    switch (rc) {
    case PST_REPLICA_OK:
        e = postern_cache_find(POSTERN_CACHED_NAME, name, len);
        if (e && e->generation == ret->generation && e->epoch == epoch_now())
            return NGX_OK;
        e = postern_cache_add(POSTERN_CACHED_NAME, name, len, sizeof *ret, 0, &room);
        if (e) {
            e->generation = ret->generation;
            e->epoch = epoch_now();
            e->u.name = room;
            *e->u.name = *ret;
        }
        return NGX_OK;
    case PST_REPLICA_MISSING:
    case PST_REPLICA_BADKEY:
        postern_cache_drop(POSTERN_CACHED_NAME, name, len);
        return NGX_DECLINED;
    default:
        postern_report_reader();
        e = postern_cache_find(POSTERN_CACHED_NAME, name, len);
        if (e == NULL)
            return NGX_ERROR;
        *ret = *e->u.name;
        return NGX_OK;
    }
}

ngx_int_t postern_find_name(const u_char *host, size_t len, struct pst_replica_name *ret)
{
    u_char wildcard[PST_REPLICA_NAME_MAX + 2];
    const u_char *dot;
    ngx_int_t rc;

    if (postern.reader == NULL)
        return NGX_ERROR;
    rc = find_exact(host, len, ret);
    if (rc != NGX_DECLINED)
        return rc; /* also when it cannot be told: the name may have a record of its own */
    dot = memchr(host, '.', len);
    if (dot == NULL || dot == host)
        return rc;
    size_t rest = (size_t)(host + len - dot);
    wildcard[0] = '*';
    ngx_memcpy(wildcard + 1, dot, rest);
    return find_exact(wildcard, rest + 1, ret);
}

ngx_int_t postern_find_default(struct pst_replica_default *ret)
{
    static const u_char key[] = "default";
    struct postern_entry *e;
    void *room;

    if (postern.reader == NULL)
        return NGX_ERROR;
    int rc = pst_replica_reader_default(postern.reader, ret);
    if (rc == PST_REPLICA_MISSING) {
        postern_cache_drop(POSTERN_CACHED_DEFAULT, key, sizeof key - 1);
        ret->step_n = 0;
        return NGX_OK;
    }
    e = postern_cache_find(POSTERN_CACHED_DEFAULT, key, sizeof key - 1);
    if (rc != PST_REPLICA_OK) {
        postern_report_reader();
        if (e == NULL)
            return NGX_ERROR;
        *ret = *e->u.def;
        return NGX_OK;
    }
    if (e && e->generation == ret->generation && e->epoch == epoch_now())
        return NGX_OK;
    e = postern_cache_add(POSTERN_CACHED_DEFAULT, key, sizeof key - 1, sizeof *ret, 0, &room);
    if (e) {
        e->generation = ret->generation;
        e->epoch = epoch_now();
        e->u.def = room;
        *e->u.def = *ret;
    }
    return NGX_OK;
}

const struct pst_replica_step *postern_first_valid(const struct pst_replica_step *steps,
                                                   ngx_uint_t n, time_t now)
{
    for (ngx_uint_t i = 0; i < n; i++) {
        if (steps[i].not_before <= now && now < steps[i].not_after)
            return &steps[i];
    }
    return NULL;
}

/* Parse the addresses; those that are not allowed are left out, and so are draining ones: what is
 * under way there holds the entry from before. */
static void fill_app(struct postern_entry *e, const struct pst_replica_app *app,
                     struct postern_upstream *to)
{
    e->u.app.upstreams = to;
    for (unsigned i = 0; i < app->upstream_n; i++) {
        const struct pst_replica_upstream *from = &app->upstreams[i];
        struct postern_upstream *u = &to[e->u.app.upstream_n];
        if (from->drain)
            continue;
        ngx_int_t rc = postern_address_parse(from->address, &u->sockaddr, &u->socklen);
        if (rc != NGX_OK) {
            postern_count(UPSTREAM_REFUSED);
            ngx_log_error(NGX_LOG_ERR, postern.log, 0,
                          "postern: upstream address \"%s\" is not %s, it is left out",
                          from->address, rc == NGX_DECLINED ? "allowed" : "a literal address");
            continue;
        }
        ngx_queue_init(&u->idle);
        u->weight = from->weight ? from->weight : 1;
        u->text.len = ngx_strlen(from->address);
        u->text.data = u->text_data;
        ngx_memcpy(u->text_data, from->address, u->text.len);
        e->u.app.upstream_n++;
    }
}

struct postern_entry *postern_find_app(const char *id, ngx_int_t *ret_rc)
{
    static struct pst_replica_app app;
    struct postern_entry *e;
    size_t len = ngx_strlen(id);
    void *room;

    *ret_rc = NGX_ERROR;
    int rc = pst_replica_reader_app(postern.reader, id, &app);
    if (rc == PST_REPLICA_MISSING || rc == PST_REPLICA_BADKEY) {
        postern_cache_drop(POSTERN_CACHED_APP, id, len);
        *ret_rc = NGX_DECLINED;
        return NULL;
    }
    e = postern_cache_find(POSTERN_CACHED_APP, id, len);
    if (rc != PST_REPLICA_OK) {
        postern_report_reader();
    } else if (e == NULL || e->generation != app.generation || e->epoch != epoch_now()) {
        e = postern_cache_add(POSTERN_CACHED_APP, id, len,
                              app.upstream_n * sizeof(struct postern_upstream), 0, &room);
        if (e) {
            e->generation = app.generation;
            e->epoch = epoch_now();
            fill_app(e, &app, room);
        }
    }
    if (e == NULL)
        return NULL;
    postern_entry_hold(e);
    *ret_rc = NGX_OK;
    return e;
}
