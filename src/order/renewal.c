/*
 * renewal.c - when the CA wants a certificate renewed (RFC 9773): asked when it was issued, and
 * again and again after, because a CA that must revoke certificates moves their windows to now.
 */
#include <stdio.h>
#include <string.h>

#include <postern/renewal.h>

#include "order_internal.h"

enum { MOVED_MS = 24 * 3600 * 1000 }; /* a renewal that comes so much earlier is told */

/* A question to the CA about one certificate, and what its answer changes. */
struct question {
    struct pst_order_env *env;
    struct pst_renewal known;
    struct pst_certificate cert;
    struct pst_acme_renewal window;
};

static int64_t now_ms(const struct pst_order_env *env)
{
    return pst_wall_ms(env->o.clock);
}

/* ---- asking ---- */

int pst_order_ask_window(struct pst_acme_call *call, const struct pst_certificate *c,
                         struct pst_acme_renewal *ret, struct pst_err *err)
{
    struct pst_cert_info info = {0};

    int rc = pst_cert_parse_der(c->leaf.data, c->leaf.len, &info, err);
    if (rc == PST_OK)
        rc = info.ari_cert_id[0] ? pst_acme_renewal_info(call, info.ari_cert_id, ret, err)
                                 : PST_NOTFOUND;
    pst_cert_info_deinit(&info);
    return rc;
}

int64_t pst_order_ask_again_ms(const struct pst_order_env *env, int64_t retry_after_s)
{
    int64_t most_s = env->o.renewal_ask_s;
    int64_t wait_ms = (retry_after_s < most_s ? retry_after_s : most_s) * 1000;

    /* Certificates that were issued together are not asked about together for ever. */
    return now_ms(env) + wait_ms - (int64_t)pst_rand_below(env->o.rand, (uint64_t)wait_ms / 10 + 1);
}

/* ---- what the answer changes ---- */

static int tell(struct pst_tx *tx, const struct pst_domain *d, const struct question *q,
                struct pst_err *err)
{
    const char *url = q->window.explanation_url;
    char at[PST_TIME_SIZE];

    pst_time_format(at, d->due_at_ms);
    return pst_event_system(tx, d->app_id, d->id, "certificate.renewal-moved", err,
                            "the CA wants the certificate renewed earlier, at %s%s%s", at,
                            url[0] ? ": see " : "", url);
}

/* A renewal that has begun or has failed already keeps its own schedule. */
static int move_renewal(struct pst_tx *tx, struct pst_domain *d, const struct question *q,
                        struct pst_err *err)
{
    const struct pst_certificate *c = &q->cert;
    int64_t before_ms = d->due_at_ms;
    int64_t at = pst_order_renew_in_window(c->not_before, c->not_after, q->window.start_at_ms,
                                           q->window.end_at_ms, q->env->o.rand);

    if (d->failures || !before_ms)
        return PST_OK;
    d->due_at_ms = d->next_try_at_ms = at * 1000;
    int rc = pst_domain_update(tx, d, err);
    return rc == PST_OK && before_ms - d->due_at_ms > MOVED_MS ? tell(tx, d, q, err) : rc;
}

static int answered_tx(struct pst_tx *tx, void *arg, struct pst_err *err)
{
    const struct question *q = arg;
    struct pst_renewal r = {.num = q->known.num,
                            .start_at_ms = q->window.start_at_ms,
                            .end_at_ms = q->window.end_at_ms,
                            .ask_at_ms = pst_order_ask_again_ms(q->env, q->window.retry_after_s)};
    struct pst_domain d;

    int rc = pst_domain_get(tx, q->cert.domain_id, &d, err);
    if (rc < 0)
        return rc;
    if (rc != PST_OK || d.acme_cert != r.num)
        return pst_renewal_delete(tx, r.num, err); /* replaced or removed meanwhile */
    /* An instant in the window is chosen once, not at every question. */
    if (r.start_at_ms != q->known.start_at_ms || r.end_at_ms != q->known.end_at_ms)
        rc = move_renewal(tx, &d, q, err);
    return rc == PST_OK ? pst_renewal_put(tx, &r, err) : rc;
}

static int forget_tx(struct pst_tx *tx, void *arg, struct pst_err *err)
{
    const struct question *q = arg;

    return pst_renewal_delete(tx, q->known.num, err);
}

/* ---- one question ---- */

static int claim_tx(struct pst_tx *tx, void *arg, struct pst_err *err)
{
    struct question *q = arg;

    return pst_renewal_claim(tx, now_ms(q->env), PST_RENEWAL_HOLD_MS, &q->known, err);
}

static int load_tx(struct pst_tx *tx, void *arg, struct pst_err *err)
{
    struct question *q = arg;

    return pst_certificate_load(tx, q->known.num, &q->cert, err);
}

static int ask(struct question *q, struct pst_err *err)
{
    struct pst_order_env *env = q->env;
    struct pst_acme_call call = {.ca = env->o.ca, .cancel = env->o.stopping};

    int rc = pst_store_read(env->o.store, load_tx, q, err);
    if (rc == PST_OK)
        rc = pst_order_ask_window(&call, &q->cert, &q->window, err);
    if (rc == PST_NOTFOUND)
        return pst_store_write(env->o.store, forget_tx, q, NULL, err);
    if (rc != PST_OK)
        return rc;
    return pst_store_write(env->o.store, answered_tx, q, NULL, err);
}

int pst_order_ask_renewal(struct pst_order_env *env, struct pst_err *err)
{
    struct question q = {.env = env};

    int rc = pst_store_write(env->o.store, claim_tx, &q, NULL, err);
    if (rc != PST_OK)
        return rc;
    rc = ask(&q, err);
    pst_certificate_deinit(&q.cert);
    return rc < 0 ? pst_wrap(err, "asking when to renew") : rc;
}
