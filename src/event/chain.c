/* chain.c - sealing events behind each other, and looking whether they still are as they were. */
#include "event_internal.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include <postern/crypto_mac.h>

#define LOG "event"

enum { BATCH = 200, PAGE = 500, WAITING_MAX = 1000, CANONICAL_MAX = 4096 };

static const char zeros[] = "0000000000000000000000000000000000000000000000000000000000000000";

/* ---- the hash ---- */

static void add_text(struct pst_buf *to, const char *text)
{
    pst_buf_printf(to, "%zu:%s,", strlen(text), text);
}

static void add_number(struct pst_buf *to, int64_t n)
{
    char text[24];

    snprintf(text, sizeof text, "%" PRId64, n);
    add_text(to, text);
}

int pst_event_hash(const struct pst_event *e, const char *before, char ret[65], struct pst_err *err)
{
    auto_buf struct pst_buf b = PST_BUF(CANONICAL_MAX);

    pst_buf_str(&b, before[0] ? before : zeros);
    add_number(&b, e->seq);
    add_text(&b, e->id);
    add_number(&b, e->at_ms);
    add_text(&b, e->kind);
    add_text(&b, e->actor);
    add_text(&b, e->request_id);
    add_text(&b, e->app_id);
    add_text(&b, e->domain_id);
    add_text(&b, e->owner_id);
    add_text(&b, e->text);
    int rc = pst_buf_check(&b, "an event", err);
    return rc == PST_OK ? pst_sha256_hex(b.data, b.len, ret, err) : rc;
}

/* ---- sealing ---- */

struct sealing {
    struct pst_tx *tx;
    struct pst_event_chain end;
    struct pst_err *err;
    int64_t n;
    char woken[PST_ID_SIZE]; /* owner whose webhooks were woken last */
};

static int seal_one(const struct pst_event *e, void *arg)
{
    struct sealing *s = arg;
    struct pst_event sealed = *e;

    int rc = pst_event_hash(e, s->end.hash, sealed.hash, s->err);
    if (rc != PST_OK)
        return rc;
    sealed.chain_pos = s->end.pos + 1;
    rc = pst_event_seal(s->tx, &sealed, s->err);
    /* Events of one owner come in flocks. */
    if (rc == PST_OK && (s->n == 0 || !pst_streq(s->woken, e->owner_id)))
        rc = pst_webhook_wake(s->tx, e->owner_id, s->err);
    if (rc != PST_OK)
        return rc;
    memcpy(s->woken, e->owner_id, sizeof s->woken);
    s->end.pos = sealed.chain_pos;
    memcpy(s->end.hash, sealed.hash, sizeof s->end.hash);
    s->n++;
    return PST_OK;
}

static int seal_tx(struct pst_tx *tx, void *arg, struct pst_err *err)
{
    struct sealing *s = arg;

    *s = (struct sealing){.tx = tx, .err = err};
    int rc = pst_event_chain_get(tx, &s->end, err); /* nobody else seals until we are through */
    if (rc == PST_OK)
        rc = pst_event_each_unsealed(tx, BATCH, seal_one, s, err);
    return rc == PST_OK && s->n ? pst_event_chain_set(tx, &s->end, err) : rc;
}

static int stop_at_first(const struct pst_event *e, void *arg)
{
    (void)e, (void)arg;
    return PST_DONE;
}

static int look_tx(struct pst_tx *tx, void *arg, struct pst_err *err)
{
    (void)arg;
    return pst_event_each_unsealed(tx, 1, stop_at_first, NULL, err);
}

int pst_events_seal(struct pst_store *store, struct pst_err *err)
{
    struct sealing s = {0};

    int rc = pst_store_read(store, look_tx, NULL, err); /* mostly there is nothing to write */
    if (rc != PST_DONE)
        return rc == PST_OK ? PST_DONE : rc;
    do {
        rc = pst_store_write(store, seal_tx, &s, NULL, err);
    } while (rc == PST_OK && s.n == BATCH);
    return rc > 0 ? pst_unexpected(err, rc, "sealing events") : rc;
}

/* ---- verifying ---- */

struct walk {
    struct pst_event_report *report;
    struct pst_event_chain at; /* the last good event */
    struct pst_event_chain end;
    struct pst_err *err;
    int64_t n; /* in this page */
};

static int broken(struct walk *w, const struct pst_event *e, const char *why)
{
    pst_str_copy(w->report->broken_id, sizeof w->report->broken_id, e->id);
    snprintf(w->report->why, sizeof w->report->why, "%s", why);
    return PST_REFUSED;
}

static int verify_one(const struct pst_event *e, void *arg)
{
    struct walk *w = arg;
    char hash[65], why[200];

    w->n++;
    if (e->chain_pos != w->at.pos + 1) {
        snprintf(why, sizeof why, "position %" PRId64 " is missing before it", w->at.pos + 1);
        return broken(w, e, why);
    }
    int rc = pst_event_hash(e, w->at.hash, hash, w->err);
    if (rc != PST_OK)
        return rc;
    if (!pst_streq(hash, e->hash))
        return broken(w, e, "its hash does not fit: it was changed, or what stood before it");
    w->at.pos = e->chain_pos;
    memcpy(w->at.hash, hash, sizeof hash);
    return PST_OK;
}

static int page_tx(struct pst_tx *tx, void *arg, struct pst_err *err)
{
    struct walk *w = arg;
    const struct pst_event_chain from = w->at;

    w->err = err;
    w->n = 0;
    int rc = pst_event_each_sealed(tx, w->at.pos, "", "", PAGE, verify_one, w, err);
    if (rc < 0)
        w->at = from;
    return rc;
}

static int end_tx(struct pst_tx *tx, void *arg, struct pst_err *err)
{
    struct walk *w = arg;
    return pst_event_chain_get(tx, &w->end, err);
}

static int count_one(const struct pst_event *e, void *arg)
{
    (void)e;
    ++*(int64_t *)arg;
    return PST_OK;
}

static int waiting_tx(struct pst_tx *tx, void *arg, struct pst_err *err)
{
    *(int64_t *)arg = 0;
    return pst_event_each_unsealed(tx, WAITING_MAX, count_one, arg, err);
}

int pst_events_verify(struct pst_store *store, struct pst_event_report *ret, struct pst_err *err)
{
    struct walk w = {.report = ret};

    *ret = (struct pst_event_report){0};
    /* First: sealing goes on, and the walk must come at least to where the end is now. */
    int rc = pst_store_read(store, end_tx, &w, err);
    do {
        if (rc == PST_OK)
            rc = pst_store_read(store, page_tx, &w, err);
    } while (rc == PST_OK && w.n == PAGE);
    if (rc == PST_OK)
        rc = pst_store_read(store, waiting_tx, &ret->waiting_n, err);
    ret->sealed_n = w.at.pos;
    memcpy(ret->head, w.at.hash, sizeof ret->head);
    if (rc != PST_OK)
        return rc;
    if (w.at.pos < w.end.pos) {
        snprintf(ret->why, sizeof ret->why,
                 "the chain went up to position %" PRId64 ": what came after %" PRId64
                 " was removed",
                 w.end.pos, w.at.pos);
        return PST_REFUSED;
    }
    if (w.at.pos == w.end.pos && !pst_streq(w.at.hash, w.end.hash)) {
        snprintf(ret->why, sizeof ret->why, "the chain's end was changed");
        return PST_REFUSED;
    }
    return PST_OK;
}
