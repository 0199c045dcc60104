/*
 * platform.c - the certificate that covers every app's platform name, and unknown names.
 *
 * The operator's files stand first, then what the ACME CA issues for the platform's own domain
 * (platform_domain.c); until there is either, or when they are no good, a leaf of a CA that Postern
 * makes itself takes their place, so that every app answers over HTTPS from the start.
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "daemon_internal.h"

enum {
    DAY_S = 86400,
    LOCAL_LIFE_S = 90 * DAY_S,
    LOCAL_RENEW_S = 30 * DAY_S,
    WARN_S = 30 * DAY_S,
    BACKDATE_S = 3600, /* clients whose clock is slow */
    FILE_MAX = 256 * 1024,
};

#define CA_KEY  "local_ca_key"
#define CA_CERT "local_ca_cert"

struct work {
    struct daemon *d;
    int64_t now; /* Unix seconds */
    char wildcard[PST_NAME_SIZE];
    struct pst_certificate files; /* num 0: none given, or no good */
};

/* ---- the local CA ---- */

static int meta_bytes(struct pst_tx *tx, const char *key, struct pst_buf *ret, struct pst_err *err)
{
    auto_buf struct pst_buf text = PST_BUF(64 * 1024);
    int rc = pst_meta_get(tx, key, &text, err);
    if (rc != PST_OK)
        return rc;
    if (!pst_b64_decode(ret, pst_buf_cstr(&text), text.len))
        return pst_fail(err, PST_EINTERNAL, "%s in the database is damaged", key);
    return PST_OK;
}

static int set_meta_bytes(struct pst_tx *tx, const char *key, const struct pst_buf *b,
                          struct pst_err *err)
{
    auto_buf struct pst_buf text = PST_BUF(64 * 1024);
    pst_b64_add(&text, b->data, b->len);
    int rc = pst_buf_check(&text, key, err);
    return rc == PST_OK ? pst_meta_set(tx, key, pst_buf_cstr(&text), err) : rc;
}

static int local_ca(struct pst_tx *tx, struct work *w, struct pst_buf *key, struct pst_buf *cert,
                    struct pst_err *err)
{
    int rc = meta_bytes(tx, CA_CERT, cert, err);
    if (rc == PST_OK)
        return meta_bytes(tx, CA_KEY, key, err);
    if (rc != PST_NOTFOUND)
        return rc;
    rc = pst_local_ca_new(w->d->keys, "meta", CA_KEY, "Postern local CA", w->now - BACKDATE_S, key,
                          cert, err);
    if (rc == PST_OK)
        rc = set_meta_bytes(tx, CA_KEY, key, err);
    if (rc == PST_OK)
        rc = set_meta_bytes(tx, CA_CERT, cert, err);
    return rc;
}

static int64_t new_num(void)
{
    return 1 + (int64_t)pst_rand_below(pst_rand_system(), INT64_MAX - 1);
}

static void fill_from_info(struct pst_certificate *c, const struct pst_cert_info *i,
                           const char *origin)
{
    c->not_before = i->not_before;
    c->not_after = i->not_after;
    c->num = new_num();
    c->key_bits = i->key_bits;
    pst_str_copy(c->origin, sizeof c->origin, origin);
    pst_str_copy(c->key_type, sizeof c->key_type, pst_key_type_name(i->key_type));
    pst_hex(c->sha256, i->sha256, sizeof i->sha256);
    pst_str_cut(c->serial, sizeof c->serial, i->serial);
    pst_str_cut(c->subject, sizeof c->subject, i->subject);
    pst_str_cut(c->issuer, sizeof c->issuer, i->issuer);
}

static int issue_local(struct pst_tx *tx, struct work *w, struct pst_certificate *c,
                       struct pst_err *err)
{
    auto_buf struct pst_buf ca_key = PST_BUF(64 * 1024);
    auto_buf struct pst_buf ca_cert = PST_BUF(64 * 1024);
    auto_cert_info struct pst_cert_info info = {0};

    int rc = local_ca(tx, w, &ca_key, &ca_cert, err);
    if (rc != PST_OK)
        return rc;
    *c = (struct pst_certificate){.leaf = PST_BUF(64 * 1024), .sealed = PST_BUF(PST_SEAL_MAX)};
    pst_id_new(pst_rand_system(), c->id);
    const char *names[] = {w->wildcard};
    struct pst_local_ca ca = {.key = {"meta", CA_KEY, ca_key.data, ca_key.len},
                              .cert = ca_cert.data,
                              .cert_len = ca_cert.len};
    struct pst_local_ca_request req = {.names = names,
                                       .names_n = 1,
                                       .not_before = w->now - BACKDATE_S,
                                       .not_after = w->now + LOCAL_LIFE_S,
                                       .kind = "certificate",
                                       .object_id = c->id};
    rc = pst_local_ca_issue(w->d->keys, &ca, &req, &c->sealed, &c->leaf, err);
    if (rc == PST_OK)
        rc = pst_cert_parse_der(c->leaf.data, c->leaf.len, &info, err);
    if (rc != PST_OK)
        return rc;
    fill_from_info(c, &info, "local");
    return pst_certificate_insert(tx, c, err);
}

/* Still for these names, and long enough? */
static int local_is_good(struct pst_tx *tx, struct work *w, int64_t num, bool *ret,
                         struct pst_err *err)
{
    struct pst_certificate c = {0};
    auto_cert_info struct pst_cert_info info = {0};

    *ret = false;
    if (!num)
        return PST_OK;
    int rc = pst_certificate_load(tx, num, &c, err);
    if (rc == PST_OK)
        rc = pst_cert_parse_der(c.leaf.data, c.leaf.len, &info, err);
    if (rc == PST_OK)
        *ret = c.not_after - w->now > LOCAL_RENEW_S && pst_cert_covers(&info, w->wildcard);
    pst_certificate_deinit(&c);
    return rc == PST_NOTFOUND ? PST_OK : rc;
}

/* ---- the operator's files ---- */

static int read_pair(struct work *w, const char *cert_file, const char *key_file,
                     struct pst_err *err)
{
    struct pst_certificate *c = &w->files;
    auto_buf struct pst_buf cert = PST_BUF(FILE_MAX);
    auto_buf_wipe struct pst_buf key = PST_BUF(FILE_MAX);
    auto_chain struct pst_chain chain = {0};
    struct pst_key_info info;

    int rc = pst_io_read_file(cert_file, &cert, err);
    if (rc == PST_OK)
        rc = pst_io_read_private_file(key_file, &key, err);
    if (rc == PST_NOTFOUND)
        return pst_fail(err, PST_ECONFIG, "there is no such file");
    if (rc != PST_OK)
        return rc;
    pst_id_new(pst_rand_system(), c->id);
    c->num = new_num();
    c->sealed = (struct pst_buf)PST_BUF(PST_SEAL_MAX);
    struct pst_pem_pair pair = {cert.data, cert.len, key.data, key.len, w->now};
    rc = pst_cert_load_pem_pair(w->d->keys, &pair, "certificate", c->id, &chain, &c->sealed, &info,
                                err);
    if (rc != PST_OK)
        return rc;
    if (!pst_cert_covers(&chain.info, w->wildcard))
        return pst_fail(err, PST_ECONFIG, "the certificate does not cover %s", w->wildcard);
    return pst_certificate_fill(c, "files", &chain, err);
}

/* Files that are no good are the operator's to mend: what is served already stays. */
static bool read_files(struct work *w)
{
    const char *cert = pst_conf_text(w->d->conf, PST_CONF_PLATFORM_CERT_FILE);
    const char *key = pst_conf_text(w->d->conf, PST_CONF_PLATFORM_KEY_FILE);
    struct pst_err err = {0};

    if (!cert[0] || !key[0])
        return false;
    if (read_pair(w, cert, key, &err) == PST_OK)
        return true;
    pst_log_err(LOG, "the platform certificate cannot be used; the one before stays", &err,
                pst_kv_s("cert", cert), pst_kv_s("key", key));
    pst_certificate_deinit(&w->files);
    w->files = (struct pst_certificate){0};
    return false;
}

/* ---- the ladder ---- */

static void warn_of_expiry(const struct pst_certificate *c, int64_t now)
{
    if (c->not_after - now < WARN_S)
        pst_log_warn(LOG, "the platform certificate expires soon: renew platform.cert_file",
                     pst_kv_i("days", (c->not_after - now) / DAY_S));
}

/* The number of the files' certificate: the stored one when nothing has changed. */
static int take_files(struct pst_tx *tx, struct work *w, int64_t *num, struct pst_err *err)
{
    struct pst_certificate old = {0};

    if (!w->files.num) {
        bool given = pst_conf_text(w->d->conf, PST_CONF_PLATFORM_CERT_FILE)[0];
        *num = given ? *num : 0;
        return PST_OK;
    }
    warn_of_expiry(&w->files, w->now);
    int rc = *num ? pst_certificate_get(tx, *num, &old, err) : PST_NOTFOUND;
    bool same = rc == PST_OK && pst_streq(old.sha256, w->files.sha256);
    pst_certificate_deinit(&old);
    if (rc < 0 || same)
        return rc;
    rc = pst_certificate_insert(tx, &w->files, err);
    if (rc != PST_OK)
        return rc;
    *num = w->files.num;
    pst_log_info(LOG, "platform certificate taken from its files",
                 pst_kv_s("serial", w->files.serial));
    return PST_OK;
}

static int ladder_tx(struct pst_tx *tx, void *arg, struct pst_err *err)
{
    struct work *w = arg;
    struct pst_certificate fresh = {0};
    struct pst_default_ladder l;
    bool good;

    int rc = pst_default_ladder_get(tx, &l, err);
    if (rc < 0)
        return rc;
    int64_t files = l.certs[PST_DEFAULT_FILES], local = l.certs[PST_DEFAULT_LOCAL];
    rc = take_files(tx, w, &files, err);
    if (rc == PST_OK)
        rc = local_is_good(tx, w, local, &good, err);
    if (rc == PST_OK && !good) {
        rc = issue_local(tx, w, &fresh, err);
        local = fresh.num;
        pst_certificate_deinit(&fresh);
    }
    if (rc != PST_OK)
        return rc;
    if (files == l.certs[PST_DEFAULT_FILES] && local == l.certs[PST_DEFAULT_LOCAL])
        return PST_DONE;
    return pst_default_ladder_set(tx, files, local, err);
}

static int names_tx(struct pst_tx *tx, void *arg, struct pst_err *err)
{
    struct work *w = arg;
    const char *domain = pst_conf_text(w->d->conf, PST_CONF_PLATFORM_DOMAIN);
    const char *region = pst_conf_text(w->d->conf, PST_CONF_PLATFORM_REGION);
    char domain_was[PST_NAME_SIZE], region_was[PST_WORD_SIZE];

    int rc = pst_platform_get(tx, domain_was, region_was, err);
    if (rc < 0)
        return rc;
    if (pst_streq(domain, domain_was) && pst_streq(region, region_was))
        return PST_DONE;
    return pst_platform_set(tx, domain, region, err);
}

int pst_daemon_platform_check(const struct pst_conf *conf, struct pst_err *err)
{
    const char *domain = pst_conf_text(conf, PST_CONF_PLATFORM_DOMAIN);
    const char *region = pst_conf_text(conf, PST_CONF_PLATFORM_REGION);

    if (!domain[0] && pst_conf_bool(conf, PST_CONF_PLATFORM_ACME))
        return pst_fail(err, PST_ECONFIG,
                        "platform.domain: must be set where platform.acme is: the domain whose "
                        "names get the certificate");
    if (strlen("*..") + strlen(region) + strlen(domain) >= PST_NAME_SIZE)
        return pst_fail(err, PST_ECONFIG,
                        "platform.domain: %.60s... is too long: with app and region in front of it "
                        "a name has at most 253 characters",
                        domain);
    return PST_OK;
}

int pst_daemon_platform(void *arg, struct pst_err *err)
{
    struct daemon *d = arg;
    struct work w = {.d = d, .now = pst_now(pst_clock_system())};

    int rc = pst_store_write(d->store, names_tx, &w, NULL, err);
    if (rc < 0)
        return pst_wrap(err, "platform names");
    const char *domain = pst_conf_text(d->conf, PST_CONF_PLATFORM_DOMAIN);
    if (!domain[0])
        return pst_daemon_platform_domain(d, NULL, err);
    snprintf(w.wildcard, sizeof w.wildcard, "*.%s.%s",
             pst_conf_text(d->conf, PST_CONF_PLATFORM_REGION), domain);
    read_files(&w);
    rc = pst_store_write(d->store, ladder_tx, &w, NULL, err);
    pst_certificate_deinit(&w.files);
    if (rc < 0)
        return pst_wrap(err, "platform certificate");
    return pst_daemon_platform_domain(d, w.wildcard, err);
}

/* ---- the root for people ---- */

static int root_tx(struct pst_tx *tx, void *arg, struct pst_err *err)
{
    return meta_bytes(tx, CA_CERT, arg, err);
}

int pst_daemon_local_root(struct daemon *d, struct pst_buf *ret_pem, struct pst_err *err)
{
    auto_buf struct pst_buf der = PST_BUF(64 * 1024);
    int rc = pst_store_read(d->store, root_tx, &der, err);
    if (rc != PST_OK)
        return rc;
    pst_pem_write(der.data, der.len, "CERTIFICATE", ret_pem);
    return pst_buf_check(ret_pem, "the root", err);
}
