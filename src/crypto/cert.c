/* cert.c - what stands in a certificate. */
#include "crypto_internal.h"
#include <openssl/err.h>
#include <string.h>

enum {
    NAME_TEXT_MAX = 8192,
    AKI_MAX = 64,
    FEATURE_STATUS_REQUEST = 5, /* RFC 7633 */
    FEATURE_STATUS_REQUEST_V2 = 17,
};

/* ---- texts ---- */

/* Control characters would move a terminal's cursor or break a line of a log: \xHH, as in the
 * well-known one-line form.  C2 80 to C2 9F are the C1 controls. */
static void add_escaped(struct pst_buf *to, const unsigned char *s, size_t len)
{
    bool utf8 = pst_utf8_ok((const char *)s, len);

    for (size_t i = 0; i < len; i++) {
        bool c1 = s[i] == 0xc2 && i + 1 < len && s[i + 1] < 0xa0;
        bool odd = s[i] < 0x20 || s[i] == 0x7f || (!utf8 && s[i] >= 0x80);

        if (c1)
            pst_buf_printf(to, "\\x%02X\\x%02X", s[i], s[i + 1]);
        else if (odd)
            pst_buf_printf(to, "\\x%02X", s[i]);
        else
            pst_buf_char(to, (char)s[i]);
        i += c1 ? 1 : 0;
    }
}

static int add_value(struct pst_buf *to, const ASN1_STRING *value, struct pst_err *err)
{
    unsigned char *text = NULL;
    int len = ASN1_STRING_to_UTF8(&text, value);

    if (len < 0)
        return pst_fail_ossl(err, PST_EINPUT, "a name in the certificate is not text");
    add_escaped(to, text, (size_t)len);
    OPENSSL_free(text);
    return PST_OK;
}

static int name_line(const X509_NAME *name, char **ret, struct pst_err *err)
{
    auto_buf struct pst_buf line = PST_BUF(NAME_TEXT_MAX);
    int rc;

    pst_buf_str(&line, "");
    for (int i = 0; i < X509_NAME_entry_count(name); i++) {
        const X509_NAME_ENTRY *entry = X509_NAME_get_entry(name, i);
        const ASN1_OBJECT *type = X509_NAME_ENTRY_get_object(entry);
        int nid = OBJ_obj2nid(type);
        char oid[80];

        (void)OBJ_obj2txt(oid, sizeof oid, type, 1);
        pst_buf_printf(&line, "/%s=", nid != NID_undef ? OBJ_nid2sn(nid) : oid);
        rc = add_value(&line, X509_NAME_ENTRY_get_data(entry), err);
        if (rc < 0)
            return rc;
    }
    rc = pst_buf_check(&line, "a name in the certificate", err);
    if (rc < 0)
        return rc;
    *ret = pst_buf_take(&line, NULL);
    return *ret ? PST_OK : pst_fail_nomem(err, "a name in the certificate");
}

static int common_name(const X509_NAME *name, char **ret, struct pst_err *err)
{
    auto_buf struct pst_buf cn = PST_BUF(NAME_TEXT_MAX);
    int at = -1, last = -1, rc = PST_OK;

    while ((at = X509_NAME_get_index_by_NID(name, NID_commonName, at)) >= 0)
        last = at;
    pst_buf_str(&cn, "");
    if (last >= 0)
        rc = add_value(&cn, X509_NAME_ENTRY_get_data(X509_NAME_get_entry(name, last)), err);
    if (rc == PST_OK)
        rc = pst_buf_check(&cn, "a common name in the certificate", err);
    if (rc < 0)
        return rc;
    *ret = pst_buf_take(&cn, NULL);
    return *ret ? PST_OK : pst_fail_nomem(err, "a common name");
}

static int read_names_of(const X509 *x, struct pst_cert_info *info, struct pst_err *err)
{
    const X509_NAME *subject = X509_get_subject_name(x), *issuer = X509_get_issuer_name(x);
    int rc = name_line(subject, &info->subject, err);

    if (rc == PST_OK)
        rc = name_line(issuer, &info->issuer, err);
    if (rc == PST_OK)
        rc = common_name(subject, &info->subject_cn, err);
    if (rc == PST_OK)
        rc = common_name(issuer, &info->issuer_cn, err);
    return rc;
}

/* ---- subject alternative names ---- */

static int add_san(struct pst_cert_info *info, const GENERAL_NAME *entry, struct pst_err *err)
{
    int type;
    const ASN1_STRING *text = GENERAL_NAME_get0_value(entry, &type);
    auto_(pst_free) char *name = NULL;

    if (type != GEN_DNS) {
        info->other_names_n++;
        return PST_OK;
    }
    name = pst_strndup((const char *)ASN1_STRING_get0_data(text), (size_t)ASN1_STRING_length(text));
    if (!name)
        return pst_fail_nomem(err, "a certificate's name");
    pst_str_lower(name);
    if (strlen(name) != (size_t)ASN1_STRING_length(text) || !pst_san_name_ok(name, true))
        info->other_names_n++;
    else
        info->names[info->names_n++] = pst_take(&name);
    return PST_OK;
}

static int read_sans(const X509 *x, struct pst_cert_info *info, struct pst_err *err)
{
    int critical = 0, rc = PST_OK;
    auto_(GENERAL_NAMES_free) GENERAL_NAMES *list =
        X509_get_ext_d2i(x, NID_subject_alt_name, &critical, NULL);
    int n = list ? sk_GENERAL_NAME_num(list) : 0;

    if (!list && critical != -1)
        return pst_fail_ossl(
            err, PST_EINPUT,
            "the certificate's alternative names are damaged or stand there twice");
    if (n > PST_CERT_NAMES_MAX)
        return pst_fail(err, PST_EINPUT, "the certificate has %d names, more than %d", n,
                        PST_CERT_NAMES_MAX);
    if (n == 0)
        return PST_OK;
    info->names = pst_zalloc((size_t)n, sizeof *info->names);
    if (!info->names)
        return pst_fail_nomem(err, "a certificate's names");
    for (int i = 0; i < n && rc == PST_OK; i++)
        rc = add_san(info, sk_GENERAL_NAME_value(list, i), err);
    return rc;
}

bool pst_cert_covers(const struct pst_cert_info *info, const char *name)
{
    const char *parent = strchr(name, '.');

    for (size_t i = 0; i < info->names_n; i++) {
        const char *san = info->names[i];

        if (strcmp(san, name) == 0)
            return true;
        if (pst_str_starts(san, "*.") && parent && parent != name && strcmp(san + 1, parent) == 0)
            return true;
    }
    return false;
}

/* ---- times, numbers, extensions ---- */

int pst_asn1_time(const ASN1_TIME *t, int64_t *ret, struct pst_err *err)
{
    struct tm tm = {0};

    /* A NULL would mean "now" to the library. */
    if (!t || ASN1_TIME_to_tm(t, &tm) != 1)
        return pst_fail_ossl(err, PST_EINPUT, "a time in the certificate is damaged");
    *ret = (int64_t)timegm(&tm);
    return PST_OK;
}

static int read_key(const X509 *x, struct pst_cert_info *info, struct pst_err *err)
{
    const EVP_PKEY *pkey = X509_get0_pubkey(x);
    unsigned char *der = NULL;
    int len = i2d_X509_PUBKEY(X509_get_X509_PUBKEY(x), &der), rc;

    if (len <= 0)
        return pst_fail_ossl(err, PST_EINPUT, "the certificate's public key is damaged");
    rc = pst_sha256(der, (size_t)len, info->spki_sha256, err);
    OPENSSL_free(der);

    info->key_type = pkey ? pst_pkey_type(pkey) : PST_KEY_OTHER;
    info->key_bits = pkey ? EVP_PKEY_get_bits(pkey) : 0;
    if (info->key_type == PST_KEY_ED25519)
        info->key_bits = 256;
    return rc;
}

bool pst_ari_cert_id(const uint8_t *aki, size_t aki_len, const uint8_t *serial, size_t serial_len,
                     char *to, size_t to_size)
{
    auto_buf struct pst_buf id = PST_BUF(to_size - 1);

    pst_b64url_add(&id, aki, aki_len);
    pst_buf_char(&id, '.');
    pst_b64url_add(&id, serial, serial_len);
    return pst_buf_check(&id, "", NULL) == PST_OK && pst_str_copy(to, to_size, pst_buf_cstr(&id));
}

/* The serial as DER content bytes, with the leading 00 of a positive number whose top bit is set:
 * what renewal information wants. */
static int serial_content(const X509 *x, uint8_t to[PST_SERIAL_MAX + 1], size_t *ret_len,
                          struct pst_err *err)
{
    unsigned char *der = NULL;
    int len = i2d_ASN1_INTEGER(X509_get0_serialNumber(x), &der);
    int rc = PST_OK;

    /* Tag and one length byte stand before the content. */
    if (len < 3) {
        rc = pst_fail_ossl(err, PST_EINPUT, "the certificate's serial number is damaged");
    } else if (len - 2 > PST_SERIAL_MAX + 1) {
        rc = pst_fail(err, PST_EINPUT, "the certificate's serial number has more than %d bytes",
                      PST_SERIAL_MAX);
    } else {
        *ret_len = (size_t)len - 2;
        memcpy(to, der + 2, *ret_len);
    }
    OPENSSL_free(der);
    return rc;
}

static int read_ids(X509 *x, struct pst_cert_info *info, struct pst_err *err)
{
    const ASN1_OCTET_STRING *aki = X509_get0_authority_key_id(x);
    uint8_t serial[PST_SERIAL_MAX + 1];
    size_t len = 0, skip;
    int rc = serial_content(x, serial, &len, err);

    if (rc < 0)
        return rc;
    skip = len > 1 && serial[0] == 0 ? 1 : 0;
    if (len - skip > PST_SERIAL_MAX)
        return pst_fail(err, PST_EINPUT, "the certificate's serial number has more than %d bytes",
                        PST_SERIAL_MAX);
    pst_hex(info->serial, serial + skip, len - skip);

    if (!aki || ASN1_STRING_length(aki) == 0 || ASN1_STRING_length(aki) > AKI_MAX)
        return PST_OK;
    info->has_aki = true;
    if (!pst_ari_cert_id(ASN1_STRING_get0_data(aki), (size_t)ASN1_STRING_length(aki), serial, len,
                         info->ari_cert_id, sizeof info->ari_cert_id))
        return pst_fail_nomem(err, "a certificate's id");
    return PST_OK;
}

static bool wants_staple(const X509 *x)
{
    auto_(TLS_FEATURE_free) TLS_FEATURE *list = X509_get_ext_d2i(x, NID_tlsfeature, NULL, NULL);
    bool found = false;

    for (int i = 0; list && i < sk_ASN1_INTEGER_num(list); i++) {
        long feature = ASN1_INTEGER_get(sk_ASN1_INTEGER_value(list, i));

        found |= feature == FEATURE_STATUS_REQUEST || feature == FEATURE_STATUS_REQUEST_V2;
    }
    return found;
}

static int read_extensions(X509 *x, struct pst_cert_info *info, struct pst_err *err)
{
    uint32_t flags = X509_get_extension_flags(x);

    if ((flags & EXFLAG_INVALID) != 0)
        return pst_fail_ossl(err, PST_EINPUT, "an extension of the certificate is damaged");
    info->is_ca = (flags & EXFLAG_CA) != 0;
    info->must_staple = wants_staple(x);
    info->self_signed = (flags & EXFLAG_SI) != 0 && X509_self_signed(x, 1) == 1;
    return read_ids(x, info, err);
}

/* ---- the whole ---- */

int pst_cert_from_der(const void *der, size_t len, X509 **ret, struct pst_err *err)
{
    const unsigned char *at = der;
    auto_(X509_free) X509 *x = NULL;

    if (len == 0 || len > PST_CERT_MAX)
        return pst_fail(err, PST_EINPUT, "a certificate has 1 to %d bytes, not %zu", PST_CERT_MAX,
                        len);
    x = d2i_X509(NULL, &at, (long)len);
    if (!x)
        return pst_fail_ossl(err, PST_EINPUT, "the certificate is damaged");
    if (at != (const unsigned char *)der + len)
        return pst_fail(err, PST_EINPUT, "there are bytes after the certificate");
    *ret = pst_take(&x);
    return PST_OK;
}

int pst_cert_read(X509 *x, const void *der, size_t len, struct pst_cert_info *ret,
                  struct pst_err *err)
{
    auto_cert_info struct pst_cert_info info = {0};
    int rc = pst_sha256(der, len, info.sha256, err);

    if (rc == PST_OK)
        rc = pst_asn1_time(X509_get0_notBefore(x), &info.not_before, err);
    if (rc == PST_OK)
        rc = pst_asn1_time(X509_get0_notAfter(x), &info.not_after, err);
    if (rc == PST_OK)
        rc = read_key(x, &info, err);
    if (rc == PST_OK)
        rc = read_names_of(x, &info, err);
    if (rc == PST_OK)
        rc = read_sans(x, &info, err);
    if (rc == PST_OK)
        rc = read_extensions(x, &info, err);
    ERR_clear_error(); /* an unknown key or an odd extension leaves notes that are no fault */
    if (rc < 0)
        return rc;
    pst_cert_info_deinit(ret);
    *ret = info;
    info = (struct pst_cert_info){0};
    return PST_OK;
}

int pst_cert_parse_der(const void *der, size_t len, struct pst_cert_info *ret, struct pst_err *err)
{
    auto_(X509_free) X509 *x = NULL;
    int rc = pst_cert_from_der(der, len, &x, err);

    return rc < 0 ? rc : pst_cert_read(x, der, len, ret, err);
}

void pst_cert_info_deinit(struct pst_cert_info *info)
{
    for (size_t i = 0; i < info->names_n; i++)
        pst_free(info->names[i]);
    pst_free(info->names);
    pst_free(info->subject);
    pst_free(info->issuer);
    pst_free(info->subject_cn);
    pst_free(info->issuer_cn);
    *info = (struct pst_cert_info){0};
}
