/* net.c - sockets that listen. */
#include <errno.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

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

int pst_dns_doors_open(struct pst_dns_doors *doors, struct pst_dnsd *d, int type, bool shared,
                       struct pst_err *err)
{
    struct epoll_event ev = {.events = EPOLLIN, .data.ptr = &d->stop};

    for (size_t i = 0; i < PST_DNSD_LISTEN_MAX; i++)
        doors->fds[i] = -1;
    doors->epoll = epoll_create1(EPOLL_CLOEXEC);
    bool ok = doors->epoll >= 0 && epoll_ctl(doors->epoll, EPOLL_CTL_ADD, d->stop, &ev) == 0;
    for (size_t i = 0; ok && i < d->opts.listen_n; i++) {
        int rc = pst_dnsd_bind(&d->listen[i], type, shared, &doors->fds[i], err);
        if (rc != PST_OK)
            return rc;
        ev.data.ptr = &doors->fds[i];
        ok = epoll_ctl(doors->epoll, EPOLL_CTL_ADD, doors->fds[i], &ev) == 0;
    }
    return ok ? PST_OK : pst_fail_sys(err, "watching the sockets of the DNS server");
}

int pst_dns_doors_run(struct pst_dns_doors *doors, void *(*run)(void *), void *arg,
                      struct pst_err *err)
{
    errno = pthread_create(&doors->thread, NULL, run, arg);
    if (errno != 0)
        return pst_fail_sys(err, "starting a thread of the DNS server");
    doors->running = true;
    return PST_OK;
}

void pst_dns_doors_close(struct pst_dns_doors *doors)
{
    if (doors->running)
        pthread_join(doors->thread, NULL);
    for (size_t i = 0; i < PST_DNSD_LISTEN_MAX; i++)
        if (doors->fds[i] >= 0)
            close(doors->fds[i]);
    if (doors->epoll >= 0)
        close(doors->epoll);
}
