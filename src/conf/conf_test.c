/* conf_test.c - the table is sound; files are read strictly; documents come from the table. */
#include "pst_test.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <postern/buf.h>
#include <postern/conf.h>
#include <postern/io.h>
#include <postern/text.h>

#include "conf_internal.h"

static int parse(struct pst_conf **ret, const char *text, struct pst_err *err)
{
    return pst_conf_parse(ret, "t.conf", text, strlen(text), &pst_conf_posternd, err);
}

static void the_table_is_sound(void **st)
{
    (void)st;
    for (size_t i = 0; i < PST_CONF_ID__COUNT; i++) {
        const struct pst_conf_key *key = pst_conf_key((enum pst_conf_id)i);
        bool is_text = key->type == PST_CONF_TYPE_TEXT || key->type == PST_CONF_TYPE_LIST;

        /* section.key, or section.part.key */
        assert_true(strchr(key->key, '.') && key->key[0] != '.');
        assert_true(!strstr(key->key, "..") && !pst_str_ends(key->key, "."));
        assert_true(strlen(key->key) <= 48);
        assert_true(key->min <= key->max);
        assert_true(pst_str_ends(key->text, "."));
        assert_true(!is_text || pst_conf_form_known(key->form));
        for (size_t k = 0; k < i; k++) {
            const struct pst_conf_key *other = pst_conf_key((enum pst_conf_id)k);
            if (key->programs & other->programs)
                assert_string_not_equal(key->key, other->key);
        }
    }
    assert_false(pst_conf_form_known("no such form"));
}

static void defaults_are_there(void **st)
{
    auto_(pst_conf_free) struct pst_conf *c = NULL;
    auto_(pst_conf_free) struct pst_conf *e = NULL;
    struct pst_err err = {0};

    (void)st;
    assert_ok(pst_conf_new_default(&c, &pst_conf_posternd, &err), err);
    assert_string_equal(pst_conf_text(c, PST_CONF_DATABASE_URL),
                        "sqlite:/var/lib/postern/postern.db");
    assert_int_equal(pst_conf_list_n(c, PST_CONF_API_LISTEN), 1);
    assert_string_equal(pst_conf_list_at(c, PST_CONF_API_LISTEN, 0), "127.0.0.1:8080");
    assert_int_equal(pst_conf_int(c, PST_CONF_API_BODY_MAX), 262144);
    assert_int_equal(pst_conf_int(c, PST_CONF_API_TIMEOUT), 30);
    assert_int_equal(pst_conf_int(c, PST_CONF_ACME_ORDERS_PERIOD), 10800);
    assert_int_equal(pst_conf_int(c, PST_CONF_ACME_CERTS_PERIOD), 604800);
    assert_int_equal(pst_conf_int(c, PST_CONF_ACME_BACKOFF_MAX), 86400);
    assert_string_equal(pst_conf_text(c, PST_CONF_PLATFORM_DOMAIN), "");
    assert_int_equal(pst_conf_list_n(c, PST_CONF_EDGE_ADDRESSES), 0);
    assert_true(pst_conf_bool(c, PST_CONF_DNS_PROBE));
    assert_false(pst_conf_bool(c, PST_CONF_NAMES_ANY_TLD));
    assert_false(pst_conf_is_set(c, PST_CONF_DNS_PROBE));

    assert_ok(pst_conf_new_default(&e, &pst_conf_edged, &err), err);
    assert_true(pst_conf_int(e, PST_CONF_REPLICA_MAP_SIZE) == INT64_C(64) << 30);
    assert_string_equal(pst_conf_text(e, PST_CONF_LOG_FORMAT), "text");
}

static void reads_a_file(void **st)
{
    static const char text[] = "# first line\n"
                               "\n"
                               "   \t\n"
                               "database.url=postgresql://u:p#w@db/postern   # trailing\n"
                               "  api.listen = 127.0.0.1:1 , [::1]:2,unix:/run/p.sock\n"
                               "\tapi.timeout = 2 m\n"
                               "api.body_max = 128K\n"
                               "dns.probe = false\n"
                               "edge.addresses = 192.0.2.1,2001:db8::1\n"
                               "edge.addresses_no = 1\n";
    auto_(pst_conf_free) struct pst_conf *c = NULL;
    struct pst_err err = {0};

    (void)st;
    const char *last = strstr(text, "edge.addresses_no");
    assert_ok(pst_conf_parse(&c, "f", text, (size_t)(last - text), &pst_conf_posternd, &err), err);
    assert_string_equal(pst_conf_text(c, PST_CONF_DATABASE_URL), "postgresql://u:p#w@db/postern");
    assert_int_equal(pst_conf_list_n(c, PST_CONF_API_LISTEN), 3);
    assert_string_equal(pst_conf_list_at(c, PST_CONF_API_LISTEN, 1), "[::1]:2");
    assert_string_equal(pst_conf_list_at(c, PST_CONF_API_LISTEN, 2), "unix:/run/p.sock");
    assert_int_equal(pst_conf_int(c, PST_CONF_API_TIMEOUT), 120);
    assert_int_equal(pst_conf_int(c, PST_CONF_API_BODY_MAX), 131072);
    assert_false(pst_conf_bool(c, PST_CONF_DNS_PROBE));
    assert_true(pst_conf_is_set(c, PST_CONF_DNS_PROBE));
    assert_string_equal(pst_conf_list_at(c, PST_CONF_EDGE_ADDRESSES, 1), "2001:db8::1");

    auto_(pst_conf_free) struct pst_conf *d = NULL;
    assert_rc(parse(&d, text, &err), PST_ECONFIG, err);
    assert_null(d);
    assert_err_has(err, "t.conf:10: ");
    assert_err_has(err, "did you mean edge.addresses?");
}

static void the_last_line_needs_no_newline(void **st)
{
    auto_(pst_conf_free) struct pst_conf *c = NULL;
    struct pst_err err = {0};

    (void)st;
    assert_ok(parse(&c, "api.workers = 3", &err), err);
    assert_int_equal(pst_conf_int(c, PST_CONF_API_WORKERS), 3);
}

static void refuses_with_line_and_mend(void **st)
{
    static const struct {
        const char *text, *part;
    } rows[] = {
        {"\napi.workers 3\n", "t.conf:2: a line must be section.key = value"},
        {"= 3\n", "there is no setting"},
        {"api.wrokers = 3\n", "t.conf:1: there is no setting api.wrokers: did you mean "
                              "api.workers?"},
        {"totally.different_thing = 3\n", "see postern.conf(5)"},
        {"API.WORKERS = 3\n", "there is no setting"},
        {"replica.dir = /x\n", "is no setting of posternd, but of postern-edged"},
        {"api.workers = 1\napi.workers = 2\n", "t.conf:2: api.workers is given twice"},
        {"api.workers =\n", "api.workers: must be a whole number between 1 and 256 threads"},
        {"api.workers = 0\n", "between 1 and 256"},
        {"api.workers = 257\n", "between 1 and 256"},
        {"api.workers = 3x\n", "whole number"},
        {"api.workers = 0x3\n", "whole number"},
        {"api.workers = 3 3\n", "whole number"},
        {"api.workers = 99999999999999999999\n", "whole number"},
        {"api.workers = 8s\n", "whole number"},
        {"api.timeout = 1.5s\n", "such as 90s"},
        {"api.timeout = s\n", "such as 90s"},
        {"api.timeout = 30  s\n", "such as 90s"},
        {"api.timeout = 30 S\n", "such as 90s"},
        {"api.timeout = 2h\n", "between 1 and 3600 seconds"},
        {"api.timeout = 9223372036854775807d\n", "such as 90s"},
        {"api.body_max = 64k\n", "such as 64K"},
        {"api.body_max = 2M\n", "between 1024 and 1048576 bytes"},
        {"dns.probe = yes\n", "must be true or false"},
        {"dns.probe = True\n", "must be true or false"},
        {"database.url =\n", "must not be empty"},
        {"database.url = mysql://u:secretpw@h/d\n", "database.url: must be sqlite:"},
        {"database.url = sqlite:relative.db\n", "absolute path"},
        {"keys.master_file = master.key\n", "absolute path"},
        {"api.public_url = example.com\n", "begins with https://"},
        {"api.public_url = https://\n", "begins with https://"},
        {"api.public_url = https://a b\n", "begins with https://"},
        {"api.listen =\n", "must have 1 to 16 items"},
        {"api.listen = 127.0.0.1:1,,127.0.0.1:2\n", "remove a comma"},
        {"api.listen = 127.0.0.1:1,\n", "remove a comma"},
        {"api.listen = 127.0.0.1\n", "item \"127.0.0.1\": must be address:port"},
        {"api.listen = localhost:80\n", "must be address:port"},
        {"api.listen = ::1:80\n", "must be address:port"},
        {"api.listen = [127.0.0.1]:80\n", "must be address:port"},
        {"api.listen = 127.0.0.1:0\n", "must be address:port"},
        {"api.listen = 127.0.0.1:65536\n", "must be address:port"},
        {"api.listen = unix:run/x\n", "must be address:port"},
        {"platform.domain = Example.com\n", "a DNS name in lower case"},
        {"platform.domain = example.com.\n", "a DNS name in lower case"},
        {"platform.region = -x\n", "lower-case letters"},
        {"platform.region = a.b\n", "lower-case letters"},
        {"edge.addresses = 192.0.2.256\n", "an IP address"},
        {"upstream.allow = 10.0.0.1/8\n", "without bits behind its prefix"},
        {"upstream.allow = 10.0.0.0/33\n", "a network"},
        {"upstream.allow = 10.0.0.0/\n", "a network"},
        {"upstream.allow = 2001:db8::1/64\n", "a network"},
        {"dns.resolver = 192.0.2.1\n", "a host with a port"},
        {"dnsd.listen = unix:/run/dns\n", "an IP address with a port"},
        {"dnsd.listen = localhost:53\n", "an IP address with a port"},
        {"dnsd.caa = ;, CA one\n", "the name of a CA"},
        {"acme.contact = nobody\n", "a mail address"},
        {"acme.key_type = p512\n", "must be one of: p256 p384 rsa"},
        {"acme.key_type = p256 p384\n", "must be one of: p256 p384 rsa"},
        {"log.level = loud\n", "error, warn, info or debug"},
        {"log.format = xml\n", "must be one of: text json"},
        {"api.workers = 3\r\n", "Unix line ends"},
        {"api.workers = 3\x01\n", "control character"},
        {"# \xFF\n", "not UTF-8"},
    };

    (void)st;
    for (size_t i = 0; i < PST_ARRAY_N(rows); i++) {
        struct pst_conf *c = NULL;
        struct pst_err err = {0};

        assert_rc(parse(&c, rows[i].text, &err), PST_ECONFIG, err);
        assert_null(c);
        assert_err_has(err, rows[i].part);
        assert_null(strstr(err.text, "secretpw"));
        assert_int_equal(parse(&c, rows[i].text, NULL), PST_ECONFIG);
    }

    struct pst_conf *c = NULL;
    struct pst_err err = {0};
    static const char with_nul[] = "api.workers = 3\0\n";
    assert_rc(pst_conf_parse(&c, "t", with_nul, sizeof with_nul - 1, &pst_conf_posternd, &err),
              PST_ECONFIG, err);

    char line[9000];
    memset(line, '#', sizeof line - 1);
    line[sizeof line - 1] = '\0';
    assert_rc(parse(&c, line, &err), PST_ECONFIG, err);
    assert_err_has(err, "longer than");
}

static void accepts_each_form(void **st)
{
    static const struct {
        const char *key, *value;
    } rows[] = {
        {"upstream.allow", "10.0.0.0/8, 2001:db8::/32,192.0.2.1,0.0.0.0/0"},
        {"dns.resolver", "[2001:db8::1]:53"},
        {"dns.resolver", "localhost:5353"},
        {"dns.resolver", "dns.example:53"},
        {"acme.contact", "ops+acme@example.com"},
        {"acme.directory", "http://127.0.0.1:14000/dir"},
        {"platform.domain", "apps.example"},
        {"log.level", "warn,order=debug"},
        {"acme.orders_period", "1 d"},
        {"api.body_max", "1M"},
        {"edge.cname", ""},
    };
    auto_(pst_conf_free) struct pst_conf *c = NULL;
    struct pst_err err = {0};

    (void)st;
    assert_ok(pst_conf_new_default(&c, &pst_conf_posternd, &err), err);
    for (size_t i = 0; i < PST_ARRAY_N(rows); i++)
        assert_ok(pst_conf_set(c, rows[i].key, rows[i].value, &err), err);
    assert_int_equal(pst_conf_list_n(c, PST_CONF_UPSTREAM_ALLOW), 4);
    assert_string_equal(pst_conf_list_at(c, PST_CONF_UPSTREAM_ALLOW, 1), "2001:db8::/32");
    assert_string_equal(pst_conf_text(c, PST_CONF_DNS_RESOLVER), "dns.example:53");
}

static void a_failed_set_changes_nothing(void **st)
{
    auto_(pst_conf_free) struct pst_conf *c = NULL;
    struct pst_err err = {0};

    (void)st;
    assert_ok(pst_conf_new_default(&c, &pst_conf_posternd, &err), err);
    assert_ok(pst_conf_set(c, "api.workers", "5", &err), err);
    assert_rc(pst_conf_set(c, "api.workers", "500", &err), PST_ECONFIG, err);
    assert_rc(pst_conf_set(c, "api.worker", "6", &err), PST_ECONFIG, err);
    assert_rc(pst_conf_set(c, "acme.preferred_chain", "a\nb", &err), PST_ECONFIG, err);
    assert_int_equal(pst_conf_int(c, PST_CONF_API_WORKERS), 5);
    assert_ok(pst_conf_set(c, "api.workers", "7", &err), err); /* on the command line, the last */
    assert_int_equal(pst_conf_int(c, PST_CONF_API_WORKERS), 7);
}

static void tells_what_needs_a_restart(void **st)
{
    auto_(pst_conf_free) struct pst_conf *a = NULL;
    auto_(pst_conf_free) struct pst_conf *b = NULL;
    auto_buf struct pst_buf list = PST_BUF(256);
    struct pst_err err = {0};

    (void)st;
    assert_ok(parse(&a, "", &err), err);
    assert_ok(parse(&b, "api.workers = 9\nlog.level = debug\napi.listen = 127.0.0.1:8081\n", &err),
              err);
    pst_conf_restart_keys(a, b, &list);
    assert_string_equal(pst_buf_cstr(&list), "api.listen, api.workers");
    assert_false(pst_conf_same(a, b, PST_CONF_LOG_LEVEL));
    assert_true(pst_conf_same(a, b, PST_CONF_DNS_TIMEOUT));
    pst_buf_cut(&list, 0);
    pst_conf_restart_keys(a, a, &list);
    assert_int_equal(list.len, 0);
}

/* The sample with every setting taken into force must be the defaults. */
static void the_sample_can_be_read(void **st)
{
    const struct pst_conf_table *tables[] = {&pst_conf_posternd, &pst_conf_edged};

    (void)st;
    for (size_t t = 0; t < PST_ARRAY_N(tables); t++) {
        auto_(pst_conf_free) struct pst_conf *plain = NULL;
        auto_(pst_conf_free) struct pst_conf *c = NULL;
        auto_(pst_conf_free) struct pst_conf *sample = NULL;
        auto_buf struct pst_buf b = PST_BUF(1 << 16);
        struct pst_err err = {0};

        pst_conf_write_sample(tables[t], &b);
        assert_ok(pst_buf_check(&b, "sample", &err), err);
        assert_ok(pst_conf_parse(&sample, "s", b.data, b.len, tables[t], &err), err);
        for (char *s = b.data; (s = strchr(s, '#')); s++) {
            if (s[1] >= 'a' && s[1] <= 'z')
                *s = ' ';
        }
        assert_ok(pst_conf_parse(&c, "s", b.data, b.len, tables[t], &err), err);
        assert_ok(pst_conf_new_default(&plain, tables[t], &err), err);
        size_t n = 0;
        for (size_t i = 0; i < PST_CONF_ID__COUNT; i++) {
            if (!(pst_conf_key((enum pst_conf_id)i)->programs & tables[t]->bit))
                continue;
            assert_true(pst_conf_is_set(c, (enum pst_conf_id)i));
            assert_false(pst_conf_is_set(sample, (enum pst_conf_id)i));
            assert_true(pst_conf_same(c, plain, (enum pst_conf_id)i));
            n++;
        }
        assert_true(n > 10);
    }
}

static void the_manual_names_every_setting(void **st)
{
    auto_buf struct pst_buf b = PST_BUF(1 << 16);
    char item[96];

    (void)st;
    pst_conf_write_man(&pst_conf_edged, &b);
    for (size_t i = 0; i < PST_CONF_ID__COUNT; i++) {
        const struct pst_conf_key *key = pst_conf_key((enum pst_conf_id)i);

        snprintf(item, sizeof item, ".It Ic %s No =", key->key);
        assert_int_equal(strstr(b.data, item) != NULL, (key->programs & PST_CONF_EDGED) != 0);
    }
    assert_non_null(strstr(b.data, "Ar \"text | json\""));
    assert_non_null(strstr(b.data, "A change needs a restart."));
}

static void loads_from_disk(void **st)
{
    char folder[] = "/tmp/postern-conf-XXXXXX";
    char path[64];
    auto_(pst_conf_free) struct pst_conf *c = NULL;
    struct pst_err err = {0};

    (void)st;
    assert_non_null(mkdtemp(folder));
    snprintf(path, sizeof path, "%s/postern.conf", folder);
    assert_rc(pst_conf_load(&c, path, &pst_conf_edged, &err), PST_ECONFIG, err);
    assert_err_has(err, "there is no configuration file");
    assert_ok(pst_io_write_file(path, "edge.name = e1\n", 15, 0644, &err), err);
    assert_ok(pst_conf_load(&c, path, &pst_conf_edged, &err), err);
    assert_string_equal(pst_conf_text(c, PST_CONF_EDGE_NAME), "e1");

    auto_buf struct pst_buf large = PST_BUF(1 << 20);
    while (large.len <= 256 * 1024)
        pst_buf_str(&large, "#\n");
    assert_ok(pst_io_write_file(path, large.data, large.len, 0644, &err), err);
    struct pst_conf *none = NULL;
    assert_rc(pst_conf_load(&none, path, &pst_conf_edged, &err), PST_ECONFIG, err);
    assert_err_has(err, "larger than 256 KiB");
    assert_rc(pst_conf_load(&none, folder, &pst_conf_edged, &err), PST_ESYS, err);
    unlink(path);
    rmdir(folder);
}

static int parse_and_set(void)
{
    auto_(pst_conf_free) struct pst_conf *c = NULL;
    struct pst_err err = {0};

    int rc = parse(&c, "api.listen = 127.0.0.1:1,127.0.0.1:2\nplatform.domain = a.example\n", &err);
    return rc == PST_OK ? pst_conf_set(c, "upstream.allow", "10.0.0.0/8,10.1.0.0/16", &err) : rc;
}

static void survives_no_memory(void **st)
{
    int rc;

    (void)st;
    assert_survives_no_memory(rc, rc = parse_and_set());
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_table_is_sound),
        cmocka_unit_test(defaults_are_there),
        cmocka_unit_test(reads_a_file),
        cmocka_unit_test(the_last_line_needs_no_newline),
        cmocka_unit_test(refuses_with_line_and_mend),
        cmocka_unit_test(accepts_each_form),
        cmocka_unit_test(a_failed_set_changes_nothing),
        cmocka_unit_test(tells_what_needs_a_restart),
        cmocka_unit_test(the_sample_can_be_read),
        cmocka_unit_test(the_manual_names_every_setting),
        cmocka_unit_test(loads_from_disk),
        cmocka_unit_test(survives_no_memory),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
