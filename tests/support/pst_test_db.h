/*
 * pst_test_db.h - an empty place for a database per test, on SQLite or on the PostgreSQL server
 * that tests/support/with_postgres started (PST_TEST_PG_URL).
 */
#ifndef PST_TEST_DB_H
#define PST_TEST_DB_H

#include <ftw.h>
#include <spawn.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <postern/err.h>

/* Inside a callback of a transaction, which may run in another thread, where cmocka's assertions
 * cannot jump out: these return a fault that says what was wrong. */
#define want(cond)                                                                                 \
    do {                                                                                           \
        if (!(cond))                                                                               \
            return pst_fail(err, PST_EINTERNAL, "%s:%d: not so: %s", __FILE__, __LINE__, #cond);   \
    } while (0)
#define want_int(expr, wanted)                                                                     \
    do {                                                                                           \
        long long got_ = (long long)(expr);                                                        \
        if (got_ != (long long)(wanted))                                                           \
            return pst_fail(err, PST_EINTERNAL, "%s:%d: %s is %lld, not %s; %.200s", __FILE__,     \
                            __LINE__, #expr, got_, #wanted, err->text);                            \
    } while (0)
#define want_text(expr, wanted)                                                                    \
    do {                                                                                           \
        const char *got_ = (expr), *wanted_ = (wanted);                                            \
        if (strcmp(got_, wanted_) != 0)                                                            \
            return pst_fail(err, PST_EINTERNAL, "%s:%d: \"%s\" is not \"%s\"", __FILE__, __LINE__, \
                            got_, wanted_);                                                        \
    } while (0)

struct pst_test_place {
    bool pg;
    char url[512];
    char dir[64];  /* temporary folder (SQLite) */
    char path[96]; /* the file in it */
    char name[64]; /* database on the server (PostgreSQL) */
};

/* The server's address, or NULL: then tests run on SQLite. */
static inline const char *pst_test_pg_url(void)
{
    const char *url = getenv("PST_TEST_PG_URL");
    return url && *url ? url : NULL;
}

/* One statement on the server, outside of what is tested. */
static inline bool pst_test_psql(const char *url, const char *sql)
{
    extern char **environ;
    char *argv[] = {(char *)"psql", (char *)"-XqAt", (char *)"-v", (char *)"ON_ERROR_STOP=1",
                    (char *)"-c",   (char *)sql,     (char *)url,  NULL};
    pid_t pid;
    int status = -1;

    if (posix_spawnp(&pid, "psql", NULL, NULL, argv, environ) != 0)
        return false;
    return waitpid(pid, &status, 0) == pid && WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

/* postgresql:///postgres?host=... -> postgresql:///<name>?host=... */
static inline void pst_test_pg_name(char *to, size_t size, const char *url, const char *name)
{
    const char *tail = strchr(url, '?');
    const char *slash = strstr(url, "://");

    slash = slash ? strchr(slash + 3, '/') : NULL;
    snprintf(to, size, "%.*s/%s%s", slash ? (int)(slash - url) : (int)strlen(url), url, name,
             tail ? tail : "");
}

/* `locale` is for PostgreSQL: what the database sorts by. */
static inline bool pst_test_place_make(struct pst_test_place *p, const char *locale)
{
    static int serial;
    char sql[256];

    memset(p, 0, sizeof *p);
    p->pg = pst_test_pg_url() != NULL;
    if (p->pg) {
        snprintf(p->name, sizeof p->name, "t%d_%d", (int)getpid(), ++serial);
        snprintf(sql, sizeof sql,
                 "CREATE DATABASE %s TEMPLATE template0 ENCODING 'UTF8' LOCALE '%s'", p->name,
                 locale);
        pst_test_pg_name(p->url, sizeof p->url, pst_test_pg_url(), p->name);
        return pst_test_psql(pst_test_pg_url(), sql);
    }
    snprintf(p->dir, sizeof p->dir, "/tmp/pst-db-XXXXXX");
    if (!mkdtemp(p->dir))
        return false;
    snprintf(p->path, sizeof p->path, "%s/t.db", p->dir);
    snprintf(p->url, sizeof p->url, "sqlite:%s", p->path);
    return true;
}

static inline int pst_test_remove_(const char *path, const struct stat *st, int type,
                                   struct FTW *at)
{
    (void)st, (void)type, (void)at;
    return remove(path);
}

static inline void pst_test_place_remove(struct pst_test_place *p)
{
    char sql[128];

    if (p->pg) {
        snprintf(sql, sizeof sql, "DROP DATABASE IF EXISTS %s WITH (FORCE)", p->name);
        (void)pst_test_psql(pst_test_pg_url(), sql);
    } else if (p->dir[0]) {
        (void)nftw(p->dir, pst_test_remove_, 8, FTW_DEPTH | FTW_PHYS);
    }
}

#endif
