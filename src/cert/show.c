/* show.c - what is in some files, and the same as PEM: nothing is judged here. */
#include "cert_internal.h"
#include <postern/json.h>
#include <string.h>

static void work_free(struct pst_work *w)
{
    pst_work_deinit(w);
    pst_free(w);
}
PST_CLEANUP(struct pst_work, work_free);

/* Read all; *ret_result (to be released) has the findings when the sizes were refused already. */
static int read_all(const struct pst_cert_request *req, struct pst_work **ret,
                    struct pst_cert_result *ret_result, struct pst_err *err)
{
    auto_(work_free) struct pst_work *w = pst_zalloc(1, sizeof *w);
    int rc = pst_cert_sizes(req, ret_result, err);

    if (!w)
        return pst_fail_nomem(err, "reading a certificate");
    if (rc != PST_OK)
        return rc;
    w->req = req;
    rc = pst_collect(w, err);
    if (rc == PST_OK && w->certs_n + w->keys_n + w->strays_n + w->findings_n == 0)
        rc = pst_find(w, PST_CERT_CERT_MISSING, err, "There is no certificate.");
    if (rc == PST_OK)
        *ret = pst_take(&w);
    return rc;
}

/* ---- show ---- */

static struct pst_json *key_json(const struct pst_found_key *k)
{
    auto_(pst_json_free) struct pst_json *j = pst_json_object();

    if (!pst_json_set_text(j, "kind", "private key") || !pst_json_set_text(j, "type", k->f.name) ||
        !pst_json_set_int(j, "bits", k->f.bits))
        return NULL;
    return pst_take(&j);
}

/* Does a key of the inputs belong to it? */
static bool has_its_key(const struct pst_work *w, const struct pst_found_cert *c)
{
    for (size_t i = 0; i < w->keys_n; i++)
        if (memcmp(w->keys[i].f.spki_sha256, c->f->info.spki_sha256, 32) == 0)
            return true;
    return false;
}

static int cert_json(const struct pst_work *w, const struct pst_found_cert *c,
                     struct pst_json **ret, struct pst_err *err)
{
    auto_(pst_json_free) struct pst_json *j = NULL;
    int rc = pst_cert_info_json(&c->f->info, &j, err);

    if (rc < 0)
        return rc;
    if (!pst_json_set_text(j, "kind", "certificate") ||
        !pst_json_set_text(j, "signature", c->f->sig_name) ||
        !pst_json_set_bool(j, "key_is_here", has_its_key(w, c)))
        return pst_fail_nomem(err, "a description");
    *ret = pst_take(&j);
    return PST_OK;
}

static int objects_json(const struct pst_work *w, struct pst_json **ret, struct pst_err *err)
{
    auto_(pst_json_free) struct pst_json *list = pst_json_array();

    for (size_t i = 0; i < w->certs_n; i++) {
        struct pst_json *j = NULL;
        int rc = cert_json(w, &w->certs[i], &j, err);

        if (rc < 0)
            return rc;
        if (!pst_json_push(list, j))
            return pst_fail_nomem(err, "a description");
    }
    for (size_t i = 0; i < w->keys_n; i++)
        if (!pst_json_push(list, key_json(&w->keys[i])))
            return pst_fail_nomem(err, "a description");
    for (size_t i = 0; i < w->strays_n; i++) {
        struct pst_json *j = pst_json_object();

        if (!pst_json_set_text(j, "kind", w->strays[i].what) || !pst_json_push(list, j))
            return pst_fail_nomem(err, "a description");
    }
    if (!list)
        return pst_fail_nomem(err, "a description");
    *ret = pst_take(&list);
    return PST_OK;
}

int pst_cert_show_json(const struct pst_cert_request *req, struct pst_json **ret,
                       struct pst_err *err)
{
    auto_(work_free) struct pst_work *w = NULL;
    auto_cert_result struct pst_cert_result result = {0};
    auto_(pst_json_free) struct pst_json *j = pst_json_object(), *objects = NULL, *findings = NULL;
    int rc = read_all(req, &w, &result, err);

    if (rc < 0)
        return rc;
    rc = PST_OK;
    if (w) {
        rc = objects_json(w, &objects, err);
        if (rc == PST_OK)
            rc = pst_find_hand_over(w, &result, err);
    } else {
        objects = pst_json_array();
    }
    if (rc == PST_OK)
        rc = pst_cert_findings_json(&result, &findings, err);
    if (rc < 0)
        return rc;
    if (!pst_json_set(j, "objects", pst_take(&objects)) ||
        !pst_json_set(j, "findings", pst_take(&findings)))
        return pst_fail_nomem(err, "a description");
    *ret = pst_take(&j);
    return PST_OK;
}

static void show_cert(const struct pst_work *w, const struct pst_found_cert *c, struct pst_buf *to)
{
    const struct pst_cert_info *info = &c->f->info;
    char from[PST_CERT_TIME_SIZE], until[PST_CERT_TIME_SIZE], sha256[65];

    pst_hex(sha256, info->sha256, sizeof info->sha256);
    pst_buf_printf(to,
                   "certificate%s%s\n  subject    %s\n  issuer     %s\n  serial     %s\n"
                   "  valid      %s to %s\n  key        %s, %d bits%s\n  signature  %s\n"
                   "  sha256     %s\n",
                   info->is_ca ? " of an authority" : "", info->self_signed ? ", self-signed" : "",
                   info->subject, info->issuer, info->serial, pst_cert_time(from, info->not_before),
                   pst_cert_time(until, info->not_after), c->f->key_name, info->key_bits,
                   has_its_key(w, c) ? " (the private key is here)" : "", c->f->sig_name, sha256);
    for (size_t i = 0; i < info->names_n; i++)
        pst_buf_printf(to, "  %s %s\n", i == 0 ? "names     " : "          ", info->names[i]);
}

int pst_cert_show_text(const struct pst_cert_request *req, struct pst_buf *ret, struct pst_err *err)
{
    auto_(work_free) struct pst_work *w = NULL;
    auto_cert_result struct pst_cert_result result = {0};
    int rc = read_all(req, &w, &result, err);

    if (rc < 0)
        return rc;
    for (size_t i = 0; w && i < w->certs_n; i++)
        show_cert(w, &w->certs[i], ret);
    for (size_t i = 0; w && i < w->keys_n; i++)
        pst_buf_printf(ret, "private key\n  type       %s, %d bits\n", w->keys[i].f.name,
                       w->keys[i].f.bits);
    for (size_t i = 0; w && i < w->strays_n; i++)
        pst_buf_printf(ret, "%s\n", w->strays[i].what);
    if (w) {
        rc = pst_find_hand_over(w, &result, err);
        if (rc < 0)
            return rc;
    }
    for (size_t i = 0; i < result.findings_n; i++)
        pst_buf_printf(ret, "%s %s\n", result.findings[i].sentence, result.findings[i].fix);
    return pst_buf_check(ret, "a description", err);
}

/* ---- convert ---- */

static int write_key(const struct pst_found_key *k, struct pst_buf *to, struct pst_err *err)
{
    auto_secret struct pst_secret der = {0};
    int rc = pst_key_pkcs8(k->h, &der, err);

    if (rc == PST_OK)
        pst_pem_write(der.data, der.len, "PRIVATE KEY", to);
    return rc;
}

int pst_cert_convert(const struct pst_cert_request *req, struct pst_buf *ret_pem,
                     struct pst_cert_result *ret_result, struct pst_err *err)
{
    auto_(work_free) struct pst_work *w = NULL;
    auto_cert_result struct pst_cert_result result = {0};
    int rc = read_all(req, &w, &result, err);

    if (rc == PST_OK && w->certs_n + w->keys_n == 0 && w->strays_n > 0)
        rc = pst_find(w, PST_CERT_NOT_A_CERTIFICATE, err, "It is %s.", w->strays[0].what);
    if (rc == PST_OK)
        rc = pst_find_hand_over(w, &result, err);
    if (rc < 0)
        return rc;
    for (size_t i = 0; w && result.accepted && i < w->certs_n; i++)
        pst_pem_write(w->certs[i].f->der, w->certs[i].f->der_len, "CERTIFICATE", ret_pem);
    for (size_t i = 0; w && result.accepted && i < w->keys_n && rc == PST_OK; i++)
        rc = write_key(&w->keys[i], ret_pem, err);
    if (rc == PST_OK)
        rc = pst_buf_check(ret_pem, "the text", err);
    if (rc < 0)
        return rc;
    pst_cert_result_deinit(ret_result);
    *ret_result = result;
    result = (struct pst_cert_result){0};
    return ret_result->accepted ? PST_OK : PST_REFUSED;
}
