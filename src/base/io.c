/* io.c - whole reads, whole writes, and files that survive a crash. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <postern/buf.h>
#include <postern/err.h>
#include <postern/io.h>
#include <postern/mem.h>
#include <postern/rand.h>
#include <postern/text.h>

int pst_io_read_full(int fd, void *to, size_t len, size_t *ret_len, struct pst_err *err)
{
    char *at = to;
    size_t have = 0;

    while (have < len) {
        ssize_t n = read(fd, at + have, len - have);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return pst_fail_sys(err, "reading");
        if (n == 0)
            break;
        have += (size_t)n;
    }
    *ret_len = have;
    return PST_OK;
}

int pst_io_write_full(int fd, const void *data, size_t len, struct pst_err *err)
{
    const char *at = data;

    while (len > 0) {
        ssize_t n = write(fd, at, len);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return pst_fail_sys(err, "writing");
        at += n;
        len -= (size_t)n;
    }
    return PST_OK;
}

static int open_for_reading(const char *path, int *ret_fd, struct pst_err *err)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);

    if (fd < 0 && errno == ENOENT)
        return pst_fail(err, PST_NOTFOUND, "there is no file %s", path);
    if (fd < 0)
        return pst_fail_sys(err, "opening %s", path);
    *ret_fd = fd;
    return PST_OK;
}

/* All that is left to read, appended to `to`; on a fault `to` is as before. */
static int read_rest(int fd, const char *path, struct pst_buf *to, struct pst_err *err)
{
    char chunk[8192];
    size_t before = to->len;
    size_t n;
    int rc;

    do {
        rc = pst_io_read_full(fd, chunk, sizeof chunk, &n, err);
        if (rc < 0) {
            pst_wrap(err, "file %s", path);
            break;
        }
        pst_buf_add(to, chunk, n);
        rc = pst_buf_check(to, path, err);
    } while (rc == PST_OK && n == sizeof chunk);

    pst_wipe(chunk, sizeof chunk); /* it may have been a key */
    if (rc < 0)
        pst_buf_cut(to, before);
    return rc;
}

int pst_io_read_file(const char *path, struct pst_buf *to, struct pst_err *err)
{
    auto_close int fd = -1;

    int rc = open_for_reading(path, &fd, err);
    return rc != PST_OK ? rc : read_rest(fd, path, to, err);
}

int pst_io_read_private_file(const char *path, struct pst_buf *to, struct pst_err *err)
{
    auto_close int fd = -1;
    struct stat st;

    int rc = open_for_reading(path, &fd, err);
    if (rc != PST_OK)
        return rc;
    if (fstat(fd, &st) < 0)
        return pst_fail_sys(err, "looking at %s", path);
    if (st.st_mode & (S_IRGRP | S_IWGRP | S_IROTH | S_IWOTH))
        return pst_fail(err, PST_ECONFIG,
                        "file %s holds a secret, but its mode %04o lets others at it: "
                        "run chmod 600 %s",
                        path, (unsigned)(st.st_mode & 07777), path);
    return read_rest(fd, path, to, err);
}

/* The folder of a path: "." when it has none. */
static char *folder_of(const char *path)
{
    const char *slash = strrchr(path, '/');

    if (!slash)
        return pst_strdup(".");
    return slash == path ? pst_strdup("/") : pst_strndup(path, (size_t)(slash - path));
}

static int sync_folder(const char *path, struct pst_err *err)
{
    auto_(pst_free) char *folder = folder_of(path);
    if (!folder)
        return pst_fail_nomem(err, "the name of a folder");

    auto_close int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return pst_fail_sys(err, "opening the folder %s", folder);
    /* EINVAL: a file system that cannot flush folders; there is nothing more to do then. */
    if (fsync(fd) < 0 && errno != EINVAL)
        return pst_fail_sys(err, "flushing the folder %s", folder);
    return PST_OK;
}

static int write_temporary(const char *path, const void *data, size_t len, mode_t mode,
                           struct pst_err *err)
{
    auto_close int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (fd < 0)
        return pst_fail_sys(err, "making %s", path);

    int rc = pst_io_write_full(fd, data, len, err);
    if (rc < 0)
        pst_wrap(err, "file %s", path);
    else if (fchmod(fd, mode) < 0 || fsync(fd) < 0)
        rc = pst_fail_sys(err, "flushing %s", path);

    /* Some file systems report a failed write only here. */
    int closed = close(fd);
    fd = -1;
    if (rc == PST_OK && closed < 0)
        rc = pst_fail_sys(err, "closing %s", path);
    if (rc < 0)
        unlink(path);
    return rc;
}

/* Give the finished temporary file its name. */
typedef int place_fn(const char *temporary, const char *path, struct pst_err *err);

static int place_replacing(const char *temporary, const char *path, struct pst_err *err)
{
    if (rename(temporary, path) == 0)
        return PST_OK;
    int rc = pst_fail_sys(err, "renaming %s to %s", temporary, path);
    unlink(temporary);
    return rc;
}

static int place_new(const char *temporary, const char *path, struct pst_err *err)
{
    int rc = PST_OK;

    if (link(temporary, path) < 0)
        rc = errno == EEXIST ? pst_fail(err, PST_CONFLICT, "there is a file %s already", path)
                             : pst_fail_sys(err, "naming %s", path);
    unlink(temporary);
    return rc;
}

static int write_durably(const char *path, const void *data, size_t len, mode_t mode,
                         place_fn *place, struct pst_err *err)
{
    char id[PST_ID_SIZE];

    pst_id_new(pst_rand_system(), id);
    auto_(pst_free) char *temporary = pst_asprintf("%s.%s.tmp", path, id);
    if (!temporary)
        return pst_fail_nomem(err, "the name of a file");

    int rc = write_temporary(temporary, data, len, mode, err);
    if (rc != PST_OK)
        return rc;
    rc = place(temporary, path, err);
    if (rc != PST_OK)
        return rc;
    return sync_folder(path, err);
}

int pst_io_write_file(const char *path, const void *data, size_t len, mode_t mode,
                      struct pst_err *err)
{
    return write_durably(path, data, len, mode, place_replacing, err);
}

int pst_io_create_file(const char *path, const void *data, size_t len, mode_t mode,
                       struct pst_err *err)
{
    return write_durably(path, data, len, mode, place_new, err);
}

static int make_folder(const char *path, mode_t mode, struct pst_err *err)
{
    struct stat st;

    if (mkdir(path, mode) == 0)
        return PST_OK;
    int sys = errno;
    if (stat(path, &st) == 0) {
        if (S_ISDIR(st.st_mode))
            return PST_OK;
        sys = ENOTDIR;
    }
    errno = sys;
    return pst_fail_sys(err, "making the folder %s", path);
}

int pst_io_mkdirs(const char *path, mode_t mode, struct pst_err *err)
{
    auto_(pst_free) char *part = pst_strdup(path);
    if (!part)
        return pst_fail_nomem(err, "the name of a folder");

    for (char *slash = part; *slash && (slash = strchr(slash + 1, '/'));) {
        *slash = '\0';
        int rc = make_folder(part, mode, err);
        *slash = '/';
        if (rc < 0)
            return rc;
    }
    return make_folder(part, mode, err);
}
