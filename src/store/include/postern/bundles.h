/*
 * bundles.h - bundles of key and certificates that a user has sent, kept for domains added later.
 *
 * A bundle is on no ladder itself: a certificate is made of it (store.h), whose key is sealed anew.
 * All domains that have it share that certificate.  Whom a bundle is used for, and how many one may
 * keep, is for the caller to say.
 *
 * Threads, blocking, memory and failure are as in store.h.
 */
#ifndef POSTERN_BUNDLES_H
#define POSTERN_BUNDLES_H

#include <postern/store.h>

struct pst_bundle {
    char user_id[PST_ID_SIZE];
    struct pst_certificate held; /* id: the bundle's; its key is sealed under ("bundle", id); num:
                                    the certificate that was last made of it, 0: none is in use */
    struct pst_buf names;        /* that it covers, as ascii, separated by blanks */
    int64_t domains_n;           /* that have it now; only of pst_bundle_each() */
};
void pst_bundle_deinit(struct pst_bundle *b);
#define auto_bundle __attribute__((cleanup(pst_bundle_deinit)))

/* PST_CONFLICT: the user has a bundle with this leaf. */
int pst_bundle_insert(struct pst_tx *tx, struct pst_bundle *b, struct pst_err *err);
/* The user's bundle with b's leaf gets b's issuers.  PST_OK: it is ret_id.  PST_NOTFOUND: there is
 * none. */
int pst_bundle_again(struct pst_tx *tx, const struct pst_bundle *b, char ret_id[PST_ID_SIZE],
                     struct pst_err *err);
/* A certificate was made of it. */
int pst_bundle_used(struct pst_tx *tx, const char *id, int64_t num, struct pst_err *err);

/* The user's bundle that does best for a name at `now` (Unix s): one that has the very name before
 * one with a wildcard, then the one that ends last.  Without names, leaf, key and issuers.
 * PST_NOTFOUND. */
int pst_bundle_best(struct pst_tx *tx, const char *user_id, const char *ascii, int64_t now,
                    struct pst_bundle *ret, struct pst_err *err);
/* A bundle of this user; the whole record.  PST_NOTFOUND. */
int pst_bundle_load(struct pst_tx *tx, const char *user_id, const char *id, struct pst_bundle *ret,
                    struct pst_err *err);
/* The user's, newest first, without leaf, key and issuers. */
int pst_bundle_each(struct pst_tx *tx, const char *user_id,
                    int (*fn)(const struct pst_bundle *b, void *arg), void *arg,
                    struct pst_err *err);
int pst_bundle_count(struct pst_tx *tx, const char *user_id, int64_t *ret_n, struct pst_err *err);
/* Certificates that were made of it stay.  PST_NOTFOUND when it is not the user's. */
int pst_bundle_delete(struct pst_tx *tx, const char *user_id, const char *id, struct pst_err *err);
/* Remove those that ended before `now` (Unix s). */
int pst_bundle_sweep(struct pst_tx *tx, int64_t now, int64_t *ret_n, struct pst_err *err);

#endif
