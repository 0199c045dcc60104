/* request.c - what a new order asks for besides its name: a profile, and which certificate the new
 * one replaces (RFC 9773 section 5: a renewal that says so does not count against most limits). */
#include <string.h>

#include "order_internal.h"

struct wish {
    const char *profile; /* NULL: the CA's default */
    char replaces[160];  /* "": none */
};

struct replaced {
    struct pst_order *o;
    struct pst_certificate cert;
};

static int replaced_tx(struct pst_tx *tx, void *arg, struct pst_err *err)
{
    struct replaced *r = arg;
    struct pst_domain d;

    int rc = pst_domain_get(tx, r->o->row.domain_id, &d, err);
    if (rc == PST_OK)
        rc = d.acme_cert ? pst_certificate_load(tx, d.acme_cert, &r->cert, err) : PST_NOTFOUND;
    return rc;
}

static int find_replaced(struct pst_order *o, struct wish *ret, struct pst_err *err)
{
    struct replaced r = {.o = o};
    struct pst_cert_info info = {0};

    int rc = pst_store_read(o->env->o.store, replaced_tx, &r, err);
    if (rc == PST_OK)
        rc = pst_cert_parse_der(r.cert.leaf.data, r.cert.leaf.len, &info, err);
    if (rc == PST_OK && info.ari_cert_id[0])
        pst_str_copy(ret->replaces, sizeof ret->replaces, info.ari_cert_id);
    pst_cert_info_deinit(&info);
    pst_certificate_deinit(&r.cert);
    return rc < 0 ? rc : PST_OK;
}

static int wish_for(struct pst_order *o, struct wish *ret, struct pst_err *err)
{
    const struct pst_acme_directory *dir = NULL;
    const char *profile = o->env->o.profile;

    *ret = (struct wish){0};
    int rc = pst_acme_directory(&o->call, false, &dir, err);
    if (rc != PST_OK)
        return rc;
    /* A profile that the CA has given up must not keep names from their certificates. */
    if (profile[0] && pst_acme_directory_has_profile(dir, profile))
        ret->profile = profile;
    else if (profile[0])
        pst_log_warn(LOG, "the CA does not offer the profile of acme.profile; it chooses one",
                     pst_kv_s("profile", profile), pst_kv_s("name", o->row.name));
    if (dir->renewal_info)
        rc = find_replaced(o, ret, err);
    pst_acme_directory_unref(dir);
    return rc;
}

/* The certificate was replaced already, by an order whose answer was lost perhaps, or the CA does
 * not know it as one of ours. */
static bool about_replaces(enum pst_acme_problem_type type)
{
    return type == PST_ACME_ALREADY_REPLACED || type == PST_ACME_MALFORMED ||
           type == PST_ACME_UNAUTHORIZED;
}

int pst_order_send(struct pst_order *o, struct pst_acme_order **ret, struct pst_err *err)
{
    const char *names[] = {o->row.name};
    struct pst_acme_order_request req = {.names = names, .names_n = 1};
    struct wish wish;

    int rc = wish_for(o, &wish, err);
    if (rc != PST_OK)
        return rc;
    req.profile = wish.profile;
    req.replaces = wish.replaces[0] ? wish.replaces : NULL;
    rc = pst_acme_order_new(&o->call, &req, ret, err);
    if (rc == PST_OK)
        pst_log_debug(LOG, "order made", pst_kv_s("order", o->row.id),
                      pst_kv_s("name", o->row.name), pst_kv_s("replaces", req.replaces));
    if (rc == PST_OK || !req.replaces || !about_replaces(o->call.problem.type))
        return rc;
    pst_log_err(LOG, "the CA does not take the order as a renewal; it is sent as a new one", err,
                pst_kv_s("order", o->row.id), pst_kv_s("name", o->row.name));
    pst_err_clear(err);
    o->call.problem.type = PST_ACME_NONE;
    req.replaces = NULL;
    return pst_acme_order_new(&o->call, &req, ret, err);
}
