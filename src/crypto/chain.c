/* chain.c - from a heap of PEM to a checked path (RFC 8555 section 7.4.2). */
#include "crypto_internal.h"
#include <openssl/err.h>
#include <string.h>

enum { EARLY_S = 300 }; /* a CA's clock may be that far ahead of ours */

struct cert {
    X509 *x;
    struct pst_buf der;
    struct pst_cert_info info;
    bool used;
};

struct heap {
    size_t n;
    struct cert certs[PST_CHAIN_CERTS_MAX];
};

static void heap_free(struct heap *h)
{
    for (size_t i = 0; i < h->n; i++) {
        X509_free(h->certs[i].x);
        pst_buf_deinit(&h->certs[i].der);
        pst_cert_info_deinit(&h->certs[i].info);
    }
    pst_free(h);
}
PST_CLEANUP(struct heap, heap_free);

static bool is_certificate(const char *label)
{
    return pst_streq(label, "CERTIFICATE") || pst_streq(label, "X509 CERTIFICATE");
}

/* Take the block's bytes in, unless that certificate is there already. */
static int add(struct heap *h, struct pst_pem_block *block, struct pst_err *err)
{
    struct cert *c = &h->certs[h->n];
    int rc = pst_cert_from_der(pst_buf_cstr(&block->der), block->der.len, &c->x, err);

    if (rc == PST_OK)
        rc = pst_cert_read(c->x, block->der.data, block->der.len, &c->info, err);
    for (size_t i = 0; rc == PST_OK && i < h->n; i++)
        if (memcmp(h->certs[i].info.sha256, c->info.sha256, sizeof c->info.sha256) == 0)
            rc = PST_DONE;
    if (rc != PST_OK) {
        X509_free(pst_take(&c->x));
        pst_cert_info_deinit(&c->info);
        return rc == PST_DONE ? PST_OK : rc;
    }
    c->der = block->der;
    block->der = (struct pst_buf){0};
    h->n++;
    return PST_OK;
}

/* What was a fault of the bytes is the answer of this file. */
static int refuse_damaged(struct pst_err *err, size_t number)
{
    if (err) {
        (void)pst_wrap(err, "certificate %zu", number);
        err->rc = PST_REFUSED;
    }
    return pst_name_problem(err, "pem", PST_REFUSED);
}

static int read_all(const char *pem, size_t len, struct heap *h, struct pst_err *err)
{
    auto_pem_block struct pst_pem_block block = {0};
    size_t at = 0, seen = 0;
    int rc;

    if (len > PST_PEM_MAX)
        return pst_refuse(err, "pem", "the chain is longer than %d bytes", PST_PEM_MAX);
    while ((rc = pst_pem_next(pem, len, &at, PST_CERT_MAX, &block, err)) == PST_OK) {
        if (!is_certificate(block.label))
            continue;
        /* Duplicates count: the limit is on work, not on what is kept. */
        if (seen++ == PST_CHAIN_CERTS_MAX)
            return pst_refuse(err, "pem", "there are more than %d certificates",
                              PST_CHAIN_CERTS_MAX);
        rc = add(h, &block, err);
        if (rc == PST_EINPUT)
            return refuse_damaged(err, seen);
        if (rc < 0)
            return rc;
    }
    if (rc == PST_REFUSED)
        return pst_name_problem(err, "pem", rc);
    if (rc < 0)
        return rc;
    if (h->n == 0)
        return pst_refuse(err, "pem", "there is no \"-----BEGIN CERTIFICATE-----\" block");
    return PST_OK;
}

/* ---- the leaf ---- */

static int find_leaf(struct heap *h, const struct pst_chain_want *want, struct cert **ret,
                     struct pst_err *err)
{
    uint8_t spki_sha256[PST_SHA256_LEN];
    struct cert *leaf = NULL;
    int rc = pst_sha256(want->spki, want->spki_len, spki_sha256, err);

    if (rc < 0)
        return rc;
    for (size_t i = 0; i < h->n && !leaf; i++)
        if (memcmp(h->certs[i].info.spki_sha256, spki_sha256, sizeof spki_sha256) == 0)
            leaf = &h->certs[i];
    if (!leaf)
        return pst_refuse(err, "key_mismatch", "no certificate in the chain belongs to the key");
    *ret = leaf;
    return PST_OK;
}

static bool has_name(const char *const *names, size_t names_n, const char *name)
{
    for (size_t i = 0; i < names_n; i++)
        if (strcmp(names[i], name) == 0)
            return true;
    return false;
}

static int check_names(const struct pst_cert_info *leaf, const struct pst_chain_want *want,
                       struct pst_err *err)
{
    const char *const *have = (const char *const *)leaf->names;

    if (!want->names)
        return PST_OK;
    for (size_t i = 0; i < want->names_n; i++)
        if (!has_name(have, leaf->names_n, want->names[i]))
            return pst_refuse(err, "names_mismatch", "the certificate lacks the name %.253s",
                              want->names[i]);
    for (size_t i = 0; i < leaf->names_n; i++)
        if (!has_name(want->names, want->names_n, have[i]))
            return pst_refuse(err, "names_mismatch",
                              "the certificate has the name %s, which was not asked for", have[i]);
    if (leaf->other_names_n > 0)
        return pst_refuse(err, "names_mismatch",
                          "the certificate has an alternative name that is not a DNS name");
    return PST_OK;
}

static int check_times(const struct pst_cert_info *leaf, int64_t now, struct pst_err *err)
{
    char text[PST_TIME_SIZE];

    if (leaf->not_before > now + EARLY_S) {
        pst_time_format(text, leaf->not_before * 1000);
        return pst_refuse(err, "not_yet_valid", "the certificate is valid only from %s on", text);
    }
    if (leaf->not_after <= now) {
        pst_time_format(text, leaf->not_after * 1000);
        return pst_refuse(err, "expired", "the certificate expired at %s", text);
    }
    return PST_OK;
}

/* ---- the path ---- */

/* Did `issuer` sign `c`?  Names, key identifiers and key usage first, they are cheap. */
static bool signed_by(const struct cert *c, const struct cert *issuer)
{
    return issuer->info.is_ca && X509_check_issued(issuer->x, c->x) == X509_V_OK &&
           X509_verify(c->x, X509_get0_pubkey(issuer->x)) == 1;
}

/* Of several, one that is valid and no root: a cross-signed twin of the root lets older clients
 * in.  An expired one only when there is nothing better. */
static struct cert *find_issuer(struct heap *h, const struct cert *c, int64_t now)
{
    struct cert *root = NULL, *expired = NULL;

    for (size_t i = 0; i < h->n; i++) {
        struct cert *it = &h->certs[i];

        if (it->used || !signed_by(c, it))
            continue;
        if (it->info.not_after <= now)
            expired = it;
        else if (it->info.self_signed)
            root = it;
        else
            return it;
    }
    return root ? root : expired;
}

/* The path in order; the leaf stands in path[0] already. */
static int find_path(struct heap *h, int64_t now, struct cert *path[PST_CHAIN_CERTS_MAX],
                     size_t *ret_n, struct pst_err *err)
{
    struct cert *const leaf = path[0];
    struct cert *issuer;
    size_t n = 1;

    leaf->used = true;
    while (!path[n - 1]->info.self_signed && (issuer = find_issuer(h, path[n - 1], now))) {
        issuer->used = true;
        if (issuer->info.not_after <= now && n == 1)
            return pst_refuse(err, "chain_broken", "the issuer's certificate (%.120s) expired",
                              issuer->info.subject);
        if (issuer->info.self_signed || issuer->info.not_after <= now) {
            *ret_n = n;
            return PST_OK;
        }
        path[n++] = issuer;
    }
    if (n == 1 && h->n > 1 && !leaf->info.self_signed)
        return pst_refuse(err, "chain_broken",
                          "none of the other certificates signed the leaf, whose issuer is %.160s: "
                          "add that one",
                          leaf->info.issuer);
    *ret_n = n;
    return PST_OK;
}

static void hand_over(struct pst_buf *from, struct pst_der *to)
{
    to->len = from->len;
    to->data = (unsigned char *)pst_buf_take(from, NULL);
}

static int fill(struct cert *const *path, size_t n, struct pst_chain *ret, struct pst_err *err)
{
    auto_chain struct pst_chain chain = {.issuers_not_after = INT64_MAX};

    chain.last_issuer_cn = pst_strdup(path[n - 1]->info.issuer_cn);
    chain.issuers = pst_zalloc(n, sizeof *chain.issuers);
    if (!chain.last_issuer_cn || !chain.issuers)
        return pst_fail_nomem(err, "a chain");

    for (size_t i = 1; i < n; i++) {
        if (path[i]->info.not_after < chain.issuers_not_after)
            chain.issuers_not_after = path[i]->info.not_after;
        hand_over(&path[i]->der, &chain.issuers[chain.issuers_n++]);
    }
    hand_over(&path[0]->der, &chain.leaf);
    chain.info = path[0]->info;
    path[0]->info = (struct pst_cert_info){0};

    pst_chain_deinit(ret);
    *ret = chain;
    chain = (struct pst_chain){0};
    return PST_OK;
}

int pst_chain_check(const char *pem, size_t len, const struct pst_chain_want *want,
                    struct pst_chain *ret, struct pst_err *err)
{
    auto_(heap_free) struct heap *heap = pst_zalloc(1, sizeof *heap);
    struct cert *path[PST_CHAIN_CERTS_MAX];
    size_t n = 0;
    int rc;

    if (!heap)
        return pst_fail_nomem(err, "a chain");
    path[0] = heap->certs;
    rc = read_all(pem, len, heap, err);
    if (rc == PST_OK)
        rc = find_leaf(heap, want, &path[0], err);
    if (rc != PST_OK)
        return rc;
    rc = check_names(&path[0]->info, want, err);
    if (rc == PST_OK)
        rc = check_times(&path[0]->info, want->now, err);
    if (rc == PST_OK)
        rc = find_path(heap, want->now, path, &n, err);
    ERR_clear_error(); /* candidates that did not sign leave notes */
    if (rc == PST_OK)
        rc = fill(path, n, ret, err);
    return rc;
}

void pst_chain_deinit(struct pst_chain *chain)
{
    for (size_t i = 0; i < chain->issuers_n; i++)
        pst_free(chain->issuers[i].data);
    pst_free(chain->issuers);
    pst_free(chain->leaf.data);
    pst_free(chain->last_issuer_cn);
    pst_cert_info_deinit(&chain->info);
    *chain = (struct pst_chain){0};
}

/* ---- an operator's pair ---- */

int pst_cert_load_pem_pair(struct pst_keyring *kr, const struct pst_pem_pair *in, const char *kind,
                           const char *object_id, struct pst_chain *ret_chain,
                           struct pst_buf *ret_sealed, struct pst_key_info *ret_info,
                           struct pst_err *err)
{
    auto_chain struct pst_chain chain = {0};
    auto_buf struct pst_buf sealed = PST_BUF(PST_SEAL_MAX);
    struct pst_key_info info;
    struct pst_chain_want want = {.spki = info.spki, .now = in->now};
    int rc = pst_key_import(kr, in->key, in->key_len, kind, object_id, &sealed, &info, err);

    if (rc != PST_OK)
        return rc;
    want.spki_len = info.spki_len;
    rc = pst_chain_check(in->cert, in->cert_len, &want, &chain, err);
    if (rc != PST_OK)
        return rc;
    if (chain.info.must_staple)
        return pst_refuse(
            err, "must_staple",
            "the certificate demands OCSP stapling, which is not done: have it issued "
            "without");
    rc = pst_out(ret_sealed, sealed.data, sealed.len, "a sealed key", err);
    if (rc < 0)
        return rc;
    pst_chain_deinit(ret_chain);
    *ret_chain = chain;
    chain = (struct pst_chain){0};
    *ret_info = info;
    return PST_OK;
}
