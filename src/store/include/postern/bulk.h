/*
 * bulk.h - records of imports, and domains as lines of an export.  The rules of store.h hold.
 *
 * An import's row is saved in the transaction that applies its lines; whoever applies lines reads
 * it first with pst_import_get(), which locks it.
 */
#ifndef POSTERN_BULK_H
#define POSTERN_BULK_H

#include <postern/store.h>

/* ---- imports ---- */

enum pst_import_state {
    PST_IMPORT_OPEN,
    PST_IMPORT_FINISHED,
    PST_IMPORT_CANCELLED,
    PST_IMPORT_STOPPED, /* by the server: see reason */
    PST_IMPORT_STATE__COUNT
};
const char *pst_import_state_name(enum pst_import_state s);

struct pst_import {
    char id[PST_ID_SIZE];
    char user_id[PST_ID_SIZE];
    char app_id[PST_ID_SIZE]; /* "": its lines name their apps */
    bool dry_run;
    enum pst_import_state state;
    char reason[200];
    int64_t lines_expected; /* 0: not known */
    int64_t lines, added, unchanged, refused;
    int64_t active_ms; /* how long lines have been coming */
    int64_t created_at_ms, updated_at_ms, ended_at_ms;
};

int pst_import_insert(struct pst_tx *tx, struct pst_import *i, struct pst_err *err);
/* user_id "": whoever began it.  PST_NOTFOUND. */
int pst_import_get(struct pst_tx *tx, const char *user_id, const char *id, struct pst_import *ret,
                   struct pst_err *err);
/* Newest first, at most `limit`.  user_id "": of all. */
int pst_import_each(struct pst_tx *tx, const char *user_id, size_t limit,
                    int (*fn)(const struct pst_import *i, void *arg), void *arg,
                    struct pst_err *err);
/* How many of the user's are open. */
int pst_import_count_open(struct pst_tx *tx, const char *user_id, int64_t *ret_n,
                          struct pst_err *err);
/* State, reason, counts and times. */
int pst_import_save(struct pst_tx *tx, const struct pst_import *i, struct pst_err *err);
/* Forget at most `limit` imports that nothing was heard of since `before_ms`, with their lines. */
int pst_import_sweep(struct pst_tx *tx, int64_t before_ms, size_t limit, struct pst_err *err);
/* Forget at most `limit` of the user's ended imports, those before the last `keep`. */
int pst_import_trim(struct pst_tx *tx, const char *user_id, size_t keep, size_t limit,
                    struct pst_err *err);

struct pst_import_refusal {
    int64_t line;
    char name[PST_HOST_SIZE]; /* cut off where it is longer */
    char field[40];           /* "": the line as a whole */
    char error[600];
};
int pst_import_refuse(struct pst_tx *tx, const char *import_id, const struct pst_import_refusal *r,
                      struct pst_err *err);
/* By line, those behind line `after`. */
int pst_import_each_refusal(struct pst_tx *tx, const char *import_id, int64_t after, size_t limit,
                            int (*fn)(const struct pst_import_refusal *r, void *arg), void *arg,
                            struct pst_err *err);

/* ---- what a dry run would have added ---- */

struct pst_import_name {
    char ascii[PST_NAME_SIZE];
    char app_id[PST_ID_SIZE];
    bool acme_enabled, canonical;
    char sha256[65]; /* of its certificate, "": none */
};
int pst_import_name_insert(struct pst_tx *tx, const char *import_id,
                           const struct pst_import_name *n, struct pst_err *err);
/* PST_NOTFOUND. */
int pst_import_name_get(struct pst_tx *tx, const char *import_id, const char *ascii,
                        struct pst_import_name *ret, struct pst_err *err);
int pst_import_name_count(struct pst_tx *tx, const char *import_id, const char *app_id,
                          int64_t *ret_n, struct pst_err *err);
/* The one that would be canonical.  PST_NOTFOUND. */
int pst_import_name_canonical(struct pst_tx *tx, const char *import_id, const char *app_id,
                              char ret[PST_NAME_SIZE], struct pst_err *err);
/* Forget at most `limit` of them.  *ret_n: how many went. */
int pst_import_names_drop(struct pst_tx *tx, const char *import_id, size_t limit, int64_t *ret_n,
                          struct pst_err *err);

/* ---- exports ---- */

/* Where a page begins: behind this domain. */
struct pst_line_cursor {
    char app_id[PST_ID_SIZE];
    int64_t created_at_ms;
    char id[PST_ID_SIZE];
};
struct pst_domain_line {
    struct pst_line_cursor at;
    char app[PST_WORD_SIZE]; /* its name */
    char name[PST_HOST_SIZE];
    bool acme_enabled, canonical;
};
/* By app, then age; at most `limit`.  app_id "": of all apps. */
int pst_domain_each_line(struct pst_tx *tx, const char *app_id, const struct pst_line_cursor *after,
                         size_t limit, int (*fn)(const struct pst_domain_line *l, void *arg),
                         void *arg, struct pst_err *err);

#endif
