/* Typed look-ups over pst_lookup_all(). */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "resolve_internal.h"

enum { ZONE_SERVERS_MAX = 8, ZONE_IPS_MAX = 32, LABELS_MAX = 128 };

/* The larger one decides what a failed look-up is called. */
static int failure_weight(enum pst_dns_status s)
{
    static const int weight[] = {
        [PST_DNS_BROKEN] = 1,   [PST_DNS_REFUSED] = 2, [PST_DNS_TIMEOUT] = 3,
        [PST_DNS_SERVFAIL] = 4, [PST_DNS_BOGUS] = 5,
    };

    return (size_t)s < PST_ARRAY_N(weight) ? weight[s] : 0;
}

static int compare_ips(const void *a, const void *b)
{
    return pst_dns_ip_cmp(a, b);
}

/* Sort and drop repetitions; the new number. */
static size_t sort_ips(struct pst_dns_ip *ips, size_t n)
{
    size_t kept = 0;

    if (n > 1)
        qsort(ips, n, sizeof *ips, compare_ips);
    for (size_t i = 0; i < n; i++) {
        if (kept == 0 || pst_dns_ip_cmp(&ips[kept - 1], &ips[i]) != 0)
            ips[kept++] = ips[i];
    }
    return kept;
}

/* Append a look-up's addresses to `ips`, at most `max` in all. */
static size_t add_ips(const struct pst_lookup *l, struct pst_dns_ip *ips, size_t n, size_t max)
{
    if (l->end.status != PST_DNS_OK)
        return n;
    for (size_t i = 0; i < l->view.rr_n && n < max; i++)
        n += pst_dns_rr_ip(pst_dns_view_rr(l->msg, &l->view, i), &ips[n]);
    return n;
}

static char **copy_texts(const char *const *texts, size_t n)
{
    char **to = pst_zalloc(n + 1, sizeof *to);

    for (size_t i = 0; to && i < n; i++) {
        to[i] = pst_strdup(texts[i]);
        if (!to[i]) {
            while (i > 0)
                pst_free(to[--i]);
            pst_free(to);
            return NULL;
        }
    }
    return to;
}

static void free_texts(char **texts, size_t n)
{
    for (size_t i = 0; texts && i < n; i++)
        pst_free(texts[i]);
    pst_free(texts);
}

/* ------------------------------------------------------------------ addresses */

void pst_resolve_addresses_free(struct pst_resolve_addresses *a)
{
    if (!a)
        return;
    free_texts(a->chain, a->chain_n);
    pst_free(a->ips);
    pst_free(a);
}

static enum pst_dns_status together(const struct pst_resolve_addresses *a)
{
    int wa = failure_weight(a->a.status), waaaa = failure_weight(a->aaaa.status);

    if (wa > 0 || waaaa > 0)
        return wa >= waaaa ? a->a.status : a->aaaa.status;
    if (a->ip_n > 0)
        return PST_DNS_OK;
    bool nx = a->a.status == PST_DNS_NXDOMAIN && a->aaaa.status == PST_DNS_NXDOMAIN;
    return nx ? PST_DNS_NXDOMAIN : PST_DNS_NODATA;
}

static int read_addresses(const struct pst_lookup l[2], struct pst_resolve_addresses **ret,
                          struct pst_err *err)
{
    auto_(pst_resolve_addresses_free) struct pst_resolve_addresses *a = pst_zalloc(1, sizeof *a);
    size_t max = l[0].view.rr_n + l[1].view.rr_n;
    const struct pst_dns_view *chain = l[0].view.chain_n > 0 ? &l[0].view : &l[1].view;

    if (!a)
        return pst_fail_nomem(err, "addresses");
    a->a = l[0].end;
    a->aaaa = l[1].end;
    a->ips = pst_zalloc(max + 1, sizeof *a->ips);
    a->chain = copy_texts(chain->chain, chain->chain_n);
    a->chain_n = a->chain ? chain->chain_n : 0;
    if (!a->ips || !a->chain)
        return pst_fail_nomem(err, "addresses");
    a->ip_n = add_ips(&l[0], a->ips, 0, max);
    a->ip_n = sort_ips(a->ips, add_ips(&l[1], a->ips, a->ip_n, max));
    a->status = together(a);
    *ret = pst_take(&a);
    return PST_OK;
}

int pst_resolve_addresses(struct pst_resolver *r, const char *name,
                          struct pst_resolve_addresses **ret, struct pst_err *err)
{
    struct pst_lookup_question q[2] = {{name, PST_DNS_A}, {name, PST_DNS_AAAA}};
    struct pst_lookup l[2];

    int rc = pst_lookup_all(r, q, 2, l, err);
    if (rc != PST_OK)
        return rc;
    rc = read_addresses(l, ret, err);
    pst_lookup_deinit(&l[0]);
    pst_lookup_deinit(&l[1]);
    return rc;
}

/* ------------------------------------------------------------------ records */

void pst_resolve_records_free(struct pst_resolve_records *r)
{
    if (!r)
        return;
    for (size_t i = 0; r->caa && i < r->n; i++) {
        pst_free(r->caa[i].tag);
        pst_free(r->caa[i].value);
    }
    pst_free(r->caa);
    free_texts(r->texts, r->n);
    pst_free(r);
}

static void add_escaped(struct pst_buf *to, const uint8_t *data, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        if ((data[i] >= ' ' && data[i] < 127) || data[i] == '\t')
            pst_buf_char(to, (char)data[i]);
        else
            pst_buf_printf(to, "\\%03u", (unsigned)data[i]);
    }
}

static char *escaped(const uint8_t *data, size_t len)
{
    auto_buf struct pst_buf b = PST_BUF(4 * 65536);

    add_escaped(&b, data, len);
    return pst_buf_take(&b, NULL);
}

/* Flags, tag length, tag, value (RFC 8659 4.1).  A tag is 1 to 15 letters and digits; another one
 * leaves tag "". */
static bool read_caa(const struct pst_dns_rr *rr, struct pst_caa_rr *to)
{
    size_t tag_len = rr->data_len > 1 ? rr->data[1] : 0;
    bool ok = tag_len > 0 && tag_len <= 15 && rr->data_len - 2 >= tag_len;

    for (size_t i = 0; ok && i < tag_len; i++) {
        uint8_t c = rr->data[2 + i];

        ok = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
    }
    to->flags = rr->data_len > 0 ? rr->data[0] : 0;
    to->tag = ok ? pst_strndup((const char *)rr->data + 2, tag_len) : pst_strdup("");
    to->value = ok ? escaped(rr->data + 2 + tag_len, rr->data_len - 2 - tag_len)
                   : escaped(rr->data, rr->data_len);
    return to->tag && to->value;
}

static char *read_text(const struct pst_dns_rr *rr)
{
    auto_buf struct pst_buf b = PST_BUF(65536);

    if (rr->target)
        return pst_strdup(rr->target);
    if (!pst_dns_rr_txt(rr, &b) || memchr(pst_buf_cstr(&b), '\0', b.len))
        return pst_strdup(""); /* not a text that anybody could mean */
    return pst_buf_take(&b, NULL);
}

static int read_records(const struct pst_lookup *l, struct pst_resolve_records **ret,
                        struct pst_err *err)
{
    auto_(pst_resolve_records_free) struct pst_resolve_records *r = pst_zalloc(1, sizeof *r);

    if (!r)
        return pst_fail_nomem(err, "DNS records");
    r->end = l->end;
    r->chain_n = l->view.chain_n;
    size_t n = l->end.status == PST_DNS_OK ? l->view.rr_n : 0;
    bool caa = n > 0 && l->msg->qtype == PST_DNS_CAA;
    r->caa = caa ? pst_zalloc(n, sizeof *r->caa) : NULL;
    r->texts = caa ? NULL : pst_zalloc(n + 1, sizeof *r->texts);
    if (!r->caa && !r->texts)
        return pst_fail_nomem(err, "DNS records");
    r->n = n;
    for (size_t i = 0; i < n; i++) {
        const struct pst_dns_rr *rr = pst_dns_view_rr(l->msg, &l->view, i);

        if (caa ? !read_caa(rr, &r->caa[i]) : !(r->texts[i] = read_text(rr)))
            return pst_fail_nomem(err, "DNS records");
    }
    *ret = pst_take(&r);
    return PST_OK;
}

static int resolve_records(struct pst_resolver *r, const char *name, uint16_t type,
                           struct pst_resolve_records **ret, struct pst_err *err)
{
    struct pst_lookup_question q = {name, type};
    struct pst_lookup l;

    int rc = pst_lookup_all(r, &q, 1, &l, err);
    if (rc != PST_OK)
        return rc;
    rc = read_records(&l, ret, err);
    pst_lookup_deinit(&l);
    return rc;
}

int pst_resolve_caa(struct pst_resolver *r, const char *name, struct pst_resolve_records **ret,
                    struct pst_err *err)
{
    return resolve_records(r, name, PST_DNS_CAA, ret, err);
}

int pst_resolve_txt(struct pst_resolver *r, const char *name, struct pst_resolve_records **ret,
                    struct pst_err *err)
{
    return resolve_records(r, name, PST_DNS_TXT, ret, err);
}

int pst_resolve_ns(struct pst_resolver *r, const char *name, struct pst_resolve_records **ret,
                   struct pst_err *err)
{
    return resolve_records(r, name, PST_DNS_NS, ret, err);
}

int pst_resolve_txt_all(struct pst_resolver *r, const char *const *names, size_t n,
                        struct pst_resolve_records **ret, struct pst_err *err)
{
    struct pst_lookup_question q[PST_RESOLVE_TXT_MAX] = {{0}};
    struct pst_lookup l[PST_RESOLVE_TXT_MAX];
    size_t read_n = 0;

    pst_require(n > 0 && n <= PST_RESOLVE_TXT_MAX);
    for (size_t i = 0; i < n; i++)
        q[i] = (struct pst_lookup_question){names[i], PST_DNS_TXT};
    int rc = pst_lookup_all(r, q, n, l, err);
    if (rc != PST_OK)
        return rc;
    while (rc == PST_OK && read_n < n) {
        rc = read_records(&l[read_n], &ret[read_n], err);
        read_n += rc == PST_OK;
    }
    for (size_t i = 0; i < n; i++)
        pst_lookup_deinit(&l[i]);
    while (rc != PST_OK && read_n > 0)
        pst_resolve_records_free(ret[--read_n]);
    return rc;
}

/* ------------------------------------------------------------------ zones */

void pst_resolve_zone_free(struct pst_resolve_zone *z)
{
    if (!z)
        return;
    pst_free(z->zone);
    pst_free(z->ips);
    pst_free(z);
}

/* The addresses of the zone's servers, all asked side by side. */
static int zone_addresses(struct pst_resolver *r, const struct pst_resolve_records *ns,
                          struct pst_resolve_zone *z, struct pst_err *err)
{
    struct pst_lookup_question q[2 * ZONE_SERVERS_MAX];
    struct pst_lookup l[2 * ZONE_SERVERS_MAX];
    size_t n = 0;

    for (size_t i = 0; i < ns->n && n < PST_ARRAY_N(q); i++) {
        if (!pst_dns_name_ok(ns->texts[i]))
            continue;
        q[n++] = (struct pst_lookup_question){ns->texts[i], PST_DNS_A};
        q[n++] = (struct pst_lookup_question){ns->texts[i], PST_DNS_AAAA};
    }
    z->ips = pst_zalloc(ZONE_IPS_MAX, sizeof *z->ips);
    if (!z->ips)
        return pst_fail_nomem(err, "a zone's servers");
    if (n > 0) {
        int rc = pst_lookup_all(r, q, n, l, err);

        if (rc != PST_OK)
            return rc;
    }
    for (size_t i = 0; i < n; i++) {
        z->ip_n = add_ips(&l[i], z->ips, z->ip_n, ZONE_IPS_MAX);
        pst_lookup_deinit(&l[i]);
    }
    z->ip_n = sort_ips(z->ips, z->ip_n);
    if (z->ip_n == 0) {
        z->end.status = PST_DNS_SERVFAIL;
        (void)snprintf(z->end.why, sizeof z->end.why, "no server of the zone %.100s has an address",
                       z->zone);
    }
    return PST_OK;
}

/* Are there NS records at exactly `at`?  PST_OK with the look-up's end in z, and the records when
 * it is OK; PST_NOTFOUND: no, look one label up. */
static int zone_at(struct pst_resolver *r, const char *at, struct pst_resolve_zone *z,
                   struct pst_resolve_records **ret_ns, struct pst_err *err)
{
    struct pst_lookup_question q = {at, PST_DNS_NS};
    struct pst_lookup l;

    int rc = pst_lookup_all(r, &q, 1, &l, err);
    if (rc != PST_OK)
        return rc;
    z->end = l.end;
    /* NS records behind a CNAME are those of another zone: a name with a CNAME is not a zone. */
    bool none = l.end.status == PST_DNS_NODATA || l.end.status == PST_DNS_NXDOMAIN ||
                (l.end.status == PST_DNS_OK && l.view.chain_n > 0);
    rc = none ? PST_NOTFOUND : read_records(&l, ret_ns, err);
    pst_lookup_deinit(&l);
    return rc;
}

/* The zone's name and servers: from `name` upwards to the first with NS records. */
static int find_zone(struct pst_resolver *r, const char *name, struct pst_resolve_zone *z,
                     struct pst_resolve_records **ret_ns, struct pst_err *err)
{
    const char *at = name;
    int rc = PST_NOTFOUND;

    for (int i = 0; i < LABELS_MAX && *at && rc == PST_NOTFOUND; i++) {
        rc = zone_at(r, at, z, ret_ns, err);
        if (rc == PST_NOTFOUND) {
            const char *dot = strchr(at, '.');

            at = dot ? dot + 1 : "";
        }
    }
    if (rc != PST_OK && rc != PST_NOTFOUND)
        return rc;
    if (rc == PST_NOTFOUND)
        z->end.status = PST_DNS_NXDOMAIN;
    z->zone = pst_strdup(z->end.status == PST_DNS_OK ? at : "");
    return z->zone ? PST_OK : pst_fail_nomem(err, "a zone");
}

int pst_resolve_zone(struct pst_resolver *r, const char *name, struct pst_resolve_zone **ret,
                     struct pst_err *err)
{
    auto_(pst_resolve_zone_free) struct pst_resolve_zone *z = pst_zalloc(1, sizeof *z);
    auto_(pst_resolve_records_free) struct pst_resolve_records *ns = NULL;

    if (!z)
        return pst_fail_nomem(err, "a zone");
    int rc = find_zone(r, name, z, &ns, err);
    if (rc == PST_OK && z->end.status == PST_DNS_OK)
        rc = zone_addresses(r, ns, z, err);
    if (rc == PST_OK)
        *ret = pst_take(&z);
    return rc;
}
