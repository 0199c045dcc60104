/* headers.c - the answer: its head line by line, and the headers that need understanding. */
#include <postern/err.h>
#include <postern/text.h>
#include <stdio.h>
#include <string.h>

#include "http_internal.h"

/* ---- the head of an answer ---- */

static bool is_blank(char c)
{
    return c == ' ' || c == '\t';
}

/* "HTTP/1.1 200 OK" begins an answer; an interim one (1xx) is followed by another. */
static bool status_line(struct pst_http_response *r, const char *line, size_t len,
                        const char **ret_why)
{
    const char *blank = memchr(line, ' ', len);
    size_t at = blank ? (size_t)(blank - line) + 1 : len;

    if (len < at + 3) {
        *ret_why = "the status line is not well formed";
        return false;
    }
    int status = 0;
    for (size_t i = at; i < at + 3; i++) {
        if (line[i] < '0' || line[i] > '9') {
            *ret_why = "the status is not a number";
            return false;
        }
        status = status * 10 + (line[i] - '0');
    }
    r->status = status;
    r->headers_n = 0;
    r->head_done = false;
    pst_buf_cut(&r->headers, 0);
    return true;
}

bool pst_http_head_line(struct pst_http_response *r, const char *line, size_t len,
                        const char **ret_why)
{
    while (len > 0 && (line[len - 1] == '\n' || line[len - 1] == '\r'))
        len--;
    if (len >= 5 && memcmp(line, "HTTP/", 5) == 0)
        return status_line(r, line, len, ret_why);
    if (len == 0)
        r->head_done = true;
    if (r->head_done)
        return true; /* trailers say nothing that we would believe */

    const char *colon = memchr(line, ':', len);
    if (!colon || colon == line || is_blank(line[0]) || memchr(line, '\0', len)) {
        *ret_why = "a header is not well formed";
        return false;
    }
    if (r->headers_n == PST_HTTP_ANSWER_HEADERS_MAX) {
        *ret_why = "too many headers";
        return false;
    }
    const char *value = colon + 1, *end = line + len;
    while (value < end && is_blank(*value))
        value++;
    while (end > value && is_blank(end[-1]))
        end--;
    pst_buf_add(&r->headers, line, (size_t)(colon - line));
    pst_buf_char(&r->headers, '\0');
    pst_buf_add(&r->headers, value, (size_t)(end - value));
    pst_buf_char(&r->headers, '\0');
    r->headers_n++;
    if (r->headers.too_long)
        *ret_why = "the headers are longer than allowed";
    return !r->headers.too_long && !r->headers.no_memory;
}

void pst_http_response_free(struct pst_http_response *r)
{
    if (!r)
        return;
    pst_buf_wipe(&r->headers);
    pst_buf_wipe(&r->body); /* may hold a token */
    pst_free(r);
}

int pst_http_status(const struct pst_http_response *r)
{
    return r->status;
}

const char *pst_http_body(const struct pst_http_response *r, size_t *ret_len)
{
    if (ret_len)
        *ret_len = r->body.len;
    return pst_buf_cstr(&r->body);
}

const char *pst_http_header(const struct pst_http_response *r, const char *name, size_t i)
{
    const char *p = pst_buf_cstr(&r->headers);

    for (size_t k = 0; k < r->headers_n; k++) {
        const char *value = p + strlen(p) + 1;
        if (pst_strcaseeq(p, name) && i-- == 0)
            return value;
        p = value + strlen(value) + 1;
    }
    return NULL;
}

bool pst_http_is_type(const struct pst_http_response *r, const char *type)
{
    const char *value = pst_http_header(r, "Content-Type", 0);
    size_t len = strlen(type);

    if (!value || strncasecmp(value, type, len) != 0)
        return false;
    value += len;
    while (is_blank(*value))
        value++;
    return *value == '\0' || *value == ';';
}

/* ---- dates and Retry-After ---- */

/*
 * The three forms of RFC 9110 section 5.6.7 behind the day's name, which is not checked against
 * the date.  d, y, h, n, s: a digit of day, year, hour, minute, second; _: a digit of the day or a
 * blank; mmm: the month; all else stands for itself.
 */
static const char *const date_forms[] = {
    ", dd mmm yyyy hh:nn:ss GMT", /* IMF-fixdate */
    ", dd-mmm-yy hh:nn:ss GMT",   /* RFC 850 */
    " mmm _d hh:nn:ss yyyy",      /* asctime */
};

struct date_parts {
    int day, month, year, hour, minute, second;
    int year_digits;
};

static int month_of(const char *s)
{
    static const char names[] = "JanFebMarAprMayJunJulAugSepOctNovDec";

    for (int i = 0; i < 12; i++)
        if (strncmp(s, names + 3 * i, 3) == 0)
            return i + 1;
    return 0;
}

static int *part_of(struct date_parts *to, char form)
{
    switch (form) {
    case '_':
    case 'd':
        return &to->day;
    case 'y':
        return &to->year;
    case 'h':
        return &to->hour;
    case 'n':
        return &to->minute;
    case 's':
        return &to->second;
    default:
        return NULL;
    }
}

static bool match_date(const char *form, const char *s, struct date_parts *to)
{
    *to = (struct date_parts){0};
    for (; *form; form++, s++) {
        int *part = part_of(to, *form);
        if (*form == 'm') {
            to->month = month_of(s);
            if (!to->month)
                return false;
            form += 2;
            s += 2;
        } else if (part && *s >= '0' && *s <= '9') {
            *part = *part * 10 + (*s - '0');
            to->year_digits += *form == 'y';
        } else if (*form == '_' ? *s != ' ' : part || *s != *form) {
            return false;
        }
    }
    return *s == '\0';
}

bool pst_http_date_parse(const char *value, int64_t *ret_unix_s)
{
    struct date_parts d;
    char text[64];
    int64_t ms;
    const char *s = value ? value : "";

    while ((*s >= 'A' && *s <= 'Z') || (*s >= 'a' && *s <= 'z'))
        s++;
    if (s - (value ? value : s) < 3)
        return false;
    bool found = false;
    for (size_t i = 0; !found && i < PST_ARRAY_N(date_forms); i++)
        found = match_date(date_forms[i], s, &d);
    if (!found)
        return false;
    if (d.year_digits == 2)
        d.year += d.year >= 70 ? 1900 : 2000;
    if (d.second == 60)
        d.second = 59; /* a leap second, which Unix time does not have */
    snprintf(text, sizeof text, "%04d-%02d-%02dT%02d:%02d:%02dZ", d.year, d.month, d.day, d.hour,
             d.minute, d.second);
    if (!pst_time_parse(text, &ms))
        return false;
    *ret_unix_s = ms / 1000;
    return true;
}

bool pst_http_retry_after_parse(const char *value, int64_t now, int64_t *ret_s)
{
    int64_t s, at;

    if (!value)
        return false;
    if (pst_parse_i64(value, 0, INT32_MAX, &s)) {
        *ret_s = s;
        return true;
    }
    if (!pst_http_date_parse(value, &at) || at < now)
        return false;
    *ret_s = at - now < INT32_MAX ? at - now : INT32_MAX;
    return true;
}

int64_t pst_http_retry_after(const struct pst_http_response *r, int64_t now, int64_t default_s)
{
    int64_t s;

    if (!pst_http_retry_after_parse(pst_http_header(r, "Retry-After", 0), now, &s))
        return default_s;
    if (s < 1)
        return 1;
    return s < PST_HTTP_RETRY_AFTER_MAX_S ? s : PST_HTTP_RETRY_AFTER_MAX_S;
}

/* ---- Link (RFC 8288 section 3) ---- */

/* One parameter of a link: a token, or a quoted string with its escapes taken out.  A value that
 * is longer than the array is cut: no relation that we look for is that long. */
struct link_param {
    char name[32];
    char value[256];
};

static const char *skip_blanks(const char *s)
{
    while (is_blank(*s))
        s++;
    return s;
}

static void put(char *to, size_t size, size_t *at, char c)
{
    if (*at + 1 < size)
        to[(*at)++] = c;
    to[*at] = '\0';
}

/* Read `name`, `name=token` or `name="quoted"`; gives what follows, NULL when it is not one. */
static const char *link_param(const char *s, struct link_param *to)
{
    size_t n = 0, v = 0;

    *to = (struct link_param){0};
    while (*s && !strchr(" \t=;,\"", *s))
        put(to->name, sizeof to->name, &n, *s++);
    s = skip_blanks(s);
    if (*s != '=')
        return n > 0 ? s : NULL;
    s = skip_blanks(s + 1);
    if (*s != '"') {
        while (*s && !strchr(" \t;,\"", *s))
            put(to->value, sizeof to->value, &v, *s++);
        return n > 0 ? s : NULL;
    }
    for (s++; *s && *s != '"'; s++) {
        if (*s == '\\' && s[1])
            s++;
        put(to->value, sizeof to->value, &v, *s);
    }
    return n > 0 && *s == '"' ? s + 1 : NULL;
}

/* Is `rel` one of the relations, which are parted by blanks and have no case? */
static bool has_rel(const char *relations, const char *rel)
{
    size_t len = strlen(rel);

    for (const char *s = skip_blanks(relations); *s; s = skip_blanks(s)) {
        size_t n = strcspn(s, " \t");
        if (n == len && strncasecmp(s, rel, n) == 0)
            return true;
        s += n;
    }
    return false;
}

bool pst_http_link_find(const char *value, const char *rel, size_t *io_i, const char **ret,
                        size_t *ret_len)
{
    const char *s = value;

    for (;;) {
        while (is_blank(*s) || *s == ',')
            s++;
        if (*s != '<')
            return false; /* the end, or nothing that can be read on */
        const char *target = s + 1;
        const char *end = strchr(target, '>');
        if (!end)
            return false;

        bool matches = false, rel_seen = false, anchored = false;
        s = skip_blanks(end + 1);
        while (*s == ';') {
            struct link_param p;
            s = skip_blanks(s + 1);
            if (*s == ';' || *s == ',' || *s == '\0')
                continue; /* an empty parameter is allowed */
            s = link_param(s, &p);
            if (!s)
                return false;
            anchored = anchored || pst_strcaseeq(p.name, "anchor");
            if (pst_strcaseeq(p.name, "rel") && !rel_seen) {
                rel_seen = true; /* only the first counts, says the RFC */
                matches = has_rel(p.value, rel);
            }
            s = skip_blanks(s);
        }
        if (matches && !anchored && (*io_i)-- == 0) {
            *io_i = 0;
            *ret = target;
            *ret_len = (size_t)(end - target);
            return true;
        }
        if (*s != ',')
            return false;
    }
}

bool pst_http_link(const struct pst_http_response *r, const char *rel, size_t i, char *to,
                   size_t to_size)
{
    const char *value;

    for (size_t k = 0; (value = pst_http_header(r, "Link", k)); k++) {
        const char *target;
        size_t len;
        if (!pst_http_link_find(value, rel, &i, &target, &len))
            continue;
        if (len >= to_size)
            return false;
        memcpy(to, target, len);
        to[len] = '\0';
        return true;
    }
    return false;
}
