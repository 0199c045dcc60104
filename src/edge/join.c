/* join.c - the resync: a snapshot into a new build, catching up, taking the old one's place. */
#include <string.h>

#include "sync_internal.h"

void pst_edged_join_end(struct pst_edged *e)
{
    pst_replica_close(e->join.fresh);
    e->join = (struct joining){0};
}

/* A page into the new build. */
static int join_apply(struct pst_edged *e, const struct pst_edged_page *page,
                      const struct pst_edged_cursor *at, struct pst_err *err)
{
    struct pst_edged_applied done;

    int rc = pst_replica_begin(e->join.fresh, err);
    if (rc == PST_OK)
        rc = pst_edged_apply(e->join.fresh, &e->creds, page, &done, err);
    if (rc == PST_OK)
        rc = pst_edged_commit(e, e->join.fresh, at, page->server_at, err);
    if (rc != PST_OK) {
        pst_replica_drop(e->join.fresh);
        return rc;
    }
    e->join.at = *at;
    e->join.objects_n += done.objects_n;
    return PST_OK;
}

static int join_begin(struct pst_edged *e, struct pst_err *err)
{
    int rc = pst_replica_new_build(&e->join.fresh, &e->o->replica, e->o->rand, err);
    if (rc != PST_OK)
        return rc;
    e->join.began_ms = pst_mono_ms(e->o->clock);
    pst_log_info(EDGE, "resync begins", pst_kv_s("build", pst_replica_build_id(e->join.fresh)));
    pst_service_notify("STATUS=Taking a snapshot");
    return PST_OK;
}

/* One page of the snapshot.  The first one says from where to follow afterwards.  PST_NOTYET: it
 * must begin again. */
static int join_snapshot(struct pst_edged *e, struct pst_err *err)
{
    struct joining *j = &e->join;
    auto_page struct pst_edged_page page = {0};

    int rc = pst_edged_control_snapshot(&e->control, &e->creds.token, j->after, &page, err);
    if (rc != PST_OK)
        return rc;
    if (j->began && !pst_streq(page.at.epoch, j->at.epoch)) {
        pst_log_warn(EDGE, "the feed has a new epoch: the resync begins again");
        pst_edged_join_end(e);
        return PST_NOTYET;
    }
    if (page.next[0] && strcmp(page.next, j->after) <= 0)
        return pst_fail(err, PST_EINPUT, "a page of the snapshot: next: does not move on");

    const struct pst_edged_cursor at = j->began ? j->at : page.at;
    rc = join_apply(e, &page, &at, err);
    if (rc != PST_OK)
        return rc;
    j->began = true;
    j->loaded = !page.next[0];
    pst_str_copy(j->after, sizeof j->after, page.next);
    return PST_OK;
}

struct losses {
    struct pst_replica *fresh;
    int64_t n;
    int rc;
    struct pst_err *err;
};

static bool count_loss(void *arg, const char *key)
{
    struct losses *l = arg;

    l->rc = pst_replica_has(l->fresh, PST_REPLICA_NAME, key, NULL, l->err);
    if (l->rc == PST_NOTFOUND)
        l->n++;
    return l->rc >= 0;
}

/* How many names of the current build the new one lacks; a current one that cannot be read any
 * more has nothing to lose. */
static int join_losses(struct pst_edged *e, int64_t *ret_names_n, int64_t *ret_lost_n,
                       struct pst_err *err)
{
    struct losses l = {.fresh = e->join.fresh, .err = err};
    struct pst_err ignored = {0};
    uint64_t names_n = 0;

    *ret_names_n = *ret_lost_n = 0;
    if (!e->replica)
        return PST_OK;
    int rc = pst_replica_count(e->replica, PST_REPLICA_NAME, &names_n, &ignored);
    if (rc == PST_OK)
        rc = pst_replica_keys(e->replica, PST_REPLICA_NAME, count_loss, &l, &ignored);
    if (l.rc < 0)
        return l.rc;
    if (rc != PST_OK) {
        pst_edged_damaged(e, &ignored);
        return PST_OK;
    }
    *ret_names_n = (int64_t)names_n;
    *ret_lost_n = l.n;
    return PST_OK;
}

/* The new build takes the current one's place. */
static int join_publish(struct pst_edged *e, struct pst_err *err)
{
    struct pst_replica *fresh = e->join.fresh;

    int rc = pst_replica_publish(fresh, e->replica, err);
    if (rc == PST_EINTERNAL && e->replica) {
        pst_edged_damaged(e, err);
        rc = pst_replica_publish(fresh, NULL, err);
    }
    if (rc != PST_OK)
        return rc;
    pst_log_info(EDGE, "replica built", pst_kv_s("build", pst_replica_build_id(fresh)),
                 pst_kv_i("rev", e->join.at.rev), pst_kv_i("objects", e->join.objects_n),
                 pst_kv_i("took_ms", pst_mono_ms(e->o->clock) - e->join.began_ms));
    pst_replica_close(e->replica);
    e->replica = pst_take(&e->join.fresh);
    e->at = e->join.at;
    e->committed_ms = pst_mono_ms(e->o->clock);
    e->must_join = false;
    pst_edged_join_end(e);
    pst_edged_note_write(e, SEALED_BY, e->creds.local_id);
    pst_edged_settle(e);
    if (pst_replica_prune(e->replica, err) < 0)
        pst_log_err(EDGE, "old builds not removed", err);
    pst_err_clear(err);
    return pst_edged_health_mark(&e->health, e->o->replica.dir, err);
}

static int join_finish(struct pst_edged *e, struct pst_err *err)
{
    int64_t names_n, lost_n;

    int rc = join_losses(e, &names_n, &lost_n, err);
    if (rc == PST_OK)
        rc = pst_edged_brake_ask(e, names_n, &lost_n, err);
    if (rc == PST_NOTYET) {
        pst_edged_join_end(e);
        return PST_OK;
    }
    if (rc == PST_OK)
        rc = join_publish(e, err);
    if (rc == PST_OK)
        pst_edged_brake_count(&e->brake, pst_mono_ms(e->o->clock), lost_n);
    return rc;
}

/* What changed while the snapshot was taken.  The cursor is no acknowledgement yet: the workers
 * still read the old build.  PST_NOTYET: it must begin again. */
static int join_catch_up(struct pst_edged *e, struct pst_err *err)
{
    auto_page struct pst_edged_page page = {0};

    int rc =
        pst_edged_control_changes(&e->control, &e->creds.token, &e->join.at, 0, true, &page, err);
    if (rc == PST_NOTFOUND) {
        pst_log_warn(EDGE,
                     "the snapshot's revision is not known any more: the resync begins again");
        pst_edged_join_end(e);
        return PST_NOTYET;
    }
    if (rc == PST_OK && page.at.rev > e->join.at.rev)
        rc = join_apply(e, &page, &page.at, err);
    if (rc == PST_OK && !page.more)
        rc = join_finish(e, err);
    return rc;
}

/* What is wrong with the control plane passes, and the build waits for it; what is wrong here (the
 * disk is full) gives its room back first. */
static bool is_ours(int rc)
{
    return rc == PST_ESYS || rc == PST_EDB || rc == PST_EINTERNAL || rc == PST_ECONFIG;
}

int pst_edged_join_step(struct pst_edged *e, int64_t *ret_wait_ms, struct pst_err *err)
{
    int rc;

    if (!e->join.fresh)
        rc = join_begin(e, err);
    else if (e->join.loaded)
        rc = join_catch_up(e, err);
    else
        rc = join_snapshot(e, err);
    if (is_ours(rc)) {
        pst_edged_join_end(e);
        *ret_wait_ms = PST_EDGED_SLOW_MS;
    }
    return rc;
}
