/* steps_prepare.c - checking, ordering, authorizing: up to the point where the CA may validate. */
#include <stdio.h>
#include <string.h>

#include <postern/caa.h>
#include <postern/challenge.h>
#include <postern/watch.h>

#include "order_internal.h"

enum {
    ACCOUNT_WAIT_S = 30,      /* how often an account that needs the operator is looked at */
    CAA_WAIT_S = 600,         /* and a CAA record that forbids the CA: our own look-up only */
    CHALLENGE_LIFE_S = 86400, /* an answer is dropped with its order, at the latest after this */
};

/* ---- checking ---- */

/* A step's verdict about DNS or CAA, handed to the saving transaction. */
struct refusal {
    struct pst_watch_verdict dns;
    struct pst_caa_verdict caa;
};

static int load_domain(struct pst_tx *tx, struct pst_order *o, struct pst_domain *d,
                       struct pst_err *err)
{
    int rc = pst_domain_get(tx, o->row.domain_id, d, err);
    return rc > 0 ? PST_NOTFOUND : rc;
}

static int also_dns_left(struct pst_tx *tx, struct pst_order *o, struct pst_err *err)
{
    struct pst_domain d;
    int rc = load_domain(tx, o, &d, err);
    if (rc != PST_OK)
        return rc < 0 ? rc : PST_OK;
    pst_order_describe_verdict(&d, &o->refusal->dns);
    d.phase = PST_PHASE_DNS;
    d.due_at_ms = d.next_try_at_ms = 0;
    return pst_domain_update(tx, &d, err);
}

static int also_caa_forbids(struct pst_tx *tx, struct pst_order *o, struct pst_err *err)
{
    const struct pst_caa_verdict *v = &o->refusal->caa;
    struct pst_domain d;
    int rc = load_domain(tx, o, &d, err);
    if (rc != PST_OK)
        return rc < 0 ? rc : PST_OK;
    pst_str_copy(d.problem, sizeof d.problem, "caa");
    pst_str_cut(d.reason, sizeof d.reason, v->text);
    pst_str_cut(d.evidence, sizeof d.evidence, v->record);
    pst_str_cut(d.record, sizeof d.record, v->add);
    d.phase = PST_PHASE_BLOCKED;
    d.due_at_ms = d.next_try_at_ms = pst_order_now_ms(o) + CAA_WAIT_S * 1000;
    return pst_domain_update(tx, &d, err);
}

static int withdraw(struct pst_step *ret, const char *why,
                    int (*also)(struct pst_tx *, struct pst_order *, struct pst_err *))
{
    ret->next = PST_ORDER_WITHDRAWN;
    pst_str_cut(ret->why, sizeof ret->why, why);
    ret->also = also;
    return PST_OK;
}

static int check_caa(struct pst_order *o, const struct pst_acme_directory *dir,
                     const char *challenge, struct pst_step *ret, struct pst_err *err)
{
    const char *names[] = {o->row.name};
    struct pst_caa_issuer issuer = {.identities = (const char *const *)dir->caa_identities,
                                    .identities_n = dir->caa_identities_n,
                                    .account_url = o->account_url,
                                    .challenge = challenge};
    int rc = pst_caa_check(o->env->o.resolver, names, 1, &issuer, &o->refusal->caa, err);
    if (rc != PST_OK)
        return rc < 0 ? rc : pst_unexpected(err, rc, "CAA check");
    if (o->refusal->caa.result == PST_CAA_FORBIDDEN)
        return withdraw(ret, o->refusal->caa.text, also_caa_forbids);
    if (o->refusal->caa.result == PST_CAA_ERROR)
        pst_log_warn(LOG, "CAA could not be read; the CA decides", pst_kv_s("name", o->row.name),
                     pst_kv_s("why", o->refusal->caa.text));
    ret->next = PST_ORDER_ORDERING;
    return PST_OK;
}

/* The operator must act: nothing is sent, nothing is counted. */
static int wait_for_operator(struct pst_order *o, struct pst_step *ret, const struct pst_err *why)
{
    ret->next = o->state;
    ret->run_at_ms = pst_order_now_ms(o) + ACCOUNT_WAIT_S * 1000;
    pst_str_copy(ret->why, sizeof ret->why, why->text);
    pst_str_copy(o->row.problem, sizeof o->row.problem, "account");
    return PST_OK;
}

static int also_note_wait(struct pst_tx *tx, struct pst_order *o, struct pst_err *err)
{
    return pst_finish_note(tx, o, o->row.problem, o->row.detail, o->row.run_at_ms, err);
}

int pst_order_ready(struct pst_order *o, struct pst_step *ret, struct pst_err *err)
{
    int rc = pst_order_account(o, err);
    if (rc != PST_NOTYET)
        return rc;
    ret->also = also_note_wait;
    rc = wait_for_operator(o, ret, err);
    return rc == PST_OK ? PST_NOTYET : rc;
}

int pst_order_check_caa(struct pst_order *o, const char *challenge, struct pst_step *ret,
                        struct pst_err *err)
{
    const struct pst_acme_directory *dir = NULL;

    if (!o->refusal)
        o->refusal = pst_zalloc(1, sizeof *o->refusal);
    if (!o->refusal)
        return pst_fail_nomem(err, "a CAA check");
    int rc = pst_acme_directory(&o->call, false, &dir, err);
    if (rc != PST_OK)
        return rc;
    rc = check_caa(o, dir, challenge, ret, err);
    pst_acme_directory_unref(dir);
    return rc;
}

static int check(struct pst_order *o, struct pst_step *ret, struct pst_err *err)
{
    struct pst_order_env *env = o->env;
    struct pst_watch_verdict *v = &o->refusal->dns;

    int rc = pst_watch_confirm(env->o.resolver, env->o.edge, env->o.clock, o->row.name, v, err);
    if (rc != PST_OK)
        return rc < 0 ? rc : pst_unexpected(err, rc, "DNS check");
    if (!pst_watch_leads_here(v))
        return withdraw(ret, "DNS does not point here any more", also_dns_left);

    rc = pst_order_ready(o, ret, err);
    if (rc == PST_OK)
        rc = pst_order_check_caa(o, "http-01", ret, err);
    return rc == PST_NOTYET ? PST_OK : rc;
}

int pst_step_checking(struct pst_order *o, struct pst_step *ret, struct pst_err *err)
{
    if (!o->refusal)
        o->refusal = pst_zalloc(1, sizeof *o->refusal);
    if (!o->refusal)
        return pst_fail_nomem(err, "a DNS check");
    return check(o, ret, err);
}

void pst_order_refusal_free(struct refusal *r)
{
    pst_free(r);
}

/* ---- ordering ---- */

static int copy_url(char *to, const char *from, const char *what, struct pst_err *err)
{
    if (!from || !pst_str_copy(to, PST_URL_SIZE, from))
        return pst_fail(err, PST_EINPUT, "the CA's order has no usable %s URL", what);
    return PST_OK;
}

static int take_order(struct pst_order *o, const struct pst_acme_order *a, struct pst_step *ret,
                      struct pst_err *err)
{
    if (a->status == PST_ACME_ORDER_INVALID || a->authz_n != 1)
        return pst_fail(err, PST_EINPUT, "the CA gave an order that is %s with %zu authorizations",
                        pst_acme_order_status_name(a->status), a->authz_n);
    int rc = copy_url(o->row.order_url, a->url, "order", err);
    if (rc == PST_OK)
        rc = copy_url(o->data.finalize_url, a->finalize, "finalize", err);
    if (rc == PST_OK)
        rc = copy_url(o->data.authz_url, a->authz[0], "authorization", err);
    if (rc < 0)
        return rc;
    o->data.expires_at = a->expires_at;
    /* All authorizations may still be valid from an earlier order. */
    ret->next = a->status == PST_ACME_ORDER_PENDING ? PST_ORDER_AUTHORIZING : PST_ORDER_READYING;
    return PST_OK;
}

int pst_step_ordering(struct pst_order *o, struct pst_step *ret, struct pst_err *err)
{
    int64_t at_ms;

    int rc = pst_order_ready(o, ret, err);
    if (rc == PST_NOTYET)
        return PST_OK;
    if (rc != PST_OK)
        return rc;
    rc = pst_order_budget_take(o, &at_ms, ret->why, sizeof ret->why, err);
    if (rc == PST_NOTYET) {
        pst_str_copy(o->row.problem, sizeof o->row.problem, "quota");
        ret->next = PST_ORDER_ORDERING;
        ret->run_at_ms = at_ms;
        ret->also = also_note_wait;
        return PST_OK;
    }
    if (rc != PST_OK)
        return rc;

    struct pst_acme_order *a = NULL;
    rc = pst_order_send(o, &a, err);
    if (rc != PST_OK)
        return rc;
    rc = take_order(o, a, ret, err);
    pst_acme_order_free(a);
    return rc;
}

/* ---- authorizing ---- */

static int also_put_challenge(struct pst_tx *tx, struct pst_order *o, struct pst_err *err)
{
    char answer[PST_CHALLENGE_ANSWER_SIZE];
    if (!pst_challenge_answer(o->data.token, o->thumbprint, answer))
        return pst_fail(err, PST_EINTERNAL, "the challenge's token was not checked");
    return pst_challenge_put(tx, o->data.token, o->row.name, answer,
                             pst_order_now_ms(o) + CHALLENGE_LIFE_S * 1000LL, err);
}

/* What is offered is remembered for the next order, and to show a permanent record without one. */
static int also_note_offer(struct pst_tx *tx, struct pst_order *o, struct pst_err *err)
{
    struct pst_persist_offer *was = pst_zalloc(1, sizeof *was);

    if (!was)
        return pst_fail_nomem(err, "what a CA offered");
    int rc = pst_persist_offer_get(tx, o->row.account_id, was, err);
    bool same = rc == PST_OK && !memcmp(was, o->offer, sizeof *was);
    if (rc >= 0 && !same)
        rc = pst_persist_offer_put(tx, o->row.account_id, o->offer, err);
    pst_free(was);
    return rc < 0 ? rc : PST_OK;
}

static int fill_offer(struct pst_order *o, const struct pst_acme_challenge *p, struct pst_err *err)
{
    const struct pst_acme_directory *dir = NULL;

    pst_free(o->offer);
    struct pst_persist_offer *f = o->offer = pst_zalloc(1, sizeof *f);
    if (!f)
        return pst_fail_nomem(err, "what a CA offered");
    if (!p)
        return PST_OK;
    f->offered = true;
    f->hashed = p->hashed;
    for (size_t i = 0; i < p->issuers_n && f->issuers_n < PST_PERSIST_ISSUERS_MAX; i++)
        f->issuers_n += pst_str_copy(f->issuers[f->issuers_n], PST_HOST_SIZE, p->issuers[i]);
    if (p->account_uri && !pst_str_copy(f->account_uri, sizeof f->account_uri, p->account_uri))
        f->offered = false;
    int rc = pst_acme_directory(&o->call, false, &dir, err);
    if (rc != PST_OK)
        return rc;
    if (dir->account_hash_prefix &&
        !pst_str_copy(f->hash_prefix, sizeof f->hash_prefix, dir->account_hash_prefix))
        f->offered = false;
    pst_acme_directory_unref(dir);
    return PST_OK;
}

/* Both that a wildcard can be proved by; which one is taken shows in the DNS. */
static int note_challenges(struct pst_order *o, const struct pst_acme_authz *a,
                           struct pst_step *ret, struct pst_err *err)
{
    const struct pst_acme_challenge *c = pst_acme_authz_challenge(a, PST_ACME_DNS_01);
    const struct pst_acme_challenge *p = pst_acme_authz_challenge(a, PST_ACME_DNS_PERSIST_01);

    if (!c && !p)
        return pst_fail(err, PST_EREMOTE,
                        "the CA offers no challenge for %s that is answered in "
                        "the DNS",
                        o->row.name);
    if ((c && c->status != PST_ACME_CHALLENGE_PENDING) ||
        (p && p->status != PST_ACME_CHALLENGE_PENDING)) {
        ret->next = PST_ORDER_VALIDATING; /* answered before a crash, or by the CA itself */
        return PST_OK;
    }
    int rc = fill_offer(o, p, err);
    if (rc == PST_OK && c)
        rc = copy_url(o->data.dns_url, c->url, "challenge", err);
    if (rc == PST_OK && p)
        rc = copy_url(o->data.persist_url, p->url, "challenge", err);
    if (rc < 0)
        return rc;
    if (c && (!c->token ||
              pst_challenge_dns01_value(c->token, o->thumbprint, o->data.value, err) != PST_OK))
        return pst_fail(err, PST_EINPUT, "the CA's challenge has no usable token");
    ret->next = PST_ORDER_CHOOSING;
    ret->also = also_note_offer;
    return PST_OK;
}

static int choose_challenge(struct pst_order *o, const struct pst_acme_authz *a,
                            struct pst_step *ret, struct pst_err *err)
{
    const struct pst_acme_challenge *c = pst_acme_authz_challenge(a, PST_ACME_HTTP_01);
    char answer[PST_CHALLENGE_ANSWER_SIZE];

    if (!c)
        return pst_fail(err, PST_EREMOTE, "the CA offers no http-01 challenge for %s", o->row.name);
    if (!c->token || !pst_str_copy(o->data.token, sizeof o->data.token, c->token) ||
        !pst_challenge_answer(c->token, o->thumbprint, answer))
        return pst_fail(err, PST_EINPUT, "the CA's challenge has no usable token");
    int rc = copy_url(o->data.challenge_url, c->url, "challenge", err);
    if (rc < 0)
        return rc;
    if (c->status != PST_ACME_CHALLENGE_PENDING) {
        ret->next = PST_ORDER_VALIDATING; /* answered before a crash, or by the CA itself */
        return PST_OK;
    }
    ret->next = PST_ORDER_PUBLISHING;
    ret->also = also_put_challenge;
    return PST_OK;
}

int pst_step_authorizing(struct pst_order *o, struct pst_step *ret, struct pst_err *err)
{
    struct pst_acme_authz *a = NULL;

    int rc = pst_order_account(o, err);
    if (rc == PST_OK)
        rc = pst_acme_authz_get(&o->call, o->data.authz_url, &a, err);
    if (rc != PST_OK)
        return rc;
    if (a->status == PST_ACME_AUTHZ_VALID)
        ret->next = PST_ORDER_READYING;
    else if (a->status == PST_ACME_AUTHZ_PENDING)
        rc = a->wildcard ? note_challenges(o, a, ret, err) : choose_challenge(o, a, ret, err);
    else
        rc = pst_order_authz_failed(o, a, err);
    pst_acme_authz_free(a);
    return rc;
}
