/*
 * pst_test.h - what every unit test includes first: cmocka with the headers it wants before it,
 * and assertions that show the text of a fault.
 */
#ifndef PST_TEST_H
#define PST_TEST_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include <postern/err.h>
#include <postern/mem.h>

static inline void pst_test_rc(int rc, int wanted, const struct pst_err *err, const char *expr,
                               const char *file, int line)
{
    if (rc == wanted)
        return;
    print_error("%s\n  gave %s, wanted %s; err: %s\n", expr, pst_rc_name(rc), pst_rc_name(wanted),
                err && err->text[0] ? err->text : "-");
    _fail(file, line);
}

/* The call gives PST_OK; `err` is a struct pst_err, its text is shown otherwise. */
#define assert_ok(call, err) pst_test_rc((call), PST_OK, &(err), #call, __FILE__, __LINE__)

/* The call gives exactly `rc`. */
#define assert_rc(call, rc, err) pst_test_rc((call), (rc), &(err), #call, __FILE__, __LINE__)

/* The text of the fault contains `part`. */
#define assert_err_has(err, part)                                                                  \
    do {                                                                                           \
        if (!strstr((err).text, (part)))                                                           \
            fail_msg("\"%s\" does not contain \"%s\"", (err).text, (part));                        \
    } while (0)

/*
 * Run `body` (a statement that sets `rc`) with the first, the second, ... allocation failing until
 * none fails: each time but the last it must give PST_ENOMEM, the last time PST_OK.
 */
#define assert_survives_no_memory(rc, body)                                                        \
    do {                                                                                           \
        for (long nth_ = 1;; nth_++) {                                                             \
            assert_true(nth_ < 100000);                                                            \
            pst_mem_fail_at(nth_);                                                                 \
            body;                                                                                  \
            bool hit_ = pst_mem_failed();                                                          \
            pst_mem_fail_at(0);                                                                    \
            if (!hit_) {                                                                           \
                pst_test_rc((rc), PST_OK, NULL, #body, __FILE__, __LINE__);                        \
                break;                                                                             \
            }                                                                                      \
            pst_test_rc((rc), PST_ENOMEM, NULL, #body, __FILE__, __LINE__);                        \
        }                                                                                          \
    } while (0)

#endif
