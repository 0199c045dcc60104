/*
 * creds.c - stored logins: ~/.config/postern/auth.json, readable by its owner only.
 *
 *     {"version": 1, "current": "<url>", "logins": {"<url>": {"token": "...", "username": "..."}}}
 *
 * Tokens are kept by the URL of their server, so that none is ever sent to another.
 */
#include "cli_internal.h"

#include <stdlib.h>
#include <string.h>

enum { FILE_MAX = 256 * 1024 };

static int file_path(char *to, size_t to_size, bool folder, struct pst_err *err)
{
    const char *base = getenv("XDG_CONFIG_HOME");
    const char *home = getenv("HOME");
    const char *tail = folder ? "postern" : "postern/auth.json";
    int len;

    if (base && *base == '/')
        len = snprintf(to, to_size, "%s/%s", base, tail);
    else if (home && *home == '/')
        len = snprintf(to, to_size, "%s/.config/%s", home, tail);
    else
        return pst_fail(err, PST_ECONFIG, "HOME is not set, so there is no place for the login");
    if (len < 0 || (size_t)len >= to_size)
        return pst_fail(err, PST_ECONFIG, "the path of the login file is too long");
    return PST_OK;
}

static int load(struct pst_json **ret, struct pst_err *err)
{
    auto_buf_wipe struct pst_buf text = PST_BUF(FILE_MAX);
    char path[CLI_PATH_MAX];

    int rc = file_path(path, sizeof path, false, err);
    if (rc == PST_OK)
        rc = pst_io_read_private_file(path, &text, err);
    if (rc != PST_OK)
        return rc;
    rc = pst_json_parse(ret, pst_buf_cstr(&text), text.len, err);
    if (rc == PST_OK && pst_json_type(*ret) != PST_JSON_OBJECT) {
        pst_json_free(*ret);
        *ret = NULL;
        rc = pst_fail(err, PST_EINPUT, "it is not an object");
    }
    return rc < 0 ? pst_wrap(err, "%s (remove it and log in again)", path) : rc;
}

static int save(const struct pst_json *j, struct pst_err *err)
{
    auto_buf_wipe struct pst_buf text = PST_BUF(FILE_MAX);
    char path[CLI_PATH_MAX];

    int rc = file_path(path, sizeof path, true, err);
    if (rc == PST_OK)
        rc = pst_io_mkdirs(path, 0700, err);
    if (rc == PST_OK)
        rc = file_path(path, sizeof path, false, err);
    if (rc == PST_OK)
        rc = pst_json_write_pretty(j, &text, err);
    if (rc == PST_OK)
        rc = pst_io_write_file(path, text.data, text.len, 0600, err);
    return rc;
}

int cli_creds_token(const char *url, struct pst_secret *ret, struct pst_err *err)
{
    const char *given = getenv("POSTERN_TOKEN");
    auto_(pst_json_free) struct pst_json *j = NULL;

    if (given && *given)
        return pst_secret_set(ret, given, strlen(given), err);
    int rc = load(&j, err);
    if (rc != PST_OK)
        return rc;
    const char *token = pst_json_get_text(pst_json_get(pst_json_get(j, "logins"), url), "token");
    return token ? pst_secret_set(ret, token, strlen(token), err) : PST_NOTFOUND;
}

int cli_creds_url(char *to, size_t to_size, struct pst_err *err)
{
    auto_(pst_json_free) struct pst_json *j = NULL;

    int rc = load(&j, err);
    if (rc != PST_OK)
        return rc;
    const char *url = pst_json_get_text(j, "current");
    return url && pst_str_copy(to, to_size, url) ? PST_OK : PST_NOTFOUND;
}

/* Copy all logins but that of `url` into a new object. */
struct copy {
    struct pst_json *to;
    const char *except;
    bool found, ok;
};

static int copy_login(const char *key, const struct pst_json *value, void *arg)
{
    struct copy *c = arg;

    if (pst_streq(key, c->except)) {
        c->found = true;
        return 0;
    }
    c->ok = pst_json_set(c->to, key, pst_json_clone(value));
    return c->ok ? 0 : 1;
}

/* Replace (token given) or remove the login of `url`. */
static int rewrite(const char *url, const struct pst_secret *token, const char *username,
                   bool *ret_found, struct pst_err *err)
{
    auto_(pst_json_free) struct pst_json *old = NULL;
    auto_(pst_json_free) struct pst_json *logins = pst_json_object();
    auto_(pst_json_free) struct pst_json *login = pst_json_object();
    auto_(pst_json_free) struct pst_json *j = pst_json_object();
    struct copy c = {logins, url, false, true};

    int rc = load(&old, err);
    if (rc < 0)
        return rc;
    if (logins)
        pst_json_each(pst_json_get(old, "logins"), copy_login, &c);
    *ret_found = c.found;
    const char *current = token ? url : pst_json_get_text(old, "current");
    bool ok = logins && c.ok && pst_json_set_int(j, "version", 1) &&
              pst_json_set_text(j, "current", current ? current : "");
    if (ok && token)
        ok = pst_json_set_text(login, "token", (const char *)token->data) &&
             pst_json_set_text(login, "username", username) &&
             pst_json_set(logins, url, pst_take(&login));
    if (!ok || !pst_json_set(j, "logins", pst_take(&logins)))
        return pst_fail_nomem(err, "the login file");
    return save(j, err);
}

int cli_creds_store(const char *url, const struct pst_secret *token, const char *username,
                    struct pst_err *err)
{
    bool found;

    return rewrite(url, token, username, &found, err);
}

int cli_creds_remove(const char *url, struct pst_err *err)
{
    bool found = false;

    int rc = rewrite(url, NULL, NULL, &found, err);
    return rc == PST_OK && !found ? PST_NOTFOUND : rc;
}
