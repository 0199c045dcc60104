/* jwk.c - public keys as JSON, and their thumbprints (RFC 7517, 7518, 7638, 8037). */
#include "crypto_internal.h"
#include <openssl/core_names.h>
#include <string.h>

enum { WIDTH_MAX = 66, JWK_MAX = 2048 };

static void member(struct pst_buf *json, const char *name, const void *data, size_t len)
{
    pst_buf_printf(json, "\"%s\":\"", name);
    pst_b64url_add(json, data, len);
    pst_buf_char(json, '"');
}

static int write_ec(const EVP_PKEY *pkey, enum pst_key_type type, struct pst_buf *json,
                    struct pst_err *err)
{
    static const char *const curves[] = {
        [PST_KEY_P256] = "P-256", [PST_KEY_P384] = "P-384", [PST_KEY_P521] = "P-521"};
    uint8_t x[WIDTH_MAX], y[WIDTH_MAX];
    int width = pst_key_width(type);
    int rc = pst_pkey_point(pkey, x, y, width, err);

    if (rc < 0)
        return rc;
    pst_buf_printf(json, "{\"crv\":\"%s\",\"kty\":\"EC\",", curves[type]);
    member(json, "x", x, (size_t)width);
    pst_buf_char(json, ',');
    member(json, "y", y, (size_t)width);
    pst_buf_char(json, '}');
    return PST_OK;
}

/* Minimal big-endian form. */
static bool number_member(const EVP_PKEY *pkey, const char *param, struct pst_buf *json,
                          const char *name)
{
    auto_(BN_clear_free) BIGNUM *bn = NULL;
    uint8_t bytes[PST_SPKI_MAX];
    int len;

    if (EVP_PKEY_get_bn_param(pkey, param, &bn) != 1 || BN_num_bytes(bn) > (int)sizeof bytes)
        return false;
    len = BN_bn2bin(bn, bytes);
    member(json, name, bytes, (size_t)len);
    return true;
}

static int write_rsa(const EVP_PKEY *pkey, struct pst_buf *json, struct pst_err *err)
{
    pst_buf_char(json, '{');
    if (!number_member(pkey, OSSL_PKEY_PARAM_RSA_E, json, "e"))
        return pst_fail_ossl(err, PST_EINTERNAL, "reading an RSA exponent");
    pst_buf_str(json, ",\"kty\":\"RSA\",");
    if (!number_member(pkey, OSSL_PKEY_PARAM_RSA_N, json, "n"))
        return pst_fail_ossl(err, PST_EINTERNAL, "reading an RSA modulus");
    pst_buf_char(json, '}');
    return PST_OK;
}

static int write_okp(const EVP_PKEY *pkey, struct pst_buf *json, struct pst_err *err)
{
    uint8_t x[32];
    size_t len = sizeof x;

    if (EVP_PKEY_get_raw_public_key(pkey, x, &len) != 1)
        return pst_fail_ossl(err, PST_EINTERNAL, "reading an Ed25519 key");
    pst_buf_str(json, "{\"crv\":\"Ed25519\",\"kty\":\"OKP\",");
    member(json, "x", x, len);
    pst_buf_char(json, '}');
    return PST_OK;
}

int pst_jwk_write(const EVP_PKEY *pkey, struct pst_buf *ret_json, struct pst_err *err)
{
    auto_buf struct pst_buf json = PST_BUF(JWK_MAX);
    enum pst_key_type type = pst_pkey_type(pkey);
    int rc;

    if (type == PST_KEY_OTHER)
        return pst_fail(err, PST_EINTERNAL, "a key of this type has no JWK");
    if (type == PST_KEY_RSA)
        rc = write_rsa(pkey, &json, err);
    else if (type == PST_KEY_ED25519)
        rc = write_okp(pkey, &json, err);
    else
        rc = write_ec(pkey, type, &json, err);
    if (rc == PST_OK)
        rc = pst_buf_check(&json, "a JWK", err);
    return rc < 0 ? rc : pst_out(ret_json, json.data, json.len, "a JWK", err);
}

int pst_jwk_public(const struct pst_key_handle *h, struct pst_buf *ret_json, struct pst_err *err)
{
    return pst_jwk_write(h->pkey, ret_json, err);
}

int pst_jwk_thumbprint_json(const char *jwk, size_t len, char ret[PST_JWK_THUMBPRINT_SIZE],
                            struct pst_err *err)
{
    auto_buf struct pst_buf text = PST_BUF(PST_JWK_THUMBPRINT_SIZE);
    uint8_t digest[PST_SHA256_LEN];
    int rc = pst_sha256(jwk, len, digest, err);

    if (rc < 0)
        return rc;
    pst_b64url_add(&text, digest, sizeof digest);
    rc = pst_buf_check(&text, "a thumbprint", err);
    if (rc == PST_OK)
        memcpy(ret, text.data, PST_JWK_THUMBPRINT_SIZE);
    return rc;
}

int pst_jwk_thumbprint(const struct pst_key_handle *h, char ret[PST_JWK_THUMBPRINT_SIZE],
                       struct pst_err *err)
{
    auto_buf struct pst_buf json = PST_BUF(JWK_MAX);
    int rc = pst_jwk_public(h, &json, err);

    return rc < 0 ? rc : pst_jwk_thumbprint_json(json.data, json.len, ret, err);
}
