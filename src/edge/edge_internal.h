/*
 * edge_internal.h - the parts of postern-edged.
 *
 *     creds     the files in keys.dir: who this edge is and what it opens and seals with
 *     control   requests to the control plane
 *     page      one answer of the feed, checked
 *     object    one object of a page, checked and put into the replica
 *     brake     how many names went in the last hour, and when that is too many
 *     health    is the replica's file still the one that is open, and is it sound
 *     sync      the loop that uses them all
 *     show      what the replica holds, for people
 */
#ifndef PST_EDGE_INTERNAL_H
#define PST_EDGE_INTERNAL_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/types.h>

#include <postern/base.h>
#include <postern/crypto.h>
#include <postern/http.h>
#include <postern/json.h>
#include <postern/replica.h>

/* The group of its log lines. */
#define EDGE "edge"

enum {
    PST_EDGED_ID_SIZE = 33,       /* an edge's id, as the control plane gave it */
    PST_EDGED_WORD_SIZE = 64,     /* epoch or revision id */
    PST_EDGED_PLACE_SIZE = 300,   /* "<kind>/<key>" */
    PST_EDGED_KEY_ID_SIZE = 17,   /* which local key sealed a replica */
    PST_EDGED_PAGE_MAX = 1 << 24, /* most bytes of one answer; 1 MiB is what they mostly are */
    PST_EDGED_POLL_S = 10,        /* how long the control plane may hold a poll */
};

/* ---- creds ---- */

/*
 * What lies in keys.dir, each file 0600:
 *     edge      "postern-edge-v1 <id> <bearer token>", written by enrolment
 *     box.key   the X25519 secret, 32 bytes; never leaves the machine
 *     local.key seals the replica, 32 bytes; nginx's master reads it too
 */
struct pst_edged_creds {
    char id[PST_EDGED_ID_SIZE]; /* "" as long as not enrolled */
    struct pst_secret token;
    struct pst_secret box_secret;
    uint8_t box_public[32];
    struct pst_seal_key *local;
    char local_id[PST_EDGED_KEY_ID_SIZE]; /* from its SHA-256 */
};

/* Make the folder and the keys that are missing, load all.  Enrolled or not shows in `id`.
 * PST_OK; PST_ECONFIG (a file with the wrong mode or size); PST_ESYS. */
int pst_edged_creds_load(struct pst_edged_creds *c, const char *dir, struct pst_rand *rand,
                         struct pst_err *err);
/* Remember who we are, durably.  PST_CONFLICT: we are somebody already. */
int pst_edged_creds_save(struct pst_edged_creds *c, const char *dir, const char *id,
                         const char *token, struct pst_err *err);
void pst_edged_creds_deinit(struct pst_edged_creds *c);

/* The one-time token in a file (0600), without its newline.  PST_OK, PST_ECONFIG, PST_ESYS. */
int pst_edged_read_token(const char *path, struct pst_secret *ret, struct pst_err *err);

/* ---- brake ---- */

/*
 * Losses of names in a sliding hour, counted by minutes of the monotonic clock.  A loss is too
 * much when the hour's sum is at least `min_n` and more than `percent` of what was there at its
 * beginning.
 */
enum { PST_EDGED_BRAKE_MINUTES = 60 };

struct pst_edged_brake {
    _Atomic int64_t percent; /* settings that may change at any time */
    _Atomic int64_t min_n;
    int64_t minute; /* of the newest slot */
    int64_t lost[PST_EDGED_BRAKE_MINUTES];
};

void pst_edged_brake_init(struct pst_edged_brake *b, int64_t percent, int64_t min_n);
/* Would losing `lost_n` of the `names_n` that are there now be too much?  *ret_sum: what the hour
 * would come to. */
bool pst_edged_brake_holds(struct pst_edged_brake *b, int64_t mono_ms, int64_t names_n,
                           int64_t lost_n, int64_t *ret_sum);
/* They are lost. */
void pst_edged_brake_count(struct pst_edged_brake *b, int64_t mono_ms, int64_t lost_n);
/* A person has agreed: begin to count anew. */
void pst_edged_brake_reset(struct pst_edged_brake *b);

/* ---- control ---- */

struct pst_edged_control {
    struct pst_http *http;
    char *base;                /* URL without the last '/' */
    char *unix_socket;         /* NULL: by TCP */
    const atomic_bool *cancel; /* ends a request that is under way */
};

struct pst_edged_enrolment {
    const struct pst_secret *token; /* one-time */
    const char *name;
    const uint8_t *public_key; /* 32 bytes */
    const char *probe_address;
};

/* Where the feed stands, or where a replica does. */
struct pst_edged_cursor {
    char epoch[PST_EDGED_WORD_SIZE];
    int64_t rev;
    char id[PST_EDGED_WORD_SIZE];
};

/* One answer of the feed. */
struct pst_edged_page {
    struct pst_json *root;
    struct pst_edged_cursor at; /* after the page; of a snapshot: the head of the feed */
    const struct pst_json *objects;
    bool more;                       /* changes */
    char next[PST_EDGED_PLACE_SIZE]; /* snapshot; "": that was the last page */
    int64_t server_at;               /* Unix s by the Date header, 0: it did not say */
};
void pst_edged_page_deinit(struct pst_edged_page *p);
#define auto_page __attribute__((cleanup(pst_edged_page_deinit)))

/* `url` is unix:/path, http: (loopback only) or https:.  PST_OK or PST_ECONFIG. */
int pst_edged_control_init(struct pst_edged_control *c, const char *url, const char *ca_file,
                           const atomic_bool *cancel, struct pst_err *err);
void pst_edged_control_deinit(struct pst_edged_control *c);

/* PST_OK; PST_REFUSED: the token is not good (any more); PST_ENET, PST_EREMOTE, PST_EINPUT. */
int pst_edged_control_enrol(struct pst_edged_control *c, const struct pst_edged_enrolment *e,
                            char ret_id[PST_EDGED_ID_SIZE], struct pst_secret *ret_token,
                            struct pst_err *err);

/*
 * One page.  Release it with pst_edged_page_deinit().
 *
 * joining   the cursor is not an acknowledgement: workers do not see yet what it says
 *
 * PST_OK; PST_NOTFOUND (changes only): the cursor is unknown, take a snapshot; PST_ENET: not
 * reached; PST_EREMOTE: another status; PST_EINPUT: not a page.
 */
int pst_edged_control_snapshot(struct pst_edged_control *c, const struct pst_secret *bearer,
                               const char *after, struct pst_edged_page *ret, struct pst_err *err);
int pst_edged_control_changes(struct pst_edged_control *c, const struct pst_secret *bearer,
                              const struct pst_edged_cursor *from, unsigned wait_s, bool joining,
                              struct pst_edged_page *ret, struct pst_err *err);

/* ---- object ---- */

/* One object of a page, its value not looked at yet. */
struct pst_edged_object {
    const char *kind_name;
    int kind; /* enum pst_replica_kind; 0: one that this program does not know */
    const char *key;
    int64_t rev;
    bool deleted;
    const struct pst_json *value;
};

/* PST_OK, or PST_EINPUT naming the field. */
int pst_edged_object_read(const struct pst_json *j, struct pst_edged_object *ret,
                          struct pst_err *err);

/*
 * Put the object into the open batch, its secrets sealed with the local key.
 *
 * PST_OK; PST_REFUSED: the value is not one of its kind (the batch is untouched, err names the
 * field); PST_EINPUT: its box does not open with our key; faults of the replica.
 */
int pst_edged_object_put(struct pst_replica *r, const struct pst_edged_creds *c,
                         const struct pst_edged_object *o, struct pst_err *err);

/* What a page did. */
struct pst_edged_applied {
    int64_t objects_n;
    int64_t lost_n;    /* names that were there and are not any more */
    int64_t refused_n; /* objects with a bad value: taken as deleted */
    int64_t unknown_n; /* objects of an unknown kind: skipped */
};

/*
 * Apply all objects to the open batch.  PST_OK; PST_EINPUT: not what a page must be, or a box that
 * is not for us: nothing of the page may be committed; faults of the replica.
 */
int pst_edged_apply(struct pst_replica *r, const struct pst_edged_creds *c,
                    const struct pst_edged_page *page, struct pst_edged_applied *ret,
                    struct pst_err *err);

/* ---- health ---- */

/* The files of the build that is open. */
struct pst_edged_health {
    struct {
        char *path; /* through the link */
        dev_t dev;
        ino_t ino;
        off_t size;
    } files[2];
};

/* Remember what `current` is now: call it after opening or publishing.  PST_OK, PST_ESYS. */
int pst_edged_health_mark(struct pst_edged_health *h, const char *replica_dir, struct pst_err *err);
/* PST_OK; PST_NOTFOUND: the files are gone, or others are in their place; PST_EINTERNAL: they are
 * shorter than they were, so that touching the map would kill this process. */
int pst_edged_health_check(struct pst_edged_health *h, struct pst_err *err);
void pst_edged_health_deinit(struct pst_edged_health *h);

/*
 * Open the replica in a child process, write to it, and with `all` read every record: LMDB trusts
 * its pages, and damage may end a process.
 * PST_OK (also when there is none); PST_EINTERNAL: damaged; PST_ESYS.
 */
int pst_edged_health_trial(const struct pst_replica_opts *o, bool all, struct pst_err *err);

/* ---- sync ---- */

struct pst_edged_opts {
    const char *control_url;
    const char *ca_file;    /* "": the system's roots */
    const char *token_file; /* with the one-time token, "": none */
    const char *name;
    const char *probe_address;
    const char *keys_dir;
    struct pst_replica_opts replica;
    int64_t brake_percent, brake_min;
    unsigned poll_s; /* how long a poll may be held; 0: PST_EDGED_POLL_S */
    const struct pst_clock *clock;
    struct pst_rand *rand;
};

struct pst_edged;

/*
 * Load the keys (and make those that are missing), take the lock on the replica's folder.
 * PST_OK; PST_ECONFIG: a setting or a file is wrong, or another postern-edged is at work;
 * PST_ESYS.  `opts` must outlive it.  Free with pst_edged_free().
 */
int pst_edged_new(struct pst_edged **ret, const struct pst_edged_opts *opts, struct pst_err *err);
void pst_edged_free(struct pst_edged *e);
PST_CLEANUP(struct pst_edged, pst_edged_free);

/*
 * One step: one exchange with the control plane and what follows from it.  Never fails for good:
 * faults are logged and tried again.  Gives the wait before the next step in ms (0: none).
 * *ret_rc (may be NULL) is what came of the step.
 */
int64_t pst_edged_step(struct pst_edged *e, int *ret_rc);

/* Step until pst_edged_stop(). */
void pst_edged_run(struct pst_edged *e);
/* From another thread: end the run and the request that is under way (within a second). */
void pst_edged_stop(struct pst_edged *e);
/* From another thread: end a wait between two steps. */
void pst_edged_wake(struct pst_edged *e);

/* From another thread: settings that change without a new start. */
void pst_edged_set_brake(struct pst_edged *e, int64_t percent, int64_t min_n);

bool pst_edged_enrolled(const struct pst_edged *e);
/* Enrol with this one-time token.  PST_OK; PST_CONFLICT: it is enrolled already; as
 * pst_edged_control_enrol(). */
int pst_edged_enrol(struct pst_edged *e, const struct pst_secret *token, struct pst_err *err);

/* For tests: where the replica stands; false as long as there is none. */
bool pst_edged_at(const struct pst_edged *e, struct pst_edged_cursor *ret);

/* ---- the brake, as seen by other processes ---- */

/* The daemon leaves a note in the replica's folder while the brake holds; a person answers with
 * another, once. */
struct pst_edged_brake_note {
    int64_t since;  /* Unix s */
    int64_t lost_n; /* names that would go, with those of the last hour */
    int64_t of_n;
};
int pst_edged_brake_note_write(const char *replica_dir, const struct pst_edged_brake_note *n,
                               struct pst_err *err);
/* PST_OK; PST_NOTFOUND: the brake does not hold. */
int pst_edged_brake_note_read(const char *replica_dir, struct pst_edged_brake_note *ret,
                              struct pst_err *err);
/* PST_OK; PST_NOTFOUND: there is nothing to accept. */
int pst_edged_brake_accept(const char *replica_dir, struct pst_err *err);
bool pst_edged_brake_accepted(const char *replica_dir);
/* Both notes go. */
void pst_edged_brake_note_clear(const char *replica_dir);

/* ---- show ---- */

/* Print what the replica holds for a name, never keys.  PST_OK; PST_NOTFOUND: nothing;
 * PST_ESYS: there is no replica. */
int pst_edged_show(FILE *to, const char *replica_dir, const char *name, int64_t now,
                   struct pst_err *err);
/* Print where the replica stands.  PST_OK; PST_NOTFOUND: there is none. */
int pst_edged_status(FILE *to, const char *replica_dir, int64_t now, bool json,
                     struct pst_err *err);

#endif
