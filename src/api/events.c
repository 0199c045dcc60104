/*
 * events.c - what happened, page by page.
 *
 * Without a cursor, or with `before`, the newest come first; `next` leads further back and is null
 * at the end, `follow` to what is sealed later (an event that was not yet sealed comes again
 * there). With `after`, a position in the chain, those behind it come in its order, and `next` is
 * always there: ask it again for what has happened since.  New events change no page but the first.
 */
#include "api_internal.h"

#include <stdio.h>
#include <string.h>

#include <postern/event.h>
#include <postern/history.h>

enum { LIMIT_DEFAULT = 50, LIMIT_MAX = 500 };

int pst_event_push(const struct pst_event *e, void *list)
{
    return pst_json_push(list, pst_event_json(e)) ? PST_OK : PST_ENOMEM;
}

/* A number of the query; `ret` stays when it is not there. */
static int read_number(struct pst_req *req, const char *key, int64_t min, int64_t max, int64_t *ret,
                       struct pst_answer *ans)
{
    const char *text = pst_target_query(&req->target, key);

    if (text && !pst_parse_i64(text, min, max, ret))
        return pst_answer_error(ans, 400, "%s must be a number from %lld to %lld", key,
                                (long long)min, (long long)max);
    return PST_OK;
}

static int read_page(struct pst_req *req, struct pst_event_page *p, struct pst_answer *ans)
{
    int64_t limit = LIMIT_DEFAULT, before = INT64_MAX, after = -1;

    int rc = read_number(req, "limit", 1, LIMIT_MAX, &limit, ans);
    if (rc == PST_OK)
        rc = read_number(req, "before", 1, INT64_MAX, &before, ans);
    if (rc == PST_OK)
        rc = read_number(req, "after", 0, INT64_MAX, &after, ans);
    if (rc != PST_OK)
        return rc;
    if (after >= 0 && before != INT64_MAX)
        return pst_answer_error(ans, 400, "before and after exclude each other");
    p->limit = (size_t)limit;
    p->forward = after >= 0;
    p->cursor = p->forward ? after : before;
    return PST_OK;
}

struct page {
    struct pst_event_page of;
    char path[3 * PST_ID_SIZE + 64]; /* that it is asked for under */
    struct pst_json *list;
    int64_t end;  /* of the chain, before the page was read: up to there nothing is missed */
    int64_t last; /* cursor of the last event */
    size_t n;
};

static int add_event(const struct pst_event *e, void *arg)
{
    struct page *p = arg;

    p->last = p->of.forward ? e->chain_pos : e->seq;
    p->n++;
    return pst_event_push(e, p->list);
}

static bool set_link(struct pst_json *j, const char *key, const struct page *p, const char *way,
                     int64_t cursor)
{
    char link[sizeof p->path + 96];

    snprintf(link, sizeof link, "%s?limit=%zu&%s=%lld", p->path, p->of.limit, way,
             (long long)cursor);
    return pst_json_set_text(j, key, link);
}

static bool set_links(struct pst_json *j, const struct page *p)
{
    bool more = p->n == p->of.limit;
    int64_t on = p->end > p->of.cursor ? p->end : p->of.cursor;

    if (p->of.forward)
        return set_link(j, "next", p, "after", more ? p->last : on);
    return (more ? set_link(j, "next", p, "before", p->last) : pst_json_set_null(j, "next")) &&
           set_link(j, "follow", p, "after", p->end);
}

static int answer_page(struct pst_req *req, struct pst_tx *tx, struct page *p,
                       struct pst_answer *ans, struct pst_err *err)
{
    auto_(pst_json_free) struct pst_json *list = pst_json_array();
    auto_(pst_json_free) struct pst_json *j = pst_json_object();
    struct pst_event_chain chain;

    int rc = read_page(req, &p->of, ans);
    if (rc == PST_OK)
        rc = pst_event_chain_get(tx, &chain, err);
    if (rc != PST_OK)
        return rc;
    if (!list)
        return pst_fail_nomem(err, "the events");
    p->list = list;
    p->end = chain.pos;
    rc = pst_event_page(tx, &p->of, add_event, p, err);
    if (rc != PST_OK)
        return rc;
    if (!pst_json_set(j, "events", pst_take(&list)) || !set_links(j, p))
        return pst_fail_nomem(err, "the events");
    return pst_answer_json(ans, 200, j, err);
}

int pst_events_list(struct pst_req *req, struct pst_tx *tx, struct pst_answer *ans,
                    struct pst_err *err)
{
    struct page p = {.path = "/v1/events"};

    return answer_page(req, tx, &p, ans, err);
}

int pst_events_of_app(struct pst_req *req, struct pst_tx *tx, struct pst_answer *ans,
                      struct pst_err *err)
{
    struct pst_app a;
    struct page p = {.of.app_id = a.id};

    int rc = pst_req_app(req, tx, &a, ans, err);
    if (rc != PST_OK)
        return rc;
    snprintf(p.path, sizeof p.path, "/v1/apps/%s/events", a.id);
    return answer_page(req, tx, &p, ans, err);
}

int pst_events_of_domain(struct pst_req *req, struct pst_tx *tx, struct pst_answer *ans,
                         struct pst_err *err)
{
    struct pst_app a;
    struct pst_domain d;
    struct page p = {.of.domain_id = d.id};

    int rc = pst_req_domain(req, tx, &a, &d, ans, err);
    if (rc != PST_OK)
        return rc;
    snprintf(p.path, sizeof p.path, "/v1/apps/%s/domains/%s/events", a.id, d.id);
    return answer_page(req, tx, &p, ans, err);
}
