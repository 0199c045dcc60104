/* pg_conn.c - one PostgreSQL connection: settings, statements, codes. */
#include "pg_internal.h"

#include <endian.h>
#include <stdio.h>
#include <string.h>

/* Types on the wire (pg_type.dat); a domain shows as what it is made of. */
enum { OID_BYTEA = 17, OID_INT8 = 20, OID_TEXT = 25 };

enum { PARAMS_MAX = 64, SERVER_MIN = 130000 };

static Oid oid_of(char letter)
{
    return letter == 'i' ? OID_INT8 : letter == 't' ? OID_TEXT : OID_BYTEA;
}

/* ---- faults ---- */

/* First characters of an SQLSTATE for which trying again later can help. */
static const char *const passing[] = {
    "08", /* connection */
    "40", /* serialisation, deadlock */
    "53", /* disk full, no memory, too many connections */
    "55P03", "57", "25P03", "58030",
};

static enum pst_retry advice(const char *sqlstate)
{
    for (size_t k = 0; k < PST_ARRAY_N(passing); k++)
        if (pst_str_starts(sqlstate, passing[k]))
            return PST_RETRY_BACKOFF;
    return PST_RETRY_NEVER;
}

static void one_line(char *text)
{
    for (char *s = text; *s; s++)
        if (*s == '\n' || *s == '\r')
            *s = s[1] ? ' ' : '\0';
}

/* The connection's own trouble: `h` says what. */
static int connection_fault(struct pst_pg *c, const char *what, struct pst_err *err)
{
    char text[200];

    snprintf(text, sizeof text, "%s", PQerrorMessage(c->h));
    one_line(text);
    c->sqlstate[0] = '\0';
    if (PQstatus(c->h) == CONNECTION_OK)
        return pst_fail_nomem(err, "a message to PostgreSQL");
    pst_fail(err, PST_EDB, "%s: PostgreSQL: %s", what, text);
    pst_err_retry(err, PST_RETRY_BACKOFF, 0);
    return PST_EDB;
}

static int fault(struct pst_pg *c, const PGresult *res, const char *what, struct pst_err *err)
{
    const char *state = res ? PQresultErrorField(res, PG_DIAG_SQLSTATE) : NULL;
    const char *text = res ? PQresultErrorField(res, PG_DIAG_MESSAGE_PRIMARY) : NULL;

    if (!state || PQstatus(c->h) != CONNECTION_OK)
        return connection_fault(c, what, err);
    pst_str_copy(c->sqlstate, sizeof c->sqlstate, state);
    pst_fail(err, PST_EDB, "%s: PostgreSQL: %s (%s)", what, text ? text : "no text", state);
    pst_err_retry(err, advice(state), 0);
    return PST_EDB;
}

static bool result_ok(const PGresult *res)
{
    ExecStatusType s = PQresultStatus(res);
    return s == PGRES_COMMAND_OK || s == PGRES_TUPLES_OK;
}

bool pst_pg_broken(const struct pst_pg *c)
{
    return PQstatus(c->h) != CONNECTION_OK;
}

int pst_pg_script(struct pst_pg *c, const char *sql, PGresult **ret, struct pst_err *err)
{
    auto_(PQclear) PGresult *res = PQexec(c->h, sql);
    if (!result_ok(res))
        return fault(c, res, "a statement", err);
    if (ret)
        *ret = pst_take(&res);
    return PST_OK;
}

/* ---- connecting ---- */

/* The last column: text compares byte by byte, whatever the collation is called. */
static const char session[] =
    "SET idle_in_transaction_session_timeout = '5s'; SET statement_timeout = '30s';"
    "SET lock_timeout = '10s';"
    "SELECT current_setting('synchronous_commit'), current_setting('server_encoding'), "
    "current_setting('server_version_num'), CASE WHEN pg_is_in_recovery() THEN 'standby' "
    "ELSE '' END, CASE WHEN 'B' < 'a' AND 'a-c' < 'ab' AND 'Z' < '_' AND 'z' < U&'\\00e9' "
    "AND '*.b' < 'a' THEN 'bytes' ELSE '' END";

static int check_session(const PGresult *res, struct pst_err *err)
{
    int64_t version = 0;

    if (PQntuples(res) != 1 || PQnfields(res) != 5 ||
        !pst_parse_i64(PQgetvalue(res, 0, 2), 0, INT32_MAX, &version))
        return pst_fail(err, PST_EDB, "PostgreSQL did not tell its settings");
    if (version < SERVER_MIN)
        return pst_fail(err, PST_ECONFIG, "PostgreSQL is older than 13");
    if (pst_streq(PQgetvalue(res, 0, 0), "off"))
        return pst_fail(err, PST_ECONFIG,
                        "synchronous_commit is off for this database: what was acknowledged could "
                        "be lost; switch it on");
    if (!pst_streq(PQgetvalue(res, 0, 1), "UTF8"))
        return pst_fail(err, PST_ECONFIG, "the database's encoding is %.20s; make it with UTF8",
                        PQgetvalue(res, 0, 1));
    if (!pst_streq(PQgetvalue(res, 0, 4), "bytes"))
        return pst_fail(err, PST_ECONFIG,
                        "the database does not sort by bytes; make it with LOCALE 'C'");
    if (PQgetvalue(res, 0, 3)[0]) {
        pst_fail(err, PST_EDB, "the PostgreSQL server is a standby and takes no writes");
        pst_err_retry(err, PST_RETRY_BACKOFF, 0);
        return PST_EDB;
    }
    return PST_OK;
}

static void ignore_notice(void *arg, const char *message)
{
    (void)arg, (void)message;
}

/* What stands before dbname may be set otherwise in the url, what stands after it may not. */
static PGconn *dial(const char *url)
{
    const char *const keys[] = {"connect_timeout",
                                "tcp_user_timeout",
                                "keepalives_idle",
                                "fallback_application_name",
                                "dbname",
                                "client_encoding",
                                NULL};
    const char *const values[] = {"5", "15000", "10", "posternd", url, "UTF8", NULL};
    return PQconnectdbParams(keys, values, 1);
}

/* Why there is no connection.  The server's refusals have no SQLSTATE here; what is not reached
 * is told apart by asking whether the server answers at all. */
static int dial_fault(struct pst_pg *c, const char *url, struct pst_err *err)
{
    bool refused = PQping(url) == PQPING_OK;
    int rc = connection_fault(c, "connecting", err);

    if (rc == PST_EDB && refused) {
        pst_err_retry(err, PST_RETRY_NEVER, 0);
        if (err)
            err->rc = PST_ECONFIG;
        return PST_ECONFIG;
    }
    return rc;
}

int pst_pg_open(struct pst_pg **ret, const char *url, size_t slots_n, struct pst_err *err)
{
    auto_(PQclear) PGresult *res = NULL;

    auto_(pst_pg_close) struct pst_pg *c = pst_zalloc(1, sizeof *c);
    if (!c)
        return pst_fail_nomem(err, "a database connection");
    c->prepared = pst_zalloc(slots_n, sizeof *c->prepared);
    if (!c->prepared)
        return pst_fail_nomem(err, "a database connection");

    c->h = dial(url);
    if (!c->h)
        return pst_fail_nomem(err, "a database connection");
    PQsetNoticeProcessor(c->h, ignore_notice, NULL);
    if (PQstatus(c->h) != CONNECTION_OK)
        return dial_fault(c, url, err);
    int rc = pst_pg_script(c, session, &res, err);
    if (rc == PST_OK)
        rc = check_session(res, err);
    if (rc == PST_OK)
        *ret = pst_take(&c);
    return rc;
}

void pst_pg_close(struct pst_pg *c)
{
    if (!c)
        return;
    PQfinish(c->h);
    pst_free(c->prepared);
    pst_free(c);
}

/* ---- statements ---- */

static int prepare(struct pst_dbtx *tx, const struct pst_stmt *stmt, char name[24],
                   struct pst_err *err)
{
    struct pst_pg *c = tx->conn;
    Oid types[PARAMS_MAX];
    size_t n = strlen(stmt->args);

    long slot = pst_db_slot(tx->db, stmt);
    if (slot < 0)
        return pst_fail(err, PST_EINTERNAL, "the statement is in none of the tables");
    if (n > PARAMS_MAX)
        return pst_fail(err, PST_EINTERNAL, "the statement has more than %d parameters",
                        PARAMS_MAX);
    snprintf(name, 24, "s%ld", slot);
    if (c->prepared[slot])
        return PST_OK;
    for (size_t k = 0; k < n; k++)
        types[k] = oid_of(stmt->args[k]);
    auto_(PQclear) PGresult *res =
        PQprepare(c->h, name, stmt->sql_pg ? stmt->sql_pg : stmt->sql, (int)n, types);
    if (!result_ok(res))
        return fault(c, res, "preparing", err);
    c->prepared[slot] = true;
    return PST_OK;
}

static int check_columns(const PGresult *res, const struct pst_stmt *stmt, struct pst_err *err)
{
    if ((size_t)PQnfields(res) != strlen(stmt->cols))
        return pst_fail(err, PST_EINTERNAL, "the statement gives %d columns, its table says %zu",
                        PQnfields(res), strlen(stmt->cols));
    for (int col = 0; stmt->cols[col]; col++)
        if (PQftype(res, col) != oid_of(stmt->cols[col]))
            return pst_fail(err, PST_EINTERNAL, "column %d has the type %u, its table says %c", col,
                            PQftype(res, col), stmt->cols[col]);
    return PST_OK;
}

int pst_pg_check(struct pst_dbtx *tx, const struct pst_stmt *stmt, struct pst_err *err)
{
    struct pst_pg *c = tx->conn;
    char name[24];

    int rc = prepare(tx, stmt, name, err);
    if (rc != PST_OK)
        return rc;
    auto_(PQclear) PGresult *res = PQdescribePrepared(c->h, name);
    if (!result_ok(res))
        return fault(c, res, "describing", err);
    if ((size_t)PQnparams(res) != strlen(stmt->args))
        return pst_fail(err, PST_EINTERNAL, "the statement has %d parameters, its table says %zu",
                        PQnparams(res), strlen(stmt->args));
    return check_columns(res, stmt, err);
}

/* Numbers in network order; text and blobs as they are. */
static PGresult *execute(struct pst_pg *c, const char *name, const struct pst_val *vals, size_t n)
{
    uint64_t numbers[PARAMS_MAX];
    const char *values[PARAMS_MAX];
    int lens[PARAMS_MAX], formats[PARAMS_MAX];

    for (size_t k = 0; k < n; k++) {
        bool number = vals[k].kind == 'i';
        numbers[k] = htobe64((uint64_t)vals[k].i);
        values[k] = number ? (const char *)&numbers[k] : vals[k].data;
        lens[k] = number ? (int)sizeof numbers[k] : (int)vals[k].len;
        formats[k] = 1;
    }
    return PQexecPrepared(c->h, name, (int)n, values, lens, formats, 1);
}

static int read_cell(const PGresult *res, int row, int col, char type, struct pst_rows *rows,
                     struct pst_err *err)
{
    const char *data = PQgetvalue(res, row, col);
    int len = PQgetlength(res, row, col);
    uint64_t number;

    if (PQgetisnull(res, row, col))
        return pst_rows_add_null(rows, err);
    if (type != 'i')
        return pst_rows_add_bytes(rows, data, (size_t)len, err);
    if (len != (int)sizeof number)
        return pst_fail(err, PST_EDB, "column %d holds a number of %d bytes", col, len);
    memcpy(&number, data, sizeof number);
    return pst_rows_add_i(rows, (int64_t)be64toh(number), err);
}

static int read_rows(const PGresult *res, const struct pst_stmt *stmt, struct pst_rows *rows,
                     struct pst_err *err)
{
    int rc = check_columns(res, stmt, err);
    for (int row = 0; rc == PST_OK && row < PQntuples(res); row++)
        for (int col = 0; rc == PST_OK && stmt->cols[col]; col++)
            rc = read_cell(res, row, col, stmt->cols[col], rows, err);
    return rc;
}

int pst_pg_run(struct pst_dbtx *tx, const struct pst_stmt *stmt, const struct pst_val *vals,
               struct pst_rows *rows, int64_t *ret_n, struct pst_err *err)
{
    struct pst_pg *c = tx->conn;
    size_t n = strlen(stmt->args);
    char name[24];

    for (size_t k = 0; k < n; k++)
        if (vals[k].kind != 'i' && vals[k].len > INT32_MAX / 2)
            return pst_fail(err, PST_EINTERNAL, "value %zu is too long", k + 1);
    int rc = prepare(tx, stmt, name, err);
    if (rc != PST_OK)
        return rc;
    auto_(PQclear) PGresult *res = execute(c, name, vals, n);
    if (!result_ok(res))
        return fault(c, res, "running", err);
    if (rows)
        return read_rows(res, stmt, rows, err);
    if (!pst_parse_i64(PQcmdTuples(res), 0, INT64_MAX, ret_n))
        *ret_n = 0;
    return PST_OK;
}
