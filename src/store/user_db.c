/* user_db.c - users and their tokens. */
#include "store_internal.h"

#define USER_COLS   "id, username, email, fullname, role, created_at_ms"
#define TOKEN_TYPES "ttttiiiti"
#define TOKEN_COLS                                                                                 \
    "id, user_id, name, hash, created_at_ms, last_used_at_ms, read_only, app_id, issued_at_ms"

enum {
    USER_INSERT,
    USER_GET,
    USER_BY_NAME,
    USER_LOCK,
    USER_EACH,
    USER_UPDATE,
    USER_APPS,
    USER_TOKENS_DROP,
    USER_DELETE,
    TOKEN_INSERT,
    TOKEN_GET,
    TOKEN_BY_HASH,
    TOKEN_USED,
    TOKEN_RENEW,
    TOKEN_RENAME,
    TOKEN_DELETE,
    TOKEN_EACH,
    TOKEN_COUNT,
};

static const struct pst_stmt stmts[] = {
    [USER_INSERT] = {.name = "user.insert",
                     .sql = "INSERT INTO users (" USER_COLS ") VALUES ($1, $2, $3, $4, $5, $6) "
                            "ON CONFLICT DO NOTHING",
                     .args = "ttttti",
                     .cols = ""},
    [USER_GET] = {.name = "user.get",
                  .sql = "SELECT " USER_COLS " FROM users WHERE id = $1",
                  .args = "t",
                  .cols = "ttttti"},
    [USER_BY_NAME] = {.name = "user.by-name",
                      .sql = "SELECT " USER_COLS " FROM users WHERE username = $1",
                      .args = "t",
                      .cols = "ttttti"},
    [USER_LOCK] = {.name = "user.lock",
                   .sql = "SELECT created_at_ms FROM users WHERE id = $1",
                   .sql_pg = "SELECT created_at_ms FROM users WHERE id = $1 FOR NO KEY UPDATE",
                   .args = "t",
                   .cols = "i"},
    [USER_EACH] = {.name = "user.each",
                   .sql = "SELECT " USER_COLS " FROM users ORDER BY username",
                   .args = "",
                   .cols = "ttttti"},
    [USER_UPDATE] = {.name = "user.update",
                     .sql = "UPDATE users SET email = $1, fullname = $2, role = $3 WHERE id = $4",
                     .args = "tttt",
                     .cols = ""},
    [USER_APPS] = {.name = "user.apps",
                   .sql = "SELECT count(*) FROM apps WHERE user_id = $1",
                   .args = "t",
                   .cols = "i"},
    [USER_TOKENS_DROP] = {.name = "user.tokens-drop",
                          .sql = "DELETE FROM tokens WHERE user_id = $1",
                          .args = "t",
                          .cols = ""},
    [USER_DELETE] = {.name = "user.delete",
                     .sql = "DELETE FROM users WHERE id = $1",
                     .args = "t",
                     .cols = ""},
    [TOKEN_INSERT] = {.name = "token.insert",
                      .sql = "INSERT INTO tokens (" TOKEN_COLS
                             ") VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)",
                      .args = TOKEN_TYPES,
                      .cols = ""},
    [TOKEN_GET] = {.name = "token.get",
                   .sql = "SELECT " TOKEN_COLS " FROM tokens WHERE id = $1",
                   .args = "t",
                   .cols = TOKEN_TYPES},
    [TOKEN_BY_HASH] = {.name = "token.by-hash",
                       .sql = "SELECT " TOKEN_COLS " FROM tokens WHERE hash = $1",
                       .args = "t",
                       .cols = TOKEN_TYPES},
    [TOKEN_USED] = {.name = "token.used",
                    .sql = "UPDATE tokens SET last_used_at_ms = $1 WHERE id = $2",
                    .args = "it",
                    .cols = ""},
    [TOKEN_RENEW] = {.name = "token.renew",
                     .sql = "UPDATE tokens SET hash = $1, issued_at_ms = $2 WHERE id = $3",
                     .args = "tit",
                     .cols = ""},
    [TOKEN_RENAME] = {.name = "token.rename",
                      .sql = "UPDATE tokens SET name = $1 WHERE id = $2",
                      .args = "tt",
                      .cols = ""},
    [TOKEN_DELETE] = {.name = "token.delete",
                      .sql = "DELETE FROM tokens WHERE id = $1 AND user_id = $2",
                      .args = "tt",
                      .cols = ""},
    [TOKEN_EACH] = {.name = "token.each",
                    .sql = "SELECT " TOKEN_COLS " FROM tokens WHERE user_id = $1 "
                           "ORDER BY created_at_ms, id",
                    .args = "t",
                    .cols = TOKEN_TYPES},
    [TOKEN_COUNT] = {.name = "token.count",
                     .sql = "SELECT count(*) FROM tokens WHERE user_id = $1",
                     .args = "t",
                     .cols = "i"},
};
PST_STORE_SQL(user);

/* Stored as text: the numbers of an enum may change. */
static const char *const roles[] = {
    [PST_ROLE_OPERATOR] = "operator",
    [PST_ROLE_TENANT] = "tenant",
    [PST_ROLE_READER] = "reader",
};
_Static_assert(PST_ARRAY_N(roles) == PST_ROLE__COUNT, "a role was added?");

const char *pst_role_name(enum pst_role r)
{
    pst_require((size_t)r < PST_ROLE__COUNT);
    return roles[r];
}

static int parse_role(const char *text, enum pst_role *ret, struct pst_err *err)
{
    for (size_t k = 0; k < PST_ROLE__COUNT; k++)
        if (pst_streq(text, roles[k])) {
            *ret = (enum pst_role)k;
            return PST_OK;
        }
    return pst_fail(err, PST_EDB, "a user's role is \"%.20s\", which this program does not know",
                    text);
}

/* ---- users ---- */

int pst_user_insert(struct pst_tx *tx, struct pst_user *u, struct pst_err *err)
{
    pst_record_new(tx, u->id, &u->created_at_ms);
    return pst_change(tx, &stmts[USER_INSERT], PST_CONFLICT, err, pst_t(u->id), pst_t(u->username),
                      pst_t(u->email), pst_t(u->fullname), pst_t(pst_role_name(u->role)),
                      pst_i(u->created_at_ms));
}

static int read_user(const struct pst_rows *rows, struct pst_user *ret, struct pst_err *err)
{
    struct pst_reader r = {.rows = rows, .err = err};
    char role[16];

    *ret = (struct pst_user){0};
    pst_read_text(&r, ret->id);
    pst_read_text(&r, ret->username);
    pst_read_text(&r, ret->email);
    pst_read_text(&r, ret->fullname);
    pst_read_text(&r, role);
    ret->created_at_ms = pst_read_i(&r);
    int rc = pst_reader_end(&r, "a user");
    return rc == PST_OK ? parse_role(role, &ret->role, err) : rc;
}

static int get_user(struct pst_tx *tx, const struct pst_stmt *stmt, const char *key,
                    struct pst_user *ret, struct pst_err *err)
{
    auto_(pst_rows_free) struct pst_rows *rows = NULL;

    int rc = pst_one(tx, stmt, &rows, err, pst_t(key));
    return rc == PST_OK ? read_user(rows, ret, err) : rc;
}

int pst_user_get(struct pst_tx *tx, const char *id, struct pst_user *ret, struct pst_err *err)
{
    return get_user(tx, &stmts[USER_GET], id, ret, err);
}

int pst_user_by_name(struct pst_tx *tx, const char *username, struct pst_user *ret,
                     struct pst_err *err)
{
    return get_user(tx, &stmts[USER_BY_NAME], username, ret, err);
}

int pst_user_lock(struct pst_tx *tx, const char *id, struct pst_err *err)
{
    int64_t ignored;
    return pst_number(tx, &stmts[USER_LOCK], &ignored, err, pst_t(id));
}

int pst_user_each(struct pst_tx *tx, int (*fn)(const struct pst_user *u, void *arg), void *arg,
                  struct pst_err *err)
{
    auto_(pst_rows_free) struct pst_rows *rows = NULL;

    int rc = pst_db_query(tx->db, &stmts[USER_EACH], &rows, err);
    while (rc == PST_OK && pst_rows_next(rows)) {
        struct pst_user u;
        rc = read_user(rows, &u, err);
        if (rc == PST_OK)
            rc = fn(&u, arg);
    }
    return rc;
}

int pst_user_update(struct pst_tx *tx, const struct pst_user *u, struct pst_err *err)
{
    return pst_change(tx, &stmts[USER_UPDATE], PST_NOTFOUND, err, pst_t(u->email),
                      pst_t(u->fullname), pst_t(pst_role_name(u->role)), pst_t(u->id));
}

int pst_user_apps(struct pst_tx *tx, const char *id, int64_t *ret_n, struct pst_err *err)
{
    return pst_number(tx, &stmts[USER_APPS], ret_n, err, pst_t(id));
}

int pst_user_delete(struct pst_tx *tx, const char *id, struct pst_err *err)
{
    int64_t apps_n = 0;

    int rc = pst_user_lock(tx, id, err);
    if (rc == PST_OK)
        rc = pst_user_apps(tx, id, &apps_n, err);
    if (rc != PST_OK || apps_n)
        return rc == PST_OK ? PST_CONFLICT : rc;
    rc = pst_webhook_delete_of(tx, id, err);
    if (rc == PST_OK)
        rc = pst_bundle_delete_of(tx, id, err);
    if (rc == PST_OK)
        rc = pst_db_exec(tx->db, &stmts[USER_TOKENS_DROP], NULL, err, pst_t(id));
    return rc == PST_OK ? pst_db_exec(tx->db, &stmts[USER_DELETE], NULL, err, pst_t(id)) : rc;
}

/* ---- tokens ---- */

int pst_token_insert(struct pst_tx *tx, struct pst_token *t, struct pst_err *err)
{
    pst_record_new(tx, t->id, &t->created_at_ms);
    return pst_db_exec(tx->db, &stmts[TOKEN_INSERT], NULL, err, pst_t(t->id), pst_t(t->user_id),
                       pst_t(t->name), pst_t(t->hash), pst_i(t->created_at_ms),
                       pst_i(t->last_used_at_ms), pst_i(t->read_only), pst_t(t->app_id),
                       pst_i(t->issued_at_ms));
}

static int read_token(const struct pst_rows *rows, struct pst_token *ret, struct pst_err *err)
{
    struct pst_reader r = {.rows = rows, .err = err};

    *ret = (struct pst_token){0};
    pst_read_text(&r, ret->id);
    pst_read_text(&r, ret->user_id);
    pst_read_text(&r, ret->name);
    pst_read_text(&r, ret->hash);
    ret->created_at_ms = pst_read_i(&r);
    ret->last_used_at_ms = pst_read_i(&r);
    ret->read_only = pst_read_flag(&r);
    pst_read_text(&r, ret->app_id);
    ret->issued_at_ms = pst_read_i(&r);
    return pst_reader_end(&r, "a token");
}

static int get_token(struct pst_tx *tx, const struct pst_stmt *stmt, const char *key,
                     struct pst_token *ret, struct pst_err *err)
{
    auto_(pst_rows_free) struct pst_rows *rows = NULL;

    int rc = pst_one(tx, stmt, &rows, err, pst_t(key));
    return rc == PST_OK ? read_token(rows, ret, err) : rc;
}

int pst_token_by_hash(struct pst_tx *tx, const char *hash, struct pst_token *ret,
                      struct pst_err *err)
{
    return get_token(tx, &stmts[TOKEN_BY_HASH], hash, ret, err);
}

int pst_token_get(struct pst_tx *tx, const char *id, struct pst_token *ret, struct pst_err *err)
{
    return get_token(tx, &stmts[TOKEN_GET], id, ret, err);
}

int pst_token_used(struct pst_tx *tx, const char *id, struct pst_err *err)
{
    return pst_db_exec(tx->db, &stmts[TOKEN_USED], NULL, err, pst_i(pst_tx_now_ms(tx)), pst_t(id));
}

int pst_token_renew(struct pst_tx *tx, const char *id, const char *hash, struct pst_err *err)
{
    return pst_change(tx, &stmts[TOKEN_RENEW], PST_NOTFOUND, err, pst_t(hash),
                      pst_i(pst_tx_now_ms(tx)), pst_t(id));
}

int pst_token_rename(struct pst_tx *tx, const char *id, const char *name, struct pst_err *err)
{
    return pst_change(tx, &stmts[TOKEN_RENAME], PST_NOTFOUND, err, pst_t(name), pst_t(id));
}

int pst_token_delete(struct pst_tx *tx, const char *user_id, const char *id, struct pst_err *err)
{
    return pst_change(tx, &stmts[TOKEN_DELETE], PST_NOTFOUND, err, pst_t(id), pst_t(user_id));
}

int pst_token_each(struct pst_tx *tx, const char *user_id,
                   int (*fn)(const struct pst_token *t, void *arg), void *arg, struct pst_err *err)
{
    auto_(pst_rows_free) struct pst_rows *rows = NULL;

    int rc = pst_db_query(tx->db, &stmts[TOKEN_EACH], &rows, err, pst_t(user_id));
    while (rc == PST_OK && pst_rows_next(rows)) {
        struct pst_token t;
        rc = read_token(rows, &t, err);
        if (rc == PST_OK)
            rc = fn(&t, arg);
    }
    return rc;
}

int pst_token_count(struct pst_tx *tx, const char *user_id, int64_t *ret_n, struct pst_err *err)
{
    return pst_number(tx, &stmts[TOKEN_COUNT], ret_n, err, pst_t(user_id));
}
