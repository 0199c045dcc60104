/* variable_db.c - the environment of apps: names in clear, values sealed under ("variable", id). */
#include "store_internal.h"

#include <postern/crypto.h>

enum { FIND, EACH, GET, PUT, DROP, DROP_ALL, COUNT };

#define SELECT "SELECT id, app_id, name, created_at_ms, updated_at_ms, sealed FROM variables "
#define TYPES  "tttiib"

static const struct pst_stmt stmts[] = {
    [FIND] = {.name = "variable.find",
              .sql = "SELECT id, created_at_ms FROM variables WHERE app_id = $1 AND name = $2",
              .args = "tt",
              .cols = "ti"},
    [EACH] = {.name = "variable.each",
              .sql = SELECT "WHERE app_id = $1 ORDER BY name",
              .args = "t",
              .cols = TYPES},
    /* A variable may be called like another one's id: the id wins. */
    [GET] = {.name = "variable.get",
             .sql = SELECT "WHERE app_id = $1 AND (id = $2 OR name = $2) "
                           "ORDER BY CASE WHEN id = $2 THEN 0 ELSE 1 END LIMIT 1",
             .args = "tt",
             .cols = TYPES},
    [PUT] = {.name = "variable.put",
             .sql = "INSERT INTO variables (id, app_id, name, sealed, created_at_ms, "
                    "updated_at_ms) VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT (id) DO UPDATE "
                    "SET sealed = excluded.sealed, updated_at_ms = excluded.updated_at_ms",
             .args = "tttbii",
             .cols = ""},
    [DROP] = {.name = "variable.drop",
              .sql = "DELETE FROM variables WHERE app_id = $1 AND id = $2",
              .args = "tt",
              .cols = ""},
    [DROP_ALL] = {.name = "variable.drop-all",
                  .sql = "DELETE FROM variables WHERE app_id = $1",
                  .args = "t",
                  .cols = ""},
    [COUNT] = {.name = "variable.count",
               .sql = "SELECT count(*) FROM variables WHERE app_id = $1",
               .args = "t",
               .cols = "i"},
};
PST_STORE_SQL(variable);

void pst_variable_deinit(struct pst_variable *v)
{
    pst_secret_deinit(&v->value);
}

static int read_variable(struct pst_tx *tx, const struct pst_rows *rows, struct pst_variable *ret,
                         struct pst_err *err)
{
    struct pst_reader r = {.rows = rows, .err = err};
    size_t len;

    *ret = (struct pst_variable){0};
    pst_read_text(&r, ret->id);
    pst_read_text(&r, ret->app_id);
    pst_read_text(&r, ret->name);
    ret->created_at_ms = pst_read_i(&r);
    ret->updated_at_ms = pst_read_i(&r);
    int rc = pst_reader_end(&r, "a variable");
    if (rc != PST_OK)
        return rc;
    const void *blob = pst_col_b(rows, r.col, &len);
    rc = pst_unseal(tx->store->keys, "variable", ret->id, blob, len, &ret->value, err);
    return rc < 0 ? pst_wrap(err, "variable %s", ret->id) : rc;
}

int pst_variable_set(struct pst_tx *tx, struct pst_variable *v, struct pst_err *err)
{
    auto_(pst_rows_free) struct pst_rows *rows = NULL;
    auto_buf struct pst_buf sealed = PST_BUF(v->value.len + PST_SEAL_OVERHEAD);
    bool fresh = false;

    int rc = pst_one(tx, &stmts[FIND], &rows, err, pst_t(v->app_id), pst_t(v->name));
    if (rc == PST_OK) {
        rc = pst_col_copy(rows, 0, v->id, sizeof v->id, err);
        v->created_at_ms = pst_col_i(rows, 1);
    } else if (rc == PST_NOTFOUND) {
        fresh = true;
        v->id[0] = '\0';
        v->created_at_ms = 0;
        rc = PST_OK;
    }
    if (rc != PST_OK)
        return rc;
    pst_record_new(tx, v->id, &v->created_at_ms);
    v->updated_at_ms = pst_tx_now_ms(tx);
    rc = pst_seal(tx->store->keys, "variable", v->id, v->value.data ? (char *)v->value.data : "",
                  v->value.len, &sealed, err);
    if (rc == PST_OK)
        rc = pst_db_exec(tx->db, &stmts[PUT], NULL, err, pst_t(v->id), pst_t(v->app_id),
                         pst_t(v->name), pst_b(sealed.data, sealed.len), pst_i(v->created_at_ms),
                         pst_i(v->updated_at_ms));
    return rc == PST_OK && !fresh ? PST_DONE : rc;
}

int pst_variable_get(struct pst_tx *tx, const char *app_id, const char *id_or_name,
                     struct pst_variable *ret, struct pst_err *err)
{
    auto_(pst_rows_free) struct pst_rows *rows = NULL;

    int rc = pst_one(tx, &stmts[GET], &rows, err, pst_t(app_id), pst_t(id_or_name));
    return rc == PST_OK ? read_variable(tx, rows, ret, err) : rc;
}

int pst_variable_each(struct pst_tx *tx, const char *app_id,
                      int (*fn)(const struct pst_variable *v, void *arg), void *arg,
                      struct pst_err *err)
{
    auto_(pst_rows_free) struct pst_rows *rows = NULL;

    int rc = pst_db_query(tx->db, &stmts[EACH], &rows, err, pst_t(app_id));
    while (rc == PST_OK && pst_rows_next(rows)) {
        struct pst_variable v;
        rc = read_variable(tx, rows, &v, err);
        if (rc == PST_OK)
            rc = fn(&v, arg);
        pst_variable_deinit(&v);
    }
    return rc;
}

int pst_variable_count(struct pst_tx *tx, const char *app_id, int64_t *ret_n, struct pst_err *err)
{
    return pst_number(tx, &stmts[COUNT], ret_n, err, pst_t(app_id));
}

int pst_variable_delete(struct pst_tx *tx, const char *app_id, const char *id, struct pst_err *err)
{
    return pst_change(tx, &stmts[DROP], PST_NOTFOUND, err, pst_t(app_id), pst_t(id));
}

int pst_variables_drop(struct pst_tx *tx, const char *app_id, struct pst_err *err)
{
    return pst_db_exec(tx->db, &stmts[DROP_ALL], NULL, err, pst_t(app_id));
}
