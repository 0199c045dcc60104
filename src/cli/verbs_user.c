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

/* ---- CAs ---- */

static void tell_limits(const struct pst_json *limits)
{
    for (size_t i = 0; i < pst_json_len(limits); i++) {
        const struct pst_json *l = pst_json_at(limits, i);
        int64_t of = 0, period_s = 0, left = 0;
        pst_json_get_int(l, "of", &of);
        pst_json_get_int(l, "period_s", &period_s);
        if (pst_json_get_int(l, "left", &left))
            cli_line("%-18s %lld of %lld %s in %lld h", i ? "" : "Limits", (long long)left,
                     (long long)of, cli_text(l, "text"), (long long)period_s / 3600);
        else
            cli_line("%-18s %lld %s in %lld h", i ? "" : "Limits", (long long)of,
                     cli_text(l, "text"), (long long)period_s / 3600);
    }
}

static const char *yes_no(const struct pst_json *ca, const char *key)
{
    bool yes;

    return !pst_json_get_bool(ca, key, &yes) ? "not known" : yes ? "yes" : "no";
}

static void tell_ca(const struct pst_json *ca)
{
    static const struct {
        const char *label, *key;
    } rows[] = {{"Directory", "directory"}, {"Account", "account_url"},
                {"Status", "status"},       {"Reason", "reason"},
                {"Contact", "contact"},     {"Terms", "terms_of_service"},
                {"Website", "website"},     {"Last failure", "failure"}};
    const struct pst_json *profiles = pst_json_get(ca, "profiles");
    const struct pst_json *issuers = pst_json_get(ca, "issuers");
    char when[CLI_TIME_SIZE];

    for (size_t i = 0; i < PST_ARRAY_N(rows); i++)
        if (pst_json_get_text(ca, rows[i].key))
            cli_line("%-18s %s", rows[i].label, cli_text(ca, rows[i].key));
    cli_line("%-18s %s", "Terms agreed", cli_time(when, pst_json_get_text(ca, "terms_agreed_at")));
    cli_line("%-18s %s", "Answers", yes_no(ca, "reachable"));
    cli_line("%-18s %s", "Last answer", cli_time(when, pst_json_get_text(ca, "answered_at")));
    cli_line("%-18s %s", "Needs binding", yes_no(ca, "external_account_required"));
    for (size_t i = 0; i < pst_json_len(issuers); i++)
        cli_line("%-18s %s", i ? "" : "Issuer in CAA", pst_json_text(pst_json_at(issuers, i)));
    for (size_t i = 0; i < pst_json_len(profiles); i++)
        cli_line("%-18s %s: %s", i ? "" : "Profiles", cli_text(pst_json_at(profiles, i), "name"),
                 cli_text(pst_json_at(profiles, i), "text"));
    tell_limits(pst_json_get(ca, "limits"));
}

int cli_cas(struct cli *c)
{
    static const struct cli_column columns[] = {
        {"ID", "id", CLI_PLAIN},
        {"DIRECTORY", "directory", CLI_PLAIN},
        {"STATUS", "status", CLI_PLAIN},
        {"ANSWERS", "reachable", CLI_YES_NO},
        {"LAST ANSWER", "answered_at", CLI_TIME},
    };
    auto_answer struct cli_answer a = {0};
    char id[PART_SIZE];
    int status;

    if (c->args_n)
        status = cli_ask(c, "GET", NULL, &a, "/v1/cas/%s", cli_encode(id, sizeof id, c->args[0]));
    else
        status = cli_ask(c, "GET", NULL, &a, "/v1/cas");
    if (status != PST_EXIT_OK || cli_print_json(c, a.json))
        return status;
    if (!c->args_n)
        return cli_list(c, pst_json_get(a.json, "cas"), columns, PST_ARRAY_N(columns));
    tell_ca(pst_json_get(a.json, "ca"));
    return PST_EXIT_OK;
}
