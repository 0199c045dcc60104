/* control.c - requests to the control plane. */
#include <inttypes.h>
#include <string.h>

#include "edge_internal.h"

enum {
    REQUEST_MS = 15000,
    SNAPSHOT_MS = 60000, /* a page of a large snapshot takes the database a while */
    ANSWER_MAX = 64 * 1024,
    URL_MAX = 4096,
};

PST_CLEANUP(struct pst_http_response, pst_http_response_free);

int pst_edged_control_init(struct pst_edged_control *c, const char *url, const char *ca_file,
                           const atomic_bool *cancel, struct pst_err *err)
{
    const struct pst_http_opts opts = {
        .ca_file = ca_file && *ca_file ? ca_file : NULL,
        .timeout_ms = REQUEST_MS,
        .connect_timeout_ms = 5000,
        .max_body = PST_EDGED_PAGE_MAX,
        .idle_max = 2,
    };
    bool unix_socket = pst_str_starts(url, "unix:");
    struct pst_http_url parsed;

    *c = (struct pst_edged_control){.cancel = cancel};
    c->base = pst_strdup(unix_socket ? "http://localhost" : url);
    c->unix_socket = unix_socket ? pst_strdup(url + strlen("unix:")) : NULL;
    if (!c->base || (unix_socket && !c->unix_socket)) {
        pst_edged_control_deinit(c);
        return pst_fail_nomem(err, "the control plane's address");
    }

    int rc = pst_http_url_parse(c->base, &parsed, err);
    if (rc == PST_EINPUT)
        rc = pst_fail(err, PST_ECONFIG,
                      "control.url must be unix: with the path of a socket, or an http:// or "
                      "https:// URL");
    else if (rc == PST_OK && !parsed.https && !parsed.loopback)
        rc = pst_fail(err, PST_ECONFIG,
                      "control.url is plain HTTP to %s, and private keys come that way: use "
                      "https://, or a loopback address",
                      parsed.host);
    if (rc == PST_OK)
        rc = pst_http_new(&c->http, &opts, err);
    if (rc != PST_OK) {
        pst_edged_control_deinit(c);
        return rc;
    }
    for (size_t len = strlen(c->base); len > 0 && c->base[len - 1] == '/'; len--)
        c->base[len - 1] = '\0';
    return PST_OK;
}

void pst_edged_control_deinit(struct pst_edged_control *c)
{
    pst_http_free(c->http);
    pst_free(c->base);
    pst_free(c->unix_socket);
    *c = (struct pst_edged_control){0};
}

/* What the control plane said about a refusal: {"error":"..."}, if it is that. */
static int fail_status(const struct pst_http_response *r, const char *what, struct pst_err *err)
{
    auto_(pst_json_free) struct pst_json *j = NULL;
    int status = pst_http_status(r);
    size_t len;
    const char *body = pst_http_body(r, &len);

    if (len <= ANSWER_MAX)
        (void)pst_json_parse(&j, body, len, NULL);
    const char *said = pst_json_get_text(j, "error");
    if (status == 401 || status == 403)
        return pst_fail(err, PST_EREMOTE,
                        "%s: the control plane does not know this edge (any more): remove its "
                        "file \"edge\" in keys.dir and enrol it again (status %d)",
                        what, status);
    return pst_fail(err, PST_EREMOTE, "%s: the control plane answered with status %d%s%.200s", what,
                    status, said ? ": " : "", said ? said : "");
}

/* ---- enrolment ---- */

struct enrolled {
    const char *edge, *token;
};

static const struct pst_json_field enrolled_fields[] = {
    PST_JSON_FIELD(struct enrolled, edge, "edge", TEXT, 0, PST_EDGED_ID_SIZE - 1),
    PST_JSON_FIELD(struct enrolled, token, "token", TEXT, 0, 400),
};

/* Printable and without blanks, so that it fits into a file and a header. */
static bool is_word(const char *s)
{
    if (!*s)
        return false;
    for (; *s; s++)
        if (*s <= ' ' || *s > '~')
            return false;
    return true;
}

static int write_enrolment(const struct pst_edged_enrolment *e, struct pst_buf *to,
                           struct pst_err *err)
{
    pst_buf_str(to, "{\"token\":");
    pst_json_quote(to, (const char *)e->token->data);
    pst_buf_str(to, ",\"name\":");
    pst_json_quote(to, e->name);
    pst_buf_str(to, ",\"public_key\":\"");
    pst_b64_add(to, e->public_key, 32);
    pst_buf_str(to, "\",\"probe_address\":");
    pst_json_quote(to, e->probe_address);
    pst_buf_char(to, '}');
    return pst_buf_check(to, "the enrolment", err);
}

static int read_enrolled(const struct pst_http_response *r, char ret_id[PST_EDGED_ID_SIZE],
                         struct pst_secret *ret_token, struct pst_err *err)
{
    auto_(pst_json_free) struct pst_json *j = NULL;
    struct enrolled answer;
    size_t len;
    const char *body = pst_http_body(r, &len);

    int rc = pst_json_parse(&j, body, len, err);
    if (rc == PST_OK)
        rc = pst_json_decode(j, enrolled_fields, PST_ARRAY_N(enrolled_fields), &answer,
                             PST_JSON_IGNORE, err);
    if (rc == PST_OK && (!is_word(answer.edge) || !is_word(answer.token)))
        rc = pst_fail(err, PST_EINPUT, "edge and token must be words");
    if (rc != PST_OK)
        return pst_wrap(err, "the answer to the enrolment");
    rc = pst_secret_set(ret_token, answer.token, strlen(answer.token), err);
    if (rc == PST_OK)
        pst_str_copy(ret_id, PST_EDGED_ID_SIZE, answer.edge);
    return rc;
}

int pst_edged_control_enrol(struct pst_edged_control *c, const struct pst_edged_enrolment *e,
                            char ret_id[PST_EDGED_ID_SIZE], struct pst_secret *ret_token,
                            struct pst_err *err)
{
    static const struct pst_http_header json = {"Content-Type", "application/json"};
    auto_buf_wipe struct pst_buf body = PST_BUF(4096);
    auto_(pst_http_response_free) struct pst_http_response *r = NULL;
    auto_(pst_free) char *url = pst_asprintf("%s/edge/v1/enrol", c->base);

    if (!url)
        return pst_fail_nomem(err, "a URL");
    int rc = write_enrolment(e, &body, err);
    if (rc != PST_OK)
        return rc;

    const struct pst_http_request req = {
        .method = "POST",
        .url = url,
        .headers = &json,
        .headers_n = 1,
        .body = body.data,
        .body_len = body.len,
        .max_body = ANSWER_MAX,
        .unix_socket = c->unix_socket,
        .cancel = c->cancel,
    };
    rc = pst_http_do(c->http, &req, &r, err);
    if (rc != PST_OK)
        return rc > 0 ? pst_unexpected(err, rc, "enrolling") : pst_wrap(err, "enrolling");
    if (pst_http_status(r) == 401 || pst_http_status(r) == 403 || pst_http_status(r) == 404)
        return pst_fail(err, PST_REFUSED,
                        "the one-time token was refused: it is unknown, used or too old; make a "
                        "new one with the control plane");
    if (pst_http_status(r) != 201)
        return fail_status(r, "enrolling", err);
    return read_enrolled(r, ret_id, ret_token, err);
}

/* ---- pages ---- */

struct page_fields {
    const char *epoch, *id, *next;
    int64_t rev;
    bool more;
    const struct pst_json *objects;
};

#define PAGE_FIELDS                                                                                \
    PST_JSON_FIELD(struct page_fields, epoch, "epoch", TEXT, 0, PST_EDGED_WORD_SIZE - 1),          \
        PST_JSON_FIELD(struct page_fields, rev, "rev", INT, 0, INT64_MAX),                         \
        PST_JSON_FIELD(struct page_fields, id, "id", TEXT, 0, PST_EDGED_WORD_SIZE - 1),            \
        PST_JSON_FIELD(struct page_fields, objects, "objects", ARRAY, 0, 0)

static const struct pst_json_field changes_fields[] = {
    PAGE_FIELDS,
    PST_JSON_FIELD(struct page_fields, more, "more", BOOL, 0, 0),
};
static const struct pst_json_field snapshot_fields[] = {
    PAGE_FIELDS,
    PST_JSON_FIELD(struct page_fields, next, "next", TEXT, PST_JSON_NULLABLE,
                   PST_EDGED_PLACE_SIZE - 1),
};

void pst_edged_page_deinit(struct pst_edged_page *p)
{
    pst_json_free(p->root);
    *p = (struct pst_edged_page){0};
}

/* Epochs and ids go into URLs: letters, digits and `-._` only. */
static bool is_plain(const char *s)
{
    return *s &&
           s[strspn(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._")] ==
               '\0';
}

static int64_t server_time(const struct pst_http_response *r)
{
    const char *date = pst_http_header(r, "Date", 0);
    int64_t at;

    return date && pst_http_date_parse(date, &at) ? at : 0;
}

static int read_page(const struct pst_http_response *r, const struct pst_json_field *fields,
                     size_t fields_n, struct pst_edged_page *ret, struct pst_err *err)
{
    auto_(pst_json_free) struct pst_json *j = NULL;
    struct page_fields f = {0};
    size_t len;
    const char *body = pst_http_body(r, &len);

    int rc = pst_json_parse(&j, body, len, err);
    if (rc == PST_OK)
        rc = pst_json_decode(j, fields, fields_n, &f, PST_JSON_IGNORE, err);
    if (rc == PST_OK && (!is_plain(f.epoch) || !is_plain(f.id)))
        rc = pst_fail(err, PST_EINPUT, "epoch and id must be letters and digits");
    if (rc != PST_OK)
        return rc;

    *ret = (struct pst_edged_page){
        .at.rev = f.rev, .objects = f.objects, .more = f.more, .server_at = server_time(r)};
    pst_str_copy(ret->at.epoch, sizeof ret->at.epoch, f.epoch);
    pst_str_copy(ret->at.id, sizeof ret->at.id, f.id);
    pst_str_copy(ret->next, sizeof ret->next, f.next ? f.next : "");
    ret->root = pst_take(&j);
    return PST_OK;
}

/* For a URL's query. */
static void add_escaped(struct pst_buf *to, const char *s)
{
    static const char plain[] =
        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._~";

    for (; *s; s++) {
        if (strchr(plain, *s))
            pst_buf_char(to, *s);
        else
            pst_buf_printf(to, "%%%02X", (unsigned char)*s);
    }
}

static int get(struct pst_edged_control *c, const struct pst_secret *bearer,
               const struct pst_buf *url, uint32_t timeout_ms, struct pst_http_response **ret,
               struct pst_err *err)
{
    int rc = pst_buf_check(url, "a URL", err);
    if (rc != PST_OK)
        return rc;

    const struct pst_http_request req = {
        .method = "GET",
        .url = url->data,
        .timeout_ms = timeout_ms,
        .bearer = bearer,
        .unix_socket = c->unix_socket,
        .cancel = c->cancel,
    };
    rc = pst_http_do(c->http, &req, ret, err);
    return rc > 0 ? pst_unexpected(err, rc, "asking the control plane") : rc;
}

int pst_edged_control_snapshot(struct pst_edged_control *c, const struct pst_secret *bearer,
                               const char *after, struct pst_edged_page *ret, struct pst_err *err)
{
    auto_(pst_http_response_free) struct pst_http_response *r = NULL;
    auto_buf struct pst_buf url = PST_BUF(URL_MAX);

    pst_buf_printf(&url, "%s/edge/v1/snapshot?after=", c->base);
    add_escaped(&url, after);
    int rc = get(c, bearer, &url, SNAPSHOT_MS, &r, err);
    if (rc == PST_OK && pst_http_status(r) != 200)
        rc = fail_status(r, "snapshot", err);
    else if (rc == PST_OK)
        rc = read_page(r, snapshot_fields, PST_ARRAY_N(snapshot_fields), ret, err);
    return rc < 0 ? pst_wrap(err, "a page of the snapshot") : rc;
}

int pst_edged_control_changes(struct pst_edged_control *c, const struct pst_secret *bearer,
                              const struct pst_edged_cursor *from, unsigned wait_s, bool joining,
                              struct pst_edged_page *ret, struct pst_err *err)
{
    auto_(pst_http_response_free) struct pst_http_response *r = NULL;
    auto_buf struct pst_buf url = PST_BUF(URL_MAX);

    pst_buf_printf(&url, "%s/edge/v1/changes?epoch=", c->base);
    add_escaped(&url, from->epoch);
    pst_buf_printf(&url, "&rev=%" PRId64 "&id=", from->rev);
    add_escaped(&url, from->id);
    pst_buf_printf(&url, "&wait=%u%s", wait_s, joining ? "&joining=1" : "");
    int rc = get(c, bearer, &url, REQUEST_MS + wait_s * 1000, &r, err);
    if (rc == PST_OK && pst_http_status(r) == 410)
        return PST_NOTFOUND;
    if (rc == PST_OK && pst_http_status(r) != 200)
        rc = fail_status(r, "changes", err);
    else if (rc == PST_OK)
        rc = read_page(r, changes_fields, PST_ARRAY_N(changes_fields), ret, err);
    if (rc == PST_OK && (!pst_streq(ret->at.epoch, from->epoch) || ret->at.rev < from->rev ||
                         (ret->at.rev == from->rev && pst_json_len(ret->objects) > 0))) {
        pst_edged_page_deinit(ret);
        rc = pst_fail(err, PST_EINPUT, "it does not follow on revision %" PRId64, from->rev);
    }
    return rc < 0 ? pst_wrap(err, "a page of changes") : rc;
}
