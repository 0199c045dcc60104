/*
 * mem.h - allocation, ownership and cleanup.
 *
 * Allocation failure is an ordinary fault: these functions return NULL and the caller returns
 * PST_ENOMEM.  Tests make the n-th allocation fail with pst_mem_fail_at().
 *
 * Locals own what they hold through cleanup attributes and hand it out with pst_take():
 *
 *     auto_(pst_free) char *name = pst_strdup(in);
 *     if (!name)
 *         return pst_fail_nomem(err, "the name");
 *     *ret_name = pst_take(&name);
 */
#ifndef POSTERN_MEM_H
#define POSTERN_MEM_H

#include <stdbool.h>
#include <stddef.h>

/* Define <fn>p() for auto_(fn): called with the address of the local at the end of its scope. */
#define PST_CLEANUP(type, fn)                                                                      \
    static inline void fn##p(type **p)                                                             \
    {                                                                                              \
        if (*p)                                                                                    \
            fn(*p);                                                                                \
    }                                                                                              \
    struct pst_cleanup_semicolon_

/* The local is released by `fn` at the end of its scope unless it was taken or is NULL. */
#define auto_(fn) __attribute__((cleanup(fn##p)))

/* Move out of an owning local: gives its value and leaves NULL. */
#define pst_take(p)                                                                                \
    ({                                                                                             \
        __typeof__(*(p)) taken_ = *(p);                                                            \
        *(p) = NULL;                                                                               \
        taken_;                                                                                    \
    })

/* As malloc, calloc, realloc; a size of 0 gives one byte. */
void *pst_alloc(size_t size) __attribute__((malloc, warn_unused_result));
void *pst_zalloc(size_t n, size_t size) __attribute__((malloc, warn_unused_result));
void *pst_realloc(void *old, size_t size) __attribute__((warn_unused_result));
char *pst_strdup(const char *s) __attribute__((malloc, warn_unused_result));
/* `len` bytes and a final NUL. */
char *pst_strndup(const char *s, size_t len) __attribute__((malloc, warn_unused_result));
void *pst_memdup(const void *data, size_t len) __attribute__((malloc, warn_unused_result));
char *pst_asprintf(const char *fmt, ...) __attribute__((format(printf, 1, 2), warn_unused_result));
void pst_free(void *p);

/* For auto_(pst_free) on a pointer of any type. */
void pst_freep(void *pointer_to_pointer);

/* For auto_close locals: an open file descriptor, or -1. */
void pst_closep(int *fd);
#define auto_close __attribute__((cleanup(pst_closep)))

/* Let this thread's n-th allocation from now fail (1 is the next); 0 switches off. */
void pst_mem_fail_at(long n);
/* Has the failing allocation been reached since pst_mem_fail_at()? */
bool pst_mem_failed(void);

#define PST_ARRAY_N(a) (sizeof(a) / sizeof *(a))

#endif
