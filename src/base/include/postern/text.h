/*
 * text.h - small, bounded text work: numbers, encodings, copies, times.  All pure; no locale.
 */
#ifndef POSTERN_TEXT_H
#define POSTERN_TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct pst_buf;

/* A DNS name of at most 253 bytes and its NUL. */
enum { PST_NAME_SIZE = 254 };

bool pst_streq(const char *a, const char *b); /* NULL equals only NULL */
bool pst_strcaseeq(const char *a, const char *b);
bool pst_str_starts(const char *s, const char *prefix);
bool pst_str_ends(const char *s, const char *suffix);

/* Copy into a fixed array, always NUL-terminated; false when it did not fit (then "" is stored). */
bool pst_str_copy(char *to, size_t to_size, const char *from);

/* The same, but what is too long is cut, at the border of a UTF-8 character: for texts for people.
 */
void pst_str_cut(char *to, size_t to_size, const char *from);

/* Lower-case ASCII letters in place. */
void pst_str_lower(char *s);

/* The whole of `s` is a decimal number within [min, max]: no sign but '-', no blanks, no NULL. */
bool pst_parse_i64(const char *s, int64_t min, int64_t max, int64_t *ret);

/* Well-formed UTF-8 (RFC 3629: no surrogates, no over-long forms) without NUL. */
bool pst_utf8_ok(const char *s, size_t len);

/* Lower-case hex, 2 * len characters and a NUL: `to` holds 2 * len + 1. */
void pst_hex(char *to, const void *data, size_t len);
/* Exactly `len` bytes from exactly 2 * len hex digits of either case. */
bool pst_unhex(void *to, size_t len, const char *hex);

/* Base64 (RFC 4648 section 4, padded) and base64url (section 5, unpadded), appended to `to`. */
void pst_b64_add(struct pst_buf *to, const void *data, size_t len);
void pst_b64url_add(struct pst_buf *to, const void *data, size_t len);
/* Strict decoding: no blanks; base64 wants its padding, base64url refuses it; unused bits are 0.
 * False: not valid, or the buffer failed, which pst_buf_check() tells (to may hold a part). */
bool pst_b64_decode(struct pst_buf *to, const char *s, size_t len);
bool pst_b64url_decode(struct pst_buf *to, const char *s, size_t len);

/* RFC 3339 in UTC with milliseconds, "2026-11-20T15:00:00.000Z" (24 characters and a NUL).
 * Times outside the years 1970 to 9999 become the nearest inside. */
enum { PST_TIME_SIZE = 25 };
void pst_time_format(char to[PST_TIME_SIZE], int64_t unix_ms);
/* RFC 3339, fractions and offsets allowed, years 1970 to 9999. */
bool pst_time_parse(const char *s, int64_t *ret_unix_ms);

/* Same bytes?  The time it takes depends on `len` only. */
bool pst_equal_ct(const void *a, const void *b, size_t len);
/* Overwrite memory in a way that the compiler keeps. */
void pst_wipe(void *p, size_t len);

#endif
