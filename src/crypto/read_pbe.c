/* read_pbe.c - what opening a passphrase costs, known before it is paid. */
#include "read_internal.h"
#include <openssl/err.h>
#include <string.h>

enum {
    /* OpenSSL's own limit is 32 MiB; a process that reads has 64 in all. */
    SCRYPT_BYTES_MAX = 32 * 1024 * 1024,
    SCRYPT_BYTES_PER_UNIT = 128,
    /* Key and IV of PKCS#12's own derivation: two blocks of SHA-1 and one. */
    PKCS12_BLOCKS = 3,
};

int pst_read_refuse(struct pst_err *err, const char *problem, const char *what)
{
    int rc = pst_fail_ossl(err, PST_REFUSED, what);

    return rc == PST_REFUSED ? pst_name_problem(err, problem, rc) : rc;
}

static int too_dear(struct pst_err *err)
{
    return pst_refuse(err, "kdf_cost",
                      "deriving the key from the passphrase would cost more than %d rounds",
                      PST_KDF_BUDGET);
}

static int spend(struct pst_unlock *unlock, uint64_t cost, struct pst_err *err)
{
    if (cost > unlock->budget)
        return too_dear(err);
    unlock->budget -= cost;
    return PST_OK;
}

int pst_kdf_spend(struct pst_unlock *unlock, const ASN1_INTEGER *rounds, uint64_t blocks,
                  struct pst_err *err)
{
    uint64_t n = 1;

    /* Without a number it is 1 (RFC 7292). */
    if (rounds && ASN1_INTEGER_get_uint64(&n, rounds) != 1)
        return ERR_clear_error(), too_dear(err);
    if (n > PST_KDF_BUDGET)
        return too_dear(err);
    return spend(unlock, n * blocks, err);
}

static void *unpack(const X509_ALGOR *alg, const ASN1_ITEM *item)
{
    const ASN1_OBJECT *oid;
    const void *value;
    int type;

    X509_ALGOR_get0(&oid, &type, &value, alg);
    return type == V_ASN1_SEQUENCE ? ASN1_item_unpack(value, item) : NULL;
}

static int spend_pbkdf2(struct pst_unlock *unlock, const X509_ALGOR *kdf, struct pst_err *err)
{
    auto_(PBKDF2PARAM_free) PBKDF2PARAM *p = unpack(kdf, ASN1_ITEM_rptr(PBKDF2PARAM));
    const ASN1_OBJECT *oid = NULL;

    if (!p)
        return pst_read_refuse(err, "damaged", "the encryption's parameters are damaged");
    if (p->prf)
        X509_ALGOR_get0(&oid, NULL, NULL, p->prf);
    /* The default, SHA-1, gives 20 bytes a block: keys take two. */
    return pst_kdf_spend(unlock, p->iter, oid && OBJ_obj2nid(oid) != NID_hmacWithSHA1 ? 1 : 2, err);
}

static int spend_scrypt(struct pst_unlock *unlock, const X509_ALGOR *kdf, struct pst_err *err)
{
    auto_(SCRYPT_PARAMS_free) SCRYPT_PARAMS *p = unpack(kdf, ASN1_ITEM_rptr(SCRYPT_PARAMS));
    uint64_t n, r, parallel;

    if (!p)
        return pst_read_refuse(err, "damaged", "the encryption's parameters are damaged");
    if (ASN1_INTEGER_get_uint64(&n, p->costParameter) != 1 ||
        ASN1_INTEGER_get_uint64(&r, p->blockSize) != 1 ||
        ASN1_INTEGER_get_uint64(&parallel, p->parallelizationParameter) != 1)
        return ERR_clear_error(), too_dear(err);
    /* Each bound alone keeps the products below from wrapping. */
    if (n > PST_KDF_BUDGET || r > PST_KDF_BUDGET || parallel > PST_KDF_BUDGET ||
        n * r * SCRYPT_BYTES_PER_UNIT > SCRYPT_BYTES_MAX)
        return too_dear(err);
    return n * r > PST_KDF_BUDGET ? too_dear(err) : spend(unlock, n * r * parallel, err);
}

static int spend_pbes2(struct pst_unlock *unlock, const X509_ALGOR *alg, struct pst_err *err)
{
    auto_(PBE2PARAM_free) PBE2PARAM *p = unpack(alg, ASN1_ITEM_rptr(PBE2PARAM));
    const ASN1_OBJECT *oid;

    if (!p)
        return pst_read_refuse(err, "damaged", "the encryption's parameters are damaged");
    X509_ALGOR_get0(&oid, NULL, NULL, p->keyfunc);
    switch (OBJ_obj2nid(oid)) {
    case NID_id_pbkdf2:
        return spend_pbkdf2(unlock, p->keyfunc, err);
    case NID_id_scrypt:
        return spend_scrypt(unlock, p->keyfunc, err);
    default:
        return pst_refuse(err, "cipher", "the key derivation is not known");
    }
}

int pst_pbe_spend(struct pst_unlock *unlock, const X509_ALGOR *alg, struct pst_err *err)
{
    auto_(PBEPARAM_free) PBEPARAM *p = NULL;
    const ASN1_OBJECT *oid;
    int nid;

    X509_ALGOR_get0(&oid, NULL, NULL, alg);
    nid = OBJ_obj2nid(oid);
    if (nid == NID_pbes2)
        return spend_pbes2(unlock, alg, err);
    if (EVP_PBE_find(EVP_PBE_TYPE_OUTER, nid, NULL, NULL, NULL) != 1)
        return pst_read_refuse(err, "cipher", "the encryption is not known");
    p = unpack(alg, ASN1_ITEM_rptr(PBEPARAM));
    if (!p)
        return pst_read_refuse(err, "damaged", "the encryption's parameters are damaged");
    return pst_kdf_spend(unlock, p->iter, PKCS12_BLOCKS, err);
}

bool pst_unlock_given(const struct pst_unlock *unlock)
{
    return unlock->passphrase && unlock->passphrase->len > 0;
}

const char *pst_unlock_text(const struct pst_unlock *unlock, int *ret_len)
{
    *ret_len = pst_unlock_given(unlock) ? (int)unlock->passphrase->len : 0;
    return *ret_len > 0 ? (const char *)unlock->passphrase->data : "";
}

/* Did OpenSSL say that it lacks the algorithm?  Looks through the whole queue and empties it. */
static bool lacks_cipher(void)
{
    bool lacks = false;
    unsigned long code;

    while ((code = ERR_get_error()) != 0) {
        int lib = ERR_GET_LIB(code), reason = ERR_GET_REASON(code);

        lacks |= reason == ERR_R_UNSUPPORTED ||
                 (lib == ERR_LIB_EVP &&
                  (reason == EVP_R_UNSUPPORTED_ALGORITHM || reason == EVP_R_UNKNOWN_CIPHER ||
                   reason == EVP_R_UNSUPPORTED_CIPHER || reason == EVP_R_UNSUPPORTED_PRF ||
                   reason == EVP_R_UNKNOWN_PBE_ALGORITHM ||
                   reason == EVP_R_UNSUPPORTED_KEY_DERIVATION_FUNCTION));
    }
    return lacks;
}

int pst_unlock_failed(const struct pst_unlock *unlock, struct pst_err *err)
{
    if (lacks_cipher())
        return pst_refuse(err, "cipher", "the encryption is not known");
    if (!pst_unlock_given(unlock))
        return pst_refuse(err, "encrypted", "a passphrase is needed");
    return pst_refuse(err, "passphrase", "the passphrase does not open it");
}
