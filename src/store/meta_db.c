/* meta_db.c - small values by name. */
#include "store_internal.h"

#include <postern/crypto.h>

enum { GET, SET, GET_SEALED, SET_SEALED };

static const struct pst_stmt stmts[] = {
    [GET] = {.name = "meta.get",
             .sql = "SELECT value FROM meta WHERE key = $1 AND value IS NOT NULL",
             .args = "t",
             .cols = "t"},
    [SET] = {.name = "meta.set",
             .sql = "INSERT INTO meta (key, value) VALUES ($1, $2) "
                    "ON CONFLICT (key) DO UPDATE SET value = excluded.value, sealed = NULL",
             .args = "tt",
             .cols = ""},
    [GET_SEALED] = {.name = "meta.get-sealed",
                    .sql = "SELECT sealed FROM meta WHERE key = $1 AND sealed IS NOT NULL",
                    .args = "t",
                    .cols = "b"},
    [SET_SEALED] = {.name = "meta.set-sealed",
                    .sql = "INSERT INTO meta (key, sealed) VALUES ($1, $2) "
                           "ON CONFLICT (key) DO UPDATE SET value = NULL, "
                           "sealed = excluded.sealed",
                    .args = "tb",
                    .cols = ""},
};
PST_STORE_SQL(meta);

/* Values that the edges need: the object of kind "meta" that shows each. */
static const struct {
    const char *key, *object;
} for_edges[] = {
    {"probe_key", "probe"},
    {"thumbprint", "thumbprint"},
};

static int touch(struct pst_tx *tx, const char *key, struct pst_err *err)
{
    for (size_t k = 0; k < PST_ARRAY_N(for_edges); k++)
        if (pst_streq(for_edges[k].key, key))
            return pst_touch(tx, "meta", for_edges[k].object, false, err);
    return PST_OK;
}

int pst_meta_get(struct pst_tx *tx, const char *key, struct pst_buf *ret, struct pst_err *err)
{
    auto_(pst_rows_free) struct pst_rows *rows = NULL;

    int rc = pst_one(tx, &stmts[GET], &rows, err, pst_t(key));
    if (rc != PST_OK)
        return rc;
    pst_buf_str(ret, pst_col_t(rows, 0));
    return pst_buf_check(ret, key, err);
}

int pst_meta_set(struct pst_tx *tx, const char *key, const char *value, struct pst_err *err)
{
    int rc = pst_db_exec(tx->db, &stmts[SET], NULL, err, pst_t(key), pst_t(value));
    return rc == PST_OK ? touch(tx, key, err) : rc;
}

int pst_meta_get_secret(struct pst_tx *tx, const char *key, struct pst_secret *ret,
                        struct pst_err *err)
{
    auto_(pst_rows_free) struct pst_rows *rows = NULL;
    size_t len;

    int rc = pst_one(tx, &stmts[GET_SEALED], &rows, err, pst_t(key));
    if (rc != PST_OK)
        return rc;
    const void *blob = pst_col_b(rows, 0, &len);
    rc = pst_unseal(tx->store->keys, "meta", key, blob, len, ret, err);
    return rc < 0 ? pst_wrap(err, "the secret value %s", key) : rc;
}

int pst_meta_set_secret(struct pst_tx *tx, const char *key, const void *data, size_t len,
                        struct pst_err *err)
{
    auto_buf struct pst_buf sealed = PST_BUF(len + PST_SEAL_OVERHEAD);

    int rc = pst_seal(tx->store->keys, "meta", key, data, len, &sealed, err);
    if (rc == PST_OK)
        rc = pst_db_exec(tx->db, &stmts[SET_SEALED], NULL, err, pst_t(key),
                         pst_b(sealed.data, sealed.len));
    return rc == PST_OK ? touch(tx, key, err) : rc;
}
