/*
 * /.well-known/acme-challenge/<token>, before anything else and on every port:
 *
 *   test              answers "test" for any host: people look there first
 *   postern-<nonce>   answers HMAC-SHA256(probe key, host "|" nonce) in hex: proves to the control
 *                     plane that a name's traffic arrives at an edge of its own
 *   a token of ours   answers what the replica says, for the name it was made for, until it ends
 *
 * All other tokens are the application's.
 */
#include "ngx_http_postern.h"

#include <openssl/hmac.h>

static const u_char prefix[] = "/.well-known/acme-challenge/";
static const u_char probe_prefix[] = "postern-";

enum { TOKEN_MAX = PST_REPLICA_KEY_MAX, NONCE_MAX = 128, DIGEST_LEN = 32 };

/* The alphabet of base64url (RFC 8555 section 8.3). */
static ngx_uint_t is_token(const u_char *s, size_t len)
{
    if (len == 0 || len > TOKEN_MAX)
        return 0;
    for (size_t i = 0; i < len; i++) {
        u_char c = s[i];
        if (!((c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') ||
              c == '-' || c == '_'))
            return 0;
    }
    return 1;
}

static ngx_int_t answer_text(ngx_http_request_t *r, const u_char *text, size_t len)
{
    u_char *copy = ngx_pnalloc(r->pool, len ? len : 1);

    if (copy == NULL)
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    ngx_memcpy(copy, text, len);
    postern_count(REQUEST_CHALLENGE);
    return postern_answer(r, NGX_HTTP_OK, "text/plain", copy, len);
}

static ngx_int_t answer_probe(ngx_http_request_t *r, const u_char *host, size_t host_len,
                              const u_char *nonce, size_t nonce_len)
{
    static const u_char aad[] = "meta/probe";
    u_char key[PST_REPLICA_SEALED_MAX], msg[PST_REPLICA_NAME_MAX + 1 + NONCE_MAX];
    u_char digest[EVP_MAX_MD_SIZE], hex[2 * DIGEST_LEN];
    struct pst_replica_probe rec;
    unsigned digest_len = 0;
    u_char *ok, *end;

    if (nonce_len == 0 || nonce_len > NONCE_MAX ||
        pst_replica_reader_probe(postern.reader, &rec) != PST_REPLICA_OK)
        return NGX_DECLINED;
    ssize_t len = postern_unseal(rec.sealed, rec.sealed_len, aad, sizeof aad - 1, key);
    if (len != PST_REPLICA_PROBE_PLAIN) {
        postern_count(UNSEAL_FAILED);
        return NGX_DECLINED;
    }
    end = ngx_cpymem(msg, host, host_len);
    *end++ = '|';
    end = ngx_cpymem(end, nonce, nonce_len);
    ok = HMAC(EVP_sha256(), key, (int)len, msg, (size_t)(end - msg), digest, &digest_len);
    ngx_explicit_memzero(key, (size_t)len);
    if (ok == NULL || digest_len != DIGEST_LEN)
        return NGX_DECLINED;
    ngx_hex_dump(hex, digest, DIGEST_LEN);
    return answer_text(r, hex, sizeof hex);
}

static ngx_int_t answer_token(ngx_http_request_t *r, const u_char *host, size_t host_len,
                              const u_char *token, size_t len)
{
    struct pst_replica_challenge rec;

    if (pst_replica_reader_challenge(postern.reader, (const char *)token, len, &rec) !=
            PST_REPLICA_OK ||
        ngx_strlen(rec.name) != host_len || ngx_memcmp(rec.name, host, host_len) != 0 ||
        rec.until < postern_now())
        return NGX_DECLINED;
    return answer_text(r, (u_char *)rec.answer, ngx_strlen(rec.answer));
}

ngx_int_t postern_challenge(ngx_http_request_t *r, const u_char *host, size_t host_len)
{
    const size_t skip = sizeof prefix - 1, probe = sizeof probe_prefix - 1;

    if (r->uri.len <= skip || ngx_memcmp(r->uri.data, prefix, skip) != 0 ||
        !(r->method & (NGX_HTTP_GET | NGX_HTTP_HEAD)))
        return NGX_DECLINED;
    const u_char *token = r->uri.data + skip;
    size_t len = r->uri.len - skip;
    if (!is_token(token, len))
        return NGX_DECLINED;
    if (len == 4 && ngx_memcmp(token, "test", 4) == 0)
        return answer_text(r, token, len);
    if (postern.reader == NULL || host_len == 0)
        return NGX_DECLINED;
    if (len > probe && ngx_memcmp(token, probe_prefix, probe) == 0) {
        ngx_int_t rc = answer_probe(r, host, host_len, token + probe, len - probe);
        if (rc != NGX_DECLINED)
            return rc;
    }
    return answer_token(r, host, host_len, token, len);
}
