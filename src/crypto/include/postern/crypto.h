/*
 * crypto.h - all of crypto/ in one include, and what a program does first.
 *
 * crypto/ is the only module that knows OpenSSL.  Bytes go in and bytes come out: no type of that
 * library crosses these headers, and a private key crosses them only sealed (crypto_seal.h), so
 * that this module can later live in a process of its own.  The exceptions are named where they
 * stand: pst_unseal(), pst_local_unseal(), pst_box_open(), pst_box_keypair() and
 * pst_key_replica_form() give a struct pst_secret.
 *
 * Threads:  every function may be called by many threads at once, also with the same keyring, seal
 *           key or key handle, as long as nobody frees it meanwhile.
 * Blocking: only file functions and pst_tls_probe(); pst_key_new() computes (RSA: up to seconds).
 * Memory:   results go into buffers of the caller: bytes are appended to a struct pst_buf, whose
 *           limit bounds them; a struct pst_secret is replaced.  Inputs are read during the call
 *           only.
 * Failure:  a call that does not return PST_OK leaves every `ret_` result as it was.  Every
 *           function may answer PST_ENOMEM; one that appends also PST_EINPUT (the buffer's limit).
 */
#ifndef POSTERN_CRYPTO_H
#define POSTERN_CRYPTO_H

#include <postern/crypto_key.h>
#include <postern/crypto_mac.h>
#include <postern/crypto_seal.h>
#include <postern/crypto_x509.h>
#include <stdbool.h>

struct pst_err;

/*
 * Once, at the start of a program, before there are threads.
 *
 * no_core_dumps   keep secrets out of core files and away from debuggers of the same user:
 *                 PR_SET_DUMPABLE 0 and RLIMIT_CORE 0.  False is for tests and debugging.
 *
 * PST_OK, PST_ESYS, or PST_ECONFIG when the library cannot do what Postern needs (AES-256-GCM,
 * X25519, HKDF), as under a provider configuration that leaves them out.
 */
int pst_crypto_init(bool no_core_dumps, struct pst_err *err);

#endif
