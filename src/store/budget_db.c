/*
 * budget_db.c - GCRA: one number per bucket, the theoretical arrival time (tat).
 *
 * With an interval of period / limit, each spending moves the tat one interval on, from now at the
 * earliest; a spending fits while the tat stays within limit * interval of now.
 */
#include "store_internal.h"

enum { GET, GET_LOCK, MAKE, SPEND, BLOCK, EACH };

#define SELECT "SELECT tat_ms, blocked_until_ms FROM buckets WHERE kind = $1 AND key = $2"

static const struct pst_stmt stmts[] = {
    [GET] = {.name = "bucket.get", .sql = SELECT, .args = "tt", .cols = "ii"},
    [GET_LOCK] = {.name = "bucket.get-lock",
                  .sql = SELECT,
                  .sql_pg = SELECT " FOR NO KEY UPDATE",
                  .args = "tt",
                  .cols = "ii"},
    [MAKE] = {.name = "bucket.make",
              .sql = "INSERT INTO buckets (kind, key, tat_ms, blocked_until_ms) "
                     "VALUES ($1, $2, 0, 0) ON CONFLICT DO NOTHING",
              .args = "tt",
              .cols = ""},
    [SPEND] = {.name = "bucket.spend",
               .sql = "INSERT INTO buckets (kind, key, tat_ms, blocked_until_ms) "
                      "VALUES ($1, $2, $3 + $4, 0) ON CONFLICT (kind, key) DO UPDATE SET tat_ms = "
                      "CASE WHEN buckets.tat_ms > $3 THEN buckets.tat_ms ELSE $3 END + $4",
               .args = "ttii",
               .cols = ""},
    [BLOCK] = {.name = "bucket.block",
               .sql = "INSERT INTO buckets (kind, key, tat_ms, blocked_until_ms) "
                      "VALUES ($1, $2, 0, $3) ON CONFLICT (kind, key) DO UPDATE SET "
                      "blocked_until_ms = $3 WHERE buckets.blocked_until_ms < $3",
               .args = "tti",
               .cols = ""},
    [EACH] = {.name = "bucket.each",
              .sql = "SELECT kind, key FROM buckets ORDER BY tat_ms DESC, kind, key LIMIT $1",
              .args = "i",
              .cols = "tt"},
};
PST_STORE_SQL(budget);

struct bucket {
    int64_t tat_ms, blocked_until_ms;
};

static int select_bucket(struct pst_tx *tx, const char *kind, const char *key, struct bucket *ret,
                         struct pst_err *err)
{
    auto_(pst_rows_free) struct pst_rows *rows = NULL;

    int rc = pst_one(tx, &stmts[tx->write ? GET_LOCK : GET], &rows, err, pst_t(kind), pst_t(key));
    if (rc != PST_OK)
        return rc;
    *ret = (struct bucket){pst_col_i(rows, 0), pst_col_i(rows, 1)};
    return PST_OK;
}

/* In a write transaction the row is made and locked, so that what was peeked at can be spent. */
static int get(struct pst_tx *tx, const char *kind, const char *key, struct bucket *ret,
               struct pst_err *err)
{
    *ret = (struct bucket){0};
    int rc = select_bucket(tx, kind, key, ret, err);
    if (rc == PST_NOTFOUND && tx->write) {
        rc = pst_db_exec(tx->db, &stmts[MAKE], NULL, err, pst_t(kind), pst_t(key));
        if (rc == PST_OK)
            rc = select_bucket(tx, kind, key, ret, err);
    }
    return rc == PST_NOTFOUND ? PST_OK : rc;
}

static int64_t interval_ms(int64_t limit, int64_t period_s)
{
    int64_t ms = period_s * 1000 / limit;
    return ms > 0 ? ms : 1;
}

static int64_t later(int64_t a, int64_t b)
{
    return a > b ? a : b;
}

static int check(const char *kind, int64_t limit, int64_t period_s, struct pst_err *err)
{
    if (limit < 1 || period_s < 1 || period_s > INT64_C(1000000000))
        return pst_fail(err, PST_EINTERNAL, "the limit of %s makes no sense", kind);
    return PST_OK;
}

int pst_bucket_peek(struct pst_tx *tx, const char *kind, const char *key, int64_t limit,
                    int64_t period_s, int64_t now_ms, int64_t *ret_at_ms, struct pst_err *err)
{
    struct bucket b;

    int rc = check(kind, limit, period_s, err);
    if (rc == PST_OK)
        rc = get(tx, kind, key, &b, err);
    if (rc != PST_OK)
        return rc;
    int64_t step = interval_ms(limit, period_s);
    int64_t at = later(later(b.tat_ms, now_ms) + step - limit * step, b.blocked_until_ms);
    if (at <= now_ms)
        return PST_OK;
    *ret_at_ms = at;
    return PST_NOTYET;
}

int pst_bucket_spend(struct pst_tx *tx, const char *kind, const char *key, int64_t limit,
                     int64_t period_s, int64_t now_ms, struct pst_err *err)
{
    int rc = check(kind, limit, period_s, err);
    if (rc != PST_OK)
        return rc;
    return pst_db_exec(tx->db, &stmts[SPEND], NULL, err, pst_t(kind), pst_t(key), pst_i(now_ms),
                       pst_i(interval_ms(limit, period_s)));
}

int pst_bucket_block(struct pst_tx *tx, const char *kind, const char *key, int64_t until_ms,
                     struct pst_err *err)
{
    return pst_db_exec(tx->db, &stmts[BLOCK], NULL, err, pst_t(kind), pst_t(key), pst_i(until_ms));
}

int pst_bucket_left(struct pst_tx *tx, const char *kind, const char *key, int64_t limit,
                    int64_t period_s, int64_t now_ms, int64_t *ret_left, struct pst_err *err)
{
    struct bucket b;

    int rc = check(kind, limit, period_s, err);
    if (rc == PST_OK)
        rc = get(tx, kind, key, &b, err);
    if (rc != PST_OK)
        return rc;
    int64_t step = interval_ms(limit, period_s);
    int64_t room = now_ms + limit * step - later(b.tat_ms, now_ms);
    *ret_left = b.blocked_until_ms > now_ms || room < 0 ? 0 : room / step;
    return PST_OK;
}

int pst_bucket_each(struct pst_tx *tx, size_t limit,
                    int (*fn)(const char *kind, const char *key, void *arg), void *arg,
                    struct pst_err *err)
{
    auto_(pst_rows_free) struct pst_rows *rows = NULL;

    int rc = pst_db_query(tx->db, &stmts[EACH], &rows, err, pst_i((int64_t)limit));
    while (rc == PST_OK && pst_rows_next(rows))
        rc = fn(pst_col_t(rows, 0), pst_col_t(rows, 1), arg);
    return rc;
}
