/* cmd.c - postern-edged's command line. */
#include <errno.h>
#include <getopt.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <postern/conf.h>
#include <postern/edge.h>

#include "edge_internal.h"

static const char default_conf[] = "/etc/postern-edge/postern-edged.conf";

enum { EXIT_USAGE = 2, EXIT_NOTHING = 3, HOST_SIZE = 256 };

struct cli {
    struct pst_conf_cli settings;
    const char *token_file;
    bool json;
    struct pst_conf *conf;
    struct pst_edged_opts opts;
    char host[HOST_SIZE];
};

static const struct option flags[] = {
    PST_CONF_CLI_OPTIONS,
    {"token-file", required_argument, NULL, 't'},
    {"json", no_argument, NULL, 'j'},
    {"version", no_argument, NULL, 'V'},
    {"help", no_argument, NULL, 'h'},
    {0},
};

static const char help[] =
    "usage: postern-edged [--config FILE] [--set KEY=VALUE]... [COMMAND]\n"
    "Keeps the replica that nginx reads in step with posternd.  Without a command it runs in the\n"
    "foreground until SIGTERM; SIGHUP reads log levels and brake anew.\n"
    "\n"
    "  -c, --config FILE     settings (/etc/postern-edge/postern-edged.conf)\n"
    "  -s, --set KEY=VALUE   one setting, over the file's\n"
    "      --check-config    read the settings, say what is wrong, exit\n"
    "      --sample-config   print a file with every setting and its default\n"
    "      --version, --help\n"
    "\n"
    "  enrol --token-file FILE   make this machine an edge, with a one-time token\n"
    "  status [--json]           where the replica stands\n"
    "  show NAME                 what the replica holds for a name (never keys)\n"
    "  accept                    let a mass deletion through that the brake holds\n"
    "\n"
    "Exit status: 0 done, 1 failed, 2 wrong usage, 3 there is nothing of the kind.\n"
    "See postern-edged(8), postern.conf(5).\n";

static int usage(const char *why)
{
    if (why)
        fprintf(stderr, "postern-edged: %s\n", why);
    fputs("postern-edged: see postern-edged --help\n", stderr);
    return EXIT_USAGE;
}

static int failed(const struct pst_err *err)
{
    fprintf(stderr, "postern-edged: %s\n", err->text);
    return EXIT_FAILURE;
}

/* ---- running ---- */

static void *run_loop(void *arg)
{
    pst_edged_run(arg);
    return NULL;
}

/* What changes without a new start: log levels and the brake. */
static void reload(const struct cli *cli, struct pst_edged *e)
{
    auto_(pst_conf_free) struct pst_conf *fresh = NULL;
    struct pst_err err = {0};

    int rc = pst_conf_cli_load(&fresh, &cli->settings, &pst_conf_edged, &err);
    if (rc == PST_OK)
        rc = pst_log_set_levels(pst_conf_text(fresh, PST_CONF_LOG_LEVEL), &err);
    if (rc != PST_OK) {
        pst_log_err(EDGE, "settings not read anew", &err);
        return;
    }
    pst_edged_set_brake(e, pst_conf_int(fresh, PST_CONF_BRAKE_PERCENT),
                        pst_conf_int(fresh, PST_CONF_BRAKE_MIN));
    pst_log_info(EDGE, "settings read anew");
    pst_edged_wake(e);
}

static void wait_for_end(const struct cli *cli, struct pst_edged *e, const sigset_t *signals)
{
    int sig;

    while (sigwait(signals, &sig) == 0) {
        if (sig != SIGHUP)
            return;
        reload(cli, e);
    }
}

static int run_thread(const struct cli *cli, struct pst_edged *e)
{
    sigset_t signals;
    pthread_t thread;

    sigemptyset(&signals);
    sigaddset(&signals, SIGTERM);
    sigaddset(&signals, SIGINT);
    sigaddset(&signals, SIGHUP);
    signal(SIGPIPE, SIG_IGN);
    pthread_sigmask(SIG_BLOCK, &signals, NULL);
    if (pthread_create(&thread, NULL, run_loop, e) != 0) {
        fputs("postern-edged: no thread for the loop\n", stderr);
        return EXIT_FAILURE;
    }
    pst_service_notify("READY=1");
    wait_for_end(cli, e, &signals);
    pst_log_info(EDGE, "stopping");
    pst_service_notify("STOPPING=1");
    pst_edged_stop(e);
    pthread_join(thread, NULL);
    return EXIT_SUCCESS;
}

static int command_run(struct cli *cli, int argc, char **argv)
{
    auto_(pst_edged_free) struct pst_edged *e = NULL;
    struct pst_err err = {0};

    if (pst_edged_new(&e, &cli->opts, &err) != PST_OK)
        return failed(&err);
    if (!pst_edged_enrolled(e) && !*cli->opts.token_file) {
        fputs("postern-edged: this edge is not enrolled: run postern-edged enrol, or set "
              "control.token_file\n",
              stderr);
        return EXIT_FAILURE;
    }
    pst_log_info(EDGE, "starting", pst_kv_s("version", PST_VERSION),
                 pst_kv_s("replica", cli->opts.replica.dir));
    return run_thread(cli, e);
}

/* ---- commands ---- */

static int command_enrol(struct cli *cli, int argc, char **argv)
{
    auto_(pst_edged_free) struct pst_edged *e = NULL;
    auto_secret struct pst_secret token = {0};
    struct pst_err err = {0};
    const char *path = cli->token_file ? cli->token_file : cli->opts.token_file;

    if (!*path)
        return usage("enrol wants --token-file, or control.token_file in the settings");
    if (pst_edged_new(&e, &cli->opts, &err) != PST_OK)
        return failed(&err);
    if (pst_edged_enrolled(e)) {
        fprintf(stderr, "postern-edged: this edge is enrolled already (see %s)\n",
                cli->opts.keys_dir);
        return EXIT_NOTHING;
    }
    int rc = pst_edged_read_token(path, &token, &err);
    if (rc == PST_OK)
        rc = pst_edged_enrol(e, &token, &err);
    return rc == PST_OK ? EXIT_SUCCESS : failed(&err);
}

static int command_status(struct cli *cli, int argc, char **argv)
{
    struct pst_err err = {0};
    int rc =
        pst_edged_status(stdout, cli->opts.replica.dir, pst_now(cli->opts.clock), cli->json, &err);

    if (rc == PST_NOTFOUND || rc == PST_ESYS) {
        fprintf(stderr, "postern-edged: %s\n", rc == PST_ESYS ? err.text : "there is no replica");
        return EXIT_NOTHING;
    }
    return rc == PST_OK ? EXIT_SUCCESS : failed(&err);
}

static int command_show(struct cli *cli, int argc, char **argv)
{
    struct pst_err err = {0};

    if (argc != 2)
        return usage("show wants one name");
    int rc = pst_edged_show(stdout, cli->opts.replica.dir, argv[1], pst_now(cli->opts.clock), &err);
    if (rc == PST_NOTFOUND) {
        fprintf(stderr, "postern-edged: the replica holds nothing for %s\n", argv[1]);
        return EXIT_NOTHING;
    }
    return rc == PST_OK ? EXIT_SUCCESS : failed(&err);
}

static int command_accept(struct cli *cli, int argc, char **argv)
{
    struct pst_edged_brake_note note;
    struct pst_err err = {0};

    int rc = pst_edged_brake_note_read(cli->opts.replica.dir, &note, &err);
    if (rc == PST_OK)
        rc = pst_edged_brake_accept(cli->opts.replica.dir, &err);
    if (rc == PST_NOTFOUND) {
        fputs("postern-edged: the brake does not hold, there is nothing to accept\n", stderr);
        return EXIT_NOTHING;
    }
    if (rc != PST_OK)
        return failed(&err);
    printf("accepted: %lld of %lld names go\n", (long long)note.lost_n, (long long)note.of_n);
    return EXIT_SUCCESS;
}

static const struct {
    const char *name;
    int (*run)(struct cli *cli, int argc, char **argv);
} commands[] = {
    {"enrol", command_enrol},
    {"status", command_status},
    {"show", command_show},
    {"accept", command_accept},
};

/* ---- settings ---- */

/* The options may stand before and after the command.  False: stop with *status. */
static bool parse(int argc, char **argv, struct cli *cli, int *status)
{
    int c;

    *status = EXIT_SUCCESS;
    while ((c = getopt_long(argc, argv, "c:s:hV", flags, NULL)) != -1) {
        switch (c) {
        case 't':
            cli->token_file = optarg;
            break;
        case 'j':
            cli->json = true;
            break;
        case 'V':
            printf("postern-edged %s\n", PST_VERSION);
            return false;
        case 'h':
            fputs(help, stdout);
            return false;
        default:
            if (pst_conf_cli_take(&cli->settings, c, optarg) == PST_OK)
                break;
            *status = usage(NULL);
            return false;
        }
    }
    return true;
}

static int edge_name(struct cli *cli, struct pst_err *err)
{
    const char *name = pst_conf_text(cli->conf, PST_CONF_EDGE_NAME);

    if (*name)
        return pst_str_copy(cli->host, sizeof cli->host, name)
                   ? PST_OK
                   : pst_fail(err, PST_ECONFIG, "edge.name is too long");
    if (gethostname(cli->host, sizeof cli->host - 1) < 0)
        return pst_fail_sys(err, "asking for the host name (or set edge.name)");
    char *dot = strchr(cli->host, '.');
    if (dot)
        *dot = '\0';
    return PST_OK;
}

static int configure(struct cli *cli, struct pst_err *err)
{
    int rc = pst_conf_cli_load(&cli->conf, &cli->settings, &pst_conf_edged, err);

    if (rc == PST_OK)
        rc = pst_log_set_levels(pst_conf_text(cli->conf, PST_CONF_LOG_LEVEL), err);
    if (rc == PST_OK)
        rc = edge_name(cli, err);
    if (rc != PST_OK)
        return rc;

    const struct pst_conf *c = cli->conf;
    const char *group = pst_conf_text(c, PST_CONF_REPLICA_GROUP);
    pst_log_set_json(pst_streq(pst_conf_text(c, PST_CONF_LOG_FORMAT), "json"));
    cli->opts = (struct pst_edged_opts){
        .control_url = pst_conf_text(c, PST_CONF_CONTROL_URL),
        .ca_file = pst_conf_text(c, PST_CONF_CONTROL_CA_FILE),
        .token_file = pst_conf_text(c, PST_CONF_CONTROL_TOKEN_FILE),
        .name = cli->host,
        .probe_address = pst_conf_text(c, PST_CONF_EDGE_PROBE_ADDRESS),
        .keys_dir = pst_conf_text(c, PST_CONF_KEYS_DIR),
        .replica = {.dir = pst_conf_text(c, PST_CONF_REPLICA_DIR),
                    .group = *group ? group : NULL,
                    .map_bytes = (uint64_t)pst_conf_int(c, PST_CONF_REPLICA_MAP_SIZE)},
        .brake_percent = pst_conf_int(c, PST_CONF_BRAKE_PERCENT),
        .brake_min = pst_conf_int(c, PST_CONF_BRAKE_MIN),
        .clock = pst_clock_system(),
        .rand = pst_rand_system(),
    };
    return PST_OK;
}

static int dispatch(struct cli *cli, int argc, char **argv)
{
    if (argc == 0)
        return command_run(cli, argc, argv);
    for (size_t i = 0; i < PST_ARRAY_N(commands); i++)
        if (pst_streq(argv[0], commands[i].name))
            return commands[i].run(cli, argc, argv);
    fprintf(stderr, "postern-edged: there is no command \"%s\"\n", argv[0]);
    return usage(NULL);
}

int pst_edged_main(int argc, char **argv)
{
    struct cli cli = {.settings = {.path = default_conf}};
    struct pst_err err = {0};
    int status;

    if (!parse(argc, argv, &cli, &status))
        return status;
    if (cli.settings.sample)
        return pst_conf_print_sample(&pst_conf_edged) == PST_OK ? EXIT_SUCCESS : EXIT_FAILURE;
    if (configure(&cli, &err) != PST_OK) {
        status = failed(&err);
    } else if (cli.settings.check) {
        printf("%s: all settings are good\n", cli.settings.path);
    } else if (pst_crypto_init(true, &err) != PST_OK) {
        status = failed(&err);
    } else {
        status = dispatch(&cli, argc - optind, argv + optind);
    }
    pst_conf_free(cli.conf);
    return status;
}
