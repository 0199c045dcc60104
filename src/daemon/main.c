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

enum { SETS_MAX = 64 };

struct cli {
    const char *conf_path;
    const char *sets[SETS_MAX]; /* section.key=value */
    size_t sets_n;
    bool check;
    bool sample;
};

static const struct option flags[] = {
    {"config", required_argument, NULL, 'c'},
    {"set", required_argument, NULL, 's'},
    {"check-config", no_argument, NULL, 'k'},
    {"sample-config", no_argument, NULL, 'S'},
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
static bool parse(int argc, char **argv, struct cli *cli, int *status)
{
    int c;
    *status = EXIT_SUCCESS;
    while ((c = getopt_long(argc, argv, "+c:s:hV", flags, NULL)) != -1) {
        switch (c) {
        case 'c':
            cli->conf_path = optarg;
            break;
        case 's':
            if (cli->sets_n == SETS_MAX) {
                *status = usage();
                return false;
            }
            cli->sets[cli->sets_n++] = optarg;
            break;
        case 'k':
            cli->check = true;
            break;
        case 'S':
            cli->sample = true;
            break;
        case 'V':
            version();
            return false;
        case 'h':
            fputs(help, stdout);
            return false;
        default:
            *status = usage();
            return false;
        }
    }
    return true;
}

static int apply_set(struct pst_conf *conf, const char *set, struct pst_err *err)
{
    char key[128];
    const char *eq = strchr(set, '=');

    if (!eq || (size_t)(eq - set) >= sizeof key)
        return pst_fail(err, PST_ECONFIG, "--set wants KEY=VALUE, not \"%s\"", set);
    memcpy(key, set, (size_t)(eq - set));
    key[eq - set] = '\0';
    return pst_conf_set(conf, key, eq + 1, err);
}

static int configure(struct daemon *d, const struct cli *cli, bool may_be_missing,
                     struct pst_err *err)
{
    struct pst_buf probe = PST_BUF(256 * 1024);
    bool missing = may_be_missing && pst_io_read_file(d->conf_path, &probe, err) == PST_NOTFOUND;
    pst_buf_deinit(&probe);

    int rc = missing ? pst_conf_new_default(&d->conf, &pst_conf_posternd, err)
                     : pst_conf_load(&d->conf, d->conf_path, &pst_conf_posternd, err);
    for (size_t i = 0; i < cli->sets_n && rc == PST_OK; i++)
        rc = apply_set(d->conf, cli->sets[i], err);
    return rc == PST_OK ? pst_daemon_set_logging(d, err) : rc;
}

static int run(struct daemon *d, const struct cli *cli, int argc, char **argv)
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
    bool may_be_missing = argc > 0 && commands[command].conf_may_be_missing;
    if (configure(d, cli, may_be_missing, &err) != PST_OK) {
        fprintf(stderr, "posternd: %s\n", err.text);
        return EXIT_FAILURE;
    }
    if (cli->check) {
        printf("%s: all settings are good\n", d->conf_path);
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
    struct cli cli = {.conf_path = default_conf};
    struct daemon d = {.parts = PTHREAD_MUTEX_INITIALIZER};
    int status;

    /* The process that reads uploads: nothing of what follows is its business. */
    if (argc == 2 && !strcmp(argv[1], "--role=parse"))
        return pst_cert_parse_child_main();
    if (!parse(argc, argv, &cli, &status))
        return status;
    if (cli.sample) {
        auto_buf struct pst_buf b = PST_BUF(256 * 1024);
        pst_conf_write_sample(&pst_conf_posternd, &b);
        fputs(pst_buf_cstr(&b), stdout);
        return EXIT_SUCCESS;
    }
    d.conf_path = cli.conf_path;
    status = run(&d, &cli, argc - optind, argv + optind);
    pst_conf_free(d.conf);
    return status;
}
