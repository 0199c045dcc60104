/* der.c - just enough DER to tell what something is before a real decoder sees it. */
#include "crypto_internal.h"
#include <postern/crypto_read.h>
#include <string.h>

enum {
    TAG_INTEGER = 0x02,
    TAG_BITS = 0x03,
    TAG_OCTETS = 0x04,
    TAG_NULL = 0x05,
    TAG_OID = 0x06,
    TAG_SEQUENCE = 0x30,
    TAG_SET = 0x31,
    TAG_UTC = 0x17,
    TAG_TIME = 0x18,
    TAG_CONTEXT0 = 0xa0,
    INDEFINITE = 0x80,
    LEN_BYTES_MAX = 4,
};

struct in {
    const uint8_t *at;
    const uint8_t *end;
};

struct element {
    uint8_t tag;
    bool indefinite;      /* BER: the content runs to the end of what holds it */
    const uint8_t *begin; /* of the header */
    struct in content;
};

/* The next element; `in` is behind it afterwards. */
static bool next(struct in *in, struct element *ret)
{
    const uint8_t *p = in->at;
    size_t len;

    if (in->end - p < 2 || (p[0] & 0x1f) == 0x1f)
        return false;
    *ret = (struct element){.tag = p[0], .begin = p};
    len = p[1];
    p += 2;
    if (len == INDEFINITE) {
        if ((ret->tag & 0x20) == 0)
            return false;
        ret->indefinite = true;
        len = (size_t)(in->end - p);
    } else if (len > INDEFINITE) {
        size_t n = len - INDEFINITE;

        if (n > LEN_BYTES_MAX || (size_t)(in->end - p) < n)
            return false;
        len = 0;
        while (n-- > 0)
            len = len << 8 | *p++;
    }
    if ((size_t)(in->end - p) < len)
        return false;
    ret->content = (struct in){p, p + len};
    in->at = p + len;
    return true;
}

bool pst_der_element(const void *in, size_t len, size_t *ret_len)
{
    struct in all = {in, (const uint8_t *)in + len};
    struct element e;

    if (!next(&all, &e) || e.indefinite)
        return false;
    *ret_len = (size_t)(e.content.end - e.begin);
    return true;
}

/* ---- what it is ---- */

/* The tags of the first elements of a sequence, as text: one letter each. */
enum { SHAPE_MAX = 10 };

static char letter(uint8_t tag)
{
    static const struct {
        uint8_t tag;
        char letter;
    } letters[] = {
        {TAG_INTEGER, 'i'}, {TAG_BITS, 'b'},     {TAG_OCTETS, 'o'}, {TAG_NULL, 'n'},
        {TAG_OID, 'd'},     {TAG_SEQUENCE, 's'}, {TAG_SET, 't'},    {TAG_UTC, 'z'},
        {TAG_TIME, 'z'},    {TAG_CONTEXT0, '0'}, {0xa1, '1'},       {0xa3, '3'},
    };

    for (size_t i = 0; i < PST_ARRAY_N(letters); i++)
        if (letters[i].tag == tag)
            return letters[i].letter;
    return '?';
}

static void shape_of(struct in in, char to[SHAPE_MAX + 1])
{
    struct element e;
    size_t n = 0;

    while (n < SHAPE_MAX && next(&in, &e))
        to[n++] = letter(e.tag);
    to[n] = 0;
}

static bool integer_is(struct in in, uint8_t value)
{
    struct element e;

    return next(&in, &e) && e.tag == TAG_INTEGER && e.content.end - e.content.at == 1 &&
           *e.content.at == value;
}

/* "1.2.840.113549.1.7.": PKCS#7's content types, of which the first is followed by its number. */
static bool is_pkcs7_type(struct in in)
{
    static const uint8_t prefix[] = {0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x07};
    struct element e;

    return next(&in, &e) && e.tag == TAG_OID &&
           (size_t)(e.content.end - e.content.at) == sizeof prefix + 1 &&
           memcmp(e.content.at, prefix, sizeof prefix) == 0;
}

/* The n-th element inside; what is not there is empty. */
static struct in inside(struct in in, size_t n)
{
    struct element e;

    for (size_t i = 0; next(&in, &e); i++)
        if (i == n)
            return e.content;
    return (struct in){in.end, in.end};
}

/* Something signed: what is inside tells which. */
static enum pst_der_kind signed_kind(struct in all)
{
    static const struct {
        const char *shape;
        enum pst_der_kind kind;
    } kinds[] = {
        {"0isssss", PST_DER_CERT}, /* version 3 */
        {"isssss", PST_DER_CERT},  /* version 1 */
        {"iss0", PST_DER_CSR},     {"issz", PST_DER_CRL},
        {"sszs", PST_DER_CRL},     {"sszz", PST_DER_CRL},
    };
    char shape[SHAPE_MAX + 1];

    shape_of(inside(all, 0), shape);
    for (size_t i = 0; i < PST_ARRAY_N(kinds); i++)
        if (pst_str_starts(shape, kinds[i].shape))
            return kinds[i].kind;
    /* A CSR without attributes is not valid but exists. */
    return strcmp(shape, "iss") == 0 ? PST_DER_CSR : PST_DER_UNKNOWN;
}

enum pst_der_kind pst_der_kind(const void *in, size_t len)
{
    struct in all = {in, (const uint8_t *)in + len};
    char shape[SHAPE_MAX + 1];
    struct element e;

    if (!next(&all, &e) || e.tag != TAG_SEQUENCE)
        return PST_DER_UNKNOWN;
    shape_of(e.content, shape);
    if (pst_str_starts(shape, "d0") && is_pkcs7_type(e.content))
        return PST_DER_PKCS7;
    if (pst_str_starts(shape, "is") && integer_is(e.content, 3) &&
        is_pkcs7_type(inside(e.content, 1)))
        return PST_DER_PKCS12;
    if (e.indefinite)
        return PST_DER_UNKNOWN;
    if (pst_str_starts(shape, "iso"))
        return PST_DER_PKCS8;
    if (pst_str_starts(shape, "iiiiiiiii"))
        return PST_DER_RSA_KEY;
    if (strcmp(shape, "iiiiii") == 0)
        return PST_DER_DSA_KEY;
    if (pst_str_starts(shape, "io"))
        return PST_DER_EC_KEY;
    if (strcmp(shape, "ii") == 0)
        return PST_DER_RSA_PUBLIC;
    if (strcmp(shape, "so") == 0)
        return PST_DER_PKCS8_ENCRYPTED;
    if (strcmp(shape, "sb") == 0)
        return PST_DER_PUBLIC_KEY;
    if (strcmp(shape, "ssb") == 0)
        return signed_kind(e.content);
    return PST_DER_UNKNOWN;
}

/* ---- names in a certificate ---- */

/* Field `n` of the part that is signed, counted from the serial number. */
static int field_sha256(const void *cert, size_t len, size_t n, uint8_t ret[32],
                        struct pst_err *err)
{
    struct in all = {cert, (const uint8_t *)cert + len};
    struct element e = {0};
    bool ok = next(&all, &e);

    all = inside(e.content, 0);
    ok = ok && next(&all, &e);
    if (ok && e.tag == TAG_CONTEXT0) /* the version, which need not be there */
        ok = next(&all, &e);
    for (size_t i = 0; ok && i < n; i++)
        ok = next(&all, &e);
    if (!ok || e.tag != TAG_SEQUENCE)
        return pst_fail(err, PST_EINPUT, "the certificate is damaged");
    return pst_sha256(e.begin, (size_t)(e.content.end - e.begin), ret, err);
}

int pst_der_issuer_sha256(const void *cert, size_t len, uint8_t ret[32], struct pst_err *err)
{
    return field_sha256(cert, len, 2, ret, err);
}

int pst_der_subject_sha256(const void *cert, size_t len, uint8_t ret[32], struct pst_err *err)
{
    return field_sha256(cert, len, 4, ret, err);
}
