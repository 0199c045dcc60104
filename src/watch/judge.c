/* From evidence to verdict, and the check through the validating resolver. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <postern/base.h>
#include <postern/resolve.h>

#include "watch_internal.h"

enum { SHOWN_MAX = 6 }; /* addresses and CNAMEs spelled out in a text */

const char *pst_watch_result_name(enum pst_watch_result r)
{
    static const char *const names[] = {
        [PST_WATCH_OURS] = "ours",       [PST_WATCH_OURS_BY_PROBE] = "ours_by_probe",
        [PST_WATCH_FOREIGN] = "foreign", [PST_WATCH_MIXED] = "mixed",
        [PST_WATCH_NONE] = "none",       [PST_WATCH_FAILED] = "failed",
    };

    return (size_t)r < PST_ARRAY_N(names) ? names[r] : "unknown";
}

/* ------------------------------------------------------------------ facts */

struct facts {
    const struct pst_watch_edge *edge;
    const struct pst_watch_evidence *e;
    const struct pst_dns_ip *ips[64]; /* sorted; beyond these nothing changes a verdict */
    size_t ip_n, ours_n;
    bool ours[64];
    bool through_cname;
};

static bool has_cname(const struct pst_watch_edge *edge)
{
    return edge->cname && *edge->cname;
}

static bool is_edge_address(const struct pst_watch_edge *edge, const struct pst_dns_ip *ip)
{
    for (size_t i = 0; i < edge->addresses_n; i++) {
        struct pst_dns_ip one;

        if (pst_dns_ip_parse(edge->addresses[i], &one) && pst_dns_ip_cmp(&one, ip) == 0)
            return true;
    }
    return false;
}

static int compare_ip_pointers(const void *a, const void *b)
{
    return pst_dns_ip_cmp(*(const struct pst_dns_ip *const *)a,
                          *(const struct pst_dns_ip *const *)b);
}

static void gather(struct facts *f)
{
    const struct pst_watch_evidence *e = f->e;

    for (size_t i = 0; i < e->chain_n; i++)
        f->through_cname |= has_cname(f->edge) && pst_strcaseeq(e->chain[i], f->edge->cname);
    f->ip_n = e->ip_n < PST_ARRAY_N(f->ips) ? e->ip_n : PST_ARRAY_N(f->ips);
    for (size_t i = 0; i < f->ip_n; i++)
        f->ips[i] = &e->ips[i];
    if (f->ip_n > 1) /* servers rotate them; the same facts must give the same text */
        qsort(f->ips, f->ip_n, sizeof f->ips[0], compare_ip_pointers);
    for (size_t i = 0; i < f->ip_n; i++) {
        f->ours[i] =
            is_edge_address(f->edge, f->ips[i]) || (f->edge->addresses_n == 0 && f->through_cname);
        f->ours_n += f->ours[i];
    }
}

static bool failed(enum pst_dns_status s)
{
    return s != PST_DNS_OK && s != PST_DNS_NODATA && s != PST_DNS_NXDOMAIN;
}

static enum pst_watch_result decide(const struct facts *f)
{
    const struct pst_watch_evidence *e = f->e;

    /* A foreign address is a definite fact, even if the other question failed. */
    if (f->ours_n < f->ip_n) {
        if (e->probe && e->probe->ours)
            return PST_WATCH_OURS_BY_PROBE;
        return f->ours_n > 0 ? PST_WATCH_MIXED : PST_WATCH_FOREIGN;
    }
    if (failed(e->a.status) || failed(e->aaaa.status))
        return PST_WATCH_FAILED;
    return f->ip_n > 0 ? PST_WATCH_OURS : PST_WATCH_NONE;
}

/* ------------------------------------------------------------------ texts */

static const char *type_of(const struct pst_dns_ip *ip)
{
    return ip->version == 6 ? "AAAA" : "A";
}

static void say(struct pst_buf *b, const char *text)
{
    if (b->len > 0)
        pst_buf_str(b, "; ");
    pst_buf_str(b, text);
}

static void say_chain(struct pst_buf *b, const struct pst_watch_evidence *e)
{
    for (size_t i = 0; i < e->chain_n && i < SHOWN_MAX; i++)
        pst_buf_printf(b, "%s%.100s", i == 0 ? "CNAME " : " -> ", e->chain[i]);
    if (e->chain_n > SHOWN_MAX)
        pst_buf_printf(b, " and %zu more", e->chain_n - SHOWN_MAX);
}

/* Foreign addresses first: they are what matters. */
static void say_addresses(struct pst_buf *b, const struct facts *f)
{
    size_t shown = 0;

    for (int ours = 0; ours < 2; ours++) {
        for (size_t i = 0; i < f->ip_n; i++) {
            char ip[PST_DNS_IP_SIZE];

            if (f->ours[i] != (ours == 1) || ++shown > SHOWN_MAX)
                continue;
            pst_dns_ip_text(f->ips[i], ip);
            say(b, type_of(f->ips[i]));
            pst_buf_printf(b, " %s is %s address of this platform", ip, ours ? "an" : "not an");
        }
    }
    if (shown > SHOWN_MAX)
        pst_buf_printf(b, "; and %zu more", shown - SHOWN_MAX);
}

static void say_failure(struct pst_buf *b, const char *type, const struct pst_watch_lookup *l)
{
    if (!failed(l->status))
        return;
    say(b, type);
    pst_buf_printf(b, ": %s", pst_dns_status_name(l->status));
    if (l->why && *l->why)
        pst_buf_printf(b, " (%.180s)", l->why);
}

static void write_evidence(const struct facts *f, struct pst_watch_verdict *ret)
{
    auto_buf struct pst_buf b = PST_BUF(16384);
    const struct pst_watch_evidence *e = f->e;
    bool lacking = ret->result == PST_WATCH_NONE;

    say_chain(&b, e);
    if (lacking && e->a.status == PST_DNS_NXDOMAIN)
        say(&b, e->chain_n > 0 ? "the end of the CNAMEs does not exist (NXDOMAIN)"
                               : "the name does not exist (NXDOMAIN)");
    else if (lacking)
        say(&b, "there is no A and no AAAA record");
    say_addresses(&b, f);
    say_failure(&b, "A", &e->a);
    say_failure(&b, "AAAA", &e->aaaa);
    if (f->through_cname && f->ours_n < f->ip_n) {
        say(&b, f->edge->cname);
        pst_buf_str(&b, " itself leads there: the platform's operator must mend this");
    }
    if (e->probe) {
        say(&b, PST_WATCH_PROBE_SAYS);
        pst_buf_printf(&b, "%.400s", e->probe->evidence);
    }
    (void)snprintf(ret->evidence, sizeof ret->evidence, "%s", pst_buf_cstr(&b));
}

static void add_edge_records(struct pst_buf *b, const struct facts *f)
{
    for (size_t i = 0; i < f->edge->addresses_n; i++) {
        struct pst_dns_ip ip;

        if (pst_dns_ip_parse(f->edge->addresses[i], &ip))
            pst_buf_printf(b, "%s. %s %s\n", f->e->name, type_of(&ip), f->edge->addresses[i]);
    }
}

static void add_removals(struct pst_buf *b, const struct facts *f)
{
    size_t shown = 0;

    for (size_t i = 0; i < f->ip_n; i++) {
        char ip[PST_DNS_IP_SIZE];

        if (f->ours[i] || ++shown > SHOWN_MAX)
            continue;
        pst_dns_ip_text(f->ips[i], ip);
        pst_buf_printf(b, "remove %s. %s %s\n", f->e->name, type_of(f->ips[i]), ip);
    }
}

/* What to change: a CNAME where one may stand, else the addresses; nothing when the records are
 * right or not known. */
static void write_record(const struct facts *f, struct pst_watch_verdict *ret)
{
    auto_buf struct pst_buf b = PST_BUF(16384);
    bool to_change = ret->result == PST_WATCH_FOREIGN || ret->result == PST_WATCH_MIXED ||
                     ret->result == PST_WATCH_NONE;

    if (!to_change || f->through_cname)
        return;
    bool cname = has_cname(f->edge) && !f->e->apex;
    if (cname || f->edge->addresses_n == 0) {
        pst_buf_printf(&b, "%s. %s %s.\n", f->e->name, f->e->apex ? "ALIAS" : "CNAME",
                       f->edge->cname);
    } else {
        add_edge_records(&b, f);
        if (f->e->chain_n == 0)
            add_removals(&b, f);
    }
    pst_buf_cut(&b, b.len > 0 ? b.len - 1 : 0); /* the last line's end */
    (void)snprintf(ret->record, sizeof ret->record, "%s", pst_buf_cstr(&b));
}

void pst_watch_judge(const struct pst_watch_edge *edge, const struct pst_watch_evidence *e,
                     struct pst_watch_verdict *ret)
{
    struct facts f = {.edge = edge, .e = e};

    *ret = (struct pst_watch_verdict){0};
    gather(&f);
    ret->result = decide(&f);
    write_evidence(&f, ret);
    write_record(&f, ret);
}

/* ------------------------------------------------------------------ confirming */

size_t pst_watch_ip_texts(const struct pst_dns_ip *ips, size_t n, char texts[][PST_DNS_IP_SIZE],
                          const char **ret, size_t max)
{
    if (n > max)
        n = max;
    for (size_t i = 0; i < n; i++) {
        pst_dns_ip_text(&ips[i], texts[i]);
        ret[i] = texts[i];
    }
    return n;
}

static int is_apex(struct pst_resolver *r, const char *name, bool *ret, struct pst_err *err)
{
    auto_(pst_resolve_zone_free) struct pst_resolve_zone *z = NULL;

    int rc = pst_resolve_zone(r, name, &z, err);
    if (rc == PST_OK)
        *ret = z->zone[0] ? pst_strcaseeq(z->zone, name) : pst_watch_guess_apex(name);
    return rc;
}

int pst_watch_confirm(struct pst_resolver *r, const struct pst_watch_edge *edge,
                      const struct pst_clock *clock, const char *name,
                      struct pst_watch_verdict *ret, struct pst_err *err)
{
    auto_(pst_resolve_addresses_free) struct pst_resolve_addresses *a = NULL;
    struct pst_watch_probe probe = {0};
    struct pst_watch_verdict v;

    int rc = pst_resolve_addresses(r, name, &a, err);
    if (rc != PST_OK)
        return rc;
    struct pst_watch_evidence e = {.name = name,
                                   .a = {a->a.status, a->a.why},
                                   .aaaa = {a->aaaa.status, a->aaaa.why},
                                   .ips = a->ips,
                                   .ip_n = a->ip_n,
                                   .chain = (const char *const *)a->chain,
                                   .chain_n = a->chain_n};
    pst_watch_judge(edge, &e, &v);
    bool foreign = v.result == PST_WATCH_FOREIGN || v.result == PST_WATCH_MIXED;
    if (foreign || v.result == PST_WATCH_NONE) {
        rc = is_apex(r, name, &e.apex, err);
        if (rc != PST_OK)
            return rc;
    }
    if (foreign && edge->probe) {
        char texts[PST_WATCH_PROBE_IPS][PST_DNS_IP_SIZE];
        const char *ips[PST_WATCH_PROBE_IPS];
        size_t n = pst_watch_ip_texts(a->ips, a->ip_n, texts, ips, PST_WATCH_PROBE_IPS);

        if (edge->probe(edge->probe_arg, name, ips, n, &probe, NULL) == PST_OK)
            e.probe = &probe;
    }
    pst_watch_judge(edge, &e, ret);
    ret->at_ms = pst_wall_ms(clock ? clock : pst_clock_system());
    return PST_OK;
}

bool pst_watch_guess_apex(const char *name)
{
    const char *dot = strchr(name, '.');

    return !pst_str_starts(name, "*.") && (!dot || !strchr(dot + 1, '.'));
}
