/* collect.c - what is in the inputs: every way in ends here. */
#include "cert_internal.h"
#include <string.h>

uint64_t pst_collect_budget = PST_KDF_BUDGET;

/* ---- certificates and keys ---- */

static int damaged_cert(struct pst_work *w, size_t number, const struct pst_err *why,
                        struct pst_err *err)
{
    if (w->extra)
        return PST_OK;
    if (number > 0)
        return pst_find(w, PST_CERT_UNREADABLE, err,
                        "PEM block %zu holds no sound certificate: %s.", number, why->text);
    return pst_find(w, PST_CERT_UNREADABLE, err, "A certificate is not sound: %s.", why->text);
}

static bool has_cert(struct pst_work *w, const uint8_t sha256[32])
{
    for (size_t i = 0; i < w->certs_n; i++)
        if (memcmp(w->certs[i].f->info.sha256, sha256, 32) == 0)
            return true;
    return false;
}

static int add_cert(struct pst_work *w, size_t number, const void *der, size_t len,
                    struct pst_err *err)
{
    auto_(pst_x509_free) struct pst_x509 *x = NULL;
    struct pst_err why = {0};
    size_t most = w->extra ? PST_ARRAY_N(w->certs) : PST_CHAIN_CERTS_MAX;
    int rc;

    if (w->certs_n + w->duplicates_n >= most)
        return w->extra ? PST_OK
                        : pst_find(w, PST_CERT_TOO_LARGE, err,
                                   "There are more than %d certificates.", PST_CHAIN_CERTS_MAX);
    rc = pst_x509_read(der, len, &x, &why);
    if (rc == PST_REFUSED)
        return damaged_cert(w, number, &why, err);
    if (rc < 0)
        return pst_fail(err, rc, "%s", why.text);
    w->certs_in_key_field |= w->field == PST_CERT_FIELD_KEY;
    if (has_cert(w, pst_x509_facts(x)->info.sha256)) {
        w->duplicates_n += w->extra ? 0 : 1;
        return PST_OK;
    }
    w->certs[w->certs_n++] =
        (struct pst_found_cert){.x = x, .f = pst_x509_facts(x), .extra = w->extra};
    w->uploaded_n += w->extra ? 0 : 1;
    (void)pst_take(&x);
    return PST_OK;
}

/* Takes the key over. */
static int add_key(struct pst_work *w, struct pst_key_handle *h, struct pst_err *err)
{
    auto_(pst_key_free) struct pst_key_handle *key = h;
    struct pst_key_facts facts;
    int rc;

    if (w->extra)
        return PST_OK;
    rc = pst_key_facts(key, &facts, err);
    if (rc == PST_REFUSED)
        return pst_find(w, PST_CERT_KEY_CORRUPT, err, "The private key is damaged.");
    if (rc < 0)
        return rc;
    w->keys_in_cert_field |= w->field == PST_CERT_FIELD_CERT;
    for (size_t i = 0; i < w->keys_n; i++)
        if (memcmp(w->keys[i].f.spki_sha256, facts.spki_sha256, 32) == 0)
            return PST_OK;
    if (w->keys_n == PST_CERT_KEYS_MAX)
        return pst_find(w, PST_CERT_TOO_LARGE, err, "There are more than %d private keys.",
                        PST_CERT_KEYS_MAX);
    w->keys[w->keys_n++] = (struct pst_found_key){pst_take(&key), facts};
    return PST_OK;
}

int pst_collect_stray(struct pst_work *w, const char *what)
{
    if (!w->extra && w->strays_n < PST_CERT_STRAYS_MAX)
        w->strays[w->strays_n++] = (struct pst_stray){what, w->field};
    return PST_OK;
}

/* ---- refusals of reading, as findings ---- */

struct what {
    const char *name; /* "The private key", "The PKCS#12 file" */
    bool certs;       /* it holds certificates too */
};

static const struct {
    const char *problem;
    enum pst_cert_code code;
    const char *sentence;
    const char *fix;
} refusals[] = {
    {"encrypted", PST_CERT_KEY_ENCRYPTED, "is protected by a passphrase, and none was given", NULL},
    {"passphrase", PST_CERT_PASSPHRASE_WRONG, "does not open with the passphrase given", NULL},
    {"kdf_cost", PST_CERT_UNREADABLE, "asks for more rounds of key derivation than are done here",
     "Take the passphrase off (openssl pkey -in encrypted.key -out plain.key), or set it anew with "
     "at most 600,000 rounds."},
    {"cipher", PST_CERT_UNREADABLE, "is encrypted in a way that is not known here",
     "Open it where it was made and export it as PEM, or with AES-256."},
    {"key_type", PST_CERT_KEY_TYPE, "is of a type that browsers do not take", NULL},
    {"too_many", PST_CERT_TOO_LARGE, "holds too many objects", NULL},
};

static int refused(struct pst_work *w, const struct what *what, const struct pst_err *why,
                   struct pst_err *err)
{
    struct pst_find_at at = {what->certs ? PST_CERT_UNREADABLE : PST_CERT_KEY_CORRUPT,
                             what->certs ? w->field : PST_CERT_FIELD_KEY, NULL};
    const char *sentence = "is damaged";
    int rc;

    if (w->extra)
        return PST_OK;
    for (size_t i = 0; i < PST_ARRAY_N(refusals); i++) {
        if (!pst_streq(why->problem, refusals[i].problem))
            continue;
        at = (struct pst_find_at){refusals[i].code, PST_CERT_FIELD_KEY, refusals[i].fix};
        if (refusals[i].code == PST_CERT_PASSPHRASE_WRONG)
            at.field = PST_CERT_FIELD_PASSPHRASE;
        sentence = refusals[i].sentence;
    }
    rc = pst_find_at(w, &at, err, "%s %s.", what->name, sentence);
    w->trouble[PST_CERT_FIELD_KEY] = true;
    w->trouble[PST_CERT_FIELD_CERT] |= what->certs;
    return rc;
}

/* PST_REFUSED of a reader becomes a finding; faults go on. */
static int settle(struct pst_work *w, const struct what *what, int rc, const struct pst_err *why,
                  struct pst_err *err)
{
    if (rc == PST_OK)
        return PST_OK;
    if (rc == PST_REFUSED)
        return refused(w, what, why, err);
    return pst_fail(err, rc < 0 ? rc : PST_EINTERNAL, "%s", why->text);
}

static const struct what a_key = {"The private key", false};

int pst_collect_old_key(struct pst_work *w, const char *dek, const void *body, size_t len,
                        struct pst_err *err)
{
    struct pst_key_handle *h = NULL;
    struct pst_err why = {0};
    int rc;

    if (w->extra)
        return PST_OK;
    rc = pst_key_read_pem_encrypted(body, len, dek, &w->unlock, &h, &why);
    return rc == PST_OK ? add_key(w, h, err) : settle(w, &a_key, rc, &why, err);
}

/* ---- containers ---- */

static int sink_cert(void *arg, const void *der, size_t len, struct pst_err *err)
{
    return add_cert(arg, 0, der, len, err);
}

static int sink_key(void *arg, struct pst_key_handle *key, struct pst_err *err)
{
    return add_key(arg, key, err);
}

static int read_pkcs7(struct pst_work *w, const void *der, size_t len, struct pst_err *err)
{
    static const struct what container = {"The PKCS#7 file", true};
    struct pst_read_sink sink = {sink_cert, sink_key, w};
    struct pst_err why = {0};
    size_t before = w->certs_n + w->duplicates_n + w->findings_n;
    int rc = settle(w, &container, pst_pkcs7_read(der, len, &sink, &why), &why, err);

    if (rc == PST_OK && w->certs_n + w->duplicates_n + w->findings_n == before)
        rc = pst_collect_stray(w, "a PKCS#7 file without certificates");
    return rc;
}

static int read_pkcs12(struct pst_work *w, const void *der, size_t len, struct pst_err *err)
{
    static const struct what container = {"The PKCS#12 file", true};
    struct pst_read_sink sink = {sink_cert, sink_key, w};
    struct pst_err why = {0};

    if (w->extra)
        return PST_OK;
    return settle(w, &container, pst_pkcs12_read(der, len, &w->unlock, &sink, &why), &why, err);
}

static int read_key(struct pst_work *w, enum pst_der_kind kind, const void *der, size_t len,
                    struct pst_err *err)
{
    struct pst_key_handle *h = NULL;
    struct pst_err why = {0};
    int rc;

    if (w->extra)
        return PST_OK;
    if (kind == PST_DER_PKCS8_ENCRYPTED)
        rc = pst_key_read_encrypted(der, len, &w->unlock, &h, &why);
    else
        rc = pst_key_read(der, len, &h, &why);
    return rc == PST_OK ? add_key(w, h, err) : settle(w, &a_key, rc, &why, err);
}

/* ---- DER ---- */

static int unknown_der(struct pst_work *w, const char *label, size_t number, struct pst_err *err)
{
    bool key = label && pst_str_ends(label, "PRIVATE KEY");
    struct pst_find_at at = {key ? PST_CERT_KEY_CORRUPT : PST_CERT_UNREADABLE,
                             key ? PST_CERT_FIELD_KEY : w->field, NULL};

    if (w->extra)
        return PST_OK;
    if (label)
        return pst_find_at(w, &at, err, "PEM block %zu (%s) does not hold what it says.", number,
                           label);
    return pst_find_at(w, &at, err,
                       "The file is neither PEM nor a certificate, key or container in DER, or it "
                       "was cut short.");
}

int pst_collect_der(struct pst_work *w, const char *label, size_t number, const void *der,
                    size_t len, struct pst_err *err)
{
    static const char *const strays[PST_DER_KIND__COUNT] = {
        [PST_DER_CSR] = "a certificate request (CSR)",
        [PST_DER_CRL] = "a revocation list (CRL)",
        [PST_DER_PUBLIC_KEY] = "a public key",
        [PST_DER_RSA_PUBLIC] = "a public key",
    };
    size_t first = len;
    enum pst_der_kind kind;

    /* Trust settings stand behind the certificate. */
    if (pst_streq(label, "TRUSTED CERTIFICATE"))
        (void)pst_der_element(der, len, &first);
    kind = pst_der_kind(der, first);
    switch (kind) {
    case PST_DER_CERT:
        return add_cert(w, number, der, first, err);
    case PST_DER_PKCS7:
        return read_pkcs7(w, der, len, err);
    case PST_DER_PKCS12:
        return read_pkcs12(w, der, len, err);
    case PST_DER_PKCS8:
    case PST_DER_PKCS8_ENCRYPTED:
    case PST_DER_RSA_KEY:
    case PST_DER_EC_KEY:
    case PST_DER_DSA_KEY:
        return read_key(w, kind, der, len, err);
    default:
        return strays[kind] ? pst_collect_stray(w, strays[kind])
                            : unknown_der(w, label, number, err);
    }
}

/* ---- one input ---- */

/* Text that is neither: what is it probably? */
static const struct {
    const char *begins;
    enum pst_cert_field field;
    const char *sentence;
} others[] = {
    {"PuTTY-User-Key-File", PST_CERT_FIELD_KEY, "This is a key of PuTTY, for SSH."},
    {"ssh-", PST_CERT_FIELD_KEY, "This is a public key for SSH."},
    {"<", PST_CERT_FIELD_CERT, "This is a web page or XML."},
    {"%PDF", PST_CERT_FIELD_CERT, "This is a PDF document."},
    {"PK\x03\x04", PST_CERT_FIELD_CERT, "This is a ZIP archive: send what is in it."},
};

static int unknown_text(struct pst_work *w, const char *text, size_t len, struct pst_err *err)
{
    struct pst_find_at at = {PST_CERT_UNREADABLE, w->field, NULL};

    for (size_t i = 0; i < PST_ARRAY_N(others); i++)
        if (len >= strlen(others[i].begins) &&
            memcmp(text, others[i].begins, strlen(others[i].begins)) == 0)
            return pst_find_at(w, &at, err, "%s", others[i].sentence);
    return pst_find_at(w, &at, err, "There is no PEM block in it, and it is not DER.");
}

static int read_text(struct pst_work *w, const char *text, size_t len, struct pst_err *err)
{
    auto_buf_wipe struct pst_buf der = PST_BUF(PST_CERT_INPUT_MAX);
    size_t before = w->findings_n;
    int rc;

    if (pst_pem_has_block(text, len))
        return pst_pem_scan(w, text, len, err);
    /* Base64 of DER that lost its frame. */
    if (pst_pem_decode(text, len, &der) && pst_der_kind(der.data, der.len) != PST_DER_UNKNOWN)
        return pst_collect_der(w, NULL, 0, der.data, der.len, err);
    if (der.no_memory)
        return pst_fail_nomem(err, "an input");
    rc = pst_pem_scan(w, text, len, err); /* for the mistakes it knows */
    if (rc == PST_OK && w->findings_n == before && !w->extra)
        rc = unknown_text(w, text, len, err);
    return rc;
}

/* What Windows' editors and shells write: two bytes a character, the order given by a mark. */
static int read_utf16(struct pst_work *w, const uint8_t *data, size_t len, struct pst_err *err)
{
    auto_buf_wipe struct pst_buf text = PST_BUF(len);
    int low = data[0] == 0xff ? 0 : 1;
    int rc;

    for (size_t i = 2; i + 1 < len; i += 2) {
        uint8_t c = data[i + (size_t)low];

        pst_buf_char(&text, data[i + 1 - (size_t)low] == 0 && c < 0x80 ? (char)c : '?');
    }
    rc = pst_buf_check(&text, "an input", err);
    return rc < 0 ? rc : read_text(w, pst_buf_cstr(&text), text.len, err);
}

static bool is_blank(const char *s, size_t len)
{
    for (size_t i = 0; i < len; i++)
        if (!strchr(" \t\r\n\v\f", s[i]) || s[i] == 0)
            return false;
    return true;
}

static int read_input(struct pst_work *w, const void *data, size_t len, struct pst_err *err)
{
    const uint8_t *bytes = data;
    const char *text = data;

    if (is_blank(text, len))
        return PST_OK;
    w->held[w->field] |= !w->extra;
    if (len >= 2 &&
        ((bytes[0] == 0xff && bytes[1] == 0xfe) || (bytes[0] == 0xfe && bytes[1] == 0xff)))
        return read_utf16(w, bytes, len, err);
    if (len >= 3 && memcmp(bytes, "\xef\xbb\xbf", 3) == 0) {
        text += 3;
        len -= 3;
    }
    if (bytes[0] == 0x30 && pst_der_kind(bytes, len) != PST_DER_UNKNOWN)
        return pst_collect_der(w, NULL, 0, bytes, len, err);
    if (bytes[0] == 0x30 && len > 1 && bytes[1] >= 0x80)
        return unknown_der(w, NULL, 0, err);
    while (len > 0 && strchr(" \t\r\n", *text)) {
        text++;
        len--;
    }
    return read_text(w, text, len, err);
}

int pst_collect(struct pst_work *w, struct pst_err *err)
{
    int rc = PST_OK;

    w->unlock = (struct pst_unlock){w->req->passphrase, pst_collect_budget};
    for (size_t i = 0; i < w->req->inputs_n && rc == PST_OK; i++) {
        w->field = w->req->inputs[i].field;
        rc = read_input(w, w->req->inputs[i].data, w->req->inputs[i].len, err);
    }
    if (rc != PST_OK || w->req->extra_len == 0)
        return rc;
    w->extra = true;
    rc = read_input(w, w->req->extra, w->req->extra_len, err);
    w->extra = false;
    return rc;
}
