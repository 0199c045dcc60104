/*
 * feed.h - what the edges must know, as a feed of changes (docs: the wire format is in
 * ARCHITECTURE.md, "The feed").
 *
 * The database keeps one row per object (kind, key, revision, deleted), not a log, and one row per
 * revision with a random id.  A follower's cursor is (epoch, revision, id); one that the database
 * does not know (another epoch, a restored backup, older than the tombstones' 30 days) must begin
 * again with a snapshot.  A page never splits a revision.
 */
#ifndef POSTERN_FEED_H
#define POSTERN_FEED_H

#include <stdbool.h>
#include <stdint.h>

#include <postern/buf.h>

struct pst_edge;
struct pst_err;
struct pst_tx;

/* A page ends before it gets longer than this.  Only a single revision may make a longer one, at
 * most PST_FEED_PAGE_MAX bytes; so bulk work makes small revisions. */
enum { PST_FEED_PAGE = 1 << 20, PST_FEED_PAGE_MAX = 1 << 24 };

struct pst_feed_cursor {
    char epoch[32];
    int64_t rev;
    char id[20]; /* 16 hex digits */
};

/* Where the feed stands now. */
int pst_feed_head(struct pst_tx *tx, struct pst_feed_cursor *ret, struct pst_err *err);

/*
 * The changes after `from`, rendered for `edge` (keys boxed to its public key) as the JSON body of
 * GET /edge/v1/changes.  An object that cannot be rendered (its key does not unseal, its row is
 * damaged) is logged and left out, so that it stands in nobody else's way.
 *
 * ret_json      has room for at least PST_FEED_PAGE bytes; its limit also bounds a page that a
 *               single revision fills.
 *
 * PST_OK        *ret_next is the cursor after the page, *ret_n the number of objects (0: none new).
 * PST_NOTFOUND  unknown cursor, or a single revision is larger than the largest page: the follower
 *               must take a snapshot.
 * PST_ECONFIG   the store was opened without a keyring.
 */
int pst_feed_changes(struct pst_tx *tx, const struct pst_edge *edge,
                     const struct pst_feed_cursor *from, struct pst_buf *ret_json,
                     struct pst_feed_cursor *ret_next, int64_t *ret_n, struct pst_err *err);

/* One page of everything, in (kind, key) order after `after` ("" to begin, else "<kind>/<key>"),
 * as the JSON body of GET /edge/v1/snapshot.  Buffer and PST_ECONFIG as above; PST_EINPUT: `after`
 * is no place. */
int pst_feed_snapshot(struct pst_tx *tx, const struct pst_edge *edge, const char *after,
                      struct pst_buf *ret_json, struct pst_err *err);

/* Drop tombstones and revisions older than `before_ms`.  The revision that was the head at that
 * time stays, so that a cursor is good as long as all that changed after it is there. */
int pst_feed_sweep(struct pst_tx *tx, int64_t before_ms, struct pst_err *err);

#endif
