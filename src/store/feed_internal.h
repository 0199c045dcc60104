/* feed_internal.h - what feed.c asks of feed_db.c. */
#ifndef POSTERN_FEED_INTERNAL_H
#define POSTERN_FEED_INTERNAL_H

#include <postern/feed.h>

#include "store_internal.h"

/* A row of `changes`. */
struct pst_feed_row {
    char kind[16];
    char key[PST_NAME_SIZE];
    int64_t rev;
    bool deleted;
};

enum { PST_FEED_STEPS = 4 }; /* of a ladder */

struct pst_feed_name {
    char app_id[PST_ID_SIZE];
    char canonical[PST_NAME_SIZE]; /* "": none, or the name itself */
    bool acme, force_https;
    int64_t certs[PST_FEED_STEPS]; /* numbers in the ladder's order, 0: nothing in this place */
};

struct pst_feed_step {
    int64_t cert;
    int64_t not_before, not_after;
    char key_type[16];
};

struct pst_feed_cert {
    char id[PST_ID_SIZE];
    char key_type[16];
    int64_t not_before, not_after;
    struct pst_buf leaf, sealed;
};
void pst_feed_cert_deinit(struct pst_feed_cert *c);
#define auto_feed_cert __attribute__((cleanup(pst_feed_cert_deinit)))

struct pst_feed_challenge {
    char name[PST_NAME_SIZE];
    char answer[512];
    int64_t until_ms;
};

struct pst_feed_ticket {
    int64_t not_before, not_after;
    struct pst_buf sealed;
};

/* PST_OK; PST_NOTFOUND. */
int pst_feed_db_known(struct pst_tx *tx, const struct pst_feed_cursor *c, struct pst_err *err);
int pst_feed_db_revision(struct pst_tx *tx, int64_t rev, char ret_id[20], struct pst_err *err);

/* The next rows by (rev, kind, key) after `after`, deleted ones too; at most `max`. */
int pst_feed_db_changes(struct pst_tx *tx, const struct pst_feed_row *after,
                        struct pst_feed_row *ret, size_t max, size_t *ret_n, struct pst_err *err);
/* The next rows by (kind, key), without deleted ones. */
int pst_feed_db_objects(struct pst_tx *tx, const struct pst_feed_row *after,
                        struct pst_feed_row *ret, size_t max, size_t *ret_n, struct pst_err *err);

/* PST_OK; PST_NOTFOUND: there is no such object. */
int pst_feed_db_name(struct pst_tx *tx, const char *ascii, struct pst_feed_name *ret,
                     struct pst_err *err);
int pst_feed_db_step(struct pst_tx *tx, int64_t cert, struct pst_feed_step *ret,
                     struct pst_err *err);
int pst_feed_db_app(struct pst_tx *tx, const char *id, char ret_name[PST_WORD_SIZE],
                    struct pst_err *err);
int pst_feed_db_cert(struct pst_tx *tx, int64_t num, struct pst_feed_cert *ret,
                     struct pst_err *err);
int pst_feed_db_issuer(struct pst_tx *tx, const char *key, struct pst_buf *ret_der,
                       struct pst_err *err);
int pst_feed_db_challenge(struct pst_tx *tx, const char *token, struct pst_feed_challenge *ret,
                          struct pst_err *err);
int pst_feed_db_ticket(struct pst_tx *tx, const char *id, struct pst_feed_ticket *ret,
                       struct pst_err *err);

/* Each issuer's key in the order of the chain. */
int pst_feed_db_issuer_keys(struct pst_tx *tx, const char *certificate_id,
                            void (*fn)(void *arg, const char *key), void *arg, struct pst_err *err);

#endif
