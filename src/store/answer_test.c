/* answer_test.c - TXT values of our own name servers, and the version that tells of changes. */
#include "store_internal.h"

#include "store_fixture.h"

enum { HOUR_MS = 3600 * 1000 };

struct put {
    const char *label, *value;
    int64_t until_ms;
};

TX(put)
{
    const struct put *p = arg;
    return pst_dns_answer_put(tx, p->label, p->value, p->until_ms, err);
}

TX(take)
{
    const struct put *p = arg;
    return pst_dns_answer_delete(tx, p->label, p->value, err);
}

TX(sweep)
{
    return pst_dns_answer_sweep(tx, *(int64_t *)arg, err);
}

struct seen {
    int64_t version;
    char text[1000]; /* "label=value@hours " */
};

static int add(const struct pst_dns_answer *a, void *arg)
{
    struct seen *s = arg;
    size_t at = strlen(s->text);

    snprintf(s->text + at, sizeof s->text - at, "%s=%s@%lld ", a->label, a->value,
             (long long)(a->until_ms - NOW_MS) / HOUR_MS);
    return PST_OK;
}

TX(list)
{
    struct seen *s = arg;

    int rc = pst_dns_answers_version(tx, &s->version, err);
    return rc == PST_OK ? pst_dns_answer_each(tx, add, s, err) : rc;
}

static struct seen see(struct fixture *f)
{
    struct seen s = {0};
    look(f, list, &s);
    return s;
}

static void count(void *arg)
{
    ++*(int *)arg;
}

static void values_are_added_and_removed_one_by_one(void **state)
{
    struct fixture *f = *state;
    int told = 0;

    pst_store_on_answers(f->store, count, &told);
    int64_t first = see(f).version;
    assert_int_equal(commit(f, put, &(struct put){"b", "two", NOW_MS + HOUR_MS}), 0);
    commit(f, put, &(struct put){"b", "one", NOW_MS + HOUR_MS});
    commit(f, put, &(struct put){"a-_9", "x y", NOW_MS + 2 * HOUR_MS});
    assert_string_equal(see(f).text, "a-_9=x y@2 b=one@1 b=two@1 ");
    assert_int_equal(see(f).version, first + 3);
    assert_int_equal(told, 3);

    commit(f, take, &(struct put){"b", "one", 0});
    assert_string_equal(see(f).text, "a-_9=x y@2 b=two@1 ");
    assert_int_equal(see(f).version, first + 4);
    assert_int_equal(told, 4);
}

static void what_changes_nothing_makes_no_version(void **state)
{
    struct fixture *f = *state;
    int told = 0;
    int64_t early = NOW_MS;

    commit(f, put, &(struct put){"a", "x", NOW_MS + 2 * HOUR_MS});
    int64_t before = see(f).version;
    pst_store_on_answers(f->store, count, &told);
    commit(f, put, &(struct put){"a", "x", NOW_MS + 2 * HOUR_MS});
    commit(f, put, &(struct put){"a", "x", NOW_MS + HOUR_MS}); /* never shortened */
    commit(f, take, &(struct put){"a", "y", 0});
    commit(f, sweep, &early);
    assert_string_equal(see(f).text, "a=x@2 ");
    assert_int_equal(see(f).version, before);
    assert_int_equal(told, 0);

    commit(f, put, &(struct put){"a", "x", NOW_MS + 3 * HOUR_MS});
    assert_string_equal(see(f).text, "a=x@3 ");
    assert_int_equal(see(f).version, before + 1);
    assert_int_equal(told, 1);
}

static void sweeping_takes_those_that_are_over(void **state)
{
    struct fixture *f = *state;
    int64_t now = NOW_MS + HOUR_MS;

    commit(f, put, &(struct put){"a", "x", NOW_MS + HOUR_MS});
    commit(f, put, &(struct put){"a", "y", NOW_MS + 2 * HOUR_MS});
    commit(f, sweep, &now);
    assert_string_equal(see(f).text, "a=y@2 ");
}

static void what_is_no_label_or_value_is_refused(void **state)
{
    struct fixture *f = *state;
    char long_label[65], long_value[257];
    const struct put bad[] = {
        {"", "x"}, {"A", "x"},        {"a.b", "x"},  {"a b", "x"}, {long_label, "x"},
        {"a", ""}, {"a", long_value}, {"a", "\x7f"}, {"a", "\n"},  {"a", "é"},
    };

    memset(long_label, 'a', 64);
    long_label[64] = '\0';
    memset(long_value, 'x', 256);
    long_value[256] = '\0';
    for (size_t i = 0; i < PST_ARRAY_N(bad); i++)
        assert_rc(pst_store_write(f->store, put, (void *)&bad[i], NULL, &f->err), PST_EINPUT,
                  f->err);
    long_label[63] = '\0';
    long_value[255] = '\0';
    commit(f, put, &(struct put){long_label, long_value, NOW_MS + HOUR_MS});
    assert_int_equal(strlen(see(f).text), 63 + 1 + 255 + 3);
}

static void a_label_has_a_bounded_number_of_values(void **state)
{
    struct fixture *f = *state;
    struct put p = {.label = "a", .until_ms = NOW_MS + HOUR_MS};
    char value[8];

    p.value = value;
    for (int i = 0; i < PST_DNS_VALUES_MAX; i++) {
        snprintf(value, sizeof value, "%d", i);
        commit(f, put, &p);
    }
    commit(f, put, &p); /* one that it has */
    p.value = "one more";
    assert_rc(pst_store_write(f->store, put, &p, NULL, &f->err), PST_CONFLICT, f->err);
    p.label = "b";
    commit(f, put, &p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(values_are_added_and_removed_one_by_one), T(what_changes_nothing_makes_no_version),
        T(sweeping_takes_those_that_are_over),      T(what_is_no_label_or_value_is_refused),
        T(a_label_has_a_bounded_number_of_values),
    };
    return cmocka_run_group_tests_name(ENGINE, tests, NULL, NULL);
}
