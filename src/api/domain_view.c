#include "api_internal.h"

#include <inttypes.h>
#include <stdio.h>

#include <postern/cert.h>
#include <postern/crypto_x509.h>
#include <postern/name.h>

#include "challenges.h"
#include "domain_view.h"

enum { SOON_S = 30 * 86400 };

static const char *const step_names[PST_STEP__COUNT] = {
    [PST_STEP_CUSTOM] = "custom",
    [PST_STEP_ACME] = "acme",
    [PST_STEP_WILDCARD] = "wildcard",
    [PST_STEP_DEFAULT] = "default",
};

const char *pst_step_name(enum pst_step s)
{
    return step_names[s];
}

void pst_domain_view_deinit(struct pst_domain_view *v)
{
    for (int i = 0; i < PST_STEP__COUNT; i++)
        pst_certificate_deinit(&v->steps[i].cert);
}

/* ---- the ladder ---- */

struct loader {
    struct pst_tx *tx;
    int64_t now;
    const struct pst_view_source *source; /* NULL: the database is asked */
    struct pst_domain_view *v;
    struct pst_err *err;
};

static int get_certificate(struct loader *l, int64_t num, struct pst_certificate *ret)
{
    return l->source ? pst_view_source_certificate(l->source, num, ret)
                     : pst_certificate_get(l->tx, num, ret, l->err);
}

/* Put certificate `num` on a step (0: none). */
static int load_step(struct loader *l, enum pst_step s, int64_t num)
{
    struct pst_domain_view *v = l->v;

    v->steps[s].why = "there is none";
    v->steps[s].there = v->steps[s].valid = false;
    int rc = num ? get_certificate(l, num, &v->steps[s].cert) : PST_NOTFOUND;
    if (rc == PST_NOTFOUND)
        return PST_OK;
    if (rc != PST_OK)
        return rc;
    const struct pst_certificate *c = &v->steps[s].cert;
    v->steps[s].there = true;
    v->steps[s].valid = c->not_before <= l->now && l->now < c->not_after;
    v->steps[s].why = v->steps[s].valid        ? NULL
                      : l->now >= c->not_after ? "its time is over"
                                               : "its time has not begun";
    return PST_OK;
}

/* A step that is in its time may still not count. */
static void discount(struct pst_domain_view *v, enum pst_step s, bool when, const char *why)
{
    if (!v->steps[s].valid || !when)
        return;
    v->steps[s].valid = false;
    v->steps[s].why = why;
}

/* The certificate of the wildcard domain of the same owner that covers the name. */
static int load_wildcard(struct loader *l)
{
    struct pst_domain_view *v = l->v;
    const struct pst_domain *d = v->domain;
    const char *parent = d->wildcard ? NULL : pst_name_parent(d->ascii);
    char ascii[PST_NAME_SIZE + 2];

    v->steps[PST_STEP_WILDCARD].why = "no wildcard domain of the same owner covers the name";
    if (!parent)
        return PST_OK;
    snprintf(ascii, sizeof ascii, "*.%s", parent);
    int rc = l->source ? pst_view_source_wildcard(l->source, ascii, &v->wildcard)
                       : pst_domain_by_ascii(l->tx, ascii, &v->wildcard, l->err);
    if (rc == PST_OK && !pst_streq(v->wildcard.user_id, d->user_id))
        rc = PST_NOTFOUND;
    if (rc != PST_OK)
        return rc == PST_NOTFOUND ? PST_OK : rc;
    const struct pst_domain *w = &v->wildcard;
    rc = load_step(l, PST_STEP_WILDCARD, w->custom_cert);
    if (rc != PST_OK || v->steps[PST_STEP_WILDCARD].valid)
        return rc;
    if (!w->acme_cert || !w->acme_enabled)
        return PST_OK;
    pst_certificate_deinit(&v->steps[PST_STEP_WILDCARD].cert);
    v->steps[PST_STEP_WILDCARD].cert = (struct pst_certificate){0};
    rc = load_step(l, PST_STEP_WILDCARD, w->acme_cert);
    discount(v, PST_STEP_WILDCARD, w->acme_seen_at_ms == 0, "no edge has been seen serving it yet");
    return rc;
}

static int load_default(struct loader *l)
{
    struct pst_default_ladder platform;
    struct pst_domain_view *v = l->v;

    int rc = PST_OK;
    if (l->source)
        pst_view_source_default(l->source, &platform);
    else
        rc = pst_default_ladder_get(l->tx, &platform, l->err);
    if (rc == PST_OK)
        rc = load_step(l, PST_STEP_DEFAULT, 0);
    for (int i = 0; i < PST_DEFAULT_STEPS && rc == PST_OK; i++) {
        if (!platform.certs[i] || v->steps[PST_STEP_DEFAULT].valid)
            continue;
        pst_certificate_deinit(&v->steps[PST_STEP_DEFAULT].cert);
        v->steps[PST_STEP_DEFAULT].cert = (struct pst_certificate){0};
        rc = load_step(l, PST_STEP_DEFAULT, platform.certs[i]);
    }
    return rc;
}

/* ---- why ---- */

/* What is to be said of the uploaded certificate, beside what stands in the way of ACME. */
static void explain_custom(const struct pst_domain_view *v, int64_t now, struct pst_buf *to)
{
    static const char *const instead[PST_STEP__COUNT] = {
        [PST_STEP_ACME] = "its ACME certificate",
        [PST_STEP_WILDCARD] = "the certificate of the wildcard domain",
        [PST_STEP_DEFAULT] = "only the platform's default certificate, which browsers refuse,",
    };
    const struct pst_certificate *c = &v->steps[PST_STEP_CUSTOM].cert;
    char until[PST_TIME_SIZE];

    if (!v->steps[PST_STEP_CUSTOM].there)
        return;
    pst_time_format(until, c->not_after * 1000);
    if (now >= c->not_after)
        pst_buf_printf(to,
                       "The uploaded certificate ended on %.10s at %.8s UTC; %s is served "
                       "instead. ",
                       until, until + 11, instead[v->taken]);
    else if (now < c->not_before)
        pst_buf_printf(to, "The time of the uploaded certificate has not begun; %s is served. ",
                       instead[v->taken]);
    else if (c->not_after - now <= SOON_S)
        pst_buf_printf(to,
                       "The uploaded certificate ends on %.10s at %.8s UTC: upload the renewed "
                       "one before. ",
                       until, until + 11);
}

static void explain(struct pst_domain_view *v, int64_t now)
{
    auto_buf struct pst_buf text = PST_BUF(sizeof v->reason - 1);
    const struct pst_domain *d = v->domain;

    explain_custom(v, now, &text);
    if (!d->acme_enabled && v->taken == PST_STEP_DEFAULT)
        pst_buf_printf(&text,
                       "ACME is switched off for this domain and there is no valid certificate for "
                       "it%s: upload one, or switch ACME on. ",
                       v->steps[PST_STEP_CUSTOM].there ? ""
                                                       : ", so only the platform's default "
                                                         "certificate is served");
    else if (d->acme_enabled)
        pst_buf_str(&text, d->reason);
    while (text.len && text.data[text.len - 1] == ' ')
        pst_buf_cut(&text, text.len - 1);
    pst_str_cut(v->reason, sizeof v->reason, pst_buf_cstr(&text));
}

int pst_domain_view_load(struct pst_tx *tx, const struct pst_domain *d, int64_t now,
                         const struct pst_view_source *source, struct pst_domain_view *ret,
                         struct pst_err *err)
{
    struct loader l = {tx, now, source, ret, err};

    ret->domain = d;
    int rc = load_step(&l, PST_STEP_CUSTOM, d->custom_cert);
    if (rc == PST_OK)
        rc = load_step(&l, PST_STEP_ACME, d->acme_cert);
    if (rc == PST_OK)
        rc = load_wildcard(&l);
    if (rc == PST_OK)
        rc = load_default(&l);
    if (rc != PST_OK)
        return rc < 0 ? rc : pst_unexpected(err, rc, "a certificate");
    discount(ret, PST_STEP_ACME, !d->acme_enabled, "ACME is switched off for this domain");
    discount(ret, PST_STEP_ACME, d->acme_seen_at_ms == 0, "no edge has been seen serving it yet");
    ret->taken = PST_STEP_CUSTOM;
    while (ret->taken < PST_STEP_DEFAULT && !ret->steps[ret->taken].valid)
        ret->taken++;
    struct pst_status_in in = {
        .acme_enabled = d->acme_enabled,
        .custom_valid = ret->steps[PST_STEP_CUSTOM].valid,
        .acme_valid = ret->steps[PST_STEP_ACME].valid,
        .covered = ret->steps[PST_STEP_WILDCARD].valid,
        .wildcard = d->wildcard,
        .phase = d->phase,
    };
    ret->status = pst_status_of(&in);
    explain(ret, now);
    return PST_OK;
}

/* ---- the object ---- */

/* Of certificates that an older version stored: the size stands only in the certificate. */
static int read_bits(struct pst_tx *tx, const struct pst_certificate *c, int *ret,
                     struct pst_err *err)
{
    struct pst_certificate whole = {0};
    auto_cert_info struct pst_cert_info info = {0};

    int rc = pst_certificate_load(tx, c->num, &whole, err);
    if (rc == PST_OK)
        rc = pst_cert_parse_der(whole.leaf.data, whole.leaf.len, &info, err);
    pst_certificate_deinit(&whole);
    if (rc != PST_OK)
        return rc < 0 ? rc : pst_unexpected(err, rc, "a certificate");
    *ret = info.key_bits;
    return PST_OK;
}

static int known_bits(enum pst_key_type type)
{
    static const int bits[PST_KEY_TYPE__COUNT] = {
        [PST_KEY_P256] = 256, [PST_KEY_P384] = 384, [PST_KEY_P521] = 521, [PST_KEY_ED25519] = 256};

    return bits[type];
}

/* "EC private key - 256 bits": what is told about the key, never the key. */
static int describe_key(struct pst_tx *tx, const struct pst_certificate *c, struct pst_buf *to,
                        struct pst_err *err)
{
    enum pst_key_type type = PST_KEY_OTHER;
    int rc = PST_OK;

    pst_key_type_parse(c->key_type, &type);
    int bits = c->key_bits ? (int)c->key_bits : known_bits(type);
    if (!bits)
        rc = read_bits(tx, c, &bits, err);
    return rc == PST_OK ? pst_cert_key_words(type, bits, to, err) : rc;
}

static bool set_certificate(struct pst_json *j, const struct pst_domain_view *v, const char *key)
{
    const struct pst_certificate *c = &v->steps[v->taken].cert;

    if (v->taken == PST_STEP_DEFAULT)
        return pst_json_set_null(j, "tlscert") && pst_json_set_null(j, "tlskey") &&
               pst_json_set_null(j, "validity");
    return pst_json_set_text(j, "tlscert", c->subject) && pst_json_set_text(j, "tlskey", key) &&
           pst_json_set_time(j, "validity", c->not_after * 1000);
}

int pst_domain_json(struct pst_tx *tx, const struct pst_domain_view *v, struct pst_json **ret,
                    struct pst_err *err)
{
    const struct pst_domain *d = v->domain;
    const struct pst_status *s = &v->status;
    auto_(pst_json_free) struct pst_json *j = pst_json_object();
    bool failed = d->problem[0] && (d->failures > 0 || d->phase == PST_PHASE_BLOCKED);
    auto_buf struct pst_buf key = PST_BUF(64);

    if (v->taken != PST_STEP_DEFAULT) {
        int rc = describe_key(tx, &v->steps[v->taken].cert, &key, err);
        if (rc < 0)
            return rc;
    }
    if (!pst_json_set_text(j, "id", d->id) || !pst_json_set_text(j, "app_id", d->app_id) ||
        !pst_json_set_text(j, "name", d->name) ||
        !pst_json_set_time(j, "created_at", d->created_at_ms) ||
        !set_certificate(j, v, pst_buf_cstr(&key)) || !pst_json_set_bool(j, "ssl", s->ssl) ||
        !pst_json_set_or_null(j, "ssl_status", s->ssl_status) ||
        !pst_json_set_bool(j, "canonical", d->canonical) ||
        !pst_json_set_bool(j, "letsencrypt_enabled", d->acme_enabled) ||
        !pst_json_set_bool(j, "letsencrypt", s->letsencrypt) ||
        !pst_json_set_or_null(j, "letsencrypt_status", s->letsencrypt_status) ||
        !pst_json_set_challenge(j, d, pst_streq(s->letsencrypt_status, "dns_required")) ||
        !pst_json_set_or_null(j, "acme_challenge_error", failed ? d->reason : NULL) ||
        /* ours */
        !pst_json_set_text(j, "ascii", d->ascii) || !pst_json_set_text(j, "word", s->word) ||
        !pst_json_set_or_null(j, "reason", v->reason) ||
        !pst_json_set_or_null(j, "record", d->acme_enabled ? d->record : NULL) ||
        !pst_json_set_time(j, "next_try_at", d->next_try_at_ms))
        return pst_fail_nomem(err, "a domain");
    *ret = pst_take(&j);
    return PST_OK;
}
