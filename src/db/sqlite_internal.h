/* sqlite_internal.h - one connection (sqlite_conn.c), one database of them (sqlite.c). */
#ifndef POSTERN_SQLITE_INTERNAL_H
#define POSTERN_SQLITE_INTERNAL_H

#include <sqlite3.h>

#include "db_internal.h"

/* A connection with its prepared statements; for one thread at a time. */
struct pst_sq {
    sqlite3 *h;
    sqlite3_stmt **slots; /* by pst_db_slot(), NULL until first used */
    size_t slots_n;
    struct pst_sq *next; /* in the pool */
};

int pst_sq_open(struct pst_sq **ret, const char *path, bool write, size_t slots_n,
                struct pst_err *err);
void pst_sq_close(struct pst_sq *c);
PST_CLEANUP(struct pst_sq, pst_sq_close);

/* One or several statements without values. */
int pst_sq_script(struct pst_sq *c, const char *sql, struct pst_err *err);

/* See struct pst_db_driver. */
int pst_sq_run(struct pst_dbtx *tx, const struct pst_stmt *stmt, const struct pst_val *vals,
               struct pst_rows *rows, int64_t *ret_n, struct pst_err *err);
int pst_sq_check(struct pst_dbtx *tx, const struct pst_stmt *stmt, struct pst_err *err);

/* Make a fault of the connection's last error `code`. */
int pst_sq_fail(struct pst_sq *c, int code, const char *what, struct pst_err *err);

/* ---- the file (sqlite_file.c) ---- */

/* PST_OK: a database of ours; PST_NOTFOUND: no file, or an empty one; PST_ECONFIG: something else.
 */
int pst_sq_file_check(const char *path, uint32_t application_id, struct pst_err *err);
/* Hold <path>.lock until the descriptor is closed. */
int pst_sq_file_lock(const char *path, int *ret_fd, struct pst_err *err);
/* Put the finished file `from` in the place of `to`, durably.  PST_CONFLICT: `to` has content. */
int pst_sq_file_publish(const char *from, const char *to, struct pst_err *err);
/* Remove what an earlier try left: the file and its -wal, -shm, -journal. */
void pst_sq_file_remove(const char *path);

#endif
