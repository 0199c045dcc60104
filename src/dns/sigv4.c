/* sigv4.c - AWS Signature Version 4.  Done here and not by libcurl, whose version in Debian 12 does
 * not sort the query. */
#include <string.h>

#include <postern/crypto_mac.h>

#include "dns_internal.h"

void pst_amz_date(int64_t now, char to[PST_AMZ_DATE_SIZE])
{
    char text[PST_TIME_SIZE]; /* 2024-01-15T12:00:00.000Z */
    size_t n = 0;

    pst_time_format(text, now * 1000);
    for (const char *c = text; *c && *c != '.'; c++) {
        if (*c != '-' && *c != ':')
            to[n++] = *c;
    }
    to[n++] = 'Z';
    to[n] = '\0';
}

/* Four MACs, one upon the other. */
static int signing_key(const struct pst_sigv4 *s, const char *day, uint8_t key[PST_SHA256_LEN],
                       struct pst_err *err)
{
    auto_buf_wipe struct pst_buf first = PST_BUF(VAR_MAX + 8);
    const char *const parts[] = {s->region, s->service, "aws4_request"};

    pst_buf_str(&first, "AWS4");
    pst_buf_add(&first, s->secret->data, s->secret->len);
    int rc = pst_buf_check(&first, "a signature", err);
    if (rc == PST_OK)
        rc = pst_hmac_sha256(first.data, first.len, day, strlen(day), key, err);
    for (size_t i = 0; i < PST_ARRAY_N(parts) && rc == PST_OK; i++)
        rc = pst_hmac_sha256(key, PST_SHA256_LEN, parts[i], strlen(parts[i]), key, err);
    return rc;
}

int pst_sigv4(const struct pst_sigv4 *s, const char *method, const char *path, const char *query,
              const struct pst_buf *body, struct pst_buf *ret, struct pst_err *err)
{
    auto_buf_wipe struct pst_buf canonical = PST_BUF(TOKEN_MAX + URL_MAX + 1024);
    auto_buf_wipe struct pst_buf to_sign = PST_BUF(1024);
    char date[PST_AMZ_DATE_SIZE], day[9], hash[PST_SHA256_HEX_SIZE];
    uint8_t key[PST_SHA256_LEN];
    const char *signed_headers =
        s->token[0] ? "host;x-amz-date;x-amz-security-token" : "host;x-amz-date";

    pst_amz_date(s->now, date);
    memcpy(day, date, 8);
    day[8] = '\0';
    int rc = pst_sha256_hex(pst_buf_cstr(body), body->len, hash, err);
    if (rc != PST_OK)
        return rc;
    pst_buf_printf(&canonical, "%s\n%s\n%s\nhost:%s\nx-amz-date:%s\n", method, path, query, s->host,
                   date);
    if (s->token[0])
        pst_buf_printf(&canonical, "x-amz-security-token:%s\n", s->token);
    pst_buf_printf(&canonical, "\n%s\n%s", signed_headers, hash);
    rc = pst_buf_check(&canonical, "a signature", err);
    if (rc == PST_OK)
        rc = pst_sha256_hex(canonical.data, canonical.len, hash, err);
    if (rc != PST_OK)
        return rc;
    pst_buf_printf(&to_sign, "AWS4-HMAC-SHA256\n%s\n%s/%s/%s/aws4_request\n%s", date, day,
                   s->region, s->service, hash);
    rc = pst_buf_check(&to_sign, "a signature", err);
    if (rc == PST_OK)
        rc = signing_key(s, day, key, err);
    if (rc == PST_OK)
        rc = pst_hmac_sha256_hex(key, sizeof key, to_sign.data, to_sign.len, hash, err);
    pst_wipe(key, sizeof key);
    if (rc != PST_OK)
        return rc;
    pst_buf_printf(ret,
                   "AWS4-HMAC-SHA256 Credential=%s/%s/%s/%s/aws4_request, SignedHeaders=%s, "
                   "Signature=%s",
                   s->key_id, day, s->region, s->service, signed_headers, hash);
    return pst_buf_check(ret, "a signature", err);
}
