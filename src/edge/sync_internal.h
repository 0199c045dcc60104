/* sync_internal.h - the loop's state, shared by sync.c and join.c only. */
#ifndef PST_EDGE_SYNC_INTERNAL_H
#define PST_EDGE_SYNC_INTERNAL_H

#include "edge_internal.h"

/* For what does not get better soon: a refused token, a full disk. */
enum { PST_EDGED_SLOW_MS = 60000 };

/* A build that is being loaded. */
struct joining {
    struct pst_replica *fresh; /* NULL: not joining */
    struct pst_edged_cursor at;
    char after[PST_EDGED_PLACE_SIZE];
    bool began, loaded;
    int64_t objects_n;
    int64_t began_ms; /* monotonic */
};

struct pst_edged {
    const struct pst_edged_opts *o;
    struct pst_edged_creds creds;
    struct pst_edged_control control;
    int lock; /* the replica's folder is ours */

    struct pst_replica *replica; /* the current build, NULL: none */
    struct pst_edged_cursor at;  /* of it */
    struct pst_edged_health health;
    bool opened;    /* it was looked for */
    bool must_join; /* it cannot be followed from */
    struct joining join;
    int64_t floor;                             /* Unix s: the last commit's time */
    int64_t committed_ms, upkeep_ms, began_ms; /* monotonic */
    bool settled;

    struct pst_edged_brake brake;
    bool braked;
    int64_t braked_ms; /* monotonic: when it was looked last */

    int64_t backoff_ms;
    int faults_n;   /* of the replica, in a row */
    bool away;      /* the control plane */
    char said[200]; /* the fault that was logged last, and when (monotonic) */
    int64_t said_ms;
    bool following; /* and that was said */

    atomic_bool stop;
    int wake;
};

/* Which local key sealed the replica: with another one its secrets cannot be opened. */
#define SEALED_BY "sealed-by"

/* ---- sync.c ---- */

/* Write a small file in the replica's folder; failure is logged. */
void pst_edged_note_write(const struct pst_edged *e, const char *file, const char *text);

/* This run does not count as one that ended badly any more. */
void pst_edged_settle(struct pst_edged *e);

/* The current build cannot be used: let it go, build a new one. */
void pst_edged_damaged(struct pst_edged *e, const struct pst_err *err);

/* PST_OK: go on, and count *io_lost_n afterwards (0 when somebody has accepted the loss);
 * PST_NOTYET: too many names would go, and nobody has accepted that. */
int pst_edged_brake_ask(struct pst_edged *e, int64_t names_n, int64_t *io_lost_n,
                        struct pst_err *err);

/* Commit the open batch of `r`, which then stands at `at`. */
int pst_edged_commit(struct pst_edged *e, struct pst_replica *r, const struct pst_edged_cursor *at,
                     int64_t server_at, struct pst_err *err);

/* ---- join.c ---- */

/* One step of a resync, begun if it is not under way.  PST_OK; PST_NOTYET: it begins again, after
 * a wait; faults. */
int pst_edged_join_step(struct pst_edged *e, int64_t *ret_wait_ms, struct pst_err *err);

/* Give a build that is being loaded up. */
void pst_edged_join_end(struct pst_edged *e);

#endif
