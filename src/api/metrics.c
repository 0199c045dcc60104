/* metrics.c - /metrics in Prometheus' text format: what the database holds, and what this process
 * has counted since it started. */
#include "api_internal.h"

#include <string.h>

#include <postern/conf.h>
#include <postern/feed.h>
#include <postern/figures.h>
#include <postern/metric.h>

enum { SOONEST_N = 20, DAY_S = 86400, WORDS_MAX = 16 };

static void heading(struct pst_buf *to, const char *name, const char *type, const char *help)
{
    pst_buf_printf(to, "# HELP postern_%s %s\n# TYPE postern_%s %s\n", name, help, name, type);
}

/* A label's value: names and words of ours, but edges choose their own. */
static void add_escaped(struct pst_buf *to, const char *text)
{
    for (; *text; text++) {
        if (*text == '\\' || *text == '"')
            pst_buf_char(to, '\\');
        if (*text == '\n')
            pst_buf_str(to, "\\n");
        else
            pst_buf_char(to, *text);
    }
}

static void sample(struct pst_buf *to, const char *name, const char *label, const char *value,
                   int64_t n)
{
    pst_buf_printf(to, "postern_%s{%s=\"", name, label);
    add_escaped(to, value);
    pst_buf_printf(to, "\"} %lld\n", (long long)n);
}

/* ---- domains ---- */

struct words {
    struct {
        const char *word;
        int64_t n;
    } list[WORDS_MAX];
    size_t n;
};

static int add_domains(const struct pst_status_in *in, int64_t n, void *arg)
{
    struct words *w = arg;
    const char *word = pst_status_of(in).word;
    size_t i = 0;

    while (i < w->n && !pst_streq(w->list[i].word, word))
        i++;
    if (i == WORDS_MAX)
        return PST_OK;
    if (i == w->n)
        w->list[w->n++].word = word;
    w->list[i].n += n;
    return PST_OK;
}

static int add_waiting(const char *method, int64_t n, void *arg)
{
    sample(arg, "domains_waiting", "method", *method ? method : "undecided", n);
    return PST_OK;
}

static int show_domains(struct pst_buf *to, struct pst_tx *tx, int64_t now, struct pst_err *err)
{
    struct words w = {0};
    int64_t failing = 0;

    int rc = pst_figures_domains(tx, now, add_domains, &w, err);
    if (rc == PST_OK)
        rc = pst_figures_failing(tx, &failing, err);
    if (rc != PST_OK)
        return rc;
    heading(to, "domains", "gauge", "Domains by status.");
    for (size_t i = 0; i < w.n; i++)
        sample(to, "domains", "status", w.list[i].word, w.list[i].n);
    heading(to, "renewals_failing", "gauge",
            "Domains with a certificate of the CA whose renewal has failed.");
    pst_buf_printf(to, "postern_renewals_failing %lld\n", (long long)failing);
    heading(to, "domains_waiting", "gauge",
            "Domains that only a person can help on, by how they are validated.");
    return pst_figures_waiting(tx, add_waiting, to, err);
}

/* ---- expiry ---- */

static const int64_t bounds_days[] = {0, 1, 3, 7, 14, 30, 60, 90, 180, 400};

struct histogram {
    int64_t upto[PST_ARRAY_N(bounds_days)], n, sum_s;
};

static int add_expiry(int64_t days, int64_t n, int64_t sum_s, void *arg)
{
    struct histogram *h = arg;

    h->n += n;
    h->sum_s += sum_s;
    for (size_t i = 0; i < PST_ARRAY_N(bounds_days); i++)
        if (days < bounds_days[i])
            h->upto[i] += n;
    return PST_OK;
}

static int add_soonest(const char *ascii, int64_t not_after, void *arg)
{
    sample(arg, "certificate_expires_timestamp_seconds", "name", ascii, not_after);
    return PST_OK;
}

static int show_expiry(struct pst_buf *to, struct pst_tx *tx, int64_t now, struct pst_err *err)
{
    struct histogram h = {0};

    int rc = pst_figures_expiry(tx, now, add_expiry, &h, err);
    if (rc != PST_OK)
        return rc;
    heading(to, "certificate_expiry_seconds", "histogram",
            "Time until the certificates of the domains end.");
    for (size_t i = 0; i < PST_ARRAY_N(bounds_days); i++)
        pst_buf_printf(to, "postern_certificate_expiry_seconds_bucket{le=\"%lld\"} %lld\n",
                       (long long)bounds_days[i] * DAY_S, (long long)h.upto[i]);
    pst_buf_printf(to,
                   "postern_certificate_expiry_seconds_bucket{le=\"+Inf\"} %lld\n"
                   "postern_certificate_expiry_seconds_sum %lld\n"
                   "postern_certificate_expiry_seconds_count %lld\n",
                   (long long)h.n, (long long)h.sum_s, (long long)h.n);
    heading(to, "certificate_expires_timestamp_seconds", "gauge",
            "When the certificates that end first do so.");
    return pst_figures_soonest(tx, SOONEST_N, add_soonest, to, err);
}

/* ---- orders and the CA ---- */

struct counter {
    struct pst_buf *to;
    const char *name, *label;
};

static int add_count(const char *value, int64_t n, void *arg)
{
    const struct counter *c = arg;

    sample(c->to, c->name, c->label, value, n);
    return PST_OK;
}

/* What this process has counted, whoever it was. */
static int show_counted(struct pst_buf *to)
{
    static const struct {
        const char *counted, *name, *label, *help;
    } counters[] = {
        {"dns_questions", "dns_questions_total", "transport",
         "Questions to our DNS server, by transport."},
        {"dns_answers", "dns_answers_total", "outcome",
         "What our DNS server made of questions: an outcome each; dropped and limited ones got no "
         "answer."},
        {"dns_cut", "dns_cut_total", "reason",
         "Answers of our DNS server by UDP that said to ask by TCP, by reason."},
        {"dns_trouble", "dns_trouble_total", "where", "What our DNS server could not do."},
    };
    int rc = PST_OK;

    for (size_t i = 0; rc == PST_OK && i < PST_ARRAY_N(counters); i++) {
        struct counter c = {to, counters[i].name, counters[i].label};
        heading(to, c.name, "counter", counters[i].help);
        rc = pst_metric_each(counters[i].counted, add_count, &c);
    }
    return rc;
}

static int show_orders(struct pst_buf *to, struct pst_tx *tx, struct pst_err *err)
{
    static const struct {
        const char *counted, *name, *label, *help;
    } counters[] = {
        {"order_steps", "order_steps_total", "state", "Steps of orders that were done, by state."},
        {"order_step_faults", "order_step_faults_total", "state",
         "Steps of orders that failed or were refused, by state."},
        {"ca_requests", "ca_requests_total", "outcome", "Requests to the CA, by what came back."},
    };
    struct counter open = {to, "orders", "state"};

    heading(to, "orders", "gauge", "Open orders by state.");
    int rc = pst_figures_orders(tx, add_count, &open, err);
    for (size_t i = 0; rc == PST_OK && i < PST_ARRAY_N(counters); i++) {
        struct counter c = {to, counters[i].name, counters[i].label};
        heading(to, c.name, "counter", counters[i].help);
        rc = pst_metric_each(counters[i].counted, add_count, &c);
    }
    return rc;
}

/* ---- edges ---- */

struct edges {
    struct pst_buf *to;
    int64_t head, now_ms, live_ms;
    int what;
};

static int add_edge(const struct pst_edge *e, void *arg)
{
    const struct edges *s = arg;
    int64_t age_ms = s->now_ms - e->polled_at_ms;

    if (s->what == 0)
        sample(s->to, "edge_live", "edge", e->name, e->caught_up && age_ms <= s->live_ms);
    else if (s->what == 1)
        sample(s->to, "edge_lag_revisions", "edge", e->name,
               s->head > e->acked_rev ? s->head - e->acked_rev : 0);
    else
        sample(s->to, "edge_polled_seconds", "edge", e->name, age_ms / 1000);
    return PST_OK;
}

static int show_edges(struct pst_buf *to, struct pst_req *req, struct pst_tx *tx,
                      struct pst_err *err)
{
    static const struct {
        const char *name, *help;
    } parts[] = {
        {"edge_live", "Does the edge follow the feed?"},
        {"edge_lag_revisions", "Revisions that the edge's replica is behind."},
        {"edge_polled_seconds", "Time since the edge last asked for changes."},
    };
    struct edges s = {.to = to, .now_ms = pst_wall_ms(req->api->opts.clock)};
    struct pst_feed_cursor head;

    int rc = pst_feed_head(tx, &head, err);
    s.head = rc == PST_OK ? head.rev : 0;
    s.live_ms = pst_conf_int(req->api->set.conf, PST_CONF_EDGE_LIVE_TIMEOUT) * 1000;
    for (size_t i = 0; rc == PST_OK && i < PST_ARRAY_N(parts); i++) {
        s.what = (int)i;
        heading(to, parts[i].name, "gauge", parts[i].help);
        rc = pst_edge_each(tx, add_edge, &s, err);
    }
    heading(to, "feed_revision", "gauge", "The newest revision of the feed.");
    pst_buf_printf(to, "postern_feed_revision %lld\n", (long long)s.head);
    return rc;
}

int pst_metrics_get(struct pst_req *req, struct pst_tx *tx, struct pst_answer *ans,
                    struct pst_err *err)
{
    int64_t now = pst_now(req->api->opts.clock);

    pst_answer_reset(ans);
    ans->status = 200;
    ans->type = "text/plain; version=0.0.4; charset=utf-8";
    int rc = show_domains(&ans->body, tx, now, err);
    if (rc == PST_OK)
        rc = show_expiry(&ans->body, tx, now, err);
    if (rc == PST_OK)
        rc = show_orders(&ans->body, tx, err);
    if (rc == PST_OK)
        rc = show_edges(&ans->body, req, tx, err);
    if (rc == PST_OK)
        rc = show_counted(&ans->body);
    return rc == PST_OK ? pst_buf_check(&ans->body, "the figures", err) : rc;
}
