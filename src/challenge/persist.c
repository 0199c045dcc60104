/* persist.c - making the record of dns-persist-01, in the form that the CA wants. */
#include <stdio.h>
#include <string.h>

#include <postern/acme.h>
#include <postern/base.h>
#include <postern/challenge.h>
#include <postern/persist.h>

#include "persist_internal.h"

enum { TXT_STRING_MAX = 255 }; /* RFC 1035 section 3.3 */

int pst_persist_choose(const struct pst_acme_directory *dir,
                       const struct pst_acme_challenge *challenge, const char *account_url,
                       const char *thumbprint, struct pst_persist_ca *ret)
{
    bool in_directory = dir->issuer_domain_names_n > 0 && dir->account_hash_prefix;
    bool hashed = challenge ? challenge->hashed : in_directory;
    struct pst_persist_ca ca = {
        .form = hashed ? PST_PERSIST_HASHED : PST_PERSIST_CLEAR,
        .account_url = account_url,
        .thumbprint = thumbprint,
        .hash_prefix = dir->account_hash_prefix,
        .certain = challenge || in_directory,
    };

    if (challenge && challenge->issuers_n > 0) {
        ca.issuers = (const char *const *)challenge->issuers;
        ca.issuers_n = challenge->issuers_n;
    } else if (hashed) {
        ca.issuers = (const char *const *)dir->issuer_domain_names;
        ca.issuers_n = dir->issuer_domain_names_n;
    } else {
        ca.issuers = (const char *const *)dir->caa_identities;
        ca.issuers_n = dir->caa_identities_n;
    }
    if (!hashed && challenge && challenge->account_uri)
        ca.account_url = challenge->account_uri;
    if (ca.issuers_n == 0 || (hashed && !ca.hash_prefix))
        return PST_NOTFOUND;
    *ret = ca;
    return PST_OK;
}

const char *pst_persist_base(const char *name)
{
    return pst_str_starts(name, "*.") ? name + 2 : name;
}

/* Draft -02: SHA-256( byte(len(domain)) || domain || thumbprint || account URL ). */
static int digest(const struct pst_persist_ca *ca, const char *domain, uint8_t ret[PST_SHA256_LEN],
                  struct pst_err *err)
{
    auto_buf struct pst_buf b = PST_BUF(PST_PERSIST_VALUE_MAX);

    pst_buf_char(&b, (char)strlen(domain));
    pst_buf_str(&b, domain);
    pst_buf_str(&b, ca->thumbprint);
    pst_buf_str(&b, ca->account_url);
    int rc = pst_buf_check(&b, "the account's URL", err);
    return rc ? rc : pst_sha256(b.data, b.len, ret, err);
}

int pst_persist_account(const struct pst_persist_ca *ca, const char *domain, struct pst_buf *ret,
                        struct pst_err *err)
{
    uint8_t hash[PST_SHA256_LEN];

    if (ca->form == PST_PERSIST_CLEAR) {
        pst_buf_str(ret, ca->account_url);
        return pst_buf_check(ret, "the account's URL", err);
    }
    int rc = digest(ca, domain, hash, err);
    if (rc)
        return rc;
    pst_buf_printf(ret, "%ssha-256/", ca->hash_prefix);
    pst_b64url_add(ret, hash, sizeof hash);
    return pst_buf_check(ret, "the account's digest", err);
}

/* What pst_persist_account() is asked with is in order, so that a digest is over what the CA sees.
 */
static int check_parts(const struct pst_persist_ca *ca, const struct pst_persist_ask *ask,
                       struct pst_err *err)
{
    size_t len = strlen(pst_persist_base(ask->name));

    if (ca->issuers_n == 0 || !pst_persist_issuer_ok(ca->issuers[0]))
        return pst_fail(err, PST_REFUSED, "the CA's issuer name cannot be put into a record");
    if (!pst_persist_uri_ok(ca->account_url))
        return pst_fail(err, PST_REFUSED, "the account's URL cannot be put into a record");
    if (len == 0 || len >= PST_NAME_SIZE)
        return pst_fail(err, PST_REFUSED, "\"%.80s\" is not a name", ask->name);
    if (ask->until_at < 0)
        return pst_fail(err, PST_REFUSED, "persistUntil is a time after 1970");
    if (ca->form == PST_PERSIST_CLEAR)
        return PST_OK;
    if (!ca->hash_prefix || !pst_persist_uri_ok(ca->hash_prefix))
        return pst_fail(err, PST_REFUSED, "the CA's accountHashPrefix cannot be put into a record");
    if (!ca->thumbprint || !pst_challenge_thumbprint_ok(ca->thumbprint))
        return pst_fail(err, PST_REFUSED, "the account's thumbprint is not known");
    return PST_OK;
}

int pst_persist_value(const struct pst_persist_ca *ca, const struct pst_persist_ask *ask,
                      struct pst_buf *ret, struct pst_err *err)
{
    auto_buf struct pst_buf b = PST_BUF(PST_PERSIST_VALUE_MAX);
    auto_buf struct pst_buf account = PST_BUF(PST_PERSIST_VALUE_MAX);

    int rc = check_parts(ca, ask, err);
    if (!rc)
        rc = pst_persist_account(ca, ask->any_name ? "*" : pst_persist_base(ask->name), &account,
                                 err);
    if (rc)
        return rc == PST_EINPUT ? pst_fail(err, PST_REFUSED, "the account's URL is too long") : rc;
    pst_buf_printf(&b, "%s; accounturi=%s", ca->issuers[0], pst_buf_cstr(&account));
    if (pst_str_starts(ask->name, "*."))
        pst_buf_str(&b, "; policy=wildcard");
    if (ask->until_at > 0)
        pst_buf_printf(&b, "; persistUntil=%lld", (long long)ask->until_at);
    rc = pst_buf_check(&b, "the record", err);
    if (rc)
        return rc == PST_EINPUT ? pst_fail(err, PST_REFUSED, "the record would be too long") : rc;
    pst_buf_add(ret, b.data, b.len);
    return pst_buf_check(ret, "the record", err);
}

void pst_txt_zone_form(const char *value, struct pst_buf *ret)
{
    size_t left = strlen(value);

    do {
        size_t n = left < TXT_STRING_MAX ? left : TXT_STRING_MAX;

        pst_buf_char(ret, '"');
        for (size_t i = 0; i < n; i++) {
            unsigned char c = (unsigned char)value[i];

            if (c == '"' || c == '\\')
                pst_buf_printf(ret, "\\%c", c);
            else if (c < 0x20 || c > 0x7e)
                pst_buf_printf(ret, "\\%03u", c);
            else
                pst_buf_char(ret, (char)c);
        }
        pst_buf_char(ret, '"');
        value += n;
        left -= n;
        if (left > 0)
            pst_buf_char(ret, ' ');
    } while (left > 0);
}

int pst_persist_warnings_due(int64_t until_at, int64_t now_at)
{
    if (until_at == 0 || until_at - now_at > PST_PERSIST_WARN_FIRST_S)
        return 0;
    return until_at - now_at > PST_PERSIST_WARN_LAST_S ? 1 : 2;
}
