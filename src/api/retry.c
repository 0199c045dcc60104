/* retry.c - "try again now", and what is left of the limits that it draws on. */
#include "api_internal.h"

#include <stdio.h>
#include <string.h>

#include <postern/conf.h>

/*
 * A CA allows five failed validations of a name in an hour, one more every twelve minutes.  The
 * doubling waits between attempts leave one of them spare, so one try in twelve minutes is free to
 * give away (ACME contract, section 3.3).
 */
enum { RETRY_N = 1, RETRY_PERIOD_S = 12 * 60 };

#define RETRY "retry-now"

static int too_early(struct pst_req *req, int64_t at_ms, struct pst_answer *ans)
{
    int64_t wait_s = (at_ms - pst_wall_ms(req->api->opts.clock) + 999) / 1000;

    int rc = pst_answer_error(ans, 429, "this domain was tried again lately; wait %lld s",
                              (long long)wait_s);
    ans->retry_after_s = wait_s;
    return rc;
}

/* NULL, or why there is nothing to try. */
static const char *nothing_to_do(const struct pst_domain *d)
{
    if (!d->acme_enabled)
        return "certificates of a CA are switched off for this domain";
    if (d->acme_cert && d->failures == 0 && !d->problem[0])
        return "this domain has its certificate, and its renewal has not failed";
    return NULL;
}

/* The event, the hook and the answer of a try that comes now. */
static int tell_retry(struct pst_req *req, struct pst_tx *tx, const struct pst_domain *d,
                      int64_t now_ms, struct pst_answer *ans, struct pst_err *err)
{
    auto_(pst_json_free) struct pst_json *j = pst_json_object();

    int rc = pst_req_event(req, tx, "domain.retry", d->app_id, d->id, err,
                           "%s is tried again at once", d->name);
    if (rc == PST_OK)
        rc = pst_req_effect(req, PST_DOMAIN_CHANGED, d->id, d->ascii, err);
    if (rc != PST_OK)
        return rc;
    if (!pst_json_set_time(j, "next_try_at", now_ms))
        return pst_fail_nomem(err, "the answer");
    return pst_answer_json(ans, 202, j, err);
}

/* A wildcard's order that waits for a person goes on from where it is: it looks at the DNS and at
 * the variables, and the CA hears nothing of it.  So it is nothing that could be used up. */
static int look_now(struct pst_req *req, struct pst_tx *tx, struct pst_domain *d, int64_t now_ms,
                    struct pst_answer *ans, struct pst_err *err)
{
    bool waits = d->phase == PST_PHASE_MANUAL || d->phase == PST_PHASE_BLOCKED;
    int rc = d->wildcard && waits ? pst_order_wake_of(tx, d->id, now_ms, err) : PST_NOTFOUND;

    if (rc == PST_NOTFOUND)
        return pst_answer_error(ans, 409, "an order for this domain is under way");
    if (rc == PST_OK) {
        d->next_try_at_ms = now_ms;
        rc = pst_domain_update(tx, d, err);
    }
    return rc == PST_OK ? tell_retry(req, tx, d, now_ms, ans, err) : rc;
}

static int find_order(struct pst_tx *tx, const char *domain_id, struct pst_err *err)
{
    struct pst_order_row o = {0};

    int rc = pst_order_open_of(tx, domain_id, &o, err);
    pst_order_row_deinit(&o);
    return rc;
}

int pst_domains_retry(struct pst_req *req, struct pst_tx *tx, struct pst_answer *ans,
                      struct pst_err *err)
{
    int64_t now_ms = pst_wall_ms(req->api->opts.clock), at_ms = 0;
    struct pst_app a;
    struct pst_domain d;

    int rc = pst_req_object(req, ans);
    if (rc == PST_OK)
        rc = pst_req_domain(req, tx, &a, &d, ans, err);
    if (rc != PST_OK)
        return rc;
    const char *why = nothing_to_do(&d);
    if (why)
        return pst_answer_error(ans, 409, "%s", why);
    rc = find_order(tx, d.id, err);
    if (rc == PST_OK)
        return look_now(req, tx, &d, now_ms, ans, err);
    if (rc == PST_NOTFOUND)
        rc = pst_bucket_peek(tx, RETRY, d.ascii, RETRY_N, RETRY_PERIOD_S, now_ms, &at_ms, err);
    if (rc == PST_NOTYET)
        return too_early(req, at_ms, ans);
    if (rc == PST_OK)
        rc = pst_bucket_spend(tx, RETRY, d.ascii, RETRY_N, RETRY_PERIOD_S, now_ms, err);
    if (rc != PST_OK)
        return rc;
    /* Where DNS is waited for, the watch looks again and decides; else the order is due. */
    d.next_try_at_ms = now_ms;
    if (d.phase != PST_PHASE_DNS)
        d.due_at_ms = now_ms;
    rc = pst_domain_update(tx, &d, err);
    return rc == PST_OK ? tell_retry(req, tx, &d, now_ms, ans, err) : rc;
}

/* ---- the ledger ---- */

enum { LEDGER_MAX = 500 };

/* The limits whose buckets are shown; order/ spends the first three. */
static const struct limit {
    const char *kind, *text;
    enum pst_conf_id n_key, period_key;
} limits[] = {
    {"orders-per-account", "new orders of the account", PST_CONF_ACME_ORDERS_LIMIT,
     PST_CONF_ACME_ORDERS_PERIOD},
    {"certificates-per-domain", "certificates for a registered domain", PST_CONF_ACME_CERTS_LIMIT,
     PST_CONF_ACME_CERTS_PERIOD},
    {"failed-authorizations", "failed validations of a name", PST_CONF_ACME_FAILED_LIMIT,
     PST_CONF_ACME_FAILED_PERIOD},
};

struct ledger {
    struct pst_req *req;
    struct pst_tx *tx;
    struct pst_json *list;
    int64_t now_ms;
    struct pst_err *err;
};

static int set_left(const struct ledger *l, const char *kind, const char *key, int64_t n,
                    int64_t period_s, struct pst_json *j)
{
    int64_t left = 0, at_ms = 0;

    int rc = pst_bucket_left(l->tx, kind, key, n, period_s, l->now_ms, &left, l->err);
    if (rc == PST_OK)
        rc = pst_bucket_peek(l->tx, kind, key, n, period_s, l->now_ms, &at_ms, l->err);
    if (rc < 0)
        return rc;
    bool ok = pst_json_set_int(j, "of", n) && pst_json_set_int(j, "period_s", period_s) &&
              pst_json_set_int(j, "left", left) &&
              pst_json_set_time(j, "next_at", rc == PST_NOTYET ? at_ms : 0);
    return ok ? PST_OK : pst_fail_nomem(l->err, "the ledger");
}

static int add_bucket(const char *kind, const char *key, void *arg)
{
    struct ledger *l = arg;
    const struct pst_conf *c = l->req->api->set.conf;
    auto_(pst_json_free) struct pst_json *j = pst_json_object();
    int64_t n = RETRY_N, period_s = RETRY_PERIOD_S;
    const char *text = pst_streq(kind, RETRY) ? "tries at once that were asked for" : NULL;

    for (size_t i = 0; i < PST_ARRAY_N(limits); i++) {
        if (!pst_streq(limits[i].kind, kind))
            continue;
        text = limits[i].text;
        n = pst_conf_int(c, limits[i].n_key);
        period_s = pst_conf_int(c, limits[i].period_key);
    }
    if (!text) /* a limit of a newer program */
        return PST_OK;
    int rc = set_left(l, kind, key, n, period_s, j);
    if (rc != PST_OK)
        return rc;
    if (!pst_json_set_text(j, "limit", kind) || !pst_json_set_text(j, "text", text) ||
        !pst_json_set_text(j, "key", key))
        return pst_fail_nomem(l->err, "the ledger");
    return pst_json_push(l->list, pst_take(&j)) ? PST_OK : pst_fail_nomem(l->err, "the ledger");
}

int pst_ledger_get(struct pst_req *req, struct pst_tx *tx, struct pst_answer *ans,
                   struct pst_err *err)
{
    auto_(pst_json_free) struct pst_json *list = pst_json_array();
    auto_(pst_json_free) struct pst_json *j = pst_json_object();
    struct ledger l = {req, tx, list, pst_wall_ms(req->api->opts.clock), err};

    if (!list)
        return pst_fail_nomem(err, "the ledger");
    int rc = pst_bucket_each(tx, LEDGER_MAX, add_bucket, &l, err);
    if (rc != PST_OK)
        return rc;
    if (!pst_json_set(j, "ledger", pst_take(&list)))
        return pst_fail_nomem(err, "the ledger");
    return pst_answer_json(ans, 200, j, err);
}

int pst_ledger_limits(struct pst_req *req, struct pst_tx *tx, const char *account_id,
                      struct pst_json *list, struct pst_err *err)
{
    const struct ledger l = {req, tx, list, pst_wall_ms(req->api->opts.clock), err};
    const struct pst_conf *c = req->api->set.conf;

    for (size_t i = 0; i < PST_ARRAY_N(limits); i++) {
        auto_(pst_json_free) struct pst_json *j = pst_json_object();
        /* The others are kept by name or registered domain: the ledger has what is left of them. */
        bool ok = pst_json_set_text(j, "limit", limits[i].kind) &&
                  pst_json_set_text(j, "text", limits[i].text);
        if (!ok)
            return pst_fail_nomem(err, "the limits");
        if (i == 0) {
            int rc = set_left(&l, limits[i].kind, account_id, pst_conf_int(c, limits[i].n_key),
                              pst_conf_int(c, limits[i].period_key), j);
            if (rc != PST_OK)
                return rc;
        } else {
            ok = pst_json_set_int(j, "of", pst_conf_int(c, limits[i].n_key)) &&
                 pst_json_set_int(j, "period_s", pst_conf_int(c, limits[i].period_key)) &&
                 pst_json_set_null(j, "left") && pst_json_set_null(j, "next_at");
        }
        if (!ok || !pst_json_push(list, pst_take(&j)))
            return pst_fail_nomem(err, "the limits");
    }
    return PST_OK;
}
