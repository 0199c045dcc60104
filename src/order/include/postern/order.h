/*
 * order.h - from a domain without a certificate to one that is served, one durable step at a time.
 *
 * One *order* is one attempt: a row that a worker leases, moves on by **one exchange with the
 * outside**, saves by compare-and-set on its lease, and lets go.  What must survive a crash is
 * stored before it is used (the key and the names before newOrder, the order's URL before anything
 * else is asked), so a kill at any point costs at most one repeated request.  Waiting is
 * `run_at_ms` (or a feed revision that edges must acknowledge), never a sleeping thread.
 *
 *   checking -> ordering -> authorizing -> publishing -> answering -> validating
 *            -> readying -> finalizing -> issuing -> downloading -> deploying -> done
 *
 * A wildcard is proved in the DNS instead, by the best way that there is right now: a permanent
 * record (dns-persist-01), a CNAME to our own name servers, the DNS provider of its app's
 * variables, a record made by hand:
 *
 *   surveying -> ordering -> authorizing -> choosing -> recording -> confirming -> propagating
 *             -> answering -> ...     (by hand: choosing -> awaiting -> answering)
 *
 * What talks to hosts that tenants name runs in a lane of its own, so that no slow one holds up the
 * CA's workers; a tenant has at most two of its workers at once.  That lane also takes values away
 * from providers again and tries variables that were changed.
 *
 * From any of them to failed (counts for the back-off), withdrawn (DNS left; nothing to blame) or
 * back to ordering (the CA forgot the order or the account).
 *
 * Threads:  one environment may be used by many workers at once.
 * Blocking: pst_order_work() blocks for the exchanges of the steps it runs (each has a deadline).
 * Memory:   the environment and what it points to outlive all calls.
 * Failure:  a step's fault is the order's business: it is stored, shown and retried.  The functions
 *           themselves only fail when the database does.
 */
#ifndef POSTERN_ORDER_H
#define POSTERN_ORDER_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include <postern/store.h>

struct pst_acme_ca;
struct pst_clock;
struct pst_dns_env;
struct pst_err;
struct pst_order_env;
struct pst_rand;
struct pst_resolver;
struct pst_store;
struct pst_tx;
struct pst_watch_edge;
struct pst_watch_verdict;

/* A limit of the CA: `n` per `period_s`, refilled evenly. */
struct pst_order_limit {
    int64_t n;
    int64_t period_s;
};

struct pst_order_opts {
    struct pst_store *store;
    const struct pst_clock *clock;
    struct pst_rand *rand;
    struct pst_acme_ca *ca;
    struct pst_resolver *resolver;
    const struct pst_watch_edge *edge; /* what is ours, for the check right before an order */

    const char *directory_url;
    const char *key_type; /* of new certificates: "p256", "p384" or "rsa" */
    int rsa_bits;
    const char *preferred_chain; /* root's CN; NULL: the CA's default chain */
    const char *profile;         /* ordered if the CA offers it; "": the CA's default */
    const char *eab_kid;         /* external account binding (RFC 8555 section 7.3.4); "": none */
    const char *eab_key_file;    /* read when the account is registered */
    const char *eab_alg;

    struct pst_order_limit orders; /* per account */
    struct pst_order_limit certs;  /* per registered domain */
    struct pst_order_limit failed; /* failed authorizations per name */
    int64_t renewal_ask_s;         /* longest time between two questions when to renew */
    int64_t backoff_first_s;       /* wait after the first failure; doubled each time */
    int64_t backoff_max_s;
    int64_t poll_first_ms;       /* first question after an answer that says "processing" */
    int64_t barrier_ms;          /* how long a slow edge may hold up the CA */
    int64_t live_ms;             /* an edge that polled within this time is live */
    int64_t probe_timeout_ms;    /* TLS probe of an edge */
    const atomic_bool *stopping; /* set: steps end early */

    const struct pst_dns_env *dns; /* for the providers of tenants */
    const char *dns_resolver;      /* what is asked whether a record can be seen; "": the zone's own
                                      name servers */
    const char *dnsd_zone;         /* of our own name servers; "": there are none */
    int64_t look_ms;               /* how often a record is looked for that is made by hand */
    int64_t remove_max_s;          /* a value that cannot be taken away is given up after this */
    /* The operator's URLs instead of a provider's; NULL: none. */
    const char *(*base_url)(void *arg, const char *provider);
    const char *(*token_url)(void *arg, const char *provider);

    /* The name no longer leads here (or again may): it is to be watched.  From a worker's thread;
     * may be NULL. */
    void (*watch)(void *arg, const char *domain_id, const char *ascii);
    void *arg;
};

/* Copies the options; strings and pointers must outlive it.  PST_OK, PST_ECONFIG (key_type),
 * PST_ENOMEM. */
int pst_order_env_new(struct pst_order_env **ret, const struct pst_order_opts *opts,
                      struct pst_err *err);
void pst_order_env_free(struct pst_order_env *env);

/* Store the intent (name, new key, attempt) of an order for up to `limit` domains that are due.
 * *ret_n of them were begun. */
int pst_order_begin_due(struct pst_order_env *env, int limit, int *ret_n, struct pst_err *err);

/* A leased order, or another piece of a lane's work; given up by pst_order_run(). */
struct pst_order;

/* Lease one piece of work of the lane that is due.  PST_OK; PST_NOTFOUND: nothing is due. */
int pst_order_lease(struct pst_order_env *env, enum pst_lane lane, struct pst_order **ret,
                    struct pst_err *err);

/* When the lane's next piece of work is due, 0: none. */
int pst_order_next_at(struct pst_tx *tx, enum pst_lane lane, int64_t *ret_at_ms,
                      struct pst_err *err);

/* Run its steps until it must wait or has ended, and let it go.  *ret_steps (may be NULL): how
 * many were run. */
int pst_order_run(struct pst_order *o, int *ret_steps, struct pst_err *err);

/*
 * Ask the CA about one certificate whose question is due: whether it should be renewed at another
 * time than planned (RFC 9773).  One exchange; any thread, several at once.
 *
 * PST_OK; PST_NOTFOUND: none is due; or a fault, and the question comes again after ten minutes.
 */
int pst_order_ask_renewal(struct pst_order_env *env, struct pst_err *err);

/* What the watch found for a domain: sets its phase, reason, evidence and record, and makes it due
 * when it leads here.  Inside a transaction; an unknown domain is fine. */
int pst_order_apply_verdict(struct pst_order_env *env, struct pst_tx *tx, const char *domain_id,
                            const struct pst_watch_verdict *v, struct pst_err *err);

/* The environment variables of an app have changed: its wildcards' DNS provider is tried, and
 * orders that wait for that go on.  Inside the transaction that changes them. */
int pst_order_variables_changed(struct pst_tx *tx, const char *app_id, struct pst_err *err);

/* Append the value of the permanent record (dns-persist-01) for a name, as the CA last offered it.
 * PST_OK; PST_NOTFOUND: it does not take such records, or was not asked yet. */
int pst_order_persist_value(struct pst_order_env *env, struct pst_tx *tx, const char *name,
                            struct pst_buf *ret, struct pst_err *err);

/*
 * A permanent record may have an end (persistUntil): tell its owner 30 and 7 days before, by an
 * event and in the log, unless a look at the DNS shows that it was changed.  A job, some times a
 * day; each look blocks as a question to the resolver does.  PST_OK or negative.
 */
int pst_order_warn_permanent(struct pst_order_env *env, struct pst_err *err);

/* ---- pure parts, for explain and the tests ---- */

/* The wait after `failures` (>= 1) failed attempts: first, doubled each time, at most `max`, up to
 * 20 % less by `rand` (never later than promised).  Milliseconds. */
int64_t pst_order_backoff_ms(int64_t failures, int64_t first_s, int64_t max_s,
                             struct pst_rand *rand);

/*
 * When to renew a certificate without the CA's advice: after 2/3 of its life, half if that is
 * under 10 days, plus up to 1 % of the life that depends only on `seed` (spreads many over time).
 * not_before, not_after, result: Unix seconds.
 */
int64_t pst_order_renew_at(int64_t not_before, int64_t not_after, uint64_t seed);

/* When to renew inside the window that the CA suggests (RFC 9773 section 4.2): a uniform instant
 * in it, but not later than 1/20 of the life before the end.  Unix seconds. */
int64_t pst_order_renew_in_window(int64_t not_before, int64_t not_after, int64_t start_at_ms,
                                  int64_t end_at_ms, struct pst_rand *rand);

/* What a state means, for people ("asking the CA for the order"); NULL for an unknown name. */
const char *pst_order_state_text(const char *state);

#endif
