/* crypto_test_help.h - for the tests of crypto/: a keyring, and certificates of every make. */
#ifndef POSTERN_CRYPTO_TEST_HELP_H
#define POSTERN_CRYPTO_TEST_HELP_H

#include "crypto_internal.h"
#include "pst_test.h"
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum { HELP_NOW = 1800000000, HELP_DAY = 86400 };

/* ---- a keyring with one data key ---- */

static inline struct pst_keyring *help_keyring_in(const char *folder)
{
    auto_buf struct pst_buf wrapped = PST_BUF(256);
    struct pst_keyring *kr = NULL;
    struct pst_err err = {0};
    char path[256];

    (void)snprintf(path, sizeof path, "%s/master.key", folder);
    assert_ok(pst_keyring_create_file(path, pst_rand_system(), &err), err);
    assert_ok(pst_keyring_open(&kr, path, pst_rand_system(), &err), err);
    assert_ok(pst_keyring_new_data_key(kr, &wrapped, &err), err);
    assert_ok(pst_keyring_add_data_key(kr, wrapped.data, wrapped.len, &err), err);
    assert_int_equal(unlink(path), 0);
    return kr;
}

static inline struct pst_keyring *help_keyring(void)
{
    char folder[] = "/tmp/postern-crypto-XXXXXX";
    struct pst_keyring *kr;

    assert_non_null(mkdtemp(folder));
    kr = help_keyring_in(folder);
    assert_int_equal(rmdir(folder), 0);
    return kr;
}

/* ---- certificates ---- */

struct help_cert {
    const char *subject_cn;
    EVP_PKEY *key;
    X509 *issuer;         /* NULL: self-signed */
    EVP_PKEY *issuer_key; /* NULL: key */
    int64_t not_before;   /* 0: a day before HELP_NOW */
    int64_t not_after;    /* 0: 60 days after HELP_NOW */
    bool is_ca;
    const char *san;     /* as in a configuration file: "DNS:a.test,IP:1.2.3.4"; NULL: none */
    const char *serial;  /* hex; NULL: "1234" */
    const char *aki;     /* hex; NULL: none */
    const char *feature; /* as in a configuration file; NULL: none */
};

static inline EVP_PKEY *help_key(void)
{
    EVP_PKEY *key = EVP_EC_gen("P-256");

    assert_non_null(key);
    return key;
}

static inline void help_ext(X509 *x, int nid, const char *value)
{
    X509V3_CTX ctx;
    X509_EXTENSION *ext;

    X509V3_set_ctx(&ctx, x, x, NULL, NULL, 0);
    X509V3_set_ctx_nodb(&ctx);
    ext = X509V3_EXT_conf_nid(NULL, &ctx, nid, value);
    assert_non_null(ext);
    assert_int_equal(X509_add_ext(x, ext, -1), 1);
    X509_EXTENSION_free(ext);
}

static inline void help_aki(X509 *x, const char *hex)
{
    AUTHORITY_KEYID *aki = AUTHORITY_KEYID_new();
    uint8_t id[64];
    size_t len = strlen(hex) / 2;

    assert_true(pst_unhex(id, len, hex));
    aki->keyid = ASN1_OCTET_STRING_new();
    assert_int_equal(ASN1_OCTET_STRING_set(aki->keyid, id, (int)len), 1);
    assert_int_equal(X509_add1_ext_i2d(x, NID_authority_key_identifier, aki, 0, 0), 1);
    AUTHORITY_KEYID_free(aki);
}

static inline X509 *help_issue(const struct help_cert *c)
{
    X509 *x = X509_new();
    X509_NAME *subject = X509_get_subject_name(x);
    BIGNUM *serial = NULL;

    assert_int_equal(X509_set_version(x, X509_VERSION_3), 1);
    assert_true(BN_hex2bn(&serial, c->serial ? c->serial : "1234") > 0);
    assert_non_null(BN_to_ASN1_INTEGER(serial, X509_get_serialNumber(x)));
    BN_free(serial);
    if (c->subject_cn)
        assert_int_equal(X509_NAME_add_entry_by_NID(subject, NID_commonName, MBSTRING_UTF8,
                                                    (const unsigned char *)c->subject_cn, -1, -1,
                                                    0),
                         1);
    assert_int_equal(
        X509_set_issuer_name(x, c->issuer ? X509_get_subject_name(c->issuer) : subject), 1);
    ASN1_TIME_set(X509_getm_notBefore(x), c->not_before ? c->not_before : HELP_NOW - HELP_DAY);
    ASN1_TIME_set(X509_getm_notAfter(x), c->not_after ? c->not_after : HELP_NOW + 60 * HELP_DAY);
    assert_int_equal(X509_set_pubkey(x, c->key), 1);
    if (c->is_ca)
        help_ext(x, NID_basic_constraints, "critical,CA:TRUE");
    if (c->san)
        help_ext(x, NID_subject_alt_name, c->san);
    if (c->feature)
        help_ext(x, NID_tlsfeature, c->feature);
    if (c->aki)
        help_aki(x, c->aki);
    assert_true(X509_sign(x, c->issuer_key ? c->issuer_key : c->key,
                          EVP_PKEY_is_a(c->issuer_key ? c->issuer_key : c->key, "ED25519")
                              ? NULL
                              : EVP_sha256()) > 0);
    return x;
}

static inline void help_pem(X509 *x, struct pst_buf *to)
{
    unsigned char *der = NULL;
    int len = i2d_X509(x, &der);

    assert_true(len > 0);
    pst_pem_write(der, (size_t)len, "CERTIFICATE", to);
    OPENSSL_free(der);
}

/* Base64url text of a test vector. */
static inline size_t help_b64url(const char *text, uint8_t *to, size_t size)
{
    auto_buf struct pst_buf b = PST_BUF(4096);

    assert_true(pst_b64url_decode(&b, text, strlen(text)));
    assert_true(b.len <= size);
    memcpy(to, b.data, b.len);
    return b.len;
}

#endif
