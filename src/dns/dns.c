/* dns.c - the list of providers, their variables, and the life of an instance. */
#include <poll.h>
#include <string.h>

#include "dns_internal.h"

static const struct pst_dns_ops *const providers[] = {
    &pst_dns_azure,   &pst_dns_cloudflare, &pst_dns_dnsimple, &pst_dns_gandi,
    &pst_dns_gandiv5, &pst_dns_gcloud,     &pst_dns_godaddy,  &pst_dns_ovh,
    &pst_dns_route53, &pst_dns_rfc2136,    &pst_dns_acmedns,
};

const char *pst_dns_provider_at(size_t i)
{
    return i < PST_ARRAY_N(providers) ? providers[i]->name : NULL;
}

static const struct pst_dns_ops *find_ops(const char *name)
{
    for (size_t i = 0; i < PST_ARRAY_N(providers); i++) {
        if (pst_streq(name, providers[i]->name))
            return providers[i];
    }
    return NULL;
}

const char *pst_dns_provider_variable(const char *provider, size_t i)
{
    const struct pst_dns_ops *ops = find_ops(provider);
    return ops && i < ops->vars_n ? ops->vars[i].name : NULL;
}

const char *pst_dns_provider_name(const struct pst_dns_provider *p)
{
    return p->ops->name;
}

bool pst_dns_provider_removes(const struct pst_dns_provider *p)
{
    return !p->ops->keeps;
}

const char *pst_dns_zone(const struct pst_dns_provider *p)
{
    return p->zone;
}

/* ---- blame ---- */

const struct pst_dns_blame *pst_dns_blame(const struct pst_dns_provider *p)
{
    return &p->blame;
}

void pst_dns_blame_add(struct pst_dns_provider *p, unsigned i)
{
    const char *name = p->ops->vars[i].name;

    for (size_t k = 0; k < p->blame.n; k++) {
        if (p->blame.variables[k] == name)
            return;
    }
    if (p->blame.n < PST_DNS_VARIABLES_MAX)
        p->blame.variables[p->blame.n++] = name;
}

int pst_dns_never(struct pst_err *err, int rc)
{
    pst_err_retry(err, PST_RETRY_NEVER, 0);
    return rc;
}

/* All variables that are bad are named, not only the first. */
static int refuse(struct pst_dns_provider *p, unsigned i, const char *why, struct pst_err *err)
{
    bool first = p->blame.n == 0;
    char before[sizeof err->text];

    pst_dns_blame_add(p, i);
    if (!err)
        return PST_REFUSED;
    pst_str_copy(before, sizeof before, err->text);
    if (first)
        pst_fail(err, PST_REFUSED, "DNS provider %s: %s %s", p->ops->name, p->ops->vars[i].name,
                 why);
    else
        pst_fail(err, PST_REFUSED, "%s; %s %s", before, p->ops->vars[i].name, why);
    pst_err_problem(err, "variables");
    return pst_dns_never(err, PST_REFUSED);
}

int pst_dns_missing(struct pst_dns_provider *p, unsigned i, struct pst_err *err)
{
    return refuse(p, i, "is missing", err);
}

int pst_dns_wrong(struct pst_dns_provider *p, unsigned i, const char *why, struct pst_err *err)
{
    return refuse(p, i, why, err);
}

/* ---- variables ---- */

const char *pst_dns_var(const struct pst_dns_provider *p, unsigned i)
{
    return p->vars[i].data ? (const char *)p->vars[i].data : "";
}

bool pst_dns_has(const struct pst_dns_provider *p, unsigned i)
{
    return p->vars[i].len > 0;
}

static bool form_ok(enum pst_dns_var_form form, const char *s)
{
    for (; *s; s++) {
        unsigned char c = (unsigned char)*s;

        if (form == PST_VAR_BASE64 && (c == '\n' || c == '\r' || c == '\t'))
            continue;
        if (c < ' ' || c == 0x7f || (form == PST_VAR_TOKEN && (c == ' ' || c > '~')))
            return false;
    }
    return true;
}

static int read_variable(struct pst_dns_provider *p, unsigned i, const char *value,
                         struct pst_err *err)
{
    const struct pst_dns_var *var = &p->ops->vars[i];

    if (!value || !value[0])
        return var->optional ? PST_OK : pst_dns_missing(p, i, err);
    size_t len = strlen(value);
    if (len > VAR_MAX)
        return pst_dns_wrong(p, i, "is too long", err);
    if (!form_ok(var->form, value))
        return pst_dns_wrong(p, i, "has blanks, line ends or other bytes that cannot be in it",
                             err);
    return pst_secret_set(&p->vars[i], value, len, err);
}

/* Goes through all, so that all that are bad get named. */
static int read_variables(struct pst_dns_provider *p, const struct pst_dns_settings *s,
                          struct pst_err *err)
{
    int worst = PST_OK;

    for (unsigned i = 0; i < p->ops->vars_n; i++) {
        int rc = read_variable(p, i, s->get(s->arg, p->ops->vars[i].name), err);
        if (rc < 0)
            return rc;
        if (rc != PST_OK)
            worst = rc;
    }
    return worst;
}

/* ---- URLs of the operator ---- */

static int copy_url(const char *url, const char *what, char **ret, struct pst_err *err)
{
    struct pst_http_url parsed;

    int rc = pst_http_url_parse(url, &parsed, err);
    if (rc == PST_EINPUT && err)
        return pst_fail(err, PST_ECONFIG, "%s: %s", what, err->text);
    if (rc != PST_OK)
        return rc == PST_EINPUT ? PST_ECONFIG : rc;
    if (!parsed.https && !parsed.loopback)
        return pst_fail(err, PST_ECONFIG,
                        "%s: credentials go over https:// (http:// only to "
                        "loopback)",
                        what);
    if (strchr(url, '?'))
        return pst_fail(err, PST_ECONFIG, "%s: a URL without a query is wanted", what);
    size_t len = strlen(url);
    while (len > 0 && url[len - 1] == '/')
        len--;
    *ret = pst_strndup(url, len);
    return *ret ? PST_OK : pst_fail_nomem(err, "a URL");
}

static int set_urls(struct pst_dns_provider *p, const struct pst_dns_settings *s,
                    struct pst_err *err)
{
    const char *base = s->base_url && s->base_url[0] ? s->base_url : NULL;
    int rc = PST_OK;

    if (base && !p->ops->base_url)
        return pst_fail(err, PST_ECONFIG, "the DNS provider %s has no base URL", p->ops->name);
    if (s->token_url && s->token_url[0] && !p->ops->token_url)
        return pst_fail(err, PST_ECONFIG, "the DNS provider %s has no token URL", p->ops->name);
    if (base) {
        p->own_base = true;
        rc = copy_url(base, "the base URL", &p->base, err);
    } else {
        p->base = pst_strdup(p->ops->base_url ? p->ops->base_url : "");
        rc = p->base ? PST_OK : pst_fail_nomem(err, "a URL");
    }
    if (rc == PST_OK && s->token_url && s->token_url[0])
        rc = copy_url(s->token_url, "the token URL", &p->token_url, err);
    return rc;
}

/* ---- life ---- */

static void report_blame(const struct pst_dns_provider *p, struct pst_dns_blame *ret)
{
    if (ret)
        *ret = p->blame;
}

static int unknown(const char *name, struct pst_dns_blame *ret, struct pst_err *err)
{
    char shown[61]; /* what a tenant wrote, whole characters only: the text goes into a database */

    pst_str_cut(shown, sizeof shown, name ? name : "");
    if (ret) {
        *ret = (struct pst_dns_blame){0};
        pst_str_cut(ret->provider, sizeof ret->provider, name ? name : "");
    }
    if (shown[0])
        pst_fail(err, PST_REFUSED,
                 "DNS_PROVIDER is \"%s\", which is not a provider that is known here", shown);
    else
        pst_fail(err, PST_REFUSED, "DNS_PROVIDER is not set");
    pst_err_problem(err, "provider");
    return pst_dns_never(err, PST_REFUSED);
}

static int build(struct pst_dns_provider *p, const struct pst_dns_settings *s, struct pst_err *err)
{
    if (p->ops->state_size > 0) {
        p->state = pst_zalloc(1, p->ops->state_size);
        if (!p->state)
            return pst_fail_nomem(err, "a DNS provider");
    }
    int rc = set_urls(p, s, err);
    if (rc == PST_OK)
        rc = read_variables(p, s, err);
    if (rc == PST_OK && p->ops->create)
        rc = p->ops->create(p, err);
    return rc;
}

int pst_dns_provider_new(struct pst_dns_provider **ret, const struct pst_dns_env *env,
                         const struct pst_dns_settings *settings, struct pst_dns_blame *ret_blame,
                         struct pst_err *err)
{
    struct pst_err own = {0};
    const struct pst_dns_ops *ops = find_ops(settings->provider);
    struct pst_err *to = err ? err : &own;

    if (!ops)
        return unknown(settings->provider, ret_blame, err);
    struct pst_dns_provider *p = pst_zalloc(1, sizeof *p);
    if (!p)
        return pst_fail_nomem(err, "a DNS provider");
    p->ops = ops;
    p->env = *env;
    if (!p->env.clock)
        p->env.clock = pst_clock_system();
    if (!p->env.rand)
        p->env.rand = pst_rand_system();
    pst_str_copy(p->blame.provider, sizeof p->blame.provider, ops->name);

    int rc = build(p, settings, to);
    if (rc == PST_OK) {
        *ret = p;
        return PST_OK;
    }
    report_blame(p, ret_blame);
    pst_dns_provider_free(p);
    return rc;
}

void pst_dns_provider_free(struct pst_dns_provider *p)
{
    if (!p)
        return;
    if (p->ops->destroy_state)
        p->ops->destroy_state(p);
    for (size_t i = 0; i < PST_DNS_VARIABLES_MAX; i++)
        pst_secret_deinit(&p->vars[i]);
    pst_secret_deinit(&p->token);
    pst_free(p->state);
    pst_free(p->base);
    pst_free(p->token_url);
    pst_free(p);
}

/* ---- surroundings ---- */

int64_t pst_dns_now(const struct pst_dns_provider *p)
{
    return pst_now(p->env.clock);
}

void pst_dns_pause(const struct pst_dns_provider *p, uint32_t ms)
{
    if (p->env.pause)
        p->env.pause(p->env.pause_arg, ms);
    else
        poll(NULL, 0, (int)ms);
}

uint64_t pst_dns_below(const struct pst_dns_provider *p, uint64_t below)
{
    return pst_rand_below(p->env.rand, below);
}

bool pst_dns_transient(const struct pst_err *err)
{
    return err->retry == PST_RETRY_BACKOFF || err->retry == PST_RETRY_AT;
}
