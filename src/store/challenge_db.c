/* challenge_db.c - answers of http-01 challenges, which every edge gives. */
#include "store_internal.h"

enum { PUT, DELETE, SWEEP };

static const struct pst_stmt stmts[] = {
    [PUT] = {.name = "challenge.put",
             .sql = "INSERT INTO challenges (token, ascii, answer, until_ms) "
                    "VALUES ($1, $2, $3, $4) ON CONFLICT (token) DO UPDATE SET "
                    "ascii = excluded.ascii, answer = excluded.answer, "
                    "until_ms = excluded.until_ms",
             .args = "ttti",
             .cols = ""},
    [DELETE] = {.name = "challenge.delete",
                .sql = "DELETE FROM challenges WHERE token = $1",
                .args = "t",
                .cols = ""},
    [SWEEP] = {.name = "challenge.sweep",
               .sql = "DELETE FROM challenges WHERE until_ms <= $1 RETURNING token",
               .args = "i",
               .cols = "t"},
};
PST_STORE_SQL(challenge);

int pst_challenge_put(struct pst_tx *tx, const char *token, const char *ascii, const char *answer,
                      int64_t until_ms, struct pst_err *err)
{
    int rc = pst_db_exec(tx->db, &stmts[PUT], NULL, err, pst_t(token), pst_t(ascii), pst_t(answer),
                         pst_i(until_ms));
    return rc == PST_OK ? pst_touch(tx, "challenge", token, false, err) : rc;
}

int pst_challenge_delete(struct pst_tx *tx, const char *token, struct pst_err *err)
{
    int rc = pst_change(tx, &stmts[DELETE], PST_NOTFOUND, err, pst_t(token));
    if (rc == PST_OK)
        rc = pst_touch(tx, "challenge", token, true, err);
    return rc == PST_NOTFOUND ? PST_OK : rc;
}

int pst_challenge_sweep(struct pst_tx *tx, int64_t now_ms, struct pst_err *err)
{
    auto_(pst_rows_free) struct pst_rows *rows = NULL;

    int rc = pst_db_query(tx->db, &stmts[SWEEP], &rows, err, pst_i(now_ms));
    while (rc == PST_OK && pst_rows_next(rows))
        rc = pst_touch(tx, "challenge", pst_col_t(rows, 0), true, err);
    return rc;
}
