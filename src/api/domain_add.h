/*
 * domain_add.h - putting domains on apps, whichever way they come: one rule and one way to store
 * for a single request and for a million lines.
 *
 * A pst_adder lives in one transaction and for one app; many domains may be added with it.
 */
#ifndef POSTERN_API_DOMAIN_ADD_H
#define POSTERN_API_DOMAIN_ADD_H

#include <postern/store.h>

struct pst_answer;
struct pst_claim;
struct pst_err;
struct pst_req;
struct pst_upload;

/* Where a domain begins: without an ACME certificate it needs one, or none is wanted. */
void pst_domain_first_phase(struct pst_domain *d, int64_t now_ms);

/* One canonical domain an app: the others stop being it.  The app's row is locked. */
int pst_domain_sole_canonical(struct pst_tx *tx, const char *app_id, const char *except,
                              struct pst_err *err);

struct pst_adder {
    struct pst_req *req;
    struct pst_answer *ans;  /* 422 when a domain is refused */
    bool skip_proof;         /* an operator answers for the names */
    struct pst_claim *claim; /* what was found out about the name; NULL: nobody looked */
    struct pst_app app;
    bool check_only;                  /* only judge, store nothing */
    int64_t max, n;                   /* domains it may have, and has */
    int64_t bundles_n;                /* that its user keeps */
    char platform[PST_NAME_SIZE + 1]; /* ".example.net"; "": the platform has no domain */
};

/* Lock the app, which the caller was found to see, and count its domains.  PST_OK or negative. */
int pst_adder_open(struct pst_adder *a, struct pst_tx *tx, const struct pst_app *app,
                   struct pst_err *err);

/*
 * Add a domain: name, ascii, wildcard, acme_enabled and canonical are the caller's, the rest is
 * filled here.  upload: accepted and prepared, or NULL: then the user's best bundle that covers the
 * name is put on it, if there is one.
 *
 * PST_OK       it is stored, its events are written, the hooks are told after the commit
 * PST_REFUSED  it may not be: answered with 422.  Nothing was written, and the transaction may go
 *              on with others.
 */
int pst_adder_add(struct pst_adder *a, struct pst_tx *tx, struct pst_domain *d,
                  struct pst_upload *upload, struct pst_err *err);

/* "certificate.uploaded" in the history of the domain. */
int pst_domain_upload_event(struct pst_req *req, struct pst_tx *tx, const struct pst_domain *d,
                            const struct pst_upload *upload, struct pst_err *err);

#endif
