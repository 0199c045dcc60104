/* brake.c - how many names went in the last hour. */
#include <string.h>

#include "edge_internal.h"

void pst_edged_brake_init(struct pst_edged_brake *b, int64_t percent, int64_t min_n)
{
    memset(b, 0, sizeof *b);
    b->percent = percent;
    b->min_n = min_n;
}

/* Empty the slots of the minutes that have begun since the last call. */
static void turn(struct pst_edged_brake *b, int64_t mono_ms)
{
    int64_t now = mono_ms / 60000;
    int64_t passed = now - b->minute;

    if (passed <= 0)
        return;
    if (passed > PST_EDGED_BRAKE_MINUTES)
        passed = PST_EDGED_BRAKE_MINUTES;
    for (int64_t i = 0; i < passed; i++)
        b->lost[(now - i) % PST_EDGED_BRAKE_MINUTES] = 0;
    b->minute = now;
}

bool pst_edged_brake_holds(struct pst_edged_brake *b, int64_t mono_ms, int64_t names_n,
                           int64_t lost_n, int64_t *ret_sum)
{
    int64_t before = 0;

    turn(b, mono_ms);
    for (size_t i = 0; i < PST_ARRAY_N(b->lost); i++)
        before += b->lost[i];

    int64_t sum = before + lost_n;
    *ret_sum = sum;
    /* Nothing new is lost: whatever went before was let through. */
    if (lost_n == 0)
        return false;
    return sum >= b->min_n && sum * 100 > (names_n + before) * b->percent;
}

void pst_edged_brake_count(struct pst_edged_brake *b, int64_t mono_ms, int64_t lost_n)
{
    turn(b, mono_ms);
    b->lost[b->minute % PST_EDGED_BRAKE_MINUTES] += lost_n;
}

void pst_edged_brake_reset(struct pst_edged_brake *b)
{
    memset(b->lost, 0, sizeof b->lost);
}
