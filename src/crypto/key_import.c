/* key_import.c - taking in a private key that somebody else made. */
#include "crypto_internal.h"
#include <openssl/core_names.h>
#include <openssl/err.h>
#include <string.h>

enum { KEY_MAX = 64 * 1024, EXPONENT_BITS_MAX = 64 };

static EVP_PKEY *from_pkcs8(const unsigned char **at, size_t len)
{
    auto_(PKCS8_PRIV_KEY_INFO_free) PKCS8_PRIV_KEY_INFO *p8 =
        d2i_PKCS8_PRIV_KEY_INFO(NULL, at, (long)len);

    return p8 ? EVP_PKCS82PKEY(p8) : NULL;
}

static EVP_PKEY *from_ec(const unsigned char **at, size_t len)
{
    return d2i_PrivateKey(EVP_PKEY_EC, NULL, at, (long)len);
}

static EVP_PKEY *from_rsa(const unsigned char **at, size_t len)
{
    return d2i_PrivateKey(EVP_PKEY_RSA, NULL, at, (long)len);
}

static const struct {
    const char *label;
    EVP_PKEY *(*decode)(const unsigned char **at, size_t len);
} forms[] = {
    {"PRIVATE KEY", from_pkcs8},
    {"EC PRIVATE KEY", from_ec},
    {"RSA PRIVATE KEY", from_rsa},
};

static bool is_encrypted_der(const uint8_t *der, size_t len)
{
    const unsigned char *at = der;
    auto_(X509_SIG_free) X509_SIG *sig = d2i_X509_SIG(NULL, &at, (long)len);

    ERR_clear_error();
    return sig && at == der + len;
}

int pst_pkey_from_der(const char *label, const uint8_t *der, size_t len, EVP_PKEY **ret,
                      struct pst_err *err)
{
    for (size_t i = 0; i < PST_ARRAY_N(forms); i++) {
        const unsigned char *at = der;
        auto_(EVP_PKEY_free) EVP_PKEY *pkey = NULL;

        if (label && strcmp(label, forms[i].label) != 0)
            continue;
        pkey = forms[i].decode(&at, len);
        if (pkey && at == der + len) {
            *ret = pst_take(&pkey);
            return PST_OK;
        }
        if (pst_fail_ossl(err, PST_REFUSED, "not a private key") == PST_ENOMEM)
            return PST_ENOMEM;
    }
    if (!label && is_encrypted_der(der, len))
        return pst_refuse(err, "key_encrypted",
                          "the private key is protected by a passphrase: remove it with "
                          "\"openssl pkey\" and send the key without one");
    return pst_refuse(err, "key_format", "the private key is damaged or of an unknown format");
}

/* The label of a private key, whether or not we can read it. */
static bool is_key_label(const char *label)
{
    return pst_streq(label, "PRIVATE KEY") || pst_str_ends(label, " PRIVATE KEY");
}

static int from_block(const struct pst_pem_block *b, EVP_PKEY **ret, struct pst_err *err)
{
    bool known = false;

    if (b->has_headers || pst_streq(b->label, "ENCRYPTED PRIVATE KEY"))
        return pst_refuse(err, "key_encrypted",
                          "the private key is protected by a passphrase: remove it with "
                          "\"openssl pkey\" and send the key without one");
    for (size_t i = 0; i < PST_ARRAY_N(forms); i++)
        known |= pst_streq(b->label, forms[i].label);
    if (!known)
        return pst_refuse(err, "key_type",
                          "a key in a block \"%s\" is not served: use RSA or ECDSA", b->label);
    return pst_pkey_from_der(b->label, (const uint8_t *)pst_buf_cstr(&b->der), b->der.len, ret,
                             err);
}

static int from_pem(const char *text, size_t len, EVP_PKEY **ret, struct pst_err *err)
{
    auto_pem_block struct pst_pem_block block = {0};
    auto_(EVP_PKEY_free) EVP_PKEY *pkey = NULL;
    size_t at = 0;
    int rc;

    while ((rc = pst_pem_next(text, len, &at, KEY_MAX, &block, err)) == PST_OK) {
        if (!is_key_label(block.label))
            continue;
        if (pkey)
            return pst_refuse(err, "key_format", "there is more than one private key");
        rc = from_block(&block, &pkey, err);
        if (rc != PST_OK)
            return rc;
    }
    if (rc == PST_REFUSED)
        return pst_name_problem(err, "key_format", rc);
    if (rc < 0)
        return rc;
    if (!pkey)
        return pst_refuse(err, "key_format", "there is no \"-----BEGIN PRIVATE KEY-----\" block");
    *ret = pst_take(&pkey);
    return PST_OK;
}

/* A long public exponent only serves to make verifying slow. */
static bool exponent_ok(const EVP_PKEY *pkey)
{
    auto_(BN_clear_free) BIGNUM *e = NULL;

    return EVP_PKEY_get_bn_param(pkey, OSSL_PKEY_PARAM_RSA_E, &e) == 1 &&
           BN_num_bits(e) <= EXPONENT_BITS_MAX;
}

/* Type and size first: checking a huge key takes long. */
static int judge(EVP_PKEY *pkey, struct pst_err *err)
{
    auto_(EVP_PKEY_CTX_free) EVP_PKEY_CTX *ctx = NULL;
    enum pst_key_type type = pst_pkey_type(pkey);
    int bits = EVP_PKEY_get_bits(pkey);

    if (type == PST_KEY_OTHER)
        return pst_refuse(err, "key_type",
                          "the key's type is not served: use RSA, or ECDSA on P-256 or P-384");
    if (type == PST_KEY_RSA && (bits < PST_RSA_BITS_MIN || bits > PST_RSA_BITS_MAX))
        return pst_refuse(err, "key_size", "the RSA key has %d bits: use %d to %d", bits,
                          PST_RSA_BITS_MIN, PST_RSA_BITS_MAX);
    if (type == PST_KEY_RSA && !exponent_ok(pkey))
        return pst_refuse(err, "key_size", "the RSA key's public exponent is too long: use 65537");

    ctx = EVP_PKEY_CTX_new_from_pkey(NULL, pkey, NULL);
    if (!ctx)
        return pst_fail_ossl(err, PST_EINTERNAL, "checking a private key");
    if (EVP_PKEY_check(ctx) != 1) {
        int rc = pst_fail_ossl(err, PST_REFUSED, "the private key contradicts itself");

        return rc == PST_REFUSED ? pst_name_problem(err, "key_format", rc) : rc;
    }
    return PST_OK;
}

int pst_key_import(struct pst_keyring *kr, const void *in, size_t len, const char *kind,
                   const char *object_id, struct pst_buf *ret_sealed, struct pst_key_info *ret_info,
                   struct pst_err *err)
{
    auto_(EVP_PKEY_free) EVP_PKEY *pkey = NULL;
    struct pst_key_info info;
    int rc;

    if (len == 0 || len > KEY_MAX)
        return pst_refuse(err, "key_format", "a private key has 1 to %d bytes, not %zu", KEY_MAX,
                          len);
    if (memmem(in, len, "-----BEGIN ", 11))
        rc = from_pem(in, len, &pkey, err);
    else
        rc = pst_pkey_from_der(NULL, in, len, &pkey, err);
    if (rc == PST_OK)
        rc = judge(pkey, err);
    if (rc == PST_OK)
        rc = pst_pkey_info(pkey, &info, err);
    if (rc == PST_OK)
        rc = pst_pkey_seal(kr, pkey, kind, object_id, ret_sealed, err);
    if (rc == PST_OK)
        *ret_info = info;
    return rc;
}
