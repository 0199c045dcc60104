/* url.c - reading URLs with the parser that the requests use. */
#include <arpa/inet.h>
#include <postern/err.h>
#include <postern/text.h>
#include <string.h>

#include "http_internal.h"

static bool is_loopback(const char *host)
{
    struct in_addr v4;
    struct in6_addr v6;

    if (pst_streq(host, "localhost"))
        return true;
    if (inet_pton(AF_INET, host, &v4) == 1)
        return ntohl(v4.s_addr) >> 24 == 127;
    return inet_pton(AF_INET6, host, &v6) == 1 && IN6_IS_ADDR_LOOPBACK(&v6);
}

/* Printable ASCII only: everything else must be percent-encoded (RFC 3986 section 2). */
static bool has_foreign_bytes(const char *s)
{
    for (; *s; s++)
        if (*s <= ' ' || *s > '~' || *s == '\\')
            return true;
    return false;
}

static int take_host(CURLU *u, struct pst_http_url *to, struct pst_err *err)
{
    char *host = NULL;

    if (curl_url_get(u, CURLUPART_ZONEID, &host, 0) == CURLUE_OK) {
        curl_free(host);
        return pst_fail(err, PST_EINPUT, "a URL with a zone in its address");
    }
    if (curl_url_get(u, CURLUPART_HOST, &host, 0))
        return pst_fail(err, PST_EINPUT, "a URL without a host");

    /* IPv6 hosts come in brackets. */
    size_t len = strlen(host);
    bool bracket = len > 2 && host[0] == '[';
    if (bracket)
        host[len - 1] = '\0';
    bool fits = pst_str_copy(to->host, sizeof to->host, host + bracket);
    curl_free(host);

    if (!fits || !to->host[0] || strchr(to->host, '%'))
        return pst_fail(err, PST_EINPUT, "a URL whose host is too long or not a plain name");
    pst_str_lower(to->host);
    to->loopback = is_loopback(to->host);
    return PST_OK;
}

static int take_port(CURLU *u, struct pst_http_url *to, struct pst_err *err)
{
    char *port = NULL;
    int64_t n = 0;

    if (curl_url_get(u, CURLUPART_PORT, &port, CURLU_DEFAULT_PORT))
        return pst_fail(err, PST_EINPUT, "a URL without a usable port");
    bool ok = pst_parse_i64(port, 1, 65535, &n);
    curl_free(port);
    if (!ok)
        return pst_fail(err, PST_EINPUT, "a URL whose port is not within 1 and 65535");
    to->port = (uint16_t)n;
    return PST_OK;
}

int pst_http_url_parse(const char *url, struct pst_http_url *ret, struct pst_err *err)
{
    struct pst_http_url out = {0};

    if (!url || !url[0])
        return pst_fail(err, PST_EINPUT, "an empty URL");
    if (strlen(url) > PST_HTTP_URL_MAX)
        return pst_fail(err, PST_EINPUT, "a URL of more than %d bytes", PST_HTTP_URL_MAX);
    if (strncasecmp(url, "https:///", 9) == 0 || strncasecmp(url, "http:///", 8) == 0)
        return pst_fail(err, PST_EINPUT, "a URL without a host"); /* libcurl would take the path */
    if (has_foreign_bytes(url))
        return pst_fail(err, PST_EINPUT,
                        "a URL with blanks, control characters or bytes outside ASCII");
    if (strncasecmp(url, "https://", 8) == 0)
        out.https = true;
    else if (strncasecmp(url, "http://", 7) != 0)
        return pst_fail(err, PST_EINPUT, "a URL that begins neither with https:// nor http://");

    auto_(curl_url_cleanup) CURLU *u = curl_url();
    if (!u)
        return pst_fail_nomem(err, "a URL");
    CURLUcode code = curl_url_set(u, CURLUPART_URL, url, CURLU_DISALLOW_USER);
    if (code == CURLUE_OUT_OF_MEMORY)
        return pst_fail_nomem(err, "a URL");
    if (code == CURLUE_USER_NOT_ALLOWED)
        return pst_fail(err, PST_EINPUT, "a URL with user information in it");
    if (code)
        return pst_fail(err, PST_EINPUT, "a URL that is not well formed: %s",
                        curl_url_strerror(code));
    if (strchr(url, '#'))
        return pst_fail(err, PST_EINPUT, "a URL with a fragment (#)");

    int rc = take_host(u, &out, err);
    if (!rc)
        rc = take_port(u, &out, err);
    if (!rc)
        *ret = out;
    return rc;
}

/* Split "host:port" or "[host]:port" and try the host as an address. */
bool pst_http_address_ok(const char *s)
{
    char host[64];
    int64_t port;
    unsigned char addr[16];
    const char *colon = strrchr(s, ':');

    if (!colon || (size_t)(colon - s) >= sizeof host || !pst_parse_i64(colon + 1, 1, 65535, &port))
        return false;
    memcpy(host, s, (size_t)(colon - s));
    host[colon - s] = '\0';

    size_t len = strlen(host);
    if (len > 2 && host[0] == '[' && host[len - 1] == ']') {
        host[len - 1] = '\0';
        return inet_pton(AF_INET6, host + 1, addr) == 1;
    }
    return inet_pton(AF_INET, host, addr) == 1;
}
