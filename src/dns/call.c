/* call.c - one request to a provider, and what its answer means. */
#include <string.h>

#include "dns_internal.h"

enum { WAIT_MAX_S = 3600, MESSAGE_MAX = 160 };

/* ---- requests ---- */

void pst_dns_request_deinit(struct pst_dns_request *r)
{
    pst_buf_wipe(&r->url);
    pst_buf_wipe(&r->body);
    for (size_t i = 0; i < SLOTS; i++)
        pst_buf_wipe(&r->slots[i]);
}

void pst_dns_header(struct pst_dns_request *r, const char *name, const char *value)
{
    pst_require(r->headers_n < PST_ARRAY_N(r->headers));
    r->headers[r->headers_n++] = (struct pst_http_header){name, value};
}

struct pst_buf *pst_dns_header_slot(struct pst_dns_request *r, const char *name)
{
    pst_require(r->slots_n < SLOTS);
    r->slot_header[r->slots_n] = r->headers_n;
    struct pst_buf *slot = &r->slots[r->slots_n++];
    pst_dns_header(r, name, NULL); /* the value is set when all is written */
    return slot;
}

void pst_dns_url(const struct pst_dns_provider *p, struct pst_dns_request *r, const char *path)
{
    pst_buf_str(&r->url, p->base);
    pst_buf_str(&r->url, path);
}

void pst_dns_answer_deinit(struct pst_dns_answer *a)
{
    pst_json_free(a->json);
    pst_http_response_free(a->response);
}

static int fill_slots(struct pst_dns_request *r, struct pst_err *err)
{
    for (size_t i = 0; i < r->slots_n; i++) {
        int rc = pst_buf_check(&r->slots[i], "a header", err);
        if (rc != PST_OK)
            return rc;
        r->headers[r->slot_header[i]].value = pst_buf_cstr(&r->slots[i]);
    }
    return PST_OK;
}

static bool looks_like_json(const char *s)
{
    s += strspn(s, " \t\r\n");
    return *s && strchr("{[\"0123456789-tfn", *s);
}

/* A body that is no JSON is no fault here: errors come as HTML, too. */
static int parse(struct pst_dns_answer *a, struct pst_err *err)
{
    struct pst_err ignored = {0};

    a->status = pst_http_status(a->response);
    a->body = pst_http_body(a->response, &a->body_len);
    if (!looks_like_json(a->body))
        return PST_OK;
    int rc = pst_json_parse(&a->json, a->body, a->body_len, &ignored);
    return rc == PST_ENOMEM ? pst_fail_nomem(err, "an answer") : PST_OK;
}

static int exchange(struct pst_dns_provider *p, struct pst_dns_request *r,
                    struct pst_dns_answer *ret, struct pst_err *err)
{
    /* A host that a tenant names goes through the gate, unless the operator named another. */
    bool gated = r->gated && !p->own_base;
    struct pst_http *http = gated ? p->env.gated : p->env.http;
    struct pst_dns_answer a = {0};

    int rc = fill_slots(r, err);
    if (rc == PST_OK)
        rc = pst_buf_check(&r->url, "a URL", err);
    if (rc == PST_OK)
        rc = pst_buf_check(&r->body, "a request", err);
    if (rc != PST_OK)
        return rc;
    struct pst_http_request req = {
        .method = r->method,
        .url = r->url.data,
        .headers = r->headers,
        .headers_n = r->headers_n,
        .body = r->body.data,
        .body_len = r->body.len,
    };
    rc = pst_http_do(http, &req, &a.response, err);
    if (rc == PST_REFUSED) {
        if (err)
            err->rc = PST_EREMOTE;
        return pst_dns_never(err, PST_EREMOTE);
    }
    if (rc == PST_OK)
        rc = parse(&a, err);
    if (rc != PST_OK) {
        pst_dns_answer_deinit(&a);
        return rc;
    }
    *ret = a;
    return PST_OK;
}

static int prepare(struct pst_dns_provider *p, struct pst_dns_request *r, bool fresh,
                   struct pst_err *err)
{
    if (r->no_auth || !p->ops->authorize)
        return PST_OK;
    return p->ops->authorize(p, r, fresh, err);
}

int pst_dns_send(struct pst_dns_provider *p, struct pst_dns_request *r, struct pst_dns_answer *ret,
                 struct pst_err *err)
{
    struct pst_dns_answer a = {0};

    pst_dns_header(r, "Accept", "application/json, application/xml;q=0.9, */*;q=0.1");
    if (r->body.len > 0)
        pst_dns_header(r, "Content-Type", r->content_type ? r->content_type : "application/json");
    size_t headers = r->headers_n, slots = r->slots_n;

    int rc = prepare(p, r, false, err);
    if (rc == PST_OK)
        rc = exchange(p, r, &a, err);
    if (rc == PST_OK && !r->no_auth && p->ops->stale && p->ops->stale(p, &a)) {
        pst_dns_answer_deinit(&a);
        a = (struct pst_dns_answer){0};
        for (size_t i = slots; i < r->slots_n; i++)
            pst_buf_cut(&r->slots[i], 0);
        r->headers_n = headers;
        r->slots_n = slots;
        rc = prepare(p, r, true, err);
        if (rc == PST_OK)
            rc = exchange(p, r, &a, err);
        if (rc == PST_OK)
            p->ops->stale(p, &a); /* once is enough, but the provider may learn from it */
    }
    if (rc == PST_OK)
        *ret = a;
    return rc < 0 ? rc : rc == PST_OK ? PST_OK : pst_unexpected(err, rc, "a request");
}

/* ---- answers ---- */

static void hide(char *text, const char *secret, size_t len)
{
    /* Shorter ones are in every other word. */
    if (len < 4)
        return;
    for (char *at = text; (at = strstr(at, secret)); at += 3) {
        size_t rest = strlen(at + len);
        memcpy(at, "***", 3);
        memmove(at + 3, at + len, rest + 1);
    }
}

void pst_dns_clean(const struct pst_dns_provider *p, const char *text, size_t len, char *to,
                   size_t to_size)
{
    auto_(pst_free) char *copy = pst_strndup(text, len);

    to[0] = '\0';
    if (!copy)
        return;
    for (char *c = copy; *c; c++) {
        if ((unsigned char)*c < ' ' || *c == 0x7f)
            *c = ' ';
    }
    for (size_t i = 0; i < p->ops->vars_n; i++) {
        if (p->vars[i].len > 0 && !p->ops->vars[i].plain)
            hide(copy, (const char *)p->vars[i].data, p->vars[i].len);
    }
    if (p->token.len > 0)
        hide(copy, (const char *)p->token.data, p->token.len);
    if (!pst_utf8_ok(copy, strlen(copy)))
        return;
    pst_str_cut(to, to_size, copy);
}

static void explain(struct pst_dns_provider *p, const struct pst_dns_answer *a,
                    struct pst_dns_reason *ret)
{
    *ret = (struct pst_dns_reason){0};
    if (p->ops->explain)
        p->ops->explain(p, a, ret);
}

const char *pst_dns_code(struct pst_dns_provider *p, const struct pst_dns_answer *a)
{
    struct pst_dns_reason reason;

    explain(p, a, &reason);
    return reason.code ? reason.code : "";
}

static bool transient_status(int status)
{
    return status == 408 || status == 425 || status == 429 || status >= 500;
}

/* When the provider said, if it did. */
static void advise(struct pst_dns_provider *p, const struct pst_dns_answer *a, int64_t wait_s,
                   struct pst_err *err)
{
    int64_t now = pst_dns_now(p);

    if (wait_s <= 0)
        wait_s = pst_http_retry_after(a->response, now, 0);
    if (wait_s <= 0) {
        pst_err_retry(err, PST_RETRY_BACKOFF, 0);
        return;
    }
    pst_err_retry(err, PST_RETRY_AT, now + (wait_s < WAIT_MAX_S ? wait_s : WAIT_MAX_S));
}

int pst_dns_fault(struct pst_dns_provider *p, const struct pst_dns_answer *a, const char *what,
                  struct pst_err *err)
{
    struct pst_dns_reason r;
    char code[64] = "", message[MESSAGE_MAX] = "";

    explain(p, a, &r);
    bool transient = r.class == PST_CLASS_TRANSIENT ||
                     (r.class == PST_CLASS_BY_STATUS && transient_status(a->status));
    if (r.code)
        pst_dns_clean(p, r.code, strlen(r.code), code, sizeof code);
    if (r.message)
        pst_dns_clean(p, r.message, strlen(r.message), message, sizeof message);
    pst_fail(err, PST_EREMOTE, "%s: the provider answers %d%s%s%s%s%s%s%s", what, a->status,
             code[0] ? " " : "", code, message[0] ? ": " : "", message, r.hint ? " (" : "",
             r.hint ? r.hint : "", r.hint ? ")" : "");
    pst_err_problem(err, code);
    if (transient) {
        advise(p, a, r.wait_s, err);
        return PST_EREMOTE;
    }
    for (unsigned i = 0; i < p->ops->vars_n; i++) {
        if (r.blame & 1u << i && pst_dns_has(p, i))
            pst_dns_blame_add(p, i);
    }
    return pst_dns_never(err, PST_EREMOTE);
}

struct wanted {
    const char *name;
    const struct pst_json *found;
};

static int match(const char *key, const struct pst_json *value, void *arg)
{
    struct wanted *w = arg;
    if (!pst_strcaseeq(key, w->name))
        return 0;
    w->found = value;
    return 1;
}

const struct pst_json *pst_dns_member(const struct pst_json *obj, const char *name)
{
    struct wanted w = {.name = name};
    pst_json_each(obj, match, &w);
    return w.found;
}

int pst_dns_senseless(const struct pst_dns_answer *a, const char *what, struct pst_err *err)
{
    return pst_fail(err, PST_EREMOTE, "%s: the provider's answer (%d) is not what it must be", what,
                    a->status);
}
