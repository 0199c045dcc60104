/* conf_value.c - one value from its text. */
#include <stdio.h>
#include <string.h>

#include <postern/err.h>
#include <postern/text.h>

#include "conf_internal.h"

void pst_conf_value_deinit(struct pst_conf_value *v)
{
    for (size_t i = 0; i < v->items_n; i++)
        pst_free(v->items[i]);
    pst_free(v->items);
    if (v->text)
        pst_wipe(v->text, strlen(v->text)); /* a database URL may hold a password */
    pst_free(v->text);
    *v = (struct pst_conf_value){0};
}

struct unit {
    char letter;
    int64_t factor;
};

static const struct unit duration_units[] = {{'s', 1}, {'m', 60}, {'h', 3600}, {'d', 86400}, {0}};
static const struct unit size_units[] = {{'K', INT64_C(1) << 10},
                                         {'M', INT64_C(1) << 20},
                                         {'G', INT64_C(1) << 30},
                                         {'T', INT64_C(1) << 40},
                                         {0}};
static const struct unit no_units[] = {{0}};

/* A number with one of the letters, perhaps, behind it: "30", "30s", "30 s". */
static bool read_number(const char *text, const struct unit *units, int64_t *ret)
{
    char digits[24];
    int64_t factor = 1;
    size_t len = strlen(text);

    if (len == 0)
        return false;
    for (const struct unit *u = units; u->letter; u++) {
        if (text[len - 1] != u->letter)
            continue;
        factor = u->factor;
        len--;
        if (len > 1 && text[len - 1] == ' ')
            len--;
        break;
    }
    if (len >= sizeof digits)
        return false;
    memcpy(digits, text, len);
    digits[len] = '\0';
    return pst_parse_i64(digits, INT64_MIN, INT64_MAX, ret) &&
           !__builtin_mul_overflow(*ret, factor, ret);
}

static int read_any_number(struct pst_conf_value *v, const struct pst_conf_key *key,
                           const char *text, const struct unit *units, const char *example,
                           struct pst_err *err)
{
    if (read_number(text, units, &v->num) && v->num >= key->min && v->num <= key->max)
        return PST_OK;
    return pst_fail(err, PST_ECONFIG, "must be %s between %lld and %lld%s%s", example,
                    (long long)key->min, (long long)key->max, *key->form ? " " : "", key->form);
}

static int read_int(struct pst_conf_value *v, const struct pst_conf_key *key, const char *text,
                    struct pst_err *err)
{
    return read_any_number(v, key, text, no_units, "a whole number", err);
}

static int read_duration(struct pst_conf_value *v, const struct pst_conf_key *key, const char *text,
                         struct pst_err *err)
{
    return read_any_number(v, key, text, duration_units, "a time, such as 90s, 15m, 3h or 7d,",
                           err);
}

static int read_size(struct pst_conf_value *v, const struct pst_conf_key *key, const char *text,
                     struct pst_err *err)
{
    return read_any_number(v, key, text, size_units, "a size, such as 64K, 10M or 4G,", err);
}

static int read_bool(struct pst_conf_value *v, const struct pst_conf_key *key, const char *text,
                     struct pst_err *err)
{
    (void)key;
    v->num = strcmp(text, "true") == 0;
    if (!v->num && strcmp(text, "false") != 0)
        return pst_fail(err, PST_ECONFIG, "must be true or false");
    return PST_OK;
}

static int read_text(struct pst_conf_value *v, const struct pst_conf_key *key, const char *text,
                     struct pst_err *err)
{
    size_t len = strlen(text);

    if (len == 0 && key->min > 0)
        return pst_fail(err, PST_ECONFIG, "must not be empty");
    if (len < (size_t)key->min || len > (size_t)key->max)
        return pst_fail(err, PST_ECONFIG, "must have %lld to %lld bytes", (long long)key->min,
                        (long long)key->max);
    if (len > 0) {
        int rc = pst_conf_form_check(key->form, text, err);
        if (rc != PST_OK)
            return rc;
    }
    v->text = pst_strdup(text);
    return v->text ? PST_OK : pst_fail_nomem(err, "a setting");
}

static int read_item(struct pst_conf_value *v, const struct pst_conf_key *key, const char *at,
                     size_t len, struct pst_err *err)
{
    while (len > 0 && *at == ' ') {
        at++;
        len--;
    }
    while (len > 0 && at[len - 1] == ' ')
        len--;
    if (len == 0)
        return pst_fail(err, PST_ECONFIG, "has an empty item: remove a comma");

    char *item = v->items[v->items_n] = pst_strndup(at, len);
    if (!item)
        return pst_fail_nomem(err, "a setting");
    v->items_n++;
    int rc = pst_conf_form_check(key->form, item, err);
    if (rc != PST_OK)
        pst_wrap(err, "item \"%.100s\"", item);
    return rc;
}

static int read_list(struct pst_conf_value *v, const struct pst_conf_key *key, const char *text,
                     struct pst_err *err)
{
    size_t n = *text ? 1 : 0;

    for (const char *s = text; *s; s++)
        n += *s == ',';
    if (n < (size_t)key->min || n > (size_t)key->max)
        return pst_fail(err, PST_ECONFIG, "must have %lld to %lld items, separated by commas",
                        (long long)key->min, (long long)key->max);
    if (n == 0)
        return PST_OK;
    v->items = pst_zalloc(n, sizeof *v->items);
    if (!v->items)
        return pst_fail_nomem(err, "a setting");

    for (size_t i = 0; i < n; i++) {
        size_t len = strcspn(text, ",");
        int rc = read_item(v, key, text, len, err);
        if (rc != PST_OK)
            return rc;
        text += len + 1;
    }
    return PST_OK;
}

int pst_conf_value_read(struct pst_conf_value *ret, const struct pst_conf_key *key,
                        const char *text, struct pst_err *err)
{
    static int (*const readers[])(struct pst_conf_value *, const struct pst_conf_key *,
                                  const char *, struct pst_err *) = {
        [PST_CONF_TYPE_TEXT] = read_text, [PST_CONF_TYPE_INT] = read_int,
        [PST_CONF_TYPE_BOOL] = read_bool, [PST_CONF_TYPE_DURATION] = read_duration,
        [PST_CONF_TYPE_SIZE] = read_size, [PST_CONF_TYPE_LIST] = read_list,
    };
    struct pst_conf_value fresh = {0};

    int rc = readers[key->type](&fresh, key, text, err);
    if (rc != PST_OK) {
        pst_conf_value_deinit(&fresh);
        return rc;
    }
    *ret = fresh;
    return PST_OK;
}

bool pst_conf_value_same(const struct pst_conf_value *a, const struct pst_conf_value *b)
{
    if (a->num != b->num || !pst_streq(a->text, b->text) || a->items_n != b->items_n)
        return false;
    for (size_t i = 0; i < a->items_n; i++) {
        if (strcmp(a->items[i], b->items[i]) != 0)
            return false;
    }
    return true;
}
