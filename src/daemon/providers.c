/* providers.c - what the orders and the command share of the DNS providers of tenants. */
#include <string.h>

#include <postern/http.h>

#include "daemon_internal.h"

enum { TIMEOUT_MS = 10 * 1000 };

static const struct {
    const char *provider;
    enum pst_conf_id base_url;
} base_urls[] = {
    {"azure", PST_CONF_DNS_AZURE_BASE_URL},       {"cloudflare", PST_CONF_DNS_CLOUDFLARE_BASE_URL},
    {"dnsimple", PST_CONF_DNS_DNSIMPLE_BASE_URL}, {"gandi", PST_CONF_DNS_GANDI_BASE_URL},
    {"gandiv5", PST_CONF_DNS_GANDIV5_BASE_URL},   {"gcloud", PST_CONF_DNS_GCLOUD_BASE_URL},
    {"godaddy", PST_CONF_DNS_GODADDY_BASE_URL},   {"ovh", PST_CONF_DNS_OVH_BASE_URL},
    {"route53", PST_CONF_DNS_ROUTE53_BASE_URL},
};

const char *pst_daemon_dns_base_url(void *arg, const char *provider)
{
    const struct daemon *d = arg;

    for (size_t i = 0; i < PST_ARRAY_N(base_urls); i++) {
        if (pst_streq(provider, base_urls[i].provider))
            return pst_conf_text(d->conf, base_urls[i].base_url);
    }
    return NULL;
}

const char *pst_daemon_dns_token_url(void *arg, const char *provider)
{
    const struct daemon *d = arg;

    if (pst_streq(provider, "azure"))
        return pst_conf_text(d->conf, PST_CONF_DNS_AZURE_TOKEN_URL);
    if (pst_streq(provider, "gcloud"))
        return pst_conf_text(d->conf, PST_CONF_DNS_GCLOUD_TOKEN_URL);
    return NULL;
}

int pst_daemon_providers_start(struct daemon *d, struct pst_err *err)
{
    struct pst_dns_env *e = &d->providers;
    struct pst_http_opts own = {.timeout_ms = TIMEOUT_MS};
    struct pst_http_opts gated = {.gate = d->gate, .timeout_ms = TIMEOUT_MS};

    e->gate = d->gate;
    e->resolver = d->resolver;
    int rc = pst_http_new(&e->http, &own, err);
    if (rc == PST_OK)
        rc = pst_http_new(&e->gated, &gated, err);
    if (rc == PST_OK)
        rc = pst_dns_locks_new(&e->locks, err);
    return rc == PST_OK ? rc : pst_wrap(err, "DNS providers");
}

void pst_daemon_providers_end(struct daemon *d)
{
    pst_dns_locks_free(d->providers.locks);
    pst_http_free(d->providers.gated);
    pst_http_free(d->providers.http);
}
