/* name_fuzz.c - a name that is taken is in normal form: parsing it again changes nothing, its form
 * for people leads back to it, and its registered domain is its end. */
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <postern/buf.h>
#include <postern/err.h>
#include <postern/mem.h>
#include <postern/name.h>
#include <postern/text.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void is_normal(const char *name, unsigned flags)
{
    char again[PST_NAME_SIZE], domain[PST_NAME_SIZE];
    auto_buf struct pst_buf shown = PST_BUF(4096);

    pst_require(strlen(name) < PST_NAME_SIZE);
    pst_require(name[strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789-.*")] == '\0');
    pst_require(pst_name_parse(name, flags, again, NULL) == PST_OK && strcmp(again, name) == 0);
    pst_name_unicode(name, &shown);
    pst_require(pst_name_parse(pst_buf_cstr(&shown), flags, again, NULL) == PST_OK);
    pst_require(strcmp(again, name) == 0);
    pst_require(pst_name_registered_domain(name, domain, NULL) == PST_OK);
    pst_require(pst_str_ends(name, domain));
    pst_require(pst_name_covers(name, name));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const unsigned flags[] = {0, PST_NAME_WILDCARD, PST_NAME_ANY_TLD,
                                     PST_NAME_WILDCARD | PST_NAME_ANY_TLD};
    auto_(pst_free) char *text = pst_strndup((const char *)data, size);
    char name[PST_NAME_SIZE];

    for (size_t i = 0; text && i < PST_ARRAY_N(flags); i++) {
        struct pst_err err = {0};
        int rc = pst_name_parse(text, flags[i], name, &err);

        if (rc == PST_OK)
            is_normal(name, flags[i]);
        else
            pst_require(rc == PST_REFUSED && err.text[0] && err.problem[0]);
    }
    return 0;
}
