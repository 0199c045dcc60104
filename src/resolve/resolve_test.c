/* Look-ups against real servers (Knot, pebble-challtestsrv) and one that misbehaves. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <dns_servers.h>

#include "resolve_internal.h"

static struct test_server knot, challtestsrv;

static const struct test_zone zones[] = {
    {.name = "plain.test",
     .text =
         "@ A 192.0.2.1\n@ AAAA 2001:db8::1\nwww CNAME cdn\ncdn CNAME edge\n"
         "edge A 192.0.2.3\nedge A 192.0.2.2\nedge AAAA 2001:db8::2\n"
         "v4 A 192.0.2.4\ntxt TXT \"one\" \"two\"\ntxt TXT \"three\"\n"
         "out CNAME nowhere.plain.test.\nmx MX 10 @\n"
         "caa CAA 0 issue \"ca.example; accounturi=https://ca.example/1\"\n"
         "caa CAA 128 iodef \"mailto:a@plain.test\"\n"
         "big A 192.0.2.1\nbig A 192.0.2.2\nbig A 192.0.2.3\nbig A 192.0.2.4\nbig A 192.0.2.5\n"
         "big A 192.0.2.6\nbig A 192.0.2.7\nbig A 192.0.2.8\nbig A 192.0.2.9\nbig A 192.0.2.10\n"
         "big A 192.0.2.11\nbig A 192.0.2.12\nbig A 192.0.2.13\nbig A 192.0.2.14\nbig A "
         "192.0.2.15\n"
         "big A 192.0.2.16\nbig A 192.0.2.17\nbig A 192.0.2.18\nbig A 192.0.2.19\nbig A "
         "192.0.2.20\n"
         "big A 192.0.2.21\nbig A 192.0.2.22\nbig A 192.0.2.23\nbig A 192.0.2.24\nbig A "
         "192.0.2.25\n"
         "big A 192.0.2.26\nbig A 192.0.2.27\nbig A 192.0.2.28\nbig A 192.0.2.29\nbig A "
         "192.0.2.30\n"
         "big A 192.0.2.31\nbig A 192.0.2.32\nbig A 192.0.2.33\nbig A 192.0.2.34\nbig A "
         "192.0.2.35\n"
         "big A 192.0.2.36\nbig A 192.0.2.37\nbig A 192.0.2.38\nbig A 192.0.2.39\nbig A "
         "192.0.2.40\n"
         "big A 192.0.2.41\nbig A 192.0.2.42\nbig A 192.0.2.43\nbig A 192.0.2.44\nbig A "
         "192.0.2.45\n"
         "big A 192.0.2.46\nbig A 192.0.2.47\nbig A 192.0.2.48\nbig A 192.0.2.49\nbig A "
         "192.0.2.50\n"
         "big A 192.0.2.51\nbig A 192.0.2.52\nbig A 192.0.2.53\nbig A 192.0.2.54\nbig A "
         "192.0.2.55\n"
         "big A 192.0.2.56\nbig A 192.0.2.57\nbig A 192.0.2.58\nbig A 192.0.2.59\nbig A "
         "192.0.2.60\n"
         "big A 192.0.2.61\nbig A 192.0.2.62\nbig A 192.0.2.63\nbig A 192.0.2.64\nbig A "
         "192.0.2.65\n"
         "big A 192.0.2.66\nbig A 192.0.2.67\nbig A 192.0.2.68\nbig A 192.0.2.69\nbig A "
         "192.0.2.70\n"
         "big A 192.0.2.71\nbig A 192.0.2.72\nbig A 192.0.2.73\nbig A 192.0.2.74\nbig A "
         "192.0.2.75\n"
         "big A 192.0.2.76\nbig A 192.0.2.77\nbig A 192.0.2.78\nbig A 192.0.2.79\nbig A "
         "192.0.2.80\n"
         "big A 192.0.2.81\nbig A 192.0.2.82\nbig A 192.0.2.83\nbig A 192.0.2.84\nbig A "
         "192.0.2.85\n"
         "big A 192.0.2.86\nbig A 192.0.2.87\nbig A 192.0.2.88\nbig A 192.0.2.89\nbig A "
         "192.0.2.90\n"
         "sub NS ns.plain.test.\n"},
    {.name = "signed.test", .text = "@ A 192.0.2.5\nx TXT \"y\"\n", .signed_ = true},
    {.name = "bogus.test", .text = "@ A 192.0.2.6\n@ CAA 0 issue \"ca\"\n", .signed_ = true},
};

/* Trust anchors: the right one for signed.test, a wrong one for bogus.test. */
static void write_anchors(void)
{
    auto_buf struct pst_buf b = PST_BUF(16384);

    test_knot_ds(&knot, "signed.test", &b);
    pst_buf_str(&b, "bogus.test. DS 1 13 2 "
                    "00000000000000000000000000000000000000000000000000000000000000aa\n");
    test_write(knot.dir, "anchors", pst_buf_cstr(&b));
}

static int start_servers(void **st)
{
    (void)st;
    test_knot_start(&knot, zones, PST_ARRAY_N(zones));
    write_anchors();
    test_challtestsrv_start(&challtestsrv);
    return 0;
}

static int stop_servers(void **st)
{
    (void)st;
    test_server_stop(&knot);
    test_server_stop(&challtestsrv);
    return 0;
}

static struct pst_resolver *resolver_of(uint16_t port, struct pst_resolver_opts opts, bool validate)
{
    struct pst_resolver *r = NULL;
    struct pst_err err = {0};
    char at[PST_DNS_SERVER_SIZE], anchors[96] = "";
    struct pst_dns_server server = test_local(port);

    pst_dns_server_text(&server, at);
    if (validate)
        (void)snprintf(anchors, sizeof anchors, "%s/anchors", knot.dir);
    opts.resolver = at;
    opts.trust_anchor = anchors;
    opts.sockets = 64;
    if (pst_resolver_new(&r, &opts, &err) != PST_OK)
        fail_msg("%s", err.text);
    return r;
}

static struct pst_resolver *resolver_at(uint16_t port, bool validate, uint32_t deadline_ms)
{
    return resolver_of(port, (struct pst_resolver_opts){.deadline_ms = deadline_ms}, validate);
}

static void check_ips(const struct pst_resolve_addresses *a, const char *const *want, size_t n)
{
    assert_int_equal(a->ip_n, n);
    for (size_t i = 0; i < n; i++) {
        char text[PST_DNS_IP_SIZE];

        pst_dns_ip_text(&a->ips[i], text);
        assert_string_equal(text, want[i]);
    }
}

/* ------------------------------------------------------------------ the resolver */

static void addresses_come_sorted_with_their_chain(void **st)
{
    auto_(pst_resolver_free) struct pst_resolver *r = resolver_at(knot.port, false, 0);
    auto_(pst_resolve_addresses_free) struct pst_resolve_addresses *a = NULL;
    static const char *const want[] = {"192.0.2.2", "192.0.2.3", "2001:db8::2"};
    struct pst_err err = {0};

    (void)st;
    assert_int_equal(pst_resolve_addresses(r, "WWW.plain.test", &a, &err), PST_OK);
    assert_int_equal(a->status, PST_DNS_OK);
    assert_false(a->a.secure);
    check_ips(a, want, PST_ARRAY_N(want));
    assert_int_equal(a->chain_n, 2);
    assert_string_equal(a->chain[0], "cdn.plain.test");
    assert_string_equal(a->chain[1], "edge.plain.test");
}

static void statuses_are_told_apart(void **st)
{
    static const struct {
        const char *name;
        enum pst_dns_status a, aaaa, both;
        size_t ip_n, chain_n;
    } cases[] = {
        {"plain.test", PST_DNS_OK, PST_DNS_OK, PST_DNS_OK, 2, 0},
        {"v4.plain.test", PST_DNS_OK, PST_DNS_NODATA, PST_DNS_OK, 1, 0},
        {"txt.plain.test", PST_DNS_NODATA, PST_DNS_NODATA, PST_DNS_NODATA, 0, 0},
        {"nope.plain.test", PST_DNS_NXDOMAIN, PST_DNS_NXDOMAIN, PST_DNS_NXDOMAIN, 0, 0},
        {"out.plain.test", PST_DNS_NXDOMAIN, PST_DNS_NXDOMAIN, PST_DNS_NXDOMAIN, 0, 1},
        {"big.plain.test", PST_DNS_OK, PST_DNS_NODATA, PST_DNS_OK, 90, 0}, /* needs TCP */
        {"other.example", PST_DNS_SERVFAIL, PST_DNS_SERVFAIL, PST_DNS_SERVFAIL, 0, 0},
    };
    auto_(pst_resolver_free) struct pst_resolver *r = resolver_at(knot.port, false, 0);

    (void)st;
    for (size_t i = 0; i < PST_ARRAY_N(cases); i++) {
        auto_(pst_resolve_addresses_free) struct pst_resolve_addresses *a = NULL;

        assert_int_equal(pst_resolve_addresses(r, cases[i].name, &a, NULL), PST_OK);
        assert_int_equal(a->a.status, cases[i].a);
        assert_int_equal(a->aaaa.status, cases[i].aaaa);
        assert_int_equal(a->status, cases[i].both);
        assert_int_equal(a->ip_n, cases[i].ip_n);
        assert_int_equal(a->chain_n, cases[i].chain_n);
        assert_int_equal(a->a.why[0] != '\0', cases[i].a == PST_DNS_SERVFAIL);
    }
}

static void records_are_typed(void **st)
{
    auto_(pst_resolver_free) struct pst_resolver *r = resolver_at(knot.port, false, 0);
    auto_(pst_resolve_records_free) struct pst_resolve_records *caa = NULL, *txt = NULL, *ns = NULL,
                                                               *none = NULL;

    (void)st;
    assert_int_equal(pst_resolve_caa(r, "caa.plain.test", &caa, NULL), PST_OK);
    assert_int_equal(caa->n, 2);
    size_t issue = caa->caa[0].flags == 0 ? 0 : 1;
    assert_string_equal(caa->caa[issue].tag, "issue");
    assert_string_equal(caa->caa[issue].value, "ca.example; accounturi=https://ca.example/1");
    assert_int_equal(caa->caa[1 - issue].flags, 128);
    assert_string_equal(caa->caa[1 - issue].tag, "iodef");

    assert_int_equal(pst_resolve_txt(r, "txt.plain.test", &txt, NULL), PST_OK);
    assert_int_equal(txt->n, 2);
    size_t one = pst_streq(txt->texts[0], "onetwo") ? 0 : 1;
    assert_string_equal(txt->texts[one], "onetwo");
    assert_string_equal(txt->texts[1 - one], "three");

    assert_int_equal(pst_resolve_ns(r, "plain.test", &ns, NULL), PST_OK);
    assert_int_equal(ns->n, 1);
    assert_string_equal(ns->texts[0], "ns.plain.test");

    assert_int_equal(pst_resolve_caa(r, "v4.plain.test", &none, NULL), PST_OK);
    assert_int_equal(none->n, 0);
    assert_int_equal(none->end.status, PST_DNS_NODATA);
}

static void a_zone_is_found_from_below(void **st)
{
    static const struct {
        const char *name, *zone;
    } cases[] = {
        {"plain.test", "plain.test"},
        {"a.b.c.plain.test", "plain.test"},
        {"www.plain.test", "plain.test"}, /* a CNAME: not the zone it leads to */
    };
    auto_(pst_resolver_free) struct pst_resolver *r = resolver_at(knot.port, false, 0);

    (void)st;
    for (size_t i = 0; i < PST_ARRAY_N(cases); i++) {
        auto_(pst_resolve_zone_free) struct pst_resolve_zone *z = NULL;

        assert_int_equal(pst_resolve_zone(r, cases[i].name, &z, NULL), PST_OK);
        assert_int_equal(z->end.status, PST_DNS_OK);
        assert_string_equal(z->zone, cases[i].zone);
        assert_int_equal(z->ip_n, 1);
        assert_memory_equal(z->ips[0].bytes, "\x7f\0\0\1", 4);
    }
    auto_(pst_resolve_zone_free) struct pst_resolve_zone *z = NULL;
    assert_int_equal(pst_resolve_zone(r, "x.other.example", &z, NULL), PST_OK);
    assert_int_equal(z->end.status, PST_DNS_SERVFAIL);
    assert_string_equal(z->zone, "");
}

static void dnssec_is_validated(void **st)
{
    auto_(pst_resolver_free) struct pst_resolver *r = resolver_at(knot.port, true, 0);
    auto_(pst_resolve_addresses_free) struct pst_resolve_addresses *good = NULL, *bad = NULL,
                                                                   *plain = NULL;
    auto_(pst_resolve_records_free) struct pst_resolve_records *caa = NULL;

    (void)st;
    assert_int_equal(pst_resolve_addresses(r, "signed.test", &good, NULL), PST_OK);
    assert_int_equal(good->status, PST_DNS_OK);
    assert_true(good->a.secure);
    assert_true(good->aaaa.secure); /* that there is none is proven too */
    assert_int_equal(pst_resolve_addresses(r, "bogus.test", &bad, NULL), PST_OK);
    assert_int_equal(bad->status, PST_DNS_BOGUS);
    assert_int_equal(bad->ip_n, 0);
    assert_true(strlen(bad->a.why) > 10);
    assert_int_equal(pst_resolve_addresses(r, "plain.test", &plain, NULL), PST_OK);
    assert_int_equal(plain->status, PST_DNS_OK);
    assert_false(plain->a.secure);
    assert_int_equal(pst_resolve_caa(r, "bogus.test", &caa, NULL), PST_OK);
    assert_int_equal(caa->end.status, PST_DNS_BOGUS);
    assert_int_equal(caa->n, 0);
}

static void challtestsrv_can_be_asked(void **st)
{
    auto_(pst_resolver_free) struct pst_resolver *r = resolver_at(challtestsrv.port, false, 0);
    auto_(pst_resolve_addresses_free) struct pst_resolve_addresses *a = NULL, *fails = NULL,
                                                                   *none = NULL;
    auto_(pst_resolve_records_free) struct pst_resolve_records *caa = NULL;

    (void)st;
    test_challtestsrv(&challtestsrv, "add-a",
                      "{\"host\":\"a.test.\",\"addresses\":[\"192.0.2.9\"]}");
    test_challtestsrv(&challtestsrv, "set-servfail", "{\"host\":\"fail.test.\"}");
    test_challtestsrv(&challtestsrv, "add-caa",
                      "{\"host\":\"caa.test.\",\"policies\":[{\"tag\":\"issue\","
                      "\"value\":\"ca.test\"}]}");
    assert_int_equal(pst_resolve_addresses(r, "a.test", &a, NULL), PST_OK);
    assert_int_equal(a->status, PST_DNS_OK);
    assert_int_equal(a->ip_n, 1);
    assert_int_equal(pst_resolve_addresses(r, "fail.test", &fails, NULL), PST_OK);
    assert_int_equal(fails->status, PST_DNS_SERVFAIL);
    assert_int_equal(pst_resolve_addresses(r, "none.test", &none, NULL), PST_OK);
    assert_int_equal(none->status, PST_DNS_NODATA);
    assert_int_equal(pst_resolve_caa(r, "caa.test", &caa, NULL), PST_OK);
    assert_int_equal(caa->n, 1);
    assert_string_equal(caa->caa[0].value, "ca.test");
}

/* A TXT record that may be kept for some seconds. */
static void kept(struct test_fake *f, const uint8_t *query, size_t len, uint8_t *reply,
                 size_t *reply_len)
{
    size_t at = test_reply(query, len, 0, reply);

    (void)f;
    *reply_len = test_reply_add(reply, at, PST_DNS_TXT, "\4text", 5);
}

static unsigned questions_for_three(bool fresh)
{
    static const char *const names[] = {"a.example.test"};
    struct test_fake f;

    test_fake_start(&f, kept, NULL);
    struct pst_resolver *r = resolver_of(f.port, (struct pst_resolver_opts){.fresh = fresh}, false);
    for (int i = 0; i < 3; i++) {
        struct pst_resolve_records *txt = NULL;

        assert_int_equal(pst_resolve_txt_all(r, names, 1, &txt, NULL), PST_OK);
        assert_int_equal(txt->n, 1);
        assert_string_equal(txt->texts[0], "text");
        pst_resolve_records_free(txt);
    }
    pst_resolver_free(r);
    unsigned n = atomic_load(&f.questions);
    test_fake_stop(&f);
    return n;
}

static void a_fresh_resolver_asks_each_time(void **st)
{
    (void)st;
    assert_int_equal(questions_for_three(false), 1);
    assert_int_equal(questions_for_three(true), 3);
}

static void texts_of_several_names_say_where_they_stand(void **st)
{
    static const char *const names[] = {"txt.plain.test", "www.plain.test", "x.signed.test",
                                        "none.plain.test"};
    auto_(pst_resolver_free) struct pst_resolver *r =
        resolver_of(knot.port, (struct pst_resolver_opts){.fresh = true}, true);
    struct pst_resolve_records *txt[PST_ARRAY_N(names)];

    (void)st;
    assert_int_equal(pst_resolve_txt_all(r, names, PST_ARRAY_N(names), txt, NULL), PST_OK);
    assert_int_equal(txt[0]->n, 2);
    assert_int_equal(txt[0]->chain_n, 0);
    assert_int_equal(txt[1]->end.status, PST_DNS_NODATA);
    assert_int_equal(txt[1]->chain_n, 2);
    assert_true(txt[2]->end.secure);
    assert_string_equal(txt[2]->texts[0], "y");
    assert_int_equal(txt[3]->end.status, PST_DNS_NXDOMAIN);
    for (size_t i = 0; i < PST_ARRAY_N(names); i++)
        pst_resolve_records_free(txt[i]);
    const char *bad[] = {"txt.plain.test", "a..test"};
    assert_int_equal(pst_resolve_txt_all(r, bad, 2, txt, NULL), PST_REFUSED);
}

static void silent(struct test_fake *f, const uint8_t *query, size_t len, uint8_t *reply,
                   size_t *reply_len)
{
    (void)f, (void)query, (void)len, (void)reply;
    *reply_len = 0;
}

static void a_silent_server_ends_with_the_deadline(void **st)
{
    struct test_fake f;
    struct pst_resolve_addresses *a = NULL;

    (void)st;
    test_fake_start(&f, silent, NULL);
    struct pst_resolver *r = resolver_at(f.port, false, 300);
    int64_t start = test_now_ms();
    assert_int_equal(pst_resolve_addresses(r, "a.test", &a, NULL), PST_OK);
    assert_int_equal(a->status, PST_DNS_TIMEOUT);
    assert_true(test_now_ms() - start >= 299);
    assert_true(test_now_ms() - start < TEST_DEADLINE_MS);
    pst_resolve_addresses_free(a);
    pst_resolver_free(r); /* with the questions still under way */
    test_fake_stop(&f);
}

static void names_that_cannot_be_asked_for_are_refused(void **st)
{
    auto_(pst_resolver_free) struct pst_resolver *r = resolver_at(knot.port, false, 0);
    struct pst_resolve_addresses *a = NULL;
    struct pst_resolve_records *t = NULL;
    struct pst_err err = {0};

    (void)st;
    assert_int_equal(pst_resolve_addresses(r, "a..b", &a, &err), PST_REFUSED);
    assert_non_null(strstr(err.text, "a..b"));
    assert_int_equal(pst_resolve_txt(r, "a b", &t, &err), PST_REFUSED);
}

static void bad_settings_are_refused(void **st)
{
    struct pst_resolver *r = NULL;
    struct pst_err err = {0};
    struct pst_resolver_opts bad = {.resolver = "dns.example"};
    struct pst_resolver_opts anchor = {.trust_anchor = "/nonexistent/anchor"};
    struct pst_resolver_opts nonsense = {0};
    char path[96];

    (void)st;
    assert_int_equal(pst_resolver_new(&r, &bad, &err), PST_ECONFIG);
    assert_non_null(strstr(err.text, "dns.example"));
    assert_int_equal(pst_resolver_new(&r, &anchor, &err), PST_ECONFIG);
    assert_non_null(strstr(err.text, "/nonexistent/anchor"));
    assert_null(r);

    test_write(knot.dir, "nonsense", "this is no trust anchor\n");
    (void)snprintf(path, sizeof path, "%s/nonsense", knot.dir);
    nonsense.trust_anchor = path;
    assert_int_equal(pst_resolver_new(&r, &nonsense, &err), PST_ECONFIG);
    assert_non_null(strstr(err.text, "trust anchor"));
    nonsense.resolver = "127.0.0.1:53";
    assert_int_equal(pst_resolver_new(&r, &nonsense, &err), PST_ECONFIG);
    assert_null(r);
}

/* Without a network only names that unbound knows by itself can be asked for. */
static void without_a_resolver_special_names_stay_special(void **st)
{
    auto_(pst_resolver_free) struct pst_resolver *r = NULL;
    auto_(pst_resolve_addresses_free) struct pst_resolve_addresses *local = NULL, *test = NULL;
    struct pst_resolver_opts opts = {0};

    (void)st;
    assert_int_equal(pst_resolver_new(&r, &opts, NULL), PST_OK);
    assert_int_equal(pst_resolve_addresses(r, "localhost", &local, NULL), PST_OK);
    assert_int_equal(local->status, PST_DNS_OK);
    assert_int_equal(pst_resolve_addresses(r, "www.test", &test, NULL), PST_OK);
    assert_int_equal(test->status, PST_DNS_NXDOMAIN);
}

static void *look_up_many(void *arg)
{
    intptr_t wrong = 0;

    for (int i = 0; i < 50; i++) {
        auto_(pst_resolve_addresses_free) struct pst_resolve_addresses *a = NULL;
        char name[64];

        (void)snprintf(name, sizeof name, "%s", i % 2 ? "edge.plain.test" : "nope.plain.test");
        wrong += pst_resolve_addresses(arg, name, &a, NULL) != PST_OK || !a ||
                 a->ip_n != (i % 2 ? 3 : 0);
    }
    return (void *)wrong;
}

static void many_threads_may_ask(void **st)
{
    auto_(pst_resolver_free) struct pst_resolver *r = resolver_at(knot.port, false, 0);
    pthread_t threads[8];

    (void)st;
    for (size_t i = 0; i < PST_ARRAY_N(threads); i++)
        assert_int_equal(pthread_create(&threads[i], NULL, look_up_many, r), 0);
    for (size_t i = 0; i < PST_ARRAY_N(threads); i++) {
        void *wrong = NULL;

        pthread_join(threads[i], &wrong);
        assert_null(wrong);
    }
}

static void every_allocation_may_fail(void **st)
{
    auto_(pst_resolver_free) struct pst_resolver *r = resolver_at(knot.port, false, 0);

    (void)st;
    for (long n = 1;; n++) {
        auto_(pst_resolve_zone_free) struct pst_resolve_zone *z = NULL;
        auto_(pst_resolve_records_free) struct pst_resolve_records *caa = NULL;
        auto_(pst_resolve_addresses_free) struct pst_resolve_addresses *a = NULL;

        pst_mem_fail_at(n);
        int rc = pst_resolve_zone(r, "www.plain.test", &z, NULL);
        if (rc == PST_OK)
            rc = pst_resolve_caa(r, "caa.plain.test", &caa, NULL);
        if (rc == PST_OK)
            rc = pst_resolve_addresses(r, "www.plain.test", &a, NULL);
        bool hit = pst_mem_failed();
        pst_mem_fail_at(0);
        assert_int_equal(rc, hit ? PST_ENOMEM : PST_OK);
        if (!hit)
            return;
    }
}

/* ------------------------------------------------------------------ one server */

static int ask(uint16_t port, const char *name, uint16_t type, uint32_t timeout_ms,
               struct pst_dns_msg **ret, struct pst_err *err)
{
    struct pst_dns_server server = test_local(port);
    struct pst_ask_opts opts = {.timeout_ms = timeout_ms};

    return pst_ask(&server, name, type, &opts, ret, err);
}

static void a_given_server_is_asked(void **st)
{
    static const struct {
        const char *name;
        uint16_t type;
        enum pst_dns_status status;
        size_t n;
    } cases[] = {
        {"www.plain.test", PST_DNS_A, PST_DNS_OK, 2},
        {"big.plain.test", PST_DNS_A, PST_DNS_OK, 90}, /* truncated, then by TCP */
        {"nope.plain.test", PST_DNS_A, PST_DNS_NXDOMAIN, 0},
        {"mx.plain.test", PST_DNS_A, PST_DNS_NODATA, 0},
        {"other.example", PST_DNS_A, PST_DNS_REFUSED, 0},
        {"plain.test", PST_DNS_SOA, PST_DNS_OK, 1},
        {"www.plain.test", PST_DNS_CNAME, PST_DNS_OK, 1},
    };

    (void)st;
    for (size_t i = 0; i < PST_ARRAY_N(cases); i++) {
        auto_(pst_dns_msg_free) struct pst_dns_msg *m = NULL;
        struct pst_dns_view v;
        struct pst_err err = {0};

        if (ask(knot.port, cases[i].name, cases[i].type, 0, &m, &err) != PST_OK)
            fail_msg("%s: %s", cases[i].name, err.text);
        pst_dns_follow(m, &v);
        assert_int_equal(v.status, cases[i].status);
        assert_int_equal(v.rr_n, cases[i].n);
        assert_false(m->truncated);
    }
}

static void a_silent_or_closed_server_is_a_network_fault(void **st)
{
    struct pst_dns_msg *m = NULL;
    struct pst_err err = {0};
    struct test_fake f;

    (void)st;
    test_fake_start(&f, silent, NULL);
    int64_t start = test_now_ms();
    assert_int_equal(ask(f.port, "a.test", PST_DNS_A, 300, &m, &err), PST_ENET);
    assert_non_null(strstr(err.text, "did not answer in time"));
    assert_true(test_now_ms() - start >= 299);
    assert_int_equal(atomic_load(&f.questions), 3);
    test_fake_stop(&f);
    assert_int_equal(ask(f.port, "a.test", PST_DNS_A, 5000, &m, &err), PST_ENET);
    assert_int_equal(ask(f.port, "a..test", PST_DNS_A, 300, &m, &err), PST_REFUSED);
}

/* Three forgeries, then the truth. */
static void forge(struct test_fake *f, const uint8_t *query, size_t len, uint8_t *reply,
                  size_t *reply_len)
{
    size_t at = test_reply(query, len, 0, reply);
    uint8_t forged[4096];

    at = test_reply_add(reply, at, PST_DNS_A, "\xc0\0\2\x42", 4);
    for (int i = 0; i < 3; i++) {
        memcpy(forged, reply, at);
        forged[at - 1] = 0x66;
        if (i == 0)
            forged[0] ^= 1; /* id */
        else if (i == 1)
            forged[13] = 'z'; /* question */
        else
            forged[2] &= 0x7f; /* not an answer */
        (void)sendto(f->fd, forged, at, 0, (struct sockaddr *)&f->peer, sizeof f->peer);
    }
    int other = test_bind(SOCK_DGRAM, 0); /* right in all but where it comes from */
    memcpy(forged, reply, at);
    forged[at - 1] = 0x66;
    (void)sendto(other, forged, at, 0, (struct sockaddr *)&f->peer, sizeof f->peer);
    close(other);
    *reply_len = at;
}

static void forged_answers_are_dropped(void **st)
{
    auto_(pst_dns_msg_free) struct pst_dns_msg *m = NULL;
    struct test_fake f;

    (void)st;
    test_fake_start(&f, forge, NULL);
    assert_int_equal(ask(f.port, "a.test", PST_DNS_A, 5000, &m, NULL), PST_OK);
    assert_int_equal(m->answer_n, 1);
    assert_int_equal(m->answer[0].data[3], 0x42);
    test_fake_stop(&f);
}

/* A server of the last century: FORMERR to what it does not know. */
static void no_edns(struct test_fake *f, const uint8_t *query, size_t len, uint8_t *reply,
                    size_t *reply_len)
{
    bool edns = query[11] != 0;
    size_t at = test_reply(query, len, edns ? 1 : 0, reply);

    (void)f;
    *reply_len = edns ? at : test_reply_add(reply, at, PST_DNS_A, "\xc0\0\2\1", 4);
}

static void a_server_without_edns_is_understood(void **st)
{
    auto_(pst_dns_msg_free) struct pst_dns_msg *m = NULL;
    struct test_fake f;

    (void)st;
    test_fake_start(&f, no_edns, NULL);
    assert_int_equal(ask(f.port, "a.test", PST_DNS_A, 5000, &m, NULL), PST_OK);
    assert_int_equal(m->rcode, 0);
    assert_int_equal(m->answer_n, 1);
    test_fake_stop(&f);
}

static void garbage(struct test_fake *f, const uint8_t *query, size_t len, uint8_t *reply,
                    size_t *reply_len)
{
    size_t at = test_reply(query, len, 0, reply);

    (void)f;
    reply[7] = 9; /* records that are not there */
    memset(reply + at, 0xff, 60000 - at);
    *reply_len = 60000;
}

static void a_malformed_answer_is_an_input_fault(void **st)
{
    struct pst_dns_msg *m = NULL;
    struct pst_err err = {0};
    struct test_fake f;

    (void)st;
    test_fake_start(&f, garbage, NULL);
    assert_int_equal(ask(f.port, "a.test", PST_DNS_A, 5000, &m, &err), PST_EINPUT);
    assert_non_null(strstr(err.text, "malformed"));
    test_fake_stop(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(addresses_come_sorted_with_their_chain),
        cmocka_unit_test(statuses_are_told_apart),
        cmocka_unit_test(records_are_typed),
        cmocka_unit_test(a_zone_is_found_from_below),
        cmocka_unit_test(dnssec_is_validated),
        cmocka_unit_test(challtestsrv_can_be_asked),
        cmocka_unit_test(a_fresh_resolver_asks_each_time),
        cmocka_unit_test(texts_of_several_names_say_where_they_stand),
        cmocka_unit_test(a_silent_server_ends_with_the_deadline),
        cmocka_unit_test(names_that_cannot_be_asked_for_are_refused),
        cmocka_unit_test(bad_settings_are_refused),
        cmocka_unit_test(without_a_resolver_special_names_stay_special),
        cmocka_unit_test(many_threads_may_ask),
        cmocka_unit_test(every_allocation_may_fail),
        cmocka_unit_test(a_given_server_is_asked),
        cmocka_unit_test(a_silent_or_closed_server_is_a_network_fault),
        cmocka_unit_test(forged_answers_are_dropped),
        cmocka_unit_test(a_server_without_edns_is_understood),
        cmocka_unit_test(a_malformed_answer_is_an_input_fault),
    };

    return cmocka_run_group_tests_name("resolve", tests, start_servers, stop_servers);
}
