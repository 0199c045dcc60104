/* uploads.c - uploaded certificates come to their end, and nobody but their owner can renew them:
 * a job that says so in time, and once more when it is over. */
#include <stdio.h>
#include <string.h>

#include "daemon_internal.h"

enum { BATCH_MAX = 100, DAY_S = 86400 };

struct batch {
    int64_t now;
    struct pst_ending list[BATCH_MAX];
    size_t n;
};

static int collect(const struct pst_ending *e, void *arg)
{
    struct batch *b = arg;

    b->list[b->n++] = *e;
    return b->n < BATCH_MAX ? PST_OK : PST_DONE;
}

static int warn_of(struct pst_tx *tx, const struct batch *b, const struct pst_ending *e,
                   struct pst_err *err)
{
    char until[PST_TIME_SIZE];
    int rc;

    pst_time_format(until, e->not_after * 1000);
    if (e->due == PST_WARN_OVER)
        rc = pst_event_system(
            tx, e->app_id, e->domain_id, "certificate.expired", err,
            "the uploaded certificate ended at %s; the next one of the ladder is served", until);
    else
        rc = pst_event_system(
            tx, e->app_id, e->domain_id, "certificate.expires", err,
            "the uploaded certificate ends at %s, in %lld days: upload the renewed one", until,
            (long long)((e->not_after - b->now) / DAY_S));
    return rc == PST_OK ? pst_certificate_warned(tx, e->num, e->due, err) : rc;
}

static int warn_tx(struct pst_tx *tx, void *arg, struct pst_err *err)
{
    struct batch *b = arg;

    b->n = 0;
    int rc = pst_certificate_each_ending(tx, b->now, BATCH_MAX, collect, b, err);
    if (rc < 0)
        return rc;
    rc = b->n > 0 ? PST_OK : PST_DONE;
    for (size_t i = 0; i < b->n && rc == PST_OK; i++)
        rc = warn_of(tx, b, &b->list[i], err);
    return rc;
}

static void log_endings(const struct batch *b)
{
    for (size_t i = 0; i < b->n; i++)
        pst_log_warn(LOG,
                     b->list[i].due == PST_WARN_OVER ? "an uploaded certificate has ended"
                                                     : "an uploaded certificate ends soon",
                     pst_kv_s("name", b->list[i].name),
                     pst_kv_i("seconds_left", b->list[i].not_after - b->now));
}

int pst_daemon_uploads(void *arg, struct pst_err *err)
{
    struct daemon *d = arg;
    struct batch *b = pst_zalloc(1, sizeof *b);
    int rc;

    if (!b)
        return pst_fail_nomem(err, "uploaded certificates");
    do {
        b->now = pst_now(pst_clock_system());
        rc = pst_store_write(d->store, warn_tx, b, NULL, err);
        if (rc == PST_OK)
            log_endings(b);
    } while (rc == PST_OK && b->n == BATCH_MAX && !d->stopping);
    pst_free(b);
    return rc < 0 ? pst_wrap(err, "uploaded certificates") : rc;
}
