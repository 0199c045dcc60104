/*
 * hidden.c - does the challenge's record hide a wildcard record?
 *
 * `*.example.com A` answers for all names below example.com that do not exist, however deep.  A
 * record at _acme-challenge.sub.example.com makes sub.example.com exist (RFC 4592 section 2.2.2),
 * and then `*.example.com` answers neither for it nor for anything below it.  From outside that
 * cannot be told from a `*.sub.example.com` with the same content, so what looks like it is looked
 * at again when the record stands, and the record goes at once where names have vanished.
 */
#include <stdio.h>
#include <string.h>

#include <postern/name.h>
#include <postern/resolve.h>

#include "order_internal.h"

/* What a name answers that nobody has made, below `parent`.  NULL: it cannot be asked for. */
static int ask_below(struct pst_order *o, const char *parent, struct pst_resolve_addresses **ret,
                     struct pst_err *err)
{
    char name[PST_NAME_SIZE], id[PST_ID_SIZE];

    *ret = NULL;
    pst_id_new(o->env->o.rand, id);
    if ((size_t)snprintf(name, sizeof name, "p%.12s.%s", id, parent) >= sizeof name)
        return PST_OK;
    return pst_resolve_addresses(o->env->o.resolver, name, ret, err);
}

static bool answers(const struct pst_resolve_addresses *a)
{
    return a && (a->ip_n > 0 || a->chain_n > 0);
}

static bool same(const struct pst_resolve_addresses *a, const struct pst_resolve_addresses *b)
{
    if (a->ip_n != b->ip_n || a->chain_n != b->chain_n)
        return false;
    for (size_t i = 0; i < a->chain_n; i++) {
        if (!pst_strcaseeq(a->chain[i], b->chain[i]))
            return false;
    }
    for (size_t i = 0; i < a->ip_n; i++) {
        if (pst_dns_ip_cmp(&a->ips[i], &b->ips[i]) != 0)
            return false;
    }
    return true;
}

int pst_order_may_hide(struct pst_order *o, bool *ret, struct pst_err *err)
{
    auto_(pst_resolve_addresses_free) struct pst_resolve_addresses *self = NULL;
    auto_(pst_resolve_addresses_free) struct pst_resolve_addresses *below = NULL;
    auto_(pst_resolve_addresses_free) struct pst_resolve_addresses *beside = NULL;
    const char *base = pst_order_base(o->row.name);
    char registered[PST_NAME_SIZE];

    *ret = false;
    /* Above a registered domain is nobody whose wildcard it could be. */
    if (pst_name_registered_domain(base, registered, NULL) != PST_OK || pst_streq(base, registered))
        return PST_OK;
    int rc = ask_below(o, base, &below, err);
    if (rc != PST_OK || !answers(below))
        return rc < 0 ? rc : PST_OK;
    rc = ask_below(o, pst_name_parent(base), &beside, err);
    if (rc == PST_OK)
        rc = pst_resolve_addresses(o->env->o.resolver, base, &self, err);
    *ret = rc == PST_OK && answers(beside) && answers(self) && same(below, beside) &&
           same(below, self);
    return rc < 0 ? rc : PST_OK;
}

int pst_order_hides(struct pst_order *o, struct pst_err *err)
{
    auto_(pst_resolve_addresses_free) struct pst_resolve_addresses *below = NULL;
    const char *base = pst_order_base(o->row.name);

    int rc = ask_below(o, base, &below, err);
    if (rc != PST_OK || !below)
        return rc < 0 ? rc : PST_OK;
    bool gone = below->a.status == PST_DNS_NXDOMAIN || below->a.status == PST_DNS_NODATA;
    if (!gone || answers(below))
        return PST_OK;
    pst_fail(err, PST_EREMOTE,
             "with a record at %s, no name under %s has an address any more: the wildcard record "
             "above it is hidden",
             o->data.target, base);
    pst_err_problem(err, "hidden");
    pst_err_retry(err, PST_RETRY_NEVER, 0);
    return PST_EREMOTE;
}
