/*
 * deliver.c - the threads that tell webhooks.
 *
 * A thread claims a due webhook, which leases its row, and finds in the same transaction what it is
 * to be told: a ping that was asked for, or the first event behind its cursor that it wants.  The
 * exchange itself is outside of any transaction.  Its outcome is saved under the fence of the
 * lease; when the process dies in between, the lease ends and the same event is told again.
 */
#include "event_internal.h"

#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include <postern/http.h>
#include <postern/json.h>

#define LOG "webhook"

enum {
    THREADS = 2,
    TIMEOUT_MS = 10 * 1000,
    LEASE_EXTRA_MS = 5 * 1000, /* beyond the exchange, for the database */
    BACKOFF_FIRST_MS = 5 * 1000,
    BACKOFF_MAX_MS = 3600 * 1000,
    GIVE_UP_MS = 3 * 86400 * 1000,
    LOOK_MS = 1000, /* how often somebody looks without being poked */
    FAULT_WAIT_MS = 1000,
    PAGE = 100, /* events looked at per claim */
    BODY_MAX = 16 * 1024,
    ANSWER_MAX = 64 * 1024,
};

struct pst_webhooks {
    struct pst_webhooks_opts o;
    struct pst_http *http;
    pthread_t threads[THREADS];
    int threads_n;
    atomic_bool stopping;
    pthread_mutex_t lock;
    pthread_cond_t poked;
    uint64_t pokes; /* under the lock */
};

/* ---- claiming ---- */

struct job {
    const struct pst_webhooks *pool;
    struct pst_webhook hook;
    struct pst_event event;
    struct pst_secret secret;
    bool found; /* there is something to tell */
    int64_t seen_n, seen_pos;
};

static int consider(const struct pst_event *e, void *arg)
{
    struct job *j = arg;

    j->seen_n++;
    j->seen_pos = e->chain_pos;
    if (!pst_webhook_wants(j->hook.kinds, e->kind))
        return PST_OK;
    j->event = *e;
    j->found = true;
    return PST_DONE;
}

static void make_ping(struct pst_tx *tx, struct job *j)
{
    struct pst_event *e = &j->event;

    *e = (struct pst_event){.kind = "webhook.ping", .actor = "system"};
    e->at_ms = pst_wall_ms(pst_store_clock(pst_tx_store(tx)));
    pst_str_copy(e->id, sizeof e->id, j->hook.ping_id);
    pst_str_copy(e->app_id, sizeof e->app_id, j->hook.app_id);
    pst_str_copy(e->text, sizeof e->text, "This is a test: the webhook works.");
    j->found = true;
}

/* PST_OK: a webhook is leased, or was found to have nothing (j->found); PST_NOTFOUND: none is due.
 */
static int claim_tx(struct pst_tx *tx, void *arg, struct pst_err *err)
{
    struct job *j = arg;
    struct pst_webhook *h = &j->hook;

    j->found = false;
    j->seen_n = 0;
    pst_secret_deinit(&j->secret); /* this may run again */
    int rc = pst_webhook_claim(tx, j->pool->o.timeout_ms + LEASE_EXTRA_MS, h, err);
    if (rc != PST_OK)
        return rc;
    if (h->ping_id[0]) {
        make_ping(tx, j);
    } else {
        rc = pst_event_each_sealed(tx, h->cursor_pos, h->everything ? "" : h->user_id, h->app_id,
                                   PAGE, consider, j, err);
        if (rc < 0)
            return rc;
    }
    if (j->found)
        return pst_webhook_secret(tx, h->id, &j->secret, err);
    if (j->seen_n)
        h->cursor_pos = j->seen_pos;
    return pst_webhook_save(tx, h, j->seen_n == PAGE, err);
}

/* ---- telling ---- */

static int make_body(const struct job *j, struct pst_buf *to, struct pst_err *err)
{
    auto_(pst_json_free) struct pst_json *root = pst_json_object();

    if (!pst_json_set_text(root, "webhook_id", j->hook.id) ||
        !pst_json_set(root, "event", pst_event_json(&j->event)))
        return pst_fail_nomem(err, "a webhook's body");
    return pst_json_write(root, to, err);
}

/* PST_OK: the receiver has it.  PST_REFUSED, negative: why not. */
static int tell(struct pst_webhooks *p, struct job *j, struct pst_err *err)
{
    auto_buf struct pst_buf body = PST_BUF(BODY_MAX);
    char signature[PST_WEBHOOK_SIGNATURE_SIZE];
    struct pst_http_response *answer = NULL;

    j->hook.last_status = 0;
    int rc = make_body(j, &body, err);
    if (rc == PST_OK)
        rc = pst_webhook_sign(&j->secret, pst_now(p->o.clock), body.data, body.len, signature, err);
    if (rc != PST_OK)
        return rc;
    const struct pst_http_header headers[] = {
        {"Content-Type", "application/json"},
        {"X-Postern-Signature", signature},
        {"X-Postern-Event", j->event.kind},
        {"X-Postern-Event-Id", j->event.id},
    };
    const struct pst_http_request req = {.method = "POST",
                                         .url = j->hook.url,
                                         .headers = headers,
                                         .headers_n = PST_ARRAY_N(headers),
                                         .body = body.data,
                                         .body_len = body.len,
                                         .cancel = &p->stopping};
    rc = pst_http_do(p->http, &req, &answer, err);
    if (rc != PST_OK)
        return rc;
    int status = pst_http_status(answer);
    pst_http_response_free(answer);
    j->hook.last_status = status;
    if (status >= 200 && status <= 299)
        return PST_OK;
    return pst_fail(err, PST_REFUSED, "the receiver answered %d%s", status,
                    status >= 300 && status <= 399 ? "; redirects are not followed" : "");
}

/* ---- saving ---- */

/* As much as fits, in characters that every database and terminal takes. */
static void keep_text(char *to, size_t size, const char *text)
{
    size_t n = 0;

    for (; text[n] && n + 1 < size; n++)
        to[n] = text[n] >= ' ' && text[n] < 0x7f ? text[n] : '?';
    to[n] = '\0';
}

static void note_outcome(struct pst_webhooks *p, struct job *j, int rc, const struct pst_err *why)
{
    struct pst_webhook *h = &j->hook;
    const int64_t now = pst_wall_ms(p->o.clock);
    const bool ping = h->ping_id[0];

    pst_str_copy(h->last_error, sizeof h->last_error, "");
    if (rc == PST_OK) {
        h->delivered_at_ms = now;
        h->failures = h->failing_since_ms = h->next_at_ms = 0;
        if (!ping)
            h->cursor_pos = j->event.chain_pos;
        return;
    }
    keep_text(h->last_error, sizeof h->last_error, why->text);
    if (!ping) /* a test that fails only tells that it did */
        pst_webhook_failed(h, &p->o, now);
}

static int note_off(struct pst_tx *tx, const struct pst_webhook *h, struct pst_err *err)
{
    struct pst_event e = {.kind = "webhook.off", .actor = "system"};

    pst_str_copy(e.app_id, sizeof e.app_id, h->app_id);
    snprintf(e.text, sizeof e.text,
             "webhook %s was switched off after %" PRId64 " failures; it goes on from where it "
             "was when it is switched on again",
             h->id, h->failures);
    return pst_event_append(tx, &e, err);
}

static int save_tx(struct pst_tx *tx, void *arg, struct pst_err *err)
{
    const struct job *j = arg;

    int rc = pst_webhook_save(tx, &j->hook, true, err);
    return rc == PST_OK && !j->hook.active ? note_off(tx, &j->hook, err) : rc;
}

/* ---- the threads ---- */

static void wait_ms(struct pst_webhooks *p, uint64_t seen, int64_t ms)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    t.tv_sec += ms / 1000;
    t.tv_nsec += (ms % 1000) * 1000000;
    if (t.tv_nsec >= 1000000000) {
        t.tv_sec++;
        t.tv_nsec -= 1000000000;
    }
    pthread_mutex_lock(&p->lock);
    while (!p->stopping && p->pokes == seen && pthread_cond_timedwait(&p->poked, &p->lock, &t) == 0)
        ;
    pthread_mutex_unlock(&p->lock);
}

static uint64_t pokes(struct pst_webhooks *p)
{
    pthread_mutex_lock(&p->lock);
    uint64_t n = p->pokes;
    pthread_mutex_unlock(&p->lock);
    return n;
}

/* One webhook.  PST_OK: look for another; PST_NOTFOUND: none is due; negative. */
static int run_one(struct pst_webhooks *p, struct pst_err *err)
{
    struct job *j = pst_zalloc(1, sizeof *j);
    struct pst_err why = {0};

    if (!j)
        return pst_fail_nomem(err, "a webhook's delivery");
    j->pool = p;
    int rc = pst_store_write(p->o.store, claim_tx, j, NULL, err);
    if (rc == PST_OK && j->found) {
        rc = tell(p, j, &why);
        if (rc != PST_OK && !p->stopping)
            pst_log_warn(LOG, "not delivered", pst_kv_s("webhook", j->hook.id),
                         pst_kv_s("event", j->event.id), pst_kv_s("reason", why.text));
        if (rc == PST_OK || !p->stopping) {
            note_outcome(p, j, rc, &why);
            rc = pst_store_write(p->o.store, save_tx, j, NULL, err);
        } else {
            rc = PST_OK; /* we broke it off ourselves: the next start frees the lease */
        }
    }
    pst_secret_deinit(&j->secret);
    pst_free(j);
    return rc == PST_CONFLICT ? PST_OK : rc; /* somebody else has it now, or it was removed */
}

static void *deliverer(void *arg)
{
    struct pst_webhooks *p = arg;

    while (!p->stopping) {
        uint64_t seen = pokes(p);
        struct pst_err err = {0};
        int rc = run_one(p, &err);
        if (rc < 0) {
            pst_log_err(LOG, "webhooks cannot be told at the moment", &err);
            wait_ms(p, seen, FAULT_WAIT_MS);
        } else if (rc != PST_OK) {
            wait_ms(p, seen, LOOK_MS);
        }
    }
    return NULL;
}

/* ---- start and stop ---- */

static int64_t or_else(int64_t value, int64_t fallback)
{
    return value ? value : fallback;
}

static int free_stale_tx(struct pst_tx *tx, void *arg, struct pst_err *err)
{
    (void)arg;
    return pst_webhook_free_stale(tx, err);
}

static int start_threads(struct pst_webhooks *p, struct pst_err *err)
{
    while (p->threads_n < THREADS) {
        int e = pthread_create(&p->threads[p->threads_n], NULL, deliverer, p);
        if (e) {
            errno = e;
            return pst_fail_sys(err, "starting a thread");
        }
        p->threads_n++;
    }
    return PST_OK;
}

int pst_webhooks_start(struct pst_webhooks **ret, const struct pst_webhooks_opts *opts,
                       struct pst_err *err)
{
    struct pst_webhooks *p = pst_zalloc(1, sizeof *p);
    pthread_condattr_t a;

    if (!p)
        return pst_fail_nomem(err, "the webhooks");
    p->o = *opts;
    p->o.timeout_ms = or_else(opts->timeout_ms, TIMEOUT_MS);
    p->o.backoff_first_ms = or_else(opts->backoff_first_ms, BACKOFF_FIRST_MS);
    p->o.backoff_max_ms = or_else(opts->backoff_max_ms, BACKOFF_MAX_MS);
    p->o.give_up_ms = or_else(opts->give_up_ms, GIVE_UP_MS);
    pthread_mutex_init(&p->lock, NULL);
    pthread_condattr_init(&a);
    pthread_condattr_setclock(&a, CLOCK_MONOTONIC);
    pthread_cond_init(&p->poked, &a);
    pthread_condattr_destroy(&a);

    const struct pst_http_opts http = {.ca_file = opts->ca_file,
                                       .timeout_ms = (uint32_t)p->o.timeout_ms,
                                       .connect_timeout_ms = (uint32_t)p->o.timeout_ms,
                                       .max_body = ANSWER_MAX,
                                       .idle_max = THREADS,
                                       .gate = opts->gate};
    int rc = pst_http_new(&p->http, &http, err);
    if (rc == PST_OK)
        rc = pst_store_write(p->o.store, free_stale_tx, NULL, NULL, err);
    if (rc == PST_OK)
        rc = start_threads(p, err);
    if (rc != PST_OK) {
        pst_webhooks_stop(p);
        return rc;
    }
    *ret = p;
    return PST_OK;
}

void pst_webhooks_poke(struct pst_webhooks *p)
{
    pthread_mutex_lock(&p->lock);
    p->pokes++;
    pthread_cond_broadcast(&p->poked);
    pthread_mutex_unlock(&p->lock);
}

void pst_webhooks_stop(struct pst_webhooks *p)
{
    if (!p)
        return;
    p->stopping = true;
    pst_webhooks_poke(p);
    for (int i = 0; i < p->threads_n; i++)
        pthread_join(p->threads[i], NULL);
    pst_http_free(p->http);
    pthread_cond_destroy(&p->poked);
    pthread_mutex_destroy(&p->lock);
    pst_free(p);
}
