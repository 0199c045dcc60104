/* db_sqlite_test.c - what only the SQLite driver has: a file that must be ours, one process, group
 * commits that fail. */
#include "pst_test.h"

#include "pst_test_db.h"

#include <dirent.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "sqlite_internal.h"

static const struct pst_migration migrations[] = {
    {1, "0001_t.sql", "aa", 1, "CREATE TABLE t (n bigint NOT NULL PRIMARY KEY, b blob);", ""},
};

enum { PUT, COUNT };

static const struct pst_stmt stmts[] = {
    [PUT] = {.name = "put",
             .sql = "INSERT INTO t (n, b) VALUES ($1, $2)",
             .args = "ib",
             .cols = ""},
    [COUNT] = {.name = "count",
               .sql = "SELECT count(*) FROM t WHERE n = $1",
               .args = "i",
               .cols = "i"},
};
static const struct pst_stmt_set sets[] = {{stmts, PST_ARRAY_N(stmts)}};

struct fixture {
    char dir[64], path[96], url[112];
    struct pst_db_opts opts;
    struct pst_db *db;
    struct pst_err err;
};

static int set_up(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);

    if (!f)
        return -1;
    snprintf(f->dir, sizeof f->dir, "/tmp/pst-sq-XXXXXX");
    if (!mkdtemp(f->dir))
        return -1;
    snprintf(f->path, sizeof f->path, "%s/t.db", f->dir);
    snprintf(f->url, sizeof f->url, "sqlite:%s", f->path);
    f->opts = (struct pst_db_opts){.url = f->url,
                                   .create = true,
                                   .application_id = 0x50535454,
                                   .sets = sets,
                                   .sets_n = 1,
                                   .migrations = migrations,
                                   .migrations_n = 1};
    *state = f;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *f = *state;

    pst_db_close(f->db);
    (void)nftw(f->dir, pst_test_remove_, 8, FTW_DEPTH | FTW_PHYS);
    free(f);
    return 0;
}

static void create(struct fixture *f)
{
    assert_ok(pst_db_open(&f->db, &f->opts, &f->err), f->err);
    f->opts.create = false;
}

static int put_fn(struct pst_dbtx *tx, void *arg, struct pst_err *err)
{
    return pst_db_exec(tx, &stmts[PUT], NULL, err, pst_i(*(int64_t *)arg), pst_b("", 0));
}

static int count_fn(struct pst_dbtx *tx, void *arg, struct pst_err *err)
{
    int64_t *n = arg;

    auto_(pst_rows_free) struct pst_rows *rows = NULL;
    int rc = pst_db_query(tx, &stmts[COUNT], &rows, err, pst_i(*n));
    if (rc == PST_OK && pst_rows_next(rows))
        *n = pst_col_i(rows, 0);
    return rc;
}

static bool there(struct fixture *f, int64_t n)
{
    assert_ok(pst_db_read(f->db, count_fn, &n, &f->err), f->err);
    return n == 1;
}

/* ---- the file ---- */

static void write_file(const char *path, const void *data, size_t len)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, data, len), len);
    close(fd);
}

static size_t files_in(const char *path)
{
    size_t n = 0;

    DIR *dir = opendir(path);
    assert_non_null(dir);
    for (struct dirent *e; (e = readdir(dir));)
        n += e->d_name[0] != '.';
    closedir(dir);
    return n;
}

static void strange_files_are_left_alone(void **state)
{
    struct fixture *f = *state;
    static const char text[] = "This is somebody's diary, longer than the head of a database file "
                               "so that its length does not give it away.";
    char after[sizeof text] = "";
    sqlite3 *h = NULL;

    f->opts.create = false;
    assert_rc(pst_db_open(&f->db, &f->opts, &f->err), PST_ECONFIG, f->err);
    assert_err_has(f->err, "posternd init");
    assert_int_equal(files_in(f->dir), 0);

    write_file(f->path, text, sizeof text);
    assert_rc(pst_db_open(&f->db, &f->opts, &f->err), PST_ECONFIG, f->err);
    assert_err_has(f->err, "not an SQLite database");
    f->opts.create = true;
    assert_rc(pst_db_open(&f->db, &f->opts, &f->err), PST_CONFLICT, f->err);
    int fd = open(f->path, O_RDONLY);
    assert_int_equal(read(fd, after, sizeof after), sizeof text);
    close(fd);
    assert_memory_equal(after, text, sizeof text);
    assert_int_equal(files_in(f->dir), 1);

    unlink(f->path);
    assert_int_equal(sqlite3_open(f->path, &h), SQLITE_OK);
    assert_int_equal(sqlite3_exec(h, "CREATE TABLE theirs (x)", NULL, NULL, NULL), SQLITE_OK);
    sqlite3_close(h);
    f->opts.create = false;
    assert_rc(pst_db_open(&f->db, &f->opts, &f->err), PST_ECONFIG, f->err);
    assert_err_has(f->err, "another program");
    assert_int_equal(files_in(f->dir), 1);
}

static void a_crash_while_making_it_can_be_repeated(void **state)
{
    struct fixture *f = *state;
    char left[128];
    struct stat st;

    snprintf(left, sizeof left, "%s.new", f->path);
    write_file(left, "half", 4);
    write_file(f->path, "", 0);
    f->opts.create = false;
    assert_rc(pst_db_open(&f->db, &f->opts, &f->err), PST_ECONFIG, f->err);
    f->opts.create = true;
    create(f);
    assert_int_equal(stat(f->path, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
    assert_int_equal(stat(left, &st), -1);
}

static void a_failed_making_leaves_nothing(void **state)
{
    struct fixture *f = *state;
    struct pst_migration bad[] = {migrations[0]};
    struct stat st;

    bad[0].sql = "CREATE TABLE t (n bigint); SELEKT";
    f->opts.migrations = bad;
    assert_rc(pst_db_open(&f->db, &f->opts, &f->err), PST_EDB, f->err);
    assert_int_equal(stat(f->path, &st), -1);
    assert_int_equal(files_in(f->dir), 1); /* the lock file */
    f->opts.migrations = migrations;
    create(f);
}

static int open_in_child(struct fixture *f)
{
    int status = -1;

    pid_t pid = fork();
    if (pid == 0) {
        struct pst_db *db = NULL;
        struct pst_err err = {0};
        int rc = pst_db_open(&db, &f->opts, &err);
        _exit(rc == PST_ECONFIG && strstr(err.text, "another process") ? 7 : rc == PST_OK ? 0 : 9);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status));
    return WEXITSTATUS(status);
}

static void a_second_process_is_refused(void **state)
{
    struct fixture *f = *state;
    struct pst_db *second = NULL;

    create(f);
    assert_int_equal(open_in_child(f), 7);
    assert_rc(pst_db_open(&second, &f->opts, &f->err), PST_ECONFIG, f->err);
    assert_ok(pst_db_tx(f->db, put_fn, &(int64_t){1}, &f->err), f->err); /* the first goes on */
    pst_db_close(f->db);
    f->db = NULL;
    assert_int_equal(open_in_child(f), 0);
    assert_ok(pst_db_open(&f->db, &f->opts, &f->err), f->err);
}

/* ---- writing ---- */

static void *hold_lock(void *arg)
{
    sqlite3 *h = arg;

    usleep(300000);
    sqlite3_exec(h, "COMMIT", NULL, NULL, NULL);
    return NULL;
}

/* A backup or an administrator's shell has the write lock for a while. */
static void a_locked_database_is_waited_for(void **state)
{
    struct fixture *f = *state;
    sqlite3 *h = NULL;
    pthread_t t;

    create(f);
    assert_int_equal(sqlite3_open(f->path, &h), SQLITE_OK);
    assert_int_equal(sqlite3_exec(h, "BEGIN IMMEDIATE", NULL, NULL, NULL), SQLITE_OK);
    pthread_create(&t, NULL, hold_lock, h);
    assert_ok(pst_db_tx(f->db, put_fn, &(int64_t){1}, &f->err), f->err);
    pthread_join(t, NULL);
    sqlite3_close(h);
    assert_true(there(f, 1));
}

static int refuse_once(void *arg)
{
    int *left = arg;
    return (*left)-- > 0;
}

struct refused {
    int64_t n;
    int left;
};

static int refused_fn(struct pst_dbtx *tx, void *arg, struct pst_err *err)
{
    struct refused *r = arg;
    struct pst_sq *c = tx->conn;

    r->left = 1;
    sqlite3_commit_hook(c->h, refuse_once, &r->left);
    return put_fn(tx, &r->n, err);
}

static int answer_fn(struct pst_dbtx *tx, void *arg, struct pst_err *err)
{
    return PST_NOTFOUND;
}

struct waiting {
    struct fixture *f;
    pst_db_fn *fn;
    void *arg;
    int rc;
    struct pst_err err;
};

static void *wait_for_tx(void *arg)
{
    struct waiting *w = arg;
    w->rc = pst_db_tx(w->f->db, w->fn, w->arg, &w->err);
    return NULL;
}

static int slow_fn(struct pst_dbtx *tx, void *arg, struct pst_err *err)
{
    usleep(15000); /* long enough for the others to queue up, short enough for one group */
    return put_fn(tx, arg, err);
}

/* When the COMMIT fails nobody of the group is told that all is well, not even those who only got
 * an answer: it may rest on what was rolled back. */
static void a_failed_commit_is_told_to_all(void **state)
{
    struct fixture *f = *state;
    int64_t one = 1;
    struct refused two = {.n = 2};
    struct waiting w[] = {{.f = f, .fn = slow_fn, .arg = &one},
                          {.f = f, .fn = refused_fn, .arg = &two},
                          {.f = f, .fn = answer_fn}};
    pthread_t t[3];

    create(f);
    pthread_create(&t[0], NULL, wait_for_tx, &w[0]);
    usleep(3000);
    for (int k = 1; k < 3; k++)
        pthread_create(&t[k], NULL, wait_for_tx, &w[k]);
    for (int k = 0; k < 3; k++)
        pthread_join(t[k], NULL);
    assert_rc(w[1].rc, PST_EDB, w[1].err);
    assert_err_has(w[1].err, "committing");
    assert_false(there(f, 2));
    /* The first one is in the same group, or was committed before it: never half of it. */
    assert_int_equal(w[0].rc == PST_OK, there(f, 1));
    assert_true(w[2].rc == PST_EDB || w[2].rc == PST_NOTFOUND);
    assert_ok(pst_db_tx(f->db, put_fn, &(int64_t){3}, &f->err), f->err);
    assert_true(there(f, 3));
}

static int fill_fn(struct pst_dbtx *tx, void *arg, struct pst_err *err)
{
    static const char page[100000];

    int rc = tx->db->driver->script(tx, "PRAGMA max_page_count = 40", err);
    if (rc == PST_OK)
        rc = pst_db_exec(tx, &stmts[PUT], NULL, err, pst_i(5), pst_b(page, sizeof page));
    if (rc == PST_OK)
        rc = pst_db_exec(tx, &stmts[PUT], NULL, err, pst_i(6), pst_b(page, sizeof page));
    return rc;
}

static int grow_fn(struct pst_dbtx *tx, void *arg, struct pst_err *err)
{
    return tx->db->driver->script(tx, "PRAGMA max_page_count = 1000000", err);
}

static void a_full_disk_is_survived(void **state)
{
    struct fixture *f = *state;

    create(f);
    assert_ok(pst_db_tx(f->db, put_fn, &(int64_t){1}, &f->err), f->err);
    assert_rc(pst_db_tx(f->db, fill_fn, NULL, &f->err), PST_EDB, f->err);
    assert_int_equal(f->err.retry, PST_RETRY_BACKOFF);
    assert_false(there(f, 5));
    assert_ok(pst_db_tx(f->db, put_fn, &(int64_t){2}, &f->err), f->err);
    assert_ok(pst_db_tx(f->db, grow_fn, NULL, &f->err), f->err);
    assert_true(there(f, 1));
    assert_true(there(f, 2));
}

int main(void)
{
#define T(fn) cmocka_unit_test_setup_teardown(fn, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        T(strange_files_are_left_alone),    T(a_crash_while_making_it_can_be_repeated),
        T(a_failed_making_leaves_nothing),  T(a_second_process_is_refused),
        T(a_locked_database_is_waited_for), T(a_failed_commit_is_told_to_all),
        T(a_full_disk_is_survived),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
