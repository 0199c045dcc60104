/* db.c - what both engines have in common: opening, values, statements, transactions. */
#include "db_internal.h"

#include <stdlib.h>
#include <string.h>

/* ---- values ---- */

struct pst_val pst_i(int64_t v)
{
    return (struct pst_val){.kind = 'i', .i = v};
}

struct pst_val pst_t(const char *s)
{
    return (struct pst_val){.kind = 't', .data = s, .len = s ? strlen(s) : 0};
}

struct pst_val pst_tn(const char *s, size_t len)
{
    return (struct pst_val){.kind = 't', .data = s, .len = len};
}

struct pst_val pst_b(const void *data, size_t len)
{
    /* An empty blob is not an SQL NULL, also when the buffer never had memory. */
    return (struct pst_val){.kind = 'b', .data = data || len ? data : "", .len = len};
}

/* The values fit the statement: number, types, well-formed text. */
static int check_vals(const struct pst_stmt *stmt, const struct pst_val *vals, size_t n,
                      struct pst_err *err)
{
    if (strlen(stmt->args) != n)
        return pst_fail(err, PST_EINTERNAL, "%s: %zu values given, it has %zu parameters",
                        stmt->name, n, strlen(stmt->args));
    for (size_t k = 0; k < n; k++) {
        if (vals[k].kind != stmt->args[k])
            return pst_fail(err, PST_EINTERNAL, "%s: value %zu is of the wrong type", stmt->name,
                            k + 1);
        if (vals[k].kind == 't' && vals[k].data && !pst_utf8_ok(vals[k].data, vals[k].len))
            return pst_fail(err, PST_EINPUT,
                            "%s: value %zu is not valid UTF-8 or has a NUL byte in it; "
                            "send well-formed text",
                            stmt->name, k + 1);
    }
    return PST_OK;
}

/* ---- statements ---- */

long pst_db_slot(const struct pst_db *db, const struct pst_stmt *stmt)
{
    long base = (long)pst_db_own_stmts.n;

    if (stmt >= pst_db_own_stmts.stmts && stmt < pst_db_own_stmts.stmts + pst_db_own_stmts.n)
        return stmt - pst_db_own_stmts.stmts;
    for (size_t s = 0; s < db->sets_n; s++) {
        const struct pst_stmt_set *set = &db->sets[s];
        if (stmt >= set->stmts && stmt < set->stmts + set->n)
            return base + (stmt - set->stmts);
        base += (long)set->n;
    }
    return -1;
}

/* One statement on its way through checks to the driver; a fault of the driver spoils the tx. */
static int run(struct pst_dbtx *tx, const struct pst_stmt *stmt, const struct pst_val *vals,
               size_t vals_n, struct pst_rows *rows, int64_t *ret_n, struct pst_err *err)
{
    struct pst_err local = {0};

    if (tx->failed) {
        if (err)
            *err = tx->failure;
        return tx->failure.rc;
    }
    int rc = check_vals(stmt, vals, vals_n, err);
    if (rc < 0)
        return rc;
    if (!err)
        err = &local;
    rc = tx->db->driver->run(tx, stmt, vals, rows, ret_n, err);
    if (rc < 0) {
        pst_wrap(err, "%s", stmt->name);
        tx->failed = true;
        tx->failure = *err;
    }
    return rc;
}

int pst_db_exec_(struct pst_dbtx *tx, const struct pst_stmt *stmt, int64_t *ret_n,
                 struct pst_err *err, const struct pst_val *vals, size_t vals_n)
{
    int64_t n = 0;

    if (*stmt->cols)
        return pst_fail(err, PST_EINTERNAL, "%s has a result, which nobody would read", stmt->name);
    int rc = run(tx, stmt, vals, vals_n, NULL, &n, err);
    if (rc == PST_OK && ret_n)
        *ret_n = n;
    return rc;
}

int pst_db_query_(struct pst_dbtx *tx, const struct pst_stmt *stmt, struct pst_rows **ret,
                  struct pst_err *err, const struct pst_val *vals, size_t vals_n)
{
    int64_t n = 0;

    auto_(pst_rows_free) struct pst_rows *rows = NULL;
    int rc = pst_rows_new(&rows, stmt, err);
    if (rc == PST_OK)
        rc = run(tx, stmt, vals, vals_n, rows, &n, err);
    if (rc == PST_OK)
        *ret = pst_take(&rows);
    return rc;
}

/* ---- transactions ---- */

/* The database whose callback this thread runs.  A transaction inside another one would wait for
 * itself: for the writing thread, or for the last connection of the pool. */
static _Thread_local const struct pst_db *inside;

int pst_dbtx_run(struct pst_dbtx *tx, pst_db_fn *fn, void *arg, struct pst_err *err)
{
    const struct pst_db *outer = inside;

    inside = tx->db;
    int rc = fn(tx, arg, err);
    inside = outer;
    if (rc == PST_OK && tx->failed) {
        *err = tx->failure;
        rc = tx->failure.rc;
    }
    return rc;
}

static int not_inside(const struct pst_db *db, struct pst_err *err)
{
    return inside == db ? pst_fail(err, PST_EINTERNAL, "a transaction inside a transaction")
                        : PST_OK;
}

int pst_db_tx(struct pst_db *db, pst_db_fn *fn, void *arg, struct pst_err *err)
{
    struct pst_err local = {0};
    int rc = not_inside(db, err);
    return rc < 0 ? rc : db->driver->tx(db, fn, arg, err ? err : &local);
}

int pst_db_read(struct pst_db *db, pst_db_fn *fn, void *arg, struct pst_err *err)
{
    struct pst_err local = {0};
    int rc = not_inside(db, err);
    return rc < 0 ? rc : db->driver->read(db, fn, arg, err ? err : &local);
}

enum pst_db_engine pst_db_engine(const struct pst_db *db)
{
    return db->driver->engine;
}

/* ---- opening ---- */

static int open_engine(struct pst_db *db, const struct pst_db_opts *opts, struct pst_err *err)
{
    if (pst_str_starts(opts->url, "sqlite:"))
        return pst_db_sqlite_open(db, opts->url + strlen("sqlite:"), opts, err);
    if (pst_str_starts(opts->url, "postgresql://") || pst_str_starts(opts->url, "postgres://"))
        return pst_db_pg_open(db, opts->url, opts, err);
    return pst_fail(err, PST_ECONFIG,
                    "the database's address must begin with sqlite: or postgresql://");
}

int pst_db_open(struct pst_db **ret, const struct pst_db_opts *opts, struct pst_err *err)
{
    auto_(pst_db_close) struct pst_db *db = pst_zalloc(1, sizeof *db);
    if (!db)
        return pst_fail_nomem(err, "the database");
    db->sets = opts->sets;
    db->sets_n = opts->sets_n;
    db->slots_n = pst_db_own_stmts.n;
    for (size_t s = 0; s < opts->sets_n; s++)
        db->slots_n += opts->sets[s].n;
    db->pool_max = opts->pool_max ? opts->pool_max : 16;
    db->clock = opts->clock ? opts->clock : pst_clock_system();

    int rc = open_engine(db, opts, err);
    if (rc != PST_OK)
        return rc;
    *ret = pst_take(&db);
    return PST_OK;
}

void pst_db_close(struct pst_db *db)
{
    if (!db)
        return;
    if (db->driver)
        db->driver->close(db);
    pst_free(db);
}

/* ---- for tests ---- */

/* $1, $2, ... stand in the text in the order of their first use: SQLite numbers them so. */
static int check_numbers(const struct pst_stmt *stmt, const char *sql, struct pst_err *err)
{
    long used = 0;

    for (const char *s = strchr(sql, '$'); s; s = strchr(s + 1, '$')) {
        long n = strtol(s + 1, NULL, 10);
        if (n < 1 || n > used + 1)
            return pst_fail(err, PST_EINTERNAL, "$%ld stands where $%ld is the next: %.60s", n,
                            used + 1, sql);
        used = n > used ? n : used;
    }
    if ((size_t)used != strlen(stmt->args))
        return pst_fail(err, PST_EINTERNAL, "the text has %ld parameters, its table says %zu", used,
                        strlen(stmt->args));
    return PST_OK;
}

static int check_set(struct pst_dbtx *tx, const struct pst_stmt_set *set, struct pst_err *err)
{
    for (size_t k = 0; k < set->n; k++) {
        const struct pst_stmt *stmt = &set->stmts[k];
        if (!stmt->name || !stmt->sql || !stmt->args || !stmt->cols)
            return pst_fail(err, PST_EINTERNAL, "statement %zu of a table is not complete", k);
        int rc = check_numbers(stmt, stmt->sql, err);
        if (rc == PST_OK && stmt->sql_pg)
            rc = check_numbers(stmt, stmt->sql_pg, err);
        if (rc == PST_OK)
            rc = tx->db->driver->check(tx, stmt, err);
        if (rc < 0)
            return pst_wrap(err, "%s", stmt->name);
    }
    return PST_OK;
}

static int check_all(struct pst_dbtx *tx, void *arg, struct pst_err *err)
{
    int rc = check_set(tx, &pst_db_own_stmts, err);
    for (size_t s = 0; rc == PST_OK && s < tx->db->sets_n; s++)
        rc = check_set(tx, &tx->db->sets[s], err);
    return rc;
}

int pst_db_check_statements(struct pst_db *db, struct pst_err *err)
{
    return pst_db_tx(db, check_all, NULL, err);
}
