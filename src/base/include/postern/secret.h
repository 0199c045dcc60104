/*
 * secret.h - bytes that must not be seen: private keys, tokens, passphrases, plain text of sealed
 * blobs.  They are wiped when released and never have a printable form; a log field made with
 * pst_kv_secret() shows "***".
 */
#ifndef POSTERN_SECRET_H
#define POSTERN_SECRET_H

#include <stddef.h>

struct pst_err;

struct pst_secret {
    unsigned char *data; /* NULL while empty; a NUL follows the last byte */
    size_t len;
};

/* Copy `len` bytes in; what it held is wiped.  PST_OK or PST_ENOMEM. */
int pst_secret_set(struct pst_secret *s, const void *data, size_t len, struct pst_err *err);

/* Wipe and release. */
void pst_secret_deinit(struct pst_secret *s);
#define auto_secret __attribute__((cleanup(pst_secret_deinit)))

#endif
