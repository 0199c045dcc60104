/* permanent.c - the permanent record of dns-persist-01, as the CA last offered it. */
#include "order_internal.h"

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

static int append_value(struct pst_tx *tx, const struct pst_account *a, const char *name,
                        struct pst_buf *ret, struct pst_err *err)
{
    const struct pst_persist_ask ask = {.name = name};
    struct pst_permanent *p = pst_zalloc(1, sizeof *p);

    if (!p)
        return pst_fail_nomem(err, "a permanent record");
    int rc = pst_permanent_load(tx, a->id, a->url, a->thumbprint, p, err);
    if (rc == PST_OK)
        rc = pst_persist_value(&p->ca, &ask, ret, err);
    pst_free(p);
    /* What no record can hold is not offered. */
    return rc == PST_REFUSED ? PST_NOTFOUND : rc;
}

int pst_order_persist_value(struct pst_order_env *env, struct pst_tx *tx, const char *name,
                            struct pst_buf *ret, struct pst_err *err)
{
    struct pst_account a = {0};

    int rc = pst_account_by_directory(tx, env->o.directory_url, &a, err);
    if (rc == PST_OK && a.url[0])
        rc = append_value(tx, &a, name, ret, err);
    else if (rc == PST_OK)
        rc = PST_NOTFOUND;
    pst_account_deinit(&a);
    return rc;
}
