/*
 * probe.c - which leaf does a server give for a name?
 *
 * The library works on memory only; sockets are ours, so that every wait has the one deadline and
 * no write raises SIGPIPE.
 */
#include "crypto_internal.h"
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <openssl/err.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>

enum { ADDRESS_MAX = 64, RECEIVED_MAX = 512 * 1024, PIECE = 8192 };

struct probe {
    const char *address;
    int fd;
    int64_t deadline; /* monotonic ms */
    size_t received;
    SSL *ssl;
    BIO *in; /* belong to ssl */
    BIO *out;
};

union address {
    struct sockaddr any;
    struct sockaddr_in v4;
    struct sockaddr_in6 v6;
};

static bool parse_address(const char *text, union address *ret, socklen_t *ret_len)
{
    char host[ADDRESS_MAX];
    const char *colon = text ? strrchr(text, ':') : NULL;
    size_t len = colon ? (size_t)(colon - text) : 0;
    bool v6 = len >= 2 && text[0] == '[' && text[len - 1] == ']';
    int64_t port;

    if (len == 0 || len >= sizeof host || !pst_parse_i64(colon + 1, 1, 65535, &port))
        return false;
    memcpy(host, text + (v6 ? 1 : 0), len - (v6 ? 2 : 0));
    host[len - (v6 ? 2 : 0)] = 0;

    *ret = (union address){0};
    if (v6) {
        ret->v6.sin6_family = AF_INET6;
        ret->v6.sin6_port = htons((uint16_t)port);
        *ret_len = sizeof ret->v6;
        return inet_pton(AF_INET6, host, &ret->v6.sin6_addr) == 1;
    }
    ret->v4.sin_family = AF_INET;
    ret->v4.sin_port = htons((uint16_t)port);
    *ret_len = sizeof ret->v4;
    return inet_pton(AF_INET, host, &ret->v4.sin_addr) == 1;
}

static int wait_for(const struct probe *p, short events, struct pst_err *err)
{
    struct pollfd fd = {.fd = p->fd, .events = events};

    for (;;) {
        int64_t left = p->deadline - pst_mono_ms(pst_clock_system());
        int n;

        if (left <= 0)
            return pst_fail(err, PST_ENET, "no answer from %s in time", p->address);
        n = poll(&fd, 1, left > 60000 ? 60000 : (int)left);
        if (n > 0)
            return PST_OK;
        if (n < 0 && errno != EINTR)
            return pst_fail_sys(err, "waiting for %s", p->address);
    }
}

static int net_fail(const struct probe *p, int error, struct pst_err *err)
{
    char text[128];

    return pst_fail(err, PST_ENET, "%s: %s", p->address, strerror_r(error, text, sizeof text));
}

static int connect_to(struct probe *p, const union address *to, socklen_t to_len,
                      struct pst_err *err)
{
    int error = 0, rc;
    socklen_t len = sizeof error;

    p->fd = socket(to->any.sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (p->fd < 0)
        return pst_fail_sys(err, "a socket");
    if (connect(p->fd, &to->any, to_len) == 0)
        return PST_OK;
    if (errno != EINPROGRESS)
        return net_fail(p, errno, err);
    rc = wait_for(p, POLLOUT, err);
    if (rc < 0)
        return rc;
    if (getsockopt(p->fd, SOL_SOCKET, SO_ERROR, &error, &len) < 0)
        return pst_fail_sys(err, "asking a socket");
    return error ? net_fail(p, error, err) : PST_OK;
}

/* What the library wants to say. */
static int flush(struct probe *p, struct pst_err *err)
{
    char piece[PIECE];
    int n;

    while ((n = BIO_read(p->out, piece, sizeof piece)) > 0) {
        for (int sent = 0; sent < n;) {
            ssize_t k = send(p->fd, piece + sent, (size_t)(n - sent), MSG_NOSIGNAL);

            if (k > 0) {
                sent += (int)k;
            } else if (k < 0 && errno == EAGAIN) {
                int rc = wait_for(p, POLLOUT, err);

                if (rc < 0)
                    return rc;
            } else if (k == 0 || errno != EINTR) {
                return net_fail(p, k == 0 ? EPIPE : errno, err);
            }
        }
    }
    return PST_OK;
}

static int receive(struct probe *p, struct pst_err *err)
{
    char piece[PIECE];
    ssize_t n;

    do {
        int rc = wait_for(p, POLLIN, err);

        if (rc < 0)
            return rc;
        n = recv(p->fd, piece, sizeof piece, 0);
    } while (n < 0 && (errno == EAGAIN || errno == EINTR));
    if (n < 0)
        return net_fail(p, errno, err);
    if (n == 0)
        return pst_fail(err, PST_ENET, "%s closed the connection during the handshake", p->address);

    p->received += (size_t)n;
    if (p->received > RECEIVED_MAX)
        return pst_fail(err, PST_ENET, "%s sends without end", p->address);
    if (BIO_write(p->in, piece, (int)n) != (int)n)
        return pst_fail_ossl(err, PST_ENOMEM, "a handshake");
    return PST_OK;
}

/* Why the handshake failed: the other side's alert, or its nonsense. */
static int judge(const struct probe *p, struct pst_err *err)
{
    unsigned long code = ERR_peek_last_error();

    if (ERR_GET_LIB(code) == ERR_LIB_SSL && ERR_GET_REASON(code) >= SSL_AD_REASON_OFFSET)
        return pst_fail_ossl(err, PST_NOTFOUND, "the server refuses the handshake");
    return pst_fail_ossl(err, PST_ENET, "the handshake failed");
}

static int shake_hands(struct probe *p, struct pst_err *err)
{
    for (;;) {
        int done, why, rc;

        ERR_clear_error();
        done = SSL_connect(p->ssl);
        why = done == 1 ? SSL_ERROR_NONE : SSL_get_error(p->ssl, done);
        if (why != SSL_ERROR_NONE && why != SSL_ERROR_WANT_READ)
            return judge(p, err);
        rc = flush(p, err);
        if (rc < 0 || done == 1)
            return rc;
        rc = receive(p, err);
        if (rc < 0)
            return rc;
    }
}

static int prepare(struct probe *p, SSL_CTX *ctx, const char *sni, struct pst_err *err)
{
    p->ssl = SSL_new(ctx);
    p->in = BIO_new(BIO_s_mem());
    p->out = BIO_new(BIO_s_mem());
    if (!p->ssl || !p->in || !p->out) {
        BIO_free(p->in);
        BIO_free(p->out);
        return pst_fail_ossl(err, PST_ENOMEM, "a handshake");
    }
    SSL_set_bio(p->ssl, p->in, p->out);
    if (sni && SSL_set_tlsext_host_name(p->ssl, sni) != 1)
        return pst_fail_ossl(err, PST_ENOMEM, "a handshake");
    return PST_OK;
}

static int read_leaf(struct probe *p, uint8_t ret[PST_SHA256_LEN], struct pst_err *err)
{
    auto_(X509_free) X509 *leaf = SSL_get1_peer_certificate(p->ssl);

    if (!leaf)
        return pst_fail(err, PST_ENET, "%s gave no certificate", p->address);
    if (X509_digest(leaf, EVP_sha256(), ret, NULL) != 1)
        return pst_fail_ossl(err, PST_EINTERNAL, "SHA-256");
    return PST_OK;
}

/* Any certificate may be asked about, so nothing about it is judged here. */
static SSL_CTX *context(void)
{
    auto_(SSL_CTX_free) SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());

    if (!ctx || SSL_CTX_set_min_proto_version(ctx, TLS1_2_VERSION) != 1)
        return NULL;
    SSL_CTX_set_verify(ctx, SSL_VERIFY_NONE, NULL);
    SSL_CTX_set_security_level(ctx, 0);
    return pst_take(&ctx);
}

static int probe(struct probe *p, const union address *to, socklen_t to_len, const char *sni,
                 uint8_t ret[PST_SHA256_LEN], struct pst_err *err)
{
    auto_(SSL_CTX_free) SSL_CTX *ctx = context();
    int rc;

    if (!ctx)
        return pst_fail_ossl(err, PST_EINTERNAL, "a TLS context");
    rc = prepare(p, ctx, sni, err);
    if (rc == PST_OK)
        rc = connect_to(p, to, to_len, err);
    if (rc == PST_OK)
        rc = shake_hands(p, err);
    if (rc == PST_OK)
        rc = read_leaf(p, ret, err);
    if (rc != PST_OK)
        return rc;
    /* Say goodbye, so that the server logs no broken connection; whether it arrives is all one. */
    (void)SSL_shutdown(p->ssl);
    (void)flush(p, NULL);
    return PST_OK;
}

int pst_tls_probe(const char *address, const char *sni, int timeout_ms, uint8_t ret_leaf_sha256[32],
                  struct pst_err *err)
{
    struct probe p = {.address = address, .fd = -1};
    uint8_t leaf[PST_SHA256_LEN];
    union address to;
    socklen_t to_len;
    int rc;

    if (!parse_address(address, &to, &to_len))
        return pst_fail(err, PST_EINPUT,
                        "\"%.80s\" is not an address like 127.0.0.1:443 or "
                        "[::1]:443",
                        address ? address : "");
    if (sni && (sni[0] == '*' || !pst_san_name_ok(sni, true)))
        return pst_fail(err, PST_EINPUT, "\"%.260s\" is not a name that a client can ask for", sni);

    p.deadline = pst_mono_ms(pst_clock_system()) + timeout_ms;
    rc = probe(&p, &to, to_len, sni, leaf, err);
    SSL_free(p.ssl);
    pst_closep(&p.fd);
    ERR_clear_error();
    if (rc == PST_OK)
        memcpy(ret_leaf_sha256, leaf, sizeof leaf);
    return rc;
}
