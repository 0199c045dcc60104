/* domains.c - the names that customers bring. */
#include "api_internal.h"

#include <stdio.h>
#include <string.h>

#include <postern/conf.h>
#include <postern/name.h>

#include "domain_view.h"

#define NO_UPLOADS "custom certificates are not accepted by this version"

/* ---- answers ---- */

static int view_json(struct pst_req *req, struct pst_tx *tx, const struct pst_domain *d,
                     struct pst_json **ret, struct pst_err *err)
{
    auto_view struct pst_domain_view v = {0};

    int rc = pst_domain_view_load(tx, d, pst_now(req->api->opts.clock), &v, err);
    return rc == PST_OK ? pst_domain_json(tx, &v, ret, err) : rc;
}

static int answer_domain(struct pst_req *req, struct pst_tx *tx, const struct pst_domain *d,
                         int status, struct pst_answer *ans, struct pst_err *err)
{
    auto_(pst_json_free) struct pst_json *domain = NULL;
    auto_(pst_json_free) struct pst_json *j = pst_json_object();

    int rc = view_json(req, tx, d, &domain, err);
    if (rc != PST_OK)
        return rc;
    if (!pst_json_set(j, "domain", pst_take(&domain)))
        return pst_fail_nomem(err, "the domain");
    return pst_answer_json(ans, status, j, err);
}

struct listing {
    struct pst_req *req;
    struct pst_tx *tx;
    struct pst_json *list;
    struct pst_err *err;
};

static int list_domain(const struct pst_domain *d, void *arg)
{
    struct listing *l = arg;
    auto_(pst_json_free) struct pst_json *j = NULL;

    int rc = view_json(l->req, l->tx, d, &j, l->err);
    if (rc != PST_OK)
        return rc;
    return pst_json_push(l->list, pst_take(&j)) ? PST_OK : pst_fail_nomem(l->err, "the domains");
}

int pst_domains_list(struct pst_req *req, struct pst_tx *tx, struct pst_answer *ans,
                     struct pst_err *err)
{
    auto_(pst_json_free) struct pst_json *list = pst_json_array();
    auto_(pst_json_free) struct pst_json *j = pst_json_object();
    struct listing l = {req, tx, list, err};
    struct pst_app a;

    int rc = pst_req_app(req, tx, &a, ans, err);
    if (rc != PST_OK)
        return rc;
    if (!list)
        return pst_fail_nomem(err, "the domains");
    rc = pst_domain_each(tx, a.id, list_domain, &l, err);
    if (rc != PST_OK)
        return rc;
    if (!pst_json_set(j, "domains", pst_take(&list)))
        return pst_fail_nomem(err, "the domains");
    return pst_answer_json(ans, 200, j, err);
}

int pst_domains_get(struct pst_req *req, struct pst_tx *tx, struct pst_answer *ans,
                    struct pst_err *err)
{
    struct pst_app a;
    struct pst_domain d;

    int rc = pst_req_domain(req, tx, &a, &d, ans, err);
    return rc == PST_OK ? answer_domain(req, tx, &d, 200, ans, err) : rc;
}

/* ---- reading the body ---- */

struct domain_body {
    const char *name, *tlscert, *tlskey;
    bool canonical, letsencrypt_enabled;
};

#define MAYBE (PST_JSON_OPTIONAL | PST_JSON_NULLABLE)

static const struct pst_json_field fields[] = {
    PST_JSON_FIELD(struct domain_body, name, "name", TEXT, MAYBE, 0),
    PST_JSON_FIELD(struct domain_body, tlscert, "tlscert", TEXT, MAYBE, 0),
    PST_JSON_FIELD(struct domain_body, tlskey, "tlskey", TEXT, MAYBE, 0),
    PST_JSON_FIELD(struct domain_body, canonical, "canonical", BOOL, MAYBE, 0),
    PST_JSON_FIELD(struct domain_body, letsencrypt_enabled, "letsencrypt_enabled", BOOL, MAYBE, 0),
};

static int read_domain(struct pst_req *req, struct domain_body *b, struct pst_answer *ans)
{
    const struct pst_json *domain = pst_json_get(req->json, "domain");

    if (pst_json_type(domain) != PST_JSON_OBJECT)
        return pst_answer_invalid(ans, "domain", "missing field");
    int rc = pst_req_decode(domain, fields, PST_ARRAY_N(fields), b, ans);
    if (rc != PST_OK)
        return rc;
    /* Empty ones ask to go back to an ACME certificate, which is how it is anyway. */
    if (b->tlscert && *b->tlscert)
        return pst_answer_invalid(ans, "tlscert", NO_UPLOADS);
    if (b->tlskey && *b->tlskey)
        return pst_answer_invalid(ans, "tlskey", NO_UPLOADS);
    return PST_OK;
}

/* ---- state ---- */

/* Where a domain that needs an ACME certificate begins. */
static void set_first_phase(struct pst_domain *d, int64_t now_ms)
{
    d->problem[0] = d->reason[0] = d->evidence[0] = d->record[0] = '\0';
    d->next_try_at_ms = 0;
    d->phase = d->wildcard ? PST_PHASE_MANUAL : PST_PHASE_DNS;
    if (!d->acme_enabled)
        return;
    if (d->wildcard) {
        pst_str_copy(d->problem, sizeof d->problem, "dns01-unavailable");
        pst_str_copy(d->reason, sizeof d->reason,
                     "Certificates for wildcard names need the DNS-01 challenge, which is not "
                     "available yet in this version.");
        return;
    }
    pst_str_copy(d->reason, sizeof d->reason, "DNS has not been looked at yet.");
    d->next_try_at_ms = now_ms;
}

struct canonical_search {
    char id[PST_ID_SIZE]; /* of the one that is canonical now; "" if none */
    const char *except;
};

static int find_canonical(const struct pst_domain *d, void *arg)
{
    struct canonical_search *s = arg;

    if (!d->canonical || pst_streq(d->id, s->except))
        return PST_OK;
    pst_str_copy(s->id, sizeof s->id, d->id);
    return PST_DONE;
}

/* One canonical domain an app: the others stop being it.  The app's row is locked. */
static int clear_canonical(struct pst_tx *tx, const char *app_id, const char *except,
                           struct pst_err *err)
{
    for (;;) {
        struct canonical_search s = {.except = except};
        struct pst_domain other;
        int rc = pst_domain_each(tx, app_id, find_canonical, &s, err);
        if (rc < 0 || !s.id[0])
            return rc < 0 ? rc : PST_OK;
        rc = pst_domain_get(tx, s.id, &other, err);
        if (rc == PST_OK) {
            other.canonical = false;
            rc = pst_domain_update(tx, &other, err);
        }
        if (rc != PST_OK)
            return rc < 0 ? rc : pst_unexpected(err, rc, "the canonical domain");
    }
}

/* ---- adding ---- */

/* The names of apps are the platform's to give. */
static int check_platform(struct pst_tx *tx, const char *ascii, struct pst_answer *ans,
                          struct pst_err *err)
{
    char domain[PST_NAME_SIZE], region[PST_WORD_SIZE], suffix[PST_NAME_SIZE + 1];

    int rc = pst_platform_get(tx, domain, region, err);
    if (rc != PST_OK || !domain[0])
        return rc;
    snprintf(suffix, sizeof suffix, ".%s", domain);
    if (pst_streq(ascii, domain) || pst_str_ends(ascii, suffix))
        return pst_answer_invalid(ans, "name", "names under %s belong to the platform", domain);
    return PST_OK;
}

static int check_name(struct pst_req *req, const struct domain_body *b, struct pst_domain *d,
                      struct pst_answer *ans)
{
    unsigned flags = PST_NAME_WILDCARD;
    struct pst_err why = {0};

    if (!b->name || !*b->name)
        return pst_answer_invalid(ans, "name", "is missing: give the name of the domain");
    if (pst_conf_bool(req->api->set.conf, PST_CONF_NAMES_ANY_TLD))
        flags |= PST_NAME_ANY_TLD;
    int rc = pst_name_parse(b->name, flags, d->ascii, &why);
    if (rc == PST_REFUSED)
        return pst_answer_invalid(ans, "name", "%s", why.text);
    if (rc != PST_OK)
        return rc;
    if (!pst_str_copy(d->name, sizeof d->name, b->name))
        return pst_answer_invalid(ans, "name", "is too long: write it in its shorter form, %s",
                                  d->ascii);
    d->wildcard = pst_name_is_wildcard(d->ascii);
    if (d->wildcard && b->canonical)
        return pst_answer_invalid(ans, "canonical", "a wildcard domain cannot be canonical");
    return PST_OK;
}

static int check_limit(struct pst_req *req, struct pst_tx *tx, const struct pst_app *a,
                       struct pst_answer *ans, struct pst_err *err)
{
    int64_t max = a->domains_max ? a->domains_max
                                 : pst_conf_int(req->api->set.conf, PST_CONF_APP_DOMAINS_MAX);
    int64_t n = 0;

    int rc = pst_app_lock(tx, a->id, err);
    if (rc == PST_OK)
        rc = pst_domain_count(tx, a->id, &n, err);
    if (rc != PST_OK)
        return rc;
    if (n >= max)
        return pst_answer_invalid(ans, "domains",
                                  "this app has %lld domains already, and %lld are the most it may "
                                  "have; remove one first",
                                  (long long)n, (long long)max);
    return PST_OK;
}

static int add_domain(struct pst_req *req, struct pst_tx *tx, struct pst_domain *d,
                      struct pst_answer *ans, struct pst_err *err)
{
    int rc = pst_domain_insert(tx, d, err);

    if (rc == PST_CONFLICT)
        return pst_answer_invalid(ans, "name", "has already been taken");
    if (rc == PST_OK && d->canonical)
        rc = clear_canonical(tx, d->app_id, d->id, err);
    if (rc == PST_OK)
        rc = pst_req_event(req, tx, "domain.added", d->app_id, d->id, err, "%s was added", d->name);
    if (rc == PST_OK)
        rc = pst_req_effect(req, PST_DOMAIN_ADDED, d->id, d->ascii, err);
    return rc == PST_OK ? answer_domain(req, tx, d, 201, ans, err) : rc;
}

int pst_domains_create(struct pst_req *req, struct pst_tx *tx, struct pst_answer *ans,
                       struct pst_err *err)
{
    struct domain_body b = {.letsencrypt_enabled = true};
    struct pst_domain d = {0};
    struct pst_app a;

    int rc = pst_req_app(req, tx, &a, ans, err);
    if (rc == PST_OK)
        rc = read_domain(req, &b, ans);
    if (rc == PST_OK)
        rc = check_name(req, &b, &d, ans);
    if (rc == PST_OK)
        rc = check_platform(tx, d.ascii, ans, err);
    if (rc == PST_OK)
        rc = check_limit(req, tx, &a, ans, err);
    if (rc != PST_OK)
        return rc;
    pst_str_copy(d.app_id, sizeof d.app_id, a.id);
    pst_str_copy(d.user_id, sizeof d.user_id, a.user_id);
    d.acme_enabled = b.letsencrypt_enabled;
    d.canonical = b.canonical;
    set_first_phase(&d, pst_wall_ms(req->api->opts.clock));
    return add_domain(req, tx, &d, ans, err);
}

/* ---- changing ---- */

static int save_changes(struct pst_req *req, struct pst_tx *tx, struct pst_domain *d,
                        const struct domain_body *b, struct pst_err *err)
{
    int64_t now_ms = pst_wall_ms(req->api->opts.clock);
    bool acme_moved = d->acme_enabled != b->letsencrypt_enabled;
    bool canonical_moved = d->canonical != b->canonical;
    int rc = PST_OK;

    d->acme_enabled = b->letsencrypt_enabled;
    d->canonical = b->canonical;
    /* With a certificate there is nothing to begin anew; its renewal keeps its date. */
    if (acme_moved && !d->acme_cert)
        set_first_phase(d, now_ms);
    else if (acme_moved && !d->acme_enabled)
        d->next_try_at_ms = 0;
    d->updated_at_ms = now_ms;
    if (canonical_moved && d->canonical)
        rc = clear_canonical(tx, d->app_id, d->id, err);
    if (rc == PST_OK)
        rc = pst_domain_update(tx, d, err);
    if (rc == PST_OK && acme_moved) {
        rc = pst_req_event(req, tx, "domain.acme", d->app_id, d->id, err,
                           "ACME was switched %s for %s", d->acme_enabled ? "on" : "off", d->name);
        if (rc == PST_OK)
            rc = pst_req_effect(req, PST_DOMAIN_CHANGED, d->id, d->ascii, err);
    }
    if (rc == PST_OK && canonical_moved)
        rc = pst_req_event(req, tx, "domain.canonical", d->app_id, d->id, err, "%s is %s canonical",
                           d->name, d->canonical ? "now" : "no longer");
    return rc;
}

int pst_domains_patch(struct pst_req *req, struct pst_tx *tx, struct pst_answer *ans,
                      struct pst_err *err)
{
    struct pst_domain d;
    struct pst_app a;

    int rc = pst_req_domain(req, tx, &a, &d, ans, err);
    if (rc != PST_OK)
        return rc;
    struct domain_body b = {.canonical = d.canonical, .letsencrypt_enabled = d.acme_enabled};
    rc = read_domain(req, &b, ans);
    if (rc != PST_OK)
        return rc;
    if (b.name && !pst_streq(b.name, d.name))
        return pst_answer_invalid(ans, "name",
                                  "cannot be changed: remove the domain and add the other");
    if (d.wildcard && b.canonical)
        return pst_answer_invalid(ans, "canonical", "a wildcard domain cannot be canonical");
    if (b.canonical != d.canonical || b.letsencrypt_enabled != d.acme_enabled) {
        rc = pst_app_lock(tx, a.id, err);
        if (rc == PST_OK)
            rc = save_changes(req, tx, &d, &b, err);
        if (rc != PST_OK)
            return rc < 0 ? rc : pst_unexpected(err, rc, "changing a domain");
    }
    return answer_domain(req, tx, &d, 200, ans, err);
}

/* ---- removing ---- */

int pst_domains_delete(struct pst_req *req, struct pst_tx *tx, struct pst_answer *ans,
                       struct pst_err *err)
{
    struct pst_app a;
    struct pst_domain d;

    int rc = pst_req_domain(req, tx, &a, &d, ans, err);
    if (rc == PST_OK)
        rc = pst_domain_delete(tx, d.id, err);
    if (rc == PST_OK)
        rc = pst_req_event(req, tx, "domain.removed", a.id, d.id, err, "%s was removed", d.name);
    if (rc == PST_OK)
        rc = pst_req_effect(req, PST_DOMAIN_REMOVED, d.id, d.ascii, err);
    return rc == PST_OK ? pst_answer_empty(ans, 204) : rc;
}
