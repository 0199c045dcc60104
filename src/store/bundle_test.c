/* bundle_test.c - bundles of key and certificates, kept for domains added later. */
#include "store_fixture.h"

#include <postern/bundles.h>

enum { DAY_S = 86400 };
#define NOW_S (NOW_MS / 1000)

/* A bundle with this leaf for these names, valid from yesterday on. */
static struct pst_bundle made(struct fixture *f, const char *leaf, const char *names,
                              int64_t not_after)
{
    struct pst_bundle b = {.held = {.origin = "custom", .key_type = "rsa", .key_bits = 3072}};

    pst_str_copy(b.user_id, sizeof b.user_id, f->user.id);
    pst_str_copy(b.held.sha256, sizeof b.held.sha256, leaf);
    pst_str_copy(b.held.serial, sizeof b.held.serial, leaf);
    b.held.not_before = NOW_S - DAY_S;
    b.held.not_after = not_after;
    b.held.leaf = bytes(leaf);
    b.held.sealed = bytes("sealed");
    b.names = bytes(names);
    return b;
}

static void add_issuer(struct pst_bundle *b, const char *der)
{
    pst_free(b->held.issuers);
    b->held.issuers = pst_zalloc(1, sizeof *b->held.issuers);
    assert_non_null(b->held.issuers);
    b->held.issuers[0] = bytes(der);
    b->held.issuers_n = 1;
}

TX(insert)
{
    return pst_bundle_insert(tx, arg, err);
}

static void keep(struct fixture *f, const char *leaf, const char *names, int64_t not_after)
{
    struct pst_bundle b = made(f, leaf, names, not_after);

    commit(f, insert, &b);
    pst_bundle_deinit(&b);
}

struct search {
    const char *user_id, *ascii;
    int64_t now;
    int rc;
    struct pst_bundle found;
};

TX(best)
{
    struct search *s = arg;

    s->found = (struct pst_bundle){0};
    s->rc = pst_bundle_best(tx, s->user_id, s->ascii, s->now, &s->found, err);
    return s->rc == PST_NOTFOUND ? PST_OK : s->rc;
}

/* The leaf of the best bundle, "" if there is none. */
static const char *best_at(struct fixture *f, struct search *s, const char *ascii, int64_t now)
{
    s->user_id = f->user.id;
    s->ascii = ascii;
    s->now = now;
    look(f, best, s);
    return s->rc == PST_OK ? s->found.held.serial : "";
}

static void the_best_bundle_is_found(void **state)
{
    struct fixture *f = *state;
    struct search s;
    int64_t end = NOW_S + 10 * DAY_S;

    keep(f, "wild-long", "*.example.com", end + 9 * DAY_S);
    keep(f, "short", "a.example.com www.example.com", end);
    keep(f, "long", "www.example.com", end + DAY_S);
    assert_string_equal(best_at(f, &s, "a.example.com", NOW_S), "short");
    assert_string_equal(best_at(f, &s, "www.example.com", NOW_S), "long");
    assert_string_equal(best_at(f, &s, "b.example.com", NOW_S), "wild-long");
    assert_string_equal(best_at(f, &s, "*.example.com", NOW_S), "wild-long");
    assert_string_equal(best_at(f, &s, "*.www.example.com", NOW_S), "");
    assert_string_equal(best_at(f, &s, "example.com", NOW_S), "");
    assert_string_equal(best_at(f, &s, "a.b.example.com", NOW_S), "");
    assert_string_equal(best_at(f, &s, "com", NOW_S), "");
    /* Each only in its time. */
    assert_string_equal(best_at(f, &s, "a.example.com", end), "short");
    assert_string_equal(best_at(f, &s, "a.example.com", end + 1), "wild-long");
    assert_string_equal(best_at(f, &s, "a.example.com", end + 30 * DAY_S), "");
    assert_string_equal(best_at(f, &s, "a.example.com", NOW_S - 2 * DAY_S), "");
    /* Nobody else's. */
    s.user_id = "0123456789abcdef01234567";
    look(f, best, &s);
    assert_int_equal(s.rc, PST_NOTFOUND);
}

struct all {
    const char *user_id;
    char text[512]; /* "serial[names]domains num " */
    char id[PST_ID_SIZE];
    int64_t n;
};

static int list_one(const struct pst_bundle *b, void *arg)
{
    struct all *l = arg;
    size_t at = strlen(l->text);

    snprintf(l->text + at, sizeof l->text - at, "%s[%s]%" PRId64 " %" PRId64 " ", b->held.serial,
             b->names.data, b->domains_n, b->held.num);
    memcpy(l->id, b->held.id, sizeof l->id);
    return PST_OK;
}

TX(list)
{
    struct all *l = arg;

    l->text[0] = '\0';
    int rc = pst_bundle_count(tx, l->user_id, &l->n, err);
    return rc == PST_OK ? pst_bundle_each(tx, l->user_id, list_one, l, err) : rc;
}

static struct all all(struct fixture *f)
{
    struct all l = {.user_id = f->user.id};

    look(f, list, &l);
    return l;
}

struct twice {
    struct pst_bundle *b;
    char id[PST_ID_SIZE];
    struct pst_bundle loaded;
};

TX(again)
{
    struct twice *t = arg;

    want_int(pst_bundle_insert(tx, t->b, err), PST_CONFLICT);
    return pst_bundle_again(tx, t->b, t->id, err);
}

TX(load)
{
    struct twice *t = arg;

    return pst_bundle_load(tx, t->b->user_id, t->id, &t->loaded, err);
}

static void the_same_leaf_is_one_bundle(void **state)
{
    struct fixture *f = *state;
    struct pst_bundle a = made(f, "leaf", "b.example.com a.example.com", NOW_S + DAY_S);
    struct pst_bundle b = made(f, "leaf", "b.example.com a.example.com", NOW_S + DAY_S);
    struct twice t = {.b = &b};

    add_issuer(&a, "old issuer");
    add_issuer(&b, "new issuer");
    commit(f, insert, &a);
    commit(f, again, &t);
    assert_string_equal(t.id, a.held.id);
    struct all l = all(f);
    assert_int_equal(l.n, 1);
    assert_string_equal(l.text, "leaf[b.example.com a.example.com]0 0 ");
    look(f, load, &t);
    assert_int_equal(t.loaded.held.issuers_n, 1);
    assert_string_equal(t.loaded.held.issuers[0].data, "new issuer");
    assert_string_equal(t.loaded.held.leaf.data, "leaf");
    assert_string_equal(t.loaded.held.sealed.data, "sealed");
    pst_bundle_deinit(&t.loaded);
    pst_bundle_deinit(&a);
    pst_bundle_deinit(&b);
}

struct use {
    const char *id;
    struct pst_domain domain;
    struct pst_certificate certificate;
};

TX(use)
{
    struct use *u = arg;

    u->certificate.num = pst_certificate_num(tx);
    u->domain.custom_cert = u->certificate.num;
    int rc = pst_certificate_insert(tx, &u->certificate, err);
    if (rc == PST_OK)
        rc = pst_domain_insert(tx, &u->domain, err);
    return rc == PST_OK ? pst_bundle_used(tx, u->id, u->certificate.num, err) : rc;
}

static void a_certificate_counts_while_a_ladder_names_it(void **state)
{
    struct fixture *f = *state;
    struct search s;

    keep(f, "leaf", "www.example.com", NOW_S + DAY_S);
    struct all l = all(f);
    struct use u = {.id = l.id,
                    .domain = domain(f, "www.example.com"),
                    .certificate = {.origin = "custom", .key_type = "rsa"}};
    u.certificate.leaf = bytes("leaf");
    u.certificate.sealed = bytes("sealed");
    commit(f, use, &u);
    best_at(f, &s, "www.example.com", NOW_S);
    assert_int_equal(s.found.held.num, u.certificate.num);
    assert_non_null(strstr(all(f).text, "[www.example.com]1 "));
    /* It may be swept from now on. */
    u.domain.custom_cert = 0;
    commit(f, domain_update, &u.domain);
    best_at(f, &s, "www.example.com", NOW_S);
    assert_int_equal(s.found.held.num, 0);
    assert_string_equal(all(f).text, "leaf[www.example.com]0 0 ");
    pst_certificate_deinit(&u.certificate);
}

/* ---- the end ---- */

struct gone {
    int64_t now, n;
    const char *user_id, *id;
    int rc;
};

TX(sweep)
{
    struct gone *g = arg;

    return pst_bundle_sweep(tx, g->now, &g->n, err);
}

TX(delete)
{
    struct gone *g = arg;

    g->rc = pst_bundle_delete(tx, g->user_id, g->id, err);
    return g->rc == PST_NOTFOUND ? PST_OK : g->rc;
}

static void bundles_that_are_over_are_swept(void **state)
{
    struct fixture *f = *state;
    struct pst_bundle b = made(f, "first", "a.example.com", NOW_S);
    struct gone g = {.now = NOW_S};

    add_issuer(&b, "issuer");
    commit(f, insert, &b);
    keep(f, "second", "a.example.com", NOW_S + 1);
    commit(f, sweep, &g);
    assert_int_equal(g.n, 0); /* not_after is its last second */
    g.now = NOW_S + 1;
    int64_t rev = commit(f, sweep, &g);
    assert_int_equal(g.n, 1);
    /* With it the issuer that nothing else has. */
    struct told t = told(f, rev);
    assert_int_equal(strncmp(t.text, "issuer/", 7), 0);
    assert_non_null(strchr(t.text, '!'));
    assert_string_equal(all(f).text, "second[a.example.com]0 0 ");
    pst_bundle_deinit(&b);
}

TX(delete_user)
{
    return pst_user_delete(tx, arg, err);
}

TX(delete_app)
{
    return pst_app_delete(tx, arg, err);
}

static void they_go_with_their_user(void **state)
{
    struct fixture *f = *state;
    struct gone g = {.user_id = "0123456789abcdef01234567"};

    keep(f, "one", "a.example.com", NOW_S);
    keep(f, "two", "a.example.com b.example.com", NOW_S);
    struct all l = all(f);
    g.id = l.id;
    commit(f, delete, &g);
    assert_int_equal(g.rc, PST_NOTFOUND); /* not that user's */
    g.user_id = f->user.id;
    commit(f, delete, &g);
    assert_int_equal(g.rc, PST_OK);
    assert_int_equal(all(f).n, 1);
    commit(f, delete_app, f->app.id);
    commit(f, delete_user, f->user.id);
    assert_int_equal(all(f).n, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(the_best_bundle_is_found),
        T(the_same_leaf_is_one_bundle),
        T(a_certificate_counts_while_a_ladder_names_it),
        T(bundles_that_are_over_are_swept),
        T(they_go_with_their_user),
    };
    return cmocka_run_group_tests_name(ENGINE, tests, NULL, NULL);
}
