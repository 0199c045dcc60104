#include "limiter.h"

#include <arpa/inet.h>
#include <pthread.h>
#include <string.h>

#include <postern/base.h>

enum { SETS = 1024, WAYS = 8, BURST = 10, COST_MS = 6000 };

struct place {
    unsigned char address[16]; /* all zero: free */
    int64_t clear_at_ms;       /* when all its failures are forgotten */
};

struct pst_limiter {
    pthread_mutex_t lock;
    uint64_t seed; /* so that nobody can choose addresses that fall into one set */
    struct place sets[SETS][WAYS];
};

int pst_limiter_new(struct pst_limiter **ret, struct pst_rand *rand, struct pst_err *err)
{
    struct pst_limiter *l = pst_zalloc(1, sizeof *l);

    if (!l)
        return pst_fail_nomem(err, "the table of failed logins");
    if (pthread_mutex_init(&l->lock, NULL) != 0) {
        pst_free(l);
        return pst_fail(err, PST_ESYS, "cannot make a lock");
    }
    pst_rand_fill(rand, &l->seed, sizeof l->seed);
    *ret = l;
    return PST_OK;
}

void pst_limiter_free(struct pst_limiter *l)
{
    if (!l)
        return;
    pthread_mutex_destroy(&l->lock);
    pst_free(l);
}

/* 16 bytes that stand for the address; texts that are none ("unix") get their own. */
static void key_of(const char *address, unsigned char to[16])
{
    struct in_addr v4;

    memset(to, 0, 16);
    if (inet_pton(AF_INET, address, &v4) == 1) {
        memset(to + 10, 0xff, 2);
        memcpy(to + 12, &v4, 4);
    } else if (inet_pton(AF_INET6, address, to) == 1) {
        static const unsigned char mapped[12] = {[10] = 0xff, [11] = 0xff};
        if (memcmp(to, mapped, sizeof mapped) != 0)
            memset(to + 8, 0, 8);
        to[15] |= memcmp(to, mapped, sizeof mapped) != 0; /* never all zero */
    } else {
        to[0] = 0xff;
        for (size_t i = 0; address[i]; i++)
            to[1 + i % 15] = (unsigned char)(to[1 + i % 15] * 31 + address[i]);
    }
}

static struct place *set_of(struct pst_limiter *l, const unsigned char key[16])
{
    uint64_t h = l->seed ^ 0x9e3779b97f4a7c15U;

    for (int i = 0; i < 16; i++) {
        h = (h ^ key[i]) * 0x100000001b3U;
        h ^= h >> 29;
    }
    return l->sets[h % SETS];
}

int64_t pst_limiter_wait_s(struct pst_limiter *l, const char *address, int64_t now_ms)
{
    unsigned char key[16];
    int64_t over_ms = 0;

    key_of(address, key);
    struct place *set = set_of(l, key);
    pthread_mutex_lock(&l->lock);
    for (int i = 0; i < WAYS; i++)
        if (memcmp(set[i].address, key, sizeof key) == 0)
            over_ms = set[i].clear_at_ms - now_ms - (int64_t)(BURST - 1) * COST_MS;
    pthread_mutex_unlock(&l->lock);
    return over_ms > 0 ? (over_ms + 999) / 1000 : 0;
}

void pst_limiter_failed(struct pst_limiter *l, const char *address, int64_t now_ms)
{
    unsigned char key[16];

    key_of(address, key);
    struct place *set = set_of(l, key);
    struct place *at = &set[0];
    pthread_mutex_lock(&l->lock);
    for (int i = 0; i < WAYS; i++) {
        if (memcmp(set[i].address, key, sizeof key) == 0) {
            at = &set[i];
            break;
        }
        if (set[i].clear_at_ms < at->clear_at_ms)
            at = &set[i];
    }
    if (memcmp(at->address, key, sizeof key) != 0) {
        memcpy(at->address, key, sizeof key);
        at->clear_at_ms = now_ms;
    }
    if (at->clear_at_ms < now_ms)
        at->clear_at_ms = now_ms;
    at->clear_at_ms += COST_MS;
    /* Never further than one full burst away: a flood must not lock an address out for hours. */
    int64_t most = now_ms + (int64_t)BURST * COST_MS;
    if (at->clear_at_ms > most)
        at->clear_at_ms = most;
    pthread_mutex_unlock(&l->lock);
}
