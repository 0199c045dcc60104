/* api.c - start and stop. */
#include "api_internal.h"

#include <string.h>

#include <postern/cert.h>
#include <postern/conf.h>

#include "slots.h"

enum { KEY_LEN = 32, QUEUE_PER_WORKER = 64 };

PST_CLEANUP(struct pst_api, pst_api_stop);

static int read_settings(struct pst_api_settings *s, const struct pst_conf *c, struct pst_err *err)
{
    s->conf = c;
    s->workers = (size_t)pst_conf_int(c, PST_CONF_API_WORKERS);
    s->queue_max = s->workers * QUEUE_PER_WORKER;
    s->connections_max = (size_t)pst_conf_int(c, PST_CONF_API_CONNECTIONS);
    s->body_max = (size_t)pst_conf_int(c, PST_CONF_API_BODY_MAX);
    s->idle_s = (unsigned)pst_conf_int(c, PST_CONF_API_TIMEOUT);
    int64_t give_up_ms = pst_conf_int(c, PST_CONF_API_TIMEOUT) * 1000;
    s->give_up_ms = give_up_ms < PST_API_GIVE_UP_MS ? give_up_ms : PST_API_GIVE_UP_MS;
    if (!pst_str_copy(s->public_url, sizeof s->public_url,
                      pst_conf_text(c, PST_CONF_API_PUBLIC_URL)))
        return pst_fail(err, PST_ECONFIG, "api.public_url: is longer than %zu bytes",
                        sizeof s->public_url - 1);
    pst_str_copy(s->region, sizeof s->region, pst_conf_text(c, PST_CONF_PLATFORM_REGION));
    return PST_OK;
}

static int load_key(struct pst_api *api, struct pst_tx *tx, const char *name, struct pst_secret *to,
                    struct pst_err *err)
{
    unsigned char fresh[KEY_LEN];

    int rc = pst_meta_get_secret(tx, name, to, err);
    if (rc == PST_NOTFOUND) {
        pst_rand_fill(api->opts.rand, fresh, sizeof fresh);
        rc = pst_meta_set_secret(tx, name, fresh, sizeof fresh, err);
        if (rc == PST_OK)
            rc = pst_secret_set(to, fresh, sizeof fresh, err);
        pst_wipe(fresh, sizeof fresh);
    }
    if (rc == PST_OK && to->len != KEY_LEN)
        return pst_fail(err, PST_EINTERNAL, "the %s in the database is broken", name);
    return rc;
}

/* Made once, kept sealed, the same for all daemons: of two that start for the first time at the
 * same moment, the second one waits and finds the keys of the first.  The values made with the
 * proof key stand in the DNS of tenants, so it never changes. */
static int load_keys(struct pst_tx *tx, void *arg, struct pst_err *err)
{
    struct pst_api *api = arg;

    int rc = pst_registered_lock(tx, "the keys of the API", err);
    if (rc == PST_OK)
        rc = load_key(api, tx, "jwt_key", &api->jwt_key, err);
    return rc == PST_OK ? load_key(api, tx, "proof_key", &api->proof_key, err) : rc;
}

/* A system without public roots judges none. */
static int load_roots(struct pst_api *api, struct pst_err *err)
{
    struct pst_err why = {0};

    api->roots = (struct pst_buf)PST_BUF(PST_CERT_ROOTS_MAX);
    int rc = pst_cert_roots_load(PST_CERT_ROOTS_FILE, &api->roots, &why);
    if (rc == PST_ENOMEM)
        return pst_fail_nomem(err, "the public roots");
    if (rc != PST_OK) {
        pst_log_warn("api", "uploads are judged without public roots",
                     pst_kv_s("file", PST_CERT_ROOTS_FILE), pst_kv_s("why", why.text));
        pst_buf_deinit(&api->roots);
    }
    return PST_OK;
}

static int listen_all(struct pst_api *api, struct pst_err *err)
{
    const struct pst_api_opts *o = &api->opts;
    size_t n = o->listen ? o->listen_n : pst_conf_list_n(o->conf, PST_CONF_API_LISTEN);

    if (n == 0 || n > PST_API_LISTEN_MAX)
        return pst_fail(err, PST_ECONFIG, "api.listen: 1 to %d addresses are possible",
                        PST_API_LISTEN_MAX);
    for (size_t i = 0; i < n; i++) {
        const char *address =
            o->listen ? o->listen[i] : pst_conf_list_at(o->conf, PST_CONF_API_LISTEN, i);
        api->listeners_n = i + 1;
        int rc = pst_server_start(api, address, i, err);
        if (rc < 0)
            return rc;
        pst_log_info("api", "listening", pst_kv_s("address", address),
                     pst_kv_i("port", api->listeners[i].port));
    }
    return PST_OK;
}

int pst_api_start(struct pst_api **ret, const struct pst_api_opts *opts, struct pst_err *err)
{
    auto_(pst_api_stop) struct pst_api *api = pst_zalloc(1, sizeof *api);

    if (!api)
        return pst_fail_nomem(err, "the API");
    api->opts = *opts;
    int rc = read_settings(&api->set, opts->conf, err);
    if (rc == PST_OK)
        rc = load_roots(api, err);
    if (rc == PST_OK)
        rc = pst_limiter_new(&api->limiter, opts->rand, err);
    if (rc == PST_OK)
        rc = pst_slots_new(&api->proofs, (api->set.workers + 1) / 2, err);
    if (rc == PST_OK)
        rc = pst_slots_new(&api->rsa_keys, (api->set.workers + 1) / 2, err);
    if (rc == PST_OK)
        rc = pst_store_write(opts->store, load_keys, api, NULL, err);
    if (rc == PST_OK)
        rc = pst_pool_start(api, err);
    if (rc == PST_OK)
        rc = listen_all(api, err);
    if (rc != PST_OK)
        return rc < 0 ? pst_wrap(err, "starting the API") : pst_unexpected(err, rc, "the API");
    *ret = pst_take(&api);
    return PST_OK;
}

void pst_api_stop(struct pst_api *api)
{
    if (!api)
        return;
    /* libmicrohttpd must not be stopped while a connection is suspended. */
    pst_pool_stop(api);
    pst_server_stop(api);
    pst_pool_free(api);
    pst_limiter_free(api->limiter);
    pst_slots_free(api->proofs);
    pst_slots_free(api->rsa_keys);
    pst_secret_deinit(&api->jwt_key);
    pst_secret_deinit(&api->proof_key);
    pst_buf_deinit(&api->roots);
    pst_free(api);
}

void pst_api_feed_moved(struct pst_api *api, int64_t rev)
{
    (void)rev;
    pst_pool_feed_moved(api);
}

uint16_t pst_api_port(const struct pst_api *api, size_t i)
{
    return i < api->listeners_n ? api->listeners[i].port : 0;
}
