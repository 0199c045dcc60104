/* platform.c - what clients ask about the platform itself: regions, stacks, health. */
#include "api_internal.h"

#include <string.h>

#include <postern/conf.h>
#include <postern/feed.h>

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
