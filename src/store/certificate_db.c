/* certificate_db.c - certificates, and their issuers once each. */
#include "store_internal.h"

#include <inttypes.h>
#include <string.h>

#include <postern/crypto.h>
#include <postern/crypto_read.h>

#define HEAD_COLS                                                                                  \
    "id, num, domain_id, origin, key_type, sha256, serial, subject, issuer, not_before, "          \
    "not_after, created_at_ms, key_bits"
#define HEAD_TYPES                                                                                 \
    "tittttttt"                                                                                    \
    "iiii"

/* The warning that is due at $1, whatever was given. */
#define DUE_WARNING                                                                                \
    "CAST(CASE WHEN c.not_after <= $1 THEN 3 WHEN c.not_after <= $1 + 604800 THEN 2 ELSE 1 END "   \
    "AS bigint)"

/* No ladder names it. */
#define LOOSE                                                                                      \
    "NOT EXISTS (SELECT 1 FROM domains WHERE acme_cert = num AND acme_cert > 0) "                  \
    "AND NOT EXISTS (SELECT 1 FROM domains WHERE custom_cert = num AND custom_cert > 0) "          \
    "AND NOT EXISTS (SELECT 1 FROM default_ladder WHERE files_cert = num OR local_cert = num) "

/* The wildcard domains that cover names of app $1. */
#define COVERING                                                                                   \
    "wildcard = 1 AND ascii IN (SELECT '*.' || d.parent FROM domains d WHERE d.app_id = $1 "       \
    "AND d.wildcard = 0)"

enum {
    INSERT,
    GET,
    OF_APP,
    LOAD,
    ISSUER_PUT,
    LINK,
    ISSUERS,
    LOOSEN,
    SWEEP_LIST,
    UNLINK,
    DELETE,
    SWEEP_ISSUERS,
    KNOWN,
    ENDING,
    WARNED,
};

enum { SWEEP_MAX = 1000, DER_MAX = 64 * 1024 };

static const struct pst_stmt stmts[] = {
    [INSERT] = {.name = "certificate.insert",
                .sql = "INSERT INTO certificates (" HEAD_COLS ", loose_at_ms, leaf, sealed) "
                       "VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, "
                       "$16)",
                .args = HEAD_TYPES "ibb",
                .cols = ""},
    [GET] = {.name = "certificate.get",
             .sql = "SELECT " HEAD_COLS " FROM certificates WHERE num = $1",
             .args = "i",
             .cols = HEAD_TYPES},
    [OF_APP] = {.name = "certificate.of-app",
                .sql = "SELECT " HEAD_COLS " FROM certificates WHERE num IN ("
                       "SELECT custom_cert FROM domains WHERE app_id = $1 UNION "
                       "SELECT acme_cert FROM domains WHERE app_id = $1 UNION "
                       "SELECT custom_cert FROM domains WHERE " COVERING " UNION "
                       "SELECT acme_cert FROM domains WHERE " COVERING " UNION "
                       "SELECT files_cert FROM default_ladder UNION "
                       "SELECT local_cert FROM default_ladder UNION "
                       "SELECT p.acme_cert FROM default_ladder l "
                       "JOIN domains p ON p.id = l.domain_id) ORDER BY num",
                .args = "t",
                .cols = HEAD_TYPES},
    [LOAD] = {.name = "certificate.load",
              .sql = "SELECT " HEAD_COLS ", leaf, sealed FROM certificates WHERE num = $1",
              .args = "i",
              .cols = HEAD_TYPES "bb"},
    [ISSUER_PUT] = {.name = "certificate.issuer-put",
                    .sql = "INSERT INTO issuers (key, der, subject_sha256) VALUES ($1, $2, $3) "
                           "ON CONFLICT (key) DO UPDATE SET "
                           "subject_sha256 = excluded.subject_sha256 "
                           "WHERE issuers.subject_sha256 <> excluded.subject_sha256",
                    .args = "tbt",
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
                              "AND NOT EXISTS (SELECT 1 FROM bundle_issuers b "
                              "WHERE b.issuer_key = issuers.key) RETURNING key",
                       .args = "",
                       .cols = "t"},
    [KNOWN] = {.name = "certificate.known",
               .sql = "SELECT der FROM issuers WHERE subject_sha256 = $1 ORDER BY key LIMIT 8",
               .args = "t",
               .cols = "b"},
    [ENDING] = {.name = "certificate.ending",
                .sql = "SELECT d.app_id, d.id, d.name, c.num, c.not_after, CAST(" DUE_WARNING
                       " AS bigint)"
                       " FROM certificates c JOIN domains d ON d.custom_cert = c.num "
                       "WHERE c.origin = 'custom' AND c.warned < 3 "
                       "AND c.not_after <= $1 + 2592000 AND c.warned < " DUE_WARNING
                       " ORDER BY c.not_after LIMIT $2",
                .args = "ii",
                .cols = "tttiii"},
    [WARNED] = {.name = "certificate.warned",
                .sql = "UPDATE certificates SET warned = $1 WHERE num = $2",
                .args = "ii",
                .cols = ""},
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

static int copy_der(const struct pst_der *from, struct pst_buf *to, struct pst_err *err)
{
    *to = (struct pst_buf)PST_BUF(DER_MAX);
    pst_buf_add(to, from->data, from->len);
    return pst_buf_check(to, "a certificate", err);
}

int pst_certificate_fill(struct pst_certificate *c, const char *origin,
                         const struct pst_chain *chain, struct pst_err *err)
{
    const struct pst_cert_info *i = &chain->info;

    c->not_before = i->not_before;
    c->not_after = i->not_after;
    c->key_bits = i->key_bits;
    pst_str_copy(c->origin, sizeof c->origin, origin);
    pst_str_copy(c->key_type, sizeof c->key_type, pst_key_type_name(i->key_type));
    pst_hex(c->sha256, i->sha256, sizeof i->sha256);
    pst_str_cut(c->serial, sizeof c->serial, i->serial);
    pst_str_cut(c->subject, sizeof c->subject, i->subject);
    pst_str_cut(c->issuer, sizeof c->issuer, i->issuer);
    int rc = copy_der(&chain->leaf, &c->leaf, err);
    if (rc < 0 || chain->issuers_n == 0)
        return rc;
    c->issuers = pst_zalloc(chain->issuers_n, sizeof *c->issuers);
    if (!c->issuers)
        return pst_fail_nomem(err, "a chain");
    while (rc == PST_OK && c->issuers_n < chain->issuers_n) {
        rc = copy_der(&chain->issuers[c->issuers_n], &c->issuers[c->issuers_n], err);
        c->issuers_n++;
    }
    return rc;
}

/* By it a missing issuer is found.  What cannot be read is just not found. */
static int subject_of(const struct pst_buf *der, char to[PST_SHA256_HEX_SIZE], struct pst_err *err)
{
    uint8_t sha256[32];

    int rc = pst_der_subject_sha256(der->data, der->len, sha256, err);
    if (rc == PST_EINPUT)
        memset(sha256, 0, sizeof sha256);
    else if (rc < 0)
        return rc;
    pst_hex(to, sha256, sizeof sha256);
    return PST_OK;
}

int pst_issuer_put(struct pst_tx *tx, const struct pst_buf *der, char ret_key[PST_ISSUER_KEY_SIZE],
                   struct pst_err *err)
{
    char key[PST_SHA256_HEX_SIZE], subject[PST_SHA256_HEX_SIZE];

    int rc = pst_sha256_hex(der->data, der->len, key, err);
    if (rc == PST_OK)
        rc = subject_of(der, subject, err);
    if (rc != PST_OK)
        return rc;
    pst_str_cut(ret_key, PST_ISSUER_KEY_SIZE, key);
    rc = pst_change(tx, &stmts[ISSUER_PUT], PST_DONE, err, pst_t(ret_key),
                    pst_b(der->data, der->len), pst_t(subject));
    if (rc == PST_OK)
        rc = pst_touch(tx, "issuer", ret_key, false, err);
    return rc < 0 ? rc : PST_OK;
}

static int put_issuer(struct pst_tx *tx, const char *certificate_id, size_t pos,
                      const struct pst_buf *der, struct pst_err *err)
{
    char key[PST_ISSUER_KEY_SIZE];

    int rc = pst_issuer_put(tx, der, key, err);
    if (rc != PST_OK)
        return rc;
    return pst_db_exec(tx->db, &stmts[LINK], NULL, err, pst_t(certificate_id), pst_i((int64_t)pos),
                       pst_t(key));
}

int64_t pst_certificate_num(struct pst_tx *tx)
{
    uint64_t n = 0;

    while (n == 0) {
        pst_rand_fill(tx->store->rand, &n, sizeof n);
        n &= INT64_MAX;
    }
    return (int64_t)n;
}

int pst_certificate_insert(struct pst_tx *tx, struct pst_certificate *c, struct pst_err *err)
{
    pst_record_new(tx, c->id, &c->created_at_ms);
    if (c->num == 0)
        c->num = pst_certificate_num(tx);
    int rc = pst_db_exec(tx->db, &stmts[INSERT], NULL, err, pst_t(c->id), pst_i(c->num),
                         pst_t(c->domain_id), pst_t(c->origin), pst_t(c->key_type),
                         pst_t(c->sha256), pst_t(c->serial), pst_t(c->subject), pst_t(c->issuer),
                         pst_i(c->not_before), pst_i(c->not_after), pst_i(c->created_at_ms),
                         pst_i(c->key_bits), pst_i(pst_tx_now_ms(tx)),
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

int pst_issuer_sweep(struct pst_tx *tx, struct pst_err *err)
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
        rc = pst_issuer_sweep(tx, err);
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
    c->key_bits = pst_read_i(r);
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

int pst_certificate_each_of_app(struct pst_tx *tx, const char *app_id,
                                int (*fn)(const struct pst_certificate *c, void *arg), void *arg,
                                struct pst_err *err)
{
    auto_(pst_rows_free) struct pst_rows *rows = NULL;

    int rc = pst_db_query(tx->db, &stmts[OF_APP], &rows, err, pst_t(app_id));
    while (rc == PST_OK && pst_rows_next(rows)) {
        struct pst_reader r = {.rows = rows, .err = err};
        struct pst_certificate c = {0};
        read_head(&r, &c);
        rc = pst_reader_end(&r, "a certificate");
        if (rc == PST_OK)
            rc = fn(&c, arg);
    }
    return rc;
}

int pst_issuers_load(struct pst_tx *tx, const struct pst_stmt *stmt, const char *id,
                     struct pst_certificate *c, struct pst_err *err)
{
    auto_(pst_rows_free) struct pst_rows *rows = NULL;

    int rc = pst_db_query(tx->db, stmt, &rows, err, pst_t(id));
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
        rc = pst_issuers_load(tx, &stmts[ISSUERS], c.id, &c, err);
    if (rc == PST_OK)
        *ret = c;
    else
        pst_certificate_deinit(&c);
    return rc;
}

/* ---- known issuers ---- */

int pst_issuer_known(struct pst_tx *tx, const uint8_t subject_sha256[32], struct pst_buf *ret_pem,
                     struct pst_err *err)
{
    auto_(pst_rows_free) struct pst_rows *rows = NULL;
    char hex[PST_SHA256_HEX_SIZE];

    pst_hex(hex, subject_sha256, 32);
    int rc = pst_db_query(tx->db, &stmts[KNOWN], &rows, err, pst_t(hex));
    if (rc == PST_OK && pst_rows_n(rows) == 0)
        return PST_NOTFOUND;
    while (rc == PST_OK && pst_rows_next(rows)) {
        size_t len;
        const void *der = pst_col_b(rows, 0, &len);
        pst_pem_write(der, len, "CERTIFICATE", ret_pem);
        rc = pst_buf_check(ret_pem, "known issuers", err);
    }
    return rc;
}

/* ---- the end of uploaded ones ---- */

int pst_certificate_each_ending(struct pst_tx *tx, int64_t now, size_t limit,
                                int (*fn)(const struct pst_ending *e, void *arg), void *arg,
                                struct pst_err *err)
{
    auto_(pst_rows_free) struct pst_rows *rows = NULL;

    int rc = pst_db_query(tx->db, &stmts[ENDING], &rows, err, pst_i(now), pst_i((int64_t)limit));
    while (rc == PST_OK && pst_rows_next(rows)) {
        struct pst_reader r = {.rows = rows, .err = err};
        struct pst_ending e;
        pst_read_text(&r, e.app_id);
        pst_read_text(&r, e.domain_id);
        pst_read_text(&r, e.name);
        e.num = pst_read_i(&r);
        e.not_after = pst_read_i(&r);
        e.due = (enum pst_warning)pst_read_i(&r);
        rc = pst_reader_end(&r, "an uploaded certificate");
        if (rc == PST_OK)
            rc = fn(&e, arg);
    }
    return rc;
}

int pst_certificate_warned(struct pst_tx *tx, int64_t num, enum pst_warning given,
                           struct pst_err *err)
{
    return pst_db_exec(tx->db, &stmts[WARNED], NULL, err, pst_i(given), pst_i(num));
}
