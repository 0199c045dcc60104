/* vars.c - the environment of an app as the settings of a DNS provider. */
#include <stdio.h>
#include <string.h>

#include <postern/json.h>

#include "order_internal.h"

enum { SEALED_MAX = 256 * 1024, PROVIDER_AT = 0, VARS_MAX = PST_DNS_VARIABLES_MAX + 1 };

/* Only what the provider reads; the first is DNS_PROVIDER. */
struct pst_vars {
    size_t n;
    struct {
        const char *name; /* lives for ever */
        struct pst_secret value;
    } list[VARS_MAX];
};

void pst_vars_free(struct pst_vars *v)
{
    for (size_t i = 0; v && i < v->n; i++)
        pst_secret_deinit(&v->list[i].value);
    pst_free(v);
}

static const char *get(void *arg, const char *name)
{
    const struct pst_vars *v = arg;

    for (size_t i = 0; i < v->n; i++) {
        if (!strcmp(v->list[i].name, name))
            return v->list[i].value.data ? (const char *)v->list[i].value.data : "";
    }
    return NULL;
}

const char *pst_vars_provider(const struct pst_vars *v)
{
    return get((void *)v, "DNS_PROVIDER");
}

static int add(struct pst_vars *v, const char *name, const void *value, size_t len,
               struct pst_err *err)
{
    int rc = pst_secret_set(&v->list[v->n].value, value, len, err);
    if (rc == PST_OK)
        v->list[v->n++].name = name;
    return rc;
}

/* ---- from the store ---- */

struct load {
    const char *app_id;
    struct pst_vars *v;
};

static int read_one(struct pst_tx *tx, struct load *l, const char *name, struct pst_err *err)
{
    struct pst_variable var = {0};

    int rc = pst_variable_get(tx, l->app_id, name, &var, err);
    if (rc != PST_OK)
        return rc;
    rc = add(l->v, name, var.value.data, var.value.len, err);
    pst_variable_deinit(&var);
    return rc;
}

static int load_tx(struct pst_tx *tx, void *arg, struct pst_err *err)
{
    struct load *l = arg;
    const char *name;

    int rc = read_one(tx, l, "DNS_PROVIDER", err);
    if (rc != PST_OK)
        return rc;
    const char *provider = pst_vars_provider(l->v);
    if (!provider || !provider[0])
        return PST_NOTFOUND;
    for (size_t i = 0; (name = pst_dns_provider_variable(provider, i)) && rc >= 0; i++)
        rc = read_one(tx, l, name, err);
    return rc < 0 ? rc : PST_OK;
}

int pst_vars_load(struct pst_order_env *env, const char *app_id, struct pst_vars **ret,
                  struct pst_err *err)
{
    auto_(pst_vars_free) struct pst_vars *v = pst_zalloc(1, sizeof *v);
    struct load l = {.app_id = app_id, .v = v};

    if (!v)
        return pst_fail_nomem(err, "variables");
    int rc = pst_store_read(env->o.store, load_tx, &l, err);
    if (rc == PST_OK)
        *ret = pst_take(&v);
    return rc;
}

/* ---- sealed ---- */

int pst_vars_seal(const struct pst_vars *v, struct pst_order_env *env, const char *id,
                  struct pst_buf *ret, struct pst_err *err)
{
    auto_buf_wipe struct pst_buf clear = PST_BUF(SEALED_MAX);

    /* Streamed, because a tree of JSON would leave copies behind. */
    pst_buf_char(&clear, '{');
    for (size_t i = 0; i < v->n; i++) {
        pst_buf_str(&clear, i ? "," : "");
        pst_json_quote(&clear, v->list[i].name);
        pst_buf_char(&clear, ':');
        pst_json_quote(&clear, get((void *)v, v->list[i].name));
    }
    pst_buf_char(&clear, '}');
    int rc = pst_buf_check(&clear, "variables", err);
    if (rc != PST_OK)
        return rc;
    return pst_seal(pst_store_keys(env->o.store), "dns_record", id, clear.data, clear.len, ret,
                    err);
}

static int take_member(const struct pst_json *j, const char *name, struct pst_vars *v,
                       struct pst_err *err)
{
    const char *value = pst_json_get_text(j, name);
    return value ? add(v, name, value, strlen(value), err) : PST_OK;
}

int pst_vars_unseal(struct pst_order_env *env, const char *id, const struct pst_buf *sealed,
                    struct pst_vars **ret, struct pst_err *err)
{
    auto_(pst_vars_free) struct pst_vars *v = pst_zalloc(1, sizeof *v);
    auto_secret struct pst_secret clear = {0};
    auto_(pst_json_free) struct pst_json *j = NULL;
    const char *name;

    if (!v)
        return pst_fail_nomem(err, "variables");
    int rc = pst_unseal(pst_store_keys(env->o.store), "dns_record", id, sealed->data, sealed->len,
                        &clear, err);
    if (rc == PST_OK)
        rc = pst_json_parse(&j, (const char *)clear.data, clear.len, err);
    if (rc == PST_OK)
        rc = take_member(j, "DNS_PROVIDER", v, err);
    if (rc == PST_OK && !v->n)
        return pst_fail(err, PST_EINTERNAL, "a DNS record's variables name no provider");
    for (size_t i = 0; rc == PST_OK && (name = pst_dns_provider_variable(pst_vars_provider(v), i));
         i++)
        rc = take_member(j, name, v, err);
    if (rc == PST_OK)
        *ret = pst_take(&v);
    return rc;
}

int pst_vars_open(const struct pst_vars *v, struct pst_order_env *env,
                  struct pst_dns_provider **ret, struct pst_dns_blame *ret_blame,
                  struct pst_err *err)
{
    const char *provider = pst_vars_provider(v);
    struct pst_dns_settings s = {
        .provider = provider,
        .get = get,
        .arg = (void *)v,
        .base_url = env->o.base_url ? env->o.base_url(env->o.arg, provider) : NULL,
        .token_url = env->o.token_url ? env->o.token_url(env->o.arg, provider) : NULL,
    };
    return pst_dns_provider_new(ret, env->o.dns, &s, ret_blame, err);
}

/* ---- what is wrong with them ---- */

static bool write_blame(const struct pst_dns_blame *b, const struct pst_err *fault,
                        struct pst_json *j)
{
    char text[200];

    if (!pst_json_set_text(j, "dns_provider", b->provider))
        return false;
    if (b->n == 0 && pst_streq(fault->problem, "provider"))
        return pst_json_set_null(j, "variables");
    struct pst_json *names = pst_json_array();
    for (size_t i = 0; i < b->n; i++) {
        if (!pst_json_push_text(names, b->variables[i])) {
            pst_json_free(names);
            return false;
        }
    }
    if (!pst_json_set(j, "variables", names) || b->n > 0)
        return b->n > 0;
    pst_str_cut(text, sizeof text, fault->text);
    return pst_json_set_text(j, "error", text);
}

void pst_order_blame(struct pst_order *o, const struct pst_dns_blame *b,
                     const struct pst_err *fault)
{
    auto_(pst_json_free) struct pst_json *j = pst_json_object();
    auto_buf struct pst_buf text = PST_BUF(sizeof o->dns_error);

    o->dns_error[0] = '\0';
    o->blamed = b->n > 0;
    if (write_blame(b, fault, j) && pst_json_write(j, &text, NULL) == PST_OK)
        pst_str_copy(o->dns_error, sizeof o->dns_error, pst_buf_cstr(&text));
}
