/* bundle_db.c - bundles of key and certificates, kept for domains added later. */
#include "store_internal.h"

#include <stdio.h>
#include <string.h>

#include <postern/bundles.h>
#include <postern/crypto_x509.h>
#include <postern/name.h>

/* In the order of read_head(), which takes the number of a certificate behind them. */
#define HEAD                                                                                       \
    "b.id, b.user_id, b.key_type, b.key_bits, b.sha256, b.serial, b.subject, b.issuer, "           \
    "b.not_before, b.not_after, b.created_at_ms"
#define HEAD_TYPES "tttittttiii"
/* A certificate that no ladder names may be swept any day. */
#define IN_USE                                                                                     \
    "CASE WHEN EXISTS (SELECT 1 FROM domains d WHERE d.custom_cert = b.cert_num "                  \
    "AND d.custom_cert > 0) THEN b.cert_num ELSE 0 END"
#define DOMAINS_N                                                                                  \
    "(SELECT count(*) FROM domains d WHERE d.custom_cert = b.cert_num AND d.custom_cert > 0)"

enum {
    INSERT,
    NAME_INSERT,
    LINK,
    UNLINK,
    BY_LEAF,
    USED,
    BEST,
    LOAD,
    NAMES,
    ISSUERS,
    EACH,
    COUNT,
    IDS_OVER,
    IDS_OF,
    IDS_ONE,
    NAMES_DELETE,
    DELETE
};

enum { SWEEP_MAX = 1000, NAMES_LEN_MAX = PST_NAME_SIZE * PST_CERT_NAMES_MAX };

static const struct pst_stmt stmts[] = {
    [INSERT] = {.name = "bundle.insert",
                .sql = "INSERT INTO bundles (id, user_id, key_type, key_bits, sha256, serial, "
                       "subject, issuer, not_before, not_after, created_at_ms, cert_num, leaf, "
                       "sealed) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, 0, $12, $13) "
                       "ON CONFLICT (user_id, sha256) DO NOTHING",
                .args = HEAD_TYPES "bb",
                .cols = ""},
    [NAME_INSERT] = {.name = "bundle.name-insert",
                     .sql = "INSERT INTO bundle_names (bundle_id, pos, user_id, ascii) "
                            "VALUES ($1, $2, $3, $4)",
                     .args = "titt",
                     .cols = ""},
    [LINK] = {.name = "bundle.link",
              .sql = "INSERT INTO bundle_issuers (bundle_id, pos, issuer_key) VALUES ($1, $2, $3)",
              .args = "tit",
              .cols = ""},
    [UNLINK] = {.name = "bundle.unlink",
                .sql = "DELETE FROM bundle_issuers WHERE bundle_id = $1",
                .args = "t",
                .cols = ""},
    [BY_LEAF] = {.name = "bundle.by-leaf",
                 .sql = "SELECT id FROM bundles WHERE user_id = $1 AND sha256 = $2",
                 .args = "tt",
                 .cols = "t"},
    [USED] = {.name = "bundle.used",
              .sql = "UPDATE bundles SET cert_num = $1 WHERE id = $2",
              .args = "it",
              .cols = ""},
    [BEST] = {.name = "bundle.best",
              .sql = "SELECT " HEAD ", " IN_USE " FROM bundle_names n "
                     "JOIN bundles b ON b.id = n.bundle_id WHERE n.user_id = $1 "
                     "AND n.ascii IN ($2, $3) AND b.not_before <= $4 AND b.not_after >= $4 "
                     "ORDER BY CASE WHEN n.ascii = $2 THEN 0 ELSE 1 END, b.not_after DESC, "
                     "b.created_at_ms DESC, b.id LIMIT 1",
              .args = "ttti",
              .cols = HEAD_TYPES "i"},
    [LOAD] = {.name = "bundle.load",
              .sql = "SELECT " HEAD ", " IN_USE ", b.leaf, b.sealed FROM bundles b "
                     "WHERE b.user_id = $1 AND b.id = $2",
              .args = "tt",
              .cols = HEAD_TYPES "ibb"},
    [NAMES] = {.name = "bundle.names",
               .sql = "SELECT ascii FROM bundle_names WHERE bundle_id = $1 ORDER BY pos",
               .args = "t",
               .cols = "t"},
    [ISSUERS] = {.name = "bundle.issuers",
                 .sql = "SELECT i.der FROM bundle_issuers b JOIN issuers i ON i.key = b.issuer_key "
                        "WHERE b.bundle_id = $1 ORDER BY b.pos",
                 .args = "t",
                 .cols = "b"},
    [EACH] = {.name = "bundle.each",
              .sql = "SELECT " HEAD ", " IN_USE ", " DOMAINS_N " FROM bundles b "
                     "WHERE b.user_id = $1 ORDER BY b.created_at_ms DESC, b.id",
              .args = "t",
              .cols = HEAD_TYPES "ii"},
    [COUNT] = {.name = "bundle.count",
               .sql = "SELECT count(*) FROM bundles WHERE user_id = $1",
               .args = "t",
               .cols = "i"},
    [IDS_OVER] = {.name = "bundle.ids-over",
                  .sql = "SELECT id FROM bundles WHERE not_after < $1 ORDER BY not_after LIMIT $2",
                  .args = "ii",
                  .cols = "t"},
    [IDS_OF] = {.name = "bundle.ids-of",
                .sql = "SELECT id FROM bundles WHERE user_id = $1",
                .args = "t",
                .cols = "t"},
    [IDS_ONE] = {.name = "bundle.ids-one",
                 .sql = "SELECT id FROM bundles WHERE user_id = $1 AND id = $2",
                 .args = "tt",
                 .cols = "t"},
    [NAMES_DELETE] = {.name = "bundle.names-delete",
                      .sql = "DELETE FROM bundle_names WHERE bundle_id = $1",
                      .args = "t",
                      .cols = ""},
    [DELETE] = {.name = "bundle.delete",
                .sql = "DELETE FROM bundles WHERE id = $1",
                .args = "t",
                .cols = ""},
};
PST_STORE_SQL(bundle);

void pst_bundle_deinit(struct pst_bundle *b)
{
    pst_certificate_deinit(&b->held);
    pst_buf_deinit(&b->names);
}

/* ---- writing ---- */

static int put_names(struct pst_tx *tx, const struct pst_bundle *b, struct pst_err *err)
{
    const char *at = b->names.len ? b->names.data : "";
    int rc = PST_OK;

    for (int64_t pos = 0; rc == PST_OK && *at; pos++) {
        char name[PST_NAME_SIZE];
        size_t len = strcspn(at, " ");
        snprintf(name, sizeof name, "%.*s", (int)len, at);
        rc = pst_db_exec(tx->db, &stmts[NAME_INSERT], NULL, err, pst_t(b->held.id), pst_i(pos),
                         pst_t(b->user_id), pst_t(name));
        at += len + (at[len] == ' ');
    }
    return rc;
}

static int put_issuers(struct pst_tx *tx, const struct pst_bundle *b, const char *id,
                       struct pst_err *err)
{
    char key[PST_ISSUER_KEY_SIZE];
    int rc = PST_OK;

    for (size_t k = 0; rc == PST_OK && k < b->held.issuers_n; k++) {
        rc = pst_issuer_put(tx, &b->held.issuers[k], key, err);
        if (rc == PST_OK)
            rc = pst_db_exec(tx->db, &stmts[LINK], NULL, err, pst_t(id), pst_i((int64_t)k),
                             pst_t(key));
    }
    return rc;
}

int pst_bundle_insert(struct pst_tx *tx, struct pst_bundle *b, struct pst_err *err)
{
    struct pst_certificate *c = &b->held;

    pst_record_new(tx, c->id, &c->created_at_ms);
    int rc = pst_change(tx, &stmts[INSERT], PST_CONFLICT, err, pst_t(c->id), pst_t(b->user_id),
                        pst_t(c->key_type), pst_i(c->key_bits), pst_t(c->sha256), pst_t(c->serial),
                        pst_t(c->subject), pst_t(c->issuer), pst_i(c->not_before),
                        pst_i(c->not_after), pst_i(c->created_at_ms),
                        pst_b(c->leaf.data, c->leaf.len), pst_b(c->sealed.data, c->sealed.len));
    if (rc == PST_OK)
        rc = put_names(tx, b, err);
    return rc == PST_OK ? put_issuers(tx, b, c->id, err) : rc;
}

int pst_bundle_again(struct pst_tx *tx, const struct pst_bundle *b, char ret_id[PST_ID_SIZE],
                     struct pst_err *err)
{
    auto_(pst_rows_free) struct pst_rows *rows = NULL;

    int rc = pst_one(tx, &stmts[BY_LEAF], &rows, err, pst_t(b->user_id), pst_t(b->held.sha256));
    if (rc != PST_OK)
        return rc;
    struct pst_reader r = {.rows = rows, .err = err};
    pst_read_t(&r, ret_id, PST_ID_SIZE);
    rc = pst_reader_end(&r, "a bundle");
    if (rc == PST_OK)
        rc = pst_db_exec(tx->db, &stmts[UNLINK], NULL, err, pst_t(ret_id));
    return rc == PST_OK ? put_issuers(tx, b, ret_id, err) : rc;
}

int pst_bundle_used(struct pst_tx *tx, const char *id, int64_t num, struct pst_err *err)
{
    return pst_db_exec(tx->db, &stmts[USED], NULL, err, pst_i(num), pst_t(id));
}

/* ---- reading ---- */

static void read_head(struct pst_reader *r, struct pst_bundle *b)
{
    struct pst_certificate *c = &b->held;

    pst_read_text(r, c->id);
    pst_read_text(r, b->user_id);
    pst_read_text(r, c->key_type);
    c->key_bits = pst_read_i(r);
    pst_read_text(r, c->sha256);
    pst_read_text(r, c->serial);
    pst_read_text(r, c->subject);
    pst_read_text(r, c->issuer);
    c->not_before = pst_read_i(r);
    c->not_after = pst_read_i(r);
    c->created_at_ms = pst_read_i(r);
    c->num = pst_read_i(r);
}

static int load_names(struct pst_tx *tx, struct pst_bundle *b, struct pst_err *err)
{
    auto_(pst_rows_free) struct pst_rows *rows = NULL;

    b->names = (struct pst_buf)PST_BUF(NAMES_LEN_MAX);
    int rc = pst_db_query(tx->db, &stmts[NAMES], &rows, err, pst_t(b->held.id));
    while (rc == PST_OK && pst_rows_next(rows))
        pst_buf_printf(&b->names, "%s%s", b->names.len ? " " : "", pst_col_t(rows, 0));
    return rc == PST_OK ? pst_buf_check(&b->names, "names of a bundle", err) : rc;
}

int pst_bundle_best(struct pst_tx *tx, const char *user_id, const char *ascii, int64_t now,
                    struct pst_bundle *ret, struct pst_err *err)
{
    auto_(pst_rows_free) struct pst_rows *rows = NULL;
    const char *parent = pst_name_is_wildcard(ascii) ? NULL : pst_name_parent(ascii);
    char wildcard[PST_NAME_SIZE + 2];
    struct pst_bundle b = {0};

    snprintf(wildcard, sizeof wildcard, "*.%s", parent ? parent : "");
    int rc = pst_one(tx, &stmts[BEST], &rows, err, pst_t(user_id), pst_t(ascii),
                     pst_t(parent ? wildcard : ascii), pst_i(now));
    if (rc != PST_OK)
        return rc;
    struct pst_reader r = {.rows = rows, .err = err};
    read_head(&r, &b);
    rc = pst_reader_end(&r, "a bundle");
    if (rc == PST_OK)
        *ret = b;
    return rc;
}

int pst_bundle_load(struct pst_tx *tx, const char *user_id, const char *id, struct pst_bundle *ret,
                    struct pst_err *err)
{
    auto_(pst_rows_free) struct pst_rows *rows = NULL;
    struct pst_bundle b = {0};

    int rc = pst_one(tx, &stmts[LOAD], &rows, err, pst_t(user_id), pst_t(id));
    if (rc != PST_OK)
        return rc;
    struct pst_reader r = {.rows = rows, .err = err};
    read_head(&r, &b);
    pst_read_b(&r, &b.held.leaf);
    pst_read_b(&r, &b.held.sealed);
    rc = pst_reader_end(&r, "a bundle");
    if (rc == PST_OK)
        rc = load_names(tx, &b, err);
    if (rc == PST_OK)
        rc = pst_issuers_load(tx, &stmts[ISSUERS], b.held.id, &b.held, err);
    if (rc == PST_OK)
        *ret = b;
    else
        pst_bundle_deinit(&b);
    return rc;
}

int pst_bundle_each(struct pst_tx *tx, const char *user_id,
                    int (*fn)(const struct pst_bundle *b, void *arg), void *arg,
                    struct pst_err *err)
{
    auto_(pst_rows_free) struct pst_rows *rows = NULL;

    int rc = pst_db_query(tx->db, &stmts[EACH], &rows, err, pst_t(user_id));
    while (rc == PST_OK && pst_rows_next(rows)) {
        struct pst_reader r = {.rows = rows, .err = err};
        struct pst_bundle b = {0};
        read_head(&r, &b);
        b.domains_n = pst_read_i(&r);
        rc = pst_reader_end(&r, "a bundle");
        if (rc == PST_OK)
            rc = load_names(tx, &b, err);
        if (rc == PST_OK)
            rc = fn(&b, arg);
        pst_bundle_deinit(&b);
    }
    return rc;
}

int pst_bundle_count(struct pst_tx *tx, const char *user_id, int64_t *ret_n, struct pst_err *err)
{
    return pst_number(tx, &stmts[COUNT], ret_n, err, pst_t(user_id));
}

/* ---- removing ---- */

static int remove_one(struct pst_tx *tx, const char *id, struct pst_err *err)
{
    static const int steps[] = {NAMES_DELETE, UNLINK, DELETE};
    int rc = PST_OK;

    for (size_t i = 0; rc == PST_OK && i < PST_ARRAY_N(steps); i++)
        rc = pst_db_exec(tx->db, &stmts[steps[i]], NULL, err, pst_t(id));
    return rc;
}

static int remove_all(struct pst_tx *tx, struct pst_rows *rows, struct pst_err *err)
{
    int rc = PST_OK;

    while (rc == PST_OK && pst_rows_next(rows))
        rc = remove_one(tx, pst_col_t(rows, 0), err);
    return rc == PST_OK && pst_rows_n(rows) > 0 ? pst_issuer_sweep(tx, err) : rc;
}

int pst_bundle_delete(struct pst_tx *tx, const char *user_id, const char *id, struct pst_err *err)
{
    auto_(pst_rows_free) struct pst_rows *rows = NULL;

    int rc = pst_db_query(tx->db, &stmts[IDS_ONE], &rows, err, pst_t(user_id), pst_t(id));
    if (rc == PST_OK && pst_rows_n(rows) == 0)
        return PST_NOTFOUND;
    return rc == PST_OK ? remove_all(tx, rows, err) : rc;
}

int pst_bundle_delete_of(struct pst_tx *tx, const char *user_id, struct pst_err *err)
{
    auto_(pst_rows_free) struct pst_rows *rows = NULL;

    int rc = pst_db_query(tx->db, &stmts[IDS_OF], &rows, err, pst_t(user_id));
    return rc == PST_OK ? remove_all(tx, rows, err) : rc;
}

int pst_bundle_sweep(struct pst_tx *tx, int64_t now, int64_t *ret_n, struct pst_err *err)
{
    auto_(pst_rows_free) struct pst_rows *rows = NULL;

    int rc = pst_db_query(tx->db, &stmts[IDS_OVER], &rows, err, pst_i(now), pst_i(SWEEP_MAX));
    if (rc == PST_OK)
        rc = remove_all(tx, rows, err);
    if (rc == PST_OK)
        *ret_n = (int64_t)pst_rows_n(rows);
    return rc;
}
