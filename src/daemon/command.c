/* command.c - posternd's commands beside running: init, account, root. */
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <postern/acme.h>
#include <postern/api.h>
#include <postern/http.h>

#include "daemon_internal.h"

enum { LINE_SIZE = 512 };

struct init_opts {
    const char *directory; /* NULL: the configuration's */
    const char *ca_file;
    const char *contact;
    const char *operator_name;
    const char *operator_mail;
    bool agree_terms;
};

static int complain(const char *what, const struct pst_err *err)
{
    fprintf(stderr, "posternd: %s: %s\n", what, err->text);
    return EXIT_FAILURE;
}

/* ---- questions ---- */

/* An answer from the terminal, without its newline; "" at the end of input. */
static const char *ask(const char *question, char line[LINE_SIZE])
{
    fprintf(stderr, "%s", question);
    fflush(stderr);
    if (!fgets(line, LINE_SIZE, stdin))
        line[0] = '\0';
    line[strcspn(line, "\r\n")] = '\0';
    return line;
}

static void show_terms(struct daemon *d)
{
    const char *ca_file = pst_conf_text(d->conf, PST_CONF_ACME_CA_FILE);
    struct pst_http_opts ho = {.ca_file = ca_file[0] ? ca_file : NULL};
    struct pst_acme_ca_opts co = {.directory_url = pst_conf_text(d->conf, PST_CONF_ACME_DIRECTORY)};
    const struct pst_acme_directory *dir = NULL;
    struct pst_acme_ca *ca = NULL;
    struct pst_err err = {0};

    int rc = pst_http_new(&co.http, &ho, &err);
    if (rc == PST_OK)
        rc = pst_acme_ca_new(&ca, &co, &err);
    struct pst_acme_call call = {.ca = ca};
    if (rc == PST_OK)
        rc = pst_acme_directory(&call, false, &dir, &err);
    if (rc != PST_OK)
        fprintf(stderr, "The CA's terms of service could not be looked up: %s\n", err.text);
    else
        fprintf(stderr, "The CA's terms of service: %s\n",
                dir->terms_of_service ? dir->terms_of_service : "(none stated)");
    if (dir)
        pst_acme_directory_unref(dir);
    pst_acme_ca_free(ca);
    pst_http_free(co.http);
}

/* What flags did not say is asked, but only of a person. */
static void ask_rest(struct daemon *d, struct init_opts *o, char contact[LINE_SIZE])
{
    char line[LINE_SIZE];

    if (!isatty(STDIN_FILENO))
        return;
    fprintf(stderr, "ACME directory: %s\n", pst_conf_text(d->conf, PST_CONF_ACME_DIRECTORY));
    if (!o->contact && !pst_conf_text(d->conf, PST_CONF_ACME_CONTACT)[0])
        o->contact = ask("Mail address for the CA (empty: none): ", contact);
    if (!o->agree_terms) {
        show_terms(d);
        o->agree_terms = pst_strcaseeq(ask("Do you agree to them? [y/N] ", line), "y");
    }
}

/* ---- init ---- */

/* A first configuration file: the choices made here, then every setting with its default. */
static int write_conf(struct daemon *d, struct pst_err *err)
{
    static const enum pst_conf_id kept[] = {PST_CONF_DATABASE_URL, PST_CONF_KEYS_MASTER_FILE,
                                            PST_CONF_ACME_DIRECTORY, PST_CONF_ACME_CA_FILE,
                                            PST_CONF_PLATFORM_DOMAIN};
    auto_buf struct pst_buf b = PST_BUF(256 * 1024);

    for (size_t i = 0; i < PST_ARRAY_N(kept); i++) {
        if (pst_conf_is_set(d->conf, kept[i]))
            pst_buf_printf(&b, "%s = %s\n", pst_conf_key(kept[i])->key,
                           pst_conf_text(d->conf, kept[i]));
    }
    pst_buf_str(&b, "\n");
    pst_conf_write_sample(&pst_conf_posternd, &b);
    int rc = pst_buf_check(&b, "the configuration", err);
    if (rc == PST_OK)
        rc = pst_io_create_file(d->cli.path, b.data, b.len, 0640, err);
    return rc == PST_CONFLICT ? PST_OK : rc;
}

static int make_database(struct daemon *d, struct pst_err *err)
{
    const char *key_file = pst_conf_text(d->conf, PST_CONF_KEYS_MASTER_FILE);

    int rc = pst_keyring_create_file(key_file, pst_rand_system(), err);
    bool made_key = rc == PST_OK;
    if (rc < 0)
        return pst_wrap(err, "master key");
    rc = pst_daemon_open_store(d, true, err);
    if (rc == PST_CONFLICT)
        pst_fail(err, PST_CONFLICT, "there is a database already at %s; nothing was changed",
                 pst_conf_text(d->conf, PST_CONF_DATABASE_URL));
    /* A master key that seals nothing yet would only be mistaken for the real one. */
    if (rc != PST_OK && made_key)
        unlink(key_file);
    return rc;
}

static int fill_database(struct daemon *d, const struct init_opts *o,
                         char token[PST_API_TOKEN_SIZE], struct pst_err *err)
{
    struct account_request account = {.contact = o->contact, .agree_terms = o->agree_terms};

    int rc = pst_daemon_account(d, &account, err);
    if (rc == PST_OK)
        rc = pst_daemon_platform(d, err);
    if (rc >= 0)
        rc = pst_api_user_create(d->store, o->operator_name, o->operator_mail, "operator", token,
                                 err);
    return rc;
}

static const struct option init_flags[] = {
    {"directory", required_argument, NULL, 'd'},
    {"ca-file", required_argument, NULL, 'f'},
    {"contact", required_argument, NULL, 'c'},
    {"agree-terms", no_argument, NULL, 'a'},
    {"operator", required_argument, NULL, 'o'},
    {"mail", required_argument, NULL, 'm'},
    {"help", no_argument, NULL, 'h'},
    {0},
};

static const char init_help[] =
    "usage: posternd [--config FILE] init [options]\n"
    "Make the database, the master key and the first operator's token (shown once, on stdout).\n"
    "  --directory URL   the CA's ACME directory (setting acme.directory)\n"
    "  --ca-file FILE    roots that the CA's own server is checked against\n"
    "  --contact MAIL    mail address for the CA\n"
    "  --agree-terms     agree to the CA's terms of service; nothing is ordered before\n"
    "  --operator NAME   user name of the operator (operator)\n"
    "  --mail MAIL       the operator's mail address (operator@localhost)\n"
    "What is not given is asked for on a terminal.\n";

/* False: stop with *status. */
static bool parse_init(int argc, char **argv, struct init_opts *o, int *status)
{
    int c;
    optind = 1;
    while ((c = getopt_long(argc, argv, "h", init_flags, NULL)) != -1) {
        switch (c) {
        case 'd':
            o->directory = optarg;
            break;
        case 'f':
            o->ca_file = optarg;
            break;
        case 'c':
            o->contact = optarg;
            break;
        case 'a':
            o->agree_terms = true;
            break;
        case 'o':
            o->operator_name = optarg;
            break;
        case 'm':
            o->operator_mail = optarg;
            break;
        default:
            fputs(init_help, c == 'h' ? stdout : stderr);
            *status = c == 'h' ? EXIT_SUCCESS : EXIT_USAGE;
            return false;
        }
    }
    if (optind == argc)
        return true;
    fprintf(stderr, "posternd: init takes no argument \"%s\"\n", argv[optind]);
    *status = EXIT_USAGE;
    return false;
}

/* A flag that changes a setting must not disagree with a file that exists. */
static int set_from_flags(struct daemon *d, const struct init_opts *o, struct pst_err *err)
{
    int rc = PST_OK;
    if (o->directory)
        rc = pst_conf_set(d->conf, "acme.directory", o->directory, err);
    if (rc == PST_OK && o->ca_file)
        rc = pst_conf_set(d->conf, "acme.ca_file", o->ca_file, err);
    return rc;
}

static void explain_init(const struct daemon *d, const struct init_opts *o, const char *token)
{
    fprintf(stderr,
            "\nDatabase:    %s\nMaster key:  %s (keep a copy elsewhere: without it all "
            "private keys are lost)\n",
            pst_conf_text(d->conf, PST_CONF_DATABASE_URL),
            pst_conf_text(d->conf, PST_CONF_KEYS_MASTER_FILE));
    if (!o->agree_terms)
        fprintf(stderr, "Nothing is ordered until you agree to the CA's terms: "
                        "posternd account --agree-terms\n");
    fprintf(stderr, "The operator's API token, shown only now:\n");
    printf("%s\n", token);
}

int pst_command_init(struct daemon *d, int argc, char **argv)
{
    struct init_opts o = {.operator_name = "operator", .operator_mail = "operator@localhost"};
    char contact[LINE_SIZE];
    char token[PST_API_TOKEN_SIZE];
    struct pst_err err = {0};
    int status;

    if (!parse_init(argc, argv, &o, &status))
        return status;
    int rc = set_from_flags(d, &o, &err);
    if (rc != PST_OK)
        return complain("init", &err);
    ask_rest(d, &o, contact);
    rc = make_database(d, &err);
    if (rc == PST_OK)
        rc = fill_database(d, &o, token, &err);
    if (rc == PST_OK)
        rc = write_conf(d, &err);
    if (rc == PST_OK)
        explain_init(d, &o, token);
    pst_wipe(token, sizeof token);
    pst_daemon_close_store(d);
    return rc == PST_OK ? EXIT_SUCCESS : complain("init", &err);
}

/* ---- account ---- */

static const struct option account_flags[] = {
    {"contact", required_argument, NULL, 'c'},
    {"agree-terms", no_argument, NULL, 'a'},
    {"help", no_argument, NULL, 'h'},
    {0},
};

int pst_command_account(struct daemon *d, int argc, char **argv)
{
    struct account_request req = {0};
    struct pst_err err = {0};
    int c;

    optind = 1;
    while ((c = getopt_long(argc, argv, "h", account_flags, NULL)) != -1) {
        if (c == 'c') {
            req.contact = optarg;
        } else if (c == 'a') {
            req.agree_terms = true;
        } else {
            fputs("usage: posternd account [--contact MAIL] [--agree-terms]\n"
                  "Change the account at the CA of acme.directory, while posternd is stopped; a\n"
                  "blocked account is taken up again.\n",
                  c == 'h' ? stdout : stderr);
            return c == 'h' ? EXIT_SUCCESS : EXIT_USAGE;
        }
    }
    int rc = pst_daemon_open_store(d, false, &err);
    if (rc == PST_OK)
        rc = pst_daemon_account(d, &req, &err);
    pst_daemon_close_store(d);
    return rc == PST_OK ? EXIT_SUCCESS : complain("account", &err);
}

/* ---- root ---- */

int pst_command_root(struct daemon *d, int argc, char **argv)
{
    auto_buf struct pst_buf pem = PST_BUF(64 * 1024);
    struct pst_err err = {0};

    if (argc > 1) {
        fputs("usage: posternd root\nPrint the root of the local CA, as PEM, while posternd is "
              "stopped.\n",
              pst_streq(argv[1], "--help") ? stdout : stderr);
        return pst_streq(argv[1], "--help") ? EXIT_SUCCESS : EXIT_USAGE;
    }
    int rc = pst_daemon_open_store(d, false, &err);
    if (rc == PST_OK)
        rc = pst_daemon_local_root(d, &pem, &err);
    pst_daemon_close_store(d);
    if (rc == PST_NOTFOUND)
        pst_fail(&err, PST_NOTFOUND, "there is no local CA: platform.domain is not set");
    if (rc != PST_OK)
        return complain("root", &err);
    fputs(pst_buf_cstr(&pem), stdout);
    return EXIT_SUCCESS;
}
