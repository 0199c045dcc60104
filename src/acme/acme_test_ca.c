/* acme_test_ca.c - see acme_test_ca.h. */
#include "acme_test_ca.h"

#include <postern/rand.h>
#include <postern/text.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static void make_keyring(struct test_ca *t)
{
    auto_buf struct pst_buf wrapped = PST_BUF(256);
    char folder[] = "/tmp/postern-acme-XXXXXX", path[64];

    assert_non_null(mkdtemp(folder));
    snprintf(path, sizeof path, "%s/master.key", folder);
    assert_ok(pst_keyring_create_file(path, pst_rand_system(), &t->err), t->err);
    assert_ok(pst_keyring_open(&t->keyring, path, pst_rand_system(), &t->err), t->err);
    assert_ok(pst_keyring_new_data_key(t->keyring, &wrapped, &t->err), t->err);
    assert_ok(pst_keyring_add_data_key(t->keyring, wrapped.data, wrapped.len, &t->err), t->err);
    unlink(path);
    rmdir(folder);
}

static struct pst_key_handle *make_key(struct test_ca *t, enum pst_key_type type)
{
    auto_buf struct pst_buf sealed = PST_BUF(8192), spki = PST_BUF(PST_SPKI_MAX);
    struct pst_key_handle *key = NULL;

    assert_ok(pst_key_new(t->keyring, type, 0, "account", "1", &sealed, &spki, &t->err), t->err);
    assert_ok(pst_key_open(t->keyring, "account", "1", sealed.data, sealed.len, &key, &t->err),
              t->err);
    return key;
}

void test_ca_directory(struct test_ca *t, const char *more)
{
    char text[4096];

    snprintf(text, sizeof text,
             "{\"newNonce\":\"{base}/nonce\",\"newAccount\":\"{base}/account\","
             "\"newOrder\":\"{base}/order\",\"revokeCert\":\"{base}/revoke\",%s"
             "\"keyChange\":\"{base}/key\",\"random-XyZ\":\"https://community.example\"}",
             more);
    fake_http_on(t->server, "GET /dir", -1, 200, "Content-Type: application/json\r\n", text);
}

int test_ca_start(void **state)
{
    struct test_ca *t = calloc(1, sizeof *t);

    assert_non_null(t);
    pst_clock_manual_init(&t->clock, TEST_NOW * INT64_C(1000));
    t->server = fake_http_start();
    make_keyring(t);
    t->key = make_key(t, PST_KEY_P256);
    t->other_key = make_key(t, PST_KEY_P384);
    assert_ok(pst_http_new(&t->http, &(struct pst_http_opts){.timeout_ms = 5000}, &t->err), t->err);
    struct pst_acme_ca_opts opts = {
        .directory_url = test_ca_url(t, "/dir"), .http = t->http, .clock = &t->clock.clock};
    assert_ok(pst_acme_ca_new(&t->ca, &opts, &t->err), t->err);
    fake_http_on(t->server, "HEAD /nonce", -1, 200, "Replay-Nonce: {nonce}\r\n", "");
    snprintf(t->account_url, sizeof t->account_url, "%s/acct/1", fake_http_url(t->server));
    t->call =
        (struct pst_acme_call){.ca = t->ca, .account = {.url = t->account_url, .key = t->key}};
    *state = t;
    return 0;
}

int test_ca_stop(void **state)
{
    struct test_ca *t = *state;

    pst_acme_ca_free(t->ca);
    pst_http_free(t->http);
    pst_key_free(t->key);
    pst_key_free(t->other_key);
    pst_keyring_free(t->keyring);
    fake_http_stop(t->server);
    free(t);
    return 0;
}

const char *test_ca_url(struct test_ca *t, const char *path)
{
    snprintf(t->text, sizeof t->text, "%s%s", fake_http_url(t->server), path);
    return t->text;
}

/* One member of the last request's JWS, decoded. */
static void member(struct test_ca *t, const char *name, struct pst_buf *to)
{
    const struct fake_http_request *r = fake_http_last(t->server);
    struct pst_json *j = NULL;

    assert_string_equal(fake_http_header(t->server, r, "Content-Type"), "application/jose+json");
    assert_ok(pst_json_parse(&j, r->body, r->body_len, &t->err), t->err);
    assert_int_equal(pst_json_len(j), 3);
    const char *text = pst_json_get_text(j, name);
    assert_non_null(text);
    assert_true(pst_b64url_decode(to, text, strlen(text)));
    pst_json_free(j);
}

struct pst_json *test_ca_protected(struct test_ca *t)
{
    auto_buf struct pst_buf text = PST_BUF(100000);
    struct pst_json *j = NULL;

    member(t, "protected", &text);
    assert_ok(pst_json_parse(&j, text.data, text.len, &t->err), t->err);
    return j;
}

void test_ca_payload(struct test_ca *t, char *to, size_t to_size)
{
    auto_buf struct pst_buf text = PST_BUF(100000);

    member(t, "payload", &text);
    assert_true(pst_str_copy(to, to_size, pst_buf_cstr(&text)));
}
