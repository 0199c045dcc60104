/*
 * pem.c - PEM as people really have it: strict about what is within a block, lenient about line
 * ends, blanks and text around blocks, and with a name for the usual mistakes.
 *
 * No finding quotes what stands in a block: it may be a key.
 */
#include "cert_internal.h"
#include <stdio.h>
#include <string.h>

#define BEGIN  "-----BEGIN "
#define END    "-----END "
#define DASHES "-----"

enum { LABEL_SIZE = 64, QUOTE_SIZE = 96, DASHES_SHOWN = 8, DEK_SIZE = 80 };

struct text {
    const char *at;
    const char *end;
};

struct block {
    char label[LABEL_SIZE];
    const char *body;
    const char *body_end;
    size_t number; /* from 1 */
};

static const char *find(const char *from, const char *end, const char *what)
{
    return from < end ? memmem(from, (size_t)(end - from), what, strlen(what)) : NULL;
}

bool pst_pem_has_block(const char *text, size_t len)
{
    return find(text, text + len, BEGIN) != NULL;
}

static bool is_label_char(char c)
{
    return (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == ' ' || c == '#' || c == '.';
}

/* Whose is a block of this label? */
static enum pst_cert_field field_of(const char *label)
{
    return strstr(label, "KEY") ? PST_CERT_FIELD_KEY : PST_CERT_FIELD_CERT;
}

/* ---- mistakes in the lines that frame a block ---- */

/* Words that stand behind BEGIN in a line that was meant to begin a block. */
static const char *const framed[] = {
    "CERTIFICATE",     "X509 CERTIFICATE", "TRUSTED CERTIFICATE",   "PRIVATE KEY",
    "RSA PRIVATE KEY", "EC PRIVATE KEY",   "ENCRYPTED PRIVATE KEY", "PKCS7"};

static bool is_frame_char(unsigned char c)
{
    return c >= 0x80 || strchr("-=_*#~+> ", c) != NULL;
}

/* Which of the words stands at `s`?  Case does not matter: that is one of the mistakes. */
static size_t framed_len(const char *s, const char *end)
{
    for (size_t i = 0; i < PST_ARRAY_N(framed); i++) {
        size_t len = strlen(framed[i]);

        if ((size_t)(end - s) >= len && strncasecmp(s, framed[i], len) == 0)
            return len;
    }
    return 0;
}

/* The line around [word, word_end) as far as it is certainly no part of a key. */
static void quote(struct text gap, const char *word, const char *word_end, char to[QUOTE_SIZE])
{
    const char *from = word, *until = word_end;
    size_t n = 0;

    while (from > gap.at && word - from < DASHES_SHOWN && is_frame_char((unsigned char)from[-1]))
        from--;
    while (until < gap.end && until - word_end < DASHES_SHOWN &&
           is_frame_char((unsigned char)*until) && *until != '+')
        until++;
    for (const char *p = from; p < until && n + 1 < QUOTE_SIZE; p++)
        to[n++] = (unsigned char)*p < 0x80 ? *p : '?';
    to[n] = 0;
}

/* Look in what stands between blocks for lines that were meant to begin one. */
static int look_for_mistakes(struct pst_work *w, struct text gap, struct pst_err *err)
{
    int rc = PST_OK;

    for (const char *p = gap.at; p + 5 < gap.end && rc == PST_OK; p++) {
        const char *word = p + 5;
        size_t blanks = 0, len;
        char line[QUOTE_SIZE];

        if (strncasecmp(p, "BEGIN", 5) != 0)
            continue;
        while (word + blanks < gap.end && word[blanks] == ' ')
            blanks++;
        len = blanks > 0 ? framed_len(word + blanks, gap.end) : 0;
        /* Prose ("begin certificate here") has no frame in front. */
        if (len == 0 || p == gap.at || !is_frame_char((unsigned char)p[-1]) ||
            (p[-1] == ' ' && (p - gap.at < 2 || !is_frame_char((unsigned char)p[-2]))))
            continue;
        quote(gap, p, word + blanks + len, line);
        struct pst_find_at at = {
            PST_CERT_UNREADABLE,
            (word[blanks + len - 1] | 0x20) == 'y' ? PST_CERT_FIELD_KEY : PST_CERT_FIELD_CERT,
            "Make the line exactly -----BEGIN CERTIFICATE----- (or -----BEGIN PRIVATE KEY-----), "
            "with five hyphens on each side, and the END line likewise."};
        rc = pst_find_at(w, &at, err, "The line \"%s\" is not how a PEM block begins.", line);
        p = word + blanks + len - 1;
    }
    return rc;
}

/* ---- blocks ---- */

static int block_is_wrong(struct pst_work *w, const struct block *b, const char *what,
                          struct pst_err *err)
{
    bool key = field_of(b->label) == PST_CERT_FIELD_KEY;
    struct pst_find_at at = {key && !strstr(b->label, "PUBLIC") ? PST_CERT_KEY_CORRUPT
                                                                : PST_CERT_UNREADABLE,
                             field_of(b->label), NULL};

    if (w->extra)
        return PST_OK;
    return pst_find_at(w, &at, err, "PEM block %zu (%s) %s.", b->number, b->label, what);
}

/*
 * The next block, or PST_NOTFOUND.  Text before it is looked at for mistakes; a block without its
 * end is told and passed over.
 */
static int next_block(struct pst_work *w, struct text *t, struct block *ret, struct pst_err *err)
{
    const char *begin = find(t->at, t->end, BEGIN), *dashes, *end, *other;
    char closing[sizeof END + LABEL_SIZE + sizeof DASHES];
    size_t len = 0;
    int rc = look_for_mistakes(w, (struct text){t->at, begin ? begin : t->end}, err);

    if (rc < 0 || !begin)
        return rc < 0 ? rc : PST_NOTFOUND;
    begin += strlen(BEGIN);
    while (begin + len < t->end && len < LABEL_SIZE - 1 && is_label_char(begin[len]))
        len++;
    memcpy(ret->label, begin, len);
    ret->label[len] = 0;
    ret->number++;
    dashes = begin + len;
    ret->body = dashes + strlen(DASHES);
    t->at = dashes;
    ret->body_end = NULL;
    if (len == 0 || (size_t)(t->end - dashes) < strlen(DASHES) ||
        memcmp(dashes, DASHES, strlen(DASHES)) != 0)
        return block_is_wrong(w, ret, "has a damaged BEGIN line", err);

    t->at = ret->body;
    end = find(ret->body, t->end, END);
    other = find(ret->body, t->end, BEGIN);
    if (!end || (other && other < end))
        return block_is_wrong(w, ret, "has no END line: it was cut short", err);
    (void)snprintf(closing, sizeof closing, END "%s" DASHES, ret->label);
    t->at = end + strlen(END);
    if ((size_t)(t->end - end) < strlen(closing) || memcmp(end, closing, strlen(closing)) != 0)
        return block_is_wrong(w, ret, "ends with another line than it begins with", err);
    t->at = end + strlen(closing);
    ret->body_end = end;
    return PST_OK;
}

/* ---- what is within ---- */

static bool is_blank(char c)
{
    return c == ' ' || (c >= '\t' && c <= '\r');
}

bool pst_pem_decode(const char *from, size_t len, struct pst_buf *to)
{
    auto_buf_wipe struct pst_buf text = PST_BUF(len);

    for (size_t i = 0, run; i < len; i += run) {
        /* Line by line: a bundle of roots has thousands of them. */
        for (run = 0; i + run < len && !is_blank(from[i + run]) && from[i + run] != '\\';)
            run++;
        pst_buf_add(&text, from + i, run);
        if (run > 0)
            continue;
        run = 1;
        /* Line ends written out as \n or \r\n, as in a JSON string that nobody decoded. */
        if (from[i] == '\\' && i + 1 < len && (from[i + 1] == 'n' || from[i + 1] == 'r'))
            run = 2;
        else if (from[i] == '\\')
            pst_buf_char(&text, from[i]);
    }
    to->no_memory |= text.no_memory;
    return !to->no_memory && text.len > 0 && pst_b64_decode(to, text.data, text.len);
}

/* The body without white space, when it begins with the headers of an encrypted key. */
static bool old_headers(const struct block *b, struct pst_buf *ret)
{
    static const char headers[] = "Proc-Type:4,ENCRYPTEDDEK-Info:";

    if (!memchr(b->body, ':', (size_t)(b->body_end - b->body)))
        return false;
    for (const char *p = b->body; p < b->body_end; p++)
        if (*p > ' ')
            pst_buf_char(ret, *p);
    return !ret->no_memory && ret->len > strlen(headers) &&
           memcmp(ret->data, headers, strlen(headers)) == 0 &&
           memmove(ret->data, ret->data + strlen(headers), ret->len - strlen(headers) + 1) &&
           (ret->len -= strlen(headers));
}

/* `text` is "AES-256-CBC,<iv in hex><base64>". */
static int read_old_key(struct pst_work *w, const struct block *b, const struct pst_buf *text,
                        struct pst_err *err)
{
    auto_buf_wipe struct pst_buf body = PST_BUF(PST_CERT_INPUT_MAX);
    size_t name_len = strcspn(text->data, ","), hex_len;
    char dek[DEK_SIZE];

    hex_len = 2 * pst_pem_iv_len(text->data, name_len);
    if (name_len + 1 + hex_len >= sizeof dek || name_len + 1 + hex_len >= text->len)
        return block_is_wrong(w, b, "has damaged headers", err);
    memcpy(dek, text->data, name_len + 1 + hex_len);
    dek[name_len + 1 + hex_len] = 0;
    /* The IV of a cipher that is not known has an unknown length: that is told by the reader. */
    if (hex_len > 0 && !pst_pem_decode(text->data + name_len + 1 + hex_len,
                                       text->len - name_len - 1 - hex_len, &body))
        return body.no_memory ? pst_fail_nomem(err, "a private key")
                              : block_is_wrong(w, b, "is not valid base64", err);
    return pst_collect_old_key(w, dek, pst_buf_cstr(&body), body.len, err);
}

static int read_block(struct pst_work *w, const struct block *b, struct pst_err *err)
{
    size_t len = (size_t)(b->body_end - b->body);
    auto_buf_wipe struct pst_buf stripped = PST_BUF(len), der = PST_BUF(len);

    if (old_headers(b, &stripped))
        return read_old_key(w, b, &stripped, err);
    if (!pst_pem_decode(b->body, len, &der))
        return der.no_memory || stripped.no_memory
                   ? pst_fail_nomem(err, "a PEM block")
                   : block_is_wrong(w, b, len == 0 ? "is empty" : "is not valid base64", err);
    return pst_collect_der(w, b->label, b->number, der.data, der.len, err);
}

/* Blocks that say by their label what they are, and are not looked into. */
static const struct {
    const char *label;
    bool whole; /* the whole label, not only its beginning */
    enum pst_cert_code code;
    enum pst_cert_field field;
    const char *sentence; /* NULL: passed over in silence */
    const char *fix;
} foreign[] = {
    {"EC PARAMETERS", true, 0, 0, NULL, NULL},
    {"DH PARAMETERS", true, 0, 0, NULL, NULL},
    {"X9.42 DH PARAMETERS", true, 0, 0, NULL, NULL},
    {"DSA PARAMETERS", true, 0, 0, NULL, NULL},
    {"OPENSSH PRIVATE KEY", true, PST_CERT_KEY_TYPE, PST_CERT_FIELD_KEY,
     "The private key is in the format of OpenSSH.",
     "Send the key that the certificate was requested with; if it is this one: ssh-keygen -p -m "
     "PKCS8 -f my.key"},
    {"SSH2 ", false, PST_CERT_KEY_TYPE, PST_CERT_FIELD_KEY, "This is a key for SSH.", NULL},
    {"PGP ", false, PST_CERT_UNREADABLE, PST_CERT_FIELD_CERT,
     "This is a PGP message, not a certificate or key.", "Decrypt it and send what was in it."},
};

int pst_pem_scan(struct pst_work *w, const char *text, size_t len, struct pst_err *err)
{
    struct text t = {text, text + len};
    struct block b = {.number = 0};
    int rc;

    while ((rc = next_block(w, &t, &b, err)) == PST_OK) {
        size_t i = 0;

        if (!b.body_end)
            continue;
        while (i < PST_ARRAY_N(foreign) &&
               !(foreign[i].whole ? pst_streq(b.label, foreign[i].label)
                                  : pst_str_starts(b.label, foreign[i].label)))
            i++;
        if (i == PST_ARRAY_N(foreign)) {
            rc = read_block(w, &b, err);
        } else if (foreign[i].sentence && !w->extra) {
            struct pst_find_at at = {foreign[i].code, foreign[i].field, foreign[i].fix};

            rc = pst_find_at(w, &at, err, "%s", foreign[i].sentence);
        }
        if (rc < 0)
            return rc;
    }
    return rc == PST_NOTFOUND ? PST_OK : rc;
}
