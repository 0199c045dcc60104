/* status.c - the one table of all states (platform API contract, section 3.1). */
#include <postern/err.h>
#include <postern/status.h>

static const char *blocked_status(bool wildcard)
{
    return wildcard ? "dns_required" : "error";
}

/* A domain with ACME on and without a valid ACME certificate: what its phase shows. */
static void by_phase(struct pst_status *s, const struct pst_status_in *in)
{
    switch (in->phase) {
    case PST_PHASE_DNS:
        s->letsencrypt_status = "pending_dns";
        s->word = "Pending DNS";
        break;
    case PST_PHASE_WORK:
        s->letsencrypt_status = "new";
        s->word = "Creating";
        break;
    case PST_PHASE_MANUAL:
        s->letsencrypt_status = "dns_required";
        s->word = "Action required";
        break;
    case PST_PHASE_BLOCKED:
    case PST_PHASE__COUNT:
        s->letsencrypt_status = blocked_status(in->wildcard);
        s->word = "Action required";
        break;
    }
}

struct pst_status pst_status_of(const struct pst_status_in *in)
{
    struct pst_status s = {.word = "Disabled"};
    bool failed = !in->acme_enabled || in->phase == PST_PHASE_BLOCKED;

    if (in->acme_enabled && in->acme_valid) {
        s.letsencrypt_status = "created";
        s.letsencrypt = !in->custom_valid;
        s.word = in->custom_valid ? "Not used" : "In use";
    } else if (in->acme_enabled) {
        by_phase(&s, in);
    }
    s.ssl = in->custom_valid || in->covered || (in->acme_enabled && in->acme_valid);
    s.ssl_status = s.ssl ? "success" : failed ? "error" : "pending";
    return s;
}
