/* One question to one given server, blocking. */
#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "resolve_internal.h"

enum { TRIES = 3, TCP_MAX = 65535 };

struct ask {
    const struct pst_dns_server *server;
    char server_text[PST_DNS_SERVER_SIZE];
    const struct pst_clock *clock;
    int64_t until_ms; /* monotonic */
    uint8_t query[PST_DNS_QUERY_MAX];
    size_t query_len;
};

/* PST_OK: ready.  PST_NOTYET: the time is over.  PST_ESYS. */
static int wait_for(const struct ask *a, int fd, short events, int64_t until_ms,
                    struct pst_err *err)
{
    for (;;) {
        struct pollfd p = {.fd = fd, .events = events};
        int64_t left = until_ms - pst_mono_ms(a->clock);

        if (left <= 0)
            return PST_NOTYET;
        int n = poll(&p, 1, left > 60000 ? 60000 : (int)left);
        if (n > 0)
            return PST_OK;
        if (n < 0 && errno != EINTR)
            return pst_fail_sys(err, "waiting for %s", a->server_text);
    }
}

static int timed_out(const struct ask *a, struct pst_err *err)
{
    return pst_fail(err, PST_ENET, "the DNS server %s did not answer in time", a->server_text);
}

/* A socket whose peer is the server, so that the kernel drops what others send. */
static int open_socket(const struct ask *a, int type, int *ret_fd, struct pst_err *err)
{
    struct sockaddr_storage sa;
    socklen_t len = pst_dns_sockaddr(a->server, &sa);
    auto_close int fd = socket(sa.ss_family, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

    if (fd < 0)
        return pst_fail_sys(err, "a socket for %s", a->server_text);
    if (connect(fd, (struct sockaddr *)&sa, len) != 0 && errno != EINPROGRESS)
        return pst_fail(err, PST_ENET, "the DNS server %s cannot be reached: %s", a->server_text,
                        strerror(errno));
    *ret_fd = fd;
    fd = -1;
    return PST_OK;
}

/* ------------------------------------------------------------------ UDP */

/* Receive until a packet matches.  PST_OK, PST_NOTYET (time over), negative. */
static int receive(const struct ask *a, int fd, int64_t until_ms, uint8_t *packet, size_t *ret_len,
                   struct pst_err *err)
{
    for (;;) {
        int rc = wait_for(a, fd, POLLIN, until_ms, err);
        if (rc != PST_OK)
            return rc;
        ssize_t n = recv(fd, packet, PST_DNS_UDP_MAX, 0);
        if (n < 0 && errno != EAGAIN && errno != EINTR)
            return pst_fail(err, PST_ENET, "the DNS server %s: %s", a->server_text,
                            strerror(errno));
        if (n >= 0 && pst_dns_matches(packet, (size_t)n, a->query, a->query_len)) {
            *ret_len = (size_t)n;
            return PST_OK;
        }
    }
}

static int ask_udp(const struct ask *a, uint8_t packet[PST_DNS_UDP_MAX], size_t *ret_len,
                   struct pst_err *err)
{
    auto_close int fd = -1;
    int rc = open_socket(a, SOCK_DGRAM, &fd, err);

    for (int left = TRIES; rc == PST_OK && left > 0; left--) {
        int64_t now = pst_mono_ms(a->clock);
        int64_t until = now + (a->until_ms - now) / left;

        if (send(fd, a->query, a->query_len, 0) < 0 && errno != EAGAIN && errno != EINTR)
            return pst_fail(err, PST_ENET, "the DNS server %s: %s", a->server_text,
                            strerror(errno));
        rc = receive(a, fd, until, packet, ret_len, err);
        if (rc != PST_NOTYET)
            return rc;
        rc = PST_OK;
    }
    return rc == PST_OK ? timed_out(a, err) : rc;
}

/* ------------------------------------------------------------------ TCP */

/* Move all of `len` bytes, in the direction of `events`. */
static int transfer(const struct ask *a, int fd, short events, uint8_t *data, size_t len,
                    struct pst_err *err)
{
    for (size_t at = 0; at < len;) {
        int rc = wait_for(a, fd, events, a->until_ms, err);
        if (rc == PST_NOTYET)
            return timed_out(a, err);
        if (rc != PST_OK)
            return rc;
        ssize_t n = events == POLLIN ? recv(fd, data + at, len - at, 0)
                                     : send(fd, data + at, len - at, MSG_NOSIGNAL);
        if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR))
            return pst_fail(err, PST_ENET, "the DNS server %s broke off the TCP connection: %s",
                            a->server_text, n == 0 ? "closed" : strerror(errno));
        if (n > 0)
            at += (size_t)n;
    }
    return PST_OK;
}

static int ask_tcp(const struct ask *a, struct pst_dns_msg **ret, struct pst_err *err)
{
    auto_close int fd = -1;
    auto_(pst_free) uint8_t *packet = NULL;
    uint8_t out[2 + PST_DNS_QUERY_MAX], head[2];

    int rc = open_socket(a, SOCK_STREAM, &fd, err);
    if (rc != PST_OK)
        return rc;
    out[0] = (uint8_t)(a->query_len >> 8);
    out[1] = (uint8_t)a->query_len;
    memcpy(out + 2, a->query, a->query_len);
    rc = transfer(a, fd, POLLOUT, out, a->query_len + 2, err);
    if (rc == PST_OK)
        rc = transfer(a, fd, POLLIN, head, 2, err);
    if (rc != PST_OK)
        return rc;
    size_t len = (size_t)head[0] << 8 | head[1];
    packet = pst_alloc(len);
    if (!packet)
        return pst_fail_nomem(err, "a DNS answer");
    rc = transfer(a, fd, POLLIN, packet, len, err);
    if (rc != PST_OK)
        return rc;
    if (!pst_dns_matches(packet, len, a->query, a->query_len))
        return pst_fail(err, PST_EINPUT, "the DNS server %s answered another question by TCP",
                        a->server_text);
    return pst_dns_parse(packet, len, ret, err);
}

/* ------------------------------------------------------------------ both */

static int ask_once(const struct ask *a, struct pst_dns_msg **ret, struct pst_err *err)
{
    uint8_t packet[PST_DNS_UDP_MAX];
    size_t len = 0;

    int rc = ask_udp(a, packet, &len, err);
    if (rc != PST_OK)
        return rc;
    if (packet[2] & 0x02) /* TC */
        return ask_tcp(a, ret, err);
    rc = pst_dns_parse(packet, len, ret, err);
    return rc == PST_EINPUT ? pst_wrap(err, "the DNS server %s", a->server_text) : rc;
}

int pst_ask(const struct pst_dns_server *server, const char *name, uint16_t type,
            const struct pst_ask_opts *opts, struct pst_dns_msg **ret, struct pst_err *err)
{
    struct ask a = {.server = server, .clock = opts->clock ? opts->clock : pst_clock_system()};
    struct pst_rand *rand = opts->rand ? opts->rand : pst_rand_system();
    struct pst_dns_question q = {.name = name, .type = type, .recurse = opts->recurse};

    pst_dns_server_text(server, a.server_text);
    a.until_ms = pst_mono_ms(a.clock) + (opts->timeout_ms ? opts->timeout_ms : 5000);
    for (int round = 0;; round++) {
        auto_(pst_dns_msg_free) struct pst_dns_msg *m = NULL;

        pst_rand_fill(rand, &q.id, sizeof q.id);
        a.query_len = pst_dns_query(a.query, &q);
        if (a.query_len == 0)
            return pst_fail(err, PST_REFUSED,
                            "\"%.80s\" is not a name that the DNS can be asked for",
                            name ? name : "");
        int rc = ask_once(&a, &m, err);
        if (rc != PST_OK)
            return rc;
        bool knows_no_edns = m->rcode == LDNS_RCODE_FORMERR || m->rcode == LDNS_RCODE_NOTIMPL;
        if (round > 0 || !knows_no_edns) {
            *ret = pst_take(&m);
            return PST_OK;
        }
        q.plain = true;
    }
}
