/* event_db.c - what happened: append only. */
#include "store_internal.h"

#define COLS "id, at_ms, kind, actor, request_id, app_id, domain_id, text"
#define TYPES                                                                                      \
    "tit"                                                                                          \
    "ttttt"

enum { APPEND, EACH, OF_APP };

static const struct pst_stmt stmts[] = {
    [APPEND] = {.name = "event.append",
                .sql = "INSERT INTO events (" COLS ") VALUES ($1, $2, $3, $4, $5, $6, $7, $8) "
                       "RETURNING seq",
                .args = TYPES,
                .cols = "i"},
    [EACH] = {.name = "event.each",
              .sql = "SELECT seq, " COLS " FROM events WHERE ($1 = '' OR domain_id = $1) "
                     "ORDER BY seq DESC LIMIT $2",
              .args = "ti",
              .cols = "i" TYPES},
    [OF_APP] = {.name = "event.of_app",
                .sql = "SELECT seq, " COLS " FROM events WHERE app_id = $1 "
                       "ORDER BY seq DESC LIMIT $2",
                .args = "ti",
                .cols = "i" TYPES},
};
PST_STORE_SQL(event);

int pst_event_append(struct pst_tx *tx, struct pst_event *e, struct pst_err *err)
{
    pst_record_new(tx, e->id, &e->at_ms);
    return pst_number(tx, &stmts[APPEND], &e->seq, err, pst_t(e->id), pst_i(e->at_ms),
                      pst_t(e->kind), pst_t(e->actor), pst_t(e->request_id), pst_t(e->app_id),
                      pst_t(e->domain_id), pst_t(e->text));
}

static int walk(struct pst_tx *tx, const struct pst_stmt *stmt, const char *id, size_t limit,
                int (*fn)(const struct pst_event *e, void *arg), void *arg, struct pst_err *err)
{
    auto_(pst_rows_free) struct pst_rows *rows = NULL;

    int rc = pst_db_query(tx->db, stmt, &rows, err, pst_t(id), pst_i((int64_t)limit));
    while (rc == PST_OK && pst_rows_next(rows)) {
        struct pst_event e = {0};
        struct pst_reader r = {.rows = rows, .err = err};
        e.seq = pst_read_i(&r);
        pst_read_text(&r, e.id);
        e.at_ms = pst_read_i(&r);
        pst_read_text(&r, e.kind);
        pst_read_text(&r, e.actor);
        pst_read_text(&r, e.request_id);
        pst_read_text(&r, e.app_id);
        pst_read_text(&r, e.domain_id);
        pst_read_text(&r, e.text);
        rc = pst_reader_end(&r, "an event");
        if (rc == PST_OK)
            rc = fn(&e, arg);
    }
    return rc;
}

int pst_event_each(struct pst_tx *tx, const char *domain_id, size_t limit,
                   int (*fn)(const struct pst_event *e, void *arg), void *arg, struct pst_err *err)
{
    return walk(tx, &stmts[EACH], domain_id ? domain_id : "", limit, fn, arg, err);
}

int pst_event_each_of_app(struct pst_tx *tx, const char *app_id, size_t limit,
                          int (*fn)(const struct pst_event *e, void *arg), void *arg,
                          struct pst_err *err)
{
    return walk(tx, &stmts[OF_APP], app_id, limit, fn, arg, err);
}
