/* certificate.c - fetching and revoking certificates, and when to renew them. */
#include <postern/err.h>
#include <postern/text.h>
#include <stdio.h>
#include <string.h>

#include "acme_internal.h"

#define PEM_BEGIN "-----BEGIN CERTIFICATE-----"

enum { RENEWAL_DEFAULT_S = 6 * 3600, RENEWAL_MIN_S = 60, CERT_ID_MAX = 200 };

void pst_acme_certificate_free(struct pst_acme_certificate *c)
{
    if (!c)
        return;
    pst_free(c->pem);
    pst_acme_free_list(c->alternates, c->alternates_n);
    pst_free(c);
}

/* Other chains of the same leaf stand in this answer's Link headers; what is no URL of a CA is
 * left out, because the chain at hand is good without. */
static int take_alternates(const struct pst_acme_ca *ca, const struct pst_http_response *r,
                           struct pst_acme_certificate *c, struct pst_err *err)
{
    char url[PST_ACME_URL_MAX + 1];

    c->alternates = pst_zalloc(PST_ACME_ALTERNATES_MAX, sizeof *c->alternates);
    if (!c->alternates)
        return pst_fail_nomem(err, "a certificate");
    for (size_t i = 0; i < PST_ACME_ALTERNATES_MAX; i++) {
        if (!pst_http_link(r, "alternate", i, url, sizeof url))
            break;
        if (pst_acme_url_check(ca, url, "alternate", NULL))
            continue;
        c->alternates[c->alternates_n] = pst_strdup(url);
        if (!c->alternates[c->alternates_n])
            return pst_fail_nomem(err, "a certificate");
        c->alternates_n++;
    }
    return PST_OK;
}

static int certificate_get(struct pst_acme_call *call, const char *url,
                           struct pst_acme_certificate **ret, struct pst_err *err)
{
    auto_(pst_http_response_free) struct pst_http_response *r = NULL;
    struct pst_acme_ask ask = {.group = PST_ACME_OBJECT,
                               .url = url,
                               .accept = "application/pem-certificate-chain",
                               .max_body = PST_ACME_CHAIN_MAX};

    int rc = pst_acme_post(call, &ask, &r, err);
    if (rc)
        return rc;
    size_t len;
    const char *pem = pst_http_body(r, &len);
    if (strlen(pem) != len || !strstr(pem, PEM_BEGIN))
        return pst_fail(err, PST_EINPUT, "the CA's answer holds no certificate in PEM");

    auto_(pst_acme_certificate_free) struct pst_acme_certificate *c = pst_zalloc(1, sizeof *c);
    if (!c || !(c->pem = pst_strndup(pem, len)))
        return pst_fail_nomem(err, "a certificate");
    c->pem_len = len;
    rc = take_alternates(call->ca, r, c, err);
    if (!rc)
        *ret = pst_take(&c);
    return rc;
}

int pst_acme_certificate_get(struct pst_acme_call *call, const char *certificate_url,
                             struct pst_acme_certificate **ret, struct pst_err *err)
{
    int rc = certificate_get(call, certificate_url, ret, err);

    if (rc)
        pst_wrap(err, "ACME certificate");
    return rc;
}

int pst_acme_revoke(struct pst_acme_call *call, const void *leaf, size_t leaf_len, int reason,
                    const struct pst_key_handle *cert_key, struct pst_err *err)
{
    auto_buf struct pst_buf payload = PST_BUF(PST_ACME_BODY_MAX);
    auto_(pst_http_response_free) struct pst_http_response *r = NULL;

    call->problem.type = PST_ACME_NONE;
    if (reason != 0 && reason != 1 && reason != 4 && reason != 5) {
        pst_fail(err, PST_REFUSED, "revocation reason %d: it must be 0, 1, 4 or 5", reason);
        pst_err_problem(err, "reason");
        return PST_REFUSED;
    }
    pst_buf_str(&payload, "{\"certificate\":\"");
    pst_b64url_add(&payload, leaf, leaf_len);
    pst_buf_char(&payload, '"');
    if (reason)
        pst_buf_printf(&payload, ",\"reason\":%d", reason);
    pst_buf_char(&payload, '}');

    struct pst_acme_ask ask = {.jwk = cert_key};
    int rc = pst_buf_check(&payload, "the revocation", err);
    ask.payload = payload.data;
    if (!rc)
        rc = pst_acme_post_to(call, PST_ACME_REVOKE_CERT, &ask, &r, err);
    if (rc == PST_EREMOTE && call->problem.type == PST_ACME_ALREADY_REVOKED)
        return PST_DONE;
    if (rc)
        pst_wrap(err, "ACME revocation");
    return rc;
}

/* ---- renewal information ---- */

int pst_acme_renewal_parse(const struct pst_json *j, struct pst_acme_renewal *to,
                           struct pst_err *err)
{
    const struct pst_json *window = pst_json_get(j, "suggestedWindow");
    const char *start = pst_json_get_text(window, "start");
    const char *end = pst_json_get_text(window, "end");
    struct pst_acme_renewal out = {.retry_after_s = RENEWAL_DEFAULT_S};

    if (!start || !pst_time_parse(start, &out.start_at_ms))
        return pst_fail(err, PST_EINPUT, "suggestedWindow.start: not a time");
    if (!end || !pst_time_parse(end, &out.end_at_ms))
        return pst_fail(err, PST_EINPUT, "suggestedWindow.end: not a time");
    if (out.end_at_ms <= out.start_at_ms)
        return pst_fail(err, PST_EINPUT, "suggestedWindow: it ends before it begins");
    pst_acme_show(out.explanation_url, sizeof out.explanation_url,
                  pst_json_get_text(j, "explanationURL"));
    *to = out;
    return PST_OK;
}

static bool is_cert_id(const char *s)
{
    const char *dot = s ? strchr(s, '.') : NULL;
    char key_id[CERT_ID_MAX + 1];

    if (!dot || (size_t)(dot - s) >= sizeof key_id)
        return false;
    memcpy(key_id, s, (size_t)(dot - s));
    key_id[dot - s] = '\0';
    return pst_acme_is_b64url(key_id, CERT_ID_MAX) && pst_acme_is_b64url(dot + 1, CERT_ID_MAX);
}

static int renewal_info(struct pst_acme_call *call, const char *cert_id,
                        struct pst_acme_renewal *ret, struct pst_err *err)
{
    auto_(pst_acme_dir_unref) struct pst_acme_dir *dir = NULL;
    auto_(pst_http_response_free) struct pst_http_response *r = NULL;
    auto_(pst_json_free) struct pst_json *j = NULL;

    int rc = pst_acme_dir_get(call, false, &dir, err);
    if (rc)
        return rc;
    const char *base = dir->url[PST_ACME_RENEWAL_INFO];
    if (!base)
        return PST_NOTFOUND;
    auto_(pst_free) char *url =
        pst_asprintf("%s%s%s", base, pst_str_ends(base, "/") ? "" : "/", cert_id);
    if (!url)
        return pst_fail_nomem(err, "renewal information");

    struct pst_acme_ask ask = {
        .group = PST_ACME_RENEWAL_INFO, .url = url, .accept = "application/json"};
    rc = pst_acme_get(call, "GET", &ask, &r, err);
    if (!rc)
        rc = pst_acme_body(r, &j, err);
    if (!rc)
        rc = pst_acme_renewal_parse(j, ret, err);
    if (rc)
        return rc;
    int64_t after_s = pst_acme_retry_after_ms(call->ca, r) / 1000;
    if (after_s > 0)
        ret->retry_after_s = after_s < RENEWAL_MIN_S ? RENEWAL_MIN_S : after_s;
    return PST_OK;
}

int pst_acme_renewal_info(struct pst_acme_call *call, const char *cert_id,
                          struct pst_acme_renewal *ret, struct pst_err *err)
{
    call->problem.type = PST_ACME_NONE;
    if (!is_cert_id(cert_id)) {
        pst_fail(err, PST_REFUSED, "the certificate id is not of the form of RFC 9773");
        pst_err_problem(err, "cert_id");
        return PST_REFUSED;
    }
    int rc = renewal_info(call, cert_id, ret, err);
    if (rc && rc != PST_NOTFOUND)
        pst_wrap(err, "ACME renewal information");
    return rc;
}
