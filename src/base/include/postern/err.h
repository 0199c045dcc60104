/*
 * err.h - faults and answers.
 *
 * A function that can fail returns int.  Zero is success.  A *negative* code is a fault: the caller
 * adds context with pst_wrap() and returns it.  A *positive* code is an answer that the function's
 * own comment defines; its caller must handle it and never passes it on.
 *
 * The details of a fault live in a `struct pst_err` that belongs to whoever can report it, usually
 * on its stack; there is no thread-global last error.  Every function here takes a NULL err and
 * then only returns the code.  Nothing behind a `ret_` parameter is written unless PST_OK comes
 * back.
 *
 * Threads: a struct pst_err belongs to one thread at a time.  Blocking: never.  Memory: no
 * allocation.
 */
#ifndef POSTERN_ERR_H
#define POSTERN_ERR_H

#include <stdbool.h>
#include <stdint.h>

enum pst_rc {
    PST_OK = 0,

    PST_NOTFOUND = 1, /* there is no such thing */
    PST_CONFLICT = 2, /* somebody else has it, or was faster */
    PST_NOTYET = 3,   /* true later, perhaps: ask again */
    PST_REFUSED = 4,  /* the input is not acceptable; err says which field and how to mend it */
    PST_DONE = 5,     /* nothing was left to do */

    PST_ENOMEM = -1,    /* no memory */
    PST_ESYS = -2,      /* the operating system; err.sys is errno */
    PST_ENET = -3,      /* the network: not reached, timed out, broken off */
    PST_EDB = -4,       /* the database; err.retry tells whether to try again */
    PST_EREMOTE = -5,   /* the other side answered that it cannot or will not */
    PST_ECONFIG = -6,   /* a setting, a file or the environment is wrong */
    PST_EINTERNAL = -7, /* a bug of ours or corrupt data of ours */
    PST_EINPUT = -8,    /* bytes from outside are not what they must be */
};

/* What whoever retries should do about a fault. */
enum pst_retry {
    PST_RETRY_BACKOFF, /* try again, rarer each time */
    PST_RETRY_AT,      /* not before err.retry_at */
    PST_RETRY_DAILY,   /* our input or the user's is at fault: show it, try once a day */
    PST_RETRY_NEVER,   /* a person must act first */
};

struct pst_err {
    int rc;
    int sys; /* errno, or 0 */
    enum pst_retry retry;
    int64_t retry_at; /* Unix seconds; only with PST_RETRY_AT */
    const char *file; /* where the fault began */
    int line;
    char problem[96]; /* stable identifier, such as an ACME error urn or a field name; "" if none */
    char text[400];   /* for people: from what was wanted to what broke */
};

/* Begin a fault (or a refusal): fills err, returns rc. */
#define pst_fail(err, rc, ...) pst_fail_((err), (rc), __FILE__, __LINE__, __VA_ARGS__)
int pst_fail_(struct pst_err *err, int rc, const char *file, int line, const char *fmt, ...)
    __attribute__((format(printf, 5, 6)));

/* Begin a fault of the operating system: as pst_fail(PST_ESYS) with errno and its text appended. */
#define pst_fail_sys(err, ...) pst_fail_sys_((err), __FILE__, __LINE__, __VA_ARGS__)
int pst_fail_sys_(struct pst_err *err, const char *file, int line, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));

/* Begin a PST_ENOMEM fault about `what`. */
#define pst_fail_nomem(err, what) pst_fail((err), PST_ENOMEM, "no memory for %s", (what))

/* Put "<context>: " before the text; returns err->rc, so that it can be returned at once.
 * With a NULL err the code is lost: returns PST_EINTERNAL. */
int pst_wrap(struct pst_err *err, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* A positive answer that nobody was meant to return here is a bug: make it a PST_EINTERNAL fault.
 */
int pst_unexpected(struct pst_err *err, int rc, const char *what);

/* Set the stable identifier (cut to what fits). */
void pst_err_problem(struct pst_err *err, const char *problem);

/* Set the retry advice; `at` counts only with PST_RETRY_AT. */
void pst_err_retry(struct pst_err *err, enum pst_retry retry, int64_t at);

void pst_err_clear(struct pst_err *err);

/* The code's name, "ENET" for PST_ENET; never NULL. */
const char *pst_rc_name(int rc);

/* A state that cannot be: says where on stderr and aborts.  Always on, unlike assert(). */
#define pst_require(cond) ((cond) ? (void)0 : pst_require_failed_(#cond, __FILE__, __LINE__))
_Noreturn void pst_require_failed_(const char *cond, const char *file, int line);

#endif
