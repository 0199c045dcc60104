/*
 * watch_bench.c - what the 60-second watch costs: N names (100,000) asked at once against a
 * responder on this machine, CPU time per name and per question.  The responder is a process of its
 * own, so that only the watch is measured.
 *
 *     watch_bench [names]
 */
#include <arpa/inet.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#include <postern/base.h>
#include <postern/watch.h>

enum { BATCH = 64, PACKET = 512 };

static int bind_loopback(uint16_t *ret_port)
{
    struct sockaddr_in sa = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
    socklen_t len = sizeof sa;
    int size = 8 << 20;
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

    if (fd < 0 || bind(fd, (struct sockaddr *)&sa, len) != 0 ||
        getsockname(fd, (struct sockaddr *)&sa, &len) != 0) {
        perror("watch_bench: a socket");
        exit(1);
    }
    (void)setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &size, sizeof size);
    *ret_port = ntohs(sa.sin_port);
    return fd;
}

/* The answer in place: A 192.0.2.10 for A, no data for everything else. */
static size_t answer(uint8_t *p, size_t len)
{
    static const uint8_t a[] = {0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, 192, 0, 2, 10};
    size_t at = 12;

    while (at < len && p[at])
        at += p[at] + 1u;
    at += 5;
    if (at > len || at + sizeof a > PACKET)
        return 0;
    p[2] |= 0x80;
    p[3] = 0x80;
    memset(p + 6, 0, 6);
    if (p[at - 3] != 1)
        return at;
    p[7] = 1;
    memcpy(p + at, a, sizeof a);
    return at + sizeof a;
}

static _Noreturn void respond(int fd)
{
    static uint8_t packets[BATCH][PACKET];
    struct sockaddr_in from[BATCH];
    struct iovec iov[BATCH];
    struct mmsghdr msgs[BATCH];

    for (;;) {
        for (size_t i = 0; i < BATCH; i++) {
            iov[i] = (struct iovec){packets[i], PACKET};
            msgs[i].msg_hdr = (struct msghdr){.msg_name = &from[i],
                                              .msg_namelen = sizeof from[i],
                                              .msg_iov = &iov[i],
                                              .msg_iovlen = 1};
        }
        int n = recvmmsg(fd, msgs, BATCH, MSG_WAITFORONE, NULL);
        for (int i = 0; i < n; i++)
            iov[i].iov_len = answer(packets[i], msgs[i].msg_len);
        for (int at = 0; at < n;) {
            int sent = sendmmsg(fd, msgs + at, (unsigned)(n - at), 0);

            at += sent > 0 ? sent : 1;
        }
    }
}

static void on_report(void *arg, const char *id, const struct pst_watch_verdict *v)
{
    (void)id;
    *(uint64_t *)arg += v->result == PST_WATCH_OURS;
}

static double cpu_seconds(void)
{
    struct rusage u;

    getrusage(RUSAGE_SELF, &u);
    return (double)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) +
           (double)(u.ru_utime.tv_usec + u.ru_stime.tv_usec) / 1e6;
}

static void add_all(struct pst_watch *w, int64_t names)
{
    for (int64_t i = 0; i < names; i++) {
        char id[32], name[64];

        (void)snprintf(id, sizeof id, "%024llx", (unsigned long long)i);
        (void)snprintf(name, sizeof name, "www.customer-%llu.example", (unsigned long long)i);
        if (pst_watch_add(w, id, name, NULL) != PST_OK) {
            fprintf(stderr, "watch_bench: no memory\n");
            exit(1);
        }
    }
}

/* Wait until `checks` are done; the statistics then. */
static struct pst_watch_stats wait_for(struct pst_watch *w, uint64_t checks)
{
    struct pst_watch_stats s;

    do {
        (void)poll(NULL, 0, 5);
        pst_watch_stats(w, &s);
    } while (s.checks < checks);
    return s;
}

static void show(const char *what, double cpu, int64_t ms, const struct pst_watch_stats *from,
                 const struct pst_watch_stats *to)
{
    double names = (double)(to->checks - from->checks);
    double queries = (double)(to->queries - from->queries);

    printf("%-7s %8.0f names %8.0f questions (%llu repeated) in %6.2f s: CPU %5.2f us a question, "
           "%5.2f us a name\n",
           what, names, queries, (unsigned long long)(to->retries - from->retries),
           (double)ms / 1000, cpu * 1e6 / queries, cpu * 1e6 / names);
}

static void measure(uint16_t port, int64_t names)
{
    static const char *const edges[] = {"192.0.2.10"};
    struct pst_watch_stats zero = {0}, first, second;
    struct pst_watch *w = NULL;
    struct pst_err err = {0};
    uint64_t ours = 0;
    char resolver[32];

    (void)snprintf(resolver, sizeof resolver, "127.0.0.1:%u", (unsigned)port);
    struct pst_watch_opts opts = {.edge = {.addresses = edges, .addresses_n = 1},
                                  .resolver = resolver,
                                  .report = on_report,
                                  .arg = &ours};
    if (pst_watch_new(&w, &opts, &err) != PST_OK) {
        fprintf(stderr, "watch_bench: %s\n", err.text);
        exit(1);
    }
    int64_t start_ms = pst_mono_ms(pst_clock_system());
    double cpu = cpu_seconds();
    add_all(w, names);
    first = wait_for(w, (uint64_t)names);
    int64_t mid_ms = pst_mono_ms(pst_clock_system());
    double mid_cpu = cpu_seconds();
    show("at once", mid_cpu - cpu, mid_ms - start_ms, &zero, &first);
    second = wait_for(w, 2 * (uint64_t)names);
    show("spread", cpu_seconds() - mid_cpu, pst_mono_ms(pst_clock_system()) - mid_ms, &first,
         &second);
    struct rusage u;
    getrusage(RUSAGE_SELF, &u);
    pst_watch_free(w);
    printf("%llu of %lld ours; largest memory %ld MiB\n", (unsigned long long)ours,
           (long long)names, u.ru_maxrss / 1024);
}

int main(int argc, char **argv)
{
    int64_t names = 100000;
    uint16_t port;

    if (argc > 1 && !pst_parse_i64(argv[1], 1, 10000000, &names)) {
        fprintf(stderr, "usage: watch_bench [names]\n");
        return 2;
    }
    int fd = bind_loopback(&port);
    pid_t parent = getpid(), child = fork();
    if (child == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        if (getppid() == parent)
            respond(fd);
        _exit(1);
    }
    if (child < 0) {
        perror("watch_bench: fork");
        return 1;
    }
    measure(port, names);
    kill(child, SIGKILL);
    waitpid(child, NULL, 0);
    return 0;
}
