/* key_raw.c - keys as raw parts: what replicas hold, because decoding PKCS#8 is what a cold
 * handshake costs. */
#include "crypto_internal.h"
#include <openssl/core_names.h>
#include <string.h>

enum { WIDTH_MAX = 66 };

/* One integer of a key at fixed width. */
static bool get_bn(const EVP_PKEY *pkey, const char *name, uint8_t *to, int width)
{
    auto_(BN_clear_free) BIGNUM *bn = NULL;

    return EVP_PKEY_get_bn_param(pkey, name, &bn) == 1 && BN_bn2binpad(bn, to, width) == width;
}

int pst_pkey_point(const EVP_PKEY *pkey, uint8_t *x, uint8_t *y, int width, struct pst_err *err)
{
    /* By coordinates: the point as a whole would come compressed from a key imported so. */
    if (!get_bn(pkey, OSSL_PKEY_PARAM_EC_PUB_X, x, width) ||
        !get_bn(pkey, OSSL_PKEY_PARAM_EC_PUB_Y, y, width))
        return pst_fail_ossl(err, PST_EINTERNAL, "reading a public point");
    return PST_OK;
}

/* scalar || 04 || x || y */
static int ec_to_raw(const EVP_PKEY *pkey, int width, struct pst_secret *ret, struct pst_err *err)
{
    uint8_t raw[3 * WIDTH_MAX + 1];
    uint8_t *point = raw + width;
    int rc;

    point[0] = POINT_CONVERSION_UNCOMPRESSED;
    rc = pst_pkey_point(pkey, point + 1, point + 1 + width, width, err);
    if (rc < 0)
        return rc;
    if (get_bn(pkey, OSSL_PKEY_PARAM_PRIV_KEY, raw, width))
        rc = pst_secret_set(ret, raw, 3 * (size_t)width + 1, err);
    else
        rc = pst_fail_ossl(err, PST_EINTERNAL, "reading a private scalar");
    pst_wipe(raw, sizeof raw);
    return rc;
}

static int pkcs8(const EVP_PKEY *pkey, unsigned char **ret_der)
{
    auto_(PKCS8_PRIV_KEY_INFO_free) PKCS8_PRIV_KEY_INFO *p8 = EVP_PKEY2PKCS8(pkey);

    return p8 ? i2d_PKCS8_PRIV_KEY_INFO(p8, ret_der) : -1;
}

int pst_raw_from_pkey(const EVP_PKEY *pkey, struct pst_secret *ret, struct pst_err *err)
{
    enum pst_key_type type = pst_pkey_type(pkey);
    unsigned char *der = NULL;
    int len, rc;

    if (type == PST_KEY_OTHER)
        return pst_fail(err, PST_EINTERNAL, "a key of this type cannot be stored");
    if (type == PST_KEY_P256 || type == PST_KEY_P384)
        return ec_to_raw(pkey, pst_key_width(type), ret, err);

    len = type == PST_KEY_RSA ? i2d_PrivateKey(pkey, &der) : pkcs8(pkey, &der);
    if (len <= 0)
        return pst_fail_ossl(err, PST_EINTERNAL, "writing a private key");
    rc = pst_secret_set(ret, der, (size_t)len, err);
    OPENSSL_clear_free(der, (size_t)len);
    return rc;
}

static EVP_PKEY *ec_from_raw(const char *group, const uint8_t *raw, int width)
{
    auto_(OSSL_PARAM_BLD_free) OSSL_PARAM_BLD *bld = OSSL_PARAM_BLD_new();
    auto_(BN_clear_free) BIGNUM *scalar = BN_secure_new();
    auto_(OSSL_PARAM_free) OSSL_PARAM *params = NULL;
    auto_(EVP_PKEY_CTX_free) EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_name(NULL, "EC", NULL);
    EVP_PKEY *pkey = NULL;

    if (!bld || !scalar || !ctx || !BN_bin2bn(raw, width, scalar))
        return NULL;
    if (OSSL_PARAM_BLD_push_utf8_string(bld, OSSL_PKEY_PARAM_GROUP_NAME, group, 0) != 1 ||
        OSSL_PARAM_BLD_push_octet_string(bld, OSSL_PKEY_PARAM_PUB_KEY, raw + width,
                                         2 * (size_t)width + 1) != 1 ||
        OSSL_PARAM_BLD_push_BN_pad(bld, OSSL_PKEY_PARAM_PRIV_KEY, scalar, (size_t)width) != 1)
        return NULL;
    params = OSSL_PARAM_BLD_to_param(bld);
    if (!params || EVP_PKEY_fromdata_init(ctx) != 1 ||
        EVP_PKEY_fromdata(ctx, &pkey, EVP_PKEY_KEYPAIR, params) != 1)
        return NULL;
    return pkey;
}

int pst_raw_to_pkey(enum pst_key_type type, const uint8_t *raw, size_t len, EVP_PKEY **ret,
                    struct pst_err *err)
{
    EVP_PKEY *pkey = NULL;
    int width = pst_key_width(type), rc;

    if (type == PST_KEY_P256 || type == PST_KEY_P384) {
        if (len != 3 * (size_t)width + 1)
            return pst_fail(err, PST_EINTERNAL, "a stored %s key has %zu bytes",
                            pst_key_type_name(type), len);
        pkey = ec_from_raw(type == PST_KEY_P256 ? "P-256" : "P-384", raw, width);
        if (!pkey)
            return pst_fail_ossl(err, PST_EINTERNAL, "loading a private key");
        *ret = pkey;
        return PST_OK;
    }

    rc = pst_pkey_from_der(type == PST_KEY_RSA ? "RSA PRIVATE KEY" : "PRIVATE KEY", raw, len, &pkey,
                           err);
    if (rc == PST_REFUSED)
        return pst_fail(err, PST_EINTERNAL, "a stored private key is damaged");
    if (rc < 0)
        return rc;
    *ret = pkey;
    return PST_OK;
}
