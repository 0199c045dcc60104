/* verbs_env.c - the environment of an app, its name, restarting it, its other switches. */
#include "cli_internal.h"

#include <string.h>

enum { PART_SIZE = 1024 };

#define NAME_CHARS "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-"

/* ---- variables ---- */

static int ask_variables(struct cli *c, bool aliases, struct cli_answer *a)
{
    char app[PART_SIZE];

    return cli_ask(c, "GET", NULL, a, "/v1/apps/%s/variables?aliases=%s",
                   cli_encode(app, sizeof app, c->app), aliases ? "true" : "false");
}

int cli_env(struct cli *c)
{
    auto_answer struct cli_answer a = {0};

    int status = ask_variables(c, true, &a);
    if (status != PST_EXIT_OK || cli_print_json(c, a.json))
        return status;
    const struct pst_json *list = pst_json_get(a.json, "variables");
    for (size_t i = 0; i < pst_json_len(list); i++) {
        const struct pst_json *v = pst_json_at(list, i);
        const char *value = pst_json_get_text(v, "value");
        cli_line("%s=%s", cli_text(v, "name"), value ? value : "");
    }
    return PST_EXIT_OK;
}

int cli_env_get(struct cli *c)
{
    auto_answer struct cli_answer a = {0};

    int status = ask_variables(c, false, &a);
    if (status != PST_EXIT_OK)
        return status;
    const struct pst_json *list = pst_json_get(a.json, "variables");
    for (size_t i = 0; i < pst_json_len(list); i++) {
        const struct pst_json *v = pst_json_at(list, i);
        const char *value = pst_json_get_text(v, "value");
        if (!value || !pst_streq(cli_text(v, "name"), c->args[0]))
            continue;
        if (cli_print_json(c, v))
            return PST_EXIT_OK;
        if (c->tty)
            cli_line("%s", value);
        else
            puts(value); /* as it is, for scripts */
        return PST_EXIT_OK;
    }
    return cli_fail(PST_EXIT_FAILED, "%s has no variable %s", c->app, c->args[0]);
}

/* "NAME=value" as a member of the list. */
static int add_variable(struct pst_json *list, const char *arg)
{
    auto_(pst_json_free) struct pst_json *j = pst_json_object();
    const char *equals = strchr(arg, '=');
    size_t len = strspn(arg, NAME_CHARS);

    if (!equals || len == 0 || arg + len != equals)
        return cli_fail(PST_EXIT_USAGE,
                        "%.64s: give NAME=VALUE; a name has letters, digits, _ and -", arg);
    auto_(pst_free) char *name = pst_strndup(arg, len);
    if (!name || !pst_json_set_text(j, "name", name) ||
        !pst_json_set_text(j, "value", equals + 1) || !pst_json_push(list, pst_take(&j)))
        return cli_fail(PST_EXIT_FAILED, "no memory");
    return PST_EXIT_OK;
}

int cli_env_set(struct cli *c)
{
    auto_(pst_json_free) struct pst_json *list = pst_json_array();
    auto_(pst_json_free) struct pst_json *body = pst_json_object();
    auto_answer struct cli_answer a = {0};
    char app[PART_SIZE];

    if (!list)
        return cli_fail(PST_EXIT_FAILED, "no memory");
    for (int i = 0; i < c->args_n; i++) {
        int status = add_variable(list, c->args[i]);
        if (status != PST_EXIT_OK)
            return status;
    }
    if (!pst_json_set(body, "variables", pst_take(&list)))
        return cli_fail(PST_EXIT_FAILED, "no memory");
    int status =
        cli_ask(c, "PUT", body, &a, "/v1/apps/%s/variables", cli_encode(app, sizeof app, c->app));
    if (status != PST_EXIT_OK || cli_print_json(c, a.json))
        return status;
    const struct pst_json *set = pst_json_get(a.json, "variables");
    for (size_t i = 0; i < pst_json_len(set); i++)
        cli_line("%s has been set.", cli_text(pst_json_at(set, i), "name"));
    return PST_EXIT_OK;
}

int cli_env_unset(struct cli *c)
{
    char app[PART_SIZE], name[PART_SIZE];

    cli_encode(app, sizeof app, c->app);
    for (int i = 0; i < c->args_n; i++) {
        auto_answer struct cli_answer a = {0};
        int status = cli_ask(c, "DELETE", NULL, &a, "/v1/apps/%s/variables/%s", app,
                             cli_encode(name, sizeof name, c->args[i]));
        if (status != PST_EXIT_OK)
            return status;
        if (!c->json)
            cli_line("%s has been removed.", c->args[i]);
    }
    if (c->json)
        cli_print_json(c, NULL);
    return PST_EXIT_OK;
}

/* ---- the app ---- */

int cli_rename(struct cli *c)
{
    auto_(pst_json_free) struct pst_json *body = pst_json_object();
    auto_answer struct cli_answer found = {0}, a = {0};
    char app[PART_SIZE];

    int status =
        cli_ask(c, "GET", NULL, &found, "/v1/apps/%s", cli_encode(app, sizeof app, c->app));
    if (status != PST_EXIT_OK)
        return status;
    const char *old = cli_text(pst_json_get(found.json, "app"), "name");
    if (!pst_json_set_text(body, "current_name", old) ||
        !pst_json_set_text(body, "new_name", c->args[0]))
        return cli_fail(PST_EXIT_FAILED, "no memory");
    status = cli_ask(c, "POST", body, &a, "/v1/apps/%s/rename", app);
    if (status != PST_EXIT_OK || cli_print_json(c, a.json))
        return status;
    cli_line("App %s is now called %s.", old, c->args[0]);
    return PST_EXIT_OK;
}

int cli_restart(struct cli *c)
{
    auto_answer struct cli_answer a = {0};
    char app[PART_SIZE];

    int status =
        cli_ask(c, "POST", NULL, &a, "/v1/apps/%s/restart", cli_encode(app, sizeof app, c->app));
    if (status != PST_EXIT_OK || cli_print_json(c, a.json))
        return status;
    cli_line("Noted. The processes of %s run elsewhere: nothing had to be restarted here.", c->app);
    return PST_EXIT_OK;
}

static int set_switch(struct cli *c, const char *key, bool on, const char *what)
{
    auto_(pst_json_free) struct pst_json *body = pst_json_object();
    auto_answer struct cli_answer a = {0};
    char app[PART_SIZE];

    if (c->flags[FLAG_DISABLE] && c->flags[FLAG_ENABLE])
        return cli_fail(PST_EXIT_USAGE, "--enable and --disable contradict each other");
    if (!pst_json_set_bool(body, key, on))
        return cli_fail(PST_EXIT_FAILED, "no memory");
    int status = cli_ask(c, "PUT", body, &a, "/v1/apps/%s", cli_encode(app, sizeof app, c->app));
    if (status != PST_EXIT_OK || cli_print_json(c, a.json))
        return status;
    cli_line("%s of %s are %s.", what, c->app, on ? "on" : "off");
    return PST_EXIT_OK;
}

int cli_sticky_session(struct cli *c)
{
    return set_switch(c, "sticky_session", !c->flags[FLAG_DISABLE], "Sticky sessions");
}

/* Without a flag it switches off, as Scalingo's CLI does. */
int cli_router_logs(struct cli *c)
{
    return set_switch(c, "router_logs", c->flags[FLAG_ENABLE] != NULL, "Router logs");
}

int cli_domains_retry(struct cli *c)
{
    auto_answer struct cli_answer a = {0};
    char app[PART_SIZE], name[PART_SIZE];

    int status =
        cli_ask(c, "POST", NULL, &a, "/v1/apps/%s/domains/%s/retry",
                cli_encode(app, sizeof app, c->app), cli_encode(name, sizeof name, c->args[0]));
    if (status != PST_EXIT_OK || cli_print_json(c, a.json))
        return status;
    cli_line("%s is tried again now; domains-explain tells how it goes.", c->args[0]);
    return PST_EXIT_OK;
}

/* ---- DNS providers ---- */

/* "DNS_OVH_ENDPOINT DNS_OVH_APPLICATION_KEY ..." */
static void join(struct pst_buf *to, const struct pst_json *list)
{
    for (size_t i = 0; i < pst_json_len(list); i++) {
        const char *name = pst_json_text(pst_json_at(list, i));
        pst_buf_printf(to, "%s%s", i ? " " : "", name ? name : "-");
    }
}

int cli_dns_providers(struct cli *c)
{
    static const char *const heads[] = {"DNS_PROVIDER", "VARIABLES"};
    auto_(cli_table_free) struct cli_table *t = NULL;
    auto_answer struct cli_answer a = {0};
    struct pst_err err = {0};

    int status = cli_ask(c, "GET", NULL, &a, "/v1/dns_providers");
    if (status != PST_EXIT_OK || cli_print_json(c, a.json))
        return status;
    const struct pst_json *list = pst_json_get(a.json, "dns_providers");
    int rc = cli_table_new(&t, heads, PST_ARRAY_N(heads), &err);
    for (size_t i = 0; rc == PST_OK && i < pst_json_len(list); i++) {
        auto_buf struct pst_buf names = PST_BUF(4096);
        join(&names, pst_json_get(pst_json_at(list, i), "variables"));
        cli_table_add(
            t, (const char *const[]){cli_text(pst_json_at(list, i), "name"), pst_buf_cstr(&names)});
    }
    if (rc == PST_OK)
        rc = cli_table_print(t, c->tty, stdout, &err);
    return rc == PST_OK ? PST_EXIT_OK : cli_fail(PST_EXIT_FAILED, "%s", err.text);
}
