/* csr.c - certificate requests. */
#include "crypto_internal.h"
#include <stddef.h>
#include <string.h>

static void extensions_free(STACK_OF(X509_EXTENSION) * list)
{
    sk_X509_EXTENSION_pop_free(list, X509_EXTENSION_free);
}
PST_CLEANUP(STACK_OF(X509_EXTENSION), extensions_free);

static int add_names(X509_REQ *req, const char *const *names, size_t names_n, struct pst_err *err)
{
    auto_(extensions_free) STACK_OF(X509_EXTENSION) *list = sk_X509_EXTENSION_new_null();
    auto_(X509_EXTENSION_free) X509_EXTENSION *san = NULL;
    int rc = pst_san_ext(names, names_n, &san, err);

    if (rc < 0)
        return rc;
    if (!list || sk_X509_EXTENSION_push(list, san) <= 0)
        return pst_fail_ossl(err, PST_ENOMEM, "a certificate request");
    (void)pst_take(&san);
    if (X509_REQ_add_extensions(req, list) != 1)
        return pst_fail_ossl(err, PST_EINTERNAL, "a certificate request");
    return PST_OK;
}

/* ---- subject ---- */

struct part {
    const char *name; /* of the field, for errors */
    int nid;
    int type; /* of the string */
    size_t at;
    size_t min, max; /* characters */
};

#define PART(field, nid, type, min, max)                                                           \
    {                                                                                              \
#field, nid, type, offsetof(struct pst_csr_subject, field), min, max                       \
    }

static const struct part parts[] = {
    PART(country, NID_countryName, V_ASN1_PRINTABLESTRING, 2, 2),
    PART(state, NID_stateOrProvinceName, V_ASN1_UTF8STRING, 1, 128),
    PART(locality, NID_localityName, V_ASN1_UTF8STRING, 1, 128),
    PART(organization, NID_organizationName, V_ASN1_UTF8STRING, 1, 64),
    PART(unit, NID_organizationalUnitName, V_ASN1_UTF8STRING, 1, 64),
    PART(common_name, NID_commonName, V_ASN1_UTF8STRING, 1, 64),
    PART(email, NID_pkcs9_emailAddress, V_ASN1_IA5STRING, 3, 255),
};

static size_t characters(const char *text)
{
    size_t n = 0;

    for (; *text; text++)
        n += (*text & 0xc0) != 0x80;
    return n;
}

static bool fits(const struct part *p, const char *text)
{
    size_t n = characters(text);
    bool ascii = true;

    if (n < p->min || n > p->max || !pst_utf8_ok(text, strlen(text)))
        return false;
    for (const char *c = text; *c; c++) {
        if ((unsigned char)*c < 0x20 || *c == 0x7f)
            return false;
        ascii &= (unsigned char)*c < 0x80;
    }
    if (p->type == V_ASN1_PRINTABLESTRING) /* only the country: two capital letters */
        return text[0] >= 'A' && text[0] <= 'Z' && text[1] >= 'A' && text[1] <= 'Z';
    return p->type == V_ASN1_UTF8STRING || ascii;
}

static int add_subject(X509_REQ *req, const struct pst_csr_subject *s, struct pst_err *err)
{
    X509_NAME *name = X509_REQ_get_subject_name(req);

    for (size_t i = 0; i < PST_ARRAY_N(parts); i++) {
        const struct part *p = &parts[i];
        const char *text;

        memcpy(&text, (const char *)s + p->at, sizeof text);
        if (!text || !*text)
            continue;
        if (!fits(p, text)) {
            int rc = pst_fail(err, PST_EINPUT, "must be %zu to %zu characters%s", p->min, p->max,
                              p->nid == NID_countryName ? ", capital letters as in FR" : "");

            pst_err_problem(err, p->name);
            return rc;
        }
        if (X509_NAME_add_entry_by_NID(name, p->nid, p->type, (const unsigned char *)text, -1, -1,
                                       0) != 1)
            return pst_fail_ossl(err, PST_ENOMEM, "a certificate request");
    }
    return PST_OK;
}

/* ---- the request ---- */

int pst_csr_new_subject(const struct pst_key_handle *h, const struct pst_csr_subject *subject,
                        const char *const *names, size_t names_n, struct pst_buf *ret_der,
                        struct pst_err *err)
{
    const EVP_MD *digest = h->type == PST_KEY_ED25519 ? NULL : EVP_sha256();
    auto_(X509_REQ_free) X509_REQ *req = X509_REQ_new();
    unsigned char *der = NULL;
    int len, rc;

    if (!req)
        return pst_fail_ossl(err, PST_ENOMEM, "a certificate request");
    rc = add_subject(req, subject, err);
    if (rc == PST_OK)
        rc = add_names(req, names, names_n, err);
    if (rc < 0)
        return rc;
    if (X509_REQ_set_version(req, X509_REQ_VERSION_1) != 1 ||
        X509_REQ_set_pubkey(req, h->pkey) != 1 || X509_REQ_sign(req, h->pkey, digest) <= 0)
        return pst_fail_ossl(err, PST_EINTERNAL, "signing a certificate request");

    len = i2d_X509_REQ(req, &der);
    if (len <= 0)
        return pst_fail_ossl(err, PST_EINTERNAL, "writing a certificate request");
    rc = pst_out(ret_der, der, (size_t)len, "a certificate request", err);
    OPENSSL_free(der);
    return rc;
}

int pst_csr_new(const struct pst_key_handle *h, const char *const *names, size_t names_n,
                struct pst_buf *ret_der, struct pst_err *err)
{
    return pst_csr_new_subject(h, &(struct pst_csr_subject){0}, names, names_n, ret_der, err);
}
