/* status_test.c - every row of the platform API contract's table 3.1. */
#include "pst_test.h"

#include <stdio.h>

#include <postern/status.h>

enum { NO, YES, ANY };
enum { ANY_PHASE = PST_PHASE__COUNT };

/* What stands in ssl_status when ssl is false. */
struct row {
    const char *name;
    int enabled, custom, acme;
    int phase;
    int wildcard;
    const char *status; /* NULL: null */
    bool letsencrypt;
    int ssl; /* ANY: as the covering wildcard */
    const char *ssl_status_without;
    const char *word;
};

static const struct row rows[] = {
    {"in use", YES, NO, YES, ANY_PHASE, ANY, "created", true, YES, "", "In use"},
    {"not used", YES, YES, YES, ANY_PHASE, ANY, "created", false, YES, "", "Not used"},
    {"dns", YES, NO, NO, PST_PHASE_DNS, ANY, "pending_dns", false, ANY, "pending", "Pending DNS"},
    {"work", YES, NO, NO, PST_PHASE_WORK, ANY, "new", false, ANY, "pending", "Creating"},
    {"manual", YES, NO, NO, PST_PHASE_MANUAL, ANY, "dns_required", false, ANY, "pending",
     "Action required"},
    {"blocked", YES, NO, NO, PST_PHASE_BLOCKED, NO, "error", false, ANY, "error",
     "Action required"},
    {"blocked wildcard", YES, NO, NO, PST_PHASE_BLOCKED, YES, "dns_required", false, ANY, "error",
     "Action required"},
    {"custom, dns", YES, YES, NO, PST_PHASE_DNS, ANY, "pending_dns", false, YES, "", "Pending DNS"},
    {"custom, work", YES, YES, NO, PST_PHASE_WORK, ANY, "new", false, YES, "", "Creating"},
    {"custom, manual", YES, YES, NO, PST_PHASE_MANUAL, ANY, "dns_required", false, YES, "",
     "Action required"},
    {"custom, blocked", YES, YES, NO, PST_PHASE_BLOCKED, NO, "error", false, YES, "",
     "Action required"},
    {"custom, blocked wildcard", YES, YES, NO, PST_PHASE_BLOCKED, YES, "dns_required", false, YES,
     "", "Action required"},
    {"off, custom", NO, YES, ANY, ANY_PHASE, ANY, NULL, false, YES, "", "Disabled"},
    {"off", NO, NO, ANY, ANY_PHASE, ANY, NULL, false, ANY, "error", "Disabled"},
};

static bool fits(int wanted, bool is)
{
    return wanted == ANY || wanted == (is ? YES : NO);
}

static bool row_fits(const struct row *r, const struct pst_status_in *in)
{
    return fits(r->enabled, in->acme_enabled) && fits(r->custom, in->custom_valid) &&
           fits(r->acme, in->acme_valid) && fits(r->wildcard, in->wildcard) &&
           (r->phase == ANY_PHASE || r->phase == (int)in->phase);
}

static void text_is(const char *got, const char *wanted)
{
    if (!wanted)
        assert_null(got);
    else
        assert_string_equal(got, wanted);
}

/* Each of the 128 possible inputs fits exactly one row and gives what it says. */
static void every_input_has_its_row(void **state)
{
    int used[PST_ARRAY_N(rows)] = {0};

    for (unsigned bits = 0; bits < 32u * PST_PHASE__COUNT; bits++) {
        struct pst_status_in in = {
            .acme_enabled = bits & 1,
            .custom_valid = bits & 2,
            .acme_valid = bits & 4,
            .covered = bits & 8,
            .wildcard = bits & 16,
            .phase = (enum pst_phase)(bits / 32),
        };
        struct pst_status s = pst_status_of(&in);
        int found = 0;
        for (size_t k = 0; k < PST_ARRAY_N(rows); k++) {
            const struct row *r = &rows[k];
            if (!row_fits(r, &in))
                continue;
            found++;
            used[k]++;
            bool ssl = r->ssl == ANY ? in.covered : r->ssl == YES;
            text_is(s.letsencrypt_status, r->status);
            assert_int_equal(s.letsencrypt, r->letsencrypt);
            assert_int_equal(s.ssl, ssl);
            text_is(s.ssl_status, ssl ? "success" : r->ssl_status_without);
            text_is(s.word, r->word);
        }
        assert_int_equal(found, 1);
    }
    for (size_t k = 0; k < PST_ARRAY_N(rows); k++)
        assert_true(used[k] > 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(every_input_has_its_row)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
