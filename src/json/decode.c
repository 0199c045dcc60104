/* decode.c - an object into a struct, by table. */
#include <string.h>

#include <postern/err.h>

#include "json_internal.h"

static const struct {
    const char *name; /* "must be ..." */
    enum pst_json_type type;
} kinds[] = {
    [PST_JSON_KIND_TEXT] = {"a string", PST_JSON_TEXT},
    [PST_JSON_KIND_INT] = {"a whole number", PST_JSON_INT},
    [PST_JSON_KIND_BOOL] = {"true or false", PST_JSON_BOOL},
    [PST_JSON_KIND_ARRAY] = {"an array", PST_JSON_ARRAY},
    [PST_JSON_KIND_OBJECT] = {"an object", PST_JSON_OBJECT},
    [PST_JSON_KIND_ANY] = {"any value", PST_JSON_NULL},
};

static int fail_field(struct pst_err *err, const char *field)
{
    pst_err_problem(err, field);
    return PST_EINPUT;
}

static int check_size(const struct pst_json_field *f, const struct pst_json *value,
                      struct pst_err *err)
{
    int64_t number;
    const char *text;

    if (f->max_len == 0)
        return PST_OK;
    if (pst_json_int(value, &number)) {
        if (number >= 0 && (uint64_t)number <= f->max_len)
            return PST_OK;
        pst_fail(err, PST_EINPUT, "field \"%s\" must be between 0 and %zu", f->name, f->max_len);
        return fail_field(err, f->name);
    }
    text = pst_json_text(value);
    if ((text ? strlen(text) : pst_json_len(value)) <= f->max_len)
        return PST_OK;
    pst_fail(err, PST_EINPUT, "field \"%s\" must have at most %zu %s", f->name, f->max_len,
             text ? "bytes" : "elements");
    return fail_field(err, f->name);
}

static void store(const struct pst_json_field *f, const struct pst_json *value, void *dest)
{
    void *to = (char *)dest + f->offset;

    switch (f->kind) {
    case PST_JSON_KIND_TEXT:
        *(const char **)to = pst_json_text(value);
        break;
    case PST_JSON_KIND_INT:
        pst_json_int(value, to); /* keeps what is there when null */
        break;
    case PST_JSON_KIND_BOOL:
        pst_json_bool(value, to);
        break;
    case PST_JSON_KIND_ARRAY:
    case PST_JSON_KIND_OBJECT:
        *(const struct pst_json **)to = pst_json_type(value) == PST_JSON_NULL ? NULL : value;
        break;
    case PST_JSON_KIND_ANY:
        *(const struct pst_json **)to = value;
        break;
    }
}

static int decode_field(const struct pst_json *obj, const struct pst_json_field *f, void *dest,
                        struct pst_err *err)
{
    const struct pst_json *value = pst_json_get(obj, f->name);

    if (!value) {
        if (f->flags & PST_JSON_OPTIONAL)
            return PST_OK;
        pst_fail(err, PST_EINPUT, "field \"%s\" is missing: it must be %s", f->name,
                 kinds[f->kind].name);
        return fail_field(err, f->name);
    }

    bool null = pst_json_type(value) == PST_JSON_NULL;
    bool fits = f->kind == PST_JSON_KIND_ANY || pst_json_type(value) == kinds[f->kind].type;
    if (!fits && !(null && (f->flags & PST_JSON_NULLABLE))) {
        pst_fail(err, PST_EINPUT, "field \"%s\" must be %s%s", f->name, kinds[f->kind].name,
                 f->flags & PST_JSON_NULLABLE ? " or null" : "");
        return fail_field(err, f->name);
    }

    int rc = check_size(f, value, err);
    if (rc != PST_OK)
        return rc;
    store(f, value, dest);
    return PST_OK;
}

struct table {
    const struct pst_json_field *fields;
    size_t n;
    struct pst_err *err;
};

static int refuse_unknown(const char *key, const struct pst_json *value, void *arg)
{
    const struct table *t = arg;

    (void)value;
    for (size_t i = 0; i < t->n; i++) {
        if (strcmp(t->fields[i].name, key) == 0)
            return PST_OK;
    }
    pst_fail(t->err, PST_EINPUT, "field \"%.64s\" is not known here: leave it out", key);
    return fail_field(t->err, key);
}

int pst_json_decode(const struct pst_json *obj, const struct pst_json_field *fields, size_t n,
                    void *dest, enum pst_json_unknown unknown, struct pst_err *err)
{
    if (pst_json_type(obj) != PST_JSON_OBJECT)
        return pst_fail(err, PST_EINPUT, "a JSON object is wanted");

    /* First, because a misspelt name is the cause when another one is missing. */
    if (unknown == PST_JSON_REFUSE) {
        struct table t = {fields, n, err};
        int rc = pst_json_each(obj, refuse_unknown, &t);
        if (rc != PST_OK)
            return rc;
    }
    for (size_t i = 0; i < n; i++) {
        int rc = decode_field(obj, &fields[i], dest, err);
        if (rc != PST_OK)
            return rc;
    }
    return PST_OK;
}
