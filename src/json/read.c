/* read.c - parsing and getters. */
#include <malloc.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include <postern/err.h>
#include <postern/text.h>

#include "json_internal.h"

static _Thread_local bool memory_failed;
static _Thread_local bool parsing;

/*
 * jansson's scanner does not look whether its token buffer could grow, and then reads behind the
 * end of it.  While it parses, a failure is therefore only noted and the memory asked for once
 * more; the tree is thrown away afterwards.
 */
static void *allocate(size_t size)
{
    void *p = pst_alloc(size);

    if (!p) {
        memory_failed = true;
        p = parsing ? malloc(size) : NULL;
    }
    return p;
}

/* A tree may have held an uploaded key or a token: nothing of it stays in free memory. */
static void release(void *p)
{
    if (p)
        pst_wipe(p, malloc_usable_size(p));
    pst_free(p);
}

static void set_functions(void)
{
    json_set_alloc_funcs(allocate, release);
}

void pst_json_use_own_memory(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;

    pthread_once(&once, set_functions);
}

void pst_json_memory_reset(void)
{
    memory_failed = false;
}

bool pst_json_memory_failed(void)
{
    return memory_failed;
}

static int fail_at(struct pst_err *err, const char *text, size_t at, const char *what)
{
    int line = 1, column = 1;

    for (size_t i = 0; i < at; i++) {
        column = text[i] == '\n' ? 1 : column + 1;
        line += text[i] == '\n';
    }
    return pst_fail(err, PST_EINPUT, "JSON, line %d, column %d: %s", line, column, what);
}

/*
 * jansson parses recursively and allows 2,048 levels: too many for a thread's stack and for
 * whoever walks the tree.  Brackets are counted before; whether they match is its business.
 */
static int check_depth(const char *text, size_t len, struct pst_err *err)
{
    bool in_string = false;
    int depth = 0;

    for (size_t i = 0; i < len; i++) {
        if (text[i] == '\0')
            return fail_at(err, text, i, "a NUL byte");
        if (in_string) {
            if (text[i] == '\\')
                i++;
            else if (text[i] == '"')
                in_string = false;
        } else if (text[i] == '"') {
            in_string = true;
        } else if (text[i] == '[' || text[i] == '{') {
            if (++depth > PST_JSON_DEPTH)
                return fail_at(err, text, i, "arrays and objects are nested too deep");
        } else if (text[i] == ']' || text[i] == '}') {
            depth--;
        }
    }
    return PST_OK;
}

int pst_json_parse(struct pst_json **ret, const char *text, size_t len, struct pst_err *err)
{
    json_error_t why;

    pst_json_use_own_memory();
    int rc = check_depth(text, len, err);
    if (rc != PST_OK)
        return rc;

    pst_json_memory_reset();
    parsing = true;
    json_t *j = json_loadb(text, len, JSON_REJECT_DUPLICATES | JSON_DECODE_ANY, &why);
    parsing = false;
    if (pst_json_memory_failed()) {
        json_decref(j);
        return pst_fail_nomem(err, "JSON");
    }
    if (!j) {
        /* What jansson quotes from the input may be a secret. */
        char *quote = strstr(why.text, " near ");
        if (quote)
            *quote = '\0';
        return pst_fail(err, PST_EINPUT, "JSON, line %d, column %d: %s", why.line, why.column,
                        why.text);
    }
    *ret = from_jansson(j);
    return PST_OK;
}

void pst_json_free(struct pst_json *j)
{
    json_decref(to_jansson(j));
}

enum pst_json_type pst_json_type(const struct pst_json *j)
{
    static const enum pst_json_type types[] = {
        [JSON_OBJECT] = PST_JSON_OBJECT, [JSON_ARRAY] = PST_JSON_ARRAY,
        [JSON_STRING] = PST_JSON_TEXT,   [JSON_INTEGER] = PST_JSON_INT,
        [JSON_REAL] = PST_JSON_REAL,     [JSON_TRUE] = PST_JSON_BOOL,
        [JSON_FALSE] = PST_JSON_BOOL,    [JSON_NULL] = PST_JSON_NULL,
    };

    return j ? types[json_typeof(to_jansson_const(j))] : PST_JSON_NULL;
}

const struct pst_json *pst_json_get(const struct pst_json *obj, const char *key)
{
    return from_jansson(json_object_get(to_jansson_const(obj), key));
}

const struct pst_json *pst_json_at(const struct pst_json *arr, size_t i)
{
    return from_jansson(json_array_get(to_jansson_const(arr), i));
}

size_t pst_json_len(const struct pst_json *j)
{
    json_t *value = to_jansson_const(j);

    return json_is_object(value) ? json_object_size(value) : json_array_size(value);
}

const char *pst_json_text(const struct pst_json *j)
{
    return json_string_value(to_jansson_const(j));
}

bool pst_json_int(const struct pst_json *j, int64_t *ret)
{
    if (pst_json_type(j) != PST_JSON_INT)
        return false;
    *ret = json_integer_value(to_jansson_const(j));
    return true;
}

bool pst_json_bool(const struct pst_json *j, bool *ret)
{
    if (pst_json_type(j) != PST_JSON_BOOL)
        return false;
    *ret = json_is_true(to_jansson_const(j));
    return true;
}

const char *pst_json_get_text(const struct pst_json *obj, const char *key)
{
    return pst_json_text(pst_json_get(obj, key));
}

bool pst_json_get_int(const struct pst_json *obj, const char *key, int64_t *ret)
{
    return pst_json_int(pst_json_get(obj, key), ret);
}

bool pst_json_get_bool(const struct pst_json *obj, const char *key, bool *ret)
{
    return pst_json_bool(pst_json_get(obj, key), ret);
}

int pst_json_each(const struct pst_json *obj, pst_json_each_fn *fn, void *arg)
{
    json_t *o = to_jansson_const(obj);

    for (void *at = json_object_iter(o); at; at = json_object_iter_next(o, at)) {
        int rc = fn(json_object_iter_key(at), from_jansson(json_object_iter_value(at)), arg);
        if (rc != 0)
            return rc;
    }
    return 0;
}
