/* delegation.c - the DNS server of the zone that customers delegate their challenges to. */
#include <string.h>

#include "daemon_internal.h"

/* Is `name` the zone or below it?  Both are in normal form. */
static bool within(const char *name, const char *zone)
{
    size_t name_len = strlen(name), zone_len = strlen(zone);

    return pst_str_ends(name, zone) &&
           (name_len == zone_len || name[name_len - zone_len - 1] == '.');
}

int pst_daemon_delegation_check(const struct pst_conf *conf, struct pst_err *err)
{
    const char *zone = pst_conf_text(conf, PST_CONF_DNSD_ZONE);
    size_t ns_n = pst_conf_list_n(conf, PST_CONF_DNSD_NS);

    if (pst_conf_list_n(conf, PST_CONF_DNSD_LISTEN) > 0) {
        if (!zone[0])
            return pst_fail(err, PST_ECONFIG,
                            "dnsd.zone: must be set where dnsd.listen is: the zone that was "
                            "delegated to this server, such as acme.example.net");
        if (ns_n == 0)
            return pst_fail(err, PST_ECONFIG,
                            "dnsd.ns: must be set where dnsd.listen is: the names that %s was "
                            "delegated to, such as ns1.example.net",
                            zone);
    }
    for (size_t i = 0; zone[0] && i < ns_n; i++) {
        const char *ns = pst_conf_list_at(conf, PST_CONF_DNSD_NS, i);

        if (within(ns, zone))
            return pst_fail(err, PST_ECONFIG,
                            "dnsd.ns: %s lies in dnsd.zone, where it can have no address: name "
                            "the servers outside of %s",
                            ns, zone);
    }
    return PST_OK;
}
