/*
 * values.c - which label has which values: a hash table that is filled once and then only read.
 * The records stand in it as they are sent.
 */
#include <string.h>

#include <postern/answers.h>

#include "dnsd_internal.h"

enum {
    CLASS_IN = 1,
    OWNER = 0xc00c,         /* a pointer to the name in the question */
    TXT_MAX = 12 + 1 + 255, /* a record with one string */
    SLOTS_FIRST = 64,
};

struct entry {
    uint32_t hash;
    uint8_t len;
    char label[PST_DNS_LABEL_SIZE];
    uint16_t n;
    size_t at, end; /* its records in `records` */
};

struct pst_dns_values {
    uint32_t serial, ttl_s, seed;
    size_t total;
    struct entry *entries;
    size_t n, cap;
    uint32_t *slots; /* number of the entry + 1, or 0; at most half of them are taken */
    size_t slots_n;  /* a power of two */
    struct pst_buf records;
};

/* FNV-1a, with a seed so that nobody outside knows who meets whom. */
static uint32_t hash_label(uint32_t seed, const void *label, size_t len)
{
    const uint8_t *p = label;
    uint32_t h = 2166136261u ^ seed;

    for (size_t i = 0; i < len; i++)
        h = (h ^ p[i]) * 16777619u;
    return h ^ h >> 15;
}

int pst_dns_values_new(struct pst_dns_values **ret, const struct pst_dns_zone *zone,
                       uint32_t serial, struct pst_rand *rand, struct pst_err *err)
{
    auto_(pst_dns_values_free) struct pst_dns_values *v = pst_zalloc(1, sizeof *v);

    if (!v)
        return pst_fail_nomem(err, "the DNS answers");
    v->serial = serial;
    v->ttl_s = zone->ttl_s;
    v->records = (struct pst_buf)PST_BUF((size_t)PST_DNS_TABLE_MAX * TXT_MAX);
    pst_rand_fill(rand, &v->seed, sizeof v->seed);
    v->slots_n = SLOTS_FIRST;
    v->slots = pst_zalloc(v->slots_n, sizeof *v->slots);
    if (!v->slots)
        return pst_fail_nomem(err, "the DNS answers");
    *ret = pst_take(&v);
    return PST_OK;
}

void pst_dns_values_free(struct pst_dns_values *v)
{
    if (!v)
        return;
    pst_buf_deinit(&v->records);
    pst_free(v->entries);
    pst_free(v->slots);
    pst_free(v);
}

static void enter(struct pst_dns_values *v, size_t number)
{
    size_t at = v->entries[number].hash & (v->slots_n - 1);

    while (v->slots[at])
        at = (at + 1) & (v->slots_n - 1);
    v->slots[at] = (uint32_t)number + 1;
}

/* Room for one more entry, at most half of the slots taken. */
static bool grow(struct pst_dns_values *v)
{
    if (v->n == v->cap) {
        size_t cap = v->cap ? v->cap * 2 : SLOTS_FIRST / 2;
        struct entry *entries = pst_realloc(v->entries, cap * sizeof *entries);
        if (!entries)
            return false;
        v->entries = entries;
        v->cap = cap;
    }
    if ((v->n + 1) * 2 > v->slots_n) {
        uint32_t *slots = pst_zalloc(v->slots_n * 2, sizeof *slots);
        if (!slots)
            return false;
        pst_free(v->slots);
        v->slots = slots;
        v->slots_n *= 2;
        for (size_t i = 0; i < v->n; i++)
            enter(v, i);
    }
    return true;
}

static struct entry *last_or_new(struct pst_dns_values *v, const char *label, struct pst_err *err)
{
    size_t len = strlen(label);

    if (v->n > 0 && pst_streq(v->entries[v->n - 1].label, label))
        return &v->entries[v->n - 1];
    if (!grow(v)) {
        pst_fail_nomem(err, "the DNS answers");
        return NULL;
    }
    struct entry *e = &v->entries[v->n];
    *e = (struct entry){.hash = hash_label(v->seed, label, len), .at = v->records.len};
    if (len == 0 || !pst_str_copy(e->label, sizeof e->label, label)) {
        pst_fail(err, PST_EINPUT, "\"%.80s\" is not a DNS label", label);
        return NULL;
    }
    e->len = (uint8_t)len;
    e->end = e->at;
    enter(v, v->n++);
    return e;
}

int pst_dns_values_add(struct pst_dns_values *v, const char *label, const char *value,
                       struct pst_err *err)
{
    size_t len = strlen(value);
    uint8_t record[TXT_MAX];

    if (len > 255)
        return pst_fail(err, PST_EINPUT, "a TXT value of %zu bytes is too long", len);
    if (v->total == PST_DNS_TABLE_MAX)
        return pst_fail(err, PST_CONFLICT, "more than %d values are not served", PST_DNS_TABLE_MAX);
    struct entry *e = last_or_new(v, label, err);
    if (!e)
        return err ? err->rc : PST_EINTERNAL;
    if (e->n == PST_DNS_VALUES_MAX)
        return pst_fail(err, PST_CONFLICT, "more than %d values of %s are not served",
                        PST_DNS_VALUES_MAX, label);
    uint8_t *p = pst_dns_put16(record, OWNER);
    p = pst_dns_put16(p, PST_DNS_TXT);
    p = pst_dns_put16(p, CLASS_IN);
    p = pst_dns_put32(p, v->ttl_s);
    p = pst_dns_put16(p, (uint16_t)(len + 1));
    *p++ = (uint8_t)len;
    memcpy(p, value, len);
    pst_buf_add(&v->records, record, (size_t)(p - record) + len);
    int rc = pst_buf_check(&v->records, "the DNS answers", err);
    if (rc != PST_OK)
        return rc;
    e->end = v->records.len;
    e->n++;
    v->total++;
    return PST_OK;
}

bool pst_dns_values_find(const struct pst_dns_values *v, const uint8_t *label, size_t len,
                         struct pst_dns_txt *ret)
{
    uint32_t hash = hash_label(v->seed, label, len);

    for (size_t at = hash & (v->slots_n - 1); v->slots[at]; at = (at + 1) & (v->slots_n - 1)) {
        const struct entry *e = &v->entries[v->slots[at] - 1];

        if (e->hash == hash && e->len == len && memcmp(e->label, label, len) == 0) {
            *ret = (struct pst_dns_txt){(const uint8_t *)v->records.data + e->at, e->end - e->at,
                                        e->n};
            return e->n > 0;
        }
    }
    return false;
}

uint32_t pst_dns_values_serial(const struct pst_dns_values *v)
{
    return v->serial;
}
