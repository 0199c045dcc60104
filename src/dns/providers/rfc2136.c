/* rfc2136.c - a name server of the tenant's own: dynamic updates with TSIG. */
#include <string.h>

#include <postern/crypto_outside.h>
#include <postern/dnsupdate.h>
#include <postern/resolve.h>

#include "../dns_internal.h"

enum { NAMESERVER, TSIG_KEY, TSIG_SECRET, TSIG_ALGORITHM, ZONE };

static const struct pst_dns_var vars[] = {
    [NAMESERVER] = {"DNS_RFC2136_NAMESERVER", PST_VAR_TOKEN, false, true},
    [TSIG_KEY] = {"DNS_RFC2136_TSIG_KEY", PST_VAR_TOKEN, false, true},
    [TSIG_SECRET] = {"DNS_RFC2136_TSIG_SECRET", PST_VAR_TOKEN, false, false},
    [TSIG_ALGORITHM] = {"DNS_RFC2136_TSIG_ALGORITHM", PST_VAR_TOKEN, true, true},
    [ZONE] = {"DNS_RFC2136_ZONE", PST_VAR_TOKEN, true, true},
};

enum { TTL_S = 60, SERVERS_MAX = 8, ASK_MS = 4000, UPDATE_MS = 10000 };

static const struct {
    const char *name;
    const char *digest;
} algorithms[] = {
    {"hmac-sha256", "sha256"}, {"hmac-sha512", "sha512"}, {"hmac-sha384", "sha384"},
    {"hmac-sha224", "sha224"}, {"hmac-sha1", "sha1"},     {"hmac-md5.sig-alg.reg.int", "md5"},
};

struct state {
    char host[256];
    uint16_t port;
    char key_name[PST_NAME_SIZE];
    char zone[PST_NAME_SIZE];
    size_t algorithm;
    struct pst_secret key;
    struct pst_dns_server servers[SERVERS_MAX];
    size_t servers_n;
    int64_t offset_s; /* the server's clock less ours, once it has complained */
};

/* ---- variables ---- */

static bool copy_name(const char *from, char to[PST_NAME_SIZE])
{
    if (!pst_str_copy(to, PST_NAME_SIZE, from))
        return false;
    size_t len = strlen(to);
    if (len > 1 && to[len - 1] == '.')
        to[len - 1] = '\0';
    pst_str_lower(to);
    return pst_dns_name_ok(to);
}

/* "host", "host:53", "192.0.2.1", "[2001:db8::1]:53", "2001:db8::1". */
static bool split_host(const char *s, struct state *to)
{
    struct pst_dns_ip ip;
    char name[PST_NAME_SIZE];
    const char *colon = strrchr(s, ':');
    int64_t port = 53;
    size_t len = strlen(s);

    if (colon && !pst_dns_ip_parse(s, &ip)) {
        bool bracket = s[0] == '[' && len > 2;
        if (!(bracket && s[len - 1] == ']')) {
            if (!pst_parse_i64(colon + 1, 1, 65535, &port))
                return false;
            len = (size_t)(colon - s);
        }
        if (bracket) {
            if (s[len - 1] != ']')
                return false;
            s++;
            len -= 2;
        }
    }
    if (len == 0 || len >= sizeof to->host)
        return false;
    memcpy(to->host, s, len);
    to->host[len] = '\0';
    to->port = (uint16_t)port;
    return pst_dns_ip_parse(to->host, &ip) || copy_name(to->host, name);
}

static bool find_algorithm(const char *text, size_t *ret)
{
    char name[PST_NAME_SIZE];

    if (!text[0])
        return *ret = 0, true;
    if (!copy_name(text, name))
        return false;
    if (pst_streq(name, "hmac-md5"))
        pst_str_copy(name, sizeof name, "hmac-md5.sig-alg.reg.int");
    for (size_t i = 0; i < PST_ARRAY_N(algorithms); i++) {
        if (pst_streq(name, algorithms[i].name))
            return *ret = i, true;
    }
    return false;
}

static int take_secret(struct pst_dns_provider *p, struct state *s, struct pst_err *err)
{
    auto_buf_wipe struct pst_buf key = PST_BUF(4096);
    const char *text = pst_dns_var(p, TSIG_SECRET);

    if (!pst_b64_decode(&key, text, strlen(text)) || key.len == 0)
        return key.no_memory ? pst_fail_nomem(err, "a TSIG key")
                             : pst_dns_wrong(p, TSIG_SECRET, "is not base64", err);
    return pst_secret_set(&s->key, key.data, key.len, err);
}

static int create(struct pst_dns_provider *p, struct pst_err *err)
{
    struct state *s = p->state;

    int rc = take_secret(p, s, err);
    if (rc < 0)
        return rc;
    if (!split_host(pst_dns_var(p, NAMESERVER), s))
        rc = pst_dns_wrong(p, NAMESERVER, "is not a host or host:port", err);
    if (!copy_name(pst_dns_var(p, TSIG_KEY), s->key_name))
        rc = pst_dns_wrong(p, TSIG_KEY, "is not the name of a key", err);
    if (!find_algorithm(pst_dns_var(p, TSIG_ALGORITHM), &s->algorithm))
        rc = pst_dns_wrong(p, TSIG_ALGORITHM,
                           "must be hmac-sha256, -sha512, -sha384, -sha224, "
                           "-sha1 or -md5",
                           err);
    if (pst_dns_has(p, ZONE) && !copy_name(pst_dns_var(p, ZONE), s->zone))
        rc = pst_dns_wrong(p, ZONE, "is not a DNS name", err);
    return rc;
}

static void destroy_state(struct pst_dns_provider *p)
{
    struct state *s = p->state;
    if (s)
        pst_secret_deinit(&s->key);
}

/* ---- the server ---- */

static int add_server(struct pst_dns_provider *p, const struct pst_dns_ip *ip, struct pst_err *err)
{
    struct state *s = p->state;
    struct pst_dns_server server = {.ip = *ip, .port = s->port};
    struct sockaddr_storage sa;
    const char *rule = NULL;
    char text[PST_DNS_SERVER_SIZE];

    socklen_t len = pst_dns_sockaddr(&server, &sa);
    if (p->env.gate && !pst_gate_allows(p->env.gate, (struct sockaddr *)&sa, len, &rule)) {
        pst_dns_server_text(&server, text);
        pst_dns_permanent(err, "DNS_RFC2136_NAMESERVER leads to %s: %s", text,
                          rule ? rule : "not allowed");
        pst_err_problem(err, "gate");
        return PST_EREMOTE;
    }
    if (s->servers_n < SERVERS_MAX)
        s->servers[s->servers_n++] = server;
    return PST_OK;
}

static int look_up_server(struct pst_dns_provider *p, struct pst_err *err)
{
    struct state *s = p->state;
    auto_(pst_resolve_addresses_free) struct pst_resolve_addresses *a = NULL;

    if (!p->env.resolver) {
        pst_dns_blame_add(p, NAMESERVER);
        return pst_dns_permanent(err, "DNS_RFC2136_NAMESERVER must be an address here");
    }
    int rc = pst_resolve_addresses(p->env.resolver, s->host, &a, err);
    if (rc < 0)
        return rc;
    bool final = rc != PST_OK || a->status == PST_DNS_NXDOMAIN || a->status == PST_DNS_NODATA;
    for (size_t i = 0; rc == PST_OK && i < a->ip_n; i++)
        rc = add_server(p, &a->ips[i], err);
    if (s->servers_n > 0)
        return PST_OK; /* some address is good; the gate's word on others does not matter */
    if (rc < 0) {
        pst_dns_blame_add(p, NAMESERVER);
        return rc;
    }
    if (!final)
        return pst_fail(err, PST_ENET, "the name server %s cannot be looked up", s->host);
    pst_dns_blame_add(p, NAMESERVER);
    return pst_dns_permanent(err, "the name server %s has no address", s->host);
}

static int need_server(struct pst_dns_provider *p, struct pst_err *err)
{
    struct state *s = p->state;
    struct pst_dns_ip ip;

    if (s->servers_n > 0)
        return PST_OK;
    if (!pst_dns_ip_parse(s->host, &ip))
        return look_up_server(p, err);
    int rc = add_server(p, &ip, err);
    if (rc != PST_OK)
        pst_dns_blame_add(p, NAMESERVER);
    return rc;
}

/* One that did not answer goes to the end of the line. */
static void demote(struct state *s)
{
    struct pst_dns_server first = s->servers[0];

    memmove(&s->servers[0], &s->servers[1], (s->servers_n - 1) * sizeof s->servers[0]);
    s->servers[s->servers_n - 1] = first;
}

/* ---- the zone ---- */

static int ask_soa(struct pst_dns_provider *p, const char *name, struct pst_dns_msg **ret,
                   struct pst_err *err)
{
    struct state *s = p->state;
    struct pst_ask_opts opts = {.timeout_ms = ASK_MS, .rand = p->env.rand};
    int rc = PST_ENET;

    for (size_t i = 0; i < s->servers_n && (rc == PST_ENET || rc == PST_EINPUT); i++) {
        rc = pst_ask(&s->servers[0], name, PST_DNS_SOA, &opts, ret, err);
        if (rc == PST_ENET || rc == PST_EINPUT)
            demote(s);
    }
    return rc == PST_REFUSED ? pst_fail(err, PST_EINPUT, "%s is not a DNS name", name) : rc;
}

/* The owner of an SOA record that encloses the name; NULL when there is none. */
static const char *soa_owner(const struct pst_dns_msg *m, const char *name)
{
    char rel[PST_NAME_SIZE];

    for (size_t i = 0; i < m->answer_n + m->authority_n; i++) {
        const struct pst_dns_rr *rr =
            i < m->answer_n ? &m->answer[i] : &m->authority[i - m->answer_n];
        if (rr->type == PST_DNS_SOA && rr->owner[0] && pst_dns_relative(name, rr->owner, rel))
            return rr->owner;
    }
    return NULL;
}

static int find(struct pst_dns_provider *p, const char *fqdn, bool delegated,
                struct pst_dns_zone *ret, struct pst_err *err)
{
    struct state *s = p->state;
    char rel[PST_NAME_SIZE];

    int rc = need_server(p, err);
    if (rc != PST_OK)
        return rc;
    if (s->zone[0]) {
        if (!pst_dns_relative(fqdn, s->zone, rel)) {
            pst_dns_blame_add(p, ZONE);
            return pst_dns_permanent(err, "%s is not in the zone %s of DNS_RFC2136_ZONE", fqdn,
                                     s->zone);
        }
        pst_str_copy(ret->name, sizeof ret->name, s->zone);
        return PST_OK;
    }
    const char *name = delegated ? fqdn : strchr(fqdn, '.') + 1;
    for (; strchr(name, '.'); name = strchr(name, '.') + 1) {
        auto_(pst_dns_msg_free) struct pst_dns_msg *m = NULL;

        rc = ask_soa(p, name, &m, err);
        if (rc != PST_OK)
            return rc;
        const char *owner = m->authoritative ? soa_owner(m, name) : NULL;
        if (owner && pst_str_copy(ret->name, sizeof ret->name, owner))
            return PST_OK;
    }
    return PST_NOTFOUND;
}

/* ---- updates ---- */

static int mac(void *arg, const void *data, size_t len, uint8_t ret[PST_TSIG_MAC_MAX],
               size_t *ret_len, struct pst_err *err)
{
    const struct state *s = arg;
    return pst_hmac(algorithms[s->algorithm].digest, &s->key, data, len, ret, ret_len, err);
}

static int send_update(struct pst_dns_provider *p, const struct pst_dns_update *u,
                       struct pst_dns_update_result *ret, struct pst_err *err)
{
    struct state *s = p->state;
    struct pst_tsig_key key = {
        .name = s->key_name, .algorithm = algorithms[s->algorithm].name, .mac = mac, .arg = s};
    struct pst_dns_update_opts opts = {.key = &key,
                                       .timeout_ms = UPDATE_MS,
                                       .offset_s = s->offset_s,
                                       .clock = p->env.clock,
                                       .rand = p->env.rand};
    int rc = PST_ENET;

    for (size_t i = 0; i < s->servers_n && rc == PST_ENET; i++) {
        rc = pst_dns_update(&s->servers[0], u, &opts, ret, err);
        if (rc == PST_ENET)
            demote(s);
    }
    return rc == PST_REFUSED ? PST_EINPUT : rc;
}

static const struct {
    uint16_t tsig_error;
    unsigned blame;
    const char *text;
} tsig_errors[] = {
    {PST_TSIG_BADKEY, 1u << TSIG_KEY | 1u << TSIG_ALGORITHM,
     "the server does not know this key, or not with this algorithm (BADKEY)"},
    {PST_TSIG_BADSIG, 1u << TSIG_SECRET, "the key's secret is wrong (BADSIG)"},
    {PST_TSIG_BADTIME, 0, "the clocks of the server and here differ (BADTIME)"},
    {PST_TSIG_BADTRUNC, 0, "the server wants longer signatures (BADTRUNC)"},
};

static const struct {
    uint16_t rcode;
    bool transient;
    const char *text;
} rcodes[] = {
    {1, false, "the server does not understand the update"},
    {2, true, "the server failed"},
    {4, false, "the server takes no updates: is it the primary?"},
    {5, false, "the server's policy does not allow this key to change this name"},
    {9, false, "the server is not authoritative for the zone"},
    {10, false, "the name is not in the zone"},
};

static int fault(struct pst_dns_provider *p, const struct pst_dns_update_result *r,
                 struct pst_err *err)
{
    const char *text = "the server answers something odd";
    bool transient = false;
    unsigned blame = 0;

    for (size_t i = 0; i < PST_ARRAY_N(rcodes); i++) {
        if (rcodes[i].rcode != r->rcode)
            continue;
        text = rcodes[i].text;
        transient = rcodes[i].transient;
    }
    for (size_t i = 0; i < PST_ARRAY_N(tsig_errors); i++) {
        if (tsig_errors[i].tsig_error != r->tsig_error)
            continue;
        text = tsig_errors[i].text;
        blame = tsig_errors[i].blame;
        transient = false;
    }
    for (unsigned i = 0; i < PST_ARRAY_N(vars); i++) {
        if (blame & 1u << i && pst_dns_has(p, i))
            pst_dns_blame_add(p, i);
    }
    pst_fail(err, PST_EREMOTE, "updating the zone: %s: %s", pst_dns_rcode_name(r->rcode), text);
    pst_err_problem(err, pst_dns_rcode_name(r->rcode));
    return transient ? PST_EREMOTE : pst_dns_never(err, PST_EREMOTE);
}

static int run(struct pst_dns_provider *p, const struct pst_dns_update *u, struct pst_err *err)
{
    struct state *s = p->state;
    struct pst_dns_update_result r = {0};

    int rc = send_update(p, u, &r, err);
    if (rc == PST_OK && r.tsig_error == PST_TSIG_BADTIME && r.is_signed && s->offset_s == 0) {
        /* Its clock is as good as ours, and the answer is signed. */
        s->offset_s = r.server_time - pst_dns_now(p);
        pst_log_warn(LOG, "the clock of a tenant's name server differs from ours",
                     pst_kv_i("offset_s", s->offset_s));
        rc = send_update(p, u, &r, err);
    }
    if (rc != PST_OK)
        return rc;
    return r.rcode == 0 ? PST_OK : fault(p, &r, err);
}

static int put(struct pst_dns_provider *p, const struct pst_dns_target *t, bool remove,
               struct pst_err *err)
{
    struct pst_dns_update u = {
        .zone = t->zone->name, .name = t->fqdn, .txt = t->value, .ttl_s = TTL_S, .remove = remove};
    return run(p, &u, err);
}

/* An update without records: the server looks at zone and signature, and changes nothing. */
static int check(struct pst_dns_provider *p, const struct pst_dns_target *t, struct pst_err *err)
{
    struct pst_dns_update u = {.zone = t->zone->name, .name = t->fqdn};
    return run(p, &u, err);
}

const struct pst_dns_ops pst_dns_rfc2136 = {
    .name = "rfc2136",
    .vars = vars,
    .vars_n = PST_ARRAY_N(vars),
    .ttl_s = TTL_S,
    .state_size = sizeof(struct state),
    .create = create,
    .destroy_state = destroy_state,
    .find = find,
    .check = check,
    .put = put,
};
