/* crash.c - the tests' way to kill the daemon at a named point of an order. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "order_internal.h"

#ifdef PST_TEST_HOOKS

/* POSTERN_TEST_KILL_AT=<what>/<point>: die there, as by kill -9. */
void pst_order_crash_point_named(const char *what, const char *point)
{
    const char *at = getenv("POSTERN_TEST_KILL_AT");
    char here[64];

    if (!at)
        return;
    snprintf(here, sizeof here, "%s/%s", what, point);
    if (pst_streq(at, here))
        kill(getpid(), SIGKILL);
}

#else

void pst_order_crash_point_named(const char *what, const char *point)
{
    (void)what;
    (void)point;
}

#endif

void pst_order_crash_point(enum pst_order_state state, const char *point)
{
    pst_order_crash_point_named(pst_order_state_name(state), point);
}
