/* renewal_db.c - about which certificates the CA is asked next. */
#include "store_internal.h"

#include <postern/renewal.h>

#define CLAIM(skip)                                                                                \
    "UPDATE renewal_info SET ask_at_ms = $1 WHERE num = (SELECT num FROM renewal_info "            \
    "WHERE ask_at_ms <= $2 ORDER BY ask_at_ms, num LIMIT 1" skip ") "                              \
    "RETURNING num, start_at_ms, end_at_ms, ask_at_ms"

enum { PUT, TAKE, DELETE };

static const struct pst_stmt stmts[] = {
    [PUT] = {.name = "renewal.put",
             .sql = "INSERT INTO renewal_info (num, start_at_ms, end_at_ms, ask_at_ms) "
                    "VALUES ($1, $2, $3, $4) ON CONFLICT (num) DO UPDATE SET "
                    "start_at_ms = excluded.start_at_ms, end_at_ms = excluded.end_at_ms, "
                    "ask_at_ms = excluded.ask_at_ms",
             .args = "iiii",
             .cols = ""},
    [TAKE] = {.name = "renewal.claim",
              .sql = CLAIM(""),
              .sql_pg = CLAIM(" FOR UPDATE SKIP LOCKED"),
              .args = "ii",
              .cols = "iiii"},
    [DELETE] = {.name = "renewal.delete",
                .sql = "DELETE FROM renewal_info WHERE num = $1",
                .args = "i",
                .cols = ""},
};
PST_STORE_SQL(renewal);

int pst_renewal_put(struct pst_tx *tx, const struct pst_renewal *r, struct pst_err *err)
{
    return pst_db_exec(tx->db, &stmts[PUT], NULL, err, pst_i(r->num), pst_i(r->start_at_ms),
                       pst_i(r->end_at_ms), pst_i(r->ask_at_ms));
}

int pst_renewal_claim(struct pst_tx *tx, int64_t now_ms, int64_t hold_ms, struct pst_renewal *ret,
                      struct pst_err *err)
{
    auto_(pst_rows_free) struct pst_rows *rows = NULL;

    int rc = pst_one(tx, &stmts[TAKE], &rows, err, pst_i(now_ms + hold_ms), pst_i(now_ms));
    if (rc != PST_OK)
        return rc;
    struct pst_reader r = {.rows = rows, .err = err};
    ret->num = pst_read_i(&r);
    ret->start_at_ms = pst_read_i(&r);
    ret->end_at_ms = pst_read_i(&r);
    ret->ask_at_ms = pst_read_i(&r);
    return pst_reader_end(&r, "a renewal");
}

int pst_renewal_delete(struct pst_tx *tx, int64_t num, struct pst_err *err)
{
    return pst_db_exec(tx->db, &stmts[DELETE], NULL, err, pst_i(num));
}
