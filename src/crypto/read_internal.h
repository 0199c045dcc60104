/* read_internal.h - what the files behind crypto_read.h share. */
#ifndef POSTERN_READ_INTERNAL_H
#define POSTERN_READ_INTERNAL_H

#include "crypto_internal.h"
#include <openssl/pkcs12.h>
#include <openssl/pkcs7.h>
#include <postern/crypto_read.h>

PST_CLEANUP(PKCS7, PKCS7_free);
PST_CLEANUP(PKCS12, PKCS12_free);
PST_CLEANUP(PBEPARAM, PBEPARAM_free);
PST_CLEANUP(PBE2PARAM, PBE2PARAM_free);
PST_CLEANUP(PBKDF2PARAM, PBKDF2PARAM_free);
PST_CLEANUP(SCRYPT_PARAMS, SCRYPT_PARAMS_free);
PST_CLEANUP(EVP_CIPHER, EVP_CIPHER_free);

/* A refusal of reading, with OpenSSL's reason; its queue is empty afterwards. */
int pst_read_refuse(struct pst_err *err, const char *problem, const char *what);

/* Take `rounds` times `blocks` off the budget.  PST_REFUSED ("kdf_cost"). */
int pst_kdf_spend(struct pst_unlock *unlock, const ASN1_INTEGER *rounds, uint64_t blocks,
                  struct pst_err *err);

/* Take the cost of a password-based encryption off the budget.  PST_REFUSED ("kdf_cost", "cipher",
 * "damaged"). */
int pst_pbe_spend(struct pst_unlock *unlock, const X509_ALGOR *alg, struct pst_err *err);

/* The passphrase for OpenSSL: "" without one. */
const char *pst_unlock_text(const struct pst_unlock *unlock, int *ret_len);
bool pst_unlock_given(const struct pst_unlock *unlock);

/* Opening failed: is the passphrase to blame, or is there none, or no such cipher? */
int pst_unlock_failed(const struct pst_unlock *unlock, struct pst_err *err);

/* "P-256", "RSA", "secp256k1": for people. */
void pst_pkey_name(const EVP_PKEY *pkey, char *to, size_t size);

/* pst_key_verify() for RSA. */
int pst_rsa_verify(EVP_PKEY *pkey, struct pst_err *err);

/* PST_REFUSED: "key_type", "damaged". */
int pst_key_from_pkcs8(const PKCS8_PRIV_KEY_INFO *p8, struct pst_key_handle **ret,
                       struct pst_err *err);

/* A handle that owns `pkey`, also when it fails. */
int pst_key_wrap(EVP_PKEY *pkey, struct pst_key_handle **ret, struct pst_err *err);

#endif
