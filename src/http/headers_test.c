/* headers_test.c - the head of an answer, dates, Retry-After, Link. */
#include "pst_test.h"

#include <postern/buf.h>

#include "http_internal.h"

enum { NOW = 1784646000 }; /* 2026-07-21T15:00:00Z, a Tuesday */

static bool feed(struct pst_http_response *r, const char *line, const char **why)
{
    return pst_http_head_line(r, line, strlen(line), why);
}

static void test_head(void **state)
{
    struct pst_http_response r = {.headers = PST_BUF(1000)};
    const char *why = NULL;

    assert_true(feed(&r, "HTTP/1.1 100 Continue\r\n", &why));
    assert_true(feed(&r, "X-Early: 1\r\n", &why));
    assert_true(feed(&r, "\r\n", &why));
    assert_true(feed(&r, "HTTP/2 201\r\n", &why));
    assert_true(feed(&r, "link: <a>;rel=x\r\n", &why));
    assert_true(feed(&r, "Link:<b>;rel=x \t\r\n", &why));
    assert_true(feed(&r, "Empty:\r\n", &why));
    assert_true(feed(&r, "\r\n", &why));
    assert_true(feed(&r, "Link: <trailer>;rel=x\r\n", &why));

    assert_int_equal(pst_http_status(&r), 201);
    assert_null(pst_http_header(&r, "X-Early", 0));
    assert_string_equal(pst_http_header(&r, "LINK", 0), "<a>;rel=x");
    assert_string_equal(pst_http_header(&r, "Link", 1), "<b>;rel=x");
    assert_null(pst_http_header(&r, "Link", 2));
    assert_string_equal(pst_http_header(&r, "empty", 0), "");
    assert_null(pst_http_header(&r, "Lin", 0));
    pst_buf_deinit(&r.headers);
}

static void test_bad_heads(void **state)
{
    static const char *const bad[] = {
        "HTTP/1.1\r\n", "HTTP/1.1 2x0 OK\r\n", "HTTP/1.1 20\r\n",
        "no colon\r\n", ": no name\r\n",       " folded: x\r\n",
    };

    for (size_t i = 0; i < PST_ARRAY_N(bad); i++) {
        struct pst_http_response r = {.headers = PST_BUF(1000)};
        const char *why = NULL;
        if (feed(&r, bad[i], &why))
            fail_msg("taken: %s", bad[i]);
        assert_non_null(why);
        pst_buf_deinit(&r.headers);
    }

    struct pst_http_response r = {.headers = PST_BUF(100)};
    const char *why = NULL;
    assert_false(pst_http_head_line(&r, "a\0b: c\r\n", 8, &why));
    for (int i = 0; i < 20 && feed(&r, "Some-Header: some value\r\n", &why); i++)
        ;
    assert_string_equal(why, "the headers are longer than allowed");
    pst_buf_deinit(&r.headers);

    struct pst_http_response many = {.headers = PST_BUF(100000)};
    why = NULL;
    for (int i = 0; i < 1000 && feed(&many, "a:b\r\n", &why); i++)
        ;
    assert_string_equal(why, "too many headers");
    pst_buf_deinit(&many.headers);
}

static void test_content_type(void **state)
{
    static const struct {
        const char *line;
        bool json;
    } cases[] = {
        {"Content-Type: application/json\r\n", true},
        {"content-type: Application/JSON ; charset=utf-8\r\n", true},
        {"Content-Type: application/json;charset=utf-8\r\n", true},
        {"Content-Type: application/json+x\r\n", false},
        {"Content-Type: text/html\r\n", false},
        {"Content-Typ: application/json\r\n", false},
    };

    for (size_t i = 0; i < PST_ARRAY_N(cases); i++) {
        struct pst_http_response r = {.headers = PST_BUF(1000)};
        const char *why = NULL;
        assert_true(feed(&r, cases[i].line, &why));
        assert_int_equal(pst_http_is_type(&r, "application/json"), cases[i].json);
        pst_buf_deinit(&r.headers);
    }
}

static void test_dates(void **state)
{
    static const struct {
        const char *text;
        int64_t at; /* -1: refused */
    } cases[] = {
        {"Sun, 06 Nov 1994 08:49:37 GMT", 784111777},
        {"Sunday, 06-Nov-94 08:49:37 GMT", 784111777},
        {"Sun Nov  6 08:49:37 1994", 784111777},
        {"Tue, 21 Jul 2026 15:00:00 GMT", NOW},
        {"Tuesday, 21-Jul-26 15:00:00 GMT", NOW},
        {"Tue Jul 21 15:00:00 2026", NOW},
        {"Sat, 31 Dec 2016 23:59:60 GMT", 1483228799},
        {"Tue, 21 Jul 2026 15:00:00 +0000", -1},
        {"Tue, 21 Jul 2026 15:00:00 GMT ", -1},
        {"Tue, 31 Feb 2026 15:00:00 GMT", -1},
        {"Tue, 21 Jul 2026 24:00:00 GMT", -1},
        {"Tue, 21 Jux 2026 15:00:00 GMT", -1},
        {"Tue, 21 Ju", -1},
        {"21 Jul 2026 15:00:00 GMT", -1},
        {"Tue,", -1},
        {"tomorrow", -1},
        {"", -1},
        {NULL, -1},
    };

    for (size_t i = 0; i < PST_ARRAY_N(cases); i++) {
        int64_t at = -1;
        bool ok = pst_http_date_parse(cases[i].text, &at);
        if (ok != (cases[i].at >= 0) || at != cases[i].at)
            fail_msg("\"%s\" gave %lld", cases[i].text ? cases[i].text : "-", (long long)at);
    }
}

static void test_retry_after(void **state)
{
    static const struct {
        const char *value;
        int64_t s; /* with 77 as default */
    } cases[] = {
        {"3", 3},
        {"0", 1},
        {"86400", 86400},
        {"86401", 86400},
        {"2147483647", 86400},
        {"99999999999999999999", 77},
        {"-1", 77},
        {"+5", 77},
        {"1.5", 77},
        {"soon", 77},
        {"", 77},
        {"Tue, 21 Jul 2026 15:00:30 GMT", 30},
        {"Tue, 21 Jul 2026 15:00:00 GMT", 1},
        {"Tue, 21 Jul 2026 14:59:59 GMT", 77},
        {"Sat, 21 Jul 2096 15:00:00 GMT", 86400},
    };

    for (size_t i = 0; i < PST_ARRAY_N(cases); i++) {
        struct pst_http_response r = {.headers = PST_BUF(1000), .headers_n = 1};
        pst_buf_printf(&r.headers, "retry-after%c%s%c", 0, cases[i].value, 0);
        int64_t s = pst_http_retry_after(&r, NOW, 77);
        if (s != cases[i].s)
            fail_msg("\"%s\" gave %lld", cases[i].value, (long long)s);
        pst_buf_deinit(&r.headers);
    }
    struct pst_http_response none = {.headers = PST_BUF(10)};
    assert_int_equal(pst_http_retry_after(&none, NOW, 0), 0);
}

static void test_links(void **state)
{
    static const struct {
        const char *value;
        size_t i;
        const char *target; /* of the i-th rel="alternate"; NULL: none */
    } cases[] = {
        {"<https://ca/1>;rel=\"alternate\"", 0, "https://ca/1"},
        {"<https://ca/1>;rel=\"alternate\"", 1, NULL},
        {"<https://ca/1>; rel=alternate", 0, "https://ca/1"},
        {"<https://ca/1> ; REL = \"Alternate\"", 0, "https://ca/1"},
        {"<u>;rel=\"up alternate index\"", 0, "u"},
        {"<u>;rel=\"alternates\"", 0, NULL},
        {"<u>;rel=up,<a>;rel=alternate , <b>; rel=alternate", 0, "a"},
        {"<u>;rel=up,<a>;rel=alternate , <b>; rel=alternate", 1, "b"},
        {"<u>;rel=up,<a>;rel=alternate , <b>; rel=alternate", 2, NULL},
        {"<a,b;c>;rel=alternate", 0, "a,b;c"},
        {"<a>;title=\"x, <b>; rel=alternate\";rel=up, <c>;rel=alternate", 0, "c"},
        {"<a>;title=\"say \\\"hi\\\"\";rel=alternate", 0, "a"},
        {"<a>;rel=up;rel=alternate", 0, NULL},
        {"<a>;rel=alternate;anchor=\"#x\"", 0, NULL},
        {"<a>;;rel=alternate;", 0, "a"},
        {"<a>;crossorigin;rel=alternate", 0, "a"},
        {", ,<a>;rel=alternate", 0, "a"},
        {"<>;rel=alternate", 0, ""},
        {"<a;rel=alternate", 0, NULL},
        {"a;rel=alternate", 0, NULL},
        {"<a>;rel=\"alternate", 0, NULL},
        {"<a>;=alternate", 0, NULL},
        {"<a> rel=alternate", 0, NULL},
        {"", 0, NULL},
    };

    for (size_t k = 0; k < PST_ARRAY_N(cases); k++) {
        const char *to = NULL;
        size_t i = cases[k].i, len = 0;
        bool ok = pst_http_link_find(cases[k].value, "alternate", &i, &to, &len);
        if (ok != (cases[k].target != NULL))
            fail_msg("%s, %zu: %s", cases[k].value, cases[k].i, ok ? "found" : "not found");
        if (ok) {
            assert_int_equal(len, strlen(cases[k].target));
            assert_memory_equal(to, cases[k].target, len);
        }
    }
}

static void test_links_of_several_headers(void **state)
{
    struct pst_http_response r = {.headers = PST_BUF(1000), .headers_n = 4};
    char to[16];

    pst_buf_printf(&r.headers, "Link%c<a>;rel=alternate,<b>;rel=alternate%c", 0, 0);
    pst_buf_printf(&r.headers, "X%cy%c", 0, 0);
    pst_buf_printf(&r.headers, "link%c<u>;rel=up%c", 0, 0);
    pst_buf_printf(&r.headers, "LINK%c<c>;rel=alternate,<much-too-long-here>;rel=alternate%c", 0,
                   0);
    assert_true(pst_http_link(&r, "alternate", 0, to, sizeof to));
    assert_string_equal(to, "a");
    assert_true(pst_http_link(&r, "alternate", 1, to, sizeof to));
    assert_string_equal(to, "b");
    assert_true(pst_http_link(&r, "alternate", 2, to, sizeof to));
    assert_string_equal(to, "c");
    assert_false(pst_http_link(&r, "alternate", 3, to, sizeof to));
    assert_false(pst_http_link(&r, "alternate", 4, to, sizeof to));
    assert_true(pst_http_link(&r, "up", 0, to, sizeof to));
    assert_string_equal(to, "u");
    pst_buf_deinit(&r.headers);
}

static void test_urls(void **state)
{
    static const struct {
        const char *url;
        const char *host; /* NULL: refused */
        uint16_t port;
        bool loopback;
    } cases[] = {
        {"https://ca.example/dir", "ca.example", 443, false},
        {"https://CA.Example:14000", "ca.example", 14000, false},
        {"http://localhost/x?y=z", "localhost", 80, true},
        {"http://127.9.9.9:8080/", "127.9.9.9", 8080, true},
        {"http://2130706433/", "127.0.0.1", 80, true},
        {"http://[::1]:81/", "::1", 81, true},
        {"http://[2001:db8::1]/", "2001:db8::1", 80, false},
        {"http://localhost.evil.example/", "localhost.evil.example", 80, false},
        {"ftp://ca.example/", NULL, 0, false},
        {"file:///etc/passwd", NULL, 0, false},
        {"ca.example/dir", NULL, 0, false},
        {"https://", NULL, 0, false},
        {"https:///dir", NULL, 0, false},
        {"https://user@ca.example/", NULL, 0, false},
        {"https://user:pw@ca.example/", NULL, 0, false},
        {"https://ca.example/#frag", NULL, 0, false},
        {"https://ca.example/a b", NULL, 0, false},
        {"https://ca.example/a\r\nHost: x", NULL, 0, false},
        {"https://ca.example\\@evil/", NULL, 0, false},
        {"https://c\xc3\xa4.example/", NULL, 0, false},
        {"https://ca.example:0/", NULL, 0, false},
        {"https://ca.example:65536/", NULL, 0, false},
        {"https://ca.example:4x/", NULL, 0, false},
        {"http://[fe80::1%25eth0]/", NULL, 0, false},
        {"", NULL, 0, false},
        {NULL, NULL, 0, false},
    };

    for (size_t i = 0; i < PST_ARRAY_N(cases); i++) {
        struct pst_http_url u = {0};
        struct pst_err err = {0};
        int rc = pst_http_url_parse(cases[i].url, &u, &err);
        if ((rc == PST_OK) != (cases[i].host != NULL))
            fail_msg("\"%s\": %s %s", cases[i].url, pst_rc_name(rc), err.text);
        if (rc) {
            assert_int_equal(rc, PST_EINPUT);
            continue;
        }
        assert_string_equal(u.host, cases[i].host);
        assert_int_equal(u.port, cases[i].port);
        assert_int_equal(u.loopback, cases[i].loopback);
    }
}

static void test_addresses(void **state)
{
    static const char *const good[] = {"192.0.2.1:80", "[::1]:65535", "[2001:db8::1]:443"};
    static const char *const bad[] = {
        "",       "192.0.2.1",      "192.0.2.1:",   "192.0.2.1:0", "host:80",
        "::1:80", "[::1]",          "[::1]80",      "[::1:80",     "[]:80",
        ":80",    "[192.0.2.1]:80", "192.0.2.1:80,"};

    for (size_t i = 0; i < PST_ARRAY_N(good); i++)
        assert_true(pst_http_address_ok(good[i]));
    for (size_t i = 0; i < PST_ARRAY_N(bad); i++)
        if (pst_http_address_ok(bad[i]))
            fail_msg("taken: %s", bad[i]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_head),
        cmocka_unit_test(test_bad_heads),
        cmocka_unit_test(test_content_type),
        cmocka_unit_test(test_dates),
        cmocka_unit_test(test_retry_after),
        cmocka_unit_test(test_links),
        cmocka_unit_test(test_links_of_several_headers),
        cmocka_unit_test(test_urls),
        cmocka_unit_test(test_addresses),
    };
    return cmocka_run_group_tests_name("http_headers", tests, NULL, NULL);
}
