/* platform.c - what clients ask about the platform itself: regions, stacks, health, certificates.
 */
#include "api_internal.h"

#include <stdio.h>
#include <string.h>

#include <postern/conf.h>
#include <postern/feed.h>

#include "domain_view.h"

int pst_regions_list(struct pst_req *req, struct pst_tx *tx, struct pst_answer *ans,
                     struct pst_err *err)
{
    const char *name = req->api->set.region;
    char url[PST_HOST_SIZE + 16];
    auto_(pst_json_free) struct pst_json *region = pst_json_object();
    auto_(pst_json_free) struct pst_json *list = pst_json_array();
    auto_(pst_json_free) struct pst_json *j = pst_json_object();

    (void)tx;
    pst_req_base_url(req, url, sizeof url);
    if (!pst_json_set_text(region, "name", name) ||
        !pst_json_set_text(region, "display_name", name) || !pst_json_set_text(region, "ssh", "") ||
        !pst_json_set_text(region, "api", url) || !pst_json_set_text(region, "dashboard", url) ||
        !pst_json_set_text(region, "database_api", url) ||
        !pst_json_set_bool(region, "default", true) || !pst_json_push(list, pst_take(&region)) ||
        !pst_json_set(j, "regions", pst_take(&list)))
        return pst_fail_nomem(err, "the regions");
    return pst_answer_json(ans, 200, j, err);
}

int pst_stacks_list(struct pst_req *req, struct pst_tx *tx, struct pst_answer *ans,
                    struct pst_err *err)
{
    auto_(pst_json_free) struct pst_json *stack = pst_json_object();
    auto_(pst_json_free) struct pst_json *list = pst_json_array();
    auto_(pst_json_free) struct pst_json *j = pst_json_object();

    (void)req;
    (void)tx;
    if (!pst_json_set_text(stack, "id", PST_STACK_ID) ||
        !pst_json_set_text(stack, "name", "upstream") ||
        !pst_json_set_text(stack, "description",
                           "The app runs elsewhere; Postern passes its requests on.") ||
        !pst_json_set_text(stack, "base_image", "") ||
        !pst_json_set_text(stack, "created_at", "2026-01-01T00:00:00.000Z") ||
        !pst_json_set_bool(stack, "default", true) || !pst_json_set_null(stack, "deprecated_at") ||
        !pst_json_push(list, pst_take(&stack)) || !pst_json_set(j, "stacks", pst_take(&list)))
        return pst_fail_nomem(err, "the stacks");
    return pst_answer_json(ans, 200, j, err);
}

int pst_health_get(struct pst_req *req, struct pst_tx *tx, struct pst_answer *ans,
                   struct pst_err *err)
{
    auto_(pst_json_free) struct pst_json *j = pst_json_object();
    struct pst_feed_cursor head;

    (void)req;
    int rc = pst_feed_head(tx, &head, err);
    if (rc != PST_OK)
        return rc;
    if (!pst_json_set_text(j, "status", "ok") || !pst_json_set_int(j, "revision", head.rev) ||
        !pst_json_set_text(j, "version", PST_VERSION))
        return pst_fail_nomem(err, "the state");
    return pst_answer_json(ans, 200, j, err);
}

struct edge_count {
    int64_t n, live_n, now_ms, live_ms;
};

static int count_edge(const struct pst_edge *e, void *arg)
{
    struct edge_count *c = arg;

    c->n++;
    c->live_n += e->caught_up && c->now_ms - e->polled_at_ms <= c->live_ms;
    return PST_OK;
}

/* The database answers, or this is a 503; an installation without a live edge serves nobody. */
int pst_ready_get(struct pst_req *req, struct pst_tx *tx, struct pst_answer *ans,
                  struct pst_err *err)
{
    auto_(pst_json_free) struct pst_json *j = pst_json_object();
    struct edge_count c = {0};

    c.now_ms = pst_wall_ms(req->api->opts.clock);
    c.live_ms = pst_conf_int(req->api->set.conf, PST_CONF_EDGE_LIVE_TIMEOUT) * 1000;
    int rc = pst_edge_each(tx, count_edge, &c, err);
    if (rc != PST_OK)
        return rc;
    bool ready = c.live_n > 0;
    if (!pst_json_set_text(j, "status", ready ? "ready" : "not ready") ||
        !pst_json_set_int(j, "edges", c.n) || !pst_json_set_int(j, "live_edges", c.live_n))
        return pst_fail_nomem(err, "the state");
    return pst_answer_json(ans, ready ? 200 : 503, j, err);
}

/* ---- the platform's own certificates ---- */

/* One step of the default ladder; the edges serve the first that is in its time. */
static int push_step(struct pst_tx *tx, const char *origin, int64_t num, int64_t now, bool *served,
                     struct pst_json *list, struct pst_err *err)
{
    auto_(pst_json_free) struct pst_json *j = pst_json_object();
    struct pst_certificate c = {0};

    int rc = num ? pst_certificate_get(tx, num, &c, err) : PST_NOTFOUND;
    if (rc < 0)
        return rc;
    bool valid = rc == PST_OK && c.not_before <= now && now < c.not_after;
    bool ok = pst_json_set_text(j, "origin", origin) && pst_json_set_bool(j, "valid", valid) &&
              pst_json_set_bool(j, "served", valid && !*served) &&
              pst_json_set_or_null(j, "subject", c.subject) &&
              pst_json_set_or_null(j, "issuer", c.issuer) &&
              pst_json_set_or_null(j, "serial", c.serial) &&
              pst_json_set_or_null(j, "key_type", c.key_type) &&
              pst_json_set_or_null(j, "sha256", c.sha256) &&
              pst_json_set_time(j, "not_before", c.not_before * 1000) &&
              pst_json_set_time(j, "not_after", c.not_after * 1000) &&
              pst_json_push(list, pst_take(&j));
    pst_certificate_deinit(&c);
    *served |= valid;
    return ok ? PST_OK : pst_fail_nomem(err, "the default ladder");
}

static int set_steps(struct pst_req *req, struct pst_tx *tx, const struct pst_default_ladder *l,
                     struct pst_json *to, struct pst_err *err)
{
    static const char *const origins[PST_DEFAULT_STEPS] = {
        [PST_DEFAULT_FILES] = "files",
        [PST_DEFAULT_ACME] = "acme",
        [PST_DEFAULT_LOCAL] = "local",
    };
    auto_(pst_json_free) struct pst_json *list = pst_json_array();
    bool served = false;
    int rc = PST_OK;

    for (int i = 0; i < PST_DEFAULT_STEPS && rc == PST_OK; i++)
        rc = push_step(tx, origins[i], l->certs[i], pst_now(req->api->opts.clock), &served, list,
                       err);
    if (rc != PST_OK)
        return rc;
    return pst_json_set(to, "ladder", pst_take(&list)) ? PST_OK
                                                       : pst_fail_nomem(err, "the default ladder");
}

/* The domain that platform.acme keeps, as its app's list shows it; null without. */
static int set_domain(struct pst_req *req, struct pst_tx *tx, const char *id, struct pst_json *to,
                      struct pst_err *err)
{
    auto_(pst_json_free) struct pst_json *j = NULL;
    auto_view struct pst_domain_view v = {0};
    struct pst_domain d;

    int rc = id[0] ? pst_domain_get(tx, id, &d, err) : PST_NOTFOUND;
    if (rc == PST_OK)
        rc = pst_domain_view_load(tx, &d, pst_now(req->api->opts.clock), NULL, &v, err);
    if (rc == PST_OK)
        rc = pst_domain_json(tx, &v, &j, err);
    if (rc < 0)
        return rc;
    bool ok = j ? pst_json_set_text(to, "app", PST_PLATFORM_APP) &&
                      pst_json_set(to, "domain", pst_take(&j))
                : pst_json_set_null(to, "app") && pst_json_set_null(to, "domain");
    return ok ? PST_OK : pst_fail_nomem(err, "the platform's own domain");
}

int pst_platform_show(struct pst_req *req, struct pst_tx *tx, struct pst_answer *ans,
                      struct pst_err *err)
{
    auto_(pst_json_free) struct pst_json *p = pst_json_object();
    auto_(pst_json_free) struct pst_json *j = pst_json_object();
    char domain[PST_NAME_SIZE], region[PST_WORD_SIZE], names[2 * PST_NAME_SIZE] = "";
    struct pst_default_ladder l;

    int rc = pst_platform_get(tx, domain, region, err);
    if (rc == PST_OK)
        rc = pst_default_ladder_get(tx, &l, err);
    if (rc != PST_OK)
        return rc;
    if (domain[0])
        snprintf(names, sizeof names, "*.%s.%s", region, domain);
    if (!pst_json_set_or_null(p, "names", names))
        return pst_fail_nomem(err, "the platform");
    rc = set_steps(req, tx, &l, p, err);
    if (rc == PST_OK)
        rc = set_domain(req, tx, l.domain_id, p, err);
    if (rc != PST_OK)
        return rc;
    if (!pst_json_set(j, "platform", pst_take(&p)))
        return pst_fail_nomem(err, "the platform");
    return pst_answer_json(ans, 200, j, err);
}
