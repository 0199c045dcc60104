/*
 * ticket_db.c - session ticket keys, made ahead of their time.
 *
 * Key n begins at not_before and is valid for two periods; an edge issues tickets with the one
 * that began last and takes those of all that are valid.  So a ticket works for one to two
 * periods, and edges that are cut off have keys for 48 hours.
 */
#include "store_internal.h"

#include <postern/crypto.h>

enum { LAST, INSERT, DROP };

static const struct pst_stmt stmts[] = {
    [LAST] = {.name = "ticket.last",
              .sql = "SELECT coalesce(max(not_before), 0) FROM tickets",
              .args = "",
              .cols = "i"},
    [INSERT] = {.name = "ticket.insert",
                .sql = "INSERT INTO tickets (id, not_before, not_after, sealed) "
                       "VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING",
                .args = "tiib",
                .cols = ""},
    [DROP] = {.name = "ticket.drop",
              .sql = "DELETE FROM tickets WHERE not_after <= $1 RETURNING id",
              .args = "i",
              .cols = "t"},
};
PST_STORE_SQL(ticket);

enum { KEY_LEN = 80, AHEAD_S = 48 * 3600, PERIOD_MIN_S = 60 };

static int make(struct pst_tx *tx, int64_t not_before, int64_t period_s, struct pst_err *err)
{
    unsigned char key[KEY_LEN];
    char id[PST_ID_SIZE] = "";
    auto_buf struct pst_buf sealed = PST_BUF(KEY_LEN + PST_SEAL_OVERHEAD);

    pst_record_new(tx, id, NULL);
    pst_rand_fill(tx->store->rand, key, sizeof key);
    int rc = pst_seal(tx->store->keys, "ticket", id, key, sizeof key, &sealed, err);
    pst_wipe(key, sizeof key);
    if (rc == PST_OK)
        rc = pst_change(tx, &stmts[INSERT], PST_DONE, err, pst_t(id), pst_i(not_before),
                        pst_i(not_before + 2 * period_s), pst_b(sealed.data, sealed.len));
    if (rc == PST_OK)
        return pst_touch(tx, "ticket", id, false, err);
    return rc == PST_DONE ? PST_OK : rc; /* another node made it meanwhile */
}

static int drop(struct pst_tx *tx, int64_t now_s, size_t *ret_n, struct pst_err *err)
{
    auto_(pst_rows_free) struct pst_rows *rows = NULL;

    int rc = pst_db_query(tx->db, &stmts[DROP], &rows, err, pst_i(now_s));
    while (rc == PST_OK && pst_rows_next(rows))
        rc = pst_touch(tx, "ticket", pst_col_t(rows, 0), true, err);
    if (rc == PST_OK)
        *ret_n = pst_rows_n(rows);
    return rc;
}

int pst_ticket_rotate(struct pst_tx *tx, int64_t now_ms, int64_t period_s, struct pst_err *err)
{
    int64_t now_s = now_ms / 1000, last = 0;
    size_t dropped = 0, made = 0;

    if (period_s < PERIOD_MIN_S)
        return pst_fail(err, PST_EINTERNAL, "a ticket key's period must be 60 s at least");
    int rc = drop(tx, now_s, &dropped, err);
    if (rc == PST_OK)
        rc = pst_number(tx, &stmts[LAST], &last, err);
    /* Begin with the period we are in, also after a long stop. */
    int64_t current = now_s - now_s % period_s;
    int64_t next = last + period_s > current ? last + period_s : current;
    for (; rc == PST_OK && next < now_s + AHEAD_S; next += period_s, made++)
        rc = make(tx, next, period_s, err);
    return rc == PST_OK && dropped + made == 0 ? PST_DONE : rc;
}
