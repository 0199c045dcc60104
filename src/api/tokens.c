/* tokens.c - API tokens and the sessions made with them; the caller's account. */
#include "api_internal.h"

#include <stdio.h>
#include <string.h>

#include <postern/crypto_mac.h>

enum { USED_EVERY_MS = 60 * 1000 };

/* ---- exchange ---- */

struct exchange {
    char hash[PST_SHA256_HEX_SIZE];
    struct pst_token token;
};

static int find_token(struct pst_tx *tx, void *arg, struct pst_err *err)
{
    struct exchange *x = arg;

    return pst_token_by_hash(tx, x->hash, &x->token, err);
}

static int note_use(struct pst_tx *tx, void *arg, struct pst_err *err)
{
    struct exchange *x = arg;

    return pst_token_used(tx, x->token.id, err);
}

/* The API token in "Basic base64(<user name>:<token>)"; the user name does not matter. */
static bool basic_token(const struct pst_req *req, struct pst_buf *decoded, const char **ret)
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

static int sign_session(struct pst_req *req, const struct pst_token *token, struct pst_answer *ans,
                        struct pst_err *err)
{
    const struct pst_api *api = req->api;
    struct pst_claims claims = {.issued_at = pst_now(api->opts.clock)};
    auto_buf_wipe struct pst_buf jwt = PST_BUF(PST_JWT_MAX);
    auto_(pst_json_free) struct pst_json *j = pst_json_object();

    claims.expires_at = claims.issued_at + PST_JWT_LIFE_S;
    pst_str_copy(claims.user_id, sizeof claims.user_id, token->user_id);
    pst_str_copy(claims.token_id, sizeof claims.token_id, token->id);
    int rc = pst_jwt_sign(&api->jwt_key, &claims, &jwt, err);
    if (rc < 0)
        return rc;
    if (!pst_json_set_text(j, "token", pst_buf_cstr(&jwt)))
        return pst_fail_nomem(err, "the session token");
    return pst_answer_json(ans, 200, j, err);
}

int pst_tokens_exchange(struct pst_req *req, struct pst_tx *tx, struct pst_answer *ans,
                        struct pst_err *err)
{
    struct pst_api *api = req->api;
    int64_t now_ms = pst_mono_ms(api->opts.clock);
    auto_buf_wipe struct pst_buf decoded = PST_BUF(512);
    struct exchange x = {0};
    const char *token;

    (void)tx;
    int64_t wait_s = pst_limiter_wait_s(api->limiter, req->peer, now_ms);
    if (wait_s > 0) {
        int rc = pst_answer_error(ans, 429, "too many failed logins from this address; wait %lld s",
                                  (long long)wait_s);
        ans->retry_after_s = wait_s;
        return rc;
    }
    int rc = PST_NOTFOUND;
    if (basic_token(req, &decoded, &token)) {
        rc = pst_sha256_hex(token, strlen(token), x.hash, err);
        if (rc == PST_OK)
            rc = pst_store_read(api->opts.store, find_token, &x, err);
    }
    if (rc == PST_NOTFOUND) {
        pst_limiter_failed(api->limiter, req->peer, now_ms);
        return pst_answer_error(ans, 401,
                                "the API token is not valid; send it as Basic authentication "
                                "with an empty user name");
    }
    if (rc != PST_OK)
        return rc;
    /* Terraform exchanges several times a second: the date need not be that exact. */
    if (pst_wall_ms(api->opts.clock) - x.token.last_used_at_ms >= USED_EVERY_MS) {
        rc = pst_store_write(api->opts.store, note_use, &x, NULL, err);
        if (rc < 0)
            return rc;
    }
    return sign_session(req, &x.token, ans, err);
}

/* ---- tokens ---- */

static struct pst_json *token_json(const struct pst_token *t)
{
    auto_(pst_json_free) struct pst_json *j = pst_json_object();
    char created[PST_TIME_SIZE], used[PST_TIME_SIZE];

    pst_time_format(created, t->created_at_ms);
    pst_time_format(used, t->last_used_at_ms);
    bool ok = pst_json_set_text(j, "id", t->id) && pst_json_set_text(j, "name", t->name) &&
              pst_json_set_text(j, "created_at", created) &&
              (t->last_used_at_ms ? pst_json_set_text(j, "last_used_at", used)
                                  : pst_json_set_null(j, "last_used_at"));
    return ok ? pst_take(&j) : NULL;
}

static int add_token(const struct pst_token *t, void *arg)
{
    return pst_json_push(arg, token_json(t)) ? PST_OK : PST_ENOMEM;
}

int pst_tokens_list(struct pst_req *req, struct pst_tx *tx, struct pst_answer *ans,
                    struct pst_err *err)
{
    auto_(pst_json_free) struct pst_json *list = pst_json_array();
    auto_(pst_json_free) struct pst_json *j = pst_json_object();

    if (!list || !j)
        return pst_fail_nomem(err, "the tokens");
    int rc = pst_token_each(tx, req->user.id, add_token, list, err);
    if (rc != PST_OK)
        return rc;
    if (!pst_json_set(j, "tokens", pst_take(&list)))
        return pst_fail_nomem(err, "the tokens");
    return pst_answer_json(ans, 200, j, err);
}

/* {"token":{"name":"..."}}, or {"name":"..."} as the npm client sends it. */
static int read_token_name(struct pst_req *req, struct pst_token *to, struct pst_answer *ans)
{
    const struct pst_json *rooted = pst_json_get(req->json, "token");
    const char *name = pst_json_get_text(rooted ? rooted : req->json, "name");

    if (!name || !*name)
        return pst_answer_invalid(ans, "name", "must be a text that tells what the token is for");
    if (!pst_str_copy(to->name, sizeof to->name, name))
        return pst_answer_invalid(ans, "name", "must be shorter than %zu bytes", sizeof to->name);
    return PST_OK;
}

int pst_tokens_create(struct pst_req *req, struct pst_tx *tx, struct pst_answer *ans,
                      struct pst_err *err)
{
    struct pst_token t = {0};
    char secret[PST_API_TOKEN_SIZE];

    int rc = read_token_name(req, &t, ans);
    if (rc != PST_OK)
        return rc;
    pst_str_copy(t.user_id, sizeof t.user_id, req->user.id);
    rc = pst_token_make(req->api->opts.rand, "tk-us-", secret, t.hash, err);
    if (rc == PST_OK)
        rc = pst_token_insert(tx, &t, err);
    if (rc == PST_OK)
        rc = pst_req_event(req, tx, "token.created", NULL, NULL, err,
                           "API token \"%.100s\" was made", t.name);
    if (rc != PST_OK)
        return rc;
    auto_(pst_json_free) struct pst_json *token = token_json(&t);
    auto_(pst_json_free) struct pst_json *j = pst_json_object();
    bool ok = token && pst_json_set_text(token, "token", secret);
    pst_wipe(secret, sizeof secret);
    if (!ok || !pst_json_set(j, "token", pst_take(&token)))
        return pst_fail_nomem(err, "the token");
    return pst_answer_json(ans, 201, j, err);
}

int pst_tokens_delete(struct pst_req *req, struct pst_tx *tx, struct pst_answer *ans,
                      struct pst_err *err)
{
    int rc = pst_token_delete(tx, req->user.id, req->params[0], err);

    if (rc == PST_NOTFOUND)
        return pst_answer_absent(ans, "token");
    if (rc == PST_OK)
        rc = pst_req_event(req, tx, "token.revoked", NULL, NULL, err, "API token %.24s was revoked",
                           req->params[0]);
    return rc == PST_OK ? pst_answer_empty(ans, 204) : rc;
}

/* ---- the account ---- */

int pst_users_self(struct pst_req *req, struct pst_tx *tx, struct pst_answer *ans,
                   struct pst_err *err)
{
    auto_(pst_json_free) struct pst_json *u = pst_json_object();
    auto_(pst_json_free) struct pst_json *j = pst_json_object();
    const struct pst_user *user = &req->user;
    char created[PST_TIME_SIZE];

    (void)tx;
    pst_time_format(created, user->created_at_ms);
    /* No "admin" flag, whatever the role: it makes the Scalingo CLI ask questions. */
    if (!pst_json_set_text(u, "id", user->id) ||
        !pst_json_set_text(u, "username", user->username) ||
        !pst_json_set_text(u, "fullname", user->fullname) ||
        !pst_json_set_text(u, "email", user->email) ||
        !pst_json_set_text(u, "role", pst_role_name(user->role)) ||
        !pst_json_set_text(u, "created_at", created) ||
        !pst_json_set(u, "flags", pst_json_object()) || !pst_json_set(j, "user", pst_take(&u)))
        return pst_fail_nomem(err, "the account");
    return pst_answer_json(ans, 200, j, err);
}

/* ---- the first account ---- */

struct creation {
    struct pst_user user;
    struct pst_token token;
};

static int insert_user(struct pst_tx *tx, void *arg, struct pst_err *err)
{
    struct creation *c = arg;
    struct pst_event e = {.kind = "user.created", .actor = "system"};

    int rc = pst_user_insert(tx, &c->user, err);
    if (rc != PST_OK)
        return rc;
    pst_str_copy(c->token.user_id, sizeof c->token.user_id, c->user.id);
    rc = pst_token_insert(tx, &c->token, err);
    if (rc != PST_OK)
        return rc;
    snprintf(e.text, sizeof e.text, "account %s (%s) was made", c->user.username,
             pst_role_name(c->user.role));
    return pst_event_append(tx, &e, err);
}

static bool parse_role(const char *name, enum pst_role *ret)
{
    for (int i = 0; i < PST_ROLE__COUNT; i++) {
        if (pst_streq(pst_role_name((enum pst_role)i), name)) {
            *ret = (enum pst_role)i;
            return true;
        }
    }
    return false;
}

int pst_api_user_create(struct pst_store *store, const char *username, const char *email,
                        const char *role, char ret_token[PST_API_TOKEN_SIZE], struct pst_err *err)
{
    struct creation c = {.token = {.name = "first token"}};
    char secret[PST_API_TOKEN_SIZE];

    size_t len = strspn(username, "abcdefghijklmnopqrstuvwxyz0123456789-_.");
    if (len == 0 || username[len] ||
        !pst_str_copy(c.user.username, sizeof c.user.username, username))
        return pst_fail(err, PST_REFUSED,
                        "the user name must have 1 to %zu lower-case letters, digits, -, _ or .",
                        sizeof c.user.username - 1);
    if (!strchr(email, '@') || !pst_utf8_ok(email, strlen(email)) ||
        !pst_str_copy(c.user.email, sizeof c.user.email, email))
        return pst_fail(err, PST_REFUSED, "%.100s is not a mail address", email);
    if (!parse_role(role, &c.user.role))
        return pst_fail(err, PST_REFUSED, "the role is operator, tenant or reader");
    pst_str_copy(c.user.fullname, sizeof c.user.fullname, username);
    int rc = pst_token_make(pst_store_rand(store), "tk-us-", secret, c.token.hash, err);
    if (rc == PST_OK)
        rc = pst_store_write(store, insert_user, &c, NULL, err);
    if (rc == PST_OK)
        memcpy(ret_token, secret, sizeof secret);
    pst_wipe(secret, sizeof secret);
    return rc;
}
