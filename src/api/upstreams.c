/* upstreams.c - where an app's requests are passed on to. */
#include "api_internal.h"

#include <string.h>

#include "upstream_address.h"

enum { UPSTREAMS_MAX = 64, WEIGHT_MAX = 100 };

static int add_upstream(const struct pst_upstream *u, void *arg)
{
    auto_(pst_json_free) struct pst_json *j = pst_json_object();

    if (!pst_json_set_text(j, "id", u->id) || !pst_json_set_text(j, "address", u->address) ||
        !pst_json_set_int(j, "weight", u->weight))
        return PST_ENOMEM;
    return pst_json_push(arg, pst_take(&j)) ? PST_OK : PST_ENOMEM;
}

static int answer_list(struct pst_tx *tx, const char *app_id, struct pst_answer *ans,
                       struct pst_err *err)
{
    auto_(pst_json_free) struct pst_json *list = pst_json_array();
    auto_(pst_json_free) struct pst_json *j = pst_json_object();

    if (!list)
        return pst_fail_nomem(err, "the upstreams");
    int rc = pst_upstream_each(tx, app_id, add_upstream, list, err);
    if (rc != PST_OK)
        return rc;
    if (!pst_json_set(j, "upstreams", pst_take(&list)))
        return pst_fail_nomem(err, "the upstreams");
    return pst_answer_json(ans, 200, j, err);
}

int pst_upstreams_get(struct pst_req *req, struct pst_tx *tx, struct pst_answer *ans,
                      struct pst_err *err)
{
    struct pst_app a;

    int rc = pst_req_app(req, tx, &a, ans, err);
    return rc == PST_OK ? answer_list(tx, a.id, ans, err) : rc;
}

struct upstream_body {
    const char *address;
    int64_t weight;
};

static const struct pst_json_field fields[] = {
    PST_JSON_FIELD(struct upstream_body, address, "address", TEXT, 0, 0),
    PST_JSON_FIELD(struct upstream_body, weight, "weight", INT, PST_JSON_OPTIONAL, WEIGHT_MAX),
};

/* One element of the list; `list` has the `n` before it. */
static int read_one(struct pst_req *req, const struct pst_json *json, struct pst_upstream *list,
                    size_t n, struct pst_answer *ans)
{
    struct upstream_body b = {.weight = 1};
    struct pst_upstream *u = &list[n];
    struct pst_address address;
    struct pst_err why = {0};

    int rc = pst_req_decode(json, fields, PST_ARRAY_N(fields), &b, ans);
    if (rc != PST_OK)
        return rc;
    if (b.weight < 1)
        return pst_answer_invalid(ans, "weight", "must be 1 to %d", WEIGHT_MAX);
    if (!pst_address_parse(b.address, &address))
        return pst_answer_invalid(ans, "address",
                                  "%.60s is not an IP address with a port, such as 192.0.2.1:3000 "
                                  "or [2001:db8::1]:3000",
                                  b.address);
    rc = pst_upstream_check(req->api, req->user.role == PST_ROLE_OPERATOR, &address, &why);
    if (rc != PST_OK)
        return pst_answer_invalid(ans, "address", "%s", why.text);
    *u = (struct pst_upstream){.weight = b.weight};
    pst_address_format(&address, u->address, sizeof u->address);
    for (size_t i = 0; i < n; i++)
        if (pst_streq(list[i].address, u->address))
            return pst_answer_invalid(ans, "address", "%s is there twice", u->address);
    return PST_OK;
}

struct probe_check {
    const struct pst_upstream *list;
    size_t n;
    const struct pst_upstream *found;
};

static int compare_probe(const struct pst_edge *e, void *arg)
{
    struct probe_check *c = arg;

    for (size_t i = 0; i < c->n; i++)
        if (pst_streq(c->list[i].address, e->probe_address))
            c->found = &c->list[i];
    return c->found ? PST_DONE : PST_OK;
}

/* The TLS doors of the edges that have enrolled. */
static int check_edges(struct pst_tx *tx, const struct pst_upstream *list, size_t n,
                       struct pst_answer *ans, struct pst_err *err)
{
    struct probe_check c = {list, n, NULL};

    int rc = pst_edge_each(tx, compare_probe, &c, err);
    if (rc < 0)
        return rc;
    if (c.found)
        return pst_answer_invalid(ans, "address", "%s is a listener of Postern itself",
                                  c.found->address);
    return PST_OK;
}

int pst_upstreams_put(struct pst_req *req, struct pst_tx *tx, struct pst_answer *ans,
                      struct pst_err *err)
{
    const struct pst_json *given = pst_json_get(req->json, "upstreams");
    struct pst_upstream list[UPSTREAMS_MAX];
    size_t n = pst_json_len(given);
    struct pst_app a;

    int rc = pst_req_app(req, tx, &a, ans, err);
    if (rc != PST_OK)
        return rc;
    if (pst_json_type(given) != PST_JSON_ARRAY || n > UPSTREAMS_MAX)
        return pst_answer_invalid(ans, "upstreams", "must be a list of at most %d objects",
                                  UPSTREAMS_MAX);
    for (size_t i = 0; i < n; i++) {
        rc = read_one(req, pst_json_at(given, i), list, i, ans);
        if (rc != PST_OK)
            return rc;
    }
    rc = check_edges(tx, list, n, ans, err);
    if (rc == PST_OK)
        rc = pst_upstreams_set(tx, a.id, list, n, err);
    if (rc == PST_OK)
        rc = pst_req_event(req, tx, "app.upstreams", a.id, NULL, err,
                           "the upstreams of app %s were set: %zu", a.name, n);
    return rc == PST_OK ? answer_list(tx, a.id, ans, err) : rc;
}
