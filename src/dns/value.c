/* value.c - TXT values as providers write them, and percent-encoding. */
#include <string.h>

#include "dns_internal.h"

/* One escape of RFC 1035 section 5.1 behind a backslash; what it is worth, or -1. */
static int escaped(const char **at)
{
    const char *s = *at;

    if (s[0] >= '0' && s[0] <= '9') {
        if (!(s[1] >= '0' && s[1] <= '9' && s[2] >= '0' && s[2] <= '9'))
            return -1;
        int n = (s[0] - '0') * 100 + (s[1] - '0') * 10 + (s[2] - '0');
        *at += 3;
        return n <= 255 ? n : -1;
    }
    if (!s[0])
        return -1;
    (*at)++;
    return (unsigned char)s[0];
}

bool pst_dns_unquote(const char *s, struct pst_buf *to)
{
    if (s[0] != '"') {
        pst_buf_str(to, s);
        return !to->no_memory && !to->too_long;
    }
    while (*s == '"') {
        for (s++; *s && *s != '"';) {
            int c = (unsigned char)*s++;
            if (c == '\\')
                c = escaped(&s);
            if (c < 0)
                return false;
            pst_buf_char(to, (char)c);
        }
        if (*s != '"')
            return false;
        s++;
        s += strspn(s, " \t");
    }
    return *s == '\0' && !to->no_memory && !to->too_long;
}

void pst_dns_quote(struct pst_buf *to, const char *value)
{
    pst_buf_char(to, '"');
    pst_buf_str(to, value);
    pst_buf_char(to, '"');
}

static bool unreserved(unsigned char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
           c == '.' || c == '_' || c == '~';
}

void pst_dns_escape(struct pst_buf *to, const char *s, const char *keep)
{
    for (; *s; s++) {
        unsigned char c = (unsigned char)*s;

        if (unreserved(c) || strchr(keep, c))
            pst_buf_char(to, (char)c);
        else
            pst_buf_printf(to, "%%%02X", c);
    }
}
