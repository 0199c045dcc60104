/* uploads.h - a customer's certificate on its way from a request body to the ladder. */
#ifndef POSTERN_API_UPLOADS_H
#define POSTERN_API_UPLOADS_H

#include <postern/cert.h>
#include <postern/store.h>

struct pst_answer;
struct pst_req;

/* Zero it, set the texts, judge; deinit always. */
struct pst_upload {
    const char *cert, *key, *passphrase; /* of the body; NULL: not given */
    struct pst_cert_result result;
    struct pst_certificate certificate; /* what is to be stored, its key sealed */
    char request_id[PST_ID_SIZE];       /* the request made here that it completes; "" if none */
    struct pst_buf sealed;              /* that request's key */
};
void pst_upload_deinit(struct pst_upload *u);
#define auto_upload __attribute__((cleanup(pst_upload_deinit)))

/* Whom it is for. */
struct pst_upload_for {
    const char *domain_id;          /* "": a domain that is not there yet */
    const char *ascii;              /* the name to cover; NULL: any */
    bool only_check;                /* a certificate without its key is fine, too */
    struct pst_cert_reader *reader; /* kept for many uploads of one sender; NULL: none is */
};

/*
 * Read and judge it in a process of its own, outside of any transaction.  *u->result says what was
 * found.  PST_OK, also when it is refused; negative.
 */
int pst_upload_judge(struct pst_req *req, const struct pst_upload_for *to, struct pst_upload *u,
                     struct pst_err *err);
/* 422 with `errors` and `findings`.  PST_REFUSED, PST_ENOMEM. */
int pst_upload_refuse(const struct pst_upload *u, struct pst_answer *ans, struct pst_err *err);
/* Of an accepted one: make the record, with its key sealed. */
int pst_upload_prepare(struct pst_req *req, struct pst_upload *u, struct pst_err *err);
/* Give the record a number and set it on the domain: before the domain is stored, so that nothing
 * has been written yet when its name turns out to be taken. */
void pst_upload_number(struct pst_tx *tx, struct pst_upload *u, struct pst_domain *d);
/* Store the record, which has its number, for the domain. */
int pst_upload_store(struct pst_tx *tx, struct pst_upload *u, const struct pst_domain *d,
                     struct pst_err *err);

#endif
