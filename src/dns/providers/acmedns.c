/*
 * acmedns.c - acme-dns: a server with two slots for each account, the older of which an update
 * overwrites.  Nothing can be removed, and nothing can be read but by the DNS.
 */
#include <string.h>

#include <postern/resolve.h>

#include "../dns_internal.h"

enum { API_BASE, USERNAME, PASSWORD, SUBDOMAIN };

static const struct pst_dns_var vars[] = {
    [API_BASE] = {"DNS_ACMEDNS_API_BASE", PST_VAR_TOKEN, true, true},
    [USERNAME] = {"DNS_ACMEDNS_USERNAME", PST_VAR_TOKEN, false, false},
    [PASSWORD] = {"DNS_ACMEDNS_PASSWORD", PST_VAR_TOKEN, false, false},
    [SUBDOMAIN] = {"DNS_ACMEDNS_SUBDOMAIN", PST_VAR_TOKEN, false, true},
};

enum { VALUE_LEN = 43 };

static int create(struct pst_dns_provider *p, struct pst_err *err)
{
    const char *base = pst_dns_var(p, API_BASE);
    struct pst_http_url url;
    struct pst_err ignored;

    if (p->own_base)
        return PST_OK;
    if (!base[0])
        return pst_dns_missing(p, API_BASE, err);
    if (pst_http_url_parse(base, &url, &ignored) != PST_OK || strchr(base, '?'))
        return pst_dns_wrong(p, API_BASE, "is not a URL", err);
    if (!url.https && !url.loopback)
        return pst_dns_wrong(p, API_BASE, "must begin with https://", err);
    size_t len = strlen(base);
    while (base[len - 1] == '/')
        len--;
    pst_free(p->base);
    p->base = pst_strndup(base, len);
    return p->base ? PST_OK : pst_fail_nomem(err, "a URL");
}

static int authorize(struct pst_dns_provider *p, struct pst_dns_request *r, bool fresh,
                     struct pst_err *err)
{
    pst_dns_header(r, "X-Api-User", pst_dns_var(p, USERNAME));
    pst_dns_header(r, "X-Api-Key", pst_dns_var(p, PASSWORD));
    return PST_OK;
}

static void explain(struct pst_dns_provider *p, const struct pst_dns_answer *a,
                    struct pst_dns_reason *ret)
{
    ret->code = pst_json_get_text(a->json, "error");
    if (a->status == 401 || a->status == 403) {
        ret->blame = 1u << USERNAME | 1u << PASSWORD | 1u << SUBDOMAIN;
        ret->hint = "wrong user, password or subdomain, or our address is not among its allowfrom";
    }
    if (pst_streq(ret->code, "bad_subdomain"))
        ret->blame = 1u << SUBDOMAIN;
}

/* There are no zones: the account is for one name, wherever the CNAME is. */
static int find(struct pst_dns_provider *p, const char *fqdn, bool delegated,
                struct pst_dns_zone *ret, struct pst_err *err)
{
    pst_str_copy(ret->name, sizeof ret->name, fqdn);
    return PST_OK;
}

static int update(struct pst_dns_provider *p, const char *value, struct pst_dns_answer *ret,
                  struct pst_err *err)
{
    auto_request struct pst_dns_request r = PST_DNS_REQUEST("POST");

    r.gated = true;
    pst_dns_url(p, &r, "/update");
    pst_buf_str(&r.body, "{\"subdomain\":");
    pst_json_quote(&r.body, pst_dns_var(p, SUBDOMAIN));
    pst_buf_str(&r.body, ",\"txt\":");
    pst_json_quote(&r.body, value);
    pst_buf_char(&r.body, '}');
    return pst_dns_send(p, &r, ret, err);
}

/* A repeated update would fill both slots with one value and push the other out. */
static bool stands_already(struct pst_dns_provider *p, const struct pst_dns_target *t)
{
    auto_(pst_resolve_records_free) struct pst_resolve_records *records = NULL;
    struct pst_err ignored;

    if (!p->env.resolver || pst_resolve_txt(p->env.resolver, t->fqdn, &records, &ignored) != PST_OK)
        return false;
    for (size_t i = 0; i < records->n; i++) {
        if (strcmp(records->texts[i], t->value) == 0)
            return true;
    }
    return false;
}

static bool fits(const char *value)
{
    static const char base64url[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
                                    "0123456789-_";
    return strlen(value) == VALUE_LEN && value[strspn(value, base64url)] == '\0';
}

static int put(struct pst_dns_provider *p, const struct pst_dns_target *t, bool remove,
               struct pst_err *err)
{
    auto_answer struct pst_dns_answer a = {0};

    if (remove)
        return PST_DONE;
    if (!fits(t->value))
        return pst_dns_permanent(err, "acme-dns takes only values of 43 characters of base64url");
    if (t->again && stands_already(p, t))
        return PST_DONE;
    int rc = update(p, t->value, &a, err);
    if (rc != PST_OK || a.status == 200)
        return rc;
    return pst_dns_fault(p, &a, "updating the record", err);
}

/* An update that is refused for its value alone shows that the credentials are good. */
static int check(struct pst_dns_provider *p, const struct pst_dns_target *t, struct pst_err *err)
{
    auto_answer struct pst_dns_answer a = {0};

    int rc = update(p, "", &a, err);
    if (rc != PST_OK)
        return rc;
    if (a.status == 400 && pst_streq(pst_dns_code(p, &a), "bad_txt"))
        return PST_OK;
    if (a.status >= 200 && a.status < 300)
        return pst_dns_senseless(&a, "trying the credentials", err);
    return pst_dns_fault(p, &a, "trying the credentials", err);
}

const struct pst_dns_ops pst_dns_acmedns = {
    .name = "acme-dns",
    .vars = vars,
    .vars_n = PST_ARRAY_N(vars),
    .ttl_s = 1,
    .base_url = "",
    .keeps = true,
    .create = create,
    .authorize = authorize,
    .explain = explain,
    .find = find,
    .check = check,
    .put = put,
};
