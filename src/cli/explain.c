/*
 * explain.c - an explanation for people: the state first, then why, then what to do about it, what
 * was seen, when it goes on, and what happened so far.
 */
#include "cli_internal.h"

#include <string.h>

enum { LABEL_WIDTH = 12, EVENTS_SHOWN = 10 };

struct page {
    struct pst_buf *to;
    int64_t now_ms;
};

/* A text of the server, cleaned. */
static void add(struct page *p, const char *text)
{
    cli_clean(p->to, text ? text : "-");
}

/* "  Label       text"; a text of several lines goes on below itself. */
static void row(struct page *p, const char *label, const char *text)
{
    pst_buf_printf(p->to, "  %-*s", LABEL_WIDTH, label);
    while (text && *text) {
        size_t len = strcspn(text, "\n");
        auto_(pst_free) char *line = pst_strndup(text, len);
        add(p, line);
        pst_buf_char(p->to, '\n');
        text += len + (text[len] == '\n');
        if (*text)
            pst_buf_printf(p->to, "  %*s", LABEL_WIDTH, "");
    }
}

/* "in 45 s (2026-11-20 15:00:45 UTC)" */
static void add_time(struct page *p, const char *rfc3339)
{
    char relative[CLI_TIME_SIZE], absolute[CLI_TIME_SIZE];
    int64_t at_ms;

    if (!rfc3339 || !pst_time_parse(rfc3339, &at_ms)) {
        pst_buf_char(p->to, '-');
        return;
    }
    pst_buf_printf(p->to, "%s (%s)", cli_relative(relative, at_ms, p->now_ms),
                   cli_time(absolute, rfc3339));
}

/* When something is to happen: a time that is over means that it is waited for. */
static void time_row(struct page *p, const char *label, const char *rfc3339)
{
    char due[CLI_TIME_SIZE];
    int64_t at_ms;

    if (!rfc3339)
        return;
    pst_buf_printf(p->to, "  %-*s", LABEL_WIDTH, label);
    if (pst_time_parse(rfc3339, &at_ms) && at_ms <= p->now_ms)
        pst_buf_printf(p->to, "any moment (due since %s)", cli_time(due, rfc3339));
    else
        add_time(p, rfc3339);
    pst_buf_char(p->to, '\n');
}

static void optional_row(struct page *p, const char *label, const char *text)
{
    if (text && *text)
        row(p, label, text);
}

static void add_head(struct page *p, const struct pst_json *e)
{
    const struct pst_json *domain = pst_json_get(e, "domain");
    const char *name = pst_json_get_text(domain, "name");
    const char *ascii = pst_json_get_text(domain, "ascii");
    const char *reason = pst_json_get_text(e, "reason");

    add(p, pst_json_get_text(e, "word"));
    pst_buf_str(p->to, ": ");
    add(p, name);
    if (name && ascii && !pst_streq(name, ascii)) {
        pst_buf_str(p->to, " (");
        add(p, ascii);
        pst_buf_str(p->to, ")");
    }
    pst_buf_str(p->to, "\n\n");
    if (reason) {
        pst_buf_str(p->to, "  ");
        add(p, reason);
        pst_buf_str(p->to, "\n\n");
    }
}

/* Of wildcards: how control is proved, until when a record made by hand is of use, and which
 * variables are wrong. */
static void add_challenge(struct page *p, const struct pst_json *domain)
{
    static const struct {
        const char *method, *text;
    } methods[] = {
        {"dns-persist-01", "a record that was made once, for good (dns-persist-01)"},
        {"dns-01:delegation", "a CNAME that was made once, for good (dns-01)"},
        {"dns-01:provider", "records made at your DNS provider, for good (dns-01)"},
        {"dns-01:manual", "a record made by hand for each certificate (dns-01)"},
    };
    const char *method = pst_json_get_text(domain, "acme_method");
    const char *until = pst_json_get_text(domain, "acme_dns_until");
    const struct pst_json *error = pst_json_get(domain, "acme_dns_error");
    const struct pst_json *names = pst_json_get(error, "variables");

    for (size_t i = 0; i < PST_ARRAY_N(methods); i++)
        if (pst_streq(method, methods[i].method))
            row(p, "Proved by", methods[i].text);
    if (until)
        time_row(p, "Good until", until);
    if (pst_json_get_text(error, "dns_provider")) {
        pst_buf_printf(p->to, "  %-*s", LABEL_WIDTH, "Variables");
        pst_buf_str(p->to, "wrong for DNS provider ");
        add(p, pst_json_get_text(error, "dns_provider"));
        for (size_t i = 0; i < pst_json_len(names); i++) {
            pst_buf_str(p->to, i ? ", " : ": ");
            add(p, pst_json_text(pst_json_at(names, i)));
        }
        pst_buf_char(p->to, '\n');
        optional_row(p, "", pst_json_get_text(error, "error"));
    }
}

/* As a zone file has it. */
static void add_value(struct page *p, const struct pst_json *record)
{
    const char *value = pst_json_get_text(record, "value");
    const char *quote = pst_streq(pst_json_get_text(record, "type"), "TXT") ? "\"" : "";

    if (!value) {
        pst_buf_str(p->to, "(its value is not known before there is an order)");
        return;
    }
    pst_buf_str(p->to, quote);
    add(p, value);
    pst_buf_str(p->to, quote);
}

/* The ways to prove control of a wildcard, best first. */
static void add_options(struct page *p, const struct pst_json *options)
{
    if (!pst_json_len(options))
        return;
    pst_buf_str(p->to, "\nWays to prove control of the name, the best one first\n");
    for (size_t i = 0; i < pst_json_len(options); i++) {
        const struct pst_json *o = pst_json_at(options, i), *r = pst_json_get(o, "record");
        bool in_use = false, forever = false;
        pst_json_get_bool(o, "in_use", &in_use);
        pst_json_get_bool(o, "forever", &forever);
        pst_buf_printf(p->to, "  %s ", in_use ? "\xe2\x96\xb6" : " ");
        add(p, pst_json_get_text(o, "kind"));
        pst_buf_str(p->to, forever ? " (once, for good): " : " (each time): ");
        add(p, pst_json_get_text(o, "text"));
        pst_buf_char(p->to, '\n');
        if (pst_json_len(pst_json_get(o, "providers")))
            pst_buf_printf(p->to, "%6spostern dns-providers lists them\n", "");
        if (pst_json_type(r) != PST_JSON_OBJECT)
            continue;
        pst_buf_printf(p->to, "%6s", "");
        add(p, pst_json_get_text(r, "name"));
        pst_buf_str(p->to, ". ");
        add(p, pst_json_get_text(r, "type"));
        pst_buf_char(p->to, ' ');
        add_value(p, r);
        pst_buf_char(p->to, '\n');
    }
}

static void add_state(struct page *p, const struct pst_json *e)
{
    const struct pst_json *order = pst_json_get(e, "order");
    const char *detail = pst_json_get_text(order, "detail");
    int64_t failures = 0, attempt = 0;
    /* Nothing is wrong and nothing under way: the next thing that happens is the renewal. */
    bool renewal =
        pst_streq(pst_json_get_text(e, "word"), "In use") && !pst_json_get_text(e, "problem");

    optional_row(p, "To do", pst_json_get_text(e, "record"));
    add_challenge(p, pst_json_get(e, "domain"));
    optional_row(p, "Seen", pst_json_get_text(e, "evidence"));
    optional_row(p, "Problem", pst_json_get_text(e, "problem"));
    if (!renewal)
        time_row(p, "Next try", pst_json_get_text(e, "next_try_at"));
    if (pst_json_get_int(e, "failures", &failures) && failures > 0) {
        pst_buf_printf(p->to, "  %-*s%lld in a row, the last one ", LABEL_WIDTH, "Failures",
                       (long long)failures);
        add_time(p, pst_json_get_text(e, "last_failure_at"));
        pst_buf_char(p->to, '\n');
    }
    if (pst_json_type(order) == PST_JSON_OBJECT) {
        pst_json_get_int(order, "attempt", &attempt);
        pst_buf_printf(p->to, "  %-*sattempt %lld, step ", LABEL_WIDTH, "Order",
                       (long long)attempt);
        add(p, pst_json_get_text(order, "step"));
        pst_buf_str(p->to, ", begun ");
        add_time(p, pst_json_get_text(order, "since"));
        pst_buf_char(p->to, '\n');
        optional_row(p, "", detail);
    } else {
        time_row(p, renewal ? "Renewal" : "Next order", pst_json_get_text(e, "order_due_at"));
    }
}

static void add_ladder(struct page *p, const struct pst_json *ladder)
{
    char until[CLI_TIME_SIZE];

    pst_buf_str(p->to, "\nCertificates, in the order in which the edges try them\n");
    for (size_t i = 0; i < pst_json_len(ladder); i++) {
        const struct pst_json *step = pst_json_at(ladder, i);
        const struct pst_json *cert = pst_json_get(step, "certificate");
        const char *seen = pst_json_get_text(cert, "served_since");
        bool taken = false;
        pst_json_get_bool(step, "taken", &taken);
        pst_buf_printf(p->to, "  %s %-10s", taken ? "\xe2\x96\xb6" : " ",
                       pst_json_get_text(step, "origin") ? pst_json_get_text(step, "origin") : "?");
        pst_buf_str(p->to, taken ? "served: " : "not served: ");
        add(p, pst_json_get_text(step, "why"));
        pst_buf_char(p->to, '\n');
        if (pst_json_type(cert) != PST_JSON_OBJECT)
            continue;
        pst_buf_printf(p->to, "%14s", "");
        /* Newer CAs leave the subject empty: the names stand elsewhere. */
        if (pst_json_get_text(cert, "subject") && pst_json_get_text(cert, "subject")[0]) {
            add(p, pst_json_get_text(cert, "subject"));
            pst_buf_str(p->to, ", ");
        }
        pst_buf_str(p->to, "from ");
        add(p, pst_json_get_text(cert, "issuer"));
        pst_buf_printf(p->to, ", until %s", cli_time(until, pst_json_get_text(cert, "not_after")));
        if (seen) {
            pst_buf_str(p->to, ", first seen served ");
            add_time(p, seen);
        }
        pst_buf_char(p->to, '\n');
    }
}

static void add_attempts(struct page *p, const struct pst_json *attempts)
{
    char began[CLI_TIME_SIZE];

    if (!pst_json_len(attempts))
        return;
    pst_buf_str(p->to, "\nAttempts, newest first\n");
    for (size_t i = 0; i < pst_json_len(attempts); i++) {
        const struct pst_json *a = pst_json_at(attempts, i);
        const char *detail = pst_json_get_text(a, "detail");
        int64_t n = 0;
        pst_json_get_int(a, "attempt", &n);
        pst_buf_printf(p->to, "  %s  #%lld  ", cli_time(began, pst_json_get_text(a, "began_at")),
                       (long long)n);
        add(p, pst_json_get_text(a, "state"));
        if (detail) {
            pst_buf_str(p->to, ": ");
            add(p, detail);
        }
        pst_buf_char(p->to, '\n');
    }
}

static void add_events(struct page *p, const struct pst_json *events)
{
    char at[CLI_TIME_SIZE];

    if (!pst_json_len(events))
        return;
    pst_buf_str(p->to, "\nHistory, newest first\n");
    for (size_t i = 0; i < pst_json_len(events) && i < EVENTS_SHOWN; i++) {
        const struct pst_json *e = pst_json_at(events, i);
        pst_buf_printf(p->to, "  %s  ", cli_time(at, pst_json_get_text(e, "at")));
        add(p, pst_json_get_text(e, "text"));
        pst_buf_str(p->to, " (");
        add(p, pst_json_get_text(e, "actor"));
        pst_buf_str(p->to, ")\n");
    }
    if (pst_json_len(events) > EVENTS_SHOWN)
        pst_buf_printf(p->to, "  ... and %zu more (--json shows them)\n",
                       pst_json_len(events) - EVENTS_SHOWN);
}

void cli_explain_text(struct pst_buf *to, const struct pst_json *e)
{
    const char *now = pst_json_get_text(e, "now");
    struct page p = {.to = to};

    /* The server's clock, not ours: "in 45 s" must be right when the two differ. */
    if (!now || !pst_time_parse(now, &p.now_ms))
        p.now_ms = pst_wall_ms(pst_clock_system());
    add_head(&p, e);
    add_state(&p, e);
    add_options(&p, pst_json_get(pst_json_get(e, "domain"), "acme_options"));
    add_ladder(&p, pst_json_get(e, "ladder"));
    add_attempts(&p, pst_json_get(e, "attempts"));
    add_events(&p, pst_json_get(e, "events"));
}
