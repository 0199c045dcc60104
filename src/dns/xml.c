/*
 * xml.c - the little XML that Route 53 speaks.  A document is checked as a whole first; only then
 * are elements looked up in it.  What no such answer contains (document types, entities of its own,
 * comments, CDATA) is refused instead of understood.
 */
#include <string.h>

#include "dns_internal.h"

enum { DEPTH_MAX = 32, NAME_MAX_ = 63 };

struct cursor {
    const char *at;
    const char *end;
};

struct element {
    const char *name;
    size_t name_len;
    struct pst_xml content;
};

static bool is_space(char c)
{
    return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

static void skip_space(struct cursor *c)
{
    while (c->at < c->end && is_space(*c->at))
        c->at++;
}

static bool is_name(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
           c == '_' || c == '.' || c == ':';
}

static bool take(struct cursor *c, char wanted)
{
    if (c->at == c->end || *c->at != wanted)
        return false;
    c->at++;
    return true;
}

static bool take_name(struct cursor *c, const char **ret, size_t *ret_len)
{
    *ret = c->at;
    while (c->at < c->end && is_name(*c->at))
        c->at++;
    *ret_len = (size_t)(c->at - *ret);
    return *ret_len > 0 && *ret_len <= NAME_MAX_;
}

/* name="value", between a tag's name and its end. */
static bool skip_attributes(struct cursor *c)
{
    for (;;) {
        const char *before = c->at, *name;
        size_t len;

        skip_space(c);
        if (c->at == c->end)
            return false;
        if (*c->at == '>' || *c->at == '/' || *c->at == '?')
            return true;
        if (before == c->at || !take_name(c, &name, &len) || !take(c, '='))
            return false;
        char quote = c->at < c->end ? *c->at : '\0';
        if (quote != '"' && quote != '\'')
            return false;
        for (c->at++; c->at < c->end && *c->at != quote; c->at++) {
            if (*c->at == '<')
                return false;
        }
        if (!take(c, quote))
            return false;
    }
}

static const struct {
    const char *name;
    char c;
} entities[] = {{"amp;", '&'}, {"lt;", '<'}, {"gt;", '>'}, {"quot;", '"'}, {"apos;", '\''}};

/* Behind '&': the character, 0 when it is none of the five or a number below 128. */
static char take_entity(struct cursor *c)
{
    size_t left = (size_t)(c->end - c->at);

    for (size_t i = 0; i < PST_ARRAY_N(entities); i++) {
        size_t len = strlen(entities[i].name);
        if (left >= len && memcmp(c->at, entities[i].name, len) == 0) {
            c->at += len;
            return entities[i].c;
        }
    }
    if (!take(c, '#'))
        return 0;
    unsigned base = take(c, 'x') ? 16 : 10, n = 0;
    while (c->at < c->end && *c->at != ';' && n < 128) {
        char d = *c->at++;
        unsigned digit = d >= '0' && d <= '9'   ? (unsigned)(d - '0')
                         : d >= 'a' && d <= 'f' ? (unsigned)(d - 'a') + 10
                         : d >= 'A' && d <= 'F' ? (unsigned)(d - 'A') + 10
                                                : 99;
        if (digit >= base)
            return 0;
        n = n * base + digit;
    }
    return take(c, ';') && n > 0 && n < 128 ? (char)n : 0;
}

static bool skip_text(struct cursor *c)
{
    while (c->at < c->end && *c->at != '<') {
        if (*c->at++ == '&' && !take_entity(c))
            return false;
    }
    return c->at < c->end;
}

/* The tag that begins here; *ret_empty: it is "<name/>". */
static bool open_tag(struct cursor *c, struct element *ret, bool *ret_empty)
{
    if (!take(c, '<') || !take_name(c, &ret->name, &ret->name_len) || !skip_attributes(c))
        return false;
    *ret_empty = take(c, '/');
    return take(c, '>');
}

/* One element with all that is in it, without recursion: its depth is counted, and the names of
 * open elements are kept. */
static bool take_element(struct cursor *c, struct element *ret)
{
    struct element open[DEPTH_MAX];
    size_t depth = 0;

    do {
        bool empty = false;
        if (depth > 0 && !skip_text(c))
            return false;
        if (c->end - c->at >= 2 && c->at[1] == '/' && depth > 0) {
            struct element *e = &open[depth - 1];
            const char *name, *close = c->at;
            size_t len;

            c->at += 2;
            if (!take_name(c, &name, &len) || len != e->name_len || memcmp(name, e->name, len) != 0)
                return false;
            skip_space(c);
            if (!take(c, '>'))
                return false;
            e->content.len = (size_t)(close - e->content.at);
            depth--;
            continue;
        }
        if (depth == DEPTH_MAX || !open_tag(c, &open[depth], &empty))
            return false;
        open[depth].content = (struct pst_xml){c->at, 0};
        if (!empty)
            depth++;
    } while (depth > 0);
    *ret = open[0];
    return true;
}

bool pst_xml_root(const char *text, size_t len, char name[64], struct pst_xml *ret)
{
    struct cursor c = {text, text + len};
    struct element e;

    if (memchr(text, 0, len))
        return false;
    skip_space(&c);
    if (c.end - c.at > 5 && memcmp(c.at, "<?xml", 5) == 0) {
        c.at += 5;
        if (!skip_attributes(&c) || !take(&c, '?') || !take(&c, '>'))
            return false;
        skip_space(&c);
    }
    if (!take_element(&c, &e))
        return false;
    skip_space(&c);
    if (c.at != c.end)
        return false;
    memcpy(name, e.name, e.name_len);
    name[e.name_len] = '\0';
    *ret = e.content;
    return true;
}

bool pst_xml_child(const struct pst_xml *in, const char *name, size_t i, struct pst_xml *ret)
{
    struct cursor c = {in->at, in->at + in->len};
    size_t len = strlen(name);

    while (c.at < c.end) {
        struct element e;

        if (!skip_text(&c) || !take_element(&c, &e))
            return false;
        if (e.name_len == len && memcmp(e.name, name, len) == 0 && i-- == 0) {
            *ret = e.content;
            return true;
        }
    }
    return false;
}

/* The next character of a text; 0 at an element or what cannot be. */
static char next_char(struct cursor *c)
{
    char ch = *c->at++;
    return ch == '<' ? 0 : ch == '&' ? take_entity(c) : ch;
}

bool pst_xml_text(const struct pst_xml *in, struct pst_buf *to)
{
    struct cursor c = {in->at, in->at + in->len};

    while (c.at < c.end) {
        char ch = next_char(&c);
        if (!ch)
            return false;
        pst_buf_char(to, ch);
    }
    return !to->no_memory && !to->too_long;
}

void pst_xml_copy(const struct pst_xml *in, char *to, size_t to_size)
{
    struct cursor c = {in->at, in->at + in->len};
    size_t n = 0;

    while (c.at < c.end && n + 1 < to_size) {
        char ch = next_char(&c);
        if (!ch) {
            n = 0;
            break;
        }
        to[n++] = ch;
    }
    to[n] = '\0';
}

void pst_xml_escape(struct pst_buf *to, const char *s)
{
    for (; *s; s++) {
        if (*s == '&')
            pst_buf_str(to, "&amp;");
        else if (*s == '<')
            pst_buf_str(to, "&lt;");
        else if (*s == '>')
            pst_buf_str(to, "&gt;");
        else
            pst_buf_char(to, *s);
    }
}
