#include "path.h"

#include <string.h>

#include <postern/base.h>

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    if (c >= 'A' && c <= 'F')
        return c - 'A' + 10;
    return -1;
}

/* Decode a NUL-terminated part in place. */
static int decode(char *s, bool plus_is_blank, struct pst_err *err)
{
    char *to = s;

    for (const char *p = s; *p; p++) {
        if (*p == '+' && plus_is_blank) {
            *to++ = ' ';
            continue;
        }
        if (*p != '%') {
            if ((unsigned char)*p < 0x21 || *p == 0x7f)
                return pst_fail(err, PST_REFUSED, "the URL holds a control character or a blank");
            *to++ = *p;
            continue;
        }
        int high = hex_digit(p[1]);
        int low = high < 0 ? -1 : hex_digit(p[2]);
        if (low < 0)
            return pst_fail(err, PST_REFUSED,
                            "the URL holds a %% that two hexadecimal digits do not follow");
        if (high == 0 && low == 0)
            return pst_fail(err, PST_REFUSED, "the URL holds an encoded NUL");
        *to++ = (char)(high << 4 | low);
        p += 2;
    }
    *to = '\0';
    if (!pst_utf8_ok(s, (size_t)(to - s)))
        return pst_fail(err, PST_REFUSED, "the URL is not UTF-8");
    return PST_OK;
}

static int add_segment(struct pst_target *t, char *s, struct pst_err *err)
{
    if (t->seg_n == PST_PATH_SEGMENTS_MAX)
        return pst_fail(err, PST_REFUSED, "the URL's path has too many parts");
    int rc = decode(s, false, err);
    if (rc != PST_OK)
        return rc;
    /* A proxy in front may resolve these, we would not: refuse what two readers read differently.
     */
    if (s[0] == '\0' || pst_streq(s, ".") || pst_streq(s, ".."))
        return pst_fail(err, PST_REFUSED, "the URL's path has an empty part or a dot part");
    t->seg[t->seg_n++] = s;
    return PST_OK;
}

static int split_path(struct pst_target *t, char *path, struct pst_err *err)
{
    char *s = path + 1;

    if (*s == '\0')
        return PST_OK;
    for (;;) {
        char *end = strchr(s, '/');
        if (end)
            *end = '\0';
        int rc = add_segment(t, s, err);
        if (rc != PST_OK || !end)
            return rc;
        s = end + 1;
    }
}

static int add_argument(struct pst_target *t, char *s, struct pst_err *err)
{
    char *value = strchr(s, '=');

    if (value)
        *value++ = '\0';
    else
        value = s + strlen(s);
    int rc = decode(s, true, err);
    if (rc == PST_OK)
        rc = decode(value, true, err);
    if (rc != PST_OK)
        return rc;
    if (t->query_n == PST_QUERY_MAX)
        return pst_fail(err, PST_REFUSED, "the URL has too many query arguments");
    t->query[t->query_n++] = (struct pst_query_arg){s, value};
    return PST_OK;
}

static int split_query(struct pst_target *t, char *s, struct pst_err *err)
{
    while (*s) {
        char *end = strchr(s, '&');
        if (end)
            *end = '\0';
        if (*s) {
            int rc = add_argument(t, s, err);
            if (rc != PST_OK)
                return rc;
        }
        if (!end)
            break;
        s = end + 1;
    }
    return PST_OK;
}

int pst_target_parse(struct pst_target *t, const char *raw, struct pst_err *err)
{
    t->seg_n = t->query_n = 0;
    if (!pst_str_copy(t->text, sizeof t->text, raw))
        return pst_fail(err, PST_REFUSED, "the URL is longer than %d bytes", PST_TARGET_MAX);

    char *path = t->text;
    if (*path != '/') {
        char *host = strstr(path, "://");
        bool http = host && (host - path == 4 || host - path == 5);
        if (!http || (strncasecmp(path, "http:", 5) != 0 && strncasecmp(path, "https:", 6) != 0))
            return pst_fail(err, PST_REFUSED, "the URL's path does not begin with /");
        path = host + 3 + strcspn(host + 3, "/?");
        if (*path != '/')
            return pst_fail(err, PST_REFUSED, "the URL has no path");
    }
    char *query = strchr(path, '?');
    if (query)
        *query++ = '\0';
    int rc = split_path(t, path, err);
    if (rc == PST_OK && query)
        rc = split_query(t, query, err);
    return rc;
}

const char *pst_target_query(const struct pst_target *t, const char *key)
{
    for (size_t i = 0; i < t->query_n; i++)
        if (pst_streq(t->query[i].key, key))
            return t->query[i].value;
    return NULL;
}

bool pst_percent_decode(char *s)
{
    return decode(s, false, NULL) == PST_OK;
}

bool pst_form_decode(char *s)
{
    return decode(s, true, NULL) == PST_OK;
}
