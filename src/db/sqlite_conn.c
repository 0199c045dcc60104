/* sqlite_conn.c - one SQLite connection: settings, statements, codes. */
#include "sqlite_internal.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

enum { BUSY_TIMEOUT_MS = 10000 };

/* ---- codes ---- */

static const struct {
    int code; /* primary result code */
    int rc;
    enum pst_retry retry;
} codes[] = {
    {SQLITE_BUSY, PST_EDB, PST_RETRY_BACKOFF},     {SQLITE_LOCKED, PST_EDB, PST_RETRY_BACKOFF},
    {SQLITE_FULL, PST_EDB, PST_RETRY_BACKOFF},     {SQLITE_IOERR, PST_EDB, PST_RETRY_BACKOFF},
    {SQLITE_PROTOCOL, PST_EDB, PST_RETRY_BACKOFF}, {SQLITE_CANTOPEN, PST_EDB, PST_RETRY_BACKOFF},
    {SQLITE_NOMEM, PST_ENOMEM, PST_RETRY_BACKOFF}, {SQLITE_NOTADB, PST_ECONFIG, PST_RETRY_NEVER},
    {SQLITE_READONLY, PST_EDB, PST_RETRY_NEVER},
};

int pst_sq_fail(struct pst_sq *c, int code, const char *what, struct pst_err *err)
{
    const char *text = c && c->h ? sqlite3_errmsg(c->h) : sqlite3_errstr(code);
    int rc = PST_EDB;
    enum pst_retry retry = PST_RETRY_NEVER; /* constraint, damage, wrong SQL: no use in repeating */

    for (size_t k = 0; k < PST_ARRAY_N(codes); k++)
        if (codes[k].code == (code & 0xff)) {
            rc = codes[k].rc;
            retry = codes[k].retry;
        }
    pst_fail(err, rc, "%s: SQLite: %s (%d)", what, text, code);
    pst_err_retry(err, retry, 0);
    return rc;
}

int pst_sq_script(struct pst_sq *c, const char *sql, struct pst_err *err)
{
    int code = sqlite3_exec(c->h, sql, NULL, NULL, NULL);
    return code == SQLITE_OK ? PST_OK : pst_sq_fail(c, code, "a statement", err);
}

/* ---- opening ---- */

/* A setting that did not take effect is a fault: durability depends on them. */
static int want(struct pst_sq *c, const char *sql, const char *wanted, struct pst_err *err)
{
    sqlite3_stmt *st = NULL;
    int code = sqlite3_prepare_v2(c->h, sql, -1, &st, NULL);
    if (code != SQLITE_OK)
        return pst_sq_fail(c, code, sql, err);
    code = sqlite3_step(st);
    const char *got = code == SQLITE_ROW ? (const char *)sqlite3_column_text(st, 0) : NULL;
    bool ok = got && strcmp(got, wanted) == 0;
    int rc = PST_OK;
    if (!ok && code != SQLITE_ROW)
        rc = pst_sq_fail(c, code, sql, err);
    else if (!ok)
        rc = pst_fail(err, PST_ECONFIG, "%s gave \"%s\", wanted \"%s\"", sql, got ? got : "",
                      wanted);
    sqlite3_finalize(st);
    return rc;
}

static int set_up(struct pst_sq *c, bool write, struct pst_err *err)
{
    sqlite3_extended_result_codes(c->h, 1);
    sqlite3_busy_timeout(c->h, BUSY_TIMEOUT_MS);
    sqlite3_db_config(c->h, SQLITE_DBCONFIG_DEFENSIVE, 1, NULL);
    sqlite3_db_config(c->h, SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0, NULL);
    sqlite3_db_config(c->h, SQLITE_DBCONFIG_DQS_DML, 0, NULL);
    sqlite3_db_config(c->h, SQLITE_DBCONFIG_DQS_DDL, 0, NULL);

    int rc = want(c, "PRAGMA journal_mode = WAL", "wal", err);
    if (rc == PST_OK)
        rc = pst_sq_script(c,
                           "PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON;"
                           "PRAGMA cell_size_check = ON; PRAGMA temp_store = MEMORY;",
                           err);
    if (rc == PST_OK)
        rc = pst_sq_script(
            c, write ? "PRAGMA journal_size_limit = 67108864;" : "PRAGMA query_only = ON;", err);
    if (rc == PST_OK)
        rc = want(c, "PRAGMA synchronous", "2", err);
    if (rc == PST_OK)
        rc = want(c, "PRAGMA foreign_keys", "1", err);
    return rc;
}

int pst_sq_open(struct pst_sq **ret, const char *path, bool write, size_t slots_n,
                struct pst_err *err)
{
    auto_(pst_sq_close) struct pst_sq *c = pst_zalloc(1, sizeof *c);
    if (!c)
        return pst_fail_nomem(err, "a database connection");
    c->slots_n = slots_n;
    c->slots = pst_zalloc(slots_n, sizeof *c->slots);
    if (!c->slots)
        return pst_fail_nomem(err, "a database connection");

    int code = sqlite3_open_v2(path, &c->h, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX, NULL);
    if (code != SQLITE_OK)
        return pst_sq_fail(c, code, path, err);
    int rc = set_up(c, write, err);
    if (rc != PST_OK)
        return pst_wrap(err, "%s", path);
    *ret = pst_take(&c);
    return PST_OK;
}

void pst_sq_close(struct pst_sq *c)
{
    if (!c)
        return;
    for (size_t k = 0; c->slots && k < c->slots_n; k++)
        sqlite3_finalize(c->slots[k]);
    sqlite3_close(c->h);
    pst_free(c->slots);
    pst_free(c);
}

/* ---- statements ---- */

/* SQLite numbers $1 by first appearance; PostgreSQL by the digit: they must agree. */
static int check_params(sqlite3_stmt *st, const struct pst_stmt *stmt, struct pst_err *err)
{
    int n = sqlite3_bind_parameter_count(st);

    if ((size_t)n != strlen(stmt->args))
        return pst_fail(err, PST_EINTERNAL, "the statement has %d parameters, its table says %zu",
                        n, strlen(stmt->args));
    for (int k = 1; k <= n; k++) {
        char wanted[16];
        snprintf(wanted, sizeof wanted, "$%d", k);
        if (!pst_streq(sqlite3_bind_parameter_name(st, k), wanted))
            return pst_fail(err, PST_EINTERNAL,
                            "parameter %d is written %s: number them in order of first use", k,
                            sqlite3_bind_parameter_name(st, k));
    }
    if ((size_t)sqlite3_column_count(st) != strlen(stmt->cols))
        return pst_fail(err, PST_EINTERNAL, "the statement gives %d columns, its table says %zu",
                        sqlite3_column_count(st), strlen(stmt->cols));
    return PST_OK;
}

static int prepare(struct pst_dbtx *tx, const struct pst_stmt *stmt, sqlite3_stmt **ret,
                   struct pst_err *err)
{
    struct pst_sq *c = tx->conn;
    const char *tail = "";
    sqlite3_stmt *st = NULL;

    long slot = pst_db_slot(tx->db, stmt);
    if (slot < 0)
        return pst_fail(err, PST_EINTERNAL, "the statement is in none of the tables");
    if (!c->slots[slot]) {
        int code = sqlite3_prepare_v3(c->h, stmt->sql, -1, SQLITE_PREPARE_PERSISTENT, &st, &tail);
        if (code != SQLITE_OK)
            return pst_sq_fail(c, code, "preparing", err);
        int rc = *tail ? pst_fail(err, PST_EINTERNAL, "more than one statement in one text")
                       : check_params(st, stmt, err);
        if (rc != PST_OK) {
            sqlite3_finalize(st);
            return rc;
        }
        c->slots[slot] = st;
    }
    *ret = c->slots[slot];
    return PST_OK;
}

int pst_sq_check(struct pst_dbtx *tx, const struct pst_stmt *stmt, struct pst_err *err)
{
    sqlite3_stmt *st;
    return prepare(tx, stmt, &st, err);
}

/* The bytes stay where they are: they outlive the statement's run. */
static int bind(sqlite3_stmt *st, int n, const struct pst_val *v)
{
    if (v->kind == 'i')
        return sqlite3_bind_int64(st, n, v->i);
    if (!v->data)
        return sqlite3_bind_null(st, n);
    if (v->kind == 't')
        return sqlite3_bind_text64(st, n, v->data, v->len, SQLITE_STATIC, SQLITE_UTF8);
    return sqlite3_bind_blob64(st, n, v->data, v->len, SQLITE_STATIC);
}

static int read_cell(struct pst_sq *c, sqlite3_stmt *st, int col, char wanted,
                     struct pst_rows *rows, struct pst_err *err)
{
    static const char types[] = {
        [SQLITE_INTEGER] = 'i', [SQLITE_FLOAT] = 'f', [SQLITE_TEXT] = 't', [SQLITE_BLOB] = 'b'};
    int type = sqlite3_column_type(st, col);

    if (type == SQLITE_NULL)
        return pst_rows_add_null(rows, err);
    if (types[type] != wanted) {
        pst_fail(err, PST_EDB, "column %d holds a value of type %c, not %c", col, types[type],
                 wanted);
        pst_err_retry(err, PST_RETRY_NEVER, 0);
        return PST_EDB;
    }
    if (wanted == 'i')
        return pst_rows_add_i(rows, sqlite3_column_int64(st, col), err);
    const void *data = wanted == 't' ? sqlite3_column_text(st, col) : sqlite3_column_blob(st, col);
    size_t len = (size_t)sqlite3_column_bytes(st, col);
    if (!data && len)
        return pst_sq_fail(c, SQLITE_NOMEM, "reading a column", err);
    return pst_rows_add_bytes(rows, data ? data : "", len, err);
}

static int step_all(struct pst_sq *c, sqlite3_stmt *st, const char *cols, struct pst_rows *rows,
                    struct pst_err *err)
{
    int code;

    while ((code = sqlite3_step(st)) == SQLITE_ROW)
        for (int col = 0; cols[col]; col++) {
            int rc = read_cell(c, st, col, cols[col], rows, err);
            if (rc != PST_OK)
                return rc;
        }
    return code == SQLITE_DONE ? PST_OK : pst_sq_fail(c, code, "running", err);
}

int pst_sq_run(struct pst_dbtx *tx, const struct pst_stmt *stmt, const struct pst_val *vals,
               struct pst_rows *rows, int64_t *ret_n, struct pst_err *err)
{
    struct pst_sq *c = tx->conn;
    sqlite3_stmt *st = NULL;
    int code = SQLITE_OK;

    int rc = prepare(tx, stmt, &st, err);
    if (rc != PST_OK)
        return rc;
    for (int k = 0; code == SQLITE_OK && stmt->args[k]; k++)
        code = bind(st, k + 1, &vals[k]);
    rc = code == SQLITE_OK ? step_all(c, st, stmt->cols, rows, err)
                           : pst_sq_fail(c, code, "binding", err);
    if (rc == PST_OK)
        *ret_n = sqlite3_changes(c->h);
    sqlite3_reset(st);
    sqlite3_clear_bindings(st);
    return rc;
}
