/* box.c - secrets on the way to the holder of an X25519 key. */
#include "crypto_internal.h"
#include <openssl/core_names.h>
#include <string.h>

enum { BOX_VERSION = 1, X25519_LEN = 32, AT_EPHEMERAL = 1, AT_BOX_TEXT = 33 };

static const char info[] = "postern box v1";

/* A key seals one box only, because the ephemeral key goes into it. */
static const uint8_t zero_nonce[PST_AEAD_NONCE];

static int keypair(EVP_PKEY **ret, uint8_t public_key[X25519_LEN], struct pst_err *err)
{
    auto_(EVP_PKEY_free) EVP_PKEY *pkey = EVP_PKEY_Q_keygen(NULL, NULL, "X25519");
    size_t len = X25519_LEN;

    if (!pkey || EVP_PKEY_get_raw_public_key(pkey, public_key, &len) != 1 || len != X25519_LEN)
        return pst_fail_ossl(err, PST_EINTERNAL, "making an X25519 key");
    *ret = pst_take(&pkey);
    return PST_OK;
}

static int secret_to_pkey(const struct pst_secret *secret, EVP_PKEY **ret,
                          uint8_t public_key[X25519_LEN], struct pst_err *err)
{
    auto_(EVP_PKEY_free) EVP_PKEY *pkey = NULL;
    size_t len = X25519_LEN;

    if (secret->len != X25519_LEN)
        return pst_fail(err, PST_EINTERNAL, "an X25519 secret has 32 bytes, this one %zu",
                        secret->len);
    pkey = EVP_PKEY_new_raw_private_key_ex(NULL, "X25519", NULL, secret->data, secret->len);
    if (!pkey || EVP_PKEY_get_raw_public_key(pkey, public_key, &len) != 1)
        return pst_fail_ossl(err, PST_EINTERNAL, "loading an X25519 key");
    *ret = pst_take(&pkey);
    return PST_OK;
}

int pst_box_keypair(struct pst_secret *ret_secret, uint8_t ret_public[32], struct pst_err *err)
{
    auto_(EVP_PKEY_free) EVP_PKEY *pkey = NULL;
    uint8_t secret[X25519_LEN], public_key[X25519_LEN];
    size_t len = sizeof secret;
    int rc;

    rc = keypair(&pkey, public_key, err);
    if (rc < 0)
        return rc;
    if (EVP_PKEY_get_raw_private_key(pkey, secret, &len) != 1)
        return pst_fail_ossl(err, PST_EINTERNAL, "making an X25519 key");
    rc = pst_secret_set(ret_secret, secret, len, err);
    pst_wipe(secret, sizeof secret);
    if (rc == PST_OK)
        memcpy(ret_public, public_key, sizeof public_key);
    return rc;
}

int pst_box_public(const struct pst_secret *secret, uint8_t ret_public[32], struct pst_err *err)
{
    auto_(EVP_PKEY_free) EVP_PKEY *pkey = NULL;
    uint8_t public_key[X25519_LEN];
    int rc = secret_to_pkey(secret, &pkey, public_key, err);

    if (rc == PST_OK)
        memcpy(ret_public, public_key, sizeof public_key);
    return rc;
}

/* PST_REFUSED: the peer's key is a point of small order. */
static int agree(EVP_PKEY *own, const uint8_t peer_key[X25519_LEN], uint8_t shared[X25519_LEN],
                 struct pst_err *err)
{
    auto_(EVP_PKEY_free) EVP_PKEY *peer =
        EVP_PKEY_new_raw_public_key_ex(NULL, "X25519", NULL, peer_key, X25519_LEN);
    auto_(EVP_PKEY_CTX_free) EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_pkey(NULL, own, NULL);
    size_t len = X25519_LEN;

    if (!peer || !ctx || EVP_PKEY_derive_init(ctx) != 1 || EVP_PKEY_derive_set_peer(ctx, peer) != 1)
        return pst_fail_ossl(err, PST_EINTERNAL, "preparing an X25519 exchange");
    if (EVP_PKEY_derive(ctx, shared, &len) != 1)
        return pst_fail_ossl(err, PST_REFUSED, "the X25519 public key is not usable");
    return PST_OK;
}

static int expand(uint8_t shared[X25519_LEN], const uint8_t ephemeral[X25519_LEN],
                  const uint8_t recipient[X25519_LEN], uint8_t key[PST_AEAD_KEY],
                  struct pst_err *err)
{
    auto_(EVP_KDF_free) EVP_KDF *kdf = EVP_KDF_fetch(NULL, "HKDF", NULL);
    auto_(EVP_KDF_CTX_free) EVP_KDF_CTX *ctx = kdf ? EVP_KDF_CTX_new(kdf) : NULL;
    char digest[] = "SHA256", text[sizeof info];
    uint8_t salt[2 * X25519_LEN];

    memcpy(salt, ephemeral, X25519_LEN);
    memcpy(salt + X25519_LEN, recipient, X25519_LEN);
    memcpy(text, info, sizeof info);
    const OSSL_PARAM params[] = {
        OSSL_PARAM_construct_utf8_string(OSSL_KDF_PARAM_DIGEST, digest, 0),
        OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_KEY, shared, X25519_LEN),
        OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_SALT, salt, sizeof salt),
        OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_INFO, text, sizeof text - 1),
        OSSL_PARAM_construct_end(),
    };
    if (!ctx || EVP_KDF_derive(ctx, key, PST_AEAD_KEY, params) != 1)
        return pst_fail_ossl(err, PST_EINTERNAL, "deriving a box key");
    return PST_OK;
}

/* The key of one box.  `own` is the secret half that is held here, `peer_key` the other side's
 * public key. */
static int box_key(EVP_PKEY *own, const uint8_t *peer_key, const uint8_t *ephemeral,
                   const uint8_t *recipient, uint8_t key[PST_AEAD_KEY], struct pst_err *err)
{
    uint8_t shared[X25519_LEN];
    int rc = agree(own, peer_key, shared, err);

    if (rc == PST_OK)
        rc = expand(shared, ephemeral, recipient, key, err);
    else if (rc == PST_REFUSED)
        rc = pst_fail(err, PST_EINPUT, "the X25519 public key is a point of small order");
    pst_wipe(shared, sizeof shared);
    return rc;
}

int pst_box_seal(const uint8_t public_key[32], const char *aad, const void *plain, size_t len,
                 struct pst_buf *ret, struct pst_err *err)
{
    auto_(EVP_PKEY_free) EVP_PKEY *ephemeral = NULL;
    auto_(pst_free) uint8_t *blob = NULL;
    uint8_t key[PST_AEAD_KEY];
    struct pst_aead a = {.key = key, .nonce = zero_nonce, .aad = aad};
    int rc;

    if (len > PST_SEAL_MAX)
        return pst_fail(err, PST_EINPUT, "%zu bytes are too many for a box", len);
    blob = pst_alloc(PST_BOX_OVERHEAD + len);
    if (!blob)
        return pst_fail_nomem(err, "a box");

    blob[0] = BOX_VERSION;
    rc = keypair(&ephemeral, blob + AT_EPHEMERAL, err);
    if (rc == PST_OK)
        rc = box_key(ephemeral, public_key, blob + AT_EPHEMERAL, public_key, key, err);
    if (rc == PST_OK)
        rc = pst_aead_seal(&a, plain, len, blob + AT_BOX_TEXT, err);
    pst_wipe(key, sizeof key);
    if (rc < 0)
        return rc;
    return pst_out(ret, blob, PST_BOX_OVERHEAD + len, "a box", err);
}

int pst_box_open(const struct pst_secret *secret, const char *aad, const void *blob, size_t len,
                 struct pst_secret *ret, struct pst_err *err)
{
    auto_(EVP_PKEY_free) EVP_PKEY *own = NULL;
    const uint8_t *b = blob;
    uint8_t key[PST_AEAD_KEY], recipient[X25519_LEN];
    struct pst_aead a = {.key = key, .nonce = zero_nonce, .aad = aad};
    int rc;

    if (len < PST_BOX_OVERHEAD || b[0] != BOX_VERSION)
        return pst_fail(err, PST_EINPUT, "the box for %s is cut short or of an unknown version",
                        aad);
    rc = secret_to_pkey(secret, &own, recipient, err);
    if (rc == PST_OK)
        rc = box_key(own, b + AT_EPHEMERAL, b + AT_EPHEMERAL, recipient, key, err);
    if (rc == PST_OK)
        rc = pst_aead_open(&a, b + AT_BOX_TEXT, len - AT_BOX_TEXT, ret, err);
    pst_wipe(key, sizeof key);
    if (rc == PST_REFUSED)
        return pst_fail(err, PST_EINPUT, "the box for %s is damaged, or made for another key", aad);
    return rc;
}
