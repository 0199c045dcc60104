/* write.c - trees to text. */
#include <string.h>

#include <postern/buf.h>
#include <postern/err.h>
#include <postern/text.h>

#include "json_internal.h"

static int add(const char *data, size_t len, void *arg)
{
    struct pst_buf *to = arg;

    pst_buf_add(to, data, len);
    return to->no_memory || to->too_long ? -1 : 0;
}

static int write_with(const struct pst_json *j, size_t flags, const char *end, struct pst_buf *to,
                      struct pst_err *err)
{
    size_t before = to->len;

    pst_json_memory_reset();
    int failed = json_dump_callback(to_jansson_const(j), add, to, flags | JSON_ENCODE_ANY);
    if (!failed)
        pst_buf_str(to, end);

    int rc = pst_buf_check(to, "JSON", err);
    if (rc == PST_OK && failed)
        rc = pst_json_memory_failed() ? pst_fail_nomem(err, "JSON")
                                      : pst_fail(err, PST_EINTERNAL, "JSON that cannot be written");
    if (rc != PST_OK)
        pst_buf_cut(to, before);
    return rc;
}

int pst_json_write(const struct pst_json *j, struct pst_buf *to, struct pst_err *err)
{
    return write_with(j, JSON_COMPACT, "", to, err);
}

int pst_json_write_pretty(const struct pst_json *j, struct pst_buf *to, struct pst_err *err)
{
    return write_with(j, JSON_INDENT(2), "\n", to, err);
}

/* The length of the valid UTF-8 sequence at `s`, 0 when there is none. */
static size_t sequence(const char *s, size_t left)
{
    for (size_t n = 1; n <= 4 && n <= left; n++) {
        if (pst_utf8_ok(s, n))
            return n;
    }
    return 0;
}

void pst_json_quote(struct pst_buf *to, const char *text)
{
    static const char escapes[] = {
        ['"'] = '"',  ['\\'] = '\\', ['\b'] = 'b', ['\f'] = 'f',
        ['\n'] = 'n', ['\r'] = 'r',  ['\t'] = 't',
    };

    if (!text) {
        pst_buf_str(to, "null");
        return;
    }
    pst_buf_char(to, '"');
    for (size_t left = strlen(text); left > 0;) {
        unsigned char c = (unsigned char)*text;
        size_t n = sequence(text, left);

        if (n == 0)
            pst_buf_str(to, "\\ufffd");
        else if (c < sizeof escapes && escapes[c])
            pst_buf_printf(to, "\\%c", escapes[c]);
        else if (c < 0x20)
            pst_buf_printf(to, "\\u%04x", c);
        else
            pst_buf_add(to, text, n);
        text += n ? n : 1;
        left -= n ? n : 1;
    }
    pst_buf_char(to, '"');
}
