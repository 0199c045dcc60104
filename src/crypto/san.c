/* san.c - DNS names in certificates and requests. */
#include "crypto_internal.h"
#include <string.h>

enum { NAME_MAX_LEN = 253, LABEL_MAX_LEN = 63 };

static bool label_ok(const char *label, size_t len, bool lax)
{
    if (len == 0 || len > LABEL_MAX_LEN || label[0] == '-' || label[len - 1] == '-')
        return false;
    for (size_t i = 0; i < len; i++) {
        char c = label[i];

        if (!(c >= 'a' && c <= 'z') && !(c >= '0' && c <= '9') && c != '-' && !(lax && c == '_'))
            return false;
    }
    return true;
}

bool pst_san_name_ok(const char *name, bool lax)
{
    if (!name || strlen(name) > NAME_MAX_LEN)
        return false;
    if (pst_str_starts(name, "*."))
        name += 2;
    for (;;) {
        size_t len = strcspn(name, ".");

        if (!label_ok(name, len, lax))
            return false;
        if (name[len] == 0)
            return true;
        name += len + 1;
    }
}

static bool add_name(GENERAL_NAMES *names, const char *name)
{
    auto_(GENERAL_NAME_free) GENERAL_NAME *entry = GENERAL_NAME_new();
    ASN1_IA5STRING *text = ASN1_IA5STRING_new();

    if (!entry || !text || ASN1_STRING_set(text, name, -1) != 1) {
        ASN1_IA5STRING_free(text);
        return false;
    }
    GENERAL_NAME_set0_value(entry, GEN_DNS, text);
    if (sk_GENERAL_NAME_push(names, entry) <= 0)
        return false;
    (void)pst_take(&entry);
    return true;
}

int pst_san_ext(const char *const *names, size_t names_n, X509_EXTENSION **ret, struct pst_err *err)
{
    auto_(GENERAL_NAMES_free) GENERAL_NAMES *list = GENERAL_NAMES_new();
    X509_EXTENSION *ext;

    if (names_n == 0 || names_n > PST_CSR_NAMES_MAX)
        return pst_fail(err, PST_EINPUT, "a certificate is asked for 1 to %d names, not %zu",
                        PST_CSR_NAMES_MAX, names_n);
    if (!list)
        return pst_fail_ossl(err, PST_ENOMEM, "a list of names");
    for (size_t i = 0; i < names_n; i++) {
        if (!pst_san_name_ok(names[i], false))
            return pst_fail(err, PST_EINPUT, "\"%.260s\" is not a lower-case DNS name",
                            names[i] ? names[i] : "");
        if (!add_name(list, names[i]))
            return pst_fail_ossl(err, PST_ENOMEM, "a list of names");
    }
    ext = X509V3_EXT_i2d(NID_subject_alt_name, 0, list);
    if (!ext)
        return pst_fail_ossl(err, PST_EINTERNAL, "writing a list of names");
    *ret = ext;
    return PST_OK;
}
