/*
 * Session tickets with keys from the replica: made by the control plane ahead of time, the same on
 * all edges and across reloads.  Without a key that is valid now no ticket is issued.
 */
#include "ngx_http_postern.h"

#include <openssl/core_names.h>
#include <openssl/rand.h>

enum { KEYS_MAX = 16, NAME_LEN = 16, AES_LEN = 32, HMAC_LEN = 32 };

struct ticket_key {
    u_char name[NAME_LEN];
    u_char aes[AES_LEN];
    u_char hmac[HMAC_LEN];
    time_t not_before;
    time_t not_after;
};

static struct {
    struct ticket_key keys[KEYS_MAX];
    ngx_uint_t n;
    time_t read_at; /* ngx_time() of the last reading */
    EVP_CIPHER *cipher;
} tickets;

ngx_int_t postern_ticket_init(ngx_log_t *log)
{
    tickets.cipher = EVP_CIPHER_fetch(NULL, "AES-256-CBC", NULL);
    if (tickets.cipher == NULL) {
        ngx_log_error(NGX_LOG_ALERT, log, 0, "postern: no AES-256-CBC");
        return NGX_ERROR;
    }
    return NGX_OK;
}

void postern_ticket_deinit(void)
{
    EVP_CIPHER_free(tickets.cipher);
    ngx_explicit_memzero(&tickets, sizeof tickets);
}

static ngx_int_t read_key(const char *id, const struct pst_replica_ticket *rec,
                          struct ticket_key *ret)
{
    u_char aad[sizeof "ticket/" + PST_REPLICA_KEY_MAX];
    u_char plain[PST_REPLICA_TICKET_PLAIN];
    u_char *end = ngx_sprintf(aad, "ticket/%s", id);

    if (rec->sealed_len != PST_REPLICA_TICKET_PLAIN + PST_REPLICA_SEAL_OVERHEAD ||
        postern_unseal(rec->sealed, rec->sealed_len, aad, (size_t)(end - aad), plain) !=
            PST_REPLICA_TICKET_PLAIN) {
        postern_count(UNSEAL_FAILED);
        return NGX_ERROR;
    }
    ngx_memcpy(ret->name, plain, NAME_LEN);
    ngx_memcpy(ret->aes, plain + NAME_LEN, AES_LEN);
    ngx_memcpy(ret->hmac, plain + NAME_LEN + AES_LEN, HMAC_LEN);
    ngx_explicit_memzero(plain, sizeof plain);
    ret->not_before = (time_t)rec->not_before;
    ret->not_after = (time_t)rec->not_after;
    return NGX_OK;
}

/* At most once a second; what was read stays when the replica fails. */
static void refresh(void)
{
    struct ticket_key fresh[KEYS_MAX];
    struct pst_replica_ticket rec;
    char id[PST_REPLICA_KEY_MAX + 1] = "";
    ngx_uint_t n = 0;
    int rc;

    if (postern.reader == NULL || tickets.read_at == ngx_time())
        return;
    tickets.read_at = ngx_time();
    while ((rc = pst_replica_reader_next_ticket(postern.reader, id, &rec)) >= 0) {
        if (rc == PST_REPLICA_MISSING || n == KEYS_MAX)
            break;
        if (rec.not_after > postern_now() && read_key(id, &rec, &fresh[n]) == NGX_OK)
            n++;
    }
    if (rc >= 0) {
        ngx_explicit_memzero(tickets.keys, sizeof tickets.keys);
        ngx_memcpy(tickets.keys, fresh, n * sizeof *fresh);
        tickets.n = n;
    }
    ngx_explicit_memzero(fresh, sizeof fresh);
}

/* The newest key that is valid; NULL if none is. */
static const struct ticket_key *issuing_key(void)
{
    const struct ticket_key *best = NULL;
    time_t now = postern_now();

    refresh();
    for (ngx_uint_t i = 0; i < tickets.n; i++) {
        const struct ticket_key *k = &tickets.keys[i];
        if (k->not_before <= now && now < k->not_after &&
            (best == NULL || k->not_before > best->not_before))
            best = k;
    }
    return best;
}

ngx_uint_t postern_ticket_possible(void)
{
    return issuing_key() != NULL;
}

static ngx_int_t set_mac(EVP_MAC_CTX *mac, const struct ticket_key *k)
{
    OSSL_PARAM params[] = {
        OSSL_PARAM_construct_octet_string(OSSL_MAC_PARAM_KEY, (void *)k->hmac, HMAC_LEN),
        OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, (char *)"SHA256", 0),
        OSSL_PARAM_construct_end(),
    };

    return EVP_MAC_CTX_set_params(mac, params) == 1 ? NGX_OK : NGX_ERROR;
}

/* OpenSSL: -1 is an error, 0 no ticket or no such key, 1 fine, 2 fine but issue a new one. */
static int ticket_key(SSL *ssl, unsigned char *name, unsigned char *iv, EVP_CIPHER_CTX *cipher,
                      EVP_MAC_CTX *mac, int enc)
{
    const struct ticket_key *now_key = issuing_key(), *k = NULL;
    time_t now = postern_now();

    if (enc) {
        if (now_key == NULL)
            return 0;
        ngx_memcpy(name, now_key->name, NAME_LEN);
        if (RAND_bytes(iv, EVP_CIPHER_get_iv_length(tickets.cipher)) != 1 ||
            EVP_EncryptInit_ex2(cipher, tickets.cipher, now_key->aes, iv, NULL) != 1 ||
            set_mac(mac, now_key) != NGX_OK)
            return -1;
        return 1;
    }
    for (ngx_uint_t i = 0; i < tickets.n && k == NULL; i++) {
        if (ngx_memcmp(tickets.keys[i].name, name, NAME_LEN) == 0 &&
            tickets.keys[i].not_before <= now && now < tickets.keys[i].not_after)
            k = &tickets.keys[i];
    }
    if (k == NULL)
        return 0;
    if (EVP_DecryptInit_ex2(cipher, tickets.cipher, k->aes, iv, NULL) != 1 ||
        set_mac(mac, k) != NGX_OK)
        return -1;
    return k == now_key && SSL_version(ssl) != TLS1_3_VERSION ? 1 : 2;
}

ngx_int_t postern_ticket_install(SSL_CTX *ctx)
{
    return SSL_CTX_set_tlsext_ticket_key_evp_cb(ctx, ticket_key) == 1 ? NGX_OK : NGX_ERROR;
}
