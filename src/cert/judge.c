/* judge.c - one round: read, judge, hand over; and the rounds that fill what is missing. */
#include "cert_internal.h"
#include <stdio.h>
#include <string.h>

enum { ROUNDS_MAX = 4 };

/* ---- one round ---- */

static int judge(struct pst_work *w, struct pst_err *err)
{
    int rc = pst_collect(w, err);

    if (rc == PST_OK)
        rc = pst_judge_key(w, err);
    if (rc == PST_OK)
        rc = pst_judge_leaf(w, err);
    if (rc != PST_OK || !w->leaf)
        return rc;
    rc = pst_judge_path(w, err);
    if (rc == PST_OK)
        rc = pst_judge_links(w, err);
    if (rc == PST_OK)
        rc = pst_judge_lifetime(w, err);
    return rc;
}

static int copy_der(const struct pst_found_cert *c, struct pst_der *to, struct pst_err *err)
{
    to->data = pst_memdup(c->f->der, c->f->der_len);
    to->len = c->f->der_len;
    return to->data ? PST_OK : pst_fail_nomem(err, "a certificate");
}

static int hand_over_chain(struct pst_work *w, struct pst_chain *ret, struct pst_err *err)
{
    auto_chain struct pst_chain chain = {.issuers_not_after = INT64_MAX};
    int rc = copy_der(w->leaf, &chain.leaf, err);

    chain.issuers = pst_zalloc(PST_CERT_PATH_MAX, sizeof *chain.issuers);
    chain.last_issuer_cn = pst_strdup(w->path[w->path_n - 1]->f->info.issuer_cn);
    if (!chain.issuers || !chain.last_issuer_cn)
        return pst_fail_nomem(err, "a chain");
    for (size_t i = 1; i < w->path_n && rc == PST_OK; i++) {
        if (w->path[i]->f->info.not_after < chain.issuers_not_after)
            chain.issuers_not_after = w->path[i]->f->info.not_after;
        rc = copy_der(w->path[i], &chain.issuers[chain.issuers_n++], err);
    }
    if (rc == PST_OK)
        rc = pst_cert_parse_der(chain.leaf.data, chain.leaf.len, &chain.info, err);
    if (rc < 0)
        return rc;
    *ret = chain;
    chain = (struct pst_chain){0};
    return PST_OK;
}

static int hand_over_key(struct pst_work *w, struct pst_cert_result *ret, struct pst_err *err)
{
    int rc = pst_key_raw(w->key->h, &ret->key, err);

    if (rc < 0)
        return rc;
    ret->has_key = true;
    ret->key_type = w->key->f.type;
    ret->key_bits = w->key->f.bits;
    return PST_OK;
}

int pst_cert_check(const struct pst_cert_request *req, struct pst_cert_result *ret,
                   struct pst_err *err)
{
    struct pst_work *w = pst_zalloc(1, sizeof *w);
    auto_cert_result struct pst_cert_result result = {0};
    int rc;

    if (!w)
        return pst_fail_nomem(err, "reading a certificate");
    w->req = req;
    rc = judge(w, err);
    if (rc == PST_OK)
        rc = pst_find_hand_over(w, &result, err);
    if (rc == PST_OK && w->leaf)
        rc = hand_over_chain(w, &result.chain, err);
    if (rc == PST_OK && result.accepted && w->key && !req->held_spki_sha256)
        rc = hand_over_key(w, &result, err);
    if (rc == PST_OK) {
        result.missing = w->missing;
        pst_cert_result_deinit(ret);
        *ret = result;
        result = (struct pst_cert_result){0};
    }
    pst_work_deinit(w);
    pst_free(w);
    return rc;
}

/* ---- what is refused before it is read ---- */

int pst_cert_only(const struct pst_cert_request *req, enum pst_cert_code code, const char *sentence,
                  struct pst_cert_result *ret, struct pst_err *err)
{
    struct pst_work *w = pst_zalloc(1, sizeof *w);
    auto_cert_result struct pst_cert_result result = {0};
    struct pst_find_at at = {code, PST_CERT_FIELD_CERT, NULL};
    int rc;

    if (!w)
        return pst_fail_nomem(err, "a finding");
    if (req->inputs_n > 0)
        at.field = req->inputs[0].field;
    for (size_t i = 0; i < req->inputs_n; i++)
        if (req->inputs[i].len > PST_CERT_INPUT_MAX)
            at.field = req->inputs[i].field;
    rc = pst_find_at(w, &at, err, "%s", sentence);
    if (rc == PST_OK)
        rc = pst_find_hand_over(w, &result, err);
    if (rc == PST_OK) {
        pst_cert_result_deinit(ret);
        *ret = result;
        result = (struct pst_cert_result){0};
    }
    pst_work_deinit(w);
    pst_free(w);
    return rc;
}

int pst_cert_sizes(const struct pst_cert_request *req, struct pst_cert_result *ret,
                   struct pst_err *err)
{
    const char *sentence = NULL;
    char text[96];
    int rc;

    for (size_t i = 0; i < req->inputs_n; i++) {
        if (req->inputs[i].len > PST_CERT_INPUT_MAX) {
            (void)snprintf(text, sizeof text, "%zu bytes are too much: at most %d are read.",
                           req->inputs[i].len, PST_CERT_INPUT_MAX);
            sentence = text;
        }
    }
    if (req->inputs_n > PST_CERT_INPUTS_MAX)
        sentence = "There are too many files: at most 8 are read.";
    if (req->passphrase && req->passphrase->len > PST_CERT_PASSPHRASE_MAX)
        sentence = "The passphrase is too long: at most 1,024 bytes are taken.";
    if (req->roots_len > PST_CERT_ROOTS_MAX || req->extra_len > PST_CERT_EXTRA_MAX ||
        req->names_n > PST_CERT_NAMES_ASKED_MAX)
        return pst_fail(err, PST_EINTERNAL, "a request to judge a certificate is over its limits");
    if (!sentence)
        return PST_OK;
    rc = pst_cert_only(req, PST_CERT_TOO_LARGE, sentence, ret, err);
    return rc == PST_OK ? PST_REFUSED : rc;
}

/* ---- rounds ---- */

/* Anything that may be the missing issuer is appended: it is judged like all else.  `again`: what
 * is known did not do. */
static int find_missing(const struct pst_cert_sources *sources, const struct pst_cert_missing *m,
                        bool again, struct pst_buf *extra, struct pst_err *err)
{
    int rc = PST_NOTFOUND;

    if (sources->known && !again)
        rc = sources->known(sources->arg, m, extra, err);

    for (size_t i = 0; rc == PST_NOTFOUND && sources->aia && i < m->urls_n; i++) {
        auto_buf struct pst_buf body = PST_BUF(PST_CERT_INPUT_MAX);
        struct pst_err why = {0};

        if (pst_cert_aia_fetch(sources->aia, m->urls[i], &body, &why) != PST_OK)
            continue; /* the finding stays what it is */
        if (pst_pem_has_block(pst_buf_cstr(&body), body.len)) {
            pst_buf_add(extra, body.data, body.len);
            pst_buf_char(extra, '\n');
        } else {
            bool p7 = pst_der_kind(pst_buf_cstr(&body), body.len) == PST_DER_PKCS7;

            pst_pem_write(pst_buf_cstr(&body), body.len, p7 ? "PKCS7" : "CERTIFICATE", extra);
        }
        rc = PST_OK;
    }
    if (rc == PST_OK)
        rc = pst_buf_check(extra, "known issuers", err);
    return rc;
}

static int one_round(const struct pst_cert_process *process, const struct pst_cert_request *req,
                     struct pst_cert_result *ret, struct pst_err *err)
{
    return process ? pst_cert_check_apart(process, req, ret, err) : pst_cert_check(req, ret, err);
}

int pst_cert_judge(const struct pst_cert_process *process, const struct pst_cert_sources *sources,
                   const struct pst_cert_request *req, struct pst_cert_result *ret,
                   struct pst_err *err)
{
    auto_buf struct pst_buf extra = PST_BUF(PST_CERT_EXTRA_MAX);
    auto_cert_result struct pst_cert_result r = {0};
    struct pst_cert_request mine = *req;
    uint8_t asked[32];
    bool again = false;
    int rc = pst_cert_sizes(req, ret, err);

    if (rc != PST_OK)
        return rc == PST_REFUSED ? PST_OK : rc;
    rc = one_round(process, req, &r, err);
    if (req->extra_len > 0)
        pst_buf_add(&extra, req->extra, req->extra_len);
    if (rc == PST_OK)
        rc = pst_buf_check(&extra, "known issuers", err);
    for (int round = 1; rc == PST_OK && sources && r.missing.is_missing && round < ROUNDS_MAX;
         round++) {
        bool same = round > 1 && memcmp(asked, r.missing.subject_sha256, sizeof asked) == 0;

        if (same && again)
            break; /* what was fetched did not do either */
        again = same;
        memcpy(asked, r.missing.subject_sha256, sizeof asked);
        rc = find_missing(sources, &r.missing, again, &extra, err);
        if (rc != PST_OK)
            break;
        mine.extra = extra.data;
        mine.extra_len = extra.len;
        rc = one_round(process, &mine, &r, err);
    }
    if (rc < 0)
        return rc;
    pst_cert_result_deinit(ret);
    *ret = r;
    r = (struct pst_cert_result){0};
    return PST_OK;
}
