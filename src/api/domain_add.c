/* domain_add.c - the rules for a new domain, and what is stored with it. */
#include "api_internal.h"

#include <stdio.h>

#include <postern/conf.h>

#include "bundles.h"
#include "claims.h"
#include "domain_add.h"
#include "uploads.h"

/* ---- state ---- */

void pst_domain_first_phase(struct pst_domain *d, int64_t now_ms)
{
    d->problem[0] = d->reason[0] = d->evidence[0] = d->record[0] = '\0';
    d->next_try_at_ms = d->due_at_ms = d->failures = 0;
    d->acme_dns_fqdn[0] = d->acme_dns_value[0] = d->acme_dns_error[0] = '\0';
    d->acme_dns_until = 0;
    d->phase = d->wildcard ? PST_PHASE_WORK : PST_PHASE_DNS;
    if (!d->acme_enabled)
        return;
    d->next_try_at_ms = now_ms;
    /* Where a wildcard leads proves nothing to the CA, so its order finds out what does. */
    if (d->wildcard)
        d->due_at_ms = now_ms;
    pst_str_copy(d->reason, sizeof d->reason,
                 d->wildcard
                     ? "It has not been looked at yet how control of the name can be proved."
                     : "DNS has not been looked at yet.");
}

int pst_domain_sole_canonical(struct pst_tx *tx, const char *app_id, const char *except,
                              struct pst_err *err)
{
    for (;;) {
        struct pst_domain other;
        int rc = pst_domain_canonical(tx, app_id, except, &other, err);
        if (rc != PST_OK)
            return rc == PST_NOTFOUND ? PST_OK : rc;
        other.canonical = false;
        rc = pst_domain_update(tx, &other, err);
        if (rc != PST_OK)
            return rc < 0 ? rc : pst_unexpected(err, rc, "the canonical domain");
    }
}

/* ---- the rules ---- */

/* The names of apps are the platform's to give. */
static int check_platform(const struct pst_adder *a, const char *ascii)
{
    if (!a->platform[0] ||
        (!pst_streq(ascii, a->platform + 1) && !pst_str_ends(ascii, a->platform)))
        return PST_OK;
    return pst_answer_invalid(a->ans, "name", "names under %s belong to the platform",
                              a->platform + 1);
}

static int check_limit(const struct pst_adder *a)
{
    if (a->n < a->max)
        return PST_OK;
    return pst_answer_invalid(a->ans, "domains",
                              "this app has %lld domains already, and %lld are the most it may "
                              "have; remove one first",
                              (long long)a->n, (long long)a->max);
}

int pst_adder_open(struct pst_adder *a, struct pst_tx *tx, const struct pst_app *app,
                   struct pst_err *err)
{
    char domain[PST_NAME_SIZE], region[PST_WORD_SIZE];

    a->app = *app;
    a->max = app->domains_max ? app->domains_max
                              : pst_conf_int(a->req->api->set.conf, PST_CONF_APP_DOMAINS_MAX);
    int rc = pst_platform_get(tx, domain, region, err);
    if (rc == PST_OK)
        rc = pst_app_lock(tx, app->id, err);
    if (rc == PST_OK)
        rc = pst_domain_count(tx, app->id, &a->n, err);
    if (rc == PST_OK)
        rc = pst_bundle_count(tx, app->user_id, &a->bundles_n, err);
    if (rc != PST_OK)
        return rc < 0 ? rc : pst_unexpected(err, rc, "the app of a new domain");
    snprintf(a->platform, sizeof a->platform, "%s%s", domain[0] ? "." : "", domain);
    return PST_OK;
}

/* ---- storing ---- */

int pst_domain_upload_event(struct pst_req *req, struct pst_tx *tx, const struct pst_domain *d,
                            const struct pst_upload *upload, struct pst_err *err)
{
    char until[PST_TIME_SIZE];

    pst_time_format(until, upload->certificate.not_after * 1000);
    return pst_req_event(req, tx, "certificate.uploaded", d->app_id, d->id, err,
                         "certificate %s was uploaded, valid until %s", upload->certificate.serial,
                         until);
}

/* Where a domain's certificate comes from: from one of these, or from nowhere. */
struct source {
    struct pst_upload *upload; /* NULL: none was sent with it */
    struct pst_bundle bundle;  /* no id: none is used */
};

static int choose(struct pst_adder *a, struct pst_tx *tx, struct pst_domain *d, struct source *from,
                  struct pst_err *err)
{
    if (from->upload) {
        pst_upload_number(tx, from->upload, d);
        return PST_OK;
    }
    if (a->bundles_n == 0 || a->check_only)
        return PST_OK;
    int rc = pst_bundle_number(a->req, tx, d, &from->bundle, err);
    return rc == PST_NOTFOUND ? PST_OK : rc;
}

static int store_certificate(struct pst_adder *a, struct pst_tx *tx, const struct pst_domain *d,
                             const struct source *from, struct pst_err *err)
{
    int rc = PST_OK;

    if (from->upload) {
        rc = pst_upload_store(tx, from->upload, d, err);
        return rc == PST_OK ? pst_domain_upload_event(a->req, tx, d, from->upload, err) : rc;
    }
    return from->bundle.held.id[0] ? pst_bundle_store(a->req, tx, d, &from->bundle, err) : rc;
}

static int store(struct pst_adder *a, struct pst_tx *tx, struct pst_domain *d,
                 struct pst_claim *claim, const struct source *from, struct pst_err *err)
{
    int rc = pst_claim_take(a->req, tx, claim, err);
    /* Only what may still be refused comes first. */
    if (rc == PST_OK)
        rc = pst_domain_insert(tx, d, err);
    if (rc == PST_CONFLICT && !claim->evicted)
        return pst_answer_invalid(a->ans, "name", "has already been taken");
    if (rc == PST_OK && d->canonical)
        rc = pst_domain_sole_canonical(tx, d->app_id, d->id, err);
    if (rc == PST_OK)
        rc = pst_req_event(a->req, tx, "domain.added", d->app_id, d->id, err, "%s was added",
                           d->name);
    if (rc == PST_OK)
        rc = pst_claim_event(a->req, tx, claim, d, err);
    if (rc == PST_OK)
        rc = store_certificate(a, tx, d, from, err);
    if (rc == PST_OK)
        rc = pst_req_effect(a->req, PST_DOMAIN_ADDED, d->id, d->ascii, err);
    return rc <= 0 ? rc : pst_unexpected(err, rc, "adding a domain");
}

int pst_adder_add(struct pst_adder *a, struct pst_tx *tx, struct pst_domain *d,
                  struct pst_upload *upload, struct pst_err *err)
{
    struct pst_claim unseen, *claim = a->claim ? a->claim : &unseen;
    struct source from = {.upload = upload};

    pst_claim_init(&unseen, d->ascii, &a->app);
    unseen.skip_proof = a->skip_proof;
    int rc = check_platform(a, d->ascii);
    if (rc == PST_OK)
        rc = check_limit(a);
    if (rc == PST_OK)
        rc = pst_claim_judge(a->req, tx, claim, &a->app, a->ans, err);
    if (rc != PST_OK)
        return rc;
    pst_str_copy(d->app_id, sizeof d->app_id, a->app.id);
    pst_str_copy(d->user_id, sizeof d->user_id, a->app.user_id);
    pst_domain_first_phase(d, pst_wall_ms(a->req->api->opts.clock));
    rc = choose(a, tx, d, &from, err);
    if (rc == PST_OK && !a->check_only)
        rc = store(a, tx, d, claim, &from, err);
    a->n += rc == PST_OK;
    return rc;
}
