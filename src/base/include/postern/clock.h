/*
 * clock.h - the injected clock.  Nothing else in the project asks the system for the time.
 *
 * Wall time (Unix) says *when*; it may jump.  Monotonic time says *how long*; it never jumps back
 * and has no meaning outside the process.  Threads: a clock may be used by many at once.
 */
#ifndef POSTERN_CLOCK_H
#define POSTERN_CLOCK_H

#include <stdint.h>

struct pst_clock {
    int64_t (*wall_ms)(const struct pst_clock *c);
    int64_t (*mono_ms)(const struct pst_clock *c);
};

const struct pst_clock *pst_clock_system(void);

static inline int64_t pst_wall_ms(const struct pst_clock *c)
{
    return c->wall_ms(c);
}

static inline int64_t pst_mono_ms(const struct pst_clock *c)
{
    return c->mono_ms(c);
}

/* Unix seconds. */
static inline int64_t pst_now(const struct pst_clock *c)
{
    return c->wall_ms(c) / 1000;
}

/* A clock that tests move by hand: both times advance together.  One thread sets, all may read. */
struct pst_clock_manual {
    struct pst_clock clock; /* hand &m.clock to the code under test */
    _Atomic int64_t wall;
    _Atomic int64_t mono;
};
void pst_clock_manual_init(struct pst_clock_manual *m, int64_t wall_ms);
void pst_clock_manual_advance(struct pst_clock_manual *m, int64_t ms);

#endif
