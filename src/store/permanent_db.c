/* permanent_db.c - permanent records that end on a day of their own. */
#include "store_internal.h"

#include <postern/permanent.h>

enum { PUT, DROP, WARNED, ENDING };

static const struct pst_stmt stmts[] = {
    [PUT] = {.name = "permanent.put",
             .sql = "INSERT INTO permanent_records (domain_id, until_at, warned) "
                    "VALUES ($1, $2, 0) ON CONFLICT (domain_id) DO UPDATE SET "
                    "until_at = excluded.until_at, "
                    "warned = CASE WHEN permanent_records.until_at = excluded.until_at "
                    "THEN permanent_records.warned ELSE 0 END",
             .args = "ti",
             .cols = ""},
    [DROP] = {.name = "permanent.drop",
              .sql = "DELETE FROM permanent_records WHERE domain_id = $1",
              .args = "t",
              .cols = ""},
    [WARNED] = {.name = "permanent.warned",
                .sql = "UPDATE permanent_records SET warned = $1 WHERE domain_id = $2",
                .args = "it",
                .cols = ""},
    [ENDING] = {.name = "permanent.ending",
                .sql = "SELECT p.domain_id, d.ascii, p.until_at, p.warned "
                       "FROM permanent_records p JOIN domains d ON d.id = p.domain_id "
                       "WHERE (p.until_at <= $1 AND p.warned < 1) "
                       "OR (p.until_at <= $2 AND p.warned < 2) "
                       "ORDER BY p.until_at, p.domain_id LIMIT $3",
                .args = "iii",
                .cols = "ttii"},
};
PST_STORE_SQL(permanent);

int pst_permanent_put(struct pst_tx *tx, const char *domain_id, int64_t until_at,
                      struct pst_err *err)
{
    if (until_at == 0)
        return pst_db_exec(tx->db, &stmts[DROP], NULL, err, pst_t(domain_id));
    return pst_db_exec(tx->db, &stmts[PUT], NULL, err, pst_t(domain_id), pst_i(until_at));
}

int pst_permanent_warned(struct pst_tx *tx, const char *domain_id, int64_t warned,
                         struct pst_err *err)
{
    return pst_db_exec(tx->db, &stmts[WARNED], NULL, err, pst_i(warned), pst_t(domain_id));
}

int pst_permanent_each_ending(struct pst_tx *tx, int64_t first_at, int64_t last_at, size_t limit,
                              int (*fn)(const struct pst_permanent_end *e, void *arg), void *arg,
                              struct pst_err *err)
{
    auto_(pst_rows_free) struct pst_rows *rows = NULL;

    int rc = pst_db_query(tx->db, &stmts[ENDING], &rows, err, pst_i(first_at), pst_i(last_at),
                          pst_i((int64_t)limit));
    while (rc == PST_OK && pst_rows_next(rows)) {
        struct pst_reader r = {.rows = rows, .err = err};
        struct pst_permanent_end e;
        pst_read_text(&r, e.domain_id);
        pst_read_text(&r, e.ascii);
        e.until_at = pst_read_i(&r);
        e.warned = pst_read_i(&r);
        rc = pst_reader_end(&r, "a permanent record");
        if (rc == PST_OK)
            rc = fn(&e, arg);
    }
    return rc;
}
