/* persist_internal.h - what making and reading the record of dns-persist-01 share. */
#ifndef POSTERN_PERSIST_INTERNAL_H
#define POSTERN_PERSIST_INTERNAL_H

#include <postern/crypto.h>
#include <postern/persist.h>

/* The name without a leading "*.". */
const char *pst_persist_base(const char *name);

/* Append what `accounturi` is for this account at `domain` ("*": at every name).
 * PST_OK, PST_EINPUT (the buffer's limit, or a URL of absurd length), PST_ENOMEM. */
int pst_persist_account(const struct pst_persist_ca *ca, const char *domain, struct pst_buf *ret,
                        struct pst_err *err);

/* An issuer-domain-name of RFC 8659 section 4.2, of at most 253 bytes. */
bool pst_persist_issuer_ok(const char *s);
/* Only characters that a parameter's value may have, and at least one. */
bool pst_persist_uri_ok(const char *s);

#endif
