/* persist_fuzz.c - a record of dns-persist-01 from anybody's DNS: never over the edge of the text,
 * one that matches is for this CA and this account, and what stands beside it cannot undo it. */
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <postern/base.h>
#include <postern/persist.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define ACCOUNT "https://ca.example/acct/123"
#define PREFIX  "https://ca.example/h/"

enum { NOW = 1800000000 };

static const char *const issuers[] = {"ca.example"};
static const struct pst_persist_ca cas[] = {
    {.form = PST_PERSIST_CLEAR, .issuers = issuers, .issuers_n = 1, .account_url = ACCOUNT},
    {.form = PST_PERSIST_HASHED,
     .issuers = issuers,
     .issuers_n = 1,
     .account_url = ACCOUNT,
     .thumbprint = "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs",
     .hash_prefix = PREFIX},
};

static struct pst_persist_verdict judge(const struct pst_persist_ca *ca, const char *name,
                                        const char *const *values, size_t n)
{
    struct pst_persist_verdict v;

    pst_require(pst_persist_judge(ca, name, values, n, NOW, &v, NULL) == PST_OK);
    pst_require((v.result == PST_PERSIST_MATCH) == (v.why[0] == '\0'));
    return v;
}

/* Any value, between two strings of a zone file, stays one value there. */
static void zone_form(const char *value)
{
    auto_buf struct pst_buf b = PST_BUF(1 << 20);

    pst_txt_zone_form(value, &b);
    if (b.too_long || b.no_memory)
        return;
    for (size_t i = 0; i < b.len; i++)
        pst_require(b.data[i] >= 0x20 && b.data[i] <= 0x7e);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    auto_(pst_free) char *value = pst_strndup((const char *)data, size);

    for (size_t i = 0; value && i < PST_ARRAY_N(cas); i++) {
        const struct pst_persist_verdict one =
            judge(&cas[i], "example.com", (const char *[]){value}, 1);
        const struct pst_persist_verdict star =
            judge(&cas[i], "*.example.com", (const char *[]){value}, 1);
        auto_buf struct pst_buf ours = PST_BUF(PST_PERSIST_VALUE_MAX);
        const struct pst_persist_ask ask = {.name = "*.example.com"};

        pst_require(star.result <= one.result);
        if (one.result == PST_PERSIST_MATCH) {
            pst_require(strstr(value, i == 0 ? ACCOUNT : PREFIX "sha-256/"));
            pst_require(one.until_at == 0 || one.until_at >= NOW);
            pst_require(star.result == PST_PERSIST_MATCH || star.result == PST_PERSIST_NO_WILDCARD);
        }
        if (pst_persist_value(&cas[i], &ask, &ours, NULL) == PST_OK)
            pst_require(
                judge(&cas[i], "*.example.com", (const char *[]){value, pst_buf_cstr(&ours)}, 2)
                    .result == PST_PERSIST_MATCH);
    }
    if (value)
        zone_form(value);
    return 0;
}
