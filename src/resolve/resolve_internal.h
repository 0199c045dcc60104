/* resolve_internal.h - what the files of resolve/ and their tests share. */
#ifndef PST_RESOLVE_INTERNAL_H
#define PST_RESOLVE_INTERNAL_H

/* First: without it ldns makes `bool` a signed char. */
#include <stdbool.h>

#include <ldns/ldns.h>
#include <unbound.h>

#include <postern/base.h>
#include <postern/resolve.h>

PST_CLEANUP(ldns_rr, ldns_rr_free);
PST_CLEANUP(struct ub_result, ub_resolve_free);

/* One validated question, answered. */
struct pst_lookup {
    struct pst_resolve_end end;
    struct pst_dns_msg *msg; /* NULL when nothing could be parsed */
    struct pst_dns_view view;
};
void pst_lookup_deinit(struct pst_lookup *l);

struct pst_lookup_question {
    const char *name;
    uint16_t type;
};

enum { PST_LOOKUP_MAX = 64 };

/* Ask n (at most PST_LOOKUP_MAX) questions side by side and wait for all, each for at most the
 * resolver's deadline.  On PST_OK all n results are filled (release each); else none. */
int pst_lookup_all(struct pst_resolver *r, const struct pst_lookup_question *q, size_t n,
                   struct pst_lookup *ret, struct pst_err *err);

#endif
