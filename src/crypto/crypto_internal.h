/*
 * crypto_internal.h - what the files of crypto/ share; here, and only here, OpenSSL's types appear.
 */
#ifndef POSTERN_CRYPTO_INTERNAL_H
#define POSTERN_CRYPTO_INTERNAL_H

#include <openssl/bio.h>
#include <openssl/bn.h>
#include <openssl/crypto.h>
#include <openssl/ec.h>
#include <openssl/evp.h>
#include <openssl/kdf.h>
#include <openssl/param_build.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>
#include <postern/base.h>
#include <postern/crypto.h>

PST_CLEANUP(ASN1_TIME, ASN1_TIME_free);
PST_CLEANUP(ASN1_OCTET_STRING, ASN1_OCTET_STRING_free);
PST_CLEANUP(BIGNUM, BN_clear_free);
PST_CLEANUP(ECDSA_SIG, ECDSA_SIG_free);
PST_CLEANUP(EVP_CIPHER_CTX, EVP_CIPHER_CTX_free);
PST_CLEANUP(EVP_KDF, EVP_KDF_free);
PST_CLEANUP(EVP_KDF_CTX, EVP_KDF_CTX_free);
PST_CLEANUP(EVP_MD_CTX, EVP_MD_CTX_free);
PST_CLEANUP(EVP_PKEY, EVP_PKEY_free);
PST_CLEANUP(EVP_PKEY_CTX, EVP_PKEY_CTX_free);
PST_CLEANUP(GENERAL_NAME, GENERAL_NAME_free);
PST_CLEANUP(GENERAL_NAMES, GENERAL_NAMES_free);
PST_CLEANUP(OSSL_PARAM, OSSL_PARAM_free);
PST_CLEANUP(OSSL_PARAM_BLD, OSSL_PARAM_BLD_free);
PST_CLEANUP(PKCS8_PRIV_KEY_INFO, PKCS8_PRIV_KEY_INFO_free);
PST_CLEANUP(SSL, SSL_free);
PST_CLEANUP(SSL_CTX, SSL_CTX_free);
PST_CLEANUP(TLS_FEATURE, TLS_FEATURE_free);
PST_CLEANUP(X509, X509_free);
PST_CLEANUP(X509_EXTENSION, X509_EXTENSION_free);
PST_CLEANUP(X509_REQ, X509_REQ_free);
PST_CLEANUP(X509_SIG, X509_SIG_free);

/* ---- faults (crypto.c) ---- */

/* Begin a fault of OpenSSL's: `rc`, or PST_ENOMEM when its error queue says so; the reason's name
 * is appended (never data).  The queue is empty afterwards. */
#define pst_fail_ossl(err, rc, what) pst_fail_ossl_((err), (rc), __FILE__, __LINE__, (what))
int pst_fail_ossl_(struct pst_err *err, int rc, const char *file, int line, const char *what);

/* Begin a refusal with a stable identifier for its reason. */
#define pst_refuse(err, problem, ...)                                                              \
    pst_name_problem((err), (problem), pst_fail((err), PST_REFUSED, __VA_ARGS__))
int pst_name_problem(struct pst_err *err, const char *problem, int rc);

/* Append, or leave the buffer's bytes as they were and say why. */
int pst_out(struct pst_buf *to, const void *data, size_t len, const char *what,
            struct pst_err *err);

/* ---- sealing (aead.c) ---- */

enum { PST_AEAD_NONCE = 12, PST_AEAD_TAG = 16, PST_AEAD_KEY = 32, PST_AAD_SIZE = 600 };

/* What one AES-256-GCM call needs besides the text. */
struct pst_aead {
    const uint8_t *key;
    const uint8_t *nonce;
    const char *aad;
};

/* out takes len bytes and the tag. */
int pst_aead_seal(const struct pst_aead *a, const void *plain, size_t len, uint8_t *out,
                  struct pst_err *err);
/* in holds ciphertext and tag, together len bytes.  PST_REFUSED when it does not authenticate. */
int pst_aead_open(const struct pst_aead *a, const uint8_t *in, size_t len, struct pst_secret *ret,
                  struct pst_err *err);

/* "<kind>/<id>".  PST_OK or PST_EINTERNAL. */
int pst_aad(char to[PST_AAD_SIZE], const char *kind, const char *id, struct pst_err *err);

/* The common blob (version, key id, nonce, ciphertext, tag). */
struct pst_blob_key {
    uint32_t id;
    const uint8_t *key;
    struct pst_rand *rand;
};
int pst_blob_seal(const struct pst_blob_key *key, const char *aad, const void *plain, size_t len,
                  struct pst_buf *ret, struct pst_err *err);
/* The key id in a blob.  PST_OK or PST_EINTERNAL (too short, unknown version). */
int pst_blob_key_id(const void *blob, size_t len, uint32_t *ret, struct pst_err *err);
int pst_blob_open(const uint8_t *key, const char *aad, const void *blob, size_t len,
                  struct pst_secret *ret, struct pst_err *err);

void pst_put_u32(uint8_t *to, uint32_t v);
uint32_t pst_get_u32(const uint8_t *from);

struct pst_rand *pst_keyring_rand(const struct pst_keyring *kr);

/* ---- keys (key.c, key_raw.c, sign.c, jwk.c) ---- */

struct pst_key_handle {
    EVP_PKEY *pkey;
    enum pst_key_type type;
};
PST_CLEANUP(struct pst_key_handle, pst_key_free);

/* PST_KEY_OTHER for what is not served. */
enum pst_key_type pst_pkey_type(const EVP_PKEY *pkey);
int pst_pkey_new(enum pst_key_type type, int rsa_bits, EVP_PKEY **ret, struct pst_err *err);
/* Type, size and SubjectPublicKeyInfo; PST_EINTERNAL for one longer than PST_SPKI_MAX. */
int pst_pkey_info(const EVP_PKEY *pkey, struct pst_key_info *ret, struct pst_err *err);
/* What is sealed: one byte for the type, and the raw parts. */
int pst_key_stored_form(enum pst_key_type type, const struct pst_secret *raw,
                        struct pst_secret *ret, struct pst_err *err);
int pst_pkey_seal(struct pst_keyring *kr, const EVP_PKEY *pkey, const char *kind,
                  const char *object_id, struct pst_buf *ret, struct pst_err *err);

/* Raw parts, as pst_key_replica_form() describes them. */
int pst_raw_from_pkey(const EVP_PKEY *pkey, struct pst_secret *ret, struct pst_err *err);
int pst_raw_to_pkey(enum pst_key_type type, const uint8_t *raw, size_t len, EVP_PKEY **ret,
                    struct pst_err *err);

/* Public coordinates of an EC key, each `width` bytes. */
int pst_pkey_point(const EVP_PKEY *pkey, uint8_t *x, uint8_t *y, int width, struct pst_err *err);
/* Bytes of a coordinate: 32, 48, 66; 0 for other types. */
int pst_key_width(enum pst_key_type type);

/* DER ECDSA signature to r || s of 2 * width bytes. */
int pst_ecdsa_raw(const uint8_t *der, size_t len, int width, uint8_t *to, struct pst_err *err);

int pst_jwk_write(const EVP_PKEY *pkey, struct pst_buf *ret_json, struct pst_err *err);

/* One private key in DER: `label` is the PEM label, or NULL when there was none. */
int pst_pkey_from_der(const char *label, const uint8_t *der, size_t len, EVP_PKEY **ret,
                      struct pst_err *err);

/* ---- PEM (pem.c) ---- */

enum { PST_PEM_LABEL_SIZE = 64 };

struct pst_pem_block {
    char label[PST_PEM_LABEL_SIZE];
    bool has_headers; /* such as "Proc-Type: 4,ENCRYPTED"; then der is empty */
    struct pst_buf der;
};
void pst_pem_block_deinit(struct pst_pem_block *b);
#define auto_pem_block __attribute__((cleanup(pst_pem_block_deinit)))

/*
 * The next block from *at on (moved behind it).  Text between blocks is skipped, CR LF and LF are
 * line ends, blanks at line ends are ignored.  `ret` must be initialised or used before.
 * PST_OK; PST_NOTFOUND (no further block); PST_REFUSED (damaged or longer than `max`).
 */
int pst_pem_next(const char *text, size_t len, size_t *at, size_t max, struct pst_pem_block *ret,
                 struct pst_err *err);

/* ---- certificates (cert.c, san.c, chain.c) ---- */

/* A DNS name as certificates hold them: lower-case letters, digits, hyphens, labels of 1 to 63, 253
 * in all; `*` only as the whole first label.  Underscores only with `lax`. */
bool pst_san_name_ok(const char *name, bool lax);

/* The extension for a list of names.  PST_EINPUT names the first that is not one. */
int pst_san_ext(const char *const *names, size_t names_n, X509_EXTENSION **ret,
                struct pst_err *err);

/* One certificate and nothing behind it.  PST_EINPUT otherwise. */
int pst_cert_from_der(const void *der, size_t len, X509 **ret, struct pst_err *err);
int pst_cert_read(X509 *x, const void *der, size_t len, struct pst_cert_info *ret,
                  struct pst_err *err);
/* RFC 9773 section 4.1: "" when there is no key identifier; false when it does not fit. */
bool pst_ari_cert_id(const uint8_t *aki, size_t aki_len, const uint8_t *serial, size_t serial_len,
                     char *to, size_t to_size);
/* Unix seconds.  PST_EINPUT for what is not a time. */
int pst_asn1_time(const ASN1_TIME *t, int64_t *ret, struct pst_err *err);

#endif
