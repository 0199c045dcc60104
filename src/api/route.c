/* route.c - the table of routes, and how a request finds its row. */
#include "api_internal.h"

#include <string.h>

#define V1_APP     "/v1/apps/:app"
#define V2_APP     "/v2/organisations/:owner/applications/:app"
#define V2_OWN     "/v2/self/applications/:app"
#define V1_DOMAIN  "/v1/apps/:app/domains/:id"
#define V1_WEBHOOK "/v1/webhooks/:id"
#define V1_IMPORT  "/v1/imports/:id"

/* clang-format off */
const struct pst_route pst_routes[] = {
    /* method     pattern                      handler                  who               transaction   body   text */
    {PST_GET,    "/v1/health",                 pst_health_get,          PST_NEED_NOTHING,  PST_TX_READ,  false, "Does the server work, and where does the feed stand?"},
    {PST_GET,    "/v1/ready",                pst_ready_get,           PST_NEED_NOTHING,  PST_TX_READ,  false, "Is there an edge that is live? 503 when there is none."},
    {PST_GET,    "/openapi.json",              pst_openapi_get,         PST_NEED_NOTHING,  PST_TX_NONE,  false, "This description."},
    {PST_GET,    "/metrics",                   pst_metrics_get,         PST_NEED_METRICS,  PST_TX_READ,  false, "Figures in Prometheus' text format."},

    {PST_POST,   "/v1/tokens/exchange",        pst_tokens_exchange,     PST_NEED_NOTHING,  PST_TX_NONE,  false, "Exchange an API token (Basic, empty user name) for a session token of one hour."},
    {PST_GET,    "/v1/tokens",                 pst_tokens_list,         PST_NEED_USER,     PST_TX_READ,  false, "The caller's API tokens, without their secrets."},
    {PST_POST,   "/v1/tokens",                 pst_tokens_create,       PST_NEED_USER,     PST_TX_WRITE, true,  "Make an API token for the caller; its secret is shown once."},
    {PST_DELETE, "/v1/tokens/:id",             pst_tokens_delete,       PST_NEED_USER,     PST_TX_WRITE, false, "Revoke one of the caller's API tokens and the sessions made with it."},
    {PST_PATCH,  "/v1/tokens/:id",           pst_tokens_patch,        PST_NEED_USER,     PST_TX_WRITE, true,  "Give one of the caller's API tokens another name."},
    {PST_PATCH,  "/v1/tokens/:id/renew",     pst_tokens_renew,        PST_NEED_USER,     PST_TX_WRITE, PST_BODY_MAYBE, "Give one of the caller's API tokens another secret; sessions of the old one end at once."},
    {PST_GET,    "/v1/users/self",             pst_users_self,          PST_NEED_USER,     PST_TX_READ,  false, "The caller's account."},
    {PST_GET,    "/v1/users",                pst_users_list,          PST_NEED_OPERATOR, PST_TX_READ,  false, "All accounts."},
    {PST_POST,   "/v1/users",                pst_users_create,        PST_NEED_OPERATOR, PST_TX_WRITE, true,  "Make an account and its first API token; the role is operator, tenant or reader."},
    {PST_GET,    "/v1/users/:user",          pst_users_get,           PST_NEED_OPERATOR, PST_TX_READ,  false, "One account, by id or name."},
    {PST_PATCH,  "/v1/users/:user",          pst_users_patch,         PST_NEED_OPERATOR, PST_TX_WRITE, true,  "Change the mail address, full name or role of an account."},
    {PST_DELETE, "/v1/users/:user",          pst_users_delete,        PST_NEED_OPERATOR, PST_TX_WRITE, false, "Remove an account that has no apps, and its API tokens."},
    {PST_GET,    "/v1/users/:user/tokens",   pst_users_tokens_list,   PST_NEED_OPERATOR, PST_TX_READ,  false, "An account's API tokens, without their secrets."},
    {PST_POST,   "/v1/users/:user/tokens",   pst_users_tokens_create, PST_NEED_OPERATOR, PST_TX_WRITE, true,  "Make an API token for an account; its secret is shown once."},
    {PST_DELETE, "/v1/users/:user/tokens/:id", pst_users_tokens_delete, PST_NEED_OPERATOR, PST_TX_WRITE, false, "Revoke an account's API token and its sessions."},
    {PST_GET,    "/v1/regions",                pst_regions_list,        PST_NEED_NOTHING,  PST_TX_NONE,  false, "The regions of this platform and the URL of their API."},
    {PST_GET,    "/v1/features/stacks",        pst_stacks_list,         PST_NEED_USER,     PST_TX_NONE,  false, "The stacks an app can be built on."},

    {PST_GET,    "/v1/apps",                   pst_apps_list,           PST_NEED_USER,     PST_TX_READ,  false, "All apps of the caller."},
    {PST_POST,   "/v1/apps",                   pst_apps_create,         PST_NEED_WRITER,   PST_TX_WRITE, true,  "Make an app; with X-Dry-Run: true only check it."},
    {PST_GET,    V1_APP,                       pst_apps_get,            PST_NEED_USER,     PST_TX_READ,  false, "One app, by id or name."},
    {PST_PUT,    V1_APP,                       pst_apps_put,            PST_NEED_WRITER,   PST_TX_WRITE, true,  "Change settings of an app, given as a bare object."},
    {PST_PATCH,  V1_APP,                       pst_apps_patch,          PST_NEED_WRITER,   PST_TX_WRITE, true,  "Change settings of an app, given under \"app\"."},
    {PST_DELETE, V1_APP,                       pst_apps_delete,         PST_NEED_WRITER,   PST_TX_WRITE, false, "Remove an app, its upstreams and domains; current_name must repeat its name."},
    {PST_POST,   V1_APP "/rename",           pst_apps_rename,         PST_NEED_WRITER,   PST_TX_WRITE, true,  "Give an app another name; current_name must repeat the one it has."},
    {PST_POST,   V1_APP "/restart",          pst_apps_restart,        PST_NEED_WRITER,   PST_TX_WRITE, PST_BODY_MAYBE, "Accepted and noted: Postern runs no processes of apps, so it is done at once."},
    {PST_GET,    V1_APP "/operations/:id",   pst_operations_get,      PST_NEED_USER,     PST_TX_READ,  false, "How a restart went."},
    {PST_GET,    V1_APP "/variables",        pst_variables_list,      PST_NEED_USER,     PST_TX_READ,  false, "The environment of an app; aliases=false shows what $OTHER stands for."},
    {PST_PUT,    V1_APP "/variables",        pst_variables_put,       PST_NEED_WRITER,   PST_TX_WRITE, true,  "Make or overwrite variables by name; null is nothing to do."},
    {PST_POST,   V1_APP "/variables",        pst_variables_create,    PST_NEED_WRITER,   PST_TX_WRITE, true,  "Make or overwrite one variable."},
    {PST_DELETE, V1_APP "/variables",        pst_variables_delete_list, PST_NEED_WRITER,   PST_TX_WRITE, true,  "Remove several variables, by id."},
    {PST_PATCH,  V1_APP "/variables/:id",    pst_variables_patch,     PST_NEED_WRITER,   PST_TX_WRITE, true,  "Change the value of a variable."},
    {PST_DELETE, V1_APP "/variables/:id",    pst_variables_delete,    PST_NEED_WRITER,   PST_TX_WRITE, false, "Remove a variable, by id or name."},

    {PST_GET,    V1_APP "/upstreams",          pst_upstreams_get,       PST_NEED_USER,     PST_TX_READ,  false, "The addresses that requests to an app are passed on to."},
    {PST_PUT,    V1_APP "/upstreams",          pst_upstreams_put,       PST_NEED_WRITER,   PST_TX_WRITE, true,  "Replace the list of an app's upstreams."},
    {PST_PATCH,  V1_APP "/upstreams/:id",    pst_upstreams_patch,     PST_NEED_WRITER,   PST_TX_WRITE, true,  "Change weight or draining of an upstream, by id or address; one that drains gets no new requests."},

    {PST_GET,    V1_APP "/domains",            pst_domains_list,        PST_NEED_USER,     PST_TX_READ,  false, "All domains of an app and the state of their certificates."},
    {PST_POST,   V1_APP "/domains",            pst_domains_create,      PST_NEED_WRITER,   PST_TX_NONE,  true,  "Add a domain to an app, with a certificate of its own if one is given."},
    {PST_GET,    V1_DOMAIN,                    pst_domains_get,         PST_NEED_USER,     PST_TX_READ,  false, "One domain, by id or name."},
    {PST_PATCH,  V1_DOMAIN,                    pst_domains_patch,       PST_NEED_WRITER,   PST_TX_NONE,  true,  "Change what is given of a domain; its certificate is served when this answers."},
    {PST_DELETE, V1_DOMAIN,                    pst_domains_delete,      PST_NEED_WRITER,   PST_TX_WRITE, false, "Remove a domain from its app."},
    {PST_GET,    V1_DOMAIN "/explain",         pst_domains_explain,     PST_NEED_USER,     PST_TX_READ,  false, "Why a domain is in its state: reason, evidence, record, attempts, ladder."},
    {PST_GET,    V1_DOMAIN "/proof",           pst_domains_proof,       PST_NEED_USER,     PST_TX_NONE,  false, "The DNS record that proves that a name is the caller's, whether it is needed, and whether it is there."},
    {PST_GET,    V1_DOMAIN "/csr",             pst_requests_list,       PST_NEED_USER,     PST_TX_READ,  false, "The certificate requests that were made for a domain."},
    {PST_POST,   V1_DOMAIN "/csr",             pst_requests_create,     PST_NEED_WRITER,   PST_TX_NONE,  true,  "Make a key, which stays here, and a certificate request for it."},
    {PST_DELETE, V1_DOMAIN "/csr/:csr",        pst_requests_delete,     PST_NEED_WRITER,   PST_TX_WRITE, false, "Forget a certificate request and its key."},
    {PST_GET,    "/v1/domains/export",         pst_domains_export,      PST_NEED_USER,     PST_TX_READ,  false, "A page of domains as lines that an import takes; the Link field leads to the next one."},
    {PST_GET,    "/v1/imports",                pst_imports_list,        PST_NEED_USER,     PST_TX_READ,  false, "The caller's imports, newest first; an operator sees those of all."},
    {PST_POST,   "/v1/imports",                pst_imports_create,      PST_NEED_WRITER,   PST_TX_WRITE, true,  "Begin an import of many domains, into one app or into those that its lines name."},
    {PST_GET,    V1_IMPORT,                    pst_imports_get,         PST_NEED_USER,     PST_TX_READ,  false, "How far an import is, and the first lines that were refused."},
    {PST_PUT,    V1_IMPORT "/lines",           pst_imports_lines,       PST_NEED_WRITER,   PST_TX_NONE,  PST_BODY_RAW, "Bring lines of an import, from line ?from= on; those that it has already are skipped."},
    {PST_GET,    V1_IMPORT "/refusals",        pst_imports_refusals,    PST_NEED_USER,     PST_TX_READ,  false, "The lines that an import refused and why, those behind line ?after=."},
    {PST_POST,   V1_IMPORT "/finish",          pst_imports_finish,      PST_NEED_WRITER,   PST_TX_NONE,  PST_BODY_MAYBE, "Say that all lines of an import were brought."},
    {PST_POST,   V1_IMPORT "/cancel",          pst_imports_cancel,      PST_NEED_WRITER,   PST_TX_NONE,  PST_BODY_MAYBE, "Bring no more lines; what was added stays."},
    {PST_POST,   "/v1/certificates/check",     pst_certificates_check,  PST_NEED_USER,     PST_TX_NONE,  true,  "Judge a certificate as an upload would be, and store nothing."},
    {PST_GET,    "/v1/bundles",                pst_bundles_list,        PST_NEED_USER,     PST_TX_READ,  false, "The caller's bundles of key and certificates, which are kept for domains added later; without their keys."},
    {PST_DELETE, "/v1/bundles/:id",            pst_bundles_delete,      PST_NEED_WRITER,   PST_TX_WRITE, false, "Keep a bundle no longer; domains that have its certificate keep it."},
    {PST_POST,   V1_DOMAIN "/retry",         pst_domains_retry,       PST_NEED_WRITER,   PST_TX_WRITE, PST_BODY_MAYBE, "Try at once again to get a certificate; once in 12 minutes for a name."},

    {PST_GET,    "/v1/dns_providers",          pst_dns_providers_list,  PST_NEED_USER,     PST_TX_NONE,  false, "The DNS providers that DNS_PROVIDER can name, and the variables that each reads."},

    {PST_GET,    V1_APP "/events",             pst_events_of_app,       PST_NEED_USER,     PST_TX_READ,  false, "What happened to an app and its domains, newest first, or after a position."},
    {PST_GET,    V1_DOMAIN "/events",        pst_events_of_domain,    PST_NEED_USER,     PST_TX_READ,  false, "What happened to a domain, newest first, or after a position."},
    {PST_GET,    "/v1/events",                 pst_events_list,         PST_NEED_OPERATOR, PST_TX_READ,  false, "What happened on the platform, newest first, or after a position."},
    {PST_GET,    "/v1/ledger",               pst_ledger_get,          PST_NEED_OPERATOR, PST_TX_READ,  false, "What is left of the CA's limits, by account, registered domain and name."},

    {PST_GET,    "/v1/platform",               pst_platform_show,       PST_NEED_OPERATOR, PST_TX_READ,  false, "The certificates of the platform names: which there are, and which the edges serve."},
    {PST_GET,    "/v1/cas",                  pst_cas_list,            PST_NEED_OPERATOR, PST_TX_READ,  false, "The CAs this platform has accounts at: terms, profiles, limits, whether they answer."},
    {PST_GET,    "/v1/cas/:id",              pst_cas_get,             PST_NEED_OPERATOR, PST_TX_NONE,  false, "One CA; its directory is read when that was not done lately."},

    {PST_GET,    "/v1/edges",                  pst_edges_list,          PST_NEED_OPERATOR, PST_TX_READ,  false, "The edges, what they have and whether they are live."},
    {PST_POST,   "/v1/edges/enrol-tokens",     pst_edges_enrol_token,   PST_NEED_OPERATOR, PST_TX_WRITE, true,  "Make a one-time token with which an edge enrols."},
    {PST_DELETE, "/v1/edges/:id",              pst_edges_delete,        PST_NEED_OPERATOR, PST_TX_WRITE, false, "Remove an edge; its token is void at once."},

    {PST_POST,   "/edge/v1/enrol",             pst_edge_enrol,          PST_NEED_NOTHING,  PST_TX_NONE,  true,  "An edge joins with a one-time token."},
    {PST_GET,    "/edge/v1/snapshot",          pst_edge_snapshot,       PST_NEED_EDGE,     PST_TX_READ,  false, "One page of everything an edge must know."},
    {PST_GET,    "/edge/v1/changes",           pst_edge_changes,        PST_NEED_EDGE,     PST_TX_NONE,  false, "What changed after a cursor; the cursor acknowledges what came before."},

    {PST_GET,    "/v1/webhooks",               pst_webhooks_list,       PST_NEED_USER,     PST_TX_READ,  false, "The caller's webhooks and how they fare; an operator sees those of all."},
    {PST_POST,   "/v1/webhooks",               pst_webhooks_create,     PST_NEED_WRITER,   PST_TX_WRITE, true,  "Make a webhook that is told of events; its secret is shown once."},
    {PST_GET,    V1_WEBHOOK,                   pst_webhooks_get,        PST_NEED_USER,     PST_TX_READ,  false, "One webhook."},
    {PST_PATCH,  V1_WEBHOOK,                   pst_webhooks_patch,      PST_NEED_WRITER,   PST_TX_WRITE, true,  "Change URL or events of a webhook, or switch it on or off."},
    {PST_DELETE, V1_WEBHOOK,                   pst_webhooks_delete,     PST_NEED_WRITER,   PST_TX_WRITE, false, "Remove a webhook."},
    {PST_POST,   V1_WEBHOOK "/ping",           pst_webhooks_ping,       PST_NEED_WRITER,   PST_TX_WRITE, false, "Send a test event to a webhook; how it went stands in the webhook afterwards."},

    {PST_GET,    "/v2/self",                 pst_v2_self,             PST_NEED_USER,     PST_TX_READ,  false, "The caller's account, as Clever Cloud shows it."},
    {PST_GET,    "/v2/self/tokens/current",  pst_v2_token,            PST_NEED_USER,     PST_TX_READ,  false, "The API token of this request."},
    {PST_GET,    "/v2/summary",              pst_v2_summary,          PST_NEED_USER,     PST_TX_READ,  false, "The caller's account and apps, as Clever Cloud shows them."},
    {PST_GET,    "/v2/certificates/new",       pst_v2_upload_form,      PST_NEED_NOTHING,  PST_TX_NONE,  false, "A form for a certificate and its key."},
    {PST_POST,   "/v2/certificates/new",       pst_v2_upload,           PST_NEED_WRITER,   PST_TX_NONE,  PST_BODY_RAW, "Install a bundle of key and certificates on all of the caller's domains that it covers, and keep it for those added later."},
    {PST_PUT,    "/v2/certificates/new",       pst_v2_upload,           PST_NEED_WRITER,   PST_TX_NONE,  PST_BODY_RAW, "The same, as curl -T sends it."},
    {PST_POST,   "/v2/certificates",           pst_v2_upload,           PST_NEED_WRITER,   PST_TX_NONE,  PST_BODY_RAW, "The same under another name."},
    {PST_GET,    "/v2/certificates",           pst_v2_bundles,          PST_NEED_USER,     PST_TX_READ,  false, "The certificates that are kept for names added later; without their keys."},
    {PST_DELETE, "/v2/certificates/:id",       pst_v2_bundle_delete,    PST_NEED_WRITER,   PST_TX_WRITE, false, "Keep a certificate no longer; names that have it keep it."},
    {PST_GET,    V2_APP,                     pst_v2_app,              PST_NEED_USER,     PST_TX_READ,  false, "One app and its names."},
    {PST_GET,    V2_APP "/vhosts",           pst_v2_vhosts,           PST_NEED_USER,     PST_TX_READ,  false, "The names of an app."},
    {PST_GET,    V2_APP "/vhosts/favourite", pst_v2_favourite_get,    PST_NEED_USER,     PST_TX_READ,  false, "The favourite name of an app."},
    {PST_PUT,    V2_APP "/vhosts/favourite", pst_v2_favourite_put,    PST_NEED_WRITER,   PST_TX_WRITE, true,  "Choose the favourite name of an app."},
    {PST_DELETE, V2_APP "/vhosts/favourite", pst_v2_favourite_delete, PST_NEED_WRITER,   PST_TX_WRITE, false, "Have no favourite name."},
    {PST_PUT,    V2_APP "/vhosts/:fqdn",     pst_v2_vhost_put,        PST_NEED_WRITER,   PST_TX_NONE,  false, "Add a name to an app."},
    {PST_DELETE, V2_APP "/vhosts/:fqdn",     pst_v2_vhost_delete,     PST_NEED_WRITER,   PST_TX_WRITE, false, "Remove a name from an app."},
    {PST_GET,    V2_APP "/env",              pst_v2_env,              PST_NEED_USER,     PST_TX_READ,  false, "The environment of an app."},
    {PST_GET,    V2_APP "/addons/env",       pst_v2_env_none,         PST_NEED_USER,     PST_TX_READ,  false, "Variables of add-ons: there are none."},
    {PST_GET,    V2_APP "/dependencies/env", pst_v2_env_none,         PST_NEED_USER,     PST_TX_READ,  false, "Variables of other apps: there are none."},
    {PST_PUT,    V2_APP "/env",              pst_v2_env_put_all,      PST_NEED_WRITER,   PST_TX_WRITE, true,  "Set the whole environment of an app: variables that are not named go."},
    {PST_PUT,    V2_APP "/env/:name",        pst_v2_env_put,          PST_NEED_WRITER,   PST_TX_WRITE, true,  "Set a variable."},
    {PST_DELETE, V2_APP "/env/:name",        pst_v2_env_delete,       PST_NEED_WRITER,   PST_TX_WRITE, false, "Remove a variable."},
    {PST_GET,    V2_OWN,                     pst_v2_app,              PST_NEED_USER,     PST_TX_READ,  false, "One app and its names."},
    {PST_GET,    V2_OWN "/vhosts",           pst_v2_vhosts,           PST_NEED_USER,     PST_TX_READ,  false, "The names of an app."},
    {PST_GET,    V2_OWN "/vhosts/favourite", pst_v2_favourite_get,    PST_NEED_USER,     PST_TX_READ,  false, "The favourite name of an app."},
    {PST_PUT,    V2_OWN "/vhosts/favourite", pst_v2_favourite_put,    PST_NEED_WRITER,   PST_TX_WRITE, true,  "Choose the favourite name of an app."},
    {PST_DELETE, V2_OWN "/vhosts/favourite", pst_v2_favourite_delete, PST_NEED_WRITER,   PST_TX_WRITE, false, "Have no favourite name."},
    {PST_PUT,    V2_OWN "/vhosts/:fqdn",     pst_v2_vhost_put,        PST_NEED_WRITER,   PST_TX_NONE,  false, "Add a name to an app."},
    {PST_DELETE, V2_OWN "/vhosts/:fqdn",     pst_v2_vhost_delete,     PST_NEED_WRITER,   PST_TX_WRITE, false, "Remove a name from an app."},
    {PST_GET,    V2_OWN "/env",              pst_v2_env,              PST_NEED_USER,     PST_TX_READ,  false, "The environment of an app."},
    {PST_GET,    V2_OWN "/addons/env",       pst_v2_env_none,         PST_NEED_USER,     PST_TX_READ,  false, "Variables of add-ons: there are none."},
    {PST_GET,    V2_OWN "/dependencies/env", pst_v2_env_none,         PST_NEED_USER,     PST_TX_READ,  false, "Variables of other apps: there are none."},
    {PST_PUT,    V2_OWN "/env",              pst_v2_env_put_all,      PST_NEED_WRITER,   PST_TX_WRITE, true,  "Set the whole environment of an app: variables that are not named go."},
    {PST_PUT,    V2_OWN "/env/:name",        pst_v2_env_put,          PST_NEED_WRITER,   PST_TX_WRITE, true,  "Set a variable."},
    {PST_DELETE, V2_OWN "/env/:name",        pst_v2_env_delete,       PST_NEED_WRITER,   PST_TX_WRITE, false, "Remove a variable."},
};
/* clang-format on */
const size_t pst_routes_n = PST_ARRAY_N(pst_routes);

static const char *const methods[PST_METHOD__COUNT] = {
    [PST_GET] = "GET",     [PST_POST] = "POST",     [PST_PUT] = "PUT",
    [PST_PATCH] = "PATCH", [PST_DELETE] = "DELETE",
};

const char *pst_method_name(enum pst_method m)
{
    return methods[m];
}

bool pst_method_parse(const char *name, enum pst_method *ret)
{
    if (pst_streq(name, "HEAD"))
        name = "GET";
    for (int i = 0; i < PST_METHOD__COUNT; i++) {
        if (pst_streq(methods[i], name)) {
            *ret = (enum pst_method)i;
            return true;
        }
    }
    return false;
}

/* Does the pattern's next part, of `len` bytes, stand for this segment? */
static bool part_matches(const char *part, size_t len, const char *segment)
{
    return part[0] == ':' || (strlen(segment) == len && memcmp(part, segment, len) == 0);
}

static bool pattern_matches(const char *pattern, const struct pst_target *t, const char **params)
{
    const char *part = pattern + 1;
    size_t params_n = 0;

    for (size_t i = 0; i < t->seg_n; i++) {
        size_t len = strcspn(part, "/");
        if (len == 0 || !part_matches(part, len, t->seg[i]))
            return false;
        if (part[0] == ':') {
            pst_require(params_n < PST_ROUTE_PARAMS_MAX);
            params[params_n++] = t->seg[i];
        }
        part += len + (part[len] == '/');
    }
    return *part == '\0';
}

/* The texts of the Allow field; all sets that the table can make are few. */
static const char *allow_text(unsigned set)
{
    static const struct {
        unsigned set;
        const char *text;
    } texts[] = {
#define M(m) (1U << PST_##m)
        {M(GET), "GET"},
        {M(POST), "POST"},
        {M(DELETE), "DELETE"},
        {M(GET) | M(POST), "GET, POST"},
        {M(GET) | M(PUT), "GET, PUT"},
        {M(POST) | M(DELETE), "POST, DELETE"},
        {M(GET) | M(PUT) | M(PATCH) | M(DELETE), "GET, PUT, PATCH, DELETE"},
        {M(GET) | M(PATCH) | M(DELETE), "GET, PATCH, DELETE"},
        {M(PATCH), "PATCH"},
        {M(PUT), "PUT"},
        {M(POST) | M(PATCH) | M(DELETE), "POST, PATCH, DELETE"},
        {M(PATCH) | M(DELETE), "PATCH, DELETE"},
        {M(GET) | M(DELETE), "GET, DELETE"},
        {M(PUT) | M(DELETE), "PUT, DELETE"},
        {M(GET) | M(PUT) | M(DELETE), "GET, PUT, DELETE"},
        {M(POST) | M(PUT), "POST, PUT"},
        {M(GET) | M(POST) | M(PUT), "GET, POST, PUT"},
        {M(GET) | M(POST) | M(PUT) | M(DELETE), "GET, POST, PUT, DELETE"},
#undef M
    };

    for (size_t i = 0; i < PST_ARRAY_N(texts); i++)
        if (texts[i].set == set)
            return texts[i].text;
    return NULL;
}

int pst_route_find(enum pst_method method, const struct pst_target *target,
                   const struct pst_route **ret, const char *params[PST_ROUTE_PARAMS_MAX],
                   const char **ret_allow)
{
    unsigned set = 0;

    for (size_t i = 0; i < pst_routes_n; i++) {
        const char *found[PST_ROUTE_PARAMS_MAX] = {NULL};
        if (!pattern_matches(pst_routes[i].pattern, target, found))
            continue;
        if (pst_routes[i].method == method) {
            memcpy(params, found, sizeof found);
            *ret = &pst_routes[i];
            return PST_OK;
        }
        set |= 1U << pst_routes[i].method;
    }
    if (!set)
        return PST_NOTFOUND;
    *ret_allow = allow_text(set);
    return PST_CONFLICT;
}
