/*
 * limiter.h - how many failed logins an address has had lately: ten at once, then one in six
 * seconds.
 *
 * In memory, of fixed size: with more addresses than places the one that failed longest ago is
 * forgotten.  IPv6 counts by /64.  Threads: any.
 */
#ifndef POSTERN_API_LIMITER_H
#define POSTERN_API_LIMITER_H

#include <stdint.h>

struct pst_err;
struct pst_limiter;
struct pst_rand;

int pst_limiter_new(struct pst_limiter **ret, struct pst_rand *rand, struct pst_err *err);
void pst_limiter_free(struct pst_limiter *l);

/* How many seconds this address must wait before it may try: 0 for now.  now_ms: monotonic. */
int64_t pst_limiter_wait_s(struct pst_limiter *l, const char *address, int64_t now_ms);
/* A try of it failed. */
void pst_limiter_failed(struct pst_limiter *l, const char *address, int64_t now_ms);

#endif
