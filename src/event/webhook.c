/* webhook.c - what a webhook may be, what it wants, how it is signed, when it is tried again. */
#include "event_internal.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include <postern/crypto_mac.h>
#include <postern/http.h>

/* Signed content is built in one piece: "<t>." and a body of at most this. */
enum { SIGNED_MAX = 64 * 1024 };

int pst_webhook_url_check(const char *url, struct pst_err *err)
{
    struct pst_http_url parts;

    if (strlen(url) >= PST_WEBHOOK_URL_SIZE)
        return pst_fail(err, PST_REFUSED, "must be shorter than %d bytes", PST_WEBHOOK_URL_SIZE);
    if (pst_http_url_parse(url, &parts, err) == PST_OK)
        return PST_OK;
    struct pst_err why = *err;
    return pst_fail(err, PST_REFUSED, "must be an http:// or https:// URL: %.200s", why.text);
}

bool pst_webhook_kind_ok(const char *kind)
{
    size_t len = strspn(kind, "abcdefghijklmnopqrstuvwxyz0123456789_-.");

    if (pst_streq(kind, "*"))
        return true;
    if (kind[len] == '*' && len && kind[len - 1] == '.')
        return kind[0] != '.' && kind[len + 1] == '\0' && len < sizeof((struct pst_event *)0)->kind;
    return len && !kind[len] && kind[0] != '.' && len < sizeof((struct pst_event *)0)->kind;
}

bool pst_webhook_wants(const char *kinds, const char *kind)
{
    if (!*kinds)
        return true;
    while (*kinds) {
        size_t len = strcspn(kinds, " ");
        if (len && kinds[len - 1] == '*' && strncmp(kinds, kind, len - 1) == 0)
            return true;
        if (strlen(kind) == len && memcmp(kinds, kind, len) == 0)
            return true;
        kinds += len + (kinds[len] == ' ');
    }
    return false;
}

int pst_webhook_sign(const struct pst_secret *secret, int64_t now, const char *body, size_t len,
                     char ret[PST_WEBHOOK_SIGNATURE_SIZE], struct pst_err *err)
{
    auto_buf struct pst_buf b = PST_BUF(SIGNED_MAX);
    char mac[PST_SHA256_HEX_SIZE];

    pst_buf_printf(&b, "%" PRId64 ".", now);
    pst_buf_add(&b, body, len);
    int rc = pst_buf_check(&b, "what is signed", err);
    if (rc == PST_OK)
        rc = pst_hmac_sha256_hex(secret->data, secret->len, b.data, b.len, mac, err);
    if (rc == PST_OK)
        snprintf(ret, PST_WEBHOOK_SIGNATURE_SIZE, "t=%" PRId64 ",v1=%s", now, mac);
    return rc;
}

void pst_webhook_failed(struct pst_webhook *w, const struct pst_webhooks_opts *o, int64_t now_ms)
{
    int64_t wait = o->backoff_first_ms;

    for (int64_t i = 0; i < w->failures && wait < o->backoff_max_ms; i++)
        wait *= 2;
    if (wait > o->backoff_max_ms)
        wait = o->backoff_max_ms;
    if (!w->failing_since_ms)
        w->failing_since_ms = now_ms;
    w->failures++;
    w->next_at_ms = now_ms + wait;
    if (now_ms - w->failing_since_ms >= o->give_up_ms)
        w->active = false;
}
