/*
 * crypto_mac.h - digests and message authentication codes.
 *
 * Compare codes with pst_equal_ct(), never with memcmp().
 */
#ifndef POSTERN_CRYPTO_MAC_H
#define POSTERN_CRYPTO_MAC_H

#include <stddef.h>
#include <stdint.h>

struct pst_buf;
struct pst_err;

enum { PST_SHA256_LEN = 32, PST_SHA256_HEX_SIZE = 65 };

int pst_sha256(const void *data, size_t len, uint8_t ret[PST_SHA256_LEN], struct pst_err *err);
/* Lower-case hex and a NUL. */
int pst_sha256_hex(const void *data, size_t len, char ret[PST_SHA256_HEX_SIZE],
                   struct pst_err *err);

/* RFC 2104.  Any key length, also 0. */
int pst_hmac_sha256(const void *key, size_t key_len, const void *data, size_t len,
                    uint8_t ret[PST_SHA256_LEN], struct pst_err *err);
int pst_hmac_sha256_hex(const void *key, size_t key_len, const void *data, size_t len,
                        char ret[PST_SHA256_HEX_SIZE], struct pst_err *err);

/* The signature bytes of a JWS with a shared secret (external account binding, RFC 8555 section
 * 7.3.4), appended raw.  `alg` is "HS256", "HS384" or "HS512"; PST_EINPUT for another. */
int pst_jws_hmac(const char *alg, const void *key, size_t key_len, const void *signing_input,
                 size_t len, struct pst_buf *ret_raw_sig, struct pst_err *err);

#endif
