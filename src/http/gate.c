/*
 * gate.c - which addresses may be spoken to when a tenant names the host.
 *
 * The table follows the registries of special-purpose addresses (RFC 6890 and its updates).
 * Documentation networks are left out: nothing answers there, and tests like them.
 */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <postern/err.h>
#include <postern/text.h>
#include <stdio.h>
#include <string.h>
#include <sys/un.h>

#include "http_internal.h"

/* A network; IPv4 ones use the first four bytes. */
struct net {
    int family;
    unsigned bits;
    unsigned char addr[16];
};

struct pst_gate {
    size_t allow_n;
    struct net allow[];
};

#define V4(a, b, c, d)                                                                             \
    {                                                                                              \
        (a), (b), (c), (d)                                                                         \
    }

static const struct {
    struct net net;
    const char *rule;
} refused[] = {
    {{AF_INET, 8, V4(0, 0, 0, 0)}, "this network, unspecified 0.0.0.0/8"},
    {{AF_INET, 8, V4(10, 0, 0, 0)}, "private network 10.0.0.0/8"},
    {{AF_INET, 10, V4(100, 64, 0, 0)}, "shared (CGNAT) network 100.64.0.0/10"},
    {{AF_INET, 8, V4(127, 0, 0, 0)}, "loopback network 127.0.0.0/8"},
    {{AF_INET, 16, V4(169, 254, 0, 0)}, "link-local network 169.254.0.0/16"},
    {{AF_INET, 12, V4(172, 16, 0, 0)}, "private network 172.16.0.0/12"},
    {{AF_INET, 24, V4(192, 0, 0, 0)}, "protocol assignments 192.0.0.0/24"},
    {{AF_INET, 24, V4(192, 88, 99, 0)}, "6to4 relays 192.88.99.0/24"},
    {{AF_INET, 16, V4(192, 168, 0, 0)}, "private network 192.168.0.0/16"},
    {{AF_INET, 15, V4(198, 18, 0, 0)}, "benchmark network 198.18.0.0/15"},
    {{AF_INET, 4, V4(224, 0, 0, 0)}, "multicast 224.0.0.0/4"},
    {{AF_INET, 4, V4(240, 0, 0, 0)}, "reserved or broadcast 240.0.0.0/4"},

    /* ::, ::1 and the compatible form ::a.b.c.d lie in one /96. */
    {{AF_INET6, 96, {0}}, "unspecified, loopback or IPv4-compatible ::/96"},
    {{AF_INET6, 96, {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff}}, "IPv4-mapped ::ffff:0:0/96"},
    {{AF_INET6, 96, {0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff}}, "IPv4-translated ::ffff:0:0:0/96"},
    {{AF_INET6, 32, {0x00, 0x64, 0xff, 0x9b}}, "NAT64 64:ff9b::/32"},
    {{AF_INET6, 64, {0x01}}, "discard-only 100::/64"},
    {{AF_INET6, 23, {0x20, 0x01, 0x00}}, "protocol assignments and Teredo 2001::/23"},
    {{AF_INET6, 16, {0x20, 0x02}}, "6to4 2002::/16"},
    {{AF_INET6, 7, {0xfc}}, "unique local network fc00::/7"},
    {{AF_INET6, 10, {0xfe, 0x80}}, "link-local network fe80::/10"},
    {{AF_INET6, 10, {0xfe, 0xc0}}, "site-local network fec0::/10"},
    {{AF_INET6, 8, {0xff}}, "multicast ff00::/8"},
};

static bool in_net(const struct net *n, int family, const unsigned char *addr)
{
    if (n->family != family)
        return false;

    unsigned whole = n->bits / 8, rest = n->bits % 8;
    if (memcmp(n->addr, addr, whole) != 0)
        return false;
    return rest == 0 || (n->addr[whole] ^ addr[whole]) >> (8 - rest) == 0;
}

/* "10.0.0.0/8", "::1": an address, and how many of its bits count (all, if not stated). */
static bool parse_net(const char *s, struct net *to)
{
    char host[64];
    const char *slash = strchr(s, '/');
    size_t len = slash ? (size_t)(slash - s) : strlen(s);

    if (len >= sizeof host)
        return false;
    memcpy(host, s, len);
    host[len] = '\0';

    *to = (struct net){.family = strchr(host, ':') ? AF_INET6 : AF_INET};
    if (inet_pton(to->family, host, to->addr) != 1)
        return false;

    int64_t most = to->family == AF_INET ? 32 : 128, bits = most;
    if (slash && !pst_parse_i64(slash + 1, 0, most, &bits))
        return false;
    to->bits = (unsigned)bits;

    /* Bits behind the prefix are a slip of the pen: 10.0.0.1/8 may have been meant as one host. */
    for (unsigned i = to->bits; i < (unsigned)most; i++)
        if (to->addr[i / 8] & (0x80u >> i % 8))
            return false;
    return true;
}

int pst_gate_new(struct pst_gate **ret, const char *const *allow, size_t allow_n,
                 struct pst_err *err)
{
    if (allow_n > 1000)
        return pst_fail(err, PST_ECONFIG, "the allow-list has more than 1,000 networks");

    auto_(pst_free) struct pst_gate *g = pst_zalloc(1, sizeof *g + allow_n * sizeof g->allow[0]);
    if (!g)
        return pst_fail_nomem(err, "the gate");
    for (size_t i = 0; i < allow_n; i++)
        if (!parse_net(allow[i], &g->allow[i]))
            return pst_fail(err, PST_ECONFIG,
                            "allowed network \"%.60s\": write an address or a network whose other "
                            "bits are 0, such as 127.0.0.0/8 or ::1",
                            allow[i]);
    g->allow_n = allow_n;
    *ret = pst_take(&g);
    return PST_OK;
}

void pst_gate_free(struct pst_gate *g)
{
    pst_free(g);
}

bool pst_gate_allows(const struct pst_gate *g, const struct sockaddr *sa, socklen_t len,
                     const char **ret_rule)
{
    unsigned char addr[16] = {0};
    const char *unused;
    const char **rule = ret_rule ? ret_rule : &unused;
    int family = len >= sizeof sa->sa_family ? sa->sa_family : AF_UNSPEC;

    if (family == AF_INET && len >= sizeof(struct sockaddr_in)) {
        memcpy(addr, &((const struct sockaddr_in *)(const void *)sa)->sin_addr, 4);
    } else if (family == AF_INET6 && len >= sizeof(struct sockaddr_in6)) {
        memcpy(addr, &((const struct sockaddr_in6 *)(const void *)sa)->sin6_addr, 16);
    } else {
        *rule = "neither IPv4 nor IPv6";
        return false;
    }

    for (size_t i = 0; i < g->allow_n; i++)
        if (in_net(&g->allow[i], family, addr))
            return true;
    for (size_t i = 0; i < PST_ARRAY_N(refused); i++)
        if (in_net(&refused[i].net, family, addr)) {
            *rule = refused[i].rule;
            return false;
        }
    return true;
}

void pst_http_address_text(const struct sockaddr *sa, socklen_t len, char *to, size_t to_size)
{
    char host[INET6_ADDRSTRLEN] = "?";

    if (sa->sa_family == AF_INET && len >= sizeof(struct sockaddr_in)) {
        const struct sockaddr_in *in = (const void *)sa;
        inet_ntop(AF_INET, &in->sin_addr, host, sizeof host);
        snprintf(to, to_size, "%s:%u", host, ntohs(in->sin_port));
    } else if (sa->sa_family == AF_INET6 && len >= sizeof(struct sockaddr_in6)) {
        const struct sockaddr_in6 *in = (const void *)sa;
        inet_ntop(AF_INET6, &in->sin6_addr, host, sizeof host);
        snprintf(to, to_size, "[%s]:%u", host, ntohs(in->sin6_port));
    } else if (sa->sa_family == AF_UNIX) {
        snprintf(to, to_size, "the Unix socket");
    } else {
        snprintf(to, to_size, "an unknown address");
    }
}
