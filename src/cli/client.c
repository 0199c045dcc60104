/* client.c - requests to the server, and telling what went wrong with them. */
#include "cli_internal.h"

#include <stdlib.h>
#include <string.h>

#define DEFAULT_URL "http://127.0.0.1:8080"

enum {
    BODY_MAX = 64 * 1024 * 1024, /* the domains of a large app */
    SESSION_MS = 30 * 60 * 1000, /* half of what the server gives; --wait may take longer */
};

int cli_fail(int status, const char *fmt, ...)
{
    auto_buf struct pst_buf raw = PST_BUF(8192), clean = PST_BUF(32768);
    va_list ap;

    va_start(ap, fmt);
    pst_buf_vprintf(&raw, fmt, ap);
    va_end(ap);
    cli_clean(&clean, pst_buf_cstr(&raw));
    fprintf(stderr, "postern: %s\n", pst_buf_cstr(&clean));
    return status;
}

void cli_answer_deinit(struct cli_answer *a)
{
    pst_json_free(a->json);
    a->json = NULL;
}

const char *cli_encode(char *to, size_t to_size, const char *text)
{
    static const char plain[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~";
    size_t at = 0;

    for (; *text && at + 4 <= to_size; text++) {
        if (strchr(plain, *text))
            to[at++] = *text;
        else
            at += (size_t)snprintf(to + at, to_size - at, "%%%02X", (unsigned char)*text);
    }
    to[at] = '\0';
    return to;
}

/* ---- where the server is ---- */

static int read_url(struct cli *c, const char *url)
{
    struct pst_http_url parts;
    struct pst_err err = {0};

    if (!pst_str_copy(c->url, sizeof c->url, url))
        return cli_fail(PST_EXIT_USAGE, "the URL of the server is too long");
    for (size_t len = strlen(c->url); len && c->url[len - 1] == '/'; len--)
        c->url[len - 1] = '\0';
    if (pst_str_starts(c->url, "unix:")) {
        if (!pst_str_copy(c->socket, sizeof c->socket, c->url + strlen("unix:")) || !c->socket[0])
            return cli_fail(PST_EXIT_USAGE, "the path in %s is empty or too long", url);
        return PST_EXIT_OK;
    }
    if (pst_http_url_parse(c->url, &parts, &err) != PST_OK)
        return cli_fail(PST_EXIT_USAGE, "the URL of the server: %s", err.text);
    if (!parts.https && !parts.loopback)
        return cli_fail(PST_EXIT_USAGE,
                        "%s would send your token in clear text; use https, or a loopback address",
                        c->url);
    return PST_EXIT_OK;
}

int cli_find_server(struct cli *c)
{
    const char *given = c->flags[FLAG_URL];
    char stored[CLI_URL_MAX];
    struct pst_err err = {0};

    if (c->url[0])
        return PST_EXIT_OK;
    if (given)
        return read_url(c, given);
    int rc = cli_creds_url(stored, sizeof stored, &err);
    if (rc < 0 && rc != PST_ECONFIG)
        return cli_fail(PST_EXIT_FAILED, "%s", err.text);
    if (rc < 0)
        cli_fail(0, "%s", err.text);
    return read_url(c, rc == PST_OK && stored[0] ? stored : DEFAULT_URL);
}

/* ---- telling failures ---- */

static int tell_field(const char *field, const struct pst_json *texts, void *arg)
{
    (void)arg;
    for (size_t i = 0; i < pst_json_len(texts); i++) {
        const char *text = pst_json_text(pst_json_at(texts, i));
        if (text)
            /* "name is taken", but "tlskey: The key does not fit." */
            cli_fail(0, *text >= 'A' && *text <= 'Z' ? "%s: %s" : "%s %s", field, text);
    }
    return 0;
}

static int tell_refusal(const struct cli *c, const struct cli_answer *a)
{
    const struct pst_json *errors = pst_json_get(a->json, "errors");
    const char *resource = pst_json_get_text(a->json, "resource");
    const char *text = pst_json_get_text(a->json, "error");

    if (a->status == 401)
        return cli_fail(PST_EXIT_LOGIN, "%s (log in with: postern login --url %s)",
                        text ? text : "not logged in", c->url);
    if (pst_json_len(errors))
        pst_json_each(errors, tell_field, NULL);
    else if (resource)
        cli_fail(0, "the %s was not found", resource);
    else
        cli_fail(0, "%s (status %d)", text ? text : "the server refused", a->status);
    return PST_EXIT_FAILED;
}

/* ---- asking ---- */

static int make_client(struct cli *c)
{
    const char *ca = getenv("POSTERN_CA_FILE");
    struct pst_http_opts opts = {.ca_file = ca && *ca ? ca : NULL,
                                 .user_agent = "postern-cli/" PST_VERSION,
                                 .timeout_ms = 40000,
                                 .max_body = BODY_MAX};
    struct pst_err err = {0};

    if (c->http)
        return PST_EXIT_OK;
    if (pst_http_new(&c->http, &opts, &err) != PST_OK)
        return cli_fail(PST_EXIT_FAILED, "%s", err.text);
    return PST_EXIT_OK;
}

/* One exchange.  PST_EXIT_OK with any status. */
static int exchange_http(struct cli *c, struct pst_http_request *r, const char *path,
                         struct cli_answer *a)
{
    char url[CLI_URL_MAX + CLI_PATH_MAX];
    struct pst_http_response *response = NULL;
    struct pst_err err = {0};
    size_t len;

    cli_answer_deinit(a);
    int status = make_client(c);
    if (status != PST_EXIT_OK)
        return status;
    snprintf(url, sizeof url, "%s%s", c->socket[0] ? "http://localhost" : c->url, path);
    r->url = url;
    r->unix_socket = c->socket[0] ? c->socket : NULL;
    int rc = pst_http_do(c->http, r, &response, &err);
    if (rc != PST_OK)
        return cli_fail(PST_EXIT_UNREACHED, "%s", err.text);
    a->status = pst_http_status(response);
    const char *body = pst_http_body(response, &len);
    rc = len ? pst_json_parse(&a->json, body, len, &err) : PST_OK;
    pst_http_response_free(response);
    if (rc != PST_OK && a->status < 300)
        return cli_fail(PST_EXIT_FAILED, "the server's answer is not JSON: %s", err.text);
    return PST_EXIT_OK;
}

int cli_judge(const struct cli *c, const struct cli_answer *a)
{
    return a->status >= 200 && a->status < 300 ? PST_EXIT_OK : tell_refusal(c, a);
}

int cli_exchange(struct cli *c, const struct pst_secret *token)
{
    auto_buf_wipe struct pst_buf pair = PST_BUF(4096), basic = PST_BUF(8192);
    auto_answer struct cli_answer a = {0};

    pst_buf_char(&pair, ':');
    pst_buf_add(&pair, token->data, token->len);
    pst_buf_str(&basic, "Basic ");
    pst_b64_add(&basic, pair.data, pair.len);
    if (pst_buf_check(&pair, "the token", NULL) || pst_buf_check(&basic, "the token", NULL))
        return cli_fail(PST_EXIT_USAGE, "the token is too long");
    const struct pst_http_header headers[] = {{"Authorization", pst_buf_cstr(&basic)},
                                              {"Content-Type", "application/json"}};
    struct pst_http_request r = {
        .method = "POST", .headers = headers, .headers_n = 2, .body = "{}", .body_len = 2};
    int status = exchange_http(c, &r, "/v1/tokens/exchange", &a);
    if (status == PST_EXIT_OK)
        status = cli_judge(c, &a);
    if (status != PST_EXIT_OK)
        return status;
    const char *session = pst_json_get_text(a.json, "token");
    if (!session || pst_secret_set(&c->session, session, strlen(session), NULL) != PST_OK)
        return cli_fail(PST_EXIT_FAILED, "the server gave no session token");
    c->session_ms = pst_mono_ms(pst_clock_system());
    return PST_EXIT_OK;
}

static int ensure_session(struct cli *c)
{
    auto_secret struct pst_secret token = {0};
    struct pst_err err = {0};

    int status = cli_find_server(c);
    bool fresh = pst_mono_ms(pst_clock_system()) - c->session_ms < SESSION_MS;
    if (status != PST_EXIT_OK || (c->session.len && fresh))
        return status;
    int rc = cli_creds_token(c->url, &token, &err);
    if (rc < 0)
        return cli_fail(PST_EXIT_LOGIN, "%s", err.text);
    if (rc != PST_OK)
        return cli_fail(PST_EXIT_LOGIN, "not logged in at %s (log in with: postern login --url %s)",
                        c->url, c->url);
    return cli_exchange(c, &token);
}

int cli_ask(struct cli *c, const char *method, const struct pst_json *body, struct cli_answer *a,
            const char *fmt, ...)
{
    auto_buf struct pst_buf path = PST_BUF(CLI_PATH_MAX);
    auto_buf_wipe struct pst_buf text = PST_BUF(4 * CLI_UPLOAD_MAX); /* may hold a key */
    static const struct pst_http_header headers[] = {{"Content-Type", "application/json"},
                                                     {"Accept", "application/json"}};
    va_list ap;

    int status = ensure_session(c);
    if (status != PST_EXIT_OK)
        return status;
    va_start(ap, fmt);
    pst_buf_vprintf(&path, fmt, ap);
    va_end(ap);
    if (pst_buf_check(&path, "the request", NULL) ||
        (body && pst_json_write(body, &text, NULL) != PST_OK))
        return cli_fail(PST_EXIT_FAILED, "the request is too long");
    struct pst_http_request r = {.method = method,
                                 .headers = headers,
                                 .headers_n = PST_ARRAY_N(headers),
                                 .body = text.data,
                                 .body_len = text.len,
                                 .bearer = &c->session};
    status = exchange_http(c, &r, pst_buf_cstr(&path), a);
    return status == PST_EXIT_OK ? cli_judge(c, a) : status;
}

/* The path in `<URL>; rel="next"`. */
static void take_link(const struct pst_http_response *response, char to[CLI_PATH_MAX])
{
    const char *link = pst_http_header(response, "Link", 0);
    const char *from = link ? strstr(link, "/v1/") : NULL;
    size_t len = from ? strcspn(from, ">") : 0;

    to[0] = '\0';
    if (!from || len >= CLI_PATH_MAX || !strstr(from + len, "rel=\"next\""))
        return;
    memcpy(to, from, len);
    to[len] = '\0';
}

static int read_call(struct cli_call *call, const struct pst_http_response *response,
                     struct cli_answer *a)
{
    struct pst_err err = {0};
    size_t len;
    const char *body = pst_http_body(response, &len);

    a->status = pst_http_status(response);
    take_link(response, call->next);
    if (call->ret && a->status < 300) {
        pst_buf_add(call->ret, body, len);
        return pst_buf_check(call->ret, "an answer", &err) == PST_OK
                   ? PST_EXIT_OK
                   : cli_fail(PST_EXIT_FAILED, "%s", err.text);
    }
    if (len && pst_json_parse(&a->json, body, len, &err) != PST_OK && a->status < 300)
        return cli_fail(PST_EXIT_FAILED, "the server's answer is not JSON: %s", err.text);
    return PST_EXIT_OK;
}

int cli_call(struct cli *c, struct cli_call *call, struct cli_answer *a, const char *fmt, ...)
{
    static const struct pst_http_header headers[] = {{"Content-Type", "application/x-ndjson"},
                                                     {"Accept", "application/json"}};
    auto_buf struct pst_buf path = PST_BUF(CLI_PATH_MAX - 1);
    char url[CLI_URL_MAX + CLI_PATH_MAX];
    struct pst_http_response *response = NULL;
    struct pst_err err = {0};
    va_list ap;

    cli_answer_deinit(a);
    a->status = 0;
    int status = ensure_session(c);
    if (status == PST_EXIT_OK)
        status = make_client(c);
    if (status != PST_EXIT_OK)
        return status;
    va_start(ap, fmt);
    pst_buf_vprintf(&path, fmt, ap);
    va_end(ap);
    snprintf(url, sizeof url, "%s%s", c->socket[0] ? "http://localhost" : c->url,
             pst_buf_cstr(&path));
    struct pst_http_request r = {.method = call->method,
                                 .url = url,
                                 .unix_socket = c->socket[0] ? c->socket : NULL,
                                 .headers = headers,
                                 .headers_n = PST_ARRAY_N(headers),
                                 .body = call->body,
                                 .body_len = call->body_len,
                                 .cancel = call->cancel,
                                 .bearer = &c->session};
    if (pst_http_do(c->http, &r, &response, &err) != PST_OK) {
        pst_str_cut(call->why, sizeof call->why, err.text);
        return PST_EXIT_UNREACHED;
    }
    status = read_call(call, response, a);
    pst_http_response_free(response);
    return status;
}

int cli_ask_anonymous(struct cli *c, const char *path, struct cli_answer *a)
{
    struct pst_http_request r = {0};

    int status = cli_find_server(c);
    if (status == PST_EXIT_OK)
        status = exchange_http(c, &r, path, a);
    return status == PST_EXIT_OK ? cli_judge(c, a) : status;
}

bool cli_print_json(const struct cli *c, const struct pst_json *json)
{
    auto_buf struct pst_buf text = PST_BUF(2 * BODY_MAX);

    if (!c->json)
        return false;
    if (!json)
        printf("{}\n");
    else if (pst_json_write_pretty(json, &text, NULL) == PST_OK)
        fputs(pst_buf_cstr(&text), stdout);
    return true;
}
