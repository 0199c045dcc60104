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

/* ---- wildcards ---- */

static void the_best_way_is_taken(void **state)
{
    static const struct {
        struct pst_way_facts facts;
        enum pst_way way;
        const char *method, *challenge;
    } rows[] = {
        {{false, false, false}, PST_WAY_MANUAL, "dns-01:manual", "dns-01"},
        {{false, false, true}, PST_WAY_PROVIDER, "dns-01:provider", "dns-01"},
        {{false, true, true}, PST_WAY_DELEGATION, "dns-01:delegation", "dns-01"},
        {{false, true, false}, PST_WAY_DELEGATION, "dns-01:delegation", "dns-01"},
        {{true, true, true}, PST_WAY_PERSIST, "dns-persist-01", "dns-persist-01"},
        {{true, false, false}, PST_WAY_PERSIST, "dns-persist-01", "dns-persist-01"},
    };
    for (size_t i = 0; i < PST_ARRAY_N(rows); i++) {
        enum pst_way way = pst_way_choose(&rows[i].facts);
        assert_int_equal(way, rows[i].way);
        assert_string_equal(pst_way_name(way), rows[i].method);
        assert_string_equal(pst_way_challenge(way), rows[i].challenge);
    }
}

static struct pst_order_decision of_dns(int rc, enum pst_retry retry, int64_t at,
                                        const char *problem, bool blamed)
{
    struct pst_err e = {.rc = rc, .retry = retry, .retry_at = at};
    struct pst_acme_problem none = {0};
    struct pst_order_fault f = {.err = &e,
                                .problem = &none,
                                .state = PST_ORDER_RECORDING,
                                .has_order = true,
                                .blamed = blamed,
                                .dns = true,
                                .now = 1000};
    pst_str_copy(e.problem, sizeof e.problem, problem);
    return pst_order_decide(&f);
}

/* Nothing that a host of the DNS says counts as a failed attempt at the CA. */
static void faults_of_the_dns_never_count(void **state)
{
    static const struct {
        int rc;
        enum pst_retry retry;
        int64_t at;
        const char *problem;
        bool blamed;
        enum pst_order_action action;
        int64_t delay_s;
        const char *shown;
    } rows[] = {
        {PST_ENET, PST_RETRY_BACKOFF, 0, "", false, PST_ACTION_REPEAT, 1, "dns.host"},
        {PST_EREMOTE, PST_RETRY_BACKOFF, 0, "503", false, PST_ACTION_REPEAT, 1, "dns.host"},
        {PST_EREMOTE, PST_RETRY_AT, 1090, "429", false, PST_ACTION_REPEAT, 90, "dns.host"},
        {PST_EREMOTE, PST_RETRY_AT, 1000 + 9 * DAY, "429", false, PST_ACTION_REPEAT, DAY,
         "dns.host"},
        {PST_EREMOTE, PST_RETRY_NEVER, 0, "9109", true, PST_ACTION_ASK, 600, "dns.variables"},
        {PST_REFUSED, PST_RETRY_NEVER, 0, "variables", false, PST_ACTION_ASK, 600, "dns.variables"},
        {PST_REFUSED, PST_RETRY_NEVER, 0, "provider", false, PST_ACTION_ASK, 600, "dns.provider"},
        {PST_EREMOTE, PST_RETRY_NEVER, 0, "zone", false, PST_ACTION_ASK, 600, "dns.zone"},
        {PST_EREMOTE, PST_RETRY_NEVER, 0, "gate", false, PST_ACTION_ASK, 600, "dns.gate"},
        {PST_EREMOTE, PST_RETRY_NEVER, 0, "hidden", false, PST_ACTION_ASK, DAY, "dns.hidden"},
        {PST_EREMOTE, PST_RETRY_NEVER, 0, "teapot", false, PST_ACTION_ASK, 600, "dns.refused"},
        {PST_EDB, PST_RETRY_BACKOFF, 0, "", false, PST_ACTION_REPEAT, 1, NULL},
        {PST_ECONFIG, PST_RETRY_NEVER, 0, "", false, PST_ACTION_REPEAT, 1, NULL},
        {PST_EINTERNAL, PST_RETRY_NEVER, 0, "", false, PST_ACTION_REPEAT, 1, NULL},
    };
    for (size_t i = 0; i < PST_ARRAY_N(rows); i++) {
        struct pst_order_decision d =
            of_dns(rows[i].rc, rows[i].retry, rows[i].at, rows[i].problem, rows[i].blamed);
        assert_int_equal(d.action, rows[i].action);
        assert_int_equal(d.delay_ms, rows[i].delay_s * 1000);
        assert_true(pst_streq(d.problem, rows[i].shown));
    }
}

static void a_person_is_reminded_four_times(void **state)
{
    int64_t told = 30 * DAY;
    int64_t at[8];
    size_t n = 0;

    for (int64_t left = 30 * DAY; left > 0; left -= HOUR) {
        if (!pst_order_remind(left, told))
            continue;
        assert_true(n < PST_ARRAY_N(at));
        at[n++] = left;
        told = left;
    }
    assert_int_equal(n, 4);
    assert_int_equal(at[0], 14 * DAY);
    assert_int_equal(at[1], 7 * DAY);
    assert_int_equal(at[2], 3 * DAY);
    assert_int_equal(at[3], DAY);
    /* Told with five days left: not again for those before. */
    assert_false(pst_order_remind(5 * DAY - HOUR, 5 * DAY));
    assert_true(pst_order_remind(2 * DAY, 5 * DAY));
    /* Without a certificate there is nothing to lose. */
    assert_false(pst_order_remind(0, 0));
}

/* A wildcard's own steps run where no worker of the CA waits for them. */
static void what_asks_tenants_runs_in_its_own_lane(void **state)
{
    static const enum pst_order_state dns[] = {PST_ORDER_SURVEYING, PST_ORDER_CHOOSING,
                                               PST_ORDER_RECORDING, PST_ORDER_CONFIRMING,
                                               PST_ORDER_AWAITING,  PST_ORDER_PROPAGATING};
    unsigned found = 0;

    for (size_t i = 0; i < PST_ARRAY_N(dns); i++) {
        assert_int_equal(pst_order_lane(dns[i]), PST_LANE_DNS);
        assert_false(pst_order_may_go(dns[i], PST_ORDER_VALIDATING));
    }
    for (enum pst_order_state s = 0; s < PST_ORDER_STATE__COUNT; s++)
        found += pst_order_lane(s) == PST_LANE_DNS;
    assert_int_equal(found, PST_ARRAY_N(dns));
    /* The CA is told only by who has seen the record, or by who has found it permanent. */
    assert_false(pst_order_may_go(PST_ORDER_RECORDING, PST_ORDER_ANSWERING));
    assert_false(pst_order_may_go(PST_ORDER_CONFIRMING, PST_ORDER_ANSWERING));
    assert_true(pst_order_may_go(PST_ORDER_AWAITING, PST_ORDER_CHOOSING));
}

static void an_older_order_has_no_data_of_wildcards(void **state)
{
    static const char old[] =
        "{\"authz_url\":\"\",\"challenge_url\":\"\",\"finalize_url\":\"\","
        "\"certificate_url\":\"\",\"token\":\"t\",\"expires_at\":7,\"polls\":0,\"faults\":0,"
        "\"restarts\":0,\"barrier_rev\":0,\"barrier_at_ms\":0}";
    struct order_data d;
    struct pst_err err;

    assert_int_equal(pst_order_data_read(&d, old, strlen(old), &err), PST_OK);
    assert_int_equal(d.expires_at, 7);
    assert_string_equal(d.value, "");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_best_way_is_taken),
        cmocka_unit_test(faults_of_the_dns_never_count),
        cmocka_unit_test(a_person_is_reminded_four_times),
        cmocka_unit_test(what_asks_tenants_runs_in_its_own_lane),
        cmocka_unit_test(an_older_order_has_no_data_of_wildcards),
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
