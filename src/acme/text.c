/* text.c - small work on the words and texts that a CA sends. */
#include <postern/text.h>
#include <stdio.h>
#include <string.h>

#include "acme_internal.h"

unsigned pst_acme_word(const char *const *words, unsigned n, const char *s, unsigned other)
{
    for (unsigned i = 0; s && i < n; i++)
        if (pst_streq(words[i], s))
            return i;
    return other;
}

/* Length of the UTF-8 character at s (which is known to be well formed), and its code point. */
static size_t decode(const char *s, unsigned *ret)
{
    const unsigned char *u = (const unsigned char *)s;

    if (u[0] < 0x80) {
        *ret = u[0];
        return 1;
    }
    if (u[0] < 0xe0) {
        *ret = (u[0] & 0x1fu) << 6 | (u[1] & 0x3fu);
        return 2;
    }
    if (u[0] < 0xf0) {
        *ret = (u[0] & 0x0fu) << 12 | (u[1] & 0x3fu) << 6 | (u[2] & 0x3fu);
        return 3;
    }
    *ret = 0x10000; /* beyond what is asked about */
    return 4;
}

/* Controls, line separators, and what turns the direction of writing (it can hide text). */
static bool must_escape(unsigned c)
{
    return c < 0x20 || (c >= 0x7f && c < 0xa0) || (c >= 0x200b && c <= 0x200f) ||
           (c >= 0x2028 && c <= 0x202e) || (c >= 0x2060 && c <= 0x2069) || c == 0xfeff;
}

void pst_acme_show(char *to, size_t to_size, const char *from)
{
    size_t at = 0;

    if (!from || !pst_utf8_ok(from, strlen(from)))
        from = "";
    while (*from) {
        unsigned c;
        char escaped[16];
        size_t len = decode(from, &c), n = len;
        const char *piece = from;
        if (must_escape(c)) {
            n = (size_t)snprintf(escaped, sizeof escaped, "\\u%04x", c);
            piece = escaped;
        }
        if (at + n >= to_size)
            break;
        memcpy(to + at, piece, n);
        at += n;
        from += len;
    }
    to[at] = '\0';
}

int64_t pst_acme_time_member(const struct pst_json *obj, const char *key)
{
    const char *text = pst_json_get_text(obj, key);
    int64_t ms = 0;

    return text && pst_time_parse(text, &ms) ? ms / 1000 : 0;
}

bool pst_acme_copy(const struct pst_json *j, size_t max, char **ret)
{
    const char *text = pst_json_text(j);

    if (!text || strlen(text) > max)
        return true;
    *ret = pst_strdup(text);
    return *ret != NULL;
}

bool pst_acme_copy_list(const struct pst_json *arr, size_t max, size_t most, char ***ret,
                        size_t *ret_n)
{
    size_t n = pst_json_type(arr) == PST_JSON_ARRAY ? pst_json_len(arr) : 0;
    size_t kept = 0;

    if (n > most)
        n = most;
    if (n == 0)
        return true;
    char **list = pst_zalloc(n, sizeof *list);
    if (!list)
        return false;
    for (size_t i = 0; i < n; i++) {
        if (!pst_acme_copy(pst_json_at(arr, i), max, &list[kept])) {
            pst_acme_free_list(list, kept);
            return false;
        }
        kept += list[kept] != NULL;
    }
    *ret = list;
    *ret_n = kept;
    return true;
}

void pst_acme_free_list(char **list, size_t n)
{
    for (size_t i = 0; i < n; i++)
        pst_free(list[i]);
    pst_free(list);
}

bool pst_acme_is_b64url(const char *s, size_t max)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

    return s && s[0] && strlen(s) <= max && strspn(s, digits) == strlen(s);
}
