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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_answer_is_token_dot_thumbprint),
        cmocka_unit_test(the_longest_token_fits),
        cmocka_unit_test(hostile_tokens_are_refused),
        cmocka_unit_test(a_wrong_thumbprint_is_refused),
    };
    return cmocka_run_group_tests_name("challenge", tests, NULL, NULL);
}
