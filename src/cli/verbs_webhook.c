/* verbs_webhook.c - who is told of events. */
#include "cli_internal.h"

#include <string.h>

enum { PART_SIZE = 1024 };

int cli_webhooks(struct cli *c)
{
    static const struct cli_column columns[] = {
        {"ID", "id", CLI_PLAIN},
        {"URL", "url", CLI_PLAIN},
        {"ON", "active", CLI_YES_NO},
        {"APP", "app_id", CLI_PLAIN},
        {"FAILURES", "failures", CLI_PLAIN},
        {"DELIVERED", "delivered_at", CLI_TIME},
        {"NEXT TRY", "next_try_at", CLI_TIME},
        {"LAST FAULT", "last_error", CLI_PLAIN},
    };
    auto_answer struct cli_answer a = {0};

    int status = cli_ask(c, "GET", NULL, &a, "/v1/webhooks");
    if (status != PST_EXIT_OK || cli_print_json(c, a.json))
        return status;
    return cli_list(c, pst_json_get(a.json, "webhooks"), columns, PST_ARRAY_N(columns));
}

/* The words between the commas. */
static struct pst_json *split(const char *text)
{
    auto_(pst_json_free) struct pst_json *list = pst_json_array();
    char word[PART_SIZE];

    while (list && text && *text) {
        size_t len = strcspn(text, ",");
        snprintf(word, sizeof word, "%.*s", (int)len, text);
        if (!pst_json_push_text(list, word))
            return NULL;
        text += len + (text[len] == ',');
    }
    return pst_take(&list);
}

int cli_webhooks_add(struct cli *c)
{
    auto_(pst_json_free) struct pst_json *body = pst_json_object();
    auto_(pst_json_free) struct pst_json *hook = pst_json_object();
    auto_answer struct cli_answer a = {0};

    if (!pst_json_set_text(hook, "url", c->args[0]) ||
        (c->app && !pst_json_set_text(hook, "app", c->app)) ||
        (c->flags[FLAG_EVENTS] && !pst_json_set(hook, "events", split(c->flags[FLAG_EVENTS]))) ||
        !pst_json_set(body, "webhook", pst_take(&hook)))
        return cli_fail(PST_EXIT_FAILED, "no memory");
    int status = cli_ask(c, "POST", body, &a, "/v1/webhooks");
    if (status != PST_EXIT_OK || cli_print_json(c, a.json))
        return status;
    const struct pst_json *w = pst_json_get(a.json, "webhook");
    /* On lines of their own on standard output, for scripts. */
    cli_line("%s", cli_text(w, "id"));
    cli_line("%s", cli_text(w, "secret"));
    if (c->tty)
        cli_line("The second line is the secret that deliveries are signed with. It is shown only "
                 "now.");
    return PST_EXIT_OK;
}

int cli_webhooks_remove(struct cli *c)
{
    auto_answer struct cli_answer a = {0};
    char id[PART_SIZE];

    int status =
        cli_ask(c, "DELETE", NULL, &a, "/v1/webhooks/%s", cli_encode(id, sizeof id, c->args[0]));
    if (status != PST_EXIT_OK || cli_print_json(c, a.json))
        return status;
    cli_line("The webhook has been removed.");
    return PST_EXIT_OK;
}

int cli_webhooks_ping(struct cli *c)
{
    auto_answer struct cli_answer a = {0};
    char id[PART_SIZE];

    int status =
        cli_ask(c, "POST", NULL, &a, "/v1/webhooks/%s/ping", cli_encode(id, sizeof id, c->args[0]));
    if (status != PST_EXIT_OK || cli_print_json(c, a.json))
        return status;
    cli_line("A test event is on its way; \"postern webhooks\" shows how it went.");
    return PST_EXIT_OK;
}
