/*
 * status.h - what a domain looks like from outside: the one table for all states.
 *
 * Source: the platform API contract, section 3.1 (Scalingo's `letsencrypt_status`, `ssl_status`
 * and the words of its dashboard).  The API, the CLI and explain all use this function.
 */
#ifndef POSTERN_STATUS_H
#define POSTERN_STATUS_H

#include <stdbool.h>

#include <postern/store.h>

struct pst_status_in {
    bool acme_enabled;
    bool custom_valid; /* an uploaded certificate that is valid now */
    bool acme_valid;   /* an ACME certificate that is valid now and was seen served */
    bool covered;      /* a wildcard of the same owner covers the name */
    bool wildcard;
    enum pst_phase phase;
};

struct pst_status {
    const char *letsencrypt_status; /* NULL: null in JSON */
    bool letsencrypt;
    bool ssl;
    const char *ssl_status;
    const char
        *word; /* "Pending DNS", "Creating", "In use", "Not used", "Action required", "Disabled" */
};

/* Pure. */
struct pst_status pst_status_of(const struct pst_status_in *in);

#endif
