/* cas.c - the CAs that this platform has accounts at: what they want, whether they answer, and what
 * is left of their limits. */
#include "api_internal.h"

#include <string.h>

/* What stands there until somebody who asks the CA knows better. */
static bool set_unknown(struct pst_json *j)
{
    static const char *const members[] = {"reachable",
                                          "answered_at",
                                          "failed_at",
                                          "failure",
                                          "terms_of_service",
                                          "website",
                                          "external_account_required",
                                          "renewal_info",
                                          "issuers",
                                          "profiles"};
    bool ok = pst_json_set_bool(j, "in_use", false);

    for (size_t i = 0; ok && i < PST_ARRAY_N(members); i++)
        ok = pst_json_set_null(j, members[i]);
    return ok;
}

static struct pst_json *account_json(const struct pst_account *a)
{
    auto_(pst_json_free) struct pst_json *j = pst_json_object();

    bool ok =
        pst_json_set_text(j, "id", a->id) && pst_json_set_text(j, "directory", a->directory) &&
        pst_json_set_or_null(j, "account_url", a->url) &&
        pst_json_set_text(j, "status", a->status) && pst_json_set_or_null(j, "reason", a->reason) &&
        pst_json_set_or_null(j, "contact", a->contact) &&
        pst_json_set_or_null(j, "thumbprint", a->thumbprint) &&
        pst_json_set_time(j, "terms_agreed_at", a->terms_agreed_at_ms) &&
        pst_json_set_time(j, "created_at", a->created_at_ms) && set_unknown(j);
    return ok ? pst_take(&j) : NULL;
}

struct listing {
    struct pst_req *req;
    struct pst_tx *tx;
    struct pst_json *list;
    const char *only; /* this id; NULL: all */
    struct pst_err *err;
};

static int add_ca(const struct pst_account *a, void *arg)
{
    struct listing *l = arg;
    const struct pst_api_hooks *h = &l->req->api->opts.hooks;
    auto_(pst_json_free) struct pst_json *limits = pst_json_array();
    auto_(pst_json_free) struct pst_json *j = account_json(a);

    if (l->only && !pst_streq(l->only, a->id))
        return PST_OK;
    if (!j || !limits)
        return pst_fail_nomem(l->err, "a CA");
    int rc = pst_ledger_limits(l->req, l->tx, a->id, limits, l->err);
    if (rc == PST_OK && h->ca_tell)
        rc = h->ca_tell(h->arg, a->directory, false, j, l->err);
    if (rc < 0)
        return rc;
    if (!pst_json_set(j, "limits", pst_take(&limits)) || !pst_json_push(l->list, pst_take(&j)))
        return pst_fail_nomem(l->err, "a CA");
    return PST_OK;
}

static int load(struct pst_req *req, struct pst_tx *tx, const char *only, struct pst_json *list,
                struct pst_err *err)
{
    struct listing l = {req, tx, list, only, err};

    return list ? pst_account_each(tx, add_ca, &l, err) : pst_fail_nomem(err, "the CAs");
}

int pst_cas_list(struct pst_req *req, struct pst_tx *tx, struct pst_answer *ans,
                 struct pst_err *err)
{
    auto_(pst_json_free) struct pst_json *list = pst_json_array();
    auto_(pst_json_free) struct pst_json *j = pst_json_object();

    int rc = load(req, tx, NULL, list, err);
    if (rc != PST_OK)
        return rc;
    if (!pst_json_set(j, "cas", pst_take(&list)))
        return pst_fail_nomem(err, "the CAs");
    return pst_answer_json(ans, 200, j, err);
}

struct one {
    struct pst_req *req;
    struct pst_json *list;
};

static int load_one(struct pst_tx *tx, void *arg, struct pst_err *err)
{
    struct one *o = arg;

    pst_json_free(o->list);
    o->list = pst_json_array();
    return load(o->req, tx, o->req->params[0], o->list, err);
}

/* Outside of a transaction: a CA whose directory was not read lately is asked for it. */
int pst_cas_get(struct pst_req *req, struct pst_tx *tx, struct pst_answer *ans, struct pst_err *err)
{
    const struct pst_api_hooks *h = &req->api->opts.hooks;
    auto_(pst_json_free) struct pst_json *j = pst_json_object();
    struct one o = {.req = req};

    (void)tx;
    int rc = pst_store_read(req->api->opts.store, load_one, &o, err);
    auto_(pst_json_free) struct pst_json *list = o.list;
    if (rc != PST_OK)
        return rc;
    auto_(pst_json_free) struct pst_json *ca = pst_json_clone(pst_json_at(list, 0));
    if (pst_json_len(list) == 0)
        return pst_answer_absent(ans, "ca");
    if (!ca)
        return pst_fail_nomem(err, "a CA");
    if (h->ca_tell)
        rc = h->ca_tell(h->arg, pst_json_get_text(ca, "directory"), true, ca, err);
    if (rc < 0)
        return rc;
    if (!pst_json_set(j, "ca", pst_take(&ca)))
        return pst_fail_nomem(err, "a CA");
    return pst_answer_json(ans, 200, j, err);
}
