/* name_test.c - the normal form, one row for each mistake, and the public suffix list. */
#include "pst_test.h"

#include <postern/buf.h>
#include <postern/name.h>

#define LABEL_60 "a23456789b123456789c123456789d123456789e123456789f1234567890"

static void accepts(void **st)
{
    static const struct {
        const char *in, *out;
        unsigned flags;
    } rows[] = {
        {"example.com", "example.com", 0},
        {"WWW.Example.COM", "www.example.com", 0},
        {"a-b.c--d.example.co.uk", "a-b.c--d.example.co.uk", 0},
        {"3com.com", "3com.com", 0},
        {"1.2.3.4.com", "1.2.3.4.com", 0},
        {"b\xC3\xBC"
         "cher.de",
         "xn--bcher-kva.de", 0},
        {"B\xC3\x9C"
         "CHER.de",
         "xn--bcher-kva.de", 0},
        {"bu\xCC\x88"
         "cher.de",
         "xn--bcher-kva.de", 0},               /* decomposed */
        {"fa\xC3\x9F.de", "xn--fa-hia.de", 0}, /* not fass.de: non-transitional */
        {"xn--fa-hia.de", "xn--fa-hia.de", 0},
        {"XN--BCHER-KVA.DE", "xn--bcher-kva.de", 0},
        {"\xEF\xBD\x81\xEF\xBD\x82\xE3\x80\x82"
         "com",
         "ab.com", 0}, /* full-width letters, ideographic dot */
        {"\xD0\xBF\xD1\x80\xD0\xB8\xD0\xBC\xD0\xB5\xD1\x80.\xD1\x80\xD1\x84",
         "xn--e1afmkfd.xn--p1ai", 0},
        {"*.example.com", "*.example.com", PST_NAME_WILDCARD},
        {"*.B\xC3\xBC"
         "cher.de",
         "*.xn--bcher-kva.de", PST_NAME_WILDCARD},
        {"\xC3\xAD--abc.de", "xn----abc-ysa.de", 0}, /* third and fourth byte, not character */
        {"me.github.io", "me.github.io", 0},
        {"github.io", "github.io", 0}, /* private section: its owner may */
        {"*.github.io", "*.github.io", PST_NAME_WILDCARD},
        {"city.kawasaki.jp", "city.kawasaki.jp", 0},
        {"shop.test", "shop.test", PST_NAME_ANY_TLD},
        {"*.a.shop.test", "*.a.shop.test", PST_NAME_ANY_TLD | PST_NAME_WILDCARD},
        {"a.b.c.d.e.f.g.h.example.com", "a.b.c.d.e.f.g.h.example.com", 0},
        {LABEL_60 "abc.com", LABEL_60 "abc.com", 0},
    };

    (void)st;
    for (size_t i = 0; i < PST_ARRAY_N(rows); i++) {
        char out[PST_NAME_SIZE] = "";
        struct pst_err err = {0};

        assert_ok(pst_name_parse(rows[i].in, rows[i].flags, out, &err), err);
        assert_string_equal(out, rows[i].out);
        char again[PST_NAME_SIZE];
        assert_ok(pst_name_parse(out, rows[i].flags, again, &err), err);
        assert_string_equal(again, out);
    }
}

static const struct {
    const char *in, *problem, *part;
} mistakes[] = {
    {"", "empty", "is empty"},
    {"a\xFF.com", "encoding", "not UTF-8"},
    {"https://example.com/x", "url", "only the name of the host"},
    {"example.com/x", "url", "URL"},
    {"exa mple.com", "blank", "blank"},
    {" example.com", "blank", "remove it"},
    {"example.com\n", "blank", "blank"},
    {"192.0.2.1", "ip", "IP address"},
    {"2001:db8::1", "ip", "IP address"},
    {"[2001:db8::1]", "ip", "IP address"},
    {"1.2.3", "ip", "IP address"},
    {"a.0x7f", "ip", "IP address"},
    {"\xEF\xBC\x91.\xEF\xBC\x92", "ip", "is a number"}, /* full-width 1.2 */
    {"example.com:443", "port", "port"},
    {"a_b.com", "underscore", "hyphen"},
    {"_dmarc.example.com", "underscore", "underscore"},
    {"a\xEF\xBC\xBF"
     "b.com",
     "underscore", "underscore"}, /* full-width */
    {"me@example.com", "character", "@"},
    {"ex%41mple.com", "character", "%"},
    {"a\x01.com", "character", "control"},
    {"a\x7f.com", "character", "control"},
    {"a\xE2\x84\x80.com", "character", "/"}, /* U+2100 maps to a/c */
    {"*", "wildcard", "whole first label"},
    {"*.", "wildcard", "no name behind"},
    {"a*.example.com", "wildcard", "whole first label"},
    {"*a.example.com", "wildcard", "whole first label"},
    {"a.*.example.com", "wildcard", "whole first label"},
    {"*.*.example.com", "wildcard", "whole first label"},
    {"**.example.com", "wildcard", "whole first label"},
    {"example.com.", "trailing_dot", "last dot"},
    {"example.com\xE3\x80\x82", "trailing_dot", "last dot"},
    {".", "trailing_dot", "dot"},
    {".example.com", "empty_label", "two dots"},
    {"a..example.com", "empty_label", "two dots"},
    {"*..example.com", "empty_label", "two dots"},
    {"\xE2\x80\x8B.com", "empty_label", "dot"}, /* zero-width space maps to nothing */
    {LABEL_60 "abcd.com", "label_too_long", "63 bytes"},
    {"-a.com", "hyphen", "\"-a\""},
    {"a-.com", "hyphen", "\"a-\""},
    {"a.-.com", "hyphen", "\"-\""},
    {"ab--cd.com", "label_form", "third and fourth"},
    {"xn--bcher-kv.de", "punycode", "xn-- part"},
    {"xn--.de", "hyphen", "hyphen"},
    {"xn--abc-.de", "hyphen", "hyphen"},
    {"xn--a.de", "punycode", "own script"},
    {"xn--wca.de", "punycode", "xn-- part"}, /* capital U umlaut, never a result of encoding */
    {"xn--ls8h.de", "punycode", "IDNA2008"},
    {"\xF0\x9F\x92\xA9.de", "idn", "IDNA2008"},
    {"\xD8\xA7"
     "a.de",
     "idn", "IDNA2008"}, /* right to left beside left to right */
    {"a.b.c.d.e.f.g.h.i.example.com", "labels", "more than 10"},
    {"a\xC3\xAD--bc.de", "idn", "IDNA2008"}, /* third and fourth character */
    {"localhost", "no_dot", "no dot"},
    {"shop.test", "tld", "\"test\""},
    {"shop.onion", "tld", "\"onion\""},
    {"co.uk", "public_suffix", "public suffix"},
    {"foo.ck", "public_suffix", "public suffix"},
    {"kawasaki.jp", "public_suffix", "public suffix"},
    {"*.com", "public_suffix", "everybody under com"},
    {"*.co.uk", "public_suffix", "everybody under co.uk"},
    {"*.test", "public_suffix", "everybody"},
};

static void refuses_each_mistake(void **st)
{
    (void)st;
    for (size_t i = 0; i < PST_ARRAY_N(mistakes); i++) {
        char out[PST_NAME_SIZE] = "untouched";
        struct pst_err err = {0};

        assert_rc(pst_name_parse(mistakes[i].in, PST_NAME_WILDCARD, out, &err), PST_REFUSED, err);
        assert_string_equal(err.problem, mistakes[i].problem);
        assert_err_has(err, mistakes[i].part);
        assert_string_equal(out, "untouched");
        assert_int_equal(pst_name_parse(mistakes[i].in, PST_NAME_WILDCARD, out, NULL), PST_REFUSED);
    }
}

static void flags_matter(void **st)
{
    char out[PST_NAME_SIZE];
    struct pst_err err = {0};

    (void)st;
    assert_rc(pst_name_parse("*.example.com", 0, out, &err), PST_REFUSED, err);
    assert_string_equal(err.problem, "wildcard");
    assert_err_has(err, "without *");
    assert_rc(pst_name_parse("*.test", PST_NAME_ANY_TLD | PST_NAME_WILDCARD, out, &err),
              PST_REFUSED, err);
    assert_rc(pst_name_parse("co.uk", PST_NAME_ANY_TLD, out, &err), PST_REFUSED, err);
    assert_rc(pst_name_parse("test", PST_NAME_ANY_TLD, out, &err), PST_REFUSED, err);
    assert_string_equal(err.problem, "no_dot");
}

/* A name of `len` bytes in labels of 50, ending in .com. */
static void long_name(char *to, size_t len)
{
    memset(to, 'a', len);
    for (size_t i = 50; i + 10 < len; i += 51)
        to[i] = '.';
    memcpy(to + len - 4, ".com", 5);
}

static void length_is_limited(void **st)
{
    char in[2048], out[PST_NAME_SIZE];
    struct pst_err err = {0};

    (void)st;
    long_name(in, 253);
    assert_ok(pst_name_parse(in, 0, out, &err), err);
    assert_int_equal(strlen(out), 253);
    long_name(in, 254);
    assert_rc(pst_name_parse(in, 0, out, &err), PST_REFUSED, err);
    assert_string_equal(err.problem, "too_long");

    memcpy(in, "*.", 2);
    long_name(in + 2, 251);
    assert_ok(pst_name_parse(in, PST_NAME_WILDCARD, out, &err), err);
    long_name(in + 2, 252);
    assert_rc(pst_name_parse(in, PST_NAME_WILDCARD, out, &err), PST_REFUSED, err);
    assert_string_equal(err.problem, "too_long");

    memset(in, 'a', sizeof in - 1);
    in[sizeof in - 1] = '\0';
    assert_rc(pst_name_parse(in, 0, out, &err), PST_REFUSED, err);
    assert_string_equal(err.problem, "too_long");

    /* 30 Han letters far apart become more than 63 bytes. */
    char *at = in;
    for (unsigned i = 0; i < 30; i++) {
        unsigned code = 0x4E00 + (i * 7919) % 0x4000;
        *at++ = (char)(0xE0 | code >> 12);
        *at++ = (char)(0x80 | (code >> 6 & 63));
        *at++ = (char)(0x80 | (code & 63));
    }
    memcpy(at, ".com", 5);
    assert_rc(pst_name_parse(in, 0, out, &err), PST_REFUSED, err);
    assert_string_equal(err.problem, "label_too_long");
}

static void unicode_is(const char *ascii, const char *wanted)
{
    auto_buf struct pst_buf b = PST_BUF(1024);

    pst_name_unicode(ascii, &b);
    assert_string_equal(pst_buf_cstr(&b), wanted);
}

static void shows_unicode(void **st)
{
    (void)st;
    unicode_is("example.com", "example.com");
    unicode_is("*.xn--bcher-kva.de", "*.b\xC3\xBC"
                                     "cher.de");
    unicode_is("xn--fa-hia.de", "fa\xC3\x9F.de");
    unicode_is("xn--bcher-kv.de", "xn--bcher-kv.de");
    unicode_is("xn--wca.de", "xn--wca.de");
}

static void registered_is(const char *name, const char *wanted)
{
    char out[PST_NAME_SIZE];
    struct pst_err err = {0};

    assert_ok(pst_name_registered_domain(name, out, &err), err);
    assert_string_equal(out, wanted);
}

static void finds_the_registered_domain(void **st)
{
    char out[PST_NAME_SIZE];
    struct pst_err err = {0};

    (void)st;
    registered_is("example.com", "example.com");
    registered_is("a.b.example.co.uk", "example.co.uk");
    registered_is("*.example.co.uk", "example.co.uk");
    registered_is("*.shop.example.com", "example.com");
    registered_is("co.uk", "co.uk");
    registered_is("com", "com");
    registered_is("me.github.io", "me.github.io");
    registered_is("x.me.github.io", "me.github.io");
    registered_is("github.io", "github.io");
    registered_is("a.b.shop.test", "shop.test");
    registered_is("test", "test");
    registered_is("a.www.ck", "www.ck");
    registered_is("x.xn--e1afmkfd.xn--p1ai", "xn--e1afmkfd.xn--p1ai");
    assert_rc(pst_name_registered_domain("", out, &err), PST_REFUSED, err);
    assert_rc(pst_name_registered_domain("a..com", out, &err), PST_REFUSED, err);
    assert_rc(pst_name_registered_domain("Example.com", out, &err), PST_REFUSED, err);
    assert_rc(pst_name_registered_domain("example.com.", out, &err), PST_REFUSED, err);
}

static void answers_about_wildcards(void **st)
{
    (void)st;
    assert_true(pst_name_is_wildcard("*.example.com"));
    assert_false(pst_name_is_wildcard("www.example.com"));
    assert_false(pst_name_is_wildcard(""));
    assert_string_equal(pst_name_parent("www.example.com"), "example.com");
    assert_string_equal(pst_name_parent("*.example.com"), "example.com");
    assert_null(pst_name_parent("com"));

    assert_true(pst_name_covers("example.com", "example.com"));
    assert_true(pst_name_covers("*.example.com", "www.example.com"));
    assert_true(pst_name_covers("*.example.com", "*.example.com"));
    assert_false(pst_name_covers("*.example.com", "example.com"));
    assert_false(pst_name_covers("*.example.com", "a.www.example.com"));
    assert_false(pst_name_covers("*.example.com", ".example.com"));
    assert_false(pst_name_covers("www.example.com", "*.example.com"));
    assert_false(pst_name_covers("*.www.example.com", "*.example.com"));
    assert_false(pst_name_covers("*.example.com", "www.example.org"));
    assert_false(pst_name_covers("*.com", "com"));
}

static void tells_the_age_of_the_list(void **st)
{
    (void)st;
    assert_non_null(strstr(pst_name_psl_info(), "public suffix list of 20"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(accepts),
        cmocka_unit_test(refuses_each_mistake),
        cmocka_unit_test(flags_matter),
        cmocka_unit_test(length_is_limited),
        cmocka_unit_test(shows_unicode),
        cmocka_unit_test(finds_the_registered_domain),
        cmocka_unit_test(answers_about_wildcards),
        cmocka_unit_test(tells_the_age_of_the_list),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
