/*
 * exchange.c - one signed request and its answer; badNonce is dealt with here and nowhere else.
 */
#include <postern/clock.h>
#include <postern/err.h>
#include <postern/metric.h>
#include <postern/text.h>
#include <stdio.h>
#include <string.h>

#include "acme_internal.h"

int64_t pst_acme_retry_after_ms(const struct pst_acme_ca *ca, const struct pst_http_response *r)
{
    return pst_http_retry_after(r, pst_now(ca->clock), 0) * 1000;
}

int pst_acme_body(const struct pst_http_response *r, struct pst_json **ret, struct pst_err *err)
{
    auto_(pst_json_free) struct pst_json *j = NULL;
    size_t len;
    const char *body = pst_http_body(r, &len);

    if (len == 0)
        return pst_fail(err, PST_EINPUT, "the CA's answer is empty");
    int rc = pst_json_parse(&j, body, len, err);
    if (rc) {
        pst_wrap(err, "the CA's answer");
        return rc;
    }
    if (pst_json_type(j) != PST_JSON_OBJECT)
        return pst_fail(err, PST_EINPUT, "the CA's answer is not a JSON object");
    *ret = pst_take(&j);
    return PST_OK;
}

/* What every answer tells besides: the CA's clock. */
static void note_clock(struct pst_acme_ca *ca, const struct pst_http_response *r)
{
    int64_t at;

    if (pst_http_date_parse(pst_http_header(r, "Date", 0), &at))
        ca->skew_s = at - pst_now(ca->clock);
}

/* A fault from a problem that stands in the call. */
static int refuse(struct pst_acme_call *call, struct pst_err *err)
{
    struct pst_acme_advice advice;

    pst_acme_problem_advice(&call->problem, PST_ACME_ON_REQUEST, pst_now(call->ca->clock), &advice,
                            err);
    return PST_EREMOTE;
}

static int check_pause(struct pst_acme_call *call, unsigned group, struct pst_err *err)
{
    int64_t left_s = pst_acme_pause_left_s(call->ca, group);

    if (left_s == 0)
        return PST_OK;
    call->problem = (struct pst_acme_problem){
        .type = PST_ACME_UNAVAILABLE, .status = 503, .retry_after_s = left_s};
    snprintf(call->problem.detail, sizeof call->problem.detail,
             "the CA has asked for a pause; nothing was sent");
    return refuse(call, err);
}

/* An answer that is no success: problem, pause, doubt about the directory. */
static int judge(struct pst_acme_call *call, unsigned group, const struct pst_http_response *r,
                 struct pst_err *err)
{
    struct pst_acme_ca *ca = call->ca;
    int status = pst_http_status(r);

    if (status < 400)
        return pst_fail(err, PST_EINPUT, "the CA answered with status %d where it must not",
                        status);
    pst_acme_problem_of(r, pst_now(ca->clock), &call->problem);
    if (call->problem.type == PST_ACME_UNAVAILABLE)
        call->problem.retry_after_s = pst_acme_pause_begin(ca, group, call->problem.retry_after_s);
    else
        pst_acme_pause_end(ca, group);
    if (status == 404 && group < PST_ACME_ENDPOINT__COUNT) {
        pthread_mutex_lock(&ca->lock);
        ca->dir_doubtful = true;
        pthread_mutex_unlock(&ca->lock);
    }
    return refuse(call, err);
}

static int check_type(const struct pst_http_response *r, const char *accept, struct pst_err *err)
{
    const char *type = pst_http_header(r, "Content-Type", 0);
    char shown[80];

    if (!accept || pst_http_is_type(r, accept))
        return PST_OK;
    pst_acme_show(shown, sizeof shown, type ? type : "nothing");
    return pst_fail(err, PST_EINPUT, "the CA's answer says %s where %s was asked for", shown,
                    accept);
}

/* What the CA's answers are counted by: their class, or that there was none. */
static void count(int rc, const struct pst_http_response *r)
{
    char outcome[16] = "unreachable";

    if (rc == PST_OK && pst_http_status(r) == 429)
        pst_str_copy(outcome, sizeof outcome, "rate-limited");
    else if (rc == PST_OK)
        snprintf(outcome, sizeof outcome, "%dxx", pst_http_status(r) / 100);
    pst_metric_count("ca_requests", outcome);
}

/* Send as it is.  PST_OK: any answer. */
static int send_request(struct pst_acme_call *call, const char *method,
                        const struct pst_acme_ask *ask, const struct pst_buf *body,
                        struct pst_http_response **ret, struct pst_err *err)
{
    struct pst_http_header headers[2] = {{"Accept", ask->accept ? ask->accept : "*/*"},
                                         {"Content-Type", "application/jose+json"}};
    struct pst_http_request req = {
        .method = method,
        .url = ask->url,
        .headers = headers,
        .headers_n = body ? 2 : 1,
        .body = body ? body->data : NULL,
        .body_len = body ? body->len : 0,
        .max_body = ask->max_body ? ask->max_body : PST_ACME_JSON_MAX,
        .cancel = call->cancel,
    };

    int rc = check_pause(call, ask->group, err);
    if (!rc) {
        rc = pst_http_do(call->ca->http, &req, ret, err);
        pst_acme_note(call->ca, rc == PST_OK ? NULL : err);
        count(rc, rc == PST_OK ? *ret : NULL);
    }
    if (!rc)
        note_clock(call->ca, *ret);
    return rc;
}

int pst_acme_get(struct pst_acme_call *call, const char *method, const struct pst_acme_ask *ask,
                 struct pst_http_response **ret, struct pst_err *err)
{
    auto_(pst_http_response_free) struct pst_http_response *r = NULL;

    int rc = send_request(call, method, ask, NULL, &r, err);
    if (rc)
        return rc;
    if (pst_http_status(r) / 100 != 2)
        return judge(call, ask->group, r, err);
    pst_acme_pause_end(call->ca, ask->group);
    rc = check_type(r, ask->accept, err);
    if (!rc)
        *ret = pst_take(&r);
    return rc;
}

/* ---- signed requests ---- */

static int fetch_nonce(struct pst_acme_call *call, char to[PST_ACME_NONCE_SIZE],
                       struct pst_err *err)
{
    auto_(pst_acme_dir_unref) struct pst_acme_dir *dir = NULL;
    auto_(pst_http_response_free) struct pst_http_response *r = NULL;

    int rc = pst_acme_dir_get(call, false, &dir, err);
    if (rc)
        return rc;
    struct pst_acme_ask ask = {.group = PST_ACME_NEW_NONCE, .url = dir->url[PST_ACME_NEW_NONCE]};
    rc = pst_acme_get(call, "HEAD", &ask, &r, err);
    if (rc) {
        pst_wrap(err, "new nonce");
        return rc;
    }
    const char *nonce = pst_http_header(r, "Replay-Nonce", 0);
    if (!pst_acme_is_b64url(nonce, PST_ACME_NONCE_SIZE - 1))
        return pst_fail(err, PST_EINPUT, "new nonce: the CA's answer holds no Replay-Nonce");
    pst_str_copy(to, PST_ACME_NONCE_SIZE, nonce);
    return PST_OK;
}

/* Sign with this nonce and send. */
static int post_once(struct pst_acme_call *call, const struct pst_acme_ask *ask, const char *nonce,
                     struct pst_http_response **ret, struct pst_err *err)
{
    auto_buf struct pst_buf body = PST_BUF(2 * PST_ACME_BODY_MAX);
    struct pst_acme_jws jws = {
        .key = ask->jwk ? ask->jwk : call->account.key,
        .kid = ask->jwk ? NULL : call->account.url,
        .nonce = nonce,
        .url = ask->url,
        .payload = ask->payload,
    };

    int rc = pst_acme_jws_write(&jws, &body, err);
    if (!rc)
        rc = send_request(call, "POST", ask, &body, ret, err);
    return rc;
}

static int check_ask(struct pst_acme_call *call, const struct pst_acme_ask *ask,
                     struct pst_err *err)
{
    call->problem.type = PST_ACME_NONE;
    if (!ask->jwk && !call->account.url) {
        pst_fail(err, PST_REFUSED, "the account has no URL yet");
        pst_err_problem(err, "account_url");
        return PST_REFUSED;
    }
    return pst_acme_url_check(call->ca, ask->url, "the URL to ask", err);
}

/* What to do with an answer: PST_OK (a success), PST_NOTYET (badNonce: again) or a fault. */
static int sort_answer(struct pst_acme_call *call, const struct pst_acme_ask *ask,
                       const struct pst_http_response *r, struct pst_err *err)
{
    if (pst_http_status(r) / 100 == 2) {
        pst_acme_pause_end(call->ca, ask->group);
        return check_type(r, ask->accept, err);
    }
    int rc = judge(call, ask->group, r, err);
    return rc == PST_EREMOTE && call->problem.type == PST_ACME_BAD_NONCE ? PST_NOTYET : rc;
}

int pst_acme_post(struct pst_acme_call *call, const struct pst_acme_ask *ask,
                  struct pst_http_response **ret, struct pst_err *err)
{
    char nonce[PST_ACME_NONCE_SIZE] = "";

    int rc = check_ask(call, ask, err);
    if (rc)
        return rc;
    for (int tries = 1;; tries++) {
        auto_(pst_http_response_free) struct pst_http_response *r = NULL;
        if (!nonce[0] && !pst_acme_nonce_take(call->ca, nonce))
            rc = fetch_nonce(call, nonce, err);
        if (!rc)
            rc = post_once(call, ask, nonce, &r, err);
        if (rc)
            return rc;

        const char *next = pst_http_header(r, "Replay-Nonce", 0);
        rc = sort_answer(call, ask, r, err);
        if (rc != PST_NOTYET) {
            pst_acme_nonce_put(call->ca, next);
            if (!rc) {
                call->problem.type = PST_ACME_NONE;
                *ret = pst_take(&r);
            }
            return rc;
        }
        if (tries == PST_ACME_NONCE_TRIES) {
            call->problem.type = PST_ACME_SERVER_INTERNAL; /* its nonces do not work */
            return refuse(call, err);
        }
        if (tries == PST_ACME_NONCE_FLUSH)
            pst_acme_nonce_flush(call->ca);
        /* The nonce of the refusal is the freshest there is; it does not go through the pool. */
        if (!pst_acme_is_b64url(next, PST_ACME_NONCE_SIZE - 1) ||
            !pst_str_copy(nonce, sizeof nonce, next))
            nonce[0] = '\0';
        rc = PST_OK;
    }
}

int pst_acme_post_to(struct pst_acme_call *call, enum pst_acme_endpoint endpoint,
                     struct pst_acme_ask *ask, struct pst_http_response **ret, struct pst_err *err)
{
    auto_(pst_acme_dir_unref) struct pst_acme_dir *dir = NULL;

    int rc = pst_acme_dir_get(call, false, &dir, err);
    if (rc)
        return rc;
    if (!dir->url[endpoint])
        return PST_NOTFOUND;
    ask->group = endpoint;
    ask->url = dir->url[endpoint];
    rc = pst_acme_post(call, ask, ret, err);
    ask->url = NULL; /* it belongs to the directory */
    return rc;
}
