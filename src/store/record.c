/* record.c - reading and writing rows, as all records do it. */
#include "store_internal.h"

void pst_record_new(struct pst_tx *tx, char id[PST_ID_SIZE], int64_t *at_ms)
{
    if (id && !id[0])
        pst_id_new(tx->store->rand, id);
    if (at_ms && *at_ms == 0)
        *at_ms = pst_tx_now_ms(tx);
}

int64_t pst_tx_now_ms(const struct pst_tx *tx)
{
    return pst_wall_ms(tx->store->clock);
}

int pst_change_(struct pst_tx *tx, const struct pst_stmt *stmt, int none, struct pst_err *err,
                const struct pst_val *vals, size_t vals_n)
{
    int64_t n = 0;

    int rc = pst_db_exec_(tx->db, stmt, &n, err, vals, vals_n);
    return rc == PST_OK && n == 0 ? none : rc;
}

int pst_one_(struct pst_tx *tx, const struct pst_stmt *stmt, struct pst_rows **ret,
             struct pst_err *err, const struct pst_val *vals, size_t vals_n)
{
    auto_(pst_rows_free) struct pst_rows *rows = NULL;

    int rc = pst_db_query_(tx->db, stmt, &rows, err, vals, vals_n);
    if (rc != PST_OK)
        return rc;
    if (!pst_rows_next(rows))
        return PST_NOTFOUND;
    *ret = pst_take(&rows);
    return PST_OK;
}

int pst_number_(struct pst_tx *tx, const struct pst_stmt *stmt, int64_t *ret, struct pst_err *err,
                const struct pst_val *vals, size_t vals_n)
{
    auto_(pst_rows_free) struct pst_rows *rows = NULL;

    int rc = pst_one_(tx, stmt, &rows, err, vals, vals_n);
    if (rc == PST_OK)
        *ret = pst_col_i(rows, 0);
    return rc;
}

/* ---- columns into a record ---- */

int64_t pst_read_i(struct pst_reader *r)
{
    return pst_col_i(r->rows, r->col++);
}

bool pst_read_flag(struct pst_reader *r)
{
    return pst_read_i(r) != 0;
}

void pst_read_t(struct pst_reader *r, char *to, size_t size)
{
    int rc = pst_col_copy(r->rows, r->col++, to, size, r->rc == PST_OK ? r->err : NULL);
    if (r->rc == PST_OK)
        r->rc = rc;
}

void pst_read_b(struct pst_reader *r, struct pst_buf *to)
{
    size_t len;
    const void *data = pst_col_b(r->rows, r->col++, &len);

    *to = (struct pst_buf)PST_BUF(len);
    pst_buf_add(to, data, len);
    if (r->rc == PST_OK)
        r->rc = pst_buf_check(to, "a column", r->err);
}

int pst_reader_end(struct pst_reader *r, const char *what)
{
    return r->rc < 0 ? pst_wrap(r->err, "reading %s", what) : r->rc;
}
