/* steps_validate.c - publishing, answering, validating: every edge first, then the CA. */
#include <stdio.h>

#include <postern/feed.h>

#include "order_internal.h"

/* ---- publishing: the readiness barrier ---- */

struct barrier {
    struct pst_order *o;
    int64_t live_n, ready_n;
};

static int barrier_tx(struct pst_tx *tx, void *arg, struct pst_err *err)
{
    struct barrier *b = arg;
    struct pst_order *o = b->o;

    /* The head of the feed is at or after the revision that carried what is waited for. */
    if (!o->data.barrier_rev) {
        struct pst_feed_cursor head;
        int rc = pst_feed_head(tx, &head, err);
        if (rc < 0)
            return rc;
        o->data.barrier_rev = head.rev;
        o->data.barrier_at_ms = pst_order_now_ms(o) + o->env->o.barrier_ms;
    }
    return pst_edge_readiness(tx, o->data.barrier_rev, pst_order_now_ms(o), o->env->o.live_ms,
                              &b->live_n, &b->ready_n, err);
}

int pst_order_barrier(struct pst_order *o, struct pst_step *ret, struct pst_err *err)
{
    struct barrier b = {.o = o};
    int64_t now = pst_order_now_ms(o);

    int rc = pst_store_read(o->env->o.store, barrier_tx, &b, err);
    if (rc != PST_OK)
        return rc;
    if (b.live_n > 0 && b.ready_n == b.live_n)
        return PST_OK;
    if (b.live_n > 0 && now >= o->data.barrier_at_ms) {
        pst_log_warn(LOG, "edges are late; going on without them", pst_kv_s("order", o->row.id),
                     pst_kv_i("live", b.live_n), pst_kv_i("ready", b.ready_n));
        return PST_OK;
    }
    ret->next = o->state;
    ret->wait_rev = o->data.barrier_rev;
    /* Without any live edge nothing could answer: wait for one, however long it takes. */
    ret->run_at_ms = b.live_n > 0 ? o->data.barrier_at_ms : now + o->env->o.barrier_ms;
    snprintf(ret->why, sizeof ret->why, "%lld of %lld edges have it", (long long)b.ready_n,
             (long long)b.live_n);
    return PST_NOTYET;
}

int pst_step_publishing(struct pst_order *o, struct pst_step *ret, struct pst_err *err)
{
    int rc = pst_order_barrier(o, ret, err);
    if (rc == PST_NOTYET)
        return PST_OK;
    ret->next = PST_ORDER_ANSWERING;
    return rc;
}

/* ---- answering ---- */

int pst_step_answering(struct pst_order *o, struct pst_step *ret, struct pst_err *err)
{
    enum pst_acme_challenge_status status;

    int rc = pst_order_account(o, err);
    if (rc == PST_OK)
        rc = pst_acme_challenge_answer(&o->call, o->data.challenge_url, &status, err);
    if (rc != PST_OK)
        return rc;
    ret->next = PST_ORDER_VALIDATING;
    ret->run_at_ms = pst_order_now_ms(o) + pst_order_poll_ms(0, 0, o->env->o.poll_first_ms);
    return PST_OK;
}

/* ---- validating ---- */

int pst_order_authz_failed(struct pst_order *o, const struct pst_acme_authz *a, struct pst_err *err)
{
    const struct pst_acme_problem *p = pst_acme_authz_error(a);
    struct pst_acme_advice advice;

    o->dead = true;
    if (!p)
        return pst_fail(err, PST_EREMOTE, "the CA's authorization for %s is %s without a reason",
                        o->row.name, pst_acme_authz_status_name(a->status));
    o->call.problem = *p;
    pst_acme_problem_advice(p, PST_ACME_ON_CHALLENGE, pst_order_now_ms(o) / 1000, &advice, err);
    return pst_wrap(err, "the CA could not validate %s", o->row.name);
}

/* Not yet: ask again by the CA's Retry-After or our own schedule. */
void pst_order_poll_again(struct pst_order *o, int64_t retry_after_ms, struct pst_step *ret)
{
    ret->next = o->state;
    ret->run_at_ms = pst_order_now_ms(o) +
                     pst_order_poll_ms(o->data.polls, retry_after_ms, o->env->o.poll_first_ms);
    o->data.polls++;
}

int pst_step_validating(struct pst_order *o, struct pst_step *ret, struct pst_err *err)
{
    struct pst_acme_authz *a = NULL;

    int rc = pst_order_account(o, err);
    if (rc == PST_OK)
        rc = pst_acme_authz_get(&o->call, o->data.authz_url, &a, err);
    if (rc != PST_OK)
        return rc;
    if (a->status == PST_ACME_AUTHZ_VALID)
        ret->next = PST_ORDER_READYING;
    else if (a->status == PST_ACME_AUTHZ_PENDING)
        pst_order_poll_again(o, a->retry_after_ms, ret);
    else
        rc = pst_order_authz_failed(o, a, err);
    pst_acme_authz_free(a);
    return rc;
}
