/*
 * bundles.h - bundles of key and certificates that the caller has sent, kept for domains added
 * later.
 *
 * Only adding a domain looks at them: who takes a certificate away from a domain gets none back.
 */
#ifndef POSTERN_API_BUNDLES_H
#define POSTERN_API_BUNDLES_H

#include <postern/bundles.h>

struct pst_answer;
struct pst_err;
struct pst_req;
struct pst_upload;

enum { PST_BUNDLES_MAX = 100 }; /* of one account */

/* Of an accepted upload that came with its key: the bundle that is to be kept, its key sealed.
 * PST_OK or negative. */
int pst_bundle_prepare(struct pst_req *req, const struct pst_upload *u, struct pst_bundle *ret,
                       struct pst_err *err);
/* Keep it for the caller, whose account is locked; of a leaf that is kept already only the issuers
 * are replaced.  ret_id: the one that is kept.  PST_OK; PST_REFUSED: there are too many, answered
 * with 422; negative. */
int pst_bundle_keep(struct pst_req *req, struct pst_tx *tx, struct pst_bundle *b,
                    char ret_id[PST_ID_SIZE], struct pst_answer *ans, struct pst_err *err);

/* A domain that comes without a certificate: set that of the best bundle of its user's on it,
 * before it is stored.  PST_OK: *b says which; PST_NOTFOUND: no bundle covers it. */
int pst_bundle_number(struct pst_req *req, struct pst_tx *tx, struct pst_domain *d,
                      struct pst_bundle *b, struct pst_err *err);
/* Then, when it is stored: make the certificate, unless other domains have it already, and say so
 * in the history. */
int pst_bundle_store(struct pst_req *req, struct pst_tx *tx, const struct pst_domain *d,
                     const struct pst_bundle *b, struct pst_err *err);

#endif
