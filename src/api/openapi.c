/*
 * openapi.c - the description of the API (OpenAPI 3.1.0), made from the table of routes.
 *
 * What the table of routes does not know stands in the table here: another status than the method's
 * usual one, what the answer's object is called, what a body looks like.  A route that is in
 * neither is described by its method alone.
 */
#include "api_internal.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

#include "schemas.h"

#define TEXT     "{\"type\":\"string\"}"
#define FLAG     "{\"type\":\"boolean\"}"
#define OBJ(all) "{\"type\":\"object\",\"properties\":{" all "}}"
/* {"<root>":{...}}, the root being needed */
#define ROOTED(root, all)                                                                          \
    "{\"type\":\"object\",\"required\":[\"" root "\"],\"properties\":{\"" root "\":" OBJ(all) "}}"
#define VARIABLE                                                                                   \
    "\"name\":{\"type\":\"string\",\"pattern\":\"^[A-Za-z0-9_-]{1,64}$\"},"                        \
    "\"value\":{\"type\":\"string\",\"maxLength\":8192}"
#define SETTINGS "\"force_https\":" FLAG ",\"sticky_session\":" FLAG ",\"router_logs\":" FLAG
#define V1_APP   "/v1/apps/:app"
#define TEXTS    "{\"type\":\"array\",\"items\":" TEXT "}"
#define UPSTREAM                                                                                   \
    "\"address\":" TEXT                                                                            \
    ",\"weight\":{\"type\":\"integer\",\"minimum\":1,\"maximum\":100},\"drain\":" FLAG
#define CERTIFICATE ROOTED("certificate", "\"tlscert\":" TEXT ",\"tlskey\":" TEXT ",\"name\":" TEXT)
#define WEBHOOK     "\"url\":" TEXT ",\"events\":" TEXTS ",\"active\":" FLAG

static const struct detail {
    enum pst_method method;
    const char *pattern;
    int status;       /* 0: what is usual for the method */
    const char *root; /* member that the answer has, NULL: not said */
    const char *body; /* JSON schema, NULL: any */
} details[] = {
    {PST_GET, "/v1/health", 0, "status", NULL},
    {PST_GET, "/v1/ready", 0, "status", NULL},
    {PST_POST, "/v1/tokens/exchange", 200, "token", NULL},
    {PST_GET, "/v1/tokens", 0, "tokens", NULL},
    {PST_POST, "/v1/tokens", 0, "token",
     ROOTED("token", "\"name\":" TEXT ",\"read_only\":" FLAG ",\"app\":" TEXT)},
    {PST_PATCH, "/v1/tokens/:id", 0, "token", ROOTED("token", "\"name\":" TEXT)},
    {PST_PATCH, "/v1/tokens/:id/renew", 0, "token", NULL},
    {PST_GET, "/v1/users/self", 0, "user", NULL},
    {PST_GET, "/v1/users", 0, "users", NULL},
    {PST_POST, "/v1/users", 0, "user",
     ROOTED("user", "\"username\":" TEXT ",\"email\":" TEXT ",\"fullname\":" TEXT ",\"role\":"
                    "{\"enum\":[\"operator\",\"tenant\",\"reader\"]}")},
    {PST_GET, "/v1/regions", 0, "regions", NULL},
    {PST_GET, "/v1/features/stacks", 0, "stacks", NULL},
    {PST_GET, "/v1/apps", 0, "apps", NULL},
    {PST_POST, "/v1/apps", 0, "app",
     ROOTED("app", "\"name\":{\"type\":\"string\",\"minLength\":3,\"maxLength\":48}")},
    {PST_GET, V1_APP, 0, "app", NULL},
    {PST_PUT, V1_APP, 0, "app", OBJ(SETTINGS)},
    {PST_PATCH, V1_APP, 0, "app", ROOTED("app", SETTINGS)},
    {PST_POST, V1_APP "/rename", 200, "app", OBJ("\"current_name\":" TEXT ",\"new_name\":" TEXT)},
    {PST_POST, V1_APP "/restart", 202, NULL,
     "{\"type\":[\"object\",\"null\"],\"properties\":{\"scope\":{\"type\":[\"array\",\"null\"],"
     "\"items\":" TEXT "}}}"},
    {PST_GET, V1_APP "/operations/:id", 0, "operation", NULL},
    {PST_GET, V1_APP "/variables", 0, "variables", NULL},
    {PST_PUT, V1_APP "/variables", 0, "variables",
     "{\"type\":\"object\",\"required\":[\"variables\"],\"properties\":{\"variables\":{\"type\":["
     "\"array\",\"null\"],\"items\":" OBJ(VARIABLE) "}}}"},
    {PST_POST, V1_APP "/variables", 0, "variable", ROOTED("variable", VARIABLE)},
    {PST_PATCH, V1_APP "/variables/:id", 0, "variable", ROOTED("variable", "\"value\":" TEXT)},
    {PST_DELETE, V1_APP "/variables", 0, NULL,
     "{\"type\":\"object\",\"required\":[\"variable_ids\"],\"properties\":{\"variable_ids\":{"
     "\"type\":\"array\",\"items\":" TEXT "}}}"},
    {PST_GET, V1_APP "/domains", 0, "domains", NULL},
    {PST_POST, V1_APP "/domains", 0, "domain",
     ROOTED("domain", "\"name\":" TEXT ",\"canonical\":" FLAG ",\"letsencrypt_enabled\":" FLAG
                      ",\"skip_proof\":" FLAG ",\"tlscert\":" TEXT ",\"tlskey\":" TEXT)},
    {PST_GET, V1_APP "/domains/:id", 0, "domain", NULL},
    {PST_PATCH, V1_APP "/domains/:id", 0, "domain",
     ROOTED("domain", "\"canonical\":" FLAG ",\"letsencrypt_enabled\":" FLAG ",\"tlscert\":" TEXT
                      ",\"tlskey\":" TEXT)},
    {PST_GET, V1_APP "/domains/:id/proof", 0, "proof", NULL},
    {PST_POST, V1_APP "/domains/:id/retry", 202, "next_try_at", NULL},
    {PST_GET, "/v1/dns_providers", 0, "dns_providers", NULL},
    {PST_GET, "/v1/imports", 0, "imports", NULL},
    {PST_POST, "/v1/imports", 0, "import",
     ROOTED("import", "\"app\":{\"type\":[\"string\",\"null\"]},\"dry_run\":" FLAG
                      ",\"lines_expected\":{\"type\":[\"integer\",\"null\"],\"minimum\":0}")},
    {PST_GET, "/v1/imports/:id", 0, "import", NULL},
    {PST_PUT, "/v1/imports/:id/lines", 0, "import", NULL},
    {PST_POST, "/v1/imports/:id/finish", 200, "import", NULL},
    {PST_POST, "/v1/imports/:id/cancel", 200, "import", NULL},
    {PST_GET, "/v1/ledger", 0, "ledger", NULL},
    {PST_GET, "/v1/platform", 0, "platform", NULL},
    {PST_GET, "/v1/edges", 0, "edges", NULL},
    {PST_POST, "/v1/edges/enrol-tokens", 0, "enrol_token", OBJ("\"region\":" TEXT)},
    {PST_GET, "/v1/bundles", 0, "bundles", NULL},
    {PST_POST, "/v1/certificates/check", 200, "report", CERTIFICATE},
    {PST_GET, V1_APP "/upstreams", 0, "upstreams", NULL},
    {PST_PUT, V1_APP "/upstreams", 0, "upstreams",
     "{\"type\":\"object\",\"required\":[\"upstreams\"],\"properties\":{\"upstreams\":{\"type\":"
     "\"array\",\"maxItems\":64,\"items\":" OBJ(UPSTREAM) "}}}"},
    {PST_PATCH, V1_APP "/upstreams/:id", 0, "upstream", ROOTED("upstream", UPSTREAM)},
    {PST_GET, V1_APP "/domains/:id/explain", 0, "explain", NULL},
    {PST_GET, V1_APP "/domains/:id/csr", 0, "csrs", NULL},
    {PST_POST, V1_APP "/domains/:id/csr", 0, "csr", NULL},
    {PST_GET, V1_APP "/domains/:id/events", 0, "events", NULL},
    {PST_GET, V1_APP "/events", 0, "events", NULL},
    {PST_GET, "/v1/events", 0, "events", NULL},
    {PST_GET, "/v1/cas", 0, "cas", NULL},
    {PST_GET, "/v1/cas/:id", 0, "ca", NULL},
    {PST_GET, "/v1/users/:user", 0, "user", NULL},
    {PST_PATCH, "/v1/users/:user", 0, "user",
     ROOTED("user", "\"email\":" TEXT ",\"fullname\":" TEXT)},
    {PST_GET, "/v1/users/:user/tokens", 0, "tokens", NULL},
    {PST_POST, "/v1/users/:user/tokens", 0, "token",
     ROOTED("token", "\"name\":" TEXT ",\"read_only\":" FLAG)},
    {PST_GET, "/v1/webhooks", 0, "webhooks", NULL},
    {PST_POST, "/v1/webhooks", 0, "webhook", ROOTED("webhook", WEBHOOK)},
    {PST_GET, "/v1/webhooks/:id", 0, "webhook", NULL},
    {PST_PATCH, "/v1/webhooks/:id", 0, "webhook", ROOTED("webhook", WEBHOOK)},
    {PST_PUT, "/v2/certificates/new", 201, NULL, NULL},
    {PST_POST, "/v1/webhooks/:id/ping", 202, NULL, NULL},
};

static const struct detail *find_detail(const struct pst_route *r)
{
    for (size_t i = 0; i < PST_ARRAY_N(details); i++)
        if (details[i].method == r->method && pst_streq(details[i].pattern, r->pattern))
            return &details[i];
    return NULL;
}

static int usual_status(enum pst_method m)
{
    return m == PST_POST ? 201 : m == PST_DELETE ? 204 : 200;
}

/* "/v1/apps/:app" as "/v1/apps/{app}". */
static void path_of(const char *pattern, struct pst_buf *to)
{
    for (const char *p = pattern; *p;) {
        size_t len = strcspn(p + 1, "/");
        if (p[1] == ':')
            pst_buf_printf(to, "/{%.*s}", (int)len - 1, p + 2);
        else
            pst_buf_printf(to, "/%.*s", (int)len, p + 1);
        p += 1 + len;
    }
}

static void add_parameters(const char *pattern, struct pst_buf *to)
{
    const char *comma = "";

    pst_buf_str(to, ",\"parameters\":[");
    for (const char *p = strchr(pattern, ':'); p; p = strchr(p + 1, ':')) {
        pst_buf_printf(to,
                       "%s{\"name\":\"%.*s\",\"in\":\"path\",\"required\":true,"
                       "\"schema\":{\"type\":\"string\"}}",
                       comma, (int)strcspn(p + 1, "/"), p + 1);
        comma = ",";
    }
    pst_buf_char(to, ']');
}

static void add_body(const struct pst_route *r, const struct detail *d, struct pst_buf *to)
{
    if (r->body == PST_BODY_NONE)
        return;
    pst_buf_printf(to, ",\"requestBody\":{\"required\":%s,\"content\":{\"%s\":{\"schema\":%s}}}",
                   r->body == PST_BODY_JSON ? "true" : "false",
                   r->body == PST_BODY_RAW ? "*/*" : "application/json",
                   d && d->body ? d->body : "{}");
}

static void add_root(const char *root, struct pst_buf *to)
{
    pst_buf_str(to, ",\"content\":{\"application/json\":{\"schema\":");
    pst_schema_of_root(root, to);
    pst_buf_str(to, "}}");
}

/* Why something was not done: each status has its shape; /v2 has one for all. */
static const struct refusal {
    const char *status, *name;
} refusals[] = {
    {"400", "Error"}, {"401", "Error"},   {"403", "Error"}, {"404", "Absent"},  {"409", "Error"},
    {"413", "Error"}, {"422", "Invalid"}, {"429", "Error"}, {"4XX", "Refused"}, {"503", "Refused"},
};

static void add_refusals(const struct pst_route *r, struct pst_buf *to)
{
    bool v2 = pst_str_starts(r->pattern, "/v2/");
    bool ready = pst_streq(r->pattern, "/v1/ready"); /* its 503 is an answer like its 200 */

    for (size_t i = 0; i < PST_ARRAY_N(refusals) - ready; i++)
        pst_buf_printf(to, ",\"%s\":{\"$ref\":\"#/components/responses/%s\"}", refusals[i].status,
                       v2 ? "Message" : refusals[i].name);
}

static void add_answers(const struct pst_route *r, const struct detail *d, struct pst_buf *to)
{
    int status = d && d->status ? d->status : usual_status(r->method);

    pst_buf_printf(to, ",\"responses\":{\"%d\":{\"description\":\"It was done.\"", status);
    if (r->need == PST_NEED_METRICS)
        pst_buf_str(to, ",\"content\":{\"text/plain\":{\"schema\":{\"type\":\"string\"}}}");
    if (d && d->root)
        add_root(d->root, to);
    pst_buf_char(to, '}');
    /* What was there already and was overwritten; /v2 says so when it has removed something. */
    if (status == 201 || status == 204)
        pst_buf_str(to, ",\"200\":{\"description\":\"It was there.\"}");
    add_refusals(r, to);
    if (pst_streq(r->pattern, "/v1/ready")) {
        pst_buf_str(to, ",\"503\":{\"description\":\"No edge is live.\"");
        add_root("status", to);
        pst_buf_char(to, '}');
    }
    pst_buf_char(to, '}');
}

/* Methods are written in lower case there. */
static void add_lower(const char *text, struct pst_buf *to)
{
    for (; *text; text++)
        pst_buf_char(to, (char)tolower((unsigned char)*text));
}

static void add_operation(const struct pst_route *r, struct pst_buf *to)
{
    static const char *const words[] = {
        [PST_NEED_NOTHING] = "anybody",
        [PST_NEED_USER] = "any account",
        [PST_NEED_WRITER] = "an account that may write",
        [PST_NEED_OPERATOR] = "an operator",
        [PST_NEED_EDGE] = "an edge",
        [PST_NEED_METRICS] = "an operator or reader",
    };
    const struct detail *d = find_detail(r);

    pst_buf_char(to, '"');
    add_lower(pst_method_name(r->method), to);
    pst_buf_str(to, "\":{\"operationId\":\"");
    add_lower(pst_method_name(r->method), to);
    for (const char *p = r->pattern; *p; p++)
        pst_buf_char(to, isalnum((unsigned char)*p) ? *p : '_');
    pst_buf_str(to, "\",\"summary\":");
    pst_json_quote(to, r->text);
    pst_buf_printf(to, ",\"x-needs\":\"%s\"", words[r->need]);
    add_parameters(r->pattern, to);
    add_body(r, d, to);
    add_answers(r, d, to);
    if (r->need != PST_NEED_NOTHING)
        pst_buf_str(to, ",\"security\":[{\"bearer\":[]}]");
    pst_buf_char(to, '}');
}

static void add_path(size_t first, struct pst_buf *to)
{
    const char *pattern = pst_routes[first].pattern;
    const char *comma = "";

    pst_buf_char(to, '"');
    path_of(pattern, to);
    pst_buf_str(to, "\":{");
    for (size_t i = first; i < pst_routes_n; i++) {
        if (!pst_streq(pst_routes[i].pattern, pattern))
            continue;
        pst_buf_str(to, comma);
        add_operation(&pst_routes[i], to);
        comma = ",";
    }
    pst_buf_char(to, '}');
}

static bool seen_before(size_t i)
{
    for (size_t k = 0; k < i; k++)
        if (pst_streq(pst_routes[k].pattern, pst_routes[i].pattern))
            return true;
    return false;
}

/* The bodies that a refusal may have. */
static void add_shapes(struct pst_buf *to)
{
    static const struct {
        const char *name, *of[3];
    } shapes[] = {
        {"Error", {"Error"}},
        {"Invalid", {"Invalid"}},
        {"Absent", {"Absent", "Error"}},
        {"Message", {"Message", "Error"}},
        {"Refused", {"Error", "Absent", "Invalid"}},
    };

    for (size_t i = 0; i < PST_ARRAY_N(shapes); i++) {
        pst_buf_printf(to,
                       "%s\"%s\":{\"description\":\"Why it was not done.\",\"content\":{"
                       "\"application/json\":{\"schema\":{\"anyOf\":[",
                       i ? "," : "", shapes[i].name);
        for (size_t k = 0; k < PST_ARRAY_N(shapes[i].of) && shapes[i].of[k]; k++)
            pst_buf_printf(to, "%s{\"$ref\":\"#/components/schemas/%s\"}", k ? "," : "",
                           shapes[i].of[k]);
        pst_buf_str(to, "]}}}}");
    }
}

int pst_openapi_get(struct pst_req *req, struct pst_tx *tx, struct pst_answer *ans,
                    struct pst_err *err)
{
    struct pst_buf *to = &ans->body;
    char url[PST_HOST_SIZE + 16];
    const char *comma = "";

    (void)tx;
    pst_req_base_url(req, url, sizeof url);
    pst_answer_reset(ans);
    ans->status = 200;
    pst_buf_str(to,
                "{\"openapi\":\"3.1.0\",\"info\":{\"title\":\"Postern\",\"version\":\"" PST_VERSION
                "\",\"description\":\"Domains, certificates and their edges.\"},"
                "\"servers\":[{\"url\":");
    pst_json_quote(to, url);
    pst_buf_str(to, "}],\"paths\":{");
    for (size_t i = 0; i < pst_routes_n; i++) {
        if (seen_before(i))
            continue;
        pst_buf_str(to, comma);
        add_path(i, to);
        comma = ",";
    }
    pst_buf_str(to, "},\"components\":{\"securitySchemes\":{\"bearer\":{\"type\":\"http\","
                    "\"scheme\":\"bearer\",\"description\":\"A session token, or an API token "
                    "itself.\"}},\"responses\":{");
    add_shapes(to);
    pst_buf_str(to, "},\"schemas\":{");
    pst_schemas_add(to);
    pst_buf_str(to, "}}}");
    return pst_buf_check(to, "the description", err);
}
