/* key_test.c - keys, signatures, JWS and CSR, with the vectors of the RFCs. */
#include "crypto_test_help.h"
#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>

/* RFC 7515 appendix A.3 */
#define EC_D          "jpsQnnGQmL-YBIffH1136cspYG6-0iY7X1fCE9-E9LI"
#define EC_X          "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU"
#define EC_Y          "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"
#define EC_JWK        "{\"crv\":\"P-256\",\"kty\":\"EC\",\"x\":\"" EC_X "\",\"y\":\"" EC_Y "\"}"
#define EC_THUMBPRINT "oKIywvGUpTVTyxMQ3bwIIeQUudfr_CkLMjCE19ECD-U"
#define EC_INPUT                                                                                   \
    "eyJhbGciOiJFUzI1NiJ9."                                                                        \
    "eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVl" \
    "fQ"
#define EC_RAW_SIG                                                                                 \
    "0ed1215379636c483c2f7f155807d402a3b228033af97c7e17819ac3169ea665"                             \
    "c50a07d38c3c70e5d8f12daf084a5480a66590c5f293509a8f3f7f8a83a354d5"
/* RFC 8037 appendix A */
#define ED_D          "nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A"
#define ED_THUMBPRINT "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k"
#define ED_INPUT      "eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc"
#define ED_SIG                                                                                     \
    "hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg"
/* RFC 7638 section 3.1 */
#define RSA_N                                                                                      \
    "0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_"      \
    "BJECPebWK"                                                                                    \
    "RXjBZCiFV4n3oknjhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_"              \
    "FDW2QvzqY368QQMic"                                                                            \
    "AtaSqzs8KJZgnYb9c7d0zgdAZHzu6qMQvRL5hajrn1n91CbOpbISD08qNLyrdkt-"                             \
    "bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3"                                                             \
    "XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8awapJzKnqDKgw"
#define RSA_THUMBPRINT "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs"
#define TOKEN          "evaGxfADs6pSRb2LAv9IZf17Dt3juxGJ-PCt92wr-oA"

static int set_up(void **state)
{
    *state = help_keyring();
    return 0;
}

static int tear_down(void **state)
{
    pst_keyring_free(*state);
    return 0;
}

static struct pst_key_handle ec_vector(void)
{
    struct pst_key_handle h = {.type = PST_KEY_P256};
    struct pst_err err = {0};
    uint8_t raw[97] = {0};

    assert_int_equal(help_b64url(EC_D, raw, 32), 32);
    raw[32] = 4;
    assert_int_equal(help_b64url(EC_X, raw + 33, 32), 32);
    assert_int_equal(help_b64url(EC_Y, raw + 65, 32), 32);
    assert_ok(pst_raw_to_pkey(PST_KEY_P256, raw, sizeof raw, &h.pkey, &err), err);
    return h;
}

static struct pst_key_handle ed_vector(void)
{
    struct pst_key_handle h = {.type = PST_KEY_ED25519};
    struct pst_err err = {0};
    uint8_t der[48];

    assert_true(pst_unhex(der, 16, "302e020100300506032b657004220420"));
    assert_int_equal(help_b64url(ED_D, der + 16, 32), 32);
    assert_ok(pst_raw_to_pkey(PST_KEY_ED25519, der, sizeof der, &h.pkey, &err), err);
    return h;
}

/* ---- vectors ---- */

static void ec_thumbprint_and_key_authorization(void **state)
{
    struct pst_key_handle h = ec_vector();
    auto_buf struct pst_buf json = PST_BUF(4096), txt = PST_BUF(64);
    char thumbprint[PST_JWK_THUMBPRINT_SIZE], hex[PST_SHA256_HEX_SIZE];
    uint8_t digest[32];
    struct pst_err err = {0};

    (void)state;
    assert_ok(pst_jwk_public(&h, &json, &err), err);
    assert_string_equal(json.data, EC_JWK);
    assert_ok(pst_jwk_thumbprint(&h, thumbprint, &err), err);
    assert_string_equal(thumbprint, EC_THUMBPRINT);
    assert_ok(pst_jwk_thumbprint_json(EC_JWK, strlen(EC_JWK), thumbprint, &err), err);
    assert_string_equal(thumbprint, EC_THUMBPRINT);

    assert_ok(pst_sha256_hex(TOKEN "." EC_THUMBPRINT, strlen(TOKEN) + 44, hex, &err), err);
    assert_string_equal(hex, "65a26016d215e16034b7633337b91b4a4d2c7d17761998dac51a9a49300aea52");
    assert_ok(pst_sha256(TOKEN "." EC_THUMBPRINT, strlen(TOKEN) + 44, digest, &err), err);
    pst_b64url_add(&txt, digest, 32);
    assert_string_equal(txt.data, "ZaJgFtIV4WA0t2MzN7kbSk0sfRd2GZjaxRqaSTAK6lI");
    EVP_PKEY_free(h.pkey);
}

static void rsa_thumbprint_and_key_authorization(void **state)
{
    auto_(OSSL_PARAM_BLD_free) OSSL_PARAM_BLD *bld = OSSL_PARAM_BLD_new();
    auto_buf struct pst_buf json = PST_BUF(4096);
    char thumbprint[PST_JWK_THUMBPRINT_SIZE], hex[PST_SHA256_HEX_SIZE];
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_name(NULL, "RSA", NULL);
    EVP_PKEY *pkey = NULL;
    uint8_t n[256];
    BIGNUM *bn, *e = BN_new();
    struct pst_err err = {0};

    (void)state;
    assert_int_equal(help_b64url(RSA_N, n, sizeof n), 256);
    bn = BN_bin2bn(n, sizeof n, NULL);
    assert_int_equal(BN_set_word(e, 65537), 1);
    OSSL_PARAM_BLD_push_BN(bld, OSSL_PKEY_PARAM_RSA_N, bn);
    OSSL_PARAM_BLD_push_BN(bld, OSSL_PKEY_PARAM_RSA_E, e);
    OSSL_PARAM *params = OSSL_PARAM_BLD_to_param(bld);
    assert_int_equal(EVP_PKEY_fromdata_init(ctx), 1);
    assert_int_equal(EVP_PKEY_fromdata(ctx, &pkey, EVP_PKEY_PUBLIC_KEY, params), 1);

    assert_ok(pst_jwk_write(pkey, &json, &err), err);
    assert_string_equal(json.data, "{\"e\":\"AQAB\",\"kty\":\"RSA\",\"n\":\"" RSA_N "\"}");
    assert_ok(pst_jwk_thumbprint_json(json.data, json.len, thumbprint, &err), err);
    assert_string_equal(thumbprint, RSA_THUMBPRINT);
    assert_ok(pst_sha256_hex(TOKEN "." RSA_THUMBPRINT, strlen(TOKEN) + 44, hex, &err), err);
    assert_string_equal(hex, "653471d42925d7eb4cd39a39cda8b34d3034c94cb90067ab78c8123560ba2e5f");

    OSSL_PARAM_free(params);
    EVP_PKEY_CTX_free(ctx);
    EVP_PKEY_free(pkey);
    BN_free(bn);
    BN_free(e);
}

static void ed25519_thumbprint_and_signature(void **state)
{
    struct pst_key_handle h = ed_vector();
    auto_buf struct pst_buf sig = PST_BUF(64), text = PST_BUF(128);
    char thumbprint[PST_JWK_THUMBPRINT_SIZE];
    struct pst_err err = {0};

    (void)state;
    assert_string_equal(pst_jws_alg(&h), "EdDSA");
    assert_ok(pst_jwk_thumbprint(&h, thumbprint, &err), err);
    assert_string_equal(thumbprint, ED_THUMBPRINT);
    assert_ok(pst_jws_sign(&h, ED_INPUT, strlen(ED_INPUT), &sig, &err), err);
    pst_b64url_add(&text, sig.data, sig.len);
    assert_string_equal(text.data, ED_SIG);
    EVP_PKEY_free(h.pkey);
}

/* Raw r || s as DER, by the library. */
static size_t to_der(const uint8_t *raw, int width, uint8_t *to)
{
    ECDSA_SIG *sig = ECDSA_SIG_new();
    unsigned char *at = to;
    int len;

    assert_int_equal(
        ECDSA_SIG_set0(sig, BN_bin2bn(raw, width, NULL), BN_bin2bn(raw + width, width, NULL)), 1);
    len = i2d_ECDSA_SIG(sig, &at);
    assert_true(len > 0);
    ECDSA_SIG_free(sig);
    return (size_t)len;
}

static bool verifies(EVP_PKEY *pkey, const char *digest, const uint8_t *sig, size_t sig_len,
                     const char *text, bool pss)
{
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    EVP_PKEY_CTX *pctx;
    int ok;

    assert_int_equal(EVP_DigestVerifyInit_ex(ctx, &pctx, digest, NULL, NULL, pkey, NULL), 1);
    if (pss)
        assert_int_equal(EVP_PKEY_CTX_set_rsa_padding(pctx, RSA_PKCS1_PSS_PADDING), 1);
    ok = EVP_DigestVerify(ctx, sig, sig_len, (const uint8_t *)text, strlen(text));
    EVP_MD_CTX_free(ctx);
    ERR_clear_error();
    return ok == 1;
}

static void es256_signature_between_der_and_raw(void **state)
{
    struct pst_key_handle h = ec_vector();
    uint8_t raw[64], der[80], back[64];
    struct pst_err err = {0};
    size_t len;

    (void)state;
    assert_true(pst_unhex(raw, sizeof raw, EC_RAW_SIG));
    len = to_der(raw, 32, der);
    assert_int_equal(len, 71); /* s has its top bit set: one zero byte more */
    assert_int_equal(der[5], 0xd1);
    assert_true(verifies(h.pkey, "SHA256", der, len, EC_INPUT, false));
    assert_ok(pst_ecdsa_raw(der, len, 32, back, &err), err);
    assert_memory_equal(back, raw, sizeof raw);
    assert_rc(pst_ecdsa_raw(der, len - 1, 32, back, &err), PST_EINTERNAL, err);
    EVP_PKEY_free(h.pkey);
}

/* A short r must be padded on the left: r = 1, s = 2. */
static void short_halves_are_padded(void **state)
{
    static const uint8_t der[] = {0x30, 6, 2, 1, 1, 2, 1, 2};
    uint8_t raw[96], expected[96] = {0};
    struct pst_err err = {0};

    (void)state;
    expected[47] = 1;
    expected[95] = 2;
    assert_ok(pst_ecdsa_raw(der, sizeof der, 48, raw, &err), err);
    assert_memory_equal(raw, expected, sizeof raw);
}

static void external_account_binding_signature(void **state)
{
    static const char protected_text[] =
        "{\"alg\":\"HS256\",\"kid\":\"kid-1\",\"url\":\"https://localhost:14000/sign-me-up\"}";
    auto_buf struct pst_buf input = PST_BUF(4096), sig = PST_BUF(64), text = PST_BUF(64);
    uint8_t key[64];
    struct pst_err err = {0};

    (void)state;
    assert_int_equal(help_b64url("zWNDZM6eQGHWpSRTPal5eIUYFTu7EajVIoguysqZ9wG44nMEtx3MUAsUDkMTQ12W",
                                 key, sizeof key),
                     48);
    pst_b64url_add(&input, protected_text, strlen(protected_text));
    pst_buf_char(&input, '.');
    pst_b64url_add(&input, EC_JWK, strlen(EC_JWK));
    assert_ok(pst_jws_hmac("HS256", key, 48, input.data, input.len, &sig, &err), err);
    pst_b64url_add(&text, sig.data, sig.len);
    assert_string_equal(text.data, "JerwpBYp3xRnaRwF0vv3m5APeHVVv3mUOj5VJ_9KHcs");
    assert_rc(pst_jws_hmac("HS1", key, 48, "x", 1, &sig, &err), PST_EINPUT, err);
    assert_rc(pst_jws_hmac(NULL, key, 48, "x", 1, &sig, &err), PST_EINPUT, err);
}

static void digests_and_macs_of_the_standards(void **state)
{
    static const char account[] = "https://example.com/acme/acct/ExampleAccount";
    static const char alphabet[] = "abcdefghijklmnopqrstuvwxyz234567";
    char hex[PST_SHA256_HEX_SIZE], label[17] = "";
    auto_buf struct pst_buf mac = PST_BUF(64);
    uint8_t digest[32];
    struct pst_err err = {0};

    (void)state;
    assert_ok(pst_sha256_hex("", 0, hex, &err), err);
    assert_string_equal(hex, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    assert_ok(pst_hmac_sha256_hex("", 0, "", 0, hex, &err), err);
    assert_string_equal(hex, "b613679a0814d9ec772f95d778c35fc5ff1697c493715653c6c712144292c5ad");
    assert_ok(pst_hmac_sha256_hex("Jefe", 4, "what do ya want for nothing?", 28, hex, &err), err);
    assert_string_equal(hex, "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
    assert_ok(pst_jws_hmac("HS512", "Jefe", 4, "what do ya want for nothing?", 28, &mac, &err),
              err);
    assert_int_equal(mac.len, 64);
    assert_int_equal((uint8_t)mac.data[0], 0x16);

    /* dns-account-01: base32 of the first ten bytes. */
    assert_ok(pst_sha256(account, strlen(account), digest, &err), err);
    for (int i = 0; i < 16; i++) {
        int bit = 5 * i;
        unsigned two = (unsigned)digest[bit / 8] << 8 | digest[bit / 8 + 1];

        label[i] = alphabet[two >> (11 - bit % 8) & 31];
    }
    assert_string_equal(label, "ujmmovf2vn55tgye");
}

/* ---- life of a key ---- */

static const struct {
    enum pst_key_type type;
    int rsa_bits;
    int bits;
    const char *jws;
    enum pst_sign_alg alg;
    const char *digest;
    size_t raw_sig_len;
    size_t replica_len; /* 0: varies */
} kinds[] = {
    {PST_KEY_P256, 0, 256, "ES256", PST_SIGN_ECDSA_SHA256, "SHA256", 64, 97},
    {PST_KEY_P384, 0, 384, "ES384", PST_SIGN_ECDSA_SHA384, "SHA384", 96, 145},
    {PST_KEY_P521, 0, 521, "ES512", PST_SIGN_ECDSA_SHA512, "SHA512", 132, 0},
    {PST_KEY_RSA, 2048, 2048, "RS256", PST_SIGN_RSA_PKCS1_SHA256, "SHA256", 256, 0},
    {PST_KEY_ED25519, 0, 256, "EdDSA", PST_SIGN_ED25519, NULL, 64, 0},
};

static void every_type_is_made_opened_and_signs(void **state)
{
    struct pst_keyring *kr = *state;

    for (size_t i = 0; i < PST_ARRAY_N(kinds); i++) {
        auto_buf struct pst_buf sealed = PST_BUF(8192), spki = PST_BUF(1024), sig = PST_BUF(1024),
                                raw = PST_BUF(1024);
        auto_secret struct pst_secret replica = {0};
        struct pst_key_handle *h = NULL;
        struct pst_key_info info;
        enum pst_key_type type;
        uint8_t der[256];
        struct pst_err err = {0};
        struct pst_sealed ref = {.kind = "cert", .object_id = "a"};

        assert_ok(
            pst_key_new(kr, kinds[i].type, kinds[i].rsa_bits, "cert", "a", &sealed, &spki, &err),
            err);
        ref.blob = sealed.data;
        ref.len = sealed.len;
        assert_ok(pst_key_open(kr, "cert", "a", sealed.data, sealed.len, &h, &err), err);
        assert_ok(pst_key_info(h, &info, &err), err);
        assert_int_equal(info.type, kinds[i].type);
        assert_int_equal(info.bits, kinds[i].bits);
        assert_int_equal(info.spki_len, spki.len);
        assert_memory_equal(info.spki, spki.data, spki.len);
        assert_string_equal(pst_jws_alg(h), kinds[i].jws);

        assert_ok(pst_key_sign(kr, &ref, kinds[i].alg, "text", 4, &sig, &err), err);
        assert_true(
            verifies(h->pkey, kinds[i].digest, (uint8_t *)sig.data, sig.len, "text", false));
        assert_ok(pst_jws_sign(h, "text", 4, &raw, &err), err);
        assert_int_equal(raw.len, kinds[i].raw_sig_len);
        if (pst_key_width(kinds[i].type) > 0) {
            size_t len = to_der((uint8_t *)raw.data, pst_key_width(kinds[i].type), der);

            assert_true(verifies(h->pkey, kinds[i].digest, der, len, "text", false));
        }

        assert_ok(
            pst_key_replica_form(kr, "cert", "a", sealed.data, sealed.len, &type, &replica, &err),
            err);
        assert_int_equal(type, kinds[i].type);
        if (kinds[i].replica_len > 0)
            assert_int_equal(replica.len, kinds[i].replica_len);
        assert_rc(pst_key_open(kr, "cert", "b", sealed.data, sealed.len, &h, &err), PST_EINTERNAL,
                  err);
        pst_key_free(h);
    }
}

static void replica_forms_are_the_raw_parts(void **state)
{
    struct pst_keyring *kr = *state;
    struct pst_key_handle ec = ec_vector();
    auto_secret struct pst_secret form = {0}, edge = {0}, opened = {0};
    auto_buf struct pst_buf sealed = PST_BUF(8192), spki = PST_BUF(1024), box = PST_BUF(8192);
    struct pst_err err = {0};
    uint8_t expected[97], edge_public[32];
    enum pst_key_type type;

    help_b64url(EC_D, expected, 32);
    expected[32] = 4;
    help_b64url(EC_X, expected + 33, 32);
    help_b64url(EC_Y, expected + 65, 32);
    assert_ok(pst_pkey_seal(kr, ec.pkey, "cert", "a", &sealed, &err), err);
    assert_ok(pst_key_replica_form(kr, "cert", "a", sealed.data, sealed.len, &type, &form, &err),
              err);
    assert_int_equal(form.len, sizeof expected);
    assert_memory_equal(form.data, expected, sizeof expected);

    struct pst_sealed ref = {"cert", "a", sealed.data, sealed.len};
    assert_ok(pst_box_keypair(&edge, edge_public, &err), err);
    assert_ok(pst_key_box_for_edge(kr, &ref, edge_public, "cert/7", &box, &err), err);
    assert_ok(pst_box_open(&edge, "cert/7", box.data, box.len, &opened, &err), err);
    assert_int_equal(opened.len, sizeof expected);
    assert_memory_equal(opened.data, expected, sizeof expected);

    /* PKCS#1: after the version comes the modulus, not an algorithm. */
    pst_buf_cut(&sealed, 0);
    assert_ok(pst_key_new(kr, PST_KEY_RSA, 2048, "cert", "a", &sealed, &spki, &err), err);
    assert_ok(pst_key_replica_form(kr, "cert", "a", sealed.data, sealed.len, &type, &form, &err),
              err);
    assert_int_equal(form.data[0], 0x30);
    assert_int_equal(form.data[4], 0x02);
    assert_int_equal(form.data[7], 0x02);
    EVP_PKEY_free(ec.pkey);
}

static void a_sealed_text_that_is_no_key_does_not_open(void **state)
{
    static const struct {
        const char *text;
        size_t len;
    } odd[] = {{"", 0}, {"\1", 1}, {"\1short", 6}, {"\4rubbish", 8}, {"\5rubbish", 8}, {"\7x", 2}};
    struct pst_keyring *kr = *state;
    struct pst_key_handle *h = NULL;
    struct pst_err err = {0};

    for (size_t i = 0; i < PST_ARRAY_N(odd); i++) {
        auto_buf struct pst_buf sealed = PST_BUF(256);

        assert_ok(pst_seal(kr, "cert", "a", odd[i].text, odd[i].len, &sealed, &err), err);
        assert_rc(pst_key_open(kr, "cert", "a", sealed.data, sealed.len, &h, &err), PST_EINTERNAL,
                  err);
    }
    assert_null(h);
}

static void algorithm_and_key_must_fit(void **state)
{
    struct pst_key_handle ec = ec_vector(), ed = ed_vector();
    struct pst_key_handle rsa = {.pkey = EVP_RSA_gen(2048), .type = PST_KEY_RSA};
    auto_buf struct pst_buf sig = PST_BUF(1024);
    struct pst_err err = {0};

    (void)state;
    for (enum pst_sign_alg a = 0; a < PST_SIGN_ALG__COUNT; a++) {
        bool for_ec = a <= PST_SIGN_ECDSA_SHA512, for_ed = a == PST_SIGN_ED25519;
        bool pss = a >= PST_SIGN_RSA_PSS_SHA256 && !for_ed;
        static const char *const digests[] = {"SHA256", "SHA384", "SHA512"};

        assert_int_equal(pst_key_handle_sign(&ec, a, "t", 1, &sig, &err), for_ec ? 0 : PST_EINPUT);
        assert_int_equal(pst_key_handle_sign(&ed, a, "t", 1, &sig, &err), for_ed ? 0 : PST_EINPUT);
        pst_buf_cut(&sig, 0);
        assert_int_equal(pst_key_handle_sign(&rsa, a, "t", 1, &sig, &err),
                         for_ec || for_ed ? PST_EINPUT : 0);
        if (!for_ec && !for_ed)
            assert_true(verifies(rsa.pkey, digests[a % 3], (uint8_t *)sig.data, sig.len, "t", pss));
    }
    assert_rc(pst_key_handle_sign(&ec, PST_SIGN_ALG__COUNT, "t", 1, &sig, &err), PST_EINPUT, err);
    EVP_PKEY_free(ec.pkey);
    EVP_PKEY_free(ed.pkey);
    EVP_PKEY_free(rsa.pkey);
}

static void odd_keys_are_not_made(void **state)
{
    auto_buf struct pst_buf a = PST_BUF(100), b = PST_BUF(100);
    enum pst_key_type type = PST_KEY_P256;
    struct pst_err err = {0};

    assert_rc(pst_key_new(*state, PST_KEY_RSA, 1024, "k", "i", &a, &b, &err), PST_EINPUT, err);
    assert_rc(pst_key_new(*state, PST_KEY_RSA, 8192, "k", "i", &a, &b, &err), PST_EINPUT, err);
    assert_rc(pst_key_new(*state, PST_KEY_OTHER, 0, "k", "i", &a, &b, &err), PST_EINPUT, err);
    assert_true(pst_key_type_parse("p384", &type));
    assert_int_equal(type, PST_KEY_P384);
    assert_false(pst_key_type_parse("other", &type));
    assert_false(pst_key_type_parse(NULL, &type));
    assert_string_equal(pst_key_type_name(PST_KEY_ED25519), "ed25519");
    assert_string_equal(pst_key_type_name((enum pst_key_type)99), "other");
}

/* ---- import ---- */

static void write_key(struct pst_buf *to, EVP_PKEY *pkey, bool traditional, const char *pass)
{
    BIO *bio = BIO_new(BIO_s_mem());
    char *text;
    long len;

    if (traditional)
        assert_int_equal(PEM_write_bio_PrivateKey_traditional(
                             bio, pkey, pass ? EVP_aes_128_cbc() : NULL, (const uint8_t *)pass,
                             pass ? (int)strlen(pass) : 0, NULL, NULL),
                         1);
    else
        assert_int_equal(PEM_write_bio_PKCS8PrivateKey(bio, pkey, pass ? EVP_aes_128_cbc() : NULL,
                                                       pass, pass ? (int)strlen(pass) : 0, NULL,
                                                       NULL),
                         1);
    len = BIO_get_mem_data(bio, &text);
    pst_buf_add(to, text, (size_t)len);
    BIO_free(bio);
}

static int import(struct pst_keyring *kr, const struct pst_buf *text, struct pst_key_info *info,
                  struct pst_err *err)
{
    auto_buf struct pst_buf sealed = PST_BUF(16384);
    int rc;

    pst_err_clear(err);
    rc = pst_key_import(kr, text->data, text->len, "k", "i", &sealed, info, err);
    if (rc != PST_OK)
        assert_int_equal(sealed.len, 0);
    return rc;
}

static void keys_are_imported_from_every_form(void **state)
{
    EVP_PKEY *const keys[] = {EVP_EC_gen("P-256"), EVP_EC_gen("P-384"), EVP_RSA_gen(2048)};
    static const enum pst_key_type types[] = {PST_KEY_P256, PST_KEY_P384, PST_KEY_RSA};
    struct pst_key_info info;
    struct pst_err err = {0};

    for (size_t i = 0; i < PST_ARRAY_N(keys); i++) {
        for (int traditional = 0; traditional < 2; traditional++) {
            auto_buf struct pst_buf text = PST_BUF(65536);
            auto_pem_block struct pst_pem_block block = {0};
            unsigned char *spki = NULL;
            int spki_len = i2d_PUBKEY(keys[i], &spki);
            size_t at = 0;

            pst_buf_str(&text, "Bag Attributes\n    friendlyName: x\n");
            write_key(&text, keys[i], traditional, NULL);
            assert_ok(import(*state, &text, &info, &err), err);
            assert_int_equal(info.type, types[i]);
            assert_int_equal(info.spki_len, spki_len);
            assert_memory_equal(info.spki, spki, info.spki_len);
            OPENSSL_free(spki);

            assert_ok(pst_pem_next(text.data, text.len, &at, 8192, &block, &err), err);
            assert_ok(import(*state, &block.der, &info, &err), err);
            assert_int_equal(info.type, types[i]);

            pst_buf_char(&block.der, 'x'); /* a byte too many */
            assert_rc(import(*state, &block.der, &info, &err), PST_REFUSED, err);
            assert_string_equal(err.problem, "key_format");
        }
        EVP_PKEY_free(keys[i]);
    }
}

static void rarer_types_are_imported_too(void **state)
{
    EVP_PKEY *const keys[] = {EVP_EC_gen("P-521"), EVP_PKEY_Q_keygen(NULL, NULL, "ED25519")};
    static const enum pst_key_type types[] = {PST_KEY_P521, PST_KEY_ED25519};
    struct pst_key_info info;
    struct pst_err err = {0};

    for (size_t i = 0; i < PST_ARRAY_N(keys); i++) {
        auto_buf struct pst_buf text = PST_BUF(65536);

        write_key(&text, keys[i], false, NULL);
        assert_ok(import(*state, &text, &info, &err), err);
        assert_int_equal(info.type, types[i]);
        EVP_PKEY_free(keys[i]);
    }
}

static void assert_refused(void **state, const char *text, size_t len, const char *problem)
{
    struct pst_buf in = {.data = (char *)(uintptr_t)text, .len = len};
    struct pst_key_info info;
    struct pst_err err = {0};

    assert_rc(import(*state, &in, &info, &err), PST_REFUSED, err);
    assert_string_equal(err.problem, problem);
}

static void unfit_keys_are_refused_with_a_reason(void **state)
{
    auto_buf struct pst_buf text = PST_BUF(65536);
    EVP_PKEY *ec = EVP_EC_gen("P-256"), *small = EVP_RSA_gen(1024), *odd = EVP_EC_gen("secp256k1");

    write_key(&text, ec, false, "pass");
    assert_refused(state, text.data, text.len, "key_encrypted");
    pst_buf_cut(&text, 0);
    write_key(&text, ec, true, "pass");
    assert_refused(state, text.data, text.len, "key_encrypted");
    pst_buf_cut(&text, 0);
    write_key(&text, small, false, NULL);
    assert_refused(state, text.data, text.len, "key_size");
    pst_buf_cut(&text, 0);
    write_key(&text, odd, false, NULL);
    assert_refused(state, text.data, text.len, "key_type");
    pst_buf_cut(&text, 0);
    write_key(&text, ec, false, NULL);
    assert_refused(state, text.data, text.len - 30, "key_format");
    write_key(&text, ec, false, NULL);
    assert_refused(state, text.data, text.len, "key_format"); /* two */
    assert_refused(state, "rubbish", 7, "key_format");
    assert_refused(state, "", 0, "key_format");
    pst_buf_cut(&text, 0);
    pst_pem_write("abc", 3, "DSA PRIVATE KEY", &text);
    assert_refused(state, text.data, text.len, "key_type");
    pst_buf_cut(&text, 0);
    pst_pem_write("abc", 3, "CERTIFICATE", &text);
    assert_refused(state, text.data, text.len, "key_format");
    EVP_PKEY_free(ec);
    EVP_PKEY_free(small);
    EVP_PKEY_free(odd);
}

/* The private half of one key with the public half of another. */
static void a_key_that_contradicts_itself_is_refused(void **state)
{
    uint8_t der[121] = {0x30, 0x77, 2, 1, 1, 4, 0x20};
    struct pst_key_handle a = ec_vector();
    auto_(EVP_PKEY_free) EVP_PKEY *b = EVP_EC_gen("P-256");
    struct pst_err err = {0};

    help_b64url(EC_D, der + 7, 32);
    assert_true(pst_unhex(der + 39, 17, "a00a06082a8648ce3d030107a144034200"));
    der[56] = 4;
    assert_ok(pst_pkey_point(b, der + 57, der + 89, 32, &err), err);
    assert_refused(state, (char *)der, sizeof der, "key_format");

    assert_ok(pst_pkey_point(a.pkey, der + 57, der + 89, 32, &err), err);
    struct pst_buf in = {.data = (char *)der, .len = sizeof der};
    struct pst_key_info info;
    assert_ok(import(*state, &in, &info, &err), err);
    EVP_PKEY_free(a.pkey);
}

/* ---- CSR ---- */

static void a_request_names_exactly_what_was_asked(void **state)
{
    static const char *const names[] = {"example.com", "*.example.com", "xn--bcher-kva.example"};

    for (size_t i = 0; i < PST_ARRAY_N(kinds); i++) {
        auto_buf struct pst_buf sealed = PST_BUF(8192), spki = PST_BUF(1024), der = PST_BUF(8192);
        struct pst_key_handle *h = NULL;
        struct pst_err err = {0};

        assert_ok(
            pst_key_new(*state, kinds[i].type, kinds[i].rsa_bits, "k", "i", &sealed, &spki, &err),
            err);
        assert_ok(pst_key_open(*state, "k", "i", sealed.data, sealed.len, &h, &err), err);
        assert_ok(pst_csr_new(h, names, PST_ARRAY_N(names), &der, &err), err);

        const unsigned char *at = (unsigned char *)der.data;
        X509_REQ *req = d2i_X509_REQ(NULL, &at, (long)der.len);
        assert_non_null(req);
        assert_int_equal(X509_REQ_verify(req, h->pkey), 1);
        assert_int_equal(X509_NAME_entry_count(X509_REQ_get_subject_name(req)), 0);
        STACK_OF(X509_EXTENSION) *exts = X509_REQ_get_extensions(req);
        assert_int_equal(sk_X509_EXTENSION_num(exts), 1); /* no must-staple */
        GENERAL_NAMES *list = X509V3_get_d2i(exts, NID_subject_alt_name, NULL, NULL);
        assert_int_equal(sk_GENERAL_NAME_num(list), 3);
        for (int k = 0; k < 3; k++) {
            const ASN1_STRING *name = GENERAL_NAME_get0_value(sk_GENERAL_NAME_value(list, k), NULL);

            assert_int_equal(ASN1_STRING_length(name), strlen(names[k]));
            assert_memory_equal(ASN1_STRING_get0_data(name), names[k], strlen(names[k]));
        }
        GENERAL_NAMES_free(list);
        sk_X509_EXTENSION_pop_free(exts, X509_EXTENSION_free);
        X509_REQ_free(req);
        pst_key_free(h);
    }
}

static void a_request_says_who_asks(void **state)
{
    static const char *const names[] = {"example.com"};
    static const struct pst_csr_subject subject = {.country = "FR",
                                                   .state = "Alsace",
                                                   .locality = "Strasbourg",
                                                   .organization = "Soci\xc3\xa9t\xc3\xa9",
                                                   .unit = "",
                                                   .common_name = "example.com",
                                                   .email = "a@example.com"};
    static const struct {
        struct pst_csr_subject subject;
        const char *problem;
    } bad[] = {
        {{.country = "fr"}, "country"},
        {{.country = "FRA"}, "country"},
        {{.organization = "0123456789012345678901234567890123456789012345678901234567890123x"},
         "organization"},
        {{.common_name = "a\nb"}, "common_name"},
        {{.locality = "\xc3"}, "locality"},
        {{.email = "\xc3\xa9@example.com"}, "email"},
    };
    struct pst_key_handle h = ec_vector();
    auto_buf struct pst_buf der = PST_BUF(8192);
    char line[300];
    struct pst_err err = {0};

    (void)state;
    assert_ok(pst_csr_new_subject(&h, &subject, names, 1, &der, &err), err);
    const unsigned char *at = (unsigned char *)der.data;
    X509_REQ *req = d2i_X509_REQ(NULL, &at, (long)der.len);
    assert_int_equal(X509_REQ_verify(req, h.pkey), 1);
    X509_NAME_oneline(X509_REQ_get_subject_name(req), line, sizeof line);
    assert_string_equal(line, "/C=FR/ST=Alsace/L=Strasbourg/O=Soci\\xC3\\xA9t\\xC3\\xA9/"
                              "CN=example.com/emailAddress=a@example.com");
    X509_REQ_free(req);
    for (size_t i = 0; i < PST_ARRAY_N(bad); i++) {
        assert_rc(pst_csr_new_subject(&h, &bad[i].subject, names, 1, &der, &err), PST_EINPUT, err);
        assert_string_equal(err.problem, bad[i].problem);
    }
    EVP_PKEY_free(h.pkey);
}

static void a_key_is_sealed_anew_for_another_object(void **state)
{
    auto_buf struct pst_buf one = PST_BUF(8192), two = PST_BUF(8192), spki = PST_BUF(1024);
    struct pst_key_handle *h = NULL;
    struct pst_key_info info;
    struct pst_err err = {0};

    assert_ok(pst_key_new(*state, PST_KEY_P384, 0, "request", "a", &one, &spki, &err), err);
    struct pst_sealed key = {"request", "a", one.data, one.len};
    assert_ok(pst_key_reseal(*state, &key, "certificate", "b", &two, &err), err);
    assert_ok(pst_key_open(*state, "certificate", "b", two.data, two.len, &h, &err), err);
    assert_ok(pst_key_info(h, &info, &err), err);
    assert_int_equal(info.spki_len, spki.len);
    assert_memory_equal(info.spki, spki.data, spki.len);
    pst_key_free(h);
    key.object_id = "c";
    pst_buf_cut(&two, 0);
    assert_true(pst_key_reseal(*state, &key, "certificate", "b", &two, &err) < 0);
}

static void odd_names_are_not_asked_for(void **state)
{
    static const char *const odd[] = {
        "",        "Example.com",
        "a..b",    "a.b.",
        "-a.b",    "a-.b",
        "a b",     "a_b.c",
        "*",       "*.*.a.b",
        "a.*.b",   "*a.b",
        "a\nb.c",  "b\xc3\xbc.de",
        "a,DNS:b", "0123456789012345678901234567890123456789012345678901234567890123.com",
    };
    struct pst_key_handle h = ec_vector();
    auto_buf struct pst_buf der = PST_BUF(8192);
    const char *many[PST_CSR_NAMES_MAX + 1];
    struct pst_err err = {0};

    (void)state;
    for (size_t i = 0; i < PST_ARRAY_N(odd); i++)
        assert_rc(pst_csr_new(&h, &odd[i], 1, &der, &err), PST_EINPUT, err);
    assert_rc(pst_csr_new(&h, odd, 0, &der, &err), PST_EINPUT, err);
    for (size_t i = 0; i < PST_ARRAY_N(many); i++)
        many[i] = "a.test";
    assert_rc(pst_csr_new(&h, many, PST_ARRAY_N(many), &der, &err), PST_EINPUT, err);
    assert_int_equal(der.len, 0);
    EVP_PKEY_free(h.pkey);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ec_thumbprint_and_key_authorization),
        cmocka_unit_test(rsa_thumbprint_and_key_authorization),
        cmocka_unit_test(ed25519_thumbprint_and_signature),
        cmocka_unit_test(es256_signature_between_der_and_raw),
        cmocka_unit_test(short_halves_are_padded),
        cmocka_unit_test(external_account_binding_signature),
        cmocka_unit_test(digests_and_macs_of_the_standards),
        cmocka_unit_test(every_type_is_made_opened_and_signs),
        cmocka_unit_test(replica_forms_are_the_raw_parts),
        cmocka_unit_test(a_sealed_text_that_is_no_key_does_not_open),
        cmocka_unit_test(algorithm_and_key_must_fit),
        cmocka_unit_test(odd_keys_are_not_made),
        cmocka_unit_test(keys_are_imported_from_every_form),
        cmocka_unit_test(rarer_types_are_imported_too),
        cmocka_unit_test(unfit_keys_are_refused_with_a_reason),
        cmocka_unit_test(a_key_that_contradicts_itself_is_refused),
        cmocka_unit_test(a_request_names_exactly_what_was_asked),
        cmocka_unit_test(a_request_says_who_asks),
        cmocka_unit_test(a_key_is_sealed_anew_for_another_object),
        cmocka_unit_test(odd_names_are_not_asked_for),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
