#include <stdio.h>
#include <string.h>

#include <postern/challenge.h>

enum { THUMBPRINT_LEN = 43 };

static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

bool pst_challenge_token_ok(const char *token)
{
    size_t len = strspn(token, alphabet);
    return len > 0 && len <= PST_CHALLENGE_TOKEN_MAX && token[len] == '\0';
}

bool pst_challenge_answer(const char *token, const char *thumbprint,
                          char ret[PST_CHALLENGE_ANSWER_SIZE])
{
    if (!pst_challenge_token_ok(token))
        return false;
    if (strlen(thumbprint) != THUMBPRINT_LEN || strspn(thumbprint, alphabet) != THUMBPRINT_LEN)
        return false;
    snprintf(ret, PST_CHALLENGE_ANSWER_SIZE, "%s.%s", token, thumbprint);
    return true;
}
