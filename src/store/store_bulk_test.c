/* store_bulk_test.c - imports, lines of an export, and what a list of domains is made of. */
#include "store_fixture.h"

#include <postern/bulk.h>

enum { NAMES = 25 };

TX(import_insert)
{
    return pst_import_insert(tx, arg, err);
}

TX(import_save)
{
    return pst_import_save(tx, arg, err);
}

struct finding {
    const char *user_id, *id;
    struct pst_import found;
};

TX(import_get)
{
    struct finding *w = arg;

    return pst_import_get(tx, w->user_id, w->id, &w->found, err);
}

static void an_import_is_found_by_its_user_and_keeps_its_counts(void **state)
{
    struct fixture *f = *state;
    struct pst_import i = {.dry_run = true, .lines_expected = 7};
    struct finding w = {.user_id = f->user.id};

    pst_str_copy(i.user_id, sizeof i.user_id, f->user.id);
    commit(f, import_insert, &i);
    w.id = i.id;
    look(f, import_get, &w);
    assert_true(w.found.dry_run && w.found.state == PST_IMPORT_OPEN);
    assert_int_equal(w.found.lines_expected, 7);
    assert_int_equal(w.found.created_at_ms, NOW_MS);

    i.lines = 6;
    i.added = 3;
    i.unchanged = 2;
    i.refused = 1;
    i.state = PST_IMPORT_STOPPED;
    pst_str_copy(i.reason, sizeof i.reason, "too many");
    commit(f, import_save, &i);
    w.user_id = "";
    look(f, import_get, &w);
    assert_int_equal(w.found.state, PST_IMPORT_STOPPED);
    assert_string_equal(w.found.reason, "too many");
    assert_int_equal(w.found.lines * 1000 + w.found.added * 100 + w.found.unchanged * 10 +
                         w.found.refused,
                     6321);
    w.user_id = "another";
    assert_rc(pst_store_read(f->store, import_get, &w, &f->err), PST_NOTFOUND, f->err);
}

struct refusals {
    char id[PST_ID_SIZE];
    char text[400];
};

TX(refuse_some)
{
    struct refusals *r = arg;
    int rc = PST_OK;

    for (int line = 5; rc == PST_OK && line > 0; line--) {
        struct pst_import_refusal one = {.line = line, .field = "name", .error = "is wrong"};
        snprintf(one.name, sizeof one.name, "n%d", line);
        rc = pst_import_refuse(tx, r->id, &one, err);
    }
    return rc;
}

static int note_refusal(const struct pst_import_refusal *one, void *arg)
{
    struct refusals *r = arg;
    size_t at = strlen(r->text);

    snprintf(r->text + at, sizeof r->text - at, "%" PRId64 ":%s:%s:%s ", one->line, one->name,
             one->field, one->error);
    return PST_OK;
}

TX(list_refusals)
{
    struct refusals *r = arg;

    return pst_import_each_refusal(tx, r->id, 2, 2, note_refusal, r, err);
}

TX(sweep)
{
    return pst_import_sweep(tx, *(int64_t *)arg, 10, err);
}

static void refused_lines_come_in_order_and_go_with_their_import(void **state)
{
    struct fixture *f = *state;
    struct pst_import i = {0};
    struct refusals r = {0};
    struct finding w = {.user_id = "", .id = i.id};
    int64_t before_ms = NOW_MS;

    commit(f, import_insert, &i);
    pst_str_copy(r.id, sizeof r.id, i.id);
    commit(f, refuse_some, &r);
    look(f, list_refusals, &r);
    assert_string_equal(r.text, "3:n3:name:is wrong 4:n4:name:is wrong ");
    commit(f, sweep, &before_ms); /* not older than that */
    look(f, import_get, &w);
    before_ms++;
    commit(f, sweep, &before_ms);
    assert_rc(pst_store_read(f->store, import_get, &w, &f->err), PST_NOTFOUND, f->err);
    r.text[0] = '\0';
    look(f, list_refusals, &r);
    assert_string_equal(r.text, "");
}

struct names {
    char id[PST_ID_SIZE];
    struct pst_import_name found;
    char canonical[PST_NAME_SIZE];
    int64_t n, dropped;
};

TX(keep_names)
{
    struct names *v = arg;
    int rc = PST_OK;

    for (int k = 0; rc == PST_OK && k < NAMES; k++) {
        struct pst_import_name name = {.app_id = "app", .acme_enabled = true, .canonical = k == 3};
        snprintf(name.ascii, sizeof name.ascii, "n%d.example.com", k);
        rc = pst_import_name_insert(tx, v->id, &name, err);
    }
    return rc;
}

TX(find_names)
{
    struct names *v = arg;

    int rc = pst_import_name_get(tx, v->id, "n7.example.com", &v->found, err);
    if (rc == PST_OK)
        rc = pst_import_name_count(tx, v->id, "app", &v->n, err);
    return rc == PST_OK ? pst_import_name_canonical(tx, v->id, "app", v->canonical, err) : rc;
}

TX(drop_names)
{
    struct names *v = arg;

    return pst_import_names_drop(tx, v->id, 10, &v->dropped, err);
}

static void a_dry_run_remembers_what_it_would_have_added(void **state)
{
    struct fixture *f = *state;
    struct pst_import i = {.dry_run = true};
    struct names v = {0};

    commit(f, import_insert, &i);
    pst_str_copy(v.id, sizeof v.id, i.id);
    commit(f, keep_names, &v);
    look(f, find_names, &v);
    assert_true(v.found.acme_enabled && !v.found.canonical);
    assert_int_equal(v.n, NAMES);
    assert_string_equal(v.canonical, "n3.example.com");
    for (int64_t left = NAMES; left > 0; left -= v.dropped) {
        commit(f, drop_names, &v);
        assert_int_equal(v.dropped, left < 10 ? left : 10);
    }
    assert_rc(pst_store_read(f->store, find_names, &v, &f->err), PST_NOTFOUND, f->err);
}

/* ---- lines of an export ---- */

struct export
{
    const char *app_id;
    struct pst_line_cursor after;
    size_t n;
    char seen[NAMES]; /* how often each was given */
};

static int note_line(const struct pst_domain_line *l, void *arg)
{
    struct export *e = arg;
    int64_t k;

    assert_string_equal(l->app, "my-app");
    assert_true(pst_parse_i64(l->name + 1, 0, NAMES - 1, &k));
    e->seen[k]++;
    e->after = l->at;
    e->n++;
    return PST_OK;
}

TX(list_lines)
{
    struct export *e = arg;

    e->n = 0;
    return pst_domain_each_line(tx, e->app_id, &e->after, 4, note_line, e, err);
}

static void pages_give_each_domain_once(void **state)
{
    struct fixture *f = *state;
    const char *const whose[] = {"", f->app.id};

    for (int k = 0; k < NAMES; k++) {
        char name[32];
        snprintf(name, sizeof name, "n%d", k);
        struct pst_domain d = domain(f, name);
        commit(f, domain_insert, &d);
        pst_clock_manual_advance(&f->clock, k % 3 ? 1000 : 0);
    }
    for (size_t w = 0; w < PST_ARRAY_N(whose); w++) {
        struct export e = {.app_id = whose[w]};
        size_t pages = 0;
        do {
            look(f, list_lines, &e);
            pages++;
        } while (e.n > 0);
        assert_int_equal(pages, (NAMES + 3) / 4 + 1);
        for (int k = 0; k < NAMES; k++)
            assert_int_equal(e.seen[k], 1);
    }
}

/* ---- what a list is made of ---- */

struct lot {
    const char *app_id;
    char text[400];
};

static int note_certificate(const struct pst_certificate *c, void *arg)
{
    struct lot *l = arg;
    size_t at = strlen(l->text);

    snprintf(l->text + at, sizeof l->text - at, "%" PRId64 " ", c->num);
    return PST_OK;
}

static int note_domain(const struct pst_domain *d, void *arg)
{
    struct lot *l = arg;
    size_t at = strlen(l->text);

    snprintf(l->text + at, sizeof l->text - at, "%s ", d->ascii);
    return PST_OK;
}

TX(list_lot)
{
    struct lot *l = arg;

    int rc = pst_certificate_each_of_app(tx, l->app_id, note_certificate, l, err);
    return rc == PST_OK ? pst_domain_each_covering(tx, l->app_id, note_domain, l, err) : rc;
}

TX(insert_certificate)
{
    return pst_certificate_insert(tx, arg, err);
}

static void certificate(struct fixture *f, int64_t num)
{
    struct pst_certificate c = {
        .num = num, .origin = "custom", .leaf = bytes("der"), .sealed = bytes("sealed")};

    commit(f, insert_certificate, &c);
    pst_certificate_deinit(&c);
}

TX(set_default)
{
    (void)arg;
    return pst_default_ladder_set(tx, 50, 0, err);
}

static void an_app_has_the_certificates_of_its_ladders(void **state)
{
    struct fixture *f = *state;
    struct pst_domain own = domain(f, "www.example.com"), wild = domain(f, "*.example.com");
    struct lot l = {.app_id = f->app.id};

    for (int64_t num = 10; num <= 60; num += 10)
        certificate(f, num);
    own.custom_cert = 20;
    own.acme_cert = 10;
    wild.acme_cert = 40;
    commit(f, domain_insert, &own);
    commit(f, domain_insert, &wild);
    commit(f, set_default, NULL);
    look(f, list_lot, &l);
    assert_string_equal(l.text, "10 20 40 50 *.example.com ");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(an_import_is_found_by_its_user_and_keeps_its_counts),
        T(refused_lines_come_in_order_and_go_with_their_import),
        T(a_dry_run_remembers_what_it_would_have_added),
        T(pages_give_each_domain_once),
        T(an_app_has_the_certificates_of_its_ladders),
    };
    return cmocka_run_group_tests_name(ENGINE, tests, NULL, NULL);
}
