/* api_test.c - what needs no server: paths, routes, session tokens, limits, addresses. */
#include "pst_test.h"

#include <stdio.h>
#include <stdlib.h>

#include <postern/conf.h>

#include "api_internal.h"
#include "challenges.h"
#include "claims.h"
#include "slots.h"
#include "upstream_address.h"

/* ---- targets ---- */

static void targets_are_split_before_they_are_decoded(void **state)
{
    struct pst_target t;
    struct pst_err err = {0};

    (void)state;
    assert_ok(pst_target_parse(&t, "/v1/a%2Fb/%2A.x?k=v+w&%6b2=%C3%A9&flag&&=", &err), err);
    assert_int_equal(t.seg_n, 3);
    assert_string_equal(t.seg[1], "a/b");
    assert_string_equal(t.seg[2], "*.x");
    assert_string_equal(pst_target_query(&t, "k"), "v w");
    assert_string_equal(pst_target_query(&t, "k2"), "\xc3\xa9");
    assert_string_equal(pst_target_query(&t, "flag"), "");
    assert_string_equal(pst_target_query(&t, ""), "");
    assert_null(pst_target_query(&t, "other"));
    assert_ok(pst_target_parse(&t, "/", &err), err);
    assert_int_equal(t.seg_n, 0);
    assert_ok(pst_target_parse(&t, "/v1/apps?", &err), err);
    assert_int_equal(t.query_n, 0);
    assert_ok(pst_target_parse(&t, "HTTP://host:1/v1?a=b", &err), err);
    assert_int_equal(t.seg_n, 1);
}

static void bad_targets_are_refused(void **state)
{
    static const char *const bad[] = {
        "",
        "v1",
        "*",
        "http://host",
        "http://host?x=/",
        "ftp://host/x",
        "x://h/",
        "//v1",
        "/v1//a",
        "/v1/",
        "/./a",
        "/a/..",
        "/%2e%2e/a",
        "/a%00",
        "/a%",
        "/a%4",
        "/a%4g",
        "/a%+1",
        "/\xff",
        "/%ff",
        "/%c0%af",
        "/a b",
        "/a\x7f",
        "/a?x=%00",
        "/a?%ed%a0%80",
        "/1/2/3/4/5/6/7/8/9/10/11/12/13",
    };
    struct pst_target t;

    (void)state;
    for (size_t i = 0; i < PST_ARRAY_N(bad); i++) {
        struct pst_err err = {0};
        assert_rc(pst_target_parse(&t, bad[i], &err), PST_REFUSED, err);
        assert_true(err.text[0]);
    }
}

static void long_targets_are_refused(void **state)
{
    char long_one[PST_TARGET_MAX + 2];
    struct pst_target t;
    struct pst_err err = {0};

    (void)state;
    memset(long_one, 'a', sizeof long_one);
    long_one[0] = '/';
    long_one[PST_TARGET_MAX] = '\0';
    assert_ok(pst_target_parse(&t, long_one, &err), err);
    long_one[PST_TARGET_MAX] = 'a';
    long_one[PST_TARGET_MAX + 1] = '\0';
    assert_rc(pst_target_parse(&t, long_one, &err), PST_REFUSED, err);
}

/* ---- routes ---- */

static int find(enum pst_method m, const char *path, const struct pst_route **ret,
                const char *params[PST_ROUTE_PARAMS_MAX], const char **allow)
{
    static struct pst_target t;
    struct pst_err err = {0};

    assert_ok(pst_target_parse(&t, path, &err), err);
    return pst_route_find(m, &t, ret, params, allow);
}

static void routes_are_found_with_their_parameters(void **state)
{
    const struct pst_route *r = NULL;
    const char *params[PST_ROUTE_PARAMS_MAX], *allow = NULL;

    (void)state;
    assert_int_equal(find(PST_GET, "/v1/apps/my-app/domains/x%2Fy/explain", &r, params, &allow),
                     PST_OK);
    assert_ptr_equal(r->run, pst_domains_explain);
    assert_string_equal(params[0], "my-app");
    assert_string_equal(params[1], "x/y");
    assert_int_equal(find(PST_GET, "/v1/apps/a/domains/b/c", &r, params, &allow), PST_NOTFOUND);
    assert_int_equal(find(PST_GET, "/v1/app", &r, params, &allow), PST_NOTFOUND);
    assert_int_equal(find(PST_GET, "/v1/appsx", &r, params, &allow), PST_NOTFOUND);
    assert_int_equal(find(PST_GET, "/", &r, params, &allow), PST_NOTFOUND);
    assert_int_equal(find(PST_DELETE, "/v1/apps", &r, params, &allow), PST_CONFLICT);
    assert_string_equal(allow, "GET, POST");
}

/* Every row can be reached, is described, and says what a 405 of its path allows. */
static void the_table_of_routes_is_sound(void **state)
{
    (void)state;
    for (size_t i = 0; i < pst_routes_n; i++) {
        const struct pst_route *found = NULL, *r = &pst_routes[i];
        const char *params[PST_ROUTE_PARAMS_MAX], *allow = NULL;
        assert_int_equal(find(r->method, r->pattern, &found, params, &allow), PST_OK);
        assert_ptr_equal(found, r);
        assert_true(strlen(r->text) > 10 && r->text[strlen(r->text) - 1] != ' ');
        /* A write is never for everybody, and a body goes with a method that may have one. */
        assert_false(r->tx == PST_TX_WRITE && r->need == PST_NEED_NOTHING);
        assert_false(r->body && r->method == PST_GET);
        for (int m = 0; m < PST_METHOD__COUNT; m++)
            if (find((enum pst_method)m, r->pattern, &found, params, &allow) == PST_CONFLICT)
                assert_non_null(allow);
    }
}

static void methods_have_exact_names(void **state)
{
    enum pst_method m;

    (void)state;
    assert_true(pst_method_parse("HEAD", &m) && m == PST_GET);
    assert_true(pst_method_parse("PATCH", &m) && m == PST_PATCH);
    assert_false(pst_method_parse("get", &m));
    assert_false(pst_method_parse("TRACE", &m));
    assert_false(pst_method_parse("", &m));
}

/* ---- session tokens ---- */

struct session {
    struct pst_secret key;
    struct pst_claims claims;
    struct pst_buf token;
};

static int make_session(void **state)
{
    struct session *s = calloc(1, sizeof *s);

    if (!s || pst_secret_set(&s->key, "0123456789abcdef0123456789abcdef", 32, NULL) != PST_OK)
        return -1;
    s->claims = (struct pst_claims){.user_id = "0123456789abcdef01234567",
                                    .token_id = "76543210fedcba9876543210",
                                    .issued_at = 1000,
                                    .expires_at = 4600};
    s->token = (struct pst_buf)PST_BUF(PST_JWT_MAX);
    *state = s;
    return pst_jwt_sign(&s->key, &s->claims, &s->token, NULL) == PST_OK ? 0 : -1;
}

static int drop_session(void **state)
{
    struct session *s = *state;

    pst_secret_deinit(&s->key);
    pst_buf_deinit(&s->token);
    free(s);
    return 0;
}

static void a_session_is_what_was_signed(void **state)
{
    struct session *s = *state;
    struct pst_claims c = {0};
    struct pst_err err = {0};

    assert_ok(pst_jwt_verify(&s->key, s->token.data, 1000, &c, &err), err);
    assert_string_equal(c.user_id, s->claims.user_id);
    assert_string_equal(c.token_id, s->claims.token_id);
    assert_int_equal(c.expires_at, 4600);
    assert_ok(pst_jwt_verify(&s->key, s->token.data, 4599, &c, &err), err);
    assert_rc(pst_jwt_verify(&s->key, s->token.data, 4600, &c, &err), PST_REFUSED, err);
    assert_err_has(err, "exchange");
}

/* Known from RFC 7515 appendix A.1: header, claims and key are not ours, the signature is right. */
static void a_foreign_token_with_our_key_lacks_our_claims(void **state)
{
    static const unsigned char key_bytes[] = {
        3,   35,  53, 75,  43,  15, 165, 188, 131, 126, 6,   101, 119, 123, 166, 143,
        90,  179, 40, 230, 240, 84, 201, 40,  169, 15,  132, 178, 210, 80,  46,  191,
        211, 251, 90, 146, 210, 6,  71,  239, 150, 138, 180, 195, 119, 98,  61,  34,
        61,  46,  33, 114, 5,   46, 79,  8,   192, 205, 154, 245, 103, 208, 128, 163};
    static const char token[] =
        "eyJ0eXAiOiJKV1QiLA0KICJhbGciOiJIUzI1NiJ9."
        "eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0"
        "cnVlfQ.dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
    auto_secret struct pst_secret key = {0};
    struct pst_claims c;
    struct pst_err err = {0};

    (void)state;
    assert_ok(pst_secret_set(&key, key_bytes, sizeof key_bytes, &err), err);
    assert_rc(pst_jwt_verify(&key, token, 0, &c, &err), PST_REFUSED, err);
    assert_err_has(err, "lacks a claim");
    pst_secret_set(&key, key_bytes, sizeof key_bytes - 1, &err);
    assert_rc(pst_jwt_verify(&key, token, 0, &c, &err), PST_REFUSED, err);
    assert_err_has(err, "signature");
}

static void any_changed_character_breaks_a_session(void **state)
{
    struct session *s = *state;
    struct pst_claims c;
    char changed[PST_JWT_MAX];

    for (size_t i = 0; i < s->token.len; i++) {
        memcpy(changed, s->token.data, s->token.len + 1);
        changed[i] = changed[i] == 'A' ? 'B' : 'A';
        assert_int_equal(pst_jwt_verify(&s->key, changed, 1000, &c, NULL), PST_REFUSED);
        changed[i] = '\0'; /* and any cut */
        assert_int_equal(pst_jwt_verify(&s->key, changed, 1000, &c, NULL), PST_REFUSED);
    }
}

static void sessions_survive_no_memory(void **state)
{
    struct session *s = *state;
    struct pst_claims c;
    struct pst_err err = {0};
    int rc;

    assert_survives_no_memory(rc, rc = pst_jwt_verify(&s->key, s->token.data, 1000, &c, &err));
    assert_survives_no_memory(rc, {
        auto_buf struct pst_buf to = PST_BUF(PST_JWT_MAX);
        rc = pst_jwt_sign(&s->key, &s->claims, &to, &err);
    });
}

static void the_authorization_field(void **state)
{
    (void)state;
    assert_string_equal(pst_auth_value("Bearer abc", "Bearer"), "abc");
    assert_string_equal(pst_auth_value("bEARER   abc", "Bearer"), "abc");
    assert_null(pst_auth_value("Bearerabc", "Bearer"));
    assert_null(pst_auth_value("Basic abc", "Bearer"));
    assert_null(pst_auth_value("Bearer", "Bearer"));
    assert_null(pst_auth_value(NULL, "Bearer"));
}

static void tokens_are_random_and_stored_as_hashes(void **state)
{
    char one[PST_API_TOKEN_SIZE], two[PST_API_TOKEN_SIZE], hash[65];
    struct pst_err err = {0};

    (void)state;
    assert_ok(pst_token_make(pst_rand_system(), "tk-us-", one, hash, &err), err);
    assert_ok(pst_token_make(pst_rand_system(), "tk-us-", two, hash, &err), err);
    assert_int_equal(strlen(one), 6 + 43);
    assert_string_not_equal(one, two);
    assert_int_equal(strlen(hash), 64);
}

/* ---- proofs ---- */

/* HMAC-SHA256 of "name proof 1\n<tenant>\n<name>", its first 20 bytes: the values stand in the DNS
 * of tenants, so they must never change. */
static void a_proof_is_for_one_tenant_and_one_name(void **state)
{
    static const char alice[] = "0123456789abcdef01234567", bob[] = "0123456789abcdef01234568";
    auto_secret struct pst_secret key = {0}, other = {0};
    char one[PST_PROOF_VALUE_SIZE], two[PST_PROOF_VALUE_SIZE];
    struct pst_err err = {0};
    int rc;

    (void)state;
    assert_ok(pst_secret_set(&key, "0123456789abcdef0123456789abcdef", 32, &err), err);
    assert_ok(pst_secret_set(&other, "0123456789abcdef0123456789abcdeF", 32, &err), err);
    assert_ok(pst_proof_value(&key, alice, "example.com", one, &err), err);
    assert_string_equal(one, "postern-proof=003c3c254429475d02ead8a172021b3f73b443c3");
    assert_ok(pst_proof_value(&key, bob, "example.com", two, &err), err);
    assert_string_not_equal(one, two);
    assert_ok(pst_proof_value(&key, alice, "www.example.com", two, &err), err);
    assert_string_not_equal(one, two);
    assert_ok(pst_proof_value(&other, alice, "example.com", two, &err), err);
    assert_string_not_equal(one, two);
    assert_survives_no_memory(rc, rc = pst_proof_value(&key, alice, "example.com", two, &err));
}

/* ---- long work ---- */

static void a_tenant_takes_two_slots(void **state)
{
    struct pst_slots *slots = NULL;
    struct pst_err err = {0};

    (void)state;
    assert_ok(pst_slots_new(&slots, 3, &err), err);
    assert_true(pst_slot_take(slots, "alice"));
    assert_true(pst_slot_take(slots, "alice"));
    assert_false(pst_slot_take(slots, "alice"));
    assert_true(pst_slot_take(slots, "bob"));
    assert_false(pst_slot_take(slots, "carol"));
    pst_slot_give(slots, "alice");
    assert_true(pst_slot_take(slots, "carol"));
    assert_false(pst_slot_take(slots, "alice"));
    pst_slots_free(slots);
}

/* ---- failed logins ---- */

static void failures_are_counted_by_address(void **state)
{
    struct pst_limiter *l = NULL;
    struct pst_err err = {0};

    (void)state;
    assert_ok(pst_limiter_new(&l, pst_rand_system(), &err), err);
    for (int i = 0; i < 10; i++) {
        assert_int_equal(pst_limiter_wait_s(l, "192.0.2.1", 0), 0);
        pst_limiter_failed(l, "192.0.2.1", 0);
    }
    assert_int_equal(pst_limiter_wait_s(l, "192.0.2.1", 0), 6);
    assert_int_equal(pst_limiter_wait_s(l, "192.0.2.2", 0), 0);
    assert_int_equal(pst_limiter_wait_s(l, "192.0.2.1", 6000), 0);
    /* A flood does not lock out for longer than the burst. */
    for (int i = 0; i < 1000; i++)
        pst_limiter_failed(l, "192.0.2.1", 6000);
    assert_int_equal(pst_limiter_wait_s(l, "192.0.2.1", 6000), 6);
    assert_int_equal(pst_limiter_wait_s(l, "192.0.2.1", 12000), 0);
    pst_limiter_free(l);
}

static void ipv6_counts_by_network(void **state)
{
    struct pst_limiter *l = NULL;
    struct pst_err err = {0};

    (void)state;
    assert_ok(pst_limiter_new(&l, pst_rand_system(), &err), err);
    for (int i = 0; i < 10; i++)
        pst_limiter_failed(l, "2001:db8:0:1::1", 0);
    assert_int_equal(pst_limiter_wait_s(l, "2001:db8:0:1:ffff::9", 0), 6);
    assert_int_equal(pst_limiter_wait_s(l, "2001:db8:0:2::1", 0), 0);
    for (int i = 0; i < 10; i++)
        pst_limiter_failed(l, "::ffff:192.0.2.1", 0);
    assert_int_equal(pst_limiter_wait_s(l, "192.0.2.1", 0), 6);
    assert_int_equal(pst_limiter_wait_s(l, "unix", 0), 0);
    pst_limiter_free(l);
}

static void more_addresses_than_places(void **state)
{
    struct pst_limiter *l = NULL;
    struct pst_err err = {0};
    char address[32];

    (void)state;
    assert_ok(pst_limiter_new(&l, pst_rand_system(), &err), err);
    for (int i = 0; i < 100000; i++) {
        snprintf(address, sizeof address, "10.%d.%d.%d", i >> 16, i >> 8 & 255, i & 255);
        pst_limiter_failed(l, address, i);
    }
    for (int i = 0; i < 10; i++)
        pst_limiter_failed(l, "192.0.2.1", 100000);
    assert_int_equal(pst_limiter_wait_s(l, "192.0.2.1", 100000), 6);
    pst_limiter_free(l);
}

/* ---- addresses ---- */

static void addresses_have_one_form(void **state)
{
    struct pst_address a;
    char text[PST_WORD_SIZE];

    (void)state;
    assert_true(pst_address_parse("[2001:DB8:0:0::1]:00080", &a));
    pst_address_format(&a, text, sizeof text);
    assert_string_equal(text, "[2001:db8::1]:80");
    assert_true(pst_address_parse("192.0.2.1:3000", &a));
    pst_address_format(&a, text, sizeof text);
    assert_string_equal(text, "192.0.2.1:3000");
    assert_false(pst_address_parse("[192.0.2.1]:80", &a));
    assert_false(pst_address_parse("[::1:80", &a));
    assert_false(pst_address_parse(":80", &a));
    assert_false(pst_address_parse("192.0.2.1:", &a));
}

static void networks_hold_addresses_of_their_family(void **state)
{
    struct pst_address a;

    (void)state;
    assert_true(pst_address_parse("10.20.129.1:80", &a));
    assert_true(pst_address_in(&a, "10.20.128.0/17"));
    assert_false(pst_address_in(&a, "10.20.0.0/17"));
    assert_true(pst_address_in(&a, "0.0.0.0/0"));
    assert_false(pst_address_in(&a, "::/0"));
    assert_true(pst_address_in(&a, "10.20.129.1"));
    assert_false(pst_address_in(&a, "10.20.129.1/33"));
    assert_false(pst_address_in(&a, "rubbish"));
    assert_true(pst_address_parse("[fd00:20::9]:80", &a));
    assert_true(pst_address_in(&a, "fd00:20::/31"));
    assert_false(pst_address_in(&a, "fd00:21::/32"));
}

/* ---- answers ---- */

static void error_bodies_have_the_shapes_that_clients_parse(void **state)
{
    struct pst_answer a;

    (void)state;
    pst_answer_init(&a);
    assert_int_equal(pst_answer_error(&a, 401, "no \"%s\"", "way"), PST_REFUSED);
    assert_string_equal(a.body.data, "{\"error\":\"no \\\"way\\\"\"}");
    assert_int_equal(pst_answer_absent(&a, "app"), PST_REFUSED);
    assert_string_equal(a.body.data, "{\"resource\":\"app\",\"error\":\"not found\"}");
    assert_int_equal(a.status, 404);
    assert_int_equal(pst_answer_invalid(&a, "name", "is %d", 7), PST_REFUSED);
    assert_string_equal(a.body.data, "{\"errors\":{\"name\":[\"is 7\"]}}");
    assert_int_equal(a.status, 422);
    pst_answer_deinit(&a);
}

/* ---- DNS challenges ---- */

static void assert_challenge(const struct pst_domain *d, bool waiting, const char *wanted)
{
    auto_(pst_json_free) struct pst_json *j = pst_json_object();
    auto_buf struct pst_buf text = PST_BUF(4096);
    struct pst_err err = {0};

    assert_true(pst_json_set_challenge(j, d, waiting));
    assert_ok(pst_json_write(j, &text, &err), err);
    assert_string_equal(pst_buf_cstr(&text), wanted);
}

static void a_challenge_is_shown_while_it_is_waited_for(void **state)
{
    static const char nothing[] =
        "{\"acme_dns_fqdn\":null,\"acme_dns_value\":null,\"acme_dns_until\":null,"
        "\"acme_dns_error\":{},\"acme_method\":null}";
    struct pst_domain d = {.wildcard = true, .acme_enabled = true};

    (void)state;
    assert_challenge(&d, true, nothing);
    pst_str_copy(d.acme_dns_fqdn, sizeof d.acme_dns_fqdn, "_acme-challenge.a.example");
    assert_challenge(&d, true, nothing); /* a name without a value is of no use */
    pst_str_copy(d.acme_dns_value, sizeof d.acme_dns_value, "v");
    d.acme_dns_until = 1;
    assert_challenge(&d, false, nothing);
    assert_challenge(&d, true,
                     "{\"acme_dns_fqdn\":\"_acme-challenge.a.example\",\"acme_dns_value\":\"v\","
                     "\"acme_dns_until\":\"1970-01-01T00:00:01.000Z\",\"acme_dns_error\":{},"
                     "\"acme_method\":null}");
    pst_str_copy(d.acme_dns_error, sizeof d.acme_dns_error, "{\"dns_provider\":\"ovh\"}");
    pst_str_copy(d.acme_method, sizeof d.acme_method, "dns-01:manual");
    assert_challenge(
        &d, false,
        "{\"acme_dns_fqdn\":null,\"acme_dns_value\":null,\"acme_dns_until\":null,"
        "\"acme_dns_error\":{\"dns_provider\":\"ovh\"},\"acme_method\":\"dns-01:manual\"}");
    d.acme_enabled = false;
    assert_challenge(&d, false, nothing);
}

/* Clients of the platform parse an object here and give up on anything else. */
static void what_is_wrong_with_variables_is_always_an_object(void **state)
{
    static const char *const odd[] = {"", "7", "null", "\"text\"", "[{}]", "{", "{}x"};

    (void)state;
    for (size_t i = 0; i < PST_ARRAY_N(odd); i++) {
        auto_(pst_json_free) struct pst_json *j = pst_json_object();
        struct pst_domain d = {.wildcard = true, .acme_enabled = true};
        pst_str_copy(d.acme_dns_error, sizeof d.acme_dns_error, odd[i]);
        assert_true(pst_json_set_challenge(j, &d, false));
        assert_int_equal(pst_json_type(pst_json_get(j, "acme_dns_error")), PST_JSON_OBJECT);
    }
}

int main(void)
{
#define SESSION(fn) cmocka_unit_test_setup_teardown(fn, make_session, drop_session)
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(targets_are_split_before_they_are_decoded),
        cmocka_unit_test(bad_targets_are_refused),
        cmocka_unit_test(long_targets_are_refused),
        cmocka_unit_test(routes_are_found_with_their_parameters),
        cmocka_unit_test(the_table_of_routes_is_sound),
        cmocka_unit_test(methods_have_exact_names),
        SESSION(a_session_is_what_was_signed),
        cmocka_unit_test(a_foreign_token_with_our_key_lacks_our_claims),
        SESSION(any_changed_character_breaks_a_session),
        SESSION(sessions_survive_no_memory),
        cmocka_unit_test(the_authorization_field),
        cmocka_unit_test(tokens_are_random_and_stored_as_hashes),
        cmocka_unit_test(a_proof_is_for_one_tenant_and_one_name),
        cmocka_unit_test(a_tenant_takes_two_slots),
        cmocka_unit_test(failures_are_counted_by_address),
        cmocka_unit_test(ipv6_counts_by_network),
        cmocka_unit_test(more_addresses_than_places),
        cmocka_unit_test(addresses_have_one_form),
        cmocka_unit_test(networks_hold_addresses_of_their_family),
        cmocka_unit_test(error_bodies_have_the_shapes_that_clients_parse),
        cmocka_unit_test(a_challenge_is_shown_while_it_is_waited_for),
        cmocka_unit_test(what_is_wrong_with_variables_is_always_an_object),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
