/*
 * pool.c - the API's own threads.
 *
 * Queued requests are run by workers, parked ones (long polls) wait in a list without a thread,
 * and one timer answers what takes too long.  All lists and states are under one lock; a request
 * is answered exactly once, by whoever finds it not yet answered.
 */
#include "api_internal.h"

#include <time.h>

enum { TICK_MS = 100, WRITE_MS = 2000 };

static int64_t mono_ms(const struct pst_api *api)
{
    return pst_mono_ms(api->opts.clock);
}

static void list_add(struct pst_req_list *l, struct pst_req *req)
{
    req->next = NULL;
    req->prev = l->tail;
    if (l->tail)
        l->tail->next = req;
    else
        l->head = req;
    l->tail = req;
    l->n++;
}

static void list_remove(struct pst_req_list *l, struct pst_req *req)
{
    if (req->prev)
        req->prev->next = req->next;
    else
        l->head = req->next;
    if (req->next)
        req->next->prev = req->prev;
    else
        l->tail = req->prev;
    req->next = req->prev = NULL;
    l->n--;
}

static void unref_locked(struct pst_req *req, struct pst_req **ret_dead)
{
    *ret_dead = --req->refs == 0 ? req : NULL;
}

void pst_req_done(struct pst_req *req)
{
    struct pst_pool *p = &req->api->pool;
    struct pst_req *dead;

    pthread_mutex_lock(&p->lock);
    if (req->pooled && --p->unwritten_n == 0)
        pthread_cond_signal(&p->tick);
    unref_locked(req, &dead);
    pthread_mutex_unlock(&p->lock);
    pst_req_free(dead);
}

/* The answer stands: let the server write it.  With the lock; not for an answered one. */
static void publish(struct pst_req *req)
{
    req->state = PST_REQ_ANSWERED;
    pst_server_resume(req);
}

/* The pool lets go of a request that it has just answered: the server has its own reference, which
 * it cannot drop before it gets the lock. */
static void unref_after_publish(struct pst_req *req)
{
    struct pst_req *dead;

    unref_locked(req, &dead);
    pst_require(!dead);
}

static void publish_busy(struct pst_req *req, const char *text)
{
    pst_answer_error(&req->answer, 503, "%s", text);
    req->answer.retry_after_s = 5;
    publish(req);
}

/* What was done already is said, even if the edges do not have it yet. */
static void publish_held(struct pst_req *req)
{
    struct pst_answer mine = req->held;

    req->held = req->answer;
    req->answer = mine;
    publish(req);
}

bool pst_pool_add(struct pst_req *req)
{
    struct pst_pool *p = &req->api->pool;
    bool room;

    pthread_mutex_lock(&p->lock);
    room = !p->stopping && p->queued.n < req->api->set.queue_max;
    if (room) {
        req->refs++;
        req->pooled = true;
        p->unwritten_n++;
        req->state = PST_REQ_QUEUED;
        req->give_up_ms = mono_ms(req->api) + req->api->set.give_up_ms;
        list_add(&p->queued, req);
        pthread_cond_signal(&p->work);
        pthread_cond_signal(&p->tick);
    }
    pthread_mutex_unlock(&p->lock);
    return room;
}

/* From parked to queued.  With the lock. */
static void unpark(struct pst_pool *p, struct pst_req *req, int64_t now_ms)
{
    list_remove(&p->parked, req);
    req->state = PST_REQ_QUEUED;
    req->give_up_ms = now_ms + req->api->set.give_up_ms;
    list_add(&p->queued, req);
    pthread_cond_signal(&p->work);
}

bool pst_pool_stopping(struct pst_api *api)
{
    struct pst_pool *p = &api->pool;

    pthread_mutex_lock(&p->lock);
    bool stopping = p->stopping;
    pthread_mutex_unlock(&p->lock);
    return stopping;
}

void pst_pool_feed_moved(struct pst_api *api)
{
    struct pst_pool *p = &api->pool;
    int64_t now_ms = mono_ms(api);

    struct pst_req *next;

    pthread_mutex_lock(&p->lock);
    p->feed_moves++;
    for (struct pst_req *r = p->parked.head; r; r = next) {
        next = r->next;
        if (!r->hold_rev)
            unpark(p, r, now_ms);
    }
    pthread_mutex_unlock(&p->lock);
}

void pst_pool_acked(struct pst_api *api, int64_t rev)
{
    struct pst_pool *p = &api->pool;
    int64_t now_ms = mono_ms(api);
    struct pst_req *next;

    pthread_mutex_lock(&p->lock);
    p->acks++;
    for (struct pst_req *r = p->parked.head; r; r = next) {
        next = r->next;
        if (r->hold_rev && r->hold_rev <= rev)
            unpark(p, r, now_ms);
    }
    pthread_mutex_unlock(&p->lock);
}

/* Has what it waits for happened since its handler looked?  With the lock. */
static bool moved_since(const struct pst_pool *p, const struct pst_req *req)
{
    return req->hold_rev ? req->acks_seen != p->acks : req->feed_seen != p->feed_moves;
}

/* The handler is through.  With the lock; takes over the worker's reference when it parks. */
static bool finish(struct pst_pool *p, struct pst_req *req, int rc, struct pst_answer *ans)
{
    list_remove(&p->running, req);
    if (req->state == PST_REQ_ANSWERED) /* the timer was faster */
        return false;
    if (rc == PST_NOTYET && !p->stopping) {
        req->again = true;
        req->state = PST_REQ_PARKED;
        list_add(&p->parked, req);
        /* A change between the handler's look and now must not be slept over. */
        if (moved_since(p, req) || mono_ms(req->api) >= req->wait_until_ms)
            unpark(p, req, mono_ms(req->api));
        pthread_cond_signal(&p->tick);
        return true;
    }
    if (rc == PST_NOTYET && req->hold_rev) {
        publish_held(req);
        return false;
    }
    if (rc == PST_NOTYET) {
        publish_busy(req, "the server is stopping");
        return false;
    }
    struct pst_answer old = req->answer;
    req->answer = *ans;
    *ans = old;
    publish(req);
    return false;
}

static void run_one(struct pst_pool *p, struct pst_req *req)
{
    struct pst_answer ans;
    struct pst_req *dead = NULL;

    pst_answer_init(&ans);
    int rc = pst_dispatch(req, &ans);

    pthread_mutex_lock(&p->lock);
    bool kept = finish(p, req, rc, &ans);
    if (!kept)
        unref_locked(req, &dead);
    pthread_mutex_unlock(&p->lock);
    pst_answer_deinit(&ans);
    pst_req_free(dead);
}

static void *worker_main(void *arg)
{
    struct pst_api *api = arg;
    struct pst_pool *p = &api->pool;

    pthread_mutex_lock(&p->lock);
    for (;;) {
        while (!p->queued.head && !p->stopping)
            pthread_cond_wait(&p->work, &p->lock);
        if (p->stopping)
            break;
        struct pst_req *req = p->queued.head;
        list_remove(&p->queued, req);
        req->state = PST_REQ_RUNNING;
        req->feed_seen = p->feed_moves;
        req->acks_seen = p->acks;
        list_add(&p->running, req);
        pthread_mutex_unlock(&p->lock);
        run_one(p, req);
        pthread_mutex_lock(&p->lock);
    }
    pthread_mutex_unlock(&p->lock);
    return NULL;
}

/* Answer what has waited too long.  With the lock. */
static void look_at_times(struct pst_api *api)
{
    struct pst_pool *p = &api->pool;
    int64_t now_ms = mono_ms(api);
    struct pst_req *next;

    for (struct pst_req *r = p->parked.head; r; r = next) {
        next = r->next;
        if (now_ms >= r->wait_until_ms)
            unpark(p, r, now_ms);
    }
    for (struct pst_req *r = p->running.head; r; r = r->next)
        if (r->state == PST_REQ_RUNNING && now_ms >= r->give_up_ms)
            publish_busy(r, "the request took too long; whether it was done is not known");
    while (p->queued.head && now_ms >= p->queued.head->give_up_ms) {
        struct pst_req *r = p->queued.head;
        list_remove(&p->queued, r);
        publish_busy(r, "the server has too much to do");
        unref_after_publish(r);
    }
}

/* With the lock.  The condition sleeps by the system's clock, whatever clock was injected. */
static int wait_tick(struct pst_pool *p, int64_t until_ms)
{
    struct timespec until = {until_ms / 1000, until_ms % 1000 * 1000000};

    return pthread_cond_timedwait(&p->tick, &p->lock, &until);
}

static void *timer_main(void *arg)
{
    struct pst_api *api = arg;
    struct pst_pool *p = &api->pool;

    pthread_mutex_lock(&p->lock);
    while (!p->stopping) {
        if (p->queued.n + p->running.n + p->parked.n == 0) {
            pthread_cond_wait(&p->tick, &p->lock);
            continue;
        }
        wait_tick(p, pst_mono_ms(pst_clock_system()) + TICK_MS);
        look_at_times(api);
    }
    pthread_mutex_unlock(&p->lock);
    return NULL;
}

static int init_locks(struct pst_pool *p, struct pst_err *err)
{
    pthread_condattr_t monotonic;

    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    p->lock_made = pthread_mutex_init(&p->lock, NULL) == 0;
    p->work_made = pthread_cond_init(&p->work, NULL) == 0;
    p->tick_made = pthread_cond_init(&p->tick, &monotonic) == 0;
    pthread_condattr_destroy(&monotonic);
    if (!p->lock_made || !p->work_made || !p->tick_made)
        return pst_fail(err, PST_ESYS, "cannot make the API's locks");
    return PST_OK;
}

int pst_pool_start(struct pst_api *api, struct pst_err *err)
{
    struct pst_pool *p = &api->pool;

    int rc = init_locks(p, err);
    if (rc < 0)
        return rc;
    p->threads = pst_zalloc(api->set.workers, sizeof *p->threads);
    if (!p->threads)
        return pst_fail_nomem(err, "the API's threads");
    while (p->threads_n < api->set.workers) {
        int sys = pthread_create(&p->threads[p->threads_n], NULL, worker_main, api);
        if (sys != 0)
            return pst_fail(err, PST_ESYS, "cannot start a thread of the API: error %d", sys);
        p->threads_n++;
    }
    if (pthread_create(&p->timer, NULL, timer_main, api) != 0)
        return pst_fail(err, PST_ESYS, "cannot start the API's timer");
    p->timer_made = true;
    return PST_OK;
}

static void answer_all(struct pst_req_list *l)
{
    while (l->head) {
        struct pst_req *r = l->head;
        list_remove(l, r);
        if (r->hold_rev)
            publish_held(r);
        else
            publish_busy(r, "the server is stopping");
        unref_after_publish(r);
    }
}

void pst_pool_stop(struct pst_api *api)
{
    struct pst_pool *p = &api->pool;

    if (!p->lock_made)
        return;
    pthread_mutex_lock(&p->lock);
    p->stopping = true;
    answer_all(&p->queued);
    answer_all(&p->parked);
    if (p->work_made)
        pthread_cond_broadcast(&p->work);
    if (p->tick_made)
        pthread_cond_broadcast(&p->tick);
    pthread_mutex_unlock(&p->lock);
    for (size_t i = 0; i < p->threads_n; i++)
        pthread_join(p->threads[i], NULL);
    if (p->timer_made)
        pthread_join(p->timer, NULL);
    p->threads_n = 0;
    p->timer_made = false;
    /* The answers are the server's to write; a client that does not read is not waited for. */
    int64_t until_ms = pst_mono_ms(pst_clock_system()) + WRITE_MS;
    pthread_mutex_lock(&p->lock);
    while (p->unwritten_n > 0 && wait_tick(p, until_ms) == 0)
        continue;
    pthread_mutex_unlock(&p->lock);
}

void pst_pool_free(struct pst_api *api)
{
    struct pst_pool *p = &api->pool;

    pst_free(p->threads);
    if (p->work_made)
        pthread_cond_destroy(&p->work);
    if (p->tick_made)
        pthread_cond_destroy(&p->tick);
    if (p->lock_made)
        pthread_mutex_destroy(&p->lock);
}
