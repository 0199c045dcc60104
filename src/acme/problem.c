/*
 * problem.c - what the CA's problems mean (RFC 8555 section 6.7 and what has been added since).
 *
 * One table decides: by type first, then by HTTP status, never by the text of `detail`.
 */
#include <postern/err.h>
#include <postern/text.h>
#include <stdio.h>
#include <string.h>

#include "acme_internal.h"

#define URN_PREFIX "urn:ietf:params:acme:error:"

struct meaning {
    const char *name;
    enum pst_acme_class request; /* as the answer to a request */
    enum pst_acme_class object;  /* in order.error or challenge.error */
    bool counts;                 /* against the domain */
    const char *user;
};

/* clang-format off: a table is read by its columns */
static const struct meaning meanings[] = {
    [PST_ACME_NONE] = {"none", PST_ACME_BACKOFF, PST_ACME_BACKOFF, false,
                       "The certificate authority reported no problem."},
    [PST_ACME_BAD_NONCE] =
        {"badNonce", PST_ACME_NOW, PST_ACME_NOW, false,
         "A formality between Postern and the certificate authority is repeated."},
    [PST_ACME_ACCOUNT_DOES_NOT_EXIST] =
        {"accountDoesNotExist", PST_ACME_OPERATOR, PST_ACME_OPERATOR, false,
         "The certificate authority does not know the platform's account. The operator has been "
         "told."},
    [PST_ACME_ALREADY_REPLACED] =
        {"alreadyReplaced", PST_ACME_NOW, PST_ACME_NOW, false,
         "The renewal is ordered anew, because the certificate authority has counted an earlier "
         "one."},
    [PST_ACME_ALREADY_REVOKED] = {"alreadyRevoked", PST_ACME_SUCCESS, PST_ACME_SUCCESS, false,
                                  "The certificate was revoked already."},
    [PST_ACME_AUTO_RENEWAL] =
        {"autoRenewal", PST_ACME_OPERATOR, PST_ACME_OPERATOR, false,
         "The certificate authority answered about a kind of order that Postern does not use. "
         "The operator has been told."},
    [PST_ACME_BAD_CSR] =
        {"badCSR", PST_ACME_OPERATOR, PST_ACME_OPERATOR, false,
         "The certificate authority did not accept the certificate request. The operator has been "
         "told."},
    [PST_ACME_BAD_PUBLIC_KEY] =
        {"badPublicKey", PST_ACME_OPERATOR, PST_ACME_OPERATOR, false,
         "The certificate authority does not accept the key. The operator has been told."},
    [PST_ACME_BAD_SIGNATURE_ALGORITHM] =
        {"badSignatureAlgorithm", PST_ACME_OPERATOR, PST_ACME_OPERATOR, false,
         "The certificate authority does not accept the account's kind of key. The operator has "
         "been told."},
    [PST_ACME_BAD_REVOCATION_REASON] = {"badRevocationReason", PST_ACME_NOW, PST_ACME_NOW, false,
                                        "The certificate is revoked without stating a reason."},
    [PST_ACME_CAA] =
        {"caa", PST_ACME_DAILY, PST_ACME_DAILY, true,
         "A CAA record of the domain forbids this certificate authority: add a CAA record that "
         "allows it, or remove the ones there are."},
    [PST_ACME_COMPOUND] = {"compound", PST_ACME_DAILY, PST_ACME_DAILY, true,
                           "Several names were refused; each has its own reason."},
    [PST_ACME_CONNECTION] =
        {"connection", PST_ACME_BACKOFF, PST_ACME_BACKOFF, true,
         "The certificate authority could not reach the domain: check that ports 80 and 443 are "
         "open to everybody and that each A and AAAA record points here."},
    [PST_ACME_TLS] =
        {"tls", PST_ACME_BACKOFF, PST_ACME_BACKOFF, true,
         "The certificate authority could not set up TLS with the domain: check that port 443 is "
         "open to everybody and that each A and AAAA record points here."},
    [PST_ACME_DNS] =
        {"dns", PST_ACME_BACKOFF, PST_ACME_BACKOFF, true,
         "The certificate authority could not resolve the domain: check its name servers, its "
         "records and, if it is signed, DNSSEC."},
    [PST_ACME_EXTERNAL_ACCOUNT_REQUIRED] =
        {"externalAccountRequired", PST_ACME_OPERATOR, PST_ACME_OPERATOR, false,
         "The certificate authority wants an external account, which the operator must "
         "configure."},
    [PST_ACME_INCORRECT_RESPONSE] =
        {"incorrectResponse", PST_ACME_BACKOFF, PST_ACME_BACKOFF, true,
         "The certificate authority found another answer than ours at the domain: check that all "
         "its records point here and that nothing stands between."},
    [PST_ACME_INVALID_CONTACT] =
        {"invalidContact", PST_ACME_OPERATOR, PST_ACME_OPERATOR, false,
         "The certificate authority does not accept the operator's contact address."},
    [PST_ACME_UNSUPPORTED_CONTACT] =
        {"unsupportedContact", PST_ACME_OPERATOR, PST_ACME_OPERATOR, false,
         "The certificate authority does not accept this kind of contact address of the "
         "operator."},
    [PST_ACME_INVALID_PROFILE] =
        {"invalidProfile", PST_ACME_NOW, PST_ACME_NOW, false,
         "The certificate authority does not know the certificate profile; the order is repeated "
         "without it."},
    [PST_ACME_MALFORMED] =
        {"malformed", PST_ACME_DAILY, PST_ACME_DAILY, true,
         "The certificate authority did not understand the request. The operator has been told."},
    [PST_ACME_ORDER_NOT_READY] =
        {"orderNotReady", PST_ACME_NOW, PST_ACME_NOW, false,
         "The certificate authority is not ready yet; the order is looked at again."},
    [PST_ACME_RATE_LIMITED] =
        {"rateLimited", PST_ACME_WAIT, PST_ACME_WAIT, false,
         "A limit of the certificate authority was reached; the order goes on when it allows."},
    [PST_ACME_REJECTED_IDENTIFIER] =
        {"rejectedIdentifier", PST_ACME_DAILY, PST_ACME_DAILY, true,
         "The certificate authority issues no certificate for this name: use another name, or "
         "upload a certificate."},
    [PST_ACME_UNSUPPORTED_IDENTIFIER] =
        {"unsupportedIdentifier", PST_ACME_DAILY, PST_ACME_DAILY, true,
         "The certificate authority issues no certificates for this kind of name: use another "
         "name, or upload a certificate."},
    [PST_ACME_SERVER_INTERNAL] =
        {"serverInternal", PST_ACME_BACKOFF, PST_ACME_BACKOFF, false,
         "The certificate authority has a fault of its own; Postern tries again."},
    [PST_ACME_UNAUTHORIZED] =
        {"unauthorized", PST_ACME_OPERATOR, PST_ACME_BACKOFF, true,
         "The certificate authority found another answer than ours at the domain: check that each "
         "A and AAAA record points here, or that the TXT record has the value shown."},
    [PST_ACME_UNKNOWN_DELEGATION] =
        {"unknownDelegation", PST_ACME_DAILY, PST_ACME_DAILY, true,
         "The certificate authority does not know the delegation of this name."},
    [PST_ACME_USER_ACTION_REQUIRED] =
        {"userActionRequired", PST_ACME_OPERATOR, PST_ACME_OPERATOR, false,
         "The certificate authority wants the operator to act first, such as to agree to new "
         "terms."},
    [PST_ACME_CONFLICT] =
        {"conflict", PST_ACME_BACKOFF, PST_ACME_BACKOFF, false,
         "The certificate authority was busy with the same order; Postern tries again."},
    [PST_ACME_OTHER] =
        {"other", PST_ACME_DAILY, PST_ACME_DAILY, true,
         "The certificate authority refused for a reason that Postern does not know; its own "
         "words are shown."},
    [PST_ACME_UNAVAILABLE] =
        {"unavailable", PST_ACME_WAIT, PST_ACME_WAIT, false,
         "The certificate authority is overloaded; Postern tries again shortly."},
};
/* clang-format on */
_Static_assert(PST_ARRAY_N(meanings) == PST_ACME_PROBLEM_TYPE__COUNT, "problem type added?");

/* Names that are not the table's own. */
static const struct {
    const char *name;
    enum pst_acme_problem_type type;
} other_names[] = {
    {"agreementRequired", PST_ACME_USER_ACTION_REQUIRED}, /* Pebble before 2.9 */
    {"autoRenewalCanceled", PST_ACME_AUTO_RENEWAL},
    {"autoRenewalExpired", PST_ACME_AUTO_RENEWAL},
    {"autoRenewalCancellationInvalid", PST_ACME_AUTO_RENEWAL},
    {"autoRenewalRevocationNotSupported", PST_ACME_AUTO_RENEWAL},
};

const char *pst_acme_problem_type_name(enum pst_acme_problem_type type)
{
    return type < PST_ACME_PROBLEM_TYPE__COUNT ? meanings[type].name : "other";
}

static enum pst_acme_problem_type type_of(const char *urn)
{
    if (!urn || !pst_str_starts(urn, URN_PREFIX))
        return PST_ACME_OTHER;

    const char *name = urn + strlen(URN_PREFIX);
    for (unsigned i = 0; i < PST_ARRAY_N(other_names); i++)
        if (pst_streq(name, other_names[i].name))
            return other_names[i].type;
    for (unsigned i = PST_ACME_BAD_NONCE; i < PST_ACME_OTHER; i++)
        if (i != PST_ACME_AUTO_RENEWAL && pst_streq(name, meanings[i].name))
            return i;
    return PST_ACME_OTHER;
}

/* ---- reading ---- */

static void parse_subproblem(const struct pst_json *j, struct pst_acme_subproblem *to)
{
    const struct pst_json *id = pst_json_get(j, "identifier");

    to->type = type_of(pst_json_get_text(j, "type"));
    pst_acme_show(to->name, sizeof to->name, pst_json_get_text(id, "value"));
    pst_acme_show(to->detail, sizeof to->detail, pst_json_get_text(j, "detail"));
}

/* A page where the name can be freed again; the pages about limits do not count. */
static bool names_a_page(const char *detail)
{
    return detail && strstr(detail, "https://") && !strstr(detail, "/docs/");
}

void pst_acme_problem_parse(const struct pst_json *j, int status, struct pst_acme_problem *to)
{
    const struct pst_json *subs = pst_json_get(j, "subproblems");
    const char *urn = pst_json_get_text(j, "type");
    const char *detail = pst_json_get_text(j, "detail");
    int64_t stated = 0;

    *to = (struct pst_acme_problem){.type = type_of(urn), .status = status};
    if (!status && pst_json_get_int(j, "status", &stated) && stated >= 100 && stated <= 599)
        to->status = (int)stated;
    pst_acme_show(to->urn, sizeof to->urn, urn);
    pst_acme_show(to->detail, sizeof to->detail, detail);
    pst_acme_show(to->instance, sizeof to->instance, pst_json_get_text(j, "instance"));
    to->paused = to->type == PST_ACME_RATE_LIMITED && names_a_page(detail);
    size_t subs_n = pst_json_type(subs) == PST_JSON_ARRAY ? pst_json_len(subs) : 0;
    for (size_t i = 0; i < subs_n && i < PST_ACME_SUBPROBLEMS_MAX; i++)
        parse_subproblem(pst_json_at(subs, i), &to->subproblems[to->subproblems_n++]);
}

bool pst_acme_problem_member(const struct pst_json *obj, struct pst_acme_problem **ret)
{
    const struct pst_json *j = pst_json_get(obj, "error");

    if (pst_json_type(j) != PST_JSON_OBJECT)
        return true;
    struct pst_acme_problem *p = pst_alloc(sizeof *p);
    if (!p)
        return false;
    pst_acme_problem_parse(j, 0, p);
    *ret = p;
    return true;
}

/* Without a document only the status is left. */
static void without_document(const struct pst_http_response *r, struct pst_acme_problem *to)
{
    int status = pst_http_status(r);
    const char *type = pst_http_header(r, "Content-Type", 0);
    char shown[80];

    *to = (struct pst_acme_problem){.type = PST_ACME_OTHER, .status = status};
    if (status == 503)
        to->type = PST_ACME_UNAVAILABLE;
    if (status == 429)
        to->type = PST_ACME_RATE_LIMITED;
    pst_acme_show(shown, sizeof shown, type ? type : "nothing");
    snprintf(to->detail, sizeof to->detail, "status %d without a problem document (%s)", status,
             shown);
}

void pst_acme_problem_of(const struct pst_http_response *r, int64_t now,
                         struct pst_acme_problem *to)
{
    auto_(pst_json_free) struct pst_json *j = NULL;
    char url[PST_ACME_URL_MAX + 1];
    size_t len;
    const char *body = pst_http_body(r, &len);
    int64_t after_s = 0;

    /* Some servers say plain JSON; a document is known by what is in it. */
    bool json =
        pst_http_is_type(r, "application/problem+json") || pst_http_is_type(r, "application/json");
    if (json && pst_json_parse(&j, body, len, NULL) == PST_OK &&
        (pst_json_get_text(j, "type") || pst_json_get_text(j, "detail")))
        pst_acme_problem_parse(j, pst_http_status(r), to);
    else
        without_document(r, to);

    int64_t most = to->type == PST_ACME_RATE_LIMITED ? PST_ACME_RATE_LIMIT_MAX_S : PST_ACME_DAY_S;
    if (pst_http_retry_after_parse(pst_http_header(r, "Retry-After", 0), now, &after_s))
        to->retry_after_s = after_s < 1 ? 1 : after_s > most ? most : after_s;
    if (to->retry_after_s > 0)
        to->paused = false;
    if (pst_http_link(r, "terms-of-service", 0, url, sizeof url))
        pst_acme_show(to->terms, sizeof to->terms, url);
}

/* ---- advice ---- */

/* How much care a class asks for: of a compound problem the largest counts. */
static const unsigned care[] = {
    [PST_ACME_SUCCESS] = 0, [PST_ACME_NOW] = 1,   [PST_ACME_BACKOFF] = 2,
    [PST_ACME_WAIT] = 3,    [PST_ACME_DAILY] = 4, [PST_ACME_OPERATOR] = 5,
};

static enum pst_acme_class class_of(enum pst_acme_problem_type type, enum pst_acme_where where)
{
    return where == PST_ACME_ON_REQUEST ? meanings[type].request : meanings[type].object;
}

/* The type that decides. */
static enum pst_acme_problem_type deciding_type(const struct pst_acme_problem *p)
{
    if (p->type != PST_ACME_COMPOUND || p->subproblems_n == 0)
        return p->type;

    enum pst_acme_problem_type worst = p->subproblems[0].type;
    for (size_t i = 1; i < p->subproblems_n; i++) {
        enum pst_acme_problem_type t = p->subproblems[i].type;
        if (care[class_of(t, PST_ACME_ON_ORDER)] > care[class_of(worst, PST_ACME_ON_ORDER)])
            worst = t;
    }
    return worst;
}

/* The table's word, and the few cases in which the status or more of the answer decides. */
static void decide(const struct pst_acme_problem *p, enum pst_acme_where where,
                   struct pst_acme_advice *to)
{
    enum pst_acme_problem_type type = deciding_type(p);

    /* Subproblems are about names, as the errors of an order are. */
    if (type != p->type)
        where = PST_ACME_ON_ORDER;
    *to = (struct pst_acme_advice){
        .class_ = class_of(type, where),
        .counts = meanings[type].counts,
        .user = meanings[type].user,
    };
    if (type == PST_ACME_OTHER && p->status >= 500) {
        to->class_ = PST_ACME_BACKOFF;
        to->counts = false;
        to->user = meanings[PST_ACME_SERVER_INTERNAL].user;
    }
    if ((type == PST_ACME_MALFORMED || type == PST_ACME_OTHER) && p->status == 404 &&
        where == PST_ACME_ON_REQUEST) {
        to->class_ = PST_ACME_BACKOFF; /* the object is gone (Pebble says so without words) */
        to->counts = false;
        to->user = "The certificate authority has forgotten the order; Postern makes a new one.";
    }
    if (type == PST_ACME_UNAUTHORIZED && where == PST_ACME_ON_REQUEST) {
        to->counts = false;
        to->user = "The certificate authority does not accept the platform's account. The operator "
                   "has been told.";
    }
    if (type == PST_ACME_RATE_LIMITED && p->paused) {
        to->class_ = PST_ACME_OPERATOR;
        to->user = "The certificate authority has paused this name after many failures; the "
                   "operator must free it there.";
    }
}

static enum pst_retry retry_of(const struct pst_acme_advice *a)
{
    switch (a->class_) {
    case PST_ACME_NOW:
    case PST_ACME_WAIT:
        return PST_RETRY_AT;
    case PST_ACME_DAILY:
        return PST_RETRY_DAILY;
    case PST_ACME_OPERATOR:
    case PST_ACME_SUCCESS:
        return PST_RETRY_NEVER;
    default:
        return PST_RETRY_BACKOFF;
    }
}

void pst_acme_problem_advice(const struct pst_acme_problem *p, enum pst_acme_where where,
                             int64_t now, struct pst_acme_advice *ret, struct pst_err *err)
{
    decide(p, where, ret);
    if (p->retry_after_s > 0 && (ret->class_ == PST_ACME_WAIT || ret->class_ == PST_ACME_BACKOFF))
        ret->not_before_at = now + p->retry_after_s;
    if (ret->class_ == PST_ACME_WAIT && !ret->not_before_at)
        ret->not_before_at =
            now + (p->type == PST_ACME_RATE_LIMITED ? PST_ACME_RATE_LIMIT_DEFAULT_S : 2);
    if (!err)
        return;

    pst_fail(err, PST_EREMOTE, "the CA says %s%s%s", pst_acme_problem_type_name(p->type),
             p->detail[0] ? ": " : "", p->detail);
    pst_err_problem(err, p->urn[0] ? p->urn : pst_acme_problem_type_name(p->type));
    pst_err_retry(err, retry_of(ret), ret->class_ == PST_ACME_NOW ? now : ret->not_before_at);
}
