/* parse.c - what people type to the normal form, with one sentence for each mistake. */
#include <arpa/inet.h>
#include <string.h>

#include <postern/err.h>
#include <postern/text.h>

#include "name_internal.h"

enum {
    INPUT_MAX = 1024, /* bytes; a name of 253 as A-labels is never longer as UTF-8 */
    LABEL_MAX = 63,
    LABELS_MAX = 10, /* public CAs take no more */
};

/* The problem word and the sentence; gives PST_REFUSED. */
#define refuse(err, problem, ...)                                                                  \
    (pst_fail((err), PST_REFUSED, __VA_ARGS__), pst_err_problem((err), (problem)), PST_REFUSED)

static bool is_letter_or_digit(unsigned char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

/* An address, or a name whose last label is a number: programs would take it for an address. */
static bool is_ip(const char *s)
{
    unsigned char address[16];
    const char *dot = strrchr(s, '.');
    const char *last = dot ? dot + 1 : s;

    if (*s == '[' || inet_pton(AF_INET, s, address) == 1 || inet_pton(AF_INET6, s, address) == 1)
        return true;
    if (last[0] == '0' && (last[1] == 'x' || last[1] == 'X'))
        return last[2 + strspn(last + 2, "0123456789abcdefABCDEF")] == '\0';
    return *last && last[strspn(last, "0123456789")] == '\0';
}

/* Mistakes that show before anything is converted, `s` being the whole input. */
static int check_shape(const char *s, struct pst_err *err)
{
    if (!*s)
        return refuse(err, "empty", "the name is empty: give one such as www.example.com");
    if (strlen(s) > INPUT_MAX)
        return refuse(err, "too_long", "the name is longer than 253 bytes: shorten it");
    if (!pst_utf8_ok(s, strlen(s)))
        return refuse(err, "encoding", "the name is not UTF-8: send it in that encoding");
    if (strchr(s, '/'))
        return refuse(err, "url",
                      "\"%.100s\" is a URL or has a path: give only the name of the host", s);
    if (s[strcspn(s, " \t\r\n\v\f")])
        return refuse(err, "blank", "the name has a blank in it: remove it");
    if (is_ip(s))
        return refuse(err, "ip", "\"%.60s\" is an IP address: give a DNS name that points to it",
                      s);
    if (strchr(s, ':'))
        return refuse(err, "port", "the name has a port or a colon: leave out what follows it");
    return PST_OK;
}

/* Finds the part behind "*."; the star may be nowhere else. */
static int check_star(const char *s, unsigned flags, const char **ret_base, struct pst_err *err)
{
    const char *base = pst_name_is_wildcard(s) ? s + 2 : s;

    if (strchr(base, '*'))
        return refuse(err, "wildcard",
                      "a * can only be the whole first label: write *.example.com");
    if (base != s && !(flags & PST_NAME_WILDCARD))
        return refuse(err, "wildcard", "a wildcard is not possible here: give each name without *");
    if (base != s && !*base)
        return refuse(err, "wildcard", "there is no name behind the *: write *.example.com");
    *ret_base = base;
    return PST_OK;
}

/* One label without its dot.  Bytes that are not ASCII are left to the conversion. */
static int check_label(const char *label, size_t len, struct pst_err *err)
{
    bool ascii = true;

    for (size_t i = 0; i < len; i++) {
        unsigned char c = (unsigned char)label[i];

        if (c >= 0x80)
            ascii = false;
        else if (c == '_')
            return refuse(err, "underscore",
                          "the name has an underscore, which no host name may have: "
                          "use a hyphen or another name");
        else if (!is_letter_or_digit(c) && c != '-')
            return c > ' ' && c < 0x7F
                       ? refuse(err, "character",
                                "the name has the character %c: only letters, digits, hyphens "
                                "and dots are possible",
                                c)
                       : refuse(err, "character", "the name has a control character: remove it");
    }
    if (ascii && len > LABEL_MAX)
        return refuse(err, "label_too_long",
                      "the part \"%.20s...\" is longer than 63 bytes: shorten it", label);
    if (label[0] == '-' || label[len - 1] == '-')
        return refuse(err, "hyphen",
                      "the part \"%.*s\" begins or ends with a hyphen: remove the hyphen",
                      (int)(len < 80 ? len : 80), label);
    /* Of other scripts libidn2 counts the characters. */
    if (ascii && len >= 4 && label[2] == '-' && label[3] == '-' && strncasecmp(label, "xn", 2) != 0)
        return refuse(err, "label_form",
                      "the part \"%.*s\" has hyphens in the third and fourth place, which only "
                      "xn-- names may have: choose another name",
                      (int)(len < 80 ? len : 80), label);
    return PST_OK;
}

static int check_labels(const char *base, struct pst_err *err)
{
    size_t len = strlen(base);

    if (len > 0 && base[len - 1] == '.')
        return refuse(err, "trailing_dot", "the name ends with a dot: leave out the last dot");
    for (const char *label = base; label; label = pst_name_parent(label)) {
        size_t label_len = strcspn(label, ".");

        if (label_len == 0)
            return refuse(err, "empty_label",
                          "the name has two dots in a row or begins with a dot: remove one");
        int rc = check_label(label, label_len, err);
        if (rc != PST_OK)
            return rc;
    }
    return PST_OK;
}

static bool is_ascii(const char *s)
{
    for (; *s; s++) {
        if ((unsigned char)*s >= 0x80)
            return false;
    }
    return true;
}

/* What libidn2 found wrong.  `typed` is ASCII when the user wrote the A-labels himself. */
static int refuse_idn(int code, const char *typed, struct pst_err *err)
{
    switch (code) {
    case IDN2_MALLOC:
        return pst_fail_nomem(err, "a name");
    case IDN2_TOO_BIG_DOMAIN:
        return refuse(err, "too_long", "the name is longer than 253 bytes: shorten it");
    case IDN2_TOO_BIG_LABEL:
    case IDN2_PUNYCODE_BIG_OUTPUT:
        return refuse(err, "label_too_long",
                      "a part of the name is longer than 63 bytes in its xn-- form: shorten it");
    default:
        break;
    }
    if (is_ascii(typed))
        return refuse(err, "punycode",
                      "an xn-- part of the name is not the encoding of a name that IDNA2008 "
                      "allows: type the name in its own script");
    return refuse(err, "idn",
                  "the name has characters that IDNA2008 does not allow, or not beside each "
                  "other (%s): use other letters or digits",
                  idn2_strerror(code));
}

/* Through libidn2, and back again: what does not lead back is not one name but two. */
static int convert_idn(const char *base, char **ret, struct pst_err *err)
{
    auto_(free_idn) char *ascii = NULL;
    auto_(free_idn) char *utf8 = NULL;
    auto_(free_idn) char *again = NULL;

    int code = pst_name_to_ascii(base, &ascii);
    if (code == IDN2_OK && *ascii)
        code = pst_name_to_utf8(ascii, &utf8);
    if (code == IDN2_OK && utf8)
        code = pst_name_to_ascii(utf8, &again);
    if (code != IDN2_OK)
        return refuse_idn(code, base, err);
    if (again && strcmp(ascii, again) != 0)
        return refuse_idn(IDN2_ALABEL_ROUNDTRIP_FAILED, base, err);
    *ret = pst_take(&ascii);
    return PST_OK;
}

/* Lower-case A-labels of `base` into `to`. */
static int convert(const char *base, char to[PST_NAME_SIZE], struct pst_err *err)
{
    auto_(free_idn) char *idn = NULL;

    if (!is_ascii(base) || pst_name_has_a_label(base)) {
        int rc = convert_idn(base, &idn, err);
        if (rc != PST_OK)
            return rc;
        base = idn;
    }
    if (!pst_str_copy(to, PST_NAME_SIZE, base))
        return refuse(err, "too_long", "the name is longer than 253 bytes: shorten it");
    pst_str_lower(to);
    return PST_OK;
}

static size_t count_labels(const char *name)
{
    size_t n = 0;

    for (const char *label = name; label; label = pst_name_parent(label))
        n++;
    return n;
}

/* What public CAs refuse although it is well formed. */
static int check_policy(const char *base, bool wildcard, unsigned flags, struct pst_err *err)
{
    if (is_ip(base))
        return refuse(err, "ip",
                      "the last part of \"%.60s\" is a number, as in an IP address: give a DNS "
                      "name",
                      base);
    if (wildcard && (pst_name_is_icann_suffix(base) || !strchr(base, '.')))
        return refuse(err, "public_suffix",
                      "*.%s would cover the names of everybody under %s: give a name of your own "
                      "under it, with or without *",
                      base, base);
    if (!strchr(base, '.'))
        return refuse(err, "no_dot",
                      "\"%s\" has no dot: give the full name, such as www.example.com", base);
    if (count_labels(base) > LABELS_MAX)
        return refuse(err, "labels", "the name has more than %d parts: use fewer dots", LABELS_MAX);
    if (!(flags & PST_NAME_ANY_TLD) && !pst_name_tld_known(base))
        return refuse(err, "tld",
                      "there is no top-level domain \"%s\": check the end of the name (known "
                      "here is the %s)",
                      strrchr(base, '.') + 1, pst_name_psl_info());
    if (pst_name_is_icann_suffix(base))
        return refuse(err, "public_suffix",
                      "\"%s\" is a public suffix, under which names are registered: give a name "
                      "of your own under it",
                      base);
    return PST_OK;
}

int pst_name_parse(const char *in, unsigned flags, char ret_ascii[PST_NAME_SIZE],
                   struct pst_err *err)
{
    const char *base;
    char ascii[PST_NAME_SIZE];

    int rc = check_shape(in, err);
    if (rc == PST_OK)
        rc = check_star(in, flags, &base, err);
    if (rc == PST_OK)
        rc = check_labels(base, err);
    if (rc == PST_OK)
        rc = convert(base, ascii, err);
    /* Again: the mapping turns full-width letters, dots and slashes into plain ones. */
    if (rc == PST_OK)
        rc = check_labels(ascii, err);
    if (rc == PST_OK)
        rc = check_policy(ascii, base != in, flags, err);
    if (rc != PST_OK)
        return rc;

    size_t len = strlen(ascii);
    size_t star = base != in ? 2 : 0;
    if (star + len >= PST_NAME_SIZE)
        return refuse(err, "too_long", "the name is longer than 253 bytes: shorten it");
    memcpy(ret_ascii, "*.", star);
    memcpy(ret_ascii + star, ascii, len + 1);
    return PST_OK;
}
