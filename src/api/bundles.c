/* bundles.c - bundles of key and certificates, kept for domains added later. */
#include "api_internal.h"

#include <stdio.h>
#include <string.h>

#include <postern/crypto.h>
#include <postern/crypto_read.h>

#include "bundles.h"
#include "uploads.h"
#include "v2_answer.h"

enum { SEALED_MAX = 64 * 1024, NAMES_LEN_MAX = PST_NAME_SIZE * PST_CERT_NAMES_MAX };

#define KIND "bundle" /* that keys are sealed under */

/* ---- keeping ---- */

int pst_bundle_prepare(struct pst_req *req, const struct pst_upload *u, struct pst_bundle *ret,
                       struct pst_err *err)
{
    struct pst_keyring *keys = pst_store_keys(req->api->opts.store);
    const struct pst_cert_info *info = &u->result.chain.info;

    pst_id_new(req->api->opts.rand, ret->held.id);
    pst_str_copy(ret->user_id, sizeof ret->user_id, req->user.id);
    ret->held.sealed = (struct pst_buf)PST_BUF(SEALED_MAX);
    ret->names = (struct pst_buf)PST_BUF(NAMES_LEN_MAX);
    for (size_t i = 0; i < info->names_n; i++)
        pst_buf_printf(&ret->names, "%s%s", i ? " " : "", info->names[i]);
    int rc = pst_buf_check(&ret->names, "names of a certificate", err);
    if (rc == PST_OK)
        rc = pst_certificate_fill(&ret->held, "custom", &u->result.chain, err);
    if (rc == PST_OK)
        rc = pst_key_seal_raw(keys, u->result.key_type, &u->result.key, KIND, ret->held.id,
                              &ret->held.sealed, err);
    return rc;
}

int pst_bundle_keep(struct pst_req *req, struct pst_tx *tx, struct pst_bundle *b,
                    char ret_id[PST_ID_SIZE], struct pst_answer *ans, struct pst_err *err)
{
    int64_t n = 0;

    int rc = pst_bundle_again(tx, b, ret_id, err);
    if (rc != PST_NOTFOUND)
        return rc;
    rc = pst_bundle_count(tx, req->user.id, &n, err);
    if (rc == PST_OK && n >= PST_BUNDLES_MAX)
        return pst_answer_invalid(ans, "bundles",
                                  "this account keeps %lld bundles already, and %d are the most it "
                                  "may keep; remove one first",
                                  (long long)n, PST_BUNDLES_MAX);
    if (rc == PST_OK)
        rc = pst_bundle_insert(tx, b, err);
    memcpy(ret_id, b->held.id, PST_ID_SIZE);
    if (rc == PST_OK)
        rc = pst_req_event(req, tx, "bundle.kept", NULL, NULL, err, "bundle %s is kept for %.200s",
                           b->held.id, pst_buf_cstr(&b->names));
    return rc <= 0 ? rc : pst_unexpected(err, rc, "keeping a bundle");
}

/* ---- using ---- */

int pst_bundle_number(struct pst_req *req, struct pst_tx *tx, struct pst_domain *d,
                      struct pst_bundle *b, struct pst_err *err)
{
    int rc = pst_bundle_best(tx, d->user_id, d->ascii, pst_now(req->api->opts.clock), b, err);

    if (rc == PST_OK)
        d->custom_cert = b->held.num ? b->held.num : pst_certificate_num(tx);
    return rc;
}

static int make_certificate(struct pst_req *req, struct pst_tx *tx, const struct pst_domain *d,
                            const char *bundle_id, struct pst_err *err)
{
    struct pst_keyring *keys = pst_store_keys(req->api->opts.store);
    auto_bundle struct pst_bundle b = {0};
    auto_buf struct pst_buf sealed = PST_BUF(SEALED_MAX);
    struct pst_certificate *c = &b.held;

    int rc = pst_bundle_load(tx, d->user_id, bundle_id, &b, err);
    if (rc != PST_OK)
        return rc;
    struct pst_sealed held = {KIND, bundle_id, c->sealed.data, c->sealed.len};
    pst_id_new(req->api->opts.rand, c->id);
    rc = pst_key_reseal(keys, &held, "certificate", c->id, &sealed, err);
    if (rc != PST_OK)
        return rc;
    pst_buf_deinit(&c->sealed);
    c->sealed = sealed;
    sealed = (struct pst_buf)PST_BUF(0);
    c->num = d->custom_cert;
    c->created_at_ms = 0;
    pst_str_copy(c->origin, sizeof c->origin, "custom");
    memcpy(c->domain_id, d->id, sizeof c->domain_id);
    rc = pst_certificate_insert(tx, c, err);
    return rc == PST_OK ? pst_bundle_used(tx, bundle_id, c->num, err) : rc;
}

int pst_bundle_store(struct pst_req *req, struct pst_tx *tx, const struct pst_domain *d,
                     const struct pst_bundle *b, struct pst_err *err)
{
    char until[PST_TIME_SIZE];
    int rc = PST_OK;

    if (!b->held.num)
        rc = make_certificate(req, tx, d, b->held.id, err);
    if (rc != PST_OK)
        return rc < 0 ? rc : pst_unexpected(err, rc, "a bundle");
    pst_time_format(until, b->held.not_after * 1000);
    return pst_req_event(req, tx, "certificate.from-bundle", d->app_id, d->id, err,
                         "certificate %s of bundle %s was put on %.200s, valid until %s",
                         b->held.serial, b->held.id, d->name, until);
}

/* ---- listing ---- */

static bool set_names(struct pst_json *j, const struct pst_bundle *b)
{
    auto_(pst_json_free) struct pst_json *list = pst_json_array();
    const char *at = b->names.len ? b->names.data : "";
    char name[PST_NAME_SIZE];

    while (list && *at) {
        size_t len = strcspn(at, " ");
        snprintf(name, sizeof name, "%.*s", (int)len, at);
        if (!pst_json_push_text(list, name))
            return false;
        at += len + (at[len] == ' ');
    }
    return pst_json_set(j, "names", pst_take(&list));
}

static int push(const struct pst_bundle *b, void *list)
{
    auto_(pst_json_free) struct pst_json *j = pst_json_object();
    const struct pst_certificate *c = &b->held;

    if (!pst_json_set_text(j, "id", c->id) || !set_names(j, b) ||
        !pst_json_set_text(j, "subject", c->subject) ||
        !pst_json_set_text(j, "issuer", c->issuer) || !pst_json_set_text(j, "serial", c->serial) ||
        !pst_json_set_text(j, "sha256", c->sha256) ||
        !pst_json_set_text(j, "key_type", c->key_type) ||
        !pst_json_set_int(j, "key_bits", c->key_bits) ||
        !pst_json_set_time(j, "not_before", c->not_before * 1000) ||
        !pst_json_set_time(j, "not_after", c->not_after * 1000) ||
        !pst_json_set_int(j, "domains", b->domains_n) ||
        !pst_json_set_time(j, "created_at", c->created_at_ms))
        return PST_ENOMEM;
    return pst_json_push(list, pst_take(&j)) ? PST_OK : PST_ENOMEM;
}

int pst_bundles_list(struct pst_req *req, struct pst_tx *tx, struct pst_answer *ans,
                     struct pst_err *err)
{
    auto_(pst_json_free) struct pst_json *list = pst_json_array();
    auto_(pst_json_free) struct pst_json *j = pst_json_object();

    if (!list)
        return pst_fail_nomem(err, "the bundles");
    int rc = pst_bundle_each(tx, req->user.id, push, list, err);
    if (rc != PST_OK)
        return rc;
    if (!pst_json_set(j, "bundles", pst_take(&list)))
        return pst_fail_nomem(err, "the bundles");
    return pst_answer_json(ans, 200, j, err);
}

/* As Clever Cloud writes lists and times. */
static int push_v2(const struct pst_bundle *b, void *list)
{
    auto_(pst_json_free) struct pst_json *j = pst_json_object();
    const struct pst_certificate *c = &b->held;

    if (!pst_json_set_text(j, "id", c->id) || !set_names(j, b) ||
        !pst_json_set_text(j, "subject", c->subject) ||
        !pst_json_set_text(j, "issuer", c->issuer) ||
        !pst_json_set_int(j, "creationDate", c->created_at_ms) ||
        !pst_json_set_int(j, "expirationDate", c->not_after * 1000))
        return PST_ENOMEM;
    return pst_json_push(list, pst_take(&j)) ? PST_OK : PST_ENOMEM;
}

int pst_v2_bundles(struct pst_req *req, struct pst_tx *tx, struct pst_answer *ans,
                   struct pst_err *err)
{
    auto_(pst_json_free) struct pst_json *list = pst_json_array();

    if (!list)
        return pst_fail_nomem(err, "the bundles");
    int rc = pst_bundle_each(tx, req->user.id, push_v2, list, err);
    return rc == PST_OK ? pst_answer_json(ans, 200, list, err) : rc;
}

/* ---- removing ---- */

int pst_bundles_delete(struct pst_req *req, struct pst_tx *tx, struct pst_answer *ans,
                       struct pst_err *err)
{
    int rc = pst_bundle_delete(tx, req->user.id, req->params[0], err);

    if (rc == PST_NOTFOUND)
        return pst_answer_absent(ans, "bundle");
    if (rc == PST_OK)
        rc = pst_req_event(req, tx, "bundle.removed", NULL, NULL, err, "bundle %s was removed",
                           req->params[0]);
    return rc == PST_OK ? pst_answer_empty(ans, 204) : rc;
}

int pst_v2_bundle_delete(struct pst_req *req, struct pst_tx *tx, struct pst_answer *ans,
                         struct pst_err *err)
{
    int rc = pst_bundles_delete(req, tx, ans, err);

    if (rc != PST_OK)
        return rc;
    return pst_v2_message(ans, 200, 200, "success",
                          "The certificate is kept no longer; names that have it keep it.");
}
