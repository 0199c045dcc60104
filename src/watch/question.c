/* One DNS question of a check, from the first packet to the final word. */
#include <stdio.h>
#include <string.h>

#include "watch_internal.h"

enum { TRIES = 3 };

static const char *current_name(const struct pst_wquestion *q)
{
    return q->chain_n > 0 ? q->chain[q->chain_n - 1] : q->check->entry->name;
}

static bool write_query(struct pst_watch *w, struct pst_wquestion *q)
{
    struct pst_dns_question text = {
        .name = current_name(q), .type = q->type, .recurse = !w->zones, .plain = q->plain};

    q->query_len = (uint16_t)pst_dns_query(q->query, &text);
    return q->query_len > 0;
}

void pst_wquestion_finish(struct pst_watch *w, struct pst_wquestion *q, enum pst_dns_status status,
                          const char *why)
{
    pst_wnet_release(w, q);
    pst_wfinder_leave(q);
    q->status = status;
    if (why != q->why)
        (void)snprintf(q->why, sizeof q->why, "%s", why ? why : "");
    pst_wcheck_on_answer(w, q->check);
}

void pst_wquestion_ask(struct pst_watch *w, struct pst_wquestion *q, const char *name)
{
    pst_wnet_release(w, q);
    pst_wfinder_leave(q);
    q->tries = 0;
    q->plain = false;
    q->why[0] = '\0';
    q->status = PST_DNS_TIMEOUT;
    if (!write_query(w, q)) {
        pst_wquestion_finish(w, q, PST_DNS_BROKEN, "a CNAME leads to what is not a host name");
        return;
    }
    if (!w->zones) {
        q->servers = &w->resolver;
        pst_wquestion_go(w, q);
    } else if (!pst_wfinder_servers(w, q, name)) {
        pst_wquestion_go(w, q);
    }
}

void pst_wquestion_go(struct pst_watch *w, struct pst_wquestion *q)
{
    if (!q->servers || q->servers->n == 0) {
        const char *why = q->zone && q->zone->why[0] ? q->zone->why : "no name server is known";
        char copy[200];

        (void)snprintf(copy, sizeof copy, "%s", why); /* the zone is left before it is used */
        pst_wquestion_finish(w, q, PST_DNS_SERVFAIL, copy);
        return;
    }
    q->server = q->servers->n > 1 ? (uint8_t)pst_rand_below(w->opts.rand, q->servers->n) : 0;
    q->current = q->servers->list[q->server];
    pst_wnet_send(w, q);
}

/* ------------------------------------------------------------------ tries that fail */

/* The text must not depend on which server was asked last, or each check would report a change. */
static void note_failure(struct pst_wquestion *q, enum pst_dns_status status, const char *why)
{
    char server[PST_DNS_SERVER_SIZE];

    if (status == PST_DNS_TIMEOUT && q->why[0] && q->status != PST_DNS_TIMEOUT)
        return; /* an answer of another server says more than silence */
    q->status = status;
    pst_dns_server_text(&q->current, server);
    if (q->servers->n == 1)
        (void)snprintf(q->why, sizeof q->why, "%s from %s", why, server);
    else
        (void)snprintf(q->why, sizeof q->why, "%s from the zone's name servers", why);
}

static void next_try(struct pst_watch *w, struct pst_wquestion *q)
{
    size_t n = q->servers->n;

    if (q->zone)
        q->zone->stale = true;
    if (q->tries >= TRIES || n == 0) {
        pst_wquestion_finish(w, q, q->status, q->why);
        return;
    }
    /* Whoever drops what he does not know gets the last try without EDNS. */
    bool plain = q->tries == TRIES - 1 && !q->plain && q->status == PST_DNS_TIMEOUT;
    if (n > 1 || plain) { /* another server or question: another socket and id */
        pst_wnet_release(w, q);
        q->server = (uint8_t)((q->server + 1u) % n);
        q->current = q->servers->list[q->server];
    }
    if (plain) {
        q->plain = true;
        (void)write_query(w, q);
    }
    pst_wnet_send(w, q);
}

void pst_wquestion_on_silence(struct pst_watch *w, struct pst_wquestion *q, const char *why)
{
    note_failure(q, PST_DNS_TIMEOUT, why);
    next_try(w, q);
}

/* ------------------------------------------------------------------ answers */

static bool keep_chain(struct pst_wquestion *q, const struct pst_dns_view *v)
{
    for (size_t i = 0; i < v->chain_n; i++) {
        if (q->chain_n == PST_DNS_CHAIN_MAX)
            return false;
        q->chain[q->chain_n] = pst_strdup(v->chain[i]);
        if (!q->chain[q->chain_n])
            return false;
        q->chain_n++;
    }
    return true;
}

static void keep_addresses(struct pst_wquestion *q, const struct pst_dns_msg *m,
                           const struct pst_dns_view *v)
{
    for (size_t i = 0; i < m->answer_n && q->ip_n < PST_ARRAY_N(q->ips); i++) {
        const struct pst_dns_rr *rr = &m->answer[i];

        if (rr->type == m->qtype && pst_streq(rr->owner, v->end))
            q->ip_n += pst_dns_rr_ip(rr, &q->ips[q->ip_n]);
    }
}

static bool no_edns_there(const struct pst_wquestion *q, const struct pst_dns_msg *m)
{
    return !q->plain && (m->rcode == 1 || m->rcode == 4); /* FORMERR, NOTIMP */
}

/* A server that is not the zone's answers with a referral, or offers nothing. */
static bool is_lame(const struct pst_watch *w, const struct pst_dns_msg *m,
                    const struct pst_dns_view *v)
{
    return w->zones && !m->authoritative && v->status == PST_DNS_NODATA && v->chain_n == 0;
}

static void on_answer(struct pst_watch *w, struct pst_wquestion *q, const struct pst_dns_msg *m)
{
    struct pst_dns_view v;

    if (no_edns_there(q, m)) {
        pst_wnet_release(w, q);
        q->plain = true;
        q->tries--;
        (void)write_query(w, q);
        pst_wnet_send(w, q);
        return;
    }
    pst_dns_follow(m, &v);
    bool final =
        v.status == PST_DNS_OK || v.status == PST_DNS_NODATA || v.status == PST_DNS_NXDOMAIN;
    if (is_lame(w, m, &v)) {
        note_failure(q, PST_DNS_BROKEN, "an answer that is not authoritative (lame delegation)");
        next_try(w, q);
        return;
    }
    if (!final) {
        note_failure(q, v.status, pst_dns_status_name(v.status));
        if (w->zones && q->servers->n > 1)
            next_try(w, q);
        else
            pst_wquestion_finish(w, q, v.status, q->why);
        return;
    }
    if (!keep_chain(q, &v)) {
        pst_wquestion_finish(w, q, PST_DNS_BROKEN, "a chain of CNAMEs that is too long or loops");
        return;
    }
    keep_addresses(q, m, &v);
    /* Who does not recurse does not follow a CNAME out of his zones. */
    if ((w->zones || !m->recursion) && v.status == PST_DNS_NODATA && v.chain_n > 0)
        pst_wquestion_ask(w, q, current_name(q));
    else
        pst_wquestion_finish(w, q, v.status, "");
}

void pst_wquestion_on_packet(struct pst_watch *w, struct pst_wquestion *q, const uint8_t *packet,
                             size_t len)
{
    struct pst_dns_msg *m = NULL;
    bool truncated = packet[2] & 0x02;

    if (truncated && q->udp) {
        pst_wnet_send_tcp(w, q);
        return;
    }
    if (pst_dns_parse(packet, len, &m, NULL) != PST_OK) {
        note_failure(q, PST_DNS_BROKEN, "a malformed answer");
        next_try(w, q);
        return;
    }
    on_answer(w, q, m);
    pst_dns_msg_free(m);
}
