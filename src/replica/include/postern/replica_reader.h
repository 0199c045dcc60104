/*
 * replica_reader.h - reading the replica: for the nginx module and for tools.
 *
 * Needs libc and lmdb only: no logging, no abort, plain int results (enum pst_replica_answer in
 * replica_record.h).
 *
 * The file is written by another process and may be missing, replaced, damaged or cut off at any
 * moment; none of that may stop the reader's process.  LMDB trusts its pages, so each look-up runs
 * under a guard: SIGBUS and SIGSEGV that happen inside it, and LMDB's own assertions, end the
 * look-up with PST_REPLICA_FAULT and let the file go.  It is opened again at the first look-up a
 * second or more later.  Look-ups copy the record into the reader's memory inside a transaction of
 * their own, so that no transaction is ever held between calls and nothing decoded lies in the map.
 *
 * A look-up sees the last commit, or already the one whose sync is still running; in that case the
 * next look-up may once more see the one before.  Compare generations for equality, not order.
 *
 * Each look-up also reads the build's state: when the build is superseded, `current` is opened at
 * once.  Once a second it is checked that `current` still is the file that is open.
 *
 * Threads:  a reader belongs to one thread; a build may be open once per process.  Open it after
 *           fork, never before.
 * Signals:  pst_replica_reader_new() installs handlers for SIGBUS and SIGSEGV, which pass
 *           on to the handlers before them what did not happen in a look-up.
 * Blocking: page faults of the mapped file; nothing else.
 * Memory:   allocated by new() and by opening the file, never by a look-up.  Pointers in results
 *           are good until the next call on the same reader.
 */
#ifndef POSTERN_REPLICA_READER_H
#define POSTERN_REPLICA_READER_H

#include <stdint.h>

#include <postern/replica_record.h>

struct pst_replica_reader;

/* `dir` is the replica's folder, the one with `v1` in it.  It need not exist yet.
 * PST_REPLICA_OK, or PST_REPLICA_GONE without memory.  Free with pst_replica_reader_free(). */
int pst_replica_reader_new(struct pst_replica_reader **ret, const char *dir);
void pst_replica_reader_free(struct pst_replica_reader *r);

/* How long to wait before a failed open is tried again and `current` is looked at; 1000 at first.
 * For tests. */
void pst_replica_reader_set_retry(struct pst_replica_reader *r, unsigned ms);

/*
 * Look-ups.  Names are compared as bytes: the caller lower-cases them and tries the wildcard.
 * PST_REPLICA_OK; PST_REPLICA_MISSING; PST_REPLICA_DAMAGED (this record only);
 * PST_REPLICA_FAULT; PST_REPLICA_GONE; PST_REPLICA_BADKEY.
 */
int pst_replica_reader_name(struct pst_replica_reader *r, const char *name, size_t len,
                            struct pst_replica_name *ret);
int pst_replica_reader_app(struct pst_replica_reader *r, const char *id,
                           struct pst_replica_app *ret);
int pst_replica_reader_cert(struct pst_replica_reader *r, uint64_t id,
                            struct pst_replica_cert *ret);
int pst_replica_reader_issuer(struct pst_replica_reader *r, uint64_t id,
                              struct pst_replica_issuer *ret);
int pst_replica_reader_challenge(struct pst_replica_reader *r, const char *token, size_t len,
                                 struct pst_replica_challenge *ret);
int pst_replica_reader_default(struct pst_replica_reader *r, struct pst_replica_default *ret);
int pst_replica_reader_probe(struct pst_replica_reader *r, struct pst_replica_probe *ret);
int pst_replica_reader_thumbprint(struct pst_replica_reader *r, struct pst_replica_text *ret);
int pst_replica_reader_state(struct pst_replica_reader *r, struct pst_replica_state *ret);

/*
 * The ticket after `key` ("" for the first) in key order; its key is written back into `key`.
 * PST_REPLICA_MISSING at the end.
 */
int pst_replica_reader_next_ticket(struct pst_replica_reader *r, char key[PST_REPLICA_KEY_MAX + 1],
                                   struct pst_replica_ticket *ret);

/*
 * What the last look-up saw of the state, without looking again: good for a cache's key and for
 * the clock.  `epoch` is a hash of the feed's epoch; 0 as long as nothing was ever opened.
 */
struct pst_replica_seen {
    uint64_t epoch;
    uint64_t rev;
    int64_t committed_at; /* Unix seconds; 0 if unknown */
    uint64_t opened_n;    /* files opened */
    uint64_t failed_n;    /* attempts to open that failed */
    uint64_t fault_n;     /* look-ups broken off by the guard */
    uint64_t damaged_n;   /* records refused */
    int last_errno;       /* of the last failed attempt: errno or LMDB's code */
    int is_open;
};
void pst_replica_reader_seen(const struct pst_replica_reader *r, struct pst_replica_seen *ret);

/* How many records of a kind there are.  PST_REPLICA_OK; PST_REPLICA_FAULT; PST_REPLICA_GONE;
 * PST_REPLICA_BADKEY: no such kind. */
int pst_replica_reader_count(struct pst_replica_reader *r, int kind, uint64_t *ret_n);

/* Read every record of every kind once, e.g. after a crash of the writer.  PST_REPLICA_OK with
 * counts; PST_REPLICA_FAULT when the file itself is damaged; PST_REPLICA_GONE. */
int pst_replica_reader_verify(struct pst_replica_reader *r, uint64_t *ret_n,
                              uint64_t *ret_damaged_n);

#endif
