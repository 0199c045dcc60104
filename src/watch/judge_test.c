/* Verdicts as a table; the wheel and the hash table; the confirmation against Knot. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <dns_servers.h>

#include <postern/resolve.h>

#include "watch_internal.h"

static const char *const edge_ips[] = {"192.0.2.10", "2001:DB8::10"};
static const struct pst_watch_edge both = {
    .addresses = edge_ips, .addresses_n = 2, .cname = "edge.p.test"};
static const struct pst_watch_edge only_ips = {.addresses = edge_ips, .addresses_n = 2};
static const struct pst_watch_edge only_cname = {.cname = "edge.p.test"};

static const struct pst_watch_probe probe_ours = {.ours = true, .evidence = "led to an edge"};
static const struct pst_watch_probe probe_other = {.evidence = "answered 404"};

struct verdict_case {
    const struct pst_watch_edge *edge;
    bool apex;
    enum pst_dns_status a, aaaa;
    const char *ips[4];
    const char *chain[3];
    const struct pst_watch_probe *probe;
    enum pst_watch_result result;
    const char *evidence, *record; /* exactly */
};

#define OK       PST_DNS_OK
#define NODATA   PST_DNS_NODATA
#define NX       PST_DNS_NXDOMAIN
#define OURS_4   "A 192.0.2.10 is an address of this platform"
#define OURS_6   "AAAA 2001:db8::10 is an address of this platform"
#define ALIEN_4  "A 203.0.113.5 is not an address of this platform"
#define ALIEN_6  "AAAA 2001:db8::1 is not an address of this platform"
#define CNAME    "www.example.com. CNAME edge.p.test."
#define BOTH_IPS "www.example.com. A 192.0.2.10\nwww.example.com. AAAA 2001:DB8::10"

static const struct verdict_case verdicts[] = {
    {&both, false, OK, NODATA, {"192.0.2.10"}, {0}, NULL, PST_WATCH_OURS, OURS_4, ""},
    {&both,
     false,
     OK,
     OK,
     {"2001:db8::10", "192.0.2.10"},
     {0},
     NULL,
     PST_WATCH_OURS,
     OURS_4 "; " OURS_6,
     ""},
    {&both,
     false,
     OK,
     NODATA,
     {"192.0.2.10"},
     {"x.test", "Edge.P.test"},
     NULL,
     PST_WATCH_OURS,
     "CNAME x.test -> Edge.P.test; " OURS_4,
     ""},
    {&both,
     false,
     OK,
     OK,
     {"192.0.2.10", "2001:db8::1"},
     {0},
     NULL,
     PST_WATCH_MIXED,
     ALIEN_6 "; " OURS_4,
     CNAME},
    {&both,
     true,
     OK,
     OK,
     {"192.0.2.10", "2001:db8::1"},
     {0},
     NULL,
     PST_WATCH_MIXED,
     ALIEN_6 "; " OURS_4,
     BOTH_IPS "\nremove www.example.com. AAAA 2001:db8::1"},
    {&only_ips,
     false,
     OK,
     NODATA,
     {"203.0.113.5"},
     {0},
     NULL,
     PST_WATCH_FOREIGN,
     ALIEN_4,
     BOTH_IPS "\nremove www.example.com. A 203.0.113.5"},
    {&only_ips,
     false,
     OK,
     NODATA,
     {"203.0.113.5"},
     {"x.test"},
     NULL,
     PST_WATCH_FOREIGN,
     "CNAME x.test; " ALIEN_4,
     BOTH_IPS},
    {&only_cname,
     false,
     OK,
     NODATA,
     {"203.0.113.5"},
     {"edge.p.test"},
     NULL,
     PST_WATCH_OURS,
     "CNAME edge.p.test; A 203.0.113.5 is an address of this platform",
     ""},
    {&only_cname, false, OK, NODATA, {"203.0.113.5"}, {0}, NULL, PST_WATCH_FOREIGN, ALIEN_4, CNAME},
    {&only_cname,
     true,
     OK,
     NODATA,
     {"203.0.113.5"},
     {0},
     NULL,
     PST_WATCH_FOREIGN,
     ALIEN_4,
     "www.example.com. ALIAS edge.p.test."},
    {&both,
     false,
     OK,
     NODATA,
     {"203.0.113.5"},
     {"edge.p.test"},
     NULL,
     PST_WATCH_FOREIGN,
     "CNAME edge.p.test; " ALIEN_4
     "; edge.p.test itself leads there: the platform's operator must mend this",
     ""},
    {&both,
     false,
     NX,
     NX,
     {0},
     {0},
     NULL,
     PST_WATCH_NONE,
     "the name does not exist (NXDOMAIN)",
     CNAME},
    {&both,
     true,
     NODATA,
     NODATA,
     {0},
     {0},
     NULL,
     PST_WATCH_NONE,
     "there is no A and no AAAA record",
     BOTH_IPS},
    {&both,
     false,
     NX,
     NX,
     {0},
     {"gone.test"},
     NULL,
     PST_WATCH_NONE,
     "CNAME gone.test; the end of the CNAMEs does not exist (NXDOMAIN)",
     CNAME},
    {&both,
     false,
     PST_DNS_SERVFAIL,
     NODATA,
     {0},
     {0},
     NULL,
     PST_WATCH_FAILED,
     "A: SERVFAIL (why a)",
     ""},
    {&both,
     false,
     OK,
     PST_DNS_TIMEOUT,
     {"192.0.2.10"},
     {0},
     NULL,
     PST_WATCH_FAILED,
     OURS_4 "; AAAA: TIMEOUT (why aaaa)",
     ""},
    {&both,
     false,
     OK,
     PST_DNS_REFUSED,
     {"203.0.113.5"},
     {0},
     NULL,
     PST_WATCH_FOREIGN,
     ALIEN_4 "; AAAA: REFUSED (why aaaa)",
     CNAME},
    {&both,
     false,
     PST_DNS_BOGUS,
     PST_DNS_BOGUS,
     {0},
     {0},
     NULL,
     PST_WATCH_FAILED,
     "A: BOGUS (why a); AAAA: BOGUS (why aaaa)",
     ""},
    {&both,
     false,
     OK,
     NODATA,
     {"203.0.113.5"},
     {0},
     &probe_ours,
     PST_WATCH_OURS_BY_PROBE,
     ALIEN_4 "; HTTP probe: led to an edge",
     ""},
    {&both,
     false,
     OK,
     NODATA,
     {"203.0.113.5"},
     {0},
     &probe_other,
     PST_WATCH_FOREIGN,
     ALIEN_4 "; HTTP probe: answered 404",
     CNAME},
    {&both,
     false,
     NX,
     NX,
     {0},
     {0},
     &probe_ours,
     PST_WATCH_NONE,
     "the name does not exist (NXDOMAIN); HTTP probe: led to an edge",
     CNAME},
};

static void judge_case(const struct verdict_case *c, struct pst_watch_verdict *ret)
{
    struct pst_dns_ip ips[4];
    size_t ip_n = 0, chain_n = 0;

    while (ip_n < 4 && c->ips[ip_n]) {
        assert_true(pst_dns_ip_parse(c->ips[ip_n], &ips[ip_n]));
        ip_n++;
    }
    while (chain_n < 3 && c->chain[chain_n])
        chain_n++;
    struct pst_watch_evidence e = {.name = "www.example.com",
                                   .apex = c->apex,
                                   .a = {c->a, "why a"},
                                   .aaaa = {c->aaaa, "why aaaa"},
                                   .ips = ips,
                                   .ip_n = ip_n,
                                   .chain = c->chain,
                                   .chain_n = chain_n,
                                   .probe = c->probe};
    pst_watch_judge(c->edge, &e, ret);
}

static void evidence_becomes_a_verdict(void **st)
{
    (void)st;
    for (size_t i = 0; i < PST_ARRAY_N(verdicts); i++) {
        struct pst_watch_verdict v;

        judge_case(&verdicts[i], &v);
        if (v.result != verdicts[i].result)
            fail_msg("case %zu is %s: %s", i, pst_watch_result_name(v.result), v.evidence);
        assert_string_equal(v.evidence, verdicts[i].evidence);
        assert_string_equal(v.record, verdicts[i].record);
    }
}

static void the_order_of_addresses_does_not_matter(void **st)
{
    const struct verdict_case one = {
        &both, false, OK, NODATA, {"203.0.113.5", "203.0.113.4"}, {0}, NULL, PST_WATCH_FOREIGN,
        "",    ""};
    const struct verdict_case two = {
        &both, false, OK, NODATA, {"203.0.113.4", "203.0.113.5"}, {0}, NULL, PST_WATCH_FOREIGN,
        "",    ""};
    struct pst_watch_verdict v1, v2;

    (void)st;
    judge_case(&one, &v1);
    judge_case(&two, &v2);
    assert_memory_equal(&v1, &v2, sizeof v1);
}

static void long_evidence_is_cut(void **st)
{
    struct pst_dns_ip ips[200];
    char name[254];
    const char *chain[16];
    struct pst_watch_verdict v;

    (void)st;
    memset(name, 'x', 253);
    name[253] = '\0';
    for (size_t i = 0; i < 16; i++)
        chain[i] = name;
    for (size_t i = 0; i < 200; i++)
        ips[i] = (struct pst_dns_ip){4, {203, 0, 113, (uint8_t)i}};
    struct pst_watch_evidence e = {.name = name,
                                   .apex = true,
                                   .ips = ips,
                                   .ip_n = 200,
                                   .chain = chain,
                                   .chain_n = 16,
                                   .probe = &probe_other};
    pst_watch_judge(&both, &e, &v);
    assert_int_equal(v.result, PST_WATCH_FOREIGN);
    assert_true(strlen(v.evidence) < sizeof v.evidence);
    assert_non_null(strstr(v.evidence, "and 10 more"));
    pst_watch_judge(&only_ips, &e, &v);
    assert_true(strlen(v.record) < sizeof v.record);
}

/* ------------------------------------------------------------------ wheel and hash */

static void the_wheel_gives_what_is_due(void **st)
{
    static struct pst_wheel w;
    static struct pst_wtimer t[2000];
    int64_t now = 1000000;
    size_t got = 0;

    (void)st;
    pst_wheel_init(&w, now);
    assert_int_equal(pst_wheel_wait(&w, now, 500), 500);
    assert_null(pst_wheel_pop(&w, now));
    for (size_t i = 0; i < 2000; i++) /* some beyond one turn, some in the past */
        pst_wheel_add(&w, &t[i], now - 100 + (int64_t)(i * 7919 % 400000));
    pst_wheel_remove(&w, &t[7]);
    pst_wheel_remove(&w, &t[7]);
    for (int64_t end = now + 400000; now <= end;) {
        struct pst_wtimer *one;

        while ((one = pst_wheel_pop(&w, now))) {
            assert_true(one->due_ms <= now);
            assert_true(one->due_ms > now - 250 || now == 1000000);
            got++;
        }
        int64_t wait = pst_wheel_wait(&w, now, 200);
        assert_true(wait >= 0 && wait <= 200);
        now += wait > 0 ? wait : 1;
    }
    assert_int_equal(got, 1999);
    assert_int_equal(w.n, 0);
}

static void the_wheel_survives_a_long_sleep(void **st)
{
    static struct pst_wheel w;
    struct pst_wtimer t[3] = {0};
    size_t got = 0;

    (void)st;
    pst_wheel_init(&w, 0);
    pst_wheel_add(&w, &t[0], 10);
    pst_wheel_add(&w, &t[1], 60000);
    pst_wheel_add(&w, &t[2], 900000);
    while (pst_wheel_pop(&w, 3600000))
        got++;
    assert_int_equal(got, 3);
    pst_wheel_add(&w, &t[0], 5); /* long past */
    assert_ptr_equal(pst_wheel_pop(&w, 3600000), &t[0]);
}

static void the_table_finds_what_it_holds(void **st)
{
    static struct pst_wnode nodes[5000];
    static char keys[5000][8];
    struct pst_whash h;

    (void)st;
    assert_int_equal(pst_whash_init(&h, 42), PST_OK);
    for (size_t i = 0; i < 5000; i++) {
        (void)snprintf(keys[i], sizeof keys[i], "k%zu", i);
        pst_whash_insert(&h, &nodes[i], keys[i]);
    }
    for (size_t i = 0; i < 5000; i += 2)
        pst_whash_remove(&h, &nodes[i]);
    for (size_t i = 0; i < 5000; i++)
        assert_ptr_equal(pst_whash_find(&h, keys[i]), i % 2 ? &nodes[i] : NULL);
    assert_null(pst_whash_find(&h, "k5000"));
    assert_int_equal(h.n, 2500);
    pst_whash_deinit(&h);
}

/* ------------------------------------------------------------------ confirming */

static struct test_server knot;
static struct pst_resolver *resolver;

static const struct test_zone zones[] = {
    {.name = "c.test",
     .text = "@ A 203.0.113.5\nwww CNAME edge.p.test.\nmixed A 192.0.2.10\n"
             "mixed AAAA 2001:db8::1\nproxied A 203.0.113.5\n"},
    {.name = "p.test", .text = "edge A 192.0.2.10\nedge AAAA 2001:db8::10\n"},
    {.name = "bogus.test", .text = "@ A 192.0.2.10\n", .signed_ = true},
};

static int start(void **st)
{
    char at[PST_DNS_SERVER_SIZE], anchor[96];
    struct pst_resolver_opts opts = {.resolver = at, .trust_anchor = anchor, .sockets = 64};

    (void)st;
    test_knot_start(&knot, zones, PST_ARRAY_N(zones));
    test_write(knot.dir, "anchor",
               "bogus.test. DS 1 13 2 "
               "00000000000000000000000000000000000000000000000000000000000000aa\n");
    (void)snprintf(anchor, sizeof anchor, "%s/anchor", knot.dir);
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

static int probe_proxied(void *arg, const char *name, const char *const *addresses, size_t n,
                         struct pst_watch_probe *ret, struct pst_err *err)
{
    (void)err;
    ++*(int *)arg;
    assert_int_equal(n, strstr(name, "mixed") ? 2 : 1);
    assert_non_null(addresses[0]);
    *ret = (struct pst_watch_probe){.ours = pst_streq(name, "proxied.c.test"), .evidence = "said"};
    return PST_OK;
}

static void a_name_is_confirmed(void **st)
{
    int probes = 0;
    struct pst_watch_edge edge = both;
    static const struct {
        const char *name;
        enum pst_watch_result result;
        const char *record;
        int probes;
    } cases[] = {
        {"www.c.test", PST_WATCH_OURS, "", 0},
        {"c.test", PST_WATCH_FOREIGN,
         "c.test. A 192.0.2.10\nc.test. AAAA 2001:DB8::10\nremove c.test. A 203.0.113.5", 1},
        {"mixed.c.test", PST_WATCH_MIXED, "mixed.c.test. CNAME edge.p.test.", 1},
        {"proxied.c.test", PST_WATCH_OURS_BY_PROBE, "", 1},
        {"nope.c.test", PST_WATCH_NONE, "nope.c.test. CNAME edge.p.test.", 0},
        {"bogus.test", PST_WATCH_FAILED, "", 0},
    };

    (void)st;
    edge.probe = probe_proxied;
    edge.probe_arg = &probes;
    for (size_t i = 0; i < PST_ARRAY_N(cases); i++) {
        struct pst_clock_manual clock;
        struct pst_watch_verdict v;

        probes = 0;
        pst_clock_manual_init(&clock, 1234567);
        assert_int_equal(pst_watch_confirm(resolver, &edge, &clock.clock, cases[i].name, &v, NULL),
                         PST_OK);
        if (v.result != cases[i].result)
            fail_msg("%s is %s: %s", cases[i].name, pst_watch_result_name(v.result), v.evidence);
        assert_string_equal(v.record, cases[i].record);
        assert_int_equal(probes, cases[i].probes);
        assert_int_equal(v.at_ms, 1234567);
    }
    struct pst_watch_verdict v;
    assert_int_equal(pst_watch_confirm(resolver, &edge, NULL, "a..b", &v, NULL), PST_REFUSED);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(evidence_becomes_a_verdict),
        cmocka_unit_test(the_order_of_addresses_does_not_matter),
        cmocka_unit_test(long_evidence_is_cut),
        cmocka_unit_test(the_wheel_gives_what_is_due),
        cmocka_unit_test(the_wheel_survives_a_long_sleep),
        cmocka_unit_test(the_table_finds_what_it_holds),
        cmocka_unit_test(a_name_is_confirmed),
    };

    return cmocka_run_group_tests_name("watch_judge", tests, start, stop);
}
