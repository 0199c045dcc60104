/* text_test.c - numbers, encodings, times. */
#include "pst_test.h"

#include <stdlib.h>

#include <postern/buf.h>
#include <postern/text.h>

static void a_text_is_cut_between_characters(void **state)
{
    char to[6];

    pst_str_cut(to, sizeof to, "abc");
    assert_string_equal(to, "abc");
    pst_str_cut(to, sizeof to, "abcdefgh");
    assert_string_equal(to, "abcde");
    pst_str_cut(to, sizeof to, "abcd\u00e9");
    assert_string_equal(to, "abcd");
    pst_str_cut(to, sizeof to, "abc\u00e9");
    assert_string_equal(to, "abc\u00e9");
    pst_str_cut(to, 1, "abc");
    assert_string_equal(to, "");
}

static void compares(void **st)
{
    (void)st;
    assert_true(pst_streq("a", "a"));
    assert_false(pst_streq("a", "b"));
    assert_false(pst_streq("a", NULL));
    assert_true(pst_streq(NULL, NULL));
    assert_true(pst_strcaseeq("Retry-After", "retry-AFTER"));
    assert_false(pst_strcaseeq("a", "ab"));
    assert_false(pst_strcaseeq("[", "{")); /* differ by the case bit only */
    assert_false(pst_strcaseeq(NULL, ""));
    assert_true(pst_strcaseeq(NULL, NULL));
    assert_true(pst_str_starts("abc", "ab"));
    assert_true(pst_str_starts("abc", ""));
    assert_false(pst_str_starts("a", "ab"));
    assert_true(pst_str_ends("abc", "bc"));
    assert_false(pst_str_ends("c", "bc"));
    assert_true(pst_equal_ct("abc", "abd", 2));
    assert_false(pst_equal_ct("abc", "abd", 3));
    assert_false(pst_equal_ct("\x80", "\0", 1));
    assert_true(pst_equal_ct("", "", 0));
}

static void copies_or_refuses(void **st)
{
    char to[4] = "old";

    (void)st;
    assert_true(pst_str_copy(to, sizeof to, "abc"));
    assert_string_equal(to, "abc");
    assert_false(pst_str_copy(to, sizeof to, "abcd"));
    assert_string_equal(to, "");
    assert_false(pst_str_copy(to, sizeof to, NULL));
    assert_false(pst_str_copy(NULL, 0, "a"));

    char mixed[] = "A\xC3\x9Cz-[Z";
    pst_str_lower(mixed);
    assert_string_equal(mixed, "a\xC3\x9Cz-[z");

    char wiped[8] = "secret";
    pst_wipe(wiped, sizeof wiped);
    assert_memory_equal(wiped, "\0\0\0\0\0\0\0\0", 8);
    pst_wipe(NULL, 0);
}

static void parses_numbers(void **st)
{
    static const struct {
        const char *text;
        bool ok;
        int64_t value;
    } rows[] = {
        {"0", true, 0},
        {"-0", true, 0},
        {"007", true, 7},
        {"9223372036854775807", true, INT64_MAX},
        {"-9223372036854775808", true, INT64_MIN},
        {"9223372036854775808", false, 0},
        {"-9223372036854775809", false, 0},
        {"99999999999999999999999", false, 0},
        {"", false, 0},
        {"-", false, 0},
        {"+1", false, 0},
        {" 1", false, 0},
        {"1 ", false, 0},
        {"1.0", false, 0},
        {"0x1", false, 0},
        {"--1", false, 0},
    };
    int64_t v;

    (void)st;
    for (size_t i = 0; i < PST_ARRAY_N(rows); i++) {
        v = 42;
        assert_int_equal(pst_parse_i64(rows[i].text, INT64_MIN, INT64_MAX, &v), rows[i].ok);
        assert_true(v == (rows[i].ok ? rows[i].value : 42));
    }
    assert_false(pst_parse_i64(NULL, 0, 1, &v));
    assert_true(pst_parse_i64("5", 5, 5, &v));
    assert_false(pst_parse_i64("4", 5, 5, &v));
    assert_false(pst_parse_i64("6", 5, 5, &v));
}

static void checks_utf8(void **st)
{
    static const struct {
        const char *text;
        bool ok;
    } rows[] = {
        {"", true},
        {"plain \x7f", true},
        {"\xC2\x80\xDF\xBF", true},
        {"\xE0\xA0\x80\xED\x9F\xBF\xEE\x80\x80\xEF\xBF\xBF", true},
        {"\xF0\x90\x80\x80\xF4\x8F\xBF\xBF", true},
        {"\x80", false},
        {"\xC0\x80", false},         /* NUL in two bytes */
        {"\xC1\xBF", false},         /* over-long */
        {"\xE0\x9F\xBF", false},     /* over-long */
        {"\xF0\x8F\xBF\xBF", false}, /* over-long */
        {"\xED\xA0\x80", false},     /* surrogate */
        {"\xF4\x90\x80\x80", false}, /* over U+10FFFF */
        {"\xF5\x80\x80\x80", false},
        {"\xE2\x82", false}, /* cut */
        {"\xE2\x82 ", false},
        {"\xF0\x9F\x98", false},
    };

    (void)st;
    for (size_t i = 0; i < PST_ARRAY_N(rows); i++)
        assert_int_equal(pst_utf8_ok(rows[i].text, strlen(rows[i].text)), rows[i].ok);
    assert_false(pst_utf8_ok("a\0b", 3));
}

static void hex_both_ways(void **st)
{
    char text[9];
    unsigned char bytes[4];

    (void)st;
    pst_hex(text, "\x00\xAB\x10\xFF", 4);
    assert_string_equal(text, "00ab10ff");
    assert_true(pst_unhex(bytes, 4, "00Ab10fF"));
    assert_memory_equal(bytes, "\x00\xAB\x10\xFF", 4);
    assert_false(pst_unhex(bytes, 4, "00ab10f"));
    assert_false(pst_unhex(bytes, 4, "00ab10ff0"));
    assert_false(pst_unhex(bytes, 4, "00ab10fg"));
    assert_false(pst_unhex(bytes, 4, "00 b10ff"));
    assert_false(pst_unhex(bytes, 1, ""));
    assert_true(pst_unhex(bytes, 0, ""));
    pst_hex(text, "", 0);
    assert_string_equal(text, "");
}

/* The vectors of RFC 4648 section 10. */
static void base64_vectors(void **st)
{
    static const char *const rows[][3] = {
        {"", "", ""},
        {"f", "Zg==", "Zg"},
        {"fo", "Zm8=", "Zm8"},
        {"foo", "Zm9v", "Zm9v"},
        {"foob", "Zm9vYg==", "Zm9vYg"},
        {"fooba", "Zm9vYmE=", "Zm9vYmE"},
        {"foobar", "Zm9vYmFy", "Zm9vYmFy"},
        {"\xFB\xFF\xFE", "+//+", "-__-"},
    };

    (void)st;
    for (size_t i = 0; i < PST_ARRAY_N(rows); i++) {
        auto_buf struct pst_buf a = PST_BUF(64);
        auto_buf struct pst_buf b = PST_BUF(64);
        auto_buf struct pst_buf c = PST_BUF(64);
        auto_buf struct pst_buf d = PST_BUF(64);

        pst_b64_add(&a, rows[i][0], strlen(rows[i][0]));
        assert_string_equal(pst_buf_cstr(&a), rows[i][1]);
        pst_b64url_add(&b, rows[i][0], strlen(rows[i][0]));
        assert_string_equal(pst_buf_cstr(&b), rows[i][2]);
        assert_true(pst_b64_decode(&c, rows[i][1], strlen(rows[i][1])));
        assert_string_equal(pst_buf_cstr(&c), rows[i][0]);
        assert_true(pst_b64url_decode(&d, rows[i][2], strlen(rows[i][2])));
        assert_string_equal(pst_buf_cstr(&d), rows[i][0]);
    }
}

static void base64_is_strict(void **st)
{
    static const char *const bad[] = {
        "Zg",   "Zg=",  "Zg===",    "Zh==",  "Zm9=", "Zm9v\n",   "Zm 9v",      "=",
        "====", "Z===", "Zg==Zg==", "Zm9v=", "Zm9-", "Zm9v====", "\xC3\xA9==", "A=AA"};
    static const char *const bad_url[] = {
        "Zg==", "Z", "Zh", "Zm9", "Zm8=", "Zm9+", "Zm9/", "Zm9v\n", "Zm9vY"};

    (void)st;
    for (size_t i = 0; i < PST_ARRAY_N(bad); i++) {
        auto_buf struct pst_buf b = PST_BUF(64);
        if (pst_b64_decode(&b, bad[i], strlen(bad[i])))
            fail_msg("%s was taken", bad[i]);
    }
    for (size_t i = 0; i < PST_ARRAY_N(bad_url); i++) {
        auto_buf struct pst_buf b = PST_BUF(64);
        if (pst_b64url_decode(&b, bad_url[i], strlen(bad_url[i])))
            fail_msg("%s was taken", bad_url[i]);
    }
    auto_buf struct pst_buf small = PST_BUF(2);
    assert_false(pst_b64_decode(&small, "Zm9v", 4)); /* a part is not taken for the whole */
    assert_int_equal(pst_buf_check(&small, "x", NULL), PST_EINPUT);
    auto_buf struct pst_buf nul = PST_BUF(8);
    assert_false(pst_b64_decode(&nul, "Zm\0v", 4));
}

static void formats_times(void **st)
{
    static const struct {
        int64_t ms;
        const char *text;
    } rows[] = {
        {0, "1970-01-01T00:00:00.000Z"},
        {951782400000, "2000-02-29T00:00:00.000Z"},
        {951868799999, "2000-02-29T23:59:59.999Z"},
        {1795186800000, "2026-11-20T15:00:00.000Z"},
        {4107542400000, "2100-03-01T00:00:00.000Z"}, /* 2100 is no leap year */
        {253402300799999, "9999-12-31T23:59:59.999Z"},
        {253402300800000, "9999-12-31T23:59:59.999Z"},
        {-1, "1970-01-01T00:00:00.000Z"},
    };
    char to[PST_TIME_SIZE];

    (void)st;
    for (size_t i = 0; i < PST_ARRAY_N(rows); i++) {
        pst_time_format(to, rows[i].ms);
        assert_string_equal(to, rows[i].text);
    }
}

static void times_read_back(void **st)
{
    char to[PST_TIME_SIZE];
    int64_t back;

    (void)st;
    for (int64_t ms = 0; ms <= INT64_C(253402300799999); ms += INT64_C(86400000) * 17 + 12345678) {
        pst_time_format(to, ms);
        assert_true(pst_time_parse(to, &back));
        assert_true(back == ms);
    }
}

static void parses_times(void **st)
{
    static const struct {
        const char *text;
        int64_t ms; /* -1: refused */
    } rows[] = {
        {"1970-01-01T00:00:00Z", 0},
        {"1970-01-01t00:00:00z", 0},
        {"2026-11-20T15:00:00.5Z", 1795186800500},
        {"2026-11-20T15:00:00.1239999Z", 1795186800123},
        {"2026-11-20T17:00:00+02:00", 1795186800000},
        {"2026-11-20T09:30:00.000-05:30", 1795186800000},
        {"2026-11-20T15:00:00-00:00", 1795186800000},
        {"2016-12-31T23:59:60Z", 1483228800000},
        {"2017-01-01T00:59:60+01:00", 1483228800000},
        {"2000-02-29T00:00:00Z", 951782400000},
        {"9999-12-31T23:59:59.999Z", 253402300799999},
        {"9999-12-31T23:59:60Z", -1},
        {"2016-12-31T22:59:60Z", -1},
        {"2026-02-29T00:00:00Z", -1},
        {"2100-02-29T00:00:00Z", -1},
        {"2026-00-01T00:00:00Z", -1},
        {"2026-13-01T00:00:00Z", -1},
        {"2026-01-00T00:00:00Z", -1},
        {"2026-04-31T00:00:00Z", -1},
        {"2026-01-01T24:00:00Z", -1},
        {"2026-01-01T00:60:00Z", -1},
        {"2026-01-01T00:00:61Z", -1},
        {"2026-01-01 00:00:00Z", -1},
        {"2026-01-01T00:00:00", -1},
        {"2026-01-01T00:00:00.Z", -1},
        {"2026-01-01T00:00:00Zx", -1},
        {"2026-01-01T00:00:00+0100", -1},
        {"2026-01-01T00:00:00+24:00", -1},
        {"2026-01-01T00:00:00+01:60", -1},
        {"2026-01-01T00:00:00+01:00 ", -1},
        {"2026-1-1T00:00:00Z", -1},
        {"1969-12-31T23:59:59Z", -1},
        {"1970-01-01T00:00:00+00:01", -1},
        {"1969-12-31T23:59:59-00:01", 59000},
        {"0000-01-01T00:00:00Z", -1},
        {"+026-01-01T00:00:00Z", -1},
        {"2026-01-01", -1},
        {"", -1},
    };

    (void)st;
    for (size_t i = 0; i < PST_ARRAY_N(rows); i++) {
        int64_t ms = 42;
        bool ok = pst_time_parse(rows[i].text, &ms);

        if (ok != (rows[i].ms >= 0) || ms != (ok ? rows[i].ms : 42))
            fail_msg("%s: %lld", rows[i].text, (long long)ms);
    }
    int64_t ms;
    assert_false(pst_time_parse(NULL, &ms));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_text_is_cut_between_characters),
        cmocka_unit_test(compares),
        cmocka_unit_test(copies_or_refuses),
        cmocka_unit_test(parses_numbers),
        cmocka_unit_test(checks_utf8),
        cmocka_unit_test(hex_both_ways),
        cmocka_unit_test(base64_vectors),
        cmocka_unit_test(base64_is_strict),
        cmocka_unit_test(formats_times),
        cmocka_unit_test(times_read_back),
        cmocka_unit_test(parses_times),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
