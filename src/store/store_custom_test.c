/* store_custom_test.c - customers' own certificates: known issuers, warnings, requests. */
#include "store_internal.h"

#include "store_fixture.h"

#include <postern/crypto_read.h>

enum { DAY_S = 86400 };
#define NOW_S (NOW_MS / 1000)

static struct pst_certificate own(struct fixture *f, int64_t not_after)
{
    struct pst_certificate c = {
        .origin = "custom", .key_type = "rsa", .key_bits = 3072, .not_after = not_after};

    (void)f;
    c.leaf = bytes("leaf");
    c.sealed = bytes("sealed");
    return c;
}

struct with_own {
    struct pst_domain domain;
    struct pst_certificate certificate;
};

/* As an upload does it: one transaction. */
TX(put_own)
{
    struct with_own *w = arg;

    int rc = w->domain.id[0] ? PST_OK : pst_domain_insert(tx, &w->domain, err);
    if (rc == PST_OK)
        rc = pst_certificate_insert(tx, &w->certificate, err);
    if (rc != PST_OK)
        return rc;
    w->domain.custom_cert = w->certificate.num;
    return pst_domain_update(tx, &w->domain, err);
}

static struct with_own upload(struct fixture *f, const char *name, int64_t not_after)
{
    struct with_own w = {.domain = domain(f, name), .certificate = own(f, not_after)};

    commit(f, put_own, &w);
    return w;
}

TX(key_bits)
{
    struct with_own *w = arg;
    struct pst_certificate c = {0};

    want_int(pst_certificate_get(tx, w->certificate.num, &c, err), PST_OK);
    want_int(c.key_bits, 3072);
    return PST_OK;
}

static void an_upload_is_one_revision(void **state)
{
    struct fixture *f = *state;
    struct with_own w = {.domain = domain(f, "www.example.com"), .certificate = own(f, NOW_S)};
    char wanted[200];

    int64_t rev = commit(f, put_own, &w);
    snprintf(wanted, sizeof wanted, "cert/%" PRId64 " name/www.example.com ", w.certificate.num);
    assert_told(f, rev, wanted);
    look(f, key_bits, &w);
    /* Its successor replaces it in one revision, too; the old one goes later. */
    w.certificate.id[0] = '\0';
    w.certificate.num = 0;
    rev = commit(f, put_own, &w);
    snprintf(wanted, sizeof wanted, "cert/%" PRId64 " name/www.example.com ", w.certificate.num);
    assert_told(f, rev, wanted);
    pst_certificate_deinit(&w.certificate);
}

/* ---- the end ---- */

struct endings {
    int64_t now;
    char text[400]; /* "name:due " */
};

static int note_ending(const struct pst_ending *e, void *arg)
{
    struct endings *s = arg;
    size_t at = strlen(s->text);

    snprintf(s->text + at, sizeof s->text - at, "%.7s:%d ", e->name, e->due);
    return PST_OK;
}

TX(endings)
{
    struct endings *s = arg;

    s->text[0] = '\0';
    return pst_certificate_each_ending(tx, s->now, 10, note_ending, s, err);
}

static const char *ending_at(struct fixture *f, struct endings *s, int64_t now)
{
    s->now = now;
    look(f, endings, s);
    return s->text;
}

struct warned {
    int64_t num;
    enum pst_warning given;
};

TX(warned)
{
    struct warned *w = arg;

    return pst_certificate_warned(tx, w->num, w->given, err);
}

TX(unload)
{
    struct pst_domain *d = arg;

    d->custom_cert = 0;
    return pst_domain_update(tx, d, err);
}

static void the_end_is_told_three_times(void **state)
{
    struct fixture *f = *state;
    struct endings s;
    int64_t end = NOW_S + 40 * DAY_S;
    struct with_own a = upload(f, "aaa.com", end), b = upload(f, "bbb.com", end + 1);

    assert_string_equal(ending_at(f, &s, NOW_S), "");
    assert_string_equal(ending_at(f, &s, end - 30 * DAY_S), "aaa.com:1 ");
    assert_string_equal(ending_at(f, &s, end - 30 * DAY_S + 1), "aaa.com:1 bbb.com:1 ");
    commit(f, warned, &(struct warned){a.certificate.num, PST_WARN_30_DAYS});
    assert_string_equal(ending_at(f, &s, end - 8 * DAY_S), "bbb.com:1 ");
    assert_string_equal(ending_at(f, &s, end - 7 * DAY_S), "aaa.com:2 bbb.com:1 ");
    commit(f, warned, &(struct warned){a.certificate.num, PST_WARN_7_DAYS});
    commit(f, warned, &(struct warned){b.certificate.num, PST_WARN_7_DAYS});
    assert_string_equal(ending_at(f, &s, end - 1), "");
    assert_string_equal(ending_at(f, &s, end), "aaa.com:3 ");
    commit(f, warned, &(struct warned){a.certificate.num, PST_WARN_OVER});
    assert_string_equal(ending_at(f, &s, end + DAY_S), "bbb.com:3 ");
    /* One that no ladder names concerns nobody. */
    commit(f, unload, &b.domain);
    assert_string_equal(ending_at(f, &s, end + DAY_S), "");
    pst_certificate_deinit(&a.certificate);
    pst_certificate_deinit(&b.certificate);
}

/* ---- known issuers ---- */

struct known {
    uint8_t subject[32];
    struct pst_buf pem;
    int rc;
};

TX(known)
{
    struct known *k = arg;

    pst_buf_cut(&k->pem, 0);
    k->rc = pst_issuer_known(tx, k->subject, &k->pem, err);
    return k->rc == PST_NOTFOUND ? PST_OK : k->rc;
}

static void issuers_are_found_by_their_subject(void **state)
{
    struct fixture *f = *state;
    auto_buf struct pst_buf sealed = PST_BUF(4096), der = PST_BUF(4096), pem = PST_BUF(8192);
    struct known k = {.pem = PST_BUF(64 * 1024)};
    struct with_own w = {.domain = domain(f, "www.example.com"), .certificate = own(f, NOW_S)};
    struct pst_buf issuers[2];

    assert_ok(pst_local_ca_new(f->keys, "k", "i", "Known", NOW_S, &sealed, &der, &f->err), f->err);
    assert_ok(pst_der_subject_sha256(der.data, der.len, k.subject, &f->err), f->err);
    look(f, known, &k);
    assert_int_equal(k.rc, PST_NOTFOUND);
    issuers[0] = der;
    issuers[1] = bytes("no certificate"); /* is stored all the same, and never found */
    w.certificate.issuers = issuers;
    w.certificate.issuers_n = 2;
    commit(f, put_own, &w);
    look(f, known, &k);
    assert_int_equal(k.rc, PST_OK);
    pst_pem_write(der.data, der.len, "CERTIFICATE", &pem);
    assert_string_equal(pst_buf_cstr(&k.pem), pst_buf_cstr(&pem));
    k.subject[0] ^= 1;
    look(f, known, &k);
    assert_int_equal(k.rc, PST_NOTFOUND);

    w.certificate.issuers = NULL;
    w.certificate.issuers_n = 0;
    pst_buf_deinit(&issuers[1]);
    pst_buf_deinit(&k.pem);
    pst_certificate_deinit(&w.certificate);
}

/* ---- requests ---- */

TX(request_insert)
{
    return pst_request_insert(tx, arg, err);
}

static int count_request(const struct pst_request *r, void *arg)
{
    int *n = arg;

    assert_int_equal(r->sealed.len, 0);
    assert_true(r->csr.len > 0);
    (*n)++;
    return PST_OK;
}

TX(request_look)
{
    const struct pst_request *r = arg;
    struct pst_request got = {0};
    int64_t count = 0;
    int n = 0;

    want_int(pst_request_get(tx, r->domain_id, r->id, &got, err), PST_OK);
    want_text(got.subject, "/CN=x");
    want_int(got.used_at_ms, 5);
    want_text(pst_buf_cstr(&got.sealed), "sealed");
    pst_request_deinit(&got);
    want_int(pst_request_by_key(tx, r->domain_id, "aa", &got, err), PST_OK);
    want_text(got.id, r->id);
    pst_request_deinit(&got);
    want_int(pst_request_by_key(tx, r->domain_id, "ab", &got, err), PST_NOTFOUND);
    want_int(pst_request_get(tx, r->id, r->id, &got, err), PST_NOTFOUND);
    want_int(pst_request_count(tx, r->domain_id, &count, err), PST_OK);
    want_int(count, 1);
    want_int(pst_request_each(tx, r->domain_id, count_request, &n, err), PST_OK);
    want_int(n, 1);
    return PST_OK;
}

TX(request_used)
{
    const struct pst_request *r = arg;

    return pst_request_used(tx, r->id, 5, err);
}

TX(request_gone)
{
    const struct pst_request *r = arg;

    want_int(pst_request_delete(tx, r->domain_id, r->id, err), PST_NOTFOUND);
    return PST_OK;
}

static void requests_go_with_their_domain(void **state)
{
    struct fixture *f = *state;
    struct pst_domain d = domain(f, "www.example.com");
    struct pst_request r = {.key_type = "p256", .subject = "/CN=x", .spki_sha256 = "aa"};

    commit(f, domain_insert, &d);
    pst_str_copy(r.domain_id, sizeof r.domain_id, d.id);
    r.csr = bytes("csr");
    r.sealed = bytes("sealed");
    assert_int_equal(commit(f, request_insert, &r), 0); /* nothing for the edges */
    commit(f, request_used, &r);
    look(f, request_look, &r);
    commit(f, domain_delete, d.id);
    commit(f, request_gone, &r);
    pst_request_deinit(&r);
}

/* ---- ACME off ---- */

TX(order_insert)
{
    return pst_order_insert(tx, arg, err);
}

TX(acme_off)
{
    struct pst_domain *d = arg;

    d->acme_enabled = false;
    return pst_domain_update(tx, d, err);
}

TX(order_look)
{
    struct pst_order_row *o = arg, got = {0};

    want_int(pst_order_open_of(tx, o->domain_id, &got, err), PST_NOTFOUND);
    want_int(pst_order_get(tx, o->id, &got, err), PST_OK);
    want(got.ended_at_ms > 0 && strstr(got.detail, "switched off"));
    want(got.lease_token > o->lease_token); /* whoever works on it finds its lease gone */
    pst_order_row_deinit(&got);
    return PST_OK;
}

static void switching_acme_off_ends_the_open_order(void **state)
{
    struct fixture *f = *state;
    struct pst_domain d = domain(f, "www.example.com");
    struct pst_order_row o = {.name = "www.example.com", .state = "ordering", .attempt = 1};

    commit(f, domain_insert, &d);
    pst_str_copy(o.domain_id, sizeof o.domain_id, d.id);
    o.sealed = bytes("sealed");
    o.data = bytes("{}");
    commit(f, order_insert, &o);
    commit(f, acme_off, &d);
    look(f, order_look, &o);
    pst_order_row_deinit(&o);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(an_upload_is_one_revision),
        T(the_end_is_told_three_times),
        T(issuers_are_found_by_their_subject),
        T(requests_go_with_their_domain),
        T(switching_acme_off_ends_the_open_order),
    };
    return cmocka_run_group_tests_name(ENGINE, tests, NULL, NULL);
}
