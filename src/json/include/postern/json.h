/*
 * json.h - JSON (RFC 8259): strict reading, decoding by table, building, writing.
 *
 * Model:    a value is a tree that its root owns.  pst_json_parse(), pst_json_object(),
 *           pst_json_array() and pst_json_clone() give an owning reference: free it with
 *           pst_json_free(), or hand it to pst_json_set() or pst_json_push().  Everything a
 *           getter returns is borrowed from the tree and lives as long as it.
 * Threads:  one thread at a time may change a tree; many may read one that nobody changes.
 * Blocking: never.
 * Memory:   through pst_alloc(), so that tests can make it fail.
 * Failure:  what comes from outside is refused with PST_EINPUT; builders return false.
 */
#ifndef POSTERN_JSON_H
#define POSTERN_JSON_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <postern/mem.h>

struct pst_buf;
struct pst_err;
struct pst_json; /* declared, never defined */

/* Deepest nesting of arrays and objects that is read. */
enum { PST_JSON_DEPTH = 32 };

/* -- reading -- */

/*
 * Read exactly one value (of any type) from `len` bytes of UTF-8.
 *
 * PST_OK      *ret is the caller's; free with pst_json_free().
 * PST_EINPUT  not JSON, a name twice in one object, deeper than PST_JSON_DEPTH, a NUL (raw or
 *             \u0000), invalid UTF-8, a number that does not fit, or bytes after the value; the
 *             text says where ("line 1, column 7").
 * PST_ENOMEM
 */
int pst_json_parse(struct pst_json **ret, const char *text, size_t len, struct pst_err *err);

/* NULL is fine. */
void pst_json_free(struct pst_json *j);
PST_CLEANUP(struct pst_json, pst_json_free);

enum pst_json_type {
    PST_JSON_NULL, /* also the type of a NULL pointer */
    PST_JSON_BOOL,
    PST_JSON_INT,
    PST_JSON_REAL, /* a number with a fraction or an exponent; nobody here wants one */
    PST_JSON_TEXT,
    PST_JSON_ARRAY,
    PST_JSON_OBJECT,
};

/* All getters take NULL and wrong types and then answer "not there". */
enum pst_json_type pst_json_type(const struct pst_json *j);
/* The member, NULL when absent or `obj` is no object.  A null member is a value of its own. */
const struct pst_json *pst_json_get(const struct pst_json *obj, const char *key);
/* The i-th element, NULL behind the end or when `arr` is no array. */
const struct pst_json *pst_json_at(const struct pst_json *arr, size_t i);
/* Elements of an array or members of an object; 0 for everything else. */
size_t pst_json_len(const struct pst_json *j);
/* The string (UTF-8, NUL-terminated, without NUL inside), NULL when it is not one. */
const char *pst_json_text(const struct pst_json *j);
bool pst_json_int(const struct pst_json *j, int64_t *ret);
bool pst_json_bool(const struct pst_json *j, bool *ret);

/* The same for a member at once. */
const char *pst_json_get_text(const struct pst_json *obj, const char *key);
bool pst_json_get_int(const struct pst_json *obj, const char *key, int64_t *ret);
bool pst_json_get_bool(const struct pst_json *obj, const char *key, bool *ret);

/*
 * Call `fn` for each member of an object, in the order of the text, until it returns other than 0;
 * that value is returned (0 at the end, or when `obj` is no object).  `fn` must not change the
 * object.
 */
typedef int pst_json_each_fn(const char *key, const struct pst_json *value, void *arg);
int pst_json_each(const struct pst_json *obj, pst_json_each_fn *fn, void *arg);

/* -- decoding by table -- */

enum pst_json_kind { /* what it is      what lies at `offset` in the destination */
                     PST_JSON_KIND_TEXT,  /* string          const char *, borrowed from the tree */
                     PST_JSON_KIND_INT,   /* whole number    int64_t */
                     PST_JSON_KIND_BOOL,  /* true or false   bool */
                     PST_JSON_KIND_ARRAY, /* array           const struct pst_json *, borrowed */
                     PST_JSON_KIND_OBJECT, /* object          const struct pst_json *, borrowed */
                     PST_JSON_KIND_ANY,    /* anything        const struct pst_json *, borrowed */
};

enum pst_json_flag {
    PST_JSON_OPTIONAL = 1, /* may be absent: the destination keeps what it held */
    PST_JSON_NULLABLE = 2, /* may be null: a pointer becomes NULL, a number or bool is kept */
};

struct pst_json_field {
    const char *name;
    enum pst_json_kind kind;
    unsigned flags;
    size_t offset;
    size_t max_len; /* most bytes of a string, elements of an array or object, or the largest value
                       of a number, which then must not be below 0; 0: any */
};

/* A row:  PST_JSON_FIELD(struct request, url, "url", TEXT, PST_JSON_OPTIONAL, 2048) */
#define PST_JSON_FIELD(type, member, name, kind, flags, max_len)                                   \
    {                                                                                              \
        (name), PST_JSON_KIND_##kind, (flags), offsetof(type, member), (max_len)                   \
    }

enum pst_json_unknown { PST_JSON_IGNORE, PST_JSON_REFUSE };

/*
 * Read the members of `obj` that the table names into `dest`.  With PST_JSON_REFUSE a member that
 * the table does not name is an error.
 *
 * PST_OK      all fields that are there are in dest.
 * PST_EINPUT  the text names the field and what it must be; err.problem is the field's name.  dest
 *             may hold a part.
 */
int pst_json_decode(const struct pst_json *obj, const struct pst_json_field *fields, size_t n,
                    void *dest, enum pst_json_unknown unknown, struct pst_err *err);

/* -- building --
 *
 * A builder returns false when memory is out; so does one that is given a NULL container or child,
 * so that calls can be chained with && and checked once:
 *
 *     auto_(pst_json_free) struct pst_json *j = pst_json_object();
 *     if (!pst_json_set_text(j, "name", name) || !pst_json_set_int(j, "rev", rev))
 *         return pst_fail_nomem(err, "the answer");
 *
 * A member that is there already is replaced.  In texts, bytes that are not UTF-8 become U+FFFD.
 * A container of the wrong type is a bug and aborts.
 */
#define PST_JSON_MUST __attribute__((warn_unused_result))

struct pst_json *pst_json_object(void);
struct pst_json *pst_json_array(void);
/* A deep copy of any value; NULL when memory is out or `j` is NULL. */
struct pst_json *pst_json_clone(const struct pst_json *j);

PST_JSON_MUST bool pst_json_set_text(struct pst_json *obj, const char *key, const char *value);
PST_JSON_MUST bool pst_json_set_int(struct pst_json *obj, const char *key, int64_t value);
PST_JSON_MUST bool pst_json_set_bool(struct pst_json *obj, const char *key, bool value);
PST_JSON_MUST bool pst_json_set_null(struct pst_json *obj, const char *key);
/* `child` belongs to `obj` afterwards; it is freed on failure, too. */
PST_JSON_MUST bool pst_json_set(struct pst_json *obj, const char *key, struct pst_json *child);
PST_JSON_MUST bool pst_json_push(struct pst_json *arr, struct pst_json *child);
PST_JSON_MUST bool pst_json_push_text(struct pst_json *arr, const char *value);
PST_JSON_MUST bool pst_json_push_int(struct pst_json *arr, int64_t value);

/* -- writing --
 *
 * Members come in the order in which they were set.  PST_OK; PST_ENOMEM; PST_EINPUT: longer than
 * the buffer's limit.  On a fault the buffer is as before (its own failure marks stay).
 */
int pst_json_write(const struct pst_json *j, struct pst_buf *to, struct pst_err *err);
/* Indented by two blanks, with a newline at the end. */
int pst_json_write_pretty(const struct pst_json *j, struct pst_buf *to, struct pst_err *err);

/* A string literal with its quotes, or null, for output that is streamed by hand.  Failures are
 * remembered by the buffer. */
void pst_json_quote(struct pst_buf *to, const char *text);

#endif
