/* What a set of CAA records says to one CA about one name.  Pure. */
#include <stdio.h>
#include <string.h>

#include <postern/base.h>
#include <postern/caa.h>
#include <postern/resolve.h>

enum {
    CRITICAL = 128 | 1, /* 128 by RFC 8659; 1 was written by mistake and is honoured by CAs */
    PARAMETERS_MAX = 16,
};

/* A piece of a record's value. */
struct piece {
    const char *at;
    size_t len;
};

static bool is_blank(char c)
{
    return c == ' ' || c == '\t';
}

static struct piece trim(struct piece p)
{
    while (p.len > 0 && is_blank(p.at[0])) {
        p.at++;
        p.len--;
    }
    while (p.len > 0 && is_blank(p.at[p.len - 1]))
        p.len--;
    return p;
}

static bool piece_is(struct piece p, const char *text)
{
    return strlen(text) == p.len && memcmp(p.at, text, p.len) == 0;
}

static bool piece_is_anycase(struct piece p, const char *text)
{
    return strlen(text) == p.len && strncasecmp(p.at, text, p.len) == 0;
}

/* The part before the next `mark`, cut off the front of `rest`; false when nothing is left. */
static bool next_piece(struct piece *rest, char mark, struct piece *ret)
{
    if (!rest->at)
        return false;
    const char *end = memchr(rest->at, mark, rest->len);
    *ret = *rest;
    if (!end) {
        rest->at = NULL;
        return true;
    }
    ret->len = (size_t)(end - rest->at);
    rest->len -= ret->len + 1;
    rest->at = end + 1;
    return true;
}

static bool letter_or_digit(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

/* ------------------------------------------------------------------ one record */

/* `domain [; tag=value]*` of RFC 8659 4.2, taken apart. */
struct issue_value {
    struct piece domain;
    struct piece account[2]; /* accounturi, RFC 8657 3 */
    struct piece methods[2]; /* validationmethods, RFC 8657 4 */
    size_t account_n, methods_n;
};

static bool domain_ok(struct piece domain)
{
    for (size_t i = 0; i < domain.len; i++) {
        char c = domain.at[i];
        bool inside = i > 0 && i + 1 < domain.len && domain.at[i - 1] != '.';

        if (!letter_or_digit(c) && !(inside && (c == '.' || c == '-')))
            return false;
    }
    return true;
}

static bool parameter_ok(struct piece tag, struct piece value)
{
    if (tag.len == 0)
        return false;
    for (size_t i = 0; i < tag.len; i++) {
        bool hyphen = tag.at[i] == '-' && i > 0 && i + 1 < tag.len;

        if (!letter_or_digit(tag.at[i]) && !hyphen)
            return false;
    }
    for (size_t i = 0; i < value.len; i++) {
        if (value.at[i] < 0x21 || value.at[i] > 0x7e)
            return false;
    }
    return true;
}

static bool add_parameter(struct issue_value *v, struct piece text)
{
    struct piece rest = text, tag = {0};

    (void)next_piece(&rest, '=', &tag);
    if (!rest.at)
        return false;
    tag = trim(tag);
    struct piece value = trim(rest);
    if (!parameter_ok(tag, value))
        return false;
    /* Two of a kind are enough to know that there is more than one. */
    if (piece_is(tag, "accounturi") && v->account_n < 2)
        v->account[v->account_n++] = value;
    if (piece_is(tag, "validationmethods") && v->methods_n < 2)
        v->methods[v->methods_n++] = value;
    return true;
}

static bool parse_value(const char *text, struct issue_value *ret)
{
    struct issue_value v = {0};
    struct piece rest = {text, strlen(text)}, part;
    size_t n = 0;

    (void)next_piece(&rest, ';', &part);
    v.domain = trim(part);
    if (!domain_ok(v.domain))
        return false;
    /* `ca.example;` is a domain without parameters. */
    bool nothing = rest.at && trim(rest).len == 0;
    while (!nothing && next_piece(&rest, ';', &part)) {
        if (++n > PARAMETERS_MAX || !add_parameter(&v, part))
            return false;
    }
    *ret = v;
    return true;
}

static bool methods_allow(const struct issue_value *v, const char *challenge)
{
    struct piece rest, one;

    if (v->methods_n == 0 || !challenge)
        return true;
    if (v->methods_n > 1)
        return false;
    rest = v->methods[0];
    while (next_piece(&rest, ',', &one)) {
        if (piece_is(one, challenge))
            return true;
    }
    return false;
}

static bool account_allows(const struct issue_value *v, const char *account_url)
{
    if (v->account_n == 0)
        return true;
    return v->account_n == 1 && account_url && piece_is(v->account[0], account_url);
}

/* How near a record comes to allowing the issuer; the nearest one is shown. */
enum nearness { OTHER_CA, NO_CA, UNREADABLE, OTHER_ACCOUNT, OTHER_METHOD, ALLOWS };

static enum nearness judge(const char *value, const struct pst_caa_issuer *issuer)
{
    struct issue_value v;
    bool ours = issuer->identities_n == 0;

    if (!parse_value(value, &v))
        return UNREADABLE;
    if (v.domain.len == 0)
        return NO_CA;
    for (size_t i = 0; i < issuer->identities_n && !ours; i++)
        ours = piece_is_anycase(v.domain, issuer->identities[i]);
    if (!ours)
        return OTHER_CA;
    if (issuer->identities_n == 0)
        return ALLOWS; /* perhaps: not a definite no */
    if (!account_allows(&v, issuer->account_url))
        return OTHER_ACCOUNT;
    return methods_allow(&v, issuer->challenge) ? ALLOWS : OTHER_METHOD;
}

/* ------------------------------------------------------------------ the set */

static const char *shown(const char *name)
{
    return *name ? name : ".";
}

static void show_record(const char *where, const struct pst_caa_rr *rr, char *to, size_t size)
{
    auto_buf struct pst_buf b = PST_BUF(400);

    for (const char *p = rr->value; *p; p++) {
        if (*p == '"')
            pst_buf_char(&b, '\\');
        pst_buf_char(&b, *p);
    }
    (void)snprintf(to, size, "%s. CAA %u %s \"%s\"", where, (unsigned)rr->flags,
                   rr->tag[0] ? rr->tag : "?", pst_buf_cstr(&b));
}

static bool tag_known(const char *tag)
{
    static const char *const known[] = {"issue", "issuewild", "iodef", "issuemail", "issuevmc"};

    for (size_t i = 0; i < PST_ARRAY_N(known); i++) {
        if (pst_strcaseeq(tag, known[i]))
            return true;
    }
    return false;
}

static void forbid_critical(const char *where, const struct pst_caa_rr *rr,
                            struct pst_caa_verdict *v)
{
    v->result = PST_CAA_FORBIDDEN;
    show_record(where, rr, v->record, sizeof v->record);
    (void)snprintf(v->add, sizeof v->add, "remove %.700s", v->record);
    (void)snprintf(
        v->text, sizeof v->text,
        "the CAA record at %.253s has a property that no CA knows and is marked critical: "
        "no CA may issue for %.200s",
        shown(where), v->name);
}

static void show_mend(const struct pst_caa_issuer *issuer, const char *tag, const char *where,
                      enum nearness why, struct pst_caa_verdict *v)
{
    const char *ca = issuer->identities_n > 0 ? issuer->identities[0] : "<the CA>";

    if (why == OTHER_ACCOUNT && issuer->account_url)
        (void)snprintf(v->add, sizeof v->add, "%s. CAA 0 %s \"%.100s; accounturi=%.200s\"", where,
                       tag, ca, issuer->account_url);
    else
        (void)snprintf(v->add, sizeof v->add, "%s. CAA 0 %s \"%.200s\"", where, tag, ca);
}

static void forbid(const struct pst_caa_issuer *issuer, const char *tag, const char *where,
                   enum nearness why, const struct pst_caa_rr *rr, struct pst_caa_verdict *v)
{
    static const char *const reasons[] = {
        [OTHER_CA] = "names another CA",
        [NO_CA] = "allows no CA at all",
        [UNREADABLE] = "cannot be read and so allows nobody",
        [OTHER_ACCOUNT] = "names this CA, but another account",
        [OTHER_METHOD] = "names this CA, but not this validation method",
    };

    v->result = PST_CAA_FORBIDDEN;
    show_record(where, rr, v->record, sizeof v->record);
    show_mend(issuer, tag, where, why, v);
    (void)snprintf(v->text, sizeof v->text, "the CAA record at %.253s %s; it counts for %.200s",
                   shown(where), reasons[why], v->name);
}

/* The records with `tag`: how near they come, and the nearest one. */
static enum nearness judge_all(const struct pst_caa_rr *rrs, size_t n, const char *tag,
                               const struct pst_caa_issuer *issuer, const struct pst_caa_rr **ret)
{
    enum nearness best = OTHER_CA;

    *ret = NULL;
    for (size_t i = 0; i < n; i++) {
        if (!pst_strcaseeq(rrs[i].tag, tag))
            continue;
        enum nearness one = judge(rrs[i].value, issuer);
        if (!*ret || one > best) {
            best = one;
            *ret = &rrs[i];
        }
    }
    return best;
}

void pst_caa_evaluate(const char *name, const char *where, const struct pst_caa_rr *rrs, size_t n,
                      const struct pst_caa_issuer *issuer, struct pst_caa_verdict *ret)
{
    const struct pst_caa_rr *rr = NULL;
    const char *tag = "issue";
    enum nearness how = OTHER_CA;

    *ret = (struct pst_caa_verdict){.result = PST_CAA_ALLOWED};
    (void)snprintf(ret->name, sizeof ret->name, "%s", name);
    if (n > 0)
        (void)snprintf(ret->where, sizeof ret->where, "%s", where);
    for (size_t i = 0; i < n; i++) {
        if ((rrs[i].flags & CRITICAL) && !tag_known(rrs[i].tag)) {
            forbid_critical(ret->where, &rrs[i], ret);
            return;
        }
    }
    if (pst_str_starts(name, "*.")) {
        how = judge_all(rrs, n, "issuewild", issuer, &rr);
        if (rr)
            tag = "issuewild";
    }
    if (!rr)
        how = judge_all(rrs, n, "issue", issuer, &rr);
    if (rr && how != ALLOWS)
        forbid(issuer, tag, ret->where, how, rr, ret);
    else if (rr)
        (void)snprintf(ret->text, sizeof ret->text, "the CAA records at %.253s allow this CA",
                       where);
    else
        (void)snprintf(ret->text, sizeof ret->text, "no CAA record restricts %.253s", name);
}

const char *pst_caa_result_name(enum pst_caa_result r)
{
    static const char *const names[] = {
        [PST_CAA_ALLOWED] = "allowed",
        [PST_CAA_FORBIDDEN] = "forbidden",
        [PST_CAA_ERROR] = "error",
    };

    return (size_t)r < PST_ARRAY_N(names) ? names[r] : "unknown";
}
