/*
 * event.h - the history of what happened: its chain of hashes, and the webhooks that are told.
 *
 * An event is written in the transaction that it tells of (pst_event_append() in store.h).  A
 * follower then seals it: pst_events_seal() puts it behind the chain's end with a hash over itself
 * and the hash before, so that nothing in the past can be changed, removed or put in between
 * without pst_events_verify() finding the place.  Whoever can write the whole database can also
 * compute a new chain; the head that verify shows is therefore worth noting elsewhere.
 *
 *     hash  = hex(SHA-256(hash before | fields)), the hash before the first being 64 zeros
 *     field = its length in decimal | ":" | its bytes | ","
 *     in this order: seq, id, at_ms, kind, actor, request_id, app_id, domain_id, owner_id, text
 *
 * Webhooks follow the chain by position.  Each has a cursor in the database; an event is told until
 * the receiver answers 2xx, at least once, in order, with a signature over the body:
 *
 *     X-Postern-Signature: t=<Unix s>,v1=<hex HMAC-SHA256(secret, "<t>.<body>")>
 *
 * Threads:  pst_events_seal() and _verify() by any; pst_webhooks_poke() by any, it never blocks.
 *           A struct pst_webhooks has two threads of its own, so that a slow receiver keeps
 *           nobody else waiting; of one user never two webhooks are told at the same time.
 * Blocking: sealing and verifying wait for the database; pst_webhooks_stop() ends a delivery that
 *           is under way (it will be made again) within about a second.
 * Failure:  negative as in store.h; what a receiver does wrong is written to its webhook.
 */
#ifndef POSTERN_EVENT_H
#define POSTERN_EVENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct pst_clock;
struct pst_err;
struct pst_event;
struct pst_gate;
struct pst_json;
struct pst_rand;
struct pst_store;
struct pst_webhooks;

/* {"id", "at", "kind", "actor", "request_id", "app_id", "domain_id", "text", "position", "hash"};
 * what is empty is null.  NULL when memory is out. */
struct pst_json *pst_event_json(const struct pst_event *e);

/* ---- the chain ---- */

/* Seal what is not sealed.  PST_OK: something was; PST_DONE: there was nothing. */
int pst_events_seal(struct pst_store *s, struct pst_err *err);

struct pst_event_report {
    int64_t sealed_n;   /* good events from the beginning of the chain */
    int64_t waiting_n;  /* not sealed yet, at most 1,000 are counted */
    char head[65];      /* hash of the last good one, "" for none */
    char broken_id[32]; /* of the first event that does not fit, "" when none is there */
    char why[256];
};
/* Walk the whole chain.  PST_OK: whole; PST_REFUSED: broken, *ret says where; negative. */
int pst_events_verify(struct pst_store *s, struct pst_event_report *ret, struct pst_err *err);

/* ---- webhooks ---- */

/* May a webhook have this URL?  PST_OK, or PST_REFUSED with the reason.  Whether its host may be
 * spoken to is judged at each delivery, by the gate. */
int pst_webhook_url_check(const char *url, struct pst_err *err);
/* One word of a filter: "domain.added", "domain.*". */
bool pst_webhook_kind_ok(const char *kind);
/* Does a filter ("domain.* app.removed"; "" is all) want events of this kind? */
bool pst_webhook_wants(const char *kinds, const char *kind);

struct pst_webhooks_opts {
    struct pst_store *store;
    const struct pst_gate *gate; /* outlives this */
    const struct pst_clock *clock;
    struct pst_rand *rand;
    const char *ca_file;      /* roots for https; NULL: the system's */
    int64_t timeout_ms;       /* of a delivery; 0: 10,000 */
    int64_t backoff_first_ms; /* after a failure, doubled each time; 0: 5,000 */
    int64_t backoff_max_ms;   /* 0: an hour */
    int64_t give_up_ms;       /* failing so long a webhook is switched off; 0: three days */
};
/* PST_OK, PST_ECONFIG (ca_file), PST_ENOMEM, PST_ESYS. */
int pst_webhooks_start(struct pst_webhooks **ret, const struct pst_webhooks_opts *opts,
                       struct pst_err *err);
/* There is something new. */
void pst_webhooks_poke(struct pst_webhooks *w);
/* NULL is fine. */
void pst_webhooks_stop(struct pst_webhooks *w);

#endif
