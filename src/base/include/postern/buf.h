/*
 * buf.h - a growing byte buffer that is told its largest size at birth.
 *
 * Writers append without checking each call: a failure (no memory, or the limit) is remembered and
 * makes all later calls do nothing; pst_buf_check() reports it once at the end.  `data` is always
 * NUL-terminated (the NUL is not counted in `len`).
 *
 *     auto_buf struct pst_buf b = PST_BUF(4096);
 *     pst_buf_printf(&b, "%s: %d\n", key, n);
 *     rc = pst_buf_check(&b, "the answer", err);
 */
#ifndef POSTERN_BUF_H
#define POSTERN_BUF_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>

struct pst_err;

struct pst_buf {
    char *data; /* NULL while empty */
    size_t len;
    size_t max; /* most bytes it may ever hold */
    size_t cap;
    bool no_memory;
    bool too_long;
};

#define PST_BUF(limit)                                                                             \
    {                                                                                              \
        .max = (limit)                                                                             \
    }

void pst_buf_deinit(struct pst_buf *b);
#define auto_buf __attribute__((cleanup(pst_buf_deinit)))

/* As deinit, but the bytes are overwritten first: for buffers that held secrets.  A buffer that
 * grows also wipes what it leaves behind. */
void pst_buf_wipe(struct pst_buf *b);
#define auto_buf_wipe __attribute__((cleanup(pst_buf_wipe)))

void pst_buf_add(struct pst_buf *b, const void *data, size_t len);
void pst_buf_str(struct pst_buf *b, const char *s);
void pst_buf_char(struct pst_buf *b, char c);
void pst_buf_printf(struct pst_buf *b, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void pst_buf_vprintf(struct pst_buf *b, const char *fmt, va_list ap)
    __attribute__((format(printf, 2, 0)));

/* Keep the first `len` bytes. */
void pst_buf_cut(struct pst_buf *b, size_t len);

/* PST_OK, PST_ENOMEM or PST_EINPUT (over the limit), with `what` in the text. */
int pst_buf_check(const struct pst_buf *b, const char *what, struct pst_err *err);

/* The bytes as a string ("" while empty), owned by the buffer. */
const char *pst_buf_cstr(const struct pst_buf *b);

/* Take the bytes out (NUL-terminated, free with pst_free()); the buffer is empty afterwards.
 * NULL when a write failed or memory is out. */
char *pst_buf_take(struct pst_buf *b, size_t *ret_len);

#endif
