/* store.c - opening, and transactions that end with a feed revision. */
#include "store_internal.h"

#include <postern/crypto.h>

enum { APPLICATION_ID = 0x50535452 }; /* "PSTR" */

/* ---- transactions ---- */

struct call {
    struct pst_store *store;
    pst_tx_fn *fn;
    void *arg;
    int64_t rev; /* of the run that was committed */
    bool wake, answers;
};

static int run_write(struct pst_dbtx *db, void *arg, struct pst_err *err)
{
    struct call *c = arg;
    struct pst_tx tx = {.db = db, .store = c->store, .write = true};

    int rc = c->fn(&tx, c->arg, err);
    if (rc == PST_OK)
        rc = pst_answers_flush(&tx, err);
    if (rc == PST_OK)
        rc = pst_touch_flush(&tx, err);
    c->answers = tx.answers;
    c->rev = tx.rev;
    c->wake = tx.wake;
    pst_free(tx.touched);
    return rc;
}

int pst_store_write(struct pst_store *s, pst_tx_fn *fn, void *arg, int64_t *ret_rev,
                    struct pst_err *err)
{
    struct call c = {.store = s, .fn = fn, .arg = arg};

    int rc = pst_db_tx(s->db, run_write, &c, err);
    if (rc != PST_OK)
        return rc;
    if (s->on_commit && (c.rev || c.wake))
        s->on_commit(s->on_commit_arg, c.rev);
    if (s->on_answers && c.answers)
        s->on_answers(s->on_answers_arg);
    if (ret_rev)
        *ret_rev = c.rev;
    return PST_OK;
}

static int run_read(struct pst_dbtx *db, void *arg, struct pst_err *err)
{
    struct call *c = arg;
    struct pst_tx tx = {.db = db, .store = c->store};

    int rc = c->fn(&tx, c->arg, err);
    pst_free(tx.touched);
    return rc;
}

int pst_store_read(struct pst_store *s, pst_tx_fn *fn, void *arg, struct pst_err *err)
{
    struct call c = {.store = s, .fn = fn, .arg = arg};
    return pst_db_read(s->db, run_read, &c, err);
}

void pst_store_on_commit(struct pst_store *s, pst_store_commit_fn *fn, void *arg)
{
    s->on_commit = fn;
    s->on_commit_arg = arg;
}

void pst_store_on_answers(struct pst_store *s, pst_store_answers_fn *fn, void *arg)
{
    s->on_answers = fn;
    s->on_answers_arg = arg;
}

struct pst_store *pst_tx_store(struct pst_tx *tx)
{
    return tx->store;
}

const struct pst_clock *pst_store_clock(const struct pst_store *s)
{
    return s->clock;
}

struct pst_rand *pst_store_rand(struct pst_store *s)
{
    return s->rand;
}

struct pst_keyring *pst_store_keys(struct pst_store *s)
{
    return s->keys;
}

/* ---- opening ---- */

static void collect_sets(struct pst_store *s)
{
#define SET(file) &pst_store_sql_##file,
    const struct pst_stmt_set *const all[] = {PST_STORE_FILES(SET)};
#undef SET

    for (size_t k = 0; k < PST_STORE_SETS; k++)
        s->sets[k] = *all[k];
}

static int init(struct pst_tx *tx, void *arg, struct pst_err *err)
{
    return pst_touch_init(tx, err);
}

static int open_db(struct pst_store *s, const struct pst_store_opts *opts, struct pst_err *err)
{
    struct pst_db_opts db = {
        .url = opts->url,
        .create = opts->create,
        .application_id = APPLICATION_ID,
        .sets = s->sets,
        .sets_n = PST_STORE_SETS,
        .migrations = pst_store_migrations,
        .migrations_n = pst_store_migrations_n,
        .clock = opts->clock,
    };
    int rc = pst_db_open(&s->db, &db, err);
    if (rc == PST_OK)
        rc = pst_store_write(s, init, NULL, NULL, err);
    if (rc == PST_OK && s->keys)
        rc = pst_store_load_keys(s, err);
    return rc;
}

PST_CLEANUP(struct pst_store, pst_store_close);

int pst_store_open(struct pst_store **ret, const struct pst_store_opts *opts, struct pst_err *err)
{
    auto_(pst_store_close) struct pst_store *s = pst_zalloc(1, sizeof *s);
    if (!s)
        return pst_fail_nomem(err, "the store");
    s->keys = opts->keys;
    s->clock = opts->clock;
    s->rand = opts->rand;
    s->node = pst_strdup(opts->node);
    if (!s->node)
        return pst_fail_nomem(err, "the store");
    collect_sets(s);

    int rc = open_db(s, opts, err);
    if (rc != PST_OK)
        return rc;
    *ret = pst_take(&s);
    return PST_OK;
}

void pst_store_close(struct pst_store *s)
{
    if (!s)
        return;
    pst_db_close(s->db);
    pst_free(s->node);
    pst_free(s);
}
