/* setup.c - logging, master key, database. */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "daemon_internal.h"

int pst_daemon_set_logging(struct daemon *d, struct pst_err *err)
{
    int rc = pst_log_set_levels(pst_conf_text(d->conf, PST_CONF_LOG_LEVEL), err);
    if (rc != PST_OK)
        return pst_wrap(err, "log.level");
    pst_log_set_json(pst_streq(pst_conf_text(d->conf, PST_CONF_LOG_FORMAT), "json"));
    return PST_OK;
}

/* Owner of leases: this host in this life.  A process that comes after a crash has another id,
 * and frees what the earlier one held. */
static void name_node(struct daemon *d)
{
    char host[65] = "localhost";
    char id[PST_ID_SIZE];

    gethostname(host, sizeof host - 1);
    pst_id_new(pst_rand_system(), id);
    snprintf(d->node, sizeof d->node, "%s/%s", host, id);
}

static int free_leases(struct pst_tx *tx, void *arg, struct pst_err *err)
{
    return pst_order_free_stale(tx, arg, err);
}

int pst_daemon_open_store(struct daemon *d, bool create, struct pst_err *err)
{
    int64_t freed = 0;

    name_node(d);
    int rc = pst_keyring_open(&d->keys, pst_conf_text(d->conf, PST_CONF_KEYS_MASTER_FILE),
                              pst_rand_system(), err);
    if (rc == PST_NOTFOUND)
        return pst_fail(err, PST_ECONFIG,
                        "there is no master key at %s: run \"posternd init\" on a "
                        "new system, or put back the copy you keep",
                        pst_conf_text(d->conf, PST_CONF_KEYS_MASTER_FILE));
    if (rc != PST_OK)
        return pst_wrap(err, "keys.master_file");

    struct pst_store_opts opts = {
        .url = pst_conf_text(d->conf, PST_CONF_DATABASE_URL),
        .node = d->node,
        .create = create,
        .keys = d->keys,
        .clock = pst_clock_system(),
        .rand = pst_rand_system(),
    };
    rc = pst_store_open(&d->store, &opts, err);
    if (rc != PST_OK)
        return rc;
    rc = pst_store_write(d->store, free_leases, &freed, NULL, err);
    if (freed)
        pst_log_info(LOG, "took over orders of an earlier run", pst_kv_i("orders", freed));
    return rc;
}

void pst_daemon_close_store(struct daemon *d)
{
    pst_store_close(d->store);
    pst_keyring_free(d->keys);
    d->store = NULL;
    d->keys = NULL;
}
