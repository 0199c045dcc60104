/* cert_internal.h - what the files of cert/ share: the work on one request. */
#ifndef POSTERN_CERT_INTERNAL_H
#define POSTERN_CERT_INTERNAL_H

#include <postern/base.h>
#include <postern/cert.h>
#include <postern/crypto.h>
#include <postern/crypto_read.h>

PST_CLEANUP(struct pst_x509, pst_x509_free);
PST_CLEANUP(struct pst_key_handle, pst_key_free);

enum { PST_CERT_KEYS_MAX = 8, PST_CERT_PATH_MAX = 10, PST_CERT_STRAYS_MAX = 16 };

/* A certificate that was found. */
struct pst_found_cert {
    struct pst_x509 *x;
    const struct pst_x509_facts *f;
    bool extra; /* not uploaded: known from elsewhere */
    bool used;
};

struct pst_found_key {
    struct pst_key_handle *h;
    struct pst_key_facts f;
};

/* Something readable that is neither. */
struct pst_stray {
    const char *what; /* "a certificate request (CSR)" */
    enum pst_cert_field field;
};

struct pst_work {
    const struct pst_cert_request *req;
    struct pst_cert_finding findings[PST_CERT_FINDINGS_MAX];
    size_t findings_n;

    struct pst_unlock unlock;
    struct pst_found_cert certs[2 * PST_CHAIN_CERTS_MAX]; /* uploaded ones first */
    size_t certs_n;
    size_t uploaded_n; /* of certs */
    struct pst_found_key keys[PST_CERT_KEYS_MAX];
    size_t keys_n;
    struct pst_stray strays[PST_CERT_STRAYS_MAX];
    size_t strays_n;
    size_t duplicates_n;
    bool trouble[PST_CERT_FIELD__COUNT]; /* something meant for that field could not be read */
    bool held[PST_CERT_FIELD__COUNT];    /* the field was given at all */
    bool keys_in_cert_field;
    bool certs_in_key_field;

    /* of the input that is being read */
    enum pst_cert_field field;
    bool extra;

    /* what judging found */
    struct pst_found_key *key;
    struct pst_found_cert *leaf;
    struct pst_found_cert *path[PST_CERT_PATH_MAX]; /* leaf first, without the root */
    size_t path_n;
    struct pst_found_cert *root; /* uploaded and left out */
    bool public_root;            /* the path ends at one of the request's roots */
    struct pst_cert_missing missing;
    unsigned signatures_left;
};

void pst_work_deinit(struct pst_work *w);

/* ---- findings (finding.c) ---- */

/* Note a finding at the code's usual field with its usual fix.  PST_OK or PST_ENOMEM; the same
 * sentence twice is noted once, and one too many is dropped. */
int pst_find(struct pst_work *w, enum pst_cert_code code, struct pst_err *err, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));

/* With a field and fix of its own (NULL: the usual one). */
struct pst_find_at {
    enum pst_cert_code code;
    enum pst_cert_field field;
    const char *fix;
};
int pst_find_at(struct pst_work *w, const struct pst_find_at *at, struct pst_err *err,
                const char *fmt, ...) __attribute__((format(printf, 4, 5)));

bool pst_find_has_error(const struct pst_work *w);
/* Errors first; the work's list is empty afterwards. */
int pst_find_hand_over(struct pst_work *w, struct pst_cert_result *ret, struct pst_err *err);

const char *pst_cert_code_fix(enum pst_cert_code code);
enum pst_cert_field pst_cert_code_field(enum pst_cert_code code);
/* False: no such code. */
bool pst_cert_code_parse(const char *name, enum pst_cert_code *ret);

/* "2026-11-20 15:00:00 UTC" */
enum { PST_CERT_TIME_SIZE = 32 };
const char *pst_cert_time(char to[PST_CERT_TIME_SIZE], int64_t unix_s);

/* ---- reading (collect.c, pem.c) ---- */

/* What may be spent on the passphrases of one request; fuzzers have less patience. */
extern uint64_t pst_collect_budget;

/* Read all inputs (and the extra certificates). */
int pst_collect(struct pst_work *w, struct pst_err *err);
/* One piece of DER.  `label` is the PEM label, NULL without; `number` counts blocks from 1. */
int pst_collect_der(struct pst_work *w, const char *label, size_t number, const void *der,
                    size_t len, struct pst_err *err);
/* A PEM block under a passphrase in the old way. */
int pst_collect_old_key(struct pst_work *w, const char *dek, const void *body, size_t len,
                        struct pst_err *err);
int pst_collect_stray(struct pst_work *w, const char *what);

/* Read text with PEM blocks in it, or with what was meant as such. */
int pst_pem_scan(struct pst_work *w, const char *text, size_t len, struct pst_err *err);
bool pst_pem_has_block(const char *text, size_t len);

/* Base64 with white space anywhere; false when it is not, or when memory is out, which the buffer
 * remembers. */
bool pst_pem_decode(const char *from, size_t len, struct pst_buf *to);

/* ---- judging (leaf.c, path.c, judge.c) ---- */

int pst_judge_key(struct pst_work *w, struct pst_err *err);
int pst_judge_leaf(struct pst_work *w, struct pst_err *err);
int pst_judge_path(struct pst_work *w, struct pst_err *err);
int pst_judge_links(struct pst_work *w, struct pst_err *err);
int pst_judge_lifetime(struct pst_work *w, struct pst_err *err);
/* Is there a root among the request's that signed it?  PST_OK or PST_NOTFOUND. */
int pst_root_find(const struct pst_cert_request *req, const struct pst_x509 *x,
                  struct pst_err *err);

/* One round, in this process. */
int pst_cert_check(const struct pst_cert_request *req, struct pst_cert_result *ret,
                   struct pst_err *err);
/* One round, in a process of its own. */
int pst_cert_check_apart(const struct pst_cert_process *process, const struct pst_cert_request *req,
                         struct pst_cert_result *ret, struct pst_err *err);
/* A result with one finding, for what cannot be read at all. */
int pst_cert_only(const struct pst_cert_request *req, enum pst_cert_code code, const char *sentence,
                  struct pst_cert_result *ret, struct pst_err *err);
/* Sizes that are refused before anything is read.  PST_OK, or PST_REFUSED and *ret is filled. */
int pst_cert_sizes(const struct pst_cert_request *req, struct pst_cert_result *ret,
                   struct pst_err *err);

/* ---- the pipe (wire.c) ---- */

enum { PST_WIRE_MAX = 4 * 1024 * 1024 };

void pst_wire_write_request(const struct pst_cert_request *req, struct pst_buf *to);
/* The first message to a process that is to stay for several requests, with the roots that count
 * for all of them. */
void pst_wire_write_stay(const void *roots, size_t roots_len, struct pst_buf *to);
/* False: not such a message. */
bool pst_wire_read_stay(const void *bytes, size_t len, const void **ret_roots,
                        size_t *ret_roots_len);
/* A request read from the pipe: its parts point into the bytes. */
struct pst_wire_request {
    struct pst_cert_request req;
    struct pst_cert_input inputs[PST_CERT_INPUTS_MAX];
    const char *names[PST_CERT_NAMES_ASKED_MAX];
    struct pst_secret passphrase; /* borrowed: not to be released */
};
/* False: not such a message.  `bytes` is changed (texts get their ends) and must outlive it. */
bool pst_wire_read_request(void *bytes, size_t len, struct pst_wire_request *ret);

void pst_wire_write_result(const struct pst_cert_result *r, struct pst_buf *to);
/* PST_OK, PST_ENOMEM, PST_EINTERNAL (not such a message). */
int pst_wire_read_result(const void *bytes, size_t len, struct pst_cert_result *ret,
                         struct pst_err *err);

/* ---- the child (sandbox.c) ---- */

/* Give up everything but thinking, descriptor 0 and descriptor 1. */
int pst_sandbox_enter(struct pst_err *err);

#endif
