/*
 * dns_records.h - TXT values of ours at the DNS providers of tenants, so that none is left behind.
 *
 * A row is stored before its value is added, with a sealed copy of the variables it is added with.
 * While its order is open and needs it, nobody touches it.  Afterwards - the order says so, or is
 * not there any more, for whatever reason - it is due to be removed, under a lease as orders are,
 * until that has succeeded or is given up.
 *
 * Threads, blocking, memory and failure are as in store.h.
 */
#ifndef POSTERN_DNS_RECORDS_H
#define POSTERN_DNS_RECORDS_H

#include <postern/store.h>

struct pst_dns_record_row {
    char id[PST_ID_SIZE];
    char order_id[PST_ID_SIZE];
    char domain_id[PST_ID_SIZE];
    char app_id[PST_ID_SIZE];
    char user_id[PST_ID_SIZE];
    char provider[PST_WORD_SIZE];
    char name[PST_NAME_SIZE];
    char target[PST_NAME_SIZE];
    char value[64];
    bool removing; /* its order needs it no more */
    bool settled;  /* and nobody can be adding it any more */
    int64_t created_at_ms;
    int64_t run_at_ms;
    int64_t tries;
    char problem[400];
    int64_t lease_token;
    struct pst_buf sealed; /* under ("dns_record", id) */
};
void pst_dns_record_deinit(struct pst_dns_record_row *r);

/* All fields but id (made when it is empty), created_at_ms and lease_token. */
int pst_dns_record_insert(struct pst_tx *tx, struct pst_dns_record_row *r, struct pst_err *err);
/* The one that an open order needs.  PST_NOTFOUND. */
int pst_dns_record_of(struct pst_tx *tx, const char *order_id, struct pst_dns_record_row *ret,
                      struct pst_err *err);
/* The order needs its records no more, and it is the order itself that says so: due at once. */
int pst_dns_record_drop(struct pst_tx *tx, const char *order_id, int64_t now_ms,
                        struct pst_err *err);
/* Lease one whose removal is due.  PST_NOTFOUND. */
int pst_dns_record_claim(struct pst_tx *tx, int64_t now_ms, int64_t lease_ms,
                         struct pst_dns_record_row *ret, struct pst_err *err);
/* Save settled, run_at_ms, tries and problem, and let it go; the order needs it no more.
 * PST_CONFLICT: somebody else has it. */
int pst_dns_record_save(struct pst_tx *tx, const struct pst_dns_record_row *r, struct pst_err *err);
/* PST_CONFLICT: somebody else has it. */
int pst_dns_record_delete(struct pst_tx *tx, const struct pst_dns_record_row *r,
                          struct pst_err *err);
/* When the next removal is due, 0: none. */
int pst_dns_record_next_due(struct pst_tx *tx, int64_t *ret_at_ms, struct pst_err *err);

/* ---- variables to be tried ---- */

/* The variables of the app have changed: those of its domains that are wildcards are to be looked
 * at. */
int pst_dns_check_due(struct pst_tx *tx, const char *app_id, int64_t now_ms, struct pst_err *err);
/* Take one that is due; it comes back after `lease_ms` unless it is done by then.  *ret_stamp is
 * for pst_dns_check_done().  PST_NOTFOUND. */
int pst_dns_check_claim(struct pst_tx *tx, int64_t now_ms, int64_t lease_ms,
                        char ret_domain_id[PST_ID_SIZE], int64_t *ret_stamp, struct pst_err *err);
/* Not due before `at_ms` (0: at all), unless it has become due anew meanwhile. */
int pst_dns_check_done(struct pst_tx *tx, const char *domain_id, int64_t stamp, int64_t at_ms,
                       struct pst_err *err);
int pst_dns_check_next_due(struct pst_tx *tx, int64_t *ret_at_ms, struct pst_err *err);

/* ---- what a CA offered ---- */

enum { PST_PERSIST_ISSUERS_MAX = 10 };

/* How an account's CA offered dns-persist-01 when it was last asked, so that the record can be
 * shown before there is an order. */
struct pst_persist_offer {
    bool offered;
    bool hashed; /* the form of draft -02 */
    char issuers[PST_PERSIST_ISSUERS_MAX][PST_HOST_SIZE];
    size_t issuers_n;
    char account_uri[2048]; /* "": not stated */
    char hash_prefix[2048]; /* "": not stated */
};
/* PST_NOTFOUND: not asked yet. */
int pst_persist_offer_get(struct pst_tx *tx, const char *account_id, struct pst_persist_offer *ret,
                          struct pst_err *err);
int pst_persist_offer_put(struct pst_tx *tx, const char *account_id,
                          const struct pst_persist_offer *o, struct pst_err *err);

#endif
