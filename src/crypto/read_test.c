/* read_test.c - the readers alone: the price of passphrases, sealing what was read elsewhere. */
#include "crypto_test_help.h"
#include "read_internal.h"
#include <openssl/core_names.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>

static const struct pst_secret passphrase = {(unsigned char *)"correct horse", 13};

/* ---- what costs ---- */

/* A key under a passphrase, with so many rounds. */
static void encrypt(EVP_PKEY *key, int rounds, struct pst_buf *to)
{
    X509_ALGOR *alg =
        PKCS5_pbe2_set_iv(EVP_aes_128_cbc(), rounds, NULL, 0, NULL, NID_hmacWithSHA256);
    PKCS8_PRIV_KEY_INFO *p8 = EVP_PKEY2PKCS8(key);
    unsigned char *der = NULL;
    X509_SIG *sig;
    int len;

    assert_true(alg && p8);
    sig = PKCS8_set0_pbe((const char *)passphrase.data, (int)passphrase.len, p8, alg);
    assert_non_null(sig);
    len = i2d_X509_SIG(sig, &der);
    assert_true(len > 0);
    pst_buf_add(to, der, (size_t)len);
    OPENSSL_free(der);
    X509_SIG_free(sig);
    PKCS8_PRIV_KEY_INFO_free(p8);
}

static void rounds_come_off_the_budget(void **state)
{
    struct pst_unlock unlock = {&passphrase, 5000};
    auto_buf struct pst_buf der = PST_BUF(4096);
    struct pst_key_handle *h = NULL;
    EVP_PKEY *key = help_key();
    struct pst_err err = {0};

    encrypt(key, 3000, &der);
    assert_ok(pst_key_read_encrypted(der.data, der.len, &unlock, &h, &err), err);
    assert_int_equal(unlock.budget, 2000);
    assert_int_equal(EVP_PKEY_eq(h->pkey, key), 1);
    pst_key_free(h);
    assert_rc(pst_key_read_encrypted(der.data, der.len, &unlock, &h, &err), PST_REFUSED, err);
    assert_string_equal(err.problem, "kdf_cost");
    assert_int_equal(unlock.budget, 2000);
    EVP_PKEY_free(key);
}

/* A number of rounds that would take years, written into the parameters of a small file. */
static void huge_rounds_are_refused_at_once(void **state)
{
    struct pst_unlock unlock = {&passphrase, PST_KDF_BUDGET};
    auto_buf struct pst_buf der = PST_BUF(4096);
    struct pst_key_handle *h = NULL;
    EVP_PKEY *key = help_key();
    struct pst_err err = {0};
    int64_t before = pst_mono_ms(pst_clock_system());
    char *at;

    encrypt(key, 0x70000, &der);
    at = memmem(der.data, der.len, "\x02\x03\x07\x00\x00", 5);
    assert_non_null(at);
    at[2] = 0x7f;
    before = pst_mono_ms(pst_clock_system());
    assert_rc(pst_key_read_encrypted(der.data, der.len, &unlock, &h, &err), PST_REFUSED, err);
    assert_string_equal(err.problem, "kdf_cost");
    assert_true(pst_mono_ms(pst_clock_system()) - before < 100);
    EVP_PKEY_free(key);
}

static void no_passphrase_is_told_from_a_wrong_one(void **state)
{
    static const struct pst_secret wrong = {(unsigned char *)"wrong", 5};
    struct pst_unlock none = {NULL, PST_KDF_BUDGET}, other = {&wrong, PST_KDF_BUDGET};
    auto_buf struct pst_buf der = PST_BUF(4096);
    struct pst_key_handle *h = NULL;
    EVP_PKEY *key = help_key();
    struct pst_err err = {0};

    encrypt(key, 100, &der);
    assert_rc(pst_key_read_encrypted(der.data, der.len, &none, &h, &err), PST_REFUSED, err);
    assert_string_equal(err.problem, "encrypted");
    assert_rc(pst_key_read_encrypted(der.data, der.len, &other, &h, &err), PST_REFUSED, err);
    assert_string_equal(err.problem, "passphrase");
    EVP_PKEY_free(key);
}

/* ---- sealing raw parts ---- */

static EVP_PKEY *make(enum pst_key_type type)
{
    EVP_PKEY *key = NULL;
    struct pst_err err = {0};

    assert_ok(pst_pkey_new(type, 2048, &key, &err), err);
    return key;
}

static void raw_parts_seal_as_an_imported_key(void **state)
{
    struct pst_keyring *kr = help_keyring();

    for (enum pst_key_type t = 0; t < PST_KEY_OTHER; t++) {
        auto_secret struct pst_secret raw = {0}, again = {0};
        auto_buf struct pst_buf sealed = PST_BUF(65536);
        struct pst_key_handle *read = NULL, *opened = NULL;
        EVP_PKEY *key = make(t);
        enum pst_key_type type;
        struct pst_err err = {0};

        assert_ok(pst_key_wrap(key, &read, &err), err);
        assert_ok(pst_key_verify(read, &err), err);
        assert_ok(pst_key_raw(read, &raw, &err), err);
        assert_ok(pst_key_seal_raw(kr, t, &raw, "cert", "1", &sealed, &err), err);
        assert_ok(
            pst_key_replica_form(kr, "cert", "1", sealed.data, sealed.len, &type, &again, &err),
            err);
        assert_int_equal(type, t);
        assert_int_equal(again.len, raw.len);
        assert_memory_equal(again.data, raw.data, raw.len);
        assert_ok(pst_key_open(kr, "cert", "1", sealed.data, sealed.len, &opened, &err), err);
        assert_int_equal(EVP_PKEY_eq(opened->pkey, read->pkey), 1);
        pst_key_free(opened);
        pst_key_free(read);
    }
    pst_keyring_free(kr);
}

static void raw_parts_of_another_length_are_refused(void **state)
{
    struct pst_keyring *kr = help_keyring();
    unsigned char bytes[97] = {0x30, 3, 2, 1, 0};
    auto_buf struct pst_buf sealed = PST_BUF(65536);
    struct pst_err err = {0};

    for (enum pst_key_type t = 0; t < PST_KEY_TYPE__COUNT; t++)
        for (size_t len = 0; len <= sizeof bytes; len++)
            assert_rc(pst_key_seal_raw(kr, t, &(struct pst_secret){bytes, len}, "cert", "1",
                                       &sealed, &err),
                      PST_EINPUT, err);
    assert_int_equal(sealed.len, 0);
    pst_keyring_free(kr);
}

/* ---- DER at a glance ---- */

static void kinds_are_told_apart(void **state)
{
    auto_secret struct pst_secret p8 = {0};
    struct pst_key_handle *h = NULL;
    struct pst_err err = {0};
    unsigned char *der = NULL;
    EVP_PKEY *key = make(PST_KEY_RSA);
    X509 *x = help_issue(&(struct help_cert){.subject_cn = "x", .key = key, .san = "DNS:a.test"});
    int len = i2d_X509(x, &der);
    size_t whole;

    assert_int_equal(pst_der_kind(der, (size_t)len), PST_DER_CERT);
    assert_int_equal(pst_der_kind(der, (size_t)len - 1), PST_DER_UNKNOWN);
    assert_true(pst_der_element(der, (size_t)len, &whole) && whole == (size_t)len);
    assert_false(pst_der_element(der, (size_t)len - 1, &whole));
    OPENSSL_free(pst_take(&der));
    len = i2d_PrivateKey(key, &der);
    assert_int_equal(pst_der_kind(der, (size_t)len), PST_DER_RSA_KEY);
    OPENSSL_free(pst_take(&der));
    len = i2d_PUBKEY(key, &der);
    assert_int_equal(pst_der_kind(der, (size_t)len), PST_DER_PUBLIC_KEY);
    OPENSSL_free(pst_take(&der));
    assert_ok(pst_key_wrap(key, &h, &err), err);
    assert_ok(pst_key_pkcs8(h, &p8, &err), err);
    assert_int_equal(pst_der_kind(p8.data, p8.len), PST_DER_PKCS8);
    assert_int_equal(pst_der_kind("\x30\x80\x30", 3), PST_DER_UNKNOWN);
    assert_int_equal(pst_der_kind("", 0), PST_DER_UNKNOWN);
    pst_key_free(h);
    X509_free(x);
}

/* The look-up key of an issuer is the same from below and from above. */
static void names_hash_alike_from_both_sides(void **state)
{
    EVP_PKEY *ca_key = help_key(), *key = help_key();
    X509 *ca = help_issue(&(struct help_cert){.subject_cn = "ca", .key = ca_key, .is_ca = true});
    X509 *x = help_issue(&(struct help_cert){
        .subject_cn = "x", .key = key, .issuer = ca, .issuer_key = ca_key, .san = "DNS:a.test"});
    unsigned char *ca_der = NULL, *der = NULL;
    int ca_len = i2d_X509(ca, &ca_der), len = i2d_X509(x, &der);
    uint8_t from_above[32], from_below[32];
    struct pst_x509 *up = NULL, *down = NULL;
    struct pst_err err = {0};

    assert_ok(pst_der_subject_sha256(ca_der, (size_t)ca_len, from_above, &err), err);
    assert_ok(pst_der_issuer_sha256(der, (size_t)len, from_below, &err), err);
    assert_memory_equal(from_above, from_below, 32);
    assert_rc(pst_der_subject_sha256(der, 20, from_below, &err), PST_EINPUT, err);

    assert_ok(pst_x509_read(ca_der, (size_t)ca_len, &up, &err), err);
    assert_ok(pst_x509_read(der, (size_t)len, &down, &err), err);
    assert_true(pst_x509_names_issuer(down, up));
    assert_true(pst_x509_signed_by(down, up));
    assert_false(pst_x509_signed_by(up, down));
    pst_x509_free(up);
    pst_x509_free(down);
    OPENSSL_free(ca_der);
    OPENSSL_free(der);
    X509_free(ca);
    X509_free(x);
    EVP_PKEY_free(ca_key);
    EVP_PKEY_free(key);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rounds_come_off_the_budget),
        cmocka_unit_test(huge_rounds_are_refused_at_once),
        cmocka_unit_test(no_passphrase_is_told_from_a_wrong_one),
        cmocka_unit_test(raw_parts_seal_as_an_imported_key),
        cmocka_unit_test(raw_parts_of_another_length_are_refused),
        cmocka_unit_test(kinds_are_told_apart),
        cmocka_unit_test(names_hash_alike_from_both_sides),
    };

    pst_require(pst_crypto_init(false, NULL) == PST_OK);
    pst_read_init();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
