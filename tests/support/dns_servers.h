/*
 * dns_servers.h - DNS servers for tests: Knot with zone files, pebble-challtestsrv with its
 * management, and one of our own that misbehaves as told.  All on 127.0.0.1 with ports from the
 * kernel; all end with the test.  Needs cmocka.h before it.
 */
#ifndef POSTERN_TEST_DNS_SERVERS_H
#define POSTERN_TEST_DNS_SERVERS_H

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <postern/base.h>
#include <postern/dnsmsg.h>

/* How long a test waits for what must come; generous, for the machine may be busy. */
enum { TEST_DEADLINE_MS = 30000 };

static inline int64_t test_now_ms(void)
{
    return pst_mono_ms(pst_clock_system());
}

/* A short pause between two looks at a condition. */
static inline void test_pause(void)
{
    (void)poll(NULL, 0, 5);
}

/* Look until `cond` holds or the deadline is over. */
#define test_until(cond)                                                                           \
    do {                                                                                           \
        int64_t end_ = test_now_ms() + TEST_DEADLINE_MS;                                           \
        while (!(cond) && test_now_ms() < end_)                                                    \
            test_pause();                                                                          \
        assert_true(cond);                                                                         \
    } while (0)

static inline int test_bind(int type, uint16_t port)
{
    struct sockaddr_in sa = {
        .sin_family = AF_INET, .sin_port = htons(port), .sin_addr = {htonl(INADDR_LOOPBACK)}};
    int fd = socket(AF_INET, type | SOCK_CLOEXEC, 0);
    int one = 1;

    assert_true(fd >= 0);
    if (type == SOCK_STREAM)
        setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    if (bind(fd, (struct sockaddr *)&sa, sizeof sa) != 0) {
        close(fd);
        return -1;
    }
    return fd;
}

static inline uint16_t test_port_of(int fd)
{
    struct sockaddr_in sa;
    socklen_t len = sizeof sa;

    assert_int_equal(getsockname(fd, (struct sockaddr *)&sa, &len), 0);
    return ntohs(sa.sin_port);
}

/* A port that is free for UDP and TCP. */
static inline uint16_t test_free_port(void)
{
    for (int i = 0; i < 100; i++) {
        int udp = test_bind(SOCK_DGRAM, 0);
        assert_true(udp >= 0);
        uint16_t port = test_port_of(udp);
        int tcp = test_bind(SOCK_STREAM, port);

        close(udp);
        if (tcp >= 0) {
            close(tcp);
            return port;
        }
    }
    fail_msg("no free port");
    return 0;
}

static inline struct pst_dns_server test_local(uint16_t port)
{
    return (struct pst_dns_server){.ip = {4, {127, 0, 0, 1}}, .port = port};
}

/* ------------------------------------------------------------------ processes */

struct test_server {
    pid_t pid;
    uint16_t port;       /* DNS */
    uint16_t management; /* challtestsrv only */
    char dir[64];        /* Knot only */
};

static inline pid_t test_spawn(const char *const *argv, const char *log)
{
    pid_t parent = getpid();
    pid_t pid = fork();

    assert_true(pid >= 0);
    if (pid > 0)
        return pid;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    int fd = open(log ? log : "/dev/null", O_WRONLY | O_CREAT | O_APPEND, 0600);
    if (getppid() != parent || fd < 0)
        _exit(126);
    dup2(fd, 1);
    dup2(fd, 2);
    execvp(argv[0], (char *const *)argv);
    _exit(127);
}

static inline bool test_answers(uint16_t port, const char *name, uint16_t type)
{
    struct pst_dns_server server = test_local(port);
    struct pst_ask_opts opts = {.timeout_ms = 200};
    struct pst_dns_msg *m = NULL;

    if (pst_ask(&server, name, type, &opts, &m, NULL) != PST_OK)
        return false;
    bool ready = m->rcode == 0;
    pst_dns_msg_free(m);
    return ready;
}

static inline void test_server_stop(struct test_server *s)
{
    if (s->pid > 0) {
        kill(s->pid, SIGKILL);
        waitpid(s->pid, NULL, 0);
    }
    if (s->dir[0]) {
        char command[128];
        (void)snprintf(command, sizeof command, "%s", s->dir);
        const char *argv[] = {"rm", "-rf", command, NULL};

        waitpid(test_spawn(argv, NULL), NULL, 0);
    }
    s->pid = 0;
    s->dir[0] = '\0';
}

/* pebble-challtestsrv: NOERROR for every name, records as the test orders. */
static inline void test_challtestsrv_start(struct test_server *s)
{
    char management[32], dns[32];

    *s = (struct test_server){.port = test_free_port(), .management = test_free_port()};
    (void)snprintf(management, sizeof management, "127.0.0.1:%u", (unsigned)s->management);
    (void)snprintf(dns, sizeof dns, "127.0.0.1:%u", (unsigned)s->port);
    const char *argv[] = {"pebble-challtestsrv",
                          "-management",
                          management,
                          "-http01",
                          "",
                          "-https01",
                          "",
                          "-tlsalpn01",
                          "",
                          "-dns01",
                          dns,
                          "-defaultIPv4",
                          "",
                          "-defaultIPv6",
                          "",
                          NULL};
    s->pid = test_spawn(argv, NULL);
    test_until(test_answers(s->port, "ready.test", PST_DNS_A));
}

/* POST a JSON body to the management; it must answer 200. */
static inline void test_challtestsrv(const struct test_server *s, const char *path,
                                     const char *json)
{
    struct sockaddr_in sa = {.sin_family = AF_INET,
                             .sin_port = htons(s->management),
                             .sin_addr = {htonl(INADDR_LOOPBACK)}};
    char text[2048], answer[64] = "";
    size_t len = 0;

    int n = snprintf(text, sizeof text,
                     "POST /%s HTTP/1.0\r\nHost: localhost\r\nContent-Length: %zu\r\n\r\n%s", path,
                     strlen(json), json);
    assert_true(n > 0 && (size_t)n < sizeof text);
    int fd = -1;
    test_until((fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) >= 0 &&
               (connect(fd, (struct sockaddr *)&sa, sizeof sa) == 0 || (close(fd), false)));
    assert_int_equal(pst_io_write_full(fd, text, (size_t)n, NULL), PST_OK);
    assert_int_equal(pst_io_read_full(fd, answer, sizeof answer - 1, &len, NULL), PST_OK);
    close(fd);
    assert_non_null(strstr(answer, " 200 "));
}

/* ------------------------------------------------------------------ Knot */

struct test_zone {
    const char *name; /* "plain.test" */
    const char *text; /* records below SOA and NS */
    bool signed_;     /* by DNSSEC */
};

static inline void test_write(const char *dir, const char *file, const char *text)
{
    char path[160];

    (void)snprintf(path, sizeof path, "%s/%s", dir, file);
    assert_int_equal(pst_io_write_file(path, text, strlen(text), 0600, NULL), PST_OK);
}

static inline void test_knot_conf(const struct test_server *s, const struct test_zone *zones,
                                  size_t n)
{
    auto_buf struct pst_buf conf = PST_BUF(16384);

    pst_buf_printf(&conf,
                   "server:\n  rundir: \"%s\"\n  listen: [\"127.0.0.1@%u\"]\n"
                   "  udp-workers: 1\n  tcp-workers: 1\n  background-workers: 1\n"
                   "database:\n  storage: \"%s\"\n"
                   "policy:\n- id: p\n  algorithm: ecdsap256sha256\n  single-type-signing: on\n"
                   "template:\n- id: default\n  storage: \"%s\"\n  zonefile-sync: -1\n"
                   "  zonefile-load: difference-no-serial\n  journal-content: all\n"
                   "  dnssec-policy: p\nzone:\n",
                   s->dir, (unsigned)s->port, s->dir, s->dir);
    for (size_t i = 0; i < n; i++) {
        auto_buf struct pst_buf zone = PST_BUF(65536);
        char file[80];

        pst_buf_printf(&conf, "- domain: %s\n  file: \"%s.zone\"\n  dnssec-signing: %s\n",
                       zones[i].name, zones[i].name, zones[i].signed_ ? "on" : "off");
        pst_buf_printf(&zone,
                       "$ORIGIN %s.\n$TTL 60\n@ SOA ns admin 1 3600 600 86400 5\n@ NS ns\n"
                       "ns A 127.0.0.1\n%s",
                       zones[i].name, zones[i].text);
        (void)snprintf(file, sizeof file, "%s.zone", zones[i].name);
        test_write(s->dir, file, pst_buf_cstr(&zone));
    }
    test_write(s->dir, "knot.conf", pst_buf_cstr(&conf));
}

static inline void test_knot_failed(const char *log)
{
    auto_buf struct pst_buf text = PST_BUF(65536);

    (void)pst_io_read_file(log, &text, NULL);
    (void)fputs(pst_buf_cstr(&text), stderr); /* too long for fail_msg() */
    fail_msg("Knot does not serve the test's zones; its log stands above");
}

static inline void test_knot_start(struct test_server *s, const struct test_zone *zones, size_t n)
{
    char conf[96], log[96];

    *s = (struct test_server){.port = test_free_port(), .dir = "/tmp/postern-knot-XXXXXX"};
    assert_non_null(mkdtemp(s->dir));
    test_knot_conf(s, zones, n);
    (void)snprintf(conf, sizeof conf, "%s/knot.conf", s->dir);
    (void)snprintf(log, sizeof log, "%s/log", s->dir);
    const char *argv[] = {"knotd", "-c", conf, NULL};
    s->pid = test_spawn(argv, log);
    for (size_t i = 0; i < n; i++) {
        int64_t end = test_now_ms() + TEST_DEADLINE_MS;

        while (!test_answers(s->port, zones[i].name, PST_DNS_SOA)) {
            if (test_now_ms() > end)
                test_knot_failed(log);
            test_pause();
        }
    }
}

/* The DS records of a signed zone, as text for a trust anchor file. */
static inline void test_knot_ds(const struct test_server *s, const char *zone, struct pst_buf *to)
{
    char conf[96], out[96];

    (void)snprintf(conf, sizeof conf, "%s/knot.conf", s->dir);
    (void)snprintf(out, sizeof out, "%s/ds", s->dir);
    (void)unlink(out);
    const char *argv[] = {"keymgr", "-c", conf, zone, "ds", NULL};
    int status = -1;
    assert_true(waitpid(test_spawn(argv, out), &status, 0) > 0);
    assert_int_equal(status, 0);
    assert_int_equal(pst_io_read_file(out, to, NULL), PST_OK);
}

/* ------------------------------------------------------------------ a server that misbehaves */

/* Fills `reply` (as long as `*reply_len` says at first); leaves *reply_len 0 for silence.  `n`
 * counts this server's questions from 0. */
struct test_fake;
typedef void test_fake_fn(struct test_fake *f, const uint8_t *query, size_t len, uint8_t *reply,
                          size_t *reply_len);

struct test_fake {
    test_fake_fn *answer;
    void *arg;
    uint16_t port;
    atomic_int questions;
    atomic_bool stop;
    int fd;
    struct sockaddr_in peer; /* of the question being answered */
    pthread_t thread;
};

static inline void *test_fake_run(void *arg)
{
    struct test_fake *f = arg;
    uint8_t query[4096], reply[65536];

    while (!atomic_load(&f->stop)) {
        struct pollfd p = {.fd = f->fd, .events = POLLIN};
        socklen_t peer_len = sizeof f->peer;

        if (poll(&p, 1, 20) <= 0)
            continue;
        ssize_t len =
            recvfrom(f->fd, query, sizeof query, 0, (struct sockaddr *)&f->peer, &peer_len);
        if (len < 12)
            continue;
        size_t reply_len = sizeof reply;
        f->answer(f, query, (size_t)len, reply, &reply_len);
        atomic_fetch_add(&f->questions, 1);
        if (reply_len > 0)
            (void)sendto(f->fd, reply, reply_len, 0, (struct sockaddr *)&f->peer, peer_len);
    }
    return NULL;
}

static inline void test_fake_start(struct test_fake *f, test_fake_fn *answer, void *arg)
{
    *f = (struct test_fake){.answer = answer, .arg = arg, .fd = test_bind(SOCK_DGRAM, 0)};
    assert_true(f->fd >= 0);
    f->port = test_port_of(f->fd);
    assert_int_equal(pthread_create(&f->thread, NULL, test_fake_run, f), 0);
}

static inline void test_fake_stop(struct test_fake *f)
{
    atomic_store(&f->stop, true);
    pthread_join(f->thread, NULL);
    close(f->fd);
}

/* The type asked for. */
static inline unsigned test_question_type(const uint8_t *query, size_t len)
{
    size_t at = 12;

    while (at < len && query[at])
        at += query[at] + 1u;
    return at + 3 <= len ? (unsigned)(query[at + 1] << 8 | query[at + 2]) : 0;
}

/* Begin a reply: header and question of the query, QR set, `rcode`, no records. */
static inline size_t test_reply(const uint8_t *query, size_t len, unsigned rcode, uint8_t *reply)
{
    size_t at = 12;

    while (at < len && query[at])
        at += query[at] + 1u;
    at += 5;
    if (at > len)
        return 0;
    memcpy(reply, query, at);
    reply[2] = (uint8_t)(query[2] | 0x84);
    reply[3] = (uint8_t)(0x80 | rcode);
    memset(reply + 6, 0, 6);
    return at;
}

/* Add a record for the question's name; the new length. */
static inline size_t test_reply_add(uint8_t *reply, size_t at, unsigned type, const void *data,
                                    size_t len)
{
    const uint8_t head[] = {0xc0, 12, (uint8_t)(type >> 8), (uint8_t)type, 0, 1, 0, 0,
                            0,    5,  (uint8_t)(len >> 8),  (uint8_t)len};

    memcpy(reply + at, head, sizeof head);
    memcpy(reply + at + sizeof head, data, len);
    reply[7]++;
    return at + sizeof head + len;
}

#endif
