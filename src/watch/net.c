/*
 * The sockets of the watch.  Questions leave by UDP from a pool of sockets with ports chosen by the
 * kernel, each replaced after PST_WUDP_USES questions, with random ids: an answer must fit socket,
 * id, source and question.
 */
#include <errno.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "watch_internal.h"

enum { BATCH = 32, ROUNDS = 8, RECEIVE_BUFFER = 1 << 20 };

static void close_tcp(struct pst_watch *w, struct pst_wtcp *t);

/* ------------------------------------------------------------------ queues */

static void queue_remove(struct pst_wquestion *q)
{
    struct pst_wqueue *queue = q->queue;

    if (!queue)
        return;
    if (q->prev)
        q->prev->next = q->next;
    else
        queue->first = q->next;
    if (q->next)
        q->next->prev = q->prev;
    else
        queue->last = q->prev;
    q->prev = q->next = NULL;
    q->queue = NULL;
}

/* All of a queue wait equally long, so that its order is that of expiry. */
static void queue_append(struct pst_wqueue *queue, struct pst_wquestion *q, int64_t expires_ms)
{
    queue_remove(q);
    q->expires_ms = expires_ms;
    q->queue = queue;
    q->prev = queue->last;
    if (queue->last)
        queue->last->next = q;
    else
        queue->first = q;
    queue->last = q;
}

/* Whatever could not even be sent expires at once, but not within this call. */
static void queue_prepend(struct pst_wqueue *queue, struct pst_wquestion *q, int64_t now_ms)
{
    queue_remove(q);
    q->expires_ms = now_ms;
    q->queue = queue;
    q->next = queue->first;
    if (queue->first)
        queue->first->prev = q;
    else
        queue->last = q;
    queue->first = q;
}

/* ------------------------------------------------------------------ matching */

static struct pst_wquestion **match_bucket(struct pst_wnet *net, const struct pst_wudp *udp,
                                           uint16_t id)
{
    return &net->match[((unsigned)udp->fd * 31u + id) % PST_WMATCH];
}

static struct pst_wquestion *match_find(struct pst_wnet *net, const struct pst_wudp *udp,
                                        uint16_t id)
{
    struct pst_wquestion *q = *match_bucket(net, udp, id);

    while (q && !(q->udp == udp && q->id == id))
        q = q->match_next;
    return q;
}

static void match_remove(struct pst_wnet *net, struct pst_wquestion *q)
{
    struct pst_wquestion **p = match_bucket(net, q->udp, q->id);

    while (*p && *p != q)
        p = &(*p)->match_next;
    if (*p)
        *p = q->match_next;
    q->match_next = NULL;
}

/* ------------------------------------------------------------------ UDP sockets */

static bool watch_fd(struct pst_watch *w, int fd, struct pst_wsource *source, uint32_t events)
{
    struct epoll_event ev = {.events = events, .data.ptr = source};

    return epoll_ctl(w->net.epoll, EPOLL_CTL_ADD, fd, &ev) == 0;
}

static void close_udp(struct pst_watch *w, struct pst_wudp *u)
{
    close(u->fd);
    u->fd = -1;
    if (u->prev)
        u->prev->next = u->next;
    else
        w->net.udps = u->next;
    if (u->next)
        u->next->prev = u->prev;
    u->next = w->net.dead_udps;
    w->net.dead_udps = u;
}

static struct pst_wudp *open_udp(struct pst_watch *w, int family)
{
    int size = RECEIVE_BUFFER;
    auto_close int fd = socket(family, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    struct pst_wudp *u = fd < 0 ? NULL : pst_zalloc(1, sizeof *u);

    if (!u)
        return NULL;
    (void)setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &size, sizeof size);
    u->source.kind = PST_WSOURCE_UDP;
    u->fd = fd;
    if (!watch_fd(w, fd, &u->source, EPOLLIN)) {
        pst_free(u);
        return NULL;
    }
    fd = -1;
    u->next = w->net.udps;
    if (u->next)
        u->next->prev = u;
    w->net.udps = u;
    return u;
}

static struct pst_wudp *pick_udp(struct pst_watch *w, int family)
{
    struct pst_wudp **slot =
        &w->net.slots[family == AF_INET6][pst_rand_below(w->opts.rand, PST_WUDP_SLOTS)];

    if (*slot && (*slot)->uses >= PST_WUDP_USES) {
        (*slot)->retired = true;
        if ((*slot)->open == 0)
            close_udp(w, *slot);
        *slot = NULL;
    }
    if (!*slot)
        *slot = open_udp(w, family);
    return *slot;
}

static void leave_udp(struct pst_watch *w, struct pst_wquestion *q)
{
    struct pst_wudp *u = q->udp;

    if (!u)
        return;
    match_remove(&w->net, q);
    q->udp = NULL;
    if (--u->open == 0 && u->retired)
        close_udp(w, u);
}

/* Give q a socket and an id that nobody on it uses. */
static bool enter_udp(struct pst_watch *w, struct pst_wquestion *q, int family)
{
    struct pst_wudp *u = pick_udp(w, family);

    if (!u)
        return false;
    do {
        pst_rand_fill(w->opts.rand, &q->id, sizeof q->id);
    } while (match_find(&w->net, u, q->id));
    u->uses++;
    u->open++;
    q->udp = u;
    q->query[0] = (uint8_t)(q->id >> 8);
    q->query[1] = (uint8_t)q->id;
    struct pst_wquestion **bucket = match_bucket(&w->net, u, q->id);
    q->match_next = *bucket;
    *bucket = q;
    return true;
}

void pst_wnet_send(struct pst_watch *w, struct pst_wquestion *q)
{
    struct sockaddr_storage sa;
    socklen_t len = pst_dns_sockaddr(&q->current, &sa);

    q->tries++;
    if (!q->udp && !enter_udp(w, q, sa.ss_family)) {
        queue_prepend(&w->net.waiting, q, w->now_ms);
        return;
    }
    atomic_fetch_add_explicit(&w->stats.queries, 1, memory_order_relaxed);
    if (q->tries > 1)
        atomic_fetch_add_explicit(&w->stats.retries, 1, memory_order_relaxed);
    ssize_t n = sendto(q->udp->fd, q->query, q->query_len, 0, (struct sockaddr *)&sa, len);
    if (n < 0 && errno != EAGAIN && errno != EINTR && errno != ENOBUFS)
        queue_prepend(&w->net.waiting, q, w->now_ms);
    else
        queue_append(&w->net.waiting, q, w->now_ms + w->opts.try_ms);
}

static bool same_source(const struct sockaddr_storage *from, const struct pst_dns_server *server)
{
    struct sockaddr_storage want;

    (void)pst_dns_sockaddr(server, &want);
    if (from->ss_family != want.ss_family)
        return false;
    if (from->ss_family == AF_INET6) {
        const struct sockaddr_in6 *a = (const struct sockaddr_in6 *)from;
        const struct sockaddr_in6 *b = (const struct sockaddr_in6 *)&want;

        return a->sin6_port == b->sin6_port && memcmp(&a->sin6_addr, &b->sin6_addr, 16) == 0;
    }
    const struct sockaddr_in *a = (const struct sockaddr_in *)from;
    const struct sockaddr_in *b = (const struct sockaddr_in *)&want;

    return a->sin_port == b->sin_port && a->sin_addr.s_addr == b->sin_addr.s_addr;
}

static void on_datagram(struct pst_watch *w, const struct pst_wudp *u,
                        const struct sockaddr_storage *from, const uint8_t *packet, size_t len)
{
    uint16_t id = len >= 12 ? (uint16_t)(packet[0] << 8 | packet[1]) : 0;
    struct pst_wquestion *q = len >= 12 ? match_find(&w->net, u, id) : NULL;

    if (q && same_source(from, &q->current) && pst_dns_matches(packet, len, q->query, q->query_len))
        pst_wquestion_on_packet(w, q, packet, len);
    else
        atomic_fetch_add_explicit(&w->stats.dropped, 1, memory_order_relaxed);
}

static void on_udp(struct pst_watch *w, struct pst_wudp *u)
{
    struct sockaddr_storage from[BATCH];
    struct iovec iov[BATCH];
    struct mmsghdr msgs[BATCH];

    /* The socket may be closed by what an answer leads to: look at it before each round. */
    for (int round = 0; round < ROUNDS && u->fd >= 0; round++) {
        memset(msgs, 0, sizeof msgs);
        for (size_t i = 0; i < BATCH; i++) {
            iov[i] = (struct iovec){w->net.packets + i * PST_DNS_UDP_MAX, PST_DNS_UDP_MAX};
            msgs[i].msg_hdr = (struct msghdr){.msg_name = &from[i],
                                              .msg_namelen = sizeof from[i],
                                              .msg_iov = &iov[i],
                                              .msg_iovlen = 1};
        }
        int n = recvmmsg(u->fd, msgs, BATCH, 0, NULL);
        for (int i = 0; i < n; i++)
            on_datagram(w, u, &from[i], iov[i].iov_base, msgs[i].msg_len);
        if (n < BATCH)
            break;
    }
}

/* ------------------------------------------------------------------ TCP */

static bool open_tcp(struct pst_watch *w, struct pst_wquestion *q)
{
    struct sockaddr_storage sa;
    socklen_t len = pst_dns_sockaddr(&q->current, &sa);
    auto_close int fd = socket(sa.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    auto_(pst_free) struct pst_wtcp *t = fd < 0 ? NULL : pst_zalloc(1, sizeof *t);

    if (!t || (connect(fd, (struct sockaddr *)&sa, len) != 0 && errno != EINPROGRESS))
        return false;
    t->source.kind = PST_WSOURCE_TCP;
    t->q = q;
    t->out[0] = (uint8_t)(q->query_len >> 8);
    t->out[1] = (uint8_t)q->query_len;
    memcpy(t->out + 2, q->query, q->query_len);
    if (!watch_fd(w, fd, &t->source, EPOLLOUT))
        return false;
    t->fd = fd;
    fd = -1;
    t->next = w->net.tcps;
    if (t->next)
        t->next->prev = t;
    w->net.tcps = t;
    w->net.tcp_n++;
    q->tcp = t;
    t = NULL;
    return true;
}

static void close_tcp(struct pst_watch *w, struct pst_wtcp *t)
{
    close(t->fd);
    t->fd = -1;
    if (t->q)
        t->q->tcp = NULL;
    t->q = NULL;
    if (t->prev)
        t->prev->next = t->next;
    else
        w->net.tcps = t->next;
    if (t->next)
        t->next->prev = t->prev;
    w->net.tcp_n--;
    t->next = w->net.dead_tcps;
    w->net.dead_tcps = t;
}

void pst_wnet_send_tcp(struct pst_watch *w, struct pst_wquestion *q)
{
    leave_udp(w, q);
    atomic_fetch_add_explicit(&w->stats.tcp, 1, memory_order_relaxed);
    if (w->net.tcp_n < PST_WTCP_MAX && !open_tcp(w, q))
        queue_prepend(&w->net.on_tcp, q, w->now_ms);
    else /* with no room the question waits for it, or for its expiry */
        queue_append(&w->net.on_tcp, q, w->now_ms + 2 * (int64_t)w->opts.try_ms);
}

static void tcp_failed(struct pst_watch *w, struct pst_wtcp *t, const char *why)
{
    struct pst_wquestion *q = t->q;

    close_tcp(w, t);
    queue_remove(q);
    pst_wquestion_on_silence(w, q, why);
}

/* PST_OK: all moved.  PST_NOTYET.  PST_ENET: broken off. */
static int tcp_move(struct pst_wtcp *t, bool out, uint8_t *data, size_t len, size_t *at)
{
    while (*at < len) {
        ssize_t n = out ? send(t->fd, data + *at, len - *at, MSG_NOSIGNAL)
                        : recv(t->fd, data + *at, len - *at, 0);

        if (n < 0 && (errno == EAGAIN || errno == EINTR))
            return PST_NOTYET;
        if (n <= 0)
            return PST_ENET;
        *at += (size_t)n;
    }
    return PST_OK;
}

static int tcp_read(struct pst_wtcp *t)
{
    if (!t->in) {
        int rc = tcp_move(t, false, t->head, 2, &t->in_at);

        if (rc != PST_OK)
            return rc;
        t->in_len = (size_t)t->head[0] << 8 | t->head[1];
        t->in_at = 0;
        t->in = pst_alloc(t->in_len);
        if (!t->in)
            return PST_ENOMEM;
    }
    return tcp_move(t, false, t->in, t->in_len, &t->in_at);
}

static void on_tcp(struct pst_watch *w, struct pst_wtcp *t)
{
    struct pst_wquestion *q = t->q;
    size_t out_len = 2u + q->query_len;

    if (t->out_at < out_len) {
        struct epoll_event ev = {.events = EPOLLIN, .data.ptr = &t->source};
        int rc = tcp_move(t, true, t->out, out_len, &t->out_at);

        if (rc == PST_OK)
            rc = epoll_ctl(w->net.epoll, EPOLL_CTL_MOD, t->fd, &ev) == 0 ? PST_OK : PST_ESYS;
        if (rc < 0)
            tcp_failed(w, t, "no TCP connection");
        return;
    }
    int rc = tcp_read(t);
    if (rc == PST_NOTYET)
        return;
    if (rc != PST_OK || !pst_dns_matches(t->in, t->in_len, q->query, q->query_len)) {
        tcp_failed(w, t, "no answer by TCP");
        return;
    }
    /* The packet must outlive the connection, which the answer may end. */
    auto_(pst_free) uint8_t *packet = pst_take(&t->in);
    size_t len = t->in_len;
    close_tcp(w, t);
    queue_remove(q);
    pst_wquestion_on_packet(w, q, packet, len);
}

/* Connections that had to wait for room. */
static void start_waiting_tcp(struct pst_watch *w)
{
    struct pst_wquestion *next;

    for (struct pst_wquestion *q = w->net.on_tcp.first; q && w->net.tcp_n < PST_WTCP_MAX;
         q = next) {
        next = q->next;
        if (!q->tcp && !open_tcp(w, q))
            queue_prepend(&w->net.on_tcp, q, w->now_ms);
    }
}

/* ------------------------------------------------------------------ all */

void pst_wnet_release(struct pst_watch *w, struct pst_wquestion *q)
{
    queue_remove(q);
    leave_udp(w, q);
    if (q->tcp)
        close_tcp(w, q->tcp);
}

void pst_wnet_on_event(struct pst_watch *w, struct pst_wsource *s, uint32_t events)
{
    (void)events; /* errors show at the next read or write */
    if (s->kind == PST_WSOURCE_UDP) {
        struct pst_wudp *u = (struct pst_wudp *)s;

        if (u->fd >= 0)
            on_udp(w, u);
    } else if (s->kind == PST_WSOURCE_TCP) {
        struct pst_wtcp *t = (struct pst_wtcp *)s;

        if (t->fd >= 0)
            on_tcp(w, t);
    }
}

static void expire_queue(struct pst_watch *w, struct pst_wqueue *queue, const char *why)
{
    struct pst_wquestion *q;

    while ((q = queue->first) && q->expires_ms <= w->now_ms) {
        queue_remove(q);
        if (q->tcp)
            close_tcp(w, q->tcp);
        pst_wquestion_on_silence(w, q, why);
    }
}

void pst_wnet_expire(struct pst_watch *w)
{
    expire_queue(w, &w->net.waiting, "no answer");
    expire_queue(w, &w->net.on_tcp, "no answer by TCP");
    start_waiting_tcp(w);
}

void pst_wnet_bury(struct pst_watch *w)
{
    while (w->net.dead_udps) {
        struct pst_wudp *u = w->net.dead_udps;

        w->net.dead_udps = u->next;
        pst_free(u);
    }
    while (w->net.dead_tcps) {
        struct pst_wtcp *t = w->net.dead_tcps;

        w->net.dead_tcps = t->next;
        pst_free(t->in);
        pst_free(t);
    }
}

int pst_wnet_init(struct pst_watch *w, struct pst_err *err)
{
    w->net.epoll = epoll_create1(EPOLL_CLOEXEC);
    w->wake.kind = PST_WSOURCE_WAKE;
    if (w->net.epoll < 0 || !watch_fd(w, w->wake_fd, &w->wake, EPOLLIN))
        return pst_fail_sys(err, "epoll for the watch");
    w->net.packets = pst_alloc((size_t)BATCH * PST_DNS_UDP_MAX);
    return w->net.packets ? PST_OK : pst_fail_nomem(err, "the watch");
}

void pst_wnet_deinit(struct pst_watch *w)
{
    while (w->net.tcps)
        close_tcp(w, w->net.tcps);
    while (w->net.udps)
        close_udp(w, w->net.udps);
    pst_wnet_bury(w);
    pst_free(w->net.packets);
    if (w->net.epoll >= 0)
        close(w->net.epoll);
}
