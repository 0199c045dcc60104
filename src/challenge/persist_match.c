/*
 * persist_match.c - reading records of dns-persist-01 as the CA reads them.
 *
 * RFC 8659 section 4.2:
 *   issue-value = *WSP [issuer-domain-name *WSP] [";" *WSP [parameters *WSP]]
 *   parameters  = parameter *( *WSP ";" *WSP parameter )
 *   parameter   = tag *WSP "=" *WSP value
 *   value       = *( printable ASCII but blank and ";" )
 */
#include <stdio.h>
#include <string.h>

#include <postern/base.h>

#include "persist_internal.h"

enum {
    PARAMETERS_MAX = 32, /* a record has four that mean something */
    ISSUER_MAX = 253,
    SHOWN_MAX = 40, /* bytes of a foreign text that a sentence repeats */
};

struct piece {
    const char *at;
    size_t len;
};

struct record {
    struct piece issuer;
    struct piece account;
    bool wildcard;
    int64_t until_at;
};

static const char *const words[] = {
    [PST_PERSIST_NONE] = "none",
    [PST_PERSIST_OTHER_ISSUER] = "other_issuer",
    [PST_PERSIST_OTHER_ACCOUNT] = "other_account",
    [PST_PERSIST_MALFORMED] = "malformed",
    [PST_PERSIST_NO_WILDCARD] = "no_wildcard",
    [PST_PERSIST_EXPIRED] = "expired",
    [PST_PERSIST_MATCH] = "match",
};

const char *pst_persist_result_name(enum pst_persist_result r)
{
    return (size_t)r < PST_ARRAY_N(words) ? words[r] : "none";
}

static bool is_alnum(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

static bool is_value_char(char c)
{
    return c > 0x20 && c < 0x7f && c != ';';
}

static const char *skip_blanks(const char *s)
{
    return s + strspn(s, " \t");
}

/* A label or a tag: letters, digits and hyphens, no hyphen at either end. */
static size_t label_len(const char *s)
{
    size_t len = 0;

    while (is_alnum(s[len]) || s[len] == '-')
        len++;
    return len > 0 && s[0] != '-' && s[len - 1] != '-' ? len : 0;
}

/* Its length; 0: there is none at `s`. */
static size_t issuer_len(const char *s)
{
    size_t len = 0;

    for (;;) {
        size_t label = label_len(s + len);
        if (label == 0)
            return 0;
        len += label;
        if (s[len] != '.')
            return len <= ISSUER_MAX ? len : 0;
        len++;
    }
}

bool pst_persist_issuer_ok(const char *s)
{
    size_t len = issuer_len(s);
    return len > 0 && s[len] == '\0';
}

bool pst_persist_uri_ok(const char *s)
{
    for (size_t i = 0; s[i]; i++)
        if (!is_value_char(s[i]))
            return false;
    return s[0] != '\0';
}

static bool piece_is(struct piece p, const char *text)
{
    return strlen(text) == p.len && memcmp(p.at, text, p.len) == 0;
}

static bool piece_is_anycase(struct piece p, const char *text)
{
    return strlen(text) == p.len && strncasecmp(p.at, text, p.len) == 0;
}

static bool same_tag(struct piece a, struct piece b)
{
    return a.len == b.len && strncasecmp(a.at, b.at, a.len) == 0;
}

static int shown(struct piece p)
{
    return (int)(p.len < SHOWN_MAX ? p.len : SHOWN_MAX);
}

static bool bad(char why[], const char *fmt, ...) __attribute__((format(printf, 2, 3)));

static bool bad(char why[], const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(why, sizeof((struct pst_persist_verdict *)0)->why, fmt, ap);
    va_end(ap);
    return false;
}

/* Decimal Unix seconds, digits only. */
static bool take_until(struct piece value, int64_t *ret)
{
    char text[20];

    if (value.len == 0 || value.len >= sizeof text)
        return false;
    memcpy(text, value.at, value.len);
    text[value.len] = '\0';
    return strspn(text, "0123456789") == value.len && pst_parse_i64(text, 0, INT64_MAX, ret);
}

static bool take_parameter(struct piece tag, struct piece value, struct record *to, char why[])
{
    if (piece_is_anycase(tag, "accounturi"))
        to->account = value;
    else if (piece_is_anycase(tag, "policy"))
        to->wildcard = piece_is_anycase(value, "wildcard");
    else if (piece_is_anycase(tag, "persistuntil") && !take_until(value, &to->until_at))
        return bad(why, "persistUntil is not a number of seconds");
    return true; /* what a CA does not know it ignores */
}

/* One parameter at *at, which is moved behind it and the blanks there. */
static bool read_parameter(const char **at, struct piece *ret_tag, struct piece *ret_value,
                           char why[])
{
    const char *s = *at;

    *ret_tag = (struct piece){s, label_len(s)};
    if (ret_tag->len == 0)
        return s[0] ? bad(why, "a parameter's name begins with \"%c\" (a parameter is tag=value)",
                          s[0] > 0x20 && s[0] < 0x7f ? s[0] : '?')
                    : bad(why, "a semicolon stands at the end");
    s = skip_blanks(s + ret_tag->len);
    if (s[0] != '=')
        return bad(why, "\"%.*s\" has no value (a parameter is tag=value)", shown(*ret_tag),
                   ret_tag->at);
    s = skip_blanks(s + 1);
    *ret_value = (struct piece){s, 0};
    while (is_value_char(s[ret_value->len]))
        ret_value->len++;
    s = skip_blanks(s + ret_value->len);
    if (s[0] && s[0] != ';')
        return bad(why, "the value of \"%.*s\" has a character that must not be in it",
                   shown(*ret_tag), ret_tag->at);
    *at = s;
    return true;
}

static bool read_parameters(const char *s, struct record *to, char why[])
{
    struct piece tags[PARAMETERS_MAX];

    for (size_t n = 0;; n++) {
        struct piece value = {0};

        if (n == PARAMETERS_MAX)
            return bad(why, "there are more than %d parameters", PARAMETERS_MAX);
        if (!read_parameter(&s, &tags[n], &value, why))
            return false;
        for (size_t i = 0; i < n; i++)
            if (same_tag(tags[i], tags[n]))
                return bad(why, "\"%.*s\" stands twice", shown(tags[n]), tags[n].at);
        if (!take_parameter(tags[n], value, to, why))
            return false;
        if (!s[0])
            return true;
        s = skip_blanks(s + 1);
    }
}

/* The issuer's name at the front, and what follows it; false: there is none. */
static bool read_issuer(const char *value, struct record *to, const char **ret_rest)
{
    const char *s = skip_blanks(value);

    to->issuer = (struct piece){s, issuer_len(s)};
    s = skip_blanks(s + to->issuer.len);
    *ret_rest = s;
    return to->issuer.len > 0 && (s[0] == ';' || !s[0]);
}

static bool is_issuer(const struct pst_persist_ca *ca, struct piece name)
{
    for (size_t i = 0; i < ca->issuers_n; i++)
        if (piece_is_anycase(name, ca->issuers[i]))
            return true;
    return false;
}

/* Ours at this name?  A hashed one may be made for this name or for all. */
static int is_account(const struct pst_persist_ca *ca, const char *name, struct piece account,
                      bool *ret, struct pst_err *err)
{
    const char *domains[] = {pst_persist_base(name), "*"};
    size_t n = ca->form == PST_PERSIST_HASHED ? 2 : 1;

    *ret = false;
    for (size_t i = 0; i < n && !*ret; i++) {
        auto_buf struct pst_buf ours = PST_BUF(PST_PERSIST_VALUE_MAX);

        int rc = pst_persist_account(ca, domains[i], &ours, err);
        if (rc == PST_EINPUT)
            return PST_OK; /* longer than any record that we read */
        if (rc)
            return rc;
        *ret = piece_is(account, pst_buf_cstr(&ours));
    }
    return PST_OK;
}

static int judge_ours(const struct pst_persist_ca *ca, const char *name, const struct record *r,
                      int64_t now_at, struct pst_persist_verdict *v, struct pst_err *err)
{
    bool ours;

    int rc = is_account(ca, name, r->account, &ours, err);
    if (rc)
        return rc;
    v->until_at = r->until_at;
    if (!ours) {
        v->result = PST_PERSIST_OTHER_ACCOUNT;
        bad(v->why, ca->form == PST_PERSIST_HASHED && piece_is(r->account, ca->account_url)
                        ? "the record has the account's URL, and this CA now wants a digest of it"
                        : "the record is for another account of this CA");
    } else if (r->until_at > 0 && now_at > r->until_at) {
        v->result = PST_PERSIST_EXPIRED;
        bad(v->why, "the record's persistUntil is over");
    } else if (pst_str_starts(name, "*.") && !r->wildcard) {
        v->result = PST_PERSIST_NO_WILDCARD;
        bad(v->why, "the record lacks policy=wildcard");
    } else {
        v->result = PST_PERSIST_MATCH;
    }
    return PST_OK;
}

static int judge_one(const struct pst_persist_ca *ca, const char *name, const char *value,
                     int64_t now_at, struct pst_persist_verdict *v, struct pst_err *err)
{
    struct record r = {0};
    const char *rest;

    v->result = PST_PERSIST_MALFORMED;
    if (strlen(value) > PST_PERSIST_VALUE_MAX) {
        bad(v->why, "the record is longer than %d bytes", PST_PERSIST_VALUE_MAX);
        return PST_OK;
    }
    if (!read_issuer(value, &r, &rest)) {
        bad(v->why, "the record does not begin with the name of a CA and a semicolon");
        return PST_OK;
    }
    if (!is_issuer(ca, r.issuer)) { /* another CA's business, in whatever form */
        v->result = PST_PERSIST_OTHER_ISSUER;
        bad(v->why, "the record is for the CA \"%.*s\"", shown(r.issuer), r.issuer.at);
        return PST_OK;
    }
    if (rest[0] && !read_parameters(skip_blanks(rest + 1), &r, v->why))
        return PST_OK;
    if (r.account.len == 0) {
        bad(v->why, "the record has no accounturi");
        return PST_OK;
    }
    return judge_ours(ca, name, &r, now_at, v, err);
}

int pst_persist_judge(const struct pst_persist_ca *ca, const char *name, const char *const *values,
                      size_t values_n, int64_t now_at, struct pst_persist_verdict *ret,
                      struct pst_err *err)
{
    struct pst_persist_verdict best = {.result = PST_PERSIST_NONE};

    bad(best.why, "there is no record");
    for (size_t i = 0; i < values_n && best.result != PST_PERSIST_MATCH; i++) {
        struct pst_persist_verdict v = {.at = i};

        int rc = judge_one(ca, name, values[i], now_at, &v, err);
        if (rc)
            return rc;
        if (v.result > best.result)
            best = v;
    }
    *ret = best;
    return PST_OK;
}
