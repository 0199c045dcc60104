/* exchange_test.c - signing, nonces, the directory, and answers that no good CA gives. */
#include "acme_test_ca.h"

#include <postern/log.h>
#include <postern/secret.h>
#include <postern/text.h>
#include <stdio.h>
#include <stdlib.h>

#define ORDER                                                                                      \
    "{\"status\":\"pending\",\"expires\":\"2026-07-28T15:00:00Z\","                                \
    "\"identifiers\":[{\"type\":\"dns\",\"value\":\"www.example.com\"}],"                          \
    "\"authorizations\":[\"{base}/authz/1\"],\"finalize\":\"{base}/finalize/1\"}"

static int get_order(struct test_ca *t)
{
    struct pst_acme_order *o = NULL;
    int rc = pst_acme_order_get(&t->call, test_ca_url(t, "/order/1"), &o, &t->err);

    pst_acme_order_free(o);
    return rc;
}

/* ---- the JWS ---- */

/* contracts: RFC 8555 section 7.3.4, recomputed with openssl */
static void test_eab_vector(void **state)
{
    static const char jwk[] =
        "{\"crv\":\"P-256\",\"kty\":\"EC\",\"x\":\"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU\","
        "\"y\":\"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0\"}";
    static const char *const keys[] = {
        "zWNDZM6eQGHWpSRTPal5eIUYFTu7EajVIoguysqZ9wG44nMEtx3MUAsUDkMTQ12W",
        "zWNDZM6eQGHWpSRTPal5eIUYFTu7EajVIoguysqZ9wG44nMEtx3MUAsUDkMTQ12W==",
    };

    for (size_t i = 0; i < PST_ARRAY_N(keys); i++) {
        auto_secret struct pst_secret key = {0};
        auto_buf struct pst_buf to = PST_BUF(10000);
        struct pst_err err = {0};
        struct pst_acme_eab eab = {
            .kid = "kid-1", .key = &key, .url = "https://localhost:14000/sign-me-up"};
        assert_ok(pst_secret_set(&key, keys[i], strlen(keys[i]), &err), err);
        assert_ok(pst_acme_eab_write(&eab, jwk, &to, &err), err);
        assert_non_null(
            strstr(to.data, "\"signature\":\"JerwpBYp3xRnaRwF0vv3m5APeHVVv3mUOj5VJ_9KHcs\"}"));
    }
}

static void test_eab_keys(void **state)
{
    static const struct {
        const char *key, *alg, *field;
    } cases[] = {
        {"", NULL, "eab_key"},       {"not base64!", NULL, "eab_key"}, {"a", NULL, "eab_key"},
        {"zWND\n", NULL, "eab_key"}, {"zWND", "RS256", "eab_alg"},     {"zWND", "none", "eab_alg"},
        {"ab+/", "HS384", NULL},     {"ab-_", "HS512", NULL},
    };

    for (size_t i = 0; i < PST_ARRAY_N(cases); i++) {
        auto_secret struct pst_secret key = {0};
        auto_buf struct pst_buf to = PST_BUF(10000);
        struct pst_err err = {0};
        struct pst_acme_eab eab = {
            .alg = cases[i].alg, .kid = "k", .key = &key, .url = "https://ca.example/a"};
        assert_ok(pst_secret_set(&key, cases[i].key, strlen(cases[i].key), &err), err);
        assert_rc(pst_acme_eab_write(&eab, "{}", &to, &err), cases[i].field ? PST_REFUSED : PST_OK,
                  err);
        if (cases[i].field)
            assert_string_equal(err.problem, cases[i].field);
        assert_null(strstr(err.text, "not base64!"));
    }
}

static void test_post_as_get(void **state)
{
    struct test_ca *t = *state;
    char payload[100];

    test_ca_directory(t, "");
    fake_http_on(t->server, "POST /order/1", -1, 200, JSON, ORDER);
    assert_ok(get_order(t), t->err);

    struct pst_json *h = test_ca_protected(t);
    assert_int_equal(pst_json_len(h), 4);
    assert_string_equal(pst_json_get_text(h, "alg"), "ES256");
    assert_string_equal(pst_json_get_text(h, "kid"), t->account_url);
    assert_string_equal(pst_json_get_text(h, "nonce"), "nonce1");
    assert_string_equal(pst_json_get_text(h, "url"), test_ca_url(t, "/order/1"));
    pst_json_free(h);
    test_ca_payload(t, payload, sizeof payload);
    assert_string_equal(payload, ""); /* not {} */

    const struct fake_http_request *r = fake_http_last(t->server);
    assert_non_null(strstr(fake_http_header(t->server, r, "User-Agent"), "postern/"));
    assert_null(strchr(r->body, '='));
    assert_null(strchr(r->body, '\n'));
}

static void test_jwk_and_other_algorithms(void **state)
{
    struct test_ca *t = *state;
    struct pst_acme_account_info *a = NULL;

    test_ca_directory(t, "");
    fake_http_on(t->server, "POST /account", -1, 201, JSON "Location: {base}/acct/7\r\n",
                 "{\"status\":\"valid\"}");
    t->call.account = (struct pst_acme_account){.key = t->other_key};
    assert_ok(pst_acme_account_new(&t->call, &(struct pst_acme_account_request){0}, &a, &t->err),
              t->err);
    struct pst_json *h = test_ca_protected(t);
    assert_string_equal(pst_json_get_text(h, "alg"), "ES384");
    assert_null(pst_json_get(h, "kid"));
    const struct pst_json *jwk = pst_json_get(h, "jwk");
    assert_string_equal(pst_json_get_text(jwk, "crv"), "P-384");
    assert_null(pst_json_get(jwk, "d"));
    pst_json_free(h);
    assert_string_equal(a->url, test_ca_url(t, "/acct/7"));
    assert_true(a->created);
    pst_acme_account_info_free(a);
}

/* ---- nonces ---- */

static void test_nonces_come_from_answers(void **state)
{
    struct test_ca *t = *state;

    test_ca_directory(t, "");
    fake_http_on(t->server, "POST /order/1", -1, 200, JSON, ORDER);
    for (int i = 0; i < 5; i++)
        assert_ok(get_order(t), t->err);
    assert_int_equal(fake_http_count_of(t->server, "HEAD /nonce"), 1);
    assert_int_equal(fake_http_count_of(t->server, "GET /dir"), 1);
    assert_int_equal(fake_http_count(t->server), 7);

    /* After a minute the CA may have forgotten them. */
    pst_clock_manual_advance(&t->clock, 61 * 1000);
    assert_ok(get_order(t), t->err);
    assert_int_equal(fake_http_count_of(t->server, "HEAD /nonce"), 2);
}

static void test_pool_is_last_in_first_out(void **state)
{
    struct test_ca *t = *state;
    char text[PST_ACME_NONCE_SIZE], nonce[32];

    for (int i = 1; i <= 20; i++) {
        snprintf(nonce, sizeof nonce, "n%d", i);
        pst_acme_nonce_put(t->ca, nonce);
    }
    pst_acme_nonce_put(t->ca, NULL);
    pst_acme_nonce_put(t->ca, "");
    pst_acme_nonce_put(t->ca, "with space");
    pst_acme_nonce_put(t->ca, "padded=");
    for (int i = 20; i > 4; i--) {
        snprintf(nonce, sizeof nonce, "n%d", i);
        assert_true(pst_acme_nonce_take(t->ca, text));
        assert_string_equal(text, nonce);
    }
    assert_false(pst_acme_nonce_take(t->ca, text)); /* 16 are kept */

    pst_acme_nonce_put(t->ca, "old");
    pst_clock_manual_advance(&t->clock, 59 * 1000);
    pst_acme_nonce_put(t->ca, "young");
    pst_clock_manual_advance(&t->clock, 2 * 1000);
    assert_true(pst_acme_nonce_take(t->ca, text));
    assert_string_equal(text, "young");
    assert_false(pst_acme_nonce_take(t->ca, text));
}

static void test_bad_nonce_is_repeated(void **state)
{
    struct test_ca *t = *state;

    test_ca_directory(t, "");
    fake_http_on(t->server, "POST /order/1", 9, 400, PROBLEM,
                 "{\"type\":\"" URN "badNonce\",\"detail\":\"old\"}");
    fake_http_on(t->server, "POST /order/1", -1, 200, JSON, ORDER);
    assert_ok(get_order(t), t->err);
    assert_int_equal(fake_http_count_of(t->server, "POST /order/1"), 10);
    assert_int_equal(t->call.problem.type, PST_ACME_NONE);

    /* The nonce of each refusal was used for the next try. */
    assert_int_equal(fake_http_count_of(t->server, "HEAD /nonce"), 1);
    struct pst_json *h = test_ca_protected(t);
    assert_string_equal(pst_json_get_text(h, "nonce"), "nonce10");
    pst_json_free(h);
}

static void test_bad_nonce_storm(void **state)
{
    struct test_ca *t = *state;

    test_ca_directory(t, "");
    pst_acme_nonce_put(t->ca, "stale1");
    pst_acme_nonce_put(t->ca, "stale2");
    fake_http_on(t->server, "POST /order/1", -1, 400, "Content-Type: application/problem+json\r\n",
                 "{\"type\":\"" URN "badNonce\"}");
    assert_rc(get_order(t), PST_EREMOTE, t->err);
    assert_int_equal(fake_http_count_of(t->server, "POST /order/1"), 10);
    assert_int_equal(t->call.problem.type, PST_ACME_SERVER_INTERNAL);
    assert_int_equal(t->err.retry, PST_RETRY_BACKOFF);
    /* Two from the pool, all others fetched, because no refusal brought one. */
    assert_int_equal(fake_http_count_of(t->server, "HEAD /nonce"), 8);
}

static void test_pool_is_emptied_at_the_third(void **state)
{
    struct test_ca *t = *state;

    test_ca_directory(t, "");
    for (int i = 0; i < 10; i++)
        pst_acme_nonce_put(t->ca, "stale");
    fake_http_on(t->server, "POST /order/1", 5, 400, "Content-Type: application/problem+json\r\n",
                 "{\"type\":\"" URN "badNonce\"}");
    fake_http_on(t->server, "POST /order/1", -1, 200, JSON, ORDER);
    assert_ok(get_order(t), t->err);
    /* Tries 1 to 3 from the pool, 4 to 6 fetched. */
    assert_int_equal(fake_http_count_of(t->server, "HEAD /nonce"), 3);
}

static void test_no_nonce_to_be_had(void **state)
{
    struct test_ca *t = *state;

    fake_http_clear(t->server);
    test_ca_directory(t, "");
    fake_http_on(t->server, "HEAD /nonce", 1, 200, "", "");
    fake_http_on(t->server, "HEAD /nonce", 1, 204, "Replay-Nonce: not valid!\r\n", "");
    fake_http_on(t->server, "HEAD /nonce", -1, 500, "", "");
    assert_rc(get_order(t), PST_EINPUT, t->err);
    assert_err_has(t->err, "Replay-Nonce");
    assert_rc(get_order(t), PST_EINPUT, t->err);
    assert_rc(get_order(t), PST_EREMOTE, t->err);
    assert_int_equal(t->err.retry, PST_RETRY_BACKOFF);
    assert_int_equal(fake_http_count_of(t->server, "POST /order/1"), 0);
}

/* ---- directory ---- */

static void test_directory(void **state)
{
    struct test_ca *t = *state;
    const struct pst_acme_directory *d = NULL;

    test_ca_directory(
        t, "\"renewalInfo\":\"{base}/ari\",\"meta\":{\"termsOfService\":\"https://ca.example/tos\","
           "\"website\":\"https://ca.example\",\"caaIdentities\":[\"ca.example\",7,\"ca.test\"],"
           "\"externalAccountRequired\":true,\"issuerDomainNames\":[\"ca.example\"],"
           "\"accountHashPrefix\":\"https://ca.example/h/\","
           "\"profiles\":{\"classic\":\"90 days\",\"short\":\"a week\"}},");
    assert_ok(pst_acme_directory(&t->call, false, &d, &t->err), t->err);
    assert_true(d->renewal_info);
    assert_true(d->external_account_required);
    assert_string_equal(d->terms_of_service, "https://ca.example/tos");
    assert_string_equal(d->website, "https://ca.example");
    assert_int_equal(d->caa_identities_n, 2);
    assert_string_equal(d->caa_identities[1], "ca.test");
    assert_int_equal(d->issuer_domain_names_n, 1);
    assert_string_equal(d->account_hash_prefix, "https://ca.example/h/");
    assert_int_equal(d->profiles_n, 2);
    assert_true(pst_acme_directory_has_profile(d, "short"));
    assert_false(pst_acme_directory_has_profile(d, "90 days"));
    pst_acme_directory_unref(d);

    /* Kept for a day, read anew on request. */
    pst_clock_manual_advance(&t->clock, 23 * 3600 * 1000);
    assert_ok(pst_acme_directory(&t->call, false, &d, &t->err), t->err);
    pst_acme_directory_unref(d);
    assert_int_equal(fake_http_count_of(t->server, "GET /dir"), 1);
    assert_ok(pst_acme_directory(&t->call, true, &d, &t->err), t->err);
    pst_acme_directory_unref(d);
    assert_int_equal(fake_http_count_of(t->server, "GET /dir"), 2);
    pst_clock_manual_advance(&t->clock, 25 * 3600 * 1000);
    assert_ok(pst_acme_directory(&t->call, false, &d, &t->err), t->err);
    pst_acme_directory_unref(d);
    assert_int_equal(fake_http_count_of(t->server, "GET /dir"), 3);
}

static void test_old_directory_is_better_than_none(void **state)
{
    struct test_ca *t = *state;
    const struct pst_acme_directory *d = NULL;

    fake_http_on(t->server, "GET /dir", 1, 200, "Content-Type: application/json\r\n",
                 "{\"newNonce\":\"{base}/nonce\",\"newAccount\":\"{base}/account\","
                 "\"newOrder\":\"{base}/order\",\"revokeCert\":\"{base}/revoke\"}");
    fake_http_on(t->server, "GET /dir", -1, 500, "", "");
    assert_ok(pst_acme_directory(&t->call, false, &d, &t->err), t->err);
    pst_acme_directory_unref(d);
    pst_clock_manual_advance(&t->clock, 25 * 3600 * 1000);
    pst_log_set_levels("error", NULL);
    assert_ok(pst_acme_directory(&t->call, false, &d, &t->err), t->err);
    pst_acme_directory_unref(d);
    pst_log_set_levels("info", NULL);
    assert_int_equal(t->call.problem.type, PST_ACME_NONE);
    assert_ok(pst_acme_directory(&t->call, false, &d, &t->err), t->err); /* not at each call */
    pst_acme_directory_unref(d);
    assert_int_equal(fake_http_count_of(t->server, "GET /dir"), 2);
    assert_rc(pst_acme_directory(&t->call, true, &d, &t->err), PST_EREMOTE, t->err);

    /* A 404 on one of its URLs makes it doubtful: then it must be read. */
    fake_http_on(t->server, "POST /revoke", -1, 404, "", "");
    assert_rc(pst_acme_revoke(&t->call, "x", 1, 0, NULL, &t->err), PST_EREMOTE, t->err);
    assert_rc(pst_acme_directory(&t->call, false, &d, &t->err), PST_EREMOTE, t->err);
    assert_err_has(t->err, "ACME directory http://127.0.0.1:");
}

static void test_bad_directories(void **state)
{
    struct test_ca *t = *state;
    static const struct {
        int status;
        const char *headers, *body;
        int rc;
        const char *text;
    } cases[] = {
        {200, "Content-Type: text/html\r\n", "<html>", PST_EINPUT, "text/html"},
        {200, "", "{}", PST_EINPUT, "nothing"},
        {200, JSON, "", PST_EINPUT, "empty"},
        {200, JSON, "{\"newNonce\":", PST_EINPUT, "line 1"},
        {200, JSON, "[]", PST_EINPUT, "object"},
        {200, JSON, "{}", PST_EINPUT, "newNonce"},
        {200, JSON, "{\"newNonce\":7}", PST_EINPUT, "newNonce"},
        {200, JSON, "{\"newNonce\":\"ftp://x/\"}", PST_EINPUT, "newNonce"},
        {200, JSON, "{\"newNonce\":\"/relative\"}", PST_EINPUT, "newNonce"},
        {302, "Location: https://elsewhere.example/\r\n", "", PST_EINPUT, "302"},
        {404, "Content-Type: text/html\r\n", "<html>", PST_EREMOTE, "404"},
        {599, "", "", PST_EREMOTE, "599"},
    };

    for (size_t i = 0; i < PST_ARRAY_N(cases); i++) {
        const struct pst_acme_directory *d = NULL;
        fake_http_clear(t->server);
        fake_http_on(t->server, "GET /dir", -1, cases[i].status, cases[i].headers, cases[i].body);
        assert_rc(pst_acme_directory(&t->call, false, &d, &t->err), cases[i].rc, t->err);
        assert_err_has(t->err, cases[i].text);
    }
}

static void test_too_large(void **state)
{
    struct test_ca *t = *state;
    const struct pst_acme_directory *d = NULL;
    char *big = malloc(70001);

    memset(big, ' ', 70000);
    big[70000] = '\0';
    fake_http_on(t->server, "GET /dir", -1, 200, JSON, big);
    assert_rc(pst_acme_directory(&t->call, false, &d, &t->err), PST_EINPUT, t->err);
    assert_err_has(t->err, "larger than allowed");
    free(big);
}

static void test_urls(void **state)
{
    struct test_ca *t = *state;
    struct pst_acme_ca *far = NULL;
    struct pst_err err = {0};
    char long_url[2100];
    struct pst_acme_ca_opts opts = {.directory_url = "https://ca.example/dir", .http = t->http};

    assert_ok(pst_acme_ca_new(&far, &opts, &err), err);
    assert_ok(pst_acme_url_check(far, "https://other.example/x", "x", &err), err);
    assert_rc(pst_acme_url_check(far, "http://ca.example/x", "x", &err), PST_EINPUT, err);
    assert_rc(pst_acme_url_check(far, "http://127.0.0.1/x", "x", &err), PST_EINPUT, err);
    assert_rc(pst_acme_url_check(far, NULL, "finalize", &err), PST_EINPUT, err);
    assert_err_has(err, "finalize");
    memset(long_url, 'x', sizeof long_url);
    memcpy(long_url, "https://ca.example/", 19);
    long_url[2000] = '\0';
    assert_ok(pst_acme_url_check(far, long_url, "x", &err), err);
    long_url[2000] = 'x';
    long_url[2001] = '\0';
    assert_rc(pst_acme_url_check(far, long_url, "x", &err), PST_EINPUT, err);
    pst_acme_ca_free(far);

    static const char *const bad[] = {"http://ca.example/dir", "ca.example", "", NULL};
    for (size_t i = 0; i < PST_ARRAY_N(bad); i++) {
        opts.directory_url = bad[i];
        assert_rc(pst_acme_ca_new(&far, &opts, &err), PST_ECONFIG, err);
    }
}

/* ---- answers that no good CA gives ---- */

static void test_bad_answers(void **state)
{
    struct test_ca *t = *state;
    static const struct {
        int status;
        const char *headers, *body;
        int rc;
        enum pst_retry retry;
        const char *text;
    } cases[] = {
        {200, JSON, "", PST_EINPUT, PST_RETRY_BACKOFF, "empty"},
        {200, JSON, "{", PST_EINPUT, PST_RETRY_BACKOFF, "line 1"},
        {200, JSON, "null", PST_EINPUT, PST_RETRY_BACKOFF, "object"},
        {200, "Content-Type: text/html\r\n", "<p>hi", PST_EINPUT, PST_RETRY_BACKOFF, "text/html"},
        {200, JSON, "{\"status\":7}", PST_EINPUT, PST_RETRY_BACKOFF, "status"},
        {302, "Location: {base}/x\r\n", "", PST_EINPUT, PST_RETRY_BACKOFF, "302"},
        {400, PROBLEM, "", PST_EREMOTE, PST_RETRY_DAILY, "400"},
        {400, PROBLEM, "{{", PST_EREMOTE, PST_RETRY_DAILY, "400"},
        {400, PROBLEM, "{\"type\":\"about:blank\",\"detail\":\"no\"}", PST_EREMOTE, PST_RETRY_DAILY,
         "no"},
        {500, "Content-Type: text/html\r\n", "<h1>", PST_EREMOTE, PST_RETRY_BACKOFF, "text/html"},
        {502, "", "", PST_EREMOTE, PST_RETRY_BACKOFF, "502"},
        {429, "", "", PST_EREMOTE, PST_RETRY_AT, "429"},
        {400, PROBLEM, "{\"type\":\"" URN "caa\",\"detail\":\"a\\nb\\u202ec\"}", PST_EREMOTE,
         PST_RETRY_DAILY, "caa: a\\u000ab\\u202ec"},
    };

    test_ca_directory(t, "");
    for (size_t i = 0; i < PST_ARRAY_N(cases); i++) {
        fake_http_clear(t->server);
        fake_http_on(t->server, "HEAD /nonce", -1, 200, "Replay-Nonce: {nonce}\r\n", "");
        test_ca_directory(t, "");
        fake_http_on(t->server, NULL, -1, cases[i].status, cases[i].headers, cases[i].body);
        memset(&t->err, 0, sizeof t->err);
        assert_rc(get_order(t), cases[i].rc, t->err);
        assert_err_has(t->err, cases[i].text);
        assert_int_equal(t->err.retry, cases[i].retry);
        assert_int_equal(t->call.problem.type != PST_ACME_NONE, cases[i].rc == PST_EREMOTE);
    }
}

static void test_pause_after_503(void **state)
{
    struct test_ca *t = *state;

    test_ca_directory(t, "");
    fake_http_on(t->server, "POST /order/1", 1, 503,
                 "Content-Type: text/html\r\nRetry-After: 7\r\n", "<html>busy</html>");
    fake_http_on(t->server, "POST /order/1", 2, 503, "", "");
    fake_http_on(t->server, "POST /order/1", -1, 200, JSON, ORDER);
    assert_rc(get_order(t), PST_EREMOTE, t->err);
    assert_int_equal(t->call.problem.type, PST_ACME_UNAVAILABLE);
    assert_int_equal(t->err.retry, PST_RETRY_AT);
    assert_int_equal(t->err.retry_at, TEST_NOW + 7);

    /* The whole group waits; nothing is sent. */
    pst_clock_manual_advance(&t->clock, 3000);
    assert_rc(get_order(t), PST_EREMOTE, t->err);
    assert_int_equal(t->err.retry_at, TEST_NOW + 7);
    assert_int_equal(fake_http_count_of(t->server, "POST /order/1"), 1);

    /* Without Retry-After it waits longer each time. */
    pst_clock_manual_advance(&t->clock, 4000);
    assert_rc(get_order(t), PST_EREMOTE, t->err);
    assert_int_equal(t->err.retry_at, TEST_NOW + 7 + 4);
    pst_clock_manual_advance(&t->clock, 4000);
    assert_rc(get_order(t), PST_EREMOTE, t->err);
    assert_int_equal(t->err.retry_at, TEST_NOW + 11 + 8);
    assert_int_equal(fake_http_count_of(t->server, "POST /order/1"), 3);
    pst_clock_manual_advance(&t->clock, 8000);
    assert_ok(get_order(t), t->err);
    assert_int_equal(pst_acme_pause_left_s(t->ca, PST_ACME_OBJECT), 0);
}

static void test_no_answer(void **state)
{
    struct test_ca *t = *state;

    test_ca_directory(t, "");
    fake_http_raw(t->server, "POST /order/1", -1, "", 0);
    assert_rc(get_order(t), PST_ENET, t->err);
    assert_int_equal(t->call.problem.type, PST_ACME_NONE);
    assert_err_has(t->err, "ACME order: POST http://127.0.0.1:");
}

static void test_clock_skew(void **state)
{
    struct test_ca *t = *state;

    test_ca_directory(t, "");
    fake_http_on(t->server, "POST /order/1", -1, 200,
                 JSON "Date: Tue, 21 Jul 2026 15:01:30 GMT\r\n", ORDER);
    assert_int_equal(pst_acme_clock_skew_s(t->ca), 0);
    assert_ok(get_order(t), t->err);
    assert_int_equal(pst_acme_clock_skew_s(t->ca), 90);
}

static void test_needs_an_account(void **state)
{
    struct test_ca *t = *state;

    t->call.account.url = NULL;
    assert_rc(get_order(t), PST_REFUSED, t->err);
    t->call.account.url = t->account_url;
    struct pst_acme_order *o = NULL;
    assert_rc(pst_acme_order_get(&t->call, "ftp://x/", &o, &t->err), PST_EINPUT, t->err);
    assert_rc(pst_acme_order_get(&t->call, NULL, &o, &t->err), PST_EINPUT, t->err);
    assert_int_equal(fake_http_count(t->server), 0);
}

struct worker {
    pthread_t thread;
    struct test_ca *t;
    int good;
};

static void *work(void *arg)
{
    struct worker *w = arg;
    char url[200];

    snprintf(url, sizeof url, "%s/order/1", fake_http_url(w->t->server));
    for (int i = 0; i < 20; i++) {
        struct pst_acme_call call = {.ca = w->t->ca, .account = w->t->call.account};
        struct pst_acme_order *o = NULL;
        struct pst_err err;
        if (pst_acme_order_get(&call, url, &o, &err) == PST_OK)
            w->good++;
        pst_acme_order_free(o);
        const struct pst_acme_directory *d = NULL;
        if (pst_acme_directory(&call, i % 5 == 0, &d, &err) == PST_OK)
            pst_acme_directory_unref(d);
    }
    return NULL;
}

static void test_threads(void **state)
{
    struct test_ca *t = *state;
    struct worker w[8] = {0};

    test_ca_directory(t, "");
    fake_http_on(t->server, "POST /order/1", 9, 400, PROBLEM,
                 "{\"type\":\"" URN "badNonce\",\"detail\":\"old\"}");
    fake_http_on(t->server, "POST /order/1", -1, 200, JSON, ORDER);
    for (size_t i = 0; i < PST_ARRAY_N(w); i++) {
        w[i].t = t;
        pthread_create(&w[i].thread, NULL, work, &w[i]);
    }
    for (size_t i = 0; i < PST_ARRAY_N(w); i++) {
        pthread_join(w[i].thread, NULL);
        assert_int_equal(w[i].good, 20);
    }
}

static void test_no_memory(void **state)
{
    struct test_ca *t = *state;
    int rc;

    test_ca_directory(t, "");
    fake_http_on(t->server, "POST /order/1", -1, 200, JSON, ORDER);
    assert_survives_no_memory(rc, rc = get_order(t));
}

#define CASE(fn) cmocka_unit_test_setup_teardown(fn, test_ca_start, test_ca_stop)

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_eab_vector),
        cmocka_unit_test(test_eab_keys),
        CASE(test_post_as_get),
        CASE(test_jwk_and_other_algorithms),
        CASE(test_nonces_come_from_answers),
        CASE(test_pool_is_last_in_first_out),
        CASE(test_bad_nonce_is_repeated),
        CASE(test_bad_nonce_storm),
        CASE(test_pool_is_emptied_at_the_third),
        CASE(test_no_nonce_to_be_had),
        CASE(test_directory),
        CASE(test_old_directory_is_better_than_none),
        CASE(test_bad_directories),
        CASE(test_too_large),
        CASE(test_urls),
        CASE(test_bad_answers),
        CASE(test_pause_after_503),
        CASE(test_no_answer),
        CASE(test_clock_skew),
        CASE(test_needs_an_account),
        CASE(test_threads),
        CASE(test_no_memory),
    };
    return cmocka_run_group_tests_name("acme_exchange", tests, NULL, NULL);
}
