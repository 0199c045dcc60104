/* io_test.c - files: whole, durable, private.  Each test has a folder of its own. */
#include "pst_test.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <postern/buf.h>
#include <postern/err.h>
#include <postern/io.h>
#include <postern/text.h>

struct place {
    char folder[64];
    char path[128];
};

static int set_up(void **st)
{
    struct place *p = calloc(1, sizeof *p);

    snprintf(p->folder, sizeof p->folder, "/tmp/postern-io-XXXXXX");
    if (!mkdtemp(p->folder))
        return -1;
    snprintf(p->path, sizeof p->path, "%s/file", p->folder);
    *st = p;
    return 0;
}

static int count_entries(const char *folder)
{
    DIR *d = opendir(folder);
    int n = 0;

    for (struct dirent *e; (e = readdir(d));)
        n += strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0;
    closedir(d);
    return n;
}

static int tear_down(void **st)
{
    struct place *p = *st;
    DIR *d = opendir(p->folder);

    for (struct dirent *e; (e = readdir(d));) {
        unlinkat(dirfd(d), e->d_name, 0);
        unlinkat(dirfd(d), e->d_name, AT_REMOVEDIR);
    }
    closedir(d);
    rmdir(p->folder);
    free(p);
    return 0;
}

static mode_t mode_of(const char *path)
{
    struct stat s;

    assert_int_equal(stat(path, &s), 0);
    return s.st_mode & 07777;
}

static void content_is(const char *path, const char *wanted)
{
    auto_buf struct pst_buf b = PST_BUF(1 << 20);
    struct pst_err err = {0};

    assert_ok(pst_io_read_file(path, &b, &err), err);
    assert_string_equal(pst_buf_cstr(&b), wanted);
}

static void writes_and_replaces(void **st)
{
    const struct place *p = *st;
    struct pst_err err = {0};
    mode_t old = umask(077);

    assert_ok(pst_io_write_file(p->path, "one", 3, 0640, &err), err);
    umask(old);
    content_is(p->path, "one");
    assert_int_equal(mode_of(p->path), 0640); /* whatever the umask is */

    auto_close int fd = open(p->path, O_RDONLY | O_CLOEXEC);
    assert_ok(pst_io_write_file(p->path, "second", 6, 0600, &err), err);
    content_is(p->path, "second");
    assert_int_equal(mode_of(p->path), 0600);
    assert_int_equal(count_entries(p->folder), 1); /* no temporary file is left */

    char was[8] = "";
    size_t n;
    assert_ok(pst_io_read_full(fd, was, sizeof was - 1, &n, &err), err);
    assert_string_equal(was, "one"); /* replaced, not written over: readers keep the old one */

    assert_ok(pst_io_write_file(p->path, "", 0, 0600, &err), err);
    content_is(p->path, "");
}

static void a_failed_write_leaves_all_as_it_was(void **st)
{
    const struct place *p = *st;
    char path[200];
    struct pst_err err = {0};

    snprintf(path, sizeof path, "%s/none/file", p->folder);
    assert_rc(pst_io_write_file(path, "x", 1, 0600, &err), PST_ESYS, err);
    assert_int_equal(err.sys, ENOENT);
    assert_err_has(err, "none/file");

    snprintf(path, sizeof path, "%s/sub", p->folder);
    assert_int_equal(mkdir(path, 0700), 0);
    assert_rc(pst_io_write_file(path, "x", 1, 0600, &err), PST_ESYS, err);
    assert_int_equal(count_entries(p->folder), 1); /* the folder, no temporary file */
}

static void creates_only_once(void **st)
{
    const struct place *p = *st;
    struct pst_err err = {0};

    assert_ok(pst_io_create_file(p->path, "first", 5, 0600, &err), err);
    assert_rc(pst_io_create_file(p->path, "second", 6, 0600, &err), PST_CONFLICT, err);
    assert_err_has(err, "already");
    content_is(p->path, "first");
    assert_int_equal(count_entries(p->folder), 1);
}

static void writes_in_the_current_folder(void **st)
{
    const struct place *p = *st;
    char before[4096];
    struct pst_err err = {0};

    assert_non_null(getcwd(before, sizeof before));
    assert_int_equal(chdir(p->folder), 0);
    int rc = pst_io_write_file("file", "here", 4, 0600, &err);
    assert_int_equal(chdir(before), 0);
    assert_ok(rc, err);
    content_is(p->path, "here");
}

static void reads_up_to_the_limit(void **st)
{
    const struct place *p = *st;
    static char data[20000];
    struct pst_err err = {0};

    memset(data, 'd', sizeof data);
    assert_ok(pst_io_write_file(p->path, data, sizeof data, 0600, &err), err);

    auto_buf struct pst_buf all = PST_BUF(sizeof data + 2);
    pst_buf_str(&all, "x:");
    assert_ok(pst_io_read_file(p->path, &all, &err), err);
    assert_int_equal(all.len, sizeof data + 2); /* appended */

    auto_buf struct pst_buf little = PST_BUF(sizeof data - 1);
    pst_buf_str(&little, "x");
    assert_rc(pst_io_read_file(p->path, &little, &err), PST_EINPUT, err);
    assert_string_equal(pst_buf_cstr(&little), "x");

    auto_buf struct pst_buf none = PST_BUF(10);
    char path[200];
    snprintf(path, sizeof path, "%s/other", p->folder);
    assert_rc(pst_io_read_file(path, &none, &err), PST_NOTFOUND, err);
    assert_rc(pst_io_read_file(p->folder, &none, &err), PST_ESYS, err);
    assert_int_equal(err.sys, EISDIR);
}

static void private_files_must_be_private(void **st)
{
    const struct place *p = *st;
    static const mode_t bad[] = {0640, 0620, 0604, 0602, 0644};
    struct pst_err err = {0};
    auto_buf_wipe struct pst_buf b = PST_BUF(100);

    for (size_t i = 0; i < PST_ARRAY_N(bad); i++) {
        assert_ok(pst_io_write_file(p->path, "key", 3, bad[i], &err), err);
        assert_rc(pst_io_read_private_file(p->path, &b, &err), PST_ECONFIG, err);
        assert_err_has(err, "chmod 600");
        assert_int_equal(b.len, 0);
    }
    assert_ok(pst_io_write_file(p->path, "key", 3, 0400, &err), err);
    assert_ok(pst_io_read_private_file(p->path, &b, &err), err);
    assert_string_equal(pst_buf_cstr(&b), "key");
    unlink(p->path);
    assert_rc(pst_io_read_private_file(p->path, &b, &err), PST_NOTFOUND, err);
}

static void makes_folders(void **st)
{
    const struct place *p = *st;
    char path[200];
    struct pst_err err = {0};

    snprintf(path, sizeof path, "%s/a", p->folder);
    assert_ok(pst_io_mkdirs(path, 0750, &err), err);
    assert_ok(pst_io_mkdirs(path, 0750, &err), err);
    assert_int_equal(mode_of(path) & 0700, 0700);
    snprintf(path, sizeof path, "%s/a//b/c/", p->folder);
    assert_ok(pst_io_mkdirs(path, 0750, &err), err);
    assert_int_equal(rmdir(path), 0);
    snprintf(path, sizeof path, "%s/a/b", p->folder);
    assert_int_equal(rmdir(path), 0);
    assert_ok(pst_io_mkdirs("/", 0755, &err), err);

    assert_ok(pst_io_write_file(p->path, "", 0, 0600, &err), err);
    assert_rc(pst_io_mkdirs(p->path, 0755, &err), PST_ESYS, err);
    assert_int_equal(err.sys, ENOTDIR);
    snprintf(path, sizeof path, "%s/file/x", p->folder);
    assert_rc(pst_io_mkdirs(path, 0755, &err), PST_ESYS, err);
}

/* Three bytes at a time: what the other side of a pipe sees are short reads. */
static void *write_slowly(void *arg)
{
    int fd = *(int *)arg;

    for (int i = 0; i < 4; i++) {
        struct pst_err err;
        pst_io_write_full(fd, "abc", 3, &err);
        usleep(2000);
    }
    close(fd);
    return NULL;
}

static void reads_are_whole(void **st)
{
    int ends[2];
    char to[11] = "";
    size_t n = 0;
    pthread_t writer;
    struct pst_err err = {0};

    (void)st;
    assert_int_equal(pipe(ends), 0);
    assert_int_equal(pthread_create(&writer, NULL, write_slowly, &ends[1]), 0);
    assert_ok(pst_io_read_full(ends[0], to, 10, &n, &err), err);
    assert_int_equal(n, 10);
    assert_string_equal(to, "abcabcabca");
    assert_ok(pst_io_read_full(ends[0], to, 10, &n, &err), err);
    assert_int_equal(n, 2); /* the end of the file ends it */
    assert_ok(pst_io_read_full(ends[0], to, 10, &n, &err), err);
    assert_int_equal(n, 0);
    pthread_join(writer, NULL);
    close(ends[0]);

    assert_rc(pst_io_read_full(-1, to, 1, &n, &err), PST_ESYS, err);
    assert_int_equal(err.sys, EBADF);
    assert_rc(pst_io_write_full(-1, to, 1, &err), PST_ESYS, err);
    assert_int_equal(err.sys, EBADF);
}

static void a_full_disk_is_told(void **st)
{
    auto_close int fd = open("/dev/full", O_WRONLY | O_CLOEXEC);
    struct pst_err err = {0};

    (void)st;
    if (fd < 0)
        skip();
    assert_rc(pst_io_write_full(fd, "x", 1, &err), PST_ESYS, err);
    assert_int_equal(err.sys, ENOSPC);
}

static void survives_no_memory(void **st)
{
    const struct place *p = *st;
    int rc;

    assert_survives_no_memory(rc, rc = pst_io_write_file(p->path, "x", 1, 0600, NULL));
    assert_survives_no_memory(rc, rc = pst_io_mkdirs(p->folder, 0700, NULL));
    assert_survives_no_memory(rc, {
        auto_buf struct pst_buf b = PST_BUF(10);
        rc = pst_io_read_file(p->path, &b, NULL);
    });
    assert_int_equal(count_entries(p->folder), 1);
}

int main(void)
{
#define with_folder(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        with_folder(writes_and_replaces),
        with_folder(a_failed_write_leaves_all_as_it_was),
        with_folder(creates_only_once),
        with_folder(writes_in_the_current_folder),
        with_folder(reads_up_to_the_limit),
        with_folder(private_files_must_be_private),
        with_folder(makes_folders),
        cmocka_unit_test(reads_are_whole),
        cmocka_unit_test(a_full_disk_is_told),
        with_folder(survives_no_memory),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
