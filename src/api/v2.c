/*
 * v2.c - what Clever Cloud's tools ask for: who am I, which apps, their names ("vhosts") and
 * environment.  Changes go through the handlers of /v1, so that there is one set of rules; only the
 * shapes differ.
 *
 * Their ids are words with UUIDs ("app_...", "user_..."): ours, 12 bytes, fit into one.
 */
#include "api_internal.h"

#include <stdio.h>
#include <string.h>

#include "v2_answer.h"

enum { V2_ID_SIZE = 48, FAVOURITE_NOT_SET = 4021 };

/* ---- ids ---- */

/* "0123456789abcdef01234567" as "app_01234567-89ab-4cde-8f01-234567000000". */
static void foreign_id(const char *prefix, const char *id, char to[V2_ID_SIZE])
{
    snprintf(to, V2_ID_SIZE, "%s_%.8s-%.4s-4%.3s-8%.3s-%.6s000000", prefix, id, id + 8, id + 12,
             id + 15, id + 18);
}

/* The other way; what has another form (a name, an id of ours) stays as it is. */
static void own_id(const char *prefix, const char *given, char *to, size_t to_size)
{
    char id[PST_ID_SIZE], again[V2_ID_SIZE];
    size_t len = strlen(prefix);

    pst_str_copy(to, to_size, given);
    if (strlen(given) != len + 37 || strncmp(given, prefix, len) != 0 || given[len] != '_')
        return;
    const char *u = given + len + 1;
    snprintf(id, sizeof id, "%.8s%.4s%.3s%.3s%.6s", u, u + 9, u + 15, u + 20, u + 24);
    foreign_id(prefix, id, again);
    if (pst_streq(again, given))
        pst_str_copy(to, to_size, id);
}

/*
 * Set the parameters as the handlers of /v1 want them: app, then what is below it.  From the target
 * itself, because a handler may run again.
 *
 *   /v2/organisations/:owner/applications/:app/...    /v2/self/applications/:app/...
 */
static int enter_app(struct pst_req *req, struct pst_answer *ans)
{
    const struct pst_target *t = &req->target;
    bool own = pst_streq(t->seg[1], "self");
    size_t at = own ? 3 : 4;
    char owner[PST_HOST_SIZE];

    if (!own) {
        own_id("user", t->seg[2], owner, sizeof owner);
        if (!pst_streq(owner, req->user.id) && !pst_streq(owner, req->user.username))
            return pst_answer_absent(ans, "organisation");
    }
    own_id("app", t->seg[at], req->v2_app, sizeof req->v2_app);
    req->params[0] = req->v2_app;
    req->params[1] = at + 2 < t->seg_n ? t->seg[at + 2] : NULL;
    return PST_OK;
}

/* ---- who and what ---- */

static bool set_user(struct pst_json *j, const struct pst_user *u)
{
    char id[V2_ID_SIZE];

    foreign_id("user", u->id, id);
    return pst_json_set_text(j, "id", id) && pst_json_set_text(j, "email", u->email) &&
           pst_json_set_text(j, "name", u->fullname);
}

int pst_v2_self(struct pst_req *req, struct pst_tx *tx, struct pst_answer *ans, struct pst_err *err)
{
    auto_(pst_json_free) struct pst_json *j = pst_json_object();

    (void)tx;
    if (!set_user(j, &req->user) || !pst_json_set_int(j, "creationDate", req->user.created_at_ms))
        return pst_fail_nomem(err, "the account");
    return pst_answer_json(ans, 200, j, err);
}

int pst_v2_token(struct pst_req *req, struct pst_tx *tx, struct pst_answer *ans,
                 struct pst_err *err)
{
    auto_(pst_json_free) struct pst_json *j = pst_json_object();

    (void)tx;
    if (!pst_json_set_text(j, "token", req->token.id) ||
        !pst_json_set_text(j, "name", req->token.name) ||
        !pst_json_set_int(j, "creationDate", req->token.created_at_ms) ||
        !pst_json_set_null(j, "expirationDate"))
        return pst_fail_nomem(err, "the token");
    return pst_answer_json(ans, 200, j, err);
}

struct listing {
    struct pst_req *req;
    struct pst_json *list;
};

static int list_app(const struct pst_app *a, void *arg)
{
    const struct listing *l = arg;
    auto_(pst_json_free) struct pst_json *j = pst_json_object();
    char id[V2_ID_SIZE];

    if (l->req->token.app_id[0] && !pst_streq(l->req->token.app_id, a->id))
        return PST_OK;
    foreign_id("app", a->id, id);
    if (!pst_json_set_text(j, "id", id) || !pst_json_set_text(j, "name", a->name) ||
        !pst_json_set_text(j, "variantSlug", "postern"))
        return PST_ENOMEM;
    return pst_json_push(l->list, pst_take(&j)) ? PST_OK : PST_ENOMEM;
}

int pst_v2_summary(struct pst_req *req, struct pst_tx *tx, struct pst_answer *ans,
                   struct pst_err *err)
{
    auto_(pst_json_free) struct pst_json *user = pst_json_object();
    auto_(pst_json_free) struct pst_json *apps = pst_json_array();
    auto_(pst_json_free) struct pst_json *j = pst_json_object();
    struct listing l = {req, apps};

    int rc = pst_app_each(tx, req->scope, list_app, &l, err);
    if (rc != PST_OK)
        return rc;
    if (!set_user(user, &req->user) || !pst_json_set(user, "applications", pst_take(&apps)) ||
        !pst_json_set(user, "addons", pst_json_array()) ||
        !pst_json_set(user, "consumers", pst_json_array()) ||
        !pst_json_set(j, "user", pst_take(&user)) ||
        !pst_json_set(j, "organisations", pst_json_array()))
        return pst_fail_nomem(err, "the summary");
    return pst_answer_json(ans, 200, j, err);
}

/* ---- vhosts ---- */

static int list_vhost(const struct pst_domain *d, void *arg)
{
    auto_(pst_json_free) struct pst_json *j = pst_json_object();

    if (!pst_json_set_text(j, "fqdn", d->name))
        return PST_ENOMEM;
    return pst_json_push(arg, pst_take(&j)) ? PST_OK : PST_ENOMEM;
}

static int vhosts(struct pst_req *req, struct pst_tx *tx, struct pst_app *ret_app,
                  struct pst_json **ret, struct pst_answer *ans, struct pst_err *err)
{
    auto_(pst_json_free) struct pst_json *list = pst_json_array();

    int rc = enter_app(req, ans);
    if (rc == PST_OK)
        rc = pst_req_app(req, tx, ret_app, ans, err);
    if (rc != PST_OK)
        return rc;
    if (!list)
        return pst_fail_nomem(err, "the names");
    rc = pst_domain_each(tx, ret_app->id, list_vhost, list, err);
    if (rc == PST_OK)
        *ret = pst_take(&list);
    return rc;
}

int pst_v2_vhosts(struct pst_req *req, struct pst_tx *tx, struct pst_answer *ans,
                  struct pst_err *err)
{
    auto_(pst_json_free) struct pst_json *list = NULL;
    struct pst_app a;

    int rc = vhosts(req, tx, &a, &list, ans, err);
    return rc == PST_OK ? pst_answer_json(ans, 200, list, err) : rc;
}

int pst_v2_app(struct pst_req *req, struct pst_tx *tx, struct pst_answer *ans, struct pst_err *err)
{
    auto_(pst_json_free) struct pst_json *list = NULL;
    auto_(pst_json_free) struct pst_json *j = pst_json_object();
    char id[V2_ID_SIZE], owner[V2_ID_SIZE];
    struct pst_app a;

    int rc = vhosts(req, tx, &a, &list, ans, err);
    if (rc != PST_OK)
        return rc;
    foreign_id("app", a.id, id);
    foreign_id("user", a.user_id, owner);
    if (!pst_json_set_text(j, "id", id) || !pst_json_set_text(j, "name", a.name) ||
        !pst_json_set_text(j, "ownerId", owner) ||
        !pst_json_set_bool(j, "forceHttps", a.force_https) ||
        !pst_json_set_bool(j, "stickySessions", a.sticky_session) ||
        !pst_json_set_int(j, "creationDate", a.created_at_ms) ||
        !pst_json_set(j, "vhosts", pst_take(&list)))
        return pst_fail_nomem(err, "the app");
    return pst_answer_json(ans, 200, j, err);
}

static int done(struct pst_answer *ans, const char *text)
{
    return pst_v2_message(ans, 200, 200, "success", text);
}

/* Names with a path stand for a part of a site, which this platform has not. */
static int check_path(const char *fqdn, struct pst_answer *ans)
{
    return strchr(fqdn, '/') ? pst_answer_invalid(ans, "fqdn",
                                                  "a name with a path is not possible "
                                                  "here: give the name alone")
                             : PST_OK;
}

static int is_there_tx(struct pst_tx *tx, void *arg, struct pst_err *err)
{
    struct pst_req *req = arg;
    struct pst_app a;
    struct pst_domain d;

    int rc = pst_app_find(tx, req->scope, req->params[0], &a, err);
    return rc == PST_OK ? pst_domain_find(tx, a.id, req->params[1], &d, err) : rc;
}

int pst_v2_vhost_put(struct pst_req *req, struct pst_tx *tx, struct pst_answer *ans,
                     struct pst_err *err)
{
    int rc = enter_app(req, ans);

    if (rc == PST_OK)
        rc = check_path(req->params[1], ans);
    if (rc != PST_OK)
        return rc;
    if (!req->again) {
        auto_(pst_json_free) struct pst_json *domain = pst_json_object();
        pst_json_free(req->json);
        req->json = pst_json_object();
        if (!pst_json_set_text(domain, "name", req->params[1]) ||
            !pst_json_set(req->json, "domain", pst_take(&domain)))
            return pst_fail_nomem(err, "the name");
    }
    rc = pst_domains_create(req, tx, ans, err);
    /* PUT may be repeated. */
    if (rc == PST_REFUSED && ans->status == 422 &&
        pst_store_read(req->api->opts.store, is_there_tx, req, NULL) == PST_OK)
        rc = PST_OK;
    return rc == PST_OK ? done(ans, "The name has been added.") : rc;
}

int pst_v2_vhost_delete(struct pst_req *req, struct pst_tx *tx, struct pst_answer *ans,
                        struct pst_err *err)
{
    int rc = enter_app(req, ans);

    if (rc == PST_OK)
        rc = pst_domains_delete(req, tx, ans, err);
    return rc == PST_OK ? done(ans, "The name has been removed.") : rc;
}

/* ---- the favourite one ---- */

static int answer_fqdn(const struct pst_domain *d, struct pst_answer *ans, struct pst_err *err)
{
    auto_(pst_json_free) struct pst_json *j = pst_json_object();

    if (!pst_json_set_text(j, "fqdn", d->name))
        return pst_fail_nomem(err, "the name");
    return pst_answer_json(ans, 200, j, err);
}

int pst_v2_favourite_get(struct pst_req *req, struct pst_tx *tx, struct pst_answer *ans,
                         struct pst_err *err)
{
    char id[PST_ID_SIZE];
    struct pst_app a;
    struct pst_domain d;

    int rc = enter_app(req, ans);
    if (rc == PST_OK)
        rc = pst_req_app(req, tx, &a, ans, err);
    if (rc != PST_OK)
        return rc;
    rc = pst_app_favourite(tx, a.id, id, err);
    if (rc == PST_OK)
        rc = pst_domain_get(tx, id, &d, err);
    if (rc == PST_NOTFOUND) /* clever-tools look at the status and at the id */
        return pst_v2_message(ans, 404, FAVOURITE_NOT_SET, "error", "no favourite name is set");
    return rc == PST_OK ? answer_fqdn(&d, ans, err) : rc;
}

int pst_v2_favourite_put(struct pst_req *req, struct pst_tx *tx, struct pst_answer *ans,
                         struct pst_err *err)
{
    const char *fqdn = pst_json_get_text(req->json, "fqdn");
    struct pst_app a;
    struct pst_domain d;

    int rc = enter_app(req, ans);
    if (rc == PST_OK)
        rc = pst_req_app(req, tx, &a, ans, err);
    if (rc != PST_OK)
        return rc;
    if (!fqdn)
        return pst_answer_invalid(ans, "fqdn", "must be one of the app's names");
    rc = pst_domain_find(tx, a.id, fqdn, &d, err);
    if (rc == PST_NOTFOUND)
        return pst_answer_absent(ans, "vhost");
    if (rc == PST_OK)
        rc = pst_app_favourite_set(tx, a.id, d.id, err);
    return rc == PST_OK ? answer_fqdn(&d, ans, err) : rc;
}

int pst_v2_favourite_delete(struct pst_req *req, struct pst_tx *tx, struct pst_answer *ans,
                            struct pst_err *err)
{
    struct pst_app a;

    int rc = enter_app(req, ans);
    if (rc == PST_OK)
        rc = pst_req_app(req, tx, &a, ans, err);
    if (rc == PST_OK)
        rc = pst_app_favourite_set(tx, a.id, "", err);
    return rc == PST_OK ? pst_answer_empty(ans, 204) : rc;
}

/* ---- env ---- */

static int list_variable(const struct pst_variable *v, void *arg)
{
    auto_(pst_json_free) struct pst_json *j = pst_json_object();

    if (!pst_json_set_text(j, "name", v->name) ||
        !pst_json_set_text(j, "value", v->value.data ? (const char *)v->value.data : ""))
        return PST_ENOMEM;
    return pst_json_push(arg, pst_take(&j)) ? PST_OK : PST_ENOMEM;
}

int pst_v2_env(struct pst_req *req, struct pst_tx *tx, struct pst_answer *ans, struct pst_err *err)
{
    auto_(pst_json_free) struct pst_json *list = pst_json_array();
    struct pst_app a;

    int rc = enter_app(req, ans);
    if (rc == PST_OK)
        rc = pst_variables_app(req, tx, &a, ans, err);
    if (rc != PST_OK)
        return rc;
    if (!list)
        return pst_fail_nomem(err, "the variables");
    rc = pst_variable_each(tx, a.id, list_variable, list, err);
    return rc == PST_OK ? pst_answer_json(ans, 200, list, err) : rc;
}

/* Of add-ons and of other apps there are none. */
int pst_v2_env_none(struct pst_req *req, struct pst_tx *tx, struct pst_answer *ans,
                    struct pst_err *err)
{
    auto_(pst_json_free) struct pst_json *list = pst_json_array();
    struct pst_app a;

    int rc = enter_app(req, ans);
    if (rc == PST_OK)
        rc = pst_req_app(req, tx, &a, ans, err);
    return rc == PST_OK ? pst_answer_json(ans, 200, list, err) : rc;
}

/* Run a handler of /v1 with a body of ours; the request's own stays, should this run again. */
static int run_with(pst_handler *run, struct pst_json *body, struct pst_req *req, struct pst_tx *tx,
                    struct pst_answer *ans, struct pst_err *err)
{
    struct pst_json *given = req->json;

    req->json = body;
    int rc = run(req, tx, ans, err);
    req->json = given;
    return rc;
}

int pst_v2_env_put(struct pst_req *req, struct pst_tx *tx, struct pst_answer *ans,
                   struct pst_err *err)
{
    const char *value = pst_json_get_text(req->json, "value");
    auto_(pst_json_free) struct pst_json *one = pst_json_object();
    auto_(pst_json_free) struct pst_json *body = pst_json_object();

    int rc = enter_app(req, ans);
    if (rc != PST_OK)
        return rc;
    if (!value)
        return pst_answer_invalid(ans, "value", "must be a text");
    if (!pst_json_set_text(one, "name", req->params[1]) ||
        !pst_json_set_text(one, "value", value) || !pst_json_set(body, "variable", pst_take(&one)))
        return pst_fail_nomem(err, "the variable");
    rc = run_with(pst_variables_create, body, req, tx, ans, err);
    return rc == PST_OK ? done(ans, "The variable has been set.") : rc;
}

/* A member of {"NAME":"value"} as an entry of /v1's list. */
static int add_entry(const char *name, const struct pst_json *value, void *list)
{
    auto_(pst_json_free) struct pst_json *one = pst_json_object();

    if (!pst_json_set_text(one, "name", name) || !pst_json_set(one, "value", pst_json_clone(value)))
        return PST_ENOMEM;
    return pst_json_push(list, pst_take(&one)) ? PST_OK : PST_ENOMEM;
}

struct unlisted {
    const struct pst_json *wanted;
    struct pst_json *ids;
};

static int note_unlisted(const struct pst_variable *v, void *arg)
{
    struct unlisted *u = arg;

    for (size_t i = 0; i < pst_json_len(u->wanted); i++)
        if (pst_streq(v->name, pst_json_get_text(pst_json_at(u->wanted, i), "name")))
            return PST_OK;
    return pst_json_push_text(u->ids, v->id) ? PST_OK : PST_ENOMEM;
}

static int remove_unlisted(struct pst_req *req, struct pst_tx *tx, const struct pst_json *wanted,
                           struct pst_answer *ans, struct pst_err *err)
{
    auto_(pst_json_free) struct pst_json *ids = pst_json_array();
    auto_(pst_json_free) struct pst_json *body = pst_json_object();
    struct unlisted u = {wanted, ids};
    struct pst_app a;

    int rc = pst_req_app(req, tx, &a, ans, err);
    if (rc != PST_OK)
        return rc;
    if (!ids)
        return pst_fail_nomem(err, "the variables");
    rc = pst_variable_each(tx, a.id, note_unlisted, &u, err);
    if (rc != PST_OK || pst_json_len(ids) == 0)
        return rc;
    if (!pst_json_set(body, "variable_ids", pst_take(&ids)))
        return pst_fail_nomem(err, "the variables");
    return run_with(pst_variables_delete_list, body, req, tx, ans, err);
}

/* The whole environment, as {"NAME":"value"} or as the list that GET gives: what is not there
 * goes. */
int pst_v2_env_put_all(struct pst_req *req, struct pst_tx *tx, struct pst_answer *ans,
                       struct pst_err *err)
{
    auto_(pst_json_free) struct pst_json *wanted = NULL;
    auto_(pst_json_free) struct pst_json *body = pst_json_object();
    enum pst_json_type type = pst_json_type(req->json);

    int rc = enter_app(req, ans);
    if (rc != PST_OK)
        return rc;
    if (type != PST_JSON_OBJECT && type != PST_JSON_ARRAY)
        return pst_answer_invalid(ans, "body", "must be an object of names and values");
    wanted = type == PST_JSON_ARRAY ? pst_json_clone(req->json) : pst_json_array();
    if (!wanted || pst_json_each(req->json, add_entry, wanted) != 0)
        return pst_fail_nomem(err, "the variables");
    rc = remove_unlisted(req, tx, wanted, ans, err);
    if (rc != PST_OK)
        return rc;
    if (!pst_json_set(body, "variables", pst_take(&wanted)))
        return pst_fail_nomem(err, "the variables");
    rc = run_with(pst_variables_put, body, req, tx, ans, err);
    return rc == PST_OK ? done(ans, "The environment has been set.") : rc;
}

int pst_v2_env_delete(struct pst_req *req, struct pst_tx *tx, struct pst_answer *ans,
                      struct pst_err *err)
{
    int rc = enter_app(req, ans);

    if (rc == PST_OK)
        rc = pst_variables_delete(req, tx, ans, err);
    return rc == PST_OK ? done(ans, "The variable has been removed.") : rc;
}
