/*
 * platform_domain.c - the platform's own wildcard as a domain of an app of the platform itself.
 *
 * Orders, retries, events and explain know no difference to a tenant's wildcard.  The app's
 * variables come from a file; the operator's certificate stands on the domain's ladder as an
 * uploaded one does, so that the ACME certificate stands by below it.
 */
#include <stdio.h>
#include <string.h>

#include <postern/order.h>

#include "daemon_internal.h"

enum { ENV_FILE_MAX = 64 * 1024, ENV_MAX = 64 };

struct env_entry {
    const char *name, *value; /* inside the file's text */
};

struct own {
    struct daemon *d;
    const char *wildcard; /* NULL: none is wanted */
    bool env_known;       /* false: the file is no good, what was read before stays */
    struct env_entry env[ENV_MAX];
    size_t env_n;
    bool changed; /* of the variables */
};

/* ---- the file with the provider's variables ---- */

static bool is_name(const char *s)
{
    size_t len = strspn(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_");
    return len > 0 && len < PST_NAME_SIZE && s[len] == '\0';
}

/* One line, which is cut up in place.  The text of a fault shows no part of it: it is a secret. */
static int read_line(struct own *own, char *line, int number, struct pst_err *err)
{
    char *value = strchr(line, '=');

    line += strspn(line, " \t");
    if (!line[0] || line[0] == '#')
        return PST_OK;
    if (!value)
        return pst_fail(err, PST_ECONFIG, "line %d: no \"=\": each line is NAME=value", number);
    *value++ = '\0';
    if (!is_name(line))
        return pst_fail(err, PST_ECONFIG,
                        "line %d: before the \"=\" stands a name of letters, digits and "
                        "underscores, without blanks",
                        number);
    if (!pst_utf8_ok(value, strlen(value)))
        return pst_fail(err, PST_ECONFIG, "line %d: not UTF-8", number);
    for (size_t i = 0; i < own->env_n; i++)
        if (pst_streq(own->env[i].name, line))
            return pst_fail(err, PST_ECONFIG, "line %d: %.60s stands there twice", number, line);
    if (own->env_n == ENV_MAX)
        return pst_fail(err, PST_ECONFIG, "more than %d variables", ENV_MAX);
    own->env[own->env_n++] = (struct env_entry){line, value};
    return PST_OK;
}

static int read_env(struct own *own, const char *path, struct pst_buf *text, struct pst_err *err)
{
    int rc = pst_io_read_private_file(path, text, err);

    if (rc == PST_NOTFOUND)
        return pst_fail(err, PST_ECONFIG, "there is no such file");
    if (rc == PST_OK && text->len && strlen(text->data) != text->len)
        return pst_fail(err, PST_ECONFIG, "it has a NUL in it");
    char *line = text->data;
    for (int number = 1; rc == PST_OK && line; number++) {
        char *end = strchr(line, '\n');
        if (end) {
            *end = '\0';
            if (end > line && end[-1] == '\r')
                end[-1] = '\0';
        }
        rc = read_line(own, line, number, err);
        line = end ? end + 1 : NULL;
    }
    return rc;
}

static void take_env(struct own *own, struct pst_buf *text)
{
    const char *path = pst_conf_text(own->d->conf, PST_CONF_PLATFORM_DNS_ENV_FILE);
    struct pst_err err = {0};

    own->env_known = true;
    if (!own->wildcard || !path[0] || read_env(own, path, text, &err) == PST_OK)
        return;
    own->env_known = false;
    pst_log_err(LOG, "platform.dns_env_file cannot be used; what was read before stays", &err,
                pst_kv_s("file", path));
}

/* ---- the app's variables ---- */

static const struct env_entry *env_find(const struct own *own, const char *name)
{
    for (size_t i = 0; i < own->env_n; i++)
        if (pst_streq(own->env[i].name, name))
            return &own->env[i];
    return NULL;
}

struct gone {
    const struct own *own;
    char ids[ENV_MAX][PST_ID_SIZE]; /* of variables that the file has no more */
    size_t n;
};

static int collect_gone(const struct pst_variable *v, void *arg)
{
    struct gone *g = arg;

    if (!env_find(g->own, v->name) && g->n < ENV_MAX)
        memcpy(g->ids[g->n++], v->id, sizeof v->id);
    return PST_OK;
}

static int set_one(struct pst_tx *tx, struct own *own, const char *app_id,
                   const struct env_entry *e, struct pst_err *err)
{
    struct pst_variable v = {0};
    size_t len = strlen(e->value);

    int rc = pst_variable_get(tx, app_id, e->name, &v, err);
    bool same = rc == PST_OK && v.value.len == len &&
                (len == 0 || pst_equal_ct(v.value.data, e->value, len));
    if (rc < 0 || same) {
        pst_variable_deinit(&v);
        return rc;
    }
    own->changed = true;
    pst_str_copy(v.app_id, sizeof v.app_id, app_id);
    pst_str_copy(v.name, sizeof v.name, e->name);
    rc = pst_secret_set(&v.value, e->value, len, err);
    if (rc == PST_OK)
        rc = pst_variable_set(tx, &v, err);
    pst_variable_deinit(&v);
    return rc < 0 ? rc : PST_OK;
}

static int set_variables(struct pst_tx *tx, struct own *own, const char *app_id,
                         struct pst_err *err)
{
    struct gone gone = {.own = own};
    int rc = PST_OK;

    for (size_t i = 0; i < own->env_n && rc == PST_OK; i++)
        rc = set_one(tx, own, app_id, &own->env[i], err);
    if (rc == PST_OK)
        rc = pst_variable_each(tx, app_id, collect_gone, &gone, err);
    for (size_t i = 0; i < gone.n && rc == PST_OK; i++) {
        own->changed = true;
        rc = pst_variable_delete(tx, app_id, gone.ids[i], err);
    }
    return rc;
}

/* ---- the domain ---- */

/* The operator's files are to this domain what an upload is to a tenant's. */
static int set_custom(struct pst_tx *tx, struct pst_domain *d, bool *ret_changed,
                      struct pst_err *err)
{
    struct pst_default_ladder l;

    int rc = pst_default_ladder_get(tx, &l, err);
    if (rc == PST_OK && d->custom_cert != l.certs[PST_DEFAULT_FILES]) {
        d->custom_cert = l.certs[PST_DEFAULT_FILES];
        *ret_changed = true;
    }
    return rc;
}

static int own_tx(struct pst_tx *tx, void *arg, struct pst_err *err)
{
    struct own *own = arg;
    struct pst_domain d;

    own->changed = false;
    int rc = pst_platform_domain_set(tx, own->wildcard, &d, err);
    if (rc < 0 || !own->wildcard)
        return rc;
    bool fresh = rc == PST_OK, changed = false;
    rc = fresh ? pst_event_system(tx, d.app_id, d.id, "domain.added", err, "platform.acme is on")
               : PST_OK;
    if (rc == PST_OK && own->env_known)
        rc = set_variables(tx, own, d.app_id, err);
    if (rc == PST_OK)
        rc = set_custom(tx, &d, &changed, err);
    if (rc != PST_OK)
        return rc;
    if (own->changed)
        rc = pst_order_variables_changed(tx, d.app_id, err);
    if (fresh) {
        d.phase = PST_PHASE_WORK;
        d.due_at_ms = d.next_try_at_ms = pst_wall_ms(pst_clock_system());
    }
    if (rc == PST_OK && (fresh || changed))
        return pst_domain_update(tx, &d, err);
    return rc == PST_OK && !own->changed ? PST_DONE : rc;
}

int pst_daemon_platform_domain(struct daemon *d, const char *wildcard, struct pst_err *err)
{
    bool wanted = wildcard && pst_conf_bool(d->conf, PST_CONF_PLATFORM_ACME);
    struct own own = {.d = d, .wildcard = wanted ? wildcard : NULL};
    auto_buf_wipe struct pst_buf text = PST_BUF(ENV_FILE_MAX);

    take_env(&own, &text);
    int rc = pst_store_write(d->store, own_tx, &own, NULL, err);
    return rc < 0 ? pst_wrap(err, "the platform's own wildcard") : rc;
}
