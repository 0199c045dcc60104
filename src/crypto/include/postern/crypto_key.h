/*
 * crypto_key.h - private keys: made, imported, used; outside this module only sealed.
 *
 * A sealed key is, under pst_seal(), one byte for its type and the raw parts of
 * pst_key_replica_form(), so that an edge can be given a million keys without decoding one.  A
 * handle is an opened key for repeated signing (an ACME account key); one-off signatures go
 * straight from the sealed form.
 */
#ifndef POSTERN_CRYPTO_KEY_H
#define POSTERN_CRYPTO_KEY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct pst_buf;
struct pst_err;
struct pst_keyring;
struct pst_sealed;
struct pst_secret;

enum pst_key_type {
    PST_KEY_P256,
    PST_KEY_P384,
    PST_KEY_P521,
    PST_KEY_RSA,
    PST_KEY_ED25519,
    PST_KEY_OTHER, /* in certificates that are read; never one of our keys */
    PST_KEY_TYPE__COUNT
};

/* "p256", "p384", "p521", "rsa", "ed25519", "other"; never NULL. */
const char *pst_key_type_name(enum pst_key_type type);
/* False for an unknown name and for "other". */
bool pst_key_type_parse(const char *name, enum pst_key_type *ret);

enum {
    PST_RSA_BITS_MIN = 2048,
    PST_RSA_BITS_MAX = 4096, /* more is refused: one RSA-7680 signature costs an edge 34 ms */
    PST_SPKI_MAX = 1024,     /* bytes of a public key of ours */
    PST_CSR_NAMES_MAX = 100,
};

struct pst_key_info {
    enum pst_key_type type;
    int bits;                   /* 256, 384, 521, modulus bits, 256 for Ed25519 */
    uint8_t spki[PST_SPKI_MAX]; /* SubjectPublicKeyInfo DER */
    size_t spki_len;
};

/*
 * Make a key.
 *
 * rsa_bits   2048, 3072 or 4096; ignored for other types.
 *
 * PST_OK; PST_EINPUT (type or size is not one of these); faults of pst_seal().
 */
int pst_key_new(struct pst_keyring *kr, enum pst_key_type type, int rsa_bits, const char *kind,
                const char *object_id, struct pst_buf *ret_sealed,
                struct pst_buf *ret_public_spki_der, struct pst_err *err);

/*
 * Take in somebody's key: PEM (PKCS#8, SEC 1 or PKCS#1; text around the block is skipped) or DER of
 * these, at most 64 KiB.  The key's consistency is checked.
 *
 * PST_OK, or PST_REFUSED with err.problem one of
 *   "key_format"      no private key was found, or more than one, or it is damaged
 *   "key_encrypted"   it is protected by a passphrase
 *   "key_type"        a type that is not served
 *   "key_size"        RSA outside 2048..4096 bits
 */
int pst_key_import(struct pst_keyring *kr, const void *in, size_t len, const char *kind,
                   const char *object_id, struct pst_buf *ret_sealed, struct pst_key_info *ret_info,
                   struct pst_err *err);

/* ---- signing ---- */

enum pst_sign_alg {
    PST_SIGN_ECDSA_SHA256, /* signatures as DER; JWS wants pst_jws_sign() */
    PST_SIGN_ECDSA_SHA384,
    PST_SIGN_ECDSA_SHA512,
    PST_SIGN_RSA_PKCS1_SHA256,
    PST_SIGN_RSA_PKCS1_SHA384,
    PST_SIGN_RSA_PKCS1_SHA512,
    PST_SIGN_RSA_PSS_SHA256, /* salt as long as the digest, RFC 8446 section 4.2.3 */
    PST_SIGN_RSA_PSS_SHA384,
    PST_SIGN_RSA_PSS_SHA512,
    PST_SIGN_ED25519,
    PST_SIGN_ALG__COUNT
};

/* Sign `data` (not a digest); the signature is appended.
 * PST_OK; PST_EINPUT (algorithm and key do not fit); faults of pst_unseal(). */
int pst_key_sign(struct pst_keyring *kr, const struct pst_sealed *key, enum pst_sign_alg alg,
                 const void *data, size_t len, struct pst_buf *ret_sig, struct pst_err *err);

/* The same key sealed anew under another kind and id; it does not leave this module.  Faults of
 * pst_unseal() and pst_seal(). */
int pst_key_reseal(struct pst_keyring *kr, const struct pst_sealed *key, const char *kind,
                   const char *object_id, struct pst_buf *ret_sealed, struct pst_err *err);

struct pst_key_handle;

/* Open a sealed key.  Free with pst_key_free().  Faults of pst_unseal(). */
int pst_key_open(struct pst_keyring *kr, const char *kind, const char *object_id, const void *blob,
                 size_t len, struct pst_key_handle **ret, struct pst_err *err);
void pst_key_free(struct pst_key_handle *h);

/* Type, size and public key. */
int pst_key_info(const struct pst_key_handle *h, struct pst_key_info *ret, struct pst_err *err);

/* As pst_key_sign(). */
int pst_key_handle_sign(const struct pst_key_handle *h, enum pst_sign_alg alg, const void *data,
                        size_t len, struct pst_buf *ret_sig, struct pst_err *err);

/* ---- JWS (RFC 7515, 7517, 7518, 7638, 8037) ---- */

enum { PST_JWK_THUMBPRINT_SIZE = 44 }; /* 43 characters and a NUL */

/* "ES256", "ES384", "ES512", "RS256" or "EdDSA". */
const char *pst_jws_alg(const struct pst_key_handle *h);

/* Append the signature over `signing_input` (protected "." payload) in the raw form of JWS:
 * r || s at fixed width for EC keys. */
int pst_jws_sign(const struct pst_key_handle *h, const void *signing_input, size_t len,
                 struct pst_buf *ret_raw_sig, struct pst_err *err);

/* Append the public JWK: required members only, in the order of RFC 7638, no white space. */
int pst_jwk_public(const struct pst_key_handle *h, struct pst_buf *ret_json, struct pst_err *err);

/* base64url of SHA-256 over that text. */
int pst_jwk_thumbprint(const struct pst_key_handle *h, char ret[PST_JWK_THUMBPRINT_SIZE],
                       struct pst_err *err);
/* The same from text that pst_jwk_public() wrote. */
int pst_jwk_thumbprint_json(const char *jwk, size_t len, char ret[PST_JWK_THUMBPRINT_SIZE],
                            struct pst_err *err);

/* ---- CSR ---- */

/*
 * Append a certificate request (DER): empty subject, the names as subject alternative names in the
 * order given, signed with SHA-256 (Ed25519 has its own digest), never must-staple.
 *
 * names   lower-case A-labels or `*.` and such, 1 to 100.
 *
 * PST_OK; PST_EINPUT (no names, too many, or one that is not a DNS name).
 */
int pst_csr_new(const struct pst_key_handle *h, const char *const *names, size_t names_n,
                struct pst_buf *ret_der, struct pst_err *err);

/* Who asks, for authorities that want to know: UTF-8; NULL or "" leaves a part out. */
struct pst_csr_subject {
    const char *country; /* two letters */
    const char *state;   /* state and locality: at most 128 characters */
    const char *locality;
    const char *organization; /* organization, unit and common name: at most 64 characters */
    const char *unit;
    const char *common_name;
    const char *email; /* at most 255 characters */
};

/*
 * The same with a subject, in the usual order of its parts (RFC 5280 appendix A for their lengths).
 *
 * PST_OK; PST_EINPUT (also for a part that is too long or not UTF-8: err.problem is its name,
 * "country", "state", ...).
 */
int pst_csr_new_subject(const struct pst_key_handle *h, const struct pst_csr_subject *subject,
                        const char *const *names, size_t names_n, struct pst_buf *ret_der,
                        struct pst_err *err);

/* ---- for the edge ---- */

/*
 * The key as its raw parts, the form that stands in replicas:
 *   p256   32 bytes scalar || 65 bytes uncompressed point
 *   p384   48 || 97
 *   rsa    PKCS#1 DER
 *   else   PKCS#8 DER
 * A clear key: for pst_key_box_for_edge() and the tests.
 */
int pst_key_replica_form(struct pst_keyring *kr, const char *kind, const char *object_id,
                         const void *blob, size_t len, enum pst_key_type *ret_type,
                         struct pst_secret *ret, struct pst_err *err);

/* That form boxed to an edge; `aad` is "<kind>/<key>" of the feed object ("cert/123"). */
int pst_key_box_for_edge(struct pst_keyring *kr, const struct pst_sealed *key,
                         const uint8_t edge_public[32], const char *aad, struct pst_buf *ret,
                         struct pst_err *err);

#endif
