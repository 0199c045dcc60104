/* challenges.c - how control of a wildcard's name is proved by DNS, as tenants see it. */
#include "challenges.h"

#include <stdio.h>
#include <string.h>

#include <postern/challenge.h>
#include <postern/conf.h>
#include <postern/dns.h>
#include <postern/persist.h>

#include "api_internal.h"

#define PROVIDER_VARIABLE "DNS_PROVIDER"

/* ---- members of a domain ---- */

/* What is wrong with the provider's variables.  Clients read an object: never a text. */
static struct pst_json *error_object(const struct pst_domain *d)
{
    struct pst_json *j = NULL;
    struct pst_err none = {0};

    if (!d->acme_enabled || !d->acme_dns_error[0] ||
        pst_json_parse(&j, d->acme_dns_error, strlen(d->acme_dns_error), &none) != PST_OK)
        return pst_json_object();
    if (pst_json_type(j) == PST_JSON_OBJECT)
        return j;
    pst_json_free(j);
    return pst_json_object();
}

bool pst_json_set_challenge(struct pst_json *to, const struct pst_domain *d, bool waiting)
{
    bool record = waiting && d->acme_dns_fqdn[0] && d->acme_dns_value[0];

    return pst_json_set_or_null(to, "acme_dns_fqdn", record ? d->acme_dns_fqdn : NULL) &&
           pst_json_set_or_null(to, "acme_dns_value", record ? d->acme_dns_value : NULL) &&
           pst_json_set_time(to, "acme_dns_until", record ? d->acme_dns_until * 1000 : 0) &&
           pst_json_set(to, "acme_dns_error", error_object(d)) &&
           pst_json_set_or_null(to, "acme_method", d->acme_enabled ? d->acme_method : NULL);
}

/* ---- ways to prove control ---- */

struct options {
    struct pst_req *req;
    struct pst_tx *tx;
    const struct pst_domain *d;
    struct pst_json *list;
    struct pst_err *err;
};

/* One way: its record and a sentence. */
struct way {
    const char *kind;
    bool forever;
    const char *method; /* as the domain remembers it */
    bool (*place)(const char *name, char ret[PST_NAME_SIZE]);
    const char *type;  /* NULL: there is no record to make */
    const char *value; /* NULL or "": not known before there is an order */
    const char *text;
};

static struct pst_json *record_object(const struct options *o, const struct way *w)
{
    char name[PST_NAME_SIZE];
    auto_(pst_json_free) struct pst_json *j = pst_json_object();

    /* One that is too long to have such a place is refused by the order; here it shows nothing. */
    if (!w->place(o->d->ascii, name))
        name[0] = '\0';
    bool ok = pst_json_set_text(j, "name", name) && pst_json_set_text(j, "type", w->type) &&
              pst_json_set_or_null(j, "value", w->value);
    return ok ? pst_take(&j) : NULL;
}

static struct pst_json *way_object(const struct options *o, const struct way *w)
{
    const struct pst_domain *d = o->d;
    auto_(pst_json_free) struct pst_json *j = pst_json_object();
    bool in_use = pst_streq(d->acme_method, w->method);
    /* A method is chosen because its record was seen; only what is made by hand is waited for. */
    bool seen = in_use && d->phase != PST_PHASE_MANUAL && !d->acme_dns_error[0];

    bool ok = pst_json_set_text(j, "kind", w->kind) &&
              pst_json_set_bool(j, "forever", w->forever) &&
              pst_json_set_bool(j, "in_use", in_use) && pst_json_set_bool(j, "seen", seen) &&
              (w->type ? pst_json_set(j, "record", record_object(o, w))
                       : pst_json_set_null(j, "record")) &&
              pst_json_set_text(j, "text", w->text);
    return ok ? pst_take(&j) : NULL;
}

static int add_way(const struct options *o, const struct way *w)
{
    return pst_json_push(o->list, way_object(o, w)) ? PST_OK : pst_fail_nomem(o->err, "the ways");
}

/* Only where the CA is known to take it. */
static int add_persist(const struct options *o)
{
    const struct pst_api_hooks *h = &o->req->api->opts.hooks;
    auto_buf struct pst_buf value = PST_BUF(PST_PERSIST_VALUE_MAX);
    struct way way = {
        .kind = "dns-persist-01",
        .forever = true,
        .method = "dns-persist-01",
        .place = pst_persist_fqdn,
        .type = "TXT",
        .text = "Make this record once. It says that the platform's account at the CA may have "
                "certificates for the name, so that nothing has to be changed ever after."};

    int rc = h->persist_value ? h->persist_value(h->arg, o->tx, o->d->ascii, &value, o->err)
                              : PST_NOTFOUND;
    if (rc != PST_OK)
        return rc < 0 ? rc : PST_OK;
    way.value = pst_buf_cstr(&value);
    return add_way(o, &way);
}

/* Only where the operator has set up a zone for it. */
static int add_delegation(const struct options *o)
{
    const char *zone = pst_conf_text(o->req->api->set.conf, PST_CONF_DNSD_ZONE);
    char label[PST_DELEGATION_LABEL_SIZE], target[PST_DELEGATION_LABEL_SIZE + PST_NAME_SIZE];
    struct way way = {
        .kind = "delegation",
        .forever = true,
        .method = "dns-01:delegation",
        .place = pst_challenge_fqdn,
        .type = "CNAME",
        .value = target,
        .text = "Make this record once. The platform then answers all challenges itself, so that "
                "nothing has to be changed ever after."};

    if (!zone || !*zone)
        return PST_OK;
    int rc = pst_delegation_label(o->d->user_id, o->d->ascii, label, o->err);
    if (rc < 0)
        return rc;
    snprintf(target, sizeof target, "%s.%s", label, zone);
    return add_way(o, &way);
}

/* The provider that the app's environment names, "" when it names none. */
static int named_provider(const struct options *o, char ret[PST_DNS_PROVIDER_SIZE])
{
    struct pst_variable v = {0};

    ret[0] = '\0';
    int rc = pst_variable_get(o->tx, o->d->app_id, PROVIDER_VARIABLE, &v, o->err);
    if (rc == PST_OK && v.value.data)
        pst_str_cut(ret, PST_DNS_PROVIDER_SIZE, (const char *)v.value.data);
    pst_variable_deinit(&v);
    return rc == PST_NOTFOUND ? PST_OK : rc;
}

static bool set_names(struct pst_json *to, const char *key,
                      const char *(*at)(const char *of, size_t i), const char *of)
{
    auto_(pst_json_free) struct pst_json *list = pst_json_array();
    const char *name;

    for (size_t i = 0; (name = at(of, i)); i++)
        if (!pst_json_push_text(list, name))
            return false;
    return pst_json_set(to, key, pst_take(&list));
}

static const char *provider_at(const char *of, size_t i)
{
    (void)of;
    return pst_dns_provider_at(i);
}

static bool is_provider(const char *name)
{
    const char *at;

    for (size_t i = 0; (at = pst_dns_provider_at(i)); i++)
        if (pst_streq(at, name))
            return true;
    return false;
}

static int add_provider(const struct options *o)
{
    static const struct way way = {
        .kind = "provider",
        .forever = true,
        .method = "dns-01:provider",
        .text = "Name your DNS provider in the app's variable " PROVIDER_VARIABLE
                " and its credentials in the variables listed: the record is then made and taken "
                "away for you, each time."};
    char name[PST_DNS_PROVIDER_SIZE];
    auto_(pst_json_free) struct pst_json *j = way_object(o, &way);

    int rc = named_provider(o, name);
    if (rc < 0)
        return rc;
    bool ok = j && pst_json_set_or_null(j, "provider", name) &&
              set_names(j, "variables", pst_dns_provider_variable, is_provider(name) ? name : "") &&
              set_names(j, "providers", provider_at, NULL) && pst_json_push(o->list, pst_take(&j));
    return ok ? PST_OK : pst_fail_nomem(o->err, "the DNS providers");
}

static int add_manual(const struct options *o)
{
    struct way way = {
        .kind = "manual",
        .forever = false,
        .method = "dns-01:manual",
        .place = pst_challenge_fqdn,
        .type = "TXT",
        .value = o->d->acme_dns_value,
        .text = "Make this record by hand. Each certificate, so about every two months, needs "
                "another value."};

    return add_way(o, &way);
}

int pst_acme_options(struct pst_req *req, struct pst_tx *tx, const struct pst_domain *d,
                     struct pst_json *to, struct pst_err *err)
{
    auto_(pst_json_free) struct pst_json *list = pst_json_array();
    struct options o = {req, tx, d, list, err};

    if (!d->wildcard || !d->acme_enabled)
        return PST_OK;
    if (!list)
        return pst_fail_nomem(err, "the ways");
    static int (*const ways[])(const struct options *o) = {add_persist, add_delegation,
                                                           add_provider, add_manual};
    for (size_t i = 0; i < PST_ARRAY_N(ways); i++) {
        int rc = ways[i](&o);
        if (rc != PST_OK)
            return rc;
    }
    return pst_json_set(to, "acme_options", pst_take(&list)) ? PST_OK
                                                             : pst_fail_nomem(err, "the ways");
}

/* ---- the providers ---- */

static struct pst_json *provider_object(const char *name)
{
    auto_(pst_json_free) struct pst_json *j = pst_json_object();

    bool ok = pst_json_set_text(j, "name", name) &&
              set_names(j, "variables", pst_dns_provider_variable, name);
    return ok ? pst_take(&j) : NULL;
}

int pst_dns_providers_list(struct pst_req *req, struct pst_tx *tx, struct pst_answer *ans,
                           struct pst_err *err)
{
    auto_(pst_json_free) struct pst_json *list = pst_json_array();
    auto_(pst_json_free) struct pst_json *j = pst_json_object();
    const char *name;

    (void)req;
    (void)tx;
    for (size_t i = 0; (name = pst_dns_provider_at(i)); i++)
        if (!pst_json_push(list, provider_object(name)))
            return pst_fail_nomem(err, "the DNS providers");
    if (!pst_json_set(j, "dns_providers", pst_take(&list)))
        return pst_fail_nomem(err, "the DNS providers");
    return pst_answer_json(ans, 200, j, err);
}
