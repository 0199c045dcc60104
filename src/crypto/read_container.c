/* read_container.c - PKCS#7 and PKCS#12: what is in them, handed on one by one. */
#include "read_internal.h"
#include <openssl/err.h>

enum { NESTING_MAX = 3 };

static int hand_on(const struct pst_read_sink *sink, X509 *x, struct pst_err *err)
{
    unsigned char *der = NULL;
    int len = i2d_X509(x, &der), rc;

    if (len <= 0)
        return pst_read_refuse(err, "damaged", "a certificate in the container is damaged");
    rc = sink->cert(sink->arg, der, (size_t)len, err);
    OPENSSL_free(der);
    return rc;
}

static int too_many(struct pst_err *err)
{
    return pst_refuse(err, "too_many", "the container holds more than %d objects",
                      PST_READ_OBJECTS_MAX);
}

int pst_pkcs7_read(const void *der, size_t len, const struct pst_read_sink *sink,
                   struct pst_err *err)
{
    const unsigned char *at = der;
    auto_(PKCS7_free) PKCS7 *p7 = d2i_PKCS7(NULL, &at, (long)len);
    const STACK_OF(X509) *certs = NULL;
    int rc = PST_OK;

    if (!p7 || at != (const unsigned char *)der + len)
        return pst_read_refuse(err, "damaged", "the PKCS#7 container is damaged");
    ERR_clear_error();
    if (PKCS7_type_is_signed(p7) && p7->d.sign)
        certs = p7->d.sign->cert;
    if (sk_X509_num(certs) > PST_READ_OBJECTS_MAX)
        return too_many(err);
    for (int i = 0; i < sk_X509_num(certs) && rc == PST_OK; i++)
        rc = hand_on(sink, sk_X509_value(certs, i), err);
    return rc;
}

/* ---- PKCS#12 ---- */

struct p12 {
    const struct pst_read_sink *sink;
    struct pst_unlock *unlock;
    const char *text; /* NULL and "" are two different passphrases here */
    int text_len;
    int objects;
};

static void bags_free(STACK_OF(PKCS12_SAFEBAG) * bags)
{
    sk_PKCS12_SAFEBAG_pop_free(bags, PKCS12_SAFEBAG_free);
}
PST_CLEANUP(STACK_OF(PKCS12_SAFEBAG), bags_free);

static void safes_free(STACK_OF(PKCS7) * safes)
{
    sk_PKCS7_pop_free(safes, PKCS7_free);
}
PST_CLEANUP(STACK_OF(PKCS7), safes_free);

/* Which passphrase is meant, when there is none?  Software disagrees: try both. */
static int check_mac(PKCS12 *file, struct p12 *p, struct pst_err *err)
{
    const ASN1_INTEGER *rounds = NULL;
    const X509_ALGOR *alg = NULL;
    const ASN1_OBJECT *oid;
    int rc;

    if (!PKCS12_mac_present(file))
        return PST_OK;
    PKCS12_get0_mac(NULL, &alg, NULL, &rounds, file);
    X509_ALGOR_get0(&oid, NULL, NULL, alg);
    if (!EVP_get_digestbyobj(oid))
        return pst_read_refuse(err, "cipher", "the container's integrity check is not known");
    rc = pst_kdf_spend(p->unlock, rounds, pst_unlock_given(p->unlock) ? 1 : 2, err);
    if (rc != PST_OK)
        return rc;
    if (PKCS12_verify_mac(file, p->text, p->text_len) == 1)
        return PST_OK;
    if (!pst_unlock_given(p->unlock) && PKCS12_verify_mac(file, NULL, 0) == 1) {
        p->text = NULL;
        ERR_clear_error();
        return PST_OK;
    }
    return pst_unlock_failed(p->unlock, err);
}

static int read_key(struct p12 *p, const PKCS8_PRIV_KEY_INFO *p8, struct pst_err *err)
{
    struct pst_key_handle *h = NULL;
    int rc = pst_key_from_pkcs8(p8, &h, err);

    return rc == PST_OK ? p->sink->key(p->sink->arg, h, err) : rc;
}

static int read_shrouded(struct p12 *p, const PKCS12_SAFEBAG *bag, struct pst_err *err)
{
    auto_(PKCS8_PRIV_KEY_INFO_free) PKCS8_PRIV_KEY_INFO *p8 = NULL;
    const X509_SIG *sig = PKCS12_SAFEBAG_get0_pkcs8(bag);
    const X509_ALGOR *alg = NULL;
    int rc;

    X509_SIG_get0(sig, &alg, NULL);
    rc = pst_pbe_spend(p->unlock, alg, err);
    if (rc != PST_OK)
        return rc;
    p8 = PKCS12_decrypt_skey(bag, p->text, p->text_len);
    return p8 ? read_key(p, p8, err) : pst_unlock_failed(p->unlock, err);
}

static int read_cert(struct p12 *p, const PKCS12_SAFEBAG *bag, struct pst_err *err)
{
    auto_(X509_free) X509 *x = NULL;

    if (PKCS12_SAFEBAG_get_bag_nid(bag) != NID_x509Certificate)
        return PST_OK;
    x = PKCS12_SAFEBAG_get1_cert(bag);
    if (!x)
        return pst_read_refuse(err, "damaged", "a certificate in the container is damaged");
    return hand_on(p->sink, x, err);
}

static int read_bags(struct p12 *p, const STACK_OF(PKCS12_SAFEBAG) * bags, int depth,
                     struct pst_err *err)
{
    int rc = PST_OK;

    for (int i = 0; i < sk_PKCS12_SAFEBAG_num(bags) && rc == PST_OK; i++) {
        const PKCS12_SAFEBAG *bag = sk_PKCS12_SAFEBAG_value(bags, i);

        if (++p->objects > PST_READ_OBJECTS_MAX)
            return too_many(err);
        switch (PKCS12_SAFEBAG_get_nid(bag)) {
        case NID_keyBag:
            rc = read_key(p, PKCS12_SAFEBAG_get0_p8inf(bag), err);
            break;
        case NID_pkcs8ShroudedKeyBag:
            rc = read_shrouded(p, bag, err);
            break;
        case NID_certBag:
            rc = read_cert(p, bag, err);
            break;
        case NID_safeContentsBag:
            if (depth == NESTING_MAX)
                return too_many(err);
            rc = read_bags(p, PKCS12_SAFEBAG_get0_safes(bag), depth + 1, err);
            break;
        default:
            break;
        }
    }
    return rc;
}

static int read_safe(struct p12 *p, PKCS7 *safe, struct pst_err *err)
{
    auto_(bags_free) STACK_OF(PKCS12_SAFEBAG) *bags = NULL;

    if (PKCS7_type_is_data(safe)) {
        bags = PKCS12_unpack_p7data(safe);
        if (!bags)
            return pst_read_refuse(err, "damaged", "the PKCS#12 container is damaged");
    } else if (PKCS7_type_is_encrypted(safe)) {
        int rc = safe->d.encrypted && safe->d.encrypted->enc_data
                     ? pst_pbe_spend(p->unlock, safe->d.encrypted->enc_data->algorithm, err)
                     : pst_refuse(err, "damaged", "the PKCS#12 container is damaged");

        if (rc != PST_OK)
            return rc;
        bags = PKCS12_unpack_p7encdata(safe, p->text, p->text_len);
        if (!bags)
            return pst_unlock_failed(p->unlock, err);
    } else {
        return pst_refuse(err, "cipher", "the PKCS#12 container is encrypted to a certificate");
    }
    return read_bags(p, bags, 0, err);
}

int pst_pkcs12_read(const void *der, size_t len, struct pst_unlock *unlock,
                    const struct pst_read_sink *sink, struct pst_err *err)
{
    const unsigned char *at = der;
    auto_(PKCS12_free) PKCS12 *file = d2i_PKCS12(NULL, &at, (long)len);
    auto_(safes_free) STACK_OF(PKCS7) *safes = NULL;
    struct p12 p = {.sink = sink, .unlock = unlock};
    int rc;

    if (!file || at != (const unsigned char *)der + len)
        return pst_read_refuse(err, "damaged", "the PKCS#12 container is damaged");
    p.text = pst_unlock_text(unlock, &p.text_len);
    rc = check_mac(file, &p, err);
    if (rc != PST_OK)
        return rc;
    safes = PKCS12_unpack_authsafes(file);
    if (!safes)
        return pst_read_refuse(err, "damaged", "the PKCS#12 container is damaged");
    for (int i = 0; i < sk_PKCS7_num(safes) && rc == PST_OK; i++)
        rc = read_safe(&p, sk_PKCS7_value(safes, i), err);
    ERR_clear_error();
    return rc;
}
