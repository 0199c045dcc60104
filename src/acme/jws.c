/* jws.c - JSON Web Signatures as ACME wants them (RFC 8555 section 6.2, RFC 7515). */
#include <postern/crypto.h>
#include <postern/err.h>
#include <postern/secret.h>
#include <postern/text.h>
#include <string.h>

#include "acme_internal.h"

enum { HEADER_MAX = 16 * 1024, JWK_MAX = 8 * 1024, SIGNATURE_MAX = 1024 };

/* base64url(header) "." base64url(payload) */
static int signing_input(const char *header, const char *payload, struct pst_buf *to,
                         struct pst_err *err)
{
    pst_b64url_add(to, header, strlen(header));
    pst_buf_char(to, '.');
    if (payload)
        pst_b64url_add(to, payload, strlen(payload));
    return pst_buf_check(to, "the request to the CA", err);
}

/* The three members; everything in them is base64url, so nothing needs quoting. */
static void assemble(const struct pst_buf *input, const struct pst_buf *signature,
                     struct pst_buf *to)
{
    const char *dot = strchr(input->data, '.');

    pst_buf_str(to, "{\"protected\":\"");
    pst_buf_add(to, input->data, (size_t)(dot - input->data));
    pst_buf_str(to, "\",\"payload\":\"");
    pst_buf_str(to, dot + 1);
    pst_buf_str(to, "\",\"signature\":\"");
    pst_b64url_add(to, signature->data, signature->len);
    pst_buf_str(to, "\"}");
}

static int write_header(const struct pst_acme_jws *jws, struct pst_buf *to, struct pst_err *err)
{
    pst_buf_str(to, "{\"alg\":");
    pst_json_quote(to, pst_jws_alg(jws->key));
    if (jws->kid) {
        pst_buf_str(to, ",\"kid\":");
        pst_json_quote(to, jws->kid);
    } else {
        pst_buf_str(to, ",\"jwk\":");
        int rc = pst_jwk_public(jws->key, to, err);
        if (rc)
            return rc;
    }
    if (jws->nonce) {
        pst_buf_str(to, ",\"nonce\":");
        pst_json_quote(to, jws->nonce);
    }
    pst_buf_str(to, ",\"url\":");
    pst_json_quote(to, jws->url);
    pst_buf_char(to, '}');
    return pst_buf_check(to, "the header of a request to the CA", err);
}

int pst_acme_jws_write(const struct pst_acme_jws *jws, struct pst_buf *to, struct pst_err *err)
{
    auto_buf struct pst_buf header = PST_BUF(HEADER_MAX);
    auto_buf struct pst_buf input = PST_BUF(PST_ACME_BODY_MAX);
    auto_buf struct pst_buf signature = PST_BUF(SIGNATURE_MAX);

    int rc = write_header(jws, &header, err);
    if (!rc)
        rc = signing_input(header.data, jws->payload, &input, err);
    if (!rc)
        rc = pst_jws_sign(jws->key, input.data, input.len, &signature, err);
    if (rc)
        return rc;
    assemble(&input, &signature, to);
    return pst_buf_check(to, "the request to the CA", err);
}

/* CAs hand their secrets out as base64url or base64, padded or not: bring all to base64url. */
static int eab_secret(const struct pst_secret *in, struct pst_buf *to, struct pst_err *err)
{
    auto_buf_wipe struct pst_buf text = PST_BUF(1024);
    size_t len = in ? in->len : 0;

    while (len > 0 && in->data[len - 1] == '=')
        len--;
    for (size_t i = 0; i < len; i++)
        pst_buf_char(&text, in->data[i] == '+'   ? '-'
                            : in->data[i] == '/' ? '_'
                                                 : (char)in->data[i]);
    int rc = pst_buf_check(&text, "the external account key", err);
    if (rc == PST_ENOMEM)
        return rc;
    if (rc || len == 0 || !pst_b64url_decode(to, pst_buf_cstr(&text), text.len)) {
        if (to->no_memory)
            return pst_fail_nomem(err, "the external account key");
        pst_fail(err, PST_REFUSED, "the external account key is not base64url, as the CA gives it");
        pst_err_problem(err, "eab_key");
        return PST_REFUSED;
    }
    return PST_OK;
}

static bool is_hmac(const char *alg)
{
    return pst_streq(alg, "HS256") || pst_streq(alg, "HS384") || pst_streq(alg, "HS512");
}

int pst_acme_eab_write(const struct pst_acme_eab *eab, const char *jwk, struct pst_buf *to,
                       struct pst_err *err)
{
    auto_buf struct pst_buf header = PST_BUF(HEADER_MAX);
    auto_buf struct pst_buf input = PST_BUF(HEADER_MAX + 2 * JWK_MAX);
    auto_buf struct pst_buf signature = PST_BUF(SIGNATURE_MAX);
    auto_buf_wipe struct pst_buf key = PST_BUF(1024);
    const char *alg = eab->alg ? eab->alg : "HS256";

    if (!is_hmac(alg)) {
        pst_fail(err, PST_REFUSED,
                 "external account binding with %.20s: it must be HS256, HS384 "
                 "or HS512",
                 alg);
        pst_err_problem(err, "eab_alg");
        return PST_REFUSED;
    }
    pst_buf_str(&header, "{\"alg\":");
    pst_json_quote(&header, alg);
    pst_buf_str(&header, ",\"kid\":");
    pst_json_quote(&header, eab->kid);
    pst_buf_str(&header, ",\"url\":");
    pst_json_quote(&header, eab->url);
    pst_buf_char(&header, '}');

    int rc = pst_buf_check(&header, "the external account binding", err);
    if (!rc)
        rc = eab_secret(eab->key, &key, err);
    if (!rc)
        rc = signing_input(header.data, jwk, &input, err);
    if (!rc)
        rc = pst_jws_hmac(alg, key.data, key.len, input.data, input.len, &signature, err);
    if (rc)
        return rc;
    assemble(&input, &signature, to);
    return pst_buf_check(to, "the external account binding", err);
}
