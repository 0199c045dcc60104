#include <errno.h>
#include <limits.h>
#include <lmdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "guard_internal.h"
#include <postern/replica_reader.h>

enum { STATE_MAX = 1024, RETRY_MS = 1000, MAP_GIB = 64, PAGE_MIN = 4096 };

/* One open build.  Plain data, so that it can be moved and given up. */
struct build {
    MDB_env *env;
    MDB_txn *txn;        /* reset between look-ups; keeps its reader slot */
    MDB_cursor *tickets; /* renewed for each use */
    MDB_dbi dbi[PST_REPLICA_KIND__END];
    dev_t dev;
    ino_t ino;
};

struct pst_replica_reader {
    char *dir;
    struct build build;
    struct pst_replica_seen seen;
    bool superseded;
    unsigned retry_ms;
    int64_t next_check; /* monotonic ms: open again, or see whether `current` has moved */
    size_t state_len;   /* the state record as last seen: not decoded again while it is the same */
    unsigned char state[STATE_MAX];
    bool state_is_new;
    size_t record_len; /* the record that the last look-up found */
    unsigned char record[PST_REPLICA_RECORD_MAX];
    struct pst_replica_key_bytes key; /* its key */
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

static int64_t mono_ms(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC_COARSE, &ts);
    return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

int pst_replica_reader_new(struct pst_replica_reader **ret, const char *dir)
{
    struct pst_replica_reader *r = calloc(1, sizeof *r);

    if (!r || !(r->dir = strdup(dir))) {
        free(r);
        return PST_REPLICA_GONE;
    }
    pst_replica_guard_install();
    r->retry_ms = RETRY_MS;
    r->next_check = INT64_MIN;
    *ret = r;
    return PST_REPLICA_OK;
}

void pst_replica_reader_set_retry(struct pst_replica_reader *r, unsigned ms)
{
    r->retry_ms = ms;
    r->next_check = INT64_MIN;
}

/* ---- opening and letting go ---- */

/* Each may fault on its own in a file that is cut off; what cannot be released is leaked. */
static int close_cursor(void *arg)
{
    mdb_cursor_close(((struct build *)arg)->tickets);
    return PST_REPLICA_OK;
}

static int close_txn(void *arg)
{
    mdb_txn_abort(((struct build *)arg)->txn);
    return PST_REPLICA_OK;
}

static int close_env(void *arg)
{
    mdb_env_close(((struct build *)arg)->env);
    return PST_REPLICA_OK;
}

static void build_close(struct build *b)
{
    if (b->tickets)
        (void)pst_replica_guarded(close_cursor, b);
    if (b->txn)
        (void)pst_replica_guarded(close_txn, b);
    if (b->env)
        (void)pst_replica_guarded(close_env, b);
    *b = (struct build){0};
}

void pst_replica_reader_free(struct pst_replica_reader *r)
{
    if (!r)
        return;
    build_close(&r->build);
    free(r->dir);
    free(r);
}

static bool is_build_id(const char *s)
{
    size_t len = strspn(s, "0123456789abcdef");

    return len > 0 && len <= PST_REPLICA_ID_MAX && s[len] == '\0';
}

/* The folder that `current` names now.  The link is read once: opening through it could take the
 * data file of one build and the lock file of another.  0 or errno. */
static int current_path(const struct pst_replica_reader *r, char *to, size_t size)
{
    char link[PATH_MAX], id[PST_REPLICA_ID_MAX + 2];

    int n = snprintf(link, sizeof link, "%s/" PST_REPLICA_FORMAT_DIR "/current", r->dir);
    if (n < 0 || (size_t)n >= sizeof link)
        return ENAMETOOLONG;
    ssize_t len = readlink(link, id, sizeof id - 1);
    if (len < 0)
        return errno;
    id[len] = '\0';
    if (!is_build_id(id))
        return EINVAL;
    n = snprintf(to, size, "%s/" PST_REPLICA_FORMAT_DIR "/%s", r->dir, id);
    return n < 0 || (size_t)n >= size ? ENAMETOOLONG : 0;
}

/* LMDB maps both files; one that is cut off is better seen before.  0 or errno. */
static int file_state(const char *folder, const char *file, struct stat *ret)
{
    char path[PATH_MAX + 16];

    int n = snprintf(path, sizeof path, "%s/%s", folder, file);
    if (n < 0 || (size_t)n >= sizeof path)
        return ENAMETOOLONG;
    if (stat(path, ret) < 0)
        return errno;
    return S_ISREG(ret->st_mode) && ret->st_size >= PAGE_MIN ? 0 : EIO;
}

struct opening {
    const char *path;
    struct build *build;
};

/* 0, errno or an LMDB code; what was made stands in the build even on failure. */
static int open_guarded(void *arg)
{
    const struct opening *o = arg;
    struct build *b = o->build;

    int rc = mdb_env_create(&b->env);
    if (rc == 0)
        rc = mdb_env_set_assert(b->env, pst_replica_guard_assert);
    if (rc == 0)
        rc = mdb_env_set_maxdbs(b->env, PST_REPLICA_KIND__END);
    if (rc == 0)
        rc = mdb_env_set_mapsize(b->env, (size_t)MAP_GIB << 30);
    if (rc == 0)
        rc = mdb_env_open(b->env, o->path, MDB_RDONLY | MDB_NOTLS | MDB_NORDAHEAD, 0660);
    if (rc == 0)
        rc = mdb_txn_begin(b->env, NULL, MDB_RDONLY, &b->txn);
    for (int i = 1; i < PST_REPLICA_KIND__END && rc == 0; i++)
        rc = mdb_dbi_open(b->txn, databases[i], 0, &b->dbi[i]);
    if (rc != 0)
        return rc;
    /* Committed, not reset: handles opened in a transaction that is dropped are dropped too. */
    MDB_txn *txn = b->txn;
    b->txn = NULL;
    rc = mdb_txn_commit(txn);
    if (rc == 0)
        rc = mdb_txn_begin(b->env, NULL, MDB_RDONLY, &b->txn);
    if (rc == 0)
        rc = mdb_cursor_open(b->txn, b->dbi[PST_REPLICA_TICKET], &b->tickets);
    if (rc == 0)
        mdb_txn_reset(b->txn);
    return rc;
}

/* The state's bytes into r->state, if they changed.  In a transaction, under the guard. */
static int fetch_state(struct pst_replica_reader *r, const struct build *b)
{
    MDB_val key = {sizeof PST_REPLICA_META_STATE - 1, (void *)PST_REPLICA_META_STATE}, val;

    int rc = mdb_get(b->txn, b->dbi[PST_REPLICA_META], &key, &val);
    if (rc != 0)
        return rc;
    if (val.mv_size > STATE_MAX)
        return MDB_CORRUPTED;
    if (val.mv_size != r->state_len || memcmp(val.mv_data, r->state, val.mv_size) != 0) {
        memcpy(r->state, val.mv_data, val.mv_size);
        r->state_len = val.mv_size;
        r->state_is_new = true;
    }
    return 0;
}

static uint64_t hash_text(const char *s)
{
    uint64_t h = pst_replica_hash(0, s, strlen(s));

    return h ? h : 1;
}

/* Decode the state when it changed.  One that is damaged changes nothing but the count. */
static int take_state(struct pst_replica_reader *r)
{
    struct pst_replica_in in = {.data = r->state,
                                .len = r->state_len,
                                .key = PST_REPLICA_META_STATE,
                                .key_len = sizeof PST_REPLICA_META_STATE - 1};
    struct pst_replica_state s;

    if (!r->state_is_new)
        return 0;
    r->state_is_new = false;
    if (pst_replica_state_decode(&in, &s) != PST_REPLICA_OK) {
        r->seen.damaged_n++;
        return MDB_CORRUPTED;
    }
    if (s.superseded && !r->superseded)
        r->next_check = INT64_MIN; /* `current` names another build now: look at once */
    r->superseded = s.superseded;
    r->seen.epoch = hash_text(s.epoch);
    r->seen.rev = s.rev;
    r->seen.committed_at = s.committed_at;
    return 0;
}

struct state_call {
    struct pst_replica_reader *r;
    struct build *build;
};

static int state_guarded(void *arg)
{
    const struct state_call *c = arg;

    int rc = mdb_txn_renew(c->build->txn);
    if (rc != 0)
        return rc;
    rc = fetch_state(c->r, c->build);
    mdb_txn_reset(c->build->txn);
    return rc;
}

/* Open what `current` names and, if that works, let the old build go.  0, errno or LMDB's code. */
static int open_current(struct pst_replica_reader *r, const char *path, const struct stat *data)
{
    struct build fresh = {.dev = data->st_dev, .ino = data->st_ino};
    struct opening o = {.path = path, .build = &fresh};
    struct state_call c = {.r = r, .build = &fresh};

    int rc = pst_replica_guarded(open_guarded, &o);
    if (rc == 0) {
        r->state_len = 0;
        rc = pst_replica_guarded(state_guarded, &c);
        if (rc == 0)
            rc = take_state(r);
    }
    if (rc != 0) {
        build_close(&fresh);
        r->state_len = 0;
        return rc;
    }
    build_close(&r->build);
    r->build = fresh;
    r->seen.opened_n++;
    r->seen.is_open = 1;
    return 0;
}

/* At most once per retry_ms: open if nothing is open, or if `current` is another file. */
static void look_at_current(struct pst_replica_reader *r, int64_t now)
{
    char path[PATH_MAX];
    struct stat data, lock;

    r->next_check = now + r->retry_ms;
    int rc = current_path(r, path, sizeof path);
    if (rc == 0)
        rc = file_state(path, "data.mdb", &data);
    if (rc == 0 && r->build.env && data.st_dev == r->build.dev && data.st_ino == r->build.ino)
        return;
    if (rc == 0)
        rc = file_state(path, "lock.mdb", &lock);
    if (rc == 0)
        rc = open_current(r, path, &data);
    if (rc != 0) {
        r->seen.failed_n++;
        r->seen.last_errno = rc;
    }
}

static void let_go(struct pst_replica_reader *r)
{
    build_close(&r->build);
    r->state_len = 0;
    r->seen.is_open = 0;
    r->next_check = mono_ms() + r->retry_ms;
}

/* ---- look-ups ---- */

struct call {
    struct pst_replica_reader *r;
    int kind;
    bool next; /* the ticket after the key instead of the key's own record */
};

/* The first ticket after r->key; its key replaces r->key. */
static int next_ticket(struct pst_replica_reader *r, MDB_val *ret)
{
    struct build *b = &r->build;
    MDB_val key = {r->key.len, r->key.data};

    int rc = mdb_cursor_renew(b->txn, b->tickets);
    if (rc == 0)
        rc = mdb_cursor_get(b->tickets, &key, ret, r->key.len ? MDB_SET_RANGE : MDB_FIRST);
    if (rc == 0 && key.mv_size == r->key.len && memcmp(key.mv_data, r->key.data, r->key.len) == 0)
        rc = mdb_cursor_get(b->tickets, &key, ret, MDB_NEXT);
    if (rc != 0)
        return rc;
    if (key.mv_size > sizeof r->key.data)
        return MDB_CORRUPTED;
    memcpy(r->key.data, key.mv_data, key.mv_size);
    r->key.len = key.mv_size;
    return 0;
}

static int fetch_record(const struct call *c)
{
    struct pst_replica_reader *r = c->r;
    MDB_val key = {r->key.len, r->key.data}, val;

    int rc =
        c->next ? next_ticket(r, &val) : mdb_get(r->build.txn, r->build.dbi[c->kind], &key, &val);
    if (rc != 0)
        return rc;
    if (val.mv_size > sizeof r->record)
        return PST_REPLICA_DAMAGED;
    memcpy(r->record, val.mv_data, val.mv_size);
    r->record_len = val.mv_size;
    return 0;
}

static int lookup_guarded(void *arg)
{
    const struct call *c = arg;
    struct pst_replica_reader *r = c->r;

    int rc = mdb_txn_renew(r->build.txn);
    if (rc == MDB_MAP_RESIZED) {
        rc = mdb_env_set_mapsize(r->build.env, 0);
        if (rc == 0)
            rc = mdb_txn_renew(r->build.txn);
    }
    if (rc != 0)
        return rc;
    rc = fetch_state(r, &r->build);
    if (rc == 0)
        rc = fetch_record(c);
    mdb_txn_reset(r->build.txn);
    return rc;
}

static int lookup_once(const struct call *c)
{
    struct pst_replica_reader *r = c->r;

    if (!r->build.env)
        return PST_REPLICA_GONE;
    int rc = pst_replica_guarded(lookup_guarded, (void *)c);
    if (rc == PST_REPLICA_DAMAGED) {
        r->seen.damaged_n++;
    } else if (rc != 0 && rc != MDB_NOTFOUND) {
        r->seen.fault_n++;
        let_go(r);
        return PST_REPLICA_FAULT;
    }
    (void)take_state(r);
    return rc == MDB_NOTFOUND ? PST_REPLICA_MISSING : rc;
}

/* The record for r->key into r->record.  PST_REPLICA_OK, MISSING, DAMAGED, FAULT or GONE. */
static int lookup(struct pst_replica_reader *r, int kind, bool next)
{
    const struct call c = {.r = r, .kind = kind, .next = next};
    const struct pst_replica_key_bytes key = r->key;
    int64_t now = mono_ms();

    if (now >= r->next_check)
        look_at_current(r, now);
    int rc = lookup_once(&c);
    if (rc == PST_REPLICA_FAULT || !r->superseded || now < r->next_check)
        return rc;

    /* This look-up was the first to see that a newer build stands: ask that one.  If it cannot be
     * opened, the old one's answer must do until the next try. */
    uint64_t opened = r->seen.opened_n;
    look_at_current(r, now);
    if (r->seen.opened_n == opened)
        return rc;
    r->key = key;
    return lookup_once(&c);
}

static struct pst_replica_in found(const struct pst_replica_reader *r)
{
    return (struct pst_replica_in){
        .data = r->record, .len = r->record_len, .key = r->key.data, .key_len = r->key.len};
}

static int count_damage(struct pst_replica_reader *r, int rc)
{
    if (rc == PST_REPLICA_DAMAGED)
        r->seen.damaged_n++;
    return rc;
}

static int by_text(struct pst_replica_reader *r, int kind, const char *text, size_t len)
{
    int rc = pst_replica_key_from_text(kind, text, len, &r->key);

    return rc == PST_REPLICA_OK ? lookup(r, kind, false) : rc;
}

static int by_u64(struct pst_replica_reader *r, int kind, uint64_t id)
{
    pst_replica_key_from_u64(id, &r->key);
    return lookup(r, kind, false);
}

/* Each kind: look up, then decode from the reader's own memory. */
#define DECODE(r, rc, decode, ret)                                                                 \
    do {                                                                                           \
        struct pst_replica_in in_ = found(r);                                                      \
        if (rc == PST_REPLICA_OK)                                                                  \
            rc = count_damage(r, decode(&in_, ret));                                               \
        return rc;                                                                                 \
    } while (0)

int pst_replica_reader_name(struct pst_replica_reader *r, const char *name, size_t len,
                            struct pst_replica_name *ret)
{
    int rc = by_text(r, PST_REPLICA_NAME, name, len);
    DECODE(r, rc, pst_replica_name_decode, ret);
}

int pst_replica_reader_app(struct pst_replica_reader *r, const char *id,
                           struct pst_replica_app *ret)
{
    int rc = by_text(r, PST_REPLICA_APP, id, strlen(id));
    DECODE(r, rc, pst_replica_app_decode, ret);
}

int pst_replica_reader_cert(struct pst_replica_reader *r, uint64_t id, struct pst_replica_cert *ret)
{
    int rc = by_u64(r, PST_REPLICA_CERT, id);
    DECODE(r, rc, pst_replica_cert_decode, ret);
}

int pst_replica_reader_issuer(struct pst_replica_reader *r, uint64_t id,
                              struct pst_replica_issuer *ret)
{
    int rc = by_u64(r, PST_REPLICA_ISSUER, id);
    DECODE(r, rc, pst_replica_issuer_decode, ret);
}

int pst_replica_reader_challenge(struct pst_replica_reader *r, const char *token, size_t len,
                                 struct pst_replica_challenge *ret)
{
    int rc = by_text(r, PST_REPLICA_CHALLENGE, token, len);
    DECODE(r, rc, pst_replica_challenge_decode, ret);
}

static int by_meta(struct pst_replica_reader *r, const char *key)
{
    return by_text(r, PST_REPLICA_META, key, strlen(key));
}

int pst_replica_reader_default(struct pst_replica_reader *r, struct pst_replica_default *ret)
{
    int rc = by_meta(r, PST_REPLICA_META_DEFAULT);
    DECODE(r, rc, pst_replica_default_decode, ret);
}

int pst_replica_reader_probe(struct pst_replica_reader *r, struct pst_replica_probe *ret)
{
    int rc = by_meta(r, PST_REPLICA_META_PROBE);
    DECODE(r, rc, pst_replica_probe_decode, ret);
}

int pst_replica_reader_thumbprint(struct pst_replica_reader *r, struct pst_replica_text *ret)
{
    int rc = by_meta(r, PST_REPLICA_META_THUMBPRINT);
    DECODE(r, rc, pst_replica_text_decode, ret);
}

int pst_replica_reader_state(struct pst_replica_reader *r, struct pst_replica_state *ret)
{
    int rc = by_meta(r, PST_REPLICA_META_STATE);
    DECODE(r, rc, pst_replica_state_decode, ret);
}

int pst_replica_reader_next_ticket(struct pst_replica_reader *r, char key[PST_REPLICA_KEY_MAX + 1],
                                   struct pst_replica_ticket *ret)
{
    size_t len = strnlen(key, PST_REPLICA_KEY_MAX);

    memcpy(r->key.data, key, len);
    r->key.len = len;
    int rc = lookup(r, PST_REPLICA_TICKET, true);
    if (rc != PST_REPLICA_OK)
        return rc;
    if (pst_replica_key_to_text(PST_REPLICA_TICKET, r->key.data, r->key.len, key) != PST_REPLICA_OK)
        return count_damage(r, PST_REPLICA_DAMAGED);
    struct pst_replica_in in = found(r);
    return count_damage(r, pst_replica_ticket_decode(&in, ret));
}

void pst_replica_reader_seen(const struct pst_replica_reader *r, struct pst_replica_seen *ret)
{
    *ret = r->seen;
}

/* ---- reading all ---- */

struct counting {
    struct build *build;
    int kind;
    uint64_t n;
};

static int count_guarded(void *arg)
{
    struct counting *c = arg;
    MDB_stat stat;

    int rc = mdb_txn_renew(c->build->txn);
    if (rc != 0)
        return rc;
    rc = mdb_stat(c->build->txn, c->build->dbi[c->kind], &stat);
    mdb_txn_reset(c->build->txn);
    if (rc == 0)
        c->n = stat.ms_entries;
    return rc;
}

int pst_replica_reader_count(struct pst_replica_reader *r, int kind, uint64_t *ret_n)
{
    struct counting c = {.build = &r->build, .kind = kind};
    int64_t now = mono_ms();

    if (kind < 1 || kind >= PST_REPLICA_KIND__END)
        return PST_REPLICA_BADKEY;
    if (now >= r->next_check)
        look_at_current(r, now);
    if (!r->build.env)
        return PST_REPLICA_GONE;
    if (pst_replica_guarded(count_guarded, &c) != 0) {
        r->seen.fault_n++;
        let_go(r);
        return PST_REPLICA_FAULT;
    }
    *ret_n = c.n;
    return PST_REPLICA_OK;
}

struct walk {
    struct pst_replica_reader *r;
    MDB_cursor *cursor; /* here, so that it is not lost when the walk breaks off */
    uint64_t n;
    uint64_t damaged_n;
};

static int walk_kind(struct walk *w, int kind)
{
    struct build *b = &w->r->build;
    MDB_stat stat;
    MDB_val key, val;

    int rc = mdb_stat(b->txn, b->dbi[kind], &stat);
    if (rc == 0)
        rc = mdb_cursor_open(b->txn, b->dbi[kind], &w->cursor);
    if (rc != 0)
        return rc;
    /* Counted, because damaged branches can form a very long way round. */
    for (size_t i = 0; i <= stat.ms_entries; i++) {
        rc = mdb_cursor_get(w->cursor, &key, &val, MDB_NEXT);
        if (rc != 0)
            break;
        struct pst_replica_in in = {
            .data = val.mv_data, .len = val.mv_size, .key = key.mv_data, .key_len = key.mv_size};
        w->n++;
        if (pst_replica_check(&in, kind) != PST_REPLICA_OK)
            w->damaged_n++;
    }
    mdb_cursor_close(w->cursor);
    w->cursor = NULL;
    return rc == MDB_NOTFOUND ? 0 : rc == 0 ? MDB_CORRUPTED : rc;
}

static int close_walk(void *arg)
{
    mdb_cursor_close(((struct walk *)arg)->cursor);
    return PST_REPLICA_OK;
}

static int walk_guarded(void *arg)
{
    struct walk *w = arg;

    int rc = mdb_txn_renew(w->r->build.txn);
    if (rc != 0)
        return rc;
    for (int kind = 1; kind < PST_REPLICA_KIND__END && rc == 0; kind++)
        rc = walk_kind(w, kind);
    mdb_txn_reset(w->r->build.txn);
    return rc;
}

int pst_replica_reader_verify(struct pst_replica_reader *r, uint64_t *ret_n,
                              uint64_t *ret_damaged_n)
{
    struct walk w = {.r = r};
    int64_t now = mono_ms();

    if (now >= r->next_check)
        look_at_current(r, now);
    if (!r->build.env)
        return PST_REPLICA_GONE;
    if (pst_replica_guarded(walk_guarded, &w) != 0) {
        if (w.cursor)
            (void)pst_replica_guarded(close_walk, &w);
        r->seen.fault_n++;
        let_go(r);
        return PST_REPLICA_FAULT;
    }
    *ret_n = w.n;
    *ret_damaged_n = w.damaged_n;
    return PST_REPLICA_OK;
}
