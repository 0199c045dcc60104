/* chores.c - what the lane of the DNS does besides orders: values are taken away from providers,
 * changed variables are tried. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "order_internal.h"

enum {
    AGAIN_MS = 2000,    /* an order is being worked on right now */
    CHECK_AGAIN_S = 60, /* a provider that does not answer is tried again */
    REMOVE_FIRST_S = 5, /* doubled with each failure */
    REMOVE_MAX_S = 3600,
};

PST_CLEANUP(struct pst_dns_provider, pst_dns_provider_free);

/* ---- who does it ---- */

static int claim_tx(struct pst_tx *tx, void *arg, struct pst_err *err)
{
    struct pst_order *o = arg;
    int64_t now = pst_order_now_ms(o);

    pst_dns_record_deinit(&o->record);
    o->record = (struct pst_dns_record_row){0};
    o->chore = PST_CHORE_CHECK;
    int rc =
        pst_dns_check_claim(tx, now, PST_ORDER_LEASE_MS, o->row.domain_id, &o->check_stamp, err);
    if (rc != PST_NOTFOUND)
        return rc;
    o->chore = PST_CHORE_REMOVE;
    return pst_dns_record_claim(tx, now, PST_ORDER_LEASE_MS, &o->record, err);
}

int pst_chore_lease(struct pst_order *o, struct pst_err *err)
{
    return pst_store_write(o->env->o.store, claim_tx, o, NULL, err);
}

int pst_chore_next_due(struct pst_tx *tx, int64_t *ret_at_ms, struct pst_err *err)
{
    int64_t checks, removals;

    int rc = pst_dns_check_next_due(tx, &checks, err);
    if (rc == PST_OK)
        rc = pst_dns_record_next_due(tx, &removals, err);
    if (rc == PST_OK)
        *ret_at_ms = !checks || (removals && removals < checks) ? removals : checks;
    return rc;
}

/* ---- taking a value away ---- */

/* *ret_look: the name servers will show whether it is gone. */
static int remove_with(struct pst_order *o, const struct pst_vars *vars, bool *ret_look,
                       struct pst_err *err)
{
    auto_(pst_dns_provider_free) struct pst_dns_provider *p = NULL;
    const struct pst_dns_record_row *row = &o->record;
    struct pst_dns_record r = {
        .fqdn = row->target, .value = row->value, .delegated = !pst_streq(row->target, row->name)};
    struct pst_dns_change change;
    struct pst_dns_blame blame;

    int rc = pst_vars_open(vars, o->env, &p, &blame, err);
    if (rc != PST_OK)
        return rc;
    *ret_look = pst_dns_provider_removes(p);
    rc = pst_dns_txt_remove(p, &r, &change, err);
    return rc == PST_DONE ? PST_OK : rc;
}

/* With the variables that wrote it; when those are refused, with the app's present ones. */
static int remove_value(struct pst_order *o, bool *ret_look, struct pst_err *err)
{
    auto_(pst_vars_free) struct pst_vars *vars = NULL, *present = NULL;
    struct pst_err ignored = {0};

    int rc = pst_vars_unseal(o->env, o->record.id, &o->record.sealed, &vars, err);
    if (rc != PST_OK)
        return rc;
    rc = remove_with(o, vars, ret_look, err);
    if (rc == PST_OK || pst_dns_transient(err) ||
        pst_vars_load(o->env, o->record.app_id, &present, &ignored) != PST_OK ||
        !pst_streq(pst_vars_provider(present), o->record.provider))
        return rc;
    return remove_with(o, present, ret_look, &ignored) == PST_OK ? PST_OK : rc;
}

/*
 * What the provider has taken away may still be given by name servers of the zone, and then names
 * of a wildcard record that it had hidden do not answer yet.  Servers that say nothing, or a zone
 * that is gone, cannot be waited for.
 */
static int verify_gone(struct pst_order *o, struct pst_err *err)
{
    struct pst_dns_look look = {.target = o->record.target,
                                .value = o->record.value,
                                .absent = true,
                                .resolver = o->env->o.dns_resolver};
    struct pst_dns_seen seen = {0};

    int rc = pst_dns_look(o->env->o.resolver, &look, &seen, err);
    if (rc < 0)
        return rc;
    size_t left_n = seen.servers_n - seen.have_n - seen.silent_n;
    if (left_n == 0)
        return PST_OK;
    pst_fail(err, PST_ENET, "the provider has taken it away, but %zu of %zu name servers give it",
             left_n, seen.servers_n);
    pst_err_retry(err, PST_RETRY_BACKOFF, 0);
    return PST_ENET;
}

static int give_up(struct pst_tx *tx, const struct pst_dns_record_row *r, struct pst_err *err)
{
    int rc = pst_dns_record_delete(tx, r, err);
    if (rc != PST_OK)
        return rc;
    return pst_event_system(
        tx, r->app_id, r->domain_id, "dns.record-left", err,
        "the TXT value %s of %.100s could not be taken away at %.20s; remove it by hand: %s",
        r->value, r->target, r->provider, r->problem);
}

struct removed {
    struct pst_order *o;
    bool done, given_up;
};

static int removed_tx(struct pst_tx *tx, void *arg, struct pst_err *err)
{
    struct removed *m = arg;

    if (m->given_up)
        return give_up(tx, &m->o->record, err);
    return m->done ? pst_dns_record_delete(tx, &m->o->record, err)
                   : pst_dns_record_save(tx, &m->o->record, err);
}

static int64_t remove_again_ms(const struct pst_dns_record_row *r, const struct pst_err *fault,
                               int64_t now_ms)
{
    int64_t wait_s = REMOVE_FIRST_S;

    for (int64_t i = 1; i < r->tries && wait_s < REMOVE_MAX_S; i++)
        wait_s *= 2;
    if (fault->retry == PST_RETRY_AT && fault->retry_at - now_ms / 1000 > wait_s)
        wait_s = fault->retry_at - now_ms / 1000;
    return now_ms + (wait_s < REMOVE_MAX_S ? wait_s : REMOVE_MAX_S) * 1000;
}

static int run_remove(struct pst_order *o, struct pst_err *err)
{
    struct pst_dns_record_row *r = &o->record;
    struct removed m = {.o = o};
    struct pst_err fault = {0};
    int64_t now = pst_order_now_ms(o);

    bool look = false;

    int rc = remove_value(o, &look, &fault);
    pst_order_crash_point_named("removing", "exchanged");
    if (rc == PST_OK && r->settled && look)
        rc = verify_gone(o, &fault);
    if (rc == PST_OK) {
        /* Whoever lost the order's lease may still be at its add: once more when that is over. */
        m.done = r->settled;
        r->settled = true;
        r->run_at_ms = now + PST_ORDER_LEASE_MS;
        pst_log_info(LOG, "value taken away", pst_kv_s("name", r->target),
                     pst_kv_s("provider", r->provider));
    } else {
        r->tries++;
        r->run_at_ms = remove_again_ms(r, &fault, now);
        pst_str_cut(r->problem, sizeof r->problem, fault.text);
        m.given_up = now - r->created_at_ms > o->env->o.remove_max_s * 1000;
        pst_log_err(LOG, "a value is not gone yet", &fault, pst_kv_s("name", r->target),
                    pst_kv_s("provider", r->provider), pst_kv_i("tries", r->tries));
    }
    rc = pst_store_write(o->env->o.store, removed_tx, &m, NULL, err);
    pst_order_crash_point_named("removing", "saved");
    return rc == PST_CONFLICT ? PST_OK : rc;
}

/* ---- trying variables ---- */

struct check {
    struct pst_order *o;
    struct pst_domain domain;
    int64_t again_ms; /* 0: done */
};

static int check_domain_tx(struct pst_tx *tx, void *arg, struct pst_err *err)
{
    struct check *c = arg;
    return pst_domain_get(tx, c->o->row.domain_id, &c->domain, err);
}

static int save_error(struct pst_tx *tx, struct check *c, struct pst_err *err)
{
    struct pst_order *o = c->o;
    struct pst_domain d;

    int rc = pst_domain_get(tx, o->row.domain_id, &d, err);
    if (rc != PST_OK || pst_streq(d.acme_dns_error, o->dns_error))
        return rc < 0 ? rc : PST_OK;
    pst_str_copy(d.acme_dns_error, sizeof d.acme_dns_error, o->dns_error);
    rc = pst_domain_update(tx, &d, err);
    if (rc < 0 || !o->dns_error[0])
        return rc;
    return pst_event_system(tx, d.app_id, d.id, "domain.dns-provider", err,
                            "The variables of the DNS provider are not usable: %s",
                            o->survey->fault.text);
}

/* An order that waits goes on at once; one that somebody works on right now is seen again. */
static int wake(struct pst_tx *tx, struct check *c, struct pst_err *err)
{
    struct pst_order_row open = {0};
    const char *domain_id = c->o->row.domain_id;
    int64_t now = pst_order_now_ms(c->o);

    int rc = pst_order_wake_of(tx, domain_id, now, err);
    if (rc != PST_NOTFOUND)
        return rc;
    rc = pst_order_open_of(tx, domain_id, &open, err);
    if (rc == PST_OK && open.lane == PST_LANE_DNS && open.run_at_ms > now)
        c->again_ms = now + AGAIN_MS;
    pst_order_row_deinit(&open);
    return rc < 0 ? rc : PST_OK;
}

static int checked_tx(struct pst_tx *tx, void *arg, struct pst_err *err)
{
    struct check *c = arg;

    int rc = c->again_ms ? PST_OK : save_error(tx, c, err);
    if (rc == PST_OK && !c->again_ms)
        rc = wake(tx, c, err);
    if (rc == PST_OK)
        rc = pst_dns_check_done(tx, c->o->row.domain_id, c->o->check_stamp, c->again_ms, err);
    return rc;
}

static int run_check(struct pst_order *o, struct pst_err *err)
{
    struct check c = {.o = o};
    struct pst_err fault = {0};

    int rc = pst_store_read(o->env->o.store, check_domain_tx, &c, err);
    if (rc != PST_OK)
        return rc < 0 ? rc : PST_OK;
    memcpy(o->row.name, c.domain.ascii, sizeof o->row.name);
    rc = pst_order_survey(o, true, &fault);
    bool later = rc < 0 || (o->survey->fault.rc != PST_OK && !o->dns_error[0]);
    if (later)
        c.again_ms = pst_order_now_ms(o) + CHECK_AGAIN_S * 1000;
    return pst_store_write(o->env->o.store, checked_tx, &c, NULL, err);
}

int pst_chore_run(struct pst_order *o, struct pst_err *err)
{
    return o->chore == PST_CHORE_CHECK ? run_check(o, err) : run_remove(o, err);
}

int pst_order_variables_changed(struct pst_tx *tx, const char *app_id, struct pst_err *err)
{
    int64_t now = pst_wall_ms(pst_store_clock(pst_tx_store(tx)));
    return pst_dns_check_due(tx, app_id, now, err);
}
