/* problem_test.c - the table of problems, and what is made of documents. */
#include "pst_test.h"

#include <postern/err.h>
#include <postern/text.h>
#include <stdio.h>
#include <stdlib.h>

#include "acme_internal.h"

enum { NOW = 1784646000 };

#define URN "urn:ietf:params:acme:error:"

static void parse(const char *text, struct pst_acme_problem *to)
{
    auto_(pst_json_free) struct pst_json *j = NULL;
    struct pst_err err = {0};

    assert_ok(pst_json_parse(&j, text, strlen(text), &err), err);
    pst_acme_problem_parse(j, 0, to);
}

static struct pst_acme_advice advise(const char *name, int status, enum pst_acme_where where,
                                     struct pst_err *err)
{
    struct pst_acme_problem p;
    struct pst_acme_advice a;
    char text[300];

    snprintf(text, sizeof text, "{\"type\":\"%s%s\",\"detail\":\"why\",\"status\":%d}",
             strchr(name, ':') ? "" : URN, name, status);
    parse(text, &p);
    pst_acme_problem_advice(&p, where, NOW, &a, err);
    return a;
}

/* The table of the contract, row by row: class on a request, on a challenge; does it count? */
static const struct {
    const char *name;
    int status;
    enum pst_acme_class request, challenge;
    bool counts;
    enum pst_retry retry;
} cases[] = {
    {"badNonce", 400, PST_ACME_NOW, PST_ACME_NOW, false, PST_RETRY_AT},
    {"accountDoesNotExist", 400, PST_ACME_OPERATOR, PST_ACME_OPERATOR, false, PST_RETRY_NEVER},
    {"alreadyReplaced", 409, PST_ACME_NOW, PST_ACME_NOW, false, PST_RETRY_AT},
    {"alreadyRevoked", 400, PST_ACME_SUCCESS, PST_ACME_SUCCESS, false, PST_RETRY_NEVER},
    {"autoRenewalCanceled", 403, PST_ACME_OPERATOR, PST_ACME_OPERATOR, false, PST_RETRY_NEVER},
    {"autoRenewalExpired", 403, PST_ACME_OPERATOR, PST_ACME_OPERATOR, false, PST_RETRY_NEVER},
    {"badCSR", 400, PST_ACME_OPERATOR, PST_ACME_OPERATOR, false, PST_RETRY_NEVER},
    {"badPublicKey", 400, PST_ACME_OPERATOR, PST_ACME_OPERATOR, false, PST_RETRY_NEVER},
    {"badSignatureAlgorithm", 400, PST_ACME_OPERATOR, PST_ACME_OPERATOR, false, PST_RETRY_NEVER},
    {"badRevocationReason", 400, PST_ACME_NOW, PST_ACME_NOW, false, PST_RETRY_AT},
    {"caa", 403, PST_ACME_DAILY, PST_ACME_DAILY, true, PST_RETRY_DAILY},
    {"connection", 400, PST_ACME_BACKOFF, PST_ACME_BACKOFF, true, PST_RETRY_BACKOFF},
    {"tls", 400, PST_ACME_BACKOFF, PST_ACME_BACKOFF, true, PST_RETRY_BACKOFF},
    {"dns", 400, PST_ACME_BACKOFF, PST_ACME_BACKOFF, true, PST_RETRY_BACKOFF},
    {"externalAccountRequired", 403, PST_ACME_OPERATOR, PST_ACME_OPERATOR, false, PST_RETRY_NEVER},
    {"incorrectResponse", 403, PST_ACME_BACKOFF, PST_ACME_BACKOFF, true, PST_RETRY_BACKOFF},
    {"invalidContact", 400, PST_ACME_OPERATOR, PST_ACME_OPERATOR, false, PST_RETRY_NEVER},
    {"unsupportedContact", 400, PST_ACME_OPERATOR, PST_ACME_OPERATOR, false, PST_RETRY_NEVER},
    {"invalidProfile", 400, PST_ACME_NOW, PST_ACME_NOW, false, PST_RETRY_AT},
    {"malformed", 400, PST_ACME_DAILY, PST_ACME_DAILY, true, PST_RETRY_DAILY},
    {"malformed", 415, PST_ACME_DAILY, PST_ACME_DAILY, true, PST_RETRY_DAILY},
    {"orderNotReady", 403, PST_ACME_NOW, PST_ACME_NOW, false, PST_RETRY_AT},
    {"rateLimited", 429, PST_ACME_WAIT, PST_ACME_WAIT, false, PST_RETRY_AT},
    {"rateLimited", 503, PST_ACME_WAIT, PST_ACME_WAIT, false, PST_RETRY_AT},
    {"rejectedIdentifier", 400, PST_ACME_DAILY, PST_ACME_DAILY, true, PST_RETRY_DAILY},
    {"unsupportedIdentifier", 400, PST_ACME_DAILY, PST_ACME_DAILY, true, PST_RETRY_DAILY},
    {"serverInternal", 500, PST_ACME_BACKOFF, PST_ACME_BACKOFF, false, PST_RETRY_BACKOFF},
    {"unknownDelegation", 403, PST_ACME_DAILY, PST_ACME_DAILY, true, PST_RETRY_DAILY},
    {"userActionRequired", 403, PST_ACME_OPERATOR, PST_ACME_OPERATOR, false, PST_RETRY_NEVER},
    {"agreementRequired", 403, PST_ACME_OPERATOR, PST_ACME_OPERATOR, false, PST_RETRY_NEVER},
    {"conflict", 409, PST_ACME_BACKOFF, PST_ACME_BACKOFF, false, PST_RETRY_BACKOFF},
    {"somethingNew", 403, PST_ACME_DAILY, PST_ACME_DAILY, true, PST_RETRY_DAILY},
    {"somethingNew", 500, PST_ACME_BACKOFF, PST_ACME_BACKOFF, false, PST_RETRY_BACKOFF},
    {"about:blank", 400, PST_ACME_DAILY, PST_ACME_DAILY, true, PST_RETRY_DAILY},
    {"autoRenewal", 400, PST_ACME_DAILY, PST_ACME_DAILY, true, PST_RETRY_DAILY}, /* no such type */
    {"other", 400, PST_ACME_DAILY, PST_ACME_DAILY, true, PST_RETRY_DAILY},
};

static void test_table(void **state)
{
    for (size_t i = 0; i < PST_ARRAY_N(cases); i++) {
        struct pst_err err = {0};
        struct pst_acme_advice a =
            advise(cases[i].name, cases[i].status, PST_ACME_ON_REQUEST, &err);
        if (a.class_ != cases[i].request || a.counts != cases[i].counts ||
            err.retry != cases[i].retry)
            fail_msg("%s, %d: class %d, counts %d, retry %d", cases[i].name, cases[i].status,
                     a.class_, a.counts, err.retry);
        assert_int_equal(err.rc, PST_EREMOTE);
        assert_err_has(err, "why");
        assert_non_null(strstr(err.problem, cases[i].name));
        assert_true(strlen(a.user) > 20);
        a = advise(cases[i].name, cases[i].status, PST_ACME_ON_CHALLENGE, &err);
        assert_int_equal(a.class_, cases[i].challenge);
    }
}

static void test_place_decides(void **state)
{
    struct pst_err err = {0};

    struct pst_acme_advice a = advise("unauthorized", 403, PST_ACME_ON_REQUEST, &err);
    assert_int_equal(a.class_, PST_ACME_OPERATOR);
    assert_false(a.counts);
    assert_non_null(strstr(a.user, "account"));
    a = advise("unauthorized", 403, PST_ACME_ON_CHALLENGE, &err);
    assert_int_equal(a.class_, PST_ACME_BACKOFF);
    assert_true(a.counts);
    a = advise("unauthorized", 403, PST_ACME_ON_ORDER, &err);
    assert_int_equal(a.class_, PST_ACME_BACKOFF);
    a = advise("malformed", 404, PST_ACME_ON_REQUEST, &err);
    assert_int_equal(a.class_, PST_ACME_BACKOFF);
    assert_false(a.counts);
    a = advise("malformed", 404, PST_ACME_ON_CHALLENGE, &err);
    assert_int_equal(a.class_, PST_ACME_DAILY);
}

static void test_rate_limits(void **state)
{
    struct pst_acme_problem p = {.type = PST_ACME_RATE_LIMITED, .status = 429};
    struct pst_acme_advice a;
    struct pst_err err = {0};

    pst_acme_problem_advice(&p, PST_ACME_ON_REQUEST, NOW, &a, &err);
    assert_int_equal(a.not_before_at, NOW + 3600);
    p.retry_after_s = 200000;
    pst_acme_problem_advice(&p, PST_ACME_ON_REQUEST, NOW, &a, &err);
    assert_int_equal(a.class_, PST_ACME_WAIT);
    assert_int_equal(err.retry_at, NOW + 200000);

    parse("{\"type\":\"" URN "rateLimited\",\"detail\":\"too many certificates, retry after "
          "2026-11-20 20:00:00 UTC: see https://ca.example/docs/rate-limits/#new-orders\"}",
          &p);
    assert_false(p.paused);
    parse("{\"type\":\"" URN "rateLimited\",\"detail\":\"Your account is paused for this name. "
          "Please visit https://portal.ca.example/unpause?jwt=abc\"}",
          &p);
    assert_true(p.paused);
    pst_acme_problem_advice(&p, PST_ACME_ON_REQUEST, NOW, &a, &err);
    assert_int_equal(a.class_, PST_ACME_OPERATOR);
    assert_int_equal(err.retry, PST_RETRY_NEVER);
}

static void test_back_off_keeps_the_time(void **state)
{
    struct pst_acme_problem p = {.type = PST_ACME_SERVER_INTERNAL, .retry_after_s = 60};
    struct pst_acme_advice a;

    pst_acme_problem_advice(&p, PST_ACME_ON_REQUEST, NOW, &a, NULL);
    assert_int_equal(a.class_, PST_ACME_BACKOFF);
    assert_int_equal(a.not_before_at, NOW + 60);
    p.type = PST_ACME_CAA;
    pst_acme_problem_advice(&p, PST_ACME_ON_REQUEST, NOW, &a, NULL);
    assert_int_equal(a.not_before_at, 0);
}

static void test_compound(void **state)
{
    struct pst_acme_problem p;
    struct pst_acme_advice a;
    struct pst_err err = {0};

    parse("{\"type\":\"" URN "compound\",\"detail\":\"several\",\"subproblems\":["
          "{\"type\":\"" URN "dns\",\"detail\":\"x\",\"identifier\":{\"type\":\"dns\","
          "\"value\":\"a.example\"}},"
          "{\"type\":\"" URN "caa\",\"detail\":\"y\",\"identifier\":{\"type\":\"dns\","
          "\"value\":\"b.example\"}},7,{}]}",
          &p);
    assert_int_equal(p.type, PST_ACME_COMPOUND);
    assert_int_equal(p.subproblems_n, 4);
    assert_int_equal(p.subproblems[1].type, PST_ACME_CAA);
    assert_string_equal(p.subproblems[1].name, "b.example");
    assert_int_equal(p.subproblems[2].type, PST_ACME_OTHER);
    assert_string_equal(p.subproblems[3].name, "");
    pst_acme_problem_advice(&p, PST_ACME_ON_REQUEST, NOW, &a, &err);
    assert_int_equal(a.class_, PST_ACME_DAILY);
    assert_non_null(strstr(a.user, "CAA"));

    /* An unauthorized name is not an unauthorized account. */
    parse("{\"type\":\"" URN "compound\",\"subproblems\":["
          "{\"type\":\"" URN "unauthorized\"},{\"type\":\"" URN "connection\"}]}",
          &p);
    pst_acme_problem_advice(&p, PST_ACME_ON_REQUEST, NOW, &a, &err);
    assert_int_equal(a.class_, PST_ACME_BACKOFF);
    parse("{\"type\":\"" URN "compound\"}", &p);
    pst_acme_problem_advice(&p, PST_ACME_ON_REQUEST, NOW, &a, &err);
    assert_int_equal(a.class_, PST_ACME_DAILY);
}

static void test_many_subproblems(void **state)
{
    auto_buf struct pst_buf text = PST_BUF(100000);
    struct pst_acme_problem p;

    pst_buf_str(&text, "{\"type\":\"" URN "compound\",\"subproblems\":[");
    for (int i = 0; i < 100; i++)
        pst_buf_printf(&text, "%s{\"type\":\"" URN "dns\"}", i ? "," : "");
    pst_buf_str(&text, "]}");
    parse(text.data, &p);
    assert_int_equal(p.subproblems_n, PST_ACME_SUBPROBLEMS_MAX);
}

static void test_texts_are_made_safe(void **state)
{
    static const struct {
        const char *in, *out;
    } texts[] = {
        {"plain", "plain"},
        {"caf\xc3\xa9 \xe2\x82\xac \xf0\x9f\x98\x80", "caf\xc3\xa9 \xe2\x82\xac \xf0\x9f\x98\x80"},
        {"a\nb\tc\x7f", "a\\u000ab\\u0009c\\u007f"},
        {"x\x1b[31mred", "x\\u001b[31mred"},
        {"\xc2\x9b", "\\u009b"},
        {"\xe2\x80\xae"
         "evil",
         "\\u202eevil"},
        {"\xef\xbb\xbf", "\\ufeff"},
        {"bad\xff", ""},
        {NULL, ""},
    };
    char to[64], tiny[5];

    for (size_t i = 0; i < PST_ARRAY_N(texts); i++) {
        pst_acme_show(to, sizeof to, texts[i].in);
        assert_string_equal(to, texts[i].out);
    }
    pst_acme_show(tiny, sizeof tiny,
                  "ab\xe2\x82\xac"
                  "c"); /* cut before what does not fit */
    assert_string_equal(tiny, "ab");
    pst_acme_show(tiny, sizeof tiny, "abcdef");
    assert_string_equal(tiny, "abcd");
    pst_acme_show(tiny, sizeof tiny, "\n");
    assert_string_equal(tiny, "");
}

static void test_detail_is_bounded(void **state)
{
    auto_buf struct pst_buf text = PST_BUF(100000);
    struct pst_acme_problem p;
    struct pst_acme_advice a;
    struct pst_err err = {0};

    pst_buf_str(&text, "{\"type\":\"" URN "dns\",\"detail\":\"");
    for (int i = 0; i < 5000; i++)
        pst_buf_str(&text, "\xc3\xa9");
    pst_buf_str(&text, "\"}");
    parse(text.data, &p);
    assert_true(strlen(p.detail) <= 500 && strlen(p.detail) > 490);
    assert_true(pst_utf8_ok(p.detail, strlen(p.detail)));
    pst_acme_problem_advice(&p, PST_ACME_ON_CHALLENGE, NOW, &a, &err);
}

static void test_no_document(void **state)
{
    struct pst_acme_problem p;

    pst_acme_problem_parse(NULL, 0, &p);
    assert_int_equal(p.type, PST_ACME_OTHER);
    assert_int_equal(p.status, 0);
    parse("{\"type\":5,\"detail\":[],\"status\":\"x\",\"subproblems\":{\"a\":{}}}", &p);
    assert_int_equal(p.type, PST_ACME_OTHER);
    assert_int_equal(p.subproblems_n, 0);
    assert_string_equal(p.detail, "");
    parse("{\"status\":99}", &p);
    assert_int_equal(p.status, 0);
}

static void test_names(void **state)
{
    for (unsigned i = 0; i < PST_ACME_PROBLEM_TYPE__COUNT; i++)
        assert_non_null(pst_acme_problem_type_name(i));
    assert_string_equal(pst_acme_problem_type_name(PST_ACME_CAA), "caa");
    assert_string_equal(pst_acme_problem_type_name(PST_ACME_PROBLEM_TYPE__COUNT), "other");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_table),
        cmocka_unit_test(test_place_decides),
        cmocka_unit_test(test_rate_limits),
        cmocka_unit_test(test_back_off_keeps_the_time),
        cmocka_unit_test(test_compound),
        cmocka_unit_test(test_many_subproblems),
        cmocka_unit_test(test_texts_are_made_safe),
        cmocka_unit_test(test_detail_is_bounded),
        cmocka_unit_test(test_no_document),
        cmocka_unit_test(test_names),
    };
    return cmocka_run_group_tests_name("acme_problem", tests, NULL, NULL);
}
