/* help.c - what is made from the tables: help, completion, the manual page. */
#include "cli_internal.h"

#include <string.h>

static const char intro[] =
    "postern - the command line client of Postern: certificates for every domain of a platform";

static const struct {
    int status;
    const char *text;
} statuses[] = {
    {PST_EXIT_OK, "Done."},
    {PST_EXIT_FAILED, "The server refused, or something failed; the reason is on standard error."},
    {PST_EXIT_USAGE, "The command line is wrong."},
    {PST_EXIT_UNREACHED, "The server was not reached."},
    {PST_EXIT_LOGIN, "Not logged in, or the API token is not valid (any more)."},
};

/* Words of `text`, broken to lines of 78 columns, each behind `indent` blanks. */
static void print_wrapped(FILE *to, const char *text, int indent)
{
    int column = 0;

    while (*text) {
        int len = (int)strcspn(text, " ");
        if (column && column + 1 + len > 78) {
            fputc('\n', to);
            column = 0;
        }
        if (column == 0)
            column = fprintf(to, "%*s%.*s", indent, "", len, text);
        else
            column += fprintf(to, " %.*s", len, text);
        text += len;
        text += strspn(text, " ");
    }
    fputc('\n', to);
}

static void print_flags(FILE *to, cli_flag_set set)
{
    for (int i = 0; i < FLAG__COUNT; i++) {
        const struct cli_flag_row *f = &cli_flags[i];
        char name[64];
        if (!(set & CLI_BIT(i)))
            continue;
        snprintf(name, sizeof name, "%s%c%s--%s%s%s", f->letter ? "-" : "",
                 f->letter ? f->letter : ' ', f->letter ? ", " : "   ", f->name,
                 f->value ? " " : "", f->value ? f->value : "");
        fprintf(to, "  %-24s %s", name, f->text);
        if (f->env)
            fprintf(to, " (or %s)", f->env);
        fputc('\n', to);
    }
}

static void print_program(FILE *to)
{
    fprintf(to, "%s\n\nusage: postern [flags] COMMAND [arguments]\n\nCommands:\n", intro);
    for (size_t i = 0; i < cli_commands_n; i++)
        fprintf(to, "  %-24s %s\n", cli_commands[i].name, cli_commands[i].text);
    fprintf(to, "\nFlags of all commands:\n");
    print_flags(to, cli_common_flags);
    fprintf(to, "\nExit status:\n");
    for (size_t i = 0; i < PST_ARRAY_N(statuses); i++)
        fprintf(to, "  %d  %s\n", statuses[i].status, statuses[i].text);
    fprintf(to, "\n\"postern help COMMAND\" tells more about one.\n");
}

void cli_print_help(FILE *to, const struct cli_command *command)
{
    if (!command) {
        print_program(to);
        return;
    }
    fprintf(to, "usage: postern %s%s%s%s [flags]\n\n", command->app ? "--app NAME " : "",
            command->name, *command->args ? " " : "", command->args);
    print_wrapped(to, command->text, 0);
    if (command->detail) {
        fputc('\n', to);
        print_wrapped(to, command->detail, 0);
    }
    if (command->flags) {
        fprintf(to, "\nFlags:\n");
        print_flags(to, command->flags);
    }
    fprintf(to, "\nFlags of all commands:\n");
    print_flags(to, cli_common_flags);
}

int cli_help(struct cli *c)
{
    const struct cli_command *about = NULL;

    if (c->args_n) {
        about = cli_command_find(c->args[0]);
        if (!about)
            return cli_fail(PST_EXIT_USAGE, "there is no command %s", c->args[0]);
    }
    cli_print_help(stdout, about);
    return PST_EXIT_OK;
}

int cli_version(struct cli *c)
{
    if (c->json)
        printf("{\n  \"version\": \"%s\"\n}\n", PST_VERSION);
    else
        printf("postern %s\n", PST_VERSION);
    return PST_EXIT_OK;
}

/* ---- completion ---- */

static void bash_words(cli_flag_set set)
{
    for (int i = 0; i < FLAG__COUNT; i++)
        if (set & CLI_BIT(i))
            printf(" --%s", cli_flags[i].name);
}

static void bash(void)
{
    printf("# completion of postern for bash, made by: postern completion bash\n"
           "_postern() {\n"
           "    local word=${COMP_WORDS[COMP_CWORD]} verb= flags= i\n"
           "    for ((i = 1; i < COMP_CWORD; i++)); do\n"
           "        case ${COMP_WORDS[i]} in\n"
           "        -a");
    for (int i = 0; i < FLAG__COUNT; i++)
        if (cli_flags[i].value)
            printf("|--%s", cli_flags[i].name);
    printf(") ((i++)) ;;\n"
           "        -*) ;;\n"
           "        *) verb=${COMP_WORDS[i]}; break ;;\n"
           "        esac\n"
           "    done\n"
           "    case $verb in\n");
    for (size_t i = 0; i < cli_commands_n; i++) {
        if (!cli_commands[i].flags)
            continue;
        printf("    %s) flags='", cli_commands[i].name);
        bash_words(cli_commands[i].flags);
        printf("' ;;\n");
    }
    printf("    esac\n"
           "    if [[ $word == -* ]]; then\n"
           "        COMPREPLY=($(compgen -W \"$flags");
    bash_words(cli_common_flags);
    printf("\" -- \"$word\"))\n"
           "    elif [[ -z $verb || $verb == help ]]; then\n"
           "        COMPREPLY=($(compgen -W '");
    for (size_t i = 0; i < cli_commands_n; i++)
        printf("%s%s", i ? " " : "", cli_commands[i].name);
    printf("' -- \"$word\"))\n"
           "    elif [[ $verb == completion ]]; then\n"
           "        COMPREPLY=($(compgen -W 'bash zsh fish' -- \"$word\"))\n"
           "    fi\n"
           "}\n"
           "complete -F _postern postern\n");
}

/* Text for single quotes in a shell. */
static void quoted(const char *text)
{
    for (; *text; text++) {
        if (*text == '\'')
            fputs("'\\''", stdout);
        else
            fputc(*text, stdout);
    }
}

/* Text inside [...] of zsh's _arguments. */
static void bracketed(const char *text)
{
    for (; *text; text++) {
        if (strchr("[]:\\", *text))
            fputc('\\', stdout);
        if (*text == '\'')
            fputs("'\\''", stdout);
        else
            fputc(*text, stdout);
    }
}

static void zsh_flags(cli_flag_set set)
{
    for (int i = 0; i < FLAG__COUNT; i++) {
        if (!(set & CLI_BIT(i)))
            continue;
        printf(" \\\n            '--%s[", cli_flags[i].name);
        bracketed(cli_flags[i].text);
        printf(cli_flags[i].value ? "]:%s:'" : "]%s'",
               cli_flags[i].value ? cli_flags[i].value : "");
    }
}

static void zsh(void)
{
    printf("#compdef postern\n# completion of postern for zsh, made by: postern completion zsh\n"
           "_postern_commands() {\n    local -a commands=(\n");
    for (size_t i = 0; i < cli_commands_n; i++) {
        printf("        '%s:", cli_commands[i].name);
        bracketed(cli_commands[i].text);
        printf("'\n");
    }
    printf("    )\n    _describe command commands\n}\n"
           "_postern() {\n    local context state line\n    _arguments -C");
    zsh_flags(cli_common_flags);
    printf(" \\\n            '1:command:_postern_commands' '*::argument:->argument'\n"
           "    [[ $state == argument ]] || return\n"
           "    case $line[1] in\n");
    for (size_t i = 0; i < cli_commands_n; i++) {
        if (!cli_commands[i].flags)
            continue;
        printf("    %s)\n        _arguments", cli_commands[i].name);
        zsh_flags(cli_commands[i].flags | cli_common_flags);
        printf(" ;;\n");
    }
    printf("    help) _postern_commands ;;\n"
           "    completion) _values shell bash zsh fish ;;\n"
           "    esac\n}\n_postern \"$@\"\n");
}

static void fish_flag(const char *condition, const struct cli_flag_row *f)
{
    printf("complete -c postern%s -l %s", condition, f->name);
    if (f->letter)
        printf(" -s %c", f->letter);
    printf("%s -d '", f->value ? " -x" : "");
    quoted(f->text);
    printf("'\n");
}

static void fish(void)
{
    char condition[128];

    printf("# completion of postern for fish, made by: postern completion fish\n"
           "complete -c postern -f\n");
    for (int i = 0; i < FLAG__COUNT; i++)
        if (cli_common_flags & CLI_BIT(i))
            fish_flag("", &cli_flags[i]);
    for (size_t i = 0; i < cli_commands_n; i++) {
        const struct cli_command *cmd = &cli_commands[i];
        printf("complete -c postern -n __fish_use_subcommand -a %s -d '", cmd->name);
        quoted(cmd->text);
        printf("'\n");
        snprintf(condition, sizeof condition, " -n '__fish_seen_subcommand_from %s'", cmd->name);
        for (int k = 0; k < FLAG__COUNT; k++)
            if (cmd->flags & CLI_BIT(k))
                fish_flag(condition, &cli_flags[k]);
    }
    printf("complete -c postern -n '__fish_seen_subcommand_from completion' -a 'bash zsh fish'\n");
}

int cli_completion(struct cli *c)
{
    static const struct {
        const char *name;
        void (*print)(void);
    } shells[] = {{"bash", bash}, {"zsh", zsh}, {"fish", fish}};

    for (size_t i = 0; i < PST_ARRAY_N(shells); i++) {
        if (pst_streq(shells[i].name, c->args[0])) {
            shells[i].print();
            return PST_EXIT_OK;
        }
    }
    return cli_fail(PST_EXIT_USAGE, "%s is not one of bash, zsh and fish", c->args[0]);
}

/* ---- the manual page ---- */

/* One line of text; mdoc wants each sentence to begin a line, and no '.' or '\'' at its start. */
static void mdoc_text(const char *text)
{
    for (const char *p = text; *p; p++) {
        if (*p == '\\')
            fputs("\\e", stdout);
        else
            fputc(*p, stdout);
        if (*p == '.' && p[1] == ' ') {
            fputc('\n', stdout);
            p++;
        }
    }
    fputc('\n', stdout);
}

static void mdoc_flags(cli_flag_set set)
{
    printf(".Bl -tag -width Ds\n");
    for (int i = 0; i < FLAG__COUNT; i++) {
        const struct cli_flag_row *f = &cli_flags[i];
        if (!(set & CLI_BIT(i)))
            continue;
        printf(".It ");
        if (f->letter)
            printf("Fl %c , ", f->letter);
        printf("Fl -%s%s%s\n", f->name, f->value ? " Ar " : "", f->value ? f->value : "");
        mdoc_text(f->text);
        if (f->env)
            printf("Without it the environment variable\n.Ev %s\ncounts.\n", f->env);
    }
    printf(".El\n");
}

static void mdoc_command(const struct cli_command *cmd)
{
    printf(".It Cm %s", cmd->name);
    if (*cmd->args) {
        bool optional = cmd->args[0] == '[';
        size_t len = strlen(cmd->args) - (optional ? 2 : 0);
        printf(" %sAr %.*s", optional ? "Op " : "", (int)len, cmd->args + optional);
    }
    printf("\n");
    mdoc_text(cmd->text);
    if (cmd->app)
        printf("Works on the app of\n.Fl -app .\n");
    if (cmd->detail)
        mdoc_text(cmd->detail);
    if (cmd->flags)
        mdoc_flags(cmd->flags);
}

int cli_mdoc(struct cli *c)
{
    (void)c;
    printf(".\\\" Made by \"postern mdoc\" from the tables in src/cli/commands.c.\n"
           ".Dd November 20, 2026\n.Dt POSTERN 1\n.Os Postern\n.Sh NAME\n.Nm postern\n"
           ".Nd command line client of Postern\n.Sh SYNOPSIS\n.Nm postern\n.Op Ar flags\n"
           ".Ar command\n.Op Ar arguments\n.Sh DESCRIPTION\n.Nm\n"
           "makes apps, points them at their upstreams, brings domains to them and tells in plain\n"
           "words how the certificate of each domain is doing.\n"
           "It speaks to the API of\n.Xr posternd 8 .\n"
           "Commands and flags are those of the scalingo client where that has them.\n.Pp\n"
           "On a terminal lists are tables; in a pipe they are lines with columns separated by\n"
           "tabs and without a heading.\n"
           "The flags of all commands, which may stand anywhere on the line:\n");
    mdoc_flags(cli_common_flags);
    printf(".Sh COMMANDS\n.Bl -tag -width Ds\n");
    for (size_t i = 0; i < cli_commands_n; i++)
        mdoc_command(&cli_commands[i]);
    printf(".El\n.Sh ENVIRONMENT\n.Bl -tag -width POSTERN_CA_FILE\n"
           ".It Ev POSTERN_APP\nThe app, when\n.Fl -app\nis not given.\n"
           ".It Ev POSTERN_CA_FILE\nPEM file with the roots that the server's certificate is "
           "checked against.\n"
           ".It Ev POSTERN_TOKEN\nThe API token; no login is needed then.\n"
           ".It Ev POSTERN_URL\nThe server, when\n.Fl -url\nis not given.\n.El\n"
           ".Sh FILES\n.Bl -tag -width Ds\n.It Pa ~/.config/postern/auth.json\n"
           "The stored logins, by the URL of their server.\n"
           "Readable by its owner only; anything else is refused.\n.El\n"
           ".Sh EXIT STATUS\n.Bl -tag -width Ds -compact\n");
    for (size_t i = 0; i < PST_ARRAY_N(statuses); i++)
        printf(".It %d\n%s\n", statuses[i].status, statuses[i].text);
    printf(".El\n.Sh EXAMPLES\nAn app with a domain of its own, and what became of it:\n"
           ".Bd -literal -offset indent\n"
           "$ postern login --url http://127.0.0.1:8080\n"
           "$ postern create my-shop\n"
           "$ postern --app my-shop upstreams-set 127.0.0.1:3000\n"
           "$ postern --app my-shop domains-add --wait www.example.com\n"
           "$ postern --app my-shop domains-explain www.example.com\n.Ed\n"
           ".Sh SEE ALSO\n.Xr postern-edged 8 ,\n.Xr posternd 8\n");
    return PST_EXIT_OK;
}
