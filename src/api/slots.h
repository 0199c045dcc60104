/*
 * slots.h - work that takes a worker for long: so much of it at once, and two for each tenant, so
 * that nobody else has to wait for what one tenant asks for.
 *
 * Threads: any.  Blocking: no.
 */
#ifndef POSTERN_API_SLOTS_H
#define POSTERN_API_SLOTS_H

#include <stdbool.h>
#include <stddef.h>

struct pst_err;
struct pst_slots;

/* `n` at once.  PST_OK or PST_ENOMEM.  Free with pst_slots_free(). */
int pst_slots_new(struct pst_slots **ret, size_t n, struct pst_err *err);
void pst_slots_free(struct pst_slots *s);

/* False: all are taken, or the tenant has two. */
bool pst_slot_take(struct pst_slots *s, const char *user_id);
/* Give back what the same tenant took. */
void pst_slot_give(struct pst_slots *s, const char *user_id);

#endif
