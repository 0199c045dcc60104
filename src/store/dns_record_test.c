/* dns_record_test.c - values at providers and who may take them away, variables to be tried, the
 * lanes of orders. */
#include "store_fixture.h"

#include <postern/dns_records.h>

enum { LEASE_MS = 60 * 1000 };

/* ---- orders in lanes ---- */

TX(order_insert)
{
    return pst_order_insert(tx, arg, err);
}

struct claim {
    enum pst_lane lane;
    struct pst_order_row row;
};

TX(order_claim)
{
    struct claim *c = arg;
    return pst_order_claim(tx, c->lane, NOW_MS, LEASE_MS, &c->row, err);
}

static int try_order(struct fixture *f, struct claim *c)
{
    pst_order_row_deinit(&c->row);
    c->row = (struct pst_order_row){0};
    return pst_store_write(f->store, order_claim, c, NULL, &f->err);
}

static struct pst_order_row add_order(struct fixture *f, const char *name, enum pst_lane lane)
{
    struct pst_domain d = domain(f, name);
    commit(f, domain_insert, &d);
    struct pst_order_row o = {.state = "new", .run_at_ms = NOW_MS, .attempt = 1, .lane = lane};
    pst_str_copy(o.domain_id, sizeof o.domain_id, d.id);
    pst_str_copy(o.name, sizeof o.name, d.ascii);
    commit(f, order_insert, &o);
    return o;
}

TX(end_lease)
{
    return pst_order_save(tx, arg, true, LEASE_MS, err);
}

/* ---- records ---- */

static struct pst_dns_record_row record_of(struct fixture *f, const char *order_id,
                                           const char *target, const char *value)
{
    struct pst_dns_record_row r = {.provider = "ovh", .run_at_ms = NOW_MS};
    pst_str_copy(r.order_id, sizeof r.order_id, order_id);
    pst_str_copy(r.user_id, sizeof r.user_id, f->user.id);
    pst_str_copy(r.app_id, sizeof r.app_id, f->app.id);
    pst_str_copy(r.name, sizeof r.name, target);
    pst_str_copy(r.target, sizeof r.target, target);
    pst_str_copy(r.value, sizeof r.value, value);
    r.sealed = bytes("sealed");
    return r;
}

TX(record_insert)
{
    return pst_dns_record_insert(tx, arg, err);
}

TX(record_claim)
{
    return pst_dns_record_claim(tx, NOW_MS, LEASE_MS, arg, err);
}

TX(record_save)
{
    return pst_dns_record_save(tx, arg, err);
}

TX(record_delete)
{
    return pst_dns_record_delete(tx, arg, err);
}

TX(record_drop)
{
    return pst_dns_record_drop(tx, arg, NOW_MS, err);
}

TX(record_next)
{
    return pst_dns_record_next_due(tx, arg, err);
}

static int try_record(struct fixture *f, struct pst_dns_record_row *r)
{
    pst_dns_record_deinit(r);
    *r = (struct pst_dns_record_row){0};
    return pst_store_write(f->store, record_claim, r, NULL, &f->err);
}

static int64_t next_due(struct fixture *f)
{
    int64_t at;
    look(f, record_next, &at);
    return at;
}

static void lanes_do_not_mix_and_a_tenant_has_two_at_once(void **state)
{
    struct fixture *f = *state;
    struct claim ca = {.lane = PST_LANE_CA}, first = {.lane = PST_LANE_DNS},
                 second = {.lane = PST_LANE_DNS}, third = {.lane = PST_LANE_DNS};

    assert_rc(try_order(f, &ca), PST_NOTFOUND, f->err);
    add_order(f, "*.a.example", PST_LANE_DNS);
    assert_rc(try_order(f, &ca), PST_NOTFOUND, f->err);
    assert_ok(try_order(f, &first), f->err);
    add_order(f, "*.b.example", PST_LANE_DNS);
    add_order(f, "*.c.example", PST_LANE_DNS);
    assert_ok(try_order(f, &second), f->err);
    assert_rc(try_order(f, &third), PST_NOTFOUND, f->err);
    /* Of the CA's workers he may have as many as there are. */
    for (int i = 0; i < 3; i++) {
        char name[] = "w0.example";
        name[1] += (char)i;
        add_order(f, name, PST_LANE_CA);
        assert_ok(try_order(f, &ca), f->err);
    }
    /* A removal counts as well; when an order is let go the next may come. */
    struct pst_dns_record_row r = record_of(f, "gone", "_acme-challenge.d.example", "v"), got = {0};
    commit(f, record_insert, &r);
    assert_rc(try_record(f, &got), PST_NOTFOUND, f->err);
    commit(f, end_lease, &first.row);
    assert_ok(try_record(f, &got), f->err);
    assert_rc(try_order(f, &third), PST_NOTFOUND, f->err);
    commit(f, record_delete, &got);
    assert_ok(try_order(f, &third), f->err);

    pst_dns_record_deinit(&r);
    pst_dns_record_deinit(&got);
    struct claim *all[] = {&ca, &first, &second, &third};
    for (size_t i = 0; i < PST_ARRAY_N(all); i++)
        pst_order_row_deinit(&all[i]->row);
}

static void a_record_is_left_alone_while_its_order_needs_it(void **state)
{
    struct fixture *f = *state;
    struct pst_order_row o = add_order(f, "*.a.example", PST_LANE_DNS);
    struct pst_dns_record_row r = record_of(f, o.id, "_acme-challenge.a.example", "v"), got = {0};

    commit(f, record_insert, &r);
    assert_rc(try_record(f, &got), PST_NOTFOUND, f->err);
    assert_int_equal(next_due(f), 0);
    commit(f, record_drop, o.id);
    assert_int_equal(next_due(f), NOW_MS);
    assert_ok(try_record(f, &got), f->err);
    assert_true(got.removing && got.settled);
    assert_string_equal(got.target, "_acme-challenge.a.example");
    assert_string_equal(pst_buf_cstr(&got.sealed), "sealed");
    assert_int_equal(next_due(f), 0);

    /* It failed, and comes again; whoever had it before is late. */
    struct pst_dns_record_row late = got;
    got.tries = 3;
    got.run_at_ms = NOW_MS - 1;
    pst_str_copy(got.problem, sizeof got.problem, "503");
    commit(f, record_save, &got);
    assert_ok(try_record(f, &r), f->err);
    assert_int_equal(r.tries, 3);
    assert_string_equal(r.problem, "503");
    assert_rc(pst_store_write(f->store, record_save, &late, NULL, &f->err), PST_CONFLICT, f->err);
    assert_rc(pst_store_write(f->store, record_delete, &late, NULL, &f->err), PST_CONFLICT, f->err);
    commit(f, record_delete, &r);
    assert_int_equal(next_due(f), 0);
    pst_dns_record_deinit(&r);
    pst_dns_record_deinit(&got);
}

static void a_record_outlives_its_domain(void **state)
{
    struct fixture *f = *state;
    struct pst_order_row o = add_order(f, "*.a.example", PST_LANE_DNS);
    struct pst_dns_record_row r = record_of(f, o.id, "_acme-challenge.a.example", "v"), got = {0};

    commit(f, record_insert, &r);
    commit(f, domain_delete, o.domain_id);
    assert_int_equal(next_due(f), NOW_MS);
    assert_ok(try_record(f, &got), f->err);
    /* The order did not say so itself: somebody may still be adding it. */
    assert_false(got.settled);
    pst_dns_record_deinit(&r);
    pst_dns_record_deinit(&got);
}

static void a_value_that_another_order_needs_stays(void **state)
{
    struct fixture *f = *state;
    struct pst_order_row o = add_order(f, "*.a.example", PST_LANE_DNS);
    struct pst_dns_record_row old = record_of(f, o.id, "_acme-challenge.a.example", "v"),
                              other = record_of(f, o.id, "_acme-challenge.a.example", "w"),
                              fresh = record_of(f, o.id, "_acme-challenge.a.example", "v"),
                              got = {0};

    commit(f, record_insert, &old);
    commit(f, record_insert, &other);
    commit(f, record_drop, o.id);
    commit(f, record_insert, &fresh);
    assert_ok(try_record(f, &got), f->err);
    assert_string_equal(got.id, other.id);
    commit(f, record_delete, &got);
    assert_rc(try_record(f, &got), PST_NOTFOUND, f->err);
    commit(f, record_drop, o.id);
    assert_ok(try_record(f, &got), f->err);
    struct pst_dns_record_row *all[] = {&old, &other, &fresh, &got};
    for (size_t i = 0; i < PST_ARRAY_N(all); i++)
        pst_dns_record_deinit(all[i]);
}

/* ---- checks ---- */

struct check {
    char app_id[PST_ID_SIZE], domain_id[PST_ID_SIZE];
    int64_t now_ms, stamp, at_ms;
};

TX(check_due)
{
    struct check *c = arg;
    return pst_dns_check_due(tx, c->app_id, c->now_ms, err);
}

TX(check_claim)
{
    struct check *c = arg;
    return pst_dns_check_claim(tx, c->now_ms, 1000, c->domain_id, &c->stamp, err);
}

TX(check_done)
{
    struct check *c = arg;
    return pst_dns_check_done(tx, c->domain_id, c->stamp, c->at_ms, err);
}

static int try_check(struct fixture *f, struct check *c)
{
    return pst_store_write(f->store, check_claim, c, NULL, &f->err);
}

static void variables_are_tried_until_that_is_done(void **state)
{
    struct fixture *f = *state;
    struct pst_domain exact = domain(f, "a.example"), wild = domain(f, "*.a.example");
    struct check c = {.now_ms = NOW_MS};

    memcpy(c.app_id, f->app.id, sizeof c.app_id);
    commit(f, domain_insert, &exact);
    commit(f, domain_insert, &wild);
    assert_rc(try_check(f, &c), PST_NOTFOUND, f->err);
    commit(f, check_due, &c);
    assert_ok(try_check(f, &c), f->err);
    assert_string_equal(c.domain_id, wild.id);
    assert_rc(try_check(f, &c), PST_NOTFOUND, f->err);
    /* Whoever took it is gone: it comes back. */
    c.now_ms += 1000;
    assert_ok(try_check(f, &c), f->err);
    /* The variables change while they are tried: that is not done with. */
    struct check again = c;
    commit(f, check_due, &again);
    commit(f, check_done, &c);
    assert_ok(try_check(f, &c), f->err);
    c.at_ms = c.now_ms + 5;
    commit(f, check_done, &c);
    assert_rc(try_check(f, &c), PST_NOTFOUND, f->err);
    c.now_ms += 5;
    assert_ok(try_check(f, &c), f->err);
    c.at_ms = 0;
    commit(f, check_done, &c);
    c.now_ms += 5000;
    assert_rc(try_check(f, &c), PST_NOTFOUND, f->err);
}

/* ---- offers ---- */

TX(offer_put)
{
    return pst_persist_offer_put(tx, "account", arg, err);
}

TX(offer_get)
{
    return pst_persist_offer_get(tx, "account", arg, err);
}

static void what_a_ca_offered_comes_back(void **state)
{
    struct fixture *f = *state;
    struct pst_persist_offer o = {.offered = true,
                                  .hashed = true,
                                  .issuers = {"ca.example", "other.example"},
                                  .issuers_n = 2,
                                  .account_uri = "https://ca.example/1",
                                  .hash_prefix = "https://ca.example/h/"},
                             back = {0};

    assert_rc(pst_store_read(f->store, offer_get, &back, &f->err), PST_NOTFOUND, f->err);
    commit(f, offer_put, &o);
    look(f, offer_get, &back);
    assert_memory_equal(&back, &o, sizeof o);
    o = (struct pst_persist_offer){0};
    commit(f, offer_put, &o);
    look(f, offer_get, &back);
    assert_memory_equal(&back, &o, sizeof o);
}

#define STORE_TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        STORE_TEST(lanes_do_not_mix_and_a_tenant_has_two_at_once),
        STORE_TEST(a_record_is_left_alone_while_its_order_needs_it),
        STORE_TEST(a_record_outlives_its_domain),
        STORE_TEST(a_value_that_another_order_needs_stays),
        STORE_TEST(variables_are_tried_until_that_is_done),
        STORE_TEST(what_a_ca_offered_comes_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
