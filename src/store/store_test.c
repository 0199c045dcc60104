/* store_test.c - opening, users, apps, domains, certificates, accounts. */
#include "store_fixture.h"

/* ---- opening ---- */

TX(set_secret)
{
    return pst_meta_set_secret(tx, "probe_key", "0123", 4, err);
}

TX(get_secret)
{
    auto_secret struct pst_secret got = {0};
    int rc = pst_meta_get_secret(tx, "probe_key", &got, err);
    if (rc == PST_OK) {
        want_int(got.len, 4);
        want(memcmp(got.data, "0123", 4) == 0);
    }
    return rc;
}

static void secrets_survive_a_restart(void **state)
{
    struct fixture *f = *state;
    char other[96];

    assert_rc(pst_store_read(f->store, get_secret, NULL, &f->err), PST_NOTFOUND, f->err);
    assert_told(f, commit(f, set_secret, NULL), "meta/probe ");
    assert_ok(open_again(f, f->key_file), f->err);
    look(f, get_secret, NULL);

    /* With another master key nothing is opened, and nothing is lost. */
    snprintf(other, sizeof other, "%s/other", f->key_dir);
    assert_ok(pst_keyring_create_file(other, pst_rand_system(), &f->err), f->err);
    assert_rc(open_again(f, other), PST_ECONFIG, f->err);
    unlink(other);
    assert_ok(open_again(f, f->key_file), f->err);
    look(f, get_secret, NULL);
}

TX(get_user)
{
    struct fixture *f = arg;
    struct pst_user u;

    int rc = pst_user_get(tx, f->user.id, &u, err);
    if (rc == PST_OK)
        want_text(u.username, "alice");
    return rc;
}

static void a_store_without_keys_can_be_read(void **state)
{
    struct fixture *f = *state;

    pst_store_close(f->store);
    f->store = NULL;
    f->opts.keys = NULL;
    assert_ok(pst_store_open(&f->store, &f->opts, &f->err), f->err);
    look(f, get_user, f);
}

static void only_init_makes_a_store(void **state)
{
    struct fixture *f = *state;
    struct pst_store *s = NULL;
    struct pst_test_place empty;

    pst_store_close(f->store);
    f->store = NULL;
    f->opts.create = true;
    assert_rc(pst_store_open(&s, &f->opts, &f->err), PST_CONFLICT, f->err);
    assert_true(pst_test_place_make(&empty, "C"));
    f->opts.create = false;
    f->opts.url = empty.url;
    assert_rc(pst_store_open(&s, &f->opts, &f->err), PST_ECONFIG, f->err);
    pst_test_place_remove(&empty);
}

/* ---- transactions ---- */

TX(touch_and_refuse)
{
    int rc = pst_meta_set(tx, "thumbprint", "x", err);
    return rc == PST_OK ? PST_REFUSED : rc;
}

TX(set_thumbprint)
{
    return pst_meta_set(tx, "thumbprint", "abc", err);
}

TX(get_thumbprint)
{
    return pst_meta_get(tx, "thumbprint", arg, err);
}

static void a_refused_transaction_makes_no_revision(void **state)
{
    struct fixture *f = *state;
    struct pst_feed_cursor before, after;
    int64_t rev = 77, seen[2] = {0};
    auto_buf struct pst_buf b = PST_BUF(100);

    pst_store_on_commit(f->store, count_commits, seen);
    look(f, head, &before);
    assert_rc(pst_store_write(f->store, touch_and_refuse, NULL, &rev, &f->err), PST_REFUSED,
              f->err);
    look(f, head, &after);
    assert_int_equal(rev, 77);
    assert_int_equal(before.rev, after.rev);
    assert_int_equal(seen[0], 0);
    assert_rc(pst_store_read(f->store, get_thumbprint, &b, &f->err), PST_NOTFOUND, f->err);

    rev = commit(f, set_thumbprint, NULL);
    assert_told(f, rev, "meta/thumbprint ");
    look(f, head, &after);
    assert_int_equal(after.rev, before.rev + 1);
    assert_int_equal(after.rev, rev);
    assert_string_equal(after.epoch, before.epoch);
    assert_string_not_equal(after.id, before.id);
    assert_int_equal(strlen(after.id), 16);
    assert_int_equal(seen[0], 1);
    assert_int_equal(seen[1], rev);
    look(f, get_thumbprint, &b);
    assert_string_equal(pst_buf_cstr(&b), "abc");
}

TX(nothing)
{
    return PST_OK;
}

static void no_change_is_no_revision(void **state)
{
    struct fixture *f = *state;
    int64_t seen[2] = {0};

    pst_store_on_commit(f->store, count_commits, seen);
    assert_int_equal(commit(f, nothing, NULL), 0);
    assert_int_equal(seen[0], 0);
}

/* ---- users and tokens ---- */

TX(users_and_tokens)
{
    struct fixture *f = arg;
    struct pst_user u = {.username = "alice"}, got;
    struct pst_token t = {.name = "laptop", .hash = "aa"}, found;

    want_int(pst_user_insert(tx, &u, err), PST_CONFLICT);
    want_int(pst_user_by_name(tx, "bob", &got, err), PST_NOTFOUND);
    want_int(pst_user_by_name(tx, "alice", &got, err), PST_OK);
    want_text(got.id, f->user.id);
    want_int(got.role, PST_ROLE_TENANT);
    want_int(got.created_at_ms, NOW_MS);
    want_int(pst_user_lock(tx, got.id, err), PST_OK);
    want_int(pst_user_lock(tx, "none", err), PST_NOTFOUND);

    pst_str_copy(t.user_id, sizeof t.user_id, got.id);
    want_int(pst_token_insert(tx, &t, err), PST_OK);
    want_int(pst_token_used(tx, t.id, err), PST_OK);
    want_int(pst_token_by_hash(tx, "bb", &found, err), PST_NOTFOUND);
    want_int(pst_token_by_hash(tx, "aa", &found, err), PST_OK);
    want_int(found.last_used_at_ms, NOW_MS);
    want_int(pst_token_get(tx, t.id, &found, err), PST_OK);
    want_text(found.name, "laptop");
    want_int(pst_token_delete(tx, "somebody else", t.id, err), PST_NOTFOUND);
    want_int(pst_token_delete(tx, t.user_id, t.id, err), PST_OK);
    want_int(pst_token_get(tx, t.id, &found, err), PST_NOTFOUND);
    return PST_OK;
}

static void users_have_tokens(void **state)
{
    commit(*state, users_and_tokens, *state);
}

TX(bad_names)
{
    struct pst_user u = {.username = "a\xff"};
    struct pst_app a;

    want_int(pst_user_insert(tx, &u, err), PST_EINPUT);
    return pst_app_find(tx, NULL, "\xc3", &a, err);
}

static void bad_text_is_refused(void **state)
{
    struct fixture *f = *state;
    assert_rc(pst_store_write(f->store, bad_names, NULL, NULL, &f->err), PST_EINPUT, f->err);
}

/* ---- apps ---- */

static int note_upstream(const struct pst_upstream *u, void *arg)
{
    struct pst_upstream *list = arg;
    while (list->id[0])
        list++;
    *list = *u;
    return PST_OK;
}

TX(upstreams)
{
    struct fixture *f = arg;
    struct pst_upstream a[] = {{.address = "127.0.0.1:1", .weight = 1},
                               {.address = "[::1]:2", .weight = 100}};
    struct pst_upstream b[] = {{.address = "[::1]:2", .weight = 5},
                               {.address = "127.0.0.1:3", .weight = 1}};
    struct pst_upstream first[3] = {0}, second[3] = {0};

    want_int(pst_upstreams_set(tx, f->app.id, a, 2, err), PST_OK);
    want_int(pst_upstream_each(tx, f->app.id, note_upstream, first, err), PST_OK);
    want_int(pst_upstreams_set(tx, f->app.id, b, 2, err), PST_OK);
    want_int(pst_upstream_each(tx, f->app.id, note_upstream, second, err), PST_OK);
    want_text(first[1].address, "[::1]:2");
    want_text(second[0].address, "[::1]:2");
    want_text(second[0].id, first[1].id); /* the same upstream */
    want_int(second[0].weight, 5);
    want_text(second[1].address, "127.0.0.1:3");
    want(strcmp(second[1].id, first[0].id) != 0);
    want_text(second[2].id, "");
    return PST_OK;
}

TX(drain_one)
{
    struct fixture *f = arg;
    struct pst_upstream u, again, list[3] = {0};

    want_int(pst_upstream_find(tx, f->app.id, "[::1]:2", &u, err), PST_OK);
    want(!u.drain);
    u.drain = true;
    u.weight = 7;
    want_int(pst_upstream_update(tx, f->app.id, &u, err), PST_OK);
    want_int(pst_upstream_find(tx, f->app.id, u.id, &again, err), PST_OK);
    want_text(again.address, "[::1]:2");
    want(again.drain);
    want_int(again.weight, 7);
    want_int(pst_upstream_find(tx, f->app.id, "127.0.0.1:1", &again, err), PST_NOTFOUND);
    want_int(pst_upstream_find(tx, "other", u.id, &again, err), PST_NOTFOUND);
    want_int(pst_upstream_update(tx, "other", &u, err), PST_NOTFOUND);
    want_int(pst_upstream_each(tx, f->app.id, note_upstream, list, err), PST_OK);
    want(list[0].drain && !list[1].drain);
    return PST_OK;
}

static void equal_upstreams_keep_their_ids(void **state)
{
    struct fixture *f = *state;
    char wanted[64];

    snprintf(wanted, sizeof wanted, "app/%s ", f->app.id);
    assert_told(f, commit(f, upstreams, f), wanted);
    assert_told(f, commit(f, drain_one, f), wanted);
}

TX(apps)
{
    struct fixture *f = arg;
    struct pst_app a = {.name = "my-app"}, got;

    pst_str_copy(a.user_id, sizeof a.user_id, f->user.id);
    want_int(pst_app_insert(tx, &a, err), PST_CONFLICT);
    a = (struct pst_app){.name = "other", .router_logs = true, .domains_max = 9};
    pst_str_copy(a.user_id, sizeof a.user_id, f->user.id);
    want_int(pst_app_insert(tx, &a, err), PST_OK);
    want_int(pst_app_find(tx, NULL, "other", &got, err), PST_OK);
    want_int(pst_app_find(tx, f->user.id, a.id, &got, err), PST_OK);
    want(got.router_logs && !got.force_https && got.domains_max == 9);
    want_int(pst_app_find(tx, "somebody else", "other", &got, err), PST_NOTFOUND);
    pst_str_copy(got.name, sizeof got.name, "my-app");
    want_int(pst_app_update(tx, &got, err), PST_CONFLICT);
    pst_str_copy(got.name, sizeof got.name, "renamed");
    want_int(pst_app_update(tx, &got, err), PST_OK);
    want_int(pst_app_find(tx, NULL, "other", &got, err), PST_NOTFOUND);
    want_int(pst_app_lock(tx, a.id, err), PST_OK);
    want_int(pst_app_delete(tx, a.id, err), PST_OK);
    want_int(pst_app_delete(tx, a.id, err), PST_NOTFOUND);
    want_int(pst_app_lock(tx, a.id, err), PST_NOTFOUND);
    want_int(pst_app_update(tx, &got, err), PST_NOTFOUND);
    return PST_OK;
}

static void apps_have_unique_names(void **state)
{
    commit(*state, apps, *state);
}

TX(set_platform)
{
    const char *const *parts = arg;
    return pst_platform_set(tx, parts[0], parts[1], err);
}

TX(rename_app)
{
    struct fixture *f = arg;
    pst_str_copy(f->app.name, sizeof f->app.name, "new");
    return pst_app_update(tx, &f->app, err);
}

TX(force_https)
{
    struct fixture *f = arg;
    f->app.force_https = true;
    return pst_app_update(tx, &f->app, err);
}

TX(delete_app)
{
    struct fixture *f = arg;
    return pst_app_delete(tx, f->app.id, err);
}

static void platform_names_follow_their_app(void **state)
{
    struct fixture *f = *state;
    char wanted[160];
    struct pst_domain d = domain(f, "new.r1.example.net"),
                      taken = domain(f, "my-app.r1.example.net");

    assert_told(f, commit(f, set_platform, (const char *[]){"example.net", "r1"}),
                "name/my-app.r1.example.net ");
    assert_int_equal(commit(f, set_platform, (const char *[]){"example.net", "r1"}), 0);
    assert_rc(pst_store_write(f->store, domain_insert, &taken, NULL, &f->err), PST_CONFLICT,
              f->err);
    snprintf(wanted, sizeof wanted, "app/%s name/my-app.r1.example.net! name/new.r1.example.net ",
             f->app.id);
    assert_told(f, commit(f, rename_app, f), wanted);
    assert_rc(pst_store_write(f->store, domain_insert, &d, NULL, &f->err), PST_CONFLICT, f->err);
    assert_told(f, commit(f, force_https, f), "name/new.r1.example.net ");
    assert_told(f, commit(f, set_platform, (const char *[]){"example.org", ""}),
                "name/new.example.org name/new.r1.example.net! ");
    assert_told(f, commit(f, set_platform, (const char *[]){"", ""}), "name/new.example.org! ");
    commit(f, set_platform, (const char *[]){"example.net", "r1"});
    snprintf(wanted, sizeof wanted, "app/%s! name/new.r1.example.net! ", f->app.id);
    assert_told(f, commit(f, delete_app, f), wanted);
}

/* ---- domains ---- */

TX(domain_lookups)
{
    struct fixture *f = arg;
    struct pst_domain d = domain(f, "xn--caf-dma.example"), got;
    int64_t n = 0;

    pst_str_copy(d.name, sizeof d.name, "caf\xc3\xa9.example");
    pst_str_copy(d.evidence, sizeof d.evidence, "A 192.0.2.1");
    d.phase = PST_PHASE_MANUAL;
    d.due_at_ms = 5;
    want_int(pst_domain_insert(tx, &d, err), PST_OK);
    want_int(pst_domain_get(tx, d.id, &got, err), PST_OK);
    want_text(got.name, d.name);
    want_text(got.ascii, d.ascii);
    want_int(got.due_at_ms, 5);
    want_int(got.created_at_ms, NOW_MS);
    want(got.acme_enabled && !got.wildcard && !got.canonical);
    want_int(pst_domain_find(tx, f->app.id, d.id, &got, err), PST_OK);
    want_int(pst_domain_find(tx, f->app.id, d.name, &got, err), PST_OK);
    want_int(pst_domain_find(tx, f->app.id, d.ascii, &got, err), PST_OK);
    want_int(pst_domain_find(tx, "other app", d.ascii, &got, err), PST_NOTFOUND);
    want_int(pst_domain_by_ascii(tx, d.ascii, &got, err), PST_OK);
    want_text(got.evidence, "A 192.0.2.1");
    want_int(got.phase, PST_PHASE_MANUAL);
    want_int(pst_domain_count(tx, f->app.id, &n, err), PST_OK);
    want_int(n, 1);
    struct pst_domain again = domain(f, d.ascii);
    want_int(pst_domain_insert(tx, &again, err), PST_CONFLICT);
    want_int(pst_registered_lock(tx, "example", err), PST_OK);
    want_int(pst_registered_lock(tx, "example", err), PST_OK);
    return PST_OK;
}

static void domains_are_found(void **state)
{
    commit(*state, domain_lookups, *state);
}

static void edges_hear_only_what_they_need(void **state)
{
    struct fixture *f = *state;
    struct pst_domain d = domain(f, "www.example.com"), other = domain(f, "b.example.com");

    assert_told(f, commit(f, domain_insert, &d), "name/www.example.com ");
    assert_told(f, commit(f, domain_insert, &other), "name/b.example.com ");
    d.phase = PST_PHASE_WORK;
    d.next_try_at_ms = d.due_at_ms = d.failures = d.last_failure_at_ms = 9;
    d.acme_seen_at_ms = 9;
    pst_str_copy(d.reason, sizeof d.reason, "because");
    pst_str_copy(d.evidence, sizeof d.evidence, "seen");
    assert_int_equal(commit(f, domain_update, &d), 0);
    d.acme_cert = 4711;
    assert_told(f, commit(f, domain_update, &d), "name/www.example.com ");
    d.custom_cert = 4712;
    assert_told(f, commit(f, domain_update, &d), "name/www.example.com ");
    d.acme_enabled = false;
    assert_told(f, commit(f, domain_update, &d), "name/www.example.com ");
    d.canonical = true; /* every name of the app redirects there */
    assert_told(f, commit(f, domain_update, &d), "name/b.example.com name/www.example.com ");
    assert_int_equal(commit(f, domain_update, &d), 0);
    assert_told(f, commit(f, force_https, f), "name/b.example.com name/www.example.com ");
    assert_told(f, commit(f, domain_delete, d.id), "name/b.example.com name/www.example.com! ");
    assert_rc(pst_store_write(f->store, domain_update, &d, NULL, &f->err), PST_NOTFOUND, f->err);
    assert_rc(pst_store_write(f->store, domain_delete, d.id, NULL, &f->err), PST_NOTFOUND, f->err);
}

static void a_wildcard_concerns_the_names_it_covers(void **state)
{
    struct fixture *f = *state;
    struct pst_domain w = domain(f, "*.example.com"), a = domain(f, "a.example.com"),
                      deep = domain(f, "a.b.example.com"), apex = domain(f, "example.com");

    commit(f, domain_insert, &a);
    commit(f, domain_insert, &deep);
    commit(f, domain_insert, &apex);
    assert_told(f, commit(f, domain_insert, &w), "name/*.example.com name/a.example.com ");
    w.acme_cert = 1;
    assert_told(f, commit(f, domain_update, &w), "name/*.example.com name/a.example.com ");
    assert_told(f, commit(f, domain_delete, w.id), "name/*.example.com! name/a.example.com ");
}

TX(released)
{
    struct fixture *f = arg;
    struct pst_hold_question by_owner = {"www.example.com", f->user.id, NOW_MS - 1},
                             by_other = {"www.example.com", "another", NOW_MS - 1};
    struct pst_domain holder;
    enum pst_hold hold;

    want_int(pst_name_hold(tx, &by_owner, &hold, &holder, err), PST_OK);
    want_int(hold, PST_HOLD_FREE);
    want_int(pst_name_hold(tx, &by_other, &hold, &holder, err), PST_OK);
    want_int(hold, PST_HOLD_RELEASED);
    by_other.released_after_ms = NOW_MS;
    want_int(pst_name_hold(tx, &by_other, &hold, &holder, err), PST_OK);
    want_int(hold, PST_HOLD_FREE);
    return PST_OK;
}

static void a_deleted_app_releases_its_names(void **state)
{
    struct fixture *f = *state;
    struct pst_domain d = domain(f, "www.example.com");
    char wanted[96];

    commit(f, domain_insert, &d);
    snprintf(wanted, sizeof wanted, "app/%s! name/www.example.com! ", f->app.id);
    assert_told(f, commit(f, delete_app, f), wanted);
    look(f, released, f);
}

struct names {
    size_t n;
    char ids[40][PST_ID_SIZE];
};

static int note_domain(const struct pst_domain *d, void *arg)
{
    struct names *l = arg;
    pst_str_copy(l->ids[l->n++], PST_ID_SIZE, d->id);
    return PST_OK;
}

static int stop_at_first(const struct pst_domain *d, void *arg)
{
    return PST_DONE;
}

TX(watched)
{
    struct fixture *f = arg;
    struct names l = {0};
    struct pst_domain all[] = {domain(f, "a.example"),   domain(f, "b.example"),
                               domain(f, "c.example"),   domain(f, "*.d.example"),
                               domain(f, "off.example"), domain(f, "work.example")};

    all[4].acme_enabled = false;
    all[5].phase = PST_PHASE_WORK;
    for (size_t k = 0; k < PST_ARRAY_N(all); k++)
        want_int(pst_domain_insert(tx, &all[k], err), PST_OK);
    want_int(pst_domain_each_watched(tx, "", 2, note_domain, &l, err), PST_OK);
    want_int(l.n, 2);
    want_int(pst_domain_each_watched(tx, l.ids[1], 2, note_domain, &l, err), PST_OK);
    want_int(l.n, 3);
    want(strcmp(l.ids[0], l.ids[1]) < 0 && strcmp(l.ids[1], l.ids[2]) < 0);
    l.n = 0;
    want_int(pst_domain_each(tx, f->app.id, note_domain, &l, err), PST_OK);
    want_int(l.n, 6);
    want_int(pst_domain_each(tx, f->app.id, stop_at_first, NULL, err), PST_DONE);
    return PST_OK;
}

static void names_to_watch_come_in_pages(void **state)
{
    commit(*state, watched, *state);
}

TX(due)
{
    struct fixture *f = arg;
    struct pst_domain a = domain(f, "a.example"), b = domain(f, "b.example"),
                      c = domain(f, "c.example"), off = domain(f, "off.example");
    struct names l = {0};
    int64_t at = 0;

    a.due_at_ms = 200, b.due_at_ms = 100, c.due_at_ms = 300, off.due_at_ms = 1;
    off.acme_enabled = false;
    want_int(pst_domain_next_due(tx, &at, err), PST_OK);
    want_int(at, 0);
    struct pst_domain *all[] = {&a, &b, &c, &off};
    for (size_t k = 0; k < PST_ARRAY_N(all); k++)
        want_int(pst_domain_insert(tx, all[k], err), PST_OK);
    want_int(pst_domain_next_due(tx, &at, err), PST_OK);
    want_int(at, 100);
    want_int(pst_domain_each_due(tx, 250, 10, note_domain, &l, err), PST_OK);
    want_int(l.n, 2);
    want_text(l.ids[0], b.id);
    want_text(l.ids[1], a.id);

    struct pst_order_row o = {.state = "new"};
    pst_str_copy(o.domain_id, sizeof o.domain_id, b.id);
    want_int(pst_order_insert(tx, &o, err), PST_OK);
    want_int(pst_domain_next_due(tx, &at, err), PST_OK);
    want_int(at, 200);
    l.n = 0;
    want_int(pst_domain_each_due(tx, 250, 10, note_domain, &l, err), PST_OK);
    want_int(l.n, 1);
    return PST_OK;
}

static void due_domains_come_first_due_first(void **state)
{
    commit(*state, due, *state);
}

/* ---- certificates ---- */

static struct pst_certificate certificate(const char *leaf, const char *issuer1,
                                          const char *issuer2)
{
    struct pst_certificate c = {.origin = "acme", .key_type = "p256", .not_after = 9};

    c.leaf = bytes(leaf);
    c.sealed = bytes("sealed");
    c.issuers = pst_zalloc(2, sizeof *c.issuers);
    c.issuers[c.issuers_n++] = bytes(issuer1);
    if (issuer2)
        c.issuers[c.issuers_n++] = bytes(issuer2);
    return c;
}

TX(certificate_insert)
{
    return pst_certificate_insert(tx, arg, err);
}

TX(certificate_compare)
{
    const struct pst_certificate *c = arg;
    struct pst_certificate got = {0};

    int rc = pst_certificate_load(tx, c->num, &got, err);
    want_int(rc, PST_OK);
    want_text(got.id, c->id);
    want_int(got.not_after, 9);
    want_text(pst_buf_cstr(&got.leaf), pst_buf_cstr(&c->leaf));
    want_text(pst_buf_cstr(&got.sealed), "sealed");
    want_int(got.issuers_n, c->issuers_n);
    for (size_t k = 0; k < got.issuers_n; k++)
        want_text(pst_buf_cstr(&got.issuers[k]), pst_buf_cstr(&c->issuers[k]));
    pst_certificate_deinit(&got);
    rc = pst_certificate_get(tx, c->num, &got, err);
    want_int(got.issuers_n, 0);
    want_int(pst_certificate_get(tx, c->num ^ 1, &got, err), PST_NOTFOUND);
    want_int(pst_certificate_load(tx, c->num ^ 1, &got, err), PST_NOTFOUND);
    return rc;
}

struct sweep {
    int64_t before_ms, n;
};

TX(sweep)
{
    struct sweep *s = arg;
    return pst_certificate_sweep(tx, s->before_ms, &s->n, err);
}

TX(ladder)
{
    const int64_t *nums = arg;
    struct pst_default_ladder l;

    int rc = pst_default_ladder_set(tx, nums[0], nums[1], err);
    want_int(pst_default_ladder_get(tx, &l, err), PST_OK);
    want_int(l.certs[PST_DEFAULT_FILES], nums[0]);
    want_int(l.certs[PST_DEFAULT_ACME], 0);
    want_int(l.certs[PST_DEFAULT_LOCAL], nums[1]);
    want_text(l.domain_id, "");
    return rc;
}

static void certificates_share_issuers_and_go_when_unused(void **state)
{
    struct fixture *f = *state;
    struct pst_certificate a = certificate("leaf a", "mid", "root"),
                           b = certificate("leaf b", "root", NULL);
    struct pst_domain d = domain(f, "www.example.com");
    struct sweep s = {.before_ms = NOW_MS + 1000};
    char key[PST_SHA256_HEX_SIZE], mid[20], root[20], wanted[200];

    assert_ok(pst_sha256_hex("mid", 3, key, &f->err), f->err);
    snprintf(mid, sizeof mid, "%.16s", key);
    assert_ok(pst_sha256_hex("root", 4, key, &f->err), f->err);
    snprintf(root, sizeof root, "%.16s", key);

    int64_t rev = commit(f, certificate_insert, &a);
    assert_true(a.num > 0);
    snprintf(wanted, sizeof wanted, "cert/%" PRId64 " issuer/%s issuer/%s ", a.num,
             strcmp(mid, root) < 0 ? mid : root, strcmp(mid, root) < 0 ? root : mid);
    assert_told(f, rev, wanted);
    rev = commit(f, certificate_insert, &b);
    snprintf(wanted, sizeof wanted, "cert/%" PRId64 " ", b.num); /* the issuer is there already */
    assert_told(f, rev, wanted);
    look(f, certificate_compare, &a);
    look(f, certificate_compare, &b);

    d.acme_cert = a.num;
    commit(f, domain_insert, &d);
    assert_told(f, commit(f, ladder, (int64_t[]){b.num, 0}), "meta/default ");
    assert_int_equal(commit(f, ladder, (int64_t[]){b.num, 0}), 0);
    assert_int_equal(commit(f, sweep, &s), 0); /* both are named */
    assert_int_equal(s.n, 0);

    pst_clock_manual_advance(&f->clock, 5000);
    d.acme_cert = 0;
    commit(f, domain_update, &d);
    assert_int_equal(commit(f, sweep, &s), 0); /* too young */
    s.before_ms = NOW_MS + 5001;
    rev = commit(f, sweep, &s);
    assert_int_equal(s.n, 1);
    snprintf(wanted, sizeof wanted, "cert/%" PRId64 "! issuer/%s! ", a.num, mid);
    assert_told(f, rev, wanted);
    look(f, certificate_compare, &b);
    pst_certificate_deinit(&a);
    pst_certificate_deinit(&b);
}

/* ---- accounts ---- */

TX(accounts)
{
    struct pst_account a = {.directory = "https://ca.example/dir",
                            .thumbprint = "thumb",
                            .status = "valid",
                            .sealed = bytes("key")},
                       got = {0};

    want_int(pst_account_insert(tx, &a, err), PST_OK);
    struct pst_account again = a;
    again.id[0] = '\0';
    want_int(pst_account_insert(tx, &again, err), PST_CONFLICT);
    pst_str_copy(a.url, sizeof a.url, "https://ca.example/acct/1");
    want_int(pst_account_update(tx, &a, err), PST_OK);
    want_int(pst_account_by_directory(tx, a.directory, &got, err), PST_OK);
    want_text(got.url, a.url);
    want_text(got.id, a.id);
    want_text(pst_buf_cstr(&got.sealed), "key");
    pst_account_deinit(&got);
    want_int(pst_account_by_directory(tx, "other", &got, err), PST_NOTFOUND);
    pst_account_deinit(&a);
    return PST_OK;
}

static void accounts_show_their_thumbprint(void **state)
{
    struct fixture *f = *state;
    assert_told(f, commit(f, accounts, NULL), "meta/thumbprint ");
}

/* ---- no memory ---- */

struct starved {
    long nth;
    bool hit;
    struct pst_certificate *cert;
};

TX(starve)
{
    struct starved *s = arg;
    struct pst_certificate got = {0};

    pst_mem_fail_at(s->nth);
    int rc = pst_certificate_insert(tx, s->cert, err);
    if (rc == PST_OK)
        rc = pst_certificate_load(tx, s->cert->num, &got, err);
    if (rc == PST_OK)
        rc = pst_meta_set_secret(tx, "probe_key", "0123", 4, err);
    s->hit = pst_mem_failed();
    pst_mem_fail_at(0);
    pst_certificate_deinit(&got);
    return rc;
}

static void no_memory_is_survived(void **state)
{
    struct fixture *f = *state;
    struct pst_certificate c = certificate("leaf", "mid", "root");
    int rc;

    for (long n = 1;; n++) {
        struct starved s = {.nth = n, .cert = &c};
        rc = pst_store_write(f->store, starve, &s, NULL, &f->err);
        if (!s.hit)
            break;
        assert_rc(rc, PST_ENOMEM, f->err);
    }
    assert_rc(rc, PST_OK, f->err);
    look(f, certificate_compare, &c);
    pst_certificate_deinit(&c);
    pst_store_close(f->store);
    f->store = NULL;
    assert_survives_no_memory(rc, {
        pst_err_clear(&f->err);
        rc = pst_store_open(&f->store, &f->opts, &f->err);
    });
}

/* ---- statements ---- */

static void all_statements_fit_their_tables(void **state)
{
    struct fixture *f = *state;
    assert_ok(pst_db_check_statements(f->store->db, &f->err), f->err);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(secrets_survive_a_restart),
        T(a_store_without_keys_can_be_read),
        T(only_init_makes_a_store),
        T(a_refused_transaction_makes_no_revision),
        T(no_change_is_no_revision),
        T(users_have_tokens),
        T(bad_text_is_refused),
        T(equal_upstreams_keep_their_ids),
        T(apps_have_unique_names),
        T(platform_names_follow_their_app),
        T(domains_are_found),
        T(edges_hear_only_what_they_need),
        T(a_wildcard_concerns_the_names_it_covers),
        T(a_deleted_app_releases_its_names),
        T(names_to_watch_come_in_pages),
        T(due_domains_come_first_due_first),
        T(certificates_share_issuers_and_go_when_unused),
        T(accounts_show_their_thumbprint),
        T(no_memory_is_survived),
        T(all_statements_fit_their_tables),
    };
    return cmocka_run_group_tests_name(ENGINE, tests, NULL, NULL);
}
