/* keyring.c - the control plane's keys: a master key from a file, and the data keys it wraps. */
#include "crypto_internal.h"
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
    MASTERS_MAX = 8,
    DATA_KEYS_MAX = 1000,
    FILE_MAX = 4096,
    WRAP_VERSION = 1,
    AT_MASTER_ID = 1,
    AT_DATA_ID = 5,
    AT_WRAP_NONCE = 9,
    AT_WRAP_TEXT = 21,
};

#define MAGIC      "postern-master-key-v1"
#define CREDENTIAL "credential:"

struct key {
    uint32_t id;
    uint8_t secret[PST_AEAD_KEY];
};

struct pst_keyring {
    struct pst_rand *rand;
    size_t masters_n;
    struct key masters[MASTERS_MAX]; /* fixed once open */
    pthread_rwlock_t lock;           /* guards what follows */
    size_t keys_n;
    size_t sealing; /* index of the one that seals */
    struct key *keys;
};
PST_CLEANUP(struct pst_keyring, pst_keyring_free);

/* ---- the file ---- */

/* One line without its line end. */
static int parse_line(const char *line, size_t len, struct key *ret, struct pst_err *err)
{
    static const size_t at_id = sizeof MAGIC, at_key = sizeof MAGIC + 8 + 1;
    auto_buf_wipe struct pst_buf secret = PST_BUF(PST_AEAD_KEY);
    uint8_t id[4];
    char hex[9];

    if (len <= at_key || memcmp(line, MAGIC " ", at_id) != 0 || line[at_key - 1] != ' ')
        return pst_fail(err, PST_ECONFIG, "a line is not \"" MAGIC " <key id> <base64>\"");
    memcpy(hex, line + at_id, 8);
    hex[8] = 0;
    if (!pst_unhex(id, sizeof id, hex))
        return pst_fail(err, PST_ECONFIG, "a key id is not 8 hex digits");
    if (!pst_b64_decode(&secret, line + at_key, len - at_key) || secret.len != PST_AEAD_KEY)
        return pst_fail(err, PST_ECONFIG, "key %s is not 32 bytes in base64", hex);

    ret->id = (uint32_t)id[0] << 24 | (uint32_t)id[1] << 16 | (uint32_t)id[2] << 8 | id[3];
    memcpy(ret->secret, secret.data, sizeof ret->secret);
    return PST_OK;
}

static const struct key *find_master(const struct pst_keyring *kr, uint32_t id)
{
    for (size_t i = 0; i < kr->masters_n; i++)
        if (kr->masters[i].id == id)
            return &kr->masters[i];
    return NULL;
}

static int parse_file(struct pst_keyring *kr, const char *text, size_t len, struct pst_err *err)
{
    const char *end = text + len;

    while (text < end) {
        const char *nl = memchr(text, '\n', (size_t)(end - text));
        size_t n = (size_t)((nl ? nl : end) - text);
        struct key *key = &kr->masters[kr->masters_n];
        int rc;

        if (n > 0) {
            if (kr->masters_n == MASTERS_MAX)
                return pst_fail(err, PST_ECONFIG, "more than %d keys", MASTERS_MAX);
            rc = parse_line(text, n, key, err);
            if (rc < 0)
                return rc;
            if (find_master(kr, key->id))
                return pst_fail(err, PST_ECONFIG, "key %08x stands there twice", key->id);
            kr->masters_n++;
        }
        text += n + (nl ? 1 : 0);
    }
    if (kr->masters_n == 0)
        return pst_fail(err, PST_ECONFIG, "it holds no key");
    return PST_OK;
}

/* systemd opens a credential to the service by an access list, whose mask shows as group bits:
 * only others are refused. */
static int read_credential(const char *name, struct pst_buf *to, struct pst_err *err)
{
    const char *folder = getenv("CREDENTIALS_DIRECTORY");
    auto_(pst_free) char *path = NULL;
    auto_close int fd = -1;
    struct stat st;
    char text[FILE_MAX];
    size_t n = 0;
    int rc;

    if (!folder)
        return pst_fail(err, PST_ECONFIG,
                        "$CREDENTIALS_DIRECTORY is not set: give "
                        "LoadCredential= in the unit, or a path");
    if (!*name || strchr(name, '/'))
        return pst_fail(err, PST_ECONFIG, "a credential's name is one word without '/'");
    path = pst_asprintf("%s/%s", folder, name);
    if (!path)
        return pst_fail_nomem(err, "a path");

    fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
    if (fd < 0 && errno == ENOENT)
        return PST_NOTFOUND;
    if (fd < 0 || fstat(fd, &st) < 0)
        return pst_fail_sys(err, "opening %s", path);
    if (!S_ISREG(st.st_mode) || (st.st_mode & (S_IRWXO | S_IWGRP)) != 0)
        return pst_fail(err, PST_ECONFIG, "%s must be a file that others cannot use", path);

    rc = pst_io_read_full(fd, text, sizeof text, &n, err);
    if (rc == PST_OK)
        rc = n < sizeof text ? pst_out(to, text, n, "the credential", err)
                             : pst_fail(err, PST_ECONFIG, "%s is longer than a key file", path);
    pst_wipe(text, sizeof text);
    return rc;
}

static int read_master(const char *master_file, struct pst_buf *to, struct pst_err *err)
{
    int rc;

    if (pst_str_starts(master_file, CREDENTIAL))
        rc = read_credential(master_file + strlen(CREDENTIAL), to, err);
    else
        rc = pst_io_read_private_file(master_file, to, err);
    if (rc == PST_EINPUT)
        rc = pst_fail(err, PST_ECONFIG, "it is longer than a key file");
    return rc;
}

int pst_keyring_open(struct pst_keyring **ret, const char *master_file, struct pst_rand *rand,
                     struct pst_err *err)
{
    auto_buf_wipe struct pst_buf text = PST_BUF(FILE_MAX);
    auto_(pst_keyring_free) struct pst_keyring *kr = NULL;
    int rc;

    rc = read_master(master_file, &text, err);
    if (rc == PST_NOTFOUND) {
        (void)pst_fail(err, rc, "the master key file %s does not exist", master_file);
        return rc;
    }
    if (rc < 0)
        return err ? pst_wrap(err, "master key file %s", master_file) : rc;

    kr = pst_zalloc(1, sizeof *kr);
    if (!kr)
        return pst_fail_nomem(err, "the keyring");
    if (pthread_rwlock_init(&kr->lock, NULL) != 0) {
        pst_free(pst_take(&kr));
        return pst_fail(err, PST_ESYS, "a lock for the keyring");
    }
    kr->rand = rand;
    rc = parse_file(kr, pst_buf_cstr(&text), text.len, err);
    if (rc < 0)
        return err ? pst_wrap(err, "master key file %s", master_file) : rc;
    *ret = pst_take(&kr);
    return PST_OK;
}

void pst_keyring_free(struct pst_keyring *kr)
{
    if (!kr)
        return;
    if (kr->keys)
        pst_wipe(kr->keys, kr->keys_n * sizeof *kr->keys);
    pst_free(kr->keys);
    (void)pthread_rwlock_destroy(&kr->lock);
    pst_wipe(kr, sizeof *kr);
    pst_free(kr);
}

struct pst_rand *pst_keyring_rand(const struct pst_keyring *kr)
{
    return kr->rand;
}

int pst_keyring_create_file(const char *path, struct pst_rand *rand, struct pst_err *err)
{
    auto_buf_wipe struct pst_buf text = PST_BUF(FILE_MAX);
    uint8_t id[4], secret[PST_AEAD_KEY];
    char hex[9];
    int rc;

    pst_rand_fill(rand, id, sizeof id);
    pst_rand_fill(rand, secret, sizeof secret);
    pst_hex(hex, id, sizeof id);
    pst_buf_printf(&text, MAGIC " %s ", hex);
    pst_b64_add(&text, secret, sizeof secret);
    pst_wipe(secret, sizeof secret);
    pst_buf_char(&text, '\n');
    rc = pst_buf_check(&text, "the master key", err);
    if (rc < 0)
        return rc;
    return pst_io_create_file(path, text.data, text.len, 0600, err);
}

/* ---- data keys ---- */

/* Call with the lock held. */
static const struct key *find_key(const struct pst_keyring *kr, uint32_t id)
{
    for (size_t i = 0; i < kr->keys_n; i++)
        if (kr->keys[i].id == id)
            return &kr->keys[i];
    return NULL;
}

static void data_key_aad(char to[PST_AAD_SIZE], uint32_t id)
{
    (void)snprintf(to, PST_AAD_SIZE, "data-key/%08x", id);
}

/* By the file's first key. */
static int wrap(struct pst_keyring *kr, const struct key *key, struct pst_buf *ret,
                struct pst_err *err)
{
    uint8_t blob[PST_WRAPPED_KEY_LEN] = {WRAP_VERSION};
    char aad[PST_AAD_SIZE];
    struct pst_aead a = {.key = kr->masters[0].secret, .nonce = blob + AT_WRAP_NONCE, .aad = aad};
    int rc;

    pst_put_u32(blob + AT_MASTER_ID, kr->masters[0].id);
    pst_put_u32(blob + AT_DATA_ID, key->id);
    pst_rand_fill(kr->rand, blob + AT_WRAP_NONCE, PST_AEAD_NONCE);
    data_key_aad(aad, key->id);
    rc = pst_aead_seal(&a, key->secret, sizeof key->secret, blob + AT_WRAP_TEXT, err);
    if (rc < 0)
        return rc;
    return pst_out(ret, blob, sizeof blob, "a wrapped data key", err);
}

static int unwrap(const struct pst_keyring *kr, const uint8_t *blob, size_t len, struct key *ret,
                  struct pst_err *err)
{
    auto_secret struct pst_secret secret = {0};
    char aad[PST_AAD_SIZE];
    struct pst_aead a = {.nonce = blob + AT_WRAP_NONCE, .aad = aad};
    const struct key *master;
    uint32_t master_id;
    int rc;

    if (len != PST_WRAPPED_KEY_LEN || blob[0] != WRAP_VERSION)
        return pst_fail(err, PST_EINTERNAL, "a wrapped data key is not one of version %d",
                        WRAP_VERSION);
    master_id = pst_get_u32(blob + AT_MASTER_ID);
    master = find_master(kr, master_id);
    if (!master)
        return pst_fail(err, PST_ECONFIG,
                        "a data key was wrapped by master key %08x, which the master key file does "
                        "not hold: put that key back into the file",
                        master_id);
    ret->id = pst_get_u32(blob + AT_DATA_ID);
    data_key_aad(aad, ret->id);
    a.key = master->secret;
    rc = pst_aead_open(&a, blob + AT_WRAP_TEXT, len - AT_WRAP_TEXT, &secret, err);
    if (rc == PST_REFUSED)
        return pst_fail(err, PST_EINTERNAL,
                        "data key %08x is damaged, or master key %08x is not the one that wrapped "
                        "it",
                        ret->id, master_id);
    if (rc < 0)
        return rc;
    memcpy(ret->secret, secret.data, sizeof ret->secret);
    return PST_OK;
}

int pst_keyring_new_data_key(struct pst_keyring *kr, struct pst_buf *ret_wrapped,
                             struct pst_err *err)
{
    struct key key;
    bool taken;
    int rc;

    do {
        uint8_t id[4];

        pst_rand_fill(kr->rand, id, sizeof id);
        key.id = pst_get_u32(id);
        (void)pthread_rwlock_rdlock(&kr->lock);
        taken = find_key(kr, key.id) != NULL;
        (void)pthread_rwlock_unlock(&kr->lock);
    } while (key.id == 0 || taken); /* 0 is the local key's */

    pst_rand_fill(kr->rand, key.secret, sizeof key.secret);
    rc = wrap(kr, &key, ret_wrapped, err);
    pst_wipe(&key, sizeof key);
    return rc;
}

/* Call with the lock held for writing.  realloc would leave a copy of the keys behind. */
static int append(struct pst_keyring *kr, const struct key *key, struct pst_err *err)
{
    struct key *more;

    if (kr->keys_n == DATA_KEYS_MAX)
        return pst_fail(err, PST_EINTERNAL, "more than %d data keys", DATA_KEYS_MAX);
    more = pst_zalloc(kr->keys_n + 1, sizeof *more);
    if (!more)
        return pst_fail_nomem(err, "a data key");
    if (kr->keys) {
        memcpy(more, kr->keys, kr->keys_n * sizeof *more);
        pst_wipe(kr->keys, kr->keys_n * sizeof *more);
        pst_free(kr->keys);
    }
    more[kr->keys_n] = *key;
    kr->keys = more;
    kr->sealing = kr->keys_n++;
    return PST_OK;
}

int pst_keyring_add_data_key(struct pst_keyring *kr, const void *wrapped, size_t len,
                             struct pst_err *err)
{
    const struct key *have;
    struct key key;
    int rc;

    rc = unwrap(kr, wrapped, len, &key, err);
    if (rc < 0)
        return rc;

    (void)pthread_rwlock_wrlock(&kr->lock);
    have = find_key(kr, key.id);
    if (!have)
        rc = append(kr, &key, err);
    else if (pst_equal_ct(have->secret, key.secret, sizeof key.secret))
        kr->sealing = (size_t)(have - kr->keys);
    else
        rc = pst_fail(err, PST_EINTERNAL, "two data keys have the id %08x", key.id);
    (void)pthread_rwlock_unlock(&kr->lock);
    pst_wipe(&key, sizeof key);
    return rc;
}

int pst_keyring_rewrap(struct pst_keyring *kr, const void *wrapped, size_t len,
                       struct pst_buf *ret_wrapped, struct pst_err *err)
{
    const uint8_t *blob = wrapped;
    struct key key;
    int rc;

    rc = unwrap(kr, wrapped, len, &key, err);
    if (rc < 0)
        return rc;
    if (pst_get_u32(blob + AT_MASTER_ID) == kr->masters[0].id)
        rc = PST_DONE;
    else
        rc = wrap(kr, &key, ret_wrapped, err);
    pst_wipe(&key, sizeof key);
    return rc;
}

/* ---- objects ---- */

/* A copy, so that the lock is not held while sealing. */
static bool sealing_key(struct pst_keyring *kr, struct key *ret)
{
    bool found;

    (void)pthread_rwlock_rdlock(&kr->lock);
    found = kr->keys_n > 0;
    if (found)
        *ret = kr->keys[kr->sealing];
    (void)pthread_rwlock_unlock(&kr->lock);
    return found;
}

static bool opening_key(struct pst_keyring *kr, uint32_t id, struct key *ret)
{
    const struct key *have;

    (void)pthread_rwlock_rdlock(&kr->lock);
    have = find_key(kr, id);
    if (have)
        *ret = *have;
    (void)pthread_rwlock_unlock(&kr->lock);
    return have != NULL;
}

int pst_seal(struct pst_keyring *kr, const char *kind, const char *object_id, const void *plain,
             size_t len, struct pst_buf *ret, struct pst_err *err)
{
    char aad[PST_AAD_SIZE];
    struct key key;
    int rc;

    rc = pst_aad(aad, kind, object_id, err);
    if (rc < 0)
        return rc;
    if (!sealing_key(kr, &key))
        return pst_fail(err, PST_ECONFIG, "no data key was loaded to seal with");
    rc = pst_blob_seal(&(struct pst_blob_key){.id = key.id, .key = key.secret, .rand = kr->rand},
                       aad, plain, len, ret, err);
    pst_wipe(&key, sizeof key);
    return rc;
}

int pst_unseal(struct pst_keyring *kr, const char *kind, const char *object_id, const void *blob,
               size_t len, struct pst_secret *ret, struct pst_err *err)
{
    char aad[PST_AAD_SIZE];
    struct key key;
    uint32_t id;
    int rc;

    rc = pst_aad(aad, kind, object_id, err);
    if (rc == PST_OK)
        rc = pst_blob_key_id(blob, len, &id, err);
    if (rc < 0)
        return rc;
    if (!opening_key(kr, id, &key))
        return pst_fail(err, PST_EINTERNAL, "%s is sealed under data key %08x, which is not loaded",
                        aad, id);
    rc = pst_blob_open(key.secret, aad, blob, len, ret, err);
    pst_wipe(&key, sizeof key);
    return rc;
}
