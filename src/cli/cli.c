/* cli.c - one run of the program. */
#include "cli_internal.h"

#include <signal.h>
#include <string.h>
#include <unistd.h>

int pst_cli_main(int argc, char **argv)
{
    struct cli c = {.tty = isatty(STDOUT_FILENO)};

    /* Written after the reader of a pipe has gone: fflush() below tells it. */
    signal(SIGPIPE, SIG_IGN);
    int status = cli_parse(&c, argc, argv);
    if (status == PST_EXIT_OK && c.flags[FLAG_HELP])
        cli_print_help(stdout, c.command);
    else if (status == PST_EXIT_OK)
        status = c.command->run(&c);
    pst_http_free(c.http);
    pst_secret_deinit(&c.session);
    if (fflush(stdout) != 0 && status == PST_EXIT_OK)
        status = cli_fail(PST_EXIT_FAILED, "cannot write the output");
    return status;
}
