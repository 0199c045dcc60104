/* bulk_db.c - imports, and domains as lines of an export. */
#include "store_internal.h"

#include <postern/bulk.h>

#define COLS                                                                                       \
    "id, user_id, app_id, dry_run, state, reason, lines_expected, lines, added, unchanged, "       \
    "refused, active_ms, created_at_ms, updated_at_ms, ended_at_ms"
#define TYPES      "tttittiiiiiiiii"
#define SELECT     "SELECT " COLS " FROM imports "
#define GET_WHERE  "WHERE id = $1 AND ($2 = '' OR user_id = $2)"
#define NAME_COLS  "ascii, app_id, acme_enabled, canonical, sha256"
#define NAME_TYPES "ttiit"

/* By the order of the index domains_app. */
#define LINES                                                                                      \
    "SELECT d.app_id, d.created_at_ms, d.id, a.name, d.name, d.acme_enabled, d.canonical "         \
    "FROM domains d JOIN apps a ON a.id = d.app_id WHERE "

enum {
    INSERT,
    GET,
    GET_LOCK,
    EACH,
    COUNT_OPEN,
    SAVE,
    STALE,
    ENDED,
    DROP_REFUSALS,
    DROP_NAMES,
    DELETE,
    REFUSE,
    REFUSALS,
    NAME_INSERT,
    NAME_GET,
    NAME_COUNT,
    NAME_CANONICAL,
    NAMES_DROP,
    LINES_ALL,
    LINES_OF,
};

static const struct pst_stmt stmts[] = {
    [INSERT] = {.name = "import.insert",
                .sql = "INSERT INTO imports (" COLS ") VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, "
                       "$10, $11, $12, $13, $14, $15)",
                .args = TYPES,
                .cols = ""},
    [GET] = {.name = "import.get", .sql = SELECT GET_WHERE, .args = "tt", .cols = TYPES},
    [GET_LOCK] = {.name = "import.get-lock",
                  .sql = SELECT GET_WHERE,
                  .sql_pg = SELECT GET_WHERE " FOR NO KEY UPDATE",
                  .args = "tt",
                  .cols = TYPES},
    [EACH] = {.name = "import.each",
              .sql = SELECT "WHERE ($1 = '' OR user_id = $1) ORDER BY created_at_ms DESC, id "
                            "LIMIT $2",
              .args = "ti",
              .cols = TYPES},
    [COUNT_OPEN] = {.name = "import.count-open",
                    .sql = "SELECT count(*) FROM imports WHERE user_id = $1 AND state = 'open'",
                    .args = "t",
                    .cols = "i"},
    [SAVE] = {.name = "import.save",
              .sql = "UPDATE imports SET state = $1, reason = $2, lines = $3, added = $4, "
                     "unchanged = $5, refused = $6, active_ms = $7, updated_at_ms = $8, "
                     "ended_at_ms = $9 WHERE id = $10",
              .args = "ttiiiiiiit",
              .cols = ""},
    [STALE] = {.name = "import.stale",
               .sql = "SELECT id FROM imports WHERE updated_at_ms < $1 ORDER BY updated_at_ms "
                      "LIMIT $2",
               .args = "ii",
               .cols = "t"},
    [ENDED] = {.name = "import.ended",
               .sql = "SELECT id FROM imports WHERE user_id = $1 AND state <> 'open' "
                      "ORDER BY created_at_ms DESC, id LIMIT $2 OFFSET $3",
               .args = "tii",
               .cols = "t"},
    [DROP_REFUSALS] = {.name = "import.drop-refusals",
                       .sql = "DELETE FROM import_refusals WHERE import_id = $1",
                       .args = "t",
                       .cols = ""},
    [DROP_NAMES] = {.name = "import.drop-names",
                    .sql = "DELETE FROM import_names WHERE import_id = $1",
                    .args = "t",
                    .cols = ""},
    [DELETE] = {.name = "import.delete",
                .sql = "DELETE FROM imports WHERE id = $1",
                .args = "t",
                .cols = ""},
    [REFUSE] = {.name = "import.refuse",
                .sql = "INSERT INTO import_refusals (import_id, line, name, field, error) "
                       "VALUES ($1, $2, $3, $4, $5)",
                .args = "titt"
                        "t",
                .cols = ""},
    [REFUSALS] = {.name = "import.refusals",
                  .sql = "SELECT line, name, field, error FROM import_refusals "
                         "WHERE import_id = $1 AND line > $2 ORDER BY line LIMIT $3",
                  .args = "tii",
                  .cols = "ittt"},
    [NAME_INSERT] = {.name = "import.name-insert",
                     .sql = "INSERT INTO import_names (import_id, " NAME_COLS ") "
                            "VALUES ($1, $2, $3, $4, $5, $6)",
                     .args = "t" NAME_TYPES,
                     .cols = ""},
    [NAME_GET] = {.name = "import.name-get",
                  .sql = "SELECT " NAME_COLS " FROM import_names WHERE import_id = $1 "
                         "AND ascii = $2",
                  .args = "tt",
                  .cols = NAME_TYPES},
    [NAME_COUNT] = {.name = "import.name-count",
                    .sql = "SELECT count(*) FROM import_names WHERE import_id = $1 "
                           "AND app_id = $2",
                    .args = "tt",
                    .cols = "i"},
    [NAME_CANONICAL] = {.name = "import.name-canonical",
                        .sql = "SELECT ascii FROM import_names WHERE import_id = $1 "
                               "AND app_id = $2 AND canonical = 1 LIMIT 1",
                        .args = "tt",
                        .cols = "t"},
    [NAMES_DROP] = {.name = "import.names-drop",
                    .sql = "DELETE FROM import_names WHERE import_id = $1 AND ascii IN "
                           "(SELECT n.ascii FROM import_names n WHERE n.import_id = $1 LIMIT $2)",
                    .args = "ti",
                    .cols = ""},
    [LINES_ALL] = {.name = "domain.lines",
                   .sql = LINES "(d.app_id, d.created_at_ms, d.id) > ($1, $2, $3) "
                                "ORDER BY d.app_id, d.created_at_ms, d.id LIMIT $4",
                   .args = "titi",
                   .cols = "tittt"
                           "ii"},
    [LINES_OF] = {.name = "domain.lines-of",
                  .sql = LINES "d.app_id = $1 AND (d.created_at_ms, d.id) > ($2, $3) "
                               "ORDER BY d.created_at_ms, d.id LIMIT $4",
                  .args = "titi",
                  .cols = "tittt"
                          "ii"},
};
PST_STORE_SQL(bulk);

static const char *const states[] = {
    [PST_IMPORT_OPEN] = "open",
    [PST_IMPORT_FINISHED] = "finished",
    [PST_IMPORT_CANCELLED] = "cancelled",
    [PST_IMPORT_STOPPED] = "stopped",
};
_Static_assert(PST_ARRAY_N(states) == PST_IMPORT_STATE__COUNT, "a state was added?");

const char *pst_import_state_name(enum pst_import_state s)
{
    pst_require((size_t)s < PST_IMPORT_STATE__COUNT);
    return states[s];
}

static int parse_state(const char *text, enum pst_import_state *ret, struct pst_err *err)
{
    for (size_t k = 0; k < PST_IMPORT_STATE__COUNT; k++)
        if (pst_streq(text, states[k])) {
            *ret = (enum pst_import_state)k;
            return PST_OK;
        }
    return pst_fail(err, PST_EDB,
                    "an import's state is \"%.20s\", which this program does not know", text);
}

/* ---- imports ---- */

static int read_import(const struct pst_rows *rows, struct pst_import *ret, struct pst_err *err)
{
    struct pst_reader r = {.rows = rows, .err = err};
    char state[16];

    *ret = (struct pst_import){0};
    pst_read_text(&r, ret->id);
    pst_read_text(&r, ret->user_id);
    pst_read_text(&r, ret->app_id);
    ret->dry_run = pst_read_flag(&r);
    pst_read_text(&r, state);
    pst_read_text(&r, ret->reason);
    ret->lines_expected = pst_read_i(&r);
    ret->lines = pst_read_i(&r);
    ret->added = pst_read_i(&r);
    ret->unchanged = pst_read_i(&r);
    ret->refused = pst_read_i(&r);
    ret->active_ms = pst_read_i(&r);
    ret->created_at_ms = pst_read_i(&r);
    ret->updated_at_ms = pst_read_i(&r);
    ret->ended_at_ms = pst_read_i(&r);
    int rc = pst_reader_end(&r, "an import");
    return rc == PST_OK ? parse_state(state, &ret->state, err) : rc;
}

int pst_import_insert(struct pst_tx *tx, struct pst_import *i, struct pst_err *err)
{
    pst_record_new(tx, i->id, &i->created_at_ms);
    if (i->updated_at_ms == 0)
        i->updated_at_ms = i->created_at_ms;
    return pst_db_exec(tx->db, &stmts[INSERT], NULL, err, pst_t(i->id), pst_t(i->user_id),
                       pst_t(i->app_id), pst_i(i->dry_run), pst_t(pst_import_state_name(i->state)),
                       pst_t(i->reason), pst_i(i->lines_expected), pst_i(i->lines), pst_i(i->added),
                       pst_i(i->unchanged), pst_i(i->refused), pst_i(i->active_ms),
                       pst_i(i->created_at_ms), pst_i(i->updated_at_ms), pst_i(i->ended_at_ms));
}

int pst_import_get(struct pst_tx *tx, const char *user_id, const char *id, struct pst_import *ret,
                   struct pst_err *err)
{
    auto_(pst_rows_free) struct pst_rows *rows = NULL;

    int rc = pst_one(tx, &stmts[tx->write ? GET_LOCK : GET], &rows, err, pst_t(id), pst_t(user_id));
    return rc == PST_OK ? read_import(rows, ret, err) : rc;
}

int pst_import_each(struct pst_tx *tx, const char *user_id, size_t limit,
                    int (*fn)(const struct pst_import *i, void *arg), void *arg,
                    struct pst_err *err)
{
    auto_(pst_rows_free) struct pst_rows *rows = NULL;

    int rc = pst_db_query(tx->db, &stmts[EACH], &rows, err, pst_t(user_id), pst_i((int64_t)limit));
    while (rc == PST_OK && pst_rows_next(rows)) {
        struct pst_import i;
        rc = read_import(rows, &i, err);
        if (rc == PST_OK)
            rc = fn(&i, arg);
    }
    return rc;
}

int pst_import_count_open(struct pst_tx *tx, const char *user_id, int64_t *ret_n,
                          struct pst_err *err)
{
    return pst_number(tx, &stmts[COUNT_OPEN], ret_n, err, pst_t(user_id));
}

int pst_import_save(struct pst_tx *tx, const struct pst_import *i, struct pst_err *err)
{
    return pst_db_exec(tx->db, &stmts[SAVE], NULL, err, pst_t(pst_import_state_name(i->state)),
                       pst_t(i->reason), pst_i(i->lines), pst_i(i->added), pst_i(i->unchanged),
                       pst_i(i->refused), pst_i(i->active_ms), pst_i(i->updated_at_ms),
                       pst_i(i->ended_at_ms), pst_t(i->id));
}

/* Forget those whose ids the rows have, with their lines. */
static int forget(struct pst_tx *tx, struct pst_rows *rows, struct pst_err *err)
{
    static const int drops[] = {DROP_REFUSALS, DROP_NAMES, DELETE};
    int rc = PST_OK;

    while (rc == PST_OK && pst_rows_next(rows))
        for (size_t k = 0; rc == PST_OK && k < PST_ARRAY_N(drops); k++)
            rc = pst_db_exec(tx->db, &stmts[drops[k]], NULL, err, pst_t(pst_col_t(rows, 0)));
    return rc;
}

int pst_import_sweep(struct pst_tx *tx, int64_t before_ms, size_t limit, struct pst_err *err)
{
    auto_(pst_rows_free) struct pst_rows *rows = NULL;

    int rc =
        pst_db_query(tx->db, &stmts[STALE], &rows, err, pst_i(before_ms), pst_i((int64_t)limit));
    return rc == PST_OK ? forget(tx, rows, err) : rc;
}

int pst_import_trim(struct pst_tx *tx, const char *user_id, size_t keep, size_t limit,
                    struct pst_err *err)
{
    auto_(pst_rows_free) struct pst_rows *rows = NULL;

    int rc = pst_db_query(tx->db, &stmts[ENDED], &rows, err, pst_t(user_id), pst_i((int64_t)limit),
                          pst_i((int64_t)keep));
    return rc == PST_OK ? forget(tx, rows, err) : rc;
}

/* ---- refused lines ---- */

int pst_import_refuse(struct pst_tx *tx, const char *import_id, const struct pst_import_refusal *r,
                      struct pst_err *err)
{
    return pst_db_exec(tx->db, &stmts[REFUSE], NULL, err, pst_t(import_id), pst_i(r->line),
                       pst_t(r->name), pst_t(r->field), pst_t(r->error));
}

int pst_import_each_refusal(struct pst_tx *tx, const char *import_id, int64_t after, size_t limit,
                            int (*fn)(const struct pst_import_refusal *r, void *arg), void *arg,
                            struct pst_err *err)
{
    auto_(pst_rows_free) struct pst_rows *rows = NULL;

    int rc = pst_db_query(tx->db, &stmts[REFUSALS], &rows, err, pst_t(import_id), pst_i(after),
                          pst_i((int64_t)limit));
    while (rc == PST_OK && pst_rows_next(rows)) {
        struct pst_reader reader = {.rows = rows, .err = err};
        struct pst_import_refusal r = {.line = pst_read_i(&reader)};
        pst_read_text(&reader, r.name);
        pst_read_text(&reader, r.field);
        pst_read_text(&reader, r.error);
        rc = pst_reader_end(&reader, "a refused line");
        if (rc == PST_OK)
            rc = fn(&r, arg);
    }
    return rc;
}

/* ---- what a dry run would have added ---- */

int pst_import_name_insert(struct pst_tx *tx, const char *import_id,
                           const struct pst_import_name *n, struct pst_err *err)
{
    return pst_db_exec(tx->db, &stmts[NAME_INSERT], NULL, err, pst_t(import_id), pst_t(n->ascii),
                       pst_t(n->app_id), pst_i(n->acme_enabled), pst_i(n->canonical),
                       pst_t(n->sha256));
}

int pst_import_name_get(struct pst_tx *tx, const char *import_id, const char *ascii,
                        struct pst_import_name *ret, struct pst_err *err)
{
    auto_(pst_rows_free) struct pst_rows *rows = NULL;

    int rc = pst_one(tx, &stmts[NAME_GET], &rows, err, pst_t(import_id), pst_t(ascii));
    if (rc != PST_OK)
        return rc;
    struct pst_reader r = {.rows = rows, .err = err};
    pst_read_text(&r, ret->ascii);
    pst_read_text(&r, ret->app_id);
    ret->acme_enabled = pst_read_flag(&r);
    ret->canonical = pst_read_flag(&r);
    pst_read_text(&r, ret->sha256);
    return pst_reader_end(&r, "a name of a dry run");
}

int pst_import_name_count(struct pst_tx *tx, const char *import_id, const char *app_id,
                          int64_t *ret_n, struct pst_err *err)
{
    return pst_number(tx, &stmts[NAME_COUNT], ret_n, err, pst_t(import_id), pst_t(app_id));
}

int pst_import_name_canonical(struct pst_tx *tx, const char *import_id, const char *app_id,
                              char ret[PST_NAME_SIZE], struct pst_err *err)
{
    auto_(pst_rows_free) struct pst_rows *rows = NULL;

    int rc = pst_one(tx, &stmts[NAME_CANONICAL], &rows, err, pst_t(import_id), pst_t(app_id));
    return rc == PST_OK ? pst_col_copy(rows, 0, ret, PST_NAME_SIZE, err) : rc;
}

int pst_import_names_drop(struct pst_tx *tx, const char *import_id, size_t limit, int64_t *ret_n,
                          struct pst_err *err)
{
    return pst_db_exec(tx->db, &stmts[NAMES_DROP], ret_n, err, pst_t(import_id),
                       pst_i((int64_t)limit));
}

/* ---- exports ---- */

int pst_domain_each_line(struct pst_tx *tx, const char *app_id, const struct pst_line_cursor *after,
                         size_t limit, int (*fn)(const struct pst_domain_line *l, void *arg),
                         void *arg, struct pst_err *err)
{
    auto_(pst_rows_free) struct pst_rows *rows = NULL;

    int rc = pst_db_query(tx->db, &stmts[*app_id ? LINES_OF : LINES_ALL], &rows, err,
                          pst_t(*app_id ? app_id : after->app_id), pst_i(after->created_at_ms),
                          pst_t(after->id), pst_i((int64_t)limit));
    while (rc == PST_OK && pst_rows_next(rows)) {
        struct pst_reader r = {.rows = rows, .err = err};
        struct pst_domain_line l = {0};
        pst_read_text(&r, l.at.app_id);
        l.at.created_at_ms = pst_read_i(&r);
        pst_read_text(&r, l.at.id);
        pst_read_text(&r, l.app);
        pst_read_text(&r, l.name);
        l.acme_enabled = pst_read_flag(&r);
        l.canonical = pst_read_flag(&r);
        rc = pst_reader_end(&r, "a domain");
        if (rc == PST_OK)
            rc = fn(&l, arg);
    }
    return rc;
}
