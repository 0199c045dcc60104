/* claim_db.c - who holds a name, or held it lately: what rules between tenants are made of. */
#include "store_internal.h"

#include <string.h>

#include <postern/name.h>

enum {
    COVERED,
    COVERS,
    RELEASED,
    RELEASED_UNDER,
    RELEASE,
    RETAKE,
    LAST_RELEASE,
    REGISTERED_LOCK,
};

static const struct pst_stmt stmts[] = {
    /* Does another tenant's wildcard cover a name? */
    [COVERED] = {.name = "claim.covered",
                 .sql = "SELECT created_at_ms FROM domains WHERE ascii = $1 AND user_id <> $2",
                 .args = "tt",
                 .cols = "i"},
    /* Would a wildcard cover another tenant's names? */
    [COVERS] = {.name = "claim.covers",
                .sql = "SELECT created_at_ms FROM domains WHERE parent = $1 AND wildcard = 0 AND "
                       "user_id <> $2 "
                       "LIMIT 1",
                .args = "tt",
                .cols = "i"},
    [RELEASED] = {.name = "claim.released",
                  .sql =
                      "SELECT released_at_ms FROM released_names WHERE (ascii = $1 OR ascii = $2) "
                      "AND user_id <> $3 AND released_at_ms > $4 LIMIT 1",
                  .args = "ttti",
                  .cols = "i"},
    /* The wildcard itself has the same parent as the names that it covers. */
    [RELEASED_UNDER] =
        {.name = "claim.released-under",
         .sql = "SELECT released_at_ms FROM released_names WHERE parent = $1 AND user_id <> $2 "
                "AND released_at_ms > $3 LIMIT 1",
         .args = "tti",
         .cols = "i"},
    [RELEASE] = {.name = "claim.release",
                 .sql = "INSERT INTO released_names (ascii, user_id, released_at_ms, parent) "
                        "VALUES ($1, $2, $3, $4) ON CONFLICT (ascii) DO UPDATE SET "
                        "user_id = excluded.user_id, released_at_ms = excluded.released_at_ms",
                 .args = "ttit",
                 .cols = ""},
    [RETAKE] = {.name = "claim.retake",
                .sql = "DELETE FROM released_names WHERE ascii = $1",
                .args = "t",
                .cols = ""},
    [LAST_RELEASE] = {.name = "claim.last-release",
                      .sql = "SELECT user_id, released_at_ms FROM released_names WHERE ascii = $1",
                      .args = "t",
                      .cols = "ti"},
    [REGISTERED_LOCK] = {.name = "claim.registered-lock",
                         .sql = "INSERT INTO registered_domains (ascii, locked_n) VALUES ($1, 1) "
                                "ON CONFLICT (ascii) DO UPDATE "
                                "SET locked_n = registered_domains.locked_n + 1",
                         .args = "t",
                         .cols = ""},
};
PST_STORE_SQL(claim);

/* ---- giving up and taking ---- */

static const char *parent_of(const char *ascii)
{
    const char *parent = pst_name_parent(ascii);

    return parent ? parent : "";
}

int pst_name_release(struct pst_tx *tx, const char *ascii, const char *user_id, struct pst_err *err)
{
    return pst_db_exec(tx->db, &stmts[RELEASE], NULL, err, pst_t(ascii), pst_t(user_id),
                       pst_i(pst_tx_now_ms(tx)), pst_t(parent_of(ascii)));
}

int pst_name_retake(struct pst_tx *tx, const char *ascii, struct pst_err *err)
{
    return pst_db_exec(tx->db, &stmts[RETAKE], NULL, err, pst_t(ascii));
}

int pst_name_released(struct pst_tx *tx, const char *ascii, char ret_user_id[PST_ID_SIZE],
                      int64_t *ret_at_ms, struct pst_err *err)
{
    auto_(pst_rows_free) struct pst_rows *rows = NULL;

    int rc = pst_one(tx, &stmts[LAST_RELEASE], &rows, err, pst_t(ascii));
    if (rc == PST_OK)
        rc = pst_col_copy(rows, 0, ret_user_id, PST_ID_SIZE, err);
    if (rc == PST_OK)
        *ret_at_ms = pst_col_i(rows, 1);
    return rc;
}

/* ---- the lock ---- */

int pst_registered_lock(struct pst_tx *tx, const char *registered, struct pst_err *err)
{
    return pst_db_exec(tx->db, &stmts[REGISTERED_LOCK], NULL, err, pst_t(registered));
}

/* "*." and the parent, when that is a name which anybody can have: not "*.co.uk", but under a
 * private suffix "*.github.io". */
static bool wildcard_above(const char *ascii, char ret[PST_NAME_SIZE])
{
    const char *parent = pst_name_parent(ascii);
    char wildcard[PST_NAME_SIZE] = "*.";

    if (pst_name_is_wildcard(ascii) || !parent ||
        !pst_str_copy(wildcard + 2, sizeof wildcard - 2, parent))
        return false;
    return pst_name_parse(wildcard, PST_NAME_WILDCARD | PST_NAME_ANY_TLD, ret, NULL) == PST_OK;
}

int pst_name_lock(struct pst_tx *tx, const char *ascii, struct pst_err *err)
{
    char own[PST_NAME_SIZE], above[PST_NAME_SIZE], wildcard[PST_NAME_SIZE];

    int rc = pst_name_registered_domain(ascii, own, err);
    if (rc == PST_OK)
        rc = pst_registered_lock(tx, own, err);
    if (rc != PST_OK || !pst_streq(own, ascii) || !wildcard_above(ascii, wildcard))
        return rc;
    /* Always from below to above, so that two of these never wait for each other. */
    rc = pst_name_registered_domain(wildcard, above, err);
    return rc == PST_OK ? pst_registered_lock(tx, above, err) : rc;
}

/* ---- what stands in the way ---- */

static int look_at_wildcard(struct pst_tx *tx, const struct pst_hold_question *q,
                            enum pst_hold *ret, struct pst_err *err)
{
    const char *base = parent_of(q->ascii);
    int64_t at_ms;

    int rc = pst_number(tx, &stmts[COVERS], &at_ms, err, pst_t(base), pst_t(q->user_id));
    if (rc != PST_NOTFOUND) {
        *ret = PST_HOLD_SHARED;
        return rc;
    }
    rc = pst_number(tx, &stmts[RELEASED_UNDER], &at_ms, err, pst_t(base), pst_t(q->user_id),
                    pst_i(q->released_after_ms));
    *ret = rc == PST_OK ? PST_HOLD_RELEASED : PST_HOLD_FREE;
    return rc == PST_NOTFOUND ? PST_OK : rc;
}

static int look_at_name(struct pst_tx *tx, const struct pst_hold_question *q, enum pst_hold *ret,
                        struct pst_err *err)
{
    char wildcard[PST_NAME_SIZE];
    int64_t at_ms;

    if (!wildcard_above(q->ascii, wildcard))
        wildcard[0] = '\0';
    int rc = pst_number(tx, &stmts[COVERED], &at_ms, err, pst_t(wildcard), pst_t(q->user_id));
    if (rc != PST_NOTFOUND) {
        *ret = PST_HOLD_SHARED;
        return rc;
    }
    rc = pst_number(tx, &stmts[RELEASED], &at_ms, err, pst_t(q->ascii), pst_t(wildcard),
                    pst_t(q->user_id), pst_i(q->released_after_ms));
    *ret = rc == PST_OK ? PST_HOLD_RELEASED : PST_HOLD_FREE;
    return rc == PST_NOTFOUND ? PST_OK : rc;
}

/*
 * Who holds it comes before who gave it up: a name that is given up between the two is found by
 * the second question, the other way round it would be seen by neither.
 */
int pst_name_hold(struct pst_tx *tx, const struct pst_hold_question *q, enum pst_hold *ret,
                  struct pst_domain *ret_holder, struct pst_err *err)
{
    int rc = pst_domain_by_ascii(tx, q->ascii, ret_holder, err);

    if (rc == PST_OK) {
        *ret = pst_streq(ret_holder->user_id, q->user_id) ? PST_HOLD_OWN : PST_HOLD_TAKEN;
        return PST_OK;
    }
    if (rc != PST_NOTFOUND)
        return rc;
    *ret_holder = (struct pst_domain){0};
    return pst_name_is_wildcard(q->ascii) ? look_at_wildcard(tx, q, ret, err)
                                          : look_at_name(tx, q, ret, err);
}
