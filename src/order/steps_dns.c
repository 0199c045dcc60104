/* steps_dns.c - surveying, choosing, recording, confirming, awaiting, propagating: how a wildcard's
 * challenge is answered in the DNS. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include <postern/answers.h>
#include <postern/challenge.h>

#include <postern/permanent.h>

#include "order_internal.h"

enum {
    ANSWER_LIFE_S = 86400, /* of a value at our own name servers; it goes with its order */
    ASK_AGAIN_S = 600,     /* a provider that has refused is asked again so often */
    SLOW_S = 300,          /* name servers that need longer are shown to people */
    DAY_S = 86400,
};

PST_CLEANUP(struct pst_dns_provider, pst_dns_provider_free);

static int load_domain(struct pst_tx *tx, struct pst_order *o, struct pst_domain *d,
                       struct pst_err *err)
{
    int rc = pst_domain_get(tx, o->row.domain_id, d, err);
    return rc > 0 ? PST_NOTFOUND : rc;
}

static void clear_manual(struct pst_domain *d)
{
    d->acme_dns_fqdn[0] = d->acme_dns_value[0] = '\0';
    d->acme_dns_until = 0;
    if (d->phase == PST_PHASE_MANUAL) {
        d->phase = PST_PHASE_WORK;
        d->problem[0] = d->record[0] = d->evidence[0] = '\0';
    }
}

int pst_order_drop_record(struct pst_tx *tx, struct pst_order *o, struct pst_err *err)
{
    char label[PST_DELEGATION_LABEL_SIZE];
    struct pst_domain d;

    int rc = pst_dns_record_drop(tx, o->row.id, pst_order_now_ms(o), err);
    if (rc == PST_OK)
        rc = load_domain(tx, o, &d, err);
    if (rc != PST_OK)
        return rc < 0 ? rc : PST_OK; /* with the domain gone our own answer runs out */
    rc = pst_delegation_label(d.user_id, o->row.name, label, err);
    if (rc == PST_OK)
        rc = pst_dns_answer_delete(tx, label, o->held, err);
    if (rc < 0)
        return rc;
    if (!d.acme_dns_fqdn[0] && d.phase != PST_PHASE_MANUAL)
        return PST_OK;
    clear_manual(&d);
    return pst_domain_update(tx, &d, err);
}

/* ---- surveying ---- */

/* What was decided, without anything that is in the way. */
static void put_way(struct pst_domain *d, struct pst_order *o)
{
    pst_str_copy(d->acme_method, sizeof d->acme_method, pst_way_name(o->survey->way));
    pst_str_copy(d->acme_dns_error, sizeof d->acme_dns_error, o->dns_error);
    d->problem[0] = d->record[0] = d->evidence[0] = '\0';
    d->phase = PST_PHASE_WORK;
    d->next_try_at_ms = 0;
}

/* When the permanent record that proves the name ends; 0: never, or it is proved in another way. */
static int64_t record_end(const struct pst_survey *s)
{
    return s->way == PST_WAY_PERSIST ? s->permanent.until_at : 0;
}

static int also_surveyed(struct pst_tx *tx, struct pst_order *o, struct pst_err *err)
{
    static const char *const reasons[] = {
        [PST_WAY_PERSIST] = "The permanent DNS record was found; the certificate is ordered.",
        [PST_WAY_DELEGATION] = "The delegation in the DNS was found; the certificate is ordered.",
        [PST_WAY_PROVIDER] = "The DNS provider was reached; the certificate is ordered.",
        [PST_WAY_MANUAL] = "The CA is asked for the DNS record that has to be made.",
    };
    struct pst_domain d;

    int rc = load_domain(tx, o, &d, err);
    if (rc != PST_OK)
        return rc < 0 ? rc : PST_OK;
    put_way(&d, o);
    pst_str_copy(d.reason, sizeof d.reason, reasons[o->survey->way]);
    rc = pst_permanent_put(tx, d.id, record_end(o->survey), err);
    return rc == PST_OK ? pst_domain_update(tx, &d, err) : rc;
}

/* The CA's part of steps in the lane of the DNS: its faults are not the tenant's. */
static int ready(struct pst_order *o, struct pst_step *ret, struct pst_err *err)
{
    int rc = pst_order_ready(o, ret, err);
    o->of_ca = rc < 0;
    return rc;
}

static int provider_fault(const struct pst_order *o, struct pst_err *err)
{
    *err = o->survey->fault;
    return err->rc;
}

/*
 * The account, then a look at all ways.  PST_OK; PST_DONE: the step is over, ret says what is next;
 * or a fault.
 */
static int survey(struct pst_order *o, bool check, struct pst_step *ret, struct pst_err *err)
{
    int rc = ready(o, ret, err);
    if (rc == PST_OK)
        rc = pst_order_survey(o, check, err);
    if (rc == PST_NOTFOUND)
        ret->next = PST_ORDER_WITHDRAWN; /* the domain is gone, and the order with it */
    return rc == PST_NOTFOUND || rc == PST_NOTYET ? PST_DONE : rc;
}

int pst_step_surveying(struct pst_order *o, struct pst_step *ret, struct pst_err *err)
{
    int rc = survey(o, true, ret, err);
    if (rc != PST_OK)
        return rc == PST_DONE ? PST_OK : rc;
    if (o->survey->way == PST_WAY_PROVIDER && o->survey->fault.rc != PST_OK)
        return provider_fault(o, err);
    ret->also = also_surveyed;
    rc = pst_order_check_caa(o, pst_way_challenge(o->survey->way), ret, err);
    o->of_ca = rc < 0;
    return rc;
}

/* ---- choosing ---- */

static int also_persist(struct pst_tx *tx, struct pst_order *o, struct pst_err *err)
{
    struct pst_domain d;

    int rc = load_domain(tx, o, &d, err);
    if (rc != PST_OK)
        return rc < 0 ? rc : PST_OK;
    clear_manual(&d);
    put_way(&d, o);
    pst_str_copy(d.reason, sizeof d.reason, "The CA looks at the permanent DNS record.");
    rc = pst_permanent_put(tx, d.id, record_end(o->survey), err);
    return rc == PST_OK ? pst_domain_update(tx, &d, err) : rc;
}

static int also_delegate(struct pst_tx *tx, struct pst_order *o, struct pst_err *err)
{
    struct pst_domain d;

    int rc = load_domain(tx, o, &d, err);
    if (rc != PST_OK)
        return rc < 0 ? rc : PST_OK;
    clear_manual(&d);
    put_way(&d, o);
    pst_str_copy(d.reason, sizeof d.reason,
                 "The challenge's answer is at the platform's name servers.");
    rc = pst_domain_update(tx, &d, err);
    if (rc == PST_OK)
        rc = pst_dns_answer_put(tx, o->survey->label, o->data.value,
                                pst_order_now_ms(o) + ANSWER_LIFE_S * 1000LL, err);
    return rc > 0 ? pst_unexpected(err, rc, "a value at our name servers") : rc;
}

static int also_provider(struct pst_tx *tx, struct pst_order *o, struct pst_err *err)
{
    struct pst_domain d;

    int rc = load_domain(tx, o, &d, err);
    if (rc != PST_OK)
        return rc < 0 ? rc : PST_CONFLICT; /* nothing is written for a domain that is gone */
    clear_manual(&d);
    put_way(&d, o);
    pst_str_copy(d.reason, sizeof d.reason, "The DNS provider gets the challenge's answer.");
    rc = pst_domain_update(tx, &d, err);
    return rc == PST_OK ? pst_dns_record_insert(tx, &o->record, err) : rc;
}

/* The intent: it is stored with the variables that the value will be written with. */
static int fill_record(struct pst_order *o, struct pst_err *err)
{
    const struct pst_survey *s = o->survey;
    struct pst_dns_record_row *r = &o->record;

    pst_dns_record_deinit(r);
    *r = (struct pst_dns_record_row){.run_at_ms = pst_order_now_ms(o)};
    pst_id_new(o->env->o.rand, r->id);
    memcpy(r->order_id, o->row.id, sizeof r->order_id);
    memcpy(r->domain_id, s->domain.id, sizeof r->domain_id);
    memcpy(r->app_id, s->domain.app_id, sizeof r->app_id);
    memcpy(r->user_id, s->domain.user_id, sizeof r->user_id);
    pst_str_cut(r->provider, sizeof r->provider, pst_vars_provider(s->vars));
    memcpy(r->name, s->fqdn, sizeof r->name);
    memcpy(r->target, s->target, sizeof r->target);
    memcpy(r->value, o->data.value, sizeof r->value);
    r->sealed = (struct pst_buf)PST_BUF(512 * 1024);
    return pst_vars_seal(s->vars, o->env, r->id, &r->sealed, err);
}

static void describe_manual(struct pst_domain *d, struct pst_order *o)
{
    put_way(d, o);
    pst_str_copy(d->acme_method, sizeof d->acme_method, pst_way_name(PST_WAY_MANUAL));
    pst_str_copy(d->acme_dns_fqdn, sizeof d->acme_dns_fqdn, o->data.target);
    pst_str_copy(d->acme_dns_value, sizeof d->acme_dns_value, o->data.value);
    d->acme_dns_until = o->data.expires_at;
    d->phase = PST_PHASE_MANUAL;
    d->next_try_at_ms = o->row.run_at_ms;
    pst_str_copy(d->problem, sizeof d->problem, "dns.manual");
    pst_str_cut(d->reason, sizeof d->reason,
                o->dns_error[0] ? "A DNS record has to be made, or the variables of the DNS "
                                  "provider mended."
                                : "A DNS record has to be made: the CA looks for it.");
    snprintf(d->record, sizeof d->record, "%s. TXT \"%s\"", o->data.target, o->data.value);
}

static int tell_manual(struct pst_tx *tx, const struct pst_domain *d, const char *why,
                       struct pst_err *err)
{
    return pst_event_system(tx, d->app_id, d->id, "domain.action-required", err,
                            "%sMake this DNS record: %s", why, d->record);
}

static int also_manual(struct pst_tx *tx, struct pst_order *o, struct pst_err *err)
{
    struct pst_domain d;

    int rc = load_domain(tx, o, &d, err);
    if (rc != PST_OK)
        return rc < 0 ? rc : PST_OK;
    bool told = pst_streq(d.acme_dns_value, o->data.value);
    describe_manual(&d, o);
    rc = pst_domain_update(tx, &d, err);
    if (rc < 0 || told)
        return rc;
    return tell_manual(
        tx, &d, o->data.shown > 1 ? "The CA's order has ended, so the value is another one. " : "",
        err);
}

static int choose_manual(struct pst_order *o, struct pst_step *ret)
{
    if (!pst_streq(o->survey->domain.acme_dns_value, o->data.value)) {
        o->data.shown++;
        o->data.told_s = o->survey->left_s;
    }
    ret->next = PST_ORDER_AWAITING;
    ret->also = also_manual;
    return PST_OK;
}

static int choose_provider(struct pst_order *o, struct pst_step *ret, struct pst_err *err)
{
    const struct pst_err *fault = &o->survey->fault;

    if (fault->rc != PST_OK && (fault->rc == PST_ECONFIG || pst_dns_transient(fault)))
        return provider_fault(o, err);
    if (fault->rc != PST_OK) {
        /* The order is there: a record by hand serves as well as better variables. */
        o->data.asked_at_ms = pst_order_now_ms(o);
        return choose_manual(o, ret);
    }
    bool hides;
    int rc = pst_order_may_hide(o, &hides, err);
    if (rc != PST_OK)
        return rc;
    o->data.may_hide = hides;
    o->chosen = true;
    o->data.adds = 0;
    o->data.change[0] = '\0';
    ret->next = PST_ORDER_RECORDING;
    ret->also = also_provider;
    return fill_record(o, err);
}

int pst_step_choosing(struct pst_order *o, struct pst_step *ret, struct pst_err *err)
{
    int rc = survey(o, true, ret, err);
    if (rc != PST_OK)
        return rc == PST_DONE ? PST_OK : rc;
    bool persist = o->survey->way == PST_WAY_PERSIST;
    const char *url = persist ? o->data.persist_url : o->data.dns_url;
    memcpy(o->data.target, o->survey->target, sizeof o->data.target);
    memcpy(o->data.challenge_url, url, sizeof o->data.challenge_url);
    o->data.since_ms = pst_order_now_ms(o);
    if (!url[0]) {
        pst_fail(err, PST_EREMOTE,
                 "the CA only offers dns-persist-01 for %s, whose record is not "
                 "there",
                 o->row.name);
        pst_err_retry(err, PST_RETRY_NEVER, 0);
        return PST_EREMOTE;
    }
    switch (o->survey->way) {
    case PST_WAY_PERSIST:
        ret->next = PST_ORDER_ANSWERING;
        ret->also = also_persist;
        return PST_OK;
    case PST_WAY_DELEGATION:
        ret->next = PST_ORDER_PROPAGATING;
        ret->also = also_delegate;
        return PST_OK;
    case PST_WAY_PROVIDER:
        return choose_provider(o, ret, err);
    case PST_WAY_MANUAL:
    case PST_WAY__COUNT:
        break;
    }
    return choose_manual(o, ret);
}

/* ---- recording, confirming ---- */

static int record_tx(struct pst_tx *tx, void *arg, struct pst_err *err)
{
    struct pst_order *o = arg;

    pst_dns_record_deinit(&o->record);
    o->record = (struct pst_dns_record_row){0};
    return pst_dns_record_of(tx, o->row.id, &o->record, err);
}

/* The provider as it was chosen: by the variables of the record, whatever the app's are by now. */
static int open_provider(struct pst_order *o, struct pst_dns_provider **ret, struct pst_err *err)
{
    auto_(pst_vars_free) struct pst_vars *vars = NULL;
    struct pst_dns_blame blame = {0};

    int rc = pst_store_read(o->env->o.store, record_tx, o, err);
    if (rc == PST_OK)
        rc = pst_vars_unseal(o->env, o->record.id, &o->record.sealed, &vars, err);
    if (rc == PST_OK)
        rc = pst_vars_open(vars, o->env, ret, &blame, err);
    if (rc == PST_NOTFOUND)
        return pst_fail(err, PST_EINTERNAL, "the order's DNS record is not stored");
    if (rc == PST_REFUSED)
        pst_order_blame(o, &blame, err);
    return rc;
}

static int blamed(struct pst_order *o, const struct pst_dns_provider *p, int rc,
                  const struct pst_err *err)
{
    if (rc < 0 && !pst_dns_transient(err))
        pst_order_blame(o, pst_dns_blame(p), err);
    return rc;
}

int pst_step_recording(struct pst_order *o, struct pst_step *ret, struct pst_err *err)
{
    auto_(pst_dns_provider_free) struct pst_dns_provider *p = NULL;
    struct pst_dns_change change = {{0}};

    int rc = open_provider(o, &p, err);
    if (rc != PST_OK)
        return rc;
    struct pst_dns_record r = {
        .fqdn = o->record.target,
        .value = o->record.value,
        .delegated = !pst_streq(o->record.target, o->record.name),
        .again = o->data.adds > 0 || !o->chosen,
    };
    o->data.adds++;
    rc = pst_dns_txt_add(p, &r, &change, err);
    if (rc != PST_OK && rc != PST_DONE)
        return blamed(o, p, rc, err);
    pst_str_copy(o->data.change, sizeof o->data.change, change.text);
    ret->next = change.text[0] ? PST_ORDER_CONFIRMING : PST_ORDER_PROPAGATING;
    o->data.since_ms = pst_order_now_ms(o);
    return PST_OK;
}

int pst_step_confirming(struct pst_order *o, struct pst_step *ret, struct pst_err *err)
{
    auto_(pst_dns_provider_free) struct pst_dns_provider *p = NULL;
    struct pst_dns_change change;

    pst_str_copy(change.text, sizeof change.text, o->data.change);
    int rc = open_provider(o, &p, err);
    if (rc == PST_OK)
        rc = blamed(o, p, pst_dns_confirm(p, &change, err), err);
    if (rc == PST_OK)
        ret->next = PST_ORDER_PROPAGATING;
    else if (rc == PST_NOTYET)
        pst_order_poll_again(o, 0, ret);
    return rc == PST_NOTYET ? PST_OK : rc;
}

/* ---- propagating ---- */

static int look(struct pst_order *o, struct pst_err *err)
{
    struct pst_dns_look l = {
        .target = o->data.target, .value = o->data.value, .resolver = o->env->o.dns_resolver};
    return pst_dns_look(o->env->o.resolver, &l, &o->seen, err);
}

/* A permanent record that is meant for us and cannot do: its owner thinks that all is well. */
static void describe_permanent(const struct pst_order *o, char *to, size_t size)
{
    const struct pst_persist_verdict *v = o->survey ? &o->survey->permanent : NULL;
    char fqdn[PST_NAME_SIZE];
    size_t len = strlen(to);

    if (v && v->result >= PST_PERSIST_OTHER_ACCOUNT && v->result != PST_PERSIST_MATCH &&
        pst_persist_fqdn(o->row.name, fqdn))
        snprintf(to + len, size - len, "; the permanent record at %s cannot be used: %s", fqdn,
                 v->why);
}

static void describe_seen(const struct pst_order *o, char *to, size_t size)
{
    const struct pst_dns_seen *s = &o->seen;

    if (s->servers_n)
        snprintf(to, size, "%zu of %zu name servers have the value at %s; not %s", s->have_n,
                 s->servers_n, o->data.target, s->missing);
    else
        snprintf(to, size, "%s", s->missing);
    describe_permanent(o, to, size);
}

static int also_unseen(struct pst_tx *tx, struct pst_order *o, struct pst_err *err)
{
    struct pst_domain d;

    int rc = load_domain(tx, o, &d, err);
    if (rc != PST_OK)
        return rc < 0 ? rc : PST_OK;
    describe_seen(o, d.evidence, sizeof d.evidence);
    d.next_try_at_ms = o->row.run_at_ms;
    if (pst_order_now_ms(o) - o->data.since_ms > SLOW_S * 1000) {
        pst_str_copy(d.problem, sizeof d.problem, "dns.unseen");
        pst_str_copy(d.reason, sizeof d.reason,
                     "The record was written, but not every name server of the zone gives it.");
    }
    return pst_domain_update(tx, &d, err);
}

int pst_step_propagating(struct pst_order *o, struct pst_step *ret, struct pst_err *err)
{
    int rc = look(o, err);
    if (rc == PST_OK && o->data.may_hide)
        rc = pst_order_hides(o, err);
    if (rc == PST_OK) {
        ret->next = PST_ORDER_ANSWERING;
        return PST_OK;
    }
    if (rc != PST_NOTYET)
        return rc;
    pst_order_poll_again(o, 0, ret);
    ret->also = also_unseen;
    describe_seen(o, ret->why, sizeof ret->why);
    return PST_OK;
}

/* ---- awaiting ---- */

bool pst_order_remind(int64_t left_s, int64_t told_s)
{
    static const int64_t days[] = {14, 7, 3, 1};

    for (size_t i = 0; i < PST_ARRAY_N(days); i++) {
        if (left_s > 0 && left_s <= days[i] * DAY_S && told_s > days[i] * DAY_S)
            return true;
    }
    return false;
}

static int also_awaiting(struct pst_tx *tx, struct pst_order *o, struct pst_err *err)
{
    struct pst_domain d;
    char why[80];

    int rc = load_domain(tx, o, &d, err);
    if (rc != PST_OK)
        return rc < 0 ? rc : PST_OK;
    /* What the credentials' check wrote stays. */
    pst_str_copy(o->dns_error, sizeof o->dns_error, d.acme_dns_error);
    describe_manual(&d, o);
    describe_seen(o, d.evidence, sizeof d.evidence);
    rc = pst_domain_update(tx, &d, err);
    if (rc < 0 || !o->remind)
        return rc;
    snprintf(why, sizeof why, "The certificate ends in %" PRId64 " days. ",
             (o->survey->left_s + DAY_S - 1) / DAY_S);
    return tell_manual(tx, &d, why, err);
}

static int also_found(struct pst_tx *tx, struct pst_order *o, struct pst_err *err)
{
    struct pst_domain d;

    int rc = load_domain(tx, o, &d, err);
    if (rc != PST_OK)
        return rc < 0 ? rc : PST_OK;
    /* The record is still shown: it has to stay until the CA has seen it. */
    d.phase = PST_PHASE_WORK;
    d.problem[0] = d.evidence[0] = '\0';
    d.next_try_at_ms = 0;
    pst_str_copy(d.reason, sizeof d.reason,
                 "The DNS record was found; it has to stay until the CA has looked.");
    return pst_domain_update(tx, &d, err);
}

/* Is there a better way than by hand now?  A provider that refused is left alone for some time, or
 * until its variables have passed a check. */
static bool better(const struct pst_order *o)
{
    int64_t since_ms = pst_order_now_ms(o) - o->data.asked_at_ms;
    const struct pst_survey *s = o->survey;

    if (s->way != PST_WAY_PROVIDER)
        return s->way != PST_WAY_MANUAL;
    return !s->domain.acme_dns_error[0] || since_ms >= ASK_AGAIN_S * 1000;
}

int pst_step_awaiting(struct pst_order *o, struct pst_step *ret, struct pst_err *err)
{
    int rc = survey(o, false, ret, err);
    if (rc != PST_OK)
        return rc == PST_DONE ? PST_OK : rc;
    if (better(o)) {
        ret->next = PST_ORDER_CHOOSING;
        return PST_OK;
    }
    memcpy(o->data.target, o->survey->target, sizeof o->data.target);
    rc = look(o, err);
    if (rc == PST_OK) {
        ret->next = PST_ORDER_ANSWERING;
        ret->also = also_found;
        return PST_OK;
    }
    if (rc != PST_NOTYET)
        return rc;
    o->remind = pst_order_remind(o->survey->left_s, o->data.told_s);
    if (o->remind)
        o->data.told_s = o->survey->left_s;
    ret->run_at_ms = pst_order_now_ms(o) + o->env->o.look_ms;
    ret->also = also_awaiting;
    describe_seen(o, ret->why, sizeof ret->why);
    return PST_OK;
}
