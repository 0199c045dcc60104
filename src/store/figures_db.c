/* figures_db.c - counts over the records, for monitoring. */
#include "store_internal.h"

#include <postern/figures.h>

enum { DOMAINS, FAILING, WAITING, EXPIRY, SOONEST, ORDERS };

/* What an uploaded certificate leaves to the CA's is its own matter; the ladder prefers it. */
#define SERVED                                                                                     \
    "FROM domains d JOIN certificates c ON c.num = CASE WHEN d.custom_cert > 0 "                   \
    "THEN d.custom_cert ELSE d.acme_cert END "

static const struct pst_stmt stmts[] = {
    [DOMAINS] =
        {.name = "figures.domains",
         .sql =
             "SELECT d.acme_enabled, d.wildcard, d.phase, "
             "CAST(CASE WHEN u.not_before <= $1 AND u.not_after > $1 THEN 1 ELSE 0 END AS bigint), "
             "CAST(CASE WHEN a.not_before <= $1 AND a.not_after > $1 "
             "AND d.acme_seen_at_ms > 0 THEN 1 ELSE 0 END AS bigint), count(*) FROM domains d "
             "LEFT JOIN certificates u ON u.num = d.custom_cert "
             "LEFT JOIN certificates a ON a.num = d.acme_cert GROUP BY 1, 2, 3, 4, 5",
         .args = "i",
         .cols = "iitiii"},
    [FAILING] = {.name = "figures.failing",
                 .sql = "SELECT count(*) FROM domains WHERE acme_enabled = 1 AND acme_cert > 0 "
                        "AND failures > 0",
                 .args = "",
                 .cols = "i"},
    [WAITING] = {.name = "figures.waiting",
                 .sql = "SELECT acme_method, count(*) FROM domains WHERE acme_enabled = 1 "
                        "AND phase IN ('manual', 'blocked') GROUP BY acme_method "
                        "ORDER BY acme_method",
                 .args = "",
                 .cols = "ti"},
    [EXPIRY] = {.name = "figures.expiry",
                .sql = "SELECT CASE WHEN c.not_after <= $1 THEN -1 "
                       "ELSE (c.not_after - $1) / 86400 END, count(*), "
                       "CAST(sum(c.not_after - $1) AS bigint) " SERVED "GROUP BY 1",
                .args = "i",
                .cols = "iii"},
    [SOONEST] = {.name = "figures.soonest",
                 .sql =
                     "SELECT d.ascii, c.not_after " SERVED "ORDER BY c.not_after, d.ascii LIMIT $1",
                 .args = "i",
                 .cols = "ti"},
    [ORDERS] = {.name = "figures.orders",
                .sql = "SELECT state, count(*) FROM orders WHERE ended_at_ms = 0 GROUP BY state "
                       "ORDER BY state",
                .args = "",
                .cols = "ti"},
};
PST_STORE_SQL(figures);

static enum pst_phase parse_phase(const char *text)
{
    for (int i = 0; i < PST_PHASE__COUNT; i++)
        if (pst_streq(pst_phase_name((enum pst_phase)i), text))
            return (enum pst_phase)i;
    return PST_PHASE_WORK;
}

int pst_figures_domains(struct pst_tx *tx, int64_t now,
                        int (*fn)(const struct pst_status_in *in, int64_t n, void *arg), void *arg,
                        struct pst_err *err)
{
    auto_(pst_rows_free) struct pst_rows *rows = NULL;

    int rc = pst_db_query(tx->db, &stmts[DOMAINS], &rows, err, pst_i(now));
    while (rc == PST_OK && pst_rows_next(rows)) {
        struct pst_status_in in = {
            .acme_enabled = pst_col_i(rows, 0) != 0,
            .wildcard = pst_col_i(rows, 1) != 0,
            .phase = parse_phase(pst_col_t(rows, 2)),
            .custom_valid = pst_col_i(rows, 3) != 0,
            .acme_valid = pst_col_i(rows, 4) != 0,
        };
        rc = fn(&in, pst_col_i(rows, 5), arg);
    }
    return rc;
}

int pst_figures_failing(struct pst_tx *tx, int64_t *ret_n, struct pst_err *err)
{
    return pst_number(tx, &stmts[FAILING], ret_n, err);
}

int pst_figures_waiting(struct pst_tx *tx, int (*fn)(const char *method, int64_t n, void *arg),
                        void *arg, struct pst_err *err)
{
    auto_(pst_rows_free) struct pst_rows *rows = NULL;

    int rc = pst_db_query(tx->db, &stmts[WAITING], &rows, err);
    while (rc == PST_OK && pst_rows_next(rows))
        rc = fn(pst_col_t(rows, 0), pst_col_i(rows, 1), arg);
    return rc;
}

int pst_figures_expiry(struct pst_tx *tx, int64_t now,
                       int (*fn)(int64_t days, int64_t n, int64_t sum_s, void *arg), void *arg,
                       struct pst_err *err)
{
    auto_(pst_rows_free) struct pst_rows *rows = NULL;

    int rc = pst_db_query(tx->db, &stmts[EXPIRY], &rows, err, pst_i(now));
    while (rc == PST_OK && pst_rows_next(rows))
        rc = fn(pst_col_i(rows, 0), pst_col_i(rows, 1), pst_col_i(rows, 2), arg);
    return rc;
}

int pst_figures_soonest(struct pst_tx *tx, size_t limit,
                        int (*fn)(const char *ascii, int64_t not_after, void *arg), void *arg,
                        struct pst_err *err)
{
    auto_(pst_rows_free) struct pst_rows *rows = NULL;

    int rc = pst_db_query(tx->db, &stmts[SOONEST], &rows, err, pst_i((int64_t)limit));
    while (rc == PST_OK && pst_rows_next(rows))
        rc = fn(pst_col_t(rows, 0), pst_col_i(rows, 1), arg);
    return rc;
}

int pst_figures_orders(struct pst_tx *tx, int (*fn)(const char *state, int64_t n, void *arg),
                       void *arg, struct pst_err *err)
{
    auto_(pst_rows_free) struct pst_rows *rows = NULL;

    int rc = pst_db_query(tx->db, &stmts[ORDERS], &rows, err);
    while (rc == PST_OK && pst_rows_next(rows))
        rc = fn(pst_col_t(rows, 0), pst_col_i(rows, 1), arg);
    return rc;
}
