/* read_key.c - private keys as they are uploaded, in the clear or under a passphrase. */
#include "read_internal.h"
#include <openssl/core_names.h>
#include <openssl/decoder.h>
#include <openssl/err.h>
#include <openssl/provider.h>
#include <stdatomic.h>
#include <string.h>

enum { KEY_MAX = 64 * 1024, RAW_RSA_MIN = 128, RAW_MAX = 16 * 1024 };

void pst_read_init(void)
{
    static const char *const ciphers[] = {"AES-128-CBC", "AES-192-CBC",  "AES-256-CBC",
                                          "DES-CBC",     "DES-EDE3-CBC", "RC2-40-CBC"};

    /* The default provider stays what it is. */
    (void)OSSL_PROVIDER_try_load(NULL, "legacy", 1);
    for (size_t i = 0; i < PST_ARRAY_N(ciphers); i++)
        EVP_CIPHER_free(EVP_CIPHER_fetch(NULL, ciphers[i], NULL));
    ERR_clear_error();
}

int pst_key_wrap(EVP_PKEY *pkey, struct pst_key_handle **ret, struct pst_err *err)
{
    struct pst_key_handle *h = pst_zalloc(1, sizeof *h);

    if (!h) {
        EVP_PKEY_free(pkey);
        return pst_fail_nomem(err, "a key");
    }
    h->pkey = pkey;
    h->type = pst_pkey_type(pkey);
    /* A curve that we know by its parameters is from now on written by its name, as in the
     * certificate. */
    if (h->type < PST_KEY_OTHER && EVP_PKEY_is_a(pkey, "EC"))
        (void)EVP_PKEY_set_utf8_string_param(pkey, OSSL_PKEY_PARAM_EC_ENCODING,
                                             OSSL_PKEY_EC_ENCODING_GROUP);
    *ret = h;
    return PST_OK;
}

/* Which keys are decoded at all.  Of DSA and Diffie-Hellman keys the library computes the public
 * part while it decodes, however long they are. */
static bool is_decoded(const PKCS8_PRIV_KEY_INFO *p8)
{
    static const int nids[] = {NID_rsaEncryption, NID_rsassaPss, NID_X9_62_id_ecPublicKey,
                               NID_ED25519,       NID_ED448,     NID_X25519,
                               NID_X448};
    const ASN1_OBJECT *oid = NULL;

    if (PKCS8_pkey_get0(&oid, NULL, NULL, NULL, p8) != 1)
        return false;
    for (size_t i = 0; i < PST_ARRAY_N(nids); i++)
        if (OBJ_obj2nid(oid) == nids[i])
            return true;
    return false;
}

/* The library takes five times as long to make a decoder as to use it, so one is kept, for the
 * usual kind of key.  Whoever finds it in use makes another. */
static struct {
    atomic_flag busy;
    OSSL_DECODER_CTX *ctx;
    EVP_PKEY *got; /* where it puts a key */
} ec_decoder = {.busy = ATOMIC_FLAG_INIT};

static EVP_PKEY *decode_ec(const PKCS8_PRIV_KEY_INFO *p8)
{
    unsigned char *der = NULL;
    int len = i2d_PKCS8_PRIV_KEY_INFO(p8, &der);
    const unsigned char *at = der;
    size_t left = len > 0 ? (size_t)len : 0;
    EVP_PKEY *pkey = NULL;

    if (!ec_decoder.ctx)
        ec_decoder.ctx = OSSL_DECODER_CTX_new_for_pkey(&ec_decoder.got, "DER", "PrivateKeyInfo",
                                                       "EC", EVP_PKEY_KEYPAIR, NULL, NULL);
    if (ec_decoder.ctx && left > 0 && OSSL_DECODER_from_data(ec_decoder.ctx, &at, &left) == 1)
        pkey = ec_decoder.got;
    ec_decoder.got = NULL;
    OPENSSL_clear_free(der, len > 0 ? (size_t)len : 0);
    return pkey;
}

static EVP_PKEY *decode(const PKCS8_PRIV_KEY_INFO *p8)
{
    const ASN1_OBJECT *oid = NULL;
    EVP_PKEY *pkey = NULL;

    if (PKCS8_pkey_get0(&oid, NULL, NULL, NULL, p8) == 1 &&
        OBJ_obj2nid(oid) == NID_X9_62_id_ecPublicKey &&
        !atomic_flag_test_and_set(&ec_decoder.busy)) {
        pkey = decode_ec(p8);
        atomic_flag_clear(&ec_decoder.busy);
    }
    return pkey ? pkey : EVP_PKCS82PKEY(p8);
}

int pst_key_from_pkcs8(const PKCS8_PRIV_KEY_INFO *p8, struct pst_key_handle **ret,
                       struct pst_err *err)
{
    EVP_PKEY *pkey;

    if (!is_decoded(p8))
        return pst_read_refuse(err, "key_type", "the private key is of a type that is not read");
    pkey = decode(p8);
    if (!pkey)
        return pst_read_refuse(err, "damaged", "the private key is damaged");
    ERR_clear_error();
    return pst_key_wrap(pkey, ret, err);
}

static int read_pkcs8(const unsigned char *der, size_t len, struct pst_key_handle **ret,
                      struct pst_err *err)
{
    const unsigned char *at = der;
    auto_(PKCS8_PRIV_KEY_INFO_free) PKCS8_PRIV_KEY_INFO *p8 =
        d2i_PKCS8_PRIV_KEY_INFO(NULL, &at, (long)len);

    if (!p8 || at != der + len)
        return pst_read_refuse(err, "damaged", "the private key is damaged");
    return pst_key_from_pkcs8(p8, ret, err);
}

int pst_key_read(const void *der, size_t len, struct pst_key_handle **ret, struct pst_err *err)
{
    enum pst_der_kind kind = pst_der_kind(der, len);
    const unsigned char *at = der;
    auto_(EVP_PKEY_free) EVP_PKEY *pkey = NULL;

    if (len == 0 || len > KEY_MAX)
        return pst_refuse(err, "damaged", "a private key has 1 to %d bytes, not %zu", KEY_MAX, len);
    if (kind == PST_DER_PKCS8)
        return read_pkcs8(der, len, ret, err);
    if (kind == PST_DER_DSA_KEY)
        return pst_refuse(err, "key_type", "the private key is of a type that is not read");
    if (kind == PST_DER_RSA_KEY || kind == PST_DER_EC_KEY)
        pkey = d2i_PrivateKey(kind == PST_DER_RSA_KEY ? EVP_PKEY_RSA : EVP_PKEY_EC, NULL, &at,
                              (long)len);
    if (!pkey || at != (const unsigned char *)der + len)
        return pst_read_refuse(err, "damaged", "the private key is damaged");
    ERR_clear_error();
    return pst_key_wrap(pst_take(&pkey), ret, err);
}

int pst_key_read_encrypted(const void *der, size_t len, struct pst_unlock *unlock,
                           struct pst_key_handle **ret, struct pst_err *err)
{
    const unsigned char *at = der;
    auto_(X509_SIG_free) X509_SIG *sig = d2i_X509_SIG(NULL, &at, (long)len);
    auto_(PKCS8_PRIV_KEY_INFO_free) PKCS8_PRIV_KEY_INFO *p8 = NULL;
    const X509_ALGOR *alg = NULL;
    const char *text;
    int text_len, rc;

    if (!sig || at != (const unsigned char *)der + len)
        return pst_read_refuse(err, "damaged", "the encrypted private key is damaged");
    if (!pst_unlock_given(unlock))
        return pst_refuse(err, "encrypted", "a passphrase is needed");
    X509_SIG_get0(sig, &alg, NULL);
    rc = pst_pbe_spend(unlock, alg, err);
    if (rc != PST_OK)
        return rc;

    text = pst_unlock_text(unlock, &text_len);
    p8 = PKCS8_decrypt(sig, text, text_len);
    if (!p8)
        return pst_unlock_failed(unlock, err);
    return pst_key_from_pkcs8(p8, ret, err);
}

/* ---- the old way: OpenSSL's own headers in a PEM block ---- */

static const struct {
    const char *name;
    size_t iv_len;
} pem_ciphers[] = {
    {"AES-128-CBC", 16}, {"AES-192-CBC", 16}, {"AES-256-CBC", 16},
    {"DES-EDE3-CBC", 8}, {"DES-CBC", 8},
};

size_t pst_pem_iv_len(const char *cipher, size_t cipher_len)
{
    for (size_t i = 0; i < PST_ARRAY_N(pem_ciphers); i++)
        if (strlen(pem_ciphers[i].name) == cipher_len &&
            memcmp(pem_ciphers[i].name, cipher, cipher_len) == 0)
            return pem_ciphers[i].iv_len;
    return 0;
}

/* MD5, one round, the IV's first 8 bytes as salt: nothing to bound. */
static bool pem_decrypt(const EVP_CIPHER *cipher, const uint8_t *iv,
                        const struct pst_unlock *unlock, struct pst_secret *text)
{
    auto_(EVP_CIPHER_CTX_free) EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new();
    unsigned char key[EVP_MAX_KEY_LENGTH];
    int n = 0, rest = 0, passphrase_len;
    const char *passphrase = pst_unlock_text(unlock, &passphrase_len);
    bool ok;

    ok = ctx &&
         EVP_BytesToKey(cipher, EVP_md5(), iv, (const unsigned char *)passphrase, passphrase_len, 1,
                        key, NULL) > 0 &&
         EVP_DecryptInit_ex2(ctx, cipher, key, iv, NULL) == 1 &&
         EVP_DecryptUpdate(ctx, text->data, &n, text->data, (int)text->len) == 1 &&
         EVP_DecryptFinal_ex(ctx, text->data + n, &rest) == 1;
    pst_wipe(key, sizeof key);
    if (ok)
        text->len = (size_t)n + (size_t)rest;
    return ok;
}

int pst_key_read_pem_encrypted(const void *body, size_t len, const char *dek,
                               struct pst_unlock *unlock, struct pst_key_handle **ret,
                               struct pst_err *err)
{
    size_t name_len = strcspn(dek, ","), iv_len = pst_pem_iv_len(dek, name_len), whole;
    auto_secret struct pst_secret text = {0};
    auto_(EVP_CIPHER_free) EVP_CIPHER *cipher = NULL;
    uint8_t iv[EVP_MAX_IV_LENGTH];
    char name[32];
    int rc;

    if (iv_len == 0)
        return pst_refuse(err, "cipher", "the private key's cipher is not known");
    if (len == 0 || len > KEY_MAX || !pst_unhex(iv, iv_len, dek + name_len + 1))
        return pst_refuse(err, "damaged", "the encrypted private key is damaged");
    if (!pst_unlock_given(unlock))
        return pst_refuse(err, "encrypted", "a passphrase is needed");
    memcpy(name, dek, name_len);
    name[name_len] = 0;
    cipher = EVP_CIPHER_fetch(NULL, name, NULL);
    if (!cipher)
        return pst_read_refuse(err, "cipher", "the private key's cipher is not known");

    whole = len;
    rc = pst_secret_set(&text, body, len, err);
    if (rc < 0)
        return rc;
    if (pem_decrypt(cipher, iv, unlock, &text)) {
        rc = pst_key_read(text.data, text.len, ret, err);
        /* One wrong passphrase in 256 leaves a padding that looks right. */
        if (rc == PST_REFUSED)
            rc = pst_refuse(err, "passphrase", "the passphrase does not open it");
    } else {
        rc = pst_unlock_failed(unlock, err);
    }
    text.len = whole; /* so that all of it is wiped */
    return rc;
}

/* ---- facts ---- */

static void name_of(const EVP_PKEY *pkey, enum pst_key_type type, char *to, size_t size)
{
    static const char *const names[] = {[PST_KEY_P256] = "P-256",
                                        [PST_KEY_P384] = "P-384",
                                        [PST_KEY_P521] = "P-521",
                                        [PST_KEY_RSA] = "RSA",
                                        [PST_KEY_ED25519] = "Ed25519"};
    const char *name = type < PST_ARRAY_N(names) ? names[type] : EVP_PKEY_get0_type_name(pkey);
    char group[48];

    if (EVP_PKEY_is_a(pkey, "EC") && type == PST_KEY_OTHER) {
        bool named = EVP_PKEY_get_group_name(pkey, group, sizeof group, NULL) == 1;

        name = named ? group : "an elliptic curve without a name";
    }
    if (!pst_str_copy(to, size, name ? name : "unknown"))
        (void)pst_str_copy(to, size, "unknown");
}

void pst_pkey_name(const EVP_PKEY *pkey, char *to, size_t size)
{
    name_of(pkey, pst_pkey_type(pkey), to, size);
}

int pst_key_facts(const struct pst_key_handle *h, struct pst_key_facts *ret, struct pst_err *err)
{
    struct pst_key_facts facts = {.type = h->type, .bits = EVP_PKEY_get_bits(h->pkey)};
    auto_(BN_clear_free) BIGNUM *e = NULL;
    unsigned char *der = NULL;
    int len = i2d_PUBKEY(h->pkey, &der), rc;

    if (len <= 0)
        return pst_read_refuse(err, "damaged", "the private key is damaged");
    rc = pst_sha256(der, (size_t)len, facts.spki_sha256, err);
    OPENSSL_free(der);
    name_of(h->pkey, h->type, facts.name, sizeof facts.name);
    if (h->type == PST_KEY_ED25519)
        facts.bits = 256;
    if (h->type == PST_KEY_RSA && EVP_PKEY_get_bn_param(h->pkey, OSSL_PKEY_PARAM_RSA_E, &e) == 1) {
        facts.exponent_bits = BN_num_bits(e);
        facts.exponent_odd = BN_is_odd(e) && !BN_is_one(e);
    }
    ERR_clear_error();
    if (rc == PST_OK)
        *ret = facts;
    return rc;
}

int pst_key_verify(const struct pst_key_handle *h, struct pst_err *err)
{
    auto_(EVP_PKEY_CTX_free) EVP_PKEY_CTX *ctx = NULL;

    if (h->type == PST_KEY_RSA)
        return pst_rsa_verify(h->pkey, err);
    ctx = EVP_PKEY_CTX_new_from_pkey(NULL, h->pkey, NULL);
    if (!ctx)
        return pst_fail_ossl(err, PST_ENOMEM, "checking a private key");
    if (EVP_PKEY_check(ctx) != 1)
        return pst_read_refuse(err, "damaged", "the private key contradicts itself");
    return PST_OK;
}

int pst_key_raw(const struct pst_key_handle *h, struct pst_secret *ret, struct pst_err *err)
{
    return pst_raw_from_pkey(h->pkey, ret, err);
}

int pst_key_pkcs8(const struct pst_key_handle *h, struct pst_secret *ret, struct pst_err *err)
{
    auto_(PKCS8_PRIV_KEY_INFO_free) PKCS8_PRIV_KEY_INFO *p8 = EVP_PKEY2PKCS8(h->pkey);
    unsigned char *der = NULL;
    int len = p8 ? i2d_PKCS8_PRIV_KEY_INFO(p8, &der) : -1, rc;

    if (len <= 0)
        return pst_read_refuse(err, "damaged", "the private key cannot be written");
    rc = pst_secret_set(ret, der, (size_t)len, err);
    OPENSSL_clear_free(der, (size_t)len);
    return rc;
}

/* ---- sealing what another process read ---- */

static bool raw_len_ok(enum pst_key_type type, const struct pst_secret *raw)
{
    size_t width = (unsigned)type < PST_KEY_OTHER ? (size_t)pst_key_width(type) : 0;
    size_t whole;

    if (type == PST_KEY_P256 || type == PST_KEY_P384)
        return raw->len == 3 * width + 1 && raw->data[width] == POINT_CONVERSION_UNCOMPRESSED;
    /* RSA, P-521 and Ed25519 are DER. */
    return (unsigned)type < PST_KEY_OTHER && raw->len <= RAW_MAX &&
           (type != PST_KEY_RSA || raw->len >= RAW_RSA_MIN) &&
           pst_der_element(raw->data, raw->len, &whole) && whole == raw->len &&
           pst_der_kind(raw->data, raw->len) ==
               (type == PST_KEY_RSA ? PST_DER_RSA_KEY : PST_DER_PKCS8);
}

int pst_key_seal_raw(struct pst_keyring *kr, enum pst_key_type type, const struct pst_secret *raw,
                     const char *kind, const char *object_id, struct pst_buf *ret_sealed,
                     struct pst_err *err)
{
    auto_secret struct pst_secret plain = {0};
    int rc;

    if (raw->len == 0 || !raw_len_ok(type, raw))
        return pst_fail(err, PST_EINPUT, "%zu bytes are not a %s key", raw->len,
                        pst_key_type_name(type));
    rc = pst_key_stored_form(type, raw, &plain, err);
    return rc < 0 ? rc : pst_seal(kr, kind, object_id, plain.data, plain.len, ret_sealed, err);
}
