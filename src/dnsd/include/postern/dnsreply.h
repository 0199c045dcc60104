/*
 * dnsreply.h - an authoritative answer as a pure function: question in, answer out.
 *
 * The zone is made of settings and has only its apex (SOA, NS, perhaps CAA) and one level of names
 * below it.  Every such name exists, so that a tenant's CNAME leads somewhere before the first
 * order and between two renewals: without a value it is answered with NODATA.  Only names further
 * below do not exist.  The values that names have stand in a table of their own, which changes as
 * a whole.
 *
 * Questions are hostile: any bytes are taken, the work is bounded by their length, and what cannot
 * be read is answered with FORMERR or not at all.  The grammar is RFC 1035 section 4; EDNS(0) RFC
 * 6891; what ANY gets RFC 8482; the negative TTL RFC 2308.
 *
 * Threads:  zone and values are only read once they are made; any number of threads may do so.
 * Blocking: never.
 * Memory:   pst_dns_reply() allocates nothing.
 */
#ifndef POSTERN_DNSREPLY_H
#define POSTERN_DNSREPLY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <postern/mem.h>

struct pst_err;
struct pst_rand;

/* ------------------------------------------------------------------ the zone */

struct pst_dns_zone_opts {
    const char *name;      /* normal form, at most 190 bytes */
    const char *const *ns; /* at least one; the first is the primary of the SOA record */
    size_t ns_n;
    const char *admin;       /* mail address; "": hostmaster@ the zone */
    const char *const *caa;  /* issuers of the zone's CAA records, ";" being nobody */
    size_t caa_n;            /* 0: it has none */
    uint32_t ttl_s;          /* of values */
    uint32_t negative_ttl_s; /* of their absence */
};

struct pst_dns_zone;
/* PST_ECONFIG: a name is none, or the admin no mail address.  PST_ENOMEM. */
int pst_dns_zone_new(struct pst_dns_zone **ret, const struct pst_dns_zone_opts *opts,
                     struct pst_err *err);
void pst_dns_zone_free(struct pst_dns_zone *z);
PST_CLEANUP(struct pst_dns_zone, pst_dns_zone_free);

/* ------------------------------------------------------------------ the values */

struct pst_dns_values;

enum { PST_DNS_TABLE_MAX = 100000 }; /* values in one table */

/* An empty table; `serial` is that of the SOA record. */
int pst_dns_values_new(struct pst_dns_values **ret, const struct pst_dns_zone *zone,
                       uint32_t serial, struct pst_rand *rand, struct pst_err *err);
/* Before it is shared.  All values of a label one after the other; the label is in lower case and
 * has at most 63 bytes, the value at most 255.  PST_CONFLICT: that is too many, for the label
 * (PST_DNS_VALUES_MAX of answers.h, what an answer by TCP has room for) or for the table; what was
 * there stays. */
int pst_dns_values_add(struct pst_dns_values *v, const char *label, const char *value,
                       struct pst_err *err);
void pst_dns_values_free(struct pst_dns_values *v);
PST_CLEANUP(struct pst_dns_values, pst_dns_values_free);

/* ------------------------------------------------------------------ the answer */

enum pst_dns_outcome {
    PST_DNS_OUT_DROPPED,  /* no answer: shorter than a header, or itself an answer */
    PST_DNS_OUT_ANSWER,   /* there are such records */
    PST_DNS_OUT_NODATA,   /* the name exists, such records do not */
    PST_DNS_OUT_NXDOMAIN, /* the name does not exist */
    PST_DNS_OUT_REFUSED,  /* not our zone, another class, or a transfer */
    PST_DNS_OUT_FORMERR,  /* not a question */
    PST_DNS_OUT_NOTIMP,   /* another operation than QUERY */
    PST_DNS_OUT_BADVERS,  /* another EDNS than version 0 */
    PST_DNS_OUT__COUNT
};
/* "dropped", "answer", "nodata", "nxdomain", "refused", "formerr", "notimp", "badvers". */
const char *pst_dns_outcome_name(enum pst_dns_outcome o);

enum {
    PST_DNS_REPLY_UDP_MAX = 1232,
    PST_DNS_REPLY_TCP_MAX = 16384,
};

struct pst_dns_reply {
    enum pst_dns_outcome outcome;
    size_t len;          /* of the answer; 0: there is none */
    size_t question_end; /* header and question are up to here; 0 without an answer */
    bool truncated;      /* TC is set: by TCP there is more */
};

/* Answer `len` bytes that came by UDP into `to`, which has PST_DNS_REPLY_UDP_MAX bytes, or by TCP
 * into PST_DNS_REPLY_TCP_MAX. */
void pst_dns_reply(const struct pst_dns_zone *zone, const struct pst_dns_values *values,
                   const uint8_t *packet, size_t len, bool udp, uint8_t *to,
                   struct pst_dns_reply *ret);

/* Leave only header and question of an answer and set TC: "ask by TCP". */
void pst_dns_reply_cut(uint8_t *to, struct pst_dns_reply *r);

#endif
