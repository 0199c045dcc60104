/* account.c - the ACME account as the operator wants it: key, contact, agreement. */
#include <stdio.h>
#include <string.h>

#include "daemon_internal.h"

PST_CLEANUP(struct pst_key_handle, pst_key_free);

struct work {
    struct daemon *d;
    const struct account_request *req;
    struct pst_account account;
};

/* A new account with its key: stored before the CA ever sees it. */
static int make(struct work *w, struct pst_err *err)
{
    struct daemon *d = w->d;
    struct pst_account *a = &w->account;
    auto_buf struct pst_buf spki = PST_BUF(PST_SPKI_MAX);
    auto_(pst_key_free) struct pst_key_handle *key = NULL;

    *a = (struct pst_account){.sealed = PST_BUF(PST_SEAL_MAX)};
    pst_id_new(pst_rand_system(), a->id);
    if (!pst_str_copy(a->directory, sizeof a->directory,
                      pst_conf_text(d->conf, PST_CONF_ACME_DIRECTORY)))
        return pst_fail(err, PST_ECONFIG, "acme.directory is longer than 511 bytes");
    pst_str_copy(a->status, sizeof a->status, "valid");
    int rc = pst_key_new(d->keys, PST_KEY_P256, 0, "account", a->id, &a->sealed, &spki, err);
    if (rc == PST_OK)
        rc = pst_key_open(d->keys, "account", a->id, a->sealed.data, a->sealed.len, &key, err);
    if (rc == PST_OK)
        rc = pst_jwk_thumbprint(key, a->thumbprint, err);
    return rc;
}

static void apply(struct work *w)
{
    struct pst_account *a = &w->account;

    if (w->req->contact)
        pst_str_copy(a->contact, sizeof a->contact, w->req->contact);
    if (w->req->agree_terms && !a->terms_agreed_at_ms)
        a->terms_agreed_at_ms = pst_wall_ms(pst_clock_system());
    /* What the operator does here is also how a blocked account is taken up again. */
    if (pst_streq(a->status, "blocked")) {
        pst_str_copy(a->status, sizeof a->status, "valid");
        a->reason[0] = '\0';
    }
}

static int account_tx(struct pst_tx *tx, void *arg, struct pst_err *err)
{
    struct work *w = arg;
    const char *directory = pst_conf_text(w->d->conf, PST_CONF_ACME_DIRECTORY);

    pst_account_deinit(&w->account);
    w->account = (struct pst_account){0};
    int rc = pst_account_by_directory(tx, directory, &w->account, err);
    if (rc < 0)
        return rc;
    bool fresh = rc == PST_NOTFOUND;
    if (fresh) {
        rc = make(w, err);
        if (rc != PST_OK)
            return rc;
    }
    apply(w);
    return fresh ? pst_account_insert(tx, &w->account, err)
                 : pst_account_update(tx, &w->account, err);
}

int pst_daemon_account(struct daemon *d, const struct account_request *req, struct pst_err *err)
{
    struct work w = {.d = d, .req = req};
    int rc = pst_store_write(d->store, account_tx, &w, NULL, err);
    pst_account_deinit(&w.account);
    return rc < 0 ? pst_wrap(err, "the ACME account") : rc;
}
