/* migrate.c - the schema's history: append only, each file recorded with its checksum.
 *
 * A program may work on a schema with migrations that it does not know, as long as
 * schema.min_binary allows it: a migration expands first and contracts a release later.
 */
#include "db_internal.h"

#include <inttypes.h>

enum { EXISTS, GET, APPLIED, RECORD, MARK };

static const struct pst_stmt stmts[] = {
    [EXISTS] = {.name = "schema.exists",
                .sql = "SELECT count(*) FROM sqlite_master WHERE type = 'table' "
                       "AND name = 'schema'",
                .sql_pg = "SELECT count(*) FROM pg_catalog.pg_tables "
                          "WHERE schemaname = current_schema() AND tablename = 'schema'",
                .args = "",
                .cols = "i"},
    [GET] = {.name = "schema.get",
             .sql = "SELECT min_binary FROM schema WHERE id = 1",
             .args = "",
             .cols = "i"},
    [APPLIED] = {.name = "schema.applied",
                 .sql = "SELECT version, name, checksum FROM schema_migrations ORDER BY version",
                 .args = "",
                 .cols = "itt"},
    [RECORD] = {.name = "schema.record",
                .sql = "INSERT INTO schema_migrations (version, name, checksum, applied_at_ms) "
                       "VALUES ($1, $2, $3, $4)",
                .args = "itti",
                .cols = ""},
    [MARK] = {.name = "schema.mark",
              .sql = "INSERT INTO schema (id, min_binary) VALUES (1, $1) "
                     "ON CONFLICT (id) DO UPDATE SET min_binary = excluded.min_binary",
              .args = "i",
              .cols = ""},
};
const struct pst_stmt_set pst_db_own_stmts = {stmts, PST_ARRAY_N(stmts)};

static const char own_tables[] = "CREATE TABLE schema (id bigint NOT NULL PRIMARY KEY, "
                                 "min_binary bigint NOT NULL);"
                                 "CREATE TABLE schema_migrations ("
                                 "version bigint NOT NULL PRIMARY KEY, name text NOT NULL, "
                                 "checksum text NOT NULL, applied_at_ms bigint NOT NULL);";

static int number(struct pst_dbtx *tx, const struct pst_stmt *stmt, int64_t *ret,
                  struct pst_err *err)
{
    auto_(pst_rows_free) struct pst_rows *rows = NULL;
    int rc = pst_db_query(tx, stmt, &rows, err);
    if (rc < 0)
        return rc;
    if (!pst_rows_next(rows))
        return PST_NOTFOUND;
    *ret = pst_col_i(rows, 0);
    return PST_OK;
}

/* What was applied is what we know, in our order; *ret_n: how many of ours are there. */
static int compare(struct pst_dbtx *tx, const struct pst_db_opts *opts, size_t *ret_n,
                   struct pst_err *err)
{
    int64_t newest = opts->migrations_n ? opts->migrations[opts->migrations_n - 1].version : 0;
    int64_t min_binary = 0;
    size_t n = 0;

    int rc = number(tx, &stmts[GET], &min_binary, err);
    if (rc < 0)
        return rc;
    if (rc == PST_NOTFOUND)
        return pst_fail(err, PST_ECONFIG, "the database's schema table is empty");
    if (min_binary > newest)
        return pst_fail(err, PST_ECONFIG,
                        "the database is newer than this program: it needs one that knows schema "
                        "version %" PRId64 ", this one knows %zu; install the newer program",
                        min_binary, opts->migrations_n);

    auto_(pst_rows_free) struct pst_rows *rows = NULL;
    rc = pst_db_query(tx, &stmts[APPLIED], &rows, err);
    if (rc < 0)
        return rc;
    while (pst_rows_next(rows)) {
        if (n < opts->migrations_n &&
            (pst_col_i(rows, 0) != opts->migrations[n].version ||
             !pst_streq(pst_col_t(rows, 2), opts->migrations[n].checksum)))
            return pst_fail(err, PST_ECONFIG,
                            "schema migration %" PRId64 " (%s) of the database is not the one of "
                            "this program: one of them was changed after its release",
                            pst_col_i(rows, 0), pst_col_t(rows, 1));
        n++;
    }
    *ret_n = n < opts->migrations_n ? n : opts->migrations_n;
    return PST_OK;
}

static int apply(struct pst_dbtx *tx, const struct pst_migration *m, struct pst_err *err)
{
    bool pg = tx->db->driver->engine == PST_DB_PG;

    int rc = tx->db->driver->script(tx, pg ? m->sql_pg : m->sql, err);
    if (rc == PST_OK)
        rc = pst_db_exec(tx, &stmts[RECORD], NULL, err, pst_i(m->version), pst_t(m->name),
                         pst_t(m->checksum), pst_i(pst_wall_ms(tx->db->clock)));
    if (rc == PST_OK)
        rc = pst_db_exec(tx, &stmts[MARK], NULL, err, pst_i(m->min_binary));
    return rc < 0 ? pst_wrap(err, "schema migration %s", m->name) : rc;
}

static int migrate(struct pst_dbtx *tx, void *arg, struct pst_err *err)
{
    const struct pst_db_opts *opts = arg;
    int64_t there = 0;
    size_t done = 0;
    int rc = PST_OK;

    /* Two programs that start at once: the second waits.  SQLite has its lock file. */
    if (tx->db->driver->engine == PST_DB_PG)
        rc = tx->db->driver->script(tx,
                                    "SET LOCAL statement_timeout = 0;"
                                    "SELECT pg_advisory_xact_lock(8029172665)",
                                    err);
    if (rc == PST_OK)
        rc = number(tx, &stmts[EXISTS], &there, err);
    if (rc < 0)
        return rc;
    if (there && opts->create)
        return PST_CONFLICT;
    if (!there && !opts->create)
        return pst_fail(err, PST_ECONFIG,
                        "there is no Postern database yet; posternd init makes one");

    rc = there ? compare(tx, opts, &done, err) : tx->db->driver->script(tx, own_tables, err);
    for (size_t k = done; rc == PST_OK && k < opts->migrations_n; k++)
        rc = apply(tx, &opts->migrations[k], err);
    return rc;
}

int pst_db_migrate(struct pst_db *db, const struct pst_db_opts *opts, struct pst_err *err)
{
    for (size_t k = 1; k < opts->migrations_n; k++)
        pst_require(opts->migrations[k].version > opts->migrations[k - 1].version);
    struct pst_db_opts copy = *opts;
    return pst_db_tx(db, migrate, &copy, err);
}
