/* order_internal.h - what the files of order/ and their tests share. */
#ifndef PST_ORDER_INTERNAL_H
#define PST_ORDER_INTERNAL_H

#include <pthread.h>

#include <postern/acme.h>
#include <postern/base.h>
#include <postern/crypto.h>
#include <postern/dns.h>
#include <postern/dns_records.h>
#include <postern/order.h>
#include <postern/persist.h>
#include <postern/store.h>

#define LOG "order"

enum pst_order_state {
    PST_ORDER_CHECKING,    /* DNS and CAA once more, before the CA is told anything */
    PST_ORDER_SURVEYING,   /* the same for a wildcard, and by which way it can be proved */
    PST_ORDER_ORDERING,    /* budget, account, newOrder */
    PST_ORDER_AUTHORIZING, /* read the authorization, store the challenge's answer */
    PST_ORDER_CHOOSING,    /* which way the answer gets into the DNS; store what is going to be */
    PST_ORDER_RECORDING,   /* the provider gets the value */
    PST_ORDER_CONFIRMING,  /* and has carried it out */
    PST_ORDER_AWAITING,    /* a person makes the record */
    PST_ORDER_PROPAGATING, /* wait until every authoritative server has the value */
    PST_ORDER_PUBLISHING,  /* wait until every live edge has the answer */
    PST_ORDER_ANSWERING,   /* tell the CA that it may look */
    PST_ORDER_VALIDATING,  /* poll the authorization */
    PST_ORDER_READYING,    /* poll the order until it may be finalized */
    PST_ORDER_FINALIZING,  /* hand in the CSR */
    PST_ORDER_ISSUING,     /* poll the order until there is a certificate */
    PST_ORDER_DOWNLOADING, /* fetch, check and store the certificate */
    PST_ORDER_DEPLOYING,   /* wait until every live edge serves it */
    PST_ORDER_SCHEDULING,  /* ask the CA when to renew it */
    PST_ORDER_DONE,
    PST_ORDER_FAILED,
    PST_ORDER_WITHDRAWN,
    PST_ORDER_STATE__COUNT
};

enum { PST_URL_SIZE = 2048, PST_TOKEN_SIZE = 129, PST_ORDER_LEASE_MS = 120 * 1000 };

/* By which way a name is proved, the best first. */
enum pst_way {
    PST_WAY_PERSIST,    /* a permanent record of the tenant's names us */
    PST_WAY_DELEGATION, /* a CNAME of the tenant's leads to our name servers */
    PST_WAY_PROVIDER,   /* the app's variables name a DNS provider */
    PST_WAY_MANUAL,     /* a person makes the record, each time */
    PST_WAY__COUNT
};
/* "dns-01:manual"; as in acme_method. */
const char *pst_way_name(enum pst_way w);
/* "dns-01", "dns-persist-01". */
const char *pst_way_challenge(enum pst_way w);

/* What an order must remember between steps besides its columns; stored as JSON. */
struct order_data {
    char authz_url[PST_URL_SIZE];
    char challenge_url[PST_URL_SIZE];
    char finalize_url[PST_URL_SIZE];
    char certificate_url[PST_URL_SIZE];
    char token[PST_TOKEN_SIZE];
    int64_t expires_at;    /* of the CA's order, Unix seconds; 0: not stated */
    int64_t polls;         /* answers that said "not yet" in this state */
    int64_t faults;        /* faults in a row in this state */
    int64_t restarts;      /* times the CA had forgotten it */
    int64_t barrier_rev;   /* revision that the edges must have; 0: not known yet */
    int64_t barrier_at_ms; /* when waiting for them ends */

    char dns_url[PST_URL_SIZE];     /* of the challenge dns-01 */
    char persist_url[PST_URL_SIZE]; /* of dns-persist-01; "": not offered */
    char target[PST_NAME_SIZE];     /* where the value stands, behind the CNAMEs */
    char value[64];
    char change[256];    /* what the provider has yet to confirm */
    int64_t may_hide;    /* 1: the record may hide a wildcard record */
    int64_t adds;        /* times that the value was handed to the provider */
    int64_t shown;       /* values that a person was shown */
    int64_t since_ms;    /* when waiting for the name servers began */
    int64_t asked_at_ms; /* when the provider last refused */
    int64_t told_s;      /* left of the certificate when the person was last told, 0: not yet */
};

int pst_order_data_write(const struct order_data *d, struct pst_buf *to, struct pst_err *err);
/* PST_OK or PST_EINTERNAL. */
int pst_order_data_read(struct order_data *ret, const char *json, size_t len, struct pst_err *err);

struct refusal;
void pst_order_refusal_free(struct refusal *r);

struct pst_order_env {
    struct pst_order_opts o;
    enum pst_key_type key_type;
    pthread_mutex_t lock;       /* account below, and one registration at a time */
    struct pst_account account; /* as last read; id "" before */
    struct pst_key_handle *key; /* of the account */
    atomic_bool ca_down;        /* the last word from the CA was none */
};

/* Other work of the lane 'dns' than orders. */
enum pst_chore {
    PST_CHORE_NONE,
    PST_CHORE_REMOVE, /* take a value away from a provider */
    PST_CHORE_CHECK,  /* try the variables of a domain's app */
};

struct pst_order {
    struct pst_order_env *env;
    enum pst_chore chore;
    struct pst_dns_record_row record; /* to be removed */
    int64_t check_stamp;              /* of row.domain_id's variables */
    struct pst_order_row row;
    enum pst_order_state state;
    struct order_data data;
    struct pst_acme_call call; /* the CA, and its last problem */
    char account_url[PST_URL_SIZE];
    char thumbprint[64];
    int64_t leased_at_mono_ms;
    char held[64];                   /* the value in the DNS as this step found it */
    bool dead;                       /* the CA's order or authorization is invalid */
    struct refusal *refusal;         /* between a check and storing what it found */
    struct pst_certificate issued;   /* between checking and storing a certificate */
    struct pst_acme_renewal window;  /* between the CA's advice and storing it */
    bool of_ca;                      /* in the lane of the DNS: this fault is the CA's */
    bool blamed;                     /* variables of the provider are at fault, in this step */
    bool chosen;                     /* this worker has just stored what it is about to write */
    char dns_error[512];             /* as in acme_dns_error, of this step */
    struct pst_dns_seen seen;        /* of the value, of this step */
    bool remind;                     /* a person, of the record */
    struct pst_persist_offer *offer; /* between reading the authorization and storing it */
    struct pst_survey *survey;       /* between looking at the DNS and storing what follows */
};

/* What a step wants to happen next.  Everything in it is saved in one transaction. */
struct pst_step {
    enum pst_order_state next;
    int64_t run_at_ms; /* 0: at once */
    int64_t wait_rev;  /* or as soon as the edges have this revision; 0: none */
    char why[400];     /* for people */
    /* More to write with it; may run again. */
    int (*also)(struct pst_tx *tx, struct pst_order *o, struct pst_err *err);
};

typedef int pst_step_fn(struct pst_order *o, struct pst_step *ret, struct pst_err *err);

pst_step_fn pst_step_checking, pst_step_surveying, pst_step_ordering, pst_step_authorizing,
    pst_step_choosing, pst_step_recording, pst_step_confirming, pst_step_awaiting,
    pst_step_propagating, pst_step_publishing, pst_step_answering, pst_step_validating,
    pst_step_readying, pst_step_finalizing, pst_step_issuing, pst_step_downloading,
    pst_step_deploying, pst_step_scheduling;

const char *pst_order_state_name(enum pst_order_state s);
bool pst_order_state_parse(const char *name, enum pst_order_state *ret);
bool pst_order_state_ended(enum pst_order_state s);
bool pst_order_may_go(enum pst_order_state from, enum pst_order_state to);
enum pst_lane pst_order_lane(enum pst_order_state s);

/* Clear what belongs to the CA's order, for a new one. */
void pst_order_forget(struct pst_order *o);

/* An authorization that cannot become valid any more: the fault that ends the attempt. */
struct pst_acme_authz;
int pst_order_authz_failed(struct pst_order *o, const struct pst_acme_authz *a,
                           struct pst_err *err);

/* Have all live edges what was stored up to now?  PST_OK; PST_NOTYET (ret says until when to
 * wait). */
int pst_order_barrier(struct pst_order *o, struct pst_step *ret, struct pst_err *err);
/* The same step again, by the CA's Retry-After (0: not stated) or our own schedule. */
void pst_order_poll_again(struct pst_order *o, int64_t retry_after_ms, struct pst_step *ret);

/* ---- policy.c: what is done about a fault; pure ---- */

enum pst_order_action {
    PST_ACTION_REPEAT,     /* the same step again, later; nobody's fault on our side */
    PST_ACTION_WAIT,       /* the same step, not before run_at_ms: the CA said so */
    PST_ACTION_RESTART,    /* the CA has forgotten the order: a new one */
    PST_ACTION_REREGISTER, /* the CA has forgotten the account */
    PST_ACTION_REREAD,     /* our view of the order is old: read it */
    PST_ACTION_FAIL,       /* the attempt failed; counted, back-off */
    PST_ACTION_FAIL_DAILY, /* it will fail again until a person changes something */
    PST_ACTION_BLOCK,      /* the account needs the operator */
    PST_ACTION_ASK,        /* the tenant must mend something; nothing is counted */
};

struct pst_order_decision {
    enum pst_order_action action;
    int64_t delay_ms;    /* REPEAT, WAIT and ASK */
    const char *user;    /* sentence for the owner of the domain, or NULL */
    const char *problem; /* stable identifier, or NULL: the fault's own */
};

struct pst_order_fault {
    const struct pst_err *err;
    const struct pst_acme_problem *problem; /* type PST_ACME_NONE: none */
    enum pst_order_state state;
    bool has_order; /* the CA has given an order URL */
    bool dead;      /* its order or authorization is invalid and never comes back */
    bool blamed;    /* variables of the DNS provider are at fault */
    bool dns;       /* at a host of the tenant's, or his part of the DNS */
    int64_t faults; /* in a row before this one */
    int64_t restarts;
    int64_t now; /* Unix seconds */
};
struct pst_order_decision pst_order_decide(const struct pst_order_fault *f);

/* Delay before the next question after `polls` answers that said "not yet": the CA's Retry-After,
 * else first_ms, doubled up to 5 s, and after about five minutes once a minute. */
int64_t pst_order_poll_ms(int64_t polls, int64_t retry_after_ms, int64_t first_ms);

/* ---- account.c ---- */

/* Right before each exchange with the CA: read the account, open its key, register it when it has
 * no URL yet (one exchange). PST_OK: o->call is ready.  PST_NOTYET: the operator must act first;
 * err.text says what. PST_EDB: half of the lease is over, so somebody else may soon hold the order:
 * nothing is sent. */
int pst_order_account(struct pst_order *o, struct pst_err *err);
/* The CA does not know the account: register it again before the next order. */
int pst_order_account_lost(struct pst_order *o, struct pst_err *err);
/* Only a person can help: nothing is ordered until the account is made valid again. */
int pst_order_account_block(struct pst_order_env *env, const char *reason, struct pst_err *err);

/* ---- budget.c ---- */

/* May this order be sent now?  Takes from the buckets if so.  PST_OK; PST_NOTYET: not before
 * *ret_at_ms, `why` (400 bytes) says which limit. */
int pst_order_budget_take(struct pst_order *o, int64_t *ret_at_ms, char *why, size_t why_size,
                          struct pst_err *err);
int pst_order_budget_failed(struct pst_tx *tx, struct pst_order *o, struct pst_err *err);
/* The CA said "not before": keep to it for this name and its registered domain. */
int pst_order_budget_block(struct pst_tx *tx, struct pst_order *o, int64_t until_ms,
                           struct pst_err *err);

/* ---- request.c ---- */

/* newOrder with what the settings and the certificate before wish for; an order that the CA does
 * not take as a renewal is sent again as a new one. */
int pst_order_send(struct pst_order *o, struct pst_acme_order **ret, struct pst_err *err);

/* ---- renewal.c ---- */

enum { PST_RENEWAL_HOLD_MS = 10 * 60 * 1000 }; /* after a question that failed */

/* One question to the CA.  PST_NOTFOUND: it gives no advice about this certificate. */
int pst_order_ask_window(struct pst_acme_call *call, const struct pst_certificate *c,
                         struct pst_acme_renewal *ret, struct pst_err *err);
/* When to ask again. */
int64_t pst_order_ask_again_ms(const struct pst_order_env *env, int64_t retry_after_s);

/* ---- finish.c: how an order's end changes its domain (inside the saving transaction) ---- */

int pst_finish_failed(struct pst_tx *tx, struct pst_order *o, const struct pst_err *fault,
                      const struct pst_order_decision *d, struct pst_err *err);
int pst_finish_issued(struct pst_tx *tx, struct pst_order *o, struct pst_err *err);
/* on_top: it is what the edges serve; otherwise it stands by below an uploaded one. */
int pst_finish_served(struct pst_tx *tx, struct pst_order *o, bool on_top, struct pst_err *err);
/* The CA has said when to renew: o->window. */
int pst_finish_scheduled(struct pst_tx *tx, struct pst_order *o, struct pst_err *err);
/* The CA could not be asked: it will be. */
int pst_finish_unadvised(struct pst_tx *tx, struct pst_order *o, struct pst_err *err);
/* Show a wait or a repeated fault beside the domain. */
int pst_finish_note(struct pst_tx *tx, struct pst_order *o, const char *problem, const char *reason,
                    int64_t next_try_at_ms, struct pst_err *err);

/* Fill problem, reason, evidence and record from what DNS says. */
struct pst_watch_verdict;
void pst_order_describe_verdict(struct pst_domain *d, const struct pst_watch_verdict *v);

/* A wildcard cannot go on before its owner mends something. */
int pst_finish_asked(struct pst_tx *tx, struct pst_order *o, const struct pst_err *fault,
                     const struct pst_order_decision *d, struct pst_err *err);

/* ---- way.c: by which way can a wildcard be proved right now? ---- */

struct pst_way_facts {
    bool persist;   /* our permanent record can be seen, and the CA takes it */
    bool delegated; /* the CNAMEs of the challenge's name end at our label */
    bool provider;  /* the app's variables name a DNS provider */
};
enum pst_way pst_way_choose(const struct pst_way_facts *f);

/* What a look at DNS and variables found. */
struct pst_survey {
    enum pst_way way;
    char fqdn[PST_NAME_SIZE];   /* _acme-challenge.<base> */
    char target[PST_NAME_SIZE]; /* where a value belongs: behind its CNAMEs */
    char label[64];             /* ours, for the domain */
    struct pst_domain domain;
    struct pst_vars *vars;                /* of the app */
    struct pst_dns_provider *provider;    /* NULL: none, or its variables are wrong */
    struct pst_err fault;                 /* rc 0: the provider is well */
    int64_t left_s;                       /* of the domain's certificate; 0: none, or it is over */
    struct pst_persist_verdict permanent; /* on the permanent record; NONE: not looked for, too */
};
/*
 * Look at the DNS and at the variables; `check`: with a provider also try its credentials.  What is
 * wrong with a provider is in the survey.  Into o->survey.
 * PST_OK; PST_NOTFOUND: the domain is gone; PST_ENET: the DNS does not say.
 */
int pst_order_survey(struct pst_order *o, bool check, struct pst_err *err);
void pst_survey_free(struct pst_survey *s);

/* Judge the permanent record at a name's place, as the DNS shows it now.  PST_OK; PST_NOTYET: the
 * DNS does not say; PST_NOTFOUND: the name is too long to have one. */
int pst_permanent_judge(const struct pst_order_env *env, const struct pst_persist_ca *ca,
                        const char *name, struct pst_persist_verdict *ret, struct pst_err *err);
/* The permanent record as the CA last offered it; ca borrows from the rest. */
struct pst_permanent {
    struct pst_persist_offer offer;
    char *issuers[PST_PERSIST_ISSUERS_MAX];
    struct pst_acme_challenge challenge;
    struct pst_acme_directory directory;
    struct pst_persist_ca ca;
};
/* account_url and thumbprint are borrowed, too.  PST_OK; PST_NOTFOUND: it offers none. */
int pst_permanent_load(struct pst_tx *tx, const char *account_id, const char *account_url,
                       const char *thumbprint, struct pst_permanent *ret, struct pst_err *err);

/* A provider refuses for good: what acme_dns_error shall show. */
void pst_order_blame(struct pst_order *o, const struct pst_dns_blame *b,
                     const struct pst_err *fault);

/* Name without "*.". */
const char *pst_order_base(const char *name);

/* ---- hidden.c: a record that would hide a wildcard record ---- */

/* Might it, by what the DNS says before the record stands? */
int pst_order_may_hide(struct pst_order *o, bool *ret, struct pst_err *err);
/* Does it, now that it stands?  PST_OK: no; PST_EREMOTE (problem "hidden"). */
int pst_order_hides(struct pst_order *o, struct pst_err *err);

/* ---- vars.c: the environment of an app as a provider's settings ---- */

struct pst_vars;
/* Those of the variables that a DNS provider reads.  PST_OK; PST_NOTFOUND: DNS_PROVIDER is not
 * set. */
int pst_vars_load(struct pst_order_env *env, const char *app_id, struct pst_vars **ret,
                  struct pst_err *err);
const char *pst_vars_provider(const struct pst_vars *v);
/* Sealed under ("dns_record", id), and back. */
int pst_vars_seal(const struct pst_vars *v, struct pst_order_env *env, const char *id,
                  struct pst_buf *ret, struct pst_err *err);
int pst_vars_unseal(struct pst_order_env *env, const char *id, const struct pst_buf *sealed,
                    struct pst_vars **ret, struct pst_err *err);
void pst_vars_free(struct pst_vars *v);
PST_CLEANUP(struct pst_vars, pst_vars_free);
/* Answers of pst_dns_provider_new(). */
int pst_vars_open(const struct pst_vars *v, struct pst_order_env *env,
                  struct pst_dns_provider **ret, struct pst_dns_blame *ret_blame,
                  struct pst_err *err);

/* ---- chores.c ---- */

/* Lease one, or PST_NOTFOUND. */
int pst_chore_lease(struct pst_order *o, struct pst_err *err);
int pst_chore_run(struct pst_order *o, struct pst_err *err);
int pst_chore_next_due(struct pst_tx *tx, int64_t *ret_at_ms, struct pst_err *err);

/* ---- steps_dns.c ---- */

/* Has the certificate's rest fallen to 14, 7, 3 days or one since a person was told of the record?
 * told_s: what was left then; 0: nothing, so that nothing is lost either. */
bool pst_order_remind(int64_t left_s, int64_t told_s);

/* The answer in the DNS is needed no more, however the order came to that. */
int pst_order_drop_record(struct pst_tx *tx, struct pst_order *o, struct pst_err *err);

/* Let the challenge's answer go. */
int pst_order_drop_challenge(struct pst_tx *tx, struct pst_order *o, struct pst_err *err);

/* Does CAA let the CA issue by this challenge?  Fills o->refusal; ret goes to ORDERING, or to
 * WITHDRAWN when it is a definite no. */
int pst_order_check_caa(struct pst_order *o, const char *challenge, struct pst_step *ret,
                        struct pst_err *err);
/* The account is ready, or ret waits for the operator: PST_NOTYET. */
int pst_order_ready(struct pst_order *o, struct pst_step *ret, struct pst_err *err);

/* ---- crash.c: kill -9 at a named point, only in builds for tests ---- */
void pst_order_crash_point_named(const char *what, const char *point);
void pst_order_crash_point(enum pst_order_state state, const char *point);

static inline int64_t pst_order_now_ms(const struct pst_order *o)
{
    return pst_wall_ms(o->env->o.clock);
}

#endif
