/* dns_record_db.c - TXT values at the providers of tenants, and variables that are to be tried. */
#include "store_internal.h"

#include <stdio.h>
#include <string.h>

#include <postern/dns_records.h>
#include <postern/json.h>

#define COLS                                                                                       \
    "id, order_id, domain_id, app_id, user_id, provider, name, target, value, removing, settled, " \
    "created_at_ms, run_at_ms, tries, problem, lease_token, sealed"
#define TYPES "tttttttttiiiiitib"

/* The same value of another row that is still needed stands at the same place: it waits. */
#define LOOSE                                                                                      \
    "(r.removing = 1 OR NOT EXISTS (SELECT 1 FROM orders o WHERE o.id = r.order_id "               \
    "AND o.ended_at_ms = 0)) AND NOT EXISTS (SELECT 1 FROM dns_records w, orders p "               \
    "WHERE w.target = r.target AND w.value = r.value AND w.removing = 0 AND w.id <> r.id "         \
    "AND p.id = w.order_id AND p.ended_at_ms = 0) "

#define CLAIM(now, skip)                                                                           \
    "UPDATE dns_records SET lease_token = lease_token + 1, lease_owner = $1, "                     \
    "lease_until_ms = " now " + $2 WHERE id = (SELECT r.id FROM dns_records r WHERE "              \
    "r.run_at_ms <= $3 AND r.lease_until_ms <= " now " AND " LOOSE                                 \
    "AND " PST_SQL_TENANT_TURN("r", now) "ORDER BY r.run_at_ms, r.id LIMIT 1" skip                 \
                                         ") RETURNING " COLS

#define NEXT_DUE(now)                                                                              \
    "SELECT coalesce(min(r.run_at_ms), 0) FROM dns_records r WHERE r.lease_until_ms <= " now       \
    " AND " LOOSE

enum {
    INSERT,
    OF_ORDER,
    DROP,
    CLAIM_ONE,
    SAVE,
    DELETE,
    NEXT,
    CHECK_DUE,
    CHECK_CLAIM,
    CHECK_DONE,
    CHECK_NEXT,
};

static const struct pst_stmt stmts[] = {
    [INSERT] = {.name = "dns-record.insert",
                .sql = "INSERT INTO dns_records (" COLS ", lease_owner, lease_until_ms) VALUES "
                       "($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, "
                       "$17, '', 0)",
                .args = TYPES,
                .cols = ""},
    [OF_ORDER] = {.name = "dns-record.of-order",
                  .sql = "SELECT " COLS " FROM dns_records WHERE order_id = $1 AND removing = 0 "
                         "ORDER BY created_at_ms DESC, id LIMIT 1",
                  .args = "t",
                  .cols = TYPES},
    [DROP] = {.name = "dns-record.drop",
              .sql = "UPDATE dns_records SET removing = 1, settled = 1, run_at_ms = $1 "
                     "WHERE order_id = $2 AND removing = 0",
              .args = "it",
              .cols = ""},
    [CLAIM_ONE] = {.name = "dns-record.claim",
                   .sql = CLAIM(PST_SQL_NOW_MS, ""),
                   .sql_pg = CLAIM(PST_SQL_NOW_MS_PG, " FOR UPDATE OF r SKIP LOCKED"),
                   .args = "tii",
                   .cols = TYPES},
    [SAVE] = {.name = "dns-record.save",
              .sql = "UPDATE dns_records SET removing = 1, settled = $1, run_at_ms = $2, "
                     "tries = $3, problem = $4, lease_owner = '', lease_until_ms = 0 "
                     "WHERE id = $5 AND lease_token = $6",
              .args = "iiitti",
              .cols = ""},
    [DELETE] = {.name = "dns-record.delete",
                .sql = "DELETE FROM dns_records WHERE id = $1 AND lease_token = $2",
                .args = "ti",
                .cols = ""},
    [NEXT] = {.name = "dns-record.next-due",
              .sql = NEXT_DUE(PST_SQL_NOW_MS),
              .sql_pg = NEXT_DUE(PST_SQL_NOW_MS_PG),
              .args = "",
              .cols = "i"},
    [CHECK_DUE] = {.name = "dns-check.due",
                   .sql = "UPDATE domains SET dns_check_at_ms = $1 WHERE app_id = $2 "
                          "AND wildcard = 1 AND acme_enabled = 1",
                   .args = "it",
                   .cols = ""},
    [CHECK_CLAIM] = {.name = "dns-check.claim",
                     .sql = "UPDATE domains SET dns_check_at_ms = $1 WHERE id = (SELECT id FROM "
                            "domains WHERE dns_check_at_ms > 0 AND dns_check_at_ms <= $2 "
                            "ORDER BY dns_check_at_ms, id LIMIT 1) AND dns_check_at_ms <= $2 "
                            "RETURNING id",
                     .args = "ii",
                     .cols = "t"},
    [CHECK_DONE] = {.name = "dns-check.done",
                    .sql = "UPDATE domains SET dns_check_at_ms = $1 WHERE id = $2 "
                           "AND dns_check_at_ms = $3",
                    .args = "iti",
                    .cols = ""},
    [CHECK_NEXT] = {.name = "dns-check.next-due",
                    .sql = "SELECT coalesce(min(dns_check_at_ms), 0) FROM domains "
                           "WHERE dns_check_at_ms > 0",
                    .args = "",
                    .cols = "i"},
};
PST_STORE_SQL(dns_record);

void pst_dns_record_deinit(struct pst_dns_record_row *r)
{
    pst_buf_deinit(&r->sealed);
}

static int read_record(const struct pst_rows *rows, struct pst_dns_record_row *ret,
                       struct pst_err *err)
{
    struct pst_reader r = {.rows = rows, .err = err};
    struct pst_dns_record_row d = {0};

    pst_read_text(&r, d.id);
    pst_read_text(&r, d.order_id);
    pst_read_text(&r, d.domain_id);
    pst_read_text(&r, d.app_id);
    pst_read_text(&r, d.user_id);
    pst_read_text(&r, d.provider);
    pst_read_text(&r, d.name);
    pst_read_text(&r, d.target);
    pst_read_text(&r, d.value);
    d.removing = pst_read_flag(&r);
    d.settled = pst_read_flag(&r);
    d.created_at_ms = pst_read_i(&r);
    d.run_at_ms = pst_read_i(&r);
    d.tries = pst_read_i(&r);
    pst_read_text(&r, d.problem);
    d.lease_token = pst_read_i(&r);
    pst_read_b(&r, &d.sealed);
    int rc = pst_reader_end(&r, "a DNS record");
    if (rc == PST_OK)
        *ret = d;
    else
        pst_dns_record_deinit(&d);
    return rc;
}

int pst_dns_record_insert(struct pst_tx *tx, struct pst_dns_record_row *r, struct pst_err *err)
{
    pst_record_new(tx, r->id, &r->created_at_ms);
    return pst_db_exec(tx->db, &stmts[INSERT], NULL, err, pst_t(r->id), pst_t(r->order_id),
                       pst_t(r->domain_id), pst_t(r->app_id), pst_t(r->user_id), pst_t(r->provider),
                       pst_t(r->name), pst_t(r->target), pst_t(r->value), pst_i(r->removing),
                       pst_i(r->settled), pst_i(r->created_at_ms), pst_i(r->run_at_ms),
                       pst_i(r->tries), pst_t(r->problem), pst_i(0),
                       pst_b(r->sealed.data, r->sealed.len));
}

int pst_dns_record_of(struct pst_tx *tx, const char *order_id, struct pst_dns_record_row *ret,
                      struct pst_err *err)
{
    auto_(pst_rows_free) struct pst_rows *rows = NULL;

    int rc = pst_one(tx, &stmts[OF_ORDER], &rows, err, pst_t(order_id));
    return rc == PST_OK ? read_record(rows, ret, err) : rc;
}

int pst_dns_record_drop(struct pst_tx *tx, const char *order_id, int64_t now_ms,
                        struct pst_err *err)
{
    int rc = pst_change(tx, &stmts[DROP], PST_DONE, err, pst_i(now_ms), pst_t(order_id));
    tx->wake |= rc == PST_OK;
    return rc == PST_DONE ? PST_OK : rc;
}

int pst_dns_record_claim(struct pst_tx *tx, int64_t now_ms, int64_t lease_ms,
                         struct pst_dns_record_row *ret, struct pst_err *err)
{
    auto_(pst_rows_free) struct pst_rows *rows = NULL;

    int rc = pst_one(tx, &stmts[CLAIM_ONE], &rows, err, pst_t(tx->store->node), pst_i(lease_ms),
                     pst_i(now_ms));
    return rc == PST_OK ? read_record(rows, ret, err) : rc;
}

int pst_dns_record_save(struct pst_tx *tx, const struct pst_dns_record_row *r, struct pst_err *err)
{
    int rc = pst_change(tx, &stmts[SAVE], PST_CONFLICT, err, pst_i(r->settled), pst_i(r->run_at_ms),
                        pst_i(r->tries), pst_t(r->problem), pst_t(r->id), pst_i(r->lease_token));
    tx->wake |= rc == PST_OK;
    return rc;
}

int pst_dns_record_delete(struct pst_tx *tx, const struct pst_dns_record_row *r,
                          struct pst_err *err)
{
    return pst_change(tx, &stmts[DELETE], PST_CONFLICT, err, pst_t(r->id), pst_i(r->lease_token));
}

int pst_dns_record_next_due(struct pst_tx *tx, int64_t *ret_at_ms, struct pst_err *err)
{
    return pst_number(tx, &stmts[NEXT], ret_at_ms, err);
}

/* ---- variables to be tried ---- */

int pst_dns_check_due(struct pst_tx *tx, const char *app_id, int64_t now_ms, struct pst_err *err)
{
    int rc = pst_change(tx, &stmts[CHECK_DUE], PST_DONE, err, pst_i(now_ms), pst_t(app_id));
    tx->wake |= rc == PST_OK;
    return rc == PST_DONE ? PST_OK : rc;
}

int pst_dns_check_claim(struct pst_tx *tx, int64_t now_ms, int64_t lease_ms,
                        char ret_domain_id[PST_ID_SIZE], int64_t *ret_stamp, struct pst_err *err)
{
    auto_(pst_rows_free) struct pst_rows *rows = NULL;

    int rc = pst_one(tx, &stmts[CHECK_CLAIM], &rows, err, pst_i(now_ms + lease_ms), pst_i(now_ms));
    if (rc == PST_OK)
        rc = pst_col_copy(rows, 0, ret_domain_id, PST_ID_SIZE, err);
    *ret_stamp = now_ms + lease_ms;
    return rc;
}

int pst_dns_check_done(struct pst_tx *tx, const char *domain_id, int64_t stamp, int64_t at_ms,
                       struct pst_err *err)
{
    int rc = pst_change(tx, &stmts[CHECK_DONE], PST_DONE, err, pst_i(at_ms), pst_t(domain_id),
                        pst_i(stamp));
    return rc == PST_DONE ? PST_OK : rc;
}

int pst_dns_check_next_due(struct pst_tx *tx, int64_t *ret_at_ms, struct pst_err *err)
{
    return pst_number(tx, &stmts[CHECK_NEXT], ret_at_ms, err);
}

/* ---- what a CA offered ---- */

enum { OFFER_MAX = 16 * 1024, KEY_SIZE = PST_ID_SIZE + 16 };

static void offer_key(const char *account_id, char to[KEY_SIZE])
{
    snprintf(to, KEY_SIZE, "dns-persist:%s", account_id);
}

static bool copy_member(const struct pst_json *j, const char *name, char *to, size_t size)
{
    const char *text = pst_json_get_text(j, name);
    return text && pst_str_copy(to, size, text);
}

static bool read_offer(const struct pst_json *j, struct pst_persist_offer *o)
{
    const struct pst_json *issuers = pst_json_get(j, "issuers");

    o->issuers_n = pst_json_len(issuers);
    if (o->issuers_n > PST_PERSIST_ISSUERS_MAX || !pst_json_get_bool(j, "offered", &o->offered) ||
        !pst_json_get_bool(j, "hashed", &o->hashed) ||
        !copy_member(j, "account_uri", o->account_uri, sizeof o->account_uri) ||
        !copy_member(j, "hash_prefix", o->hash_prefix, sizeof o->hash_prefix))
        return false;
    for (size_t i = 0; i < o->issuers_n; i++) {
        const char *issuer = pst_json_text(pst_json_at(issuers, i));
        if (!issuer || !pst_str_copy(o->issuers[i], sizeof o->issuers[i], issuer))
            return false;
    }
    return true;
}

int pst_persist_offer_get(struct pst_tx *tx, const char *account_id, struct pst_persist_offer *ret,
                          struct pst_err *err)
{
    auto_buf struct pst_buf text = PST_BUF(OFFER_MAX);
    auto_(pst_json_free) struct pst_json *j = NULL;
    char key[KEY_SIZE];

    offer_key(account_id, key);
    int rc = pst_meta_get(tx, key, &text, err);
    if (rc == PST_OK)
        rc = pst_json_parse(&j, pst_buf_cstr(&text), text.len, err);
    if (rc != PST_OK)
        return rc;
    *ret = (struct pst_persist_offer){0};
    return read_offer(j, ret) ? PST_OK : pst_fail(err, PST_EINTERNAL, "%s is damaged", key);
}

static bool write_offer(const struct pst_persist_offer *o, struct pst_json *j)
{
    struct pst_json *issuers = pst_json_array();

    for (size_t i = 0; i < o->issuers_n; i++) {
        if (!pst_json_push_text(issuers, o->issuers[i])) {
            pst_json_free(issuers);
            return false;
        }
    }
    return pst_json_set(j, "issuers", issuers) && pst_json_set_bool(j, "offered", o->offered) &&
           pst_json_set_bool(j, "hashed", o->hashed) &&
           pst_json_set_text(j, "account_uri", o->account_uri) &&
           pst_json_set_text(j, "hash_prefix", o->hash_prefix);
}

int pst_persist_offer_put(struct pst_tx *tx, const char *account_id,
                          const struct pst_persist_offer *o, struct pst_err *err)
{
    auto_(pst_json_free) struct pst_json *j = pst_json_object();
    auto_buf struct pst_buf text = PST_BUF(OFFER_MAX);
    char key[KEY_SIZE];

    if (!write_offer(o, j))
        return pst_fail_nomem(err, "what a CA offered");
    offer_key(account_id, key);
    int rc = pst_json_write(j, &text, err);
    return rc == PST_OK ? pst_meta_set(tx, key, pst_buf_cstr(&text), err) : rc;
}
