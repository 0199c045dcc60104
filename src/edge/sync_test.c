/* sync_test.c - the loop against a scripted control plane, step by step. */
#include "edge_fixture.h"

#include <postern/replica_reader.h>
#include <signal.h>
#include <sys/wait.h>

static int null_fd; /* where the log goes otherwise */

static mode_t mode_of(const char *dir, const char *file)
{
    char path[256];
    struct stat st;

    snprintf(path, sizeof path, "%s/%s", dir, file);
    assert_int_equal(stat(path, &st), 0);
    return st.st_mode & 07777;
}

static void read_link(const struct fixture *f, char to[64])
{
    char path[256];

    snprintf(path, sizeof path, "%s/v1/current", f->replica);
    ssize_t n = readlink(path, to, 63);
    assert_true(n > 0);
    to[n] = '\0';
}

static void advance(struct fixture *f, int64_t s)
{
    pst_clock_manual_advance(&f->clock, s * 1000);
}

/* ---- enrolment ---- */

static void enrolment_tells_who_we_are(void **state)
{
    struct fixture *f = *state;
    struct pst_buf key = PST_BUF(64), want = PST_BUF(256);

    enrol(f);
    const struct fake_http_request *r = fake_http_seen(f->http, 0);
    pst_b64_add(&key, f->creds.box_public, 32);
    pst_buf_printf(&want,
                   "{\"token\":\"tk-en-once\",\"name\":\"edge1\",\"public_key\":\"%s\","
                   "\"probe_address\":\"127.0.0.1:8443\"}",
                   key.data);
    assert_string_equal(r->body, want.data);
    assert_null(fake_http_header(f->http, r, "Authorization"));
    assert_string_equal(f->creds.id, "e1");
    assert_int_equal(mode_of(f->keys, "edge"), 0600);
    assert_int_equal(mode_of(f->keys, "box.key"), 0600);
    assert_int_equal(mode_of(f->keys, "local.key"), 0600);
    pst_buf_deinit(&key);
    pst_buf_deinit(&want);

    /* The next start needs no token and has the same keys. */
    uint8_t before[32];
    memcpy(before, f->creds.box_public, 32);
    fixture_close(f);
    unlink(f->token_file);
    fixture_open(f);
    assert_true(pst_edged_enrolled(f->e));
    struct pst_err err = {0};
    pst_edged_creds_deinit(&f->creds);
    assert_ok(pst_edged_creds_load(&f->creds, f->keys, pst_rand_system(), &err), err);
    assert_memory_equal(before, f->creds.box_public, 32);
}

static void a_refused_token_is_not_hammered(void **state)
{
    struct fixture *f = *state;
    int rc;

    write_text(f->token_file, "tk-en-used\n", 0600);
    fake_http_on(f->http, ENROL, -1, 401, "", "{\"error\":\"unknown\"}");
    fixture_open(f);
    steps(f, 1);
    assert_true(pst_edged_step(f->e, &rc) >= 30000);
    assert_int_equal(rc, PST_REFUSED);
    assert_false(pst_edged_enrolled(f->e));
}

static void only_one_works_on_a_replica(void **state)
{
    struct fixture *f = *state;
    struct pst_edged *second = NULL;
    struct pst_err err = {0};

    fixture_open(f);
    assert_rc(pst_edged_new(&second, &f->opts, &err), PST_ECONFIG, err);
    assert_err_has(err, "another postern-edged");
}

static void loose_key_files_are_refused(void **state)
{
    struct fixture *f = *state;
    struct pst_err err = {0};
    char path[256];

    fixture_open(f);
    fixture_close(f);
    snprintf(path, sizeof path, "%s/local.key", f->keys);
    chmod(path, 0640);
    assert_rc(pst_edged_new(&f->e, &f->opts, &err), PST_ECONFIG, err);
    chmod(path, 0600);
    assert_int_equal(truncate(path, 31), 0);
    assert_rc(pst_edged_new(&f->e, &f->opts, &err), PST_ECONFIG, err);
    assert_err_has(err, "32 bytes");
}

static void plain_http_only_over_loopback(void **state)
{
    struct fixture *f = *state;
    struct pst_err err = {0};

    f->opts.control_url = "http://192.0.2.1:8080";
    assert_rc(pst_edged_new(&f->e, &f->opts, &err), PST_ECONFIG, err);
    assert_err_has(err, "plain HTTP");
}

/* ---- resync ---- */

static void a_snapshot_in_pages_then_catching_up(void **state)
{
    struct fixture *f = *state;
    struct pst_buf b = PST_BUF(BODY_SIZE);

    enrol(f);
    add_object(&b, "app", "a1", 2,
               "{\"name\":\"shop\",\"upstreams\":[{\"id\":\"u1\",\"address\":\"127.0.0.1:3000\","
               "\"weight\":7,\"drain\":true}]}");
    add_names(&b, 0, 3, 5, NAME_VALUE);
    on_snapshot(f, 5, pst_buf_cstr(&b), "\"name/n0002.test\"");
    pst_buf_cut(&b, 0);
    add_names(&b, 3, 5, 8, NAME_VALUE); /* the head has moved meanwhile */
    on_snapshot(f, 9, pst_buf_cstr(&b), NULL);
    pst_buf_cut(&b, 0);
    add_names(&b, 3, 5, 8, NAME_VALUE);
    on_changes(f, 8, pst_buf_cstr(&b), true);
    pst_buf_cut(&b, 0);
    add_names(&b, 0, 1, 9, NULL);
    on_changes(f, 9, pst_buf_cstr(&b), false);
    pst_buf_deinit(&b);

    steps(f, 4);
    assert_int_equal(at_rev(f), -1); /* nothing is published before it has caught up */
    steps(f, 1);
    assert_int_equal(at_rev(f), 9);

    /* 0 enrol, 1 and 2 snapshot, 3 and 4 changes */
    assert_string_equal(fake_http_seen(f->http, 1)->path, "/edge/v1/snapshot?after=");
    assert_string_equal(fake_http_seen(f->http, 2)->path,
                        "/edge/v1/snapshot?after=name%2Fn0002.test");
    assert_string_equal(fake_http_seen(f->http, 3)->path,
                        "/edge/v1/changes?epoch=ep1&rev=5&id=id5&wait=0&joining=1");
    assert_string_equal(fake_http_seen(f->http, 4)->path,
                        "/edge/v1/changes?epoch=ep1&rev=8&id=id8&wait=0&joining=1");
    assert_string_equal(fake_http_header(f->http, fake_http_seen(f->http, 1), "Authorization"),
                        "Bearer tk-ed-bearer");

    assert_shows(f, "n0004.test", "app: a1 (shop)");
    assert_shows(f, "n0004.test", "revision: 8");
    assert_shows(f, "n0004.test", "upstream: 127.0.0.1:3000 weight 7 draining");
    assert_shows_nothing(f, "n0000.test");
    assert_shows(f, NULL, "\"epoch\":\"ep1\",\"rev\":9");
    assert_shows(f, NULL, "\"names\":4,\"apps\":1,");

    /* Now it acknowledges, and waits for news. */
    on_changes(f, 9, "", false);
    steps(f, 1);
    assert_string_equal(fake_http_last(f->http)->path,
                        "/edge/v1/changes?epoch=ep1&rev=9&id=id9&wait=10");
}

static void the_files_have_their_modes(void **state)
{
    struct fixture *f = *state;

    umask(0077);
    follow_with_names(f, 3);
    umask(0022);
    assert_int_equal(mode_of(f->replica, "v1/current/data.mdb"), 0640);
    assert_int_equal(mode_of(f->replica, "v1/current/lock.mdb"), 0660);
    assert_int_equal(mode_of(f->replica, "v1") & 0022, 0);
}

static void an_unknown_cursor_makes_a_new_build(void **state)
{
    struct fixture *f = *state;
    struct pst_buf b = PST_BUF(BODY_SIZE);
    char before[64], after[64], path[256];

    follow_with_names(f, 3);
    read_link(f, before);
    fake_http_on(f->http, CHANGES, 1, 410, "", "{\"error\":\"resync\"}");
    step_rc(f, PST_NOTYET);
    add_names(&b, 1, 4, 2, NAME_VALUE);
    on_snapshot(f, 2, pst_buf_cstr(&b), NULL); /* a new history may have lower revisions */
    pst_buf_deinit(&b);
    on_changes(f, 2, "", false);
    steps(f, 2);
    assert_shows(f, "n0000.test", "app: a1"); /* all the while the old one serves */
    steps(f, 1);

    assert_int_equal(at_rev(f), 2);
    read_link(f, after);
    assert_string_not_equal(before, after);
    snprintf(path, sizeof path, "%s/v1/%s", f->replica, before);
    assert_int_equal(access(path, F_OK), -1); /* the old build is gone */
    assert_shows_nothing(f, "n0000.test");
    assert_shows(f, "n0003.test", "app: a1");
}

/* A reader that has the old build open hears of the new one in its own look-up. */
static void readers_of_the_old_build_move_on(void **state)
{
    struct fixture *f = *state;
    struct pst_buf b = PST_BUF(BODY_SIZE);
    int to_child[2], from_child[2], status;
    char byte;

    follow_with_names(f, 3);
    assert_int_equal(pipe(to_child) | pipe(from_child), 0);
    pid_t pid = fork();
    if (pid == 0) {
        struct pst_replica_reader *r = NULL;
        struct pst_replica_name n;
        pst_replica_reader_new(&r, f->replica);
        pst_replica_reader_set_retry(r, 3600000); /* never by looking at the link */
        int old = pst_replica_reader_name(r, "n0000.test", 10, &n);
        (void)!write(from_child[1], "x", 1);
        (void)!read(to_child[0], &byte, 1);
        int gone = pst_replica_reader_name(r, "n0000.test", 10, &n);
        int fresh = pst_replica_reader_name(r, "n0009.test", 10, &n);
        _exit(old == PST_REPLICA_OK && gone == PST_REPLICA_MISSING && fresh == PST_REPLICA_OK ? 0
                                                                                              : 1);
    }
    assert_int_equal(read(from_child[0], &byte, 1), 1);
    fake_http_on(f->http, CHANGES, 1, 410, "", "{\"error\":\"resync\"}");
    step_rc(f, PST_NOTYET);
    add_names(&b, 9, 10, 6, NAME_VALUE);
    on_snapshot(f, 6, pst_buf_cstr(&b), NULL);
    pst_buf_deinit(&b);
    on_changes(f, 6, "", false);
    steps(f, 3);
    assert_int_equal(write(to_child[1], "x", 1), 1);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
}

static void a_new_epoch_in_the_middle_begins_again(void **state)
{
    struct fixture *f = *state;

    enrol(f);
    on_snapshot(f, 5, "", "\"name/a\"");
    fake_http_on(f->http, SNAPSHOT, 1, 200, "",
                 "{\"epoch\":\"ep2\",\"rev\":1,\"id\":\"x\",\"objects\":[],\"next\":null}");
    steps(f, 2);
    step_rc(f, PST_NOTYET);
    on_snapshot(f, 7, "", NULL);
    on_changes(f, 7, "", false);
    steps(f, 3);
    assert_int_equal(at_rev(f), 7);
}

static void a_snapshot_that_stands_still_is_refused(void **state)
{
    struct fixture *f = *state;

    enrol(f);
    on_snapshot(f, 5, "", "\"name/b\"");
    on_snapshot(f, 5, "", "\"name/b\"");
    steps(f, 2);
    step_rc(f, PST_EINPUT);
}

/* ---- following ---- */

static void changes_are_applied_and_acknowledged(void **state)
{
    struct fixture *f = *state;
    struct pst_buf b = PST_BUF(BODY_SIZE);

    follow_with_names(f, 3);
    add_names(&b, 0, 1, 6, NULL);
    add_names(&b, 7, 8, 7, NAME_VALUE);
    add_object(&b, "spaceship", "x", 7, "{\"a\":1}"); /* of a newer control plane */
    add_object(&b, "meta", "colour", 7, "{\"a\":1}");
    on_changes(f, 7, pst_buf_cstr(&b), false);
    pst_buf_deinit(&b);
    int rc;
    assert_int_equal(pst_edged_step(f->e, &rc), 0); /* the next poll goes out at once */
    assert_int_equal(rc, PST_OK);
    assert_int_equal(at_rev(f), 7);
    assert_shows(f, "n0007.test", "app: a1");
    assert_shows_nothing(f, "n0000.test");
    on_changes(f, 7, "", false);
    steps(f, 1);
    assert_string_equal(fake_http_last(f->http)->path,
                        "/edge/v1/changes?epoch=ep1&rev=7&id=id7&wait=10");
}

static void bad_pages_change_nothing(void **state)
{
    static const char *const bad[] = {
        "",
        "{\"epoch\":\"ep1\",\"rev\":6,\"id\":\"id6\",\"objects\":[",
        "{\"epoch\":\"ep1\",\"rev\":6,\"id\":\"id6\",\"objects\":[]}",
        "{\"epoch\":\"ep1\",\"rev\":\"6\",\"id\":\"id6\",\"objects\":[],\"more\":false}",
        "{\"epoch\":\"ep1\",\"rev\":-1,\"id\":\"id6\",\"objects\":[],\"more\":false}",
        "{\"epoch\":\"e p\",\"rev\":6,\"id\":\"id6\",\"objects\":[],\"more\":false}",
        "{\"epoch\":\"ep2\",\"rev\":6,\"id\":\"id6\",\"objects\":[],\"more\":false}", /* another */
        "{\"epoch\":\"ep1\",\"rev\":4,\"id\":\"id4\",\"objects\":[],\"more\":false}", /* back */
        "{\"epoch\":\"ep1\",\"rev\":6,\"id\":\"id6\",\"objects\":[7],\"more\":false}",
        "{\"epoch\":\"ep1\",\"rev\":6,\"id\":\"id6\",\"more\":false,\"objects\":[{\"kind\":"
        "\"name\","
        "\"key\":\"n0000.test\",\"rev\":6,\"deleted\":true,\"value\":null},{\"kind\":\"name\"}]}",
        "{\"epoch\":\"ep1\",\"rev\":6,\"id\":\"id6\",\"more\":false,\"objects\":[{\"kind\":"
        "\"name\","
        "\"key\":\"n0000.test\",\"rev\":7,\"deleted\":true,\"value\":null}]}", /* of the future */
        "{\"epoch\":\"ep1\",\"rev\":6,\"id\":\"id6\",\"more\":false,\"objects\":[{\"kind\":"
        "\"name\","
        "\"key\":\"n0000.test\",\"rev\":6,\"deleted\":true,\"value\":{}}]}",
        "{\"epoch\":\"ep1\",\"rev\":6,\"id\":\"id6\",\"more\":false,\"objects\":[{\"kind\":"
        "\"name\","
        "\"key\":\"n0000.test\",\"rev\":6,\"deleted\":false,\"value\":null}]}",
    };
    struct fixture *f = *state;

    follow_with_names(f, 3);
    for (size_t i = 0; i < PST_ARRAY_N(bad); i++) {
        fake_http_on(f->http, CHANGES, 1, 200, "", bad[i]);
        step_rc(f, PST_EINPUT);
        assert_int_equal(at_rev(f), 5);
    }
    fake_http_on(f->http, CHANGES, 1, 500, "", "<html>oops</html>");
    step_rc(f, PST_EREMOTE);
    assert_shows(f, "n0000.test", "app: a1");
    on_changes(f, 6, "", false); /* and then it goes on */
    steps(f, 1);
    assert_int_equal(at_rev(f), 6);
}

static void a_control_plane_that_is_away_is_waited_for(void **state)
{
    struct fixture *f = *state;
    int64_t wait_ms = 0;
    int rc;

    follow_with_names(f, 3);
    fake_http_raw(f->http, CHANGES, -1, "", 0);
    for (int i = 0; i < 8; i++) {
        int64_t before = wait_ms;
        wait_ms = pst_edged_step(f->e, &rc);
        assert_int_equal(rc, PST_ENET);
        assert_in_range(wait_ms, 75, 5000);
        assert_true(wait_ms > before || before >= 3750);
    }
    assert_true(wait_ms >= 3750);
    assert_shows(f, "n0002.test", "app: a1");
    fake_http_clear(f->http);
    on_changes(f, 6, "", false);
    steps(f, 1);
    fake_http_raw(f->http, CHANGES, -1, "", 0);
    assert_true(pst_edged_step(f->e, &rc) <= 100); /* it begins from the start again */
}

/* ---- secrets ---- */

static void secrets_are_sealed_anew(void **state)
{
    struct fixture *f = *state;
    struct pst_buf b = PST_BUF(BODY_SIZE), v = PST_BUF(8192);
    uint8_t key[97], ticket[80], probe[32];

    memset(key, 'k', sizeof key);
    memset(ticket, 't', sizeof ticket);
    memset(probe, 'p', sizeof probe);
    follow_with_names(f, 1);
    pst_buf_str(&v, "{\"leaf\":\"MIIB\",\"issuers\":[\"00000000000000ff\"],\"key_type\":\"p256\","
                    "\"not_before\":1,\"not_after\":2,\"sealed\":\"");
    add_box(&v, f->creds.box_public, "cert/18446744073709551615", key, sizeof key);
    pst_buf_str(&v, "\"}");
    add_object(&b, "cert", "18446744073709551615", 6, v.data);
    pst_buf_cut(&v, 0);
    pst_buf_str(&v, "{\"not_before\":1,\"not_after\":2,\"sealed\":\"");
    add_box(&v, f->creds.box_public, "ticket/t1", ticket, sizeof ticket);
    pst_buf_str(&v, "\"}");
    add_object(&b, "ticket", "t1", 6, v.data);
    pst_buf_cut(&v, 0);
    pst_buf_str(&v, "{\"sealed\":\"");
    add_box(&v, f->creds.box_public, "meta/probe", probe, sizeof probe);
    pst_buf_str(&v, "\"}");
    add_object(&b, "meta", "probe", 6, v.data);
    on_changes(f, 6, pst_buf_cstr(&b), false);
    steps(f, 1);
    fixture_close(f);
    pst_buf_deinit(&b);
    pst_buf_deinit(&v);

    struct pst_replica_reader *r = NULL;
    struct pst_replica_cert cert;
    struct pst_replica_probe p;
    auto_secret struct pst_secret plain = {0};
    struct pst_err err = {0};
    assert_int_equal(pst_replica_reader_new(&r, f->replica), PST_REPLICA_OK);
    assert_int_equal(pst_replica_reader_cert(r, UINT64_MAX, &cert), PST_REPLICA_OK);
    assert_int_equal(cert.issuers[0], 255);
    assert_int_equal(cert.generation, 6);
    assert_null(memmem(cert.sealed, cert.sealed_len, "kkkk", 4));
    assert_ok(pst_local_unseal(f->creds.local, "cert", "18446744073709551615", cert.sealed,
                               cert.sealed_len, &plain, &err),
              err);
    assert_int_equal(plain.len, sizeof key);
    assert_memory_equal(plain.data, key, sizeof key);
    assert_int_equal(pst_replica_reader_probe(r, &p), PST_REPLICA_OK);
    assert_ok(
        pst_local_unseal(f->creds.local, "meta", "probe", p.sealed, p.sealed_len, &plain, &err),
        err);
    assert_memory_equal(plain.data, probe, sizeof probe);
    pst_replica_reader_free(r);
}

/* A control plane that answers a long poll at once must not keep both busy. */
static void an_answer_without_news_is_not_asked_for_at_once(void **state)
{
    struct fixture *f = *state;
    int rc;

    follow_with_names(f, 1);
    on_changes(f, 5, "", true);
    assert_int_equal(pst_edged_step(f->e, &rc), 100);
    assert_int_equal(rc, PST_OK);
}

/* The same fault is said once a minute, another one at once. */
static void faults_do_not_flood_the_log(void **state)
{
    struct fixture *f = *state;
    char path[96];
    struct pst_err err = {0};
    struct pst_buf log = PST_BUF(BODY_SIZE);
    int lines = 0;

    follow_with_names(f, 1);
    snprintf(path, sizeof path, "%s/log", f->dir);
    int fd = open(path, O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    pst_log_set_fd(fd);
    fake_http_on(f->http, CHANGES, 50, 401, "", "{\"error\":\"who?\"}");
    for (int i = 0; i < 50; i++)
        step_rc(f, PST_EREMOTE);
    fake_http_on(f->http, CHANGES, 1, 500, "", "{\"error\":\"oops\"}");
    step_rc(f, PST_EREMOTE);
    advance(f, 61);
    fake_http_on(f->http, CHANGES, 1, 500, "", "{\"error\":\"oops\"}");
    step_rc(f, PST_EREMOTE);
    pst_log_set_fd(null_fd);
    close(fd);
    assert_ok(pst_io_read_file(path, &log, &err), err);
    for (const char *s = log.data; (s = strstr(s, "step failed")); s++)
        lines++;
    assert_int_equal(lines, 3);
    pst_buf_deinit(&log);
}

static void a_box_for_somebody_else_stops_the_page(void **state)
{
    struct fixture *f = *state;
    struct pst_buf b = PST_BUF(BODY_SIZE), v = PST_BUF(8192);
    auto_secret struct pst_secret other = {0};
    uint8_t other_public[32], probe[32] = {0};
    struct pst_err err = {0};

    follow_with_names(f, 3);
    assert_ok(pst_box_keypair(&other, other_public, &err), err);
    pst_buf_str(&v, "{\"sealed\":\"");
    add_box(&v, other_public, "meta/probe", probe, sizeof probe);
    pst_buf_str(&v, "\"}");
    add_names(&b, 0, 1, 6, NULL);
    add_object(&b, "meta", "probe", 6, v.data);
    on_changes(f, 6, pst_buf_cstr(&b), false);
    step_rc(f, PST_EINPUT);
    assert_int_equal(at_rev(f), 5);
    assert_shows(f, "n0000.test", "app: a1");

    /* Ours, but of another object. */
    pst_buf_cut(&v, 0);
    pst_buf_str(&v, "{\"not_before\":1,\"not_after\":2,\"sealed\":\"");
    add_box(&v, f->creds.box_public, "ticket/t1", probe, sizeof probe);
    pst_buf_str(&v, "\"}");
    pst_buf_cut(&b, 0);
    add_object(&b, "ticket", "t2", 6, v.data);
    on_changes(f, 6, pst_buf_cstr(&b), false);
    step_rc(f, PST_EINPUT);
    assert_int_equal(at_rev(f), 5);
    pst_buf_deinit(&b);
    pst_buf_deinit(&v);
}

/* A bad value hurts its owner only: the rest of the page is applied. */
static void an_object_with_a_bad_value_is_taken_as_deleted(void **state)
{
    struct fixture *f = *state;
    struct pst_buf b = PST_BUF(BODY_SIZE);

    follow_with_names(f, 3);
    add_object(&b, "name", "n0001.test", 6,
               "{\"app\":\"a b\",\"acme\":true,\"force_https\":false,"
               "\"canonical\":null,\"steps\":[]}");
    add_names(&b, 5, 6, 6, NAME_VALUE);
    on_changes(f, 6, pst_buf_cstr(&b), false);
    pst_buf_deinit(&b);
    steps(f, 1);
    assert_int_equal(at_rev(f), 6);
    assert_shows_nothing(f, "n0001.test");
    assert_shows(f, "n0005.test", "app: a1");
}

/* ---- the brake ---- */

static void on_deletion(struct fixture *f, int64_t rev, int from, int to)
{
    struct pst_buf b = PST_BUF(BODY_SIZE);

    add_names(&b, from, to, rev, NULL);
    on_changes(f, rev, pst_buf_cstr(&b), false);
    pst_buf_deinit(&b);
}

static void mass_deletion_waits_for_a_person(void **state)
{
    struct fixture *f = *state;
    struct pst_err err = {0};

    follow_with_names(f, 400);
    assert_rc(pst_edged_brake_accept(f->replica, &err), PST_NOTFOUND, err);
    on_deletion(f, 6, 0, 60); /* under brake.min */
    steps(f, 1);
    assert_int_equal(at_rev(f), 6);
    advance(f, 600);
    on_deletion(f, 7, 60, 120); /* with those of the hour it is too much */
    steps(f, 1);
    assert_int_equal(at_rev(f), 6);
    assert_shows(f, "n0060.test", "app: a1");
    assert_shows(f, NULL, "\"brake\":{\"since\":1800000600,\"lost\":120,\"of\":340}");

    size_t polls = fake_http_count_of(f->http, CHANGES);
    int rc;
    assert_int_equal(pst_edged_step(f->e, &rc), 1000); /* nothing is asked meanwhile */
    assert_int_equal(fake_http_count_of(f->http, CHANGES), polls);

    /* A minute later it looks whether the names are still going, without acknowledging. */
    advance(f, 60);
    on_deletion(f, 7, 60, 120);
    steps(f, 1);
    assert_int_equal(at_rev(f), 6);
    assert_string_equal(fake_http_last(f->http)->path,
                        "/edge/v1/changes?epoch=ep1&rev=6&id=id6&wait=0&joining=1");

    /* A new start does not forget it. */
    fixture_close(f);
    fixture_open(f);
    steps(f, 1);
    assert_ok(pst_edged_brake_accept(f->replica, &err), err);
    on_deletion(f, 7, 60, 180); /* what is more than the note said counts as well */
    steps(f, 1);
    assert_int_equal(at_rev(f), 7);
    assert_shows_nothing(f, "n0060.test");
    assert_shows(f, NULL, "\"brake\":null");
    assert_rc(pst_edged_brake_accept(f->replica, &err), PST_NOTFOUND, err); /* once */

    /* What was accepted does not count against what comes afterwards. */
    on_deletion(f, 8, 180, 190);
    steps(f, 1);
    assert_int_equal(at_rev(f), 8);
}

static void names_that_come_back_release_the_brake(void **state)
{
    struct fixture *f = *state;

    follow_with_names(f, 400);
    on_deletion(f, 6, 0, 200);
    steps(f, 1);
    assert_int_equal(at_rev(f), 5);
    advance(f, 61);
    on_deletion(f, 8, 0, 5);
    steps(f, 1);
    assert_int_equal(at_rev(f), 8);
    assert_shows(f, NULL, "\"brake\":null");
}

static void an_empty_snapshot_does_not_empty_the_edge(void **state)
{
    struct fixture *f = *state;
    struct pst_err err = {0};
    char before[64], after[64];

    follow_with_names(f, 400);
    read_link(f, before);
    fake_http_on(f->http, CHANGES, 1, 410, "", "{\"error\":\"resync\"}");
    step_rc(f, PST_NOTYET);
    on_snapshot(f, 1, "", NULL);
    on_changes(f, 1, "", false);
    steps(f, 3);
    read_link(f, after);
    assert_string_equal(before, after);
    assert_shows(f, "n0399.test", "app: a1");
    assert_shows(f, NULL, "\"lost\":400,\"of\":400");

    assert_ok(pst_edged_brake_accept(f->replica, &err), err);
    on_snapshot(f, 1, "", NULL);
    on_changes(f, 1, "", false);
    steps(f, 3);
    assert_int_equal(at_rev(f), 1);
    assert_shows(f, NULL, "\"names\":0");
}

/* ---- restarts and damage ---- */

static void a_start_follows_from_where_the_replica_stands(void **state)
{
    struct fixture *f = *state;

    follow_with_names(f, 3);
    fixture_close(f);
    fixture_open(f);
    on_changes(f, 6, "", false);
    steps(f, 2);
    assert_string_equal(fake_http_last(f->http)->path,
                        "/edge/v1/changes?epoch=ep1&rev=5&id=id5&wait=10");
    assert_int_equal(fake_http_count_of(f->http, SNAPSHOT), 1);
}

/* Killed after the commit and before the acknowledgement: nothing is lost or applied twice. */
static void killed_between_commit_and_acknowledgement(void **state)
{
    struct fixture *f = *state;
    struct pst_buf b = PST_BUF(BODY_SIZE);
    int status;

    follow_with_names(f, 3);
    fixture_close(f);
    add_names(&b, 7, 8, 6, NAME_VALUE);
    on_changes(f, 6, pst_buf_cstr(&b), false);
    pst_buf_deinit(&b);
    pid_t pid = fork();
    if (pid == 0) {
        struct pst_edged *e = NULL;
        struct pst_edged_cursor at = {0};
        if (pst_edged_new(&e, &f->opts, NULL) != PST_OK)
            _exit(1);
        while (!pst_edged_at(e, &at) || at.rev != 6)
            (void)pst_edged_step(e, NULL);
        raise(SIGKILL);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFSIGNALED(status));

    fixture_open(f);
    on_changes(f, 6, "", false);
    steps(f, 2);
    assert_int_equal(at_rev(f), 6);
    assert_string_equal(fake_http_last(f->http)->path,
                        "/edge/v1/changes?epoch=ep1&rev=6&id=id6&wait=10");
    assert_shows(f, "n0007.test", "app: a1");
    assert_int_equal(fake_http_count_of(f->http, SNAPSHOT), 1);
}

/* Killed while a new build is loaded: the old one serves, the half one goes. */
static void killed_in_a_resync(void **state)
{
    struct fixture *f = *state;
    char path[160];
    int status;

    follow_with_names(f, 3);
    fixture_close(f);
    fake_http_on(f->http, CHANGES, 1, 410, "", "{\"error\":\"resync\"}");
    on_snapshot(f, 9, "", "\"name/a\"");
    pid_t pid = fork();
    if (pid == 0) {
        struct pst_edged *e = NULL;
        if (pst_edged_new(&e, &f->opts, NULL) != PST_OK)
            _exit(1);
        for (int i = 0; i < 4; i++) /* open, 410, begin, one page */
            (void)pst_edged_step(e, NULL);
        raise(SIGKILL);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFSIGNALED(status));
    snprintf(path, sizeof path, "%s/v1", f->replica);
    struct stat st;
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_nlink, 4); /* two builds */

    fixture_open(f);
    assert_shows(f, "n0000.test", "app: a1");
    on_changes(f, 6, "", false);
    steps(f, 2);
    assert_int_equal(at_rev(f), 6);
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_nlink, 3); /* the half one is gone */
}

static void rebuilt(struct fixture *f)
{
    struct pst_buf b = PST_BUF(BODY_SIZE);

    add_names(&b, 0, 3, 6, NAME_VALUE);
    on_snapshot(f, 6, pst_buf_cstr(&b), NULL);
    pst_buf_deinit(&b);
    on_changes(f, 6, "", false);
    steps(f, 3);
    assert_int_equal(at_rev(f), 6);
    assert_shows(f, "n0002.test", "app: a1");
}

static void a_replica_deleted_while_running_is_built_anew(void **state)
{
    struct fixture *f = *state;

    follow_with_names(f, 3);
    remove_tree(f->replica);
    steps(f, 1); /* sees it */
    rebuilt(f);
}

static void a_replica_cut_off_while_running_is_built_anew(void **state)
{
    struct fixture *f = *state;
    char path[256];

    follow_with_names(f, 3);
    snprintf(path, sizeof path, "%s/v1/current/data.mdb", f->replica);
    assert_int_equal(truncate(path, 8192), 0);
    steps(f, 1);
    rebuilt(f);
}

static void a_replica_damaged_at_start_is_built_anew(void **state)
{
    struct fixture *f = *state;
    char path[256], junk[4096];

    follow_with_names(f, 3);
    fixture_close(f);
    snprintf(path, sizeof path, "%s/v1/current/data.mdb", f->replica);
    memset(junk, 0x5a, sizeof junk);
    int fd = open(path, O_WRONLY);
    for (int i = 0; i < 2; i++)
        assert_int_equal(write(fd, junk, sizeof junk), sizeof junk);
    close(fd);
    fixture_open(f);
    steps(f, 1);
    rebuilt(f);
}

/* Spoil the record of a name, wherever a copy of it lies: it follows its key. */
static void spoil(const struct fixture *f, const char *key)
{
    struct pst_buf b = PST_BUF(64 << 20);
    struct pst_err err = {0};
    char path[256];
    int n = 0;

    snprintf(path, sizeof path, "%s/v1/current/data.mdb", f->replica);
    assert_ok(pst_io_read_file(path, &b, &err), err);
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    for (const char *at = b.data;
         (at = memmem(at, b.len - (size_t)(at - b.data), key, strlen(key))); at++, n++) {
        off_t where = at - b.data + (off_t)strlen(key) + 30;
        assert_int_equal(pwrite(fd, "~", 1, where), 1);
    }
    close(fd);
    pst_buf_deinit(&b);
    assert_true(n > 0);
}

static void after_a_bad_run_every_record_is_read(void **state)
{
    struct fixture *f = *state;
    char path[256];

    follow_with_names(f, 400);
    fixture_close(f);
    spoil(f, "n0200.test");
    snprintf(path, sizeof path, "%s/runs", f->replica);
    write_text(path, "1", 0600);
    fixture_open(f);
    steps(f, 1);
    rebuilt(f);
    assert_int_equal(fake_http_count_of(f->http, SNAPSHOT), 2);
}

static void runs_that_end_badly_lead_to_a_new_build(void **state)
{
    struct fixture *f = *state;
    char path[256];

    follow_with_names(f, 3);
    fixture_close(f);
    snprintf(path, sizeof path, "%s/runs", f->replica);
    write_text(path, "3", 0600);
    fixture_open(f);
    steps(f, 1);
    rebuilt(f);
}

/* What the lost key sealed cannot be opened by nginx any more. */
static void a_new_local_key_means_a_new_build(void **state)
{
    struct fixture *f = *state;
    char path[256];

    follow_with_names(f, 3);
    fixture_close(f);
    snprintf(path, sizeof path, "%s/local.key", f->keys);
    unlink(path);
    fixture_open(f);
    steps(f, 1);
    rebuilt(f);
}

/* ---- time ---- */

static int64_t committed_at(struct fixture *f)
{
    const char *at = strstr(shown(f, NULL), "\"committed_at\":");

    assert_non_null(at);
    return strtoll(at + strlen("\"committed_at\":"), NULL, 10);
}

static void the_clocks_floor_falls_only_with_evidence(void **state)
{
    struct fixture *f = *state;
    static const char page[] =
        "{\"epoch\":\"ep1\",\"rev\":%d,\"id\":\"i\",\"objects\":[],\"more\":false}";
    char body[200];

    follow_with_names(f, 3);
    assert_int_equal(committed_at(f), T0);
    f->clock.wall = 1000; /* the clock of 1970 */
    on_changes(f, 6, "", false);
    steps(f, 1);
    assert_int_equal(committed_at(f), T0);

    f->clock.wall = (T0 + 1000000) * 1000; /* far ahead, and then right again */
    on_changes(f, 7, "", false);
    steps(f, 1);
    assert_int_equal(committed_at(f), T0 + 1000000);
    f->clock.wall = T0 * 1000;
    snprintf(body, sizeof body, page, 8);
    fake_http_on(f->http, CHANGES, 1, 200, "Date: Fri, 15 Jan 2027 08:00:10 GMT\r\n", body);
    steps(f, 1);
    assert_int_equal(committed_at(f), T0);
}

static void a_quiet_feed_still_tells_the_time(void **state)
{
    struct fixture *f = *state;

    follow_with_names(f, 3);
    advance(f, 30);
    on_changes(f, 5, "", false);
    steps(f, 1);
    assert_int_equal(committed_at(f), T0);
    advance(f, 31);
    on_changes(f, 5, "", false);
    steps(f, 1);
    assert_int_equal(committed_at(f), T0 + 61);
}

#define TEST(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(enrolment_tells_who_we_are),
        TEST(a_refused_token_is_not_hammered),
        TEST(only_one_works_on_a_replica),
        TEST(loose_key_files_are_refused),
        TEST(plain_http_only_over_loopback),
        TEST(a_snapshot_in_pages_then_catching_up),
        TEST(the_files_have_their_modes),
        TEST(an_unknown_cursor_makes_a_new_build),
        TEST(readers_of_the_old_build_move_on),
        TEST(a_new_epoch_in_the_middle_begins_again),
        TEST(a_snapshot_that_stands_still_is_refused),
        TEST(changes_are_applied_and_acknowledged),
        TEST(bad_pages_change_nothing),
        TEST(a_control_plane_that_is_away_is_waited_for),
        TEST(an_answer_without_news_is_not_asked_for_at_once),
        TEST(faults_do_not_flood_the_log),
        TEST(secrets_are_sealed_anew),
        TEST(a_box_for_somebody_else_stops_the_page),
        TEST(an_object_with_a_bad_value_is_taken_as_deleted),
        TEST(mass_deletion_waits_for_a_person),
        TEST(names_that_come_back_release_the_brake),
        TEST(an_empty_snapshot_does_not_empty_the_edge),
        TEST(a_start_follows_from_where_the_replica_stands),
        TEST(killed_between_commit_and_acknowledgement),
        TEST(killed_in_a_resync),
        TEST(a_replica_deleted_while_running_is_built_anew),
        TEST(a_replica_cut_off_while_running_is_built_anew),
        TEST(a_replica_damaged_at_start_is_built_anew),
        TEST(after_a_bad_run_every_record_is_read),
        TEST(runs_that_end_badly_lead_to_a_new_build),
        TEST(a_new_local_key_means_a_new_build),
        TEST(the_clocks_floor_falls_only_with_evidence),
        TEST(a_quiet_feed_still_tells_the_time),
    };

    null_fd = open("/dev/null", O_WRONLY | O_CLOEXEC);
    pst_log_set_fd(null_fd);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
