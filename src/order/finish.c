/* finish.c - what an order's progress and end mean for its domain. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <postern/renewal.h>

#include "order_internal.h"

enum { DAY_S = 86400 };

int pst_order_drop_challenge(struct pst_tx *tx, struct pst_order *o, struct pst_err *err)
{
    return o->data.token[0] ? pst_challenge_delete(tx, o->data.token, err) : PST_OK;
}

int pst_finish_note(struct pst_tx *tx, struct pst_order *o, const char *problem, const char *reason,
                    int64_t next_try_at_ms, struct pst_err *err)
{
    struct pst_domain d;
    int rc = pst_domain_get(tx, o->row.domain_id, &d, err);
    if (rc != PST_OK)
        return rc < 0 ? rc : PST_OK;
    pst_str_copy(d.problem, sizeof d.problem, problem);
    pst_str_cut(d.reason, sizeof d.reason, reason);
    d.next_try_at_ms = next_try_at_ms;
    return pst_domain_update(tx, &d, err);
}

/* The sentence for the owner of the domain, with the CA's own words behind it. */
static void explain_failure(struct pst_domain *d, const struct pst_err *fault,
                            const struct pst_order_decision *decision)
{
    if (decision->user)
        pst_str_cut(d->reason, sizeof d->reason, decision->user);
    else
        pst_str_cut(d->reason, sizeof d->reason, fault->text);
    pst_str_cut(d->evidence, sizeof d->evidence, fault->text);
    pst_str_copy(d->problem, sizeof d->problem,
                 fault->problem[0] ? fault->problem : pst_rc_name(fault->rc));
}

static int64_t failure_delay_ms(struct pst_order *o, const struct pst_domain *d,
                                const struct pst_order_decision *decision)
{
    const struct pst_order_opts *opts = &o->env->o;
    int64_t max_s = opts->backoff_max_s;
    int64_t first_s = decision->action == PST_ACTION_FAIL ? opts->backoff_first_s
                                                          : (max_s < DAY_S ? max_s : DAY_S);
    return pst_order_backoff_ms(d->failures, first_s, max_s, opts->rand);
}

int pst_finish_failed(struct pst_tx *tx, struct pst_order *o, const struct pst_err *fault,
                      const struct pst_order_decision *decision, struct pst_err *err)
{
    struct pst_domain d;
    int64_t now = pst_order_now_ms(o);

    int rc = pst_order_budget_failed(tx, o, err);
    if (rc < 0)
        return rc;
    rc = pst_domain_get(tx, o->row.domain_id, &d, err);
    if (rc != PST_OK)
        return rc < 0 ? rc : PST_OK;

    d.failures++;
    d.last_failure_at_ms = now;
    d.due_at_ms = now + failure_delay_ms(o, &d, decision);
    d.next_try_at_ms = d.due_at_ms;
    d.phase = decision->action == PST_ACTION_FAIL ? PST_PHASE_WORK : PST_PHASE_BLOCKED;
    explain_failure(&d, fault, decision);
    rc = pst_domain_update(tx, &d, err);
    if (rc < 0)
        return rc;
    return pst_event_system(tx, d.app_id, d.id, "order.failed", err,
                            "attempt %" PRId64 " failed: %s", o->row.attempt, fault->text);
}

int pst_finish_asked(struct pst_tx *tx, struct pst_order *o, const struct pst_err *fault,
                     const struct pst_order_decision *decision, struct pst_err *err)
{
    struct pst_domain d;

    int rc = pst_domain_get(tx, o->row.domain_id, &d, err);
    if (rc != PST_OK)
        return rc < 0 ? rc : PST_OK;
    bool told = d.phase == PST_PHASE_BLOCKED && pst_streq(d.problem, o->row.problem);
    explain_failure(&d, fault, decision);
    pst_str_copy(d.problem, sizeof d.problem, o->row.problem);
    pst_str_copy(d.acme_dns_error, sizeof d.acme_dns_error, o->dns_error);
    d.phase = PST_PHASE_BLOCKED;
    d.next_try_at_ms = o->row.run_at_ms;
    rc = pst_domain_update(tx, &d, err);
    if (rc < 0 || (told && !o->remind))
        return rc;
    return pst_event_system(tx, d.app_id, d.id, "domain.action-required", err, "%s", d.reason);
}

/* Spread by the certificate's own number, so that it is the same after a restart. */
static int64_t renew_at_ms(const struct pst_certificate *c)
{
    return pst_order_renew_at(c->not_before, c->not_after, (uint64_t)c->num) * 1000;
}

int pst_finish_issued(struct pst_tx *tx, struct pst_order *o, struct pst_err *err)
{
    struct pst_domain d;
    char until[PST_TIME_SIZE];

    int rc = pst_order_drop_challenge(tx, o, err);
    if (rc < 0)
        return rc;
    rc = pst_domain_get(tx, o->row.domain_id, &d, err);
    if (rc != PST_OK)
        return rc < 0 ? rc : PST_CONFLICT; /* removed meanwhile: keep no certificate for it */
    rc = pst_certificate_insert(tx, &o->issued, err);
    if (rc < 0)
        return rc;

    pst_time_format(until, o->issued.not_after * 1000);
    d.acme_cert = o->issued.num;
    d.due_at_ms = renew_at_ms(&o->issued); /* holds even if no edge ever shows it */
    d.failures = 0;
    d.problem[0] = d.record[0] = '\0';
    d.phase = PST_PHASE_WORK;
    pst_str_cut(d.reason, sizeof d.reason,
                "The CA has issued the certificate; it goes to the edges.");
    rc = pst_domain_update(tx, &d, err);
    if (rc < 0)
        return rc;
    return pst_event_system(tx, d.app_id, d.id, "certificate.issued", err,
                            "certificate %s issued, valid until %s", o->issued.serial, until);
}

int pst_finish_served(struct pst_tx *tx, struct pst_order *o, bool on_top, struct pst_err *err)
{
    struct pst_domain d;
    struct pst_certificate c = {0};
    int64_t now = pst_order_now_ms(o);

    int rc = pst_domain_get(tx, o->row.domain_id, &d, err);
    if (rc != PST_OK)
        return rc < 0 ? rc : PST_OK;
    rc = pst_certificate_get(tx, d.acme_cert, &c, err);
    if (rc != PST_OK)
        return rc < 0 ? rc : pst_unexpected(err, rc, "the certificate of an order");

    d.due_at_ms = renew_at_ms(&c);
    pst_certificate_deinit(&c);
    d.next_try_at_ms = d.due_at_ms;
    d.problem[0] = d.reason[0] = d.record[0] = '\0';
    bool first = !d.acme_seen_at_ms;
    if (first)
        d.acme_seen_at_ms = now;
    rc = pst_domain_update(tx, &d, err);
    if (rc < 0)
        return rc;
    if (!on_top)
        return pst_event_system(tx, d.app_id, d.id, "certificate.standby", err,
                                "every edge has the certificate; the uploaded one is served");
    return pst_event_system(tx, d.app_id, d.id, "certificate.served", err,
                            "every edge serves the %s certificate", first ? "first" : "renewed");
}

int pst_finish_scheduled(struct pst_tx *tx, struct pst_order *o, struct pst_err *err)
{
    const struct pst_acme_renewal *w = &o->window;
    struct pst_domain d;
    struct pst_certificate c = {0};

    int rc = pst_domain_get(tx, o->row.domain_id, &d, err);
    if (rc == PST_OK)
        rc = pst_certificate_get(tx, d.acme_cert, &c, err);
    if (rc != PST_OK)
        return rc < 0 ? rc : PST_OK;
    d.due_at_ms = 1000 * pst_order_renew_in_window(c.not_before, c.not_after, w->start_at_ms,
                                                   w->end_at_ms, o->env->o.rand);
    d.next_try_at_ms = d.due_at_ms;
    struct pst_renewal r = {.num = c.num,
                            .start_at_ms = w->start_at_ms,
                            .end_at_ms = w->end_at_ms,
                            .ask_at_ms = pst_order_ask_again_ms(o->env, w->retry_after_s)};
    pst_certificate_deinit(&c);
    rc = pst_domain_update(tx, &d, err);
    return rc == PST_OK ? pst_renewal_put(tx, &r, err) : rc;
}

int pst_finish_unadvised(struct pst_tx *tx, struct pst_order *o, struct pst_err *err)
{
    struct pst_domain d;

    int rc = pst_domain_get(tx, o->row.domain_id, &d, err);
    if (rc != PST_OK)
        return rc < 0 ? rc : PST_OK;
    struct pst_renewal r = {.num = d.acme_cert,
                            .ask_at_ms = pst_order_now_ms(o) + PST_RENEWAL_HOLD_MS};
    return d.acme_cert ? pst_renewal_put(tx, &r, err) : PST_OK;
}
