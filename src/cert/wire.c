/*
 * wire.c - what goes over the pipe between posternd and the process that reads.
 *
 * Numbers are little-endian; bytes and texts have their length (4 bytes) in front.  Neither side
 * trusts the other: all lengths and enumerations are checked.
 */
#include "cert_internal.h"
#include <string.h>

enum {
    MAGIC_REQUEST = 0x31515250, /* "PRQ1" */
    MAGIC_RESULT = 0x31535250,  /* "PRS1" */
    MAGIC_STAY = 0x31545350,    /* "PST1" */
    SENTENCE_MAX = 4000,
    TEXT_MAX = 16 * 1024,
    KEY_BYTES_MAX = 16 * 1024,
};

/* ---- writing ---- */

static void put_number(struct pst_buf *to, uint64_t v, size_t bytes)
{
    while (bytes-- > 0) {
        pst_buf_char(to, (char)(v & 0xff));
        v >>= 8;
    }
}

static void put_u8(struct pst_buf *to, unsigned v)
{
    put_number(to, v, 1);
}

static void put_u32(struct pst_buf *to, size_t v)
{
    put_number(to, v, 4);
}

static void put_i64(struct pst_buf *to, int64_t v)
{
    put_number(to, (uint64_t)v, 8);
}

static void put_bytes(struct pst_buf *to, const void *data, size_t len)
{
    put_u32(to, len);
    pst_buf_add(to, data, len);
}

/* The final NUL goes along, so that the reader can point at it. */
static void put_text(struct pst_buf *to, const char *s)
{
    put_bytes(to, s ? s : "", s ? strlen(s) + 1 : 1);
}

/* ---- reading ---- */

struct in {
    const uint8_t *at;
    const uint8_t *end;
    bool bad;
};

static const uint8_t *get_raw(struct in *in, size_t len)
{
    const uint8_t *at = in->at;

    if (in->bad || (size_t)(in->end - in->at) < len) {
        in->bad = true;
        return NULL;
    }
    in->at += len;
    return at;
}

static uint64_t get_number(struct in *in, size_t bytes)
{
    const uint8_t *p = get_raw(in, bytes);
    uint64_t v = 0;

    for (size_t i = bytes; p && i > 0; i--)
        v = v << 8 | p[i - 1];
    return v;
}

/* A number below or equal to `max`. */
static uint64_t get_up_to(struct in *in, size_t bytes, uint64_t max)
{
    uint64_t v = get_number(in, bytes);

    if (v > max) {
        in->bad = true;
        return 0;
    }
    return v;
}

static bool get_bool(struct in *in)
{
    return get_up_to(in, 1, 1) == 1;
}

static const uint8_t *get_bytes(struct in *in, size_t max, size_t *ret_len)
{
    *ret_len = get_up_to(in, 4, max);
    return get_raw(in, *ret_len);
}

static const char *get_text(struct in *in, size_t max)
{
    size_t len;
    const char *s = (const char *)get_bytes(in, max, &len);

    if (!s || len == 0 || memchr(s, 0, len) != s + len - 1 || !pst_utf8_ok(s, len - 1)) {
        in->bad = true;
        return "";
    }
    return s;
}

/* ---- the request ---- */

void pst_wire_write_request(const struct pst_cert_request *req, struct pst_buf *to)
{
    put_u32(to, MAGIC_REQUEST);
    put_i64(to, req->at);
    put_u32(to, (size_t)(req->rsa_bits_max > 0 ? req->rsa_bits_max : 0));
    put_u8(to, req->key_optional);
    put_u8(to, req->held_spki_sha256 != NULL);
    if (req->held_spki_sha256)
        pst_buf_add(to, req->held_spki_sha256, 32);
    put_bytes(to, req->passphrase ? req->passphrase->data : NULL,
              req->passphrase ? req->passphrase->len : 0);
    put_u8(to, (unsigned)req->inputs_n);
    for (size_t i = 0; i < req->inputs_n; i++) {
        put_u8(to, req->inputs[i].field);
        put_bytes(to, req->inputs[i].data, req->inputs[i].len);
    }
    put_u8(to, (unsigned)req->names_n);
    for (size_t i = 0; i < req->names_n; i++)
        put_text(to, req->names[i]);
    put_bytes(to, req->roots, req->roots_len);
    put_bytes(to, req->extra, req->extra_len);
}

void pst_wire_write_stay(const void *roots, size_t roots_len, struct pst_buf *to)
{
    put_u32(to, MAGIC_STAY);
    put_bytes(to, roots, roots_len);
}

bool pst_wire_read_stay(const void *bytes, size_t len, const void **ret_roots,
                        size_t *ret_roots_len)
{
    struct in in = {bytes, (const uint8_t *)bytes + len, false};

    if (get_number(&in, 4) != MAGIC_STAY)
        return false;
    *ret_roots = get_bytes(&in, PST_CERT_ROOTS_MAX, ret_roots_len);
    return !in.bad && in.at == in.end;
}

bool pst_wire_read_request(void *bytes, size_t len, struct pst_wire_request *ret)
{
    struct in in = {bytes, (const uint8_t *)bytes + len, false};
    struct pst_cert_request *req = &ret->req;

    *ret = (struct pst_wire_request){0};
    if (get_number(&in, 4) != MAGIC_REQUEST)
        return false;
    req->at = (int64_t)get_number(&in, 8);
    req->rsa_bits_max = (int)get_up_to(&in, 4, 16384);
    req->key_optional = get_bool(&in);
    if (get_bool(&in))
        req->held_spki_sha256 = get_raw(&in, 32);
    ret->passphrase.data =
        (uint8_t *)(uintptr_t)get_bytes(&in, PST_CERT_PASSPHRASE_MAX, &ret->passphrase.len);
    req->passphrase = ret->passphrase.len > 0 ? &ret->passphrase : NULL;
    req->inputs = ret->inputs;
    req->inputs_n = get_up_to(&in, 1, PST_CERT_INPUTS_MAX);
    for (size_t i = 0; i < req->inputs_n; i++) {
        ret->inputs[i].field = (enum pst_cert_field)get_up_to(&in, 1, PST_CERT_FIELD__COUNT - 1);
        ret->inputs[i].data = get_bytes(&in, PST_CERT_INPUT_MAX, &ret->inputs[i].len);
    }
    req->names = ret->names;
    req->names_n = get_up_to(&in, 1, PST_CERT_NAMES_ASKED_MAX);
    for (size_t i = 0; i < req->names_n; i++)
        ret->names[i] = get_text(&in, PST_NAME_SIZE);
    req->roots = get_bytes(&in, PST_CERT_ROOTS_MAX, &req->roots_len);
    req->extra = get_bytes(&in, PST_CERT_EXTRA_MAX, &req->extra_len);
    return !in.bad && in.at == in.end;
}

/* ---- the result ---- */

static void put_info(struct pst_buf *to, const struct pst_cert_info *info)
{
    pst_buf_add(to, info->sha256, sizeof info->sha256);
    pst_buf_add(to, info->spki_sha256, sizeof info->spki_sha256);
    put_i64(to, info->not_before);
    put_i64(to, info->not_after);
    put_u8(to, info->key_type);
    put_u32(to, (size_t)info->key_bits);
    put_text(to, info->serial);
    put_text(to, info->subject);
    put_text(to, info->issuer);
    put_text(to, info->subject_cn);
    put_text(to, info->issuer_cn);
    put_u32(to, info->names_n);
    for (size_t i = 0; i < info->names_n; i++)
        put_text(to, info->names[i]);
    put_u32(to, info->other_names_n);
    put_u8(to, info->is_ca);
    put_u8(to, info->self_signed);
    put_u8(to, info->has_aki);
    put_u8(to, info->must_staple);
    put_text(to, info->ari_cert_id);
}

static void put_chain(struct pst_buf *to, const struct pst_chain *chain)
{
    put_u8(to, chain->leaf.data != NULL);
    if (!chain->leaf.data)
        return;
    put_bytes(to, chain->leaf.data, chain->leaf.len);
    put_u8(to, (unsigned)chain->issuers_n);
    for (size_t i = 0; i < chain->issuers_n; i++)
        put_bytes(to, chain->issuers[i].data, chain->issuers[i].len);
    put_text(to, chain->last_issuer_cn);
    put_i64(to, chain->issuers_not_after);
    put_info(to, &chain->info);
}

void pst_wire_write_result(const struct pst_cert_result *r, struct pst_buf *to)
{
    put_u32(to, MAGIC_RESULT);
    put_u8(to, r->accepted);
    put_u8(to, (unsigned)r->findings_n);
    for (size_t i = 0; i < r->findings_n; i++) {
        put_u8(to, r->findings[i].code);
        put_u8(to, r->findings[i].field);
        put_text(to, r->findings[i].sentence);
        put_text(to, r->findings[i].fix);
    }
    put_chain(to, &r->chain);
    put_u8(to, r->missing.is_missing);
    pst_buf_add(to, r->missing.subject_sha256, sizeof r->missing.subject_sha256);
    put_u8(to, (unsigned)r->missing.urls_n);
    for (size_t i = 0; i < r->missing.urls_n; i++)
        put_text(to, r->missing.urls[i]);
    put_u8(to, r->has_key);
    if (!r->has_key)
        return;
    put_u8(to, r->key_type);
    put_u32(to, (size_t)r->key_bits);
    put_bytes(to, r->key.data, r->key.len);
}

/* Copies of what is read belong to the result at once, so that a fault releases them with it. */
static bool copy_text(struct in *in, size_t max, char **ret)
{
    const char *s = get_text(in, max);

    if (in->bad)
        return true; /* told by in->bad */
    *ret = pst_strdup(s);
    return *ret != NULL;
}

static bool copy_der(struct in *in, struct pst_der *ret)
{
    size_t len;
    const uint8_t *p = get_bytes(in, PST_CERT_MAX, &len);

    if (!p)
        return true;
    ret->data = pst_memdup(p, len);
    ret->len = len;
    return ret->data != NULL;
}

static void copy_fixed(struct in *in, void *to, size_t len)
{
    const uint8_t *p = get_raw(in, len);

    if (p)
        memcpy(to, p, len);
}

static void copy_array(struct in *in, char *to, size_t size)
{
    if (!pst_str_copy(to, size, get_text(in, size)))
        in->bad = true;
}

static bool read_names(struct in *in, struct pst_cert_info *info)
{
    size_t n = get_up_to(in, 4, PST_CERT_NAMES_MAX);

    info->names = pst_zalloc(n, sizeof *info->names);
    if (!info->names)
        return false;
    for (size_t i = 0; i < n && !in->bad; i++) {
        if (!copy_text(in, TEXT_MAX, &info->names[i]))
            return false;
        info->names_n += !in->bad;
    }
    return true;
}

static bool read_info(struct in *in, struct pst_cert_info *info)
{
    bool memory;

    copy_fixed(in, info->sha256, sizeof info->sha256);
    copy_fixed(in, info->spki_sha256, sizeof info->spki_sha256);
    info->not_before = (int64_t)get_number(in, 8);
    info->not_after = (int64_t)get_number(in, 8);
    info->key_type = (enum pst_key_type)get_up_to(in, 1, PST_KEY_TYPE__COUNT - 1);
    info->key_bits = (int)get_up_to(in, 4, INT32_MAX);
    copy_array(in, info->serial, sizeof info->serial);
    memory = copy_text(in, TEXT_MAX, &info->subject) && copy_text(in, TEXT_MAX, &info->issuer) &&
             copy_text(in, TEXT_MAX, &info->subject_cn) &&
             copy_text(in, TEXT_MAX, &info->issuer_cn) && read_names(in, info);
    info->other_names_n = get_up_to(in, 4, PST_CERT_NAMES_MAX);
    info->is_ca = get_bool(in);
    info->self_signed = get_bool(in);
    info->has_aki = get_bool(in);
    info->must_staple = get_bool(in);
    copy_array(in, info->ari_cert_id, sizeof info->ari_cert_id);
    return memory;
}

static bool read_chain(struct in *in, struct pst_chain *chain)
{
    size_t n;

    if (!get_bool(in))
        return true;
    if (!copy_der(in, &chain->leaf))
        return false;
    n = get_up_to(in, 1, PST_CERT_PATH_MAX);
    chain->issuers = pst_zalloc(PST_CERT_PATH_MAX, sizeof *chain->issuers);
    if (!chain->issuers)
        return false;
    for (size_t i = 0; i < n && !in->bad; i++)
        if (!copy_der(in, &chain->issuers[chain->issuers_n++]))
            return false;
    if (!copy_text(in, TEXT_MAX, &chain->last_issuer_cn))
        return false;
    chain->issuers_not_after = (int64_t)get_number(in, 8);
    return read_info(in, &chain->info);
}

static bool read_findings(struct in *in, struct pst_cert_result *r)
{
    size_t n = get_up_to(in, 1, PST_CERT_FINDINGS_MAX);

    r->findings = pst_zalloc(n, sizeof *r->findings);
    if (!r->findings)
        return false;
    for (size_t i = 0; i < n && !in->bad; i++) {
        struct pst_cert_finding *f = &r->findings[r->findings_n++];

        f->code = (enum pst_cert_code)get_up_to(in, 1, PST_CERT_CODE__COUNT - 1);
        f->field = (enum pst_cert_field)get_up_to(in, 1, PST_CERT_FIELD__COUNT - 1);
        if (!copy_text(in, SENTENCE_MAX, &f->sentence) || !copy_text(in, SENTENCE_MAX, &f->fix))
            return false;
    }
    return true;
}

static bool read_rest(struct in *in, struct pst_cert_result *r)
{
    const uint8_t *key;
    size_t len;

    r->missing.is_missing = get_bool(in);
    copy_fixed(in, r->missing.subject_sha256, sizeof r->missing.subject_sha256);
    r->missing.urls_n = get_up_to(in, 1, PST_ARRAY_N(r->missing.urls));
    for (size_t i = 0; i < r->missing.urls_n; i++)
        copy_array(in, r->missing.urls[i], sizeof r->missing.urls[i]);
    r->has_key = get_bool(in);
    if (!r->has_key)
        return true;
    r->key_type = (enum pst_key_type)get_up_to(in, 1, PST_KEY_OTHER - 1);
    r->key_bits = (int)get_up_to(in, 4, INT32_MAX);
    key = get_bytes(in, KEY_BYTES_MAX, &len);
    return !key || pst_secret_set(&r->key, key, len, NULL) == PST_OK;
}

/* What holds of every result, whoever wrote it. */
static bool consistent(const struct pst_cert_result *r)
{
    bool error = false;

    for (size_t i = 0; i < r->findings_n; i++)
        error |= pst_cert_code_is_error(r->findings[i].code);
    return r->accepted == !error && (!r->accepted || r->chain.leaf.data) &&
           (!r->has_key || r->accepted) && (!r->chain.leaf.data || r->chain.leaf.len > 0);
}

int pst_wire_read_result(const void *bytes, size_t len, struct pst_cert_result *ret,
                         struct pst_err *err)
{
    struct in in = {bytes, (const uint8_t *)bytes + len, false};
    auto_cert_result struct pst_cert_result r = {0};

    if (get_number(&in, 4) != MAGIC_RESULT)
        return pst_fail(err, PST_EINTERNAL, "the reading process gave no result");
    r.accepted = get_bool(&in);
    if (!read_findings(&in, &r) || !read_chain(&in, &r.chain) || !read_rest(&in, &r))
        return pst_fail_nomem(err, "a result");
    if (in.bad || in.at != in.end || !consistent(&r))
        return pst_fail(err, PST_EINTERNAL, "the reading process gave a damaged result");
    pst_cert_result_deinit(ret);
    *ret = r;
    r = (struct pst_cert_result){0};
    return PST_OK;
}
