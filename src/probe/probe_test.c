/* The probe against a small HTTP server that is an edge, or is not. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <arpa/inet.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <postern/base.h>
#include <postern/crypto_mac.h>
#include <postern/http.h>
#include <postern/probe.h>

static const unsigned char key[PST_PROBE_KEY_LEN] = "0123456789abcdef0123456789abcdef";

enum kind { EDGE, EDGE_NEWLINE, EDGE_OTHER_KEY, PAGE, ECHO, REDIRECT, HUGE, GARBAGE, SILENT };

/* Answers connection after connection in its own way. */
struct server {
    enum kind kind;
    int fd;
    uint16_t port;
    atomic_bool stop;
    atomic_int requests;
    char request[2048];
    pthread_t thread;
};

static void answer_edge(struct server *s, int fd)
{
    char host[256] = "", nonce[64] = "", message[400], mac[PST_SHA256_HEX_SIZE], out[512];
    const char *path = strstr(s->request, "/postern-"), *h = strstr(s->request, "Host: ");

    if (path)
        (void)sscanf(path, "/postern-%63[0-9a-f]", nonce);
    if (h)
        (void)sscanf(h, "Host: %255[a-z0-9.]", host); /* without the port, as an edge has it */
    int len = snprintf(message, sizeof message, "%s|%s", host, nonce);
    pst_hmac_sha256_hex(s->kind == EDGE_OTHER_KEY ? key + 1 : key,
                        s->kind == EDGE_OTHER_KEY ? 31 : 32, message, (size_t)len, mac, NULL);
    len = snprintf(out, sizeof out,
                   "HTTP/1.1 200 OK\r\nVia: 1.1 cache \"x\"\r\nServer: cloud\x01\r\n"
                   "Connection: close\r\n\r\n%s%s",
                   mac, s->kind == EDGE_NEWLINE ? "\n" : "");
    (void)pst_io_write_full(fd, out, (size_t)len, NULL);
}

static void answer(struct server *s, int fd)
{
    static const char *const fixed[] = {
        [PAGE] = "HTTP/1.1 404 Not Found\r\nServer: nginx\r\nVia: 1.1 varnish\r\n"
                 "Connection: close\r\n\r\n<h1>\"no\"\n",
        [REDIRECT] = "HTTP/1.1 301 Moved\r\nLocation: https://example.com/\r\n"
                     "Connection: close\r\n\r\n",
        [GARBAGE] = "SSH-2.0-OpenSSH_9.2\r\n",
    };
    char chunk[1024];

    if (s->kind <= EDGE_OTHER_KEY) {
        answer_edge(s, fd);
    } else if (s->kind == HUGE) {
        static const char head[] = "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n";
        ssize_t n = send(fd, head, sizeof head - 1, MSG_NOSIGNAL);

        memset(chunk, 'x', sizeof chunk);
        for (int i = 0; i < 2000 && n > 0; i++)
            n = send(fd, chunk, sizeof chunk, MSG_NOSIGNAL);
    } else if (s->kind == ECHO) {
        const char *nonce = strstr(s->request, "postern-");
        int len = snprintf(chunk, sizeof chunk, "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n%.64s",
                           nonce ? nonce : "");

        (void)pst_io_write_full(fd, chunk, (size_t)len, NULL);
    } else if (fixed[s->kind]) {
        (void)pst_io_write_full(fd, fixed[s->kind], strlen(fixed[s->kind]), NULL);
    }
}

static void serve_one(struct server *s, int fd)
{
    size_t len = 0;

    while (len < sizeof s->request - 1 && !strstr(s->request, "\r\n\r\n")) {
        ssize_t n = recv(fd, s->request + len, sizeof s->request - 1 - len, 0);

        if (n <= 0)
            break;
        len += (size_t)n;
        s->request[len] = '\0';
    }
    atomic_fetch_add(&s->requests, 1);
    if (s->kind == SILENT) {
        struct pollfd p = {.fd = fd, .events = POLLIN};

        while (!atomic_load(&s->stop) && poll(&p, 1, 20) == 0)
            ;
    } else {
        answer(s, fd);
        (void)shutdown(fd, SHUT_WR);
        while (recv(fd, s->request + len, 1, MSG_PEEK) > 0 && recv(fd, (char[512]){0}, 512, 0) > 0)
            ;
    }
}

static void *serve(void *arg)
{
    struct server *s = arg;

    while (!atomic_load(&s->stop)) {
        struct pollfd p = {.fd = s->fd, .events = POLLIN};

        if (poll(&p, 1, 20) <= 0)
            continue;
        auto_close int fd = accept4(s->fd, NULL, NULL, SOCK_CLOEXEC);
        memset(s->request, 0, sizeof s->request);
        if (fd >= 0)
            serve_one(s, fd);
    }
    return NULL;
}

static void server_start(struct server *s, enum kind kind)
{
    struct sockaddr_in sa = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
    socklen_t len = sizeof sa;

    *s = (struct server){.kind = kind, .fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)};
    assert_int_equal(bind(s->fd, (struct sockaddr *)&sa, len), 0);
    assert_int_equal(listen(s->fd, 16), 0);
    assert_int_equal(getsockname(s->fd, (struct sockaddr *)&sa, &len), 0);
    s->port = ntohs(sa.sin_port);
    assert_int_equal(pthread_create(&s->thread, NULL, serve, s), 0);
}

static void server_stop(struct server *s)
{
    atomic_store(&s->stop, true);
    pthread_join(s->thread, NULL);
    close(s->fd);
}

/* ------------------------------------------------------------------ cases */

static struct pst_gate *open_gate, *closed_gate;

static int make_gates(void **st)
{
    const char *allow[] = {"127.0.0.0/8"};

    (void)st;
    return pst_gate_new(&open_gate, allow, 1, NULL) || pst_gate_new(&closed_gate, NULL, 0, NULL);
}

static int free_gates(void **st)
{
    (void)st;
    pst_gate_free(open_gate);
    pst_gate_free(closed_gate);
    return 0;
}

static const char *const loopback[] = {"127.0.0.1"};

static void probe(const struct server *s, const struct pst_gate *gate, uint32_t timeout_ms,
                  struct pst_probe_answer *ret)
{
    struct pst_probe_opts opts = {
        .key = key, .port = s->port, .gate = gate, .timeout_ms = timeout_ms};
    struct pst_err err = {0};

    if (pst_probe_http(&opts, "Shop.example.com", loopback, 1, ret, &err) != PST_OK)
        fail_msg("%s", err.text);
    assert_string_not_equal(ret->evidence, "");
    assert_null(strstr(ret->evidence, "0123456789abcdef0123"));
}

static void answers_are_told_apart(void **st)
{
    static const struct {
        enum kind kind;
        enum pst_probe_result result;
        long status;
        const char *evidence;
    } cases[] = {
        {EDGE, PST_PROBE_OURS, 200, "Via \"1.1 cache \\x22x\\x22\""},
        {EDGE_NEWLINE, PST_PROBE_OURS, 200, "127.0.0.1 led to an edge"},
        {EDGE_OTHER_KEY, PST_PROBE_OTHER, 200, "127.0.0.1 answered 200, body \""},
        {PAGE, PST_PROBE_OTHER, 404,
         "answered 404, body \"<h1>\\x22no\\x22\\x0a\", Via \"1.1 varnish\", Server \"nginx\""},
        {ECHO, PST_PROBE_OTHER, 200, "answered 200, body \"postern-"},
        {REDIRECT, PST_PROBE_OTHER, 301, "answered 301"},
        {HUGE, PST_PROBE_OTHER, 0, "127.0.0.1: "},
    };

    (void)st;
    for (size_t i = 0; i < PST_ARRAY_N(cases); i++) {
        struct pst_probe_answer a = {0};
        struct server s;

        server_start(&s, cases[i].kind);
        probe(&s, open_gate, 0, &a);
        server_stop(&s);
        if (a.result != cases[i].result || !strstr(a.evidence, cases[i].evidence))
            fail_msg("case %zu: %s: %s", i, pst_probe_result_name(a.result), a.evidence);
        assert_int_equal(a.http_status, cases[i].status);
    }
}

static void what_is_no_http_is_not_ours(void **st)
{
    struct pst_probe_answer a = {0};
    struct server s;

    (void)st;
    server_start(&s, GARBAGE);
    probe(&s, open_gate, 0, &a);
    assert_int_not_equal(a.result, PST_PROBE_OURS);
    server_stop(&s);
}

static void silence_is_unreachable(void **st)
{
    struct pst_probe_answer a = {0};
    struct server s;

    (void)st;
    server_start(&s, SILENT);
    probe(&s, open_gate, 300, &a);
    assert_int_equal(a.result, PST_PROBE_UNREACHABLE);
    server_stop(&s);
    probe(&s, open_gate, 300, &a); /* and so is a closed port */
    assert_int_equal(a.result, PST_PROBE_UNREACHABLE);
}

static void the_gate_is_asked(void **st)
{
    struct pst_probe_answer a = {0};
    struct server s;

    (void)st;
    server_start(&s, EDGE);
    probe(&s, closed_gate, 0, &a);
    assert_int_equal(a.result, PST_PROBE_UNREACHABLE);
    assert_int_equal(atomic_load(&s.requests), 0);
    assert_non_null(strstr(a.evidence, "127.0.0.1"));
    server_stop(&s);
}

static void every_address_must_lead_to_us(void **st)
{
    const char *const many[] = {"127.0.0.1", "::1"};
    struct pst_probe_answer a = {0};
    struct server s;

    (void)st;
    server_start(&s, EDGE);
    struct pst_probe_opts opts = {.key = key, .port = s.port, .gate = open_gate};
    assert_int_equal(pst_probe_http(&opts, "shop.example.com", many, 2, &a, NULL), PST_OK);
    server_stop(&s);
    /* the gate refuses ::1, which comes first in the evidence; that 127.0.0.1 is ours does not
     * help: a CA would try ::1 */
    assert_int_equal(a.result, PST_PROBE_UNREACHABLE);
    assert_true(strstr(a.evidence, "::1: ") == a.evidence);
    assert_non_null(strstr(a.evidence, "; 127.0.0.1 led to an edge"));
    assert_int_equal(atomic_load(&s.requests), 1);
}

static void bad_input_is_refused(void **st)
{
    struct pst_probe_opts opts = {.key = key, .gate = open_gate};
    const char *const nonsense[] = {"localhost"};
    struct pst_probe_answer a = {0};

    (void)st;
    static const char *const names[] = {"", "*.example.com", "a b", "a/b", "a@b", "a:1", ".a"};
    for (size_t i = 0; i < PST_ARRAY_N(names); i++)
        assert_int_equal(pst_probe_http(&opts, names[i], loopback, 1, &a, NULL), PST_REFUSED);
    assert_int_equal(pst_probe_http(&opts, "a.test", nonsense, 1, &a, NULL), PST_REFUSED);
    assert_int_equal(pst_probe_http(&opts, "a.test", NULL, 0, &a, NULL), PST_REFUSED);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(answers_are_told_apart),
        cmocka_unit_test(what_is_no_http_is_not_ours),
        cmocka_unit_test(silence_is_unreachable),
        cmocka_unit_test(the_gate_is_asked),
        cmocka_unit_test(every_address_must_lead_to_us),
        cmocka_unit_test(bad_input_is_refused),
    };

    return cmocka_run_group_tests_name("probe", tests, make_gates, free_gates);
}
