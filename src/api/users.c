/* users.c - accounts: everybody's own, and for operators those of others. */
#include "api_internal.h"

#include <string.h>

bool pst_is_line(const char *text)
{
    for (const unsigned char *c = (const unsigned char *)text; *c; c++)
        if (*c < 0x20 || *c == 0x7f || (*c == 0xc2 && c[1] >= 0x80 && c[1] <= 0x9f))
            return false;
    return true;
}

const char *pst_user_problem(const char *username, const char *email)
{
    size_t len = strspn(username, "abcdefghijklmnopqrstuvwxyz0123456789-_.");

    if (len == 0 || username[len] || len >= PST_WORD_SIZE)
        return "the user name must have 1 to 63 lower-case letters, digits, -, _ or .";
    if (strlen(email) >= PST_HOST_SIZE || !strchr(email, '@') ||
        !pst_utf8_ok(email, strlen(email)) || !pst_is_line(email))
        return "that is not a mail address";
    return NULL;
}

bool pst_role_parse(const char *name, enum pst_role *ret)
{
    for (int i = 0; i < PST_ROLE__COUNT; i++) {
        if (pst_streq(pst_role_name((enum pst_role)i), name)) {
            *ret = (enum pst_role)i;
            return true;
        }
    }
    return false;
}

struct pst_json *pst_user_json(const struct pst_user *u)
{
    auto_(pst_json_free) struct pst_json *j = pst_json_object();

    /* No "admin" flag, whatever the role: it makes the Scalingo CLI ask questions. */
    bool ok = pst_json_set_text(j, "id", u->id) && pst_json_set_text(j, "username", u->username) &&
              pst_json_set_text(j, "fullname", u->fullname) &&
              pst_json_set_text(j, "email", u->email) &&
              pst_json_set_text(j, "role", pst_role_name(u->role)) &&
              pst_json_set_time(j, "created_at", u->created_at_ms) &&
              pst_json_set(j, "flags", pst_json_object());
    return ok ? pst_take(&j) : NULL;
}

/* token: NULL, or the secret of the first token, shown this once. */
static int answer_user(const struct pst_user *u, const char *token, int status,
                       struct pst_answer *ans, struct pst_err *err)
{
    auto_(pst_json_free) struct pst_json *j = pst_json_object();

    if (!pst_json_set(j, "user", pst_user_json(u)) ||
        (token && !pst_json_set_text(j, "token", token)))
        return pst_fail_nomem(err, "the account");
    return pst_answer_json(ans, status, j, err);
}

int pst_users_self(struct pst_req *req, struct pst_tx *tx, struct pst_answer *ans,
                   struct pst_err *err)
{
    (void)tx;
    return answer_user(&req->user, NULL, 200, ans, err);
}

int pst_req_user(struct pst_req *req, struct pst_tx *tx, struct pst_user *ret,
                 struct pst_answer *ans, struct pst_err *err)
{
    int rc = pst_user_get(tx, req->params[0], ret, err);

    if (rc == PST_NOTFOUND)
        rc = pst_user_by_name(tx, req->params[0], ret, err);
    return rc == PST_NOTFOUND ? pst_answer_absent(ans, "user") : rc;
}

static int list_user(const struct pst_user *u, void *arg)
{
    return pst_json_push(arg, pst_user_json(u)) ? PST_OK : PST_ENOMEM;
}

int pst_users_list(struct pst_req *req, struct pst_tx *tx, struct pst_answer *ans,
                   struct pst_err *err)
{
    auto_(pst_json_free) struct pst_json *list = pst_json_array();
    auto_(pst_json_free) struct pst_json *j = pst_json_object();

    (void)req;
    if (!list || !j)
        return pst_fail_nomem(err, "the users");
    int rc = pst_user_each(tx, list_user, list, err);
    if (rc != PST_OK)
        return rc;
    if (!pst_json_set(j, "users", pst_take(&list)))
        return pst_fail_nomem(err, "the users");
    return pst_answer_json(ans, 200, j, err);
}

int pst_users_get(struct pst_req *req, struct pst_tx *tx, struct pst_answer *ans,
                  struct pst_err *err)
{
    struct pst_user u;

    int rc = pst_req_user(req, tx, &u, ans, err);
    return rc == PST_OK ? answer_user(&u, NULL, 200, ans, err) : rc;
}

/* ---- making and changing ---- */

struct user_body {
    const char *username, *email, *fullname, *role;
};

static const struct pst_json_field fields[] = {
    PST_JSON_FIELD(struct user_body, username, "username", TEXT, PST_JSON_OPTIONAL, 0),
    PST_JSON_FIELD(struct user_body, email, "email", TEXT, PST_JSON_OPTIONAL, 0),
    PST_JSON_FIELD(struct user_body, fullname, "fullname", TEXT, PST_JSON_OPTIONAL, 0),
    PST_JSON_FIELD(struct user_body, role, "role", TEXT, PST_JSON_OPTIONAL, 0),
};

/* Over what the account has now. */
static int read_user(struct pst_req *req, struct pst_user *u, struct pst_answer *ans)
{
    const struct pst_json *j = pst_json_get(req->json, "user");
    struct user_body b = {u->username, u->email, u->fullname, pst_role_name(u->role)};

    if (pst_json_type(j) != PST_JSON_OBJECT)
        return pst_answer_invalid(ans, "user", "missing field");
    int rc = pst_req_decode(j, fields, PST_ARRAY_N(fields), &b, ans);
    if (rc != PST_OK)
        return rc;
    if (u->username[0] && !pst_streq(u->username, b.username))
        return pst_answer_invalid(ans, "username", "cannot be changed");
    const char *problem = pst_user_problem(b.username, b.email);
    if (problem)
        return pst_answer_invalid(ans, strstr(problem, "mail") ? "email" : "username", "%s",
                                  problem);
    if (!pst_role_parse(b.role, &u->role))
        return pst_answer_invalid(ans, "role", "must be operator, tenant or reader");
    if (strlen(b.fullname) >= sizeof u->fullname)
        return pst_answer_invalid(ans, "fullname", "must be shorter than %zu bytes",
                                  sizeof u->fullname);
    if (!pst_is_line(b.fullname))
        return pst_answer_invalid(ans, "fullname", "must not hold control characters");
    /* The texts may lie in the account itself. */
    struct pst_user next = *u;
    pst_str_copy(next.username, sizeof next.username, b.username);
    pst_str_copy(next.email, sizeof next.email, b.email);
    pst_str_copy(next.fullname, sizeof next.fullname, b.fullname[0] ? b.fullname : b.username);
    *u = next;
    return PST_OK;
}

int pst_users_create(struct pst_req *req, struct pst_tx *tx, struct pst_answer *ans,
                     struct pst_err *err)
{
    struct pst_user u = {.role = PST_ROLE_TENANT};
    struct pst_token t = {.name = "first token"};
    char secret[PST_API_TOKEN_SIZE];

    int rc = read_user(req, &u, ans);
    if (rc == PST_OK)
        rc = pst_user_insert(tx, &u, err);
    if (rc == PST_CONFLICT)
        return pst_answer_invalid(ans, "username", "has already been taken");
    if (rc == PST_OK)
        rc = pst_token_make(req->api->opts.rand, PST_USER_TOKEN_PREFIX, secret, t.hash, err);
    if (rc != PST_OK)
        return rc;
    pst_str_copy(t.user_id, sizeof t.user_id, u.id);
    rc = pst_token_insert(tx, &t, err);
    if (rc == PST_OK)
        rc = pst_req_event(req, tx, "user.created", NULL, NULL, err, "account %s (%s) was made",
                           u.username, pst_role_name(u.role));
    if (rc == PST_OK)
        rc = answer_user(&u, secret, 201, ans, err);
    pst_wipe(secret, sizeof secret);
    return rc;
}

int pst_users_patch(struct pst_req *req, struct pst_tx *tx, struct pst_answer *ans,
                    struct pst_err *err)
{
    struct pst_user u;

    int rc = pst_req_user(req, tx, &u, ans, err);
    if (rc != PST_OK)
        return rc;
    enum pst_role role = u.role;
    rc = read_user(req, &u, ans);
    if (rc != PST_OK)
        return rc;
    if (u.role != role && pst_streq(u.id, req->user.id))
        return pst_answer_invalid(ans, "role", "nobody can change the role of the own account");
    rc = pst_user_update(tx, &u, err);
    if (rc == PST_OK)
        rc = pst_req_event(req, tx, "user.changed", NULL, NULL, err, "account %s is now %s, <%s>",
                           u.username, pst_role_name(u.role), u.email);
    return rc == PST_OK ? answer_user(&u, NULL, 200, ans, err) : rc;
}

int pst_users_delete(struct pst_req *req, struct pst_tx *tx, struct pst_answer *ans,
                     struct pst_err *err)
{
    struct pst_user u;

    int rc = pst_req_user(req, tx, &u, ans, err);
    if (rc != PST_OK)
        return rc;
    if (pst_streq(u.id, req->user.id))
        return pst_answer_invalid(ans, "user", "nobody can remove the own account");
    rc = pst_user_delete(tx, u.id, err);
    if (rc == PST_CONFLICT)
        return pst_answer_invalid(ans, "user", "still has apps; remove them first");
    if (rc == PST_OK)
        rc = pst_req_event(req, tx, "user.removed", NULL, NULL, err, "account %s was removed",
                           u.username);
    return rc == PST_OK ? pst_answer_empty(ans, 204) : rc;
}
