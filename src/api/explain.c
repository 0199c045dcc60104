/* explain.c - why a domain is in its state, with all that is known about it. */
#include <postern/conf.h>

#include "api_internal.h"

#include <stdio.h>

#include "challenges.h"
#include "domain_view.h"

enum { ATTEMPTS_MAX = 20, EVENTS_MAX = 50 };

/* ---- attempts and events ---- */

static int add_attempt(const struct pst_order_row *o, void *arg)
{
    auto_(pst_json_free) struct pst_json *j = pst_json_object();

    if (!pst_json_set_text(j, "id", o->id) || !pst_json_set_int(j, "attempt", o->attempt) ||
        !pst_json_set_text(j, "state", o->state) ||
        !pst_json_set_time(j, "began_at", o->created_at_ms) ||
        !pst_json_set_time(j, "ended_at", o->ended_at_ms) ||
        !pst_json_set_or_null(j, "problem", o->problem) ||
        !pst_json_set_or_null(j, "detail", o->detail))
        return PST_ENOMEM;
    return pst_json_push(arg, pst_take(&j)) ? PST_OK : PST_ENOMEM;
}

static int set_attempts(struct pst_tx *tx, const struct pst_domain *d, struct pst_json *to,
                        struct pst_err *err)
{
    auto_(pst_json_free) struct pst_json *list = pst_json_array();

    if (!list)
        return pst_fail_nomem(err, "the attempts");
    int rc = pst_order_each_of(tx, d->id, ATTEMPTS_MAX, add_attempt, list, err);
    if (rc != PST_OK)
        return rc;
    return pst_json_set(to, "attempts", pst_take(&list)) ? PST_OK
                                                         : pst_fail_nomem(err, "the attempts");
}

/* The order that is under way: which step, since when, and when it goes on. */
static int set_order(struct pst_tx *tx, const struct pst_domain *d, struct pst_json *to,
                     struct pst_err *err)
{
    auto_(pst_json_free) struct pst_json *j = pst_json_object();
    struct pst_order_row o = {0};

    int rc = pst_order_open_of(tx, d->id, &o, err);
    if (rc == PST_NOTFOUND)
        return pst_json_set_null(to, "order") ? PST_OK : pst_fail_nomem(err, "the order");
    if (rc != PST_OK)
        return rc;
    bool ok = pst_json_set_text(j, "id", o.id) && pst_json_set_text(j, "step", o.state) &&
              pst_json_set_int(j, "attempt", o.attempt) &&
              pst_json_set_time(j, "since", o.created_at_ms) &&
              pst_json_set_time(j, "run_at", o.run_at_ms) &&
              pst_json_set_or_null(j, "problem", o.problem) &&
              pst_json_set_or_null(j, "detail", o.detail) &&
              pst_json_set(to, "order", pst_take(&j));
    pst_order_row_deinit(&o);
    return ok ? PST_OK : pst_fail_nomem(err, "the order");
}

static int set_events(struct pst_tx *tx, const struct pst_domain *d, struct pst_json *to,
                      struct pst_err *err)
{
    auto_(pst_json_free) struct pst_json *list = pst_json_array();

    if (!list)
        return pst_fail_nomem(err, "the events");
    int rc = pst_event_each(tx, d->id, EVENTS_MAX, pst_event_push, list, err);
    if (rc != PST_OK)
        return rc;
    return pst_json_set(to, "events", pst_take(&list)) ? PST_OK : pst_fail_nomem(err, "the events");
}

/* ---- the ladder ---- */

static bool set_step_certificate(struct pst_json *j, const struct pst_domain_view *v,
                                 enum pst_step s)
{
    const struct pst_certificate *c = &v->steps[s].cert;
    int64_t seen = s == PST_STEP_ACME ? v->domain->acme_seen_at_ms : 0;

    if (!v->steps[s].there)
        return pst_json_set_null(j, "certificate");
    auto_(pst_json_free) struct pst_json *cert = pst_json_object();
    return pst_json_set_text(cert, "subject", c->subject) &&
           pst_json_set_text(cert, "issuer", c->issuer) &&
           pst_json_set_text(cert, "serial", c->serial) &&
           pst_json_set_text(cert, "key_type", c->key_type) &&
           pst_json_set_text(cert, "sha256", c->sha256) &&
           pst_json_set_time(cert, "not_before", c->not_before * 1000) &&
           pst_json_set_time(cert, "not_after", c->not_after * 1000) &&
           pst_json_set_time(cert, "served_since", seen) &&
           pst_json_set(j, "certificate", pst_take(&cert));
}

static const char *why_step(const struct pst_domain_view *v, enum pst_step s)
{
    if (s == v->taken)
        return s == PST_STEP_DEFAULT ? "no certificate of the name's own can be used"
                                     : "the first step that counts";
    if (v->steps[s].valid)
        return "a step above it counts";
    return v->steps[s].why;
}

static int set_ladder(const struct pst_domain_view *v, struct pst_json *to, struct pst_err *err)
{
    auto_(pst_json_free) struct pst_json *list = pst_json_array();

    for (int i = 0; i < PST_STEP__COUNT; i++) {
        enum pst_step s = (enum pst_step)i;
        auto_(pst_json_free) struct pst_json *j = pst_json_object();
        if (!pst_json_set_text(j, "origin", pst_step_name(s)) ||
            !pst_json_set_bool(j, "valid", v->steps[s].valid) ||
            !pst_json_set_bool(j, "taken", s == v->taken) ||
            !pst_json_set_text(j, "why", why_step(v, s)) || !set_step_certificate(j, v, s) ||
            !pst_json_push(list, pst_take(&j)))
            return pst_fail_nomem(err, "the ladder");
    }
    return pst_json_set(to, "ladder", pst_take(&list)) ? PST_OK : pst_fail_nomem(err, "the ladder");
}

/* ---- all of it ---- */

/* A name that waits for DNS has no time of its own in the database: it is looked at all the time,
 * at the latest after this. */
static int64_t next_try_ms(const struct pst_req *req, const struct pst_domain *d)
{
    bool watched = d->acme_enabled && !d->wildcard && d->phase == PST_PHASE_DNS;
    int64_t now_ms = pst_wall_ms(req->api->opts.clock);

    if (!watched || d->next_try_at_ms > now_ms)
        return d->next_try_at_ms;
    return now_ms + pst_conf_int(req->api->opts.conf, PST_CONF_DNS_INTERVAL) * 1000;
}

static bool set_state(struct pst_json *j, const struct pst_req *req,
                      const struct pst_domain_view *v)
{
    const struct pst_domain *d = v->domain;

    return pst_json_set_text(j, "word", v->status.word) &&
           pst_json_set_or_null(j, "letsencrypt_status", v->status.letsencrypt_status) &&
           pst_json_set_text(j, "phase", pst_phase_name(d->phase)) &&
           pst_json_set_or_null(j, "problem", d->problem) &&
           pst_json_set_or_null(j, "reason", v->reason) &&
           pst_json_set_or_null(j, "evidence", d->evidence) &&
           pst_json_set_or_null(j, "record", d->record) &&
           pst_json_set_time(j, "next_try_at", next_try_ms(req, d)) &&
           pst_json_set_time(j, "order_due_at", d->due_at_ms) &&
           pst_json_set_int(j, "failures", d->failures) &&
           pst_json_set_time(j, "last_failure_at", d->last_failure_at_ms);
}

int pst_domains_explain(struct pst_req *req, struct pst_tx *tx, struct pst_answer *ans,
                        struct pst_err *err)
{
    auto_(pst_json_free) struct pst_json *e = pst_json_object();
    auto_(pst_json_free) struct pst_json *domain = NULL;
    auto_(pst_json_free) struct pst_json *j = pst_json_object();
    auto_view struct pst_domain_view v = {0};
    struct pst_app a;
    struct pst_domain d;

    int rc = pst_req_domain(req, tx, &a, &d, ans, err);
    if (rc == PST_OK)
        rc = pst_domain_view_load(tx, &d, pst_now(req->api->opts.clock), NULL, &v, err);
    if (rc == PST_OK)
        rc = pst_domain_json(tx, &v, &domain, err);
    if (rc == PST_OK)
        rc = pst_acme_options(req, tx, &d, domain, err);
    if (rc != PST_OK)
        return rc;
    if (!pst_json_set(e, "domain", pst_take(&domain)) ||
        !pst_json_set_time(e, "now", pst_wall_ms(req->api->opts.clock)) || !set_state(e, req, &v))
        return pst_fail_nomem(err, "the explanation");
    rc = set_order(tx, &d, e, err);
    if (rc == PST_OK)
        rc = set_attempts(tx, &d, e, err);
    if (rc == PST_OK)
        rc = set_events(tx, &d, e, err);
    if (rc == PST_OK)
        rc = set_ladder(&v, e, err);
    if (rc != PST_OK)
        return rc;
    if (!pst_json_set(j, "explain", pst_take(&e)))
        return pst_fail_nomem(err, "the explanation");
    return pst_answer_json(ans, 200, j, err);
}
