/*
 * v2_upload.c - /v2/certificates/new: a bundle of key and certificates, in every way that curl or a
 * form can send it, put on all domains of the caller that it covers and kept for those added later.
 */
#include "api_internal.h"

#include <stdio.h>
#include <string.h>

#include <postern/conf.h>
#include <postern/name.h>

#include "bundles.h"
#include "uploads.h"
#include "v2_answer.h"

#define BEGIN "-----BEGIN "

enum { NAMES_SHOWN = 20, TEXT_MAX = 8192 };

/* ---- finding the bundle in a body ---- */

static const char *skip_space(const char *s)
{
    return s + strspn(s, " \t\r\n");
}

static bool is_bundle(const char *s)
{
    return pst_str_starts(skip_space(s), BEGIN);
}

/* What is chosen among several fields: `pem`, else the only one that looks like it. */
struct choice {
    struct pst_buf *to;
    bool named;
    unsigned others_n;
};

static void consider(struct choice *c, const char *name, const char *value)
{
    bool named = pst_streq(name, "pem");

    if (c->named || (!named && !is_bundle(value)))
        return;
    c->named = named;
    c->others_n += !named;
    pst_buf_cut(c->to, 0);
    pst_buf_str(c->to, value);
}

static bool read_form(char *body, struct choice *c)
{
    char *rest = body;

    while (rest && *rest) {
        char *pair = rest, *value;
        rest = strchr(rest, '&');
        if (rest)
            *rest++ = '\0';
        value = strchr(pair, '=');
        if (!value)
            continue;
        *value++ = '\0';
        if (!pst_form_decode(pair) || !pst_form_decode(value))
            return false;
        consider(c, pair, value);
    }
    return true;
}

/* One part between two boundaries: its fields, an empty line, its value. */
static void read_part(char *part, struct choice *c)
{
    char *value = strstr(part, "\r\n\r\n");
    char name[64] = "";

    if (!value)
        return;
    *value = '\0';
    value += 4;
    char *given = strstr(part, " name=\"");
    if (given) {
        given += strlen(" name=\"");
        given[strcspn(given, "\"")] = '\0';
        pst_str_copy(name, sizeof name, given);
    }
    consider(c, name, value);
}

/* RFC 7578. */
static bool read_multipart(const struct pst_req *req, char *body, struct choice *c)
{
    const char *given = strstr(req->content_type, "boundary=");
    char boundary[100] = "\r\n--";

    if (!given)
        return false;
    given += strlen("boundary=");
    size_t len = *given == '"' ? strcspn(++given, "\"") : strcspn(given, "; \t");
    if (len == 0 || len > 70)
        return false;
    memcpy(boundary + 4, given, len);
    boundary[4 + len] = '\0';
    /* The first one has no line before it. */
    char *at = pst_str_starts(body, boundary + 2) ? body + 2 + len : NULL;
    while (at) {
        char *end = strstr(at, boundary);
        if (!end)
            return pst_str_starts(at, "--");
        *end = '\0';
        read_part(at, c);
        at = end + 4 + len;
    }
    return false;
}

static bool read_json(const char *body, struct choice *c)
{
    auto_(pst_json_free) struct pst_json *j = NULL;

    if (pst_json_parse(&j, body, strlen(body), NULL) != PST_OK)
        return false;
    const char *pem = pst_json_get_text(j, "pem");
    if (pem)
        consider(c, "pem", pem);
    return true;
}

/* What curl -d has joined gets its lines back: a marker stands on a line of its own. */
static void add_lines(struct pst_buf *to, const char *s)
{
    while (*s) {
        const char *mark = strstr(s, "-----");
        if (!mark) {
            pst_buf_str(to, s);
            return;
        }
        const char *end = strstr(mark + 5, "-----");
        size_t before = (size_t)(mark - s);
        pst_buf_add(to, s, before);
        if (before && s[before - 1] != '\n')
            pst_buf_char(to, '\n');
        size_t len = end ? (size_t)(end + 5 - mark) : strlen(mark);
        pst_buf_add(to, mark, len);
        s = mark + len;
        if (*s && *s != '\n' && *s != '\r')
            pst_buf_char(to, '\n');
    }
}

/* PST_OK: *ret is the bundle; PST_REFUSED. */
static int find_bundle(struct pst_req *req, struct pst_buf *ret, struct pst_answer *ans)
{
    auto_buf_wipe struct pst_buf copy = PST_BUF(req->api->set.body_max);
    auto_buf_wipe struct pst_buf found = PST_BUF(req->api->set.body_max);
    struct choice c = {.to = &found};
    bool ok = true;

    pst_buf_add(&copy, req->body.data, req->body.len);
    char *body = copy.data;
    if (copy.no_memory)
        return PST_ENOMEM;
    if (!body || memchr(body, '\0', copy.len))
        return pst_answer_invalid(ans, "pem", "the body is empty, or is not text");
    if (is_bundle(body))
        consider(&c, "pem", body);
    else if (pst_str_starts(req->content_type, "multipart/form-data"))
        ok = read_multipart(req, body, &c);
    else if (pst_str_starts(req->content_type, "application/json"))
        ok = read_json(body, &c);
    else
        ok = read_form(body, &c);
    if (!ok)
        return pst_answer_error(ans, 400, "the body is not of the form that its Content-Type says");
    if (c.others_n > 1 && !c.named)
        return pst_answer_invalid(ans, "pem", "more than one field holds a certificate or key");
    if (!is_bundle(pst_buf_cstr(&found)))
        return pst_answer_invalid(ans, "pem", "must be a PEM bundle: key, certificate, issuers");
    add_lines(ret, skip_space(pst_buf_cstr(&found)));
    return ret->no_memory || found.no_memory ? PST_ENOMEM : PST_OK;
}

/* ---- storing ---- */

struct spread {
    struct pst_req *req;
    struct pst_upload *upload;
    struct pst_bundle bundle; /* what is kept */
    struct pst_answer *ans;
    struct pst_buf ids; /* of the domains it covers, each with its NUL */
    int64_t n;
    struct pst_tx *tx;
    struct pst_err *err;
};

static bool covered(const struct pst_cert_info *info, const char *ascii)
{
    for (size_t i = 0; i < info->names_n; i++)
        if (pst_streq(info->names[i], ascii) || pst_name_covers(info->names[i], ascii))
            return true;
    return false;
}

static int note_domain(const struct pst_domain *d, void *arg)
{
    struct spread *s = arg;

    if (covered(&s->upload->result.chain.info, d->ascii))
        pst_buf_add(&s->ids, d->id, sizeof d->id);
    return PST_OK;
}

static int note_domains(const struct pst_app *a, void *arg)
{
    struct spread *s = arg;

    /* A domain that is just being added to it is seen now, or finds the bundle. */
    int rc = pst_app_lock(s->tx, a->id, s->err);
    if (rc != PST_OK)
        return rc == PST_NOTFOUND ? PST_OK : rc;
    return pst_domain_each(s->tx, a->id, note_domain, s, s->err);
}

static int put_on(struct spread *s, const char *id)
{
    struct pst_domain d;
    int rc = pst_domain_get(s->tx, id, &d, s->err);

    if (rc != PST_OK)
        return rc == PST_NOTFOUND ? PST_OK : rc;
    /* One record for all of them. */
    if (s->n == 0) {
        pst_upload_number(s->tx, s->upload, &d);
        rc = pst_upload_store(s->tx, s->upload, &d, s->err);
    }
    d.custom_cert = s->upload->certificate.num;
    s->n++;
    d.updated_at_ms = pst_wall_ms(s->req->api->opts.clock);
    if (rc == PST_OK)
        rc = pst_domain_update(s->tx, &d, s->err);
    if (rc == PST_OK)
        rc = pst_req_event(s->req, s->tx, "certificate.uploaded", d.app_id, d.id, s->err,
                           "certificate %s was uploaded for %s", s->upload->certificate.serial,
                           d.name);
    return rc;
}

static int spread_tx(struct pst_tx *tx, void *arg, struct pst_err *err)
{
    struct spread *s = arg;
    char bundle_id[PST_ID_SIZE];

    s->tx = tx;
    s->err = err;
    s->n = 0;
    pst_buf_cut(&s->ids, 0);
    pst_answer_reset(s->ans);
    int rc = pst_user_lock(tx, s->req->user.id, err);
    if (rc == PST_NOTFOUND)
        return pst_answer_absent(s->ans, "user");
    if (rc == PST_OK)
        rc = pst_bundle_keep(s->req, tx, &s->bundle, bundle_id, s->ans, err);
    if (rc == PST_OK)
        rc = pst_app_each(tx, s->req->user.id, note_domains, s, err);
    if (rc == PST_OK)
        rc = pst_buf_check(&s->ids, "the domains", err);
    for (size_t i = 0; rc == PST_OK && i < s->ids.len; i += PST_ID_SIZE)
        rc = put_on(s, s->ids.data + i);
    if (rc == PST_OK && s->n)
        rc = pst_bundle_used(tx, bundle_id, s->upload->certificate.num, err);
    return rc;
}

/* ---- the answer ---- */

/* The names of the certificate; of many the first. */
static void add_names(const struct spread *s, struct pst_buf *to)
{
    const struct pst_cert_info *info = &s->upload->result.chain.info;

    for (size_t i = 0; i < info->names_n && i < NAMES_SHOWN; i++)
        pst_buf_printf(to, "%s%s", i ? ", " : "", info->names[i]);
    if (info->names_n > NAMES_SHOWN)
        pst_buf_printf(to, " and %zu more", info->names_n - NAMES_SHOWN);
}

static int answer(struct spread *s, struct pst_err *err)
{
    auto_buf struct pst_buf text = PST_BUF(TEXT_MAX);

    if (s->n)
        pst_buf_printf(&text,
                       "The certificate has been installed for %lld of your names, and is kept for "
                       "names added later: ",
                       (long long)s->n);
    else
        pst_buf_str(&text, "You have none of its names yet: the certificate is kept, and will be "
                           "installed when one of them is added: ");
    add_names(s, &text);
    pst_buf_char(&text, '.');
    int rc = pst_buf_check(&text, "the answer", err);
    if (rc != PST_OK)
        return rc;
    if (!pst_v2_is_page(s->req))
        return pst_v2_message(s->ans, 201, 201, "success", pst_buf_cstr(&text));
    rc = pst_v2_page(s->ans, 201, pst_buf_cstr(&text));
    return rc == PST_OK ? rc : pst_fail_nomem(err, "the page");
}

int pst_v2_upload(struct pst_req *req, struct pst_tx *tx, struct pst_answer *ans,
                  struct pst_err *err)
{
    auto_buf_wipe struct pst_buf pem = PST_BUF(2 * req->api->set.body_max);
    auto_upload struct pst_upload u = {0};
    struct spread s = {.req = req, .upload = &u, .ans = ans, .ids = PST_BUF(PST_ID_SIZE * 100000)};
    struct pst_upload_for any = {.domain_id = ""};
    int64_t rev = 0;

    (void)tx;
    if (req->hold_rev)
        return pst_req_held(req, ans, err);
    int rc = find_bundle(req, &pem, ans);
    if (rc == PST_OK) {
        u.cert = pst_buf_cstr(&pem);
        rc = pst_upload_judge(req, &any, &u, err);
    }
    if (rc == PST_OK && !u.result.accepted)
        rc = pst_upload_refuse(&u, ans, err);
    if (rc == PST_OK)
        rc = pst_upload_prepare(req, &u, err);
    if (rc == PST_OK)
        rc = pst_bundle_prepare(req, &u, &s.bundle, err);
    if (rc == PST_OK)
        rc = pst_store_write(req->api->opts.store, spread_tx, &s, &rev, err);
    if (rc == PST_OK)
        rc = answer(&s, err);
    pst_buf_deinit(&s.ids);
    pst_bundle_deinit(&s.bundle);
    return rc == PST_OK && rev ? pst_req_hold(req, rev, ans, err) : rc;
}

int pst_v2_upload_form(struct pst_req *req, struct pst_tx *tx, struct pst_answer *ans,
                       struct pst_err *err)
{
    (void)req;
    (void)tx;
    pst_v2_page_begin(ans, 200);
    pst_buf_str(&ans->body, "<form method=post action=\"/v2/certificates/new\">\n"
                            "<p><label>Private key, certificate and its issuers, as PEM:<br>\n"
                            "<textarea name=\"pem\" rows=24 cols=70></textarea></label></p>\n"
                            "<p><button>Install</button></p>\n"
                            "<p>The browser asks for a password: it is one of your API tokens.</p>"
                            "</form>\n");
    return pst_buf_check(&ans->body, "the page", err);
}
