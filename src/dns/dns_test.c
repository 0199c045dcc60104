/* dns_test.c - what providers share: values, XML, signatures, variables, the gate. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include <postern/crypto_outside.h>
#include <postern/dnsupdate.h>

#include "dns_internal.h"

/* ---- values ---- */

static void test_unquote(void **state)
{
    static const struct {
        const char *in;
        const char *out; /* NULL: damaged */
    } cases[] = {
        {"plain", "plain"},
        {"\"quoted\"", "quoted"},
        {"\"two\" \"parts\"", "twoparts"},
        {"\"two\"\"parts\"", "twoparts"},
        {"\"a\\\"b\\\\c\"", "a\"b\\c"},
        {"\"\\065\\066\"", "AB"},
        {"\"\"", ""},
        {"", ""},
        {"\"open", NULL},
        {"\"a\" b", NULL},
        {"\"\\06\"", NULL},
        {"\"\\999\"", NULL},
        {"\"\\", NULL},
    };
    for (size_t i = 0; i < PST_ARRAY_N(cases); i++) {
        auto_buf struct pst_buf b = PST_BUF(100);
        assert_int_equal(pst_dns_unquote(cases[i].in, &b), cases[i].out != NULL);
        if (cases[i].out)
            assert_string_equal(pst_buf_cstr(&b), cases[i].out);
    }
}

static void test_escape(void **state)
{
    auto_buf struct pst_buf b = PST_BUF(100);

    pst_dns_escape(&b, "a-Z_0.~@/ %\xc3", "@");
    assert_string_equal(b.data, "a-Z_0.~@%2F%20%25%C3");
}

static void test_relative(void **state)
{
    char rel[PST_NAME_SIZE];

    assert_true(pst_dns_relative("_acme-challenge.a.example.com", "example.com", rel));
    assert_string_equal(rel, "_acme-challenge.a");
    assert_true(pst_dns_relative("example.com", "Example.com", rel));
    assert_string_equal(rel, "");
    assert_false(pst_dns_relative("badexample.com", "example.com", rel));
    assert_false(pst_dns_relative("com", "example.com", rel));
}

/* ---- XML ---- */

static void test_xml(void **state)
{
    static const char text[] =
        "<?xml version=\"1.0\" encoding='UTF-8'?>\n<r xmlns=\"x:y\"><a>1</a> <b k='v'><a>2</a></b>"
        "<a>&lt;&amp;&quot;&#65;&#x42;</a><c/></r>\n";
    auto_buf struct pst_buf b = PST_BUF(100);
    struct pst_xml root, child;
    char name[64], small[4];

    assert_true(pst_xml_root(text, sizeof text - 1, name, &root));
    assert_string_equal(name, "r");
    assert_true(pst_xml_child(&root, "a", 1, &child));
    assert_true(pst_xml_text(&child, &b));
    assert_string_equal(b.data, "<&\"AB");
    pst_xml_copy(&child, small, sizeof small);
    assert_string_equal(small, "<&\"");
    assert_false(pst_xml_child(&root, "a", 2, &child));
    assert_true(pst_xml_child(&root, "c", 0, &child));
    assert_int_equal(child.len, 0);
    assert_true(pst_xml_child(&root, "b", 0, &child));
    assert_false(pst_xml_text(&child, &b));
}

static void test_xml_refused(void **state)
{
    static const char *const bad[] = {
        "",
        "text",
        "<a>",
        "<a></b>",
        "<a><b></a></b>",
        "<a/><b/>",
        "<a b></a>",
        "<a b=\"<\"></a>",
        "<a>&evil;</a>",
        "<a>&#0;</a>",
        "<a>&#x100;</a>",
        "<!DOCTYPE a [<!ENTITY e \"x\">]><a>&e;</a>",
        "<a><!-- c --></a>",
        "<a><![CDATA[x]]></a>",
        "<a>x</a>trailing",
        "</a>",
    };
    struct pst_xml root;
    char name[64];

    for (size_t i = 0; i < PST_ARRAY_N(bad); i++) {
        if (pst_xml_root(bad[i], strlen(bad[i]), name, &root))
            fail_msg("\"%s\" was taken", bad[i]);
    }
    /* Too deep. */
    auto_buf struct pst_buf deep = PST_BUF(1000);
    for (int i = 0; i < 33; i++)
        pst_buf_str(&deep, "<a>");
    for (int i = 0; i < 33; i++)
        pst_buf_str(&deep, "</a>");
    assert_false(pst_xml_root(deep.data, deep.len, name, &root));
    assert_true(pst_xml_root(deep.data + 3, deep.len - 7, name, &root));
}

/* ---- signatures ---- */

static void test_sigv4(void **state)
{
    auto_secret struct pst_secret secret = {0};
    auto_buf struct pst_buf header = PST_BUF(1024), body = PST_BUF(1);
    struct pst_sigv4 s = {.key_id = "AKIAIOSFODNN7EXAMPLE",
                          .secret = &secret,
                          .region = "us-east-1",
                          .service = "route53",
                          .host = "route53.amazonaws.com",
                          .token = "",
                          .now = 1705320000};
    char date[PST_AMZ_DATE_SIZE];

    pst_amz_date(s.now, date);
    assert_string_equal(date, "20240115T120000Z");
    assert_int_equal(pst_secret_set(&secret, "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY", 40, NULL),
                     PST_OK);
    assert_int_equal(pst_sigv4(&s, "GET", "/2013-04-01/hostedzonesbyname",
                               "dnsname=example.com&maxitems=1", &body, &header, NULL),
                     PST_OK);
    assert_string_equal(
        header.data,
        "AWS4-HMAC-SHA256 Credential=AKIAIOSFODNN7EXAMPLE/20240115/us-east-1/route53/aws4_request, "
        "SignedHeaders=host;x-amz-date, "
        "Signature=95bd4c1cb1693a06e8f6dbacd683d087f67cf4e1c60dbe6013a7002d522ca918");
}

static void test_ovh_signature(void **state)
{
    static const struct {
        const char *text;
        const char *sha1;
    } cases[] = {
        {"9ufkBmLaTQ9nz5yMUlg79taH0GNnzDjk+5mBuy6SUQcRw2ZUxg0cG68BoDKpED4KY+GET+"
         "https://eu.api.ovh.com/1.0/auth++1457018875",
         "e9556054b6309771395efa467c22e627407461ad"},
        {"EXEgWIz07P0HYwtQDs7cNIqCiQaWSuHF+MtSwSrPpNjqfVSmJhLbPyr2i45lSwPU1+POST+"
         "https://eu.api.ovh.com/1.0/domain/zone/example.com/refresh++1366560945",
         "080b3272d9e951b5fa490a298ccf0542a3d3110c"},
    };
    char hex[PST_SHA1_HEX_SIZE];

    for (size_t i = 0; i < PST_ARRAY_N(cases); i++) {
        assert_int_equal(pst_sha1_hex(cases[i].text, strlen(cases[i].text), hex, NULL), PST_OK);
        assert_string_equal(hex, cases[i].sha1);
    }
}

static int tsig_mac(void *arg, const void *data, size_t len, uint8_t ret[PST_TSIG_MAC_MAX],
                    size_t *ret_len, struct pst_err *err)
{
    return pst_hmac("sha256", arg, data, len, ret, ret_len, err);
}

static void test_tsig_vector(void **state)
{
    auto_secret struct pst_secret secret = {0};
    auto_buf struct pst_buf key = PST_BUF(100), message = PST_BUF(2000);
    struct pst_tsig_key k = {"acme-key", "hmac-sha256", tsig_mac, &secret};
    struct pst_dns_update u = {.zone = "example.com",
                               .name = "_acme-challenge.example.com",
                               .txt = "LoqXcYV8q5ONbJQxbmR7SCTNo3tiAXDfowyjxAjEuX0",
                               .ttl_s = 60,
                               .id = 0x1234};
    struct pst_tsig_mac mac;
    char hex[65];

    assert_true(pst_b64_decode(&key, "YWNtZS1kbnMwMS10ZXN0LXZlY3Rvci1zZWNyZXQtMzI=", 44));
    assert_int_equal(pst_secret_set(&secret, key.data, key.len, NULL), PST_OK);
    assert_int_equal(pst_dns_update_write(&u, &k, 1700000000, &message, &mac, NULL), PST_OK);
    assert_int_equal(message.len, 182);
    pst_hex(hex, mac.bytes, mac.len);
    assert_string_equal(hex, "c02314a6f2a21fbe6553a338db69789f447e50d405dc987982d45d2ac8caba6f");
}

/* ---- variables ---- */

struct var {
    const char *name;
    const char *value;
};

static const char *get(void *arg, const char *name)
{
    for (const struct var *v = arg; v->name; v++) {
        if (strcmp(v->name, name) == 0)
            return v->value;
    }
    return NULL;
}

static int try_new(const char *provider, struct var *vars, const char *base,
                   struct pst_dns_provider **ret, struct pst_dns_blame *blame, struct pst_err *err)
{
    struct pst_dns_env env = {0};
    struct pst_dns_settings s = {.provider = provider, .get = get, .arg = vars, .base_url = base};
    return pst_dns_provider_new(ret, &env, &s, blame, err);
}

static void test_unknown_provider(void **state)
{
    static const char *const names[] = {"route 53", "Cloudflare", "exec", "", NULL};

    for (size_t i = 0; i < PST_ARRAY_N(names); i++) {
        struct pst_dns_provider *p = NULL;
        struct pst_dns_blame blame = {.n = 7};
        struct pst_err err = {0};

        assert_int_equal(try_new(names[i], (struct var[]){{0}}, NULL, &p, &blame, &err),
                         PST_REFUSED);
        assert_int_equal(blame.n, 0);
        assert_string_equal(blame.provider, names[i] ? names[i] : "");
        assert_string_equal(err.problem, "provider");
    }
}

/* A tenant writes the name, and a database refuses half a character. */
static void test_a_long_name_is_cut_whole(void **state)
{
    char name[80] = "";
    struct pst_dns_provider *p = NULL;
    struct pst_err err = {0};

    memset(name, 'a', 59);
    memcpy(name + 59, "\xe2\x82\xac", 4);
    assert_int_equal(try_new(name, (struct var[]){{0}}, NULL, &p, NULL, &err), PST_REFUSED);
    assert_true(pst_utf8_ok(err.text, strlen(err.text)));
    assert_non_null(strstr(err.text, "aaa\", which is not"));
}

static void test_all_missing_are_named(void **state)
{
    struct pst_dns_provider *p = NULL;
    struct pst_dns_blame blame = {0};
    struct pst_err err = {0};
    struct var vars[] = {{"DNS_OVH_ENDPOINT", "ovh-eu"}, {"DNS_OVH_APPLICATION_KEY", ""}, {0}};

    assert_int_equal(try_new("ovh", vars, NULL, &p, &blame, &err), PST_REFUSED);
    assert_string_equal(blame.provider, "ovh");
    assert_int_equal(blame.n, 3);
    assert_string_equal(blame.variables[0], "DNS_OVH_APPLICATION_KEY");
    assert_string_equal(blame.variables[1], "DNS_OVH_APPLICATION_SECRET");
    assert_string_equal(blame.variables[2], "DNS_OVH_CONSUMER_KEY");
    assert_non_null(strstr(err.text, "DNS_OVH_CONSUMER_KEY"));
}

/* One of two ways to sign in is enough; half of one is not. */
static void test_cloudflare_ways(void **state)
{
    static const struct {
        struct var vars[4];
        int rc;
        size_t blamed;
        const char *first;
    } cases[] = {
        {{{"DNS_CLOUDFLARE_API_TOKEN", "t"}}, PST_OK, 0, NULL},
        {{{"DNS_CLOUDFLARE_EMAIL", "e"}, {"DNS_CLOUDFLARE_API_KEY", "k"}}, PST_OK, 0, NULL},
        {{{"DNS_CLOUDFLARE_EMAIL", "e"}}, PST_REFUSED, 1, "DNS_CLOUDFLARE_API_KEY"},
        {{{"DNS_CLOUDFLARE_API_KEY", "k"}}, PST_REFUSED, 1, "DNS_CLOUDFLARE_EMAIL"},
        {{{0}}, PST_REFUSED, 2, "DNS_CLOUDFLARE_EMAIL"},
    };
    for (size_t i = 0; i < PST_ARRAY_N(cases); i++) {
        struct pst_dns_provider *p = NULL;
        struct pst_dns_blame blame = {0};
        struct pst_err err = {0};

        assert_int_equal(try_new("cloudflare", (struct var *)cases[i].vars, NULL, &p, &blame, &err),
                         cases[i].rc);
        assert_int_equal(blame.n, cases[i].blamed);
        if (cases[i].first)
            assert_string_equal(blame.variables[0], cases[i].first);
        pst_dns_provider_free(p);
    }
}

static void test_hosts_of_tenants(void **state)
{
    static const struct {
        const char *provider;
        struct var vars[6];
        const char *blamed;
    } cases[] = {
        {"ovh",
         {{"DNS_OVH_ENDPOINT", "https://evil.example/1.0"},
          {"DNS_OVH_APPLICATION_KEY", "a"},
          {"DNS_OVH_APPLICATION_SECRET", "b"},
          {"DNS_OVH_CONSUMER_KEY", "c"}},
         "DNS_OVH_ENDPOINT"},
        {"acme-dns",
         {{"DNS_ACMEDNS_API_BASE", "http://acme-dns.example"},
          {"DNS_ACMEDNS_USERNAME", "u"},
          {"DNS_ACMEDNS_PASSWORD", "p"},
          {"DNS_ACMEDNS_SUBDOMAIN", "s"}},
         "DNS_ACMEDNS_API_BASE"},
        {"acme-dns",
         {{"DNS_ACMEDNS_API_BASE", "https://user:pw@acme-dns.example"},
          {"DNS_ACMEDNS_USERNAME", "u"},
          {"DNS_ACMEDNS_PASSWORD", "p"},
          {"DNS_ACMEDNS_SUBDOMAIN", "s"}},
         "DNS_ACMEDNS_API_BASE"},
        {"route53",
         {{"DNS_AWS_ACCESS_KEY_ID", "a"},
          {"DNS_AWS_SECRET_ACCESS_KEY", "b"},
          {"DNS_AWS_HOSTED_ZONE_ID", "../../x"}},
         "DNS_AWS_HOSTED_ZONE_ID"},
    };
    for (size_t i = 0; i < PST_ARRAY_N(cases); i++) {
        struct pst_dns_provider *p = NULL;
        struct pst_dns_blame blame = {0};
        struct pst_err err = {0};

        assert_int_equal(
            try_new(cases[i].provider, (struct var *)cases[i].vars, NULL, &p, &blame, &err),
            PST_REFUSED);
        assert_int_equal(blame.n, 1);
        assert_string_equal(blame.variables[0], cases[i].blamed);
    }
}

/* A tenant's key file: only Google's token endpoints, only a service account. */
static void test_google_key_files(void **state)
{
    static const struct {
        const char *json;
        const char *why;
    } cases[] = {
        {"{\"type\":\"service_account\",\"project_id\":\"p\",\"client_email\":\"e\","
         "\"private_key\":\"k\",\"token_uri\":\"https://evil.example/token\"}",
         "token_uri"},
        {"{\"type\":\"service_account\",\"project_id\":\"p\",\"client_email\":\"e\","
         "\"private_key\":\"k\",\"token_uri\":\"http://oauth2.googleapis.com/token\"}",
         "token_uri"},
        {"{\"type\":\"service_account\",\"project_id\":\"p\",\"client_email\":\"e\","
         "\"private_key\":\"k\",\"token_uri\":\"https://oauth2.googleapis.com/token\"}",
         "private_key"},
        {"{\"type\":\"authorized_user\"}", "service account"},
        {"{\"type\":\"service_account\",\"client_email\":\"e\",\"private_key\":\"k\"}",
         "project_id"},
        {"[]", "service account"},
        {"not json", "JSON"},
    };
    for (size_t i = 0; i < PST_ARRAY_N(cases); i++) {
        auto_buf struct pst_buf b64 = PST_BUF(4096);
        struct pst_dns_provider *p = NULL;
        struct pst_dns_blame blame = {0};
        struct pst_err err = {0};

        pst_b64_add(&b64, cases[i].json, strlen(cases[i].json));
        struct var vars[] = {{"DNS_GCLOUD_JSON_KEYS", b64.data}, {0}};
        assert_int_equal(try_new("gcloud", vars, NULL, &p, &blame, &err), PST_REFUSED);
        assert_int_equal(blame.n, 1);
        if (!strstr(err.text, cases[i].why))
            fail_msg("\"%s\" does not speak of %s", err.text, cases[i].why);
    }
}

static void test_base_urls(void **state)
{
    static const struct {
        const char *url;
        int rc;
    } cases[] = {
        {"https://api.example", PST_OK},
        {"http://127.0.0.1:5000/v2/", PST_OK},
        {"http://[::1]:5000", PST_OK},
        {"http://localhost", PST_OK},
        {"http://api.example", PST_ECONFIG},
        {"ftp://127.0.0.1", PST_ECONFIG},
        {"https://api.example/?x", PST_ECONFIG},
        {"http://127.0.0.1.example", PST_ECONFIG},
        {"https://u:p@api.example", PST_ECONFIG},
        {"", PST_OK},
    };
    for (size_t i = 0; i < PST_ARRAY_N(cases); i++) {
        struct pst_dns_provider *p = NULL;
        struct pst_dns_blame blame = {0};
        struct pst_err err = {0};
        struct var vars[] = {{"DNS_DNSIMPLE_OAUTH_TOKEN", "t"}, {0}};

        int rc = try_new("dnsimple", vars, cases[i].url, &p, &blame, &err);
        if (rc != cases[i].rc)
            fail_msg("%s: %s", cases[i].url, pst_rc_name(rc));
        pst_dns_provider_free(p);
    }
}

static void test_bad_records(void **state)
{
    static const struct pst_dns_record bad[] = {
        {.fqdn = "", .value = "v"},
        {.fqdn = "com", .value = "v"},
        {.fqdn = "a..example.com", .value = "v"},
        {.fqdn = "a.example.com.", .value = "v"},
        {.fqdn = "A.example.com", .value = "v"},
        {.fqdn = "a/../b.example.com", .value = "v"},
        {.fqdn = "a.example.com", .value = ""},
        {.fqdn = "a.example.com", .value = NULL},
        {.fqdn = "a.example.com", .value = "a\"b"},
        {.fqdn = "a.example.com", .value = "a b"},
        {.fqdn = "a.example.com", .value = "a\nb"},
    };
    struct var vars[] = {{"DNS_DNSIMPLE_OAUTH_TOKEN", "t"}, {0}};
    struct pst_dns_provider *p = NULL;
    struct pst_err err = {0};

    assert_int_equal(try_new("dnsimple", vars, NULL, &p, NULL, &err), PST_OK);
    for (size_t i = 0; i < PST_ARRAY_N(bad); i++) {
        struct pst_dns_change change;
        assert_int_equal(pst_dns_txt_add(p, &bad[i], &change, &err), PST_EINPUT);
        assert_false(pst_dns_transient(&err));
    }
    pst_dns_provider_free(p);
}

/* acme-dns is where the tenant says; inside our networks it may not be. */
static void test_gate(void **state)
{
    struct var vars[] = {{"DNS_ACMEDNS_API_BASE", "http://127.0.0.1:9"},
                         {"DNS_ACMEDNS_USERNAME", "u"},
                         {"DNS_ACMEDNS_PASSWORD", "p"},
                         {"DNS_ACMEDNS_SUBDOMAIN", "s"},
                         {0}};
    struct pst_dns_settings s = {.provider = "acme-dns", .get = get, .arg = vars};
    struct pst_gate *gate = NULL;
    struct pst_dns_env env = {0};
    struct pst_dns_provider *p = NULL;
    struct pst_dns_record r = {.fqdn = "_acme-challenge.example.com",
                               .value = "LoqXcYV8q5ONbJQxbmR7SCTNo3tiAXDfowyjxAjEuX0"};
    struct pst_dns_change change;
    struct pst_err err = {0};

    assert_int_equal(pst_gate_new(&gate, NULL, 0, &err), PST_OK);
    struct pst_http_opts open = {0}, gated = {.gate = gate};
    assert_int_equal(pst_http_new(&env.http, &open, &err), PST_OK);
    assert_int_equal(pst_http_new(&env.gated, &gated, &err), PST_OK);
    assert_int_equal(pst_dns_provider_new(&p, &env, &s, NULL, &err), PST_OK);
    assert_int_equal(pst_dns_txt_add(p, &r, &change, &err), PST_EREMOTE);
    assert_false(pst_dns_transient(&err));
    assert_string_equal(err.problem, "gate");
    pst_dns_provider_free(p);
    pst_http_free(env.http);
    pst_http_free(env.gated);
    pst_gate_free(gate);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_unquote),
        cmocka_unit_test(test_escape),
        cmocka_unit_test(test_relative),
        cmocka_unit_test(test_xml),
        cmocka_unit_test(test_xml_refused),
        cmocka_unit_test(test_sigv4),
        cmocka_unit_test(test_ovh_signature),
        cmocka_unit_test(test_tsig_vector),
        cmocka_unit_test(test_unknown_provider),
        cmocka_unit_test(test_a_long_name_is_cut_whole),
        cmocka_unit_test(test_all_missing_are_named),
        cmocka_unit_test(test_cloudflare_ways),
        cmocka_unit_test(test_hosts_of_tenants),
        cmocka_unit_test(test_google_key_files),
        cmocka_unit_test(test_base_urls),
        cmocka_unit_test(test_bad_records),
        cmocka_unit_test(test_gate),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
