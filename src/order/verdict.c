/* verdict.c - what the DNS watch found, written to the domain. */
#include <stdio.h>
#include <string.h>

#include <postern/watch.h>

#include "order_internal.h"

static const struct {
    const char *problem;
    const char *reason;
} words[] = {
    [PST_WATCH_OURS] = {"", "DNS points here; the certificate is ordered."},
    [PST_WATCH_OURS_BY_PROBE] = {"", "DNS leads here through a proxy; the certificate is ordered."},
    [PST_WATCH_FOREIGN] = {"dns.foreign", "DNS points somewhere else."},
    [PST_WATCH_MIXED] = {"dns.mixed",
                         "Some of the DNS records point here, others do not: all of them must."},
    [PST_WATCH_NONE] = {"dns.none", "DNS has no address for this name yet."},
    [PST_WATCH_FAILED] = {"dns.failed", "The DNS servers of this name do not give an answer."},
};

void pst_order_describe_verdict(struct pst_domain *d, const struct pst_watch_verdict *v)
{
    pst_str_copy(d->problem, sizeof d->problem, words[v->result].problem);
    pst_str_copy(d->reason, sizeof d->reason, words[v->result].reason);
    pst_str_cut(d->evidence, sizeof d->evidence, v->evidence);
    pst_str_cut(d->record, sizeof d->record, v->record);
}

/* When the name leads here: order at once, or go back to the renewal that was planned. */
static int plan(struct pst_tx *tx, struct pst_domain *d, int64_t now_ms, struct pst_err *err)
{
    struct pst_certificate c = {0};

    d->phase = PST_PHASE_WORK;
    d->due_at_ms = now_ms;
    if (!d->acme_cert)
        return PST_OK;
    int rc = pst_certificate_get(tx, d->acme_cert, &c, err);
    if (rc != PST_OK)
        return rc < 0 ? rc : PST_OK;
    int64_t renew_ms = pst_order_renew_at(c.not_before, c.not_after, (uint64_t)c.num) * 1000;
    if (renew_ms > now_ms) {
        d->due_at_ms = renew_ms;
        d->reason[0] = '\0';
    }
    pst_certificate_deinit(&c);
    return PST_OK;
}

int pst_order_apply_verdict(struct pst_order_env *env, struct pst_tx *tx, const char *domain_id,
                            const struct pst_watch_verdict *v, struct pst_err *err)
{
    struct pst_domain d;
    int64_t now_ms = pst_wall_ms(env->o.clock);

    int rc = pst_domain_get(tx, domain_id, &d, err);
    if (rc != PST_OK)
        return rc < 0 ? rc : PST_OK;
    /* Only names that wait for DNS are watched; a late report about another is old news. */
    if (d.phase != PST_PHASE_DNS || !d.acme_enabled)
        return PST_OK;

    pst_order_describe_verdict(&d, v);
    d.next_try_at_ms = 0;
    if (pst_watch_leads_here(v)) {
        rc = plan(tx, &d, now_ms, err);
        if (rc < 0)
            return rc;
        d.next_try_at_ms = d.due_at_ms;
    }
    return pst_domain_update(tx, &d, err);
}
