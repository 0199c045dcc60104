/* certificate_db.c - certificates, and their issuers once each. */
#include "store_internal.h"

#include <inttypes.h>

#include <postern/crypto.h>

#define HEAD_COLS                                                                                  \
    "id, num, domain_id, origin, key_type, sha256, serial, subject, issuer, not_before, "          \
    "not_after, created_at_ms"
#define HEAD_TYPES                                                                                 \
    "tittttttt"                                                                                    \
    "iii"

/* No ladder names it. */
#define LOOSE                                                                                      \
    "NOT EXISTS (SELECT 1 FROM domains WHERE acme_cert = num AND acme_cert > 0) "                  \
    "AND NOT EXISTS (SELECT 1 FROM domains WHERE custom_cert = num AND custom_cert > 0) "          \
    "AND NOT EXISTS (SELECT 1 FROM default_ladder WHERE files_cert = num OR local_cert = num) "

enum {
    INSERT,
    GET,
    LOAD,
    ISSUER_PUT,
    LINK,
    ISSUERS,
    LOOSEN,
    SWEEP_LIST,
    UNLINK,
    DELETE,
    SWEEP_ISSUERS,
};

enum { ISSUER_KEY_SIZE = 17, SWEEP_MAX = 1000 };

static const struct pst_stmt stmts[] = {
    [INSERT] = {.name = "certificate.insert",
                .sql = "INSERT INTO certificates (" HEAD_COLS ", loose_at_ms, leaf, sealed) "
                       "VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15)",
                .args = HEAD_TYPES "ibb",
                .cols = ""},
    [GET] = {.name = "certificate.get",
             .sql = "SELECT " HEAD_COLS " FROM certificates WHERE num = $1",
             .args = "i",
             .cols = HEAD_TYPES},
    [LOAD] = {.name = "certificate.load",
              .sql = "SELECT " HEAD_COLS ", leaf, sealed FROM certificates WHERE num = $1",
              .args = "i",
              .cols = HEAD_TYPES "bb"},
    [ISSUER_PUT] = {.name = "certificate.issuer-put",
                    .sql = "INSERT INTO issuers (key, der) VALUES ($1, $2) ON CONFLICT DO NOTHING",
                    .args = "tb",
                    .cols = ""},
    [LINK] = {.name = "certificate.link",
              .sql = "INSERT INTO certificate_issuers (certificate_id, pos, issuer_key) "
                     "VALUES ($1, $2, $3)",
              .args = "tit",
              .cols = ""},
    [ISSUERS] = {.name = "certificate.issuers",
                 .sql = "SELECT i.der FROM certificate_issuers c "
                        "JOIN issuers i ON i.key = c.issuer_key "
                        "WHERE c.certificate_id = $1 ORDER BY c.pos",
                 .args = "t",
                 .cols = "b"},
    [LOOSEN] = {.name = "certificate.loosen",
                .sql = "UPDATE certificates SET loose_at_ms = $1 WHERE num = $2",
                .args = "ii",
                .cols = ""},
    [SWEEP_LIST] = {.name = "certificate.sweep-list",
                    .sql = "SELECT id, num FROM certificates WHERE loose_at_ms < $1 AND " LOOSE
                           "ORDER BY loose_at_ms LIMIT $2",
                    .args = "ii",
                    .cols = "ti"},
    [UNLINK] = {.name = "certificate.unlink",
                .sql = "DELETE FROM certificate_issuers WHERE certificate_id = $1",
                .args = "t",
                .cols = ""},
    [DELETE] = {.name = "certificate.delete",
                .sql = "DELETE FROM certificates WHERE id = $1",
                .args = "t",
                .cols = ""},
    [SWEEP_ISSUERS] = {.name = "certificate.sweep-issuers",
                       .sql = "DELETE FROM issuers WHERE NOT EXISTS (SELECT 1 FROM "
                              "certificate_issuers c WHERE c.issuer_key = issuers.key) "
                              "RETURNING key",
                       .args = "",
                       .cols = "t"},
};
PST_STORE_SQL(certificate);

void pst_certificate_deinit(struct pst_certificate *c)
{
    pst_buf_deinit(&c->leaf);
    pst_buf_deinit(&c->sealed);
    for (size_t k = 0; k < c->issuers_n; k++)
        pst_buf_deinit(&c->issuers[k]);
    pst_free(c->issuers);
    c->issuers = NULL;
    c->issuers_n = 0;
}

/* ---- writing ---- */

static int put_issuer(struct pst_tx *tx, const char *certificate_id, size_t pos,
                      const struct pst_buf *der, struct pst_err *err)
{
    char key[PST_SHA256_HEX_SIZE];

    int rc = pst_sha256_hex(der->data, der->len, key, err);
    if (rc != PST_OK)
        return rc;
    key[ISSUER_KEY_SIZE - 1] = '\0';
    rc = pst_change(tx, &stmts[ISSUER_PUT], PST_DONE, err, pst_t(key), pst_b(der->data, der->len));
    if (rc == PST_OK)
        rc = pst_touch(tx, "issuer", key, false, err);
    if (rc < 0)
        return rc;
    return pst_db_exec(tx->db, &stmts[LINK], NULL, err, pst_t(certificate_id), pst_i((int64_t)pos),
                       pst_t(key));
}

static int64_t new_num(struct pst_rand *rand)
{
    uint64_t n = 0;

    while (n == 0) {
        pst_rand_fill(rand, &n, sizeof n);
        n &= INT64_MAX;
    }
    return (int64_t)n;
}

int pst_certificate_insert(struct pst_tx *tx, struct pst_certificate *c, struct pst_err *err)
{
    pst_record_new(tx, c->id, &c->created_at_ms);
    if (c->num == 0)
        c->num = new_num(tx->store->rand);
    int rc =
        pst_db_exec(tx->db, &stmts[INSERT], NULL, err, pst_t(c->id), pst_i(c->num),
                    pst_t(c->domain_id), pst_t(c->origin), pst_t(c->key_type), pst_t(c->sha256),
                    pst_t(c->serial), pst_t(c->subject), pst_t(c->issuer), pst_i(c->not_before),
                    pst_i(c->not_after), pst_i(c->created_at_ms), pst_i(pst_tx_now_ms(tx)),
                    pst_b(c->leaf.data, c->leaf.len), pst_b(c->sealed.data, c->sealed.len));
    for (size_t k = 0; rc == PST_OK && k < c->issuers_n; k++)
        rc = put_issuer(tx, c->id, k, &c->issuers[k], err);
    return rc == PST_OK ? pst_touch_num(tx, "cert", c->num, false, err) : rc;
}

int pst_certificate_loose(struct pst_tx *tx, int64_t num, struct pst_err *err)
{
    if (num == 0)
        return PST_OK;
    return pst_db_exec(tx->db, &stmts[LOOSEN], NULL, err, pst_i(pst_tx_now_ms(tx)), pst_i(num));
}

static int sweep_one(struct pst_tx *tx, const struct pst_rows *rows, struct pst_err *err)
{
    int rc = pst_db_exec(tx->db, &stmts[UNLINK], NULL, err, pst_t(pst_col_t(rows, 0)));
    if (rc == PST_OK)
        rc = pst_db_exec(tx->db, &stmts[DELETE], NULL, err, pst_t(pst_col_t(rows, 0)));
    return rc == PST_OK ? pst_touch_num(tx, "cert", pst_col_i(rows, 1), true, err) : rc;
}

static int sweep_issuers(struct pst_tx *tx, struct pst_err *err)
{
    auto_(pst_rows_free) struct pst_rows *rows = NULL;

    int rc = pst_db_query(tx->db, &stmts[SWEEP_ISSUERS], &rows, err);
    while (rc == PST_OK && pst_rows_next(rows))
        rc = pst_touch(tx, "issuer", pst_col_t(rows, 0), true, err);
    return rc;
}

int pst_certificate_sweep(struct pst_tx *tx, int64_t before_ms, int64_t *ret_n, struct pst_err *err)
{
    auto_(pst_rows_free) struct pst_rows *rows = NULL;

    int rc =
        pst_db_query(tx->db, &stmts[SWEEP_LIST], &rows, err, pst_i(before_ms), pst_i(SWEEP_MAX));
    while (rc == PST_OK && pst_rows_next(rows))
        rc = sweep_one(tx, rows, err);
    if (rc == PST_OK && pst_rows_n(rows) > 0)
        rc = sweep_issuers(tx, err);
    if (rc == PST_OK && ret_n)
        *ret_n = (int64_t)pst_rows_n(rows);
    return rc;
}

/* ---- reading ---- */

static void read_head(struct pst_reader *r, struct pst_certificate *c)
{
    pst_read_text(r, c->id);
    c->num = pst_read_i(r);
    pst_read_text(r, c->domain_id);
    pst_read_text(r, c->origin);
    pst_read_text(r, c->key_type);
    pst_read_text(r, c->sha256);
    pst_read_text(r, c->serial);
    pst_read_text(r, c->subject);
    pst_read_text(r, c->issuer);
    c->not_before = pst_read_i(r);
    c->not_after = pst_read_i(r);
    c->created_at_ms = pst_read_i(r);
}

int pst_certificate_get(struct pst_tx *tx, int64_t num, struct pst_certificate *ret,
                        struct pst_err *err)
{
    auto_(pst_rows_free) struct pst_rows *rows = NULL;
    struct pst_certificate c = {0};

    int rc = pst_one(tx, &stmts[GET], &rows, err, pst_i(num));
    if (rc != PST_OK)
        return rc;
    struct pst_reader r = {.rows = rows, .err = err};
    read_head(&r, &c);
    rc = pst_reader_end(&r, "a certificate");
    if (rc == PST_OK)
        *ret = c;
    return rc;
}

static int load_issuers(struct pst_tx *tx, struct pst_certificate *c, struct pst_err *err)
{
    auto_(pst_rows_free) struct pst_rows *rows = NULL;

    int rc = pst_db_query(tx->db, &stmts[ISSUERS], &rows, err, pst_t(c->id));
    if (rc != PST_OK)
        return rc;
    c->issuers = pst_zalloc(pst_rows_n(rows), sizeof *c->issuers);
    if (!c->issuers)
        return pst_fail_nomem(err, "a certificate");
    while (rc == PST_OK && pst_rows_next(rows)) {
        struct pst_reader r = {.rows = rows, .err = err};
        pst_read_b(&r, &c->issuers[c->issuers_n++]);
        rc = pst_reader_end(&r, "an issuer");
    }
    return rc;
}

int pst_certificate_load(struct pst_tx *tx, int64_t num, struct pst_certificate *ret,
                         struct pst_err *err)
{
    auto_(pst_rows_free) struct pst_rows *rows = NULL;
    struct pst_certificate c = {0};

    int rc = pst_one(tx, &stmts[LOAD], &rows, err, pst_i(num));
    if (rc != PST_OK)
        return rc;
    struct pst_reader r = {.rows = rows, .err = err};
    read_head(&r, &c);
    pst_read_b(&r, &c.leaf);
    pst_read_b(&r, &c.sealed);
    rc = pst_reader_end(&r, "a certificate");
    if (rc == PST_OK)
        rc = load_issuers(tx, &c, err);
    if (rc == PST_OK)
        *ret = c;
    else
        pst_certificate_deinit(&c);
    return rc;
}
