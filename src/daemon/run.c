/* run.c - posternd in operation: start all parts, wait for the end, stop them in reverse. */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <postern/acme.h>
#include <postern/answers.h>
#include <postern/api.h>
#include <postern/bundles.h>
#include <postern/event.h>
#include <postern/feed.h>
#include <postern/http.h>
#include <postern/order.h>
#include <postern/sched.h>

#include "daemon_internal.h"

enum {
    REWATCH_S = 10,
    MINUTE_S = 60,
    HOUR_S = 3600,
    DAY_S = 86400,
    TICKET_PERIOD_S = 12 * HOUR_S,
    TOMBSTONE_S = 30 * DAY_S,
    CERT_KEEP_S = DAY_S, /* a replaced certificate may still be in an edge's last page */
    ENDING_S = 10,       /* how late the end of an uploaded certificate may be told */
    PROBE_TIMEOUT_MS = 3000,
    RSA_BITS = 2048,
};

/* ---- periodic jobs ---- */

static int tickets_tx(struct pst_tx *tx, void *arg, struct pst_err *err)
{
    return pst_ticket_rotate(tx, pst_wall_ms(pst_clock_system()), TICKET_PERIOD_S, err);
}

static int job_tickets(void *arg, struct pst_err *err)
{
    struct daemon *d = arg;
    return pst_store_write(d->store, tickets_tx, NULL, NULL, err);
}

static int sweep_tx(struct pst_tx *tx, void *arg, struct pst_err *err)
{
    int64_t now = pst_wall_ms(pst_clock_system());
    int64_t removed;

    int rc = pst_challenge_sweep(tx, now, err);
    if (rc >= 0)
        rc = pst_dns_answer_sweep(tx, now, err);
    if (rc >= 0)
        rc = pst_bundle_sweep(tx, now / 1000, &removed, err);
    if (rc >= 0)
        rc = pst_certificate_sweep(tx, now - CERT_KEEP_S * 1000LL, &removed, err);
    if (rc >= 0)
        rc = pst_feed_sweep(tx, now - TOMBSTONE_S * 1000LL, err);
    return rc < 0 ? rc : PST_OK;
}

static int job_sweep(void *arg, struct pst_err *err)
{
    struct daemon *d = arg;
    return pst_store_write(d->store, sweep_tx, NULL, NULL, err);
}

static int job_permanent(void *arg, struct pst_err *err)
{
    struct daemon *d = arg;
    return pst_order_warn_permanent(d->orders, err);
}

/* ---- parts ---- */

static int start_ca(struct daemon *d, struct pst_err *err)
{
    const char *ca_file = pst_conf_text(d->conf, PST_CONF_ACME_CA_FILE);
    int workers = (int)pst_conf_int(d->conf, PST_CONF_ACME_WORKERS);
    struct pst_http_opts http = {.ca_file = ca_file[0] ? ca_file : NULL,
                                 .idle_max = (unsigned)workers};
    struct pst_acme_ca_opts ca = {.directory_url = pst_conf_text(d->conf, PST_CONF_ACME_DIRECTORY)};

    int rc = pst_http_new(&d->http, &http, err);
    if (rc != PST_OK)
        return pst_wrap(err, "acme.ca_file");
    ca.http = d->http;
    rc = pst_acme_ca_new(&d->ca, &ca, err);
    return rc == PST_OK ? rc : pst_wrap(err, "acme.directory");
}

static int start_orders(struct daemon *d, struct pst_err *err)
{
    const struct pst_conf *c = d->conf;
    struct pst_order_opts o = {
        .store = d->store,
        .clock = pst_clock_system(),
        .rand = pst_rand_system(),
        .ca = d->ca,
        .resolver = d->resolver,
        .edge = &d->edge,
        .directory_url = pst_conf_text(c, PST_CONF_ACME_DIRECTORY),
        .key_type = pst_conf_text(c, PST_CONF_ACME_KEY_TYPE),
        .rsa_bits = RSA_BITS,
        .preferred_chain = pst_conf_text(c, PST_CONF_ACME_PREFERRED_CHAIN),
        .profile = pst_conf_text(c, PST_CONF_ACME_PROFILE),
        .eab_kid = pst_conf_text(c, PST_CONF_ACME_EAB_KID),
        .eab_key_file = pst_conf_text(c, PST_CONF_ACME_EAB_KEY_FILE),
        .eab_alg = pst_conf_text(c, PST_CONF_ACME_EAB_ALG),
        .orders = {pst_conf_int(c, PST_CONF_ACME_ORDERS_LIMIT),
                   pst_conf_int(c, PST_CONF_ACME_ORDERS_PERIOD)},
        .certs = {pst_conf_int(c, PST_CONF_ACME_CERTS_LIMIT),
                  pst_conf_int(c, PST_CONF_ACME_CERTS_PERIOD)},
        .failed = {pst_conf_int(c, PST_CONF_ACME_FAILED_LIMIT),
                   pst_conf_int(c, PST_CONF_ACME_FAILED_PERIOD)},
        .renewal_ask_s = pst_conf_int(c, PST_CONF_ACME_RENEWAL_ASK),
        .backoff_first_s = pst_conf_int(c, PST_CONF_ACME_BACKOFF_FIRST),
        .backoff_max_s = pst_conf_int(c, PST_CONF_ACME_BACKOFF_MAX),
        .poll_first_ms = pst_conf_int(c, PST_CONF_ACME_POLL_FIRST_MS),
        .barrier_ms = pst_conf_int(c, PST_CONF_EDGE_BARRIER_TIMEOUT) * 1000,
        .live_ms = pst_conf_int(c, PST_CONF_EDGE_LIVE_TIMEOUT) * 1000,
        .probe_timeout_ms = PROBE_TIMEOUT_MS,
        .stopping = &d->stopping,
        .dns = &d->providers,
        .dns_resolver = pst_conf_text(c, PST_CONF_DNS_RESOLVER),
        .dnsd_zone = pst_conf_text(c, PST_CONF_DNSD_ZONE),
        .look_ms = pst_conf_int(c, PST_CONF_DNS_INTERVAL) * 1000,
        .remove_max_s = pst_conf_int(c, PST_CONF_DNS_REMOVE_MAX),
        .base_url = pst_daemon_dns_base_url,
        .token_url = pst_daemon_dns_token_url,
        .watch = pst_daemon_dns_follow,
        .arg = d,
    };
    return pst_order_env_new(&d->orders, &o, err);
}

/* From whichever thread committed: the parts come and go under the lock. */
static void committed(void *arg, int64_t rev)
{
    struct daemon *d = arg;
    pthread_mutex_lock(&d->parts);
    if (rev && d->api)
        pst_api_feed_moved(d->api, rev);
    if (d->sched)
        pst_sched_poke(d->sched);
    pthread_mutex_unlock(&d->parts);
}

void pst_daemon_poke(struct daemon *d)
{
    committed(d, 0);
}

static int start_sched(struct daemon *d, struct pst_err *err)
{
    const struct pst_sched_job jobs[] = {
        {"watch", REWATCH_S, pst_daemon_dns_rewatch, d},
        {"tickets", HOUR_S, job_tickets, d},
        {"platform certificate", MINUTE_S, pst_daemon_platform, d},
        {"uploaded certificates", ENDING_S, pst_daemon_uploads, d},
        {"permanent records", HOUR_S, job_permanent, d},
        {"sweep", HOUR_S, job_sweep, d},
        {"events", 1, pst_daemon_seal, d},
    };
    struct pst_sched_opts o = {.store = d->store,
                               .orders = d->orders,
                               .clock = pst_clock_system(),
                               .workers = (int)pst_conf_int(d->conf, PST_CONF_ACME_WORKERS),
                               .dns_workers = (int)pst_conf_int(d->conf, PST_CONF_DNS_WORKERS),
                               .jobs = jobs,
                               .jobs_n = PST_ARRAY_N(jobs)};
    struct pst_sched *sched = NULL;
    int rc = pst_sched_start(&sched, &o, err);
    pthread_mutex_lock(&d->parts);
    d->sched = sched;
    pthread_mutex_unlock(&d->parts);
    return rc;
}

/* What a certificate says of its issuer is a stranger's word: only through the gate. */
static int start_aia(struct daemon *d, struct pst_err *err)
{
    struct pst_http_opts http = {.gate = d->gate};

    if (!pst_conf_bool(d->conf, PST_CONF_UPLOADS_AIA))
        return PST_OK;
    int rc = pst_http_new(&d->aia, &http, err);
    return rc == PST_OK ? rc : pst_wrap(err, "uploads.aia");
}

static int variables_changed(void *arg, struct pst_tx *tx, const char *app_id, struct pst_err *err)
{
    (void)arg;
    return pst_order_variables_changed(tx, app_id, err);
}

static int persist_value(void *arg, struct pst_tx *tx, const char *ascii, struct pst_buf *ret,
                         struct pst_err *err)
{
    struct daemon *d = arg;
    return pst_order_persist_value(d->orders, tx, ascii, ret, err);
}

static int start_api(struct daemon *d, struct pst_err *err)
{
    struct pst_api_opts o = {.store = d->store,
                             .conf = d->conf,
                             .clock = pst_clock_system(),
                             .rand = pst_rand_system(),
                             .proofs = d->proofs,
                             .aia = d->aia,
                             .hooks = {.arg = d,
                                       .domain_added = pst_daemon_dns_follow,
                                       .domain_changed = pst_daemon_dns_follow,
                                       .domain_removed = pst_daemon_dns_forget,
                                       .variables_changed = variables_changed,
                                       .persist_value = persist_value,
                                       .ca_tell = pst_daemon_ca_tell}};
    struct pst_api *api = NULL;
    int rc = pst_api_start(&api, &o, err);
    pthread_mutex_lock(&d->parts);
    d->api = api;
    pthread_mutex_unlock(&d->parts);
    return rc;
}

static int ensure_account(struct daemon *d, struct pst_err *err)
{
    const char *contact = pst_conf_text(d->conf, PST_CONF_ACME_CONTACT);
    struct account_request req = {.contact = contact[0] ? contact : NULL};
    return pst_daemon_account(d, &req, err);
}

/* In the order of who needs whom; the API comes last, so that what it accepts is worked on. */
static int start(struct daemon *d, struct pst_err *err)
{
    static int (*const parts[])(struct daemon *, struct pst_err *) = {
        ensure_account,
        pst_daemon_dns_prepare,
        start_ca,
        pst_daemon_providers_start,
        start_orders,
        pst_daemon_delegation_start,
        pst_daemon_dns_start,
        pst_daemon_webhooks_start,
        start_sched,
        start_aia,
        start_api,
    };
    /* Edges need the default certificate and ticket keys in their first snapshot. */
    int rc = pst_daemon_platform(d, err);
    if (rc >= 0)
        rc = job_tickets(d, err);
    for (size_t i = 0; i < PST_ARRAY_N(parts) && rc >= 0; i++)
        rc = parts[i](d, err);
    return rc < 0 ? rc : PST_OK;
}

static void stop(struct daemon *d)
{
    d->stopping = true;
    pthread_mutex_lock(&d->parts);
    struct pst_api *api = d->api;
    struct pst_sched *sched = d->sched;
    d->api = NULL;
    d->sched = NULL;
    pthread_mutex_unlock(&d->parts);

    pst_api_stop(api);
    pst_http_free(d->aia);
    pst_sched_stop(sched);
    pst_webhooks_stop(d->webhooks); /* the job pokes it */
    d->webhooks = NULL;
    pst_daemon_delegation_stop(d);
    pst_daemon_dns_end(d); /* orders call the watch, so it outlives the workers */
    pst_order_env_free(d->orders);
    pst_daemon_providers_end(d);
    pst_acme_ca_free(d->ca);
    pst_http_free(d->http);
}

/* Log levels are the only settings that change without a new start; the platform's files are read
 * at once instead of within the minute. */
static void reload(struct daemon *d)
{
    auto_(pst_conf_free) struct pst_conf *fresh = NULL;
    auto_buf struct pst_buf keys = PST_BUF(16 * 1024);
    struct pst_err err = {0};

    if (pst_conf_cli_load(&fresh, &d->cli, &pst_conf_posternd, &err) != PST_OK ||
        pst_log_set_levels(pst_conf_text(fresh, PST_CONF_LOG_LEVEL), &err) != PST_OK) {
        pst_log_err(LOG, "the configuration was not reloaded", &err);
        return;
    }
    if (pst_daemon_platform(d, &err) < 0)
        pst_log_err(LOG, "the platform certificate was not reloaded", &err);
    pst_conf_restart_keys(d->conf, fresh, &keys);
    pst_log_info(LOG, "configuration reloaded",
                 pst_kv_s("needs_restart", keys.len ? pst_buf_cstr(&keys) : NULL));
}

static void wait_for_end(struct daemon *d, const sigset_t *signals)
{
    for (;;) {
        int sig;
        if (sigwait(signals, &sig) != 0)
            continue;
        if (sig != SIGHUP) {
            pst_log_info(LOG, "stopping", pst_kv_s("signal", strsignal(sig)));
            return;
        }
        reload(d);
    }
}

int pst_daemon_run(struct daemon *d)
{
    struct pst_err err = {0};
    sigset_t signals;

    /* Before any thread: they inherit the mask, and only sigwait() sees these. */
    sigemptyset(&signals);
    sigaddset(&signals, SIGTERM);
    sigaddset(&signals, SIGINT);
    sigaddset(&signals, SIGHUP);
    pthread_sigmask(SIG_BLOCK, &signals, NULL);
    signal(SIGPIPE, SIG_IGN);

    int rc = pst_daemon_open_store(d, false, &err);
    if (rc == PST_OK) {
        pst_store_on_commit(d->store, committed, d);
        pst_store_on_answers(d->store, pst_daemon_delegation_changed, d);
        rc = start(d, &err);
    }
    if (rc == PST_OK) {
        pst_log_info(LOG, "posternd is ready", pst_kv_s("version", PST_VERSION),
                     pst_kv_i("port", pst_api_port(d->api, 0)));
        pst_service_notify("READY=1");
        wait_for_end(d, &signals);
        pst_service_notify("STOPPING=1");
    } else {
        pst_log_err(LOG, "posternd cannot start", &err);
    }
    stop(d);
    pst_daemon_close_store(d);
    return rc == PST_OK ? EXIT_SUCCESS : EXIT_FAILURE;
}
