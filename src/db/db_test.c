/* db_test.c - what both engines must do alike: run on SQLite, and on the PostgreSQL server of
 * PST_TEST_PG_URL when that is set (tests/support/with_postgres). */
#include "pst_test.h"

#include "pst_test_db.h"

#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "db_internal.h"

/* ---- schema and statements of the tests ---- */

static const struct pst_migration migrations[] = {
    {1, "0001_kv.sql", "aa", 1,
     "CREATE TABLE kv (k text NOT NULL PRIMARY KEY, n bigint, t text, b blob);"
     "CREATE TABLE seen (n bigint NOT NULL PRIMARY KEY);",
     "CREATE DOMAIN blob AS bytea;"
     "CREATE TABLE kv (k text NOT NULL PRIMARY KEY, n bigint, t text, b blob);"
     "CREATE TABLE seen (n bigint NOT NULL PRIMARY KEY);"},
    {2, "0002_more.sql", "bb", 2, "CREATE TABLE more (n bigint);", "CREATE TABLE more (n bigint);"},
};

enum { PUT, GET, INSERT, INSERT_QUIET, ADD, LOG, LOG_COUNT, LOGGED, HUGE_RESULT, NOW };

static const struct pst_stmt stmts[] = {
    [PUT] = {.name = "put",
             .sql = "INSERT INTO kv (k, n, t, b) VALUES ($1, $2, $3, $4) ON CONFLICT (k) "
                    "DO UPDATE SET n = excluded.n, t = excluded.t, b = excluded.b",
             .args = "titb",
             .cols = ""},
    [GET] = {.name = "get",
             .sql = "SELECT n, t, b FROM kv WHERE k = $1",
             .args = "t",
             .cols = "itb"},
    [INSERT] = {.name = "insert",
                .sql = "INSERT INTO kv (k, n) VALUES ($1, $2)",
                .args = "ti",
                .cols = ""},
    [INSERT_QUIET] = {.name = "insert-quiet",
                      .sql = "INSERT INTO kv (k, n) VALUES ($1, $2) ON CONFLICT DO NOTHING",
                      .args = "ti",
                      .cols = ""},
    [ADD] = {.name = "add",
             .sql = "UPDATE kv SET n = n + 1 WHERE k = $1 RETURNING n",
             .args = "t",
             .cols = "i"},
    [LOG] = {.name = "log", .sql = "INSERT INTO seen (n) VALUES ($1)", .args = "i", .cols = ""},
    [LOG_COUNT] = {.name = "log-count",
                   .sql = "SELECT count(*), coalesce(max(n), 0) FROM seen",
                   .args = "",
                   .cols = "ii"},
    [LOGGED] = {.name = "logged",
                .sql = "SELECT count(*) FROM seen WHERE n = $1",
                .args = "i",
                .cols = "i"},
    [HUGE_RESULT] = {.name = "huge",
                     .sql = "WITH RECURSIVE c (x) AS (SELECT CAST(1 AS bigint) UNION ALL "
                            "SELECT x + 1 FROM c WHERE x < 1500000) SELECT x FROM c",
                     .args = "",
                     .cols = "i"},
    [NOW] = {.name = "now",
             .sql = "SELECT " PST_SQL_NOW_MS,
             .sql_pg = "SELECT " PST_SQL_NOW_MS_PG,
             .args = "",
             .cols = "i"},
};
static const struct pst_stmt_set sets[] = {{stmts, PST_ARRAY_N(stmts)}};

enum { APP_ID = 0x54455354 };

struct fixture {
    struct pst_test_place place;
    struct pst_db_opts opts;
    struct pst_db *db;
    struct pst_err err;
};

static int set_up(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);

    if (!f || !pst_test_place_make(&f->place, "C"))
        return -1;
    f->opts = (struct pst_db_opts){.url = f->place.url,
                                   .create = true,
                                   .application_id = APP_ID,
                                   .sets = sets,
                                   .sets_n = PST_ARRAY_N(sets),
                                   .migrations = migrations,
                                   .migrations_n = 1};
    if (pst_db_open(&f->db, &f->opts, &f->err) != PST_OK) {
        print_error("%s\n", f->err.text);
        return -1;
    }
    f->opts.create = false;
    *state = f;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *f = *state;

    pst_db_close(f->db);
    pst_test_place_remove(&f->place);
    free(f);
    return 0;
}

/* ---- helpers ---- */

struct put {
    const char *k;
    int64_t n;
    const char *t;
    const void *b;
    size_t b_len;
    int answer;
    int runs;
};

static int put_fn(struct pst_dbtx *tx, void *arg, struct pst_err *err)
{
    struct put *p = arg;

    p->runs++;
    int rc = pst_db_exec(tx, &stmts[PUT], NULL, err, pst_t(p->k), pst_i(p->n), pst_t(p->t),
                         pst_b(p->b, p->b_len));
    return rc < 0 ? rc : p->answer;
}

struct got {
    const char *k;
    bool found, t_null;
    int64_t n;
    char t[64], b[64];
    size_t b_len;
};

static int get_fn(struct pst_dbtx *tx, void *arg, struct pst_err *err)
{
    struct got *g = arg;

    auto_(pst_rows_free) struct pst_rows *rows = NULL;
    int rc = pst_db_query(tx, &stmts[GET], &rows, err, pst_t(g->k));
    if (rc < 0)
        return rc;
    g->found = pst_rows_next(rows);
    if (!g->found)
        return PST_OK;
    g->n = pst_col_i(rows, 0);
    g->t_null = pst_col_null(rows, 1);
    rc = pst_col_copy(rows, 1, g->t, sizeof g->t, err);
    const void *b = pst_col_b(rows, 2, &g->b_len);
    if (g->b_len <= sizeof g->b)
        memcpy(g->b, b, g->b_len);
    return rc;
}

static struct got get(struct fixture *f, const char *k)
{
    struct got g = {.k = k};
    assert_ok(pst_db_read(f->db, get_fn, &g, &f->err), f->err);
    return g;
}

/* ---- values ---- */

static void values_come_back(void **state)
{
    struct fixture *f = *state;
    static const char bytes[] = {0, 1, '\'', '\\', (char)0xff, 0};
    struct put rows[] = {
        {.k = "a", .n = INT64_MIN, .t = "na\xc3\xafve '\\ $1", .b = bytes, .b_len = sizeof bytes},
        {.k = "b", .n = INT64_MAX, .t = "", .b = NULL, .b_len = 0},
        {.k = "c", .n = 0, .t = NULL, .b = "x", .b_len = 1},
    };

    for (size_t k = 0; k < PST_ARRAY_N(rows); k++) {
        assert_ok(pst_db_tx(f->db, put_fn, &rows[k], &f->err), f->err);
        struct got g = get(f, rows[k].k);
        assert_true(g.found);
        assert_int_equal(g.n, rows[k].n);
        assert_string_equal(g.t, rows[k].t ? rows[k].t : "");
        assert_int_equal(g.t_null, rows[k].t == NULL);
        assert_int_equal(g.b_len, rows[k].b_len);
        assert_memory_equal(g.b, rows[k].b ? rows[k].b : "", g.b_len);
    }
    assert_false(get(f, "d").found);
}

static int bad_text_fn(struct pst_dbtx *tx, void *arg, struct pst_err *err)
{
    want_int(pst_db_exec(tx, &stmts[INSERT], NULL, err, pst_t("\xc3("), pst_i(1)), PST_EINPUT);
    want_int(pst_db_exec(tx, &stmts[INSERT], NULL, err, pst_tn("a\0b", 3), pst_i(1)), PST_EINPUT);
    want_int(pst_db_exec(tx, &stmts[INSERT], NULL, err, pst_t("\xed\xa0\x80"), pst_i(1)),
             PST_EINPUT);
    return pst_db_exec(tx, &stmts[INSERT], NULL, err, pst_t("good"), pst_i(1));
}

static void bad_text_is_refused_before_sql(void **state)
{
    struct fixture *f = *state;

    assert_ok(pst_db_tx(f->db, bad_text_fn, NULL, &f->err), f->err);
    assert_true(get(f, "good").found);
}

static int wrong_use_fn(struct pst_dbtx *tx, void *arg, struct pst_err *err)
{
    struct pst_rows *rows = NULL;

    want_int(pst_db_exec(tx, &stmts[INSERT], NULL, err, pst_t("a")), PST_EINTERNAL);
    want_int(pst_db_exec(tx, &stmts[INSERT], NULL, err, pst_t("a"), pst_t("b")), PST_EINTERNAL);
    want_int(pst_db_exec(tx, &stmts[GET], NULL, err, pst_t("a")), PST_EINTERNAL);
    want_int(pst_db_query(tx, &stmts[LOG_COUNT], &rows, err, pst_i(1)), PST_EINTERNAL);
    want_int(pst_db_tx(tx->db, wrong_use_fn, NULL, err), PST_EINTERNAL);
    want_int(pst_db_read(tx->db, wrong_use_fn, NULL, err), PST_EINTERNAL);
    return PST_DONE;
}

static void wrong_use_is_a_fault(void **state)
{
    struct fixture *f = *state;
    assert_rc(pst_db_tx(f->db, wrong_use_fn, NULL, &f->err), PST_DONE, f->err);
}

static int huge_fn(struct pst_dbtx *tx, void *arg, struct pst_err *err)
{
    auto_(pst_rows_free) struct pst_rows *rows = NULL;
    return pst_db_query(tx, &stmts[HUGE_RESULT], &rows, err);
}

static void a_huge_result_is_refused(void **state)
{
    struct fixture *f = *state;

    assert_rc(pst_db_read(f->db, huge_fn, NULL, &f->err), PST_EDB, f->err);
    assert_err_has(f->err, "too large");
    assert_int_equal(f->err.retry, PST_RETRY_NEVER);
    assert_false(get(f, "a").found); /* and the connection is usable */
}

static int now_fn(struct pst_dbtx *tx, void *arg, struct pst_err *err)
{
    auto_(pst_rows_free) struct pst_rows *rows = NULL;
    int rc = pst_db_query(tx, &stmts[NOW], &rows, err);
    if (rc == PST_OK && pst_rows_next(rows))
        *(int64_t *)arg = pst_col_i(rows, 0);
    return rc;
}

static void the_database_has_a_clock(void **state)
{
    struct fixture *f = *state;
    int64_t first = 0, second = 0, before = pst_wall_ms(pst_clock_system());

    assert_ok(pst_db_read(f->db, now_fn, &first, &f->err), f->err);
    usleep(30000);
    assert_ok(pst_db_tx(f->db, now_fn, &second, &f->err), f->err);
    assert_in_range(first, before - 1000, before + 10000);
    assert_in_range(second - first, 20, 10000);
}

/* ---- transactions ---- */

static void only_ok_commits(void **state)
{
    struct fixture *f = *state;
    static const int answers[] = {PST_NOTFOUND, PST_CONFLICT, PST_EINPUT, PST_ENOMEM};

    for (size_t k = 0; k < PST_ARRAY_N(answers); k++) {
        struct put p = {.k = "a", .answer = answers[k]};
        assert_rc(pst_db_tx(f->db, put_fn, &p, &f->err), answers[k], f->err);
        assert_false(get(f, "a").found);
    }
    struct put p = {.k = "a", .n = 7};
    assert_ok(pst_db_tx(f->db, put_fn, &p, &f->err), f->err);
    assert_int_equal(p.runs, 1);
    assert_int_equal(get(f, "a").n, 7);
    assert_ok(pst_db_tx(f->db, put_fn, &p, NULL), f->err); /* err is optional */
}

static int spoiled_fn(struct pst_dbtx *tx, void *arg, struct pst_err *err)
{
    struct pst_err quiet = {0};

    want_int(pst_db_exec(tx, &stmts[INSERT], NULL, err, pst_t("b"), pst_i(1)), PST_OK);
    want_int(pst_db_exec(tx, &stmts[INSERT], NULL, &quiet, pst_t("b"), pst_i(2)), PST_EDB);
    want_int(quiet.retry, PST_RETRY_NEVER);
    want_int(pst_db_exec(tx, &stmts[INSERT], NULL, err, pst_t("c"), pst_i(3)), PST_EDB);
    return PST_OK;
}

static void a_failed_statement_spoils_all(void **state)
{
    struct fixture *f = *state;

    assert_rc(pst_db_tx(f->db, spoiled_fn, NULL, &f->err), PST_EDB, f->err);
    assert_err_has(f->err, "insert");
    assert_false(get(f, "b").found);
    assert_false(get(f, "c").found);
}

static int quiet_fn(struct pst_dbtx *tx, void *arg, struct pst_err *err)
{
    int64_t n = -1;

    int rc = pst_db_exec(tx, &stmts[INSERT_QUIET], &n, err, pst_t("q"), pst_i(1));
    want_int(rc, PST_OK);
    want_int(n, 1);
    rc = pst_db_exec(tx, &stmts[INSERT_QUIET], &n, err, pst_t("q"), pst_i(2));
    want_int(n, 0);
    return rc;
}

static void an_expected_conflict_is_a_count(void **state)
{
    struct fixture *f = *state;

    assert_ok(pst_db_tx(f->db, quiet_fn, NULL, &f->err), f->err);
    assert_int_equal(get(f, "q").n, 1);
}

static void reads_cannot_write(void **state)
{
    struct fixture *f = *state;
    struct put p = {.k = "r"};

    assert_rc(pst_db_read(f->db, put_fn, &p, &f->err), PST_EDB, f->err);
    assert_false(get(f, "r").found);
}

static void *put_thread(void *arg)
{
    struct fixture *f = arg;
    struct put p = {.k = "s", .n = 2};
    struct pst_err err = {0};
    return pst_db_tx(f->db, put_fn, &p, &err) == PST_OK ? f : NULL;
}

static int snapshot_fn(struct pst_dbtx *tx, void *arg, struct pst_err *err)
{
    struct got g = {.k = "s"};
    pthread_t t;
    void *ok = NULL;

    int rc = get_fn(tx, &g, err);
    want_int(g.n, 1);
    pthread_create(&t, NULL, put_thread, arg);
    pthread_join(t, &ok); /* the writer does not wait for us */
    want(ok != NULL);
    if (rc == PST_OK)
        rc = get_fn(tx, &g, err);
    want_int(g.n, 1);
    return rc;
}

static void a_read_is_a_snapshot(void **state)
{
    struct fixture *f = *state;
    struct put p = {.k = "s", .n = 1};

    assert_ok(pst_db_tx(f->db, put_fn, &p, &f->err), f->err);
    assert_ok(pst_db_read(f->db, snapshot_fn, f, &f->err), f->err);
    assert_int_equal(get(f, "s").n, 2);
}

/* ---- many writers ---- */

enum { WRITERS = 16, ROUNDS = 25 };

struct writer {
    struct fixture *f;
    int64_t got[ROUNDS];
    int faults;
    bool stale; /* an acknowledged write was not visible */
};

static int add_fn(struct pst_dbtx *tx, void *arg, struct pst_err *err)
{
    auto_(pst_rows_free) struct pst_rows *rows = NULL;
    int rc = pst_db_query(tx, &stmts[ADD], &rows, err, pst_t("counter"));
    if (rc < 0 || !pst_rows_next(rows))
        return rc < 0 ? rc : PST_NOTFOUND;
    *(int64_t *)arg = pst_col_i(rows, 0);
    return pst_db_exec(tx, &stmts[LOG], NULL, err, pst_i(*(int64_t *)arg));
}

static int count_fn(struct pst_dbtx *tx, void *arg, struct pst_err *err)
{
    int64_t *n = arg;

    auto_(pst_rows_free) struct pst_rows *rows = NULL;
    int rc = pst_db_query(tx, &stmts[LOG_COUNT], &rows, err);
    if (rc == PST_OK && pst_rows_next(rows)) {
        n[0] = pst_col_i(rows, 0);
        n[1] = pst_col_i(rows, 1);
    }
    return rc;
}

static void *write_many(void *arg)
{
    struct writer *w = arg;
    struct pst_err err = {0};

    for (int k = 0; k < ROUNDS; k++) {
        int64_t n[2] = {0};
        if (pst_db_tx(w->f->db, add_fn, &w->got[k], &err) != PST_OK ||
            pst_db_read(w->f->db, count_fn, n, &err) != PST_OK)
            w->faults++;
        /* What was handed out commits in its order: nothing below a seen number is missing. */
        if (n[1] < w->got[k] || n[0] != n[1])
            w->stale = true;
    }
    return NULL;
}

static void acknowledged_writes_are_seen_in_order(void **state)
{
    struct fixture *f = *state;
    static struct writer w[WRITERS];
    static bool seen[WRITERS * ROUNDS + 1];
    struct put p = {.k = "counter"};
    pthread_t t[WRITERS];

    memset(seen, 0, sizeof seen);
    assert_ok(pst_db_tx(f->db, put_fn, &p, &f->err), f->err);
    for (int k = 0; k < WRITERS; k++) {
        w[k] = (struct writer){.f = f};
        pthread_create(&t[k], NULL, write_many, &w[k]);
    }
    for (int k = 0; k < WRITERS; k++) {
        pthread_join(t[k], NULL);
        assert_int_equal(w[k].faults, 0);
        assert_false(w[k].stale);
        for (int r = 0; r < ROUNDS; r++) {
            assert_in_range(w[k].got[r], 1, WRITERS * ROUNDS);
            assert_false(seen[w[k].got[r]]);
            seen[w[k].got[r]] = true;
        }
    }
    assert_int_equal(get(f, "counter").n, WRITERS * ROUNDS);
}

/* One failing callback in a group leaves the others alone. */
static void *fail_some(void *arg)
{
    struct writer *w = arg;
    struct pst_err err = {0};

    for (int k = 0; k < ROUNDS; k++) {
        int64_t n;
        if (pst_db_tx(w->f->db, spoiled_fn, NULL, &err) != PST_EDB ||
            pst_db_tx(w->f->db, add_fn, &n, &err) != PST_OK)
            w->faults++;
    }
    return NULL;
}

static void a_failing_callback_harms_no_other(void **state)
{
    struct fixture *f = *state;
    struct writer w[4];
    struct put p = {.k = "counter"};
    pthread_t t[4];

    assert_ok(pst_db_tx(f->db, put_fn, &p, &f->err), f->err);
    for (int k = 0; k < 4; k++) {
        w[k] = (struct writer){.f = f};
        pthread_create(&t[k], NULL, fail_some, &w[k]);
    }
    for (int k = 0; k < 4; k++) {
        pthread_join(t[k], NULL);
        assert_int_equal(w[k].faults, 0);
    }
    assert_int_equal(get(f, "counter").n, 4 * ROUNDS);
    assert_false(get(f, "b").found);
}

/* Two that take the same rows in opposite order: PostgreSQL breaks the deadlock, we run again. */
struct crossing {
    struct fixture *f;
    const char *first, *second;
    int rc, runs;
    struct pst_err err;
};

static int cross_fn(struct pst_dbtx *tx, void *arg, struct pst_err *err)
{
    struct crossing *c = arg;
    const char *keys[] = {c->first, c->second};

    c->runs++;
    for (int k = 0; k < 2; k++) {
        auto_(pst_rows_free) struct pst_rows *rows = NULL;
        int rc = pst_db_query(tx, &stmts[ADD], &rows, err, pst_t(keys[k]));
        if (rc < 0)
            return rc;
        usleep(100000);
    }
    return PST_OK;
}

static void *cross_thread(void *arg)
{
    struct crossing *c = arg;
    c->rc = pst_db_tx(c->f->db, cross_fn, c, &c->err);
    return NULL;
}

static void a_deadlock_is_run_again(void **state)
{
    struct fixture *f = *state;
    struct put x = {.k = "x"}, y = {.k = "y"};
    struct crossing c[2] = {{.f = f, .first = "x", .second = "y"},
                            {.f = f, .first = "y", .second = "x"}};
    pthread_t t[2];

    assert_ok(pst_db_tx(f->db, put_fn, &x, &f->err), f->err);
    assert_ok(pst_db_tx(f->db, put_fn, &y, &f->err), f->err);
    for (int k = 0; k < 2; k++)
        pthread_create(&t[k], NULL, cross_thread, &c[k]);
    for (int k = 0; k < 2; k++) {
        pthread_join(t[k], NULL);
        assert_rc(c[k].rc, PST_OK, c[k].err);
    }
    assert_int_equal(get(f, "x").n, 2);
    assert_int_equal(get(f, "y").n, 2);
    assert_int_equal(c[0].runs + c[1].runs, f->place.pg ? 3 : 2);
}

/* ---- kill -9 ---- */

struct crash_writer {
    struct pst_db *db;
    int fd;
    int64_t base;
};

static int log_fn(struct pst_dbtx *tx, void *arg, struct pst_err *err)
{
    return pst_db_exec(tx, &stmts[LOG], NULL, err, pst_i(*(int64_t *)arg));
}

static void *crash_thread(void *arg)
{
    struct crash_writer *w = arg;
    struct pst_err err = {0};

    for (int64_t n = w->base;; n++)
        if (pst_db_tx(w->db, log_fn, &n, &err) != PST_OK ||
            write(w->fd, &n, sizeof n) != (ssize_t)sizeof n)
            _exit(3);
    return NULL;
}

static _Noreturn void crash_child(struct fixture *f, int fd, int round)
{
    struct pst_err err = {0};
    struct pst_db *db = NULL;
    struct crash_writer w[4];
    pthread_t t;

    if (pst_db_open(&db, &f->opts, &err) != PST_OK)
        _exit(2);
    for (int k = 0; k < 4; k++) {
        w[k] = (struct crash_writer){db, fd, (round * 4 + k) * 1000000LL + 1};
        pthread_create(&t, NULL, crash_thread, &w[k]);
    }
    for (;;)
        pause();
}

static int seen_fn(struct pst_dbtx *tx, void *arg, struct pst_err *err)
{
    auto_(pst_rows_free) struct pst_rows *rows = NULL;
    int rc = pst_db_query(tx, &stmts[LOGGED], &rows, err, pst_i(*(int64_t *)arg));
    if (rc < 0)
        return rc;
    want(pst_rows_next(rows));
    return pst_col_i(rows, 0) == 1 ? PST_OK : PST_NOTFOUND;
}

static void kill_loses_nothing_acknowledged(void **state)
{
    struct fixture *f = *state;

    for (int round = 0; round < 3; round++) {
        int fds[2];
        int64_t acked[200];
        size_t n = 0;

        pst_db_close(f->db);
        f->db = NULL;
        assert_int_equal(pipe(fds), 0);
        pid_t pid = fork();
        if (pid == 0)
            crash_child(f, fds[1], round);
        close(fds[1]);
        while (n < PST_ARRAY_N(acked) && read(fds[0], &acked[n], sizeof acked[n]) == 8)
            n++;
        kill(pid, SIGKILL);
        waitpid(pid, NULL, 0);
        close(fds[0]);
        assert_int_equal(n, PST_ARRAY_N(acked));
        assert_ok(pst_db_open(&f->db, &f->opts, &f->err), f->err);
        for (size_t k = 0; k < n; k++)
            assert_ok(pst_db_read(f->db, seen_fn, &acked[k], &f->err), f->err);
    }
}

/* ---- statements ---- */

static void all_statements_fit_their_tables(void **state)
{
    struct fixture *f = *state;
    assert_ok(pst_db_check_statements(f->db, &f->err), f->err);
}

static void wrong_statements_are_found(void **state)
{
    struct fixture *f = *state;
    static const struct pst_stmt bad[] = {
        {.name = "order", .sql = "INSERT INTO kv (n, k) VALUES ($2, $1)", .args = "ti", .cols = ""},
        {.name = "args", .sql = "SELECT n FROM kv WHERE k = $1", .args = "tt", .cols = "i"},
        {.name = "cols", .sql = "SELECT n, t FROM kv", .args = "", .cols = "i"},
        {.name = "syntax", .sql = "SELEKT 1", .args = "", .cols = "i"},
        {.name = "two", .sql = "SELECT 1; SELECT 2", .args = "", .cols = "i"},
    };

    for (size_t k = 0; k < PST_ARRAY_N(bad); k++) {
        struct pst_stmt_set set = {&bad[k], 1};
        pst_db_close(f->db);
        f->db = NULL;
        f->opts.sets = &set;
        f->opts.sets_n = 1;
        assert_ok(pst_db_open(&f->db, &f->opts, &f->err), f->err);
        assert_true(pst_db_check_statements(f->db, &f->err) < 0);
        assert_err_has(f->err, bad[k].name);
    }
}

/* ---- opening ---- */

static int reopen(struct fixture *f, const struct pst_migration *m, size_t n)
{
    pst_db_close(f->db);
    f->db = NULL;
    f->opts.migrations = m;
    f->opts.migrations_n = n;
    return pst_db_open(&f->db, &f->opts, &f->err);
}

static void migrations_are_applied_once(void **state)
{
    struct fixture *f = *state;
    struct put p = {.k = "kept", .n = 5};

    assert_ok(pst_db_tx(f->db, put_fn, &p, &f->err), f->err);
    assert_ok(reopen(f, migrations, 1), f->err);
    assert_ok(reopen(f, migrations, 2), f->err);
    assert_ok(reopen(f, migrations, 2), f->err);
    assert_int_equal(get(f, "kept").n, 5);
    /* 0002 says that an older program must not use its schema. */
    assert_rc(reopen(f, migrations, 1), PST_ECONFIG, f->err);
    assert_err_has(f->err, "newer than this program");
    assert_ok(reopen(f, migrations, 2), f->err);
}

static void an_expanding_migration_lets_older_programs_in(void **state)
{
    struct fixture *f = *state;
    struct pst_migration m[2] = {migrations[0], migrations[1]};

    m[1].min_binary = 1;
    assert_ok(reopen(f, m, 2), f->err);
    assert_ok(reopen(f, m, 1), f->err);
}

static void a_changed_migration_is_refused(void **state)
{
    struct fixture *f = *state;
    struct pst_migration m[1] = {migrations[0]};

    m[0].checksum = "cc";
    assert_rc(reopen(f, m, 1), PST_ECONFIG, f->err);
    assert_err_has(f->err, "0001_kv.sql");
}

static void a_failing_migration_changes_nothing(void **state)
{
    struct fixture *f = *state;
    struct pst_migration m[2] = {migrations[0], migrations[1]};

    m[1].sql = m[1].sql_pg = "CREATE TABLE half (n bigint); CREATE TABLE kv (n bigint);";
    assert_rc(reopen(f, m, 2), PST_EDB, f->err);
    assert_err_has(f->err, "0002_more.sql");
    m[1].sql = m[1].sql_pg = "CREATE TABLE half (n bigint);";
    assert_ok(reopen(f, m, 2), f->err);
}

static void only_create_makes_one_and_only_once(void **state)
{
    struct fixture *f = *state;
    struct pst_test_place empty;
    struct pst_db *db = NULL;

    f->opts.create = true;
    pst_db_close(f->db);
    f->db = NULL;
    assert_rc(pst_db_open(&f->db, &f->opts, &f->err), PST_CONFLICT, f->err);

    assert_true(pst_test_place_make(&empty, "C"));
    f->opts.create = false;
    f->opts.url = empty.url;
    assert_rc(pst_db_open(&db, &f->opts, &f->err), PST_ECONFIG, f->err);
    assert_err_has(f->err, "posternd init");
    f->opts.create = true;
    assert_ok(pst_db_open(&db, &f->opts, &f->err), f->err);
    pst_db_close(db);
    pst_test_place_remove(&empty);
}

static void an_unknown_address_is_refused(void **state)
{
    struct fixture *f = *state;
    struct pst_db *db = NULL;

    f->opts.url = "mysql://x";
    assert_rc(pst_db_open(&db, &f->opts, &f->err), PST_ECONFIG, f->err);
    f->opts.url = "sqlite:";
    assert_rc(pst_db_open(&db, &f->opts, &f->err), PST_ECONFIG, f->err);
    f->opts.url = "sqlite:/nonexistent/folder/x.db";
    f->opts.create = true;
    assert_true(pst_db_open(&db, &f->opts, &f->err) < 0);
}

/* ---- no memory ---- */

struct starved {
    long nth;
    bool hit;
};

static int starved_fn(struct pst_dbtx *tx, void *arg, struct pst_err *err)
{
    struct starved *s = arg;
    struct got g = {.k = "m"};
    struct put p = {.k = "m", .n = 1, .t = "text", .b = "b", .b_len = 1};

    pst_mem_fail_at(s->nth);
    int rc = put_fn(tx, &p, err);
    if (rc == PST_OK)
        rc = get_fn(tx, &g, err);
    s->hit = pst_mem_failed();
    pst_mem_fail_at(0);
    return rc;
}

static void no_memory_is_survived(void **state)
{
    struct fixture *f = *state;
    int rc;

    for (long n = 1;; n++) {
        struct starved s = {.nth = n};
        rc = pst_db_tx(f->db, starved_fn, &s, &f->err);
        if (!s.hit)
            break;
        assert_rc(rc, PST_ENOMEM, f->err);
        assert_false(get(f, "m").found);
    }
    assert_rc(rc, PST_OK, f->err);
    pst_db_close(f->db);
    f->db = NULL;
    assert_survives_no_memory(rc, {
        pst_err_clear(&f->err);
        rc = pst_db_open(&f->db, &f->opts, &f->err);
    });
}

int main(void)
{
#define T(fn) cmocka_unit_test_setup_teardown(fn, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        T(values_come_back),
        T(bad_text_is_refused_before_sql),
        T(wrong_use_is_a_fault),
        T(a_huge_result_is_refused),
        T(the_database_has_a_clock),
        T(only_ok_commits),
        T(a_failed_statement_spoils_all),
        T(an_expected_conflict_is_a_count),
        T(reads_cannot_write),
        T(a_read_is_a_snapshot),
        T(acknowledged_writes_are_seen_in_order),
        T(a_failing_callback_harms_no_other),
        T(a_deadlock_is_run_again),
        T(kill_loses_nothing_acknowledged),
        T(all_statements_fit_their_tables),
        T(wrong_statements_are_found),
        T(migrations_are_applied_once),
        T(an_expanding_migration_lets_older_programs_in),
        T(a_changed_migration_is_refused),
        T(a_failing_migration_changes_nothing),
        T(only_create_makes_one_and_only_once),
        T(an_unknown_address_is_refused),
        T(no_memory_is_survived),
    };
    return cmocka_run_group_tests_name(pst_test_pg_url() ? "db on PostgreSQL" : "db on SQLite",
                                       tests, NULL, NULL);
}
