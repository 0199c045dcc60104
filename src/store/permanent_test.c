/* permanent_test.c - permanent records that end. */
#include "store_fixture.h"

#include <postern/permanent.h>

struct put {
    const char *domain_id;
    int64_t until_at;
};

TX(put)
{
    const struct put *p = arg;
    return pst_permanent_put(tx, p->domain_id, p->until_at, err);
}

TX(warned)
{
    const struct put *p = arg; /* until_at: how many warnings */
    return pst_permanent_warned(tx, p->domain_id, p->until_at, err);
}

struct ends {
    int64_t first_at, last_at;
    size_t limit;
    char text[512];
};

static int list_end(const struct pst_permanent_end *e, void *arg)
{
    struct ends *l = arg;
    size_t len = strlen(l->text);

    snprintf(l->text + len, sizeof l->text - len, "%s %" PRId64 " %" PRId64 ", ", e->ascii,
             e->until_at, e->warned);
    return PST_OK;
}

TX(list_ends)
{
    struct ends *l = arg;

    l->text[0] = '\0';
    return pst_permanent_each_ending(tx, l->first_at, l->last_at, l->limit, list_end, l, err);
}

#define assert_ends(f, first, last, wanted)                                                        \
    do {                                                                                           \
        struct ends l_ = {(first), (last), 10, ""};                                                \
        look((f), list_ends, &l_);                                                                 \
        assert_string_equal(l_.text, (wanted));                                                    \
    } while (0)

static struct pst_domain with_end(struct fixture *f, const char *ascii, int64_t until_at)
{
    struct pst_domain d = domain(f, ascii);

    commit(f, domain_insert, &d);
    commit(f, put, &(struct put){d.id, until_at});
    return d;
}

static void ends_come_in_their_order_and_twice(void **state)
{
    struct fixture *f = *state;

    with_end(f, "*.b.example.com", 2000);
    struct pst_domain d = with_end(f, "*.a.example.com", 1000);
    with_end(f, "*.c.example.com", 0);
    assert_ends(f, 999, 500, "");
    assert_ends(f, 1000, 500, "*.a.example.com 1000 0, ");
    assert_ends(f, 2000, 500, "*.a.example.com 1000 0, *.b.example.com 2000 0, ");
    commit(f, warned, &(struct put){d.id, 1});
    assert_ends(f, 1500, 500, "");
    assert_ends(f, 1500, 1000, "*.a.example.com 1000 1, ");
    commit(f, warned, &(struct put){d.id, 2});
    assert_ends(f, 1500, 1500, "");

    struct ends one = {3000, 0, 1, ""};
    look(f, list_ends, &one);
    assert_string_equal(one.text, "*.b.example.com 2000 0, ");
}

static void another_end_is_warned_of_anew(void **state)
{
    struct fixture *f = *state;

    struct pst_domain d = with_end(f, "*.a.example.com", 1000);
    commit(f, warned, &(struct put){d.id, 2});
    commit(f, put, &(struct put){d.id, 1000});
    assert_ends(f, 9000, 9000, "");
    commit(f, put, &(struct put){d.id, 1001});
    assert_ends(f, 9000, 9000, "*.a.example.com 1001 0, ");
    commit(f, put, &(struct put){d.id, 0});
    assert_ends(f, 9000, 9000, "");
}

static void it_goes_with_its_domain(void **state)
{
    struct fixture *f = *state;

    struct pst_domain d = with_end(f, "*.a.example.com", 1000);
    commit(f, domain_delete, d.id);
    assert_ends(f, 9000, 9000, "");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(ends_come_in_their_order_and_twice),
        T(another_end_is_warned_of_anew),
        T(it_goes_with_its_domain),
    };
    return cmocka_run_group_tests_name(ENGINE, tests, NULL, NULL);
}
