/*
 * challenge.h - what answers an ACME challenge (RFC 8555 section 8).
 *
 * http-01 (section 8.3): the edge serves the key authorization, `token "." thumbprint`, at
 * http://<name>/.well-known/acme-challenge/<token>.
 *
 * dns-01 (section 8.4): its digest stands in a TXT record at _acme-challenge.<name>; the name and
 * its wildcard share that place, each with a value of its own.  Who delegates the place once, by a
 * CNAME to a name of ours, never changes a record again: pst_delegation_label() makes that name.
 *
 * dns-persist-01 is in persist.h.
 *
 * Names are in the normal form of name.h.  Pure functions: any thread, no blocking; only those with
 * a struct pst_err allocate.
 */
#ifndef POSTERN_CHALLENGE_H
#define POSTERN_CHALLENGE_H

#include <stdbool.h>

#include <postern/text.h>

struct pst_err;

enum {
    PST_CHALLENGE_TOKEN_MAX = 128, /* characters we accept of a token */
    PST_THUMBPRINT_LEN = 43,       /* of an account key (RFC 7638), base64url of SHA-256 */
    PST_CHALLENGE_ANSWER_SIZE = PST_CHALLENGE_TOKEN_MAX + 1 + PST_THUMBPRINT_LEN + 1,
    PST_CHALLENGE_DNS01_SIZE = 44,    /* base64url of SHA-256, and a NUL */
    PST_DELEGATION_LABEL_SIZE = 33,   /* base32 of 20 bytes, and a NUL */
    PST_DELEGATION_OWNER_MAX = 65535, /* bytes of a user's id */
};

/* A token is 1 to 128 characters of the base64url alphabet: nothing that could leave its place in
 * a path. */
bool pst_challenge_token_ok(const char *token);

/* The same characters, and 43 of them. */
bool pst_challenge_thumbprint_ok(const char *thumbprint);

/* The key authorization.  thumbprint: 43 characters (RFC 7638).  False: token or thumbprint is not
 * well formed. */
bool pst_challenge_answer(const char *token, const char *thumbprint,
                          char ret[PST_CHALLENGE_ANSWER_SIZE]);

/* The value of dns-01's TXT record: base64url(SHA-256(key authorization)), always 43 characters.
 * PST_OK; PST_EINPUT: token or thumbprint is not well formed; PST_ENOMEM. */
int pst_challenge_dns01_value(const char *token, const char *thumbprint,
                              char ret[PST_CHALLENGE_DNS01_SIZE], struct pst_err *err);

/* Where the record belongs: "_acme-challenge." or "_validation-persist." and the name without a
 * leading "*.".  False: longer than a name may be (253 bytes); such a name can only be proved in
 * another way. */
bool pst_challenge_fqdn(const char *name, char ret[PST_NAME_SIZE]);
bool pst_persist_fqdn(const char *name, char ret[PST_NAME_SIZE]);

/*
 * The one label below our zone to which a tenant delegates _acme-challenge.<name>: 32 lower-case
 * letters and digits, the base32 (RFC 4648 section 6) of a digest of both.  It is the same for
 * ever, whatever is removed and added again, the same for a name and its wildcard, and different
 * for each tenant: whoever takes over a name does not inherit the label to which its DNS still
 * leads.
 *
 * user_id   as the store has it, not empty.
 *
 * PST_OK; PST_EINPUT: no id, or one of more than 65,535 bytes; PST_ENOMEM.
 */
int pst_delegation_label(const char *user_id, const char *name, char ret[PST_DELEGATION_LABEL_SIZE],
                         struct pst_err *err);

#endif
