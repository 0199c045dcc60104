/*
 * http_fuzz.c - heads of answers, Link, Retry-After, dates, URLs and networks against any bytes:
 * the first byte picks the reader, the rest is its text.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <postern/err.h>

#include "../../src/http/http_internal.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void try_link(const char *text, size_t len)
{
    for (size_t n = 0; n < 4; n++) {
        const char *target;
        size_t i = n, target_len;
        if (pst_http_link_find(text, "alternate", &i, &target, &target_len))
            pst_require(target >= text && target + target_len <= text + len);
        else
            pst_require(i <= n);
    }
}

static void try_retry_after(const char *text, size_t len)
{
    int64_t s, at;

    if (pst_http_retry_after_parse(text, 1784646000, &s))
        pst_require(s >= 0 && s <= INT32_MAX);
    if (pst_http_date_parse(text, &at))
        pst_require(at >= 0 && at < INT64_C(253402300800));
}

/* A whole head, line by line as libcurl would give it. */
static void try_head(const char *text, size_t len)
{
    struct pst_http_response r = {.headers = PST_BUF(PST_HTTP_ANSWER_HEAD_MAX)};
    const char *why = NULL, *end = text + len;
    char to[64];

    while (text < end) {
        const char *newline = memchr(text, '\n', (size_t)(end - text));
        const char *next = newline ? newline + 1 : end;
        if (!pst_http_head_line(&r, text, (size_t)(next - text), &why))
            break;
        text = next;
    }
    (void)pst_http_header(&r, "Link", 3);
    (void)pst_http_is_type(&r, "application/json");
    (void)pst_http_link(&r, "up", 1, to, sizeof to);
    pst_require(pst_http_retry_after(&r, 1784646000, 5) >= 1);
    pst_buf_deinit(&r.headers);
}

static void try_url(const char *text, size_t len)
{
    struct pst_http_url url;

    if (pst_http_url_parse(text, &url, NULL) == PST_OK)
        pst_require(url.host[0] && url.port > 0);
    (void)pst_http_address_ok(text);
}

static void try_gate(const char *text, size_t len)
{
    struct pst_gate *g = NULL;

    if (pst_gate_new(&g, &text, 1, NULL) == PST_OK)
        pst_gate_free(g);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static void (*const tries[])(const char *, size_t) = {try_link, try_retry_after, try_head,
                                                          try_url, try_gate};

    if (size < 1)
        return 0;
    char *text = malloc(size); /* as long as it is, so that a read behind its end is seen */
    if (!text)
        return 0;
    memcpy(text, data + 1, size - 1);
    text[size - 1] = '\0';
    tries[data[0] % PST_ARRAY_N(tries)](text, size - 1);
    free(text);
    return 0;
}
