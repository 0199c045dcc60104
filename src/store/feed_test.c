/* feed_test.c - the feed's pages as an edge gets them, on SQLite, or on the PostgreSQL server of
 * PST_TEST_PG_URL. */
#include "store_fixture.h"

#include <fcntl.h>

#include <postern/json.h>

#define NOW (NOW_MS / 1000)
#define DAY INT64_C(86400)

/* Another tenant, and an edge that follows the feed. */
struct follower {
    struct pst_user other;
    struct pst_secret secret; /* of the edge */
    struct pst_edge edge;
    struct pst_feed_cursor at; /* where the edge stands */
};

static struct follower *follower(struct fixture *f)
{
    return f->more;
}

TX(begin_records)
{
    struct fixture *f = arg;

    follower(f)->other = (struct pst_user){.username = "bob", .role = PST_ROLE_TENANT};
    f->app.force_https = true;
    int rc = pst_app_update(tx, &f->app, err);
    return rc == PST_OK ? pst_user_insert(tx, &follower(f)->other, err) : rc;
}

TX(read_head)
{
    return pst_feed_head(tx, &follower(arg)->at, err);
}

static int begin(void **state)
{
    struct follower *w = calloc(1, sizeof *w);

    if (!w || set_up(state) != 0)
        return -1;
    struct fixture *f = *state;
    f->more = w;
    pst_str_copy(w->edge.name, sizeof w->edge.name, "edge1");
    if (pst_box_keypair(&w->secret, w->edge.public_key, &f->err) != PST_OK ||
        pst_store_write(f->store, begin_records, f, NULL, &f->err) != PST_OK ||
        pst_store_read(f->store, read_head, f, &f->err) != PST_OK) {
        print_error("%s\n", f->err.text);
        return -1;
    }
    return 0;
}

static int end(void **state)
{
    struct follower *w = follower(*state);

    pst_secret_deinit(&w->secret);
    free(w);
    return tear_down(state);
}

/* ---- changing things ---- */

static void write_tx(struct fixture *f, pst_tx_fn *fn, void *arg)
{
    assert_ok(pst_store_write(f->store, fn, arg, NULL, &f->err), f->err);
}

struct domain_spec {
    struct fixture *f;
    const char *ascii;
    const char *user_id; /* NULL: the fixture's */
    bool no_acme, canonical;
    int64_t custom, acme;
};

static int insert_domain(struct pst_tx *tx, void *arg, struct pst_err *err)
{
    const struct domain_spec *s = arg;
    struct pst_domain d = {.acme_enabled = !s->no_acme, .canonical = s->canonical};

    pst_str_copy(d.app_id, sizeof d.app_id, s->f->app.id);
    pst_str_copy(d.user_id, sizeof d.user_id, s->user_id ? s->user_id : s->f->user.id);
    pst_str_copy(d.name, sizeof d.name, s->ascii);
    pst_str_copy(d.ascii, sizeof d.ascii, s->ascii);
    d.wildcard = s->ascii[0] == '*';
    int rc = pst_domain_insert(tx, &d, err);
    if (rc != PST_OK || (!s->custom && !s->acme))
        return rc;
    d.custom_cert = s->custom;
    d.acme_cert = s->acme;
    return pst_domain_update(tx, &d, err);
}

static void add_domain(struct fixture *f, struct domain_spec s)
{
    s.f = f;
    write_tx(f, insert_domain, &s);
}

struct cert_spec {
    struct fixture *f;
    int64_t num, not_after;
    bool damaged;
};

static int insert_cert(struct pst_tx *tx, void *arg, struct pst_err *err)
{
    const struct cert_spec *s = arg;
    struct pst_buf sealed = PST_BUF(4096), spki = PST_BUF(4096);
    struct pst_buf issuers[2] = {PST_BUF(64), PST_BUF(64)};
    struct pst_certificate c = {.num = s->num,
                                .not_before = NOW - DAY,
                                .not_after = s->not_after,
                                .leaf = PST_BUF(64),
                                .issuers = issuers,
                                .issuers_n = 2};

    pst_id_new(pst_store_rand(s->f->store), c.id);
    pst_str_copy(c.origin, sizeof c.origin, "acme");
    pst_str_copy(c.key_type, sizeof c.key_type, "p256");
    snprintf(c.sha256, sizeof c.sha256, "%" PRId64, s->num);
    pst_buf_printf(&c.leaf, "leaf %" PRId64, s->num);
    pst_buf_str(&issuers[0], "intermediate two");
    pst_buf_str(&issuers[1], "intermediate one");
    int rc = pst_key_new(s->f->keys, PST_KEY_P256, 0, "certificate", c.id, &sealed, &spki, err);
    if (rc == PST_OK && s->damaged)
        sealed.data[sealed.len - 1] ^= 1;
    c.sealed = sealed;
    if (rc == PST_OK)
        rc = pst_certificate_insert(tx, &c, err);
    for (size_t i = 0; i < 2; i++)
        pst_buf_deinit(&issuers[i]);
    pst_buf_deinit(&c.leaf);
    pst_buf_deinit(&sealed);
    pst_buf_deinit(&spki);
    return rc;
}

static void add_cert(struct fixture *f, int64_t num, int64_t not_after)
{
    struct cert_spec s = {f, num, not_after, false};

    write_tx(f, insert_cert, &s);
}

/* ---- reading pages ---- */

struct page {
    struct fixture *f;
    const char *after; /* of a snapshot, else NULL: changes */
    struct pst_buf text;
    struct pst_json *json;
    struct pst_feed_cursor next;
    int64_t n;
};

static int read_page(struct pst_tx *tx, void *arg, struct pst_err *err)
{
    struct page *p = arg;

    if (p->after)
        return pst_feed_snapshot(tx, &follower(p->f)->edge, p->after, &p->text, err);
    return pst_feed_changes(tx, &follower(p->f)->edge, &follower(p->f)->at, &p->text, &p->next,
                            &p->n, err);
}

static void page_free(struct page *p)
{
    pst_json_free(p->json);
    pst_buf_deinit(&p->text);
    *p = (struct page){0};
}

static int get(struct fixture *f, const char *after, struct page *p)
{
    *p = (struct page){.f = f, .after = after, .text = PST_BUF(PST_FEED_PAGE_MAX)};
    int rc = pst_store_read(f->store, read_page, p, &f->err);
    if (rc == PST_OK)
        assert_ok(pst_json_parse(&p->json, p->text.data, p->text.len, &f->err), f->err);
    return rc;
}

/* The next page of changes; the fixture's cursor moves on. */
static void follow(struct fixture *f, struct page *p)
{
    int64_t rev;

    assert_ok(get(f, NULL, p), f->err);
    assert_int_equal(pst_json_len(pst_json_get(p->json, "objects")), p->n);
    assert_string_equal(pst_json_get_text(p->json, "epoch"), p->next.epoch);
    assert_string_equal(pst_json_get_text(p->json, "id"), p->next.id);
    assert_true(pst_json_get_int(p->json, "rev", &rev));
    assert_int_equal(rev, p->next.rev);
    follower(f)->at = p->next;
}

static const struct pst_json *find(const struct page *p, const char *kind, const char *key)
{
    const struct pst_json *objects = pst_json_get(p->json, "objects");

    for (size_t i = 0; i < pst_json_len(objects); i++) {
        const struct pst_json *o = pst_json_at(objects, i);
        if (pst_streq(pst_json_get_text(o, "kind"), kind) &&
            pst_streq(pst_json_get_text(o, "key"), key))
            return o;
    }
    return NULL;
}

/* The value of an object that is there and alive. */
static const struct pst_json *value(const struct page *p, const char *kind, const char *key)
{
    const struct pst_json *o = find(p, kind, key);
    bool deleted = true;

    if (!o)
        fail_msg("there is no %s/%s in %.2000s", kind, key, p->text.data);
    assert_true(pst_json_get_bool(o, "deleted", &deleted));
    assert_false(deleted);
    return pst_json_get(o, "value");
}

/* "1,2,3" of a ladder. */
static const char *ladder(const struct pst_json *v)
{
    static char text[200];
    const struct pst_json *steps = pst_json_get(v, "steps");

    assert_int_equal(pst_json_type(steps), PST_JSON_ARRAY);
    text[0] = '\0';
    for (size_t i = 0; i < pst_json_len(steps); i++) {
        size_t len = strlen(text);
        snprintf(text + len, sizeof text - len, "%s%s", i ? "," : "",
                 pst_json_get_text(pst_json_at(steps, i), "cert"));
    }
    return text;
}

/* What is in the box of `v`, with that associated data. */
static void open_box(struct fixture *f, const struct pst_json *v, const char *aad,
                     struct pst_secret *ret)
{
    struct pst_buf box = PST_BUF(8192);
    const char *b64 = pst_json_get_text(v, "sealed");

    assert_non_null(b64);
    assert_true(pst_b64_decode(&box, b64, strlen(b64)));
    assert_ok(pst_box_open(&follower(f)->secret, aad, box.data, box.len, ret, &f->err), f->err);
    pst_buf_deinit(&box);
}

/* ---- names ---- */

static void nothing_new_is_an_empty_page(void **state)
{
    struct fixture *f = *state;
    struct pst_feed_cursor before = follower(f)->at;
    struct page p;
    bool more = true;

    follow(f, &p);
    assert_int_equal(p.n, 0);
    assert_int_equal(follower(f)->at.rev, before.rev);
    assert_string_equal(follower(f)->at.id, before.id);
    assert_true(pst_json_get_bool(p.json, "more", &more));
    assert_false(more);
    page_free(&p);
}

static void the_ladder_is_custom_acme_wildcard(void **state)
{
    struct fixture *f = *state;
    struct page p;
    bool flag;

    for (int i = 1; i <= 6; i++)
        add_cert(f, i, NOW + 90 * DAY);
    add_cert(f, 7, NOW); /* ended this second */
    add_domain(f, (struct domain_spec){.ascii = "*.example.com", .custom = 3, .acme = 4});
    add_domain(f, (struct domain_spec){.ascii = "www.example.com", .custom = 1, .acme = 2});
    add_domain(f, (struct domain_spec){.ascii = "a.example.com", .custom = 7, .acme = 5});
    add_domain(f, (struct domain_spec){.ascii = "b.example.com", .no_acme = true, .acme = 6});
    add_domain(f, (struct domain_spec){.ascii = "c.d.example.com"});
    add_domain(f, (struct domain_spec){.ascii = "example.com"});
    add_domain(f, (struct domain_spec){.ascii = "o.example.com", .user_id = follower(f)->other.id});
    follow(f, &p);

    const struct pst_json *www = value(&p, "name", "www.example.com");
    assert_string_equal(ladder(www), "1,2,3,4");
    assert_string_equal(ladder(value(&p, "name", "*.example.com")), "3,4");
    assert_string_equal(ladder(value(&p, "name", "a.example.com")), "5,3,4");
    assert_string_equal(ladder(value(&p, "name", "b.example.com")), "3,4");
    assert_string_equal(ladder(value(&p, "name", "c.d.example.com")), "");
    assert_string_equal(ladder(value(&p, "name", "example.com")), "");
    assert_string_equal(ladder(value(&p, "name", "o.example.com")), ""); /* not its owner's */

    const struct pst_json *step = pst_json_at(pst_json_get(www, "steps"), 0);
    int64_t at;
    assert_string_equal(pst_json_get_text(step, "key"), "p256");
    assert_true(pst_json_get_int(step, "not_before", &at));
    assert_int_equal(at, NOW - DAY);
    assert_true(pst_json_get_int(step, "not_after", &at));
    assert_int_equal(at, NOW + 90 * DAY);
    assert_string_equal(pst_json_get_text(www, "app"), f->app.id);
    assert_true(pst_json_get_bool(www, "acme", &flag) && flag);
    assert_true(pst_json_get_bool(www, "force_https", &flag) && flag);
    assert_true(pst_json_get_bool(value(&p, "name", "b.example.com"), "acme", &flag) && !flag);
    page_free(&p);
}

static void the_canonical_name_is_told_to_the_others(void **state)
{
    struct fixture *f = *state;
    struct page p;

    add_domain(f, (struct domain_spec){.ascii = "www.example.com", .canonical = true});
    add_domain(f, (struct domain_spec){.ascii = "example.com"});
    follow(f, &p);
    assert_string_equal(pst_json_get_text(value(&p, "name", "example.com"), "canonical"),
                        "www.example.com");
    assert_int_equal(pst_json_type(pst_json_get(value(&p, "name", "www.example.com"), "canonical")),
                     PST_JSON_NULL);
    page_free(&p);
}

static int set_platform(struct pst_tx *tx, void *arg, struct pst_err *err)
{
    return pst_platform_set(tx, "paas.example", "osc-fr1", err);
}

static void platform_names_have_no_steps(void **state)
{
    struct fixture *f = *state;
    struct page p;

    write_tx(f, set_platform, NULL);
    follow(f, &p);
    const struct pst_json *v = value(&p, "name", "my-app.osc-fr1.paas.example");
    assert_string_equal(ladder(v), "");
    assert_string_equal(pst_json_get_text(v, "app"), f->app.id);
    page_free(&p);
}

/* ---- certificates and secrets ---- */

static void a_certificate_comes_with_its_key_boxed(void **state)
{
    struct fixture *f = *state;
    struct page p;
    auto_secret struct pst_secret key = {0};
    struct pst_buf b = PST_BUF(256);
    char hex[PST_SHA256_HEX_SIZE];

    add_cert(f, INT64_MAX, NOW + DAY);
    follow(f, &p);
    const struct pst_json *v = value(&p, "cert", "9223372036854775807");
    open_box(f, v, "cert/9223372036854775807", &key);
    assert_int_equal(key.len, 32 + 65);
    assert_int_equal(key.data[32], 4); /* an uncompressed point */
    assert_string_equal(pst_json_get_text(v, "key_type"), "p256");
    const char *leaf = pst_json_get_text(v, "leaf");
    assert_true(pst_b64_decode(&b, leaf, strlen(leaf)));
    assert_string_equal(pst_buf_cstr(&b), "leaf 9223372036854775807");

    /* Issuers in the order of the chain, each once, under its own key. */
    const struct pst_json *issuers = pst_json_get(v, "issuers");
    assert_int_equal(pst_json_len(issuers), 2);
    assert_ok(pst_sha256_hex("intermediate two", 16, hex, &f->err), f->err);
    hex[16] = '\0';
    assert_string_equal(pst_json_text(pst_json_at(issuers, 0)), hex);
    const char *der = pst_json_get_text(value(&p, "issuer", hex), "der");
    pst_buf_cut(&b, 0);
    assert_true(pst_b64_decode(&b, der, strlen(der)));
    assert_string_equal(pst_buf_cstr(&b), "intermediate two");
    pst_buf_deinit(&b);
    page_free(&p);
}

static void a_key_that_does_not_unseal_stands_in_nobodys_way(void **state)
{
    struct fixture *f = *state;
    struct cert_spec bad = {f, 5, NOW + DAY, true};
    struct page p;

    write_tx(f, insert_cert, &bad);
    add_cert(f, 6, NOW + DAY);
    follow(f, &p);
    assert_null(find(&p, "cert", "5")); /* neither there nor deleted */
    assert_non_null(value(&p, "cert", "6"));
    page_free(&p);
}

static void without_keys_there_is_no_feed(void **state)
{
    struct fixture *f = *state;
    struct page p;

    f->store->keys = NULL;
    assert_rc(get(f, NULL, &p), PST_ECONFIG, f->err);
    assert_rc(get(f, "", &p), PST_ECONFIG, f->err);
    f->store->keys = f->keys;
}

static int put_small_things(struct pst_tx *tx, void *arg, struct pst_err *err)
{
    struct fixture *f = arg;
    static const char probe[32] = "probe key";

    int rc = pst_challenge_put(tx, "tok-1", "www.example.com", "tok-1.thumb", NOW_MS + 5000, err);
    if (rc == PST_OK)
        rc = pst_ticket_rotate(tx, NOW_MS, 43200, err);
    if (rc == PST_OK)
        rc = pst_default_ladder_set(tx, 2, 1, err);
    if (rc == PST_OK)
        rc = pst_meta_set_secret(tx, "probe_key", probe, sizeof probe, err);
    if (rc == PST_OK)
        rc = pst_touch(tx, "meta", "probe", false, err);
    if (rc == PST_OK)
        rc = pst_meta_set(tx, "thumbprint", "thumb", err);
    if (rc == PST_OK)
        rc = pst_touch(tx, "meta", "thumbprint", false, err);
    const struct pst_upstream up[] = {{.address = "127.0.0.1:3000", .weight = 1},
                                      {.address = "[::1]:3001", .weight = 9, .drain = true}};
    return rc == PST_OK ? pst_upstreams_set(tx, f->app.id, up, 2, err) : rc;
}

static void the_other_kinds(void **state)
{
    struct fixture *f = *state;
    auto_secret struct pst_secret secret = {0};
    struct page p;
    int64_t until;

    add_cert(f, 1, NOW + DAY);
    add_cert(f, 2, NOW + DAY);
    write_tx(f, put_small_things, f);
    follow(f, &p);

    const struct pst_json *c = value(&p, "challenge", "tok-1");
    assert_string_equal(pst_json_get_text(c, "name"), "www.example.com");
    assert_string_equal(pst_json_get_text(c, "answer"), "tok-1.thumb");
    assert_true(pst_json_get_int(c, "until", &until));
    assert_int_equal(until, NOW + 5);
    assert_string_equal(ladder(value(&p, "meta", "default")), "2,1");
    assert_string_equal(pst_json_get_text(value(&p, "meta", "thumbprint"), "value"), "thumb");
    open_box(f, value(&p, "meta", "probe"), "meta/probe", &secret);
    assert_int_equal(secret.len, 32);
    assert_string_equal((const char *)secret.data, "probe key");

    bool drain;
    const struct pst_json *app = value(&p, "app", f->app.id);
    const struct pst_json *ups = pst_json_get(app, "upstreams");
    assert_string_equal(pst_json_get_text(app, "name"), "my-app");
    assert_int_equal(pst_json_len(ups), 2);
    assert_string_equal(pst_json_get_text(pst_json_at(ups, 1), "address"), "[::1]:3001");
    assert_true(pst_json_get_bool(pst_json_at(ups, 0), "drain", &drain) && !drain);
    assert_true(pst_json_get_bool(pst_json_at(ups, 1), "drain", &drain) && drain);

    const struct pst_json *objects = pst_json_get(p.json, "objects");
    int tickets = 0;
    for (size_t i = 0; i < pst_json_len(objects); i++) {
        const struct pst_json *o = pst_json_at(objects, i);
        char aad[64];
        if (!pst_streq(pst_json_get_text(o, "kind"), "ticket"))
            continue;
        tickets++;
        snprintf(aad, sizeof aad, "ticket/%s", pst_json_get_text(o, "key"));
        open_box(f, pst_json_get(o, "value"), aad, &secret);
        assert_int_equal(secret.len, 80);
    }
    assert_true(tickets >= 4); /* for 48 hours */
    page_free(&p);
}

/* ---- cursors and pages ---- */

static void an_unknown_cursor_must_resync(void **state)
{
    struct fixture *f = *state;
    struct pst_feed_cursor good = follower(f)->at;
    struct page p;

    pst_str_copy(follower(f)->at.epoch, sizeof follower(f)->at.epoch, "another");
    assert_rc(get(f, NULL, &p), PST_NOTFOUND, f->err);
    page_free(&p);
    follower(f)->at = good;
    pst_str_copy(follower(f)->at.id, sizeof follower(f)->at.id, "0000000000000000");
    assert_rc(get(f, NULL, &p), PST_NOTFOUND, f->err);
    page_free(&p);
    follower(f)->at = good;
    follower(f)->at.rev += 1000;
    assert_rc(get(f, NULL, &p), PST_NOTFOUND, f->err);
    page_free(&p);
    follower(f)->at = good;
    assert_ok(get(f, NULL, &p), f->err);
    page_free(&p);
}

struct many {
    int from, to;
};

/* Challenges with long answers: about 600 bytes each. */
static int put_many(struct pst_tx *tx, void *arg, struct pst_err *err)
{
    const struct many *m = arg;
    char token[32], answer[500];
    int rc = PST_OK;

    memset(answer, 'a', sizeof answer - 1);
    answer[sizeof answer - 1] = '\0';
    for (int i = m->from; i < m->to && rc == PST_OK; i++) {
        snprintf(token, sizeof token, "t%05d", i);
        rc = pst_challenge_put(tx, token, "www.example.com", answer, NOW_MS + 1000, err);
    }
    return rc;
}

static void put_challenges(struct fixture *f, int from, int to)
{
    struct many m = {from, to};

    write_tx(f, put_many, &m);
}

static void pages_end_between_revisions(void **state)
{
    struct fixture *f = *state;
    int64_t seen = 0, revisions = follower(f)->at.rev;
    bool more = true;

    for (int i = 0; i < 9; i++)
        put_challenges(f, i * 700, (i + 1) * 700); /* about 430 kB each: two to a page */
    for (int pages = 0; more; pages++) {
        struct page p;
        follow(f, &p);
        assert_true(pages < 6);
        assert_int_equal(p.n % 700, 0);
        assert_true(p.text.len <= PST_FEED_PAGE);
        assert_true(p.n == 1400 || seen + p.n == 9 * 700);
        seen += p.n;
        assert_true(pst_json_get_bool(p.json, "more", &more));
        page_free(&p);
    }
    assert_int_equal(seen, 9 * 700);
    assert_int_equal(follower(f)->at.rev, revisions + 9);
}

static void a_large_revision_makes_a_large_page(void **state)
{
    struct fixture *f = *state;
    struct page p;
    bool more;

    put_challenges(f, 0, 1);
    put_challenges(f, 1, 3001);
    put_challenges(f, 3001, 3002);
    follow(f, &p);
    assert_int_equal(p.n, 1);
    page_free(&p);
    follow(f, &p);
    assert_int_equal(p.n, 3000);
    assert_true(p.text.len > PST_FEED_PAGE);
    assert_true(pst_json_get_bool(p.json, "more", &more) && more);
    page_free(&p);
    follow(f, &p);
    assert_int_equal(p.n, 1);
    page_free(&p);
}

static int read_into_a_page(struct pst_tx *tx, void *arg, struct pst_err *err)
{
    struct page *p = arg;

    p->text = (struct pst_buf)PST_BUF(PST_FEED_PAGE);
    return pst_feed_changes(tx, &follower(p->f)->edge, &follower(p->f)->at, &p->text, &p->next,
                            &p->n, err);
}

static void a_revision_that_fits_nowhere_means_resync(void **state)
{
    struct fixture *f = *state;
    struct page p = {.f = f};

    put_challenges(f, 0, 3000);
    assert_rc(pst_store_read(f->store, read_into_a_page, &p, &f->err), PST_NOTFOUND, f->err);
    assert_int_equal(p.text.len, 0);
    page_free(&p);
}

static int delete_challenge(struct pst_tx *tx, void *arg, struct pst_err *err)
{
    return pst_challenge_delete(tx, arg, err);
}

static void an_object_comes_once_as_it_is_last(void **state)
{
    struct fixture *f = *state;
    struct page p;
    bool deleted;

    put_challenges(f, 0, 2);
    write_tx(f, delete_challenge, (void *)"t00000");
    put_challenges(f, 1, 2); /* again */
    follow(f, &p);
    assert_int_equal(p.n, 2);
    const struct pst_json *gone = find(&p, "challenge", "t00000");
    assert_true(pst_json_get_bool(gone, "deleted", &deleted) && deleted);
    assert_int_equal(pst_json_type(pst_json_get(gone, "value")), PST_JSON_NULL);
    page_free(&p);
}

/* ---- snapshot ---- */

static void a_snapshot_gives_everything_once_in_order(void **state)
{
    struct fixture *f = *state;
    char after[300] = "", last[300] = "";
    size_t n = 0, pages = 0;

    put_challenges(f, 0, 4000);
    write_tx(f, delete_challenge, (void *)"t00002");
    add_domain(f, (struct domain_spec){.ascii = "www.example.com"});
    do {
        struct page p;
        assert_ok(get(f, after, &p), f->err);
        assert_true(p.text.len <= PST_FEED_PAGE);
        const struct pst_json *objects = pst_json_get(p.json, "objects");
        for (size_t i = 0; i < pst_json_len(objects); i++, n++) {
            char key[300];
            const struct pst_json *o = pst_json_at(objects, i);
            snprintf(key, sizeof key, "%s/%s", pst_json_get_text(o, "kind"),
                     pst_json_get_text(o, "key"));
            assert_true(strcmp(key, last) > 0);
            pst_str_copy(last, sizeof last, key);
            assert_string_not_equal(key, "challenge/t00002");
        }
        const char *next = pst_json_get_text(p.json, "next");
        assert_true(!next || strcmp(next, last) == 0);
        snprintf(after, sizeof after, "%s", next ? next : "");
        pages++;
        page_free(&p);
    } while (after[0]);
    assert_true(pages >= 3);
    assert_int_equal(n, 3999 + 2); /* and the app and the name */
    assert_string_equal(last, "name/www.example.com");
}

static void a_place_that_is_none_is_refused(void **state)
{
    static const char *const bad[] = {"name", "averyveryverylongkind/key", "name/\xff"};
    struct fixture *f = *state;

    for (size_t i = 0; i < PST_ARRAY_N(bad); i++) {
        struct page p;
        assert_rc(get(f, bad[i], &p), PST_EINPUT, f->err);
        page_free(&p);
    }
}

/* ---- sweeping ---- */

static int sweep(struct pst_tx *tx, void *arg, struct pst_err *err)
{
    return pst_feed_sweep(tx, *(int64_t *)arg, err);
}

static int count_change(struct pst_tx *tx, void *arg, struct pst_err *err)
{
    struct pst_feed_row rows[8], from = {0};
    size_t n;

    int rc = pst_feed_db_changes(tx, &from, rows, 8, &n, err);
    for (size_t i = 0; rc == PST_OK && i < n; i++)
        *(int *)arg += rows[i].deleted;
    return rc;
}

static void sweeping_keeps_the_cursor_that_is_still_good(void **state)
{
    struct fixture *f = *state;
    struct pst_feed_cursor old = follower(f)->at, head;
    struct page p;
    int tombstones = 0;
    int64_t before;

    put_challenges(f, 0, 1);
    write_tx(f, delete_challenge, (void *)"t00000");
    follow(f, &p);
    page_free(&p);
    head = follower(f)->at;
    pst_clock_manual_advance(&f->clock, 31 * DAY * 1000); /* a quiet month */
    before = pst_wall_ms(&f->clock.clock) - 30 * DAY * 1000;
    put_challenges(f, 1, 2);
    write_tx(f, sweep, &before);

    assert_ok(pst_store_read(f->store, count_change, &tombstones, &f->err), f->err);
    assert_int_equal(tombstones, 0);
    follower(f)->at = head; /* has all that went: may go on */
    follow(f, &p);
    assert_int_equal(p.n, 1);
    page_free(&p);
    follower(f)->at = old; /* has not seen the tombstone, and it is gone */
    assert_rc(get(f, NULL, &p), PST_NOTFOUND, f->err);
    page_free(&p);
}

int main(void)
{
#undef T
#define T(fn) cmocka_unit_test_setup_teardown(fn, begin, end)
    const struct CMUnitTest tests[] = {
        T(nothing_new_is_an_empty_page),
        T(the_ladder_is_custom_acme_wildcard),
        T(the_canonical_name_is_told_to_the_others),
        T(platform_names_have_no_steps),
        T(a_certificate_comes_with_its_key_boxed),
        T(a_key_that_does_not_unseal_stands_in_nobodys_way),
        T(without_keys_there_is_no_feed),
        T(the_other_kinds),
        T(an_unknown_cursor_must_resync),
        T(pages_end_between_revisions),
        T(a_large_revision_makes_a_large_page),
        T(a_revision_that_fits_nowhere_means_resync),
        T(an_object_comes_once_as_it_is_last),
        T(a_snapshot_gives_everything_once_in_order),
        T(a_place_that_is_none_is_refused),
        T(sweeping_keeps_the_cursor_that_is_still_good),
    };

    pst_log_set_fd(open("/dev/null", O_WRONLY | O_CLOEXEC));
    return cmocka_run_group_tests_name(pst_test_pg_url() ? "feed on PostgreSQL" : "feed on SQLite",
                                       tests, NULL, NULL);
}
