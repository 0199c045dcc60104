/* verbs_cert.c - a customer's own certificate: uploading it, and requests whose key stays at the
 * server, and certificates that are kept for domains added later. */
#include "cli_internal.h"

#include <stdio.h>
#include <string.h>

#include <postern/crypto_read.h>
#include <postern/crypto_x509.h>

enum { PART_SIZE = 1024 };

/* The files that scalingo takes when none are named. */
#define DEFAULT_CERT "domain.crt"
#define DEFAULT_KEY  "domain.key"

const char *cli_given(const struct cli *c, enum cli_flag flag)
{
    return c->flags[flag] && *c->flags[flag] ? c->flags[flag] : NULL;
}

/* ---- files ---- */

int cli_read_upload(const char *path, struct pst_buf *to)
{
    struct pst_err err = {0};

    int rc = pst_io_read_file(path, to, &err);
    if (rc == PST_NOTFOUND)
        return cli_fail(PST_EXIT_USAGE, "there is no file %s", path);
    if (rc != PST_OK)
        return cli_fail(PST_EXIT_USAGE, "%s: %s", path, err.text);
    return PST_EXIT_OK;
}

/* JSON holds text only: DER goes as PEM, and the server looks at what is in it, not at the label.
 */
static bool is_der(const struct pst_buf *file)
{
    return file->len > 1 && file->data[0] == 0x30 && (unsigned char)file->data[1] >= 0x80;
}

static int add_file(struct pst_json *to, const char *member, const char *path, const char *label)
{
    auto_buf_wipe struct pst_buf file = PST_BUF(CLI_UPLOAD_MAX), text = PST_BUF(2 * CLI_UPLOAD_MAX);

    int status = cli_read_upload(path, &file);
    if (status != PST_EXIT_OK)
        return status;
    if (is_der(&file))
        pst_pem_write(file.data, file.len, label, &text);
    else
        pst_buf_add(&text, file.data, file.len);
    if (pst_buf_check(&text, path, NULL) != PST_OK ||
        !pst_json_set_text(to, member, pst_buf_cstr(&text)))
        return cli_fail(PST_EXIT_FAILED, "no memory");
    return PST_EXIT_OK;
}

int cli_add_upload(struct cli *c, const char *cert, const char *key, struct pst_json *to)
{
    const char *passphrase = cli_passphrase(c);
    int status = PST_EXIT_OK;

    if (cert)
        status = add_file(to, "tlscert", cert, "CERTIFICATE");
    if (status == PST_EXIT_OK && key)
        status = add_file(to, "tlskey", key, "PRIVATE KEY");
    if (status == PST_EXIT_OK && passphrase && !pst_json_set_text(to, "passphrase", passphrase))
        return cli_fail(PST_EXIT_FAILED, "no memory");
    return status;
}

void cli_tell_findings(const struct pst_json *answer)
{
    const struct pst_json *list = pst_json_get(answer, "findings");

    for (size_t i = 0; i < pst_json_len(list); i++) {
        const struct pst_json *f = pst_json_at(list, i);
        cli_fail(0, "%s: %s %s (%s)", cli_text(f, "severity"), cli_text(f, "sentence"),
                 cli_text(f, "fix"), cli_text(f, "code"));
    }
}

/* As scalingo prints it: "2026-12-31 00:00:00 +0000 UTC". */
static void tell_installed(const struct pst_json *d)
{
    const char *validity = pst_json_get_text(d, "validity");
    char until[CLI_TIME_SIZE];

    cli_time(until, validity);
    cli_line("The certificate and key have been installed for %s (Validity: %.19s +0000 UTC)",
             cli_text(d, "name"), until);
}

/* ---- domains-ssl ---- */

static int patch(struct cli *c, struct pst_json *change, struct cli_answer *a)
{
    auto_(pst_json_free) struct pst_json *body = pst_json_object();
    char app[PART_SIZE], name[PART_SIZE];

    if (!pst_json_set(body, "domain", change))
        return cli_fail(PST_EXIT_FAILED, "no memory");
    return cli_ask(c, "PATCH", body, a, "/v1/apps/%s/domains/%s",
                   cli_encode(app, sizeof app, c->app), cli_encode(name, sizeof name, c->args[0]));
}

static int disable(struct cli *c)
{
    auto_(pst_json_free) struct pst_json *change = pst_json_object();
    auto_answer struct cli_answer a = {0};

    if (!pst_json_set_text(change, "tlscert", "") || !pst_json_set_text(change, "tlskey", ""))
        return cli_fail(PST_EXIT_FAILED, "no memory");
    int status = patch(c, pst_take(&change), &a);
    if (status != PST_EXIT_OK || cli_print_json(c, a.json))
        return status;
    cli_line("SSL of %s has been disabled: its own certificate was taken away.", c->args[0]);
    return PST_EXIT_OK;
}

static void tell_acme(const struct pst_json *d)
{
    bool on = false;

    pst_json_get_bool(d, "letsencrypt_enabled", &on);
    cli_line("Let's Encrypt is %s for %s.", on ? "on" : "off", cli_text(d, "name"));
}

int cli_domains_ssl(struct cli *c)
{
    auto_(pst_json_free) struct pst_json *change = pst_json_object();
    auto_answer struct cli_answer a = {0};
    const char *cert = cli_given(c, FLAG_CERT), *key = cli_given(c, FLAG_KEY);
    bool on = c->flags[FLAG_LETSENCRYPT], off = c->flags[FLAG_NO_LETSENCRYPT];

    if (c->args_n == 2 && pst_streq(c->args[1], "disable") && !cert && !key && !on && !off)
        return disable(c);
    if (c->args_n == 2 || (on && off))
        return cli_fail(PST_EXIT_USAGE, "usage: postern --app NAME domains-ssl NAME [disable]");
    if (!cert && !key && !on && !off) {
        cert = DEFAULT_CERT;
        key = DEFAULT_KEY;
    }
    int status = cli_add_upload(c, cert, key, change);
    if (status != PST_EXIT_OK)
        return status;
    if ((on || off) && !pst_json_set_bool(change, "letsencrypt_enabled", on))
        return cli_fail(PST_EXIT_FAILED, "no memory");
    status = patch(c, pst_take(&change), &a);
    if (status != PST_EXIT_OK || cli_print_json(c, a.json))
        return status;
    const struct pst_json *d = pst_json_get(a.json, "domain");
    if (cert || key)
        tell_installed(d);
    if (on || off)
        tell_acme(d);
    cli_tell_findings(a.json);
    return PST_EXIT_OK;
}

/* ---- requests ---- */

static const struct {
    enum cli_flag flag;
    const char *member;
} subject[] = {
    {FLAG_KEY_TYPE, "key_type"},
    {FLAG_COUNTRY, "country"},
    {FLAG_STATE, "state"},
    {FLAG_LOCALITY, "locality"},
    {FLAG_ORGANIZATION, "organization"},
    {FLAG_UNIT, "unit"},
    {FLAG_COMMON_NAME, "common_name"},
    {FLAG_EMAIL, "email"},
};

int cli_csr(struct cli *c)
{
    auto_(pst_json_free) struct pst_json *csr = pst_json_object();
    auto_(pst_json_free) struct pst_json *body = pst_json_object();
    auto_answer struct cli_answer a = {0};
    char app[PART_SIZE], name[PART_SIZE];
    bool ok = csr != NULL;

    for (size_t i = 0; i < PST_ARRAY_N(subject) && ok; i++) {
        const char *value = cli_given(c, subject[i].flag);
        ok = !value || pst_json_set_text(csr, subject[i].member, value);
    }
    if (!ok || !pst_json_set(body, "csr", pst_take(&csr)))
        return cli_fail(PST_EXIT_FAILED, "no memory");
    int status =
        cli_ask(c, "POST", body, &a, "/v1/apps/%s/domains/%s/csr",
                cli_encode(app, sizeof app, c->app), cli_encode(name, sizeof name, c->args[0]));
    if (status != PST_EXIT_OK || cli_print_json(c, a.json))
        return status;
    fputs(cli_text(pst_json_get(a.json, "csr"), "csr"), stdout);
    return PST_EXIT_OK;
}

int cli_csrs(struct cli *c)
{
    static const struct cli_column columns[] = {
        {"ID", "id", CLI_PLAIN},           {"KEY", "key_type", CLI_PLAIN},
        {"SUBJECT", "subject", CLI_PLAIN}, {"MADE", "created_at", CLI_TIME},
        {"USED", "used_at", CLI_TIME},
    };
    auto_answer struct cli_answer a = {0};
    char app[PART_SIZE], name[PART_SIZE];

    int status =
        cli_ask(c, "GET", NULL, &a, "/v1/apps/%s/domains/%s/csr",
                cli_encode(app, sizeof app, c->app), cli_encode(name, sizeof name, c->args[0]));
    if (status != PST_EXIT_OK || cli_print_json(c, a.json))
        return status;
    return cli_list(c, pst_json_get(a.json, "csrs"), columns, PST_ARRAY_N(columns));
}

int cli_csr_remove(struct cli *c)
{
    auto_answer struct cli_answer a = {0};
    char app[PART_SIZE], name[PART_SIZE], id[PART_SIZE];

    int status = cli_ask(
        c, "DELETE", NULL, &a, "/v1/apps/%s/domains/%s/csr/%s", cli_encode(app, sizeof app, c->app),
        cli_encode(name, sizeof name, c->args[0]), cli_encode(id, sizeof id, c->args[1]));
    if (status != PST_EXIT_OK || cli_print_json(c, a.json))
        return status;
    cli_line("The request and its key are gone.");
    return PST_EXIT_OK;
}

/* ---- bundles that are kept ---- */

static void add_bundle(struct cli_table *t, const struct pst_json *b)
{
    auto_buf struct pst_buf names = PST_BUF(CLI_UPLOAD_MAX);
    const struct pst_json *list = pst_json_get(b, "names");
    char until[CLI_TIME_SIZE], domains[24];
    int64_t n = 0;

    for (size_t i = 0; i < pst_json_len(list); i++) {
        const char *name = pst_json_text(pst_json_at(list, i));
        pst_buf_printf(&names, "%s%s", i ? ", " : "", name ? name : "");
    }
    pst_json_get_int(b, "domains", &n);
    snprintf(domains, sizeof domains, "%lld", (long long)n);
    cli_table_add(
        t, (const char *const[]){cli_text(b, "id"), pst_buf_cstr(&names), cli_text(b, "issuer"),
                                 cli_time(until, pst_json_get_text(b, "not_after")), domains});
}

int cli_bundles(struct cli *c)
{
    static const char *const heads[] = {"ID", "NAMES", "ISSUER", "VALID UNTIL", "DOMAINS"};
    auto_(cli_table_free) struct cli_table *t = NULL;
    auto_answer struct cli_answer a = {0};
    struct pst_err err = {0};

    int status = cli_ask(c, "GET", NULL, &a, "/v1/bundles");
    if (status != PST_EXIT_OK || cli_print_json(c, a.json))
        return status;
    int rc = cli_table_new(&t, heads, PST_ARRAY_N(heads), &err);
    const struct pst_json *list = pst_json_get(a.json, "bundles");
    for (size_t i = 0; rc == PST_OK && i < pst_json_len(list); i++)
        add_bundle(t, pst_json_at(list, i));
    if (rc == PST_OK)
        rc = cli_table_print(t, c->tty, stdout, &err);
    return rc == PST_OK ? PST_EXIT_OK : cli_fail(PST_EXIT_FAILED, "%s", err.text);
}

int cli_bundles_remove(struct cli *c)
{
    auto_answer struct cli_answer a = {0};
    char id[PART_SIZE];

    int status =
        cli_ask(c, "DELETE", NULL, &a, "/v1/bundles/%s", cli_encode(id, sizeof id, c->args[0]));
    if (status != PST_EXIT_OK || cli_print_json(c, a.json))
        return status;
    cli_line("The certificate is kept no longer; domains that have it keep it.");
    return PST_EXIT_OK;
}
