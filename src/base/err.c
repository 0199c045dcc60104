/* err.c - faults: begin, wrap, name. */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <postern/err.h>
#include <postern/mem.h>
#include <postern/text.h>

static const struct {
    int rc;
    const char *name;
} rc_names[] = {
    {PST_OK, "OK"},
    {PST_NOTFOUND, "NOTFOUND"},
    {PST_CONFLICT, "CONFLICT"},
    {PST_NOTYET, "NOTYET"},
    {PST_REFUSED, "REFUSED"},
    {PST_DONE, "DONE"},
    {PST_ENOMEM, "ENOMEM"},
    {PST_ESYS, "ESYS"},
    {PST_ENET, "ENET"},
    {PST_EDB, "EDB"},
    {PST_EREMOTE, "EREMOTE"},
    {PST_ECONFIG, "ECONFIG"},
    {PST_EINTERNAL, "EINTERNAL"},
    {PST_EINPUT, "EINPUT"},
};

const char *pst_rc_name(int rc)
{
    for (size_t i = 0; i < PST_ARRAY_N(rc_names); i++) {
        if (rc_names[i].rc == rc)
            return rc_names[i].name;
    }
    return "UNKNOWN";
}

/* A text that was cut in the middle of a UTF-8 sequence loses the rest of that sequence. */
static void drop_half_char(char *text)
{
    size_t len = strlen(text);
    size_t tail = 0;

    while (tail < 3 && tail < len && ((unsigned char)text[len - 1 - tail] & 0xC0) == 0x80)
        tail++;
    if (tail == len)
        return;
    size_t start = len - 1 - tail;
    unsigned char lead = (unsigned char)text[start];
    size_t wanted = lead >= 0xF0 ? 4 : lead >= 0xE0 ? 3 : lead >= 0xC0 ? 2 : 1;
    if (wanted > tail + 1)
        text[start] = '\0';
}

/* The file from "src/" on: the same whatever the build folder is called. */
static const char *short_file(const char *file)
{
    const char *found = file;

    for (const char *p = file; (p = strstr(p, "src/")); p++)
        found = p;
    return found;
}

static void fill(struct pst_err *err, int rc, const char *file, int line, const char *text)
{
    memset(err, 0, sizeof *err);
    err->rc = rc;
    err->file = short_file(file);
    err->line = line;
    pst_str_copy(err->text, sizeof err->text, text);
}

int pst_fail_(struct pst_err *err, int rc, const char *file, int line, const char *fmt, ...)
{
    char text[sizeof err->text]; /* apart: an argument may be the old text */
    va_list ap;

    if (!err)
        return rc;
    va_start(ap, fmt);
    int len = vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    if (len < 0)
        text[0] = '\0';
    else if ((size_t)len >= sizeof text)
        drop_half_char(text);
    fill(err, rc, file, line, text);
    return rc;
}

int pst_fail_sys_(struct pst_err *err, const char *file, int line, const char *fmt, ...)
{
    char text[sizeof err->text];
    char reason[128];
    int sys = errno;
    va_list ap;

    if (!err)
        return PST_ESYS;
    va_start(ap, fmt);
    int len = vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    if (len < 0)
        text[0] = '\0';

    /* The reason is the better half: when both do not fit, what was wanted is cut. */
    int reason_len =
        snprintf(reason, sizeof reason, ": %s", strerrordesc_np(sys) ?: "unknown error");
    size_t room = sizeof text - 1 - (size_t)reason_len;
    if (strlen(text) > room) {
        text[room] = '\0';
        drop_half_char(text);
    }
    memcpy(text + strlen(text), reason, (size_t)reason_len + 1);

    fill(err, PST_ESYS, file, line, text);
    err->sys = sys;
    return PST_ESYS;
}

int pst_wrap(struct pst_err *err, const char *fmt, ...)
{
    char text[sizeof err->text];
    va_list ap;

    if (!err)
        return PST_EINTERNAL;
    if (err->rc == PST_OK) { /* a fault that nobody described must not turn into success */
        err->rc = PST_EINTERNAL;
        pst_str_copy(err->text, sizeof err->text, "a fault without description");
    }

    va_start(ap, fmt);
    int len = vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    if (len < 0)
        return err->rc;
    if ((size_t)len < sizeof text)
        len += snprintf(text + len, sizeof text - (size_t)len, ": %s", err->text);
    if ((size_t)len >= sizeof text)
        drop_half_char(text);
    memcpy(err->text, text, sizeof text);
    return err->rc;
}

int pst_unexpected(struct pst_err *err, int rc, const char *what)
{
    return pst_fail(err, PST_EINTERNAL, "%s gave an answer that it must not give (%s)", what,
                    pst_rc_name(rc));
}

void pst_err_problem(struct pst_err *err, const char *problem)
{
    if (!err)
        return;
    size_t len = strnlen(problem, sizeof err->problem - 1);
    memcpy(err->problem, problem, len);
    err->problem[len] = '\0';
    if (problem[len])
        drop_half_char(err->problem);
}

void pst_err_retry(struct pst_err *err, enum pst_retry retry, int64_t at)
{
    if (!err)
        return;
    err->retry = retry;
    err->retry_at = retry == PST_RETRY_AT ? at : 0;
}

void pst_err_clear(struct pst_err *err)
{
    if (err)
        memset(err, 0, sizeof *err);
}

_Noreturn void pst_require_failed_(const char *cond, const char *file, int line)
{
    fprintf(stderr, "%s:%d: this cannot be: !(%s)\n", short_file(file), line, cond);
    abort();
}
