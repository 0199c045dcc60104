/* reply_test.c - questions in bytes and what is answered, read by the parser of resolve/. */
#include "pst_test.h"

#include <stdio.h>
#include <string.h>

#include <postern/answers.h>

#include "dnsd_internal.h"

enum { CAA = 257, ANY = 255, AXFR = 252, IXFR = 251, HINFO = 13, OPT = 41, MX = 15, CH = 3 };

struct fixture {
    struct pst_dns_zone *zone;
    struct pst_dns_values *values;
    struct pst_err err;
};

static const char *const ns[] = {"ns1.example.net", "ns2.example.org"};

static void add(struct fixture *f, const char *label, const char *value)
{
    assert_ok(pst_dns_values_add(f->values, label, value, &f->err), f->err);
}

static int set_up(void **state)
{
    static struct fixture f;
    static const char *const caa[] = {"letsencrypt.org", "pki.goog"};
    struct pst_dns_zone_opts o = {.name = "acme.example.net",
                                  .ns = ns,
                                  .ns_n = 2,
                                  .caa = caa,
                                  .caa_n = 2,
                                  .ttl_s = 5,
                                  .negative_ttl_s = 2};
    char value[201];

    f = (struct fixture){0};
    assert_ok(pst_dns_zone_new(&f.zone, &o, &f.err), f.err);
    assert_ok(pst_dns_values_new(&f.values, f.zone, 77, pst_rand_system(), &f.err), f.err);
    add(&f, "abc", "one");
    add(&f, "abc", "two");
    memset(value, 'x', 200);
    for (int i = 0; i < 10; i++) {
        value[0] = (char)('a' + i);
        value[200] = '\0';
        add(&f, "big", value);
    }
    add(&f, "long", "");
    *state = &f;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *f = *state;
    pst_dns_values_free(f->values);
    pst_dns_zone_free(f->zone);
    return 0;
}

/* ---- a question in bytes ---- */

struct packet {
    uint8_t data[2048];
    size_t len;
};

static void put(struct packet *p, const void *data, size_t len)
{
    assert_true(p->len + len <= sizeof p->data);
    memcpy(p->data + p->len, data, len);
    p->len += len;
}

#define PUT(p, literal) put((p), (literal), sizeof(literal) - 1)

static void put_number(struct packet *p, uint16_t n)
{
    put(p, (uint8_t[]){(uint8_t)(n >> 8), (uint8_t)n}, 2);
}

/* The header of a question with RD, one question, and that. */
static struct packet ask(const char *name, uint16_t type, uint16_t class)
{
    struct packet p = {0};

    PUT(&p, "\x12\x34\x01\x00\0\1\0\0\0\0\0\0");
    while (*name) {
        size_t len = strcspn(name, ".");
        uint8_t byte = (uint8_t)len;
        put(&p, &byte, 1);
        put(&p, name, len);
        name += len + (name[len] == '.');
    }
    PUT(&p, "\0");
    put_number(&p, type);
    put_number(&p, class);
    return p;
}

static void put_opt(struct packet *p, uint16_t size, uint8_t version, uint16_t flags)
{
    PUT(p, "\0\0\x29");
    put_number(p, size);
    put(p, (uint8_t[]){0, version}, 2);
    put_number(p, flags);
    PUT(p, "\0\0");
    p->data[11]++;
}

struct answer {
    struct pst_dns_reply r;
    uint8_t data[PST_DNS_REPLY_TCP_MAX];
};

static struct answer *reply(struct fixture *f, const struct packet *p, bool udp)
{
    static struct answer a;

    /* A heap copy of the very length, so that ASan sees what is read behind it. */
    uint8_t *copy = pst_memdup(p->data, p->len);
    assert_non_null(copy);
    memset(&a, 0xee, sizeof a);
    pst_dns_reply(f->zone, f->values, copy, p->len, udp, a.data, &a.r);
    pst_free(copy);
    assert_true(a.r.len <= (udp ? PST_DNS_REPLY_UDP_MAX : PST_DNS_REPLY_TCP_MAX));
    return &a;
}

static unsigned rcode(const struct answer *a)
{
    return a->data[3] & 15u;
}

static unsigned count(const struct answer *a, size_t at)
{
    return a->data[at] * 256u + a->data[at + 1];
}

static struct pst_dns_msg *parse(struct fixture *f, const struct answer *a)
{
    struct pst_dns_msg *m = NULL;
    assert_ok(pst_dns_parse(a->data, a->r.len, &m, &f->err), f->err);
    return m;
}

/* ---- what there is ---- */

static void each_question_gets_its_answer(void **state)
{
    struct fixture *f = *state;
    static const struct {
        const char *name;
        uint16_t type, class;
        enum pst_dns_outcome outcome;
        unsigned rcode, answers, authority;
    } rows[] = {
        {"abc.acme.example.net", PST_DNS_TXT, 1, PST_DNS_OUT_ANSWER, 0, 2, 0},
        {"ABC.aCmE.Example.NET", PST_DNS_TXT, 1, PST_DNS_OUT_ANSWER, 0, 2, 0},
        {"abc.acme.example.net", PST_DNS_A, 1, PST_DNS_OUT_NODATA, 0, 0, 1},
        {"abc.acme.example.net", PST_DNS_CNAME, 1, PST_DNS_OUT_NODATA, 0, 0, 1},
        {"abc.acme.example.net", PST_DNS_SOA, 1, PST_DNS_OUT_NODATA, 0, 0, 1},
        {"abc.acme.example.net", PST_DNS_NS, 1, PST_DNS_OUT_NODATA, 0, 0, 1},
        {"abc.acme.example.net", CAA, 1, PST_DNS_OUT_NODATA, 0, 0, 1},
        {"abc.acme.example.net", ANY, 1, PST_DNS_OUT_ANSWER, 0, 1, 0},
        {"none.acme.example.net", PST_DNS_TXT, 1, PST_DNS_OUT_NODATA, 0, 0, 1},
        {"a.abc.acme.example.net", PST_DNS_TXT, 1, PST_DNS_OUT_NXDOMAIN, 3, 0, 1},
        {"a.abc.acme.example.net", ANY, 1, PST_DNS_OUT_NXDOMAIN, 3, 0, 1},
        {"acme.example.net", PST_DNS_SOA, 1, PST_DNS_OUT_ANSWER, 0, 1, 0},
        {"acme.example.net", PST_DNS_NS, 1, PST_DNS_OUT_ANSWER, 0, 2, 0},
        {"acme.example.net", CAA, 1, PST_DNS_OUT_ANSWER, 0, 2, 0},
        {"acme.example.net", ANY, 1, PST_DNS_OUT_ANSWER, 0, 1, 0},
        {"acme.example.net", PST_DNS_TXT, 1, PST_DNS_OUT_NODATA, 0, 0, 1},
        {"acme.example.net", MX, 1, PST_DNS_OUT_NODATA, 0, 0, 1},
        {"acme.example.net", AXFR, 1, PST_DNS_OUT_REFUSED, 5, 0, 0},
        {"acme.example.net", IXFR, 1, PST_DNS_OUT_REFUSED, 5, 0, 0},
        {"acme.example.net", OPT, 1, PST_DNS_OUT_REFUSED, 5, 0, 0},
        {"acme.example.net", 250, 1, PST_DNS_OUT_REFUSED, 5, 0, 0},
        {"example.net", PST_DNS_SOA, 1, PST_DNS_OUT_REFUSED, 5, 0, 0},
        {"xacme.example.net", PST_DNS_TXT, 1, PST_DNS_OUT_REFUSED, 5, 0, 0},
        {"acme.example.org", PST_DNS_TXT, 1, PST_DNS_OUT_REFUSED, 5, 0, 0},
        {"net", PST_DNS_TXT, 1, PST_DNS_OUT_REFUSED, 5, 0, 0},
        {"", PST_DNS_NS, 1, PST_DNS_OUT_REFUSED, 5, 0, 0},
        {"abc.acme.example.net", PST_DNS_TXT, CH, PST_DNS_OUT_REFUSED, 5, 0, 0},
        {"abc.acme.example.net", PST_DNS_TXT, ANY, PST_DNS_OUT_REFUSED, 5, 0, 0},
        {"version.bind", PST_DNS_TXT, CH, PST_DNS_OUT_REFUSED, 5, 0, 0},
    };

    for (size_t i = 0; i < PST_ARRAY_N(rows); i++) {
        struct packet p = ask(rows[i].name, rows[i].type, rows[i].class);
        const struct answer *a = reply(f, &p, true);

        print_message("%s %u\n", rows[i].name, rows[i].type);
        assert_string_equal(pst_dns_outcome_name(a->r.outcome),
                            pst_dns_outcome_name(rows[i].outcome));
        assert_int_equal(rcode(a), rows[i].rcode);
        assert_int_equal(count(a, 6), rows[i].answers);
        assert_int_equal(count(a, 8), rows[i].authority);
        assert_int_equal(count(a, 10), 0);
        /* QR and RD; AA for what is ours; never RA. */
        bool ours = rows[i].rcode != 5;
        assert_int_equal(a->data[2], 0x81 | (ours ? 4 : 0));
        assert_int_equal(a->data[3] & 0xf0, 0);
        /* The question comes back byte by byte, in its letters' case. */
        assert_int_equal(a->r.question_end, p.len);
        assert_memory_equal(a->data, p.data, 2);
        assert_memory_equal(a->data + 12, p.data + 12, p.len - 12);
        if (rows[i].class == 1)
            pst_dns_msg_free(parse(f, a));
    }
}

static void values_are_txt_records_with_a_short_ttl(void **state)
{
    struct fixture *f = *state;
    struct packet p = ask("abc.ACME.example.net", PST_DNS_TXT, 1);
    auto_(pst_dns_msg_free) struct pst_dns_msg *m = parse(f, reply(f, &p, true));
    static const char *const wanted[] = {"one", "two"};

    assert_true(m->authoritative && !m->recursion && !m->truncated);
    assert_int_equal(m->answer_n, 2);
    for (size_t i = 0; i < 2; i++) {
        auto_buf struct pst_buf text = PST_BUF(300);
        assert_string_equal(m->answer[i].owner, "abc.acme.example.net");
        assert_int_equal(m->answer[i].ttl_s, 5);
        assert_true(pst_dns_rr_txt(&m->answer[i], &text));
        assert_string_equal(pst_buf_cstr(&text), wanted[i]);
    }
}

static void absence_comes_with_the_soa_record(void **state)
{
    struct fixture *f = *state;
    /* RFC 1035 section 3.3.13; the names as the zone has them. */
    static const char soa[] = "\3ns1\7example\3net\0\12hostmaster\4acme\7example\3net\0"
                              "\0\0\0\x4d\0\0\x0e\x10\0\0\2\x58\0\x09\x3a\x80\0\0\0\2";
    static const char *const names[] = {"none.acme.example.net", "a.b.c.acme.example.net"};

    for (size_t i = 0; i < 2; i++) {
        struct packet p = ask(names[i], PST_DNS_TXT, 1);
        auto_(pst_dns_msg_free) struct pst_dns_msg *m = parse(f, reply(f, &p, true));

        assert_int_equal(m->authority_n, 1);
        assert_int_equal(m->authority[0].type, PST_DNS_SOA);
        assert_string_equal(m->authority[0].owner, "acme.example.net");
        assert_int_equal(m->authority[0].ttl_s, 2);
        assert_int_equal(m->authority[0].data_len, sizeof soa - 1);
        assert_memory_equal(m->authority[0].data, soa, sizeof soa - 1);
    }
}

static void the_apex_has_its_servers_and_issuers(void **state)
{
    struct fixture *f = *state;
    struct packet p = ask("acme.example.net", PST_DNS_NS, 1);
    auto_(pst_dns_msg_free) struct pst_dns_msg *m = parse(f, reply(f, &p, true));

    assert_string_equal(m->answer[0].target, ns[0]);
    assert_string_equal(m->answer[1].target, ns[1]);
    p = ask("acme.example.net", CAA, 1);
    auto_(pst_dns_msg_free) struct pst_dns_msg *c = parse(f, reply(f, &p, true));
    assert_int_equal(c->answer[0].data_len, 2 + 5 + 15);
    assert_memory_equal(c->answer[0].data, "\0\5issueletsencrypt.org", 22);
    p = ask("abc.acme.example.net", ANY, 1);
    const struct answer *a = reply(f, &p, true);
    assert_memory_equal(a->data + p.len, "\xc0\x0c\0\x0d\0\1\0\0\0\5\0\x09\7RFC8482\0", 21);
}

/* ---- EDNS and size ---- */

static void edns_is_answered_with_edns(void **state)
{
    struct fixture *f = *state;
    struct packet p = ask("abc.acme.example.net", PST_DNS_TXT, 1);

    put_opt(&p, 4096, 0, 0x8000);
    const struct answer *a = reply(f, &p, true);
    assert_int_equal(count(a, 10), 1);
    /* Our size, version 0, DO as it was asked. */
    assert_memory_equal(a->data + a->r.len - 11, "\0\0\x29\x04\xd0\0\0\x80\0\0\0", 11);

    p = ask("abc.acme.example.net", PST_DNS_TXT, 1);
    put_opt(&p, 512, 1, 0);
    a = reply(f, &p, true);
    assert_int_equal(a->r.outcome, PST_DNS_OUT_BADVERS);
    assert_int_equal(rcode(a), 0);
    assert_int_equal(count(a, 6), 0);
    assert_memory_equal(a->data + a->r.len - 11, "\0\0\x29\x04\xd0\1\0\0\0\0\0", 11);
}

static void an_answer_too_long_for_udp_says_so(void **state)
{
    struct fixture *f = *state;
    static const struct {
        uint16_t size; /* 0: without EDNS */
        const char *name;
        bool cut;
    } rows[] = {
        {0, "big", true},  {512, "big", true}, {1232, "big", true}, {65535, "big", true},
        {0, "abc", false}, {1, "abc", false},  {0, "long", false},
    };

    for (size_t i = 0; i < PST_ARRAY_N(rows); i++) {
        char name[64];
        snprintf(name, sizeof name, "%s.acme.example.net", rows[i].name);
        struct packet p = ask(name, PST_DNS_TXT, 1);
        size_t plain = p.len;
        if (rows[i].size)
            put_opt(&p, rows[i].size, 0, 0);
        const struct answer *a = reply(f, &p, true);
        assert_int_equal(a->r.outcome, PST_DNS_OUT_ANSWER);
        assert_int_equal(a->r.truncated, rows[i].cut);
        assert_int_equal((a->data[2] & 2) != 0, rows[i].cut);
        if (rows[i].cut) {
            assert_int_equal(count(a, 6), 0);
            assert_int_equal(a->r.len, plain + (rows[i].size ? 11 : 0));
        }
        a = reply(f, &p, false);
        assert_false(a->r.truncated);
        assert_true(count(a, 6) > 0);
    }
}

static void the_largest_set_fits_by_tcp(void **state)
{
    struct fixture *f = *state;
    char label[64], value[256], name[128];

    memset(label, 'l', 63);
    label[63] = '\0';
    memset(value, 'v', 255);
    value[255] = '\0';
    for (int i = 0; i < PST_DNS_VALUES_MAX; i++)
        add(f, label, value);
    assert_rc(pst_dns_values_add(f->values, label, value, &f->err), PST_CONFLICT, f->err);
    snprintf(name, sizeof name, "%s.acme.example.net", label);
    struct packet p = ask(name, PST_DNS_TXT, 1);
    put_opt(&p, 4096, 0, 0);
    auto_(pst_dns_msg_free) struct pst_dns_msg *m = parse(f, reply(f, &p, false));
    assert_int_equal(m->answer_n, PST_DNS_VALUES_MAX);
}

static void the_advice_to_ask_by_tcp_is_a_bare_header_and_question(void **state)
{
    struct fixture *f = *state;
    struct packet p = ask("abc.acme.example.net", PST_DNS_TXT, 1);
    size_t plain = p.len;

    put_opt(&p, 1232, 0, 0);
    struct answer *a = reply(f, &p, true);
    pst_dns_reply_cut(a->data, &a->r);
    assert_int_equal(a->r.len, plain);
    auto_(pst_dns_msg_free) struct pst_dns_msg *m = parse(f, a);
    assert_true(m->truncated && m->authoritative && m->answer_n == 0);
}

/* ---- what is no question ---- */

static void what_gets_no_answer(void **state)
{
    struct fixture *f = *state;
    struct packet p = ask("abc.acme.example.net", PST_DNS_TXT, 1);

    p.data[2] |= 0x80; /* an answer: two servers must not talk to each other for ever */
    assert_int_equal(reply(f, &p, true)->r.len, 0);
    p.data[2] &= 0x7f;
    for (p.len = 0; p.len < 12; p.len++)
        assert_int_equal(reply(f, &p, true)->r.len, 0);
}

static void assert_only_header(struct fixture *f, const struct packet *p, unsigned wanted)
{
    const struct answer *a = reply(f, p, true);

    assert_int_equal(a->r.len, 12);
    assert_int_equal(rcode(a), wanted);
    assert_memory_equal(a->data, p->data, 2);
    assert_int_equal(a->data[2] & 0x80, 0x80);
    assert_int_equal(a->data[2] & 0x7e, p->data[2] & 0x78);
    assert_memory_equal(a->data + 4, "\0\0\0\0\0\0\0\0", 8);
}

static void other_operations_are_not_implemented(void **state)
{
    struct fixture *f = *state;
    struct packet p = ask("abc.acme.example.net", PST_DNS_TXT, 1);

    for (uint8_t opcode = 1; opcode < 16; opcode++) {
        p.data[2] = (uint8_t)(opcode << 3);
        assert_only_header(f, &p, 4);
    }
}

static void what_cannot_be_read_is_a_format_error(void **state)
{
    struct fixture *f = *state;
    struct packet whole = ask("abc.acme.example.net", PST_DNS_TXT, 1), p;

    for (p = whole, p.len--; p.len >= 12; p.len--)
        assert_only_header(f, &p, 1); /* cut anywhere */
    for (uint8_t n = 0; n < 4; n += 2) {
        p = whole;
        p.data[5] = n; /* no question, two */
        assert_only_header(f, &p, 1);
    }
    p = whole;
    PUT(&p, "x"); /* more than the header tells of */
    assert_only_header(f, &p, 1);
    p = whole;
    p.data[11] = 1; /* less */
    assert_only_header(f, &p, 1);
    p = whole;
    p.data[12] = 0xc0; /* a pointer in the question */
    assert_only_header(f, &p, 1);
    p.data[12] = 0x41; /* a kind of label that nobody uses */
    assert_only_header(f, &p, 1);
    p = whole;
    put_opt(&p, 512, 0, 0);
    put_opt(&p, 512, 0, 0); /* two OPT records */
    assert_only_header(f, &p, 1);
    p = whole;
    put_opt(&p, 512, 0, 0);
    p.data[p.len - 1] = 1; /* data behind the end */
    assert_only_header(f, &p, 1);
    p.data[p.len - 1] = 4;
    PUT(&p, "\0\x0a\0\1"); /* an option that is longer than what there is */
    assert_only_header(f, &p, 1);
    p = whole;
    put_opt(&p, 512, 0, 0);
    p.data[11] = 0;
    p.data[7] = 1; /* OPT as an answer */
    assert_only_header(f, &p, 1);
    p = whole;
    PUT(&p, "\1x\0\0\x29\2\0\0\0\0\0\0\0"); /* OPT below the root */
    p.data[11] = 1;
    assert_only_header(f, &p, 1);
}

static void names_are_as_long_as_they_may_be(void **state)
{
    struct fixture *f = *state;
    char name[300];

    /* 17 labels of 13 letters and the zone: 238 + 18 bytes are one too many, one letter less is
     * 255. */
    for (int i = 0; i < 17; i++)
        memcpy(name + 14 * i, "aaaaaaaaaaaaa.", 14);
    memcpy(name + 14 * 17, "acme.example.net", 17);
    struct packet p = ask(name, PST_DNS_TXT, 1);
    assert_only_header(f, &p, 1);
    p = ask(name + 1, PST_DNS_TXT, 1);
    assert_int_equal(reply(f, &p, true)->r.outcome, PST_DNS_OUT_NXDOMAIN);
    p = ask(
        "a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a."
        "a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a."
        "a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.acme.example.net",
        PST_DNS_TXT, 1);
    assert_int_equal(reply(f, &p, true)->r.outcome, PST_DNS_OUT_NXDOMAIN);
}

static void other_records_behind_the_question_are_stepped_over(void **state)
{
    struct fixture *f = *state;
    struct packet p = ask("abc.acme.example.net", PST_DNS_TXT, 1);

    /* An SOA record as with IXFR, whose owner is a pointer to the question's name, then OPT with
     * an option (a cookie), then a TSIG-like one. */
    PUT(&p, "\xc0\x0c\0\6\0\1\0\0\0\0\0\0");
    PUT(&p, "\0\0\x29\4\xd0\0\0\0\0\0\x0c\0\x0a\0\x08"
            "12345678");
    PUT(&p, "\3key\xc0\x10\0\xfa\0\xff\0\0\0\0\0\0");
    p.data[9] = 1;
    p.data[11] = 2;
    const struct answer *a = reply(f, &p, true);
    assert_int_equal(a->r.outcome, PST_DNS_OUT_ANSWER);
    assert_int_equal(count(a, 10), 1);

    p = ask("abc.acme.example.net", PST_DNS_TXT, 1);
    size_t at = p.len;
    PUT(&p, "\xc0\0\0\6\0\1\0\0\0\0\0\0");
    p.data[9] = 1;
    p.data[at + 1] = (uint8_t)at; /* a pointer to itself */
    assert_only_header(f, &p, 1);
    p.data[at + 1] = 4; /* into the header */
    assert_only_header(f, &p, 1);
}

/* ---- zone and table ---- */

static void a_zone_is_made_of_names(void **state)
{
    struct fixture *f = *state;
    static const char *const bad_ns[] = {"a..b"}, *const bad_caa[] = {""};
    const struct pst_dns_zone_opts good = {.name = "z.example", .ns = ns, .ns_n = 2};
    struct pst_dns_zone_opts rows[6];
    struct pst_dns_zone *z = NULL;

    for (size_t i = 0; i < PST_ARRAY_N(rows); i++)
        rows[i] = good;
    rows[0].name = "";
    rows[1].ns_n = 0;
    rows[2].ns = bad_ns;
    rows[3].admin = "nobody";
    rows[4].caa = bad_caa;
    rows[4].caa_n = 1;
    rows[5].name = "*.example";
    for (size_t i = 0; i < PST_ARRAY_N(rows); i++)
        assert_rc(pst_dns_zone_new(&z, &rows[i], &f->err), PST_ECONFIG, f->err);
    rows[0] = good;
    rows[0].admin = "dns.ops@mail.example";
    assert_ok(pst_dns_zone_new(&z, &rows[0], &f->err), f->err);
    assert_memory_equal(z->soa + 17, "\7dns.ops\4mail\7example", 22);
    pst_dns_zone_free(z);
}

static void a_table_of_many_labels_finds_each(void **state)
{
    struct fixture *f = *state;
    char label[16];
    struct pst_dns_txt txt;

    for (int i = 0; i < 5000; i++) {
        snprintf(label, sizeof label, "n%d", i);
        add(f, label, label);
    }
    for (int i = 0; i < 5000; i++) {
        snprintf(label, sizeof label, "n%d", i);
        assert_true(pst_dns_values_find(f->values, (uint8_t *)label, strlen(label), &txt));
        assert_int_equal(txt.n, 1);
        assert_memory_equal(txt.data + 13, label, strlen(label));
    }
    assert_false(pst_dns_values_find(f->values, (const uint8_t *)"n5000", 5, &txt));
    assert_false(pst_dns_values_find(f->values, (const uint8_t *)"", 0, &txt));
    assert_rc(pst_dns_values_add(f->values, "", "x", &f->err), PST_EINPUT, f->err);
}

static void no_memory_is_survived(void **state)
{
    struct fixture *f = *state;
    const struct pst_dns_zone_opts o = {.name = "z.example", .ns = ns, .ns_n = 1};

    int rc;

    assert_survives_no_memory(rc, {
        auto_(pst_dns_zone_free) struct pst_dns_zone *z = NULL;
        auto_(pst_dns_values_free) struct pst_dns_values *v = NULL;

        rc = pst_dns_zone_new(&z, &o, &f->err);
        if (rc == PST_OK)
            rc = pst_dns_values_new(&v, z, 1, pst_rand_system(), &f->err);
        for (int i = 0; rc == PST_OK && i < 40; i++)
            rc = pst_dns_values_add(v, (char[]){(char)('0' + i), '\0'}, "value", &f->err);
    });
}

#define T(fn) cmocka_unit_test_setup_teardown(fn, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(each_question_gets_its_answer),
        T(values_are_txt_records_with_a_short_ttl),
        T(absence_comes_with_the_soa_record),
        T(the_apex_has_its_servers_and_issuers),
        T(edns_is_answered_with_edns),
        T(an_answer_too_long_for_udp_says_so),
        T(the_largest_set_fits_by_tcp),
        T(the_advice_to_ask_by_tcp_is_a_bare_header_and_question),
        T(what_gets_no_answer),
        T(other_operations_are_not_implemented),
        T(what_cannot_be_read_is_a_format_error),
        T(names_are_as_long_as_they_may_be),
        T(other_records_behind_the_question_are_stepped_over),
        T(a_zone_is_made_of_names),
        T(a_table_of_many_labels_finds_each),
        T(no_memory_is_survived),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
