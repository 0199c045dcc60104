/* policy_test.c - when to renew, when to try again, and what a fault leads to. */
#include <pst_test.h>

#include <stdlib.h>
#include <string.h>

#include "order_internal.h"

enum { DAY = 86400, HOUR = 3600 };

static void backoff_doubles_from_one_minute_to_a_day(void **state)
{
    static const int64_t want_min[] = {1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 1440, 1440};
    struct pst_rand_seeded r;
    pst_rand_seeded_init(&r, 1);

    for (size_t i = 0; i < PST_ARRAY_N(want_min); i++) {
        int64_t most = want_min[i] * 60000;
        for (int n = 0; n < 50; n++) {
            int64_t ms = pst_order_backoff_ms((int64_t)i + 1, 60, DAY, &r.rand);
            assert_in_range(ms, most - most / 5, most); /* never later than promised */
        }
    }
}

static void a_huge_number_of_failures_stays_at_the_cap(void **state)
{
    struct pst_rand_seeded r;
    pst_rand_seeded_init(&r, 2);
    assert_true(pst_order_backoff_ms(INT64_MAX, 60, DAY, &r.rand) <= (int64_t)DAY * 1000);
}

static void renewal_follows_the_lifetime(void **state)
{
    static const struct {
        int64_t life_s, due_s;
    } rows[] = {
        {90 * DAY, 60 * DAY},
        {64 * DAY, 64 * DAY * 2 / 3},
        {45 * DAY, 30 * DAY},
        {160 * HOUR, 80 * HOUR},
        {120, 60},
    };
    for (size_t i = 0; i < PST_ARRAY_N(rows); i++) {
        int64_t at = pst_order_renew_at(1000, 1000 + rows[i].life_s - 1, 0);
        assert_int_equal(at - 1000, rows[i].due_s);
    }
}

static void renewals_are_spread_by_their_seed_only(void **state)
{
    int64_t a = pst_order_renew_at(0, 90 * DAY - 1, 12345);
    int64_t latest = 60 * DAY + 90 * DAY / 100;

    assert_int_equal(a, pst_order_renew_at(0, 90 * DAY - 1, 12345));
    for (uint64_t seed = 0; seed < 10000; seed += 7)
        assert_in_range(pst_order_renew_at(0, 90 * DAY - 1, seed), 60 * DAY, latest);
}

static void the_window_of_the_ca_is_kept(void **state)
{
    struct pst_rand_seeded r;
    pst_rand_seeded_init(&r, 3);

    for (int i = 0; i < 100; i++) {
        int64_t at =
            pst_order_renew_in_window(0, 90 * DAY, 59LL * DAY * 1000, 61LL * DAY * 1000, &r.rand);
        assert_in_range(at, 59 * DAY, 61 * DAY);
    }
    /* Revoked: the window is in the past. */
    assert_true(pst_order_renew_in_window(0, 90 * DAY, 1000, 2000, &r.rand) <= 2);
    /* A window that leaves no time is not followed to the end. */
    assert_true(pst_order_renew_in_window(0, 100 * DAY, 99LL * DAY * 1000, 100LL * DAY * 1000,
                                          &r.rand) <= 95 * DAY);
}

static void polls_follow_the_ca_else_grow(void **state)
{
    assert_int_equal(pst_order_poll_ms(0, 3000, 250), 3000);
    assert_int_equal(pst_order_poll_ms(0, 0, 250), 250);
    assert_int_equal(pst_order_poll_ms(2, 0, 250), 1000);
    assert_int_equal(pst_order_poll_ms(50, 0, 250), 5000);
    assert_int_equal(pst_order_poll_ms(1000, 0, 250), 60000);
}

/* ---- faults ---- */

static struct pst_acme_problem problem(enum pst_acme_problem_type type, int status,
                                       int64_t retry_after_s)
{
    return (struct pst_acme_problem){
        .type = type, .status = status, .retry_after_s = retry_after_s};
}

static void each_problem_leads_to_its_action(void **state)
{
    static const struct {
        enum pst_acme_problem_type type;
        int status;
        enum pst_order_state at;
        bool has_order, dead;
        enum pst_order_action want;
    } rows[] = {
        {PST_ACME_SERVER_INTERNAL, 500, PST_ORDER_ORDERING, 0, 0, PST_ACTION_REPEAT},
        {PST_ACME_UNAVAILABLE, 503, PST_ORDER_VALIDATING, 1, 0, PST_ACTION_WAIT},
        {PST_ACME_RATE_LIMITED, 429, PST_ORDER_ORDERING, 0, 0, PST_ACTION_WAIT},
        {PST_ACME_ACCOUNT_DOES_NOT_EXIST, 400, PST_ORDER_ORDERING, 0, 0, PST_ACTION_REREGISTER},
        {PST_ACME_ACCOUNT_DOES_NOT_EXIST, 400, PST_ORDER_VALIDATING, 1, 0, PST_ACTION_REREGISTER},
        {PST_ACME_MALFORMED, 404, PST_ORDER_VALIDATING, 1, 0, PST_ACTION_RESTART},
        {PST_ACME_MALFORMED, 400, PST_ORDER_ANSWERING, 1, 0, PST_ACTION_REREAD},
        {PST_ACME_ORDER_NOT_READY, 403, PST_ORDER_FINALIZING, 1, 0, PST_ACTION_REREAD},
        {PST_ACME_REJECTED_IDENTIFIER, 400, PST_ORDER_ORDERING, 0, 0, PST_ACTION_FAIL_DAILY},
        {PST_ACME_CAA, 403, PST_ORDER_VALIDATING, 1, 1, PST_ACTION_FAIL_DAILY},
        {PST_ACME_CONNECTION, 400, PST_ORDER_VALIDATING, 1, 1, PST_ACTION_FAIL},
        {PST_ACME_UNAUTHORIZED, 403, PST_ORDER_VALIDATING, 1, 1, PST_ACTION_FAIL},
        {PST_ACME_UNAUTHORIZED, 403, PST_ORDER_ORDERING, 0, 0, PST_ACTION_BLOCK},
        {PST_ACME_USER_ACTION_REQUIRED, 403, PST_ORDER_ORDERING, 0, 0, PST_ACTION_BLOCK},
        /* An order that died of the CA's own fault is not asked again. */
        {PST_ACME_SERVER_INTERNAL, 500, PST_ORDER_ISSUING, 1, 1, PST_ACTION_FAIL},
    };
    struct pst_err err = {.rc = PST_EREMOTE};

    for (size_t i = 0; i < PST_ARRAY_N(rows); i++) {
        struct pst_acme_problem p = problem(rows[i].type, rows[i].status, 0);
        struct pst_order_decision d = pst_order_decide(&(struct pst_order_fault){
            .err = &err,
            .problem = &p,
            .state = rows[i].at,
            .has_order = rows[i].has_order,
            .dead = rows[i].dead,
            .now = 1000000,
        });
        if (d.action != rows[i].want)
            print_message("row %zu (%s)\n", i, pst_acme_problem_type_name(rows[i].type));
        assert_int_equal(d.action, rows[i].want);
    }
}

static void what_is_nobodys_fault_is_repeated_rarer(void **state)
{
    static const int rcs[] = {PST_ENET, PST_EINPUT, PST_ENOMEM, PST_EDB, PST_ESYS};
    struct pst_acme_problem none = {0};

    for (size_t i = 0; i < PST_ARRAY_N(rcs); i++) {
        struct pst_err err = {.rc = rcs[i]};
        int64_t last = 0;
        for (int64_t faults = 0; faults < 20; faults++) {
            struct pst_order_decision d = pst_order_decide(&(struct pst_order_fault){
                .err = &err, .problem = &none, .state = PST_ORDER_ORDERING, .faults = faults});
            assert_int_equal(d.action, PST_ACTION_REPEAT);
            assert_true(d.delay_ms >= last && d.delay_ms <= 300000);
            last = d.delay_ms;
        }
    }
}

static void a_retry_after_is_kept(void **state)
{
    struct pst_acme_problem p = problem(PST_ACME_RATE_LIMITED, 429, 3600);
    struct pst_err err = {.rc = PST_EREMOTE};
    struct pst_order_decision d = pst_order_decide(&(struct pst_order_fault){
        .err = &err, .problem = &p, .state = PST_ORDER_ORDERING, .now = 5000});

    assert_int_equal(d.action, PST_ACTION_WAIT);
    assert_true(d.delay_ms >= 3600 * 1000);
}

static void a_ca_that_always_forgets_ends_the_attempt(void **state)
{
    struct pst_acme_problem p = problem(PST_ACME_MALFORMED, 404, 0);
    struct pst_err err = {.rc = PST_EREMOTE};
    struct pst_order_decision d = pst_order_decide(&(struct pst_order_fault){
        .err = &err, .problem = &p, .state = PST_ORDER_READYING, .has_order = true, .restarts = 3});
    assert_int_equal(d.action, PST_ACTION_FAIL);
}

static void a_chain_that_is_refused_fails_the_attempt(void **state)
{
    struct pst_acme_problem none = {0};
    struct pst_err err = {.rc = PST_REFUSED};
    struct pst_order_decision d = pst_order_decide(&(struct pst_order_fault){
        .err = &err, .problem = &none, .state = PST_ORDER_DOWNLOADING, .has_order = true});
    assert_int_equal(d.action, PST_ACTION_FAIL);
}

/* ---- data and states ---- */

static void data_survives_its_way_through_json(void **state)
{
    struct order_data d = {.authz_url = "https://ca.test/authz/1",
                           .challenge_url = "https://ca.test/chal/\"1\"",
                           .token = "evaGxfADs6pSRb2LAv9IZf17Dt3juxGJ-PCt92wr-oA",
                           .expires_at = 1790000000,
                           .polls = 3,
                           .barrier_rev = INT64_MAX};
    struct order_data back;
    struct pst_err err = {0};
    auto_buf struct pst_buf json = PST_BUF(64 * 1024);

    assert_int_equal(pst_order_data_write(&d, &json, &err), PST_OK);
    assert_int_equal(pst_order_data_read(&back, json.data, json.len, &err), PST_OK);
    assert_memory_equal(&d, &back, sizeof d);
}

static void damaged_data_is_refused(void **state)
{
    static const char *const bad[] = {"", "{", "{}", "[]", "{\"authz_url\":1}"};
    struct order_data back;
    struct pst_err err = {0};
    for (size_t i = 0; i < PST_ARRAY_N(bad); i++)
        assert_int_equal(pst_order_data_read(&back, bad[i], strlen(bad[i]), &err), PST_EINTERNAL);
}

static void every_state_has_a_name_a_text_and_a_way_out(void **state)
{
    for (int s = 0; s < PST_ORDER_STATE__COUNT; s++) {
        enum pst_order_state back;
        const char *name = pst_order_state_name((enum pst_order_state)s);
        assert_true(pst_order_state_parse(name, &back));
        assert_int_equal(back, s);
        assert_non_null(pst_order_state_text(name));
        bool out = false;
        for (int to = 0; to < PST_ORDER_STATE__COUNT; to++)
            out = out ||
                  (to != s && pst_order_may_go((enum pst_order_state)s, (enum pst_order_state)to));
        assert_true(out != pst_order_state_ended((enum pst_order_state)s));
    }
    assert_null(pst_order_state_text("no such state"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(backoff_doubles_from_one_minute_to_a_day),
        cmocka_unit_test(a_huge_number_of_failures_stays_at_the_cap),
        cmocka_unit_test(renewal_follows_the_lifetime),
        cmocka_unit_test(renewals_are_spread_by_their_seed_only),
        cmocka_unit_test(the_window_of_the_ca_is_kept),
        cmocka_unit_test(polls_follow_the_ca_else_grow),
        cmocka_unit_test(each_problem_leads_to_its_action),
        cmocka_unit_test(what_is_nobodys_fault_is_repeated_rarer),
        cmocka_unit_test(a_retry_after_is_kept),
        cmocka_unit_test(a_ca_that_always_forgets_ends_the_attempt),
        cmocka_unit_test(a_chain_that_is_refused_fails_the_attempt),
        cmocka_unit_test(data_survives_its_way_through_json),
        cmocka_unit_test(damaged_data_is_refused),
        cmocka_unit_test(every_state_has_a_name_a_text_and_a_way_out),
    };
    return cmocka_run_group_tests_name("order", tests, NULL, NULL);
}
