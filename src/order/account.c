/* account.c - the platform's account at the CA: read once, registered when it must be. */
#include <stdio.h>
#include <string.h>

#include "order_internal.h"

enum { EAB_FILE_MAX = 1024 };

static int read_tx(struct pst_tx *tx, void *arg, struct pst_err *err)
{
    struct pst_order_env *env = arg;
    struct pst_account a = {0};
    int rc = pst_account_by_directory(tx, env->o.directory_url, &a, err);
    if (rc != PST_OK)
        return rc;
    pst_account_deinit(&env->account);
    env->account = a;
    return PST_OK;
}

static int write_tx(struct pst_tx *tx, void *arg, struct pst_err *err)
{
    struct pst_order_env *env = arg;
    return pst_account_update(tx, &env->account, err);
}

/* The key is opened once; it never changes while the process lives. */
static int load(struct pst_order_env *env, struct pst_err *err)
{
    int rc = pst_store_read(env->o.store, read_tx, env, err);
    if (rc == PST_NOTFOUND) {
        pst_fail(err, PST_NOTYET,
                 "there is no account for %s yet: run \"posternd init\" or "
                 "restart posternd",
                 env->o.directory_url);
        return PST_NOTYET;
    }
    if (rc != PST_OK)
        return rc;
    if (env->key)
        return PST_OK;
    return pst_key_open(pst_store_keys(env->o.store), "account", env->account.id,
                        env->account.sealed.data, env->account.sealed.len, &env->key, err);
}

/* Not before it is needed: CAs take the key once, and its file may be gone afterwards. */
static int read_eab(const struct pst_order_opts *opts, struct pst_secret *ret, struct pst_err *err)
{
    auto_buf_wipe struct pst_buf b = PST_BUF(EAB_FILE_MAX);

    int rc = pst_io_read_private_file(opts->eab_key_file, &b, err);
    if (rc == PST_NOTFOUND)
        return pst_fail(err, PST_ECONFIG, "there is no file \"%s\"", opts->eab_key_file);
    if (rc != PST_OK)
        return rc;
    while (b.len > 0 && strchr("\r\n", b.data[b.len - 1]))
        pst_buf_cut(&b, b.len - 1);
    return pst_secret_set(ret, b.data, b.len, err);
}

/* The file's name is for the log; the owners of domains only hear who must act. */
static int eab_unusable(const struct pst_err *why, struct pst_err *err)
{
    pst_log_err(LOG, "acme.eab_key_file cannot be used", why);
    pst_fail(err, PST_NOTYET,
             "the operator must mend the external account binding (eab) of the CA's account");
    return PST_NOTYET;
}

static int register_account(struct pst_order *o, struct pst_err *err)
{
    struct pst_order_env *env = o->env;
    struct pst_account *a = &env->account;
    struct pst_acme_account_info *info = NULL;
    char mailto[PST_HOST_SIZE + 8];
    const char *contacts[] = {mailto};
    struct pst_acme_account_request req = {.terms_agreed = true};
    auto_secret struct pst_secret eab_key = {0};

    if (env->o.eab_kid[0]) {
        struct pst_err why = {0};
        if (read_eab(&env->o, &eab_key, &why) != PST_OK)
            return eab_unusable(&why, err);
        req.eab_kid = env->o.eab_kid;
        req.eab_key = &eab_key;
        req.eab_alg = env->o.eab_alg;
    }
    if (a->contact[0]) {
        snprintf(mailto, sizeof mailto, "mailto:%s", a->contact);
        req.contacts = contacts;
        req.contacts_n = 1;
    }
    o->call.account = (struct pst_acme_account){.key = env->key};
    int rc = pst_acme_account_new(&o->call, &req, &info, err);
    if (rc == PST_REFUSED && pst_streq(err->problem, "eab_key"))
        return eab_unusable(err, err);
    if (rc != PST_OK)
        return rc < 0 ? pst_wrap(err, "registering the account") : rc;

    bool usable =
        info->status == PST_ACME_ACCOUNT_VALID && pst_str_copy(a->url, sizeof a->url, info->url);
    pst_acme_account_info_free(info);
    if (!usable)
        return pst_fail(err, PST_EINTERNAL, "the CA has deactivated this account");
    pst_str_copy(a->status, sizeof a->status, "valid");
    a->reason[0] = '\0';
    rc = pst_store_write(env->o.store, write_tx, env, NULL, err);
    if (rc == PST_OK)
        pst_log_info(LOG, "account registered", pst_kv_s("directory", a->directory),
                     pst_kv_s("account", a->url));
    return rc;
}

static int ready(struct pst_order *o, struct pst_err *err)
{
    struct pst_order_env *env = o->env;
    struct pst_account *a = &env->account;

    /* An account that is fine stays in memory; anything else may have been mended outside. */
    bool fine = a->url[0] && pst_streq(a->status, "valid");
    if (!fine) {
        int rc = load(env, err);
        if (rc != PST_OK)
            return rc;
    }
    if (!a->terms_agreed_at_ms) {
        pst_fail(err, PST_NOTYET,
                 "the operator has not agreed to the CA's terms of service yet "
                 "(posternd init --agree-terms)");
        return PST_NOTYET;
    }
    if (pst_streq(a->status, "blocked")) {
        pst_fail(err, PST_NOTYET, "the account at the CA needs the operator: %s", a->reason);
        return PST_NOTYET;
    }
    if (!a->url[0]) {
        int rc = register_account(o, err);
        if (rc != PST_OK)
            return rc;
    }
    memcpy(o->account_url, a->url, sizeof o->account_url);
    memcpy(o->thumbprint, a->thumbprint, sizeof o->thumbprint);
    o->call.account = (struct pst_acme_account){.url = o->account_url, .key = env->key};
    pst_str_copy(o->row.account_id, sizeof o->row.account_id, a->id);
    return PST_OK;
}

int pst_order_account(struct pst_order *o, struct pst_err *err)
{
    int64_t held_ms = pst_mono_ms(o->env->o.clock) - o->leased_at_mono_ms;

    if (held_ms > PST_ORDER_LEASE_MS / 2)
        return pst_fail(err, PST_EDB, "the order was held too long to send anything");
    if (o->call.account.url)
        return PST_OK;
    pthread_mutex_lock(&o->env->lock);
    int rc = ready(o, err);
    pthread_mutex_unlock(&o->env->lock);
    return rc;
}

int pst_order_account_lost(struct pst_order *o, struct pst_err *err)
{
    struct pst_order_env *env = o->env;
    int rc = PST_OK;

    pthread_mutex_lock(&env->lock);
    /* Another order may have registered it anew already. */
    if (pst_streq(env->account.url, o->account_url)) {
        env->account.url[0] = '\0';
        pst_str_copy(env->account.status, sizeof env->account.status, "lost");
        rc = pst_store_write(env->o.store, write_tx, env, NULL, err);
        pst_log_warn(LOG, "the CA does not know our account: registering it again",
                     pst_kv_s("directory", env->o.directory_url));
    }
    pthread_mutex_unlock(&env->lock);
    o->call.account = (struct pst_acme_account){0};
    return rc;
}

int pst_order_account_block(struct pst_order_env *env, const char *reason, struct pst_err *err)
{
    pthread_mutex_lock(&env->lock);
    pst_str_copy(env->account.status, sizeof env->account.status, "blocked");
    if (!pst_str_copy(env->account.reason, sizeof env->account.reason, reason))
        pst_str_copy(env->account.reason, sizeof env->account.reason, "see the log");
    int rc = env->account.id[0] ? pst_store_write(env->o.store, write_tx, env, NULL, err) : PST_OK;
    pst_log_error(LOG, "the CA refuses our account: nothing more is ordered until this is mended",
                  pst_kv_s("directory", env->o.directory_url), pst_kv_s("reason", reason));
    pthread_mutex_unlock(&env->lock);
    return rc;
}

int pst_order_env_new(struct pst_order_env **ret, const struct pst_order_opts *opts,
                      struct pst_err *err)
{
    enum pst_key_type type;
    if (!pst_key_type_parse(opts->key_type, &type))
        return pst_fail(err, PST_ECONFIG, "acme.key_type is not a key type");
    struct pst_order_env *env = pst_zalloc(1, sizeof *env);
    if (!env)
        return pst_fail_nomem(err, "the order engine");
    env->o = *opts;
    env->key_type = type;
    pthread_mutex_init(&env->lock, NULL);
    *ret = env;
    return PST_OK;
}

void pst_order_env_free(struct pst_order_env *env)
{
    if (!env)
        return;
    pst_account_deinit(&env->account);
    pst_key_free(env->key);
    pthread_mutex_destroy(&env->lock);
    pst_free(env);
}
