/* build.c - making trees. */
#include <string.h>

#include <postern/err.h>
#include <postern/text.h>

#include "json_internal.h"

struct pst_json *pst_json_object(void)
{
    pst_json_use_own_memory();
    return from_jansson(json_object());
}

struct pst_json *pst_json_array(void)
{
    pst_json_use_own_memory();
    return from_jansson(json_array());
}

struct pst_json *pst_json_clone(const struct pst_json *j)
{
    return from_jansson(json_deep_copy(to_jansson_const(j)));
}

/* A copy in which each byte that belongs to no valid sequence is U+FFFD. */
static char *mend_utf8(const char *s)
{
    static const char mark[] = "\xEF\xBF\xBD";
    size_t len = strlen(s);

    if (len > SIZE_MAX / 3 - 1)
        return NULL;
    char *mended = pst_alloc(len * 3 + 1);
    if (!mended)
        return NULL;

    char *at = mended;
    while (len > 0) {
        size_t n = 1;
        while (n < 4 && n < len && !pst_utf8_ok(s, n))
            n++;
        if (pst_utf8_ok(s, n)) {
            memcpy(at, s, n);
            at += n;
        } else {
            n = 1;
            memcpy(at, mark, 3);
            at += 3;
        }
        s += n;
        len -= n;
    }
    *at = '\0';
    return mended;
}

/* NULL gives a JSON null. */
static json_t *new_text(const char *value)
{
    if (!value)
        return json_null();
    if (pst_utf8_ok(value, strlen(value)))
        return json_string_nocheck(value);

    auto_(pst_free) char *mended = mend_utf8(value);
    return mended ? json_string_nocheck(mended) : NULL;
}

static bool set(struct pst_json *obj, const char *key, json_t *child)
{
    if (!obj || !child) {
        json_decref(child);
        return false;
    }
    pst_require(json_is_object(to_jansson(obj)));
    if (pst_utf8_ok(key, strlen(key)))
        return json_object_set_new_nocheck(to_jansson(obj), key, child) == 0;

    auto_(pst_free) char *mended = mend_utf8(key);
    if (mended)
        return json_object_set_new_nocheck(to_jansson(obj), mended, child) == 0;
    json_decref(child);
    return false;
}

static bool push(struct pst_json *arr, json_t *child)
{
    if (!arr || !child) {
        json_decref(child);
        return false;
    }
    pst_require(json_is_array(to_jansson(arr)));
    return json_array_append_new(to_jansson(arr), child) == 0;
}

bool pst_json_set_text(struct pst_json *obj, const char *key, const char *value)
{
    return set(obj, key, new_text(value));
}

bool pst_json_set_int(struct pst_json *obj, const char *key, int64_t value)
{
    return set(obj, key, json_integer(value));
}

bool pst_json_set_bool(struct pst_json *obj, const char *key, bool value)
{
    return set(obj, key, json_boolean(value));
}

bool pst_json_set_null(struct pst_json *obj, const char *key)
{
    return set(obj, key, json_null());
}

bool pst_json_set(struct pst_json *obj, const char *key, struct pst_json *child)
{
    return set(obj, key, to_jansson(child));
}

bool pst_json_push(struct pst_json *arr, struct pst_json *child)
{
    return push(arr, to_jansson(child));
}

bool pst_json_push_text(struct pst_json *arr, const char *value)
{
    return push(arr, new_text(value));
}

bool pst_json_push_int(struct pst_json *arr, int64_t value)
{
    return push(arr, json_integer(value));
}
