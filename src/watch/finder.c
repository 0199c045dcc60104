/*
 * Whom to ask when no resolver is set: the servers of the zone that holds a name, found by helper
 * threads through the validating resolver and kept for some minutes.  A zone whose servers did not
 * answer well is looked up anew in the background; the old servers serve until then.
 */
#include <stdio.h>
#include <string.h>

#include <postern/resolve.h>

#include "watch_internal.h"

enum { FRESH_MS = 300 * 1000, UNUSED_MS = 900 * 1000, SWEEP_MS = 60 * 1000 };

static const struct pst_wservers none;

/* ------------------------------------------------------------------ helper threads */

static bool may_ask(const struct pst_watch *w, const struct pst_dns_ip *ip)
{
    return w->opts.server_ok ? w->opts.server_ok(w->opts.arg, ip) : pst_dns_ip_public(ip);
}

static void find(struct pst_watch *w, const struct pst_wzone *z, struct pst_wresult *m)
{
    auto_(pst_resolve_zone_free) struct pst_resolve_zone *found = NULL;
    struct pst_err err = {0};

    if (pst_resolve_zone(w->opts.lookup, z->name, &found, &err) != PST_OK) {
        (void)snprintf(m->why, sizeof m->why, "the zone's name servers were not found: %.120s",
                       err.text);
        return;
    }
    (void)pst_str_copy(m->name, sizeof m->name, found->zone);
    for (size_t i = 0; i < found->ip_n && m->servers.n < PST_WATCH_SERVERS_MAX; i++) {
        if (may_ask(w, &found->ips[i]))
            m->servers.list[m->servers.n++] =
                (struct pst_dns_server){found->ips[i], w->opts.server_port};
    }
    if (found->end.status != PST_DNS_OK)
        (void)snprintf(m->why, sizeof m->why, "finding the zone's name servers: %s%s%.120s",
                       pst_dns_status_name(found->end.status), found->end.why[0] ? ": " : "",
                       found->end.why);
    else if (m->servers.n == 0)
        (void)snprintf(m->why, sizeof m->why,
                       "none of the zone's name servers has a public address");
}

static void *run(void *arg)
{
    struct pst_watch *w = arg;

    pthread_mutex_lock(&w->lock);
    while (!w->stopping) {
        struct pst_wzone *z = w->jobs_first;

        if (!z) {
            pthread_cond_wait(&w->job, &w->lock);
            continue;
        }
        w->jobs_first = z->job_next;
        if (!z->job_next)
            w->jobs_last = NULL;
        struct pst_wresult *m = pst_take(&z->result);
        pthread_mutex_unlock(&w->lock);
        find(w, z, m);
        pst_watch_post(w, &m->mail);
        pthread_mutex_lock(&w->lock);
    }
    pthread_mutex_unlock(&w->lock);
    return NULL;
}

int pst_wfinder_start(struct pst_watch *w, struct pst_err *err)
{
    int rc = PST_OK;

    while (w->zones && rc == PST_OK && w->finders_n < PST_WFINDERS) {
        rc = pst_watch_thread(&w->finders[w->finders_n], run, w, "finding name servers", err);
        w->finders_n += rc == PST_OK;
    }
    return rc;
}

void pst_wfinder_stop(struct pst_watch *w)
{
    while (w->finders_n > 0)
        pthread_join(w->finders[--w->finders_n], NULL);
}

/* ------------------------------------------------------------------ the loop's side */

static struct pst_wzone *zone_find(struct pst_watch *w, const char *name)
{
    return (struct pst_wzone *)pst_whash_find(&w->zone_cache, name);
}

static struct pst_wzone *zone_add(struct pst_watch *w, const char *name)
{
    size_t len = strlen(name);
    struct pst_wzone *z = pst_zalloc(1, sizeof *z + len + 1);

    if (!z)
        return NULL;
    memcpy(z->name, name, len + 1);
    pst_whash_insert(&w->zone_cache, &z->node, z->name);
    return z;
}

static bool start_finding(struct pst_watch *w, struct pst_wzone *z)
{
    struct pst_wresult *m = pst_zalloc(1, sizeof *m);

    if (!m)
        return false;
    m->mail.kind = PST_WMAIL_ZONE;
    m->zone = z;
    z->finding = true;
    pthread_mutex_lock(&w->lock);
    z->result = m;
    z->job_next = NULL;
    if (w->jobs_last)
        w->jobs_last->job_next = z;
    else
        w->jobs_first = z;
    w->jobs_last = z;
    pthread_cond_broadcast(&w->job);
    pthread_mutex_unlock(&w->lock);
    return true;
}

bool pst_wfinder_servers(struct pst_watch *w, struct pst_wquestion *q, const char *name)
{
    struct pst_wzone *z = zone_find(w, name);

    q->servers = &none;
    if (!z)
        z = zone_add(w, name);
    if (!z)
        return false;
    z->users++;
    z->used_ms = w->now_ms;
    q->zone = z;
    q->servers = &z->servers;
    bool old = z->stale || w->now_ms - z->found_ms > FRESH_MS || z->servers.n == 0;
    if (!z->finding && (!z->ready || old) && !start_finding(w, z))
        return false;
    /* Servers known from before are asked while others are looked for; none are not. */
    if (z->ready && z->servers.n > 0)
        return false;
    q->waiting_for_zone = true;
    q->zone_next = z->waiting;
    z->waiting = q;
    return true;
}

void pst_wfinder_leave(struct pst_wquestion *q)
{
    struct pst_wzone *z = q->zone;

    if (!z)
        return;
    if (q->waiting_for_zone) {
        struct pst_wquestion **p = &z->waiting;

        while (*p && *p != q)
            p = &(*p)->zone_next;
        if (*p)
            *p = q->zone_next;
    }
    q->waiting_for_zone = false;
    q->zone_next = NULL;
    q->zone = NULL;
    q->servers = &none;
    z->users--;
}

void pst_wfinder_on_result(struct pst_watch *w, struct pst_wresult *m)
{
    struct pst_wzone *z = m->zone;

    z->finding = false;
    z->stale = false;
    z->found_ms = w->now_ms;
    /* Known servers stay when nothing better was found: they may well answer. */
    if (m->servers.n > 0 || !z->ready) {
        z->servers = m->servers;
        z->apex = pst_streq(m->name, z->name);
    }
    z->ready = true;
    memcpy(z->why, m->why, sizeof z->why);
    while (z->waiting) {
        struct pst_wquestion *q = z->waiting;

        z->waiting = q->zone_next;
        q->zone_next = NULL;
        q->waiting_for_zone = false;
        pst_wquestion_go(w, q);
    }
}

void pst_wfinder_refresh(struct pst_watch *w, const char *name)
{
    struct pst_wzone *z = zone_find(w, name);

    if (z)
        z->ready = false;
}

enum pst_apex pst_wfinder_apex(struct pst_watch *w, const char *name)
{
    const struct pst_wzone *z = zone_find(w, name);

    if (!z || !z->ready || z->servers.n == 0)
        return PST_APEX_UNKNOWN;
    return z->apex ? PST_APEX_YES : PST_APEX_NO;
}

static void drop_unused(struct pst_watch *w, bool all)
{
    for (size_t i = 0; w->zone_cache.buckets && i < w->zone_cache.cap; i++) {
        struct pst_wnode **p = &w->zone_cache.buckets[i];

        while (*p) {
            struct pst_wzone *z = (struct pst_wzone *)*p;
            bool unused = z->users == 0 && !z->finding &&
                          w->now_ms - z->used_ms > UNUSED_MS + 2 * w->interval_ms;

            if (!unused && !all) {
                p = &z->node.next;
                continue;
            }
            *p = z->node.next;
            w->zone_cache.n--;
            pst_free(z->result);
            pst_free(z);
        }
    }
}

void pst_wfinder_sweep(struct pst_watch *w)
{
    if (w->now_ms < w->next_sweep_ms)
        return;
    w->next_sweep_ms = w->now_ms + SWEEP_MS;
    drop_unused(w, false);
}

void pst_wfinder_free(struct pst_watch *w)
{
    drop_unused(w, true);
}
