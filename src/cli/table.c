/* table.c - text for terminals and pipes. */
#include "cli_internal.h"

#include <string.h>

/* ---- UTF-8 ---- */

/* The next character; broken bytes give U+FFFD one by one. */
static uint32_t next_char(const char **p)
{
    const unsigned char *s = (const unsigned char *)*p;
    int more = s[0] < 0x80 ? 0 : s[0] >= 0xf0 ? 3 : s[0] >= 0xe0 ? 2 : s[0] >= 0xc2 ? 1 : -1;
    uint32_t c = s[0];

    if (more > 0 && pst_utf8_ok(*p, strnlen(*p, (size_t)more + 1)) &&
        strnlen(*p, (size_t)more + 1) == (size_t)more + 1) {
        c = s[0] & (0x3fU >> more);
        for (int i = 1; i <= more; i++)
            c = c << 6 | (s[i] & 0x3f);
        *p += more + 1;
        return c;
    }
    *p += 1;
    return more == 0 ? c : 0xfffd;
}

struct range {
    uint32_t first, last;
};

static bool in(uint32_t c, const struct range *r, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (c >= r[i].first && c <= r[i].last)
            return true;
    return false;
}

/* As terminals do it: marks take no column, East Asian wide characters and emoji two. */
static size_t char_width(uint32_t c)
{
    static const struct range none[] = {
        {0x0300, 0x036f}, {0x0483, 0x0489}, {0x0591, 0x05bd}, {0x0610, 0x061a}, {0x064b, 0x065f},
        {0x1ab0, 0x1aff}, {0x1dc0, 0x1dff}, {0x200b, 0x200f}, {0x202a, 0x202e}, {0x2060, 0x2064},
        {0x20d0, 0x20ff}, {0xfe00, 0xfe0f}, {0xfe20, 0xfe2f}, {0xfeff, 0xfeff},
    };
    static const struct range two[] = {
        {0x1100, 0x115f},   {0x2e80, 0x303e},   {0x3041, 0x33ff},   {0x3400, 0x4dbf},
        {0x4e00, 0x9fff},   {0xa000, 0xa4cf},   {0xac00, 0xd7a3},   {0xf900, 0xfaff},
        {0xfe30, 0xfe6f},   {0xff00, 0xff60},   {0xffe0, 0xffe6},   {0x1f300, 0x1f64f},
        {0x1f680, 0x1f6ff}, {0x1f900, 0x1f9ff}, {0x20000, 0x3fffd},
    };

    if (in(c, none, PST_ARRAY_N(none)))
        return 0;
    return in(c, two, PST_ARRAY_N(two)) ? 2 : 1;
}

size_t cli_width(const char *text)
{
    size_t width = 0;

    while (*text)
        width += char_width(next_char(&text));
    return width;
}

/* Names, reasons and evidence come from strangers' DNS and HTTP servers. */
static bool commands_terminal(uint32_t c)
{
    return c < 0x20 || (c >= 0x7f && c < 0xa0) || (c >= 0x202a && c <= 0x202e) ||
           (c >= 0x2066 && c <= 0x2069);
}

void cli_clean(struct pst_buf *to, const char *text)
{
    while (*text) {
        const char *from = text;
        uint32_t c = next_char(&text);
        if (c == 0xfffd || commands_terminal(c))
            pst_buf_str(to, "\xef\xbf\xbd");
        else
            pst_buf_add(to, from, (size_t)(text - from));
    }
}

void cli_line(const char *fmt, ...)
{
    auto_buf struct pst_buf raw = PST_BUF(64 * 1024), clean = PST_BUF(256 * 1024);
    va_list ap;

    va_start(ap, fmt);
    pst_buf_vprintf(&raw, fmt, ap);
    va_end(ap);
    cli_clean(&clean, pst_buf_cstr(&raw));
    printf("%s\n", pst_buf_cstr(&clean));
}

/* ---- tables ---- */

enum { COLUMNS_MAX = 12, TABLE_MAX = 16 * 1024 * 1024 };

struct cli_table {
    const char *heads[COLUMNS_MAX];
    size_t n;
    size_t widths[COLUMNS_MAX];
    struct pst_buf cells; /* NUL-terminated, row by row */
    size_t rows_n;
};

int cli_table_new(struct cli_table **ret, const char *const *heads, size_t n, struct pst_err *err)
{
    struct cli_table *t = pst_zalloc(1, sizeof *t);

    pst_require(n <= COLUMNS_MAX);
    if (!t)
        return pst_fail_nomem(err, "a table");
    t->n = n;
    t->cells = (struct pst_buf)PST_BUF(TABLE_MAX);
    for (size_t i = 0; i < n; i++) {
        t->heads[i] = heads[i];
        t->widths[i] = cli_width(heads[i]);
    }
    *ret = t;
    return PST_OK;
}

void cli_table_free(struct cli_table *t)
{
    pst_buf_deinit(&t->cells);
    pst_free(t);
}

void cli_table_add(struct cli_table *t, const char *const *cells)
{
    for (size_t i = 0; i < t->n; i++) {
        size_t at = t->cells.len;
        cli_clean(&t->cells, cells[i] && *cells[i] ? cells[i] : "-");
        pst_buf_char(&t->cells, '\0');
        if (t->cells.no_memory || t->cells.too_long)
            return;
        size_t width = cli_width(t->cells.data + at);
        if (width > t->widths[i])
            t->widths[i] = width;
    }
    t->rows_n++;
}

static void print_cell(const struct cli_table *t, size_t column, const char *text, bool tty,
                       FILE *to)
{
    bool last = column + 1 == t->n;

    fputs(text, to);
    if (last)
        fputc('\n', to);
    else if (!tty)
        fputc('\t', to);
    else
        fprintf(to, "%*s", (int)(t->widths[column] - cli_width(text) + 2), "");
}

static void print_heading(const struct cli_table *t, FILE *to)
{
    for (size_t i = 0; i < t->n; i++)
        print_cell(t, i, t->heads[i], true, to);
    for (size_t i = 0; i < t->n; i++) {
        for (size_t k = 0; k < t->widths[i]; k++)
            fputs("\xe2\x94\x80", to);
        fputs(i + 1 == t->n ? "\n" : "  ", to);
    }
}

int cli_table_print(const struct cli_table *t, bool tty, FILE *to, struct pst_err *err)
{
    int rc = pst_buf_check(&t->cells, "the table", err);

    if (rc < 0)
        return rc;
    if (tty)
        print_heading(t, to);
    const char *cell = pst_buf_cstr(&t->cells);
    for (size_t row = 0; row < t->rows_n; row++) {
        for (size_t i = 0; i < t->n; i++) {
            print_cell(t, i, cell, tty, to);
            cell += strlen(cell) + 1;
        }
    }
    return PST_OK;
}

/* ---- lists of objects ---- */

const char *cli_text(const struct pst_json *obj, const char *key)
{
    const char *text = pst_json_get_text(obj, key);

    return text && *text ? text : "-";
}

/* The cell for one member, in `room` if it must be made. */
static const char *format_cell(const struct pst_json *obj, const struct cli_column *column,
                               char room[CLI_TIME_SIZE])
{
    int64_t number;
    bool flag;

    if (pst_json_get_bool(obj, column->key, &flag))
        return flag ? "yes" : column->form == CLI_YES_NO ? "no" : "-";
    if (pst_json_get_int(obj, column->key, &number)) {
        snprintf(room, CLI_TIME_SIZE, "%lld", (long long)number);
        return room;
    }
    const char *text = pst_json_get_text(obj, column->key);
    return column->form == CLI_TIME ? cli_time(room, text) : text;
}

int cli_list(const struct cli *c, const struct pst_json *list, const struct cli_column *columns,
             size_t n)
{
    auto_(cli_table_free) struct cli_table *t = NULL;
    const char *cells[COLUMNS_MAX];
    char room[COLUMNS_MAX][CLI_TIME_SIZE];
    struct pst_err err = {0};

    pst_require(n <= COLUMNS_MAX);
    for (size_t i = 0; i < n; i++)
        cells[i] = columns[i].head;
    int rc = cli_table_new(&t, cells, n, &err);
    for (size_t row = 0; rc == PST_OK && row < pst_json_len(list); row++) {
        for (size_t i = 0; i < n; i++)
            cells[i] = format_cell(pst_json_at(list, row), &columns[i], room[i]);
        cli_table_add(t, cells);
    }
    if (rc == PST_OK)
        rc = cli_table_print(t, c->tty, stdout, &err);
    return rc == PST_OK ? PST_EXIT_OK : cli_fail(PST_EXIT_FAILED, "%s", err.text);
}

/* ---- times ---- */

const char *cli_time(char to[CLI_TIME_SIZE], const char *rfc3339)
{
    int64_t ms;
    char text[PST_TIME_SIZE];

    if (!rfc3339 || !pst_time_parse(rfc3339, &ms)) {
        pst_str_copy(to, CLI_TIME_SIZE, "-");
        return to;
    }
    pst_time_format(text, ms);
    snprintf(to, CLI_TIME_SIZE, "%.10s %.8s UTC", text, text + 11);
    return to;
}

const char *cli_relative(char to[CLI_TIME_SIZE], int64_t at_ms, int64_t now_ms)
{
    static const struct {
        int64_t below_s, unit_s;
        const char *unit;
    } units[] = {
        {120, 1, "s"},
        {2 * 3600, 60, "min"},
        {2 * 86400, 3600, "h"},
        {INT64_MAX, 86400, "days"},
    };
    int64_t s = (at_ms - now_ms) / 1000;
    int64_t size = s < 0 ? -s : s;
    size_t i = 0;

    if (size == 0) {
        pst_str_copy(to, CLI_TIME_SIZE, "now");
        return to;
    }
    while (size >= units[i].below_s)
        i++;
    snprintf(to, CLI_TIME_SIZE, s > 0 ? "in %lld %s" : "%lld %s ago",
             (long long)(size / units[i].unit_s), units[i].unit);
    return to;
}
