/*
 * update.c - dynamic updates (RFC 2136) and their signatures (RFC 8945), written by hand as the
 * queries are: two records around a name.  ldns signs with the system's time only and does not look
 * at the time of an answer, so it is of no help here.
 */
#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <postern/dnsupdate.h>

#include "resolve_internal.h"

enum {
    HEADER_LEN = 12,
    OPCODE_UPDATE = 5,
    FLAG_QR = 0x80,
    CLASS_IN = 1,
    CLASS_NONE = 254,
    CLASS_ANY = 255,
    TYPE_TSIG = 250,
    ANSWER_MAX = 65535,
    HOPS_MAX = 32,
    NAME_WIRE_MAX = 255,
};

/* ------------------------------------------------------------------ writing */

static void add16(struct pst_buf *to, uint16_t v)
{
    uint8_t b[2] = {(uint8_t)(v >> 8), (uint8_t)v};
    pst_buf_add(to, b, 2);
}

static void add32(struct pst_buf *to, uint32_t v)
{
    add16(to, (uint16_t)(v >> 16));
    add16(to, (uint16_t)v);
}

/* The first `len` bytes of a name as labels, lower-case, without the root's. */
static void add_labels(struct pst_buf *to, const char *name, size_t len)
{
    for (size_t at = 0; at < len;) {
        size_t label = strcspn(name + at, ".");

        pst_buf_char(to, (char)label);
        for (size_t i = 0; i < label; i++) {
            char c = name[at + i];
            pst_buf_char(to, c >= 'A' && c <= 'Z' ? (char)(c + 'a' - 'A') : c);
        }
        at += label + 1;
    }
}

static void add_name(struct pst_buf *to, const char *name)
{
    add_labels(to, name, strlen(name));
    pst_buf_char(to, '\0');
}

/* Bytes of `name` before ".zone"; -1 when it is not in the zone. */
static ssize_t before_zone(const char *name, const char *zone)
{
    size_t name_len = strlen(name), zone_len = strlen(zone);

    if (pst_strcaseeq(name, zone))
        return 0;
    if (name_len < zone_len + 2 || name[name_len - zone_len - 1] != '.' ||
        !pst_strcaseeq(name + name_len - zone_len, zone))
        return -1;
    return (ssize_t)(name_len - zone_len - 1);
}

static int check_update(const struct pst_dns_update *u, struct pst_err *err)
{
    size_t len = u->txt ? strlen(u->txt) : 0;

    if (!pst_dns_name_ok(u->zone) || !pst_dns_name_ok(u->name))
        return pst_fail(err, PST_REFUSED, "zone or name of an update is not a DNS name");
    if (before_zone(u->name, u->zone) < 0)
        return pst_fail(err, PST_REFUSED, "%s is not in the zone %s", u->name, u->zone);
    if (u->txt && (len == 0 || len > 255))
        return pst_fail(err, PST_REFUSED, "a TXT value of %zu bytes: 1 to 255 go into one string",
                        len);
    return PST_OK;
}

static void add_message(const struct pst_dns_update *u, struct pst_buf *to)
{
    add16(to, u->id);
    add16(to, OPCODE_UPDATE << 11);
    add16(to, 1);              /* zone */
    add16(to, 0);              /* prerequisites */
    add16(to, u->txt ? 1 : 0); /* updates */
    add16(to, 0);              /* additional */
    add_name(to, u->zone);
    add16(to, PST_DNS_SOA);
    add16(to, CLASS_IN);
    if (!u->txt)
        return;

    size_t txt_len = strlen(u->txt);
    add_labels(to, u->name, (size_t)before_zone(u->name, u->zone));
    add16(to, 0xc000 | HEADER_LEN); /* the zone's name, above */
    add16(to, PST_DNS_TXT);
    add16(to, u->remove ? CLASS_NONE : CLASS_IN);
    add32(to, u->remove ? 0 : u->ttl_s);
    add16(to, (uint16_t)(txt_len + 1));
    pst_buf_char(to, (char)txt_len);
    pst_buf_add(to, u->txt, txt_len);
}

/* What TSIG says of a message, apart from the MAC. */
struct tsig {
    uint64_t time; /* 48 bits */
    uint16_t fudge;
    uint16_t error;
    uint16_t original_id;
    uint8_t mac[PST_TSIG_MAC_MAX];
    size_t mac_len;
    uint8_t other[6];
    size_t other_len;
};

static void add_time(struct pst_buf *to, const struct tsig *t)
{
    add16(to, (uint16_t)(t->time >> 32));
    add32(to, (uint32_t)t->time);
    add16(to, t->fudge);
}

/* The "TSIG variables" of RFC 8945 section 4.3.3. */
static void add_variables(struct pst_buf *to, const struct pst_tsig_key *key, const struct tsig *t)
{
    add_name(to, key->name);
    add16(to, CLASS_ANY);
    add32(to, 0);
    add_name(to, key->algorithm);
    add_time(to, t);
    add16(to, t->error);
    add16(to, (uint16_t)t->other_len);
    pst_buf_add(to, t->other, t->other_len);
}

static void add_tsig(struct pst_buf *to, const struct pst_tsig_key *key, const struct tsig *t)
{
    struct pst_buf data = PST_BUF(1024);

    add_name(&data, key->algorithm);
    add_time(&data, t);
    add16(&data, (uint16_t)t->mac_len);
    pst_buf_add(&data, t->mac, t->mac_len);
    add16(&data, t->original_id);
    add16(&data, t->error);
    add16(&data, (uint16_t)t->other_len);

    add_name(to, key->name);
    add16(to, TYPE_TSIG);
    add16(to, CLASS_ANY);
    add32(to, 0);
    add16(to, (uint16_t)data.len);
    pst_buf_add(to, data.data, data.len);
    to->no_memory |= data.no_memory;
    pst_buf_deinit(&data);
}

static int sign(struct pst_buf *message, size_t start, const struct pst_tsig_key *key,
                struct tsig *t, struct pst_err *err)
{
    auto_buf struct pst_buf covered = PST_BUF(PST_DNS_UPDATE_MAX + 1024);

    pst_buf_add(&covered, message->data + start, message->len - start);
    add_variables(&covered, key, t);
    int rc = pst_buf_check(&covered, "a DNS update", err);
    if (rc == PST_OK)
        rc = key->mac(key->arg, covered.data, covered.len, t->mac, &t->mac_len, err);
    if (rc != PST_OK)
        return rc;
    add_tsig(message, key, t);
    message->data[start + 11] = 1; /* ADCOUNT */
    return PST_OK;
}

int pst_dns_update_write(const struct pst_dns_update *u, const struct pst_tsig_key *key,
                         int64_t now, struct pst_buf *to, struct pst_tsig_mac *ret_mac,
                         struct pst_err *err)
{
    struct tsig t = {.time = (uint64_t)now & 0xffffffffffff, .fudge = PST_TSIG_FUDGE_S};
    size_t start = to->len;

    int rc = check_update(u, err);
    if (rc != PST_OK)
        return rc;
    if (key && (!pst_dns_name_ok(key->name) || !pst_dns_name_ok(key->algorithm)))
        return pst_fail(err, PST_REFUSED, "the name of the TSIG key is not a DNS name");
    add_message(u, to);
    t.original_id = u->id;
    rc = pst_buf_check(to, "a DNS update", err);
    if (rc == PST_OK && key)
        rc = sign(to, start, key, &t, err);
    if (rc == PST_OK)
        rc = pst_buf_check(to, "a DNS update", err);
    if (rc == PST_OK && key) {
        memcpy(ret_mac->bytes, t.mac, t.mac_len);
        ret_mac->len = t.mac_len;
    }
    return rc;
}

/* ------------------------------------------------------------------ reading */

struct reader {
    const uint8_t *packet;
    size_t len;
    size_t pos;
    bool bad;
};

static uint16_t take16(struct reader *r)
{
    if (r->len - r->pos < 2) {
        r->bad = true;
        return 0;
    }
    r->pos += 2;
    return (uint16_t)(r->packet[r->pos - 2] << 8 | r->packet[r->pos - 1]);
}

static uint32_t take32(struct reader *r)
{
    uint32_t high = take16(r);
    return high << 16 | take16(r);
}

static void take_bytes(struct reader *r, void *to, size_t len)
{
    if (r->len - r->pos < len) {
        r->bad = true;
        return;
    }
    memcpy(to, r->packet + r->pos, len);
    r->pos += len;
}

/*
 * A name in wire form, lower-case and uncompressed.  A compression pointer must lead below the
 * lowest offset seen, which excludes loops.
 */
static void take_name(struct reader *r, uint8_t to[NAME_WIRE_MAX], size_t *ret_len)
{
    size_t at = r->pos, lowest = r->pos, len = 0;
    bool jumped = false;

    *ret_len = 0;
    for (unsigned hops = 0; at < r->len && hops < HOPS_MAX;) {
        uint8_t c = r->packet[at];

        if (c >= 192) {
            if (at + 2 > r->len)
                break;
            size_t target = (size_t)(c & 0x3f) << 8 | r->packet[at + 1];
            if (target >= lowest || target < HEADER_LEN)
                break;
            if (!jumped)
                r->pos = at + 2;
            jumped = true;
            hops++;
            at = lowest = target;
            continue;
        }
        if (c > 63 || len + c + 1 > NAME_WIRE_MAX || r->len - at < c + 1u)
            break;
        for (size_t i = 0; i <= c; i++) {
            uint8_t b = r->packet[at + i];
            to[len++] = i > 0 && b >= 'A' && b <= 'Z' ? (uint8_t)(b + 'a' - 'A') : b;
        }
        at += c + 1u;
        if (c == 0) {
            if (!jumped)
                r->pos = at;
            *ret_len = len;
            return;
        }
    }
    r->bad = true;
}

struct record {
    size_t start;
    uint8_t owner[NAME_WIRE_MAX];
    size_t owner_len;
    uint16_t type;
    uint16_t class;
    uint32_t ttl_s;
    size_t data;
    size_t data_len;
};

static bool take_record(struct reader *r, struct record *ret)
{
    ret->start = r->pos;
    take_name(r, ret->owner, &ret->owner_len);
    if (r->bad)
        return false;
    ret->type = take16(r);
    ret->class = take16(r);
    ret->ttl_s = take32(r);
    ret->data_len = take16(r);
    ret->data = r->pos;
    if (r->bad || r->len - r->pos < ret->data_len)
        return false;
    r->pos += ret->data_len;
    return true;
}

static bool same_name(const uint8_t *wire, size_t len, const char *name)
{
    struct pst_buf b = PST_BUF(NAME_WIRE_MAX + 1);
    add_name(&b, name);
    bool same = b.data && b.len == len && memcmp(b.data, wire, len) == 0;
    pst_buf_deinit(&b);
    return same;
}

/* The rdata of a TSIG record of our key. */
static bool read_tsig(const uint8_t *packet, const struct record *rr,
                      const struct pst_tsig_key *key, struct tsig *t)
{
    struct reader r = {.packet = packet, .len = rr->data + rr->data_len, .pos = rr->data};
    uint8_t name[NAME_WIRE_MAX];
    size_t name_len;

    take_name(&r, name, &name_len);
    t->time = (uint64_t)take16(&r) << 32;
    t->time |= take32(&r);
    t->fudge = take16(&r);
    t->mac_len = take16(&r);
    if (r.bad || t->mac_len > sizeof t->mac)
        return false;
    take_bytes(&r, t->mac, t->mac_len);
    t->original_id = take16(&r);
    t->error = take16(&r);
    t->other_len = take16(&r);
    if (r.bad || t->other_len > sizeof t->other)
        return false;
    take_bytes(&r, t->other, t->other_len);
    return !r.bad && r.pos == r.len && rr->class == CLASS_ANY && rr->ttl_s == 0 &&
           same_name(rr->owner, rr->owner_len, key->name) &&
           same_name(name, name_len, key->algorithm);
}

/* Does the answer's MAC cover our MAC, the answer without TSIG, and its variables? */
static int verify(const uint8_t *packet, size_t tsig_at, const struct pst_tsig_key *key,
                  const struct pst_tsig_mac *mac, const struct tsig *t, bool *ret,
                  struct pst_err *err)
{
    auto_buf struct pst_buf covered = PST_BUF(ANSWER_MAX + 2048);
    uint8_t ours[PST_TSIG_MAC_MAX];
    size_t ours_len = 0;

    add16(&covered, (uint16_t)mac->len);
    pst_buf_add(&covered, mac->bytes, mac->len);
    size_t head = covered.len;
    pst_buf_add(&covered, packet, tsig_at);
    add_variables(&covered, key, t);
    int rc = pst_buf_check(&covered, "a DNS answer", err);
    if (rc != PST_OK)
        return rc;
    /* The MAC was made before TSIG was counted, over the original id. */
    uint16_t additional =
        (uint16_t)((uint8_t)covered.data[head + 10] << 8 | (uint8_t)covered.data[head + 11]);
    additional--;
    covered.data[head] = (char)(t->original_id >> 8);
    covered.data[head + 1] = (char)t->original_id;
    covered.data[head + 10] = (char)(additional >> 8);
    covered.data[head + 11] = (char)additional;
    rc = key->mac(key->arg, covered.data, covered.len, ours, &ours_len, err);
    if (rc == PST_OK)
        *ret = ours_len == t->mac_len && pst_equal_ct(ours, t->mac, ours_len);
    return rc;
}

/* Walk over all records; the last one, when it is a TSIG, goes to *ret. */
static bool walk(struct reader *r, bool *ret_found, struct record *ret)
{
    unsigned questions, records;

    r->pos = 4;
    questions = take16(r);
    records = take16(r);
    records += take16(r);
    unsigned additional = take16(r);
    records += additional;
    if (r->bad || questions > 1 || records > 512)
        return false;
    if (questions == 1) {
        take_name(r, ret->owner, &ret->owner_len);
        take32(r);
    }
    *ret_found = false;
    for (unsigned i = 0; i < records && !r->bad; i++) {
        if (*ret_found || !take_record(r, ret))
            return false; /* TSIG must be the last record */
        *ret_found = ret->type == TYPE_TSIG && additional > 0;
    }
    return !r->bad && r->pos == r->len;
}

static int malformed(struct pst_err *err)
{
    return pst_fail(err, PST_EINPUT, "the answer to a DNS update is malformed");
}

/* May a server give this answer without a signature? */
static bool unsigned_ok(const struct pst_dns_update_result *r)
{
    static const uint16_t rcodes[] = {LDNS_RCODE_FORMERR, LDNS_RCODE_SERVFAIL, LDNS_RCODE_NOTIMPL,
                                      LDNS_RCODE_REFUSED, LDNS_RCODE_NOTAUTH};
    for (size_t i = 0; i < PST_ARRAY_N(rcodes); i++) {
        if (r->rcode == rcodes[i])
            return true;
    }
    return false;
}

static int check_signed(const struct tsig *t, int64_t now, struct pst_dns_update_result *out,
                        struct pst_err *err)
{
    int64_t off = (int64_t)t->time - now;

    out->is_signed = true;
    if (t->error == PST_TSIG_BADTIME && t->other_len == 6) {
        for (size_t i = 0; i < 6; i++)
            out->server_time = out->server_time << 8 | t->other[i];
        return PST_OK; /* its own time field repeats ours */
    }
    if (off > t->fudge || off < -(int64_t)t->fudge)
        return pst_fail(err, PST_EINPUT, "the answer to a DNS update was signed at another time");
    return PST_OK;
}

int pst_dns_update_read(const uint8_t *packet, size_t len, uint16_t id,
                        const struct pst_tsig_key *key, const struct pst_tsig_mac *mac, int64_t now,
                        struct pst_dns_update_result *ret, struct pst_err *err)
{
    struct reader r = {.packet = packet, .len = len};
    struct pst_dns_update_result out = {0};
    struct record rr = {0};
    struct tsig t = {0};
    bool found = false, good = false;

    if (len < HEADER_LEN || (packet[2] & 0xf8) != (FLAG_QR | OPCODE_UPDATE << 3) ||
        take16(&r) != id || !walk(&r, &found, &rr))
        return malformed(err);
    out.rcode = packet[3] & 0x0f;
    if (found && !key)
        return malformed(err);
    if (found && !read_tsig(packet, &rr, key, &t))
        return malformed(err);
    out.tsig_error = t.error;
    if (found && t.mac_len > 0) {
        int rc = verify(packet, rr.start, key, mac, &t, &good, err);
        if (rc != PST_OK)
            return rc;
        if (!good)
            return pst_fail(err, PST_EINPUT,
                            "the signature of the answer to a DNS update is wrong");
        rc = check_signed(&t, now, &out, err);
        if (rc != PST_OK)
            return rc;
    } else if (key && !unsigned_ok(&out)) {
        return pst_fail(err, PST_EINPUT, "the answer to a signed DNS update is not signed");
    }
    *ret = out;
    return PST_OK;
}

/* ------------------------------------------------------------------ sending */

struct connection {
    int fd;
    char server[PST_DNS_SERVER_SIZE];
    const struct pst_clock *clock;
    int64_t until_ms;
};

static int move(const struct connection *c, short events, uint8_t *data, size_t len,
                struct pst_err *err)
{
    for (size_t at = 0; at < len;) {
        struct pollfd p = {.fd = c->fd, .events = events};
        int64_t left = c->until_ms - pst_mono_ms(c->clock);

        if (left <= 0)
            return pst_fail(err, PST_ENET, "the DNS server %s did not answer in time", c->server);
        int n = poll(&p, 1, left > 60000 ? 60000 : (int)left);
        if (n < 0 && errno != EINTR)
            return pst_fail_sys(err, "waiting for %s", c->server);
        if (n <= 0)
            continue;
        ssize_t done = events == POLLIN ? recv(c->fd, data + at, len - at, 0)
                                        : send(c->fd, data + at, len - at, MSG_NOSIGNAL);
        if (done == 0)
            return pst_fail(err, PST_ENET, "the DNS server %s closed the connection", c->server);
        if (done < 0 && errno != EAGAIN && errno != EINTR)
            return pst_fail(err, PST_ENET, "the DNS server %s: %s", c->server, strerror(errno));
        if (done > 0)
            at += (size_t)done;
    }
    return PST_OK;
}

/* Message out, answer in. */
static int exchange(const struct connection *c, const struct pst_buf *message, uint8_t **ret,
                    size_t *ret_len, struct pst_err *err)
{
    uint8_t out[2 + PST_DNS_UPDATE_MAX], head[2];

    out[0] = (uint8_t)(message->len >> 8);
    out[1] = (uint8_t)message->len;
    memcpy(out + 2, message->data, message->len);
    int rc = move(c, POLLOUT, out, message->len + 2, err);
    if (rc == PST_OK)
        rc = move(c, POLLIN, head, 2, err);
    if (rc != PST_OK)
        return rc;
    size_t len = (size_t)head[0] << 8 | head[1];
    auto_(pst_free) uint8_t *answer = pst_alloc(len);
    if (!answer)
        return pst_fail_nomem(err, "a DNS answer");
    rc = move(c, POLLIN, answer, len, err);
    if (rc != PST_OK)
        return rc;
    *ret = pst_take(&answer);
    *ret_len = len;
    return PST_OK;
}

int pst_dns_update(const struct pst_dns_server *server, const struct pst_dns_update *u,
                   const struct pst_dns_update_opts *opts, struct pst_dns_update_result *ret,
                   struct pst_err *err)
{
    struct connection c = {.clock = opts->clock ? opts->clock : pst_clock_system()};
    auto_buf struct pst_buf message = PST_BUF(PST_DNS_UPDATE_MAX);
    auto_(pst_free) uint8_t *answer = NULL;
    int64_t now = pst_now(c.clock) + opts->offset_s;
    struct pst_dns_update update = *u;
    struct sockaddr_storage sa;
    struct pst_tsig_mac mac;
    size_t len = 0;

    pst_rand_fill(opts->rand ? opts->rand : pst_rand_system(), &update.id, sizeof update.id);
    int rc = pst_dns_update_write(&update, opts->key, now, &message, &mac, err);
    if (rc != PST_OK)
        return rc;

    c.until_ms = pst_mono_ms(c.clock) + (opts->timeout_ms ? opts->timeout_ms : 10000);
    pst_dns_server_text(server, c.server);
    socklen_t sa_len = pst_dns_sockaddr(server, &sa);
    auto_close int fd = socket(sa.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return pst_fail_sys(err, "a socket for %s", c.server);
    c.fd = fd;
    if (connect(fd, (struct sockaddr *)&sa, sa_len) != 0 && errno != EINPROGRESS)
        return pst_fail(err, PST_ENET, "the DNS server %s cannot be reached: %s", c.server,
                        strerror(errno));
    rc = exchange(&c, &message, &answer, &len, err);
    if (rc == PST_OK)
        rc = pst_dns_update_read(answer, len, update.id, opts->key, &mac, now, ret, err);
    return rc == PST_EINPUT ? pst_wrap(err, "the DNS server %s", c.server) : rc;
}

const char *pst_dns_rcode_name(uint16_t rcode)
{
    static const char *const names[] = {
        "NOERROR",  "FORMERR", "SERVFAIL", "NXDOMAIN", "NOTIMP",  "REFUSED",
        "YXDOMAIN", "YXRRSET", "NXRRSET",  "NOTAUTH",  "NOTZONE",
    };
    return rcode < PST_ARRAY_N(names) ? names[rcode] : "RCODE";
}
