/* app_db.c - apps and their upstreams. */
#include "store_internal.h"

#define APP_COLS                                                                                   \
    "id, name, user_id, force_https, sticky_session, router_logs, domains_max, created_at_ms, "    \
    "updated_at_ms"
#define APP_TYPES      "tttiiiiii"
#define UPSTREAM_COLS  "id, address, weight, drain"
#define UPSTREAM_TYPES "ttii"

enum {
    INSERT,
    FIND,
    FIND_LOCK,
    EACH,
    NAME_TAKEN,
    UPDATE,
    DELETE,
    TOKENS_DROP,
    FAVOURITE,
    FAVOURITE_SET,
    DOMAINS,
    LOCK,
    UPSTREAMS,
    UPSTREAM_DROP,
    UPSTREAMS_DROP,
    UPSTREAM_PUT,
    UPSTREAM_FIND,
    UPSTREAM_UPDATE,
};

#define FIND_SQL                                                                                   \
    "SELECT " APP_COLS " FROM apps WHERE (id = $1 OR name = $1) "                                  \
    "AND ($2 = '' OR user_id = $2) "

static const struct pst_stmt stmts[] = {
    [INSERT] = {.name = "app.insert",
                .sql = "INSERT INTO apps (" APP_COLS ") VALUES ($1, $2, $3, $4, $5, $6, $7, $8, "
                       "$9) ON CONFLICT DO NOTHING",
                .args = APP_TYPES,
                .cols = ""},
    /* An app may be called like another one's id: the id wins. */
    [FIND] = {.name = "app.find",
              .sql = FIND_SQL "ORDER BY CASE WHEN id = $1 THEN 0 ELSE 1 END LIMIT 1",
              .args = "tt",
              .cols = APP_TYPES},
    [FIND_LOCK] = {.name = "app.find-lock",
                   .sql = FIND_SQL "ORDER BY CASE WHEN id = $1 THEN 0 ELSE 1 END LIMIT 1",
                   .sql_pg = FIND_SQL "ORDER BY CASE WHEN id = $1 THEN 0 ELSE 1 END LIMIT 1 "
                                      "FOR NO KEY UPDATE",
                   .args = "tt",
                   .cols = APP_TYPES},
    [EACH] = {.name = "app.each",
              .sql = "SELECT " APP_COLS " FROM apps WHERE ($1 = '' OR user_id = $1) "
                     "ORDER BY created_at_ms, id",
              .args = "t",
              .cols = APP_TYPES},
    [NAME_TAKEN] = {.name = "app.name-taken",
                    .sql = "SELECT count(*) FROM apps WHERE name = $1 AND id <> $2",
                    .args = "tt",
                    .cols = "i"},
    [UPDATE] = {.name = "app.update",
                .sql = "UPDATE apps SET name = $1, force_https = $2, sticky_session = $3, "
                       "router_logs = $4, domains_max = $5, updated_at_ms = $6 WHERE id = $7",
                .args = "tiiiiit",
                .cols = ""},
    [DELETE] = {.name = "app.delete",
                .sql = "DELETE FROM apps WHERE id = $1",
                .args = "t",
                .cols = ""},
    [TOKENS_DROP] = {.name = "app.tokens-drop",
                     .sql = "DELETE FROM tokens WHERE app_id = $1",
                     .args = "t",
                     .cols = ""},
    [FAVOURITE] = {.name = "app.favourite",
                   .sql = "SELECT d.id FROM apps a JOIN domains d ON d.id = a.favourite "
                          "AND d.app_id = a.id WHERE a.id = $1",
                   .args = "t",
                   .cols = "t"},
    [FAVOURITE_SET] = {.name = "app.favourite-set",
                       .sql = "UPDATE apps SET favourite = $1 WHERE id = $2",
                       .args = "tt",
                       .cols = ""},
    [DOMAINS] = {.name = "app.domains",
                 .sql = "SELECT id FROM domains WHERE app_id = $1 ORDER BY created_at_ms, id",
                 .args = "t",
                 .cols = "t"},
    [LOCK] = {.name = "app.lock",
              .sql = "SELECT created_at_ms FROM apps WHERE id = $1",
              .sql_pg = "SELECT created_at_ms FROM apps WHERE id = $1 FOR NO KEY UPDATE",
              .args = "t",
              .cols = "i"},
    [UPSTREAMS] = {.name = "upstream.each",
                   .sql = "SELECT " UPSTREAM_COLS " FROM upstreams WHERE app_id = $1 "
                          "ORDER BY pos, id",
                   .args = "t",
                   .cols = UPSTREAM_TYPES},
    [UPSTREAM_DROP] = {.name = "upstream.drop",
                       .sql = "DELETE FROM upstreams WHERE app_id = $1 AND address = $2",
                       .args = "tt",
                       .cols = ""},
    [UPSTREAMS_DROP] = {.name = "upstream.drop-all",
                        .sql = "DELETE FROM upstreams WHERE app_id = $1",
                        .args = "t",
                        .cols = ""},
    [UPSTREAM_PUT] = {.name = "upstream.put",
                      .sql = "INSERT INTO upstreams (id, app_id, pos, address, weight, drain) "
                             "VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT (app_id, address) "
                             "DO UPDATE SET pos = excluded.pos, weight = excluded.weight, "
                             "drain = excluded.drain",
                      .args = "ttitii",
                      .cols = ""},
    [UPSTREAM_FIND] = {.name = "upstream.find",
                       .sql = "SELECT " UPSTREAM_COLS " FROM upstreams WHERE app_id = $1 "
                              "AND (id = $2 OR address = $2)",
                       .args = "tt",
                       .cols = UPSTREAM_TYPES},
    [UPSTREAM_UPDATE] = {.name = "upstream.update",
                         .sql = "UPDATE upstreams SET weight = $1, drain = $2 "
                                "WHERE app_id = $3 AND id = $4",
                         .args = "iitt",
                         .cols = ""},
};
PST_STORE_SQL(app);

/* ---- apps ---- */

static int read_app(const struct pst_rows *rows, struct pst_app *ret, struct pst_err *err)
{
    struct pst_reader r = {.rows = rows, .err = err};

    *ret = (struct pst_app){0};
    pst_read_text(&r, ret->id);
    pst_read_text(&r, ret->name);
    pst_read_text(&r, ret->user_id);
    ret->force_https = pst_read_flag(&r);
    ret->sticky_session = pst_read_flag(&r);
    ret->router_logs = pst_read_flag(&r);
    ret->domains_max = pst_read_i(&r);
    ret->created_at_ms = pst_read_i(&r);
    ret->updated_at_ms = pst_read_i(&r);
    return pst_reader_end(&r, "an app");
}

int pst_app_insert(struct pst_tx *tx, struct pst_app *a, struct pst_err *err)
{
    pst_record_new(tx, a->id, &a->created_at_ms);
    if (a->updated_at_ms == 0)
        a->updated_at_ms = a->created_at_ms;
    int rc = pst_change(tx, &stmts[INSERT], PST_CONFLICT, err, pst_t(a->id), pst_t(a->name),
                        pst_t(a->user_id), pst_i(a->force_https), pst_i(a->sticky_session),
                        pst_i(a->router_logs), pst_i(a->domains_max), pst_i(a->created_at_ms),
                        pst_i(a->updated_at_ms));
    if (rc == PST_OK)
        rc = pst_platform_name_set(tx, a->id, a->name, err);
    return rc == PST_OK ? pst_touch(tx, "app", a->id, false, err) : rc;
}

int pst_app_find(struct pst_tx *tx, const char *user_id, const char *id_or_name,
                 struct pst_app *ret, struct pst_err *err)
{
    auto_(pst_rows_free) struct pst_rows *rows = NULL;

    int rc = pst_one(tx, &stmts[tx->write ? FIND_LOCK : FIND], &rows, err, pst_t(id_or_name),
                     pst_t(user_id ? user_id : ""));
    return rc == PST_OK ? read_app(rows, ret, err) : rc;
}

int pst_app_each(struct pst_tx *tx, const char *user_id,
                 int (*fn)(const struct pst_app *a, void *arg), void *arg, struct pst_err *err)
{
    auto_(pst_rows_free) struct pst_rows *rows = NULL;

    int rc = pst_db_query(tx->db, &stmts[EACH], &rows, err, pst_t(user_id ? user_id : ""));
    while (rc == PST_OK && pst_rows_next(rows)) {
        struct pst_app a;
        rc = read_app(rows, &a, err);
        if (rc == PST_OK)
            rc = fn(&a, arg);
    }
    return rc;
}

/* What changed of what the edges know. */
static int tell_edges(struct pst_tx *tx, const struct pst_app *old, const struct pst_app *a,
                      struct pst_err *err)
{
    int rc = PST_OK;

    if (!pst_streq(old->name, a->name)) {
        rc = pst_platform_name_set(tx, a->id, a->name, err);
        if (rc == PST_OK)
            rc = pst_touch(tx, "app", a->id, false, err);
    }
    if (rc == PST_OK && old->force_https != a->force_https)
        rc = pst_touch_app_names(tx, a->id, err);
    return rc;
}

int pst_app_update(struct pst_tx *tx, const struct pst_app *a, struct pst_err *err)
{
    auto_(pst_rows_free) struct pst_rows *rows = NULL;
    struct pst_app old;
    int64_t taken = 0;

    int rc = pst_one(tx, &stmts[FIND_LOCK], &rows, err, pst_t(a->id), pst_t(""));
    if (rc == PST_OK)
        rc = read_app(rows, &old, err);
    if (rc != PST_OK)
        return rc;
    if (!pst_streq(old.id, a->id)) /* an app that is called like this id */
        return PST_NOTFOUND;
    rc = pst_number(tx, &stmts[NAME_TAKEN], &taken, err, pst_t(a->name), pst_t(a->id));
    if (rc < 0 || taken)
        return rc < 0 ? rc : PST_CONFLICT;
    rc = pst_db_exec(tx->db, &stmts[UPDATE], NULL, err, pst_t(a->name), pst_i(a->force_https),
                     pst_i(a->sticky_session), pst_i(a->router_logs), pst_i(a->domains_max),
                     pst_i(pst_tx_now_ms(tx)), pst_t(a->id));
    return rc == PST_OK ? tell_edges(tx, &old, a, err) : rc;
}

static int delete_domains(struct pst_tx *tx, const char *app_id, struct pst_err *err)
{
    auto_(pst_rows_free) struct pst_rows *rows = NULL;

    int rc = pst_db_query(tx->db, &stmts[DOMAINS], &rows, err, pst_t(app_id));
    while (rc == PST_OK && pst_rows_next(rows))
        rc = pst_domain_delete(tx, pst_col_t(rows, 0), err);
    return rc > 0 ? pst_unexpected(err, rc, "deleting an app's domain") : rc;
}

int pst_app_delete(struct pst_tx *tx, const char *id, struct pst_err *err)
{
    int rc = pst_app_lock(tx, id, err);
    if (rc != PST_OK)
        return rc;
    rc = delete_domains(tx, id, err);
    if (rc == PST_OK)
        rc = pst_platform_name_set(tx, id, NULL, err);
    if (rc == PST_OK)
        rc = pst_db_exec(tx->db, &stmts[UPSTREAMS_DROP], NULL, err, pst_t(id));
    if (rc == PST_OK)
        rc = pst_variables_drop(tx, id, err);
    if (rc == PST_OK)
        rc = pst_db_exec(tx->db, &stmts[TOKENS_DROP], NULL, err, pst_t(id));
    if (rc == PST_OK)
        rc = pst_db_exec(tx->db, &stmts[DELETE], NULL, err, pst_t(id));
    return rc == PST_OK ? pst_touch(tx, "app", id, true, err) : rc;
}

int pst_app_lock(struct pst_tx *tx, const char *id, struct pst_err *err)
{
    int64_t ignored;
    return pst_number(tx, &stmts[LOCK], &ignored, err, pst_t(id));
}

int pst_app_favourite(struct pst_tx *tx, const char *app_id, char ret_domain_id[PST_ID_SIZE],
                      struct pst_err *err)
{
    auto_(pst_rows_free) struct pst_rows *rows = NULL;

    int rc = pst_one(tx, &stmts[FAVOURITE], &rows, err, pst_t(app_id));
    return rc == PST_OK ? pst_col_copy(rows, 0, ret_domain_id, PST_ID_SIZE, err) : rc;
}

int pst_app_favourite_set(struct pst_tx *tx, const char *app_id, const char *domain_id,
                          struct pst_err *err)
{
    return pst_change(tx, &stmts[FAVOURITE_SET], PST_NOTFOUND, err, pst_t(domain_id),
                      pst_t(app_id));
}

/* ---- upstreams ---- */

static bool listed(const struct pst_upstream *list, size_t n, const char *address)
{
    for (size_t k = 0; k < n; k++)
        if (pst_streq(list[k].address, address))
            return true;
    return false;
}

static int drop_unlisted(struct pst_tx *tx, const char *app_id, const struct pst_upstream *list,
                         size_t n, struct pst_err *err)
{
    auto_(pst_rows_free) struct pst_rows *rows = NULL;

    int rc = pst_db_query(tx->db, &stmts[UPSTREAMS], &rows, err, pst_t(app_id));
    while (rc == PST_OK && pst_rows_next(rows))
        if (!listed(list, n, pst_col_t(rows, 1)))
            rc = pst_db_exec(tx->db, &stmts[UPSTREAM_DROP], NULL, err, pst_t(app_id),
                             pst_t(pst_col_t(rows, 1)));
    return rc;
}

int pst_upstreams_set(struct pst_tx *tx, const char *app_id, const struct pst_upstream *list,
                      size_t n, struct pst_err *err)
{
    int rc = drop_unlisted(tx, app_id, list, n, err);
    for (size_t k = 0; rc == PST_OK && k < n; k++) {
        char id[PST_ID_SIZE] = "";
        pst_record_new(tx, id, NULL);
        rc = pst_db_exec(tx->db, &stmts[UPSTREAM_PUT], NULL, err, pst_t(id), pst_t(app_id),
                         pst_i((int64_t)k), pst_t(list[k].address), pst_i(list[k].weight),
                         pst_i(list[k].drain));
    }
    return rc == PST_OK ? pst_touch(tx, "app", app_id, false, err) : rc;
}

static int read_upstream(const struct pst_rows *rows, struct pst_upstream *ret, struct pst_err *err)
{
    struct pst_reader r = {.rows = rows, .err = err};

    *ret = (struct pst_upstream){0};
    pst_read_text(&r, ret->id);
    pst_read_text(&r, ret->address);
    ret->weight = pst_read_i(&r);
    ret->drain = pst_read_flag(&r);
    return pst_reader_end(&r, "an upstream");
}

int pst_upstream_find(struct pst_tx *tx, const char *app_id, const char *id_or_address,
                      struct pst_upstream *ret, struct pst_err *err)
{
    auto_(pst_rows_free) struct pst_rows *rows = NULL;

    int rc = pst_one(tx, &stmts[UPSTREAM_FIND], &rows, err, pst_t(app_id), pst_t(id_or_address));
    return rc == PST_OK ? read_upstream(rows, ret, err) : rc;
}

int pst_upstream_update(struct pst_tx *tx, const char *app_id, const struct pst_upstream *u,
                        struct pst_err *err)
{
    int rc = pst_change(tx, &stmts[UPSTREAM_UPDATE], PST_NOTFOUND, err, pst_i(u->weight),
                        pst_i(u->drain), pst_t(app_id), pst_t(u->id));
    return rc == PST_OK ? pst_touch(tx, "app", app_id, false, err) : rc;
}

int pst_upstream_each(struct pst_tx *tx, const char *app_id,
                      int (*fn)(const struct pst_upstream *u, void *arg), void *arg,
                      struct pst_err *err)
{
    auto_(pst_rows_free) struct pst_rows *rows = NULL;

    int rc = pst_db_query(tx->db, &stmts[UPSTREAMS], &rows, err, pst_t(app_id));
    while (rc == PST_OK && pst_rows_next(rows)) {
        struct pst_upstream u;
        rc = read_upstream(rows, &u, err);
        if (rc == PST_OK)
            rc = fn(&u, arg);
    }
    return rc;
}
