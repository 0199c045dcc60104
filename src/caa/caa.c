/* Finding the CAA records that count for a name, and judging several names. */
#include <stdio.h>
#include <string.h>

#include <postern/base.h>
#include <postern/caa.h>
#include <postern/resolve.h>

static void undecided(const char *name, const char *where, const struct pst_resolve_end *end,
                      struct pst_caa_verdict *v)
{
    *v = (struct pst_caa_verdict){.result = PST_CAA_ERROR};
    (void)snprintf(v->name, sizeof v->name, "%s", name);
    (void)snprintf(v->where, sizeof v->where, "%s", where);
    (void)snprintf(v->text, sizeof v->text, "the CAA records of %.200s are not known: %s at %.200s",
                   name, pst_dns_status_name(end->status), where);
    if (end->why[0]) {
        size_t len = strlen(v->text);

        (void)snprintf(v->text + len, sizeof v->text - len, ": %s", end->why);
    }
}

/* From the name upwards to the first set of records (RFC 8659 3), the top-level domain included. */
static int check_one(struct pst_resolver *r, const char *name, const struct pst_caa_issuer *issuer,
                     struct pst_caa_verdict *ret, struct pst_err *err)
{
    char lower[256];
    const char *at = lower;

    if (!pst_dns_name_ok(name) || !pst_str_copy(lower, sizeof lower, name))
        return pst_fail(err, PST_REFUSED, "\"%.80s\" is not a name that the DNS can be asked for",
                        name);
    pst_str_lower(lower);
    if (pst_str_starts(at, "*."))
        at += 2;
    for (;;) {
        auto_(pst_resolve_records_free) struct pst_resolve_records *found = NULL;

        int rc = pst_resolve_caa(r, at, &found, err);
        if (rc != PST_OK)
            return rc;
        if (found->end.status == PST_DNS_OK) {
            pst_caa_evaluate(name, at, found->caa, found->n, issuer, ret);
            return PST_OK;
        }
        if (found->end.status != PST_DNS_NODATA && found->end.status != PST_DNS_NXDOMAIN) {
            undecided(name, at, &found->end, ret);
            return PST_OK;
        }
        const char *dot = strchr(at, '.');
        if (!dot) {
            pst_caa_evaluate(name, "", NULL, 0, issuer, ret);
            return PST_OK;
        }
        at = dot + 1;
    }
}

int pst_caa_check(struct pst_resolver *r, const char *const *names, size_t names_n,
                  const struct pst_caa_issuer *issuer, struct pst_caa_verdict *ret,
                  struct pst_err *err)
{
    struct pst_caa_verdict first_error = {0};
    bool undecided_once = false;

    for (size_t i = 0; i < names_n; i++) {
        struct pst_caa_verdict v;

        int rc = check_one(r, names[i], issuer, &v, err);
        if (rc != PST_OK)
            return rc;
        if (v.result == PST_CAA_FORBIDDEN) {
            *ret = v;
            return PST_OK;
        }
        if (v.result == PST_CAA_ERROR && !undecided_once) {
            undecided_once = true;
            first_error = v;
        }
    }
    if (undecided_once) {
        *ret = first_error;
        return PST_OK;
    }
    *ret = (struct pst_caa_verdict){.result = PST_CAA_ALLOWED};
    (void)snprintf(ret->text, sizeof ret->text, "CAA allows this CA for all %zu names", names_n);
    return PST_OK;
}
