/* verbs_user.c - API tokens, and for operators accounts and the ledger of limits. */
#include "cli_internal.h"

enum { PART_SIZE = 1024 };

/* ---- tokens ---- */

/* The account whose tokens are meant: --user, else the caller. */
static const char *tokens_path(const struct cli *c, char to[PART_SIZE + 32])
{
    char user[PART_SIZE];

    if (c->flags[FLAG_USER])
        snprintf(to, PART_SIZE + 32, "/v1/users/%s/tokens",
                 cli_encode(user, sizeof user, c->flags[FLAG_USER]));
    else
        snprintf(to, PART_SIZE + 32, "/v1/tokens");
    return to;
}

int cli_tokens(struct cli *c)
{
    static const struct cli_column columns[] = {
        {"NAME", "name", CLI_PLAIN},
        {"CREATED", "created_at", CLI_TIME},
        {"LAST USED", "last_used_at", CLI_TIME},
        {"READ ONLY", "read_only", CLI_YES_NO},
        {"APP", "app_id", CLI_PLAIN},
        {"ID", "id", CLI_PLAIN},
    };
    auto_answer struct cli_answer a = {0};
    char path[PART_SIZE + 32];

    int status = cli_ask(c, "GET", NULL, &a, "%s", tokens_path(c, path));
    if (status != PST_EXIT_OK || cli_print_json(c, a.json))
        return status;
    return cli_list(c, pst_json_get(a.json, "tokens"), columns, PST_ARRAY_N(columns));
}

/* Alone on standard output, so that it can go straight into a file. */
static int print_token(const struct cli *c, const struct cli_answer *a)
{
    const struct pst_json *t = pst_json_get(a->json, "token");

    if (cli_print_json(c, a->json))
        return PST_EXIT_OK;
    cli_line("%s", cli_text(t, "token"));
    if (c->tty)
        cli_line("Its id is %s. It is shown only now.", cli_text(t, "id"));
    return PST_EXIT_OK;
}

int cli_tokens_create(struct cli *c)
{
    auto_(pst_json_free) struct pst_json *token = pst_json_object();
    auto_(pst_json_free) struct pst_json *body = pst_json_object();
    auto_answer struct cli_answer a = {0};
    char path[PART_SIZE + 32];

    if (!pst_json_set_text(token, "name", c->args[0]) ||
        !pst_json_set_bool(token, "read_only", c->flags[FLAG_READ_ONLY] != NULL) ||
        (c->app && !pst_json_set_text(token, "app", c->app)) ||
        !pst_json_set(body, "token", pst_take(&token)))
        return cli_fail(PST_EXIT_FAILED, "no memory");
    int status = cli_ask(c, "POST", body, &a, "%s", tokens_path(c, path));
    return status == PST_EXIT_OK ? print_token(c, &a) : status;
}

int cli_tokens_renew(struct cli *c)
{
    auto_answer struct cli_answer a = {0};
    char id[PART_SIZE];

    int status =
        cli_ask(c, "PATCH", NULL, &a, "/v1/tokens/%s/renew", cli_encode(id, sizeof id, c->args[0]));
    return status == PST_EXIT_OK ? print_token(c, &a) : status;
}

int cli_tokens_revoke(struct cli *c)
{
    auto_answer struct cli_answer a = {0};
    char path[PART_SIZE + 32], id[PART_SIZE];

    int status = cli_ask(c, "DELETE", NULL, &a, "%s/%s", tokens_path(c, path),
                         cli_encode(id, sizeof id, c->args[0]));
    if (status != PST_EXIT_OK || cli_print_json(c, a.json))
        return status;
    cli_line("The token has been revoked, and its sessions with it.");
    return PST_EXIT_OK;
}

/* ---- accounts ---- */

int cli_users(struct cli *c)
{
    static const struct cli_column columns[] = {
        {"NAME", "username", CLI_PLAIN}, {"ROLE", "role", CLI_PLAIN},
        {"MAIL", "email", CLI_PLAIN},    {"CREATED", "created_at", CLI_TIME},
        {"ID", "id", CLI_PLAIN},
    };
    auto_answer struct cli_answer a = {0};

    int status = cli_ask(c, "GET", NULL, &a, "/v1/users");
    if (status != PST_EXIT_OK || cli_print_json(c, a.json))
        return status;
    return cli_list(c, pst_json_get(a.json, "users"), columns, PST_ARRAY_N(columns));
}

int cli_users_add(struct cli *c)
{
    auto_(pst_json_free) struct pst_json *user = pst_json_object();
    auto_(pst_json_free) struct pst_json *body = pst_json_object();
    auto_answer struct cli_answer a = {0};
    const char *role = c->flags[FLAG_ROLE];

    if (!pst_json_set_text(user, "username", c->args[0]) ||
        !pst_json_set_text(user, "email", c->args[1]) ||
        (role && !pst_json_set_text(user, "role", role)) ||
        !pst_json_set(body, "user", pst_take(&user)))
        return cli_fail(PST_EXIT_FAILED, "no memory");
    int status = cli_ask(c, "POST", body, &a, "/v1/users");
    if (status != PST_EXIT_OK || cli_print_json(c, a.json))
        return status;
    cli_line("%s", cli_text(a.json, "token"));
    if (c->tty)
        cli_line("This API token of %s is shown only now.", c->args[0]);
    return PST_EXIT_OK;
}

int cli_users_remove(struct cli *c)
{
    auto_answer struct cli_answer a = {0};
    char name[PART_SIZE];

    int status =
        cli_ask(c, "DELETE", NULL, &a, "/v1/users/%s", cli_encode(name, sizeof name, c->args[0]));
    if (status != PST_EXIT_OK || cli_print_json(c, a.json))
        return status;
    cli_line("The account %s has been removed.", c->args[0]);
    return PST_EXIT_OK;
}

int cli_ledger(struct cli *c)
{
    static const struct cli_column columns[] = {
        {"LIMIT", "limit", CLI_PLAIN}, {"KEY", "key", CLI_PLAIN},     {"LEFT", "left", CLI_PLAIN},
        {"OF", "of", CLI_PLAIN},       {"NEXT", "next_at", CLI_TIME},
    };
    auto_answer struct cli_answer a = {0};

    int status = cli_ask(c, "GET", NULL, &a, "/v1/ledger");
    if (status != PST_EXIT_OK || cli_print_json(c, a.json))
        return status;
    return cli_list(c, pst_json_get(a.json, "ledger"), columns, PST_ARRAY_N(columns));
}
