/* rand.c - getrandom(2), and a generator with a seed for tests. */
#include <errno.h>
#include <string.h>
#include <sys/random.h>

#include <postern/err.h>
#include <postern/rand.h>
#include <postern/text.h>

static void system_fill(struct pst_rand *r, void *to, size_t len)
{
    unsigned char *at = to;

    (void)r;
    while (len > 0) {
        ssize_t n = getrandom(at, len, 0);
        if (n < 0) {
            pst_require(errno == EINTR);
            continue;
        }
        at += n;
        len -= (size_t)n;
    }
}

struct pst_rand *pst_rand_system(void)
{
    static struct pst_rand source = {system_fill};

    return &source;
}

/* splitmix64 (Steele, Lea, Flood 2014): one addition and a mixing of the sum. */
static uint64_t seeded_next(struct pst_rand_seeded *s)
{
    uint64_t z = s->state += UINT64_C(0x9E3779B97F4A7C15);

    z = (z ^ (z >> 30)) * UINT64_C(0xBF58476D1CE4E5B9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94D049BB133111EB);
    return z ^ (z >> 31);
}

static void seeded_fill(struct pst_rand *r, void *to, size_t len)
{
    struct pst_rand_seeded *s =
        (struct pst_rand_seeded *)((char *)r - offsetof(struct pst_rand_seeded, rand));
    unsigned char *at = to;

    while (len > 0) {
        uint64_t word = seeded_next(s);
        size_t n = len < sizeof word ? len : sizeof word;

        memcpy(at, &word, n);
        at += n;
        len -= n;
    }
}

void pst_rand_seeded_init(struct pst_rand_seeded *s, uint64_t seed)
{
    s->rand.fill = seeded_fill;
    s->state = seed;
}

uint64_t pst_rand_below(struct pst_rand *r, uint64_t below)
{
    pst_require(below > 0);

    /* The first 2^64 mod `below` values would come once more often than the others. */
    uint64_t uneven = -below % below;
    uint64_t value;
    do {
        pst_rand_fill(r, &value, sizeof value);
    } while (value < uneven);
    return value % below;
}

void pst_id_new(struct pst_rand *r, char to[PST_ID_SIZE])
{
    unsigned char bytes[(PST_ID_SIZE - 1) / 2];

    pst_rand_fill(r, bytes, sizeof bytes);
    pst_hex(to, bytes, sizeof bytes);
}
