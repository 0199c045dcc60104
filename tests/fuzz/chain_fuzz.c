/*
 * chain_fuzz.c - whatever a CA or an operator sends as a chain.
 *
 * The first byte picks the way in: PEM text as it came, DER alone, or DER wrapped into PEM, so that
 * changes reach the certificate and do not end at base64.  Seeds are in chain_corpus/; their leaf
 * has the key below, so that they get past the search for the leaf.
 *
 *     clang -fsanitize=fuzzer,address,undefined ... && ./chain_fuzz -max_len=20000 chain_corpus
 */
#include <postern/base.h>
#include <postern/crypto.h>
#include <string.h>

/* Of the seeds' leaf: SubjectPublicKeyInfo, P-256. */
static const uint8_t spki[] = {
    0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a,
    0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00, 0x04, 0x11, 0x65, 0xed, 0xae, 0x78,
    0xb2, 0x3a, 0xc6, 0xbf, 0x19, 0x33, 0xec, 0xae, 0x4f, 0xf4, 0x68, 0x8f, 0x8e, 0x92, 0x9f, 0x7e,
    0xfe, 0xeb, 0x75, 0x9a, 0xd6, 0x23, 0x73, 0x78, 0x60, 0x83, 0x7b, 0xda, 0x6b, 0x75, 0x63, 0x82,
    0x78, 0xac, 0xa1, 0x85, 0xa5, 0x4e, 0xa1, 0x49, 0x77, 0x4c, 0x10, 0x1f, 0xc7, 0xa3, 0x3c, 0x51,
    0x5b, 0xee, 0x0b, 0x18, 0x3d, 0x1b, 0x3c, 0x32, 0xf5, 0x4d, 0x34,
};

enum { NOW = 1800000000 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_chain(const char *pem, size_t len)
{
    static const char *const names[] = {"a.test", "*.b.test"};
    struct pst_chain_want want = {.spki = spki, .spki_len = sizeof spki, .now = NOW};
    struct pst_err err = {0};

    for (int strict = 0; strict < 2; strict++) {
        auto_chain struct pst_chain chain = {0};
        int rc;

        want.names = strict ? names : NULL;
        want.names_n = strict ? 2 : 0;
        rc = pst_chain_check(pem, len, &want, &chain, &err);
        pst_require(rc == PST_OK || (rc == PST_REFUSED && err.problem[0] != 0));
        pst_require((rc == PST_OK) == (chain.leaf.data != NULL));
        if (rc == PST_OK) {
            pst_require(chain.issuers_n < PST_CHAIN_CERTS_MAX);
            pst_require(chain.info.not_after > NOW);
            pst_require(pst_utf8_ok(chain.last_issuer_cn, strlen(chain.last_issuer_cn)));
        }
    }
}

static void check_der(const uint8_t *der, size_t len)
{
    auto_cert_info struct pst_cert_info info = {0};
    struct pst_err err = {0};
    int rc = pst_cert_parse_der(der, len, &info, &err);

    pst_require(rc == PST_OK || rc == PST_EINPUT);
    if (rc != PST_OK)
        return;
    pst_require(pst_utf8_ok(info.subject, strlen(info.subject)));
    pst_require(pst_utf8_ok(info.issuer, strlen(info.issuer)));
    for (size_t i = 0; i < info.names_n; i++)
        pst_require(pst_cert_covers(&info, info.names[i]));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    auto_buf struct pst_buf pem = PST_BUF(PST_PEM_MAX);

    if (size == 0)
        return 0;
    switch (data[0] % 3) {
    case 0:
        check_chain((const char *)data + 1, size - 1);
        break;
    case 1:
        check_der(data + 1, size - 1);
        break;
    default:
        pst_pem_write(data + 1, size - 1, "CERTIFICATE", &pem);
        check_chain(pst_buf_cstr(&pem), pem.len);
        break;
    }
    return 0;
}
