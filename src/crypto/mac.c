/* mac.c - digests and HMAC. */
#include "crypto_internal.h"
#include <string.h>

int pst_sha256(const void *data, size_t len, uint8_t ret[PST_SHA256_LEN], struct pst_err *err)
{
    uint8_t digest[PST_SHA256_LEN];

    if (EVP_Digest(data, len, digest, NULL, EVP_sha256(), NULL) != 1)
        return pst_fail_ossl(err, PST_EINTERNAL, "SHA-256");
    memcpy(ret, digest, sizeof digest);
    return PST_OK;
}

int pst_sha256_hex(const void *data, size_t len, char ret[PST_SHA256_HEX_SIZE], struct pst_err *err)
{
    uint8_t digest[PST_SHA256_LEN];
    int rc = pst_sha256(data, len, digest, err);

    if (rc == PST_OK)
        pst_hex(ret, digest, sizeof digest);
    return rc;
}

/* `to` takes EVP_MAX_MD_SIZE bytes. */
static int hmac(const char *digest, const void *key, size_t key_len, const void *data, size_t len,
                uint8_t *to, size_t *ret_len, struct pst_err *err)
{
    /* An empty key must not look like "no key was given". */
    if (!EVP_Q_mac(NULL, "HMAC", NULL, digest, NULL, key_len > 0 ? key : "", key_len, data, len, to,
                   EVP_MAX_MD_SIZE, ret_len))
        return pst_fail_ossl(err, PST_EINTERNAL, "HMAC");
    return PST_OK;
}

int pst_hmac_sha256(const void *key, size_t key_len, const void *data, size_t len,
                    uint8_t ret[PST_SHA256_LEN], struct pst_err *err)
{
    uint8_t mac[EVP_MAX_MD_SIZE];
    size_t n = 0;
    int rc = hmac("SHA256", key, key_len, data, len, mac, &n, err);

    if (rc == PST_OK)
        memcpy(ret, mac, PST_SHA256_LEN);
    return rc;
}

int pst_hmac_sha256_hex(const void *key, size_t key_len, const void *data, size_t len,
                        char ret[PST_SHA256_HEX_SIZE], struct pst_err *err)
{
    uint8_t mac[PST_SHA256_LEN];
    int rc = pst_hmac_sha256(key, key_len, data, len, mac, err);

    if (rc == PST_OK)
        pst_hex(ret, mac, sizeof mac);
    return rc;
}

int pst_jws_hmac(const char *alg, const void *key, size_t key_len, const void *signing_input,
                 size_t len, struct pst_buf *ret_raw_sig, struct pst_err *err)
{
    static const struct {
        const char *alg;
        const char *digest;
    } algs[] = {{"HS256", "SHA256"}, {"HS384", "SHA384"}, {"HS512", "SHA512"}};
    uint8_t mac[EVP_MAX_MD_SIZE];
    size_t n = 0;
    int rc;

    for (size_t i = 0; i < PST_ARRAY_N(algs); i++) {
        if (!pst_streq(alg, algs[i].alg))
            continue;
        rc = hmac(algs[i].digest, key, key_len, signing_input, len, mac, &n, err);
        return rc < 0 ? rc : pst_out(ret_raw_sig, mac, n, "a JWS signature", err);
    }
    return pst_fail(err, PST_EINPUT, "the MAC algorithm %s is not HS256, HS384 or HS512",
                    alg ? alg : "(none)");
}
