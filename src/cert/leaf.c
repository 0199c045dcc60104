/* leaf.c - the key, the certificate that belongs to it, and what must be true of both. */
#include "cert_internal.h"
#include <string.h>

enum {
    DAY_S = 86400,
    EARLY_S = 300, /* somebody else's clock may be that far ahead */
    SOON_S = 30 * DAY_S,
    PRIVATE_DAYS_MAX = 825, /* what Apple's systems take from private authorities */
    WEAK_SIGNATURE_BITS = 80,
    EXPONENT_BITS_MAX = 64,
    NAMES_SHOWN = 5,
    NAMES_TEXT_MAX = 1600,
};

/* ---- the key ---- */

static const uint8_t *wanted_spki(const struct pst_work *w)
{
    return w->key ? w->key->f.spki_sha256 : w->req->held_spki_sha256;
}

static size_t fits(const struct pst_work *w, const uint8_t *spki_sha256)
{
    size_t n = 0;

    for (size_t i = 0; i < w->uploaded_n; i++)
        n += memcmp(w->certs[i].f->info.spki_sha256, spki_sha256, 32) == 0;
    return n;
}

/* Of several keys the one that a certificate belongs to; others are left out. */
static int choose_key(struct pst_work *w, struct pst_err *err)
{
    if (w->keys_n == 0)
        return PST_OK;
    w->key = &w->keys[0];
    for (size_t i = 0; i < w->keys_n; i++) {
        if (fits(w, w->keys[i].f.spki_sha256) > 0) {
            w->key = &w->keys[i];
            break;
        }
    }
    if (w->keys_n == 1 || fits(w, w->key->f.spki_sha256) == 0)
        return PST_OK;
    return pst_find(w, PST_CERT_CHAIN_REPAIRED, err,
                    "%zu private keys that do not belong to the certificate were left out.",
                    w->keys_n - 1);
}

static const char *stray_in(const struct pst_work *w, enum pst_cert_field field)
{
    for (size_t i = 0; i < w->strays_n; i++)
        if (w->strays[i].field == field)
            return w->strays[i].what;
    return NULL;
}

static int no_key(struct pst_work *w, struct pst_err *err)
{
    const char *stray = stray_in(w, PST_CERT_FIELD_KEY);

    if (w->trouble[PST_CERT_FIELD_KEY] || w->req->held_spki_sha256)
        return PST_OK;
    if (stray)
        return pst_find(w, PST_CERT_KEY_MISSING, err, "What was given as the private key is %s.",
                        stray);
    if (w->held[PST_CERT_FIELD_KEY] && w->certs_in_key_field)
        return pst_find(w, PST_CERT_KEY_MISSING, err,
                        "What was given as the private key is a certificate.");
    /* What cannot be read at all may have held both. */
    if (w->req->key_optional || (w->trouble[PST_CERT_FIELD_CERT] && w->certs_n == 0))
        return PST_OK;
    return pst_find(w, PST_CERT_KEY_MISSING, err, "There is no private key.");
}

struct strength {
    enum pst_key_type type;
    int bits;
    const char *name;
};

/* Is a public key of this kind long enough?  `whose` begins the sentence. */
static int judge_strength(struct pst_work *w, const struct strength *s, enum pst_cert_field field,
                          const char *whose, struct pst_err *err)
{
    struct pst_find_at at = {PST_CERT_KEY_WEAK, field, NULL};
    int most = w->req->rsa_bits_max > 0 ? w->req->rsa_bits_max : PST_RSA_BITS_MAX;

    if (s->type == PST_KEY_RSA && s->bits < PST_RSA_BITS_MIN)
        return pst_find_at(w, &at, err, "%s is RSA with %d bits; at least %d are needed.", whose,
                           s->bits, PST_RSA_BITS_MIN);
    at.code = PST_CERT_KEY_TOO_LARGE;
    if (s->type == PST_KEY_RSA && s->bits > most)
        return pst_find_at(w, &at, err, "%s is RSA with %d bits; at most %d are taken.", whose,
                           s->bits, most);
    at.code = PST_CERT_KEY_TYPE;
    if (s->type == PST_KEY_OTHER)
        return pst_find_at(w, &at, err, "%s is of a type that browsers do not take: %s.", whose,
                           s->name);
    at.code = PST_CERT_KEY_UNUSUAL;
    if (s->type == PST_KEY_P521 || s->type == PST_KEY_ED25519)
        return pst_find_at(w, &at, err, "%s is %s, which many browsers do not take.", whose,
                           s->name);
    return PST_OK;
}

int pst_judge_key(struct pst_work *w, struct pst_err *err)
{
    const struct pst_key_facts *f;
    size_t before;
    int rc = choose_key(w, err);

    if (rc < 0)
        return rc;
    if (!w->key)
        return no_key(w, err);
    before = w->findings_n;
    f = &w->key->f;
    rc = judge_strength(w, &(struct strength){f->type, f->bits, f->name}, PST_CERT_FIELD_KEY,
                        "The private key", err);
    if (rc == PST_OK && f->type == PST_KEY_RSA &&
        (f->exponent_bits > EXPONENT_BITS_MAX || !f->exponent_odd))
        rc = pst_find(w, PST_CERT_KEY_WEAK, err,
                      "The private key has an unfit public exponent; 65537 is usual.");
    /* Whether its parts agree is only asked of a key that would be served: that costs. */
    if (rc < 0 ||
        (w->findings_n > before && pst_cert_code_is_error(w->findings[w->findings_n - 1].code)))
        return rc;
    rc = pst_key_verify(w->key->h, err);
    if (rc == PST_REFUSED)
        rc = pst_find(w, PST_CERT_KEY_CORRUPT, err,
                      "The private key is damaged: its parts contradict each other.");
    return rc;
}

/* ---- which certificate it is ---- */

static bool issued_another(const struct pst_work *w, const struct pst_found_cert *c)
{
    for (size_t i = 0; i < w->uploaded_n; i++)
        if (&w->certs[i] != c &&
            memcmp(w->certs[i].f->issuer_sha256, c->f->subject_sha256, 32) == 0)
            return true;
    return false;
}

/* Without a key that fits: what looks most like a leaf. */
static struct pst_found_cert *guess_leaf(struct pst_work *w)
{
    struct pst_found_cert *best = NULL;

    for (size_t i = 0; i < w->uploaded_n; i++) {
        struct pst_found_cert *c = &w->certs[i];
        bool names = w->req->names_n > 0 && pst_cert_covers(&c->f->info, w->req->names[0]);

        if (c->f->info.is_ca || issued_another(w, c))
            continue;
        if (!best || (names && !pst_cert_covers(&best->f->info, w->req->names[0])))
            best = c;
    }
    return best ? best : &w->certs[0];
}

static int two_leaves(struct pst_work *w, const struct pst_found_cert *a,
                      const struct pst_found_cert *b, struct pst_err *err)
{
    char until_a[PST_CERT_TIME_SIZE], until_b[PST_CERT_TIME_SIZE];

    return pst_find(w, PST_CERT_AMBIGUOUS_LEAF, err,
                    "Two certificates belong to the private key: serial %s (until %s) and serial "
                    "%s (until %s).",
                    a->f->info.serial, pst_cert_time(until_a, a->f->info.not_after),
                    b->f->info.serial, pst_cert_time(until_b, b->f->info.not_after));
}

static int find_leaf(struct pst_work *w, struct pst_err *err)
{
    const uint8_t *spki = wanted_spki(w);
    int rc = PST_OK;

    for (size_t i = 0; spki && i < w->uploaded_n && rc == PST_OK; i++) {
        struct pst_found_cert *c = &w->certs[i];

        if (memcmp(c->f->info.spki_sha256, spki, 32) != 0)
            continue;
        if (w->leaf)
            rc = two_leaves(w, w->leaf, c, err);
        if (!w->leaf || c->f->info.not_after > w->leaf->f->info.not_after)
            w->leaf = c;
    }
    if (rc < 0 || w->leaf)
        return rc;
    w->leaf = guess_leaf(w);
    if (!spki)
        return PST_OK;
    return pst_find(w, PST_CERT_KEY_MISMATCH, err,
                    w->key ? "The private key does not belong to the certificate (%.160s)."
                           : "The certificate (%.160s) was not made from the request that waits "
                             "here.",
                    w->leaf->f->info.subject);
}

static int no_certificate(struct pst_work *w, struct pst_err *err)
{
    const char *stray = stray_in(w, PST_CERT_FIELD_CERT);

    if (stray)
        return pst_find(w, PST_CERT_NOT_A_CERTIFICATE, err,
                        "What was given as the certificate is %s.", stray);
    if (w->trouble[PST_CERT_FIELD_CERT])
        return PST_OK;
    if (w->keys_in_cert_field)
        return pst_find(w, PST_CERT_NOT_A_CERTIFICATE, err,
                        "There is a private key where the certificate should be, and no "
                        "certificate.");
    return pst_find(w, PST_CERT_CERT_MISSING, err, "There is no certificate.");
}

/* ---- what must be true of it ---- */

static int judge_times(struct pst_work *w, const struct pst_x509_facts *f, struct pst_err *err)
{
    const struct pst_cert_info *info = &f->info;
    char when[PST_CERT_TIME_SIZE];
    int64_t left = info->not_after - w->req->at;

    if (info->not_after <= w->req->at)
        return pst_find(w, PST_CERT_EXPIRED, err, "The certificate expired at %s.",
                        pst_cert_time(when, info->not_after));
    if (info->not_before > w->req->at + EARLY_S)
        return pst_find(w, PST_CERT_NOT_YET_VALID, err, "The certificate is valid only from %s on.",
                        pst_cert_time(when, info->not_before));
    if (left < SOON_S)
        return pst_find(w, PST_CERT_EXPIRES_SOON, err, "The certificate expires at %s, in %d %s.",
                        pst_cert_time(when, info->not_after),
                        (int)(left >= 2 * DAY_S ? left / DAY_S : left / 3600),
                        left >= 2 * DAY_S ? "days" : "hours");
    return PST_OK;
}

/* What names the certificate has, for a sentence. */
static void list_names(const struct pst_cert_info *info, struct pst_buf *to)
{
    for (size_t i = 0; i < info->names_n && i < NAMES_SHOWN; i++)
        pst_buf_printf(to, "%s%s", i > 0 ? ", " : "", info->names[i]);
    if (info->names_n > NAMES_SHOWN)
        pst_buf_printf(to, " and %zu more", info->names_n - NAMES_SHOWN);
    if (info->names_n == 0 && info->subject_cn && info->subject_cn[0])
        pst_buf_printf(
            to,
            "none: it has a common name (%.200s) only, which browsers have ignored since "
            "2017",
            info->subject_cn);
    else if (info->names_n == 0)
        pst_buf_str(to, "none");
}

/* A certificate that somebody made for himself often has its name in the old place only.  Whoever
 * accepts it at all does not look there. */
static bool named_the_old_way(const struct pst_work *w, const struct pst_cert_info *info,
                              const char *name)
{
    char cn[PST_NAME_SIZE];

    if (!info->self_signed || w->uploaded_n > 1 || info->names_n + info->other_names_n > 0 ||
        !pst_str_copy(cn, sizeof cn, info->subject_cn))
        return false;
    pst_str_lower(cn);
    return pst_streq(cn, name);
}

static int judge_names(struct pst_work *w, const struct pst_x509_facts *f, struct pst_err *err)
{
    int rc = PST_OK;

    for (size_t i = 0; i < w->req->names_n && rc == PST_OK; i++) {
        auto_buf struct pst_buf have = PST_BUF(NAMES_TEXT_MAX);

        if (pst_cert_covers(&f->info, w->req->names[i]) ||
            named_the_old_way(w, &f->info, w->req->names[i]))
            continue;
        list_names(&f->info, &have);
        rc = pst_buf_check(&have, "the names", err);
        if (rc == PST_OK)
            rc = pst_find(w, PST_CERT_NAME_NOT_COVERED, err,
                          "The certificate does not cover %.253s. It covers: %.1500s.",
                          w->req->names[i], pst_buf_cstr(&have));
    }
    return rc;
}

static int judge_authority(struct pst_work *w, const struct pst_x509_facts *f, struct pst_err *err)
{
    bool alone = w->uploaded_n == 1;
    int rc = PST_OK;

    if (f->info.is_ca && !(f->info.self_signed && alone))
        rc = pst_find(w, PST_CERT_CA_AS_LEAF, err,
                      "The certificate (%.160s) is that of a certificate authority.",
                      f->info.subject);
    if (rc == PST_OK && f->info.self_signed)
        rc = pst_find(w, PST_CERT_SELF_SIGNED, err,
                      "The certificate is signed by its own key: browsers show a warning%s.",
                      f->info.names_n + f->info.other_names_n > 0
                          ? ""
                          : ", the more so as its name stands in the common name only");
    return rc;
}

static int judge_use(struct pst_work *w, const struct pst_x509_facts *f, struct pst_err *err)
{
    int rc = PST_OK;

    if (!f->purpose_server)
        rc = pst_find(w, PST_CERT_USAGE_WRONG, err,
                      "The certificate may not be used for TLS servers: its extended key usage "
                      "lacks serverAuth.");
    if (rc == PST_OK && !f->usage_sign && !f->info.is_ca)
        rc = pst_find(w, PST_CERT_USAGE_WRONG, err,
                      "The certificate's key may not sign handshakes: its key usage lacks "
                      "digitalSignature.");
    if (rc == PST_OK && f->info.must_staple)
        rc = pst_find(w, PST_CERT_MUST_STAPLE, err,
                      "The certificate demands OCSP stapling (must-staple).");
    if (rc == PST_OK && f->sig_bits < WEAK_SIGNATURE_BITS)
        rc = pst_find(w, PST_CERT_SIGNATURE_WEAK, err, "The certificate is signed with %s.",
                      f->sig_name);
    if (rc == PST_OK && f->critical_oid[0])
        rc = pst_find(w, PST_CERT_CRITICAL_UNKNOWN, err,
                      "The certificate has a critical extension that is not known: %s.",
                      f->critical_oid);
    return rc;
}

int pst_judge_leaf(struct pst_work *w, struct pst_err *err)
{
    const struct pst_x509_facts *f;
    int rc;

    if (w->uploaded_n == 0)
        return no_certificate(w, err);
    rc = find_leaf(w, err);
    if (rc < 0)
        return rc;
    f = w->leaf->f;
    rc = judge_times(w, f, err);
    if (rc == PST_OK)
        rc = judge_names(w, f, err);
    if (rc == PST_OK)
        rc = judge_authority(w, f, err);
    if (rc == PST_OK)
        rc = judge_use(w, f, err);
    /* The key itself was judged when it is this one. */
    if (rc == PST_OK && !(w->key && memcmp(w->key->f.spki_sha256, f->info.spki_sha256, 32) == 0))
        rc = judge_strength(w, &(struct strength){f->info.key_type, f->info.key_bits, f->key_name},
                            PST_CERT_FIELD_CERT, "The certificate's key", err);
    return rc;
}

/* ---- after the path is known ---- */

/* The longest life that browsers take from public authorities (CA/Browser Forum, Baseline
 * Requirements, section 6.3.2), by the day of issue. */
static const struct {
    int64_t until; /* Unix s: for certificates issued before */
    int days;
} lifetimes[] = {
    {1519862400, 1187}, /* 2018-03-01: 39 months */
    {1598918400, 825},  /* 2020-09-01 */
    {1773532800, 398},  /* 2026-03-15 */
    {1805068800, 200},  /* 2027-03-15 */
    {1868227200, 100},  /* 2029-03-15 */
    {INT64_MAX, 47},
};

int pst_judge_lifetime(struct pst_work *w, struct pst_err *err)
{
    const struct pst_cert_info *info = &w->leaf->f->info;
    int64_t days = (info->not_after - info->not_before + DAY_S - 1) / DAY_S;
    size_t i = 0;
    int most = PRIVATE_DAYS_MAX;

    while (w->public_root && info->not_before >= lifetimes[i].until)
        i++;
    if (w->public_root)
        most = lifetimes[i].days;
    if (days <= most)
        return PST_OK;
    return pst_find(w, PST_CERT_TOO_LONG_LIVED, err,
                    "The certificate is valid for %d days; some browsers refuse more than %d.",
                    (int)days, most);
}
