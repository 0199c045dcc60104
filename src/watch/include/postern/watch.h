/*
 * watch.h - where do these names point?  Asked every 60 seconds, for 100,000 names.
 *
 * Each name's A and AAAA records, with the CNAMEs on the way, are asked by plain UDP from one epoll
 * thread: at the resolver that was given, or else at the servers of the zone itself.  No answer is
 * kept over a second.  A verdict says whether the name leads to this platform, why (evidence) and
 * which record to change.  The schedule lives in memory; a name just added is asked at once, all
 * others once per interval, spread over it.
 *
 * Threads:  pst_watch_add(), _remove() and _poke() may be called by any thread, also from within
 *           the report.  report() and flush() are called by the watch's own thread, which waits for
 *           them; probe() by two helper threads; server_ok() by helper threads.  pst_watch_stop()
 * and _free() must not be called from within any of them. Blocking: add, remove and poke never;
 * stop and free until the threads have ended (at most one probe and one look-up). Memory:   about
 * 300 bytes per name, with the zones' own servers about twice that.  Strings given are copied.
 * Trust:    answers are hostile: matched by source, port, id and question, parsed with bounds.
 */
#ifndef POSTERN_WATCH_H
#define POSTERN_WATCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <postern/dnsmsg.h>

struct pst_clock;
struct pst_err;
struct pst_rand;
struct pst_resolver;
struct pst_watch;

enum pst_watch_result {
    PST_WATCH_OURS,          /* every A and AAAA is an address of this platform */
    PST_WATCH_OURS_BY_PROBE, /* foreign addresses, but behind them one of our edges answers */
    PST_WATCH_FOREIGN,       /* no address of this platform */
    PST_WATCH_MIXED,         /* some of this platform, some not */
    PST_WATCH_NONE,          /* the name does not exist, or has no address */
    PST_WATCH_FAILED,        /* the DNS did not tell: SERVFAIL, REFUSED, time-out, bogus */
};
/* "ours", "ours_by_probe", "foreign", "mixed", "none", "failed". */
const char *pst_watch_result_name(enum pst_watch_result r);

enum { PST_WATCH_EVIDENCE_SIZE = 768, PST_WATCH_RECORD_SIZE = 768 };

struct pst_watch_verdict {
    enum pst_watch_result result;
    int64_t at_ms;                          /* wall time of the check that found it */
    char evidence[PST_WATCH_EVIDENCE_SIZE]; /* for people; the same facts give the same text */
    char record[PST_WATCH_RECORD_SIZE];     /* records to make, one a line; "" with OURS* */
};

/* Does the name lead to this platform, directly or through a proxy? */
static inline bool pst_watch_leads_here(const struct pst_watch_verdict *v)
{
    return v->result == PST_WATCH_OURS || v->result == PST_WATCH_OURS_BY_PROBE;
}

/* What a probe found; see struct pst_watch_opts. */
struct pst_watch_probe {
    bool ours;
    char evidence[512];
};

/* What is ours, and how to recognise it behind a proxy: all that a judgement needs. */
struct pst_watch_edge {
    const char *const *addresses; /* literal IPs of the edges */
    size_t addresses_n;
    const char *cname; /* "edge.platform.example", what customers point a CNAME at; NULL or "" if
                          there is none.  With no addresses, a chain through it is enough. */

    /* Ask over HTTP whether an edge answers for the name behind these addresses (pst_probe_http());
     * NULL: do not.  May block for seconds; PST_OK or negative (then nothing is concluded). */
    int (*probe)(void *probe_arg, const char *name, const char *const *addresses,
                 size_t addresses_n, struct pst_watch_probe *ret, struct pst_err *err);
    void *probe_arg;
};

struct pst_watch_opts {
    struct pst_watch_edge edge;
    uint32_t interval_s; /* 0 means 60 */
    uint32_t batch_ms;   /* changed verdicts wait at most so long; 0 means 200 */

    const char *resolver;        /* "ip:port" that recurses; NULL or "": the zones' own servers */
    struct pst_resolver *lookup; /* finds zones' servers; may be NULL only with `resolver` */
    uint16_t server_port;        /* of zones' own servers; 0 means 53 */
    bool (*server_ok)(void *arg, const struct pst_dns_ip *ip); /* may we ask this server?  NULL:
                                                                   pst_dns_ip_public() */
    uint32_t inflight_max; /* questions under way at once; 0 means 1024 */
    uint32_t try_ms;       /* wait per try, three tries; 0 means 1500 */

    const struct pst_clock *clock; /* NULL: the system's */
    struct pst_rand *rand;         /* NULL: the system's; used by the watch's thread only */

    /* A verdict that differs from the last one of this id in result, record or evidence; what a
     * probe quotes of other people's pages does not count as a difference. */
    void (*report)(void *arg, const char *id, const struct pst_watch_verdict *v);
    /* After the last report of a batch, for instance to commit; may be NULL. */
    void (*flush)(void *arg);
    void *arg; /* of report, flush and server_ok */
};

/* Starts the threads.  PST_OK; PST_ECONFIG (an option makes no sense); PST_ENOMEM; PST_ESYS. */
int pst_watch_new(struct pst_watch **ret, const struct pst_watch_opts *opts, struct pst_err *err);

/* Watch `name` under `id` (at most 47 bytes); it is asked at once.  An id that is watched already
 * gets the new name.  PST_OK; PST_REFUSED (not a name to ask for, bad id); PST_ENOMEM. */
int pst_watch_add(struct pst_watch *w, const char *id, const char *name, struct pst_err *err);

/* As add, for a name whose last verdict is known (after a restart): nothing is reported while it
 * stays the same, and the first question is spread over the interval. */
int pst_watch_add_known(struct pst_watch *w, const char *id, const char *name,
                        const struct pst_watch_verdict *last, struct pst_err *err);

/* No effect on unknown ids.  A report under way may still arrive.  PST_OK or PST_ENOMEM. */
int pst_watch_remove(struct pst_watch *w, const char *id, struct pst_err *err);

/* Ask now; the zone's servers are looked up anew as well.  The verdict is reported even when it has
 * not changed.  PST_OK or PST_ENOMEM. */
int pst_watch_poke(struct pst_watch *w, const char *id, struct pst_err *err);

struct pst_watch_stats {
    uint64_t names;   /* watched now */
    uint64_t checks;  /* finished since the start, as all that follow */
    uint64_t queries; /* packets sent by UDP */
    uint64_t retries; /* of them, after a time-out */
    uint64_t tcp;     /* questions that went to TCP */
    uint64_t dropped; /* packets that matched no question */
    uint64_t probes;  /* HTTP probes run */
    uint64_t reports; /* verdicts reported */
    int64_t late_ms;  /* how late the check begun last was */
};
void pst_watch_stats(struct pst_watch *w, struct pst_watch_stats *ret);

/* End the threads; nothing is reported afterwards.  Twice is fine. */
void pst_watch_stop(struct pst_watch *w);
/* Stops first.  NULL is fine. */
void pst_watch_free(struct pst_watch *w);

/* ------------------------------------------------------------------ judging */

struct pst_watch_lookup {
    enum pst_dns_status status;
    const char *why; /* with a failure: what happened; may be NULL */
};

struct pst_watch_evidence {
    const char *name;
    bool apex; /* the name is a zone's own: no CNAME is possible there */
    struct pst_watch_lookup a, aaaa;
    const struct pst_dns_ip *ips; /* of both */
    size_t ip_n;
    const char *const *chain; /* CNAME targets in order */
    size_t chain_n;
    const struct pst_watch_probe *probe; /* NULL: none was run */
};

/* Pure: from evidence to verdict.  `at_ms` of the verdict is left to the caller. */
void pst_watch_judge(const struct pst_watch_edge *edge, const struct pst_watch_evidence *e,
                     struct pst_watch_verdict *ret);

/*
 * One check through the validating resolver, as the last thing before an order: delegation and
 * DNSSEC count, the probe is run when needed.  Blocks for look-ups and probe.
 *
 * PST_OK (whatever the verdict); PST_REFUSED (not a name to ask for); negative.
 */
int pst_watch_confirm(struct pst_resolver *r, const struct pst_watch_edge *edge,
                      const struct pst_clock *clock, const char *name,
                      struct pst_watch_verdict *ret, struct pst_err *err);

#endif
