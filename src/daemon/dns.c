/* dns.c - between the watch and the database: who is watched, and what its verdicts change. */
#include <pthread.h>
#include <string.h>

#include <postern/http.h>
#include <postern/order.h>
#include <postern/probe.h>
#include <postern/resolve.h>

#include "daemon_internal.h"

enum {
    PAGE = 1000,
    BATCH_MAX = 256,
    PROOF_MS = 10 * 1000, /* a worker of the API waits for it */
    PROOF_SOCKETS = 256,
    BATCH_MS = 20, /* somebody may be looking at a name just added */
};

struct verdict {
    char id[PST_ID_SIZE];
    struct pst_watch_verdict v;
};

/* Verdicts of the watch's thread since the last flush. */
struct dns_glue {
    struct verdict batch[BATCH_MAX];
    size_t n;
    atomic_bool watch_all; /* verdicts were lost: begin again with what the database says */
};

/* ---- from the watch to the database (the watch's own thread) ---- */

static int apply_tx(struct pst_tx *tx, void *arg, struct pst_err *err)
{
    struct daemon *d = arg;
    int rc = PST_OK;
    for (size_t i = 0; i < d->dns->n && rc == PST_OK; i++)
        rc = pst_order_apply_verdict(d->orders, tx, d->dns->batch[i].id, &d->dns->batch[i].v, err);
    return rc;
}

/*
 * A name that leads here is watched no longer.  It goes before the verdict is stored: an order that
 * begins at once and finds DNS gone again watches it anew, and that must come after.
 */
static void flush(void *arg)
{
    struct daemon *d = arg;
    struct pst_err err = {0};

    if (!d->dns->n)
        return;
    for (size_t i = 0; i < d->dns->n; i++) {
        if (pst_watch_leads_here(&d->dns->batch[i].v))
            pst_watch_remove(d->watch, d->dns->batch[i].id, NULL);
    }
    if (pst_store_write(d->store, apply_tx, d, NULL, &err) < 0) {
        pst_log_err(LOG, "DNS results could not be stored; the names are watched anew", &err);
        d->dns->watch_all = true;
    }
    d->dns->n = 0;
    pst_daemon_poke(d);
}

static void report(void *arg, const char *id, const struct pst_watch_verdict *v)
{
    struct daemon *d = arg;

    if (d->dns->n == BATCH_MAX)
        flush(d);
    struct verdict *to = &d->dns->batch[d->dns->n++];
    pst_str_copy(to->id, sizeof to->id, id);
    to->v = *v;
}

/* ---- whose edge answers ---- */

static int probe(void *arg, const char *name, const char *const *addresses, size_t addresses_n,
                 struct pst_watch_probe *ret, struct pst_err *err)
{
    struct daemon *d = arg;
    struct pst_probe_opts opts = {
        .key = d->probe_key,
        .port = (uint16_t)pst_conf_int(d->conf, PST_CONF_EDGE_PUBLIC_HTTP_PORT),
        .gate = d->gate,
    };
    struct pst_probe_answer answer;

    int rc = pst_probe_http(&opts, name, addresses, addresses_n, &answer, err);
    if (rc != PST_OK)
        return rc < 0 ? rc : PST_EINPUT;
    ret->ours = answer.result == PST_PROBE_OURS;
    pst_str_copy(ret->evidence, sizeof ret->evidence, answer.evidence);
    return PST_OK;
}

/* The key of the probe is made once; the edges get it through the feed. */
static int probe_key_tx(struct pst_tx *tx, void *arg, struct pst_err *err)
{
    struct daemon *d = arg;
    auto_secret struct pst_secret key = {0};

    int rc = pst_meta_get_secret(tx, "probe_key", &key, err);
    if (rc == PST_OK && key.len != PROBE_KEY_LEN)
        return pst_fail(err, PST_EINTERNAL, "probe_key in the database is damaged");
    if (rc == PST_OK) {
        memcpy(d->probe_key, key.data, PROBE_KEY_LEN);
        return PST_DONE;
    }
    if (rc != PST_NOTFOUND)
        return rc;
    pst_rand_fill(pst_rand_system(), d->probe_key, PROBE_KEY_LEN);
    return pst_meta_set_secret(tx, "probe_key", d->probe_key, PROBE_KEY_LEN, err);
}

/* ---- from the database to the watch ---- */

static int get_tx(struct pst_tx *tx, void *arg, struct pst_err *err)
{
    struct pst_domain *dom = arg;
    char id[PST_ID_SIZE];
    memcpy(id, dom->id, sizeof id);
    return pst_domain_get(tx, id, dom, err);
}

void pst_daemon_dns_follow(void *arg, const char *domain_id, const char *ascii)
{
    struct daemon *d = arg;
    struct pst_domain dom = {0};
    struct pst_err err = {0};

    pst_str_copy(dom.id, sizeof dom.id, domain_id);
    int rc = pst_store_read(d->store, get_tx, &dom, &err);
    bool wanted = rc == PST_OK && dom.acme_enabled && !dom.wildcard && dom.phase == PST_PHASE_DNS;
    if (wanted)
        rc = pst_watch_add(d->watch, domain_id, ascii, &err);
    else
        pst_watch_remove(d->watch, domain_id, NULL);
    if (rc < 0)
        pst_log_err(LOG, "a name cannot be watched", &err, pst_kv_s("name", ascii));
}

void pst_daemon_dns_forget(void *arg, const char *domain_id)
{
    struct daemon *d = arg;
    pst_watch_remove(d->watch, domain_id, NULL);
}

struct page {
    struct daemon *d;
    char after[PST_ID_SIZE];
    size_t n;
};

static int watch_one(const struct pst_domain *dom, void *arg)
{
    struct page *p = arg;
    struct pst_err err = {0};

    memcpy(p->after, dom->id, sizeof p->after);
    p->n++;
    if (pst_watch_add(p->d->watch, dom->id, dom->ascii, &err) != PST_OK)
        pst_log_err(LOG, "a name cannot be watched", &err, pst_kv_s("name", dom->ascii));
    return 0;
}

static int page_tx(struct pst_tx *tx, void *arg, struct pst_err *err)
{
    struct page *p = arg;
    char after[PST_ID_SIZE];
    memcpy(after, p->after, sizeof after);
    p->n = 0;
    int rc = pst_domain_each_watched(tx, after, PAGE, watch_one, p, err);
    return rc < 0 ? rc : PST_OK;
}

static int watch_all(struct daemon *d, struct pst_err *err)
{
    struct page p = {.d = d};
    int rc;
    do
        rc = pst_store_read(d->store, page_tx, &p, err);
    while (rc == PST_OK && p.n == PAGE);
    return rc;
}

int pst_daemon_dns_rewatch(void *arg, struct pst_err *err)
{
    struct daemon *d = arg;

    if (!atomic_exchange(&d->dns->watch_all, false))
        return PST_DONE;
    int rc = watch_all(d, err);
    if (rc < 0)
        d->dns->watch_all = true;
    return rc;
}

/* ---- start and stop ---- */

static int open_resolvers(struct daemon *d, struct pst_err *err)
{
    struct pst_resolver_opts opts = {
        .resolver = pst_conf_text(d->conf, PST_CONF_DNS_RESOLVER),
        .trust_anchor = pst_conf_text(d->conf, PST_CONF_DNS_TRUST_ANCHOR),
        .deadline_ms = (uint32_t)pst_conf_int(d->conf, PST_CONF_DNS_TIMEOUT) * 1000,
    };
    int rc = pst_resolver_new(&d->resolver, &opts, err);
    opts.fresh = true;
    if (opts.deadline_ms > PROOF_MS)
        opts.deadline_ms = PROOF_MS;
    opts.sockets = PROOF_SOCKETS;
    return rc == PST_OK ? pst_resolver_new(&d->proofs, &opts, err) : rc;
}

static int open_gate(struct daemon *d, struct pst_err *err)
{
    const char *allow[64];
    size_t n = pst_conf_list_n(d->conf, PST_CONF_GATE_ALLOW);
    for (size_t i = 0; i < n; i++)
        allow[i] = pst_conf_list_at(d->conf, PST_CONF_GATE_ALLOW, i);
    return pst_gate_new(&d->gate, allow, n, err);
}

static void describe_edge(struct daemon *d)
{
    size_t n = pst_conf_list_n(d->conf, PST_CONF_EDGE_ADDRESSES);
    for (size_t i = 0; i < n; i++)
        d->addresses[i] = pst_conf_list_at(d->conf, PST_CONF_EDGE_ADDRESSES, i);
    d->edge = (struct pst_watch_edge){
        .addresses = d->addresses,
        .addresses_n = n,
        .cname = pst_conf_text(d->conf, PST_CONF_EDGE_CNAME),
        .probe = pst_conf_bool(d->conf, PST_CONF_DNS_PROBE) ? probe : NULL,
        .probe_arg = d,
    };
}

int pst_daemon_dns_prepare(struct daemon *d, struct pst_err *err)
{
    d->dns = pst_zalloc(1, sizeof *d->dns);
    if (!d->dns)
        return pst_fail_nomem(err, "the DNS watch");
    int rc = pst_store_write(d->store, probe_key_tx, d, NULL, err);
    if (rc >= 0)
        rc = open_gate(d, err);
    if (rc >= 0)
        rc = open_resolvers(d, err);
    describe_edge(d);
    return rc < 0 ? rc : PST_OK;
}

int pst_daemon_dns_start(struct daemon *d, struct pst_err *err)
{
    struct pst_watch_opts opts = {
        .edge = d->edge,
        .interval_s = (uint32_t)pst_conf_int(d->conf, PST_CONF_DNS_INTERVAL),
        .batch_ms = BATCH_MS,
        .resolver = pst_conf_text(d->conf, PST_CONF_DNS_RESOLVER),
        .lookup = d->resolver,
        .report = report,
        .flush = flush,
        .arg = d,
    };
    int rc = pst_watch_new(&d->watch, &opts, err);
    if (rc == PST_OK)
        rc = watch_all(d, err);
    return rc;
}

void pst_daemon_dns_end(struct daemon *d)
{
    pst_watch_free(d->watch);
    pst_resolver_freep(&d->resolver);
    pst_resolver_freep(&d->proofs);
    pst_gate_free(d->gate);
    pst_free(d->dns);
    pst_wipe(d->probe_key, sizeof d->probe_key);
}
