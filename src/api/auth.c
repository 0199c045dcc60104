/* auth.c - who asks: reading the Authorization field, loading the account or edge behind it. */
#include "api_internal.h"

#include <string.h>
#include <strings.h>

#include <postern/conf.h>
#include <postern/crypto_mac.h>

/* The date of the last use need not be more exact. */
enum { USED_EVERY_MS = 60 * 1000, OAUTH_VALUE_MAX = 512 };

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

int pst_auth_limit(struct pst_req *req, struct pst_answer *ans)
{
    struct pst_api *api = req->api;
    int64_t wait_s = pst_limiter_wait_s(api->limiter, req->peer, pst_mono_ms(api->opts.clock));

    if (wait_s <= 0)
        return PST_OK;
    int rc = pst_answer_error(ans, 429, "too many failed logins from this address; wait %lld s",
                              (long long)wait_s);
    ans->retry_after_s = wait_s;
    return rc;
}

/* ---- API tokens that come with the request itself ---- */

/* OAuth's parameters: k="v", separated by commas (RFC 5849 section 3.5.1). */
static bool oauth_value(const char *text, const char *key, char *to, size_t size)
{
    size_t key_len = strlen(key);

    while (*text) {
        text += strspn(text, " ,\t");
        size_t len = strcspn(text, "=");
        const char *value = text + len;
        if (*value != '=' || value[1] != '"')
            return false;
        value += 2;
        size_t value_len = strcspn(value, "\"");
        if (value[value_len] != '"')
            return false;
        if (len == key_len && memcmp(text, key, len) == 0) {
            char part[OAUTH_VALUE_MAX];
            if (value_len >= sizeof part)
                return false;
            memcpy(part, value, value_len);
            part[value_len] = '\0';
            bool ok = pst_percent_decode(part) && pst_str_copy(to, size, part);
            pst_wipe(part, sizeof part);
            return ok;
        }
        text = value + value_len + 1;
    }
    return false;
}

/* OAuth 1 with PLAINTEXT: the signature is "consumer secret&token secret".  Any consumer will do:
 * clever-tools comes with a public one.  The token secret is one of our API tokens. */
static int read_oauth(const char *params, struct pst_claims *ret, struct pst_answer *ans,
                      struct pst_err *err)
{
    char method[32], signature[OAUTH_VALUE_MAX];

    if (oauth_value(params, "oauth_signature_method", method, sizeof method) &&
        !pst_streq(method, "PLAINTEXT"))
        return unauthorized(ans, "only the signature method PLAINTEXT is known");
    if (!oauth_value(params, "oauth_token", ret->direct_name, sizeof ret->direct_name) ||
        !oauth_value(params, "oauth_signature", signature, sizeof signature))
        return unauthorized(ans, "the OAuth credentials lack oauth_token or oauth_signature");
    const char *secret = strchr(signature, '&');
    int rc = !secret || !secret[1]
                 ? unauthorized(ans, "the OAuth signature holds no token secret")
                 : pst_sha256_hex(secret + 1, strlen(secret + 1), ret->direct_hash, err);
    pst_wipe(signature, sizeof signature);
    return rc;
}

bool pst_auth_basic(const struct pst_req *req, struct pst_buf *decoded, const char **ret)
{
    const char *value = pst_auth_value(req->authorization, "Basic");

    if (!value || !pst_b64_decode(decoded, value, strlen(value)))
        return false;
    const char *colon = strchr(pst_buf_cstr(decoded), ':');
    if (!colon || strlen(pst_buf_cstr(decoded)) != decoded->len)
        return false;
    *ret = colon + 1;
    return **ret != '\0';
}

/* Browsers send what they know by themselves, whichever site's page makes them do it; but they say
 * so: in Sec-Fetch-Site, older ones in Origin (https://www.w3.org/TR/fetch-metadata/). */
static bool is_from_elsewhere(const struct pst_req *req)
{
    char own[PST_HOST_SIZE + 16];

    if (req->fetch_site[0])
        return !pst_streq(req->fetch_site, "same-origin") && !pst_streq(req->fetch_site, "none");
    if (!req->origin[0])
        return false;
    pst_req_base_url(req, own, sizeof own);
    const char *host = strstr(req->origin, "://");
    return !pst_streq(req->origin, own) && !(host && pst_streq(host + 3, req->host));
}

/* The form for uploads, in a browser: an API token as the password. */
static int read_form_login(struct pst_req *req, struct pst_claims *ret, struct pst_answer *ans)
{
    auto_buf_wipe struct pst_buf decoded = PST_BUF(512);
    struct pst_err err = {0};
    const char *token;

    int rc = pst_auth_limit(req, ans);
    if (rc != PST_OK)
        return rc;
    if (is_from_elsewhere(req))
        return pst_answer_error(ans, 403, "another site made this request; use the form here");
    if (!pst_auth_basic(req, &decoded, &token))
        return unauthorized(ans, "the password must be an API token");
    return pst_sha256_hex(token, strlen(token), ret->direct_hash, &err);
}

static int read_direct(struct pst_req *req, struct pst_claims *ret, struct pst_answer *ans)
{
    const char *oauth = pst_auth_value(req->authorization, "OAuth");
    const char *bearer = pst_auth_value(req->authorization, "Bearer");
    struct pst_err err = {0};

    int rc = pst_auth_limit(req, ans);
    if (rc != PST_OK)
        return rc;
    if (oauth)
        return read_oauth(oauth, ret, ans, &err);
    return pst_sha256_hex(bearer, strlen(bearer), ret->direct_hash, &err);
}

/* ---- reading ---- */

/* Shown without asking who it is? */
static bool is_open(const struct pst_req *req)
{
    bool local = pst_streq(req->peer, "127.0.0.1") || pst_streq(req->peer, "::1");

    return req->route->need == PST_NEED_NOTHING ||
           (req->route->need == PST_NEED_METRICS && local && !req->authorization &&
            pst_conf_bool(req->api->set.conf, PST_CONF_METRICS_LOOPBACK));
}

int pst_auth_read(struct pst_req *req, struct pst_claims *ret, struct pst_answer *ans)
{
    struct pst_api *api = req->api;
    const char *bearer = pst_auth_value(req->authorization, "Bearer");
    struct pst_err err = {0};

    if (is_open(req))
        return PST_OK;
    if (req->route->need != PST_NEED_EDGE && pst_auth_value(req->authorization, "OAuth"))
        return read_direct(req, ret, ans);
    bool form = pst_str_starts(req->route->pattern, "/v2/certificates");
    if (form && pst_auth_value(req->authorization, "Basic"))
        return read_form_login(req, ret, ans);
    if (!bearer && pst_auth_value(req->authorization, "Basic"))
        return unauthorized(ans, "this platform has no passwords: log in with an API token");
    if (!bearer || !*bearer)
        return unauthorized(ans, "a bearer token is needed in the Authorization field");
    if (req->route->need == PST_NEED_EDGE) /* looked up by its hash, in the transaction */
        return PST_OK;
    if (pst_str_starts(bearer, PST_USER_TOKEN_PREFIX))
        return read_direct(req, ret, ans);
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

/* The token's first hex digits: a session of an earlier secret is over. */
static bool same_tag(const struct pst_token *t, const char *tag)
{
    return strlen(tag) == PST_TOKEN_TAG_SIZE - 1 &&
           pst_equal_ct(t->hash, tag, PST_TOKEN_TAG_SIZE - 1);
}

static int load_user(struct pst_req *req, struct pst_tx *tx, const struct pst_claims *claims,
                     struct pst_answer *ans, struct pst_err *err)
{
    bool direct = claims->direct_hash[0];

    int rc = direct ? pst_token_by_hash(tx, claims->direct_hash, &req->token, err)
                    : pst_token_get(tx, claims->token_id, &req->token, err);
    if (rc == PST_OK && !direct &&
        (!pst_streq(req->token.user_id, claims->user_id) || !same_tag(&req->token, claims->tag)))
        rc = PST_NOTFOUND;
    if (rc == PST_OK)
        rc = pst_user_get(tx, req->token.user_id, &req->user, err);
    if (rc == PST_OK && claims->direct_name[0] && !pst_streq(claims->direct_name, req->token.id) &&
        !pst_streq(claims->direct_name, req->user.username))
        rc = PST_NOTFOUND;
    if (rc != PST_NOTFOUND)
        return rc;
    req->token = (struct pst_token){0};
    req->user = (struct pst_user){0};
    if (!direct)
        return unauthorized(ans, "the API token of this session was revoked");
    pst_limiter_failed(req->api->limiter, req->peer, pst_mono_ms(req->api->opts.clock));
    return unauthorized(ans, "the API token is not valid");
}

/* What a token that is bound to one app may ask for; which app is seen when it is looked up. */
static bool within_app(const struct pst_route *r)
{
    static const char *const patterns[] = {
        "/v1/apps",          "/v1/users/self",          "/v1/features/stacks",
        "/v2/self",          "/v2/self/tokens/current", "/v2/summary",
        "/v1/domains/export"};

    if (pst_streq(r->pattern, "/v1/apps/:app"))
        return r->method != PST_DELETE;
    if (pst_str_starts(r->pattern, "/v1/apps/:app/") || strstr(r->pattern, "/applications/:app") ||
        pst_str_starts(r->pattern, "/v1/imports"))
        return true;
    for (size_t i = 0; i < PST_ARRAY_N(patterns); i++)
        if (pst_streq(r->pattern, patterns[i]))
            return r->method == PST_GET;
    return false;
}

static int check_rights(const struct pst_req *req, struct pst_answer *ans)
{
    const struct pst_route *r = req->route;

    if (req->token.app_id[0] && !within_app(r))
        return pst_answer_error(ans, 403, "this API token may only be used for one app");
    if (r->need == PST_NEED_OPERATOR && req->user.role != PST_ROLE_OPERATOR)
        return pst_answer_error(ans, 403, "only an operator may do this");
    if (r->need == PST_NEED_METRICS && req->user.role == PST_ROLE_TENANT)
        return pst_answer_error(ans, 403, "only an operator or reader may see this");
    if (r->need == PST_NEED_WRITER && req->user.role == PST_ROLE_READER)
        return pst_answer_error(ans, 403, "this account may only read");
    if (req->token.read_only && (r->need == PST_NEED_WRITER || r->method != PST_GET))
        return pst_answer_error(ans, 403, "this API token may only read");
    return PST_OK;
}

int pst_auth_load(struct pst_req *req, struct pst_tx *tx, const struct pst_claims *claims,
                  struct pst_answer *ans, struct pst_err *err)
{
    enum pst_need need = req->route->need;

    if (is_open(req))
        return PST_OK;
    if (need == PST_NEED_EDGE)
        return load_edge(req, tx, ans, err);
    int rc = load_user(req, tx, claims, ans, err);
    if (rc != PST_OK)
        return rc;
    /* Tenants see their own objects; operators and readers (monitoring, support) see all. */
    req->scope = req->user.role == PST_ROLE_TENANT ? req->user.id : NULL;
    return check_rights(req, ans);
}

static int note_use(struct pst_tx *tx, void *arg, struct pst_err *err)
{
    const struct pst_req *req = arg;

    return pst_token_used(tx, req->token.id, err);
}

void pst_auth_note_use(struct pst_req *req)
{
    struct pst_err err = {0};
    int64_t age_ms = pst_wall_ms(req->api->opts.clock) - req->token.last_used_at_ms;

    if (!req->token.id[0] || age_ms < USED_EVERY_MS)
        return;
    /* A date that is missing is no reason to fail what was asked for. */
    if (pst_store_write(req->api->opts.store, note_use, req, NULL, &err) < 0)
        pst_log_err("api", "the use of a token was not noted", &err);
}
