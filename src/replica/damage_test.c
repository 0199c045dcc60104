/*
 * The reader against files that are damaged, cut off or taken away while it has them open.  The
 * damage is done to a copy of a healthy build; a crash of this process is the failure.
 */
#include "fixture.h"

#include <signal.h>
#include <sys/wait.h>

enum { NAMES = 400 };

/* With the lock file gone LMDB cannot even let go: the reader gives up what it had allocated. */
__attribute__((visibility("default"))) const char *__lsan_default_suppressions(void);
const char *__lsan_default_suppressions(void)
{
    return "leak:mdb_txn_begin\nleak:mdb_env_create\n";
}

static unsigned char *slurp(const char *path, size_t *ret_len)
{
    struct stat s;
    int fd = open(path, O_RDONLY);

    assert_true(fd >= 0 && fstat(fd, &s) == 0);
    unsigned char *data = malloc((size_t)s.st_size);
    assert_int_equal(read(fd, data, (size_t)s.st_size), s.st_size);
    close(fd);
    *ret_len = (size_t)s.st_size;
    return data;
}

static char *data_path(struct fixture *f)
{
    static char path[256];

    (void)snprintf(path, sizeof path, "%s/v1/current/data.mdb", f->dir);
    return path;
}

/* Ask for all names; how many were answered as they should be. */
static unsigned ask_all(struct pst_replica_reader *rd)
{
    char name[32];
    unsigned good = 0;

    for (unsigned i = 0; i < NAMES; i++) {
        (void)snprintf(name, sizeof name, "n%06u.test", i);
        const char *app = app_of(rd, name);
        if (app[0] != '(') {
            assert_string_equal(app, "app-a"); /* right or refused, never wrong */
            good++;
        }
    }
    return good;
}

static struct pst_replica_reader *open_reader(struct fixture *f)
{
    struct pst_replica_reader *rd = NULL;

    assert_int_equal(pst_replica_reader_new(&rd, f->dir), PST_REPLICA_OK);
    pst_replica_reader_set_retry(rd, 0);
    return rd;
}

static void write_over(const char *path, const unsigned char *data, size_t len)
{
    int fd = open(path, O_WRONLY);

    assert_true(fd >= 0);
    assert_int_equal(pwrite(fd, data, len, 0), (ssize_t)len);
    assert_int_equal(ftruncate(fd, (off_t)len), 0);
    close(fd);
}

static void bit_flips(void **st)
{
    struct fixture *f = *st;
    struct pst_rand_seeded rnd;
    size_t len;

    pst_replica_close(build_with(f, NAMES, "app-a", NULL));
    char *path = data_path(f);
    unsigned char *good = slurp(path, &len), *bad = malloc(len);
    pst_rand_seeded_init(&rnd, 20261120);

    unsigned whole = 0, faults = 0;
    for (int round = 0; round < 300; round++) {
        struct pst_replica_seen seen;
        memcpy(bad, good, len);
        /* Every second round hits page headers, where LMDB itself trips. */
        for (int i = 0; i < 8; i++) {
            size_t at = pst_rand_below(&rnd.rand, len);
            if (round % 2)
                at = at / 4096 * 4096 + pst_rand_below(&rnd.rand, 32);
            bad[at % len] ^= (unsigned char)(1u << pst_rand_below(&rnd.rand, 8));
        }
        write_over(path, bad, len);
        struct pst_replica_reader *rd = open_reader(f);
        whole += ask_all(rd) == NAMES;
        uint64_t n, damaged;
        (void)pst_replica_reader_verify(rd, &n, &damaged);
        pst_replica_reader_seen(rd, &seen);
        faults += (unsigned)(seen.fault_n + seen.damaged_n + seen.failed_n > 0);
        pst_replica_reader_free(rd);
    }
    print_message("of 300 damaged files %u answered all, %u were noticed\n", whole, faults);
    assert_true(faults > 50);
    free(good);
    free(bad);
}

static void cut_off_while_open(void **st)
{
    struct fixture *f = *st;
    size_t len;

    pst_replica_close(build_with(f, NAMES, "app-a", NULL));
    char *path = data_path(f);
    unsigned char *good = slurp(path, &len);
    for (size_t keep = 0; keep < len; keep += len / 13 + 1) {
        write_over(path, good, len);
        struct pst_replica_reader *rd = open_reader(f);
        assert_int_equal(ask_all(rd), NAMES);
        assert_int_equal(truncate(path, (off_t)keep), 0);
        (void)ask_all(rd);
        (void)ask_all(rd);
        write_over(path, good, len);
        assert_int_equal(ask_all(rd), NAMES); /* and it comes back */
        pst_replica_reader_free(rd);
    }
    free(good);
}

static void lock_file_cut_off_while_open(void **st)
{
    struct fixture *f = *st;
    char path[256];

    pst_replica_close(build_with(f, NAMES, "app-a", NULL));
    (void)snprintf(path, sizeof path, "%s/v1/current/lock.mdb", f->dir);
    struct pst_replica_reader *rd = open_reader(f);
    assert_int_equal(ask_all(rd), NAMES);
    assert_int_equal(truncate(path, 0), 0);
    (void)ask_all(rd);
    (void)ask_all(rd);

    /* What the edge does then: a new build. */
    struct pst_replica *fresh = build_with(f, NAMES, "app-a", NULL);
    assert_int_equal(ask_all(rd), NAMES);
    pst_replica_reader_free(rd);
    pst_replica_close(fresh);
}

static void writer_refuses_a_damaged_file(void **st)
{
    struct fixture *f = *st;
    struct pst_replica *r = NULL;

    pst_replica_close(build_with(f, NAMES, "app-a", NULL));
    int fd = open(data_path(f), O_WRONLY);
    static const unsigned char junk[8192] = {1, 2, 3};
    assert_int_equal(pwrite(fd, junk, sizeof junk, 0), (ssize_t)sizeof junk);
    close(fd);
    assert_rc(pst_replica_open(&r, &f->opts, &f->err), PST_EINTERNAL, f->err);

    /* In a child, because what a broken off opening had allocated is given up. */
    assert_int_equal(truncate(data_path(f), 4096), 0);
    pid_t pid = fork();
    if (pid == 0)
        _exit(pst_replica_open(&r, &f->opts, &f->err) < 0 ? 0 : 1);
    int status;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
}

static void current_names_nonsense(void **st)
{
    struct fixture *f = *st;
    struct pst_replica_reader *rd = open_reader(f);
    struct pst_replica *r = build_with(f, 3, "app-a", NULL);
    char link[256];

    (void)snprintf(link, sizeof link, "%s/v1/current", f->dir);
    assert_string_equal(app_of(rd, "n000001.test"), "app-a");
    static const char *const wrong[] = {"../../../etc", "0123", "", "current"};
    for (size_t i = 0; i < PST_ARRAY_N(wrong); i++) {
        assert_int_equal(unlink(link), 0);
        if (wrong[i][0])
            assert_int_equal(symlink(wrong[i], link), 0);
        else
            assert_int_equal(mkdir(link, 0700), 0);
        assert_string_equal(app_of(rd, "n000001.test"), "app-a");
        struct pst_replica_reader *second = open_reader(f);
        assert_string_equal(app_of(second, "n000001.test"), "(gone)");
        pst_replica_reader_free(second);
        if (!wrong[i][0]) {
            assert_int_equal(rmdir(link), 0);
            assert_int_equal(symlink("0", link), 0);
        }
    }
    pst_replica_reader_free(rd);
    pst_replica_close(r);
}

static volatile sig_atomic_t passed_on;

static void count_signal(int sig)
{
    passed_on++;
}

/* Run before any reader exists in the process: its handler must come first. */
static void other_faults_go_to_the_old_handler(void **st)
{
    struct fixture *f = *st;
    struct sigaction sa = {.sa_handler = count_signal};

    assert_int_equal(sigaction(SIGBUS, &sa, NULL), 0);
    struct pst_replica_reader *rd = open_reader(f);
    raise(SIGBUS);
    assert_int_equal(passed_on, 1);
    pst_replica_reader_free(rd);
}

#define T(fn) cmocka_unit_test_setup_teardown(fn, fixture_up, fixture_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(other_faults_go_to_the_old_handler),
        T(bit_flips),
        T(cut_off_while_open),
        T(lock_file_cut_off_while_open),
        T(writer_refuses_a_damaged_file),
        T(current_names_nonsense),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
