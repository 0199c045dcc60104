/*
 * dnsd_fuzz.c - questions from anybody to our own DNS server.  What is answered must be a message
 * that the parser of resolve/ (ldns) can read, no longer than it may be, and an answer to what was
 * asked.  The first byte chooses the transport.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <postern/base.h>
#include <postern/dnsmsg.h>
#include <postern/dnsreply.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct pst_dns_zone *zone;
static struct pst_dns_values *values;

static void prepare(void)
{
    static const char *const ns[] = {"ns1.example.net"}, *const caa[] = {"ca.example"};
    const struct pst_dns_zone_opts o = {.name = "acme.test",
                                        .ns = ns,
                                        .ns_n = 1,
                                        .caa = caa,
                                        .caa_n = 1,
                                        .ttl_s = 5,
                                        .negative_ttl_s = 1};
    char value[200];

    pst_require(pst_dns_zone_new(&zone, &o, NULL) == PST_OK);
    pst_require(pst_dns_values_new(&values, zone, 1, pst_rand_system(), NULL) == PST_OK);
    pst_require(pst_dns_values_add(values, "a", "one", NULL) == PST_OK);
    memset(value, 'v', sizeof value);
    value[199] = '\0';
    for (int i = 0; i < 20; i++)
        pst_require(pst_dns_values_add(values, "big", value, NULL) == PST_OK);
}

/* The parser takes answers to one question of class IN; others are of no use to it. */
static void check_readable(const uint8_t *to, const struct pst_dns_reply *r)
{
    struct pst_dns_msg *m = NULL;
    struct pst_err err = {0};

    if (r->outcome == PST_DNS_OUT_FORMERR || r->outcome == PST_DNS_OUT_NOTIMP)
        return;
    if (to[r->question_end - 2] != 0 || to[r->question_end - 1] != 1)
        return;
    pst_require(pst_dns_parse(to, r->len, &m, &err) == PST_OK);
    pst_require(m->truncated == r->truncated);
    pst_require(r->outcome != PST_DNS_OUT_NXDOMAIN || r->truncated || m->authority_n == 1);
    pst_dns_msg_free(m);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (!zone)
        prepare();
    if (size == 0)
        return 0;
    bool udp = data[0] & 1;
    size_t room = udp ? PST_DNS_REPLY_UDP_MAX : PST_DNS_REPLY_TCP_MAX;
    /* Of the very size, so that ASan sees what is written behind it. */
    auto_(pst_free) uint8_t *to = pst_alloc(room);
    struct pst_dns_reply r;

    pst_require(to);
    pst_dns_reply(zone, values, data + 1, size - 1, udp, to, &r);
    if (r.len == 0) {
        pst_require(r.outcome == PST_DNS_OUT_DROPPED);
        return 0;
    }
    pst_require(r.len <= room && r.question_end <= r.len && r.question_end <= size - 1);
    pst_require(to[0] == data[1] && to[1] == data[2] && to[2] & 0x80);
    pst_require(r.question_end == 12 || memcmp(to + 12, data + 13, r.question_end - 12) == 0);
    check_readable(to, &r);
    pst_dns_reply_cut(to, &r);
    check_readable(to, &r);
    return 0;
}
