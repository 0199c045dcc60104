/*
 * rate.c - how many answers a network may get by UDP, so that forged questions cannot make us flood
 * somebody.
 *
 * Each network has a place in each of two rows of buckets, chosen by two keyed hashes.  It is over
 * its limit only when both buckets are empty, so that networks which share one do not suffer from
 * each other, and there is no entry that could be pushed out.  A bucket is one number: the time at
 * which it will be full again (GCRA).
 */
#include <netinet/in.h>
#include <string.h>

#include "dnsd_internal.h"

enum { ROWS = 2, BUCKETS = 1 << 15, SECOND_US = 1000000 };

struct pst_dns_rate {
    int64_t cost_us; /* of one answer; 0: no limit */
    int64_t slip;
    uint64_t keys[ROWS][2];
    _Atomic uint64_t over; /* questions over the limit */
    _Atomic int64_t full_at_us[ROWS][BUCKETS];
};

int pst_dns_rate_new(struct pst_dns_rate **ret, int64_t limit, int64_t slip, struct pst_rand *rand,
                     struct pst_err *err)
{
    struct pst_dns_rate *r = pst_zalloc(1, sizeof *r);

    if (!r)
        return pst_fail_nomem(err, "the limit of DNS answers");
    r->cost_us = limit > 0 ? SECOND_US / limit : 0;
    r->slip = slip;
    pst_rand_fill(rand, r->keys, sizeof r->keys);
    *ret = r;
    return PST_OK;
}

void pst_dns_rate_free(struct pst_dns_rate *r)
{
    pst_free(r);
}

uint64_t pst_dns_network(const struct sockaddr *from)
{
    uint64_t n = 0;

    if (from->sa_family == AF_INET) {
        const struct sockaddr_in *in = (const struct sockaddr_in *)from;
        n = ntohl(in->sin_addr.s_addr) >> 8;
    } else if (from->sa_family == AF_INET6) {
        const struct sockaddr_in6 *in6 = (const struct sockaddr_in6 *)from;
        for (int i = 0; i < 7; i++)
            n = n << 8 | in6->sin6_addr.s6_addr[i];
        n |= UINT64_C(1) << 63; /* apart from every IPv4 network */
    }
    return n;
}

static size_t bucket_of(const uint64_t key[2], uint64_t network)
{
    uint64_t h = (network ^ key[0]) * (key[1] | 1);

    h = (h ^ h >> 29) * UINT64_C(0xbf58476d1ce4e5b9);
    return (size_t)(h >> 32) & (BUCKETS - 1);
}

/* Not atomic as a whole: threads that meet here let an answer too many pass. */
static void charge(_Atomic int64_t *bucket, int64_t cost_us, int64_t now_us)
{
    int64_t at = atomic_load_explicit(bucket, memory_order_relaxed);
    int64_t from = at > now_us ? at : now_us;

    if (from + cost_us <= now_us + SECOND_US)
        atomic_store_explicit(bucket, from + cost_us, memory_order_relaxed);
}

enum pst_dns_rate_verdict pst_dns_rate_judge(struct pst_dns_rate *r, const struct sockaddr *from,
                                             int64_t now_ms)
{
    if (r->cost_us == 0)
        return PST_DNS_RATE_PASS;
    uint64_t network = pst_dns_network(from);
    int64_t now_us = now_ms * 1000;
    _Atomic int64_t *buckets[ROWS];
    bool room = false;

    for (size_t i = 0; i < ROWS; i++) {
        buckets[i] = &r->full_at_us[i][bucket_of(r->keys[i], network)];
        int64_t at = atomic_load_explicit(buckets[i], memory_order_relaxed);
        room = room || at + r->cost_us <= now_us + SECOND_US;
    }
    if (!room) {
        uint64_t n = atomic_fetch_add_explicit(&r->over, 1, memory_order_relaxed);
        return r->slip > 0 && n % (uint64_t)r->slip == 0 ? PST_DNS_RATE_SLIP : PST_DNS_RATE_DROP;
    }
    for (size_t i = 0; i < ROWS; i++)
        charge(buckets[i], r->cost_us, now_us);
    return PST_DNS_RATE_PASS;
}
