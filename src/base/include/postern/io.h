/*
 * io.h - files and descriptors, with short reads, EINTR and durability handled in one place.
 */
#ifndef POSTERN_IO_H
#define POSTERN_IO_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

struct pst_buf;
struct pst_err;

/* Read until `len` bytes or the end of the file: bytes read are in *ret_len.  PST_OK or PST_ESYS.
 */
int pst_io_read_full(int fd, void *to, size_t len, size_t *ret_len, struct pst_err *err);
/* Write all.  PST_OK or PST_ESYS. */
int pst_io_write_full(int fd, const void *data, size_t len, struct pst_err *err);

/* The whole file, appended to `to`, whose limit bounds it.
 * PST_OK; PST_NOTFOUND (no such file); PST_ESYS; PST_EINPUT (larger than the limit). */
int pst_io_read_file(const char *path, struct pst_buf *to, struct pst_err *err);

/* Replace or make a file so that after a crash it is whole, old or new: temporary file in the same
 * folder, write, fsync, rename, fsync of the folder.  The file has exactly `mode`, whatever the
 * umask is.  PST_OK, PST_ESYS or PST_ENOMEM. */
int pst_io_write_file(const char *path, const void *data, size_t len, mode_t mode,
                      struct pst_err *err);

/* As pst_io_write_file(), but PST_CONFLICT when the file exists already (nothing is changed). */
int pst_io_create_file(const char *path, const void *data, size_t len, mode_t mode,
                       struct pst_err *err);

/* Make a folder and its parents (`mode` before umask); an existing one is fine. */
int pst_io_mkdirs(const char *path, mode_t mode, struct pst_err *err);

/* A file with a secret, as pst_io_read_file(), but PST_ECONFIG when group or others may read or
 * write it. */
int pst_io_read_private_file(const char *path, struct pst_buf *to, struct pst_err *err);

#endif
