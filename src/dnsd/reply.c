/*
 * reply.c - question in, answer out.  A question is twenty bytes around a name, so it is read by
 * hand, every length checked against the packet; the fuzzer has ldns read what is answered.
 */
#include <string.h>

#include "dnsd_internal.h"

enum {
    HEADER_LEN = 12,
    FLAG_QR = 0x80,     /* byte 2 */
    FLAG_OPCODE = 0x78, /* byte 2 */
    FLAG_AA = 0x04,     /* byte 2 */
    FLAG_TC = 0x02,     /* byte 2 */
    FLAG_RD = 0x01,     /* byte 2 */
    FLAG_CD = 0x10,     /* byte 3 */

    NOERROR = 0,
    FORMERR = 1,
    NXDOMAIN = 3,
    NOTIMP = 4,
    REFUSED = 5,

    CLASS_IN = 1,
    TYPE_HINFO = 13,
    TYPE_OPT = 41,
    TYPE_META_FIRST = 128, /* transfers and their like (RFC 6895 section 3.1) */
    TYPE_ANY = 255,

    OPT_LEN = 11,
    PLAIN_UDP_MAX = 512,
    HOPS_MAX = 32, /* compression pointers in one name */
    OWNER = 0xc00c,
};

/* What is asked for. */
struct query {
    const uint8_t *packet;
    size_t len;
    size_t labels[PST_DNS_LABELS_MAX]; /* where each label of the name begins */
    size_t labels_n;
    size_t name_len; /* with the root */
    uint16_t type, class;
    bool edns, dnssec_ok;
    uint16_t udp_max;
    uint8_t version;
};

static uint16_t get16(const uint8_t *p)
{
    return (uint16_t)(p[0] << 8 | p[1]);
}

const char *pst_dns_outcome_name(enum pst_dns_outcome o)
{
    static const char *const names[] = {
        [PST_DNS_OUT_DROPPED] = "dropped",   [PST_DNS_OUT_ANSWER] = "answer",
        [PST_DNS_OUT_NODATA] = "nodata",     [PST_DNS_OUT_NXDOMAIN] = "nxdomain",
        [PST_DNS_OUT_REFUSED] = "refused",   [PST_DNS_OUT_FORMERR] = "formerr",
        [PST_DNS_OUT_NOTIMP] = "notimp",     [PST_DNS_OUT_BADVERS] = "badvers",
        [PST_DNS_OUT__COUNT] = "impossible",
    };
    return names[o];
}

/* ------------------------------------------------------------------ reading */

/* The name, type and class that are asked for.  A pointer could only lead into the header, so none
 * is allowed here.  Where the question ends, or 0. */
static size_t read_question(struct query *q)
{
    size_t at = HEADER_LEN;

    while (at < q->len && q->packet[at] != 0) {
        if (q->packet[at] > 63 || q->labels_n == PST_DNS_LABELS_MAX)
            return 0;
        q->labels[q->labels_n++] = at;
        at += q->packet[at] + 1u;
        if (at - HEADER_LEN >= PST_DNS_WIRE_MAX)
            return 0;
    }
    if (at >= q->len || q->len - at < 5)
        return 0;
    q->name_len = at + 1 - HEADER_LEN;
    q->type = get16(q->packet + at + 1);
    q->class = get16(q->packet + at + 3);
    return at + 5;
}

/* Step over the name at `at`, whose pointers must lead backwards: behind it, or 0. */
static size_t skip_name(const struct query *q, size_t at)
{
    size_t lowest = at, end = 0, total = 0;
    unsigned hops = 0;

    while (at < q->len) {
        uint8_t c = q->packet[at];

        if (c == 0)
            return end ? end : at + 1;
        if (c < 64) {
            total += c + 1u;
            if (total >= PST_DNS_WIRE_MAX)
                return 0;
            at += c + 1u;
            continue;
        }
        if (c < 192 || q->len - at < 2 || ++hops > HOPS_MAX)
            return 0;
        size_t to = get16(q->packet + at) & 0x3fffu;
        if (to >= lowest || to < HEADER_LEN)
            return 0;
        if (!end)
            end = at + 2;
        at = lowest = to;
    }
    return 0;
}

/* RFC 6891 section 6.1.2; `at` is behind the owner. */
static bool read_opt(struct query *q, size_t owner_at, size_t at, size_t data_len)
{
    const uint8_t *data = q->packet + at + 10;

    if (q->edns || q->packet[owner_at] != 0)
        return false; /* two of them, or not at the root */
    q->edns = true;
    q->udp_max = get16(q->packet + at + 2);
    q->version = q->packet[at + 5];
    q->dnssec_ok = q->packet[at + 6] & 0x80;
    while (data_len >= 4) {
        size_t len = 4u + get16(data + 2);
        if (len > data_len)
            return false;
        data += len;
        data_len -= len;
    }
    return data_len == 0;
}

/* All records behind the question: only an OPT record means something to us. */
static bool read_records(struct query *q, size_t at)
{
    unsigned before = get16(q->packet + 6) + (unsigned)get16(q->packet + 8);
    unsigned total = before + get16(q->packet + 10);

    for (unsigned i = 0; i < total; i++) {
        size_t owner_at = at;

        at = skip_name(q, at);
        if (at == 0 || q->len - at < 10)
            return false;
        uint16_t type = get16(q->packet + at);
        size_t data_len = get16(q->packet + at + 8);
        if (q->len - at - 10 < data_len)
            return false;
        if (type == TYPE_OPT && (i < before || !read_opt(q, owner_at, at, data_len)))
            return false;
        at += 10 + data_len;
    }
    return at == q->len;
}

/* ------------------------------------------------------------------ writing */

struct writer {
    const struct query *q;
    uint8_t *to;
    size_t max; /* what the answer may have, less what OPT will take */
    struct pst_dns_reply *r;
};

static void add_count(struct writer *w, size_t at, uint16_t n)
{
    pst_dns_put16(w->to + at, (uint16_t)(get16(w->to + at) + n));
}

/* Records that begin with a pointer to the question's name. */
static void add_answers(struct writer *w, const uint8_t *data, size_t len, uint16_t n)
{
    if (w->r->truncated || len > w->max - w->r->len) {
        pst_dns_reply_cut(w->to, w->r);
        return;
    }
    memcpy(w->to + w->r->len, data, len);
    w->r->len += len;
    add_count(w, 6, n);
}

/* The zone's SOA record, as answer or as authority (`at` is the section's count). */
static void add_soa(struct writer *w, const struct pst_dns_zone *z,
                    const struct pst_dns_values *values, size_t at, uint32_t ttl_s)
{
    size_t apex_at = HEADER_LEN + w->q->name_len - z->apex_len;

    if (w->r->truncated || 12 + z->soa_len > w->max - w->r->len) {
        pst_dns_reply_cut(w->to, w->r);
        return;
    }
    uint8_t *p = pst_dns_put16(w->to + w->r->len, (uint16_t)(0xc000u | apex_at));
    p = pst_dns_put16(p, PST_DNS_SOA);
    p = pst_dns_put16(p, CLASS_IN);
    p = pst_dns_put32(p, ttl_s);
    p = pst_dns_put16(p, (uint16_t)z->soa_len);
    memcpy(p, z->soa, z->soa_len);
    pst_dns_put32(p + z->soa_serial, pst_dns_values_serial(values));
    w->r->len += 12 + z->soa_len;
    add_count(w, at, 1);
}

static void add_opt(struct writer *w)
{
    const struct query *q = w->q;
    uint8_t *p = w->to + w->r->len;

    *p++ = 0;
    p = pst_dns_put16(p, TYPE_OPT);
    p = pst_dns_put16(p, PST_DNS_REPLY_UDP_MAX);
    *p++ = q->version > 0; /* the upper bits of BADVERS, 16 */
    *p++ = 0;
    p = pst_dns_put16(p, q->dnssec_ok ? 0x8000 : 0);
    p = pst_dns_put16(p, 0);
    w->r->len += OPT_LEN;
    add_count(w, 10, 1);
}

/* ------------------------------------------------------------------ deciding */

/* How many labels the name has in front of the zone's apex, or -1 outside of the zone. */
static int labels_before(const struct query *q, const struct pst_dns_zone *z)
{
    if (q->labels_n < z->apex_labels || q->name_len < z->apex_len)
        return -1;
    size_t before = q->labels_n - z->apex_labels;
    size_t at = before < q->labels_n ? q->labels[before] : HEADER_LEN + q->name_len - 1;
    if (HEADER_LEN + q->name_len - at != z->apex_len)
        return -1;
    /* Length bytes are below 64, so lower() leaves them alone. */
    for (size_t i = 0; i < z->apex_len; i++)
        if (pst_dns_lower(q->packet[at + i]) != z->apex[i])
            return -1;
    return (int)before;
}

/* "RFC8482" as the only thing to be had. */
static void answer_any(struct writer *w, const struct pst_dns_zone *z)
{
    static const uint8_t data[] = "\7RFC8482"; /* and an empty string: the NUL */
    uint8_t record[12 + sizeof data];
    uint8_t *p = pst_dns_put16(record, OWNER);

    p = pst_dns_put16(p, TYPE_HINFO);
    p = pst_dns_put16(p, CLASS_IN);
    p = pst_dns_put32(p, z->ttl_s);
    p = pst_dns_put16(p, sizeof data);
    memcpy(p, data, sizeof data);
    add_answers(w, record, sizeof record, 1);
}

static void answer_apex(struct writer *w, const struct pst_dns_zone *z,
                        const struct pst_dns_values *values)
{
    const struct pst_dns_block *block = w->q->type == PST_DNS_NS    ? &z->ns
                                        : w->q->type == PST_DNS_CAA ? &z->caa
                                                                    : NULL;
    if (w->q->type == PST_DNS_SOA)
        add_soa(w, z, values, 6, z->negative_ttl_s);
    else if (block && block->n > 0)
        add_answers(w, block->data, block->len, block->n);
}

static void answer_label(struct writer *w, const struct pst_dns_values *values)
{
    const uint8_t *name = w->q->packet + HEADER_LEN;
    uint8_t label[63];
    struct pst_dns_txt txt;

    if (w->q->type != PST_DNS_TXT)
        return;
    for (size_t i = 0; i < name[0]; i++)
        label[i] = pst_dns_lower(name[1 + i]);
    if (pst_dns_values_find(values, label, name[0], &txt))
        add_answers(w, txt.data, txt.len, txt.n);
}

/* A name in the zone: its records, or why there are none.  The rcode. */
static int answer(struct writer *w, const struct pst_dns_zone *z,
                  const struct pst_dns_values *values, int before)
{
    w->to[2] |= FLAG_AA;
    if (before > 1)
        w->r->outcome = PST_DNS_OUT_NXDOMAIN;
    else if (w->q->type == TYPE_ANY)
        answer_any(w, z);
    else if (before == 1)
        answer_label(w, values);
    else
        answer_apex(w, z, values);
    if (w->r->outcome != PST_DNS_OUT_NXDOMAIN && (w->r->truncated || get16(w->to + 6) > 0)) {
        w->r->outcome = PST_DNS_OUT_ANSWER;
        return NOERROR;
    }
    add_soa(w, z, values, 8, z->negative_ttl_s);
    if (w->r->outcome == PST_DNS_OUT_NXDOMAIN)
        return NXDOMAIN;
    w->r->outcome = PST_DNS_OUT_NODATA;
    return NOERROR;
}

static bool meta_type(uint16_t type)
{
    return type == TYPE_OPT || (type >= TYPE_META_FIRST && type < TYPE_ANY);
}

static int decide(struct writer *w, const struct pst_dns_zone *z,
                  const struct pst_dns_values *values)
{
    int before = labels_before(w->q, z);

    if (w->q->version > 0) {
        w->r->outcome = PST_DNS_OUT_BADVERS;
        return NOERROR; /* its lower bits are 0 */
    }
    if (before < 0 || w->q->class != CLASS_IN || meta_type(w->q->type)) {
        w->r->outcome = PST_DNS_OUT_REFUSED;
        return REFUSED;
    }
    return answer(w, z, values, before);
}

/* An answer without a question: all we can say of what we could not read. */
static void only_header(const uint8_t *packet, uint8_t *to, enum pst_dns_outcome outcome, int rcode,
                        struct pst_dns_reply *ret)
{
    memset(to, 0, HEADER_LEN);
    memcpy(to, packet, 2);
    to[2] = FLAG_QR | (packet[2] & (FLAG_OPCODE | FLAG_RD));
    to[3] = (uint8_t)rcode;
    *ret = (struct pst_dns_reply){outcome, HEADER_LEN, HEADER_LEN, false};
}

static size_t room(const struct query *q, bool udp)
{
    size_t max = PST_DNS_REPLY_TCP_MAX;

    if (udp && !q->edns)
        max = PLAIN_UDP_MAX;
    else if (udp)
        max = q->udp_max < PLAIN_UDP_MAX           ? PLAIN_UDP_MAX
              : q->udp_max > PST_DNS_REPLY_UDP_MAX ? PST_DNS_REPLY_UDP_MAX
                                                   : q->udp_max;
    return q->edns ? max - OPT_LEN : max;
}

void pst_dns_reply(const struct pst_dns_zone *zone, const struct pst_dns_values *values,
                   const uint8_t *packet, size_t len, bool udp, uint8_t *to,
                   struct pst_dns_reply *ret)
{
    struct query q = {.packet = packet, .len = len};

    *ret = (struct pst_dns_reply){0};
    if (len < HEADER_LEN || packet[2] & FLAG_QR)
        return;
    if (packet[2] & FLAG_OPCODE) {
        only_header(packet, to, PST_DNS_OUT_NOTIMP, NOTIMP, ret);
        return;
    }
    size_t end = get16(packet + 4) == 1 ? read_question(&q) : 0;
    if (end == 0 || !read_records(&q, end)) {
        only_header(packet, to, PST_DNS_OUT_FORMERR, FORMERR, ret);
        return;
    }
    memcpy(to, packet, end);
    to[2] = FLAG_QR | (packet[2] & FLAG_RD);
    memset(to + 6, 0, 6);
    ret->len = ret->question_end = end;

    struct writer w = {&q, to, room(&q, udp), ret};
    to[3] = 0;
    to[3] = (uint8_t)(decide(&w, zone, values) | (packet[3] & FLAG_CD));
    if (q.edns)
        add_opt(&w);
}

void pst_dns_reply_cut(uint8_t *to, struct pst_dns_reply *r)
{
    if (r->len == 0)
        return;
    r->len = r->question_end;
    r->truncated = true;
    to[2] |= FLAG_TC;
    memset(to + 6, 0, 6);
}
