/* domains.c - the names that customers bring. */
#include "api_internal.h"

#include "challenges.h"
#include "claims.h"
#include "domain_add.h"
#include "domain_view.h"
#include "uploads.h"

/* Of one app's list: what is listed, and its text. */
enum { LIST_MAX = 30000, LIST_BYTES_MAX = 64 * 1024 * 1024 };

/* ---- answers ---- */

static int view_json(struct pst_req *req, struct pst_tx *tx, const struct pst_domain *d,
                     const struct pst_view_source *source, struct pst_json **ret,
                     struct pst_err *err)
{
    auto_view struct pst_domain_view v = {0};

    int rc = pst_domain_view_load(tx, d, pst_now(req->api->opts.clock), source, &v, err);
    return rc == PST_OK ? pst_domain_json(tx, &v, ret, err) : rc;
}

/* With the warnings of an upload beside it, if there was one. */
static int answer_domain(struct pst_req *req, struct pst_tx *tx, const struct pst_domain *d,
                         const struct pst_cert_result *uploaded, struct pst_json **ret,
                         struct pst_err *err)
{
    auto_(pst_json_free) struct pst_json *domain = NULL, *findings = NULL;
    auto_(pst_json_free) struct pst_json *j = pst_json_object();

    int rc = view_json(req, tx, d, NULL, &domain, err);
    if (rc == PST_OK)
        rc = pst_acme_options(req, tx, d, domain, err);
    if (rc == PST_OK && uploaded)
        rc = pst_cert_findings_json(uploaded, &findings, err);
    if (rc != PST_OK)
        return rc;
    if (!pst_json_set(j, "domain", pst_take(&domain)) ||
        (findings && !pst_json_set(j, "findings", pst_take(&findings))))
        return pst_fail_nomem(err, "the domain");
    *ret = pst_take(&j);
    return PST_OK;
}

/* The list is written as text at once: as a tree a long one would take ten times the memory. */
struct listing {
    struct pst_req *req;
    struct pst_tx *tx;
    const struct pst_view_source *source;
    struct pst_buf *to;
    size_t n;
    struct pst_err *err;
};

static int list_domain(const struct pst_domain *d, void *arg)
{
    struct listing *l = arg;
    auto_(pst_json_free) struct pst_json *j = NULL;

    int rc = view_json(l->req, l->tx, d, l->source, &j, l->err);
    if (rc != PST_OK)
        return rc;
    if (l->n++)
        pst_buf_char(l->to, ',');
    return pst_json_write(j, l->to, l->err);
}

static int check_length(struct pst_tx *tx, const struct pst_app *a, struct pst_answer *ans,
                        struct pst_err *err)
{
    int64_t n = 0;

    int rc = pst_domain_count(tx, a->id, &n, err);
    if (rc == PST_OK && n > LIST_MAX)
        return pst_answer_error(ans, 422,
                                "this app has %lld domains, more than the %d that are listed at "
                                "once: read them page by page from /v1/domains/export?app=%s",
                                (long long)n, LIST_MAX, a->name);
    return rc;
}

int pst_domains_list(struct pst_req *req, struct pst_tx *tx, struct pst_answer *ans,
                     struct pst_err *err)
{
    auto_(pst_view_source_free) struct pst_view_source *source = NULL;
    auto_buf struct pst_buf text = PST_BUF(LIST_BYTES_MAX);
    struct pst_app a;

    int rc = pst_req_app(req, tx, &a, ans, err);
    if (rc == PST_OK)
        rc = check_length(tx, &a, ans, err);
    if (rc == PST_OK)
        rc = pst_view_source_load(tx, a.id, &source, err);
    if (rc != PST_OK)
        return rc;
    struct listing l = {req, tx, source, &text, 0, err};
    pst_buf_str(&text, "{\"domains\":[");
    rc = pst_domain_each(tx, a.id, list_domain, &l, err);
    pst_buf_str(&text, "]}");
    if (rc == PST_OK)
        rc = pst_buf_check(&text, "the domains", err);
    return rc == PST_OK ? pst_answer_text(ans, 200, &text) : rc;
}

int pst_domains_get(struct pst_req *req, struct pst_tx *tx, struct pst_answer *ans,
                    struct pst_err *err)
{
    auto_(pst_json_free) struct pst_json *j = NULL;
    struct pst_app a;
    struct pst_domain d;

    int rc = pst_req_domain(req, tx, &a, &d, ans, err);
    if (rc == PST_OK)
        rc = answer_domain(req, tx, &d, NULL, &j, err);
    return rc == PST_OK ? pst_answer_json(ans, 200, j, err) : rc;
}

/* ---- reading the body ---- */

struct domain_body {
    const char *name, *tlscert, *tlskey, *passphrase;
    bool canonical, letsencrypt_enabled, skip_proof;
};

#define MAYBE (PST_JSON_OPTIONAL | PST_JSON_NULLABLE)

static const struct pst_json_field fields[] = {
    PST_JSON_FIELD(struct domain_body, name, "name", TEXT, MAYBE, 0),
    PST_JSON_FIELD(struct domain_body, tlscert, "tlscert", TEXT, MAYBE, 0),
    PST_JSON_FIELD(struct domain_body, tlskey, "tlskey", TEXT, MAYBE, 0),
    PST_JSON_FIELD(struct domain_body, passphrase, "passphrase", TEXT, MAYBE, 0),
    PST_JSON_FIELD(struct domain_body, canonical, "canonical", BOOL, MAYBE, 0),
    PST_JSON_FIELD(struct domain_body, letsencrypt_enabled, "letsencrypt_enabled", BOOL, MAYBE, 0),
    PST_JSON_FIELD(struct domain_body, skip_proof, "skip_proof", BOOL, MAYBE, 0),
};

/* What is asked of the uploaded certificate: both texts empty take it away. */
static bool is_upload(const struct domain_body *b)
{
    return (b->tlscert && *b->tlscert) || (b->tlskey && *b->tlskey);
}

static bool is_removal(const struct domain_body *b)
{
    return b->tlscert && b->tlskey && !is_upload(b);
}

static int read_domain(struct pst_req *req, struct domain_body *b, struct pst_answer *ans)
{
    const struct pst_json *domain = pst_json_get(req->json, "domain");

    if (pst_json_type(domain) != PST_JSON_OBJECT)
        return pst_answer_invalid(ans, "domain", "missing field");
    int rc = pst_req_decode(domain, fields, PST_ARRAY_N(fields), b, ans);
    if (rc != PST_OK)
        return rc;
    if ((b->tlscert || b->tlskey) && !is_upload(b) && !is_removal(b))
        return pst_answer_invalid(ans, b->tlscert ? "tlskey" : "tlscert",
                                  "is missing: both must be empty to take the certificate away");
    return PST_OK;
}

/* ---- writing ---- */

/* One POST or PATCH: judged first, without a transaction, then written in one. */
struct change {
    struct pst_req *req;
    struct pst_answer *ans;
    struct domain_body body;
    struct pst_domain domain;
    struct pst_app app;
    struct pst_claim claim;
    struct pst_upload upload;
    bool uploads;      /* upload holds an accepted certificate */
    bool ladder_moved; /* the edges may now serve another certificate */
    struct pst_json *answer;
};

static void change_deinit(struct change *c)
{
    pst_upload_deinit(&c->upload);
    pst_json_free(c->answer);
}

static int judge_upload(struct change *c, const char *domain_id, struct pst_err *err)
{
    struct pst_upload *u = &c->upload;
    struct pst_upload_for to = {.domain_id = domain_id, .ascii = c->domain.ascii};

    if (!is_upload(&c->body))
        return PST_OK;
    u->cert = c->body.tlscert;
    u->key = c->body.tlskey;
    u->passphrase = c->body.passphrase;
    int rc = pst_upload_judge(c->req, &to, u, err);
    if (rc == PST_OK && !u->result.accepted)
        return pst_upload_refuse(u, c->ans, err);
    if (rc == PST_OK)
        rc = pst_upload_prepare(c->req, u, err);
    c->uploads = rc == PST_OK;
    return rc;
}

/* Put the certificate that was judged on the ladder. */
static int take_upload(struct pst_tx *tx, struct change *c, struct pst_domain *d,
                       struct pst_err *err)
{
    pst_upload_number(tx, &c->upload, d);
    int rc = pst_upload_store(tx, &c->upload, d, err);
    if (rc != PST_OK)
        return rc;
    c->ladder_moved = true;
    return pst_domain_upload_event(c->req, tx, d, &c->upload, err);
}

static int keep_answer(struct pst_tx *tx, struct change *c, const struct pst_domain *d,
                       struct pst_err *err)
{
    pst_json_free(c->answer);
    c->answer = NULL;
    return answer_domain(c->req, tx, d, c->uploads ? &c->upload.result : NULL, &c->answer, err);
}

/* Write, then answer: at once, or when the edges have what they are to serve. */
static int write_and_answer(struct change *c, pst_tx_fn *fn, int status, struct pst_err *err)
{
    int64_t rev = 0;

    int rc = pst_store_write(c->req->api->opts.store, fn, c, &rev, err);
    if (rc == PST_OK)
        rc = pst_answer_json(c->ans, status, c->answer, err);
    return rc == PST_OK && c->ladder_moved && rev ? pst_req_hold(c->req, rev, c->ans, err) : rc;
}

/* A transaction may run again: what the last run left goes. */
static void begin_again(struct change *c)
{
    c->req->effects_n = 0;
    c->ladder_moved = false;
    pst_answer_reset(c->ans);
}

/* ---- adding ---- */

static int create_tx(struct pst_tx *tx, void *arg, struct pst_err *err)
{
    struct change *c = arg;
    struct pst_adder adder = {.req = c->req, .ans = c->ans, .claim = &c->claim};
    struct pst_domain d = c->domain;

    begin_again(c);
    int rc = pst_req_app(c->req, tx, &c->app, c->ans, err);
    if (rc == PST_OK)
        rc = pst_adder_open(&adder, tx, &c->app, err);
    d.acme_enabled = c->body.letsencrypt_enabled;
    if (rc == PST_OK)
        rc = pst_adder_add(&adder, tx, &d, c->uploads ? &c->upload : NULL, err);
    c->ladder_moved = d.custom_cert || c->claim.evicted;
    return rc == PST_OK ? keep_answer(tx, c, &d, err) : rc;
}

static int look_at_claim(struct change *c, struct pst_err *err)
{
    pst_claim_init(&c->claim, c->domain.ascii, &c->app);
    c->claim.skip_proof = c->body.skip_proof;
    return pst_claim_look(c->req, &c->claim, false, c->ans, err);
}

static int find_app_tx(struct pst_tx *tx, void *arg, struct pst_err *err)
{
    struct change *c = arg;

    return pst_req_app(c->req, tx, &c->app, c->ans, err);
}

int pst_domains_create(struct pst_req *req, struct pst_tx *tx, struct pst_answer *ans,
                       struct pst_err *err)
{
    __attribute__((cleanup(change_deinit))) struct change c = {
        .req = req, .ans = ans, .body = {.letsencrypt_enabled = true}};

    (void)tx;
    if (req->hold_rev)
        return pst_req_held(req, ans, err);
    int rc = pst_store_read(req->api->opts.store, find_app_tx, &c, err);
    if (rc == PST_OK)
        rc = read_domain(req, &c.body, ans);
    if (rc == PST_OK)
        c.domain.canonical = c.body.canonical;
    if (rc == PST_OK)
        rc = pst_domain_name(req, c.body.name, &c.domain, ans);
    if (rc == PST_OK)
        rc = judge_upload(&c, "", err);
    if (rc == PST_OK)
        rc = look_at_claim(&c, err);
    return rc == PST_OK ? write_and_answer(&c, create_tx, 201, err) : rc;
}

/* ---- changing ---- */

/* The order that its record belonged to was ended. */
static void clear_challenge(struct pst_domain *d)
{
    d->acme_method[0] = d->acme_dns_fqdn[0] = d->acme_dns_value[0] = '\0';
    d->acme_dns_error[0] = '\0';
    d->acme_dns_until = 0;
    if (d->phase == PST_PHASE_MANUAL)
        d->phase = PST_PHASE_WORK;
}

static int change_acme(struct pst_tx *tx, struct change *c, struct pst_domain *d,
                       struct pst_err *err)
{
    int64_t now_ms = pst_wall_ms(c->req->api->opts.clock);

    d->acme_enabled = c->body.letsencrypt_enabled;
    c->ladder_moved |= d->acme_cert != 0;
    clear_challenge(d);
    /* The order that was to see it served was ended: another one does. */
    if (d->acme_enabled && d->acme_cert && !d->acme_seen_at_ms)
        d->due_at_ms = now_ms;
    /* With a certificate there is nothing to begin anew; its renewal keeps its date. */
    if (!d->acme_cert)
        pst_domain_first_phase(d, now_ms);
    else
        d->next_try_at_ms = d->acme_enabled ? d->due_at_ms : 0;
    int rc = pst_req_event(c->req, tx, "domain.acme", d->app_id, d->id, err,
                           "ACME was switched %s for %s", d->acme_enabled ? "on" : "off", d->name);
    return rc == PST_OK ? pst_req_effect(c->req, PST_DOMAIN_CHANGED, d->id, d->ascii, err) : rc;
}

static int change_canonical(struct pst_tx *tx, struct change *c, struct pst_domain *d,
                            struct pst_err *err)
{
    int rc = PST_OK;

    d->canonical = c->body.canonical;
    if (d->canonical)
        rc = pst_domain_sole_canonical(tx, d->app_id, d->id, err);
    if (rc != PST_OK)
        return rc;
    return pst_req_event(c->req, tx, "domain.canonical", d->app_id, d->id, err,
                         "%s is %s canonical", d->name, d->canonical ? "now" : "no longer");
}

static int remove_upload(struct pst_tx *tx, struct change *c, struct pst_domain *d,
                         struct pst_err *err)
{
    d->custom_cert = 0;
    c->ladder_moved = true;
    return pst_req_event(c->req, tx, "certificate.removed", d->app_id, d->id, err,
                         "the uploaded certificate of %s was taken away", d->name);
}

static int save_changes(struct pst_tx *tx, struct change *c, struct pst_domain *d,
                        struct pst_err *err)
{
    const struct domain_body *b = &c->body;
    int rc = PST_OK;

    d->updated_at_ms = pst_wall_ms(c->req->api->opts.clock);
    if (b->letsencrypt_enabled != d->acme_enabled)
        rc = change_acme(tx, c, d, err);
    if (rc == PST_OK && b->canonical != d->canonical)
        rc = change_canonical(tx, c, d, err);
    if (rc == PST_OK && c->uploads)
        rc = take_upload(tx, c, d, err);
    else if (rc == PST_OK && is_removal(b) && d->custom_cert)
        rc = remove_upload(tx, c, d, err);
    return rc == PST_OK ? pst_domain_update(tx, d, err) : rc;
}

static int patch_tx(struct pst_tx *tx, void *arg, struct pst_err *err)
{
    struct change *c = arg;
    struct pst_domain d;

    begin_again(c);
    int rc = pst_req_domain(c->req, tx, &c->app, &d, c->ans, err);
    if (rc != PST_OK)
        return rc;
    /* What is not in the body stays as it is now, whoever changed it since the first look. */
    struct domain_body given = c->body;
    c->body.canonical = d.canonical;
    c->body.letsencrypt_enabled = d.acme_enabled;
    rc = read_domain(c->req, &c->body, c->ans);
    if (rc == PST_OK &&
        (is_upload(&given) || is_removal(&given) || c->body.canonical != d.canonical ||
         c->body.letsencrypt_enabled != d.acme_enabled)) {
        rc = pst_app_lock(tx, c->app.id, err);
        if (rc == PST_OK)
            rc = save_changes(tx, c, &d, err);
        if (rc != PST_OK)
            return rc < 0 ? rc : pst_unexpected(err, rc, "changing a domain");
    }
    return rc == PST_OK ? keep_answer(tx, c, &d, err) : rc;
}

static int find_domain_tx(struct pst_tx *tx, void *arg, struct pst_err *err)
{
    struct change *c = arg;

    return pst_req_domain(c->req, tx, &c->app, &c->domain, c->ans, err);
}

int pst_domains_patch(struct pst_req *req, struct pst_tx *tx, struct pst_answer *ans,
                      struct pst_err *err)
{
    __attribute__((cleanup(change_deinit))) struct change c = {.req = req, .ans = ans};

    (void)tx;
    if (req->hold_rev)
        return pst_req_held(req, ans, err);
    int rc = pst_store_read(req->api->opts.store, find_domain_tx, &c, err);
    if (rc == PST_OK)
        rc = read_domain(req, &c.body, ans);
    if (rc != PST_OK)
        return rc;
    if (c.body.name && !pst_streq(c.body.name, c.domain.name))
        return pst_answer_invalid(ans, "name",
                                  "cannot be changed: remove the domain and add the other");
    if (c.domain.wildcard && c.body.canonical)
        return pst_answer_invalid(ans, "canonical", "a wildcard domain cannot be canonical");
    if (pst_streq(c.app.name, PST_PLATFORM_APP) && (c.body.tlscert || c.body.tlskey))
        return pst_answer_invalid(ans, "tlscert",
                                  "the platform's own certificate is given in platform.cert_file "
                                  "and platform.key_file");
    rc = judge_upload(&c, c.domain.id, err);
    return rc == PST_OK ? write_and_answer(&c, patch_tx, 200, err) : rc;
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
