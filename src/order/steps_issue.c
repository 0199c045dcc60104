/* steps_issue.c - readying, finalizing, issuing, downloading: from an authorized order to a
 * certificate that is checked and stored. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "order_internal.h"

PST_CLEANUP(struct pst_acme_order, pst_acme_order_free);
PST_CLEANUP(struct pst_acme_certificate, pst_acme_certificate_free);
PST_CLEANUP(struct pst_key_handle, pst_key_free);

static int order_failed(struct pst_order *o, const struct pst_acme_order *a, struct pst_err *err)
{
    struct pst_acme_advice advice;

    o->dead = true;
    if (!a->error)
        return pst_fail(err, PST_EREMOTE, "the CA's order for %s became invalid without a reason",
                        o->row.name);
    o->call.problem = *a->error;
    pst_acme_problem_advice(a->error, PST_ACME_ON_ORDER, pst_order_now_ms(o) / 1000, &advice, err);
    return pst_wrap(err, "the CA gave up the order for %s", o->row.name);
}

/* Where an order goes by its status, whichever exchange showed it. */
static int follow(struct pst_order *o, const struct pst_acme_order *a, struct pst_step *ret,
                  struct pst_err *err)
{
    switch (a->status) {
    case PST_ACME_ORDER_PENDING:
        /* All authorizations are valid; the order may lag behind them. */
        if (o->state != PST_ORDER_READYING)
            ret->next = PST_ORDER_READYING;
        else
            pst_order_poll_again(o, a->retry_after_ms, ret);
        return PST_OK;
    case PST_ACME_ORDER_READY:
        ret->next = PST_ORDER_FINALIZING;
        return PST_OK;
    case PST_ACME_ORDER_PROCESSING:
        ret->next = PST_ORDER_ISSUING;
        pst_order_poll_again(o, a->retry_after_ms, ret);
        ret->next = PST_ORDER_ISSUING;
        return PST_OK;
    case PST_ACME_ORDER_VALID:
        if (!a->certificate || !pst_str_copy(o->data.certificate_url, PST_URL_SIZE, a->certificate))
            return pst_fail(err, PST_EINPUT, "the CA's valid order has no certificate URL");
        ret->next = PST_ORDER_DOWNLOADING;
        return PST_OK;
    case PST_ACME_ORDER_INVALID:
    case PST_ACME_ORDER_STATUS__COUNT:
        break;
    }
    return order_failed(o, a, err);
}

static int read_and_follow(struct pst_order *o, struct pst_step *ret, struct pst_err *err)
{
    auto_(pst_acme_order_free) struct pst_acme_order *a = NULL;

    int rc = pst_order_account(o, err);
    if (rc == PST_OK)
        rc = pst_acme_order_get(&o->call, o->row.order_url, &a, err);
    return rc == PST_OK ? follow(o, a, ret, err) : rc;
}

int pst_step_readying(struct pst_order *o, struct pst_step *ret, struct pst_err *err)
{
    return read_and_follow(o, ret, err);
}

/* ---- finalizing ---- */

static int open_key(struct pst_order *o, struct pst_key_handle **ret, struct pst_err *err)
{
    return pst_key_open(pst_store_keys(o->env->o.store), "certificate", o->row.certificate_id,
                        o->row.sealed.data, o->row.sealed.len, ret, err);
}

int pst_step_finalizing(struct pst_order *o, struct pst_step *ret, struct pst_err *err)
{
    auto_(pst_key_free) struct pst_key_handle *key = NULL;
    auto_(pst_acme_order_free) struct pst_acme_order *a = NULL;
    auto_buf struct pst_buf csr = PST_BUF(64 * 1024);
    const char *names[] = {o->row.name};
    struct pst_acme_order known = {.url = o->row.order_url, .finalize = o->data.finalize_url};

    int rc = open_key(o, &key, err);
    if (rc == PST_OK)
        rc = pst_csr_new(key, names, 1, &csr, err);
    if (rc != PST_OK)
        return rc < 0 ? pst_wrap(err, "certificate request") : rc;
    rc = pst_order_account(o, err);
    if (rc == PST_OK)
        rc = pst_acme_finalize(&o->call, &known, csr.data, csr.len, &a, err);
    return rc == PST_OK ? follow(o, a, ret, err) : rc;
}

/* ---- issuing ---- */

int pst_step_issuing(struct pst_order *o, struct pst_step *ret, struct pst_err *err)
{
    return read_and_follow(o, ret, err);
}

/* ---- downloading ---- */

static int64_t new_number(struct pst_rand *rand)
{
    return 1 + (int64_t)pst_rand_below(rand, INT64_MAX - 1);
}

/* The store's record from the checked chain and the order's key. */
static int fill_certificate(struct pst_order *o, const struct pst_chain *chain, struct pst_err *err)
{
    struct pst_certificate *c = &o->issued;

    pst_certificate_deinit(c);
    *c = (struct pst_certificate){.num = new_number(o->env->o.rand)};
    memcpy(c->id, o->row.certificate_id, sizeof c->id);
    memcpy(c->domain_id, o->row.domain_id, sizeof c->domain_id);
    int rc = pst_certificate_fill(c, "acme", chain, err);
    if (rc < 0)
        return rc;
    c->sealed = (struct pst_buf)PST_BUF(PST_SEAL_MAX);
    pst_buf_add(&c->sealed, o->row.sealed.data, o->row.sealed.len);
    return pst_buf_check(&c->sealed, "a sealed key", err);
}

static int check_chain(struct pst_order *o, const struct pst_acme_certificate *got,
                       struct pst_chain *ret, struct pst_err *err)
{
    auto_(pst_key_free) struct pst_key_handle *key = NULL;
    struct pst_key_info info;
    const char *names[] = {o->row.name};

    int rc = open_key(o, &key, err);
    if (rc == PST_OK)
        rc = pst_key_info(key, &info, err);
    if (rc != PST_OK)
        return rc;
    struct pst_chain_want want = {.spki = info.spki,
                                  .spki_len = info.spki_len,
                                  .names = names,
                                  .names_n = 1,
                                  .now = pst_order_now_ms(o) / 1000};
    return pst_chain_check(got->pem, got->pem_len, &want, ret, err);
}

/* The chain whose last issuer has the preferred name; the default one if there is none.  Other
 * chains are fetched one by one only where a preference is set. */
static int prefer_chain(struct pst_order *o, const struct pst_acme_certificate *got,
                        struct pst_chain *chain, struct pst_err *err)
{
    const char *want = o->env->o.preferred_chain;

    if (!want || !want[0] || pst_streq(chain->last_issuer_cn, want))
        return PST_OK;
    for (size_t i = 0; i < got->alternates_n; i++) {
        auto_(pst_acme_certificate_free) struct pst_acme_certificate *other = NULL;
        auto_chain struct pst_chain c = {0};
        int rc = pst_acme_certificate_get(&o->call, got->alternates[i], &other, err);
        if (rc < 0)
            return rc;
        rc = check_chain(o, other, &c, err);
        if (rc < 0)
            return rc;
        if (rc == PST_OK && pst_streq(c.last_issuer_cn, want)) {
            struct pst_chain swap = *chain;
            *chain = c;
            c = swap;
            return PST_OK;
        }
    }
    pst_log_warn(LOG, "the CA offers no chain to the preferred root", pst_kv_s("wanted", want),
                 pst_kv_s("taken", chain->last_issuer_cn));
    return PST_OK;
}

int pst_step_downloading(struct pst_order *o, struct pst_step *ret, struct pst_err *err)
{
    auto_(pst_acme_certificate_free) struct pst_acme_certificate *got = NULL;
    auto_chain struct pst_chain chain = {0};

    int rc = pst_order_account(o, err);
    if (rc == PST_OK)
        rc = pst_acme_certificate_get(&o->call, o->data.certificate_url, &got, err);
    if (rc == PST_OK)
        rc = check_chain(o, got, &chain, err);
    if (rc == PST_OK)
        rc = prefer_chain(o, got, &chain, err);
    if (rc == PST_OK)
        rc = fill_certificate(o, &chain, err);
    if (rc != PST_OK)
        return rc;
    ret->next = PST_ORDER_DEPLOYING;
    ret->also = pst_finish_issued;
    return PST_OK;
}
