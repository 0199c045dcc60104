/*
 * watch_internal.h - the inside of the watch.
 *
 * One thread (loop.c) owns entries, checks, questions, sockets and the cache of zones' servers; no
 * lock guards them.  Everybody else reaches it through the mailbox (watch.c): callers with
 * commands, the finders (finder.c) with zones, the probers (prober.c) with what HTTP said.
 *
 *   entry     a name that is watched; waits in the wheel until it is due
 *   check     one look at an entry: its questions, then the judgement
 *   question  one DNS question of a check, until its final answer: retransmits, next servers, TCP,
 *             and with the zones' own servers the CNAMEs that lead into other zones
 *   servers   whom to ask about a name
 */
#ifndef PST_WATCH_INTERNAL_H
#define PST_WATCH_INTERNAL_H

#include <pthread.h>
#include <stdatomic.h>
#include <sys/socket.h>

#include <postern/base.h>
#include <postern/watch.h>

enum {
    PST_WATCH_ID_MAX = 47,
    PST_WATCH_PROBE_IPS = 8,
    PST_WATCH_IPS_MAX = 64,     /* addresses kept per name */
    PST_WATCH_SERVERS_MAX = 16, /* servers kept per zone */
};

/* ------------------------------------------------------------------ hash.c: intrusive hash table
 */

struct pst_wnode {
    struct pst_wnode *next;
    uint64_t hash;
    const char *key; /* owned by whoever embeds the node */
};

struct pst_whash {
    struct pst_wnode **buckets;
    size_t cap, n;
    uint64_t seed; /* random: names are chosen by strangers */
};

/* PST_OK or PST_ENOMEM. */
int pst_whash_init(struct pst_whash *h, uint64_t seed);
void pst_whash_deinit(struct pst_whash *h); /* the nodes are their owners' */
uint64_t pst_whash_of(const struct pst_whash *h, const void *data, size_t len);
struct pst_wnode *pst_whash_find(const struct pst_whash *h, const char *key);
/* Never fails: without memory to grow, chains get longer. */
void pst_whash_insert(struct pst_whash *h, struct pst_wnode *n, const char *key);
void pst_whash_remove(struct pst_whash *h, struct pst_wnode *n);

/* ------------------------------------------------------------------ wheel.c: the schedule */

struct pst_wtimer {
    struct pst_wtimer *prev, *next; /* NULL while not in the wheel */
    int64_t due_ms;
};

enum { PST_WHEEL_SLOTS = 4096, PST_WHEEL_TICK_MS = 32 };

struct pst_wheel {
    struct pst_wtimer slots[PST_WHEEL_SLOTS]; /* heads of rings */
    int64_t cursor;                           /* ticks before this one are done */
    size_t n;
};

void pst_wheel_init(struct pst_wheel *w, int64_t now_ms);
void pst_wheel_add(struct pst_wheel *w, struct pst_wtimer *t, int64_t due_ms);
void pst_wheel_remove(struct pst_wheel *w, struct pst_wtimer *t); /* not in it: nothing happens */
/* Take out one that is due, or NULL. */
struct pst_wtimer *pst_wheel_pop(struct pst_wheel *w, int64_t now_ms);
/* Milliseconds until something may be due, at most `max`. */
int64_t pst_wheel_wait(const struct pst_wheel *w, int64_t now_ms, int64_t max);

/* ------------------------------------------------------------------ types */

/* Whom to ask. */
struct pst_wservers {
    size_t n;
    struct pst_dns_server list[PST_WATCH_SERVERS_MAX];
};

enum pst_apex { PST_APEX_UNKNOWN, PST_APEX_YES, PST_APEX_NO };

struct pst_wcheck;

struct pst_wentry {
    struct pst_wnode node; /* by id */
    struct pst_wtimer timer;
    struct pst_wcheck *check; /* NULL: none under way */
    uint64_t verdict_hash;
    bool known;      /* verdict_hash is of a verdict that was reported */
    bool first_done; /* later checks keep the interval */
    bool poked;      /* report whatever comes */
    bool again;      /* poked during a check */
    uint8_t apex;    /* enum pst_apex */
    uint8_t probe_fails;
    uint64_t probe_ips; /* hash of the addresses that were probed */
    int64_t probe_due_ms;
    struct pst_watch_probe *probe; /* what the last probe found; NULL: none */
    char *name;
    char id[]; /* then the name */
};

/* Intrusive list of questions, in order of expiry. */
struct pst_wquestion;
struct pst_wqueue {
    struct pst_wquestion *first, *last;
};

struct pst_wudp;
struct pst_wtcp;
struct pst_wzone;

struct pst_wquestion {
    struct pst_wcheck *check;
    struct pst_wquestion *prev, *next; /* in `queue` */
    struct pst_wqueue *queue;
    struct pst_wquestion *match_next; /* same bucket of the table by (socket, id) */
    struct pst_wquestion *zone_next;  /* waiting for the same zone */
    struct pst_wzone *zone;           /* of the name asked now; NULL with a resolver */
    struct pst_wudp *udp;
    struct pst_wtcp *tcp;
    int64_t expires_ms;
    const struct pst_wservers *servers; /* the zone's or the resolver */
    struct pst_dns_server current;      /* the one being asked */
    uint8_t server, tries;
    bool plain; /* without EDNS */
    bool waiting_for_zone;
    uint16_t type, id;
    uint16_t query_len;
    uint8_t query[PST_DNS_QUERY_MAX];
    /* the answer so far */
    enum pst_dns_status status;
    char why[200];
    size_t chain_n;
    char *chain[PST_DNS_CHAIN_MAX];
    size_t ip_n;
    struct pst_dns_ip ips[PST_WATCH_IPS_MAX / 2];
};

struct pst_wcheck {
    struct pst_wentry *entry;
    unsigned open; /* questions without a final answer */
    bool probing;  /* waits for a prober; not counted in w->checks */
    bool soa_asked;
    struct pst_wquestion a, aaaa, soa;
};

/* What other threads tell the loop. */
enum pst_wmail_kind {
    PST_WMAIL_ADD,
    PST_WMAIL_REMOVE,
    PST_WMAIL_POKE,
    PST_WMAIL_ZONE,
    PST_WMAIL_PROBE
};

struct pst_wmail {
    struct pst_wmail *next;
    enum pst_wmail_kind kind;
    struct pst_wentry *entry; /* ADD; its timer says when */
    char id[PST_WATCH_ID_MAX + 1];
};

/* ZONE and PROBE: what a helper found. */
struct pst_wresult {
    struct pst_wmail mail;           /* first */
    char name[PST_DNS_NAME_MAX + 1]; /* the zone's; of PROBE: the name probed */
    struct pst_wzone *zone;
    struct pst_wservers servers;
    char why[200];
    bool probed;
    struct pst_watch_probe probe;
};

/* ------------------------------------------------------------------ finder.c: zones' servers */

/* They mostly wait, for the root and downwards. */
enum { PST_WFINDERS = 32, PST_WTHREAD_STACK = 256 * 1024 };

struct pst_wzone {
    struct pst_wnode node; /* by the name that is asked about */
    struct pst_wzone *job_next;
    struct pst_wquestion *waiting;
    struct pst_wresult *result; /* allocated with the job */
    struct pst_wservers servers;
    unsigned users; /* questions that hold it */
    bool finding, ready, stale;
    bool apex; /* the name is the zone's own */
    int64_t found_ms, used_ms;
    char why[200]; /* when there are no servers */
    char name[];
};

struct pst_watch;

int pst_wfinder_start(struct pst_watch *w, struct pst_err *err);
void pst_wfinder_stop(struct pst_watch *w);
/* Loop only.  Set q->servers, or let q wait: true when it waits. */
bool pst_wfinder_servers(struct pst_watch *w, struct pst_wquestion *q, const char *name);
/* q no longer needs its zone. */
void pst_wfinder_leave(struct pst_wquestion *q);
/* Is `name` known to be its zone's own? */
enum pst_apex pst_wfinder_apex(struct pst_watch *w, const char *name);
void pst_wfinder_on_result(struct pst_watch *w, struct pst_wresult *m);
void pst_wfinder_refresh(struct pst_watch *w, const char *name);
void pst_wfinder_sweep(struct pst_watch *w);
void pst_wfinder_free(struct pst_watch *w);

/* ------------------------------------------------------------------ prober.c: HTTP probes */

enum { PST_WPROBERS = 2, PST_WPROBES_MAX = 64, PST_WPROBES_PER_HOST = 8 };

struct pst_wprobe_job {
    struct pst_wprobe_job *next;
    struct pst_wresult *result;
    size_t ip_n;
    struct pst_dns_ip ips[PST_WATCH_PROBE_IPS];
    char name[PST_DNS_NAME_MAX + 1];
};

int pst_wprober_start(struct pst_watch *w, struct pst_err *err);
void pst_wprober_stop(struct pst_watch *w);
/* Loop only.  False: not now (too many wait, no memory). */
bool pst_wprober_push(struct pst_watch *w, const struct pst_wentry *e, const struct pst_dns_ip *ips,
                      size_t n);
void pst_wprober_free(struct pst_watch *w);

/* ------------------------------------------------------------------ net.c: sockets */

enum { PST_WUDP_SLOTS = 16, PST_WUDP_USES = 256, PST_WTCP_MAX = 64, PST_WMATCH = 4096 };

enum pst_wsource_kind { PST_WSOURCE_WAKE, PST_WSOURCE_UDP, PST_WSOURCE_TCP };
struct pst_wsource {
    enum pst_wsource_kind kind;
};

/* One of the sockets that questions leave from; replaced by another port after some use. */
struct pst_wudp {
    struct pst_wsource source;
    int fd;
    unsigned uses, open; /* questions sent; questions without an answer */
    bool retired;        /* no longer in its slot */
    struct pst_wudp *prev, *next;
};

struct pst_wtcp {
    struct pst_wsource source;
    int fd;
    struct pst_wquestion *q;
    struct pst_wtcp *prev, *next;
    size_t out_at, in_at, in_len;
    uint8_t out[2 + PST_DNS_QUERY_MAX];
    uint8_t head[2];
    uint8_t *in;
};

struct pst_wnet {
    int epoll;
    struct pst_wudp *slots[2][PST_WUDP_SLOTS]; /* IPv4, IPv6 */
    struct pst_wudp *udps;                     /* all open ones */
    struct pst_wtcp *tcps;
    struct pst_wtcp *dead_tcps; /* closed while events are handled; released after them */
    struct pst_wudp *dead_udps;
    size_t tcp_n;
    struct pst_wqueue waiting; /* sent by UDP, in order of expiry */
    struct pst_wqueue on_tcp;
    struct pst_wquestion *match[PST_WMATCH];
    uint8_t *packets; /* for recvmmsg */
};

int pst_wnet_init(struct pst_watch *w, struct pst_err *err);
void pst_wnet_deinit(struct pst_watch *w);
/* Send q's query to its current server (by TCP), or count it as a try that fails. */
void pst_wnet_send(struct pst_watch *w, struct pst_wquestion *q);
void pst_wnet_send_tcp(struct pst_watch *w, struct pst_wquestion *q);
/* Take q off all queues, tables and sockets. */
void pst_wnet_release(struct pst_watch *w, struct pst_wquestion *q);
void pst_wnet_on_event(struct pst_watch *w, struct pst_wsource *s, uint32_t events);
void pst_wnet_expire(struct pst_watch *w);
/* Release what was closed while events were handled. */
void pst_wnet_bury(struct pst_watch *w);

/* ------------------------------------------------------------------ question.c */

/* Begin asking `name` anew (the first name, or the end of a CNAME). */
void pst_wquestion_ask(struct pst_watch *w, struct pst_wquestion *q, const char *name);
/* Its servers are known now. */
void pst_wquestion_go(struct pst_watch *w, struct pst_wquestion *q);
/* A packet that matches; by TCP or UDP. */
void pst_wquestion_on_packet(struct pst_watch *w, struct pst_wquestion *q, const uint8_t *packet,
                             size_t len);
/* The current try came to nothing. */
void pst_wquestion_on_silence(struct pst_watch *w, struct pst_wquestion *q, const char *why);
/* The final word. */
void pst_wquestion_finish(struct pst_watch *w, struct pst_wquestion *q, enum pst_dns_status status,
                          const char *why);

/* ------------------------------------------------------------------ check.c */

/* False: no memory, try later. */
bool pst_wcheck_start(struct pst_watch *w, struct pst_wentry *e);
/* A question of it has its final answer. */
void pst_wcheck_on_answer(struct pst_watch *w, struct pst_wcheck *c);
void pst_wcheck_on_probe(struct pst_watch *w, struct pst_wentry *e, const struct pst_wresult *m);
/* End it without a verdict. */
void pst_wcheck_free(struct pst_watch *w, struct pst_wcheck *c);
void pst_wentry_free(struct pst_wentry *e);
/* Of what a change is told by; any thread. */
uint64_t pst_watch_verdict_hash(const struct pst_watch *w, const struct pst_watch_verdict *v);

/* ------------------------------------------------------------------ watch.c */

enum { PST_WREPORTS_MAX = 128 };

struct pst_wreport {
    char id[PST_WATCH_ID_MAX + 1];
    struct pst_watch_verdict verdict;
};

struct pst_watch {
    struct pst_watch_opts opts;
    char **edge_addresses;
    char *edge_cname;
    bool zones; /* no resolver: ask the zones' own servers */
    struct pst_wservers resolver;
    int64_t interval_ms;
    int64_t max_wait_ms;

    /* the loop's own */
    int64_t now_ms;
    struct pst_whash entries;
    struct pst_whash zone_cache;
    int64_t next_sweep_ms;
    struct pst_wheel wheel;
    struct pst_wnet net;
    size_t checks; /* under way, those that wait for a probe not counted */
    struct pst_wreport *reports;
    size_t reports_n;
    int64_t reports_due_ms;

    /* shared, under `lock` */
    pthread_mutex_t lock;
    pthread_cond_t job; /* finders and probers wait for work or the end */
    bool stopping;
    struct pst_wmail *mail_first, *mail_last;
    struct pst_wzone *jobs_first, *jobs_last;
    struct pst_wprobe_job *probes;
    size_t probes_n;
    struct pst_dns_ip probing[PST_WPROBERS]; /* version 0: idle */

    struct pst_wsource wake;
    int wake_fd;
    pthread_t loop, finders[PST_WFINDERS], probers[PST_WPROBERS];
    size_t finders_n, probers_n;
    bool loop_started, stopped;

    struct {
        _Atomic uint64_t names, checks, queries, retries, tcp, dropped, probes, reports;
        _Atomic int64_t late_ms;
    } stats;
};

/* Put mail into the box and wake the loop; takes ownership. */
void pst_watch_post(struct pst_watch *w, struct pst_wmail *m);
/* Start a thread; err names `what`. */
int pst_watch_thread(pthread_t *ret, void *(*run)(void *), void *arg, const char *what,
                     struct pst_err *err);
/* A changed verdict, for the next batch. */
void pst_watch_report(struct pst_watch *w, const char *id, const struct pst_watch_verdict *v);
/* loop.c */
void *pst_watch_loop(void *watch);
void pst_watch_flush(struct pst_watch *w);

/* judge.c */
#define PST_WATCH_PROBE_SAYS "HTTP probe: "
bool pst_watch_guess_apex(const char *name);
/* Texts of the first `max` addresses; how many. */
size_t pst_watch_ip_texts(const struct pst_dns_ip *ips, size_t n, char texts[][PST_DNS_IP_SIZE],
                          const char **ret, size_t max);

#endif
