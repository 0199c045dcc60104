/* conf_forms.c - what texts and the items of lists must look like.  One row for each form. */
#include <arpa/inet.h>
#include <string.h>

#include <postern/buf.h>
#include <postern/err.h>
#include <postern/log.h>
#include <postern/name.h>
#include <postern/text.h>

#include "conf_internal.h"

static const char one_of[] = "one of ";

static bool is_any(const char *s)
{
    (void)s;
    return true;
}

static bool is_path(const char *s)
{
    return s[0] == '/';
}

static bool is_address(const char *s)
{
    unsigned char address[16];

    return inet_pton(AF_INET, s, address) == 1 || inet_pton(AF_INET6, s, address) == 1;
}

/* 192.0.2.0/24, 2001:db8::/32, or one address.  Bits behind the prefix must be 0: they would be
 * ignored, and the writer meant something else. */
static bool is_network(const char *s)
{
    unsigned char address[16];
    char text[64];
    const char *slash = strchr(s, '/');
    int64_t prefix;

    if (!slash)
        return is_address(s);
    size_t len = (size_t)(slash - s);
    if (len >= sizeof text)
        return false;
    memcpy(text, s, len);
    text[len] = '\0';

    int bits = inet_pton(AF_INET, text, address) == 1    ? 32
               : inet_pton(AF_INET6, text, address) == 1 ? 128
                                                         : 0;
    if (bits == 0 || !pst_parse_i64(slash + 1, 0, bits, &prefix))
        return false;
    for (int i = (int)prefix; i < bits; i++) {
        if (address[i / 8] >> (7 - i % 8) & 1)
            return false;
    }
    return true;
}

static bool is_name(const char *s)
{
    char ascii[PST_NAME_SIZE];

    return pst_name_parse(s, PST_NAME_ANY_TLD, ascii, NULL) == PST_OK && strcmp(ascii, s) == 0;
}

static bool is_label(const char *s)
{
    size_t len = strlen(s);

    return len <= 63 && s[0] != '-' && s[len - 1] != '-' &&
           s[strspn(s, "abcdefghijklmnopqrstuvwxyz0123456789-")] == '\0';
}

/* host:port or [IPv6]:port; the host in `ret_host`. */
static bool split_port(const char *s, char ret_host[PST_NAME_SIZE])
{
    const char *colon = strrchr(s, ':');
    int64_t port;

    if (!colon || !pst_parse_i64(colon + 1, 1, 65535, &port))
        return false;
    size_t len = (size_t)(colon - s);
    bool brackets = len > 2 && s[0] == '[' && s[len - 1] == ']';
    if (brackets) {
        s++;
        len -= 2;
    }
    if (len == 0 || len >= PST_NAME_SIZE)
        return false;
    memcpy(ret_host, s, len);
    ret_host[len] = '\0';
    /* Colons in the host: exactly then it is an IPv6 address and wants the brackets. */
    return brackets == (strchr(ret_host, ':') != NULL);
}

static bool is_host_port(const char *s)
{
    char host[PST_NAME_SIZE];

    return split_port(s, host) &&
           (is_address(host) || is_name(host) || strcmp(host, "localhost") == 0);
}

static bool is_unix(const char *s)
{
    /* sun_path has 108 bytes with the NUL. */
    return pst_str_starts(s, "unix:/") && strlen(s) - strlen("unix:") < 108;
}

static bool is_listen(const char *s)
{
    char host[PST_NAME_SIZE];

    return is_unix(s) || (split_port(s, host) && is_address(host));
}

static bool is_address_port(const char *s)
{
    char host[PST_NAME_SIZE];

    return split_port(s, host) && is_address(host);
}

/* The value of an issue property (RFC 8659 section 4.2), without its parameters. */
static bool is_issuer(const char *s)
{
    return strcmp(s, ";") == 0 || is_name(s);
}

static bool is_url(const char *s)
{
    size_t scheme = pst_str_starts(s, "https://") ? 8 : pst_str_starts(s, "http://") ? 7 : 0;

    if (scheme == 0 || !s[scheme] || strchr("/?#:@", s[scheme]))
        return false;
    for (; *s; s++) {
        if (*s <= ' ' || *s > '~' || strchr("\"<>\\^`{|}", *s))
            return false;
    }
    return true;
}

static bool is_control(const char *s)
{
    return is_unix(s) || is_url(s);
}

static bool is_database(const char *s)
{
    return pst_str_starts(s, "sqlite:/") || pst_str_starts(s, "postgresql://");
}

static bool is_mail(const char *s)
{
    const char *at = strchr(s, '@');

    if (!at || at == s || strchr(at + 1, '@') || !is_name(at + 1))
        return false;
    for (; *s; s++) {
        if (*s <= ' ' || *s > '~' || strchr("\"<>,:;\\?&", *s))
            return false;
    }
    return true;
}

static bool is_log_levels(const char *s)
{
    return pst_log_check_levels(s, NULL) == PST_OK;
}

static const struct {
    const char *name;
    bool (*fits)(const char *s);
    const char *must_be;
} forms[] = {
    {"text", is_any, "a text"},
    {"path", is_path, "an absolute path, such as /etc/postern/file"},
    {"address", is_address, "an IP address, such as 192.0.2.1 or 2001:db8::1"},
    {"network", is_network,
     "a network without bits behind its prefix, such as 192.0.2.0/24 or 2001:db8::/32"},
    {"name", is_name, "a DNS name in lower case without a dot at its end"},
    {"label", is_label, "lower-case letters, digits and inner hyphens"},
    {"host:port", is_host_port, "a host with a port, such as 192.0.2.1:53 or [2001:db8::1]:53"},
    {"listen", is_listen, "address:port, such as 127.0.0.1:8080, or unix: with an absolute path"},
    {"address:port", is_address_port,
     "an IP address with a port, such as 192.0.2.1:53 or [2001:db8::1]:53"},
    {"issuer", is_issuer, "the name of a CA, such as letsencrypt.org, or a lone ;"},
    {"url", is_url, "a URL that begins with https:// or http://"},
    {"control", is_control, "unix: with an absolute path, or a URL with https:// or http://"},
    {"database", is_database, "sqlite: with an absolute path, or postgresql://..."},
    {"mail", is_mail, "a mail address, such as ops@example.com"},
    {"log levels", is_log_levels,
     "error, warn, info or debug, then group=level as often as wanted, separated by commas"},
};

/* Is `word` among the blank-separated `words`? */
static bool among(const char *words, const char *word)
{
    size_t len = strlen(word);

    for (; *words; words += strspn(words, " ")) {
        size_t n = strcspn(words, " ");
        if (n == len && memcmp(words, word, n) == 0)
            return true;
        words += n;
    }
    return false;
}

int pst_conf_form_check(const char *form, const char *text, struct pst_err *err)
{
    if (pst_str_starts(form, one_of)) {
        const char *words = form + strlen(one_of);
        return among(words, text) ? PST_OK
                                  : pst_fail(err, PST_ECONFIG, "must be one of: %s", words);
    }
    for (size_t i = 0; i < PST_ARRAY_N(forms); i++) {
        if (strcmp(forms[i].name, form) == 0)
            return forms[i].fits(text) ? PST_OK
                                       : pst_fail(err, PST_ECONFIG, "must be %s", forms[i].must_be);
    }
    return pst_fail(err, PST_EINTERNAL, "form \"%s\" is not in the table", form);
}

bool pst_conf_form_known(const char *form)
{
    for (size_t i = 0; i < PST_ARRAY_N(forms); i++) {
        if (strcmp(forms[i].name, form) == 0)
            return true;
    }
    return pst_str_starts(form, one_of);
}

void pst_conf_form_name(const struct pst_conf_key *key, struct pst_buf *to)
{
    if (key->type == PST_CONF_TYPE_BOOL) {
        pst_buf_str(to, "true | false");
    } else if (pst_str_starts(key->form, one_of)) {
        for (const char *s = key->form + strlen(one_of); *s; s++)
            pst_buf_str(to, *s == ' ' ? " | " : (char[]){*s, '\0'});
    } else {
        pst_buf_str(to, *key->form ? key->form : "number");
        if (key->type == PST_CONF_TYPE_LIST)
            pst_buf_str(to, ", ...");
    }
}
