/* authz.c - authorizations and their challenges (RFC 8555 sections 7.5 and 8). */
#include <postern/err.h>
#include <postern/text.h>
#include <string.h>

#include "acme_internal.h"

enum { NAME_MAX_LEN = 255, TYPE_MAX_LEN = 64, ISSUERS_MAX = 10 };

static const char *const authz_words[PST_ACME_AUTHZ_STATUS__COUNT] = {
    [PST_ACME_AUTHZ_PENDING] = "pending", [PST_ACME_AUTHZ_VALID] = "valid",
    [PST_ACME_AUTHZ_INVALID] = "invalid", [PST_ACME_AUTHZ_DEACTIVATED] = "deactivated",
    [PST_ACME_AUTHZ_EXPIRED] = "expired", [PST_ACME_AUTHZ_REVOKED] = "revoked",
};

static const char *const challenge_words[PST_ACME_CHALLENGE_STATUS__COUNT] = {
    [PST_ACME_CHALLENGE_PENDING] = "pending",
    [PST_ACME_CHALLENGE_PROCESSING] = "processing",
    [PST_ACME_CHALLENGE_VALID] = "valid",
    [PST_ACME_CHALLENGE_INVALID] = "invalid",
};

static const char *const types[PST_ACME_CHALLENGE_TYPE__COUNT] = {
    [PST_ACME_HTTP_01] = "http-01",
    [PST_ACME_DNS_01] = "dns-01",
    [PST_ACME_TLS_ALPN_01] = "tls-alpn-01",
    [PST_ACME_DNS_ACCOUNT_01] = "dns-account-01",
    [PST_ACME_DNS_PERSIST_01] = "dns-persist-01",
    [PST_ACME_CHALLENGE_OTHER] = "other",
};

const char *pst_acme_authz_status_name(enum pst_acme_authz_status s)
{
    return s < PST_ACME_AUTHZ_STATUS__COUNT ? authz_words[s] : "invalid";
}

const char *pst_acme_challenge_type_name(enum pst_acme_challenge_type t)
{
    return t < PST_ACME_CHALLENGE_TYPE__COUNT ? types[t] : "other";
}

enum pst_acme_challenge_type pst_acme_challenge_type_parse(const char *s)
{
    return pst_acme_word(types, PST_ACME_CHALLENGE_OTHER, s, PST_ACME_CHALLENGE_OTHER);
}

static void challenge_deinit(struct pst_acme_challenge *c)
{
    pst_free(c->type_text);
    pst_free(c->url);
    pst_free(c->token);
    pst_free(c->error);
    pst_free(c->account_uri);
    pst_acme_free_list(c->issuers, c->issuers_n);
}

void pst_acme_authz_free(struct pst_acme_authz *a)
{
    if (!a)
        return;
    for (size_t i = 0; i < a->challenges_n; i++)
        challenge_deinit(&a->challenges[i]);
    pst_free(a->challenges);
    pst_free(a->url);
    pst_free(a->name);
    pst_free(a);
}

/* Both shapes of dns-persist-01: drafts up to -01 write the member with hyphens. */
static bool take_issuers(const struct pst_json *j, struct pst_acme_challenge *to)
{
    const struct pst_json *clear = pst_json_get(j, "issuer-domain-names");

    to->hashed = !clear && pst_json_get(j, "issuerDomainNames");
    return pst_acme_copy_list(clear ? clear : pst_json_get(j, "issuerDomainNames"), NAME_MAX_LEN,
                              ISSUERS_MAX, &to->issuers, &to->issuers_n) &&
           pst_acme_copy(pst_json_get(j, "accounturi"), PST_ACME_URL_MAX, &to->account_uri);
}

/* PST_OK; PST_NOTFOUND: one that we cannot read, which must not spoil the others; PST_ENOMEM. */
static int take_challenge(const struct pst_acme_ca *ca, const struct pst_json *j,
                          struct pst_acme_challenge *to)
{
    const char *type = pst_json_get_text(j, "type");
    const char *url = pst_json_get_text(j, "url");
    const char *token = pst_json_get_text(j, "token");

    if (!type || strlen(type) > TYPE_MAX_LEN || pst_acme_url_check(ca, url, "url", NULL))
        return PST_NOTFOUND;
    *to = (struct pst_acme_challenge){.type = pst_acme_challenge_type_parse(type)};
    to->status = pst_acme_word(challenge_words, PST_ARRAY_N(challenge_words),
                               pst_json_get_text(j, "status"), PST_ACME_CHALLENGE_INVALID);
    bool with_token = token && pst_acme_is_b64url(token, PST_ACME_TOKEN_MAX);
    bool needs_token = to->type != PST_ACME_DNS_PERSIST_01 && to->type != PST_ACME_CHALLENGE_OTHER;
    if (needs_token && !with_token)
        return PST_NOTFOUND; /* the token becomes a path and a file of ours: no other characters */

    to->type_text = pst_strdup(type);
    to->url = pst_strdup(url);
    to->token = with_token ? pst_strdup(token) : NULL;
    if (!to->type_text || !to->url || (with_token && !to->token) ||
        !pst_acme_problem_member(j, &to->error) || !take_issuers(j, to)) {
        challenge_deinit(to);
        return PST_ENOMEM;
    }
    return PST_OK;
}

int pst_acme_authz_parse(const struct pst_acme_ca *ca, const struct pst_json *j,
                         struct pst_acme_authz **ret, struct pst_err *err)
{
    auto_(pst_acme_authz_free) struct pst_acme_authz *a = pst_zalloc(1, sizeof *a);
    const struct pst_json *list = pst_json_get(j, "challenges");
    const char *name = pst_json_get_text(pst_json_get(j, "identifier"), "value");
    const char *status = pst_json_get_text(j, "status");
    size_t n = pst_json_type(list) == PST_JSON_ARRAY ? pst_json_len(list) : 0;

    if (!a)
        return pst_fail_nomem(err, "an authorization");
    if (!status)
        return pst_fail(err, PST_EINPUT, "status: missing");
    if (!name || !name[0] || strlen(name) > NAME_MAX_LEN)
        return pst_fail(err, PST_EINPUT, "identifier: no usable value");
    a->status =
        pst_acme_word(authz_words, PST_ARRAY_N(authz_words), status, PST_ACME_AUTHZ_INVALID);
    a->expires_at = pst_acme_time_member(j, "expires");
    pst_json_get_bool(j, "wildcard", &a->wildcard);
    if (pst_str_starts(name, "*.")) { /* against the RFC, but clear */
        a->wildcard = true;
        name += 2;
    }
    a->name = pst_strdup(name);
    n = n < PST_ACME_CHALLENGES_MAX ? n : PST_ACME_CHALLENGES_MAX;
    a->challenges = pst_zalloc(n, sizeof *a->challenges);
    if (!a->name || !a->challenges)
        return pst_fail_nomem(err, "an authorization");
    for (size_t i = 0; i < n; i++) {
        int rc = take_challenge(ca, pst_json_at(list, i), &a->challenges[a->challenges_n]);
        if (rc == PST_ENOMEM)
            return pst_fail_nomem(err, "an authorization");
        a->challenges_n += rc == PST_OK;
    }
    *ret = pst_take(&a);
    return PST_OK;
}

static int authz_get(struct pst_acme_call *call, const char *authz_url, struct pst_acme_authz **ret,
                     struct pst_err *err)
{
    auto_(pst_http_response_free) struct pst_http_response *r = NULL;
    auto_(pst_json_free) struct pst_json *j = NULL;
    auto_(pst_acme_authz_free) struct pst_acme_authz *a = NULL;
    struct pst_acme_ask ask = {
        .group = PST_ACME_OBJECT, .url = authz_url, .accept = "application/json"};

    int rc = pst_acme_post(call, &ask, &r, err);
    if (!rc)
        rc = pst_acme_body(r, &j, err);
    if (!rc)
        rc = pst_acme_authz_parse(call->ca, j, &a, err);
    if (rc)
        return rc;
    a->url = pst_strdup(authz_url);
    if (!a->url)
        return pst_fail_nomem(err, "an authorization");
    a->retry_after_ms = pst_acme_retry_after_ms(call->ca, r);
    *ret = pst_take(&a);
    return PST_OK;
}

int pst_acme_authz_get(struct pst_acme_call *call, const char *authz_url,
                       struct pst_acme_authz **ret, struct pst_err *err)
{
    int rc = authz_get(call, authz_url, ret, err);

    if (rc)
        pst_wrap(err, "ACME authorization");
    return rc;
}

const struct pst_acme_challenge *pst_acme_authz_challenge(const struct pst_acme_authz *a,
                                                          enum pst_acme_challenge_type type)
{
    for (size_t i = 0; i < a->challenges_n; i++)
        if (a->challenges[i].type == type)
            return &a->challenges[i];
    return NULL;
}

const struct pst_acme_problem *pst_acme_authz_error(const struct pst_acme_authz *a)
{
    for (size_t i = 0; i < a->challenges_n; i++)
        if (a->challenges[i].error && a->challenges[i].status != PST_ACME_CHALLENGE_VALID)
            return a->challenges[i].error;
    return NULL;
}

int pst_acme_challenge_answer(struct pst_acme_call *call, const char *challenge_url,
                              enum pst_acme_challenge_status *ret, struct pst_err *err)
{
    auto_(pst_http_response_free) struct pst_http_response *r = NULL;
    auto_(pst_json_free) struct pst_json *j = NULL;
    struct pst_acme_ask ask = {.group = PST_ACME_OBJECT,
                               .url = challenge_url,
                               .payload = "{}",
                               .accept = "application/json"};

    int rc = pst_acme_post(call, &ask, &r, err);
    if (!rc)
        rc = pst_acme_body(r, &j, err);
    if (!rc)
        *ret = pst_acme_word(challenge_words, PST_ARRAY_N(challenge_words),
                             pst_json_get_text(j, "status"), PST_ACME_CHALLENGE_INVALID);
    else
        pst_wrap(err, "ACME challenge");
    return rc;
}
