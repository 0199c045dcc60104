/* cloudflare.c - Cloudflare, API v4: records with ids; an envelope around every answer. */
#include <stdio.h>
#include <string.h>

#include "../dns_internal.h"

enum { EMAIL, API_KEY, API_TOKEN };

static const struct pst_dns_var vars[] = {
    [EMAIL] = {"DNS_CLOUDFLARE_EMAIL", PST_VAR_TOKEN, true, false},
    [API_KEY] = {"DNS_CLOUDFLARE_API_KEY", PST_VAR_TOKEN, true, false},
    [API_TOKEN] = {"DNS_CLOUDFLARE_API_TOKEN", PST_VAR_TOKEN, true, false},
};

enum { EXISTS_A = 81057, EXISTS_B = 81058, GONE = 81044, TTL_S = 120 };

static int create(struct pst_dns_provider *p, struct pst_err *err)
{
    if (pst_dns_has(p, API_TOKEN)) {
        if (pst_dns_has(p, API_KEY))
            pst_log_info(LOG, "the Cloudflare token is used, not the global key");
        return PST_OK;
    }
    int rc = PST_OK;
    if (!pst_dns_has(p, EMAIL))
        rc = pst_dns_missing(p, EMAIL, err);
    if (!pst_dns_has(p, API_KEY))
        rc = pst_dns_wrong(p, API_KEY, "is missing (or DNS_CLOUDFLARE_API_TOKEN)", err);
    return rc;
}

static int authorize(struct pst_dns_provider *p, struct pst_dns_request *r, bool fresh,
                     struct pst_err *err)
{
    if (pst_dns_has(p, API_TOKEN)) {
        pst_buf_printf(pst_dns_header_slot(r, "Authorization"), "Bearer %s",
                       pst_dns_var(p, API_TOKEN));
        return PST_OK;
    }
    pst_dns_header(r, "X-Auth-Email", pst_dns_var(p, EMAIL));
    pst_dns_header(r, "X-Auth-Key", pst_dns_var(p, API_KEY));
    return PST_OK;
}

/* Does the answer report this error, alone or as the cause of another? */
static bool reports(const struct pst_dns_answer *a, int64_t wanted)
{
    const struct pst_json *errors = pst_json_get(a->json, "errors");
    int64_t code;

    for (size_t i = 0; i < pst_json_len(errors); i++) {
        if (pst_json_get_int(pst_json_at(errors, i), "code", &code) && code == wanted)
            return true;
    }
    return false;
}

static void explain(struct pst_dns_provider *p, const struct pst_dns_answer *a,
                    struct pst_dns_reason *ret)
{
    const struct pst_json *error = pst_json_at(pst_json_get(a->json, "errors"), 0);
    const struct pst_json *cause = pst_json_at(pst_json_get(error, "error_chain"), 0);
    int64_t code = 0, inner = 0;

    ret->message = pst_json_get_text(cause ? cause : error, "message");
    if (pst_json_get_int(error, "code", &code)) {
        if (pst_json_get_int(cause, "code", &inner))
            snprintf(p->code, sizeof p->code, "%lld/%lld", (long long)code, (long long)inner);
        else
            snprintf(p->code, sizeof p->code, "%lld", (long long)code);
        ret->code = p->code;
    }
    if (a->status == 401 || a->status == 403 || code == 6003 || code == 9103 || code == 9109)
        ret->blame = pst_dns_has(p, API_TOKEN) ? 1u << API_TOKEN : 1u << EMAIL | 1u << API_KEY;
}

static bool success(const struct pst_dns_answer *a)
{
    bool yes = false;
    return a->status >= 200 && a->status < 300 && pst_json_get_bool(a->json, "success", &yes) &&
           yes;
}

/* Is there a page behind this one? */
static bool more(const struct pst_dns_answer *a, int page)
{
    int64_t pages = 0;
    return pst_json_get_int(pst_json_get(a->json, "result_info"), "total_pages", &pages) &&
           page < pages && page < PAGES_MAX;
}

/* ---- zones ---- */

struct found {
    size_t active, others;
    char active_id[64], other_id[64];
};

static int look_at_zones(const struct pst_dns_answer *a, const char *name, struct found *f,
                         struct pst_err *err)
{
    const struct pst_json *result = pst_json_get(a->json, "result");

    for (size_t i = 0; i < pst_json_len(result); i++) {
        const struct pst_json *z = pst_json_at(result, i);
        const char *id = pst_json_get_text(z, "id");
        bool active = pst_streq(pst_json_get_text(z, "status"), "active");

        if (!pst_strcaseeq(pst_json_get_text(z, "name"), name))
            continue;
        if (!id || !id[0] ||
            !pst_str_copy(active ? f->active_id : f->other_id, sizeof f->active_id, id))
            return pst_dns_senseless(a, "listing zones", err);
        if (active)
            f->active++;
        else
            f->others++;
    }
    return PST_OK;
}

static int zone(struct pst_dns_provider *p, const char *name, struct pst_dns_zone *ret,
                struct pst_err *err)
{
    struct found f = {0};
    bool again = true;

    for (int page = 1; again; page++) {
        auto_request struct pst_dns_request r = PST_DNS_REQUEST("GET");
        auto_answer struct pst_dns_answer a = {0};

        pst_dns_url(p, &r, "/zones?name=");
        pst_dns_escape(&r.url, name, "");
        pst_buf_printf(&r.url, "&per_page=50&page=%d", page);
        int rc = pst_dns_send(p, &r, &a, err);
        if (rc != PST_OK)
            return rc;
        if (!success(&a))
            return pst_dns_fault(p, &a, "listing zones", err);
        rc = look_at_zones(&a, name, &f, err);
        if (rc != PST_OK)
            return rc;
        again = more(&a, page);
    }
    if (f.active + f.others == 0)
        return PST_NOTFOUND;
    if (f.active > 1 || (f.active == 0 && f.others > 1)) {
        pst_dns_permanent(err,
                          "these credentials see %zu zones with the name %s: use a token that "
                          "is limited to one of them",
                          f.active ? f.active : f.others, name);
        pst_err_problem(err, "ambiguous_zone");
        return PST_EREMOTE;
    }
    pst_str_copy(ret->id, sizeof ret->id, f.active ? f.active_id : f.other_id);
    return PST_OK;
}

/* ---- records ---- */

static void records_url(struct pst_dns_provider *p, struct pst_dns_request *r,
                        const struct pst_dns_target *t)
{
    pst_dns_url(p, r, "/zones/");
    pst_dns_escape(&r->url, t->zone->id, "");
    pst_buf_str(&r->url, "/dns_records");
}

static int take_records(const struct pst_dns_answer *a, const struct pst_dns_target *t,
                        struct pst_dns_set *ret, struct pst_err *err)
{
    const struct pst_json *result = pst_json_get(a->json, "result");

    for (size_t i = 0; i < pst_json_len(result); i++) {
        const struct pst_json *rec = pst_json_at(result, i);
        const char *id = pst_json_get_text(rec, "id");
        const char *content = pst_json_get_text(rec, "content");

        if (!pst_streq(pst_json_get_text(rec, "type"), "TXT") ||
            !pst_strcaseeq(pst_json_get_text(rec, "name"), t->fqdn))
            continue;
        if (!id || !id[0] || !content)
            return pst_dns_senseless(a, "listing records", err);
        int rc = pst_dns_set_add_quoted(ret, id, content, err);
        if (rc != PST_OK)
            return rc;
    }
    return PST_OK;
}

static int list(struct pst_dns_provider *p, const struct pst_dns_target *t, struct pst_dns_set *ret,
                struct pst_err *err)
{
    bool again = true;

    for (int page = 1; again; page++) {
        auto_request struct pst_dns_request r = PST_DNS_REQUEST("GET");
        auto_answer struct pst_dns_answer a = {0};

        records_url(p, &r, t);
        pst_buf_str(&r.url, "?type=TXT&name.exact=");
        pst_dns_escape(&r.url, t->fqdn, "");
        pst_buf_printf(&r.url, "&per_page=100&page=%d", page);
        int rc = pst_dns_send(p, &r, &a, err);
        if (rc != PST_OK)
            return rc;
        if (!success(&a))
            return pst_dns_fault(p, &a, "listing records", err);
        rc = take_records(&a, t, ret, err);
        if (rc != PST_OK)
            return rc;
        again = more(&a, page);
    }
    return PST_OK;
}

static int create_record(struct pst_dns_provider *p, const struct pst_dns_target *t,
                         struct pst_err *err)
{
    auto_request struct pst_dns_request r = PST_DNS_REQUEST("POST");
    auto_answer struct pst_dns_answer a = {0};

    records_url(p, &r, t);
    pst_buf_str(&r.body, "{\"type\":\"TXT\",\"name\":");
    pst_json_quote(&r.body, t->fqdn);
    /* Quotes belong to the content: without them the dashboard warns. */
    pst_buf_printf(&r.body, ",\"content\":\"\\\"%s\\\"\",\"ttl\":%d}", t->value, TTL_S);
    int rc = pst_dns_send(p, &r, &a, err);
    if (rc != PST_OK || success(&a))
        return rc;
    if (reports(&a, EXISTS_A) || reports(&a, EXISTS_B))
        return PST_DONE;
    return pst_dns_fault(p, &a, "creating a record", err);
}

static int destroy_record(struct pst_dns_provider *p, const struct pst_dns_target *t,
                          const char *id, struct pst_err *err)
{
    auto_request struct pst_dns_request r = PST_DNS_REQUEST("DELETE");
    auto_answer struct pst_dns_answer a = {0};

    records_url(p, &r, t);
    pst_buf_char(&r.url, '/');
    pst_dns_escape(&r.url, id, "");
    int rc = pst_dns_send(p, &r, &a, err);
    if (rc != PST_OK || success(&a))
        return rc;
    if (a.status == 404 || reports(&a, GONE))
        return PST_DONE;
    return pst_dns_fault(p, &a, "deleting a record", err);
}

const struct pst_dns_ops pst_dns_cloudflare = {
    .name = "cloudflare",
    .vars = vars,
    .vars_n = PST_ARRAY_N(vars),
    .ttl_s = TTL_S,
    .base_url = "https://api.cloudflare.com/client/v4",
    .create = create,
    .authorize = authorize,
    .explain = explain,
    .zone = zone,
    .list = list,
    .create_record = create_record,
    .destroy_record = destroy_record,
};
