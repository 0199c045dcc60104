/*
 * exports.c - domains as lines that an import takes, page by page.
 *
 * A page is one short transaction and says by a Link field (RFC 8288) where the next one begins,
 * so that a million domains are never in memory and hold no snapshot.
 */
#include "api_internal.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <postern/bulk.h>

enum { PAGE_DEFAULT = 5000, PAGE_MAX = 10000, APPS_MAX = 100000 };

struct page {
    struct pst_answer *ans;
    struct pst_line_cursor after;
    size_t limit, n;
};

static int write_line(const struct pst_domain_line *l, void *arg)
{
    struct page *p = arg;
    struct pst_buf *to = &p->ans->body;

    pst_buf_str(to, "{\"app\":");
    pst_json_quote(to, l->app);
    pst_buf_str(to, ",\"name\":");
    pst_json_quote(to, l->name);
    pst_buf_printf(to, ",\"letsencrypt_enabled\":%s,\"canonical\":%s}\n",
                   l->acme_enabled ? "true" : "false", l->canonical ? "true" : "false");
    p->after = l->at;
    p->n++;
    return PST_OK;
}

/* ---- cursors: <app>.<created_at_ms>.<domain> ---- */

static bool is_id(const char *s)
{
    return strspn(s, "0123456789abcdef") == PST_ID_SIZE - 1 && s[PST_ID_SIZE - 1] == '\0';
}

static bool read_cursor(const char *text, struct pst_line_cursor *ret)
{
    char copy[2 * PST_ID_SIZE + 24], *parts[3], *rest = copy;

    if (!pst_str_copy(copy, sizeof copy, text))
        return false;
    for (size_t k = 0; k < PST_ARRAY_N(parts); k++) {
        parts[k] = rest;
        rest = rest ? strchr(rest, '.') : NULL;
        if (!parts[k] || (!rest) != (k == 2))
            return false;
        if (rest)
            *rest++ = '\0';
    }
    return is_id(parts[0]) && is_id(parts[2]) &&
           pst_parse_i64(parts[1], 0, INT64_MAX, &ret->created_at_ms) &&
           pst_str_copy(ret->app_id, sizeof ret->app_id, parts[0]) &&
           pst_str_copy(ret->id, sizeof ret->id, parts[2]);
}

static int read_query(const struct pst_req *req, struct page *p)
{
    const char *after = pst_target_query(&req->target, "after");
    const char *limit = pst_target_query(&req->target, "limit");
    int64_t n = PAGE_DEFAULT;

    if (after && *after && !read_cursor(after, &p->after))
        return pst_answer_error(p->ans, 400, "after must be what the Link field of a page gave");
    if (limit && !pst_parse_i64(limit, 1, PAGE_MAX, &n))
        return pst_answer_error(p->ans, 400, "limit must be a number from 1 to %d", PAGE_MAX);
    p->limit = (size_t)n;
    return PST_OK;
}

/* ---- the apps of a tenant ---- */

struct apps {
    char (*ids)[PST_ID_SIZE];
    size_t n, cap;
};

static void apps_deinit(struct apps *a)
{
    pst_free(a->ids);
}

static int keep_app(const struct pst_app *app, void *arg)
{
    struct apps *a = arg;

    if (a->n == a->cap) {
        size_t cap = a->cap ? 2 * a->cap : 64;
        void *more = cap <= APPS_MAX ? pst_realloc(a->ids, cap * sizeof *a->ids) : NULL;
        if (!more)
            return PST_ENOMEM;
        a->ids = more;
        a->cap = cap;
    }
    memcpy(a->ids[a->n++], app->id, PST_ID_SIZE);
    return PST_OK;
}

static int by_id(const void *a, const void *b)
{
    return strcmp(a, b);
}

/* In the order of the cursor, each app beginning where the page has got to. */
static int each_app(struct pst_req *req, struct pst_tx *tx, struct page *p, struct pst_err *err)
{
    __attribute__((cleanup(apps_deinit))) struct apps apps = {0};

    int rc = pst_app_each(tx, req->scope, keep_app, &apps, err);
    if (rc == PST_ENOMEM)
        return pst_fail_nomem(err, "the apps of an export");
    if (apps.n > 1)
        qsort(apps.ids, apps.n, sizeof *apps.ids, by_id);
    for (size_t k = 0; rc == PST_OK && k < apps.n && p->n < p->limit; k++) {
        int order = strcmp(apps.ids[k], p->after.app_id);
        if (order < 0)
            continue;
        if (order > 0)
            p->after = (struct pst_line_cursor){0};
        rc = pst_domain_each_line(tx, apps.ids[k], &p->after, p->limit - p->n, write_line, p, err);
    }
    return rc;
}

static int write_lines(struct pst_req *req, struct pst_tx *tx, struct page *p, struct pst_err *err)
{
    const char *name = pst_target_query(&req->target, "app");
    struct pst_app app;

    if (!name && req->token.app_id[0])
        name = req->token.app_id;
    if (!name)
        return req->scope ? each_app(req, tx, p, err)
                          : pst_domain_each_line(tx, "", &p->after, p->limit, write_line, p, err);
    int rc = pst_req_app_named(req, tx, name, &app, err);
    if (rc == PST_NOTFOUND)
        return pst_answer_absent(p->ans, "app");
    return rc == PST_OK ? pst_domain_each_line(tx, app.id, &p->after, p->limit, write_line, p, err)
                        : rc;
}

int pst_domains_export(struct pst_req *req, struct pst_tx *tx, struct pst_answer *ans,
                       struct pst_err *err)
{
    const char *app = pst_target_query(&req->target, "app");
    struct page p = {.ans = ans};
    char url[PST_HOST_SIZE + 16];

    int rc = read_query(req, &p);
    if (rc != PST_OK)
        return rc;
    ans->status = 200;
    ans->type = PST_NDJSON;
    rc = write_lines(req, tx, &p, err);
    if (rc == PST_OK)
        rc = pst_buf_check(&ans->body, "a page of domains", err);
    if (rc != PST_OK || p.n < p.limit)
        return rc;
    pst_req_base_url(req, url, sizeof url);
    snprintf(ans->link, sizeof ans->link,
             "<%s/v1/domains/export?after=%s.%" PRId64 ".%s&limit=%zu%s%s>; rel=\"next\"", url,
             p.after.app_id, p.after.created_at_ms, p.after.id, p.limit, app ? "&app=" : "",
             app ? app : "");
    return PST_OK;
}
