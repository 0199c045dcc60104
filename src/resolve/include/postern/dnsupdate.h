/*
 * dnsupdate.h - dynamic update of one TXT value (RFC 2136), authenticated by TSIG (RFC 8945).
 *
 * An update adds one record or deletes one by its value: the server merges, nobody else's records
 * are touched, and the same update can be sent again.  It goes by TCP to one given server.
 *
 * Threads:  everything works on the caller's objects.
 * Blocking: pst_dns_update() blocks for at most its timeout.
 * Failure:  what the server answers is a result; faults are the network, a malformed answer, or
 *           one whose signature is wrong.  The key never appears in a text.
 */
#ifndef POSTERN_DNSUPDATE_H
#define POSTERN_DNSUPDATE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <postern/dnsmsg.h>

enum { PST_TSIG_MAC_MAX = 64, PST_TSIG_FUDGE_S = 300, PST_DNS_UPDATE_MAX = 1400 };

/* A key is a name, an algorithm and a function, so that this module needs to know no secret. */
struct pst_tsig_key {
    const char *name;      /* as a DNS name without trailing dot */
    const char *algorithm; /* the same: "hmac-sha256" */
    int (*mac)(void *arg, const void *data, size_t len, uint8_t ret[PST_TSIG_MAC_MAX],
               size_t *ret_len, struct pst_err *err);
    void *arg;
};

struct pst_dns_update {
    const char *zone;
    const char *name; /* within the zone, or the zone itself */
    const char *txt;  /* 1 to 255 bytes; NULL: an update without records, which only shows whether
                         the server takes zone and signature */
    uint32_t ttl_s;   /* of what is added */
    bool remove;
    uint16_t id;
};

/* Write the message, signed for `now` (Unix seconds) when `key` is not NULL.  *ret_mac is the MAC
 * that the answer's covers.  PST_OK; PST_REFUSED (a name or the value cannot be written, the name
 * is not in the zone); faults of the key's function. */
struct pst_tsig_mac {
    uint8_t bytes[PST_TSIG_MAC_MAX];
    size_t len;
};
int pst_dns_update_write(const struct pst_dns_update *u, const struct pst_tsig_key *key,
                         int64_t now, struct pst_buf *to, struct pst_tsig_mac *ret_mac,
                         struct pst_err *err);

enum { PST_TSIG_BADSIG = 16, PST_TSIG_BADKEY = 17, PST_TSIG_BADTIME = 18, PST_TSIG_BADTRUNC = 22 };

struct pst_dns_update_result {
    uint16_t rcode;
    uint16_t tsig_error; /* 0 when there is none */
    bool is_signed;      /* and the signature is right */
    int64_t server_time; /* Unix seconds, with BADTIME; else 0 */
};

/*
 * Read the answer to a message with this id, signed by `key` (NULL: not signed) with `mac`.
 *
 * PST_OK      *ret; not signed only when the server refuses the key itself (BADSIG, BADKEY), or the
 *             message as a whole (FORMERR, NOTIMP, REFUSED, SERVFAIL, NOTAUTH)
 * PST_EINPUT  not a well-formed answer, or its signature or its time is wrong
 */
int pst_dns_update_read(const uint8_t *packet, size_t len, uint16_t id,
                        const struct pst_tsig_key *key, const struct pst_tsig_mac *mac, int64_t now,
                        struct pst_dns_update_result *ret, struct pst_err *err);

struct pst_dns_update_opts {
    const struct pst_tsig_key *key; /* NULL: not signed */
    uint32_t timeout_ms;            /* 0 means 10,000 */
    int64_t offset_s;               /* added to our clock for signing */
    const struct pst_clock *clock;  /* NULL: the system's */
    struct pst_rand *rand;          /* NULL: the system's */
};

/* Send it and read the answer.  PST_OK; PST_REFUSED as above; PST_ENET; PST_EINPUT as above. */
int pst_dns_update(const struct pst_dns_server *server, const struct pst_dns_update *u,
                   const struct pst_dns_update_opts *opts, struct pst_dns_update_result *ret,
                   struct pst_err *err);

/* "NOERROR", "REFUSED", "NOTAUTH", ...; "RCODE" for one without a name.  Never NULL. */
const char *pst_dns_rcode_name(uint16_t rcode);

#endif
