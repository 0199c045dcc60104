/* store_test.c - records and the feed's revisions, on SQLite, or on the PostgreSQL server of
 * PST_TEST_PG_URL (tests/support/with_postgres). */
#include "pst_test.h"

#include "pst_test_db.h"

#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <postern/crypto.h>
#include <postern/feed.h>

#include "store_internal.h"

enum { T0 = 0 };
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
};

/* ---- set-up ---- */

static int make_user_and_app(struct pst_tx *tx, void *arg, struct pst_err *err)
{
    struct fixture *f = arg;

    f->user = (struct pst_user){.username = "alice", .role = PST_ROLE_TENANT};
    int rc = pst_user_insert(tx, &f->user, err);
    f->app = (struct pst_app){.name = "my-app"};
    pst_str_copy(f->app.user_id, sizeof f->app.user_id, f->user.id);
    return rc == PST_OK ? pst_app_insert(tx, &f->app, err) : rc;
}

static int set_up(void **state)
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

static int tear_down(void **state)
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

/* ---- statements ---- */

static void all_statements_fit_their_tables(void **state)
{
    struct fixture *f = *state;
    assert_ok(pst_db_check_statements(f->store->db, &f->err), f->err);
}

int main(void)
{
#define T(fn) cmocka_unit_test_setup_teardown(fn, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        T(all_statements_fit_their_tables),
    };
    return cmocka_run_group_tests_name(pst_test_pg_url() ? "store on PostgreSQL"
                                                         : "store on SQLite",
                                       tests, NULL, NULL);
}
