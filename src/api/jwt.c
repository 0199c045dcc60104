/*
 * jwt.c - session tokens: JSON Web Tokens (RFC 7519) signed with HS256.
 *
 * Clients only read `exp`; we check everything.  There is one algorithm and one key, whatever the
 * token's header asks for.
 */
#include "api_internal.h"

#include <string.h>

#include <postern/crypto_mac.h>

static const char header_text[] = "{\"alg\":\"HS256\",\"typ\":\"JWT\"}";

int pst_jwt_sign(const struct pst_secret *key, const struct pst_claims *claims, struct pst_buf *ret,
                 struct pst_err *err)
{
    auto_buf struct pst_buf json = PST_BUF(PST_JWT_MAX);
    uint8_t mac[PST_SHA256_LEN];

    pst_buf_printf(&json,
                   "{\"iss\":\"postern\",\"sub\":\"%s\",\"tid\":\"%s\",\"tag\":\"%s\",\"iat\":%lld,"
                   "\"exp\":%lld}",
                   claims->user_id, claims->token_id, claims->tag, (long long)claims->issued_at,
                   (long long)claims->expires_at);
    pst_buf_cut(ret, 0);
    pst_b64url_add(ret, header_text, strlen(header_text));
    pst_buf_char(ret, '.');
    pst_b64url_add(ret, pst_buf_cstr(&json), json.len);
    int rc = pst_buf_check(&json, "the session token", err);
    if (rc == PST_OK)
        rc = pst_buf_check(ret, "the session token", err);
    if (rc == PST_OK)
        rc = pst_hmac_sha256(key->data, key->len, ret->data, ret->len, mac, err);
    if (rc < 0)
        return rc;
    pst_buf_char(ret, '.');
    pst_b64url_add(ret, mac, sizeof mac);
    return pst_buf_check(ret, "the session token", err);
}

static int refuse(struct pst_err *err, const char *why)
{
    return pst_fail(err, PST_REFUSED, "the session token %s", why);
}

/* One part of the token as a JSON object. */
static int parse_part(const char *part, size_t len, struct pst_json **ret, struct pst_err *err)
{
    auto_buf struct pst_buf text = PST_BUF(PST_JWT_MAX);

    if (!pst_b64url_decode(&text, part, len))
        return text.no_memory ? pst_fail_nomem(err, "the session token")
                              : refuse(err, "is not base64url");
    int rc = pst_json_parse(ret, pst_buf_cstr(&text), text.len, NULL);
    if (rc == PST_ENOMEM)
        return pst_fail_nomem(err, "the session token");
    return rc == PST_OK ? PST_OK : refuse(err, "does not hold JSON");
}

static int check_header(const char *part, size_t len, struct pst_err *err)
{
    auto_(pst_json_free) struct pst_json *header = NULL;

    int rc = parse_part(part, len, &header, err);
    if (rc != PST_OK)
        return rc;
    const char *alg = pst_json_get_text(header, "alg");
    if (!alg || !pst_streq(alg, "HS256") || pst_json_get(header, "crit"))
        return refuse(err, "is of another kind than ours");
    return PST_OK;
}

static int check_signature(const struct pst_secret *key, const char *signed_text, size_t signed_len,
                           const char *signature, struct pst_err *err)
{
    auto_buf struct pst_buf given = PST_BUF(PST_SHA256_LEN);
    uint8_t mac[PST_SHA256_LEN];

    int rc = pst_hmac_sha256(key->data, key->len, signed_text, signed_len, mac, err);
    if (rc < 0)
        return rc;
    bool decoded = pst_b64url_decode(&given, signature, strlen(signature));
    if (given.no_memory)
        return pst_fail_nomem(err, "the session token");
    if (!decoded || given.len != sizeof mac || !pst_equal_ct(given.data, mac, sizeof mac))
        return refuse(err, "has a wrong signature");
    return PST_OK;
}

static int read_claims(const char *part, size_t len, int64_t now, struct pst_claims *ret,
                       struct pst_err *err)
{
    auto_(pst_json_free) struct pst_json *json = NULL;
    struct claims {
        const char *sub, *tid, *tag;
        int64_t iat, exp;
    } c = {0};
    static const struct pst_json_field fields[] = {
        PST_JSON_FIELD(struct claims, sub, "sub", TEXT, 0, PST_ID_SIZE - 1),
        PST_JSON_FIELD(struct claims, tid, "tid", TEXT, 0, PST_ID_SIZE - 1),
        PST_JSON_FIELD(struct claims, tag, "tag", TEXT, 0, PST_TOKEN_TAG_SIZE - 1),
        PST_JSON_FIELD(struct claims, iat, "iat", INT, 0, 0),
        PST_JSON_FIELD(struct claims, exp, "exp", INT, 0, 0),
    };

    int rc = parse_part(part, len, &json, err);
    if (rc != PST_OK)
        return rc;
    rc = pst_json_decode(json, fields, PST_ARRAY_N(fields), &c, PST_JSON_IGNORE, NULL);
    if (rc != PST_OK)
        return refuse(err, "lacks a claim");
    if (c.exp <= now)
        return refuse(err, "is over; exchange the API token again");
    pst_str_copy(ret->user_id, sizeof ret->user_id, c.sub);
    pst_str_copy(ret->token_id, sizeof ret->token_id, c.tid);
    pst_str_copy(ret->tag, sizeof ret->tag, c.tag);
    ret->issued_at = c.iat;
    ret->expires_at = c.exp;
    return PST_OK;
}

int pst_jwt_verify(const struct pst_secret *key, const char *text, int64_t now,
                   struct pst_claims *ret, struct pst_err *err)
{
    const char *payload = strchr(text, '.');
    const char *signature = payload ? strchr(payload + 1, '.') : NULL;

    if (strlen(text) > PST_JWT_MAX || !signature || strchr(signature + 1, '.'))
        return refuse(err, "does not have three parts");
    int rc = check_header(text, (size_t)(payload - text), err);
    if (rc == PST_OK)
        rc = check_signature(key, text, (size_t)(signature - text), signature + 1, err);
    if (rc == PST_OK)
        rc = read_claims(payload + 1, (size_t)(signature - payload - 1), now, ret, err);
    return rc;
}
