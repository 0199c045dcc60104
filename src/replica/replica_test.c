#include "fixture.h"

#include <grp.h>
#include <sys/wait.h>

static struct pst_replica_reader *reader_of(struct fixture *f)
{
    struct pst_replica_reader *rd = NULL;

    assert_int_equal(pst_replica_reader_new(&rd, f->dir), PST_REPLICA_OK);
    pst_replica_reader_set_retry(rd, 0);
    return rd;
}

static void reader_comes_before_the_replica(void **st)
{
    struct fixture *f = *st;
    struct pst_replica_reader *rd = reader_of(f);
    struct pst_replica_seen seen;

    assert_string_equal(app_of(rd, "n000000.test"), "(gone)");
    struct pst_replica *r = build_with(f, 3, "app-a", NULL);
    assert_string_equal(app_of(rd, "n000000.test"), "app-a");
    assert_string_equal(app_of(rd, "n000003.test"), "(missing)");
    pst_replica_reader_seen(rd, &seen);
    assert_true(seen.is_open && seen.epoch != 0 && seen.rev == 3 && seen.committed_at == 1003);
    pst_replica_reader_free(rd);
    pst_replica_close(r);
}

static void a_commit_is_seen_at_once(void **st)
{
    struct fixture *f = *st;
    struct pst_replica *r = build_with(f, 100, "app-a", NULL);
    struct pst_replica_reader *rd = reader_of(f);

    assert_string_equal(app_of(rd, "n000050.test"), "app-a");
    assert_ok(pst_replica_begin(r, &f->err), f->err);
    put_sample(f, r, "n000050.test", 101, "app-b");
    assert_ok(pst_replica_delete(r, PST_REPLICA_NAME, "n000051.test", &f->err), f->err);
    assert_rc(pst_replica_delete(r, PST_REPLICA_NAME, "none.test", &f->err), PST_NOTFOUND, f->err);
    put_state(f, r, 101);
    assert_string_equal(app_of(rd, "n000050.test"), "app-a"); /* not before the commit */
    assert_ok(pst_replica_commit(r, &f->err), f->err);
    assert_string_equal(app_of(rd, "n000050.test"), "app-b");
    assert_string_equal(app_of(rd, "n000051.test"), "(missing)");

    assert_ok(pst_replica_begin(r, &f->err), f->err);
    put_sample(f, r, "n000050.test", 102, "app-c");
    pst_replica_drop(r);
    assert_string_equal(app_of(rd, "n000050.test"), "app-b");
    pst_replica_reader_free(rd);
    pst_replica_close(r);
}

static void superseded_build_is_left_at_the_next_lookup(void **st)
{
    struct fixture *f = *st;
    struct pst_replica *a = build_with(f, 10, "app-a", NULL);
    struct pst_replica_reader *rd = NULL;

    assert_int_equal(pst_replica_reader_new(&rd, f->dir), PST_REPLICA_OK);
    pst_replica_reader_set_retry(rd, 3600 * 1000); /* so that only the mark can move it */
    assert_string_equal(app_of(rd, "n000001.test"), "app-a");

    struct pst_replica *b = build_with(f, 20, "app-b", a);
    assert_string_equal(app_of(rd, "n000001.test"), "app-b");
    assert_string_equal(app_of(rd, "n000019.test"), "app-b");

    /* Workers that never look up keep the old files; pruning takes them all the same. */
    assert_ok(pst_replica_prune(b, &f->err), f->err); /* `a` is open here: kept */
    char path[256];
    (void)snprintf(path, sizeof path, "%s/v1/%s", f->dir, pst_replica_build_id(a));
    assert_int_equal(access(path, F_OK), 0);
    pst_replica_close(a);
    assert_ok(pst_replica_prune(b, &f->err), f->err);
    assert_int_equal(access(path, F_OK), -1);
    assert_string_equal(app_of(rd, "n000002.test"), "app-b");
    pst_replica_reader_free(rd);
    pst_replica_close(b);
}

static void replaced_without_a_mark(void **st)
{
    struct fixture *f = *st;
    struct pst_replica_reader *rd = reader_of(f);
    struct pst_replica *a = build_with(f, 10, "app-a", NULL);

    assert_string_equal(app_of(rd, "n000001.test"), "app-a");
    pst_replica_close(a);
    char v1[128];
    (void)snprintf(v1, sizeof v1, "%s/v1", f->dir);
    fixture_remove(v1);
    assert_string_equal(app_of(rd, "n000001.test"), "app-a"); /* the map lives on */
    struct pst_replica *b = build_with(f, 10, "app-b", NULL);
    assert_string_equal(app_of(rd, "n000001.test"), "app-b");
    pst_replica_reader_free(rd);
    pst_replica_close(b);
}

static void unpublished_build_is_removed(void **st)
{
    struct fixture *f = *st;
    struct pst_replica *r = NULL;
    char path[256];

    assert_ok(pst_replica_new_build(&r, &f->opts, pst_rand_system(), &f->err), f->err);
    (void)snprintf(path, sizeof path, "%s/v1/%s", f->dir, pst_replica_build_id(r));
    assert_int_equal(access(path, F_OK), 0);
    assert_rc(pst_replica_publish(r, NULL, &f->err), PST_EINTERNAL, f->err); /* no state */
    pst_replica_close(r);
    assert_int_equal(access(path, F_OK), -1);
    assert_rc(pst_replica_open(&r, &f->opts, &f->err), PST_NOTFOUND, f->err);
}

static void open_again_goes_on(void **st)
{
    struct fixture *f = *st;
    struct pst_replica *r = build_with(f, 5, "app-a", NULL), *second = NULL;
    struct pst_replica_state s;
    uint64_t n, generation;

    assert_rc(pst_replica_open(&second, &f->opts, &f->err), PST_ECONFIG, f->err);
    assert_err_has(f->err, "open already");
    pst_replica_close(r);
    assert_ok(pst_replica_open(&r, &f->opts, &f->err), f->err);
    assert_ok(pst_replica_state(r, &s, &f->err), f->err);
    assert_string_equal(s.epoch, "epoch-1");
    assert_true(s.rev == 5 && !s.superseded);
    assert_ok(pst_replica_count(r, PST_REPLICA_NAME, &n, &f->err), f->err);
    assert_int_equal(n, 5);
    assert_ok(pst_replica_has(r, PST_REPLICA_NAME, "n000002.test", &generation, &f->err), f->err);
    assert_int_equal(generation, 3);
    assert_rc(pst_replica_has(r, PST_REPLICA_CERT, "3", NULL, &f->err), PST_NOTFOUND, f->err);
    pst_replica_close(r);
}

static bool count_to_three(void *arg, const char *key)
{
    int *n = arg;

    if (*n == 1)
        assert_string_equal(key, "n000001.test");
    return ++*n < 3;
}

static void keys_in_order(void **st)
{
    struct fixture *f = *st;
    struct pst_replica *r = build_with(f, 5, "app-a", NULL);
    int n = 0;

    assert_ok(pst_replica_keys(r, PST_REPLICA_NAME, count_to_three, &n, &f->err), f->err);
    assert_int_equal(n, 3);
    pst_replica_close(r);
}

static void bulk_takes_any_order(void **st)
{
    struct fixture *f = *st;
    struct pst_replica *r = NULL;
    static const char *const names[] = {"m.test", "a.test", "z.test", "a.test", "b.test"};

    assert_ok(pst_replica_new_build(&r, &f->opts, pst_rand_system(), &f->err), f->err);
    assert_ok(pst_replica_begin(r, &f->err), f->err);
    for (size_t i = 0; i < PST_ARRAY_N(names); i++)
        put_sample(f, r, names[i], i + 1, i == 3 ? "second" : "first");
    put_state(f, r, 9);
    assert_ok(pst_replica_commit(r, &f->err), f->err);
    assert_ok(pst_replica_publish(r, NULL, &f->err), f->err);
    struct pst_replica_reader *rd = reader_of(f);
    assert_string_equal(app_of(rd, "a.test"), "second");
    assert_string_equal(app_of(rd, "m.test"), "first");
    assert_string_equal(app_of(rd, "z.test"), "first");
    pst_replica_reader_free(rd);
    pst_replica_close(r);
}

static void all_kinds_through_the_file(void **st)
{
    struct fixture *f = *st;
    struct pst_replica *r = build_with(f, 1, "app-a", NULL);
    struct pst_replica_app app = {.name = "x", .upstream_n = 1};
    struct pst_replica_cert cert = {.key = PST_REPLICA_RSA,
                                    .leaf = (const unsigned char *)"leaf",
                                    .leaf_len = 4,
                                    .issuer_n = 1,
                                    .issuers = {0x0123456789abcdef}};
    struct pst_replica_issuer issuer = {.der = (const unsigned char *)"ca", .der_len = 2};
    struct pst_replica_challenge ch = {.name = "a.test", .answer = "t.p", .until = 7};
    struct pst_replica_ticket t = {.sealed = (const unsigned char *)"s", .sealed_len = 1};
    struct pst_replica_default def = {.step_n = 1, .steps = {{.cert = 42}}};
    struct pst_replica_probe probe = {.sealed = (const unsigned char *)"pp", .sealed_len = 2};
    struct pst_replica_text thumb = {.value = "tp"};

    (void)snprintf(app.upstreams[0].address, sizeof app.upstreams[0].address, "[::1]:3000");
    assert_ok(pst_replica_begin(r, &f->err), f->err);
    assert_ok(pst_replica_put_app(r, "app-a", 2, &app, &f->err), f->err);
    assert_ok(pst_replica_put_cert(r, "42", 3, &cert, &f->err), f->err);
    assert_ok(pst_replica_put_issuer(r, "0123456789abcdef", 4, &issuer, &f->err), f->err);
    assert_ok(pst_replica_put_challenge(r, "tok", 5, &ch, &f->err), f->err);
    assert_ok(pst_replica_put_ticket(r, "t1", 6, &t, &f->err), f->err);
    t.not_after = 9;
    assert_ok(pst_replica_put_ticket(r, "t2", 7, &t, &f->err), f->err);
    assert_ok(pst_replica_put_default(r, 8, &def, &f->err), f->err);
    assert_ok(pst_replica_put_probe(r, 9, &probe, &f->err), f->err);
    assert_ok(pst_replica_put_thumbprint(r, 10, &thumb, &f->err), f->err);
    put_state(f, r, 10);
    assert_ok(pst_replica_commit(r, &f->err), f->err);

    struct pst_replica_reader *rd = reader_of(f);
    static struct pst_replica_app app2;
    assert_int_equal(pst_replica_reader_app(rd, "app-a", &app2), PST_REPLICA_OK);
    assert_string_equal(app2.upstreams[0].address, "[::1]:3000");
    struct pst_replica_cert cert2;
    assert_int_equal(pst_replica_reader_cert(rd, 42, &cert2), PST_REPLICA_OK);
    assert_true(cert2.generation == 3 && cert2.issuers[0] == 0x0123456789abcdef);
    struct pst_replica_issuer issuer2;
    assert_int_equal(pst_replica_reader_issuer(rd, 0x0123456789abcdef, &issuer2), PST_REPLICA_OK);
    assert_memory_equal(issuer2.der, "ca", 2);
    struct pst_replica_challenge ch2;
    assert_int_equal(pst_replica_reader_challenge(rd, "tok", 3, &ch2), PST_REPLICA_OK);
    assert_string_equal(ch2.answer, "t.p");
    struct pst_replica_default def2;
    assert_int_equal(pst_replica_reader_default(rd, &def2), PST_REPLICA_OK);
    assert_int_equal(def2.steps[0].cert, 42);
    struct pst_replica_probe probe2;
    assert_int_equal(pst_replica_reader_probe(rd, &probe2), PST_REPLICA_OK);
    assert_int_equal(probe2.sealed_len, 2);
    struct pst_replica_text thumb2;
    assert_int_equal(pst_replica_reader_thumbprint(rd, &thumb2), PST_REPLICA_OK);
    assert_string_equal(thumb2.value, "tp");
    struct pst_replica_state s2;
    assert_int_equal(pst_replica_reader_state(rd, &s2), PST_REPLICA_OK);
    assert_int_equal(s2.rev, 10);

    char key[PST_REPLICA_KEY_MAX + 1] = "";
    struct pst_replica_ticket t2;
    assert_int_equal(pst_replica_reader_next_ticket(rd, key, &t2), PST_REPLICA_OK);
    assert_string_equal(key, "t1");
    assert_int_equal(pst_replica_reader_next_ticket(rd, key, &t2), PST_REPLICA_OK);
    assert_string_equal(key, "t2");
    assert_int_equal(t2.not_after, 9);
    assert_int_equal(pst_replica_reader_next_ticket(rd, key, &t2), PST_REPLICA_MISSING);

    uint64_t n, damaged;
    assert_int_equal(pst_replica_reader_verify(rd, &n, &damaged), PST_REPLICA_OK);
    assert_int_equal(n, 1 + 1 + 1 + 1 + 1 + 2 + 4);
    assert_int_equal(damaged, 0);
    pst_replica_reader_free(rd);
    pst_replica_close(r);
}

static void a_bad_put_spoils_the_batch(void **st)
{
    struct fixture *f = *st;
    struct pst_replica *r = build_with(f, 1, "app-a", NULL);
    struct pst_replica_cert cert = {.leaf_len = PST_REPLICA_LEAF_MAX + 1};

    assert_rc(pst_replica_commit(r, &f->err), PST_EINTERNAL, f->err);
    assert_ok(pst_replica_begin(r, &f->err), f->err);
    assert_rc(pst_replica_begin(r, &f->err), PST_EINTERNAL, f->err);
    put_sample(f, r, "n000000.test", 5, "app-z");
    assert_rc(pst_replica_put_cert(r, "not-a-number", 6, &cert, &f->err), PST_EINPUT, f->err);
    assert_rc(pst_replica_commit(r, &f->err), PST_EINTERNAL, f->err);
    assert_ok(pst_replica_begin(r, &f->err), f->err);
    assert_rc(pst_replica_put_cert(r, "1", 6, &cert, &f->err), PST_EINPUT, f->err);
    pst_replica_drop(r);
    struct pst_replica_reader *rd = reader_of(f);
    assert_string_equal(app_of(rd, "n000000.test"), "app-a");
    pst_replica_reader_free(rd);
    pst_replica_close(r);
}

static void modes_are_as_promised(void **st)
{
    struct fixture *f = *st;
    mode_t before = umask(077);
    struct pst_replica *r = build_with(f, 1, "app-a", NULL);
    char path[256];
    struct stat s;

    umask(before);
    (void)snprintf(path, sizeof path, "%s/v1/current/data.mdb", f->dir);
    assert_int_equal(stat(path, &s), 0);
    assert_int_equal(s.st_mode & 07777, 0640);
    (void)snprintf(path, sizeof path, "%s/v1/current/lock.mdb", f->dir);
    assert_int_equal(stat(path, &s), 0);
    assert_int_equal(s.st_mode & 07777, 0660);
    pst_replica_close(r);
    f->opts.group = "no-such-group-here";
    assert_rc(pst_replica_open(&r, &f->opts, &f->err), PST_ECONFIG, f->err);
}

/* The reader's user may read the data and write the lock file, no more. */
static void workers_of_another_user(void **st)
{
    struct fixture *f = *st;

    if (geteuid() != 0)
        skip();
    assert_int_equal(chmod(f->dir, 0755), 0);
    f->opts.group = "nogroup";
    struct pst_replica *r = build_with(f, 3, "app-a", NULL);
    (void)chmod(f->dir, 0755);
    pid_t pid = fork();
    if (pid == 0) {
        struct pst_replica_reader *rd = NULL;
        char path[256];
        if (setgroups(0, NULL) < 0 || setgid(65534) < 0 || setuid(65534) < 0)
            _exit(10);
        if (pst_replica_reader_new(&rd, f->dir) != PST_REPLICA_OK)
            _exit(11);
        if (strcmp(app_of(rd, "n000002.test"), "app-a") != 0)
            _exit(12);
        (void)snprintf(path, sizeof path, "%s/v1/current/data.mdb", f->dir);
        if (open(path, O_RDWR) >= 0)
            _exit(13);
        (void)snprintf(path, sizeof path, "%s/v1/current/evil", f->dir);
        if (open(path, O_CREAT | O_RDWR, 0600) >= 0)
            _exit(14);
        _exit(0);
    }
    int status;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
    pst_replica_close(r);
}

/* A process that reads without pause while another commits: each answer is whole. */
static void reader_beside_a_writer(void **st)
{
    struct fixture *f = *st;
    struct pst_replica *r = build_with(f, 200, "app-0", NULL);
    int stop[2];

    assert_int_equal(pipe(stop), 0);
    pid_t pid = fork();
    if (pid == 0) {
        struct pst_replica_reader *rd = NULL;
        struct pst_replica_name v;
        uint64_t last = 0;
        char c;
        close(stop[1]);
        (void)fcntl(stop[0], F_SETFL, O_NONBLOCK);
        if (pst_replica_reader_new(&rd, f->dir) != PST_REPLICA_OK)
            _exit(10);
        for (bool last_look = false; !last_look;) {
            last_look = read(stop[0], &c, 1) == 0; /* all commits are before the end */
            if (pst_replica_reader_name(rd, "n000100.test", 12, &v) != PST_REPLICA_OK)
                _exit(11);
            /* LMDB lets a reader that was held up see a commit whose sync still runs, and the
             * one before it the next time.  Further back would be wrong. */
            if (v.generation + 1 < last)
                _exit(12);
            last = v.generation > last ? v.generation : last;
        }
        _exit(last == 1000 ? 0 : 13);
    }
    close(stop[0]);
    for (uint64_t g = 501; g <= 1000; g++) {
        char app[16], other[32];
        (void)snprintf(app, sizeof app, "app-%llu", (unsigned long long)g);
        (void)snprintf(other, sizeof other, "n%06llu.test", (unsigned long long)(g % 200));
        assert_ok(pst_replica_begin(r, &f->err), f->err);
        put_sample(f, r, other, g, app);
        put_sample(f, r, "n000100.test", g, app);
        put_state(f, r, g);
        assert_ok(pst_replica_commit(r, &f->err), f->err);
    }
    close(stop[1]);
    int status;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);

    /* The child was not asked to give its slot back, like a killed worker. */
    int dead = -1;
    assert_ok(pst_replica_check_readers(r, &dead, &f->err), f->err);
    assert_int_equal(dead, 1);
    pst_replica_close(r);
}

#define T(fn) cmocka_unit_test_setup_teardown(fn, fixture_up, fixture_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(reader_comes_before_the_replica),
        T(a_commit_is_seen_at_once),
        T(superseded_build_is_left_at_the_next_lookup),
        T(replaced_without_a_mark),
        T(unpublished_build_is_removed),
        T(open_again_goes_on),
        T(keys_in_order),
        T(bulk_takes_any_order),
        T(all_kinds_through_the_file),
        T(a_bad_put_spoils_the_batch),
        T(modes_are_as_promised),
        T(workers_of_another_user),
        T(reader_beside_a_writer),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
