/* machine.c - the table of states, and the one loop that runs, saves and lets go. */
#include <string.h>

#include <postern/metric.h>

#include "order_internal.h"

enum { LEASE_MS = PST_ORDER_LEASE_MS, DATA_MAX = 64 * 1024 };

#define TO(s) (1u << PST_ORDER_##s)
#define ENDS  (TO(FAILED) | TO(WITHDRAWN) | TO(ORDERING))
#define CA    PST_LANE_CA
#define DNS   PST_LANE_DNS
/* In these the order needs its value in the DNS. */
#define HOLDS                                                                                      \
    (TO(CHOOSING) | TO(RECORDING) | TO(CONFIRMING) | TO(AWAITING) | TO(PROPAGATING) |              \
     TO(ANSWERING) | TO(VALIDATING))
/* From these back to the choice the value is taken away: the next way may be another one. */
#define WRITES (TO(RECORDING) | TO(CONFIRMING) | TO(PROPAGATING))

/* name, what it does, by whose workers, where it may go, what it is called for people */
static const struct {
    const char *name;
    pst_step_fn *run; /* NULL: the order has ended */
    enum pst_lane lane;
    unsigned may_go_to;
    const char *text;
} states[] = {
    [PST_ORDER_CHECKING] = {"checking", pst_step_checking, CA, TO(ORDERING) | ENDS,
                            "checking DNS and CAA before the CA is asked"},
    [PST_ORDER_SURVEYING] = {"surveying", pst_step_surveying, DNS, TO(ORDERING) | ENDS,
                             "looking for the best way to prove the name in the DNS"},
    [PST_ORDER_ORDERING] = {"ordering", pst_step_ordering, CA,
                            TO(AUTHORIZING) | TO(READYING) | ENDS, "asking the CA for an order"},
    [PST_ORDER_AUTHORIZING] = {"authorizing", pst_step_authorizing, CA,
                               TO(PUBLISHING) | TO(CHOOSING) | TO(VALIDATING) | TO(READYING) | ENDS,
                               "reading the CA's challenge"},
    [PST_ORDER_CHOOSING] = {"choosing", pst_step_choosing, DNS,
                            TO(RECORDING) | TO(PROPAGATING) | TO(AWAITING) | TO(ANSWERING) | ENDS,
                            "choosing how the challenge's answer gets into the DNS"},
    [PST_ORDER_RECORDING] = {"recording", pst_step_recording, DNS,
                             TO(CONFIRMING) | TO(PROPAGATING) | TO(CHOOSING) | ENDS,
                             "handing the challenge's answer to the DNS provider"},
    [PST_ORDER_CONFIRMING] = {"confirming", pst_step_confirming, DNS,
                              TO(PROPAGATING) | TO(CHOOSING) | ENDS,
                              "waiting until the DNS provider has carried out the change"},
    [PST_ORDER_AWAITING] = {"awaiting", pst_step_awaiting, DNS, TO(CHOOSING) | TO(ANSWERING) | ENDS,
                            "waiting for the DNS record that is to be made by hand"},
    [PST_ORDER_PROPAGATING] = {"propagating", pst_step_propagating, DNS,
                               TO(ANSWERING) | TO(CHOOSING) | ENDS,
                               "waiting until every name server of the zone has the record"},
    [PST_ORDER_PUBLISHING] = {"publishing", pst_step_publishing, CA, TO(ANSWERING) | ENDS,
                              "waiting until every edge has the challenge's answer"},
    [PST_ORDER_ANSWERING] = {"answering", pst_step_answering, CA, TO(VALIDATING) | ENDS,
                             "telling the CA that it may validate"},
    [PST_ORDER_VALIDATING] = {"validating", pst_step_validating, CA, TO(READYING) | ENDS,
                              "waiting for the CA's validation"},
    [PST_ORDER_READYING] = {"readying", pst_step_readying, CA,
                            TO(FINALIZING) | TO(ISSUING) | TO(DOWNLOADING) | ENDS,
                            "waiting until the order may be finalized"},
    [PST_ORDER_FINALIZING] = {"finalizing", pst_step_finalizing, CA,
                              TO(READYING) | TO(ISSUING) | TO(DOWNLOADING) | ENDS,
                              "handing in the certificate request"},
    [PST_ORDER_ISSUING] = {"issuing", pst_step_issuing, CA, TO(READYING) | TO(DOWNLOADING) | ENDS,
                           "waiting for the CA to issue the certificate"},
    [PST_ORDER_DOWNLOADING] = {"downloading", pst_step_downloading, CA,
                               TO(DEPLOYING) | TO(READYING) | ENDS,
                               "fetching and checking the certificate"},
    [PST_ORDER_DEPLOYING] = {"deploying", pst_step_deploying, CA, TO(SCHEDULING) | TO(DONE),
                             "waiting until every edge serves the certificate"},
    [PST_ORDER_SCHEDULING] = {"scheduling", pst_step_scheduling, CA, TO(DONE),
                              "asking the CA when to renew"},
    [PST_ORDER_DONE] = {"done", NULL, CA, 0, "the certificate is served"},
    [PST_ORDER_FAILED] = {"failed", NULL, CA, 0, "the attempt failed"},
    [PST_ORDER_WITHDRAWN] = {"withdrawn", NULL, CA, 0, "given up before the CA was asked"},
};
_Static_assert(PST_ARRAY_N(states) == PST_ORDER_STATE__COUNT, "a state without its row");

const char *pst_order_state_name(enum pst_order_state s)
{
    return states[s].name;
}

bool pst_order_state_parse(const char *name, enum pst_order_state *ret)
{
    for (size_t i = 0; i < PST_ARRAY_N(states); i++) {
        if (!strcmp(states[i].name, name)) {
            *ret = (enum pst_order_state)i;
            return true;
        }
    }
    return false;
}

bool pst_order_state_ended(enum pst_order_state s)
{
    return !states[s].run;
}

bool pst_order_may_go(enum pst_order_state from, enum pst_order_state to)
{
    return from == to || (states[from].may_go_to & (1u << to));
}

enum pst_lane pst_order_lane(enum pst_order_state s)
{
    return states[s].lane;
}

const char *pst_order_state_text(const char *name)
{
    enum pst_order_state s;
    return pst_order_state_parse(name, &s) ? states[s].text : NULL;
}

void pst_order_forget(struct pst_order *o)
{
    struct order_data was = o->data;

    o->data =
        (struct order_data){.restarts = was.restarts, .shown = was.shown, .told_s = was.told_s};
    o->row.order_url[0] = '\0';
}

/* ---- saving ---- */

struct save {
    struct pst_order *o;
    const struct pst_step *step;
    const struct pst_err *fault;               /* NULL: the step went well */
    const struct pst_order_decision *decision; /* with a fault */
    bool drop;                                 /* its value in the DNS is needed no more */
    bool release;
};

static int fill_row(struct pst_order *o, const struct pst_step *step, struct pst_err *err)
{
    struct pst_order_row *r = &o->row;
    pst_str_copy(r->state, sizeof r->state, states[step->next].name);
    r->lane = states[step->next].lane;
    r->run_at_ms = step->run_at_ms ? step->run_at_ms : pst_order_now_ms(o);
    r->wait_rev = step->wait_rev;
    r->ended_at_ms = pst_order_state_ended(step->next) ? pst_order_now_ms(o) : 0;
    memcpy(r->detail, step->why, sizeof r->detail);
    r->data.max = DATA_MAX; /* the store gave it the length it had */
    pst_buf_cut(&r->data, 0);
    return pst_order_data_write(&o->data, &r->data, err);
}

static int save_tx(struct pst_tx *tx, void *arg, struct pst_err *err)
{
    struct save *s = arg;
    struct pst_order *o = s->o;

    /* First the fence: whoever lost the lease must not touch the domain either. */
    int rc = pst_order_save(tx, &o->row, s->release, LEASE_MS, err);
    if (rc != PST_OK)
        return rc;
    if (s->drop) {
        rc = pst_order_drop_record(tx, o, err);
        if (rc < 0)
            return rc;
    }
    if (s->step->also) {
        rc = s->step->also(tx, o, err);
        if (rc < 0)
            return rc;
    }
    if (!s->fault)
        return PST_OK;
    if (s->step->next == PST_ORDER_FAILED)
        return pst_finish_failed(tx, o, s->fault, s->decision, err);
    if (s->decision->action == PST_ACTION_ASK)
        return pst_finish_asked(tx, o, s->fault, s->decision, err);
    return pst_finish_note(tx, o, o->row.problem, s->step->why, s->step->run_at_ms, err);
}

static int save(struct save *s, struct pst_err *err)
{
    struct pst_order *o = s->o;
    enum pst_order_state from = o->state;

    if (!pst_order_may_go(from, s->step->next))
        return pst_fail(err, PST_EINTERNAL, "%s -> %s is not allowed", states[from].name,
                        states[s->step->next].name);
    s->drop = o->held[0] && (((HOLDS & (1u << from)) && !(HOLDS & (1u << s->step->next))) ||
                             ((WRITES & (1u << from)) && s->step->next == PST_ORDER_CHOOSING));
    if (s->step->next != from) {
        o->data.polls = 0;
        o->data.faults = 0;
        o->data.barrier_rev = 0;
        o->data.barrier_at_ms = 0;
    }
    int64_t now_mono = pst_mono_ms(o->env->o.clock);
    int rc = fill_row(o, s->step, err);
    if (rc == PST_OK)
        rc = pst_store_write(o->env->o.store, save_tx, s, NULL, err);
    if (rc != PST_OK)
        return rc;
    o->state = s->step->next;
    o->leased_at_mono_ms = now_mono; /* a save that does not release prolongs the lease */
    return PST_OK;
}

/* ---- running ---- */

static const char *short_problem(const struct pst_err *fault)
{
    return fault->problem[0] ? fault->problem : pst_rc_name(fault->rc);
}

/* What is not mended by then is told again before the certificate ends. */
static void note_reminder(struct pst_order *o)
{
    if (!o->survey)
        return;
    o->remind = pst_order_remind(o->survey->left_s, o->data.told_s);
    if (o->remind || !o->data.told_s)
        o->data.told_s = o->survey->left_s;
}

/* From a fault to the step that follows it: policy in one place, none in the steps. */
static struct pst_order_decision after_fault(struct pst_order *o, const struct pst_err *fault,
                                             struct pst_step *step)
{
    struct pst_order_decision d = pst_order_decide(&(struct pst_order_fault){
        .err = fault,
        .problem = &o->call.problem,
        .state = o->state,
        .has_order = o->row.order_url[0] != '\0',
        .dead = o->dead,
        .blamed = o->blamed,
        .dns = states[o->state].lane == DNS && !o->of_ca,
        .faults = o->data.faults,
        .restarts = o->data.restarts,
        .now = pst_order_now_ms(o) / 1000,
    });

    *step = (struct pst_step){.next = o->state, .run_at_ms = pst_order_now_ms(o) + d.delay_ms};
    pst_str_copy(step->why, sizeof step->why, fault->text);
    pst_str_copy(o->row.problem, sizeof o->row.problem,
                 d.problem ? d.problem : short_problem(fault));
    o->data.faults++;

    switch (d.action) {
    case PST_ACTION_REPEAT:
    case PST_ACTION_WAIT:
        break;
    case PST_ACTION_ASK:
        note_reminder(o);
        if (o->state != PST_ORDER_SURVEYING)
            step->next = PST_ORDER_CHOOSING;
        break;
    case PST_ACTION_REREAD:
        step->next = o->state == PST_ORDER_ANSWERING ? PST_ORDER_VALIDATING : PST_ORDER_READYING;
        step->run_at_ms = 0;
        break;
    case PST_ACTION_RESTART:
    case PST_ACTION_REREGISTER:
        pst_order_forget(o);
        o->data.restarts++;
        step->next = PST_ORDER_ORDERING;
        step->run_at_ms = 0;
        break;
    case PST_ACTION_FAIL:
    case PST_ACTION_FAIL_DAILY:
    case PST_ACTION_BLOCK:
        step->next = PST_ORDER_FAILED;
        break;
    }
    return d;
}

/* Asked before the step is saved: a row that is let go with it is somebody else's from then on. */
static bool goes_on(const struct pst_order *o, const struct pst_step *step)
{
    return !pst_order_state_ended(step->next) && step->run_at_ms == 0 &&
           states[step->next].lane == o->row.lane && !(o->env->o.stopping && *o->env->o.stopping);
}

static int also_block_budget(struct pst_tx *tx, struct pst_order *o, struct pst_err *err)
{
    return pst_order_budget_block(tx, o, o->row.run_at_ms, err);
}

static int handle_fault(struct pst_order *o, const struct pst_err *fault, struct pst_step *step,
                        bool *ret_on, struct pst_err *err)
{
    struct pst_order_decision d = after_fault(o, fault, step);

    pst_log_err(LOG, "step failed", fault, pst_kv_s("order", o->row.id),
                pst_kv_s("name", o->row.name), pst_kv_s("state", states[o->state].name),
                pst_kv_s("then", states[step->next].name));
    if (d.action == PST_ACTION_WAIT)
        step->also = also_block_budget;
    else if (step->next == PST_ORDER_FAILED)
        step->also = pst_order_drop_challenge;

    if (d.action == PST_ACTION_REREGISTER) {
        int rc = pst_order_account_lost(o, err);
        if (rc < 0)
            return rc;
    }
    if (d.action == PST_ACTION_BLOCK) {
        int rc = pst_order_account_block(o->env, fault->text, err);
        if (rc < 0)
            return rc;
    }
    *ret_on = goes_on(o, step);
    struct save s = {.o = o, .step = step, .fault = fault, .decision = &d, .release = !*ret_on};
    return save(&s, err);
}

/* The CA's order is over by its own date: what it still says about it does not matter. */
static bool expired(const struct pst_order *o)
{
    return o->state > PST_ORDER_ORDERING && o->state < PST_ORDER_DEPLOYING && o->data.expires_at &&
           pst_order_now_ms(o) / 1000 >= o->data.expires_at;
}

static int begin_again(struct pst_order *o, struct pst_step *step)
{
    pst_log_info(LOG, "the CA's order has expired; a new one", pst_kv_s("order", o->row.id),
                 pst_kv_s("name", o->row.name));
    pst_order_forget(o);
    step->next = PST_ORDER_ORDERING;
    return PST_OK;
}

static int wake_tx(struct pst_tx *tx, void *arg, struct pst_err *err)
{
    struct pst_order *o = arg;
    return pst_order_wake(tx, NULL, pst_order_now_ms(o), err);
}

/* The CA answers again: orders that wait for it need wait no longer. */
static void note_ca(struct pst_order *o, int rc, const struct pst_err *fault)
{
    struct pst_err err = {0};

    if (states[o->state].lane == DNS && !o->of_ca)
        return;
    if (rc == PST_ENET && fault->rc == PST_ENET) {
        o->env->ca_down = true;
        return;
    }
    if (rc != PST_OK || !o->call.account.url || !atomic_exchange(&o->env->ca_down, false))
        return;
    if (pst_store_write(o->env->o.store, wake_tx, o, NULL, &err) < 0)
        pst_log_err(LOG, "waiting orders could not be woken", &err);
}

/* One step and its save.  *ret_on: run the next one at once. */
static int run_step(struct pst_order *o, bool *ret_on, struct pst_err *err)
{
    struct pst_step step = {.next = o->state};
    struct pst_err fault = {0};
    enum pst_order_state from = o->state;
    int64_t begun = pst_mono_ms(o->env->o.clock);

    o->call.problem.type = PST_ACME_NONE;
    o->dead = false;
    o->dns_error[0] = '\0';
    o->blamed = false;
    o->of_ca = false;
    o->remind = false;
    memcpy(o->held, o->data.value, sizeof o->held);
    o->row.problem[0] = '\0';
    int rc = expired(o) ? begin_again(o, &step) : states[from].run(o, &step, &fault);
    pst_order_crash_point(from, "exchanged");
    if (rc > 0 && rc != PST_REFUSED)
        rc = pst_unexpected(&fault, rc, states[from].name);

    note_ca(o, rc, &fault);
    pst_metric_count(rc == PST_OK ? "order_steps" : "order_step_faults", states[from].name);
    if (rc == PST_OK) {
        o->data.faults = 0;
        *ret_on = goes_on(o, &step);
        struct save s = {.o = o, .step = &step, .release = !*ret_on};
        rc = save(&s, err);
    } else {
        rc = handle_fault(o, &fault, &step, ret_on, err);
    }
    pst_order_crash_point(from, "saved");
    if (rc == PST_OK && o->state == PST_ORDER_WITHDRAWN && o->env->o.watch)
        o->env->o.watch(o->env->o.arg, o->row.domain_id, o->row.name);
    *ret_on = *ret_on && rc == PST_OK;
    if (rc == PST_OK)
        pst_log_debug(LOG, "step", pst_kv_s("order", o->row.id), pst_kv_s("name", o->row.name),
                      pst_kv_s("from", states[from].name), pst_kv_s("to", states[step.next].name),
                      pst_kv_i("took_ms", pst_mono_ms(o->env->o.clock) - begun));
    return rc;
}

static void order_free(struct pst_order *o)
{
    pst_order_row_deinit(&o->row);
    pst_certificate_deinit(&o->issued);
    pst_order_refusal_free(o->refusal);
    pst_dns_record_deinit(&o->record);
    pst_survey_free(o->survey);
    pst_free(o->offer);
    pst_free(o);
}
PST_CLEANUP(struct pst_order, order_free);

int pst_order_run(struct pst_order *o, int *ret_steps, struct pst_err *err)
{
    int steps = 0;
    bool on = true;
    int rc = PST_OK;

    if (o->chore != PST_CHORE_NONE) {
        rc = pst_chore_run(o, err);
        on = false;
    }
    while (on) {
        rc = run_step(o, &on, err);
        steps++;
    }
    if (rc == PST_CONFLICT) {
        /* The lease ran out, or the domain was removed meanwhile: the successor decides. */
        pst_log_info(LOG, "order taken over or removed", pst_kv_s("order", o->row.id),
                     pst_kv_s("name", o->row.name));
        rc = PST_OK;
    }
    if (ret_steps)
        *ret_steps = steps;
    order_free(o);
    return rc < 0 ? pst_wrap(err, "order") : rc;
}

struct lease {
    struct pst_order *o;
    enum pst_lane lane;
    int64_t now_ms;
};

static int lease_tx(struct pst_tx *tx, void *arg, struct pst_err *err)
{
    struct lease *l = arg;
    pst_order_row_deinit(&l->o->row);
    l->o->row = (struct pst_order_row){0};
    return pst_order_claim(tx, l->lane, l->now_ms, LEASE_MS, &l->o->row, err);
}

static int read_state(struct pst_order *o, struct pst_err *err)
{
    if (!pst_order_state_parse(o->row.state, &o->state) || pst_order_state_ended(o->state))
        return pst_fail(err, PST_EINTERNAL, "order %s: unknown state \"%s\"", o->row.id,
                        o->row.state);
    int rc = pst_order_data_read(&o->data, pst_buf_cstr(&o->row.data), o->row.data.len, err);
    return rc < 0 ? pst_wrap(err, "order %s", o->row.id) : rc;
}

/* Orders come before chores: somebody waits for them. */
int pst_order_lease(struct pst_order_env *env, enum pst_lane lane, struct pst_order **ret,
                    struct pst_err *err)
{
    auto_(order_free) struct pst_order *o = pst_zalloc(1, sizeof *o);
    if (!o)
        return pst_fail_nomem(err, "an order");
    o->env = env;
    o->call.ca = env->o.ca;
    o->call.cancel = env->o.stopping;

    struct lease l = {.o = o, .lane = lane, .now_ms = pst_wall_ms(env->o.clock)};
    int rc = pst_store_write(env->o.store, lease_tx, &l, NULL, err);
    if (rc == PST_OK)
        rc = read_state(o, err);
    else if (rc == PST_NOTFOUND && lane == DNS)
        rc = pst_chore_lease(o, err);
    if (rc != PST_OK)
        return rc;
    o->leased_at_mono_ms = pst_mono_ms(env->o.clock);
    *ret = pst_take(&o);
    return PST_OK;
}

int pst_order_next_at(struct pst_tx *tx, enum pst_lane lane, int64_t *ret_at_ms,
                      struct pst_err *err)
{
    int64_t orders, other = 0;

    int rc = pst_order_next_due(tx, lane, &orders, err);
    if (rc == PST_OK && lane == DNS)
        rc = pst_chore_next_due(tx, &other, err);
    else if (rc == PST_OK)
        rc = pst_domain_next_due(tx, &other, err); /* a new order begins */
    if (rc == PST_OK)
        *ret_at_ms = !orders || (other && other < orders) ? other : orders;
    return rc;
}
