/* db_internal.h - what the files of db/ share: results, the driver table, the engines' common part.
 */
#ifndef POSTERN_DB_INTERNAL_H
#define POSTERN_DB_INTERNAL_H

#include <postern/base.h>
#include <postern/db.h>

/* ---- results (rows.c) ---- */

struct pst_cell {
    bool null;
    int64_t i;
    size_t at, len; /* text or blob: where its bytes lie in `bytes`; a NUL follows them */
};

struct pst_rows {
    const struct pst_stmt *stmt;
    struct pst_cell *cells;
    size_t cells_n, cells_cap;
    size_t cols;
    size_t next; /* rows stepped to so far */
    struct pst_buf bytes;
};

enum { PST_ROWS_BYTES_MAX = 64 << 20 };

/* PST_OK or PST_ENOMEM. */
int pst_rows_new(struct pst_rows **ret, const struct pst_stmt *stmt, struct pst_err *err);
/* Append the next cell, row by row.  PST_OK, PST_ENOMEM, or PST_EDB: larger than a result may be.
 */
int pst_rows_add_null(struct pst_rows *rows, struct pst_err *err);
int pst_rows_add_i(struct pst_rows *rows, int64_t v, struct pst_err *err);
int pst_rows_add_bytes(struct pst_rows *rows, const void *data, size_t len, struct pst_err *err);

/* ---- a transaction ---- */

struct pst_dbtx {
    struct pst_db *db;
    void *conn; /* the driver's */
    bool write;
    bool failed; /* a statement failed: only rolling back is left */
    struct pst_err failure;
};

/* Run `fn`; PST_OK after a failed statement becomes that fault. */
int pst_dbtx_run(struct pst_dbtx *tx, pst_db_fn *fn, void *arg, struct pst_err *err);

/* ---- drivers ---- */

struct pst_db_driver {
    enum pst_db_engine engine;
    /* Both run `fn` in a transaction, see db.h. */
    int (*tx)(struct pst_db *db, pst_db_fn *fn, void *arg, struct pst_err *err);
    int (*read)(struct pst_db *db, pst_db_fn *fn, void *arg, struct pst_err *err);
    /* Run one statement; the values fit it.  Rows go to `rows` (NULL: it has none), the number of
     * changed rows to *ret_n. */
    int (*run)(struct pst_dbtx *tx, const struct pst_stmt *stmt, const struct pst_val *vals,
               struct pst_rows *rows, int64_t *ret_n, struct pst_err *err);
    /* Run several statements without values. */
    int (*script)(struct pst_dbtx *tx, const char *sql, struct pst_err *err);
    /* Prepare a statement and check it. */
    int (*check)(struct pst_dbtx *tx, const struct pst_stmt *stmt, struct pst_err *err);
    void (*close)(struct pst_db *db);
};

struct pst_db {
    const struct pst_db_driver *driver;
    void *impl; /* the driver's */
    const struct pst_stmt_set *sets;
    size_t sets_n;
    size_t slots_n; /* statements in all, ours included */
    size_t pool_max;
    const struct pst_clock *clock;
};

/* The number of a statement, below db->slots_n; -1: it is in no table. */
long pst_db_slot(const struct pst_db *db, const struct pst_stmt *stmt);

/* Set db->driver and db->impl.  The url is without "sqlite:". */
int pst_db_sqlite_open(struct pst_db *db, const char *path, const struct pst_db_opts *opts,
                       struct pst_err *err);
int pst_db_pg_open(struct pst_db *db, const char *url, const struct pst_db_opts *opts,
                   struct pst_err *err);

/* ---- migrations (migrate.c) ---- */

extern const struct pst_stmt_set pst_db_own_stmts;

/* Make or bring up to date, in one transaction; see pst_db_open(). */
int pst_db_migrate(struct pst_db *db, const struct pst_db_opts *opts, struct pst_err *err);

#endif
