/* gcloud.c - Google Cloud DNS: whole record sets, changed by an atomic compare-and-swap. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include <postern/crypto_outside.h>
#include <postern/resolve.h>

#include "../dns_internal.h"

enum { JSON_KEYS };

static const struct pst_dns_var vars[] = {
    [JSON_KEYS] = {"DNS_GCLOUD_JSON_KEYS", PST_VAR_BASE64, false, false},
};

enum { TTL_S = 60, TOKEN_LIFE_S = 3600, RSA_SIG_MAX = 512 };

static const char scope[] = "https://www.googleapis.com/auth/ndev.clouddns.readwrite";

/* All that Google's own key files have ever named.  The first is today's. */
static const char *const token_uris[] = {
    "https://oauth2.googleapis.com/token",
    "https://accounts.google.com/o/oauth2/token",
    "https://www.googleapis.com/oauth2/v4/token",
};

struct state {
    struct pst_secret private_key; /* PEM */
    char project[128];
    char email[320];
    char key_id[128];
    const char *token_uri; /* one of ours */
};

/* ---- the key file ---- */

static bool decode_base64(const char *text, struct pst_buf *to)
{
    auto_buf_wipe struct pst_buf clean = PST_BUF(VAR_MAX + 4);

    for (const char *c = text; *c; c++) {
        if (!strchr(" \t\r\n=", *c))
            pst_buf_char(&clean, *c);
    }
    while (clean.len % 4 != 0)
        pst_buf_char(&clean, '=');
    return !clean.no_memory && !clean.too_long && clean.len > 0 &&
           pst_b64_decode(to, clean.data, clean.len);
}

static int wrong(struct pst_dns_provider *p, const char *why, struct pst_err *err)
{
    return pst_dns_wrong(p, JSON_KEYS, why, err);
}

static int take_token_uri(struct pst_dns_provider *p, const char *uri, struct pst_err *err)
{
    struct state *s = p->state;

    s->token_uri = uri ? NULL : token_uris[0];
    for (size_t i = 0; uri && i < PST_ARRAY_N(token_uris); i++) {
        if (strcmp(uri, token_uris[i]) == 0)
            s->token_uri = token_uris[i];
    }
    return s->token_uri ? PST_OK : wrong(p, "has a token_uri that is not Google's", err);
}

static int take_fields(struct pst_dns_provider *p, const struct pst_json *json, struct pst_err *err)
{
    struct state *s = p->state;
    const char *project = pst_json_get_text(json, "project_id");
    const char *email = pst_json_get_text(json, "client_email");
    const char *key = pst_json_get_text(json, "private_key");
    const char *key_id = pst_json_get_text(json, "private_key_id");

    if (!pst_streq(pst_json_get_text(json, "type"), "service_account"))
        return wrong(p, "is not the key of a service account (its type is another)", err);
    if (!project || !project[0] || !pst_str_copy(s->project, sizeof s->project, project))
        return wrong(p, "has no project_id", err);
    if (!email || !email[0] || !pst_str_copy(s->email, sizeof s->email, email))
        return wrong(p, "has no client_email", err);
    if (key_id && !pst_str_copy(s->key_id, sizeof s->key_id, key_id))
        return wrong(p, "has a private_key_id that is too long", err);
    if (!key || !key[0])
        return wrong(p, "has no private_key", err);
    int rc = take_token_uri(p, pst_json_get_text(json, "token_uri"), err);
    return rc == PST_OK ? pst_secret_set(&s->private_key, key, strlen(key), err) : rc;
}

static int create(struct pst_dns_provider *p, struct pst_err *err)
{
    struct state *s = p->state;
    auto_buf_wipe struct pst_buf text = PST_BUF(VAR_MAX);
    auto_buf struct pst_buf signature = PST_BUF(RSA_SIG_MAX);
    auto_(pst_json_free) struct pst_json *json = NULL;
    struct pst_err why = {0};

    if (!decode_base64(pst_dns_var(p, JSON_KEYS), &text))
        return wrong(p, "is not base64", err);
    int rc = pst_json_parse(&json, text.data, text.len, &why);
    if (rc == PST_ENOMEM)
        return pst_fail_nomem(err, "a key file");
    if (rc != PST_OK)
        return wrong(p, "is not the base64 of a JSON key file", err);
    rc = take_fields(p, json, err);
    if (rc != PST_OK)
        return rc;
    rc = pst_rs256_pem(&s->private_key, "", 0, &signature, &why);
    if (rc == PST_REFUSED)
        return wrong(p, "has a private_key that cannot be read", err);
    if (rc != PST_OK && err)
        *err = why;
    return rc;
}

static void destroy_state(struct pst_dns_provider *p)
{
    struct state *s = p->state;
    if (s)
        pst_secret_deinit(&s->private_key);
}

/* ---- token (RFC 7523) ---- */

static int sign_assertion(struct pst_dns_provider *p, struct pst_buf *to, struct pst_err *err)
{
    struct state *s = p->state;
    auto_buf struct pst_buf head = PST_BUF(1024), claims = PST_BUF(4096);
    auto_buf struct pst_buf signature = PST_BUF(RSA_SIG_MAX);
    int64_t now = pst_dns_now(p);

    pst_buf_str(&head, "{\"alg\":\"RS256\",\"typ\":\"JWT\"");
    if (s->key_id[0]) {
        pst_buf_str(&head, ",\"kid\":");
        pst_json_quote(&head, s->key_id);
    }
    pst_buf_char(&head, '}');
    pst_buf_str(&claims, "{\"iss\":");
    pst_json_quote(&claims, s->email);
    pst_buf_printf(&claims,
                   ",\"scope\":\"%s\",\"aud\":\"%s\",\"iat\":%" PRId64 ",\"exp\":%" PRId64 "}",
                   scope, s->token_uri, now, now + TOKEN_LIFE_S);
    int rc = pst_buf_check(&head, "an assertion", err);
    if (rc == PST_OK)
        rc = pst_buf_check(&claims, "an assertion", err);
    if (rc != PST_OK)
        return rc;
    size_t start = to->len;
    pst_b64url_add(to, head.data, head.len);
    pst_buf_char(to, '.');
    pst_b64url_add(to, claims.data, claims.len);
    rc = pst_buf_check(to, "an assertion", err);
    if (rc == PST_OK)
        rc = pst_rs256_pem(&s->private_key, to->data + start, to->len - start, &signature, err);
    if (rc != PST_OK)
        return rc < 0 ? rc : pst_unexpected(err, rc, "signing an assertion");
    pst_buf_char(to, '.');
    pst_b64url_add(to, signature.data, signature.len);
    return PST_OK;
}

static int ask_token(struct pst_dns_provider *p, struct pst_dns_request *r, struct pst_err *err)
{
    struct state *s = p->state;

    pst_buf_str(&r->url, p->token_url ? p->token_url : s->token_uri);
    if (p->token_url && !strchr(strstr(p->token_url, "://") + 3, '/'))
        pst_buf_str(&r->url, "/token");
    pst_buf_str(&r->body,
                "grant_type=urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Ajwt-bearer&assertion=");
    return sign_assertion(p, &r->body, err);
}

static int authorize(struct pst_dns_provider *p, struct pst_dns_request *r, bool fresh,
                     struct pst_err *err)
{
    return pst_dns_bearer(p, r, fresh, ask_token, err);
}

/* ---- errors ---- */

static void explain(struct pst_dns_provider *p, const struct pst_dns_answer *a,
                    struct pst_dns_reason *ret)
{
    const struct pst_json *error = pst_json_get(a->json, "error");
    const struct pst_json *first = pst_json_at(pst_json_get(error, "errors"), 0);

    if (pst_json_type(error) == PST_JSON_TEXT) { /* of the token endpoint */
        ret->code = pst_json_text(error);
        ret->message = pst_json_get_text(a->json, "error_description");
        ret->blame = 1u << JSON_KEYS;
        if (pst_streq(ret->code, "invalid_grant"))
            ret->hint = "the key was deleted, or the clock here is wrong";
        return;
    }
    ret->code = pst_json_get_text(first, "reason");
    if (!ret->code)
        ret->code = pst_json_get_text(error, "status");
    ret->message = pst_json_get_text(error, "message");
    bool throttled =
        pst_streq(ret->code, "rateLimitExceeded") || pst_streq(ret->code, "userRateLimitExceeded");
    if (a->status == 403 && throttled)
        ret->class = PST_CLASS_TRANSIENT;
    else if (a->status == 401 || a->status == 403)
        ret->blame = 1u << JSON_KEYS;
}

/* ---- zones ---- */

static void project_url(struct pst_dns_provider *p, struct pst_dns_request *r)
{
    struct state *s = p->state;

    pst_dns_url(p, r, "/projects/");
    pst_dns_escape(&r->url, s->project, "");
    pst_buf_str(&r->url, "/managedZones");
}

static bool is_absolute(const char *dotted, const char *name)
{
    size_t len = strlen(name);
    return dotted && strlen(dotted) == len + 1 && dotted[len] == '.' &&
           strncasecmp(dotted, name, len) == 0;
}

struct found {
    size_t n;
    char first[128]; /* the name of the zone in URLs */
    char match[128]; /* of one whose servers are those that the DNS names */
    struct pst_resolve_records *ns;
};

static bool serves(const struct pst_json *servers, const struct pst_resolve_records *ns)
{
    for (size_t i = 0; ns && i < pst_json_len(servers); i++) {
        const char *server = pst_json_text(pst_json_at(servers, i));
        for (size_t k = 0; server && k < ns->n; k++) {
            if (is_absolute(server, ns->texts[k]) || pst_strcaseeq(server, ns->texts[k]))
                return true;
        }
    }
    return false;
}

static int look_at_zones(const struct pst_dns_answer *a, const char *name, struct found *f,
                         struct pst_err *err)
{
    const struct pst_json *zones = pst_json_get(a->json, "managedZones");

    for (size_t i = 0; i < pst_json_len(zones); i++) {
        const struct pst_json *z = pst_json_at(zones, i);
        const char *visibility = pst_json_get_text(z, "visibility");
        const char *id = pst_json_get_text(z, "name");

        if (!is_absolute(pst_json_get_text(z, "dnsName"), name) ||
            (visibility && !pst_streq(visibility, "public")))
            continue;
        if (!id || !id[0] || strlen(id) >= sizeof f->first)
            return pst_dns_senseless(a, "listing zones", err);
        if (f->n++ == 0)
            pst_str_copy(f->first, sizeof f->first, id);
        if (!f->match[0] && serves(pst_json_get(z, "nameServers"), f->ns))
            pst_str_copy(f->match, sizeof f->match, id);
    }
    return PST_OK;
}

static int list_zones(struct pst_dns_provider *p, const char *name, struct found *f,
                      struct pst_err *err)
{
    char page[512] = "";
    int pages = 0;

    do {
        auto_request struct pst_dns_request r = PST_DNS_REQUEST("GET");
        auto_answer struct pst_dns_answer a = {0};

        project_url(p, &r);
        pst_buf_str(&r.url, "?dnsName=");
        pst_dns_escape(&r.url, name, "");
        pst_buf_char(&r.url, '.');
        if (page[0]) {
            pst_buf_str(&r.url, "&pageToken=");
            pst_dns_escape(&r.url, page, "");
        }
        int rc = pst_dns_send(p, &r, &a, err);
        if (rc != PST_OK)
            return rc;
        if (a.status != 200)
            return pst_dns_fault(p, &a, "listing zones", err);
        rc = look_at_zones(&a, name, f, err);
        if (rc != PST_OK)
            return rc;
        const char *next = pst_json_get_text(a.json, "nextPageToken");
        if (!pst_str_copy(page, sizeof page, next ? next : ""))
            return pst_dns_senseless(&a, "listing zones", err);
    } while (page[0] && ++pages < PAGES_MAX);
    return PST_OK;
}

static int zone(struct pst_dns_provider *p, const char *name, struct pst_dns_zone *ret,
                struct pst_err *err)
{
    struct found f = {0};

    int rc = list_zones(p, name, &f, err);
    if (rc != PST_OK)
        return rc;
    if (f.n == 0)
        return PST_NOTFOUND;
    if (f.n > 1) {
        struct pst_err ignored = {0};
        struct found again = {0};

        /* Several public zones may have one name; the world sees the one it is delegated to. */
        if (p->env.resolver && pst_resolve_ns(p->env.resolver, name, &again.ns, &ignored) == PST_OK)
            rc = list_zones(p, name, &again, err);
        pst_resolve_records_free(again.ns);
        if (rc != PST_OK)
            return rc;
        if (again.match[0])
            pst_str_copy(f.first, sizeof f.first, again.match);
        else
            pst_log_warn(LOG, "several public zones have this name; the first is taken",
                         pst_kv_s("zone", name), pst_kv_s("taken", f.first));
    }
    pst_str_copy(ret->id, sizeof ret->id, f.first);
    return PST_OK;
}

/* ---- record sets ---- */

static int take_set(const struct pst_dns_answer *a, const struct pst_json *rrset,
                    struct pst_dns_set *ret, struct pst_err *err)
{
    const struct pst_json *datas = pst_json_get(rrset, "rrdatas");
    int64_t ttl = 0;

    if (pst_json_get(rrset, "routingPolicy"))
        return pst_dns_permanent(err, "the TXT records have a routing policy and are left alone");
    if (pst_json_type(datas) != PST_JSON_ARRAY || !pst_json_get_int(rrset, "ttl", &ttl) ||
        ttl < 0 || ttl > INT32_MAX)
        return pst_dns_senseless(a, "reading the records", err);
    ret->exists = true;
    ret->ttl_s = (uint32_t)ttl;
    for (size_t i = 0; i < pst_json_len(datas); i++) {
        const char *raw = pst_json_text(pst_json_at(datas, i));

        if (!raw)
            return pst_dns_senseless(a, "reading the records", err);
        int rc = pst_dns_set_add_quoted(ret, raw, raw, err);
        if (rc != PST_OK)
            return rc;
    }
    return PST_OK;
}

static void zone_url(struct pst_dns_provider *p, struct pst_dns_request *r, const char *id)
{
    project_url(p, r);
    pst_buf_char(&r->url, '/');
    pst_dns_escape(&r->url, id, "");
}

static int read_set(struct pst_dns_provider *p, const struct pst_dns_target *t,
                    struct pst_dns_set *ret, struct pst_err *err)
{
    auto_request struct pst_dns_request r = PST_DNS_REQUEST("GET");
    auto_answer struct pst_dns_answer a = {0};

    zone_url(p, &r, t->zone->id);
    pst_buf_str(&r.url, "/rrsets?name=");
    pst_dns_escape(&r.url, t->fqdn, "");
    pst_buf_str(&r.url, ".&type=TXT");
    int rc = pst_dns_send(p, &r, &a, err);
    if (rc != PST_OK)
        return rc;
    if (a.status != 200)
        return pst_dns_fault(p, &a, "reading the records", err);
    const struct pst_json *sets = pst_json_get(a.json, "rrsets");
    for (size_t i = 0; i < pst_json_len(sets); i++) {
        const struct pst_json *rrset = pst_json_at(sets, i);

        if (is_absolute(pst_json_get_text(rrset, "name"), t->fqdn) &&
            pst_streq(pst_json_get_text(rrset, "type"), "TXT"))
            return take_set(&a, rrset, ret, err);
    }
    return PST_NOTFOUND;
}

static int item(const struct pst_dns_provider *p, const char *value, struct pst_buf *ret_raw)
{
    pst_dns_quote(ret_raw, value);
    return PST_OK;
}

static void write_list(struct pst_buf *to, const char *name, const struct pst_dns_target *t,
                       const struct pst_dns_set *set)
{
    pst_buf_printf(to, "%s\"%s\":[{\"name\":\"%s.\",\"type\":\"TXT\",\"ttl\":%u,\"rrdatas\":[",
                   to->len > 1 ? "," : "", name, t->fqdn, set->ttl_s);
    for (size_t i = 0; i < set->n; i++) {
        if (i > 0)
            pst_buf_char(to, ',');
        pst_json_quote(to, set->items[i].raw);
    }
    pst_buf_str(to, "]}]");
}

/* Somebody else's change came between. */
static bool is_conflict(const struct pst_dns_answer *a)
{
    const char *message = pst_json_get_text(pst_json_get(a->json, "error"), "message");

    return a->status == 409 || a->status == 412 ||
           (a->status == 404 && message && strstr(message, "entity.change.deletions"));
}

static int write_set(struct pst_dns_provider *p, const struct pst_dns_target *t,
                     const struct pst_dns_set *old, const struct pst_dns_set *set,
                     struct pst_dns_change *ret, struct pst_err *err)
{
    auto_request struct pst_dns_request r = PST_DNS_REQUEST("POST");
    auto_answer struct pst_dns_answer a = {0};

    zone_url(p, &r, t->zone->id);
    pst_buf_str(&r.url, "/changes");
    pst_buf_char(&r.body, '{');
    if (old->exists)
        write_list(&r.body, "deletions", t, old);
    if (set->n > 0)
        write_list(&r.body, "additions", t, set);
    pst_buf_char(&r.body, '}');
    int rc = pst_dns_send(p, &r, &a, err);
    if (rc != PST_OK)
        return rc;
    if (is_conflict(&a))
        return PST_CONFLICT;
    if (a.status != 200)
        return pst_dns_fault(p, &a, "writing the records", err);
    const char *id = pst_json_get_text(a.json, "id");
    if (!id || pst_streq(pst_json_get_text(a.json, "status"), "done"))
        return PST_OK;
    snprintf(ret->text, sizeof ret->text, "%.159s %.60s", t->zone->id, id);
    return PST_OK;
}

static int confirm(struct pst_dns_provider *p, const char *change, struct pst_err *err)
{
    auto_request struct pst_dns_request r = PST_DNS_REQUEST("GET");
    auto_answer struct pst_dns_answer a = {0};
    const char *blank = strchr(change, ' ');
    char id[160];

    if (!blank || (size_t)(blank - change) >= sizeof id)
        return pst_fail(err, PST_EINTERNAL, "a change of Google's without a zone");
    memcpy(id, change, (size_t)(blank - change));
    id[blank - change] = '\0';
    zone_url(p, &r, id);
    pst_buf_str(&r.url, "/changes/");
    pst_dns_escape(&r.url, blank + 1, "");
    int rc = pst_dns_send(p, &r, &a, err);
    if (rc != PST_OK)
        return rc;
    if (a.status != 200)
        return pst_dns_fault(p, &a, "asking for the change", err);
    return pst_streq(pst_json_get_text(a.json, "status"), "done") ? PST_OK : PST_NOTYET;
}

const struct pst_dns_ops pst_dns_gcloud = {
    .name = "gcloud",
    .vars = vars,
    .vars_n = PST_ARRAY_N(vars),
    .ttl_s = TTL_S,
    .base_url = "https://dns.googleapis.com/dns/v1",
    .token_url = "https://oauth2.googleapis.com/token",
    .state_size = sizeof(struct state),
    .create = create,
    .destroy_state = destroy_state,
    .authorize = authorize,
    .stale = pst_dns_stale_401,
    .explain = explain,
    .zone = zone,
    .read = read_set,
    .item = item,
    .write = write_set,
    .confirm = confirm,
};
