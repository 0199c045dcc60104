/*
 * uploads.c - a customer's certificate on its way from a request body to the ladder, and the check
 * that stores nothing.
 */
#include "api_internal.h"

#include <string.h>

#include <postern/conf.h>
#include <postern/crypto.h>
#include <postern/crypto_read.h>
#include <postern/name.h>

#include "uploads.h"

/* Fetching from where a certificate says may take seconds: most workers must stay free. */
enum { AIA_AT_ONCE = 2, SEALED_MAX = 64 * 1024 };

void pst_upload_deinit(struct pst_upload *u)
{
    pst_cert_result_deinit(&u->result);
    pst_certificate_deinit(&u->certificate);
    pst_buf_deinit(&u->sealed);
}

/* ---- judging ---- */

struct known {
    struct pst_req *req;
    const struct pst_cert_missing *missing;
    struct pst_buf *pem;
};

static int known_tx(struct pst_tx *tx, void *arg, struct pst_err *err)
{
    struct known *k = arg;

    return pst_issuer_known(tx, k->missing->subject_sha256, k->pem, err);
}

static int find_known(void *arg, const struct pst_cert_missing *missing, struct pst_buf *ret_pem,
                      struct pst_err *err)
{
    struct known k = {arg, missing, ret_pem};

    return pst_store_read(k.req->api->opts.store, known_tx, &k, err);
}

static int judge(struct pst_req *req, const struct pst_upload_for *to,
                 const struct pst_cert_request *q, struct pst_cert_result *ret, struct pst_err *err)
{
    struct pst_api *api = req->api;
    struct pst_cert_process process = {.clock = api->opts.clock, .reader = to->reader};
    struct pst_cert_sources sources = {.known = find_known, .arg = req};

    bool fetch = api->opts.aia && atomic_fetch_add(&api->aia_n, 1) < AIA_AT_ONCE;
    if (fetch)
        sources.aia = api->opts.aia;
    int rc = pst_cert_judge(&process, &sources, q, ret, err);
    if (api->opts.aia)
        atomic_fetch_sub(&api->aia_n, 1);
    return rc < 0 ? pst_wrap(err, "an uploaded certificate") : rc;
}

struct search {
    const char *domain_id;
    char spki_sha256[PST_SHA256_HEX_SIZE];
    struct pst_request found;
};

static int search_tx(struct pst_tx *tx, void *arg, struct pst_err *err)
{
    struct search *s = arg;

    pst_request_deinit(&s->found);
    s->found = (struct pst_request){0};
    return pst_request_by_key(tx, s->domain_id, s->spki_sha256, &s->found, err);
}

/* A certificate came without a key: is it one for a request that was made here? */
static int find_request(struct pst_req *req, const struct pst_upload_for *to, struct pst_upload *u,
                        struct pst_err *err)
{
    const struct pst_chain *chain = &u->result.chain;
    struct search s = {.domain_id = to->domain_id};

    pst_hex(s.spki_sha256, chain->info.spki_sha256, sizeof chain->info.spki_sha256);
    int rc = pst_store_read(req->api->opts.store, search_tx, &s, err);
    if (rc == PST_OK) {
        memcpy(u->request_id, s.found.id, sizeof u->request_id);
        pst_buf_deinit(&u->sealed);
        u->sealed = (struct pst_buf)PST_BUF(SEALED_MAX);
        pst_buf_add(&u->sealed, s.found.sealed.data, s.found.sealed.len);
        rc = pst_buf_check(&u->sealed, "a sealed key", err);
    }
    pst_request_deinit(&s.found);
    return rc;
}

int pst_upload_judge(struct pst_req *req, const struct pst_upload_for *to, struct pst_upload *u,
                     struct pst_err *err)
{
    const struct pst_api *api = req->api;
    auto_secret struct pst_secret passphrase = {0};
    struct pst_cert_input inputs[] = {
        {u->cert, u->cert ? strlen(u->cert) : 0, PST_CERT_FIELD_CERT},
        {u->key, u->key ? strlen(u->key) : 0, PST_CERT_FIELD_KEY},
    };
    struct pst_cert_request q = {
        .inputs = inputs,
        .inputs_n = PST_ARRAY_N(inputs),
        .names = &to->ascii,
        .names_n = to->ascii ? 1 : 0,
        .at = pst_now(api->opts.clock),
        .roots = api->roots.data,
        .roots_len = api->roots.len,
        .rsa_bits_max = (int)pst_conf_int(api->set.conf, PST_CONF_UPLOADS_RSA_BITS_MAX),
        .key_optional = to->only_check && inputs[1].len == 0,
    };
    uint8_t spki[32];

    if (u->passphrase && *u->passphrase) {
        int rc = pst_secret_set(&passphrase, u->passphrase, strlen(u->passphrase), err);
        if (rc < 0)
            return rc;
        q.passphrase = &passphrase;
    }
    int rc = judge(req, to, &q, &u->result, err);
    if (rc != PST_OK || !*to->domain_id || inputs[1].len > 0 || !u->result.chain.leaf.data ||
        !pst_cert_has(&u->result, PST_CERT_KEY_MISSING))
        return rc;
    rc = find_request(req, to, u, err);
    if (rc != PST_OK)
        return rc == PST_NOTFOUND ? PST_OK : rc;
    memcpy(spki, u->result.chain.info.spki_sha256, sizeof spki);
    q.held_spki_sha256 = spki;
    return judge(req, to, &q, &u->result, err);
}

int pst_upload_refuse(const struct pst_upload *u, struct pst_answer *ans, struct pst_err *err)
{
    auto_(pst_json_free) struct pst_json *errors = NULL, *findings = NULL;
    auto_(pst_json_free) struct pst_json *j = pst_json_object();

    int rc = pst_cert_errors_json(&u->result, &errors, err);
    if (rc == PST_OK)
        rc = pst_cert_findings_json(&u->result, &findings, err);
    if (rc < 0)
        return rc;
    if (!pst_json_set(j, "errors", pst_take(&errors)) ||
        !pst_json_set(j, "findings", pst_take(&findings)))
        return pst_fail_nomem(err, "the findings");
    rc = pst_answer_json(ans, 422, j, err);
    return rc == PST_OK ? PST_REFUSED : rc;
}

/* ---- storing ---- */

int pst_upload_prepare(struct pst_req *req, struct pst_upload *u, struct pst_err *err)
{
    struct pst_keyring *keys = pst_store_keys(req->api->opts.store);
    struct pst_certificate *c = &u->certificate;

    pst_id_new(req->api->opts.rand, c->id);
    c->sealed = (struct pst_buf)PST_BUF(SEALED_MAX);
    int rc = pst_certificate_fill(c, "custom", &u->result.chain, err);
    if (rc != PST_OK)
        return rc;
    if (u->result.has_key)
        return pst_key_seal_raw(keys, u->result.key_type, &u->result.key, "certificate", c->id,
                                &c->sealed, err);
    struct pst_sealed held = {"request", u->request_id, u->sealed.data, u->sealed.len};
    return pst_key_reseal(keys, &held, "certificate", c->id, &c->sealed, err);
}

void pst_upload_number(struct pst_tx *tx, struct pst_upload *u, struct pst_domain *d)
{
    /* Another one, should the transaction run again. */
    u->certificate.num = pst_certificate_num(tx);
    u->certificate.created_at_ms = 0;
    d->custom_cert = u->certificate.num;
}

int pst_upload_store(struct pst_tx *tx, struct pst_upload *u, const struct pst_domain *d,
                     struct pst_err *err)
{
    struct pst_certificate *c = &u->certificate;

    memcpy(c->domain_id, d->id, sizeof c->domain_id);
    int rc = pst_certificate_insert(tx, c, err);
    if (rc == PST_OK && u->request_id[0])
        rc = pst_request_used(tx, u->request_id, c->created_at_ms, err);
    return rc;
}

/* ---- checking only ---- */

struct check_body {
    const char *tlscert, *tlskey, *passphrase, *name;
};

#define MAYBE (PST_JSON_OPTIONAL | PST_JSON_NULLABLE)

static const struct pst_json_field fields[] = {
    PST_JSON_FIELD(struct check_body, tlscert, "tlscert", TEXT, MAYBE, 0),
    PST_JSON_FIELD(struct check_body, tlskey, "tlskey", TEXT, MAYBE, 0),
    PST_JSON_FIELD(struct check_body, passphrase, "passphrase", TEXT, MAYBE, 0),
    PST_JSON_FIELD(struct check_body, name, "name", TEXT, MAYBE, 0),
};

static int read_check(struct pst_req *req, struct check_body *b, char ascii[PST_NAME_SIZE],
                      struct pst_answer *ans)
{
    const struct pst_json *certificate = pst_json_get(req->json, "certificate");
    struct pst_err why = {0};

    if (pst_json_type(certificate) != PST_JSON_OBJECT)
        return pst_answer_invalid(ans, "certificate", "missing field");
    int rc = pst_req_decode(certificate, fields, PST_ARRAY_N(fields), b, ans);
    if (rc != PST_OK || !b->name || !*b->name)
        return rc;
    rc = pst_name_parse(b->name, PST_NAME_WILDCARD | PST_NAME_ANY_TLD, ascii, &why);
    return rc == PST_REFUSED ? pst_answer_invalid(ans, "name", "%s", why.text) : rc;
}

int pst_certificates_check(struct pst_req *req, struct pst_tx *tx, struct pst_answer *ans,
                           struct pst_err *err)
{
    auto_(pst_json_free) struct pst_json *report = NULL;
    auto_(pst_json_free) struct pst_json *j = pst_json_object();
    auto_upload struct pst_upload u = {0};
    struct check_body b = {0};
    char ascii[PST_NAME_SIZE] = "";

    (void)tx;
    int rc = read_check(req, &b, ascii, ans);
    if (rc != PST_OK)
        return rc;
    u.cert = b.tlscert;
    u.key = b.tlskey;
    u.passphrase = b.passphrase;
    struct pst_upload_for to = {
        .domain_id = "", .ascii = ascii[0] ? ascii : NULL, .only_check = true};
    rc = pst_upload_judge(req, &to, &u, err);
    if (rc == PST_OK)
        rc = pst_cert_report_json(&u.result, &report, err);
    if (rc != PST_OK)
        return rc;
    if (!pst_json_set(j, "report", pst_take(&report)))
        return pst_fail_nomem(err, "the report");
    return pst_answer_json(ans, 200, j, err);
}
