/*
 * name.h - DNS names: one normal form for what people type, and questions about that form.
 *
 * Model:    the normal form is lower-case A-labels without a trailing dot, at most 253 bytes, such
 *           as "www.example.com" or "*.xn--bcher-kva.example".  Only pst_name_parse() takes other
 *           forms; every other function wants the normal form.
 * Threads:  all functions may be called by many at once.
 * Blocking: the first call reads the public suffix list from disk; it stays in memory.
 * Failure:  a name that is not acceptable is an answer (PST_REFUSED) with a sentence that names
 *           the mistake and how to mend it.
 */
#ifndef POSTERN_NAME_H
#define POSTERN_NAME_H

#include <stdbool.h>
#include <stddef.h>

#include <postern/text.h>

struct pst_buf;
struct pst_err;

enum pst_name_flag {
    PST_NAME_WILDCARD = 1, /* "*." in front is allowed */
    PST_NAME_ANY_TLD = 2,  /* also top-level domains that do not exist, as .test (setting
                              names.any_tld) */
};

/*
 * The normal form of `in` (UTF-8; IDNA2008 with the mapping of UTS 46, non-transitional).  Refused
 * is also what public CAs refuse: IP addresses, names without a dot, more than 10 labels, a bare
 * public suffix of the ICANN section or a wildcard of one, unknown top-level domains.
 *
 * PST_OK       ret_ascii holds it.
 * PST_REFUSED  err.text is one sentence for the user; err.problem is a stable word for the mistake:
 *              empty, too_long, encoding, url, port, ip, blank, underscore, character, wildcard,
 *              trailing_dot, empty_label, label_too_long, hyphen, label_form, punycode, idn,
 *              no_dot, labels, tld, public_suffix.
 * PST_ENOMEM
 */
int pst_name_parse(const char *in, unsigned flags, char ret_ascii[PST_NAME_SIZE],
                   struct pst_err *err);

/* Append the form for people ("b\u00fccher.example"); what cannot be decoded stays as it is. */
void pst_name_unicode(const char *ascii, struct pst_buf *to);

/*
 * The registered domain, by which CAs count: the public suffix (both sections of the list) and one
 * label more; a suffix counts as itself; under an unknown top-level domain the last two labels.  A
 * leading "*." is dropped first.  PST_OK, or PST_REFUSED when `ascii` is no name.
 */
int pst_name_registered_domain(const char *ascii, char ret[PST_NAME_SIZE], struct pst_err *err);

/* Does it begin with "*."? */
bool pst_name_is_wildcard(const char *ascii);

/* What is behind the first dot, inside `ascii`; NULL when there is none. */
const char *pst_name_parent(const char *ascii);

/* Would a certificate for `pattern` do for `name` (RFC 6125 section 6.4)?  The same name, or a
 * wildcard for exactly one label. */
bool pst_name_covers(const char *pattern, const char *name);

/* Where the public suffix list is from and how old it is, for --version.  Never NULL. */
const char *pst_name_psl_info(void);

#endif
