/*
 * tcp.c - one thread that answers by TCP (RFC 7766).
 *
 * Each connection has room for one question and one answer.  While its answer is not taken, no
 * further question of it is read; its time runs out unless a whole question comes, so who reads or
 * writes slowly does not hold it for longer.  All wait equally long, so the list of connections is
 * in the order of their ends, and its first one makes room when there is none.
 */
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "dnsd_internal.h"

enum {
    QUESTION_MAX = 4096, /* nobody has a longer one */
    EVENTS = 64,
    ACCEPTS = 32,     /* at a time, before others have their turn */
    NETWORKS = 4096,  /* counters of connections; networks that share one share its limit */
    NETWORK_PART = 8, /* of all connections, for one network */
    PAUSE_MS = 50,    /* without a descriptor for a new connection */
};

struct connection {
    struct connection *prev, *next; /* the next one ends later */
    int fd;
    size_t network;
    int64_t end_ms;
    bool done;    /* nothing more comes from there */
    bool writing; /* epoll waits for room to send */
    size_t in_len, out_at, out_len;
    uint8_t in[2 + QUESTION_MAX];
    uint8_t out[2 + PST_DNS_REPLY_TCP_MAX];
};

struct pst_tcp {
    struct pst_dnsd *d;
    struct pst_dns_reader *reader;
    struct pst_dns_doors doors;
    struct connection *first, *last;
    int64_t n;
    uint64_t seed;
    uint32_t networks[NETWORKS];
};

/* ------------------------------------------------------------------ the list */

static void unlink_connection(struct pst_tcp *t, struct connection *c)
{
    *(c->prev ? &c->prev->next : &t->first) = c->next;
    *(c->next ? &c->next->prev : &t->last) = c->prev;
}

/* As the one that ends last. */
static void append(struct pst_tcp *t, struct connection *c)
{
    c->end_ms = pst_mono_ms(t->d->opts.clock) + t->d->opts.tcp_timeout_s * 1000;
    c->prev = t->last;
    c->next = NULL;
    *(t->last ? &t->last->next : &t->first) = c;
    t->last = c;
}

static void close_connection(struct pst_tcp *t, struct connection *c)
{
    unlink_connection(t, c);
    t->networks[c->network]--;
    t->n--;
    close(c->fd);
    pst_free(c);
}

/* ------------------------------------------------------------------ questions and answers */

/* False: the connection is of no more use. */
static bool send_out(struct connection *c)
{
    while (c->out_at < c->out_len) {
        ssize_t n =
            send(c->fd, c->out + c->out_at, c->out_len - c->out_at, MSG_DONTWAIT | MSG_NOSIGNAL);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return errno == EAGAIN;
        c->out_at += (size_t)n;
    }
    c->out_at = c->out_len = 0;
    return true;
}

/* The length of a whole question that has come, 0 without one, -1 when there is to be none. */
static int whole(const struct connection *c)
{
    if (c->in_len < 2)
        return 0;
    size_t len = (size_t)(c->in[0] << 8 | c->in[1]);
    if (len > QUESTION_MAX)
        return -1;
    return c->in_len - 2 >= len ? (int)(2 + len) : 0;
}

/* Answer the question at the front of `in`.  False: what came is none that gets an answer. */
static bool answer(struct pst_tcp *t, struct connection *c, size_t len)
{
    struct pst_dns_values *values = pst_dnsd_hold(t->d, t->reader);
    struct pst_dns_reply r;

    pst_dns_reply(t->d->zone, values, c->in + 2, len - 2, false, c->out + 2, &r);
    pst_dnsd_let_go(t->reader);
    pst_dnsd_count(t->reader, PST_DNS_COUNT_TCP);
    pst_dnsd_count(t->reader, (int)r.outcome);
    if (r.len == 0)
        return false;
    pst_dns_put16(c->out, (uint16_t)r.len);
    c->out_len = 2 + r.len;
    c->in_len -= len;
    memmove(c->in, c->in + len, c->in_len);
    unlink_connection(t, c);
    append(t, c);
    return true;
}

/* Answer what has come as long as the answers are taken.  False: it is over. */
static bool work(struct pst_tcp *t, struct connection *c)
{
    for (;;) {
        if (!send_out(c))
            return false;
        if (c->out_len > 0)
            return true;
        int len = whole(c);
        if (len < 0 || (len == 0 && c->done))
            return false;
        if (len == 0)
            return true;
        if (!answer(t, c, (size_t)len))
            return false;
    }
}

/* Take in what there is.  False: the connection broke. */
static bool receive(struct connection *c)
{
    if (c->done || c->in_len == sizeof c->in)
        return true;
    ssize_t n = recv(c->fd, c->in + c->in_len, sizeof c->in - c->in_len, MSG_DONTWAIT);
    if (n < 0)
        return errno == EAGAIN || errno == EINTR;
    c->done = n == 0;
    c->in_len += (size_t)n;
    return true;
}

static void serve(struct pst_tcp *t, struct connection *c)
{
    bool waits = c->out_len > 0;

    /* While an answer waits, nothing is read: what comes then stays with the kernel. */
    if ((!waits && !receive(c)) || !work(t, c)) {
        close_connection(t, c);
        return;
    }
    bool writing = c->out_len > 0;
    if (writing == c->writing)
        return;
    struct epoll_event ev = {.events = writing ? EPOLLOUT : EPOLLIN, .data.ptr = c};
    c->writing = writing;
    if (epoll_ctl(t->doors.epoll, EPOLL_CTL_MOD, c->fd, &ev) != 0)
        close_connection(t, c);
}

/* ------------------------------------------------------------------ new connections */

static size_t network_of(const struct pst_tcp *t, const struct sockaddr *from)
{
    uint64_t h = (pst_dns_network(from) ^ t->seed) * UINT64_C(0x9e3779b97f4a7c15);
    return (size_t)(h >> 40) % NETWORKS;
}

/* Takes the descriptor.  False: no memory, or its network has its part. */
static bool enter(struct pst_tcp *t, int fd, const struct sockaddr *from)
{
    int64_t most = t->d->opts.tcp_connections / NETWORK_PART;
    size_t network = network_of(t, from);
    auto_close int owned = fd;
    int one = 1;

    if (t->networks[network] >= (most > 0 ? most : 1))
        return false;
    if (t->n >= t->d->opts.tcp_connections)
        close_connection(t, t->first);
    struct connection *c = pst_alloc(sizeof *c);
    struct epoll_event ev = {.events = EPOLLIN, .data.ptr = c};
    if (!c || epoll_ctl(t->doors.epoll, EPOLL_CTL_ADD, fd, &ev) != 0) {
        pst_free(c);
        return false;
    }
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    c->fd = owned;
    owned = -1;
    c->network = network;
    c->done = c->writing = false;
    c->in_len = c->out_at = c->out_len = 0;
    t->networks[network]++;
    t->n++;
    append(t, c);
    return true;
}

static void no_descriptor(struct pst_tcp *t)
{
    struct pst_err err = {0};

    pst_fail_sys(&err, "a DNS connection was not accepted");
    pst_dnsd_trouble(t->d, PST_DNS_TROUBLE_NET, "the DNS server", &err);
    if (t->first)
        close_connection(t, t->first);
    else
        usleep(PAUSE_MS * 1000);
}

static void accept_some(struct pst_tcp *t, int listener)
{
    for (int i = 0; i < ACCEPTS; i++) {
        struct sockaddr_storage from = {0};
        socklen_t len = sizeof from;
        int fd = accept4(listener, (struct sockaddr *)&from, &len, SOCK_CLOEXEC | SOCK_NONBLOCK);

        if (fd >= 0)
            (void)enter(t, fd, (const struct sockaddr *)&from);
        else if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM)
            no_descriptor(t);
        else if (errno == EAGAIN)
            return;
    }
}

/* ------------------------------------------------------------------ the thread */

/* Close what is over; how long until the next one is, -1 without one. */
static int expire(struct pst_tcp *t)
{
    int64_t now = pst_mono_ms(t->d->opts.clock);

    while (t->first && t->first->end_ms <= now)
        close_connection(t, t->first);
    return t->first ? (int)(t->first->end_ms - now) : -1;
}

/* Listeners are told by a pointer into `fds`, connections by their own.  -1: neither. */
static int listener_of(const struct pst_tcp *t, const struct epoll_event *ev)
{
    for (size_t i = 0; i < t->d->opts.listen_n; i++)
        if (ev->data.ptr == &t->doors.fds[i])
            return t->doors.fds[i];
    return -1;
}

/* False: stop. */
static bool turn(struct pst_tcp *t, const struct epoll_event *events, int n)
{
    /* Connections first: accepting may close one that is told of here. */
    for (int i = 0; i < n; i++) {
        if (events[i].data.ptr == &t->d->stop)
            return false;
        if (listener_of(t, &events[i]) < 0)
            serve(t, events[i].data.ptr);
    }
    for (int i = 0; i < n; i++) {
        int listener = listener_of(t, &events[i]);
        if (listener >= 0)
            accept_some(t, listener);
    }
    return true;
}

static void *run(void *arg)
{
    struct pst_tcp *t = arg;
    struct epoll_event events[EVENTS];

    pthread_setname_np(pthread_self(), "dns-tcp");
    for (;;) {
        int n = epoll_wait(t->doors.epoll, events, EVENTS, expire(t));
        if (!turn(t, events, n))
            return NULL;
    }
}

PST_CLEANUP(struct pst_tcp, pst_tcp_stop);

int pst_tcp_start(struct pst_tcp **ret, struct pst_dnsd *d, struct pst_err *err)
{
    auto_(pst_tcp_stop) struct pst_tcp *t = pst_zalloc(1, sizeof *t);

    if (!t)
        return pst_fail_nomem(err, "a thread of the DNS server");
    t->d = d;
    t->reader = &d->readers[PST_DNSD_THREADS_MAX];
    pst_rand_fill(d->opts.rand, &t->seed, sizeof t->seed);
    int rc = pst_dns_doors_open(&t->doors, d, SOCK_STREAM, false, err);
    if (rc == PST_OK)
        rc = pst_dns_doors_run(&t->doors, run, t, err);
    if (rc != PST_OK)
        return rc;
    *ret = pst_take(&t);
    return PST_OK;
}

void pst_tcp_stop(struct pst_tcp *t)
{
    if (!t)
        return;
    pst_dns_doors_close(&t->doors);
    while (t->first)
        close_connection(t, t->first);
    pst_free(t);
}
