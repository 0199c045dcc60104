/* base_internal.h - what the files of base/ share. */
#ifndef POSTERN_BASE_INTERNAL_H
#define POSTERN_BASE_INTERNAL_H

#include <stddef.h>

/* Length of the UTF-8 sequence at `s` (at most `len` > 0 bytes); 0 when there is no valid one. */
size_t pst_utf8_sequence(const unsigned char *s, size_t len);

#endif
