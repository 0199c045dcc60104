#include <pst_test.h>

#include <stdio.h>
#include <string.h>

#include <postern/acme.h>
#include <postern/base.h>
#include <postern/persist.h>

#define THUMBPRINT "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs"
#define ACCOUNT    "https://ca.example/acct/123"
#define PREFIX     "https://ca.example/account-hash/"
#define HASH       "5SQm7n6tPh2-PlLbCKGnViTXX5z19SCN4cPGQHSk-kw"
#define HASH_ANY   "NpDnSwUthQK8zCgFdefYxAdAVPnygMLbs9US6oO-5ug"

enum { NOW = 1800000000 };

static const char *const issuers[] = {"ca.example", "ca.example.net"};

static const struct pst_persist_ca clear = {.form = PST_PERSIST_CLEAR,
                                            .issuers = issuers,
                                            .issuers_n = 2,
                                            .account_url = ACCOUNT,
                                            .thumbprint = THUMBPRINT};
static const struct pst_persist_ca hashed = {.form = PST_PERSIST_HASHED,
                                             .issuers = issuers,
                                             .issuers_n = 2,
                                             .account_url = ACCOUNT,
                                             .thumbprint = THUMBPRINT,
                                             .hash_prefix = PREFIX};

/* ---- making ---- */

static void makes(const struct pst_persist_ca *ca, struct pst_persist_ask ask, const char *wanted)
{
    auto_buf struct pst_buf b = PST_BUF(PST_PERSIST_VALUE_MAX);
    struct pst_err err = {0};

    assert_ok(pst_persist_value(ca, &ask, &b, &err), err);
    assert_string_equal(pst_buf_cstr(&b), wanted);
}

static void the_clear_form(void **state)
{
    makes(&clear, (struct pst_persist_ask){.name = "example.com"},
          "ca.example; accounturi=" ACCOUNT);
    makes(&clear, (struct pst_persist_ask){.name = "*.example.com"},
          "ca.example; accounturi=" ACCOUNT "; policy=wildcard");
    makes(&clear, (struct pst_persist_ask){.name = "*.example.com", .until_at = 1900000000},
          "ca.example; accounturi=" ACCOUNT "; policy=wildcard; persistUntil=1900000000");
    makes(&clear, (struct pst_persist_ask){.name = "example.com", .any_name = true},
          "ca.example; accounturi=" ACCOUNT);
}

static void the_hashed_form(void **state)
{
    makes(&hashed, (struct pst_persist_ask){.name = "example.com"},
          "ca.example; accounturi=" PREFIX "sha-256/" HASH);
    makes(&hashed, (struct pst_persist_ask){.name = "*.example.com"},
          "ca.example; accounturi=" PREFIX "sha-256/" HASH "; policy=wildcard");
    makes(&hashed, (struct pst_persist_ask){.name = "example.com", .any_name = true},
          "ca.example; accounturi=" PREFIX "sha-256/" HASH_ANY);
    makes(&hashed, (struct pst_persist_ask){.name = "other.example", .any_name = true},
          "ca.example; accounturi=" PREFIX "sha-256/" HASH_ANY);
}

static void will_not_make(struct pst_persist_ca ca, struct pst_persist_ask ask, const char *why)
{
    auto_buf struct pst_buf b = PST_BUF(PST_PERSIST_VALUE_MAX);
    struct pst_err err = {0};

    assert_rc(pst_persist_value(&ca, &ask, &b, &err), PST_REFUSED, err);
    assert_err_has(err, why);
    assert_int_equal(b.len, 0);
}

static void parts_that_would_break_the_record_are_refused(void **state)
{
    const struct pst_persist_ask ask = {.name = "example.com"};
    const char *bad_issuers[] = {
        "",     "ca example", "ca.example;x", ".ca.example",  "ca..example",
        "-a.b", "a-.b",       "ca.example.",  "ca_x.example", "c\"a.example"};
    const char *bad_urls[] = {"", "https://ca.example/a b", "https://ca.example/;policy=wildcard",
                              "https://ca.example/\xc3\xbc", "https://ca.example/\n"};
    char long_url[PST_PERSIST_VALUE_MAX + 10];

    for (size_t i = 0; i < PST_ARRAY_N(bad_issuers); i++) {
        struct pst_persist_ca ca = clear;
        ca.issuers = &bad_issuers[i];
        will_not_make(ca, ask, "issuer name");
    }
    for (size_t i = 0; i < PST_ARRAY_N(bad_urls); i++) {
        struct pst_persist_ca ca = clear;
        ca.account_url = bad_urls[i];
        will_not_make(ca, ask, "account's URL");
        ca = hashed;
        ca.hash_prefix = bad_urls[i];
        will_not_make(ca, ask, "accountHashPrefix");
    }
    struct pst_persist_ca ca = clear;
    memset(long_url, 'a', sizeof long_url);
    long_url[sizeof long_url - 1] = '\0';
    ca.account_url = long_url;
    will_not_make(ca, ask, "too long");
    ca.form = PST_PERSIST_HASHED;
    ca.hash_prefix = PREFIX;
    will_not_make(ca, ask, "too long");
    long_url[PST_PERSIST_VALUE_MAX - 20] = '\0';
    ca.form = PST_PERSIST_CLEAR;
    will_not_make(ca, ask, "too long");
    ca = hashed;
    ca.thumbprint = "short";
    will_not_make(ca, ask, "thumbprint");
    ca = clear;
    ca.issuers_n = 0;
    will_not_make(ca, ask, "issuer name");
    will_not_make(clear, (struct pst_persist_ask){.name = "*."}, "is not a name");
    will_not_make(clear, (struct pst_persist_ask){.name = "example.com", .until_at = -1},
                  "persistUntil");
}

static void long_values_become_several_strings(void **state)
{
    auto_buf struct pst_buf b = PST_BUF(4096);
    char value[512];

    pst_txt_zone_form("", &b);
    assert_string_equal(pst_buf_cstr(&b), "\"\"");
    pst_buf_cut(&b, 0);
    pst_txt_zone_form("a\"b\\c\x01\xff", &b);
    assert_string_equal(pst_buf_cstr(&b), "\"a\\\"b\\\\c\\001\\255\"");

    memset(value, 'x', sizeof value);
    value[255] = '\0';
    pst_buf_cut(&b, 0);
    pst_txt_zone_form(value, &b);
    assert_int_equal(b.len, 257);
    assert_null(strchr(pst_buf_cstr(&b), ' '));
    value[255] = 'x';
    value[511] = '\0';
    pst_buf_cut(&b, 0);
    pst_txt_zone_form(value, &b); /* 255, 255 and 1 */
    assert_int_equal(b.len, 511 + 3 * 2 + 2);
    assert_memory_equal(b.data + 255, "x\" \"x", 5);
    assert_string_equal(b.data + b.len - 5, "\" \"x\"");
}

/* ---- reading ---- */

static struct pst_persist_verdict judge(const struct pst_persist_ca *ca, const char *name,
                                        const char *const *values, size_t n)
{
    struct pst_persist_verdict v = {0};
    struct pst_err err = {0};

    assert_ok(pst_persist_judge(ca, name, values, n, NOW, &v, &err), err);
    return v;
}

static void says(const struct pst_persist_ca *ca, const char *name, const char *value,
                 enum pst_persist_result wanted)
{
    struct pst_persist_verdict v = judge(ca, name, &value, 1);

    if (v.result != wanted)
        fail_msg("\"%s\" is %s (%s), wanted %s", value, pst_persist_result_name(v.result), v.why,
                 pst_persist_result_name(wanted));
    assert_true((v.why[0] == '\0') == (wanted == PST_PERSIST_MATCH));
}

static void what_is_made_matches(void **state)
{
    static const struct pst_persist_ca *const cas[] = {&clear, &hashed};
    static const char *const names[] = {"example.com", "*.example.com"};

    for (unsigned i = 0; i < 16; i++) {
        auto_buf struct pst_buf b = PST_BUF(PST_PERSIST_VALUE_MAX);
        const struct pst_persist_ask ask = {
            .name = names[i & 1], .any_name = i & 2, .until_at = i & 4 ? NOW : 0};
        const struct pst_persist_ca *ca = cas[i >> 3];
        struct pst_err err = {0};

        assert_ok(pst_persist_value(ca, &ask, &b, &err), err);
        says(ca, "example.com", pst_buf_cstr(&b), PST_PERSIST_MATCH);
        says(ca, "*.example.com", pst_buf_cstr(&b),
             i & 1 ? PST_PERSIST_MATCH : PST_PERSIST_NO_WILDCARD);
        says(ca, "other.example", pst_buf_cstr(&b),
             ca == &clear || ask.any_name ? PST_PERSIST_MATCH : PST_PERSIST_OTHER_ACCOUNT);
        says(ca == &clear ? &hashed : &clear, "example.com", pst_buf_cstr(&b),
             PST_PERSIST_OTHER_ACCOUNT);
    }
}

/* An issuer, our account, and something. */
#define OURS "ca.example; accounturi=" ACCOUNT

static void the_grammar(void **state)
{
    static const struct {
        const char *value;
        enum pst_persist_result wanted;
    } cases[] = {
        {OURS, PST_PERSIST_MATCH},
        {"ca.example;accounturi=" ACCOUNT, PST_PERSIST_MATCH},
        {" \tca.example \t; \taccounturi \t= \t" ACCOUNT " \t", PST_PERSIST_MATCH},
        {"CA.Example; AccountURI=" ACCOUNT, PST_PERSIST_MATCH},
        {"ca.example.net; accounturi=" ACCOUNT, PST_PERSIST_MATCH},
        {OURS "; x=", PST_PERSIST_MATCH},
        {OURS "; a-tag=!\"#$%&'()*+,-./:<=>?@[\\]^_`{|}~", PST_PERSIST_MATCH},
        {"ca.example; 1=2; accounturi=" ACCOUNT, PST_PERSIST_MATCH},
        {OURS "; policy=other", PST_PERSIST_MATCH},
        {OURS ";", PST_PERSIST_MALFORMED},
        {OURS " ; ", PST_PERSIST_MALFORMED},
        {OURS ";;x=y", PST_PERSIST_MALFORMED},
        {OURS "; ; x=y", PST_PERSIST_MALFORMED},
        {"ca.example", PST_PERSIST_MALFORMED},
        {"ca.example;", PST_PERSIST_MALFORMED},
        {"ca.example; ", PST_PERSIST_MALFORMED},
        {"ca.example; policy=wildcard", PST_PERSIST_MALFORMED},
        {"ca.example; accounturi=", PST_PERSIST_MALFORMED},
        {"ca.example; accounturi", PST_PERSIST_MALFORMED},
        {"ca.example accounturi=" ACCOUNT, PST_PERSIST_MALFORMED},
        {"", PST_PERSIST_MALFORMED},
        {";", PST_PERSIST_MALFORMED},
        {"; accounturi=" ACCOUNT, PST_PERSIST_MALFORMED},
        {"\"ca.example\"; accounturi=" ACCOUNT, PST_PERSIST_MALFORMED},
        {"ca.example.; accounturi=" ACCOUNT, PST_PERSIST_MALFORMED},
        {"ca_x.example; accounturi=" ACCOUNT, PST_PERSIST_MALFORMED},
        {OURS "; a_b=c", PST_PERSIST_MALFORMED},
        {OURS "; -a=c", PST_PERSIST_MALFORMED},
        {OURS "; a-=c", PST_PERSIST_MALFORMED},
        {OURS "; a=b c", PST_PERSIST_MALFORMED},
        {OURS "; a=\x7f", PST_PERSIST_MALFORMED},
        {OURS "; a=\xc3\xbc", PST_PERSIST_MALFORMED},
        {OURS "; a=b\nc=d", PST_PERSIST_MALFORMED},
        {OURS "; =c", PST_PERSIST_MALFORMED},
        {OURS "; accounturi=" ACCOUNT, PST_PERSIST_MALFORMED},
        {OURS "; ACCOUNTURI=x", PST_PERSIST_MALFORMED},
        {OURS "; policy=wildcard; Policy=wildcard", PST_PERSIST_MALFORMED},
        {OURS "; unknown=1; Unknown=2", PST_PERSIST_MALFORMED},
        {OURS "; persistUntil=", PST_PERSIST_MALFORMED},
        {OURS "; persistUntil=soon", PST_PERSIST_MALFORMED},
        {OURS "; persistUntil=-1", PST_PERSIST_MALFORMED},
        {OURS "; persistUntil=1900000000.5", PST_PERSIST_MALFORMED},
        {OURS "; persistUntil=99999999999999999999", PST_PERSIST_MALFORMED},
        {OURS "; persistUntil=9223372036854775807", PST_PERSIST_MATCH},
        {"other.example; accounturi=" ACCOUNT, PST_PERSIST_OTHER_ISSUER},
        {"ca.example.org; accounturi=" ACCOUNT, PST_PERSIST_OTHER_ISSUER},
        {"sub.ca.example; accounturi=" ACCOUNT, PST_PERSIST_OTHER_ISSUER},
        {"ca; accounturi=" ACCOUNT, PST_PERSIST_OTHER_ISSUER},
        {"other.example;;; ", PST_PERSIST_OTHER_ISSUER},
        {"ca.example; accounturi=" ACCOUNT "4", PST_PERSIST_OTHER_ACCOUNT},
        {"ca.example; accounturi=https://ca.example/acct/12", PST_PERSIST_OTHER_ACCOUNT},
        {"ca.example; accounturi=https://CA.example/acct/123", PST_PERSIST_OTHER_ACCOUNT},
        {"ca.example; accounturi=" PREFIX "sha-256/" HASH, PST_PERSIST_OTHER_ACCOUNT},
    };

    for (size_t i = 0; i < PST_ARRAY_N(cases); i++)
        says(&clear, "example.com", cases[i].value, cases[i].wanted);
}

static void the_policy(void **state)
{
    says(&clear, "*.example.com", OURS "; policy=wildcard", PST_PERSIST_MATCH);
    says(&clear, "*.example.com", OURS "; POLICY = WildCard", PST_PERSIST_MATCH);
    says(&clear, "*.example.com", OURS "; policy=", PST_PERSIST_NO_WILDCARD);
    says(&clear, "*.example.com", OURS "; policy=wildcards", PST_PERSIST_NO_WILDCARD);
    says(&clear, "*.example.com", OURS "; policy=wild", PST_PERSIST_NO_WILDCARD);
    says(&clear, "*.example.com", OURS, PST_PERSIST_NO_WILDCARD);
    says(&clear, "example.com", OURS "; policy=wildcard", PST_PERSIST_MATCH);
}

static void the_hash(void **state)
{
#define WITH_HASH "ca.example; accounturi=" PREFIX "sha-256/"
    says(&hashed, "example.com", WITH_HASH HASH, PST_PERSIST_MATCH);
    says(&hashed, "example.com", WITH_HASH HASH_ANY, PST_PERSIST_MATCH);
    says(&hashed, "*.example.com", WITH_HASH HASH "; policy=wildcard", PST_PERSIST_MATCH);
    says(&hashed, "www.example.com", WITH_HASH HASH, PST_PERSIST_OTHER_ACCOUNT);
    says(&hashed, "www.example.com", WITH_HASH HASH_ANY, PST_PERSIST_MATCH);
    says(&hashed, "example.com", WITH_HASH HASH "=", PST_PERSIST_OTHER_ACCOUNT);
    says(&hashed, "example.com", "ca.example; accounturi=" PREFIX "sha256/" HASH,
         PST_PERSIST_OTHER_ACCOUNT);
    says(&hashed, "example.com", "ca.example; accounturi=" HASH, PST_PERSIST_OTHER_ACCOUNT);

    struct pst_persist_verdict v = judge(&hashed, "example.com", (const char *[]){OURS}, 1);
    assert_int_equal(v.result, PST_PERSIST_OTHER_ACCOUNT);
    assert_non_null(strstr(v.why, "digest"));
}

static void the_end(void **state)
{
    const char *values[] = {OURS "; persistUntil=1799999999", OURS "; persistUntil=1800000000",
                            OURS "; persistUntil=1799999999; policy=wildcard"};
    struct pst_persist_verdict v = judge(&clear, "example.com", &values[0], 1);

    assert_int_equal(v.result, PST_PERSIST_EXPIRED);
    assert_int_equal(v.until_at, NOW - 1);
    v = judge(&clear, "example.com", &values[1], 1);
    assert_int_equal(v.result, PST_PERSIST_MATCH); /* good up to and with its last second */
    assert_int_equal(v.until_at, NOW);
    says(&clear, "*.example.com", values[0], PST_PERSIST_EXPIRED);
    says(&clear, "*.example.com", values[2], PST_PERSIST_EXPIRED);
    v = judge(&clear, "example.com", (const char *[]){OURS}, 1);
    assert_int_equal(v.until_at, 0);
}

static void the_warnings(void **state)
{
    enum { DAY = 86400 };

    assert_int_equal(pst_persist_warnings_due(0, NOW), 0);
    assert_int_equal(pst_persist_warnings_due(NOW + 30 * DAY + 1, NOW), 0);
    assert_int_equal(pst_persist_warnings_due(NOW + 30 * DAY, NOW), 1);
    assert_int_equal(pst_persist_warnings_due(NOW + 7 * DAY + 1, NOW), 1);
    assert_int_equal(pst_persist_warnings_due(NOW + 7 * DAY, NOW), 2);
    assert_int_equal(pst_persist_warnings_due(NOW - DAY, NOW), 2);
    assert_int_equal(pst_persist_warnings_due(INT64_MAX, NOW), 0);
}

/* Of several records the one that helps most counts, wherever it stands. */
static void the_nearest_record_counts(void **state)
{
    static const char *const rising[] = {"other.example; accounturi=x",
                                         "ca.example; accounturi=x",
                                         OURS ";",
                                         OURS,
                                         OURS "; policy=wildcard; persistUntil=1",
                                         OURS "; policy=wildcard"};

    assert_int_equal(judge(&clear, "*.example.com", NULL, 0).result, PST_PERSIST_NONE);
    for (size_t n = 1; n <= PST_ARRAY_N(rising); n++) {
        const char *turned[PST_ARRAY_N(rising)];

        for (size_t i = 0; i < n; i++)
            turned[i] = rising[n - 1 - i];
        struct pst_persist_verdict v = judge(&clear, "*.example.com", rising, n);
        assert_int_equal(v.result, (int)n);
        assert_int_equal(v.at, n - 1);
        v = judge(&clear, "*.example.com", turned, n);
        assert_int_equal(v.result, (int)n);
        assert_int_equal(v.at, 0);
    }
}

static void size_is_bounded(void **state)
{
    auto_buf struct pst_buf b = PST_BUF(8192);

    pst_buf_str(&b, OURS);
    for (int i = 0; i < 31; i++)
        pst_buf_printf(&b, ";x%d=%d", i, i);
    says(&clear, "example.com", pst_buf_cstr(&b), PST_PERSIST_MATCH);
    pst_buf_str(&b, ";y=1");
    says(&clear, "example.com", pst_buf_cstr(&b), PST_PERSIST_MALFORMED);
    pst_buf_cut(&b, 0);
    pst_buf_str(&b, OURS "; x=");
    while (b.len < PST_PERSIST_VALUE_MAX)
        pst_buf_char(&b, 'x');
    says(&clear, "example.com", pst_buf_cstr(&b), PST_PERSIST_MATCH);
    pst_buf_char(&b, 'x');
    says(&clear, "example.com", pst_buf_cstr(&b), PST_PERSIST_MALFORMED);
}

static void a_sentence_says_what_is_wrong(void **state)
{
    static const struct {
        const char *value, *has;
    } cases[] = {
        {OURS ";", "a semicolon stands at the end"},
        {OURS "; policy=wildcard; policy=wildcard", "\"policy\" stands twice"},
        {OURS "; persistUntil=x", "persistUntil"},
        {"ca.example", "accounturi"},
        {"other.example; a=b", "\"other.example\""},
        {OURS "; policy", "\"policy\" has no value"},
        {OURS "; \x01", "begins with \"?\""},
    };

    for (size_t i = 0; i < PST_ARRAY_N(cases); i++) {
        struct pst_persist_verdict v = judge(&clear, "example.com", &cases[i].value, 1);
        if (!strstr(v.why, cases[i].has))
            fail_msg("\"%s\" does not contain \"%s\"", v.why, cases[i].has);
    }
}

/* ---- which form ---- */

static void the_challenge_decides_the_form(void **state)
{
    char *identities[] = {(char *)"caa.example"}, *names[] = {(char *)"ca.example"};
    struct pst_acme_directory dir = {.caa_identities = identities, .caa_identities_n = 1};
    struct pst_acme_challenge c = {.issuers = names, .issuers_n = 1};
    struct pst_persist_ca ca = {0};

    assert_int_equal(pst_persist_choose(&dir, &c, ACCOUNT, THUMBPRINT, &ca), PST_OK);
    assert_int_equal(ca.form, PST_PERSIST_CLEAR);
    assert_true(ca.certain);
    assert_string_equal(ca.issuers[0], "ca.example");
    assert_string_equal(ca.account_url, ACCOUNT);

    c.account_uri = (char *)"https://other.example/acct/123"; /* the CA's own view of it */
    assert_int_equal(pst_persist_choose(&dir, &c, ACCOUNT, THUMBPRINT, &ca), PST_OK);
    assert_string_equal(ca.account_url, c.account_uri);

    c.hashed = true;
    assert_int_equal(pst_persist_choose(&dir, &c, ACCOUNT, THUMBPRINT, &ca), PST_NOTFOUND);
    dir.account_hash_prefix = (char *)PREFIX;
    assert_int_equal(pst_persist_choose(&dir, &c, ACCOUNT, THUMBPRINT, &ca), PST_OK);
    assert_int_equal(ca.form, PST_PERSIST_HASHED);
    assert_string_equal(ca.account_url, ACCOUNT);
    assert_string_equal(ca.hash_prefix, PREFIX);
    makes(&ca, (struct pst_persist_ask){.name = "example.com"},
          "ca.example; accounturi=" PREFIX "sha-256/" HASH);
}

static void before_an_order_the_directory_tells(void **state)
{
    char *identities[] = {(char *)"caa.example"}, *names[] = {(char *)"ca.example"};
    struct pst_acme_directory dir = {0};
    struct pst_persist_ca ca = {0};

    assert_int_equal(pst_persist_choose(&dir, NULL, ACCOUNT, THUMBPRINT, &ca), PST_NOTFOUND);
    dir.caa_identities = identities;
    dir.caa_identities_n = 1;
    assert_int_equal(pst_persist_choose(&dir, NULL, ACCOUNT, THUMBPRINT, &ca), PST_OK);
    assert_int_equal(ca.form, PST_PERSIST_CLEAR);
    assert_false(ca.certain);
    assert_string_equal(ca.issuers[0], "caa.example");

    dir.issuer_domain_names = names;
    dir.issuer_domain_names_n = 1;
    dir.account_hash_prefix = (char *)PREFIX;
    assert_int_equal(pst_persist_choose(&dir, NULL, ACCOUNT, THUMBPRINT, &ca), PST_OK);
    assert_int_equal(ca.form, PST_PERSIST_HASHED);
    assert_true(ca.certain);
    assert_string_equal(ca.issuers[0], "ca.example");

    /* A challenge without names of its own: those of the directory. */
    const struct pst_acme_challenge c = {.hashed = false};
    assert_int_equal(pst_persist_choose(&dir, &c, ACCOUNT, THUMBPRINT, &ca), PST_OK);
    assert_int_equal(ca.form, PST_PERSIST_CLEAR);
    assert_string_equal(ca.issuers[0], "caa.example");
}

static int make_and_judge(void)
{
    auto_buf struct pst_buf b = PST_BUF(PST_PERSIST_VALUE_MAX);
    const struct pst_persist_ask ask = {.name = "*.example.com", .until_at = NOW};
    const char *value = WITH_HASH HASH_ANY;
    struct pst_persist_verdict v;

    int rc = pst_persist_value(&hashed, &ask, &b, NULL);
    return rc ? rc : pst_persist_judge(&hashed, "example.com", &value, 1, NOW, &v, NULL);
}

static void survives_no_memory(void **state)
{
    int rc = PST_OK;

    assert_survives_no_memory(rc, rc = make_and_judge());
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_clear_form),
        cmocka_unit_test(the_hashed_form),
        cmocka_unit_test(parts_that_would_break_the_record_are_refused),
        cmocka_unit_test(long_values_become_several_strings),
        cmocka_unit_test(what_is_made_matches),
        cmocka_unit_test(the_grammar),
        cmocka_unit_test(the_policy),
        cmocka_unit_test(the_hash),
        cmocka_unit_test(the_end),
        cmocka_unit_test(the_warnings),
        cmocka_unit_test(the_nearest_record_counts),
        cmocka_unit_test(size_is_bounded),
        cmocka_unit_test(a_sentence_says_what_is_wrong),
        cmocka_unit_test(the_challenge_decides_the_form),
        cmocka_unit_test(before_an_order_the_directory_tells),
        cmocka_unit_test(survives_no_memory),
    };
    return cmocka_run_group_tests_name("persist", tests, NULL, NULL);
}
