/* name.c - questions about names in normal form. */
#include <string.h>

#include <postern/buf.h>
#include <postern/err.h>
#include <postern/text.h>

#include "name_internal.h"

int pst_name_to_ascii(const char *utf8, char **ret)
{
    return idn2_to_ascii_8z(utf8, ret, IDN2_NONTRANSITIONAL | IDN2_NFC_INPUT);
}

int pst_name_to_utf8(const char *ascii, char **ret)
{
    return idn2_to_unicode_8z8z(ascii, ret, 0);
}

bool pst_name_has_a_label(const char *name)
{
    for (const char *label = name; label; label = pst_name_parent(label)) {
        if (strncasecmp(label, "xn--", 4) == 0)
            return true;
    }
    return false;
}

bool pst_name_is_wildcard(const char *ascii)
{
    return pst_str_starts(ascii, "*.");
}

const char *pst_name_parent(const char *ascii)
{
    const char *dot = strchr(ascii, '.');

    return dot ? dot + 1 : NULL;
}

bool pst_name_covers(const char *pattern, const char *name)
{
    if (strcmp(pattern, name) == 0)
        return true;
    if (!pst_name_is_wildcard(pattern) || pst_name_is_wildcard(name) || *name == '.')
        return false;
    return pst_streq(pst_name_parent(pattern), pst_name_parent(name));
}

void pst_name_unicode(const char *ascii, struct pst_buf *to)
{
    auto_(free_idn) char *utf8 = NULL;
    auto_(free_idn) char *back = NULL;

    /* Only what leads back to the same name is shown; anything else could look like another. */
    if (pst_name_has_a_label(ascii) && pst_name_to_utf8(ascii, &utf8) == IDN2_OK &&
        pst_name_to_ascii(utf8, &back) == IDN2_OK && strcmp(back, ascii) == 0)
        pst_buf_str(to, utf8);
    else
        pst_buf_str(to, ascii);
}

/* Not all rules of the normal form, only what the list needs to answer. */
static bool looks_normal(const char *name)
{
    size_t label = 0;
    size_t len = strlen(name);

    if (len == 0 || len >= PST_NAME_SIZE)
        return false;
    for (; *name; name++) {
        if (*name == '.' && label == 0)
            return false;
        if (*name != '.' && !strchr("abcdefghijklmnopqrstuvwxyz0123456789-_", *name))
            return false;
        label = *name == '.' ? 0 : label + 1;
    }
    return label > 0;
}

int pst_name_registered_domain(const char *ascii, char ret[PST_NAME_SIZE], struct pst_err *err)
{
    if (pst_name_is_wildcard(ascii))
        ascii += 2;
    if (!looks_normal(ascii))
        return pst_fail(err, PST_REFUSED, "\"%.300s\" is not a DNS name", ascii);
    pst_str_copy(ret, PST_NAME_SIZE, pst_name_registered_part(ascii));
    return PST_OK;
}
