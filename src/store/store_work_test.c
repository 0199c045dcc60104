/* store_work_test.c - orders and their leases, edges, budget, challenges, tickets, events, and the
 * feed under load. */
#include "store_fixture.h"

#include <postern/history.h>

#include <postern/renewal.h>

/* ---- orders ---- */

TX(order_insert)
{
    return pst_order_insert(tx, arg, err);
}

static struct pst_order_row order_of(const struct pst_domain *d, int64_t run_at_ms)
{
    struct pst_order_row o = {.state = "new", .run_at_ms = run_at_ms, .attempt = 1};
    pst_str_copy(o.domain_id, sizeof o.domain_id, d->id);
    pst_str_copy(o.name, sizeof o.name, d->ascii);
    return o;
}

struct claim {
    int64_t now_ms, lease_ms;
    struct pst_order_row row;
};

TX(claim)
{
    struct claim *c = arg;
    return pst_order_claim(tx, PST_LANE_CA, c->now_ms, c->lease_ms, &c->row, err);
}

struct save {
    const struct pst_order_row *row;
    bool release;
};

TX(save)
{
    const struct save *s = arg;
    return pst_order_save(tx, s->row, s->release, 60000, err);
}

static int try_claim(struct fixture *f, struct claim *c)
{
    pst_order_row_deinit(&c->row);
    c->row = (struct pst_order_row){0};
    return pst_store_write(f->store, claim, c, NULL, &f->err);
}

static void saving_needs_the_lease(void **state)
{
    struct fixture *f = *state;
    struct pst_domain d = domain(f, "www.example.com");
    struct claim c = {.now_ms = 100, .lease_ms = 60000}, second = {.now_ms = 100, .lease_ms = 1};

    commit(f, domain_insert, &d);
    struct pst_order_row o = order_of(&d, 100);
    o.data = bytes("{\"a\":1}");
    o.sealed = bytes("sealed");
    commit(f, order_insert, &o);
    assert_rc(pst_store_write(f->store, order_insert, &o, NULL, &f->err), PST_CONFLICT, f->err);

    c.now_ms = 99;
    assert_rc(try_claim(f, &c), PST_NOTFOUND, f->err);
    c.now_ms = 100;
    assert_ok(try_claim(f, &c), f->err);
    assert_string_equal(c.row.id, o.id);
    assert_string_equal(pst_buf_cstr(&c.row.data), "{\"a\":1}");
    assert_string_equal(pst_buf_cstr(&c.row.sealed), "sealed");
    assert_int_equal(c.row.lease_token, 1);
    assert_rc(try_claim(f, &second), PST_NOTFOUND, f->err);

    /* A save that keeps the lease, one that ends it, and the next one who claims. */
    pst_str_copy(c.row.state, sizeof c.row.state, "second");
    commit(f, save, &(struct save){&c.row, false});
    assert_rc(try_claim(f, &second), PST_NOTFOUND, f->err);
    commit(f, save, &(struct save){&c.row, true});
    assert_ok(try_claim(f, &second), f->err);
    assert_string_equal(second.row.state, "second");
    assert_int_equal(second.row.lease_token, 2);

    /* The first one comes back late: nothing is changed. */
    pst_str_copy(c.row.state, sizeof c.row.state, "late");
    assert_rc(pst_store_write(f->store, save, &(struct save){&c.row, true}, NULL, &f->err),
              PST_CONFLICT, f->err);
    /* The lease of 1 ms is over by the database's clock, though our clock stands still. */
    usleep(20000);
    assert_ok(try_claim(f, &second), f->err);
    assert_string_equal(second.row.state, "second");
    assert_int_equal(second.row.lease_token, 3);

    second.row.ended_at_ms = 5;
    commit(f, save, &(struct save){&second.row, false});
    usleep(20000);
    assert_rc(try_claim(f, &c), PST_NOTFOUND, f->err);
    pst_order_row_deinit(&c.row);
    pst_order_row_deinit(&second.row);
    pst_order_row_deinit(&o);
}

TX(open_of)
{
    struct pst_domain *d = arg;
    struct pst_order_row o = {0};
    int rc = pst_order_open_of(tx, d->id, &o, err);
    pst_order_row_deinit(&o);
    return rc;
}

static void deleting_a_domain_ends_its_order(void **state)
{
    struct fixture *f = *state;
    struct pst_domain d = domain(f, "www.example.com");
    struct claim c = {.now_ms = 100, .lease_ms = 60000};

    commit(f, domain_insert, &d);
    struct pst_order_row o = order_of(&d, 100);
    commit(f, order_insert, &o);
    assert_ok(try_claim(f, &c), f->err);
    look(f, open_of, &d);
    commit(f, domain_delete, d.id);
    assert_rc(pst_store_read(f->store, open_of, &d, &f->err), PST_NOTFOUND, f->err);
    assert_rc(pst_store_write(f->store, save, &(struct save){&c.row, true}, NULL, &f->err),
              PST_CONFLICT, f->err);
    pst_order_row_deinit(&c.row);
}

/* One app and `n` orders, each of its own domain, due from `run_at_ms` on. */
struct tenant {
    const char *username, *app, *zone;
    int n;
    int64_t run_at_ms;
    char user_id[PST_ID_SIZE];
};

TX(tenant_insert)
{
    struct tenant *t = arg;
    struct pst_user u = {0};
    struct pst_app a = {0};

    pst_str_copy(u.username, sizeof u.username, t->username);
    want_int(pst_user_insert(tx, &u, err), PST_OK);
    pst_str_copy(t->user_id, sizeof t->user_id, u.id);
    pst_str_copy(a.name, sizeof a.name, t->app);
    pst_str_copy(a.user_id, sizeof a.user_id, u.id);
    want_int(pst_app_insert(tx, &a, err), PST_OK);
    for (int k = 0; k < t->n; k++) {
        struct pst_domain d = {.acme_enabled = true};
        pst_str_copy(d.app_id, sizeof d.app_id, a.id);
        pst_str_copy(d.user_id, sizeof d.user_id, u.id);
        snprintf(d.ascii, sizeof d.ascii, "n%d.%s", k, t->zone);
        want_int(pst_domain_insert(tx, &d, err), PST_OK);
        struct pst_order_row o = order_of(&d, t->run_at_ms + k);
        want_int(pst_order_insert(tx, &o, err), PST_OK);
    }
    return PST_OK;
}

static void tenants_take_turns(void **state)
{
    struct fixture *f = *state;
    struct tenant bob = {"bob", "app-b", "b.example", 5, 100},
                  eve = {"eve", "app-e", "e.example", 2, 500};
    struct claim c = {.now_ms = 1000, .lease_ms = 60000};
    char turns[8] = "";

    commit(f, tenant_insert, &bob);
    commit(f, tenant_insert, &eve);
    for (int k = 0; k < 7; k++) {
        usleep(3000); /* the turns are told apart by the database's milliseconds */
        assert_ok(try_claim(f, &c), f->err);
        turns[k] = strchr(c.row.name, '.')[1];
    }
    assert_string_equal(turns, "bebebbb");
    assert_rc(try_claim(f, &c), PST_NOTFOUND, f->err);
    pst_order_row_deinit(&c.row);
}

enum { CLAIMERS = 8, ORDERS = 40 };

struct claimer {
    struct fixture *f;
    size_t n;
    char ids[ORDERS][PST_ID_SIZE];
    int rc;
};

static void *claim_all(void *arg)
{
    struct claimer *w = arg;
    struct pst_err err = {0};

    for (;;) {
        struct claim c = {.now_ms = 1000, .lease_ms = 60000};
        w->rc = pst_store_write(w->f->store, claim, &c, NULL, &err);
        if (w->rc != PST_OK)
            return NULL;
        pst_str_copy(w->ids[w->n++], PST_ID_SIZE, c.row.id);
        pst_order_row_deinit(&c.row);
    }
}

static void two_never_claim_the_same_order(void **state)
{
    struct fixture *f = *state;
    struct tenant bob = {"bob", "app-b", "b.example", ORDERS, 1};
    static struct claimer w[CLAIMERS];
    char all[ORDERS][PST_ID_SIZE];
    size_t n = 0;
    pthread_t t[CLAIMERS];

    commit(f, tenant_insert, &bob);
    for (int k = 0; k < CLAIMERS; k++) {
        w[k] = (struct claimer){.f = f};
        pthread_create(&t[k], NULL, claim_all, &w[k]);
    }
    for (int k = 0; k < CLAIMERS; k++) {
        pthread_join(t[k], NULL);
        assert_int_equal(w[k].rc, PST_NOTFOUND);
        assert_true(n + w[k].n <= ORDERS);
        memcpy(all[n], w[k].ids, w[k].n * PST_ID_SIZE);
        n += w[k].n;
    }
    /* On PostgreSQL a claimer that meets only locked rows stops early; somebody got each. */
    assert_int_equal(n, ORDERS);
    qsort(all, n, PST_ID_SIZE, (int (*)(const void *, const void *))strcmp);
    for (size_t k = 1; k < n; k++)
        assert_string_not_equal(all[k - 1], all[k]);
}

TX(free_stale)
{
    return pst_order_free_stale(tx, arg, err);
}

TX(next_due)
{
    return pst_order_next_due(tx, PST_LANE_CA, arg, err);
}

TX(wake_all)
{
    return pst_order_wake(tx, arg, 50, err);
}

static void a_node_frees_its_earlier_leases(void **state)
{
    struct fixture *f = *state;
    struct tenant bob = {"bob", "app-b", "b.example", 3, 1};
    struct claim c = {.now_ms = 1000, .lease_ms = 60000};
    static const struct {
        const char *node;
        int64_t freed;
    } nodes[] = {{"node/boot1", 0}, {"node2/boot1", 0}, {"nod/boot1", 0}, {"node/boot2", 1}};

    commit(f, tenant_insert, &bob);
    assert_ok(try_claim(f, &c), f->err);
    for (size_t k = 0; k < PST_ARRAY_N(nodes); k++) {
        int64_t n = -1;
        f->opts.node = nodes[k].node;
        assert_ok(open_again(f, f->key_file), f->err);
        commit(f, free_stale, &n);
        assert_int_equal(n, nodes[k].freed);
    }
    assert_ok(try_claim(f, &c), f->err);
    assert_int_equal(c.row.run_at_ms, 1);
    assert_int_equal(c.row.lease_token, 2);
    pst_order_row_deinit(&c.row);
}

static void sleeping_orders_are_woken(void **state)
{
    struct fixture *f = *state;
    struct tenant bob = {"bob", "app-b", "b.example", 2, 7000};
    struct claim c = {.now_ms = 60, .lease_ms = 60000};
    int64_t at = -1, seen[2] = {0};

    look(f, next_due, &at);
    assert_int_equal(at, 0);
    pst_store_on_commit(f->store, count_commits, seen);
    commit(f, tenant_insert, &bob);
    assert_int_equal(seen[0], 1);
    look(f, next_due, &at);
    assert_int_equal(at, 7000);
    commit(f, wake_all, (char *)"another account");
    assert_int_equal(seen[0], 1);
    assert_rc(try_claim(f, &c), PST_NOTFOUND, f->err);
    commit(f, wake_all, NULL);
    assert_int_equal(seen[0], 2);
    assert_ok(try_claim(f, &c), f->err);
    look(f, next_due, &at);
    assert_int_equal(at, 50);
    pst_order_row_deinit(&c.row);
}

enum { TEXT_SIZE = 32 };

static void add_text(char to[TEXT_SIZE], const char *text)
{
    size_t at = strlen(to);
    snprintf(to + at, TEXT_SIZE - at, "%s", text);
}

static int note_order(const struct pst_order_row *o, void *arg)
{
    add_text(arg, o->state);
    return PST_OK;
}

TX(history)
{
    const void *const *args = arg;
    return pst_order_each_of(tx, args[0], 2, note_order, (void *)args[1], err);
}

static void the_newest_order_comes_first(void **state)
{
    struct fixture *f = *state;
    struct pst_domain d = domain(f, "www.example.com");
    char text[TEXT_SIZE] = "";

    commit(f, domain_insert, &d);
    for (int k = 0; k < 3; k++) {
        struct pst_order_row o = order_of(&d, 1);
        snprintf(o.state, sizeof o.state, "%c", 'a' + k);
        o.created_at_ms = 10 + k;
        o.ended_at_ms = k < 2 ? 100 : 0;
        commit(f, order_insert, &o);
    }
    look(f, history, (const void *[]){d.id, text});
    assert_string_equal(text, "cb");
}

/* ---- renewals ---- */

TX(renewal_put)
{
    return pst_renewal_put(tx, arg, err);
}

struct renewal_claim {
    int64_t now_ms;
    struct pst_renewal r;
};

TX(renewal_take)
{
    struct renewal_claim *c = arg;
    return pst_renewal_claim(tx, c->now_ms, 1000, &c->r, err);
}

TX(renewal_drop)
{
    return pst_renewal_delete(tx, *(int64_t *)arg, err);
}

static void a_question_about_a_renewal_has_one_asker(void **state)
{
    struct fixture *f = *state;
    struct pst_renewal late = {.num = 7, .ask_at_ms = 200}, early = {8, 10, 20, 100};
    struct renewal_claim c = {.now_ms = 99};

    commit(f, renewal_put, &late);
    commit(f, renewal_put, &early);
    assert_rc(pst_store_write(f->store, renewal_take, &c, NULL, &f->err), PST_NOTFOUND, f->err);
    c.now_ms = 300;
    commit(f, renewal_take, &c);
    assert_int_equal(c.r.num, 8);
    assert_int_equal(c.r.start_at_ms, 10);
    assert_int_equal(c.r.end_at_ms, 20);
    commit(f, renewal_take, &c);
    assert_int_equal(c.r.num, 7);
    assert_rc(pst_store_write(f->store, renewal_take, &c, NULL, &f->err), PST_NOTFOUND, f->err);

    /* Neither was answered: both come again after the hold, but not the one that is dropped. */
    commit(f, renewal_drop, &early.num);
    c.now_ms = 1300;
    commit(f, renewal_take, &c);
    assert_int_equal(c.r.num, 7);
    assert_rc(pst_store_write(f->store, renewal_take, &c, NULL, &f->err), PST_NOTFOUND, f->err);
}

/* ---- edges ---- */

TX(edge_insert)
{
    return pst_edge_insert(tx, arg, err);
}

struct poll {
    const char *id;
    int64_t acked, now_ms;
    bool caught_up;
};

TX(polled)
{
    const struct poll *p = arg;
    return pst_edge_polled(tx, p->id, p->acked, p->caught_up, p->now_ms, 15000, err);
}

struct readiness {
    int64_t rev, now_ms, live, ready;
};

TX(readiness)
{
    struct readiness *r = arg;
    return pst_edge_readiness(tx, r->rev, r->now_ms, 15000, &r->live, &r->ready, err);
}

#define assert_ready(f, rev, now_ms, live_n, ready_n)                                              \
    do {                                                                                           \
        struct readiness r_ = {(rev), (now_ms), -1, -1};                                           \
        look((f), readiness, &r_);                                                                 \
        assert_int_equal(r_.live, (live_n));                                                       \
        assert_int_equal(r_.ready, (ready_n));                                                     \
    } while (0)

static void orders_wait_for_live_edges(void **state)
{
    struct fixture *f = *state;
    struct pst_edge a = {.name = "a", .token_hash = "ha"}, b = {.name = "b", .token_hash = "hb"};
    struct tenant bob = {"bob", "app-b", "b.example", 1, 1};
    struct claim c = {.now_ms = 1000, .lease_ms = 60000};

    commit(f, edge_insert, &a);
    commit(f, edge_insert, &b);
    commit(f, tenant_insert, &bob);
    assert_ok(try_claim(f, &c), f->err);
    c.row.run_at_ms = 90000; /* the barrier's deadline */
    c.row.wait_rev = 10;
    commit(f, save, &(struct save){&c.row, true});

    assert_ready(f, 10, 2000, 0, 0);
    commit(f, polled, &(struct poll){a.id, 9, 2000, true});
    commit(f, polled, &(struct poll){b.id, 10, 2000, false}); /* has not caught up: not live */
    assert_ready(f, 10, 2000, 1, 0);
    c.now_ms = 2000;
    assert_rc(try_claim(f, &c), PST_NOTFOUND, f->err);
    commit(f, polled, &(struct poll){b.id, 10, 2001, true});
    assert_ready(f, 10, 2001, 2, 1);
    assert_rc(try_claim(f, &c), PST_NOTFOUND, f->err);         /* a is behind */
    assert_ready(f, 10, 17001, 1, 1);                          /* a is silent */
    commit(f, polled, &(struct poll){b.id, 10, 17001, false}); /* once caught up is enough */
    c.now_ms = 17001;
    assert_ok(try_claim(f, &c), f->err);
    assert_int_equal(c.row.wait_rev, 0);
    assert_int_equal(c.row.run_at_ms, 17001);
    assert_rc(pst_store_write(f->store, polled, &(struct poll){"none", 1, 1, true}, NULL, &f->err),
              PST_NOTFOUND, f->err);
    pst_order_row_deinit(&c.row);
}

static int count_edges(const struct pst_edge *e, void *arg)
{
    ++*(int *)arg;
    return PST_OK;
}

TX(enrolment)
{
    struct fixture *f = arg;
    struct pst_edge e = {.name = "e", .token_hash = "h1", .acked_rev = 5, .caught_up = true},
                    again = {.name = "e", .token_hash = "h2"}, got;
    char region[PST_WORD_SIZE];
    int n = 0;

    (void)f;
    memset(e.public_key, 7, sizeof e.public_key);
    want_int(pst_enrol_token_insert(tx, "one", "r1", 1000, err), PST_OK);
    want_int(pst_enrol_token_insert(tx, "old", "r1", 1000, err), PST_OK);
    want_int(pst_enrol_token_use(tx, "one", 999, region, err), PST_OK);
    want_text(region, "r1");
    want_int(pst_enrol_token_use(tx, "one", 999, region, err), PST_NOTFOUND);
    want_int(pst_enrol_token_use(tx, "old", 1000, region, err), PST_NOTFOUND);
    want_int(pst_enrol_token_use(tx, "none", 999, region, err), PST_NOTFOUND);

    want_int(pst_edge_insert(tx, &e, err), PST_OK);
    want_int(pst_edge_by_token_hash(tx, "h1", &got, err), PST_OK);
    want(memcmp(got.public_key, e.public_key, 32) == 0);
    want_int(pst_edge_insert(tx, &again, err), PST_OK); /* takes the place */
    want_int(pst_edge_by_token_hash(tx, "h1", &got, err), PST_NOTFOUND);
    want_int(pst_edge_by_token_hash(tx, "h2", &got, err), PST_OK);
    want_text(got.id, again.id);
    want(got.acked_rev == 0 && !got.caught_up);
    want_int(pst_edge_each(tx, count_edges, &n, err), PST_OK);
    want_int(n, 1);
    want_int(pst_edge_delete(tx, again.id, err), PST_OK);
    want_int(pst_edge_delete(tx, again.id, err), PST_NOTFOUND);
    return PST_OK;
}

static void edges_enrol_once(void **state)
{
    commit(*state, enrolment, *state);
}

/* ---- budget ---- */

TX(budget)
{
    int64_t at = 0, left = -1;

    /* 5 a day; all at once, then one every 4.8 hours. */
    for (int k = 0; k < 5; k++) {
        want_int(pst_bucket_left(tx, "k", "x", 5, 86400, NOW_MS, &left, err), PST_OK);
        want_int(left, 5 - k);
        want_int(pst_bucket_peek(tx, "k", "x", 5, 86400, NOW_MS, &at, err), PST_OK);
        want_int(pst_bucket_spend(tx, "k", "x", 5, 86400, NOW_MS, err), PST_OK);
    }
    want_int(pst_bucket_left(tx, "k", "x", 5, 86400, NOW_MS, &left, err), PST_OK);
    want_int(left, 0);
    want_int(pst_bucket_peek(tx, "k", "x", 5, 86400, NOW_MS, &at, err), PST_NOTYET);
    want_int(at, NOW_MS + 17280000);
    want_int(pst_bucket_peek(tx, "k", "x", 5, 86400, at - 1, &left, err), PST_NOTYET);
    want_int(pst_bucket_peek(tx, "k", "x", 5, 86400, at, &left, err), PST_OK);
    want_int(pst_bucket_spend(tx, "k", "x", 5, 86400, NOW_MS, err), PST_OK); /* debt */
    want_int(pst_bucket_peek(tx, "k", "x", 5, 86400, at, &left, err), PST_NOTYET);
    want_int(left, NOW_MS + 2 * 17280000);
    want_int(pst_bucket_peek(tx, "k", "other", 5, 86400, NOW_MS, &at, err), PST_OK);

    /* 600 in a second, finer than our milliseconds: never more than the limit. */
    int n = 0;
    while (pst_bucket_peek(tx, "fine", "x", 600, 1, NOW_MS, &at, err) == PST_OK && ++n < 2000)
        want_int(pst_bucket_spend(tx, "fine", "x", 600, 1, NOW_MS, err), PST_OK);
    want_int(n, 600);

    want_int(pst_bucket_block(tx, "b", "x", NOW_MS + 500, err), PST_OK);
    want_int(pst_bucket_block(tx, "b", "x", NOW_MS + 100, err), PST_OK);
    want_int(pst_bucket_peek(tx, "b", "x", 5, 60, NOW_MS, &at, err), PST_NOTYET);
    want_int(at, NOW_MS + 500);
    want_int(pst_bucket_left(tx, "b", "x", 5, 60, NOW_MS, &left, err), PST_OK);
    want_int(left, 0);
    want_int(pst_bucket_peek(tx, "b", "x", 5, 60, NOW_MS + 500, &at, err), PST_OK);
    want_int(pst_bucket_peek(tx, "b", "x", 0, 60, NOW_MS, &at, err), PST_EINTERNAL);
    return PST_OK;
}

static void a_budget_is_kept_exactly(void **state)
{
    commit(*state, budget, NULL);
}

TX(take_one)
{
    int64_t at;
    int rc = pst_bucket_peek(tx, "k", "shared", 10, 86400, NOW_MS, &at, err);
    return rc == PST_OK ? pst_bucket_spend(tx, "k", "shared", 10, 86400, NOW_MS, err) : rc;
}

struct taker {
    struct fixture *f;
    int taken, faults;
};

static void *take_many(void *arg)
{
    struct taker *t = arg;
    struct pst_err err = {0};

    for (int k = 0; k < 5; k++) {
        int rc = pst_store_write(t->f->store, take_one, NULL, NULL, &err);
        t->taken += rc == PST_OK;
        t->faults += rc < 0;
    }
    return NULL;
}

static void many_takers_do_not_overspend(void **state)
{
    struct taker w[8];
    pthread_t t[8];
    int taken = 0;

    for (int k = 0; k < 8; k++) {
        w[k] = (struct taker){.f = *state};
        pthread_create(&t[k], NULL, take_many, &w[k]);
    }
    for (int k = 0; k < 8; k++) {
        pthread_join(t[k], NULL);
        assert_int_equal(w[k].faults, 0);
        taken += w[k].taken;
    }
    assert_int_equal(taken, 10);
}

/* ---- challenges, tickets, events ---- */

TX(challenge_put)
{
    return pst_challenge_put(tx, arg, "www.example.com", "answer", 1000, err);
}

TX(challenge_delete)
{
    return pst_challenge_delete(tx, arg, err);
}

TX(challenge_sweep)
{
    return pst_challenge_sweep(tx, *(int64_t *)arg, err);
}

static void challenges_come_and_go(void **state)
{
    struct fixture *f = *state;

    assert_told(f, commit(f, challenge_put, (char *)"t1"), "challenge/t1 ");
    assert_told(f, commit(f, challenge_put, (char *)"t1"), "challenge/t1 ");
    assert_told(f, commit(f, challenge_put, (char *)"t2"), "challenge/t2 ");
    assert_told(f, commit(f, challenge_delete, (char *)"t1"), "challenge/t1! ");
    assert_int_equal(commit(f, challenge_delete, (char *)"t1"), 0);
    assert_int_equal(commit(f, challenge_sweep, &(int64_t){999}), 0);
    assert_told(f, commit(f, challenge_sweep, &(int64_t){1000}), "challenge/t2! ");
}

struct rotation {
    int64_t now_ms;
    int rc;
};

TX(rotate)
{
    struct rotation *r = arg;
    r->rc = pst_ticket_rotate(tx, r->now_ms, 12 * 3600, err);
    return r->rc == PST_DONE ? PST_OK : r->rc;
}

static int count_told(struct fixture *f, int64_t rev, char mark)
{
    struct told t = told(f, rev);
    int n = 0;

    for (const char *s = t.text; (s = strchr(s, ' ')); s++)
        n += mark == '!' ? s[-1] == '!' : s[-1] != '!';
    return n;
}

static void ticket_keys_are_made_ahead(void **state)
{
    struct fixture *f = *state;
    struct rotation r = {.now_ms = NOW_MS};
    int64_t half_day = 12 * 3600 * 1000;

    int64_t rev = commit(f, rotate, &r);
    assert_in_range(count_told(f, rev, ' '), 4, 5); /* this half day and those of 48 hours */
    assert_int_equal(commit(f, rotate, &r), 0);
    assert_int_equal(r.rc, PST_DONE);
    r.now_ms += half_day;
    rev = commit(f, rotate, &r);
    assert_int_equal(count_told(f, rev, ' '), 1);
    assert_int_equal(count_told(f, rev, '!'), 0);
    r.now_ms += half_day; /* the first one ended */
    rev = commit(f, rotate, &r);
    assert_int_equal(count_told(f, rev, ' '), 1);
    assert_int_equal(count_told(f, rev, '!'), 1);
    r.now_ms += 100 * half_day; /* a long stop: all are over */
    rev = commit(f, rotate, &r);
    assert_in_range(count_told(f, rev, ' '), 4, 5);
    assert_in_range(count_told(f, rev, '!'), 4, 6);
}

static int note_event(const struct pst_event *e, void *arg)
{
    add_text(arg, e->kind);
    return PST_OK;
}

TX(events)
{
    struct pst_event a = {.kind = "a", .domain_id = "d1"}, b = {.kind = "b"},
                     c = {.kind = "c", .domain_id = "d1"};
    char all[TEXT_SIZE] = "", some[TEXT_SIZE] = "", two[TEXT_SIZE] = "";

    want_int(pst_event_append(tx, &a, err), PST_OK);
    want_int(pst_event_append(tx, &b, err), PST_OK);
    want_int(pst_event_append(tx, &c, err), PST_OK);
    want(a.seq < b.seq && b.seq < c.seq);
    want_int(a.at_ms, NOW_MS);
    want_int(pst_event_each(tx, NULL, 10, note_event, all, err), PST_OK);
    want_text(all, "cba");
    want_int(pst_event_each(tx, "d1", 10, note_event, some, err), PST_OK);
    want_text(some, "ca");
    want_int(pst_event_each(tx, "", 2, note_event, two, err), PST_OK);
    want_text(two, "cb");

    const struct {
        struct pst_event_page page;
        const char *wanted;
    } pages[] = {
        {{.cursor = INT64_MAX, .limit = 2}, "cb"},
        {{.cursor = b.seq, .limit = 2}, "a"},
        {{.domain_id = "d1", .cursor = c.seq, .limit = 2}, "a"},
        {{.app_id = "a1", .cursor = INT64_MAX, .limit = 2}, ""},
        {{.forward = true, .limit = 9}, ""}, /* none is sealed */
    };
    for (size_t i = 0; i < PST_ARRAY_N(pages); i++) {
        char seen[TEXT_SIZE] = "";
        want_int(pst_event_page(tx, &pages[i].page, note_event, seen, err), PST_OK);
        want_text(seen, pages[i].wanted);
    }
    c.chain_pos = 1;
    a.chain_pos = 2;
    want_int(pst_event_seal(tx, &c, err), PST_OK);
    want_int(pst_event_seal(tx, &a, err), PST_OK);
    char on[TEXT_SIZE] = "", rest[TEXT_SIZE] = "";
    want_int(pst_event_page(tx, &(struct pst_event_page){.forward = true, .limit = 9}, note_event,
                            on, err),
             PST_OK);
    want_text(on, "ca");
    want_int(pst_event_page(tx,
                            &(struct pst_event_page){
                                .domain_id = "d1", .forward = true, .cursor = 1, .limit = 9},
                            note_event, rest, err),
             PST_OK);
    want_text(rest, "a");
    return PST_OK;
}

static void events_are_in_order(void **state)
{
    commit(*state, events, NULL);
}

/* ---- the feed under load ---- */

enum { WRITERS = 16, PUTS = 20 };

struct feed_writer {
    struct fixture *f;
    int number, faults;
};

static void *write_challenges(void *arg)
{
    struct feed_writer *w = arg;
    struct pst_err err = {0};

    for (int k = 0; k < PUTS; k++) {
        char token[32];
        int64_t rev = 0;
        snprintf(token, sizeof token, "w%d-%d", w->number, k);
        if (pst_store_write(w->f->store, challenge_put, token, &rev, &err) != PST_OK || rev < 1)
            w->faults++;
    }
    return NULL;
}

/* Follows the feed as an edge does: it never looks back behind what it has seen. */
struct follower {
    struct pst_feed_row at;
    int64_t seen;
};

TX(follow)
{
    struct follower *l = arg;
    struct pst_feed_row rows[64];
    struct pst_feed_cursor c;
    size_t n = 0;

    int rc = pst_feed_head(tx, &c, err);
    if (rc == PST_OK)
        rc = pst_feed_db_changes(tx, &l->at, rows, PST_ARRAY_N(rows), &n, err);
    for (size_t k = 0; rc == PST_OK && k < n; k++) {
        want(rows[k].rev > l->at.rev && rows[k].rev <= c.rev);
        l->at = rows[k];
        l->seen++;
    }
    return rc;
}

static void no_revision_is_skipped(void **state)
{
    struct fixture *f = *state;
    struct feed_writer w[WRITERS];
    struct follower l = {0};
    struct pst_feed_cursor c;
    pthread_t t[WRITERS];

    look(f, head, &c);
    l.at.rev = c.rev;
    pst_str_copy(l.at.kind, sizeof l.at.kind, "zzzz");
    for (int k = 0; k < WRITERS; k++) {
        w[k] = (struct feed_writer){.f = f, .number = k};
        pthread_create(&t[k], NULL, write_challenges, &w[k]);
    }
    for (int k = 0; k < 20000 && l.seen < WRITERS * PUTS; k++) {
        look(f, follow, &l);
        usleep(200);
    }
    for (int k = 0; k < WRITERS; k++) {
        pthread_join(t[k], NULL);
        assert_int_equal(w[k].faults, 0);
    }
    look(f, follow, &l);
    assert_int_equal(l.seen, WRITERS * PUTS);
    assert_int_equal(l.at.rev, c.rev + WRITERS * PUTS);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(saving_needs_the_lease),
        T(a_question_about_a_renewal_has_one_asker),
        T(deleting_a_domain_ends_its_order),
        T(tenants_take_turns),
        T(two_never_claim_the_same_order),
        T(a_node_frees_its_earlier_leases),
        T(sleeping_orders_are_woken),
        T(the_newest_order_comes_first),
        T(orders_wait_for_live_edges),
        T(edges_enrol_once),
        T(a_budget_is_kept_exactly),
        T(many_takers_do_not_overspend),
        T(challenges_come_and_go),
        T(ticket_keys_are_made_ahead),
        T(events_are_in_order),
        T(no_revision_is_skipped),
    };
    return cmocka_run_group_tests_name(ENGINE, tests, NULL, NULL);
}
