/*
 * claims.h - may a tenant hold a name that another tenant holds, gave up lately, or covers?
 *
 * Only with a proof: a TXT record that nobody but who controls the DNS can make, with a value that
 * is good for this tenant only.  Nothing is stored for it: the value is an HMAC of tenant and name
 * under a key of the platform.  The record may stand at the name or, for all names of a registered
 * domain at once, there; each place has its own value.  Both must stand there themselves: what a
 * CNAME leads to is somebody else's word.
 *
 * A claim is looked at outside of any transaction (pst_claim_look()), which may ask the DNS, and
 * judged again under the lock of the registered domain in the one that adds the name
 * (pst_claim_judge()).
 *
 * Blocking: pst_claim_look() for at most the resolver's deadline, and only half of the workers at
 *           once, two for each tenant; others are answered 429.
 */
#ifndef POSTERN_API_CLAIMS_H
#define POSTERN_API_CLAIMS_H

#include <stdbool.h>

#include <postern/store.h>

struct pst_answer;
struct pst_api;
struct pst_err;
struct pst_req;

enum { PST_PROOF_VALUE_SIZE = 64, PST_PROOF_PLACES = 2 };

struct pst_proof_record {
    char base[PST_NAME_SIZE]; /* the name that it proves the control of */
    char name[PST_NAME_SIZE]; /* of the TXT record */
    char value[PST_PROOF_VALUE_SIZE];
};

struct pst_claim {
    char ascii[PST_NAME_SIZE];
    char user_id[PST_ID_SIZE]; /* the tenant: who owns the app */
    bool skip_proof;           /* an operator answers for it */

    enum pst_hold hold;          /* as it was seen last */
    char holder_id[PST_ID_SIZE]; /* domain that had the name at the first look, "" for none */
    struct pst_proof_record records[PST_PROOF_PLACES];
    size_t records_n;
    bool looked;        /* pst_claim_look() was there */
    bool seen;          /* one of them is there */
    char evidence[320]; /* what was found; "": nobody looked */
    bool evicted;       /* the name was taken from another tenant */
};

/* The value that proves the control of `base` for a tenant.  PST_OK or a fault. */
int pst_proof_value(const struct pst_secret *key, const char *user_id, const char *base,
                    char ret[PST_PROOF_VALUE_SIZE], struct pst_err *err);

/* The name for this app, which is the caller's to add to; nothing is known yet. */
void pst_claim_init(struct pst_claim *c, const char *ascii, const struct pst_app *app);

/* Look who has the name; ask the DNS when a proof is needed, or `always`.  PST_OK, whatever was
 * found; PST_REFUSED, answered with 422 (only an operator may skip the proof) or 429; negative. */
int pst_claim_look(struct pst_req *req, struct pst_claim *c, bool always, struct pst_answer *ans,
                   struct pst_err *err);

/*
 * In the transaction that is to add the name to the app, before anything is written: lock and look
 * again.  Without pst_claim_look() before it no proof was seen, and nobody's name is taken.
 *
 * PST_OK       the app may have the name, once pst_claim_take() has taken it
 * PST_REFUSED  it may not, answered with 422 and the record to make
 */
int pst_claim_judge(struct pst_req *req, struct pst_tx *tx, struct pst_claim *c,
                    const struct pst_app *app, struct pst_answer *ans, struct pst_err *err);
/* Then, before the insert: who has the name loses it.  PST_OK, also when nobody has it; or a
 * fault. */
int pst_claim_take(struct pst_req *req, struct pst_tx *tx, struct pst_claim *c,
                   struct pst_err *err);
/* After the insert: "domain.claimed" in the history, when there was something to prove. */
int pst_claim_event(struct pst_req *req, struct pst_tx *tx, const struct pst_claim *c,
                    const struct pst_domain *d, struct pst_err *err);

#endif
