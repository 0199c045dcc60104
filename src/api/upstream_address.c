/*
 * upstream_address.c - which addresses an app's requests may be passed on to.
 *
 * The edge opens connections to them, so they are a way into the operator's networks: only literal
 * addresses, never link-local ones (cloud metadata services live there) and never a door of our
 * own (a request would go round in circles, or reach the API from inside); tenants only within
 * the networks of the setting upstream.allow.
 */
#include "api_internal.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>

#include <postern/conf.h>

#include "upstream_address.h"

/* IPv4 is kept as itself, not mapped into IPv6: a network of one says nothing about the other. */
bool pst_address_parse(const char *text, struct pst_address *ret)
{
    const char *colon = strrchr(text, ':');
    char host[INET6_ADDRSTRLEN + 2];
    int64_t port;

    *ret = (struct pst_address){0};
    if (!colon || (size_t)(colon - text) >= sizeof host ||
        !pst_parse_i64(colon + 1, 1, 65535, &port))
        return false;
    size_t len = (size_t)(colon - text);
    memcpy(host, text, len);
    host[len] = '\0';
    ret->port = (uint16_t)port;
    if (inet_pton(AF_INET, host, ret->ip) == 1) {
        ret->len = 4;
        return true;
    }
    if (len < 3 || host[0] != '[' || host[len - 1] != ']')
        return false;
    host[len - 1] = '\0';
    ret->len = 16;
    return inet_pton(AF_INET6, host + 1, ret->ip) == 1;
}

void pst_address_format(const struct pst_address *a, char *to, size_t to_size)
{
    char host[INET6_ADDRSTRLEN] = "?";

    inet_ntop(a->len == 4 ? AF_INET : AF_INET6, a->ip, host, sizeof host);
    snprintf(to, to_size, a->len == 4 ? "%s:%u" : "[%s]:%u", host, a->port);
}

/* "10.1.0.0/16", "fd00::/8", or an address alone. */
static bool parse_network(const char *text, unsigned char ip[16], size_t *ret_len,
                          unsigned *ret_bits)
{
    const char *slash = strchr(text, '/');
    size_t host_len = slash ? (size_t)(slash - text) : strlen(text);
    char host[INET6_ADDRSTRLEN];
    int64_t bits;

    if (host_len >= sizeof host)
        return false;
    memcpy(host, text, host_len);
    host[host_len] = '\0';
    *ret_len = inet_pton(AF_INET, host, ip) == 1 ? 4 : inet_pton(AF_INET6, host, ip) == 1 ? 16 : 0;
    bits = (int64_t)(8 * *ret_len);
    if (*ret_len == 0 || (slash && !pst_parse_i64(slash + 1, 0, bits, &bits)))
        return false;
    *ret_bits = (unsigned)bits;
    return true;
}

bool pst_address_in(const struct pst_address *a, const char *network)
{
    unsigned char ip[16];
    size_t len;
    unsigned bits;

    if (!parse_network(network, ip, &len, &bits) || len != a->len)
        return false;
    if (memcmp(ip, a->ip, bits / 8) != 0)
        return false;
    unsigned char mask = (unsigned char)(0xff00U >> (bits % 8));
    return bits % 8 == 0 || ((ip[bits / 8] ^ a->ip[bits / 8]) & mask) == 0;
}

static const struct {
    const char *network;
    const char *why;
} never[] = {
    {"0.0.0.0/8", "is not the address of a host"},
    {"169.254.0.0/16", "is link-local"},
    {"224.0.0.0/4", "is a multicast address"},
    {"240.0.0.0/4", "is reserved"},
    {"::/128", "is not the address of a host"},
    {"::ffff:0:0/96", "is IPv4 inside IPv6; write it as IPv4"},
    {"::/96", "is IPv4 inside IPv6; write it as IPv4"},
    {"64:ff9b::/96", "is IPv4 inside IPv6; write it as IPv4"},
    {"fe80::/10", "is link-local"},
    {"fec0::/10", "is site-local"},
    {"ff00::/8", "is a multicast address"},
};

static bool same(const struct pst_address *a, const char *text)
{
    struct pst_address b;

    return pst_address_parse(text, &b) && a->len == b.len && a->port == b.port &&
           memcmp(a->ip, b.ip, a->len) == 0;
}

static bool is_loopback(const struct pst_address *a)
{
    return pst_address_in(a, "127.0.0.0/8") || pst_address_in(a, "::1");
}

/* Does the API listen there?  A listener on all addresses is met at each of the machine's; of
 * those only loopback is known for certain. */
static bool is_api(const struct pst_api *api, const struct pst_address *a)
{
    for (size_t i = 0; i < api->listeners_n; i++) {
        const struct pst_listener *l = &api->listeners[i];
        struct pst_address own;
        if (l->socket_path[0] || l->port != a->port)
            continue;
        char text[PST_HOST_SIZE + 8];
        snprintf(text, sizeof text, "%.*s:%u", (int)(strrchr(l->address, ':') - l->address),
                 l->address, l->port);
        if (same(a, text) || (pst_address_parse(text, &own) && is_loopback(a) &&
                              (pst_address_in(&own, "0.0.0.0") || pst_address_in(&own, "::/128"))))
            return true;
    }
    return false;
}

/* The public doors of the edges. */
static bool is_edge(const struct pst_conf *c, const struct pst_address *a)
{
    int64_t http = pst_conf_int(c, PST_CONF_EDGE_PUBLIC_HTTP_PORT);
    int64_t https = pst_conf_int(c, PST_CONF_EDGE_PUBLIC_HTTPS_PORT);

    if (a->port != http && a->port != https)
        return false;
    for (size_t i = 0; i < pst_conf_list_n(c, PST_CONF_EDGE_ADDRESSES); i++)
        if (pst_address_in(a, pst_conf_list_at(c, PST_CONF_EDGE_ADDRESSES, i)))
            return true;
    return false;
}

static bool is_allowed(const struct pst_conf *c, const struct pst_address *a)
{
    for (size_t i = 0; i < pst_conf_list_n(c, PST_CONF_UPSTREAM_ALLOW); i++)
        if (pst_address_in(a, pst_conf_list_at(c, PST_CONF_UPSTREAM_ALLOW, i)))
            return true;
    return false;
}

int pst_upstream_check(const struct pst_api *api, bool operator_asks, const struct pst_address *a,
                       struct pst_err *err)
{
    const struct pst_conf *c = api->set.conf;
    char text[PST_WORD_SIZE];

    pst_address_format(a, text, sizeof text);
    /* "::1" lies in "::/96" and is fine; everything else there is not. */
    for (size_t i = 0; !is_loopback(a) && i < PST_ARRAY_N(never); i++)
        if (pst_address_in(a, never[i].network))
            return pst_fail(err, PST_REFUSED, "%s %s", text, never[i].why);
    if (is_api(api, a) || is_edge(c, a))
        return pst_fail(err, PST_REFUSED, "%s is a listener of Postern itself", text);
    if (!operator_asks && !is_allowed(c, a))
        return pst_fail(err, PST_REFUSED,
                        "%s is outside the networks that the operator allows for upstreams", text);
    return PST_OK;
}
