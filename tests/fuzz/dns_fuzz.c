/*
 * dns_fuzz.c - DNS answers from anybody: parsed, followed, read, and matched against a question.
 * A packet that parses must keep what dnsmsg.h promises about it.
 */
#include <stdint.h>
#include <string.h>

#include <postern/base.h>
#include <postern/dnsmsg.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Names in answers are printable, whatever was in the packet. */
static void check_name(const char *name)
{
    pst_require(strlen(name) <= 4 * 255);
    for (; *name; name++)
        pst_require(*name > ' ' && *name < 127);
}

static void check_rr(const struct pst_dns_rr *rr)
{
    auto_buf struct pst_buf text = PST_BUF(65536);
    struct pst_dns_ip ip;
    char shown[PST_DNS_IP_SIZE];

    check_name(rr->owner);
    pst_require(rr->data[rr->data_len] == '\0');
    pst_require((rr->target != NULL) == (rr->type == PST_DNS_CNAME || rr->type == PST_DNS_NS));
    if (rr->target)
        check_name(rr->target);
    bool is_ip = pst_dns_rr_ip(rr, &ip);
    pst_require(is_ip == (rr->type == PST_DNS_A || rr->type == PST_DNS_AAAA));
    if (is_ip) {
        struct pst_dns_ip again;

        pst_dns_ip_text(&ip, shown);
        pst_require(pst_dns_ip_parse(shown, &again) && pst_dns_ip_cmp(&ip, &again) == 0);
        (void)pst_dns_ip_public(&ip);
    }
    if (rr->type == PST_DNS_TXT)
        pst_require(pst_dns_rr_txt(rr, &text));
}

static void check_view(const struct pst_dns_msg *m)
{
    struct pst_dns_view v;
    size_t n = 0;

    pst_dns_follow(m, &v);
    pst_require(v.chain_n <= PST_DNS_CHAIN_MAX);
    check_name(v.end);
    while (pst_dns_view_rr(m, &v, n))
        n++;
    pst_require(v.status == PST_DNS_BROKEN || n == v.rr_n);
    pst_require(v.status != PST_DNS_OK || n > 0);
}

/* Whether it fits the question that it repeats must not depend on anything behind that. */
static void check_match(const struct pst_dns_msg *m, const uint8_t *data, size_t size)
{
    uint8_t query[PST_DNS_QUERY_MAX];
    struct pst_dns_question q = {.name = m->qname, .type = m->qtype, .id = m->id};
    size_t len = pst_dns_query(query, &q);

    if (len > 0) {
        pst_require(pst_dns_matches(data, size, query, len));
        query[1] ^= 1;
        pst_require(!pst_dns_matches(data, size, query, len));
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const uint8_t query[] = "\0\1\1\0\0\1\0\0\0\0\0\0\1a\4test\0\0\1\0\1";
    struct pst_dns_msg *m = NULL;
    struct pst_err err = {0};

    (void)pst_dns_matches(data, size, query, sizeof query - 1);
    (void)pst_dns_matches(query, sizeof query - 1, data, size);
    int rc = pst_dns_parse(data, size, &m, &err);
    if (rc != PST_OK) {
        pst_require(rc == PST_EINPUT && err.text[0]);
        return 0;
    }
    check_name(m->qname);
    for (size_t i = 0; i < m->answer_n; i++)
        check_rr(&m->answer[i]);
    for (size_t i = 0; i < m->authority_n; i++)
        check_rr(&m->authority[i]);
    check_view(m);
    check_match(m, data, size);
    pst_dns_msg_free(m);
    return 0;
}
