/* begin.c - from a domain that is due to an order whose intent is stored: name, key, attempt. */
#include <string.h>

#include <postern/name.h>

#include "order_internal.h"

enum { BATCH_MAX = 64 };

struct due {
    char id[PST_ID_SIZE];
    char ascii[PST_NAME_SIZE];
    int64_t attempt;
};

struct due_list {
    struct pst_order_env *env;
    struct due list[BATCH_MAX];
    int n, limit;
};

static int collect(const struct pst_domain *d, void *arg)
{
    struct due_list *l = arg;
    struct due *to = &l->list[l->n++];

    memcpy(to->id, d->id, sizeof to->id);
    memcpy(to->ascii, d->ascii, sizeof to->ascii);
    to->attempt = d->failures + 1;
    return l->n < l->limit ? 0 : PST_DONE;
}

static int collect_tx(struct pst_tx *tx, void *arg, struct pst_err *err)
{
    struct due_list *l = arg;
    l->n = 0;
    int rc =
        pst_domain_each_due(tx, pst_wall_ms(l->env->o.clock), (size_t)l->limit, collect, l, err);
    return rc < 0 ? rc : PST_OK;
}

struct intent {
    struct pst_order_env *env;
    const struct due *due;
    struct pst_order_row row;
};

static int insert_tx(struct pst_tx *tx, void *arg, struct pst_err *err)
{
    struct intent *in = arg;
    struct pst_domain d;

    /* The domain may have been removed, switched off or begun since it was found. */
    int rc = pst_domain_get(tx, in->due->id, &d, err);
    if (rc != PST_OK)
        return rc < 0 ? rc : PST_DONE;
    if (!d.acme_enabled || !d.due_at_ms || d.due_at_ms > pst_wall_ms(in->env->o.clock))
        return PST_DONE;
    rc = pst_order_insert(tx, &in->row, err);
    if (rc != PST_OK || d.wildcard || pst_streq(d.acme_method, "http-01"))
        return rc == PST_CONFLICT ? PST_DONE : rc;
    pst_str_copy(d.acme_method, sizeof d.acme_method, "http-01");
    return pst_domain_update(tx, &d, err);
}

static int fill(struct intent *in, struct pst_err *err)
{
    struct pst_order_env *env = in->env;
    struct pst_order_row *r = &in->row;
    auto_buf struct pst_buf spki = PST_BUF(PST_SPKI_MAX);
    struct order_data none = {0};

    pst_id_new(env->o.rand, r->id);
    pst_id_new(env->o.rand, r->certificate_id);
    memcpy(r->domain_id, in->due->id, sizeof r->domain_id);
    memcpy(r->name, in->due->ascii, sizeof r->name);
    enum pst_order_state first =
        pst_name_is_wildcard(r->name) ? PST_ORDER_SURVEYING : PST_ORDER_CHECKING;
    pst_str_copy(r->state, sizeof r->state, pst_order_state_name(first));
    r->lane = pst_order_lane(first);
    r->attempt = in->due->attempt;
    r->run_at_ms = pst_wall_ms(env->o.clock);
    r->sealed.max = PST_SEAL_MAX;
    r->data.max = PST_SEAL_MAX;
    int rc = pst_order_data_write(&none, &r->data, err);
    if (rc < 0)
        return rc;
    /* A key is never used that was not stored first: it comes into being with the intent. */
    return pst_key_new(pst_store_keys(env->o.store), env->key_type, env->o.rsa_bits, "certificate",
                       r->certificate_id, &r->sealed, &spki, err);
}

static int begin_one(struct pst_order_env *env, const struct due *due, struct pst_err *err)
{
    struct intent in = {.env = env, .due = due};
    int rc = fill(&in, err);
    if (rc == PST_OK)
        rc = pst_store_write(env->o.store, insert_tx, &in, NULL, err);
    pst_order_row_deinit(&in.row);
    return rc < 0 ? pst_wrap(err, "beginning an order for %s", due->ascii) : rc;
}

int pst_order_begin_due(struct pst_order_env *env, int limit, int *ret_n, struct pst_err *err)
{
    struct due_list *l = pst_zalloc(1, sizeof *l);
    if (!l)
        return pst_fail_nomem(err, "due domains");
    l->env = env;
    l->limit = limit < BATCH_MAX ? limit : BATCH_MAX;

    int begun = 0;
    int rc = pst_store_read(env->o.store, collect_tx, l, err);
    for (int i = 0; rc >= 0 && i < l->n; i++) {
        rc = begin_one(env, &l->list[i], err);
        begun += rc == PST_OK;
    }
    pst_free(l);
    *ret_n = begun;
    return rc < 0 ? rc : PST_OK;
}
