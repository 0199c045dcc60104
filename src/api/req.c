/* req.c - a request as its handler sees it, and running it from route to answer. */
#include "api_internal.h"

#include <stdio.h>
#include <string.h>

#include <postern/conf.h>

#include "v2_answer.h"

enum { EDGES_LOOK_MS = 250 };

struct pst_req *pst_req_new(struct pst_api *api)
{
    struct pst_req *req = pst_zalloc(1, sizeof *req);

    if (!req)
        return NULL;
    req->api = api;
    req->refs = 1;
    req->began_ms = pst_mono_ms(api->opts.clock);
    req->body = (struct pst_buf)PST_BUF(api->set.body_max);
    pst_answer_init(&req->answer);
    pst_answer_init(&req->held);
    pst_id_new(api->opts.rand, req->id);
    pst_str_copy(req->peer, sizeof req->peer, "?");
    return req;
}

void pst_req_free(struct pst_req *req)
{
    if (!req)
        return;
    if (req->authorization)
        pst_wipe(req->authorization, strlen(req->authorization));
    pst_free(req->authorization);
    pst_buf_wipe(&req->body);
    pst_json_free(req->json);
    pst_free(req->effects);
    pst_answer_deinit(&req->answer);
    pst_answer_deinit(&req->held);
    pst_free(req);
}

int pst_req_effect(struct pst_req *req, enum pst_effect_kind kind, const char *id,
                   const char *ascii, struct pst_err *err)
{
    if (req->effects_n == req->effects_cap) {
        size_t cap = req->effects_cap ? 2 * req->effects_cap : 4;
        struct pst_effect *more = pst_realloc(req->effects, cap * sizeof *more);
        if (!more)
            return pst_fail_nomem(err, "what follows the change");
        req->effects = more;
        req->effects_cap = cap;
    }
    struct pst_effect *e = &req->effects[req->effects_n++];
    *e = (struct pst_effect){.kind = kind};
    pst_str_copy(e->id, sizeof e->id, id);
    pst_str_copy(e->ascii, sizeof e->ascii, ascii);
    return PST_OK;
}

int pst_req_event(struct pst_req *req, struct pst_tx *tx, const char *kind, const char *app_id,
                  const char *domain_id, struct pst_err *err, const char *fmt, ...)
{
    char text[2 * sizeof((struct pst_event *)0)->text];
    struct pst_event e = {0};
    va_list ap;

    pst_str_copy(e.kind, sizeof e.kind, kind);
    pst_str_copy(e.request_id, sizeof e.request_id, req->id);
    pst_str_copy(e.app_id, sizeof e.app_id, app_id ? app_id : "");
    pst_str_copy(e.domain_id, sizeof e.domain_id, domain_id ? domain_id : "");
    if (req->edge.id[0])
        snprintf(e.actor, sizeof e.actor, "edge:%s", req->edge.name);
    else
        snprintf(e.actor, sizeof e.actor, "user:%s", req->user.username);
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    pst_str_cut(e.text, sizeof e.text, text); /* half a character is no text to a database */
    return pst_event_append(tx, &e, err);
}

int pst_req_decode(const struct pst_json *obj, const struct pst_json_field *fields, size_t n,
                   void *dest, struct pst_answer *ans)
{
    struct pst_err why = {0};

    int rc = pst_json_decode(obj, fields, n, dest, PST_JSON_IGNORE, &why);
    if (rc == PST_EINPUT)
        return pst_answer_invalid(ans, why.problem[0] ? why.problem : "body", "%s", why.text);
    return rc;
}

int pst_req_app_named(struct pst_req *req, struct pst_tx *tx, const char *id_or_name,
                      struct pst_app *ret, struct pst_err *err)
{
    int rc = pst_app_find(tx, req->scope, id_or_name, ret, err);

    /* To a token that is bound to one app the others do not exist. */
    if (rc == PST_OK && req->token.app_id[0] && !pst_streq(req->token.app_id, ret->id))
        rc = PST_NOTFOUND;
    return rc;
}

int pst_req_app(struct pst_req *req, struct pst_tx *tx, struct pst_app *ret, struct pst_answer *ans,
                struct pst_err *err)
{
    int rc = pst_req_app_named(req, tx, req->params[0], ret, err);

    return rc == PST_NOTFOUND ? pst_answer_absent(ans, "app") : rc;
}

int pst_req_domain(struct pst_req *req, struct pst_tx *tx, struct pst_app *ret_app,
                   struct pst_domain *ret, struct pst_answer *ans, struct pst_err *err)
{
    int rc = pst_req_app(req, tx, ret_app, ans, err);

    if (rc == PST_OK)
        rc = pst_domain_find(tx, ret_app->id, req->params[1], ret, err);
    return rc == PST_NOTFOUND ? pst_answer_absent(ans, "domain") : rc;
}

/* ---- answers that wait for the edges ---- */

struct readiness {
    const struct pst_req *req;
    int64_t live_n, ready_n;
};

static int readiness_tx(struct pst_tx *tx, void *arg, struct pst_err *err)
{
    struct readiness *r = arg;
    const struct pst_api *api = r->req->api;
    int64_t live_ms = pst_conf_int(api->set.conf, PST_CONF_EDGE_LIVE_TIMEOUT) * 1000;

    return pst_edge_readiness(tx, r->req->hold_rev, pst_wall_ms(api->opts.clock), live_ms,
                              &r->live_n, &r->ready_n, err);
}

int pst_req_held(struct pst_req *req, struct pst_answer *ans, struct pst_err *err)
{
    struct readiness r = {.req = req};
    int64_t now_ms = pst_mono_ms(req->api->opts.clock);

    int rc = pst_store_read(req->api->opts.store, readiness_tx, &r, err);
    if (rc != PST_OK)
        return rc;
    if (r.ready_n < r.live_n && now_ms < req->hold_until_ms) {
        /* An edge may acknowledge at another posternd, of which only the database tells. */
        req->wait_until_ms = now_ms + EDGES_LOOK_MS < req->hold_until_ms ? now_ms + EDGES_LOOK_MS
                                                                         : req->hold_until_ms;
        return PST_NOTYET;
    }
    if (r.ready_n < r.live_n)
        pst_log_warn("api", "answered before every edge has the change",
                     pst_kv_i("edges", r.live_n), pst_kv_i("have_it", r.ready_n),
                     pst_kv_s("request_id", req->id));
    struct pst_answer mine = req->held;
    req->held = *ans;
    *ans = mine;
    return PST_OK;
}

int pst_req_hold(struct pst_req *req, int64_t rev, struct pst_answer *ans, struct pst_err *err)
{
    struct pst_answer mine = *ans;

    *ans = req->held;
    req->held = mine;
    req->hold_rev = rev;
    req->hold_until_ms = pst_mono_ms(req->api->opts.clock) + PST_API_EDGES_MS;
    return pst_req_held(req, ans, err);
}

/* ---- running ---- */

struct run {
    struct pst_req *req;
    struct pst_claims claims;
    struct pst_answer *ans;
};

static int find_route(struct pst_req *req, struct pst_answer *ans)
{
    const char *allow = NULL;

    switch (pst_route_find(req->method, &req->target, &req->route, req->params, &allow)) {
    case PST_OK:
        return PST_OK;
    case PST_NOTFOUND:
        return pst_answer_error(ans, 404, "there is no such path");
    default:
        pst_answer_error(ans, 405, "this path does not know the method %s", req->method_name);
        ans->allow = allow;
        return PST_REFUSED;
    }
}

static int read_body(struct pst_req *req, struct pst_answer *ans, struct pst_err *err)
{
    struct pst_err why = {0};

    if (req->again)
        return PST_OK;
    pst_json_free(req->json);
    req->json = NULL;
    if (req->route->body == PST_BODY_NONE || req->route->body == PST_BODY_RAW ||
        (req->route->body == PST_BODY_MAYBE && req->body.len == 0))
        return PST_OK;
    int rc = pst_json_parse(&req->json, pst_buf_cstr(&req->body), req->body.len, &why);
    if (rc == PST_EINPUT)
        return pst_answer_error(ans, 400, "There was a problem in the JSON you submitted: %s",
                                why.text);
    if (rc < 0)
        *err = why;
    return rc;
}

int pst_req_object(const struct pst_req *req, struct pst_answer *ans)
{
    enum pst_json_type type = pst_json_type(req->json);

    if (type == PST_JSON_OBJECT || (type == PST_JSON_NULL && req->route->body == PST_BODY_MAYBE))
        return PST_OK;
    return pst_answer_invalid(ans, "body", "must be a JSON object");
}

/* A dry import is one that is made, and then changes no domain. */
static bool is_import(const struct pst_req *req)
{
    return pst_str_starts(req->route->pattern, "/v1/imports");
}

/* Inside the transaction, if there is one.  May run again. */
static int run_in_tx(struct pst_tx *tx, void *arg, struct pst_err *err)
{
    struct run *r = arg;
    struct pst_req *req = r->req;

    req->effects_n = 0;
    pst_answer_reset(r->ans);
    int rc = pst_auth_load(req, tx, &r->claims, r->ans, err);
    if (rc == PST_OK)
        rc = req->route->run(req, tx, r->ans, err);
    /* The answer of a dry run stands, but what was written for it goes. */
    bool dry = req->dry_run && req->route->tx == PST_TX_WRITE && !is_import(req);
    return rc == PST_OK && dry ? PST_REFUSED : rc;
}

/* What asks others, or waits for the edges, cannot be taken back: it must not be done for somebody
 * who only wants to know. */
static int check_dry_run(const struct pst_req *req, struct pst_answer *ans)
{
    static const char *const harmless[] = {"/v1/tokens/exchange", "/v1/certificates/check"};

    if (!req->dry_run || req->method == PST_GET || req->route->tx != PST_TX_NONE || is_import(req))
        return PST_OK;
    for (size_t i = 0; i < PST_ARRAY_N(harmless); i++)
        if (pst_streq(req->route->pattern, harmless[i]))
            return PST_OK;
    return pst_answer_error(ans, 400, "X-Dry-Run is not known here; nothing was done");
}

/* A route without a transaction of its own still needs one to see who asks. */
static int auth_in_tx(struct pst_tx *tx, void *arg, struct pst_err *err)
{
    struct run *r = arg;

    pst_answer_reset(r->ans);
    return pst_auth_load(r->req, tx, &r->claims, r->ans, err);
}

static int run_route(struct run *r, struct pst_err *err)
{
    struct pst_req *req = r->req;
    struct pst_store *store = req->api->opts.store;

    switch (req->route->tx) {
    case PST_TX_READ:
        return pst_store_read(store, run_in_tx, r, err);
    case PST_TX_WRITE:
        return pst_store_write(store, run_in_tx, r, NULL, err);
    default: {
        int rc = PST_OK;
        if (req->route->need != PST_NEED_NOTHING)
            rc = pst_store_read(store, auth_in_tx, r, err);
        return rc == PST_OK ? req->route->run(req, NULL, r->ans, err) : rc;
    }
    }
}

static void call_hooks(struct pst_req *req)
{
    const struct pst_api_hooks *h = &req->api->opts.hooks;

    for (size_t i = 0; i < req->effects_n; i++) {
        const struct pst_effect *e = &req->effects[i];
        if (e->kind == PST_DOMAIN_ADDED && h->domain_added)
            h->domain_added(h->arg, e->id, e->ascii);
        else if (e->kind == PST_DOMAIN_CHANGED && h->domain_changed)
            h->domain_changed(h->arg, e->id, e->ascii);
        else if (e->kind == PST_DOMAIN_REMOVED && h->domain_removed)
            h->domain_removed(h->arg, e->id);
    }
    req->effects_n = 0; /* once, also when the answer is held back and comes later */
}

static void answer_fault(struct pst_req *req, struct pst_answer *ans, const struct pst_err *err)
{
    bool later = err->rc == PST_ENOMEM || (err->rc == PST_EDB && err->retry == PST_RETRY_BACKOFF);

    pst_log_err("api", "request failed", err, pst_kv_s("method", req->method_name),
                pst_kv_s("route", req->route ? req->route->pattern : "-"),
                pst_kv_s("request_id", req->id));
    if (later) {
        pst_answer_error(ans, 503, "the server cannot do this at the moment; try again");
        ans->retry_after_s = 2;
    } else {
        pst_answer_error(ans, 500, "the server failed; its log has the reason under request %s",
                         req->id);
    }
}

static void log_answer(const struct pst_req *req, const struct pst_answer *ans)
{
    bool quiet = req->method == PST_GET && ans->status < 400;

    pst_log(quiet ? PST_LOG_DEBUG : PST_LOG_INFO, "api", "request",
            pst_kv_s("method", req->method_name),
            pst_kv_s("route", req->route ? req->route->pattern : "-"),
            pst_kv_i("status", ans->status),
            pst_kv_i("took_ms", pst_mono_ms(req->api->opts.clock) - req->began_ms),
            pst_kv_s("user", req->user.username[0] ? req->user.username : NULL),
            pst_kv_s("peer", req->peer), pst_kv_s("request_id", req->id));
}

int pst_dispatch(struct pst_req *req, struct pst_answer *ans)
{
    struct run r = {.req = req, .ans = ans};
    struct pst_err err = {0};

    req->effects_n = 0;
    int rc = find_route(req, ans);
    if (rc == PST_OK)
        rc = check_dry_run(req, ans);
    if (rc == PST_OK)
        rc = pst_auth_read(req, &r.claims, ans);
    if (rc == PST_OK)
        rc = read_body(req, ans, &err);
    if (rc == PST_OK)
        rc = run_route(&r, &err);
    if (rc == PST_NOTYET && req->route->tx == PST_TX_NONE) {
        call_hooks(req);
        return PST_NOTYET;
    }
    pst_auth_note_use(req);
    if (rc == PST_OK) {
        call_hooks(req);
    } else if (rc != PST_REFUSED) {
        if (rc > 0)
            pst_unexpected(&err, rc, "a handler");
        err.rc = err.rc ? err.rc : rc;
        answer_fault(req, ans, &err);
    }
    if (ans->status >= 400 && req->target.seg_n && pst_streq(req->target.seg[0], "v2"))
        pst_v2_refusal(req, ans);
    log_answer(req, ans);
    return PST_OK;
}
