/* event_test.c - chain and webhooks: on SQLite, or on the PostgreSQL server of PST_TEST_PG_URL. */
#include "pst_test.h"

#include "pst_test_db.h"

#include <inttypes.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <postern/crypto.h>
#include <postern/crypto_mac.h>
#include <postern/http.h>
#include <postern/json.h>

#include "../../tests/support/fake_http.h"
#include "event_internal.h"

struct fixture {
    struct pst_test_place place;
    char key_dir[64], key_file[96];
    struct pst_keyring *keys;
    struct pst_store_opts opts;
    struct pst_store *store;
    struct pst_err err;
    struct pst_user alice, bob, root;
    struct pst_app app, other;
    struct fake_http *receiver;
    struct pst_gate *gate;
    struct pst_webhooks *hooks;
};

#define TX(name) static int name(struct pst_tx *tx, void *arg, struct pst_err *err)

/* ---- set-up ---- */

static int make_user(struct pst_tx *tx, struct pst_user *u, const char *name, enum pst_role role,
                     struct pst_err *err)
{
    *u = (struct pst_user){.role = role};
    pst_str_copy(u->username, sizeof u->username, name);
    return pst_user_insert(tx, u, err);
}

static int make_app(struct pst_tx *tx, struct pst_app *a, const char *name,
                    const struct pst_user *u, struct pst_err *err)
{
    *a = (struct pst_app){0};
    pst_str_copy(a->name, sizeof a->name, name);
    pst_str_copy(a->user_id, sizeof a->user_id, u->id);
    return pst_app_insert(tx, a, err);
}

TX(populate)
{
    struct fixture *f = arg;

    int rc = make_user(tx, &f->alice, "alice", PST_ROLE_TENANT, err);
    if (rc == PST_OK)
        rc = make_user(tx, &f->bob, "bob", PST_ROLE_TENANT, err);
    if (rc == PST_OK)
        rc = make_user(tx, &f->root, "root", PST_ROLE_OPERATOR, err);
    if (rc == PST_OK)
        rc = make_app(tx, &f->app, "my-app", &f->alice, err);
    return rc == PST_OK ? make_app(tx, &f->other, "other", &f->bob, err) : rc;
}

static int set_up(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);

    if (!f || !pst_test_place_make(&f->place, "C"))
        return -1;
    snprintf(f->key_dir, sizeof f->key_dir, "/tmp/pst-key-XXXXXX");
    if (!mkdtemp(f->key_dir))
        return -1;
    snprintf(f->key_file, sizeof f->key_file, "%s/master", f->key_dir);
    if (pst_keyring_create_file(f->key_file, pst_rand_system(), &f->err) != PST_OK ||
        pst_keyring_open(&f->keys, f->key_file, pst_rand_system(), &f->err) != PST_OK)
        return -1;
    f->opts = (struct pst_store_opts){.url = f->place.url,
                                      .node = "node/boot1",
                                      .create = true,
                                      .keys = f->keys,
                                      .clock = pst_clock_system(),
                                      .rand = pst_rand_system()};
    if (pst_store_open(&f->store, &f->opts, &f->err) != PST_OK ||
        pst_store_write(f->store, populate, f, NULL, &f->err) != PST_OK) {
        print_error("%s\n", f->err.text);
        return -1;
    }
    f->opts.create = false;
    f->receiver = fake_http_start();
    *state = f;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *f = *state;

    pst_webhooks_stop(f->hooks);
    pst_gate_free(f->gate);
    fake_http_stop(f->receiver);
    pst_store_close(f->store);
    pst_keyring_free(f->keys);
    unlink(f->key_file);
    rmdir(f->key_dir);
    pst_test_place_remove(&f->place);
    free(f);
    return 0;
}

/* A statement behind the program's back. */
static void tamper(struct fixture *f, const char *sql)
{
    extern char **environ;
    char *argv[] = {(char *)"python3",
                    (char *)"-c",
                    (char *)"import sqlite3, sys\nc = sqlite3.connect(sys.argv[1])\n"
                            "c.execute(sys.argv[2])\nc.commit()",
                    f->place.path,
                    (char *)sql,
                    NULL};
    pid_t pid;
    int status = -1;

    if (f->place.pg) {
        assert_true(pst_test_psql(f->place.url, sql));
        return;
    }
    assert_int_equal(posix_spawnp(&pid, "python3", NULL, NULL, argv, environ), 0);
    assert_true(waitpid(pid, &status, 0) == pid && status == 0);
}

struct note {
    const char *kind, *app_id;
};

TX(append)
{
    const struct note *n = arg;
    struct pst_event e = {.actor = "user:alice", .text = "it happened"};

    pst_str_copy(e.kind, sizeof e.kind, n->kind);
    pst_str_copy(e.app_id, sizeof e.app_id, n->app_id);
    return pst_event_append(tx, &e, err);
}

static void happen(struct fixture *f, const char *kind, const char *app_id)
{
    struct note n = {kind, app_id};
    assert_ok(pst_store_write(f->store, append, &n, NULL, &f->err), f->err);
}

static void seal(struct fixture *f)
{
    assert_ok(pst_events_seal(f->store, &f->err), f->err);
    if (f->hooks)
        pst_webhooks_poke(f->hooks);
}

/* ---- the chain ---- */

static void sealed_events_verify(void **state)
{
    struct fixture *f = *state;
    struct pst_event_report r;

    assert_ok(pst_events_verify(f->store, &r, &f->err), f->err);
    assert_true(r.sealed_n == 0 && r.waiting_n == 0 && !r.head[0]);
    assert_rc(pst_events_seal(f->store, &f->err), PST_DONE, f->err);
    for (int i = 0; i < 450; i++)
        happen(f, "app.settings", f->app.id);
    assert_ok(pst_events_verify(f->store, &r, &f->err), f->err);
    assert_true(r.sealed_n == 0 && r.waiting_n == 450);
    seal(f);
    assert_rc(pst_events_seal(f->store, &f->err), PST_DONE, f->err);
    for (int i = 0; i < 100; i++)
        happen(f, "app.settings", f->other.id);
    seal(f);
    happen(f, "token.created", "");
    assert_ok(pst_events_verify(f->store, &r, &f->err), f->err);
    assert_int_equal(r.sealed_n, 550);
    assert_int_equal(r.waiting_n, 1);
    assert_int_equal(strlen(r.head), 64);
}

/* ---- many at once ---- */

enum { WRITERS = 4, EVENTS_EACH = 60, SEALERS = 2 };

struct crowd {
    struct fixture *f;
    atomic_bool over;
    atomic_int faults;
};

static void *write_many(void *arg)
{
    struct crowd *c = arg;
    struct note n = {"app.changed", c->f->app.id};
    struct pst_err err = {0};

    for (int i = 0; i < EVENTS_EACH; i++)
        if (pst_store_write(c->f->store, append, &n, NULL, &err) != PST_OK)
            c->faults++;
    return NULL;
}

static void *seal_many(void *arg)
{
    struct crowd *c = arg;
    struct pst_err err = {0};

    while (!c->over)
        if (pst_events_seal(c->f->store, &err) < 0)
            c->faults++;
    return NULL;
}

/* Rows that become visible late and followers that meet: still one chain without gaps. */
static void many_writers_and_two_followers(void **state)
{
    struct fixture *f = *state;
    struct crowd c = {.f = f};
    pthread_t writers[WRITERS], sealers[SEALERS];
    struct pst_event_report r;

    for (int i = 0; i < SEALERS; i++)
        assert_int_equal(pthread_create(&sealers[i], NULL, seal_many, &c), 0);
    for (int i = 0; i < WRITERS; i++)
        assert_int_equal(pthread_create(&writers[i], NULL, write_many, &c), 0);
    for (int i = 0; i < WRITERS; i++)
        pthread_join(writers[i], NULL);
    c.over = true;
    for (int i = 0; i < SEALERS; i++)
        pthread_join(sealers[i], NULL);
    assert_int_equal(c.faults, 0);
    assert_true(pst_events_seal(f->store, &f->err) >= 0);
    assert_ok(pst_events_verify(f->store, &r, &f->err), f->err);
    assert_int_equal(r.sealed_n, WRITERS * EVENTS_EACH);
    assert_int_equal(r.waiting_n, 0);
}

static void tampering_is_found(void **state)
{
    static const struct {
        const char *sql, *undo, *why;
        int64_t good;
    } cases[] = {
        {"UPDATE events SET text = 'it did not happen' WHERE chain_pos = 3",
         "UPDATE events SET text = 'it happened' WHERE chain_pos = 3", "changed", 2},
        {"UPDATE events SET at_ms = at_ms + 1 WHERE chain_pos = 4",
         "UPDATE events SET at_ms = at_ms - 1 WHERE chain_pos = 4", "changed", 3},
        {"UPDATE events SET request_id = 'x' WHERE chain_pos = 1",
         "UPDATE events SET request_id = '' WHERE chain_pos = 1", "changed", 0},
        {"UPDATE events SET hash = upper(hash) WHERE chain_pos = 5",
         "UPDATE events SET hash = lower(hash) WHERE chain_pos = 5", "changed", 4},
        {"UPDATE events SET chain_pos = 70 WHERE chain_pos = 7",
         "UPDATE events SET chain_pos = 7 WHERE chain_pos = 70", "position 7 is missing", 6},
        {"UPDATE event_chain SET pos = 11", "UPDATE event_chain SET pos = 10",
         "what came after 10 was removed", 10},
        {"UPDATE event_chain SET hash = 'ab' || substr(hash, 3)", NULL, "end was changed", 10},
        {"DELETE FROM events WHERE chain_pos = 6", NULL, "position 6 is missing", 5},
        {"DELETE FROM events WHERE chain_pos > 5", NULL, "after 5 was removed", 5},
    };
    struct fixture *f = *state;
    struct pst_event_report r;

    for (int i = 0; i < 10; i++)
        happen(f, "app.settings", f->app.id);
    seal(f);
    for (size_t i = 0; i < PST_ARRAY_N(cases); i++) {
        assert_ok(i < 7 ? pst_events_verify(f->store, &r, &f->err) : PST_OK, f->err);
        tamper(f, cases[i].sql);
        assert_rc(pst_events_verify(f->store, &r, &f->err), PST_REFUSED, f->err);
        if (!strstr(r.why, cases[i].why) || r.sealed_n != cases[i].good)
            fail_msg("%s: %s (%" PRId64 ")", cases[i].sql, r.why, r.sealed_n);
        if (cases[i].undo)
            tamper(f, cases[i].undo);
    }
}

static void the_hash_is_as_documented(void **state)
{
    struct pst_event e = {.seq = 1,
                          .at_ms = 1794700000000,
                          .id = "0123456789abcdef01234567",
                          .kind = "app.created",
                          .actor = "user:alice",
                          .text = "one"};
    struct pst_err err = {0};
    char hash[65], again[65], wanted[65];
    const char *text = "0000000000000000000000000000000000000000000000000000000000000000"
                       "1:1,24:0123456789abcdef01234567,13:1794700000000,11:app.created,"
                       "10:user:alice,0:,0:,0:,0:,3:one,";

    (void)state;
    assert_ok(pst_event_hash(&e, "", hash, &err), err);
    assert_ok(pst_sha256_hex(text, strlen(text), wanted, &err), err);
    assert_string_equal(hash, wanted);
    /* Bytes that wander from one field to the next make another hash. */
    pst_str_copy(e.app_id, sizeof e.app_id, "ab");
    assert_ok(pst_event_hash(&e, "", hash, &err), err);
    pst_str_copy(e.app_id, sizeof e.app_id, "a");
    pst_str_copy(e.domain_id, sizeof e.domain_id, "b");
    assert_ok(pst_event_hash(&e, "", again, &err), err);
    assert_string_not_equal(hash, again);
}

TX(remove_app)
{
    struct fixture *f = arg;
    struct note n = {"app.removed", f->app.id};

    int rc = pst_app_delete(tx, f->app.id, err);
    return rc == PST_OK ? append(tx, &n, err) : rc;
}

static int keep_event(const struct pst_event *e, void *arg)
{
    *(struct pst_event *)arg = *e;
    return PST_DONE;
}

TX(newest)
{
    int rc = pst_event_each(tx, NULL, 1, keep_event, arg, err);
    return rc == PST_DONE ? PST_OK : rc;
}

static void the_owner_is_kept(void **state)
{
    struct fixture *f = *state;
    struct pst_event e;

    happen(f, "app.created", f->app.id);
    assert_ok(pst_store_write(f->store, remove_app, f, NULL, &f->err), f->err);
    assert_ok(pst_store_read(f->store, newest, &e, &f->err), f->err);
    assert_string_equal(e.kind, "app.removed");
    assert_string_equal(e.owner_id, f->alice.id);
    assert_true(e.chain_pos == 0 && !e.hash[0]);
    happen(f, "token.created", "");
    assert_ok(pst_store_read(f->store, newest, &e, &f->err), f->err);
    assert_string_equal(e.owner_id, "");
}

/* ---- webhooks: what they may be ---- */

static void kinds_and_urls(void **state)
{
    static const char *const good[] = {"domain.added", "domain.*", "*", "a-b_c.d2"};
    static const char *const bad[] = {"",    "domain*", ".*",  "*.added", "Domain.added",
                                      "a b", "**",      "a,b", ".",       "domain.*.x"};
    static const char *const bad_urls[] = {
        "",       "ftp://x.test/",  "http://", "http://u:p@x.test/", "http://x.test/#f",
        "x.test", "http://x .test/"};
    struct pst_err err = {0};

    (void)state;
    for (size_t i = 0; i < PST_ARRAY_N(good); i++)
        assert_true(pst_webhook_kind_ok(good[i]));
    for (size_t i = 0; i < PST_ARRAY_N(bad); i++)
        if (pst_webhook_kind_ok(bad[i]))
            fail_msg("\"%s\"", bad[i]);
    assert_true(pst_webhook_wants("", "domain.added"));
    assert_true(pst_webhook_wants("app.removed domain.*", "domain.added"));
    assert_true(pst_webhook_wants("app.removed domain.added", "domain.added"));
    assert_true(pst_webhook_wants("*", "domain.added"));
    assert_false(pst_webhook_wants("app.removed domain.add", "domain.added"));
    assert_false(pst_webhook_wants("domain.added.x", "domain.added"));
    for (size_t i = 0; i < PST_ARRAY_N(bad_urls); i++)
        assert_rc(pst_webhook_url_check(bad_urls[i], &err), PST_REFUSED, err);
    assert_ok(pst_webhook_url_check("https://x.test:8443/a?b=c", &err), err);
}

static void backoff_doubles_and_ends(void **state)
{
    const struct pst_webhooks_opts o = {
        .backoff_first_ms = 5000, .backoff_max_ms = 60000, .give_up_ms = 300000};
    const int64_t waits[] = {5000, 10000, 20000, 40000, 60000, 60000};
    struct pst_webhook w = {.active = true};
    int64_t now = 1000000;

    (void)state;
    for (size_t i = 0; i < PST_ARRAY_N(waits); i++) {
        pst_webhook_failed(&w, &o, now);
        assert_int_equal(w.next_at_ms - now, waits[i]);
        assert_true(w.active);
        now = w.next_at_ms;
    }
    w.failures = 1000000;
    pst_webhook_failed(&w, &o, 1000000 + 300000);
    assert_false(w.active);
}

/* ---- webhooks: telling ---- */

struct hook {
    struct pst_webhook w;
    const char *secret;
};

TX(add_hook)
{
    struct hook *h = arg;
    auto_secret struct pst_secret secret = {0};

    int rc = pst_secret_set(&secret, h->secret, strlen(h->secret), err);
    return rc == PST_OK ? pst_webhook_insert(tx, &h->w, &secret, err) : rc;
}

TX(get_hook)
{
    struct pst_webhook *w = arg;
    char id[PST_ID_SIZE];

    memcpy(id, w->id, sizeof id);
    return pst_webhook_get(tx, id, "", w, err);
}

static struct pst_webhook hook_now(struct fixture *f, const struct hook *h)
{
    struct pst_webhook w = h->w;
    assert_ok(pst_store_read(f->store, get_hook, &w, &f->err), f->err);
    return w;
}

static struct hook hook(struct fixture *f, const struct pst_user *u, const char *app_id,
                        const char *path, const char *kinds)
{
    struct hook h = {.w = {.active = true}, .secret = "whsec_test"};

    pst_str_copy(h.w.user_id, sizeof h.w.user_id, u->id);
    pst_str_copy(h.w.app_id, sizeof h.w.app_id, app_id);
    pst_str_copy(h.w.kinds, sizeof h.w.kinds, kinds);
    snprintf(h.w.url, sizeof h.w.url, "%s%s", fake_http_url(f->receiver), path);
    assert_ok(pst_store_write(f->store, add_hook, &h, NULL, &f->err), f->err);
    return h;
}

static void start(struct fixture *f, const char *allow)
{
    assert_ok(pst_gate_new(&f->gate, &allow, allow ? 1 : 0, &f->err), f->err);
    const struct pst_webhooks_opts o = {.store = f->store,
                                        .gate = f->gate,
                                        .clock = pst_clock_system(),
                                        .rand = pst_rand_system(),
                                        .timeout_ms = 1500,
                                        .backoff_first_ms = 100,
                                        .backoff_max_ms = 400};
    assert_ok(pst_webhooks_start(&f->hooks, &o, &f->err), f->err);
}

#define LOOPBACK "127.0.0.0/8"

/* Until there were so many requests, or 10 s. */
static void wait_count(struct fixture *f, const char *request, size_t n)
{
    for (int i = 0; i < 1000 && fake_http_count_of(f->receiver, request) < n; i++)
        usleep(10000);
    assert_int_equal(fake_http_count_of(f->receiver, request), n);
}

static const char *header(struct fixture *f, const struct fake_http_request *r, const char *name)
{
    const char *value = fake_http_header(f->receiver, r, name);
    return value ? value : "";
}

static void an_event_is_told_and_signed(void **state)
{
    struct fixture *f = *state;
    struct hook h = hook(f, &f->alice, "", "/hook?x=1", "");
    auto_(pst_json_free) struct pst_json *j = NULL;
    char wanted[PST_WEBHOOK_SIGNATURE_SIZE];
    auto_secret struct pst_secret secret = {0};
    const struct pst_json *e;
    int64_t t = 0;

    fake_http_on(f->receiver, "POST /hook", -1, 204, "", "");
    start(f, LOOPBACK);
    happen(f, "domain.added", f->app.id);
    seal(f);
    wait_count(f, "POST /hook", 1);
    const struct fake_http_request *r = fake_http_seen(f->receiver, 0);
    assert_string_equal(header(f, r, "Content-Type"), "application/json");
    assert_string_equal(header(f, r, "X-Postern-Event"), "domain.added");
    assert_int_equal(sscanf(header(f, r, "X-Postern-Signature"), "t=%" SCNd64 ",", &t), 1);
    assert_ok(pst_secret_set(&secret, h.secret, strlen(h.secret), &f->err), f->err);
    assert_ok(pst_webhook_sign(&secret, t, r->body, r->body_len, wanted, &f->err), f->err);
    assert_string_equal(header(f, r, "X-Postern-Signature"), wanted);
    assert_ok(pst_json_parse(&j, r->body, r->body_len, &f->err), f->err);
    e = pst_json_get(j, "event");
    assert_string_equal(pst_json_get_text(j, "webhook_id"), h.w.id);
    assert_string_equal(pst_json_get_text(e, "id"), header(f, r, "X-Postern-Event-Id"));
    assert_string_equal(pst_json_get_text(e, "kind"), "domain.added");
    assert_int_equal(strlen(pst_json_get_text(e, "hash")), 64);
    usleep(200000);
    struct pst_webhook w = hook_now(f, &h);
    assert_true(w.last_status == 204 && w.delivered_at_ms && w.cursor_pos == 1 && !w.failures);
    assert_int_equal(fake_http_count(f->receiver), 1);
}

static void each_hears_only_what_is_its_own(void **state)
{
    struct fixture *f = *state;

    happen(f, "app.created", f->app.id); /* before the webhooks: not theirs to hear */
    seal(f);
    hook(f, &f->alice, "", "/alice", "");
    hook(f, &f->alice, f->other.id, "/stolen", "");
    hook(f, &f->bob, f->other.id, "/bob", "domain.*");
    hook(f, &f->root, "", "/root", "");
    hook(f, &f->root, f->app.id, "/root-app", "");
    fake_http_on(f->receiver, NULL, -1, 200, "", "");
    start(f, LOOPBACK);
    happen(f, "domain.added", f->app.id);
    happen(f, "domain.added", f->other.id);
    happen(f, "app.settings", f->other.id);
    happen(f, "token.created", "");
    seal(f);
    wait_count(f, "POST /root", 4);
    wait_count(f, "POST /root-app", 1);
    wait_count(f, "POST /alice", 1);
    wait_count(f, "POST /bob", 1);
    usleep(300000);
    assert_int_equal(fake_http_count(f->receiver), 7);
}

static void failures_are_tried_again_in_order(void **state)
{
    struct fixture *f = *state;
    struct hook h = hook(f, &f->alice, "", "/hook", "");

    fake_http_on(f->receiver, "POST /hook", 2, 500, "", "");
    fake_http_on(f->receiver, "POST /hook", 1, 302, "Location: {base}/elsewhere\r\n", "");
    fake_http_raw(f->receiver, "POST /hook", 1, "", 0);
    fake_http_on(f->receiver, "POST /hook", -1, 200, "", "");
    start(f, LOOPBACK);
    happen(f, "domain.one", f->app.id);
    happen(f, "domain.two", f->app.id);
    seal(f);
    wait_count(f, "POST /hook", 6);
    for (size_t i = 0; i < 6; i++)
        assert_string_equal(header(f, fake_http_seen(f->receiver, i), "X-Postern-Event"),
                            i < 5 ? "domain.one" : "domain.two");
    assert_int_equal(fake_http_count_of(f->receiver, "GET /elsewhere"), 0);
    assert_int_equal(fake_http_count_of(f->receiver, "POST /elsewhere"), 0);
    usleep(200000);
    assert_true(hook_now(f, &h).failures == 0 && hook_now(f, &h).cursor_pos == 2);
}

static void a_private_address_is_refused(void **state)
{
    struct fixture *f = *state;
    struct hook h = hook(f, &f->alice, "", "/hook", "");
    struct pst_webhook w = {0};

    fake_http_on(f->receiver, NULL, -1, 200, "", "");
    start(f, NULL);
    happen(f, "domain.added", f->app.id);
    seal(f);
    for (int i = 0; i < 500 && !w.failures; i++) {
        usleep(10000);
        w = hook_now(f, &h);
    }
    assert_true(w.failures > 0 && w.last_status == 0);
    assert_non_null(strstr(w.last_error, "loopback"));
    assert_int_equal(fake_http_count(f->receiver), 0);
}

static void a_slow_receiver_holds_nobody_up(void **state)
{
    struct fixture *f = *state;

    for (int i = 0; i < 4; i++)
        hook(f, &f->alice, "", "/slow", "");
    hook(f, &f->bob, "", "/bob", "");
    fake_http_stall(f->receiver, "POST /slow", -1);
    fake_http_on(f->receiver, NULL, -1, 200, "", "");
    start(f, LOOPBACK);
    happen(f, "domain.added", f->app.id);
    happen(f, "domain.added", f->other.id);
    int64_t begun = pst_mono_ms(pst_clock_system());
    seal(f);
    wait_count(f, "POST /bob", 1);
    assert_true(pst_mono_ms(pst_clock_system()) - begun < 1200);
    /* Ending does not wait for it. */
    begun = pst_mono_ms(pst_clock_system());
    pst_webhooks_stop(f->hooks);
    f->hooks = NULL;
    assert_true(pst_mono_ms(pst_clock_system()) - begun < 1400);
}

TX(claim_and_die)
{
    return pst_webhook_claim(tx, 3600 * 1000, arg, err);
}

static void what_a_crash_left_is_told_again(void **state)
{
    struct fixture *f = *state;
    struct hook h = hook(f, &f->alice, "", "/hook", "");
    struct pst_webhook w = {0};

    fake_http_on(f->receiver, NULL, -1, 200, "", "");
    happen(f, "domain.added", f->app.id);
    seal(f);
    /* The process dies between the claim and the save: the row stays leased. */
    assert_ok(pst_store_write(f->store, claim_and_die, &w, NULL, &f->err), f->err);
    assert_rc(pst_store_write(f->store, claim_and_die, &w, NULL, &f->err), PST_NOTFOUND, f->err);
    pst_store_close(f->store);
    f->store = NULL;
    f->opts.node = "node/boot2";
    assert_ok(pst_store_open(&f->store, &f->opts, &f->err), f->err);
    start(f, LOOPBACK);
    wait_count(f, "POST /hook", 1);
    usleep(200000);
    assert_int_equal(hook_now(f, &h).cursor_pos, 1);
}

TX(save_late)
{
    return pst_webhook_save(tx, arg, true, err);
}

static void who_lost_the_lease_saves_nothing(void **state)
{
    struct fixture *f = *state;
    struct pst_webhook w = {0};
    struct hook h = hook(f, &f->alice, "", "/hook", "");

    assert_ok(pst_store_write(f->store, claim_and_die, &w, NULL, &f->err), f->err);
    assert_string_equal(w.id, h.w.id);
    w.lease_token--;
    w.cursor_pos = 99;
    assert_rc(pst_store_write(f->store, save_late, &w, NULL, &f->err), PST_CONFLICT, f->err);
    assert_int_equal(hook_now(f, &h).cursor_pos, 0);
}

TX(ask_ping)
{
    struct pst_webhook *w = arg;
    pst_id_new(pst_rand_system(), w->ping_id);
    return pst_webhook_update(tx, w, err);
}

static void a_ping_is_told_at_once(void **state)
{
    struct fixture *f = *state;
    struct hook h = hook(f, &f->alice, "", "/hook", "domain.*");

    fake_http_on(f->receiver, NULL, 1, 503, "", "");
    fake_http_on(f->receiver, NULL, -1, 200, "", "");
    start(f, LOOPBACK);
    assert_ok(pst_store_write(f->store, ask_ping, &h.w, NULL, &f->err), f->err);
    pst_webhooks_poke(f->hooks);
    wait_count(f, "POST /hook", 1);
    usleep(200000);
    struct pst_webhook w = hook_now(f, &h);
    assert_true(!w.ping_id[0] && w.last_status == 503 && w.failures == 0);
    assert_string_equal(header(f, fake_http_seen(f->receiver, 0), "X-Postern-Event"),
                        "webhook.ping");
    assert_string_equal(header(f, fake_http_seen(f->receiver, 0), "X-Postern-Event-Id"),
                        h.w.ping_id);
}

static void who_fails_too_long_is_switched_off(void **state)
{
    struct fixture *f = *state;
    struct hook h = hook(f, &f->alice, "", "/hook", "");
    struct pst_webhook w = {.active = true};
    struct pst_event e;

    fake_http_on(f->receiver, NULL, -1, 500, "", "");
    assert_ok(pst_gate_new(&f->gate, (const char *[]){LOOPBACK}, 1, &f->err), f->err);
    const struct pst_webhooks_opts o = {.store = f->store,
                                        .gate = f->gate,
                                        .clock = pst_clock_system(),
                                        .rand = pst_rand_system(),
                                        .backoff_first_ms = 50,
                                        .backoff_max_ms = 50,
                                        .give_up_ms = 200};
    assert_ok(pst_webhooks_start(&f->hooks, &o, &f->err), f->err);
    happen(f, "domain.added", f->app.id);
    seal(f);
    for (int i = 0; i < 1000 && w.active; i++) {
        usleep(10000);
        w = hook_now(f, &h);
    }
    assert_false(w.active);
    assert_ok(pst_store_read(f->store, newest, &e, &f->err), f->err);
    assert_string_equal(e.kind, "webhook.off");
    /* On again, it goes on from where it was. */
    fake_http_clear(f->receiver);
    fake_http_on(f->receiver, "POST /hook", -1, 200, "", "");
    w.active = true;
    w.ping_id[0] = '\0';
    size_t n = fake_http_count(f->receiver);
    seal(f);
    assert_ok(pst_store_write(f->store, ask_ping, &w, NULL, &f->err), f->err);
    pst_webhooks_poke(f->hooks);
    wait_count(f, "POST /hook", n + 2);
    assert_string_equal(header(f, fake_http_seen(f->receiver, n + 1), "X-Postern-Event"),
                        "domain.added");
}

static void no_memory_is_survived(void **state)
{
    struct pst_event e = {.id = "0123456789abcdef01234567", .kind = "a.b", .text = "t"};
    int rc;

    (void)state;
    assert_survives_no_memory(rc, {
        struct pst_json *j = pst_event_json(&e);
        rc = j ? PST_OK : PST_ENOMEM;
        pst_json_free(j);
    });
}

#define T(fn) cmocka_unit_test_setup_teardown(fn, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(sealed_events_verify),
        T(many_writers_and_two_followers),
        T(tampering_is_found),
        cmocka_unit_test(the_hash_is_as_documented),
        T(the_owner_is_kept),
        cmocka_unit_test(kinds_and_urls),
        cmocka_unit_test(backoff_doubles_and_ends),
        T(an_event_is_told_and_signed),
        T(each_hears_only_what_is_its_own),
        T(failures_are_tried_again_in_order),
        T(a_private_address_is_refused),
        T(a_slow_receiver_holds_nobody_up),
        T(what_a_crash_left_is_told_again),
        T(who_lost_the_lease_saves_nothing),
        T(a_ping_is_told_at_once),
        T(who_fails_too_long_is_switched_off),
        cmocka_unit_test(no_memory_is_survived),
    };
    struct pst_err err = {0};

    if (pst_crypto_init(true, &err) != PST_OK)
        return 1;
    return cmocka_run_group_tests_name(
        pst_test_pg_url() ? "event on PostgreSQL" : "event on SQLite", tests, NULL, NULL);
}
