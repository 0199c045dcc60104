/* verbs_platform.c - the platform's certificates and edges. */
#include "cli_internal.h"

enum { PART_SIZE = 1024 };

int cli_platform(struct cli *c)
{
    static const struct cli_column columns[] = {
        {"ORIGIN", "origin", CLI_PLAIN},  {"VALID", "valid", CLI_YES_NO},
        {"SERVED", "served", CLI_YES_NO}, {"UNTIL", "not_after", CLI_TIME},
        {"ISSUER", "issuer", CLI_PLAIN},  {"SERIAL", "serial", CLI_PLAIN},
    };
    auto_answer struct cli_answer a = {0};

    int status = cli_ask(c, "GET", NULL, &a, "/v1/platform");
    if (status != PST_EXIT_OK || cli_print_json(c, a.json))
        return status;
    const struct pst_json *p = pst_json_get(a.json, "platform");
    status = cli_list(c, pst_json_get(p, "ladder"), columns, PST_ARRAY_N(columns));
    const struct pst_json *d = pst_json_get(p, "domain");
    if (status != PST_EXIT_OK || pst_json_type(d) != PST_JSON_OBJECT)
        return status;
    const char *reason = pst_json_get_text(d, "reason");
    cli_line("%s by ACME: %s%s%s", cli_text(d, "name"), cli_text(d, "word"), reason ? ": " : "",
             reason ? reason : "");
    cli_line("More: postern --app %s domains-explain '%s'", cli_text(p, "app"),
             cli_text(d, "name"));
    return PST_EXIT_OK;
}

int cli_edges(struct cli *c)
{
    static const struct cli_column columns[] = {
        {"NAME", "name", CLI_PLAIN},           {"LIVE", "live", CLI_YES_NO},
        {"BEHIND", "behind", CLI_PLAIN},       {"REVISION", "acked_revision", CLI_PLAIN},
        {"LAST POLL", "polled_at", CLI_TIME},  {"REGION", "region", CLI_PLAIN},
        {"PROBE", "probe_address", CLI_PLAIN}, {"ID", "id", CLI_PLAIN},
    };
    auto_answer struct cli_answer a = {0};

    int status = cli_ask(c, "GET", NULL, &a, "/v1/edges");
    if (status != PST_EXIT_OK || cli_print_json(c, a.json))
        return status;
    return cli_list(c, pst_json_get(a.json, "edges"), columns, PST_ARRAY_N(columns));
}

int cli_edges_remove(struct cli *c)
{
    auto_answer struct cli_answer a = {0};
    char id[PART_SIZE];

    int status =
        cli_ask(c, "DELETE", NULL, &a, "/v1/edges/%s", cli_encode(id, sizeof id, c->args[0]));
    if (status != PST_EXIT_OK || cli_print_json(c, a.json))
        return status;
    cli_line("The edge has been removed.");
    return PST_EXIT_OK;
}

int cli_edges_enrol_token(struct cli *c)
{
    auto_(pst_json_free) struct pst_json *body = pst_json_object();
    auto_answer struct cli_answer a = {0};
    char until[CLI_TIME_SIZE];

    if (!body)
        return cli_fail(PST_EXIT_FAILED, "no memory");
    int status = cli_ask(c, "POST", body, &a, "/v1/edges/enrol-tokens");
    if (status != PST_EXIT_OK || cli_print_json(c, a.json))
        return status;
    const struct pst_json *t = pst_json_get(a.json, "enrol_token");
    /* Alone on standard output, so that it can go straight into a file. */
    cli_line("%s", cli_text(t, "token"));
    if (c->tty)
        cli_line("Valid once, until %s.", cli_time(until, pst_json_get_text(t, "expires_at")));
    return PST_EXIT_OK;
}
