/* azure.c - Azure DNS, public zones: whole record sets, guarded by their ETag. */
#include <string.h>

#include "../dns_internal.h"

enum { CLIENT_ID, CLIENT_SECRET, SUBSCRIPTION_ID, TENANT_ID, RESOURCE_GROUP };

static const struct pst_dns_var vars[] = {
    [CLIENT_ID] = {"DNS_AZURE_CLIENT_ID", PST_VAR_TEXT, false, true},
    [CLIENT_SECRET] = {"DNS_AZURE_CLIENT_SECRET", PST_VAR_TEXT, false, false},
    [SUBSCRIPTION_ID] = {"DNS_AZURE_SUBSCRIPTION_ID", PST_VAR_TEXT, false, true},
    [TENANT_ID] = {"DNS_AZURE_TENANT_ID", PST_VAR_TEXT, false, true},
    [RESOURCE_GROUP] = {"DNS_AZURE_RESOURCE_GROUP", PST_VAR_TEXT, false, true},
};

enum { TTL_S = 60 };

#define API_VERSION "?api-version=2018-05-01"

/* ---- token ---- */

static void form_field(struct pst_buf *to, const char *name, const char *value)
{
    pst_buf_printf(to, "%s%s=", to->len > 0 ? "&" : "", name);
    pst_dns_escape(to, value, "");
}

/* The operator's token URL may be a host, as Azure's own, or the whole endpoint. */
static bool has_path(const char *url)
{
    const char *host = strstr(url, "://");
    return host && strchr(host + 3, '/');
}

static int ask_token(struct pst_dns_provider *p, struct pst_dns_request *r, struct pst_err *err)
{
    const char *login = p->token_url ? p->token_url : p->ops->token_url;

    pst_buf_str(&r->url, login);
    if (!has_path(login)) {
        pst_buf_char(&r->url, '/');
        pst_dns_escape(&r->url, pst_dns_var(p, TENANT_ID), "");
        pst_buf_str(&r->url, "/oauth2/v2.0/token");
    }
    form_field(&r->body, "grant_type", "client_credentials");
    form_field(&r->body, "client_id", pst_dns_var(p, CLIENT_ID));
    form_field(&r->body, "client_secret", pst_dns_var(p, CLIENT_SECRET));
    form_field(&r->body, "scope", "https://management.azure.com/.default");
    return PST_OK;
}

static int authorize(struct pst_dns_provider *p, struct pst_dns_request *r, bool fresh,
                     struct pst_err *err)
{
    return pst_dns_bearer(p, r, fresh, ask_token, err);
}

/* ---- errors ---- */

static const struct {
    int64_t code;
    unsigned var;
} sign_in_codes[] = {
    {7000215, CLIENT_SECRET}, {7000222, CLIENT_SECRET}, {700016, CLIENT_ID},
    {90002, TENANT_ID},       {900023, TENANT_ID},
};

static void explain_sign_in(struct pst_dns_provider *p, const struct pst_dns_answer *a,
                            struct pst_dns_reason *ret)
{
    const struct pst_json *codes = pst_json_get(a->json, "error_codes");
    int64_t code = 0;

    ret->code = pst_json_get_text(a->json, "error");
    ret->message = pst_json_get_text(a->json, "error_description");
    pst_json_int(pst_json_at(codes, 0), &code);
    for (size_t i = 0; i < PST_ARRAY_N(sign_in_codes); i++) {
        if (sign_in_codes[i].code == code)
            ret->blame = 1u << sign_in_codes[i].var;
    }
    if (!ret->blame && (a->status == 400 || a->status == 401))
        ret->blame = 1u << CLIENT_ID | 1u << CLIENT_SECRET | 1u << TENANT_ID;
}

static void explain(struct pst_dns_provider *p, const struct pst_dns_answer *a,
                    struct pst_dns_reason *ret)
{
    const struct pst_json *error = pst_json_get(a->json, "error");

    if (pst_json_type(error) == PST_JSON_TEXT) {
        explain_sign_in(p, a, ret);
        return;
    }
    ret->code = pst_json_get_text(error, "code");
    ret->message = pst_json_get_text(error, "message");
    if (pst_streq(ret->code, "ResourceGroupNotFound"))
        ret->blame = 1u << RESOURCE_GROUP;
    if (pst_streq(ret->code, "SubscriptionNotFound") ||
        pst_streq(ret->code, "InvalidSubscriptionId"))
        ret->blame = 1u << SUBSCRIPTION_ID;
    if (a->status == 401)
        ret->blame = 1u << CLIENT_ID | 1u << CLIENT_SECRET;
    if (a->status == 403) {
        ret->blame = 1u << CLIENT_ID;
        ret->hint = "the application needs the role DNS Zone Contributor on the zone";
    }
    if (a->status == 409) /* another operation on the zone is under way */
        ret->class = PST_CLASS_TRANSIENT;
}

/* ---- zones ---- */

static void zone_url(struct pst_dns_provider *p, struct pst_dns_request *r, const char *name)
{
    pst_dns_url(p, r, "/subscriptions/");
    pst_dns_escape(&r->url, pst_dns_var(p, SUBSCRIPTION_ID), "");
    pst_buf_str(&r->url, "/resourceGroups/");
    pst_dns_escape(&r->url, pst_dns_var(p, RESOURCE_GROUP), "");
    pst_buf_str(&r->url, "/providers/Microsoft.Network/dnsZones/");
    pst_dns_escape(&r->url, name, "");
}

static int zone(struct pst_dns_provider *p, const char *name, struct pst_dns_zone *ret,
                struct pst_err *err)
{
    auto_request struct pst_dns_request r = PST_DNS_REQUEST("GET");
    auto_answer struct pst_dns_answer a = {0};

    zone_url(p, &r, name);
    pst_buf_str(&r.url, API_VERSION);
    int rc = pst_dns_send(p, &r, &a, err);
    if (rc != PST_OK)
        return rc;
    const char *code = pst_dns_code(p, &a);
    if (a.status == 404 && !pst_streq(code, "ResourceGroupNotFound") &&
        !pst_streq(code, "SubscriptionNotFound"))
        return PST_NOTFOUND;
    if (a.status != 200)
        return pst_dns_fault(p, &a, "looking for the zone", err);
    if (!pst_strcaseeq(pst_json_get_text(a.json, "name"), name))
        return pst_dns_senseless(&a, "looking for the zone", err);
    const struct pst_json *properties = pst_json_get(a.json, "properties");
    if (pst_strcaseeq(pst_json_text(pst_dns_member(properties, "zoneType")), "Private"))
        return PST_NOTFOUND;
    return PST_OK;
}

/* ---- record sets ---- */

static void set_url(struct pst_dns_provider *p, struct pst_dns_request *r,
                    const struct pst_dns_target *t)
{
    zone_url(p, r, t->zone->name);
    pst_buf_str(&r->url, "/TXT/");
    pst_dns_escape(&r->url, t->rel[0] ? t->rel : "@", "@");
    pst_buf_str(&r->url, API_VERSION);
}

/* The chunks of one record, joined. */
static bool join(const struct pst_json *record, struct pst_buf *to)
{
    const struct pst_json *chunks = pst_dns_member(record, "value");

    if (pst_json_type(chunks) != PST_JSON_ARRAY)
        return false;
    for (size_t i = 0; i < pst_json_len(chunks); i++) {
        const char *chunk = pst_json_text(pst_json_at(chunks, i));
        if (!chunk)
            return false;
        pst_buf_str(to, chunk);
    }
    return true;
}

static int take_records(const struct pst_dns_answer *a, const struct pst_json *records,
                        struct pst_dns_set *ret, struct pst_err *err)
{
    for (size_t i = 0; i < pst_json_len(records); i++) {
        const struct pst_json *record = pst_json_at(records, i);
        auto_buf struct pst_buf raw = PST_BUF(64 * 1024);
        auto_buf struct pst_buf value = PST_BUF(64 * 1024);

        if (!join(record, &value))
            return pst_dns_senseless(a, "reading the records", err);
        int rc = pst_buf_check(&value, "a TXT value", err);
        if (rc == PST_OK)
            rc = pst_json_write(record, &raw, err);
        if (rc == PST_OK)
            rc = pst_dns_set_add(ret, raw.data, pst_buf_cstr(&value), err);
        if (rc != PST_OK)
            return rc;
    }
    return PST_OK;
}

static int read_set(struct pst_dns_provider *p, const struct pst_dns_target *t,
                    struct pst_dns_set *ret, struct pst_err *err)
{
    auto_request struct pst_dns_request r = PST_DNS_REQUEST("GET");
    auto_answer struct pst_dns_answer a = {0};
    int64_t ttl = TTL_S;

    set_url(p, &r, t);
    int rc = pst_dns_send(p, &r, &a, err);
    if (rc != PST_OK)
        return rc;
    if (a.status == 404)
        return PST_NOTFOUND;
    if (a.status != 200)
        return pst_dns_fault(p, &a, "reading the records", err);
    const struct pst_json *properties = pst_json_get(a.json, "properties");
    const struct pst_json *metadata = pst_dns_member(properties, "metadata");
    const char *etag = pst_json_get_text(a.json, "etag");
    if (!etag)
        etag = pst_http_header(a.response, "ETag", 0);
    if (pst_json_type(properties) != PST_JSON_OBJECT || !etag ||
        !pst_str_copy(ret->etag, sizeof ret->etag, etag))
        return pst_dns_senseless(&a, "reading the records", err);
    if (pst_json_int(pst_dns_member(properties, "TTL"), &ttl) && (ttl < 1 || ttl > INT32_MAX))
        return pst_dns_senseless(&a, "reading the records", err);
    ret->exists = true;
    ret->ttl_s = (uint32_t)ttl;
    ret->extra.max = 64 * 1024;
    if (pst_json_len(metadata) > 0)
        rc = pst_json_write(metadata, &ret->extra, err);
    if (rc != PST_OK)
        return rc;
    return take_records(&a, pst_dns_member(properties, "TXTRecords"), ret, err);
}

static int item(const struct pst_dns_provider *p, const char *value, struct pst_buf *ret_raw)
{
    pst_buf_str(ret_raw, "{\"value\":[");
    pst_json_quote(ret_raw, value);
    pst_buf_str(ret_raw, "]}");
    return PST_OK;
}

static void write_body(struct pst_buf *to, const struct pst_dns_set *old,
                       const struct pst_dns_set *set)
{
    pst_buf_printf(to, "{\"properties\":{\"TTL\":%u,", set->ttl_s);
    if (old->extra.len > 0)
        pst_buf_printf(to, "\"metadata\":%s,", old->extra.data);
    pst_buf_str(to, "\"TXTRecords\":[");
    for (size_t i = 0; i < set->n; i++)
        pst_buf_printf(to, "%s%s", i > 0 ? "," : "", set->items[i].raw);
    pst_buf_str(to, "]}}");
}

static int write_set(struct pst_dns_provider *p, const struct pst_dns_target *t,
                     const struct pst_dns_set *old, const struct pst_dns_set *set,
                     struct pst_dns_change *ret, struct pst_err *err)
{
    auto_request struct pst_dns_request r = PST_DNS_REQUEST(set->n == 0 ? "DELETE" : "PUT");
    auto_answer struct pst_dns_answer a = {0};

    set_url(p, &r, t);
    if (old->exists)
        pst_dns_header(&r, "If-Match", old->etag);
    else
        pst_dns_header(&r, "If-None-Match", "*");
    if (set->n > 0)
        write_body(&r.body, old, set);
    int rc = pst_dns_send(p, &r, &a, err);
    if (rc != PST_OK || (a.status >= 200 && a.status < 300))
        return rc;
    if (a.status == 412 || (a.status == 404 && set->n > 0 && old->exists))
        return PST_CONFLICT;
    if (a.status == 404 && set->n == 0)
        return PST_OK;
    return pst_dns_fault(p, &a, "writing the records", err);
}

const struct pst_dns_ops pst_dns_azure = {
    .name = "azure",
    .vars = vars,
    .vars_n = PST_ARRAY_N(vars),
    .ttl_s = TTL_S,
    .base_url = "https://management.azure.com",
    .token_url = "https://login.microsoftonline.com",
    .authorize = authorize,
    .stale = pst_dns_stale_401,
    .explain = explain,
    .zone = zone,
    .read = read_set,
    .item = item,
    .write = write_set,
};
