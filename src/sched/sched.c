#include <errno.h>
#include <pthread.h>
#include <string.h>
#include <time.h>

#include <postern/base.h>
#include <postern/order.h>
#include <postern/sched.h>
#include <postern/store.h>

#define LOG "sched"

enum {
    WORKERS_MAX = 256,
    JOBS_MAX = 16,
    BEGIN_MAX = 64,
    LOOK_MAX_MS = 10 * 1000, /* look at the database at least so often: another node may write */
    FAULT_WAIT_MS = 1000,
    RENEWALS_LOOK_MS = 2000,
    AGAIN_MS = 20, /* after a batch there may be more */
};

/* The workers of one kind of steps. */
struct lane {
    struct pst_sched *s;
    enum pst_lane id;
    pthread_cond_t work;                  /* workers: the queue has an order */
    struct pst_order *queue[WORKERS_MAX]; /* never longer than there are idle workers */
    int queue_n;
    int idle;
};

struct pst_sched {
    struct pst_sched_opts o;
    struct pst_sched_job jobs[JOBS_MAX];
    pthread_t threads[PST_LANE__COUNT * WORKERS_MAX + 3];
    int threads_n;

    pthread_mutex_t lock;
    pthread_cond_t due; /* dispatcher: poked, or a worker became idle */
    pthread_cond_t end; /* jobs: stopping */
    struct lane lanes[PST_LANE__COUNT];
    bool poked;
    bool stopping;
};

static void wait_ms(pthread_cond_t *cond, pthread_mutex_t *lock, int64_t ms)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    t.tv_sec += ms / 1000;
    t.tv_nsec += (ms % 1000) * 1000000;
    if (t.tv_nsec >= 1000000000) {
        t.tv_sec++;
        t.tv_nsec -= 1000000000;
    }
    pthread_cond_timedwait(cond, lock, &t);
}

/* ---- workers ---- */

static struct pst_order *next_order(struct lane *l)
{
    struct pst_sched *s = l->s;
    struct pst_order *o = NULL;

    pthread_mutex_lock(&s->lock);
    l->idle++;
    pthread_cond_signal(&s->due);
    while (!l->queue_n && !s->stopping)
        pthread_cond_wait(&l->work, &s->lock);
    if (l->queue_n) {
        o = l->queue[0];
        l->queue_n--;
        memmove(l->queue, l->queue + 1, (size_t)l->queue_n * sizeof *l->queue);
        l->idle--;
    }
    pthread_mutex_unlock(&s->lock);
    return o;
}

static void *worker(void *arg)
{
    struct lane *l = arg;
    struct pst_order *o;

    while ((o = next_order(l))) {
        struct pst_err err = {0};
        if (pst_order_run(o, NULL, &err) < 0)
            pst_log_err(LOG, "an order could not be saved; its lease will run out", &err);
        pst_sched_poke(l->s);
    }
    return NULL;
}

/* ---- dispatcher ---- */

struct look {
    struct lane *lane;
    int64_t at_ms; /* 0: nothing is due */
};

static int next_due_tx(struct pst_tx *tx, void *arg, struct pst_err *err)
{
    struct look *l = arg;
    return pst_order_next_at(tx, l->lane->id, &l->at_ms, err);
}

static int free_workers(struct lane *l)
{
    pthread_mutex_lock(&l->s->lock);
    int n = l->s->stopping ? 0 : l->idle - l->queue_n;
    pthread_mutex_unlock(&l->s->lock);
    return n;
}

static void hand_over(struct lane *l, struct pst_order *o)
{
    pthread_mutex_lock(&l->s->lock);
    l->queue[l->queue_n++] = o;
    pthread_cond_signal(&l->work);
    pthread_mutex_unlock(&l->s->lock);
}

/* Lease as much as there are idle workers; *ret_n: how much that was. */
static int dispatch(struct lane *l, int *ret_n, struct pst_err *err)
{
    struct pst_sched *s = l->s;
    int rc = PST_OK;

    while (rc == PST_OK && free_workers(l) > 0) {
        struct pst_order *o = NULL;
        rc = pst_order_lease(s->o.orders, l->id, &o, err);
        if (rc == PST_OK) {
            hand_over(l, o);
            ++*ret_n;
        }
    }
    return rc < 0 ? rc : PST_OK;
}

/* How long one lane may sleep: until its earliest row is due.  Without an idle worker it only
 * matters that one becomes idle. */
static int look_at(struct lane *l, int64_t *ret_wait_ms, struct pst_err *err)
{
    struct look look = {.lane = l};
    int64_t now = pst_wall_ms(l->s->o.clock);
    int n = 0;

    int rc = pst_store_read(l->s->o.store, next_due_tx, &look, err);
    if (rc < 0)
        return rc;
    int64_t wait = look.at_ms ? look.at_ms - now : LOOK_MAX_MS;
    if (wait <= 0) {
        /* New orders may be for either lane, so they begin whoever is idle. */
        if (l->id == PST_LANE_CA)
            rc = pst_order_begin_due(l->s->o.orders, BEGIN_MAX, &n, err);
        if (rc >= 0)
            rc = dispatch(l, &n, err);
        if (rc < 0)
            return rc;
        /* There may be more; what is due and was not to be had is a busy tenant's. */
        wait = free_workers(l) == 0 ? LOOK_MAX_MS : n > 0 ? AGAIN_MS : FAULT_WAIT_MS;
    }
    *ret_wait_ms = wait < LOOK_MAX_MS ? wait : LOOK_MAX_MS;
    return PST_OK;
}

static int look(struct pst_sched *s, int64_t *ret_wait_ms, struct pst_err *err)
{
    *ret_wait_ms = LOOK_MAX_MS;
    for (size_t i = 0; i < PST_LANE__COUNT; i++) {
        int64_t wait;
        int rc = look_at(&s->lanes[i], &wait, err);
        if (rc < 0)
            return rc;
        *ret_wait_ms = wait < *ret_wait_ms ? wait : *ret_wait_ms;
    }
    return PST_OK;
}

static void *dispatcher(void *arg)
{
    struct pst_sched *s = arg;

    pthread_mutex_lock(&s->lock);
    while (!s->stopping) {
        s->poked = false;
        pthread_mutex_unlock(&s->lock);

        struct pst_err err = {0};
        int64_t wait;
        if (look(s, &wait, &err) < 0) {
            pst_log_err(LOG, "cannot see what is due", &err);
            wait = FAULT_WAIT_MS;
        }
        pthread_mutex_lock(&s->lock);
        if (!s->poked && !s->stopping)
            wait_ms(&s->due, &s->lock, wait);
    }
    pthread_mutex_unlock(&s->lock);
    return NULL;
}

/* ---- jobs ---- */

static void *housekeeper(void *arg)
{
    struct pst_sched *s = arg;
    int64_t due_ms[JOBS_MAX] = {0};

    pthread_mutex_lock(&s->lock);
    while (!s->stopping) {
        int64_t next = INT64_MAX;
        for (size_t i = 0; i < s->o.jobs_n && !s->stopping; i++) {
            const struct pst_sched_job *j = &s->jobs[i];
            if (pst_mono_ms(s->o.clock) >= due_ms[i]) {
                struct pst_err err = {0};
                pthread_mutex_unlock(&s->lock);
                if (j->run(j->arg, &err) < 0)
                    pst_log_err(LOG, "job failed", &err, pst_kv_s("job", j->name));
                pthread_mutex_lock(&s->lock);
                due_ms[i] = pst_mono_ms(s->o.clock) + j->period_s * 1000;
            }
            next = due_ms[i] < next ? due_ms[i] : next;
        }
        int64_t wait = next - pst_mono_ms(s->o.clock);
        if (!s->stopping && wait > 0)
            wait_ms(&s->end, &s->lock, wait < LOOK_MAX_MS ? wait : LOOK_MAX_MS);
    }
    pthread_mutex_unlock(&s->lock);
    return NULL;
}

/* ---- renewals ---- */

/* One question after the other; a CA is never asked by two of our threads at once. */
static void *renewals(void *arg)
{
    struct pst_sched *s = arg;

    pthread_mutex_lock(&s->lock);
    while (!s->stopping) {
        struct pst_err err = {0};
        pthread_mutex_unlock(&s->lock);
        int rc = pst_order_ask_renewal(s->o.orders, &err);
        if (rc < 0)
            pst_log_err(LOG, "no word from the CA about a renewal", &err);
        pthread_mutex_lock(&s->lock);
        if (rc != PST_OK && !s->stopping)
            wait_ms(&s->end, &s->lock, rc < 0 ? FAULT_WAIT_MS : RENEWALS_LOOK_MS);
    }
    pthread_mutex_unlock(&s->lock);
    return NULL;
}

/* ---- start and stop ---- */

static void init_cond(pthread_cond_t *cond)
{
    pthread_condattr_t a;
    pthread_condattr_init(&a);
    pthread_condattr_setclock(&a, CLOCK_MONOTONIC);
    pthread_cond_init(cond, &a);
    pthread_condattr_destroy(&a);
}

static int start_thread(struct pst_sched *s, void *(*fn)(void *), void *arg, struct pst_err *err)
{
    int e = pthread_create(&s->threads[s->threads_n], NULL, fn, arg);
    if (e) {
        errno = e;
        return pst_fail_sys(err, "starting a thread");
    }
    s->threads_n++;
    return PST_OK;
}

int pst_sched_start(struct pst_sched **ret, const struct pst_sched_opts *opts, struct pst_err *err)
{
    const int workers[] = {[PST_LANE_CA] = opts->workers, [PST_LANE_DNS] = opts->dns_workers};

    pst_require(opts->jobs_n <= JOBS_MAX);
    for (size_t i = 0; i < PST_LANE__COUNT; i++)
        pst_require(workers[i] >= 1 && workers[i] <= WORKERS_MAX);
    struct pst_sched *s = pst_zalloc(1, sizeof *s);
    if (!s)
        return pst_fail_nomem(err, "the scheduler");
    s->o = *opts;
    if (opts->jobs_n)
        memcpy(s->jobs, opts->jobs, opts->jobs_n * sizeof *s->jobs);
    pthread_mutex_init(&s->lock, NULL);
    init_cond(&s->due);
    init_cond(&s->end);

    int rc = start_thread(s, housekeeper, s, err);
    if (rc == PST_OK)
        rc = start_thread(s, renewals, s, err);
    for (size_t i = 0; i < PST_LANE__COUNT; i++) {
        s->lanes[i].s = s;
        s->lanes[i].id = (enum pst_lane)i;
        init_cond(&s->lanes[i].work);
        for (int n = 0; rc == PST_OK && n < workers[i]; n++)
            rc = start_thread(s, worker, &s->lanes[i], err);
    }
    if (rc == PST_OK)
        rc = start_thread(s, dispatcher, s, err);
    if (rc != PST_OK) {
        pst_sched_stop(s);
        return rc;
    }
    *ret = s;
    return PST_OK;
}

void pst_sched_poke(struct pst_sched *s)
{
    pthread_mutex_lock(&s->lock);
    s->poked = true;
    pthread_cond_signal(&s->due);
    pthread_mutex_unlock(&s->lock);
}

void pst_sched_stop(struct pst_sched *s)
{
    if (!s)
        return;
    pthread_mutex_lock(&s->lock);
    s->stopping = true;
    pthread_cond_broadcast(&s->due);
    for (size_t i = 0; i < PST_LANE__COUNT; i++)
        pthread_cond_broadcast(&s->lanes[i].work);
    pthread_cond_broadcast(&s->end);
    pthread_mutex_unlock(&s->lock);
    for (int i = 0; i < s->threads_n; i++)
        pthread_join(s->threads[i], NULL);
    pthread_cond_destroy(&s->due);
    for (size_t i = 0; i < PST_LANE__COUNT; i++)
        pthread_cond_destroy(&s->lanes[i].work);
    pthread_cond_destroy(&s->end);
    pthread_mutex_destroy(&s->lock);
    pst_free(s);
}
