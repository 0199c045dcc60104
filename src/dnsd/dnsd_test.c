/* dnsd_test.c - the server itself on loopback: values that come and go, UDP, TCP, limits. */
#include "pst_test.h"

#include "pst_test_db.h"

#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <pthread.h>

#include <postern/answers.h>
#include <postern/metric.h>
#include <postern/store.h>

#include "dnsd_internal.h"

enum { HOUR_MS = 3600 * 1000, WAIT_MS = 10 * 1000, TCP_TIMEOUT_S = 1, TCP_MAX = 16 };

struct fixture {
    struct pst_test_place place;
    struct pst_store *store;
    struct pst_dnsd *d;
    struct pst_err err;
    struct sockaddr_in at;
    char address[32];
};

/* A port that is free for UDP and TCP just now. */
static uint16_t free_port(void)
{
    for (;;) {
        struct sockaddr_in sa = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
        socklen_t len = sizeof sa;
        auto_close int tcp = socket(AF_INET, SOCK_STREAM, 0);
        auto_close int udp = socket(AF_INET, SOCK_DGRAM, 0);
        if (bind(tcp, (struct sockaddr *)&sa, len) == 0 &&
            getsockname(tcp, (struct sockaddr *)&sa, &len) == 0 &&
            bind(udp, (struct sockaddr *)&sa, len) == 0)
            return ntohs(sa.sin_port);
    }
}

static void told(void *arg)
{
    struct fixture *f = arg;
    if (f->d)
        pst_dnsd_changed(f->d);
}

static int set_up(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);
    static const struct pst_store_opts base = {.node = "node/boot1", .create = true};
    struct pst_store_opts o = base;

    if (!f || !pst_test_place_make(&f->place, "C"))
        return -1;
    o.url = f->place.url;
    o.clock = pst_clock_system();
    o.rand = pst_rand_system();
    assert_ok(pst_store_open(&f->store, &o, &f->err), f->err);
    pst_store_on_answers(f->store, told, f);
    *state = f;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *f = *state;
    pst_dnsd_stop(f->d);
    pst_store_close(f->store);
    pst_test_place_remove(&f->place);
    free(f);
    return 0;
}

static struct pst_dnsd_opts options(struct fixture *f)
{
    static const char *const ns[] = {"ns1.example.net"};
    static const char *listen[1];
    uint16_t port = free_port();

    snprintf(f->address, sizeof f->address, "127.0.0.1:%u", port);
    f->at = (struct sockaddr_in){
        .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    listen[0] = f->address;
    return (struct pst_dnsd_opts){
        .zone = {.name = "acme.example.net", .ns = ns, .ns_n = 1, .ttl_s = 5, .negative_ttl_s = 1},
        .store = f->store,
        .clock = pst_clock_system(),
        .rand = pst_rand_system(),
        .listen = listen,
        .listen_n = 1,
        .threads = 1,
        .tcp_connections = TCP_MAX,
        .tcp_timeout_s = TCP_TIMEOUT_S,
    };
}

static void start(struct fixture *f, const struct pst_dnsd_opts *o)
{
    assert_ok(pst_dnsd_start(&f->d, o, &f->err), f->err);
}

static void start_plain(struct fixture *f)
{
    struct pst_dnsd_opts o = options(f);
    start(f, &o);
}

/* ---- values ---- */

struct value {
    const char *label, *value;
    int64_t in_ms; /* 0: remove it */
};

static int change_tx(struct pst_tx *tx, void *arg, struct pst_err *err)
{
    const struct value *v = arg;

    if (!v->in_ms)
        return pst_dns_answer_delete(tx, v->label, v->value, err);
    return pst_dns_answer_put(tx, v->label, v->value, pst_wall_ms(pst_clock_system()) + v->in_ms,
                              err);
}

static void change(struct fixture *f, const char *label, const char *value, int64_t in_ms)
{
    struct value v = {label, value, in_ms};
    assert_ok(pst_store_write(f->store, change_tx, &v, NULL, &f->err), f->err);
}

/* The values of a label by UDP, "one two "; NULL without an answer. */
static const char *ask(struct fixture *f, const char *label)
{
    static char text[512];
    struct pst_dns_server server;
    struct pst_ask_opts o = {.timeout_ms = WAIT_MS};
    auto_(pst_dns_msg_free) struct pst_dns_msg *m = NULL;
    char name[128];

    assert_ok(pst_dns_server_parse(f->address, &server, &f->err), f->err);
    snprintf(name, sizeof name, "%s.acme.example.net", label);
    if (pst_ask(&server, name, PST_DNS_TXT, &o, &m, &f->err) != PST_OK)
        return NULL;
    text[0] = '\0';
    for (size_t i = 0; i < m->answer_n; i++) {
        auto_buf struct pst_buf b = PST_BUF(300);
        size_t at = strlen(text);
        assert_true(pst_dns_rr_txt(&m->answer[i], &b));
        snprintf(text + at, sizeof text - at, "%s ", pst_buf_cstr(&b));
    }
    return text;
}

/* How long it takes until a label has these values. */
static int64_t until(struct fixture *f, const char *label, const char *wanted)
{
    int64_t begun = pst_mono_ms(pst_clock_system());

    for (;;) {
        const char *got = ask(f, label);
        int64_t took = pst_mono_ms(pst_clock_system()) - begun;
        assert_non_null(got);
        if (pst_streq(got, wanted))
            return took;
        if (took > WAIT_MS)
            fail_msg("%s is \"%s\", not \"%s\"", label, got, wanted);
        usleep(500);
    }
}

static void what_is_there_is_served_when_start_returns(void **state)
{
    struct fixture *f = *state;

    change(f, "a", "before", HOUR_MS);
    start_plain(f);
    assert_string_equal(ask(f, "a"), "before ");
    assert_string_equal(ask(f, "b"), "");
}

static void what_is_committed_here_is_served_at_once(void **state)
{
    struct fixture *f = *state;
    int64_t sum = 0;
    char value[16];

    start_plain(f);
    for (int i = 0; i < 20; i++) {
        char wanted[32];
        snprintf(value, sizeof value, "v%d", i);
        snprintf(wanted, sizeof wanted, "%s ", value);
        change(f, "a", value, HOUR_MS);
        sum += until(f, "a", wanted);
        change(f, "a", value, 0);
        sum += until(f, "a", "");
    }
    /* Without being told it would be half of PST_DNSD_LOOK_MS each time. */
    print_message("40 changes took %lld ms\n", (long long)sum);
    assert_true(sum < 40 * PST_DNSD_LOOK_MS / 4);
}

static void what_another_node_commits_is_served_within_a_quarter_second(void **state)
{
    struct fixture *f = *state;

    start_plain(f);
    pst_store_on_answers(f->store, told, &(struct fixture){0}); /* nobody tells us */
    for (int i = 0; i < 5; i++) {
        change(f, "a", "x", HOUR_MS);
        assert_true(until(f, "a", "x ") <= 250);
        change(f, "a", "x", 0);
        assert_true(until(f, "a", "") <= 250);
    }
    pst_store_on_answers(f->store, told, f);
}

static void values_end_at_their_time(void **state)
{
    struct fixture *f = *state;

    start_plain(f);
    change(f, "a", "short", 400);
    change(f, "a", "stays", HOUR_MS);
    until(f, "a", "short stays ");
    assert_true(until(f, "a", "stays ") < 2000);
}

struct load {
    struct fixture *f;
    _Atomic bool stop;
    _Atomic long asked;
};

static void *ask_all_the_time(void *arg)
{
    struct load *l = arg;

    while (!l->stop) {
        uint8_t query[PST_DNS_QUERY_MAX], answer[2048];
        struct pst_dns_question q = {.name = "a.acme.example.net", .type = PST_DNS_TXT};
        auto_close int fd = socket(AF_INET, SOCK_DGRAM, 0);
        size_t len = pst_dns_query(query, &q);
        struct pollfd p = {.fd = fd, .events = POLLIN};

        if (connect(fd, (struct sockaddr *)&l->f->at, sizeof l->f->at) == 0 &&
            send(fd, query, len, 0) > 0 && poll(&p, 1, 1000) == 1 &&
            recv(fd, answer, sizeof answer, 0) > 12)
            l->asked++;
    }
    return NULL;
}

static void tables_change_while_they_are_read(void **state)
{
    struct fixture *f = *state;
    struct pst_dnsd_opts o = options(f);
    struct load load = {.f = f};
    pthread_t askers[2];

    o.threads = 3;
    start(f, &o);
    for (size_t i = 0; i < 2; i++)
        assert_int_equal(pthread_create(&askers[i], NULL, ask_all_the_time, &load), 0);
    for (int i = 0; i < 200; i++)
        change(f, "a", i % 2 ? "x" : "y", i % 4 < 2 ? HOUR_MS : 0);
    load.stop = true;
    for (size_t i = 0; i < 2; i++)
        pthread_join(askers[i], NULL);
    assert_true(load.asked > 100);
    until(f, "a", "");
}

/* ---- start ---- */

static void an_address_that_is_taken_is_said_so(void **state)
{
    struct fixture *f = *state;
    struct pst_dnsd_opts o = options(f);
    struct pst_dnsd *second = NULL;
    static const char *const elsewhere[] = {"192.0.2.1:15353"}, *const none[] = {"localhost"};

    start(f, &o);
    assert_rc(pst_dnsd_start(&second, &o, &f->err), PST_ECONFIG, f->err);
    assert_err_has(f->err, "dnsd.listen: 127.0.0.1:");
    assert_err_has(f->err, "another server answers there");
    o.listen = elsewhere;
    assert_rc(pst_dnsd_start(&second, &o, &f->err), PST_ECONFIG, f->err);
    assert_err_has(f->err, "no interface of this machine has that address");
    o.listen = none;
    assert_rc(pst_dnsd_start(&second, &o, &f->err), PST_ECONFIG, f->err);
    assert_err_has(f->err, "dnsd.listen");
    o.listen_n = 0;
    assert_rc(pst_dnsd_start(&second, &o, &f->err), PST_ECONFIG, f->err);
    assert_null(second);
}

/* ---- the limit ---- */

static void a_flood_is_limited_and_told_to_use_tcp(void **state)
{
    struct fixture *f = *state;
    struct pst_dnsd_opts o = options(f);
    uint8_t query[PST_DNS_QUERY_MAX], answer[2048];
    struct pst_dns_question q = {.name = "a.acme.example.net", .type = PST_DNS_TXT};
    int whole = 0, cut = 0;

    o.rate_limit = 20;
    o.rate_slip = 4;
    change(f, "a", "x", HOUR_MS);
    start(f, &o);
    size_t len = pst_dns_query(query, &q);
    auto_close int fd = socket(AF_INET, SOCK_DGRAM, 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&f->at, sizeof f->at), 0);
    for (int i = 0; i < 200; i++) {
        struct pollfd p = {.fd = fd, .events = POLLIN};
        assert_true(send(fd, query, len, 0) > 0);
        while (poll(&p, 1, i == 199 ? 200 : 1) == 1) {
            assert_true(recv(fd, answer, sizeof answer, 0) > 12);
            *(answer[2] & 2 ? &cut : &whole) += 1;
        }
    }
    print_message("of 200: %d answered, %d cut\n", whole, cut);
    /* 20 at first and what a second or so brings; a quarter of the rest. */
    assert_in_range(whole, 20, 60);
    assert_in_range(cut, 30, 46);
    assert_true(pst_streq(ask(f, "a"), "x ")); /* by TCP, after the advice */
}

static void networks_have_limits_of_their_own(void **state)
{
    struct fixture *f = *state;
    struct sockaddr_in a = {.sin_family = AF_INET};
    struct sockaddr_in6 b = {.sin6_family = AF_INET6};
    struct pst_dns_rate *r = NULL;
    int passed[4] = {0};

    assert_ok(pst_dns_rate_new(&r, 10, 0, pst_rand_system(), &f->err), f->err);
    inet_pton(AF_INET6, "2001:db8:1:ff00::1", &b.sin6_addr);
    for (int i = 0; i < 100; i++) {
        struct sockaddr *from[] = {(struct sockaddr *)&a, (struct sockaddr *)&a,
                                   (struct sockaddr *)&b, (struct sockaddr *)&b};
        for (int k = 0; k < 4; k++) {
            a.sin_addr.s_addr = htonl(k == 0 ? 0xc0000200u + (unsigned)i : 0xc6336400u);
            b.sin6_addr.s6_addr[6] = k == 2 ? 1 : 0;
            b.sin6_addr.s6_addr[7] = (uint8_t)i;
            passed[k] += pst_dns_rate_judge(r, from[k], 5000) == PST_DNS_RATE_PASS;
        }
    }
    for (int k = 0; k < 4; k++)
        assert_int_equal(passed[k], 10);
    /* It fills again evenly. */
    for (int i = 0, n = 0; i < 10; i++) {
        n += pst_dns_rate_judge(r, (struct sockaddr *)&a, 5300) == PST_DNS_RATE_PASS;
        if (i == 9)
            assert_int_equal(n, 3);
    }
    pst_dns_rate_free(r);
    assert_ok(pst_dns_rate_new(&r, 0, 0, pst_rand_system(), &f->err), f->err);
    for (int i = 0; i < 1000; i++)
        assert_int_equal(pst_dns_rate_judge(r, (struct sockaddr *)&a, 1), PST_DNS_RATE_PASS);
    pst_dns_rate_free(r);
}

/* ---- TCP ---- */

static int dial(struct fixture *f)
{
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    struct timeval wait = {.tv_sec = WAIT_MS / 1000};

    assert_int_equal(connect(fd, (struct sockaddr *)&f->at, sizeof f->at), 0);
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof wait);
    return fd;
}

/* A question with its length in front. */
static size_t framed(uint8_t *to, const char *name, uint16_t id)
{
    struct pst_dns_question q = {.name = name, .type = PST_DNS_TXT, .id = id};
    uint8_t query[PST_DNS_QUERY_MAX];
    size_t len = pst_dns_query(query, &q);

    memcpy(pst_dns_put16(to, (uint16_t)len), query, len);
    return 2 + len;
}

/* The next answer's id, -1 at the end of the connection. */
static int next_answer(int fd, uint8_t *to, size_t size)
{
    uint8_t head[2];
    struct pst_err err;
    size_t n = 0;

    if (pst_io_read_full(fd, head, 2, &n, &err) != PST_OK || n < 2)
        return -1;
    size_t len = head[0] * 256u + head[1];
    assert_true(len >= 12 && len <= size);
    if (pst_io_read_full(fd, to, len, &n, &err) != PST_OK)
        return -1; /* broken off in the middle */
    return n == len ? to[0] * 256 + to[1] : -1;
}

static bool ended(int fd)
{
    uint8_t byte;
    return recv(fd, &byte, 1, 0) <= 0 && errno != EAGAIN;
}

static void many_questions_on_one_connection(void **state)
{
    struct fixture *f = *state;
    uint8_t out[50 * 64], in[PST_DNS_REPLY_TCP_MAX];
    size_t len = 0;

    change(f, "a", "x", HOUR_MS);
    start_plain(f);
    auto_close int fd = dial(f);
    for (int i = 0; i < 50; i++)
        len += framed(out + len, "a.acme.example.net", (uint16_t)i);
    /* In pieces that fit no border, and the end of what we send at once after them. */
    for (size_t at = 0; at < len; at += 77)
        assert_true(send(fd, out + at, len - at < 77 ? len - at : 77, 0) > 0);
    shutdown(fd, SHUT_WR);
    for (int i = 0; i < 50; i++)
        assert_int_equal(next_answer(fd, in, sizeof in), i);
    assert_int_equal(next_answer(fd, in, sizeof in), -1);
}

static void a_reader_that_is_slow_gets_all_and_one_that_does_not_read_is_left(void **state)
{
    struct fixture *f = *state;
    uint8_t out[64], in[PST_DNS_REPLY_TCP_MAX];
    char value[250];
    int small = 1024, medium = 64 * 1024, sent = 0;

    memset(value, 'v', sizeof value);
    value[249] = '\0';
    for (int i = 0; i < PST_DNS_VALUES_MAX; i++) {
        value[0] = (char)('0' + i);
        change(f, "big", value, HOUR_MS);
    }
    start_plain(f);
    auto_close int fd = dial(f);
    setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &medium, sizeof medium);
    size_t len = framed(out, "big.acme.example.net", 7);
    for (; sent < 500 && send(fd, out, len, MSG_DONTWAIT) == (ssize_t)len; sent++)
        ;
    usleep(200 * 1000); /* it cannot send now */
    for (int i = 0; i < 20; i++)
        assert_int_equal(next_answer(fd, in, sizeof in), 7);

    auto_close int silent = dial(f);
    setsockopt(silent, SOL_SOCKET, SO_RCVBUF, &small, sizeof small);
    for (int i = 0; i < 2000 && send(silent, out, len, MSG_DONTWAIT | MSG_NOSIGNAL) > 0; i++)
        ;
    usleep((TCP_TIMEOUT_S * 1000 + 500) * 1000);
    int answers = 0;
    while (next_answer(silent, in, sizeof in) == 7)
        answers++;
    print_message("%d questions sent, %d answers to who did not read\n", sent, answers);
    assert_true(answers < 2000);
}

static void who_says_nothing_or_nonsense_is_left(void **state)
{
    struct fixture *f = *state;
    uint8_t out[64];

    start_plain(f);
    size_t len = framed(out, "a.acme.example.net", 1);
    auto_close int silent = dial(f);
    auto_close int half = dial(f);
    assert_true(send(half, out, len - 1, 0) > 0);
    auto_close int large = dial(f);
    assert_true(send(large, "\xff\xff", 2, 0) > 0);
    auto_close int answer = dial(f);
    out[4] |= 0x80;
    assert_true(send(answer, out, len, 0) > 0);
    auto_close int tiny = dial(f);
    assert_true(send(tiny, "\0\0", 2, 0) > 0);
    int64_t begun = pst_mono_ms(pst_clock_system());
    assert_true(ended(large) && ended(answer) && ended(tiny));
    assert_true(pst_mono_ms(pst_clock_system()) - begun < TCP_TIMEOUT_S * 1000);
    assert_true(ended(silent) && ended(half));
    assert_in_range(pst_mono_ms(pst_clock_system()) - begun, TCP_TIMEOUT_S * 1000 - 100, 5000);
}

static void connections_are_bounded_by_network(void **state)
{
    struct fixture *f = *state;
    struct pst_dnsd_opts o = options(f);
    uint8_t out[64], in[PST_DNS_REPLY_TCP_MAX];
    int fds[4], open_n = 0;

    o.tcp_connections = 16; /* two for each network */
    o.tcp_timeout_s = 60;
    start(f, &o);
    size_t len = framed(out, "a.acme.example.net", 9);
    for (size_t i = 0; i < PST_ARRAY_N(fds); i++)
        fds[i] = dial(f);
    for (size_t i = 0; i < PST_ARRAY_N(fds); i++) {
        (void)send(fds[i], out, len, MSG_NOSIGNAL);
        open_n += next_answer(fds[i], in, sizeof in) == 9;
        close(fds[i]);
    }
    assert_int_equal(open_n, 2);
}

static void the_one_that_is_idle_longest_makes_room(void **state)
{
    struct fixture *f = *state;
    struct pst_dnsd_opts o = options(f);
    uint8_t out[64], in[PST_DNS_REPLY_TCP_MAX];

    o.tcp_connections = 1;
    o.tcp_timeout_s = 60;
    start(f, &o);
    size_t len = framed(out, "a.acme.example.net", 9);
    auto_close int first = dial(f);
    assert_true(send(first, out, len, 0) > 0);
    assert_int_equal(next_answer(first, in, sizeof in), 9);
    /* From another network: the first one's has its one connection. */
    auto_close int second = socket(AF_INET, SOCK_STREAM, 0);
    struct sockaddr_in own = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(0x7f010101)};
    struct timeval wait = {.tv_sec = WAIT_MS / 1000};
    setsockopt(second, SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof wait);
    assert_int_equal(bind(second, (struct sockaddr *)&own, sizeof own), 0);
    assert_int_equal(connect(second, (struct sockaddr *)&f->at, sizeof f->at), 0);
    assert_true(send(second, out, len, 0) > 0);
    assert_int_equal(next_answer(second, in, sizeof in), 9);
    assert_true(ended(first));
}

/* ---- figures ---- */

struct seen {
    const char *label;
    int64_t n;
};

static int see(const char *label, int64_t n, void *arg)
{
    struct seen *s = arg;
    if (pst_streq(label, s->label))
        s->n = n;
    return 0;
}

static int64_t counted(const char *name, const char *label)
{
    struct seen s = {.label = label};
    pst_metric_each(name, see, &s);
    return s.n;
}

static void answers_are_counted(void **state)
{
    struct fixture *f = *state;
    int64_t before = counted("dns_answers", "nodata");

    start_plain(f);
    for (int i = 0; i < 10; i++)
        assert_string_equal(ask(f, "a"), "");
    for (int i = 0; i < 100 && counted("dns_answers", "nodata") < before + 10; i++)
        usleep(50 * 1000);
    assert_int_equal(counted("dns_answers", "nodata"), before + 10);
    assert_true(counted("dns_questions", "udp") >= 10);
}

#define T(fn) cmocka_unit_test_setup_teardown(fn, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(what_is_there_is_served_when_start_returns),
        T(what_is_committed_here_is_served_at_once),
        T(what_another_node_commits_is_served_within_a_quarter_second),
        T(values_end_at_their_time),
        T(tables_change_while_they_are_read),
        T(an_address_that_is_taken_is_said_so),
        T(a_flood_is_limited_and_told_to_use_tcp),
        T(networks_have_limits_of_their_own),
        T(many_questions_on_one_connection),
        T(a_reader_that_is_slow_gets_all_and_one_that_does_not_read_is_left),
        T(who_says_nothing_or_nonsense_is_left),
        T(connections_are_bounded_by_network),
        T(the_one_that_is_idle_longest_makes_room),
        T(answers_are_counted),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
