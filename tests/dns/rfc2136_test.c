/*
 * rfc2136_test.c - dynamic updates to real name servers.
 *
 *     rfc2136_test knot|bind      exit status 77 (skipped) where the server is not installed
 */
#include <arpa/inet.h>
#include <setjmp.h>
#include <signal.h>
#include <spawn.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include <postern/base.h>
#include <postern/dns.h>
#include <postern/dnsmsg.h>
#include <postern/http.h>

#define NAME   "_acme-challenge.example.com"
#define A      "LoqXcYV8q5ONbJQxbmR7SCTNo3tiAXDfowyjxAjEuX0"
#define B      "9jg46WB3rR_AHD-EBXdN7cBkH1WOu0tA3M9fm21mqTI"
#define SECRET "YWNtZS1kbnMwMS10ZXN0LXZlY3Rvci1zZWNyZXQtMzI="
#define WRONG  "d3JvbmctZG5zMDEtdGVzdC12ZWN0b3Itc2VjcmV0LTM="

extern char **environ;

static const char zone_text[] =
    "$ORIGIN example.com.\n$TTL 300\n@ SOA ns.example.com. host.example.com. 1 3600 600 86400 5\n"
    "@ NS ns\nns A 127.0.0.1\n" NAME ". TXT \"neighbour of ours\"\nwww A 192.0.2.1\n";

static struct fixture {
    const char *kind;
    char dir[64];
    uint16_t port;
    pid_t pid;
    struct pst_gate *gate;
} fx;

static void write_file(const char *name, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));
static void write_file(const char *name, const char *fmt, ...)
{
    auto_(pst_free) char *path = pst_asprintf("%s/%s", fx.dir, name);
    auto_buf struct pst_buf b = PST_BUF(64 * 1024);
    va_list ap;

    va_start(ap, fmt);
    pst_buf_vprintf(&b, fmt, ap);
    va_end(ap);
    pst_require(pst_io_write_file(path, b.data, b.len, 0644, NULL) == PST_OK);
}

/* A port that is free for UDP and TCP; the server takes it a moment later. */
static uint16_t free_port(void)
{
    struct sockaddr_in sa = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof sa;
    auto_close int fd = socket(AF_INET, SOCK_STREAM, 0);

    pst_require(bind(fd, (struct sockaddr *)&sa, len) == 0 &&
                getsockname(fd, (struct sockaddr *)&sa, &len) == 0);
    return ntohs(sa.sin_port);
}

static void configure_knot(void)
{
    write_file("server.conf",
               "server:\n  listen: 127.0.0.1@%u\n  rundir: %s\n"
               "database:\n  storage: %s\n"
               "key:\n  - id: acme-key\n    algorithm: hmac-sha256\n    secret: " SECRET "\n"
               "  - id: key512\n    algorithm: hmac-sha512\n    secret: " SECRET "\n"
               "acl:\n  - id: up\n    key: [acme-key, key512]\n    action: update\n"
               "    update-owner: name\n    update-owner-match: equal\n"
               "    update-owner-name: [" NAME ".]\n"
               "template:\n  - id: default\n    storage: %s\n    file: %%s.zone\n"
               "    zonefile-sync: -1\n    journal-content: none\n"
               "zone:\n  - domain: example.com\n    acl: up\n",
               fx.port, fx.dir, fx.dir, fx.dir);
}

static void configure_bind(void)
{
    write_file(
        "server.conf",
        "options { directory \"%s\"; listen-on port %u { 127.0.0.1; }; listen-on-v6 { none; };"
        " recursion no; pid-file none; session-keyfile none; managed-keys-directory \"%s\";"
        " dnssec-validation no; };\n"
        "controls { };\n"
        "key acme-key { algorithm hmac-sha256; secret \"" SECRET "\"; };\n"
        "key key512 { algorithm hmac-sha512; secret \"" SECRET "\"; };\n"
        "zone \"example.com\" { type primary; file \"example.com.zone\"; update-policy {"
        " grant acme-key name " NAME ". TXT; grant key512 name " NAME ". TXT; }; };\n",
        fx.dir, fx.port, fx.dir);
}

static struct pst_dns_msg *ask_txt(void)
{
    struct pst_dns_server server = {.port = fx.port};
    struct pst_ask_opts opts = {.timeout_ms = 1000};
    struct pst_dns_msg *m = NULL;
    struct pst_err err;

    pst_require(pst_dns_ip_parse("127.0.0.1", &server.ip));
    return pst_ask(&server, NAME, PST_DNS_TXT, &opts, &m, &err) == PST_OK ? m : NULL;
}

/* False: there is no such server here. */
static bool start(void)
{
    bool knot = pst_streq(fx.kind, "knot");
    const char *program = knot ? "/usr/sbin/knotd" : "/usr/sbin/named";
    auto_(pst_free) char *conf = NULL;
    const char *knot_argv[] = {program, "-c", NULL, NULL};
    const char *bind_argv[] = {program, "-f", "-4", "-c", NULL, NULL};
    posix_spawn_file_actions_t quiet;

    if (access(program, X_OK) != 0)
        return false;
    snprintf(fx.dir, sizeof fx.dir, "/tmp/pst-rfc2136-XXXXXX");
    pst_require(mkdtemp(fx.dir) && chmod(fx.dir, 0777) == 0);
    fx.port = free_port();
    write_file("example.com.zone", "%s", zone_text);
    if (knot)
        configure_knot();
    else
        configure_bind();
    conf = pst_asprintf("%s/server.conf", fx.dir);
    knot_argv[2] = bind_argv[4] = conf;
    posix_spawn_file_actions_init(&quiet);
    posix_spawn_file_actions_addopen(&quiet, 1, "/dev/null", 1, 0);
    posix_spawn_file_actions_addopen(&quiet, 2, "/dev/null", 1, 0);
    pst_require(posix_spawn(&fx.pid, program, &quiet, NULL,
                            (char *const *)(knot ? knot_argv : bind_argv), environ) == 0);
    posix_spawn_file_actions_destroy(&quiet);
    for (int i = 0; i < 20; i++) {
        struct pst_dns_msg *m = ask_txt();
        bool up = m && m->answer_n > 0;

        pst_dns_msg_free(m);
        if (up)
            return true;
        usleep(200000);
    }
    fprintf(stderr, "%s does not answer\n", program);
    abort();
}

static void stop(void)
{
    const char *argv[] = {"rm", "-rf", fx.dir, NULL};
    pid_t rm;

    kill(fx.pid, SIGTERM);
    waitpid(fx.pid, NULL, 0);
    if (posix_spawnp(&rm, "rm", NULL, NULL, (char *const *)argv, environ) == 0)
        waitpid(rm, NULL, 0);
}

/* ---- the provider ---- */

struct account {
    const char *key, *secret, *algorithm, *zone;
    int64_t clock_off_s;
};

static struct account account;
static char nameserver[64];

static const char *get(void *arg, const char *name)
{
    const struct {
        const char *name;
        const char *value;
    } vars[] = {
        {"DNS_RFC2136_NAMESERVER", nameserver},
        {"DNS_RFC2136_TSIG_KEY", account.key ? account.key : "acme-key."},
        {"DNS_RFC2136_TSIG_SECRET", account.secret ? account.secret : SECRET},
        {"DNS_RFC2136_TSIG_ALGORITHM", account.algorithm},
        {"DNS_RFC2136_ZONE", account.zone},
    };
    for (size_t i = 0; i < PST_ARRAY_N(vars); i++) {
        if (pst_streq(vars[i].name, name))
            return vars[i].value;
    }
    return NULL;
}

static int64_t shifted_wall(const struct pst_clock *c)
{
    return pst_wall_ms(pst_clock_system()) + account.clock_off_s * 1000;
}

static int64_t real_mono(const struct pst_clock *c)
{
    return pst_mono_ms(pst_clock_system());
}

static const struct pst_clock shifted = {.wall_ms = shifted_wall, .mono_ms = real_mono};

static int try_new(struct account a, struct pst_dns_provider **ret, struct pst_dns_blame *blame,
                   struct pst_err *err)
{
    struct pst_dns_env env = {.gate = fx.gate, .clock = &shifted};
    struct pst_dns_settings s = {.provider = "rfc2136", .get = get};

    account = a;
    return pst_dns_provider_new(ret, &env, &s, blame, err);
}

static struct pst_dns_provider *make(struct account a)
{
    struct pst_dns_provider *p = NULL;
    struct pst_err err = {0};

    if (try_new(a, &p, NULL, &err) != PST_OK)
        fail_msg("%s", err.text);
    return p;
}
PST_CLEANUP(struct pst_dns_provider, pst_dns_provider_free);

static int change(struct pst_dns_provider *p, const char *fqdn, const char *value, bool remove,
                  struct pst_err *err)
{
    struct pst_dns_record r = {.fqdn = fqdn, .value = value};
    struct pst_dns_change c;
    return remove ? pst_dns_txt_remove(p, &r, &c, err) : pst_dns_txt_add(p, &r, &c, err);
}

static void expect(int rc, int wanted, const struct pst_err *err)
{
    if (rc != wanted)
        fail_msg("%s instead of %s: %s", pst_rc_name(rc), pst_rc_name(wanted), err->text);
}

static bool stands(const char *value)
{
    struct pst_dns_msg *m = ask_txt();
    bool found = false;

    assert_non_null(m);
    for (size_t i = 0; i < m->answer_n; i++) {
        auto_buf struct pst_buf text = PST_BUF(1024);
        found |= pst_dns_rr_txt(&m->answer[i], &text) && pst_streq(pst_buf_cstr(&text), value);
    }
    pst_dns_msg_free(m);
    return found;
}

/* ---- tests ---- */

static void test_add_and_remove(void **state)
{
    auto_(pst_dns_provider_free) struct pst_dns_provider *p = make((struct account){0});
    struct pst_err err = {0};

    expect(change(p, NAME, A, false, &err), PST_OK, &err);
    expect(change(p, NAME, A, false, &err), PST_OK, &err);
    expect(change(p, NAME, B, false, &err), PST_OK, &err);
    assert_string_equal(pst_dns_zone(p), "example.com");
    assert_true(stands(A) && stands(B) && stands("neighbour of ours"));
    expect(change(p, NAME, A, true, &err), PST_OK, &err);
    expect(change(p, NAME, A, true, &err), PST_OK, &err);
    assert_true(!stands(A) && stands(B) && stands("neighbour of ours"));
    expect(change(p, NAME, B, true, &err), PST_OK, &err);
    assert_true(!stands(B) && stands("neighbour of ours"));
}

static void test_check_writes_nothing(void **state)
{
    auto_(pst_dns_provider_free) struct pst_dns_provider *p = make((struct account){0});
    struct pst_dns_record r = {.fqdn = NAME};
    struct pst_err err = {0};

    expect(pst_dns_check(p, &r, &err), PST_OK, &err);
    assert_true(stands("neighbour of ours"));
}

static void test_other_algorithm(void **state)
{
    auto_(pst_dns_provider_free) struct pst_dns_provider *p = make(
        (struct account){.key = "key512", .algorithm = "HMAC-SHA512.", .zone = "example.com."});
    struct pst_err err = {0};

    expect(change(p, NAME, A, false, &err), PST_OK, &err);
    expect(change(p, NAME, A, true, &err), PST_OK, &err);
}

static void test_wrong_keys(void **state)
{
    static const struct {
        struct account account;
        const char *blamed;
    } cases[] = {
        {{.secret = WRONG}, "DNS_RFC2136_TSIG_SECRET"},
        {{.key = "no-such-key"}, "DNS_RFC2136_TSIG_KEY"},
        {{.algorithm = "hmac-sha384"}, "DNS_RFC2136_TSIG_KEY"},
    };
    for (size_t i = 0; i < PST_ARRAY_N(cases); i++) {
        auto_(pst_dns_provider_free) struct pst_dns_provider *p = make(cases[i].account);
        struct pst_dns_record r = {.fqdn = NAME};
        struct pst_err err = {0};

        expect(change(p, NAME, A, false, &err), PST_EREMOTE, &err);
        assert_false(pst_dns_transient(&err));
        assert_true(pst_dns_blame(p)->n > 0);
        assert_string_equal(pst_dns_blame(p)->variables[0], cases[i].blamed);
        assert_null(strstr(err.text, "d3Jvbmct"));
        expect(pst_dns_check(p, &r, &err), PST_EREMOTE, &err);
        assert_false(stands(A));
    }
}

/* The clocks differ by more than the fudge: the signed answer says by how much. */
static void test_wrong_time(void **state)
{
    static const int64_t offs[] = {-4000, 4000};

    for (size_t i = 0; i < PST_ARRAY_N(offs); i++) {
        auto_(pst_dns_provider_free) struct pst_dns_provider *p =
            make((struct account){.clock_off_s = offs[i]});
        struct pst_err err = {0};

        expect(change(p, NAME, A, false, &err), PST_OK, &err);
        assert_true(stands(A));
        expect(change(p, NAME, A, true, &err), PST_OK, &err);
    }
}

static void test_policy(void **state)
{
    auto_(pst_dns_provider_free) struct pst_dns_provider *p = make((struct account){0});
    struct pst_err err = {0};

    expect(change(p, "other.example.com", A, false, &err), PST_EREMOTE, &err);
    assert_false(pst_dns_transient(&err));
    expect(change(p, "_acme-challenge.example.org", A, false, &err), PST_EREMOTE, &err);
    assert_false(pst_dns_transient(&err));
    assert_string_equal(err.problem, "zone");
}

static void test_no_server(void **state)
{
    struct pst_err err = {0};

    snprintf(nameserver, sizeof nameserver, "127.0.0.1:%u", free_port());
    auto_(pst_dns_provider_free) struct pst_dns_provider *p =
        make((struct account){.zone = "example.com"});
    expect(change(p, NAME, A, false, &err), PST_ENET, &err);
    assert_true(pst_dns_transient(&err));
    snprintf(nameserver, sizeof nameserver, "127.0.0.1:%u", fx.port);
}

/* Addresses inside are not for tenants. */
static void test_gate(void **state)
{
    struct pst_gate *open = fx.gate, *strict = NULL;
    struct pst_err err = {0};

    assert_int_equal(pst_gate_new(&strict, NULL, 0, NULL), PST_OK);
    fx.gate = strict;
    auto_(pst_dns_provider_free) struct pst_dns_provider *p = make((struct account){0});
    fx.gate = open;
    expect(change(p, NAME, A, false, &err), PST_EREMOTE, &err);
    assert_false(pst_dns_transient(&err));
    assert_string_equal(err.problem, "gate");
    assert_string_equal(pst_dns_blame(p)->variables[0], "DNS_RFC2136_NAMESERVER");
    assert_false(stands(A));
    pst_gate_free(strict);
}

static void test_bad_variables(void **state)
{
    static const struct {
        struct account account;
        const char *server;
        const char *blamed;
    } cases[] = {
        {{.secret = "not base64!"}, NULL, "DNS_RFC2136_TSIG_SECRET"},
        {{.algorithm = "hmac-sha3"}, NULL, "DNS_RFC2136_TSIG_ALGORITHM"},
        {{.key = "a..b"}, NULL, "DNS_RFC2136_TSIG_KEY"},
        {{.zone = "."}, NULL, "DNS_RFC2136_ZONE"},
        {{0}, "host:99999", "DNS_RFC2136_NAMESERVER"},
        {{0}, "[::1", "DNS_RFC2136_NAMESERVER"},
        {{0}, "", "DNS_RFC2136_NAMESERVER"},
    };
    for (size_t i = 0; i < PST_ARRAY_N(cases); i++) {
        struct pst_dns_provider *p = NULL;
        struct pst_dns_blame blame = {0};
        struct pst_err err = {0};

        snprintf(nameserver, sizeof nameserver, "127.0.0.1:%u", fx.port);
        if (cases[i].server)
            pst_str_copy(nameserver, sizeof nameserver, cases[i].server);
        expect(try_new(cases[i].account, &p, &blame, &err), PST_REFUSED, &err);
        assert_int_equal(blame.n, 1);
        assert_string_equal(blame.variables[0], cases[i].blamed);
    }
    snprintf(nameserver, sizeof nameserver, "127.0.0.1:%u", fx.port);
}

int main(int argc, char **argv)
{
    static const char *const allow[] = {"127.0.0.0/8"};
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_add_and_remove),  cmocka_unit_test(test_check_writes_nothing),
        cmocka_unit_test(test_other_algorithm), cmocka_unit_test(test_wrong_keys),
        cmocka_unit_test(test_wrong_time),      cmocka_unit_test(test_policy),
        cmocka_unit_test(test_no_server),       cmocka_unit_test(test_gate),
        cmocka_unit_test(test_bad_variables),
    };
    if (argc != 2) {
        fputs("usage: rfc2136_test knot|bind\n", stderr);
        return 2;
    }
    fx.kind = argv[1];
    if (!start()) {
        printf("%s is not installed\n", fx.kind);
        return 77;
    }
    snprintf(nameserver, sizeof nameserver, "127.0.0.1:%u", fx.port);
    pst_require(pst_gate_new(&fx.gate, allow, 1, NULL) == PST_OK);
    int failed = cmocka_run_group_tests_name(fx.kind, tests, NULL, NULL);
    stop();
    pst_gate_free(fx.gate);
    return failed;
}
