/* requests.c - certificate requests for authorities of the customer's choice; their keys stay. */
#include "api_internal.h"

#include <string.h>

#include <postern/crypto.h>

#include "slots.h"

enum { CSR_MAX = 16 * 1024, COMMON_NAME_MAX = 64 };

/* ---- answers ---- */

static int request_json(const struct pst_request *r, const char *name, struct pst_json **ret,
                        struct pst_err *err)
{
    auto_buf struct pst_buf pem = PST_BUF(2 * CSR_MAX);
    auto_(pst_json_free) struct pst_json *names = pst_json_array();
    auto_(pst_json_free) struct pst_json *j = pst_json_object();

    pst_pem_write(r->csr.data, r->csr.len, "CERTIFICATE REQUEST", &pem);
    int rc = pst_buf_check(&pem, "a certificate request", err);
    if (rc < 0)
        return rc;
    if (!pst_json_push_text(names, name) || !pst_json_set_text(j, "id", r->id) ||
        !pst_json_set_text(j, "key_type", r->key_type) ||
        !pst_json_set_int(j, "key_bits", r->key_bits) ||
        !pst_json_set_text(j, "subject", r->subject) ||
        !pst_json_set(j, "names", pst_take(&names)) ||
        !pst_json_set_time(j, "created_at", r->created_at_ms) ||
        !pst_json_set_time(j, "used_at", r->used_at_ms) ||
        !pst_json_set_text(j, "csr", pst_buf_cstr(&pem)))
        return pst_fail_nomem(err, "a certificate request");
    *ret = pst_take(&j);
    return PST_OK;
}

struct listing {
    struct pst_json *list;
    const char *name;
    struct pst_err *err;
};

static int list_request(const struct pst_request *r, void *arg)
{
    struct listing *l = arg;
    struct pst_json *j = NULL;

    int rc = request_json(r, l->name, &j, l->err);
    if (rc != PST_OK)
        return rc;
    return pst_json_push(l->list, j) ? PST_OK : pst_fail_nomem(l->err, "the requests");
}

int pst_requests_list(struct pst_req *req, struct pst_tx *tx, struct pst_answer *ans,
                      struct pst_err *err)
{
    auto_(pst_json_free) struct pst_json *list = pst_json_array();
    auto_(pst_json_free) struct pst_json *j = pst_json_object();
    struct pst_domain d;
    struct pst_app a;

    int rc = pst_req_domain(req, tx, &a, &d, ans, err);
    if (rc != PST_OK)
        return rc;
    struct listing l = {list, d.ascii, err};
    if (!list)
        return pst_fail_nomem(err, "the requests");
    rc = pst_request_each(tx, d.id, list_request, &l, err);
    if (rc != PST_OK)
        return rc;
    if (!pst_json_set(j, "csrs", pst_take(&list)))
        return pst_fail_nomem(err, "the requests");
    return pst_answer_json(ans, 200, j, err);
}

/* ---- making ---- */

struct request_body {
    const char *key_type;
    const char *parts[7]; /* of the subject, in the order of `subject` */
};

#define MAYBE (PST_JSON_OPTIONAL | PST_JSON_NULLABLE)

static const struct pst_json_field fields[] = {
    PST_JSON_FIELD(struct request_body, key_type, "key_type", TEXT, MAYBE, 16),
    PST_JSON_FIELD(struct request_body, parts[0], "country", TEXT, MAYBE, 0),
    PST_JSON_FIELD(struct request_body, parts[1], "state", TEXT, MAYBE, 0),
    PST_JSON_FIELD(struct request_body, parts[2], "locality", TEXT, MAYBE, 0),
    PST_JSON_FIELD(struct request_body, parts[3], "organization", TEXT, MAYBE, 0),
    PST_JSON_FIELD(struct request_body, parts[4], "unit", TEXT, MAYBE, 0),
    PST_JSON_FIELD(struct request_body, parts[5], "common_name", TEXT, MAYBE, 0),
    PST_JSON_FIELD(struct request_body, parts[6], "email", TEXT, MAYBE, 0),
};
static const char *const short_names[] = {"C", "ST", "L", "O", "OU", "CN", "emailAddress"};

static const struct {
    const char *name;
    enum pst_key_type type;
    int rsa_bits;
} key_types[] = {
    {"p256", PST_KEY_P256, 0},      {"p384", PST_KEY_P384, 0},      {"rsa", PST_KEY_RSA, 2048},
    {"rsa2048", PST_KEY_RSA, 2048}, {"rsa3072", PST_KEY_RSA, 3072}, {"rsa4096", PST_KEY_RSA, 4096},
};

struct making {
    struct pst_req *req;
    struct pst_answer *ans;
    struct pst_domain domain;
    struct request_body body;
    struct pst_request request;
};

static void making_deinit(struct making *m)
{
    pst_request_deinit(&m->request);
}

static int find_tx(struct pst_tx *tx, void *arg, struct pst_err *err)
{
    struct making *m = arg;
    struct pst_app a;

    return pst_req_domain(m->req, tx, &a, &m->domain, m->ans, err);
}

static int read_body(struct making *m)
{
    const struct pst_json *csr = pst_json_get(m->req->json, "csr");

    if (csr && pst_json_type(csr) != PST_JSON_OBJECT)
        return pst_answer_invalid(m->ans, "csr", "must be an object");
    int rc = csr ? pst_req_decode(csr, fields, PST_ARRAY_N(fields), &m->body, m->ans) : PST_OK;
    if (rc != PST_OK)
        return rc;
    /* Many authorities still want it; a longer name stands only among the alternative names. */
    if (!m->body.parts[5] && strlen(m->domain.ascii) <= COMMON_NAME_MAX)
        m->body.parts[5] = m->domain.ascii;
    return PST_OK;
}

static int new_key(struct making *m, struct pst_err *err)
{
    struct pst_keyring *keys = pst_store_keys(m->req->api->opts.store);
    auto_buf struct pst_buf spki = PST_BUF(PST_SPKI_MAX);
    const char *wanted = m->body.key_type && *m->body.key_type ? m->body.key_type : "p256";
    struct pst_request *r = &m->request;

    for (size_t i = 0; i < PST_ARRAY_N(key_types); i++) {
        if (!pst_streq(wanted, key_types[i].name))
            continue;
        r->sealed = (struct pst_buf)PST_BUF(PST_SEAL_MAX);
        int rc = pst_key_new(keys, key_types[i].type, key_types[i].rsa_bits, "request", r->id,
                             &r->sealed, &spki, err);
        return rc == PST_OK ? pst_sha256_hex(spki.data, spki.len, r->spki_sha256, err) : rc;
    }
    return pst_answer_invalid(m->ans, "key_type",
                              "must be p256, p384, rsa2048, rsa3072 or rsa4096");
}

/* Making an RSA key takes seconds of a worker. */
static int new_key_in_turn(struct making *m, struct pst_err *err)
{
    struct pst_slots *slots = m->req->api->rsa_keys;
    const char *user_id = m->req->user.id;

    if (!m->body.key_type || !pst_str_starts(m->body.key_type, "rsa"))
        return new_key(m, err);
    if (!pst_slot_take(slots, user_id)) {
        int rc = pst_answer_error(m->ans, 429, "other RSA keys are being made; try again");
        m->ans->retry_after_s = 2;
        return rc;
    }
    int rc = new_key(m, err);
    pst_slot_give(slots, user_id);
    return rc;
}

/* "/C=FR/O=Acme/CN=www.example.com" */
static void write_subject(struct making *m)
{
    auto_buf struct pst_buf text = PST_BUF(sizeof m->request.subject - 1);

    for (size_t i = 0; i < PST_ARRAY_N(short_names); i++)
        if (m->body.parts[i] && *m->body.parts[i])
            pst_buf_printf(&text, "/%s=%s", short_names[i], m->body.parts[i]);
    pst_str_cut(m->request.subject, sizeof m->request.subject, pst_buf_cstr(&text));
}

PST_CLEANUP(struct pst_key_handle, pst_key_free);

static int make(struct making *m, struct pst_err *err)
{
    struct pst_keyring *keys = pst_store_keys(m->req->api->opts.store);
    auto_(pst_key_free) struct pst_key_handle *key = NULL;
    const char *const *p = m->body.parts;
    const char *const names[] = {m->domain.ascii};
    struct pst_csr_subject subject = {p[0], p[1], p[2], p[3], p[4], p[5], p[6]};
    struct pst_request *r = &m->request;
    struct pst_key_info info;

    pst_id_new(m->req->api->opts.rand, r->id);
    memcpy(r->domain_id, m->domain.id, sizeof r->domain_id);
    int rc = new_key_in_turn(m, err);
    if (rc == PST_OK)
        rc = pst_key_open(keys, "request", r->id, r->sealed.data, r->sealed.len, &key, err);
    if (rc == PST_OK)
        rc = pst_key_info(key, &info, err);
    if (rc != PST_OK)
        return rc;
    pst_str_copy(r->key_type, sizeof r->key_type, pst_key_type_name(info.type));
    r->key_bits = info.bits;
    write_subject(m);
    r->csr = (struct pst_buf)PST_BUF(CSR_MAX);
    rc = pst_csr_new_subject(key, &subject, names, 1, &r->csr, err);
    if (rc == PST_EINPUT)
        return pst_answer_invalid(m->ans, err->problem[0] ? err->problem : "csr", "%s", err->text);
    return rc;
}

static int store_tx(struct pst_tx *tx, void *arg, struct pst_err *err)
{
    struct making *m = arg;
    struct pst_domain d;
    struct pst_app a;
    int64_t n = 0;

    pst_answer_reset(m->ans);
    int rc = pst_req_domain(m->req, tx, &a, &d, m->ans, err);
    if (rc == PST_OK)
        rc = pst_request_count(tx, d.id, &n, err);
    if (rc == PST_OK && n >= PST_REQUESTS_MAX)
        return pst_answer_invalid(m->ans, "csr", "there are %d requests already: delete one first",
                                  PST_REQUESTS_MAX);
    if (rc == PST_OK)
        rc = pst_request_insert(tx, &m->request, err);
    if (rc != PST_OK)
        return rc;
    return pst_req_event(m->req, tx, "csr.made", d.app_id, d.id, err,
                         "a %s key and a certificate request were made for %s", m->request.key_type,
                         d.name);
}

int pst_requests_create(struct pst_req *req, struct pst_tx *tx, struct pst_answer *ans,
                        struct pst_err *err)
{
    __attribute__((cleanup(making_deinit))) struct making m = {.req = req, .ans = ans};
    auto_(pst_json_free) struct pst_json *csr = NULL;
    auto_(pst_json_free) struct pst_json *j = pst_json_object();
    struct pst_store *store = req->api->opts.store;

    (void)tx;
    int rc = pst_store_read(store, find_tx, &m, err);
    if (rc == PST_OK)
        rc = pst_req_object(req, ans);
    if (rc == PST_OK)
        rc = read_body(&m);
    if (rc == PST_OK)
        rc = make(&m, err);
    if (rc == PST_OK)
        rc = pst_store_write(store, store_tx, &m, NULL, err);
    if (rc == PST_OK)
        rc = request_json(&m.request, m.domain.ascii, &csr, err);
    if (rc != PST_OK)
        return rc;
    if (!pst_json_set(j, "csr", pst_take(&csr)))
        return pst_fail_nomem(err, "the request");
    return pst_answer_json(ans, 201, j, err);
}

/* ---- forgetting ---- */

int pst_requests_delete(struct pst_req *req, struct pst_tx *tx, struct pst_answer *ans,
                        struct pst_err *err)
{
    struct pst_domain d;
    struct pst_app a;

    int rc = pst_req_domain(req, tx, &a, &d, ans, err);
    if (rc != PST_OK)
        return rc;
    rc = pst_request_delete(tx, d.id, req->params[2], err);
    if (rc == PST_NOTFOUND)
        return pst_answer_absent(ans, "csr");
    if (rc == PST_OK)
        rc = pst_req_event(req, tx, "csr.deleted", d.app_id, d.id, err,
                           "a certificate request of %s and its key were deleted", d.name);
    return rc == PST_OK ? pst_answer_empty(ans, 204) : rc;
}
