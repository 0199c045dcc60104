/*
 * challenge.h - what answers an ACME challenge (RFC 8555 section 8).
 *
 * http-01 (section 8.3): the edge serves the key authorization, `token "." thumbprint`, at
 * http://<name>/.well-known/acme-challenge/<token>.
 *
 * Pure functions: any thread, no blocking, no memory.
 */
#ifndef POSTERN_CHALLENGE_H
#define POSTERN_CHALLENGE_H

#include <stdbool.h>

enum {
    PST_CHALLENGE_TOKEN_MAX = 128, /* characters we accept of a token */
    PST_CHALLENGE_ANSWER_SIZE = PST_CHALLENGE_TOKEN_MAX + 1 + 43 + 1,
};

/* A token is 1 to 128 characters of the base64url alphabet: nothing that could leave its place in
 * a path. */
bool pst_challenge_token_ok(const char *token);

/* The key authorization.  thumbprint: 43 characters (RFC 7638).  False: token or thumbprint is not
 * well formed. */
bool pst_challenge_answer(const char *token, const char *thumbprint,
                          char ret[PST_CHALLENGE_ANSWER_SIZE]);

#endif
