#include <endian.h>
#include <string.h>

#include <postern/replica_record.h>

enum { VERSION = 1, STEP_LEN = 40, UPSTREAM_FIXED = 6 };

static const char *const kind_names[PST_REPLICA_KIND__END] = {
    [PST_REPLICA_NAME] = "name",           [PST_REPLICA_APP] = "app",
    [PST_REPLICA_CERT] = "cert",           [PST_REPLICA_ISSUER] = "issuer",
    [PST_REPLICA_CHALLENGE] = "challenge", [PST_REPLICA_TICKET] = "ticket",
    [PST_REPLICA_META] = "meta",
};

const char *pst_replica_kind_name(int kind)
{
    return kind > 0 && kind < PST_REPLICA_KIND__END ? kind_names[kind] : NULL;
}

int pst_replica_kind_find(const char *name, size_t len)
{
    for (int i = 1; i < PST_REPLICA_KIND__END; i++) {
        if (strlen(kind_names[i]) == len && memcmp(kind_names[i], name, len) == 0)
            return i;
    }
    return 0;
}

/* ---- keys ---- */

static bool is_u64_kind(int kind)
{
    return kind == PST_REPLICA_CERT || kind == PST_REPLICA_ISSUER;
}

void pst_replica_key_from_u64(uint64_t id, struct pst_replica_key_bytes *ret)
{
    for (int i = 0; i < 8; i++)
        ret->data[i] = (unsigned char)(id >> (56 - 8 * i));
    ret->len = 8;
}

static bool parse_decimal(const char *s, size_t len, uint64_t *ret)
{
    uint64_t n = 0;

    if (len == 0 || len > 20 || (len > 1 && s[0] == '0'))
        return false;
    for (size_t i = 0; i < len; i++) {
        if (s[i] < '0' || s[i] > '9')
            return false;
        if (__builtin_mul_overflow(n, 10, &n) ||
            __builtin_add_overflow(n, (uint64_t)(s[i] - '0'), &n))
            return false;
    }
    *ret = n;
    return true;
}

static bool parse_hex16(const char *s, size_t len, uint64_t *ret)
{
    uint64_t n = 0;

    if (len != 16)
        return false;
    for (size_t i = 0; i < len; i++) {
        unsigned d;
        if (s[i] >= '0' && s[i] <= '9')
            d = (unsigned)(s[i] - '0');
        else if (s[i] >= 'a' && s[i] <= 'f')
            d = (unsigned)(s[i] - 'a') + 10;
        else
            return false;
        n = n << 4 | d;
    }
    *ret = n;
    return true;
}

int pst_replica_key_from_text(int kind, const char *text, size_t len,
                              struct pst_replica_key_bytes *ret)
{
    uint64_t id;

    if (!pst_replica_kind_name(kind))
        return PST_REPLICA_BADKEY;
    if (is_u64_kind(kind)) {
        if (!(kind == PST_REPLICA_CERT ? parse_decimal(text, len, &id)
                                       : parse_hex16(text, len, &id)))
            return PST_REPLICA_BADKEY;
        pst_replica_key_from_u64(id, ret);
        return PST_REPLICA_OK;
    }
    if (len == 0 || len > PST_REPLICA_KEY_MAX || memchr(text, '\0', len))
        return PST_REPLICA_BADKEY;
    memcpy(ret->data, text, len);
    ret->len = len;
    return PST_REPLICA_OK;
}

static void print_decimal(uint64_t n, char *to)
{
    char rev[20];
    size_t k = 0;

    do {
        rev[k++] = (char)('0' + n % 10);
        n /= 10;
    } while (n);
    while (k)
        *to++ = rev[--k];
    *to = '\0';
}

int pst_replica_key_to_text(int kind, const void *key, size_t len, char to[PST_REPLICA_KEY_MAX + 1])
{
    const unsigned char *b = key;

    if (!pst_replica_kind_name(kind) || len == 0 || len > PST_REPLICA_KEY_MAX)
        return PST_REPLICA_BADKEY;
    if (!is_u64_kind(kind)) {
        if (memchr(key, '\0', len))
            return PST_REPLICA_BADKEY;
        memcpy(to, key, len);
        to[len] = '\0';
        return PST_REPLICA_OK;
    }
    if (len != 8)
        return PST_REPLICA_BADKEY;
    uint64_t id = 0;
    for (int i = 0; i < 8; i++)
        id = id << 8 | b[i];
    if (kind == PST_REPLICA_CERT) {
        print_decimal(id, to);
    } else {
        for (int i = 0; i < 16; i++)
            to[i] = "0123456789abcdef"[id >> (60 - 4 * i) & 15];
        to[16] = '\0';
    }
    return PST_REPLICA_OK;
}

/* ---- checksum ---- */

/*
 * Words of eight bytes, each step a bijection of state and of word: a change confined to one word
 * is always seen, any other with 1 - 2^-64.  Made against damage, not against an attacker.
 */
static uint64_t mix(uint64_t h, uint64_t word)
{
    h = (h ^ word) * 0x9fb21c651e98df25u;
    return h ^ h >> 32;
}

uint64_t pst_replica_hash(uint64_t h, const void *data, size_t len)
{
    const unsigned char *p = data;
    uint64_t word;

    h = mix(h, len);
    for (; len >= 8; p += 8, len -= 8) {
        memcpy(&word, p, 8);
        h = mix(h, le64toh(word));
    }
    word = 0;
    for (size_t i = 0; i < len; i++)
        word |= (uint64_t)p[i] << (8 * i);
    return mix(h, word);
}

uint64_t pst_replica_checksum(const void *key, size_t key_len, const void *record, size_t len)
{
    const unsigned char *p = record;
    uint64_t h = pst_replica_hash(0x2545f4914f6cdd1du, key, key_len);

    if (len < PST_REPLICA_HEADER)
        return pst_replica_hash(h, p, len);
    h = pst_replica_hash(h, p, 16);
    return pst_replica_hash(h, p + PST_REPLICA_HEADER, len - PST_REPLICA_HEADER);
}

/* ---- encoding ---- */

/* Writing: once something did not fit, `bad` stays set and nothing more is written. */
struct writer {
    unsigned char *to;
    size_t cap;
    size_t len;
    bool bad;
};

/* Reading within [at, end): once something was missing, `bad` stays set and zeros come back. */
struct cursor {
    const unsigned char *at;
    const unsigned char *end;
    bool bad;
};

static void put_bytes(struct writer *w, const void *data, size_t len)
{
    if (w->bad || len > w->cap - w->len) {
        w->bad = true;
        return;
    }
    if (len)
        memcpy(w->to + w->len, data, len);
    w->len += len;
}

static void put_number(struct writer *w, uint64_t v, size_t bytes)
{
    unsigned char b[8];

    for (size_t i = 0; i < bytes; i++)
        b[i] = (unsigned char)(v >> (8 * i));
    put_bytes(w, b, bytes);
}

/* The length of a text that must fit; sets `bad` otherwise. */
static size_t text_len(struct writer *w, const char *s, size_t max)
{
    size_t len = strnlen(s, max + 1);

    if (len > max) {
        w->bad = true;
        return 0;
    }
    return len;
}

static void limit(struct writer *w, size_t n, size_t max)
{
    if (n > max)
        w->bad = true;
}

static struct writer begin(const struct pst_replica_out *o, int kind)
{
    struct writer w = {.to = o->to, .cap = o->cap};

    if (w.cap > PST_REPLICA_RECORD_MAX)
        w.cap = PST_REPLICA_RECORD_MAX;
    put_number(&w, PST_REPLICA_HEADER, 2);
    put_number(&w, VERSION, 1);
    put_number(&w, (uint64_t)kind, 1);
    put_number(&w, 0, 4); /* length and checksum come last */
    put_number(&w, o->generation, 8);
    put_number(&w, 0, 8);
    return w;
}

static int finish(const struct pst_replica_out *o, struct writer *w, size_t *ret_len)
{
    if (o->key->len == 0 || o->key->len > PST_REPLICA_KEY_MAX)
        return PST_REPLICA_BADKEY;
    if (w->bad)
        return PST_REPLICA_TOOBIG;

    size_t len = w->len;
    struct writer at_len = {.to = w->to + 4, .cap = 4};
    put_number(&at_len, len, 4);
    struct writer at_sum = {.to = w->to + 16, .cap = 8};
    put_number(&at_sum, pst_replica_checksum(o->key->data, o->key->len, w->to, len), 8);
    *ret_len = len;
    return PST_REPLICA_OK;
}

static void put_steps(struct writer *w, const struct pst_replica_step *steps, unsigned n)
{
    for (unsigned i = 0; i < n && !w->bad; i++) {
        put_number(w, steps[i].cert, 8);
        put_number(w, (uint64_t)steps[i].not_before, 8);
        put_number(w, (uint64_t)steps[i].not_after, 8);
        put_number(w, steps[i].cert2, 8);
        put_number(w, steps[i].key, 1);
        put_number(w, steps[i].key2, 1);
        put_number(w, 0, 6);
    }
}

/* fixed: u16 fixed, u8 flags, u8 app, u8 canonical, u8 steps, u16 step; then app, canonical,
 * steps. */
int pst_replica_name_encode(const struct pst_replica_out *o, const struct pst_replica_name *v,
                            size_t *ret_len)
{
    struct writer w = begin(o, PST_REPLICA_NAME);
    size_t app = text_len(&w, v->app, PST_REPLICA_ID_MAX);
    size_t canonical = text_len(&w, v->canonical, PST_REPLICA_NAME_MAX);

    limit(&w, v->step_n, PST_REPLICA_STEPS);
    put_number(&w, 8, 2);
    put_number(&w, (v->acme ? 1u : 0u) | (v->force_https ? 2u : 0u), 1);
    put_number(&w, app, 1);
    put_number(&w, canonical, 1);
    put_number(&w, v->step_n, 1);
    put_number(&w, STEP_LEN, 2);
    put_bytes(&w, v->app, app);
    put_bytes(&w, v->canonical, canonical);
    put_steps(&w, v->steps, v->step_n);
    return finish(o, &w, ret_len);
}

/* fixed: u16 fixed, u8 name, u8 pad, u16 upstreams; then name, and per upstream u16 length of the
 * entry (these two bytes included), u16 weight, u8 id, u8 address, id, address, u8 flags (absent in
 * older records). */
int pst_replica_app_encode(const struct pst_replica_out *o, const struct pst_replica_app *v,
                           size_t *ret_len)
{
    struct writer w = begin(o, PST_REPLICA_APP);
    size_t name = text_len(&w, v->name, PST_REPLICA_TEXT_MAX);

    limit(&w, v->upstream_n, PST_REPLICA_UPSTREAMS);
    put_number(&w, 6, 2);
    put_number(&w, name, 1);
    put_number(&w, 0, 1);
    put_number(&w, v->upstream_n, 2);
    put_bytes(&w, v->name, name);
    for (unsigned i = 0; i < v->upstream_n && !w.bad; i++) {
        const struct pst_replica_upstream *u = &v->upstreams[i];
        size_t id = text_len(&w, u->id, PST_REPLICA_ID_MAX);
        size_t address = text_len(&w, u->address, PST_REPLICA_ADDRESS_MAX);
        put_number(&w, UPSTREAM_FIXED + id + address + 1, 2);
        put_number(&w, u->weight, 2);
        put_number(&w, id, 1);
        put_number(&w, address, 1);
        put_bytes(&w, u->id, id);
        put_bytes(&w, u->address, address);
        put_number(&w, u->drain ? 1u : 0u, 1);
    }
    return finish(o, &w, ret_len);
}

/* fixed: u16 fixed, u8 key, u8 issuers, u32 leaf, i64 not_before, i64 not_after, u32 sealed;
 * then issuers (u64 each), sealed, leaf. */
int pst_replica_cert_encode(const struct pst_replica_out *o, const struct pst_replica_cert *v,
                            size_t *ret_len)
{
    struct writer w = begin(o, PST_REPLICA_CERT);

    limit(&w, v->issuer_n, PST_REPLICA_ISSUERS);
    limit(&w, v->leaf_len, PST_REPLICA_LEAF_MAX);
    limit(&w, v->sealed_len, PST_REPLICA_SEALED_MAX);
    put_number(&w, 28, 2);
    put_number(&w, v->key, 1);
    put_number(&w, v->issuer_n, 1);
    put_number(&w, v->leaf_len, 4);
    put_number(&w, (uint64_t)v->not_before, 8);
    put_number(&w, (uint64_t)v->not_after, 8);
    put_number(&w, v->sealed_len, 4);
    for (unsigned i = 0; i < v->issuer_n && !w.bad; i++)
        put_number(&w, v->issuers[i], 8);
    put_bytes(&w, v->sealed, v->sealed_len);
    put_bytes(&w, v->leaf, v->leaf_len);
    return finish(o, &w, ret_len);
}

/* fixed: u16 fixed, u16 pad, u32 der; then der. */
int pst_replica_issuer_encode(const struct pst_replica_out *o, const struct pst_replica_issuer *v,
                              size_t *ret_len)
{
    struct writer w = begin(o, PST_REPLICA_ISSUER);

    limit(&w, v->der_len, PST_REPLICA_LEAF_MAX);
    put_number(&w, 8, 2);
    put_number(&w, 0, 2);
    put_number(&w, v->der_len, 4);
    put_bytes(&w, v->der, v->der_len);
    return finish(o, &w, ret_len);
}

/* fixed: u16 fixed, u16 name, u16 answer, u16 pad, i64 until; then name, answer. */
int pst_replica_challenge_encode(const struct pst_replica_out *o,
                                 const struct pst_replica_challenge *v, size_t *ret_len)
{
    struct writer w = begin(o, PST_REPLICA_CHALLENGE);
    size_t name = text_len(&w, v->name, PST_REPLICA_NAME_MAX);
    size_t answer = text_len(&w, v->answer, PST_REPLICA_ANSWER_MAX);

    put_number(&w, 16, 2);
    put_number(&w, name, 2);
    put_number(&w, answer, 2);
    put_number(&w, 0, 2);
    put_number(&w, (uint64_t)v->until, 8);
    put_bytes(&w, v->name, name);
    put_bytes(&w, v->answer, answer);
    return finish(o, &w, ret_len);
}

/* fixed: u16 fixed, u16 sealed, u32 pad, i64 not_before, i64 not_after; then sealed. */
int pst_replica_ticket_encode(const struct pst_replica_out *o, const struct pst_replica_ticket *v,
                              size_t *ret_len)
{
    struct writer w = begin(o, PST_REPLICA_TICKET);

    limit(&w, v->sealed_len, PST_REPLICA_SEALED_MAX);
    put_number(&w, 24, 2);
    put_number(&w, v->sealed_len, 2);
    put_number(&w, 0, 4);
    put_number(&w, (uint64_t)v->not_before, 8);
    put_number(&w, (uint64_t)v->not_after, 8);
    put_bytes(&w, v->sealed, v->sealed_len);
    return finish(o, &w, ret_len);
}

/* fixed: u16 fixed, u8 steps, u8 pad, u16 step; then steps. */
int pst_replica_default_encode(const struct pst_replica_out *o, const struct pst_replica_default *v,
                               size_t *ret_len)
{
    struct writer w = begin(o, PST_REPLICA_META);

    limit(&w, v->step_n, PST_REPLICA_STEPS);
    put_number(&w, 6, 2);
    put_number(&w, v->step_n, 1);
    put_number(&w, 0, 1);
    put_number(&w, STEP_LEN, 2);
    put_steps(&w, v->steps, v->step_n);
    return finish(o, &w, ret_len);
}

/* fixed: u16 fixed, u16 length; then the bytes.  Probe and thumbprint. */
static int blob_encode(const struct pst_replica_out *o, const void *data, size_t len, size_t max,
                       size_t *ret_len)
{
    struct writer w = begin(o, PST_REPLICA_META);

    limit(&w, len, max);
    put_number(&w, 4, 2);
    put_number(&w, len, 2);
    put_bytes(&w, data, len);
    return finish(o, &w, ret_len);
}

int pst_replica_probe_encode(const struct pst_replica_out *o, const struct pst_replica_probe *v,
                             size_t *ret_len)
{
    return blob_encode(o, v->sealed, v->sealed_len, PST_REPLICA_SEALED_MAX, ret_len);
}

int pst_replica_text_encode(const struct pst_replica_out *o, const struct pst_replica_text *v,
                            size_t *ret_len)
{
    return blob_encode(o, v->value, strnlen(v->value, sizeof v->value), PST_REPLICA_TEXT_MAX,
                       ret_len);
}

/* fixed: u16 fixed, u8 flags, u8 epoch, u8 rev_id, 3 pad, u64 rev, i64 committed_at; then epoch,
 * rev_id. */
int pst_replica_state_encode(const struct pst_replica_out *o, const struct pst_replica_state *v,
                             size_t *ret_len)
{
    struct writer w = begin(o, PST_REPLICA_META);
    size_t epoch = text_len(&w, v->epoch, PST_REPLICA_TEXT_MAX);
    size_t rev_id = text_len(&w, v->rev_id, PST_REPLICA_TEXT_MAX);

    put_number(&w, 24, 2);
    put_number(&w, v->superseded ? 1 : 0, 1);
    put_number(&w, epoch, 1);
    put_number(&w, rev_id, 1);
    put_number(&w, 0, 3);
    put_number(&w, v->rev, 8);
    put_number(&w, (uint64_t)v->committed_at, 8);
    put_bytes(&w, v->epoch, epoch);
    put_bytes(&w, v->rev_id, rev_id);
    return finish(o, &w, ret_len);
}

/* ---- decoding ---- */

static const unsigned char *get_bytes(struct cursor *c, size_t len)
{
    if (c->bad || len > (size_t)(c->end - c->at)) {
        c->bad = true;
        return NULL;
    }
    const unsigned char *p = c->at;
    c->at += len;
    return p;
}

static uint64_t get_number(struct cursor *c, size_t bytes)
{
    const unsigned char *p = get_bytes(c, bytes);
    uint64_t v = 0;

    for (size_t i = 0; p && i < bytes; i++)
        v |= (uint64_t)p[i] << (8 * i);
    return v;
}

/* A text without NUL, into an array of `size`. */
static void get_text(struct cursor *c, size_t len, char *to, size_t size)
{
    const unsigned char *p = get_bytes(c, len);

    if (!p || len >= size || memchr(p, '\0', len)) {
        c->bad = true;
        return;
    }
    memcpy(to, p, len);
    to[len] = '\0';
}

struct body {
    struct cursor fixed; /* the fixed part after its own length */
    struct cursor rest;  /* what follows it */
};

static uint64_t number_at(const unsigned char *p, size_t bytes)
{
    struct cursor c = {.at = p, .end = p + bytes};

    return get_number(&c, bytes);
}

int pst_replica_check(const struct pst_replica_in *in, int kind)
{
    if (in->len < PST_REPLICA_HEADER || in->len > PST_REPLICA_RECORD_MAX || in->key_len == 0 ||
        in->key_len > PST_REPLICA_KEY_MAX)
        return PST_REPLICA_DAMAGED;
    size_t header = number_at(in->data, 2);
    if (header < PST_REPLICA_HEADER || header > in->len || in->data[2] < VERSION ||
        in->data[3] != kind || number_at(in->data + 4, 4) != in->len)
        return PST_REPLICA_DAMAGED;
    if (number_at(in->data + 16, 8) !=
        pst_replica_checksum(in->key, in->key_len, in->data, in->len))
        return PST_REPLICA_DAMAGED;
    return PST_REPLICA_OK;
}

uint64_t pst_replica_generation(const struct pst_replica_in *in)
{
    return number_at(in->data + 8, 8);
}

/* The checked record as its two parts, and its generation. */
static int open_body(const struct pst_replica_in *in, int kind, struct body *ret,
                     uint64_t *ret_generation)
{
    int rc = pst_replica_check(in, kind);
    if (rc != PST_REPLICA_OK)
        return rc;

    struct cursor all = {.at = in->data + number_at(in->data, 2), .end = in->data + in->len};
    const unsigned char *start = all.at;
    size_t fixed = get_number(&all, 2);
    if (all.bad || fixed < 2 || fixed > (size_t)(all.end - start))
        return PST_REPLICA_DAMAGED;
    ret->fixed = (struct cursor){.at = all.at, .end = start + fixed};
    ret->rest = (struct cursor){.at = start + fixed, .end = all.end};
    if (ret_generation)
        *ret_generation = number_at(in->data + 8, 8);
    return PST_REPLICA_OK;
}

static int result(const struct body *b)
{
    return b->fixed.bad || b->rest.bad ? PST_REPLICA_DAMAGED : PST_REPLICA_OK;
}

/* Known steps only: more than we can hold are skipped, being the last choices. */
static unsigned get_steps(struct cursor *c, unsigned n, size_t step_len,
                          struct pst_replica_step *to)
{
    unsigned kept = 0;

    if (n && step_len < STEP_LEN)
        c->bad = true;
    for (unsigned i = 0; i < n && !c->bad; i++) {
        const unsigned char *p = get_bytes(c, step_len);
        if (!p || kept == PST_REPLICA_STEPS)
            continue;
        struct cursor s = {.at = p, .end = p + step_len};
        to[kept].cert = get_number(&s, 8);
        to[kept].not_before = (int64_t)get_number(&s, 8);
        to[kept].not_after = (int64_t)get_number(&s, 8);
        to[kept].cert2 = get_number(&s, 8);
        to[kept].key = (uint8_t)get_number(&s, 1);
        to[kept].key2 = (uint8_t)get_number(&s, 1);
        kept++;
    }
    return c->bad ? 0 : kept;
}

int pst_replica_name_decode(const struct pst_replica_in *in, struct pst_replica_name *ret)
{
    struct body b;
    int rc = open_body(in, PST_REPLICA_NAME, &b, &ret->generation);
    if (rc != PST_REPLICA_OK)
        return rc;

    unsigned flags = (unsigned)get_number(&b.fixed, 1);
    size_t app = get_number(&b.fixed, 1);
    size_t canonical = get_number(&b.fixed, 1);
    unsigned steps = (unsigned)get_number(&b.fixed, 1);
    size_t step_len = get_number(&b.fixed, 2);
    ret->acme = flags & 1;
    ret->force_https = flags & 2;
    get_text(&b.rest, app, ret->app, sizeof ret->app);
    get_text(&b.rest, canonical, ret->canonical, sizeof ret->canonical);
    ret->step_n = get_steps(&b.rest, steps, step_len, ret->steps);
    return result(&b);
}

int pst_replica_app_decode(const struct pst_replica_in *in, struct pst_replica_app *ret)
{
    struct body b;
    int rc = open_body(in, PST_REPLICA_APP, &b, &ret->generation);
    if (rc != PST_REPLICA_OK)
        return rc;

    size_t name = get_number(&b.fixed, 1);
    (void)get_number(&b.fixed, 1);
    unsigned n = (unsigned)get_number(&b.fixed, 2);
    get_text(&b.rest, name, ret->name, sizeof ret->name);
    if (n > PST_REPLICA_UPSTREAMS)
        return PST_REPLICA_DAMAGED;
    for (unsigned i = 0; i < n && !b.rest.bad; i++) {
        size_t len = get_number(&b.rest, 2);
        if (len < UPSTREAM_FIXED)
            return PST_REPLICA_DAMAGED;
        const unsigned char *p = get_bytes(&b.rest, len - 2);
        if (!p)
            break;
        struct cursor u = {.at = p, .end = p + len - 2};
        ret->upstreams[i].weight = (uint16_t)get_number(&u, 2);
        size_t id = get_number(&u, 1);
        size_t address = get_number(&u, 1);
        get_text(&u, id, ret->upstreams[i].id, sizeof ret->upstreams[i].id);
        get_text(&u, address, ret->upstreams[i].address, sizeof ret->upstreams[i].address);
        ret->upstreams[i].drain = !u.bad && u.at < u.end && (get_number(&u, 1) & 1);
        b.rest.bad = u.bad;
    }
    ret->upstream_n = n;
    return result(&b);
}

int pst_replica_cert_decode(const struct pst_replica_in *in, struct pst_replica_cert *ret)
{
    struct body b;
    int rc = open_body(in, PST_REPLICA_CERT, &b, &ret->generation);
    if (rc != PST_REPLICA_OK)
        return rc;

    ret->key = (uint8_t)get_number(&b.fixed, 1);
    ret->issuer_n = (unsigned)get_number(&b.fixed, 1);
    ret->leaf_len = get_number(&b.fixed, 4);
    ret->not_before = (int64_t)get_number(&b.fixed, 8);
    ret->not_after = (int64_t)get_number(&b.fixed, 8);
    ret->sealed_len = get_number(&b.fixed, 4);
    if (ret->issuer_n > PST_REPLICA_ISSUERS)
        return PST_REPLICA_DAMAGED;
    for (unsigned i = 0; i < ret->issuer_n; i++)
        ret->issuers[i] = get_number(&b.rest, 8);
    ret->sealed = get_bytes(&b.rest, ret->sealed_len);
    ret->leaf = get_bytes(&b.rest, ret->leaf_len);
    return result(&b);
}

int pst_replica_issuer_decode(const struct pst_replica_in *in, struct pst_replica_issuer *ret)
{
    struct body b;
    int rc = open_body(in, PST_REPLICA_ISSUER, &b, &ret->generation);
    if (rc != PST_REPLICA_OK)
        return rc;

    (void)get_number(&b.fixed, 2);
    ret->der_len = get_number(&b.fixed, 4);
    ret->der = get_bytes(&b.rest, ret->der_len);
    return result(&b);
}

int pst_replica_challenge_decode(const struct pst_replica_in *in, struct pst_replica_challenge *ret)
{
    struct body b;
    int rc = open_body(in, PST_REPLICA_CHALLENGE, &b, &ret->generation);
    if (rc != PST_REPLICA_OK)
        return rc;

    size_t name = get_number(&b.fixed, 2);
    size_t answer = get_number(&b.fixed, 2);
    (void)get_number(&b.fixed, 2);
    ret->until = (int64_t)get_number(&b.fixed, 8);
    get_text(&b.rest, name, ret->name, sizeof ret->name);
    get_text(&b.rest, answer, ret->answer, sizeof ret->answer);
    return result(&b);
}

int pst_replica_ticket_decode(const struct pst_replica_in *in, struct pst_replica_ticket *ret)
{
    struct body b;
    int rc = open_body(in, PST_REPLICA_TICKET, &b, &ret->generation);
    if (rc != PST_REPLICA_OK)
        return rc;

    ret->sealed_len = get_number(&b.fixed, 2);
    (void)get_number(&b.fixed, 4);
    ret->not_before = (int64_t)get_number(&b.fixed, 8);
    ret->not_after = (int64_t)get_number(&b.fixed, 8);
    ret->sealed = get_bytes(&b.rest, ret->sealed_len);
    return result(&b);
}

int pst_replica_default_decode(const struct pst_replica_in *in, struct pst_replica_default *ret)
{
    struct body b;
    int rc = open_body(in, PST_REPLICA_META, &b, &ret->generation);
    if (rc != PST_REPLICA_OK)
        return rc;

    unsigned n = (unsigned)get_number(&b.fixed, 1);
    (void)get_number(&b.fixed, 1);
    size_t step_len = get_number(&b.fixed, 2);
    ret->step_n = get_steps(&b.rest, n, step_len, ret->steps);
    return result(&b);
}

int pst_replica_probe_decode(const struct pst_replica_in *in, struct pst_replica_probe *ret)
{
    struct body b;
    int rc = open_body(in, PST_REPLICA_META, &b, &ret->generation);
    if (rc != PST_REPLICA_OK)
        return rc;

    ret->sealed_len = get_number(&b.fixed, 2);
    ret->sealed = get_bytes(&b.rest, ret->sealed_len);
    return result(&b);
}

int pst_replica_text_decode(const struct pst_replica_in *in, struct pst_replica_text *ret)
{
    struct body b;
    int rc = open_body(in, PST_REPLICA_META, &b, &ret->generation);
    if (rc != PST_REPLICA_OK)
        return rc;

    size_t len = get_number(&b.fixed, 2);
    get_text(&b.rest, len, ret->value, sizeof ret->value);
    return result(&b);
}

int pst_replica_state_decode(const struct pst_replica_in *in, struct pst_replica_state *ret)
{
    struct body b;
    int rc = open_body(in, PST_REPLICA_META, &b, NULL);
    if (rc != PST_REPLICA_OK)
        return rc;

    unsigned flags = (unsigned)get_number(&b.fixed, 1);
    size_t epoch = get_number(&b.fixed, 1);
    size_t rev_id = get_number(&b.fixed, 1);
    (void)get_number(&b.fixed, 3);
    ret->rev = get_number(&b.fixed, 8);
    ret->committed_at = (int64_t)get_number(&b.fixed, 8);
    ret->superseded = flags & 1;
    get_text(&b.rest, epoch, ret->epoch, sizeof ret->epoch);
    get_text(&b.rest, rev_id, ret->rev_id, sizeof ret->rev_id);
    return result(&b);
}
