/*
 * Which addresses may be proxied to.  They come from the replica and the control plane has judged
 * them already; here it is made sure that a request can neither come back to this nginx in a
 * circle nor reach what lives on link-local addresses (cloud metadata services).
 */
#include "ngx_http_postern.h"

#include <ifaddrs.h>

enum { PORT_DIGITS = 5 };

static struct {
    ngx_sockaddr_t *listening;
    ngx_uint_t listening_n;
    struct in6_addr *own; /* our interfaces' addresses, IPv4 ones mapped */
    ngx_uint_t own_n;
} known;

/* An IPv4 address as IPv6 sees it, so that there is one form to compare. */
static ngx_int_t as_in6(const struct sockaddr *sa, struct in6_addr *ret)
{
    if (sa->sa_family == AF_INET6) {
        *ret = ((const struct sockaddr_in6 *)sa)->sin6_addr;
        return NGX_OK;
    }
    if (sa->sa_family != AF_INET)
        return NGX_ERROR;
    ngx_memzero(ret, sizeof *ret);
    ret->s6_addr[10] = ret->s6_addr[11] = 0xff;
    ngx_memcpy(&ret->s6_addr[12], &((const struct sockaddr_in *)sa)->sin_addr, 4);
    return NGX_OK;
}

static ngx_uint_t is_v4(const struct in6_addr *a)
{
    return IN6_IS_ADDR_V4MAPPED(a);
}

static ngx_uint_t is_unspecified(const struct in6_addr *a)
{
    return IN6_IS_ADDR_UNSPECIFIED(a) || (is_v4(a) && a->s6_addr[12] == 0); /* all of 0/8 */
}

static ngx_uint_t is_loopback(const struct in6_addr *a)
{
    return IN6_IS_ADDR_LOOPBACK(a) || (is_v4(a) && a->s6_addr[12] == 127);
}

static ngx_uint_t is_never(const struct in6_addr *a)
{
    if (is_unspecified(a))
        return 1;
    if (is_v4(a)) /* link-local; multicast, reserved and broadcast */
        return (a->s6_addr[12] == 169 && a->s6_addr[13] == 254) || a->s6_addr[12] >= 224;
    return IN6_IS_ADDR_LINKLOCAL(a) || IN6_IS_ADDR_MULTICAST(a) || IN6_IS_ADDR_V4COMPAT(a);
}

static ngx_uint_t is_own(const struct in6_addr *a)
{
    if (is_loopback(a))
        return 1;
    for (ngx_uint_t i = 0; i < known.own_n; i++) {
        if (ngx_memcmp(&known.own[i], a, sizeof *a) == 0)
            return 1;
    }
    return 0;
}

/* Would a connection there come back to us? */
static ngx_uint_t is_listening(struct sockaddr *sa, const struct in6_addr *a)
{
    for (ngx_uint_t i = 0; i < known.listening_n; i++) {
        struct sockaddr *l = &known.listening[i].sockaddr;
        struct in6_addr on;
        if (as_in6(l, &on) != NGX_OK || ngx_inet_get_port(l) != ngx_inet_get_port(sa))
            continue;
        if (ngx_memcmp(&on, a, sizeof on) == 0 || (is_unspecified(&on) && is_own(a)))
            return 1;
    }
    return 0;
}

ngx_int_t postern_address_parse(const char *text, ngx_sockaddr_t *ret, socklen_t *ret_len)
{
    char host[PST_REPLICA_ADDRESS_MAX + 1];
    const char *colon = strrchr(text, ':');
    struct in6_addr a;
    ngx_int_t port;
    size_t len;

    if (colon == NULL || colon == text)
        return NGX_ERROR;
    len = (size_t)(colon - text);
    port = ngx_atoi((u_char *)colon + 1, ngx_strlen(colon + 1));
    if (port < 1 || port > 65535 || ngx_strlen(colon + 1) > PORT_DIGITS || len >= sizeof host)
        return NGX_ERROR;

    ngx_memzero(ret, sizeof *ret);
    if (text[0] == '[') {
        if (text[len - 1] != ']' || len < 3)
            return NGX_ERROR;
        ngx_memcpy(host, text + 1, len - 2);
        host[len - 2] = '\0';
        ret->sockaddr_in6.sin6_family = AF_INET6;
        *ret_len = sizeof ret->sockaddr_in6;
        if (inet_pton(AF_INET6, host, &ret->sockaddr_in6.sin6_addr) != 1)
            return NGX_ERROR;
    } else {
        ngx_memcpy(host, text, len);
        host[len] = '\0';
        ret->sockaddr_in.sin_family = AF_INET;
        *ret_len = sizeof ret->sockaddr_in;
        if (inet_pton(AF_INET, host, &ret->sockaddr_in.sin_addr) != 1)
            return NGX_ERROR;
    }
    ngx_inet_set_port(&ret->sockaddr, (in_port_t)port);
    if (as_in6(&ret->sockaddr, &a) != NGX_OK || is_never(&a) || is_listening(&ret->sockaddr, &a))
        return NGX_DECLINED;
    return NGX_OK;
}

void postern_address_deinit(void)
{
    if (known.listening)
        ngx_free(known.listening);
    if (known.own)
        ngx_free(known.own);
    ngx_memzero(&known, sizeof known);
}

static ngx_int_t read_own(ngx_log_t *log)
{
    struct ifaddrs *list, *i;
    ngx_uint_t n = 0;

    if (getifaddrs(&list) < 0) {
        ngx_log_error(NGX_LOG_ALERT, log, ngx_errno, "postern: getifaddrs() failed");
        return NGX_ERROR;
    }
    for (i = list; i; i = i->ifa_next)
        n++;
    known.own = ngx_calloc((n ? n : 1) * sizeof *known.own, log);
    for (i = list; known.own && i; i = i->ifa_next) {
        if (i->ifa_addr && as_in6(i->ifa_addr, &known.own[known.own_n]) == NGX_OK)
            known.own_n++;
    }
    freeifaddrs(list);
    return known.own ? NGX_OK : NGX_ERROR;
}

ngx_int_t postern_address_init(ngx_cycle_t *cycle)
{
    const ngx_listening_t *ls = cycle->listening.elts;
    ngx_uint_t n = cycle->listening.nelts;

    known.listening = ngx_calloc((n ? n : 1) * sizeof *known.listening, cycle->log);
    if (known.listening == NULL)
        return NGX_ERROR;
    for (ngx_uint_t i = 0; i < n; i++) {
        if (ls[i].type != SOCK_STREAM || ls[i].socklen > sizeof *known.listening)
            continue;
        ngx_memcpy(&known.listening[known.listening_n++], ls[i].sockaddr, ls[i].socklen);
    }
    return read_own(cycle->log);
}
