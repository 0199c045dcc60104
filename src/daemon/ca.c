/* ca.c - what this process knows of its CA, for the API. */
#include <string.h>

#include "daemon_internal.h"

static bool set_time(struct pst_json *to, const char *key, int64_t at)
{
    char text[PST_TIME_SIZE];

    if (at == 0)
        return pst_json_set_null(to, key);
    pst_time_format(text, at * 1000);
    return pst_json_set_text(to, key, text);
}

static bool set_word(struct pst_json *to, const char *key, const char *text)
{
    return text ? pst_json_set_text(to, key, text) : pst_json_set_null(to, key);
}

static bool set_answers(struct pst_json *to, const struct pst_acme_state *s)
{
    bool asked = s->answered_at || s->failed_at;
    bool ok = asked ? pst_json_set_bool(to, "reachable", s->answered_at >= s->failed_at)
                    : pst_json_set_null(to, "reachable");

    return ok && pst_json_set_bool(to, "in_use", true) &&
           set_time(to, "answered_at", s->answered_at) && set_time(to, "failed_at", s->failed_at) &&
           set_word(to, "failure", s->failure[0] ? s->failure : NULL);
}

static struct pst_json *profile_json(const struct pst_acme_profile *p)
{
    auto_(pst_json_free) struct pst_json *j = pst_json_object();

    bool ok = pst_json_set_text(j, "name", p->name) && set_word(j, "text", p->text);
    return ok ? pst_take(&j) : NULL;
}

static bool set_directory(struct pst_json *to, const struct pst_acme_directory *d)
{
    auto_(pst_json_free) struct pst_json *issuers = pst_json_array();
    auto_(pst_json_free) struct pst_json *profiles = pst_json_array();
    bool ok = issuers && profiles;

    for (size_t i = 0; ok && i < d->caa_identities_n; i++)
        ok = pst_json_push_text(issuers, d->caa_identities[i]);
    for (size_t i = 0; ok && i < d->profiles_n; i++)
        ok = pst_json_push(profiles, profile_json(&d->profiles[i]));
    return ok && set_word(to, "terms_of_service", d->terms_of_service) &&
           set_word(to, "website", d->website) &&
           pst_json_set_bool(to, "external_account_required", d->external_account_required) &&
           pst_json_set_bool(to, "renewal_info", d->renewal_info) &&
           pst_json_set(to, "issuers", pst_take(&issuers)) &&
           pst_json_set(to, "profiles", pst_take(&profiles));
}

int pst_daemon_ca_tell(void *arg, const char *directory, bool ask, struct pst_json *to,
                       struct pst_err *err)
{
    struct daemon *d = arg;
    struct pst_acme_state s;

    if (!pst_streq(directory, pst_conf_text(d->conf, PST_CONF_ACME_DIRECTORY)))
        return PST_NOTFOUND;
    if (ask) {
        /* That it cannot be read is what the state tells then. */
        const struct pst_acme_directory *read = NULL;
        struct pst_acme_call call = {.ca = d->ca, .cancel = &d->stopping};
        struct pst_err why = {0};
        if (pst_acme_directory(&call, false, &read, &why) == PST_OK)
            pst_acme_directory_unref(read);
    }
    pst_acme_state(d->ca, &s);
    bool ok = set_answers(to, &s) && (!s.directory || set_directory(to, s.directory));
    if (s.directory)
        pst_acme_directory_unref(s.directory);
    return ok ? PST_OK : pst_fail_nomem(err, "the CA");
}
