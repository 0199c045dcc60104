/* parse.c - the command line. */
#include "cli_internal.h"

#include <stdlib.h>
#include <string.h>

/* The flag of "--name", "--name=value" or "-x"; -1: none of that name.  *ret_value: behind '='. */
static int find_flag(const char *arg, const char **ret_value)
{
    *ret_value = NULL;
    for (int i = 0; i < FLAG__COUNT; i++) {
        const struct cli_flag_row *f = &cli_flags[i];
        size_t len = strlen(f->name);
        if (f->letter && arg[1] == f->letter && arg[2] == '\0')
            return i;
        if (arg[1] != '-' || strncmp(arg + 2, f->name, len) != 0)
            continue;
        if (arg[2 + len] == '=')
            *ret_value = arg + 2 + len + 1;
        if (arg[2 + len] == '\0' || arg[2 + len] == '=')
            return i;
    }
    return -1;
}

/* One flag at argv[*at]; moves *at over its value. */
static int take_flag(struct cli *c, int argc, char **argv, int *at)
{
    const char *value;
    int flag = find_flag(argv[*at], &value);

    if (flag < 0)
        return cli_fail(PST_EXIT_USAGE, "there is no flag %s (see: postern help)", argv[*at]);
    const struct cli_flag_row *f = &cli_flags[flag];
    if (f->value && !value) {
        if (*at + 1 >= argc)
            return cli_fail(PST_EXIT_USAGE, "--%s needs a value: %s", f->name, f->value);
        value = argv[++*at];
    } else if (!f->value && value) {
        return cli_fail(PST_EXIT_USAGE, "--%s takes no value", f->name);
    }
    c->flags[flag] = value ? value : "";
    return PST_EXIT_OK;
}

static int take_word(struct cli *c, const char *word)
{
    if (!c->command) {
        c->command = cli_command_find(word);
        return c->command
                   ? PST_EXIT_OK
                   : cli_fail(PST_EXIT_USAGE, "there is no command %s (see: postern help)", word);
    }
    if (c->args_n == CLI_ARGS_MAX)
        return cli_fail(PST_EXIT_USAGE, "too many arguments");
    c->args[c->args_n++] = word;
    return PST_EXIT_OK;
}

static int check(struct cli *c)
{
    const struct cli_command *cmd = c->command;

    for (int i = 0; i < FLAG__COUNT; i++)
        if (c->flags[i] && !((cmd->flags | cli_common_flags) & CLI_BIT(i)))
            return cli_fail(PST_EXIT_USAGE, "%s does not know --%s (see: postern help %s)",
                            cmd->name, cli_flags[i].name, cmd->name);
    if (c->args_n < cmd->args_min || c->args_n > cmd->args_max)
        return cli_fail(PST_EXIT_USAGE, "usage: postern %s%s%s%s", cmd->app ? "--app NAME " : "",
                        cmd->name, *cmd->args ? " " : "", cmd->args);
    if (cmd->app && !c->app)
        return cli_fail(PST_EXIT_USAGE, "%s works on an app: give --app NAME or set POSTERN_APP",
                        cmd->name);
    return PST_EXIT_OK;
}

int cli_parse(struct cli *c, int argc, char **argv)
{
    bool flags_over = false;

    for (int i = 1; i < argc; i++) {
        int status;
        if (!flags_over && pst_streq(argv[i], "--")) {
            flags_over = true;
            continue;
        }
        if (!flags_over && argv[i][0] == '-' && argv[i][1])
            status = take_flag(c, argc, argv, &i);
        else
            status = take_word(c, argv[i]);
        if (status != PST_EXIT_OK)
            return status;
    }
    for (int i = 0; i < FLAG__COUNT; i++) {
        const char *from_env = cli_flags[i].env ? getenv(cli_flags[i].env) : NULL;
        if (!c->flags[i] && from_env && *from_env)
            c->flags[i] = from_env;
    }
    c->app = c->flags[FLAG_APP];
    c->json = c->flags[FLAG_JSON] != NULL;
    if (c->flags[FLAG_HELP])
        return PST_EXIT_OK;
    if (!c->command) {
        cli_print_help(stderr, NULL);
        return PST_EXIT_USAGE;
    }
    return check(c);
}
