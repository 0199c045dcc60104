/* outside.c - SHA-1, MACs by name, and signatures with a key in PEM. */
#include "crypto_internal.h"
#include <postern/crypto_outside.h>
#include <string.h>

_Static_assert(PST_HMAC_MAX >= EVP_MAX_MD_SIZE, "a MAC must fit");

int pst_sha1_hex(const void *data, size_t len, char ret[PST_SHA1_HEX_SIZE], struct pst_err *err)
{
    uint8_t digest[EVP_MAX_MD_SIZE];

    if (EVP_Digest(data, len, digest, NULL, EVP_sha1(), NULL) != 1)
        return pst_fail_ossl(err, PST_EINTERNAL, "SHA-1");
    pst_hex(ret, digest, 20);
    return PST_OK;
}

int pst_hmac(const char *digest, const struct pst_secret *key, const void *data, size_t len,
             uint8_t ret[PST_HMAC_MAX], size_t *ret_len, struct pst_err *err)
{
    static const char *const known[] = {"md5", "sha1", "sha224", "sha256", "sha384", "sha512"};
    uint8_t mac[EVP_MAX_MD_SIZE];
    size_t n = 0;

    for (size_t i = 0; i < PST_ARRAY_N(known); i++) {
        if (!pst_streq(digest, known[i]))
            continue;
        /* An empty key must not look like "no key was given". */
        const void *bytes = key->len > 0 ? (const void *)key->data : "";
        if (!EVP_Q_mac(NULL, "HMAC", NULL, known[i], NULL, bytes, key->len, data, len, mac,
                       sizeof mac, &n))
            return pst_fail_ossl(err, PST_EINTERNAL, "HMAC");
        memcpy(ret, mac, n);
        *ret_len = n;
        pst_wipe(mac, sizeof mac);
        return PST_OK;
    }
    return pst_fail(err, PST_EINPUT, "%.20s is not a digest that is known here",
                    digest ? digest : "(none)");
}

int pst_rs256_pem(const struct pst_secret *pem, const void *data, size_t len,
                  struct pst_buf *ret_raw_sig, struct pst_err *err)
{
    auto_pem_block struct pst_pem_block block = {0};
    auto_(EVP_PKEY_free) EVP_PKEY *pkey = NULL;
    size_t at = 0;

    int rc = pst_pem_next((const char *)pem->data, pem->len, &at, 16 * 1024, &block, err);
    if (rc == PST_NOTFOUND)
        return pst_fail(err, PST_REFUSED, "there is no PEM block with a private key");
    if (rc != PST_OK)
        return rc;
    if (block.has_headers)
        return pst_fail(err, PST_REFUSED, "the private key is protected by a passphrase");
    rc = pst_pkey_from_der(block.label, (const uint8_t *)block.der.data, block.der.len, &pkey, err);
    if (rc != PST_OK)
        return rc < 0 && rc != PST_EINPUT
                   ? rc
                   : pst_fail(err, PST_REFUSED, "the private key cannot be read");
    int bits = EVP_PKEY_get_bits(pkey);
    if (pst_pkey_type(pkey) != PST_KEY_RSA || bits < PST_RSA_BITS_MIN || bits > PST_RSA_BITS_MAX)
        return pst_fail(err, PST_REFUSED, "the private key is not RSA with %d to %d bits",
                        PST_RSA_BITS_MIN, PST_RSA_BITS_MAX);
    struct pst_key_handle h = {.pkey = pkey, .type = PST_KEY_RSA};
    return pst_key_handle_sign(&h, PST_SIGN_RSA_PKCS1_SHA256, data, len, ret_raw_sig, err);
}
