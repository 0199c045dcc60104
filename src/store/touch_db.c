/*
 * touch_db.c - one feed revision for all that a transaction changed for the edges.
 *
 * The objects are kept in memory until the end of the callback.  Then the row of `feed` is updated:
 * whoever holds it commits before the next one gets a number, so revisions become visible in their
 * order and a follower never misses one.
 */
#include "store_internal.h"

#include <inttypes.h>
#include <stdio.h>

enum { NEXT_REV, REVISION, CHANGE, INIT_FEED, INIT_REVISION };

static const struct pst_stmt stmts[] = {
    [NEXT_REV] = {.name = "touch.next",
                  .sql = "UPDATE feed SET rev = rev + 1 WHERE id = 1 RETURNING rev",
                  .args = "",
                  .cols = "i"},
    [REVISION] = {.name = "touch.revision",
                  .sql = "INSERT INTO feed_revisions (rev, id, at_ms) VALUES ($1, $2, $3)",
                  .args = "iti",
                  .cols = ""},
    [CHANGE] = {.name = "touch.change",
                .sql = "INSERT INTO changes (kind, key, rev, deleted) VALUES ($1, $2, $3, $4) "
                       "ON CONFLICT (kind, key) DO UPDATE SET rev = excluded.rev, "
                       "deleted = excluded.deleted",
                .args = "ttii",
                .cols = ""},
    [INIT_FEED] = {.name = "touch.init-feed",
                   .sql = "INSERT INTO feed (id, epoch, rev) VALUES (1, $1, 0) "
                          "ON CONFLICT DO NOTHING",
                   .args = "t",
                   .cols = ""},
    [INIT_REVISION] = {.name = "touch.init-revision",
                       .sql = "INSERT INTO feed_revisions (rev, id, at_ms) VALUES (0, $1, $2) "
                              "ON CONFLICT DO NOTHING",
                       .args = "ti",
                       .cols = ""},
};
PST_STORE_SQL(touch);

enum { REV_ID_BYTES = 8, LOOK_BACK = 32 };

int pst_touch(struct pst_tx *tx, const char *kind, const char *key, bool deleted,
              struct pst_err *err)
{
    /* Repeated ones stand close together; one that is not found is only written twice. */
    for (size_t k = tx->touched_n; k > 0 && tx->touched_n - k < LOOK_BACK; k--) {
        struct pst_touch *t = &tx->touched[k - 1];
        if (pst_streq(t->kind, kind) && pst_streq(t->key, key)) {
            t->deleted = deleted;
            return PST_OK;
        }
    }
    if (tx->touched_n == tx->touched_cap) {
        size_t cap = tx->touched_cap ? tx->touched_cap * 2 : 16;
        struct pst_touch *list = pst_realloc(tx->touched, cap * sizeof *list);
        if (!list)
            return pst_fail_nomem(err, "the list of changes");
        tx->touched = list;
        tx->touched_cap = cap;
    }
    struct pst_touch *t = &tx->touched[tx->touched_n];
    *t = (struct pst_touch){.kind = kind, .deleted = deleted};
    if (!pst_str_copy(t->key, sizeof t->key, key))
        return pst_fail(err, PST_EINPUT, "%s: \"%.40s...\" is too long a key", kind, key);
    tx->touched_n++;
    return PST_OK;
}

int pst_touch_num(struct pst_tx *tx, const char *kind, int64_t num, bool deleted,
                  struct pst_err *err)
{
    char key[24];

    snprintf(key, sizeof key, "%" PRId64, num);
    return pst_touch(tx, kind, key, deleted, err);
}

static void new_rev_id(struct pst_tx *tx, char id[REV_ID_BYTES * 2 + 1])
{
    unsigned char bytes[REV_ID_BYTES];

    pst_rand_fill(tx->store->rand, bytes, sizeof bytes);
    pst_hex(id, bytes, sizeof bytes);
}

int pst_touch_flush(struct pst_tx *tx, struct pst_err *err)
{
    char id[REV_ID_BYTES * 2 + 1];
    int64_t rev = 0;

    if (tx->touched_n == 0)
        return PST_OK;
    int rc = pst_number(tx, &stmts[NEXT_REV], &rev, err);
    if (rc == PST_NOTFOUND)
        return pst_fail(err, PST_EDB, "the database has lost the row of its feed");
    new_rev_id(tx, id);
    if (rc == PST_OK)
        rc = pst_db_exec(tx->db, &stmts[REVISION], NULL, err, pst_i(rev), pst_t(id),
                         pst_i(pst_tx_now_ms(tx)));
    for (size_t k = 0; rc == PST_OK && k < tx->touched_n; k++)
        rc = pst_db_exec(tx->db, &stmts[CHANGE], NULL, err, pst_t(tx->touched[k].kind),
                         pst_t(tx->touched[k].key), pst_i(rev), pst_i(tx->touched[k].deleted));
    if (rc == PST_OK)
        tx->rev = rev;
    return rc;
}

int pst_touch_init(struct pst_tx *tx, struct pst_err *err)
{
    char epoch[PST_ID_SIZE], id[REV_ID_BYTES * 2 + 1];

    pst_id_new(tx->store->rand, epoch);
    new_rev_id(tx, id);
    int rc = pst_change(tx, &stmts[INIT_FEED], PST_DONE, err, pst_t(epoch));
    if (rc != PST_OK)
        return rc == PST_DONE ? PST_OK : rc;
    return pst_db_exec(tx->db, &stmts[INIT_REVISION], NULL, err, pst_t(id),
                       pst_i(pst_tx_now_ms(tx)));
}
