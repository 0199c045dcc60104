/* store_fixture.h - a store with a user and an app, for the tests of store/: on SQLite, or on the
 * PostgreSQL server of PST_TEST_PG_URL (tests/support/with_postgres). */
#ifndef POSTERN_STORE_FIXTURE_H
#define POSTERN_STORE_FIXTURE_H

#include "pst_test.h"

#include "pst_test_db.h"

#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <postern/crypto.h>
#include <postern/feed.h>

#include "feed_internal.h"

#define NOW_MS INT64_C(1794700000000) /* 2026-11-14 */

struct fixture {
    struct pst_test_place place;
    char key_dir[64], key_file[96];
    struct pst_clock_manual clock;
    struct pst_keyring *keys;
    struct pst_store_opts opts;
    struct pst_store *store;
    struct pst_err err;
    struct pst_user user;
    struct pst_app app;
    void *more; /* of a test file's own */
};

/* ---- set-up ---- */

static inline int make_user_and_app(struct pst_tx *tx, void *arg, struct pst_err *err)
{
    struct fixture *f = arg;

    f->user = (struct pst_user){.username = "alice", .role = PST_ROLE_TENANT};
    int rc = pst_user_insert(tx, &f->user, err);
    f->app = (struct pst_app){.name = "my-app"};
    pst_str_copy(f->app.user_id, sizeof f->app.user_id, f->user.id);
    return rc == PST_OK ? pst_app_insert(tx, &f->app, err) : rc;
}

static inline int set_up(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);

    if (!f || !pst_test_place_make(&f->place, "C"))
        return -1;
    pst_clock_manual_init(&f->clock, NOW_MS);
    snprintf(f->key_dir, sizeof f->key_dir, "/tmp/pst-key-XXXXXX");
    if (!mkdtemp(f->key_dir))
        return -1;
    snprintf(f->key_file, sizeof f->key_file, "%s/master", f->key_dir);
    f->opts = (struct pst_store_opts){.url = f->place.url,
                                      .node = "node/boot1",
                                      .create = true,
                                      .clock = &f->clock.clock,
                                      .rand = pst_rand_system()};
    if (pst_keyring_create_file(f->key_file, pst_rand_system(), &f->err) != PST_OK ||
        pst_keyring_open(&f->keys, f->key_file, pst_rand_system(), &f->err) != PST_OK)
        goto failed;
    f->opts.keys = f->keys;
    if (pst_store_open(&f->store, &f->opts, &f->err) != PST_OK ||
        pst_store_write(f->store, make_user_and_app, f, NULL, &f->err) != PST_OK)
        goto failed;
    f->opts.create = false;
    *state = f;
    return 0;
failed:
    print_error("%s\n", f->err.text);
    return -1;
}

static inline int tear_down(void **state)
{
    struct fixture *f = *state;

    pst_store_close(f->store);
    pst_keyring_free(f->keys);
    unlink(f->key_file);
    rmdir(f->key_dir);
    pst_test_place_remove(&f->place);
    free(f);
    return 0;
}

/* ---- helpers ---- */

/* A callback of a transaction on the fixture. */
#define TX(name) static inline int name(struct pst_tx *tx, void *arg, struct pst_err *err)

static inline int64_t commit(struct fixture *f, pst_tx_fn *fn, void *arg)
{
    int64_t rev = -1;
    assert_ok(pst_store_write(f->store, fn, arg, &rev, &f->err), f->err);
    return rev;
}

static void look(struct fixture *f, pst_tx_fn *fn, void *arg)
{
    assert_ok(pst_store_read(f->store, fn, arg, &f->err), f->err);
}

/* What a revision told the edges, "kind/key kind/key! ", in order of the keys; "!" is deleted. */
struct told {
    int64_t rev;
    char text[2048];
};

TX(list_told)
{
    struct told *t = arg;
    struct pst_feed_row after = {.rev = t->rev - 1, .kind = "zzzz"}, rows[64];
    size_t n = 0;

    int rc = pst_feed_db_changes(tx, &after, rows, PST_ARRAY_N(rows), &n, err);
    for (size_t k = 0; rc == PST_OK && k < n && rows[k].rev == t->rev; k++) {
        size_t at = strlen(t->text);
        snprintf(t->text + at, sizeof t->text - at, "%s/%s%s ", rows[k].kind, rows[k].key,
                 rows[k].deleted ? "!" : "");
    }
    return rc;
}

static inline struct told told(struct fixture *f, int64_t rev)
{
    struct told t = {.rev = rev};
    if (rev > 0)
        look(f, list_told, &t);
    return t;
}

#define assert_told(f, rev, wanted) assert_string_equal(told((f), (rev)).text, (wanted))

static inline struct pst_domain domain(struct fixture *f, const char *ascii)
{
    struct pst_domain d = {.acme_enabled = true, .wildcard = ascii[0] == '*'};

    pst_str_copy(d.app_id, sizeof d.app_id, f->app.id);
    pst_str_copy(d.user_id, sizeof d.user_id, f->app.user_id);
    pst_str_copy(d.name, sizeof d.name, ascii);
    pst_str_copy(d.ascii, sizeof d.ascii, ascii);
    return d;
}

TX(domain_insert)
{
    return pst_domain_insert(tx, arg, err);
}

TX(domain_update)
{
    return pst_domain_update(tx, arg, err);
}

TX(domain_delete)
{
    return pst_domain_delete(tx, arg, err);
}

static inline struct pst_buf bytes(const char *text)
{
    struct pst_buf b = PST_BUF(1000);
    pst_buf_str(&b, text);
    return b;
}

/* Close and open with this master key. */
static inline int open_again(struct fixture *f, const char *key_file)
{
    pst_store_close(f->store);
    f->store = NULL;
    pst_keyring_free(f->keys);
    f->keys = NULL;
    assert_ok(pst_keyring_open(&f->keys, key_file, pst_rand_system(), &f->err), f->err);
    f->opts.keys = f->keys;
    return pst_store_open(&f->store, &f->opts, &f->err);
}

/* Counts commits that had something to say, and the last revision. */
static inline void count_commits(void *arg, int64_t rev)
{
    int64_t *seen = arg;
    seen[0]++;
    seen[1] = rev;
}

TX(head)
{
    return pst_feed_head(tx, arg, err);
}

#define T(fn)  cmocka_unit_test_setup_teardown(fn, set_up, tear_down)
#define ENGINE (pst_test_pg_url() ? "on PostgreSQL" : "on SQLite")

#endif
