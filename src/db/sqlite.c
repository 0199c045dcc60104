/*
 * sqlite.c - the SQLite driver: one thread that writes in groups, a pool of readers.
 *
 * The writing thread takes what is queued, runs each callback in its own savepoint inside one
 * BEGIN IMMEDIATE and answers all of them after the COMMIT: one fsync for many.  Positive answers
 * wait for the COMMIT too, because they may rest on what an earlier callback of the group wrote.
 */
#include "sqlite_internal.h"

#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <unistd.h>

enum {
    GROUP_MAX = 64,    /* callbacks in one COMMIT */
    GROUP_MAX_MS = 20, /* no new one is begun after this */
};

/* A waiting pst_db_tx(); lives on its caller's stack. */
struct job {
    pst_db_fn *fn;
    void *arg;
    struct pst_err *err;
    int rc;
    bool done;
    pthread_cond_t cond;
    struct job *next;
};

struct sq_db {
    char *path;
    int lock_fd;
    struct pst_sq *writer;

    pthread_t thread;
    bool running;
    pthread_mutex_t mutex; /* all below */
    pthread_cond_t queued;
    struct job *head, **tail;
    bool stop;

    struct pst_sq *readers; /* not in use */
    size_t readers_n;       /* all */
    pthread_cond_t reader_free;
};

/* ---- the writing thread ---- */

/* One callback in its savepoint.  False: the whole transaction is gone. */
static bool run_job(struct pst_db *db, struct pst_sq *c, struct job *j)
{
    struct pst_dbtx tx = {.db = db, .conn = c, .write = true};

    j->rc = pst_sq_script(c, "SAVEPOINT job", j->err);
    if (j->rc != PST_OK)
        return false;
    j->rc = pst_dbtx_run(&tx, j->fn, j->arg, j->err);
    if (j->rc == PST_OK)
        j->rc = pst_sq_script(c, "RELEASE job", j->err);
    if (j->rc == PST_OK)
        return true;
    /* Some errors (disk full, no memory) make SQLite roll all back at once. */
    return !sqlite3_get_autocommit(c->h) &&
           pst_sq_script(c, "ROLLBACK TO job; RELEASE job", NULL) == PST_OK;
}

static struct job *pop(struct sq_db *q)
{
    pthread_mutex_lock(&q->mutex);
    struct job *j = q->head;
    if (j) {
        q->head = j->next;
        if (!q->head)
            q->tail = &q->head;
    }
    pthread_mutex_unlock(&q->mutex);
    return j;
}

/* What the group's callbacks believed is not so: those without a fault of their own get `why`. */
static void fail_group(struct job **group, size_t n, const struct pst_err *why)
{
    for (size_t k = 0; k < n; k++)
        if (group[k]->rc >= 0) {
            *group[k]->err = *why;
            group[k]->rc = why->rc;
        }
}

static void answer(struct sq_db *q, struct job **group, size_t n)
{
    pthread_mutex_lock(&q->mutex);
    for (size_t k = 0; k < n; k++) {
        group[k]->done = true;
        pthread_cond_signal(&group[k]->cond);
    }
    pthread_mutex_unlock(&q->mutex);
}

static int commit(struct pst_sq *c, struct pst_err *err)
{
    int rc = pst_sq_script(c, "COMMIT", err);
    if (rc == PST_OK)
        return PST_OK;
    /* Frames may lie in the log although the last fsync failed: a crash now could bring them
     * back. */
    if ((sqlite3_extended_errcode(c->h) & 0xff) == SQLITE_IOERR)
        pst_err_problem(err, "db.commit-unknown");
    return pst_wrap(err, "committing");
}

static void run_group(struct pst_db *db, struct sq_db *q)
{
    struct job *group[GROUP_MAX];
    size_t n = 0;
    struct pst_err why = {0};
    int64_t end = pst_mono_ms(pst_clock_system()) + GROUP_MAX_MS;

    int rc = pst_sq_script(q->writer, "BEGIN IMMEDIATE", &why);
    while (n < GROUP_MAX && (n == 0 || pst_mono_ms(pst_clock_system()) < end)) {
        struct job *j = pop(q);
        if (!j)
            break;
        group[n++] = j;
        if (rc != PST_OK) {
            j->rc = PST_OK; /* fail_group() says it */
        } else if (!run_job(db, q->writer, j)) {
            rc = pst_fail(&why, PST_EDB, "the transaction was lost when another one in it failed");
            pst_err_retry(&why, PST_RETRY_BACKOFF, 0);
        }
    }
    if (rc == PST_OK)
        rc = commit(q->writer, &why);
    if (rc != PST_OK) {
        fail_group(group, n, &why);
        if (!sqlite3_get_autocommit(q->writer->h))
            (void)pst_sq_script(q->writer, "ROLLBACK", NULL);
    }
    answer(q, group, n);
}

static void *write_thread(void *arg)
{
    struct pst_db *db = arg;
    struct sq_db *q = db->impl;

    for (;;) {
        pthread_mutex_lock(&q->mutex);
        while (!q->head && !q->stop)
            pthread_cond_wait(&q->queued, &q->mutex);
        bool end = !q->head;
        pthread_mutex_unlock(&q->mutex);
        if (end)
            return NULL;
        run_group(db, q);
    }
}

static int sq_tx(struct pst_db *db, pst_db_fn *fn, void *arg, struct pst_err *err)
{
    struct sq_db *q = db->impl;
    struct job j = {.fn = fn, .arg = arg, .err = err, .cond = PTHREAD_COND_INITIALIZER};

    pthread_mutex_lock(&q->mutex);
    *q->tail = &j;
    q->tail = &j.next;
    pthread_cond_signal(&q->queued);
    while (!j.done)
        pthread_cond_wait(&j.cond, &q->mutex);
    pthread_mutex_unlock(&q->mutex);
    pthread_cond_destroy(&j.cond);
    return j.rc;
}

/* ---- readers ---- */

static int reader_get(struct pst_db *db, struct pst_sq **ret, struct pst_err *err)
{
    struct sq_db *q = db->impl;

    pthread_mutex_lock(&q->mutex);
    while (!q->readers && q->readers_n >= db->pool_max)
        pthread_cond_wait(&q->reader_free, &q->mutex);
    struct pst_sq *c = q->readers;
    if (c)
        q->readers = c->next;
    else
        q->readers_n++;
    pthread_mutex_unlock(&q->mutex);
    if (c) {
        *ret = c;
        return PST_OK;
    }
    int rc = pst_sq_open(ret, q->path, false, db->slots_n, err);
    if (rc != PST_OK) {
        pthread_mutex_lock(&q->mutex);
        q->readers_n--;
        pthread_cond_signal(&q->reader_free);
        pthread_mutex_unlock(&q->mutex);
    }
    return rc;
}

static void reader_put(struct sq_db *q, struct pst_sq *c)
{
    pthread_mutex_lock(&q->mutex);
    c->next = q->readers;
    q->readers = c;
    pthread_cond_signal(&q->reader_free);
    pthread_mutex_unlock(&q->mutex);
}

static int sq_read(struct pst_db *db, pst_db_fn *fn, void *arg, struct pst_err *err)
{
    struct pst_sq *c = NULL;

    int rc = reader_get(db, &c, err);
    if (rc != PST_OK)
        return rc;
    struct pst_dbtx tx = {.db = db, .conn = c};
    rc = pst_sq_script(c, "BEGIN", err);
    if (rc == PST_OK) {
        rc = pst_dbtx_run(&tx, fn, arg, err);
        if (!sqlite3_get_autocommit(c->h))
            (void)pst_sq_script(c, "ROLLBACK", NULL); /* there is nothing to keep */
    }
    reader_put(db->impl, c);
    return rc;
}

/* ---- opening ---- */

static int sq_script(struct pst_dbtx *tx, const char *sql, struct pst_err *err)
{
    return pst_sq_script(tx->conn, sql, err);
}

static void stop(struct sq_db *q)
{
    if (q->running) {
        pthread_mutex_lock(&q->mutex);
        q->stop = true;
        pthread_cond_signal(&q->queued);
        pthread_mutex_unlock(&q->mutex);
        pthread_join(q->thread, NULL);
        q->running = false;
    }
    while (q->readers) {
        struct pst_sq *c = q->readers;
        q->readers = c->next;
        pst_sq_close(c);
    }
    q->readers_n = 0;
    pst_sq_close(q->writer); /* last, so that it can empty the log */
    q->writer = NULL;
}

static void sq_close(struct pst_db *db)
{
    struct sq_db *q = db->impl;

    stop(q);
    if (q->lock_fd >= 0)
        close(q->lock_fd);
    pthread_cond_destroy(&q->queued);
    pthread_cond_destroy(&q->reader_free);
    pthread_mutex_destroy(&q->mutex);
    pst_free(q->path);
    pst_free(q);
}

static const struct pst_db_driver driver = {
    .engine = PST_DB_SQLITE,
    .tx = sq_tx,
    .read = sq_read,
    .run = pst_sq_run,
    .script = sq_script,
    .check = pst_sq_check,
    .close = sq_close,
};

static int start(struct pst_db *db, const char *path, struct pst_err *err)
{
    struct sq_db *q = db->impl;

    int rc = pst_sq_open(&q->writer, path, true, db->slots_n, err);
    if (rc != PST_OK)
        return rc;
    q->stop = false;
    int sys = pthread_create(&q->thread, NULL, write_thread, db);
    if (sys != 0)
        return pst_fail(err, PST_ESYS, "cannot start the database's thread: error %d", sys);
    q->running = true;
    return PST_OK;
}

static int new_impl(struct pst_db *db, const char *path, struct pst_err *err)
{
    struct sq_db *q = pst_zalloc(1, sizeof *q);
    if (!q)
        return pst_fail_nomem(err, "the database");
    q->path = pst_strdup(path);
    if (!q->path) {
        pst_free(q);
        return pst_fail_nomem(err, "the database");
    }
    q->lock_fd = -1;
    q->tail = &q->head;
    pthread_mutex_init(&q->mutex, NULL);
    pthread_cond_init(&q->queued, NULL);
    pthread_cond_init(&q->reader_free, NULL);
    db->impl = q;
    db->driver = &driver;
    return PST_OK;
}

/* A new file with our mark, before WAL is switched on. */
static int make_file(const char *path, uint32_t application_id, struct pst_err *err)
{
    char sql[80];
    sqlite3 *h = NULL;

    auto_close int fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd < 0)
        return pst_fail_sys(err, "making %s", path);
    snprintf(sql, sizeof sql, "PRAGMA application_id = %d; VACUUM", (int32_t)application_id);
    int code = sqlite3_open_v2(path, &h, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX, NULL);
    if (code == SQLITE_OK)
        code = sqlite3_exec(h, sql, NULL, NULL, NULL);
    sqlite3_close(h);
    return code == SQLITE_OK ? PST_OK : pst_sq_fail(NULL, code, path, err);
}

/* Made beside its place and moved there when it is complete: a crash leaves no half database. */
static int create(struct pst_db *db, const struct pst_db_opts *opts, struct pst_err *err)
{
    struct sq_db *q = db->impl;

    auto_(pst_free) char *path = pst_asprintf("%s.new", q->path);
    if (!path)
        return pst_fail_nomem(err, "a file name");
    pst_sq_file_remove(path);
    int rc = make_file(path, opts->application_id, err);
    if (rc == PST_OK)
        rc = start(db, path, err);
    if (rc == PST_OK)
        rc = pst_db_migrate(db, opts, err);
    stop(q);
    if (rc == PST_OK)
        rc = pst_sq_file_publish(path, q->path, err);
    if (rc != PST_OK)
        pst_sq_file_remove(path);
    return rc;
}

int pst_db_sqlite_open(struct pst_db *db, const char *path, const struct pst_db_opts *opts,
                       struct pst_err *err)
{
    if (!*path)
        return pst_fail(err, PST_ECONFIG, "the database's address lacks a path after sqlite:");
    int rc = pst_sq_file_check(path, opts->application_id, err);
    if (rc == PST_ECONFIG && opts->create)
        return PST_CONFLICT;
    if (rc < 0)
        return rc;
    if (rc == PST_OK && opts->create)
        return PST_CONFLICT;
    if (rc == PST_NOTFOUND && !opts->create)
        return pst_fail(err, PST_ECONFIG, "there is no database at %s; posternd init makes one",
                        path);
    rc = new_impl(db, path, err);
    if (rc == PST_OK)
        rc = pst_sq_file_lock(path, &((struct sq_db *)db->impl)->lock_fd, err);
    if (rc == PST_OK && opts->create)
        rc = create(db, opts, err);
    if (rc == PST_OK)
        rc = start(db, path, err);
    if (rc == PST_OK && !opts->create)
        rc = pst_db_migrate(db, opts, err);
    return rc;
}
