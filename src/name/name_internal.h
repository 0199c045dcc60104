/* name_internal.h - what the files of name/ share. */
#ifndef POSTERN_NAME_INTERNAL_H
#define POSTERN_NAME_INTERNAL_H

#include <idn2.h>
#include <stdbool.h>
#include <stddef.h>

#include <postern/mem.h>
#include <postern/name.h>

/* libidn2 gives `char *` results that idn2_free() releases. */
static inline void free_idn(char *s)
{
    idn2_free(s);
}
PST_CLEANUP(char, free_idn);

/* To and from A-labels; IDN2_OK or a code of libidn2. */
int pst_name_to_ascii(const char *utf8, char **ret);
int pst_name_to_utf8(const char *ascii, char **ret);

/* Is there a label that begins with xn-- (either case)? */
bool pst_name_has_a_label(const char *name);

/* The public suffix list.  `name` is in normal form without "*.". */
bool pst_name_tld_known(const char *name);
bool pst_name_is_icann_suffix(const char *name);
/* The registered domain inside `name`, `name` itself when it is a suffix. */
const char *pst_name_registered_part(const char *name);

#endif
