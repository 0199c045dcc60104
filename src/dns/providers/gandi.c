/*
 * gandi.c - Gandi LiveDNS v5: whole record sets without any guard, so every write is looked at
 * again.  "gandi", the old XML-RPC provider, is the same API under its own variable.
 */
#include <string.h>

#include "../dns_internal.h"

enum { API_KEY, PAT };

static const struct pst_dns_var vars_v5[] = {
    [API_KEY] = {"DNS_GANDIV5_API_KEY", PST_VAR_TOKEN, true, false},
    [PAT] = {"DNS_GANDIV5_PERSONAL_ACCESS_TOKEN", PST_VAR_TOKEN, true, false},
};

static const struct pst_dns_var vars_old[] = {
    [API_KEY] = {"DNS_GANDI_API_KEY", PST_VAR_TOKEN, false, false},
};

enum { TTL_S = 300 }; /* less is refused */

/* A value in the key's variable may be a key or a personal access token, which want different
 * schemes: the first answer tells. */
struct state {
    bool bearer;
    bool proven;
    bool unknown; /* the last answer was a 401 */
};

static int create(struct pst_dns_provider *p, struct pst_err *err)
{
    struct state *s = p->state;

    if (pst_dns_has(p, PAT)) {
        s->bearer = s->proven = true;
        return PST_OK;
    }
    if (!pst_dns_has(p, API_KEY))
        return pst_dns_missing(p, API_KEY, err);
    if (p->ops == &pst_dns_gandi)
        pst_log_info(LOG, "DNS_PROVIDER=gandi uses LiveDNS; gandiv5 is its present name");
    return PST_OK;
}

static int authorize(struct pst_dns_provider *p, struct pst_dns_request *r, bool fresh,
                     struct pst_err *err)
{
    struct state *s = p->state;

    if (fresh)
        s->bearer = !s->bearer;
    pst_buf_printf(pst_dns_header_slot(r, "Authorization"), "%s %s",
                   s->bearer ? "Bearer" : "Apikey",
                   pst_dns_var(p, pst_dns_has(p, PAT) ? PAT : API_KEY));
    return PST_OK;
}

static bool stale(struct pst_dns_provider *p, const struct pst_dns_answer *a)
{
    struct state *s = p->state;
    bool refused = a->status == 401 || a->status == 403;

    /* 403 is "I know you", when the other scheme got a 401. */
    if (a->status == 404 || (a->status >= 200 && a->status < 300) ||
        (a->status == 403 && s->unknown))
        s->proven = true;
    s->unknown = a->status == 401;
    return refused && !s->proven;
}

static void explain(struct pst_dns_provider *p, const struct pst_dns_answer *a,
                    struct pst_dns_reason *ret)
{
    const struct pst_json *error = pst_json_at(pst_json_get(a->json, "errors"), 0);

    ret->code = pst_json_get_text(a->json, "object");
    ret->message = pst_json_get_text(error, "description");
    if (!ret->message)
        ret->message = pst_json_get_text(a->json, "message");
    if (a->status == 401 || a->status == 403)
        ret->blame = 1u << (pst_dns_has(p, PAT) ? PAT : API_KEY);
    if (a->status == 403)
        ret->hint = "the key has no right to this domain";
}

static int zone(struct pst_dns_provider *p, const char *name, struct pst_dns_zone *ret,
                struct pst_err *err)
{
    auto_request struct pst_dns_request r = PST_DNS_REQUEST("GET");
    auto_answer struct pst_dns_answer a = {0};

    pst_dns_url(p, &r, "/domains/");
    pst_dns_escape(&r.url, name, "");
    int rc = pst_dns_send(p, &r, &a, err);
    if (rc != PST_OK)
        return rc;
    if (a.status == 404)
        return PST_NOTFOUND;
    if (a.status != 200)
        rc = pst_dns_fault(p, &a, "looking for the zone", err);
    else if (!pst_strcaseeq(pst_json_get_text(a.json, "fqdn"), name))
        rc = pst_dns_senseless(&a, "looking for the zone", err);
    return a.status == 403 ? PST_REFUSED : rc;
}

static void set_url(struct pst_dns_provider *p, struct pst_dns_request *r,
                    const struct pst_dns_target *t)
{
    pst_dns_url(p, r, "/domains/");
    pst_dns_escape(&r->url, t->zone->name, "");
    pst_buf_str(&r->url, "/records/");
    pst_dns_escape(&r->url, t->rel[0] ? t->rel : "@", "@");
    pst_buf_str(&r->url, "/TXT");
}

static int read_set(struct pst_dns_provider *p, const struct pst_dns_target *t,
                    struct pst_dns_set *ret, struct pst_err *err)
{
    auto_request struct pst_dns_request r = PST_DNS_REQUEST("GET");
    auto_answer struct pst_dns_answer a = {0};
    int64_t ttl = 0;

    set_url(p, &r, t);
    int rc = pst_dns_send(p, &r, &a, err);
    if (rc != PST_OK)
        return rc;
    if (a.status == 404)
        return PST_NOTFOUND;
    if (a.status != 200)
        return pst_dns_fault(p, &a, "reading the records", err);
    const struct pst_json *values = pst_json_get(a.json, "rrset_values");
    if (pst_json_type(values) != PST_JSON_ARRAY || !pst_json_get_int(a.json, "rrset_ttl", &ttl) ||
        ttl < 0 || ttl > INT32_MAX)
        return pst_dns_senseless(&a, "reading the records", err);
    ret->exists = true;
    ret->ttl_s = (uint32_t)ttl;
    for (size_t i = 0; i < pst_json_len(values); i++) {
        const char *raw = pst_json_text(pst_json_at(values, i));

        if (!raw)
            return pst_dns_senseless(&a, "reading the records", err);
        rc = pst_dns_set_add_quoted(ret, raw, raw, err);
        if (rc != PST_OK)
            return rc;
    }
    return PST_OK;
}

static int item(const struct pst_dns_provider *p, const char *value, struct pst_buf *ret_raw)
{
    pst_dns_quote(ret_raw, value);
    return PST_OK;
}

static void write_body(struct pst_buf *to, const struct pst_dns_set *set)
{
    pst_buf_printf(to, "{\"rrset_ttl\":%u,\"rrset_values\":[", set->ttl_s);
    for (size_t i = 0; i < set->n; i++) {
        if (i > 0)
            pst_buf_char(to, ',');
        pst_json_quote(to, set->items[i].raw);
    }
    pst_buf_str(to, "]}");
}

static int write_set(struct pst_dns_provider *p, const struct pst_dns_target *t,
                     const struct pst_dns_set *old, const struct pst_dns_set *set,
                     struct pst_dns_change *ret, struct pst_err *err)
{
    /* POST makes a set and never replaces one: the only guard there is. */
    bool fresh = !old->exists;
    const char *method = set->n == 0 ? "DELETE" : fresh ? "POST" : "PUT";
    auto_request struct pst_dns_request r = PST_DNS_REQUEST(method);
    auto_answer struct pst_dns_answer a = {0};

    set_url(p, &r, t);
    if (set->n > 0)
        write_body(&r.body, set);
    int rc = pst_dns_send(p, &r, &a, err);
    if (rc != PST_OK)
        return rc;
    if (a.status >= 200 && a.status < 300)
        return PST_OK;
    if (set->n == 0 && a.status == 404)
        return PST_OK;
    if (fresh && a.status == 409)
        return PST_CONFLICT;
    return pst_dns_fault(p, &a, "writing the records", err);
}

#define GANDI                                                                                      \
    .ttl_s = TTL_S, .base_url = "https://api.gandi.net/v5/livedns",                                \
    .state_size = sizeof(struct state), .unguarded = true, .create = create,                       \
    .authorize = authorize, .stale = stale, .explain = explain, .zone = zone, .read = read_set,    \
    .item = item, .write = write_set

const struct pst_dns_ops pst_dns_gandiv5 = {
    .name = "gandiv5", .vars = vars_v5, .vars_n = PST_ARRAY_N(vars_v5), GANDI};

const struct pst_dns_ops pst_dns_gandi = {
    .name = "gandi", .vars = vars_old, .vars_n = PST_ARRAY_N(vars_old), GANDI};
