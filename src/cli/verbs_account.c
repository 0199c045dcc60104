/* verbs_account.c - login, logout, self, regions. */
#include "cli_internal.h"

#include <string.h>
#include <termios.h>
#include <unistd.h>

/* One line of standard input, not shown while it is typed. */
static int read_token(struct pst_secret *ret)
{
    struct termios old, quiet;
    char line[512];
    bool hide = isatty(STDIN_FILENO) && tcgetattr(STDIN_FILENO, &old) == 0;

    if (hide) {
        fputs("API token: ", stderr);
        quiet = old;
        quiet.c_lflag &= ~(tcflag_t)ECHO;
        tcsetattr(STDIN_FILENO, TCSAFLUSH, &quiet);
    }
    bool got = fgets(line, sizeof line, stdin) != NULL;
    if (hide) {
        tcsetattr(STDIN_FILENO, TCSAFLUSH, &old);
        fputc('\n', stderr);
    }
    if (!got)
        return cli_fail(PST_EXIT_USAGE, "no API token was given");
    line[strcspn(line, "\r\n")] = '\0';
    int rc = pst_secret_set(ret, line, strlen(line), NULL);
    pst_wipe(line, sizeof line);
    return rc == PST_OK ? PST_EXIT_OK : cli_fail(PST_EXIT_FAILED, "no memory");
}

int cli_login(struct cli *c)
{
    const char *given = c->flags[FLAG_API_TOKEN];
    auto_secret struct pst_secret token = {0};
    auto_answer struct cli_answer a = {0};
    struct pst_err err = {0};

    int status = cli_find_server(c);
    if (status == PST_EXIT_OK && given && pst_secret_set(&token, given, strlen(given), NULL) < 0)
        status = cli_fail(PST_EXIT_FAILED, "no memory");
    else if (status == PST_EXIT_OK && !given)
        status = read_token(&token);
    if (status == PST_EXIT_OK && !token.len)
        status = cli_fail(PST_EXIT_USAGE, "the API token is empty");
    if (status == PST_EXIT_OK)
        status = cli_exchange(c, &token);
    if (status == PST_EXIT_OK)
        status = cli_ask(c, "GET", NULL, &a, "/v1/users/self");
    if (status != PST_EXIT_OK)
        return status;
    const char *name = pst_json_get_text(pst_json_get(a.json, "user"), "username");
    if (cli_creds_store(c->url, &token, name ? name : "", &err) != PST_OK)
        return cli_fail(PST_EXIT_FAILED, "the login could not be stored: %s", err.text);
    if (!cli_print_json(c, a.json))
        cli_line("Hello %s, you are logged in at %s.", name ? name : "", c->url);
    return PST_EXIT_OK;
}

int cli_logout(struct cli *c)
{
    struct pst_err err = {0};

    int status = cli_find_server(c);
    if (status != PST_EXIT_OK)
        return status;
    int rc = cli_creds_remove(c->url, &err);
    if (rc < 0)
        return cli_fail(PST_EXIT_FAILED, "%s", err.text);
    if (!cli_print_json(c, NULL))
        cli_line(rc == PST_OK ? "Logged out at %s." : "You were not logged in at %s.", c->url);
    return PST_EXIT_OK;
}

int cli_self(struct cli *c)
{
    auto_answer struct cli_answer a = {0};

    int status = cli_ask(c, "GET", NULL, &a, "/v1/users/self");
    if (status != PST_EXIT_OK || cli_print_json(c, a.json))
        return status;
    const struct pst_json *u = pst_json_get(a.json, "user");
    cli_line("%s <%s>, %s, at %s", cli_text(u, "username"), cli_text(u, "email"),
             cli_text(u, "role"), c->url);
    return PST_EXIT_OK;
}

int cli_regions(struct cli *c)
{
    static const struct cli_column columns[] = {
        {"NAME", "name", CLI_PLAIN},
        {"API", "api", CLI_PLAIN},
        {"DEFAULT", "default", CLI_YES_NO},
    };
    auto_answer struct cli_answer a = {0};

    int status = cli_ask_anonymous(c, "/v1/regions", &a);
    if (status != PST_EXIT_OK || cli_print_json(c, a.json))
        return status;
    return cli_list(c, pst_json_get(a.json, "regions"), columns, PST_ARRAY_N(columns));
}
