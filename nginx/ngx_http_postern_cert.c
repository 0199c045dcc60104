/*
 * TLS: which certificate a handshake gets.
 *
 * client_hello   reads SNI, looks the name up, and binds the session to SNI and to whether the
 *                name is known: a session of one name is never resumed under another, nor after
 *                the name was deleted.  (The servername callback is too late for that: a ticket is
 *                looked at before it.)  Acts from the default server's SSL_CTX of the address.
 * servername     nginx's own, then: unknown names are refused here, resumption included.
 * cert           takes the ladder's first step that is valid and that this client can use.  Not
 *                called on resumption.
 */
#include "ngx_http_postern.h"

#include <openssl/err.h>
#include <openssl/x509v3.h>

enum { BYTES_PER_LEAF = 7500, BYTES_PER_KEY = 2200, CONTEXT_LEN = 32 };

/* What the callbacks of one connection hand to each other; lives in its pool. */
struct postern_tls {
    ngx_int_t found; /* of postern_find_name(); NGX_DECLINED also without SNI */
    struct pst_replica_name name;
    size_t sni_len;
    u_char sni[PST_REPLICA_NAME_MAX];
    unsigned has_sni : 1;
};

static int tls_index = -1;

ngx_int_t postern_tls_init(ngx_log_t *log)
{
    /* Once per process: reloads of the configuration meet the same index. */
    if (tls_index == -1)
        tls_index = SSL_get_ex_new_index(0, NULL, NULL, NULL, NULL);
    if (tls_index == -1) {
        ngx_log_error(NGX_LOG_EMERG, log, 0, "postern: SSL_get_ex_new_index() failed");
        return NGX_ERROR;
    }
    return NGX_OK;
}

/* ---- certificates out of the replica ---- */

static X509 *issuer_get(uint64_t id)
{
    struct pst_replica_issuer rec;
    struct postern_entry *e = postern_cache_find(POSTERN_CACHED_ISSUER, &id, sizeof id);
    const unsigned char *at;
    X509 *x;

    if (e) /* the id is a hash of the content: nothing to compare */
        return e->u.issuer;
    if (pst_replica_reader_issuer(postern.reader, id, &rec) != PST_REPLICA_OK)
        return NULL;
    at = rec.der;
    x = d2i_X509(NULL, &at, (long)rec.der_len);
    if (x == NULL) {
        ERR_clear_error();
        return NULL;
    }
    e = postern_cache_add(POSTERN_CACHED_ISSUER, &id, sizeof id, 0, rec.der_len + BYTES_PER_LEAF,
                          NULL);
    if (e == NULL) {
        X509_free(x);
        return NULL;
    }
    e->u.issuer = x;
    return x;
}

/* The chain, each issuer shared by reference.  One that is missing is left out: most clients
 * have it, and a refused handshake helps nobody. */
static STACK_OF(X509) * chain_of(const struct pst_replica_cert *rec)
{
    STACK_OF(X509) *chain = sk_X509_new_null();

    for (unsigned i = 0; chain && i < rec->issuer_n; i++) {
        X509 *x = issuer_get(rec->issuers[i]);
        if (x == NULL) {
            postern_count(CHAIN_INCOMPLETE);
            continue;
        }
        if (X509_up_ref(x) != 1 || sk_X509_push(chain, x) <= 0) {
            sk_X509_pop_free(chain, X509_free);
            return NULL;
        }
    }
    return chain;
}

static EVP_PKEY *key_of(uint64_t id, const struct pst_replica_cert *rec)
{
    static u_char plain[PST_REPLICA_SEALED_MAX];
    u_char aad[sizeof "cert/" + NGX_INT64_LEN];
    EVP_PKEY *key = NULL;
    u_char *end = ngx_sprintf(aad, "cert/%uL", id);

    ssize_t len = postern_unseal(rec->sealed, rec->sealed_len, aad, (size_t)(end - aad), plain);
    if (len > 0) {
        key = postern_key_load(rec->key, plain, (size_t)len);
        ngx_explicit_memzero(plain, (size_t)len);
    }
    if (key == NULL) {
        postern_count(UNSEAL_FAILED);
        ngx_log_error(NGX_LOG_ERR, postern.log, 0,
                      "postern: the key of certificate %uL cannot be opened or read", id);
    }
    return key;
}

static struct postern_entry *cert_load(uint64_t id, const struct pst_replica_cert *rec)
{
    const unsigned char *at = rec->leaf;
    size_t outside = rec->leaf_len + BYTES_PER_LEAF + BYTES_PER_KEY;
    struct pst_replica_seen seen;

    pst_replica_reader_seen(postern.reader, &seen);
    X509 *leaf = d2i_X509(NULL, &at, (long)rec->leaf_len);
    EVP_PKEY *key = leaf ? key_of(id, rec) : NULL;
    /* Last, because it uses the reader, and the record's pointers end with that. */
    STACK_OF(X509) *chain = key ? chain_of(rec) : NULL;
    struct postern_entry *e =
        chain ? postern_cache_add(POSTERN_CACHED_CERT, &id, sizeof id, 0, outside, NULL) : NULL;
    if (e == NULL) {
        X509_free(leaf);
        EVP_PKEY_free(key);
        sk_X509_pop_free(chain, X509_free);
        ERR_clear_error();
        return NULL;
    }
    e->generation = rec->generation;
    e->epoch = seen.epoch;
    e->u.cert.leaf = leaf;
    e->u.cert.key = key;
    e->u.cert.chain = chain;
    return e;
}

struct postern_entry *postern_cert_get(uint64_t id)
{
    struct pst_replica_cert rec;
    struct pst_replica_seen seen;
    struct postern_entry *e;
    int rc = pst_replica_reader_cert(postern.reader, id, &rec);

    if (rc == PST_REPLICA_MISSING) {
        postern_cache_drop(POSTERN_CACHED_CERT, &id, sizeof id);
        return NULL;
    }
    e = postern_cache_find(POSTERN_CACHED_CERT, &id, sizeof id);
    if (rc != PST_REPLICA_OK) {
        postern_report_reader();
        if (e)
            postern_count(CACHE_STALE);
    } else {
        pst_replica_reader_seen(postern.reader, &seen);
        if (e && e->generation == rec.generation && e->epoch == seen.epoch) {
            postern_count(CACHE_HIT);
        } else {
            postern_count(CACHE_MISS);
            e = cert_load(id, &rec);
        }
    }
    if (e)
        postern_entry_hold(e);
    return e;
}

/* ---- what the client can use ---- */

enum {
    CAN_P256 = 1 << PST_REPLICA_P256,
    CAN_RSA = 1 << PST_REPLICA_RSA,
    CAN_P384 = 1 << PST_REPLICA_P384,
    CAN_P521 = 1 << PST_REPLICA_P521,
    CAN_ED25519 = 1 << PST_REPLICA_ED25519,
    CAN_EC = CAN_P256 | CAN_P384 | CAN_P521,
};

/* Signature schemes (RFC 8446 section 4.2.3) that say which key they want; in TLS 1.2 the curve of
 * an ECDSA scheme is not fixed (RFC 5246 section 7.4.1.4.1), so any stands for all. */
static const struct {
    uint16_t scheme;
    unsigned tls13;
    unsigned tls12;
} schemes[] = {
    {0x0403, CAN_P256, CAN_EC}, {0x0503, CAN_P384, CAN_EC},
    {0x0603, CAN_P521, CAN_EC}, {0x0807, CAN_ED25519, CAN_ED25519},
    {0x0804, CAN_RSA, CAN_RSA}, {0x0805, CAN_RSA, CAN_RSA},
    {0x0806, CAN_RSA, CAN_RSA}, {0x0401, 0, CAN_RSA},
    {0x0501, 0, CAN_RSA},       {0x0601, 0, CAN_RSA},
};

/* TLS 1.2: the cipher suites and the curves must allow the key too. */
static unsigned tls12_can(SSL *ssl)
{
    STACK_OF(SSL_CIPHER) *ciphers = SSL_get_client_ciphers(ssl);
    unsigned auth = 0, curves = 0;
    int groups[64];

    for (int i = 0; i < sk_SSL_CIPHER_num(ciphers); i++) {
        switch (SSL_CIPHER_get_auth_nid(sk_SSL_CIPHER_value(ciphers, i))) {
        case NID_auth_ecdsa:
            auth |= CAN_EC | CAN_ED25519;
            break;
        case NID_auth_rsa:
            auth |= CAN_RSA;
            break;
        default:
            break;
        }
    }
    int n = (int)SSL_get1_groups(ssl, NULL);
    if (n <= 0 || n > (int)(sizeof groups / sizeof *groups))
        return auth;
    n = (int)SSL_get1_groups(ssl, groups);
    for (int i = 0; i < n; i++) {
        switch (groups[i]) {
        case NID_X9_62_prime256v1:
            curves |= CAN_P256;
            break;
        case NID_secp384r1:
            curves |= CAN_P384;
            break;
        case NID_secp521r1:
            curves |= CAN_P521;
            break;
        default:
            break;
        }
    }
    return auth & (curves | CAN_RSA | CAN_ED25519);
}

/* The key types (CAN_*) that this client can verify and negotiate. */
static unsigned client_can(SSL *ssl)
{
    unsigned can = 0;
    unsigned char sig, hash;
    ngx_uint_t is_13 = SSL_version(ssl) == TLS1_3_VERSION;
    int n = SSL_get_sigalgs(ssl, 0, NULL, NULL, NULL, NULL, NULL);

    for (int i = 0; i < n; i++) {
        if (SSL_get_sigalgs(ssl, i, NULL, NULL, NULL, &sig, &hash) <= 0)
            break;
        unsigned scheme = (unsigned)hash << 8 | sig;
        for (size_t k = 0; k < sizeof schemes / sizeof *schemes; k++) {
            if (schemes[k].scheme == scheme)
                can |= is_13 ? schemes[k].tls13 : schemes[k].tls12;
        }
    }
    if (is_13)
        return can;
    if (n <= 0) /* no such extension: an old client, its suites decide */
        can = CAN_EC | CAN_RSA;
    return can & tls12_can(ssl);
}

static ngx_uint_t usable(unsigned can, uint8_t key)
{
    return key < PST_REPLICA_KEY__END && (can & 1u << key);
}

/* ---- callbacks ---- */

static struct postern_srv_conf *srv_conf_of(ngx_connection_t *c)
{
    ngx_http_connection_t *hc = c->data;

    return ngx_http_get_module_srv_conf(hc->conf_ctx, ngx_http_postern_module);
}

/* The host_name in the server_name extension (RFC 6066 section 3), or NULL. */
static const u_char *sni_of_hello(SSL *ssl, size_t *ret_len)
{
    const unsigned char *p;
    size_t len;

    if (SSL_client_hello_get0_ext(ssl, TLSEXT_TYPE_server_name, &p, &len) != 1)
        return NULL;
    /* One list with one entry: u16 length of the list, u8 type 0, u16 length of the name. */
    if (len < 5 || ((size_t)p[0] << 8 | p[1]) != len - 2 || p[2] != 0 ||
        ((size_t)p[3] << 8 | p[4]) != len - 5)
        return NULL;
    *ret_len = len - 5;
    return p + 5;
}

/* SHA-256 over what a session is bound to. */
static ngx_int_t bind_session(SSL *ssl, const struct postern_tls *t)
{
    u_char buf[PST_REPLICA_NAME_MAX + 2], digest[EVP_MAX_MD_SIZE];
    unsigned len = 0;

    buf[0] = (u_char)t->has_sni;
    buf[1] = t->found == NGX_OK;
    ngx_memcpy(buf + 2, t->sni, t->sni_len);
    if (EVP_Digest(buf, t->sni_len + 2, digest, &len, EVP_sha256(), NULL) != 1 ||
        len < CONTEXT_LEN || SSL_set_session_id_context(ssl, digest, CONTEXT_LEN) != 1)
        return NGX_ERROR;
    return NGX_OK;
}

static int client_hello(SSL *ssl, int *alert, void *arg)
{
    ngx_connection_t *c = ngx_ssl_get_connection(ssl);
    struct postern_tls *t = SSL_get_ex_data(ssl, tls_index);
    const u_char *sni;
    size_t len = 0;

    /* Twice when the client is asked for another key share. */
    if (t == NULL) {
        t = ngx_pcalloc(c->pool, sizeof *t);
        if (t == NULL || SSL_set_ex_data(ssl, tls_index, t) != 1)
            goto failed;
    }
    t->found = NGX_DECLINED;
    sni = sni_of_hello(ssl, &len);
    t->has_sni = sni != NULL;
    t->sni_len = sni ? postern_normal_name(sni, len, t->sni) : 0;
    if (t->sni_len)
        t->found = postern_find_name(t->sni, t->sni_len, &t->name);
    if (bind_session(ssl, t) == NGX_OK)
        return SSL_CLIENT_HELLO_SUCCESS;

failed:
    *alert = SSL_AD_INTERNAL_ERROR;
    return SSL_CLIENT_HELLO_ERROR;
}

static int servername(SSL *ssl, int *ad, void *arg)
{
    ngx_connection_t *c = ngx_ssl_get_connection(ssl);
    const struct postern_tls *t = SSL_get_ex_data(ssl, tls_index);
    const struct postern_srv_conf *conf;
    int rc = ngx_http_ssl_servername(ssl, ad, arg);

    if (rc != SSL_TLSEXT_ERR_OK)
        return rc;
    /* Here and not before: nginx takes options of the default server away.  For other blocks on
     * this address too, since their tickets are made by the same callback. */
    if (!postern_ticket_possible()) {
        SSL_set_options(ssl, SSL_OP_NO_TICKET);
        (void)SSL_set_num_tickets(ssl, 0);
        postern_count(TICKET_NO_KEY);
    }
    conf = srv_conf_of(c);
    if (t == NULL || !conf->enable)
        return rc;
    if (t->has_sni && t->found == NGX_DECLINED && conf->unknown_names == POSTERN_UNKNOWN_REFUSE) {
        postern_count(HANDSHAKE_UNKNOWN);
        c->ssl->handshake_rejected = 1; /* keeps nginx's log quiet */
        *ad = SSL_AD_UNRECOGNIZED_NAME;
        return SSL_TLSEXT_ERR_ALERT_FATAL;
    }
    if (SSL_session_reused(ssl))
        postern_count(HANDSHAKE_RESUMED);
    return rc;
}

/* Give the connection this certificate.  NGX_DECLINED: it cannot be had or used. */
static ngx_int_t use_cert(SSL *ssl, uint64_t id)
{
    struct postern_entry *e = postern_cert_get(id);
    ngx_int_t rc = NGX_DECLINED;

    if (e == NULL)
        return rc;
    SSL_certs_clear(ssl);
    if (SSL_use_cert_and_key(ssl, e->u.cert.leaf, e->u.cert.key, e->u.cert.chain, 1) == 1)
        rc = NGX_OK;
    else
        ERR_clear_error();
    postern_entry_release(e);
    return rc;
}

/* The first step of the ladder that is valid and works.  NGX_OK or NGX_DECLINED. */
static ngx_int_t climb(SSL *ssl, const struct pst_replica_step *steps, ngx_uint_t n, unsigned can,
                       time_t now)
{
    for (ngx_uint_t i = 0; i < n; i++) {
        const struct pst_replica_step *s = &steps[i];
        if (now < s->not_before || now >= s->not_after)
            continue;
        if (usable(can, s->key) && use_cert(ssl, s->cert) == NGX_OK)
            return NGX_OK;
        if (s->cert2 && usable(can, s->key2) && use_cert(ssl, s->cert2) == NGX_OK)
            return NGX_OK;
        postern_count(STEP_SKIPPED);
    }
    return NGX_DECLINED;
}

static int choose(SSL *ssl, void *arg)
{
    ngx_connection_t *c = ngx_ssl_get_connection(ssl);
    const struct postern_tls *t = SSL_get_ex_data(ssl, tls_index);
    struct pst_replica_default def;
    time_t now = postern_now();
    unsigned can = client_can(ssl);

    if (c->ssl->handshaked || t == NULL)
        return 0;
    if (t->found == NGX_OK && climb(ssl, t->name.steps, t->name.step_n, can, now) == NGX_OK) {
        postern_count(HANDSHAKE_SERVED);
        return 1;
    }
    /* A name that cannot be told from an unknown one gets no certificate at all: the default one
     * would make clients remember a wrong answer. */
    if (t->has_sni && t->found == NGX_ERROR) {
        postern_count(HANDSHAKE_NO_REPLICA);
    } else if (postern_find_default(&def) == NGX_OK &&
               climb(ssl, def.steps, def.step_n, can, now) == NGX_OK) {
        postern_count(HANDSHAKE_DEFAULT);
        return 1;
    } else {
        postern_count(HANDSHAKE_NO_CERT);
    }
    /* With no certificate set OpenSSL answers handshake_failure, unless the server block has a
     * certificate file of its own. */
    c->ssl->handshake_rejected = 1;
    return 1;
}

ngx_int_t postern_tls_install(SSL_CTX *ctx, ngx_log_t *log)
{
    SSL_CTX_set_client_hello_cb(ctx, client_hello, NULL);
    SSL_CTX_set_cert_cb(ctx, choose, NULL);
    if (SSL_CTX_set_tlsext_servername_callback(ctx, servername) != 1 ||
        SSL_CTX_set_num_tickets(ctx, 1) != 1 || postern_ticket_install(ctx) != NGX_OK) {
        ngx_log_error(NGX_LOG_EMERG, log, 0, "postern: cannot install the TLS callbacks");
        return NGX_ERROR;
    }
    return NGX_OK;
}

size_t postern_connection_sni(ngx_connection_t *c, u_char to[PST_REPLICA_NAME_MAX])
{
    const struct postern_tls *t = SSL_get_ex_data(c->ssl->connection, tls_index);

    if (t == NULL)
        return 0;
    ngx_memcpy(to, t->sni, t->sni_len);
    return t->sni_len;
}
