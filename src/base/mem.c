/* mem.c - allocation with a failure that tests can order. */
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <postern/mem.h>

/* Per thread, so that a test's order does not hit a helper thread. */
static _Thread_local long fail_in;
static _Thread_local bool fail_reached;

static bool must_fail(void)
{
    if (fail_in == 0 || --fail_in > 0)
        return false;
    fail_reached = true;
    return true;
}

void pst_mem_fail_at(long n)
{
    fail_in = n > 0 ? n : 0;
    fail_reached = false;
}

bool pst_mem_failed(void)
{
    return fail_reached;
}

void *pst_alloc(size_t size)
{
    return must_fail() ? NULL : malloc(size ? size : 1);
}

void *pst_zalloc(size_t n, size_t size)
{
    size_t total;

    if (must_fail() || __builtin_mul_overflow(n, size, &total))
        return NULL;
    return calloc(1, total ? total : 1);
}

void *pst_realloc(void *old, size_t size)
{
    return must_fail() ? NULL : realloc(old, size ? size : 1);
}

void *pst_memdup(const void *data, size_t len)
{
    void *copy = pst_alloc(len);

    if (copy && len)
        memcpy(copy, data, len);
    return copy;
}

char *pst_strndup(const char *s, size_t len)
{
    if (len == SIZE_MAX)
        return NULL;

    char *copy = pst_alloc(len + 1);
    if (!copy)
        return NULL;
    if (len)
        memcpy(copy, s, len);
    copy[len] = '\0';
    return copy;
}

char *pst_strdup(const char *s)
{
    return pst_strndup(s, strlen(s));
}

char *pst_asprintf(const char *fmt, ...)
{
    va_list ap, again;

    va_start(ap, fmt);
    va_copy(again, ap);
    int len = vsnprintf(NULL, 0, fmt, ap);
    va_end(ap);

    char *text = len < 0 ? NULL : pst_alloc((size_t)len + 1);
    if (text)
        vsnprintf(text, (size_t)len + 1, fmt, again);
    va_end(again);
    return text;
}

void pst_free(void *p)
{
    free(p);
}

void pst_freep(void *pointer_to_pointer)
{
    void *p;

    /* The caller's pointer may be of any type: read its bytes, do not alias it. */
    memcpy(&p, pointer_to_pointer, sizeof p);
    free(p);
}

void pst_closep(int *fd)
{
    if (*fd >= 0)
        close(*fd);
}
