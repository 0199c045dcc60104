/* keys_db.c - the wrapped data keys of the keyring. */
#include "store_internal.h"

#include <postern/crypto.h>

enum { ALL, INSERT };

static const struct pst_stmt stmts[] = {
    [ALL] = {.name = "keys.all",
             .sql = "SELECT id, wrapped FROM data_keys ORDER BY id",
             .args = "",
             .cols = "ib"},
    /* Two nodes that start on an empty table: one of them makes the key, both use it. */
    [INSERT] = {.name = "keys.insert",
                .sql = "INSERT INTO data_keys (id, wrapped, created_at_ms) VALUES (1, $1, $2) "
                       "ON CONFLICT DO NOTHING",
                .args = "bi",
                .cols = ""},
};
PST_STORE_SQL(keys);

/* The oldest first: the one added last seals.  PST_NOTFOUND: there is none. */
static int load(struct pst_tx *tx, void *arg, struct pst_err *err)
{
    auto_(pst_rows_free) struct pst_rows *rows = NULL;

    int rc = pst_db_query(tx->db, &stmts[ALL], &rows, err);
    if (rc != PST_OK)
        return rc;
    if (pst_rows_n(rows) == 0)
        return PST_NOTFOUND;
    while (rc == PST_OK && pst_rows_next(rows)) {
        size_t len;
        const void *wrapped = pst_col_b(rows, 1, &len);
        rc = pst_keyring_add_data_key(tx->store->keys, wrapped, len, err);
    }
    return rc < 0 ? pst_wrap(err, "a data key of the database") : rc;
}

static int insert(struct pst_tx *tx, void *arg, struct pst_err *err)
{
    const struct pst_buf *wrapped = arg;

    return pst_db_exec(tx->db, &stmts[INSERT], NULL, err, pst_b(wrapped->data, wrapped->len),
                       pst_i(pst_tx_now_ms(tx)));
}

int pst_store_load_keys(struct pst_store *s, struct pst_err *err)
{
    int rc = pst_store_read(s, load, NULL, err);
    if (rc != PST_NOTFOUND)
        return rc;

    auto_buf struct pst_buf wrapped = PST_BUF(PST_WRAPPED_KEY_LEN);
    rc = pst_keyring_new_data_key(s->keys, &wrapped, err);
    if (rc == PST_OK)
        rc = pst_store_write(s, insert, &wrapped, NULL, err);
    if (rc == PST_OK)
        rc = pst_store_read(s, load, NULL, err);
    return rc > 0 ? pst_unexpected(err, rc, "making the first data key") : rc;
}
