/* One HTTP request per address family, and what its answer means. */
#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>

#include <postern/base.h>
#include <postern/crypto_mac.h>
#include <postern/http.h>
#include <postern/probe.h>

enum {
    ADDRESSES_MAX = 8,
    NONCE_LEN = 16,
    BODY_MAX = 64 * 1024, /* an answer of ours has 64 bytes, other people's pages are larger */
    SHOWN_MAX = 60,       /* of a body or header in the evidence */
};

PST_CLEANUP(struct pst_http, pst_http_free);
PST_CLEANUP(struct pst_http_response, pst_http_response_free);

struct probe {
    const struct pst_probe_opts *opts;
    struct pst_http *http;
    uint32_t timeout_ms; /* per address */
    char host[256];
    char nonce[2 * NONCE_LEN + 1];
    char expected[PST_SHA256_HEX_SIZE];
    char url[512];
};

/* ------------------------------------------------------------------ evidence */

static void add_shown(struct pst_buf *to, const char *what, const char *text, size_t len)
{
    if (!text)
        return;
    pst_buf_printf(to, ", %s \"", what);
    for (size_t i = 0; i < len && i < SHOWN_MAX; i++) {
        unsigned char c = (unsigned char)text[i];

        if (c >= ' ' && c < 127 && c != '"' && c != '\\')
            pst_buf_char(to, (char)c);
        else
            pst_buf_printf(to, "\\x%02x", (unsigned)c);
    }
    pst_buf_str(to, len > SHOWN_MAX ? "...\"" : "\"");
}

static void add_header(struct pst_buf *to, const struct pst_http_response *r, const char *name)
{
    const char *value = pst_http_header(r, name, 0);

    add_shown(to, name, value, value ? strlen(value) : 0);
}

static void add_evidence(struct pst_probe_answer *ret, const char *text)
{
    size_t len = strlen(ret->evidence);

    (void)snprintf(ret->evidence + len, sizeof ret->evidence - len, "%s%s", len ? "; " : "", text);
}

/* ------------------------------------------------------------------ one address */

static bool is_ours(const struct probe *p, const struct pst_http_response *r)
{
    size_t len = 0;
    const char *body = pst_http_body(r, &len);

    while (len > 0 && (body[len - 1] == '\n' || body[len - 1] == '\r'))
        len--;
    return pst_http_status(r) == 200 && len == PST_SHA256_HEX_SIZE - 1 &&
           pst_equal_ct(body, p->expected, len);
}

static enum pst_probe_result judge(const struct probe *p, const char *address,
                                   const struct pst_http_response *r, struct pst_probe_answer *ret)
{
    auto_buf struct pst_buf b = PST_BUF(1024);
    bool ours = is_ours(p, r);
    size_t len = 0;

    pst_buf_printf(&b, "%s %s", address, ours ? "led to an edge of this platform" : "answered");
    if (!ours) {
        const char *body = pst_http_body(r, &len);

        pst_buf_printf(&b, " %d", pst_http_status(r));
        add_shown(&b, "body", body, len);
    }
    add_header(&b, r, "Via");
    add_header(&b, r, "Server");
    add_evidence(ret, pst_buf_cstr(&b));
    return ours ? PST_PROBE_OURS : PST_PROBE_OTHER;
}

/* PST_OK with *ret_one, or a fault that is ours. */
static int probe_address(const struct probe *p, const char *address, struct pst_probe_answer *ret,
                         enum pst_probe_result *ret_one, struct pst_err *err)
{
    auto_(pst_http_response_free) struct pst_http_response *r = NULL;
    struct pst_err why = {0};
    char connect_to[64], text[480];
    bool v6 = strchr(address, ':') != NULL;

    (void)snprintf(connect_to, sizeof connect_to, "%s%.45s%s:%u", v6 ? "[" : "", address,
                   v6 ? "]" : "", (unsigned)(p->opts->port ? p->opts->port : 80));
    struct pst_http_request req = {.url = p->url,
                                   .timeout_ms = p->timeout_ms,
                                   .max_body = BODY_MAX,
                                   .connect_to = connect_to,
                                   .cancel = p->opts->cancel};
    int rc = pst_http_do(p->http, &req, &r, &why);
    if (rc == PST_OK) {
        *ret_one = judge(p, address, r, ret);
        if (ret->http_status == 0 || *ret_one == PST_PROBE_OTHER)
            ret->http_status = pst_http_status(r);
        return PST_OK;
    }
    if (rc != PST_REFUSED && rc != PST_ENET && rc != PST_EINPUT) {
        if (err)
            *err = why;
        return rc;
    }
    /* Whoever answers with too much, or with what is no HTTP, is there and is not us. */
    *ret_one = rc == PST_EINPUT ? PST_PROBE_OTHER : PST_PROBE_UNREACHABLE;
    (void)snprintf(text, sizeof text, "%.45s: %s", address, why.text);
    add_evidence(ret, text);
    return PST_OK;
}

/* ------------------------------------------------------------------ the probe */

static bool name_ok(const char *name)
{
    size_t len = name ? strlen(name) : 0;

    return len > 0 && len < 254 && name[0] != '.' &&
           strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._") == len;
}

/* Version 6 before 4: that is how a CA goes about it. */
static size_t choose(const char *const *addresses, size_t n, const char *ret[ADDRESSES_MAX])
{
    static const int families[2] = {AF_INET6, AF_INET};
    size_t chosen = 0;

    for (size_t f = 0; f < 2; f++) {
        for (size_t i = 0; i < n && chosen < ADDRESSES_MAX; i++) {
            unsigned char raw[16];

            if (addresses[i] && inet_pton(families[f], addresses[i], raw) == 1)
                ret[chosen++] = addresses[i];
        }
    }
    return chosen;
}

static int prepare(struct probe *p, const char *name, struct pst_err *err)
{
    struct pst_rand *rand = p->opts->rand ? p->opts->rand : pst_rand_system();
    unsigned char raw[NONCE_LEN];
    char message[300], port[8] = "";

    (void)pst_str_copy(p->host, sizeof p->host, name);
    pst_str_lower(p->host);
    pst_rand_fill(rand, raw, sizeof raw);
    pst_hex(p->nonce, raw, sizeof raw);
    int len = snprintf(message, sizeof message, "%s|%s", p->host, p->nonce);
    int rc = pst_hmac_sha256_hex(p->opts->key, PST_PROBE_KEY_LEN, message, (size_t)len, p->expected,
                                 err);
    if (rc != PST_OK)
        return rc;
    if (p->opts->port && p->opts->port != 80)
        (void)snprintf(port, sizeof port, ":%u", (unsigned)p->opts->port);
    (void)snprintf(p->url, sizeof p->url, "http://%s%s/.well-known/acme-challenge/postern-%s",
                   p->host, port, p->nonce);
    return PST_OK;
}

int pst_probe_http(const struct pst_probe_opts *opts, const char *name,
                   const char *const *addresses, size_t addresses_n, struct pst_probe_answer *ret,
                   struct pst_err *err)
{
    auto_(pst_http_free) struct pst_http *http = NULL;
    struct pst_probe_answer answer = {.result = PST_PROBE_UNREACHABLE};
    struct probe p = {.opts = opts};
    const char *chosen[ADDRESSES_MAX];
    size_t seen[3] = {0};

    if (!name_ok(name))
        return pst_fail(err, PST_REFUSED, "\"%.80s\" is not a host name to probe",
                        name ? name : "");
    size_t n = choose(addresses, addresses_n, chosen);
    if (n == 0)
        return pst_fail(err, PST_REFUSED, "there is no address at which %s could be probed", name);
    struct pst_http_opts http_opts = {.gate = opts->gate, .user_agent = opts->user_agent};
    int rc = pst_http_new(&http, &http_opts, err);
    if (rc == PST_OK)
        rc = prepare(&p, name, err);
    if (rc != PST_OK)
        return rc;
    p.http = http;
    p.timeout_ms = (opts->timeout_ms ? opts->timeout_ms : 10000) / (uint32_t)n;
    for (size_t i = 0; i < n; i++) {
        enum pst_probe_result one;

        rc = probe_address(&p, chosen[i], &answer, &one, err);
        if (rc != PST_OK)
            return rc;
        seen[one]++;
    }
    if (seen[PST_PROBE_OTHER] > 0)
        answer.result = PST_PROBE_OTHER;
    else if (seen[PST_PROBE_OURS] == addresses_n)
        answer.result = PST_PROBE_OURS;
    *ret = answer;
    return PST_OK;
}

const char *pst_probe_result_name(enum pst_probe_result r)
{
    static const char *const names[] = {
        [PST_PROBE_OURS] = "ours",
        [PST_PROBE_OTHER] = "other",
        [PST_PROBE_UNREACHABLE] = "unreachable",
    };

    return (size_t)r < PST_ARRAY_N(names) ? names[r] : "unknown";
}
