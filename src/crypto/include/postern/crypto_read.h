/*
 * crypto_read.h - reading what people upload: keys in every wrapping, containers, and all that a
 * judge of certificates wants to know of one.
 *
 * These functions give facts and take no decision: whether a key is long enough or a certificate
 * old is for cert/ to say.  They read hostile bytes, so they are meant to run in a process of
 * their own (`posternd --role=parse`); there, and only there, a clear key crosses this header, as
 * a struct pst_secret that its owner wipes.
 *
 * The cost of deriving a key from a passphrase is chosen by whoever made the file.  It is read
 * from the parameters and taken off a budget *before* anything is derived (struct pst_unlock).
 *
 * Failure: bytes that are not what they must be are PST_REFUSED with err.problem one of
 *   "damaged"     not of that form, or cut short
 *   "encrypted"   a passphrase is needed and none was given
 *   "passphrase"  the passphrase given does not open it
 *   "kdf_cost"    opening would cost more than the budget
 *   "cipher"      encrypted in a way that is not known here
 *   "key_type"    a key of a type that is not even decoded (DSA, Diffie-Hellman)
 *   "too_many"    more than PST_READ_OBJECTS_MAX objects in a container
 * Every function may answer PST_ENOMEM.
 */
#ifndef POSTERN_CRYPTO_READ_H
#define POSTERN_CRYPTO_READ_H

#include <postern/crypto_key.h>
#include <postern/crypto_x509.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct pst_buf;
struct pst_err;
struct pst_keyring;
struct pst_secret;

enum {
    PST_KDF_BUDGET = 700000, /* blocks of PBKDF2: half a second; 600,000 rounds are in use */
    PST_READ_OBJECTS_MAX = 64,
};

/*
 * Load what old PKCS#12 files need (RC2, single DES), which OpenSSL keeps in a provider of its
 * own, and all that reading fetches late, so that nothing is left to be opened afterwards.  Once,
 * before threads.  A missing provider is no fault: such files are then refused with "cipher".
 */
void pst_read_init(void);

/* ---- DER, without OpenSSL ---- */

/* The length of the element that begins at `in`, header and content: false when it is not whole,
 * or not definite-length DER with at most 4 bytes of length. */
bool pst_der_element(const void *in, size_t len, size_t *ret_len);

enum pst_der_kind {
    PST_DER_UNKNOWN,
    PST_DER_CERT,
    PST_DER_CSR,
    PST_DER_CRL,
    PST_DER_PUBLIC_KEY, /* SubjectPublicKeyInfo */
    PST_DER_RSA_PUBLIC, /* PKCS#1 */
    PST_DER_PKCS7,
    PST_DER_PKCS12,
    PST_DER_PKCS8,
    PST_DER_PKCS8_ENCRYPTED,
    PST_DER_RSA_KEY, /* PKCS#1 */
    PST_DER_EC_KEY,  /* SEC 1 */
    PST_DER_DSA_KEY, /* OpenSSL's own form; never decoded */
    PST_DER_KIND__COUNT
};

/* What the bytes look like, by their outermost elements only.  Indefinite lengths (BER) are
 * understood for PKCS#7 and PKCS#12. */
enum pst_der_kind pst_der_kind(const void *in, size_t len);

/* SHA-256 of the subject (or issuer) as it stands in a certificate's DER: what an issuer is looked
 * up by.  PST_OK or PST_EINPUT. */
int pst_der_subject_sha256(const void *cert, size_t len, uint8_t ret[32], struct pst_err *err);
int pst_der_issuer_sha256(const void *cert, size_t len, uint8_t ret[32], struct pst_err *err);

/* ---- private keys ---- */

/* A passphrase, and how much may still be spent on passphrases.  One for all of an upload. */
struct pst_unlock {
    const struct pst_secret *passphrase; /* NULL or empty: none was given */
    uint64_t budget;                     /* begin with PST_KDF_BUDGET */
};

/* A key in the clear, in any of the forms of pst_der_kind().  Free with pst_key_free().  Its
 * consistency is not checked (pst_key_verify()), and its type may be PST_KEY_OTHER. */
int pst_key_read(const void *der, size_t len, struct pst_key_handle **ret, struct pst_err *err);

/* EncryptedPrivateKeyInfo: PBES2 (PBKDF2, scrypt), PBES1 and PKCS#12's own ways. */
int pst_key_read_encrypted(const void *der, size_t len, struct pst_unlock *unlock,
                           struct pst_key_handle **ret, struct pst_err *err);

/* The body of an old PEM block with "Proc-Type: 4,ENCRYPTED": `dek` is "AES-256-CBC,<hex>". */
int pst_key_read_pem_encrypted(const void *body, size_t len, const char *dek,
                               struct pst_unlock *unlock, struct pst_key_handle **ret,
                               struct pst_err *err);

/* The length of an IV in such a header ("AES-256-CBC"): 0 for a cipher that is not known. */
size_t pst_pem_iv_len(const char *cipher, size_t cipher_len);

struct pst_key_facts {
    enum pst_key_type type;
    int bits;      /* modulus, order of the group; 0 when not known */
    char name[48]; /* for people: "RSA", "P-256", "secp256k1", "DSA", "ED448" */
    uint8_t spki_sha256[32];
    int exponent_bits; /* of RSA */
    bool exponent_odd; /* of RSA: odd and over 1 */
};
int pst_key_facts(const struct pst_key_handle *h, struct pst_key_facts *ret, struct pst_err *err);

/* Do the parts of the key fit each other?  Costly for long RSA keys: look at the size first.
 * PST_OK, or PST_REFUSED ("damaged"). */
int pst_key_verify(const struct pst_key_handle *h, struct pst_err *err);

/* The form of pst_key_replica_form(), and PKCS#8 DER. */
int pst_key_raw(const struct pst_key_handle *h, struct pst_secret *ret, struct pst_err *err);
int pst_key_pkcs8(const struct pst_key_handle *h, struct pst_secret *ret, struct pst_err *err);

/*
 * Seal a key that another process read, verified and gave as raw parts: the same blob as
 * pst_key_import() makes, without decoding the key here.
 *
 * PST_OK; PST_EINPUT (not the length of such a key); faults of pst_seal().
 */
int pst_key_seal_raw(struct pst_keyring *kr, enum pst_key_type type, const struct pst_secret *raw,
                     const char *kind, const char *object_id, struct pst_buf *ret_sealed,
                     struct pst_err *err);

/* ---- containers ---- */

/* Called for each object in a container; a fault ends the reading and is returned. */
struct pst_read_sink {
    int (*cert)(void *arg, const void *der, size_t len, struct pst_err *err);
    /* The key belongs to the callee, also when it fails. */
    int (*key)(void *arg, struct pst_key_handle *key, struct pst_err *err);
    void *arg;
};

/* The certificates of a signedData. */
int pst_pkcs7_read(const void *der, size_t len, const struct pst_read_sink *sink,
                   struct pst_err *err);

/* Certificates and keys; without a passphrase the empty one is tried. */
int pst_pkcs12_read(const void *der, size_t len, struct pst_unlock *unlock,
                    const struct pst_read_sink *sink, struct pst_err *err);

/* ---- certificates ---- */

struct pst_x509;

enum { PST_KEY_ID_MAX = 64, PST_AIA_MAX = 4, PST_AIA_URL_SIZE = 512 };

struct pst_x509_facts {
    struct pst_cert_info info;
    const uint8_t *der; /* owned by the pst_x509 */
    size_t der_len;
    uint8_t subject_sha256[32]; /* as pst_der_subject_sha256() */
    uint8_t issuer_sha256[32];
    char key_name[48]; /* as in struct pst_key_facts */
    char sig_name[64]; /* "RSA-SHA1" */
    int sig_bits;      /* strength of the signature's digest: 63 for SHA-1, 0 when unknown */
    bool subject_empty;
    bool usage_present;   /* a keyUsage extension */
    bool usage_sign;      /* digitalSignature; true without the extension */
    bool usage_ca;        /* keyCertSign; true without the extension */
    bool purpose_present; /* an extendedKeyUsage extension */
    bool purpose_server;  /* serverAuth or any; true without the extension */
    int64_t path_len;     /* certificates that may stand between it and a leaf; -1: no limit */
    bool constrains_names;
    char critical_oid[80];                   /* a critical extension that is not understood; "" */
    char aia[PST_AIA_MAX][PST_AIA_URL_SIZE]; /* where its issuer may be fetched: http URLs */
    size_t aia_n;
};

/* Exactly one certificate, no bytes after it.  PST_OK, or PST_REFUSED ("damaged"). */
int pst_x509_read(const void *der, size_t len, struct pst_x509 **ret, struct pst_err *err);
void pst_x509_free(struct pst_x509 *x);
const struct pst_x509_facts *pst_x509_facts(const struct pst_x509 *x);

/* Is `issuer` named as the issuer of `x` (names, key identifiers)?  Cheap. */
bool pst_x509_names_issuer(const struct pst_x509 *x, const struct pst_x509 *issuer);
/* Does its key verify the signature of `x`?  False also for RSA keys over 16,384 bits. */
bool pst_x509_signed_by(const struct pst_x509 *x, const struct pst_x509 *issuer);

/* Do the name constraints of `ca` permit the names of `x`?  True when it has none. */
bool pst_x509_names_permitted(const struct pst_x509 *x, const struct pst_x509 *ca);

#endif
