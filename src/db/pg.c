/*
 * pg.c - the PostgreSQL driver: a bounded pool, transactions that run again, lost COMMITs.
 *
 * A transaction is run again after a serialisation failure, a deadlock or a broken connection, as
 * long as COMMIT was not sent.  It is also run again a few times after a unique violation: when
 * two callbacks looked first and then inserted the same, the second look finds the other's row.
 */
#include "pg_internal.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum {
    TRIES_MAX = 10,       /* serialisation, deadlock */
    UNIQUE_TRIES_MAX = 3, /* unique violation */
    BROKEN_TRIES_MAX = 3, /* connection */
    POOL_WAIT_S = 10,     /* for a connection that is in use */
    LOOK_UP_TRIES = 40,   /* of what became of a COMMIT */
    LOOK_UP_PAUSE_MS = 250,
    PAUSE_MAX_MS = 20, /* before a second try, times the number of tries */
};

struct pg_db {
    char *url;
    pthread_mutex_t mutex; /* all below */
    pthread_cond_t freed;
    struct pst_pg *idle;
    size_t open_n; /* idle or in use */
};

/* ---- pool ---- */

/* Wait until a connection is idle or a new one may be made; *ret NULL: make one. */
static int pool_take(struct pst_db *db, struct pst_pg **ret, struct pst_err *err)
{
    struct pg_db *p = db->impl;
    struct timespec until;
    int sys = 0;

    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += POOL_WAIT_S;
    pthread_mutex_lock(&p->mutex);
    while (!p->idle && p->open_n >= db->pool_max && sys != ETIMEDOUT)
        sys = pthread_cond_timedwait(&p->freed, &p->mutex, &until);
    struct pst_pg *c = p->idle;
    bool may = c || p->open_n < db->pool_max;
    if (c)
        p->idle = c->next;
    else if (may)
        p->open_n++;
    pthread_mutex_unlock(&p->mutex);
    if (!may) {
        pst_fail(err, PST_EDB, "all %zu database connections are busy", db->pool_max);
        pst_err_retry(err, PST_RETRY_BACKOFF, 0);
        return PST_EDB;
    }
    *ret = c;
    return PST_OK;
}

static void pool_put(struct pg_db *p, struct pst_pg *c)
{
    bool keep = c && !pst_pg_broken(c) && PQtransactionStatus(c->h) == PQTRANS_IDLE;

    if (!keep)
        pst_pg_close(c);
    pthread_mutex_lock(&p->mutex);
    if (keep) {
        c->next = p->idle;
        p->idle = c;
    } else {
        p->open_n--;
    }
    pthread_cond_signal(&p->freed);
    pthread_mutex_unlock(&p->mutex);
}

static int pool_get(struct pst_db *db, struct pst_pg **ret, struct pst_err *err)
{
    struct pg_db *p = db->impl;
    struct pst_pg *c = NULL;

    int rc = pool_take(db, &c, err);
    if (rc == PST_OK && !c) {
        rc = pst_pg_open(&c, p->url, db->slots_n, err);
        if (rc != PST_OK)
            pool_put(p, NULL);
    }
    if (rc == PST_OK)
        *ret = c;
    return rc;
}

/* One dead connection means that the others are, too: a restarted server. */
static void pool_drop_idle(struct pg_db *p)
{
    pthread_mutex_lock(&p->mutex);
    while (p->idle) {
        struct pst_pg *c = p->idle;
        p->idle = c->next;
        p->open_n--;
        pst_pg_close(c);
    }
    pthread_cond_broadcast(&p->freed);
    pthread_mutex_unlock(&p->mutex);
}

/* ---- one try ---- */

enum verdict { KEEP, AGAIN, AGAIN_UNIQUE, AGAIN_BROKEN };

struct
try {
    struct pst_db *db;
    pst_db_fn *fn;
    void *arg;
    struct pst_err *err;
    char xid[24]; /* of the transaction, "" for a reading one */
};

static enum verdict judge(const struct pst_pg *c)
{
    if (pst_pg_broken(c))
        return AGAIN_BROKEN;
    if (pst_streq(c->sqlstate, "40001") || pst_streq(c->sqlstate, "40P01"))
        return AGAIN;
    return pst_streq(c->sqlstate, "23505") ? AGAIN_UNIQUE : KEEP;
}

static int begin(struct try *t, struct pst_pg *c, bool write)
{
    auto_(PQclear) PGresult *res = NULL;

    if (!write)
        return pst_pg_script(c, "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY", NULL, t->err);
    int rc = pst_pg_script(c,
                           "BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE;"
                           "SELECT pg_current_xact_id()::text",
                           &res, t->err);
    if (rc != PST_OK)
        return rc;
    if (PQntuples(res) != 1 || !pst_str_copy(t->xid, sizeof t->xid, PQgetvalue(res, 0, 0)))
        return pst_fail(t->err, PST_EDB, "PostgreSQL did not number the transaction");
    return PST_OK;
}

/* Ask a new connection what became of the transaction: 1 committed, 0 not, -1 not known. */
static int look_up_once(struct pst_db *db, const char *xid)
{
    struct pg_db *p = db->impl;
    auto_(PQclear) PGresult *res = NULL;
    char sql[96];

    auto_(pst_pg_close) struct pst_pg *c = NULL;
    if (pst_pg_open(&c, p->url, db->slots_n, NULL) != PST_OK)
        return -1;
    snprintf(sql, sizeof sql, "SELECT pg_xact_status('%s'::xid8)", xid);
    if (pst_pg_script(c, sql, &res, NULL) != PST_OK || PQntuples(res) != 1)
        return -1;
    const char *status = PQgetvalue(res, 0, 0);
    return pst_streq(status, "committed") ? 1 : pst_streq(status, "aborted") ? 0 : -1;
}

static int look_up(struct try *t, enum verdict *ret)
{
    for (int k = 0; k < LOOK_UP_TRIES; k++) {
        int found = look_up_once(t->db, t->xid);
        if (found == 1)
            return PST_OK;
        if (found == 0) {
            *ret = AGAIN_BROKEN;
            return PST_EDB;
        }
        usleep(LOOK_UP_PAUSE_MS * 1000);
    }
    pst_err_problem(t->err, "db.commit-unknown");
    return pst_wrap(t->err, "the answer to a COMMIT was lost, it may have happened");
}

static int commit(struct try *t, struct pst_pg *c, enum verdict *ret)
{
    auto_(PQclear) PGresult *res = NULL;

    int rc = pst_pg_script(c, "COMMIT", &res, t->err);
    if (rc != PST_OK && pst_pg_broken(c))
        return look_up(t, ret);
    if (rc != PST_OK) {
        *ret = judge(c);
        return pst_wrap(t->err, "committing");
    }
    if (!pst_streq(PQcmdStatus(res), "COMMIT"))
        return pst_fail(t->err, PST_EDB, "PostgreSQL rolled back instead of committing");
    return PST_OK;
}

/* Run the callback once on this connection; *ret says whether to do it again. */
static int run_once(struct try *t, struct pst_pg *c, bool write, enum verdict *ret)
{
    struct pst_dbtx tx = {.db = t->db, .conn = c, .write = write};

    *ret = KEEP;
    c->sqlstate[0] = '\0';
    int rc = begin(t, c, write);
    if (rc != PST_OK) {
        *ret = judge(c);
        return rc;
    }
    rc = pst_dbtx_run(&tx, t->fn, t->arg, t->err);
    if (tx.failed)
        *ret = judge(c);
    if (rc == PST_OK && write)
        return commit(t, c, ret);
    if (!pst_pg_broken(c))
        (void)pst_pg_script(c, "ROLLBACK", NULL, NULL); /* what fails here is closed by the pool */
    return rc;
}

/* ---- transactions ---- */

static void pause_before(int tries)
{
    unsigned most = PAUSE_MAX_MS * 1000u * (unsigned)tries;
    usleep((unsigned)pst_rand_below(pst_rand_system(), most) + 1000);
}

static int run(struct pst_db *db, pst_db_fn *fn, void *arg, bool write, struct pst_err *err)
{
    static const int most[] = {[KEEP] = 0,
                               [AGAIN] = TRIES_MAX,
                               [AGAIN_UNIQUE] = UNIQUE_TRIES_MAX,
                               [AGAIN_BROKEN] = BROKEN_TRIES_MAX};
    struct try t = {.db = db, .fn = fn, .arg = arg, .err = err};

    for (int tries = 1;; tries++) {
        struct pst_pg *c = NULL;
        enum verdict verdict;

        int rc = pool_get(db, &c, err);
        if (rc != PST_OK)
            return rc;
        rc = run_once(&t, c, write, &verdict);
        pool_put(db->impl, c);
        if (verdict == AGAIN_BROKEN)
            pool_drop_idle(db->impl);
        if (rc == PST_OK || verdict == KEEP || tries >= most[verdict])
            return rc;
        pst_err_clear(err);
        pause_before(tries);
    }
}

static int pg_tx(struct pst_db *db, pst_db_fn *fn, void *arg, struct pst_err *err)
{
    return run(db, fn, arg, true, err);
}

static int pg_read(struct pst_db *db, pst_db_fn *fn, void *arg, struct pst_err *err)
{
    return run(db, fn, arg, false, err);
}

/* ---- opening ---- */

static int pg_script(struct pst_dbtx *tx, const char *sql, struct pst_err *err)
{
    return pst_pg_script(tx->conn, sql, NULL, err);
}

static void pg_close(struct pst_db *db)
{
    struct pg_db *p = db->impl;

    pool_drop_idle(p);
    pthread_cond_destroy(&p->freed);
    pthread_mutex_destroy(&p->mutex);
    pst_free(p->url);
    pst_free(p);
}

static const struct pst_db_driver driver = {
    .engine = PST_DB_PG,
    .tx = pg_tx,
    .read = pg_read,
    .run = pst_pg_run,
    .script = pg_script,
    .check = pst_pg_check,
    .close = pg_close,
};

static void init_sync(struct pg_db *p)
{
    pthread_condattr_t attr;

    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&p->freed, &attr);
    pthread_condattr_destroy(&attr);
    pthread_mutex_init(&p->mutex, NULL);
}

int pst_db_pg_open(struct pst_db *db, const char *url, const struct pst_db_opts *opts,
                   struct pst_err *err)
{
    struct pg_db *p = pst_zalloc(1, sizeof *p);
    if (!p)
        return pst_fail_nomem(err, "the database");
    p->url = pst_strdup(url);
    if (!p->url) {
        pst_free(p);
        return pst_fail_nomem(err, "the database");
    }
    init_sync(p);
    db->impl = p;
    db->driver = &driver;
    return pst_db_migrate(db, opts, err);
}
