/* budget.c - the CA's limits, asked before it is: a refusal is a wait with a time and a reason. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include <postern/name.h>

#include "order_internal.h"

/* Kinds of buckets in the store. */
#define ORDERS "orders-per-account"
#define CERTS  "certificates-per-domain"
#define FAILED "failed-authorizations"

enum { WHY_SIZE = 400, KEY_SIZE = 2 * PST_NAME_SIZE };

struct bucket {
    const char *kind;
    char key[KEY_SIZE];
    struct pst_order_limit limit;
    bool spend; /* by sending an order; otherwise only asked */
    const char *what;
};

struct take {
    struct pst_order *o;
    struct bucket buckets[3];
    int64_t at_ms; /* of the answer "not yet" */
    char why[WHY_SIZE];
};

/* A CA counts a wildcard's failures with those of the name under the "*.". */
static void failed_key(const struct pst_order *o, char to[KEY_SIZE])
{
    snprintf(to, KEY_SIZE, "%s/%s", o->row.account_id, pst_order_base(o->row.name));
}

static int fill(struct take *t, struct pst_err *err)
{
    struct pst_order *o = t->o;
    const struct pst_order_opts *opts = &o->env->o;
    struct bucket *b = t->buckets;

    b[0] = (struct bucket){ORDERS, "", opts->orders, true, "new orders of this platform"};
    pst_str_copy(b[0].key, sizeof b[0].key, o->row.account_id);
    b[1] = (struct bucket){CERTS, "", opts->certs, true, "certificates for the registered domain"};
    int rc = pst_name_registered_domain(o->row.name, b[1].key, err);
    if (rc != PST_OK)
        return pst_fail(err, PST_EINTERNAL, "%s has no registered domain", o->row.name);
    b[2] = (struct bucket){FAILED, "", opts->failed, false, "failed validations of this name"};
    failed_key(o, b[2].key);
    return PST_OK;
}

static void explain(struct take *t, const struct bucket *b)
{
    char until[PST_TIME_SIZE];
    pst_time_format(until, t->at_ms);
    snprintf(t->why, sizeof t->why,
             "waiting for the CA's limit on %s (%" PRId64 " in %" PRId64 " hours): earliest at %s",
             b->what, b->limit.n, b->limit.period_s / 3600, until);
}

/* All or nothing: nothing is taken from one bucket while another is empty. */
static int take_tx(struct pst_tx *tx, void *arg, struct pst_err *err)
{
    struct take *t = arg;
    int64_t now = pst_order_now_ms(t->o);

    t->at_ms = 0;
    for (size_t i = 0; i < PST_ARRAY_N(t->buckets); i++) {
        const struct bucket *b = &t->buckets[i];
        int64_t at_ms;
        int rc =
            pst_bucket_peek(tx, b->kind, b->key, b->limit.n, b->limit.period_s, now, &at_ms, err);
        if (rc < 0)
            return rc;
        if (rc == PST_NOTYET && at_ms > t->at_ms) {
            t->at_ms = at_ms;
            explain(t, b);
        }
    }
    if (t->at_ms)
        return PST_NOTYET;
    for (size_t i = 0; i < PST_ARRAY_N(t->buckets); i++) {
        const struct bucket *b = &t->buckets[i];
        if (!b->spend)
            continue;
        int rc = pst_bucket_spend(tx, b->kind, b->key, b->limit.n, b->limit.period_s, now, err);
        if (rc < 0)
            return rc;
    }
    return PST_OK;
}

int pst_order_budget_take(struct pst_order *o, int64_t *ret_at_ms, char *why, size_t why_size,
                          struct pst_err *err)
{
    struct take t = {.o = o};
    int rc = fill(&t, err);
    if (rc == PST_OK)
        rc = pst_store_write(o->env->o.store, take_tx, &t, NULL, err);
    if (rc == PST_NOTYET) {
        *ret_at_ms = t.at_ms;
        pst_str_copy(why, why_size, t.why);
    }
    return rc < 0 ? pst_wrap(err, "asking the budget") : rc;
}

int pst_order_budget_failed(struct pst_tx *tx, struct pst_order *o, struct pst_err *err)
{
    const struct pst_order_limit *l = &o->env->o.failed;
    char key[KEY_SIZE];

    failed_key(o, key);
    return pst_bucket_spend(tx, FAILED, key, l->n, l->period_s, pst_order_now_ms(o), err);
}

int pst_order_budget_block(struct pst_tx *tx, struct pst_order *o, int64_t until_ms,
                           struct pst_err *err)
{
    char key[KEY_SIZE];

    failed_key(o, key);
    int rc = pst_bucket_block(tx, FAILED, key, until_ms, err);
    if (rc < 0)
        return rc;
    if (pst_name_registered_domain(o->row.name, key, NULL) != PST_OK)
        return PST_OK;
    return pst_bucket_block(tx, CERTS, key, until_ms, err);
}
