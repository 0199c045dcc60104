/* The watch's thread. */
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "watch_internal.h"

enum { EVENTS = 64, STARTS = 64, RETRY_MS = 1000 };

/* ------------------------------------------------------------------ mail */

static void remove_entry(struct pst_watch *w, struct pst_wentry *e)
{
    pst_wcheck_free(w, e->check);
    pst_wheel_remove(&w->wheel, &e->timer);
    pst_whash_remove(&w->entries, &e->node);
    atomic_fetch_sub_explicit(&w->stats.names, 1, memory_order_relaxed);
    pst_wentry_free(e);
}

static void on_add(struct pst_watch *w, struct pst_wmail *m, struct pst_wentry *old)
{
    struct pst_wentry *e = pst_take(&m->entry);

    if (old)
        remove_entry(w, old);
    pst_whash_insert(&w->entries, &e->node, e->id);
    atomic_fetch_add_explicit(&w->stats.names, 1, memory_order_relaxed);
    int64_t due = w->now_ms;
    if (e->known) /* after a restart: not all at once */
        due += (int64_t)pst_rand_below(w->opts.rand, (uint64_t)w->interval_ms);
    e->first_done = e->known;
    pst_wheel_add(&w->wheel, &e->timer, due);
}

static void on_poke(struct pst_watch *w, struct pst_wentry *e)
{
    if (w->zones)
        pst_wfinder_refresh(w, e->name);
    e->apex = PST_APEX_UNKNOWN;
    if (e->check) {
        e->again = true;
        return;
    }
    e->poked = true;
    pst_wheel_remove(&w->wheel, &e->timer);
    pst_wheel_add(&w->wheel, &e->timer, w->now_ms);
}

static void on_mail(struct pst_watch *w, struct pst_wmail *m)
{
    struct pst_wentry *e =
        m->id[0] ? (struct pst_wentry *)pst_whash_find(&w->entries, m->id) : NULL;
    struct pst_wresult *r = (struct pst_wresult *)m; /* with the last two kinds */

    if (m->kind == PST_WMAIL_ADD)
        on_add(w, m, e);
    else if (m->kind == PST_WMAIL_ZONE)
        pst_wfinder_on_result(w, r);
    else if (m->kind == PST_WMAIL_REMOVE && e)
        remove_entry(w, e);
    else if (m->kind == PST_WMAIL_POKE && e)
        on_poke(w, e);
    else if (m->kind == PST_WMAIL_PROBE && e && pst_streq(e->name, r->name))
        pst_wcheck_on_probe(w, e, r);
}

/* False: the end was ordered. */
static bool read_mail(struct pst_watch *w)
{
    uint64_t count;

    (void)!read(w->wake_fd, &count, sizeof count);
    pthread_mutex_lock(&w->lock);
    struct pst_wmail *m = w->mail_first;
    bool go_on = !w->stopping;
    w->mail_first = w->mail_last = NULL;
    pthread_mutex_unlock(&w->lock);
    while (m) {
        struct pst_wmail *next = m->next;

        on_mail(w, m);
        pst_wentry_free(m->entry);
        pst_free(m);
        m = next;
    }
    return go_on;
}

/* ------------------------------------------------------------------ reports */

void pst_watch_flush(struct pst_watch *w)
{
    for (size_t i = 0; i < w->reports_n; i++) {
        const struct pst_wreport *r = &w->reports[i];

        if (pst_whash_find(&w->entries, r->id))
            w->opts.report(w->opts.arg, r->id, &r->verdict);
    }
    if (w->reports_n > 0 && w->opts.flush)
        w->opts.flush(w->opts.arg);
    w->reports_n = 0;
}

void pst_watch_report(struct pst_watch *w, const char *id, const struct pst_watch_verdict *v)
{
    if (w->reports_n == PST_WREPORTS_MAX)
        pst_watch_flush(w);
    if (w->reports_n == 0)
        w->reports_due_ms = w->now_ms + w->opts.batch_ms;
    struct pst_wreport *r = &w->reports[w->reports_n++];
    (void)pst_str_copy(r->id, sizeof r->id, id);
    r->verdict = *v;
    atomic_fetch_add_explicit(&w->stats.reports, 1, memory_order_relaxed);
}

/* ------------------------------------------------------------------ the loop */

static bool has_room(const struct pst_watch *w)
{
    return 2 * (w->checks + 1) <= w->opts.inflight_max;
}

/* Begin what is due, as far as there is room; some at a time, so that answers are not kept waiting.
 */
static void start_due(struct pst_watch *w)
{
    for (int i = 0; i < STARTS && has_room(w); i++) {
        struct pst_wtimer *t = pst_wheel_pop(&w->wheel, w->now_ms);

        if (!t)
            return;
        struct pst_wentry *e =
            (struct pst_wentry *)(void *)((char *)t - offsetof(struct pst_wentry, timer));
        atomic_store_explicit(&w->stats.late_ms, w->now_ms - t->due_ms, memory_order_relaxed);
        if (!pst_wcheck_start(w, e))
            pst_wheel_add(&w->wheel, &e->timer, w->now_ms + RETRY_MS);
    }
}

static int64_t sooner(int64_t wait, int64_t at_ms, int64_t now_ms)
{
    int64_t left = at_ms > now_ms ? at_ms - now_ms : 0;

    return left < wait ? left : wait;
}

static int time_to_wait(const struct pst_watch *w)
{
    int64_t wait = w->max_wait_ms;

    if (has_room(w))
        wait = pst_wheel_wait(&w->wheel, w->now_ms, wait);
    if (w->net.waiting.first)
        wait = sooner(wait, w->net.waiting.first->expires_ms, w->now_ms);
    if (w->net.on_tcp.first)
        wait = sooner(wait, w->net.on_tcp.first->expires_ms, w->now_ms);
    if (w->reports_n > 0)
        wait = sooner(wait, w->reports_due_ms, w->now_ms);
    return (int)wait;
}

static bool handle_events(struct pst_watch *w, const struct epoll_event *events, int n)
{
    bool go_on = true;

    for (int i = 0; i < n; i++) {
        struct pst_wsource *s = events[i].data.ptr;

        if (s->kind == PST_WSOURCE_WAKE)
            go_on = read_mail(w);
        else
            pst_wnet_on_event(w, s, events[i].events);
    }
    return go_on;
}

void *pst_watch_loop(void *watch)
{
    struct pst_watch *w = watch;
    struct epoll_event events[EVENTS];

    for (bool go_on = true; go_on;) {
        int n = epoll_wait(w->net.epoll, events, EVENTS, time_to_wait(w));

        w->now_ms = pst_mono_ms(w->opts.clock);
        go_on = handle_events(w, events, n);
        pst_wnet_expire(w);
        start_due(w);
        pst_wnet_bury(w);
        if (w->zones)
            pst_wfinder_sweep(w);
        if (go_on && w->reports_n > 0 && w->now_ms >= w->reports_due_ms)
            pst_watch_flush(w);
    }
    return NULL;
}
