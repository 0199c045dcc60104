/* verbs_events.c - what happened, page by page, and what happens. */
#include "cli_internal.h"

#include <string.h>
#include <time.h>

enum {
    PART_SIZE = 1024,
    LIMIT_DEFAULT = 50,
    FOLLOW_DEFAULT = 10,
    LIMIT_MAX = 100000,
    PAGE_MAX = 500, /* of the server */
};

/* The first page: of a domain, an app or the platform. */
static void first_path(const struct cli *c, int64_t limit, char to[CLI_PATH_MAX])
{
    char app[PART_SIZE], domain[PART_SIZE];
    int n = (int)(limit < PAGE_MAX ? limit : PAGE_MAX);

    if (!c->app) {
        snprintf(to, CLI_PATH_MAX, "/v1/events?limit=%d", n);
        return;
    }
    cli_encode(app, sizeof app, c->app);
    if (c->args_n)
        snprintf(to, CLI_PATH_MAX, "/v1/apps/%s/domains/%s/events?limit=%d", app,
                 cli_encode(domain, sizeof domain, c->args[0]), n);
    else
        snprintf(to, CLI_PATH_MAX, "/v1/apps/%s/events?limit=%d", app, n);
}

/* Append what the pages from `path` on hold, at most `limit`.  `path` becomes the link to follow.
 */
static int collect(struct cli *c, char path[CLI_PATH_MAX], int64_t limit, struct pst_json *all)
{
    char follow[CLI_PATH_MAX] = "";

    for (bool more = true; more;) {
        auto_answer struct cli_answer a = {0};
        int status = cli_ask(c, "GET", NULL, &a, "%s", path);
        if (status != PST_EXIT_OK)
            return status;
        const struct pst_json *list = pst_json_get(a.json, "events");
        const char *next = pst_json_get_text(a.json, "next");
        if (!follow[0])
            pst_str_copy(follow, sizeof follow, cli_text(a.json, "follow"));
        for (size_t i = 0; i < pst_json_len(list) && (int64_t)pst_json_len(all) < limit; i++)
            if (!pst_json_push(all, pst_json_clone(pst_json_at(list, i))))
                return cli_fail(PST_EXIT_FAILED, "no memory");
        more = next && (int64_t)pst_json_len(all) < limit && pst_str_copy(path, CLI_PATH_MAX, next);
    }
    pst_str_copy(path, CLI_PATH_MAX, follow);
    return PST_EXIT_OK;
}

static int tell_event(const struct cli *c, const struct pst_json *e)
{
    auto_buf struct pst_buf text = PST_BUF(64 * 1024);
    char when[CLI_TIME_SIZE];

    if (c->json) {
        struct pst_err err = {0};
        if (pst_json_write(e, &text, &err) != PST_OK)
            return cli_fail(PST_EXIT_FAILED, "%s", err.text);
        printf("%s\n", pst_buf_cstr(&text));
    } else {
        cli_line("%s  %s  %s  %s", cli_time(when, pst_json_get_text(e, "at")), cli_text(e, "actor"),
                 cli_text(e, "kind"), cli_text(e, "text"));
    }
    return fflush(stdout) == 0 ? PST_EXIT_OK : cli_fail(PST_EXIT_FAILED, "cannot write");
}

/* Was it told before it was sealed, or is it older than what was to be shown? */
static bool told(const struct pst_json *list, const struct pst_json *e)
{
    size_t n = pst_json_len(list);

    if (n && strcmp(cli_text(e, "at"), cli_text(pst_json_at(list, n - 1), "at")) < 0)
        return true;
    for (size_t i = 0; i < n; i++)
        if (pst_streq(cli_text(pst_json_at(list, i), "id"), cli_text(e, "id")))
            return true;
    return false;
}

static int follow(struct cli *c, char path[CLI_PATH_MAX], const struct pst_json *first)
{
    const struct timespec pause = {1, 0};

    for (size_t i = pst_json_len(first); i > 0; i--) {
        int status = tell_event(c, pst_json_at(first, i - 1));
        if (status != PST_EXIT_OK)
            return status;
    }
    for (;;) {
        auto_answer struct cli_answer a = {0};
        int status = cli_ask(c, "GET", NULL, &a, "%s", path);
        if (status != PST_EXIT_OK)
            return status;
        const struct pst_json *list = pst_json_get(a.json, "events");
        for (size_t i = 0; status == PST_EXIT_OK && i < pst_json_len(list); i++)
            if (!told(first, pst_json_at(list, i)))
                status = tell_event(c, pst_json_at(list, i));
        if (status != PST_EXIT_OK)
            return status;
        pst_str_copy(path, CLI_PATH_MAX, cli_text(a.json, "next"));
        if (pst_json_len(list) == 0)
            nanosleep(&pause, NULL);
    }
}

int cli_events(struct cli *c)
{
    static const struct cli_column columns[] = {
        {"WHEN", "at", CLI_TIME},
        {"WHO", "actor", CLI_PLAIN},
        {"KIND", "kind", CLI_PLAIN},
        {"WHAT", "text", CLI_PLAIN},
    };
    auto_(pst_json_free) struct pst_json *all = pst_json_array();
    auto_(pst_json_free) struct pst_json *j = pst_json_object();
    int64_t limit = c->flags[FLAG_FOLLOW] ? FOLLOW_DEFAULT : LIMIT_DEFAULT;
    char path[CLI_PATH_MAX];

    if (c->flags[FLAG_LIMIT] && !pst_parse_i64(c->flags[FLAG_LIMIT], 1, LIMIT_MAX, &limit))
        return cli_fail(PST_EXIT_USAGE, "--limit must be 1 to %d", LIMIT_MAX);
    if (c->args_n && !c->app)
        return cli_fail(PST_EXIT_USAGE, "for the events of a domain --app is needed");
    if (!all)
        return cli_fail(PST_EXIT_FAILED, "no memory");
    first_path(c, limit, path);
    int status = collect(c, path, limit, all);
    if (status != PST_EXIT_OK)
        return status;
    if (c->flags[FLAG_FOLLOW])
        return follow(c, path, all);
    if (!pst_json_set(j, "events", pst_take(&all)))
        return cli_fail(PST_EXIT_FAILED, "no memory");
    if (cli_print_json(c, j))
        return PST_EXIT_OK;
    return cli_list(c, pst_json_get(j, "events"), columns, PST_ARRAY_N(columns));
}
