/* local_ca.c - a small CA of our own: something to serve before there is a certificate. */
#include "crypto_internal.h"
#include <string.h>

enum { ROOT_YEARS_S = 3650 * 86400, SERIAL_LEN = 16, CN_MAX = 64, DER_MAX = PST_CERT_MAX };

static bool set_serial(X509 *x, struct pst_rand *rand)
{
    auto_(BN_clear_free) BIGNUM *bn = NULL;
    uint8_t bytes[SERIAL_LEN];

    pst_rand_fill(rand, bytes, sizeof bytes);
    bytes[0] = (bytes[0] & 0x3f) | 0x40; /* positive, and always the same length */
    bn = BN_bin2bn(bytes, sizeof bytes, NULL);
    return bn && BN_to_ASN1_INTEGER(bn, X509_get_serialNumber(x));
}

static bool add_ext(X509 *x, X509 *issuer, int nid, const char *value)
{
    auto_(X509_EXTENSION_free) X509_EXTENSION *ext = NULL;
    X509V3_CTX ctx;

    X509V3_set_ctx(&ctx, issuer, x, NULL, NULL, 0);
    X509V3_set_ctx_nodb(&ctx);
    ext = X509V3_EXT_conf_nid(NULL, &ctx, nid, value);
    return ext && X509_add_ext(x, ext, -1) == 1;
}

struct ext {
    int nid;
    const char *value;
};

static const struct ext root_exts[] = {
    {NID_basic_constraints, "critical,CA:TRUE,pathlen:0"},
    {NID_key_usage, "critical,keyCertSign,cRLSign"},
    {NID_subject_key_identifier, "hash"},
};

static const struct ext leaf_exts[] = {
    {NID_basic_constraints, "critical,CA:FALSE"},
    {NID_key_usage, "critical,digitalSignature"},
    {NID_ext_key_usage, "serverAuth"},
    {NID_subject_key_identifier, "hash"},
    {NID_authority_key_identifier, "keyid:always"},
};

static bool add_exts(X509 *x, X509 *issuer, const struct ext *exts, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (!add_ext(x, issuer, exts[i].nid, exts[i].value))
            return false;
    return true;
}

/* Version, serial, subject, times and key. */
static bool set_basics(X509 *x, struct pst_rand *rand, const char *cn, int64_t not_before,
                       int64_t not_after, EVP_PKEY *pkey)
{
    return X509_set_version(x, X509_VERSION_3) == 1 && set_serial(x, rand) &&
           X509_NAME_add_entry_by_NID(X509_get_subject_name(x), NID_commonName, MBSTRING_UTF8,
                                      (const unsigned char *)cn, -1, -1, 0) == 1 &&
           ASN1_TIME_set(X509_getm_notBefore(x), (time_t)not_before) &&
           ASN1_TIME_set(X509_getm_notAfter(x), (time_t)not_after) && X509_set_pubkey(x, pkey) == 1;
}

static int write_der(X509 *x, struct pst_buf *ret, struct pst_err *err)
{
    unsigned char *der = NULL;
    int len = i2d_X509(x, &der), rc;

    if (len <= 0)
        return pst_fail_ossl(err, PST_EINTERNAL, "writing a certificate");
    rc = pst_out(ret, der, (size_t)len, "a certificate", err);
    OPENSSL_free(der);
    return rc;
}

/* Both results or none. */
static int hand_out(const struct pst_buf *sealed, X509 *x, struct pst_buf *ret_sealed,
                    struct pst_buf *ret_der, struct pst_err *err)
{
    size_t before = ret_sealed->len;
    int rc = pst_out(ret_sealed, sealed->data, sealed->len, "a sealed key", err);

    if (rc < 0)
        return rc;
    rc = write_der(x, ret_der, err);
    if (rc < 0)
        pst_buf_cut(ret_sealed, before);
    return rc;
}

int pst_local_ca_new(struct pst_keyring *kr, const char *kind, const char *object_id,
                     const char *common_name, int64_t now, struct pst_buf *ret_sealed,
                     struct pst_buf *ret_cert_der, struct pst_err *err)
{
    auto_(EVP_PKEY_free) EVP_PKEY *pkey = NULL;
    auto_(X509_free) X509 *x = NULL;
    auto_buf struct pst_buf sealed = PST_BUF(PST_SEAL_MAX);
    size_t cn_len = strlen(common_name);
    int rc;

    if (cn_len == 0 || cn_len > CN_MAX || !pst_utf8_ok(common_name, cn_len))
        return pst_fail(err, PST_EINPUT, "a CA's name has 1 to %d bytes of UTF-8", CN_MAX);
    rc = pst_pkey_new(PST_KEY_P256, 0, &pkey, err);
    if (rc == PST_OK)
        rc = pst_pkey_seal(kr, pkey, kind, object_id, &sealed, err);
    if (rc < 0)
        return rc;

    x = X509_new();
    if (!x || !set_basics(x, pst_keyring_rand(kr), common_name, now, now + ROOT_YEARS_S, pkey) ||
        X509_set_issuer_name(x, X509_get_subject_name(x)) != 1 ||
        !add_exts(x, x, root_exts, PST_ARRAY_N(root_exts)) || X509_sign(x, pkey, EVP_sha256()) <= 0)
        return pst_fail_ossl(err, PST_EINTERNAL, "making a CA certificate");
    return hand_out(&sealed, x, ret_sealed, ret_cert_der, err);
}

/* The root's certificate and key, which must fit each other. */
static int open_ca(struct pst_keyring *kr, const struct pst_local_ca *ca, X509 **ret_cert,
                   struct pst_key_handle **ret_key, struct pst_err *err)
{
    auto_(X509_free) X509 *cert = NULL;
    auto_(pst_key_free) struct pst_key_handle *key = NULL;
    int rc = pst_cert_from_der(ca->cert, ca->cert_len, &cert, err);

    if (rc == PST_EINPUT)
        return pst_fail(err, PST_EINTERNAL, "the stored certificate of the local CA is damaged");
    if (rc == PST_OK)
        rc =
            pst_key_open(kr, ca->key.kind, ca->key.object_id, ca->key.blob, ca->key.len, &key, err);
    if (rc < 0)
        return rc;
    if (X509_check_private_key(cert, key->pkey) != 1)
        return pst_fail_ossl(err, PST_EINTERNAL, "key and certificate of the local CA differ");
    *ret_cert = pst_take(&cert);
    *ret_key = pst_take(&key);
    return PST_OK;
}

static int sign_leaf(X509 *x, X509 *root, const struct pst_key_handle *key,
                     const struct pst_local_ca_request *req, struct pst_err *err)
{
    const EVP_MD *digest = key->type == PST_KEY_ED25519 ? NULL : EVP_sha256();
    auto_(X509_EXTENSION_free) X509_EXTENSION *san = NULL;
    int rc = pst_san_ext(req->names, req->names_n, &san, err);

    if (rc < 0)
        return rc;
    if (X509_set_issuer_name(x, X509_get_subject_name(root)) != 1 ||
        !add_exts(x, root, leaf_exts, PST_ARRAY_N(leaf_exts)) || X509_add_ext(x, san, -1) != 1 ||
        X509_sign(x, key->pkey, digest) <= 0)
        return pst_fail_ossl(err, PST_EINTERNAL, "signing a certificate");
    return PST_OK;
}

int pst_local_ca_issue(struct pst_keyring *kr, const struct pst_local_ca *ca,
                       const struct pst_local_ca_request *req, struct pst_buf *ret_sealed,
                       struct pst_buf *ret_leaf_der, struct pst_err *err)
{
    auto_(X509_free) X509 *root = NULL, *x = X509_new();
    auto_(pst_key_free) struct pst_key_handle *ca_key = NULL;
    auto_(EVP_PKEY_free) EVP_PKEY *pkey = NULL;
    auto_buf struct pst_buf sealed = PST_BUF(PST_SEAL_MAX);
    int64_t root_end, not_after = req->not_after;
    const char *cn;
    int rc = open_ca(kr, ca, &root, &ca_key, err);

    if (rc == PST_OK)
        rc = pst_asn1_time(X509_get0_notAfter(root), &root_end, err);
    if (rc < 0)
        return rc;
    if (not_after > root_end)
        not_after = root_end;
    if (req->not_before >= not_after)
        return pst_fail(err, PST_EINPUT,
                        "a certificate must end after it begins, and begin before "
                        "the CA ends");
    rc = pst_pkey_new(PST_KEY_P256, 0, &pkey, err);
    if (rc == PST_OK)
        rc = pst_pkey_seal(kr, pkey, req->kind, req->object_id, &sealed, err);
    if (rc < 0)
        return rc;

    /* A common name is for people; one that is too long for the field is left to the SAN. */
    cn = req->names_n > 0 && strlen(req->names[0]) <= CN_MAX ? req->names[0] : "Postern";
    if (!x || !set_basics(x, pst_keyring_rand(kr), cn, req->not_before, not_after, pkey))
        return pst_fail_ossl(err, PST_EINTERNAL, "making a certificate");
    rc = sign_leaf(x, root, ca_key, req, err);
    return rc < 0 ? rc : hand_out(&sealed, x, ret_sealed, ret_leaf_der, err);
}
