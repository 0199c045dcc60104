/*
 * record_internal.h - cursors for encoding and decoding records, shared by record.c and its tests.
 */
#ifndef POSTERN_RECORD_INTERNAL_H
#define POSTERN_RECORD_INTERNAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Writing: once something did not fit, `bad` stays set and nothing more is written. */
struct pst_replica_writer {
    unsigned char *to;
    size_t cap;
    size_t len;
    bool bad;
};

/* Reading within [at, end): once something was missing, `bad` stays set and zeros come back. */
struct pst_replica_cursor {
    const unsigned char *at;
    const unsigned char *end;
    bool bad;
};

#endif
