/* verbs_app.c - apps and their upstreams. */
#include "cli_internal.h"

#include <string.h>
#include <unistd.h>

enum { PART_SIZE = 1024 };

int cli_apps(struct cli *c)
{
    static const struct cli_column columns[] = {
        {"NAME", "name", CLI_PLAIN},
        {"STATUS", "status", CLI_PLAIN},
        {"FORCE HTTPS", "force_https", CLI_YES_NO},
        {"URL", "url", CLI_PLAIN},
        {"CREATED", "created_at", CLI_TIME},
    };
    auto_answer struct cli_answer a = {0};

    int status = cli_ask(c, "GET", NULL, &a, "/v1/apps");
    if (status != PST_EXIT_OK || cli_print_json(c, a.json))
        return status;
    const struct pst_json *list = pst_json_get(a.json, "apps");
    if (c->tty && pst_json_len(list) == 0)
        cli_line("There are no apps yet.  Make one with: postern create NAME");
    return cli_list(c, list, columns, PST_ARRAY_N(columns));
}

int cli_create(struct cli *c)
{
    auto_(pst_json_free) struct pst_json *app = pst_json_object();
    auto_(pst_json_free) struct pst_json *body = pst_json_object();
    auto_answer struct cli_answer a = {0};

    if (!pst_json_set_text(app, "name", c->args[0]) || !pst_json_set(body, "app", pst_take(&app)))
        return cli_fail(PST_EXIT_FAILED, "no memory");
    int status = cli_ask(c, "POST", body, &a, "/v1/apps");
    if (status != PST_EXIT_OK || cli_print_json(c, a.json))
        return status;
    const char *url = pst_json_get_text(pst_json_get(a.json, "app"), "url");
    cli_line("App %s has been made.%s%s", c->args[0], url ? "  It is reachable at " : "",
             url ? url : "");
    return PST_EXIT_OK;
}

int cli_apps_info(struct cli *c)
{
    static const struct {
        const char *label, *key;
    } rows[] = {{"Id", "id"},   {"Status", "status"},      {"Region", "region"},
                {"URL", "url"}, {"Created", "created_at"}, {"Changed", "updated_at"}};
    static const struct {
        const char *label, *key;
    } settings[] = {{"Force HTTPS", "force_https"},
                    {"Sticky sessions", "sticky_session"},
                    {"Router logs", "router_logs"}};
    auto_answer struct cli_answer a = {0};
    char app[PART_SIZE];

    int status = cli_ask(c, "GET", NULL, &a, "/v1/apps/%s", cli_encode(app, sizeof app, c->app));
    if (status != PST_EXIT_OK || cli_print_json(c, a.json))
        return status;
    const struct pst_json *j = pst_json_get(a.json, "app");
    cli_line("%s", cli_text(j, "name"));
    for (size_t i = 0; i < PST_ARRAY_N(rows); i++)
        cli_line("  %-16s %s", rows[i].label, cli_text(j, rows[i].key));
    cli_line("  %-16s %s <%s>", "Owner", cli_text(pst_json_get(j, "owner"), "username"),
             cli_text(pst_json_get(j, "owner"), "email"));
    for (size_t i = 0; i < PST_ARRAY_N(settings); i++) {
        bool on = false;
        pst_json_get_bool(j, settings[i].key, &on);
        cli_line("  %-16s %s", settings[i].label, on ? "on" : "off");
    }
    return PST_EXIT_OK;
}

int cli_force_https(struct cli *c)
{
    auto_(pst_json_free) struct pst_json *body = pst_json_object();
    auto_answer struct cli_answer a = {0};
    bool on = !c->flags[FLAG_DISABLE];
    char app[PART_SIZE];

    if (c->flags[FLAG_DISABLE] && c->flags[FLAG_ENABLE])
        return cli_fail(PST_EXIT_USAGE, "--enable and --disable contradict each other");
    if (!pst_json_set_bool(body, "force_https", on))
        return cli_fail(PST_EXIT_FAILED, "no memory");
    int status = cli_ask(c, "PUT", body, &a, "/v1/apps/%s", cli_encode(app, sizeof app, c->app));
    if (status != PST_EXIT_OK || cli_print_json(c, a.json))
        return status;
    cli_line("Visitors of %s are %s sent from HTTP to HTTPS.", c->app, on ? "now" : "no longer");
    return PST_EXIT_OK;
}

/* The name must be typed again. */
static int confirm(const char *name)
{
    char line[256];

    if (!isatty(STDIN_FILENO))
        return cli_fail(PST_EXIT_USAGE,
                        "destroy asks for a confirmation; without a terminal give --force");
    fprintf(stderr,
            "This removes %s with its upstreams and domains.\nType its name to go on: ", name);
    if (!fgets(line, sizeof line, stdin))
        line[0] = '\0';
    line[strcspn(line, "\r\n")] = '\0';
    return pst_streq(line, name) ? PST_EXIT_OK : cli_fail(PST_EXIT_FAILED, "nothing was removed");
}

int cli_destroy(struct cli *c)
{
    const char *given = c->args_n ? c->args[0] : c->app;
    auto_answer struct cli_answer found = {0}, a = {0};
    char app[PART_SIZE], name[PART_SIZE];

    if (!given)
        return cli_fail(PST_EXIT_USAGE, "usage: postern destroy [--force] NAME");
    int status = cli_ask(c, "GET", NULL, &found, "/v1/apps/%s", cli_encode(app, sizeof app, given));
    if (status != PST_EXIT_OK)
        return status;
    const char *real = cli_text(pst_json_get(found.json, "app"), "name");
    if (!c->flags[FLAG_FORCE])
        status = confirm(real);
    if (status == PST_EXIT_OK)
        status = cli_ask(c, "DELETE", NULL, &a, "/v1/apps/%s?current_name=%s", app,
                         cli_encode(name, sizeof name, real));
    if (status != PST_EXIT_OK || cli_print_json(c, a.json))
        return status;
    cli_line("App %s has been removed.", real);
    return PST_EXIT_OK;
}

/* ---- upstreams ---- */

static int print_upstreams(const struct cli *c, const struct cli_answer *a)
{
    static const struct cli_column columns[] = {
        {"ADDRESS", "address", CLI_PLAIN},
        {"WEIGHT", "weight", CLI_PLAIN},
        {"DRAINS", "drain", CLI_YES_NO},
        {"ID", "id", CLI_PLAIN},
    };

    if (cli_print_json(c, a->json))
        return PST_EXIT_OK;
    return cli_list(c, pst_json_get(a->json, "upstreams"), columns, PST_ARRAY_N(columns));
}

int cli_upstreams(struct cli *c)
{
    auto_answer struct cli_answer a = {0};
    char app[PART_SIZE];

    int status =
        cli_ask(c, "GET", NULL, &a, "/v1/apps/%s/upstreams", cli_encode(app, sizeof app, c->app));
    return status == PST_EXIT_OK ? print_upstreams(c, &a) : status;
}

/* "192.0.2.1:3000" or "192.0.2.1:3000=5". */
static int add_upstream(struct pst_json *list, const char *arg)
{
    auto_(pst_json_free) struct pst_json *j = pst_json_object();
    const char *equals = strchr(arg, '=');
    auto_(pst_free) char *address = pst_strndup(arg, equals ? (size_t)(equals - arg) : strlen(arg));
    int64_t weight = 1;

    if (equals && !pst_parse_i64(equals + 1, 1, 100, &weight))
        return cli_fail(PST_EXIT_USAGE, "%s: the weight must be 1 to 100", arg);
    if (!address || !pst_json_set_text(j, "address", address) ||
        !pst_json_set_int(j, "weight", weight) || !pst_json_push(list, pst_take(&j)))
        return cli_fail(PST_EXIT_FAILED, "no memory");
    return PST_EXIT_OK;
}

int cli_upstreams_set(struct cli *c)
{
    auto_(pst_json_free) struct pst_json *list = pst_json_array();
    auto_(pst_json_free) struct pst_json *body = pst_json_object();
    auto_answer struct cli_answer a = {0};
    char app[PART_SIZE];

    if (!list)
        return cli_fail(PST_EXIT_FAILED, "no memory");
    for (int i = 0; i < c->args_n; i++) {
        int status = add_upstream(list, c->args[i]);
        if (status != PST_EXIT_OK)
            return status;
    }
    if (!pst_json_set(body, "upstreams", pst_take(&list)))
        return cli_fail(PST_EXIT_FAILED, "no memory");
    int status =
        cli_ask(c, "PUT", body, &a, "/v1/apps/%s/upstreams", cli_encode(app, sizeof app, c->app));
    return status == PST_EXIT_OK ? print_upstreams(c, &a) : status;
}

int cli_upstreams_drain(struct cli *c)
{
    auto_(pst_json_free) struct pst_json *upstream = pst_json_object();
    auto_(pst_json_free) struct pst_json *body = pst_json_object();
    char app[PART_SIZE], address[PART_SIZE];

    if (c->flags[FLAG_ENABLE] && c->flags[FLAG_DISABLE])
        return cli_fail(PST_EXIT_USAGE, "--enable and --disable exclude each other");
    if (!pst_json_set_bool(upstream, "drain", !c->flags[FLAG_DISABLE]) ||
        !pst_json_set(body, "upstream", pst_take(&upstream)))
        return cli_fail(PST_EXIT_FAILED, "no memory");
    cli_encode(app, sizeof app, c->app);
    for (int i = 0; i < c->args_n; i++) {
        auto_answer struct cli_answer a = {0};
        int status = cli_ask(c, "PATCH", body, &a, "/v1/apps/%s/upstreams/%s", app,
                             cli_encode(address, sizeof address, c->args[i]));
        if (status != PST_EXIT_OK)
            return status;
    }
    return cli_upstreams(c);
}
