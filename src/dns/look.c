/* look.c - what the DNS says of a challenge's name: where its CNAMEs lead, and whether every
 * authoritative server has the value. */
#include <stdio.h>
#include <string.h>

#include <postern/resolve.h>

#include "dns_internal.h"

enum { ASK_MS = 3000 };

int pst_dns_follow_cname(struct pst_resolver *r, const char *fqdn, char ret_target[PST_NAME_SIZE],
                         struct pst_err *err)
{
    auto_(pst_resolve_addresses_free) struct pst_resolve_addresses *a = NULL;

    if (!pst_str_copy(ret_target, PST_NAME_SIZE, fqdn))
        return pst_fail(err, PST_EINPUT, "the name is too long");
    int rc = pst_resolve_addresses(r, fqdn, &a, err);
    if (rc == PST_REFUSED)
        return pst_fail(err, PST_EINPUT, "\"%.80s\" is not a DNS name", fqdn);
    if (rc != PST_OK)
        return rc;
    /* The A question alone tells where the name leads; AAAA may fail. */
    enum pst_dns_status s = a->a.status;
    if (s != PST_DNS_OK && s != PST_DNS_NODATA && s != PST_DNS_NXDOMAIN && a->chain_n == 0)
        return pst_fail(err, PST_NOTYET, "the look-up of %s: %s %s", fqdn, pst_dns_status_name(s),
                        a->a.why);
    if (a->chain_n > 0 && !pst_str_copy(ret_target, PST_NAME_SIZE, a->chain[a->chain_n - 1]))
        return pst_fail(err, PST_EINPUT, "the CNAME of %s leads to a name that is too long", fqdn);
    return PST_OK;
}

static bool has_value(const struct pst_dns_msg *m, const char *target, const char *value)
{
    for (size_t i = 0; i < m->answer_n; i++) {
        auto_buf struct pst_buf text = PST_BUF(64 * 1024);

        if (m->answer[i].type == PST_DNS_TXT && pst_strcaseeq(m->answer[i].owner, target) &&
            pst_dns_rr_txt(&m->answer[i], &text) && strcmp(pst_buf_cstr(&text), value) == 0)
            return true;
    }
    return false;
}

/* PST_OK: this server is as far as we want it.  PST_NOTYET: `why` says what it answered; PST_DONE:
 * that it said nothing. */
static int ask(const struct pst_dns_server *server, const struct pst_dns_look *look, bool recurse,
               char why[24], struct pst_err *err)
{
    struct pst_ask_opts opts = {.timeout_ms = ASK_MS, .recurse = recurse};
    auto_(pst_dns_msg_free) struct pst_dns_msg *m = NULL;
    struct pst_dns_view view;

    int rc = pst_ask(server, look->target, PST_DNS_TXT, &opts, &m, err);
    if (rc == PST_ENET || rc == PST_EINPUT) {
        pst_str_copy(why, 24, rc == PST_ENET ? "no answer" : "a malformed answer");
        return PST_DONE;
    }
    if (rc == PST_REFUSED)
        return pst_fail(err, PST_EINPUT, "\"%.80s\" is not a DNS name", look->target);
    if (rc != PST_OK)
        return rc;
    pst_dns_follow(m, &view);
    bool answered = view.status == PST_DNS_OK || view.status == PST_DNS_NODATA ||
                    view.status == PST_DNS_NXDOMAIN;
    if (answered && has_value(m, look->target, look->value) != look->absent)
        return PST_OK;
    pst_str_copy(why, 24,
                 view.status != PST_DNS_OK ? pst_dns_status_name(view.status)
                 : look->absent            ? "still has the value"
                                           : "other values");
    return answered ? PST_NOTYET : PST_DONE;
}

static int count(const struct pst_dns_server *server, const struct pst_dns_look *look, bool recurse,
                 struct pst_dns_seen *seen, struct pst_err *err)
{
    char why[24] = "", address[PST_DNS_IP_SIZE];

    int rc = ask(server, look, recurse, why, err);
    if (rc < 0)
        return rc;
    seen->servers_n++;
    seen->have_n += rc == PST_OK;
    seen->silent_n += rc == PST_DONE;
    pst_dns_ip_text(&server->ip, address);
    if (rc != PST_OK && !seen->missing[0])
        snprintf(seen->missing, sizeof seen->missing, "%.38s: %.23s", address, why);
    return PST_OK;
}

static int look_at_all(struct pst_resolver *r, const struct pst_dns_look *look,
                       struct pst_dns_seen *seen, struct pst_err *err)
{
    auto_(pst_resolve_zone_free) struct pst_resolve_zone *zone = NULL;

    int rc = pst_resolve_zone(r, look->target, &zone, err);
    if (rc == PST_REFUSED)
        return pst_fail(err, PST_EINPUT, "\"%.80s\" is not a DNS name", look->target);
    if (rc != PST_OK)
        return rc;
    if (zone->end.status != PST_DNS_OK || zone->ip_n == 0)
        snprintf(seen->missing, sizeof seen->missing, "the zone's servers: %s",
                 pst_dns_status_name(zone->end.status));
    for (size_t i = 0; i < zone->ip_n && rc == PST_OK; i++) {
        struct pst_dns_server server = {.ip = zone->ips[i], .port = 53};
        rc = count(&server, look, false, seen, err);
    }
    return rc;
}

int pst_dns_look(struct pst_resolver *r, const struct pst_dns_look *look, struct pst_dns_seen *ret,
                 struct pst_err *err)
{
    struct pst_dns_seen seen = {0};
    struct pst_dns_server server;
    int rc;

    if (look->resolver && look->resolver[0]) {
        rc = pst_dns_server_parse(look->resolver, &server, err);
        if (rc == PST_OK)
            rc = count(&server, look, true, &seen, err);
        else if (rc == PST_REFUSED)
            rc = pst_fail(err, PST_ECONFIG, "dns.resolver: \"%.60s\"", look->resolver);
    } else {
        rc = look_at_all(r, look, &seen, err);
    }
    if (rc != PST_OK)
        return rc;
    *ret = seen;
    return seen.servers_n > 0 && seen.have_n == seen.servers_n ? PST_OK : PST_NOTYET;
}
