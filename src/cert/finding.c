/* finding.c - the table of codes, and the list of what was found. */
#include "cert_internal.h"
#include <stdio.h>
#include <string.h>

enum { SENTENCE_MAX = 2000 };

static const struct {
    const char *name;
    bool error;
    enum pst_cert_field field;
    const char *fix;
} codes[PST_CERT_CODE__COUNT] = {
    [PST_CERT_KEY_MISMATCH] = {"key_mismatch", true, PST_CERT_FIELD_KEY,
                               "Send the private key that the certificate was requested with, or "
                               "the certificate that was issued for this key."},
    [PST_CERT_KEY_MISSING] = {"key_missing", true, PST_CERT_FIELD_KEY,
                              "Add the private key: a block that begins with "
                              "-----BEGIN PRIVATE KEY-----."},
    [PST_CERT_KEY_ENCRYPTED] = {"key_encrypted", true, PST_CERT_FIELD_KEY,
                                "Send its passphrase along, or take it off: "
                                "openssl pkey -in encrypted.key -out plain.key"},
    [PST_CERT_PASSPHRASE_WRONG] = {"passphrase_wrong", true, PST_CERT_FIELD_PASSPHRASE,
                                   "Send the passphrase that was set when the file was made."},
    [PST_CERT_CERT_MISSING] = {"cert_missing", true, PST_CERT_FIELD_CERT,
                               "Add the certificate: a block that begins with "
                               "-----BEGIN CERTIFICATE-----."},
    [PST_CERT_NOT_A_CERTIFICATE] = {"not_a_certificate", true, PST_CERT_FIELD_CERT,
                                    "Send the certificate that the certificate authority gave "
                                    "you."},
    [PST_CERT_AMBIGUOUS_LEAF] = {"ambiguous_leaf", true, PST_CERT_FIELD_CERT,
                                 "Send only the one that is to be served."},
    [PST_CERT_NAME_NOT_COVERED] = {"name_not_covered", true, PST_CERT_FIELD_CERT,
                                   "Send a certificate that has the domain among its alternative "
                                   "names, or add it to a domain that this one covers."},
    [PST_CERT_EXPIRED] = {"expired", true, PST_CERT_FIELD_CERT, "Send the renewed certificate."},
    [PST_CERT_NOT_YET_VALID] = {"not_yet_valid", true, PST_CERT_FIELD_CERT,
                                "Wait until then, or have it issued with an earlier start."},
    [PST_CERT_KEY_WEAK] = {"key_weak", true, PST_CERT_FIELD_KEY,
                           "Have a certificate issued for a new key: RSA of 2048 bits or more, or "
                           "P-256."},
    [PST_CERT_KEY_TOO_LARGE] = {"key_too_large", true, PST_CERT_FIELD_KEY,
                                "Use RSA of at most 4096 bits, or P-256, which is stronger than "
                                "RSA of 3072 bits; the operator can raise the limit."},
    [PST_CERT_KEY_TYPE] = {"key_type", true, PST_CERT_FIELD_KEY,
                           "Have a certificate issued for an RSA key of 2048 to 4096 bits or an "
                           "ECDSA key on P-256 or P-384."},
    [PST_CERT_MUST_STAPLE] = {"must_staple", true, PST_CERT_FIELD_CERT,
                              "Have it issued without the must-staple extension: stapling is not "
                              "done here, so browsers would refuse it."},
    [PST_CERT_SIGNATURE_WEAK] = {"signature_weak", true, PST_CERT_FIELD_CERT,
                                 "Have it issued anew, signed with SHA-256 or better."},
    [PST_CERT_USAGE_WRONG] = {"usage_wrong", true, PST_CERT_FIELD_CERT,
                              "Have a certificate issued for TLS servers (key usage "
                              "digitalSignature, extended key usage serverAuth)."},
    [PST_CERT_CA_AS_LEAF] = {"ca_as_leaf", true, PST_CERT_FIELD_CERT,
                             "Send the certificate of the domain, not that of the authority."},
    [PST_CERT_CHAIN_BROKEN] = {"chain_broken", true, PST_CERT_FIELD_CERT,
                               "Send the intermediate certificates that your authority gives with "
                               "the certificate, or the certificate alone."},
    [PST_CERT_CHAIN_EXPIRED] = {"chain_expired", true, PST_CERT_FIELD_CERT,
                                "Get the authority's present intermediate certificates and send "
                                "them with yours."},
    [PST_CERT_CONSTRAINT_VIOLATED] = {"constraint_violated", true, PST_CERT_FIELD_CERT,
                                      "Have it issued by an authority that is allowed to: clients "
                                      "refuse such a chain."},
    [PST_CERT_CRITICAL_UNKNOWN] = {"critical_unknown", true, PST_CERT_FIELD_CERT,
                                   "Have it issued without that extension, or with it marked as "
                                   "not critical."},
    [PST_CERT_KEY_CORRUPT] = {"key_corrupt", true, PST_CERT_FIELD_KEY,
                              "Send the file again as it was made; check it with: "
                              "openssl pkey -in my.key -check -noout"},
    [PST_CERT_TOO_LARGE] = {"too_large", true, PST_CERT_FIELD_CERT,
                            "Send only the certificate, its intermediates and the key."},
    [PST_CERT_UNREADABLE] = {"unreadable", true, PST_CERT_FIELD_CERT,
                             "Send PEM (-----BEGIN CERTIFICATE-----), DER, PKCS#7 or PKCS#12, "
                             "unchanged as you got it."},
    [PST_CERT_SELF_SIGNED] = {"self_signed", false, PST_CERT_FIELD_CERT,
                              "Fine for tests. For visitors, leave it out and let Postern get a "
                              "certificate."},
    [PST_CERT_PRIVATE_ROOT] = {"private_root", false, PST_CERT_FIELD_CERT,
                               "Fine when all visitors have that root installed; otherwise use a "
                               "public authority."},
    [PST_CERT_EXPIRES_SOON] = {"expires_soon", false, PST_CERT_FIELD_CERT,
                               "Renew it now and send the new one; otherwise Postern's own "
                               "certificate takes over at that second."},
    [PST_CERT_TOO_LONG_LIVED] = {"too_long_lived", false, PST_CERT_FIELD_CERT,
                                 "Have it issued for a shorter time: some browsers refuse it."},
    [PST_CERT_INTERMEDIATE_MISSING] = {"intermediate_missing", false, PST_CERT_FIELD_CERT,
                                       "Add the intermediate certificate of your authority: "
                                       "without it many clients do not trust the certificate."},
    [PST_CERT_CHAIN_REPAIRED] = {"chain_repaired", false, PST_CERT_FIELD_CERT,
                                 "Nothing needs to be done about it."},
    [PST_CERT_KEY_UNUSUAL] = {"key_unusual", false, PST_CERT_FIELD_KEY,
                              "Use RSA, P-256 or P-384 where every visitor must get this "
                              "certificate; others get the next one of the ladder."},
};

static const char *const fields[PST_CERT_FIELD__COUNT] = {"tlscert", "tlskey", "passphrase"};

const char *pst_cert_code_name(enum pst_cert_code code)
{
    return codes[code].name;
}

bool pst_cert_code_is_error(enum pst_cert_code code)
{
    return codes[code].error;
}

const char *pst_cert_code_fix(enum pst_cert_code code)
{
    return codes[code].fix;
}

enum pst_cert_field pst_cert_code_field(enum pst_cert_code code)
{
    return codes[code].field;
}

bool pst_cert_code_parse(const char *name, enum pst_cert_code *ret)
{
    for (enum pst_cert_code c = 0; c < PST_CERT_CODE__COUNT; c++) {
        if (pst_streq(name, codes[c].name)) {
            *ret = c;
            return true;
        }
    }
    return false;
}

const char *pst_cert_field_name(enum pst_cert_field field)
{
    return fields[field];
}

const char *pst_cert_time(char to[PST_CERT_TIME_SIZE], int64_t unix_s)
{
    char text[PST_TIME_SIZE];

    pst_time_format(text, unix_s * 1000);
    (void)snprintf(to, PST_CERT_TIME_SIZE, "%.10s %.8s UTC", text, text + 11);
    return to;
}

/* ---- the list ---- */

static void release(struct pst_cert_finding *f)
{
    pst_free(f->sentence);
    pst_free(f->fix);
}

static bool known(const struct pst_work *w, const struct pst_find_at *at, const char *sentence)
{
    for (size_t i = 0; i < w->findings_n; i++)
        if (w->findings[i].code == at->code && pst_streq(w->findings[i].sentence, sentence))
            return true;
    return false;
}

/* A name that was cut to what a sentence takes may end within a character. */
static void mend_utf8(char *s)
{
    for (size_t n; *s; s += n) {
        unsigned char c = (unsigned char)*s;

        n = c < 0x80 ? 1 : c < 0xe0 ? 2 : c < 0xf0 ? 3 : 4;
        if (strnlen(s, n) < n || !pst_utf8_ok(s, n)) {
            *s = '?';
            n = 1;
        }
    }
}

__attribute__((format(printf, 4, 0))) static int add(struct pst_work *w,
                                                     const struct pst_find_at *at,
                                                     struct pst_err *err, const char *fmt,
                                                     va_list ap)
{
    auto_buf struct pst_buf text = PST_BUF(SENTENCE_MAX);
    struct pst_cert_finding f = {.code = at->code, .field = at->field};
    int rc;

    pst_buf_vprintf(&text, fmt, ap);
    rc = pst_buf_check(&text, "a finding", err);
    if (rc < 0)
        return rc;
    mend_utf8(text.data);
    if (w->findings_n == PST_CERT_FINDINGS_MAX || known(w, at, pst_buf_cstr(&text)))
        return PST_OK;
    f.sentence = pst_buf_take(&text, NULL);
    f.fix = pst_strdup(at->fix ? at->fix : codes[at->code].fix);
    if (!f.sentence || !f.fix) {
        release(&f);
        return pst_fail_nomem(err, "a finding");
    }
    if (codes[at->code].error)
        w->trouble[at->field] = true;
    w->findings[w->findings_n++] = f;
    return PST_OK;
}

int pst_find(struct pst_work *w, enum pst_cert_code code, struct pst_err *err, const char *fmt, ...)
{
    struct pst_find_at at = {code, codes[code].field, NULL};
    va_list ap;
    int rc;

    va_start(ap, fmt);
    rc = add(w, &at, err, fmt, ap);
    va_end(ap);
    return rc;
}

int pst_find_at(struct pst_work *w, const struct pst_find_at *at, struct pst_err *err,
                const char *fmt, ...)
{
    va_list ap;
    int rc;

    va_start(ap, fmt);
    rc = add(w, at, err, fmt, ap);
    va_end(ap);
    return rc;
}

bool pst_find_has_error(const struct pst_work *w)
{
    for (size_t i = 0; i < w->findings_n; i++)
        if (codes[w->findings[i].code].error)
            return true;
    return false;
}

int pst_find_hand_over(struct pst_work *w, struct pst_cert_result *ret, struct pst_err *err)
{
    size_t n = 0;

    ret->accepted = !pst_find_has_error(w);
    ret->findings = pst_zalloc(w->findings_n, sizeof *ret->findings);
    if (!ret->findings)
        return pst_fail_nomem(err, "the findings");
    for (int warnings = 0; warnings < 2; warnings++)
        for (size_t i = 0; i < w->findings_n; i++)
            if (codes[w->findings[i].code].error == !warnings)
                ret->findings[n++] = w->findings[i];
    ret->findings_n = n;
    w->findings_n = 0;
    return PST_OK;
}

void pst_work_deinit(struct pst_work *w)
{
    for (size_t i = 0; i < w->findings_n; i++)
        release(&w->findings[i]);
    for (size_t i = 0; i < w->certs_n; i++)
        pst_x509_free(w->certs[i].x);
    for (size_t i = 0; i < w->keys_n; i++)
        pst_key_free(w->keys[i].h);
    *w = (struct pst_work){0};
}

void pst_cert_result_deinit(struct pst_cert_result *r)
{
    for (size_t i = 0; i < r->findings_n; i++)
        release(&r->findings[i]);
    pst_free(r->findings);
    pst_chain_deinit(&r->chain);
    pst_secret_deinit(&r->key);
    *r = (struct pst_cert_result){0};
}

bool pst_cert_has(const struct pst_cert_result *r, enum pst_cert_code code)
{
    for (size_t i = 0; i < r->findings_n; i++)
        if (r->findings[i].code == code)
            return true;
    return false;
}
