/* permanent.c - the permanent record of dns-persist-01: as the CA last offered it, as the DNS shows
 * it, and its end. */
#include <stdio.h>
#include <string.h>

#include <postern/challenge.h>
#include <postern/permanent.h>
#include <postern/resolve.h>

#include "order_internal.h"

enum { WARN_MAX = 64, DAY_S = 86400 };

int pst_permanent_load(struct pst_tx *tx, const char *account_id, const char *account_url,
                       const char *thumbprint, struct pst_permanent *ret, struct pst_err *err)
{
    int rc = pst_persist_offer_get(tx, account_id, &ret->offer, err);
    if (rc != PST_OK || !ret->offer.offered)
        return rc == PST_OK ? PST_NOTFOUND : rc;
    for (size_t i = 0; i < ret->offer.issuers_n; i++)
        ret->issuers[i] = ret->offer.issuers[i];
    ret->challenge = (struct pst_acme_challenge){
        .type = PST_ACME_DNS_PERSIST_01,
        .issuers = ret->issuers,
        .issuers_n = ret->offer.issuers_n,
        .account_uri = ret->offer.account_uri[0] ? ret->offer.account_uri : NULL,
        .hashed = ret->offer.hashed};
    ret->directory = (struct pst_acme_directory){.account_hash_prefix = ret->offer.hash_prefix};
    return pst_persist_choose(&ret->directory, &ret->challenge, account_url, thumbprint, &ret->ca);
}

struct ask {
    struct pst_order_env *env;
    struct pst_tx *tx;
    const char *name;
    struct pst_buf *ret;
    struct pst_err *err;
};

static int append_value(const struct pst_account *a, void *arg)
{
    const struct ask *k = arg;
    const struct pst_persist_ask ask = {.name = k->name};

    if (!a->url[0] || !pst_streq(a->directory, k->env->o.directory_url))
        return PST_OK;
    struct pst_permanent *p = pst_zalloc(1, sizeof *p);
    if (!p)
        return pst_fail_nomem(k->err, "a permanent record");
    int rc = pst_permanent_load(k->tx, a->id, a->url, a->thumbprint, p, k->err);
    if (rc == PST_OK)
        rc = pst_persist_value(&p->ca, &ask, k->ret, k->err);
    pst_free(p);
    /* What no record can hold is not offered. */
    return rc == PST_OK ? PST_DONE : rc == PST_REFUSED ? PST_NOTFOUND : rc;
}

int pst_order_persist_value(struct pst_order_env *env, struct pst_tx *tx, const char *name,
                            struct pst_buf *ret, struct pst_err *err)
{
    struct ask k = {env, tx, name, ret, err};

    /* Not by its directory: that would lock the account for whoever only looks at a domain. */
    int rc = pst_account_each(tx, append_value, &k, err);
    return rc == PST_DONE ? PST_OK : rc == PST_OK ? PST_NOTFOUND : rc;
}

/* ---- as the DNS shows it ---- */

int pst_permanent_judge(const struct pst_order_env *env, const struct pst_persist_ca *ca,
                        const char *name, struct pst_persist_verdict *ret, struct pst_err *err)
{
    auto_(pst_resolve_records_free) struct pst_resolve_records *txt = NULL;
    char fqdn[PST_NAME_SIZE];

    if (!pst_persist_fqdn(name, fqdn))
        return PST_NOTFOUND;
    int rc = pst_resolve_txt(env->o.resolver, fqdn, &txt, err);
    if (rc != PST_OK)
        return rc < 0 ? rc : PST_NOTYET;
    enum pst_dns_status status = txt->end.status;
    if (status != PST_DNS_OK && status != PST_DNS_NODATA && status != PST_DNS_NXDOMAIN)
        return PST_NOTYET;
    return pst_persist_judge(ca, name, (const char *const *)txt->texts, txt->n,
                             pst_wall_ms(env->o.clock) / 1000, ret, err);
}

/* ---- its end ---- */

struct warn {
    struct pst_order_env *env;
    int64_t now; /* Unix seconds */
    struct pst_account account;
    struct pst_permanent permanent;
    struct pst_permanent_end list[WARN_MAX];
    size_t n;
    const struct pst_permanent_end *at; /* which is being told */
    struct pst_persist_verdict verdict;
};

static int collect_end(const struct pst_permanent_end *e, void *arg)
{
    struct warn *w = arg;

    w->list[w->n++] = *e;
    return PST_OK;
}

static int ends_tx(struct pst_tx *tx, void *arg, struct pst_err *err)
{
    struct warn *w = arg;

    w->n = 0;
    pst_account_deinit(&w->account);
    w->account = (struct pst_account){0};
    int rc =
        pst_permanent_each_ending(tx, w->now + PST_PERSIST_WARN_FIRST_S,
                                  w->now + PST_PERSIST_WARN_LAST_S, WARN_MAX, collect_end, w, err);
    if (rc != PST_OK || w->n == 0)
        return rc;
    rc = pst_account_by_directory(tx, w->env->o.directory_url, &w->account, err);
    if (rc == PST_OK && !w->account.url[0])
        rc = PST_NOTFOUND;
    if (rc == PST_OK)
        rc = pst_permanent_load(tx, w->account.id, w->account.url, w->account.thumbprint,
                                &w->permanent, err);
    return rc;
}

static int tell_end(struct pst_tx *tx, const struct warn *w, int64_t until_at, struct pst_err *err)
{
    struct pst_domain d;
    char until[PST_TIME_SIZE], when[32] = "";
    int64_t days = (until_at - w->now) / DAY_S;
    bool over = until_at < w->now;

    int rc = pst_domain_get(tx, w->at->domain_id, &d, err);
    if (rc != PST_OK)
        return rc < 0 ? rc : PST_OK;
    pst_time_format(until, until_at * 1000);
    if (!over)
        snprintf(when, sizeof when, ", in %lld days", (long long)days);
    pst_log_warn(LOG, "a permanent record ends", pst_kv_s("name", d.ascii), pst_kv_i("days", days));
    return pst_event_system(tx, d.app_id, d.id, "domain.record-ends", err,
                            "the permanent DNS record %s at %s%s: give it a later persistUntil, or "
                            "none",
                            over ? "ended" : "ends", until, when);
}

/* One that is gone or says something else is the affair of the next order. */
static int end_tx(struct pst_tx *tx, void *arg, struct pst_err *err)
{
    const struct warn *w = arg;
    bool ours = w->verdict.result >= PST_PERSIST_EXPIRED;
    int64_t until_at = ours ? w->verdict.until_at : 0;
    int due = pst_persist_warnings_due(until_at, w->now);

    int rc = pst_permanent_put(tx, w->at->domain_id, until_at, err);
    if (rc != PST_OK || due == 0 || (until_at == w->at->until_at && due <= w->at->warned))
        return rc;
    rc = tell_end(tx, w, until_at, err);
    return rc == PST_OK ? pst_permanent_warned(tx, w->at->domain_id, due, err) : rc;
}

static int warn_all(struct warn *w, struct pst_err *err)
{
    int rc = pst_store_read(w->env->o.store, ends_tx, w, err);
    for (size_t i = 0; i < w->n && rc == PST_OK; i++) {
        w->at = &w->list[i];
        rc = pst_permanent_judge(w->env, &w->permanent.ca, w->at->ascii, &w->verdict, err);
        if (rc == PST_OK)
            rc = pst_store_write(w->env->o.store, end_tx, w, NULL, err);
        else if (rc > 0)
            rc = PST_OK; /* the DNS does not say: the next time */
    }
    return rc == PST_NOTFOUND ? PST_OK : rc;
}

int pst_order_warn_permanent(struct pst_order_env *env, struct pst_err *err)
{
    struct warn *w = pst_zalloc(1, sizeof *w);

    if (!w)
        return pst_fail_nomem(err, "permanent records");
    w->env = env;
    w->now = pst_wall_ms(env->o.clock) / 1000;
    int rc = warn_all(w, err);
    pst_account_deinit(&w->account);
    pst_free(w);
    return rc < 0 ? pst_wrap(err, "permanent records that end") : rc;
}
