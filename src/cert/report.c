/* report.c - findings for the API, for tools and for people. */
#include "cert_internal.h"
#include <postern/json.h>
#include <string.h>

enum { TEXT_MAX = 8192 };

static int full_sentence(const struct pst_cert_finding *f, struct pst_buf *to, struct pst_err *err)
{
    pst_buf_printf(to, "%s %s", f->sentence, f->fix);
    return pst_buf_check(to, "a finding", err);
}

int pst_cert_errors_json(const struct pst_cert_result *r, struct pst_json **ret,
                         struct pst_err *err)
{
    auto_(pst_json_free) struct pst_json *errors = pst_json_object();

    for (enum pst_cert_field field = 0; field < PST_CERT_FIELD__COUNT; field++) {
        auto_(pst_json_free) struct pst_json *list = pst_json_array();

        for (size_t i = 0; i < r->findings_n; i++) {
            auto_buf struct pst_buf text = PST_BUF(TEXT_MAX);
            const struct pst_cert_finding *f = &r->findings[i];
            int rc;

            if (f->field != field || !pst_cert_code_is_error(f->code))
                continue;
            rc = full_sentence(f, &text, err);
            if (rc < 0)
                return rc;
            if (!pst_json_push_text(list, pst_buf_cstr(&text)))
                return pst_fail_nomem(err, "the errors");
        }
        if (!errors || !list)
            return pst_fail_nomem(err, "the errors");
        if (pst_json_len(list) > 0 &&
            !pst_json_set(errors, pst_cert_field_name(field), pst_take(&list)))
            return pst_fail_nomem(err, "the errors");
    }
    *ret = pst_take(&errors);
    return PST_OK;
}

static struct pst_json *finding_json(const struct pst_cert_finding *f)
{
    auto_(pst_json_free) struct pst_json *j = pst_json_object();

    if (!pst_json_set_text(j, "code", pst_cert_code_name(f->code)) ||
        !pst_json_set_text(j, "severity", pst_cert_code_is_error(f->code) ? "error" : "warning") ||
        !pst_json_set_text(j, "field", pst_cert_field_name(f->field)) ||
        !pst_json_set_text(j, "sentence", f->sentence) || !pst_json_set_text(j, "fix", f->fix))
        return NULL;
    return pst_take(&j);
}

int pst_cert_findings_json(const struct pst_cert_result *r, struct pst_json **ret,
                           struct pst_err *err)
{
    auto_(pst_json_free) struct pst_json *list = pst_json_array();

    if (!list)
        return pst_fail_nomem(err, "the findings");
    for (size_t i = 0; i < r->findings_n; i++)
        if (!pst_json_push(list, finding_json(&r->findings[i])))
            return pst_fail_nomem(err, "the findings");
    *ret = pst_take(&list);
    return PST_OK;
}

int pst_cert_key_words(enum pst_key_type type, int bits, struct pst_buf *ret, struct pst_err *err)
{
    if (type == PST_KEY_RSA)
        pst_buf_printf(ret, "RSA private key - %d bytes", bits);
    else if (type == PST_KEY_ED25519)
        pst_buf_str(ret, "Ed25519 private key");
    else
        pst_buf_printf(ret, "EC private key - %d bits", bits);
    return pst_buf_check(ret, "a key's description", err);
}

static struct pst_json *names_json(const struct pst_cert_info *info)
{
    auto_(pst_json_free) struct pst_json *list = pst_json_array();

    for (size_t i = 0; i < info->names_n; i++)
        if (!pst_json_push_text(list, info->names[i]))
            return NULL;
    return pst_take(&list);
}

int pst_cert_info_json(const struct pst_cert_info *info, struct pst_json **ret, struct pst_err *err)
{
    auto_(pst_json_free) struct pst_json *j = pst_json_object();
    char from[PST_TIME_SIZE], until[PST_TIME_SIZE], sha256[2 * sizeof info->sha256 + 1];

    pst_time_format(from, info->not_before * 1000);
    pst_time_format(until, info->not_after * 1000);
    pst_hex(sha256, info->sha256, sizeof info->sha256);
    if (!pst_json_set_text(j, "subject", info->subject) ||
        !pst_json_set_text(j, "issuer", info->issuer) ||
        !pst_json_set_text(j, "serial", info->serial) ||
        !pst_json_set_text(j, "not_before", from) || !pst_json_set_text(j, "not_after", until) ||
        !pst_json_set(j, "names", names_json(info)) ||
        !pst_json_set_text(j, "key_type", pst_key_type_name(info->key_type)) ||
        !pst_json_set_int(j, "key_bits", info->key_bits) ||
        !pst_json_set_bool(j, "is_ca", info->is_ca) ||
        !pst_json_set_bool(j, "self_signed", info->self_signed) ||
        !pst_json_set_text(j, "sha256", sha256))
        return pst_fail_nomem(err, "a certificate's description");
    *ret = pst_take(&j);
    return PST_OK;
}

/* Who stands above the leaf, as far as it was sent or found. */
static int chain_json(const struct pst_chain *chain, struct pst_json **ret, struct pst_err *err)
{
    auto_(pst_json_free) struct pst_json *list = pst_json_array();

    for (size_t i = 0; i < chain->issuers_n; i++) {
        char sha256[PST_SHA256_HEX_SIZE];
        int rc = pst_sha256_hex(chain->issuers[i].data, chain->issuers[i].len, sha256, err);

        if (rc < 0)
            return rc;
        if (!pst_json_push_text(list, sha256))
            return pst_fail_nomem(err, "a chain's description");
    }
    if (!list)
        return pst_fail_nomem(err, "a chain's description");
    *ret = pst_take(&list);
    return PST_OK;
}

int pst_cert_report_json(const struct pst_cert_result *r, struct pst_json **ret,
                         struct pst_err *err)
{
    auto_(pst_json_free) struct pst_json *j = pst_json_object(), *cert = NULL, *chain = NULL,
                                         *findings = NULL;
    int rc = chain_json(&r->chain, &chain, err);

    if (rc == PST_OK)
        rc = pst_cert_findings_json(r, &findings, err);
    if (rc == PST_OK && r->chain.leaf.data)
        rc = pst_cert_info_json(&r->chain.info, &cert, err);
    if (rc < 0)
        return rc;
    if (!pst_json_set_bool(j, "accepted", r->accepted) ||
        !(cert ? pst_json_set(j, "certificate", pst_take(&cert))
               : pst_json_set_null(j, "certificate")) ||
        !pst_json_set(j, "chain", pst_take(&chain)) ||
        !pst_json_set(j, "findings", pst_take(&findings)))
        return pst_fail_nomem(err, "a report");
    *ret = pst_take(&j);
    return PST_OK;
}

int pst_cert_report_text(const struct pst_cert_result *r, struct pst_buf *ret, struct pst_err *err)
{
    char until[PST_CERT_TIME_SIZE];

    pst_buf_str(ret, r->accepted ? "Acceptable." : "Refused.");
    if (r->chain.leaf.data) {
        pst_buf_printf(ret, "  %s, until %s, %zu certificate%s above it.\n",
                       r->chain.info.names_n > 0 ? r->chain.info.names[0] : r->chain.info.subject,
                       pst_cert_time(until, r->chain.info.not_after), r->chain.issuers_n,
                       r->chain.issuers_n == 1 ? "" : "s");
    } else {
        pst_buf_char(ret, '\n');
    }
    for (size_t i = 0; i < r->findings_n; i++) {
        const struct pst_cert_finding *f = &r->findings[i];

        pst_buf_printf(ret, "\n%s %s (%s)\n    %s\n    %s\n",
                       pst_cert_code_is_error(f->code) ? "error" : "warning",
                       pst_cert_code_name(f->code), pst_cert_field_name(f->field), f->sentence,
                       f->fix);
    }
    return pst_buf_check(ret, "a report", err);
}
