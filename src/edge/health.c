/* health.c - is the replica's file still the one that is open, and is it sound? */
#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <postern/replica_reader.h>

#include "edge_internal.h"

/* ---- the files ---- */

int pst_edged_health_mark(struct pst_edged_health *h, const char *replica_dir, struct pst_err *err)
{
    static const char *const names[PST_ARRAY_N(h->files)] = {"data.mdb", "lock.mdb"};

    pst_edged_health_deinit(h);
    for (size_t i = 0; i < PST_ARRAY_N(names); i++) {
        struct stat st;
        char *path =
            pst_asprintf("%s/" PST_REPLICA_FORMAT_DIR "/current/%s", replica_dir, names[i]);
        if (!path)
            return pst_fail_nomem(err, "a path");
        h->files[i].path = path;
        if (stat(path, &st) < 0)
            return pst_fail_sys(err, "looking at %s", path);
        h->files[i].dev = st.st_dev;
        h->files[i].ino = st.st_ino;
        h->files[i].size = st.st_size;
    }
    return PST_OK;
}

int pst_edged_health_check(struct pst_edged_health *h, struct pst_err *err)
{
    for (size_t i = 0; i < PST_ARRAY_N(h->files); i++) {
        struct stat st;

        if (!h->files[i].path || stat(h->files[i].path, &st) < 0 || st.st_dev != h->files[i].dev ||
            st.st_ino != h->files[i].ino)
            return PST_NOTFOUND;
        if (st.st_size < h->files[i].size)
            return pst_fail(err, PST_EINTERNAL, "%s was cut off", h->files[i].path);
        h->files[i].size = st.st_size;
    }
    return PST_OK;
}

void pst_edged_health_deinit(struct pst_edged_health *h)
{
    for (size_t i = 0; i < PST_ARRAY_N(h->files); i++)
        pst_free(h->files[i].path);
    *h = (struct pst_edged_health){0};
}

/* ---- the trial ---- */

enum trial { TRIAL_SOUND, TRIAL_DAMAGED, TRIAL_OTHER };

PST_CLEANUP(struct pst_replica, pst_replica_close);
PST_CLEANUP(struct pst_replica_reader, pst_replica_reader_free);

static enum trial read_all(const char *dir)
{
    auto_(pst_replica_reader_free) struct pst_replica_reader *r = NULL;
    uint64_t n, damaged_n = 0;

    if (pst_replica_reader_new(&r, dir) != PST_REPLICA_OK)
        return TRIAL_OTHER;
    int rc = pst_replica_reader_verify(r, &n, &damaged_n);
    return rc == PST_REPLICA_FAULT || damaged_n > 0 ? TRIAL_DAMAGED : TRIAL_SOUND;
}

/* The same state once more: a commit takes free pages and writes new ones. */
static int rewrite_state(struct pst_replica *r)
{
    struct pst_replica_state s;

    int rc = pst_replica_state(r, &s, NULL);
    if (rc != PST_OK)
        return rc;
    rc = pst_replica_begin(r, NULL);
    if (rc == PST_OK)
        rc = pst_replica_set_state(r, &s, NULL);
    return rc == PST_OK ? pst_replica_commit(r, NULL) : rc;
}

static enum trial try_to_write(const struct pst_replica_opts *o)
{
    auto_(pst_replica_close) struct pst_replica *r = NULL;

    int rc = pst_replica_open(&r, o, NULL);
    if (rc == PST_OK)
        rc = rewrite_state(r);
    if (rc == PST_OK || rc == PST_NOTFOUND)
        return TRIAL_SOUND;
    return rc == PST_EINTERNAL ? TRIAL_DAMAGED : TRIAL_OTHER;
}

_Noreturn static void child(const struct pst_replica_opts *o, bool all)
{
    enum trial t = all ? read_all(o->dir) : TRIAL_SOUND;

    if (t == TRIAL_SOUND)
        t = try_to_write(o);
    _exit((int)t);
}

int pst_edged_health_trial(const struct pst_replica_opts *o, bool all, struct pst_err *err)
{
    int status;

    pid_t pid = fork();
    if (pid < 0)
        return pst_fail_sys(err, "starting a process to look at the replica");
    if (pid == 0)
        child(o, all);
    while (waitpid(pid, &status, 0) < 0)
        if (errno != EINTR)
            return pst_fail_sys(err, "waiting for the process that looks at the replica");

    if (WIFSIGNALED(status))
        return pst_fail(err, PST_EINTERNAL, "the replica is damaged: reading it ends in signal %d",
                        WTERMSIG(status));
    if (WEXITSTATUS(status) == TRIAL_DAMAGED)
        return pst_fail(err, PST_EINTERNAL, "the replica is damaged");
    return PST_OK; /* what else is wrong shows, with its reason, when it is opened */
}
