/* ca.c - what is shared about one CA: nonces and pauses. */
#include <postern/clock.h>
#include <postern/err.h>
#include <postern/text.h>
#include <string.h>

#include "acme_internal.h"

int pst_acme_ca_new(struct pst_acme_ca **ret, const struct pst_acme_ca_opts *opts,
                    struct pst_err *err)
{
    struct pst_http_url url;

    int rc = pst_http_url_parse(opts->directory_url, &url, err);
    if (rc == PST_EINPUT || (rc == PST_OK && strlen(opts->directory_url) > PST_ACME_URL_MAX))
        return pst_fail(err, PST_ECONFIG, "the ACME directory URL is not one: %.200s",
                        opts->directory_url ? opts->directory_url : "-");
    if (rc)
        return rc;
    if (!url.https && !url.loopback)
        return pst_fail(err, PST_ECONFIG,
                        "the ACME directory %.200s must be https (http only on loopback)",
                        opts->directory_url);

    struct pst_acme_ca *ca = pst_zalloc(1, sizeof *ca);
    if (!ca)
        return pst_fail_nomem(err, "the CA");
    ca->directory_url = pst_strdup(opts->directory_url);
    if (!ca->directory_url) {
        pst_free(ca);
        return pst_fail_nomem(err, "the CA");
    }
    ca->plain_http = url.loopback;
    ca->http = opts->http;
    ca->clock = opts->clock ? opts->clock : pst_clock_system();
    pthread_mutex_init(&ca->lock, NULL);
    *ret = ca;
    return PST_OK;
}

void pst_acme_ca_free(struct pst_acme_ca *ca)
{
    if (!ca)
        return;
    pst_acme_dir_unref(ca->dir);
    pthread_mutex_destroy(&ca->lock);
    pst_free(ca->directory_url);
    pst_free(ca);
}

int pst_acme_url_check(const struct pst_acme_ca *ca, const char *url, const char *what,
                       struct pst_err *err)
{
    struct pst_http_url parts;

    if (!url)
        return pst_fail(err, PST_EINPUT, "%s: no URL", what);
    if (strlen(url) > PST_ACME_URL_MAX)
        return pst_fail(err, PST_EINPUT, "%s: a URL of more than %d bytes", what, PST_ACME_URL_MAX);
    int rc = pst_http_url_parse(url, &parts, err);
    if (rc) {
        pst_wrap(err, "%s", what);
        return rc;
    }
    if (!parts.https && !ca->plain_http)
        return pst_fail(err, PST_EINPUT, "%s: a URL without https", what);
    return PST_OK;
}

int64_t pst_acme_clock_skew_s(struct pst_acme_ca *ca)
{
    return ca->skew_s;
}

void pst_acme_note(struct pst_acme_ca *ca, const struct pst_err *err)
{
    pthread_mutex_lock(&ca->lock);
    if (err) {
        ca->failed_at = pst_now(ca->clock);
        pst_str_copy(ca->failure, sizeof ca->failure, err->text);
    } else {
        ca->answered_at = pst_now(ca->clock);
    }
    pthread_mutex_unlock(&ca->lock);
}

void pst_acme_state(struct pst_acme_ca *ca, struct pst_acme_state *ret)
{
    *ret = (struct pst_acme_state){0};
    pthread_mutex_lock(&ca->lock);
    if (ca->dir) {
        atomic_fetch_add(&ca->dir->refs, 1);
        ret->directory = &ca->dir->public;
    }
    ret->answered_at = ca->answered_at;
    ret->failed_at = ca->failed_at;
    pst_str_copy(ret->failure, sizeof ret->failure, ca->failure);
    pthread_mutex_unlock(&ca->lock);
}

/* ---- nonces: last in, first out, because the CA forgets the oldest ---- */

bool pst_acme_nonce_take(struct pst_acme_ca *ca, char to[PST_ACME_NONCE_SIZE])
{
    bool found = false;

    pthread_mutex_lock(&ca->lock);
    if (ca->nonces_n > 0) {
        const struct pst_acme_nonce *n = &ca->nonces[--ca->nonces_n];
        found = pst_mono_ms(ca->clock) - n->at_ms < PST_ACME_NONCE_MS;
        if (found)
            pst_str_copy(to, PST_ACME_NONCE_SIZE, n->text);
        else
            ca->nonces_n = 0; /* the others are older still */
    }
    pthread_mutex_unlock(&ca->lock);
    return found;
}

void pst_acme_nonce_put(struct pst_acme_ca *ca, const char *nonce)
{
    if (!pst_acme_is_b64url(nonce, PST_ACME_NONCE_SIZE - 1))
        return;

    pthread_mutex_lock(&ca->lock);
    if (ca->nonces_n == PST_ACME_NONCES) {
        ca->nonces_n--;
        memmove(&ca->nonces[0], &ca->nonces[1], ca->nonces_n * sizeof ca->nonces[0]);
    }
    struct pst_acme_nonce *n = &ca->nonces[ca->nonces_n++];
    pst_str_copy(n->text, sizeof n->text, nonce);
    n->at_ms = pst_mono_ms(ca->clock);
    pthread_mutex_unlock(&ca->lock);
}

void pst_acme_nonce_flush(struct pst_acme_ca *ca)
{
    pthread_mutex_lock(&ca->lock);
    ca->nonces_n = 0;
    pthread_mutex_unlock(&ca->lock);
}

/* ---- pauses: a balancer's 503 is about a group of URLs, not about one order ---- */

int64_t pst_acme_pause_left_s(struct pst_acme_ca *ca, unsigned group)
{
    pthread_mutex_lock(&ca->lock);
    int64_t left_ms = ca->pauses[group].until_ms - pst_mono_ms(ca->clock);
    if (ca->pauses[group].in_a_row == 0)
        left_ms = 0;
    pthread_mutex_unlock(&ca->lock);
    return left_ms > 0 ? (left_ms + 999) / 1000 : 0;
}

int64_t pst_acme_pause_begin(struct pst_acme_ca *ca, unsigned group, int64_t asked_s)
{
    pthread_mutex_lock(&ca->lock);
    struct pst_acme_pause *p = &ca->pauses[group];
    bool same = p->in_a_row > 0 && pst_mono_ms(ca->clock) < p->until_ms;
    if (p->in_a_row < 6 && !same)
        p->in_a_row++; /* requests that were under way together count once */
    int64_t s = asked_s;
    if (s <= 0)
        s = p->in_a_row < 6 ? INT64_C(1) << p->in_a_row : PST_ACME_PAUSE_MAX_S;
    p->until_ms = pst_mono_ms(ca->clock) + s * 1000;
    pthread_mutex_unlock(&ca->lock);
    return s;
}

void pst_acme_pause_end(struct pst_acme_ca *ca, unsigned group)
{
    pthread_mutex_lock(&ca->lock);
    ca->pauses[group].in_a_row = 0;
    pthread_mutex_unlock(&ca->lock);
}
