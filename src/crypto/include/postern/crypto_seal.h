/*
 * crypto_seal.h - sealing of secrets at rest and on the way to an edge.
 *
 * Three ways, all AES-256-GCM:
 *
 *   keyring   the control plane's.  A master key in a file wraps *data keys*; data keys seal
 *             objects.  Wrapped data keys are kept by the caller (a database table), so that a new
 *             master key means new wrapping, not new sealing.
 *   local     an edge's own key: seals what stands in its replica.
 *   box       to the holder of an X25519 key: secrets on the way to an edge.
 *
 * A blob is bound to what it belongs to (kind and id are authenticated with it), so that a blob
 * moved to another row or renamed does not open.  `kind` is a short word without '/'.
 *
 * Layout of a sealed blob, keyring and local alike:
 *     1 byte version (1) | 4 bytes key id, little-endian | 12 bytes nonce | ciphertext | 16 bytes
 * tag associated data: "<kind>/<object id>" Layout of a box: 1 byte version (1) | 32 bytes
 * ephemeral public key | ciphertext | 16 bytes tag key: HKDF-SHA256 of the X25519 secret, salt =
 * ephemeral || recipient public key, info "postern box v1", 32 bytes; the nonce is zero, because a
 * key seals one box only Layout of a wrapped data key: 1 byte version (1) | 4 bytes master key id |
 * 4 bytes data key id (both little-endian) | 12 bytes nonce | 32 bytes ciphertext | 16 bytes tag
 *     associated data: "data-key/<data key id, 8 hex digits>"
 *
 * Nonces are random; one data key is meant for fewer than 2^32 blobs.
 */
#ifndef POSTERN_CRYPTO_SEAL_H
#define POSTERN_CRYPTO_SEAL_H

#include <stddef.h>
#include <stdint.h>

struct pst_buf;
struct pst_err;
struct pst_rand;
struct pst_secret;

enum {
    PST_SEAL_OVERHEAD = 33,     /* bytes a sealed blob is longer than what is in it */
    PST_BOX_OVERHEAD = 49,      /* the same for a box */
    PST_SEAL_MAX = 1024 * 1024, /* most bytes that are sealed at once */
    PST_WRAPPED_KEY_LEN = 69,
};

/* A sealed object as it lies in the database, with what it is bound to. */
struct pst_sealed {
    const char *kind;
    const char *object_id;
    const void *blob;
    size_t len;
};

/* ---- keyring ---- */

struct pst_keyring;

/*
 * Read the master key.
 *
 * master_file   a path, or "credential:<name>" for the systemd credential of that name (a file in
 *               $CREDENTIALS_DIRECTORY).  One line each: "postern-master-key-v1 <key id, 8 hex
 *               digits> <base64 of 32 bytes>".  The first key wraps; further ones (up to 8 in all)
 *               only unwrap, for the time of a change.
 * rand          source of nonces and data keys; must outlive the keyring.
 *
 * The keyring holds no data key yet: pst_seal() fails until one is added.
 * PST_OK; PST_NOTFOUND (no such file); PST_ECONFIG (loose permissions or not that format);
 * PST_ESYS. A credential may be readable by its group, because systemd's access list shows as group
 * bits. Free with pst_keyring_free(), which wipes it.
 */
int pst_keyring_open(struct pst_keyring **ret, const char *master_file, struct pst_rand *rand,
                     struct pst_err *err);
void pst_keyring_free(struct pst_keyring *kr);

/* Make a new master key file, mode 0600, durable.  PST_OK; PST_CONFLICT (it exists; it is left
 * alone); PST_ESYS. */
int pst_keyring_create_file(const char *path, struct pst_rand *rand, struct pst_err *err);

/* Make a data key and append its wrapped form.  It is *not* used before it is added: store it
 * durably first, then add it, so that nothing is ever sealed under a key that was lost. */
int pst_keyring_new_data_key(struct pst_keyring *kr, struct pst_buf *ret_wrapped,
                             struct pst_err *err);

/* Unwrap a data key and use it.  The key added last seals, all of them open: add the oldest first.
 * One that is there already becomes the one that seals.  At most 1,000.
 * PST_OK; PST_ECONFIG (wrapped by a master key that the file does not hold); PST_EINTERNAL
 * (damaged, or too many). */
int pst_keyring_add_data_key(struct pst_keyring *kr, const void *wrapped, size_t len,
                             struct pst_err *err);

/* The same data key wrapped by the first master key of the file: for a change of master key.
 * PST_OK; PST_DONE (it is so already, nothing is appended); faults as pst_keyring_add_data_key().
 */
int pst_keyring_rewrap(struct pst_keyring *kr, const void *wrapped, size_t len,
                       struct pst_buf *ret_wrapped, struct pst_err *err);

/* Append the sealed form of `plain`.  PST_OK; PST_ECONFIG (no data key was added); PST_EINPUT
 * (longer than PST_SEAL_MAX or than the buffer takes); PST_EINTERNAL (kind empty or with '/'). */
int pst_seal(struct pst_keyring *kr, const char *kind, const char *object_id, const void *plain,
             size_t len, struct pst_buf *ret, struct pst_err *err);

/* PST_OK; PST_EINTERNAL: damaged, of another kind or object, of a version or key we do not have. */
int pst_unseal(struct pst_keyring *kr, const char *kind, const char *object_id, const void *blob,
               size_t len, struct pst_secret *ret, struct pst_err *err);

/* ---- the edge's local key (key id 0) ---- */

struct pst_seal_key;

/* `rand` gives the nonces and must outlive the key.  Free with pst_seal_key_free(), which wipes. */
int pst_seal_key_new(struct pst_seal_key **ret, const uint8_t secret[32], struct pst_rand *rand,
                     struct pst_err *err);
void pst_seal_key_free(struct pst_seal_key *key);

/* As pst_seal() and pst_unseal(), with the replica's kind and key ("cert", "123"). */
int pst_local_seal(const struct pst_seal_key *key, const char *kind, const char *object_key,
                   const void *plain, size_t len, struct pst_buf *ret, struct pst_err *err);
int pst_local_unseal(const struct pst_seal_key *key, const char *kind, const char *object_key,
                     const void *blob, size_t len, struct pst_secret *ret, struct pst_err *err);

/* ---- boxes ---- */

/* A new X25519 pair: 32 secret bytes, 32 public bytes (RFC 7748). */
int pst_box_keypair(struct pst_secret *ret_secret, uint8_t ret_public[32], struct pst_err *err);

/* The public half of a stored secret.  PST_OK or PST_EINTERNAL (not 32 bytes). */
int pst_box_public(const struct pst_secret *secret, uint8_t ret_public[32], struct pst_err *err);

/* PST_OK; PST_EINPUT: not a usable public key (a point of small order), or too long. */
int pst_box_seal(const uint8_t public_key[32], const char *aad, const void *plain, size_t len,
                 struct pst_buf *ret, struct pst_err *err);

/* PST_OK; PST_EINPUT: damaged, for another key, or with other associated data. */
int pst_box_open(const struct pst_secret *secret, const char *aad, const void *blob, size_t len,
                 struct pst_secret *ret, struct pst_err *err);

#endif
