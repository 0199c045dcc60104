/* token.c - access tokens (RFC 6749): fetched when needed, kept while they live. */
#include <string.h>

#include "dns_internal.h"

enum { EARLY_S = 300, LIFE_DEFAULT_S = 300, LIFE_MAX_S = 86400 };

/* A number, or a number in a string: both are seen. */
static int64_t life_of(const struct pst_json *json)
{
    int64_t s = LIFE_DEFAULT_S;

    if (!pst_json_get_int(json, "expires_in", &s) &&
        !pst_parse_i64(pst_json_get_text(json, "expires_in"), 0, LIFE_MAX_S, &s))
        s = LIFE_DEFAULT_S;
    return s < 0 ? 0 : s > LIFE_MAX_S ? LIFE_MAX_S : s;
}

static bool token_ok(const char *s)
{
    for (; *s; s++) {
        if (*s <= ' ' || *s > '~')
            return false;
    }
    return true;
}

static int fetch(struct pst_dns_provider *p, pst_dns_token_fn *ask, struct pst_err *err)
{
    auto_request struct pst_dns_request r = PST_DNS_REQUEST("POST");
    auto_answer struct pst_dns_answer a = {0};

    r.no_auth = true;
    r.content_type = "application/x-www-form-urlencoded";
    int rc = ask(p, &r, err);
    if (rc == PST_OK)
        rc = pst_dns_send(p, &r, &a, err);
    if (rc != PST_OK)
        return rc;
    if (a.status != 200)
        return pst_dns_fault(p, &a, "asking for an access token", err);
    const char *token = pst_json_get_text(a.json, "access_token");
    if (!token || !token[0] || strlen(token) >= TOKEN_MAX - 16 || !token_ok(token))
        return pst_dns_senseless(&a, "asking for an access token", err);
    rc = pst_secret_set(&p->token, token, strlen(token), err);
    p->token_until = pst_dns_now(p) + life_of(a.json);
    return rc;
}

int pst_dns_bearer(struct pst_dns_provider *p, struct pst_dns_request *r, bool fresh,
                   pst_dns_token_fn *ask, struct pst_err *err)
{
    if (fresh || p->token.len == 0 || pst_dns_now(p) + EARLY_S >= p->token_until) {
        pst_secret_deinit(&p->token);
        int rc = fetch(p, ask, err);
        if (rc != PST_OK)
            return rc;
    }
    struct pst_buf *slot = pst_dns_header_slot(r, "Authorization");
    pst_buf_str(slot, "Bearer ");
    pst_buf_add(slot, p->token.data, p->token.len);
    return PST_OK;
}

bool pst_dns_stale_401(struct pst_dns_provider *p, const struct pst_dns_answer *a)
{
    return a->status == 401;
}
