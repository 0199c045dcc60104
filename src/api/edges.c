/* edges.c - edges: the operator's view of them, and the feed that they follow. */
#include "api_internal.h"

#include <stdio.h>
#include <string.h>

#include <postern/conf.h>
#include <postern/crypto_mac.h>
#include <postern/crypto_seal.h>
#include <postern/feed.h>

#include "upstream_address.h"

enum {
    ENROL_LIFE_MS = 60 * 60 * 1000, /* of a one-time token */
    WAIT_MAX_S = 10,
    ACK_EVERY_MS = 5000, /* how often a poll is written down when nothing moved */
};

static int64_t live_ms(const struct pst_api *api)
{
    return pst_conf_int(api->set.conf, PST_CONF_EDGE_LIVE_TIMEOUT) * 1000;
}

/* ---- for operators ---- */

struct edge_listing {
    const struct pst_api *api;
    struct pst_json *list;
    int64_t now_ms, head;
};

static int list_edge(const struct pst_edge *e, void *arg)
{
    struct edge_listing *l = arg;
    auto_(pst_json_free) struct pst_json *j = pst_json_object();
    bool live = e->caught_up && l->now_ms - e->polled_at_ms <= live_ms(l->api);

    if (!pst_json_set_text(j, "id", e->id) || !pst_json_set_text(j, "name", e->name) ||
        !pst_json_set_text(j, "region", e->region) || !pst_json_set_bool(j, "live", live) ||
        !pst_json_set_bool(j, "caught_up", e->caught_up) ||
        !pst_json_set_int(j, "acked_revision", e->acked_rev) ||
        !pst_json_set_int(j, "behind", l->head > e->acked_rev ? l->head - e->acked_rev : 0) ||
        !pst_json_set_or_null(j, "probe_address", e->probe_address) ||
        !pst_json_set_time(j, "polled_at", e->polled_at_ms) ||
        !pst_json_set_time(j, "created_at", e->created_at_ms))
        return PST_ENOMEM;
    return pst_json_push(l->list, pst_take(&j)) ? PST_OK : PST_ENOMEM;
}

int pst_edges_list(struct pst_req *req, struct pst_tx *tx, struct pst_answer *ans,
                   struct pst_err *err)
{
    auto_(pst_json_free) struct pst_json *list = pst_json_array();
    auto_(pst_json_free) struct pst_json *j = pst_json_object();
    struct edge_listing l = {req->api, list, pst_wall_ms(req->api->opts.clock), 0};
    struct pst_feed_cursor head;

    if (!list)
        return pst_fail_nomem(err, "the edges");
    int rc = pst_feed_head(tx, &head, err);
    if (rc == PST_OK) {
        l.head = head.rev;
        rc = pst_edge_each(tx, list_edge, &l, err);
    }
    if (rc != PST_OK)
        return rc;
    if (!pst_json_set(j, "edges", pst_take(&list)) || !pst_json_set_int(j, "revision", head.rev))
        return pst_fail_nomem(err, "the edges");
    return pst_answer_json(ans, 200, j, err);
}

int pst_edges_delete(struct pst_req *req, struct pst_tx *tx, struct pst_answer *ans,
                     struct pst_err *err)
{
    int rc = pst_edge_delete(tx, req->params[0], err);

    if (rc == PST_NOTFOUND)
        return pst_answer_absent(ans, "edge");
    if (rc == PST_OK)
        rc = pst_req_event(req, tx, "edge.removed", NULL, NULL, err, "edge %.24s was removed",
                           req->params[0]);
    return rc == PST_OK ? pst_answer_empty(ans, 204) : rc;
}

/* A region or the name of an edge: one label. */
static bool is_label(const char *s)
{
    size_t len = strlen(s);

    return len > 0 && len < PST_WORD_SIZE &&
           strspn(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._") == len;
}

int pst_edges_enrol_token(struct pst_req *req, struct pst_tx *tx, struct pst_answer *ans,
                          struct pst_err *err)
{
    const struct pst_json *given = pst_json_get(req->json, "region");
    const char *region = pst_json_text(given);
    int64_t until_ms = pst_wall_ms(req->api->opts.clock) + ENROL_LIFE_MS;
    char secret[PST_API_TOKEN_SIZE], hash[PST_SHA256_HEX_SIZE];

    if (pst_json_type(given) == PST_JSON_NULL || (region && !*region))
        region = req->api->set.region;
    if (!region || !is_label(region))
        return pst_answer_invalid(ans, "region", "must be the name of a region");
    int rc = pst_req_object(req, ans);
    if (rc == PST_OK)
        rc = pst_token_make(req->api->opts.rand, "tk-en-", secret, hash, err);
    if (rc == PST_OK)
        rc = pst_enrol_token_insert(tx, hash, region, until_ms, err);
    if (rc == PST_OK)
        rc = pst_req_event(req, tx, "edge.enrol-token", NULL, NULL, err,
                           "a one-time token for an edge in %s was made", region);
    if (rc != PST_OK)
        return rc;
    auto_(pst_json_free) struct pst_json *token = pst_json_object();
    auto_(pst_json_free) struct pst_json *j = pst_json_object();
    bool ok = pst_json_set_text(token, "token", secret) &&
              pst_json_set_text(token, "region", region) &&
              pst_json_set_time(token, "expires_at", until_ms) &&
              pst_json_set(j, "enrol_token", pst_take(&token));
    pst_wipe(secret, sizeof secret);
    return ok ? pst_answer_json(ans, 201, j, err) : pst_fail_nomem(err, "the token");
}

/* ---- enrolment ---- */

struct enrol_body {
    const char *token, *name, *public_key, *probe_address;
};

static const struct pst_json_field enrol_fields[] = {
    PST_JSON_FIELD(struct enrol_body, token, "token", TEXT, 0, 256),
    PST_JSON_FIELD(struct enrol_body, name, "name", TEXT, 0, PST_WORD_SIZE - 1),
    PST_JSON_FIELD(struct enrol_body, public_key, "public_key", TEXT, 0, 64),
    PST_JSON_FIELD(struct enrol_body, probe_address, "probe_address", TEXT,
                   PST_JSON_OPTIONAL | PST_JSON_NULLABLE, 0),
};

struct enrolment {
    struct pst_req *req;
    struct pst_edge edge;
    char one_time_hash[PST_SHA256_HEX_SIZE];
    struct pst_answer *ans;
};

/* A key that nothing can be boxed to would only be found out when the feed is rendered. */
static bool usable_key(const struct pst_buf *key, uint8_t to[32])
{
    auto_buf struct pst_buf box = PST_BUF(256);

    if (key->len != 32)
        return false;
    memcpy(to, key->data, 32);
    return pst_box_seal(to, "check/key", "x", 1, &box, NULL) == PST_OK;
}

static int read_enrolment(struct pst_req *req, struct enrolment *e, struct pst_err *err)
{
    auto_buf struct pst_buf key = PST_BUF(64);
    struct pst_answer *ans = e->ans;
    struct enrol_body b = {0};
    struct pst_address probe;

    int rc = pst_req_decode(req->json, enrol_fields, PST_ARRAY_N(enrol_fields), &b, ans);
    if (rc != PST_OK)
        return rc;
    if (!is_label(b.name))
        return pst_answer_invalid(ans, "name",
                                  "must be 1 to 63 letters, digits, hyphens, dots or underscores");
    if (!pst_b64_decode(&key, b.public_key, strlen(b.public_key)) ||
        !usable_key(&key, e->edge.public_key))
        return pst_answer_invalid(ans, "public_key", "must be an X25519 public key in base64");
    if (b.probe_address && *b.probe_address) {
        if (!pst_address_parse(b.probe_address, &probe))
            return pst_answer_invalid(ans, "probe_address",
                                      "must be an IP address with a port, such as 192.0.2.1:443");
        pst_address_format(&probe, e->edge.probe_address, sizeof e->edge.probe_address);
    }
    pst_str_copy(e->edge.name, sizeof e->edge.name, b.name);
    return pst_sha256_hex(b.token, strlen(b.token), e->one_time_hash, err);
}

static int insert_edge(struct pst_tx *tx, void *arg, struct pst_err *err)
{
    struct enrolment *e = arg;
    struct pst_event event = {.kind = "edge.enrolled"};

    int rc = pst_enrol_token_use(tx, e->one_time_hash, pst_wall_ms(e->req->api->opts.clock),
                                 e->edge.region, err);
    if (rc == PST_OK)
        rc = pst_edge_insert(tx, &e->edge, err);
    if (rc != PST_OK)
        return rc;
    snprintf(event.actor, sizeof event.actor, "edge:%s", e->edge.name);
    snprintf(event.text, sizeof event.text, "edge %s enrolled in region %s", e->edge.name,
             e->edge.region);
    pst_str_copy(event.request_id, sizeof event.request_id, e->req->id);
    return pst_event_append(tx, &event, err);
}

int pst_edge_enrol(struct pst_req *req, struct pst_tx *tx, struct pst_answer *ans,
                   struct pst_err *err)
{
    struct pst_api *api = req->api;
    struct enrolment e = {.req = req, .ans = ans};
    char secret[PST_API_TOKEN_SIZE];
    int64_t now_ms = pst_mono_ms(api->opts.clock);

    (void)tx;
    int64_t wait_s = pst_limiter_wait_s(api->limiter, req->peer, now_ms);
    if (wait_s > 0) {
        pst_answer_error(ans, 429, "too many failed tries from this address; wait %lld s",
                         (long long)wait_s);
        ans->retry_after_s = wait_s;
        return PST_REFUSED;
    }
    int rc = read_enrolment(req, &e, err);
    if (rc == PST_OK)
        rc = pst_token_make(api->opts.rand, "tk-ed-", secret, e.edge.token_hash, err);
    if (rc == PST_OK)
        rc = pst_store_write(api->opts.store, insert_edge, &e, NULL, err);
    if (rc == PST_NOTFOUND) {
        pst_limiter_failed(api->limiter, req->peer, now_ms);
        return pst_answer_error(ans, 401,
                                "the one-time token is not known, was used, or is too "
                                "old; make a new one");
    }
    if (rc != PST_OK)
        return rc;
    auto_(pst_json_free) struct pst_json *j = pst_json_object();
    bool ok = pst_json_set_text(j, "edge", e.edge.id) && pst_json_set_text(j, "token", secret);
    pst_wipe(secret, sizeof secret);
    return ok ? pst_answer_json(ans, 201, j, err) : pst_fail_nomem(err, "the edge's token");
}

/* ---- the feed ---- */

int pst_edge_snapshot(struct pst_req *req, struct pst_tx *tx, struct pst_answer *ans,
                      struct pst_err *err)
{
    const char *after = pst_target_query(&req->target, "after");

    int rc = pst_feed_snapshot(tx, &req->edge, after ? after : "", &ans->body, err);
    if (rc == PST_OK)
        ans->status = 200;
    return rc;
}

struct poll {
    struct pst_req *req;
    struct pst_answer *ans;
    struct pst_feed_cursor from, next;
    int64_t objects_n;
    int64_t wait_s;
    bool joining; /* into a build that no worker reads yet: nothing is acknowledged */
};

static int read_changes(struct pst_tx *tx, void *arg, struct pst_err *err)
{
    struct poll *p = arg;

    pst_answer_reset(p->ans);
    return pst_feed_changes(tx, &p->req->edge, &p->from, &p->ans->body, &p->next, &p->objects_n,
                            err);
}

static int write_ack(struct pst_tx *tx, void *arg, struct pst_err *err)
{
    struct poll *p = arg;
    const struct pst_api *api = p->req->api;

    /* A poll that finds nothing new is at the head. */
    return pst_edge_polled(tx, p->req->edge.id, p->from.rev,
                           p->req->edge.caught_up || p->objects_n == 0,
                           pst_wall_ms(api->opts.clock), live_ms(api), err);
}

/* The cursor is the acknowledgement of all before it.  A write only when it says something new. */
static int acknowledge(struct poll *p, struct pst_err *err)
{
    const struct pst_edge *e = &p->req->edge;
    int64_t now_ms = pst_wall_ms(p->req->api->opts.clock);
    int64_t age_ms = now_ms - e->polled_at_ms;
    bool caught_up = p->objects_n == 0;

    if (p->req->again || p->joining)
        return PST_OK;
    if (e->acked_rev == p->from.rev && e->caught_up >= caught_up && age_ms >= 0 &&
        age_ms < ACK_EVERY_MS)
        return PST_OK;
    int rc = pst_store_write(p->req->api->opts.store, write_ack, p, NULL, err);
    if (rc == PST_OK)
        pst_pool_acked(p->req->api, p->from.rev);
    /* Removed in this moment: the next request will be told so. */
    return rc == PST_NOTFOUND ? PST_OK : rc;
}

static int read_poll(struct pst_req *req, struct poll *p, struct pst_answer *ans)
{
    const struct pst_target *t = &req->target;
    const char *epoch = pst_target_query(t, "epoch");
    const char *rev = pst_target_query(t, "rev");
    const char *id = pst_target_query(t, "id");
    const char *wait = pst_target_query(t, "wait");

    if (!epoch || !rev || !id || !pst_parse_i64(rev, 0, INT64_MAX, &p->from.rev))
        return pst_answer_error(ans, 400, "epoch, rev (a number) and id are needed");
    if (wait && !pst_parse_i64(wait, 0, WAIT_MAX_S, &p->wait_s))
        return pst_answer_error(ans, 400, "wait must be 0 to %d seconds", WAIT_MAX_S);
    p->joining = pst_target_query(t, "joining") != NULL;
    /* One that does not fit cannot be one of ours. */
    if (!pst_str_copy(p->from.epoch, sizeof p->from.epoch, epoch) ||
        !pst_str_copy(p->from.id, sizeof p->from.id, id))
        return pst_answer_error(ans, 410, "resync");
    return PST_OK;
}

int pst_edge_changes(struct pst_req *req, struct pst_tx *tx, struct pst_answer *ans,
                     struct pst_err *err)
{
    struct poll p = {.req = req, .ans = ans};
    int64_t now_ms = pst_mono_ms(req->api->opts.clock);

    (void)tx;
    int rc = read_poll(req, &p, ans);
    if (rc != PST_OK)
        return rc;
    if (!req->again)
        req->wait_until_ms = now_ms + p.wait_s * 1000;
    rc = pst_store_read(req->api->opts.store, read_changes, &p, err);
    if (rc == PST_NOTFOUND)
        return pst_answer_error(ans, 410, "resync");
    if (rc == PST_OK)
        rc = acknowledge(&p, err);
    if (rc != PST_OK)
        return rc;
    if (p.objects_n == 0 && now_ms < req->wait_until_ms)
        return PST_NOTYET;
    ans->status = 200;
    return PST_OK;
}
