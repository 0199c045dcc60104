/* directory.c - the directory (RFC 8555 section 7.1.1): read, kept, shared. */
#include <postern/clock.h>
#include <postern/err.h>
#include <postern/log.h>
#include <postern/text.h>
#include <string.h>

#include "acme_internal.h"

enum { NAME_MAX_LEN = 256, TEXT_MAX_LEN = 1000 };

static const struct {
    const char *name;
    bool required;
} endpoints[PST_ACME_ENDPOINT__COUNT] = {
    [PST_ACME_NEW_NONCE] = {"newNonce", true},        [PST_ACME_NEW_ACCOUNT] = {"newAccount", true},
    [PST_ACME_NEW_ORDER] = {"newOrder", true},        [PST_ACME_REVOKE_CERT] = {"revokeCert", true},
    [PST_ACME_KEY_CHANGE] = {"keyChange", false}, /* RFC 8555 wants it; nothing here needs it */
    [PST_ACME_RENEWAL_INFO] = {"renewalInfo", false},
};

void pst_acme_dir_unref(struct pst_acme_dir *d)
{
    if (!d || atomic_fetch_sub(&d->refs, 1) != 1)
        return;

    struct pst_acme_directory *p = &d->public;
    pst_free(p->terms_of_service);
    pst_free(p->website);
    pst_free(p->account_hash_prefix);
    pst_acme_free_list(p->caa_identities, p->caa_identities_n);
    pst_acme_free_list(p->issuer_domain_names, p->issuer_domain_names_n);
    for (size_t i = 0; i < p->profiles_n; i++) {
        pst_free(p->profiles[i].name);
        pst_free(p->profiles[i].text);
    }
    pst_free(p->profiles);
    for (size_t i = 0; i < PST_ACME_ENDPOINT__COUNT; i++)
        pst_free(d->url[i]);
    pst_free(d);
}

void pst_acme_directory_unref(const struct pst_acme_directory *d)
{
    pst_acme_dir_unref((struct pst_acme_dir *)(void *)(uintptr_t)d);
}

bool pst_acme_directory_has_profile(const struct pst_acme_directory *d, const char *profile)
{
    for (size_t i = 0; i < d->profiles_n; i++)
        if (pst_streq(d->profiles[i].name, profile))
            return true;
    return false;
}

/* ---- parsing ---- */

static int take_profile(const char *key, const struct pst_json *value, void *arg)
{
    struct pst_acme_directory *p = arg;

    if (p->profiles_n == PST_ACME_LIST_MAX || strlen(key) > NAME_MAX_LEN)
        return PST_OK;
    struct pst_acme_profile *to = &p->profiles[p->profiles_n];
    to->name = pst_strdup(key);
    if (!to->name)
        return PST_ENOMEM;
    p->profiles_n++;
    return pst_acme_copy(value, TEXT_MAX_LEN, &to->text) ? PST_OK : PST_ENOMEM;
}

/* What is wrong in `meta` is left out: nothing there is needed to issue. */
static int take_meta(struct pst_acme_directory *p, const struct pst_json *meta)
{
    const struct pst_json *profiles = pst_json_get(meta, "profiles");

    pst_json_get_bool(meta, "externalAccountRequired", &p->external_account_required);
    if (!pst_acme_copy(pst_json_get(meta, "termsOfService"), PST_ACME_URL_MAX,
                       &p->terms_of_service) ||
        !pst_acme_copy(pst_json_get(meta, "website"), PST_ACME_URL_MAX, &p->website) ||
        !pst_acme_copy(pst_json_get(meta, "accountHashPrefix"), PST_ACME_URL_MAX,
                       &p->account_hash_prefix) ||
        !pst_acme_copy_list(pst_json_get(meta, "caaIdentities"), NAME_MAX_LEN, PST_ACME_LIST_MAX,
                            &p->caa_identities, &p->caa_identities_n) ||
        !pst_acme_copy_list(pst_json_get(meta, "issuerDomainNames"), NAME_MAX_LEN,
                            PST_ACME_LIST_MAX, &p->issuer_domain_names, &p->issuer_domain_names_n))
        return PST_ENOMEM;
    if (pst_json_type(profiles) != PST_JSON_OBJECT)
        return PST_OK;
    p->profiles = pst_zalloc(PST_ACME_LIST_MAX, sizeof *p->profiles);
    return p->profiles ? pst_json_each(profiles, take_profile, p) : PST_ENOMEM;
}

int pst_acme_dir_parse(const struct pst_acme_ca *ca, const struct pst_json *j,
                       struct pst_acme_dir **ret, struct pst_err *err)
{
    auto_(pst_acme_dir_unref) struct pst_acme_dir *d = pst_zalloc(1, sizeof *d);

    if (!d)
        return pst_fail_nomem(err, "the directory");
    d->refs = 1;
    for (size_t i = 0; i < PST_ACME_ENDPOINT__COUNT; i++) {
        const char *url = pst_json_get_text(j, endpoints[i].name);
        if (!url && !endpoints[i].required)
            continue;
        int rc = pst_acme_url_check(ca, url, endpoints[i].name, err);
        if (rc)
            return rc;
        d->url[i] = pst_strdup(url);
        if (!d->url[i])
            return pst_fail_nomem(err, "the directory");
    }
    d->public.renewal_info = d->url[PST_ACME_RENEWAL_INFO] != NULL;
    if (take_meta(&d->public, pst_json_get(j, "meta")))
        return pst_fail_nomem(err, "the directory");
    *ret = pst_take(&d);
    return PST_OK;
}

/* ---- reading and keeping ---- */

static int fetch(struct pst_acme_call *call, struct pst_acme_dir **ret, struct pst_err *err)
{
    auto_(pst_http_response_free) struct pst_http_response *r = NULL;
    auto_(pst_json_free) struct pst_json *j = NULL;
    struct pst_acme_ask ask = {
        .group = PST_ACME_DIRECTORY, .url = call->ca->directory_url, .accept = "application/json"};

    int rc = pst_acme_get(call, "GET", &ask, &r, err);
    if (!rc)
        rc = pst_acme_body(r, &j, err);
    if (!rc)
        rc = pst_acme_dir_parse(call->ca, j, ret, err);
    if (rc)
        pst_wrap(err, "ACME directory %.200s", call->ca->directory_url);
    return rc;
}

/* A new reference to what is kept; *ret_fresh: no need to read it anew. */
static struct pst_acme_dir *kept(struct pst_acme_ca *ca, bool *ret_fresh)
{
    pthread_mutex_lock(&ca->lock);
    struct pst_acme_dir *d = ca->dir;
    if (d)
        atomic_fetch_add(&d->refs, 1);
    *ret_fresh = d && !ca->dir_doubtful && pst_mono_ms(ca->clock) < ca->dir_until_ms;
    pthread_mutex_unlock(&ca->lock);
    return d;
}

static void keep(struct pst_acme_ca *ca, struct pst_acme_dir *d)
{
    atomic_fetch_add(&d->refs, 1);
    pthread_mutex_lock(&ca->lock);
    struct pst_acme_dir *old = ca->dir;
    ca->dir = d;
    ca->dir_doubtful = false;
    ca->dir_until_ms = pst_mono_ms(ca->clock) + PST_ACME_DIRECTORY_MS;
    pthread_mutex_unlock(&ca->lock);
    pst_acme_dir_unref(old);
}

/* Reading failed: go on with the old one for a while, unless there is a reason to doubt it. */
static bool may_go_on(struct pst_acme_ca *ca)
{
    pthread_mutex_lock(&ca->lock);
    bool ok = !ca->dir_doubtful;
    if (ok)
        ca->dir_until_ms = pst_mono_ms(ca->clock) + PST_ACME_DIRECTORY_AGAIN_MS;
    pthread_mutex_unlock(&ca->lock);
    return ok;
}

int pst_acme_dir_get(struct pst_acme_call *call, bool refresh, struct pst_acme_dir **ret,
                     struct pst_err *err)
{
    bool fresh;
    auto_(pst_acme_dir_unref) struct pst_acme_dir *old = kept(call->ca, &fresh);

    if (fresh && !refresh) {
        *ret = pst_take(&old);
        return PST_OK;
    }
    struct pst_acme_dir *d = NULL;
    int rc = fetch(call, &d, err);
    if (!rc) {
        keep(call->ca, d);
        *ret = d;
        return PST_OK;
    }
    if (old && !refresh && may_go_on(call->ca)) {
        pst_log_warn("acme", "directory cannot be read, going on with the old one",
                     pst_kv_s("url", call->ca->directory_url),
                     pst_kv_s("why", err ? err->text : "-"));
        call->problem.type = PST_ACME_NONE;
        pst_err_clear(err);
        *ret = pst_take(&old);
        return PST_OK;
    }
    return rc;
}

int pst_acme_directory(struct pst_acme_call *call, bool refresh,
                       const struct pst_acme_directory **ret, struct pst_err *err)
{
    struct pst_acme_dir *d = NULL;

    call->problem.type = PST_ACME_NONE;
    int rc = pst_acme_dir_get(call, refresh, &d, err);
    if (!rc)
        *ret = &d->public;
    return rc;
}
