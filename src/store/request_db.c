/* request_db.c - certificate requests whose key was made here and stays here. */
#include "store_internal.h"

#define HEAD                                                                                       \
    "id, domain_id, key_type, key_bits, subject, spki_sha256, created_at_ms, used_at_ms, csr"
#define HEAD_TYPES "tttittiib"
#define ALL        HEAD ", sealed"
#define ALL_TYPES  HEAD_TYPES "b"

enum { INSERT, GET, BY_KEY, EACH, COUNT, USED, DELETE, DELETE_ALL };

static const struct pst_stmt stmts[] = {
    [INSERT] = {.name = "request.insert",
                .sql = "INSERT INTO requests (" ALL ") "
                       "VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)",
                .args = ALL_TYPES,
                .cols = ""},
    [GET] = {.name = "request.get",
             .sql = "SELECT " ALL " FROM requests WHERE domain_id = $1 AND id = $2",
             .args = "tt",
             .cols = ALL_TYPES},
    [BY_KEY] = {.name = "request.by-key",
                .sql = "SELECT " ALL " FROM requests WHERE domain_id = $1 AND spki_sha256 = $2 "
                       "ORDER BY created_at_ms LIMIT 1",
                .args = "tt",
                .cols = ALL_TYPES},
    [EACH] = {.name = "request.each",
              .sql = "SELECT " HEAD " FROM requests WHERE domain_id = $1 "
                     "ORDER BY created_at_ms DESC, id",
              .args = "t",
              .cols = HEAD_TYPES},
    [COUNT] = {.name = "request.count",
               .sql = "SELECT count(*) FROM requests WHERE domain_id = $1",
               .args = "t",
               .cols = "i"},
    [USED] = {.name = "request.used",
              .sql = "UPDATE requests SET used_at_ms = $1 WHERE id = $2",
              .args = "it",
              .cols = ""},
    [DELETE] = {.name = "request.delete",
                .sql = "DELETE FROM requests WHERE domain_id = $1 AND id = $2",
                .args = "tt",
                .cols = ""},
    [DELETE_ALL] = {.name = "request.delete-all",
                    .sql = "DELETE FROM requests WHERE domain_id = $1",
                    .args = "t",
                    .cols = ""},
};
PST_STORE_SQL(request);

void pst_request_deinit(struct pst_request *r)
{
    pst_buf_deinit(&r->csr);
    pst_buf_deinit(&r->sealed);
}

int pst_request_insert(struct pst_tx *tx, struct pst_request *r, struct pst_err *err)
{
    pst_record_new(tx, r->id, &r->created_at_ms);
    return pst_db_exec(tx->db, &stmts[INSERT], NULL, err, pst_t(r->id), pst_t(r->domain_id),
                       pst_t(r->key_type), pst_i(r->key_bits), pst_t(r->subject),
                       pst_t(r->spki_sha256), pst_i(r->created_at_ms), pst_i(r->used_at_ms),
                       pst_b(r->csr.data, r->csr.len), pst_b(r->sealed.data, r->sealed.len));
}

static int read_request(const struct pst_rows *rows, bool whole, struct pst_request *ret,
                        struct pst_err *err)
{
    struct pst_reader r = {.rows = rows, .err = err};
    struct pst_request q = {0};

    pst_read_text(&r, q.id);
    pst_read_text(&r, q.domain_id);
    pst_read_text(&r, q.key_type);
    q.key_bits = pst_read_i(&r);
    pst_read_text(&r, q.subject);
    pst_read_text(&r, q.spki_sha256);
    q.created_at_ms = pst_read_i(&r);
    q.used_at_ms = pst_read_i(&r);
    pst_read_b(&r, &q.csr);
    if (whole)
        pst_read_b(&r, &q.sealed);
    int rc = pst_reader_end(&r, "a certificate request");
    if (rc == PST_OK)
        *ret = q;
    else
        pst_request_deinit(&q);
    return rc;
}

int pst_request_get(struct pst_tx *tx, const char *domain_id, const char *id,
                    struct pst_request *ret, struct pst_err *err)
{
    auto_(pst_rows_free) struct pst_rows *rows = NULL;

    int rc = pst_one(tx, &stmts[GET], &rows, err, pst_t(domain_id), pst_t(id));
    return rc == PST_OK ? read_request(rows, true, ret, err) : rc;
}

int pst_request_by_key(struct pst_tx *tx, const char *domain_id, const char *spki_sha256,
                       struct pst_request *ret, struct pst_err *err)
{
    auto_(pst_rows_free) struct pst_rows *rows = NULL;

    int rc = pst_one(tx, &stmts[BY_KEY], &rows, err, pst_t(domain_id), pst_t(spki_sha256));
    return rc == PST_OK ? read_request(rows, true, ret, err) : rc;
}

int pst_request_each(struct pst_tx *tx, const char *domain_id,
                     int (*fn)(const struct pst_request *r, void *arg), void *arg,
                     struct pst_err *err)
{
    auto_(pst_rows_free) struct pst_rows *rows = NULL;

    int rc = pst_db_query(tx->db, &stmts[EACH], &rows, err, pst_t(domain_id));
    while (rc == PST_OK && pst_rows_next(rows)) {
        struct pst_request q = {0};
        rc = read_request(rows, false, &q, err);
        if (rc == PST_OK)
            rc = fn(&q, arg);
        pst_request_deinit(&q);
    }
    return rc;
}

int pst_request_count(struct pst_tx *tx, const char *domain_id, int64_t *ret_n, struct pst_err *err)
{
    return pst_number(tx, &stmts[COUNT], ret_n, err, pst_t(domain_id));
}

int pst_request_used(struct pst_tx *tx, const char *id, int64_t at_ms, struct pst_err *err)
{
    return pst_db_exec(tx->db, &stmts[USED], NULL, err, pst_i(at_ms), pst_t(id));
}

int pst_request_delete(struct pst_tx *tx, const char *domain_id, const char *id,
                       struct pst_err *err)
{
    return pst_change(tx, &stmts[DELETE], PST_NOTFOUND, err, pst_t(domain_id), pst_t(id));
}

int pst_request_delete_all(struct pst_tx *tx, const char *domain_id, struct pst_err *err)
{
    return pst_db_exec(tx->db, &stmts[DELETE_ALL], NULL, err, pst_t(domain_id));
}
