/* domain_name.c - what can be said of a domain's name without the database. */
#include "api_internal.h"

#include <postern/conf.h>
#include <postern/name.h>

int pst_domain_name(struct pst_req *req, const char *name, struct pst_domain *d,
                    struct pst_answer *ans)
{
    unsigned flags = PST_NAME_WILDCARD;
    struct pst_err why = {0};

    if (!name || !*name)
        return pst_answer_invalid(ans, "name", "is missing: give the name of the domain");
    if (pst_conf_bool(req->api->set.conf, PST_CONF_NAMES_ANY_TLD))
        flags |= PST_NAME_ANY_TLD;
    int rc = pst_name_parse(name, flags, d->ascii, &why);
    if (rc == PST_REFUSED)
        return pst_answer_invalid(ans, "name", "%s", why.text);
    if (rc != PST_OK)
        return rc;
    if (!pst_str_copy(d->name, sizeof d->name, name))
        return pst_answer_invalid(ans, "name", "is too long: write it in its shorter form, %s",
                                  d->ascii);
    d->wildcard = pst_name_is_wildcard(d->ascii);
    if (d->wildcard && d->canonical)
        return pst_answer_invalid(ans, "canonical", "a wildcard domain cannot be canonical");
    return PST_OK;
}
