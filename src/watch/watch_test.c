/* The watch against pebble-challtestsrv, Knot, and a server that misbehaves. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <dns_servers.h>

#include <postern/resolve.h>
#include <postern/watch.h>

/* ------------------------------------------------------------------ what was reported */

struct reports {
    pthread_mutex_t lock;
    struct {
        char id[48];
        struct pst_watch_verdict v;
    } all[600];
    size_t n;
    size_t flushes;
};

static struct reports reports = {.lock = PTHREAD_MUTEX_INITIALIZER};

static void on_report(void *arg, const char *id, const struct pst_watch_verdict *v)
{
    struct reports *r = arg;

    pthread_mutex_lock(&r->lock);
    if (r->n < PST_ARRAY_N(r->all)) {
        (void)pst_str_copy(r->all[r->n].id, sizeof r->all[r->n].id, id);
        r->all[r->n++].v = *v;
    }
    pthread_mutex_unlock(&r->lock);
}

static void on_flush(void *arg)
{
    struct reports *r = arg;

    pthread_mutex_lock(&r->lock);
    r->flushes++;
    pthread_mutex_unlock(&r->lock);
}

/* The newest verdict of an id, and how many there were. */
static size_t reported(const char *id, struct pst_watch_verdict *ret)
{
    size_t n = 0;

    pthread_mutex_lock(&reports.lock);
    for (size_t i = 0; i < reports.n; i++) {
        if (pst_streq(reports.all[i].id, id)) {
            *ret = reports.all[i].v;
            n++;
        }
    }
    pthread_mutex_unlock(&reports.lock);
    return n;
}

static size_t times(const char *id)
{
    struct pst_watch_verdict v;

    return reported(id, &v);
}

static bool is(const char *id, enum pst_watch_result result)
{
    struct pst_watch_verdict v;

    return reported(id, &v) > 0 && v.result == result;
}

static int clear_reports(void **st)
{
    (void)st;
    reports.n = reports.flushes = 0;
    return 0;
}

/* ------------------------------------------------------------------ the watch under test */

static const char *const edge_ips[] = {"192.0.2.10", "2001:db8::10"};

static char *local_text(uint16_t port)
{
    static char at[PST_DNS_SERVER_SIZE];
    struct pst_dns_server server = test_local(port);

    pst_dns_server_text(&server, at);
    return at;
}

static struct pst_watch_opts options(uint16_t port)
{
    return (struct pst_watch_opts){
        .edge = {.addresses = edge_ips, .addresses_n = 2, .cname = "edge.p.test"},
        .batch_ms = 1,
        .try_ms = 2000,
        .resolver = port ? local_text(port) : NULL,
        .report = on_report,
        .flush = on_flush,
        .arg = &reports};
}

static struct pst_watch *start_watch(const struct pst_watch_opts *opts)
{
    struct pst_watch *w = NULL;
    struct pst_err err = {0};

    if (pst_watch_new(&w, opts, &err) != PST_OK)
        fail_msg("%s", err.text);
    return w;
}

static void add(struct pst_watch *w, const char *id, const char *name)
{
    struct pst_err err = {0};

    if (pst_watch_add(w, id, name, &err) != PST_OK)
        fail_msg("%s", err.text);
}

static struct pst_watch_stats stats(struct pst_watch *w)
{
    struct pst_watch_stats s;

    pst_watch_stats(w, &s);
    return s;
}

/* ------------------------------------------------------------------ servers */

static struct test_server knot, challtestsrv;

static const struct test_zone zones[] = {
    {.name = "c.test",
     .text = "@ A 203.0.113.5\nwww CNAME edge.p.test.\nv4 A 192.0.2.10\n"
             "txt TXT x\nloop1 CNAME loop2\nloop2 CNAME loop1\nodd CNAME a\\046b.p.test.\n"
             "lame NS ns\ngone CNAME nowhere.p.test.\n"
             "big A 203.0.113.1\nbig A 203.0.113.2\n"
             "big TXT x\n"},
    {.name = "p.test", .text = "edge A 192.0.2.10\nedge AAAA 2001:db8::10\n"},
    {.name = "large.test", .text = NULL}, /* filled in at the start */
};

static int start_servers(void **st)
{
    struct test_zone all[PST_ARRAY_N(zones)];
    auto_buf struct pst_buf large = PST_BUF(8192);

    (void)st;
    for (int i = 1; i <= 100; i++)
        pst_buf_printf(&large, "@ A 203.0.113.%d\n", i);
    memcpy(all, zones, sizeof all);
    all[2].text = pst_buf_cstr(&large);
    test_knot_start(&knot, all, PST_ARRAY_N(all));
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

/* ------------------------------------------------------------------ life of a name */

static void a_name_is_followed_through_its_changes(void **st)
{
    struct pst_watch_opts opts = options(challtestsrv.port);
    struct pst_watch_verdict v;

    (void)st;
    opts.interval_s = 1;
    struct pst_watch *w = start_watch(&opts);
    add(w, "one", "Life.test");
    test_until(is("one", PST_WATCH_NONE));
    reported("one", &v);
    assert_string_equal(v.evidence, "there is no A and no AAAA record");
    assert_true(v.at_ms > 1700000000000);

    test_challtestsrv(&challtestsrv, "add-a",
                      "{\"host\":\"life.test.\",\"addresses\":[\"203.0.113.5\"]}");
    test_until(is("one", PST_WATCH_FOREIGN)); /* by the interval alone */
    test_challtestsrv(&challtestsrv, "clear-a", "{\"host\":\"life.test.\"}");
    test_challtestsrv(&challtestsrv, "add-a",
                      "{\"host\":\"life.test.\",\"addresses\":[\"192.0.2.10\"]}");
    test_until(is("one", PST_WATCH_OURS));
    test_challtestsrv(&challtestsrv, "add-aaaa",
                      "{\"host\":\"life.test.\",\"addresses\":[\"2001:db8::1\"]}");
    test_until(is("one", PST_WATCH_MIXED));
    reported("one", &v);
    assert_non_null(strstr(v.evidence, "AAAA 2001:db8::1 is not an address of this platform"));
    test_challtestsrv(&challtestsrv, "set-servfail", "{\"host\":\"life.test.\"}");
    test_until(is("one", PST_WATCH_FAILED));
    reported("one", &v);
    assert_non_null(strstr(v.evidence, "SERVFAIL"));
    assert_int_equal(times("one"), 5);
    pst_watch_free(w);
    assert_true(reports.flushes >= 5);
}

static void only_changes_are_reported(void **st)
{
    struct pst_watch_opts opts = options(knot.port);

    (void)st;
    opts.interval_s = 1;
    struct pst_watch *w = start_watch(&opts);
    add(w, "one", "v4.c.test");
    test_until(stats(w).checks >= 4);
    assert_int_equal(times("one"), 1);
    assert_int_equal(pst_watch_poke(w, "one", NULL), PST_OK); /* but a poke is answered */
    test_until(times("one") == 2);
    pst_watch_free(w);
}

static void a_known_verdict_is_not_repeated(void **st)
{
    struct pst_watch_opts opts = options(knot.port);
    struct pst_watch_verdict v;

    (void)st;
    opts.interval_s = 1;
    struct pst_watch *w = start_watch(&opts);
    add(w, "one", "v4.c.test");
    test_until(is("one", PST_WATCH_OURS));
    reported("one", &v);
    pst_watch_free(w);

    clear_reports(NULL);
    w = start_watch(&opts);
    assert_int_equal(pst_watch_add_known(w, "one", "v4.c.test", &v, NULL), PST_OK);
    v.result = PST_WATCH_NONE;
    assert_int_equal(pst_watch_add_known(w, "two", "v4.c.test", &v, NULL), PST_OK);
    test_until(stats(w).checks >= 4);
    assert_int_equal(times("one"), 0);
    assert_int_equal(times("two"), 1);
    pst_watch_free(w);
}

static void names_come_and_go(void **st)
{
    struct pst_watch_opts opts = options(knot.port);

    (void)st;
    struct pst_watch *w = start_watch(&opts);
    add(w, "a", "c.test");
    add(w, "b", "v4.c.test");
    test_until(is("a", PST_WATCH_FOREIGN) && is("b", PST_WATCH_OURS));
    assert_int_equal(pst_watch_remove(w, "a", NULL), PST_OK);
    assert_int_equal(pst_watch_remove(w, "unknown", NULL), PST_OK);
    assert_int_equal(pst_watch_poke(w, "unknown", NULL), PST_OK);
    test_until(stats(w).names == 1);
    assert_int_equal(pst_watch_poke(w, "a", NULL), PST_OK);
    add(w, "b", "nope.c.test"); /* the same id, another name */
    test_until(is("b", PST_WATCH_NONE));
    assert_int_equal(stats(w).names, 1);
    assert_int_equal(times("a"), 1);

    struct pst_err err = {0};
    assert_int_equal(pst_watch_add(w, "x", "a..b", &err), PST_REFUSED);
    assert_int_equal(pst_watch_add(w, "", "a.test", &err), PST_REFUSED);
    assert_int_equal(
        pst_watch_add(w, "123456789012345678901234567890123456789012345678", "a.test", &err),
        PST_REFUSED);
    pst_watch_free(w);
}

static void bad_options_are_refused(void **st)
{
    struct pst_watch_opts opts = options(53);
    const char *const bad_ip[] = {"192.0.2.300"};
    struct pst_watch *w = NULL;
    struct pst_err err = {0};

    (void)st;
    opts.resolver = "resolver.example";
    assert_int_equal(pst_watch_new(&w, &opts, &err), PST_ECONFIG);
    opts.resolver = NULL;
    assert_int_equal(pst_watch_new(&w, &opts, &err), PST_ECONFIG);
    opts = options(53);
    opts.edge.addresses = bad_ip;
    assert_int_equal(pst_watch_new(&w, &opts, &err), PST_ECONFIG);
    assert_non_null(strstr(err.text, "192.0.2.300"));
    opts = options(53);
    opts.edge = (struct pst_watch_edge){0};
    assert_int_equal(pst_watch_new(&w, &opts, &err), PST_ECONFIG);
    opts = options(53);
    opts.report = NULL;
    assert_int_equal(pst_watch_new(&w, &opts, &err), PST_ECONFIG);
    assert_null(w);
    for (long n = 1;; n++) { /* and every allocation may fail */
        opts = options(53);
        pst_mem_fail_at(n);
        int rc = pst_watch_new(&w, &opts, &err);
        if (rc == PST_OK)
            rc = pst_watch_add(w, "id", "a.test", &err);
        bool hit = pst_mem_failed();
        pst_mem_fail_at(0);
        pst_watch_free(w);
        w = NULL;
        assert_int_equal(rc, hit ? PST_ENOMEM : PST_OK);
        if (!hit)
            break;
    }
}

/* ------------------------------------------------------------------ resolver and zones */

struct real_case {
    const char *name;
    enum pst_watch_result result;
    const char *evidence, *record; /* parts */
};

static void watch_real(const struct pst_watch_opts *opts, const struct real_case *cases, size_t n)
{
    struct pst_watch *w = start_watch(opts);

    for (size_t i = 0; i < n; i++)
        add(w, cases[i].name, cases[i].name);
    for (size_t i = 0; i < n; i++) {
        struct pst_watch_verdict v;

        test_until(times(cases[i].name) > 0);
        reported(cases[i].name, &v);
        if (v.result != cases[i].result || !strstr(v.evidence, cases[i].evidence) ||
            !strstr(v.record, cases[i].record))
            fail_msg("%s is %s: %s / %s", cases[i].name, pst_watch_result_name(v.result),
                     v.evidence, v.record);
    }
    pst_watch_free(w);
}

#define APEX_RECORD "c.test. A 192.0.2.10\nc.test. AAAA 2001:db8::10\nremove c.test. A 203.0.113.5"

static void a_resolver_is_asked(void **st)
{
    static const struct real_case cases[] = {
        {"c.test", PST_WATCH_FOREIGN, "A 203.0.113.5", APEX_RECORD},
        {"big.c.test", PST_WATCH_FOREIGN, "A 203.0.113.2", "big.c.test. CNAME edge.p.test."},
        {"www.c.test", PST_WATCH_OURS, "CNAME edge.p.test", ""},
        {"v4.c.test", PST_WATCH_OURS, "A 192.0.2.10", ""},
        {"txt.c.test", PST_WATCH_NONE, "no A and no AAAA", "txt.c.test. CNAME edge.p.test."},
        {"nope.c.test", PST_WATCH_NONE, "NXDOMAIN", "nope.c.test. CNAME edge.p.test."},
        {"gone.c.test", PST_WATCH_NONE, "CNAME nowhere.p.test", ""},
        {"*.c.test", PST_WATCH_NONE, "NXDOMAIN", "*.c.test. CNAME edge.p.test."},
        {"other.example", PST_WATCH_FAILED, "REFUSED", ""},
        {"loop1.c.test", PST_WATCH_FAILED, "", ""},
    };
    struct pst_watch_opts opts = options(knot.port);

    (void)st;
    watch_real(&opts, cases, PST_ARRAY_N(cases));
}

static void truncated_answers_come_by_tcp(void **st)
{
    struct pst_watch_opts opts = options(knot.port);
    struct pst_watch_verdict v;

    (void)st;
    struct pst_watch *w = start_watch(&opts);
    add(w, "large", "large.test");
    test_until(is("large", PST_WATCH_FOREIGN));
    assert_true(stats(w).tcp >= 1);
    reported("large", &v);
    assert_non_null(strstr(v.evidence, "more")); /* of a hundred addresses a few are shown */
    pst_watch_free(w);
}

static bool any_server(void *arg, const struct pst_dns_ip *ip)
{
    (void)arg;
    return ip->version == 4;
}

static void zones_own_servers_are_asked(void **st)
{
    static const struct real_case cases[] = {
        {"c.test", PST_WATCH_FOREIGN, "A 203.0.113.5", APEX_RECORD},
        {"www.c.test", PST_WATCH_OURS, "CNAME edge.p.test; A 192.0.2.10", ""},
        {"v4.c.test", PST_WATCH_OURS, "", ""},
        {"deep.nope.c.test", PST_WATCH_NONE, "NXDOMAIN", "CNAME edge.p.test."},
        {"txt.c.test", PST_WATCH_NONE, "", "txt.c.test. CNAME edge.p.test."},
        {"gone.c.test", PST_WATCH_NONE, "end of the CNAMEs", ""},
        {"odd.c.test", PST_WATCH_FAILED, "not a host name", ""},
        {"x.lame.c.test", PST_WATCH_FAILED, "lame delegation", ""},
        {"other.example", PST_WATCH_FAILED, "finding the zone's name servers", ""},
    };
    struct pst_watch_opts opts = options(0);
    struct pst_resolver_opts lookup = {.resolver = local_text(knot.port), .sockets = 64};
    struct pst_resolver *resolver = NULL;

    (void)st;
    assert_int_equal(pst_resolver_new(&resolver, &lookup, NULL), PST_OK);
    opts.lookup = resolver;
    opts.server_port = knot.port;
    opts.server_ok = any_server;
    opts.interval_s = 1;
    watch_real(&opts, cases, PST_ARRAY_N(cases));

    /* by default servers in our own networks are not asked */
    clear_reports(NULL);
    opts.server_ok = NULL;
    struct pst_watch *w = start_watch(&opts);
    add(w, "v4", "v4.c.test");
    test_until(is("v4", PST_WATCH_FAILED));
    struct pst_watch_verdict v;
    reported("v4", &v);
    assert_non_null(strstr(v.evidence, "public address"));
    assert_int_equal(stats(w).queries, 0);
    pst_watch_poke(w, "v4", NULL);
    test_until(times("v4") >= 2);
    pst_watch_free(w);
    pst_resolver_free(resolver);
}

/* ------------------------------------------------------------------ a server that misbehaves */

enum manner {
    SILENT,
    LATE,
    FORGING,
    SERVFAIL,
    REFUSING,
    GARBAGE,
    HUGE_PACKET,
    OLD,
    DEAF_TO_EDNS,
    TRUNCATING,
    RIGHT
};

/* Answers A with 192.0.2.10 and AAAA with nothing, in the manner that `arg` says. */
static void misbehave(struct test_fake *f, const uint8_t *query, size_t len, uint8_t *reply,
                      size_t *reply_len)
{
    enum manner manner = *(enum manner *)f->arg;
    bool edns = query[11] != 0;
    size_t at = test_reply(query, len, 0, reply);

    if (test_question_type(query, len) == PST_DNS_A)
        at = test_reply_add(reply, at, PST_DNS_A, "\xc0\0\2\x0a", 4);
    *reply_len = at;
    if (manner == SILENT || (manner == LATE && atomic_load(&f->questions) < 3) ||
        (manner == DEAF_TO_EDNS && edns))
        *reply_len = 0;
    else if (manner == SERVFAIL || manner == REFUSING || (manner == OLD && edns))
        *reply_len = test_reply(query, len, manner == SERVFAIL ? 2 : manner == OLD ? 1 : 5, reply);
    else if (manner == TRUNCATING) /* and nobody listens on TCP */
        reply[2] |= 2;
    else if (manner == GARBAGE)
        reply[7] = 200;
    else if (manner == HUGE_PACKET)
        memset(reply + at, 0xff, (*reply_len = 30000) - at);
    if (manner == FORGING) {
        for (int i = 0; i < 4; i++) {
            uint8_t forged[512];

            memcpy(forged, reply, at);
            forged[at - 1] = 0x66;
            forged[i == 0 ? 0 : i == 1 ? 1 : i == 2 ? 13 : 2] ^= i == 3 ? 0x80 : 1;
            (void)sendto(f->fd, forged, at, 0, (struct sockaddr *)&f->peer, sizeof f->peer);
        }
        int other = test_bind(SOCK_DGRAM, 0);
        uint8_t forged[512];
        memcpy(forged, reply, at);
        forged[at - 1] = 0x66;
        (void)sendto(other, forged, at, 0, (struct sockaddr *)&f->peer, sizeof f->peer);
        close(other);
    }
}

static void misbehaviour_is_survived(void **st)
{
    static const struct {
        enum manner manner;
        enum pst_watch_result result;
        const char *evidence;
    } cases[] = {
        {RIGHT, PST_WATCH_OURS, "A 192.0.2.10 is an address"},
        {SILENT, PST_WATCH_FAILED, "A: TIMEOUT (no answer from 127.0.0.1:"},
        {LATE, PST_WATCH_OURS, "A 192.0.2.10 is an address"},
        {FORGING, PST_WATCH_OURS, "A 192.0.2.10 is an address"},
        {SERVFAIL, PST_WATCH_FAILED, "A: SERVFAIL"},
        {REFUSING, PST_WATCH_FAILED, "A: REFUSED"},
        {GARBAGE, PST_WATCH_FAILED, "a malformed answer"},
        {HUGE_PACKET, PST_WATCH_OURS, "A 192.0.2.10 is an address"},
        {OLD, PST_WATCH_OURS, "A 192.0.2.10 is an address"},
        {DEAF_TO_EDNS, PST_WATCH_OURS, "A 192.0.2.10 is an address"},
        {TRUNCATING, PST_WATCH_FAILED, "A: TIMEOUT (no TCP connection"},
    };

    (void)st;
    for (size_t i = 0; i < PST_ARRAY_N(cases); i++) {
        enum manner manner = cases[i].manner;
        struct pst_watch_verdict v;
        struct test_fake f;

        clear_reports(NULL);
        test_fake_start(&f, misbehave, &manner);
        struct pst_watch_opts opts = options(f.port);
        opts.try_ms = 100;
        struct pst_watch *w = start_watch(&opts);
        add(w, "x", "x.y.test");
        test_until(times("x") > 0);
        reported("x", &v);
        if (v.result != cases[i].result || !strstr(v.evidence, cases[i].evidence))
            fail_msg("case %zu is %s: %s", i, pst_watch_result_name(v.result), v.evidence);
        if (manner == SILENT)
            assert_int_equal(stats(w).queries, 6); /* three tries for each type */
        if (manner == FORGING)
            assert_true(stats(w).dropped >= 8);
        pst_watch_free(w);
        test_fake_stop(&f);
    }
}

static void ports_and_ids_are_not_to_be_guessed(void **st)
{
    enum manner manner = SILENT;
    struct test_fake f;

    (void)st;
    test_fake_start(&f, misbehave, &manner);
    struct pst_watch_opts opts = options(f.port);
    struct pst_watch *w = start_watch(&opts);
    for (int i = 0; i < 100; i++) {
        char id[16];

        (void)snprintf(id, sizeof id, "n%d", i);
        add(w, id, "x.test");
    }
    /* 200 questions under way at once, none answered: stopping must not wait for them */
    test_until(stats(w).queries >= 200);
    pst_watch_free(w);
    test_fake_stop(&f);
    assert_int_equal(reports.n, 0);
}

/* ------------------------------------------------------------------ schedule */

/* A clock moved by hand that counts how often it is looked at: the loop does so once a turn. */
struct turns_clock {
    struct pst_clock clock;
    struct pst_clock_manual manual;
    atomic_ullong turns;
};

static int64_t turns_wall(const struct pst_clock *c)
{
    return pst_wall_ms(&((const struct turns_clock *)c)->manual.clock);
}

static int64_t turns_mono(const struct pst_clock *c)
{
    struct turns_clock *t = (struct turns_clock *)(uintptr_t)c;

    atomic_fetch_add(&t->turns, 1);
    return pst_mono_ms(&t->manual.clock);
}

/* The loop has seen the new time, and every question has got its answer. */
static void settle(struct turns_clock *t, struct pst_watch *w, struct test_fake *f)
{
    unsigned long long seen = atomic_load(&t->turns);

    test_until(atomic_load(&t->turns) >= seen + 2 &&
               stats(w).queries == (uint64_t)atomic_load(&f->questions));
    seen = atomic_load(&t->turns);
    test_until(atomic_load(&t->turns) >= seen + 2);
}

static void every_name_is_asked_once_per_interval(void **st)
{
    enum { NAMES = 60, STEP_S = 2 };
    enum manner manner = RIGHT;
    static struct turns_clock clock = {.clock = {turns_wall, turns_mono}};
    struct test_fake f;

    (void)st;
    test_fake_start(&f, misbehave, &manner);
    pst_clock_manual_init(&clock.manual, 1800000000000);
    struct pst_watch_opts opts = options(f.port);
    opts.clock = &clock.clock;
    struct pst_watch *w = start_watch(&opts);
    for (int i = 0; i < NAMES; i++) {
        char id[16];

        (void)snprintf(id, sizeof id, "n%d", i);
        add(w, id, "x.y.test");
    }
    test_until(stats(w).checks == NAMES); /* at once, without the clock moving */
    uint64_t before = NAMES;
    for (int minute = 0; minute < 2; minute++) {
        int busy = 0;

        for (int s = 0; s < 60; s += STEP_S) {
            uint64_t a = stats(w).checks;

            pst_clock_manual_advance(&clock.manual, STEP_S * 1000);
            settle(&clock, w, &f);
            busy += stats(w).checks > a;
        }
        uint64_t in_minute = stats(w).checks - before;
        before += in_minute;
        assert_in_range(in_minute, NAMES * 95 / 100, NAMES * 2);
        assert_true(busy > 15); /* spread, not in one burst */
    }
    pst_watch_free(w);
    test_fake_stop(&f);
    assert_int_equal(reports.n, NAMES);
}

struct pusher {
    struct pst_watch *w;
    int first;
};

static void *push(void *arg)
{
    const struct pusher *p = arg;

    for (int i = 0; i < 200; i++) {
        char id[16];

        (void)snprintf(id, sizeof id, "n%d", p->first + i % 50);
        (void)pst_watch_add(p->w, id, "v4.c.test", NULL);
        if (i % 3 == 0)
            (void)pst_watch_poke(p->w, id, NULL);
        if (i % 5 == 0)
            (void)pst_watch_remove(p->w, id, NULL);
    }
    return NULL;
}

static void many_threads_may_command(void **st)
{
    struct pst_watch_opts opts = options(knot.port);
    struct pusher pushers[4];
    pthread_t threads[4];

    (void)st;
    opts.inflight_max = 20;
    struct pst_watch *w = start_watch(&opts);
    for (int i = 0; i < 4; i++) {
        pushers[i] = (struct pusher){w, i * 50};
        assert_int_equal(pthread_create(&threads[i], NULL, push, &pushers[i]), 0);
    }
    for (int i = 0; i < 4; i++)
        pthread_join(threads[i], NULL);
    add(w, "last", "v4.c.test");
    test_until(is("last", PST_WATCH_OURS));
    assert_int_equal(stats(w).names, 4 * 40 + 1); /* every fifth was removed in the end */
    pst_watch_free(w);
}

/* ------------------------------------------------------------------ probes */

struct probes {
    atomic_int running, most, done;
    atomic_bool hold;
};

static int fake_probe(void *arg, const char *name, const char *const *addresses, size_t n,
                      struct pst_watch_probe *ret, struct pst_err *err)
{
    struct probes *p = arg;
    int now = atomic_fetch_add(&p->running, 1) + 1;

    (void)err;
    if (n == 0 || !pst_streq(addresses[0], "203.0.113.5"))
        return PST_EINTERNAL;
    if (now > atomic_load(&p->most))
        atomic_store(&p->most, now);
    for (int i = 0; i < 2000 && atomic_load(&p->hold); i++)
        test_pause();
    *ret = (struct pst_watch_probe){.ours = strncmp(name, "proxied", 7) == 0};
    (void)snprintf(ret->evidence, sizeof ret->evidence, "page %d", atomic_load(&p->done));
    atomic_fetch_sub(&p->running, 1);
    atomic_fetch_add(&p->done, 1);
    return PST_OK;
}

static void add_foreign(const char *name)
{
    char json[128];

    (void)snprintf(json, sizeof json, "{\"host\":\"%s.\",\"addresses\":[\"203.0.113.5\"]}", name);
    test_challtestsrv(&challtestsrv, "add-a", json);
}

static void proxies_are_recognised_by_probe(void **st)
{
    struct pst_watch_opts opts = options(challtestsrv.port);
    struct probes probes = {0};
    struct pst_watch_verdict v;

    (void)st;
    opts.edge.probe = fake_probe;
    opts.edge.probe_arg = &probes;
    opts.interval_s = 1;
    struct pst_watch *w = start_watch(&opts);
    add_foreign("proxied.test");
    add_foreign("foreign.test");
    add(w, "p", "proxied.test");
    add(w, "f", "foreign.test");
    test_until(is("p", PST_WATCH_OURS_BY_PROBE) && is("f", PST_WATCH_FOREIGN));
    reported("p", &v);
    assert_non_null(strstr(v.evidence, "203.0.113.5 is not an address"));
    assert_non_null(strstr(v.evidence, "HTTP probe: page"));
    assert_string_equal(v.record, "");
    /* later checks use what the probe found, for a while, and report nothing new */
    uint64_t checks = stats(w).checks;
    test_until(stats(w).checks >= checks + 6);
    assert_int_equal(atomic_load(&probes.done), 2);
    assert_int_equal(times("p") + times("f"), 2);
    pst_watch_poke(w, "p", NULL); /* a poke probes anew */
    test_until(times("p") == 2 && atomic_load(&probes.done) == 3);
    pst_watch_free(w);
}

static void one_host_is_probed_once_at_a_time(void **st)
{
    struct pst_watch_opts opts = options(challtestsrv.port);
    struct probes probes = {0};

    (void)st;
    atomic_store(&probes.hold, true);
    opts.edge.probe = fake_probe;
    opts.edge.probe_arg = &probes;
    struct pst_watch *w = start_watch(&opts);
    for (int i = 0; i < 20; i++) {
        char name[32];

        (void)snprintf(name, sizeof name, "proxied%d.test", i);
        add_foreign(name);
        add(w, name, name);
    }
    /* one runs, eight wait; the others are told without a probe */
    test_until(stats(w).checks >= 11);
    atomic_store(&probes.hold, false);
    test_until(stats(w).checks >= 20);
    assert_int_equal(atomic_load(&probes.most), 1);
    assert_in_range(atomic_load(&probes.done), 9, 20);
    pst_watch_free(w);
}

static void a_watch_may_end_during_a_probe(void **st)
{
    struct pst_watch_opts opts = options(challtestsrv.port);
    struct probes probes = {0};

    (void)st;
    opts.edge.probe = fake_probe;
    opts.edge.probe_arg = &probes;
    struct pst_watch *w = start_watch(&opts);
    add_foreign("proxied.test");
    for (int i = 0; i < 20; i++) {
        char id[16];

        (void)snprintf(id, sizeof id, "n%d", i);
        add(w, id, "proxied.test");
        (void)pst_watch_remove(w, i % 2 ? id : "n0", NULL);
    }
    test_until(atomic_load(&probes.done) > 0);
    pst_watch_stop(w);
    pst_watch_stop(w);
    pst_watch_free(w);
    pst_watch_free(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(a_name_is_followed_through_its_changes, clear_reports),
        cmocka_unit_test_setup(only_changes_are_reported, clear_reports),
        cmocka_unit_test_setup(a_known_verdict_is_not_repeated, clear_reports),
        cmocka_unit_test_setup(names_come_and_go, clear_reports),
        cmocka_unit_test_setup(bad_options_are_refused, clear_reports),
        cmocka_unit_test_setup(a_resolver_is_asked, clear_reports),
        cmocka_unit_test_setup(truncated_answers_come_by_tcp, clear_reports),
        cmocka_unit_test_setup(zones_own_servers_are_asked, clear_reports),
        cmocka_unit_test_setup(misbehaviour_is_survived, clear_reports),
        cmocka_unit_test_setup(ports_and_ids_are_not_to_be_guessed, clear_reports),
        cmocka_unit_test_setup(every_name_is_asked_once_per_interval, clear_reports),
        cmocka_unit_test_setup(many_threads_may_command, clear_reports),
        cmocka_unit_test_setup(proxies_are_recognised_by_probe, clear_reports),
        cmocka_unit_test_setup(one_host_is_probed_once_at_a_time, clear_reports),
        cmocka_unit_test_setup(a_watch_may_end_during_a_probe, clear_reports),
    };

    return cmocka_run_group_tests_name("watch", tests, start_servers, stop_servers);
}
