/*
 * operations.c - restarting an app, and the operation that says how it went.
 *
 * Apps run elsewhere: Postern has no process of theirs to restart, and what it passes on to them
 * changes without a restart.  So a restart is written down as an event and is done at once; the
 * operation is that event.
 */
#include "api_internal.h"

#include <stdio.h>
#include <string.h>

enum { LOOK_BACK = 500 }; /* events in which an operation is looked for */

#define RESTARTED "app.restarted"

/* Terraform sends null, others {"scope":null} or {"scope":["web"]}. */
static int check_scope(const struct pst_json *body, struct pst_answer *ans)
{
    const struct pst_json *scope = pst_json_get(body, "scope");
    enum pst_json_type type = pst_json_type(body);

    if (type != PST_JSON_NULL && type != PST_JSON_OBJECT)
        return pst_answer_invalid(ans, "scope", "the body must be null or an object");
    if (pst_json_type(scope) != PST_JSON_NULL && pst_json_type(scope) != PST_JSON_ARRAY)
        return pst_answer_invalid(ans, "scope", "must be a list of names of processes");
    for (size_t i = 0; i < pst_json_len(scope); i++)
        if (!pst_json_text(pst_json_at(scope, i)))
            return pst_answer_invalid(ans, "scope", "must be a list of names of processes");
    return PST_OK;
}

int pst_apps_restart(struct pst_req *req, struct pst_tx *tx, struct pst_answer *ans,
                     struct pst_err *err)
{
    struct pst_event e = {.kind = RESTARTED};
    char url[PST_HOST_SIZE + 16];
    struct pst_app a;

    int rc = pst_req_app(req, tx, &a, ans, err);
    if (rc == PST_OK)
        rc = check_scope(req->json, ans);
    if (rc != PST_OK)
        return rc;
    pst_str_copy(e.app_id, sizeof e.app_id, a.id);
    pst_str_copy(e.request_id, sizeof e.request_id, req->id);
    snprintf(e.actor, sizeof e.actor, "user:%s", req->user.username);
    snprintf(e.text, sizeof e.text,
             "a restart of app %s was asked for; Postern runs none of its "
             "processes, so there was nothing to do",
             a.name);
    rc = pst_event_append(tx, &e, err);
    if (rc != PST_OK)
        return rc;
    pst_req_base_url(req, url, sizeof url);
    pst_answer_empty(ans, 202);
    snprintf(ans->location, sizeof ans->location, "%s/v1/apps/%s/operations/%s", url, a.id, e.id);
    return PST_OK;
}

struct search {
    const char *id;
    struct pst_event found;
};

static int look_at(const struct pst_event *e, void *arg)
{
    struct search *s = arg;

    if (!pst_streq(e->id, s->id) || !pst_streq(e->kind, RESTARTED))
        return PST_OK;
    s->found = *e;
    return PST_DONE;
}

int pst_operations_get(struct pst_req *req, struct pst_tx *tx, struct pst_answer *ans,
                       struct pst_err *err)
{
    auto_(pst_json_free) struct pst_json *op = pst_json_object();
    auto_(pst_json_free) struct pst_json *j = pst_json_object();
    struct search s = {.id = req->params[1]};
    struct pst_app a;

    int rc = pst_req_app(req, tx, &a, ans, err);
    if (rc == PST_OK)
        rc = pst_event_each_of_app(tx, a.id, LOOK_BACK, look_at, &s, err);
    if (rc == PST_OK)
        return pst_answer_absent(ans, "operation");
    if (rc != PST_DONE)
        return rc;
    if (!pst_json_set_text(op, "id", s.found.id) ||
        !pst_json_set_time(op, "created_at", s.found.at_ms) ||
        !pst_json_set_time(op, "finished_at", s.found.at_ms) ||
        !pst_json_set_text(op, "status", "done") || !pst_json_set_text(op, "type", "restart") ||
        !pst_json_set_text(op, "error", "") || !pst_json_set(j, "operation", pst_take(&op)))
        return pst_fail_nomem(err, "the operation");
    return pst_answer_json(ans, 200, j, err);
}
