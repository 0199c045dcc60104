/* dnsd_internal.h - what the files of dnsd/ and their tests share. */
#ifndef PST_DNSD_INTERNAL_H
#define PST_DNSD_INTERNAL_H

#include <pthread.h>
#include <stdatomic.h>
#include <sys/socket.h>

#include <postern/base.h>
#include <postern/dnsd.h>
#include <postern/dnsmsg.h>
#include <postern/dnsreply.h>

#define LOG "dnsd"

/* ---- zone.c ---- */

enum { PST_DNS_WIRE_MAX = 255, PST_DNS_LABELS_MAX = 128, PST_DNS_RECORD_MAX = 2400 };

/* Records as they stand in an answer, their owner being a pointer to the question's name. */
struct pst_dns_block {
    uint8_t data[PST_DNS_RECORD_MAX];
    size_t len;
    uint16_t n;
};

struct pst_dns_zone {
    uint8_t apex[PST_DNS_WIRE_MAX]; /* in lower case */
    size_t apex_len, apex_labels;
    uint32_t ttl_s, negative_ttl_s;
    struct pst_dns_block ns, caa;
    uint8_t soa[2 * PST_DNS_WIRE_MAX + 20]; /* rdata */
    size_t soa_len, soa_serial;             /* where the serial number stands in it */
};

uint8_t *pst_dns_put16(uint8_t *p, uint16_t v);
uint8_t *pst_dns_put32(uint8_t *p, uint32_t v);
uint8_t pst_dns_lower(uint8_t c);

/* ---- values.c ---- */

/* The records of a label (PST_DNS_TYPE_TXT), in `values` as long as that lives.  False: none. */
struct pst_dns_txt {
    const uint8_t *data;
    size_t len;
    uint16_t n;
};
bool pst_dns_values_find(const struct pst_dns_values *v, const uint8_t *label, size_t len,
                         struct pst_dns_txt *ret);
uint32_t pst_dns_values_serial(const struct pst_dns_values *v);

/* ---- rate.c: answers by UDP to one network ---- */

enum pst_dns_rate_verdict { PST_DNS_RATE_PASS, PST_DNS_RATE_SLIP, PST_DNS_RATE_DROP };

struct pst_dns_rate;
/* `limit` answers a second, 0: no limit; each `slip`-th question over it gets PST_DNS_RATE_SLIP
 * (0: none). */
int pst_dns_rate_new(struct pst_dns_rate **ret, int64_t limit, int64_t slip, struct pst_rand *rand,
                     struct pst_err *err);
void pst_dns_rate_free(struct pst_dns_rate *r);
enum pst_dns_rate_verdict pst_dns_rate_judge(struct pst_dns_rate *r, const struct sockaddr *from,
                                             int64_t now_ms);

/* The network (/24 or /56) of an address, as a number. */
uint64_t pst_dns_network(const struct sockaddr *from);

/* ---- dnsd.c: the table that all threads read ---- */

enum pst_dns_count {
    PST_DNS_COUNT_UDP = PST_DNS_OUT__COUNT,
    PST_DNS_COUNT_TCP,
    PST_DNS_COUNT_TRUNCATED,
    PST_DNS_COUNT_SLIPPED,
    PST_DNS_COUNT_LIMITED,
    PST_DNS_COUNT__COUNT
};

/* One for each thread that answers: what it reads just now, and what it has counted. */
struct pst_dns_reader {
    _Atomic(struct pst_dns_values *) using;
    _Atomic uint64_t counts[PST_DNS_COUNT__COUNT];
    char apart[64]; /* threads do not write to each other's cache lines */
};

enum pst_dns_trouble { PST_DNS_TROUBLE_STORE, PST_DNS_TROUBLE_NET, PST_DNS_TROUBLE__COUNT };

struct pst_udp;
struct pst_tcp;

struct pst_dnsd {
    struct pst_dnsd_opts opts;
    struct pst_dns_zone *zone;
    struct pst_dns_rate *rate;
    struct pst_dns_server listen[PST_DNSD_LISTEN_MAX];

    _Atomic(struct pst_dns_values *) values;
    struct pst_dns_reader readers[PST_DNSD_THREADS_MAX + 1]; /* the last one is TCP's */
    int64_t version;                                         /* of `values` */
    int64_t until_ms; /* when the first of them ends; 0: never */

    struct pst_udp *udp[PST_DNSD_THREADS_MAX];
    struct pst_tcp *tcp;
    int stop; /* an eventfd that all threads watch */

    pthread_t refresher;
    bool refreshing; /* it runs */
    pthread_mutex_t lock;
    pthread_cond_t poked;
    bool changed, stopping;

    _Atomic int64_t told_ms[PST_DNS_TROUBLE__COUNT];
};

/* The newest values, for this reader until it lets them go. */
struct pst_dns_values *pst_dnsd_hold(struct pst_dnsd *d, struct pst_dns_reader *r);
void pst_dnsd_let_go(struct pst_dns_reader *r);
void pst_dnsd_count(struct pst_dns_reader *r, int what);
/* One line a minute for each kind. */
void pst_dnsd_trouble(struct pst_dnsd *d, enum pst_dns_trouble kind, const char *msg,
                      const struct pst_err *err);

/* ---- net.c: sockets ---- */

/* A bound socket of SOCK_DGRAM or SOCK_STREAM, not listening yet.  PST_ECONFIG, naming the setting
 * and the mend. */
int pst_dnsd_bind(const struct pst_dns_server *at, int type, bool shared, int *ret_fd,
                  struct pst_err *err);

/* A thread and the sockets that it waits for: all of dnsd.listen, and the server's end.  In its
 * epoll a socket is told by a pointer into `fds`, the end by &d->stop. */
struct pst_dns_doors {
    int epoll;
    int fds[PST_DNSD_LISTEN_MAX];
    pthread_t thread;
    bool running;
};
/* PST_OK, PST_ECONFIG as pst_dnsd_bind(), PST_ESYS; to be closed either way. */
int pst_dns_doors_open(struct pst_dns_doors *doors, struct pst_dnsd *d, int type, bool shared,
                       struct pst_err *err);
int pst_dns_doors_run(struct pst_dns_doors *doors, void *(*run)(void *), void *arg,
                      struct pst_err *err);
/* Waits for the thread, which the server's end has told to go. */
void pst_dns_doors_close(struct pst_dns_doors *doors);

/* ---- udp.c, tcp.c ---- */

int pst_udp_start(struct pst_udp **ret, struct pst_dnsd *d, size_t number, struct pst_err *err);
void pst_udp_stop(struct pst_udp *u); /* after d->stop was set */
int pst_tcp_start(struct pst_tcp **ret, struct pst_dnsd *d, struct pst_err *err);
void pst_tcp_stop(struct pst_tcp *t);

#endif
