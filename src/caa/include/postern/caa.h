/*
 * caa.h - may this CA issue for these names?  Read before the CA reads it (RFC 8659, RFC 8657).
 *
 * A definite "no" stops an order; an error only warns, for then the CA decides.
 *
 * Threads:  any.  Blocking: pst_caa_check() for its look-ups (at most one per label of each name);
 *           pst_caa_evaluate() never.
 * Memory:   verdicts are values of the caller; nothing to free.
 */
#ifndef POSTERN_CAA_H
#define POSTERN_CAA_H

#include <stdbool.h>
#include <stddef.h>

struct pst_caa_rr;
struct pst_err;
struct pst_resolver;

enum pst_caa_result {
    PST_CAA_ALLOWED,
    PST_CAA_FORBIDDEN,
    PST_CAA_ERROR, /* the DNS did not tell: issue may still succeed */
};
/* "allowed", "forbidden", "error". */
const char *pst_caa_result_name(enum pst_caa_result r);

/* Who wants to issue, and how. */
struct pst_caa_issuer {
    const char *const *identities; /* the CA's names, meta.caaIdentities of its directory */
    size_t identities_n;           /* 0: unknown; then only "nobody may issue" forbids */
    const char *account_url; /* compared byte for byte with accounturi; NULL: none yet, so that
                                records with an accounturi do not allow it */
    const char *challenge;   /* "http-01", ...; looked for in validationmethods */
};

struct pst_caa_verdict {
    enum pst_caa_result result;
    char name[256];   /* the name it is about, as given; "" when all are allowed */
    char where[256];  /* the name at which the records are; "" when there are none */
    char record[768]; /* FORBIDDEN: the record that decides, in zone-file form */
    char add[768];    /* FORBIDDEN: the record that would allow it, or what to change */
    char text[768];   /* for people: one sentence */
};

/*
 * Look up and judge each name ("*.example.com" is judged as a wildcard).  The verdict is that of
 * the first forbidden name; if none, of the first with an error; else ALLOWED.
 *
 * PST_OK; PST_REFUSED (a name that cannot be asked for); negative (memory, system).
 */
int pst_caa_check(struct pst_resolver *r, const char *const *names, size_t names_n,
                  const struct pst_caa_issuer *issuer, struct pst_caa_verdict *ret,
                  struct pst_err *err);

/* Pure: judge the record set found at `where` for `name`.  No records at all: ALLOWED. */
void pst_caa_evaluate(const char *name, const char *where, const struct pst_caa_rr *rrs, size_t n,
                      const struct pst_caa_issuer *issuer, struct pst_caa_verdict *ret);

#endif
