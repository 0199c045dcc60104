/* verbs_domain.c - domains. */
#include "cli_internal.h"

#include <string.h>
#include <time.h>

enum { PART_SIZE = 1024, WAIT_DEFAULT_S = 600 };

/* Is a record waited for that somebody has to make?  At a renewal, too, when the domain has its
 * certificate and so is "In use". */
static bool is_manual(const struct pst_json *d)
{
    return pst_json_get_text(d, "acme_dns_fqdn") ||
           (pst_streq(pst_json_get_text(d, "acme_method"), "dns-01:manual") &&
            pst_json_get_text(d, "record"));
}

/* "www.example.com (*)": the canonical one is marked. */
static void list_domain(struct cli_table *t, const struct pst_json *d)
{
    char name[512], validity[CLI_TIME_SIZE], next[CLI_TIME_SIZE], action[512] = "";
    bool canonical = false;

    if (is_manual(d))
        pst_str_cut(action, sizeof action, cli_text(d, "record"));

    pst_json_get_bool(d, "canonical", &canonical);
    snprintf(name, sizeof name, "%s%s", cli_text(d, "name"), canonical ? " (*)" : "");
    cli_table_add(t, (const char *const[]){
                         name,
                         pst_json_get_text(d, "word"),
                         cli_time(validity, pst_json_get_text(d, "validity")),
                         cli_time(next, pst_json_get_text(d, "next_try_at")),
                         pst_json_get_text(d, "reason"),
                         action,
                     });
}

static bool any_manual(const struct pst_json *list)
{
    for (size_t i = 0; i < pst_json_len(list); i++)
        if (is_manual(pst_json_at(list, i)))
            return true;
    return false;
}

int cli_domains(struct cli *c)
{
    static const char *const heads[] = {"NAME",     "STATUS", "VALID UNTIL",
                                        "NEXT TRY", "REASON", "MANUAL ACTION"};
    auto_(cli_table_free) struct cli_table *t = NULL;
    auto_answer struct cli_answer a = {0};
    struct pst_err err = {0};
    char app[PART_SIZE];

    int status =
        cli_ask(c, "GET", NULL, &a, "/v1/apps/%s/domains", cli_encode(app, sizeof app, c->app));
    if (status != PST_EXIT_OK || cli_print_json(c, a.json))
        return status;
    const struct pst_json *list = pst_json_get(a.json, "domains");
    int rc = cli_table_new(&t, heads, PST_ARRAY_N(heads) - !any_manual(list), &err);
    for (size_t i = 0; rc == PST_OK && i < pst_json_len(list); i++)
        list_domain(t, pst_json_at(list, i));
    if (rc == PST_OK)
        rc = cli_table_print(t, c->tty, stdout, &err);
    return rc == PST_OK ? PST_EXIT_OK : cli_fail(PST_EXIT_FAILED, "%s", err.text);
}

/* ---- adding ---- */

static void sleep_s(int seconds)
{
    struct timespec left = {seconds, 0};

    while (nanosleep(&left, &left) != 0)
        continue;
}

struct wait {
    char path[2 * PART_SIZE + 64];
    char told[1024]; /* the last line that was printed */
    int64_t until_ms;
};

/* Print where it stands, when that is something new. */
static void tell_progress(struct wait *w, const struct pst_json *e)
{
    const struct pst_json *order = pst_json_get(e, "order");
    const char *step = pst_json_get_text(order, "step");
    const char *reason = pst_json_get_text(e, "reason");
    const char *record = pst_json_get_text(e, "record");
    char line[sizeof w->told];

    snprintf(line, sizeof line, "%s%s%s%s%s%s%s", cli_text(e, "word"), step ? ", step " : "",
             step ? step : "", reason ? ": " : "", reason ? reason : "",
             record ? "\n  to do: " : "", record ? record : "");
    if (pst_streq(line, w->told))
        return;
    pst_str_copy(w->told, sizeof w->told, line);
    for (char *next, *rest = line; rest; rest = next) {
        next = strchr(rest, '\n');
        if (next)
            *next++ = '\0';
        cli_line("%s", rest);
    }
    fflush(stdout);
}

/* PST_EXIT_OK or PST_EXIT_FAILED when it is decided; -1: go on waiting. */
static int judge_progress(const struct pst_json *e)
{
    const struct pst_json *domain = pst_json_get(e, "domain");
    const char *phase = pst_json_get_text(e, "phase");
    bool served = false;

    if (pst_json_get_bool(domain, "letsencrypt", &served) && served)
        return PST_EXIT_OK;
    if (pst_json_get_bool(domain, "letsencrypt_enabled", &served) && !served)
        return PST_EXIT_OK;
    if (phase && (pst_streq(phase, "blocked") || pst_streq(phase, "manual")))
        return cli_fail(PST_EXIT_FAILED, "this cannot go on by itself; see domains-explain");
    return -1;
}

static int wait_served(struct cli *c, struct wait *w)
{
    for (;;) {
        auto_answer struct cli_answer a = {0};
        int status = cli_ask(c, "GET", NULL, &a, "%s/explain", w->path);
        if (status != PST_EXIT_OK)
            return status;
        const struct pst_json *e = pst_json_get(a.json, "explain");
        if (!c->json)
            tell_progress(w, e);
        status = judge_progress(e);
        if (status >= 0) {
            cli_print_json(c, pst_json_get(a.json, "explain"));
            return status;
        }
        if (pst_mono_ms(pst_clock_system()) >= w->until_ms)
            return cli_fail(PST_EXIT_FAILED,
                            "it is not served yet; Postern goes on trying (see domains-explain)");
        sleep_s(1);
    }
}

int cli_domains_add(struct cli *c)
{
    auto_(pst_json_free) struct pst_json *domain = pst_json_object();
    auto_(pst_json_free) struct pst_json *body = pst_json_object();
    auto_answer struct cli_answer a = {0};
    char app[PART_SIZE], id[PART_SIZE];
    struct wait w = {.told = ""};
    int64_t timeout_s = WAIT_DEFAULT_S;

    if (c->flags[FLAG_TIMEOUT] && !pst_parse_i64(c->flags[FLAG_TIMEOUT], 1, 86400, &timeout_s))
        return cli_fail(PST_EXIT_USAGE, "--timeout must be 1 to 86400 seconds");
    int status = cli_add_upload(c, cli_given(c, FLAG_CERT), cli_given(c, FLAG_KEY), domain);
    if (status != PST_EXIT_OK)
        return status;
    bool ok = pst_json_set_text(domain, "name", c->args[0]) &&
              (!c->flags[FLAG_SKIP_PROOF] || pst_json_set_bool(domain, "skip_proof", true)) &&
              (!c->flags[FLAG_NO_LETSENCRYPT] ||
               pst_json_set_bool(domain, "letsencrypt_enabled", false)) &&
              (!c->flags[FLAG_CANONICAL] || pst_json_set_bool(domain, "canonical", true)) &&
              pst_json_set(body, "domain", pst_take(&domain));
    if (!ok)
        return cli_fail(PST_EXIT_FAILED, "no memory");
    cli_encode(app, sizeof app, c->app);
    status = cli_ask(c, "POST", body, &a, "/v1/apps/%s/domains", app);
    if (status != PST_EXIT_OK)
        return status;
    const struct pst_json *d = pst_json_get(a.json, "domain");
    cli_tell_findings(a.json);
    /* A certificate of one's own is served already. */
    if (c->flags[FLAG_WAIT] && !cli_given(c, FLAG_CERT)) {
        snprintf(w.path, sizeof w.path, "/v1/apps/%s/domains/%s", app,
                 cli_encode(id, sizeof id, cli_text(d, "id")));
        w.until_ms = pst_mono_ms(pst_clock_system()) + timeout_s * 1000;
        return wait_served(c, &w);
    }
    if (cli_print_json(c, a.json))
        return PST_EXIT_OK;
    const char *reason = pst_json_get_text(d, "reason");
    cli_line("%s has been added: %s%s%s", c->args[0], cli_text(d, "word"), reason ? ".  " : "",
             reason ? reason : "");
    return PST_EXIT_OK;
}

/* ---- one domain ---- */

int cli_domains_remove(struct cli *c)
{
    auto_answer struct cli_answer a = {0};
    char app[PART_SIZE], name[PART_SIZE];

    int status =
        cli_ask(c, "DELETE", NULL, &a, "/v1/apps/%s/domains/%s",
                cli_encode(app, sizeof app, c->app), cli_encode(name, sizeof name, c->args[0]));
    if (status != PST_EXIT_OK || cli_print_json(c, a.json))
        return status;
    cli_line("%s has been removed.", c->args[0]);
    return PST_EXIT_OK;
}

int cli_domains_explain(struct cli *c)
{
    auto_buf struct pst_buf text = PST_BUF(1024 * 1024);
    auto_answer struct cli_answer a = {0};
    char app[PART_SIZE], name[PART_SIZE];

    int status =
        cli_ask(c, "GET", NULL, &a, "/v1/apps/%s/domains/%s/explain",
                cli_encode(app, sizeof app, c->app), cli_encode(name, sizeof name, c->args[0]));
    if (status != PST_EXIT_OK || cli_print_json(c, a.json))
        return status;
    cli_explain_text(&text, pst_json_get(a.json, "explain"));
    fputs(pst_buf_cstr(&text), stdout);
    return PST_EXIT_OK;
}

/* The record at the name, and the one that is good for all of its zone. */
static void print_records(const struct pst_json *list)
{
    for (size_t i = 0; i < pst_json_len(list); i++) {
        const struct pst_json *r = pst_json_at(list, i);
        if (i)
            cli_line("or, for all names of that domain at once,");
        cli_line("  %s. %s \"%s\"", cli_text(r, "name"), cli_text(r, "type"), cli_text(r, "value"));
    }
}

int cli_domains_proof(struct cli *c)
{
    auto_answer struct cli_answer a = {0};
    char app[PART_SIZE], name[PART_SIZE];
    bool needed = false, seen = false;

    int status =
        cli_ask(c, "GET", NULL, &a, "/v1/apps/%s/domains/%s/proof",
                cli_encode(app, sizeof app, c->app), cli_encode(name, sizeof name, c->args[0]));
    if (status != PST_EXIT_OK)
        return status;
    const struct pst_json *proof = pst_json_get(a.json, "proof");
    const char *evidence = pst_json_get_text(proof, "evidence");
    pst_json_get_bool(proof, "needed", &needed);
    pst_json_get_bool(proof, "seen", &seen);
    status = needed && !seen ? PST_EXIT_FAILED : PST_EXIT_OK;
    if (cli_print_json(c, a.json))
        return status;
    cli_line("For %s %s", c->args[0],
             needed ? "this record proves that it is yours:"
                    : "no proof is needed now; this record would be one:");
    print_records(pst_json_get(proof, "records"));
    if (seen)
        cli_line("It is there.%s", needed ? "  Take the name with: postern domains-add" : "");
    else
        cli_line("It is not there yet%s%s.", evidence ? ": " : "", evidence ? evidence : "");
    return status;
}

/* ---- the canonical domain ---- */

static int patch_canonical(struct cli *c, const char *domain, bool on)
{
    auto_(pst_json_free) struct pst_json *change = pst_json_object();
    auto_(pst_json_free) struct pst_json *body = pst_json_object();
    auto_answer struct cli_answer a = {0};
    char app[PART_SIZE], name[PART_SIZE];

    if (!pst_json_set_bool(change, "canonical", on) ||
        !pst_json_set(body, "domain", pst_take(&change)))
        return cli_fail(PST_EXIT_FAILED, "no memory");
    int status =
        cli_ask(c, "PATCH", body, &a, "/v1/apps/%s/domains/%s", cli_encode(app, sizeof app, c->app),
                cli_encode(name, sizeof name, domain));
    if (status != PST_EXIT_OK || cli_print_json(c, a.json))
        return status;
    cli_line("%s is %s the canonical domain of %s.", domain, on ? "now" : "no longer", c->app);
    return PST_EXIT_OK;
}

int cli_set_canonical(struct cli *c)
{
    return patch_canonical(c, c->args[0], true);
}

int cli_unset_canonical(struct cli *c)
{
    auto_answer struct cli_answer a = {0};
    char app[PART_SIZE];

    int status =
        cli_ask(c, "GET", NULL, &a, "/v1/apps/%s/domains", cli_encode(app, sizeof app, c->app));
    if (status != PST_EXIT_OK)
        return status;
    const struct pst_json *list = pst_json_get(a.json, "domains");
    for (size_t i = 0; i < pst_json_len(list); i++) {
        const struct pst_json *d = pst_json_at(list, i);
        bool canonical = false;
        if (pst_json_get_bool(d, "canonical", &canonical) && canonical)
            return patch_canonical(c, cli_text(d, "name"), false);
    }
    return cli_fail(PST_EXIT_FAILED, "%s has no canonical domain", c->app);
}
