/*
 * probe.h - does http://<name>/ lead to one of our edges, whatever stands between?
 *
 * Asks GET http://<name>:<port>/.well-known/acme-challenge/postern-<nonce> at the addresses given
 * and expects HMAC-SHA256(probe key, host "|" nonce) in lower-case hex.  Only an edge that holds
 * the replica can answer that, so a proxy such as Cloudflare in front does not hide us, and another
 * platform that answers everything does not pass for us.
 *
 * Threads:  any.  Blocking: for at most timeout_ms in all.
 * Memory:   the answer is a value of the caller.  The key is only read, never shown.
 * Trust:    names and addresses are a tenant's: every address passes the gate, redirects are off.
 */
#ifndef POSTERN_PROBE_H
#define POSTERN_PROBE_H

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

struct pst_err;
struct pst_gate;
struct pst_rand;

enum pst_probe_result {
    PST_PROBE_OURS,        /* an edge of ours answered, and nobody else did */
    PST_PROBE_OTHER,       /* somebody else answered, at one address at least */
    PST_PROBE_UNREACHABLE, /* nobody answered at one of them, or the gate refuses it */
};
/* "ours", "other", "unreachable". */
const char *pst_probe_result_name(enum pst_probe_result r);

enum { PST_PROBE_KEY_LEN = 32 };

struct pst_probe_opts {
    const unsigned char *key; /* PST_PROBE_KEY_LEN bytes */
    uint16_t port;            /* 0 means 80 */
    const struct pst_gate *gate;
    struct pst_rand *rand;  /* NULL: the system's */
    uint32_t timeout_ms;    /* for all addresses together; 0 means 10000 */
    const char *user_agent; /* NULL: the one of http.h */
    const atomic_bool
        *cancel; /* set by another thread: the probe ends within a second; may be NULL */
};

struct pst_probe_answer {
    enum pst_probe_result result;
    long http_status;   /* of the answer that decided; 0 without one */
    char evidence[512]; /* for people: address, status, first bytes escaped, Via and Server */
};

/*
 * name       lower or upper case, no wildcard.
 * addresses  literal IPs, each is asked; with more than 8 the result is never OURS.  A CA may come
 * to any of them, so one that does not lead to us is enough to fail it.
 *
 * PST_OK; PST_REFUSED (no address, bad name or address); negative (memory, system).
 */
int pst_probe_http(const struct pst_probe_opts *opts, const char *name,
                   const char *const *addresses, size_t addresses_n, struct pst_probe_answer *ret,
                   struct pst_err *err);

#endif
