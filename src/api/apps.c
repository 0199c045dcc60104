/* apps.c - apps: what domains and upstreams belong to. */
#include "api_internal.h"

#include <stdio.h>
#include <string.h>

#include <postern/conf.h>

/* Scalingo wants 6; shorter ones harm nobody. */
enum { APP_NAME_MIN = 3, APP_NAME_MAX = 48, DOMAINS_MAX_MOST = 1000000 };

/* ---- the object ---- */

struct app_view {
    struct pst_req *req;
    struct pst_tx *tx;
    struct pst_json *list; /* for lists */
    char domain[PST_NAME_SIZE], region[PST_WORD_SIZE];
    struct pst_user owner; /* the last one loaded: lists mostly have one */
    struct pst_err *err;
};

static int view_init(struct app_view *v, struct pst_req *req, struct pst_tx *tx,
                     struct pst_err *err)
{
    *v = (struct app_view){.req = req, .tx = tx, .err = err};
    return pst_platform_get(tx, v->domain, v->region, err);
}

/* "new" without upstreams, "stopped" while all of them drain. */
static int note_upstream(const struct pst_upstream *u, void *arg)
{
    const char **status = arg;

    *status = u->drain ? "stopped" : "running";
    return u->drain ? PST_OK : PST_DONE;
}

static bool set_urls(struct pst_json *j, const struct app_view *v, const struct pst_app *a)
{
    char url[PST_NAME_SIZE + 2 * PST_WORD_SIZE + 16];

    if (!v->domain[0])
        return pst_json_set_null(j, "url") && pst_json_set_null(j, "base_url");
    snprintf(url, sizeof url, "https://%s.%s.%s", a->name, v->region, v->domain);
    return pst_json_set_text(j, "url", url) && pst_json_set_text(j, "base_url", url);
}

static struct pst_json *owner_json(const struct pst_user *u)
{
    auto_(pst_json_free) struct pst_json *j = pst_json_object();

    bool ok = pst_json_set_text(j, "id", u->id) && pst_json_set_text(j, "username", u->username) &&
              pst_json_set_text(j, "email", u->email);
    return ok ? pst_take(&j) : NULL;
}

/* Fields that this version has no use for but that clients look at. */
static bool set_constants(struct pst_json *j)
{
    return pst_json_set_text(j, "git_url", "") && pst_json_set_null(j, "project") &&
           pst_json_set_null(j, "last_deployed_at") && pst_json_set_null(j, "last_deployed_by") &&
           pst_json_set_null(j, "last_deployment_id") &&
           pst_json_set(j, "links", pst_json_object()) &&
           pst_json_set_text(j, "stack_id", PST_STACK_ID) &&
           pst_json_set_bool(j, "hds_resource", false) &&
           pst_json_set(j, "flags", pst_json_object());
}

static bool set_limits(struct pst_json *j, const struct pst_req *req, const struct pst_app *a)
{
    int64_t max = a->domains_max ? a->domains_max
                                 : pst_conf_int(req->api->set.conf, PST_CONF_APP_DOMAINS_MAX);
    auto_(pst_json_free) struct pst_json *limits = pst_json_object();

    return pst_json_set_int(limits, "domains", max) && pst_json_set(j, "limits", pst_take(&limits));
}

static int app_json(struct app_view *v, const struct pst_app *a, struct pst_json **ret)
{
    auto_(pst_json_free) struct pst_json *j = pst_json_object();
    char created[PST_TIME_SIZE], updated[PST_TIME_SIZE];
    const char *status = "new";

    if (!pst_streq(v->owner.id, a->user_id)) {
        int rc = pst_user_get(v->tx, a->user_id, &v->owner, v->err);
        if (rc != PST_OK)
            return rc < 0 ? rc : pst_unexpected(v->err, rc, "the owner of an app");
    }
    int rc = pst_upstream_each(v->tx, a->id, note_upstream, &status, v->err);
    if (rc < 0)
        return rc;
    pst_time_format(created, a->created_at_ms);
    pst_time_format(updated, a->updated_at_ms);
    if (!pst_json_set_text(j, "id", a->id) || !pst_json_set_text(j, "name", a->name) ||
        !pst_json_set_text(j, "region", v->req->api->set.region) ||
        !pst_json_set(j, "owner", owner_json(&v->owner)) || !set_urls(j, v, a) ||
        !pst_json_set_text(j, "status", status) || !pst_json_set_text(j, "created_at", created) ||
        !pst_json_set_text(j, "updated_at", updated) ||
        !pst_json_set_bool(j, "force_https", a->force_https) ||
        !pst_json_set_bool(j, "sticky_session", a->sticky_session) ||
        !pst_json_set_bool(j, "router_logs", a->router_logs) || !set_constants(j) ||
        !set_limits(j, v->req, a))
        return pst_fail_nomem(v->err, "an app");
    *ret = pst_take(&j);
    return PST_OK;
}

static int answer_app(struct pst_req *req, struct pst_tx *tx, const struct pst_app *a, int status,
                      struct pst_answer *ans, struct pst_err *err)
{
    auto_(pst_json_free) struct pst_json *app = NULL;
    auto_(pst_json_free) struct pst_json *j = pst_json_object();
    struct app_view v;

    int rc = view_init(&v, req, tx, err);
    if (rc == PST_OK)
        rc = app_json(&v, a, &app);
    if (rc != PST_OK)
        return rc;
    if (!pst_json_set(j, "app", pst_take(&app)))
        return pst_fail_nomem(err, "the app");
    return pst_answer_json(ans, status, j, err);
}

/* ---- reading ---- */

static int list_app(const struct pst_app *a, void *arg)
{
    struct app_view *v = arg;
    auto_(pst_json_free) struct pst_json *app = NULL;

    if (v->req->token.app_id[0] && !pst_streq(v->req->token.app_id, a->id))
        return PST_OK;
    int rc = app_json(v, a, &app);
    if (rc != PST_OK)
        return rc;
    return pst_json_push(v->list, pst_take(&app)) ? PST_OK : pst_fail_nomem(v->err, "the apps");
}

int pst_apps_list(struct pst_req *req, struct pst_tx *tx, struct pst_answer *ans,
                  struct pst_err *err)
{
    auto_(pst_json_free) struct pst_json *list = pst_json_array();
    auto_(pst_json_free) struct pst_json *j = pst_json_object();
    struct app_view v;

    int rc = view_init(&v, req, tx, err);
    if (rc != PST_OK)
        return rc;
    if (!list)
        return pst_fail_nomem(err, "the apps");
    v.list = list;
    rc = pst_app_each(tx, req->scope, list_app, &v, err);
    if (rc != PST_OK)
        return rc;
    if (!pst_json_set(j, "apps", pst_take(&list)))
        return pst_fail_nomem(err, "the apps");
    return pst_answer_json(ans, 200, j, err);
}

int pst_apps_get(struct pst_req *req, struct pst_tx *tx, struct pst_answer *ans,
                 struct pst_err *err)
{
    struct pst_app a;

    int rc = pst_req_app(req, tx, &a, ans, err);
    return rc == PST_OK ? answer_app(req, tx, &a, 200, ans, err) : rc;
}

/* ---- making ---- */

/* NULL, or what is wrong with the name of an app. */
static const char *name_problem(const char *name)
{
    size_t len = strlen(name);

    if (len < APP_NAME_MIN || len > APP_NAME_MAX)
        return "must have 3 to 48 characters";
    if (strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789-") != len)
        return "may only have lower-case letters, digits and hyphens";
    if (name[0] == '-' || name[len - 1] == '-' || strstr(name, "--"))
        return "must not begin or end with a hyphen or have two in a row";
    if (len == PST_ID_SIZE - 1 && strspn(name, "0123456789abcdef") == len)
        return "must not look like the id of an app";
    return NULL;
}

struct app_body {
    const char *name, *parent_id, *stack_id, *project_id;
    bool hds_resource;
};

static const struct pst_json_field create_fields[] = {
    PST_JSON_FIELD(struct app_body, name, "name", TEXT, 0, 0),
    PST_JSON_FIELD(struct app_body, parent_id, "parent_id", TEXT,
                   PST_JSON_OPTIONAL | PST_JSON_NULLABLE, 0),
    PST_JSON_FIELD(struct app_body, stack_id, "stack_id", TEXT,
                   PST_JSON_OPTIONAL | PST_JSON_NULLABLE, 0),
    PST_JSON_FIELD(struct app_body, project_id, "project_id", TEXT,
                   PST_JSON_OPTIONAL | PST_JSON_NULLABLE, 0),
    PST_JSON_FIELD(struct app_body, hds_resource, "hds_resource", BOOL,
                   PST_JSON_OPTIONAL | PST_JSON_NULLABLE, 0),
};

/* What other platforms have and this one has not must not be accepted silently. */
static int refuse_foreign(const char *project_id, const char *parent_id, const char *stack_id,
                          struct pst_answer *ans)
{
    if (project_id && *project_id)
        return pst_answer_invalid(ans, "project_id", "this platform has no projects");
    if (parent_id && *parent_id)
        return pst_answer_invalid(ans, "parent_id", "this platform has no child apps");
    if (stack_id && *stack_id && !pst_streq(stack_id, PST_STACK_ID))
        return pst_answer_invalid(ans, "stack_id", "there is no such stack");
    return PST_OK;
}

static int read_create(struct pst_req *req, struct pst_app *to, struct pst_answer *ans)
{
    const struct pst_json *app = pst_json_get(req->json, "app");
    struct app_body b = {0};

    if (pst_json_type(app) != PST_JSON_OBJECT)
        return pst_answer_invalid(ans, "app", "missing field");
    int rc = pst_req_decode(app, create_fields, PST_ARRAY_N(create_fields), &b, ans);
    if (rc == PST_OK)
        rc = refuse_foreign(b.project_id, b.parent_id, b.stack_id, ans);
    if (rc != PST_OK)
        return rc;
    if (b.hds_resource)
        return pst_answer_invalid(ans, "hds_resource", "this platform has no such resources");
    const char *problem = name_problem(b.name);
    if (problem)
        return pst_answer_invalid(ans, "name", "%s", problem);
    pst_str_copy(to->name, sizeof to->name, b.name);
    return PST_OK;
}

/* Each app may have domains, so without this the limit of those would be none. */
static int check_room(struct pst_req *req, struct pst_tx *tx, struct pst_answer *ans,
                      struct pst_err *err)
{
    int64_t max = pst_conf_int(req->api->set.conf, PST_CONF_ACCOUNT_APPS_MAX), n = 0;

    if (req->user.role == PST_ROLE_OPERATOR)
        return PST_OK;
    int rc = pst_user_lock(tx, req->user.id, err);
    if (rc == PST_OK)
        rc = pst_user_apps(tx, req->user.id, &n, err);
    if (rc == PST_OK && n >= max)
        return pst_answer_invalid(ans, "apps",
                                  "this account has %lld apps already, and %lld are the most it "
                                  "may have; remove one first",
                                  (long long)n, (long long)max);
    return rc;
}

int pst_apps_create(struct pst_req *req, struct pst_tx *tx, struct pst_answer *ans,
                    struct pst_err *err)
{
    struct pst_app a = {0};

    int rc = read_create(req, &a, ans);
    if (rc == PST_OK)
        rc = check_room(req, tx, ans, err);
    if (rc != PST_OK)
        return rc;
    pst_str_copy(a.user_id, sizeof a.user_id, req->user.id);
    rc = pst_app_insert(tx, &a, err);
    if (rc == PST_CONFLICT)
        return pst_answer_invalid(ans, "name", "has already been taken");
    if (rc == PST_OK)
        rc = pst_req_event(req, tx, "app.created", a.id, NULL, err, "app %s was made", a.name);
    return rc == PST_OK ? answer_app(req, tx, &a, 201, ans, err) : rc;
}

/* ---- changing ---- */

struct settings_body {
    bool force_https, sticky_session, router_logs;
    const char *project_id, *stack_id;
    const struct pst_json *owner;
    int64_t domains_max; /* ours */
};

static const struct pst_json_field settings_fields[] = {
    PST_JSON_FIELD(struct settings_body, owner, "owner", ANY, PST_JSON_OPTIONAL | PST_JSON_NULLABLE,
                   0),
    PST_JSON_FIELD(struct settings_body, domains_max, "domains_max", INT, PST_JSON_OPTIONAL,
                   DOMAINS_MAX_MOST),
    PST_JSON_FIELD(struct settings_body, force_https, "force_https", BOOL, PST_JSON_OPTIONAL, 0),
    PST_JSON_FIELD(struct settings_body, sticky_session, "sticky_session", BOOL, PST_JSON_OPTIONAL,
                   0),
    PST_JSON_FIELD(struct settings_body, router_logs, "router_logs", BOOL, PST_JSON_OPTIONAL, 0),
    PST_JSON_FIELD(struct settings_body, project_id, "project_id", TEXT,
                   PST_JSON_OPTIONAL | PST_JSON_NULLABLE, 0),
    PST_JSON_FIELD(struct settings_body, stack_id, "stack_id", TEXT,
                   PST_JSON_OPTIONAL | PST_JSON_NULLABLE, 0),
};

static int change_settings(struct pst_req *req, struct pst_tx *tx, const struct pst_json *body,
                           struct pst_answer *ans, struct pst_err *err)
{
    struct pst_app a;

    int rc = pst_req_app(req, tx, &a, ans, err);
    if (rc != PST_OK)
        return rc;
    if (pst_json_type(body) != PST_JSON_OBJECT)
        return pst_answer_invalid(ans, "app", "must be an object with the settings to change");
    struct settings_body b = {a.force_https, a.sticky_session, a.router_logs, NULL, NULL,
                              NULL,          a.domains_max};
    rc = pst_req_decode(body, settings_fields, PST_ARRAY_N(settings_fields), &b, ans);
    if (rc == PST_OK)
        rc = refuse_foreign(b.project_id, NULL, b.stack_id, ans);
    if (rc != PST_OK)
        return rc;
    if (b.owner && pst_json_type(b.owner) != PST_JSON_NULL)
        return pst_answer_invalid(ans, "owner", "an app cannot be given to another account");
    if (b.domains_max != a.domains_max && req->user.role != PST_ROLE_OPERATOR)
        return pst_answer_invalid(ans, "domains_max", "only an operator may change this limit");
    bool same = a.force_https == b.force_https && a.sticky_session == b.sticky_session &&
                a.router_logs == b.router_logs && a.domains_max == b.domains_max;
    if (same)
        return answer_app(req, tx, &a, 200, ans, err);
    a.force_https = b.force_https;
    a.sticky_session = b.sticky_session;
    a.router_logs = b.router_logs;
    a.domains_max = b.domains_max;
    a.updated_at_ms = pst_wall_ms(req->api->opts.clock);
    rc = pst_app_update(tx, &a, err);
    if (rc == PST_OK)
        rc = pst_req_event(req, tx, "app.changed", a.id, NULL, err,
                           "app %s: force HTTPS is %s, sticky sessions are %s, router logs are %s",
                           a.name, a.force_https ? "on" : "off", a.sticky_session ? "on" : "off",
                           a.router_logs ? "on" : "off");
    return rc == PST_OK ? answer_app(req, tx, &a, 200, ans, err) : rc;
}

int pst_apps_put(struct pst_req *req, struct pst_tx *tx, struct pst_answer *ans,
                 struct pst_err *err)
{
    return change_settings(req, tx, req->json, ans, err);
}

int pst_apps_patch(struct pst_req *req, struct pst_tx *tx, struct pst_answer *ans,
                   struct pst_err *err)
{
    return change_settings(req, tx, pst_json_get(req->json, "app"), ans, err);
}

/* ---- renaming ---- */

int pst_apps_rename(struct pst_req *req, struct pst_tx *tx, struct pst_answer *ans,
                    struct pst_err *err)
{
    const char *current = pst_json_get_text(req->json, "current_name");
    const char *name = pst_json_get_text(req->json, "new_name");
    char old[PST_WORD_SIZE];
    struct pst_app a;

    int rc = pst_req_app(req, tx, &a, ans, err);
    if (rc != PST_OK)
        return rc;
    if (!current || !pst_streq(current, a.name))
        return pst_answer_invalid(ans, "current_name", "must be the name that the app has now");
    const char *problem = name ? name_problem(name) : "is missing";
    if (problem)
        return pst_answer_invalid(ans, "new_name", "%s", problem);
    pst_str_copy(old, sizeof old, a.name);
    pst_str_copy(a.name, sizeof a.name, name);
    a.updated_at_ms = pst_wall_ms(req->api->opts.clock);
    rc = pst_app_update(tx, &a, err);
    if (rc == PST_CONFLICT)
        return pst_answer_invalid(ans, "new_name", "has already been taken");
    if (rc == PST_OK)
        rc = pst_req_event(req, tx, "app.renamed", a.id, NULL, err, "app %s is now called %s", old,
                           a.name);
    return rc == PST_OK ? answer_app(req, tx, &a, 200, ans, err) : rc;
}

/* ---- removing ---- */

struct removal {
    struct pst_req *req;
    struct pst_err *err;
};

static int note_domain(const struct pst_domain *d, void *arg)
{
    struct removal *r = arg;

    return pst_req_effect(r->req, PST_DOMAIN_REMOVED, d->id, d->ascii, r->err);
}

int pst_apps_delete(struct pst_req *req, struct pst_tx *tx, struct pst_answer *ans,
                    struct pst_err *err)
{
    const char *repeated = pst_target_query(&req->target, "current_name");
    struct removal r = {req, err};
    struct pst_app a;

    int rc = pst_req_app(req, tx, &a, ans, err);
    if (rc != PST_OK)
        return rc;
    if (!repeated || !pst_streq(repeated, a.name))
        return pst_answer_invalid(ans, "current_name",
                                  "must be the name of the app, to confirm that it is to go");
    rc = pst_domain_each(tx, a.id, note_domain, &r, err);
    if (rc == PST_OK)
        rc = pst_app_delete(tx, a.id, err);
    if (rc == PST_OK)
        rc = pst_req_event(req, tx, "app.removed", a.id, NULL, err,
                           "app %s was removed, and its domains: %zu", a.name, req->effects_n);
    return rc == PST_OK ? pst_answer_empty(ans, 204) : rc;
}
