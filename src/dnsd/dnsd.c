/*
 * dnsd.c - start, stop, and the table of values: one thread reads it from the database and puts it
 * in the place of the old one, which it frees when no thread reads that any more (hazard pointers).
 */
#include <errno.h>
#include <string.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include <postern/answers.h>
#include <postern/metric.h>
#include <postern/store.h>

#include "dnsd_internal.h"

enum { MINUTE_MS = 60 * 1000, FLUSH_MS = 1000, MS_NS = 1000 * 1000 };

/* ------------------------------------------------------------------ reading and replacing */

struct pst_dns_values *pst_dnsd_hold(struct pst_dnsd *d, struct pst_dns_reader *r)
{
    struct pst_dns_values *v = atomic_load(&d->values);

    /* Said first, then looked again: whoever replaces it sees one or the other. */
    for (;;) {
        atomic_store(&r->using, v);
        struct pst_dns_values *now = atomic_load(&d->values);
        if (now == v)
            return v;
        v = now;
    }
}

void pst_dnsd_let_go(struct pst_dns_reader *r)
{
    atomic_store_explicit(&r->using, NULL, memory_order_release);
}

static void replace(struct pst_dnsd *d, struct pst_dns_values *fresh)
{
    static const struct timespec pause = {.tv_nsec = MS_NS};
    struct pst_dns_values *old = atomic_exchange(&d->values, fresh);

    /* Readers hold it for a batch of answers, which is microseconds. */
    for (size_t i = 0; old && i < PST_ARRAY_N(d->readers); i++)
        while (atomic_load(&d->readers[i].using) == old)
            nanosleep(&pause, NULL);
    pst_dns_values_free(old);
}

struct reading {
    struct pst_dnsd *d;
    struct pst_dns_values *fresh; /* NULL: nothing has changed */
    int64_t now_ms, version, until_ms;
    struct pst_err left_out; /* the last value there was no room for */
};

static int add_value(const struct pst_dns_answer *a, void *arg)
{
    struct reading *r = arg;

    if (a->until_ms <= r->now_ms)
        return PST_OK;
    if (r->until_ms == 0 || a->until_ms < r->until_ms)
        r->until_ms = a->until_ms;
    int rc = pst_dns_values_add(r->fresh, a->label, a->value, &r->left_out);
    return rc < 0 ? rc : PST_OK;
}

static int read_tx(struct pst_tx *tx, void *arg, struct pst_err *err)
{
    struct reading *r = arg;
    struct pst_dnsd *d = r->d;

    pst_dns_values_free(pst_take(&r->fresh)); /* of a run before this one */
    r->until_ms = 0;
    r->left_out = (struct pst_err){0};
    int rc = pst_dns_answers_version(tx, &r->version, err);
    if (rc != PST_OK)
        return rc;
    bool over = d->until_ms && r->now_ms >= d->until_ms;
    if (atomic_load(&d->values) && r->version == d->version && !over)
        return PST_OK;
    rc = pst_dns_values_new(&r->fresh, d->zone, (uint32_t)r->version, d->opts.rand, err);
    if (rc == PST_OK)
        rc = pst_dns_answer_each(tx, add_value, r, err);
    if (rc < 0 && r->left_out.rc == rc && err)
        *err = r->left_out;
    return rc;
}

/* Only the refreshing thread, and start before there is one. */
static int refresh(struct pst_dnsd *d, struct pst_err *err)
{
    struct reading r = {.d = d, .now_ms = pst_wall_ms(d->opts.clock)};

    int rc = pst_store_read(d->opts.store, read_tx, &r, err);
    if (rc != PST_OK) {
        pst_dns_values_free(r.fresh);
        return rc;
    }
    if (r.fresh) {
        d->version = r.version;
        d->until_ms = r.until_ms;
        replace(d, r.fresh);
        if (r.left_out.rc)
            pst_dnsd_trouble(d, PST_DNS_TROUBLE_STORE, "not all values are served", &r.left_out);
    }
    return PST_OK;
}

/* ------------------------------------------------------------------ counting and telling */

void pst_dnsd_count(struct pst_dns_reader *r, int what)
{
    /* Only its own thread counts here, so that no locked instruction is needed. */
    uint64_t n = atomic_load_explicit(&r->counts[what], memory_order_relaxed);
    atomic_store_explicit(&r->counts[what], n + 1, memory_order_relaxed);
}

static void flush_counts(struct pst_dnsd *d, uint64_t told[PST_DNS_COUNT__COUNT])
{
    static const struct {
        const char *name, *label;
    } others[PST_DNS_COUNT__COUNT] = {
        [PST_DNS_COUNT_UDP] = {"dns_questions", "udp"},
        [PST_DNS_COUNT_TCP] = {"dns_questions", "tcp"},
        [PST_DNS_COUNT_TRUNCATED] = {"dns_cut", "size"},
        [PST_DNS_COUNT_SLIPPED] = {"dns_cut", "rate"},
        [PST_DNS_COUNT_LIMITED] = {"dns_answers", "limited"},
    };

    for (int k = 0; k < PST_DNS_COUNT__COUNT; k++) {
        uint64_t sum = 0;
        for (size_t i = 0; i < PST_ARRAY_N(d->readers); i++)
            sum += atomic_load_explicit(&d->readers[i].counts[k], memory_order_relaxed);
        const char *name = k < PST_DNS_OUT__COUNT ? "dns_answers" : others[k].name;
        const char *label = k < PST_DNS_OUT__COUNT ? pst_dns_outcome_name((enum pst_dns_outcome)k)
                                                   : others[k].label;
        if (sum > told[k])
            pst_metric_add(name, label, (int64_t)(sum - told[k]));
        told[k] = sum;
    }
}

void pst_dnsd_trouble(struct pst_dnsd *d, enum pst_dns_trouble kind, const char *msg,
                      const struct pst_err *err)
{
    int64_t now = pst_mono_ms(d->opts.clock), told = atomic_load(&d->told_ms[kind]);

    pst_metric_count("dns_trouble", kind == PST_DNS_TROUBLE_STORE ? "store" : "network");
    if (told && now - told < MINUTE_MS)
        return;
    if (atomic_compare_exchange_strong(&d->told_ms[kind], &told, now))
        pst_log_err(LOG, msg, err);
}

/* ------------------------------------------------------------------ the refreshing thread */

/* Until something was changed here, it is time to ask, or the end has come: false. */
static bool wait_for_change(struct pst_dnsd *d)
{
    struct timespec until;

    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_nsec += (long)PST_DNSD_LOOK_MS * MS_NS;
    until.tv_sec += until.tv_nsec / (1000L * MS_NS);
    until.tv_nsec %= 1000L * MS_NS;
    pthread_mutex_lock(&d->lock);
    while (!d->changed && !d->stopping &&
           pthread_cond_timedwait(&d->poked, &d->lock, &until) != ETIMEDOUT)
        ;
    d->changed = false;
    bool go_on = !d->stopping;
    pthread_mutex_unlock(&d->lock);
    return go_on;
}

static void *run(void *arg)
{
    struct pst_dnsd *d = arg;
    uint64_t told[PST_DNS_COUNT__COUNT] = {0};
    int64_t flushed_ms = 0;

    pthread_setname_np(pthread_self(), "dns-values");
    while (wait_for_change(d)) {
        struct pst_err err = {0};
        int64_t now = pst_mono_ms(d->opts.clock);

        int rc = refresh(d, &err);
        if (rc != PST_OK)
            pst_dnsd_trouble(d, PST_DNS_TROUBLE_STORE, "values of DNS challenges could not be read",
                             &err);
        if (now - flushed_ms >= FLUSH_MS) {
            flush_counts(d, told);
            flushed_ms = now;
        }
    }
    return NULL;
}

void pst_dnsd_changed(struct pst_dnsd *d)
{
    pthread_mutex_lock(&d->lock);
    d->changed = true;
    pthread_cond_signal(&d->poked);
    pthread_mutex_unlock(&d->lock);
}

/* ------------------------------------------------------------------ start and stop */

static int read_addresses(struct pst_dnsd *d, struct pst_err *err)
{
    if (d->opts.listen_n < 1 || d->opts.listen_n > PST_DNSD_LISTEN_MAX)
        return pst_fail(err, PST_ECONFIG, "dnsd.listen: must have 1 to %d addresses",
                        PST_DNSD_LISTEN_MAX);
    for (size_t i = 0; i < d->opts.listen_n; i++)
        if (pst_dns_server_parse(d->opts.listen[i], &d->listen[i], err) != PST_OK) {
            pst_wrap(err, "dnsd.listen");
            return PST_ECONFIG;
        }
    return PST_OK;
}

static int make_parts(struct pst_dnsd *d, struct pst_err *err)
{
    pthread_condattr_t attr;

    int rc = read_addresses(d, err);
    if (rc == PST_OK)
        rc = pst_dns_zone_new(&d->zone, &d->opts.zone, err);
    if (rc == PST_OK)
        rc = pst_dns_rate_new(&d->rate, d->opts.rate_limit, d->opts.rate_slip, d->opts.rand, err);
    if (rc != PST_OK)
        return rc;
    d->stop = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (d->stop < 0)
        return pst_fail_sys(err, "the DNS server");
    pthread_mutex_init(&d->lock, NULL);
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&d->poked, &attr);
    pthread_condattr_destroy(&attr);
    return refresh(d, err);
}

/* TCP comes first: it does not share its port, so a second server on this machine is noticed. */
static int start_threads(struct pst_dnsd *d, struct pst_err *err)
{
    int rc = pst_tcp_start(&d->tcp, d, err);

    for (size_t i = 0; rc == PST_OK && i < (size_t)d->opts.threads; i++)
        rc = pst_udp_start(&d->udp[i], d, i, err);
    if (rc != PST_OK)
        return rc;
    errno = pthread_create(&d->refresher, NULL, run, d);
    if (errno != 0)
        return pst_fail_sys(err, "starting a thread of the DNS server");
    d->refreshing = true;
    return PST_OK;
}

PST_CLEANUP(struct pst_dnsd, pst_dnsd_stop);

int pst_dnsd_start(struct pst_dnsd **ret, const struct pst_dnsd_opts *opts, struct pst_err *err)
{
    auto_(pst_dnsd_stop) struct pst_dnsd *d = pst_zalloc(1, sizeof *d);

    if (!d)
        return pst_fail_nomem(err, "the DNS server");
    d->opts = *opts;
    d->stop = -1;
    int rc = make_parts(d, err);
    if (rc == PST_OK)
        rc = start_threads(d, err);
    if (rc != PST_OK)
        return rc;
    /* Only read during the call, as promised. */
    d->opts.listen = NULL;
    d->opts.zone = (struct pst_dns_zone_opts){0};
    *ret = pst_take(&d);
    return PST_OK;
}

void pst_dnsd_stop(struct pst_dnsd *d)
{
    if (!d)
        return;
    if (d->refreshing) {
        pthread_mutex_lock(&d->lock);
        d->stopping = true;
        pthread_cond_signal(&d->poked);
        pthread_mutex_unlock(&d->lock);
        pthread_join(d->refresher, NULL);
    }
    if (d->stop >= 0) {
        (void)eventfd_write(d->stop, 1);
        pst_tcp_stop(d->tcp);
        for (size_t i = 0; i < PST_DNSD_THREADS_MAX; i++)
            pst_udp_stop(d->udp[i]);
        close(d->stop);
    }
    pst_dns_values_free(atomic_load(&d->values));
    pst_dns_rate_free(d->rate);
    pst_dns_zone_free(d->zone);
    pst_free(d);
}
