/* way.c - by which way a wildcard can be proved: what the DNS and the variables say right now. */
#include <stdio.h>
#include <string.h>

#include <postern/challenge.h>
#include <postern/name.h>
#include <postern/resolve.h>

#include "order_internal.h"

static const struct {
    const char *name, *challenge;
} ways[] = {
    [PST_WAY_PERSIST] = {"dns-persist-01", "dns-persist-01"},
    [PST_WAY_DELEGATION] = {"dns-01:delegation", "dns-01"},
    [PST_WAY_PROVIDER] = {"dns-01:provider", "dns-01"},
    [PST_WAY_MANUAL] = {"dns-01:manual", "dns-01"},
};
_Static_assert(PST_ARRAY_N(ways) == PST_WAY__COUNT, "a way was added?");

const char *pst_way_name(enum pst_way w)
{
    return ways[w].name;
}

const char *pst_way_challenge(enum pst_way w)
{
    return ways[w].challenge;
}

enum pst_way pst_way_choose(const struct pst_way_facts *f)
{
    return f->persist     ? PST_WAY_PERSIST
           : f->delegated ? PST_WAY_DELEGATION
           : f->provider  ? PST_WAY_PROVIDER
                          : PST_WAY_MANUAL;
}

const char *pst_order_base(const char *name)
{
    return pst_name_is_wildcard(name) ? pst_name_parent(name) : name;
}

void pst_survey_free(struct pst_survey *s)
{
    if (!s)
        return;
    pst_dns_provider_free(s->provider);
    pst_vars_free(s->vars);
    pst_free(s);
}

/* ---- the CNAMEs of the challenge's name ---- */

/* No answer is our own DNS's or the tenant's affair, not the CA's; err becomes transient. */
static int follow(struct pst_order *o, const char *fqdn, char ret[PST_NAME_SIZE],
                  struct pst_err *err)
{
    int rc = pst_dns_follow_cname(o->env->o.resolver, fqdn, ret, err);
    if (rc == PST_NOTYET || rc == PST_EINPUT) {
        pst_err_retry(err, PST_RETRY_BACKOFF, 0);
        return err ? err->rc = PST_ENET : PST_ENET;
    }
    return rc;
}

/*
 * A wildcard CNAME answers for each name that does not exist, the challenge's too: then a record is
 * made at the name itself, and never where the wildcard leads.
 */
static int by_wildcard(struct pst_order *o, const char *target, bool *ret, struct pst_err *err)
{
    char sibling[PST_NAME_SIZE], there[PST_NAME_SIZE], id[PST_ID_SIZE];

    *ret = false;
    pst_id_new(o->env->o.rand, id);
    if ((size_t)snprintf(sibling, sizeof sibling, "_%.12s.%s", id, pst_order_base(o->row.name)) >=
        sizeof sibling)
        return PST_OK;
    int rc = follow(o, sibling, there, err);
    *ret = rc == PST_OK && pst_strcaseeq(there, target);
    return rc;
}

static int survey_cnames(struct pst_order *o, struct pst_survey *s, struct pst_way_facts *f,
                         struct pst_err *err)
{
    char ours[2 * PST_NAME_SIZE];
    bool wild;

    if (!pst_challenge_fqdn(o->row.name, s->fqdn))
        return pst_fail(err, PST_EINTERNAL, "%s is too long for a challenge in the DNS",
                        o->row.name);
    int rc = pst_delegation_label(s->domain.user_id, o->row.name, s->label, err);
    if (rc == PST_OK)
        rc = follow(o, s->fqdn, s->target, err);
    if (rc != PST_OK)
        return rc;
    pst_str_lower(s->target);
    snprintf(ours, sizeof ours, "%s.%s", s->label, o->env->o.dnsd_zone);
    f->delegated = o->env->o.dnsd_zone[0] && pst_streq(s->target, ours);
    if (f->delegated || pst_streq(s->target, s->fqdn))
        return PST_OK;
    rc = by_wildcard(o, s->target, &wild, err);
    if (rc == PST_OK && wild)
        memcpy(s->target, s->fqdn, sizeof s->target);
    return rc;
}

/* ---- the permanent record ---- */

struct offer {
    struct pst_order *o;
    struct pst_permanent permanent;
};

static int offer_tx(struct pst_tx *tx, void *arg, struct pst_err *err)
{
    struct offer *f = arg;
    const struct pst_order *o = f->o;
    return pst_permanent_load(tx, o->row.account_id, o->account_url, o->thumbprint, &f->permanent,
                              err);
}

static int judge_persist(struct pst_order *o, const struct pst_persist_ca *ca,
                         struct pst_way_facts *f, struct pst_err *err)
{
    struct pst_persist_verdict *v = &o->survey->permanent;

    int rc = pst_permanent_judge(o->env, ca, o->row.name, v, err);
    if (rc < 0)
        return rc;
    f->persist = rc == PST_OK && v->result == PST_PERSIST_MATCH;
    return PST_OK;
}

/* What the CA last offered counts, so that no order is spent on finding out. */
static int survey_persist(struct pst_order *o, struct pst_way_facts *f, struct pst_err *err)
{
    struct offer *read = pst_zalloc(1, sizeof *read);

    if (!read)
        return pst_fail_nomem(err, "a survey");
    read->o = o;
    int rc = pst_store_read(o->env->o.store, offer_tx, read, err);
    bool open = o->row.order_url[0] != '\0';
    if (rc == PST_OK && (!open || o->data.persist_url[0]))
        rc = judge_persist(o, &read->permanent.ca, f, err);
    pst_free(read);
    return rc == PST_NOTFOUND ? PST_OK : rc;
}

/* ---- the provider ---- */

static void try_provider(struct pst_order *o, struct pst_survey *s)
{
    struct pst_dns_record r = {
        .fqdn = s->target, .value = "", .delegated = !pst_streq(s->target, s->fqdn)};

    int rc = pst_dns_check(s->provider, &r, &s->fault);
    if (rc == PST_OK)
        return;
    s->fault.rc = rc;
    if (!pst_dns_transient(&s->fault))
        pst_order_blame(o, pst_dns_blame(s->provider), &s->fault);
    pst_log_err(LOG, "the DNS provider of the app's variables is not usable", &s->fault,
                pst_kv_s("name", o->row.name),
                pst_kv_s("provider", pst_dns_provider_name(s->provider)));
}

static int survey_provider(struct pst_order *o, struct pst_survey *s, bool check,
                           struct pst_way_facts *f, struct pst_err *err)
{
    struct pst_dns_blame blame = {0};

    int rc = pst_vars_load(o->env, s->domain.app_id, &s->vars, err);
    if (rc == PST_NOTFOUND)
        return PST_OK;
    if (rc != PST_OK)
        return rc;
    f->provider = true;
    rc = pst_vars_open(s->vars, o->env, &s->provider, &blame, &s->fault);
    if (rc == PST_ENOMEM)
        return pst_fail_nomem(err, "a DNS provider");
    s->fault.rc = rc;
    if (rc != PST_OK)
        pst_order_blame(o, &blame, &s->fault);
    else if (check)
        try_provider(o, s);
    return PST_OK;
}

/* ---- all of it ---- */

static int domain_tx(struct pst_tx *tx, void *arg, struct pst_err *err)
{
    struct pst_order *o = arg;
    struct pst_survey *s = o->survey;
    struct pst_certificate c = {0};

    int rc = pst_domain_get(tx, o->row.domain_id, &s->domain, err);
    if (rc != PST_OK || !s->domain.acme_cert)
        return rc;
    rc = pst_certificate_get(tx, s->domain.acme_cert, &c, err);
    int64_t left_s = rc == PST_OK ? c.not_after - pst_order_now_ms(o) / 1000 : 0;
    s->left_s = left_s > 0 ? left_s : 0;
    pst_certificate_deinit(&c);
    return rc < 0 ? rc : PST_OK;
}

int pst_order_survey(struct pst_order *o, bool check, struct pst_err *err)
{
    struct pst_way_facts f = {0};

    o->dns_error[0] = '\0';
    o->blamed = false;
    pst_survey_free(o->survey);
    struct pst_survey *s = o->survey = pst_zalloc(1, sizeof *s);
    if (!s)
        return pst_fail_nomem(err, "a survey");
    int rc = pst_store_read(o->env->o.store, domain_tx, o, err);
    if (rc == PST_OK)
        rc = survey_cnames(o, s, &f, err);
    if (rc == PST_OK)
        rc = survey_persist(o, &f, err);
    if (rc == PST_OK && !f.persist && !f.delegated)
        rc = survey_provider(o, s, check, &f, err);
    if (rc == PST_OK)
        s->way = pst_way_choose(&f);
    return rc;
}
