/* csr.c - certificate requests. */
#include "crypto_internal.h"

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

int pst_csr_new(const struct pst_key_handle *h, const char *const *names, size_t names_n,
                struct pst_buf *ret_der, struct pst_err *err)
{
    const EVP_MD *digest = h->type == PST_KEY_ED25519 ? NULL : EVP_sha256();
    auto_(X509_REQ_free) X509_REQ *req = X509_REQ_new();
    unsigned char *der = NULL;
    int len, rc;

    if (!req)
        return pst_fail_ossl(err, PST_ENOMEM, "a certificate request");
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
