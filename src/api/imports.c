/* imports.c - imports of many domains: begun, looked at, ended.  Their lines: import_lines.c. */
#include "api_internal.h"

#include <string.h>

#include "imports.h"

enum {
    OPEN_MAX = 5,                        /* of one account */
    ENDED_MAX = 30,                      /* of one account; older ones are forgotten */
    LIST_MAX = 100,                      /* imports in a list */
    SHOWN_MAX = 20,                      /* refused lines in an import's object */
    PAGE_LINES = 1000,                   /* refused lines in a page */
    NAMES_AT_ONCE = 10000,               /* of a dry run, forgotten in one transaction */
    SWEEP_AT_ONCE = 5,                   /* old imports, forgotten when one is made */
    PAUSE_MS = 10 * 1000,                /* without lines: not part of the rate */
    LINES_EXPECTED_MAX = 1000 * 1000000, /* as its sender may say */
};
#define KEPT_MS (30 * INT64_C(86400000))

size_t pst_import_line_max(const struct pst_req *req)
{
    return req->api->set.body_max / 4 * 3;
}

/* Operators see all; everybody else, readers too, only their own. */
static const char *whose(const struct pst_req *req)
{
    return req->user.role == PST_ROLE_OPERATOR ? "" : req->user.id;
}

int pst_import_find(struct pst_req *req, struct pst_tx *tx, struct pst_import *ret,
                    struct pst_answer *ans, struct pst_err *err)
{
    int rc = pst_import_get(tx, whose(req), req->params[0], ret, err);

    /* A token that is bound to one app sees the imports into it. */
    if (rc == PST_OK && req->token.app_id[0] && !pst_streq(req->token.app_id, ret->app_id))
        rc = PST_NOTFOUND;
    return rc == PST_NOTFOUND ? pst_answer_absent(ans, "import") : rc;
}

void pst_import_tick(struct pst_import *i, int64_t now_ms)
{
    int64_t gap_ms = now_ms - i->updated_at_ms;

    if (gap_ms > 0 && gap_ms <= PAUSE_MS)
        i->active_ms += gap_ms;
    i->updated_at_ms = now_ms;
}

/* ---- as JSON ---- */

static struct pst_json *refusal_json(const struct pst_import_refusal *r)
{
    auto_(pst_json_free) struct pst_json *j = pst_json_object();

    if (!pst_json_set_int(j, "line", r->line) || !pst_json_set_or_null(j, "name", r->name) ||
        !pst_json_set_or_null(j, "field", r->field) || !pst_json_set_text(j, "error", r->error))
        return NULL;
    return pst_take(&j);
}

static int push_refusal(const struct pst_import_refusal *r, void *list)
{
    return pst_json_push(list, refusal_json(r)) ? PST_OK : PST_ENOMEM;
}

/* 0: not known. */
static int64_t estimated_finish_ms(const struct pst_import *i)
{
    if (i->state != PST_IMPORT_OPEN || i->lines == 0 || i->lines_expected <= i->lines)
        return 0;
    return i->updated_at_ms + (int64_t)((double)(i->lines_expected - i->lines) *
                                        (double)i->active_ms / (double)i->lines);
}

static struct pst_json *import_json(const struct pst_req *req, const struct pst_import *i)
{
    auto_(pst_json_free) struct pst_json *j = pst_json_object();
    int64_t rate = i->active_ms > 0 ? i->lines * 1000 / i->active_ms : 0;

    if (!pst_json_set_text(j, "id", i->id) || !pst_json_set_text(j, "user_id", i->user_id) ||
        !pst_json_set_or_null(j, "app_id", i->app_id) ||
        !pst_json_set_bool(j, "dry_run", i->dry_run) ||
        !pst_json_set_text(j, "state", pst_import_state_name(i->state)) ||
        !pst_json_set_or_null(j, "reason", i->reason) || !pst_json_set_int(j, "lines", i->lines) ||
        !pst_json_set_int(j, "next_line", i->lines + 1) ||
        !(i->lines_expected ? pst_json_set_int(j, "lines_expected", i->lines_expected)
                            : pst_json_set_null(j, "lines_expected")) ||
        !pst_json_set_int(j, "added", i->added) ||
        !pst_json_set_int(j, "unchanged", i->unchanged) ||
        !pst_json_set_int(j, "refused", i->refused) || !pst_json_set_int(j, "lines_per_s", rate) ||
        !pst_json_set_time(j, "estimated_finish_at", estimated_finish_ms(i)) ||
        !pst_json_set_time(j, "created_at", i->created_at_ms) ||
        !pst_json_set_time(j, "updated_at", i->updated_at_ms) ||
        !pst_json_set_time(j, "ended_at", i->ended_at_ms) ||
        !pst_json_set_int(j, "body_max", (int64_t)req->api->set.body_max) ||
        !pst_json_set_int(j, "line_max", (int64_t)pst_import_line_max(req)))
        return NULL;
    return pst_take(&j);
}

int pst_import_answer(struct pst_req *req, struct pst_tx *tx, const struct pst_import *i,
                      int status, struct pst_answer *ans, struct pst_err *err)
{
    auto_(pst_json_free) struct pst_json *list = pst_json_array(), *one = import_json(req, i);
    auto_(pst_json_free) struct pst_json *j = pst_json_object();

    if (!list || !one)
        return pst_fail_nomem(err, "the import");
    int rc = pst_import_each_refusal(tx, i->id, 0, SHOWN_MAX, push_refusal, list, err);
    if (rc != PST_OK)
        return rc;
    if (!pst_json_set(one, "refusals", pst_take(&list)) ||
        !pst_json_set(j, "import", pst_take(&one)))
        return pst_fail_nomem(err, "the import");
    return pst_answer_json(ans, status, j, err);
}

/* ---- reading ---- */

struct listing {
    const struct pst_req *req;
    struct pst_json *list;
};

static int list_import(const struct pst_import *i, void *arg)
{
    struct listing *l = arg;

    if (l->req->token.app_id[0] && !pst_streq(l->req->token.app_id, i->app_id))
        return PST_OK;
    return pst_json_push(l->list, import_json(l->req, i)) ? PST_OK : PST_ENOMEM;
}

int pst_imports_list(struct pst_req *req, struct pst_tx *tx, struct pst_answer *ans,
                     struct pst_err *err)
{
    auto_(pst_json_free) struct pst_json *list = pst_json_array();
    auto_(pst_json_free) struct pst_json *j = pst_json_object();
    struct listing l = {req, list};

    if (!list)
        return pst_fail_nomem(err, "the imports");
    int rc = pst_import_each(tx, whose(req), LIST_MAX, list_import, &l, err);
    if (rc != PST_OK)
        return rc;
    if (!pst_json_set(j, "imports", pst_take(&list)))
        return pst_fail_nomem(err, "the imports");
    return pst_answer_json(ans, 200, j, err);
}

int pst_imports_get(struct pst_req *req, struct pst_tx *tx, struct pst_answer *ans,
                    struct pst_err *err)
{
    struct pst_import i;

    int rc = pst_import_find(req, tx, &i, ans, err);
    return rc == PST_OK ? pst_import_answer(req, tx, &i, 200, ans, err) : rc;
}

static int write_refusal(const struct pst_import_refusal *r, void *arg)
{
    struct pst_answer *ans = arg;
    auto_(pst_json_free) struct pst_json *j = refusal_json(r);

    int rc = j ? pst_json_write(j, &ans->body, NULL) : PST_ENOMEM;
    pst_buf_char(&ans->body, '\n');
    return rc;
}

int pst_imports_refusals(struct pst_req *req, struct pst_tx *tx, struct pst_answer *ans,
                         struct pst_err *err)
{
    const char *text = pst_target_query(&req->target, "after");
    int64_t after = 0;
    struct pst_import i;

    int rc = pst_import_find(req, tx, &i, ans, err);
    if (rc == PST_OK && text && !pst_parse_i64(text, 0, INT64_MAX, &after))
        return pst_answer_error(ans, 400, "after must be the number of a line");
    if (rc != PST_OK)
        return rc;
    ans->status = 200;
    ans->type = PST_NDJSON;
    rc = pst_import_each_refusal(tx, i.id, after, PAGE_LINES, write_refusal, ans, err);
    return rc == PST_OK ? pst_buf_check(&ans->body, "the refused lines", err) : rc;
}

/* ---- beginning ---- */

struct import_body {
    const char *app;
    bool dry_run;
    int64_t lines_expected;
};

static const struct pst_json_field fields[] = {
    PST_JSON_FIELD(struct import_body, app, "app", TEXT, PST_JSON_OPTIONAL | PST_JSON_NULLABLE, 0),
    PST_JSON_FIELD(struct import_body, dry_run, "dry_run", BOOL, PST_JSON_OPTIONAL, 0),
    PST_JSON_FIELD(struct import_body, lines_expected, "lines_expected", INT,
                   PST_JSON_OPTIONAL | PST_JSON_NULLABLE, LINES_EXPECTED_MAX),
};

static int find_app(struct pst_req *req, struct pst_tx *tx, const struct import_body *b,
                    struct pst_import *i, struct pst_answer *ans, struct pst_err *err)
{
    struct pst_app app;

    if (!b->app) {
        if (req->token.app_id[0])
            return pst_answer_invalid(ans, "app",
                                      "is missing: this token may only be used for one app");
        return PST_OK;
    }
    int rc = pst_req_app_named(req, tx, b->app, &app, err);
    if (rc == PST_NOTFOUND)
        return pst_answer_invalid(ans, "app", "there is no such app");
    if (rc == PST_OK)
        pst_str_copy(i->app_id, sizeof i->app_id, app.id);
    return rc;
}

static int check_room(struct pst_req *req, struct pst_tx *tx, struct pst_answer *ans,
                      struct pst_err *err)
{
    int64_t n = 0;

    int rc = pst_user_lock(tx, req->user.id, err);
    if (rc == PST_OK)
        rc = pst_import_count_open(tx, req->user.id, &n, err);
    if (rc == PST_OK && n >= OPEN_MAX)
        return pst_answer_invalid(ans, "imports",
                                  "an account has at most %d that are open; finish or cancel one",
                                  OPEN_MAX);
    return rc;
}

int pst_imports_create(struct pst_req *req, struct pst_tx *tx, struct pst_answer *ans,
                       struct pst_err *err)
{
    const struct pst_json *given = pst_json_get(req->json, "import");
    struct import_body b = {0};
    struct pst_import i = {0};

    if (pst_json_type(given) != PST_JSON_OBJECT)
        return pst_answer_invalid(ans, "import", "missing field");
    int rc = pst_req_decode(given, fields, PST_ARRAY_N(fields), &b, ans);
    if (rc == PST_OK)
        rc = find_app(req, tx, &b, &i, ans, err);
    if (rc == PST_OK)
        rc = check_room(req, tx, ans, err);
    if (rc == PST_OK)
        rc = pst_import_trim(tx, req->user.id, ENDED_MAX, SWEEP_AT_ONCE, err);
    if (rc == PST_OK)
        rc = pst_import_sweep(tx, pst_wall_ms(req->api->opts.clock) - KEPT_MS, SWEEP_AT_ONCE, err);
    if (rc != PST_OK)
        return rc;
    pst_str_copy(i.user_id, sizeof i.user_id, req->user.id);
    i.dry_run = b.dry_run || req->dry_run;
    i.lines_expected = b.lines_expected;
    rc = pst_import_insert(tx, &i, err);
    return rc == PST_OK ? pst_import_answer(req, tx, &i, 201, ans, err) : rc;
}

/* ---- ending ---- */

struct ending {
    struct pst_req *req;
    struct pst_answer *ans;
    enum pst_import_state state;
    struct pst_import import;
    int64_t dropped;
};

static int end_tx(struct pst_tx *tx, void *arg, struct pst_err *err)
{
    struct ending *e = arg;
    struct pst_import *i = &e->import;

    int rc = pst_import_find(e->req, tx, i, e->ans, err);
    if (rc != PST_OK || i->state == e->state)
        return rc;
    if (i->state != PST_IMPORT_OPEN)
        return pst_answer_error(e->ans, 409, "the import is %s already",
                                pst_import_state_name(i->state));
    i->state = e->state;
    i->updated_at_ms = i->ended_at_ms = pst_wall_ms(e->req->api->opts.clock);
    rc = pst_import_save(tx, i, err);
    if (rc != PST_OK || i->dry_run)
        return rc;
    return pst_req_event(e->req, tx, "import.ended", i->app_id, NULL, err,
                         "import %s is %s: %lld domains were added, %lld were there, %lld lines "
                         "were refused",
                         i->id, pst_import_state_name(i->state), (long long)i->added,
                         (long long)i->unchanged, (long long)i->refused);
}

static int drop_tx(struct pst_tx *tx, void *arg, struct pst_err *err)
{
    struct ending *e = arg;

    return pst_import_names_drop(tx, e->import.id, NAMES_AT_ONCE, &e->dropped, err);
}

static int answer_tx(struct pst_tx *tx, void *arg, struct pst_err *err)
{
    struct ending *e = arg;

    return pst_import_answer(e->req, tx, &e->import, 200, e->ans, err);
}

static int end(struct pst_req *req, enum pst_import_state state, struct pst_answer *ans,
               struct pst_err *err)
{
    struct pst_store *store = req->api->opts.store;
    struct ending e = {.req = req, .ans = ans, .state = state};

    int rc = pst_store_write(store, end_tx, &e, NULL, err);
    if (rc == PST_OK && e.import.dry_run) {
        do
            rc = pst_store_write(store, drop_tx, &e, NULL, err);
        while (rc == PST_OK && e.dropped == NAMES_AT_ONCE);
    }
    return rc == PST_OK ? pst_store_read(store, answer_tx, &e, err) : rc;
}

int pst_imports_finish(struct pst_req *req, struct pst_tx *tx, struct pst_answer *ans,
                       struct pst_err *err)
{
    (void)tx;
    return end(req, PST_IMPORT_FINISHED, ans, err);
}

int pst_imports_cancel(struct pst_req *req, struct pst_tx *tx, struct pst_answer *ans,
                       struct pst_err *err)
{
    (void)tx;
    return end(req, PST_IMPORT_CANCELLED, ans, err);
}
