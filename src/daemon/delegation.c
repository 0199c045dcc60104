/* delegation.c - the DNS server of the zone that customers delegate their challenges to. */
#include <string.h>

#include <postern/dnsd.h>

#include "daemon_internal.h"

enum { LIST_MAX = 8 }; /* of dnsd.ns and dnsd.caa */

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

/* The items of a list; how many there are. */
static size_t items(const struct pst_conf *conf, enum pst_conf_id id, const char **to)
{
    size_t n = pst_conf_list_n(conf, id);

    for (size_t i = 0; i < n; i++)
        to[i] = pst_conf_list_at(conf, id, i);
    return n;
}

int pst_daemon_delegation_start(struct daemon *d, struct pst_err *err)
{
    const struct pst_conf *c = d->conf;
    const char *listen[PST_DNSD_LISTEN_MAX], *ns[LIST_MAX], *caa[LIST_MAX];
    struct pst_dnsd_opts o = {
        .zone = {.name = pst_conf_text(c, PST_CONF_DNSD_ZONE),
                 .ns = ns,
                 .admin = pst_conf_text(c, PST_CONF_DNSD_ADMIN),
                 .caa = caa,
                 .ttl_s = (uint32_t)pst_conf_int(c, PST_CONF_DNSD_TTL),
                 .negative_ttl_s = (uint32_t)pst_conf_int(c, PST_CONF_DNSD_NEGATIVE_TTL)},
        .store = d->store,
        .clock = pst_clock_system(),
        .rand = pst_rand_system(),
        .listen = listen,
        .threads = pst_conf_int(c, PST_CONF_DNSD_THREADS),
        .rate_limit = pst_conf_int(c, PST_CONF_DNSD_RATE_LIMIT),
        .rate_slip = pst_conf_int(c, PST_CONF_DNSD_RATE_SLIP),
        .tcp_connections = pst_conf_int(c, PST_CONF_DNSD_TCP_CONNECTIONS),
        .tcp_timeout_s = pst_conf_int(c, PST_CONF_DNSD_TCP_TIMEOUT),
    };
    struct pst_dnsd *dnsd = NULL;

    o.listen_n = items(c, PST_CONF_DNSD_LISTEN, listen);
    o.zone.ns_n = items(c, PST_CONF_DNSD_NS, ns);
    o.zone.caa_n = items(c, PST_CONF_DNSD_CAA, caa);
    if (o.listen_n == 0)
        return PST_OK;
    int rc = pst_dnsd_start(&dnsd, &o, err);
    if (rc != PST_OK)
        return rc;
    pthread_mutex_lock(&d->parts);
    d->dnsd = dnsd;
    pthread_mutex_unlock(&d->parts);
    pst_log_info(LOG, "answering DNS questions", pst_kv_s("zone", o.zone.name),
                 pst_kv_s("address", listen[0]), pst_kv_i("addresses", (int64_t)o.listen_n));
    return PST_OK;
}

void pst_daemon_delegation_changed(void *arg)
{
    struct daemon *d = arg;

    pthread_mutex_lock(&d->parts);
    if (d->dnsd)
        pst_dnsd_changed(d->dnsd);
    pthread_mutex_unlock(&d->parts);
}

void pst_daemon_delegation_stop(struct daemon *d)
{
    pthread_mutex_lock(&d->parts);
    struct pst_dnsd *dnsd = d->dnsd;
    d->dnsd = NULL;
    pthread_mutex_unlock(&d->parts);
    pst_dnsd_stop(dnsd);
}
