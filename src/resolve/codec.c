/*
 * DNS messages.  Queries are written by hand: they are twenty bytes around a name.  Answers are
 * walked by hand first, so that every name, length and count is known to be bounded, and only then
 * are the records that we use handed to ldns, which decompresses their names.
 */
#include <string.h>

#include "resolve_internal.h"

enum {
    HEADER_LEN = 12,
    FLAG_QR = 0x80,     /* byte 2 */
    FLAG_OPCODE = 0x78, /* byte 2 */
    FLAG_AA = 0x04,     /* byte 2 */
    FLAG_TC = 0x02,     /* byte 2 */
    FLAG_RD = 0x01,     /* byte 2 */
    FLAG_RA = 0x80,     /* byte 3 */
    CLASS_IN = 1,
    RECORDS_MAX = 512, /* of answer and authority together: far more than we can use */
    HOPS_MAX = 32,     /* compression pointers in one name; honest packets need a handful */
    ROOM_MAX = 1 << 20,
    NAME_TEXT_MAX = 4 * 255 + 1,
};

static uint16_t get16(const uint8_t *p)
{
    return (uint16_t)(p[0] << 8 | p[1]);
}

static uint8_t *put16(uint8_t *p, uint16_t v)
{
    p[0] = (uint8_t)(v >> 8);
    p[1] = (uint8_t)v;
    return p + 2;
}

static uint8_t lower(uint8_t c)
{
    return c >= 'A' && c <= 'Z' ? (uint8_t)(c + 'a' - 'A') : c;
}

/* ------------------------------------------------------------------ names we ask for */

static bool label_byte_ok(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
           c == '_';
}

bool pst_dns_name_ok(const char *name)
{
    size_t label = 0, len = 0;

    if (!name || !*name)
        return false;
    const char *p = name;
    if (p[0] == '*' && p[1] == '.') {
        p += 2;
        len = 2;
    }
    for (; *p; p++, len++) {
        if (len >= PST_DNS_NAME_MAX)
            return false;
        if (*p == '.') {
            if (label == 0)
                return false;
            label = 0;
        } else if (!label_byte_ok(*p) || ++label > 63) {
            return false;
        }
    }
    return label > 0;
}

/* `name` as labels, lower-case; behind the final zero byte. */
static uint8_t *put_name(uint8_t *p, const char *name)
{
    while (*name) {
        size_t len = strcspn(name, ".");

        *p++ = (uint8_t)len;
        for (size_t i = 0; i < len; i++)
            *p++ = lower((uint8_t)name[i]);
        name += len;
        if (*name == '.')
            name++;
    }
    *p++ = 0;
    return p;
}

size_t pst_dns_query(uint8_t to[PST_DNS_QUERY_MAX], const struct pst_dns_question *q)
{
    uint8_t *p = to;

    /* The root itself is asked for by nobody but the look-up of its servers' zone. */
    if (!q->name || (*q->name && !pst_dns_name_ok(q->name)))
        return 0;
    p = put16(p, q->id);
    *p++ = q->recurse ? FLAG_RD : 0;
    *p++ = 0;
    p = put16(p, 1);
    p = put16(p, 0);
    p = put16(p, 0);
    p = put16(p, q->plain ? 0 : 1);
    p = put_name(p, q->name);
    p = put16(p, q->type);
    p = put16(p, CLASS_IN);
    if (!q->plain) { /* OPT: root, type 41, our size as class, no flags, no options */
        *p++ = 0;
        p = put16(p, 41);
        p = put16(p, PST_DNS_UDP_SIZE);
        p = put16(p, 0);
        p = put16(p, 0);
        p = put16(p, 0);
    }
    return (size_t)(p - to);
}

/* Where the uncompressed name at `pos` ends (behind its type and class); 0 when it does not. */
static size_t question_end(const uint8_t *packet, size_t len, size_t pos)
{
    while (pos < len && packet[pos] != 0) {
        if (packet[pos] > 63)
            return 0;
        pos += packet[pos] + 1u;
    }
    return pos + 5 <= len ? pos + 5 : 0;
}

bool pst_dns_matches(const uint8_t *packet, size_t len, const uint8_t *query, size_t query_len)
{
    if (len < HEADER_LEN || query_len < HEADER_LEN)
        return false;
    size_t end = question_end(query, query_len, HEADER_LEN);
    if (end == 0 || len < end)
        return false;
    if (get16(packet) != get16(query) || (packet[2] & (FLAG_QR | FLAG_OPCODE)) != FLAG_QR ||
        get16(packet + 4) != 1)
        return false;
    /* Length bytes are below 64, so lower() leaves them alone. */
    for (size_t i = HEADER_LEN; i < end; i++) {
        if (lower(packet[i]) != lower(query[i]))
            return false;
    }
    return true;
}

/* ------------------------------------------------------------------ walking an answer */

struct walk {
    const uint8_t *packet;
    size_t len;
    size_t pos;
};

/*
 * Step over a name.  A compression pointer must lead backwards, below the lowest offset seen: that
 * excludes loops, and HOPS_MAX bounds what a chain of pointers can cost.
 */
static bool skip_name(struct walk *w)
{
    size_t at = w->pos, lowest = w->pos, total = 0;
    unsigned hops = 0;

    while (at < w->len) {
        uint8_t c = w->packet[at];

        if (c == 0) {
            if (hops == 0)
                w->pos = at + 1;
            return true;
        }
        if (c < 64) {
            total += c + 1u;
            if (total > 254)
                return false;
            at += c + 1u;
            continue;
        }
        if (c < 192 || at + 2 > w->len || ++hops > HOPS_MAX)
            return false;
        size_t to = get16(w->packet + at) & 0x3fffu;
        if (to >= lowest || to < HEADER_LEN)
            return false;
        if (hops == 1)
            w->pos = at + 2;
        at = lowest = to;
    }
    return false;
}

struct raw_rr {
    size_t start; /* of the owner */
    uint16_t type;
    uint16_t class;
    size_t data; /* of the rdata */
    size_t data_len;
};

static bool next_rr(struct walk *w, struct raw_rr *ret)
{
    ret->start = w->pos;
    if (!skip_name(w) || w->len - w->pos < 10)
        return false;
    const uint8_t *p = w->packet + w->pos;
    ret->type = get16(p);
    ret->class = get16(p + 2);
    ret->data_len = get16(p + 8);
    ret->data = w->pos + 10;
    if (w->len - ret->data < ret->data_len)
        return false;
    w->pos = ret->data + ret->data_len;
    return true;
}

/* How many names the rdata begins with, for the types that we keep; -1 for all others. */
static int names_in(uint16_t type)
{
    switch (type) {
    case PST_DNS_A:
    case PST_DNS_AAAA:
    case PST_DNS_TXT:
    case PST_DNS_CAA:
        return 0;
    case PST_DNS_CNAME:
    case PST_DNS_NS:
        return 1;
    case PST_DNS_SOA:
        return 2;
    default:
        return -1;
    }
}

/* Does the rdata of a record that we keep have the length its type asks for, and bounded names? */
static bool data_ok(const struct walk *w, const struct raw_rr *rr)
{
    if (rr->type == PST_DNS_A || rr->type == PST_DNS_AAAA)
        return rr->data_len == (rr->type == PST_DNS_A ? 4u : 16u);
    struct walk in = {w->packet, rr->data + rr->data_len, rr->data};
    int names = names_in(rr->type);
    if (names == 0)
        return rr->data_len > 0;
    for (int i = 0; i < names; i++) {
        if (!skip_name(&in))
            return false;
    }
    return in.len - in.pos == (rr->type == PST_DNS_SOA ? 20u : 0u);
}

/* ------------------------------------------------------------------ building the message */

/* All of a message lives in a chain of blocks, the first of which begins with the message itself.
 */
struct block {
    struct block *next;
    size_t used, size;
    _Alignas(max_align_t) unsigned char room[];
};

struct owned_msg {
    struct pst_dns_msg msg; /* first: what the caller holds is this */
    struct block *blocks;
    size_t total;
};

static void *take_room(struct owned_msg *m, size_t size)
{
    size = (size + _Alignof(max_align_t) - 1) & ~(_Alignof(max_align_t) - 1);
    struct block *b = m->blocks;
    if (!b || b->size - b->used < size) {
        size_t want = size > 2048 ? size : 2048;

        m->total += want;
        if (m->total > ROOM_MAX)
            return NULL;
        b = pst_alloc(sizeof *b + want);
        if (!b)
            return NULL;
        *b = (struct block){.next = m->blocks, .size = want};
        m->blocks = b;
    }
    void *p = b->room + b->used;
    b->used += size;
    return p;
}

void pst_dns_msg_free(struct pst_dns_msg *msg)
{
    if (!msg)
        return;
    struct owned_msg *m = (struct owned_msg *)msg;
    while (m->blocks) {
        struct block *next = m->blocks->next;

        pst_free(m->blocks);
        m->blocks = next;
    }
    pst_free(m);
}

/* An uncompressed wire name as text (see dnsmsg.h); its length without the NUL. */
static size_t name_text(const uint8_t *wire, size_t len, char to[NAME_TEXT_MAX])
{
    char *p = to;

    for (size_t at = 0; at < len && wire[at] != 0;) {
        size_t end = at + 1 + wire[at];

        if (p != to)
            *p++ = '.';
        for (at++; at < end && at < len; at++) {
            uint8_t c = lower(wire[at]);

            if (c > ' ' && c < 127 && c != '.' && c != '\\' && c != '"') {
                *p++ = (char)c;
            } else {
                *p++ = '\\';
                *p++ = (char)('0' + c / 100);
                *p++ = (char)('0' + c / 10 % 10);
                *p++ = (char)('0' + c % 10);
            }
        }
    }
    *p = '\0';
    return (size_t)(p - to);
}

static const char *keep_name(struct owned_msg *m, const ldns_rdf *name)
{
    char text[NAME_TEXT_MAX];
    size_t len = name_text(ldns_rdf_data(name), ldns_rdf_size(name), text);
    char *kept = take_room(m, len + 1);

    if (kept)
        memcpy(kept, text, len + 1);
    return kept;
}

/* PST_OK, PST_EINPUT or PST_ENOMEM. */
static int keep_rr(struct owned_msg *m, struct pst_dns_rr *to, const ldns_rr *rr)
{
    size_t n = ldns_rr_rd_count(rr), len = 0;

    for (size_t i = 0; i < n; i++)
        len += ldns_rdf_size(ldns_rr_rdf(rr, i));
    uint8_t *data = take_room(m, len + 1);
    if (!data)
        return PST_ENOMEM;
    *to = (struct pst_dns_rr){.owner = keep_name(m, ldns_rr_owner(rr)),
                              .type = (uint16_t)ldns_rr_get_type(rr),
                              .ttl_s = ldns_rr_ttl(rr),
                              .data = data,
                              .data_len = len};
    for (size_t i = 0; i < n; i++) {
        const ldns_rdf *f = ldns_rr_rdf(rr, i);

        if (ldns_rdf_size(f) > 0)
            memcpy(data, ldns_rdf_data(f), ldns_rdf_size(f));
        data += ldns_rdf_size(f);
    }
    *data = '\0';
    if (!to->owner)
        return PST_ENOMEM;
    if (to->type == PST_DNS_CNAME || to->type == PST_DNS_NS) {
        if (n != 1)
            return PST_EINPUT;
        to->target = keep_name(m, ldns_rr_rdf(rr, 0));
        if (!to->target)
            return PST_ENOMEM;
    }
    return PST_OK;
}

/* One section: `count` records, those that we use go to `to`. */
static int read_section(struct owned_msg *m, struct walk *w, unsigned count, ldns_pkt_section s,
                        struct pst_dns_rr *to, size_t *ret_n)
{
    size_t n = 0;

    for (unsigned i = 0; i < count; i++) {
        struct raw_rr raw;

        if (!next_rr(w, &raw))
            return PST_EINPUT;
        if (raw.class != CLASS_IN || names_in(raw.type) < 0)
            continue;
        if (!data_ok(w, &raw))
            return PST_EINPUT;

        auto_(ldns_rr_free) ldns_rr *rr = NULL;
        size_t pos = raw.start;
        ldns_status st = ldns_wire2rr(&rr, w->packet, w->len, &pos, s);
        if (st == LDNS_STATUS_MEM_ERR)
            return PST_ENOMEM;
        if (st != LDNS_STATUS_OK || !rr || pos != w->pos)
            return PST_EINPUT;
        int rc = keep_rr(m, &to[n], rr);
        if (rc < 0)
            return rc;
        n++;
    }
    *ret_n = n;
    return PST_OK;
}

static int read_question(struct owned_msg *m, struct walk *w)
{
    uint8_t wire[256];
    size_t start = w->pos;
    char text[NAME_TEXT_MAX];

    size_t end = question_end(w->packet, w->len, w->pos);
    if (end == 0 || end - start - 4 > 255)
        return PST_EINPUT;
    size_t len = end - start - 4;
    memcpy(wire, w->packet + start, len);
    size_t text_len = name_text(wire, len, text);
    char *name = take_room(m, text_len + 1);
    if (!name)
        return PST_ENOMEM;
    memcpy(name, text, text_len + 1);
    m->msg.qname = name;
    m->msg.qtype = get16(w->packet + end - 4);
    w->pos = end;
    return get16(w->packet + end - 2) == CLASS_IN ? PST_OK : PST_EINPUT;
}

static int read_message(struct owned_msg *m, struct walk *w)
{
    const uint8_t *h = w->packet;
    unsigned answers = get16(h + 6), authorities = get16(h + 8);

    if (answers + authorities > RECORDS_MAX)
        return PST_EINPUT;
    m->msg.id = get16(h);
    m->msg.rcode = h[3] & 0x0f;
    m->msg.authoritative = h[2] & FLAG_AA;
    m->msg.truncated = h[2] & FLAG_TC;
    m->msg.recursion = h[3] & FLAG_RA;
    int rc = read_question(m, w);
    if (rc < 0)
        return rc;
    if (answers + authorities == 0)
        return PST_OK;
    struct pst_dns_rr *rrs = take_room(m, (answers + authorities) * sizeof *rrs);
    if (!rrs)
        return PST_ENOMEM;
    m->msg.answer = rrs;
    m->msg.authority = rrs + answers;
    rc = read_section(m, w, answers, LDNS_SECTION_ANSWER, rrs, &m->msg.answer_n);
    if (rc == PST_OK)
        rc = read_section(m, w, authorities, LDNS_SECTION_AUTHORITY, rrs + answers,
                          &m->msg.authority_n);
    return rc;
}

int pst_dns_parse(const uint8_t *packet, size_t len, struct pst_dns_msg **ret, struct pst_err *err)
{
    struct walk w = {packet, len, HEADER_LEN};

    if (len < HEADER_LEN || len > 65535 || (packet[2] & (FLAG_QR | FLAG_OPCODE)) != FLAG_QR ||
        get16(packet + 4) != 1)
        return pst_fail(err, PST_EINPUT, "the DNS packet is not an answer to one question");

    struct owned_msg *m = pst_zalloc(1, sizeof *m);
    if (!m)
        return pst_fail_nomem(err, "a DNS answer");
    int rc = read_message(m, &w);
    if (rc == PST_OK) {
        *ret = &m->msg;
        return PST_OK;
    }
    bool too_large = m->total > ROOM_MAX;
    pst_dns_msg_free(&m->msg);
    if (rc == PST_ENOMEM && !too_large)
        return pst_fail_nomem(err, "a DNS answer");
    return pst_fail(err, PST_EINPUT, "the DNS answer is malformed near byte %zu of %zu", w.pos,
                    len);
}

/* ------------------------------------------------------------------ reading the message */

static const struct pst_dns_rr *find_rr(const struct pst_dns_msg *m, const char *owner,
                                        uint16_t type, size_t skip)
{
    for (size_t i = 0; i < m->answer_n; i++) {
        const struct pst_dns_rr *rr = &m->answer[i];

        if (rr->type == type && pst_streq(rr->owner, owner) && skip-- == 0)
            return rr;
    }
    return NULL;
}

static enum pst_dns_status rcode_status(uint16_t rcode, bool data)
{
    switch (rcode) {
    case LDNS_RCODE_NOERROR:
        return data ? PST_DNS_OK : PST_DNS_NODATA;
    case LDNS_RCODE_NXDOMAIN:
        return PST_DNS_NXDOMAIN;
    case LDNS_RCODE_SERVFAIL:
        return PST_DNS_SERVFAIL;
    case LDNS_RCODE_REFUSED:
    case LDNS_RCODE_NOTAUTH:
        return PST_DNS_REFUSED;
    default:
        return PST_DNS_BROKEN;
    }
}

void pst_dns_follow(const struct pst_dns_msg *m, struct pst_dns_view *ret)
{
    struct pst_dns_view v = {.end = m->qname};

    while (m->qtype != PST_DNS_CNAME) {
        const struct pst_dns_rr *cname = find_rr(m, v.end, PST_DNS_CNAME, 0);

        if (!cname)
            break;
        if (v.chain_n == PST_DNS_CHAIN_MAX) { /* a loop comes here as well */
            v.status = PST_DNS_BROKEN;
            *ret = v;
            return;
        }
        v.chain[v.chain_n++] = v.end = cname->target;
    }
    for (size_t i = 0; i < m->answer_n; i++)
        v.rr_n += m->answer[i].type == m->qtype && pst_streq(m->answer[i].owner, v.end);
    v.status = rcode_status(m->rcode, v.rr_n > 0);
    *ret = v;
}

const struct pst_dns_rr *pst_dns_view_rr(const struct pst_dns_msg *m, const struct pst_dns_view *v,
                                         size_t i)
{
    return find_rr(m, v->end, m->qtype, i);
}

bool pst_dns_rr_ip(const struct pst_dns_rr *rr, struct pst_dns_ip *ret)
{
    size_t len = rr->type == PST_DNS_A ? 4 : rr->type == PST_DNS_AAAA ? 16 : 0;

    if (len == 0 || rr->data_len != len)
        return false;
    *ret = (struct pst_dns_ip){.version = len == 4 ? 4 : 6};
    memcpy(ret->bytes, rr->data, len);
    return true;
}

bool pst_dns_rr_txt(const struct pst_dns_rr *rr, struct pst_buf *to)
{
    size_t at = 0;

    if (rr->type != PST_DNS_TXT)
        return false;
    while (at < rr->data_len) {
        size_t len = rr->data[at++];

        if (rr->data_len - at < len)
            return false;
        pst_buf_add(to, rr->data + at, len);
        at += len;
    }
    return true;
}

const char *pst_dns_status_name(enum pst_dns_status s)
{
    static const char *const names[] = {
        [PST_DNS_OK] = "NOERROR",        [PST_DNS_NODATA] = "NODATA",
        [PST_DNS_NXDOMAIN] = "NXDOMAIN", [PST_DNS_SERVFAIL] = "SERVFAIL",
        [PST_DNS_REFUSED] = "REFUSED",   [PST_DNS_TIMEOUT] = "TIMEOUT",
        [PST_DNS_BOGUS] = "BOGUS",       [PST_DNS_BROKEN] = "BROKEN",
    };

    return (size_t)s < PST_ARRAY_N(names) ? names[s] : "unknown";
}
