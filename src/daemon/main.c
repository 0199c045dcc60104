/* main.c - posternd's command line. */
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <postern/cert.h>
#include <postern/name.h>

#include "daemon_internal.h"

static const char default_conf[] = "/etc/postern/postern.conf";

static const struct {
    const char *name;
    int (*run)(struct daemon *d, int argc, char **argv);
    bool conf_may_be_missing;
} commands[] = {
    {"init", pst_command_init, true},  {"account", pst_command_account, false},
    {"root", pst_command_root, false}, {"events", pst_command_events, false},
    {"dns", pst_command_dns, true},
};

static const struct option flags[] = {
    PST_CONF_CLI_OPTIONS,
    {"version", no_argument, NULL, 'V'},
    {"help", no_argument, NULL, 'h'},
    {0},
};

static const char help[] =
    "usage: posternd [--config FILE] [--set KEY=VALUE]... [COMMAND]\n"
    "The control plane of Postern: API, ACME, DNS, database.  Without a command it runs in the\n"
    "foreground until SIGTERM; SIGHUP reads log levels and platform certificate anew.\n"
    "\n"
    "  -c, --config FILE     settings (/etc/postern/postern.conf)\n"
    "  -s, --set KEY=VALUE   one setting, over the file's\n"
    "      --check-config    read the settings, say what is wrong, exit\n"
    "      --sample-config   print a file with every setting and its default\n"
    "      --version, --help\n"
    "\n"
    "  init      make database, master key and the operator's token\n"
    "  account   change contact or agreement at the CA\n"
    "  root      print the root certificate of the local CA\n"
    "  events    verify the chain of events\n"
    "  dns       try the credentials of a DNS provider, add or remove a TXT record\n"
    "\n"
    "Exit status: 0 done, 1 failed, 2 wrong usage.  See posternd(8), postern.conf(5).\n";

static int usage(void)
{
    fputs("posternd: see posternd --help\n", stderr);
    return EXIT_USAGE;
}

static void version(void)
{
    printf("posternd %s\npublic suffix list: %s\n", PST_VERSION, pst_name_psl_info());
}

/* False: stop with *status. */
static bool parse(int argc, char **argv, struct pst_conf_cli *cli, int *status)
{
    int c;
    *status = EXIT_SUCCESS;
    while ((c = getopt_long(argc, argv, "+c:s:hV", flags, NULL)) != -1) {
        switch (c) {
        case 'V':
            version();
            return false;
        case 'h':
            fputs(help, stdout);
            return false;
        default:
            if (pst_conf_cli_take(cli, c, optarg) == PST_OK)
                break;
            *status = usage();
            return false;
        }
    }
    return true;
}

static int configure(struct daemon *d, struct pst_err *err)
{
    int rc = pst_conf_cli_load(&d->conf, &d->cli, &pst_conf_posternd, err);
    if (rc == PST_OK)
        rc = pst_daemon_delegation_check(d->conf, err);
    if (rc == PST_OK)
        rc = pst_daemon_platform_check(d->conf, err);
    return rc == PST_OK ? pst_daemon_set_logging(d, err) : rc;
}

static int run(struct daemon *d, int argc, char **argv)
{
    struct pst_err err = {0};
    size_t command = PST_ARRAY_N(commands);

    for (size_t i = 0; argc > 0 && i < PST_ARRAY_N(commands); i++) {
        if (!strcmp(argv[0], commands[i].name))
            command = i;
    }
    if (argc > 0 && command == PST_ARRAY_N(commands)) {
        fprintf(stderr, "posternd: there is no command \"%s\"\n", argv[0]);
        return usage();
    }
    d->cli.may_be_missing = argc > 0 && commands[command].conf_may_be_missing;
    if (configure(d, &err) != PST_OK) {
        fprintf(stderr, "posternd: %s\n", err.text);
        return EXIT_FAILURE;
    }
    if (d->cli.check) {
        printf("%s: all settings are good\n", d->cli.path);
        return EXIT_SUCCESS;
    }
    if (pst_crypto_init(true, &err) != PST_OK) {
        fprintf(stderr, "posternd: %s\n", err.text);
        return EXIT_FAILURE;
    }
    return argc > 0 ? commands[command].run(d, argc, argv) : pst_daemon_run(d);
}

int main(int argc, char **argv)
{
    struct daemon d = {.cli = {.path = default_conf}, .parts = PTHREAD_MUTEX_INITIALIZER};
    int status;

    /* The process that reads uploads: nothing of what follows is its business. */
    if (argc == 2 && !strcmp(argv[1], "--role=parse"))
        return pst_cert_parse_child_main();
    if (!parse(argc, argv, &d.cli, &status))
        return status;
    if (d.cli.sample)
        return pst_conf_print_sample(&pst_conf_posternd) == PST_OK ? EXIT_SUCCESS : EXIT_FAILURE;
    status = run(&d, argc - optind, argv + optind);
    pst_conf_free(d.conf);
    return status;
}
