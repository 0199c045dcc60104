/* The DNS message codec against good, bad and hostile packets. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "resolve_internal.h"

/* A packet under construction. */
struct packet {
    uint8_t bytes[65536];
    size_t len;
};

static void put(struct packet *p, const void *data, size_t len)
{
    assert_true(p->len + len <= sizeof p->bytes);
    memcpy(p->bytes + p->len, data, len);
    p->len += len;
}

static void put_u16(struct packet *p, unsigned v)
{
    uint8_t b[2] = {(uint8_t)(v >> 8), (uint8_t)v};

    put(p, b, 2);
}

/* Header with QR, RA and rcode, and the question www.example.com of `type`. */
static void begin(struct packet *p, unsigned flags, unsigned answers, unsigned type)
{
    p->len = 0;
    put_u16(p, 0x1234);
    put_u16(p, flags);
    put_u16(p, 1);
    put_u16(p, answers);
    put_u16(p, 0);
    put_u16(p, 0);
    put(p, "\3www\7example\3com", 17);
    put_u16(p, type);
    put_u16(p, 1);
}

/* A record whose owner is the wire name `owner`. */
static void record(struct packet *p, const char *owner, size_t owner_len, unsigned type,
                   const void *data, size_t len)
{
    put(p, owner, owner_len);
    put_u16(p, type);
    put_u16(p, 1);
    put_u16(p, 0);
    put_u16(p, 60);
    put_u16(p, (unsigned)len);
    put(p, data, len);
}

#define QNAME "\xc0\x0c" /* a pointer to the question's name */
#define OK    0x8180

static int parse(const struct packet *p, struct pst_dns_msg **ret)
{
    /* A copy of exactly its length, so that a read behind it is found. */
    uint8_t *exact = pst_memdup(p->bytes, p->len);
    struct pst_err err = {0};

    assert_non_null(exact);
    int rc = pst_dns_parse(exact, p->len, ret, &err);
    if (rc != PST_OK)
        assert_string_not_equal(err.text, "");
    pst_free(exact);
    return rc;
}

static void refused(const struct packet *p)
{
    struct pst_dns_msg *m = NULL;

    assert_int_equal(parse(p, &m), PST_EINPUT);
    assert_null(m);
}

/* ------------------------------------------------------------------ names and addresses */

static void names_that_can_be_asked_for(void **st)
{
    char label63[64 + 3], name[300];
    static const char *const good[] = {"a", "example.com", "*.example.com", "_acme-challenge.a.b",
                                       "XN--abc.example"};
    static const char *const bad[] = {"",     ".",  "a.",    ".a",   "a..b", "a b",
                                      "a/b",  "*",  "a.*.b", "**.a", "a\\b", "\xc3\xa4.de",
                                      "*a.b", "*.", "a:b",   "a\n",  "a.b.."};

    (void)st;
    for (size_t i = 0; i < PST_ARRAY_N(good); i++)
        assert_true(pst_dns_name_ok(good[i]));
    for (size_t i = 0; i < PST_ARRAY_N(bad); i++)
        assert_false(pst_dns_name_ok(bad[i]));
    assert_false(pst_dns_name_ok(NULL));

    memset(label63, 'a', sizeof label63);
    label63[63] = '\0';
    assert_true(pst_dns_name_ok(label63));
    label63[63] = 'a';
    label63[64] = '\0';
    assert_false(pst_dns_name_ok(label63));

    for (size_t i = 0; i < sizeof name; i++)
        name[i] = i % 50 == 49 ? '.' : 'b';
    name[253] = '\0';
    assert_true(pst_dns_name_ok(name));
    name[253] = 'b';
    name[254] = '\0';
    assert_false(pst_dns_name_ok(name));
}

static void servers_are_read(void **st)
{
    static const struct {
        const char *text, *canonical;
    } cases[] = {
        {"192.0.2.1", "192.0.2.1:53"},
        {"192.0.2.1:5353", "192.0.2.1:5353"},
        {"[2001:DB8::1]:5300", "[2001:db8::1]:5300"},
        {"2001:db8::1", "[2001:db8::1]:53"},
        {"[::1]", NULL},
        {"", NULL},
        {"192.0.2.1:", NULL},
        {"192.0.2.1:0", NULL},
        {"192.0.2.1:65536", NULL},
        {"dns.example:53", NULL},
        {"[192.0.2.1]:53", NULL},
        {"192.0.2.1:53 ", NULL},
        {"[::1", NULL},
        {":53", NULL},
        {"1234567890123456789012345678901234567890123456789012345:53", NULL},
    };

    (void)st;
    for (size_t i = 0; i < PST_ARRAY_N(cases); i++) {
        struct pst_dns_server s;
        struct pst_err err = {0};
        char text[PST_DNS_SERVER_SIZE];
        int rc = pst_dns_server_parse(cases[i].text, &s, &err);

        assert_int_equal(rc, cases[i].canonical ? PST_OK : PST_REFUSED);
        if (rc == PST_OK) {
            pst_dns_server_text(&s, text);
            assert_string_equal(text, cases[i].canonical);
        }
    }
}

static void public_addresses_are_told_apart(void **st)
{
    static const char *const yes[] = {
        "1.1.1.1",    "8.8.8.8",    "100.63.0.1",      "100.128.0.1",
        "172.15.0.1", "172.32.0.1", "2606:4700::1111", "2001:4860:4860::8888"};
    static const char *const no[] = {
        "0.1.2.3",         "10.0.0.1",     "100.64.0.1", "127.0.0.1",
        "169.254.169.254", "172.16.0.1",   "172.31.9.9", "192.168.1.1",
        "192.0.2.7",       "198.18.0.1",   "224.0.0.1",  "240.0.0.1",
        "255.255.255.255", "::",           "::1",        "::ffff:10.0.0.1",
        "::ffff:8.8.8.8",  "fe80::1",      "fc00::1",    "ff02::1",
        "2001:db8::1",     "2002:a00:1::", "2001:0:1::", "64:ff9b::808:808"};
    struct pst_dns_ip ip;

    (void)st;
    for (size_t i = 0; i < PST_ARRAY_N(yes); i++) {
        assert_true(pst_dns_ip_parse(yes[i], &ip));
        assert_true(pst_dns_ip_public(&ip));
    }
    for (size_t i = 0; i < PST_ARRAY_N(no); i++) {
        assert_true(pst_dns_ip_parse(no[i], &ip));
        assert_false(pst_dns_ip_public(&ip));
    }
    assert_false(pst_dns_ip_parse("1.2.3", &ip));
    assert_false(pst_dns_ip_parse("fe80::1%eth0", &ip));
    assert_false(pst_dns_ip_parse(NULL, &ip));
}

/* ------------------------------------------------------------------ queries */

static void a_query_has_the_bytes_of_the_rfc(void **st)
{
    static const uint8_t want[] = "\x12\x34\x01\x00\0\1\0\0\0\0\0\1"
                                  "\3www\7example\3com\0\0\1\0\1"
                                  "\0\0\x29\x04\xd0\0\0\0\0\0\0";
    uint8_t got[PST_DNS_QUERY_MAX];
    struct pst_dns_question q = {
        .name = "WWW.example.com", .type = PST_DNS_A, .id = 0x1234, .recurse = true};

    (void)st;
    size_t len = pst_dns_query(got, &q);
    assert_int_equal(len, sizeof want - 1);
    assert_memory_equal(got, want, len);

    q.plain = true;
    q.recurse = false;
    assert_int_equal(pst_dns_query(got, &q), len - 11);
    assert_int_equal(got[2], 0);
    assert_int_equal(got[11], 0);

    q.name = "bad..name";
    assert_int_equal(pst_dns_query(got, &q), 0);
    q.name = NULL;
    assert_int_equal(pst_dns_query(got, &q), 0);
}

static void the_longest_name_fits(void **st)
{
    uint8_t got[PST_DNS_QUERY_MAX];
    char name[254];

    (void)st;
    for (size_t i = 0; i < 253; i++)
        name[i] = i % 64 == 63 ? '.' : 'c';
    name[253] = '\0';
    struct pst_dns_question q = {.name = name, .type = PST_DNS_AAAA};
    assert_int_equal(pst_dns_query(got, &q), PST_DNS_QUERY_MAX);
}

static void only_the_answer_to_our_question_matches(void **st)
{
    uint8_t query[PST_DNS_QUERY_MAX];
    struct pst_dns_question q = {.name = "www.example.com", .type = PST_DNS_A, .id = 0x1234};
    size_t len = pst_dns_query(query, &q);
    struct packet p;

    (void)st;
    begin(&p, OK, 0, PST_DNS_A);
    assert_true(pst_dns_matches(p.bytes, p.len, query, len));
    p.bytes[13] = 'W'; /* some servers answer in another case */
    assert_true(pst_dns_matches(p.bytes, p.len, query, len));

    static const struct {
        size_t at;
        uint8_t byte;
    } wrong[] = {
        {0, 0x13},  {1, 0x35}, /* id */
        {2, 0x01},             /* a query, not an answer */
        {2, 0xa9},             /* another opcode */
        {5, 0},     {5, 2},    /* number of questions */
        {13, 'x'},  {12, 4},   /* name */
        {30, 28},   {32, 3},   /* type, class */
        {12, 0xc0},            /* a compressed question */
    };
    for (size_t i = 0; i < PST_ARRAY_N(wrong); i++) {
        begin(&p, OK, 0, PST_DNS_A);
        p.bytes[wrong[i].at] = wrong[i].byte;
        assert_false(pst_dns_matches(p.bytes, p.len, query, len));
    }
    begin(&p, OK, 0, PST_DNS_A);
    for (size_t n = 0; n < p.len; n++)
        assert_false(pst_dns_matches(p.bytes, n, query, len));
}

/* ------------------------------------------------------------------ answers */

static void a_chain_is_followed_to_its_addresses(void **st)
{
    auto_(pst_dns_msg_free) struct pst_dns_msg *m = NULL;
    struct pst_dns_view v;
    struct pst_dns_ip ip;
    char text[PST_DNS_IP_SIZE];
    struct packet p;

    (void)st;
    begin(&p, OK, 4, PST_DNS_A);
    /* the addresses first: order does not matter */
    record(&p, "\4edge\1p\0", 8, PST_DNS_A, "\xc0\0\2\1", 4);
    record(&p, QNAME, 2, PST_DNS_CNAME, "\3Cdn\xc0\x10", 6);
    record(&p, "\3cdn\xc0\x10", 6, PST_DNS_CNAME, "\4edge\1p\0", 8);
    record(&p, "\4edge\1P\0", 8, PST_DNS_A, "\xc0\0\2\2", 4);
    assert_int_equal(parse(&p, &m), PST_OK);
    pst_dns_follow(m, &v);
    assert_int_equal(v.status, PST_DNS_OK);
    assert_int_equal(v.chain_n, 2);
    assert_string_equal(v.chain[0], "cdn.example.com");
    assert_string_equal(v.chain[1], "edge.p");
    assert_string_equal(v.end, "edge.p");
    assert_int_equal(v.rr_n, 2);
    assert_true(pst_dns_rr_ip(pst_dns_view_rr(m, &v, 1), &ip));
    pst_dns_ip_text(&ip, text);
    assert_string_equal(text, "192.0.2.2");
    assert_null(pst_dns_view_rr(m, &v, 2));
}

static void the_rcode_decides_what_no_records_mean(void **st)
{
    static const struct {
        unsigned rcode;
        enum pst_dns_status status;
    } cases[] = {{0, PST_DNS_NODATA},   {1, PST_DNS_BROKEN}, {2, PST_DNS_SERVFAIL},
                 {3, PST_DNS_NXDOMAIN}, {4, PST_DNS_BROKEN}, {5, PST_DNS_REFUSED},
                 {9, PST_DNS_REFUSED},  {15, PST_DNS_BROKEN}};

    (void)st;
    for (size_t i = 0; i < PST_ARRAY_N(cases); i++) {
        auto_(pst_dns_msg_free) struct pst_dns_msg *m = NULL;
        struct pst_dns_view v;
        struct packet p;

        begin(&p, OK | cases[i].rcode, 0, PST_DNS_AAAA);
        assert_int_equal(parse(&p, &m), PST_OK);
        pst_dns_follow(m, &v);
        assert_int_equal(v.status, cases[i].status);
        assert_string_equal(v.end, "www.example.com");
    }
}

static void records_we_do_not_use_are_stepped_over(void **st)
{
    auto_(pst_dns_msg_free) struct pst_dns_msg *m = NULL;
    struct pst_dns_view v;
    struct packet p;

    (void)st;
    begin(&p, OK, 3, PST_DNS_A);
    record(&p, QNAME, 2, 46, "nonsense", 8); /* RRSIG, not even well-formed */
    record(&p, QNAME, 2, 65280, "", 0);      /* private */
    record(&p, QNAME, 2, PST_DNS_A, "\xc0\0\2\1", 4);
    assert_int_equal(parse(&p, &m), PST_OK);
    assert_int_equal(m->answer_n, 1);
    pst_dns_follow(m, &v);
    assert_int_equal(v.rr_n, 1);
}

static void txt_strings_are_joined(void **st)
{
    auto_(pst_dns_msg_free) struct pst_dns_msg *m = NULL;
    auto_buf struct pst_buf b = PST_BUF(100);
    struct packet p;

    (void)st;
    begin(&p, OK, 1, PST_DNS_TXT);
    record(&p, QNAME, 2, PST_DNS_TXT, "\3abc\0\2de", 8);
    assert_int_equal(parse(&p, &m), PST_OK);
    assert_true(pst_dns_rr_txt(&m->answer[0], &b));
    assert_string_equal(pst_buf_cstr(&b), "abcde");
    begin(&p, OK, 1, PST_DNS_TXT);
    record(&p, QNAME, 2, PST_DNS_TXT, "\7abc", 4); /* a string longer than the record */
    refused(&p);
}

static void odd_bytes_in_names_are_escaped(void **st)
{
    auto_(pst_dns_msg_free) struct pst_dns_msg *m = NULL;
    struct packet p;

    (void)st;
    begin(&p, OK, 1, PST_DNS_A);
    record(&p, QNAME, 2, PST_DNS_CNAME, "\5a.\n\0B\1c\0", 9);
    assert_int_equal(parse(&p, &m), PST_OK);
    assert_string_equal(m->answer[0].target, "a\\046\\010\\000b.c");
}

/* ------------------------------------------------------------------ hostile packets */

static void every_truncation_is_refused(void **st)
{
    struct packet p;

    (void)st;
    begin(&p, OK, 2, PST_DNS_A);
    record(&p, QNAME, 2, PST_DNS_CNAME, "\3cdn\xc0\x10", 6);
    record(&p, "\3cdn\xc0\x10", 6, PST_DNS_A, "\xc0\0\2\1", 4);
    for (size_t whole = p.len; p.len > 0;) {
        p.len--;
        refused(&p);
        assert_true(p.len < whole);
    }
}

static void pointers_that_loop_or_lead_forward_are_refused(void **st)
{
    struct packet p;

    (void)st;
    begin(&p, OK, 1, PST_DNS_A);
    record(&p, "\xc0\x21", 2, PST_DNS_A, "\xc0\0\2\1", 4); /* to itself: 33 is where it stands */
    refused(&p);
    begin(&p, OK, 1, PST_DNS_A);
    record(&p, "\xc0\x30", 2, PST_DNS_A, "\xc0\0\2\1", 4); /* forward */
    refused(&p);
    begin(&p, OK, 1, PST_DNS_A);
    record(&p, "\xc0\x00", 2, PST_DNS_A, "\xc0\0\2\1", 4); /* into the header */
    refused(&p);
    begin(&p, OK, 1, PST_DNS_A);
    record(&p, "\xff\xff", 2, PST_DNS_A, "\xc0\0\2\1", 4); /* behind the packet */
    refused(&p);
    begin(&p, OK, 1, PST_DNS_A);
    record(&p, "\1a\xc0\x21", 4, PST_DNS_A, "\xc0\0\2\1", 4); /* a label, then back to it */
    refused(&p);
    begin(&p, OK, 1, PST_DNS_A);
    record(&p, "\x80\x0c", 2, PST_DNS_A, "\xc0\0\2\1", 4); /* reserved label type */
    refused(&p);
    begin(&p, OK, 1, PST_DNS_A);
    record(&p, QNAME, 2, PST_DNS_CNAME, "\xc0\x2d", 2); /* rdata that points to itself */
    refused(&p);
}

static void a_long_chain_of_pointers_is_refused(void **st)
{
    struct packet p;

    (void)st;
    begin(&p, OK, 2, PST_DNS_A);
    size_t hops = p.len + 12; /* in the rdata of a record that we do not look at */
    uint8_t chain[2 * 100];
    for (size_t i = 0; i < 100; i++) {
        size_t to = i == 0 ? 12 : hops + 2 * (i - 1);

        chain[2 * i] = (uint8_t)(0xc0 | to >> 8);
        chain[2 * i + 1] = (uint8_t)to;
    }
    record(&p, QNAME, 2, 65280, chain, sizeof chain);
    struct packet deep = p;
    uint8_t pointer[2] = {(uint8_t)(0xc0 | (hops + 198) >> 8), (uint8_t)(hops + 198)};
    record(&deep, (char *)pointer, 2, PST_DNS_A, "\xc0\0\2\1", 4);
    refused(&deep);

    auto_(pst_dns_msg_free) struct pst_dns_msg *m = NULL;
    pointer[0] = (uint8_t)(0xc0 | (hops + 10) >> 8);
    pointer[1] = (uint8_t)(hops + 10);
    record(&p, (char *)pointer, 2, PST_DNS_A, "\xc0\0\2\1", 4);
    assert_int_equal(parse(&p, &m), PST_OK);
    assert_string_equal(m->answer[0].owner, "www.example.com");
}

static void names_over_255_bytes_are_refused(void **st)
{
    struct packet p;
    char name[400];
    size_t len = 0;

    (void)st;
    for (int i = 0; i < 5; i++) {
        name[len] = 60;
        memset(name + len + 1, 'x', 60);
        len += 61;
    }
    name[len++] = '\0';
    begin(&p, OK, 1, PST_DNS_A);
    record(&p, name, len, PST_DNS_A, "\xc0\0\2\1", 4);
    refused(&p);
    begin(&p, OK, 1, PST_DNS_A);
    record(&p, QNAME, 2, PST_DNS_CNAME, name, len);
    refused(&p);
}

static void wrong_lengths_are_refused(void **st)
{
    static const struct {
        unsigned type;
        const char *data;
        size_t len;
    } cases[] = {
        {PST_DNS_A, "\1\2\3", 3},  {PST_DNS_A, "\1\2\3\4\5", 5},
        {PST_DNS_A, "", 0},        {PST_DNS_AAAA, "\1\2\3\4", 4},
        {PST_DNS_CNAME, "", 0},    {PST_DNS_CNAME, "\1a\0rest", 7},
        {PST_DNS_CNAME, "\5a", 2}, {PST_DNS_SOA, "\1a\0\1b\0short", 11},
        {PST_DNS_CAA, "", 0},      {PST_DNS_CAA, "\0\x40issue", 7},
        {PST_DNS_TXT, "", 0},      {PST_DNS_NS, "\xc0", 1},
    };

    (void)st;
    for (size_t i = 0; i < PST_ARRAY_N(cases); i++) {
        struct packet p;

        begin(&p, OK, 1, PST_DNS_A);
        record(&p, QNAME, 2, cases[i].type, cases[i].data, cases[i].len);
        refused(&p);
    }
}

static void counts_that_lie_are_refused(void **st)
{
    struct packet p;

    (void)st;
    begin(&p, OK, 65535, PST_DNS_A);
    record(&p, QNAME, 2, PST_DNS_A, "\xc0\0\2\1", 4);
    refused(&p);
    begin(&p, OK, 2, PST_DNS_A);
    record(&p, QNAME, 2, PST_DNS_A, "\xc0\0\2\1", 4);
    refused(&p);
}

static void a_huge_answer_is_bounded(void **st)
{
    struct packet p;
    struct pst_dns_msg *m = NULL;

    (void)st;
    begin(&p, OK, 513, PST_DNS_A);
    for (int i = 0; i < 513; i++)
        record(&p, QNAME, 2, PST_DNS_A, "\xc0\0\2\1", 4);
    refused(&p); /* more records than anybody needs */

    begin(&p, OK, 512, PST_DNS_A);
    for (int i = 0; i < 512; i++)
        record(&p, QNAME, 2, PST_DNS_A, "\xc0\0\2\1", 4);
    assert_int_equal(parse(&p, &m), PST_OK);
    assert_int_equal(m->answer_n, 512);
    pst_dns_msg_free(m);

    /* 512 records whose names all swell to a kilobyte of escapes: the room for them is bounded */
    begin(&p, OK, 512, PST_DNS_NS);
    char name[256];
    size_t at = 0;
    for (int i = 0; i < 4; i++) {
        name[at] = 60;
        memset(name + at + 1, '\n', 60);
        at += 61;
    }
    name[at++] = '\0';
    uint8_t pointer[2] = {(uint8_t)(0xc0 | (p.len >> 8)), (uint8_t)p.len};
    record(&p, name, at, PST_DNS_NS, pointer, 2);
    for (int i = 1; i < 512; i++)
        record(&p, (char *)pointer, 2, PST_DNS_NS, pointer, 2);
    refused(&p);

    p.len = 0;
    assert_int_equal(pst_dns_parse(p.bytes, 65536, &m, NULL), PST_EINPUT);
}

static void a_cname_loop_ends(void **st)
{
    auto_(pst_dns_msg_free) struct pst_dns_msg *m = NULL;
    struct pst_dns_view v;
    struct packet p;

    (void)st;
    begin(&p, OK, 2, PST_DNS_A);
    record(&p, QNAME, 2, PST_DNS_CNAME, "\1b\xc0\x10", 4);
    record(&p, "\1b\xc0\x10", 4, PST_DNS_CNAME, QNAME, 2);
    assert_int_equal(parse(&p, &m), PST_OK);
    pst_dns_follow(m, &v);
    assert_int_equal(v.status, PST_DNS_BROKEN);
    assert_int_equal(v.chain_n, PST_DNS_CHAIN_MAX);
}

static void every_allocation_may_fail(void **st)
{
    struct packet p;

    (void)st;
    begin(&p, OK, 2, PST_DNS_A);
    record(&p, QNAME, 2, PST_DNS_CNAME, "\3cdn\xc0\x10", 6);
    record(&p, "\3cdn\xc0\x10", 6, PST_DNS_A, "\xc0\0\2\1", 4);
    for (long n = 1;; n++) {
        struct pst_dns_msg *m = NULL;

        pst_mem_fail_at(n);
        int rc = pst_dns_parse(p.bytes, p.len, &m, NULL);
        bool hit = pst_mem_failed();
        pst_mem_fail_at(0);
        if (!hit) {
            assert_int_equal(rc, PST_OK);
            pst_dns_msg_free(m);
            assert_true(n > 2);
            return;
        }
        assert_int_equal(rc, PST_ENOMEM);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names_that_can_be_asked_for),
        cmocka_unit_test(servers_are_read),
        cmocka_unit_test(public_addresses_are_told_apart),
        cmocka_unit_test(a_query_has_the_bytes_of_the_rfc),
        cmocka_unit_test(the_longest_name_fits),
        cmocka_unit_test(only_the_answer_to_our_question_matches),
        cmocka_unit_test(a_chain_is_followed_to_its_addresses),
        cmocka_unit_test(the_rcode_decides_what_no_records_mean),
        cmocka_unit_test(records_we_do_not_use_are_stepped_over),
        cmocka_unit_test(txt_strings_are_joined),
        cmocka_unit_test(odd_bytes_in_names_are_escaped),
        cmocka_unit_test(every_truncation_is_refused),
        cmocka_unit_test(pointers_that_loop_or_lead_forward_are_refused),
        cmocka_unit_test(a_long_chain_of_pointers_is_refused),
        cmocka_unit_test(names_over_255_bytes_are_refused),
        cmocka_unit_test(wrong_lengths_are_refused),
        cmocka_unit_test(counts_that_lie_are_refused),
        cmocka_unit_test(a_huge_answer_is_bounded),
        cmocka_unit_test(a_cname_loop_ends),
        cmocka_unit_test(every_allocation_may_fail),
    };

    return cmocka_run_group_tests_name("dnsmsg", tests, NULL, NULL);
}
