/* platform_test.c - the platform's own domain and its step in the default ladder. */
#include "store_fixture.h"

#define WILDCARD "*.osc-fr1.example.com"

struct own {
    const char *ascii;
    struct pst_domain d;
    int rc;
};

TX(own_set)
{
    struct own *o = arg;

    o->rc = pst_platform_domain_set(tx, o->ascii, &o->d, err);
    return o->rc < 0 ? o->rc : PST_OK;
}

static struct pst_domain own(struct fixture *f, const char *ascii, int wanted)
{
    struct own o = {.ascii = ascii};

    commit(f, own_set, &o);
    assert_int_equal(o.rc, wanted);
    return o.d;
}

TX(ladder_get)
{
    return pst_default_ladder_get(tx, arg, err);
}

static struct pst_default_ladder ladder(struct fixture *f)
{
    struct pst_default_ladder l;

    look(f, ladder_get, &l);
    return l;
}

TX(platform_set)
{
    return pst_platform_set(tx, "example.com", "osc-fr1", err);
}

TX(ladder_set)
{
    return pst_default_ladder_set(tx, 7, 5, err);
}

struct rendered {
    const char *kind, *key;
    char text[4096];
};

/* What a new edge is told of an object; "" when it is not among the feed's. */
TX(render)
{
    struct rendered *r = arg;
    struct pst_feed_row row = {0}, rows[64];
    size_t n = 0;

    int rc = pst_feed_db_objects(tx, &row, rows, PST_ARRAY_N(rows), &n, err);
    for (size_t i = 0; i < n; i++)
        if (pst_streq(rows[i].kind, r->kind) && pst_streq(rows[i].key, r->key))
            pst_str_copy(r->text, sizeof r->text, rows[i].key);
    return rc;
}

static bool in_feed(struct fixture *f, const char *kind, const char *key)
{
    struct rendered r = {.kind = kind, .key = key};

    look(f, render, &r);
    return r.text[0] != '\0';
}

static void it_is_a_domain_of_its_own_app(void **state)
{
    struct fixture *f = *state;

    commit(f, platform_set, NULL);
    struct pst_domain d = own(f, WILDCARD, PST_OK);
    assert_string_equal(d.ascii, WILDCARD);
    assert_true(d.wildcard && d.acme_enabled);
    assert_string_not_equal(d.user_id, f->user.id);
    assert_string_equal(ladder(f).domain_id, d.id);
    assert_string_equal(own(f, WILDCARD, PST_DONE).id, d.id);
    /* Neither the wildcard nor a platform name of its app is a name of the edges. */
    assert_false(in_feed(f, "name", WILDCARD));
    assert_false(in_feed(f, "name", PST_PLATFORM_APP ".osc-fr1.example.com"));
    assert_true(in_feed(f, "name", "my-app.osc-fr1.example.com"));
}

static void its_certificate_is_a_step_of_the_default_ladder(void **state)
{
    struct fixture *f = *state;

    struct pst_domain d = own(f, WILDCARD, PST_OK);
    commit(f, ladder_set, NULL);
    assert_string_equal(ladder(f).domain_id, d.id);
    d.acme_cert = 6;
    assert_told(f, commit(f, domain_update, &d), "meta/default ");
    for (int i = 0; i < PST_DEFAULT_STEPS; i++)
        assert_int_equal(ladder(f).certs[i], 7 - i); /* files, ACME, local */
    d.acme_enabled = false;
    assert_told(f, commit(f, domain_update, &d), "meta/default ");
    assert_int_equal(ladder(f).certs[PST_DEFAULT_ACME], 0);
}

static void another_name_takes_its_place(void **state)
{
    struct fixture *f = *state;

    struct pst_domain old = own(f, WILDCARD, PST_OK);
    struct pst_domain d = own(f, "*.other.example.com", PST_OK);
    assert_string_not_equal(old.id, d.id);
    assert_string_equal(ladder(f).domain_id, d.id);
    assert_string_equal(old.user_id, d.user_id); /* of whose id delegations are made */
    assert_false(in_feed(f, "name", "*.other.example.com"));
}

static void it_goes_and_comes_again(void **state)
{
    struct fixture *f = *state;

    own(f, NULL, PST_DONE);
    struct pst_domain d = own(f, WILDCARD, PST_OK);
    commit(f, ladder_set, NULL);
    own(f, NULL, PST_OK);
    own(f, NULL, PST_DONE);
    assert_string_equal(ladder(f).domain_id, "");
    assert_int_equal(ladder(f).certs[PST_DEFAULT_FILES], 7);
    struct pst_domain again = own(f, WILDCARD, PST_OK);
    assert_string_not_equal(again.id, d.id);
    /* Removed by hand: made anew. */
    assert_told(f, commit(f, domain_delete, again.id), "meta/default ");
    again = own(f, WILDCARD, PST_OK);
    assert_string_equal(ladder(f).domain_id, again.id);
}

static void a_domain_of_a_tenant_is_not_taken(void **state)
{
    struct fixture *f = *state;
    struct pst_domain d = domain(f, WILDCARD);
    struct own o = {.ascii = WILDCARD};

    commit(f, domain_insert, &d);
    assert_rc(pst_store_write(f->store, own_set, &o, NULL, &f->err), PST_ECONFIG, f->err);
    assert_err_has(f->err, "is a domain of an app");
    assert_string_equal(ladder(f).domain_id, "");
    assert_true(in_feed(f, "name", WILDCARD));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(it_is_a_domain_of_its_own_app),     T(its_certificate_is_a_step_of_the_default_ladder),
        T(another_name_takes_its_place),      T(it_goes_and_comes_again),
        T(a_domain_of_a_tenant_is_not_taken),
    };
    return cmocka_run_group_tests_name(ENGINE, tests, NULL, NULL);
}
