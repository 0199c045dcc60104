/* feed_db.c - the statements of feed.c. */
#include <string.h>

#include "feed_internal.h"

enum {
    HEAD,
    KNOWN,
    REVISION,
    CHANGES,
    OBJECTS,
    DOMAIN_NAME,
    PLATFORM_NAME,
    STEP,
    APP,
    CERT,
    ISSUER,
    ISSUER_KEYS,
    CHALLENGE,
    TICKET,
    SWEEP_CHANGES,
    SWEEP_REVISIONS,
};

/* What a name shares with the other names of its app: where the canonical one is. */
#define CANONICAL(app)                                                                             \
    "(SELECT c.ascii FROM domains c WHERE c.app_id = " app " AND c.canonical = 1 LIMIT 1)"

/* The newest revision that is older than $1: the oldest cursor that is still good. */
#define OLDEST_CURSOR "(SELECT max(rev) FROM feed_revisions WHERE at_ms < $1)"

static const struct pst_stmt stmts[] = {
    [HEAD] = {.name = "feed.head",
              .sql = "SELECT f.epoch, f.rev, r.id FROM feed f "
                     "JOIN feed_revisions r ON r.rev = f.rev WHERE f.id = 1",
              .args = "",
              .cols = "tit"},
    [KNOWN] = {.name = "feed.known",
               .sql = "SELECT r.rev FROM feed f JOIN feed_revisions r ON r.rev = $1 "
                      "WHERE f.id = 1 AND f.epoch = $2 AND r.id = $3",
               .args = "itt",
               .cols = "i"},
    [REVISION] = {.name = "feed.revision",
                  .sql = "SELECT id FROM feed_revisions WHERE rev = $1",
                  .args = "i",
                  .cols = "t"},
    [CHANGES] = {.name = "feed.changes",
                 .sql = "SELECT kind, key, rev, deleted FROM changes "
                        "WHERE (rev, kind, key) > ($1, $2, $3) ORDER BY rev, kind, key LIMIT $4",
                 .args = "itti",
                 .cols = "ttii"},
    [OBJECTS] = {.name = "feed.objects",
                 .sql = "SELECT kind, key, rev, deleted FROM changes "
                        "WHERE (kind, key) > ($1, $2) AND deleted = 0 ORDER BY kind, key LIMIT $3",
                 .args = "tti",
                 .cols = "ttii"},
    [DOMAIN_NAME] =
        {.name = "feed.domain-name",
         .sql = "SELECT d.app_id, d.acme_enabled, a.force_https, " CANONICAL(
             "d.app_id") ", d.custom_cert, d.acme_cert * d.acme_enabled, w.custom_cert, "
                         "w.acme_cert * w.acme_enabled "
                         "FROM domains d JOIN apps a ON a.id = d.app_id "
                         "LEFT JOIN domains w ON w.ascii = $1 AND w.user_id = d.user_id "
                         "WHERE d.ascii = $2",
         .args = "tt",
         .cols = "tiitiiii"},
    [PLATFORM_NAME] = {.name = "feed.platform-name",
                       .sql = "SELECT p.app_id, a.force_https, " CANONICAL(
                           "p.app_id") " FROM platform_names p JOIN apps a ON a.id = p.app_id "
                                       "WHERE p.ascii = $1",
                       .args = "t",
                       .cols = "tit"},
    [STEP] = {.name = "feed.step",
              .sql = "SELECT num, not_before, not_after, key_type FROM certificates WHERE num = $1",
              .args = "i",
              .cols = "iiit"},
    [APP] = {.name = "feed.app",
             .sql = "SELECT name FROM apps WHERE id = $1",
             .args = "t",
             .cols = "t"},
    [CERT] = {.name = "feed.cert",
              .sql = "SELECT id, key_type, not_before, not_after, leaf, sealed FROM certificates "
                     "WHERE num = $1",
              .args = "i",
              .cols = "ttiibb"},
    [ISSUER] = {.name = "feed.issuer",
                .sql = "SELECT der FROM issuers WHERE key = $1",
                .args = "t",
                .cols = "b"},
    [ISSUER_KEYS] = {.name = "feed.issuer-keys",
                     .sql = "SELECT issuer_key FROM certificate_issuers WHERE certificate_id = $1 "
                            "ORDER BY pos",
                     .args = "t",
                     .cols = "t"},
    [CHALLENGE] = {.name = "feed.challenge",
                   .sql = "SELECT ascii, answer, until_ms FROM challenges WHERE token = $1",
                   .args = "t",
                   .cols = "tti"},
    [TICKET] = {.name = "feed.ticket",
                .sql = "SELECT not_before, not_after, sealed FROM tickets WHERE id = $1",
                .args = "t",
                .cols = "iib"},
    [SWEEP_CHANGES] = {.name = "feed.sweep-changes",
                       .sql = "DELETE FROM changes WHERE deleted = 1 AND rev <= " OLDEST_CURSOR,
                       .args = "i",
                       .cols = ""},
    [SWEEP_REVISIONS] = {.name = "feed.sweep-revisions",
                         .sql = "DELETE FROM feed_revisions WHERE rev < " OLDEST_CURSOR,
                         .args = "i",
                         .cols = ""},
};
PST_STORE_SQL(feed);

/* ---- cursors ---- */

int pst_feed_head(struct pst_tx *tx, struct pst_feed_cursor *ret, struct pst_err *err)
{
    auto_(pst_rows_free) struct pst_rows *rows = NULL;
    struct pst_feed_cursor c = {0};

    int rc = pst_one(tx, &stmts[HEAD], &rows, err);
    if (rc == PST_NOTFOUND)
        return pst_fail(err, PST_EINTERNAL, "the feed has no row: the database is damaged");
    if (rc < 0)
        return rc;

    struct pst_reader r = {.rows = rows, .err = err};
    pst_read_text(&r, c.epoch);
    c.rev = pst_read_i(&r);
    pst_read_text(&r, c.id);
    rc = pst_reader_end(&r, "the head of the feed");
    if (rc == PST_OK)
        *ret = c;
    return rc;
}

int pst_feed_db_known(struct pst_tx *tx, const struct pst_feed_cursor *c, struct pst_err *err)
{
    int64_t rev;

    return pst_number(tx, &stmts[KNOWN], &rev, err, pst_i(c->rev), pst_t(c->epoch), pst_t(c->id));
}

int pst_feed_db_revision(struct pst_tx *tx, int64_t rev, char ret_id[20], struct pst_err *err)
{
    auto_(pst_rows_free) struct pst_rows *rows = NULL;

    int rc = pst_one(tx, &stmts[REVISION], &rows, err, pst_i(rev));
    return rc == PST_OK ? pst_col_copy(rows, 0, ret_id, 20, err) : rc;
}

int pst_feed_sweep(struct pst_tx *tx, int64_t before_ms, struct pst_err *err)
{
    int rc = pst_db_exec(tx->db, &stmts[SWEEP_CHANGES], NULL, err, pst_i(before_ms));

    if (rc == PST_OK)
        rc = pst_db_exec(tx->db, &stmts[SWEEP_REVISIONS], NULL, err, pst_i(before_ms));
    return rc;
}

/* ---- rows of changes ---- */

static int read_rows(struct pst_rows *rows, struct pst_feed_row *ret, size_t max, size_t *ret_n,
                     struct pst_err *err)
{
    size_t n = 0;

    while (n < max && pst_rows_next(rows)) {
        struct pst_reader r = {.rows = rows, .err = err};
        pst_read_text(&r, ret[n].kind);
        pst_read_text(&r, ret[n].key);
        ret[n].rev = pst_read_i(&r);
        ret[n].deleted = pst_read_flag(&r);
        int rc = pst_reader_end(&r, "a change");
        if (rc != PST_OK)
            return rc;
        n++;
    }
    *ret_n = n;
    return PST_OK;
}

int pst_feed_db_changes(struct pst_tx *tx, const struct pst_feed_row *after,
                        struct pst_feed_row *ret, size_t max, size_t *ret_n, struct pst_err *err)
{
    auto_(pst_rows_free) struct pst_rows *rows = NULL;

    int rc = pst_db_query(tx->db, &stmts[CHANGES], &rows, err, pst_i(after->rev),
                          pst_t(after->kind), pst_t(after->key), pst_i((int64_t)max));
    return rc == PST_OK ? read_rows(rows, ret, max, ret_n, err) : rc;
}

int pst_feed_db_objects(struct pst_tx *tx, const struct pst_feed_row *after,
                        struct pst_feed_row *ret, size_t max, size_t *ret_n, struct pst_err *err)
{
    auto_(pst_rows_free) struct pst_rows *rows = NULL;

    int rc = pst_db_query(tx->db, &stmts[OBJECTS], &rows, err, pst_t(after->kind),
                          pst_t(after->key), pst_i((int64_t)max));
    return rc == PST_OK ? read_rows(rows, ret, max, ret_n, err) : rc;
}

/* ---- objects ---- */

/* `*.` and the parent: what covers the name besides its own certificates.  A wildcard is not
 * covered by itself: its own are its steps. */
static bool covering(const char *ascii, char ret[PST_NAME_SIZE])
{
    const char *dot = strchr(ascii, '.');

    ret[0] = '\0';
    if (!dot || ascii[0] == '*' || strlen(dot) + 1 >= PST_NAME_SIZE)
        return false;
    ret[0] = '*';
    return pst_str_copy(ret + 1, PST_NAME_SIZE - 1, dot);
}

static int platform_name(struct pst_tx *tx, const char *ascii, struct pst_feed_name *ret,
                         struct pst_err *err)
{
    auto_(pst_rows_free) struct pst_rows *rows = NULL;

    int rc = pst_one(tx, &stmts[PLATFORM_NAME], &rows, err, pst_t(ascii));
    if (rc != PST_OK)
        return rc;

    struct pst_reader r = {.rows = rows, .err = err};
    pst_read_text(&r, ret->app_id);
    ret->force_https = pst_read_flag(&r);
    pst_read_text(&r, ret->canonical);
    return pst_reader_end(&r, "a platform name");
}

int pst_feed_db_name(struct pst_tx *tx, const char *ascii, struct pst_feed_name *ret,
                     struct pst_err *err)
{
    auto_(pst_rows_free) struct pst_rows *rows = NULL;
    char wildcard[PST_NAME_SIZE];

    *ret = (struct pst_feed_name){0};
    covering(ascii, wildcard);
    int rc = pst_one(tx, &stmts[DOMAIN_NAME], &rows, err, pst_t(wildcard), pst_t(ascii));
    if (rc == PST_NOTFOUND)
        return platform_name(tx, ascii, ret, err);
    if (rc < 0)
        return rc;

    struct pst_reader r = {.rows = rows, .err = err};
    pst_read_text(&r, ret->app_id);
    ret->acme = pst_read_flag(&r);
    ret->force_https = pst_read_flag(&r);
    pst_read_text(&r, ret->canonical);
    for (size_t i = 0; i < PST_FEED_STEPS; i++)
        ret->certs[i] = pst_read_i(&r);
    if (pst_streq(ret->canonical, ascii))
        ret->canonical[0] = '\0';
    return pst_reader_end(&r, "a name");
}

int pst_feed_db_step(struct pst_tx *tx, int64_t cert, struct pst_feed_step *ret,
                     struct pst_err *err)
{
    auto_(pst_rows_free) struct pst_rows *rows = NULL;

    int rc = pst_one(tx, &stmts[STEP], &rows, err, pst_i(cert));
    if (rc != PST_OK)
        return rc;

    struct pst_reader r = {.rows = rows, .err = err};
    ret->cert = pst_read_i(&r);
    ret->not_before = pst_read_i(&r);
    ret->not_after = pst_read_i(&r);
    pst_read_text(&r, ret->key_type);
    return pst_reader_end(&r, "a step of a ladder");
}

int pst_feed_db_app(struct pst_tx *tx, const char *id, char ret_name[PST_WORD_SIZE],
                    struct pst_err *err)
{
    auto_(pst_rows_free) struct pst_rows *rows = NULL;

    int rc = pst_one(tx, &stmts[APP], &rows, err, pst_t(id));
    return rc == PST_OK ? pst_col_copy(rows, 0, ret_name, PST_WORD_SIZE, err) : rc;
}

void pst_feed_cert_deinit(struct pst_feed_cert *c)
{
    pst_buf_deinit(&c->leaf);
    pst_buf_deinit(&c->sealed);
}

int pst_feed_db_cert(struct pst_tx *tx, int64_t num, struct pst_feed_cert *ret, struct pst_err *err)
{
    auto_(pst_rows_free) struct pst_rows *rows = NULL;

    int rc = pst_one(tx, &stmts[CERT], &rows, err, pst_i(num));
    if (rc != PST_OK)
        return rc;

    struct pst_reader r = {.rows = rows, .err = err};
    pst_read_text(&r, ret->id);
    pst_read_text(&r, ret->key_type);
    ret->not_before = pst_read_i(&r);
    ret->not_after = pst_read_i(&r);
    pst_read_b(&r, &ret->leaf);
    pst_read_b(&r, &ret->sealed);
    return pst_reader_end(&r, "a certificate");
}

int pst_feed_db_issuer(struct pst_tx *tx, const char *key, struct pst_buf *ret_der,
                       struct pst_err *err)
{
    auto_(pst_rows_free) struct pst_rows *rows = NULL;

    int rc = pst_one(tx, &stmts[ISSUER], &rows, err, pst_t(key));
    if (rc != PST_OK)
        return rc;

    struct pst_reader r = {.rows = rows, .err = err};
    pst_read_b(&r, ret_der);
    return pst_reader_end(&r, "an issuer");
}

int pst_feed_db_issuer_keys(struct pst_tx *tx, const char *certificate_id,
                            void (*fn)(void *arg, const char *key), void *arg, struct pst_err *err)
{
    auto_(pst_rows_free) struct pst_rows *rows = NULL;

    int rc = pst_db_query(tx->db, &stmts[ISSUER_KEYS], &rows, err, pst_t(certificate_id));
    if (rc != PST_OK)
        return rc;
    while (pst_rows_next(rows))
        fn(arg, pst_col_t(rows, 0));
    return PST_OK;
}

int pst_feed_db_challenge(struct pst_tx *tx, const char *token, struct pst_feed_challenge *ret,
                          struct pst_err *err)
{
    auto_(pst_rows_free) struct pst_rows *rows = NULL;

    int rc = pst_one(tx, &stmts[CHALLENGE], &rows, err, pst_t(token));
    if (rc != PST_OK)
        return rc;

    struct pst_reader r = {.rows = rows, .err = err};
    pst_read_text(&r, ret->name);
    pst_read_text(&r, ret->answer);
    ret->until_ms = pst_read_i(&r);
    return pst_reader_end(&r, "a challenge");
}

int pst_feed_db_ticket(struct pst_tx *tx, const char *id, struct pst_feed_ticket *ret,
                       struct pst_err *err)
{
    auto_(pst_rows_free) struct pst_rows *rows = NULL;

    int rc = pst_one(tx, &stmts[TICKET], &rows, err, pst_t(id));
    if (rc != PST_OK)
        return rc;

    struct pst_reader r = {.rows = rows, .err = err};
    ret->not_before = pst_read_i(&r);
    ret->not_after = pst_read_i(&r);
    pst_read_b(&r, &ret->sealed);
    return pst_reader_end(&r, "a ticket key");
}
