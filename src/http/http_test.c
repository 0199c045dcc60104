/* http_test.c - requests against a scripted server. */
#include "pst_test.h"

#include <postern/buf.h>
#include <postern/clock.h>
#include <postern/secret.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "fake_http.h"
#include "http_internal.h"

static struct fake_http *server;
static struct pst_http *client;
static struct pst_err err;

static int setup(void **state)
{
    server = fake_http_start();
    memset(&err, 0, sizeof err);
    return pst_http_new(&client, &(struct pst_http_opts){.timeout_ms = 5000}, &err);
}

static int teardown(void **state)
{
    pst_http_free(client);
    fake_http_stop(server);
    return 0;
}

static const char *url(const char *path)
{
    static char text[9000];

    snprintf(text, sizeof text, "%s%s", fake_http_url(server), path);
    return text;
}

static struct pst_http_response *get(const char *path)
{
    struct pst_http_response *r = NULL;

    assert_ok(pst_http_do(client, &(struct pst_http_request){.url = url(path)}, &r, &err), err);
    return r;
}

static void test_get(void **state)
{
    fake_http_on(server, "GET /a", 1, 200, "Content-Type: text/plain\r\nX-Y: 1\r\n", "hello");
    struct pst_http_response *r = get("/a?q=1");

    assert_int_equal(pst_http_status(r), 200);
    size_t len = 0;
    assert_string_equal(pst_http_body(r, &len), "hello");
    assert_int_equal(len, 5);
    assert_string_equal(pst_http_header(r, "x-y", 0), "1");
    assert_true(pst_http_is_type(r, "text/plain"));
    pst_http_response_free(r);

    const struct fake_http_request *seen = fake_http_seen(server, 0);
    assert_string_equal(seen->path, "/a?q=1");
    assert_int_equal(strncmp(fake_http_header(server, seen, "User-Agent"),
                             "postern/" PST_VERSION " libcurl/", 17 + strlen(PST_VERSION)),
                     0);
    assert_null(fake_http_header(server, seen, "Content-Type"));
    assert_null(fake_http_header(server, seen, "Authorization"));
}

static void test_methods(void **state)
{
    static const char *const methods[] = {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"};

    fake_http_on(server, NULL, -1, 200, "", "body");
    for (size_t i = 0; i < PST_ARRAY_N(methods); i++) {
        struct pst_http_response *r = NULL;
        bool body = i >= 2;
        struct pst_http_request req = {
            .method = methods[i], .url = url("/m"), .body = "{}", .body_len = body ? 2 : 0};
        assert_ok(pst_http_do(client, &req, &r, &err), err);
        const struct fake_http_request *seen = fake_http_last(server);
        assert_string_equal(seen->method, methods[i]);
        assert_string_equal(seen->body, body ? "{}" : "");
        if (body)
            assert_string_equal(fake_http_header(server, seen, "Content-Length"), "2");
        assert_null(fake_http_header(server, seen, "Expect"));
        assert_null(fake_http_header(server, seen, "Transfer-Encoding"));
        assert_null(fake_http_header(server, seen, "Content-Type"));
        assert_string_equal(pst_http_body(r, NULL), i == 1 ? "" : "body");
        pst_http_response_free(r);
    }
}

static void test_empty_and_large_posts(void **state)
{
    struct pst_http_response *r = NULL;
    struct pst_http_request req = {.method = "POST", .url = url("/p")};

    fake_http_on(server, NULL, -1, 200, "", "");
    assert_ok(pst_http_do(client, &req, &r, &err), err);
    pst_http_response_free(r);
    assert_string_equal(fake_http_header(server, fake_http_last(server), "Content-Length"), "0");

    char *big = malloc(500000);
    memset(big, 'x', 500000);
    req.body = big;
    req.body_len = 500000;
    assert_ok(pst_http_do(client, &req, &r, &err), err);
    pst_http_response_free(r);
    assert_int_equal(fake_http_last(server)->body_len, 500000);
    assert_null(fake_http_header(server, fake_http_last(server), "Expect"));
    free(big);
}

static void test_headers_and_bearer(void **state)
{
    auto_secret struct pst_secret token = {0};
    const struct pst_http_header headers[] = {{"Content-Type", "application/jose+json"},
                                              {"X-Empty", ""}};
    struct pst_http_response *r = NULL;
    struct pst_http_request req = {
        .method = "POST", .url = url("/"), .headers = headers, .headers_n = 2, .bearer = &token};

    fake_http_on(server, NULL, -1, 200, "", "");
    assert_ok(pst_http_do(client, &req, &r, &err), err);
    pst_http_response_free(r);
    assert_null(fake_http_header(server, fake_http_last(server), "Authorization"));

    assert_ok(pst_secret_set(&token, "s3cret", 6, &err), err);
    assert_ok(pst_http_do(client, &req, &r, &err), err);
    pst_http_response_free(r);
    const struct fake_http_request *seen = fake_http_last(server);
    assert_string_equal(fake_http_header(server, seen, "authorization"), "Bearer s3cret");
    assert_string_equal(fake_http_header(server, seen, "content-type"), "application/jose+json");
    assert_string_equal(fake_http_header(server, seen, "x-empty"), "");
}

static void test_requests_that_are_refused(void **state)
{
    struct pst_http_header header = {"A", "b"};
    struct pst_http_request req = {.headers = &header, .headers_n = 1};
    struct pst_http_response *r = NULL;
    static const struct {
        const char *method, *path, *name, *value, *connect_to, *text;
        size_t body_len;
    } cases[] = {
        {"BREW", "/", "A", "b", NULL, "method", 0},
        {"get", "/", "A", "b", NULL, "method", 0},
        {"GET", "/", "A", "b", NULL, "no body", 1},
        {"GET", "/a b", "A", "b", NULL, "blanks", 0},
        {"GET", "/", "A B", "b", NULL, "token", 0},
        {"GET", "/", "", "b", NULL, "token", 0},
        {"GET", "/", "A", "b\r\nC: d", NULL, "control", 0},
        {"POST", "/", "content-length", "7", NULL, "Content-Length", 0},
        {"POST", "/", "Transfer-Encoding", "chunked", NULL, "Transfer-Encoding", 0},
        {"GET", "/", "A", "b", "localhost:80", "address", 0},
    };

    for (size_t i = 0; i < PST_ARRAY_N(cases); i++) {
        header = (struct pst_http_header){cases[i].name, cases[i].value};
        req.method = cases[i].method;
        req.url = url(cases[i].path);
        req.connect_to = cases[i].connect_to;
        req.body = "x";
        req.body_len = cases[i].body_len;
        assert_rc(pst_http_do(client, &req, &r, &err), PST_EINPUT, err);
        assert_err_has(err, cases[i].text);
    }
    struct pst_http_header many[PST_HTTP_HEADERS_MAX + 1];
    for (size_t i = 0; i < PST_ARRAY_N(many); i++)
        many[i] = (struct pst_http_header){"A", "b"};
    req =
        (struct pst_http_request){.url = url("/"), .headers = many, .headers_n = PST_ARRAY_N(many)};
    assert_rc(pst_http_do(client, &req, &r, &err), PST_EINPUT, err);
    auto_secret struct pst_secret token = {0};
    assert_ok(pst_secret_set(&token, "s3c\nret", 7, &err), err);
    req = (struct pst_http_request){.url = url("/"), .bearer = &token};
    assert_rc(pst_http_do(client, &req, &r, &err), PST_EINPUT, err);
    assert_null(strstr(err.text, "s3c"));
    assert_int_equal(fake_http_count(server), 0);
}

static void test_redirects_are_answers(void **state)
{
    fake_http_on(server, "GET /from", 1, 302, "Location: {base}/to\r\n", "");
    struct pst_http_response *r = get("/from");

    assert_int_equal(pst_http_status(r), 302);
    assert_string_equal(pst_http_header(r, "location", 0), url("/to"));
    pst_http_response_free(r);
    assert_int_equal(fake_http_count(server), 1);
}

static void test_connections_are_used_again(void **state)
{
    fake_http_on(server, NULL, -1, 200, "", "x");
    for (int i = 0; i < 5; i++)
        pst_http_response_free(get("/"));
    assert_int_equal(fake_http_last(server)->connection, 1);
}

/* A kept connection that the server has closed meanwhile is no fault. */
static void test_closed_connections_are_replaced(void **state)
{
    static const char answer[] = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
    struct pst_http_request req = {.method = "POST", .url = url("/"), .body = "x", .body_len = 1};

    fake_http_raw(server, NULL, -1, answer, strlen(answer));
    for (int i = 0; i < 10; i++) {
        struct pst_http_response *r = NULL;
        assert_ok(pst_http_do(client, &req, &r, &err), err);
        assert_string_equal(pst_http_body(r, NULL), "ok");
        pst_http_response_free(r);
    }
}

static void test_body_limits(void **state)
{
    char big[5001];
    memset(big, 'x', 5000);
    big[5000] = '\0';
    struct pst_http_response *r = NULL;
    struct pst_http_request req = {.url = url("/"), .max_body = 4999};

    fake_http_on(server, NULL, -1, 200, "", big);
    assert_rc(pst_http_do(client, &req, &r, &err), PST_EINPUT, err);
    assert_err_has(err, "larger than allowed");
    assert_err_has(err, "GET http://127.0.0.1:");
    req.max_body = 5000;
    assert_ok(pst_http_do(client, &req, &r, &err), err);
    pst_http_response_free(r);
}

static void test_broken_answers(void **state)
{
    static const struct {
        const char *bytes;
        int rc;
    } cases[] = {
        {"", PST_ENET},
        {"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc", PST_ENET},
        {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", PST_ENET},
        {"SSH-2.0-OpenSSH_9.2\r\n\r\n", PST_EINPUT},
        {"HTTP/1.1 999 X\r\nContent-Length: 0\r\n\r\n", PST_EINPUT},
        {"HTTP/1.1 200 OK\r\nno colon\r\nContent-Length: 0\r\n\r\n", PST_EINPUT},
    };

    for (size_t i = 0; i < PST_ARRAY_N(cases); i++) {
        struct pst_http_response *r = NULL;
        fake_http_clear(server);
        fake_http_raw(server, NULL, -1, cases[i].bytes, strlen(cases[i].bytes));
        int rc = pst_http_do(client, &(struct pst_http_request){.url = url("/")}, &r, &err);
        if (rc != cases[i].rc)
            fail_msg("case %zu gave %s: %s", i, pst_rc_name(rc), err.text);
        assert_null(r);
    }
}

static void test_timeout(void **state)
{
    const struct pst_clock *clock = pst_clock_system();
    struct pst_http_response *r = NULL;
    struct pst_http_request req = {.url = url("/"), .timeout_ms = 200};

    fake_http_stall(server, NULL, -1);
    int64_t from = pst_mono_ms(clock);
    assert_rc(pst_http_do(client, &req, &r, &err), PST_ENET, err);
    assert_true(pst_mono_ms(clock) - from < 3000);
    assert_err_has(err, "within 200 ms (127.0.0.1:");
}

static void test_cancel(void **state)
{
    const struct pst_clock *clock = pst_clock_system();
    atomic_bool stop = true;
    struct pst_http_response *r = NULL;
    struct pst_http_request req = {.url = url("/"), .cancel = &stop};

    fake_http_stall(server, NULL, -1);
    int64_t from = pst_mono_ms(clock);
    assert_rc(pst_http_do(client, &req, &r, &err), PST_ENET, err);
    assert_true(pst_mono_ms(clock) - from < 3000);
    assert_err_has(err, "stopping");
}

static void test_connect_to_and_unix(void **state)
{
    char address[32], path[64];
    struct pst_http_response *r = NULL;
    struct pst_http_request req = {.url = "http://www.example.com/x", .connect_to = address};

    snprintf(address, sizeof address, "127.0.0.1:%d", fake_http_port(server));
    fake_http_on(server, NULL, -1, 200, "", "tcp");
    assert_ok(pst_http_do(client, &req, &r, &err), err);
    pst_http_response_free(r);
    assert_string_equal(fake_http_header(server, fake_http_last(server), "Host"),
                        "www.example.com");

    snprintf(path, sizeof path, "/tmp/postern-http-test-%d.sock", (int)getpid());
    struct fake_http *local = fake_http_start_unix(path);
    fake_http_on(local, "GET /x", -1, 200, "", "unix");
    req = (struct pst_http_request){.url = "http://localhost/x", .unix_socket = path};
    assert_ok(pst_http_do(client, &req, &r, &err), err);
    assert_string_equal(pst_http_body(r, NULL), "unix");
    pst_http_response_free(r);
    fake_http_stop(local);

    assert_rc(pst_http_do(client, &req, &r, &err), PST_ENET, err);
}

static void test_gate(void **state)
{
    static const char *const allow[] = {"127.0.0.1"};
    struct pst_gate *shut = NULL, *open = NULL;
    struct pst_http *gated = NULL;
    struct pst_http_response *r = NULL;
    char address[32];
    struct pst_http_request req = {.url = url("/")};

    fake_http_on(server, NULL, -1, 200, "", "");
    assert_ok(pst_gate_new(&shut, NULL, 0, &err), err);
    assert_ok(pst_http_new(&gated, &(struct pst_http_opts){.gate = shut}, &err), err);
    assert_rc(pst_http_do(gated, &req, &r, &err), PST_REFUSED, err);
    assert_err_has(err, "127.0.0.1:");
    assert_err_has(err, "loopback network 127.0.0.0/8");
    assert_string_equal(err.problem, "gate");

    /* A name is judged by what it resolves to, an address that was handed in as well. */
    snprintf(address, sizeof address, "http://localhost:%d/", fake_http_port(server));
    req.url = address;
    assert_rc(pst_http_do(gated, &req, &r, &err), PST_REFUSED, err);
    char to[32];
    snprintf(to, sizeof to, "127.0.0.1:%d", fake_http_port(server));
    req = (struct pst_http_request){.url = "http://www.example.com/", .connect_to = to};
    assert_rc(pst_http_do(gated, &req, &r, &err), PST_REFUSED, err);
    req = (struct pst_http_request){.url = "http://localhost/", .unix_socket = "/tmp/x"};
    assert_rc(pst_http_do(gated, &req, &r, &err), PST_REFUSED, err);
    assert_int_equal(fake_http_count(server), 0);
    pst_http_free(gated);

    assert_ok(pst_gate_new(&open, allow, 1, &err), err);
    assert_ok(pst_http_new(&gated, &(struct pst_http_opts){.gate = open}, &err), err);
    req = (struct pst_http_request){.url = url("/")};
    assert_ok(pst_http_do(gated, &req, &r, &err), err);
    pst_http_response_free(r);
    pst_http_free(gated);
    pst_gate_free(shut);
    pst_gate_free(open);
}

static void test_no_proxy_of_the_environment(void **state)
{
    setenv("http_proxy", "http://127.0.0.1:1", 1);
    setenv("ALL_PROXY", "http://127.0.0.1:1", 1);
    fake_http_on(server, NULL, -1, 200, "", "");
    pst_http_response_free(get("/"));
    unsetenv("http_proxy");
    unsetenv("ALL_PROXY");
}

static void test_opts(void **state)
{
    struct pst_http *h = NULL;
    struct pst_gate *g = NULL;
    struct pst_http_opts opts = {.ca_file = "/nonexistent/ca.pem"};

    assert_rc(pst_http_new(&h, &opts, &err), PST_ECONFIG, err);
    assert_err_has(err, "/nonexistent/ca.pem");
    assert_ok(pst_gate_new(&g, NULL, 0, &err), err);
    opts = (struct pst_http_opts){.gate = g, .proxy = "http://127.0.0.1:3128"};
    assert_rc(pst_http_new(&h, &opts, &err), PST_ECONFIG, err);
    pst_gate_free(g);
}

static void test_nobody_there(void **state)
{
    struct pst_http_response *r = NULL;
    struct pst_http_request req = {.url = "http://127.0.0.1:1/"};

    assert_rc(pst_http_do(client, &req, &r, &err), PST_ENET, err);
    assert_err_has(err, "127.0.0.1:1");
    req.url = "https://127.0.0.1:1/secret/path?token=abc";
    assert_rc(pst_http_do(client, &req, &r, &err), PST_ENET, err);
    assert_null(strstr(err.text, "token"));
}

struct many {
    pthread_t thread;
    int good;
};

static void *run_many(void *arg)
{
    struct many *m = arg;

    for (int i = 0; i < 20; i++) {
        struct pst_http_response *r = NULL;
        struct pst_err e;
        char to[128];
        snprintf(to, sizeof to, "%s/many", fake_http_url(server));
        if (pst_http_do(client, &(struct pst_http_request){.url = to}, &r, &e) == PST_OK)
            m->good++;
        pst_http_response_free(r);
    }
    return NULL;
}

static void test_threads(void **state)
{
    struct many m[8] = {0};

    fake_http_on(server, NULL, -1, 200, "", "x");
    for (size_t i = 0; i < PST_ARRAY_N(m); i++)
        pthread_create(&m[i].thread, NULL, run_many, &m[i]);
    for (size_t i = 0; i < PST_ARRAY_N(m); i++) {
        pthread_join(m[i].thread, NULL);
        assert_int_equal(m[i].good, 20);
    }
    assert_true(fake_http_last(server)->connection <= 8);
}

static void test_no_memory(void **state)
{
    int rc;
    struct pst_http *h = NULL;

    assert_survives_no_memory(
        rc, rc = pst_http_new(&h, &(struct pst_http_opts){.ca_file = "/dev/null"}, &err));
    pst_http_free(h);

    fake_http_on(server, NULL, -1, 200, "A: b\r\n", "x");
    auto_secret struct pst_secret token = {0};
    assert_ok(pst_secret_set(&token, "s3cret", 6, &err), err);
    struct pst_http_request req = {.url = url("/"), .bearer = &token};
    struct pst_http_response *r = NULL;
    assert_survives_no_memory(rc, rc = pst_http_do(client, &req, &r, &err));
    assert_int_equal(pst_http_status(r), 200);
    pst_http_response_free(r);
}

#define CASE(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(test_get),
        CASE(test_methods),
        CASE(test_empty_and_large_posts),
        CASE(test_headers_and_bearer),
        CASE(test_requests_that_are_refused),
        CASE(test_redirects_are_answers),
        CASE(test_connections_are_used_again),
        CASE(test_closed_connections_are_replaced),
        CASE(test_body_limits),
        CASE(test_broken_answers),
        CASE(test_timeout),
        CASE(test_cancel),
        CASE(test_connect_to_and_unix),
        CASE(test_gate),
        CASE(test_no_proxy_of_the_environment),
        CASE(test_opts),
        CASE(test_nobody_there),
        CASE(test_threads),
        CASE(test_no_memory),
    };
    return cmocka_run_group_tests_name("http", tests, NULL, NULL);
}
