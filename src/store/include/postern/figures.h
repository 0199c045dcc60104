/*
 * figures.h - counts over the records, for monitoring.  Each is one statement that reads a table
 * once; all are for read transactions.
 */
#ifndef POSTERN_FIGURES_H
#define POSTERN_FIGURES_H

#include <stddef.h>
#include <stdint.h>

#include <postern/status.h>

/* Domains that look the same from outside.  `covered` by a wildcard is not looked at. */
int pst_figures_domains(struct pst_tx *tx, int64_t now,
                        int (*fn)(const struct pst_status_in *in, int64_t n, void *arg), void *arg,
                        struct pst_err *err);
/* Domains whose certificate is there and whose renewal has failed at least once. */
int pst_figures_failing(struct pst_tx *tx, int64_t *ret_n, struct pst_err *err);
/* Domains that only a person can help on, by how they are validated ("": not decided yet). */
int pst_figures_waiting(struct pst_tx *tx, int (*fn)(const char *method, int64_t n, void *arg),
                        void *arg, struct pst_err *err);
/* Of the certificates that are on a ladder: how many end `days` whole days from now (-1: are over),
 * and the sum of the seconds until then. */
int pst_figures_expiry(struct pst_tx *tx, int64_t now,
                       int (*fn)(int64_t days, int64_t n, int64_t sum_s, void *arg), void *arg,
                       struct pst_err *err);
/* Those that end first, by name; not_after in Unix seconds. */
int pst_figures_soonest(struct pst_tx *tx, size_t limit,
                        int (*fn)(const char *ascii, int64_t not_after, void *arg), void *arg,
                        struct pst_err *err);
/* Open orders by state. */
int pst_figures_orders(struct pst_tx *tx, int (*fn)(const char *state, int64_t n, void *arg),
                       void *arg, struct pst_err *err);

#endif
