/* read_x509.c - all that a judge of certificates wants to know of one. */
#include "read_internal.h"
#include <openssl/err.h>
#include <string.h>

PST_CLEANUP(AUTHORITY_INFO_ACCESS, AUTHORITY_INFO_ACCESS_free);
PST_CLEANUP(BASIC_CONSTRAINTS, BASIC_CONSTRAINTS_free);
PST_CLEANUP(NAME_CONSTRAINTS, NAME_CONSTRAINTS_free);

enum { MODULUS_MAX = 16384, PATH_LEN_MAX = 1000 };

struct pst_x509 {
    X509 *x;
    uint8_t *der;
    struct pst_x509_facts facts;
};
PST_CLEANUP(struct pst_x509, pst_x509_free);

void pst_x509_free(struct pst_x509 *x)
{
    if (!x)
        return;
    X509_free(x->x);
    pst_cert_info_deinit(&x->facts.info);
    pst_free(x->der);
    pst_free(x);
}

const struct pst_x509_facts *pst_x509_facts(const struct pst_x509 *x)
{
    return &x->facts;
}

static void read_usage(X509 *x, struct pst_x509_facts *f)
{
    uint32_t flags = X509_get_extension_flags(x);
    uint32_t usage = X509_get_key_usage(x), purpose = X509_get_extended_key_usage(x);

    f->usage_present = (flags & EXFLAG_KUSAGE) != 0;
    f->usage_sign = !f->usage_present || (usage & KU_DIGITAL_SIGNATURE) != 0;
    f->usage_ca = !f->usage_present || (usage & KU_KEY_CERT_SIGN) != 0;
    f->purpose_present = (flags & EXFLAG_XKUSAGE) != 0;
    f->purpose_server = !f->purpose_present || (purpose & (XKU_SSL_SERVER | XKU_ANYEKU)) != 0;
}

static void read_signature(X509 *x, struct pst_x509_facts *f)
{
    int bits = 0;

    (void)pst_str_copy(f->sig_name, sizeof f->sig_name, "an unknown algorithm");
    if (X509_get_signature_info(x, NULL, NULL, &bits, NULL) == 1)
        f->sig_bits = bits;
    if (X509_get_signature_nid(x) != NID_undef)
        (void)pst_str_copy(f->sig_name, sizeof f->sig_name, OBJ_nid2ln(X509_get_signature_nid(x)));
}

static void read_limits(const X509 *x, struct pst_x509_facts *f)
{
    auto_(BASIC_CONSTRAINTS_free) BASIC_CONSTRAINTS *basic =
        X509_get_ext_d2i(x, NID_basic_constraints, NULL, NULL);
    auto_(NAME_CONSTRAINTS_free) NAME_CONSTRAINTS *names =
        X509_get_ext_d2i(x, NID_name_constraints, NULL, NULL);
    int64_t n;

    f->path_len = -1;
    if (basic && basic->pathlen && ASN1_INTEGER_get_int64(&n, basic->pathlen) == 1)
        f->path_len = n < 0 ? 0 : n > PATH_LEN_MAX ? PATH_LEN_MAX : n;
    f->constrains_names = names != NULL;
}

static void read_critical(const X509 *x, struct pst_x509_facts *f)
{
    for (int i = 0; i < X509_get_ext_count(x) && f->critical_oid[0] == 0; i++) {
        X509_EXTENSION *ext = X509_get_ext(x, i);

        if (X509_EXTENSION_get_critical(ext) && X509_supported_extension(ext) == 0)
            (void)OBJ_obj2txt(f->critical_oid, sizeof f->critical_oid,
                              X509_EXTENSION_get_object(ext), 1);
    }
}

static bool url_ok(const char *s, size_t len)
{
    for (size_t i = 0; i < len; i++)
        if (s[i] <= ' ' || s[i] >= 0x7f)
            return false;
    return len > 0 && len < PST_AIA_URL_SIZE;
}

static void read_aia(const X509 *x, struct pst_x509_facts *f)
{
    auto_(AUTHORITY_INFO_ACCESS_free) AUTHORITY_INFO_ACCESS *list =
        X509_get_ext_d2i(x, NID_info_access, NULL, NULL);

    for (int i = 0; i < sk_ACCESS_DESCRIPTION_num(list) && f->aia_n < PST_AIA_MAX; i++) {
        const ACCESS_DESCRIPTION *entry = sk_ACCESS_DESCRIPTION_value(list, i);
        const ASN1_IA5STRING *uri = entry->location->d.uniformResourceIdentifier;
        const char *text;
        size_t len;

        if (OBJ_obj2nid(entry->method) != NID_ad_ca_issuers || entry->location->type != GEN_URI)
            continue;
        text = (const char *)ASN1_STRING_get0_data(uri);
        len = (size_t)ASN1_STRING_length(uri);
        if (!url_ok(text, len) || len < 7 || strncasecmp(text, "http://", 7) != 0)
            continue;
        memcpy(f->aia[f->aia_n], text, len);
        f->aia[f->aia_n++][len] = 0;
    }
}

static void read_key_name(const X509 *x, struct pst_x509_facts *f)
{
    const EVP_PKEY *pkey = X509_get0_pubkey(x);

    if (pkey)
        pst_pkey_name(pkey, f->key_name, sizeof f->key_name);
    else
        (void)pst_str_copy(f->key_name, sizeof f->key_name, "unknown");
}

static int read_facts(struct pst_x509 *c, struct pst_err *err)
{
    struct pst_x509_facts *f = &c->facts;
    int rc = pst_cert_read(c->x, c->der, f->der_len, &f->info, err);

    if (rc == PST_OK)
        rc = pst_der_subject_sha256(c->der, f->der_len, f->subject_sha256, err);
    if (rc == PST_OK)
        rc = pst_der_issuer_sha256(c->der, f->der_len, f->issuer_sha256, err);
    if (rc < 0)
        return rc;
    f->subject_empty = X509_NAME_entry_count(X509_get_subject_name(c->x)) == 0;
    read_key_name(c->x, f);
    read_usage(c->x, f);
    read_signature(c->x, f);
    read_limits(c->x, f);
    read_critical(c->x, f);
    read_aia(c->x, f);
    ERR_clear_error();
    return PST_OK;
}

int pst_x509_read(const void *der, size_t len, struct pst_x509 **ret, struct pst_err *err)
{
    auto_(pst_x509_free) struct pst_x509 *c = pst_zalloc(1, sizeof *c);
    int rc;

    if (!c)
        return pst_fail_nomem(err, "a certificate");
    rc = pst_cert_from_der(der, len, &c->x, err);
    if (rc == PST_OK) {
        c->der = pst_memdup(der, len);
        c->facts.der = c->der;
        c->facts.der_len = len;
        rc = c->der ? read_facts(c, err) : pst_fail_nomem(err, "a certificate");
    }
    if (rc == PST_EINPUT) {
        if (err)
            err->rc = PST_REFUSED;
        return pst_name_problem(err, "damaged", PST_REFUSED);
    }
    if (rc == PST_OK)
        *ret = pst_take(&c);
    return rc;
}

/* ---- one above the other ---- */

bool pst_x509_names_issuer(const struct pst_x509 *x, const struct pst_x509 *issuer)
{
    int rc = X509_check_issued(issuer->x, x->x);

    ERR_clear_error();
    /* Whether it may sign is a question of its own, with an answer of its own. */
    return rc == X509_V_OK || rc == X509_V_ERR_KEYUSAGE_NO_CERTSIGN;
}

bool pst_x509_signed_by(const struct pst_x509 *x, const struct pst_x509 *issuer)
{
    EVP_PKEY *pkey = X509_get0_pubkey(issuer->x);
    bool ok = pkey && EVP_PKEY_get_bits(pkey) <= MODULUS_MAX && X509_verify(x->x, pkey) == 1;

    ERR_clear_error();
    return ok;
}

bool pst_x509_names_permitted(const struct pst_x509 *x, const struct pst_x509 *ca)
{
    auto_(NAME_CONSTRAINTS_free) NAME_CONSTRAINTS *names =
        X509_get_ext_d2i(ca->x, NID_name_constraints, NULL, NULL);
    bool ok = !names || NAME_CONSTRAINTS_check(x->x, names) == X509_V_OK;

    ERR_clear_error();
    return ok;
}
