/* pg_internal.h - one connection (pg_conn.c), the pool and transactions (pg.c). */
#ifndef POSTERN_PG_INTERNAL_H
#define POSTERN_PG_INTERNAL_H

#include <libpq-fe.h>

#include "db_internal.h"

PST_CLEANUP(PGresult, PQclear);

/* A connection with what is prepared on it; for one thread at a time. */
struct pst_pg {
    PGconn *h;
    bool *prepared;      /* by pst_db_slot() */
    char sqlstate[6];    /* of the last failure, "" for the connection's own */
    struct pst_pg *next; /* in the pool */
};

/* Connect and check the server's settings.  PST_OK; PST_ECONFIG: it refuses us, or is set up in a
 * way that loses data or sorts differently; PST_EDB: not reached. */
int pst_pg_open(struct pst_pg **ret, const char *url, size_t slots_n, struct pst_err *err);
void pst_pg_close(struct pst_pg *c);
PST_CLEANUP(struct pst_pg, pst_pg_close);

/* The connection cannot be used any more. */
bool pst_pg_broken(const struct pst_pg *c);

/* Statements without values; *ret (may be NULL) is the last one's result. */
int pst_pg_script(struct pst_pg *c, const char *sql, PGresult **ret, struct pst_err *err);

/* See struct pst_db_driver. */
int pst_pg_run(struct pst_dbtx *tx, const struct pst_stmt *stmt, const struct pst_val *vals,
               struct pst_rows *rows, int64_t *ret_n, struct pst_err *err);
int pst_pg_check(struct pst_dbtx *tx, const struct pst_stmt *stmt, struct pst_err *err);

#endif
