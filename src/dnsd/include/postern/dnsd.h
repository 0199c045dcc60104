/*
 * dnsd.h - the authoritative DNS server of the zone that tenants delegate their challenges to.
 *
 * It serves what the store's answers.h holds, from memory: a thread reads the table anew when its
 * version has changed, at once after pst_dnsd_changed() and else within PST_DNSD_LOOK_MS, and puts
 * it in the place of the old one.  Threads that answer never wait, neither for it nor for the
 * database; while that is away, what was last read is served.
 *
 * Threads:  its own: opts.threads for UDP, one for TCP, one that reads the database.
 *           pst_dnsd_changed() may be called by any.
 * Blocking: start and stop wait for the database and the threads.
 * Memory:   bounded by the settings; options are only read during the call.
 * Failure:  of start only.  Later trouble is logged, one line a minute, and counted.
 */
#ifndef POSTERN_DNSD_H
#define POSTERN_DNSD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <postern/dnsreply.h>

struct pst_clock;
struct pst_err;
struct pst_rand;
struct pst_store;

enum {
    PST_DNSD_LISTEN_MAX = 16,
    PST_DNSD_THREADS_MAX = 64,
    PST_DNSD_LOOK_MS = 100, /* how often the database is asked whether something has changed */
};

struct pst_dnsd_opts {
    struct pst_dns_zone_opts zone;
    struct pst_store *store;
    const struct pst_clock *clock;
    struct pst_rand *rand;
    const char *const *listen; /* "192.0.2.1:53", "[2001:db8::1]:53" */
    size_t listen_n;           /* 1 to PST_DNSD_LISTEN_MAX */
    int64_t threads;           /* for UDP, 1 to PST_DNSD_THREADS_MAX */
    int64_t rate_limit;        /* answers a second to one network by UDP, 0: no limit */
    int64_t rate_slip;         /* each so many-th question over it is answered with TC; 0: none */
    int64_t tcp_connections;   /* at the same time */
    int64_t tcp_timeout_s;     /* without a whole question */
};

struct pst_dnsd;

/* Answers when it returns.  PST_ECONFIG: an address that cannot be listened on, or a name that is
 * none.  PST_EDB: the values cannot be read. */
int pst_dnsd_start(struct pst_dnsd **ret, const struct pst_dnsd_opts *opts, struct pst_err *err);
/* NULL is fine. */
void pst_dnsd_stop(struct pst_dnsd *d);

/* The values were changed by this process: read them now.  Never blocks for long. */
void pst_dnsd_changed(struct pst_dnsd *d);

#endif
