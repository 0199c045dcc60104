#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>

#include "resolve_internal.h"

bool pst_dns_ip_parse(const char *text, struct pst_dns_ip *ret)
{
    struct pst_dns_ip ip = {0};

    if (!text)
        return false;
    if (inet_pton(AF_INET, text, ip.bytes) == 1)
        ip.version = 4;
    else if (inet_pton(AF_INET6, text, ip.bytes) == 1)
        ip.version = 6;
    else
        return false;
    *ret = ip;
    return true;
}

void pst_dns_ip_text(const struct pst_dns_ip *ip, char to[PST_DNS_IP_SIZE])
{
    int family = ip->version == 6 ? AF_INET6 : AF_INET;

    if (!inet_ntop(family, ip->bytes, to, PST_DNS_IP_SIZE))
        to[0] = '\0';
}

int pst_dns_ip_cmp(const struct pst_dns_ip *a, const struct pst_dns_ip *b)
{
    if (a->version != b->version)
        return a->version < b->version ? -1 : 1;
    int diff = memcmp(a->bytes, b->bytes, a->version == 6 ? 16 : 4);
    return (diff > 0) - (diff < 0);
}

/* Networks that are not the public internet (IANA special-purpose registries). */
static const struct {
    uint8_t version;
    uint8_t bits;
    uint8_t bytes[16];
} special[] = {
    {4, 8, {0}},
    {4, 8, {10}},
    {4, 10, {100, 64}},
    {4, 8, {127}},
    {4, 16, {169, 254}},
    {4, 12, {172, 16}},
    {4, 24, {192, 0, 0}},
    {4, 24, {192, 0, 2}},
    {4, 24, {192, 88, 99}},
    {4, 16, {192, 168}},
    {4, 15, {198, 18}},
    {4, 24, {198, 51, 100}},
    {4, 24, {203, 0, 113}},
    {4, 4, {224}},
    {4, 4, {240}},
    {6, 32, {0x20, 0x01, 0x00, 0x00}}, /* Teredo: carries an IPv4 address */
    {6, 28, {0x20, 0x01, 0x00, 0x10}}, /* ORCHID */
    {6, 28, {0x20, 0x01, 0x00, 0x20}}, /* ORCHIDv2 */
    {6, 32, {0x20, 0x01, 0x0d, 0xb8}}, /* documentation */
    {6, 16, {0x20, 0x02}},             /* 6to4: carries an IPv4 address */
    {6, 20, {0x3f, 0xff}},             /* documentation */
};

static bool in_network(const uint8_t *ip, const uint8_t *network, unsigned bits)
{
    unsigned whole = bits / 8, rest = bits % 8;

    if (memcmp(ip, network, whole) != 0)
        return false;
    uint8_t mask = (uint8_t)(0xff00u >> rest);
    return rest == 0 || ((ip[whole] ^ network[whole]) & mask) == 0;
}

bool pst_dns_ip_public(const struct pst_dns_ip *ip)
{
    /* Of IPv6 only 2000::/3 is handed out at all. */
    if (ip->version == 6 && (ip->bytes[0] & 0xe0) != 0x20)
        return false;
    for (size_t i = 0; i < PST_ARRAY_N(special); i++) {
        if (special[i].version == ip->version &&
            in_network(ip->bytes, special[i].bytes, special[i].bits))
            return false;
    }
    return ip->version == 4 || ip->version == 6;
}

int pst_dns_server_parse(const char *text, struct pst_dns_server *ret, struct pst_err *err)
{
    struct pst_dns_server s = {.port = 53};
    char host[PST_DNS_IP_SIZE];
    const char *port = NULL;
    size_t host_len;

    if (!text)
        text = "";
    if (pst_dns_ip_parse(text, &s.ip)) {
        *ret = s;
        return PST_OK;
    }
    const char *colon = strrchr(text, ':');
    if (colon) {
        port = colon + 1;
        host_len = (size_t)(colon - text);
    } else {
        host_len = strlen(text);
    }
    bool brackets = host_len >= 2 && text[0] == '[' && text[host_len - 1] == ']';
    if (brackets) {
        text++;
        host_len -= 2;
    }
    int64_t number = 53;
    bool ok = host_len < sizeof host && (!port || pst_parse_i64(port, 1, 65535, &number));
    if (ok) {
        memcpy(host, text, host_len);
        host[host_len] = '\0';
        ok = pst_dns_ip_parse(host, &s.ip) && brackets == (s.ip.version == 6);
    }
    if (!ok)
        return pst_fail(err, PST_REFUSED,
                        "a DNS server is written \"192.0.2.1:53\", \"[2001:db8::1]:53\" or as an "
                        "address alone");
    s.port = (uint16_t)number;
    *ret = s;
    return PST_OK;
}

void pst_dns_server_text(const struct pst_dns_server *s, char to[PST_DNS_SERVER_SIZE])
{
    char ip[PST_DNS_IP_SIZE];
    bool v6 = s->ip.version == 6;

    pst_dns_ip_text(&s->ip, ip);
    (void)snprintf(to, PST_DNS_SERVER_SIZE, "%s%s%s:%u", v6 ? "[" : "", ip, v6 ? "]" : "",
                   (unsigned)s->port);
}

socklen_t pst_dns_sockaddr(const struct pst_dns_server *s, struct sockaddr_storage *to)
{
    memset(to, 0, sizeof *to);
    if (s->ip.version == 6) {
        struct sockaddr_in6 *sa = (struct sockaddr_in6 *)to;

        sa->sin6_family = AF_INET6;
        sa->sin6_port = htons(s->port);
        memcpy(&sa->sin6_addr, s->ip.bytes, 16);
        return sizeof *sa;
    }
    struct sockaddr_in *sa = (struct sockaddr_in *)to;

    sa->sin_family = AF_INET;
    sa->sin_port = htons(s->port);
    memcpy(&sa->sin_addr, s->ip.bytes, 4);
    return sizeof *sa;
}
