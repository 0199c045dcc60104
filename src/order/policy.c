/* policy.c - what is done about a fault, and when: tables and arithmetic, nothing else. */
#include "order_internal.h"

enum {
    REPEAT_MAX_S = 300, /* a CA that is down is asked again at least so often */
    RESTARTS_MAX = 3,   /* a CA that forgets each order has a fault of its own */
    POLL_MAX_MS = 5000,
    POLL_OFTEN_N = 60, /* about five minutes; then the order is only looked at now and then */
    POLL_RARE_MS = 60 * 1000,
    DAY_S = 86400,
    SHORT_LIFE_S = 10 * DAY_S,
    ASK_S = 600, /* what a tenant has to mend is looked at so often, and when it is changed */
};

int64_t pst_order_backoff_ms(int64_t failures, int64_t first_s, int64_t max_s,
                             struct pst_rand *rand)
{
    int64_t wait_s = first_s;
    for (int64_t i = 1; i < failures && wait_s < max_s; i++)
        wait_s *= 2;
    if (wait_s > max_s)
        wait_s = max_s;
    int64_t wait_ms = wait_s * 1000;
    return wait_ms - (int64_t)pst_rand_below(rand, (uint64_t)(wait_ms / 5) + 1);
}

int64_t pst_order_renew_at(int64_t not_before, int64_t not_after, uint64_t seed)
{
    int64_t life = not_after - not_before + 1;
    int64_t fallback = not_before + (life >= SHORT_LIFE_S ? life * 2 / 3 : life / 2);
    return fallback + (int64_t)(seed % (uint64_t)(life / 100 + 1));
}

int64_t pst_order_renew_in_window(int64_t not_before, int64_t not_after, int64_t start_at_ms,
                                  int64_t end_at_ms, struct pst_rand *rand)
{
    int64_t latest = not_after - (not_after - not_before + 1) / 20;
    int64_t at = start_at_ms / 1000 +
                 (int64_t)pst_rand_below(rand, (uint64_t)((end_at_ms - start_at_ms) / 1000 + 1));
    return at < latest ? at : latest;
}

int64_t pst_order_poll_ms(int64_t polls, int64_t retry_after_ms, int64_t first_ms)
{
    if (retry_after_ms > 0)
        return retry_after_ms;
    if (polls > POLL_OFTEN_N)
        return POLL_RARE_MS;
    int64_t wait = first_ms;
    for (int64_t i = 0; i < polls && wait < POLL_MAX_MS; i++)
        wait *= 2;
    return wait < POLL_MAX_MS ? wait : POLL_MAX_MS;
}

static int64_t repeat_delay_ms(int64_t faults, int64_t at_least_s)
{
    int64_t wait_s = 1;
    for (int64_t i = 0; i < faults && wait_s < REPEAT_MAX_S; i++)
        wait_s *= 2;
    if (wait_s > REPEAT_MAX_S)
        wait_s = REPEAT_MAX_S;
    return (wait_s > at_least_s ? wait_s : at_least_s) * 1000;
}

static struct pst_order_decision repeat(const struct pst_order_fault *f, int64_t at_least_s)
{
    return (struct pst_order_decision){.action = PST_ACTION_REPEAT,
                                       .delay_ms = repeat_delay_ms(f->faults, at_least_s)};
}

static struct pst_order_decision restart(const struct pst_order_fault *f,
                                         enum pst_order_action action)
{
    if (f->restarts < RESTARTS_MAX)
        return (struct pst_order_decision){.action = action};
    return (struct pst_order_decision){
        .action = PST_ACTION_FAIL,
        .user = "The CA keeps forgetting what it was asked for; the operator has to look at it."};
}

/* Our own chain check, key or data refused: the same input would be refused again. */
static struct pst_order_decision refused(void)
{
    return (struct pst_order_decision){.action = PST_ACTION_FAIL};
}

static enum pst_acme_where where_of(const struct pst_order_fault *f)
{
    if (!f->dead)
        return PST_ACME_ON_REQUEST;
    return f->state == PST_ORDER_VALIDATING ? PST_ACME_ON_CHALLENGE : PST_ACME_ON_ORDER;
}

static struct pst_order_decision about_problem(const struct pst_order_fault *f)
{
    const struct pst_acme_problem *p = f->problem;
    struct pst_acme_advice a;
    pst_acme_problem_advice(p, where_of(f), f->now, &a, NULL);
    struct pst_order_decision d = {.user = a.user};

    switch (a.class_) {
    case PST_ACME_NOW:
        if (p->type == PST_ACME_ORDER_NOT_READY)
            d.action = PST_ACTION_REREAD;
        else
            d = repeat(f, 0);
        return d;
    case PST_ACME_WAIT:
        d.action = PST_ACTION_WAIT;
        d.delay_ms = (a.not_before_at > f->now ? a.not_before_at - f->now : 60) * 1000;
        return d;
    case PST_ACME_BACKOFF:
        if (a.counts) {
            d.action = PST_ACTION_FAIL;
            return d;
        }
        d = repeat(f, a.not_before_at > f->now ? a.not_before_at - f->now : 0);
        d.user = a.user;
        return d;
    case PST_ACME_OPERATOR:
        d.action = PST_ACTION_BLOCK;
        return d;
    case PST_ACME_DAILY:
    case PST_ACME_SUCCESS:
        break;
    }
    d.action = PST_ACTION_FAIL_DAILY;
    return d;
}

/* What hosts of the DNS say, by the problem of the fault. */
static const struct {
    const char *fault;
    const char *problem;
    const char *user;
} dns_faults[] = {
    {"variables", "dns.variables",
     "Variables of the DNS provider are missing or wrong: set them, or make the record of the "
     "challenge another way."},
    {"provider", "dns.provider", "The variable DNS_PROVIDER names no DNS provider that is known."},
    {"zone", "dns.zone",
     "The credentials of the DNS provider give access to no zone that holds this name."},
    {"hidden", "dns.hidden",
     "The record of the challenge hides the wildcard record that the names of this domain are "
     "answered by: make one for this domain itself, too, and try again."},
    {"gate", "dns.gate",
     "The variables of the DNS provider name a host that this platform does not speak to."},
};

static struct pst_order_decision about_dns(const struct pst_order_fault *f)
{
    const struct pst_err *e = f->err;
    bool remote = e->rc == PST_EREMOTE || e->rc == PST_EINPUT || e->rc == PST_REFUSED;
    struct pst_order_decision d;

    if (!remote || e->retry == PST_RETRY_BACKOFF || e->retry == PST_RETRY_AT) {
        int64_t at_least_s = e->retry == PST_RETRY_AT ? e->retry_at - f->now : 0;
        d = repeat(f, at_least_s > DAY_S ? DAY_S : at_least_s);
        d.problem = remote || e->rc == PST_ENET ? "dns.host" : NULL;
    } else {
        d = (struct pst_order_decision){
            .action = PST_ACTION_ASK, .delay_ms = ASK_S * 1000, .problem = "dns.refused"};
    }
    const char *fault = f->blamed ? "variables" : e->problem;
    for (size_t i = 0; i < PST_ARRAY_N(dns_faults); i++) {
        if (pst_streq(fault, dns_faults[i].fault)) {
            d.problem = dns_faults[i].problem;
            d.user = dns_faults[i].user;
            /* Each look takes the names away for a moment. */
            if (pst_streq(fault, "hidden"))
                d.delay_ms = DAY_S * 1000LL;
        }
    }
    return d;
}

struct pst_order_decision pst_order_decide(const struct pst_order_fault *f)
{
    const struct pst_acme_problem *p = f->problem;

    if (f->dead) {
        struct pst_order_decision d = about_problem(f);
        /* Asking a dead order again is no use, whoever is at fault. */
        if (d.action == PST_ACTION_REPEAT || d.action == PST_ACTION_REREAD)
            d.action = PST_ACTION_FAIL;
        return d;
    }
    if (p->type == PST_ACME_NONE && f->dns)
        return about_dns(f);
    if (p->type == PST_ACME_NONE) {
        bool ours = f->err->rc == PST_EINTERNAL || f->err->rc == PST_REFUSED;
        return ours ? refused() : repeat(f, 0);
    }
    if (p->type == PST_ACME_ACCOUNT_DOES_NOT_EXIST)
        return restart(f, PST_ACTION_REREGISTER);
    /* 404 for an order or authorization: expired, or a CA that lost its state. */
    if (f->has_order && (p->status == 404 || p->type == PST_ACME_CONFLICT))
        return restart(f, PST_ACTION_RESTART);
    /* A CA that lost its accounts may say unauthorized or malformed about objects of another. */
    if (f->state == PST_ORDER_ANSWERING && p->type == PST_ACME_MALFORMED)
        return (struct pst_order_decision){.action = PST_ACTION_REREAD};
    return about_problem(f);
}
