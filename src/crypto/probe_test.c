/* probe_test.c - the TLS probe against servers that behave, refuse, are silent or talk rubbish. */
#include "crypto_test_help.h"
#include <arpa/inet.h>
#include <netinet/in.h>
#include <openssl/err.h>
#include <pthread.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>

enum behaviour { SERVES, IS_SILENT, TALKS_RUBBISH, HANGS_UP, TRICKLES };

/* A server for one connection, on a port that the kernel picks. */
struct server {
    enum behaviour does;
    int max_version;
    int listener;
    char address[64];
    pthread_t thread;
    SSL_CTX *ctx;
    X509 *cert;
    EVP_PKEY *key;
    int stop[2]; /* closing stop[1] ends a silent server */
};

static int by_name(SSL *ssl, int *alert, void *arg)
{
    const char *name = SSL_get_servername(ssl, TLSEXT_NAMETYPE_host_name);

    if (name && strcmp(name, "known.test") == 0)
        return SSL_TLSEXT_ERR_OK;
    *alert = SSL_AD_UNRECOGNIZED_NAME;
    return SSL_TLSEXT_ERR_ALERT_FATAL;
}

static void serve_tls(struct server *s, int fd)
{
    SSL *ssl = SSL_new(s->ctx);
    char c;

    if (s->max_version)
        (void)SSL_set_max_proto_version(ssl, s->max_version);
    (void)SSL_set_fd(ssl, fd);
    if (SSL_accept(ssl) == 1)
        (void)SSL_read(ssl, &c, 1); /* until its goodbye */
    SSL_free(ssl);
    ERR_clear_error();
}

static void trickle(struct server *s, int fd)
{
    static const char record[] = "\x16\x03\x03\x40\x00";

    for (int i = 0; i < 1000; i++) {
        if (send(fd, i < 5 ? record + i : "x", 1, MSG_NOSIGNAL) < 0)
            return;
        (void)usleep(20000);
    }
}

static void *run(void *arg)
{
    struct server *s = arg;
    sigset_t pipe_only;
    int fd;
    char c;

    /* The library's socket writes would raise it here when the probe is gone already. */
    (void)sigemptyset(&pipe_only);
    (void)sigaddset(&pipe_only, SIGPIPE);
    (void)pthread_sigmask(SIG_BLOCK, &pipe_only, NULL);
    fd = accept(s->listener, NULL, NULL);
    if (s->does == SERVES)
        serve_tls(s, fd);
    else if (s->does == TALKS_RUBBISH)
        (void)send(fd, "SSH-2.0-OpenSSH\r\n", 17, MSG_NOSIGNAL);
    else if (s->does == IS_SILENT)
        (void)!read(s->stop[0], &c, 1);
    else if (s->does == TRICKLES)
        trickle(s, fd);
    (void)shutdown(fd, SHUT_WR);
    (void)recv(fd, &c, 1, 0);
    (void)close(fd);
    return NULL;
}

static void start(struct server *s, enum behaviour does, bool v6)
{
    struct sockaddr_in6 at6 = {.sin6_family = AF_INET6, .sin6_addr = IN6ADDR_LOOPBACK_INIT};
    struct sockaddr_in at4 = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = v6 ? sizeof at6 : sizeof at4;
    struct sockaddr *at = v6 ? (struct sockaddr *)&at6 : (struct sockaddr *)&at4;

    s->does = does;
    s->key = help_key();
    s->cert = help_issue(
        &(struct help_cert){.subject_cn = "known.test", .key = s->key, .san = "DNS:known.test"});
    s->ctx = SSL_CTX_new(TLS_server_method());
    assert_int_equal(SSL_CTX_use_certificate(s->ctx, s->cert), 1);
    assert_int_equal(SSL_CTX_use_PrivateKey(s->ctx, s->key), 1);
    (void)SSL_CTX_set_tlsext_servername_callback(s->ctx, by_name);
    assert_int_equal(pipe(s->stop), 0);

    s->listener = socket(v6 ? AF_INET6 : AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (v6 && (s->listener < 0 || bind(s->listener, at, len) < 0))
        skip(); /* a machine without IPv6 */
    if (!v6)
        assert_int_equal(bind(s->listener, at, len), 0);
    assert_int_equal(listen(s->listener, 1), 0);
    assert_int_equal(getsockname(s->listener, at, &len), 0);
    (void)snprintf(s->address, sizeof s->address, v6 ? "[::1]:%d" : "127.0.0.1:%d",
                   ntohs(v6 ? at6.sin6_port : at4.sin_port));
    assert_int_equal(pthread_create(&s->thread, NULL, run, s), 0);
}

static void stop(struct server *s)
{
    (void)close(s->stop[1]);
    assert_int_equal(pthread_join(s->thread, NULL), 0);
    (void)close(s->stop[0]);
    (void)close(s->listener);
    SSL_CTX_free(s->ctx);
    X509_free(s->cert);
    EVP_PKEY_free(s->key);
}

static int probe_once(enum behaviour does, int max_version, const char *sni, int timeout_ms,
                      bool *ret_same, struct pst_err *err)
{
    struct server s = {.max_version = max_version};
    uint8_t leaf[32], expected[32];
    int rc;

    memset(leaf, 0xee, sizeof leaf);
    start(&s, does, false);
    pst_err_clear(err);
    rc = pst_tls_probe(s.address, sni, timeout_ms, leaf, err);
    assert_int_equal(X509_digest(s.cert, EVP_sha256(), expected, NULL), 1);
    *ret_same = memcmp(leaf, expected, sizeof leaf) == 0;
    if (rc != PST_OK)
        assert_int_equal(leaf[0], 0xee); /* untouched */
    stop(&s);
    return rc;
}

static void the_leaf_that_is_served_is_reported(void **state)
{
    struct pst_err err = {0};
    bool same;

    (void)state;
    assert_ok(probe_once(SERVES, 0, "known.test", 5000, &same, &err), err);
    assert_true(same);
    assert_ok(probe_once(SERVES, TLS1_2_VERSION, "known.test", 5000, &same, &err), err);
    assert_true(same);
}

static void ipv6_addresses_work(void **state)
{
    struct server s = {0};
    uint8_t leaf[32];
    struct pst_err err = {0};

    (void)state;
    start(&s, SERVES, true);
    assert_ok(pst_tls_probe(s.address, "known.test", 5000, leaf, &err), err);
    stop(&s);
}

static void a_refused_name_is_an_answer(void **state)
{
    struct pst_err err = {0};
    bool same;

    (void)state;
    assert_rc(probe_once(SERVES, 0, "unknown.test", 5000, &same, &err), PST_NOTFOUND, err);
    assert_rc(probe_once(SERVES, TLS1_2_VERSION, "unknown.test", 5000, &same, &err), PST_NOTFOUND,
              err);
    assert_rc(probe_once(SERVES, 0, NULL, 5000, &same, &err), PST_NOTFOUND, err);
}

static void everything_else_is_a_fault_of_the_network(void **state)
{
    struct pst_err err = {0};
    bool same;

    (void)state;
    assert_rc(probe_once(TALKS_RUBBISH, 0, "known.test", 5000, &same, &err), PST_ENET, err);
    assert_rc(probe_once(HANGS_UP, 0, "known.test", 5000, &same, &err), PST_ENET, err);
}

static void time_is_bounded(void **state)
{
    static const enum behaviour slow[] = {IS_SILENT, TRICKLES};
    struct pst_err err = {0};
    bool same;

    (void)state;
    for (size_t i = 0; i < PST_ARRAY_N(slow); i++) {
        struct server s = {0};
        uint8_t leaf[32];
        int64_t began, took;

        start(&s, slow[i], false);
        began = pst_mono_ms(pst_clock_system());
        assert_rc(pst_tls_probe(s.address, "known.test", 300, leaf, &err), PST_ENET, err);
        took = pst_mono_ms(pst_clock_system()) - began;
        stop(&s);
        assert_true(took >= 250 && took < 5000);
    }
    assert_rc(probe_once(SERVES, 0, "known.test", 0, &same, &err), PST_ENET, err);
}

static void nobody_at_home(void **state)
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof at;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0); /* bound, not listening */
    char address[64];
    uint8_t leaf[32];
    struct pst_err err = {0};

    (void)state;
    assert_int_equal(bind(fd, (struct sockaddr *)&at, len), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&at, &len), 0);
    (void)snprintf(address, sizeof address, "127.0.0.1:%d", ntohs(at.sin_port));
    assert_rc(pst_tls_probe(address, "known.test", 1000, leaf, &err), PST_ENET, err);
    (void)close(fd);
}

static void odd_input_is_refused(void **state)
{
    static const char *const addresses[] = {
        NULL,
        "",
        "127.0.0.1",
        "127.0.0.1:",
        "127.0.0.1:0",
        "127.0.0.1:65536",
        ":443",
        "[::1]",
        "::1:443",
        "localhost:443",
        "[127.0.0.1]:1",
        "[]:443",
        "[::1:443",
        "1.2.3.4:x",
        "[0000:0000:0000:0000:0000:0000:0000:0000:0000:0000:0000:0000:0000:0000:0000]:443",
    };
    static const char *const names[] = {"", "*.a.test", "a b", "a\r\nb", "UPPER.test"};
    uint8_t leaf[32];
    struct pst_err err = {0};

    (void)state;
    for (size_t i = 0; i < PST_ARRAY_N(addresses); i++)
        assert_rc(pst_tls_probe(addresses[i], "a.test", 100, leaf, &err), PST_EINPUT, err);
    for (size_t i = 0; i < PST_ARRAY_N(names); i++)
        assert_rc(pst_tls_probe("127.0.0.1:1", names[i], 100, leaf, &err), PST_EINPUT, err);
}

static void hygiene_switches_core_dumps_off(void **state)
{
    int status = 0;
    pid_t child = fork();

    (void)state;
    assert_true(child >= 0);
    if (child == 0) {
        struct rlimit limit;
        struct pst_err err = {0};

        if (pst_crypto_init(true, &err) != PST_OK)
            _exit(1);
        if (prctl(PR_GET_DUMPABLE, 0, 0, 0, 0) != 0)
            _exit(2);
        _exit(getrlimit(RLIMIT_CORE, &limit) == 0 && limit.rlim_max == 0 ? 0 : 3);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(hygiene_switches_core_dumps_off),
        cmocka_unit_test(the_leaf_that_is_served_is_reported),
        cmocka_unit_test(ipv6_addresses_work),
        cmocka_unit_test(a_refused_name_is_an_answer),
        cmocka_unit_test(everything_else_is_a_fault_of_the_network),
        cmocka_unit_test(time_is_bounded),
        cmocka_unit_test(nobody_at_home),
        cmocka_unit_test(odd_input_is_refused),
    };
    struct pst_err err = {0};

    (void)signal(SIGPIPE, SIG_DFL); /* the probe must not need it ignored */
    if (pst_crypto_init(false, &err) != PST_OK)
        return 1;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
