/* account_db.c - ACME accounts, one per directory. */
#include "store_internal.h"

#define COLS                                                                                       \
    "id, directory, url, contact, thumbprint, status, reason, terms_agreed_at_ms, "                \
    "created_at_ms, sealed"
#define TYPES "tttttttiib"

enum { INSERT, BY_DIRECTORY, BY_DIRECTORY_LOCK, EACH, UPDATE };

static const struct pst_stmt stmts[] = {
    [INSERT] = {.name = "account.insert",
                .sql = "INSERT INTO accounts (" COLS ") VALUES ($1, $2, $3, $4, $5, $6, $7, $8, "
                       "$9, $10) ON CONFLICT DO NOTHING",
                .args = TYPES,
                .cols = ""},
    [BY_DIRECTORY] = {.name = "account.by-directory",
                      .sql = "SELECT " COLS " FROM accounts WHERE directory = $1",
                      .args = "t",
                      .cols = TYPES},
    [BY_DIRECTORY_LOCK] = {.name = "account.by-directory-lock",
                           .sql = "SELECT " COLS " FROM accounts WHERE directory = $1",
                           .sql_pg = "SELECT " COLS " FROM accounts WHERE directory = $1 "
                                     "FOR NO KEY UPDATE",
                           .args = "t",
                           .cols = TYPES},
    [EACH] = {.name = "account.each",
              .sql = "SELECT " COLS " FROM accounts ORDER BY created_at_ms, id",
              .args = "",
              .cols = TYPES},
    [UPDATE] = {.name = "account.update",
                .sql = "UPDATE accounts SET url = $1, contact = $2, thumbprint = $3, status = $4, "
                       "reason = $5, terms_agreed_at_ms = $6, sealed = $7 WHERE id = $8",
                .args = "tttttibt",
                .cols = ""},
};
PST_STORE_SQL(account);

void pst_account_deinit(struct pst_account *a)
{
    pst_buf_deinit(&a->sealed);
}

/* Edges answer for names whose challenge they have not got yet with the account used last. */
static int tell_edges(struct pst_tx *tx, const struct pst_account *a, struct pst_err *err)
{
    auto_buf struct pst_buf old = PST_BUF(sizeof a->thumbprint);

    if (!a->thumbprint[0])
        return PST_OK;
    int rc = pst_meta_get(tx, "thumbprint", &old, err);
    if (rc < 0 || (rc == PST_OK && pst_streq(pst_buf_cstr(&old), a->thumbprint)))
        return rc;
    return pst_meta_set(tx, "thumbprint", a->thumbprint, err);
}

int pst_account_insert(struct pst_tx *tx, struct pst_account *a, struct pst_err *err)
{
    pst_record_new(tx, a->id, &a->created_at_ms);
    int rc = pst_change(tx, &stmts[INSERT], PST_CONFLICT, err, pst_t(a->id), pst_t(a->directory),
                        pst_t(a->url), pst_t(a->contact), pst_t(a->thumbprint), pst_t(a->status),
                        pst_t(a->reason), pst_i(a->terms_agreed_at_ms), pst_i(a->created_at_ms),
                        pst_b(a->sealed.data, a->sealed.len));
    return rc == PST_OK ? tell_edges(tx, a, err) : rc;
}

static int read_account(const struct pst_rows *rows, struct pst_account *ret, struct pst_err *err)
{
    struct pst_account a = {0};
    struct pst_reader r = {.rows = rows, .err = err};

    pst_read_text(&r, a.id);
    pst_read_text(&r, a.directory);
    pst_read_text(&r, a.url);
    pst_read_text(&r, a.contact);
    pst_read_text(&r, a.thumbprint);
    pst_read_text(&r, a.status);
    pst_read_text(&r, a.reason);
    a.terms_agreed_at_ms = pst_read_i(&r);
    a.created_at_ms = pst_read_i(&r);
    pst_read_b(&r, &a.sealed);
    int rc = pst_reader_end(&r, "an account");
    if (rc == PST_OK)
        *ret = a;
    else
        pst_account_deinit(&a);
    return rc;
}

int pst_account_by_directory(struct pst_tx *tx, const char *directory, struct pst_account *ret,
                             struct pst_err *err)
{
    auto_(pst_rows_free) struct pst_rows *rows = NULL;

    int rc = pst_one(tx, &stmts[tx->write ? BY_DIRECTORY_LOCK : BY_DIRECTORY], &rows, err,
                     pst_t(directory));
    return rc == PST_OK ? read_account(rows, ret, err) : rc;
}

int pst_account_each(struct pst_tx *tx, int (*fn)(const struct pst_account *a, void *arg),
                     void *arg, struct pst_err *err)
{
    auto_(pst_rows_free) struct pst_rows *rows = NULL;

    int rc = pst_db_query(tx->db, &stmts[EACH], &rows, err);
    while (rc == PST_OK && pst_rows_next(rows)) {
        struct pst_account a = {0};
        rc = read_account(rows, &a, err);
        if (rc == PST_OK)
            rc = fn(&a, arg);
        pst_account_deinit(&a);
    }
    return rc;
}

int pst_account_update(struct pst_tx *tx, const struct pst_account *a, struct pst_err *err)
{
    int rc = pst_change(tx, &stmts[UPDATE], PST_NOTFOUND, err, pst_t(a->url), pst_t(a->contact),
                        pst_t(a->thumbprint), pst_t(a->status), pst_t(a->reason),
                        pst_i(a->terms_agreed_at_ms), pst_b(a->sealed.data, a->sealed.len),
                        pst_t(a->id));
    return rc == PST_OK ? tell_edges(tx, a, err) : rc;
}
