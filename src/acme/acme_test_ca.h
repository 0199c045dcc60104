/* acme_test_ca.h - a scripted CA for the tests of acme/: what Pebble cannot be made to do. */
#ifndef POSTERN_ACME_TEST_CA_H
#define POSTERN_ACME_TEST_CA_H

#include "pst_test.h"

#include <postern/clock.h>
#include <postern/crypto.h>
#include <postern/err.h>

#include "acme_internal.h"
#include "fake_http.h"

enum { TEST_NOW = 1784646000 }; /* 2026-07-21T15:00:00Z */

#define JSON    "Content-Type: application/json\r\nReplay-Nonce: {nonce}\r\n"
#define PROBLEM "Content-Type: application/problem+json\r\nReplay-Nonce: {nonce}\r\n"
#define URN     "urn:ietf:params:acme:error:"

struct test_ca {
    struct fake_http *server;
    struct pst_http *http;
    struct pst_acme_ca *ca;
    struct pst_clock_manual clock;
    struct pst_keyring *keyring;
    struct pst_key_handle *key;
    struct pst_key_handle *other_key;
    struct pst_acme_call call; /* with an account whose URL is {base}/acct/1 */
    struct pst_err err;
    char account_url[128];
    char text[512];
};

/* For cmocka_unit_test_setup_teardown(): *state is a struct test_ca with a directory and nonces. */
int test_ca_start(void **state);
int test_ca_stop(void **state);

/* "{base}/<path>"; valid until the next call. */
const char *test_ca_url(struct test_ca *t, const char *path);

/* The directory, with `more` between its members ("" or "\"renewalInfo\":...,"). */
void test_ca_directory(struct test_ca *t, const char *more);

/* What the last request was: the decoded parts of its JWS. */
struct pst_json *test_ca_protected(struct test_ca *t);
void test_ca_payload(struct test_ca *t, char *to, size_t to_size);

#endif
