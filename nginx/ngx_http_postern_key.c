/*
 * Sealed blobs and private keys.  The local key was read by the master; each worker keeps one
 * cipher context with the key schedule in it, so that opening a blob costs 0.2 us.
 */
#include "ngx_http_postern.h"

#include <openssl/core_names.h>
#include <openssl/x509.h>

static EVP_CIPHER_CTX *opener;
static EVP_PKEY_CTX *ec_maker; /* kept: making one costs as much as the key */

enum { NONCE = 12, KEY_ID_AT = 1, NONCE_AT = 5 };

ngx_int_t postern_key_init(const u_char *key, ngx_log_t *log)
{
    opener = EVP_CIPHER_CTX_new();
    ec_maker = EVP_PKEY_CTX_new_from_name(NULL, "EC", NULL);
    if (opener == NULL || ec_maker == NULL || EVP_PKEY_fromdata_init(ec_maker) != 1 ||
        EVP_DecryptInit_ex(opener, EVP_aes_256_gcm(), NULL, key, NULL) != 1) {
        ngx_log_error(NGX_LOG_ALERT, log, 0, "postern: cannot set up AES-256-GCM and EC keys");
        postern_key_deinit();
        return NGX_ERROR;
    }
    return NGX_OK;
}

void postern_key_deinit(void)
{
    EVP_CIPHER_CTX_free(opener);
    EVP_PKEY_CTX_free(ec_maker);
    opener = NULL;
    ec_maker = NULL;
}

ssize_t postern_unseal(const u_char *sealed, size_t sealed_len, const u_char *aad, size_t aad_len,
                       u_char *to)
{
    static const u_char local_key_id[4] = {0, 0, 0, 0};
    size_t len;
    int n;

    if (opener == NULL || sealed_len < PST_REPLICA_SEAL_OVERHEAD ||
        sealed_len > PST_REPLICA_SEALED_MAX || sealed[0] != PST_REPLICA_SEAL_VERSION ||
        ngx_memcmp(sealed + KEY_ID_AT, local_key_id, sizeof local_key_id) != 0)
        return NGX_ERROR;
    len = sealed_len - PST_REPLICA_SEAL_OVERHEAD;
    if (EVP_DecryptInit_ex(opener, NULL, NULL, NULL, sealed + NONCE_AT) == 1 &&
        EVP_DecryptUpdate(opener, NULL, &n, aad, (int)aad_len) == 1 &&
        EVP_DecryptUpdate(opener, to, &n, sealed + PST_REPLICA_SEAL_HEAD, (int)len) == 1 &&
        EVP_CIPHER_CTX_ctrl(opener, EVP_CTRL_AEAD_SET_TAG, PST_REPLICA_SEAL_TAG,
                            (void *)(sealed + sealed_len - PST_REPLICA_SEAL_TAG)) == 1 &&
        EVP_DecryptFinal_ex(opener, to + n, &n) == 1)
        return (ssize_t)len;
    ERR_clear_error();
    ngx_explicit_memzero(to, len);
    return NGX_ERROR;
}

/* Scalar (big-endian) and uncompressed point. */
static EVP_PKEY *load_ec(const char *group, size_t scalar_len, const u_char *plain, size_t len)
{
    EVP_PKEY *key = NULL;
    u_char scalar[66];

    if (ec_maker == NULL || len != scalar_len + 1 + 2 * scalar_len || scalar_len > sizeof scalar)
        return NULL;
    /* A parameter's integer lies in the processor's byte order. */
    for (size_t i = 0; i < scalar_len; i++)
#if (NGX_HAVE_LITTLE_ENDIAN)
        scalar[i] = plain[scalar_len - 1 - i];
#else
        scalar[i] = plain[i];
#endif
    OSSL_PARAM params[] = {
        OSSL_PARAM_construct_utf8_string(OSSL_PKEY_PARAM_GROUP_NAME, (char *)group, 0),
        OSSL_PARAM_construct_octet_string(OSSL_PKEY_PARAM_PUB_KEY, (void *)(plain + scalar_len),
                                          1 + 2 * scalar_len),
        OSSL_PARAM_construct_BN(OSSL_PKEY_PARAM_PRIV_KEY, scalar, scalar_len),
        OSSL_PARAM_construct_end(),
    };
    if (EVP_PKEY_fromdata(ec_maker, &key, EVP_PKEY_KEYPAIR, params) != 1)
        key = NULL;
    ngx_explicit_memzero(scalar, sizeof scalar);
    return key;
}

EVP_PKEY *postern_key_load(ngx_uint_t type, const u_char *plain, size_t len)
{
    const u_char *at = plain;
    EVP_PKEY *key = NULL;

    switch (type) {
    case PST_REPLICA_P256:
        key = load_ec("prime256v1", 32, plain, len);
        break;
    case PST_REPLICA_P384:
        key = load_ec("secp384r1", 48, plain, len);
        break;
    case PST_REPLICA_RSA:
        key = d2i_PrivateKey(EVP_PKEY_RSA, NULL, &at, (long)len);
        break;
    case PST_REPLICA_P521:
    case PST_REPLICA_ED25519:
        key = d2i_AutoPrivateKey(NULL, &at, (long)len);
        break;
    default:
        break;
    }
    if (key == NULL)
        ERR_clear_error();
    return key;
}
