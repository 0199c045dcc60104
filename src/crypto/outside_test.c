/* outside_test.c - SHA-1, MACs by name, signatures with a key in PEM. */
#include "crypto_internal.h"
#include <openssl/pem.h>
#include <postern/crypto_outside.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

static const char key_pem[] = "-----BEGIN PRIVATE KEY-----\n"
                              "MIIEvgIBADANBgkqhkiG9w0BAQEFAASCBKgwggSkAgEAAoIBAQCU3rjOJFclqMhr\n"
                              "uv21DPQaRQ9z1IK6g6bzIwLurjvw54f+MLxjYw6aj+R3wVHXrJE5VPZMB9cNbHk9\n"
                              "uI2SpwESCvnySk+hpzCTHLlyLizUA1nQL3WIKpiS7XTWuWsfptaV7cvYJrvzIkuh\n"
                              "nQja/Ui77dR1L8Zb3gxeqq5kwhkSUOymTcG7Wwy1moLkFPIZoYopzTqMQNfSO3sx\n"
                              "p7dGklGwcWqUpNgKI7Zk/uQKeakTmyL2CuW8pxUZsqrc8+XDZS6IBXhwQRoPnP63\n"
                              "s8MXu7rnycGd2vGRhcEUzI8DkP6tL2vlXLnylawv5YaTZF6QN6ZpHRSu4UcGKrXB\n"
                              "M4/xgeTTAgMBAAECggEASWn4WvhC3bh5dd8WBHXp3xaVgzqWaWJJL3fhl1DnEGst\n"
                              "fmYMUTrlVcWGFqSINsLMLyi9+UqYe+81bwGXF24yMfKlxh1tXbu0UagFr9AjnT41\n"
                              "yVvOKyNOcI6XYti3gjllczR8pRCc+U69W2q0lkH3321uq4eu21kKYpjrPZcWhBgR\n"
                              "Sk/6ewU2XqU4/1o1eUqhrzd0XJ34V9L+rXxivLkgbN89jADWLOS/WkUDTo3g6AnZ\n"
                              "HC6NjqENCVFWV6pZMklFQtCc11/TKoxPdHFPdyVXQo0+VOAMK9v4dn3FE0wI+6HD\n"
                              "0Yctgn8K8hDczRW4Wb5o06HAT9NEX9E4bqZsGZlL+QKBgQDRODaJgrBMDkajOqJX\n"
                              "OWexNESYXVTCgTD8ppB/8gdOQ6Q8AohUl4C2BTfxlh8jYZBaE7ojvEyVDgyHM+7a\n"
                              "64HR8V4Iy/L1OEiRclHJLzq8VEqhYKW8E9U02HfHTOdnOm9p5Ww6R290LjDyRUQl\n"
                              "ylOwkfORimJh/AoM0XgVDDSZnQKBgQC2KBUbOPJZBBIDWXuxGS1pYnRuKEggQ9uS\n"
                              "87gbQdm3M2yU4H6zg8lQRgPY7a28rRHVT9mov2d0JzIFA4MXRjl3iQHRXyY5u98n\n"
                              "5om/mxPIrKJL1+0stxefJ8Y0c/dp34wnM9qc0g+bz5UkS1FUKQg126QRJ35AYmEK\n"
                              "RWxb2l4lLwKBgQCryR8mi3McD8C6N+OiANV+L69+92soBZHmcRFGrMCI54tLZrzv\n"
                              "0DHzwpcruxq4H1y6SWZV/z9WR+HLhb3CbQr8CdYvHN7RsDQNkLNMoIX2qrNYjBWp\n"
                              "NxOhv3eh4ihCnz1p0uGpfIwr9d1kn7ET4mwTF9PJFbowQBU0by3NAmeSFQKBgQCH\n"
                              "W+mzPPH56+hmzMv5ojf4o8zZPt25/DLiVHFu79QVKwV47Am65Cdom16oiJYeKo2h\n"
                              "8aBQoUsDKU0mJKH5XZm+lfTf3NDO/iipwcqCs35UFNTVfzMjkzrebfP/bl1gM1o2\n"
                              "l3XQKtimc+7j9YQOAh+zxe95P9u1hGWP+F65Mt/ayQKBgBP+GwW1H/f3W3Q8Po6i\n"
                              "eM9c4tdeIxp/sNtF7ue4VNeYW4bdP/XQoPy7GbCkdWEi7rVjxfEg35o3NmXreAi3\n"
                              "yn4ENCkXwJvpZ8lEuyRqFi+B6ypmBH7Ei7b5varp9cBqeUVK+BDAWyVoK++CdLbT\n"
                              "GhZ3c+RhOkeQ4kEpvabeW/GQ\n"
                              "-----END PRIVATE KEY-----\n";

static void test_sha1(void **state)
{
    char hex[PST_SHA1_HEX_SIZE];

    /* FIPS 180-2, appendix A.1; and nothing at all. */
    assert_int_equal(pst_sha1_hex("abc", 3, hex, NULL), PST_OK);
    assert_string_equal(hex, "a9993e364706816aba3e25717850c26c9cd0d89d");
    assert_int_equal(pst_sha1_hex("", 0, hex, NULL), PST_OK);
    assert_string_equal(hex, "da39a3ee5e6b4b0d3255bfef95601890afd80709");
}

/* RFC 2202 and RFC 4231, case 2: key "Jefe". */
static void test_hmac(void **state)
{
    static const struct {
        const char *digest;
        const char *mac;
    } cases[] = {
        {"md5", "750c783e6ab0b503eaa86e310a5db738"},
        {"sha1", "effcdf6ae5eb2fa2d27416d5f184df9c259a7c79"},
        {"sha224", "a30e01098bc6dbbf45690f3a7e9e6d0f8bbea2a39e6148008fd05e44"},
        {"sha256", "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"},
        {"sha384",
         "af45d2e376484031617f78d2b58a6b1b9c7ef464f5a01b47e42ec3736322445e8e2240ca5e69e2c7"
         "8b3239ecfab21649"},
        {"sha512",
         "164b7a7bfcf819e2e395fbe73b56e0a387bd64222e831fd610270cd7ea2505549758bf75c05a994a"
         "6d034f65f8f0e6fdcaeab1a34d4a6b4b636e070a38bce737"},
    };
    static const char data[] = "what do ya want for nothing?";
    auto_secret struct pst_secret key = {0}, none = {0};
    uint8_t mac[PST_HMAC_MAX];
    char hex[2 * PST_HMAC_MAX + 1];
    struct pst_err err;
    size_t len;

    assert_int_equal(pst_secret_set(&key, "Jefe", 4, NULL), PST_OK);
    for (size_t i = 0; i < PST_ARRAY_N(cases); i++) {
        assert_int_equal(pst_hmac(cases[i].digest, &key, data, sizeof data - 1, mac, &len, NULL),
                         PST_OK);
        pst_hex(hex, mac, len);
        assert_string_equal(hex, cases[i].mac);
    }
    assert_int_equal(pst_hmac("sha256", &none, "", 0, mac, &len, NULL), PST_OK);
    assert_int_equal(len, 32);
    assert_int_equal(pst_hmac("sha3-256", &key, "", 0, mac, &len, &err), PST_EINPUT);
}

static EVP_PKEY *read_key(const char *pem)
{
    BIO *bio = BIO_new_mem_buf(pem, -1);
    EVP_PKEY *pkey = PEM_read_bio_PrivateKey(bio, NULL, NULL, NULL);
    BIO_free(bio);
    return pkey;
}

static void test_rs256(void **state)
{
    static const char text[] = "header.claims";
    auto_secret struct pst_secret pem = {0};
    auto_buf struct pst_buf sig = PST_BUF(1024);

    assert_int_equal(pst_secret_set(&pem, key_pem, sizeof key_pem - 1, NULL), PST_OK);
    assert_int_equal(pst_rs256_pem(&pem, text, sizeof text - 1, &sig, NULL), PST_OK);
    assert_int_equal(sig.len, 256);

    auto_(EVP_PKEY_free) EVP_PKEY *pkey = read_key(key_pem);
    auto_(EVP_MD_CTX_free) EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    assert_int_equal(EVP_DigestVerifyInit_ex(ctx, NULL, "SHA256", NULL, NULL, pkey, NULL), 1);
    assert_int_equal(EVP_DigestVerify(ctx, (const unsigned char *)sig.data, sig.len,
                                      (const unsigned char *)text, sizeof text - 1),
                     1);
}

static void test_rs256_refuses(void **state)
{
    static const char *const bad[] = {
        "",
        "no key at all",
        "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n",
        "-----BEGIN PRIVATE KEY-----\n!\n-----END PRIVATE KEY-----\n",
        "-----BEGIN CERTIFICATE-----\nMAA=\n-----END CERTIFICATE-----\n",
        /* P-256: not a key for RS256 */
        "-----BEGIN PRIVATE KEY-----\n"
        "MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQg+tDNDneVnwRO91rH\n"
        "d8szG3xGhXNNWkd6XBCwHzEiduKhRANCAAQ+Drq+BqjTdtbVavBFUxvxjiQ3yiNu\n"
        "b9SrTsNJQFmWk1tHpSo37f0SIBkZ+sXkZ2a6RQfaBpskbU/NlhPS4Gjn\n"
        "-----END PRIVATE KEY-----\n",
    };
    for (size_t i = 0; i < PST_ARRAY_N(bad); i++) {
        auto_secret struct pst_secret pem = {0};
        auto_buf struct pst_buf sig = PST_BUF(1024);
        struct pst_err err = {0};

        assert_int_equal(pst_secret_set(&pem, bad[i], strlen(bad[i]), NULL), PST_OK);
        assert_int_equal(pst_rs256_pem(&pem, "x", 1, &sig, &err), PST_REFUSED);
        assert_true(err.text[0]);
        assert_int_equal(sig.len, 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sha1),
        cmocka_unit_test(test_hmac),
        cmocka_unit_test(test_rs256),
        cmocka_unit_test(test_rs256_refuses),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
