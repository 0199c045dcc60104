/* account.c - accounts (RFC 8555 section 7.3). */
#include <postern/crypto.h>
#include <postern/err.h>
#include <postern/text.h>
#include <string.h>

#include "acme_internal.h"

enum { CONTACTS_MAX = 8, CONTACT_MAX = 320 };

void pst_acme_account_info_free(struct pst_acme_account_info *a)
{
    if (!a)
        return;
    pst_free(a->url);
    pst_free(a);
}

static const char *const words[] = {
    [PST_ACME_ACCOUNT_VALID] = "valid",
    [PST_ACME_ACCOUNT_DEACTIVATED] = "deactivated",
    [PST_ACME_ACCOUNT_REVOKED] = "revoked",
};

static int add_contacts(struct pst_json *j, const char *const *contacts, size_t n,
                        struct pst_err *err)
{
    if (n > CONTACTS_MAX)
        return pst_fail(err, PST_REFUSED, "more than %d contacts", CONTACTS_MAX);

    struct pst_json *list = pst_json_array();
    bool ok = list != NULL;
    for (size_t i = 0; ok && i < n; i++) {
        if (strlen(contacts[i]) > CONTACT_MAX || !strchr(contacts[i], ':')) {
            pst_json_free(list);
            pst_fail(err, PST_REFUSED,
                     "contact \"%.60s\" is no URL, such as mailto:ops@example.net", contacts[i]);
            pst_err_problem(err, "contact");
            return PST_REFUSED;
        }
        ok = pst_json_push_text(list, contacts[i]);
    }
    if (!ok)
        pst_json_free(list);
    return ok && pst_json_set(j, "contact", list) ? PST_OK : pst_fail_nomem(err, "the contacts");
}

static int add_eab(struct pst_acme_call *call, const struct pst_acme_account_request *req,
                   const char *url, struct pst_json *j, struct pst_err *err)
{
    auto_buf struct pst_buf jwk = PST_BUF(PST_ACME_JSON_MAX);
    auto_buf struct pst_buf text = PST_BUF(PST_ACME_JSON_MAX);
    struct pst_acme_eab eab = {
        .alg = req->eab_alg, .kid = req->eab_kid, .key = req->eab_key, .url = url};
    struct pst_json *binding = NULL;

    int rc = pst_jwk_public(call->account.key, &jwk, err);
    if (!rc)
        rc = pst_buf_check(&jwk, "the account's key", err);
    if (!rc)
        rc = pst_acme_eab_write(&eab, jwk.data, &text, err);
    if (!rc)
        rc = pst_json_parse(&binding, text.data, text.len, err);
    if (!rc && !pst_json_set(j, "externalAccountBinding", binding))
        rc = pst_fail_nomem(err, "the external account binding");
    return rc;
}

static int build(struct pst_acme_call *call, const struct pst_acme_account_request *req,
                 const char *url, struct pst_buf *to, struct pst_err *err)
{
    auto_(pst_json_free) struct pst_json *j = pst_json_object();

    if ((req->terms_agreed && !pst_json_set_bool(j, "termsOfServiceAgreed", true)) ||
        (req->only_existing && !pst_json_set_bool(j, "onlyReturnExisting", true)) || !j)
        return pst_fail_nomem(err, "the account");
    int rc = PST_OK;
    if (req->contacts_n > 0)
        rc = add_contacts(j, req->contacts, req->contacts_n, err);
    if (!rc && req->eab_kid && !req->only_existing)
        rc = add_eab(call, req, url, j, err);
    if (!rc)
        rc = pst_json_write(j, to, err);
    return rc;
}

/* The account object; where its URL is comes in the head. */
static int parse(const struct pst_acme_ca *ca, const struct pst_http_response *r,
                 struct pst_acme_account_info **ret, struct pst_err *err)
{
    auto_(pst_json_free) struct pst_json *j = NULL;
    const char *url = pst_http_header(r, "Location", 0);

    int rc = pst_acme_url_check(ca, url, "the account's Location", err);
    if (!rc)
        rc = pst_acme_body(r, &j, err);
    if (rc)
        return rc;

    auto_(pst_acme_account_info_free) struct pst_acme_account_info *a = pst_zalloc(1, sizeof *a);
    if (!a || !(a->url = pst_strdup(url)))
        return pst_fail_nomem(err, "the account");
    a->status = pst_acme_word(words, PST_ARRAY_N(words), pst_json_get_text(j, "status"),
                              PST_ACME_ACCOUNT_REVOKED);
    a->created = pst_http_status(r) == 201;
    *ret = pst_take(&a);
    return PST_OK;
}

static int account_new(struct pst_acme_call *call, const struct pst_acme_account_request *req,
                       struct pst_acme_account_info **ret, struct pst_err *err)
{
    auto_(pst_acme_dir_unref) struct pst_acme_dir *dir = NULL;
    auto_buf struct pst_buf payload = PST_BUF(PST_ACME_BODY_MAX);
    auto_(pst_http_response_free) struct pst_http_response *r = NULL;

    int rc = pst_acme_dir_get(call, false, &dir, err);
    if (!rc)
        rc = build(call, req, dir->url[PST_ACME_NEW_ACCOUNT], &payload, err);
    if (rc)
        return rc;
    struct pst_acme_ask ask = {.group = PST_ACME_NEW_ACCOUNT,
                               .url = dir->url[PST_ACME_NEW_ACCOUNT],
                               .payload = payload.data,
                               .jwk = call->account.key,
                               .accept = "application/json"};
    rc = pst_acme_post(call, &ask, &r, err);
    if (rc == PST_EREMOTE && req->only_existing &&
        call->problem.type == PST_ACME_ACCOUNT_DOES_NOT_EXIST)
        return PST_NOTFOUND;
    return rc ? rc : parse(call->ca, r, ret, err);
}

int pst_acme_account_new(struct pst_acme_call *call, const struct pst_acme_account_request *req,
                         struct pst_acme_account_info **ret, struct pst_err *err)
{
    call->problem.type = PST_ACME_NONE;
    int rc = account_new(call, req, ret, err);

    if (rc && rc != PST_NOTFOUND)
        pst_wrap(err, "ACME account");
    return rc;
}

static int change(struct pst_acme_call *call, const struct pst_json *j, struct pst_err *err)
{
    auto_buf struct pst_buf payload = PST_BUF(PST_ACME_BODY_MAX);
    auto_(pst_http_response_free) struct pst_http_response *r = NULL;

    int rc = pst_json_write(j, &payload, err);
    if (rc)
        return rc;
    struct pst_acme_ask ask = {
        .group = PST_ACME_OBJECT, .url = call->account.url, .payload = payload.data};
    return pst_acme_post(call, &ask, &r, err);
}

int pst_acme_account_update(struct pst_acme_call *call, const char *const *contacts,
                            size_t contacts_n, struct pst_err *err)
{
    auto_(pst_json_free) struct pst_json *j = pst_json_object();

    call->problem.type = PST_ACME_NONE;
    int rc = j ? add_contacts(j, contacts, contacts_n, err) : pst_fail_nomem(err, "the account");
    if (!rc)
        rc = change(call, j, err);
    if (rc)
        pst_wrap(err, "ACME account");
    return rc;
}

int pst_acme_account_deactivate(struct pst_acme_call *call, struct pst_err *err)
{
    auto_(pst_json_free) struct pst_json *j = pst_json_object();

    call->problem.type = PST_ACME_NONE;
    int rc = pst_json_set_text(j, "status", "deactivated") ? change(call, j, err)
                                                           : pst_fail_nomem(err, "the account");
    if (rc)
        pst_wrap(err, "ACME account");
    return rc;
}
