/* history.c - sealing events, telling webhooks, and the command that verifies the chain. */
#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include <postern/event.h>

#include "daemon_internal.h"

int pst_daemon_seal(void *daemon, struct pst_err *err)
{
    struct daemon *d = daemon;

    int rc = pst_events_seal(d->store, err);
    if (rc == PST_OK)
        pst_webhooks_poke(d->webhooks);
    return rc;
}

int pst_daemon_webhooks_start(struct daemon *d, struct pst_err *err)
{
    const char *ca_file = pst_conf_text(d->conf, PST_CONF_WEBHOOKS_CA_FILE);
    const struct pst_webhooks_opts o = {
        .store = d->store,
        .gate = d->gate,
        .clock = pst_clock_system(),
        .rand = pst_rand_system(),
        .ca_file = ca_file[0] ? ca_file : NULL,
        .backoff_first_ms = pst_conf_int(d->conf, PST_CONF_WEBHOOKS_BACKOFF_FIRST) * 1000,
        .give_up_ms = pst_conf_int(d->conf, PST_CONF_WEBHOOKS_GIVE_UP) * 1000,
    };
    int rc = pst_webhooks_start(&d->webhooks, &o, err);
    return rc == PST_OK ? rc : pst_wrap(err, "webhooks");
}

/* ---- posternd events verify ---- */

static const char events_help[] =
    "usage: posternd events verify\n"
    "Walk the chain of events and say whether nothing in it was changed, removed or put in\n"
    "between.  With SQLite only while posternd is stopped.  Exit status: 0 whole, 1 broken.\n";

static int print_report(int rc, const struct pst_event_report *r)
{
    if (rc == PST_REFUSED) {
        printf("broken after %" PRId64 " good events", r->sealed_n);
        if (r->broken_id[0])
            printf(", at event %s", r->broken_id);
        printf(": %s\n", r->why);
        return EXIT_FAILURE;
    }
    printf("whole: %" PRId64 " events, %" PRId64 " not sealed yet\n", r->sealed_n, r->waiting_n);
    if (r->head[0])
        printf("head: %s\n", r->head);
    return EXIT_SUCCESS;
}

/* Without keys and leases: this may run beside a posternd on PostgreSQL. */
static int open_store(struct daemon *d, struct pst_err *err)
{
    const struct pst_store_opts opts = {
        .url = pst_conf_text(d->conf, PST_CONF_DATABASE_URL),
        .node = "events-verify/0",
        .clock = pst_clock_system(),
        .rand = pst_rand_system(),
    };
    return pst_store_open(&d->store, &opts, err);
}

int pst_command_events(struct daemon *d, int argc, char **argv)
{
    struct pst_event_report report;
    struct pst_err err = {0};

    if (argc != 2 || !pst_streq(argv[1], "verify")) {
        bool asked = argc == 2 && pst_streq(argv[1], "--help");
        fputs(events_help, asked ? stdout : stderr);
        return asked ? EXIT_SUCCESS : EXIT_USAGE;
    }
    int rc = open_store(d, &err);
    if (rc == PST_OK)
        rc = pst_events_verify(d->store, &report, &err);
    pst_store_close(d->store);
    d->store = NULL;
    if (rc == PST_OK || rc == PST_REFUSED)
        return print_report(rc, &report);
    fprintf(stderr, "posternd: events: %s\n", err.text);
    return EXIT_FAILURE;
}
