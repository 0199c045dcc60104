/* json_test.c - strictness of reading, decoding, and that writing reads back. */
#include "pst_test.h"

#include <stdio.h>

#include <postern/buf.h>
#include <postern/json.h>

static struct pst_json *parse(const char *text)
{
    struct pst_json *j = NULL;
    struct pst_err err = {0};

    assert_ok(pst_json_parse(&j, text, strlen(text), &err), err);
    return j;
}

static void refused(const char *text, size_t len, const char *part)
{
    struct pst_json *j = NULL;
    struct pst_err err = {0};

    assert_rc(pst_json_parse(&j, text, len, &err), PST_EINPUT, err);
    assert_null(j);
    assert_err_has(err, part);
}

static void written_is(const struct pst_json *j, const char *wanted)
{
    auto_buf struct pst_buf b = PST_BUF(4096);
    struct pst_err err = {0};

    assert_ok(pst_json_write(j, &b, &err), err);
    assert_string_equal(pst_buf_cstr(&b), wanted);
}

static void reads_each_type(void **st)
{
    auto_(pst_json_free) struct pst_json *j =
        parse("{\"t\":\"h\\u00e9\",\"i\":-9223372036854775808,\"r\":1.5,\"b\":true,\"n\":null,"
              "\"a\":[1,\"x\"],\"o\":{}}");
    int64_t number = 0;
    bool flag = false;

    (void)st;
    assert_int_equal(pst_json_type(j), PST_JSON_OBJECT);
    assert_int_equal(pst_json_len(j), 7);
    assert_string_equal(pst_json_get_text(j, "t"), "h\xC3\xA9");
    assert_true(pst_json_get_int(j, "i", &number));
    assert_true(number == INT64_MIN);
    assert_int_equal(pst_json_type(pst_json_get(j, "r")), PST_JSON_REAL);
    assert_false(pst_json_get_int(j, "r", &number));
    assert_true(pst_json_get_bool(j, "b", &flag));
    assert_true(flag);
    assert_int_equal(pst_json_type(pst_json_get(j, "n")), PST_JSON_NULL);
    assert_non_null(pst_json_get(j, "n"));
    assert_int_equal(pst_json_len(pst_json_get(j, "a")), 2);
    assert_string_equal(pst_json_text(pst_json_at(pst_json_get(j, "a"), 1)), "x");
    assert_int_equal(pst_json_type(pst_json_get(j, "o")), PST_JSON_OBJECT);
}

static void getters_take_anything(void **st)
{
    auto_(pst_json_free) struct pst_json *j = parse("[1]");
    int64_t number = 7;
    bool flag = true;

    (void)st;
    assert_null(pst_json_get(j, "x"));
    assert_null(pst_json_get(NULL, "x"));
    assert_null(pst_json_at(j, 1));
    assert_null(pst_json_at(NULL, 0));
    assert_int_equal(pst_json_len(NULL), 0);
    assert_int_equal(pst_json_len(pst_json_at(j, 0)), 0);
    assert_null(pst_json_text(j));
    assert_null(pst_json_text(NULL));
    assert_false(pst_json_int(j, &number));
    assert_false(pst_json_bool(pst_json_at(j, 0), &flag));
    assert_int_equal(number, 7);
    assert_int_equal(pst_json_type(NULL), PST_JSON_NULL);
    assert_int_equal(pst_json_each(j, NULL, NULL), 0);
    pst_json_free(NULL);
}

static void refuses_bad_texts(void **st)
{
    static const struct {
        const char *text, *part;
    } rows[] = {
        {"", "line 1"},
        {" ", "line 1"},
        {"{", "line 1"},
        {"{\"a\":1,}", "line 1"},
        {"[1,2", "line 1"},
        {"[1] x", "end of file"},
        {"{} {}", "end of file"},
        {"{\"a\":1,\n\"a\":2}", "line 2"},
        {"'a'", "line 1"},
        {"[01]", "line 1"},
        {"[+1]", "line 1"},
        {"[NaN]", "line 1"},
        {"[1e999]", "line 1"},
        {"[9223372036854775808]", "line 1"},
        {"\"\xFF\"", "decode byte"},
        {"\"\xC0\xAF\"", "decode byte"},
        {"\"\xED\xA0\x80\"", "decode byte"},
        {"\"\\ud800\"", "line 1"},
        {"\"a\\u0000b\"", "line 1"},
        {"{\"a\\u0000b\":1}", "line 1"},
        {"\"a\nb\"", "line 1"},
        {"\"\\x41\"", "line 1"},
        {"[1]/*c*/", "line 1"},
        {"\xEF\xBB\xBF{}", "line 1"},
        {"]", "line 1"},
        {"\"\\", "line 1"},
    };

    (void)st;
    for (size_t i = 0; i < PST_ARRAY_N(rows); i++)
        refused(rows[i].text, strlen(rows[i].text), rows[i].part);

    struct pst_json *j = NULL;
    struct pst_err err = {0};
    static const char secret[] = "{\"key\":\"hush\" \"zq\"}";
    assert_rc(pst_json_parse(&j, secret, sizeof secret - 1, &err), PST_EINPUT, err);
    assert_null(strstr(err.text, "zq"));
    assert_null(strstr(err.text, "hush"));

    refused("{}\0", 3, "column 3: a NUL byte");
    refused("\"a\0b\"", 5, "NUL");
    refused("\"\\\0\"", 4, "line 1");
}

static void depth_is_limited(void **st)
{
    auto_buf struct pst_buf b = PST_BUF(1 << 20);

    (void)st;
    for (int i = 0; i < PST_JSON_DEPTH; i++)
        pst_buf_char(&b, '[');
    for (int i = 0; i < PST_JSON_DEPTH; i++)
        pst_buf_char(&b, ']');
    pst_json_free(parse(pst_buf_cstr(&b)));

    pst_buf_cut(&b, 0);
    for (int i = 0; i <= PST_JSON_DEPTH; i++)
        pst_buf_str(&b, "{\"a\":");
    refused(b.data, b.len, "too deep");

    /* Brackets in strings are only text. */
    pst_buf_cut(&b, 0);
    pst_buf_str(&b, "[\"\\\"");
    for (int i = 0; i < 100; i++)
        pst_buf_char(&b, '[');
    pst_buf_str(&b, "\"]");
    pst_json_free(parse(pst_buf_cstr(&b)));
}

static int collect(const char *key, const struct pst_json *value, void *arg)
{
    int64_t number = 0;

    pst_json_int(value, &number);
    pst_buf_printf(arg, "%s=%d ", key, (int)number);
    return strcmp(key, "stop") == 0 ? 42 : 0;
}

static void each_goes_in_order(void **st)
{
    auto_(pst_json_free) struct pst_json *j = parse("{\"z\":1,\"a\":2,\"m\":3}");
    auto_(pst_json_free) struct pst_json *k = parse("{\"z\":1,\"stop\":2,\"m\":3}");
    auto_buf struct pst_buf b = PST_BUF(256);

    (void)st;
    assert_int_equal(pst_json_each(j, collect, &b), 0);
    assert_string_equal(pst_buf_cstr(&b), "z=1 a=2 m=3 ");
    pst_buf_cut(&b, 0);
    assert_int_equal(pst_json_each(k, collect, &b), 42);
    assert_string_equal(pst_buf_cstr(&b), "z=1 stop=2 ");
}

struct request {
    const char *name;
    int64_t weight;
    bool force;
    const struct pst_json *list, *more, *any;
};

static const struct pst_json_field request_fields[] = {
    PST_JSON_FIELD(struct request, name, "name", TEXT, 0, 5),
    PST_JSON_FIELD(struct request, weight, "weight", INT, PST_JSON_OPTIONAL | PST_JSON_NULLABLE,
                   100),
    PST_JSON_FIELD(struct request, force, "force", BOOL, PST_JSON_OPTIONAL, 0),
    PST_JSON_FIELD(struct request, list, "list", ARRAY, PST_JSON_OPTIONAL | PST_JSON_NULLABLE, 2),
    PST_JSON_FIELD(struct request, more, "more", OBJECT, PST_JSON_OPTIONAL, 0),
    PST_JSON_FIELD(struct request, any, "any", ANY, PST_JSON_OPTIONAL, 0),
};

static int decode(const struct pst_json *j, struct request *r, struct pst_err *err)
{
    return pst_json_decode(j, request_fields, PST_ARRAY_N(request_fields), r, PST_JSON_REFUSE, err);
}

static void decodes_by_table(void **st)
{
    auto_(pst_json_free) struct pst_json *j =
        parse("{\"name\":\"shop\",\"weight\":7,\"force\":true,\"list\":[1,2],\"more\":{\"a\":1},"
              "\"any\":null}");
    auto_(pst_json_free) struct pst_json *least =
        parse("{\"name\":\"x\",\"weight\":null,\"list\":null}");
    struct request r = {0};
    struct pst_err err = {0};

    (void)st;
    assert_ok(decode(j, &r, &err), err);
    assert_string_equal(r.name, "shop");
    assert_int_equal(r.weight, 7);
    assert_true(r.force);
    assert_int_equal(pst_json_len(r.list), 2);
    assert_non_null(pst_json_get(r.more, "a"));
    assert_int_equal(pst_json_type(r.any), PST_JSON_NULL);
    assert_non_null(r.any);

    r = (struct request){.weight = 50, .force = true, .list = j};
    assert_ok(decode(least, &r, &err), err);
    assert_int_equal(r.weight, 50);
    assert_true(r.force);
    assert_null(r.list);
}

static void decoding_names_the_field(void **st)
{
    static const struct {
        const char *text, *problem, *part;
    } rows[] = {
        {"{}", "name", "\"name\" is missing: it must be a string"},
        {"{\"name\":1}", "name", "must be a string"},
        {"{\"name\":null}", "name", "must be a string"},
        {"{\"name\":\"toolong\"}", "name", "at most 5 bytes"},
        {"{\"name\":\"x\",\"weight\":1.0}", "weight", "a whole number or null"},
        {"{\"name\":\"x\",\"weight\":-1}", "weight", "between 0 and 100"},
        {"{\"name\":\"x\",\"weight\":101}", "weight", "between 0 and 100"},
        {"{\"name\":\"x\",\"force\":1}", "force", "true or false"},
        {"{\"name\":\"x\",\"force\":null}", "force", "true or false"},
        {"{\"name\":\"x\",\"list\":{}}", "list", "an array"},
        {"{\"name\":\"x\",\"list\":[1,2,3]}", "list", "at most 2 elements"},
        {"{\"name\":\"x\",\"more\":[]}", "more", "an object"},
        {"{\"nmae\":\"x\"}", "nmae", "\"nmae\" is not known"},
        {"[]", "", "a JSON object is wanted"},
    };

    (void)st;
    for (size_t i = 0; i < PST_ARRAY_N(rows); i++) {
        auto_(pst_json_free) struct pst_json *j = parse(rows[i].text);
        struct request r = {0};
        struct pst_err err = {0};

        assert_rc(decode(j, &r, &err), PST_EINPUT, err);
        assert_err_has(err, rows[i].part);
        assert_string_equal(err.problem, rows[i].problem);
        assert_int_equal(decode(j, &r, NULL), PST_EINPUT);
    }

    auto_(pst_json_free) struct pst_json *j = parse("{\"name\":\"x\",\"new\":1}");
    struct request r = {0};
    assert_int_equal(
        pst_json_decode(j, request_fields, PST_ARRAY_N(request_fields), &r, PST_JSON_IGNORE, NULL),
        PST_OK);
}

static struct pst_json *build(void)
{
    auto_(pst_json_free) struct pst_json *j = pst_json_object();
    auto_(pst_json_free) struct pst_json *a = pst_json_array();

    if (!pst_json_push_text(a, "one") || !pst_json_push_int(a, 2) ||
        !pst_json_push(a, pst_json_object()) || !pst_json_push_text(a, NULL))
        return NULL;
    if (!pst_json_set_text(j, "t", "a\"b\\\n\x01/") || !pst_json_set_int(j, "i", INT64_MAX) ||
        !pst_json_set_bool(j, "b", false) || !pst_json_set_null(j, "n") ||
        !pst_json_set_text(j, "none", NULL) || !pst_json_set(j, "a", pst_take(&a)))
        return NULL;
    return pst_take(&j);
}

static void builds_and_writes(void **st)
{
    auto_(pst_json_free) struct pst_json *j = build();
    auto_(pst_json_free) struct pst_json *copy = pst_json_clone(j);
    static const char wanted[] = "{\"t\":\"a\\\"b\\\\\\n\\u0001/\",\"i\":9223372036854775807,"
                                 "\"b\":false,\"n\":null,\"none\":null,"
                                 "\"a\":[\"one\",2,{},null]}";

    (void)st;
    assert_non_null(j);
    written_is(j, wanted);

    assert_true(pst_json_set_int(j, "t", 1)); /* replaced, and the copy keeps its own */
    written_is(copy, wanted);
    auto_(pst_json_free) struct pst_json *again = parse(wanted);
    written_is(again, wanted);
    assert_null(pst_json_clone(NULL));

    auto_buf struct pst_buf b = PST_BUF(256);
    auto_(pst_json_free) struct pst_json *small = parse("{\"a\":[1]}");
    assert_int_equal(pst_json_write_pretty(small, &b, NULL), PST_OK);
    assert_string_equal(pst_buf_cstr(&b), "{\n  \"a\": [\n    1\n  ]\n}\n");
}

static void builders_refuse_null(void **st)
{
    (void)st;
    assert_false(pst_json_set_text(NULL, "a", "b"));
    assert_false(pst_json_set(NULL, "a", pst_json_object()));
    assert_false(pst_json_push(NULL, pst_json_array()));
    auto_(pst_json_free) struct pst_json *j = pst_json_object();
    assert_false(pst_json_set(j, "a", NULL));
    assert_int_equal(pst_json_len(j), 0);
}

static void bad_utf8_is_marked(void **st)
{
    auto_(pst_json_free) struct pst_json *j = pst_json_object();

    (void)st;
    assert_true(pst_json_set_text(j, "a", "x\xFFy\xE2\x82\xC3\xA9\xE2\x82\xAC\xF0\x9F\x98\x80"));
    assert_true(pst_json_set_int(j, "k\xFF", 1));
    written_is(j, "{\"a\":\"x\xEF\xBF\xBDy\xEF\xBF\xBD\xEF\xBF\xBD\xC3\xA9\xE2\x82\xAC"
                  "\xF0\x9F\x98\x80\",\"k\xEF\xBF\xBD\":1}");
}

static void quote_matches_the_writer(void **st)
{
    static const char *const texts[] = {
        "",        "plain", "a\"b\\c/d", "\b\f\n\r\t\x01\x1f\x7f", "h\xC3\xA9 \xF0\x9F\x98\x80",
        "bad\xFF!"};

    (void)st;
    for (size_t i = 0; i < PST_ARRAY_N(texts); i++) {
        auto_buf struct pst_buf b = PST_BUF(256);
        pst_json_quote(&b, texts[i]);
        auto_(pst_json_free) struct pst_json *back = parse(pst_buf_cstr(&b));
        auto_(pst_json_free) struct pst_json *a = pst_json_array();
        auto_(pst_json_free) struct pst_json *c = pst_json_array();
        assert_true(pst_json_push_text(a, texts[i]));
        assert_true(pst_json_push_text(c, pst_json_text(back)));
        auto_buf struct pst_buf one = PST_BUF(256);
        assert_int_equal(pst_json_write(a, &one, NULL), PST_OK);
        written_is(c, pst_buf_cstr(&one));
    }
    auto_buf struct pst_buf b = PST_BUF(16);
    pst_json_quote(&b, NULL);
    assert_string_equal(pst_buf_cstr(&b), "null");
}

static void the_buffer_limits_writing(void **st)
{
    auto_(pst_json_free) struct pst_json *j = build();
    auto_buf struct pst_buf b = PST_BUF(12);
    struct pst_err err = {0};

    (void)st;
    pst_buf_str(&b, "ab");
    assert_rc(pst_json_write(j, &b, &err), PST_EINPUT, err);
    assert_string_equal(pst_buf_cstr(&b), "ab");
}

static int whole_round(void)
{
    struct pst_err err = {0};
    static const char text[] = "{\"name\":\"sh\\u00f6p\",\"list\":[1,{\"a\":\"b\"}],\"any\":1.5}";
    auto_(pst_json_free) struct pst_json *j = NULL;
    auto_buf struct pst_buf b = PST_BUF(4096);

    int rc = pst_json_parse(&j, text, sizeof text - 1, &err);
    if (rc != PST_OK)
        return rc;
    auto_(pst_json_free) struct pst_json *copy = pst_json_clone(j);
    auto_(pst_json_free) struct pst_json *made = build();
    if (!copy || !made || !pst_json_set_text(made, "bad", "\xFF"))
        return PST_ENOMEM;
    rc = pst_json_write(copy, &b, &err);
    return rc == PST_OK ? pst_json_write_pretty(made, &b, &err) : rc;
}

static void survives_no_memory(void **st)
{
    int rc;

    (void)st;
    assert_survives_no_memory(rc, rc = whole_round());
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_each_type),          cmocka_unit_test(getters_take_anything),
        cmocka_unit_test(refuses_bad_texts),        cmocka_unit_test(depth_is_limited),
        cmocka_unit_test(each_goes_in_order),       cmocka_unit_test(decodes_by_table),
        cmocka_unit_test(decoding_names_the_field), cmocka_unit_test(builds_and_writes),
        cmocka_unit_test(builders_refuse_null),     cmocka_unit_test(bad_utf8_is_marked),
        cmocka_unit_test(quote_matches_the_writer), cmocka_unit_test(the_buffer_limits_writing),
        cmocka_unit_test(survives_no_memory),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
