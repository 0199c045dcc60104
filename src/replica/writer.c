#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <limits.h>
#include <lmdb.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "guard_internal.h"
#include <postern/base.h>
#include <postern/replica.h>

enum { READER_SLOTS = 1024, MAP_GIB = 64, GROUP_BUF = 16384 };

struct pst_replica {
    char *root;   /* <dir>/v1 */
    char *folder; /* <dir>/v1/<build id> */
    char id[PST_ID_SIZE];
    MDB_env *env;
    MDB_txn *batch; /* NULL between batches */
    MDB_dbi dbi[PST_REPLICA_KIND__END];
    int lock;        /* the folder, held by flock */
    bool bulk;       /* new and unpublished: not synced, appended where possible */
    bool has_state;  /* of a bulk build: it may be published */
    bool failed_put; /* the batch can only be dropped */
    gid_t group;     /* (gid_t)-1: leave it */
    unsigned char record[PST_REPLICA_RECORD_MAX];
};

static const char *const databases[PST_REPLICA_KIND__END] = {
    [PST_REPLICA_NAME] = "names",
    [PST_REPLICA_APP] = "apps",
    [PST_REPLICA_CERT] = "certs",
    [PST_REPLICA_ISSUER] = "issuers",
    [PST_REPLICA_CHALLENGE] = "challenges",
    [PST_REPLICA_TICKET] = "tickets",
    [PST_REPLICA_META] = "meta",
};

/* LMDB's code as a fault.  Codes below zero are LMDB's own, above zero errno. */
static int fail_lmdb(struct pst_err *err, int code, const char *what)
{
    switch (code) {
    case ENOMEM:
        return pst_fail_nomem(err, what);
    case MDB_MAP_FULL:
        return pst_fail(err, PST_EDB, "%s: the replica's map is full (raise map_bytes)", what);
    case MDB_CORRUPTED:
    case MDB_PAGE_NOTFOUND:
    case MDB_INVALID:
    case MDB_VERSION_MISMATCH:
    case MDB_PANIC:
    case MDB_INCOMPATIBLE:
        return pst_fail(err, PST_EINTERNAL, "%s: the replica is damaged: %s", what,
                        mdb_strerror(code));
    default:
        if (code > 0) {
            errno = code;
            return pst_fail_sys(err, "%s", what);
        }
        return pst_fail(err, PST_EDB, "%s: %s", what, mdb_strerror(code));
    }
}

/* ---- folders and permissions ---- */

static int find_group(const char *name, gid_t *ret, struct pst_err *err)
{
    char buf[GROUP_BUF];
    struct group g, *found = NULL;

    if (!name) {
        *ret = (gid_t)-1;
        return PST_OK;
    }
    int rc = getgrnam_r(name, &g, buf, sizeof buf, &found);
    if (rc != 0 || !found)
        return pst_fail(err, PST_ECONFIG, "there is no group %s (the group of the nginx workers)",
                        name);
    *ret = found->gr_gid;
    return PST_OK;
}

static int make_folder(const char *path, gid_t group, struct pst_err *err)
{
    int rc = pst_io_mkdirs(path, 0750, err);
    if (rc < 0)
        return pst_wrap(err, "the replica's folder");
    if (group != (gid_t)-1 && chown(path, (uid_t)-1, group) < 0)
        return pst_fail_sys(err, "giving %s to the workers' group", path);
    return PST_OK;
}

/*
 * mdb_env_open() gives both files one mode; the lock file needs more, and umask may have cut.  By
 * path: closing a descriptor of the lock file would drop LMDB's locks on it, and nobody else may
 * write in the folder.
 */
static int set_mode(const char *folder, const char *file, mode_t mode, gid_t group,
                    struct pst_err *err)
{
    auto_(pst_free) char *path = pst_asprintf("%s/%s", folder, file);
    if (!path)
        return pst_fail_nomem(err, "a path");
    if (group != (gid_t)-1 && lchown(path, (uid_t)-1, group) < 0)
        return pst_fail_sys(err, "giving %s to the workers' group", path);
    if (chmod(path, mode) < 0)
        return pst_fail_sys(err, "setting the mode of %s", path);
    return PST_OK;
}

static int sync_folder(const char *path, struct pst_err *err)
{
    auto_close int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    if (fd < 0 || fsync(fd) < 0)
        return pst_fail_sys(err, "syncing %s", path);
    return PST_OK;
}

static void remove_build(const char *folder)
{
    static const char *const files[] = {"data.mdb", "lock.mdb"};

    for (size_t i = 0; i < PST_ARRAY_N(files); i++) {
        auto_(pst_free) char *path = pst_asprintf("%s/%s", folder, files[i]);
        if (path)
            (void)unlink(path);
    }
    (void)rmdir(folder);
}

static bool is_build_id(const char *s)
{
    size_t len = strspn(s, "0123456789abcdef");

    return len > 0 && len < PST_ID_SIZE && s[len] == '\0';
}

/* The build that `current` names.  PST_OK, PST_NOTFOUND, PST_ESYS, PST_EINTERNAL. */
static int read_current(const char *root, char ret_id[PST_ID_SIZE], struct pst_err *err)
{
    auto_(pst_free) char *link = pst_asprintf("%s/current", root);
    char id[PST_ID_SIZE + 1];

    if (!link)
        return pst_fail_nomem(err, "a path");
    ssize_t n = readlink(link, id, sizeof id - 1);
    if (n < 0 && errno == ENOENT)
        return PST_NOTFOUND;
    if (n < 0)
        return pst_fail_sys(err, "reading the link %s", link);
    id[n] = '\0';
    if (!is_build_id(id))
        return pst_fail(err, PST_EINTERNAL, "the link %s does not name a build", link);
    (void)pst_str_copy(ret_id, PST_ID_SIZE, id);
    return PST_OK;
}

/* ---- opening ---- */

void pst_replica_close(struct pst_replica *r)
{
    if (!r)
        return;
    pst_replica_drop(r);
    if (r->env)
        mdb_env_close(r->env);
    if (r->bulk && r->folder)
        remove_build(r->folder);
    pst_closep(&r->lock);
    pst_free(r->folder);
    pst_free(r->root);
    pst_free(r);
}
PST_CLEANUP(struct pst_replica, pst_replica_close);

static int new_handle(struct pst_replica **ret, const struct pst_replica_opts *opts,
                      struct pst_err *err)
{
    auto_(pst_replica_close) struct pst_replica *r = pst_zalloc(1, sizeof *r);
    if (!r)
        return pst_fail_nomem(err, "the replica");

    r->lock = -1;
    r->root = pst_asprintf("%s/" PST_REPLICA_FORMAT_DIR, opts->dir);
    if (!r->root)
        return pst_fail_nomem(err, "the replica");
    int rc = find_group(opts->group, &r->group, err);
    if (rc < 0)
        return rc;
    *ret = pst_take(&r);
    return PST_OK;
}

/* Hold the build's folder: two writers, or one that prunes, must not meet in it. */
static int lock_folder(struct pst_replica *r, struct pst_err *err)
{
    r->lock = open(r->folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (r->lock < 0)
        return pst_fail_sys(err, "opening %s", r->folder);
    if (flock(r->lock, LOCK_EX | LOCK_NB) == 0)
        return PST_OK;
    if (errno == EWOULDBLOCK)
        return pst_fail(err, PST_ECONFIG, "%s is open already: does another postern-edged run?",
                        r->folder);
    return pst_fail_sys(err, "locking %s", r->folder);
}

struct opening {
    struct pst_replica *r;
    const struct pst_replica_opts *opts;
};

/* 0, errno or LMDB's code.  Under the guard, since it reads pages that may be damaged. */
static int open_guarded(void *arg)
{
    const struct opening *o = arg;
    struct pst_replica *r = o->r;
    size_t map = o->opts->map_bytes ? o->opts->map_bytes : (uint64_t)MAP_GIB << 30;
    unsigned slots = o->opts->reader_slots ? o->opts->reader_slots : READER_SLOTS;
    MDB_txn *txn = NULL;

    int rc = mdb_env_create(&r->env);
    if (rc == 0)
        rc = mdb_env_set_assert(r->env, pst_replica_guard_assert);
    if (rc == 0)
        rc = mdb_env_set_maxdbs(r->env, PST_REPLICA_KIND__END);
    if (rc == 0)
        rc = mdb_env_set_mapsize(r->env, map);
    if (rc == 0)
        rc = mdb_env_set_maxreaders(r->env, slots);
    if (rc == 0)
        rc = mdb_env_open(r->env, r->folder, MDB_NOTLS | (r->bulk ? MDB_NOSYNC : 0), 0640);
    if (rc == 0)
        rc = mdb_txn_begin(r->env, NULL, 0, &txn);
    if (rc != 0)
        return rc;
    for (int i = 1; i < PST_REPLICA_KIND__END && rc == 0; i++)
        rc = mdb_dbi_open(txn, databases[i], r->bulk ? MDB_CREATE : 0, &r->dbi[i]);
    if (rc != 0) {
        mdb_txn_abort(txn);
        return rc == MDB_NOTFOUND ? MDB_INVALID : rc;
    }
    return mdb_txn_commit(txn);
}

static int open_build(struct pst_replica *r, const struct pst_replica_opts *opts,
                      struct pst_err *err)
{
    struct opening o = {.r = r, .opts = opts};

    pst_replica_guard_install();
    int rc = pst_replica_guarded(open_guarded, &o);
    if (rc == PST_REPLICA_FAULT) {
        r->env = NULL; /* in an unknown state: given up, not closed */
        return pst_fail(err, PST_EINTERNAL, "opening %s: the replica is damaged", r->folder);
    }
    if (rc != 0)
        return fail_lmdb(err, rc, r->folder);
    rc = set_mode(r->folder, "data.mdb", 0640, r->group, err);
    if (rc == PST_OK)
        rc = set_mode(r->folder, "lock.mdb", 0660, r->group, err);
    return rc;
}

static int name_build(struct pst_replica *r, const char *id, struct pst_err *err)
{
    (void)pst_str_copy(r->id, sizeof r->id, id);
    r->folder = pst_asprintf("%s/%s", r->root, id);
    return r->folder ? PST_OK : pst_fail_nomem(err, "the replica");
}

int pst_replica_open(struct pst_replica **ret, const struct pst_replica_opts *opts,
                     struct pst_err *err)
{
    auto_(pst_replica_close) struct pst_replica *r = NULL;
    char id[PST_ID_SIZE];

    int rc = new_handle(&r, opts, err);
    if (rc < 0)
        return rc;
    pst_require(r != NULL);
    rc = read_current(r->root, id, err);
    if (rc != PST_OK)
        return rc;
    rc = name_build(r, id, err);
    if (rc == PST_OK && access(r->folder, F_OK) < 0)
        return PST_NOTFOUND;
    if (rc == PST_OK)
        rc = lock_folder(r, err);
    if (rc == PST_OK)
        rc = open_build(r, opts, err);
    if (rc < 0)
        return rc;
    rc = pst_replica_check_readers(r, NULL, err);
    if (rc < 0)
        return rc;
    *ret = pst_take(&r);
    return PST_OK;
}

int pst_replica_new_build(struct pst_replica **ret, const struct pst_replica_opts *opts,
                          struct pst_rand *rnd, struct pst_err *err)
{
    auto_(pst_replica_close) struct pst_replica *r = NULL;
    char id[PST_ID_SIZE];

    int rc = new_handle(&r, opts, err);
    if (rc < 0)
        return rc;
    pst_require(r != NULL);
    pst_id_new(rnd, id);
    rc = make_folder(opts->dir, r->group, err);
    if (rc == PST_OK)
        rc = make_folder(r->root, r->group, err);
    if (rc == PST_OK)
        rc = name_build(r, id, err);
    if (rc == PST_OK)
        rc = make_folder(r->folder, r->group, err);
    if (rc < 0)
        return rc;
    r->bulk = true;
    rc = lock_folder(r, err);
    if (rc == PST_OK)
        rc = open_build(r, opts, err);
    if (rc < 0)
        return rc;
    *ret = pst_take(&r);
    return PST_OK;
}

const char *pst_replica_build_id(const struct pst_replica *r)
{
    return r->id;
}

/* ---- batches ---- */

int pst_replica_begin(struct pst_replica *r, struct pst_err *err)
{
    if (r->batch)
        return pst_fail(err, PST_EINTERNAL, "a batch of the replica is open already");
    int rc = mdb_txn_begin(r->env, NULL, 0, &r->batch);
    if (rc != 0) {
        r->batch = NULL;
        return fail_lmdb(err, rc, "beginning a batch");
    }
    r->failed_put = false;
    return PST_OK;
}

void pst_replica_drop(struct pst_replica *r)
{
    if (r->batch)
        mdb_txn_abort(r->batch);
    r->batch = NULL;
}

int pst_replica_commit(struct pst_replica *r, struct pst_err *err)
{
    if (!r->batch || r->failed_put) {
        pst_replica_drop(r);
        return pst_fail(err, PST_EINTERNAL, "there is no batch of the replica to commit");
    }
    int rc = mdb_txn_commit(pst_take(&r->batch)); /* released, whatever comes back */
    return rc == 0 ? PST_OK : fail_lmdb(err, rc, "committing a batch");
}

static int need_batch(struct pst_replica *r, struct pst_err *err)
{
    if (r->batch && !r->failed_put)
        return PST_OK;
    return pst_fail(err, PST_EINTERNAL, "the replica has no open batch");
}

/* Prepare what an encoder wants; the key's faults are the caller's input. */
static int prepare(struct pst_replica *r, int kind, const char *key, uint64_t generation,
                   struct pst_replica_key_bytes *key_bytes, struct pst_replica_out *ret,
                   struct pst_err *err)
{
    int rc = need_batch(r, err);
    if (rc < 0)
        return rc;
    if (pst_replica_key_from_text(kind, key, strlen(key), key_bytes) != PST_REPLICA_OK) {
        r->failed_put = true;
        return pst_fail(err, PST_EINPUT, "the replica cannot hold the %s key \"%.64s\"",
                        pst_replica_kind_name(kind), key);
    }
    *ret = (struct pst_replica_out){
        .to = r->record, .cap = sizeof r->record, .key = key_bytes, .generation = generation};
    return PST_OK;
}

static int store(struct pst_replica *r, int kind, const struct pst_replica_out *o, size_t len,
                 struct pst_err *err)
{
    MDB_val key = {o->key->len, (void *)o->key->data}, val = {len, r->record};
    int rc = MDB_KEYEXIST;

    if (r->bulk)
        rc = mdb_put(r->batch, r->dbi[kind], &key, &val, MDB_APPEND);
    if (rc == MDB_KEYEXIST) /* not appended: not bulk, or not the last key */
        rc = mdb_put(r->batch, r->dbi[kind], &key, &val, 0);
    if (rc == 0)
        return PST_OK;
    r->failed_put = true;
    return fail_lmdb(err, rc, "writing a record");
}

static int encode_failed(struct pst_replica *r, int kind, const char *key, struct pst_err *err)
{
    r->failed_put = true;
    return pst_fail(err, PST_EINPUT, "the %s \"%.64s\" has a value over a limit of the replica",
                    pst_replica_kind_name(kind), key);
}

/* All puts are alike but for the encoder and its type. */
#define PUT(r, kind, key, generation, encode, v, err)                                              \
    do {                                                                                           \
        struct pst_replica_key_bytes key_;                                                         \
        struct pst_replica_out out_;                                                               \
        size_t len_;                                                                               \
        int rc_ = prepare(r, kind, key, generation, &key_, &out_, err);                            \
        if (rc_ < 0)                                                                               \
            return rc_;                                                                            \
        if (encode(&out_, v, &len_) != PST_REPLICA_OK)                                             \
            return encode_failed(r, kind, key, err);                                               \
        return store(r, kind, &out_, len_, err);                                                   \
    } while (0)

int pst_replica_put_name(struct pst_replica *r, const char *key, uint64_t generation,
                         const struct pst_replica_name *v, struct pst_err *err)
{
    PUT(r, PST_REPLICA_NAME, key, generation, pst_replica_name_encode, v, err);
}

int pst_replica_put_app(struct pst_replica *r, const char *key, uint64_t generation,
                        const struct pst_replica_app *v, struct pst_err *err)
{
    PUT(r, PST_REPLICA_APP, key, generation, pst_replica_app_encode, v, err);
}

int pst_replica_put_cert(struct pst_replica *r, const char *key, uint64_t generation,
                         const struct pst_replica_cert *v, struct pst_err *err)
{
    PUT(r, PST_REPLICA_CERT, key, generation, pst_replica_cert_encode, v, err);
}

int pst_replica_put_issuer(struct pst_replica *r, const char *key, uint64_t generation,
                           const struct pst_replica_issuer *v, struct pst_err *err)
{
    PUT(r, PST_REPLICA_ISSUER, key, generation, pst_replica_issuer_encode, v, err);
}

int pst_replica_put_challenge(struct pst_replica *r, const char *key, uint64_t generation,
                              const struct pst_replica_challenge *v, struct pst_err *err)
{
    PUT(r, PST_REPLICA_CHALLENGE, key, generation, pst_replica_challenge_encode, v, err);
}

int pst_replica_put_ticket(struct pst_replica *r, const char *key, uint64_t generation,
                           const struct pst_replica_ticket *v, struct pst_err *err)
{
    PUT(r, PST_REPLICA_TICKET, key, generation, pst_replica_ticket_encode, v, err);
}

int pst_replica_put_default(struct pst_replica *r, uint64_t generation,
                            const struct pst_replica_default *v, struct pst_err *err)
{
    PUT(r, PST_REPLICA_META, PST_REPLICA_META_DEFAULT, generation, pst_replica_default_encode, v,
        err);
}

int pst_replica_put_probe(struct pst_replica *r, uint64_t generation,
                          const struct pst_replica_probe *v, struct pst_err *err)
{
    PUT(r, PST_REPLICA_META, PST_REPLICA_META_PROBE, generation, pst_replica_probe_encode, v, err);
}

int pst_replica_put_thumbprint(struct pst_replica *r, uint64_t generation,
                               const struct pst_replica_text *v, struct pst_err *err)
{
    PUT(r, PST_REPLICA_META, PST_REPLICA_META_THUMBPRINT, generation, pst_replica_text_encode, v,
        err);
}

static int put_state(struct pst_replica *r, const struct pst_replica_state *v, struct pst_err *err)
{
    PUT(r, PST_REPLICA_META, PST_REPLICA_META_STATE, v->rev, pst_replica_state_encode, v, err);
}

int pst_replica_set_state(struct pst_replica *r, const struct pst_replica_state *v,
                          struct pst_err *err)
{
    struct pst_replica_state s = *v;

    s.superseded = false;
    int rc = put_state(r, &s, err);
    if (rc == PST_OK)
        r->has_state = true;
    return rc;
}

int pst_replica_delete(struct pst_replica *r, int kind, const char *key, struct pst_err *err)
{
    struct pst_replica_key_bytes bytes;
    struct pst_replica_out o;

    int rc = prepare(r, kind, key, 0, &bytes, &o, err);
    if (rc < 0)
        return rc;
    MDB_val k = {bytes.len, bytes.data};
    rc = mdb_del(r->batch, r->dbi[kind], &k, NULL);
    if (rc == MDB_NOTFOUND)
        return PST_NOTFOUND;
    if (rc == 0)
        return PST_OK;
    r->failed_put = true;
    return fail_lmdb(err, rc, "deleting a record");
}

/* ---- reading, for the writer itself ---- */

/* The batch, or a read transaction of its own that end_read() ends. */
static int begin_read(struct pst_replica *r, MDB_txn **ret, struct pst_err *err)
{
    if (r->batch) {
        *ret = r->batch;
        return PST_OK;
    }
    int rc = mdb_txn_begin(r->env, NULL, MDB_RDONLY, ret);
    return rc == 0 ? PST_OK : fail_lmdb(err, rc, "reading the replica");
}

static void end_read(struct pst_replica *r, MDB_txn *txn)
{
    if (txn != r->batch)
        mdb_txn_abort(txn);
}

static int decode_state(const MDB_val *val, struct pst_replica_state *ret, struct pst_err *err)
{
    struct pst_replica_in in = {.data = val->mv_data,
                                .len = val->mv_size,
                                .key = PST_REPLICA_META_STATE,
                                .key_len = sizeof PST_REPLICA_META_STATE - 1};

    if (pst_replica_state_decode(&in, ret) != PST_REPLICA_OK)
        return pst_fail(err, PST_EINTERNAL, "the replica's state record is damaged");
    return PST_OK;
}

int pst_replica_state(struct pst_replica *r, struct pst_replica_state *ret, struct pst_err *err)
{
    MDB_val key = {sizeof PST_REPLICA_META_STATE - 1, (void *)PST_REPLICA_META_STATE}, val;
    MDB_txn *txn;

    int rc = begin_read(r, &txn, err);
    if (rc < 0)
        return rc;
    rc = mdb_get(txn, r->dbi[PST_REPLICA_META], &key, &val);
    if (rc == 0)
        rc = decode_state(&val, ret, err);
    else
        rc = rc == MDB_NOTFOUND ? PST_NOTFOUND : fail_lmdb(err, rc, "reading the state");
    end_read(r, txn);
    return rc;
}

int pst_replica_has(struct pst_replica *r, int kind, const char *key, uint64_t *ret_generation,
                    struct pst_err *err)
{
    struct pst_replica_key_bytes bytes;
    MDB_txn *txn;
    MDB_val val;

    if (pst_replica_key_from_text(kind, key, strlen(key), &bytes) != PST_REPLICA_OK)
        return PST_NOTFOUND; /* no such record can be there */
    int rc = begin_read(r, &txn, err);
    if (rc < 0)
        return rc;
    MDB_val k = {bytes.len, bytes.data};
    rc = mdb_get(txn, r->dbi[kind], &k, &val);
    if (rc == MDB_NOTFOUND) {
        rc = PST_NOTFOUND;
    } else if (rc != 0) {
        rc = fail_lmdb(err, rc, "reading a record");
    } else {
        struct pst_replica_in in = {
            .data = val.mv_data, .len = val.mv_size, .key = bytes.data, .key_len = bytes.len};
        if (pst_replica_check(&in, kind) != PST_REPLICA_OK)
            rc = pst_fail(err, PST_EINTERNAL, "the replica's record of %s \"%.64s\" is damaged",
                          pst_replica_kind_name(kind), key);
        else if (ret_generation)
            *ret_generation = pst_replica_generation(&in);
    }
    end_read(r, txn);
    return rc;
}

int pst_replica_count(struct pst_replica *r, int kind, uint64_t *ret_n, struct pst_err *err)
{
    MDB_txn *txn;
    MDB_stat stat;

    int rc = begin_read(r, &txn, err);
    if (rc < 0)
        return rc;
    rc = mdb_stat(txn, r->dbi[kind], &stat);
    end_read(r, txn);
    if (rc != 0)
        return fail_lmdb(err, rc, "counting records");
    *ret_n = stat.ms_entries;
    return PST_OK;
}

static int each_key(MDB_cursor *cursor, int kind, bool (*each)(void *arg, const char *key),
                    void *arg)
{
    char text[PST_REPLICA_KEY_MAX + 1];
    MDB_val key, val;
    int rc;

    while ((rc = mdb_cursor_get(cursor, &key, &val, MDB_NEXT)) == 0) {
        if (pst_replica_key_to_text(kind, key.mv_data, key.mv_size, text) != PST_REPLICA_OK)
            return MDB_CORRUPTED;
        if (!each(arg, text))
            return 0;
    }
    return rc == MDB_NOTFOUND ? 0 : rc;
}

int pst_replica_keys(struct pst_replica *r, int kind, bool (*each)(void *arg, const char *key),
                     void *arg, struct pst_err *err)
{
    MDB_cursor *cursor = NULL;
    MDB_txn *txn;

    int rc = begin_read(r, &txn, err);
    if (rc < 0)
        return rc;
    rc = mdb_cursor_open(txn, r->dbi[kind], &cursor);
    if (rc == 0) {
        rc = each_key(cursor, kind, each, arg);
        mdb_cursor_close(cursor);
    }
    end_read(r, txn);
    return rc == 0 ? PST_OK : fail_lmdb(err, rc, "listing records");
}

int pst_replica_check_readers(struct pst_replica *r, int *ret_n, struct pst_err *err)
{
    int dead = 0;

    int rc = mdb_reader_check(r->env, &dead);
    if (rc != 0)
        return fail_lmdb(err, rc, "checking the reader slots");
    if (ret_n)
        *ret_n = dead;
    return PST_OK;
}

/* ---- publishing ---- */

static int point_current(const struct pst_replica *r, struct pst_err *err)
{
    auto_(pst_free) char *link = pst_asprintf("%s/current", r->root);
    auto_(pst_free) char *tmp = pst_asprintf("%s/current.new", r->root);

    if (!link || !tmp)
        return pst_fail_nomem(err, "a path");
    if (unlink(tmp) < 0 && errno != ENOENT)
        return pst_fail_sys(err, "removing %s", tmp);
    if (symlink(r->id, tmp) < 0)
        return pst_fail_sys(err, "making the link %s", tmp);
    if (rename(tmp, link) < 0)
        return pst_fail_sys(err, "replacing the link %s", link);
    return sync_folder(r->root, err);
}

static int mark_superseded(struct pst_replica *old, struct pst_err *err)
{
    struct pst_replica_state s;

    pst_replica_drop(old);
    int rc = pst_replica_state(old, &s, err);
    if (rc == PST_NOTFOUND)
        return PST_OK; /* never had a state: no reader ever accepted it */
    if (rc < 0)
        return rc;
    s.superseded = true;
    rc = pst_replica_begin(old, err);
    if (rc == PST_OK)
        rc = put_state(old, &s, err);
    if (rc == PST_OK)
        rc = pst_replica_commit(old, err);
    return rc;
}

int pst_replica_publish(struct pst_replica *fresh, struct pst_replica *old, struct pst_err *err)
{
    if (fresh->batch || !fresh->has_state)
        return pst_fail(err, PST_EINTERNAL, "a build without a state cannot be published");

    if (fresh->bulk) {
        int rc = mdb_env_sync(fresh->env, 1);
        if (rc == 0)
            rc = mdb_env_set_flags(fresh->env, MDB_NOSYNC, 0);
        if (rc != 0)
            return fail_lmdb(err, rc, "syncing the new build");
        rc = sync_folder(fresh->folder, err);
        if (rc == PST_OK)
            rc = point_current(fresh, err);
        if (rc < 0)
            return rc;
        fresh->bulk = false; /* from here on it is not removed when it is closed */
    }
    if (!old)
        return PST_OK;
    int rc = mark_superseded(old, err);
    return rc < 0 ? pst_wrap(err, "marking the old build superseded") : PST_OK;
}

/* A build that nobody writes: removed.  One that somebody holds is left. */
static void prune_one(const char *root, const char *id)
{
    auto_(pst_free) char *folder = pst_asprintf("%s/%s", root, id);
    if (!folder)
        return;
    auto_close int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
    if (fd >= 0 && flock(fd, LOCK_EX | LOCK_NB) == 0)
        remove_build(folder);
}

int pst_replica_prune(struct pst_replica *r, struct pst_err *err)
{
    char current[PST_ID_SIZE];

    int rc = read_current(r->root, current, err);
    if (rc != PST_OK)
        return rc < 0 ? rc : PST_OK;
    DIR *d = opendir(r->root);
    if (!d)
        return pst_fail_sys(err, "listing %s", r->root);
    for (struct dirent *e; (e = readdir(d));) {
        if (is_build_id(e->d_name) && !pst_streq(e->d_name, current) &&
            !pst_streq(e->d_name, r->id))
            prune_one(r->root, e->d_name);
    }
    closedir(d);
    return PST_OK;
}
