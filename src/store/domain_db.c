/* domain_db.c - domains, the names they hold, and when something is to be done about them. */
#include "store_internal.h"

#include <postern/permanent.h>

#include <string.h>

#define COLS                                                                                       \
    "id, app_id, user_id, name, ascii, wildcard, acme_enabled, canonical, phase, problem, "        \
    "reason, evidence, record, next_try_at_ms, due_at_ms, failures, last_failure_at_ms, "          \
    "acme_cert, custom_cert, acme_seen_at_ms, created_at_ms, updated_at_ms, acme_method, "         \
    "acme_dns_fqdn, acme_dns_value, acme_dns_until, acme_dns_error"
#define TYPES  "tttttiiitttttiiiiiiiiitttit"
#define SELECT "SELECT " COLS " FROM domains "
#define LOCKED " FOR NO KEY UPDATE"

#define DUE                                                                                        \
    "acme_enabled = 1 AND due_at_ms > 0 AND NOT EXISTS (SELECT 1 FROM orders o "                   \
    "WHERE o.domain_id = domains.id AND o.ended_at_ms = 0) "

#define FIND_WHERE                                                                                 \
    "WHERE app_id = $1 AND (id = $2 OR name = $2 OR ascii = $2) "                                  \
    "ORDER BY CASE WHEN id = $2 THEN 0 WHEN ascii = $2 THEN 1 ELSE 2 END, id LIMIT 1"

enum {
    INSERT,
    GET,
    GET_LOCK,
    FIND,
    FIND_LOCK,
    BY_ASCII,
    BY_ASCII_LOCK,
    EACH,
    COVERING,
    CANONICAL,
    COUNT,
    UPDATE,
    DELETE,
    COVERED,
    WATCHED,
    DUE_NOW,
    DUE_NEXT,
};

static const struct pst_stmt stmts[] = {
    [INSERT] = {.name = "domain.insert",
                .sql = "INSERT INTO domains (" COLS ", parent) SELECT $1, $2, $3, $4, $5, $6, $7, "
                       "$8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21, $22, "
                       "$23, $24, $25, $26, $27, $28 WHERE NOT EXISTS (SELECT 1 FROM "
                       "platform_names WHERE ascii = $5) "
                       "ON CONFLICT DO NOTHING",
                .args = TYPES "t",
                .cols = ""},
    [GET] = {.name = "domain.get", .sql = SELECT "WHERE id = $1", .args = "t", .cols = TYPES},
    [GET_LOCK] = {.name = "domain.get-lock",
                  .sql = SELECT "WHERE id = $1",
                  .sql_pg = SELECT "WHERE id = $1" LOCKED,
                  .args = "t",
                  .cols = TYPES},
    [FIND] = {.name = "domain.find", .sql = SELECT FIND_WHERE, .args = "tt", .cols = TYPES},
    [FIND_LOCK] = {.name = "domain.find-lock",
                   .sql = SELECT FIND_WHERE,
                   .sql_pg = SELECT FIND_WHERE LOCKED,
                   .args = "tt",
                   .cols = TYPES},
    [BY_ASCII] = {.name = "domain.by-ascii",
                  .sql = SELECT "WHERE ascii = $1",
                  .args = "t",
                  .cols = TYPES},
    [BY_ASCII_LOCK] = {.name = "domain.by-ascii-lock",
                       .sql = SELECT "WHERE ascii = $1",
                       .sql_pg = SELECT "WHERE ascii = $1" LOCKED,
                       .args = "t",
                       .cols = TYPES},
    [EACH] = {.name = "domain.each",
              .sql = SELECT "WHERE app_id = $1 ORDER BY created_at_ms, id",
              .args = "t",
              .cols = TYPES},
    [COVERING] = {.name = "domain.covering",
                  .sql = SELECT "WHERE wildcard = 1 AND ascii IN (SELECT '*.' || d.parent "
                                "FROM domains d WHERE d.app_id = $1 AND d.wildcard = 0) "
                                "ORDER BY ascii",
                  .args = "t",
                  .cols = TYPES},
    [CANONICAL] = {.name = "domain.canonical",
                   .sql = SELECT "WHERE app_id = $1 AND canonical = 1 AND id <> $2 LIMIT 1",
                   .args = "tt",
                   .cols = TYPES},
    [COUNT] = {.name = "domain.count",
               .sql = "SELECT count(*) FROM domains WHERE app_id = $1",
               .args = "t",
               .cols = "i"},
    [UPDATE] = {.name = "domain.update",
                .sql = "UPDATE domains SET acme_enabled = $1, canonical = $2, phase = $3, "
                       "problem = $4, reason = $5, evidence = $6, record = $7, "
                       "next_try_at_ms = $8, due_at_ms = $9, failures = $10, "
                       "last_failure_at_ms = $11, acme_cert = $12, custom_cert = $13, "
                       "acme_seen_at_ms = $14, updated_at_ms = $15, acme_method = $16, "
                       "acme_dns_fqdn = $17, acme_dns_value = $18, acme_dns_until = $19, "
                       "acme_dns_error = $20 WHERE id = $21",
                .args = "iitttttiiiiiiiitttitt",
                .cols = ""},
    [DELETE] = {.name = "domain.delete",
                .sql = "DELETE FROM domains WHERE id = $1",
                .args = "t",
                .cols = ""},
    [COVERED] = {.name = "domain.covered",
                 .sql = "SELECT ascii FROM domains WHERE parent = $1 AND user_id = $2 "
                        "AND wildcard = 0",
                 .args = "tt",
                 .cols = "t"},
    [WATCHED] = {.name = "domain.watched",
                 .sql = SELECT "WHERE acme_enabled = 1 AND wildcard = 0 AND phase = 'dns' "
                               "AND id > $1 ORDER BY id LIMIT $2",
                 .args = "ti",
                 .cols = TYPES},
    [DUE_NOW] = {.name = "domain.due",
                 .sql = SELECT "WHERE due_at_ms <= $1 AND " DUE "ORDER BY due_at_ms, id LIMIT $2",
                 .args = "ii",
                 .cols = TYPES},
    [DUE_NEXT] = {.name = "domain.due-next",
                  .sql = "SELECT coalesce(min(due_at_ms), 0) FROM domains WHERE " DUE,
                  .args = "",
                  .cols = "i"},
};
PST_STORE_SQL(domain);

static const char *const phases[] = {
    [PST_PHASE_DNS] = "dns",
    [PST_PHASE_WORK] = "work",
    [PST_PHASE_MANUAL] = "manual",
    [PST_PHASE_BLOCKED] = "blocked",
};
_Static_assert(PST_ARRAY_N(phases) == PST_PHASE__COUNT, "a phase was added?");

const char *pst_phase_name(enum pst_phase p)
{
    pst_require((size_t)p < PST_PHASE__COUNT);
    return phases[p];
}

static int parse_phase(const char *text, enum pst_phase *ret, struct pst_err *err)
{
    for (size_t k = 0; k < PST_PHASE__COUNT; k++)
        if (pst_streq(text, phases[k])) {
            *ret = (enum pst_phase)k;
            return PST_OK;
        }
    return pst_fail(err, PST_EDB, "a domain's phase is \"%.20s\", which this program does not know",
                    text);
}

/* ---- reading ---- */

static int read_domain(const struct pst_rows *rows, struct pst_domain *ret, struct pst_err *err)
{
    struct pst_reader r = {.rows = rows, .err = err};
    char phase[16];

    *ret = (struct pst_domain){0};
    pst_read_text(&r, ret->id);
    pst_read_text(&r, ret->app_id);
    pst_read_text(&r, ret->user_id);
    pst_read_text(&r, ret->name);
    pst_read_text(&r, ret->ascii);
    ret->wildcard = pst_read_flag(&r);
    ret->acme_enabled = pst_read_flag(&r);
    ret->canonical = pst_read_flag(&r);
    pst_read_text(&r, phase);
    pst_read_text(&r, ret->problem);
    pst_read_text(&r, ret->reason);
    pst_read_text(&r, ret->evidence);
    pst_read_text(&r, ret->record);
    ret->next_try_at_ms = pst_read_i(&r);
    ret->due_at_ms = pst_read_i(&r);
    ret->failures = pst_read_i(&r);
    ret->last_failure_at_ms = pst_read_i(&r);
    ret->acme_cert = pst_read_i(&r);
    ret->custom_cert = pst_read_i(&r);
    ret->acme_seen_at_ms = pst_read_i(&r);
    ret->created_at_ms = pst_read_i(&r);
    ret->updated_at_ms = pst_read_i(&r);
    pst_read_text(&r, ret->acme_method);
    pst_read_text(&r, ret->acme_dns_fqdn);
    pst_read_text(&r, ret->acme_dns_value);
    ret->acme_dns_until = pst_read_i(&r);
    pst_read_text(&r, ret->acme_dns_error);
    int rc = pst_reader_end(&r, "a domain");
    return rc == PST_OK ? parse_phase(phase, &ret->phase, err) : rc;
}

static int each(struct pst_rows *rows, int (*fn)(const struct pst_domain *d, void *arg), void *arg,
                struct pst_err *err)
{
    int rc = PST_OK;

    while (rc == PST_OK && pst_rows_next(rows)) {
        struct pst_domain d;
        rc = read_domain(rows, &d, err);
        if (rc == PST_OK)
            rc = fn(&d, arg);
    }
    return rc;
}

int pst_domain_get(struct pst_tx *tx, const char *id, struct pst_domain *ret, struct pst_err *err)
{
    auto_(pst_rows_free) struct pst_rows *rows = NULL;

    int rc = pst_one(tx, &stmts[tx->write ? GET_LOCK : GET], &rows, err, pst_t(id));
    return rc == PST_OK ? read_domain(rows, ret, err) : rc;
}

int pst_domain_find(struct pst_tx *tx, const char *app_id, const char *id_or_name,
                    struct pst_domain *ret, struct pst_err *err)
{
    auto_(pst_rows_free) struct pst_rows *rows = NULL;

    int rc = pst_one(tx, &stmts[tx->write ? FIND_LOCK : FIND], &rows, err, pst_t(app_id),
                     pst_t(id_or_name));
    return rc == PST_OK ? read_domain(rows, ret, err) : rc;
}

int pst_domain_by_ascii(struct pst_tx *tx, const char *ascii, struct pst_domain *ret,
                        struct pst_err *err)
{
    auto_(pst_rows_free) struct pst_rows *rows = NULL;

    int rc = pst_one(tx, &stmts[tx->write ? BY_ASCII_LOCK : BY_ASCII], &rows, err, pst_t(ascii));
    return rc == PST_OK ? read_domain(rows, ret, err) : rc;
}

int pst_domain_each(struct pst_tx *tx, const char *app_id,
                    int (*fn)(const struct pst_domain *d, void *arg), void *arg,
                    struct pst_err *err)
{
    auto_(pst_rows_free) struct pst_rows *rows = NULL;

    int rc = pst_db_query(tx->db, &stmts[EACH], &rows, err, pst_t(app_id));
    return rc == PST_OK ? each(rows, fn, arg, err) : rc;
}

int pst_domain_each_covering(struct pst_tx *tx, const char *app_id,
                             int (*fn)(const struct pst_domain *d, void *arg), void *arg,
                             struct pst_err *err)
{
    auto_(pst_rows_free) struct pst_rows *rows = NULL;

    int rc = pst_db_query(tx->db, &stmts[COVERING], &rows, err, pst_t(app_id));
    return rc == PST_OK ? each(rows, fn, arg, err) : rc;
}

int pst_domain_canonical(struct pst_tx *tx, const char *app_id, const char *except,
                         struct pst_domain *ret, struct pst_err *err)
{
    auto_(pst_rows_free) struct pst_rows *rows = NULL;

    int rc = pst_one(tx, &stmts[CANONICAL], &rows, err, pst_t(app_id), pst_t(except));
    return rc == PST_OK ? read_domain(rows, ret, err) : rc;
}

int pst_domain_count(struct pst_tx *tx, const char *app_id, int64_t *ret_n, struct pst_err *err)
{
    return pst_number(tx, &stmts[COUNT], ret_n, err, pst_t(app_id));
}

int pst_domain_each_watched(struct pst_tx *tx, const char *after, size_t limit,
                            int (*fn)(const struct pst_domain *d, void *arg), void *arg,
                            struct pst_err *err)
{
    auto_(pst_rows_free) struct pst_rows *rows = NULL;

    int rc = pst_db_query(tx->db, &stmts[WATCHED], &rows, err, pst_t(after), pst_i((int64_t)limit));
    return rc == PST_OK ? each(rows, fn, arg, err) : rc;
}

int pst_domain_each_due(struct pst_tx *tx, int64_t now_ms, size_t limit,
                        int (*fn)(const struct pst_domain *d, void *arg), void *arg,
                        struct pst_err *err)
{
    auto_(pst_rows_free) struct pst_rows *rows = NULL;

    int rc =
        pst_db_query(tx->db, &stmts[DUE_NOW], &rows, err, pst_i(now_ms), pst_i((int64_t)limit));
    return rc == PST_OK ? each(rows, fn, arg, err) : rc;
}

int pst_domain_next_due(struct pst_tx *tx, int64_t *ret_at_ms, struct pst_err *err)
{
    return pst_number(tx, &stmts[DUE_NEXT], ret_at_ms, err);
}

/* ---- what the edges hear ---- */

/* A wildcard's certificates are steps of the names that it covers, too; those of the platform's own
 * domain stand in the default ladder only. */
static int touch_steps(struct pst_tx *tx, const struct pst_domain *d, bool deleted,
                       struct pst_err *err)
{
    auto_(pst_rows_free) struct pst_rows *rows = NULL;
    bool platform = false;

    int rc = d->wildcard ? pst_platform_has_domain(tx, d->id, &platform, err) : PST_OK;
    if (rc == PST_OK && platform)
        return pst_touch(tx, "meta", "default", false, err);
    if (rc == PST_OK)
        rc = pst_touch(tx, "name", d->ascii, deleted, err);
    if (rc != PST_OK || !d->wildcard)
        return rc;
    rc = pst_db_query(tx->db, &stmts[COVERED], &rows, err, pst_t(d->ascii + strlen("*.")),
                      pst_t(d->user_id));
    while (rc == PST_OK && pst_rows_next(rows))
        rc = pst_touch(tx, "name", pst_col_t(rows, 0), false, err);
    return rc;
}

static int tell_edges(struct pst_tx *tx, const struct pst_domain *old, const struct pst_domain *d,
                      struct pst_err *err)
{
    int rc = PST_OK;

    if (old->acme_enabled != d->acme_enabled || old->acme_cert != d->acme_cert ||
        old->custom_cert != d->custom_cert)
        rc = touch_steps(tx, old, false, err);
    if (rc == PST_OK && old->canonical != d->canonical)
        rc = pst_touch_app_names(tx, old->app_id, err);
    if (rc == PST_OK && old->acme_cert != d->acme_cert)
        rc = pst_certificate_loose(tx, old->acme_cert, err);
    if (rc == PST_OK && old->custom_cert != d->custom_cert)
        rc = pst_certificate_loose(tx, old->custom_cert, err);
    return rc;
}

/* ---- writing ---- */

int pst_domain_insert(struct pst_tx *tx, struct pst_domain *d, struct pst_err *err)
{
    const char *dot = strchr(d->ascii, '.');

    pst_record_new(tx, d->id, &d->created_at_ms);
    if (d->updated_at_ms == 0)
        d->updated_at_ms = d->created_at_ms;
    int rc =
        pst_change(tx, &stmts[INSERT], PST_CONFLICT, err, pst_t(d->id), pst_t(d->app_id),
                   pst_t(d->user_id), pst_t(d->name), pst_t(d->ascii), pst_i(d->wildcard),
                   pst_i(d->acme_enabled), pst_i(d->canonical), pst_t(pst_phase_name(d->phase)),
                   pst_t(d->problem), pst_t(d->reason), pst_t(d->evidence), pst_t(d->record),
                   pst_i(d->next_try_at_ms), pst_i(d->due_at_ms), pst_i(d->failures),
                   pst_i(d->last_failure_at_ms), pst_i(d->acme_cert), pst_i(d->custom_cert),
                   pst_i(d->acme_seen_at_ms), pst_i(d->created_at_ms), pst_i(d->updated_at_ms),
                   pst_t(d->acme_method), pst_t(d->acme_dns_fqdn), pst_t(d->acme_dns_value),
                   pst_i(d->acme_dns_until), pst_t(d->acme_dns_error), pst_t(dot ? dot + 1 : ""));
    if (rc != PST_OK)
        return rc;
    tx->wake |= d->due_at_ms != 0;
    rc = touch_steps(tx, d, false, err);
    return rc == PST_OK && d->canonical ? pst_touch_app_names(tx, d->app_id, err) : rc;
}

int pst_domain_update(struct pst_tx *tx, const struct pst_domain *d, struct pst_err *err)
{
    struct pst_domain old;

    int rc = pst_domain_get(tx, d->id, &old, err);
    if (rc != PST_OK)
        return rc;
    rc = pst_db_exec(tx->db, &stmts[UPDATE], NULL, err, pst_i(d->acme_enabled), pst_i(d->canonical),
                     pst_t(pst_phase_name(d->phase)), pst_t(d->problem), pst_t(d->reason),
                     pst_t(d->evidence), pst_t(d->record), pst_i(d->next_try_at_ms),
                     pst_i(d->due_at_ms), pst_i(d->failures), pst_i(d->last_failure_at_ms),
                     pst_i(d->acme_cert), pst_i(d->custom_cert), pst_i(d->acme_seen_at_ms),
                     pst_i(pst_tx_now_ms(tx)), pst_t(d->acme_method), pst_t(d->acme_dns_fqdn),
                     pst_t(d->acme_dns_value), pst_i(d->acme_dns_until), pst_t(d->acme_dns_error),
                     pst_t(d->id));
    if (rc != PST_OK)
        return rc;
    tx->wake |= old.due_at_ms != d->due_at_ms || old.acme_enabled != d->acme_enabled;
    if (old.acme_enabled && !d->acme_enabled)
        rc = pst_order_end_of(tx, d->id, "ACME was switched off for the domain.", err);
    return rc == PST_OK ? tell_edges(tx, &old, d, err) : rc;
}

int pst_domain_delete(struct pst_tx *tx, const char *id, struct pst_err *err)
{
    struct pst_domain d;

    int rc = pst_domain_get(tx, id, &d, err);
    if (rc != PST_OK)
        return rc;
    rc = pst_order_end_of(tx, id, "The domain was deleted.", err);
    if (rc == PST_OK)
        rc = pst_request_delete_all(tx, id, err);
    if (rc == PST_OK)
        rc = pst_permanent_put(tx, id, 0, err);
    if (rc == PST_OK)
        rc = pst_db_exec(tx->db, &stmts[DELETE], NULL, err, pst_t(id));
    if (rc == PST_OK)
        rc = pst_name_release(tx, d.ascii, d.user_id, err);
    if (rc == PST_OK)
        rc = pst_certificate_loose(tx, d.acme_cert, err);
    if (rc == PST_OK)
        rc = pst_certificate_loose(tx, d.custom_cert, err);
    if (rc == PST_OK && d.canonical)
        rc = pst_touch_app_names(tx, d.app_id, err);
    return rc == PST_OK ? touch_steps(tx, &d, true, err) : rc;
}
