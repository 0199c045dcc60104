/*
 * permanent.h - permanent records (dns-persist-01) that end on a day of their own.
 *
 * A tenant may write persistUntil into the record; from that second on the CA takes it no more.
 * Here stands, for each domain that was last proved by such a record, when that is and how many
 * warnings were given.
 *
 * Threads, blocking, memory and failure are as in store.h.
 */
#ifndef POSTERN_PERMANENT_H
#define POSTERN_PERMANENT_H

#include <postern/store.h>

/* until_at: Unix seconds; 0: the record never ends, or there is none.  Another end than before is
 * warned of anew. */
int pst_permanent_put(struct pst_tx *tx, const char *domain_id, int64_t until_at,
                      struct pst_err *err);
int pst_permanent_warned(struct pst_tx *tx, const char *domain_id, int64_t warned,
                         struct pst_err *err);

struct pst_permanent_end {
    char domain_id[PST_ID_SIZE];
    char ascii[PST_NAME_SIZE];
    int64_t until_at;
    int64_t warned;
};
/* Those that end until `first_at` and were never warned of, and those that end until `last_at` and
 * had one warning at most; at most `limit`, the earliest end first. */
int pst_permanent_each_ending(struct pst_tx *tx, int64_t first_at, int64_t last_at, size_t limit,
                              int (*fn)(const struct pst_permanent_end *e, void *arg), void *arg,
                              struct pst_err *err);

#endif
