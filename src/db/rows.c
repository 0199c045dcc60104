/* rows.c - a result, complete in memory: cells in an array, their bytes in one buffer. */
#include "db_internal.h"

#include <string.h>

enum { CELLS_MAX = 1 << 20 };

int pst_rows_new(struct pst_rows **ret, const struct pst_stmt *stmt, struct pst_err *err)
{
    struct pst_rows *rows = pst_zalloc(1, sizeof *rows);
    if (!rows)
        return pst_fail_nomem(err, "a result");
    rows->stmt = stmt;
    rows->cols = strlen(stmt->cols);
    rows->bytes = (struct pst_buf)PST_BUF(PST_ROWS_BYTES_MAX);
    *ret = rows;
    return PST_OK;
}

void pst_rows_free(struct pst_rows *rows)
{
    if (!rows)
        return;
    /* Results hold token hashes and sealed keys: nothing that must be wiped. */
    pst_buf_deinit(&rows->bytes);
    pst_free(rows->cells);
    pst_free(rows);
}

static int too_large(const struct pst_rows *rows, struct pst_err *err)
{
    int rc = pst_fail(err, PST_EDB, "the result of %s is too large", rows->stmt->name);
    pst_err_retry(err, PST_RETRY_NEVER, 0);
    return rc;
}

static int add(struct pst_rows *rows, const struct pst_cell *cell, struct pst_err *err)
{
    if (rows->cells_n == CELLS_MAX)
        return too_large(rows, err);
    if (rows->cells_n == rows->cells_cap) {
        size_t cap = rows->cells_cap ? rows->cells_cap * 2 : 32;
        struct pst_cell *cells = pst_realloc(rows->cells, cap * sizeof *cells);
        if (!cells)
            return pst_fail_nomem(err, "a result");
        rows->cells = cells;
        rows->cells_cap = cap;
    }
    rows->cells[rows->cells_n++] = *cell;
    return PST_OK;
}

int pst_rows_add_null(struct pst_rows *rows, struct pst_err *err)
{
    return add(rows, &(struct pst_cell){.null = true}, err);
}

int pst_rows_add_i(struct pst_rows *rows, int64_t v, struct pst_err *err)
{
    return add(rows, &(struct pst_cell){.i = v}, err);
}

int pst_rows_add_bytes(struct pst_rows *rows, const void *data, size_t len, struct pst_err *err)
{
    struct pst_cell cell = {.at = rows->bytes.len, .len = len};

    pst_buf_add(&rows->bytes, data, len);
    pst_buf_add(&rows->bytes, "", 1);
    if (rows->bytes.too_long)
        return too_large(rows, err);
    if (rows->bytes.no_memory)
        return pst_fail_nomem(err, "a result");
    return add(rows, &cell, err);
}

size_t pst_rows_n(const struct pst_rows *rows)
{
    return rows->cols ? rows->cells_n / rows->cols : 0;
}

bool pst_rows_next(struct pst_rows *rows)
{
    if (rows->next >= pst_rows_n(rows))
        return false;
    rows->next++;
    return true;
}

/* The cell, which must be of this type: anything else is a mistake in the program. */
static const struct pst_cell *cell_at(const struct pst_rows *rows, int col, char type)
{
    pst_require(rows->next > 0 && col >= 0 && (size_t)col < rows->cols);
    pst_require(!type || rows->stmt->cols[col] == type);
    return &rows->cells[(rows->next - 1) * rows->cols + (size_t)col];
}

bool pst_col_null(const struct pst_rows *rows, int col)
{
    return cell_at(rows, col, 0)->null;
}

int64_t pst_col_i(const struct pst_rows *rows, int col)
{
    return cell_at(rows, col, 'i')->i;
}

const char *pst_col_t(const struct pst_rows *rows, int col)
{
    const struct pst_cell *c = cell_at(rows, col, 't');
    return c->null ? "" : rows->bytes.data + c->at;
}

const void *pst_col_b(const struct pst_rows *rows, int col, size_t *ret_len)
{
    const struct pst_cell *c = cell_at(rows, col, 'b');
    *ret_len = c->null ? 0 : c->len;
    return c->null ? "" : rows->bytes.data + c->at;
}

int pst_col_copy(const struct pst_rows *rows, int col, char *to, size_t to_size,
                 struct pst_err *err)
{
    const struct pst_cell *c = cell_at(rows, col, 't');

    if (c->null)
        return pst_str_copy(to, to_size, ""), PST_OK;
    /* A NUL inside would cut the text: it cannot have come from us. */
    if (c->len < to_size && strlen(rows->bytes.data + c->at) == c->len &&
        pst_str_copy(to, to_size, rows->bytes.data + c->at))
        return PST_OK;
    pst_fail(err, PST_EDB, "%s: column %d holds a text of %zu bytes where %zu fit at most",
             rows->stmt->name, col, c->len, to_size - 1);
    pst_err_retry(err, PST_RETRY_NEVER, 0);
    return PST_EDB;
}
