/* db_pg_test.c - what only the PostgreSQL driver has: connections that break, COMMITs whose answer
 * is lost, servers that are set up wrongly.  Skipped without PST_TEST_PG_URL. */
#include "pst_test.h"

#include "pst_test_db.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "pg_internal.h"

static const struct pst_migration migrations[] = {
    {1, "0001_t.sql", "aa", 1, "", "CREATE TABLE t (n bigint NOT NULL PRIMARY KEY);"},
};

enum { PUT, COUNT, SETTING };

static const struct pst_stmt stmts[] = {
    [PUT] = {.name = "put", .sql = "INSERT INTO t (n) VALUES ($1)", .args = "i", .cols = ""},
    [COUNT] = {.name = "count",
               .sql = "SELECT count(*) FROM t WHERE n = $1",
               .args = "i",
               .cols = "i"},
    [SETTING] = {.name = "setting",
                 .sql = "SELECT $1",
                 .sql_pg = "SELECT current_setting($1)",
                 .args = "t",
                 .cols = "t"},
};
static const struct pst_stmt_set sets[] = {{stmts, PST_ARRAY_N(stmts)}};

struct fixture {
    struct pst_test_place place;
    struct pst_db_opts opts;
    struct pst_db *db;
    struct pst_err err;
};

static int set_up(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);

    *state = f;
    if (!f || !pst_test_pg_url())
        return f ? 0 : -1;
    if (!pst_test_place_make(&f->place, "C"))
        return -1;
    f->opts = (struct pst_db_opts){.url = f->place.url,
                                   .create = true,
                                   .sets = sets,
                                   .sets_n = 1,
                                   .migrations = migrations,
                                   .migrations_n = 1};
    if (pst_db_open(&f->db, &f->opts, &f->err) != PST_OK)
        return -1;
    f->opts.create = false;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *f = *state;

    if (f->place.pg) {
        pst_db_close(f->db);
        pst_test_place_remove(&f->place);
    }
    free(f);
    return 0;
}

#define NEEDS_SERVER()                                                                             \
    do {                                                                                           \
        if (!pst_test_pg_url())                                                                    \
            skip();                                                                                \
    } while (0)

struct put {
    struct fixture *f;
    int64_t n;
    int runs;
    bool kill; /* in the first run */
};

static bool kill_connections(const struct fixture *f)
{
    char sql[160];

    snprintf(sql, sizeof sql,
             "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE datname = '%s'",
             f->place.name);
    return pst_test_psql(pst_test_pg_url(), sql);
}

static int put_fn(struct pst_dbtx *tx, void *arg, struct pst_err *err)
{
    struct put *p = arg;

    p->runs++;
    if (p->kill && p->runs == 1)
        want(kill_connections(p->f));
    return pst_db_exec(tx, &stmts[PUT], NULL, err, pst_i(p->n));
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

static int64_t count(struct fixture *f, int64_t n)
{
    assert_ok(pst_db_read(f->db, count_fn, &n, &f->err), f->err);
    return n;
}

/* ---- broken connections ---- */

static void dead_connections_are_replaced(void **state)
{
    NEEDS_SERVER();
    struct fixture *f = *state;
    struct put p = {.f = f, .n = 1};

    assert_true(kill_connections(f));
    assert_ok(pst_db_tx(f->db, put_fn, &p, &f->err), f->err);
    assert_int_equal(p.runs, 1); /* it broke before the callback began */
    assert_true(kill_connections(f));
    assert_int_equal(count(f, 1), 1);
}

static void a_connection_that_dies_midway_is_a_new_run(void **state)
{
    NEEDS_SERVER();
    struct fixture *f = *state;
    struct put p = {.f = f, .n = 1, .kill = true};

    assert_ok(pst_db_tx(f->db, put_fn, &p, &f->err), f->err);
    assert_int_equal(p.runs, 2);
    assert_int_equal(count(f, 1), 1);
}

/* ---- lost COMMITs ---- */

/* The server dies in the middle of its COMMIT (once): the transaction is rolled back. */
static void a_commit_that_was_not_is_a_new_run(void **state)
{
    NEEDS_SERVER();
    struct fixture *f = *state;
    struct put p = {.f = f, .n = 1};

    assert_true(pst_test_psql(
        f->place.url,
        "CREATE SEQUENCE once;"
        "CREATE FUNCTION die_once() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN "
        "IF nextval('once') = 1 THEN PERFORM pg_terminate_backend(pg_backend_pid()); END IF; "
        "RETURN NULL; END $$;"
        "CREATE CONSTRAINT TRIGGER late AFTER INSERT ON t DEFERRABLE INITIALLY DEFERRED "
        "FOR EACH ROW EXECUTE FUNCTION die_once();"));
    assert_ok(pst_db_tx(f->db, put_fn, &p, &f->err), f->err);
    assert_int_equal(p.runs, 2);
    assert_int_equal(count(f, 1), 1);
}

/* Stands between the driver and the server and, when armed, lets one COMMIT through but keeps its
 * answer and hangs up. */
enum { PAIRS = 16 };

struct proxy {
    char dir[64], server[108];
    int listener;
    int client[PAIRS], upstream[PAIRS];
    bool cut[PAIRS];
    atomic_bool armed, stop;
    atomic_int cuts;
    pthread_t thread;
};

static int unix_socket(const char *path, bool listening)
{
    struct sockaddr_un a = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    snprintf(a.sun_path, sizeof a.sun_path, "%s", path);
    int rc = listening ? bind(fd, (struct sockaddr *)&a, sizeof a)
                       : connect(fd, (struct sockaddr *)&a, sizeof a);
    if (rc == 0 && listening)
        rc = listen(fd, 8);
    if (rc == 0)
        return fd;
    close(fd);
    return -1;
}

static void hang_up(struct proxy *p, int k)
{
    close(p->client[k]);
    close(p->upstream[k]);
    p->client[k] = p->upstream[k] = -1;
    p->cut[k] = false;
}

static void pass(struct proxy *p, int k, bool up)
{
    char data[8192];
    ssize_t n = read(up ? p->client[k] : p->upstream[k], data, sizeof data);

    if (n <= 0) {
        hang_up(p, k);
        return;
    }
    if (up && memmem(data, (size_t)n, "COMMIT\0", 7) && atomic_exchange(&p->armed, false))
        p->cut[k] = true;
    if (!up && p->cut[k]) { /* the server has committed */
        atomic_fetch_add(&p->cuts, 1);
        hang_up(p, k);
        return;
    }
    if (write(up ? p->upstream[k] : p->client[k], data, (size_t)n) != n)
        hang_up(p, k);
}

static void welcome(struct proxy *p)
{
    int fd = accept(p->listener, NULL, NULL);

    for (int k = 0; fd >= 0 && k < PAIRS; k++)
        if (p->client[k] < 0) {
            p->client[k] = fd;
            p->upstream[k] = unix_socket(p->server, false);
            return;
        }
}

static void *proxy_thread(void *arg)
{
    struct proxy *p = arg;

    while (!atomic_load(&p->stop)) {
        struct pollfd fds[2 * PAIRS + 1];
        for (int k = 0; k < PAIRS; k++) {
            fds[2 * k] = (struct pollfd){.fd = p->client[k], .events = POLLIN};
            fds[2 * k + 1] = (struct pollfd){.fd = p->upstream[k], .events = POLLIN};
        }
        fds[2 * PAIRS] = (struct pollfd){.fd = p->listener, .events = POLLIN};
        if (poll(fds, 2 * PAIRS + 1, 50) <= 0)
            continue;
        for (int k = 0; k < PAIRS; k++) {
            if (fds[2 * k].revents)
                pass(p, k, true);
            else if (fds[2 * k + 1].revents)
                pass(p, k, false);
        }
        if (fds[2 * PAIRS].revents)
            welcome(p);
    }
    return NULL;
}

static void proxy_start(struct proxy *p)
{
    char path[96];
    const char *host = strstr(pst_test_pg_url(), "host=");

    assert_non_null(host);
    host += strlen("host=");
    snprintf(p->server, sizeof p->server, "%.*s/.s.PGSQL.5432", (int)strcspn(host, "&"), host);
    snprintf(p->dir, sizeof p->dir, "/tmp/pst-px-XXXXXX");
    assert_non_null(mkdtemp(p->dir));
    snprintf(path, sizeof path, "%s/.s.PGSQL.5432", p->dir);
    p->listener = unix_socket(path, true);
    assert_true(p->listener >= 0);
    for (int k = 0; k < PAIRS; k++)
        p->client[k] = p->upstream[k] = -1;
    pthread_create(&p->thread, NULL, proxy_thread, p);
}

static void proxy_stop(struct proxy *p)
{
    atomic_store(&p->stop, true);
    pthread_join(p->thread, NULL);
    for (int k = 0; k < PAIRS; k++)
        if (p->client[k] >= 0)
            hang_up(p, k);
    close(p->listener);
    (void)nftw(p->dir, pst_test_remove_, 8, FTW_DEPTH | FTW_PHYS);
}

static void a_commit_whose_answer_is_lost_is_not_repeated(void **state)
{
    NEEDS_SERVER();
    struct fixture *f = *state;
    struct proxy *p = calloc(1, sizeof *p);
    struct put put = {.f = f, .n = 1};
    char url[256];

    proxy_start(p);
    const char *user = strstr(f->place.url, "&user=");
    snprintf(url, sizeof url, "postgresql:///%s?host=%s%s", f->place.name, p->dir,
             user ? user : "");
    pst_db_close(f->db);
    f->db = NULL;
    f->opts.url = url;
    assert_ok(pst_db_open(&f->db, &f->opts, &f->err), f->err);

    atomic_store(&p->armed, true);
    assert_ok(pst_db_tx(f->db, put_fn, &put, &f->err), f->err);
    assert_int_equal(atomic_load(&p->cuts), 1);
    assert_int_equal(put.runs, 1);
    assert_int_equal(count(f, 1), 1);
    pst_db_close(f->db);
    f->db = NULL;
    proxy_stop(p);
    free(p);
}

/* ---- two that look first ---- */

struct looker {
    struct fixture *f;
    pthread_barrier_t *barrier;
    int rc[20];
};

static int look_and_put_fn(struct pst_dbtx *tx, void *arg, struct pst_err *err)
{
    int64_t n = *(int64_t *)arg, found = n;

    int rc = count_fn(tx, &found, err);
    if (rc != PST_OK || found)
        return rc < 0 ? rc : PST_CONFLICT;
    return pst_db_exec(tx, &stmts[PUT], NULL, err, pst_i(n));
}

static void *look_and_put(void *arg)
{
    struct looker *l = arg;
    struct pst_err err = {0};

    for (int64_t k = 0; k < 20; k++) {
        pthread_barrier_wait(l->barrier);
        l->rc[k] = pst_db_tx(l->f->db, look_and_put_fn, &k, &err);
    }
    return NULL;
}

static void a_lost_race_is_a_conflict(void **state)
{
    NEEDS_SERVER();
    struct looker l[4];
    pthread_t t[4];
    pthread_barrier_t barrier;

    pthread_barrier_init(&barrier, NULL, 4);
    for (int k = 0; k < 4; k++) {
        l[k] = (struct looker){.f = *state, .barrier = &barrier};
        pthread_create(&t[k], NULL, look_and_put, &l[k]);
    }
    for (int k = 0; k < 4; k++)
        pthread_join(t[k], NULL);
    for (int n = 0; n < 20; n++) {
        int won = 0;
        for (int k = 0; k < 4; k++) {
            assert_true(l[k].rc[n] == PST_OK || l[k].rc[n] == PST_CONFLICT);
            won += l[k].rc[n] == PST_OK;
        }
        assert_int_equal(won, 1);
    }
    pthread_barrier_destroy(&barrier);
}

static void *put_some(void *arg)
{
    struct put *p = arg;
    struct pst_err err = {0};

    for (int k = 0; k < 10; k++, p->n++)
        if (pst_db_tx(p->f->db, put_fn, p, &err) != PST_OK)
            return NULL;
    return p;
}

static void a_small_pool_is_shared(void **state)
{
    NEEDS_SERVER();
    struct fixture *f = *state;
    struct put p[8];
    pthread_t t[8];

    pst_db_close(f->db);
    f->db = NULL;
    f->opts.pool_max = 2;
    assert_ok(pst_db_open(&f->db, &f->opts, &f->err), f->err);
    for (int k = 0; k < 8; k++) {
        p[k] = (struct put){.f = f, .n = k * 100};
        pthread_create(&t[k], NULL, put_some, &p[k]);
    }
    for (int k = 0; k < 8; k++) {
        void *ok = NULL;
        pthread_join(t[k], &ok);
        assert_non_null(ok);
    }
}

/* ---- servers ---- */

static int settings_fn(struct pst_dbtx *tx, void *arg, struct pst_err *err)
{
    static const char *const wanted[][2] = {
        {"idle_in_transaction_session_timeout", "5s"},
        {"transaction_isolation", "read committed"},
        {"statement_timeout", "30s"},
        {"client_encoding", "UTF8"},
    };

    for (size_t k = 0; k < PST_ARRAY_N(wanted); k++) {
        auto_(pst_rows_free) struct pst_rows *rows = NULL;
        int rc = pst_db_query(tx, &stmts[SETTING], &rows, err, pst_t(wanted[k][0]));
        if (rc != PST_OK)
            return rc;
        want(pst_rows_next(rows));
        want_text(pst_col_t(rows, 0), wanted[k][1]);
    }
    return PST_OK;
}

static void sessions_are_set_up(void **state)
{
    NEEDS_SERVER();
    struct fixture *f = *state;
    assert_ok(pst_db_tx(f->db, settings_fn, NULL, &f->err), f->err);
}

static void assert_refused(struct fixture *f, const char *url, const char *why)
{
    struct pst_db *db = NULL;

    f->opts.url = url;
    assert_rc(pst_db_open(&db, &f->opts, &f->err), PST_ECONFIG, f->err);
    assert_err_has(f->err, why);
}

static void unsafe_servers_are_refused(void **state)
{
    NEEDS_SERVER();
    static const struct {
        const char *how, *why;
    } databases[] = {
        {"ENCODING 'UTF8' LOCALE 'C' LOCALE_PROVIDER icu ICU_LOCALE 'en'", "sort by bytes"},
        {"ENCODING 'LATIN1' LOCALE 'C'", "encoding"},
    };
    struct fixture *f = *state;
    char url[600], sql[256], name[80];

    snprintf(url, sizeof url, "%s&options=-csynchronous_commit%%3Doff", f->place.url);
    assert_refused(f, url, "synchronous_commit");
    for (size_t k = 0; k < PST_ARRAY_N(databases); k++) {
        snprintf(name, sizeof name, "%s_%zu", f->place.name, k);
        snprintf(sql, sizeof sql, "CREATE DATABASE %s TEMPLATE template0 %s", name,
                 databases[k].how);
        assert_true(pst_test_psql(pst_test_pg_url(), sql));
        pst_test_pg_name(url, sizeof url, pst_test_pg_url(), name);
        assert_refused(f, url, databases[k].why);
        snprintf(sql, sizeof sql, "DROP DATABASE %s WITH (FORCE)", name);
        assert_true(pst_test_psql(pst_test_pg_url(), sql));
    }
    pst_test_pg_name(url, sizeof url, pst_test_pg_url(), "no_such_database");
    assert_refused(f, url, "no_such_database");
}

static void a_server_that_is_not_there_may_come_back(void **state)
{
    struct pst_db_opts opts = {
        .url = "postgresql:///x?host=/nonexistent", .sets = sets, .sets_n = 1};
    struct pst_db *db = NULL;
    struct pst_err err = {0};

    assert_rc(pst_db_open(&db, &opts, &err), PST_EDB, err);
    assert_int_equal(err.retry, PST_RETRY_BACKOFF);
}

struct maker {
    struct pst_db_opts opts;
    struct pst_db *db;
    int rc;
};

static void *make_one(void *arg)
{
    struct maker *m = arg;
    struct pst_err err = {0};
    m->rc = pst_db_open(&m->db, &m->opts, &err);
    return NULL;
}

static void two_makers_make_one(void **state)
{
    NEEDS_SERVER();
    struct fixture *f = *state;
    struct pst_test_place place;
    struct maker m[2];
    pthread_t t[2];

    assert_true(pst_test_place_make(&place, "C"));
    for (int k = 0; k < 2; k++) {
        m[k] = (struct maker){.opts = f->opts};
        m[k].opts.url = place.url;
        m[k].opts.create = true;
        pthread_create(&t[k], NULL, make_one, &m[k]);
    }
    for (int k = 0; k < 2; k++)
        pthread_join(t[k], NULL);
    assert_int_equal(m[0].rc + m[1].rc, PST_OK + PST_CONFLICT);
    for (int k = 0; k < 2; k++)
        pst_db_close(m[k].db);
    pst_test_place_remove(&place);
}

int main(void)
{
#define T(fn) cmocka_unit_test_setup_teardown(fn, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        T(dead_connections_are_replaced),
        T(a_connection_that_dies_midway_is_a_new_run),
        T(a_commit_that_was_not_is_a_new_run),
        T(a_commit_whose_answer_is_lost_is_not_repeated),
        T(a_lost_race_is_a_conflict),
        T(a_small_pool_is_shared),
        T(sessions_are_set_up),
        T(unsafe_servers_are_refused),
        T(a_server_that_is_not_there_may_come_back),
        T(two_makers_make_one),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
