/* cli_test.c - what needs no server: the command line, tables, texts, stored logins. */
#include "pst_test.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cli_internal.h"

/* ---- the command line ---- */

static int parse(struct cli *c, const char *line)
{
    static char text[512];
    static char *argv[32];
    int argc = 0;

    *c = (struct cli){0};
    pst_str_copy(text, sizeof text, line);
    for (char *s = text; *s;) {
        argv[argc++] = s;
        s += strcspn(s, " ");
        if (*s)
            *s++ = '\0';
    }
    fflush(stderr);
    return cli_parse(c, argc, argv);
}

static void flags_stand_anywhere(void **state)
{
    struct cli c;

    (void)state;
    assert_int_equal(parse(&c, "postern -a my-app domains-add --no-letsencrypt w.example.com"), 0);
    assert_string_equal(c.command->name, "domains-add");
    assert_string_equal(c.app, "my-app");
    assert_non_null(c.flags[FLAG_NO_LETSENCRYPT]);
    assert_string_equal(c.args[0], "w.example.com");
    assert_int_equal(parse(&c, "postern domains-add w.example.com --app=my-app --wait"), 0);
    assert_string_equal(c.app, "my-app");
    assert_int_equal(parse(&c, "postern --region osc-fr1 apps --json"), 0);
    assert_true(c.json);
    assert_int_equal(parse(&c, "postern destroy --force -- -odd"), 0);
    assert_string_equal(c.args[0], "-odd");
}

static void wrong_lines_are_usage_errors(void **state)
{
    static const char *const wrong[] = {
        "postern",
        "postern nothing",
        "postern domains",
        "postern --app",
        "postern apps --force",
        "postern apps extra",
        "postern create",
        "postern create a b",
        "postern apps --json=yes",
        "postern apps --unknown",
        "postern -x apps",
        "postern --ap x domains",
        "postern --application x domains",
        "postern completion",
    };
    struct cli c;

    (void)state;
    unsetenv("POSTERN_APP");
    for (size_t i = 0; i < PST_ARRAY_N(wrong); i++)
        if (parse(&c, wrong[i]) != PST_EXIT_USAGE)
            fail_msg("accepted: %s", wrong[i]);
}

static void the_environment_gives_defaults(void **state)
{
    struct cli c;

    (void)state;
    setenv("POSTERN_APP", "env-app", 1);
    assert_int_equal(parse(&c, "postern domains"), 0);
    assert_string_equal(c.app, "env-app");
    assert_int_equal(parse(&c, "postern domains -a mine"), 0);
    assert_string_equal(c.app, "mine");
    setenv("POSTERN_APP", "", 1);
    assert_int_equal(parse(&c, "postern domains"), PST_EXIT_USAGE);
    unsetenv("POSTERN_APP");
}

static void the_tables_are_complete(void **state)
{
    (void)state;
    for (int i = 0; i < FLAG__COUNT; i++)
        assert_true(cli_flags[i].name && cli_flags[i].text);
    for (size_t i = 0; i < cli_commands_n; i++) {
        const struct cli_command *c = &cli_commands[i];
        assert_ptr_equal(cli_command_find(c->name), c); /* no name twice */
        assert_true(c->run && c->text[strlen(c->text) - 1] == '.');
        assert_false(c->flags & cli_common_flags);
        assert_true(c->args_max <= CLI_ARGS_MAX);
    }
    /* Nor a letter. */
    for (int i = 0; i < FLAG__COUNT; i++)
        for (int k = i + 1; k < FLAG__COUNT; k++)
            assert_false(cli_flags[i].letter && cli_flags[i].letter == cli_flags[k].letter);
}

/* ---- text ---- */

static void widths_are_columns(void **state)
{
    (void)state;
    assert_int_equal(cli_width("abc"), 3);
    assert_int_equal(cli_width("b\xc3\xbc"
                               "cher"),
                     6);
    assert_int_equal(cli_width("e\xcc\x81"), 1);                /* combining accent */
    assert_int_equal(cli_width("\xe4\xbe\x8b\xe3\x81\x88"), 4); /* two wide characters */
    assert_int_equal(cli_width("\xf0\x9f\x98\x80"), 2);         /* emoji */
    assert_int_equal(cli_width("\xff\xfe"), 2);                 /* broken bytes, one each */
    assert_int_equal(cli_width(""), 0);
    assert_int_equal(cli_width("\xe4\xbe"), 2); /* cut in the middle */
}

static void terminals_are_not_commanded(void **state)
{
    auto_buf struct pst_buf b = PST_BUF(256);

    (void)state;
    cli_clean(&b, "a\x1b[31mb\x07\xc2\x9b"
                  "c\xe2\x80\xae"
                  "d\xff\n");
    assert_string_equal(pst_buf_cstr(&b), "a\xef\xbf\xbd[31mb\xef\xbf\xbd\xef\xbf\xbd"
                                          "c\xef\xbf\xbd"
                                          "d\xef\xbf\xbd\xef\xbf\xbd");
}

static char *table_text(bool tty)
{
    static const char *const heads[] = {"NAME", "STATUS"};
    auto_(cli_table_free) struct cli_table *t = NULL;
    struct pst_err err = {0};
    char *text = NULL;
    size_t len;

    assert_ok(cli_table_new(&t, heads, 2, &err), err);
    cli_table_add(t, (const char *const[]){"b\xc3\xbc"
                                           "cher",
                                           "In use"});
    cli_table_add(t, (const char *const[]){"\xe4\xbe\x8b", NULL});
    FILE *f = open_memstream(&text, &len);
    assert_ok(cli_table_print(t, tty, f, &err), err);
    fclose(f);
    return text;
}

static void tables_for_people_and_for_pipes(void **state)
{
    (void)state;
    char *people = table_text(true);
    char *pipe_text = table_text(false);
    assert_string_equal(people, "NAME    STATUS\n"
                                "\xe2\x94\x80\xe2\x94\x80\xe2\x94\x80\xe2\x94\x80\xe2\x94\x80"
                                "\xe2\x94\x80  "
                                "\xe2\x94\x80\xe2\x94\x80\xe2\x94\x80\xe2\x94\x80\xe2\x94\x80"
                                "\xe2\x94\x80\n"
                                "b\xc3\xbc"
                                "cher  In use\n\xe4\xbe\x8b      -\n");
    assert_string_equal(pipe_text, "b\xc3\xbc"
                                   "cher\tIn use\n\xe4\xbe\x8b\t-\n");
    free(people);
    free(pipe_text);
}

static void times_for_people(void **state)
{
    char t[CLI_TIME_SIZE];

    (void)state;
    assert_string_equal(cli_time(t, "2026-11-20T15:00:45.123Z"), "2026-11-20 15:00:45 UTC");
    assert_string_equal(cli_time(t, "2026-11-20T16:00:45+01:00"), "2026-11-20 15:00:45 UTC");
    assert_string_equal(cli_time(t, NULL), "-");
    assert_string_equal(cli_time(t, "soon"), "-");
    assert_string_equal(cli_relative(t, 45000, 0), "in 45 s");
    assert_string_equal(cli_relative(t, 0, 119000), "119 s ago");
    assert_string_equal(cli_relative(t, 150000, 0), "in 2 min");
    assert_string_equal(cli_relative(t, 0, 3 * 3600000), "3 h ago");
    assert_string_equal(cli_relative(t, INT64_C(86400000) * 60, 0), "in 60 days");
    assert_string_equal(cli_relative(t, 400, 0), "now");
}

static void parts_of_paths_are_encoded(void **state)
{
    char to[64], small[8];

    (void)state;
    assert_string_equal(cli_encode(to, sizeof to, "*.b\xc3\xbc/?x=1&%"),
                        "%2A.b%C3%BC%2F%3Fx%3D1%26%25");
    assert_string_equal(cli_encode(small, sizeof small, "a/b/c/d"), "a%2Fb");
}

/* ---- explain ---- */

static const char explained[] =
    "{\"now\":\"2026-11-20T15:00:00.000Z\",\"word\":\"Creating\",\"reason\":\"The CA saw another "
    "server.\",\"problem\":\"dns.elsewhere\",\"evidence\":\"A 192.0.2.7\\nAAAA none\",\"record\":"
    "\"www.example.com. A 192.0.2.1\",\"next_try_at\":\"2026-11-20T15:00:45.000Z\",\"failures\":2,"
    "\"last_failure_at\":\"2026-11-20T14:50:00.000Z\",\"domain\":{\"name\":\"b\\u00fccher."
    "example\","
    "\"ascii\":\"xn--bcher-kva.example\"},\"order\":{\"step\":\"validating\",\"attempt\":3,"
    "\"since\":\"2026-11-20T14:59:00.000Z\",\"detail\":\"waits for the CA\"},\"ladder\":["
    "{\"origin\":\"acme\",\"taken\":false,\"why\":\"its time is "
    "over\",\"certificate\":{\"subject\":"
    "\"/CN=a\",\"issuer\":\"/CN=b\",\"not_after\":\"2026-11-19T15:00:00.000Z\",\"served_since\":"
    "\"2026-11-18T15:00:00.000Z\"}},{\"origin\":\"default\",\"taken\":true,\"why\":\"no other\","
    "\"certificate\":null}],\"attempts\":[{\"began_at\":\"2026-11-20T14:49:00.000Z\",\"attempt\":2,"
    "\"state\":\"failed\",\"detail\":\"no \\u001b answer\"}],\"events\":[{\"at\":"
    "\"2026-11-20T14:00:00.000Z\",\"text\":\"was added\",\"actor\":\"user:alice\"}]}";

static const char explained_text[] =
    "Creating: b\xc3\xbc"
    "cher.example (xn--bcher-kva.example)\n\n"
    "  The CA saw another server.\n\n"
    "  To do       www.example.com. A 192.0.2.1\n"
    "  Seen        A 192.0.2.7\n"
    "              AAAA none\n"
    "  Problem     dns.elsewhere\n"
    "  Next try    in 45 s (2026-11-20 15:00:45 UTC)\n"
    "  Failures    2 in a row, the last one 10 min ago (2026-11-20 14:50:00 UTC)\n"
    "  Order       attempt 3, step validating, begun 60 s ago (2026-11-20 14:59:00 UTC)\n"
    "              waits for the CA\n"
    "\nCertificates, in the order in which the edges try them\n"
    "    acme      not served: its time is over\n"
    "              /CN=a, from /CN=b, until 2026-11-19 15:00:00 UTC, first seen served 2 days ago "
    "(2026-11-18 15:00:00 UTC)\n"
    "  \xe2\x96\xb6 default   served: no other\n"
    "\nAttempts, newest first\n"
    "  2026-11-20 14:49:00 UTC  #2  failed: no \xef\xbf\xbd answer\n"
    "\nHistory, newest first\n"
    "  2026-11-20 14:00:00 UTC  was added (user:alice)\n";

static void an_explanation_for_people(void **state)
{
    auto_(pst_json_free) struct pst_json *j = NULL;
    auto_buf struct pst_buf text = PST_BUF(65536);
    struct pst_err err = {0};

    (void)state;
    assert_ok(pst_json_parse(&j, explained, strlen(explained), &err), err);
    cli_explain_text(&text, j);
    assert_string_equal(pst_buf_cstr(&text), explained_text);
}

static void an_explanation_of_a_wildcard(void **state)
{
    static const char json[] =
        "{\"now\":\"2026-11-20T15:00:00.000Z\",\"word\":\"Action required\",\"domain\":{"
        "\"name\":\"*.example.com\",\"acme_method\":\"dns-01:manual\",\"acme_dns_until\":"
        "\"2026-11-27T15:00:00.000Z\",\"acme_dns_error\":{\"dns_provider\":\"ovh\",\"variables\":["
        "\"DNS_OVH_ENDPOINT\",\"DNS_OVH_CONSUMER_KEY\"]},\"acme_options\":[{\"kind\":\"provider\","
        "\"forever\":true,\"in_use\":false,\"record\":null,\"providers\":[\"ovh\"],\"text\":\"Name "
        "it.\"},{\"kind\":\"manual\",\"forever\":false,\"in_use\":true,\"text\":\"Make it.\","
        "\"record\":{\"name\":\"_acme-challenge.example.com\",\"type\":\"TXT\",\"value\":\"abc\"}},"
        "{\"kind\":\"\\u001b\",\"record\":{\"name\":7}}]}}";
    static const char wanted[] =
        "Action required: *.example.com\n\n"
        "  Proved by   a record made by hand for each certificate (dns-01)\n"
        "  Good until  in 7 days (2026-11-27 15:00:00 UTC)\n"
        "  Variables   wrong for DNS provider ovh: DNS_OVH_ENDPOINT, DNS_OVH_CONSUMER_KEY\n"
        "\nWays to prove control of the name, the best one first\n"
        "    provider (once, for good): Name it.\n"
        "      postern dns-providers lists them\n"
        "  \xe2\x96\xb6 manual (each time): Make it.\n"
        "      _acme-challenge.example.com. TXT \"abc\"\n"
        "    \xef\xbf\xbd (each time): -\n"
        "      -. - (its value is not known before there is an order)\n"
        "\nCertificates, in the order in which the edges try them\n";
    auto_(pst_json_free) struct pst_json *j = NULL;
    auto_buf struct pst_buf text = PST_BUF(65536);
    struct pst_err err = {0};

    (void)state;
    assert_ok(pst_json_parse(&j, json, strlen(json), &err), err);
    cli_explain_text(&text, j);
    assert_string_equal(pst_buf_cstr(&text), wanted);
}

static void what_is_due_already_is_not_in_the_past(void **state)
{
    static const char json[] = "{\"now\":\"2026-11-20T15:00:00.000Z\",\"next_try_at\":"
                               "\"2026-11-20T14:59:57.000Z\"}";
    auto_(pst_json_free) struct pst_json *j = NULL;
    auto_buf struct pst_buf text = PST_BUF(65536);
    struct pst_err err = {0};

    (void)state;
    assert_ok(pst_json_parse(&j, json, strlen(json), &err), err);
    cli_explain_text(&text, j);
    assert_non_null(strstr(pst_buf_cstr(&text), "any moment (due since 2026-11-20 14:59:57 UTC)"));
}

/* A server of another version, or a broken one, must not crash the client. */
static void an_explanation_of_nothing(void **state)
{
    static const char *const odd[] = {"{}", "[]", "null",
                                      ("{\"ladder\":7,\"events\":[1],\"order\":"
                                       "[],\"attempts\":[{}],\"failures\":3}")};

    (void)state;
    for (size_t i = 0; i < PST_ARRAY_N(odd); i++) {
        auto_(pst_json_free) struct pst_json *j = NULL;
        auto_buf struct pst_buf text = PST_BUF(65536);
        struct pst_err err = {0};
        assert_ok(pst_json_parse(&j, odd[i], strlen(odd[i]), &err), err);
        cli_explain_text(&text, j);
        assert_true(text.len > 0);
    }
}

/* ---- stored logins ---- */

static void logins_are_kept_by_server(void **state)
{
    char dir[] = "/tmp/pst-cli-XXXXXX", path[128], url[64];
    auto_secret struct pst_secret one = {0}, two = {0}, got = {0};
    struct pst_err err = {0};
    struct stat st;

    (void)state;
    assert_non_null(mkdtemp(dir));
    setenv("XDG_CONFIG_HOME", dir, 1);
    unsetenv("POSTERN_TOKEN");
    assert_ok(pst_secret_set(&one, "tk-1", 4, &err), err);
    assert_ok(pst_secret_set(&two, "tk-2", 4, &err), err);
    assert_rc(cli_creds_token("https://a", &got, &err), PST_NOTFOUND, err);
    assert_rc(cli_creds_url(url, sizeof url, &err), PST_NOTFOUND, err);
    assert_ok(cli_creds_store("https://a", &one, "alice", &err), err);
    assert_ok(cli_creds_store("https://b", &two, "bob", &err), err);
    snprintf(path, sizeof path, "%s/postern/auth.json", dir);
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
    assert_ok(cli_creds_url(url, sizeof url, &err), err);
    assert_string_equal(url, "https://b");
    assert_ok(cli_creds_token("https://a", &got, &err), err);
    assert_string_equal((char *)got.data, "tk-1");
    /* No token ever goes to another server. */
    assert_rc(cli_creds_token("https://c", &got, &err), PST_NOTFOUND, err);
    assert_ok(cli_creds_remove("https://a", &err), err);
    assert_rc(cli_creds_remove("https://a", &err), PST_NOTFOUND, err);
    assert_ok(cli_creds_token("https://b", &got, &err), err);
    /* Not if others can read it. */
    chmod(path, 0644);
    assert_rc(cli_creds_token("https://b", &got, &err), PST_ECONFIG, err);
    unlink(path);
    snprintf(path, sizeof path, "%s/postern", dir);
    rmdir(path);
    rmdir(dir);
    unsetenv("XDG_CONFIG_HOME");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(flags_stand_anywhere),
        cmocka_unit_test(wrong_lines_are_usage_errors),
        cmocka_unit_test(the_environment_gives_defaults),
        cmocka_unit_test(the_tables_are_complete),
        cmocka_unit_test(widths_are_columns),
        cmocka_unit_test(terminals_are_not_commanded),
        cmocka_unit_test(tables_for_people_and_for_pipes),
        cmocka_unit_test(times_for_people),
        cmocka_unit_test(parts_of_paths_are_encoded),
        cmocka_unit_test(an_explanation_for_people),
        cmocka_unit_test(an_explanation_of_a_wildcard),
        cmocka_unit_test(what_is_due_already_is_not_in_the_past),
        cmocka_unit_test(an_explanation_of_nothing),
        cmocka_unit_test(logins_are_kept_by_server),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
