/* x509_test.c - reading certificates, checking chains, loading pairs, the local CA. */
#include "crypto_test_help.h"
#include <openssl/err.h>
#include <openssl/pem.h>

/* A CA with root and intermediate, and a key for leaves. */
struct fixture {
    struct pst_keyring *kr;
    EVP_PKEY *root_key, *middle_key, *leaf_key;
    X509 *root, *middle, *leaf;
    struct pst_key_info leaf_info;
};

static const char *const two_names[] = {"a.test", "*.b.test"};

static int set_up(void **state)
{
    struct fixture *f = pst_zalloc(1, sizeof *f);
    struct pst_err err = {0};

    f->kr = help_keyring();
    f->root_key = help_key();
    f->middle_key = help_key();
    f->leaf_key = help_key();
    f->root = help_issue(&(struct help_cert){
        .subject_cn = "Root X1", .key = f->root_key, .is_ca = true, .serial = "01"});
    f->middle = help_issue(&(struct help_cert){.subject_cn = "Middle",
                                               .key = f->middle_key,
                                               .issuer = f->root,
                                               .issuer_key = f->root_key,
                                               .is_ca = true,
                                               .serial = "02"});
    f->leaf = help_issue(&(struct help_cert){.subject_cn = "a.test",
                                             .key = f->leaf_key,
                                             .issuer = f->middle,
                                             .issuer_key = f->middle_key,
                                             .san = "DNS:a.test,DNS:*.B.test"});
    assert_ok(pst_pkey_info(f->leaf_key, &f->leaf_info, &err), err);
    *state = f;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *f = *state;

    X509_free(f->root);
    X509_free(f->middle);
    X509_free(f->leaf);
    EVP_PKEY_free(f->root_key);
    EVP_PKEY_free(f->middle_key);
    EVP_PKEY_free(f->leaf_key);
    pst_keyring_free(f->kr);
    pst_free(f);
    return 0;
}

static void der_of(X509 *x, struct pst_buf *to)
{
    unsigned char *der = NULL;
    int len = i2d_X509(x, &der);

    assert_true(len > 0);
    pst_buf_add(to, der, (size_t)len);
    OPENSSL_free(der);
}

static void parse(X509 *x, struct pst_cert_info *ret)
{
    auto_buf struct pst_buf der = PST_BUF(PST_CERT_MAX);
    struct pst_err err = {0};

    der_of(x, &der);
    assert_ok(pst_cert_parse_der(der.data, der.len, ret, &err), err);
}

/* ---- reading ---- */

static void what_stands_in_a_certificate_is_read(void **state)
{
    struct fixture *f = *state;
    auto_cert_info struct pst_cert_info leaf = {0}, root = {0};
    auto_buf struct pst_buf der = PST_BUF(PST_CERT_MAX);
    uint8_t sha[32];
    struct pst_err err = {0};

    parse(f->leaf, &leaf);
    assert_int_equal(leaf.not_before, HELP_NOW - HELP_DAY);
    assert_int_equal(leaf.not_after, HELP_NOW + 60 * HELP_DAY);
    assert_int_equal(leaf.key_type, PST_KEY_P256);
    assert_int_equal(leaf.key_bits, 256);
    assert_string_equal(leaf.serial, "1234");
    assert_string_equal(leaf.subject, "/CN=a.test");
    assert_string_equal(leaf.subject_cn, "a.test");
    assert_string_equal(leaf.issuer, "/CN=Middle");
    assert_string_equal(leaf.issuer_cn, "Middle");
    assert_int_equal(leaf.names_n, 2);
    assert_string_equal(leaf.names[0], "a.test");
    assert_string_equal(leaf.names[1], "*.b.test");
    assert_false(leaf.is_ca || leaf.self_signed || leaf.has_aki || leaf.must_staple);
    assert_string_equal(leaf.ari_cert_id, "");
    der_of(f->leaf, &der);
    assert_ok(pst_sha256(der.data, der.len, sha, &err), err);
    assert_memory_equal(sha, leaf.sha256, 32);
    assert_ok(pst_sha256(f->leaf_info.spki, f->leaf_info.spki_len, sha, &err), err);
    assert_memory_equal(sha, leaf.spki_sha256, 32);

    parse(f->root, &root);
    assert_true(root.is_ca && root.self_signed);
    parse(f->middle, &root); /* replaces */
    assert_true(root.is_ca && !root.self_signed);
}

/* RFC 9773 appendix A: the key identifier and serial of its certificate. */
static void renewal_id_of_the_rfc(void **state)
{
    struct fixture *f = *state;
    auto_cert_info struct pst_cert_info info = {0};
    X509 *x = help_issue(&(struct help_cert){.subject_cn = "example.com",
                                             .key = f->leaf_key,
                                             .serial = "87654321",
                                             .aki = "69885b6b87464041e1b37b847ba0ae2cde01c8d4"});
    static const uint8_t long_aki[64], long_serial[33] = {0, 0x80};
    char id[160];

    parse(x, &info);
    assert_true(info.has_aki);
    assert_string_equal(info.ari_cert_id, "aYhba4dGQEHhs3uEe6CuLN4ByNQ.AIdlQyE");
    assert_string_equal(info.serial, "87654321");
    X509_free(x);

    assert_true(pst_ari_cert_id(long_aki, sizeof long_aki, long_serial, sizeof long_serial, id,
                                sizeof id)); /* the longest that is read fits */
    assert_false(
        pst_ari_cert_id(long_aki, sizeof long_aki, long_serial, sizeof long_serial, id, 100));
}

static void names_of_people_are_made_harmless(void **state)
{
    struct fixture *f = *state;
    auto_cert_info struct pst_cert_info info = {0};
    X509 *x = help_issue(&(struct help_cert){.subject_cn = "M\xc3\xbcller\n\x1b[31m \xc2\x9b\x7f",
                                             .key = f->leaf_key});

    parse(x, &info);
    assert_string_equal(info.subject_cn, "M\xc3\xbcller\\x0A\\x1B[31m \\xC2\\x9B\\x7F");
    assert_string_equal(info.subject, "/CN=M\xc3\xbcller\\x0A\\x1B[31m \\xC2\\x9B\\x7F");
    X509_free(x);
}

static void subject_in_the_well_known_form(void **state)
{
    struct fixture *f = *state;
    auto_cert_info struct pst_cert_info info = {0};
    X509 *x = help_issue(&(struct help_cert){.key = f->leaf_key});
    X509_NAME *name = X509_get_subject_name(x);

    X509_NAME_add_entry_by_txt(name, "C", MBSTRING_ASC, (const uint8_t *)"FR", -1, -1, 0);
    X509_NAME_add_entry_by_txt(name, "O", MBSTRING_UTF8, (const uint8_t *)"Acme", -1, -1, 0);
    X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_UTF8, (const uint8_t *)"x", -1, -1, 0);
    X509_NAME_add_entry_by_txt(name, "1.2.3.4.5", MBSTRING_UTF8, (const uint8_t *)"odd", -1, -1, 0);
    assert_true(X509_sign(x, f->leaf_key, EVP_sha256()) > 0);
    parse(x, &info);
    assert_string_equal(info.subject, "/C=FR/O=Acme/CN=x/1.2.3.4.5=odd");
    assert_string_equal(info.issuer, "");
    assert_string_equal(info.issuer_cn, "");
    X509_free(x);
}

static void odd_alternative_names_are_counted(void **state)
{
    struct fixture *f = *state;
    auto_cert_info struct pst_cert_info info = {0};
    X509 *x = help_issue(
        &(struct help_cert){.key = f->leaf_key,
                            .san = "DNS:a.test,IP:192.0.2.1,email:a@b.test,DNS:a b,DNS:_x.a.test",
                            .feature = "status_request"});

    parse(x, &info);
    assert_int_equal(info.names_n, 2);
    assert_string_equal(info.names[1], "_x.a.test");
    assert_int_equal(info.other_names_n, 3);
    assert_true(info.must_staple);
    X509_free(x);
}

static void covering_a_name(void **state)
{
    struct fixture *f = *state;
    auto_cert_info struct pst_cert_info info = {0};

    parse(f->leaf, &info);
    assert_true(pst_cert_covers(&info, "a.test"));
    assert_true(pst_cert_covers(&info, "x.b.test"));
    assert_true(pst_cert_covers(&info, "*.b.test"));
    assert_false(pst_cert_covers(&info, "b.test"));
    assert_false(pst_cert_covers(&info, "x.y.b.test"));
    assert_false(pst_cert_covers(&info, "*.a.test"));
    assert_false(pst_cert_covers(&info, "*.y.b.test"));
    assert_false(pst_cert_covers(&info, ".b.test"));
    assert_false(pst_cert_covers(&info, "xa.test"));
    assert_false(pst_cert_covers(&info, "test"));
    assert_false(pst_cert_covers(&info, ""));
}

static void damaged_certificates_are_refused(void **state)
{
    struct fixture *f = *state;
    auto_cert_info struct pst_cert_info info = {0};
    auto_buf struct pst_buf der = PST_BUF(PST_CERT_MAX);
    auto_(pst_free) char *big = pst_zalloc(1, PST_CERT_MAX + 1);
    struct pst_err err = {0};

    der_of(f->leaf, &der);
    for (size_t len = 0; len < der.len; len++)
        assert_rc(pst_cert_parse_der(der.data, len, &info, &err), PST_EINPUT, err);
    /* A changed byte may be read or not, but never harm. */
    for (size_t i = 0; i < der.len; i++) {
        int rc;

        der.data[i] ^= 0x55;
        rc = pst_cert_parse_der(der.data, der.len, &info, &err);
        assert_true(rc == PST_OK || rc == PST_EINPUT);
        der.data[i] ^= 0x55;
    }
    pst_buf_char(&der, 0);
    assert_rc(pst_cert_parse_der(der.data, der.len, &info, &err), PST_EINPUT, err);
    assert_rc(pst_cert_parse_der(big, PST_CERT_MAX + 1, &info, &err), PST_EINPUT, err);
}

/* ---- chains ---- */

static int check(struct fixture *f, const struct pst_buf *pem, struct pst_chain *ret,
                 struct pst_err *err)
{
    struct pst_chain_want want = {.spki = f->leaf_info.spki,
                                  .spki_len = f->leaf_info.spki_len,
                                  .names = two_names,
                                  .names_n = 2,
                                  .now = HELP_NOW};

    pst_err_clear(err);
    return pst_chain_check(pst_buf_cstr(pem), pem->len, &want, ret, err);
}

static void assert_broken(struct fixture *f, const struct pst_buf *pem, const char *problem)
{
    auto_chain struct pst_chain chain = {0};
    struct pst_err err = {0};

    assert_rc(check(f, pem, &chain, &err), PST_REFUSED, err);
    assert_string_equal(err.problem, problem);
    assert_int_equal(err.rc, PST_REFUSED);
    assert_null(chain.leaf.data);
}

static void assert_is(const struct pst_der *der, X509 *x)
{
    auto_buf struct pst_buf expected = PST_BUF(PST_CERT_MAX);

    der_of(x, &expected);
    assert_int_equal(der->len, expected.len);
    assert_memory_equal(der->data, expected.data, expected.len);
}

static void a_chain_is_ordered_and_trimmed(void **state)
{
    struct fixture *f = *state;
    EVP_PKEY *stranger_key = help_key();
    X509 *stranger = help_issue(&(struct help_cert){
        .subject_cn = "Stranger", .key = stranger_key, .is_ca = true, .serial = "77"});
    X509 *const orders[][7] = {
        {f->leaf, f->middle},
        {f->leaf, f->middle, f->root},
        {f->root, f->middle, f->leaf},
        {f->middle, f->leaf, f->middle, f->leaf, f->middle, stranger},
    };
    auto_chain struct pst_chain chain = {0};
    struct pst_err err = {0};

    for (size_t i = 0; i < PST_ARRAY_N(orders); i++) {
        auto_buf struct pst_buf pem = PST_BUF(PST_PEM_MAX);

        for (size_t k = 0; orders[i][k]; k++) {
            pst_buf_str(&pem, "subject=/CN=text between\n");
            help_pem(orders[i][k], &pem);
        }
        assert_ok(check(f, &pem, &chain, &err), err);
        assert_is(&chain.leaf, f->leaf);
        assert_int_equal(chain.issuers_n, 1);
        assert_is(&chain.issuers[0], f->middle);
        assert_string_equal(chain.last_issuer_cn, "Root X1");
        assert_int_equal(chain.issuers_not_after, HELP_NOW + 60 * HELP_DAY);
        assert_string_equal(chain.info.subject, "/CN=a.test");
    }
    X509_free(stranger);
    EVP_PKEY_free(stranger_key);
}

static void line_ends_do_not_matter(void **state)
{
    struct fixture *f = *state;
    auto_buf struct pst_buf pem = PST_BUF(PST_PEM_MAX), crlf = PST_BUF(PST_PEM_MAX),
                            one_line = PST_BUF(PST_PEM_MAX);
    auto_chain struct pst_chain chain = {0};
    struct pst_err err = {0};

    help_pem(f->leaf, &pem);
    help_pem(f->middle, &pem);
    for (size_t i = 0; i < pem.len; i++) {
        if (pem.data[i] == '\n')
            pst_buf_char(&crlf, '\r');
        else
            pst_buf_char(&one_line, pem.data[i]);
        pst_buf_char(&crlf, pem.data[i]);
    }
    assert_ok(check(f, &crlf, &chain, &err), err);
    assert_ok(check(f, &one_line, &chain, &err), err);
    assert_int_equal(chain.issuers_n, 1);
}

static void a_leaf_alone_is_a_chain(void **state)
{
    struct fixture *f = *state;
    auto_buf struct pst_buf pem = PST_BUF(PST_PEM_MAX);
    auto_chain struct pst_chain chain = {0};
    struct pst_err err = {0};

    help_pem(f->leaf, &pem);
    assert_ok(check(f, &pem, &chain, &err), err);
    assert_int_equal(chain.issuers_n, 0);
    assert_string_equal(chain.last_issuer_cn, "Middle");
    assert_true(chain.issuers_not_after == INT64_MAX);
}

static void damaged_pem_is_refused(void **state)
{
    struct fixture *f = *state;
    auto_buf struct pst_buf pem = PST_BUF(PST_PEM_MAX + 10);
    size_t len;

    assert_broken(f, &pem, "pem");
    pst_buf_str(&pem, "no certificate here");
    assert_broken(f, &pem, "pem");
    pst_buf_cut(&pem, 0);
    help_pem(f->leaf, &pem);
    len = pem.len;
    pst_buf_cut(&pem, len - 10);
    assert_broken(f, &pem, "pem"); /* cut short */
    pst_buf_cut(&pem, 0);
    help_pem(f->leaf, &pem);
    pem.data[60] = '!';
    assert_broken(f, &pem, "pem");
    pst_buf_cut(&pem, 0);
    pst_pem_write("rubbish", 7, "CERTIFICATE", &pem);
    assert_broken(f, &pem, "pem");
    pst_buf_cut(&pem, 0);
    pst_buf_str(&pem, "-----BEGIN ");
    assert_broken(f, &pem, "pem");
    pst_buf_cut(&pem, 0);
    pst_buf_str(&pem, "-----BEGIN CERTIFICATE-----\n-----END CERTIFICATE-----\n");
    assert_broken(f, &pem, "pem");
    pst_buf_cut(&pem, 0);
    for (int i = 0; i <= PST_CHAIN_CERTS_MAX; i++)
        help_pem(f->leaf, &pem);
    assert_broken(f, &pem, "pem");
    pst_buf_cut(&pem, 0);
    while (pem.len <= PST_PEM_MAX)
        pst_buf_char(&pem, ' ');
    assert_broken(f, &pem, "pem");
}

/* A leaf by the fixture's intermediate, changed in one thing. */
static X509 *other_leaf(struct fixture *f, struct help_cert c)
{
    c.key = c.key ? c.key : f->leaf_key;
    c.issuer = f->middle;
    c.issuer_key = c.issuer_key ? c.issuer_key : f->middle_key;
    return help_issue(&c);
}

static void assert_leaf_refused(struct fixture *f, struct help_cert c, const char *problem)
{
    auto_buf struct pst_buf pem = PST_BUF(PST_PEM_MAX);
    X509 *x = other_leaf(f, c);

    help_pem(x, &pem);
    help_pem(f->middle, &pem);
    assert_broken(f, &pem, problem);
    X509_free(x);
}

#define SANS "DNS:a.test,DNS:*.b.test"

static void a_leaf_that_is_not_what_was_ordered_is_refused(void **state)
{
    struct fixture *f = *state;
    EVP_PKEY *other = help_key();

    assert_leaf_refused(f, (struct help_cert){.san = SANS, .key = other}, "key_mismatch");
    assert_leaf_refused(f, (struct help_cert){.san = "DNS:a.test"}, "names_mismatch");
    assert_leaf_refused(f, (struct help_cert){.san = SANS ",DNS:c.test"}, "names_mismatch");
    assert_leaf_refused(f, (struct help_cert){.san = SANS ",IP:192.0.2.1"}, "names_mismatch");
    assert_leaf_refused(f, (struct help_cert){.subject_cn = "a.test"}, "names_mismatch");
    assert_leaf_refused(f, (struct help_cert){.san = SANS, .not_before = HELP_NOW + 301},
                        "not_yet_valid");
    assert_leaf_refused(f, (struct help_cert){.san = SANS, .not_after = HELP_NOW}, "expired");
    EVP_PKEY_free(other);
}

static void clocks_may_differ_by_five_minutes(void **state)
{
    struct fixture *f = *state;
    auto_buf struct pst_buf pem = PST_BUF(PST_PEM_MAX);
    auto_chain struct pst_chain chain = {0};
    struct pst_err err = {0};
    X509 *x = other_leaf(f, (struct help_cert){.san = SANS, .not_before = HELP_NOW + 300});

    help_pem(x, &pem);
    assert_ok(check(f, &pem, &chain, &err), err);
    X509_free(x);
}

static void each_must_be_signed_by_the_next(void **state)
{
    struct fixture *f = *state;
    EVP_PKEY *other = help_key();
    X509 *not_ca = help_issue(&(struct help_cert){.subject_cn = "Middle",
                                                  .key = f->middle_key,
                                                  .issuer = f->root,
                                                  .issuer_key = f->root_key});
    X509 *expired = help_issue(&(struct help_cert){.subject_cn = "Middle",
                                                   .key = f->middle_key,
                                                   .issuer = f->root,
                                                   .issuer_key = f->root_key,
                                                   .is_ca = true,
                                                   .not_after = HELP_NOW - 1});
    X509 *const bad[] = {f->root, not_ca, expired};

    /* The issuer's name is right, the signature is somebody else's. */
    assert_leaf_refused(f, (struct help_cert){.san = SANS, .issuer_key = other}, "chain_broken");
    for (size_t i = 0; i < PST_ARRAY_N(bad); i++) {
        auto_buf struct pst_buf pem = PST_BUF(PST_PEM_MAX);

        help_pem(f->leaf, &pem);
        help_pem(bad[i], &pem);
        assert_broken(f, &pem, "chain_broken");
    }
    X509_free(not_ca);
    X509_free(expired);
    EVP_PKEY_free(other);
}

/* The root exists twice: self-signed, and signed by an older root.  The longer way is kept, unless
 * it has expired. */
static void a_cross_signed_root_is_kept_while_it_is_valid(void **state)
{
    struct fixture *f = *state;
    EVP_PKEY *old_key = help_key();
    X509 *old = help_issue(&(struct help_cert){
        .subject_cn = "Old root", .key = old_key, .is_ca = true, .serial = "99"});

    for (int gone = 0; gone < 2; gone++) {
        auto_buf struct pst_buf pem = PST_BUF(PST_PEM_MAX);
        auto_chain struct pst_chain chain = {0};
        struct pst_err err = {0};
        X509 *cross = help_issue(&(struct help_cert){
            .subject_cn = "Root X1",
            .key = f->root_key,
            .issuer = old,
            .issuer_key = old_key,
            .is_ca = true,
            .not_after = gone ? HELP_NOW : HELP_NOW + HELP_DAY,
        });

        help_pem(f->leaf, &pem);
        help_pem(f->root, &pem);
        help_pem(cross, &pem);
        help_pem(f->middle, &pem);
        assert_ok(check(f, &pem, &chain, &err), err);
        assert_int_equal(chain.issuers_n, gone ? 1 : 2);
        assert_string_equal(chain.last_issuer_cn, gone ? "Root X1" : "Old root");
        assert_int_equal(chain.issuers_not_after,
                         gone ? HELP_NOW + 60 * HELP_DAY : HELP_NOW + HELP_DAY);
        X509_free(cross);
    }
    X509_free(old);
    EVP_PKEY_free(old_key);
}

/* ---- pairs ---- */

static void key_pem(EVP_PKEY *key, struct pst_buf *to)
{
    unsigned char *der = NULL;
    int len = i2d_PrivateKey(key, &der);

    pst_pem_write(der, (size_t)len, "EC PRIVATE KEY", to);
    OPENSSL_free(der);
}

static void a_pair_is_loaded_when_it_fits(void **state)
{
    struct fixture *f = *state;
    auto_buf struct pst_buf cert = PST_BUF(PST_PEM_MAX), key = PST_BUF(8192), wrong = PST_BUF(8192),
                            sealed = PST_BUF(8192), staple = PST_BUF(8192);
    auto_chain struct pst_chain chain = {0};
    struct pst_key_handle *h = NULL;
    struct pst_key_info info;
    struct pst_err err = {0};
    X509 *x = other_leaf(f, (struct help_cert){.san = "DNS:a.test", .feature = "status_request"});

    help_pem(f->leaf, &cert);
    help_pem(f->middle, &cert);
    help_pem(x, &staple);
    key_pem(f->leaf_key, &key);
    key_pem(f->middle_key, &wrong);
    struct pst_pem_pair in = {cert.data, cert.len, key.data, key.len, HELP_NOW};
    assert_ok(pst_cert_load_pem_pair(f->kr, &in, "cert", "d", &chain, &sealed, &info, &err), err);
    assert_is(&chain.leaf, f->leaf);
    assert_int_equal(info.spki_len, f->leaf_info.spki_len);
    assert_ok(pst_key_open(f->kr, "cert", "d", sealed.data, sealed.len, &h, &err), err);
    pst_key_free(h);

    in.cert = staple.data;
    in.cert_len = staple.len;
    assert_rc(pst_cert_load_pem_pair(f->kr, &in, "cert", "d", &chain, &sealed, &info, &err),
              PST_REFUSED, err);
    assert_string_equal(err.problem, "must_staple");
    in.key = cert.data; /* no key in it */
    in.key_len = cert.len;
    assert_rc(pst_cert_load_pem_pair(f->kr, &in, "cert", "d", &chain, &sealed, &info, &err),
              PST_REFUSED, err);
    assert_string_equal(err.problem, "key_format");
    in = (struct pst_pem_pair){cert.data, cert.len, key.data, key.len, HELP_NOW + 90 * HELP_DAY};
    assert_rc(pst_cert_load_pem_pair(f->kr, &in, "cert", "d", &chain, &sealed, &info, &err),
              PST_REFUSED, err);
    assert_string_equal(err.problem, "expired");
    X509_free(x);
}

/* ---- the local CA ---- */

static void the_local_ca_issues_what_clients_accept(void **state)
{
    static const char *const names[] = {"*.osc-fr1.example.com", "osc-fr1.example.com"};
    struct fixture *f = *state;
    auto_buf struct pst_buf ca_key = PST_BUF(8192), ca_cert = PST_BUF(8192), key = PST_BUF(8192),
                            leaf = PST_BUF(8192), pem = PST_BUF(65536);
    auto_cert_info struct pst_cert_info info = {0};
    auto_chain struct pst_chain chain = {0};
    struct pst_key_handle *h = NULL;
    struct pst_key_info key_info;
    struct pst_err err = {0};

    assert_ok(pst_local_ca_new(f->kr, "local_ca", "1", "Postern local CA", HELP_NOW, &ca_key,
                               &ca_cert, &err),
              err);
    struct pst_local_ca ca = {
        {"local_ca", "1", ca_key.data, ca_key.len}, ca_cert.data, ca_cert.len};
    struct pst_local_ca_request req = {.names = names,
                                       .names_n = 2,
                                       .not_before = HELP_NOW,
                                       .not_after = HELP_NOW + 90 * HELP_DAY,
                                       .kind = "cert",
                                       .object_id = "9"};
    assert_ok(pst_local_ca_issue(f->kr, &ca, &req, &key, &leaf, &err), err);
    assert_ok(pst_cert_parse_der(leaf.data, leaf.len, &info, &err), err);
    assert_string_equal(info.issuer, "/CN=Postern local CA");
    assert_int_equal(info.not_after, req.not_after);
    assert_true(info.has_aki && !info.is_ca);
    assert_int_equal(strlen(info.serial), 32);

    /* Its own chain check, with the key that was handed out. */
    assert_ok(pst_key_open(f->kr, "cert", "9", key.data, key.len, &h, &err), err);
    assert_ok(pst_key_info(h, &key_info, &err), err);
    pst_key_free(h);
    pst_pem_write(leaf.data, leaf.len, "CERTIFICATE", &pem);
    pst_pem_write(ca_cert.data, ca_cert.len, "CERTIFICATE", &pem);
    struct pst_chain_want want = {key_info.spki, key_info.spki_len, names, 2, HELP_NOW};
    assert_ok(pst_chain_check(pem.data, pem.len, &want, &chain, &err), err);
    assert_int_equal(chain.issuers_n, 0);

    /* And a client's: purpose, path length, name. */
    const unsigned char *at = (unsigned char *)ca_cert.data;
    X509 *root = d2i_X509(NULL, &at, (long)ca_cert.len);
    at = (unsigned char *)leaf.data;
    X509 *x = d2i_X509(NULL, &at, (long)leaf.len);
    X509_STORE *store = X509_STORE_new();
    X509_STORE_CTX *ctx = X509_STORE_CTX_new();
    assert_int_equal(X509_STORE_add_cert(store, root), 1);
    assert_int_equal(X509_STORE_CTX_init(ctx, store, x, NULL), 1);
    X509_STORE_CTX_set_purpose(ctx, X509_PURPOSE_SSL_SERVER);
    X509_VERIFY_PARAM *param = X509_STORE_CTX_get0_param(ctx);
    X509_VERIFY_PARAM_set_time(param, HELP_NOW + 1);
    X509_VERIFY_PARAM_set_flags(param, X509_V_FLAG_X509_STRICT);
    X509_VERIFY_PARAM_set1_host(param, "my-app.osc-fr1.example.com", 0);
    assert_int_equal(X509_verify_cert(ctx), 1);
    X509_STORE_CTX_free(ctx);
    X509_STORE_free(store);
    X509_free(root);
    X509_free(x);
}

static void the_local_ca_refuses_what_cannot_be(void **state)
{
    static const char *const names[] = {"a.test"}, *const odd[] = {"A B"};
    struct fixture *f = *state;
    auto_buf struct pst_buf ca_key = PST_BUF(8192), ca_cert = PST_BUF(8192), key = PST_BUF(8192),
                            leaf = PST_BUF(8192);
    struct pst_err err = {0};

    assert_rc(pst_local_ca_new(f->kr, "k", "1", "", HELP_NOW, &ca_key, &ca_cert, &err), PST_EINPUT,
              err);
    assert_ok(pst_local_ca_new(f->kr, "k", "1", "CA", HELP_NOW, &ca_key, &ca_cert, &err), err);
    struct pst_local_ca ca = {{"k", "1", ca_key.data, ca_key.len}, ca_cert.data, ca_cert.len};
    struct pst_local_ca_request req = {odd, 1, HELP_NOW, HELP_NOW + 9, "cert", "9"};
    assert_rc(pst_local_ca_issue(f->kr, &ca, &req, &key, &leaf, &err), PST_EINPUT, err);
    req.names = names;
    req.not_after = HELP_NOW;
    assert_rc(pst_local_ca_issue(f->kr, &ca, &req, &key, &leaf, &err), PST_EINPUT, err);
    req.not_after = HELP_NOW + 20000LL * HELP_DAY; /* cut to the root's end */
    assert_ok(pst_local_ca_issue(f->kr, &ca, &req, &key, &leaf, &err), err);
    auto_cert_info struct pst_cert_info info = {0};
    assert_ok(pst_cert_parse_der(leaf.data, leaf.len, &info, &err), err);
    assert_int_equal(info.not_after, HELP_NOW + 3650LL * HELP_DAY);

    pst_buf_cut(&key, 0);
    req.not_after = HELP_NOW + 9;
    ca.cert = leaf.data; /* not the key's certificate */
    ca.cert_len = leaf.len;
    assert_rc(pst_local_ca_issue(f->kr, &ca, &req, &key, &leaf, &err), PST_EINTERNAL, err);
    assert_int_equal(key.len, 0);
}

/* ---- memory ---- */

static void *library_alloc(size_t n, const char *file, int line)
{
    return pst_alloc(n);
}

static void *library_realloc(void *p, size_t n, const char *file, int line)
{
    return pst_realloc(p, n);
}

static void library_free(void *p, const char *file, int line)
{
    pst_free(p);
}

/* Every allocation fails once, the library's too: never a crash or a leak, never a false answer.
 * The library hides some failures behind other reasons, so any fault counts. */
static void checking_survives_no_memory(void **state)
{
    struct fixture *f = *state;
    auto_buf struct pst_buf pem = PST_BUF(PST_PEM_MAX);
    long n = 1, nomem = 0;

    help_pem(f->leaf, &pem);
    help_pem(f->middle, &pem);
    help_pem(f->root, &pem);
    for (bool hit = true; hit; n++) {
        auto_chain struct pst_chain chain = {0};
        struct pst_err err = {0};
        int rc;

        pst_mem_fail_at(n);
        rc = check(f, &pem, &chain, &err);
        hit = pst_mem_failed();
        pst_mem_fail_at(0);
        nomem += rc == PST_ENOMEM;
        if (!hit)
            assert_int_equal(rc, PST_OK);
        if (rc == PST_OK) {
            assert_non_null(chain.leaf.data);
            assert_int_equal(chain.info.names_n, 2);
        } else {
            assert_null(chain.leaf.data);
        }
    }
    assert_true(n > 100 && nomem > 10);
    ERR_clear_error();
}

/* A key's way: taken in, opened, described, signing, asking for a certificate, boxed. */
static int way_of_a_key(struct fixture *f, const struct pst_buf *pem, struct pst_err *err)
{
    static const char *const names[] = {"a.test"};
    auto_buf struct pst_buf sealed = PST_BUF(4096), json = PST_BUF(4096), sig = PST_BUF(256),
                            csr = PST_BUF(4096), box = PST_BUF(4096);
    auto_(pst_key_free) struct pst_key_handle *h = NULL;
    auto_secret struct pst_secret edge = {0}, opened = {0};
    struct pst_key_info info;
    uint8_t edge_public[32];
    int rc;

    rc = pst_key_import(f->kr, pem->data, pem->len, "cert", "1", &sealed, &info, err);
    if (rc == PST_OK)
        rc = pst_key_open(f->kr, "cert", "1", sealed.data, sealed.len, &h, err);
    if (rc == PST_OK)
        rc = pst_jwk_public(h, &json, err);
    if (rc == PST_OK)
        rc = pst_jws_sign(h, "text", 4, &sig, err);
    if (rc == PST_OK)
        rc = pst_csr_new(h, names, 1, &csr, err);
    if (rc == PST_OK)
        rc = pst_box_keypair(&edge, edge_public, err);
    if (rc == PST_OK) {
        struct pst_sealed ref = {"cert", "1", sealed.data, sealed.len};

        rc = pst_key_box_for_edge(f->kr, &ref, edge_public, "cert/1", &box, err);
    }
    if (rc == PST_OK)
        rc = pst_box_open(&edge, "cert/1", box.data, box.len, &opened, err);
    if (rc == PST_OK)
        assert_true(json.len > 0 && sig.len == 64 && csr.len > 0 && opened.len == 97);
    return rc;
}

static void the_way_of_a_key_survives_no_memory(void **state)
{
    struct fixture *f = *state;
    auto_buf struct pst_buf pem = PST_BUF(4096);
    struct pst_err err = {0};
    bool hit = true;
    long n;

    key_pem(f->leaf_key, &pem);
    for (n = 1; hit; n++) {
        int rc;

        pst_mem_fail_at(n);
        rc = way_of_a_key(f, &pem, &err);
        hit = pst_mem_failed();
        pst_mem_fail_at(0);
        if (!hit)
            assert_int_equal(rc, PST_OK);
    }
    assert_true(n > 100);
    ERR_clear_error();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_stands_in_a_certificate_is_read),
        cmocka_unit_test(renewal_id_of_the_rfc),
        cmocka_unit_test(names_of_people_are_made_harmless),
        cmocka_unit_test(subject_in_the_well_known_form),
        cmocka_unit_test(odd_alternative_names_are_counted),
        cmocka_unit_test(covering_a_name),
        cmocka_unit_test(damaged_certificates_are_refused),
        cmocka_unit_test(a_chain_is_ordered_and_trimmed),
        cmocka_unit_test(line_ends_do_not_matter),
        cmocka_unit_test(a_leaf_alone_is_a_chain),
        cmocka_unit_test(damaged_pem_is_refused),
        cmocka_unit_test(a_leaf_that_is_not_what_was_ordered_is_refused),
        cmocka_unit_test(clocks_may_differ_by_five_minutes),
        cmocka_unit_test(each_must_be_signed_by_the_next),
        cmocka_unit_test(a_cross_signed_root_is_kept_while_it_is_valid),
        cmocka_unit_test(a_pair_is_loaded_when_it_fits),
        cmocka_unit_test(the_local_ca_issues_what_clients_accept),
        cmocka_unit_test(the_local_ca_refuses_what_cannot_be),
        cmocka_unit_test(checking_survives_no_memory),
        cmocka_unit_test(the_way_of_a_key_survives_no_memory),
    };

    /* Before the library's first allocation. */
    if (CRYPTO_set_mem_functions(library_alloc, library_realloc, library_free) != 1)
        return 1;
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
