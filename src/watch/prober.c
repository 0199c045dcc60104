/*
 * HTTP probes for names with foreign addresses, by two helper threads.  A slow host holds one of
 * them at most: two probes of one address never run together, and only a few may wait for it.
 */
#include <string.h>

#include "watch_internal.h"

static bool being_probed(const struct pst_watch *w, const struct pst_dns_ip *ip)
{
    for (size_t i = 0; i < PST_WPROBERS; i++) {
        if (w->probing[i].version != 0 && pst_dns_ip_cmp(&w->probing[i], ip) == 0)
            return true;
    }
    return false;
}

/* Under the lock: the oldest job whose host is idle. */
static struct pst_wprobe_job *take_job(struct pst_watch *w)
{
    struct pst_wprobe_job **p = &w->probes;

    while (*p && being_probed(w, &(*p)->ips[0]))
        p = &(*p)->next;
    struct pst_wprobe_job *job = *p;
    if (job) {
        *p = job->next;
        w->probes_n--;
    }
    return job;
}

static void probe(struct pst_watch *w, const struct pst_wprobe_job *job)
{
    char texts[PST_WATCH_PROBE_IPS][PST_DNS_IP_SIZE];
    const char *ips[PST_WATCH_PROBE_IPS];
    size_t n = pst_watch_ip_texts(job->ips, job->ip_n, texts, ips, PST_WATCH_PROBE_IPS);

    job->result->probed = w->opts.edge.probe(w->opts.edge.probe_arg, job->name, ips, n,
                                             &job->result->probe, NULL) == PST_OK;
}

static void *run(void *arg)
{
    struct pst_watch *w = arg;
    struct pst_dns_ip *mine = NULL;

    pthread_mutex_lock(&w->lock);
    while (!w->stopping) {
        struct pst_wprobe_job *job = take_job(w);

        if (!job) {
            pthread_cond_wait(&w->job, &w->lock);
            continue;
        }
        for (size_t i = 0; i < PST_WPROBERS; i++) {
            if (w->probing[i].version == 0)
                mine = &w->probing[i];
        }
        *mine = job->ips[0];
        pthread_mutex_unlock(&w->lock);
        probe(w, job);
        pst_watch_post(w, &job->result->mail);
        pst_free(job);
        pthread_mutex_lock(&w->lock);
        mine->version = 0;
        pthread_cond_broadcast(&w->job); /* its host is idle again */
    }
    pthread_mutex_unlock(&w->lock);
    return NULL;
}

int pst_wprober_start(struct pst_watch *w, struct pst_err *err)
{
    int rc = PST_OK;

    while (w->opts.edge.probe && rc == PST_OK && w->probers_n < PST_WPROBERS) {
        rc = pst_watch_thread(&w->probers[w->probers_n], run, w, "HTTP probes", err);
        w->probers_n += rc == PST_OK;
    }
    return rc;
}

void pst_wprober_stop(struct pst_watch *w)
{
    while (w->probers_n > 0)
        pthread_join(w->probers[--w->probers_n], NULL);
}

/* Under the lock: is there room, and where is the end? */
static struct pst_wprobe_job **find_room(struct pst_watch *w, const struct pst_dns_ip *ip)
{
    struct pst_wprobe_job **p = &w->probes;
    size_t same_host = 0;

    for (; *p; p = &(*p)->next)
        same_host += pst_dns_ip_cmp(&(*p)->ips[0], ip) == 0;
    bool room = w->probes_n < PST_WPROBES_MAX && same_host < PST_WPROBES_PER_HOST;
    return room ? p : NULL;
}

bool pst_wprober_push(struct pst_watch *w, const struct pst_wentry *e, const struct pst_dns_ip *ips,
                      size_t n)
{
    auto_(pst_free) struct pst_wprobe_job *job = pst_zalloc(1, sizeof *job);
    auto_(pst_free) struct pst_wresult *m = pst_zalloc(1, sizeof *m);

    if (!job || !m || n == 0)
        return false;
    m->mail.kind = PST_WMAIL_PROBE;
    (void)pst_str_copy(m->mail.id, sizeof m->mail.id, e->id);
    (void)pst_str_copy(m->name, sizeof m->name, e->name);
    (void)pst_str_copy(job->name, sizeof job->name, e->name);
    job->ip_n = n < PST_WATCH_PROBE_IPS ? n : PST_WATCH_PROBE_IPS;
    memcpy(job->ips, ips, job->ip_n * sizeof *ips);
    job->result = m;
    pthread_mutex_lock(&w->lock);
    struct pst_wprobe_job **end = find_room(w, &job->ips[0]);
    if (end) {
        *end = pst_take(&job);
        m = NULL;
        w->probes_n++;
        pthread_cond_broadcast(&w->job);
    }
    pthread_mutex_unlock(&w->lock);
    return end != NULL;
}

void pst_wprober_free(struct pst_watch *w)
{
    while (w->probes) {
        struct pst_wprobe_job *job = w->probes;

        w->probes = job->next;
        pst_free(job->result);
        pst_free(job);
    }
}
