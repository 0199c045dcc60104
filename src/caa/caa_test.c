/* CAA: the rules as a table, the climbing against Knot. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <dns_servers.h>

#include <postern/caa.h>
#include <postern/resolve.h>

#define ACCOUNT "https://ca.test/acme/acct/1"

static const char *const identities[] = {"ca.test", "CA-two.example"};
static const struct pst_caa_issuer us = {identities, 2, ACCOUNT, "http-01"};

/* ------------------------------------------------------------------ evaluation */

struct set_case {
    const char *what;
    struct {
        uint8_t flags;
        const char *tag, *value;
    } rr[4];          /* up to the first without a tag */
    bool plain, wild; /* allowed? */
};

static const struct set_case sets[] = {
    {"ours", {{0, "issue", "ca.test"}}, true, true},
    {"our second name, other case", {{0, "issue", "ca-TWO.example"}}, true, true},
    {"another CA", {{0, "issue", "other.test"}}, false, false},
    {"one of several", {{0, "issue", "other.test"}, {0, "issue", "ca.test"}}, true, true},
    {"tags in any case", {{0, "IsSuE", "other.test"}}, false, false},
    {"nobody", {{0, "issue", ";"}}, false, false},
    {"nobody, empty", {{0, "issue", ""}}, false, false},
    {"nobody, blanks", {{0, "issue", "  ; "}}, false, false},
    {"nobody and ours", {{0, "issue", ";"}, {0, "issue", "ca.test"}}, true, true},
    {"only iodef", {{0, "iodef", "mailto:a@b.test"}}, true, true},
    {"critical iodef", {{128, "iodef", "mailto:a@b.test"}}, true, true},
    {"issuemail and issuevmc", {{128, "issuemail", ";"}, {0, "IssueVMC", ";"}}, true, true},
    {"critical issue", {{128, "issue", "ca.test"}}, true, true},
    {"unknown tag", {{0, "future", "x"}}, true, true},
    {"unknown critical tag", {{128, "future", "x"}, {0, "issue", "ca.test"}}, false, false},
    {"unknown critical tag, bit 0", {{1, "future", "x"}, {0, "issue", "ca.test"}}, false, false},
    {"other flag bits", {{64, "future", "x"}}, true, true},
    {"malformed critical record", {{128, "", "x"}}, true, true}, /* ends the list: no record */

    {"issuewild nobody", {{0, "issue", "ca.test"}, {0, "issuewild", ";"}}, true, false},
    {"issuewild ours", {{0, "issue", "other.test"}, {0, "issuewild", "ca.test"}}, false, true},
    {"only issuewild", {{0, "issuewild", "other.test"}}, true, false},
    {"only issuewild, ours", {{0, "issuewild", "ca.test"}}, true, true},

    {"blanks around", {{0, "issue", " \t ca.test \t "}}, true, true},
    {"final semicolon", {{0, "issue", "ca.test;"}}, true, true},
    {"final semicolon and blank", {{0, "issue", "ca.test; "}}, true, true},
    {"trailing dot", {{0, "issue", "ca.test."}}, false, false},
    {"a prefix", {{0, "issue", "ca.tes"}}, false, false},
    {"a longer name", {{0, "issue", "ca.test.evil"}}, false, false},
    {"a subdomain", {{0, "issue", "x.ca.test"}}, false, false},
    {"two words", {{0, "issue", "ca.test ca.test"}}, false, false},
    {"an escape", {{0, "issue", "ca.test\\000"}}, false, false},

    {"our account", {{0, "issue", "ca.test; accounturi=" ACCOUNT}}, true, true},
    {"our account, blanks", {{0, "issue", "ca.test ;  accounturi = " ACCOUNT " "}}, true, true},
    {"another account", {{0, "issue", "ca.test; accounturi=" ACCOUNT "2"}}, false, false},
    {"account prefix",
     {{0, "issue", "ca.test; accounturi=https://ca.test/acme/acct/"}},
     false,
     false},
    {"account, other case",
     {{0, "issue", "ca.test; accounturi=HTTPS://ca.test/acme/acct/1"}},
     false,
     false},
    {"account twice",
     {{0, "issue", "ca.test; accounturi=" ACCOUNT "; accounturi=" ACCOUNT}},
     false,
     false},
    {"account empty", {{0, "issue", "ca.test; accounturi="}}, false, false},
    {"either account",
     {{0, "issue", "ca.test; accounturi=https://x"}, {0, "issue", "ca.test; accounturi=" ACCOUNT}},
     true,
     true},

    {"our method", {{0, "issue", "ca.test; validationmethods=http-01"}}, true, true},
    {"our method in a list",
     {{0, "issue", "ca.test; validationmethods=dns-01,http-01,x"}},
     true,
     true},
    {"another method", {{0, "issue", "ca.test; validationmethods=dns-01"}}, false, false},
    {"method as prefix", {{0, "issue", "ca.test; validationmethods=http-011"}}, false, false},
    {"methods empty", {{0, "issue", "ca.test; validationmethods="}}, false, false},
    {"methods twice",
     {{0, "issue", "ca.test; validationmethods=http-01; validationmethods=dns-01"}},
     false,
     false},
    {"both parameters",
     {{0, "issue", "ca.test; validationmethods=http-01; accounturi=" ACCOUNT}},
     true,
     true},
    {"both, one wrong",
     {{0, "issue", "ca.test; validationmethods=dns-01; accounturi=" ACCOUNT}},
     false,
     false},

    {"unknown parameter", {{0, "issue", "ca.test; policy=ev; x-y=1"}}, true, true},
    {"empty value", {{0, "issue", "ca.test; x="}}, true, true},
    {"parameter without =", {{0, "issue", "ca.test; policy"}}, false, false},
    {"empty parameter", {{0, "issue", "ca.test; ; x=1"}}, false, false},
    {"semicolon at the end of parameters", {{0, "issue", "ca.test; x=1;"}}, false, false},
    {"blank in a value", {{0, "issue", "ca.test; x=a b"}}, false, false},
    {"no tag", {{0, "issue", "ca.test; =1"}}, false, false},
    {"bad tag", {{0, "issue", "ca.test; a_b=1"}}, false, false},
    {"unreadable beside ours", {{0, "issue", "?? ;; ??"}, {0, "issue", "ca.test"}}, true, true},
};

static void check_set(const struct set_case *c, const char *name, bool allowed)
{
    struct pst_caa_rr rrs[4];
    struct pst_caa_verdict v;
    size_t n = 0;

    while (n < PST_ARRAY_N(rrs) && c->rr[n].tag && *c->rr[n].tag) {
        rrs[n] = (struct pst_caa_rr){c->rr[n].flags, (char *)(uintptr_t)c->rr[n].tag,
                                     (char *)(uintptr_t)c->rr[n].value};
        n++;
    }
    pst_caa_evaluate(name, "example.com", rrs, n, &us, &v);
    if ((v.result == PST_CAA_ALLOWED) != allowed)
        fail_msg("%s: %s is %s: %s", c->what, name, pst_caa_result_name(v.result), v.text);
    assert_int_equal(v.result, allowed ? PST_CAA_ALLOWED : PST_CAA_FORBIDDEN);
    assert_string_equal(v.name, name);
    assert_int_equal(v.record[0] != '\0', !allowed);
    assert_int_equal(v.add[0] != '\0', !allowed);
    assert_string_not_equal(v.text, "");
}

static void sets_are_judged(void **st)
{
    (void)st;
    for (size_t i = 0; i < PST_ARRAY_N(sets); i++) {
        check_set(&sets[i], "www.example.com", sets[i].plain);
        check_set(&sets[i], "*.example.com", sets[i].wild);
    }
}

static void judge_one(uint8_t flags, const char *tag, const char *value, const char *name,
                      const struct pst_caa_issuer *issuer, struct pst_caa_verdict *ret)
{
    struct pst_caa_rr rr = {flags, (char *)(uintptr_t)tag, (char *)(uintptr_t)value};

    pst_caa_evaluate(name, "example.com", &rr, 1, issuer, ret);
}

static void the_verdict_names_record_and_mend(void **st)
{
    struct pst_caa_verdict v;

    (void)st;
    judge_one(0, "issue", "other.test; x=\"", "www.example.com", &us, &v);
    assert_string_equal(v.where, "example.com");
    assert_string_equal(v.record, "example.com. CAA 0 issue \"other.test; x=\\\"\"");
    assert_string_equal(v.add, "example.com. CAA 0 issue \"ca.test\"");
    assert_non_null(strstr(v.text, "another CA"));

    judge_one(0, "issuewild", ";", "*.example.com", &us, &v);
    assert_string_equal(v.add, "example.com. CAA 0 issuewild \"ca.test\"");
    assert_non_null(strstr(v.text, "no CA at all"));

    judge_one(0, "issue", "ca.test; accounturi=https://x", "a.example.com", &us, &v);
    assert_string_equal(v.add, "example.com. CAA 0 issue \"ca.test; accounturi=" ACCOUNT "\"");
    assert_non_null(strstr(v.text, "another account"));

    judge_one(128, "future", "x", "a.example.com", &us, &v);
    assert_string_equal(v.add, "remove example.com. CAA 128 future \"x\"");

    judge_one(128, "", "\\000", "a.example.com", &us, &v); /* a malformed critical record */
    assert_int_equal(v.result, PST_CAA_FORBIDDEN);
}

static void what_we_do_not_know_of_ourselves(void **st)
{
    const struct pst_caa_issuer unknown = {.challenge = "http-01"};
    const struct pst_caa_issuer no_account = {identities, 2, NULL, NULL};
    struct pst_caa_verdict v;

    (void)st;
    judge_one(0, "issue", "any.test; accounturi=https://x", "a.example.com", &unknown, &v);
    assert_int_equal(v.result, PST_CAA_ALLOWED);
    judge_one(0, "issue", ";", "a.example.com", &unknown, &v);
    assert_int_equal(v.result, PST_CAA_FORBIDDEN);
    judge_one(0, "issue", "ca.test; accounturi=" ACCOUNT, "a.example.com", &no_account, &v);
    assert_int_equal(v.result, PST_CAA_FORBIDDEN);
    judge_one(0, "issue", "ca.test; validationmethods=dns-01", "a.example.com", &no_account, &v);
    assert_int_equal(v.result, PST_CAA_ALLOWED);
}

static void long_values_are_cut_not_overrun(void **st)
{
    struct pst_caa_verdict v;
    char value[5000];

    (void)st;
    memset(value, 'x', sizeof value - 1);
    value[sizeof value - 1] = '\0';
    judge_one(0, "issue", value, "www.example.com", &us, &v);
    assert_int_equal(v.result, PST_CAA_FORBIDDEN);
    memset(value, ';', sizeof value - 1);
    judge_one(0, "issue", value, "www.example.com", &us, &v);
    assert_int_equal(v.result, PST_CAA_FORBIDDEN);
}

/* ------------------------------------------------------------------ climbing */

static struct test_server knot;
static struct pst_resolver *resolver;

static const struct test_zone zones[] = {
    {.name = "test",
     .text = "@ CAA 0 issue \"tld.test\"\n"
             "none CAA 0 issue \";\"\n"},
    {.name = "ours.test",
     .text = "@ CAA 0 issue \"ca.test\"\n@ CAA 0 issuewild \";\"\n"
             "deep.a.b CAA 0 issue \"other.test\"\n"
             "alias CNAME target.other.test.\n"
             "to-none CNAME a.free.test.\n"},
    {.name = "other.test",
     .text = "@ CAA 0 issue \"other.test\"\n"
             "target CAA 0 issue \"target.test\"\n"},
    {.name = "free.test", .text = "a A 192.0.2.1\n"},
};

static int start(void **st)
{
    static char at[PST_DNS_SERVER_SIZE];
    struct pst_resolver_opts opts = {.resolver = at, .sockets = 64};

    (void)st;
    test_knot_start(&knot, zones, PST_ARRAY_N(zones));
    struct pst_dns_server server = test_local(knot.port);
    pst_dns_server_text(&server, at);
    return pst_resolver_new(&resolver, &opts, NULL);
}

static int stop(void **st)
{
    (void)st;
    pst_resolver_free(resolver);
    test_server_stop(&knot);
    return 0;
}

static void records_are_found_upwards(void **st)
{
    static const struct {
        const char *name;
        enum pst_caa_result result;
        const char *where;
    } cases[] = {
        {"ours.test", PST_CAA_ALLOWED, NULL},
        {"Www.Ours.Test", PST_CAA_ALLOWED, NULL},
        {"*.ours.test", PST_CAA_FORBIDDEN, "ours.test"},
        {"*.x.ours.test", PST_CAA_FORBIDDEN, "ours.test"},
        {"deep.a.b.ours.test", PST_CAA_FORBIDDEN, "deep.a.b.ours.test"},
        {"a.b.ours.test", PST_CAA_ALLOWED, NULL},
        {"x.y.z.other.test", PST_CAA_FORBIDDEN, "other.test"},
        {"none.test", PST_CAA_FORBIDDEN, "none.test"},
        {"free.test", PST_CAA_FORBIDDEN, "test"}, /* the top-level domain counts */
        /* the alias's target has records: they count */
        {"alias.ours.test", PST_CAA_FORBIDDEN, "alias.ours.test"},
        /* it has none: climb from the alias, not from its target */
        {"to-none.ours.test", PST_CAA_ALLOWED, NULL},
        {"other.example", PST_CAA_ERROR, "other.example"}, /* REFUSED */
    };

    (void)st;
    for (size_t i = 0; i < PST_ARRAY_N(cases); i++) {
        struct pst_caa_verdict v;
        struct pst_err err = {0};

        if (pst_caa_check(resolver, &cases[i].name, 1, &us, &v, &err) != PST_OK)
            fail_msg("%s: %s", cases[i].name, err.text);
        if (v.result != cases[i].result)
            fail_msg("%s: %s", cases[i].name, v.text);
        if (cases[i].where)
            assert_string_equal(v.where, cases[i].where);
    }
}

static void the_worst_of_several_names_counts(void **st)
{
    const char *const good[] = {"ours.test", "www.ours.test"};
    const char *const error[] = {"ours.test", "other.example", "www.ours.test"};
    const char *const no[] = {"ours.test", "other.example", "x.other.test"};
    const char *const bad[] = {"ours.test", "a..b"};
    struct pst_caa_verdict v;
    struct pst_err err = {0};

    (void)st;
    assert_int_equal(pst_caa_check(resolver, good, 2, &us, &v, &err), PST_OK);
    assert_int_equal(v.result, PST_CAA_ALLOWED);
    assert_int_equal(pst_caa_check(resolver, error, 3, &us, &v, &err), PST_OK);
    assert_int_equal(v.result, PST_CAA_ERROR);
    assert_string_equal(v.name, "other.example");
    assert_int_equal(pst_caa_check(resolver, no, 3, &us, &v, &err), PST_OK);
    assert_int_equal(v.result, PST_CAA_FORBIDDEN);
    assert_string_equal(v.name, "x.other.test");
    assert_int_equal(pst_caa_check(resolver, bad, 2, &us, &v, &err), PST_REFUSED);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sets_are_judged),
        cmocka_unit_test(the_verdict_names_record_and_mend),
        cmocka_unit_test(what_we_do_not_know_of_ourselves),
        cmocka_unit_test(long_values_are_cut_not_overrun),
        cmocka_unit_test(records_are_found_upwards),
        cmocka_unit_test(the_worst_of_several_names_counts),
    };

    return cmocka_run_group_tests_name("caa", tests, start, stop);
}
