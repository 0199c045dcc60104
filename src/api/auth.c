/* auth.c - who asks: reading the Authorization field, loading the account or edge behind it. */
#include "api_internal.h"

#include <string.h>
#include <strings.h>

#include <postern/crypto_mac.h>

const char *pst_auth_value(const char *authorization, const char *scheme)
{
    size_t len = strlen(scheme);

    if (!authorization || strncasecmp(authorization, scheme, len) != 0 || authorization[len] != ' ')
        return NULL;
    const char *value = authorization + len;
    return value + strspn(value, " ");
}

int pst_token_make(struct pst_rand *rand, const char *prefix, char ret[PST_API_TOKEN_SIZE],
                   char ret_hash[65], struct pst_err *err)
{
    unsigned char bytes[32];
    auto_buf_wipe struct pst_buf text = PST_BUF(PST_API_TOKEN_SIZE - 1);

    pst_rand_fill(rand, bytes, sizeof bytes);
    pst_buf_str(&text, prefix);
    pst_b64url_add(&text, bytes, sizeof bytes);
    pst_wipe(bytes, sizeof bytes);
    int rc = pst_buf_check(&text, "a new token", err);
    if (rc == PST_OK)
        rc = pst_sha256_hex(text.data, text.len, ret_hash, err);
    if (rc == PST_OK)
        pst_str_copy(ret, PST_API_TOKEN_SIZE, text.data);
    return rc;
}

static int unauthorized(struct pst_answer *ans, const char *text)
{
    int rc = pst_answer_error(ans, 401, "%s", text);
    ans->challenge = "Bearer realm=\"postern\"";
    return rc;
}

int pst_auth_read(struct pst_req *req, struct pst_claims *ret, struct pst_answer *ans)
{
    struct pst_api *api = req->api;
    const char *bearer = pst_auth_value(req->authorization, "Bearer");
    struct pst_err err = {0};

    if (req->route->need == PST_NEED_NOTHING)
        return PST_OK;
    if (!bearer || !*bearer)
        return unauthorized(ans, "a bearer token is needed in the Authorization field");
    if (req->route->need == PST_NEED_EDGE) /* looked up by its hash, in the transaction */
        return PST_OK;
    int rc = pst_jwt_verify(&api->jwt_key, bearer, pst_now(api->opts.clock), ret, &err);
    if (rc == PST_REFUSED)
        return unauthorized(ans, err.text);
    return rc;
}

static int load_edge(struct pst_req *req, struct pst_tx *tx, struct pst_answer *ans,
                     struct pst_err *err)
{
    const char *bearer = pst_auth_value(req->authorization, "Bearer");
    char hash[PST_SHA256_HEX_SIZE];

    int rc = pst_sha256_hex(bearer, strlen(bearer), hash, err);
    if (rc == PST_OK)
        rc = pst_edge_by_token_hash(tx, hash, &req->edge, err);
    if (rc == PST_NOTFOUND)
        return unauthorized(ans, "this edge is not enrolled, or its token was revoked");
    return rc;
}

static int load_user(struct pst_req *req, struct pst_tx *tx, const struct pst_claims *claims,
                     struct pst_answer *ans, struct pst_err *err)
{
    int rc = pst_token_get(tx, claims->token_id, &req->token, err);
    if (rc == PST_OK && !pst_streq(req->token.user_id, claims->user_id))
        rc = PST_NOTFOUND;
    if (rc == PST_OK)
        rc = pst_user_get(tx, claims->user_id, &req->user, err);
    if (rc == PST_NOTFOUND)
        return unauthorized(ans, "the API token of this session was revoked");
    return rc;
}

int pst_auth_load(struct pst_req *req, struct pst_tx *tx, const struct pst_claims *claims,
                  struct pst_answer *ans, struct pst_err *err)
{
    enum pst_need need = req->route->need;

    if (need == PST_NEED_NOTHING)
        return PST_OK;
    if (need == PST_NEED_EDGE)
        return load_edge(req, tx, ans, err);
    int rc = load_user(req, tx, claims, ans, err);
    if (rc != PST_OK)
        return rc;
    /* Tenants see their own objects; operators and readers (monitoring, support) see all. */
    req->scope = req->user.role == PST_ROLE_TENANT ? req->user.id : NULL;
    if (need == PST_NEED_OPERATOR && req->user.role != PST_ROLE_OPERATOR)
        return pst_answer_error(ans, 403, "only an operator may do this");
    if (need == PST_NEED_WRITER && req->user.role == PST_ROLE_READER)
        return pst_answer_error(ans, 403, "this account may only read");
    return PST_OK;
}
