/* gate_test.c - the table of networks, address by address. */
#include "pst_test.h"

#include <arpa/inet.h>
#include <netinet/in.h>

#include "http_internal.h"

static socklen_t make(const char *text, struct sockaddr_storage *to)
{
    struct sockaddr_in *v4 = (void *)to;
    struct sockaddr_in6 *v6 = (void *)to;

    memset(to, 0, sizeof *to);
    if (inet_pton(AF_INET, text, &v4->sin_addr) == 1) {
        v4->sin_family = AF_INET;
        return sizeof *v4;
    }
    assert_int_equal(inet_pton(AF_INET6, text, &v6->sin6_addr), 1);
    v6->sin6_family = AF_INET6;
    return sizeof *v6;
}

static bool allows(const struct pst_gate *g, const char *text, const char **ret_rule)
{
    struct sockaddr_storage sa;
    socklen_t len = make(text, &sa);

    return pst_gate_allows(g, (struct sockaddr *)&sa, len, ret_rule);
}

static const struct {
    const char *address;
    const char *rule; /* part of it; NULL: allowed */
} cases[] = {
    {"0.0.0.0", "unspecified"},
    {"0.1.2.3", "unspecified"},
    {"1.0.0.0", NULL},
    {"9.255.255.255", NULL},
    {"10.0.0.0", "private"},
    {"10.255.255.255", "private"},
    {"11.0.0.0", NULL},
    {"100.63.255.255", NULL},
    {"100.64.0.0", "CGNAT"},
    {"100.127.255.255", "CGNAT"},
    {"100.128.0.0", NULL},
    {"127.0.0.1", "loopback"},
    {"127.255.255.255", "loopback"},
    {"128.0.0.0", NULL},
    {"169.253.255.255", NULL},
    {"169.254.169.254", "link-local"},
    {"169.255.0.0", NULL},
    {"172.15.255.255", NULL},
    {"172.16.0.0", "private"},
    {"172.31.255.255", "private"},
    {"172.32.0.0", NULL},
    {"192.0.0.8", "assignments"},
    {"192.0.2.1", NULL}, /* documentation: harmless */
    {"192.167.255.255", NULL},
    {"192.168.0.0", "private"},
    {"192.168.255.255", "private"},
    {"192.169.0.0", NULL},
    {"192.88.99.1", "6to4"},
    {"198.17.255.255", NULL},
    {"198.18.0.0", "benchmark"},
    {"198.19.255.255", "benchmark"},
    {"198.20.0.0", NULL},
    {"198.51.100.7", NULL},
    {"223.255.255.255", NULL},
    {"224.0.0.1", "multicast"},
    {"239.255.255.255", "multicast"},
    {"240.0.0.1", "reserved"},
    {"255.255.255.255", "broadcast"},
    {"::", "unspecified"},
    {"::1", "loopback"},
    {"::7f00:1", "compatible"},
    {"::ffff:127.0.0.1", "mapped"},
    {"::ffff:8.8.8.8", "mapped"},
    {"::ffff:0:127.0.0.1", "translated"},
    {"64:ff9b::7f00:1", "NAT64"},
    {"64:ff9b:1::a00:1", "NAT64"},
    {"100::1", "discard"},
    {"2001::1", "Teredo"},
    {"2001:1ff::1", "Teredo"},
    {"2001:200::1", NULL},
    {"2001:db8::1", NULL},
    {"2001:4860:4860::8888", NULL},
    {"2002:7f00:1::", "6to4"},
    {"2003::1", NULL},
    {"2a00:1450::1", NULL},
    {"fbff::1", NULL},
    {"fc00::1", "unique local"},
    {"fdff:ffff::1", "unique local"},
    {"fe7f::1", NULL},
    {"fe80::1", "link-local"},
    {"febf::1", "link-local"},
    {"fec0::1", "site-local"},
    {"feff::1", "site-local"},
    {"ff02::1", "multicast"},
    {"ffff::1", "multicast"},
};

static void test_table(void **state)
{
    struct pst_err err;
    struct pst_gate *g = NULL;

    assert_ok(pst_gate_new(&g, NULL, 0, &err), err);
    for (size_t i = 0; i < PST_ARRAY_N(cases); i++) {
        const char *rule = NULL;
        bool ok = allows(g, cases[i].address, &rule);
        if (ok != !cases[i].rule)
            fail_msg("%s is %s", cases[i].address, ok ? "allowed" : rule);
        if (!ok && !strstr(rule, cases[i].rule))
            fail_msg("%s: %s", cases[i].address, rule);
    }
    pst_gate_free(g);
}

static void test_other_families(void **state)
{
    struct pst_err err;
    struct pst_gate *g = NULL;
    struct sockaddr sa = {.sa_family = AF_UNIX};
    struct sockaddr_storage v4;

    assert_ok(pst_gate_new(&g, NULL, 0, &err), err);
    assert_false(pst_gate_allows(g, &sa, sizeof sa, NULL));
    make("8.8.8.8", &v4);
    assert_false(pst_gate_allows(g, (struct sockaddr *)&v4, 1, NULL)); /* cut short */
    assert_false(pst_gate_allows(g, (struct sockaddr *)&v4, 4, NULL));
    pst_gate_free(g);
}

static void test_allow_list(void **state)
{
    static const char *const allow[] = {"127.0.0.0/8", "::1", "10.1.2.0/23", "fd00::/15"};
    struct pst_err err;
    struct pst_gate *g = NULL;

    assert_ok(pst_gate_new(&g, allow, PST_ARRAY_N(allow), &err), err);
    assert_true(allows(g, "127.8.9.1", NULL));
    assert_true(allows(g, "::1", NULL));
    assert_true(allows(g, "10.1.2.255", NULL));
    assert_true(allows(g, "10.1.3.255", NULL));
    assert_true(allows(g, "fd01::1", NULL));
    assert_true(allows(g, "8.8.8.8", NULL));
    assert_false(allows(g, "10.1.4.0", NULL));
    assert_false(allows(g, "10.1.1.255", NULL));
    assert_false(allows(g, "::", NULL));
    assert_false(allows(g, "fd02::1", NULL));
    assert_false(allows(g, "::ffff:127.0.0.1", NULL)); /* not opened by the IPv4 entry */
    pst_gate_free(g);
}

static void test_allow_everything(void **state)
{
    static const char *const allow[] = {"0.0.0.0/0", "::/0"};
    struct pst_err err;
    struct pst_gate *g = NULL;

    assert_ok(pst_gate_new(&g, allow, 2, &err), err);
    assert_true(allows(g, "127.0.0.1", NULL));
    assert_true(allows(g, "::ffff:10.0.0.1", NULL));
    pst_gate_free(g);
}

static void test_bad_networks(void **state)
{
    static const char *const bad[] = {
        "",          "localhost", "127.0.0.1/33", "127.0.0.1/8", "::1/129", "10.0.0.0/-1",
        "10.0.0.0/", "10.0.0/8",  "10.0.0.0/8 ",  "fe80::%1/64", "::1/0"};

    for (size_t i = 0; i < PST_ARRAY_N(bad); i++) {
        struct pst_err err = {0};
        struct pst_gate *g = NULL;
        assert_rc(pst_gate_new(&g, &bad[i], 1, &err), PST_ECONFIG, err);
        assert_null(g);
        assert_err_has(err, bad[i]);
    }
}

static void test_no_memory(void **state)
{
    static const char *const allow[] = {"127.0.0.0/8"};
    struct pst_err err;
    struct pst_gate *g = NULL;
    int rc;

    assert_survives_no_memory(rc, rc = pst_gate_new(&g, allow, 1, &err));
    pst_gate_free(g);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_table),        cmocka_unit_test(test_other_families),
        cmocka_unit_test(test_allow_list),   cmocka_unit_test(test_allow_everything),
        cmocka_unit_test(test_bad_networks), cmocka_unit_test(test_no_memory),
    };
    return cmocka_run_group_tests_name("http_gate", tests, NULL, NULL);
}
