/*
 * answers.h - TXT values that our own name servers give for delegated challenges.
 *
 * A tenant once makes `_acme-challenge.example.com CNAME <label>.<zone>`; what the CA asks for is
 * then at the label, in a zone of ours.  A row says: this label has this value until then.  A label
 * may have several values at the same time (a name and its wildcard are proved in one order), so
 * values are added and removed one by one and never replaced.
 *
 * All nodes on one database serve the same values.  Each transaction that changes them counts a
 * version up, so that a node only asks for one number to see whether it is up to date; the node
 * that commits is told at once through pst_store_on_answers().
 *
 * Threads, blocking, memory and failure are as in store.h.
 */
#ifndef POSTERN_ANSWERS_H
#define POSTERN_ANSWERS_H

#include <stdint.h>

struct pst_err;
struct pst_store;
struct pst_tx;

enum {
    PST_DNS_LABEL_SIZE = 64,  /* a DNS label and its NUL */
    PST_DNS_VALUE_SIZE = 256, /* one character-string of a TXT record and its NUL */
    PST_DNS_VALUES_MAX = 50,  /* of one label: more than any set of open orders needs */
};

struct pst_dns_answer {
    char label[PST_DNS_LABEL_SIZE]; /* lower-case letters, digits, '-' and '_' */
    char value[PST_DNS_VALUE_SIZE]; /* printable ASCII */
    int64_t until_ms;
};

/* The label has the value at least until `until_ms`; one that is there is prolonged, never
 * shortened.  PST_CONFLICT: the label has PST_DNS_VALUES_MAX other ones.  PST_EINPUT: not a label,
 * or not a value. */
int pst_dns_answer_put(struct pst_tx *tx, const char *label, const char *value, int64_t until_ms,
                       struct pst_err *err);
/* PST_OK, also when it was not there. */
int pst_dns_answer_delete(struct pst_tx *tx, const char *label, const char *value,
                          struct pst_err *err);
/* Remove those whose time is over. */
int pst_dns_answer_sweep(struct pst_tx *tx, int64_t now_ms, struct pst_err *err);

/* By label, then by value; those whose time is over too. */
int pst_dns_answer_each(struct pst_tx *tx, int (*fn)(const struct pst_dns_answer *a, void *arg),
                        void *arg, struct pst_err *err);
/* Counts up with each committed change.  Read it before the answers, in the same transaction: what
 * is read then is at least that new. */
int pst_dns_answers_version(struct pst_tx *tx, int64_t *ret, struct pst_err *err);

/* Called after each commit of this process that changed the answers, from the writing thread,
 * quickly and without database use.  Set before threads start. */
typedef void pst_store_answers_fn(void *arg);
void pst_store_on_answers(struct pst_store *s, pst_store_answers_fn *fn, void *arg);

#endif
