/* conf.c - the table, the file and the getters. */
#include <string.h>

#include <postern/buf.h>
#include <postern/err.h>
#include <postern/io.h>
#include <postern/text.h>

#include "conf_internal.h"

enum {
    FILE_SIZE_MAX = 256 * 1024,
    LINE_SIZE_MAX = 8192,
};

#define BY_POSTERND PST_CONF_POSTERND
#define BY_EDGED    PST_CONF_EDGED
#define BY_BOTH     (PST_CONF_POSTERND | PST_CONF_EDGED)
#define ROW(id, key, programs, type, form, value, min, max, reload, text)                          \
    [PST_CONF_##id] = {key, BY_##programs, PST_CONF_TYPE_##type,     form, value,                  \
                       min, max,           PST_CONF_RELOAD_##reload, text},

static const struct pst_conf_key keys[] = {PST_CONF_KEYS(ROW)};
_Static_assert(PST_ARRAY_N(keys) == PST_CONF_ID__COUNT, "each setting has a row");

const struct pst_conf_table pst_conf_posternd = {"posternd", PST_CONF_POSTERND};
const struct pst_conf_table pst_conf_edged = {"postern-edged", PST_CONF_EDGED};

struct pst_conf {
    const struct pst_conf_table *table;
    struct pst_conf_value values[PST_CONF_ID__COUNT];
};

const struct pst_conf_key *pst_conf_key(enum pst_conf_id id)
{
    pst_require((size_t)id < PST_CONF_ID__COUNT);
    return &keys[id];
}

void pst_conf_free(struct pst_conf *c)
{
    if (!c)
        return;
    for (size_t i = 0; i < PST_CONF_ID__COUNT; i++)
        pst_conf_value_deinit(&c->values[i]);
    pst_free(c);
}

int pst_conf_new_default(struct pst_conf **ret, const struct pst_conf_table *table,
                         struct pst_err *err)
{
    auto_(pst_conf_free) struct pst_conf *c = pst_zalloc(1, sizeof *c);
    if (!c)
        return pst_fail_nomem(err, "the settings");

    c->table = table;
    for (size_t i = 0; i < PST_CONF_ID__COUNT; i++) {
        int rc = pst_conf_value_read(&c->values[i], &keys[i], keys[i].value, err);
        if (rc != PST_OK) {
            pst_wrap(err, "the default of %s", keys[i].key);
            return rc;
        }
    }
    *ret = pst_take(&c);
    return PST_OK;
}

static bool find(const struct pst_conf_table *table, const char *key, size_t *ret)
{
    for (size_t i = 0; i < PST_CONF_ID__COUNT; i++) {
        if ((keys[i].programs & table->bit) && strcmp(keys[i].key, key) == 0) {
            *ret = i;
            return true;
        }
    }
    return false;
}

static unsigned least(unsigned a, unsigned b)
{
    return a < b ? a : b;
}

/* How many letters must be put in, taken out, changed or swapped with their neighbour to make one
 * of the other (optimal string alignment). */
static unsigned distance(const char *a, const char *b)
{
    enum { LONGEST = 48 };
    unsigned rows[3][LONGEST + 1];
    size_t a_len = strlen(a), b_len = strlen(b);

    if (a_len > LONGEST || b_len > LONGEST)
        return LONGEST;
    for (size_t j = 0; j <= b_len; j++)
        rows[0][j] = (unsigned)j;
    for (size_t i = 1; i <= a_len; i++) {
        unsigned *now = rows[i % 3], *above = rows[(i + 2) % 3], *higher = rows[(i + 1) % 3];

        now[0] = (unsigned)i;
        for (size_t j = 1; j <= b_len; j++) {
            now[j] = least(above[j - 1] + (a[i - 1] != b[j - 1]), least(above[j], now[j - 1]) + 1);
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
                now[j] = least(now[j], higher[j - 2] + 1);
        }
    }
    return rows[a_len % 3][b_len];
}

/* A setting that is not there: the one that was meant, if another is close enough. */
static int fail_unknown(const struct pst_conf_table *table, const char *key, struct pst_err *err)
{
    const struct pst_conf_key *nearest = NULL;
    unsigned best = 5; /* further away is no misspelling any more */

    for (size_t i = 0; i < PST_CONF_ID__COUNT; i++) {
        unsigned d = distance(key, keys[i].key);

        if (strcmp(key, keys[i].key) == 0)
            return pst_fail(
                err, PST_ECONFIG, "%s is no setting of %s, but of %s", key, table->program,
                (keys[i].programs & PST_CONF_EDGED ? &pst_conf_edged : &pst_conf_posternd)
                    ->program);
        if ((keys[i].programs & table->bit) && d < best) {
            best = d;
            nearest = &keys[i];
        }
    }
    if (nearest)
        return pst_fail(err, PST_ECONFIG, "there is no setting %.80s: did you mean %s?", key,
                        nearest->key);
    return pst_fail(err, PST_ECONFIG, "there is no setting %.80s: see postern.conf(5)", key);
}

static int set_value(struct pst_conf *c, size_t id, const char *text, struct pst_err *err)
{
    struct pst_conf_value fresh;

    int rc = pst_conf_value_read(&fresh, &keys[id], text, err);
    if (rc != PST_OK) {
        pst_wrap(err, "%s", keys[id].key);
        return rc;
    }
    fresh.set = true;
    pst_conf_value_deinit(&c->values[id]);
    c->values[id] = fresh;
    return PST_OK;
}

int pst_conf_set(struct pst_conf *c, const char *key, const char *value, struct pst_err *err)
{
    size_t id;

    if (!find(c->table, key, &id))
        return fail_unknown(c->table, key, err);
    if (!pst_utf8_ok(value, strlen(value)) || value[strcspn(value, "\r\n")])
        return pst_fail(err, PST_ECONFIG, "%s: must be one line of UTF-8", key);
    return set_value(c, id, value, err);
}

static bool is_blank(char c)
{
    return c == ' ' || c == '\t';
}

/* Without blanks at both ends, in place. */
static char *trim(char *s)
{
    while (is_blank(*s))
        s++;
    size_t len = strlen(s);
    while (len > 0 && is_blank(s[len - 1]))
        len--;
    s[len] = '\0';
    return s;
}

static void drop_comment(char *line)
{
    for (char *s = line; (s = strchr(s, '#')); s++) {
        if (s == line || is_blank(s[-1])) {
            *s = '\0';
            return;
        }
    }
}

/* One line, which is changed. */
static int read_line(struct pst_conf *c, char *line, struct pst_err *err)
{
    size_t id;

    drop_comment(line);
    char *key = trim(line);
    if (!*key)
        return PST_OK;

    char *equals = strchr(key, '=');
    if (!equals)
        return pst_fail(err, PST_ECONFIG, "a line must be section.key = value or a # comment");
    *equals = '\0';
    key = trim(key);
    if (!find(c->table, key, &id))
        return fail_unknown(c->table, key, err);
    if (c->values[id].set)
        return pst_fail(err, PST_ECONFIG, "%s is given twice: remove one", key);
    return set_value(c, id, trim(equals + 1), err);
}

/* Control characters, half characters and overlong lines are stopped before anything is read. */
static int check_line(const char *line, size_t len, struct pst_err *err)
{
    if (len >= LINE_SIZE_MAX)
        return pst_fail(err, PST_ECONFIG, "the line is longer than %d bytes", LINE_SIZE_MAX - 1);
    if (!pst_utf8_ok(line, len))
        return pst_fail(err, PST_ECONFIG, "the line is not UTF-8: save the file in that encoding");
    if (len > 0 && line[len - 1] == '\r')
        return pst_fail(err, PST_ECONFIG,
                        "the line ends as on Windows: save the file with Unix line ends");
    for (size_t i = 0; i < len; i++) {
        if (((unsigned char)line[i] < 0x20 && line[i] != '\t') || line[i] == 0x7F)
            return pst_fail(err, PST_ECONFIG, "the line has a control character: remove it");
    }
    return PST_OK;
}

static int read_lines(struct pst_conf *c, const char *name, const char *data, size_t len,
                      struct pst_err *err)
{
    char line[LINE_SIZE_MAX];
    int rc = PST_OK;

    for (int number = 1; len > 0 && rc == PST_OK; number++) {
        const char *end = memchr(data, '\n', len);
        size_t line_len = end ? (size_t)(end - data) : len;

        rc = check_line(data, line_len, err);
        if (rc == PST_OK) {
            memcpy(line, data, line_len);
            line[line_len] = '\0';
            rc = read_line(c, line, err);
        }
        if (rc != PST_OK)
            pst_wrap(err, "%s:%d", name, number);
        line_len += end != NULL;
        data += line_len;
        len -= line_len;
    }
    pst_wipe(line, sizeof line); /* a database URL may hold a password */
    return rc;
}

int pst_conf_parse(struct pst_conf **ret, const char *name, const char *data, size_t len,
                   const struct pst_conf_table *table, struct pst_err *err)
{
    auto_(pst_conf_free) struct pst_conf *c = NULL;

    int rc = pst_conf_new_default(&c, table, err);
    if (rc == PST_OK)
        rc = read_lines(c, name, data, len, err);
    if (rc == PST_OK)
        *ret = pst_take(&c);
    return rc;
}

int pst_conf_load(struct pst_conf **ret, const char *path, const struct pst_conf_table *table,
                  struct pst_err *err)
{
    auto_buf_wipe struct pst_buf data = PST_BUF(FILE_SIZE_MAX);

    int rc = pst_io_read_file(path, &data, err);
    if (rc == PST_NOTFOUND)
        return pst_fail(err, PST_ECONFIG,
                        "there is no configuration file %s: make one, or name another", path);
    if (rc == PST_EINPUT)
        return pst_fail(err, PST_ECONFIG, "configuration file %s is larger than %d KiB", path,
                        FILE_SIZE_MAX / 1024);
    if (rc != PST_OK) {
        pst_wrap(err, "the configuration");
        return rc;
    }
    return pst_conf_parse(ret, path, pst_buf_cstr(&data), data.len, table, err);
}

static const struct pst_conf_value *value_of(const struct pst_conf *c, enum pst_conf_id id,
                                             unsigned types)
{
    const struct pst_conf_key *key = pst_conf_key(id);

    pst_require(key->programs & c->table->bit);
    pst_require(types & 1u << key->type);
    return &c->values[id];
}

const char *pst_conf_text(const struct pst_conf *c, enum pst_conf_id id)
{
    const char *text = value_of(c, id, 1u << PST_CONF_TYPE_TEXT)->text;

    return text ? text : "";
}

int64_t pst_conf_int(const struct pst_conf *c, enum pst_conf_id id)
{
    const unsigned numbers =
        1u << PST_CONF_TYPE_INT | 1u << PST_CONF_TYPE_DURATION | 1u << PST_CONF_TYPE_SIZE;

    return value_of(c, id, numbers)->num;
}

bool pst_conf_bool(const struct pst_conf *c, enum pst_conf_id id)
{
    return value_of(c, id, 1u << PST_CONF_TYPE_BOOL)->num != 0;
}

size_t pst_conf_list_n(const struct pst_conf *c, enum pst_conf_id id)
{
    return value_of(c, id, 1u << PST_CONF_TYPE_LIST)->items_n;
}

const char *pst_conf_list_at(const struct pst_conf *c, enum pst_conf_id id, size_t i)
{
    const struct pst_conf_value *v = value_of(c, id, 1u << PST_CONF_TYPE_LIST);

    pst_require(i < v->items_n);
    return v->items[i];
}

bool pst_conf_is_set(const struct pst_conf *c, enum pst_conf_id id)
{
    return value_of(c, id, ~0u)->set;
}

bool pst_conf_same(const struct pst_conf *a, const struct pst_conf *b, enum pst_conf_id id)
{
    return pst_conf_value_same(value_of(a, id, ~0u), value_of(b, id, ~0u));
}

void pst_conf_restart_keys(const struct pst_conf *running, const struct pst_conf *fresh,
                           struct pst_buf *to)
{
    const char *between = "";

    for (size_t i = 0; i < PST_CONF_ID__COUNT; i++) {
        if (!(keys[i].programs & running->table->bit) ||
            keys[i].reload != PST_CONF_RELOAD_RESTART ||
            pst_conf_value_same(&running->values[i], &fresh->values[i]))
            continue;
        pst_buf_str(to, between);
        pst_buf_str(to, keys[i].key);
        between = ", ";
    }
}
