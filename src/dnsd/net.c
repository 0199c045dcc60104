/* net.c - sockets that listen. */
#include <errno.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>

#include "dnsd_internal.h"

enum { RECEIVE_BUFFER = 1 << 20, BACKLOG = 128, PRIVILEGED = 1024 };

static const char *mend(int error, uint16_t port)
{
    switch (error) {
    case EACCES:
        return port < PRIVILEGED ? ": a port below 1024 wants the capability CAP_NET_BIND_SERVICE"
                                 : "";
    case EADDRINUSE:
        return ": another server answers there; give this one an address of its own";
    case EADDRNOTAVAIL:
        return ": no interface of this machine has that address";
    default:
        return "";
    }
}

static int fail(const struct pst_dns_server *at, int type, struct pst_err *err)
{
    char text[PST_DNS_SERVER_SIZE];
    int error = errno;

    pst_dns_server_text(at, text);
    return pst_fail(err, PST_ECONFIG, "dnsd.listen: %s by %s: %s%s", text,
                    type == SOCK_DGRAM ? "UDP" : "TCP", strerrordesc_np(error),
                    mend(error, at->port));
}

static bool wildcard(const struct pst_dns_ip *ip)
{
    static const uint8_t none[16];

    return memcmp(ip->bytes, none, ip->version == 4 ? 4 : 16) == 0;
}

static bool on(int fd, int level, int option)
{
    int one = 1;
    return setsockopt(fd, level, option, &one, sizeof one) == 0;
}

/* What datagrams need: room for a burst, and on a wildcard address to know which one was asked. */
static bool prepare_udp(const struct pst_dns_server *at, int fd)
{
    int size = RECEIVE_BUFFER, discover = IP_PMTUDISC_OMIT;

    (void)setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &size, sizeof size);
    if (at->ip.version == 4) /* a forged "fragmentation needed" must not make us send fragments */
        (void)setsockopt(fd, IPPROTO_IP, IP_MTU_DISCOVER, &discover, sizeof discover);
    if (!wildcard(&at->ip))
        return true;
    return at->ip.version == 4 ? on(fd, IPPROTO_IP, IP_PKTINFO)
                               : on(fd, IPPROTO_IPV6, IPV6_RECVPKTINFO);
}

int pst_dnsd_bind(const struct pst_dns_server *at, int type, bool shared, int *ret_fd,
                  struct pst_err *err)
{
    struct sockaddr_storage sa;
    socklen_t len = pst_dns_sockaddr(at, &sa);
    auto_close int fd = socket(sa.ss_family, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

    if (fd < 0)
        return fail(at, type, err);
    if (sa.ss_family == AF_INET6 && !on(fd, IPPROTO_IPV6, IPV6_V6ONLY))
        return fail(at, type, err);
    if (type == SOCK_STREAM && !on(fd, SOL_SOCKET, SO_REUSEADDR))
        return fail(at, type, err);
    if (shared && !on(fd, SOL_SOCKET, SO_REUSEPORT))
        return fail(at, type, err);
    if (type == SOCK_DGRAM && !prepare_udp(at, fd))
        return fail(at, type, err);
    if (bind(fd, (struct sockaddr *)&sa, len) != 0)
        return fail(at, type, err);
    if (type == SOCK_STREAM && listen(fd, BACKLOG) != 0)
        return fail(at, type, err);
    *ret_fd = fd;
    fd = -1;
    return PST_OK;
}
