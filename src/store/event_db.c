/* event_db.c - what happened: append only, and the chain that seals it. */
#include "store_internal.h"

#include <stdarg.h>
#include <stdio.h>

#include <postern/history.h>

#define COLS "id, at_ms, kind, actor, request_id, app_id, domain_id, text"
#define TYPES                                                                                      \
    "tit"                                                                                          \
    "ttttt"
#define ALL_COLS  "seq, " COLS ", owner_id, chain_pos, hash"
#define ALL_TYPES "i" TYPES "tit"

enum {
    APPEND,
    EACH,
    OF_APP,
    CHAIN,
    CHAIN_LOCK,
    CHAIN_SET,
    UNSEALED,
    SEAL,

    SEALED,
    SEALED_OF,

    BEFORE,
    BEFORE_OF_APP,
    BEFORE_OF_DOMAIN,
    AFTER,
    AFTER_OF_APP,
    AFTER_OF_DOMAIN,
};

/* Whose the app is; when it has just been removed, whose it was. */
#define OWNER                                                                                      \
    "CASE WHEN $6 = '' THEN '' ELSE coalesce((SELECT a.user_id FROM apps a WHERE a.id = $6), "     \
    "(SELECT e.owner_id FROM events e WHERE e.app_id = $6 ORDER BY e.seq DESC LIMIT 1), '') END"

/* One page back in time from a seq, or on from a position; all events, or those of one object. */
#define BEFORE_SQL(of, seq, limit)                                                                 \
    "SELECT " ALL_COLS " FROM events WHERE " of "seq < " seq " ORDER BY seq DESC LIMIT " limit
#define AFTER_SQL(of, pos, limit)                                                                  \
    "SELECT " ALL_COLS " FROM events WHERE " of "chain_pos > 0 AND chain_pos > " pos               \
    " ORDER BY chain_pos LIMIT " limit

static const struct pst_stmt stmts[] = {
    [APPEND] = {.name = "event.append",
                .sql = "INSERT INTO events (" COLS ", owner_id) "
                       "VALUES ($1, $2, $3, $4, $5, $6, $7, $8, " OWNER ") RETURNING seq",
                .args = TYPES,
                .cols = "i"},
    [EACH] = {.name = "event.each",
              .sql = "SELECT " ALL_COLS " FROM events WHERE ($1 = '' OR domain_id = $1) "
                     "ORDER BY seq DESC LIMIT $2",
              .args = "ti",
              .cols = ALL_TYPES},
    [OF_APP] = {.name = "event.of_app",
                .sql = "SELECT " ALL_COLS " FROM events WHERE app_id = $1 "
                       "ORDER BY seq DESC LIMIT $2",
                .args = "ti",
                .cols = ALL_TYPES},
    [CHAIN] = {.name = "event.chain",
               .sql = "SELECT pos, hash FROM event_chain WHERE id = 1",
               .args = "",
               .cols = "it"},
    [CHAIN_LOCK] = {.name = "event.chain-lock",
                    .sql = "UPDATE event_chain SET pos = pos WHERE id = 1 RETURNING pos, hash",
                    .args = "",
                    .cols = "it"},
    [CHAIN_SET] = {.name = "event.chain-set",
                   .sql = "UPDATE event_chain SET pos = $1, hash = $2 WHERE id = 1",
                   .args = "it",
                   .cols = ""},
    [UNSEALED] = {.name = "event.unsealed",
                  .sql = "SELECT " ALL_COLS " FROM events WHERE chain_pos = 0 "
                         "ORDER BY seq LIMIT $1",
                  .args = "i",
                  .cols = ALL_TYPES},
    [SEAL] = {.name = "event.seal",
              .sql = "UPDATE events SET chain_pos = $1, hash = $2 WHERE seq = $3 "
                     "AND chain_pos = 0",
              .args = "iti",
              .cols = ""},
    [SEALED] = {.name = "event.sealed",
                .sql = "SELECT " ALL_COLS " FROM events WHERE chain_pos > 0 AND chain_pos > $1 "
                       "AND ($2 = '' OR app_id = $2) ORDER BY chain_pos LIMIT $3",
                .args = "iti",
                .cols = ALL_TYPES},
    [SEALED_OF] = {.name = "event.sealed-of",
                   .sql = "SELECT " ALL_COLS " FROM events WHERE chain_pos > $1 "
                          "AND owner_id = $2 AND ($3 = '' OR app_id = $3) "
                          "ORDER BY chain_pos LIMIT $4",
                   .args = "itti",
                   .cols = ALL_TYPES},
    [BEFORE] = {.name = "event.before",
                .sql = BEFORE_SQL("", "$1", "$2"),
                .args = "ii",
                .cols = ALL_TYPES},
    [BEFORE_OF_APP] = {.name = "event.before-of-app",
                       .sql = BEFORE_SQL("app_id = $1 AND ", "$2", "$3"),
                       .args = "tii",
                       .cols = ALL_TYPES},
    [BEFORE_OF_DOMAIN] = {.name = "event.before-of-domain",
                          .sql = BEFORE_SQL("domain_id = $1 AND ", "$2", "$3"),
                          .args = "tii",
                          .cols = ALL_TYPES},
    [AFTER] = {.name = "event.after",
               .sql = AFTER_SQL("", "$1", "$2"),
               .args = "ii",
               .cols = ALL_TYPES},
    [AFTER_OF_APP] = {.name = "event.after-of-app",
                      .sql = AFTER_SQL("app_id = $1 AND ", "$2", "$3"),
                      .args = "tii",
                      .cols = ALL_TYPES},
    [AFTER_OF_DOMAIN] = {.name = "event.after-of-domain",
                         .sql = AFTER_SQL("domain_id = $1 AND ", "$2", "$3"),
                         .args = "tii",
                         .cols = ALL_TYPES},
};
PST_STORE_SQL(event);

int pst_event_append(struct pst_tx *tx, struct pst_event *e, struct pst_err *err)
{
    pst_record_new(tx, e->id, &e->at_ms);
    return pst_number(tx, &stmts[APPEND], &e->seq, err, pst_t(e->id), pst_i(e->at_ms),
                      pst_t(e->kind), pst_t(e->actor), pst_t(e->request_id), pst_t(e->app_id),
                      pst_t(e->domain_id), pst_t(e->text));
}

int pst_event_system(struct pst_tx *tx, const char *app_id, const char *domain_id, const char *kind,
                     struct pst_err *err, const char *fmt, ...)
{
    struct pst_event e = {.actor = "system"};
    char text[2 * sizeof e.text];
    va_list args;

    va_start(args, fmt);
    vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    pst_str_copy(e.kind, sizeof e.kind, kind);
    pst_str_copy(e.app_id, sizeof e.app_id, app_id);
    pst_str_copy(e.domain_id, sizeof e.domain_id, domain_id);
    pst_str_cut(e.text, sizeof e.text, text);
    return pst_event_append(tx, &e, err);
}

typedef int each_fn(const struct pst_event *e, void *arg);

static int walk(struct pst_rows *rows, each_fn *fn, void *arg, struct pst_err *err)
{
    int rc = PST_OK;

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
        pst_read_text(&r, e.owner_id);
        e.chain_pos = pst_read_i(&r);
        pst_read_text(&r, e.hash);
        rc = pst_reader_end(&r, "an event");
        if (rc == PST_OK)
            rc = fn(&e, arg);
    }
    return rc;
}

int pst_event_each(struct pst_tx *tx, const char *domain_id, size_t limit, each_fn *fn, void *arg,
                   struct pst_err *err)
{
    auto_(pst_rows_free) struct pst_rows *rows = NULL;

    int rc = pst_db_query(tx->db, &stmts[EACH], &rows, err, pst_t(domain_id ? domain_id : ""),
                          pst_i((int64_t)limit));
    return rc == PST_OK ? walk(rows, fn, arg, err) : rc;
}

int pst_event_each_of_app(struct pst_tx *tx, const char *app_id, size_t limit, each_fn *fn,
                          void *arg, struct pst_err *err)
{
    auto_(pst_rows_free) struct pst_rows *rows = NULL;

    int rc = pst_db_query(tx->db, &stmts[OF_APP], &rows, err, pst_t(app_id), pst_i((int64_t)limit));
    return rc == PST_OK ? walk(rows, fn, arg, err) : rc;
}

int pst_event_page(struct pst_tx *tx, const struct pst_event_page *p, each_fn *fn, void *arg,
                   struct pst_err *err)
{
    auto_(pst_rows_free) struct pst_rows *rows = NULL;
    const char *of = p->domain_id ? p->domain_id : p->app_id;
    int which = p->forward ? AFTER : BEFORE;
    int64_t limit = (int64_t)p->limit;

    which += p->domain_id ? BEFORE_OF_DOMAIN - BEFORE : p->app_id ? BEFORE_OF_APP - BEFORE : 0;
    int rc = of ? pst_db_query(tx->db, &stmts[which], &rows, err, pst_t(of), pst_i(p->cursor),
                               pst_i(limit))
                : pst_db_query(tx->db, &stmts[which], &rows, err, pst_i(p->cursor), pst_i(limit));
    return rc == PST_OK ? walk(rows, fn, arg, err) : rc;
}

/* ---- the chain ---- */

int pst_event_chain_get(struct pst_tx *tx, struct pst_event_chain *ret, struct pst_err *err)
{
    auto_(pst_rows_free) struct pst_rows *rows = NULL;

    int rc = pst_one(tx, &stmts[tx->write ? CHAIN_LOCK : CHAIN], &rows, err);
    if (rc == PST_NOTFOUND)
        return pst_fail(err, PST_EINTERNAL, "the end of the chain of events is missing");
    if (rc != PST_OK)
        return rc;
    struct pst_reader r = {.rows = rows, .err = err};
    ret->pos = pst_read_i(&r);
    pst_read_text(&r, ret->hash);
    return pst_reader_end(&r, "the end of the chain of events");
}

int pst_event_chain_set(struct pst_tx *tx, const struct pst_event_chain *c, struct pst_err *err)
{
    return pst_db_exec(tx->db, &stmts[CHAIN_SET], NULL, err, pst_i(c->pos), pst_t(c->hash));
}

int pst_event_each_unsealed(struct pst_tx *tx, size_t limit, each_fn *fn, void *arg,
                            struct pst_err *err)
{
    auto_(pst_rows_free) struct pst_rows *rows = NULL;

    int rc = pst_db_query(tx->db, &stmts[UNSEALED], &rows, err, pst_i((int64_t)limit));
    return rc == PST_OK ? walk(rows, fn, arg, err) : rc;
}

int pst_event_seal(struct pst_tx *tx, const struct pst_event *e, struct pst_err *err)
{
    return pst_change(tx, &stmts[SEAL], PST_CONFLICT, err, pst_i(e->chain_pos), pst_t(e->hash),
                      pst_i(e->seq));
}

int pst_event_each_sealed(struct pst_tx *tx, int64_t after_pos, const char *owner_id,
                          const char *app_id, size_t limit, each_fn *fn, void *arg,
                          struct pst_err *err)
{
    auto_(pst_rows_free) struct pst_rows *rows = NULL;
    const int64_t max = (int64_t)limit;

    int rc = owner_id[0] ? pst_db_query(tx->db, &stmts[SEALED_OF], &rows, err, pst_i(after_pos),
                                        pst_t(owner_id), pst_t(app_id), pst_i(max))
                         : pst_db_query(tx->db, &stmts[SEALED], &rows, err, pst_i(after_pos),
                                        pst_t(app_id), pst_i(max));
    return rc == PST_OK ? walk(rows, fn, arg, err) : rc;
}
