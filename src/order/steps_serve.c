/* steps_serve.c - deploying and scheduling: served, not just stored; then, when to renew. */
#include <stdio.h>
#include <string.h>

#include <postern/name.h>

#include "order_internal.h"

enum { EDGES_MAX = 256, UNSEEN_FIRST_MS = 250, UNSEEN_MAX_MS = 60 * 1000 };

struct look {
    struct pst_order *o;
    struct pst_domain domain;
    struct pst_certificate cert;
    bool gone;   /* the domain was removed */
    bool own;    /* the platform's own: its certificate stands in the default ladder */
    bool on_top; /* this certificate is the step that the edges serve */
    char edges[EDGES_MAX][PST_WORD_SIZE];
    size_t edges_n;
};

static int collect_edge(const struct pst_edge *e, void *arg)
{
    struct look *l = arg;
    int64_t age = pst_order_now_ms(l->o) - e->polled_at_ms;

    if (!e->caught_up || age > l->o->env->o.live_ms || !e->probe_address[0])
        return 0;
    memcpy(l->edges[l->edges_n++], e->probe_address, sizeof l->edges[0]);
    return l->edges_n < EDGES_MAX ? 0 : PST_DONE;
}

/* An uploaded certificate that is valid stands above the CA's: then the edges show that one. */
static int judge_ladder(struct pst_tx *tx, struct look *l, struct pst_err *err)
{
    struct pst_certificate custom = {0};
    int64_t now = pst_order_now_ms(l->o) / 1000;

    l->on_top = true;
    if (!l->domain.custom_cert)
        return PST_OK;
    int rc = pst_certificate_get(tx, l->domain.custom_cert, &custom, err);
    if (rc < 0)
        return rc;
    l->on_top = rc != PST_OK || custom.not_before > now || custom.not_after <= now;
    pst_certificate_deinit(&custom);
    return PST_OK;
}

static int look_tx(struct pst_tx *tx, void *arg, struct pst_err *err)
{
    struct look *l = arg;

    struct pst_default_ladder platform;

    l->edges_n = 0;
    int rc = pst_default_ladder_get(tx, &platform, err);
    if (rc != PST_OK)
        return rc;
    l->own = pst_streq(platform.domain_id, l->o->row.domain_id);
    rc = pst_domain_get(tx, l->o->row.domain_id, &l->domain, err);
    l->gone = rc == PST_NOTFOUND;
    if (rc != PST_OK)
        return rc < 0 ? rc : PST_OK;
    rc = judge_ladder(tx, l, err);
    if (rc == PST_OK)
        rc = pst_certificate_get(tx, l->domain.acme_cert, &l->cert, err);
    if (rc == PST_OK)
        rc = pst_edge_each(tx, collect_edge, l, err);
    return rc < 0 ? rc : PST_OK;
}

/* What a browser would ask for: of a wildcard any name that it covers and that nobody has, of the
 * same length at most. */
static void shown_name(const struct pst_order *o, char to[PST_NAME_SIZE])
{
    size_t len = strlen(pst_order_base(o->row.name));
    size_t room = PST_NAME_SIZE - 2 - len;

    if (!pst_name_is_wildcard(o->row.name))
        memcpy(to, o->row.name, PST_NAME_SIZE);
    else
        snprintf(to, PST_NAME_SIZE, "%.*s.%s", (int)(room < 12 ? room : 12), o->row.id,
                 pst_order_base(o->row.name));
}

/* The first edge that does not show the certificate is named in `why`. */
static bool all_serve(struct look *l, char *why, size_t why_size)
{
    char name[PST_NAME_SIZE];
    /* The edges know no name below the platform's own but those of apps; who names none is shown
     * the default. */
    const char *sni = l->own ? NULL : name;

    shown_name(l->o, name);
    for (size_t i = 0; i < l->edges_n; i++) {
        uint8_t leaf[32];
        char hex[65];
        struct pst_err err = {0};
        int rc = pst_tls_probe(l->edges[i], sni, (int)l->o->env->o.probe_timeout_ms, leaf, &err);
        if (rc != PST_OK) {
            snprintf(why, why_size, "edge %.60s: %.300s", l->edges[i], err.text);
            return false;
        }
        pst_hex(hex, leaf, sizeof leaf);
        if (!pst_streq(hex, l->cert.sha256)) {
            snprintf(why, why_size, "edge %.60s still serves another certificate", l->edges[i]);
            return false;
        }
    }
    return true;
}

static int also_served(struct pst_tx *tx, struct pst_order *o, struct pst_err *err)
{
    return pst_finish_served(tx, o, true, err);
}

static int also_standby(struct pst_tx *tx, struct pst_order *o, struct pst_err *err)
{
    return pst_finish_served(tx, o, false, err);
}

/* Keeps asking: only what was seen is called "In use". */
static int look_again(struct pst_order *o, const struct look *l, struct pst_step *ret)
{
    int64_t now = pst_order_now_ms(o);
    int64_t wait = UNSEEN_FIRST_MS;

    if (l->domain.due_at_ms && now >= l->domain.due_at_ms) {
        ret->next = PST_ORDER_DONE; /* the renewal is due: its order looks again */
        return PST_OK;
    }
    for (int64_t i = 0; i < o->data.polls && wait < UNSEEN_MAX_MS; i++)
        wait *= 2;
    o->data.polls++;
    ret->next = PST_ORDER_DEPLOYING;
    ret->run_at_ms = now + (wait < UNSEEN_MAX_MS ? wait : UNSEEN_MAX_MS);
    pst_log_warn(LOG, "not served yet", pst_kv_s("order", o->row.id), pst_kv_s("name", o->row.name),
                 pst_kv_s("why", ret->why));
    return PST_OK;
}

static int deploy(struct pst_order *o, struct look *l, struct pst_step *ret, struct pst_err *err)
{
    int rc = pst_order_barrier(o, ret, err);
    if (rc == PST_NOTYET)
        return PST_OK;
    if (rc == PST_OK)
        rc = pst_store_read(o->env->o.store, look_tx, l, err);
    if (rc != PST_OK)
        return rc;
    if (l->gone) {
        ret->next = PST_ORDER_DONE;
        return PST_OK;
    }
    if (l->on_top && !all_serve(l, ret->why, sizeof ret->why))
        return look_again(o, l, ret);
    /* The barrier began with the first look, right after the certificate was stored. */
    pst_log_info(LOG, l->on_top ? "served on every edge" : "stands by on every edge",
                 pst_kv_s("order", o->row.id), pst_kv_s("name", o->row.name),
                 pst_kv_i("edges", (int64_t)l->edges_n),
                 pst_kv_i("stored_to_served_ms",
                          pst_order_now_ms(o) - (o->data.barrier_at_ms - o->env->o.barrier_ms)));
    ret->next = PST_ORDER_SCHEDULING;
    ret->also = l->on_top ? also_served : also_standby;
    return PST_OK;
}

int pst_step_deploying(struct pst_order *o, struct pst_step *ret, struct pst_err *err)
{
    struct look *l = pst_zalloc(1, sizeof *l);
    if (!l)
        return pst_fail_nomem(err, "looking at the edges");
    l->o = o;
    int rc = deploy(o, l, ret, err);
    pst_certificate_deinit(&l->cert);
    pst_free(l);
    return rc;
}

/* ---- scheduling (RFC 9773) ---- */

struct served {
    struct pst_order *o;
    struct pst_certificate cert;
};

static int served_tx(struct pst_tx *tx, void *arg, struct pst_err *err)
{
    struct served *s = arg;
    struct pst_domain d;

    int rc = pst_domain_get(tx, s->o->row.domain_id, &d, err);
    if (rc == PST_OK)
        rc = pst_certificate_load(tx, d.acme_cert, &s->cert, err);
    return rc;
}

/* The CA's advice is welcome, but no renewal depends on it: without it our own rule holds. */
int pst_step_scheduling(struct pst_order *o, struct pst_step *ret, struct pst_err *err)
{
    struct served s = {.o = o};

    ret->next = PST_ORDER_DONE;
    int rc = pst_store_read(o->env->o.store, served_tx, &s, err);
    if (rc == PST_OK)
        rc = pst_order_account(o, err);
    if (rc == PST_OK)
        rc = pst_order_ask_window(&o->call, &s.cert, &o->window, err);
    pst_certificate_deinit(&s.cert);
    if (rc == PST_OK)
        ret->also = pst_finish_scheduled;
    else if (rc < 0)
        ret->also = pst_finish_unadvised;
    if (rc < 0)
        pst_log_err(LOG, "no renewal window from the CA; our own rule holds", err,
                    pst_kv_s("name", o->row.name));
    return PST_OK;
}
