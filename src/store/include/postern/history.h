/*
 * history.h - the records behind event/: the chain of events and the webhooks that follow it.
 *
 * Events are appended with pst_event_append() (store.h) in the transaction that made them.  Later
 * one follower seals them: it gives each the next position of the chain and a hash that covers the
 * event and the hash before it.  Webhooks follow the chain by position, which has no gaps and
 * becomes visible in order; nothing is told that has not been sealed.
 *
 * Threads, blocking, memory and failure are as in store.h.
 */
#ifndef POSTERN_HISTORY_H
#define POSTERN_HISTORY_H

#include <postern/secret.h>
#include <postern/store.h>

/* ---- the chain ---- */

struct pst_event_chain {
    int64_t pos;   /* of the newest sealed event, 0: none */
    char hash[65]; /* of that event, "" for none */
};
/* The end of the chain; in a write transaction its row is locked. */
int pst_event_chain_get(struct pst_tx *tx, struct pst_event_chain *ret, struct pst_err *err);
int pst_event_chain_set(struct pst_tx *tx, const struct pst_event_chain *c, struct pst_err *err);
/* Not sealed yet, oldest first. */
int pst_event_each_unsealed(struct pst_tx *tx, size_t limit,
                            int (*fn)(const struct pst_event *e, void *arg), void *arg,
                            struct pst_err *err);
/* Save chain_pos and hash.  PST_CONFLICT: it is sealed already. */
int pst_event_seal(struct pst_tx *tx, const struct pst_event *e, struct pst_err *err);
/* Sealed events behind a position, in the order of the chain.  owner_id "": all; app_id "": all. */
int pst_event_each_sealed(struct pst_tx *tx, int64_t after_pos, const char *owner_id,
                          const char *app_id, size_t limit,
                          int (*fn)(const struct pst_event *e, void *arg), void *arg,
                          struct pst_err *err);

/* ---- webhooks ---- */

/* There is an event of this owner ("" for nobody's): the webhooks of the owner and of operators
 * become due when the transaction commits. */
int pst_webhook_wake(struct pst_tx *tx, const char *owner_id, struct pst_err *err);

enum { PST_WEBHOOK_URL_SIZE = 1024, PST_WEBHOOK_KINDS_SIZE = 1024, PST_WEBHOOK_ERROR_SIZE = 256 };

struct pst_webhook {
    char id[PST_ID_SIZE];
    char user_id[PST_ID_SIZE];
    char app_id[PST_ID_SIZE]; /* "": all apps of the user; all events, if that is an operator */
    char url[PST_WEBHOOK_URL_SIZE];
    char kinds[PST_WEBHOOK_KINDS_SIZE]; /* "domain.* app.removed"; "": all */
    bool active;
    int64_t cursor_pos;        /* told up to here */
    char ping_id[PST_ID_SIZE]; /* "": no test is asked for */
    int64_t failures;          /* in a row */
    int64_t failing_since_ms;
    int64_t next_at_ms;
    int64_t tried_at_ms;
    int64_t delivered_at_ms;
    int64_t last_status; /* of HTTP, 0: none came */
    char last_error[PST_WEBHOOK_ERROR_SIZE];
    int64_t lease_token; /* the fence: each claim adds one */
    int64_t created_at_ms;
    bool everything; /* set by a claim: its user is an operator */
};

/* Fills id, created_at_ms; the cursor is the chain's end; `secret` is sealed. */
int pst_webhook_insert(struct pst_tx *tx, struct pst_webhook *w, const struct pst_secret *secret,
                       struct pst_err *err);
/* PST_NOTFOUND also for one of another user, unless user_id is "". */
int pst_webhook_get(struct pst_tx *tx, const char *id, const char *user_id, struct pst_webhook *ret,
                    struct pst_err *err);
int pst_webhook_secret(struct pst_tx *tx, const char *id, struct pst_secret *ret,
                       struct pst_err *err);
/* Oldest first; user_id "": of all users. */
int pst_webhook_each(struct pst_tx *tx, const char *user_id,
                     int (*fn)(const struct pst_webhook *w, void *arg), void *arg,
                     struct pst_err *err);
int pst_webhook_count(struct pst_tx *tx, const char *user_id, int64_t *ret_n, struct pst_err *err);
/* Save url, kinds, active and ping_id; it is tried at once, failures or not.  PST_NOTFOUND. */
int pst_webhook_update(struct pst_tx *tx, const struct pst_webhook *w, struct pst_err *err);
/* PST_NOTFOUND. */
int pst_webhook_delete(struct pst_tx *tx, const char *id, struct pst_err *err);

/*
 * Lease the due webhook that waited longest, of a user of whom no other one is leased.
 *
 * PST_OK        *ret is this caller's for lease_ms
 * PST_NOTFOUND  none is due
 */
int pst_webhook_claim(struct pst_tx *tx, int64_t lease_ms, struct pst_webhook *ret,
                      struct pst_err *err);
/* Save what a claim came to and end the lease: everything but url, kinds and created_at_ms.
 * `pending`: there may be more behind the cursor.  A ping is over if ping_id is the row's.
 * PST_CONFLICT: the lease was lost, nothing was changed. */
int pst_webhook_save(struct pst_tx *tx, const struct pst_webhook *w, bool pending,
                     struct pst_err *err);
/* End the leases of this node's earlier boots. */
int pst_webhook_free_stale(struct pst_tx *tx, struct pst_err *err);

#endif
