/* godaddy.c - GoDaddy, API v1: whole record sets; PATCH appends one record without reading. */
#include <string.h>

#include "../dns_internal.h"

enum { API_KEY, API_SECRET };

static const struct pst_dns_var vars[] = {
    [API_KEY] = {"DNS_GODADDY_API_KEY", PST_VAR_TOKEN, false, false},
    [API_SECRET] = {"DNS_GODADDY_API_SECRET", PST_VAR_TOKEN, false, false},
};

enum { TTL_S = 600 }; /* less is refused */

static int authorize(struct pst_dns_provider *p, struct pst_dns_request *r, bool fresh,
                     struct pst_err *err)
{
    pst_buf_printf(pst_dns_header_slot(r, "Authorization"), "sso-key %s:%s",
                   pst_dns_var(p, API_KEY), pst_dns_var(p, API_SECRET));
    return PST_OK;
}

static void explain(struct pst_dns_provider *p, const struct pst_dns_answer *a,
                    struct pst_dns_reason *ret)
{
    ret->code = pst_json_get_text(a->json, "code");
    ret->message = pst_json_get_text(a->json, "message");
    if (a->status == 429)
        pst_json_get_int(a->json, "retryAfterSec", &ret->wait_s);
    if (a->status == 401)
        ret->blame = 1u << API_KEY | 1u << API_SECRET;
    if (a->status == 403) {
        ret->blame = 1u << API_KEY | 1u << API_SECRET;
        ret->hint = "GoDaddy gives DNS access only to accounts with ten domains or a Discount "
                    "Domain Club plan";
    }
}

static void domain_url(struct pst_dns_provider *p, struct pst_dns_request *r, const char *name)
{
    pst_dns_url(p, r, "/v1/domains/");
    pst_dns_escape(&r->url, name, "");
}

static int zone(struct pst_dns_provider *p, const char *name, struct pst_dns_zone *ret,
                struct pst_err *err)
{
    auto_request struct pst_dns_request r = PST_DNS_REQUEST("GET");
    auto_answer struct pst_dns_answer a = {0};

    domain_url(p, &r, name);
    int rc = pst_dns_send(p, &r, &a, err);
    if (rc != PST_OK)
        return rc;
    if (a.status == 404 || a.status == 422) /* 422: not a name that could be registered */
        return PST_NOTFOUND;
    if (a.status != 200)
        return pst_dns_fault(p, &a, "looking for the zone", err);
    if (!pst_strcaseeq(pst_json_get_text(a.json, "domain"), name))
        return pst_dns_senseless(&a, "looking for the zone", err);
    return PST_OK;
}

/* Never the path without a name: writing there replaces every TXT record of the domain. */
static void set_url(struct pst_dns_provider *p, struct pst_dns_request *r,
                    const struct pst_dns_target *t)
{
    domain_url(p, r, t->zone->name);
    pst_buf_str(&r->url, "/records/TXT/");
    pst_dns_escape(&r->url, t->rel[0] ? t->rel : "@", "@");
}

static bool blank(const char *s)
{
    return s[strspn(s, " \t")] == '\0';
}

static int read_set(struct pst_dns_provider *p, const struct pst_dns_target *t,
                    struct pst_dns_set *ret, struct pst_err *err)
{
    auto_request struct pst_dns_request r = PST_DNS_REQUEST("GET");
    auto_answer struct pst_dns_answer a = {0};

    set_url(p, &r, t);
    int rc = pst_dns_send(p, &r, &a, err);
    if (rc != PST_OK)
        return rc;
    if (a.status == 404)
        return PST_NOTFOUND;
    if (a.status != 200)
        return pst_dns_fault(p, &a, "reading the records", err);
    if (pst_json_type(a.json) != PST_JSON_ARRAY)
        return pst_dns_senseless(&a, "reading the records", err);
    ret->exists = pst_json_len(a.json) > 0;
    for (size_t i = 0; i < pst_json_len(a.json); i++) {
        const struct pst_json *rec = pst_json_at(a.json, i);
        const char *data = pst_json_get_text(rec, "data");
        auto_buf struct pst_buf raw = PST_BUF(64 * 1024);

        if (!data)
            return pst_dns_senseless(&a, "reading the records", err);
        if (blank(data))
            continue; /* what old clients left behind; it would be refused when sent back */
        rc = pst_json_write(rec, &raw, err);
        if (rc == PST_OK)
            rc = pst_dns_set_add_quoted(ret, raw.data, data, err);
        if (rc != PST_OK)
            return rc;
    }
    return PST_OK;
}

static int item(const struct pst_dns_provider *p, const char *value, struct pst_buf *ret_raw)
{
    pst_buf_str(ret_raw, "{\"data\":");
    pst_json_quote(ret_raw, value);
    pst_buf_printf(ret_raw, ",\"ttl\":%d}", TTL_S);
    return PST_OK;
}

static int append(struct pst_dns_provider *p, const struct pst_dns_target *t, struct pst_err *err)
{
    auto_request struct pst_dns_request r = PST_DNS_REQUEST("PATCH");
    auto_answer struct pst_dns_answer a = {0};

    domain_url(p, &r, t->zone->name);
    pst_buf_str(&r.url, "/records");
    pst_buf_str(&r.body, "[{\"type\":\"TXT\",\"name\":");
    pst_json_quote(&r.body, t->rel[0] ? t->rel : "@");
    pst_buf_str(&r.body, ",\"data\":");
    pst_json_quote(&r.body, t->value);
    pst_buf_printf(&r.body, ",\"ttl\":%d}]", TTL_S);
    int rc = pst_dns_send(p, &r, &a, err);
    if (rc != PST_OK || (a.status >= 200 && a.status < 300))
        return rc;
    if (pst_streq(pst_dns_code(p, &a), "DUPLICATE_RECORD"))
        return PST_DONE;
    return pst_dns_fault(p, &a, "adding a record", err);
}

static int write_set(struct pst_dns_provider *p, const struct pst_dns_target *t,
                     const struct pst_dns_set *old, const struct pst_dns_set *set,
                     struct pst_dns_change *ret, struct pst_err *err)
{
    auto_request struct pst_dns_request r = PST_DNS_REQUEST(set->n == 0 ? "DELETE" : "PUT");
    auto_answer struct pst_dns_answer a = {0};

    set_url(p, &r, t);
    for (size_t i = 0; i < set->n; i++) {
        pst_buf_char(&r.body, i == 0 ? '[' : ',');
        pst_buf_str(&r.body, set->items[i].raw);
    }
    if (set->n > 0)
        pst_buf_char(&r.body, ']');
    int rc = pst_dns_send(p, &r, &a, err);
    if (rc != PST_OK || (a.status >= 200 && a.status < 300))
        return rc;
    if (set->n == 0 && a.status == 404)
        return PST_OK;
    return pst_dns_fault(p, &a, "writing the records", err);
}

const struct pst_dns_ops pst_dns_godaddy = {
    .name = "godaddy",
    .vars = vars,
    .vars_n = PST_ARRAY_N(vars),
    .ttl_s = TTL_S,
    .base_url = "https://api.godaddy.com",
    .unguarded = true,
    .authorize = authorize,
    .explain = explain,
    .zone = zone,
    .read = read_set,
    .item = item,
    .append = append,
    .write = write_set,
};
