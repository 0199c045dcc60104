/* object.c - objects of the feed: their JSON checked, their secrets sealed anew, put into the
 * replica. */
#include <arpa/inet.h>
#include <inttypes.h>
#include <string.h>

#include "edge_internal.h"

/* One member of a page's list. */
struct envelope {
    const char *kind, *key;
    int64_t rev;
    bool deleted;
    const struct pst_json *value;
};

static const struct pst_json_field envelope_fields[] = {
    PST_JSON_FIELD(struct envelope, kind, "kind", TEXT, 0, 63),
    PST_JSON_FIELD(struct envelope, key, "key", TEXT, 0, PST_REPLICA_KEY_MAX),
    PST_JSON_FIELD(struct envelope, rev, "rev", INT, 0, INT64_MAX),
    PST_JSON_FIELD(struct envelope, deleted, "deleted", BOOL, 0, 0),
    PST_JSON_FIELD(struct envelope, value, "value", OBJECT, PST_JSON_NULLABLE, 0),
};

int pst_edged_object_read(const struct pst_json *j, struct pst_edged_object *ret,
                          struct pst_err *err)
{
    struct envelope e = {0};

    int rc =
        pst_json_decode(j, envelope_fields, PST_ARRAY_N(envelope_fields), &e, PST_JSON_IGNORE, err);
    if (rc != PST_OK)
        return rc;
    if (e.deleted == (e.value != NULL))
        return pst_fail(err, PST_EINPUT, "value: must be null if deleted, and an object if not");
    *ret = (struct pst_edged_object){
        .kind_name = e.kind,
        .kind = pst_replica_kind_find(e.kind, strlen(e.kind)),
        .key = e.key,
        .rev = e.rev,
        .deleted = e.deleted,
        .value = e.value,
    };
    return PST_OK;
}

/* ---- small checks ---- */

#define DIGITS  "0123456789"
#define LETTERS "abcdefghijklmnopqrstuvwxyz"
#define UPPER   "ABCDEFGHIJKLMNOPQRSTUVWXYZ"

static bool only(const char *s, const char *allowed)
{
    return *s && s[strspn(s, allowed)] == '\0';
}

static bool is_id(const char *s)
{
    return only(s, LETTERS UPPER DIGITS "-_");
}

/* They end up in Host comparisons and Location headers. */
static bool is_host(const char *s)
{
    return only(s, LETTERS DIGITS "-._");
}

static bool is_name(const char *s)
{
    return is_host(pst_str_starts(s, "*.") ? s + 2 : s);
}

static bool is_token(const char *s)
{
    return only(s, LETTERS UPPER DIGITS "-_.");
}

/* "192.0.2.1:80" or "[2001:db8::1]:80": literal, so that nobody resolves anything. */
static bool is_address(const char *s)
{
    char host[PST_REPLICA_ADDRESS_MAX + 1];
    unsigned char bin[16];
    int64_t port;
    const char *colon = strrchr(s, ':');

    if (!colon || strlen(s) > PST_REPLICA_ADDRESS_MAX || !pst_parse_i64(colon + 1, 1, 65535, &port))
        return false;
    size_t len = (size_t)(colon - s);
    memcpy(host, s, len);
    host[len] = '\0';
    if (host[0] != '[')
        return inet_pton(AF_INET, host, bin) == 1;
    if (len < 2 || host[len - 1] != ']')
        return false;
    host[len - 1] = '\0';
    return inet_pton(AF_INET6, host + 1, bin) == 1;
}

static const struct {
    const char *name;
    uint8_t key;      /* enum pst_replica_key */
    size_t plain_len; /* of the raw form; 0: any */
} key_types[] = {
    {"p256", PST_REPLICA_P256, 32 + 65}, {"p384", PST_REPLICA_P384, 48 + 97},
    {"p521", PST_REPLICA_P521, 0},       {"rsa", PST_REPLICA_RSA, 0},
    {"ed25519", PST_REPLICA_ED25519, 0},
};

/* Its row, or -1. */
static int find_key_type(const char *name)
{
    for (size_t i = 0; i < PST_ARRAY_N(key_types); i++)
        if (pst_streq(key_types[i].name, name))
            return (int)i;
    return -1;
}

static bool parse_u64(int kind, const char *text, uint64_t *ret)
{
    struct pst_replica_key_bytes b;
    uint64_t v = 0;

    if (pst_replica_key_from_text(kind, text, strlen(text), &b) != PST_REPLICA_OK)
        return false;
    for (size_t i = 0; i < b.len; i++)
        v = v << 8 | b.data[i];
    *ret = v;
    return true;
}

/* A field is wrong: the answer of all that follows. */
static int refuse(struct pst_err *err, const char *field, const char *must)
{
    int rc = pst_fail(err, PST_REFUSED, "%s: must be %s", field, must);

    pst_err_problem(err, field);
    return rc;
}

/* Decode a value by its table: a bad field is a refusal. */
static int decode(const struct pst_json *j, const struct pst_json_field *fields, size_t n,
                  void *dest, struct pst_err *err)
{
    int rc = pst_json_decode(j, fields, n, dest, PST_JSON_IGNORE, err);

    if (rc == PST_EINPUT && err)
        err->rc = PST_REFUSED;
    return rc == PST_EINPUT ? PST_REFUSED : rc;
}

/* Bytes in base64, at most `max` of them, at least one. */
static int decode_b64(const char *text, const char *field, struct pst_buf *to, struct pst_err *err)
{
    if (!pst_b64_decode(to, text, strlen(text)) || to->len == 0) {
        if (to->no_memory)
            return pst_fail_nomem(err, field);
        return refuse(err, field, to->too_long ? "shorter" : "base64");
    }
    return PST_OK;
}

/* ---- secrets ---- */

struct putting {
    struct pst_replica *r;
    const struct pst_edged_creds *c;
    const struct pst_edged_object *o;
};

/* Open the box that came and seal what is in it with the local key; the clear text is wiped. */
static int reseal(const struct putting *p, const char *b64, size_t plain_len, struct pst_buf *to,
                  struct pst_err *err)
{
    auto_buf struct pst_buf box = PST_BUF(PST_REPLICA_SEALED_MAX);
    auto_secret struct pst_secret plain = {0};
    char aad[64 + PST_REPLICA_KEY_MAX];

    int rc = decode_b64(b64, "sealed", &box, err);
    if (rc != PST_OK)
        return rc;
    snprintf(aad, sizeof aad, "%s/%s", p->o->kind_name, p->o->key);
    rc = pst_box_open(&p->c->box_secret, aad, box.data, box.len, &plain, err);
    if (rc != PST_OK)
        return rc;
    if (plain.len == 0 || (plain_len > 0 && plain.len != plain_len))
        return refuse(err, "sealed", "of the length of its kind");
    return pst_local_seal(p->c->local, p->o->kind_name, p->o->key, plain.data, plain.len, to, err);
}

/* ---- ladders ---- */

struct step_json {
    const char *cert, *key;
    int64_t not_before, not_after;
};

static const struct pst_json_field step_fields[] = {
    PST_JSON_FIELD(struct step_json, cert, "cert", TEXT, 0, 20),
    PST_JSON_FIELD(struct step_json, not_before, "not_before", INT, 0, 0),
    PST_JSON_FIELD(struct step_json, not_after, "not_after", INT, 0, 0),
    PST_JSON_FIELD(struct step_json, key, "key", TEXT, 0, 16),
};

static int read_steps(const struct pst_json *j, struct pst_replica_step steps[PST_REPLICA_STEPS],
                      unsigned *ret_n, struct pst_err *err)
{
    unsigned n = 0;

    for (size_t i = 0; i < pst_json_len(j); i++) {
        struct step_json s = {0};
        struct pst_replica_step step = {0};

        int rc = decode(pst_json_at(j, i), step_fields, PST_ARRAY_N(step_fields), &s, err);
        if (rc != PST_OK)
            return rc;
        int type = find_key_type(s.key);
        if (!parse_u64(PST_REPLICA_CERT, s.cert, &step.cert))
            return refuse(err, "cert", "the number of a certificate");
        if (s.not_before > s.not_after)
            return refuse(err, "not_after", "after not_before");
        if (type < 0)
            continue; /* a type of a newer control plane: the next step serves */
        step.not_before = s.not_before;
        step.not_after = s.not_after;
        step.key = key_types[type].key;
        steps[n++] = step;
    }
    *ret_n = n;
    return PST_OK;
}

/* ---- kinds ---- */

struct name_json {
    const char *app, *canonical;
    bool acme, force_https;
    const struct pst_json *steps;
};

static const struct pst_json_field name_fields[] = {
    PST_JSON_FIELD(struct name_json, app, "app", TEXT, 0, PST_REPLICA_ID_MAX),
    PST_JSON_FIELD(struct name_json, acme, "acme", BOOL, 0, 0),
    PST_JSON_FIELD(struct name_json, force_https, "force_https", BOOL, 0, 0),
    PST_JSON_FIELD(struct name_json, canonical, "canonical", TEXT, PST_JSON_NULLABLE,
                   PST_REPLICA_NAME_MAX),
    PST_JSON_FIELD(struct name_json, steps, "steps", ARRAY, 0, PST_REPLICA_STEPS),
};

static int put_name(const struct putting *p, struct pst_err *err)
{
    struct name_json f = {0};
    struct pst_replica_name v = {0};

    int rc = decode(p->o->value, name_fields, PST_ARRAY_N(name_fields), &f, err);
    if (rc != PST_OK)
        return rc;
    if (!is_name(p->o->key))
        return refuse(err, "key", "a lower-case name");
    if (!is_id(f.app))
        return refuse(err, "app", "an id");
    if (f.canonical && !is_host(f.canonical))
        return refuse(err, "canonical", "a lower-case name, or null");
    v.acme = f.acme;
    v.force_https = f.force_https;
    pst_str_copy(v.app, sizeof v.app, f.app);
    pst_str_copy(v.canonical, sizeof v.canonical, f.canonical ? f.canonical : "");
    rc = read_steps(f.steps, v.steps, &v.step_n, err);
    if (rc != PST_OK)
        return rc;
    return pst_replica_put_name(p->r, p->o->key, (uint64_t)p->o->rev, &v, err);
}

struct app_json {
    const char *name;
    const struct pst_json *upstreams;
};

static const struct pst_json_field app_fields[] = {
    PST_JSON_FIELD(struct app_json, name, "name", TEXT, 0, PST_REPLICA_TEXT_MAX),
    PST_JSON_FIELD(struct app_json, upstreams, "upstreams", ARRAY, 0, PST_REPLICA_UPSTREAMS),
};

struct upstream_json {
    const char *id, *address;
    int64_t weight;
    bool drain;
};

static const struct pst_json_field upstream_fields[] = {
    PST_JSON_FIELD(struct upstream_json, id, "id", TEXT, 0, PST_REPLICA_ID_MAX),
    PST_JSON_FIELD(struct upstream_json, address, "address", TEXT, 0, PST_REPLICA_ADDRESS_MAX),
    PST_JSON_FIELD(struct upstream_json, weight, "weight", INT, 0, UINT16_MAX),
    PST_JSON_FIELD(struct upstream_json, drain, "drain", BOOL, PST_JSON_OPTIONAL, 0),
};

static int put_app(const struct putting *p, struct pst_err *err)
{
    struct app_json f = {0};
    struct pst_replica_app v = {0};

    int rc = decode(p->o->value, app_fields, PST_ARRAY_N(app_fields), &f, err);
    if (rc != PST_OK)
        return rc;
    if (!is_id(p->o->key))
        return refuse(err, "key", "an id");
    pst_str_copy(v.name, sizeof v.name, f.name);
    for (; v.upstream_n < pst_json_len(f.upstreams); v.upstream_n++) {
        struct pst_replica_upstream *u = &v.upstreams[v.upstream_n];
        struct upstream_json uf = {0};

        rc = decode(pst_json_at(f.upstreams, v.upstream_n), upstream_fields,
                    PST_ARRAY_N(upstream_fields), &uf, err);
        if (rc != PST_OK)
            return rc;
        if (!is_id(uf.id))
            return refuse(err, "id", "an id");
        if (!is_address(uf.address))
            return refuse(err, "address", "an IP address with a port");
        pst_str_copy(u->id, sizeof u->id, uf.id);
        pst_str_copy(u->address, sizeof u->address, uf.address);
        u->weight = (uint16_t)uf.weight;
        u->drain = uf.drain;
    }
    return pst_replica_put_app(p->r, p->o->key, (uint64_t)p->o->rev, &v, err);
}

struct cert_json {
    const char *leaf, *key_type, *sealed;
    const struct pst_json *issuers;
    int64_t not_before, not_after;
};

static const struct pst_json_field cert_fields[] = {
    PST_JSON_FIELD(struct cert_json, leaf, "leaf", TEXT, 0, 4 * (PST_REPLICA_LEAF_MAX / 3 + 1)),
    PST_JSON_FIELD(struct cert_json, issuers, "issuers", ARRAY, 0, PST_REPLICA_ISSUERS),
    PST_JSON_FIELD(struct cert_json, key_type, "key_type", TEXT, 0, 16),
    PST_JSON_FIELD(struct cert_json, sealed, "sealed", TEXT, 0, 4 * (PST_REPLICA_SEALED_MAX / 3)),
    PST_JSON_FIELD(struct cert_json, not_before, "not_before", INT, 0, 0),
    PST_JSON_FIELD(struct cert_json, not_after, "not_after", INT, 0, 0),
};

static int read_issuers(const struct pst_json *j, struct pst_replica_cert *v, struct pst_err *err)
{
    for (; v->issuer_n < pst_json_len(j); v->issuer_n++) {
        const char *key = pst_json_text(pst_json_at(j, v->issuer_n));

        if (!key || !parse_u64(PST_REPLICA_ISSUER, key, &v->issuers[v->issuer_n]))
            return refuse(err, "issuers", "keys of 16 hex digits");
    }
    return PST_OK;
}

static int put_cert(const struct putting *p, struct pst_err *err)
{
    auto_buf struct pst_buf leaf = PST_BUF(PST_REPLICA_LEAF_MAX);
    auto_buf struct pst_buf sealed = PST_BUF(PST_REPLICA_SEALED_MAX);
    struct cert_json f = {0};
    struct pst_replica_cert v = {0};

    int rc = decode(p->o->value, cert_fields, PST_ARRAY_N(cert_fields), &f, err);
    if (rc != PST_OK)
        return rc;
    int type = find_key_type(f.key_type);
    if (type < 0)
        return refuse(err, "key_type", "p256, p384, p521, rsa or ed25519");
    rc = decode_b64(f.leaf, "leaf", &leaf, err);
    if (rc == PST_OK)
        rc = read_issuers(f.issuers, &v, err);
    if (rc == PST_OK)
        rc = reseal(p, f.sealed, key_types[type].plain_len, &sealed, err);
    if (rc != PST_OK)
        return rc;
    v.key = key_types[type].key;
    v.not_before = f.not_before;
    v.not_after = f.not_after;
    v.leaf = (const unsigned char *)leaf.data;
    v.leaf_len = leaf.len;
    v.sealed = (const unsigned char *)sealed.data;
    v.sealed_len = sealed.len;
    return pst_replica_put_cert(p->r, p->o->key, (uint64_t)p->o->rev, &v, err);
}

struct one_text {
    const char *text;
};

static int put_issuer(const struct putting *p, struct pst_err *err)
{
    static const struct pst_json_field fields[] = {
        PST_JSON_FIELD(struct one_text, text, "der", TEXT, 0, 4 * (PST_REPLICA_LEAF_MAX / 3 + 1)),
    };
    auto_buf struct pst_buf der = PST_BUF(PST_REPLICA_LEAF_MAX);
    struct one_text f = {0};

    int rc = decode(p->o->value, fields, PST_ARRAY_N(fields), &f, err);
    if (rc == PST_OK)
        rc = decode_b64(f.text, "der", &der, err);
    if (rc != PST_OK)
        return rc;
    const struct pst_replica_issuer v = {.der = (const unsigned char *)der.data,
                                         .der_len = der.len};
    return pst_replica_put_issuer(p->r, p->o->key, (uint64_t)p->o->rev, &v, err);
}

struct challenge_json {
    const char *name, *answer;
    int64_t until;
};

static const struct pst_json_field challenge_fields[] = {
    PST_JSON_FIELD(struct challenge_json, name, "name", TEXT, 0, PST_REPLICA_NAME_MAX),
    PST_JSON_FIELD(struct challenge_json, answer, "answer", TEXT, 0, PST_REPLICA_ANSWER_MAX),
    PST_JSON_FIELD(struct challenge_json, until, "until", INT, 0, INT64_MAX),
};

static int put_challenge(const struct putting *p, struct pst_err *err)
{
    struct challenge_json f = {0};
    struct pst_replica_challenge v = {0};

    int rc = decode(p->o->value, challenge_fields, PST_ARRAY_N(challenge_fields), &f, err);
    if (rc != PST_OK)
        return rc;
    if (!is_token(p->o->key))
        return refuse(err, "key", "a token");
    if (!is_name(f.name))
        return refuse(err, "name", "a lower-case name");
    if (!is_token(f.answer))
        return refuse(err, "answer", "a token and a thumbprint");
    pst_str_copy(v.name, sizeof v.name, f.name);
    pst_str_copy(v.answer, sizeof v.answer, f.answer);
    v.until = f.until;
    return pst_replica_put_challenge(p->r, p->o->key, (uint64_t)p->o->rev, &v, err);
}

struct ticket_json {
    const char *sealed;
    int64_t not_before, not_after;
};

static const struct pst_json_field ticket_fields[] = {
    PST_JSON_FIELD(struct ticket_json, sealed, "sealed", TEXT, 0, 512),
    PST_JSON_FIELD(struct ticket_json, not_before, "not_before", INT, 0, INT64_MAX),
    PST_JSON_FIELD(struct ticket_json, not_after, "not_after", INT, 0, INT64_MAX),
};

static int put_ticket(const struct putting *p, struct pst_err *err)
{
    auto_buf struct pst_buf sealed = PST_BUF(PST_REPLICA_SEALED_MAX);
    struct ticket_json f = {0};

    int rc = decode(p->o->value, ticket_fields, PST_ARRAY_N(ticket_fields), &f, err);
    if (rc == PST_OK && !is_id(p->o->key))
        rc = refuse(err, "key", "an id");
    if (rc == PST_OK)
        rc = reseal(p, f.sealed, PST_REPLICA_TICKET_PLAIN, &sealed, err);
    if (rc != PST_OK)
        return rc;
    const struct pst_replica_ticket v = {.not_before = f.not_before,
                                         .not_after = f.not_after,
                                         .sealed = (const unsigned char *)sealed.data,
                                         .sealed_len = sealed.len};
    return pst_replica_put_ticket(p->r, p->o->key, (uint64_t)p->o->rev, &v, err);
}

/* ---- meta ---- */

static int put_default(const struct putting *p, struct pst_err *err)
{
    static const struct pst_json_field fields[] = {
        PST_JSON_FIELD(struct name_json, steps, "steps", ARRAY, 0, PST_REPLICA_STEPS),
    };
    struct name_json f = {0};
    struct pst_replica_default v = {0};

    int rc = decode(p->o->value, fields, PST_ARRAY_N(fields), &f, err);
    if (rc == PST_OK)
        rc = read_steps(f.steps, v.steps, &v.step_n, err);
    return rc == PST_OK ? pst_replica_put_default(p->r, (uint64_t)p->o->rev, &v, err) : rc;
}

static int put_probe(const struct putting *p, struct pst_err *err)
{
    static const struct pst_json_field fields[] = {
        PST_JSON_FIELD(struct one_text, text, "sealed", TEXT, 0, 512),
    };
    auto_buf struct pst_buf sealed = PST_BUF(PST_REPLICA_SEALED_MAX);
    struct one_text f = {0};

    int rc = decode(p->o->value, fields, PST_ARRAY_N(fields), &f, err);
    if (rc == PST_OK)
        rc = reseal(p, f.text, PST_REPLICA_PROBE_PLAIN, &sealed, err);
    if (rc != PST_OK)
        return rc;
    const struct pst_replica_probe v = {.sealed = (const unsigned char *)sealed.data,
                                        .sealed_len = sealed.len};
    return pst_replica_put_probe(p->r, (uint64_t)p->o->rev, &v, err);
}

static int put_thumbprint(const struct putting *p, struct pst_err *err)
{
    static const struct pst_json_field fields[] = {
        PST_JSON_FIELD(struct one_text, text, "value", TEXT, 0, PST_REPLICA_TEXT_MAX),
    };
    struct one_text f = {0};
    struct pst_replica_text v = {0};

    int rc = decode(p->o->value, fields, PST_ARRAY_N(fields), &f, err);
    if (rc != PST_OK)
        return rc;
    if (!is_id(f.text))
        return refuse(err, "value", "a thumbprint");
    pst_str_copy(v.value, sizeof v.value, f.text);
    return pst_replica_put_thumbprint(p->r, (uint64_t)p->o->rev, &v, err);
}

typedef int put_fn(const struct putting *p, struct pst_err *err);

static const struct {
    const char *key;
    put_fn *put;
} metas[] = {
    {PST_REPLICA_META_DEFAULT, put_default},
    {PST_REPLICA_META_PROBE, put_probe},
    {PST_REPLICA_META_THUMBPRINT, put_thumbprint},
};

static put_fn *find_meta(const char *key)
{
    for (size_t i = 0; i < PST_ARRAY_N(metas); i++)
        if (pst_streq(metas[i].key, key))
            return metas[i].put;
    return NULL;
}

static int put_meta(const struct putting *p, struct pst_err *err)
{
    return find_meta(p->o->key)(p, err);
}

static put_fn *const puts_by_kind[PST_REPLICA_KIND__END] = {
    [PST_REPLICA_NAME] = put_name,           [PST_REPLICA_APP] = put_app,
    [PST_REPLICA_CERT] = put_cert,           [PST_REPLICA_ISSUER] = put_issuer,
    [PST_REPLICA_CHALLENGE] = put_challenge, [PST_REPLICA_TICKET] = put_ticket,
    [PST_REPLICA_META] = put_meta,
};

/* Is it an object of a kind, or a meta object, that this program has a place for? */
static bool known(const struct pst_edged_object *o)
{
    return o->kind != 0 && (o->kind != PST_REPLICA_META || find_meta(o->key));
}

int pst_edged_object_put(struct pst_replica *r, const struct pst_edged_creds *c,
                         const struct pst_edged_object *o, struct pst_err *err)
{
    const struct putting p = {r, c, o};

    int rc = puts_by_kind[o->kind](&p, err);
    return rc < 0 ? pst_wrap(err, "%s/%s", o->kind_name, o->key) : rc;
}

/* ---- pages ---- */

static int drop_object(struct pst_replica *r, const struct pst_edged_object *o,
                       struct pst_edged_applied *done, struct pst_err *err)
{
    int rc = pst_replica_delete(r, o->kind, o->key, err);

    if (rc == PST_OK && o->kind == PST_REPLICA_NAME)
        done->lost_n++;
    return rc == PST_NOTFOUND ? PST_OK : rc;
}

/* An object with a bad value is taken as deleted: only its owner is hurt, and nobody is served
 * what was true before. */
static int put_object(struct pst_replica *r, const struct pst_edged_creds *c,
                      const struct pst_edged_object *o, struct pst_edged_applied *done,
                      struct pst_err *err)
{
    struct pst_err why = {0};

    int rc = pst_edged_object_put(r, c, o, &why);
    if (rc != PST_REFUSED) {
        if (rc < 0 && err)
            *err = why;
        return rc;
    }
    pst_log_err(EDGE, "object refused, taken as deleted", &why, pst_kv_s("kind", o->kind_name),
                pst_kv_s("key", o->key), pst_kv_i("rev", o->rev));
    done->refused_n++;
    return drop_object(r, o, done, err);
}

static int apply_one(struct pst_replica *r, const struct pst_edged_creds *c,
                     const struct pst_edged_object *o, struct pst_edged_applied *done,
                     struct pst_err *err)
{
    struct pst_replica_key_bytes bytes;

    if (!known(o)) {
        done->unknown_n++;
        return PST_OK;
    }
    if (pst_replica_key_from_text(o->kind, o->key, strlen(o->key), &bytes) != PST_REPLICA_OK) {
        pst_log_warn(EDGE, "object skipped, its key is not one", pst_kv_s("kind", o->kind_name),
                     pst_kv_s("key", o->key), pst_kv_i("rev", o->rev));
        done->refused_n++;
        return PST_OK;
    }
    done->objects_n++;
    return o->deleted ? drop_object(r, o, done, err) : put_object(r, c, o, done, err);
}

int pst_edged_apply(struct pst_replica *r, const struct pst_edged_creds *c,
                    const struct pst_edged_page *page, struct pst_edged_applied *ret,
                    struct pst_err *err)
{
    size_t n = pst_json_len(page->objects);
    struct pst_edged_applied done = {0};

    for (size_t i = 0; i < n; i++) {
        struct pst_edged_object o;

        int rc = pst_edged_object_read(pst_json_at(page->objects, i), &o, err);
        if (rc == PST_OK && o.rev > page->at.rev)
            rc = pst_fail(err, PST_EINPUT, "rev: must be at most the page's, %" PRId64,
                          page->at.rev);
        if (rc == PST_OK)
            rc = apply_one(r, c, &o, &done, err);
        if (rc != PST_OK)
            return rc < 0 ? pst_wrap(err, "object %zu of the page", i)
                          : pst_unexpected(err, rc, "an object");
    }
    if (done.unknown_n > 0)
        pst_log_warn(EDGE, "objects of an unknown kind skipped: the control plane is newer",
                     pst_kv_i("objects", done.unknown_n));
    *ret = done;
    return PST_OK;
}
