/* verbs_offline.c - looking at certificates without any server. */
#include "cli_internal.h"

#include <stdlib.h>
#include <string.h>

#include <postern/cert.h>
#include <postern/crypto.h>
#include <postern/crypto_read.h>
#include <postern/name.h>

enum { OUT_MAX = 4 * 1024 * 1024 };

/* What was given on the command line, read. */
struct given {
    struct pst_buf files[PST_CERT_INPUTS_MAX];
    struct pst_cert_input inputs[PST_CERT_INPUTS_MAX];
    size_t n;
    struct pst_secret passphrase;
    struct pst_buf roots;
    char name[PST_NAME_SIZE];
    const char *names[1];
    struct pst_cert_request request;
};

static void given_deinit(struct given *g)
{
    for (size_t i = 0; i < PST_CERT_INPUTS_MAX; i++)
        pst_buf_wipe(&g->files[i]);
    pst_secret_deinit(&g->passphrase);
    pst_buf_deinit(&g->roots);
}
#define auto_given __attribute__((cleanup(given_deinit)))

const char *cli_passphrase(const struct cli *c)
{
    const char *from_env = getenv("POSTERN_PASSPHRASE");

    if (cli_given(c, FLAG_PASSPHRASE))
        return c->flags[FLAG_PASSPHRASE];
    return from_env && *from_env ? from_env : NULL;
}

static int take_file(struct given *g, const char *path, enum pst_cert_field field)
{
    if (!path || !*path)
        return PST_EXIT_OK;
    if (g->n == PST_CERT_INPUTS_MAX)
        return cli_fail(PST_EXIT_USAGE, "at most %d files can be given", PST_CERT_INPUTS_MAX);
    struct pst_buf *file = &g->files[g->n];
    *file = (struct pst_buf)PST_BUF(CLI_UPLOAD_MAX);
    int status = cli_read_upload(path, file);
    if (status == PST_EXIT_OK)
        g->inputs[g->n++] = (struct pst_cert_input){file->data, file->len, field};
    return status;
}

static int take_files(struct cli *c, struct given *g)
{
    const char *passphrase = cli_passphrase(c);
    struct pst_err err = {0};

    int status = take_file(g, c->flags[FLAG_CERT], PST_CERT_FIELD_CERT);
    if (status == PST_EXIT_OK)
        status = take_file(g, c->flags[FLAG_KEY], PST_CERT_FIELD_KEY);
    for (int i = 0; i < c->args_n && status == PST_EXIT_OK; i++)
        status = take_file(g, c->args[i], PST_CERT_FIELD_CERT);
    if (status != PST_EXIT_OK)
        return status;
    if (g->n == 0)
        return cli_fail(PST_EXIT_USAGE, "no file was given (see: postern help %s)",
                        c->command->name);
    if (passphrase &&
        pst_secret_set(&g->passphrase, passphrase, strlen(passphrase), &err) != PST_OK)
        return cli_fail(PST_EXIT_FAILED, "%s", err.text);
    if (pst_crypto_init(false, &err) != PST_OK)
        return cli_fail(PST_EXIT_FAILED, "%s", err.text);
    pst_read_init();
    g->request = (struct pst_cert_request){
        .inputs = g->inputs,
        .inputs_n = g->n,
        .passphrase = passphrase ? &g->passphrase : NULL,
        .at = pst_now(pst_clock_system()),
    };
    return PST_EXIT_OK;
}

/* ---- certs-check ---- */

static int take_name(struct cli *c, struct given *g)
{
    const char *name = cli_given(c, FLAG_DOMAIN);
    struct pst_err err = {0};

    if (!name)
        return PST_EXIT_OK;
    if (pst_name_parse(name, PST_NAME_WILDCARD | PST_NAME_ANY_TLD, g->name, &err) != PST_OK)
        return cli_fail(PST_EXIT_USAGE, "--domain: %s", err.text);
    g->names[0] = g->name;
    g->request.names = g->names;
    g->request.names_n = 1;
    return PST_EXIT_OK;
}

static int take_time(struct cli *c, struct given *g)
{
    const char *at = cli_given(c, FLAG_AT);
    int64_t at_ms;

    if (!at)
        return PST_EXIT_OK;
    if (!pst_time_parse(at, &at_ms))
        return cli_fail(PST_EXIT_USAGE, "--at must be a time such as 2027-01-31T12:00:00Z");
    g->request.at = at_ms / 1000;
    return PST_EXIT_OK;
}

/* Without --roots those of the system, if it has any. */
static int take_roots(struct cli *c, struct given *g)
{
    const char *path = cli_given(c, FLAG_ROOTS);
    struct pst_err err = {0};

    g->roots = (struct pst_buf)PST_BUF(PST_CERT_ROOTS_MAX);
    int rc = pst_cert_roots_load(path ? path : PST_CERT_ROOTS_FILE, &g->roots, &err);
    if (rc != PST_OK && path)
        return cli_fail(PST_EXIT_USAGE, "--roots %s: %s", path,
                        rc == PST_NOTFOUND ? "there is no such file" : err.text);
    if (rc == PST_OK) {
        g->request.roots = pst_buf_cstr(&g->roots);
        g->request.roots_len = g->roots.len;
    }
    return PST_EXIT_OK;
}

static int print_report(const struct cli *c, const struct pst_cert_result *r)
{
    auto_buf struct pst_buf text = PST_BUF(OUT_MAX);
    auto_(pst_json_free) struct pst_json *report = NULL;
    struct pst_err err = {0};

    int rc =
        c->json ? pst_cert_report_json(r, &report, &err) : pst_cert_report_text(r, &text, &err);
    if (rc != PST_OK)
        return cli_fail(PST_EXIT_FAILED, "%s", err.text);
    if (!cli_print_json(c, report))
        fputs(pst_buf_cstr(&text), stdout);
    return r->accepted ? PST_EXIT_OK : PST_EXIT_FAILED;
}

int cli_certs_check(struct cli *c)
{
    auto_given struct given g = {.n = 0};
    auto_cert_result struct pst_cert_result result = {0};
    struct pst_err err = {0};

    int status = take_files(c, &g);
    if (status == PST_EXIT_OK)
        status = take_name(c, &g);
    if (status == PST_EXIT_OK)
        status = take_time(c, &g);
    if (status == PST_EXIT_OK)
        status = take_roots(c, &g);
    if (status != PST_EXIT_OK)
        return status;
    g.request.key_optional = !cli_given(c, FLAG_KEY);
    if (pst_cert_judge(NULL, NULL, &g.request, &result, &err) != PST_OK)
        return cli_fail(PST_EXIT_FAILED, "%s", err.text);
    return print_report(c, &result);
}

/* ---- certs-show, certs-convert ---- */

int cli_certs_show(struct cli *c)
{
    auto_given struct given g = {.n = 0};
    auto_buf struct pst_buf text = PST_BUF(OUT_MAX);
    auto_(pst_json_free) struct pst_json *j = NULL;
    struct pst_err err = {0};

    int status = take_files(c, &g);
    if (status != PST_EXIT_OK)
        return status;
    int rc = c->json ? pst_cert_show_json(&g.request, &j, &err)
                     : pst_cert_show_text(&g.request, &text, &err);
    if (rc != PST_OK)
        return cli_fail(PST_EXIT_FAILED, "%s", err.text);
    if (!cli_print_json(c, j))
        fputs(pst_buf_cstr(&text), stdout);
    return PST_EXIT_OK;
}

int cli_certs_convert(struct cli *c)
{
    auto_given struct given g = {.n = 0};
    auto_buf_wipe struct pst_buf pem = PST_BUF(OUT_MAX);
    auto_cert_result struct pst_cert_result result = {0};
    struct pst_err err = {0};

    int status = take_files(c, &g);
    if (status != PST_EXIT_OK)
        return status;
    int rc = pst_cert_convert(&g.request, &pem, &result, &err);
    if (rc < 0)
        return cli_fail(PST_EXIT_FAILED, "%s", err.text);
    for (size_t i = 0; i < result.findings_n; i++)
        cli_fail(0, "%s %s (%s)", result.findings[i].sentence, result.findings[i].fix,
                 pst_cert_code_name(result.findings[i].code));
    if (rc != PST_OK)
        return PST_EXIT_FAILED;
    fputs(pst_buf_cstr(&pem), stdout);
    return PST_EXIT_OK;
}
