/* claim_db.c - who holds a name, or held it lately: what rules between tenants are made of. */
#include "store_internal.h"

#include <string.h>

#include <postern/name.h>

enum {
    OF_NAME,
    OF_WILDCARD,
    RELEASE,
    REGISTERED_LOCK,
};

#define FLAG(query) "CAST(CASE WHEN EXISTS (" query ") THEN 1 ELSE 0 END AS bigint)"

#define HOLDER  "coalesce((SELECT id FROM domains WHERE ascii = $1), '')"
#define COVERED FLAG("SELECT 1 FROM domains WHERE ascii = $2 AND user_id <> $3")
#define COVERS  FLAG("SELECT 1 FROM domains WHERE parent = $2 AND wildcard = 0 AND user_id <> $3")
/* One that somebody holds again is no longer given up. */
#define RELEASED(which)                                                                            \
    FLAG("SELECT 1 FROM released_names r WHERE " which " AND r.user_id <> $3 "                     \
         "AND r.released_at_ms > $4 "                                                              \
         "AND NOT EXISTS (SELECT 1 FROM domains d WHERE d.ascii = r.ascii)")

/* Each is one look, so that a name which is given up at this moment is not missed between two. */
static const struct pst_stmt stmts[] = {
    /* $2: the wildcard over it */
    [OF_NAME] = {.name = "claim.of-name",
                 .sql =
                     "SELECT " HOLDER ", " COVERED ", " RELEASED("(r.ascii = $1 OR r.ascii = $2)"),
                 .args = "ttti",
                 .cols = "tii"},
    /* $2: the parent of the names that it covers, and its own */
    [OF_WILDCARD] = {.name = "claim.of-wildcard",
                     .sql = "SELECT " HOLDER ", " COVERS ", " RELEASED("r.parent = $2"),
                     .args = "ttti",
                     .cols = "tii"},
    [RELEASE] = {.name = "claim.release",
                 .sql = "INSERT INTO released_names (ascii, user_id, released_at_ms, parent) "
                        "VALUES ($1, $2, $3, $4) ON CONFLICT (ascii) DO UPDATE SET "
                        "user_id = excluded.user_id, released_at_ms = excluded.released_at_ms",
                 .args = "ttit",
                 .cols = ""},
    [REGISTERED_LOCK] = {.name = "claim.registered-lock",
                         .sql = "INSERT INTO registered_domains (ascii, locked_n) VALUES ($1, 1) "
                                "ON CONFLICT (ascii) DO UPDATE "
                                "SET locked_n = registered_domains.locked_n + 1",
                         .args = "t",
                         .cols = ""},
};
PST_STORE_SQL(claim);

/* ---- giving up ---- */

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

/* ---- the lock ---- */

int pst_registered_lock(struct pst_tx *tx, const char *registered, struct pst_err *err)
{
    /* Many names of one domain may be added in a row. */
    if (pst_streq(tx->locked, registered))
        return PST_OK;
    int rc = pst_db_exec(tx->db, &stmts[REGISTERED_LOCK], NULL, err, pst_t(registered));
    if (rc == PST_OK)
        pst_str_copy(tx->locked, sizeof tx->locked, registered);
    return rc;
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

/* *ret_holder: the id of the domain that has the name, "" for none. */
static int look(struct pst_tx *tx, const struct pst_hold_question *q, enum pst_hold *ret,
                char ret_holder[PST_ID_SIZE], struct pst_err *err)
{
    auto_(pst_rows_free) struct pst_rows *rows = NULL;
    bool wildcard = pst_name_is_wildcard(q->ascii);
    char above[PST_NAME_SIZE] = "";

    if (!wildcard && !wildcard_above(q->ascii, above))
        above[0] = '\0';
    int rc = pst_one(tx, &stmts[wildcard ? OF_WILDCARD : OF_NAME], &rows, err, pst_t(q->ascii),
                     pst_t(wildcard ? parent_of(q->ascii) : above), pst_t(q->user_id),
                     pst_i(q->released_after_ms));
    if (rc != PST_OK)
        return rc;

    struct pst_reader r = {.rows = rows, .err = err};
    pst_read_t(&r, ret_holder, PST_ID_SIZE);
    bool shared = pst_read_flag(&r), released = pst_read_flag(&r);
    *ret = shared ? PST_HOLD_SHARED : released ? PST_HOLD_RELEASED : PST_HOLD_FREE;
    return pst_reader_end(&r, "who holds a name");
}

int pst_name_hold(struct pst_tx *tx, const struct pst_hold_question *q, enum pst_hold *ret,
                  struct pst_domain *ret_holder, struct pst_err *err)
{
    char id[PST_ID_SIZE];

    for (;;) {
        *ret_holder = (struct pst_domain){0};
        int rc = look(tx, q, ret, id, err);
        if (rc != PST_OK || !id[0])
            return rc;
        rc = pst_domain_get(tx, id, ret_holder, err);
        if (rc == PST_NOTFOUND) /* it was given up before we had its lock */
            continue;
        if (rc == PST_OK)
            *ret = pst_streq(ret_holder->user_id, q->user_id) ? PST_HOLD_OWN : PST_HOLD_TAKEN;
        return rc;
    }
}
