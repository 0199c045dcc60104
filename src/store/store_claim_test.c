/* store_claim_test.c - who may hold a name. */
#include "store_fixture.h"

#define DAY_MS INT64_C(86400000)

/* A second tenant with an app of its own. */
struct rival {
    struct fixture *f;
    struct pst_user user;
    struct pst_app app;
};

TX(make_rival)
{
    struct rival *r = arg;

    r->user = (struct pst_user){.username = "bob", .role = PST_ROLE_TENANT};
    int rc = pst_user_insert(tx, &r->user, err);
    r->app = (struct pst_app){.name = "bobs-app"};
    pst_str_copy(r->app.user_id, sizeof r->app.user_id, r->user.id);
    return rc == PST_OK ? pst_app_insert(tx, &r->app, err) : rc;
}

static struct rival rival(struct fixture *f)
{
    struct rival r = {.f = f};

    commit(f, make_rival, &r);
    return r;
}

static struct pst_domain rivals(const struct rival *r, const char *ascii)
{
    struct pst_domain d = domain(r->f, ascii);

    pst_str_copy(d.app_id, sizeof d.app_id, r->app.id);
    pst_str_copy(d.user_id, sizeof d.user_id, r->user.id);
    return d;
}

struct question {
    struct pst_hold_question q;
    enum pst_hold hold;
    struct pst_domain holder;
};

TX(ask_hold)
{
    struct question *q = arg;

    return pst_name_hold(tx, &q->q, &q->hold, &q->holder, err);
}

static enum pst_hold hold(struct fixture *f, const char *user_id, const char *ascii)
{
    int64_t now_ms = pst_wall_ms(&f->clock.clock);
    struct question q = {.q = {ascii, user_id, now_ms - 30 * DAY_MS}};

    look(f, ask_hold, &q);
    return q.hold;
}

static void a_name_is_held_by_one(void **state)
{
    struct fixture *f = *state;
    struct rival bob = rival(f);
    struct pst_domain d = domain(f, "www.example.com");

    assert_int_equal(hold(f, bob.user.id, "www.example.com"), PST_HOLD_FREE);
    commit(f, domain_insert, &d);
    assert_int_equal(hold(f, bob.user.id, "www.example.com"), PST_HOLD_TAKEN);
    assert_int_equal(hold(f, f->user.id, "www.example.com"), PST_HOLD_OWN);
    assert_int_equal(hold(f, bob.user.id, "example.com"), PST_HOLD_FREE);
    assert_int_equal(hold(f, bob.user.id, "a.www.example.com"), PST_HOLD_FREE);
}

static void wildcards_meet_names_in_both_directions(void **state)
{
    struct fixture *f = *state;
    struct rival bob = rival(f);
    struct pst_domain wild = domain(f, "*.example.com"), www = rivals(&bob, "www.other.com"),
                      deep = rivals(&bob, "a.b.third.com"), apex = rivals(&bob, "fourth.com");

    commit(f, domain_insert, &wild);
    commit(f, domain_insert, &www);
    commit(f, domain_insert, &deep);
    commit(f, domain_insert, &apex);
    assert_int_equal(hold(f, bob.user.id, "www.example.com"), PST_HOLD_SHARED);
    assert_int_equal(hold(f, bob.user.id, "*.example.com"), PST_HOLD_TAKEN);
    assert_int_equal(hold(f, f->user.id, "*.other.com"), PST_HOLD_SHARED);
    /* A wildcard covers one label, and not the name that it stands under. */
    assert_int_equal(hold(f, bob.user.id, "a.b.example.com"), PST_HOLD_FREE);
    assert_int_equal(hold(f, bob.user.id, "example.com"), PST_HOLD_FREE);
    assert_int_equal(hold(f, f->user.id, "*.third.com"), PST_HOLD_FREE);
    assert_int_equal(hold(f, f->user.id, "*.b.third.com"), PST_HOLD_SHARED);
    assert_int_equal(hold(f, f->user.id, "*.fourth.com"), PST_HOLD_FREE);
    /* With one's own there is nothing to prove. */
    assert_int_equal(hold(f, f->user.id, "www.example.com"), PST_HOLD_FREE);
    assert_int_equal(hold(f, bob.user.id, "*.other.com"), PST_HOLD_FREE);
}

static void a_released_name_waits_for_the_others(void **state)
{
    struct fixture *f = *state;
    struct rival bob = rival(f);
    struct pst_domain www = domain(f, "www.example.com"), wild = domain(f, "*.other.com");

    commit(f, domain_insert, &www);
    commit(f, domain_insert, &wild);
    commit(f, domain_delete, www.id);
    commit(f, domain_delete, wild.id);
    assert_int_equal(hold(f, bob.user.id, "www.example.com"), PST_HOLD_RELEASED);
    assert_int_equal(hold(f, bob.user.id, "*.example.com"), PST_HOLD_RELEASED);
    assert_int_equal(hold(f, bob.user.id, "example.com"), PST_HOLD_FREE);
    assert_int_equal(hold(f, bob.user.id, "*.other.com"), PST_HOLD_RELEASED);
    assert_int_equal(hold(f, bob.user.id, "www.other.com"), PST_HOLD_RELEASED);
    assert_int_equal(hold(f, bob.user.id, "other.com"), PST_HOLD_FREE);
    assert_int_equal(hold(f, f->user.id, "www.example.com"), PST_HOLD_FREE);
    assert_int_equal(hold(f, f->user.id, "*.other.com"), PST_HOLD_FREE);
    pst_clock_manual_advance(&f->clock, 30 * DAY_MS - 1);
    assert_int_equal(hold(f, bob.user.id, "www.example.com"), PST_HOLD_RELEASED);
    pst_clock_manual_advance(&f->clock, 1);
    assert_int_equal(hold(f, bob.user.id, "www.example.com"), PST_HOLD_FREE);
    assert_int_equal(hold(f, bob.user.id, "*.other.com"), PST_HOLD_FREE);
}

/* What the earlier holder gave up does not bind who took it with a proof. */
static void a_name_taken_again_is_not_released(void **state)
{
    struct fixture *f = *state;
    struct rival bob = rival(f);
    struct pst_domain www = domain(f, "www.example.com"), again = rivals(&bob, "www.example.com");

    commit(f, domain_insert, &www);
    commit(f, domain_delete, www.id);
    assert_int_equal(hold(f, bob.user.id, "*.example.com"), PST_HOLD_RELEASED);
    commit(f, domain_insert, &again);
    assert_int_equal(hold(f, bob.user.id, "*.example.com"), PST_HOLD_FREE);
    commit(f, domain_delete, again.id);
    assert_int_equal(hold(f, f->user.id, "www.example.com"), PST_HOLD_RELEASED);
    assert_int_equal(hold(f, bob.user.id, "www.example.com"), PST_HOLD_FREE);
}

TX(delete_the_app)
{
    struct fixture *f = arg;

    return pst_app_delete(tx, f->app.id, err);
}

TX(delete_the_user)
{
    struct fixture *f = arg;

    return pst_user_delete(tx, f->user.id, err);
}

static void names_of_an_app_and_a_user_that_are_gone_are_released(void **state)
{
    struct fixture *f = *state;
    struct rival bob = rival(f);
    struct pst_domain www = domain(f, "www.example.com"), wild = domain(f, "*.other.com");

    commit(f, domain_insert, &www);
    commit(f, domain_insert, &wild);
    commit(f, delete_the_app, f);
    commit(f, delete_the_user, f);
    assert_int_equal(hold(f, bob.user.id, "www.example.com"), PST_HOLD_RELEASED);
    assert_int_equal(hold(f, bob.user.id, "a.other.com"), PST_HOLD_RELEASED);
}

/* ---- a name that changes hands ---- */

struct handover {
    const struct pst_domain *from;
    struct pst_domain *to;
};

TX(change_hands)
{
    struct handover *h = arg;

    int rc = pst_domain_delete(tx, h->from->id, err);
    return rc == PST_OK ? pst_domain_insert(tx, h->to, err) : rc;
}

struct shown {
    const char *ascii;
    struct pst_feed_name name;
};

TX(show_name)
{
    struct shown *s = arg;

    return pst_feed_db_name(tx, s->ascii, &s->name, err);
}

static struct pst_feed_name shown(struct fixture *f, const char *ascii)
{
    struct shown s = {.ascii = ascii};

    look(f, show_name, &s);
    return s.name;
}

static void assert_ladder(struct fixture *f, const char *ascii, const char *app_id, int64_t own,
                          int64_t covering)
{
    struct pst_feed_name n = shown(f, ascii);

    assert_string_equal(n.app_id, app_id);
    assert_int_equal(n.certs[0], 0);
    assert_int_equal(n.certs[1], own);
    assert_int_equal(n.certs[2], 0);
    assert_int_equal(n.certs[3], covering);
}

static void a_name_that_changes_hands_leaves_its_certificates_behind(void **state)
{
    struct fixture *f = *state;
    struct rival bob = rival(f);
    struct pst_domain wild = domain(f, "*.example.com"), www = domain(f, "www.example.com"),
                      api = rivals(&bob, "api.example.com"), to = rivals(&bob, "*.example.com");

    wild.acme_cert = 71;
    www.acme_cert = 72;
    api.acme_cert = 73;
    commit(f, domain_insert, &wild);
    commit(f, domain_insert, &www);
    commit(f, domain_insert, &api);
    assert_ladder(f, "www.example.com", f->app.id, 72, 71);
    assert_ladder(f, "api.example.com", bob.app.id, 73, 0); /* never of another owner */
    struct handover h = {&wild, &to};
    assert_told(f, commit(f, change_hands, &h),
                "name/*.example.com name/api.example.com name/www.example.com ");
    assert_ladder(f, "*.example.com", bob.app.id, 0, 0);
    assert_ladder(f, "www.example.com", f->app.id, 72, 0);
    to.acme_cert = 74;
    assert_told(f, commit(f, domain_update, &to), "name/*.example.com name/api.example.com ");
    assert_ladder(f, "api.example.com", bob.app.id, 73, 74);
    assert_ladder(f, "www.example.com", f->app.id, 72, 0);
}

static void a_canonical_name_that_is_lost_sends_nobody_there(void **state)
{
    struct fixture *f = *state;
    struct rival bob = rival(f);
    struct pst_domain main = domain(f, "example.com"), www = domain(f, "www.example.com"),
                      to = rivals(&bob, "example.com");

    main.canonical = true;
    commit(f, domain_insert, &main);
    commit(f, domain_insert, &www);
    assert_string_equal(shown(f, "www.example.com").canonical, "example.com");
    struct handover h = {&main, &to};
    assert_told(f, commit(f, change_hands, &h), "name/example.com name/www.example.com ");
    assert_string_equal(shown(f, "www.example.com").canonical, "");
    assert_string_equal(shown(f, "example.com").app_id, bob.app.id);
}

/* ---- two tenants at the same moment ---- */

struct claim {
    struct fixture *f;
    pthread_barrier_t *start;
    struct pst_domain d;
    int rc;
};

TX(take_if_free)
{
    struct claim *c = arg;
    struct pst_domain d = c->d, holder;
    struct pst_hold_question q = {d.ascii, d.user_id, 0};
    enum pst_hold hold;

    int rc = pst_name_lock(tx, d.ascii, err);
    if (rc == PST_OK)
        rc = pst_name_hold(tx, &q, &hold, &holder, err);
    if (rc != PST_OK)
        return rc;
    return hold == PST_HOLD_FREE ? pst_domain_insert(tx, &d, err) : PST_REFUSED;
}

static void *claim_main(void *arg)
{
    struct claim *c = arg;
    struct pst_err err = {0};

    pthread_barrier_wait(c->start);
    c->rc = pst_store_write(c->f->store, take_if_free, c, NULL, &err);
    return NULL;
}

static void race(struct fixture *f, const struct rival *bob, const char *one, const char *other)
{
    pthread_barrier_t start;
    pthread_t threads[2];
    struct claim claims[2] = {{.f = f, .start = &start, .d = domain(f, one)},
                              {.f = f, .start = &start, .d = rivals(bob, other)}};

    pthread_barrier_init(&start, NULL, 2);
    for (size_t i = 0; i < 2; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, claim_main, &claims[i]), 0);
    for (size_t i = 0; i < 2; i++)
        pthread_join(threads[i], NULL);
    pthread_barrier_destroy(&start);
    for (size_t i = 0; i < 2; i++)
        if (claims[i].rc != PST_OK && claims[i].rc != PST_REFUSED)
            fail_msg("%s against %s: %d", one, other, claims[i].rc);
    assert_int_equal((claims[0].rc == PST_OK) + (claims[1].rc == PST_OK), 1);
}

static void of_two_at_the_same_moment_one_wins(void **state)
{
    static const struct {
        const char *one, *other; /* first labels */
    } pairs[] = {{"www", "www"}, {"www", "*"}, {"*", "www"}};
    static const char *const suffixes[] = {"github.io",   "gitlab.io",  "herokuapp.com",
                                           "netlify.app", "vercel.app", "pages.dev",
                                           "web.app",     "fly.dev",    "azurewebsites.net"};
    struct fixture *f = *state;
    struct rival bob = rival(f);
    char one[PST_NAME_SIZE], other[PST_NAME_SIZE];

    for (int round = 0; round < 40; round++)
        for (size_t i = 0; i < PST_ARRAY_N(pairs); i++) {
            snprintf(one, sizeof one, "%s.n%d-%zu.example.com", pairs[i].one, round, i);
            snprintf(other, sizeof other, "%s.n%d-%zu.example.com", pairs[i].other, round, i);
            race(f, &bob, one, other);
        }
    /* Under a private suffix each name is a registered domain, and the wildcard is of another. */
    for (size_t i = 0; i < PST_ARRAY_N(suffixes); i++) {
        snprintf(one, sizeof one, "*.%s", suffixes[i]);
        snprintf(other, sizeof other, "you.%s", suffixes[i]);
        race(f, &bob, one, other);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(a_name_is_held_by_one),
        T(wildcards_meet_names_in_both_directions),
        T(a_released_name_waits_for_the_others),
        T(a_name_taken_again_is_not_released),
        T(names_of_an_app_and_a_user_that_are_gone_are_released),
        T(a_name_that_changes_hands_leaves_its_certificates_behind),
        T(a_canonical_name_that_is_lost_sends_nobody_there),
        T(of_two_at_the_same_moment_one_wins),
    };

    return cmocka_run_group_tests_name(ENGINE, tests, NULL, NULL);
}
