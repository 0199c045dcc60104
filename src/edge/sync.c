/* sync.c - the loop: enrol, open, follow; join.c has the resync. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/file.h>
#include <unistd.h>

#include "sync_internal.h"

enum {
    BACKOFF_FIRST_MS = 100,
    BACKOFF_MAX_MS = 5000,
    SAY_MS = 60000,       /* how often the same fault is logged */
    IDLE_MS = 100,        /* after a poll that should have waited and did not */
    BRAKED_MS = 60000,    /* how often it is looked whether the loss is still there */
    ACCEPT_MS = 1000,     /* how often it is looked whether somebody accepts it */
    UPKEEP_MS = 60000,    /* reader slots, and a commit that tells the time */
    SETTLED_MS = 60000,   /* a run that lives so long does not count as one that crashed */
    CRASHES_MAX = 3,      /* runs that ended badly, one after the other, before a new build */
    STUBBORN_FAULTS = 10, /* failed commits in a row before a new build */
    CLOCK_AGREES_S = 300, /* how far the control plane's clock may be from ours */
    SCRATCH_MAX = 64,
};

/* ---- life ---- */

/* One postern-edged per replica: two would take the link from each other. */
static int take_lock(struct pst_edged *e, struct pst_err *err)
{
    auto_(pst_free) char *path = pst_asprintf("%s/edged.lock", e->o->replica.dir);
    if (!path)
        return pst_fail_nomem(err, "a path");

    int rc = pst_io_mkdirs(e->o->replica.dir, 0750, err);
    if (rc != PST_OK)
        return rc;
    e->lock = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (e->lock < 0)
        return pst_fail_sys(err, "opening %s", path);
    if (flock(e->lock, LOCK_EX | LOCK_NB) == 0)
        return PST_OK;
    if (errno == EWOULDBLOCK)
        return pst_fail(err, PST_ECONFIG, "another postern-edged is at work on %s",
                        e->o->replica.dir);
    return pst_fail_sys(err, "locking %s", path);
}

int pst_edged_new(struct pst_edged **ret, const struct pst_edged_opts *opts, struct pst_err *err)
{
    struct pst_edged_brake_note note;
    auto_(pst_edged_free) struct pst_edged *e = pst_zalloc(1, sizeof *e);
    if (!e)
        return pst_fail_nomem(err, "the edge");

    e->o = opts;
    e->lock = -1;
    e->backoff_ms = BACKOFF_FIRST_MS;
    e->began_ms = pst_mono_ms(opts->clock);
    pst_edged_brake_init(&e->brake, opts->brake_percent, opts->brake_min);
    e->braked = pst_edged_brake_note_read(opts->replica.dir, &note, NULL) == PST_OK;
    e->braked_ms = e->began_ms - BRAKED_MS; /* look at once whether it still holds */
    e->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (e->wake < 0)
        return pst_fail_sys(err, "making an event descriptor");
    int rc = take_lock(e, err);
    if (rc == PST_OK)
        rc = pst_edged_creds_load(&e->creds, opts->keys_dir, opts->rand, err);
    if (rc == PST_OK)
        rc = pst_edged_control_init(&e->control, opts->control_url, opts->ca_file, &e->stop, err);
    if (rc != PST_OK)
        return rc;
    *ret = pst_take(&e);
    return PST_OK;
}

void pst_edged_free(struct pst_edged *e)
{
    if (!e)
        return;
    pst_edged_join_end(e);
    pst_replica_close(e->replica);
    pst_edged_health_deinit(&e->health);
    pst_edged_control_deinit(&e->control);
    pst_edged_creds_deinit(&e->creds);
    pst_closep(&e->lock);
    pst_closep(&e->wake);
    pst_free(e);
}

void pst_edged_wake(struct pst_edged *e)
{
    /* A counter that is full wakes as well. */
    (void)!write(e->wake, &(uint64_t){1}, sizeof(uint64_t));
}

void pst_edged_stop(struct pst_edged *e)
{
    atomic_store(&e->stop, true);
    pst_edged_wake(e);
}

void pst_edged_set_brake(struct pst_edged *e, int64_t percent, int64_t min_n)
{
    e->brake.percent = percent;
    e->brake.min_n = min_n;
}

bool pst_edged_enrolled(const struct pst_edged *e)
{
    return e->creds.id[0] != '\0';
}

bool pst_edged_at(const struct pst_edged *e, struct pst_edged_cursor *ret)
{
    if (!e->replica)
        return false;
    *ret = e->at;
    return true;
}

/* ---- small files in the replica's folder ---- */

static char *note_path(const struct pst_edged *e, const char *file)
{
    return pst_asprintf("%s/%s", e->o->replica.dir, file);
}

/* "" when it is not there or not readable: these files only say what else would be done twice. */
static void note_read(const struct pst_edged *e, const char *file, char to[SCRATCH_MAX])
{
    auto_(pst_free) char *path = note_path(e, file);
    auto_buf struct pst_buf b = PST_BUF(SCRATCH_MAX - 1);

    to[0] = '\0';
    if (path && pst_io_read_file(path, &b, NULL) == PST_OK)
        pst_str_copy(to, SCRATCH_MAX, pst_buf_cstr(&b));
}

void pst_edged_note_write(const struct pst_edged *e, const char *file, const char *text)
{
    auto_(pst_free) char *path = note_path(e, file);
    struct pst_err err = {0};

    if (path && pst_io_write_file(path, text, strlen(text), 0600, &err) < 0)
        pst_log_err(EDGE, "note not written", &err);
}

/* How many runs in a row have ended badly, this one (so far) included. */
#define RUNS "runs"

/* ---- enrolment ---- */

int pst_edged_enrol(struct pst_edged *e, const struct pst_secret *token, struct pst_err *err)
{
    const struct pst_edged_enrolment ask = {
        .token = token,
        .name = e->o->name,
        .public_key = e->creds.box_public,
        .probe_address = e->o->probe_address,
    };
    auto_secret struct pst_secret bearer = {0};
    char id[PST_EDGED_ID_SIZE];

    if (pst_edged_enrolled(e))
        return PST_CONFLICT;
    int rc = pst_edged_control_enrol(&e->control, &ask, id, &bearer, err);
    if (rc == PST_OK)
        rc = pst_edged_creds_save(&e->creds, e->o->keys_dir, id, (const char *)bearer.data, err);
    if (rc == PST_OK)
        pst_log_info(EDGE, "enrolled", pst_kv_s("edge", id), pst_kv_s("name", e->o->name));
    return rc;
}

/* By the token file of the settings. */
static int step_enrol(struct pst_edged *e, int64_t *ret_wait_ms, struct pst_err *err)
{
    auto_secret struct pst_secret token = {0};

    *ret_wait_ms = PST_EDGED_SLOW_MS;
    if (!e->o->token_file || !*e->o->token_file)
        return pst_fail(err, PST_ECONFIG,
                        "this edge is not enrolled: run postern-edged enrol, or set "
                        "control.token_file");
    int rc = pst_edged_read_token(e->o->token_file, &token, err);
    if (rc == PST_OK)
        rc = pst_edged_enrol(e, &token, err);
    if (rc != PST_REFUSED && rc != PST_ECONFIG)
        *ret_wait_ms = 0;
    return rc == PST_CONFLICT ? pst_unexpected(err, rc, "enrolling") : rc;
}

/* ---- the replica at start ---- */

/* After runs that ended badly everything is read; after too many of them a new one is built. */
static int try_replica(struct pst_edged *e, struct pst_err *err)
{
    char text[SCRATCH_MAX];
    int64_t runs = 0;

    note_read(e, RUNS, text);
    (void)pst_parse_i64(text, 0, 1000, &runs);
    snprintf(text, sizeof text, "%" PRId64, runs + 1);
    pst_edged_note_write(e, RUNS, text);
    if (runs >= CRASHES_MAX)
        return pst_fail(err, PST_EINTERNAL, "%" PRId64 " runs in a row have ended badly", runs);
    return pst_edged_health_trial(&e->o->replica, runs > 0, err);
}

void pst_edged_settle(struct pst_edged *e)
{
    if (!e->settled)
        pst_edged_note_write(e, RUNS, "0");
    e->settled = true;
}

/* The state of what was opened; false: it cannot be followed from. */
static bool take_state(struct pst_edged *e)
{
    struct pst_replica_state s;
    char sealed_by[SCRATCH_MAX];
    struct pst_err err = {0};

    int rc = pst_replica_state(e->replica, &s, &err);
    if (rc != PST_OK || !pst_str_copy(e->at.epoch, sizeof e->at.epoch, s.epoch) ||
        !pst_str_copy(e->at.id, sizeof e->at.id, s.rev_id)) {
        pst_log_warn(EDGE, "the replica does not say where it stands");
        return false;
    }
    e->at.rev = (int64_t)s.rev;
    e->floor = s.committed_at;
    note_read(e, SEALED_BY, sealed_by);
    if (!pst_streq(sealed_by, e->creds.local_id)) {
        pst_log_warn(EDGE, "the replica was sealed with another local.key; nginx must be "
                           "restarted when the new one is there");
        return false;
    }
    return true;
}

void pst_edged_damaged(struct pst_edged *e, const struct pst_err *err)
{
    pst_log_err(EDGE, "replica damaged: building a new one", err);
    pst_replica_close(e->replica);
    e->replica = NULL;
    e->must_join = true;
}

static int step_open(struct pst_edged *e, struct pst_err *err)
{
    int rc = try_replica(e, err);
    if (rc == PST_OK)
        rc = pst_replica_open(&e->replica, &e->o->replica, err);
    if (rc == PST_EINTERNAL) {
        pst_edged_damaged(e, err);
    } else if (rc == PST_NOTFOUND) {
        pst_log_info(EDGE, "there is no replica yet");
        e->must_join = true;
    } else if (rc < 0) {
        return rc;
    } else {
        e->must_join = !take_state(e);
        rc = pst_edged_health_mark(&e->health, e->o->replica.dir, err);
        if (rc < 0)
            return rc;
    }
    e->opened = true;
    if (e->replica && !e->must_join)
        pst_log_info(EDGE, "replica opened", pst_kv_s("build", pst_replica_build_id(e->replica)),
                     pst_kv_i("rev", e->at.rev));
    return PST_OK;
}

/* ---- time ---- */

/*
 * What a commit says of the time.  It is the floor of the workers' clock, so it must not fall when
 * this machine's clock is set back by mistake (no battery, no network yet), and must not stay up
 * for ever when it was ahead by mistake: it falls when the control plane's clock agrees.
 */
static int64_t commit_time(const struct pst_edged *e, int64_t server_at)
{
    int64_t now = pst_now(e->o->clock);
    int64_t off = server_at > now ? server_at - now : now - server_at;

    if (now >= e->floor || (server_at > 0 && off <= CLOCK_AGREES_S))
        return now;
    return e->floor;
}

/* ---- the brake ---- */

static void brake_release(struct pst_edged *e, const char *why)
{
    if (!e->braked)
        return;
    e->braked = false;
    pst_edged_brake_note_clear(e->o->replica.dir);
    pst_log_warn(EDGE, "the brake is released", pst_kv_s("why", why));
}

int pst_edged_brake_ask(struct pst_edged *e, int64_t names_n, int64_t *io_lost_n,
                        struct pst_err *err)
{
    int64_t mono = pst_mono_ms(e->o->clock), sum;

    if (!pst_edged_brake_holds(&e->brake, mono, names_n, *io_lost_n, &sum)) {
        brake_release(e, "the names are back");
        return PST_OK;
    }
    if (e->braked && pst_edged_brake_accepted(e->o->replica.dir)) {
        pst_edged_brake_reset(&e->brake);
        brake_release(e, "accepted");
        *io_lost_n = 0;
        return PST_OK;
    }

    const struct pst_edged_brake_note n = {
        .since = pst_now(e->o->clock), .lost_n = sum, .of_n = names_n};
    struct pst_edged_brake_note before;
    pst_log_error(EDGE,
                  "BRAKE: too many names would go; the replica stays as it is until they are back "
                  "or somebody runs postern-edged accept",
                  pst_kv_i("lost", sum), pst_kv_i("names", names_n),
                  pst_kv_i("percent", e->brake.percent));
    int rc = pst_edged_brake_note_read(e->o->replica.dir, &before, err);
    if (rc != PST_OK)
        rc = pst_edged_brake_note_write(e->o->replica.dir, &n, err);
    if (rc < 0)
        return rc;
    e->braked = true;
    e->braked_ms = mono;
    pst_service_notify("STATUS=Brake: too many names would go");
    return PST_NOTYET;
}

/* While it holds: is it time to look again? */
static bool brake_waits(const struct pst_edged *e)
{
    return e->braked && pst_mono_ms(e->o->clock) - e->braked_ms < BRAKED_MS &&
           !pst_edged_brake_accepted(e->o->replica.dir);
}

/* ---- commits ---- */

int pst_edged_commit(struct pst_edged *e, struct pst_replica *r, const struct pst_edged_cursor *at,
                     int64_t server_at, struct pst_err *err)
{
    struct pst_replica_state s = {.rev = (uint64_t)at->rev,
                                  .committed_at = commit_time(e, server_at)};

    pst_str_copy(s.epoch, sizeof s.epoch, at->epoch);
    pst_str_copy(s.rev_id, sizeof s.rev_id, at->id);
    int rc = pst_replica_set_state(r, &s, err);
    if (rc == PST_OK)
        rc = pst_replica_commit(r, err);
    if (rc == PST_OK)
        e->floor = s.committed_at;
    return rc;
}

/* ---- following ---- */

/* Apply a page to the current build.  PST_NOTYET: the brake holds. */
static int follow_apply(struct pst_edged *e, const struct pst_edged_page *page,
                        struct pst_edged_applied *ret, struct pst_err *err)
{
    uint64_t names_n = 0;

    int rc = pst_replica_count(e->replica, PST_REPLICA_NAME, &names_n, err);
    if (rc == PST_OK)
        rc = pst_replica_begin(e->replica, err);
    if (rc == PST_OK)
        rc = pst_edged_apply(e->replica, &e->creds, page, ret, err);
    if (rc == PST_OK)
        rc = pst_edged_brake_ask(e, (int64_t)names_n, &ret->lost_n, err);
    if (rc == PST_OK)
        rc = pst_edged_commit(e, e->replica, &page->at, page->server_at, err);
    if (rc != PST_OK)
        pst_replica_drop(e->replica);
    return rc;
}

/* Faults of the replica: a damaged one is built anew, a stubborn one too unless the disk is full.
 */
static int follow_fault(struct pst_edged *e, int rc, struct pst_err *err)
{
    bool no_room = err->sys == ENOSPC || err->sys == EDQUOT || err->sys == EROFS;

    if (rc == PST_EINTERNAL) {
        pst_edged_damaged(e, err);
        return rc;
    }
    if ((rc == PST_EDB || rc == PST_ESYS) && !no_room && ++e->faults_n >= STUBBORN_FAULTS) {
        pst_log_err(EDGE, "the replica cannot be written: building a new one", err);
        e->faults_n = 0;
        e->must_join = true;
    }
    return rc;
}

static int follow_page(struct pst_edged *e, const struct pst_edged_page *page, struct pst_err *err)
{
    struct pst_edged_applied done = {0};
    int64_t began = pst_mono_ms(e->o->clock);

    int rc = follow_apply(e, page, &done, err);
    if (rc == PST_NOTYET)
        return PST_OK;
    if (rc != PST_OK)
        return follow_fault(e, rc, err);
    e->at = page->at;
    e->faults_n = 0;
    e->committed_ms = pst_mono_ms(e->o->clock);
    pst_edged_brake_count(&e->brake, e->committed_ms, done.lost_n);
    pst_log_debug(EDGE, "changes applied", pst_kv_i("rev", e->at.rev),
                  pst_kv_i("objects", done.objects_n),
                  pst_kv_i("took_ms", e->committed_ms - began));
    return PST_OK;
}

/* Nothing came: once a minute the clock's floor moves on all the same. */
static int follow_nothing(struct pst_edged *e, const struct pst_edged_page *page,
                          struct pst_err *err)
{
    brake_release(e, "the names are back");
    if (pst_mono_ms(e->o->clock) - e->committed_ms < UPKEEP_MS)
        return PST_OK;
    return follow_page(e, page, err);
}

static void upkeep(struct pst_edged *e)
{
    int64_t mono = pst_mono_ms(e->o->clock);
    struct pst_err err = {0};

    if (mono - e->began_ms >= SETTLED_MS)
        pst_edged_settle(e);
    if (mono - e->upkeep_ms < UPKEEP_MS)
        return;
    e->upkeep_ms = mono;
    if (pst_replica_check_readers(e->replica, NULL, &err) < 0 ||
        pst_replica_prune(e->replica, &err) < 0)
        pst_log_err(EDGE, "upkeep of the replica", &err);
}

/* PST_OK: follow it; PST_DONE: it cannot be followed, a new one will be built. */
static int follow_health(struct pst_edged *e, struct pst_err *err)
{
    int rc = pst_edged_health_check(&e->health, err);

    if (rc == PST_OK)
        return PST_OK;
    if (rc == PST_EINTERNAL) {
        pst_edged_damaged(e, err);
    } else {
        pst_log_error(EDGE, "the replica is gone: building a new one",
                      pst_kv_s("dir", e->o->replica.dir));
        e->must_join = true; /* the open one is told that it is superseded */
    }
    return PST_DONE;
}

static int step_follow(struct pst_edged *e, int64_t *ret_wait_ms, struct pst_err *err)
{
    auto_page struct pst_edged_page page = {0};
    unsigned wait_s = e->o->poll_s ? e->o->poll_s : PST_EDGED_POLL_S;
    int64_t began = pst_mono_ms(e->o->clock);

    if (follow_health(e, err) == PST_DONE)
        return PST_OK;
    upkeep(e);
    int rc = pst_edged_control_changes(&e->control, &e->creds.token, &e->at, e->braked ? 0 : wait_s,
                                       e->braked, &page, err);
    if (rc == PST_NOTFOUND) {
        pst_log_warn(EDGE, "the control plane does not know our revision: resync",
                     pst_kv_s("epoch", e->at.epoch), pst_kv_i("rev", e->at.rev));
        e->must_join = true;
        return PST_NOTYET;
    }
    if (rc != PST_OK)
        return rc;
    if (follow_health(e, err) == PST_DONE) /* a poll takes long enough for it to go */
        return PST_OK;
    if (page.at.rev > e->at.rev)
        return follow_page(e, &page, err);
    if (pst_mono_ms(e->o->clock) - began < IDLE_MS)
        *ret_wait_ms = IDLE_MS;
    return follow_nothing(e, &page, err);
}

/* ---- steps ---- */

/* Doubling, with up to a quarter less, so that many edges do not come at once. */
static int64_t back_off(struct pst_edged *e)
{
    int64_t wait = e->backoff_ms;

    e->backoff_ms = wait * 2 > BACKOFF_MAX_MS ? BACKOFF_MAX_MS : wait * 2;
    return wait - (int64_t)pst_rand_below(e->o->rand, (uint64_t)wait / 4 + 1);
}

/* The same fault again and again is said once a minute. */
static void tell_fault(struct pst_edged *e, int rc, const struct pst_err *err)
{
    int64_t mono = pst_mono_ms(e->o->clock);
    char text[sizeof e->said];

    e->away = rc == PST_ENET;
    snprintf(text, sizeof text, "%.190s", err->text);
    if (pst_streq(text, e->said) && mono - e->said_ms < SAY_MS)
        return;
    if (rc == PST_ENET && atomic_load(&e->stop))
        return;
    pst_str_copy(e->said, sizeof e->said, text);
    e->said_ms = mono;
    pst_log_err(EDGE, rc == PST_ENET ? "control plane not reached; all is kept" : "step failed",
                err);
}

static void tell_success(struct pst_edged *e)
{
    char status[128];

    if (e->away)
        pst_log_info(EDGE, "control plane reached again");
    e->away = false;
    e->said[0] = '\0';
    e->backoff_ms = BACKOFF_FIRST_MS;
    if (!e->replica || e->must_join || e->braked) {
        e->following = false;
        return;
    }
    snprintf(status, sizeof status, "STATUS=Following at revision %" PRId64, e->at.rev);
    pst_service_notify(status);
    if (!e->following)
        pst_log_info(EDGE, "following", pst_kv_s("epoch", e->at.epoch), pst_kv_i("rev", e->at.rev));
    e->following = true;
}

/* PST_OK; PST_NOTYET: begin something again, after a wait; faults. */
static int step(struct pst_edged *e, int64_t *ret_wait_ms, struct pst_err *err)
{
    if (brake_waits(e)) {
        *ret_wait_ms = ACCEPT_MS;
        return PST_OK;
    }
    if (!e->opened)
        return step_open(e, err);
    if (!pst_edged_enrolled(e))
        return step_enrol(e, ret_wait_ms, err);
    if (e->must_join || e->join.fresh)
        return pst_edged_join_step(e, ret_wait_ms, err);
    return step_follow(e, ret_wait_ms, err);
}

int64_t pst_edged_step(struct pst_edged *e, int *ret_rc)
{
    struct pst_err err = {0};
    int64_t wait_ms = 0;

    int rc = step(e, &wait_ms, &err);
    if (rc == PST_OK)
        tell_success(e);
    else if (rc != PST_NOTYET)
        tell_fault(e, rc, &err);
    if (rc != PST_OK && wait_ms <= 0)
        wait_ms = back_off(e);
    if (ret_rc)
        *ret_rc = rc;
    return wait_ms;
}

void pst_edged_run(struct pst_edged *e)
{
    struct pollfd p = {.fd = e->wake, .events = POLLIN};
    uint64_t woken;

    while (!atomic_load(&e->stop)) {
        pst_service_notify("WATCHDOG=1");
        int64_t wait_ms = pst_edged_step(e, NULL);
        if (wait_ms > 0 && poll(&p, 1, (int)wait_ms) > 0)
            (void)!read(e->wake, &woken, sizeof woken);
    }
    pst_edged_note_write(e, RUNS, "0");
}
