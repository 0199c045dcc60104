/*
 * renewal.h - which certificates the CA is to be asked about again, and what it said last
 * (RFC 9773: a CA that must revoke many certificates moves their windows to now).
 *
 * All functions run in a transaction of the store, see store.h.
 */
#ifndef POSTERN_RENEWAL_H
#define POSTERN_RENEWAL_H

#include <stdint.h>

struct pst_err;
struct pst_tx;

struct pst_renewal {
    int64_t num;         /* of the certificate */
    int64_t start_at_ms; /* the window suggested last; both 0: none was given yet */
    int64_t end_at_ms;
    int64_t ask_at_ms; /* when to ask again */
};

/* Make or overwrite the row of r->num. */
int pst_renewal_put(struct pst_tx *tx, const struct pst_renewal *r, struct pst_err *err);

/* The certificate whose question is due first.  Nobody else gets it for the next `hold_ms`, nor do
 * we when the question fails.  PST_NOTFOUND: none is due. */
int pst_renewal_claim(struct pst_tx *tx, int64_t now_ms, int64_t hold_ms, struct pst_renewal *ret,
                      struct pst_err *err);

/* Nothing is to be asked any more; absent is fine. */
int pst_renewal_delete(struct pst_tx *tx, int64_t num, struct pst_err *err);

#endif
