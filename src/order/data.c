/* data.c - an order's working data as JSON, by one table for both directions. */
#include "order_internal.h"

#include <stddef.h>
#include <string.h>

#include <postern/json.h>

#define TEXT(m)                                                                                    \
    {                                                                                              \
#m, PST_JSON_TEXT, offsetof(struct order_data, m), sizeof(((struct order_data *)0)->m)     \
    }
#define INT(m)                                                                                     \
    {                                                                                              \
#m, PST_JSON_INT, offsetof(struct order_data, m), 0                                        \
    }

struct member {
    const char *name;
    enum pst_json_type type;
    size_t offset;
    size_t size;
};
static const struct member members[] = {
    TEXT(authz_url), TEXT(challenge_url), TEXT(finalize_url), TEXT(certificate_url),
    TEXT(token),     INT(expires_at),     INT(polls),         INT(faults),
    INT(restarts),   INT(barrier_rev),    INT(barrier_at_ms),
};
/* Of wildcards; an order that an older version began has none of them. */
static const struct member later[] = {
    TEXT(dns_url), TEXT(persist_url), TEXT(target),  TEXT(value),      TEXT(change),  INT(adds),
    INT(shown),    INT(told_s),       INT(since_ms), INT(asked_at_ms), INT(may_hide),
};

static bool write_members(struct pst_json *j, const struct order_data *d, const struct member *m,
                          size_t n)
{
    for (size_t i = 0; i < n; i++) {
        const void *at = (const char *)d + m[i].offset;
        bool ok = m[i].type == PST_JSON_TEXT ? pst_json_set_text(j, m[i].name, at)
                                             : pst_json_set_int(j, m[i].name, *(const int64_t *)at);
        if (!ok)
            return false;
    }
    return true;
}

int pst_order_data_write(const struct order_data *d, struct pst_buf *to, struct pst_err *err)
{
    auto_(pst_json_free) struct pst_json *j = pst_json_object();

    if (!write_members(j, d, members, PST_ARRAY_N(members)) ||
        !write_members(j, d, later, PST_ARRAY_N(later)))
        return pst_fail_nomem(err, "an order's data");
    int rc = pst_json_write(j, to, err);
    return rc < 0 ? pst_wrap(err, "writing an order's data") : rc;
}

static bool read_member(const struct pst_json *v, const struct member *m, struct order_data *d)
{
    void *at = (char *)d + m->offset;

    if (m->type == PST_JSON_TEXT)
        return v && pst_json_text(v) && pst_str_copy(at, m->size, pst_json_text(v));
    return v && pst_json_int(v, at);
}

int pst_order_data_read(struct order_data *ret, const char *json, size_t len, struct pst_err *err)
{
    auto_(pst_json_free) struct pst_json *j = NULL;
    struct order_data d = {0};

    if (pst_json_parse(&j, json, len, err) != PST_OK)
        return pst_fail(err, PST_EINTERNAL, "an order's data is not JSON");
    for (size_t i = 0; i < PST_ARRAY_N(members); i++) {
        if (!read_member(pst_json_get(j, members[i].name), &members[i], &d))
            return pst_fail(err, PST_EINTERNAL, "an order's data has no usable %s",
                            members[i].name);
    }
    for (size_t i = 0; i < PST_ARRAY_N(later); i++) {
        const struct pst_json *v = pst_json_get(j, later[i].name);
        if (v && !read_member(v, &later[i], &d))
            return pst_fail(err, PST_EINTERNAL, "an order's data has no usable %s", later[i].name);
    }
    *ret = d;
    return PST_OK;
}
