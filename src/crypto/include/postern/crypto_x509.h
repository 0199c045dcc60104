/*
 * crypto_x509.h - certificates: reading, checking a chain, loading files, the local CA, the probe.
 *
 * Certificates come from outside: input is bounded (PEM 256 KiB, 20 certificates, 64 KiB each) and
 * every text taken from one is valid UTF-8 with control characters escaped.
 */
#ifndef POSTERN_CRYPTO_X509_H
#define POSTERN_CRYPTO_X509_H

#include <postern/crypto_key.h>
#include <postern/crypto_seal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct pst_buf;
struct pst_err;
struct pst_keyring;

enum {
    PST_PEM_MAX = 256 * 1024,
    PST_CERT_MAX = 64 * 1024,
    PST_CHAIN_CERTS_MAX = 20,
    PST_CERT_NAMES_MAX = 1000,
    PST_SERIAL_MAX = 32, /* bytes; RFC 5280 allows 20 */
};

/* ---- one certificate ---- */

/* What stands in a certificate.  Zero it before first use; pst_cert_info_deinit() releases the
 * texts. */
struct pst_cert_info {
    uint8_t sha256[32];      /* of the DER */
    uint8_t spki_sha256[32]; /* of SubjectPublicKeyInfo */
    int64_t not_before;      /* Unix s */
    int64_t not_after;       /* Unix s, the last second of validity */
    enum pst_key_type key_type;
    int key_bits;
    char serial[2 * PST_SERIAL_MAX + 1]; /* lower-case hex of the DER INTEGER's content, without a
                                            leading 00; "00" for zero */
    char *subject;                       /* "/C=FR/O=Acme/CN=x"; "" when empty */
    char *issuer;                        /* the same form */
    char *subject_cn;                    /* the last CN, or "" */
    char *issuer_cn;                     /* the last CN, or "" */
    char **names; /* DNS names of the SAN extension, lower case, in their order */
    size_t names_n;
    size_t other_names_n; /* SAN entries that are not well-formed DNS names */
    bool is_ca;
    bool self_signed; /* issuer = subject and the signature is its own */
    bool has_aki;
    bool must_staple;      /* RFC 7633 */
    char ari_cert_id[160]; /* RFC 9773 section 4.1; "" without an authority key identifier */
};
void pst_cert_info_deinit(struct pst_cert_info *info);
#define auto_cert_info __attribute__((cleanup(pst_cert_info_deinit)))

/* Exactly one certificate, no bytes after it.  PST_OK or PST_EINPUT. */
int pst_cert_parse_der(const void *der, size_t len, struct pst_cert_info *ret, struct pst_err *err);

/* Does it cover `name` (lower-case A-label, or `*.x`, which only the same SAN covers)?  A wildcard
 * SAN covers exactly one label.  The subject's CN never counts (RFC 9525). */
bool pst_cert_covers(const struct pst_cert_info *info, const char *name);

/* ---- a chain ---- */

struct pst_der {
    unsigned char *data;
    size_t len;
};

/* A leaf and the way up from it.  Zero it before first use. */
struct pst_chain {
    struct pst_der leaf;
    struct pst_der *issuers; /* in order, without the root */
    size_t issuers_n;
    struct pst_cert_info info; /* of the leaf */
    char *last_issuer_cn;      /* issuer CN of the last certificate kept (leaf when there are no
                                  issuers): what a preferred chain is chosen by; "" if none */
    int64_t issuers_not_after; /* the earliest end among issuers, Unix s; INT64_MAX without any */
};
void pst_chain_deinit(struct pst_chain *chain);
#define auto_chain __attribute__((cleanup(pst_chain_deinit)))

/* What the chain must be. */
struct pst_chain_want {
    const void *spki; /* our public key */
    size_t spki_len;
    const char *const *names; /* the order's identifiers; NULL: any names */
    size_t names_n;
    int64_t now; /* Unix s */
};

/*
 * Check what the CA gave (RFC 8555 section 7.4.2) before it is stored: the leaf is found by our
 * key, its names are the order's, it is valid now (not_before up to 5 minutes ahead), and each
 * certificate is signed by the next.  Only the path from the leaf is kept, in order: duplicates,
 * strangers, text between blocks and a self-signed root are dropped; so is an expired issuer above
 * the leaf's own, with all above it.
 *
 * PST_OK, or PST_REFUSED with err.problem one of
 *   "pem"            no certificate, too many, too long, or a damaged block
 *   "key_mismatch"   no certificate has our key
 *   "names_mismatch" not the names of the order
 *   "not_yet_valid", "expired"   the leaf
 *   "chain_broken"   there are other certificates, but none of them signed the leaf, or it expired
 */
int pst_chain_check(const char *pem, size_t len, const struct pst_chain_want *want,
                    struct pst_chain *ret, struct pst_err *err);

/* Certificate and key as PEM text, from an operator's files. */
struct pst_pem_pair {
    const char *cert; /* leaf and issuers, any order */
    size_t cert_len;
    const char *key;
    size_t key_len;
    int64_t now; /* Unix s */
};

/*
 * Check an operator's pair and take the key in.  Answers of pst_key_import() and pst_chain_check()
 * and PST_REFUSED with problem "must_staple" (nothing staples, so clients would refuse it).
 */
int pst_cert_load_pem_pair(struct pst_keyring *kr, const struct pst_pem_pair *in, const char *kind,
                           const char *object_id, struct pst_chain *ret_chain,
                           struct pst_buf *ret_sealed, struct pst_key_info *ret_info,
                           struct pst_err *err);

/* Append "-----BEGIN <label>-----", base64 in lines of 64, and the end line. */
void pst_pem_write(const void *der, size_t len, const char *label, struct pst_buf *to);

/* ---- the local CA: gives the platform default until the operator brings a certificate ---- */

/*
 * A new root: P-256, ten years from `now` (Unix s), may only sign leaves (path length 0).
 * The key is sealed under kind and object_id, the certificate is DER; export it with
 * pst_pem_write(.., "CERTIFICATE", ..).
 */
int pst_local_ca_new(struct pst_keyring *kr, const char *kind, const char *object_id,
                     const char *common_name, int64_t now, struct pst_buf *ret_sealed,
                     struct pst_buf *ret_cert_der, struct pst_err *err);

struct pst_local_ca {
    struct pst_sealed key;
    const void *cert; /* DER */
    size_t cert_len;
};

/* What to issue, and what its key is sealed under. */
struct pst_local_ca_request {
    const char *const *names;
    size_t names_n;
    int64_t not_before; /* Unix s */
    int64_t not_after;  /* cut to the root's own end */
    const char *kind;
    const char *object_id;
};

/* A P-256 leaf for TLS servers with a new key.  PST_OK; PST_EINPUT (names or times). */
int pst_local_ca_issue(struct pst_keyring *kr, const struct pst_local_ca *ca,
                       const struct pst_local_ca_request *req, struct pst_buf *ret_sealed,
                       struct pst_buf *ret_leaf_der, struct pst_err *err);

/* ---- is it served? ---- */

/*
 * Shake hands (TLS 1.2 or 1.3) and report which leaf is served; nothing is verified.
 *
 * address     literal: "127.0.0.1:8443" or "[::1]:8443"
 * sni         NULL sends none
 * timeout_ms  for all of it: connecting and the handshake
 *
 * PST_OK; PST_NOTFOUND (the server refused the handshake with an alert, as for an unknown name);
 * PST_ENET (not reached, broken off, too late, not TLS); PST_ESYS (no
 * socket to be had); PST_EINPUT (not such an address, or no SNI that may be sent).
 */
int pst_tls_probe(const char *address, const char *sni, int timeout_ms, uint8_t ret_leaf_sha256[32],
                  struct pst_err *err);

#endif
