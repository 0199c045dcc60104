/*
 * db.h - one SQL layer over SQLite and PostgreSQL.  It knows no table but its own two (`schema`,
 * `schema_migrations`); the statements are its caller's.
 *
 * Statements are constants (struct pst_stmt) in tables that are handed in at open, so that a test
 * can prepare all of them on both engines.  Rules for their text: parameters are $1, $2, ... in
 * the order of their first use (SQLite numbers them so, PostgreSQL by the digit); only bigint,
 * text and blob; no LIKE; RETURNING and ON CONFLICT are fine in both.
 *
 * A transaction is a callback.  It has no effects outside the transaction, because it may run
 * again (serialisation failure, deadlock, a connection found dead, a group that could not commit).
 * PST_OK commits.  Every other answer or fault rolls back everything and is returned.  After a
 * failed statement the transaction can only roll back, on both engines: PST_OK becomes the fault.
 * An expected conflict therefore uses ON CONFLICT and looks at the number of rows.
 *
 * SQLite:     WAL, synchronous=FULL.  One thread writes; the callbacks that wait run one after the
 *             other, each in its savepoint, inside one BEGIN IMMEDIATE (group commit), and are
 *             answered after its COMMIT.  So a callback runs in another thread than the one that
 *             called pst_db_tx().  Readers have connections of their own and never wait for it.
 *             <path>.lock is flock'ed: a second program is refused.
 * PostgreSQL: READ COMMITTED on a connection of a bounded pool; reads are REPEATABLE READ, READ
 *             ONLY.  A COMMIT whose answer was lost is looked up, not repeated.
 *
 * Threads:  a struct pst_db may be used by many; a struct pst_dbtx only inside its callback.
 *           Beginning a transaction inside a callback is a PST_EINTERNAL fault.
 * Blocking: all functions; a locked database at most about 10 s, a dead server about 15 s.
 * Memory:   a result lies complete in memory (at most 64 MiB) before pst_db_query() returns, so
 *           that a callback may change what it walks over.
 * Failure:  PST_EDB with retry advice, PST_ENOMEM, PST_EINTERNAL (wrong use, e.g. another number
 *           of values than the statement has).  Text with a NUL or invalid UTF-8 is PST_EINPUT and
 *           does not spoil the transaction.
 */
#ifndef POSTERN_DB_H
#define POSTERN_DB_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <postern/mem.h>

struct pst_clock;
struct pst_db;
struct pst_dbtx;
struct pst_err;
struct pst_rows;

struct pst_stmt {
    const char *name;   /* for messages */
    const char *sql;    /* SQLite, and PostgreSQL where it needs no other */
    const char *sql_pg; /* NULL: the same */
    const char *args;   /* one letter per parameter: i int64, t text, b blob */
    const char *cols;   /* one letter per result column; "" without */
};

/* A table of statements; a statement is named by its address. */
struct pst_stmt_set {
    const struct pst_stmt *stmts;
    size_t n;
};

/* One step of the schema; versions rise, gaps are fine (made by scripts/embed-sql). */
struct pst_migration {
    int64_t version;
    const char *name;
    const char *checksum; /* hex SHA-256 of the file */
    int64_t min_binary;   /* a program must know this migration to use the schema from here on */
    const char *sql;      /* for SQLite */
    const char *sql_pg;   /* for PostgreSQL */
};

enum pst_db_engine { PST_DB_SQLITE, PST_DB_PG };

struct pst_db_opts {
    const char *url; /* sqlite:<path> or postgresql://... (libpq's form) */
    bool create;
    uint32_t application_id; /* in the head of an SQLite file; another one is refused */
    const struct pst_stmt_set *sets;
    size_t sets_n;
    const struct pst_migration *migrations;
    size_t migrations_n;
    const struct pst_clock *clock; /* when migrations were applied; NULL: the system's */
    size_t pool_max;               /* connections that write or read at once; 0: 16 */
};

/*
 * Open and bring the schema up to date.
 *
 * PST_OK.  PST_CONFLICT only with `create`: there is one already.  PST_ECONFIG: there is none and
 * `create` is not set; not ours; newer than this program; a migration differs from what was
 * applied; another process holds it; the server is set up in a way that loses data or sorts
 * differently.  Nothing was made or changed then.  Other faults as above.
 */
int pst_db_open(struct pst_db **ret, const struct pst_db_opts *opts, struct pst_err *err);
/* Waits for queued transactions.  No other call may be under way or follow.  NULL is fine. */
void pst_db_close(struct pst_db *db);
PST_CLEANUP(struct pst_db, pst_db_close);

enum pst_db_engine pst_db_engine(const struct pst_db *db);

/* ---- transactions ---- */

typedef int pst_db_fn(struct pst_dbtx *tx, void *arg, struct pst_err *err);

/* PST_OK after a durable commit; else what `fn` gave, or a fault.  A fault with the problem
 * "db.commit-unknown" says that the commit may have happened. */
int pst_db_tx(struct pst_db *db, pst_db_fn *fn, void *arg, struct pst_err *err);

/* A snapshot for reading; writing in it is a fault. */
int pst_db_read(struct pst_db *db, pst_db_fn *fn, void *arg, struct pst_err *err);

/* ---- statements ---- */

struct pst_val {
    char kind; /* i, t, b; a NULL pointer is an SQL NULL */
    int64_t i;
    const void *data;
    size_t len;
};
struct pst_val pst_i(int64_t v);
struct pst_val pst_t(const char *s); /* NUL-terminated */
struct pst_val pst_tn(const char *s, size_t len);
struct pst_val pst_b(const void *data, size_t len);

#define PST_VALS_(...)                                                                             \
    (const struct pst_val[]){{0} __VA_OPT__(, ) __VA_ARGS__} + 1,                                  \
        sizeof((const struct pst_val[]){{0} __VA_OPT__(, ) __VA_ARGS__}) /                         \
                sizeof(struct pst_val) -                                                           \
            1

/* Run a statement without a result.  *ret_n (may be NULL): rows that it changed. */
#define pst_db_exec(tx, stmt, ret_n, err, ...)                                                     \
    pst_db_exec_((tx), (stmt), (ret_n), (err), PST_VALS_(__VA_ARGS__))
int pst_db_exec_(struct pst_dbtx *tx, const struct pst_stmt *stmt, int64_t *ret_n,
                 struct pst_err *err, const struct pst_val *vals, size_t vals_n);

/* Run a statement with a result, which the caller frees. */
#define pst_db_query(tx, stmt, ret_rows, err, ...)                                                 \
    pst_db_query_((tx), (stmt), (ret_rows), (err), PST_VALS_(__VA_ARGS__))
int pst_db_query_(struct pst_dbtx *tx, const struct pst_stmt *stmt, struct pst_rows **ret,
                  struct pst_err *err, const struct pst_val *vals, size_t vals_n);

/* Step to the first, then the next row; false after the last. */
bool pst_rows_next(struct pst_rows *rows);
size_t pst_rows_n(const struct pst_rows *rows);
void pst_rows_free(struct pst_rows *rows);
PST_CLEANUP(struct pst_rows, pst_rows_free);

/* Columns of the row, by number from 0.  An SQL NULL is 0 or "" or no bytes.  What is returned
 * lives as long as the rows. */
bool pst_col_null(const struct pst_rows *rows, int col);
int64_t pst_col_i(const struct pst_rows *rows, int col);
const char *pst_col_t(const struct pst_rows *rows, int col);
const void *pst_col_b(const struct pst_rows *rows, int col, size_t *ret_len);
/* Copy text into a fixed array.  PST_OK, or PST_EDB: it does not fit (then the row is damaged). */
int pst_col_copy(const struct pst_rows *rows, int col, char *to, size_t to_size,
                 struct pst_err *err);

/* An expression for the database's clock in Unix ms, for statement texts. */
#define PST_SQL_NOW_MS    "CAST((julianday('now') - 2440587.5) * 86400000 AS INTEGER)"
#define PST_SQL_NOW_MS_PG "CAST(extract(epoch FROM clock_timestamp()) * 1000 AS bigint)"

/* ---- for tests ---- */

/* Prepare every statement of every set on this database and check parameters and columns. */
int pst_db_check_statements(struct pst_db *db, struct pst_err *err);

#endif
