/*
 * rand.h - injected randomness.
 *
 * The system source is getrandom(2) and cannot fail once the kernel is up.  A seeded source gives
 * tests the same numbers each time.  Threads: the system source is safe; a seeded one is not.
 */
#ifndef POSTERN_RAND_H
#define POSTERN_RAND_H

#include <stddef.h>
#include <stdint.h>

struct pst_rand {
    void (*fill)(struct pst_rand *r, void *to, size_t len);
};

struct pst_rand *pst_rand_system(void);

struct pst_rand_seeded {
    struct pst_rand rand;
    uint64_t state;
};
void pst_rand_seeded_init(struct pst_rand_seeded *s, uint64_t seed);

static inline void pst_rand_fill(struct pst_rand *r, void *to, size_t len)
{
    r->fill(r, to, len);
}

/* Uniform in [0, below); below > 0. */
uint64_t pst_rand_below(struct pst_rand *r, uint64_t below);

/* A new object id: 24 lower-case hex digits of 96 random bits, and a NUL. */
enum { PST_ID_SIZE = 25 };
void pst_id_new(struct pst_rand *r, char to[PST_ID_SIZE]);

#endif
