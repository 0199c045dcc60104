/* base_test.c - err, mem, buf, clock, rand, secret. */
#include "pst_test.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <postern/base.h>
#include <postern/metric.h>

/* -- err -- */

static void fail_fills_all(void **st)
{
    struct pst_err err;

    (void)st;
    memset(&err, 0xA5, sizeof err);
    assert_int_equal(pst_fail(&err, PST_ENET, "to %s: %d", "host", 7), PST_ENET);
    assert_int_equal(err.rc, PST_ENET);
    assert_string_equal(err.text, "to host: 7");
    assert_string_equal(err.problem, "");
    assert_int_equal(err.sys, 0);
    assert_int_equal(err.retry, PST_RETRY_BACKOFF);
    assert_int_equal(err.retry_at, 0);
    assert_string_equal(err.file, "src/base/base_test.c");
    assert_true(err.line > 0);
    assert_int_equal(pst_fail(NULL, PST_REFUSED, "x"), PST_REFUSED);
    assert_int_equal(pst_fail_nomem(&err, "a thing"), PST_ENOMEM);
    assert_string_equal(err.text, "no memory for a thing");
}

static void fail_may_use_the_old_text(void **st)
{
    struct pst_err err = {0};

    (void)st;
    pst_fail(&err, PST_ENET, "inner");
    pst_fail(&err, PST_EREMOTE, "outer: %s", err.text);
    assert_string_equal(err.text, "outer: inner");
}

static void fail_sys_keeps_errno(void **st)
{
    struct pst_err err = {0};
    char wide[600];

    (void)st;
    errno = ENOSPC;
    assert_int_equal(pst_fail_sys(&err, "writing %s", "f"), PST_ESYS);
    assert_int_equal(err.sys, ENOSPC);
    assert_string_equal(err.text, "writing f: No space left on device");

    memset(wide, 'w', sizeof wide - 1);
    wide[sizeof wide - 1] = '\0';
    errno = EACCES;
    pst_fail_sys(&err, "%s", wide);
    assert_int_equal(strlen(err.text), sizeof err.text - 1);
    assert_true(pst_str_ends(err.text, ": Permission denied"));
    errno = 54321;
    pst_fail_sys(&err, "x");
    assert_string_equal(err.text, "x: unknown error");
    assert_int_equal(pst_fail_sys(NULL, "x"), PST_ESYS);
}

static void wrap_puts_context_before(void **st)
{
    struct pst_err err = {0};

    (void)st;
    pst_fail(&err, PST_EDB, "broken");
    pst_err_problem(&err, "urn:x");
    pst_err_retry(&err, PST_RETRY_AT, 77);
    assert_int_equal(pst_wrap(&err, "order %d", 5), PST_EDB);
    assert_string_equal(err.text, "order 5: broken");
    assert_string_equal(err.problem, "urn:x");
    assert_int_equal(err.retry, PST_RETRY_AT);
    assert_int_equal(err.retry_at, 77);
    pst_err_retry(&err, PST_RETRY_DAILY, 77);
    assert_int_equal(err.retry_at, 0);

    assert_int_equal(pst_wrap(NULL, "x"), PST_EINTERNAL);
    pst_err_clear(&err);
    assert_int_equal(err.rc, PST_OK);
    assert_int_equal(pst_wrap(&err, "x"), PST_EINTERNAL); /* never success */
    assert_err_has(err, "x: a fault without description");
    pst_err_clear(NULL);
    pst_err_problem(NULL, "x");
    pst_err_retry(NULL, PST_RETRY_AT, 1);
}

static void long_texts_are_cut_between_characters(void **st)
{
    struct pst_err err = {0};
    char wide[600];

    (void)st;
    for (size_t shift = 0; shift < 4; shift++) {
        memset(wide, 'w', sizeof wide);
        for (size_t i = shift; i + 4 < sizeof wide; i += 4)
            memcpy(wide + i, "\xF0\x9F\x98\x80", 4);
        wide[sizeof wide - 8 + shift] = '\0';
        pst_fail(&err, PST_ENET, "%s", wide);
        assert_true(strlen(err.text) >= sizeof err.text - 4);
        assert_true(pst_utf8_ok(err.text, strlen(err.text)));
        pst_wrap(&err, "abc");
        assert_true(pst_utf8_ok(err.text, strlen(err.text)));
        pst_err_problem(&err, wide);
        assert_true(strlen(err.problem) >= sizeof err.problem - 4);
        assert_true(pst_utf8_ok(err.problem, strlen(err.problem)));
    }
}

static void unexpected_answers_are_faults(void **st)
{
    struct pst_err err = {0};

    (void)st;
    assert_int_equal(pst_unexpected(&err, PST_NOTYET, "step x"), PST_EINTERNAL);
    assert_err_has(err, "step x");
    assert_err_has(err, "NOTYET");
    assert_string_equal(pst_rc_name(PST_ENET), "ENET");
    assert_string_equal(pst_rc_name(PST_OK), "OK");
    assert_string_equal(pst_rc_name(PST_EINPUT), "EINPUT");
    assert_string_equal(pst_rc_name(-99), "UNKNOWN");
}

static void require_aborts(void **st)
{
    int status;

    (void)st;
    pst_require(1 + 1 == 2);
    pid_t pid = fork();
    if (pid == 0) {
        auto_close int null = open("/dev/null", O_WRONLY);
        dup2(null, 2);
        signal(SIGABRT, SIG_DFL);
        pst_require(1 + 1 == 3);
        _exit(0);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
}

/* -- mem -- */

static void *allocate_elsewhere(void *arg)
{
    void *p = pst_alloc(1);

    (void)arg;
    pst_free(p);
    return p ? (void *)1 : NULL;
}

static void the_nth_allocation_fails(void **st)
{
    pthread_t other;
    void *got = NULL;

    (void)st;
    pst_mem_fail_at(2);
    void *a = pst_alloc(1);
    assert_false(pst_mem_failed());
    assert_int_equal(pthread_create(&other, NULL, allocate_elsewhere, NULL), 0);
    pthread_join(other, &got);
    assert_non_null(got); /* another thread is not counted */
    void *b = pst_zalloc(1, 1);
    assert_true(pst_mem_failed());
    void *c = pst_alloc(1); /* only the n-th */
    pst_mem_fail_at(0);
    assert_false(pst_mem_failed());
    assert_non_null(a);
    assert_null(b);
    assert_non_null(c);
    pst_free(c);

    pst_mem_fail_at(1);
    assert_null(pst_realloc(a, 100));
    pst_mem_fail_at(1);
    assert_null(pst_strdup("x"));
    pst_mem_fail_at(1);
    assert_null(pst_asprintf("x%d", 1));
    pst_mem_fail_at(1);
    assert_null(pst_memdup("x", 1));
    pst_mem_fail_at(0);
    pst_free(a);
    pst_free(NULL);
}

static void copies_are_whole(void **st)
{
    (void)st;
    auto_(pst_free) char *s = pst_strndup("abcdef", 3);
    auto_(pst_free) char *p = pst_asprintf("%s-%d", "x", 42);
    auto_(pst_free) unsigned char *m = pst_memdup("\0\1\2", 3);
    auto_(pst_free) int *z = pst_zalloc(4, sizeof *z);
    auto_(pst_free) char *none = pst_alloc(0);
    auto_(pst_free) char *empty = pst_memdup(NULL, 0);

    assert_string_equal(s, "abc");
    assert_string_equal(p, "x-42");
    assert_memory_equal(m, "\0\1\2", 3);
    assert_int_equal(z[3], 0);
    assert_non_null(none);
    assert_non_null(empty);
    assert_null(pst_strndup("x", SIZE_MAX));

    /* Hidden from the compiler, which would warn about the size. */
    volatile size_t many = SIZE_MAX / 2;
    assert_null(pst_zalloc(many, 4));

    char *taken = pst_take(&s);
    assert_null(s);
    assert_string_equal(taken, "abc");
    pst_free(taken);
}

static void descriptors_close_themselves(void **st)
{
    int fd;

    (void)st;
    {
        auto_close int own = open("/dev/null", O_RDONLY | O_CLOEXEC);
        auto_close int none = -1;
        fd = own;
        assert_true(fd >= 0);
        assert_int_equal(none, -1);
    }
    assert_int_equal(fcntl(fd, F_GETFD), -1);
}

/* -- buf -- */

static void buf_grows_to_its_limit(void **st)
{
    auto_buf struct pst_buf b = PST_BUF(300);
    struct pst_err err = {0};

    (void)st;
    assert_string_equal(pst_buf_cstr(&b), "");
    pst_buf_add(&b, NULL, 0);
    for (int i = 0; i < 300; i++)
        pst_buf_char(&b, 'x');
    assert_int_equal(b.len, 300);
    assert_int_equal(strlen(b.data), 300);
    assert_ok(pst_buf_check(&b, "b", &err), err);

    pst_buf_char(&b, 'y');
    pst_buf_str(&b, "");
    assert_int_equal(b.len, 300);
    assert_rc(pst_buf_check(&b, "the answer", &err), PST_EINPUT, err);
    assert_string_equal(err.text, "the answer is longer than 300 bytes");
    assert_null(pst_buf_take(&b, NULL));

    pst_buf_deinit(&b); /* as new */
    pst_buf_str(&b, "z");
    assert_string_equal(pst_buf_cstr(&b), "z");
}

static void buf_failures_stick(void **st)
{
    auto_buf struct pst_buf b = PST_BUF(10);

    (void)st;
    pst_buf_str(&b, "12345678");
    pst_buf_str(&b, "abc"); /* does not fit: nothing of it is added */
    pst_buf_str(&b, "9");   /* would fit, but comes after a failure */
    assert_string_equal(pst_buf_cstr(&b), "12345678");
    assert_true(b.too_long);

    auto_buf struct pst_buf p = PST_BUF(10);
    pst_buf_printf(&p, "%s", "12345");
    pst_buf_printf(&p, "%d", 1234567);
    assert_string_equal(pst_buf_cstr(&p), "12345");
    assert_int_equal(pst_buf_check(&p, "p", NULL), PST_EINPUT);

    auto_buf struct pst_buf n = PST_BUF(1000);
    pst_buf_str(&n, "a");
    pst_mem_fail_at(1);
    pst_buf_printf(&n, "%500d", 1);
    pst_mem_fail_at(0);
    assert_string_equal(pst_buf_cstr(&n), "a");
    assert_int_equal(pst_buf_check(&n, "n", NULL), PST_ENOMEM);

    auto_buf struct pst_buf zero = PST_BUF(0);
    pst_buf_str(&zero, "");
    assert_int_equal(pst_buf_check(&zero, "z", NULL), PST_OK);
    pst_buf_str(&zero, "a");
    assert_int_equal(pst_buf_check(&zero, "z", NULL), PST_EINPUT);
}

static void buf_cut_and_take(void **st)
{
    auto_buf struct pst_buf b = PST_BUF(100);
    size_t len = 99;

    (void)st;
    auto_(pst_free) char *empty = pst_buf_take(&b, &len);
    assert_string_equal(empty, "");
    assert_int_equal(len, 0);
    pst_buf_cut(&b, 0);
    pst_buf_add(&b, "a\0b\0c", 5);
    pst_buf_cut(&b, 7);
    pst_buf_cut(&b, 3);
    auto_(pst_free) char *data = pst_buf_take(&b, &len);
    assert_int_equal(len, 3);
    assert_memory_equal(data, "a\0b\0", 4);
    assert_null(b.data);
    assert_int_equal(b.max, 100);
    pst_buf_str(&b, "again");
    assert_string_equal(pst_buf_cstr(&b), "again");

    auto_buf struct pst_buf fresh = PST_BUF(10);
    pst_mem_fail_at(1);
    assert_null(pst_buf_take(&fresh, NULL));
    pst_mem_fail_at(0);
}

static void buf_wipe_leaves_nothing(void **st)
{
    struct pst_buf b = PST_BUF(100);

    (void)st;
    pst_buf_str(&b, "secret");
    pst_buf_wipe(&b);
    assert_null(b.data);
    assert_int_equal(b.len, 0);
    assert_int_equal(b.max, 100);
    pst_buf_wipe(&b);
}

/* -- clock -- */

static void system_clock_moves(void **st)
{
    const struct pst_clock *c = pst_clock_system();
    int64_t before = pst_mono_ms(c);

    (void)st;
    assert_true(pst_wall_ms(c) > INT64_C(1700000000000));
    assert_true(llabs(pst_now(c) - (long long)time(NULL)) <= 1);
    assert_true(pst_mono_ms(c) >= before);
}

static void manual_clock_obeys(void **st)
{
    struct pst_clock_manual m;

    (void)st;
    pst_clock_manual_init(&m, 5999);
    int64_t mono = pst_mono_ms(&m.clock);
    assert_int_equal(pst_wall_ms(&m.clock), 5999);
    assert_int_equal(pst_now(&m.clock), 5);
    pst_clock_manual_advance(&m, 1);
    assert_int_equal(pst_now(&m.clock), 6);
    assert_int_equal(pst_mono_ms(&m.clock), mono + 1);
    assert_true(mono > 0);
}

/* -- rand -- */

static void random_numbers(void **st)
{
    struct pst_rand_seeded a, b;
    unsigned char x[33] = {0}, y[33] = {0}, zero[33] = {0};
    bool seen[6] = {0};

    (void)st;
    pst_rand_seeded_init(&a, 1);
    pst_rand_seeded_init(&b, 1);
    pst_rand_fill(&a.rand, x, sizeof x);
    pst_rand_fill(&b.rand, y, sizeof y);
    assert_memory_equal(x, y, sizeof x);
    pst_rand_fill(&a.rand, x, sizeof x);
    assert_memory_not_equal(x, y, sizeof x);

    for (int i = 0; i < 1000; i++) {
        uint64_t v = pst_rand_below(&a.rand, 6);
        assert_true(v < 6);
        seen[v] = true;
    }
    for (int i = 0; i < 6; i++)
        assert_true(seen[i]);
    assert_int_equal(pst_rand_below(&a.rand, 1), 0);
    for (int i = 0; i < 100; i++)
        assert_true(pst_rand_below(&a.rand, (UINT64_C(1) << 63) + 1) <= UINT64_C(1) << 63);

    pst_rand_fill(pst_rand_system(), x, sizeof x);
    assert_memory_not_equal(x, zero, sizeof x);
}

/* The first two outputs of splitmix64 for the seed 1234567, from its published test vectors. */
static void seeded_numbers_are_stable(void **st)
{
    struct pst_rand_seeded s;
    uint64_t v[2];

    (void)st;
    pst_rand_seeded_init(&s, 1234567);
    pst_rand_fill(&s.rand, v, sizeof v);
    assert_true(v[0] == UINT64_C(6457827717110365317));
    assert_true(v[1] == UINT64_C(3203168211198807973));
}

static void ids_are_24_hex_digits(void **st)
{
    char a[PST_ID_SIZE], b[PST_ID_SIZE];

    (void)st;
    pst_id_new(pst_rand_system(), a);
    pst_id_new(pst_rand_system(), b);
    assert_int_equal(strlen(a), 24);
    assert_int_equal(strspn(a, "0123456789abcdef"), 24);
    assert_string_not_equal(a, b);
}

/* -- secret -- */

static void secrets_copy_and_go(void **st)
{
    auto_secret struct pst_secret s = {0};
    struct pst_err err = {0};

    (void)st;
    assert_ok(pst_secret_set(&s, "one\0two", 7, &err), err);
    assert_int_equal(s.len, 7);
    assert_memory_equal(s.data, "one\0two\0", 8);
    assert_ok(pst_secret_set(&s, s.data + 4, 3, &err), err); /* out of itself */
    assert_string_equal((char *)s.data, "two");

    pst_mem_fail_at(1);
    int rc = pst_secret_set(&s, "x", 1, &err);
    pst_mem_fail_at(0);
    assert_rc(rc, PST_ENOMEM, err);
    assert_string_equal((char *)s.data, "two"); /* kept */
    assert_ok(pst_secret_set(&s, NULL, 0, &err), err);
    assert_int_equal(s.len, 0);
    pst_secret_deinit(&s);
    assert_null(s.data);
}

struct seen {
    const char *label;
    int64_t n;
};

static int see(const char *label, int64_t n, void *arg)
{
    struct seen *s = arg;

    if (pst_streq(label, s->label))
        s->n = n;
    return 0;
}

static int64_t counted(const char *name, const char *label)
{
    struct seen s = {label, 0};
    assert_int_equal(pst_metric_each(name, see, &s), 0);
    return s.n;
}

static void metrics_are_counted_by_label(void **state)
{
    char label[64];

    (void)state;
    pst_metric_count("test_things", "a");
    pst_metric_count("test_things", "a");
    pst_metric_count("test_things", "b");
    pst_metric_count("test_others", "a");
    assert_int_equal(counted("test_things", "a"), 2);
    assert_int_equal(counted("test_things", "b"), 1);
    assert_int_equal(counted("test_others", "a"), 1);
    /* More than there is room for: nothing is lost, nothing breaks. */
    for (int i = 0; i < 2 * PST_METRICS_MAX; i++) {
        snprintf(label, sizeof label, "label %d", i);
        pst_metric_count("test_many", label);
    }
    assert_true(counted("test_many", "other") > PST_METRICS_MAX);
    pst_metric_count("test_things", "a");
    assert_int_equal(counted("test_things", "a"), 3);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(metrics_are_counted_by_label),
        cmocka_unit_test(fail_fills_all),
        cmocka_unit_test(fail_may_use_the_old_text),
        cmocka_unit_test(fail_sys_keeps_errno),
        cmocka_unit_test(wrap_puts_context_before),
        cmocka_unit_test(long_texts_are_cut_between_characters),
        cmocka_unit_test(unexpected_answers_are_faults),
        cmocka_unit_test(require_aborts),
        cmocka_unit_test(the_nth_allocation_fails),
        cmocka_unit_test(copies_are_whole),
        cmocka_unit_test(descriptors_close_themselves),
        cmocka_unit_test(buf_grows_to_its_limit),
        cmocka_unit_test(buf_failures_stick),
        cmocka_unit_test(buf_cut_and_take),
        cmocka_unit_test(buf_wipe_leaves_nothing),
        cmocka_unit_test(system_clock_moves),
        cmocka_unit_test(manual_clock_obeys),
        cmocka_unit_test(random_numbers),
        cmocka_unit_test(seeded_numbers_are_stable),
        cmocka_unit_test(ids_are_24_hex_digits),
        cmocka_unit_test(secrets_copy_and_go),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
