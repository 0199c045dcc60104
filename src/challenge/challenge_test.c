#include <pst_test.h>

#include <string.h>

#include <postern/challenge.h>

#define THUMBPRINT "oKIywvGUpTVTyxMQ3bwIIeQUudfr_CkLMjCE19ECD-U"

static void the_answer_is_token_dot_thumbprint(void **state)
{
    char answer[PST_CHALLENGE_ANSWER_SIZE];
    assert_true(
        pst_challenge_answer("evaGxfADs6pSRb2LAv9IZf17Dt3juxGJ-PCt92wr-oA", THUMBPRINT, answer));
    assert_string_equal(answer, "evaGxfADs6pSRb2LAv9IZf17Dt3juxGJ-PCt92wr-oA." THUMBPRINT);
}

static void the_longest_token_fits(void **state)
{
    char token[PST_CHALLENGE_TOKEN_MAX + 2];
    char answer[PST_CHALLENGE_ANSWER_SIZE];

    memset(token, 'a', sizeof token);
    token[PST_CHALLENGE_TOKEN_MAX + 1] = '\0';
    assert_false(pst_challenge_answer(token, THUMBPRINT, answer));
    token[PST_CHALLENGE_TOKEN_MAX] = '\0';
    assert_true(pst_challenge_answer(token, THUMBPRINT, answer));
    assert_int_equal(strlen(answer), PST_CHALLENGE_ANSWER_SIZE - 1);
}

static void hostile_tokens_are_refused(void **state)
{
    const char *bad[] = {"", "../../etc/passwd", "a/b", "a b", "a%2f", "a\r\nSet-Cookie: x", "a="};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_false(pst_challenge_token_ok(bad[i]));
}

static void a_wrong_thumbprint_is_refused(void **state)
{
    char answer[PST_CHALLENGE_ANSWER_SIZE];
    assert_false(pst_challenge_answer("token", "", answer));
    assert_false(pst_challenge_answer("token", THUMBPRINT "x", answer));
    assert_false(
        pst_challenge_answer("token", "oKIywvGUpTVTyxMQ3bwIIeQUudfr/CkLMjCE19ECD+U", answer));
}

static void the_txt_value_is_that_of_the_vectors(void **state)
{
    const char *token = "evaGxfADs6pSRb2LAv9IZf17Dt3juxGJ-PCt92wr-oA";
    char value[PST_CHALLENGE_DNS01_SIZE] = "x";
    struct pst_err err = {0};

    assert_ok(pst_challenge_dns01_value(token, "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs", value,
                                        &err),
              err);
    assert_string_equal(value, "ZTRx1Ckl1-tM05o5zaizTTA0yUy5AGereMgSNWC6Ll8");
    assert_ok(pst_challenge_dns01_value(token, THUMBPRINT, value, &err), err);
    assert_string_equal(value, "ZaJgFtIV4WA0t2MzN7kbSk0sfRd2GZjaxRqaSTAK6lI");
}

static void no_txt_value_for_what_is_no_token(void **state)
{
    char value[PST_CHALLENGE_DNS01_SIZE] = "kept";
    struct pst_err err = {0};

    assert_rc(pst_challenge_dns01_value("a b", THUMBPRINT, value, &err), PST_EINPUT, err);
    assert_rc(pst_challenge_dns01_value("token", "short", value, &err), PST_EINPUT, err);
    assert_string_equal(value, "kept");
}

static void the_records_stand_at_the_base_name(void **state)
{
    char fqdn[PST_NAME_SIZE];

    assert_true(pst_challenge_fqdn("example.com", fqdn));
    assert_string_equal(fqdn, "_acme-challenge.example.com");
    assert_true(pst_challenge_fqdn("*.example.com", fqdn));
    assert_string_equal(fqdn, "_acme-challenge.example.com");
    assert_true(pst_persist_fqdn("*.a.example.com", fqdn));
    assert_string_equal(fqdn, "_validation-persist.a.example.com");
}

static void a_name_that_leaves_no_room_is_refused(void **state)
{
    char name[PST_NAME_SIZE], fqdn[PST_NAME_SIZE];
    size_t room = PST_NAME_SIZE - 1 - strlen("_acme-challenge.");

    memset(name, 'a', sizeof name);
    for (size_t i = 50; i < sizeof name; i += 51)
        name[i] = '.';
    name[room] = '\0';
    assert_true(pst_challenge_fqdn(name, fqdn));
    assert_int_equal(strlen(fqdn), PST_NAME_SIZE - 1);
    assert_false(pst_persist_fqdn(name, fqdn)); /* its prefix is longer */
    assert_string_equal(fqdn, "");
    name[room] = 'a';
    name[room + 1] = '\0';
    assert_false(pst_challenge_fqdn(name, fqdn));
}

static void a_delegation_label_is_for_one_owner_and_name(void **state)
{
    char a[PST_DELEGATION_LABEL_SIZE], b[PST_DELEGATION_LABEL_SIZE];
    struct pst_err err = {0};

    assert_ok(pst_delegation_label("6500000000000000000000a1", "example.com", a, &err), err);
    assert_string_equal(a, "n5e7cotpixnpvt6v7f2yy2kiiujc2gv7"); /* for ever */
    assert_int_equal(strspn(a, "abcdefghijklmnopqrstuvwxyz234567"), 32);
    assert_int_equal(strlen(a), 32);
    assert_ok(pst_delegation_label("6500000000000000000000a1", "*.example.com", b, &err), err);
    assert_string_equal(a, b);
    assert_ok(pst_delegation_label("6500000000000000000000a2", "example.com", b, &err), err);
    assert_string_not_equal(a, b);
    assert_ok(pst_delegation_label("6500000000000000000000a1", "www.example.com", b, &err), err);
    assert_string_not_equal(a, b);
}

static void the_border_between_owner_and_name_counts(void **state)
{
    char a[PST_DELEGATION_LABEL_SIZE], b[PST_DELEGATION_LABEL_SIZE];
    struct pst_err err = {0};

    assert_ok(pst_delegation_label("user", "sexample.com", a, &err), err);
    assert_ok(pst_delegation_label("users", "example.com", b, &err), err);
    assert_string_not_equal(a, b);
    assert_rc(pst_delegation_label("", "example.com", b, &err), PST_EINPUT, err);
}

static void survives_no_memory(void **state)
{
    char value[PST_CHALLENGE_DNS01_SIZE], label[PST_DELEGATION_LABEL_SIZE];
    struct pst_err err = {0};
    int rc = PST_OK;

    assert_survives_no_memory(rc, {
        rc = pst_challenge_dns01_value("token", THUMBPRINT, value, &err);
        if (!rc)
            rc = pst_delegation_label("user", "example.com", label, &err);
    });
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_answer_is_token_dot_thumbprint),
        cmocka_unit_test(the_longest_token_fits),
        cmocka_unit_test(hostile_tokens_are_refused),
        cmocka_unit_test(a_wrong_thumbprint_is_refused),
        cmocka_unit_test(the_txt_value_is_that_of_the_vectors),
        cmocka_unit_test(no_txt_value_for_what_is_no_token),
        cmocka_unit_test(the_records_stand_at_the_base_name),
        cmocka_unit_test(a_name_that_leaves_no_room_is_refused),
        cmocka_unit_test(a_delegation_label_is_for_one_owner_and_name),
        cmocka_unit_test(the_border_between_owner_and_name_counts),
        cmocka_unit_test(survives_no_memory),
    };
    return cmocka_run_group_tests_name("challenge", tests, NULL, NULL);
}
