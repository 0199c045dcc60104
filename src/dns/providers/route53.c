/* route53.c - Amazon Route 53: whole record sets in XML, changed by DELETE of exactly what was read
 * and CREATE in one atomic batch. */
#include <string.h>

#include "../dns_internal.h"

enum { KEY_ID, SECRET, ZONE_ID, SESSION };

static const struct pst_dns_var vars[] = {
    [KEY_ID] = {"DNS_AWS_ACCESS_KEY_ID", PST_VAR_TOKEN, false, false},
    [SECRET] = {"DNS_AWS_SECRET_ACCESS_KEY", PST_VAR_TOKEN, false, false},
    [ZONE_ID] = {"DNS_AWS_HOSTED_ZONE_ID", PST_VAR_TOKEN, true, true},
    [SESSION] = {"DNS_AWS_SESSION_TOKEN", PST_VAR_TOKEN, true, false},
};

enum { TTL_S = 60, ZONE_ID_MAX = 32 };

#define VERSION    "/2013-04-01"
#define NAMESPACE_ "https://route53.amazonaws.com/doc/2013-04-01/"

static const char alnum[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";

/* An id without the path that Amazon puts before it; NULL: it is none. */
static const char *bare_id(const char *id, const char *path)
{
    size_t len = strlen(path);

    if (strncmp(id, path, len) == 0)
        id += len;
    else if (strncmp(id, path + 1, len - 1) == 0)
        id += len - 1;
    return id[0] && strlen(id) <= ZONE_ID_MAX && id[strspn(id, alnum)] == '\0' ? id : NULL;
}

static int create(struct pst_dns_provider *p, struct pst_err *err)
{
    if (pst_dns_has(p, ZONE_ID) && !bare_id(pst_dns_var(p, ZONE_ID), "/hostedzone/"))
        return pst_dns_wrong(p, ZONE_ID, "is not the id of a hosted zone", err);
    return PST_OK;
}

/* ---- signature ---- */

static int host_header(const char *url, struct pst_buf *to, struct pst_err *err)
{
    struct pst_http_url u;

    int rc = pst_http_url_parse(url, &u, err);
    if (rc != PST_OK)
        return rc;
    bool v6 = strchr(u.host, ':') != NULL;
    pst_buf_printf(to, "%s%s%s", v6 ? "[" : "", u.host, v6 ? "]" : "");
    if (u.port != (u.https ? 443 : 80))
        pst_buf_printf(to, ":%u", u.port);
    return pst_buf_check(to, "a host", err);
}

static int authorize(struct pst_dns_provider *p, struct pst_dns_request *r, bool fresh,
                     struct pst_err *err)
{
    auto_buf struct pst_buf host = PST_BUF(512), path = PST_BUF(URL_MAX);
    const char *url = pst_buf_cstr(&r->url);
    const char *at = strstr(url, "://");
    const char *slash = at ? strchr(at + 3, '/') : NULL;
    const char *query = strchr(url, '?');

    if (!slash)
        return pst_fail(err, PST_EINTERNAL, "a URL without a path");
    pst_buf_add(&path, slash, query ? (size_t)(query - slash) : strlen(slash));
    int rc = host_header(url, &host, err);
    if (rc == PST_OK)
        rc = pst_buf_check(&path, "a URL", err);
    if (rc != PST_OK)
        return rc;
    struct pst_sigv4 s = {
        .key_id = pst_dns_var(p, KEY_ID),
        .secret = &p->vars[SECRET],
        .region = "us-east-1",
        .service = "route53",
        .host = host.data,
        .token = pst_dns_var(p, SESSION),
        .now = pst_dns_now(p),
    };
    char date[PST_AMZ_DATE_SIZE];
    pst_amz_date(s.now, date);
    pst_buf_str(pst_dns_header_slot(r, "X-Amz-Date"), date);
    if (s.token[0])
        pst_dns_header(r, "X-Amz-Security-Token", s.token);
    return pst_sigv4(&s, r->method, path.data, query ? query + 1 : "", &r->body,
                     pst_dns_header_slot(r, "Authorization"), err);
}

/* ---- XML ---- */

/* The text of a child; "" when there is none. */
static void child_text(const struct pst_xml *in, const char *name, char *to, size_t to_size)
{
    struct pst_xml child;

    to[0] = '\0';
    if (pst_xml_child(in, name, 0, &child))
        pst_xml_copy(&child, to, to_size);
}

static bool root_of(const struct pst_dns_answer *a, const char *wanted, struct pst_xml *ret)
{
    char name[64];
    return pst_xml_root(a->body, a->body_len, name, ret) && (!wanted || pst_streq(name, wanted));
}

static const struct {
    const char *code;
    enum pst_dns_class class;
    unsigned blame;
    const char *hint;
} codes[] = {
    {"Throttling", PST_CLASS_TRANSIENT, 0, NULL},
    {"ThrottlingException", PST_CLASS_TRANSIENT, 0, NULL},
    {"PriorRequestNotComplete", PST_CLASS_TRANSIENT, 0, NULL},
    {"InvalidClientTokenId", PST_CLASS_PERMANENT, 1u << KEY_ID, NULL},
    {"SignatureDoesNotMatch", PST_CLASS_PERMANENT, 1u << SECRET,
     "the secret is wrong, or the clock here is"},
    {"ExpiredToken", PST_CLASS_PERMANENT, 1u << SESSION, NULL},
    {"AccessDenied", PST_CLASS_PERMANENT, 1u << KEY_ID, "the key lacks a right"},
    {"NoSuchHostedZone", PST_CLASS_PERMANENT, 1u << ZONE_ID, NULL},
};

/* Errors have two shapes: <ErrorResponse> with <Error>, or an element with the code's name. */
static void explain(struct pst_dns_provider *p, const struct pst_dns_answer *a,
                    struct pst_dns_reason *ret)
{
    struct pst_xml root, error;

    if (!pst_xml_root(a->body, a->body_len, p->code, &root))
        return;
    if (pst_xml_child(&root, "Error", 0, &error)) {
        child_text(&error, "Code", p->code, sizeof p->code);
        child_text(&error, "Message", p->message, sizeof p->message);
    } else {
        if (!pst_xml_child(&root, "Messages", 0, &error))
            error = root;
        child_text(&error, "Message", p->message, sizeof p->message);
    }
    ret->code = p->code;
    ret->message = p->message;
    for (size_t i = 0; i < PST_ARRAY_N(codes); i++) {
        if (!pst_streq(p->code, codes[i].code))
            continue;
        ret->class = codes[i].class;
        ret->blame = codes[i].blame;
        ret->hint = codes[i].hint;
    }
}

/* ---- names ---- */

/* Amazon writes bytes outside letters, digits, '-' and '.' as \ooo, and a dot at the end. */
static bool is_name(const char *theirs, const char *name)
{
    for (; *name; name++) {
        unsigned char c = (unsigned char)*theirs++;

        if (c == '\\') {
            if (!(theirs[0] >= '0' && theirs[0] <= '3' && theirs[1] >= '0' && theirs[1] <= '7' &&
                  theirs[2] >= '0' && theirs[2] <= '7'))
                return false;
            c = (unsigned char)((theirs[0] - '0') << 6 | (theirs[1] - '0') << 3 |
                                (theirs[2] - '0'));
            theirs += 3;
        }
        char a[2] = {(char)c, 0}, b[2] = {*name, 0};
        if (!c || !pst_strcaseeq(a, b))
            return false;
    }
    return theirs[0] == '\0' || pst_streq(theirs, ".");
}

/* ---- zones ---- */

static int find(struct pst_dns_provider *p, const char *fqdn, bool delegated,
                struct pst_dns_zone *ret, struct pst_err *err)
{
    if (!pst_dns_has(p, ZONE_ID))
        return PST_NOTYET;
    /* All rights may be limited to this zone: nothing else is asked. */
    pst_str_copy(ret->id, sizeof ret->id, bare_id(pst_dns_var(p, ZONE_ID), "/hostedzone/"));
    return PST_OK;
}

struct page {
    size_t found;
    char id[ZONE_ID_MAX + 1];
    bool more;
    char next_name[512];
    char next_id[64];
};

static int look_at_zones(const struct pst_dns_answer *a, const char *name, struct page *g,
                         struct pst_err *err)
{
    struct pst_xml root, zones, zone, config;
    char text[512], flag[8];

    if (!root_of(a, "ListHostedZonesByNameResponse", &root) ||
        !pst_xml_child(&root, "HostedZones", 0, &zones))
        return pst_dns_senseless(a, "listing zones", err);
    child_text(&root, "IsTruncated", flag, sizeof flag);
    child_text(&root, "NextDNSName", g->next_name, sizeof g->next_name);
    child_text(&root, "NextHostedZoneId", g->next_id, sizeof g->next_id);
    /* The list begins at the name and goes on behind it. */
    g->more = pst_streq(flag, "true") && is_name(g->next_name, name) && g->next_id[0];
    for (size_t i = 0; pst_xml_child(&zones, "HostedZone", i, &zone); i++) {
        child_text(&zone, "Name", text, sizeof text);
        if (!is_name(text, name))
            continue;
        flag[0] = '\0';
        if (pst_xml_child(&zone, "Config", 0, &config))
            child_text(&config, "PrivateZone", flag, sizeof flag);
        /* Private, or made and owned by another service of Amazon's. */
        if (pst_streq(flag, "true") || pst_xml_child(&zone, "LinkedService", 0, &config))
            continue;
        child_text(&zone, "Id", text, sizeof text);
        const char *id = bare_id(text, "/hostedzone/");
        if (!id)
            return pst_dns_senseless(a, "listing zones", err);
        g->found++;
        pst_str_copy(g->id, sizeof g->id, id);
    }
    return PST_OK;
}

static int zone(struct pst_dns_provider *p, const char *name, struct pst_dns_zone *ret,
                struct pst_err *err)
{
    struct page g = {0};

    for (int pages = 0; pages == 0 || (g.more && pages < PAGES_MAX); pages++) {
        auto_request struct pst_dns_request r = PST_DNS_REQUEST("GET");
        auto_answer struct pst_dns_answer a = {0};

        /* The order of the parameters is that of the signature. */
        pst_dns_url(p, &r, VERSION "/hostedzonesbyname?dnsname=");
        pst_dns_escape(&r.url, name, "");
        pst_buf_char(&r.url, '.');
        if (g.more) {
            pst_buf_str(&r.url, "&hostedzoneid=");
            pst_dns_escape(&r.url, g.next_id, "");
        }
        pst_buf_str(&r.url, "&maxitems=100");
        int rc = pst_dns_send(p, &r, &a, err);
        if (rc != PST_OK)
            return rc;
        if (a.status != 200)
            return pst_dns_fault(p, &a, "listing zones", err);
        rc = look_at_zones(&a, name, &g, err);
        if (rc != PST_OK)
            return rc;
    }
    if (g.found == 0)
        return PST_NOTFOUND;
    if (g.found > 1) {
        pst_dns_blame_add(p, ZONE_ID);
        pst_dns_permanent(err,
                          "there are %zu public zones with the name %s: set "
                          "DNS_AWS_HOSTED_ZONE_ID",
                          g.found, name);
        pst_err_problem(err, "ambiguous_zone");
        return PST_EREMOTE;
    }
    pst_str_copy(ret->id, sizeof ret->id, g.id);
    return PST_OK;
}

/* ---- record sets ---- */

static int take_values(const struct pst_dns_answer *a, const struct pst_xml *set,
                       struct pst_dns_set *ret, struct pst_err *err)
{
    struct pst_xml records, record, field;
    char ttl_text[16];
    int64_t ttl;

    child_text(set, "TTL", ttl_text, sizeof ttl_text);
    if (pst_xml_child(set, "SetIdentifier", 0, &field))
        return pst_dns_permanent(err, "the TXT records have a routing policy and are left alone");
    if (!pst_parse_i64(ttl_text, 0, INT32_MAX, &ttl) ||
        !pst_xml_child(set, "ResourceRecords", 0, &records))
        return pst_dns_senseless(a, "reading the records", err);
    ret->exists = true;
    ret->ttl_s = (uint32_t)ttl;
    for (size_t i = 0; pst_xml_child(&records, "ResourceRecord", i, &record); i++) {
        auto_buf struct pst_buf raw = PST_BUF(64 * 1024);

        if (i == VALUES_MAX || !pst_xml_child(&record, "Value", 0, &field))
            return pst_dns_senseless(a, "reading the records", err);
        if (!pst_xml_text(&field, &raw))
            return raw.no_memory ? pst_fail_nomem(err, "TXT values")
                                 : pst_dns_senseless(a, "reading the records", err);
        int rc = pst_dns_set_add_quoted(ret, pst_buf_cstr(&raw), pst_buf_cstr(&raw), err);
        if (rc != PST_OK)
            return rc;
    }
    return PST_OK;
}

static void zone_url(struct pst_dns_provider *p, struct pst_dns_request *r,
                     const struct pst_dns_target *t)
{
    pst_dns_url(p, r, VERSION "/hostedzone/");
    pst_dns_escape(&r->url, t->zone->id, "");
}

static int read_set(struct pst_dns_provider *p, const struct pst_dns_target *t,
                    struct pst_dns_set *ret, struct pst_err *err)
{
    auto_request struct pst_dns_request r = PST_DNS_REQUEST("GET");
    auto_answer struct pst_dns_answer a = {0};
    struct pst_xml root, sets, set;

    zone_url(p, &r, t);
    pst_buf_str(&r.url, "/rrset?maxitems=10&name=");
    pst_dns_escape(&r.url, t->fqdn, "");
    pst_buf_str(&r.url, ".&type=TXT");
    int rc = pst_dns_send(p, &r, &a, err);
    if (rc != PST_OK)
        return rc;
    if (a.status != 200)
        return pst_dns_fault(p, &a, "reading the records", err);
    if (!root_of(&a, "ListResourceRecordSetsResponse", &root) ||
        !pst_xml_child(&root, "ResourceRecordSets", 0, &sets))
        return pst_dns_senseless(&a, "reading the records", err);
    /* Name and type are where the list begins, not a filter. */
    for (size_t i = 0; pst_xml_child(&sets, "ResourceRecordSet", i, &set); i++) {
        char name[1024], type[16];

        child_text(&set, "Name", name, sizeof name);
        child_text(&set, "Type", type, sizeof type);
        if (is_name(name, t->fqdn) && pst_streq(type, "TXT"))
            return take_values(&a, &set, ret, err);
    }
    return PST_NOTFOUND;
}

static int item(const struct pst_dns_provider *p, const char *value, struct pst_buf *ret_raw)
{
    pst_dns_quote(ret_raw, value);
    return PST_OK;
}

static void write_change(struct pst_buf *to, const char *action, const struct pst_dns_target *t,
                         const struct pst_dns_set *set)
{
    pst_buf_printf(to,
                   "<Change><Action>%s</Action><ResourceRecordSet><Name>%s.</Name><Type>TXT</Type>"
                   "<TTL>%u</TTL><ResourceRecords>",
                   action, t->fqdn, set->ttl_s);
    for (size_t i = 0; i < set->n; i++) {
        pst_buf_str(to, "<ResourceRecord><Value>");
        pst_xml_escape(to, set->items[i].raw);
        pst_buf_str(to, "</Value></ResourceRecord>");
    }
    pst_buf_str(to, "</ResourceRecords></ResourceRecordSet></Change>");
}

static void write_body(struct pst_dns_provider *p, const struct pst_dns_target *t,
                       const struct pst_dns_set *old, const struct pst_dns_set *set,
                       struct pst_buf *to)
{
    /* Without the right to DELETE, only UPSERT is left, and looking again (see change.c). */
    bool upsert = p->guardless && set->n > 0;

    pst_buf_str(to, "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n"
                    "<ChangeResourceRecordSetsRequest xmlns=\"" NAMESPACE_ "\"><ChangeBatch>"
                    "<Comment>acme</Comment><Changes>");
    if (old->exists && !upsert)
        write_change(to, "DELETE", t, old);
    if (set->n > 0)
        write_change(to, upsert ? "UPSERT" : "CREATE", t, set);
    pst_buf_str(to, "</Changes></ChangeBatch></ChangeResourceRecordSetsRequest>");
}

/* Somebody else's change came between. */
static bool is_conflict(const char *message)
{
    static const char *const phrases[] = {"already exists", "was not found", "not found",
                                          "do not match"};

    for (size_t i = 0; i < PST_ARRAY_N(phrases); i++) {
        if (strstr(message, phrases[i]))
            return true;
    }
    return false;
}

static int take_change(const struct pst_dns_answer *a, struct pst_dns_change *ret,
                       struct pst_err *err)
{
    struct pst_xml root, info;
    char id[128], status[16];

    if (!root_of(a, NULL, &root) || !pst_xml_child(&root, "ChangeInfo", 0, &info))
        return pst_dns_senseless(a, "writing the records", err);
    child_text(&info, "Id", id, sizeof id);
    child_text(&info, "Status", status, sizeof status);
    const char *bare = bare_id(id, "/change/");
    if (bare && pst_streq(status, "PENDING"))
        pst_str_copy(ret->text, sizeof ret->text, bare);
    return PST_OK;
}

static int write_set(struct pst_dns_provider *p, const struct pst_dns_target *t,
                     const struct pst_dns_set *old, const struct pst_dns_set *set,
                     struct pst_dns_change *ret, struct pst_err *err)
{
    auto_request struct pst_dns_request r = PST_DNS_REQUEST("POST");
    auto_answer struct pst_dns_answer a = {0};

    zone_url(p, &r, t);
    pst_buf_str(&r.url, "/rrset/");
    r.content_type = "application/xml";
    write_body(p, t, old, set, &r.body);
    int rc = pst_dns_send(p, &r, &a, err);
    if (rc != PST_OK)
        return rc;
    if (a.status == 200)
        return take_change(&a, ret, err);
    const char *code = pst_dns_code(p, &a);
    if (pst_streq(code, "InvalidChangeBatch") && is_conflict(p->message))
        return PST_CONFLICT;
    if (pst_streq(code, "InvalidChangeBatch") && strstr(p->message, "not permitted in zone"))
        pst_dns_blame_add(p, ZONE_ID);
    if (pst_streq(code, "AccessDenied") && !p->guardless && set->n > 0) {
        p->guardless = true;
        return PST_CONFLICT;
    }
    return pst_dns_fault(p, &a, "writing the records", err);
}

static int confirm(struct pst_dns_provider *p, const char *change, struct pst_err *err)
{
    auto_request struct pst_dns_request r = PST_DNS_REQUEST("GET");
    auto_answer struct pst_dns_answer a = {0};
    struct pst_xml root, info;
    char status[16];

    pst_dns_url(p, &r, VERSION "/change/");
    pst_dns_escape(&r.url, change, "");
    int rc = pst_dns_send(p, &r, &a, err);
    if (rc != PST_OK)
        return rc;
    if (a.status != 200)
        return pst_dns_fault(p, &a, "asking for the change", err);
    if (!root_of(&a, NULL, &root) || !pst_xml_child(&root, "ChangeInfo", 0, &info))
        return pst_dns_senseless(&a, "asking for the change", err);
    child_text(&info, "Status", status, sizeof status);
    return pst_streq(status, "INSYNC") ? PST_OK : PST_NOTYET;
}

/* With an id, that it is the zone of this name is only known by looking; not all may look. */
static int check(struct pst_dns_provider *p, const struct pst_dns_target *t, struct pst_err *err)
{
    auto_set struct pst_dns_set set = {0};
    auto_request struct pst_dns_request r = PST_DNS_REQUEST("GET");
    auto_answer struct pst_dns_answer a = {0};
    struct pst_xml root, zone;
    char name[512], rel[PST_NAME_SIZE];

    int rc = read_set(p, t, &set, err);
    if (rc == PST_NOTFOUND)
        rc = PST_OK;
    if (rc != PST_OK || !pst_dns_has(p, ZONE_ID))
        return rc;
    zone_url(p, &r, t);
    rc = pst_dns_send(p, &r, &a, err);
    if (rc != PST_OK || a.status != 200 || !root_of(&a, "GetHostedZoneResponse", &root) ||
        !pst_xml_child(&root, "HostedZone", 0, &zone))
        return rc;
    child_text(&zone, "Name", name, sizeof name);
    size_t len = strlen(name);
    if (len > 0 && name[len - 1] == '.')
        name[len - 1] = '\0';
    if (!name[0] || pst_dns_relative(t->fqdn, name, rel))
        return PST_OK;
    pst_dns_blame_add(p, ZONE_ID);
    return pst_dns_permanent(err, "%s is not in the zone %.100s of DNS_AWS_HOSTED_ZONE_ID", t->fqdn,
                             name);
}

const struct pst_dns_ops pst_dns_route53 = {
    .name = "route53",
    .vars = vars,
    .vars_n = PST_ARRAY_N(vars),
    .ttl_s = TTL_S,
    .base_url = "https://route53.amazonaws.com",
    .create = create,
    .authorize = authorize,
    .explain = explain,
    .zone = zone,
    .find = find,
    .check = check,
    .read = read_set,
    .item = item,
    .write = write_set,
    .confirm = confirm,
};
