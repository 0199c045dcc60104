/* sqlite_file.c - the file of an SQLite database before and beside SQLite: is it ours, may we. */
#include "sqlite_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

/* Read the head ourselves: to open a strange file with SQLite could already change it.  The
 * application id is set before WAL is switched on, so that it always stands in the file itself. */
int pst_sq_file_check(const char *path, uint32_t application_id, struct pst_err *err)
{
    unsigned char head[72];
    size_t n = 0;

    auto_close int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0 && errno == ENOENT)
        return PST_NOTFOUND;
    if (fd < 0)
        return pst_fail_sys(err, "opening %s", path);
    int rc = pst_io_read_full(fd, head, sizeof head, &n, err);
    if (rc < 0)
        return pst_wrap(err, "%s", path);
    if (n == 0)
        return PST_NOTFOUND;
    if (n < sizeof head || memcmp(head, "SQLite format 3", 16) != 0)
        return pst_fail(err, PST_ECONFIG, "%s is not an SQLite database", path);
    uint32_t id =
        (uint32_t)head[68] << 24 | (uint32_t)head[69] << 16 | (uint32_t)head[70] << 8 | head[71];
    if (id != application_id)
        return pst_fail(err, PST_ECONFIG, "%s is the database of another program", path);
    return PST_OK;
}

int pst_sq_file_lock(const char *path, int *ret_fd, struct pst_err *err)
{
    auto_(pst_free) char *lock = pst_asprintf("%s.lock", path);
    if (!lock)
        return pst_fail_nomem(err, "a file name");

    auto_close int fd = open(lock, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0)
        return pst_fail_sys(err, "opening %s", lock);
    if (flock(fd, LOCK_EX | LOCK_NB) < 0) {
        if (errno != EWOULDBLOCK)
            return pst_fail_sys(err, "locking %s", lock);
        return pst_fail(err, PST_ECONFIG,
                        "another process uses %s (it holds %s); with SQLite there can be only one",
                        path, lock);
    }
    *ret_fd = fd;
    fd = -1;
    return PST_OK;
}

static int sync_folder(const char *path, struct pst_err *err)
{
    auto_(pst_free) char *copy = pst_strdup(path);
    if (!copy)
        return pst_fail_nomem(err, "a file name");
    auto_close int fd = open(dirname(copy), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0 || fsync(fd) < 0)
        return pst_fail_sys(err, "writing the folder of %s", path);
    return PST_OK;
}

int pst_sq_file_publish(const char *from, const char *to, struct pst_err *err)
{
    struct stat st;

    auto_close int fd = open(from, O_RDONLY | O_CLOEXEC);
    if (fd < 0 || fsync(fd) < 0)
        return pst_fail_sys(err, "writing %s", from);
    if (stat(to, &st) == 0) {
        if (!S_ISREG(st.st_mode) || st.st_size > 0)
            return PST_CONFLICT;
        if (rename(from, to) < 0) /* an empty file in our place: an early crash, or touch(1) */
            return pst_fail_sys(err, "renaming %s to %s", from, to);
        return sync_folder(to, err);
    }
    if (link(from, to) < 0)
        return errno == EEXIST ? PST_CONFLICT : pst_fail_sys(err, "linking %s to %s", from, to);
    if (unlink(from) < 0)
        return pst_fail_sys(err, "removing %s", from);
    return sync_folder(to, err);
}

void pst_sq_file_remove(const char *path)
{
    static const char *const tails[] = {"", "-wal", "-shm", "-journal"};
    char name[4096];

    for (size_t k = 0; k < PST_ARRAY_N(tails); k++) {
        int n = snprintf(name, sizeof name, "%s%s", path, tails[k]);
        if (n > 0 && (size_t)n < sizeof name)
            (void)unlink(name); /* what is not there needs no removing */
    }
}
