/* events.c - what happened. */
#include "api_internal.h"

#include <string.h>

#include <postern/event.h>

enum { LIMIT_DEFAULT = 50, LIMIT_MAX = 500 };

int pst_event_push(const struct pst_event *e, void *list)
{
    return pst_json_push(list, pst_event_json(e)) ? PST_OK : PST_ENOMEM;
}

static int read_limit(struct pst_req *req, int64_t *ret, struct pst_answer *ans)
{
    const char *text = pst_target_query(&req->target, "limit");

    *ret = LIMIT_DEFAULT;
    if (text && !pst_parse_i64(text, 1, LIMIT_MAX, ret))
        return pst_answer_error(ans, 400, "limit must be a number from 1 to %d", LIMIT_MAX);
    return PST_OK;
}

static int answer_events(struct pst_json *list, struct pst_answer *ans, struct pst_err *err)
{
    auto_(pst_json_free) struct pst_json *j = pst_json_object();

    if (!pst_json_set(j, "events", list))
        return pst_fail_nomem(err, "the events");
    return pst_answer_json(ans, 200, j, err);
}

int pst_events_list(struct pst_req *req, struct pst_tx *tx, struct pst_answer *ans,
                    struct pst_err *err)
{
    auto_(pst_json_free) struct pst_json *list = pst_json_array();
    int64_t limit;

    int rc = read_limit(req, &limit, ans);
    if (rc != PST_OK)
        return rc;
    if (!list)
        return pst_fail_nomem(err, "the events");
    rc = pst_event_each(tx, NULL, (size_t)limit, pst_event_push, list, err);
    return rc == PST_OK ? answer_events(pst_take(&list), ans, err) : rc;
}

int pst_events_of_app(struct pst_req *req, struct pst_tx *tx, struct pst_answer *ans,
                      struct pst_err *err)
{
    auto_(pst_json_free) struct pst_json *list = pst_json_array();
    struct pst_app a;
    int64_t limit;

    int rc = pst_req_app(req, tx, &a, ans, err);
    if (rc == PST_OK)
        rc = read_limit(req, &limit, ans);
    if (rc != PST_OK)
        return rc;
    if (!list)
        return pst_fail_nomem(err, "the events");
    rc = pst_event_each_of_app(tx, a.id, (size_t)limit, pst_event_push, list, err);
    return rc == PST_OK ? answer_events(pst_take(&list), ans, err) : rc;
}
