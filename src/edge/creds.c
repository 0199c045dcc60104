/* creds.c - the files in keys.dir. */
#include <string.h>

#include "edge_internal.h"

#define CREDS_WORD "postern-edge-v1"

enum { KEY_LEN = 32, TOKEN_MAX = 512 };

/* A file of exactly 32 secret bytes; PST_NOTFOUND when there is none. */
static int read_key(const char *path, struct pst_secret *ret, struct pst_err *err)
{
    auto_buf_wipe struct pst_buf b = PST_BUF(KEY_LEN + 1);

    int rc = pst_io_read_private_file(path, &b, err);
    if (rc == PST_NOTFOUND)
        return rc;
    if (rc < 0 && rc != PST_EINPUT)
        return rc;
    if (rc == PST_EINPUT || b.len != KEY_LEN)
        return pst_fail(err, PST_ECONFIG,
                        "key file %s is not %d bytes long: restore it, or remove it and the edge "
                        "makes a new one",
                        path, (int)KEY_LEN);
    return pst_secret_set(ret, b.data, b.len, err);
}

/* The key in the file, made by `make` and stored when there is none. */
static int load_key(const char *path,
                    int (*make)(struct pst_secret *, struct pst_rand *, struct pst_err *),
                    struct pst_rand *rand, struct pst_secret *ret, struct pst_err *err)
{
    int rc = read_key(path, ret, err);
    if (rc != PST_NOTFOUND)
        return rc;

    auto_secret struct pst_secret fresh = {0};
    rc = make(&fresh, rand, err);
    if (rc < 0)
        return pst_wrap(err, "making %s", path);
    rc = pst_io_create_file(path, fresh.data, fresh.len, 0600, err);
    if (rc == PST_CONFLICT) /* another process was faster */
        return pst_fail(err, PST_ECONFIG,
                        "%s appeared meanwhile: is another postern-edged at work?", path);
    if (rc < 0)
        return rc;
    pst_log_info(EDGE, "key made", pst_kv_s("file", path));
    return pst_secret_set(ret, fresh.data, fresh.len, err);
}

static int make_box_key(struct pst_secret *ret, struct pst_rand *rand, struct pst_err *err)
{
    uint8_t public_key[KEY_LEN];

    return pst_box_keypair(ret, public_key, err);
}

static int make_local_key(struct pst_secret *ret, struct pst_rand *rand, struct pst_err *err)
{
    uint8_t key[KEY_LEN];

    pst_rand_fill(rand, key, sizeof key);
    int rc = pst_secret_set(ret, key, sizeof key, err);
    pst_wipe(key, sizeof key);
    return rc;
}

/* "postern-edge-v1 <id> <token>": ids and tokens are printable and have no blanks. */
static bool parse_line(char *line, char **ret_id, char **ret_token)
{
    char *newline = strchr(line, '\n');
    char *id = strchr(line, ' ');
    char *token = id ? strchr(id + 1, ' ') : NULL;

    if (!token || !newline || newline[1])
        return false;
    *newline = *id++ = *token++ = '\0';
    if (!pst_streq(line, CREDS_WORD) || !*id || strlen(id) >= PST_EDGED_ID_SIZE || !*token)
        return false;
    for (const char *p = token; *p; p++)
        if (*p <= ' ' || *p > '~')
            return false;
    *ret_id = id;
    *ret_token = token;
    return true;
}

static int load_identity(struct pst_edged_creds *c, const char *path, struct pst_err *err)
{
    auto_buf_wipe struct pst_buf b = PST_BUF(TOKEN_MAX + 64);
    char *id, *token;

    int rc = pst_io_read_private_file(path, &b, err);
    if (rc == PST_NOTFOUND)
        return PST_OK;
    if (rc < 0 && rc != PST_EINPUT)
        return rc;
    if (rc == PST_EINPUT || !b.data || strlen(b.data) != b.len || !parse_line(b.data, &id, &token))
        return pst_fail(err, PST_ECONFIG,
                        "file %s is not what enrolment writes: restore it, or remove it and enrol "
                        "this edge again",
                        path);
    rc = pst_secret_set(&c->token, token, strlen(token), err);
    if (rc == PST_OK)
        pst_str_copy(c->id, sizeof c->id, id);
    return rc;
}

static char *path_in(const char *dir, const char *file)
{
    return pst_asprintf("%s/%s", dir, file);
}

static int load_local(struct pst_edged_creds *c, const char *path, struct pst_rand *rand,
                      struct pst_err *err)
{
    auto_secret struct pst_secret key = {0};
    char hex[PST_SHA256_HEX_SIZE];

    int rc = load_key(path, make_local_key, rand, &key, err);
    if (rc == PST_OK)
        rc = pst_sha256_hex(key.data, key.len, hex, err);
    if (rc != PST_OK)
        return rc;
    hex[PST_EDGED_KEY_ID_SIZE - 1] = '\0';
    pst_str_copy(c->local_id, sizeof c->local_id, hex);
    return pst_seal_key_new(&c->local, key.data, rand, err);
}

int pst_edged_creds_load(struct pst_edged_creds *c, const char *dir, struct pst_rand *rand,
                         struct pst_err *err)
{
    auto_(pst_free) char *edge = path_in(dir, "edge");
    auto_(pst_free) char *box = path_in(dir, "box.key");
    auto_(pst_free) char *local = path_in(dir, "local.key");
    struct pst_edged_creds fresh = {0};

    if (!edge || !box || !local)
        return pst_fail_nomem(err, "the names of key files");
    int rc = pst_io_mkdirs(dir, 0700, err);
    if (rc == PST_OK)
        rc = load_key(box, make_box_key, rand, &fresh.box_secret, err);
    if (rc == PST_OK)
        rc = pst_box_public(&fresh.box_secret, fresh.box_public, err);
    if (rc == PST_OK)
        rc = load_local(&fresh, local, rand, err);
    if (rc == PST_OK)
        rc = load_identity(&fresh, edge, err);
    if (rc != PST_OK) {
        pst_edged_creds_deinit(&fresh);
        return rc;
    }
    *c = fresh;
    return PST_OK;
}

int pst_edged_creds_save(struct pst_edged_creds *c, const char *dir, const char *id,
                         const char *token, struct pst_err *err)
{
    auto_(pst_free) char *path = path_in(dir, "edge");
    auto_buf_wipe struct pst_buf line = PST_BUF(TOKEN_MAX + 64);

    if (!path)
        return pst_fail_nomem(err, "the name of a key file");
    pst_buf_printf(&line, CREDS_WORD " %s %s\n", id, token);
    int rc = pst_buf_check(&line, "the edge's credentials", err);
    if (rc == PST_OK)
        rc = pst_io_create_file(path, line.data, line.len, 0600, err);
    if (rc == PST_OK)
        rc = load_identity(c, path, err);
    return rc;
}

int pst_edged_read_token(const char *path, struct pst_secret *ret, struct pst_err *err)
{
    auto_buf_wipe struct pst_buf b = PST_BUF(TOKEN_MAX);

    int rc = pst_io_read_private_file(path, &b, err);
    if (rc == PST_NOTFOUND)
        return pst_fail(err, PST_ECONFIG, "one-time token: there is no file %s", path);
    if (rc != PST_OK)
        return rc;
    while (b.len > 0 && (b.data[b.len - 1] == '\n' || b.data[b.len - 1] == '\r'))
        pst_buf_cut(&b, b.len - 1);
    if (b.len == 0 || strlen(b.data) != b.len)
        return pst_fail(err, PST_ECONFIG, "one-time token: %s does not hold one", path);
    return pst_secret_set(ret, b.data, b.len, err);
}

void pst_edged_creds_deinit(struct pst_edged_creds *c)
{
    pst_secret_deinit(&c->token);
    pst_secret_deinit(&c->box_secret);
    pst_seal_key_free(c->local);
    *c = (struct pst_edged_creds){0};
}
