/* clock.c - the system's clock and the one that tests move. */
#include <stddef.h>
#include <time.h>

#include <postern/clock.h>
#include <postern/err.h>

static int64_t read_ms(clockid_t id)
{
    struct timespec ts;

    pst_require(clock_gettime(id, &ts) == 0);
    return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

static int64_t system_wall(const struct pst_clock *c)
{
    (void)c;
    return read_ms(CLOCK_REALTIME);
}

static int64_t system_mono(const struct pst_clock *c)
{
    (void)c;
    return read_ms(CLOCK_MONOTONIC);
}

const struct pst_clock *pst_clock_system(void)
{
    static const struct pst_clock clock = {system_wall, system_mono};

    return &clock;
}

static const struct pst_clock_manual *manual(const struct pst_clock *c)
{
    return (const struct pst_clock_manual *)((const char *)c -
                                             offsetof(struct pst_clock_manual, clock));
}

static int64_t manual_wall(const struct pst_clock *c)
{
    return manual(c)->wall;
}

static int64_t manual_mono(const struct pst_clock *c)
{
    return manual(c)->mono;
}

void pst_clock_manual_init(struct pst_clock_manual *m, int64_t wall_ms)
{
    m->clock = (struct pst_clock){manual_wall, manual_mono};
    m->wall = wall_ms;
    m->mono = 1000000; /* not 0: no code may take a mono time of 0 for the start */
}

void pst_clock_manual_advance(struct pst_clock_manual *m, int64_t ms)
{
    m->wall += ms;
    m->mono += ms;
}
