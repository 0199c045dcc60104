/* store_internal.h - what the files of store/ share; seen only by them and their tests. */
#ifndef POSTERN_STORE_INTERNAL_H
#define POSTERN_STORE_INTERNAL_H

#include <postern/answers.h>
#include <postern/base.h>
#include <postern/db.h>
#include <postern/store.h>

/* An object of the feed that the transaction changed; told to the edges at its end. */
struct pst_touch {
    const char *kind; /* a constant */
    char key[PST_NAME_SIZE];
    bool deleted;
};

struct pst_tx {
    struct pst_dbtx *db;
    struct pst_store *store;
    bool write;
    struct pst_touch *touched;
    size_t touched_n, touched_cap;
    bool wake;                  /* some order or domain has a new due time */
    char locked[PST_NAME_SIZE]; /* the registered domain that was locked last */
    bool answers;               /* the DNS answers changed */
    int64_t rev;                /* feed revision made, 0: none */
};

/* The files that have statements: <name>_db.c, mostly. */
/* clang-format off */
#define PST_STORE_FILES(X) \
    X(account)     \
    X(answer)      \
    X(app)         \
    X(budget)      \
    X(bulk)        \
    X(bundle)      \
    X(certificate) \
    X(challenge)   \
    X(claim)       \
    X(dns_record)  \
    X(domain)      \
    X(edge)        \
    X(event)       \
    X(figures)     \
    X(feed)        \
    X(keys)        \
    X(meta)        \
    X(order)       \
    X(permanent)   \
    X(platform)    \
    X(renewal)     \
    X(request)     \
    X(ticket)      \
    X(touch)       \
    X(user)        \
    X(variable)    \
    X(webhook)
/* clang-format on */
#define PST_STORE_COUNT(file) +1
enum { PST_STORE_SETS = PST_STORE_FILES(PST_STORE_COUNT) };
#undef PST_STORE_COUNT

struct pst_store {
    struct pst_db *db;
    struct pst_stmt_set sets[PST_STORE_SETS]; /* every statement of the program */
    char *node;
    struct pst_keyring *keys;
    const struct pst_clock *clock;
    struct pst_rand *rand;
    pst_store_commit_fn *on_commit;
    void *on_commit_arg;
    pst_store_answers_fn *on_answers;
    void *on_answers_arg;
};

/* Statements of each file: `static const struct pst_stmt stmts[]` by an enum of the file's own,
 * and this for the table of tables in store.c. */
#define PST_STORE_SQL(file)                                                                        \
    const struct pst_stmt_set pst_store_sql_##file = {stmts, PST_ARRAY_N(stmts)}
#define PST_STORE_DECLARE(file) extern const struct pst_stmt_set pst_store_sql_##file;
PST_STORE_FILES(PST_STORE_DECLARE)
#undef PST_STORE_DECLARE

extern const struct pst_migration pst_store_migrations[];
extern const size_t pst_store_migrations_n;

/* ---- the feed ---- */

/* Say that an object of the feed changed (or is gone).  The last word about an object counts.
 * `kind` is a constant. */
int pst_touch(struct pst_tx *tx, const char *kind, const char *key, bool deleted,
              struct pst_err *err);
/* With a certificate's number as key. */
int pst_touch_num(struct pst_tx *tx, const char *kind, int64_t num, bool deleted,
                  struct pst_err *err);
/* The last statements of a transaction: one revision for all it touched. */
int pst_touch_flush(struct pst_tx *tx, struct pst_err *err);
/* Epoch and revision 0 of a new database. */
int pst_touch_init(struct pst_tx *tx, struct pst_err *err);

/* ---- DNS answers ---- */

/* At the end of a transaction: a new version if it changed them. */
int pst_answers_flush(struct pst_tx *tx, struct pst_err *err);

/* ---- names ---- */

/* All names of an app, its platform name included: what stands at the app changed for them. */
int pst_touch_app_names(struct pst_tx *tx, const char *app_id, struct pst_err *err);

/* The app's platform name was made, moved or removed with the app (NULL: it has none now). */
int pst_platform_name_set(struct pst_tx *tx, const char *app_id, const char *app_name,
                          struct pst_err *err);

/* Issuers are stored once.  PST_OK or negative. */
enum { PST_ISSUER_KEY_SIZE = 17 };
int pst_issuer_put(struct pst_tx *tx, const struct pst_buf *der, char ret_key[PST_ISSUER_KEY_SIZE],
                   struct pst_err *err);
/* Remove those that belong to no chain any more. */
int pst_issuer_sweep(struct pst_tx *tx, struct pst_err *err);

/* Read the issuers of `id`, which `stmt` gives in the order of the chain, into the certificate. */
int pst_issuers_load(struct pst_tx *tx, const struct pst_stmt *stmt, const char *id,
                     struct pst_certificate *c, struct pst_err *err);

/* A ladder stopped naming this certificate (0: none). */
int pst_certificate_loose(struct pst_tx *tx, int64_t num, struct pst_err *err);

/* Is it the platform's own domain? */
int pst_platform_has_domain(struct pst_tx *tx, const char *domain_id, bool *ret,
                            struct pst_err *err);

/* The user gives the name up. */
int pst_name_release(struct pst_tx *tx, const char *ascii, const char *user_id,
                     struct pst_err *err);

/* The domain's open order ends and whoever works on it loses the lease. */
int pst_order_end_of(struct pst_tx *tx, const char *domain_id, const char *why,
                     struct pst_err *err);
/* The domain is deleted: so are its certificate requests. */
int pst_request_delete_all(struct pst_tx *tx, const char *domain_id, struct pst_err *err);

/* The app is deleted. */
int pst_variables_drop(struct pst_tx *tx, const char *app_id, struct pst_err *err);

/* The user is deleted: so are the webhooks. */
int pst_webhook_delete_of(struct pst_tx *tx, const char *user_id, struct pst_err *err);
/* And the bundles. */
int pst_bundle_delete_of(struct pst_tx *tx, const char *user_id, struct pst_err *err);

/* ---- keys of the keyring ---- */

/* Add the database's data keys to s->keys; makes the first one. */
int pst_store_load_keys(struct pst_store *s, struct pst_err *err);

/* ---- records ---- */

/* In the lane 'dns' a tenant has at most two at once (orders and removals together), so that no
 * host of his keeps the others waiting.  `r` is the row that is to be claimed. */
#define PST_SQL_TENANT_TURN(r, now)                                                                \
    "((SELECT count(*) FROM orders b WHERE b.user_id = " r ".user_id AND b.ended_at_ms = 0 "       \
    "AND b.lane = 'dns' AND b.lease_until_ms > " now ") + (SELECT count(*) FROM dns_records c "    \
    "WHERE c.user_id = " r ".user_id AND c.lease_until_ms > " now ")) < 2 "

/* Fill an empty id, and an empty time (NULL: none) from the clock. */
void pst_record_new(struct pst_tx *tx, char id[PST_ID_SIZE], int64_t *at_ms);
int64_t pst_tx_now_ms(const struct pst_tx *tx);

/* Run a statement that changes a row: PST_OK, or `none` when it changed no row. */
#define pst_change(tx, stmt, none, err, ...)                                                       \
    pst_change_((tx), (stmt), (none), (err), PST_VALS_(__VA_ARGS__))
int pst_change_(struct pst_tx *tx, const struct pst_stmt *stmt, int none, struct pst_err *err,
                const struct pst_val *vals, size_t vals_n);

/* Query for at most one row: PST_OK with the rows standing on it, or PST_NOTFOUND. */
#define pst_one(tx, stmt, ret_rows, err, ...)                                                      \
    pst_one_((tx), (stmt), (ret_rows), (err), PST_VALS_(__VA_ARGS__))
int pst_one_(struct pst_tx *tx, const struct pst_stmt *stmt, struct pst_rows **ret,
             struct pst_err *err, const struct pst_val *vals, size_t vals_n);

/* Query for one number: PST_OK or PST_NOTFOUND. */
#define pst_number(tx, stmt, ret, err, ...)                                                        \
    pst_number_((tx), (stmt), (ret), (err), PST_VALS_(__VA_ARGS__))
int pst_number_(struct pst_tx *tx, const struct pst_stmt *stmt, int64_t *ret, struct pst_err *err,
                const struct pst_val *vals, size_t vals_n);

/* Reads a row's columns in their order into a record; the first fault is kept and reported by
 * pst_reader_end(). */
struct pst_reader {
    const struct pst_rows *rows;
    int col;
    int rc;
    struct pst_err *err;
};
int64_t pst_read_i(struct pst_reader *r);
bool pst_read_flag(struct pst_reader *r);
void pst_read_t(struct pst_reader *r, char *to, size_t size);
#define pst_read_text(r, array) pst_read_t((r), (array), sizeof(array))
/* Into an empty buffer, whose limit is set to what it takes. */
void pst_read_b(struct pst_reader *r, struct pst_buf *to);
/* PST_OK, or the first fault with `what` before it. */
int pst_reader_end(struct pst_reader *r, const char *what);

#endif
