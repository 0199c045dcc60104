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

static const struct {
    const char *name;
    enum pst_json_type type;
    size_t offset;
    size_t size;
} members[] = {
    TEXT(authz_url), TEXT(challenge_url), TEXT(finalize_url), TEXT(certificate_url),
    TEXT(token),     INT(expires_at),     INT(polls),         INT(faults),
    INT(restarts),   INT(barrier_rev),    INT(barrier_at_ms),
};

int pst_order_data_write(const struct order_data *d, struct pst_buf *to, struct pst_err *err)
{
    auto_(pst_json_free) struct pst_json *j = pst_json_object();
    for (size_t i = 0; i < PST_ARRAY_N(members); i++) {
        const void *at = (const char *)d + members[i].offset;
        bool ok = members[i].type == PST_JSON_TEXT
                      ? pst_json_set_text(j, members[i].name, at)
                      : pst_json_set_int(j, members[i].name, *(const int64_t *)at);
        if (!ok)
            return pst_fail_nomem(err, "an order's data");
    }
    int rc = pst_json_write(j, to, err);
    return rc < 0 ? pst_wrap(err, "writing an order's data") : rc;
}

int pst_order_data_read(struct order_data *ret, const char *json, size_t len, struct pst_err *err)
{
    auto_(pst_json_free) struct pst_json *j = NULL;
    struct order_data d = {0};

    if (pst_json_parse(&j, json, len, err) != PST_OK)
        return pst_fail(err, PST_EINTERNAL, "an order's data is not JSON");
    for (size_t i = 0; i < PST_ARRAY_N(members); i++) {
        void *at = (char *)&d + members[i].offset;
        const struct pst_json *v = pst_json_get(j, members[i].name);
        bool ok = members[i].type == PST_JSON_TEXT
                      ? v && pst_json_text(v) && pst_str_copy(at, members[i].size, pst_json_text(v))
                      : v && pst_json_int(v, at);
        if (!ok)
            return pst_fail(err, PST_EINTERNAL, "an order's data has no usable %s",
                            members[i].name);
    }
    *ret = d;
    return PST_OK;
}
