/* local.c - the edge's own key: the same blob as the keyring's, with key id 0. */
#include "crypto_internal.h"
#include <string.h>

struct pst_seal_key {
    struct pst_rand *rand;
    uint8_t secret[PST_AEAD_KEY];
};

int pst_seal_key_new(struct pst_seal_key **ret, const uint8_t secret[32], struct pst_rand *rand,
                     struct pst_err *err)
{
    struct pst_seal_key *key = pst_zalloc(1, sizeof *key);

    if (!key)
        return pst_fail_nomem(err, "the local key");
    key->rand = rand;
    memcpy(key->secret, secret, sizeof key->secret);
    *ret = key;
    return PST_OK;
}

void pst_seal_key_free(struct pst_seal_key *key)
{
    if (!key)
        return;
    pst_wipe(key, sizeof *key);
    pst_free(key);
}

int pst_local_seal(const struct pst_seal_key *key, const char *kind, const char *object_key,
                   const void *plain, size_t len, struct pst_buf *ret, struct pst_err *err)
{
    struct pst_blob_key with = {.id = 0, .key = key->secret, .rand = key->rand};
    char aad[PST_AAD_SIZE];
    int rc = pst_aad(aad, kind, object_key, err);

    return rc < 0 ? rc : pst_blob_seal(&with, aad, plain, len, ret, err);
}

int pst_local_unseal(const struct pst_seal_key *key, const char *kind, const char *object_key,
                     const void *blob, size_t len, struct pst_secret *ret, struct pst_err *err)
{
    char aad[PST_AAD_SIZE];
    uint32_t id;
    int rc;

    rc = pst_aad(aad, kind, object_key, err);
    if (rc == PST_OK)
        rc = pst_blob_key_id(blob, len, &id, err);
    if (rc < 0)
        return rc;
    if (id != 0)
        return pst_fail(err, PST_EINTERNAL, "%s is sealed under key %08x, the local key is 0", aad,
                        id);
    return pst_blob_open(key->secret, aad, blob, len, ret, err);
}
