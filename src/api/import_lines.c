/*
 * import_lines.c - the lines of an import.
 *
 * A request brings lines from a given number on.  They are judged and applied in groups: what needs
 * no database first (JSON, the name, the certificate in a reading process that is kept for the
 * request), then one transaction a group, which also writes how far the import is.  So a line
 * counts once however often it is sent, and a sender who lost the answer asks where to go on.
 */
#include "api_internal.h"

#include <stdio.h>
#include <string.h>

#include <postern/conf.h>

#include "domain_add.h"
#include "imports.h"
#include "uploads.h"

enum {
    AT_ONCE = 2,           /* requests that bring lines; the other workers stay free */
    GROUP_MAX = 500,       /* lines of one transaction */
    BUDGET_MS = 10 * 1000, /* then the answer says how far it is */
    REFUSALS_MAX = 100000, /* of one import: more, and the file is not what it should be */
    ADDERS_MIN = 16,
};

struct line_body {
    const char *app, *name, *tlscert, *tlskey;
    bool letsencrypt_enabled, canonical, skip_proof;
};

#define MAYBE (PST_JSON_OPTIONAL | PST_JSON_NULLABLE)

static const struct pst_json_field fields[] = {
    PST_JSON_FIELD(struct line_body, app, "app", TEXT, MAYBE, 0),
    PST_JSON_FIELD(struct line_body, name, "name", TEXT, 0, 0),
    PST_JSON_FIELD(struct line_body, tlscert, "tlscert", TEXT, MAYBE, 0),
    PST_JSON_FIELD(struct line_body, tlskey, "tlskey", TEXT, MAYBE, 0),
    PST_JSON_FIELD(struct line_body, letsencrypt_enabled, "letsencrypt_enabled", BOOL, MAYBE, 0),
    PST_JSON_FIELD(struct line_body, canonical, "canonical", BOOL, MAYBE, 0),
    PST_JSON_FIELD(struct line_body, skip_proof, "skip_proof", BOOL, MAYBE, 0),
};

struct line {
    int64_t number;
    struct pst_json *json; /* NULL: blank, or refused before */
    struct line_body body;
    struct pst_domain domain;
    struct pst_upload upload;
    bool uploads;                      /* upload holds an accepted certificate */
    bool refused;                      /* without a look into the database */
    struct pst_import_refusal refusal; /* why */
};

/* An app by a word that lines of the group use for it. */
struct target {
    const char *app; /* as the line has it, NULL: the import's own */
    bool there;
    size_t counts; /* which target's adder is used: one for each app, whatever it is called */
    struct pst_adder adder;
};

struct group {
    struct pst_req *req;
    struct pst_answer *ans;
    struct pst_answer refusal; /* of one line, in the form of an answer */
    struct pst_import import;
    struct pst_cert_reader *reader;
    int64_t until_ms; /* monotonic */
    const char *at, *end;
    size_t effects_before;
    struct line *lines;
    size_t n;
    struct target *targets;
    size_t targets_n, targets_cap;
};

static void clear_lines(struct group *g)
{
    for (size_t k = 0; k < g->n; k++) {
        pst_upload_deinit(&g->lines[k].upload);
        pst_json_free(g->lines[k].json);
    }
    g->n = 0;
}

static void group_deinit(struct group *g)
{
    if (g->lines)
        clear_lines(g);
    pst_free(g->lines);
    pst_free(g->targets);
    pst_cert_reader_close(g->reader);
    pst_answer_deinit(&g->refusal);
}

/* ---- refusing a line ---- */

/* Bytes that are not UTF-8 may stand in what a sender wrote. */
static void copy_text(char *to, size_t size, const char *from)
{
    pst_str_cut(to, size, from ? from : "");
    if (!pst_utf8_ok(to, strlen(to)))
        to[0] = '\0';
}

__attribute__((format(printf, 4, 5))) static int
refuse(struct line *l, struct pst_import_refusal *to, const char *field, const char *fmt, ...)
{
    char text[sizeof to->error];
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    to->line = l->number;
    copy_text(to->name, sizeof to->name, l->body.name);
    copy_text(to->field, sizeof to->field, field);
    copy_text(to->error, sizeof to->error, text);
    return PST_REFUSED;
}

struct flat {
    char field[40];
    struct pst_buf text;
};

static int flatten(const char *field, const struct pst_json *texts, void *arg)
{
    struct flat *f = arg;

    if (!f->field[0])
        pst_str_cut(f->field, sizeof f->field, field);
    for (size_t i = 0; i < pst_json_len(texts); i++)
        pst_buf_printf(&f->text, "%s%s", f->text.len ? " " : "",
                       pst_json_text(pst_json_at(texts, i)));
    return 0;
}

/* The shared rules refuse with the body of a 422: what stands in it, as a refused line. */
static int refuse_as_answered(struct group *g, struct line *l, struct pst_import_refusal *to)
{
    auto_(pst_json_free) struct pst_json *j = NULL;
    struct flat f = {.text = PST_BUF(4096)};

    if (pst_json_parse(&j, pst_buf_cstr(&g->refusal.body), g->refusal.body.len, NULL) == PST_OK)
        pst_json_each(pst_json_get(j, "errors"), flatten, &f);
    refuse(l, to, f.field, "%s", f.text.len ? pst_buf_cstr(&f.text) : "was refused");
    pst_buf_deinit(&f.text);
    pst_answer_reset(&g->refusal);
    return PST_REFUSED;
}

/* ---- before the transaction ---- */

static bool is_upload(const struct line_body *b)
{
    return (b->tlscert && *b->tlscert) || (b->tlskey && *b->tlskey);
}

static int judge_upload(struct group *g, struct line *l, struct pst_err *err)
{
    struct pst_upload_for to = {.domain_id = "", .ascii = l->domain.ascii, .reader = g->reader};
    struct pst_upload *u = &l->upload;

    if (!is_upload(&l->body))
        return PST_OK;
    u->cert = l->body.tlscert;
    u->key = l->body.tlskey;
    int rc = pst_upload_judge(g->req, &to, u, err);
    if (rc == PST_OK && !u->result.accepted) {
        pst_answer_reset(&g->refusal);
        rc = pst_upload_refuse(u, &g->refusal, err);
        return rc == PST_REFUSED ? refuse_as_answered(g, l, &l->refusal) : rc;
    }
    if (rc == PST_OK)
        rc = pst_upload_prepare(g->req, u, err);
    l->uploads = rc == PST_OK;
    return rc;
}

static int judge_line(struct group *g, struct line *l, const char *text, size_t len,
                      struct pst_err *err)
{
    struct pst_err why = {0};
    size_t max = pst_import_line_max(g->req);

    if (len > max)
        return refuse(l, &l->refusal, "", "the line is longer than %zu bytes", max);
    int rc = pst_json_parse(&l->json, text, len, &why);
    if (rc == PST_EINPUT)
        return refuse(l, &l->refusal, "", "this is not JSON: %s", why.text);
    if (rc == PST_OK && pst_json_type(l->json) != PST_JSON_OBJECT)
        return refuse(l, &l->refusal, "", "this is not an object");
    l->body.letsencrypt_enabled = true;
    if (rc == PST_OK)
        rc = pst_json_decode(l->json, fields, PST_ARRAY_N(fields), &l->body, PST_JSON_REFUSE, &why);
    if (rc == PST_EINPUT)
        return refuse(l, &l->refusal, why.problem, "%s", why.text);
    if (rc != PST_OK)
        return pst_fail_nomem(err, "a line");
    if (!l->body.app && !g->import.app_id[0])
        return refuse(l, &l->refusal, "app", "is missing: give the app that the domain is for");
    if (l->body.skip_proof && g->req->user.role != PST_ROLE_OPERATOR)
        return refuse(l, &l->refusal, "skip_proof", "only an operator may skip the proof");
    l->domain.canonical = l->body.canonical;
    l->domain.acme_enabled = l->body.letsencrypt_enabled;
    pst_answer_reset(&g->refusal);
    rc = pst_domain_name(g->req, l->body.name, &l->domain, &g->refusal);
    if (rc == PST_REFUSED)
        return refuse_as_answered(g, l, &l->refusal);
    return rc == PST_OK ? judge_upload(g, l, err) : rc;
}

static bool is_blank(const char *text, size_t len)
{
    for (size_t k = 0; k < len; k++)
        if (text[k] != ' ' && text[k] != '\t' && text[k] != '\r')
            return false;
    return true;
}

/* Take the next line off the body. */
static const char *next_line(struct group *g, size_t *ret_len)
{
    const char *text = g->at;
    const char *stop = memchr(text, '\n', (size_t)(g->end - text));

    *ret_len = (size_t)((stop ? stop : g->end) - text);
    g->at = stop ? stop + 1 : g->end;
    return text;
}

/* Time to say how far it is. */
static bool is_over(const struct group *g)
{
    const struct pst_api *api = g->req->api;

    return pst_mono_ms(api->opts.clock) >= g->until_ms || pst_pool_stopping(g->req->api);
}

/* Fill the group.  The first line is always taken, so that every request gets on. */
static int take_lines(struct group *g, struct pst_err *err)
{
    int rc = PST_OK;

    clear_lines(g);
    while (g->at < g->end && g->n < GROUP_MAX && (g->n == 0 || !is_over(g))) {
        struct line *l = &g->lines[g->n];
        size_t len;
        const char *text = next_line(g, &len);

        *l = (struct line){.number = g->import.lines + 1 + (int64_t)g->n};
        g->n++;
        rc = is_blank(text, len) ? PST_OK : judge_line(g, l, text, len, err);
        l->refused = rc == PST_REFUSED;
        if (rc < 0)
            return rc;
    }
    return PST_OK;
}

/* ---- in the transaction ---- */

static struct target *new_target(struct group *g, struct pst_err *err)
{
    if (g->targets_n == g->targets_cap) {
        size_t cap = g->targets_cap ? 2 * g->targets_cap : ADDERS_MIN;
        struct target *more = pst_realloc(g->targets, cap * sizeof *more);
        if (!more) {
            pst_fail_nomem(err, "the apps of an import");
            return NULL;
        }
        g->targets = more;
        g->targets_cap = cap;
    }
    struct target *t = &g->targets[g->targets_n++];
    *t = (struct target){.adder = {.req = g->req, .ans = &g->refusal}};
    return t;
}

static int open_target(struct group *g, struct pst_tx *tx, struct target *t, struct pst_err *err)
{
    struct pst_app app;
    int64_t would_n = 0;

    int rc = pst_req_app_named(g->req, tx, t->app ? t->app : g->import.app_id, &app, err);
    if (rc != PST_OK)
        return rc == PST_NOTFOUND ? PST_OK : rc;
    t->there = true;
    t->counts = (size_t)(t - g->targets);
    for (size_t k = 0; k < g->targets_n - 1; k++)
        if (pst_streq(g->targets[k].adder.app.id, app.id)) {
            t->counts = g->targets[k].counts;
            return PST_OK;
        }
    rc = pst_adder_open(&t->adder, tx, &app, err);
    if (rc != PST_OK || !g->import.dry_run)
        return rc;
    t->adder.check_only = true;
    rc = pst_import_name_count(tx, g->import.id, app.id, &would_n, err);
    t->adder.n += would_n;
    return rc;
}

static bool same_word(const char *a, const char *b)
{
    return a && b ? pst_streq(a, b) : a == b;
}

/* The app that a line names.  PST_OK, PST_REFUSED, negative. */
static int find_target(struct group *g, struct pst_tx *tx, struct line *l, struct pst_adder **ret,
                       struct pst_import_refusal *why, struct pst_err *err)
{
    struct target *t = NULL;
    int rc = PST_OK;

    for (size_t k = g->targets_n; k > 0 && !t; k--)
        if (same_word(g->targets[k - 1].app, l->body.app))
            t = &g->targets[k - 1];
    if (!t) {
        t = new_target(g, err);
        if (!t)
            return PST_ENOMEM;
        t->app = l->body.app;
        rc = open_target(g, tx, t, err);
    }
    if (rc != PST_OK)
        return rc;
    if (!t->there)
        return refuse(l, why, "app", "there is no such app");
    *ret = &g->targets[t->counts].adder;
    if (g->import.app_id[0] && !pst_streq(g->import.app_id, (*ret)->app.id))
        return refuse(l, why, "app", "is not the one that this import is for");
    return PST_OK;
}

/* A domain as it is there, or would be after what a dry run has seen. */
struct held {
    bool acme_enabled, canonical;
    char sha256[65];
};

/* The line's domain on this app.  PST_OK, PST_NOTFOUND. */
static int find_held(struct group *g, struct pst_tx *tx, const struct line *l,
                     const struct pst_adder *a, struct held *ret, struct pst_err *err)
{
    struct pst_certificate c = {0};
    struct pst_import_name name;
    struct pst_domain d;

    int rc = pst_domain_by_ascii(tx, l->domain.ascii, &d, err);
    if (rc == PST_OK) {
        if (!pst_streq(d.app_id, a->app.id))
            return PST_NOTFOUND;
        *ret = (struct held){d.acme_enabled, d.canonical, ""};
        rc = d.custom_cert && l->uploads ? pst_certificate_get(tx, d.custom_cert, &c, err) : PST_OK;
        memcpy(ret->sha256, c.sha256, sizeof ret->sha256);
        return rc;
    }
    if (rc != PST_NOTFOUND || !g->import.dry_run)
        return rc;
    rc = pst_import_name_get(tx, g->import.id, l->domain.ascii, &name, err);
    if (rc == PST_OK) {
        *ret = (struct held){name.acme_enabled, name.canonical, ""};
        memcpy(ret->sha256, name.sha256, sizeof ret->sha256);
        if (!pst_streq(name.app_id, a->app.id))
            rc = PST_CONFLICT;
    }
    return rc;
}

/* What is not said in the line is as it is.  PST_OK: nothing to do. */
static int compare(struct line *l, const struct held *h, struct pst_import_refusal *why)
{
    bool said;

    if (pst_json_get_bool(l->json, "letsencrypt_enabled", &said) && said != h->acme_enabled)
        return refuse(l, why, "letsencrypt_enabled",
                      "the domain is there with %s, and an import only adds: change it by itself",
                      h->acme_enabled ? "true" : "false");
    if (pst_json_get_bool(l->json, "canonical", &said) && said != h->canonical)
        return refuse(l, why, "canonical",
                      "the domain is there with %s, and an import only adds: change it by itself",
                      h->canonical ? "true" : "false");
    if (l->uploads && !pst_streq(l->upload.certificate.sha256, h->sha256))
        return refuse(l, why, "tlscert",
                      "the domain is there with %s, and an import only adds: upload it by itself",
                      h->sha256[0] ? "another certificate" : "no certificate of its own");
    return PST_OK;
}

/* An import changes nothing that is there, so it does not take this from another domain. */
static int check_canonical(struct group *g, struct pst_tx *tx, struct line *l,
                           const struct pst_adder *a, struct pst_import_refusal *why,
                           struct pst_err *err)
{
    struct pst_domain other;
    char name[PST_NAME_SIZE];

    if (!l->body.canonical)
        return PST_OK;
    int rc = pst_domain_canonical(tx, a->app.id, "", &other, err);
    if (rc == PST_OK)
        return refuse(l, why, "canonical", "%s is the canonical domain of this app", other.name);
    if (rc == PST_NOTFOUND && g->import.dry_run)
        rc = pst_import_name_canonical(tx, g->import.id, a->app.id, name, err);
    if (rc == PST_OK)
        return refuse(l, why, "canonical", "%s would be the canonical domain of this app", name);
    return rc == PST_NOTFOUND ? PST_OK : rc;
}

/* What the dry run has to know of it later. */
static int remember(struct group *g, struct pst_tx *tx, const struct line *l,
                    const struct pst_adder *a, struct pst_err *err)
{
    struct pst_import_name name = {.acme_enabled = l->body.letsencrypt_enabled,
                                   .canonical = l->body.canonical};

    pst_str_copy(name.ascii, sizeof name.ascii, l->domain.ascii);
    pst_str_copy(name.app_id, sizeof name.app_id, a->app.id);
    if (l->uploads)
        pst_str_copy(name.sha256, sizeof name.sha256, l->upload.certificate.sha256);
    return pst_import_name_insert(tx, g->import.id, &name, err);
}

/* PST_OK: it was added, or would be.  PST_DONE: it is there.  PST_REFUSED, negative. */
static int apply_line(struct group *g, struct pst_tx *tx, struct line *l,
                      struct pst_import_refusal *why, struct pst_err *err)
{
    struct pst_domain d = l->domain;
    struct pst_adder *a = NULL;
    struct held h;

    int rc = find_target(g, tx, l, &a, why, err);
    if (rc != PST_OK)
        return rc;
    rc = find_held(g, tx, l, a, &h, err);
    if (rc == PST_OK) {
        rc = compare(l, &h, why);
        return rc == PST_OK ? PST_DONE : rc;
    }
    if (rc == PST_CONFLICT)
        return refuse(l, why, "name", "stands in this file for another app already");
    if (rc == PST_NOTFOUND)
        rc = check_canonical(g, tx, l, a, why, err);
    if (rc != PST_OK)
        return rc;
    pst_answer_reset(&g->refusal);
    a->skip_proof = l->body.skip_proof;
    rc = pst_adder_add(a, tx, &d, l->uploads ? &l->upload : NULL, err);
    if (rc == PST_REFUSED)
        return refuse_as_answered(g, l, why);
    return rc == PST_OK && g->import.dry_run ? remember(g, tx, l, a, err) : rc;
}

static int count_line(struct group *g, struct pst_tx *tx, struct line *l, struct pst_import *i,
                      struct pst_err *err)
{
    struct pst_import_refusal why = l->refusal;
    int rc = PST_REFUSED;

    if (!l->refused) {
        if (!l->json)
            return PST_OK;
        rc = apply_line(g, tx, l, &why, err);
    }
    if (rc < 0)
        return rc;
    i->added += rc == PST_OK;
    i->unchanged += rc == PST_DONE;
    i->refused += rc == PST_REFUSED;
    if (rc == PST_REFUSED)
        return pst_import_refuse(tx, i->id, &why, err);
    return rc == PST_OK || rc == PST_DONE ? PST_OK : pst_unexpected(err, rc, "a line");
}

/* Where the import stands may have changed since the group was filled. */
static int check_place(struct group *g, const struct pst_import *i)
{
    if (i->state != PST_IMPORT_OPEN)
        return pst_answer_error(g->ans, 409, "the import is %s%s%s",
                                pst_import_state_name(i->state), i->reason[0] ? ": " : "",
                                i->reason);
    if (i->lines != g->import.lines)
        return pst_answer_error(g->ans, 409,
                                "another request brings lines of this import; the next line is "
                                "%lld",
                                (long long)i->lines + 1);
    return PST_OK;
}

static int apply_tx(struct pst_tx *tx, void *arg, struct pst_err *err)
{
    struct group *g = arg;
    struct pst_import i;

    g->req->effects_n = g->effects_before;
    g->targets_n = 0;
    pst_answer_reset(g->ans);
    int rc = pst_import_find(g->req, tx, &i, g->ans, err);
    if (rc == PST_OK)
        rc = check_place(g, &i);
    for (size_t k = 0; rc == PST_OK && k < g->n; k++)
        rc = count_line(g, tx, &g->lines[k], &i, err);
    if (rc != PST_OK)
        return rc;
    i.lines += (int64_t)g->n;
    pst_import_tick(&i, pst_wall_ms(g->req->api->opts.clock));
    if (i.refused > REFUSALS_MAX) {
        i.state = PST_IMPORT_STOPPED;
        i.ended_at_ms = i.updated_at_ms;
        snprintf(i.reason, sizeof i.reason, "more than %d lines were refused", REFUSALS_MAX);
    }
    rc = pst_import_save(tx, &i, err);
    if (rc == PST_OK)
        g->import = i;
    return rc;
}

/* ---- the request ---- */

static int find_tx(struct pst_tx *tx, void *arg, struct pst_err *err)
{
    struct group *g = arg;

    int rc = pst_import_find(g->req, tx, &g->import, g->ans, err);
    return rc == PST_OK ? check_place(g, &g->import) : rc;
}

static int answer_tx(struct pst_tx *tx, void *arg, struct pst_err *err)
{
    struct group *g = arg;

    return pst_import_answer(g->req, tx, &g->import, 200, g->ans, err);
}

/* Skip what is acknowledged already. */
static int find_place(struct group *g)
{
    const char *text = pst_target_query(&g->req->target, "from");
    int64_t from = 0;
    size_t len;

    if (!text || !pst_parse_i64(text, 1, INT64_MAX, &from))
        return pst_answer_error(g->ans, 400,
                                "from is missing: give the number of the first line sent");
    if (from > g->import.lines + 1)
        return pst_answer_error(g->ans, 409, "the next line is %lld",
                                (long long)g->import.lines + 1);
    for (; from <= g->import.lines && g->at < g->end; from++)
        next_line(g, &len);
    return PST_OK;
}

static int apply(struct group *g, struct pst_err *err)
{
    struct pst_store *store = g->req->api->opts.store;

    int rc = pst_store_read(store, find_tx, g, err);
    if (rc == PST_OK)
        rc = find_place(g);
    if (rc != PST_OK)
        return rc;
    g->lines = pst_zalloc(GROUP_MAX, sizeof *g->lines);
    if (!g->lines)
        return pst_fail_nomem(err, "lines of an import");
    rc = pst_cert_reader_open(&g->reader, err);
    for (bool first = true; rc == PST_OK && g->at < g->end && g->import.state == PST_IMPORT_OPEN &&
                            (first || !is_over(g));
         first = false) {
        rc = take_lines(g, err);
        g->effects_before = g->req->effects_n;
        if (rc == PST_OK)
            rc = pst_store_write(store, apply_tx, g, NULL, err);
        /* What was applied is told and followed up; what stood in the way of the rest comes up
         * again with the next request. */
        if (rc != PST_OK && !first) {
            g->req->effects_n = g->effects_before;
            rc = PST_OK;
            break;
        }
    }
    return rc == PST_OK ? pst_store_read(store, answer_tx, g, err) : rc;
}

int pst_imports_lines(struct pst_req *req, struct pst_tx *tx, struct pst_answer *ans,
                      struct pst_err *err)
{
    __attribute__((cleanup(group_deinit))) struct group g = {
        .req = req,
        .ans = ans,
        .at = req->body.data,
        .end = req->body.data + req->body.len,
        .until_ms = pst_mono_ms(req->api->opts.clock) + BUDGET_MS,
    };

    (void)tx;
    pst_answer_init(&g.refusal);
    if (atomic_fetch_add(&req->api->imports_n, 1) >= AT_ONCE) {
        atomic_fetch_sub(&req->api->imports_n, 1);
        pst_answer_error(ans, 503, "other imports are under way; try again");
        ans->retry_after_s = 1;
        return PST_REFUSED;
    }
    int rc = apply(&g, err);
    atomic_fetch_sub(&req->api->imports_n, 1);
    return rc;
}
