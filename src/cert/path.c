/* path.c - from the leaf upwards: order, repair, and what each link must allow. */
#include "cert_internal.h"
#include <string.h>

enum {
    SIGNATURES_MAX = 64, /* checked in one request: each costs up to a millisecond */
    WEAK_SIGNATURE_BITS = 80,
    ISSUER_RSA_MIN = 2048,
    EARLY_S = 300,
    TEXT_MAX = 1500,
};

static bool in_time(const struct pst_work *w, const struct pst_found_cert *c)
{
    return c->f->info.not_after > w->req->at && c->f->info.not_before <= w->req->at + EARLY_S;
}

static bool signed_by(struct pst_work *w, const struct pst_x509 *x, const struct pst_x509 *issuer)
{
    if (w->signatures_left == 0)
        return false;
    w->signatures_left--;
    return pst_x509_signed_by(x, issuer);
}

/* ---- the issuer of one ---- */

/* How good is a candidate?  A cross-signed twin of a root lets older clients in, so it is better
 * than the root; one that was sent is better than one known from elsewhere. */
static int rank(const struct pst_work *w, const struct pst_found_cert *c)
{
    int r = in_time(w, c) ? 8 : 0;

    r += c->f->info.self_signed ? 0 : 4;
    r += c->f->info.is_ca && c->f->usage_ca ? 2 : 0;
    return r + (c->extra ? 0 : 1);
}

struct search {
    struct pst_found_cert *best;
    struct pst_found_cert *forged; /* has the name but did not sign */
};

static void find_issuer(struct pst_work *w, const struct pst_found_cert *c, struct search *ret)
{
    *ret = (struct search){0};
    for (size_t i = 0; i < w->certs_n; i++) {
        struct pst_found_cert *it = &w->certs[i];

        if (it->used || it == c || !pst_x509_names_issuer(c->x, it->x) ||
            (ret->best && rank(w, it) <= rank(w, ret->best)))
            continue;
        if (signed_by(w, c->x, it->x))
            ret->best = it;
        else if (!it->extra)
            ret->forged = it;
    }
}

static void want_issuer(struct pst_work *w, const struct pst_found_cert *c)
{
    w->missing.is_missing = true;
    memcpy(w->missing.subject_sha256, c->f->issuer_sha256, 32);
    w->missing.urls_n = c->f->aia_n;
    for (size_t i = 0; i < c->f->aia_n; i++)
        (void)pst_str_copy(w->missing.urls[i], sizeof w->missing.urls[i], c->f->aia[i]);
}

/* ---- what was not used ---- */

static size_t count_strangers(const struct pst_work *w)
{
    size_t n = 0;

    for (size_t i = 0; i < w->uploaded_n; i++)
        n += !w->certs[i].used;
    return n;
}

/* Nothing above the leaf: is that a gap or a break? */
static int nothing_above(struct pst_work *w, const struct search *s, struct pst_err *err)
{
    const struct pst_x509_facts *leaf = w->leaf->f;

    if (s->forged)
        return pst_find(w, PST_CERT_CHAIN_BROKEN, err,
                        "The certificate of its issuer (%.160s) was sent, but its key did not "
                        "sign the certificate.",
                        s->forged->f->info.subject);
    if (count_strangers(w) > 0)
        return pst_find(w, PST_CERT_CHAIN_BROKEN, err,
                        "None of the other certificates signed the certificate, whose issuer is "
                        "%.160s.",
                        leaf->info.issuer);
    return pst_find(w, PST_CERT_INTERMEDIATE_MISSING, err,
                    "The certificate of its issuer (%.160s) is missing.", leaf->info.issuer);
}

static int private_root(struct pst_work *w, const char *subject, struct pst_err *err)
{
    return pst_find(w, PST_CERT_PRIVATE_ROOT, err,
                    "The chain ends at %.160s, which is not among the public authorities.",
                    subject);
}

/* The path ends with nothing above its last certificate. */
static int end_open(struct pst_work *w, const struct search *s, struct pst_err *err)
{
    const struct pst_found_cert *last = w->path[w->path_n - 1];

    if (w->path_n == 1) {
        want_issuer(w, last);
        return nothing_above(w, s, err);
    }
    if (s->forged)
        return pst_find(w, PST_CERT_CHAIN_BROKEN, err,
                        "The certificate %.160s did not sign %.160s, whose issuer it is named.",
                        s->forged->f->info.subject, last->f->info.subject);
    if (w->req->roots_len == 0)
        return PST_OK; /* nobody can tell whether that is a root */
    want_issuer(w, last);
    return private_root(w, last->f->info.issuer, err);
}

static int not_in_time(struct pst_work *w, const struct pst_found_cert *c, struct pst_err *err)
{
    char when[PST_CERT_TIME_SIZE];

    if (c->f->info.not_after <= w->req->at)
        return pst_find(w, PST_CERT_CHAIN_EXPIRED, err,
                        "The issuer's certificate %.160s expired at %s.", c->f->info.subject,
                        pst_cert_time(when, c->f->info.not_after));
    return pst_find(w, PST_CERT_CHAIN_EXPIRED, err,
                    "The issuer's certificate %.160s is valid only from %s on.", c->f->info.subject,
                    pst_cert_time(when, c->f->info.not_before));
}

/* Take the step to `issuer`.  PST_OK, or PST_DONE at a root. */
static int step(struct pst_work *w, struct pst_found_cert *issuer, struct pst_err *err)
{
    int rc = PST_OK;

    issuer->used = true;
    if (!in_time(w, issuer))
        rc = not_in_time(w, issuer, err);
    if (rc < 0)
        return rc;
    if (issuer->f->info.self_signed) {
        w->root = issuer;
        if (w->req->roots_len > 0)
            rc = private_root(w, issuer->f->info.subject, err);
        return rc < 0 ? rc : PST_DONE;
    }
    if (w->path_n == PST_CERT_PATH_MAX) {
        rc = pst_find(w, PST_CERT_TOO_LARGE, err, "The chain has more than %d certificates.",
                      PST_CERT_PATH_MAX);
        return rc < 0 ? rc : PST_DONE;
    }
    w->path[w->path_n++] = issuer;
    return PST_OK;
}

static int walk(struct pst_work *w, struct pst_err *err)
{
    w->path[0] = w->leaf;
    w->path_n = 1;
    w->leaf->used = true;
    w->signatures_left = SIGNATURES_MAX;
    while (!w->path[w->path_n - 1]->f->info.self_signed) {
        struct pst_found_cert *last = w->path[w->path_n - 1];
        struct search s;
        int rc = w->req->roots_len > 0 ? pst_root_find(w->req, last->x, err) : PST_NOTFOUND;

        if (rc < 0)
            return rc;
        w->public_root |= rc == PST_OK;
        find_issuer(w, last, &s);
        /* Under a public root only a way on that is in order is taken. */
        if (w->public_root && s.best && (!in_time(w, s.best) || s.best->f->info.self_signed)) {
            if (s.best->f->info.self_signed) {
                s.best->used = true;
                w->root = s.best;
            }
            return PST_OK;
        }
        if (!s.best)
            return w->public_root ? PST_OK : end_open(w, &s, err);
        rc = step(w, s.best, err);
        if (rc != PST_OK)
            return rc == PST_DONE ? PST_OK : rc;
    }
    return PST_OK;
}

/* ---- what was changed ---- */

static bool out_of_order(const struct pst_work *w)
{
    const struct pst_found_cert *before = w->path[0];

    if (w->path[0] != &w->certs[0])
        return true;
    for (size_t i = 1; i < w->path_n; i++) {
        if (w->path[i]->extra)
            continue;
        if (w->path[i] < before)
            return true;
        before = w->path[i];
    }
    return false;
}

static void add_part(struct pst_buf *to, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));
static void add_part(struct pst_buf *to, const char *fmt, ...)
{
    va_list ap;

    pst_buf_str(to, to->len > 0 ? "; " : "");
    va_start(ap, fmt);
    pst_buf_vprintf(to, fmt, ap);
    va_end(ap);
}

static int tell_repairs(struct pst_work *w, struct pst_err *err)
{
    auto_buf struct pst_buf text = PST_BUF(TEXT_MAX);
    size_t strangers = count_strangers(w);
    int rc;

    if (out_of_order(w))
        add_part(&text, "the certificates were put in order");
    if (w->root && !w->root->extra)
        add_part(&text, "the root (%.160s) was left out, clients have it or do not trust it",
                 w->root->f->info.subject);
    if (w->duplicates_n > 0)
        add_part(&text, "%zu repeated certificate%s left out", w->duplicates_n,
                 w->duplicates_n == 1 ? " was" : "s were");
    if (strangers > 0)
        add_part(&text, "%zu %s left out", strangers,
                 strangers == 1 ? "certificate that is not part of the chain was"
                                : "certificates that are not part of the chain were");
    for (size_t i = 1; i < w->path_n && i <= 3; i++)
        if (w->path[i]->extra)
            add_part(&text, "the missing intermediate (%.160s) was added",
                     w->path[i]->f->info.subject);
    /* What stands in the place of a missing key is an error of its own. */
    for (size_t i = 0; i < w->strays_n; i++)
        if (w->key || w->strays[i].field != PST_CERT_FIELD_KEY)
            add_part(&text, "%s was left out", w->strays[i].what);
    rc = pst_buf_check(&text, "the repairs", err);
    if (rc < 0 || text.len == 0)
        return rc;
    text.data[0] -= text.data[0] >= 'a' && text.data[0] <= 'z' ? 'a' - 'A' : 0;
    return pst_find(w, PST_CERT_CHAIN_REPAIRED, err, "%s.", pst_buf_cstr(&text));
}

int pst_judge_path(struct pst_work *w, struct pst_err *err)
{
    int rc = walk(w, err);

    if (rc < 0)
        return rc;
    /* A broken chain is not repaired, and nobody knows what a leaf that was guessed belongs to. */
    if (w->path_n == 1 && w->missing.is_missing && count_strangers(w) > 0)
        return PST_OK;
    for (size_t i = 0; i < w->findings_n; i++)
        if (w->findings[i].code == PST_CERT_AMBIGUOUS_LEAF ||
            w->findings[i].code == PST_CERT_KEY_MISMATCH)
            return PST_OK;
    return tell_repairs(w, err);
}

/* ---- what each link must allow ---- */

static int judge_issuer(struct pst_work *w, const struct pst_found_cert *c, struct pst_err *err)
{
    const struct pst_x509_facts *f = c->f;
    struct pst_find_at weak = {PST_CERT_KEY_WEAK, PST_CERT_FIELD_CERT,
                               "Get the authority's present intermediate certificates."};
    int rc = PST_OK;

    if (!f->info.is_ca)
        rc = pst_find(w, PST_CERT_CONSTRAINT_VIOLATED, err,
                      "%.160s signed a certificate but is no certificate authority.",
                      f->info.subject);
    else if (!f->usage_ca)
        rc = pst_find(w, PST_CERT_CONSTRAINT_VIOLATED, err,
                      "%.160s may not sign certificates: its key usage lacks keyCertSign.",
                      f->info.subject);
    if (rc == PST_OK && !f->purpose_server)
        rc = pst_find(w, PST_CERT_USAGE_WRONG, err,
                      "The issuer %.160s may not issue for TLS servers.", f->info.subject);
    if (rc == PST_OK && f->critical_oid[0])
        rc = pst_find(w, PST_CERT_CRITICAL_UNKNOWN, err,
                      "The issuer's certificate %.160s has a critical extension that is not known: "
                      "%s.",
                      f->info.subject, f->critical_oid);
    if (rc == PST_OK && f->info.key_type == PST_KEY_RSA && f->info.key_bits < ISSUER_RSA_MIN)
        rc = pst_find_at(w, &weak, err, "The key of the issuer %.160s is RSA with %d bits.",
                         f->info.subject, f->info.key_bits);
    return rc;
}

/* Certificates of other authorities that stand between `ca` and the leaf. */
static int64_t between(struct pst_found_cert *const *path, size_t ca)
{
    int64_t n = 0;

    for (size_t i = 1; i < ca; i++)
        n += memcmp(path[i]->f->subject_sha256, path[i]->f->issuer_sha256, 32) != 0;
    return n;
}

static int judge_limits(struct pst_work *w, struct pst_found_cert *const *path, size_t ca,
                        struct pst_err *err)
{
    const struct pst_x509_facts *f = path[ca]->f;
    int rc = PST_OK;

    if (f->path_len >= 0 && between(path, ca) > f->path_len)
        rc = pst_find(w, PST_CERT_CONSTRAINT_VIOLATED, err,
                      "%.160s allows %d certificate authorities below it (path length), and there "
                      "are %d.",
                      f->info.subject, (int)f->path_len, (int)between(path, ca));
    for (size_t i = 0; i < ca && rc == PST_OK && f->constrains_names; i++)
        if (!pst_x509_names_permitted(path[i]->x, path[ca]->x))
            rc = pst_find(w, PST_CERT_CONSTRAINT_VIOLATED, err,
                          "The name constraints of %.160s forbid the names of %.160s.",
                          f->info.subject, i == 0 ? "the certificate" : path[i]->f->info.subject);
    return rc;
}

int pst_judge_links(struct pst_work *w, struct pst_err *err)
{
    struct pst_found_cert *path[PST_CERT_PATH_MAX + 1];
    size_t n = w->path_n;
    int rc = PST_OK;

    memcpy(path, w->path, n * sizeof *path);
    if (w->root)
        path[n++] = w->root;
    for (size_t i = 1; i < n && rc == PST_OK; i++) {
        rc = judge_issuer(w, path[i], err);
        if (rc == PST_OK)
            rc = judge_limits(w, path, i, err);
        /* Nobody looks at a root's own signature. */
        if (rc == PST_OK && path[i] != w->root && path[i]->f->sig_bits < WEAK_SIGNATURE_BITS)
            rc = pst_find(w, PST_CERT_SIGNATURE_WEAK, err,
                          "The issuer's certificate %.160s is signed with %s.",
                          path[i]->f->info.subject, path[i]->f->sig_name);
    }
    return rc;
}
