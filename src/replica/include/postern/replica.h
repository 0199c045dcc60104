/*
 * replica.h - writing the replica of the feed (only postern-edged does).
 *
 *     <dir>/v1/<build id>/{data.mdb,lock.mdb}      a build
 *     <dir>/v1/current -> <build id>               replaced by rename
 *
 * A build is a whole replica.  The edge follows the feed by batches on the current build; after
 * a full resync it makes a new build beside it, loads it, and publishes it: the link moves first,
 * then the old build is marked superseded in its own state record, which makes each worker reopen
 * at its next look-up.  A data file is never renamed over another one.  An edge acknowledges from
 * a new build only after pst_replica_publish() has returned.
 *
 * Permissions: data.mdb 0640 (it holds sealed keys), lock.mdb 0660 (readers write their slots
 * there), folders 0750; all of them get the group of the workers.
 *
 * The records' structs, keys, limits and the layout of sealed blobs: replica_record.h.
 *
 * Threads: a pst_replica belongs to one thread, and a build may be open once per process
 *          (closing a second handle would drop the locks of the first).
 * Blocking: commit waits for the disk.
 * Memory:  results are copies, or stated otherwise.
 * Failure: PST_ESYS for the file system, PST_EINTERNAL for a damaged replica: make a new build.
 */
#ifndef POSTERN_REPLICA_H
#define POSTERN_REPLICA_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <postern/replica_record.h>

struct pst_err;
struct pst_rand;
struct pst_replica;

struct pst_replica_opts {
    const char *dir;       /* the replica's folder, made if missing (with 0750) */
    const char *group;     /* group of the nginx workers; NULL keeps the process's own */
    uint64_t map_bytes;    /* address space of the map; 0 is 64 GiB */
    uint32_t reader_slots; /* 0 is 1024 */
};

/*
 * Open the build that `current` names.  Stale reader slots are cleared.
 * PST_OK; PST_NOTFOUND (there is none: make one); PST_EINTERNAL (damaged, or of another format);
 * PST_ESYS; PST_ECONFIG (no such group, or another writer has it open).  The opening itself is
 * guarded against damage, the batches are not: after an unclean stop read it through once with
 * pst_replica_reader_verify() first (and free that reader).  Free with pst_replica_close().
 */
int pst_replica_open(struct pst_replica **ret, const struct pst_replica_opts *opts,
                     struct pst_err *err);

/*
 * Make an empty build in bulk mode: batches are not synced, and keys that come in ascending
 * order are appended (smaller and faster by half; other orders work too).  Readers cannot see it
 * before pst_replica_publish().  A build that is closed unpublished is removed.
 */
int pst_replica_new_build(struct pst_replica **ret, const struct pst_replica_opts *opts,
                          struct pst_rand *rnd, struct pst_err *err);

/*
 * Sync `fresh`, let `current` name it, and mark `old` (NULL: none) superseded.  Afterwards
 * `fresh` is an ordinary build with durable commits and `old` only fit to be closed.  The state
 * of `fresh` must have been set.  When it fails, calling it again is safe.
 */
int pst_replica_publish(struct pst_replica *fresh, struct pst_replica *old, struct pst_err *err);

/* A batch that is open is dropped.  NULL is fine. */
void pst_replica_close(struct pst_replica *r);

/* 24 hex digits. */
const char *pst_replica_build_id(const struct pst_replica *r);

/*
 * A batch: begin, puts and deletes, pst_replica_set_state(), commit.  All of it becomes visible
 * at once; after commit returned PST_OK it is on the disk (not in bulk mode).  When a put fails
 * the batch must be dropped.  PST_EINTERNAL when it is not the moment (no batch, or one is open).
 */
int pst_replica_begin(struct pst_replica *r, struct pst_err *err);
int pst_replica_commit(struct pst_replica *r, struct pst_err *err);
void pst_replica_drop(struct pst_replica *r); /* without an open batch: nothing */

/*
 * Puts replace.  `key` is the feed's key, `generation` the feed revision of the change (the
 * object's "rev").  A `generation` field inside the value is not read.
 * PST_OK; PST_EINPUT: a key or value that the format cannot hold; PST_EDB: LMDB; PST_ESYS: disk.
 */
int pst_replica_put_name(struct pst_replica *r, const char *key, uint64_t generation,
                         const struct pst_replica_name *v, struct pst_err *err);
int pst_replica_put_app(struct pst_replica *r, const char *key, uint64_t generation,
                        const struct pst_replica_app *v, struct pst_err *err);
int pst_replica_put_cert(struct pst_replica *r, const char *key, uint64_t generation,
                         const struct pst_replica_cert *v, struct pst_err *err);
int pst_replica_put_issuer(struct pst_replica *r, const char *key, uint64_t generation,
                           const struct pst_replica_issuer *v, struct pst_err *err);
int pst_replica_put_challenge(struct pst_replica *r, const char *key, uint64_t generation,
                              const struct pst_replica_challenge *v, struct pst_err *err);
int pst_replica_put_ticket(struct pst_replica *r, const char *key, uint64_t generation,
                           const struct pst_replica_ticket *v, struct pst_err *err);
/* The meta objects; their keys are fixed. */
int pst_replica_put_default(struct pst_replica *r, uint64_t generation,
                            const struct pst_replica_default *v, struct pst_err *err);
int pst_replica_put_probe(struct pst_replica *r, uint64_t generation,
                          const struct pst_replica_probe *v, struct pst_err *err);
int pst_replica_put_thumbprint(struct pst_replica *r, uint64_t generation,
                               const struct pst_replica_text *v, struct pst_err *err);

/* PST_OK; PST_NOTFOUND: there was none (fine for a tombstone); faults as above. */
int pst_replica_delete(struct pst_replica *r, int kind, const char *key, struct pst_err *err);

/*
 * Set the state in the open batch: epoch, rev, rev_id and committed_at (now, Unix seconds) are
 * taken; `superseded` is not (publishing does that).  Call it in each batch, even an empty one:
 * committed_at is the edge's floor for the clock.
 */
int pst_replica_set_state(struct pst_replica *r, const struct pst_replica_state *v,
                          struct pst_err *err);
/* The last committed state, or that of the open batch.  PST_OK; PST_NOTFOUND: never set. */
int pst_replica_state(struct pst_replica *r, struct pst_replica_state *ret, struct pst_err *err);

/* Is there such a record, and of which generation (may be NULL)?  PST_OK, PST_NOTFOUND, faults.
 * Sees the open batch. */
int pst_replica_has(struct pst_replica *r, int kind, const char *key, uint64_t *ret_generation,
                    struct pst_err *err);

/* How many records of a kind (for the brake against mass deletion); sees the open batch. */
int pst_replica_count(struct pst_replica *r, int kind, uint64_t *ret_n, struct pst_err *err);

/* Each key of a kind in order, as the feed writes it.  `each` returns false to stop.  It must not
 * change the replica. */
int pst_replica_keys(struct pst_replica *r, int kind, bool (*each)(void *arg, const char *key),
                     void *arg, struct pst_err *err);

/* Clear the reader slots of processes that are gone: call it every minute.  ret_n may be NULL. */
int pst_replica_check_readers(struct pst_replica *r, int *ret_n, struct pst_err *err);

/* Remove builds that are neither `current` nor open here.  Workers that still map one keep it
 * until they look up the next time.  PST_OK or PST_ESYS. */
int pst_replica_prune(struct pst_replica *r, struct pst_err *err);

#endif
