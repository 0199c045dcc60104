/* text.c - numbers, encodings, copies, times. */
#include <string.h>
#include <strings.h>

#include <postern/buf.h>
#include <postern/text.h>

#include "base_internal.h"

/* Own letter rules, because those of ctype.h follow the locale. */
static char lower(char c)
{
    return c >= 'A' && c <= 'Z' ? (char)(c + ('a' - 'A')) : c;
}

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

bool pst_streq(const char *a, const char *b)
{
    return a && b ? strcmp(a, b) == 0 : a == b;
}

bool pst_strcaseeq(const char *a, const char *b)
{
    if (!a || !b)
        return a == b;
    while (*a && lower(*a) == lower(*b)) {
        a++;
        b++;
    }
    return lower(*a) == lower(*b);
}

bool pst_str_starts(const char *s, const char *prefix)
{
    return strncmp(s, prefix, strlen(prefix)) == 0;
}

bool pst_str_ends(const char *s, const char *suffix)
{
    size_t len = strlen(s), suffix_len = strlen(suffix);

    return len >= suffix_len && memcmp(s + len - suffix_len, suffix, suffix_len) == 0;
}

bool pst_str_copy(char *to, size_t to_size, const char *from)
{
    size_t len = from ? strlen(from) : to_size;

    if (to_size == 0)
        return false;
    if (len >= to_size) {
        to[0] = '\0';
        return false;
    }
    memcpy(to, from, len + 1);
    return true;
}

void pst_str_cut(char *to, size_t to_size, const char *from)
{
    size_t len = strnlen(from, to_size);

    if (len == to_size) {
        len--;
        while (len > 0 && ((unsigned char)from[len] & 0xc0) == 0x80)
            len--;
    }
    memcpy(to, from, len);
    to[len] = '\0';
}

void pst_str_lower(char *s)
{
    for (; *s; s++)
        *s = lower(*s);
}

bool pst_parse_i64(const char *s, int64_t min, int64_t max, int64_t *ret)
{
    if (!s)
        return false;

    bool minus = *s == '-';
    if (minus)
        s++;
    if (!*s)
        return false;

    /* Summed up below zero, where there is one value more. */
    int64_t value = 0;
    for (; *s; s++) {
        if (!is_digit(*s) || __builtin_mul_overflow(value, 10, &value) ||
            __builtin_sub_overflow(value, *s - '0', &value))
            return false;
    }
    if (!minus && __builtin_sub_overflow(0, value, &value))
        return false;
    if (value < min || value > max)
        return false;
    *ret = value;
    return true;
}

size_t pst_utf8_sequence(const unsigned char *s, size_t len)
{
    static const struct {
        unsigned char first, last; /* of the lead byte */
        unsigned char n;           /* bytes in all */
        unsigned char low, high;   /* of the second byte: no over-long forms, no surrogates */
    } rows[] = {
        {0x01, 0x7F, 1, 0, 0},       {0xC2, 0xDF, 2, 0x80, 0xBF}, {0xE0, 0xE0, 3, 0xA0, 0xBF},
        {0xE1, 0xEC, 3, 0x80, 0xBF}, {0xED, 0xED, 3, 0x80, 0x9F}, {0xEE, 0xEF, 3, 0x80, 0xBF},
        {0xF0, 0xF0, 4, 0x90, 0xBF}, {0xF1, 0xF3, 4, 0x80, 0xBF}, {0xF4, 0xF4, 4, 0x80, 0x8F},
    };

    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        if (s[0] < rows[i].first || s[0] > rows[i].last)
            continue;
        if (rows[i].n > len)
            return 0;
        if (rows[i].n > 1 && (s[1] < rows[i].low || s[1] > rows[i].high))
            return 0;
        for (size_t k = 2; k < rows[i].n; k++) {
            if (s[k] < 0x80 || s[k] > 0xBF)
                return 0;
        }
        return rows[i].n;
    }
    return 0;
}

bool pst_utf8_ok(const char *s, size_t len)
{
    while (len > 0) {
        size_t n = pst_utf8_sequence((const unsigned char *)s, len);
        if (n == 0)
            return false;
        s += n;
        len -= n;
    }
    return true;
}

void pst_hex(char *to, const void *data, size_t len)
{
    static const char digits[] = "0123456789abcdef";
    const unsigned char *from = data;

    for (size_t i = 0; i < len; i++) {
        *to++ = digits[from[i] >> 4];
        *to++ = digits[from[i] & 15];
    }
    *to = '\0';
}

static int hex_value(char c)
{
    c = lower(c);
    if (is_digit(c))
        return c - '0';
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

bool pst_unhex(void *to, size_t len, const char *hex)
{
    unsigned char *at = to;

    for (size_t i = 0; i < len; i++) {
        int high = hex_value(hex[2 * i]);
        int low = high < 0 ? -1 : hex_value(hex[2 * i + 1]);
        if (low < 0)
            return false;
        at[i] = (unsigned char)(high << 4 | low);
    }
    return hex[2 * len] == '\0';
}

static const char b64_std[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
static const char b64_url[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

static void encode(struct pst_buf *to, const void *data, size_t len, const char *alphabet, bool pad)
{
    const unsigned char *in = data;

    for (; len > 0; in += 3) {
        size_t n = len < 3 ? len : 3;
        uint32_t bits = (uint32_t)in[0] << 16 | (n > 1 ? (uint32_t)in[1] << 8 : 0) |
                        (n > 2 ? (uint32_t)in[2] : 0);
        char out[4] = {alphabet[bits >> 18], alphabet[bits >> 12 & 63],
                       n > 1 ? alphabet[bits >> 6 & 63] : '=', n > 2 ? alphabet[bits & 63] : '='};

        pst_buf_add(to, out, pad ? 4 : n + 1);
        len -= n;
    }
}

void pst_b64_add(struct pst_buf *to, const void *data, size_t len)
{
    encode(to, data, len, b64_std, true);
}

void pst_b64url_add(struct pst_buf *to, const void *data, size_t len)
{
    encode(to, data, len, b64_url, false);
}

static int b64_value(char c, const char *alphabet)
{
    if (c >= 'A' && c <= 'Z')
        return c - 'A';
    if (c >= 'a' && c <= 'z')
        return c - 'a' + 26;
    if (is_digit(c))
        return c - '0' + 52;
    return c == alphabet[62] ? 62 : c == alphabet[63] ? 63 : -1;
}

/* `len` characters without padding. */
static bool decode(struct pst_buf *to, const char *s, size_t len, const char *alphabet)
{
    unsigned char out[48 * 3];
    size_t out_len = 0;

    if (len % 4 == 1)
        return false;
    while (len > 0) {
        size_t n = len < 4 ? len : 4;
        uint32_t bits = 0;

        for (size_t i = 0; i < 4; i++) {
            int value = i < n ? b64_value(s[i], alphabet) : 0;
            if (value < 0)
                return false;
            bits = bits << 6 | (uint32_t)value;
        }
        /* n characters carry n - 1 bytes; what is left over must be zero. */
        if (n < 4 && (bits & (n == 2 ? 0xFFFFu : 0xFFu)))
            return false;
        out[out_len++] = (unsigned char)(bits >> 16);
        out[out_len++] = (unsigned char)(bits >> 8);
        out[out_len++] = (unsigned char)bits;
        out_len -= 4 - n;
        s += n;
        len -= n;
        if (out_len == sizeof out || len == 0) {
            pst_buf_add(to, out, out_len);
            out_len = 0;
        }
    }
    pst_wipe(out, sizeof out); /* may have been a key */
    return !to->no_memory && !to->too_long;
}

bool pst_b64_decode(struct pst_buf *to, const char *s, size_t len)
{
    if (len % 4 != 0)
        return false;
    for (int pads = 0; pads < 2 && len > 0 && s[len - 1] == '='; pads++)
        len--;
    return decode(to, s, len, b64_std);
}

bool pst_b64url_decode(struct pst_buf *to, const char *s, size_t len)
{
    return decode(to, s, len, b64_url);
}

/* Days from 1970-01-01 to a day of the Gregorian calendar, counting years from March, so that the
 * leap day is a year's last. */
static int64_t days_from_date(int64_t year, int month, int day)
{
    if (month <= 2)
        year--;
    int64_t era = year / 400; /* year >= 0 here */
    int64_t year_of_era = year % 400;
    int64_t day_of_year = (153 * (month > 2 ? month - 3 : month + 9) + 2) / 5 + day - 1;

    return era * 146097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year -
           719468;
}

static void date_from_days(int64_t days, int *year, int *month, int *day)
{
    days += 719468;
    int64_t era = days / 146097; /* days >= 0 here */
    int64_t rest = days % 146097;
    int64_t year_of_era = (rest - rest / 1460 + rest / 36524 - rest / 146096) / 365;
    int64_t day_of_year = rest - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    int64_t march_month = (5 * day_of_year + 2) / 153;

    *day = (int)(day_of_year - (153 * march_month + 2) / 5 + 1);
    *month = (int)(march_month < 10 ? march_month + 3 : march_month - 9);
    *year = (int)(era * 400 + year_of_era + (*month <= 2));
}

static const int64_t time_last_ms = INT64_C(253402300799999); /* 9999-12-31T23:59:59.999Z */

/* `n` decimal digits and a final character, which the next field overwrites. */
static char *put_number(char *to, int64_t value, int n, char after)
{
    for (int i = n - 1; i >= 0; i--) {
        to[i] = (char)('0' + value % 10);
        value /= 10;
    }
    to[n] = after;
    return to + n + 1;
}

void pst_time_format(char to[PST_TIME_SIZE], int64_t unix_ms)
{
    int year, month, day;

    if (unix_ms < 0)
        unix_ms = 0;
    if (unix_ms > time_last_ms)
        unix_ms = time_last_ms;

    int64_t of_day = unix_ms % 86400000;
    date_from_days(unix_ms / 86400000, &year, &month, &day);
    to = put_number(to, year, 4, '-');
    to = put_number(to, month, 2, '-');
    to = put_number(to, day, 2, 'T');
    to = put_number(to, of_day / 3600000, 2, ':');
    to = put_number(to, of_day / 60000 % 60, 2, ':');
    to = put_number(to, of_day / 1000 % 60, 2, '.');
    to = put_number(to, of_day % 1000, 3, 'Z');
    *to = '\0';
}

/* Exactly `n` digits, then one of `after`; moves *s behind it. */
static bool take_number(const char **s, int n, const char *after, int *ret)
{
    int value = 0;

    for (int i = 0; i < n; i++, (*s)++) {
        if (!is_digit(**s))
            return false;
        value = value * 10 + (**s - '0');
    }
    if (*after) {
        if (!**s || !strchr(after, **s))
            return false;
        (*s)++;
    }
    *ret = value;
    return true;
}

static bool date_ok(int year, int month, int day)
{
    static const char lengths[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};

    if (month < 1 || month > 12 || day < 1)
        return false;
    bool leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    return day <= lengths[month - 1] + (month == 2 && leap);
}

/* ".123456": digits after the third are read and dropped. */
static bool take_fraction(const char **s, int *ret_ms)
{
    int ms = 0, weight = 100, n = 0;

    *ret_ms = 0;
    if (**s != '.')
        return true;
    for ((*s)++; is_digit(**s); (*s)++, n++) {
        ms += (**s - '0') * weight;
        weight /= 10;
    }
    *ret_ms = ms;
    return n > 0;
}

/* "Z" or "+02:00", to the end of the text. */
static bool take_offset(const char *s, int *ret_minutes)
{
    int hours, minutes;

    *ret_minutes = 0;
    if (*s == 'Z' || *s == 'z')
        return s[1] == '\0';
    if (*s != '+' && *s != '-')
        return false;
    int sign = *s++ == '-' ? -1 : 1;
    if (!take_number(&s, 2, ":", &hours) || !take_number(&s, 2, "", &minutes) || *s)
        return false;
    *ret_minutes = sign * (hours * 60 + minutes);
    return hours <= 23 && minutes <= 59;
}

bool pst_time_parse(const char *s, int64_t *ret_unix_ms)
{
    int year, month, day, hour, minute, second, ms, offset;

    if (!s || !take_number(&s, 4, "-", &year) || !take_number(&s, 2, "-", &month) ||
        !take_number(&s, 2, "Tt", &day) || !take_number(&s, 2, ":", &hour) ||
        !take_number(&s, 2, ":", &minute) || !take_number(&s, 2, "", &second) ||
        !take_fraction(&s, &ms) || !take_offset(s, &offset))
        return false;
    if (!date_ok(year, month, day) || hour > 23 || minute > 59 || second > 60)
        return false;

    int64_t minutes = days_from_date(year, month, day) * 1440 + hour * 60 + minute - offset;
    if (second == 60 && (minutes % 1440) != 1439) /* a leap second ends a UTC day */
        return false;

    int64_t unix_ms = (minutes * 60 + second) * 1000 + ms;
    if (unix_ms < 0 || unix_ms > time_last_ms)
        return false;
    *ret_unix_ms = unix_ms;
    return true;
}

bool pst_equal_ct(const void *a, const void *b, size_t len)
{
    const volatile unsigned char *x = a, *y = b;
    unsigned char diff = 0;

    for (size_t i = 0; i < len; i++)
        diff |= x[i] ^ y[i];
    return diff == 0;
}

void pst_wipe(void *p, size_t len)
{
    if (p && len)
        explicit_bzero(p, len);
}
