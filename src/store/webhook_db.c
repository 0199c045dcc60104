/* webhook_db.c - who is told of events, and how far. */
#include "store_internal.h"

#include <string.h>

#include <postern/crypto.h>
#include <postern/history.h>

#define KIND "webhook" /* that secrets are sealed under */

/* In the order of read_row(). */
#define COLS                                                                                       \
    "id, user_id, app_id, url, kinds, active, cursor_pos, ping_id, failures, failing_since_ms, "   \
    "next_at_ms, tried_at_ms, delivered_at_ms, last_status, last_error, lease_token, "             \
    "created_at_ms"
#define TYPES "tttttiitiiiiiitii"

enum {
    INSERT,
    GET,
    SECRET,
    EACH,
    COUNT,
    UPDATE,
    DELETE,
    DELETE_OF,
    CLAIM,
    IS_OPERATOR,
    SAVE,
    WAKE,
    FREE_STALE
};

static const struct pst_stmt stmts[] = {
    [INSERT] = {.name = "webhook.insert",
                .sql = "INSERT INTO webhooks (" COLS ", pending, lease_owner, lease_until_ms, "
                       "sealed) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, 0, 0, 0, 0, 0, 0, '', 0, "
                       "$9, 1, '', 0, $10)",
                .args = "tttttiitib",
                .cols = ""},
    [GET] = {.name = "webhook.get",
             .sql = "SELECT " COLS " FROM webhooks WHERE id = $1 AND ($2 = '' OR user_id = $2)",
             .args = "tt",
             .cols = TYPES},
    [SECRET] = {.name = "webhook.secret",
                .sql = "SELECT sealed FROM webhooks WHERE id = $1",
                .args = "t",
                .cols = "b"},
    [EACH] = {.name = "webhook.each",
              .sql = "SELECT " COLS " FROM webhooks WHERE ($1 = '' OR user_id = $1) "
                     "ORDER BY user_id, created_at_ms, id",
              .args = "t",
              .cols = TYPES},
    [COUNT] = {.name = "webhook.count",
               .sql = "SELECT count(*) FROM webhooks WHERE user_id = $1",
               .args = "t",
               .cols = "i"},
    [UPDATE] = {.name = "webhook.update",
                .sql = "UPDATE webhooks SET url = $1, kinds = $2, active = $3, ping_id = $4, "
                       "pending = 1, next_at_ms = 0, failing_since_ms = 0, failures = 0 "
                       "WHERE id = $5",
                .args = "ttitt",
                .cols = ""},
    [DELETE] = {.name = "webhook.delete",
                .sql = "DELETE FROM webhooks WHERE id = $1",
                .args = "t",
                .cols = ""},
    [DELETE_OF] = {.name = "webhook.delete-of",
                   .sql = "DELETE FROM webhooks WHERE user_id = $1",
                   .args = "t",
                   .cols = ""},
    /* The outer condition again: of two that chose the same row, the second finds it leased. */
    [CLAIM] = {.name = "webhook.claim",
               .sql = "UPDATE webhooks SET lease_token = lease_token + 1, tried_at_ms = $1, "
                      "lease_until_ms = $2, lease_owner = $3 WHERE lease_until_ms <= $1 "
                      "AND active = 1 AND id = (SELECT w.id FROM webhooks w "
                      "JOIN users u ON u.id = w.user_id WHERE w.active = 1 AND w.pending = 1 "
                      "AND w.next_at_ms <= $1 AND w.lease_until_ms <= $1 "
                      "AND NOT EXISTS (SELECT 1 FROM webhooks o WHERE o.user_id = w.user_id "
                      "AND o.lease_until_ms > $1) ORDER BY w.tried_at_ms, w.id LIMIT 1) "
                      "RETURNING " COLS,
               .args = "iit",
               .cols = TYPES},
    [IS_OPERATOR] = {.name = "webhook.is-operator",
                     .sql = "SELECT count(*) FROM users WHERE id = $1 AND role = 'operator'",
                     .args = "t",
                     .cols = "i"},
    [SAVE] = {.name = "webhook.save",
              .sql = "UPDATE webhooks SET active = CASE WHEN $1 = 0 THEN 0 ELSE active END, "
                     "pending = $2, cursor_pos = $3, "
                     "ping_id = CASE WHEN ping_id = $4 THEN '' ELSE ping_id END, failures = $5, "
                     "failing_since_ms = $6, next_at_ms = $7, delivered_at_ms = $8, "
                     "last_status = $9, last_error = $10, lease_owner = '', lease_until_ms = 0 "
                     "WHERE id = $11 AND lease_token = $12",
              .args = "iiitiiiiitti",
              .cols = ""},
    /* Whether `pending` is set already or not: the row is locked, so that a claim that is just
     * finding nothing cannot overlook this. */
    [WAKE] = {.name = "webhook.wake",
              .sql = "UPDATE webhooks SET pending = 1 WHERE active = 1 AND (user_id = $1 "
                     "OR user_id IN (SELECT u.id FROM users u WHERE u.role = 'operator'))",
              .args = "t",
              .cols = ""},
    [FREE_STALE] = {.name = "webhook.free-stale",
                    .sql = "UPDATE webhooks SET lease_owner = '', lease_until_ms = 0 "
                           "WHERE lease_until_ms > 0 AND lease_owner <> $1 "
                           "AND substr(lease_owner, 1, CAST($2 AS integer)) = $3",
                    .args = "tit",
                    .cols = ""},
};
PST_STORE_SQL(webhook);

static int read_row(const struct pst_rows *rows, struct pst_webhook *w, struct pst_err *err)
{
    struct pst_reader r = {.rows = rows, .err = err};

    *w = (struct pst_webhook){0};
    pst_read_text(&r, w->id);
    pst_read_text(&r, w->user_id);
    pst_read_text(&r, w->app_id);
    pst_read_text(&r, w->url);
    pst_read_text(&r, w->kinds);
    w->active = pst_read_flag(&r);
    w->cursor_pos = pst_read_i(&r);
    pst_read_text(&r, w->ping_id);
    w->failures = pst_read_i(&r);
    w->failing_since_ms = pst_read_i(&r);
    w->next_at_ms = pst_read_i(&r);
    w->tried_at_ms = pst_read_i(&r);
    w->delivered_at_ms = pst_read_i(&r);
    w->last_status = pst_read_i(&r);
    pst_read_text(&r, w->last_error);
    w->lease_token = pst_read_i(&r);
    w->created_at_ms = pst_read_i(&r);
    return pst_reader_end(&r, "a webhook");
}

int pst_webhook_insert(struct pst_tx *tx, struct pst_webhook *w, const struct pst_secret *secret,
                       struct pst_err *err)
{
    auto_buf struct pst_buf sealed = PST_BUF(secret->len + PST_SEAL_OVERHEAD);
    struct pst_event_chain end = {0};

    pst_record_new(tx, w->id, &w->created_at_ms);
    int rc =
        pst_seal(pst_store_keys(tx->store), KIND, w->id, secret->data, secret->len, &sealed, err);
    if (rc == PST_OK)
        rc = pst_event_chain_get(tx, &end, err);
    if (rc != PST_OK)
        return rc;
    w->cursor_pos = end.pos;
    return pst_db_exec(tx->db, &stmts[INSERT], NULL, err, pst_t(w->id), pst_t(w->user_id),
                       pst_t(w->app_id), pst_t(w->url), pst_t(w->kinds), pst_i(w->active),
                       pst_i(w->cursor_pos), pst_t(w->ping_id), pst_i(w->created_at_ms),
                       pst_b(sealed.data, sealed.len));
}

int pst_webhook_get(struct pst_tx *tx, const char *id, const char *user_id, struct pst_webhook *ret,
                    struct pst_err *err)
{
    auto_(pst_rows_free) struct pst_rows *rows = NULL;

    int rc = pst_one(tx, &stmts[GET], &rows, err, pst_t(id), pst_t(user_id));
    return rc == PST_OK ? read_row(rows, ret, err) : rc;
}

int pst_webhook_secret(struct pst_tx *tx, const char *id, struct pst_secret *ret,
                       struct pst_err *err)
{
    auto_(pst_rows_free) struct pst_rows *rows = NULL;
    size_t len;

    int rc = pst_one(tx, &stmts[SECRET], &rows, err, pst_t(id));
    if (rc != PST_OK)
        return rc;
    const void *sealed = pst_col_b(rows, 0, &len);
    return pst_unseal(pst_store_keys(tx->store), KIND, id, sealed, len, ret, err);
}

int pst_webhook_each(struct pst_tx *tx, const char *user_id,
                     int (*fn)(const struct pst_webhook *w, void *arg), void *arg,
                     struct pst_err *err)
{
    auto_(pst_rows_free) struct pst_rows *rows = NULL;
    struct pst_webhook w;

    int rc = pst_db_query(tx->db, &stmts[EACH], &rows, err, pst_t(user_id));
    while (rc == PST_OK && pst_rows_next(rows)) {
        rc = read_row(rows, &w, err);
        if (rc == PST_OK)
            rc = fn(&w, arg);
    }
    return rc;
}

int pst_webhook_count(struct pst_tx *tx, const char *user_id, int64_t *ret_n, struct pst_err *err)
{
    return pst_number(tx, &stmts[COUNT], ret_n, err, pst_t(user_id));
}

int pst_webhook_update(struct pst_tx *tx, const struct pst_webhook *w, struct pst_err *err)
{
    return pst_change(tx, &stmts[UPDATE], PST_NOTFOUND, err, pst_t(w->url), pst_t(w->kinds),
                      pst_i(w->active), pst_t(w->ping_id), pst_t(w->id));
}

int pst_webhook_delete(struct pst_tx *tx, const char *id, struct pst_err *err)
{
    return pst_change(tx, &stmts[DELETE], PST_NOTFOUND, err, pst_t(id));
}

int pst_webhook_delete_of(struct pst_tx *tx, const char *user_id, struct pst_err *err)
{
    return pst_db_exec(tx->db, &stmts[DELETE_OF], NULL, err, pst_t(user_id));
}

int pst_webhook_claim(struct pst_tx *tx, int64_t lease_ms, struct pst_webhook *ret,
                      struct pst_err *err)
{
    auto_(pst_rows_free) struct pst_rows *rows = NULL;
    const int64_t now = pst_tx_now_ms(tx);
    int64_t operators = 0;

    int rc = pst_one(tx, &stmts[CLAIM], &rows, err, pst_i(now), pst_i(now + lease_ms),
                     pst_t(tx->store->node));
    if (rc == PST_OK)
        rc = read_row(rows, ret, err);
    if (rc == PST_OK)
        rc = pst_number(tx, &stmts[IS_OPERATOR], &operators, err, pst_t(ret->user_id));
    if (rc == PST_OK)
        ret->everything = operators > 0;
    return rc;
}

int pst_webhook_save(struct pst_tx *tx, const struct pst_webhook *w, bool pending,
                     struct pst_err *err)
{
    return pst_change(tx, &stmts[SAVE], PST_CONFLICT, err, pst_i(w->active), pst_i(pending),
                      pst_i(w->cursor_pos), pst_t(w->ping_id), pst_i(w->failures),
                      pst_i(w->failing_since_ms), pst_i(w->next_at_ms), pst_i(w->delivered_at_ms),
                      pst_i(w->last_status), pst_t(w->last_error), pst_t(w->id),
                      pst_i(w->lease_token));
}

int pst_webhook_wake(struct pst_tx *tx, const char *owner_id, struct pst_err *err)
{
    return pst_db_exec(tx->db, &stmts[WAKE], NULL, err, pst_t(owner_id));
}

int pst_webhook_free_stale(struct pst_tx *tx, struct pst_err *err)
{
    const char *node = tx->store->node;
    const char *slash = strchr(node, '/');
    const size_t len = slash ? (size_t)(slash - node) + 1 : strlen(node);

    return pst_db_exec(tx->db, &stmts[FREE_STALE], NULL, err, pst_t(node), pst_i((int64_t)len),
                       pst_tn(node, len));
}
