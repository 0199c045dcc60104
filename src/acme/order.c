/* order.c - orders and finalizing (RFC 8555 section 7.4). */
#include <postern/clock.h>
#include <postern/err.h>
#include <postern/text.h>
#include <string.h>

#include "acme_internal.h"

enum { NAME_MAX_LEN = 255 };

static const char *const words[PST_ACME_ORDER_STATUS__COUNT] = {
    [PST_ACME_ORDER_PENDING] = "pending",       [PST_ACME_ORDER_READY] = "ready",
    [PST_ACME_ORDER_PROCESSING] = "processing", [PST_ACME_ORDER_VALID] = "valid",
    [PST_ACME_ORDER_INVALID] = "invalid",
};

const char *pst_acme_order_status_name(enum pst_acme_order_status s)
{
    return s < PST_ACME_ORDER_STATUS__COUNT ? words[s] : "invalid";
}

void pst_acme_order_free(struct pst_acme_order *o)
{
    if (!o)
        return;
    pst_free(o->url);
    pst_free(o->finalize);
    pst_free(o->certificate);
    pst_free(o->error);
    pst_acme_free_list(o->authz, o->authz_n);
    pst_acme_free_list(o->names, o->names_n);
    pst_free(o);
}

/* ---- reading an order ---- */

static int take_url(const struct pst_acme_ca *ca, const struct pst_json *j, const char *what,
                    char **ret, struct pst_err *err)
{
    const char *url = pst_json_text(j);

    int rc = pst_acme_url_check(ca, url, what, err);
    if (rc)
        return rc;
    *ret = pst_strdup(url);
    return *ret ? PST_OK : pst_fail_nomem(err, "an order");
}

static int take_authz(const struct pst_acme_ca *ca, const struct pst_json *list,
                      struct pst_acme_order *o, struct pst_err *err)
{
    size_t n = pst_json_len(list);

    if (pst_json_type(list) != PST_JSON_ARRAY || n == 0 || n > PST_ACME_NAMES_MAX)
        return pst_fail(err, PST_EINPUT, "authorizations: not a list of 1 to %d URLs",
                        PST_ACME_NAMES_MAX);
    o->authz = pst_zalloc(n, sizeof *o->authz);
    if (!o->authz)
        return pst_fail_nomem(err, "an order");
    for (size_t i = 0; i < n; i++) {
        int rc = take_url(ca, pst_json_at(list, i), "authorizations", &o->authz[i], err);
        if (rc)
            return rc;
        o->authz_n++;
    }
    return PST_OK;
}

static int take_names(const struct pst_json *list, struct pst_acme_order *o, struct pst_err *err)
{
    size_t n = pst_json_len(list);

    if (pst_json_type(list) != PST_JSON_ARRAY || n == 0 || n > PST_ACME_NAMES_MAX)
        return pst_fail(err, PST_EINPUT, "identifiers: not a list of 1 to %d", PST_ACME_NAMES_MAX);
    o->names = pst_zalloc(n, sizeof *o->names);
    if (!o->names)
        return pst_fail_nomem(err, "an order");
    for (size_t i = 0; i < n; i++) {
        const char *name = pst_json_get_text(pst_json_at(list, i), "value");
        if (!name || !name[0] || strlen(name) > NAME_MAX_LEN)
            return pst_fail(err, PST_EINPUT, "identifiers: one has no usable value");
        o->names[i] = pst_strdup(name);
        if (!o->names[i])
            return pst_fail_nomem(err, "an order");
        o->names_n++;
    }
    return PST_OK;
}

int pst_acme_order_parse(const struct pst_acme_ca *ca, const struct pst_json *j,
                         struct pst_acme_order **ret, struct pst_err *err)
{
    auto_(pst_acme_order_free) struct pst_acme_order *o = pst_zalloc(1, sizeof *o);
    const char *status = pst_json_get_text(j, "status");

    if (!o)
        return pst_fail_nomem(err, "an order");
    if (!status)
        return pst_fail(err, PST_EINPUT, "status: missing");
    o->status = pst_acme_word(words, PST_ARRAY_N(words), status, PST_ACME_ORDER_INVALID);
    o->expires_at = pst_acme_time_member(j, "expires");
    if (!pst_acme_problem_member(j, &o->error))
        return pst_fail_nomem(err, "an order");

    int rc = take_names(pst_json_get(j, "identifiers"), o, err);
    if (!rc)
        rc = take_authz(ca, pst_json_get(j, "authorizations"), o, err);
    if (!rc)
        rc = take_url(ca, pst_json_get(j, "finalize"), "finalize", &o->finalize, err);
    if (!rc && o->status == PST_ACME_ORDER_VALID)
        rc = take_url(ca, pst_json_get(j, "certificate"), "certificate", &o->certificate, err);
    if (!rc)
        *ret = pst_take(&o);
    return rc;
}

/* The order in an answer; `url` is where it lives. */
static int read_order(const struct pst_acme_ca *ca, const struct pst_http_response *r,
                      const char *url, struct pst_acme_order **ret, struct pst_err *err)
{
    auto_(pst_json_free) struct pst_json *j = NULL;
    auto_(pst_acme_order_free) struct pst_acme_order *o = NULL;

    int rc = pst_acme_body(r, &j, err);
    if (!rc)
        rc = pst_acme_order_parse(ca, j, &o, err);
    if (rc)
        return rc;
    o->url = pst_strdup(url);
    if (!o->url)
        return pst_fail_nomem(err, "an order");
    o->retry_after_ms = pst_acme_retry_after_ms(ca, r);
    *ret = pst_take(&o);
    return PST_OK;
}

/* ---- a new order ---- */

static int refuse(struct pst_err *err, const char *field, const char *text, const char *value)
{
    pst_fail(err, PST_REFUSED, "%s \"%.100s\": %s", field, value, text);
    pst_err_problem(err, field);
    return PST_REFUSED;
}

/* What any CA refuses anyway is not sent; whether a name is a good one is for others to judge. */
static int check_names(const struct pst_acme_order_request *req, struct pst_err *err)
{
    static const char allowed[] = "abcdefghijklmnopqrstuvwxyz0123456789-._";

    if (req->names_n == 0 || req->names_n > PST_ACME_NAMES_MAX)
        return refuse(err, "names", "there must be 1 to 100", "");
    for (size_t i = 0; i < req->names_n; i++) {
        const char *name = req->names[i];
        const char *base = pst_str_starts(name, "*.") ? name + 2 : name;
        size_t len = strlen(base);
        if (len == 0 || len > 253 || strspn(base, allowed) != len || base[0] == '.' ||
            base[len - 1] == '.' || !strchr(base, '.') || strstr(base, ".."))
            return refuse(err, "names", "not a lower-case DNS name with a dot in it", name);
        for (size_t k = 0; k < i; k++)
            if (pst_streq(name, req->names[k]))
                return refuse(err, "names", "it is there twice", name);
    }
    return PST_OK;
}

static bool build_names(const struct pst_acme_order_request *req, struct pst_json *j)
{
    struct pst_json *list = pst_json_array();

    for (size_t i = 0; i < req->names_n; i++) {
        struct pst_json *id = pst_json_object();
        if (!pst_json_set_text(id, "type", "dns") ||
            !pst_json_set_text(id, "value", req->names[i])) {
            pst_json_free(id);
            pst_json_free(list);
            return false;
        }
        if (!pst_json_push(list, id)) { /* frees id */
            pst_json_free(list);
            return false;
        }
    }
    return pst_json_set(j, "identifiers", list);
}

static int build(const struct pst_acme_order_request *req, const struct pst_acme_directory *d,
                 struct pst_buf *to, struct pst_err *err)
{
    auto_(pst_json_free) struct pst_json *j = pst_json_object();

    if (req->profile && !pst_acme_directory_has_profile(d, req->profile))
        return refuse(err, "profile", "the CA does not offer it", req->profile);
    if (!j || !build_names(req, j) ||
        (req->profile && !pst_json_set_text(j, "profile", req->profile)) ||
        (req->replaces && d->renewal_info && !pst_json_set_text(j, "replaces", req->replaces)))
        return pst_fail_nomem(err, "an order");
    return pst_json_write(j, to, err);
}

/* The CA may have another order of names, but not other names. */
static int compare_names(const struct pst_acme_order_request *req, const struct pst_acme_order *o,
                         struct pst_err *err)
{
    size_t found = 0;

    for (size_t i = 0; i < req->names_n; i++)
        for (size_t k = 0; k < o->names_n; k++)
            if (pst_streq(req->names[i], o->names[k])) {
                found++;
                break;
            }
    if (found != req->names_n || o->names_n != req->names_n)
        return pst_fail(err, PST_EINPUT, "identifiers: not the names that were ordered");
    return PST_OK;
}

static int order_new(struct pst_acme_call *call, const struct pst_acme_order_request *req,
                     struct pst_acme_order **ret, struct pst_err *err)
{
    auto_(pst_acme_dir_unref) struct pst_acme_dir *dir = NULL;
    auto_buf struct pst_buf payload = PST_BUF(PST_ACME_BODY_MAX);
    auto_(pst_http_response_free) struct pst_http_response *r = NULL;
    auto_(pst_acme_order_free) struct pst_acme_order *o = NULL;

    int rc = check_names(req, err);
    if (!rc)
        rc = pst_acme_dir_get(call, false, &dir, err);
    if (!rc)
        rc = build(req, &dir->public, &payload, err);
    if (rc)
        return rc;

    struct pst_acme_ask ask = {.group = PST_ACME_NEW_ORDER,
                               .url = dir->url[PST_ACME_NEW_ORDER],
                               .payload = payload.data,
                               .accept = "application/json"};
    rc = pst_acme_post(call, &ask, &r, err);
    if (rc)
        return rc;
    const char *url = pst_http_header(r, "Location", 0);
    rc = pst_acme_url_check(call->ca, url, "the order's Location", err);
    if (!rc)
        rc = read_order(call->ca, r, url, &o, err);
    if (!rc)
        rc = compare_names(req, o, err);
    if (!rc)
        *ret = pst_take(&o);
    return rc;
}

int pst_acme_order_new(struct pst_acme_call *call, const struct pst_acme_order_request *req,
                       struct pst_acme_order **ret, struct pst_err *err)
{
    call->problem.type = PST_ACME_NONE;
    int rc = order_new(call, req, ret, err);

    if (rc)
        pst_wrap(err, "ACME new order");
    return rc;
}

int pst_acme_order_get(struct pst_acme_call *call, const char *order_url,
                       struct pst_acme_order **ret, struct pst_err *err)
{
    auto_(pst_http_response_free) struct pst_http_response *r = NULL;
    struct pst_acme_ask ask = {
        .group = PST_ACME_OBJECT, .url = order_url, .accept = "application/json"};

    int rc = pst_acme_post(call, &ask, &r, err);
    if (!rc)
        rc = read_order(call->ca, r, order_url, ret, err);
    if (rc)
        pst_wrap(err, "ACME order");
    return rc;
}

int pst_acme_finalize(struct pst_acme_call *call, const struct pst_acme_order *order,
                      const void *csr, size_t csr_len, struct pst_acme_order **ret,
                      struct pst_err *err)
{
    auto_(pst_http_response_free) struct pst_http_response *r = NULL;
    auto_buf struct pst_buf payload = PST_BUF(PST_ACME_BODY_MAX / 2);

    pst_buf_str(&payload, "{\"csr\":\"");
    pst_b64url_add(&payload, csr, csr_len);
    pst_buf_str(&payload, "\"}");
    struct pst_acme_ask ask = {
        .group = PST_ACME_OBJECT, .url = order->finalize, .accept = "application/json"};

    int rc = pst_buf_check(&payload, "the certificate request", err);
    ask.payload = payload.data;
    if (!rc)
        rc = pst_acme_post(call, &ask, &r, err);
    if (!rc)
        rc = read_order(call->ca, r, order->url, ret, err);
    if (rc)
        pst_wrap(err, "ACME finalize");
    return rc;
}
