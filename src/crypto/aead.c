/* aead.c - AES-256-GCM, and the blob that keyring and local key share. */
#include "crypto_internal.h"
#include <stdatomic.h>
#include <string.h>

enum { BLOB_VERSION = 1, AT_KEY_ID = 1, AT_NONCE = 5, AT_TEXT = 17 };

/* Fetched once: a look-up by name costs more than sealing a small secret.  Several threads may
 * fetch at the same time; one wins. */
static const EVP_CIPHER *cipher(void)
{
    static _Atomic(EVP_CIPHER *) cached;
    EVP_CIPHER *have = atomic_load(&cached), *none = NULL;

    if (have)
        return have;
    have = EVP_CIPHER_fetch(NULL, "AES-256-GCM", NULL);
    if (have && !atomic_compare_exchange_strong(&cached, &none, have)) {
        EVP_CIPHER_free(have);
        have = none;
    }
    return have;
}

static EVP_CIPHER_CTX *start(const struct pst_aead *a, int encrypt)
{
    auto_(EVP_CIPHER_CTX_free) EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new();
    int n;

    if (!ctx || !cipher())
        return NULL;
    if (EVP_CipherInit_ex2(ctx, cipher(), a->key, a->nonce, encrypt, NULL) != 1 ||
        EVP_CipherUpdate(ctx, NULL, &n, (const uint8_t *)a->aad, (int)strlen(a->aad)) != 1)
        return NULL;
    return pst_take(&ctx);
}

int pst_aead_seal(const struct pst_aead *a, const void *plain, size_t len, uint8_t *out,
                  struct pst_err *err)
{
    auto_(EVP_CIPHER_CTX_free) EVP_CIPHER_CTX *ctx = NULL;
    int n = 0, last = 0;

    if (len > PST_SEAL_MAX)
        return pst_fail(err, PST_EINPUT, "%zu bytes are too many to be sealed", len);
    ctx = start(a, 1);
    if (!ctx || (len > 0 && EVP_CipherUpdate(ctx, out, &n, plain, (int)len) != 1) ||
        EVP_CipherFinal_ex(ctx, out + n, &last) != 1 ||
        EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_AEAD_GET_TAG, PST_AEAD_TAG, out + len) != 1)
        return pst_fail_ossl(err, PST_EINTERNAL, "sealing");
    return PST_OK;
}

int pst_aead_open(const struct pst_aead *a, const uint8_t *in, size_t len, struct pst_secret *ret,
                  struct pst_err *err)
{
    auto_(EVP_CIPHER_CTX_free) EVP_CIPHER_CTX *ctx = NULL;
    auto_secret struct pst_secret plain = {0};
    uint8_t tag[PST_AEAD_TAG];
    int n = 0, last = 0;

    if (len < PST_AEAD_TAG || len - PST_AEAD_TAG > PST_SEAL_MAX)
        return pst_fail(err, PST_REFUSED, "a sealed text of %zu bytes cannot be", len);
    len -= PST_AEAD_TAG;
    memcpy(tag, in + len, sizeof tag);

    plain.data = pst_alloc(len + 1);
    if (!plain.data)
        return pst_fail_nomem(err, "an unsealed secret");
    plain.len = len;
    plain.data[len] = 0;

    ctx = start(a, 0);
    if (!ctx || EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_AEAD_SET_TAG, sizeof tag, tag) != 1 ||
        (len > 0 && EVP_CipherUpdate(ctx, plain.data, &n, in, (int)len) != 1))
        return pst_fail_ossl(err, PST_EINTERNAL, "unsealing");
    if (EVP_CipherFinal_ex(ctx, plain.data + n, &last) != 1)
        return pst_fail_ossl(err, PST_REFUSED, "the sealed text does not authenticate");

    pst_secret_deinit(ret);
    *ret = plain;
    plain = (struct pst_secret){0};
    return PST_OK;
}

int pst_aad(char to[PST_AAD_SIZE], const char *kind, const char *id, struct pst_err *err)
{
    int n;

    if (!kind || !*kind || strchr(kind, '/') || !id || !*id)
        return pst_fail(err, PST_EINTERNAL, "a sealed object needs a kind without '/' and an id");
    n = snprintf(to, PST_AAD_SIZE, "%s/%s", kind, id);
    if (n < 0 || n >= PST_AAD_SIZE)
        return pst_fail(err, PST_EINTERNAL, "kind and id of a sealed object are too long");
    return PST_OK;
}

void pst_put_u32(uint8_t *to, uint32_t v)
{
    for (int i = 0; i < 4; i++)
        to[i] = (uint8_t)(v >> (8 * i));
}

uint32_t pst_get_u32(const uint8_t *from)
{
    uint32_t v = 0;

    for (int i = 3; i >= 0; i--)
        v = v << 8 | from[i];
    return v;
}

int pst_blob_seal(const struct pst_blob_key *key, const char *aad, const void *plain, size_t len,
                  struct pst_buf *ret, struct pst_err *err)
{
    auto_(pst_free) uint8_t *blob = NULL;
    struct pst_aead a = {.key = key->key, .aad = aad};
    int rc;

    if (len > PST_SEAL_MAX)
        return pst_fail(err, PST_EINPUT, "%zu bytes are too many to be sealed", len);
    blob = pst_alloc(PST_SEAL_OVERHEAD + len);
    if (!blob)
        return pst_fail_nomem(err, "a sealed blob");

    blob[0] = BLOB_VERSION;
    pst_put_u32(blob + AT_KEY_ID, key->id);
    pst_rand_fill(key->rand, blob + AT_NONCE, PST_AEAD_NONCE);
    a.nonce = blob + AT_NONCE;
    rc = pst_aead_seal(&a, plain, len, blob + AT_TEXT, err);
    if (rc < 0)
        return rc;
    return pst_out(ret, blob, PST_SEAL_OVERHEAD + len, "a sealed blob", err);
}

int pst_blob_key_id(const void *blob, size_t len, uint32_t *ret, struct pst_err *err)
{
    const uint8_t *b = blob;

    if (len < PST_SEAL_OVERHEAD)
        return pst_fail(err, PST_EINTERNAL, "a sealed blob is cut short at %zu bytes", len);
    if (b[0] != BLOB_VERSION)
        return pst_fail(err, PST_EINTERNAL, "a sealed blob has version %u, known is %d", b[0],
                        BLOB_VERSION);
    *ret = pst_get_u32(b + AT_KEY_ID);
    return PST_OK;
}

int pst_blob_open(const uint8_t *key, const char *aad, const void *blob, size_t len,
                  struct pst_secret *ret, struct pst_err *err)
{
    const uint8_t *b = blob;
    struct pst_aead a = {.key = key, .nonce = b + AT_NONCE, .aad = aad};
    int rc = pst_aead_open(&a, b + AT_TEXT, len - AT_TEXT, ret, err);

    if (rc == PST_REFUSED)
        return pst_fail(err, PST_EINTERNAL,
                        "the sealed blob of %s is damaged or belongs to something else", aad);
    return rc;
}
