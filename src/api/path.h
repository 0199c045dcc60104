/*
 * path.h - request targets and query strings, taken apart.
 *
 * A path is split at '/' first and each segment is decoded afterwards, so that an encoded slash is
 * a character of a segment and never a border between two.  All pure.
 */
#ifndef POSTERN_API_PATH_H
#define POSTERN_API_PATH_H

#include <stdbool.h>
#include <stddef.h>

struct pst_err;

enum {
    PST_TARGET_MAX = 4096, /* bytes of a request target */
    PST_PATH_SEGMENTS_MAX = 12,
    PST_QUERY_MAX = 16,
};

struct pst_target {
    char text[PST_TARGET_MAX + 1]; /* decoded in place: what the pointers point into */
    const char *seg[PST_PATH_SEGMENTS_MAX];
    size_t seg_n;
    struct pst_query_arg {
        const char *key, *value;
    } query[PST_QUERY_MAX];
    size_t query_n;
};

/*
 * Take a raw request target apart: "/a/b?x=1", or the same behind "http://host" (RFC 9112 section
 * 3.2.2).  "/" alone has no segments.  An empty query is no query.
 *
 * PST_OK, or PST_REFUSED with a sentence: too long, too many parts, a broken percent code, an
 * encoded NUL, not UTF-8, a dot segment, an empty segment.
 */
int pst_target_parse(struct pst_target *t, const char *raw, struct pst_err *err);

/* Decode percent codes in place.  False: a broken code, a NUL, or not UTF-8. */
bool pst_percent_decode(char *s);
/* The same where a plus is a blank, as in a form. */
bool pst_form_decode(char *s);

/* The value of a query argument ("" when it has none); NULL when it is not there.  The first one
 * counts. */
const char *pst_target_query(const struct pst_target *t, const char *key);

#endif
