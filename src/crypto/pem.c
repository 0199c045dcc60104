/* pem.c - PEM blocks, read strictly within and leniently between. */
#include "crypto_internal.h"
#include <string.h>

#define BEGIN  "-----BEGIN "
#define END    "-----END "
#define DASHES "-----"

enum { LINE = 48 }; /* bytes in a line of 64 characters */

void pst_pem_block_deinit(struct pst_pem_block *b)
{
    pst_buf_wipe(&b->der);
}

static const char *find(const char *from, const char *end, const char *what)
{
    return memmem(from, (size_t)(end - from), what, strlen(what));
}

/* The label behind `from`; *ret_end is behind its dashes. */
static int read_label(const char *from, const char *end, char to[PST_PEM_LABEL_SIZE],
                      const char **ret_end, struct pst_err *err)
{
    const char *dashes = find(from, end, DASHES);
    size_t len = dashes ? (size_t)(dashes - from) : 0;

    if (!dashes || len == 0 || len >= PST_PEM_LABEL_SIZE)
        return pst_fail(err, PST_REFUSED, "a \"-----BEGIN\" line is damaged");
    for (size_t i = 0; i < len; i++)
        if (!(from[i] >= 'A' && from[i] <= 'Z') && !(from[i] >= '0' && from[i] <= '9') &&
            from[i] != ' ')
            return pst_fail(err, PST_REFUSED, "a \"-----BEGIN\" line has an odd label");
    memcpy(to, from, len);
    to[len] = 0;
    *ret_end = dashes + strlen(DASHES);
    return PST_OK;
}

static int decode(const char *from, const char *end, size_t max, const char *label,
                  struct pst_buf *to, struct pst_err *err)
{
    auto_buf_wipe struct pst_buf text = PST_BUF(max / 3 * 4 + 8);

    for (const char *p = from; p < end; p++)
        if (!strchr(" \t\r\n", *p) || *p == 0)
            pst_buf_char(&text, *p);
    if (text.no_memory)
        return pst_fail_nomem(err, "a PEM block");
    if (text.too_long)
        return pst_fail(err, PST_REFUSED, "a %s block is longer than %zu bytes", label, max);
    if (text.len == 0 || !pst_b64_decode(to, text.data, text.len)) {
        if (to->no_memory)
            return pst_fail_nomem(err, "a PEM block");
        return pst_fail(err, PST_REFUSED, "a %s block is not valid base64", label);
    }
    return PST_OK;
}

int pst_pem_next(const char *text, size_t len, size_t *at, size_t max, struct pst_pem_block *ret,
                 struct pst_err *err)
{
    const char *end = text + len, *begin = find(text + *at, end, BEGIN);
    const char *body = end, *stop;
    char closing[sizeof END + PST_PEM_LABEL_SIZE + sizeof DASHES];
    int rc;

    if (!begin)
        return PST_NOTFOUND;
    rc = read_label(begin + strlen(BEGIN), end, ret->label, &body, err);
    if (rc != PST_OK)
        return rc;
    (void)snprintf(closing, sizeof closing, END "%s" DASHES, ret->label);
    stop = find(body, end, closing);
    if (!stop)
        return pst_fail(err, PST_REFUSED, "a %s block has no \"%s\" line: it was cut short",
                        ret->label, closing);

    pst_buf_wipe(&ret->der);
    ret->der = (struct pst_buf)PST_BUF(max);
    ret->has_headers = memchr(body, ':', (size_t)(stop - body)) != NULL;
    if (!ret->has_headers) {
        rc = decode(body, stop, max, ret->label, &ret->der, err);
        if (rc != PST_OK)
            return rc;
    }
    *at = (size_t)(stop - text) + strlen(closing);
    return PST_OK;
}

void pst_pem_write(const void *der, size_t len, const char *label, struct pst_buf *to)
{
    const uint8_t *from = der;

    pst_buf_printf(to, BEGIN "%s" DASHES "\n", label);
    for (size_t i = 0; i < len; i += LINE) {
        pst_b64_add(to, from + i, len - i < LINE ? len - i : LINE);
        pst_buf_char(to, '\n');
    }
    pst_buf_printf(to, END "%s" DASHES "\n", label);
}
