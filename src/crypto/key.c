/* key.c - making keys, sealing them, opening them again. */
#include "crypto_internal.h"
#include <openssl/rsa.h>
#include <string.h>

/* A sealed key starts with `stored`; these numbers stand in databases and never change. */
static const struct {
    const char *name;
    uint8_t stored;
    int width;         /* bytes of a coordinate, 0 without */
    const char *group; /* OpenSSL's name of the curve */
} types[PST_KEY_TYPE__COUNT] = {
    [PST_KEY_P256] = {"p256", 1, 32, "prime256v1"}, [PST_KEY_P384] = {"p384", 2, 48, "secp384r1"},
    [PST_KEY_P521] = {"p521", 3, 66, "secp521r1"},  [PST_KEY_RSA] = {"rsa", 4, 0, NULL},
    [PST_KEY_ED25519] = {"ed25519", 5, 0, NULL},    [PST_KEY_OTHER] = {"other", 0, 0, NULL},
};

const char *pst_key_type_name(enum pst_key_type type)
{
    return types[(unsigned)type < PST_KEY_TYPE__COUNT ? type : PST_KEY_OTHER].name;
}

bool pst_key_type_parse(const char *name, enum pst_key_type *ret)
{
    for (enum pst_key_type t = 0; t < PST_KEY_OTHER; t++) {
        if (pst_streq(name, types[t].name)) {
            *ret = t;
            return true;
        }
    }
    return false;
}

int pst_key_width(enum pst_key_type type)
{
    return types[type].width;
}

enum pst_key_type pst_pkey_type(const EVP_PKEY *pkey)
{
    char group[64];

    if (EVP_PKEY_is_a(pkey, "RSA"))
        return PST_KEY_RSA;
    if (EVP_PKEY_is_a(pkey, "ED25519"))
        return PST_KEY_ED25519;
    if (!EVP_PKEY_is_a(pkey, "EC") || EVP_PKEY_get_group_name(pkey, group, sizeof group, NULL) != 1)
        return PST_KEY_OTHER;
    for (enum pst_key_type t = 0; t < PST_KEY_OTHER; t++)
        if (types[t].group && strcmp(group, types[t].group) == 0)
            return t;
    return PST_KEY_OTHER;
}

int pst_pkey_new(enum pst_key_type type, int rsa_bits, EVP_PKEY **ret, struct pst_err *err)
{
    EVP_PKEY *pkey;

    if ((unsigned)type >= PST_KEY_OTHER)
        return pst_fail(err, PST_EINPUT, "a key of this type cannot be made");
    if (type == PST_KEY_RSA && rsa_bits != 2048 && rsa_bits != 3072 && rsa_bits != 4096)
        return pst_fail(err, PST_EINPUT, "an RSA key has 2048, 3072 or 4096 bits, not %d",
                        rsa_bits);

    if (type == PST_KEY_RSA)
        pkey = EVP_RSA_gen((size_t)rsa_bits);
    else if (type == PST_KEY_ED25519)
        pkey = EVP_PKEY_Q_keygen(NULL, NULL, "ED25519");
    else
        pkey = EVP_EC_gen(types[type].group);
    if (!pkey)
        return pst_fail_ossl(err, PST_EINTERNAL, "making a private key");
    *ret = pkey;
    return PST_OK;
}

int pst_pkey_info(const EVP_PKEY *pkey, struct pst_key_info *ret, struct pst_err *err)
{
    unsigned char *der = NULL;
    int len = i2d_PUBKEY(pkey, &der);
    int rc = PST_OK;

    if (len <= 0)
        return pst_fail_ossl(err, PST_EINTERNAL, "writing a public key");
    if ((size_t)len > sizeof ret->spki) {
        rc = pst_fail(err, PST_EINTERNAL, "a public key of %d bytes is too long", len);
    } else {
        ret->type = pst_pkey_type(pkey);
        ret->bits = ret->type == PST_KEY_ED25519 ? 256 : EVP_PKEY_get_bits(pkey);
        memcpy(ret->spki, der, (size_t)len);
        ret->spki_len = (size_t)len;
    }
    OPENSSL_free(der);
    return rc;
}

int pst_key_stored_form(enum pst_key_type type, const struct pst_secret *raw,
                        struct pst_secret *ret, struct pst_err *err)
{
    auto_(pst_free) uint8_t *plain = pst_alloc(1 + raw->len);
    int rc;

    if (!plain)
        return pst_fail_nomem(err, "a private key");
    plain[0] = types[type].stored;
    memcpy(plain + 1, raw->data, raw->len);
    rc = pst_secret_set(ret, plain, 1 + raw->len, err);
    pst_wipe(plain, 1 + raw->len);
    return rc;
}

int pst_pkey_seal(struct pst_keyring *kr, const EVP_PKEY *pkey, const char *kind,
                  const char *object_id, struct pst_buf *ret, struct pst_err *err)
{
    auto_secret struct pst_secret raw = {0}, plain = {0};
    int rc = pst_raw_from_pkey(pkey, &raw, err);

    if (rc == PST_OK)
        rc = pst_key_stored_form(pst_pkey_type(pkey), &raw, &plain, err);
    return rc < 0 ? rc : pst_seal(kr, kind, object_id, plain.data, plain.len, ret, err);
}

int pst_key_new(struct pst_keyring *kr, enum pst_key_type type, int rsa_bits, const char *kind,
                const char *object_id, struct pst_buf *ret_sealed,
                struct pst_buf *ret_public_spki_der, struct pst_err *err)
{
    auto_(EVP_PKEY_free) EVP_PKEY *pkey = NULL;
    size_t before = ret_sealed->len;
    struct pst_key_info info;
    int rc = pst_pkey_new(type, rsa_bits, &pkey, err);

    if (rc == PST_OK)
        rc = pst_pkey_info(pkey, &info, err);
    if (rc == PST_OK)
        rc = pst_pkey_seal(kr, pkey, kind, object_id, ret_sealed, err);
    if (rc < 0)
        return rc;
    rc = pst_out(ret_public_spki_der, info.spki, info.spki_len, "a public key", err);
    if (rc < 0)
        pst_buf_cut(ret_sealed, before);
    return rc;
}

int pst_key_replica_form(struct pst_keyring *kr, const char *kind, const char *object_id,
                         const void *blob, size_t len, enum pst_key_type *ret_type,
                         struct pst_secret *ret, struct pst_err *err)
{
    auto_secret struct pst_secret plain = {0};
    int rc = pst_unseal(kr, kind, object_id, blob, len, &plain, err);

    if (rc < 0)
        return rc;
    for (enum pst_key_type t = 0; t < PST_KEY_OTHER; t++) {
        if (plain.len < 2 || plain.data[0] != types[t].stored)
            continue;
        rc = pst_secret_set(ret, plain.data + 1, plain.len - 1, err);
        if (rc == PST_OK)
            *ret_type = t;
        return rc;
    }
    return pst_fail(err, PST_EINTERNAL, "the sealed object %s/%s is not a private key", kind,
                    object_id);
}

int pst_key_box_for_edge(struct pst_keyring *kr, const struct pst_sealed *key,
                         const uint8_t edge_public[32], const char *aad, struct pst_buf *ret,
                         struct pst_err *err)
{
    auto_secret struct pst_secret raw = {0};
    enum pst_key_type type;
    int rc =
        pst_key_replica_form(kr, key->kind, key->object_id, key->blob, key->len, &type, &raw, err);

    return rc < 0 ? rc : pst_box_seal(edge_public, aad, raw.data, raw.len, ret, err);
}

/* ---- handles ---- */

int pst_key_open(struct pst_keyring *kr, const char *kind, const char *object_id, const void *blob,
                 size_t len, struct pst_key_handle **ret, struct pst_err *err)
{
    auto_secret struct pst_secret raw = {0};
    auto_(pst_key_free) struct pst_key_handle *h = pst_zalloc(1, sizeof *h);
    int rc;

    if (!h)
        return pst_fail_nomem(err, "a key");
    rc = pst_key_replica_form(kr, kind, object_id, blob, len, &h->type, &raw, err);
    if (rc == PST_OK)
        rc = pst_raw_to_pkey(h->type, raw.data, raw.len, &h->pkey, err);
    if (rc == PST_OK)
        *ret = pst_take(&h);
    return rc;
}

void pst_key_free(struct pst_key_handle *h)
{
    if (!h)
        return;
    EVP_PKEY_free(h->pkey);
    pst_free(h);
}

int pst_key_info(const struct pst_key_handle *h, struct pst_key_info *ret, struct pst_err *err)
{
    return pst_pkey_info(h->pkey, ret, err);
}

int pst_key_reseal(struct pst_keyring *kr, const struct pst_sealed *key, const char *kind,
                   const char *object_id, struct pst_buf *ret_sealed, struct pst_err *err)
{
    auto_secret struct pst_secret plain = {0};
    int rc = pst_unseal(kr, key->kind, key->object_id, key->blob, key->len, &plain, err);

    return rc < 0 ? rc : pst_seal(kr, kind, object_id, plain.data, plain.len, ret_sealed, err);
}
