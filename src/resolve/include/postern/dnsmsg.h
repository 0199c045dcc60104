/*
 * dnsmsg.h - DNS messages as bytes, and one question to one given server.
 *
 * Names in and out are text: lower-case, without trailing dot, at most 253 bytes for what we ask;
 * bytes that are not printable appear as \DDD in what others answered.  The root is "".
 *
 * An answer is hostile until proven otherwise: pst_dns_parse() takes any bytes, is bounded in time
 * and memory by the message's length, and gives nothing that points into them.
 *
 * Threads:  everything here is pure or works on the caller's objects; any thread.
 * Blocking: only pst_ask(), for at most its timeout.
 * Memory:   free a message with pst_dns_msg_free().
 */
#ifndef POSTERN_DNSMSG_H
#define POSTERN_DNSMSG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

struct pst_buf;
struct pst_clock;
struct pst_err;
struct pst_rand;

/* ------------------------------------------------------------------ addresses */

struct pst_dns_ip {
    uint8_t version; /* 4 or 6 */
    uint8_t bytes[16];
};

/* "192.0.2.1" or "2001:db8::1"; nothing else (no port, no zone, no brackets). */
bool pst_dns_ip_parse(const char *text, struct pst_dns_ip *ret);

enum { PST_DNS_IP_SIZE = 46 };
/* The canonical text (RFC 5952). */
void pst_dns_ip_text(const struct pst_dns_ip *ip, char to[PST_DNS_IP_SIZE]);

/* -1, 0 or 1: version 4 before 6, then by bytes.  For sorting and for equality. */
int pst_dns_ip_cmp(const struct pst_dns_ip *a, const struct pst_dns_ip *b);

/* Is it an address of the public internet: not loopback, private, link-local, shared (CGNAT),
 * multicast, documentation, mapped, or otherwise special? */
bool pst_dns_ip_public(const struct pst_dns_ip *ip);

struct pst_dns_server {
    struct pst_dns_ip ip;
    uint16_t port;
};

/* "192.0.2.1:53", "[2001:db8::1]:53", or an address alone (port 53).
 * PST_OK, or PST_REFUSED with err telling what is wrong. */
int pst_dns_server_parse(const char *text, struct pst_dns_server *ret, struct pst_err *err);

enum { PST_DNS_SERVER_SIZE = 56 };
/* The socket address of a server; its length. */
socklen_t pst_dns_sockaddr(const struct pst_dns_server *s, struct sockaddr_storage *to);

void pst_dns_server_text(const struct pst_dns_server *s, char to[PST_DNS_SERVER_SIZE]);

/* ------------------------------------------------------------------ messages */

enum pst_dns_type {
    PST_DNS_A = 1,
    PST_DNS_NS = 2,
    PST_DNS_CNAME = 5,
    PST_DNS_SOA = 6,
    PST_DNS_TXT = 16,
    PST_DNS_AAAA = 28,
    PST_DNS_CAA = 257,
};

/* How a look-up ended.  OK and NODATA both are NOERROR on the wire. */
enum pst_dns_status {
    PST_DNS_OK,       /* there are records of the type that was asked for */
    PST_DNS_NODATA,   /* the name exists, such records do not */
    PST_DNS_NXDOMAIN, /* the name (or the end of its CNAME chain) does not exist */
    PST_DNS_SERVFAIL, /* the server failed */
    PST_DNS_REFUSED,  /* the server will not answer us */
    PST_DNS_TIMEOUT,  /* nobody answered in time */
    PST_DNS_BOGUS,    /* DNSSEC validation failed */
    PST_DNS_BROKEN,   /* an answer that makes no sense: another rcode, a CNAME loop */
};
/* "NOERROR", "NODATA", "NXDOMAIN", "SERVFAIL", "REFUSED", "TIMEOUT", "BOGUS", "BROKEN". */
const char *pst_dns_status_name(enum pst_dns_status s);

struct pst_dns_rr {
    const char *owner;
    uint16_t type;
    uint32_t ttl_s;
    const uint8_t *data; /* rdata as on the wire, names in it uncompressed; NUL-terminated */
    size_t data_len;
    const char *target; /* CNAME and NS: the name in the rdata; else NULL */
};

struct pst_dns_msg {
    uint16_t id;
    uint16_t rcode;
    bool authoritative;
    bool truncated;
    bool recursion; /* the server offers recursion */
    const char *qname;
    uint16_t qtype;
    size_t answer_n;
    const struct pst_dns_rr *answer; /* answer section, class IN, in its order */
    size_t authority_n;
    const struct pst_dns_rr *authority; /* authority section */
};
void pst_dns_msg_free(struct pst_dns_msg *m);
/* For auto_(pst_dns_msg_free). */
static inline void pst_dns_msg_freep(struct pst_dns_msg **m)
{
    if (*m)
        pst_dns_msg_free(*m);
}

enum {
    PST_DNS_NAME_MAX = 253,
    PST_DNS_QUERY_MAX = 12 + 255 + 4 + 11, /* header, question, OPT record */
    PST_DNS_UDP_SIZE = 1232,               /* what we announce */
    PST_DNS_UDP_MAX = 4096,                /* what we take by UDP all the same */
    PST_DNS_CHAIN_MAX = 16,                /* CNAMEs we follow */
};

/* Is `name` one that we ask for: labels of 1..63 bytes out of letters, digits, '-', '_' (and '*' as
 * the whole first label), at most 253 bytes, no trailing dot? */
bool pst_dns_name_ok(const char *name);

struct pst_dns_question {
    const char *name;
    uint16_t type;
    uint16_t id;
    bool recurse; /* RD: set it for a resolver, not for a zone's own server */
    bool plain;   /* without EDNS, for servers that answer FORMERR to it */
};

/* Write the query (RFC 1035 4.1, EDNS0 of RFC 6891).  Its length, or 0 when the name is not one
 * that pst_dns_name_ok() takes. */
size_t pst_dns_query(uint8_t to[PST_DNS_QUERY_MAX], const struct pst_dns_question *q);

/* Does this packet answer that query: same id, QR set, opcode QUERY, exactly our one question?
 * Looks at header and question only, so that forged packets cost next to nothing. */
bool pst_dns_matches(const uint8_t *packet, size_t len, const uint8_t *query, size_t query_len);

/* Parse a whole answer.  PST_OK; PST_EINPUT (not a well-formed answer: err says why); PST_ENOMEM.
 * A truncated answer (TC) is well-formed when what is there is; ask again by TCP. */
int pst_dns_parse(const uint8_t *packet, size_t len, struct pst_dns_msg **ret, struct pst_err *err);

/* The question's answer within a message: its CNAME chain and where that ends. */
struct pst_dns_view {
    enum pst_dns_status status;
    size_t chain_n;
    const char *chain[PST_DNS_CHAIN_MAX]; /* the targets, in order; owned by the message */
    const char *end;                      /* the last target, or the question's name */
    size_t rr_n;                          /* records of the asked type at `end` */
};
void pst_dns_follow(const struct pst_dns_msg *m, struct pst_dns_view *ret);

/* The i-th record (0 .. rr_n - 1) of a view, in the message's order. */
const struct pst_dns_rr *pst_dns_view_rr(const struct pst_dns_msg *m, const struct pst_dns_view *v,
                                         size_t i);

/* The address in an A or AAAA record; false when it is neither. */
bool pst_dns_rr_ip(const struct pst_dns_rr *rr, struct pst_dns_ip *ret);

/* The strings of a TXT record, joined without separator (RFC 1035 3.3.14); false when malformed. */
bool pst_dns_rr_txt(const struct pst_dns_rr *rr, struct pst_buf *to);

/* ------------------------------------------------------------------ one question, one server */

struct pst_ask_opts {
    uint32_t timeout_ms; /* for everything together; 0 means 5000 */
    bool recurse;
    const struct pst_clock *clock; /* NULL: the system's */
    struct pst_rand *rand;         /* NULL: the system's */
};

/*
 * Ask one server by UDP from a random port with a random id, three tries; by TCP when the answer is
 * truncated; without EDNS when the server answers FORMERR to it.  Packets that do not match are
 * dropped and waiting goes on.
 *
 * PST_OK       an answer, whatever its rcode: pst_dns_follow() tells.
 * PST_REFUSED  `name` is not one that can be asked for.
 * PST_ENET     no answer within the time, or the port is closed.
 * PST_EINPUT   the answer by TCP is malformed.
 * negative     the system, memory.
 */
int pst_ask(const struct pst_dns_server *server, const char *name, uint16_t type,
            const struct pst_ask_opts *opts, struct pst_dns_msg **ret, struct pst_err *err);

#endif
