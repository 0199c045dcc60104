/*
 * sched.h - who does the due work, and when: threads that block, and rows that wait.
 *
 * One dispatcher thread looks what is due (domains to begin an order for, orders to move on),
 * leases it and hands it to the pool of workers of its lane, so that no slow host of a tenant's
 * keeps those waiting that ask the CA; one more thread runs the periodic jobs.  Between
 * that they sleep until the earliest time in the database or until somebody pokes them.
 *
 * Threads:  pst_sched_poke() may be called by any, also from a commit hook; it never blocks.
 * Blocking: pst_sched_stop() waits for the steps under way (each has a deadline).
 * Failure:  what fails is logged and tried again; the database may go away and come back.
 */
#ifndef POSTERN_SCHED_H
#define POSTERN_SCHED_H

#include <stddef.h>
#include <stdint.h>

struct pst_clock;
struct pst_err;
struct pst_order_env;
struct pst_sched;
struct pst_store;

/* Something to do again and again: at the start, and `period_s` after it last ended. */
struct pst_sched_job {
    const char *name; /* for the log */
    int64_t period_s;
    /* PST_OK, positive (nothing to do) or a fault, which is logged. */
    int (*run)(void *arg, struct pst_err *err);
    void *arg;
};

struct pst_sched_opts {
    struct pst_store *store;
    struct pst_order_env *orders;
    const struct pst_clock *clock;
    int workers;                      /* for steps that ask the CA: 1 to 256 */
    int dns_workers;                  /* for those that ask hosts of tenants: 1 to 256 */
    const struct pst_sched_job *jobs; /* copied */
    size_t jobs_n;                    /* at most 16 */
};

/* PST_OK, PST_ENOMEM, PST_ESYS. */
int pst_sched_start(struct pst_sched **ret, const struct pst_sched_opts *opts, struct pst_err *err);

/* Something may be due now. */
void pst_sched_poke(struct pst_sched *s);

/* Ends all threads and frees.  NULL is fine. */
void pst_sched_stop(struct pst_sched *s);

#endif
