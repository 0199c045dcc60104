/* log_test.c - levels, the two formats, and that nothing from outside can forge a line. */
#include "pst_test.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include <postern/err.h>
#include <postern/log.h>
#include <postern/text.h>

static int log_file;
static char line[20000];

/* What was logged since the last call, without the time in front. */
static const char *logged(void)
{
    ssize_t n = pread(log_file, line, sizeof line - 1, 0);

    assert_true(n >= 0);
    line[n] = '\0';
    assert_int_equal(ftruncate(log_file, 0), 0);
    assert_int_equal(lseek(log_file, 0, SEEK_SET), 0);
    if (line[0] == '\0' || line[0] == '{')
        return line;

    int64_t when;
    char *blank = strchr(line, ' ');
    assert_non_null(blank);
    *blank = '\0';
    assert_true(pst_time_parse(line, &when));
    return blank + 1;
}

static int set_up(void **st)
{
    (void)st;
    log_file = memfd_create("log", MFD_CLOEXEC);
    pst_log_set_fd(log_file);
    pst_log_set_json(false);
    return pst_log_set_levels("info", NULL);
}

static int tear_down(void **st)
{
    (void)st;
    pst_log_set_fd(2);
    close(log_file);
    return 0;
}

static void text_lines(void **st)
{
    (void)st;
    pst_log_info("order", "step done", pst_kv_s("order", "6741"), pst_kv_i("took_ms", -12),
                 pst_kv_b("ok", true), pst_kv_b("late", false), pst_kv_s("none", NULL),
                 pst_kv_secret("token", "hush"));
    assert_string_equal(logged(), "info order: step done order=6741 took_ms=-12 ok=true "
                                  "late=false none=- token=***\n");
    pst_log_warn("a", "no fields");
    assert_string_equal(logged(), "warn a: no fields\n");
}

static void json_lines(void **st)
{
    (void)st;
    pst_log_set_json(true);
    pst_log_error("order", "a \"b\"", pst_kv_s("text", "x\\y\n\t\x01z"), pst_kv_i("n", INT64_MIN),
                  pst_kv_b("ok", false), pst_kv_s("none", NULL), pst_kv_secret("token", "hush"));
    const char *l = logged();
    assert_true(pst_str_starts(l, "{\"time\":\"2"));
    assert_true(pst_str_ends(l,
                             "Z\",\"level\":\"error\",\"group\":\"order\",\"msg\":\"a \\\"b\\\"\","
                             "\"text\":\"x\\\\y\\n\\u0009\\u0001z\",\"n\":-9223372036854775808,"
                             "\"ok\":false,\"none\":null,\"token\":\"***\"}\n"));
}

static void values_are_quoted_where_needed(void **st)
{
    static const struct {
        const char *value, *text;
    } rows[] = {
        {"plain-1.2/3:4", "plain-1.2/3:4"},
        {"", "\"\""},
        {"-", "\"-\""},
        {"two words", "\"two words\""},
        {"a=b", "\"a=b\""},
        {"a\"b", "\"a\\\"b\""},
        {"a\\b", "\"a\\\\b\""},
        {"h\xC3\xA9", "\"h\xC3\xA9\""},
        {"a\nb", "\"a\\nb\""},
        {"a\rb\x1B[31m\x7F", "\"a\\u000db\\u001b[31m\\u007f\""},
        {"bad\xFF\xC3", "\"bad\\xff\\xc3\""},
        {"\xC2\x9B"
         "31m",
         "\"\\u009b31m\""},                         /* a control sequence in one char */
        {"a\xE2\x80\xAEz", "\"a\\u202ez\""},        /* right-to-left override */
        {"a\xE2\x80\xA8z", "\"a\\u2028z\""},        /* line separator */
        {"\xF3\xA0\x80\xA1", "\"\\udb40\\udc21\""}, /* invisible tag letter */
        {"\xF0\x9F\x98\x80", "\"\xF0\x9F\x98\x80\""},
    };
    char wanted[128];

    (void)st;
    for (size_t i = 0; i < PST_ARRAY_N(rows); i++) {
        pst_log_info("g", "m", pst_kv_s("k", rows[i].value));
        snprintf(wanted, sizeof wanted, "info g: m k=%s\n", rows[i].text);
        assert_string_equal(logged(), wanted);
    }
}

static void no_line_is_forged(void **st)
{
    static const char evil[] = "x\n2026-11-20T15:00:00.000Z info order: step done order=1";

    (void)st;
    for (int json = 0; json <= 1; json++) {
        pst_log_set_json(json);
        pst_log_info(evil, evil, pst_kv_s("name", evil));
        const char *l = logged();
        assert_ptr_equal(strchr(l, '\n'), l + strlen(l) - 1);
    }
}

/* Quotes come in pairs (escaped ones aside) and the braces close: enough to see a cut in a string.
 */
static void assert_whole_json(const char *l)
{
    bool in_string = false;

    assert_true(l[0] == '{' && pst_str_ends(l, "}\n"));
    for (const char *s = l; *s; s++) {
        if (*s == '\\') {
            assert_true(in_string && s[1] && strchr("\"\\nu", s[1]));
            s++;
        } else if (*s == '"') {
            in_string = !in_string;
        }
    }
    assert_false(in_string);
}

static void long_lines_are_cut(void **st)
{
    static const char *const units[] = {"a",  "\n",   "\xC3\xA9",        "\xF0\x9F\x98\x80",
                                        "\"", "\xFF", "\xF3\xA0\x80\xA1"};
    char value[10000];

    (void)st;
    for (size_t u = 0; u < PST_ARRAY_N(units); u++) {
        for (size_t shift = 0; shift < 8; shift++) {
            size_t len = strlen(units[u]);
            memset(value, 'p', shift);
            size_t at = shift;
            for (; at + len < 6000; at += len)
                memcpy(value + at, units[u], len);
            value[at] = '\0';

            pst_log_set_json(true);
            pst_log_info("g", "m", pst_kv_s("k", value), pst_kv_s("after", "x"));
            const char *l = logged();
            assert_true(strlen(l) <= 4096 && strlen(l) > 4000);
            assert_whole_json(l);
            assert_true(pst_utf8_ok(l, strlen(l)));
            assert_true(pst_str_ends(l, "\",\"cut\":true}\n"));
            assert_null(strstr(l, "after"));

            pst_log_set_json(false);
            pst_log_info("g", "m", pst_kv_s("k", value), pst_kv_s("after", "x"));
            l = logged();
            assert_true(strlen(l) <= 4096 && pst_utf8_ok(l, strlen(l)));
            assert_true(pst_str_ends(l, "...\n"));
        }
    }
}

/* A line that is full where a key, a number or a flag should go. */
static void cuts_anywhere_are_whole(void **st)
{
    char value[4200];

    (void)st;
    pst_log_set_json(true);
    for (size_t len = 3800; len < 4150; len++) {
        memset(value, 'v', len);
        value[len] = '\0';
        pst_log_info("g", "m", pst_kv_s("k", value), pst_kv_i("number", INT64_MIN),
                     pst_kv_b("flag", false), pst_kv_secret("secret", ""), pst_kv_s("none", NULL));
        const char *l = logged();
        assert_true(strlen(l) <= 4096);
        assert_whole_json(l);
        assert_null(strstr(l, ":,"));
        assert_null(strstr(l, ":}"));
    }
}

static void levels_choose(void **st)
{
    struct pst_err err = {0};

    (void)st;
    pst_log_debug("order", "hidden");
    assert_string_equal(logged(), "");
    assert_ok(pst_log_set_levels("warn,order=debug,acme=error", &err), err);
    pst_log_debug("order", "seen");
    assert_string_equal(logged(), "debug order: seen\n");
    pst_log_info("api", "hidden");
    pst_log_warn("acme", "hidden");
    assert_string_equal(logged(), "");
    assert_true(pst_log_on(PST_LOG_ERROR, "acme"));
    assert_true(pst_log_on(PST_LOG_WARN, "api"));
    assert_false(pst_log_on(PST_LOG_INFO, "api"));

    assert_ok(pst_log_set_levels("order=debug", &err), err); /* the rest is info */
    assert_true(pst_log_on(PST_LOG_INFO, "acme"));
    assert_false(pst_log_on(PST_LOG_DEBUG, "acme"));
}

static void bad_levels_change_nothing(void **st)
{
    static const char *const bad[] = {"",
                                      "loud",
                                      "info,",
                                      ",info",
                                      "Info",
                                      "info,warn",
                                      "order=",
                                      "=debug",
                                      "order",
                                      "a=info,a=info",
                                      "info debug",
                                      "order=loud",
                                      "a_group_of_16_by=info"};
    char many[1024] = "info";
    struct pst_err err = {0};

    (void)st;
    assert_ok(pst_log_set_levels("error", &err), err);
    for (size_t i = 0; i < PST_ARRAY_N(bad); i++)
        assert_rc(pst_log_set_levels(bad[i], &err), PST_ECONFIG, err);
    for (int i = 0; i < 33; i++)
        snprintf(many + strlen(many), sizeof many - strlen(many), ",g%d=info", i);
    assert_rc(pst_log_set_levels(many, &err), PST_ECONFIG, err);
    assert_ok(pst_log_check_levels("debug", &err), err);
    assert_false(pst_log_on(PST_LOG_WARN, "g"));
}

static void faults_tell_their_origin(void **st)
{
    struct pst_err err = {0};

    (void)st;
    pst_fail(&err, PST_EREMOTE, "the CA said \"no\"");
    pst_err_problem(&err, "urn:ietf:params:acme:error:caa");
    pst_log_err("order", "step failed", &err, pst_kv_s("order", "1"));
    const char *l = logged();
    assert_true(pst_str_starts(l, "error order: step failed order=1 "
                                  "err=\"the CA said \\\"no\\\"\" code=EREMOTE "
                                  "problem=urn:ietf:params:acme:error:caa "
                                  "at=src/base/log_test.c:"));
    pst_log_err("order", "no details", NULL);
    assert_string_equal(logged(), "error order: no details\n");
    errno = EDOM;
    pst_log_err("order", "x", &err);
    pst_log_info("order", "x");
    assert_int_equal(errno, EDOM);
}

int main(void)
{
#define with_file(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        with_file(text_lines),
        with_file(json_lines),
        with_file(values_are_quoted_where_needed),
        with_file(no_line_is_forged),
        with_file(long_lines_are_cut),
        with_file(cuts_anywhere_are_whole),
        with_file(levels_choose),
        with_file(bad_levels_change_nothing),
        with_file(faults_tell_their_origin),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
