/*
 * crypto_outside.h - what the interfaces of others ask for: digests that nobody would choose today,
 * MACs by name, and a signature with a key that somebody hands us for that purpose.
 */
#ifndef POSTERN_CRYPTO_OUTSIDE_H
#define POSTERN_CRYPTO_OUTSIDE_H

#include <stddef.h>
#include <stdint.h>

struct pst_buf;
struct pst_err;
struct pst_secret;

enum { PST_SHA1_HEX_SIZE = 41, PST_HMAC_MAX = 64 };

/* Lower-case hex and a NUL.  Only where a protocol demands SHA-1 (the API of OVH). */
int pst_sha1_hex(const void *data, size_t len, char ret[PST_SHA1_HEX_SIZE], struct pst_err *err);

/* RFC 2104 with "md5", "sha1", "sha224", "sha256", "sha384" or "sha512" (TSIG, RFC 8945).
 * PST_OK, or PST_EINPUT for another name. */
int pst_hmac(const char *digest, const struct pst_secret *key, const void *data, size_t len,
             uint8_t ret[PST_HMAC_MAX], size_t *ret_len, struct pst_err *err);

/*
 * RSASSA-PKCS1-v1_5 with SHA-256 ("RS256") by a private key in PEM (PKCS#8 or PKCS#1), appended
 * raw: service accounts of Google sign their requests for a token so.
 *
 * PST_OK; PST_REFUSED: not one readable RSA key of 2048 to 4096 bits without a passphrase.
 */
int pst_rs256_pem(const struct pst_secret *pem, const void *data, size_t len,
                  struct pst_buf *ret_raw_sig, struct pst_err *err);

#endif
