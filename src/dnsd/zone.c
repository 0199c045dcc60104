/* zone.c - the records of the apex, made once from settings. */
#include <string.h>

#include "dnsd_internal.h"

enum {
    CLASS_IN = 1,
    TYPE_NS = 2,
    TYPE_CAA = 257,
    APEX_TTL_S = 3600,
    REFRESH_S = 3600,
    RETRY_S = 600,
    EXPIRE_S = 7 * 86400,
    OWNER = 0xc00c, /* a pointer to the name in the question */
};

uint8_t *pst_dns_put16(uint8_t *p, uint16_t v)
{
    p[0] = (uint8_t)(v >> 8);
    p[1] = (uint8_t)v;
    return p + 2;
}

uint8_t *pst_dns_put32(uint8_t *p, uint32_t v)
{
    p = pst_dns_put16(p, (uint16_t)(v >> 16));
    return pst_dns_put16(p, (uint16_t)v);
}

uint8_t pst_dns_lower(uint8_t c)
{
    return c >= 'A' && c <= 'Z' ? (uint8_t)(c + 'a' - 'A') : c;
}

/* Append `len` bytes of a name as labels, without the root. */
static uint8_t *put_labels(uint8_t *p, const char *name, size_t *ret_n)
{
    while (*name) {
        size_t len = strcspn(name, ".");

        *p++ = (uint8_t)len;
        for (size_t i = 0; i < len; i++)
            *p++ = pst_dns_lower((uint8_t)name[i]);
        ++*ret_n;
        name += len;
        if (*name == '.')
            name++;
    }
    return p;
}

static int wire_name(const char *what, const char *name, uint8_t to[PST_DNS_WIRE_MAX],
                     size_t *ret_len, size_t *ret_labels, struct pst_err *err)
{
    size_t labels = 0;

    if (!pst_dns_name_ok(name) || name[0] == '*')
        return pst_fail(err, PST_ECONFIG, "%s: \"%s\" is not a DNS name", what, name);
    uint8_t *p = put_labels(to, name, &labels);
    *p++ = 0;
    *ret_len = (size_t)(p - to);
    if (ret_labels)
        *ret_labels = labels;
    return PST_OK;
}

/* A mail address as a name: what is before the @ is one label (RFC 1035 section 8). */
static int wire_admin(const struct pst_dns_zone_opts *opts, uint8_t to[PST_DNS_WIRE_MAX],
                      size_t *ret_len, struct pst_err *err)
{
    static const char hostmaster[] = "hostmaster";
    const char *admin = opts->admin && opts->admin[0] ? opts->admin : NULL;
    const char *at = admin ? strchr(admin, '@') : NULL;
    const char *local = admin ? admin : hostmaster;
    size_t len = at ? (size_t)(at - admin) : strlen(hostmaster), host_len = 0;

    if (admin && (!at || len == 0 || len > 63 || len + strlen(at) > PST_DNS_NAME_MAX))
        return pst_fail(err, PST_ECONFIG, "dnsd.admin: \"%s\" is not a mail address", admin);
    uint8_t host[PST_DNS_WIRE_MAX];
    int rc = wire_name("dnsd.admin", at ? at + 1 : opts->name, host, &host_len, NULL, err);
    if (rc != PST_OK)
        return rc;
    to[0] = (uint8_t)len;
    memcpy(to + 1, local, len);
    memcpy(to + 1 + len, host, host_len);
    *ret_len = 1 + len + host_len;
    return PST_OK;
}

static bool add_record(struct pst_dns_block *b, uint16_t type, const uint8_t *data, size_t len)
{
    if (sizeof b->data - b->len < 12 + len)
        return false;
    uint8_t *p = pst_dns_put16(b->data + b->len, OWNER);
    p = pst_dns_put16(p, type);
    p = pst_dns_put16(p, CLASS_IN);
    p = pst_dns_put32(p, APEX_TTL_S);
    p = pst_dns_put16(p, (uint16_t)len);
    memcpy(p, data, len);
    b->len += 12 + len;
    b->n++;
    return true;
}

static int add_servers(struct pst_dns_zone *z, const struct pst_dns_zone_opts *opts,
                       struct pst_err *err)
{
    for (size_t i = 0; i < opts->ns_n; i++) {
        uint8_t name[PST_DNS_WIRE_MAX];
        size_t len = 0;

        int rc = wire_name("dnsd.ns", opts->ns[i], name, &len, NULL, err);
        if (rc != PST_OK)
            return rc;
        if (!add_record(&z->ns, TYPE_NS, name, len))
            return pst_fail(err, PST_ECONFIG, "dnsd.ns: these are too many servers");
    }
    return PST_OK;
}

/* RFC 8659 section 4: no flags, tag, value. */
static int add_issuers(struct pst_dns_zone *z, const struct pst_dns_zone_opts *opts,
                       struct pst_err *err)
{
    static const char tag[] = "issue";

    for (size_t i = 0; i < opts->caa_n; i++) {
        uint8_t data[2 + sizeof tag - 1 + PST_DNS_NAME_MAX] = {0, sizeof tag - 1};
        size_t len = strlen(opts->caa[i]);

        if (len == 0 || len > PST_DNS_NAME_MAX)
            return pst_fail(err, PST_ECONFIG, "dnsd.caa: \"%s\" is not the name of a CA",
                            opts->caa[i]);
        memcpy(data + 2, tag, sizeof tag - 1);
        memcpy(data + 2 + sizeof tag - 1, opts->caa[i], len);
        if (!add_record(&z->caa, TYPE_CAA, data, 2 + sizeof tag - 1 + len))
            return pst_fail(err, PST_ECONFIG, "dnsd.caa: these are too many issuers");
    }
    return PST_OK;
}

static int make_soa(struct pst_dns_zone *z, const struct pst_dns_zone_opts *opts,
                    struct pst_err *err)
{
    uint8_t admin[PST_DNS_WIRE_MAX + 64];
    size_t primary_len = 0, admin_len = 0;

    int rc = wire_name("dnsd.ns", opts->ns[0], z->soa, &primary_len, NULL, err);
    if (rc == PST_OK)
        rc = wire_admin(opts, admin, &admin_len, err);
    if (rc != PST_OK)
        return rc;
    memcpy(z->soa + primary_len, admin, admin_len);
    z->soa_serial = primary_len + admin_len;
    uint8_t *p = pst_dns_put32(z->soa + z->soa_serial, 0);
    p = pst_dns_put32(p, REFRESH_S);
    p = pst_dns_put32(p, RETRY_S);
    p = pst_dns_put32(p, EXPIRE_S);
    p = pst_dns_put32(p, opts->negative_ttl_s);
    z->soa_len = (size_t)(p - z->soa);
    return PST_OK;
}

int pst_dns_zone_new(struct pst_dns_zone **ret, const struct pst_dns_zone_opts *opts,
                     struct pst_err *err)
{
    auto_(pst_dns_zone_free) struct pst_dns_zone *z = pst_zalloc(1, sizeof *z);

    if (!z)
        return pst_fail_nomem(err, "the zone of challenges");
    if (opts->ns_n == 0)
        return pst_fail(err, PST_ECONFIG, "dnsd.ns: a zone has at least one server");
    z->ttl_s = opts->ttl_s;
    z->negative_ttl_s = opts->negative_ttl_s;
    int rc = wire_name("dnsd.zone", opts->name, z->apex, &z->apex_len, &z->apex_labels, err);
    if (rc == PST_OK)
        rc = add_servers(z, opts, err);
    if (rc == PST_OK)
        rc = add_issuers(z, opts, err);
    if (rc == PST_OK)
        rc = make_soa(z, opts, err);
    if (rc == PST_OK)
        *ret = pst_take(&z);
    return rc;
}

void pst_dns_zone_free(struct pst_dns_zone *z)
{
    pst_free(z);
}
