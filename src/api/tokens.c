/* tokens.c - API tokens and the sessions made with them; the caller's account. */
#include "api_internal.h"

#include <stdio.h>
#include <string.h>

#include <postern/crypto_mac.h>

enum { USED_EVERY_MS = 60 * 1000, TOKENS_MAX = 500 };

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
    snprintf(claims.tag, sizeof claims.tag, "%.16s", token->hash);
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
    int rc = pst_auth_limit(req, ans);
    if (rc != PST_OK)
        return rc;
    rc = PST_NOTFOUND;
    if (pst_auth_basic(req, &decoded, &token)) {
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

    bool ok =
        pst_json_set_text(j, "id", t->id) && pst_json_set_text(j, "name", t->name) &&
        pst_json_set_time(j, "created_at", t->created_at_ms) &&
        pst_json_set_time(j, "last_used_at", t->last_used_at_ms) &&
        pst_json_set_time(j, "issued_at", t->issued_at_ms ? t->issued_at_ms : t->created_at_ms) &&
        pst_json_set_bool(j, "read_only", t->read_only) &&
        pst_json_set_or_null(j, "app_id", t->app_id);
    return ok ? pst_take(&j) : NULL;
}

/* secret: NULL, or what is shown this once. */
static int answer_token(const struct pst_token *t, const char *secret, int status,
                        struct pst_answer *ans, struct pst_err *err)
{
    auto_(pst_json_free) struct pst_json *token = token_json(t);
    auto_(pst_json_free) struct pst_json *j = pst_json_object();

    bool ok = token && (!secret || pst_json_set_text(token, "token", secret));
    if (!ok || !pst_json_set(j, "token", pst_take(&token)))
        return pst_fail_nomem(err, "the token");
    return pst_answer_json(ans, status, j, err);
}

static int add_token(const struct pst_token *t, void *arg)
{
    return pst_json_push(arg, token_json(t)) ? PST_OK : PST_ENOMEM;
}

static int list_tokens(struct pst_tx *tx, const char *user_id, struct pst_answer *ans,
                       struct pst_err *err)
{
    auto_(pst_json_free) struct pst_json *list = pst_json_array();
    auto_(pst_json_free) struct pst_json *j = pst_json_object();

    if (!list || !j)
        return pst_fail_nomem(err, "the tokens");
    int rc = pst_token_each(tx, user_id, add_token, list, err);
    if (rc != PST_OK)
        return rc;
    if (!pst_json_set(j, "tokens", pst_take(&list)))
        return pst_fail_nomem(err, "the tokens");
    return pst_answer_json(ans, 200, j, err);
}

int pst_tokens_list(struct pst_req *req, struct pst_tx *tx, struct pst_answer *ans,
                    struct pst_err *err)
{
    return list_tokens(tx, req->user.id, ans, err);
}

struct token_body {
    const char *name, *app;
    bool read_only;
};

static const struct pst_json_field token_fields[] = {
    PST_JSON_FIELD(struct token_body, name, "name", TEXT, PST_JSON_OPTIONAL, 0),
    PST_JSON_FIELD(struct token_body, app, "app", TEXT, PST_JSON_OPTIONAL | PST_JSON_NULLABLE, 0),
    PST_JSON_FIELD(struct token_body, read_only, "read_only", BOOL,
                   PST_JSON_OPTIONAL | PST_JSON_NULLABLE, 0),
};

/* {"token":{...}}, or the bare object as the npm client sends it. */
static int read_token_body(struct pst_req *req, struct token_body *b, struct pst_answer *ans)
{
    const struct pst_json *rooted = pst_json_get(req->json, "token");
    const struct pst_json *j = rooted ? rooted : req->json;

    if (pst_json_type(j) != PST_JSON_OBJECT)
        return pst_answer_invalid(ans, "name", "must be a text that tells what the token is for");
    return pst_req_decode(j, token_fields, PST_ARRAY_N(token_fields), b, ans);
}

static int set_token_name(struct pst_token *t, const char *name, struct pst_answer *ans)
{
    if (!name || !*name)
        return pst_answer_invalid(ans, "name", "must be a text that tells what the token is for");
    if (!pst_str_copy(t->name, sizeof t->name, name))
        return pst_answer_invalid(ans, "name", "must be shorter than %zu bytes", sizeof t->name);
    if (!pst_is_line(name))
        return pst_answer_invalid(ans, "name", "must not hold control characters");
    return PST_OK;
}

/* The app that a deploy token is bound to: one that its user sees. */
static int bind_token(struct pst_tx *tx, const struct pst_user *user, const char *app,
                      struct pst_token *t, struct pst_answer *ans, struct pst_err *err)
{
    struct pst_app a;

    if (!app || !*app)
        return PST_OK;
    int rc = pst_app_find(tx, user->role == PST_ROLE_TENANT ? user->id : NULL, app, &a, err);
    if (rc == PST_NOTFOUND)
        return pst_answer_invalid(ans, "app", "there is no such app");
    if (rc == PST_OK)
        pst_str_copy(t->app_id, sizeof t->app_id, a.id);
    return rc;
}

static int check_room(struct pst_tx *tx, const struct pst_user *user, struct pst_answer *ans,
                      struct pst_err *err)
{
    int64_t n = 0;

    int rc = pst_user_lock(tx, user->id, err);
    if (rc == PST_OK)
        rc = pst_token_count(tx, user->id, &n, err);
    if (rc == PST_OK && n >= TOKENS_MAX)
        return pst_answer_invalid(ans, "tokens", "an account has at most %d; revoke one first",
                                  TOKENS_MAX);
    return rc;
}

static int create_token(struct pst_req *req, struct pst_tx *tx, const struct pst_user *user,
                        struct pst_answer *ans, struct pst_err *err)
{
    struct token_body b = {0};
    struct pst_token t = {0};
    char secret[PST_API_TOKEN_SIZE];

    int rc = read_token_body(req, &b, ans);
    if (rc == PST_OK)
        rc = set_token_name(&t, b.name, ans);
    if (rc == PST_OK)
        rc = bind_token(tx, user, b.app, &t, ans, err);
    if (rc == PST_OK)
        rc = check_room(tx, user, ans, err);
    if (rc != PST_OK)
        return rc;
    t.read_only = b.read_only;
    pst_str_copy(t.user_id, sizeof t.user_id, user->id);
    rc = pst_token_make(req->api->opts.rand, PST_USER_TOKEN_PREFIX, secret, t.hash, err);
    if (rc == PST_OK)
        rc = pst_token_insert(tx, &t, err);
    if (rc == PST_OK)
        rc = pst_req_event(req, tx, "token.created", t.app_id, NULL, err,
                           "API token \"%s\" was made for %s%s%s", t.name, user->username,
                           t.read_only ? ", only to read" : "", t.app_id[0] ? ", for one app" : "");
    if (rc == PST_OK)
        rc = answer_token(&t, secret, 201, ans, err);
    pst_wipe(secret, sizeof secret);
    return rc;
}

int pst_tokens_create(struct pst_req *req, struct pst_tx *tx, struct pst_answer *ans,
                      struct pst_err *err)
{
    return create_token(req, tx, &req->user, ans, err);
}

/* One of the caller's own. */
static int find_own(struct pst_req *req, struct pst_tx *tx, struct pst_token *ret,
                    struct pst_answer *ans, struct pst_err *err)
{
    int rc = pst_token_get(tx, req->params[0], ret, err);

    if (rc == PST_OK && !pst_streq(ret->user_id, req->user.id))
        rc = PST_NOTFOUND;
    return rc == PST_NOTFOUND ? pst_answer_absent(ans, "token") : rc;
}

int pst_tokens_renew(struct pst_req *req, struct pst_tx *tx, struct pst_answer *ans,
                     struct pst_err *err)
{
    char secret[PST_API_TOKEN_SIZE];
    struct pst_token t;

    int rc = find_own(req, tx, &t, ans, err);
    if (rc == PST_OK)
        rc = pst_token_make(req->api->opts.rand, PST_USER_TOKEN_PREFIX, secret, t.hash, err);
    if (rc != PST_OK)
        return rc;
    rc = pst_token_renew(tx, t.id, t.hash, err);
    if (rc == PST_OK)
        rc = pst_token_get(tx, t.id, &t, err);
    if (rc == PST_OK)
        rc = pst_req_event(req, tx, "token.renewed", NULL, NULL, err,
                           "API token \"%s\" has a new secret", t.name);
    if (rc == PST_OK)
        rc = answer_token(&t, secret, 200, ans, err);
    pst_wipe(secret, sizeof secret);
    return rc;
}

int pst_tokens_patch(struct pst_req *req, struct pst_tx *tx, struct pst_answer *ans,
                     struct pst_err *err)
{
    struct token_body b = {0};
    struct pst_token t;

    int rc = find_own(req, tx, &t, ans, err);
    if (rc == PST_OK)
        rc = read_token_body(req, &b, ans);
    if (rc == PST_OK && (b.app || b.read_only))
        return pst_answer_invalid(ans, "token", "only its name can be changed; make another token");
    if (rc == PST_OK)
        rc = set_token_name(&t, b.name, ans);
    if (rc == PST_OK)
        rc = pst_token_rename(tx, t.id, t.name, err);
    return rc == PST_OK ? answer_token(&t, NULL, 200, ans, err) : rc;
}

static int delete_token(struct pst_req *req, struct pst_tx *tx, const char *user_id, const char *id,
                        struct pst_answer *ans, struct pst_err *err)
{
    int rc = pst_token_delete(tx, user_id, id, err);

    if (rc == PST_NOTFOUND)
        return pst_answer_absent(ans, "token");
    if (rc == PST_OK)
        rc = pst_req_event(req, tx, "token.revoked", NULL, NULL, err, "API token %.24s was revoked",
                           id);
    return rc == PST_OK ? pst_answer_empty(ans, 204) : rc;
}

int pst_tokens_delete(struct pst_req *req, struct pst_tx *tx, struct pst_answer *ans,
                      struct pst_err *err)
{
    return delete_token(req, tx, req->user.id, req->params[0], ans, err);
}

/* ---- an operator works on others' tokens ---- */

static int find_user(struct pst_req *req, struct pst_tx *tx, struct pst_user *ret,
                     struct pst_answer *ans, struct pst_err *err)
{
    int rc = pst_req_user(req, tx, ret, ans, err);

    return rc == PST_OK ? pst_user_lock(tx, ret->id, err) : rc;
}

int pst_users_tokens_list(struct pst_req *req, struct pst_tx *tx, struct pst_answer *ans,
                          struct pst_err *err)
{
    struct pst_user u;

    int rc = pst_req_user(req, tx, &u, ans, err);
    return rc == PST_OK ? list_tokens(tx, u.id, ans, err) : rc;
}

int pst_users_tokens_create(struct pst_req *req, struct pst_tx *tx, struct pst_answer *ans,
                            struct pst_err *err)
{
    struct pst_user u;

    int rc = find_user(req, tx, &u, ans, err);
    return rc == PST_OK ? create_token(req, tx, &u, ans, err) : rc;
}

int pst_users_tokens_delete(struct pst_req *req, struct pst_tx *tx, struct pst_answer *ans,
                            struct pst_err *err)
{
    struct pst_user u;

    int rc = find_user(req, tx, &u, ans, err);
    return rc == PST_OK ? delete_token(req, tx, u.id, req->params[1], ans, err) : rc;
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

int pst_api_user_create(struct pst_store *store, const char *username, const char *email,
                        const char *role, char ret_token[PST_API_TOKEN_SIZE], struct pst_err *err)
{
    struct creation c = {.token = {.name = "first token"}};
    char secret[PST_API_TOKEN_SIZE];

    const char *problem = pst_user_problem(username, email);
    if (problem)
        return pst_fail(err, PST_REFUSED, "%s", problem);
    pst_str_copy(c.user.username, sizeof c.user.username, username);
    pst_str_copy(c.user.email, sizeof c.user.email, email);
    if (!pst_role_parse(role, &c.user.role))
        return pst_fail(err, PST_REFUSED, "the role is operator, tenant or reader");
    pst_str_copy(c.user.fullname, sizeof c.user.fullname, username);
    int rc =
        pst_token_make(pst_store_rand(store), PST_USER_TOKEN_PREFIX, secret, c.token.hash, err);
    if (rc == PST_OK)
        rc = pst_store_write(store, insert_user, &c, NULL, err);
    if (rc == PST_OK)
        memcpy(ret_token, secret, sizeof secret);
    pst_wipe(secret, sizeof secret);
    return rc;
}
