/*
 * acme_pebble_test.c - acme/ against a real Pebble: from a new account to a revoked certificate.
 * Run by tests/support/pebble.py, which sets PST_PEBBLE_DIRECTORY and so on; skipped without.
 */
#include "pst_test.h"

#include <postern/acme.h>
#include <postern/buf.h>
#include <postern/clock.h>
#include <postern/crypto.h>
#include <postern/http.h>
#include <postern/json.h>
#include <postern/rand.h>
#include <postern/secret.h>
#include <postern/text.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static struct pst_http *http, *plain;
static struct pst_acme_ca *ca;
static struct pst_keyring *keyring;
static struct pst_key_handle *account_key;
static char account_url[512];
static bool newer;
static struct pst_err err;

/* What the issuing test leaves for those after it. */
static struct pst_chain issued;
static struct pst_key_handle *cert_key;

static struct pst_acme_call call_of(void)
{
    return (struct pst_acme_call){
        .ca = ca, .account = {.url = account_url[0] ? account_url : NULL, .key = account_key}};
}

static struct pst_key_handle *make_key(void)
{
    auto_buf struct pst_buf sealed = PST_BUF(8192), spki = PST_BUF(PST_SPKI_MAX);
    struct pst_key_handle *key = NULL;

    assert_ok(pst_key_new(keyring, PST_KEY_P256, 0, "key", "1", &sealed, &spki, &err), err);
    assert_ok(pst_key_open(keyring, "key", "1", sealed.data, sealed.len, &key, &err), err);
    return key;
}

static int open_keyring(void)
{
    auto_buf struct pst_buf wrapped = PST_BUF(256);
    char folder[] = "/tmp/postern-pebble-XXXXXX", path[64];

    if (!mkdtemp(folder))
        return -1;
    snprintf(path, sizeof path, "%s/master.key", folder);
    int rc = pst_keyring_create_file(path, pst_rand_system(), &err);
    if (!rc)
        rc = pst_keyring_open(&keyring, path, pst_rand_system(), &err);
    if (!rc)
        rc = pst_keyring_new_data_key(keyring, &wrapped, &err);
    if (!rc)
        rc = pst_keyring_add_data_key(keyring, wrapped.data, wrapped.len, &err);
    unlink(path);
    rmdir(folder);
    return rc;
}

static int setup(void **state)
{
    struct pst_http_opts opts = {.ca_file = getenv("PST_PEBBLE_CA")};
    int rc = open_keyring();

    newer = pst_streq(getenv("PST_PEBBLE_NEWER"), "1");
    if (!rc)
        rc = pst_http_new(&http, &opts, &err);
    if (!rc)
        rc = pst_http_new(&plain, &(struct pst_http_opts){0}, &err);
    if (!rc)
        rc = pst_acme_ca_new(&ca,
                             &(struct pst_acme_ca_opts){
                                 .directory_url = getenv("PST_PEBBLE_DIRECTORY"), .http = http},
                             &err);
    if (!rc)
        account_key = make_key();
    return rc;
}

static int teardown(void **state)
{
    pst_chain_deinit(&issued);
    pst_key_free(cert_key);
    pst_key_free(account_key);
    pst_acme_ca_free(ca);
    pst_http_free(http);
    pst_http_free(plain);
    pst_keyring_free(keyring);
    return 0;
}

/* Put an answer where Pebble looks for it. */
static void publish(const char *token, const char *content)
{
    auto_(pst_json_free) struct pst_json *j = pst_json_object();
    auto_buf struct pst_buf body = PST_BUF(4096);
    char url[256];
    struct pst_http_response *r = NULL;

    assert_true(pst_json_set_text(j, "token", token) && pst_json_set_text(j, "content", content));
    assert_ok(pst_json_write(j, &body, &err), err);
    snprintf(url, sizeof url, "%s/add-http01", getenv("PST_CHALLTESTSRV"));
    struct pst_http_request req = {
        .method = "POST", .url = url, .body = body.data, .body_len = body.len};
    assert_ok(pst_http_do(plain, &req, &r, &err), err);
    assert_int_equal(pst_http_status(r), 200);
    pst_http_response_free(r);
}

/* Between two looks at an order; the only place that waits. */
static void pause_before_next(int tries)
{
    assert_true(tries < 200);
    usleep(100 * 1000);
}

/* ---- the tests, in this order ---- */

/* A server is believed only with a certificate of the CA that was named, and for its own name. */
static void test_server_is_verified(void **state)
{
    struct pst_http_response *r = NULL;
    struct pst_http_url url;
    char address[32], other[64];
    struct pst_http_request req = {.url = getenv("PST_PEBBLE_DIRECTORY")};

    assert_rc(pst_http_do(plain, &req, &r, &err), PST_ENET, err);
    assert_err_has(err, "certificate");

    assert_ok(pst_http_url_parse(req.url, &url, &err), err);
    snprintf(address, sizeof address, "127.0.0.1:%u", url.port);
    snprintf(other, sizeof other, "https://www.example.org:%u/dir", url.port);
    req = (struct pst_http_request){.url = other, .connect_to = address};
    assert_rc(pst_http_do(http, &req, &r, &err), PST_ENET, err);
    assert_err_has(err, "www.example.org");

    req.url = getenv("PST_PEBBLE_DIRECTORY");
    assert_ok(pst_http_do(http, &req, &r, &err), err);
    assert_int_equal(pst_http_status(r), 200);
    pst_http_response_free(r);
}

static void test_directory(void **state)
{
    struct pst_acme_call call = call_of();
    const struct pst_acme_directory *d = NULL;

    assert_ok(pst_acme_directory(&call, false, &d, &err), err);
    assert_non_null(d->terms_of_service);
    assert_int_equal(d->renewal_info, newer);
    assert_int_equal(d->profiles_n > 0, newer);
    pst_acme_directory_unref(d);
}

static void test_unknown_account(void **state)
{
    struct pst_acme_call call = call_of();
    struct pst_acme_account_info *a = NULL;
    struct pst_acme_account_request req = {.only_existing = true};

    assert_rc(pst_acme_account_new(&call, &req, &a, &err), PST_NOTFOUND, err);
}

static void test_terms_must_be_agreed(void **state)
{
    struct pst_acme_call call = call_of();
    struct pst_acme_account_info *a = NULL;
    struct pst_acme_advice advice;

    assert_rc(pst_acme_account_new(&call, &(struct pst_acme_account_request){0}, &a, &err),
              PST_EREMOTE, err);
    assert_int_equal(call.problem.type, PST_ACME_USER_ACTION_REQUIRED);
    pst_acme_problem_advice(&call.problem, PST_ACME_ON_REQUEST, 0, &advice, NULL);
    assert_int_equal(advice.class_, PST_ACME_OPERATOR);
}

static void test_account(void **state)
{
    static const char *const contacts[] = {"mailto:ops@example.net"};
    struct pst_acme_call call = call_of();
    struct pst_acme_account_info *a = NULL;
    struct pst_acme_account_request req = {
        .contacts = contacts, .contacts_n = 1, .terms_agreed = true};

    assert_ok(pst_acme_account_new(&call, &req, &a, &err), err);
    assert_true(a->created);
    assert_int_equal(a->status, PST_ACME_ACCOUNT_VALID);
    assert_true(pst_str_copy(account_url, sizeof account_url, a->url));
    pst_acme_account_info_free(a);

    /* The URL was lost: the key finds it. */
    req = (struct pst_acme_account_request){.only_existing = true};
    assert_ok(pst_acme_account_new(&call, &req, &a, &err), err);
    assert_false(a->created);
    assert_string_equal(a->url, account_url);
    pst_acme_account_info_free(a);
    call = call_of();
    assert_ok(pst_acme_account_update(&call, NULL, 0, &err), err);
}

static void answer_authz(struct pst_acme_call *call, const char *url)
{
    struct pst_acme_authz *a = NULL;
    char thumbprint[PST_JWK_THUMBPRINT_SIZE], answer[256];
    enum pst_acme_challenge_status status;

    assert_ok(pst_acme_authz_get(call, url, &a, &err), err);
    if (a->status != PST_ACME_AUTHZ_VALID) {
        assert_int_equal(a->status, PST_ACME_AUTHZ_PENDING);
        const struct pst_acme_challenge *c = pst_acme_authz_challenge(a, PST_ACME_HTTP_01);
        assert_non_null(c);
        assert_non_null(c->token);
        assert_ok(pst_jwk_thumbprint(account_key, thumbprint, &err), err);
        snprintf(answer, sizeof answer, "%s.%s", c->token, thumbprint);
        publish(c->token, answer);
        assert_ok(pst_acme_challenge_answer(call, c->url, &status, &err), err);
    }
    for (int tries = 0; a->status == PST_ACME_AUTHZ_PENDING || tries == 0; tries++) {
        pause_before_next(tries);
        pst_acme_authz_free(a);
        a = NULL;
        assert_ok(pst_acme_authz_get(call, url, &a, &err), err);
    }
    assert_int_equal(a->status, PST_ACME_AUTHZ_VALID);
    pst_acme_authz_free(a);
}

static struct pst_acme_order *wait_for(struct pst_acme_call *call, struct pst_acme_order *o,
                                       enum pst_acme_order_status wanted)
{
    for (int tries = 0; o->status != wanted; tries++) {
        struct pst_acme_order *next = NULL;
        assert_int_not_equal(o->status, PST_ACME_ORDER_INVALID);
        pause_before_next(tries);
        assert_ok(pst_acme_order_get(call, o->url, &next, &err), err);
        assert_string_equal(next->url, o->url);
        pst_acme_order_free(o);
        o = next;
    }
    return o;
}

static void check_certificate(struct pst_acme_call *call, const char *url, const char *const *names,
                              size_t names_n)
{
    struct pst_acme_certificate *c = NULL, *other = NULL;
    struct pst_key_info info;
    struct pst_chain chain = {0};

    assert_ok(pst_acme_certificate_get(call, url, &c, &err), err);
    assert_ok(pst_key_info(cert_key, &info, &err), err);
    struct pst_chain_want want = {.spki = info.spki,
                                  .spki_len = info.spki_len,
                                  .names = names,
                                  .names_n = names_n,
                                  .now = pst_now(pst_clock_system())};
    assert_ok(pst_chain_check(c->pem, c->pem_len, &want, &issued, &err), err);
    assert_true(issued.issuers_n >= 1);

    /* The alternate chain has the same leaf and another end. */
    assert_true(c->alternates_n >= 1);
    assert_ok(pst_acme_certificate_get(call, c->alternates[0], &other, &err), err);
    assert_ok(pst_chain_check(other->pem, other->pem_len, &want, &chain, &err), err);
    assert_memory_equal(chain.info.sha256, issued.info.sha256, 32);
    assert_string_not_equal(chain.last_issuer_cn, issued.last_issuer_cn);
    pst_chain_deinit(&chain);
    pst_acme_certificate_free(other);
    pst_acme_certificate_free(c);
}

/* From PENDING to VALID with cert_key. */
static struct pst_acme_order *complete(struct pst_acme_call *call, struct pst_acme_order *o)
{
    auto_buf struct pst_buf csr = PST_BUF(65536);
    struct pst_acme_order *done = NULL;

    assert_ok(pst_csr_new(cert_key, (const char *const *)o->names, o->names_n, &csr, &err), err);
    assert_int_equal(o->status, PST_ACME_ORDER_PENDING);
    assert_rc(pst_acme_finalize(call, o, csr.data, csr.len, &done, &err), PST_EREMOTE, err);
    assert_int_equal(call->problem.type, PST_ACME_ORDER_NOT_READY);

    for (size_t i = 0; i < o->authz_n; i++)
        answer_authz(call, o->authz[i]);
    o = wait_for(call, o, PST_ACME_ORDER_READY);
    assert_ok(pst_acme_finalize(call, o, csr.data, csr.len, &done, &err), err);
    pst_acme_order_free(o);
    return wait_for(call, done, PST_ACME_ORDER_VALID);
}

static void test_issue(void **state)
{
    static const char *const names[] = {"www.example.org", "example.org"};
    struct pst_acme_call call = call_of();
    struct pst_acme_order *o = NULL;

    assert_ok(pst_acme_order_new(
                  &call, &(struct pst_acme_order_request){.names = names, .names_n = 2}, &o, &err),
              err);
    assert_int_equal(o->authz_n, 2);
    assert_true(o->expires_at > pst_now(pst_clock_system()));
    assert_null(o->error);

    cert_key = make_key();
    o = complete(&call, o);
    check_certificate(&call, o->certificate, names, 2);
    pst_acme_order_free(o);
}

static void test_challenge_twice(void **state)
{
    static const char *const names[] = {"again.example.org"};
    struct pst_acme_call call = call_of();
    struct pst_acme_order *o = NULL;
    struct pst_acme_authz *a = NULL;
    enum pst_acme_challenge_status status;

    assert_ok(pst_acme_order_new(
                  &call, &(struct pst_acme_order_request){.names = names, .names_n = 1}, &o, &err),
              err);
    answer_authz(&call, o->authz[0]);
    assert_ok(pst_acme_authz_get(&call, o->authz[0], &a, &err), err);
    const struct pst_acme_challenge *c = pst_acme_authz_challenge(a, PST_ACME_HTTP_01);
    assert_non_null(c);
    assert_rc(pst_acme_challenge_answer(&call, c->url, &status, &err), PST_EREMOTE, err);
    assert_int_equal(call.problem.type, PST_ACME_MALFORMED);
    pst_acme_authz_free(a);
    pst_acme_order_free(o);
}

static void test_wrong_answer(void **state)
{
    static const char *const names[] = {"wrong.example.org"};
    struct pst_acme_call call = call_of();
    struct pst_acme_order *o = NULL, *after = NULL;
    struct pst_acme_authz *a = NULL;
    enum pst_acme_challenge_status status;
    struct pst_acme_advice advice;

    assert_ok(pst_acme_order_new(
                  &call, &(struct pst_acme_order_request){.names = names, .names_n = 1}, &o, &err),
              err);
    assert_ok(pst_acme_authz_get(&call, o->authz[0], &a, &err), err);
    const struct pst_acme_challenge *c = pst_acme_authz_challenge(a, PST_ACME_HTTP_01);
    publish(c->token, "something else");
    assert_ok(pst_acme_challenge_answer(&call, c->url, &status, &err), err);
    for (int tries = 0; a->status == PST_ACME_AUTHZ_PENDING; tries++) {
        pause_before_next(tries);
        pst_acme_authz_free(a);
        assert_ok(pst_acme_authz_get(&call, o->authz[0], &a, &err), err);
    }
    assert_int_equal(a->status, PST_ACME_AUTHZ_INVALID);
    const struct pst_acme_problem *p = pst_acme_authz_error(a);
    assert_non_null(p);
    assert_int_equal(p->type, PST_ACME_UNAUTHORIZED);
    assert_true(p->detail[0] != '\0');
    pst_acme_problem_advice(p, PST_ACME_ON_CHALLENGE, 0, &advice, &err);
    assert_int_equal(advice.class_, PST_ACME_BACKOFF);
    assert_true(advice.counts);
    assert_ok(pst_acme_order_get(&call, o->url, &after, &err), err);
    assert_int_equal(after->status, PST_ACME_ORDER_INVALID);
    pst_acme_order_free(after);
    pst_acme_authz_free(a);
    pst_acme_order_free(o);
}

static void test_blocked_name(void **state)
{
    static const char *const names[] = {"blocked.example"};
    struct pst_acme_call call = call_of();
    struct pst_acme_order *o = NULL;
    struct pst_acme_order_request req = {.names = names, .names_n = 1};

    assert_rc(pst_acme_order_new(&call, &req, &o, &err), PST_EREMOTE, err);
    assert_int_equal(call.problem.type, PST_ACME_REJECTED_IDENTIFIER);
    assert_int_equal(err.retry, PST_RETRY_DAILY);
    if (newer) {
        assert_int_equal(call.problem.subproblems_n, 1);
        assert_string_equal(call.problem.subproblems[0].name, "blocked.example");
    }
}

static void test_wildcard(void **state)
{
    static const char *const names[] = {"*.wild.example.org", "wild.example.org"};
    struct pst_acme_call call = call_of();
    struct pst_acme_order *o = NULL;
    struct pst_acme_authz *a = NULL;
    int wild = 0;

    assert_ok(pst_acme_order_new(
                  &call, &(struct pst_acme_order_request){.names = names, .names_n = 2}, &o, &err),
              err);
    for (size_t i = 0; i < o->authz_n; i++) {
        assert_ok(pst_acme_authz_get(&call, o->authz[i], &a, &err), err);
        assert_string_equal(a->name, "wild.example.org");
        wild += a->wildcard;
        assert_non_null(pst_acme_authz_challenge(a, PST_ACME_DNS_01));
        assert_int_equal(pst_acme_authz_challenge(a, PST_ACME_HTTP_01) == NULL, a->wildcard);
        const struct pst_acme_challenge *p = pst_acme_authz_challenge(a, PST_ACME_DNS_PERSIST_01);
        assert_int_equal(p != NULL, newer);
        if (p) {
            assert_int_equal(p->issuers_n, 1);
            assert_string_equal(p->issuers[0], "ca.test");
            assert_string_equal(p->account_uri, account_url);
            assert_false(p->hashed);
        }
        pst_acme_authz_free(a);
    }
    assert_int_equal(wild, 1);
    pst_acme_order_free(o);
}

static void test_profile(void **state)
{
    static const char *const names[] = {"profile.example.org"};
    struct pst_acme_call call = call_of();
    struct pst_acme_order *o = NULL;
    struct pst_acme_order_request req = {.names = names, .names_n = 1, .profile = "nonesuch"};

    assert_rc(pst_acme_order_new(&call, &req, &o, &err), PST_REFUSED, err);
    assert_string_equal(err.problem, "profile");
    req.profile = "default";
    assert_rc(pst_acme_order_new(&call, &req, &o, &err), newer ? PST_OK : PST_REFUSED, err);
    pst_acme_order_free(o);
}

static void test_renewal_info(void **state)
{
    struct pst_acme_call call = call_of();
    struct pst_acme_renewal info;
    const char *id = newer ? issued.info.ari_cert_id : "aYhba4dGQEHhs3uEe6CuLN4ByNQ.AIdlQyE";

    assert_rc(pst_acme_renewal_info(&call, id, &info, &err), newer ? PST_OK : PST_NOTFOUND, err);
    if (newer) {
        assert_true(info.start_at_ms < info.end_at_ms);
        assert_true(info.start_at_ms / 1000 > issued.info.not_before);
        assert_true(info.end_at_ms / 1000 < issued.info.not_after);
        assert_int_equal(info.retry_after_s, 21600);
    }
}

static void test_replaces(void **state)
{
    static const char *const names[] = {"www.example.org"};
    struct pst_acme_call call = call_of();
    struct pst_acme_order *o = NULL;
    struct pst_acme_order_request req = {
        .names = names, .names_n = 1, .replaces = issued.info.ari_cert_id};

    assert_ok(pst_acme_order_new(&call, &req, &o, &err), err);
    o = complete(&call, o);
    pst_acme_order_free(o);
    o = NULL;
    if (newer) {
        assert_rc(pst_acme_order_new(&call, &req, &o, &err), PST_EREMOTE, err);
        assert_int_equal(call.problem.type, PST_ACME_ALREADY_REPLACED);
        assert_int_equal(err.retry, PST_RETRY_AT);
    }
}

static void test_revoke(void **state)
{
    struct pst_acme_call call = call_of();

    assert_rc(pst_acme_revoke(&call, issued.leaf.data, issued.leaf.len, 7, NULL, &err), PST_REFUSED,
              err);
    assert_ok(pst_acme_revoke(&call, issued.leaf.data, issued.leaf.len, 4, NULL, &err), err);
    assert_rc(pst_acme_revoke(&call, issued.leaf.data, issued.leaf.len, 4, NULL, &err), PST_DONE,
              err);
    /* The certificate's own key may do it, too. */
    assert_rc(pst_acme_revoke(&call, issued.leaf.data, issued.leaf.len, 1, cert_key, &err),
              PST_DONE, err);
}

static void test_unknown_order(void **state)
{
    struct pst_acme_call call = call_of();
    struct pst_acme_order *o = NULL;
    char url[600];
    struct pst_acme_advice advice;
    const char *slash = strstr(account_url, "/my-account");

    assert_non_null(slash);
    snprintf(url, sizeof url, "%.*s/my-order/nonesuch", (int)(slash - account_url), account_url);
    assert_rc(pst_acme_order_get(&call, url, &o, &err), PST_EREMOTE, err);
    assert_int_equal(call.problem.status, 404);
    pst_acme_problem_advice(&call.problem, PST_ACME_ON_REQUEST, 0, &advice, NULL);
    assert_int_equal(advice.class_, PST_ACME_BACKOFF);
}

static void test_deactivated_account(void **state)
{
    static const char *const names[] = {"late.example.org"};
    struct pst_acme_call call = call_of();
    struct pst_acme_order *o = NULL;
    struct pst_acme_order_request req = {.names = names, .names_n = 1};

    assert_ok(pst_acme_account_deactivate(&call, &err), err);
    assert_rc(pst_acme_order_new(&call, &req, &o, &err), PST_EREMOTE, err);
    assert_int_equal(call.problem.type, PST_ACME_UNAUTHORIZED);
    assert_int_equal(err.retry, PST_RETRY_NEVER);
}

static void test_external_account(void **state)
{
    struct pst_acme_call call = call_of();
    struct pst_acme_account_info *a = NULL;
    auto_secret struct pst_secret key = {0}, wrong = {0};
    const char *text = getenv("PST_PEBBLE_EAB_KEY");
    struct pst_acme_account_request req = {.terms_agreed = true};

    assert_ok(pst_secret_set(&key, text, strlen(text), &err), err);
    assert_ok(pst_secret_set(&wrong, "AAAA", 4, &err), err);
    assert_rc(pst_acme_account_new(&call, &req, &a, &err), PST_EREMOTE, err);
    assert_int_equal(call.problem.type, PST_ACME_EXTERNAL_ACCOUNT_REQUIRED);
    req.eab_kid = getenv("PST_PEBBLE_EAB_KID");
    req.eab_key = &wrong;
    assert_rc(pst_acme_account_new(&call, &req, &a, &err), PST_EREMOTE, err);
    assert_int_equal(call.problem.type, PST_ACME_UNAUTHORIZED);
    req.eab_key = &key;
    assert_ok(pst_acme_account_new(&call, &req, &a, &err), err);
    assert_true(a->created);
    pst_acme_account_info_free(a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_server_is_verified),
        cmocka_unit_test(test_directory),
        cmocka_unit_test(test_unknown_account),
        cmocka_unit_test(test_terms_must_be_agreed),
        cmocka_unit_test(test_account),
        cmocka_unit_test(test_issue),
        cmocka_unit_test(test_challenge_twice),
        cmocka_unit_test(test_wrong_answer),
        cmocka_unit_test(test_blocked_name),
        cmocka_unit_test(test_wildcard),
        cmocka_unit_test(test_profile),
        cmocka_unit_test(test_renewal_info),
        cmocka_unit_test(test_replaces),
        cmocka_unit_test(test_revoke),
        cmocka_unit_test(test_unknown_order),
        cmocka_unit_test(test_deactivated_account),
    };
    const struct CMUnitTest eab_tests[] = {
        cmocka_unit_test(test_external_account),
    };

    if (!getenv("PST_PEBBLE_DIRECTORY"))
        return 77;
    if (getenv("PST_PEBBLE_EAB_KID"))
        return cmocka_run_group_tests_name("acme_pebble_eab", eab_tests, setup, teardown);
    return cmocka_run_group_tests_name("acme_pebble", tests, setup, teardown);
}
