/*
 * order_db.c - rows of orders, and who works on them.
 *
 * A lease ends by the database's clock, so that nodes need not agree on the time.  lease_token is
 * the fence: a worker that was away too long finds that its save changes nothing.
 */
#include "store_internal.h"

#include <string.h>

#define HEAD_COLS                                                                                  \
    "id, domain_id, account_id, name, state, certificate_id, run_at_ms, wait_rev, lease_token, "   \
    "attempt, created_at_ms, ended_at_ms, order_url, problem, detail, lane"
#define HEAD_TYPES                                                                                 \
    "ttttttiiiiii"                                                                                 \
    "tttt"
#define COLS  HEAD_COLS ", sealed, data"
#define TYPES HEAD_TYPES "bt"

/* The tenant who waited longest is next, then the order that was due first. */
#define CLAIM(now, skip)                                                                           \
    "UPDATE orders SET lease_token = lease_token + 1, lease_owner = $1, "                          \
    "lease_until_ms = " now " + $2 WHERE id = (SELECT o.id FROM orders o "                         \
    "LEFT JOIN order_turns t ON t.user_id = o.user_id WHERE o.ended_at_ms = 0 "                    \
    "AND o.run_at_ms <= $3 AND o.lane = $4 AND o.lease_until_ms <= " now " "                       \
    "AND ($4 <> 'dns' OR " PST_SQL_TENANT_TURN(                                                    \
        "o", now) ") "                                                                             \
                  "ORDER BY coalesce(t.claimed_at_ms, 0), o.run_at_ms, o.id LIMIT 1" skip ") "     \
                  "RETURNING " COLS ", user_id"

#define TURN(now)                                                                                  \
    "INSERT INTO order_turns (user_id, claimed_at_ms) VALUES ($1, " now ") "                       \
    "ON CONFLICT (user_id) DO UPDATE SET claimed_at_ms = excluded.claimed_at_ms"

/* $15: 1 keeps the lease for $16 ms more, 0 ends it. */
#define SAVE(now)                                                                                  \
    "UPDATE orders SET account_id = $1, name = $2, state = $3, certificate_id = $4, "              \
    "run_at_ms = $5, wait_rev = $6, attempt = $7, ended_at_ms = $8, order_url = $9, "              \
    "problem = $10, detail = $11, lane = $12, sealed = $13, data = $14, "                          \
    "lease_owner = CASE WHEN $15 = 1 THEN lease_owner ELSE '' END, "                               \
    "lease_until_ms = CASE WHEN $15 = 1 THEN " now " + $16 ELSE 0 END "                            \
    "WHERE id = $17 AND lease_token = $18 AND ended_at_ms = 0"

#define NEXT_DUE(now)                                                                              \
    "SELECT coalesce(min(run_at_ms), 0) FROM orders WHERE ended_at_ms = 0 "                        \
    "AND lane = $1 AND lease_until_ms <= " now

enum {
    INSERT,
    CLAIM_ONE,
    TAKE_TURN,
    SAVE_ROW,
    GET,
    OPEN_OF,
    EACH_OF,
    NEXT,
    FREE_STALE,
    WAKE,
    WAKE_OF,
    END_OF,
};

static const struct pst_stmt stmts[] = {
    [INSERT] =
        {.name = "order.insert",
         .sql = "INSERT INTO orders (" COLS ", user_id, lease_owner, lease_until_ms) "
                "SELECT $1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, "
                "$16, $17, $18, coalesce((SELECT d.user_id FROM domains d WHERE d.id = $2), ''), "
                "'', 0 WHERE 1 = 1 ON CONFLICT DO NOTHING",
         .args = TYPES,
         .cols = ""},
    [CLAIM_ONE] = {.name = "order.claim",
                   .sql = CLAIM(PST_SQL_NOW_MS, ""),
                   .sql_pg = CLAIM(PST_SQL_NOW_MS_PG, " FOR UPDATE OF o SKIP LOCKED"),
                   .args = "tiit",
                   .cols = TYPES "t"},
    [TAKE_TURN] = {.name = "order.turn",
                   .sql = TURN(PST_SQL_NOW_MS),
                   .sql_pg = TURN(PST_SQL_NOW_MS_PG),
                   .args = "t",
                   .cols = ""},
    [SAVE_ROW] = {.name = "order.save",
                  .sql = SAVE(PST_SQL_NOW_MS),
                  .sql_pg = SAVE(PST_SQL_NOW_MS_PG),
                  .args = "ttttiiiittttbtiiti",
                  .cols = ""},
    [GET] = {.name = "order.get",
             .sql = "SELECT " COLS " FROM orders WHERE id = $1",
             .args = "t",
             .cols = TYPES},
    [OPEN_OF] = {.name = "order.open-of",
                 .sql = "SELECT " COLS " FROM orders WHERE domain_id = $1 AND ended_at_ms = 0",
                 .args = "t",
                 .cols = TYPES},
    [EACH_OF] = {.name = "order.each-of",
                 .sql = "SELECT " HEAD_COLS " FROM orders WHERE domain_id = $1 "
                        "ORDER BY created_at_ms DESC, attempt DESC, id DESC LIMIT $2",
                 .args = "ti",
                 .cols = HEAD_TYPES},
    [NEXT] = {.name = "order.next-due",
              .sql = NEXT_DUE(PST_SQL_NOW_MS),
              .sql_pg = NEXT_DUE(PST_SQL_NOW_MS_PG),
              .args = "t",
              .cols = "i"},
    [FREE_STALE] = {.name = "order.free-stale",
                    .sql = "UPDATE orders SET lease_owner = '', lease_until_ms = 0 "
                           "WHERE ended_at_ms = 0 AND lease_until_ms > 0 AND lease_owner <> $1 "
                           "AND substr(lease_owner, 1, CAST($2 AS integer)) = $3",
                    .args = "tit",
                    .cols = ""},
    [WAKE] = {.name = "order.wake",
              .sql = "UPDATE orders SET run_at_ms = $1 WHERE ended_at_ms = 0 "
                     "AND lane = 'ca' AND run_at_ms > $1 AND ($2 = '' OR account_id = $2)",
              .args = "it",
              .cols = ""},
    [WAKE_OF] = {.name = "order.wake-of",
                 .sql = "UPDATE orders SET run_at_ms = $1 WHERE domain_id = $2 AND ended_at_ms = 0 "
                        "AND lane = 'dns' AND run_at_ms > $1 AND lease_owner = ''",
                 .args = "it",
                 .cols = ""},
    [END_OF] = {.name = "order.end-of",
                .sql = "UPDATE orders SET ended_at_ms = $1, lease_token = lease_token + 1, "
                       "lease_owner = '', lease_until_ms = 0, "
                       "detail = $2 WHERE domain_id = $3 AND ended_at_ms = 0",
                .args = "itt",
                .cols = ""},
};
PST_STORE_SQL(order);

void pst_order_row_deinit(struct pst_order_row *o)
{
    pst_buf_deinit(&o->sealed);
    pst_buf_deinit(&o->data);
}

/* ---- reading ---- */

static const char *const lanes[] = {[PST_LANE_CA] = "ca", [PST_LANE_DNS] = "dns"};
_Static_assert(PST_ARRAY_N(lanes) == PST_LANE__COUNT, "a lane was added?");

static void read_head(struct pst_reader *r, struct pst_order_row *o)
{
    char lane[8];

    pst_read_text(r, o->id);
    pst_read_text(r, o->domain_id);
    pst_read_text(r, o->account_id);
    pst_read_text(r, o->name);
    pst_read_text(r, o->state);
    pst_read_text(r, o->certificate_id);
    o->run_at_ms = pst_read_i(r);
    o->wait_rev = pst_read_i(r);
    o->lease_token = pst_read_i(r);
    o->attempt = pst_read_i(r);
    o->created_at_ms = pst_read_i(r);
    o->ended_at_ms = pst_read_i(r);
    pst_read_text(r, o->order_url);
    pst_read_text(r, o->problem);
    pst_read_text(r, o->detail);
    pst_read_text(r, lane);
    o->lane = pst_streq(lane, lanes[PST_LANE_DNS]) ? PST_LANE_DNS : PST_LANE_CA;
}

static int read_order(const struct pst_rows *rows, struct pst_order_row *ret, struct pst_err *err)
{
    struct pst_reader r = {.rows = rows, .err = err};
    struct pst_order_row o = {0};

    read_head(&r, &o);
    pst_read_b(&r, &o.sealed);
    const char *data = pst_col_t(rows, r.col++);
    o.data = (struct pst_buf)PST_BUF(strlen(data));
    pst_buf_str(&o.data, data);
    int rc = pst_reader_end(&r, "an order");
    if (rc == PST_OK)
        rc = pst_buf_check(&o.data, "an order's data", err);
    if (rc == PST_OK)
        *ret = o;
    else
        pst_order_row_deinit(&o);
    return rc;
}

int pst_order_get(struct pst_tx *tx, const char *id, struct pst_order_row *ret, struct pst_err *err)
{
    auto_(pst_rows_free) struct pst_rows *rows = NULL;

    int rc = pst_one(tx, &stmts[GET], &rows, err, pst_t(id));
    return rc == PST_OK ? read_order(rows, ret, err) : rc;
}

int pst_order_open_of(struct pst_tx *tx, const char *domain_id, struct pst_order_row *ret,
                      struct pst_err *err)
{
    auto_(pst_rows_free) struct pst_rows *rows = NULL;

    int rc = pst_one(tx, &stmts[OPEN_OF], &rows, err, pst_t(domain_id));
    return rc == PST_OK ? read_order(rows, ret, err) : rc;
}

int pst_order_each_of(struct pst_tx *tx, const char *domain_id, size_t limit,
                      int (*fn)(const struct pst_order_row *o, void *arg), void *arg,
                      struct pst_err *err)
{
    auto_(pst_rows_free) struct pst_rows *rows = NULL;

    int rc =
        pst_db_query(tx->db, &stmts[EACH_OF], &rows, err, pst_t(domain_id), pst_i((int64_t)limit));
    while (rc == PST_OK && pst_rows_next(rows)) {
        struct pst_order_row o = {0};
        struct pst_reader r = {.rows = rows, .err = err};
        read_head(&r, &o);
        rc = pst_reader_end(&r, "an order");
        if (rc == PST_OK)
            rc = fn(&o, arg);
    }
    return rc;
}

int pst_order_next_due(struct pst_tx *tx, enum pst_lane lane, int64_t *ret_at_ms,
                       struct pst_err *err)
{
    return pst_number(tx, &stmts[NEXT], ret_at_ms, err, pst_t(lanes[lane]));
}

/* ---- writing ---- */

int pst_order_insert(struct pst_tx *tx, struct pst_order_row *o, struct pst_err *err)
{
    pst_record_new(tx, o->id, &o->created_at_ms);
    int rc = pst_change(
        tx, &stmts[INSERT], PST_CONFLICT, err, pst_t(o->id), pst_t(o->domain_id),
        pst_t(o->account_id), pst_t(o->name), pst_t(o->state), pst_t(o->certificate_id),
        pst_i(o->run_at_ms), pst_i(o->wait_rev), pst_i(o->lease_token), pst_i(o->attempt),
        pst_i(o->created_at_ms), pst_i(o->ended_at_ms), pst_t(o->order_url), pst_t(o->problem),
        pst_t(o->detail), pst_t(lanes[o->lane]), pst_b(o->sealed.data, o->sealed.len),
        pst_tn(pst_buf_cstr(&o->data), o->data.len));
    tx->wake |= rc == PST_OK;
    return rc;
}

int pst_order_claim(struct pst_tx *tx, enum pst_lane lane, int64_t now_ms, int64_t lease_ms,
                    struct pst_order_row *ret, struct pst_err *err)
{
    auto_(pst_rows_free) struct pst_rows *rows = NULL;

    int rc = pst_one(tx, &stmts[CLAIM_ONE], &rows, err, pst_t(tx->store->node), pst_i(lease_ms),
                     pst_i(now_ms), pst_t(lanes[lane]));
    if (rc != PST_OK)
        return rc;
    rc = pst_db_exec(tx->db, &stmts[TAKE_TURN], NULL, err,
                     pst_t(pst_col_t(rows, (int)strlen(TYPES))));
    return rc == PST_OK ? read_order(rows, ret, err) : rc;
}

int pst_order_save(struct pst_tx *tx, const struct pst_order_row *o, bool release, int64_t lease_ms,
                   struct pst_err *err)
{
    bool keep = !release && o->ended_at_ms == 0;

    int rc = pst_change(
        tx, &stmts[SAVE_ROW], PST_CONFLICT, err, pst_t(o->account_id), pst_t(o->name),
        pst_t(o->state), pst_t(o->certificate_id), pst_i(o->run_at_ms), pst_i(o->wait_rev),
        pst_i(o->attempt), pst_i(o->ended_at_ms), pst_t(o->order_url), pst_t(o->problem),
        pst_t(o->detail), pst_t(lanes[o->lane]), pst_b(o->sealed.data, o->sealed.len),
        pst_tn(pst_buf_cstr(&o->data), o->data.len), pst_i(keep), pst_i(lease_ms), pst_t(o->id),
        pst_i(o->lease_token));
    tx->wake |= rc == PST_OK && !keep;
    return rc;
}

int pst_order_free_stale(struct pst_tx *tx, int64_t *ret_n, struct pst_err *err)
{
    const char *node = tx->store->node;
    const char *slash = strrchr(node, '/');
    size_t len = slash ? (size_t)(slash - node) + 1 : strlen(node);

    int rc = pst_db_exec(tx->db, &stmts[FREE_STALE], ret_n, err, pst_t(node), pst_i((int64_t)len),
                         pst_tn(node, len));
    tx->wake |= rc == PST_OK;
    return rc;
}

int pst_order_wake(struct pst_tx *tx, const char *account_id, int64_t now_ms, struct pst_err *err)
{
    int rc = pst_change(tx, &stmts[WAKE], PST_DONE, err, pst_i(now_ms),
                        pst_t(account_id ? account_id : ""));
    tx->wake |= rc == PST_OK;
    return rc == PST_DONE ? PST_OK : rc;
}

int pst_order_wake_of(struct pst_tx *tx, const char *domain_id, int64_t now_ms, struct pst_err *err)
{
    int rc = pst_change(tx, &stmts[WAKE_OF], PST_NOTFOUND, err, pst_i(now_ms), pst_t(domain_id));
    tx->wake |= rc == PST_OK;
    return rc;
}

int pst_order_end_of(struct pst_tx *tx, const char *domain_id, const char *why, struct pst_err *err)
{
    return pst_db_exec(tx->db, &stmts[END_OF], NULL, err, pst_i(pst_tx_now_ms(tx)), pst_t(why),
                       pst_t(domain_id));
}
