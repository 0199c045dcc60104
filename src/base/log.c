/* log.c - one line per event, built on the stack, written with one write(2). */
#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <postern/clock.h>
#include <postern/err.h>
#include <postern/log.h>
#include <postern/text.h>

#include "base_internal.h"

enum {
    LINE_MAX = 4096, /* with the newline */
    LINE_END = 24,   /* kept free for what must still follow a cut: "...","cut":true}\n */
    GROUPS_MAX = 32,
    GROUP_SIZE = 16,
};

struct line {
    char data[LINE_MAX];
    size_t len;
    bool json;
    bool cut; /* something did not fit: nothing more is added */
};

static const char *const level_names[] = {
    [PST_LOG_ERROR] = "error",
    [PST_LOG_WARN] = "warn",
    [PST_LOG_INFO] = "info",
    [PST_LOG_DEBUG] = "debug",
};

struct levels {
    enum pst_log_level general;
    struct {
        char name[GROUP_SIZE];
        enum pst_log_level level;
    } groups[GROUPS_MAX];
    size_t groups_n;
};

static struct levels levels = {.general = PST_LOG_INFO};
static atomic_bool as_json;
static atomic_int log_fd = 2;

/* Whole pieces only, so that no escape and no character is ever split. */
static bool put(struct line *l, const char *data, size_t len)
{
    /* A closing quote may have gone past the mark already: sums, no differences. */
    if (l->cut || l->len + len > LINE_MAX - LINE_END) {
        l->cut = true;
        return false;
    }
    memcpy(l->data + l->len, data, len);
    l->len += len;
    return true;
}

static bool put_str(struct line *l, const char *s)
{
    return put(l, s, strlen(s));
}

/* What follows even after a cut; LINE_END has room for it. */
static void put_end(struct line *l, const char *s)
{
    memcpy(l->data + l->len, s, strlen(s));
    l->len += strlen(s);
}

/* Characters that move the cursor, hide text or break lines, though they are valid UTF-8. */
static bool is_unsafe(unsigned code)
{
    static const struct {
        unsigned first, last;
    } ranges[] = {
        {0x00, 0x1F},     {0x7F, 0x9F},     {0x61C, 0x61C},   {0x200B, 0x200F},   {0x2028, 0x202E},
        {0x2060, 0x206F}, {0xFEFF, 0xFEFF}, {0xFFF9, 0xFFFB}, {0xE0000, 0xE007F},
    };

    for (size_t i = 0; i < sizeof ranges / sizeof *ranges; i++) {
        if (code >= ranges[i].first && code <= ranges[i].last)
            return true;
    }
    return false;
}

static unsigned code_point(const unsigned char *s, size_t n)
{
    unsigned code = n == 1 ? s[0] : s[0] & (0x7Fu >> n);

    for (size_t i = 1; i < n; i++)
        code = code << 6 | (s[i] & 0x3Fu);
    return code;
}

/* The escape for an unsafe character, in a form that JSON and people both read. */
static bool put_code(struct line *l, unsigned code)
{
    char text[16];

    if (code > 0xFFFF) {
        code -= 0x10000;
        snprintf(text, sizeof text, "\\u%04x\\u%04x", 0xD800 + (code >> 10),
                 0xDC00 + (code & 0x3FF));
    } else if (code == '\n') {
        return put_str(l, "\\n");
    } else {
        snprintf(text, sizeof text, "\\u%04x", code);
    }
    return put_str(l, text);
}

/* A byte that is no UTF-8: JSON has no word for it, so it becomes the replacement character. */
static bool put_bad_byte(struct line *l, unsigned char byte)
{
    char text[8];

    if (l->json)
        return put_str(l, "\\ufffd");
    snprintf(text, sizeof text, "\\x%02x", byte);
    return put_str(l, text);
}

/* Text with escapes; in `quotes` also the quote and the backslash are escaped. */
static void put_escaped(struct line *l, const char *s, bool quotes)
{
    size_t left = strlen(s);
    bool fits = true;

    while (left > 0 && fits) {
        const unsigned char *at = (const unsigned char *)s;
        size_t n = pst_utf8_sequence(at, left);

        if (n == 0) {
            fits = put_bad_byte(l, *at);
            n = 1;
        } else if (is_unsafe(code_point(at, n))) {
            fits = put_code(l, code_point(at, n));
        } else if (quotes && (*s == '"' || *s == '\\')) {
            const char pair[2] = {'\\', *s};
            fits = put(l, pair, 2);
        } else {
            fits = put(l, s, n);
        }
        s += n;
        left -= n;
    }
}

static void put_quoted(struct line *l, const char *s)
{
    if (!put(l, "\"", 1))
        return;
    put_escaped(l, s, true);
    put_end(l, "\"");
}

/* May the value stand without quotes in a key=value line? */
static bool is_plain(const char *s)
{
    if (!*s || strcmp(s, "-") == 0)
        return false;
    for (; *s; s++) {
        if (*s <= ' ' || *s > '~' || strchr("\"\\=", *s))
            return false;
    }
    return true;
}

static void put_text(struct line *l, const char *s)
{
    if (l->json && !s)
        put_str(l, "null");
    else if (!s)
        put_str(l, "-");
    else if (l->json || !is_plain(s))
        put_quoted(l, s);
    else
        put_escaped(l, s, false);
}

/* The key with what stands around it; the value must follow, so it wants a few bytes more. */
static bool put_key(struct line *l, const char *key)
{
    char text[64];

    if (l->json)
        snprintf(text, sizeof text, "%s\"%.48s\":", l->len > 1 ? "," : "", key);
    else
        snprintf(text, sizeof text, " %.48s=", key);

    size_t before = l->len;
    if (put_str(l, text) && l->len + 24 <= LINE_MAX - LINE_END)
        return true;
    l->len = before;
    l->cut = true;
    return false;
}

static void put_field(struct line *l, const struct pst_kv *kv)
{
    char number[24];

    if (!put_key(l, kv->key))
        return;
    switch (kv->kind) {
    case PST_KV_TEXT:
        put_text(l, kv->text);
        break;
    case PST_KV_INT:
        snprintf(number, sizeof number, "%lld", (long long)kv->num);
        put_str(l, number);
        break;
    case PST_KV_BOOL:
        put_str(l, kv->num ? "true" : "false");
        break;
    case PST_KV_SECRET:
        put_str(l, l->json ? "\"***\"" : "***");
        break;
    case PST_KV_END:
        break;
    }
}

static void put_fields(struct line *l, const struct pst_kv *fields)
{
    for (; fields->kind != PST_KV_END && !l->cut; fields++)
        put_field(l, fields);
}

static void start(struct line *l, enum pst_log_level level, const char *group, const char *msg)
{
    char now[PST_TIME_SIZE];

    l->len = 0;
    l->json = as_json;
    l->cut = false;
    pst_time_format(now, pst_wall_ms(pst_clock_system()));

    if (l->json) {
        const struct pst_kv head[] = {pst_kv_s("time", now),
                                      pst_kv_s("level", level_names[level]),
                                      pst_kv_s("group", group),
                                      pst_kv_s("msg", msg),
                                      {PST_KV_END, 0, 0, 0}};
        put_str(l, "{");
        put_fields(l, head);
    } else {
        put_str(l, now);
        put_str(l, " ");
        put_str(l, level_names[level]);
        put_str(l, " ");
        put_escaped(l, group, false);
        put_str(l, ": ");
        put_escaped(l, msg, false);
    }
}

static void finish(struct line *l)
{
    if (l->json)
        put_end(l, l->cut ? ",\"cut\":true}\n" : "}\n");
    else
        put_end(l, l->cut ? "...\n" : "\n");

    /* There is nobody to tell that the log cannot be written. */
    ssize_t n;
    do {
        n = write(log_fd, l->data, l->len);
    } while (n < 0 && errno == EINTR);
}

void pst_log_(enum pst_log_level level, const char *group, const char *msg,
              const struct pst_kv *fields)
{
    struct line l;
    int saved = errno;

    if (pst_log_on(level, group)) {
        start(&l, level, group, msg);
        put_fields(&l, fields);
        finish(&l);
    }
    errno = saved;
}

void pst_log_err_(const char *group, const char *msg, const struct pst_err *err,
                  const struct pst_kv *fields)
{
    struct line l;
    char origin[128] = "";
    int saved = errno;

    if (!pst_log_on(PST_LOG_ERROR, group))
        return;
    start(&l, PST_LOG_ERROR, group, msg);
    put_fields(&l, fields);
    if (err) {
        if (err->file)
            snprintf(origin, sizeof origin, "%s:%d", err->file, err->line);
        const struct pst_kv head[] = {pst_kv_s("err", err->text),
                                      pst_kv_s("code", pst_rc_name(err->rc)),
                                      {PST_KV_END, 0, 0, 0}};
        put_fields(&l, head);
        if (err->problem[0])
            put_field(&l, &pst_kv_s("problem", err->problem));
        if (origin[0])
            put_field(&l, &pst_kv_s("at", origin));
    }
    finish(&l);
    errno = saved;
}

static bool level_by_name(const char *name, size_t len, enum pst_log_level *ret)
{
    for (size_t i = 0; i < sizeof level_names / sizeof *level_names; i++) {
        if (strlen(level_names[i]) == len && memcmp(level_names[i], name, len) == 0) {
            *ret = (enum pst_log_level)i;
            return true;
        }
    }
    return false;
}

/* One part of a specification, "level" or "group=level", into `to`. */
static int read_part(struct levels *to, const char *part, size_t len, bool *general_seen,
                     struct pst_err *err)
{
    const char *equals = memchr(part, '=', len);
    const char *name = equals ? equals + 1 : part;
    enum pst_log_level level;

    if (!level_by_name(name, len - (size_t)(name - part), &level))
        return pst_fail(err, PST_ECONFIG,
                        "log level \"%.*s\" is not known: use error, warn, info or debug, or "
                        "group=level",
                        (int)(len < 64 ? len : 64), part);
    if (!equals) {
        if (*general_seen)
            return pst_fail(err, PST_ECONFIG, "the general log level is given twice");
        *general_seen = true;
        to->general = level;
        return PST_OK;
    }

    size_t group_len = (size_t)(equals - part);
    if (group_len == 0 || group_len >= GROUP_SIZE)
        return pst_fail(err, PST_ECONFIG, "a log group has 1 to %d letters: \"%.*s\"",
                        GROUP_SIZE - 1, (int)(len < 64 ? len : 64), part);
    if (to->groups_n == GROUPS_MAX)
        return pst_fail(err, PST_ECONFIG, "more than %d log groups", GROUPS_MAX);
    memcpy(to->groups[to->groups_n].name, part, group_len);
    to->groups[to->groups_n].name[group_len] = '\0';
    for (size_t i = 0; i < to->groups_n; i++) {
        if (strcmp(to->groups[i].name, to->groups[to->groups_n].name) == 0)
            return pst_fail(err, PST_ECONFIG, "log group %s is given twice", to->groups[i].name);
    }
    to->groups[to->groups_n++].level = level;
    return PST_OK;
}

static int read_levels(struct levels *ret, const char *spec, struct pst_err *err)
{
    bool general_seen = false;

    *ret = (struct levels){.general = PST_LOG_INFO};
    for (const char *part = spec;;) {
        size_t len = strcspn(part, ",");
        int rc = read_part(ret, part, len, &general_seen, err);
        if (rc != PST_OK)
            return rc;
        part += len;
        if (!*part)
            return PST_OK;
        part++;
    }
}

int pst_log_check_levels(const char *spec, struct pst_err *err)
{
    struct levels fresh;

    return read_levels(&fresh, spec, err);
}

int pst_log_set_levels(const char *spec, struct pst_err *err)
{
    struct levels fresh;

    int rc = read_levels(&fresh, spec, err);
    if (rc == PST_OK)
        levels = fresh;
    return rc;
}

void pst_log_set_json(bool json)
{
    as_json = json;
}

void pst_log_set_fd(int fd)
{
    log_fd = fd;
}

bool pst_log_on(enum pst_log_level level, const char *group)
{
    for (size_t i = 0; i < levels.groups_n; i++) {
        if (strcmp(levels.groups[i].name, group) == 0)
            return level <= levels.groups[i].level;
    }
    return level <= levels.general;
}
