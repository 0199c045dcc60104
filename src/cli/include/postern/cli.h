/*
 * cli.h - postern, the command line client: speaks to the API over HTTP and to people in text.
 *
 * One table holds all commands and one all flags; help, completion and the manual page are made
 * from them.  One thread; blocking.
 */
#ifndef POSTERN_CLI_H
#define POSTERN_CLI_H

/* Exit status of the program. */
enum pst_exit {
    PST_EXIT_OK = 0,
    PST_EXIT_FAILED = 1,    /* refused by the server, or failed */
    PST_EXIT_USAGE = 2,     /* the command line is wrong */
    PST_EXIT_UNREACHED = 3, /* the server was not reached */
    PST_EXIT_LOGIN = 4,     /* not logged in, or the token is not valid (any more) */
};

/* The whole program. */
int pst_cli_main(int argc, char **argv);

#endif
