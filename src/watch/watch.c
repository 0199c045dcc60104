/* The watch from outside: options, commands, threads. */
#include <errno.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "watch_internal.h"

/* ------------------------------------------------------------------ threads and mail */

int pst_watch_thread(pthread_t *ret, void *(*run)(void *), void *arg, const char *what,
                     struct pst_err *err)
{
    pthread_attr_t attr;

    pthread_attr_init(&attr);
    (void)pthread_attr_setstacksize(&attr, PST_WTHREAD_STACK);
    int fault = pthread_create(ret, &attr, run, arg);
    pthread_attr_destroy(&attr);
    if (fault != 0) {
        errno = fault;
        return pst_fail_sys(err, "a thread of the watch, for %s", what);
    }
    return PST_OK;
}

static void wake(struct pst_watch *w)
{
    uint64_t one = 1;

    (void)!write(w->wake_fd, &one, sizeof one);
}

void pst_watch_post(struct pst_watch *w, struct pst_wmail *m)
{
    m->next = NULL;
    pthread_mutex_lock(&w->lock);
    bool first = !w->mail_first;
    if (first)
        w->mail_first = m;
    else
        w->mail_last->next = m;
    w->mail_last = m;
    pthread_mutex_unlock(&w->lock);
    if (first)
        wake(w);
}

/* ------------------------------------------------------------------ options */

static int copy_edge(struct pst_watch *w, const struct pst_watch_edge *edge, struct pst_err *err)
{
    bool cname = edge->cname && *edge->cname;

    if (edge->addresses_n == 0 && !cname)
        return pst_fail(err, PST_ECONFIG,
                        "the watch needs the addresses of the edges, or the name that customers "
                        "point a CNAME at");
    if (cname && !pst_dns_name_ok(edge->cname))
        return pst_fail(err, PST_ECONFIG, "\"%.80s\" is not a name for a CNAME", edge->cname);
    w->edge_addresses = pst_zalloc(edge->addresses_n + 1, sizeof *w->edge_addresses);
    w->edge_cname = pst_strdup(cname ? edge->cname : "");
    if (!w->edge_addresses || !w->edge_cname)
        return pst_fail_nomem(err, "the watch");
    pst_str_lower(w->edge_cname);
    for (size_t i = 0; i < edge->addresses_n; i++) {
        struct pst_dns_ip ip;

        if (!pst_dns_ip_parse(edge->addresses[i], &ip))
            return pst_fail(err, PST_ECONFIG, "\"%.60s\" is not an address of an edge",
                            edge->addresses[i]);
        w->edge_addresses[i] = pst_strdup(edge->addresses[i]);
        if (!w->edge_addresses[i])
            return pst_fail_nomem(err, "the watch");
    }
    w->opts.edge.addresses = (const char *const *)w->edge_addresses;
    w->opts.edge.cname = w->edge_cname;
    return PST_OK;
}

static int copy_resolver(struct pst_watch *w, struct pst_err *err)
{
    w->zones = !w->opts.resolver || !*w->opts.resolver;
    if (w->zones && !w->opts.lookup)
        return pst_fail(err, PST_ECONFIG,
                        "the watch needs a resolver to ask, or one to find name servers with");
    if (!w->zones && pst_dns_server_parse(w->opts.resolver, &w->resolver.list[0], err) != PST_OK) {
        if (err)
            err->rc = PST_ECONFIG;
        (void)pst_wrap(err, "the watch's resolver");
        return PST_ECONFIG;
    }
    w->resolver.n = w->zones ? 0 : 1;
    w->opts.resolver = NULL; /* the caller's memory */
    return PST_OK;
}

static void set_defaults(struct pst_watch *w)
{
    struct pst_watch_opts *o = &w->opts;

    o->interval_s = o->interval_s ? o->interval_s : 60;
    o->batch_ms = o->batch_ms ? o->batch_ms : 200;
    o->server_port = o->server_port ? o->server_port : 53;
    o->inflight_max = o->inflight_max >= 2 ? o->inflight_max : o->inflight_max ? 2 : 1024;
    o->try_ms = o->try_ms ? o->try_ms : 1500;
    o->clock = o->clock ? o->clock : pst_clock_system();
    o->rand = o->rand ? o->rand : pst_rand_system();
    w->interval_ms = (int64_t)o->interval_s * 1000;
    /* A clock that is moved by hand does not wake epoll: look often. */
    w->max_wait_ms = o->clock == pst_clock_system() ? 1000 : 10;
}

/* ------------------------------------------------------------------ life */

static int init(struct pst_watch *w, struct pst_err *err)
{
    uint64_t seeds[2];

    int rc = copy_resolver(w, err);
    if (rc == PST_OK)
        rc = copy_edge(w, &w->opts.edge, err);
    if (rc != PST_OK)
        return rc;
    if (!w->opts.report)
        return pst_fail(err, PST_ECONFIG, "the watch has nobody to report to");
    set_defaults(w);
    w->now_ms = pst_mono_ms(w->opts.clock);
    pst_wheel_init(&w->wheel, w->now_ms);
    pst_rand_fill(w->opts.rand, seeds, sizeof seeds);
    w->reports = pst_zalloc(PST_WREPORTS_MAX, sizeof *w->reports);
    if (!w->reports || pst_whash_init(&w->entries, seeds[0]) != PST_OK ||
        pst_whash_init(&w->zone_cache, seeds[1]) != PST_OK)
        return pst_fail_nomem(err, "the watch");
    w->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (w->wake_fd < 0)
        return pst_fail_sys(err, "an eventfd for the watch");
    return pst_wnet_init(w, err);
}

static int start(struct pst_watch *w, struct pst_err *err)
{
    int rc = pst_wfinder_start(w, err);

    if (rc == PST_OK)
        rc = pst_wprober_start(w, err);
    if (rc == PST_OK)
        rc = pst_watch_thread(&w->loop, pst_watch_loop, w, "its loop", err);
    w->loop_started = rc == PST_OK;
    return rc;
}

int pst_watch_new(struct pst_watch **ret, const struct pst_watch_opts *opts, struct pst_err *err)
{
    struct pst_watch *w = pst_zalloc(1, sizeof *w);

    if (!w)
        return pst_fail_nomem(err, "the watch");
    w->opts = *opts;
    w->wake_fd = w->net.epoll = -1;
    pthread_mutex_init(&w->lock, NULL);
    pthread_cond_init(&w->job, NULL);
    int rc = init(w, err);
    if (rc == PST_OK)
        rc = start(w, err);
    if (rc != PST_OK) {
        pst_watch_free(w);
        return rc;
    }
    *ret = w;
    return PST_OK;
}

void pst_watch_stop(struct pst_watch *w)
{
    if (w->stopped)
        return;
    w->stopped = true;
    pthread_mutex_lock(&w->lock);
    w->stopping = true;
    pthread_cond_broadcast(&w->job);
    pthread_mutex_unlock(&w->lock);
    wake(w);
    if (w->loop_started)
        pthread_join(w->loop, NULL);
    pst_wprober_stop(w);
    pst_wfinder_stop(w);
}

static void free_entries(struct pst_watch *w)
{
    for (size_t i = 0; w->entries.buckets && i < w->entries.cap; i++) {
        while (w->entries.buckets[i]) {
            struct pst_wentry *e = (struct pst_wentry *)w->entries.buckets[i];

            w->entries.buckets[i] = e->node.next;
            pst_wcheck_free(w, e->check);
            pst_wentry_free(e);
        }
    }
}

void pst_watch_free(struct pst_watch *w)
{
    if (!w)
        return;
    pst_watch_stop(w);
    while (w->mail_first) {
        struct pst_wmail *m = w->mail_first;

        w->mail_first = m->next;
        pst_wentry_free(m->entry);
        pst_free(m);
    }
    free_entries(w);
    pst_wprober_free(w);
    pst_wfinder_free(w);
    pst_whash_deinit(&w->entries);
    pst_whash_deinit(&w->zone_cache);
    pst_wnet_deinit(w);
    for (size_t i = 0; w->edge_addresses && w->edge_addresses[i]; i++)
        pst_free(w->edge_addresses[i]);
    pst_free(w->edge_addresses);
    pst_free(w->edge_cname);
    pst_free(w->reports);
    if (w->wake_fd >= 0)
        close(w->wake_fd);
    pthread_mutex_destroy(&w->lock);
    pthread_cond_destroy(&w->job);
    pst_free(w);
}

/* ------------------------------------------------------------------ commands */

static struct pst_wentry *entry_new(const char *id, const char *name)
{
    size_t id_len = strlen(id), name_len = strlen(name);
    struct pst_wentry *e = pst_zalloc(1, sizeof *e + id_len + name_len + 2);

    if (!e)
        return NULL;
    memcpy(e->id, id, id_len + 1);
    e->name = e->id + id_len + 1;
    memcpy(e->name, name, name_len + 1);
    pst_str_lower(e->name);
    return e;
}

static int command(struct pst_watch *w, enum pst_wmail_kind kind, const char *id,
                   struct pst_wentry *entry, struct pst_err *err)
{
    struct pst_wmail *m = pst_zalloc(1, sizeof *m);

    if (!m) {
        pst_wentry_free(entry);
        return pst_fail_nomem(err, "the watch");
    }
    m->kind = kind;
    m->entry = entry;
    if (!pst_str_copy(m->id, sizeof m->id, id)) {
        pst_free(m); /* longer than any id that was added */
        return PST_OK;
    }
    pst_watch_post(w, m);
    return PST_OK;
}

int pst_watch_add_known(struct pst_watch *w, const char *id, const char *name,
                        const struct pst_watch_verdict *last, struct pst_err *err)
{
    size_t id_len = id ? strlen(id) : 0;

    if (id_len == 0 || id_len > PST_WATCH_ID_MAX)
        return pst_fail(err, PST_REFUSED, "an id to watch has 1 to %d bytes", PST_WATCH_ID_MAX);
    if (!pst_dns_name_ok(name))
        return pst_fail(err, PST_REFUSED, "\"%.80s\" is not a name that the DNS can be asked for",
                        name ? name : "");
    struct pst_wentry *e = entry_new(id, name);
    if (!e)
        return pst_fail_nomem(err, "a name to watch");
    if (last) {
        e->known = true;
        e->verdict_hash = pst_watch_verdict_hash(w, last);
    }
    return command(w, PST_WMAIL_ADD, id, e, err);
}

int pst_watch_add(struct pst_watch *w, const char *id, const char *name, struct pst_err *err)
{
    return pst_watch_add_known(w, id, name, NULL, err);
}

int pst_watch_remove(struct pst_watch *w, const char *id, struct pst_err *err)
{
    return command(w, PST_WMAIL_REMOVE, id, NULL, err);
}

int pst_watch_poke(struct pst_watch *w, const char *id, struct pst_err *err)
{
    return command(w, PST_WMAIL_POKE, id, NULL, err);
}

void pst_watch_stats(struct pst_watch *w, struct pst_watch_stats *ret)
{
    *ret = (struct pst_watch_stats){
        .names = atomic_load(&w->stats.names),
        .checks = atomic_load(&w->stats.checks),
        .queries = atomic_load(&w->stats.queries),
        .retries = atomic_load(&w->stats.retries),
        .tcp = atomic_load(&w->stats.tcp),
        .dropped = atomic_load(&w->stats.dropped),
        .probes = atomic_load(&w->stats.probes),
        .reports = atomic_load(&w->stats.reports),
        .late_ms = atomic_load(&w->stats.late_ms),
    };
}
