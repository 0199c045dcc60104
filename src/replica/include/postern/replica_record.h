/*
 * replica_record.h - the records of the replica: what they hold and how they lie in the file.
 *
 * The replica is one LMDB environment with seven named databases, one per kind.  A key is the
 * feed's key (text), except for `cert` and `issuer`, whose key is the u64 as 8 bytes big-endian.
 * A record is
 *
 *     0  u16  header length, 24 today; the body begins there
 *     2  u8   version, 1
 *     3  u8   kind (enum pst_replica_kind)
 *     4  u32  length of the whole record
 *     8  u64  generation: the feed revision of the change
 *    16  u64  checksum over the key and the record (these eight bytes taken as zero)
 *    24  body
 *
 * All numbers are little-endian.  A body is a u16 length of its fixed part, the fixed part, then
 * parts of varying length whose sizes stand in the fixed part (record.c shows each).  A newer
 * writer may lengthen header, fixed part and entries of lists, and add varying parts at the end;
 * readers skip what they do not know.  Anything else is a new format and a new `v<N>` folder.
 *
 * This header and record.c need nothing but libc: the nginx module uses them.
 *
 * Threads: pure functions.  Memory: nothing is allocated; pointers in decoded structs point into
 * the record that was decoded.  Failure: plain ints (enum pst_replica_answer).
 */
#ifndef POSTERN_REPLICA_RECORD_H
#define POSTERN_REPLICA_RECORD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The folder of this format below the replica's folder. */
#define PST_REPLICA_FORMAT_DIR "v1"

enum pst_replica_kind {
    PST_REPLICA_NAME = 1,  /* key: A-label name, exact or `*.example.com` */
    PST_REPLICA_APP,       /* key: app id */
    PST_REPLICA_CERT,      /* key: u64 */
    PST_REPLICA_ISSUER,    /* key: u64, the first 8 bytes of the SHA-256 of the DER */
    PST_REPLICA_CHALLENGE, /* key: token */
    PST_REPLICA_TICKET,    /* key: id */
    PST_REPLICA_META,      /* key: one of the PST_REPLICA_META_* below */
    PST_REPLICA_KIND__END
};

#define PST_REPLICA_META_STATE      "state"
#define PST_REPLICA_META_DEFAULT    "default"
#define PST_REPLICA_META_PROBE      "probe"
#define PST_REPLICA_META_THUMBPRINT "thumbprint"

enum pst_replica_answer {
    PST_REPLICA_OK = 0,
    PST_REPLICA_MISSING = 1,  /* there is no such record */
    PST_REPLICA_DAMAGED = -1, /* the record's checksum, a length or a value is wrong */
    PST_REPLICA_GONE = -2,    /* no replica could be opened (yet) */
    PST_REPLICA_FAULT = -3, /* the file is damaged: the look-up broke off, the replica was let go */
    PST_REPLICA_BADKEY = -4, /* the key is not one of its kind: too long, not a number */
    PST_REPLICA_TOOBIG = -5, /* encoding: a value is over its limit, or the room is too small */
};

/* How a private key stands in a sealed blob (plain text) and what it can sign. */
enum pst_replica_key {
    PST_REPLICA_P256 = 1, /* 32-byte big-endian scalar, 65-byte uncompressed point */
    PST_REPLICA_RSA,      /* PKCS#1 DER */
    PST_REPLICA_P384,     /* 48-byte scalar, 97-byte point */
    PST_REPLICA_P521,     /* PKCS#8 DER */
    PST_REPLICA_ED25519,  /* PKCS#8 DER */
    PST_REPLICA_KEY__END
};

/*
 * Sealed blobs.  Private keys, ticket keys and the probe key lie in the replica sealed with
 * AES-256-GCM under the edge's local key (a file of exactly 32 bytes, made on that edge):
 *
 *     0  u8   version, 1
 *     1  u32  key id, little-endian; 0 is the local key
 *     5  12   nonce
 *    17  n    ciphertext
 *  17+n  16   tag
 *
 * The associated data is the text "<kind>/<key>" with the key as the feed writes it:
 * "cert/1234" (decimal), "ticket/<id>", "meta/probe".
 */
enum {
    PST_REPLICA_SEAL_VERSION = 1,
    PST_REPLICA_SEAL_HEAD = 17,
    PST_REPLICA_SEAL_TAG = 16,
    PST_REPLICA_SEAL_OVERHEAD = PST_REPLICA_SEAL_HEAD + PST_REPLICA_SEAL_TAG,
    PST_REPLICA_LOCAL_KEY = 32,
    PST_REPLICA_TICKET_PLAIN = 80, /* 16 name, 32 AES key, 32 HMAC key */
    PST_REPLICA_PROBE_PLAIN = 32,
};

/* Limits, in bytes without the final NUL, or in entries. */
enum {
    PST_REPLICA_HEADER = 24,
    PST_REPLICA_KEY_MAX = 255,
    PST_REPLICA_RECORD_MAX = 131072,
    PST_REPLICA_NAME_MAX = 253,
    PST_REPLICA_ID_MAX = 32,
    PST_REPLICA_ADDRESS_MAX = 63,
    PST_REPLICA_TEXT_MAX = 255,
    PST_REPLICA_ANSWER_MAX = 511,
    PST_REPLICA_LEAF_MAX = 65535,
    PST_REPLICA_SEALED_MAX = 16384,
    PST_REPLICA_STEPS = 4,
    PST_REPLICA_ISSUERS = 8,
    PST_REPLICA_UPSTREAMS = 64,
};

/* One step of a ladder.  It counts while not_before <= now < not_after (Unix seconds). */
struct pst_replica_step {
    uint64_t cert;
    int64_t not_before;
    int64_t not_after;
    uint64_t cert2; /* a second certificate of the step (RSA beside ECDSA), or 0 */
    uint8_t key;    /* enum pst_replica_key */
    uint8_t key2;   /* of cert2; 0 without one */
};

struct pst_replica_name {
    uint64_t generation; /* set by decoding; encoding takes it as an argument */
    char app[PST_REPLICA_ID_MAX + 1];
    bool acme;
    bool force_https;
    char canonical[PST_REPLICA_NAME_MAX + 1]; /* "" if none */
    unsigned step_n;
    struct pst_replica_step steps[PST_REPLICA_STEPS]; /* best first */
};

struct pst_replica_upstream {
    char id[PST_REPLICA_ID_MAX + 1];
    char address[PST_REPLICA_ADDRESS_MAX + 1]; /* literal: "192.0.2.1:3000", "[2001:db8::1]:3000" */
    uint16_t weight;                           /* 0 is taken as 1 */
    bool drain;                                /* gets no new requests */
};

struct pst_replica_app {
    uint64_t generation;
    char name[PST_REPLICA_TEXT_MAX + 1];
    unsigned upstream_n;
    struct pst_replica_upstream upstreams[PST_REPLICA_UPSTREAMS];
};

struct pst_replica_cert {
    uint64_t generation;
    uint8_t key; /* enum pst_replica_key */
    int64_t not_before;
    int64_t not_after;
    const unsigned char *leaf; /* DER */
    size_t leaf_len;
    unsigned issuer_n;
    uint64_t issuers[PST_REPLICA_ISSUERS]; /* in the order in which they are sent */
    const unsigned char *sealed;
    size_t sealed_len;
};

struct pst_replica_issuer {
    uint64_t generation;
    const unsigned char *der;
    size_t der_len;
};

struct pst_replica_challenge {
    uint64_t generation;
    char name[PST_REPLICA_NAME_MAX + 1];
    char answer[PST_REPLICA_ANSWER_MAX + 1];
    int64_t until; /* Unix seconds; not answered afterwards */
};

struct pst_replica_ticket {
    uint64_t generation;
    int64_t not_before;
    int64_t not_after;
    const unsigned char *sealed;
    size_t sealed_len;
};

/* meta "default": the ladder of the platform's own certificate. */
struct pst_replica_default {
    uint64_t generation;
    unsigned step_n;
    struct pst_replica_step steps[PST_REPLICA_STEPS];
};

/* meta "probe": the sealed HMAC key of the probe. */
struct pst_replica_probe {
    uint64_t generation;
    const unsigned char *sealed;
    size_t sealed_len;
};

/* meta "thumbprint": the account's thumbprint. */
struct pst_replica_text {
    uint64_t generation;
    char value[PST_REPLICA_TEXT_MAX + 1];
};

/* meta "state": where the replica stands.  Its generation is `rev`. */
struct pst_replica_state {
    char epoch[PST_REPLICA_TEXT_MAX + 1];  /* of the feed */
    uint64_t rev;                          /* applied up to here */
    char rev_id[PST_REPLICA_TEXT_MAX + 1]; /* random id of that revision */
    int64_t committed_at; /* Unix seconds of the last commit, by the edge's clock */
    bool superseded;      /* a newer build has taken this one's place */
};

/* "name", "app", ...; NULL for no kind. */
const char *pst_replica_kind_name(int kind);
/* The kind of that name, or 0. */
int pst_replica_kind_find(const char *name, size_t len);

/*
 * The key as it stands in the database, from the feed's text: for `cert` a decimal u64, for
 * `issuer` 16 hex digits, else the text itself.  PST_REPLICA_OK or PST_REPLICA_BADKEY.
 */
struct pst_replica_key_bytes {
    unsigned char data[PST_REPLICA_KEY_MAX];
    size_t len;
};
int pst_replica_key_from_text(int kind, const char *text, size_t len,
                              struct pst_replica_key_bytes *ret);
void pst_replica_key_from_u64(uint64_t id, struct pst_replica_key_bytes *ret);
/* The other way; PST_REPLICA_BADKEY for bytes that are no key of that kind. */
int pst_replica_key_to_text(int kind, const void *key, size_t len,
                            char to[PST_REPLICA_KEY_MAX + 1]);

/*
 * Encode into `to` (room for `cap` bytes; PST_REPLICA_RECORD_MAX is always enough).
 * PST_REPLICA_OK with the length; PST_REPLICA_TOOBIG; PST_REPLICA_BADKEY.
 */
struct pst_replica_out {
    unsigned char *to;
    size_t cap;
    const struct pst_replica_key_bytes *key;
    uint64_t generation;
};
int pst_replica_name_encode(const struct pst_replica_out *o, const struct pst_replica_name *v,
                            size_t *ret_len);
int pst_replica_app_encode(const struct pst_replica_out *o, const struct pst_replica_app *v,
                           size_t *ret_len);
int pst_replica_cert_encode(const struct pst_replica_out *o, const struct pst_replica_cert *v,
                            size_t *ret_len);
int pst_replica_issuer_encode(const struct pst_replica_out *o, const struct pst_replica_issuer *v,
                              size_t *ret_len);
int pst_replica_challenge_encode(const struct pst_replica_out *o,
                                 const struct pst_replica_challenge *v, size_t *ret_len);
int pst_replica_ticket_encode(const struct pst_replica_out *o, const struct pst_replica_ticket *v,
                              size_t *ret_len);
int pst_replica_default_encode(const struct pst_replica_out *o, const struct pst_replica_default *v,
                               size_t *ret_len);
int pst_replica_probe_encode(const struct pst_replica_out *o, const struct pst_replica_probe *v,
                             size_t *ret_len);
int pst_replica_text_encode(const struct pst_replica_out *o, const struct pst_replica_text *v,
                            size_t *ret_len);
int pst_replica_state_encode(const struct pst_replica_out *o, const struct pst_replica_state *v,
                             size_t *ret_len);

/*
 * Decode.  Every length is checked, no byte outside the record is read.  PST_REPLICA_OK or
 * PST_REPLICA_DAMAGED; *ret is meaningful only with PST_REPLICA_OK.
 */
struct pst_replica_in {
    const unsigned char *data;
    size_t len;
    const void *key; /* as in the database */
    size_t key_len;
};
/* Header, length, kind and checksum. */
int pst_replica_check(const struct pst_replica_in *in, int kind);
/* Of a record that was checked. */
uint64_t pst_replica_generation(const struct pst_replica_in *in);
int pst_replica_name_decode(const struct pst_replica_in *in, struct pst_replica_name *ret);
int pst_replica_app_decode(const struct pst_replica_in *in, struct pst_replica_app *ret);
int pst_replica_cert_decode(const struct pst_replica_in *in, struct pst_replica_cert *ret);
int pst_replica_issuer_decode(const struct pst_replica_in *in, struct pst_replica_issuer *ret);
int pst_replica_challenge_decode(const struct pst_replica_in *in,
                                 struct pst_replica_challenge *ret);
int pst_replica_ticket_decode(const struct pst_replica_in *in, struct pst_replica_ticket *ret);
int pst_replica_default_decode(const struct pst_replica_in *in, struct pst_replica_default *ret);
int pst_replica_probe_decode(const struct pst_replica_in *in, struct pst_replica_probe *ret);
int pst_replica_text_decode(const struct pst_replica_in *in, struct pst_replica_text *ret);
int pst_replica_state_decode(const struct pst_replica_in *in, struct pst_replica_state *ret);

/* The 64-bit checksum of the key followed by the record with its checksum field taken as zero. */
uint64_t pst_replica_checksum(const void *key, size_t key_len, const void *record, size_t len);

/* The hash that the checksum is made of, from any starting value: also good for tables. */
uint64_t pst_replica_hash(uint64_t seed, const void *data, size_t len);

#endif
