/*
 * persist.h - dns-persist-01: one TXT record that proves a name for good.
 *
 * The record at _validation-persist.<name> names the CA and the account that may have certificates
 * for the name; there is no token, so it is written once and renewals need no change in the DNS
 * (draft-ietf-acme-dns-persist).  Two forms of it are in the world, and a CA reads one of them:
 *
 *   clear    drafts -00 and -01: `accounturi` is the account's URL
 *   hashed   draft -02: `accounturi` is a prefix from the directory and a digest of the name, the
 *            account key's thumbprint and the account's URL, so that the record does not tell which
 *            names belong together
 *
 * The value is an issue-value of RFC 8659 section 4.2.  Our reading is as strict as a CA's may be:
 * what is told to be good here is good there.
 *
 * Threads:  pure functions, any thread.  Blocking: never.
 * Memory:   a struct pst_persist_ca borrows all that it points at.
 * Failure:  PST_REFUSED says which part cannot be put into a record; PST_ENOMEM.
 */
#ifndef POSTERN_PERSIST_H
#define POSTERN_PERSIST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct pst_acme_challenge;
struct pst_acme_directory;
struct pst_buf;
struct pst_err;

enum {
    PST_PERSIST_VALUE_MAX = 4096,          /* bytes we make or read of a record's value */
    PST_PERSIST_WARN_FIRST_S = 30 * 86400, /* before persistUntil */
    PST_PERSIST_WARN_LAST_S = 7 * 86400,
};

enum pst_persist_form {
    PST_PERSIST_CLEAR,
    PST_PERSIST_HASHED,
};

/* What a record for one CA and one account of it is made from. */
struct pst_persist_ca {
    enum pst_persist_form form;
    const char *const *issuers; /* names of the CA; a record has one of them, ours the first */
    size_t issuers_n;
    const char *account_url;
    const char *thumbprint;  /* hashed form: 43 characters */
    const char *hash_prefix; /* hashed form: meta.accountHashPrefix */
    bool certain;            /* the CA has said that it takes such records, now and in this form */
};

/*
 * Which form this CA wants, and all that is needed to fill it in.
 *
 * challenge     of an authorization that offers it; its shape decides.  NULL: none was seen yet,
 * and only the directory tells: `certain` when it has the members of draft -02.  Else the clear
 * form with the CA's CAA identities, which is a guess. account_url   of our account; a clear record
 * has the challenge's own `accounturi` where that is stated, for that is what the CA compares with.
 *
 * PST_OK        *ret borrows from all four.
 * PST_NOTFOUND  no record can be made: the CA tells no issuer name, or a hashed form without a
 * prefix.
 */
int pst_persist_choose(const struct pst_acme_directory *dir,
                       const struct pst_acme_challenge *challenge, const char *account_url,
                       const char *thumbprint, struct pst_persist_ca *ret);

struct pst_persist_ask {
    const char *name; /* normal form; with "*." the record says policy=wildcard, and is good for
                         the name without it as well */
    bool any_name;    /* hashed form: one value that is good at every name */
    int64_t until_at; /* persistUntil, Unix seconds; 0: for good */
};

/* Append the value, in one piece.  PST_OK; PST_REFUSED: an issuer name, the URL or the prefix has
 * characters that a record cannot hold, or the whole is over PST_PERSIST_VALUE_MAX; PST_ENOMEM. */
int pst_persist_value(const struct pst_persist_ca *ca, const struct pst_persist_ask *ask,
                      struct pst_buf *ret, struct pst_err *err);

/* Append any value of a TXT record as a zone file has it: strings of at most 255 bytes in quotes, a
 * blank between them. */
void pst_txt_zone_form(const char *value, struct pst_buf *ret);

/* What the records at a name say to us, the best last. */
enum pst_persist_result {
    PST_PERSIST_NONE,          /* there is no record */
    PST_PERSIST_OTHER_ISSUER,  /* none is for this CA */
    PST_PERSIST_OTHER_ACCOUNT, /* for this CA, but an account that is not ours */
    PST_PERSIST_MALFORMED,     /* breaks the grammar: `why` */
    PST_PERSIST_NO_WILDCARD,   /* ours, without the policy=wildcard that this name needs */
    PST_PERSIST_EXPIRED,       /* ours, and its persistUntil is over */
    PST_PERSIST_MATCH,
};
/* "none", "other_issuer", "other_account", "malformed", "no_wildcard", "expired", "match". */
const char *pst_persist_result_name(enum pst_persist_result r);

struct pst_persist_verdict {
    enum pst_persist_result result;
    size_t at;        /* which value it is about; 0 with NONE */
    int64_t until_at; /* its persistUntil, Unix seconds; 0: none */
    char why[160];    /* a sentence for people; "" with MATCH */
};

/*
 * Judge the values found at the name's place as its CA will.  One that matches is enough; without
 * one, the verdict is about the value that comes nearest.
 *
 * name     with "*.": policy=wildcard is needed.
 * values   each with its strings joined, without a NUL inside.
 * now_at   Unix seconds.
 *
 * PST_OK; PST_ENOMEM.
 */
int pst_persist_judge(const struct pst_persist_ca *ca, const char *name, const char *const *values,
                      size_t values_n, int64_t now_at, struct pst_persist_verdict *ret,
                      struct pst_err *err);

/* How many of the two warnings are due for a persistUntil: 0; 1 within its last 30 days; 2 within
 * its last 7 (also when it is over).  0 for an until_at of 0. */
int pst_persist_warnings_due(int64_t until_at, int64_t now_at);

#endif
