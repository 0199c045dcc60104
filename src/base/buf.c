/* buf.c - the bounded buffer. */
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <postern/buf.h>
#include <postern/err.h>
#include <postern/mem.h>
#include <postern/text.h>

enum { FIRST_CAP = 64 };

static void release(struct pst_buf *b)
{
    pst_free(b->data);
    *b = (struct pst_buf)PST_BUF(b->max);
}

void pst_buf_deinit(struct pst_buf *b)
{
    release(b);
}

void pst_buf_wipe(struct pst_buf *b)
{
    if (b->data)
        pst_wipe(b->data, b->cap);
    release(b);
}

static bool failed(const struct pst_buf *b)
{
    return b->no_memory || b->too_long;
}

/* Room for `more` bytes and the NUL; false (and remembered) otherwise. */
static bool reserve(struct pst_buf *b, size_t more)
{
    if (failed(b))
        return false;
    if (more > b->max - b->len || b->max == SIZE_MAX) {
        b->too_long = true;
        return false;
    }

    size_t want = b->len + more + 1;
    if (want <= b->cap)
        return true;

    size_t cap = b->cap ? b->cap : FIRST_CAP;
    while (cap < want)
        cap = cap > SIZE_MAX / 2 ? want : cap * 2;
    if (cap > b->max + 1)
        cap = b->max + 1;

    /* Not realloc: it would leave a copy of what may be a secret in freed memory. */
    char *data = pst_alloc(cap);
    if (!data) {
        b->no_memory = true;
        return false;
    }
    if (b->data) {
        memcpy(data, b->data, b->len + 1);
        pst_wipe(b->data, b->cap);
        pst_free(b->data);
    }
    b->data = data;
    b->cap = cap;
    return true;
}

void pst_buf_add(struct pst_buf *b, const void *data, size_t len)
{
    if (!reserve(b, len))
        return;
    if (len)
        memcpy(b->data + b->len, data, len);
    b->len += len;
    b->data[b->len] = '\0';
}

void pst_buf_str(struct pst_buf *b, const char *s)
{
    pst_buf_add(b, s, strlen(s));
}

void pst_buf_char(struct pst_buf *b, char c)
{
    pst_buf_add(b, &c, 1);
}

void pst_buf_vprintf(struct pst_buf *b, const char *fmt, va_list ap)
{
    va_list again;

    va_copy(again, ap);
    int len = vsnprintf(NULL, 0, fmt, again);
    va_end(again);

    if (len < 0) {
        b->too_long = true; /* over INT_MAX: certainly over any limit of ours */
        return;
    }
    if (!reserve(b, (size_t)len))
        return;
    vsnprintf(b->data + b->len, (size_t)len + 1, fmt, ap);
    b->len += (size_t)len;
}

void pst_buf_printf(struct pst_buf *b, const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    pst_buf_vprintf(b, fmt, ap);
    va_end(ap);
}

void pst_buf_cut(struct pst_buf *b, size_t len)
{
    if (len >= b->len)
        return;
    b->len = len;
    b->data[len] = '\0';
}

int pst_buf_check(const struct pst_buf *b, const char *what, struct pst_err *err)
{
    if (b->no_memory)
        return pst_fail_nomem(err, what);
    if (b->too_long)
        return pst_fail(err, PST_EINPUT, "%s is longer than %zu bytes", what, b->max);
    return PST_OK;
}

const char *pst_buf_cstr(const struct pst_buf *b)
{
    return b->data ? b->data : "";
}

char *pst_buf_take(struct pst_buf *b, size_t *ret_len)
{
    if (!reserve(b, 0)) /* an empty buffer gives "" too */
        return NULL;

    char *data = b->data;
    data[b->len] = '\0';
    if (ret_len)
        *ret_len = b->len;
    *b = (struct pst_buf)PST_BUF(b->max);
    return data;
}
