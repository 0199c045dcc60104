#include <stdio.h>
#include <string.h>

#include <postern/base.h>
#include <postern/challenge.h>
#include <postern/crypto.h>

enum { LABEL_BYTES = 20 };

/* Stands before what is hashed, so that these digests are good for nothing else. */
#define DELEGATION_CONTEXT "postern delegation 1"

static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

bool pst_challenge_token_ok(const char *token)
{
    size_t len = strspn(token, alphabet);
    return len > 0 && len <= PST_CHALLENGE_TOKEN_MAX && token[len] == '\0';
}

bool pst_challenge_thumbprint_ok(const char *thumbprint)
{
    return strlen(thumbprint) == PST_THUMBPRINT_LEN &&
           strspn(thumbprint, alphabet) == PST_THUMBPRINT_LEN;
}

bool pst_challenge_answer(const char *token, const char *thumbprint,
                          char ret[PST_CHALLENGE_ANSWER_SIZE])
{
    if (!pst_challenge_token_ok(token) || !pst_challenge_thumbprint_ok(thumbprint))
        return false;
    snprintf(ret, PST_CHALLENGE_ANSWER_SIZE, "%s.%s", token, thumbprint);
    return true;
}

int pst_challenge_dns01_value(const char *token, const char *thumbprint,
                              char ret[PST_CHALLENGE_DNS01_SIZE], struct pst_err *err)
{
    char answer[PST_CHALLENGE_ANSWER_SIZE];
    uint8_t digest[PST_SHA256_LEN];
    auto_buf struct pst_buf text = PST_BUF(PST_CHALLENGE_DNS01_SIZE);

    if (!pst_challenge_answer(token, thumbprint, answer))
        return pst_fail(err, PST_EINPUT, "the token or the thumbprint is not well formed");
    int rc = pst_sha256(answer, strlen(answer), digest, err);
    if (rc)
        return rc;
    pst_b64url_add(&text, digest, sizeof digest);
    rc = pst_buf_check(&text, "the value of the TXT record", err);
    if (rc)
        return rc;
    pst_str_copy(ret, PST_CHALLENGE_DNS01_SIZE, pst_buf_cstr(&text));
    return PST_OK;
}

static const char *base_name(const char *name)
{
    return pst_str_starts(name, "*.") ? name + 2 : name;
}

static bool below(const char *prefix, const char *name, char ret[PST_NAME_SIZE])
{
    int len = snprintf(ret, PST_NAME_SIZE, "%s.%s", prefix, base_name(name));

    if (len > 0 && len < PST_NAME_SIZE)
        return true;
    ret[0] = '\0';
    return false;
}

bool pst_challenge_fqdn(const char *name, char ret[PST_NAME_SIZE])
{
    return below("_acme-challenge", name, ret);
}

bool pst_persist_fqdn(const char *name, char ret[PST_NAME_SIZE])
{
    return below("_validation-persist", name, ret);
}

/* Twenty bytes are 32 digits of five bits, without a rest. */
static void base32(const uint8_t data[LABEL_BYTES], char ret[PST_DELEGATION_LABEL_SIZE])
{
    static const char digits[] = "abcdefghijklmnopqrstuvwxyz234567";

    for (size_t i = 0; i < PST_DELEGATION_LABEL_SIZE - 1; i++) {
        size_t bit = i * 5;
        unsigned two = (unsigned)data[bit / 8] << 8;

        if (bit / 8 + 1 < LABEL_BYTES)
            two |= data[bit / 8 + 1];
        ret[i] = digits[two >> (11 - bit % 8) & 31];
    }
    ret[PST_DELEGATION_LABEL_SIZE - 1] = '\0';
}

/* With its length in front, so that two texts in a row can be read in one way only. */
static void add_text(struct pst_buf *to, const char *text)
{
    size_t len = strlen(text);

    pst_buf_char(to, (char)(len >> 8));
    pst_buf_char(to, (char)(len & 0xff));
    pst_buf_add(to, text, len);
}

int pst_delegation_label(const char *user_id, const char *name, char ret[PST_DELEGATION_LABEL_SIZE],
                         struct pst_err *err)
{
    uint8_t digest[PST_SHA256_LEN];
    auto_buf struct pst_buf text = PST_BUF(PST_DELEGATION_OWNER_MAX + PST_NAME_SIZE + 64);

    if (!user_id[0] || strlen(user_id) > PST_DELEGATION_OWNER_MAX)
        return pst_fail(err, PST_EINPUT, "a delegation belongs to a user with an id");
    add_text(&text, DELEGATION_CONTEXT);
    add_text(&text, user_id);
    add_text(&text, base_name(name));
    int rc = pst_buf_check(&text, "the name", err);
    if (!rc)
        rc = pst_sha256(text.data, text.len, digest, err);
    if (!rc)
        base32(digest, ret);
    return rc;
}
