/* upstreams.c - where an app's requests are passed on to.  A draining upstream stays in the list
 * and gets no new requests. */
#include "api_internal.h"

#include <string.h>

#include "upstream_address.h"

enum { UPSTREAMS_MAX = 64, WEIGHT_MAX = 100 };

static struct pst_json *upstream_json(const struct pst_upstream *u)
{
    auto_(pst_json_free) struct pst_json *j = pst_json_object();

    bool ok = pst_json_set_text(j, "id", u->id) && pst_json_set_text(j, "address", u->address) &&
              pst_json_set_int(j, "weight", u->weight) && pst_json_set_bool(j, "drain", u->drain);
    return ok ? pst_take(&j) : NULL;
}

static int add_upstream(const struct pst_upstream *u, void *arg)
{
    return pst_json_push(arg, upstream_json(u)) ? PST_OK : PST_ENOMEM;
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
    bool drain;
};

static const struct pst_json_field fields[] = {
    PST_JSON_FIELD(struct upstream_body, address, "address", TEXT, 0, 0),
    PST_JSON_FIELD(struct upstream_body, weight, "weight", INT, PST_JSON_OPTIONAL, WEIGHT_MAX),
    PST_JSON_FIELD(struct upstream_body, drain, "drain", BOOL, PST_JSON_OPTIONAL, 0),
};

static int check_weight(int64_t weight, struct pst_answer *ans)
{
    if (weight < 1)
        return pst_answer_invalid(ans, "weight", "must be 1 to %d", WEIGHT_MAX);
    return PST_OK;
}

/* One element of the list; `list` has the `n` before it. */
static int read_one(struct pst_req *req, const struct pst_json *json, struct pst_upstream *list,
                    size_t n, struct pst_answer *ans)
{
    struct upstream_body b = {.weight = 1};
    struct pst_upstream *u = &list[n];
    struct pst_address address;
    struct pst_err why = {0};

    int rc = pst_req_decode(json, fields, PST_ARRAY_N(fields), &b, ans);
    if (rc == PST_OK)
        rc = check_weight(b.weight, ans);
    if (rc != PST_OK)
        return rc;
    if (!pst_address_parse(b.address, &address))
        return pst_answer_invalid(ans, "address",
                                  "%.60s is not an IP address with a port, such as 192.0.2.1:3000 "
                                  "or [2001:db8::1]:3000",
                                  b.address);
    rc = pst_upstream_check(req->api, req->user.role == PST_ROLE_OPERATOR, &address, &why);
    if (rc != PST_OK)
        return pst_answer_invalid(ans, "address", "%s", why.text);
    *u = (struct pst_upstream){.weight = b.weight, .drain = b.drain};
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

/* ---- one of them ---- */

static const struct pst_json_field patch_fields[] = {
    PST_JSON_FIELD(struct upstream_body, address, "address", TEXT, PST_JSON_OPTIONAL, 0),
    PST_JSON_FIELD(struct upstream_body, weight, "weight", INT, PST_JSON_OPTIONAL, WEIGHT_MAX),
    PST_JSON_FIELD(struct upstream_body, drain, "drain", BOOL, PST_JSON_OPTIONAL, 0),
};

/* Put what the body says into `u`. */
static int read_patch(struct pst_req *req, struct pst_upstream *u, struct pst_answer *ans)
{
    const struct pst_json *given = pst_json_get(req->json, "upstream");
    struct upstream_body b = {u->address, u->weight, u->drain};

    if (pst_json_type(given) != PST_JSON_OBJECT)
        return pst_answer_invalid(ans, "upstream", "must be an object with what to change");
    int rc = pst_req_decode(given, patch_fields, PST_ARRAY_N(patch_fields), &b, ans);
    if (rc == PST_OK)
        rc = check_weight(b.weight, ans);
    if (rc == PST_OK && !pst_streq(b.address, u->address))
        rc = pst_answer_invalid(ans, "address",
                                "cannot be changed: add the new address and drain this one");
    if (rc == PST_OK) {
        u->weight = b.weight;
        u->drain = b.drain;
    }
    return rc;
}

/* By its id, or its address in any spelling. */
static int find_one(struct pst_req *req, struct pst_tx *tx, const char *app_id,
                    struct pst_upstream *ret, struct pst_answer *ans, struct pst_err *err)
{
    char key[PST_WORD_SIZE];
    struct pst_address address;

    if (pst_address_parse(req->params[1], &address))
        pst_address_format(&address, key, sizeof key);
    else if (!pst_str_copy(key, sizeof key, req->params[1]))
        return pst_answer_absent(ans, "upstream");
    int rc = pst_upstream_find(tx, app_id, key, ret, err);
    return rc == PST_NOTFOUND ? pst_answer_absent(ans, "upstream") : rc;
}

int pst_upstreams_patch(struct pst_req *req, struct pst_tx *tx, struct pst_answer *ans,
                        struct pst_err *err)
{
    auto_(pst_json_free) struct pst_json *j = pst_json_object();
    struct pst_upstream u, old;
    struct pst_app a;

    int rc = pst_req_app(req, tx, &a, ans, err);
    if (rc == PST_OK)
        rc = find_one(req, tx, a.id, &u, ans, err);
    if (rc != PST_OK)
        return rc;
    old = u;
    rc = read_patch(req, &u, ans);
    if (rc != PST_OK)
        return rc;
    if (u.weight != old.weight || u.drain != old.drain) {
        rc = pst_upstream_update(tx, a.id, &u, err);
        if (rc == PST_OK)
            rc = pst_req_event(req, tx, "app.upstreams", a.id, NULL, err,
                               "upstream %s of app %s has weight %lld and %s", u.address, a.name,
                               (long long)u.weight,
                               u.drain ? "drains: it gets no new requests" : "gets requests");
    }
    if (rc != PST_OK)
        return rc;
    if (!pst_json_set(j, "upstream", upstream_json(&u)))
        return pst_fail_nomem(err, "the upstream");
    return pst_answer_json(ans, 200, j, err);
}
