/*
 * cert_fuzz.c - whatever a customer uploads, judged, shown and converted.
 *
 * The first byte switches: a passphrase is given, no key is wanted, roots are known, the second
 * part is known issuers and not the key.  Two bytes are the length of the first input, the rest is
 * the second.
 */
#include <postern/base.h>
#include <postern/crypto.h>
#include <postern/json.h>
#include <string.h>

#include "../../src/cert/cert_internal.h"

enum { NOW = 1800000000, WITH_PASSPHRASE = 1, NO_KEY = 2, WITH_ROOTS = 4, SECOND_IS_EXTRA = 8 };
enum { BUDGET = 5000, TEXT_MAX = 4 * 1024 * 1024 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerInitialize(int *argc, char ***argv);

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    pst_require(pst_crypto_init(false, NULL) == PST_OK);
    pst_read_init();
    pst_collect_budget = BUDGET;
    return 0;
}

static void check_result(const struct pst_cert_result *r)
{
    auto_buf struct pst_buf text = PST_BUF(TEXT_MAX);
    auto_(pst_json_free) struct pst_json *errors = NULL, *report = NULL;
    bool error = false;

    for (size_t i = 0; i < r->findings_n; i++) {
        pst_require(pst_utf8_ok(r->findings[i].sentence, strlen(r->findings[i].sentence)));
        error |= pst_cert_code_is_error(r->findings[i].code);
    }
    pst_require(r->accepted == !error);
    pst_require(!r->accepted || r->chain.leaf.data);
    pst_require(!r->has_key || (r->accepted && r->key.len > 0));
    pst_require(pst_cert_report_text(r, &text, NULL) == PST_OK);
    pst_require(pst_cert_errors_json(r, &errors, NULL) == PST_OK);
    pst_require((pst_json_len(errors) > 0) == error);
    pst_require(pst_cert_report_json(r, &report, NULL) == PST_OK);
}

/* What is written is read again, and is the same. */
static void check_wire(const struct pst_cert_result *r)
{
    auto_buf_wipe struct pst_buf once = PST_BUF(PST_WIRE_MAX), twice = PST_BUF(PST_WIRE_MAX);
    auto_cert_result struct pst_cert_result again = {0};

    pst_wire_write_result(r, &once);
    pst_require(pst_wire_read_result(once.data, once.len, &again, NULL) == PST_OK);
    pst_wire_write_result(&again, &twice);
    pst_require(once.len == twice.len && memcmp(once.data, twice.data, once.len) == 0);
}

static void judge(const struct pst_cert_request *req)
{
    auto_cert_result struct pst_cert_result r = {0}, converted = {0};
    auto_(pst_json_free) struct pst_json *shown = NULL;
    auto_buf_wipe struct pst_buf pem = PST_BUF(TEXT_MAX);
    int rc;

    pst_require(pst_cert_judge(NULL, NULL, req, &r, NULL) == PST_OK);
    check_result(&r);
    check_wire(&r);
    pst_require(pst_cert_show_json(req, &shown, NULL) == PST_OK);
    rc = pst_cert_convert(req, &pem, &converted, NULL);
    pst_require((rc == PST_OK && pem.len > 0) || (rc == PST_REFUSED && pem.len == 0));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char *const names[] = {"www.example.com"};
    static unsigned char passphrase[] = "correct horse";
    const struct pst_secret secret = {passphrase, sizeof passphrase - 1};
    struct pst_cert_input inputs[2];
    struct pst_cert_request req = {.names = names, .names_n = 1, .at = NOW, .inputs = inputs};
    size_t first;

    if (size < 3)
        return 0;
    first = (size_t)data[1] | (size_t)data[2] << 8;
    if (first > size - 3)
        first = size - 3;
    inputs[0] = (struct pst_cert_input){data + 3, first, PST_CERT_FIELD_CERT};
    inputs[1] = (struct pst_cert_input){data + 3 + first, size - 3 - first, PST_CERT_FIELD_KEY};
    req.inputs_n = 2;
    req.passphrase = (data[0] & WITH_PASSPHRASE) != 0 ? &secret : NULL;
    req.key_optional = (data[0] & NO_KEY) != 0;
    if ((data[0] & WITH_ROOTS) != 0) {
        req.roots = inputs[0].data;
        req.roots_len = inputs[0].len;
    }
    if ((data[0] & SECOND_IS_EXTRA) != 0) {
        req.inputs_n = 1;
        req.extra = inputs[1].data;
        req.extra_len = inputs[1].len;
    }
    judge(&req);
    return 0;
}
