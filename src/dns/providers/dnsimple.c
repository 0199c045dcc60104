/* dnsimple.c - DNSimple, API v2: records with ids, in an account that the token tells. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "../dns_internal.h"

enum { OAUTH_TOKEN };

static const struct pst_dns_var vars[] = {
    [OAUTH_TOKEN] = {"DNS_DNSIMPLE_OAUTH_TOKEN", PST_VAR_TOKEN, false, false},
};

enum { TTL_S = 60 };

struct state {
    int64_t account; /* 0: not asked yet */
};

static int authorize(struct pst_dns_provider *p, struct pst_dns_request *r, bool fresh,
                     struct pst_err *err)
{
    pst_buf_printf(pst_dns_header_slot(r, "Authorization"), "Bearer %s",
                   pst_dns_var(p, OAUTH_TOKEN));
    return PST_OK;
}

static void explain(struct pst_dns_provider *p, const struct pst_dns_answer *a,
                    struct pst_dns_reason *ret)
{
    const char *reset = pst_http_header(a->response, "X-RateLimit-Reset", 0);
    int64_t at;

    ret->message = pst_json_get_text(a->json, "message");
    if (a->status >= 401 && a->status <= 403)
        ret->blame = 1u << OAUTH_TOKEN;
    if (a->status == 402)
        ret->hint = "the account is not in good standing";
    /* No Retry-After is promised; the hour's end is told. */
    if (a->status == 429 && !pst_http_header(a->response, "Retry-After", 0) &&
        pst_parse_i64(reset, 0, INT64_MAX / 2, &at) && at > pst_dns_now(p))
        ret->wait_s = at - pst_dns_now(p);
}

/* ---- account ---- */

static int blame_token(struct pst_dns_provider *p, struct pst_err *err)
{
    pst_dns_blame_add(p, OAUTH_TOKEN);
    return pst_dns_permanent(err, "DNS_DNSIMPLE_OAUTH_TOKEN is a user's token for more than one "
                                  "account, or for none: use an account's token");
}

/* A user's token will do when it leads to exactly one account. */
static int only_account(struct pst_dns_provider *p, int64_t *ret, struct pst_err *err)
{
    auto_request struct pst_dns_request r = PST_DNS_REQUEST("GET");
    auto_answer struct pst_dns_answer a = {0};

    pst_dns_url(p, &r, "/accounts");
    int rc = pst_dns_send(p, &r, &a, err);
    if (rc != PST_OK)
        return rc;
    if (a.status != 200)
        return pst_dns_fault(p, &a, "listing accounts", err);
    const struct pst_json *data = pst_json_get(a.json, "data");
    if (pst_json_len(data) != 1)
        return blame_token(p, err);
    return pst_json_get_int(pst_json_at(data, 0), "id", ret) && *ret > 0
               ? PST_OK
               : pst_dns_senseless(&a, "listing accounts", err);
}

static int need_account(struct pst_dns_provider *p, struct pst_err *err)
{
    struct state *s = p->state;
    auto_request struct pst_dns_request r = PST_DNS_REQUEST("GET");
    auto_answer struct pst_dns_answer a = {0};
    int64_t id = 0;

    if (s->account)
        return PST_OK;
    pst_dns_url(p, &r, "/whoami");
    int rc = pst_dns_send(p, &r, &a, err);
    if (rc != PST_OK)
        return rc;
    if (a.status != 200)
        return pst_dns_fault(p, &a, "asking who we are", err);
    const struct pst_json *data = pst_json_get(a.json, "data");
    if (pst_json_type(data) != PST_JSON_OBJECT)
        return pst_dns_senseless(&a, "asking who we are", err);
    if (!pst_json_get_int(pst_json_get(data, "account"), "id", &id))
        rc = only_account(p, &id, err);
    if (rc == PST_OK)
        s->account = id;
    return rc;
}

static void zone_url(struct pst_dns_provider *p, struct pst_dns_request *r, const char *name)
{
    struct state *s = p->state;

    pst_dns_url(p, r, "/");
    pst_buf_printf(&r->url, "%" PRId64 "/zones/", s->account);
    pst_dns_escape(&r->url, name, "");
}

static int zone(struct pst_dns_provider *p, const char *name, struct pst_dns_zone *ret,
                struct pst_err *err)
{
    auto_request struct pst_dns_request r = PST_DNS_REQUEST("GET");
    auto_answer struct pst_dns_answer a = {0};
    bool secondary = false;

    int rc = need_account(p, err);
    if (rc != PST_OK)
        return rc;
    zone_url(p, &r, name);
    rc = pst_dns_send(p, &r, &a, err);
    if (rc != PST_OK)
        return rc;
    if (a.status == 404)
        return PST_NOTFOUND;
    if (a.status != 200)
        return pst_dns_fault(p, &a, "looking for the zone", err);
    const struct pst_json *data = pst_json_get(a.json, "data");
    if (!pst_strcaseeq(pst_json_get_text(data, "name"), name))
        return pst_dns_senseless(&a, "looking for the zone", err);
    if (pst_json_get_bool(data, "secondary", &secondary) && secondary)
        return pst_dns_permanent(err, "the zone %s is a secondary one there and cannot be changed",
                                 name);
    return PST_OK;
}

/* ---- records ---- */

static int take_records(const struct pst_dns_answer *a, const struct pst_dns_target *t,
                        struct pst_dns_set *ret, struct pst_err *err)
{
    const struct pst_json *data = pst_json_get(a->json, "data");

    for (size_t i = 0; i < pst_json_len(data); i++) {
        const struct pst_json *rec = pst_json_at(data, i);
        const char *content = pst_json_get_text(rec, "content");
        char id_text[24];
        int64_t id;

        if (!pst_streq(pst_json_get_text(rec, "type"), "TXT") ||
            !pst_strcaseeq(pst_json_get_text(rec, "name"), t->rel))
            continue;
        if (!content || !pst_json_get_int(rec, "id", &id) || id <= 0)
            return pst_dns_senseless(a, "listing records", err);
        snprintf(id_text, sizeof id_text, "%" PRId64, id);
        int rc = pst_dns_set_add_quoted(ret, id_text, content, err);
        if (rc != PST_OK)
            return rc;
    }
    return PST_OK;
}

static int list(struct pst_dns_provider *p, const struct pst_dns_target *t, struct pst_dns_set *ret,
                struct pst_err *err)
{
    int64_t pages = 1;

    for (int page = 1; page <= pages && page <= PAGES_MAX; page++) {
        auto_request struct pst_dns_request r = PST_DNS_REQUEST("GET");
        auto_answer struct pst_dns_answer a = {0};

        zone_url(p, &r, t->zone->name);
        pst_buf_str(&r.url, "/records?name=");
        pst_dns_escape(&r.url, t->rel, "");
        pst_buf_printf(&r.url, "&type=TXT&per_page=100&page=%d", page);
        int rc = pst_dns_send(p, &r, &a, err);
        if (rc != PST_OK)
            return rc;
        if (a.status != 200)
            return pst_dns_fault(p, &a, "listing records", err);
        rc = take_records(&a, t, ret, err);
        if (rc != PST_OK)
            return rc;
        pst_json_get_int(pst_json_get(a.json, "pagination"), "total_pages", &pages);
    }
    return PST_OK;
}

/* A refused duplicate looks like any other validation error; the list tells. */
static int is_duplicate(struct pst_dns_provider *p, const struct pst_dns_target *t,
                        struct pst_err *err)
{
    auto_set struct pst_dns_set now = {0};

    int rc = list(p, t, &now, err);
    for (size_t i = 0; i < now.n && rc == PST_OK; i++) {
        if (strcmp(now.items[i].value, t->value) == 0)
            return PST_DONE;
    }
    return rc;
}

static int create_record(struct pst_dns_provider *p, const struct pst_dns_target *t,
                         struct pst_err *err)
{
    auto_request struct pst_dns_request r = PST_DNS_REQUEST("POST");
    auto_answer struct pst_dns_answer a = {0};

    zone_url(p, &r, t->zone->name);
    pst_buf_str(&r.url, "/records");
    pst_buf_str(&r.body, "{\"name\":");
    pst_json_quote(&r.body, t->rel);
    pst_buf_str(&r.body, ",\"type\":\"TXT\",\"content\":");
    pst_json_quote(&r.body, t->value);
    pst_buf_printf(&r.body, ",\"ttl\":%d}", TTL_S);
    int rc = pst_dns_send(p, &r, &a, err);
    if (rc != PST_OK || a.status == 201)
        return rc;
    if (a.status == 400) {
        rc = is_duplicate(p, t, err);
        if (rc != PST_OK)
            return rc;
    }
    return pst_dns_fault(p, &a, "creating a record", err);
}

static int destroy_record(struct pst_dns_provider *p, const struct pst_dns_target *t,
                          const char *id, struct pst_err *err)
{
    auto_request struct pst_dns_request r = PST_DNS_REQUEST("DELETE");
    auto_answer struct pst_dns_answer a = {0};

    zone_url(p, &r, t->zone->name);
    pst_buf_printf(&r.url, "/records/%s", id);
    int rc = pst_dns_send(p, &r, &a, err);
    if (rc != PST_OK || a.status == 204)
        return rc;
    if (a.status == 404)
        return PST_DONE;
    return pst_dns_fault(p, &a, "deleting a record", err);
}

const struct pst_dns_ops pst_dns_dnsimple = {
    .name = "dnsimple",
    .vars = vars,
    .vars_n = PST_ARRAY_N(vars),
    .ttl_s = TTL_S,
    .base_url = "https://api.dnsimple.com/v2",
    .state_size = sizeof(struct state),
    .authorize = authorize,
    .explain = explain,
    .zone = zone,
    .list = list,
    .create_record = create_record,
    .destroy_record = destroy_record,
};
