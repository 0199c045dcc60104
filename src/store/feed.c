/* feed.c - the feed's pages, rendered as JSON for one edge. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include <postern/crypto.h>
#include <postern/json.h>

#include "feed_internal.h"

/* Rows that are asked for at once. */
enum { ROWS = 256 };

/* Largest object: a leaf of 64 KiB in base64 and what stands around it. */
enum { OBJECT_MAX = 512 * 1024 };

struct render {
    struct pst_tx *tx;
    const struct pst_edge *edge;
    int64_t now; /* Unix s */
};

/* Append the value of an object.  PST_OK; PST_NOTFOUND: it is not there (any more). */
typedef int render_fn(const struct render *r, const char *key, struct pst_buf *to,
                      struct pst_err *err);

/* ---- parts ---- */

static void member_b64(struct pst_buf *to, const char *name, const struct pst_buf *data)
{
    pst_buf_printf(to, "\"%s\":\"", name);
    pst_b64_add(to, data->data, data->len);
    pst_buf_char(to, '"');
}

static void member_text(struct pst_buf *to, const char *name, const char *text)
{
    pst_buf_printf(to, "\"%s\":", name);
    pst_json_quote(to, text);
}

/* Those of the certificates that have not ended yet, in the order given.  The edge judges by its
 * own clock again; what has ended already only costs it room. */
static int add_steps(const struct render *r, const int64_t *certs, size_t n, struct pst_buf *to,
                     struct pst_err *err)
{
    const char *comma = "";

    pst_buf_str(to, "\"steps\":[");
    for (size_t i = 0; i < n; i++) {
        struct pst_feed_step s = {0};

        int rc = certs[i] ? pst_feed_db_step(r->tx, certs[i], &s, err) : PST_NOTFOUND;
        if (rc < 0)
            return rc;
        if (rc == PST_NOTFOUND || s.not_after <= r->now)
            continue;
        pst_buf_printf(
            to, "%s{\"cert\":\"%" PRId64 "\",\"not_before\":%" PRId64 ",\"not_after\":%" PRId64 ",",
            comma, s.cert, s.not_before, s.not_after);
        member_text(to, "key", s.key_type);
        pst_buf_char(to, '}');
        comma = ",";
    }
    pst_buf_char(to, ']');
    return PST_OK;
}

/* A secret of the keyring, boxed to the edge.  `aad` is "<kind>/<key>" of the feed's object. */
static int add_boxed(const struct render *r, const struct pst_secret *plain, const char *aad,
                     struct pst_buf *to, struct pst_err *err)
{
    auto_buf struct pst_buf box = PST_BUF(plain->len + PST_BOX_OVERHEAD);

    int rc = pst_box_seal(r->edge->public_key, aad, plain->data, plain->len, &box, err);
    if (rc == PST_OK)
        member_b64(to, "sealed", &box);
    return rc;
}

/* ---- kinds ---- */

static int render_name(const struct render *r, const char *key, struct pst_buf *to,
                       struct pst_err *err)
{
    struct pst_feed_name n;

    int rc = pst_feed_db_name(r->tx, key, &n, err);
    if (rc != PST_OK)
        return rc;
    pst_buf_char(to, '{');
    member_text(to, "app", n.app_id);
    pst_buf_printf(to, ",\"acme\":%s,\"force_https\":%s,", n.acme ? "true" : "false",
                   n.force_https ? "true" : "false");
    member_text(to, "canonical", n.canonical[0] ? n.canonical : NULL);
    pst_buf_char(to, ',');
    rc = add_steps(r, n.certs, PST_FEED_STEPS, to, err);
    pst_buf_char(to, '}');
    return rc;
}

struct upstreams {
    struct pst_buf *to;
    size_t n;
};

static int add_upstream(const struct pst_upstream *u, void *arg)
{
    struct upstreams *list = arg;

    pst_buf_str(list->to, list->n++ ? ",{" : "{");
    member_text(list->to, "id", u->id);
    pst_buf_char(list->to, ',');
    member_text(list->to, "address", u->address);
    pst_buf_printf(list->to, ",\"weight\":%" PRId64 ",\"drain\":%s}", u->weight,
                   u->drain ? "true" : "false");
    return 0;
}

static int render_app(const struct render *r, const char *key, struct pst_buf *to,
                      struct pst_err *err)
{
    char name[PST_WORD_SIZE];
    struct upstreams list = {.to = to};

    int rc = pst_feed_db_app(r->tx, key, name, err);
    if (rc != PST_OK)
        return rc;
    pst_buf_char(to, '{');
    member_text(to, "name", name);
    pst_buf_str(to, ",\"upstreams\":[");
    rc = pst_upstream_each(r->tx, key, add_upstream, &list, err);
    pst_buf_str(to, "]}");
    return rc;
}

struct issuers {
    struct pst_buf *to;
    size_t n;
};

static void add_issuer_key(void *arg, const char *key)
{
    struct issuers *list = arg;

    if (list->n++)
        pst_buf_char(list->to, ',');
    pst_json_quote(list->to, key);
}

static int render_cert(const struct render *r, const char *key, struct pst_buf *to,
                       struct pst_err *err)
{
    auto_feed_cert struct pst_feed_cert c = {0};
    auto_buf struct pst_buf box = PST_BUF(OBJECT_MAX);
    struct issuers list = {.to = to};
    char aad[32];
    int64_t num;

    if (!pst_parse_i64(key, 1, INT64_MAX, &num))
        return PST_NOTFOUND;
    int rc = pst_feed_db_cert(r->tx, num, &c, err);
    if (rc != PST_OK)
        return rc;

    const struct pst_sealed sealed = {
        .kind = "certificate", .object_id = c.id, .blob = c.sealed.data, .len = c.sealed.len};
    snprintf(aad, sizeof aad, "cert/%" PRId64, num);
    rc = pst_key_box_for_edge(pst_store_keys(r->tx->store), &sealed, r->edge->public_key, aad, &box,
                              err);
    if (rc != PST_OK)
        return rc;

    pst_buf_char(to, '{');
    member_b64(to, "leaf", &c.leaf);
    pst_buf_str(to, ",\"issuers\":[");
    rc = pst_feed_db_issuer_keys(r->tx, c.id, add_issuer_key, &list, err);
    pst_buf_str(to, "],");
    member_text(to, "key_type", c.key_type);
    pst_buf_char(to, ',');
    member_b64(to, "sealed", &box);
    pst_buf_printf(to, ",\"not_before\":%" PRId64 ",\"not_after\":%" PRId64 "}", c.not_before,
                   c.not_after);
    return rc;
}

static int render_issuer(const struct render *r, const char *key, struct pst_buf *to,
                         struct pst_err *err)
{
    auto_buf struct pst_buf der = PST_BUF(PST_CERT_MAX);

    int rc = pst_feed_db_issuer(r->tx, key, &der, err);
    if (rc != PST_OK)
        return rc;
    pst_buf_char(to, '{');
    member_b64(to, "der", &der);
    pst_buf_char(to, '}');
    return PST_OK;
}

static int render_challenge(const struct render *r, const char *key, struct pst_buf *to,
                            struct pst_err *err)
{
    struct pst_feed_challenge c;

    int rc = pst_feed_db_challenge(r->tx, key, &c, err);
    if (rc != PST_OK)
        return rc;
    pst_buf_char(to, '{');
    member_text(to, "name", c.name);
    pst_buf_char(to, ',');
    member_text(to, "answer", c.answer);
    pst_buf_printf(to, ",\"until\":%" PRId64 "}", c.until_ms / 1000);
    return PST_OK;
}

static int render_ticket(const struct render *r, const char *key, struct pst_buf *to,
                         struct pst_err *err)
{
    struct pst_feed_ticket t = {0};
    auto_secret struct pst_secret plain = {0};
    char aad[PST_NAME_SIZE + 16];

    int rc = pst_feed_db_ticket(r->tx, key, &t, err);
    if (rc == PST_OK)
        rc = pst_unseal(pst_store_keys(r->tx->store), "ticket", key, t.sealed.data, t.sealed.len,
                        &plain, err);
    pst_buf_deinit(&t.sealed);
    if (rc != PST_OK)
        return rc;

    snprintf(aad, sizeof aad, "ticket/%s", key);
    pst_buf_char(to, '{');
    rc = add_boxed(r, &plain, aad, to, err);
    pst_buf_printf(to, ",\"not_before\":%" PRId64 ",\"not_after\":%" PRId64 "}", t.not_before,
                   t.not_after);
    return rc;
}

static int meta_default(const struct render *r, struct pst_buf *to, struct pst_err *err)
{
    struct pst_default_ladder l;

    int rc = pst_default_ladder_get(r->tx, &l, err);
    if (rc != PST_OK)
        return rc;
    pst_buf_char(to, '{');
    rc = add_steps(r, l.certs, PST_DEFAULT_STEPS, to, err);
    pst_buf_char(to, '}');
    return rc;
}

static int meta_probe(const struct render *r, struct pst_buf *to, struct pst_err *err)
{
    auto_secret struct pst_secret key = {0};

    int rc = pst_meta_get_secret(r->tx, "probe_key", &key, err);
    if (rc != PST_OK)
        return rc;
    pst_buf_char(to, '{');
    rc = add_boxed(r, &key, "meta/probe", to, err);
    pst_buf_char(to, '}');
    return rc;
}

static int meta_thumbprint(const struct render *r, struct pst_buf *to, struct pst_err *err)
{
    auto_buf struct pst_buf text = PST_BUF(256);

    int rc = pst_meta_get(r->tx, "thumbprint", &text, err);
    if (rc != PST_OK)
        return rc;
    pst_buf_char(to, '{');
    member_text(to, "value", pst_buf_cstr(&text));
    pst_buf_char(to, '}');
    return PST_OK;
}

static int render_meta(const struct render *r, const char *key, struct pst_buf *to,
                       struct pst_err *err)
{
    static const struct {
        const char *key;
        int (*fn)(const struct render *r, struct pst_buf *to, struct pst_err *err);
    } metas[] = {
        {"default", meta_default},
        {"probe", meta_probe},
        {"thumbprint", meta_thumbprint},
    };

    for (size_t i = 0; i < PST_ARRAY_N(metas); i++)
        if (pst_streq(metas[i].key, key))
            return metas[i].fn(r, to, err);
    return PST_NOTFOUND;
}

static const struct {
    const char *kind;
    render_fn *render;
} kinds[] = {
    {"app", render_app},       {"cert", render_cert}, {"challenge", render_challenge},
    {"issuer", render_issuer}, {"meta", render_meta}, {"name", render_name},
    {"ticket", render_ticket},
};

static render_fn *find_kind(const char *kind)
{
    for (size_t i = 0; i < PST_ARRAY_N(kinds); i++)
        if (pst_streq(kinds[i].kind, kind))
            return kinds[i].render;
    return NULL;
}

/* ---- objects ---- */

static void add_head(const struct pst_feed_row *row, bool deleted, struct pst_buf *to)
{
    pst_buf_char(to, '{');
    member_text(to, "kind", row->kind);
    pst_buf_char(to, ',');
    member_text(to, "key", row->key);
    pst_buf_printf(to, ",\"rev\":%" PRId64 ",\"deleted\":%s,\"value\":", row->rev,
                   deleted ? "true" : "false");
}

/*
 * Render one object into `to`, which is emptied first and stays empty when there is nothing to
 * say.
 *
 * An object that this process cannot render (a key that does not unseal, a damaged row) is left
 * out, loudly: one such object must not keep all the others from the edges, and one that they have
 * already must not be taken from them.
 */
static int render_object(const struct render *r, const struct pst_feed_row *row, struct pst_buf *to,
                         struct pst_err *err)
{
    render_fn *render = find_kind(row->kind);

    pst_buf_cut(to, 0);
    add_head(row, false, to);
    int rc = row->deleted || !render ? PST_NOTFOUND : render(r, row->key, to, err);
    if (rc == PST_NOTFOUND) {
        pst_buf_cut(to, 0);
        add_head(row, true, to);
        pst_buf_str(to, "null");
        rc = PST_OK;
    }
    pst_buf_char(to, '}');
    if (rc == PST_OK && to->too_long)
        rc = pst_fail(err, PST_EINTERNAL, "it is longer than %zu bytes", to->max);
    if (rc == PST_EINTERNAL) {
        pst_log_err("feed", "object left out", err, pst_kv_s("kind", row->kind),
                    pst_kv_s("key", row->key), pst_kv_s("edge", r->edge->name));
        pst_err_clear(err);
        pst_buf_deinit(to);
        *to = (struct pst_buf)PST_BUF(OBJECT_MAX);
        return PST_OK;
    }
    if (rc == PST_OK)
        rc = pst_buf_check(to, "an object of the feed", err);
    return rc > 0 ? pst_unexpected(err, rc, row->kind) : rc;
}

/* ---- pages ---- */

struct page {
    struct pst_buf *to;
    size_t start;   /* where the page begins in `to` */
    int64_t n;      /* objects in it */
    size_t cut_len; /* length, objects and revision at the end of the last whole revision */
    int64_t cut_n;
    int64_t cut_rev;
};

static void page_begin(struct page *p, struct pst_buf *to)
{
    *p = (struct page){.to = to, .start = to->len};
    pst_buf_str(to, "{\"objects\":[");
    p->cut_len = to->len;
}

static size_t page_len(const struct page *p)
{
    return p->to->len - p->start;
}

static void page_add(struct page *p, const struct pst_buf *object)
{
    if (object->len == 0)
        return;
    if (p->n++)
        pst_buf_char(p->to, ',');
    pst_buf_add(p->to, object->data, object->len);
}

static void page_mark(struct page *p, int64_t rev)
{
    p->cut_len = p->to->len;
    p->cut_n = p->n;
    p->cut_rev = rev;
}

static void page_cut(struct page *p)
{
    pst_buf_cut(p->to, p->cut_len);
    p->n = p->cut_n;
}

/* Room for the object behind what is there, and for the end of the page? */
static bool page_holds(const struct page *p, const struct pst_buf *object, size_t limit)
{
    enum { END = 256 };

    return page_len(p) + object->len + END <= limit && p->to->len + object->len + END <= p->to->max;
}

static void page_end(struct page *p, const struct pst_feed_cursor *at)
{
    pst_buf_str(p->to, "],");
    member_text(p->to, "epoch", at->epoch);
    pst_buf_printf(p->to, ",\"rev\":%" PRId64 ",", at->rev);
    member_text(p->to, "id", at->id);
}

static int begin(struct render *r, struct page *p, struct pst_tx *tx, const struct pst_edge *edge,
                 struct pst_buf *to, struct pst_err *err)
{
    if (!pst_store_keys(tx->store))
        return pst_fail(err, PST_ECONFIG, "the feed needs the keys, and they are not open");
    pst_require(to->max >= to->len + PST_FEED_PAGE);
    *r = (struct render){tx, edge, pst_tx_now_ms(tx) / 1000};
    page_begin(p, to);
    return PST_OK;
}

/*
 * Fill a page with the changes after `from`.  It ends before the revision that would make it
 * longer than a page should be; a single revision may be longer.
 *
 * PST_OK        all changes are in it
 * PST_NOTYET    there is more behind p->cut_rev
 * PST_NOTFOUND  a single revision does not fit at all
 */
static int fill(const struct render *r, struct page *p, int64_t from, struct pst_err *err)
{
    auto_buf struct pst_buf object = PST_BUF(OBJECT_MAX);
    struct pst_feed_row rows[ROWS], last = {.rev = from + 1}; /* before all of the next revision */
    size_t rows_n = ROWS;

    page_mark(p, from);
    while (rows_n == ROWS) {
        int rc = pst_feed_db_changes(r->tx, &last, rows, ROWS, &rows_n, err);
        if (rc != PST_OK)
            return rc;
        for (size_t i = 0; i < rows_n; i++) {
            if (rows[i].rev != last.rev)
                page_mark(p, last.rev);
            rc = render_object(r, &rows[i], &object, err);
            if (rc != PST_OK)
                return rc;
            bool whole = p->cut_rev > from && p->cut_n > 0;
            if (!page_holds(p, &object, whole ? PST_FEED_PAGE : PST_FEED_PAGE_MAX))
                return whole ? PST_NOTYET : PST_NOTFOUND;
            page_add(p, &object);
            last = rows[i];
        }
    }
    return PST_OK;
}

int pst_feed_changes(struct pst_tx *tx, const struct pst_edge *edge,
                     const struct pst_feed_cursor *from, struct pst_buf *ret_json,
                     struct pst_feed_cursor *ret_next, int64_t *ret_n, struct pst_err *err)
{
    struct pst_feed_cursor next;
    struct render r;
    struct page p;

    int rc = pst_feed_db_known(tx, from, err);
    if (rc == PST_OK)
        rc = pst_feed_head(tx, &next, err);
    if (rc == PST_OK)
        rc = begin(&r, &p, tx, edge, ret_json, err);
    if (rc != PST_OK)
        return rc;

    rc = next.rev > from->rev ? fill(&r, &p, from->rev, err) : PST_OK;
    bool more = rc == PST_NOTYET;
    if (more) {
        page_cut(&p);
        next.rev = p.cut_rev;
        rc = pst_feed_db_revision(tx, next.rev, next.id, err);
        if (rc == PST_NOTFOUND)
            rc = pst_fail(err, PST_EINTERNAL, "revision %" PRId64 " has no row", next.rev);
    }
    if (rc != PST_OK) {
        pst_buf_cut(ret_json, p.start);
        return rc;
    }

    page_end(&p, &next);
    pst_buf_printf(ret_json, ",\"more\":%s}", more ? "true" : "false");
    rc = pst_buf_check(ret_json, "a page of the feed", err);
    if (rc == PST_OK) {
        *ret_next = next;
        *ret_n = p.n;
    }
    return rc;
}

/* "<kind>/<key>", or "". */
static bool parse_place(const char *after, struct pst_feed_row *ret)
{
    const char *slash = strchr(after, '/');

    *ret = (struct pst_feed_row){0};
    if (!*after)
        return true;
    if (!slash || (size_t)(slash - after) >= sizeof ret->kind || !pst_utf8_ok(after, strlen(after)))
        return false;
    memcpy(ret->kind, after, (size_t)(slash - after));
    return pst_str_copy(ret->key, sizeof ret->key, slash + 1);
}

/* Fill a page with the objects after `*last` and move that on.  PST_OK: that was all;
 * PST_NOTYET: there is more. */
static int fill_snapshot(const struct render *r, struct page *p, struct pst_feed_row *last,
                         struct pst_err *err)
{
    auto_buf struct pst_buf object = PST_BUF(OBJECT_MAX);
    struct pst_feed_row rows[ROWS];
    size_t rows_n = ROWS;

    while (rows_n == ROWS) {
        int rc = pst_feed_db_objects(r->tx, last, rows, ROWS, &rows_n, err);
        if (rc != PST_OK)
            return rc;
        for (size_t i = 0; i < rows_n; i++) {
            rc = render_object(r, &rows[i], &object, err);
            if (rc != PST_OK)
                return rc;
            if (!page_holds(p, &object, PST_FEED_PAGE))
                return PST_NOTYET;
            page_add(p, &object);
            *last = rows[i];
        }
    }
    return PST_OK;
}

int pst_feed_snapshot(struct pst_tx *tx, const struct pst_edge *edge, const char *after,
                      struct pst_buf *ret_json, struct pst_err *err)
{
    struct pst_feed_cursor head;
    struct pst_feed_row last;
    struct render r;
    struct page p;

    if (!parse_place(after, &last))
        return pst_fail(err, PST_EINPUT, "after: must be <kind>/<key> as the page before said it");
    int rc = pst_feed_head(tx, &head, err);
    if (rc == PST_OK)
        rc = begin(&r, &p, tx, edge, ret_json, err);
    if (rc != PST_OK)
        return rc;

    rc = fill_snapshot(&r, &p, &last, err);
    bool more = rc == PST_NOTYET;
    if (rc != PST_OK && !more) {
        pst_buf_cut(ret_json, p.start);
        return rc;
    }

    char next[sizeof last.kind + sizeof last.key + 1];
    snprintf(next, sizeof next, "%s/%s", last.kind, last.key);
    page_end(&p, &head);
    pst_buf_char(ret_json, ',');
    member_text(ret_json, "next", more ? next : NULL);
    pst_buf_char(ret_json, '}');
    return pst_buf_check(ret_json, "a page of the snapshot", err);
}
