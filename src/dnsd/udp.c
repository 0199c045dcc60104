/* udp.c - a thread that answers datagrams, as many as there are with one system call. */
#include <errno.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "dnsd_internal.h"

enum {
    BATCH = 64,
    ROUNDS = 16,         /* batches of one socket before the others have their turn */
    QUESTION_MAX = 2048, /* longer ones are read as cut off, which is FORMERR */
    EVENTS = PST_DNSD_LISTEN_MAX + 1,
};

struct slot {
    struct sockaddr_storage from;
    _Alignas(struct cmsghdr) unsigned char control[CMSG_SPACE(sizeof(struct in6_pktinfo))];
    struct iovec in_vec, out_vec;
    uint8_t in[QUESTION_MAX];
    uint8_t out[PST_DNS_REPLY_UDP_MAX];
};

struct pst_udp {
    struct pst_dnsd *d;
    struct pst_dns_reader *reader;
    struct pst_dns_doors doors;
    struct slot slots[BATCH];
    struct mmsghdr in[BATCH], out[BATCH];
};

static void prepare(struct pst_udp *u)
{
    for (size_t i = 0; i < BATCH; i++) {
        struct slot *s = &u->slots[i];

        s->in_vec = (struct iovec){s->in, sizeof s->in};
        u->in[i].msg_hdr = (struct msghdr){.msg_name = &s->from,
                                           .msg_namelen = sizeof s->from,
                                           .msg_iov = &s->in_vec,
                                           .msg_iovlen = 1,
                                           .msg_control = s->control,
                                           .msg_controllen = sizeof s->control};
    }
}

/* Is there an answer to this datagram?  It is in the slot's `out` then. */
static bool answer(struct pst_udp *u, const struct pst_dns_values *values, struct slot *s,
                   size_t len, int64_t now_ms)
{
    struct pst_dns_reply r;

    pst_dnsd_count(u->reader, PST_DNS_COUNT_UDP);
    enum pst_dns_rate_verdict v =
        pst_dns_rate_judge(u->d->rate, (const struct sockaddr *)&s->from, now_ms);
    if (v == PST_DNS_RATE_DROP) {
        pst_dnsd_count(u->reader, PST_DNS_COUNT_LIMITED);
        return false;
    }
    pst_dns_reply(u->d->zone, values, s->in, len, true, s->out, &r);
    if (v == PST_DNS_RATE_SLIP) {
        pst_dnsd_count(u->reader, PST_DNS_COUNT_SLIPPED);
        pst_dns_reply_cut(s->out, &r);
    } else if (r.truncated) {
        pst_dnsd_count(u->reader, PST_DNS_COUNT_TRUNCATED);
    }
    pst_dnsd_count(u->reader, (int)r.outcome);
    s->out_vec = (struct iovec){s->out, r.len};
    return r.len > 0;
}

/* Answers that cannot be sent are lost, as datagrams may be: who asked asks again. */
static void send_all(struct pst_udp *u, int fd, size_t n)
{
    for (size_t at = 0; at < n;) {
        int sent = sendmmsg(fd, u->out + at, (unsigned)(n - at), MSG_DONTWAIT);

        if (sent > 0)
            at += (size_t)sent;
        else if (errno == EAGAIN || errno == ENOBUFS)
            return;
        else if (errno != EINTR)
            at++; /* the first one's address is at fault */
    }
}

/* False: there is nothing more. */
static bool serve(struct pst_udp *u, int fd)
{
    size_t n = 0;

    prepare(u);
    int got = recvmmsg(fd, u->in, BATCH, MSG_DONTWAIT, NULL);
    if (got <= 0)
        return false;
    int64_t now_ms = pst_mono_ms(u->d->opts.clock);
    struct pst_dns_values *values = pst_dnsd_hold(u->d, u->reader);
    for (size_t i = 0; i < (size_t)got; i++) {
        struct slot *s = &u->slots[i];
        struct msghdr *from = &u->in[i].msg_hdr;

        if (!answer(u, values, s, u->in[i].msg_len, now_ms))
            continue;
        u->out[n++].msg_hdr =
            (struct msghdr){.msg_name = from->msg_name,
                            .msg_namelen = from->msg_namelen,
                            .msg_iov = &s->out_vec,
                            .msg_iovlen = 1,
                            .msg_control = from->msg_controllen ? from->msg_control : NULL,
                            .msg_controllen = from->msg_controllen};
    }
    pst_dnsd_let_go(u->reader);
    send_all(u, fd, n);
    return got == BATCH;
}

static void *run(void *arg)
{
    struct pst_udp *u = arg;
    struct epoll_event events[EVENTS];

    pthread_setname_np(pthread_self(), "dns-udp");
    for (;;) {
        int n = epoll_wait(u->doors.epoll, events, EVENTS, -1);

        for (int i = 0; i < n; i++) {
            if (events[i].data.ptr == &u->d->stop)
                return NULL;
            const int *fd = events[i].data.ptr;
            for (int k = 0; k < ROUNDS && serve(u, *fd); k++)
                ;
        }
    }
}

PST_CLEANUP(struct pst_udp, pst_udp_stop);

int pst_udp_start(struct pst_udp **ret, struct pst_dnsd *d, size_t number, struct pst_err *err)
{
    auto_(pst_udp_stop) struct pst_udp *u = pst_zalloc(1, sizeof *u);

    if (!u)
        return pst_fail_nomem(err, "a thread of the DNS server");
    u->d = d;
    u->reader = &d->readers[number];
    int rc = pst_dns_doors_open(&u->doors, d, SOCK_DGRAM, d->opts.threads > 1, err);
    if (rc == PST_OK)
        rc = pst_dns_doors_run(&u->doors, run, u, err);
    if (rc != PST_OK)
        return rc;
    *ret = pst_take(&u);
    return PST_OK;
}

void pst_udp_stop(struct pst_udp *u)
{
    if (!u)
        return;
    pst_dns_doors_close(&u->doors);
    pst_free(u);
}
