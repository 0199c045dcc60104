/* webhooks.c - who is told of events. */
#include "api_internal.h"

#include <stdio.h>
#include <string.h>

#include <postern/event.h>
#include <postern/history.h>

enum { WEBHOOKS_MAX = 20, KINDS_MAX = 20, SECRET_BYTES = 32, SECRET_TEXT_MAX = 64 };

/* ---- as JSON ---- */

static struct pst_json *kinds_json(const char *kinds)
{
    auto_(pst_json_free) struct pst_json *list = pst_json_array();
    char kind[sizeof((struct pst_event *)0)->kind];

    while (list && *kinds) {
        size_t len = strcspn(kinds, " ");
        snprintf(kind, sizeof kind, "%.*s", (int)len, kinds);
        if (!pst_json_push_text(list, kind))
            return NULL;
        kinds += len + (kinds[len] == ' ');
    }
    return pst_take(&list);
}

static struct pst_json *webhook_json(const struct pst_webhook *w)
{
    auto_(pst_json_free) struct pst_json *j = pst_json_object();

    if (!pst_json_set_text(j, "id", w->id) || !pst_json_set_text(j, "user_id", w->user_id) ||
        !pst_json_set_or_null(j, "app_id", w->app_id) || !pst_json_set_text(j, "url", w->url) ||
        !pst_json_set(j, "events", kinds_json(w->kinds)) ||
        !pst_json_set_bool(j, "active", w->active) ||
        !pst_json_set_int(j, "failures", w->failures) ||
        !pst_json_set_int(j, "last_status", w->last_status) ||
        !pst_json_set_or_null(j, "last_error", w->last_error) ||
        !pst_json_set_time(j, "tried_at", w->tried_at_ms) ||
        !pst_json_set_time(j, "delivered_at", w->delivered_at_ms) ||
        !pst_json_set_time(j, "next_try_at", w->next_at_ms) ||
        !pst_json_set_time(j, "created_at", w->created_at_ms))
        return NULL;
    return pst_take(&j);
}

static int answer_one(struct pst_answer *ans, int status, const struct pst_webhook *w,
                      const struct pst_secret *secret, struct pst_err *err)
{
    auto_(pst_json_free) struct pst_json *one = webhook_json(w);
    auto_(pst_json_free) struct pst_json *j = pst_json_object();

    if (!one || (secret && !pst_json_set_text(one, "secret", (const char *)secret->data)) ||
        !pst_json_set(j, "webhook", pst_take(&one)))
        return pst_fail_nomem(err, "the webhook");
    return pst_answer_json(ans, status, j, err);
}

/* Operators see all; everybody else, readers too, only their own: URLs may hold secrets. */
static const char *whose(const struct pst_req *req)
{
    return req->user.role == PST_ROLE_OPERATOR ? "" : req->user.id;
}

/* The webhook of the first parameter.  PST_OK, PST_REFUSED (answered 404), negative. */
static int find(struct pst_req *req, struct pst_tx *tx, struct pst_webhook *ret,
                struct pst_answer *ans, struct pst_err *err)
{
    int rc = pst_webhook_get(tx, req->params[0], whose(req), ret, err);

    return rc == PST_NOTFOUND ? pst_answer_absent(ans, "webhook") : rc;
}

/* ---- reading ---- */

static int push(const struct pst_webhook *w, void *list)
{
    return pst_json_push(list, webhook_json(w)) ? PST_OK : PST_ENOMEM;
}

int pst_webhooks_list(struct pst_req *req, struct pst_tx *tx, struct pst_answer *ans,
                      struct pst_err *err)
{
    auto_(pst_json_free) struct pst_json *list = pst_json_array();
    auto_(pst_json_free) struct pst_json *j = pst_json_object();

    if (!list)
        return pst_fail_nomem(err, "the webhooks");
    int rc = pst_webhook_each(tx, whose(req), push, list, err);
    if (rc != PST_OK)
        return rc;
    if (!pst_json_set(j, "webhooks", pst_take(&list)))
        return pst_fail_nomem(err, "the webhooks");
    return pst_answer_json(ans, 200, j, err);
}

int pst_webhooks_get(struct pst_req *req, struct pst_tx *tx, struct pst_answer *ans,
                     struct pst_err *err)
{
    struct pst_webhook w;

    int rc = find(req, tx, &w, ans, err);
    return rc == PST_OK ? answer_one(ans, 200, &w, NULL, err) : rc;
}

/* ---- what is sent ---- */

struct webhook_body {
    const char *url, *app;
    const struct pst_json *events;
    bool active;
};

enum { MAYBE = PST_JSON_OPTIONAL };
static const struct pst_json_field fields[] = {
    PST_JSON_FIELD(struct webhook_body, url, "url", TEXT, MAYBE, 0),
    PST_JSON_FIELD(struct webhook_body, app, "app", TEXT, MAYBE | PST_JSON_NULLABLE, 0),
    PST_JSON_FIELD(struct webhook_body, events, "events", ARRAY, MAYBE, KINDS_MAX),
    PST_JSON_FIELD(struct webhook_body, active, "active", BOOL, MAYBE, 0),
};

static int read_kinds(const struct pst_json *list, struct pst_webhook *w, struct pst_answer *ans)
{
    auto_buf struct pst_buf text = PST_BUF(sizeof w->kinds - 1);

    for (size_t i = 0; i < pst_json_len(list); i++) {
        const char *kind = pst_json_text(pst_json_at(list, i));
        if (!kind || !pst_webhook_kind_ok(kind))
            return pst_answer_invalid(ans, "events",
                                      "each must be a kind of event such as domain.added, or a "
                                      "group of them such as domain.*");
        pst_buf_printf(&text, "%s%s", i ? " " : "", kind);
    }
    if (pst_buf_check(&text, "events", NULL) != PST_OK ||
        !pst_str_copy(w->kinds, sizeof w->kinds, pst_buf_cstr(&text)))
        return pst_answer_invalid(ans, "events", "are too long together");
    return PST_OK;
}

/* What of url, events and active was given. */
static int take_body(const struct webhook_body *b, struct pst_webhook *w, struct pst_answer *ans)
{
    struct pst_err why = {0};

    if (b->url && pst_webhook_url_check(b->url, &why) != PST_OK)
        return pst_answer_invalid(ans, "url", "%s", why.text);
    if (b->url)
        pst_str_copy(w->url, sizeof w->url, b->url);
    w->active = b->active;
    return b->events ? read_kinds(b->events, w, ans) : PST_OK;
}

static int read_app(struct pst_req *req, struct pst_tx *tx, const char *app, struct pst_webhook *w,
                    struct pst_answer *ans, struct pst_err *err)
{
    struct pst_app a;

    int rc = pst_app_find(tx, req->scope, app, &a, err);
    if (rc == PST_NOTFOUND)
        return pst_answer_invalid(ans, "app", "there is no such app");
    if (rc == PST_OK)
        pst_str_copy(w->app_id, sizeof w->app_id, a.id);
    return rc;
}

static int check_room(struct pst_req *req, struct pst_tx *tx, struct pst_answer *ans,
                      struct pst_err *err)
{
    int64_t n = 0;

    int rc = pst_user_lock(tx, req->user.id, err);
    if (rc == PST_OK)
        rc = pst_webhook_count(tx, req->user.id, &n, err);
    if (rc == PST_OK && n >= WEBHOOKS_MAX)
        return pst_answer_invalid(ans, "webhooks", "an account has at most %d", WEBHOOKS_MAX);
    return rc;
}

static int make_secret(struct pst_req *req, struct pst_secret *ret, struct pst_err *err)
{
    auto_buf_wipe struct pst_buf text = PST_BUF(SECRET_TEXT_MAX);
    unsigned char bytes[SECRET_BYTES];

    pst_rand_fill(req->api->opts.rand, bytes, sizeof bytes);
    pst_buf_str(&text, "whsec_");
    pst_b64url_add(&text, bytes, sizeof bytes);
    pst_wipe(bytes, sizeof bytes);
    int rc = pst_buf_check(&text, "a secret", err);
    return rc == PST_OK ? pst_secret_set(ret, text.data, text.len, err) : rc;
}

/* ---- changing ---- */

int pst_webhooks_create(struct pst_req *req, struct pst_tx *tx, struct pst_answer *ans,
                        struct pst_err *err)
{
    const struct pst_json *given = pst_json_get(req->json, "webhook");
    struct webhook_body b = {.active = true};
    auto_secret struct pst_secret secret = {0};
    struct pst_webhook w = {0};

    if (pst_json_type(given) != PST_JSON_OBJECT)
        return pst_answer_invalid(ans, "webhook", "missing field");
    int rc = pst_req_decode(given, fields, PST_ARRAY_N(fields), &b, ans);
    if (rc == PST_OK && !b.url)
        return pst_answer_invalid(ans, "url", "missing field");
    if (rc == PST_OK)
        rc = take_body(&b, &w, ans);
    if (rc == PST_OK && b.app)
        rc = read_app(req, tx, b.app, &w, ans, err);
    if (rc == PST_OK)
        rc = check_room(req, tx, ans, err);
    if (rc == PST_OK)
        rc = make_secret(req, &secret, err);
    pst_str_copy(w.user_id, sizeof w.user_id, req->user.id);
    if (rc == PST_OK)
        rc = pst_webhook_insert(tx, &w, &secret, err);
    if (rc == PST_OK)
        rc = pst_req_event(req, tx, "webhook.added", w.app_id, NULL, err, "webhook %s was added",
                           w.id);
    return rc == PST_OK ? answer_one(ans, 201, &w, &secret, err) : rc;
}

int pst_webhooks_patch(struct pst_req *req, struct pst_tx *tx, struct pst_answer *ans,
                       struct pst_err *err)
{
    const struct pst_json *given = pst_json_get(req->json, "webhook");
    struct pst_webhook w;

    int rc = find(req, tx, &w, ans, err);
    if (rc != PST_OK)
        return rc;
    if (pst_json_type(given) != PST_JSON_OBJECT)
        return pst_answer_invalid(ans, "webhook", "missing field");
    struct webhook_body b = {.active = w.active};
    rc = pst_req_decode(given, fields, PST_ARRAY_N(fields), &b, ans);
    if (rc == PST_OK && b.app)
        return pst_answer_invalid(ans, "app", "cannot change; make another webhook");
    if (rc == PST_OK)
        rc = take_body(&b, &w, ans);
    if (rc == PST_OK)
        rc = pst_webhook_update(tx, &w, err);
    if (rc == PST_OK)
        rc = pst_req_event(req, tx, "webhook.changed", w.app_id, NULL, err,
                           "webhook %s was changed, it is %s", w.id, w.active ? "on" : "off");
    if (rc == PST_OK)
        rc = pst_webhook_get(tx, w.id, "", &w, err);
    return rc == PST_OK ? answer_one(ans, 200, &w, NULL, err) : rc;
}

int pst_webhooks_delete(struct pst_req *req, struct pst_tx *tx, struct pst_answer *ans,
                        struct pst_err *err)
{
    struct pst_webhook w;

    int rc = find(req, tx, &w, ans, err);
    if (rc == PST_OK)
        rc = pst_webhook_delete(tx, w.id, err);
    if (rc == PST_NOTFOUND)
        return pst_answer_absent(ans, "webhook");
    if (rc == PST_OK)
        rc = pst_req_event(req, tx, "webhook.removed", w.app_id, NULL, err,
                           "webhook %s was removed", w.id);
    return rc == PST_OK ? pst_answer_empty(ans, 204) : rc;
}

/* Sent by the threads of the webhooks, not from here: the receiver is a tenant's host. */
int pst_webhooks_ping(struct pst_req *req, struct pst_tx *tx, struct pst_answer *ans,
                      struct pst_err *err)
{
    struct pst_webhook w;

    int rc = find(req, tx, &w, ans, err);
    if (rc != PST_OK)
        return rc;
    if (!w.active)
        return pst_answer_invalid(ans, "active", "the webhook is off; switch it on first");
    pst_id_new(req->api->opts.rand, w.ping_id);
    rc = pst_webhook_update(tx, &w, err);
    return rc == PST_OK ? answer_one(ans, 202, &w, NULL, err) : rc;
}
