/* variables.c - the environment of an app, where clients keep the settings of their DNS provider.
 *
 * Values are secrets: they go into the sealed column and into answers, never into an event or the
 * log. */
#include "api_internal.h"

#include <string.h>

enum {
    NAME_MAX_LEN = 64,
    VALUE_MAX_LEN = 8192,
    VARIABLES_MAX = 200, /* their list, each character escaped, fits an answer */
    ALIAS_DEPTH_MAX = 8,
};

/* ---- answers ---- */

static struct pst_json *variable_json(const struct pst_variable *v, const char *value)
{
    auto_(pst_json_free) struct pst_json *j = pst_json_object();

    bool ok = pst_json_set_text(j, "id", v->id) && pst_json_set_text(j, "name", v->name) &&
              pst_json_set_text(j, "value", value);
    return ok ? pst_take(&j) : NULL;
}

static const char *text_of(const struct pst_variable *v)
{
    return v->value.data ? (const char *)v->value.data : "";
}

static int answer_one(const struct pst_variable *v, int status, struct pst_answer *ans,
                      struct pst_err *err)
{
    auto_(pst_json_free) struct pst_json *j = pst_json_object();

    if (!pst_json_set(j, "variable", variable_json(v, text_of(v))))
        return pst_fail_nomem(err, "the variable");
    return pst_answer_json(ans, status, j, err);
}

static int answer_list(struct pst_json *list, struct pst_answer *ans, struct pst_err *err)
{
    auto_(pst_json_free) struct pst_json *j = pst_json_object();

    if (!pst_json_set(j, "variables", list))
        return pst_fail_nomem(err, "the variables");
    return pst_answer_json(ans, 200, j, err);
}

/* ---- reading ---- */

struct listing {
    struct pst_tx *tx;
    const char *app_id;
    struct pst_json *list;
    bool resolve; /* show what "$OTHER" stands for */
    struct pst_err *err;
};

/* What "$OTHER" stands for, through other aliases; a name that is not there, or a circle, stands
 * for itself. */
static int resolve(struct listing *l, const struct pst_variable *v, struct pst_secret *ret)
{
    struct pst_variable at = {0};
    int rc = pst_secret_set(ret, text_of(v), strlen(text_of(v)), l->err);

    for (int i = 0; rc == PST_OK && i < ALIAS_DEPTH_MAX; i++) {
        const char *text = ret->data ? (const char *)ret->data : "";
        if (text[0] != '$')
            break;
        rc = pst_variable_get(l->tx, l->app_id, text + 1, &at, l->err);
        /* An id is no name of a variable. */
        if (rc == PST_OK && !pst_streq(at.name, text + 1))
            rc = PST_NOTFOUND;
        if (rc == PST_OK)
            rc = pst_secret_set(ret, text_of(&at), strlen(text_of(&at)), l->err);
        pst_variable_deinit(&at);
        at = (struct pst_variable){0};
    }
    return rc == PST_NOTFOUND ? PST_OK : rc;
}

static int list_variable(const struct pst_variable *v, void *arg)
{
    struct listing *l = arg;
    auto_secret struct pst_secret value = {0};

    if (l->resolve) {
        int rc = resolve(l, v, &value);
        if (rc != PST_OK)
            return rc;
    }
    const char *text = !l->resolve ? text_of(v) : value.data ? (const char *)value.data : "";
    return pst_json_push(l->list, variable_json(v, text)) ? PST_OK
                                                          : pst_fail_nomem(l->err, "the variables");
}

int pst_variables_app(struct pst_req *req, struct pst_tx *tx, struct pst_app *ret,
                      struct pst_answer *ans, struct pst_err *err)
{
    int rc = pst_req_app(req, tx, ret, ans, err);

    if (rc == PST_OK && req->user.role == PST_ROLE_READER && !pst_streq(ret->user_id, req->user.id))
        return pst_answer_error(ans, 403,
                                "values are secrets: only the owner and operators see "
                                "them");
    return rc;
}

int pst_variables_list(struct pst_req *req, struct pst_tx *tx, struct pst_answer *ans,
                       struct pst_err *err)
{
    const char *aliases = pst_target_query(&req->target, "aliases");
    auto_(pst_json_free) struct pst_json *list = pst_json_array();
    struct listing l = {.tx = tx, .list = list, .err = err};
    struct pst_app a;

    l.resolve = aliases && pst_streq(aliases, "false");
    int rc = pst_variables_app(req, tx, &a, ans, err);
    if (rc != PST_OK)
        return rc;
    if (!list)
        return pst_fail_nomem(err, "the variables");
    l.app_id = a.id;
    rc = pst_variable_each(tx, a.id, list_variable, &l, err);
    return rc == PST_OK ? answer_list(pst_take(&list), ans, err) : rc;
}

static int tell_change(struct pst_req *req, struct pst_tx *tx, const char *app_id,
                       struct pst_err *err)
{
    const struct pst_api_hooks *h = &req->api->opts.hooks;

    return h->variables_changed ? h->variables_changed(h->arg, tx, app_id, err) : PST_OK;
}

/* ---- setting ---- */

static int check_name(const char *name, struct pst_answer *ans)
{
    size_t len = strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-");

    if (len == 0 || name[len])
        return pst_answer_invalid(
            ans, "name", "must have letters, digits, underscores and hyphens, and nothing else");
    if (len > NAME_MAX_LEN)
        return pst_answer_invalid(ans, "name", "must have at most %d characters", NAME_MAX_LEN);
    return PST_OK;
}

static int check_value(const char *value, struct pst_answer *ans)
{
    for (const char *p = value; *p; p++) {
        if ((unsigned char)*p < 0x20 && *p != '\n' && *p != '\r' && *p != '\t')
            return pst_answer_invalid(ans, "value", "must not hold control characters");
    }
    if (strlen(value) > VALUE_MAX_LEN)
        return pst_answer_invalid(ans, "value", "must have at most %d bytes", VALUE_MAX_LEN);
    return PST_OK;
}

static int too_many(struct pst_answer *ans)
{
    return pst_answer_invalid(ans, "variables", "an app has at most %d variables", VARIABLES_MAX);
}

/* Checks and stores.  PST_OK: new; PST_DONE: overwritten; PST_REFUSED. */
static int set_variable(struct pst_tx *tx, struct pst_variable *v, const char *value,
                        struct pst_answer *ans, struct pst_err *err)
{
    int64_t n = 0;

    int rc = check_name(v->name, ans);
    if (rc == PST_OK)
        rc = check_value(value, ans);
    if (rc == PST_OK)
        rc = pst_secret_set(&v->value, value, strlen(value), err);
    if (rc != PST_OK)
        return rc;
    int set = pst_variable_set(tx, v, err);
    if (set != PST_OK)
        return set;
    rc = pst_variable_count(tx, v->app_id, &n, err);
    return rc == PST_OK && n > VARIABLES_MAX ? too_many(ans) : rc;
}

struct entry {
    const char *name, *value;
};

static const struct pst_json_field entry_fields[] = {
    PST_JSON_FIELD(struct entry, name, "name", TEXT, 0, 0),
    PST_JSON_FIELD(struct entry, value, "value", TEXT, 0, 0),
};

/* One {"id":"","name":...,"value":...}; the id is what clients send along. */
static int take_entry(struct pst_tx *tx, const struct pst_app *a, const struct pst_json *j,
                      struct pst_variable *ret, struct pst_answer *ans, struct pst_err *err)
{
    struct entry e = {0};

    if (pst_json_type(j) != PST_JSON_OBJECT)
        return pst_answer_invalid(ans, "variable", "must be an object with name and value");
    int rc = pst_req_decode(j, entry_fields, PST_ARRAY_N(entry_fields), &e, ans);
    if (rc != PST_OK)
        return rc;
    if (!pst_str_copy(ret->name, sizeof ret->name, e.name))
        return pst_answer_invalid(ans, "name", "must have at most %d characters", NAME_MAX_LEN);
    pst_str_copy(ret->app_id, sizeof ret->app_id, a->id);
    return set_variable(tx, ret, e.value, ans, err);
}

int pst_variables_put(struct pst_req *req, struct pst_tx *tx, struct pst_answer *ans,
                      struct pst_err *err)
{
    const struct pst_json *given = pst_json_get(req->json, "variables");
    auto_(pst_json_free) struct pst_json *list = pst_json_array();
    struct pst_app a;

    int rc = pst_req_app(req, tx, &a, ans, err);
    if (rc != PST_OK)
        return rc;
    if (!list)
        return pst_fail_nomem(err, "the variables");
    /* Terraform sends null for an app without an environment. */
    if (!given || (pst_json_type(given) != PST_JSON_ARRAY && pst_json_type(given) != PST_JSON_NULL))
        return pst_answer_invalid(ans, "variables",
                                  "must be a list of objects with name and value");
    if (pst_json_len(given) > VARIABLES_MAX)
        return too_many(ans);
    for (size_t i = 0; i < pst_json_len(given); i++) {
        struct pst_variable v = {0};
        rc = take_entry(tx, &a, pst_json_at(given, i), &v, ans, err);
        if ((rc == PST_OK || rc == PST_DONE) &&
            !pst_json_push(list, variable_json(&v, text_of(&v))))
            rc = pst_fail_nomem(err, "the variables");
        pst_variable_deinit(&v);
        if (rc != PST_OK && rc != PST_DONE)
            return rc;
    }
    if (pst_json_len(given)) {
        rc = pst_req_event(req, tx, "variables.set", a.id, NULL, err,
                           "variables of app %s were set: %zu", a.name, pst_json_len(given));
        if (rc == PST_OK)
            rc = tell_change(req, tx, a.id, err);
        if (rc != PST_OK)
            return rc;
    }
    return answer_list(pst_take(&list), ans, err);
}

int pst_variables_create(struct pst_req *req, struct pst_tx *tx, struct pst_answer *ans,
                         struct pst_err *err)
{
    struct pst_variable v = {0};
    struct pst_app a;

    int rc = pst_req_app(req, tx, &a, ans, err);
    if (rc != PST_OK)
        return rc;
    int set = take_entry(tx, &a, pst_json_get(req->json, "variable"), &v, ans, err);
    rc = set == PST_DONE ? PST_OK : set;
    if (rc == PST_OK)
        rc = pst_req_event(req, tx, "variables.set", a.id, NULL, err,
                           "variable %s of app %s was set", v.name, a.name);
    if (rc == PST_OK)
        rc = tell_change(req, tx, a.id, err);
    if (rc == PST_OK)
        rc = answer_one(&v, set == PST_DONE ? 200 : 201, ans, err);
    pst_variable_deinit(&v);
    return rc;
}

/* {"variable":{"value":"c"}}; the npm client wraps what it is given once more. */
static const char *patched_value(const struct pst_json *body)
{
    const struct pst_json *value = pst_json_get(pst_json_get(body, "variable"), "value");

    if (pst_json_type(value) == PST_JSON_OBJECT)
        value = pst_json_get(value, "value");
    return pst_json_text(value);
}

static int patch_value(struct pst_req *req, struct pst_tx *tx, struct pst_variable *v,
                       struct pst_answer *ans, struct pst_err *err)
{
    const char *value = patched_value(req->json);

    if (!value)
        return pst_answer_invalid(ans, "value", "must be a text");
    int rc = set_variable(tx, v, value, ans, err);
    if (rc == PST_DONE)
        rc = pst_req_event(req, tx, "variables.set", v->app_id, NULL, err, "variable %s was set",
                           v->name);
    if (rc == PST_OK)
        rc = tell_change(req, tx, v->app_id, err);
    return rc == PST_OK ? answer_one(v, 200, ans, err) : rc;
}

int pst_variables_patch(struct pst_req *req, struct pst_tx *tx, struct pst_answer *ans,
                        struct pst_err *err)
{
    struct pst_variable v = {0};
    struct pst_app a;

    int rc = pst_req_app(req, tx, &a, ans, err);
    if (rc != PST_OK)
        return rc;
    rc = pst_variable_get(tx, a.id, req->params[1], &v, err);
    if (rc == PST_NOTFOUND)
        return pst_answer_absent(ans, "variable");
    if (rc == PST_OK)
        rc = patch_value(req, tx, &v, ans, err);
    pst_variable_deinit(&v);
    return rc;
}

/* ---- removing ---- */

static int remove_one(struct pst_req *req, struct pst_tx *tx, const struct pst_app *a,
                      const char *id_or_name, struct pst_answer *ans, struct pst_err *err)
{
    struct pst_variable v = {0};

    int rc = pst_variable_get(tx, a->id, id_or_name, &v, err);
    if (rc == PST_OK)
        rc = pst_variable_delete(tx, a->id, v.id, err);
    if (rc == PST_OK)
        rc = pst_req_event(req, tx, "variables.removed", a->id, NULL, err,
                           "variable %s of app %s was removed", v.name, a->name);
    if (rc == PST_OK)
        rc = tell_change(req, tx, a->id, err);
    pst_variable_deinit(&v);
    return rc == PST_NOTFOUND ? pst_answer_absent(ans, "variable") : rc;
}

int pst_variables_delete(struct pst_req *req, struct pst_tx *tx, struct pst_answer *ans,
                         struct pst_err *err)
{
    struct pst_app a;

    int rc = pst_req_app(req, tx, &a, ans, err);
    if (rc == PST_OK)
        rc = remove_one(req, tx, &a, req->params[1], ans, err);
    return rc == PST_OK ? pst_answer_empty(ans, 204) : rc;
}

int pst_variables_delete_list(struct pst_req *req, struct pst_tx *tx, struct pst_answer *ans,
                              struct pst_err *err)
{
    const struct pst_json *ids = pst_json_get(req->json, "variable_ids");
    struct pst_app a;

    int rc = pst_req_app(req, tx, &a, ans, err);
    if (rc != PST_OK)
        return rc;
    if (pst_json_type(ids) != PST_JSON_ARRAY)
        return pst_answer_invalid(ans, "variable_ids", "must be a list of ids of variables");
    if (pst_json_len(ids) > VARIABLES_MAX)
        return too_many(ans);
    for (size_t i = 0; rc == PST_OK && i < pst_json_len(ids); i++) {
        const char *id = pst_json_text(pst_json_at(ids, i));
        if (!id)
            return pst_answer_invalid(ans, "variable_ids", "must be a list of ids of variables");
        rc = remove_one(req, tx, &a, id, ans, err);
    }
    return rc == PST_OK ? pst_answer_empty(ans, 204) : rc;
}
