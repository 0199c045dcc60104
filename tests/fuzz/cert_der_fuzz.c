/*
 * cert_der_fuzz.c - the readers of DER, each alone: the first byte picks one, so that no other
 * stands before it.
 */
#include <postern/base.h>
#include <postern/crypto.h>
#include <postern/crypto_read.h>
#include <string.h>

enum { BUDGET = 5000 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerInitialize(int *argc, char ***argv);

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    pst_require(pst_crypto_init(false, NULL) == PST_OK);
    pst_read_init();
    return 0;
}

static int sink_cert(void *arg, const void *der, size_t len, struct pst_err *err)
{
    struct pst_x509 *x = NULL;
    int rc = pst_x509_read(der, len, &x, NULL);

    pst_require(rc == PST_OK || rc == PST_REFUSED);
    if (rc == PST_OK) {
        (void)pst_x509_signed_by(x, x);
        (void)pst_x509_names_permitted(x, x);
        pst_require(pst_x509_facts(x)->der_len == len);
        pst_x509_free(x);
    }
    return PST_OK;
}

static int sink_key(void *arg, struct pst_key_handle *key, struct pst_err *err)
{
    auto_secret struct pst_secret raw = {0};
    struct pst_key_facts facts;

    if (pst_key_facts(key, &facts, NULL) == PST_OK && facts.type < PST_KEY_OTHER &&
        facts.bits <= PST_RSA_BITS_MIN && pst_key_verify(key, NULL) == PST_OK)
        pst_require(pst_key_raw(key, &raw, NULL) == PST_OK && raw.len > 0);
    pst_key_free(key);
    return PST_OK;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static unsigned char passphrase[] = "correct horse";
    const struct pst_secret secret = {passphrase, sizeof passphrase - 1};
    struct pst_unlock unlock = {&secret, BUDGET};
    struct pst_read_sink sink = {sink_cert, sink_key, NULL};
    struct pst_key_handle *h = NULL;
    struct pst_err err = {0};
    uint8_t digest[32];
    size_t len;
    int rc = PST_REFUSED;

    if (size == 0)
        return 0;
    pst_require(!pst_der_element(data + 1, size - 1, &len) || len < size);
    pst_require((unsigned)pst_der_kind(data + 1, size - 1) < PST_DER_KIND__COUNT);
    (void)pst_der_subject_sha256(data + 1, size - 1, digest, NULL);
    switch (data[0] % 6) {
    case 0:
        (void)sink_cert(NULL, data + 1, size - 1, NULL);
        break;
    case 1:
        rc = pst_key_read(data + 1, size - 1, &h, &err);
        break;
    case 2:
        rc = pst_key_read_encrypted(data + 1, size - 1, &unlock, &h, &err);
        break;
    case 3:
        rc = pst_pkcs7_read(data + 1, size - 1, &sink, &err);
        break;
    case 4:
        rc = pst_pkcs12_read(data + 1, size - 1, &unlock, &sink, &err);
        break;
    default:
        rc = pst_key_read_pem_encrypted(
            data + 1, size - 1, "AES-128-CBC,000102030405060708090a0b0c0d0e0f", &unlock, &h, &err);
        break;
    }
    pst_require(rc == PST_OK || rc == PST_REFUSED);
    pst_require(rc == PST_OK || data[0] % 6 == 0 || err.problem[0] != 0);
    if (h)
        (void)sink_key(NULL, h, NULL);
    return 0;
}
