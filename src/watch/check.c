/* One look at a name: its questions, its verdict, and when to look again. */
#include <stdlib.h>
#include <string.h>

#include "watch_internal.h"

enum {
    PROBE_AGAIN_OURS_MS = 600 * 1000,
    PROBE_AGAIN_MS = 60 * 1000,
    PROBE_AGAIN_MAX_MS = 900 * 1000,
    PROBE_EAGER = 10, /* so many probes keep the first pace; then they get rarer */
};

void pst_wentry_free(struct pst_wentry *e)
{
    if (!e)
        return;
    pst_free(e->probe);
    pst_free(e);
}

static void question_deinit(struct pst_watch *w, struct pst_wquestion *q)
{
    pst_wnet_release(w, q);
    pst_wfinder_leave(q);
    for (size_t i = 0; i < q->chain_n; i++)
        pst_free(q->chain[i]);
}

void pst_wcheck_free(struct pst_watch *w, struct pst_wcheck *c)
{
    if (!c)
        return;
    question_deinit(w, &c->a);
    question_deinit(w, &c->aaaa);
    question_deinit(w, &c->soa);
    if (!c->probing)
        w->checks--;
    c->entry->check = NULL;
    pst_free(c);
}

bool pst_wcheck_start(struct pst_watch *w, struct pst_wentry *e)
{
    struct pst_wcheck *c = pst_zalloc(1, sizeof *c);

    if (!c)
        return false;
    c->entry = e;
    e->check = c;
    c->a = (struct pst_wquestion){.check = c, .type = PST_DNS_A};
    c->aaaa = (struct pst_wquestion){.check = c, .type = PST_DNS_AAAA};
    c->soa = (struct pst_wquestion){.check = c, .type = PST_DNS_SOA};
    w->checks++;
    c->open = 2; /* before the first: it may fail at once */
    pst_wquestion_ask(w, &c->a, e->name);
    pst_wquestion_ask(w, &c->aaaa, e->name);
    return true;
}

/* ------------------------------------------------------------------ judging */

static int compare_ips(const void *a, const void *b)
{
    return pst_dns_ip_cmp(a, b);
}

/* Sorted: servers rotate them, and that is no change. */
static size_t all_ips(const struct pst_wcheck *c, struct pst_dns_ip to[PST_WATCH_IPS_MAX])
{
    size_t n = c->a.ip_n + c->aaaa.ip_n;

    memcpy(to, c->a.ips, c->a.ip_n * sizeof *to);
    memcpy(to + c->a.ip_n, c->aaaa.ips, c->aaaa.ip_n * sizeof *to);
    if (n > 1)
        qsort(to, n, sizeof *to, compare_ips);
    return n;
}

static void judge(struct pst_watch *w, const struct pst_wcheck *c, bool with_probe,
                  struct pst_watch_verdict *ret)
{
    const struct pst_wquestion *chain = c->a.chain_n > 0 ? &c->a : &c->aaaa;
    struct pst_dns_ip ips[PST_WATCH_IPS_MAX];
    const struct pst_wentry *e = c->entry;
    struct pst_watch_evidence ev = {
        .name = e->name,
        .apex =
            e->apex == PST_APEX_UNKNOWN ? pst_watch_guess_apex(e->name) : e->apex == PST_APEX_YES,
        .a = {c->a.status, c->a.why},
        .aaaa = {c->aaaa.status, c->aaaa.why},
        .ips = ips,
        .ip_n = all_ips(c, ips),
        .chain = (const char *const *)chain->chain,
        .chain_n = chain->chain_n,
        .probe = with_probe ? e->probe : NULL,
    };

    pst_watch_judge(&w->opts.edge, &ev, ret);
    ret->at_ms = pst_wall_ms(w->opts.clock);
}

uint64_t pst_watch_verdict_hash(const struct pst_watch *w, const struct pst_watch_verdict *v)
{
    /* What a probe quotes of other people's pages may differ each time: that is no change. */
    const char *quoted = strstr(v->evidence, PST_WATCH_PROBE_SAYS);
    size_t len = quoted ? (size_t)(quoted - v->evidence) : strlen(v->evidence);
    uint64_t h[3] = {(uint64_t)v->result, pst_whash_of(&w->entries, v->evidence, len),
                     pst_whash_of(&w->entries, v->record, strlen(v->record))};

    return pst_whash_of(&w->entries, h, sizeof h);
}

/* The second check comes anywhere within the interval, so that names added together do not stay
 * together; from then on the interval is kept. */
static void schedule(struct pst_watch *w, struct pst_wentry *e)
{
    int64_t interval = w->interval_ms;
    int64_t due;

    if (e->again) {
        e->again = false;
        due = w->now_ms;
    } else if (!e->first_done) {
        due = w->now_ms + interval / 10 +
              (int64_t)pst_rand_below(w->opts.rand, (uint64_t)(interval * 9 / 10 + 1));
    } else {
        int64_t jitter = (int64_t)pst_rand_below(w->opts.rand, (uint64_t)(interval / 25 + 1));

        due = e->timer.due_ms + interval - interval / 50 + jitter;
        if (due < w->now_ms + interval / 2)
            due = w->now_ms + interval / 2;
    }
    e->first_done = true;
    pst_wheel_add(&w->wheel, &e->timer, due);
}

static bool probe_counts(const struct pst_watch *w, const struct pst_wentry *e,
                         const struct pst_dns_ip *ips, size_t n)
{
    return e->probe && e->probe_ips == pst_whash_of(&w->entries, ips, n * sizeof *ips);
}

static void conclude(struct pst_watch *w, struct pst_wcheck *c)
{
    struct pst_wentry *e = c->entry;
    struct pst_dns_ip ips[PST_WATCH_IPS_MAX];
    struct pst_watch_verdict v;
    size_t n = all_ips(c, ips);

    judge(w, c, probe_counts(w, e, ips, n), &v);
    pst_wcheck_free(w, c);
    atomic_fetch_add_explicit(&w->stats.checks, 1, memory_order_relaxed);
    uint64_t hash = pst_watch_verdict_hash(w, &v);
    bool news = !e->known || e->poked || hash != e->verdict_hash;
    e->known = true;
    e->poked = e->again; /* a poke during this check waits for the next one */
    e->verdict_hash = hash;
    schedule(w, e);
    if (news)
        pst_watch_report(w, e->id, &v);
}

/* ------------------------------------------------------------------ apex and probe */

static void learn_apex(struct pst_watch *w, struct pst_wcheck *c)
{
    struct pst_wentry *e = c->entry;
    bool answered = c->soa.status == PST_DNS_OK || c->soa.status == PST_DNS_NODATA ||
                    c->soa.status == PST_DNS_NXDOMAIN;

    if (e->apex != PST_APEX_UNKNOWN)
        return;
    if (c->a.chain_n > 0 || c->aaaa.chain_n > 0 || pst_str_starts(e->name, "*."))
        e->apex = PST_APEX_NO;
    else if (w->zones)
        e->apex = (uint8_t)pst_wfinder_apex(w, e->name);
    else if (c->soa_asked && answered)
        e->apex = c->soa.status == PST_DNS_OK && c->soa.chain_n == 0 ? PST_APEX_YES : PST_APEX_NO;
}

/* Only a resolver has to be asked; it is, once per name whose records must change. */
static bool ask_apex(struct pst_watch *w, struct pst_wcheck *c)
{
    learn_apex(w, c);
    if (c->entry->apex != PST_APEX_UNKNOWN || c->soa_asked || w->zones)
        return false;
    c->soa_asked = true;
    c->open = 1;
    pst_wquestion_ask(w, &c->soa, c->entry->name);
    return true;
}

static bool ask_probe(struct pst_watch *w, struct pst_wcheck *c)
{
    struct pst_wentry *e = c->entry;
    struct pst_dns_ip ips[PST_WATCH_IPS_MAX];
    size_t n = all_ips(c, ips);

    if (!w->opts.edge.probe || pst_str_starts(e->name, "*."))
        return false;
    uint64_t hash = pst_whash_of(&w->entries, ips, n * sizeof *ips);
    if (hash != e->probe_ips)
        e->probe_fails = 0;
    else if (w->now_ms < e->probe_due_ms && !e->poked)
        return false;
    if (!pst_wprober_push(w, e, ips, n))
        return false;
    e->probe_ips = hash;
    c->probing = true;
    w->checks--;
    return true;
}

void pst_wcheck_on_answer(struct pst_watch *w, struct pst_wcheck *c)
{
    struct pst_watch_verdict v;

    if (--c->open > 0)
        return;
    judge(w, c, false, &v);
    bool foreign = v.result == PST_WATCH_FOREIGN || v.result == PST_WATCH_MIXED;
    if ((foreign || v.result == PST_WATCH_NONE) && ask_apex(w, c))
        return;
    if (foreign && ask_probe(w, c))
        return;
    conclude(w, c);
}

void pst_wcheck_on_probe(struct pst_watch *w, struct pst_wentry *e, const struct pst_wresult *m)
{
    struct pst_wcheck *c = e->check;
    int64_t again = PROBE_AGAIN_OURS_MS;

    if (!c || !c->probing)
        return;
    atomic_fetch_add_explicit(&w->stats.probes, 1, memory_order_relaxed);
    pst_free(e->probe);
    e->probe = m->probed ? pst_memdup(&m->probe, sizeof m->probe) : NULL;
    if (!m->probed || !m->probe.ours) {
        if (e->probe_fails < UINT8_MAX)
            e->probe_fails++;
        again = PROBE_AGAIN_MS;
        for (int i = PROBE_EAGER; i < e->probe_fails && again < PROBE_AGAIN_MAX_MS; i++)
            again *= 2;
    }
    e->probe_due_ms = w->now_ms + again - PROBE_AGAIN_MS / 2; /* the check next to it is in time */
    c->probing = false;
    w->checks++;
    conclude(w, c);
}
