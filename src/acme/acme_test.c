/* acme_test.c - accounts, orders, authorizations, certificates against a scripted CA. */
#include "acme_test_ca.h"

#include <postern/secret.h>
#include <stdio.h>

#define NAMES    "\"identifiers\":[{\"type\":\"dns\",\"value\":\"www.example.com\"}]"
#define REST     NAMES ",\"authorizations\":[\"{base}/authz/1\"],\"finalize\":\"{base}/finalize/1\""
#define LOCATION "Location: {base}/order/1\r\n"

static const char *const names[] = {"www.example.com"};

static int order_new(struct test_ca *t, struct pst_acme_order **ret)
{
    return pst_acme_order_new(
        &t->call, &(struct pst_acme_order_request){.names = names, .names_n = 1}, ret, &t->err);
}

/* ---- accounts ---- */

static void test_account_request(void **state)
{
    struct test_ca *t = *state;
    static const char *const contacts[] = {"mailto:a@example.net", "mailto:b@example.net"};
    struct pst_acme_account_info *a = NULL;
    char payload[2000];
    auto_secret struct pst_secret key = {0};
    struct pst_acme_account_request req = {
        .contacts = contacts, .contacts_n = 2, .terms_agreed = true};

    test_ca_directory(t, "");
    fake_http_on(t->server, "POST /account", -1, 200, JSON "Location: {base}/acct/9\r\n",
                 "{\"status\":\"valid\",\"contact\":[],\"orders\":\"ignored\"}");
    assert_ok(pst_acme_account_new(&t->call, &req, &a, &t->err), t->err);
    assert_false(a->created);
    assert_int_equal(a->status, PST_ACME_ACCOUNT_VALID);
    pst_acme_account_info_free(a);
    test_ca_payload(t, payload, sizeof payload);
    assert_string_equal(payload, "{\"termsOfServiceAgreed\":true,\"contact\":"
                                 "[\"mailto:a@example.net\",\"mailto:b@example.net\"]}");

    assert_ok(pst_secret_set(&key, "zWND", 4, &t->err), t->err);
    req = (struct pst_acme_account_request){.eab_kid = "kid-1", .eab_key = &key};
    assert_ok(pst_acme_account_new(&t->call, &req, &a, &t->err), t->err);
    pst_acme_account_info_free(a);
    test_ca_payload(t, payload, sizeof payload);
    assert_int_equal(strncmp(payload, "{\"externalAccountBinding\":{\"protected\":\"", 40), 0);

    req = (struct pst_acme_account_request){.only_existing = true};
    assert_ok(pst_acme_account_new(&t->call, &req, &a, &t->err), t->err);
    pst_acme_account_info_free(a);
    test_ca_payload(t, payload, sizeof payload);
    assert_string_equal(payload, "{\"onlyReturnExisting\":true}");

    static const char *const bad[] = {"ops@example.net"};
    req = (struct pst_acme_account_request){.contacts = bad, .contacts_n = 1};
    assert_rc(pst_acme_account_new(&t->call, &req, &a, &t->err), PST_REFUSED, t->err);
    assert_string_equal(t->err.problem, "contact");
}

static void test_account_answers(void **state)
{
    struct test_ca *t = *state;
    struct pst_acme_account_info *a = NULL;
    struct pst_acme_account_request req = {.only_existing = true};

    test_ca_directory(t, "");
    fake_http_on(t->server, "POST /account", 1, 400, PROBLEM,
                 "{\"type\":\"" URN "accountDoesNotExist\"}");
    fake_http_on(t->server, "POST /account", 1, 200, JSON, "{\"status\":\"valid\"}");
    fake_http_on(t->server, "POST /account", 1, 200, JSON "Location: /relative\r\n", "{}");
    fake_http_on(t->server, "POST /account", 1, 200, JSON "Location: {base}/acct/1\r\n",
                 "{\"status\":\"strange\"}");
    fake_http_on(t->server, "POST /account", 1, 403,
                 PROBLEM "Link: <https://ca.example/tos/v2>;rel=\"terms-of-service\"\r\n",
                 "{\"type\":\"" URN "userActionRequired\",\"detail\":\"new terms\","
                 "\"instance\":\"https://ca.example/agree\"}");

    assert_rc(pst_acme_account_new(&t->call, &req, &a, &t->err), PST_NOTFOUND, t->err);
    assert_rc(pst_acme_account_new(&t->call, &req, &a, &t->err), PST_EINPUT, t->err);
    assert_err_has(t->err, "Location");
    assert_rc(pst_acme_account_new(&t->call, &req, &a, &t->err), PST_EINPUT, t->err);
    assert_ok(pst_acme_account_new(&t->call, &req, &a, &t->err), t->err);
    assert_int_equal(a->status, PST_ACME_ACCOUNT_REVOKED);
    pst_acme_account_info_free(a);
    assert_rc(pst_acme_account_new(&t->call, &req, &a, &t->err), PST_EREMOTE, t->err);
    assert_string_equal(t->call.problem.terms, "https://ca.example/tos/v2");
    assert_string_equal(t->call.problem.instance, "https://ca.example/agree");
    assert_int_equal(t->err.retry, PST_RETRY_NEVER);
}

static void test_account_changes(void **state)
{
    struct test_ca *t = *state;
    char payload[200];

    test_ca_directory(t, "");
    fake_http_on(t->server, "POST /acct/1", -1, 200, JSON, "{}");
    assert_ok(pst_acme_account_update(&t->call, NULL, 0, &t->err), t->err);
    test_ca_payload(t, payload, sizeof payload);
    assert_string_equal(payload, "{\"contact\":[]}");
    assert_ok(pst_acme_account_deactivate(&t->call, &t->err), t->err);
    test_ca_payload(t, payload, sizeof payload);
    assert_string_equal(payload, "{\"status\":\"deactivated\"}");
}

/* ---- orders ---- */

static void test_order_request(void **state)
{
    struct test_ca *t = *state;
    struct pst_acme_order *o = NULL;
    char payload[500];
    struct pst_acme_order_request req = {
        .names = names, .names_n = 1, .profile = "short", .replaces = "abc.def"};

    test_ca_directory(t,
                      "\"renewalInfo\":\"{base}/ari\",\"meta\":{\"profiles\":{\"short\":\"\"}},");
    fake_http_on(t->server, "POST /order", -1, 201, JSON LOCATION "Retry-After: 5\r\n",
                 "{\"status\":\"ready\",\"expires\":\"2026-07-28T15:00:00.5Z\"," REST "}");
    assert_ok(pst_acme_order_new(&t->call, &req, &o, &t->err), t->err);
    test_ca_payload(t, payload, sizeof payload);
    assert_string_equal(payload, "{" NAMES ",\"profile\":\"short\",\"replaces\":\"abc.def\"}");
    assert_int_equal(o->status, PST_ACME_ORDER_READY);
    assert_string_equal(o->url, test_ca_url(t, "/order/1"));
    assert_string_equal(o->finalize, test_ca_url(t, "/finalize/1"));
    assert_null(o->certificate);
    assert_int_equal(o->expires_at, TEST_NOW + 7 * 86400);
    assert_int_equal(o->retry_after_ms, 5000);
    assert_int_equal(o->authz_n, 1);
    assert_string_equal(o->authz[0], test_ca_url(t, "/authz/1"));
    pst_acme_order_free(o);
}

static void test_replaces_needs_renewal_info(void **state)
{
    struct test_ca *t = *state;
    struct pst_acme_order *o = NULL;
    char payload[500];
    struct pst_acme_order_request req = {.names = names, .names_n = 1, .replaces = "abc.def"};

    test_ca_directory(t, "");
    fake_http_on(t->server, "POST /order", -1, 201, JSON LOCATION,
                 "{\"status\":\"pending\"," REST "}");
    assert_ok(pst_acme_order_new(&t->call, &req, &o, &t->err), t->err);
    test_ca_payload(t, payload, sizeof payload);
    assert_string_equal(payload, "{" NAMES "}");
    assert_int_equal(o->expires_at, 0);
    pst_acme_order_free(o);
    req.profile = "short";
    assert_rc(pst_acme_order_new(&t->call, &req, &o, &t->err), PST_REFUSED, t->err);
    assert_string_equal(t->err.problem, "profile");
}

static void test_names_that_are_not_sent(void **state)
{
    struct test_ca *t = *state;
    static const char *const bad[] = {"",         "localhost", "Www.example.com", "a.example.",
                                      ".example", "a..b",      "*.*.example.com", "a b.example",
                                      "*.",       "x*.a.b",    "http://a.example"};
    static const char *const twice[] = {"a.example", "b.example", "a.example"};
    struct pst_acme_order *o = NULL;
    struct pst_acme_order_request req = {.names_n = 1};

    for (size_t i = 0; i < PST_ARRAY_N(bad); i++) {
        req.names = &bad[i];
        assert_rc(pst_acme_order_new(&t->call, &req, &o, &t->err), PST_REFUSED, t->err);
        assert_string_equal(t->err.problem, "names");
    }
    req = (struct pst_acme_order_request){.names = twice, .names_n = 3};
    assert_rc(pst_acme_order_new(&t->call, &req, &o, &t->err), PST_REFUSED, t->err);
    req.names_n = 0;
    assert_rc(pst_acme_order_new(&t->call, &req, &o, &t->err), PST_REFUSED, t->err);
    assert_int_equal(fake_http_count(t->server), 0);
}

static void test_order_statuses(void **state)
{
    struct test_ca *t = *state;
    static const struct {
        const char *text;
        enum pst_acme_order_status status;
    } cases[] = {
        {"pending", PST_ACME_ORDER_PENDING},       {"ready", PST_ACME_ORDER_READY},
        {"processing", PST_ACME_ORDER_PROCESSING}, {"invalid", PST_ACME_ORDER_INVALID},
        {"deactivated", PST_ACME_ORDER_INVALID}, /* Pebble before 2.8 */
        {"Valid", PST_ACME_ORDER_INVALID},         {"", PST_ACME_ORDER_INVALID},
    };

    for (size_t i = 0; i < PST_ARRAY_N(cases); i++) {
        auto_(pst_json_free) struct pst_json *j = NULL;
        auto_(pst_acme_order_free) struct pst_acme_order *o = NULL;
        char text[600];
        snprintf(text, sizeof text,
                 "{\"status\":\"%s\"," NAMES ",\"authorizations\":[\"https://ca.example/a\"],"
                 "\"finalize\":\"https://ca.example/f\",\"certificate\":\"ignored\"}",
                 cases[i].text);
        assert_ok(pst_json_parse(&j, text, strlen(text), &t->err), t->err);
        assert_ok(pst_acme_order_parse(t->ca, j, &o, &t->err), t->err);
        assert_int_equal(o->status, cases[i].status);
        assert_null(o->certificate);
    }
    assert_string_equal(pst_acme_order_status_name(PST_ACME_ORDER_PROCESSING), "processing");
}

static void test_bad_orders(void **state)
{
    struct test_ca *t = *state;
    static const struct {
        const char *headers, *body, *text;
    } cases[] = {
        {JSON, "{\"status\":\"pending\"," REST "}", "Location"},
        {JSON "Location: http://[::1/\r\n", "{\"status\":\"pending\"," REST "}", "Location"},
        {JSON LOCATION, "{" REST "}", "status"},
        {JSON LOCATION, "{\"status\":\"pending\"," NAMES "}", "authorizations"},
        {JSON LOCATION, "{\"status\":\"pending\"," NAMES ",\"authorizations\":[]}",
         "authorizations"},
        {JSON LOCATION, "{\"status\":\"pending\"," NAMES ",\"authorizations\":[\"x\"]}",
         "authorizations"},
        {JSON LOCATION, "{\"status\":\"pending\"," NAMES ",\"authorizations\":[\"{base}/a\"]}",
         "finalize"},
        {JSON LOCATION,
         "{\"status\":\"pending\"," NAMES ",\"authorizations\":[\"{base}/a\"],"
         "\"finalize\":\"javascript:alert(1)\"}",
         "finalize"},
        {JSON LOCATION, "{\"status\":\"valid\"," REST "}", "certificate"},
        {JSON LOCATION, "{\"status\":\"pending\",\"identifiers\":[{\"type\":\"dns\"}]}",
         "identifiers"},
        {JSON LOCATION,
         "{\"status\":\"pending\",\"identifiers\":[{\"type\":\"dns\",\"value\":\"evil.example\"}],"
         "\"authorizations\":[\"{base}/authz/1\"],\"finalize\":\"{base}/finalize/1\"}",
         "not the names"},
        {JSON LOCATION, "{\"status\":\"pending\",\"status\":\"valid\"}", "line 1"},
    };

    test_ca_directory(t, "");
    for (size_t i = 0; i < PST_ARRAY_N(cases); i++)
        fake_http_on(t->server, "POST /order", 1, 201, cases[i].headers, cases[i].body);
    for (size_t i = 0; i < PST_ARRAY_N(cases); i++) {
        struct pst_acme_order *o = NULL;
        assert_rc(order_new(t, &o), PST_EINPUT, t->err);
        assert_err_has(t->err, "ACME new order: ");
        assert_err_has(t->err, cases[i].text);
        assert_null(o);
    }
}

static void test_order_with_error(void **state)
{
    struct test_ca *t = *state;
    struct pst_acme_order *o = NULL;
    struct pst_acme_advice advice;

    test_ca_directory(t, "");
    fake_http_on(t->server, "POST /order/1", -1, 200, JSON,
                 "{\"status\":\"invalid\"," REST ",\"error\":{\"type\":\"" URN
                 "caa\",\"detail\":\"forbidden\",\"status\":403}}");
    assert_ok(pst_acme_order_get(&t->call, test_ca_url(t, "/order/1"), &o, &t->err), t->err);
    assert_int_equal(o->status, PST_ACME_ORDER_INVALID);
    assert_int_equal(o->error->type, PST_ACME_CAA);
    assert_int_equal(o->error->status, 403);
    pst_acme_problem_advice(o->error, PST_ACME_ON_ORDER, TEST_NOW, &advice, &t->err);
    assert_int_equal(t->err.retry, PST_RETRY_DAILY);
    pst_acme_order_free(o);
}

static void test_stuck_processing(void **state)
{
    struct test_ca *t = *state;
    struct pst_acme_order *o = NULL, *done = NULL;
    char payload[100];
    static const char *const after[] = {"Retry-After: 3\r\n",
                                        "Retry-After: Tue, 21 Jul 2026 15:00:20 GMT\r\n",
                                        "Retry-After: Tue, 21 Jul 2020 15:00:20 GMT\r\n",
                                        "Retry-After: -7\r\n",
                                        "Retry-After: 9999999\r\n",
                                        ""};
    static const int64_t wanted_ms[] = {3000, 20000, 0, 0, 86400000, 0};

    test_ca_directory(t, "");
    fake_http_on(t->server, "POST /order", -1, 201, JSON LOCATION,
                 "{\"status\":\"ready\"," REST "}");
    fake_http_on(t->server, "POST /finalize/1", -1, 200, JSON,
                 "{\"status\":\"processing\"," REST "}");
    assert_ok(order_new(t, &o), t->err);
    assert_ok(pst_acme_finalize(&t->call, o, "\xff\xee\xdd", 3, &done, &t->err), t->err);
    test_ca_payload(t, payload, sizeof payload);
    assert_string_equal(payload, "{\"csr\":\"_-7d\"}");
    assert_int_equal(done->status, PST_ACME_ORDER_PROCESSING);
    assert_string_equal(done->url, o->url); /* though the answer has no Location */
    pst_acme_order_free(done);

    for (size_t i = 0; i < PST_ARRAY_N(after); i++) {
        char headers[300];
        struct pst_acme_order *again = NULL;
        snprintf(headers, sizeof headers, "%s%s", JSON, after[i]);
        fake_http_on(t->server, "POST /order/1", 1, 200, headers,
                     "{\"status\":\"processing\"," REST "}");
        assert_ok(pst_acme_order_get(&t->call, o->url, &again, &t->err), t->err);
        assert_int_equal(again->retry_after_ms, wanted_ms[i]);
        pst_acme_order_free(again);
    }
    pst_acme_order_free(o);
}

/* ---- authorizations ---- */

#define TOKEN "evaGxfADs6pSRb2LAv9IZf17Dt3juxGJ-PCt92wr-oA"

static void test_authz(void **state)
{
    struct test_ca *t = *state;
    struct pst_acme_authz *a = NULL;

    test_ca_directory(t, "");
    fake_http_on(
        t->server, "POST /authz/1", -1, 200, JSON "Retry-After: 2\r\n",
        "{\"identifier\":{\"type\":\"dns\",\"value\":\"example.com\"},\"status\":\"pending\","
        "\"expires\":\"2026-07-28T15:00:00Z\",\"wildcard\":true,\"unknown\":[1,2],\"challenges\":["
        "{\"type\":\"new-99\",\"url\":\"{base}/c/0\",\"status\":\"pending\"},"
        "{\"type\":\"http-01\",\"url\":\"{base}/c/bad\",\"status\":\"pending\","
        "\"token\":\"../../etc/passwd\"},"
        "{\"type\":\"http-01\",\"url\":\"{base}/c/none\",\"status\":\"pending\"},"
        "{\"type\":\"tls-alpn-01\",\"url\":\"nowhere\",\"status\":\"pending\",\"token\":\"x\"},"
        "7,null,{},"
        "{\"type\":\"dns-01\",\"url\":\"{base}/c/1\",\"status\":\"invalid\",\"token\":\"" TOKEN
        "\",\"error\":{\"type\":\"" URN "dns\",\"detail\":\"SERVFAIL\"}},"
        "{\"type\":\"dns-persist-01\",\"url\":\"{base}/c/2\",\"status\":\"pending\","
        "\"issuer-domain-names\":[\"ca.test\"],\"accounturi\":\"{base}/acct/1\"},"
        "{\"type\":\"dns-persist-01\",\"url\":\"{base}/c/3\",\"status\":\"odd\","
        "\"issuerDomainNames\":[\"a.test\",\"b.test\"]}]}");
    assert_ok(pst_acme_authz_get(&t->call, test_ca_url(t, "/authz/1"), &a, &t->err), t->err);
    assert_string_equal(a->name, "example.com");
    assert_string_equal(a->url, test_ca_url(t, "/authz/1"));
    assert_true(a->wildcard);
    assert_int_equal(a->status, PST_ACME_AUTHZ_PENDING);
    assert_int_equal(a->expires_at, TEST_NOW + 7 * 86400);
    assert_int_equal(a->retry_after_ms, 2000);

    assert_int_equal(a->challenges_n, 4);
    assert_int_equal(a->challenges[0].type, PST_ACME_CHALLENGE_OTHER);
    assert_string_equal(a->challenges[0].type_text, "new-99");
    assert_null(a->challenges[0].token);
    assert_null(pst_acme_authz_challenge(a, PST_ACME_HTTP_01));
    const struct pst_acme_challenge *c = pst_acme_authz_challenge(a, PST_ACME_DNS_01);
    assert_string_equal(c->token, TOKEN);
    assert_int_equal(c->status, PST_ACME_CHALLENGE_INVALID);
    assert_int_equal(pst_acme_authz_error(a)->type, PST_ACME_DNS);
    c = pst_acme_authz_challenge(a, PST_ACME_DNS_PERSIST_01);
    assert_false(c->hashed);
    assert_string_equal(c->account_uri, t->account_url);
    assert_string_equal(c->issuers[0], "ca.test");
    c = &a->challenges[3];
    assert_true(c->hashed);
    assert_int_equal(c->issuers_n, 2);
    assert_int_equal(c->status, PST_ACME_CHALLENGE_INVALID);
    pst_acme_authz_free(a);
}

static void test_bad_authz(void **state)
{
    struct test_ca *t = *state;
    static const struct {
        const char *body, *text;
    } cases[] = {
        {"{\"status\":\"pending\"}", "identifier"},
        {"{\"status\":\"pending\",\"identifier\":{\"value\":\"\"}}", "identifier"},
        {"{\"status\":\"pending\",\"identifier\":\"a.example\"}", "identifier"},
        {"{\"identifier\":{\"value\":\"a.example\"}}", "status"},
    };

    test_ca_directory(t, "");
    for (size_t i = 0; i < PST_ARRAY_N(cases); i++) {
        struct pst_acme_authz *a = NULL;
        fake_http_on(t->server, "POST /authz/1", 1, 200, JSON, cases[i].body);
        assert_rc(pst_acme_authz_get(&t->call, test_ca_url(t, "/authz/1"), &a, &t->err), PST_EINPUT,
                  t->err);
        assert_err_has(t->err, cases[i].text);
    }

    /* No challenges at all, and a status nobody knows. */
    struct pst_acme_authz *a = NULL;
    fake_http_on(t->server, "POST /authz/1", 1, 200, JSON,
                 "{\"identifier\":{\"value\":\"*.a.example\"},\"status\":\"weird\"}");
    assert_ok(pst_acme_authz_get(&t->call, test_ca_url(t, "/authz/1"), &a, &t->err), t->err);
    assert_int_equal(a->status, PST_ACME_AUTHZ_INVALID);
    assert_string_equal(a->name, "a.example");
    assert_true(a->wildcard);
    assert_null(pst_acme_authz_error(a));
    pst_acme_authz_free(a);
}

static void test_challenge_answer(void **state)
{
    struct test_ca *t = *state;
    enum pst_acme_challenge_status status;
    char payload[16];

    test_ca_directory(t, "");
    fake_http_on(t->server, "POST /c/1", 1, 200, JSON, "{\"status\":\"processing\"}");
    fake_http_on(t->server, "POST /c/1", 1, 400, PROBLEM, "{\"type\":\"" URN "malformed\"}");
    assert_ok(pst_acme_challenge_answer(&t->call, test_ca_url(t, "/c/1"), &status, &t->err),
              t->err);
    assert_int_equal(status, PST_ACME_CHALLENGE_PROCESSING);
    test_ca_payload(t, payload, sizeof payload);
    assert_string_equal(payload, "{}");
    assert_rc(pst_acme_challenge_answer(&t->call, test_ca_url(t, "/c/1"), &status, &t->err),
              PST_EREMOTE, t->err);
}

static void test_words(void **state)
{
    for (unsigned i = 0; i < PST_ACME_CHALLENGE_OTHER; i++)
        assert_int_equal(pst_acme_challenge_type_parse(pst_acme_challenge_type_name(i)), i);
    assert_int_equal(pst_acme_challenge_type_parse("other"), PST_ACME_CHALLENGE_OTHER);
    assert_int_equal(pst_acme_challenge_type_parse("HTTP-01"), PST_ACME_CHALLENGE_OTHER);
    assert_int_equal(pst_acme_challenge_type_parse(NULL), PST_ACME_CHALLENGE_OTHER);
    assert_string_equal(pst_acme_authz_status_name(PST_ACME_AUTHZ_REVOKED), "revoked");
}

/* ---- certificates ---- */

#define PEM  "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"
#define TYPE "Content-Type: application/pem-certificate-chain; charset=utf-8\r\n"

static void test_certificate(void **state)
{
    struct test_ca *t = *state;
    struct pst_acme_certificate *c = NULL;

    test_ca_directory(t, "");
    fake_http_on(t->server, "POST /cert/1", -1, 200,
                 TYPE "Link: <{base}/dir>;rel=\"index\"\r\n"
                      "link: <{base}/cert/1/1>;rel=\"alternate\"\r\n"
                      "Link: <ftp://x/>;rel=\"alternate\", </relative>;rel=\"alternate\"\r\n"
                      "Link: <{base}/cert/1/2>;rel=\"alternate\"\r\n",
                 PEM PEM);
    assert_ok(pst_acme_certificate_get(&t->call, test_ca_url(t, "/cert/1"), &c, &t->err), t->err);
    assert_string_equal(c->pem, PEM PEM);
    assert_int_equal(c->pem_len, strlen(PEM PEM));
    assert_int_equal(c->alternates_n, 2);
    assert_string_equal(c->alternates[1], test_ca_url(t, "/cert/1/2"));
    pst_acme_certificate_free(c);
    const struct fake_http_request *r = fake_http_last(t->server);
    assert_string_equal(fake_http_header(t->server, r, "Accept"),
                        "application/pem-certificate-chain");
}

static void test_bad_certificates(void **state)
{
    struct test_ca *t = *state;
    static const struct {
        const char *headers, *body, *text;
    } cases[] = {
        {"Content-Type: text/html\r\n", PEM, "text/html"},
        {TYPE, "", "no certificate"},
        {TYPE, "-----BEGIN PRIVATE KEY-----", "no certificate"},
    };

    test_ca_directory(t, "");
    for (size_t i = 0; i < PST_ARRAY_N(cases); i++) {
        struct pst_acme_certificate *c = NULL;
        fake_http_on(t->server, "POST /cert/1", 1, 200, cases[i].headers, cases[i].body);
        assert_rc(pst_acme_certificate_get(&t->call, test_ca_url(t, "/cert/1"), &c, &t->err),
                  PST_EINPUT, t->err);
        assert_err_has(t->err, cases[i].text);
    }
}

static void test_revoke(void **state)
{
    struct test_ca *t = *state;
    char payload[200];

    test_ca_directory(t, "");
    fake_http_on(t->server, "POST /revoke", 2, 200, "Replay-Nonce: {nonce}\r\n", "");
    fake_http_on(t->server, "POST /revoke", 1, 400, PROBLEM,
                 "{\"type\":\"" URN "alreadyRevoked\"}");
    fake_http_on(t->server, "POST /revoke", 1, 403, PROBLEM, "{\"type\":\"" URN "unauthorized\"}");
    assert_ok(pst_acme_revoke(&t->call, "\xfb\xff", 2, 0, NULL, &t->err), t->err);
    test_ca_payload(t, payload, sizeof payload);
    assert_string_equal(payload, "{\"certificate\":\"-_8\"}");
    struct pst_json *h = test_ca_protected(t);
    assert_non_null(pst_json_get_text(h, "kid"));
    pst_json_free(h);

    assert_ok(pst_acme_revoke(&t->call, "\xfb\xff", 2, 1, t->other_key, &t->err), t->err);
    test_ca_payload(t, payload, sizeof payload);
    assert_string_equal(payload, "{\"certificate\":\"-_8\",\"reason\":1}");
    h = test_ca_protected(t);
    assert_string_equal(pst_json_get_text(h, "alg"), "ES384"); /* the certificate's own */
    assert_null(pst_json_get(h, "kid"));
    pst_json_free(h);

    assert_rc(pst_acme_revoke(&t->call, "x", 1, 0, NULL, &t->err), PST_DONE, t->err);
    assert_rc(pst_acme_revoke(&t->call, "x", 1, 0, NULL, &t->err), PST_EREMOTE, t->err);
    assert_rc(pst_acme_revoke(&t->call, "x", 1, 7, NULL, &t->err), PST_REFUSED, t->err);
}

/* ---- renewal information ---- */

static void test_renewal_info(void **state)
{
    struct test_ca *t = *state;
    struct pst_acme_renewal info = {0};

    test_ca_directory(t, "\"renewalInfo\":\"{base}/ari/\",");
    fake_http_on(t->server, "GET /ari/aYhba4dGQEHhs3uEe6CuLN4ByNQ.AIdlQyE", 1, 200,
                 "Content-Type: application/json\r\nRetry-After: 21600\r\n",
                 "{\"suggestedWindow\":{\"start\":\"2026-07-21T16:00:00.25Z\","
                 "\"end\":\"2026-07-22T18:00:00+02:00\"},"
                 "\"explanationURL\":\"https://ca.example/why\"}");
    fake_http_on(t->server, NULL, 1, 200, "Content-Type: application/json\r\nRetry-After: 1\r\n",
                 "{\"suggestedWindow\":{\"start\":\"2026-07-21T16:00:00Z\","
                 "\"end\":\"2026-07-22T16:00:00Z\"}}");
    assert_ok(
        pst_acme_renewal_info(&t->call, "aYhba4dGQEHhs3uEe6CuLN4ByNQ.AIdlQyE", &info, &t->err),
        t->err);
    assert_int_equal(info.start_at_ms, (TEST_NOW + 3600) * INT64_C(1000) + 250);
    assert_int_equal(info.end_at_ms, (TEST_NOW + 25 * 3600) * INT64_C(1000));
    assert_int_equal(info.retry_after_s, 21600);
    assert_string_equal(info.explanation_url, "https://ca.example/why");
    assert_ok(pst_acme_renewal_info(&t->call, "a.b", &info, &t->err), t->err);
    assert_int_equal(info.retry_after_s, 60);
    assert_string_equal(info.explanation_url, "");
    assert_int_equal(fake_http_count_of(t->server, "HEAD /nonce"), 0);

    static const char *const bad[] = {"", "a", ".", "a.", ".b", "a.b.c", "a/../b.c", "a=.b", NULL};
    for (size_t i = 0; i < PST_ARRAY_N(bad); i++)
        assert_rc(pst_acme_renewal_info(&t->call, bad[i], &info, &t->err), PST_REFUSED, t->err);
}

static void test_bad_renewal_info(void **state)
{
    struct test_ca *t = *state;
    static const char *const bad[] = {
        "{}",
        "{\"suggestedWindow\":[]}",
        "{\"suggestedWindow\":{\"start\":\"2026-07-21T16:00:00Z\"}}",
        "{\"suggestedWindow\":{\"start\":\"x\",\"end\":\"2026-07-21T16:00:00Z\"}}",
        ("{\"suggestedWindow\":{\"start\":\"2026-07-21T16:00:00Z\","
         "\"end\":\"2026-07-21T16:00:00Z\"}}"),
        "nonsense",
    };
    struct pst_acme_renewal info = {0};

    test_ca_directory(t, "\"renewalInfo\":\"{base}/ari\",");
    for (size_t i = 0; i < PST_ARRAY_N(bad); i++) {
        fake_http_on(t->server, "GET /ari/a.b", 1, 200, "Content-Type: application/json\r\n",
                     bad[i]);
        assert_rc(pst_acme_renewal_info(&t->call, "a.b", &info, &t->err), PST_EINPUT, t->err);
    }
    assert_int_equal(info.end_at_ms, 0);
    fake_http_on(t->server, "GET /ari/a.b", 1, 404, PROBLEM, "{\"type\":\"" URN "malformed\"}");
    assert_rc(pst_acme_renewal_info(&t->call, "a.b", &info, &t->err), PST_EREMOTE, t->err);
}

static void test_no_memory(void **state)
{
    struct test_ca *t = *state;
    struct pst_acme_order *o = NULL, *done = NULL;
    struct pst_acme_authz *a = NULL;
    struct pst_acme_certificate *c = NULL;
    int rc;

    test_ca_directory(t, "\"meta\":{\"caaIdentities\":[\"a\"],\"profiles\":{\"p\":\"x\"}},");
    fake_http_on(t->server, "POST /order", -1, 201, JSON LOCATION,
                 "{\"status\":\"valid\"," REST ",\"certificate\":\"{base}/cert/1\","
                 "\"error\":{\"type\":\"x\"}}");
    fake_http_on(t->server, "POST /finalize/1", -1, 200, JSON,
                 "{\"status\":\"processing\"," REST "}");
    fake_http_on(
        t->server, "POST /authz/1", -1, 200, JSON,
        "{\"identifier\":{\"value\":\"a.example\"},\"status\":\"pending\",\"challenges\":["
        "{\"type\":\"dns-01\",\"url\":\"{base}/c/1\",\"status\":\"invalid\",\"token\":\"x\","
        "\"error\":{\"type\":\"y\"}}]}");
    fake_http_on(t->server, "POST /cert/1", -1, 200,
                 TYPE "Link: <{base}/cert/2>;rel=\"alternate\"\r\n", PEM);
    assert_survives_no_memory(rc, rc = order_new(t, &o));
    assert_survives_no_memory(rc, rc = pst_acme_finalize(&t->call, o, "x", 1, &done, &t->err));
    assert_survives_no_memory(rc, rc = pst_acme_authz_get(&t->call, o->authz[0], &a, &t->err));
    assert_survives_no_memory(rc,
                              rc = pst_acme_certificate_get(&t->call, o->certificate, &c, &t->err));
    fake_http_on(t->server, "POST /revoke", -1, 200, "", "");
    assert_survives_no_memory(rc, rc = pst_acme_revoke(&t->call, "x", 1, 0, NULL, &t->err));
    pst_acme_order_free(o);
    pst_acme_order_free(done);
    pst_acme_authz_free(a);
    pst_acme_certificate_free(c);
}

#define CASE(fn) cmocka_unit_test_setup_teardown(fn, test_ca_start, test_ca_stop)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(test_account_request),
        CASE(test_account_answers),
        CASE(test_account_changes),
        CASE(test_order_request),
        CASE(test_replaces_needs_renewal_info),
        CASE(test_names_that_are_not_sent),
        CASE(test_order_statuses),
        CASE(test_bad_orders),
        CASE(test_order_with_error),
        CASE(test_stuck_processing),
        CASE(test_authz),
        CASE(test_bad_authz),
        CASE(test_challenge_answer),
        cmocka_unit_test(test_words),
        CASE(test_certificate),
        CASE(test_bad_certificates),
        CASE(test_revoke),
        CASE(test_renewal_info),
        CASE(test_bad_renewal_info),
        CASE(test_no_memory),
    };
    return cmocka_run_group_tests_name("acme", tests, NULL, NULL);
}
