/*
 * cert.h - a customer's own certificate: read in any form, judged completely, repaired where that
 * is safe.
 *
 * Model:    a *request* holds what was uploaded (one or several inputs, each in any form) and what
 *           is asked of it (names to cover, the time that counts, known roots).  The *result* holds
 *           every finding at once; a finding is an error or a warning, and what has no error is
 *           accepted.  Accepted means: leaf, issuers and key are there and belong together, and a
 *           browser that knows the root will take them.  docs/certificates.md lists the codes.
 * Process:  hostile bytes are read in a process of their own.  pst_cert_judge() with a `process`
 *           starts `posternd --role=parse`, which has no files, no network and little time and
 *           memory, and ends in pst_cert_parse_child_main(); without one it reads in this process,
 *           which suits the command line, where everybody hurts only himself.
 * Threads:  every function may be called by many at once.
 * Blocking: pst_cert_judge() for at most wall_ms a round, and 5 s for each certificate fetched.
 * Memory:   a result belongs to the caller: zero it first, pst_cert_result_deinit() wipes it.
 *           Inputs are read during the call only.
 * Failure:  what was uploaded is never a fault: it gives findings and PST_OK.
 */
#ifndef POSTERN_CERT_H
#define POSTERN_CERT_H

#include <postern/crypto_key.h>
#include <postern/crypto_x509.h>
#include <postern/mem.h>
#include <postern/secret.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct pst_buf;
struct pst_cert_reader;
struct pst_cert_roots;
struct pst_clock;
struct pst_err;
struct pst_http;
struct pst_json;

enum {
    PST_CERT_INPUT_MAX = 64 * 1024, /* bytes of one input */
    PST_CERT_INPUTS_MAX = 8,
    PST_CERT_NAMES_ASKED_MAX = 100,
    PST_CERT_PASSPHRASE_MAX = 1024,
    PST_CERT_ROOTS_MAX = 1024 * 1024, /* bytes of known roots */
    PST_CERT_EXTRA_MAX = 256 * 1024,  /* bytes of known issuers */
    PST_CERT_FINDINGS_MAX = 64,
};

/* ---- findings ---- */

enum pst_cert_code {
    PST_CERT_KEY_MISMATCH,
    PST_CERT_KEY_MISSING,
    PST_CERT_KEY_ENCRYPTED,
    PST_CERT_PASSPHRASE_WRONG,
    PST_CERT_CERT_MISSING,
    PST_CERT_NOT_A_CERTIFICATE,
    PST_CERT_AMBIGUOUS_LEAF,
    PST_CERT_NAME_NOT_COVERED,
    PST_CERT_EXPIRED,
    PST_CERT_NOT_YET_VALID,
    PST_CERT_KEY_WEAK,
    PST_CERT_KEY_TOO_LARGE,
    PST_CERT_KEY_TYPE,
    PST_CERT_MUST_STAPLE,
    PST_CERT_SIGNATURE_WEAK,
    PST_CERT_USAGE_WRONG,
    PST_CERT_CA_AS_LEAF,
    PST_CERT_CHAIN_BROKEN,
    PST_CERT_CHAIN_EXPIRED,
    PST_CERT_CONSTRAINT_VIOLATED,
    PST_CERT_CRITICAL_UNKNOWN,
    PST_CERT_KEY_CORRUPT,
    PST_CERT_TOO_LARGE,
    PST_CERT_UNREADABLE,
    /* warnings */
    PST_CERT_SELF_SIGNED,
    PST_CERT_PRIVATE_ROOT,
    PST_CERT_EXPIRES_SOON,
    PST_CERT_TOO_LONG_LIVED,
    PST_CERT_INTERMEDIATE_MISSING,
    PST_CERT_CHAIN_REPAIRED,
    PST_CERT_KEY_UNUSUAL,
    PST_CERT_CODE__COUNT
};

/* The fields of the API's request. */
enum pst_cert_field {
    PST_CERT_FIELD_CERT, /* "tlscert" */
    PST_CERT_FIELD_KEY,  /* "tlskey" */
    PST_CERT_FIELD_PASSPHRASE,
    PST_CERT_FIELD__COUNT
};

const char *pst_cert_code_name(enum pst_cert_code code); /* "key_mismatch" */
bool pst_cert_code_is_error(enum pst_cert_code code);
const char *pst_cert_field_name(enum pst_cert_field field);

struct pst_cert_finding {
    enum pst_cert_code code;
    enum pst_cert_field field;
    char *sentence; /* what is wrong, in one or two sentences; UTF-8 without control characters */
    char *fix;      /* what to do about it */
};

/* ---- the request ---- */

struct pst_cert_input {
    const void *data;
    size_t len;
    enum pst_cert_field field; /* where it was given; either may hold anything.  FIELD_CERT for a
                                  bundle of both */
};

struct pst_cert_request {
    const struct pst_cert_input *inputs; /* at most PST_CERT_INPUTS_MAX; empty ones do no harm */
    size_t inputs_n;
    const struct pst_secret *passphrase; /* NULL: none */
    const char *const *names;            /* to be covered, in the normal form of name.h */
    size_t names_n;
    int64_t at;        /* the time that counts, Unix s */
    const void *roots; /* PEM of public roots; NULL: not known, roots are not judged */
    size_t roots_len;
    const struct pst_cert_roots *indexed; /* the same roots, made ready for many requests; NULL:
                                             they are searched as they are */
    const void *extra; /* PEM of issuers known from elsewhere: used where one is missing */
    size_t extra_len;
    const uint8_t *held_spki_sha256; /* 32 bytes: the key is held already (its request was made
                                        here), the inputs need none.  NULL: they must hold one */
    int rsa_bits_max;                /* 0: PST_RSA_BITS_MAX; at most 16,384 */
    bool key_optional;               /* only checking: no key is no error */
};

/* ---- the result ---- */

/* The issuer that nobody gave. */
struct pst_cert_missing {
    bool is_missing;
    uint8_t subject_sha256[32]; /* of its subject in DER: pst_der_subject_sha256() */
    char urls[4][512];          /* where it says it can be fetched (http) */
    size_t urls_n;
};

struct pst_cert_result {
    bool accepted;                     /* no finding is an error */
    struct pst_cert_finding *findings; /* errors first, then warnings */
    size_t findings_n;
    struct pst_chain chain; /* leaf and issuers in order; leaf.data is NULL when none was found.
                               Not to be stored unless accepted */
    struct pst_cert_missing missing;
    bool has_key; /* only when accepted, and never for a held key */
    enum pst_key_type key_type;
    int key_bits;
    struct pst_secret
        key; /* in the form of pst_key_replica_form(): give it to pst_key_seal_raw() */
};
void pst_cert_result_deinit(struct pst_cert_result *r);
#define auto_cert_result __attribute__((cleanup(pst_cert_result_deinit)))

/* Is there such a finding? */
bool pst_cert_has(const struct pst_cert_result *r, enum pst_cert_code code);

/* ---- judging ---- */

/* How the reading process is started. */
struct pst_cert_process {
    const char *program; /* NULL: /proc/self/exe */
    const struct pst_clock *clock;
    uint32_t wall_ms;               /* 0: 1,000 */
    struct pst_cert_reader *reader; /* kept for many uploads; NULL: a process a round */
};

/*
 * A reading process that is kept: starting one costs ten times what reading an upload does.  What
 * breaks it may have been spoiled by what it read before, so it is for the uploads of one sender
 * only, and an upload that ends it (by a limit, or by a fault) is read once more in a new one: the
 * limits of each upload are those of a process of its own.  For one thread at a time; it is started
 * when it is needed.  PST_OK or PST_ENOMEM; NULL is fine to close.
 */
int pst_cert_reader_open(struct pst_cert_reader **ret, struct pst_err *err);
void pst_cert_reader_close(struct pst_cert_reader *r);
PST_CLEANUP(struct pst_cert_reader, pst_cert_reader_close);

/* Where a missing issuer may come from. */
struct pst_cert_sources {
    /* Append certificates with that subject that are known already, as PEM.  PST_OK or
     * PST_NOTFOUND; faults are returned.  NULL: nothing is known. */
    int (*known)(void *arg, const struct pst_cert_missing *m, struct pst_buf *ret_pem,
                 struct pst_err *err);
    void *arg;
    struct pst_http *aia; /* a client behind the gate: missing issuers are fetched where the
                             certificate says (http, 64 KiB, 5 s).  NULL: the setting is off */
};

/*
 * Read, judge, repair.
 *
 * process   NULL: in this process
 * sources   NULL: none
 *
 * PST_OK        *ret says what was found; see ret->accepted.  A reading process that died, or took
 *               too long or too much, is a finding ("unreadable", "too_large").
 * PST_ENOMEM, PST_ESYS (the process could not be started), PST_EINTERNAL (it did not keep to the
 * protocol), faults of `known`.
 */
int pst_cert_judge(const struct pst_cert_process *process, const struct pst_cert_sources *sources,
                   const struct pst_cert_request *req, struct pst_cert_result *ret,
                   struct pst_err *err);

/*
 * The whole of `posternd --role=parse`: one request from descriptor 0, one answer to descriptor 1
 * (several, when it is told to stay), under limits (1 s of processor time, 64 MiB, no new files,
 * system calls filtered).  To be called first thing in main(), before settings are read; returns
 * the exit status.
 */
int pst_cert_parse_child_main(void);

/*
 * Fetch an issuer's certificate (RFC 5280 section 4.2.2.1): http only, 64 KiB, 5 s.  What comes is
 * not looked at.  PST_OK; PST_NOTFOUND (any status but 200); PST_REFUSED (the gate, or not http);
 * PST_ENET, PST_EINPUT.
 */
int pst_cert_aia_fetch(struct pst_http *gated, const char *url, struct pst_buf *ret,
                       struct pst_err *err);

/* ---- roots ---- */

/* The system's bundle of public roots. */
#define PST_CERT_ROOTS_FILE "/etc/ssl/certs/ca-certificates.crt"

/* Append a file of roots.  PST_OK; PST_NOTFOUND; PST_ESYS; PST_EINPUT (over PST_CERT_ROOTS_MAX). */
int pst_cert_roots_load(const char *path, struct pst_buf *ret, struct pst_err *err);

/*
 * Decode roots once: to search them as PEM takes longer than all else that is done for an upload.
 * What is no certificate is left out.  PST_OK or PST_ENOMEM; free with pst_cert_roots_free().
 */
int pst_cert_roots_index(const void *pem, size_t len, struct pst_cert_roots **ret,
                         struct pst_err *err);
void pst_cert_roots_free(struct pst_cert_roots *r);
PST_CLEANUP(struct pst_cert_roots, pst_cert_roots_free);

/* ---- reports ---- */

/* Rule 6 of the API: {"tlscert":["sentence fix",..],"tlskey":[..]}, errors only. */
int pst_cert_errors_json(const struct pst_cert_result *r, struct pst_json **ret,
                         struct pst_err *err);

/* [{"code","severity":"error"|"warning","field","sentence","fix"},..] */
int pst_cert_findings_json(const struct pst_cert_result *r, struct pst_json **ret,
                           struct pst_err *err);

/* What a check answers: {"accepted","certificate":{..}|null,"chain":[subjects],"findings":[..]}. */
int pst_cert_report_json(const struct pst_cert_result *r, struct pst_json **ret,
                         struct pst_err *err);

/* The same for people, one finding a paragraph. */
int pst_cert_report_text(const struct pst_cert_result *r, struct pst_buf *ret, struct pst_err *err);

/* One certificate: subject, issuer, serial, times, names, key, SHA-256. */
int pst_cert_info_json(const struct pst_cert_info *info, struct pst_json **ret,
                       struct pst_err *err);

/* "RSA private key - 2048 bytes", "EC private key - 256 bits": the words of the API's `tlskey`. */
int pst_cert_key_words(enum pst_key_type type, int bits, struct pst_buf *ret, struct pst_err *err);

/* ---- for the command line ---- */

/*
 * List what the inputs hold, whatever it is worth: {"objects":[{"kind":"certificate",..},
 * {"kind":"private key","type","bits"},..],"findings":[..]}.  Only reading gives findings.
 */
int pst_cert_show_json(const struct pst_cert_request *req, struct pst_json **ret,
                       struct pst_err *err);
int pst_cert_show_text(const struct pst_cert_request *req, struct pst_buf *ret,
                       struct pst_err *err);

/*
 * All certificates and keys of the inputs as PEM text, in the order found, duplicates once; keys in
 * the clear as PKCS#8, so `ret_pem` is to be wiped.
 *
 * PST_OK         all could be read; *ret_result holds warnings only
 * PST_REFUSED    nothing was written: *ret_result says why
 */
int pst_cert_convert(const struct pst_cert_request *req, struct pst_buf *ret_pem,
                     struct pst_cert_result *ret_result, struct pst_err *err);

#endif
