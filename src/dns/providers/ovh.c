/* ovh.c - OVHcloud, API 1.0: signed requests; records with ids, and a refresh that publishes. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include <postern/crypto_outside.h>

#include "../dns_internal.h"

enum { ENDPOINT, APPLICATION_KEY, APPLICATION_SECRET, CONSUMER_KEY };

static const struct pst_dns_var vars[] = {
    [ENDPOINT] = {"DNS_OVH_ENDPOINT", PST_VAR_TOKEN, false, true},
    [APPLICATION_KEY] = {"DNS_OVH_APPLICATION_KEY", PST_VAR_TOKEN, false, false},
    [APPLICATION_SECRET] = {"DNS_OVH_APPLICATION_SECRET", PST_VAR_TOKEN, false, false},
    [CONSUMER_KEY] = {"DNS_OVH_CONSUMER_KEY", PST_VAR_TOKEN, false, false},
};

enum { TTL_S = 60 };

/* A tenant chooses among these; a URL of his own would be a place to send our requests to. */
static const struct {
    const char *name;
    const char *url;
} endpoints[] = {
    {"ovh-eu", "https://eu.api.ovh.com/1.0"},
    {"ovh-ca", "https://ca.api.ovh.com/1.0"},
    {"ovh-us", "https://api.us.ovhcloud.com/1.0"},
    {"kimsufi-eu", "https://eu.api.kimsufi.com/1.0"},
    {"kimsufi-ca", "https://ca.api.kimsufi.com/1.0"},
    {"soyoustart-eu", "https://eu.api.soyoustart.com/1.0"},
    {"soyoustart-ca", "https://ca.api.soyoustart.com/1.0"},
};

struct state {
    bool timed;
    int64_t delta_s; /* their clock less ours */
};

static int create(struct pst_dns_provider *p, struct pst_err *err)
{
    for (size_t i = 0; i < PST_ARRAY_N(endpoints); i++) {
        if (!pst_streq(pst_dns_var(p, ENDPOINT), endpoints[i].name))
            continue;
        if (p->own_base)
            return PST_OK;
        pst_free(p->base);
        p->base = pst_strdup(endpoints[i].url);
        return p->base ? PST_OK : pst_fail_nomem(err, "a URL");
    }
    return pst_dns_wrong(p, ENDPOINT,
                         "must be ovh-eu, ovh-ca, ovh-us, or kimsufi- or soyoustart- "
                         "with eu or ca",
                         err);
}

/* ---- signature ---- */

static int ask_time(struct pst_dns_provider *p, struct pst_err *err)
{
    struct state *s = p->state;
    auto_request struct pst_dns_request r = PST_DNS_REQUEST("GET");
    auto_answer struct pst_dns_answer a = {0};
    int64_t theirs;

    r.no_auth = true;
    pst_dns_url(p, &r, "/auth/time");
    int rc = pst_dns_send(p, &r, &a, err);
    if (rc != PST_OK)
        return rc;
    if (a.status != 200)
        return pst_dns_fault(p, &a, "asking for the time", err);
    if (!pst_json_int(a.json, &theirs) || theirs < 0 || theirs > INT32_MAX * INT64_C(4))
        return pst_dns_senseless(&a, "asking for the time", err);
    s->delta_s = theirs - pst_dns_now(p);
    s->timed = true;
    return PST_OK;
}

static int authorize(struct pst_dns_provider *p, struct pst_dns_request *r, bool fresh,
                     struct pst_err *err)
{
    struct state *s = p->state;
    auto_buf_wipe struct pst_buf text = PST_BUF(REQUEST_MAX + URL_MAX + 64 * 1024);
    char hex[PST_SHA1_HEX_SIZE];

    if (fresh || !s->timed) {
        int rc = ask_time(p, err);
        if (rc != PST_OK)
            return rc;
    }
    int64_t now = pst_dns_now(p) + s->delta_s;
    pst_buf_printf(&text, "%s+%s+%s+%s+", pst_dns_var(p, APPLICATION_SECRET),
                   pst_dns_var(p, CONSUMER_KEY), r->method, pst_buf_cstr(&r->url));
    pst_buf_add(&text, r->body.data, r->body.len);
    pst_buf_printf(&text, "+%" PRId64, now);
    int rc = pst_buf_check(&text, "a signature", err);
    if (rc == PST_OK)
        rc = pst_sha1_hex(text.data, text.len, hex, err);
    if (rc != PST_OK)
        return rc;
    pst_dns_header(r, "X-Ovh-Application", pst_dns_var(p, APPLICATION_KEY));
    pst_dns_header(r, "X-Ovh-Consumer", pst_dns_var(p, CONSUMER_KEY));
    pst_buf_printf(pst_dns_header_slot(r, "X-Ovh-Timestamp"), "%" PRId64, now);
    pst_buf_printf(pst_dns_header_slot(r, "X-Ovh-Signature"), "$1$%s", hex);
    return PST_OK;
}

static bool stale(struct pst_dns_provider *p, const struct pst_dns_answer *a)
{
    const char *code = pst_json_get_text(a->json, "errorCode");
    return a->status >= 400 &&
           (pst_streq(code, "INVALID_SIGNATURE") || pst_streq(code, "QUERY_TIME_OUT"));
}

static const struct {
    const char *code;
    unsigned blame;
} codes[] = {
    {"INVALID_CREDENTIAL", 1u << CONSUMER_KEY}, {"NOT_CREDENTIAL", 1u << CONSUMER_KEY},
    {"INVALID_KEY", 1u << APPLICATION_KEY},     {"INVALID_SIGNATURE", 1u << APPLICATION_SECRET},
    {"NOT_GRANTED_CALL", 1u << CONSUMER_KEY},
};

static void explain(struct pst_dns_provider *p, const struct pst_dns_answer *a,
                    struct pst_dns_reason *ret)
{
    ret->code = pst_json_get_text(a->json, "errorCode");
    if (!ret->code)
        ret->code = pst_json_get_text(a->json, "class");
    ret->message = pst_json_get_text(a->json, "message");
    for (size_t i = 0; i < PST_ARRAY_N(codes); i++) {
        if (pst_streq(ret->code, codes[i].code))
            ret->blame = codes[i].blame;
    }
    if (!ret->blame && (a->status == 401 || a->status == 403))
        ret->blame = 1u << CONSUMER_KEY;
    if (a->status == 409) /* another change of the zone is under way */
        ret->class = PST_CLASS_TRANSIENT;
}

/* ---- zones ---- */

static void zone_url(struct pst_dns_provider *p, struct pst_dns_request *r, const char *name)
{
    pst_dns_url(p, r, "/domain/zone/");
    pst_dns_escape(&r->url, name, "");
}

/* "This call has not been granted": of other zones; of all when the key itself is bad. */
static bool not_granted(const struct pst_dns_answer *a)
{
    const char *code = pst_json_get_text(a->json, "errorCode");
    const char *message = pst_json_get_text(a->json, "message");

    return a->status == 403 && (pst_streq(code, "NOT_GRANTED_CALL") ||
                                (!code && message && strstr(message, "not been granted")));
}

static int zone(struct pst_dns_provider *p, const char *name, struct pst_dns_zone *ret,
                struct pst_err *err)
{
    auto_request struct pst_dns_request r = PST_DNS_REQUEST("GET");
    auto_answer struct pst_dns_answer a = {0};

    zone_url(p, &r, name);
    int rc = pst_dns_send(p, &r, &a, err);
    if (rc != PST_OK)
        return rc;
    if (a.status == 404)
        return PST_NOTFOUND;
    if (a.status != 200) {
        rc = pst_dns_fault(p, &a, "looking for the zone", err);
        return not_granted(&a) ? PST_REFUSED : rc;
    }
    if (!pst_strcaseeq(pst_json_get_text(a.json, "name"), name))
        return pst_dns_senseless(&a, "looking for the zone", err);
    return PST_OK;
}

/* ---- records ---- */

/* PST_DONE: gone meanwhile, or not what was asked for. */
static int read_record(struct pst_dns_provider *p, const struct pst_dns_target *t, int64_t id,
                       struct pst_dns_set *ret, struct pst_err *err)
{
    auto_request struct pst_dns_request r = PST_DNS_REQUEST("GET");
    auto_answer struct pst_dns_answer a = {0};
    char id_text[24];

    zone_url(p, &r, t->zone->name);
    pst_buf_printf(&r.url, "/record/%" PRId64, id);
    int rc = pst_dns_send(p, &r, &a, err);
    if (rc != PST_OK)
        return rc;
    if (a.status == 404)
        return PST_DONE;
    if (a.status != 200)
        return pst_dns_fault(p, &a, "reading a record", err);
    const char *sub = pst_json_get_text(a.json, "subDomain");
    const char *target = pst_json_get_text(a.json, "target");
    if (!target)
        return pst_dns_senseless(&a, "reading a record", err);
    if (!pst_streq(pst_json_get_text(a.json, "fieldType"), "TXT") ||
        !pst_strcaseeq(sub ? sub : "", t->rel))
        return PST_DONE;
    snprintf(id_text, sizeof id_text, "%" PRId64, id);
    return pst_dns_set_add_quoted(ret, id_text, target, err);
}

static int list(struct pst_dns_provider *p, const struct pst_dns_target *t, struct pst_dns_set *ret,
                struct pst_err *err)
{
    auto_request struct pst_dns_request r = PST_DNS_REQUEST("GET");
    auto_answer struct pst_dns_answer a = {0};

    zone_url(p, &r, t->zone->name);
    pst_buf_str(&r.url, "/record?fieldType=TXT&subDomain=");
    pst_dns_escape(&r.url, t->rel, "");
    int rc = pst_dns_send(p, &r, &a, err);
    if (rc != PST_OK)
        return rc;
    if (a.status != 200)
        return pst_dns_fault(p, &a, "listing records", err);
    if (pst_json_type(a.json) != PST_JSON_ARRAY || pst_json_len(a.json) > VALUES_MAX)
        return pst_dns_senseless(&a, "listing records", err);
    for (size_t i = 0; i < pst_json_len(a.json); i++) {
        int64_t id;

        if (!pst_json_int(pst_json_at(a.json, i), &id) || id <= 0)
            return pst_dns_senseless(&a, "listing records", err);
        rc = read_record(p, t, id, ret, err);
        if (rc < 0)
            return rc;
    }
    return PST_OK;
}

static int create_record(struct pst_dns_provider *p, const struct pst_dns_target *t,
                         struct pst_err *err)
{
    auto_request struct pst_dns_request r = PST_DNS_REQUEST("POST");
    auto_answer struct pst_dns_answer a = {0};

    zone_url(p, &r, t->zone->name);
    pst_buf_str(&r.url, "/record");
    r.content_type = "application/json;charset=utf-8";
    pst_buf_str(&r.body, "{\"fieldType\":\"TXT\",\"subDomain\":");
    pst_json_quote(&r.body, t->rel);
    pst_buf_printf(&r.body, ",\"target\":\"\\\"%s\\\"\",\"ttl\":%d}", t->value, TTL_S);
    int rc = pst_dns_send(p, &r, &a, err);
    if (rc != PST_OK || (a.status >= 200 && a.status < 300))
        return rc;
    return pst_dns_fault(p, &a, "creating a record", err);
}

static int destroy_record(struct pst_dns_provider *p, const struct pst_dns_target *t,
                          const char *id, struct pst_err *err)
{
    auto_request struct pst_dns_request r = PST_DNS_REQUEST("DELETE");
    auto_answer struct pst_dns_answer a = {0};

    zone_url(p, &r, t->zone->name);
    pst_buf_printf(&r.url, "/record/%s", id);
    int rc = pst_dns_send(p, &r, &a, err);
    if (rc != PST_OK || (a.status >= 200 && a.status < 300))
        return rc;
    if (a.status == 404)
        return PST_DONE;
    return pst_dns_fault(p, &a, "deleting a record", err);
}

static int publish(struct pst_dns_provider *p, const struct pst_dns_target *t, struct pst_err *err)
{
    auto_request struct pst_dns_request r = PST_DNS_REQUEST("POST");
    auto_answer struct pst_dns_answer a = {0};

    zone_url(p, &r, t->zone->name);
    pst_buf_str(&r.url, "/refresh");
    int rc = pst_dns_send(p, &r, &a, err);
    if (rc != PST_OK || (a.status >= 200 && a.status < 300))
        return rc;
    return pst_dns_fault(p, &a, "publishing the zone", err);
}

const struct pst_dns_ops pst_dns_ovh = {
    .name = "ovh",
    .vars = vars,
    .vars_n = PST_ARRAY_N(vars),
    .ttl_s = TTL_S,
    .base_url = "https://eu.api.ovh.com/1.0",
    .state_size = sizeof(struct state),
    .create = create,
    .authorize = authorize,
    .stale = stale,
    .explain = explain,
    .zone = zone,
    .list = list,
    .create_record = create_record,
    .destroy_record = destroy_record,
    .publish = publish,
};
