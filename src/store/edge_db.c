/* edge_db.c - edges: enrolment, polls, who is live. */
#include "store_internal.h"

#include <string.h>

#define COLS                                                                                       \
    "id, name, region, token_hash, public_key, probe_address, acked_rev, caught_up, "              \
    "polled_at_ms, created_at_ms"
#define TYPES "ttttbtiiii"

enum {
    ENROL_PUT,
    ENROL_USE,
    INSERT,
    BY_TOKEN,
    EACH,
    POLLED,
    WAKE,
    DELETE,
    READINESS,
};

static const struct pst_stmt stmts[] = {
    [ENROL_PUT] = {.name = "edge.enrol-put",
                   .sql = "INSERT INTO enrol_tokens (hash, region, until_ms) VALUES ($1, $2, $3)",
                   .args = "tti",
                   .cols = ""},
    [ENROL_USE] = {.name = "edge.enrol-use",
                   .sql = "DELETE FROM enrol_tokens WHERE hash = $1 RETURNING region, until_ms",
                   .args = "t",
                   .cols = "ti"},
    [INSERT] = {.name = "edge.insert",
                .sql = "INSERT INTO edges (" COLS ") VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, "
                       "$10) ON CONFLICT (name) DO UPDATE SET id = excluded.id, "
                       "region = excluded.region, token_hash = excluded.token_hash, "
                       "public_key = excluded.public_key, "
                       "probe_address = excluded.probe_address, acked_rev = excluded.acked_rev, "
                       "caught_up = excluded.caught_up, polled_at_ms = excluded.polled_at_ms, "
                       "created_at_ms = excluded.created_at_ms",
                .args = TYPES,
                .cols = ""},
    [BY_TOKEN] = {.name = "edge.by-token",
                  .sql = "SELECT " COLS " FROM edges WHERE token_hash = $1",
                  .args = "t",
                  .cols = TYPES},
    [EACH] = {.name = "edge.each",
              .sql = "SELECT " COLS " FROM edges ORDER BY name",
              .args = "",
              .cols = TYPES},
    [POLLED] = {.name = "edge.polled",
                .sql = "UPDATE edges SET acked_rev = $1, polled_at_ms = $2, "
                       "caught_up = CASE WHEN $3 = 1 THEN 1 ELSE caught_up END WHERE id = $4",
                .args = "iiit",
                .cols = ""},
    /* min() of no live edge is NULL, which wakes nothing. */
    [WAKE] = {.name = "edge.wake-orders",
              .sql = "UPDATE orders SET run_at_ms = CASE WHEN run_at_ms < $1 THEN run_at_ms "
                     "ELSE $1 END, wait_rev = 0 WHERE ended_at_ms = 0 AND wait_rev > 0 "
                     "AND wait_rev <= (SELECT min(acked_rev) FROM edges WHERE caught_up = 1 "
                     "AND polled_at_ms >= $2)",
              .args = "ii",
              .cols = ""},
    [DELETE] = {.name = "edge.delete",
                .sql = "DELETE FROM edges WHERE id = $1",
                .args = "t",
                .cols = ""},
    [READINESS] = {.name = "edge.readiness",
                   .sql = "SELECT count(*), count(CASE WHEN acked_rev >= $1 THEN 1 END) "
                          "FROM edges WHERE caught_up = 1 AND polled_at_ms >= $2",
                   .args = "ii",
                   .cols = "ii"},
};
PST_STORE_SQL(edge);

/* ---- enrolment ---- */

int pst_enrol_token_insert(struct pst_tx *tx, const char *hash, const char *region,
                           int64_t until_ms, struct pst_err *err)
{
    return pst_db_exec(tx->db, &stmts[ENROL_PUT], NULL, err, pst_t(hash), pst_t(region),
                       pst_i(until_ms));
}

int pst_enrol_token_use(struct pst_tx *tx, const char *hash, int64_t now_ms,
                        char ret_region[PST_WORD_SIZE], struct pst_err *err)
{
    auto_(pst_rows_free) struct pst_rows *rows = NULL;

    int rc = pst_one(tx, &stmts[ENROL_USE], &rows, err, pst_t(hash));
    if (rc != PST_OK)
        return rc;
    if (pst_col_i(rows, 1) <= now_ms)
        return PST_NOTFOUND;
    return pst_col_copy(rows, 0, ret_region, PST_WORD_SIZE, err);
}

int pst_edge_insert(struct pst_tx *tx, struct pst_edge *e, struct pst_err *err)
{
    pst_record_new(tx, e->id, &e->created_at_ms);
    return pst_db_exec(
        tx->db, &stmts[INSERT], NULL, err, pst_t(e->id), pst_t(e->name), pst_t(e->region),
        pst_t(e->token_hash), pst_b(e->public_key, sizeof e->public_key), pst_t(e->probe_address),
        pst_i(e->acked_rev), pst_i(e->caught_up), pst_i(e->polled_at_ms), pst_i(e->created_at_ms));
}

int pst_edge_delete(struct pst_tx *tx, const char *id, struct pst_err *err)
{
    return pst_change(tx, &stmts[DELETE], PST_NOTFOUND, err, pst_t(id));
}

/* ---- reading ---- */

static int read_key(struct pst_reader *r, struct pst_edge *e)
{
    size_t len;
    const void *key = pst_col_b(r->rows, r->col++, &len);

    if (len != sizeof e->public_key)
        return pst_fail(r->err, PST_EDB, "an edge's public key is %zu bytes long", len);
    memcpy(e->public_key, key, len);
    return PST_OK;
}

static int read_edge(const struct pst_rows *rows, struct pst_edge *ret, struct pst_err *err)
{
    struct pst_reader r = {.rows = rows, .err = err};

    *ret = (struct pst_edge){0};
    pst_read_text(&r, ret->id);
    pst_read_text(&r, ret->name);
    pst_read_text(&r, ret->region);
    pst_read_text(&r, ret->token_hash);
    int rc = read_key(&r, ret);
    if (rc != PST_OK)
        return rc;
    pst_read_text(&r, ret->probe_address);
    ret->acked_rev = pst_read_i(&r);
    ret->caught_up = pst_read_flag(&r);
    ret->polled_at_ms = pst_read_i(&r);
    ret->created_at_ms = pst_read_i(&r);
    return pst_reader_end(&r, "an edge");
}

int pst_edge_by_token_hash(struct pst_tx *tx, const char *hash, struct pst_edge *ret,
                           struct pst_err *err)
{
    auto_(pst_rows_free) struct pst_rows *rows = NULL;

    int rc = pst_one(tx, &stmts[BY_TOKEN], &rows, err, pst_t(hash));
    return rc == PST_OK ? read_edge(rows, ret, err) : rc;
}

int pst_edge_each(struct pst_tx *tx, int (*fn)(const struct pst_edge *e, void *arg), void *arg,
                  struct pst_err *err)
{
    auto_(pst_rows_free) struct pst_rows *rows = NULL;

    int rc = pst_db_query(tx->db, &stmts[EACH], &rows, err);
    while (rc == PST_OK && pst_rows_next(rows)) {
        struct pst_edge e;
        rc = read_edge(rows, &e, err);
        if (rc == PST_OK)
            rc = fn(&e, arg);
    }
    return rc;
}

/* ---- polls ---- */

int pst_edge_polled(struct pst_tx *tx, const char *id, int64_t acked_rev, bool caught_up,
                    int64_t now_ms, int64_t live_ms, struct pst_err *err)
{
    int rc = pst_change(tx, &stmts[POLLED], PST_NOTFOUND, err, pst_i(acked_rev), pst_i(now_ms),
                        pst_i(caught_up), pst_t(id));
    if (rc != PST_OK)
        return rc;
    /* At every poll: an order may have begun to wait after the edges had what it waits for. */
    rc = pst_change(tx, &stmts[WAKE], PST_DONE, err, pst_i(now_ms), pst_i(now_ms - live_ms));
    tx->wake |= rc == PST_OK;
    return rc == PST_DONE ? PST_OK : rc;
}

int pst_edge_readiness(struct pst_tx *tx, int64_t rev, int64_t now_ms, int64_t live_ms,
                       int64_t *ret_live_n, int64_t *ret_ready_n, struct pst_err *err)
{
    auto_(pst_rows_free) struct pst_rows *rows = NULL;

    int rc = pst_one(tx, &stmts[READINESS], &rows, err, pst_i(rev), pst_i(now_ms - live_ms));
    if (rc != PST_OK)
        return rc;
    *ret_live_n = pst_col_i(rows, 0);
    *ret_ready_n = pst_col_i(rows, 1);
    return PST_OK;
}
