/* sign.c - signatures: plain ones, and those of JWS. */
#include "crypto_internal.h"
#include <openssl/rsa.h>
#include <string.h>

enum { SIG_MAX = 1024, WIDTH_MAX = 66 };

enum family { EC, RSA_PKCS1, RSA_PSS, ED };

static const struct {
    enum family family;
    const char *digest;
} algs[PST_SIGN_ALG__COUNT] = {
    [PST_SIGN_ECDSA_SHA256] = {EC, "SHA256"},
    [PST_SIGN_ECDSA_SHA384] = {EC, "SHA384"},
    [PST_SIGN_ECDSA_SHA512] = {EC, "SHA512"},
    [PST_SIGN_RSA_PKCS1_SHA256] = {RSA_PKCS1, "SHA256"},
    [PST_SIGN_RSA_PKCS1_SHA384] = {RSA_PKCS1, "SHA384"},
    [PST_SIGN_RSA_PKCS1_SHA512] = {RSA_PKCS1, "SHA512"},
    [PST_SIGN_RSA_PSS_SHA256] = {RSA_PSS, "SHA256"},
    [PST_SIGN_RSA_PSS_SHA384] = {RSA_PSS, "SHA384"},
    [PST_SIGN_RSA_PSS_SHA512] = {RSA_PSS, "SHA512"},
    [PST_SIGN_ED25519] = {ED, NULL},
};

static bool fits(enum pst_key_type type, enum family family)
{
    if (type == PST_KEY_RSA)
        return family == RSA_PKCS1 || family == RSA_PSS;
    return family == (type == PST_KEY_ED25519 ? ED : EC);
}

/* *len is the room in `sig`, then its length. */
static int sign(const struct pst_key_handle *h, enum pst_sign_alg alg, const void *data,
                size_t data_len, uint8_t *sig, size_t *len, struct pst_err *err)
{
    auto_(EVP_MD_CTX_free) EVP_MD_CTX *ctx = NULL;
    EVP_PKEY_CTX *pctx; /* belongs to ctx */

    if ((unsigned)alg >= PST_SIGN_ALG__COUNT || !fits(h->type, algs[alg].family))
        return pst_fail(err, PST_EINPUT, "a %s key cannot sign with this algorithm",
                        pst_key_type_name(h->type));
    ctx = EVP_MD_CTX_new();
    if (!ctx || EVP_DigestSignInit_ex(ctx, &pctx, algs[alg].digest, NULL, NULL, h->pkey, NULL) != 1)
        return pst_fail_ossl(err, PST_EINTERNAL, "preparing a signature");
    if (algs[alg].family == RSA_PSS &&
        (EVP_PKEY_CTX_set_rsa_padding(pctx, RSA_PKCS1_PSS_PADDING) != 1 ||
         EVP_PKEY_CTX_set_rsa_pss_saltlen(pctx, RSA_PSS_SALTLEN_DIGEST) != 1))
        return pst_fail_ossl(err, PST_EINTERNAL, "preparing a signature");
    if (EVP_DigestSign(ctx, sig, len, data, data_len) != 1)
        return pst_fail_ossl(err, PST_EINTERNAL, "signing");
    return PST_OK;
}

int pst_key_handle_sign(const struct pst_key_handle *h, enum pst_sign_alg alg, const void *data,
                        size_t len, struct pst_buf *ret_sig, struct pst_err *err)
{
    uint8_t sig[SIG_MAX];
    size_t sig_len = sizeof sig;
    int rc = sign(h, alg, data, len, sig, &sig_len, err);

    return rc < 0 ? rc : pst_out(ret_sig, sig, sig_len, "a signature", err);
}

int pst_key_sign(struct pst_keyring *kr, const struct pst_sealed *key, enum pst_sign_alg alg,
                 const void *data, size_t len, struct pst_buf *ret_sig, struct pst_err *err)
{
    auto_(pst_key_free) struct pst_key_handle *h = NULL;
    int rc = pst_key_open(kr, key->kind, key->object_id, key->blob, key->len, &h, err);

    return rc < 0 ? rc : pst_key_handle_sign(h, alg, data, len, ret_sig, err);
}

/* ---- JWS ---- */

static const struct {
    const char *name;
    enum pst_sign_alg alg;
} jws[PST_KEY_OTHER] = {
    [PST_KEY_P256] = {"ES256", PST_SIGN_ECDSA_SHA256},
    [PST_KEY_P384] = {"ES384", PST_SIGN_ECDSA_SHA384},
    [PST_KEY_P521] = {"ES512", PST_SIGN_ECDSA_SHA512},
    [PST_KEY_RSA] = {"RS256", PST_SIGN_RSA_PKCS1_SHA256},
    [PST_KEY_ED25519] = {"EdDSA", PST_SIGN_ED25519},
};

const char *pst_jws_alg(const struct pst_key_handle *h)
{
    return jws[h->type].name;
}

int pst_ecdsa_raw(const uint8_t *der, size_t len, int width, uint8_t *to, struct pst_err *err)
{
    const unsigned char *at = der;
    auto_(ECDSA_SIG_free) ECDSA_SIG *sig = d2i_ECDSA_SIG(NULL, &at, (long)len);

    if (!sig || at != der + len || BN_bn2binpad(ECDSA_SIG_get0_r(sig), to, width) != width ||
        BN_bn2binpad(ECDSA_SIG_get0_s(sig), to + width, width) != width)
        return pst_fail_ossl(err, PST_EINTERNAL, "reading an ECDSA signature");
    return PST_OK;
}

int pst_jws_sign(const struct pst_key_handle *h, const void *signing_input, size_t len,
                 struct pst_buf *ret_raw_sig, struct pst_err *err)
{
    uint8_t sig[SIG_MAX], raw[2 * WIDTH_MAX];
    size_t sig_len = sizeof sig;
    int width = pst_key_width(h->type);
    int rc = sign(h, jws[h->type].alg, signing_input, len, sig, &sig_len, err);

    if (rc < 0)
        return rc;
    if (width == 0)
        return pst_out(ret_raw_sig, sig, sig_len, "a JWS signature", err);
    rc = pst_ecdsa_raw(sig, sig_len, width, raw, err);
    return rc < 0 ? rc : pst_out(ret_raw_sig, raw, 2 * (size_t)width, "a JWS signature", err);
}
