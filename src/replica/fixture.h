/*
 * fixture.h - a replica in a temporary folder, for the tests of this module.
 */
#ifndef POSTERN_REPLICA_FIXTURE_H
#define POSTERN_REPLICA_FIXTURE_H

#include "pst_test.h"

#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <postern/base.h>
#include <postern/replica.h>
#include <postern/replica_reader.h>

struct fixture {
    char dir[64];
    struct pst_replica_opts opts;
    struct pst_err err;
};

static inline int fixture_unlink(const char *path, const struct stat *s, int type, struct FTW *ftw)
{
    return remove(path);
}

static inline void fixture_remove(const char *path)
{
    (void)nftw(path, fixture_unlink, 16, FTW_DEPTH | FTW_PHYS);
}

static inline int fixture_up(void **st)
{
    static struct fixture f;

    f = (struct fixture){.dir = "/tmp/pst-replica-XXXXXX"};
    if (!mkdtemp(f.dir))
        return -1;
    f.opts = (struct pst_replica_opts){.dir = f.dir, .map_bytes = 64u << 20};
    *st = &f;
    return 0;
}

static inline int fixture_down(void **st)
{
    fixture_remove(((struct fixture *)*st)->dir);
    return 0;
}

static inline void put_sample(struct fixture *f, struct pst_replica *r, const char *name,
                              uint64_t generation, const char *app)
{
    struct pst_replica_name n = {.step_n = 1, .acme = true};

    (void)snprintf(n.app, sizeof n.app, "%s", app);
    n.steps[0] =
        (struct pst_replica_step){.cert = generation, .not_after = 1000, .key = PST_REPLICA_P256};
    assert_ok(pst_replica_put_name(r, name, generation, &n, &f->err), f->err);
}

static inline void put_state(struct fixture *f, struct pst_replica *r, uint64_t rev)
{
    struct pst_replica_state s = {
        .epoch = "epoch-1", .rev = rev, .rev_id = "id", .committed_at = (int64_t)(1000 + rev)};

    assert_ok(pst_replica_set_state(r, &s, &f->err), f->err);
}

/* A build with `n` names n000000.test ..., published. */
static inline struct pst_replica *build_with(struct fixture *f, unsigned n, const char *app,
                                             struct pst_replica *old)
{
    struct pst_replica *r = NULL;
    char name[32];

    assert_ok(pst_replica_new_build(&r, &f->opts, pst_rand_system(), &f->err), f->err);
    assert_ok(pst_replica_begin(r, &f->err), f->err);
    for (unsigned i = 0; i < n; i++) {
        (void)snprintf(name, sizeof name, "n%06u.test", i);
        put_sample(f, r, name, i + 1, app);
    }
    put_state(f, r, n);
    assert_ok(pst_replica_commit(r, &f->err), f->err);
    assert_ok(pst_replica_publish(r, old, &f->err), f->err);
    return r;
}

/* The app that the reader finds behind a name, or a word for the answer. */
static inline const char *app_of(struct pst_replica_reader *rd, const char *name)
{
    static struct pst_replica_name v;

    int rc = pst_replica_reader_name(rd, name, strlen(name), &v);
    switch (rc) {
    case PST_REPLICA_OK:
        return v.app;
    case PST_REPLICA_MISSING:
        return "(missing)";
    case PST_REPLICA_GONE:
        return "(gone)";
    case PST_REPLICA_DAMAGED:
        return "(damaged)";
    default:
        return "(fault)";
    }
}

#endif
