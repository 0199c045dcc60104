/*
 * dns_command.c - posternd dns: try a DNS provider's credentials, add or remove a record by hand.
 *
 * The variables come from the environment, as an app has them; neither database nor configuration
 * file is needed.  It goes the way that an order goes: the CNAMEs of the name are followed, the
 * gate judges hosts that the variables name, transient faults are tried again.
 */
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <postern/dns.h>
#include <postern/http.h>
#include <postern/json.h>
#include <postern/name.h>
#include <postern/resolve.h>

#include "daemon_internal.h"

enum { EXIT_PERMANENT = 3, EXIT_TRANSIENT = 4 };
enum { ATTEMPTS = 5, WAIT_BUDGET_S = 60, CONFIRM_S = 120, SEEN_S = 300, VALUE_LEN = 43 };
enum { LOOK_UP_MS = 3000 }; /* a person waits */

enum action { CHECK, ADD, REMOVE };
static const char *const action_names[] = {[CHECK] = "check", [ADD] = "add", [REMOVE] = "remove"};

struct dns_cli {
    enum action action;
    const char *fqdn;
    const char *value;
    const char *base_url;
    const char *token_url;
    bool wait;
    bool json;
};

/* One run. */
struct dns_run {
    const struct dns_cli *cli;
    struct daemon *d;
    struct pst_dns_env env;
    struct pst_gate *gate;
    struct pst_resolver *resolver;
    struct pst_dns_provider *provider;
    struct pst_dns_blame blame;
    struct pst_dns_change change;
    char fqdn[PST_NAME_SIZE];
    char target[PST_NAME_SIZE];
    bool dns_answers;
    bool nothing_to_do;
    char warnings[3][400];
    size_t warnings_n;
};

static const char help[] =
    "usage: posternd [--config FILE] [--set KEY=VALUE]... dns check FQDN [options]\n"
    "       posternd [--config FILE] [--set KEY=VALUE]... dns add|remove FQDN VALUE [options]\n"
    "Look at the credentials and the zone of a DNS provider, or add one value to the TXT records "
    "of\n"
    "FQDN or take it away.  DNS_PROVIDER and the provider's variables come from the environment.\n"
    "  --base-url URL    instead of the provider's API (setting dns.PROVIDER.base_url)\n"
    "  --token-url URL   instead of the token endpoint of azure and gcloud\n"
    "  --wait            until all authoritative servers have the change\n"
    "  --json            the result as JSON on standard output\n"
    "Exit status: 0 done, 2 wrong usage, 3 permanent error, 4 transient error after its retries.\n";

/* ---- arguments ---- */

/* "--name VALUE" or "--name=VALUE" at argv[*i]; NULL: it is not this option. */
static const char *option(const char *name, int argc, char **argv, int *i, bool *bad)
{
    size_t len = strlen(name);

    if (strncmp(argv[*i], name, len) != 0)
        return NULL;
    if (argv[*i][len] == '=')
        return argv[*i] + len + 1;
    if (argv[*i][len] != '\0')
        return NULL;
    *bad = *i + 1 >= argc;
    return *bad ? NULL : argv[++*i];
}

/* Values are base64url and may begin with '-', so they cannot be left to getopt(). */
static bool is_value(const char *s)
{
    return s[0] != '-' || (strlen(s) == VALUE_LEN &&
                           s[strspn(s, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
                                       "0123456789-_")] == '\0');
}

static bool take_argument(struct dns_cli *c, size_t n, const char *arg)
{
    if (n == 0) {
        for (size_t i = 0; i < PST_ARRAY_N(action_names); i++) {
            if (!strcmp(arg, action_names[i])) {
                c->action = (enum action)i;
                return true;
            }
        }
        return false;
    }
    if (n == 1)
        c->fqdn = arg;
    else if (n == 2)
        c->value = arg;
    return n <= 2;
}

static bool parse(int argc, char **argv, struct dns_cli *c)
{
    size_t n = 0;
    bool bad = false;

    for (int i = 1; i < argc && !bad; i++) {
        const char *text;

        if (!strcmp(argv[i], "--wait"))
            c->wait = true;
        else if (!strcmp(argv[i], "--json"))
            c->json = true;
        else if ((text = option("--base-url", argc, argv, &i, &bad)))
            c->base_url = text;
        else if (!bad && (text = option("--token-url", argc, argv, &i, &bad)))
            c->token_url = text;
        else if (!bad)
            bad = !is_value(argv[i]) || !take_argument(c, n++, argv[i]);
    }
    return !bad && n >= 2 && (c->value != NULL) == (c->action != CHECK);
}

/* Lower-case A-labels without the dot at the end; what is no name is left for the provider's layer
 * to refuse. */
static void normalise(const char *fqdn, char to[PST_NAME_SIZE])
{
    static const char prefix[] = "_acme-challenge.";
    char ascii[PST_NAME_SIZE];

    if (pst_str_starts(fqdn, prefix) &&
        pst_name_parse(fqdn + sizeof prefix - 1, PST_NAME_ANY_TLD, ascii, NULL) == PST_OK &&
        (size_t)snprintf(to, PST_NAME_SIZE, "%s%.*s", prefix, (int)(PST_NAME_SIZE - sizeof prefix),
                         ascii) < PST_NAME_SIZE)
        return;
    pst_str_copy(to, PST_NAME_SIZE, fqdn);
    size_t len = strlen(to);
    if (len > 0 && to[len - 1] == '.')
        to[len - 1] = '\0';
    pst_str_lower(to);
}

/* ---- surroundings ---- */

static void warn(struct dns_run *r, const char *text)
{
    fprintf(stderr, "posternd: warning: %s\n", text);
    if (r->warnings_n < PST_ARRAY_N(r->warnings))
        pst_str_cut(r->warnings[r->warnings_n++], sizeof r->warnings[0], text);
}

static int open_clients(struct dns_run *r, struct pst_err *err)
{
    const char *allow[64];
    size_t n = pst_conf_list_n(r->d->conf, PST_CONF_GATE_ALLOW);
    for (size_t i = 0; i < n; i++)
        allow[i] = pst_conf_list_at(r->d->conf, PST_CONF_GATE_ALLOW, i);

    int rc = pst_gate_new(&r->gate, allow, n, err);
    if (rc != PST_OK)
        return rc;
    struct pst_http_opts own = {0}, gated = {.gate = r->gate, .timeout_ms = 10000};
    r->env.gate = r->gate;
    rc = pst_http_new(&r->env.http, &own, err);
    if (rc == PST_OK)
        rc = pst_http_new(&r->env.gated, &gated, err);
    return rc;
}

/* Without a resolver all goes on, only CNAMEs are not followed. */
static void open_resolver(struct dns_run *r)
{
    struct pst_conf *conf = r->d->conf;
    uint32_t timeout_ms = (uint32_t)pst_conf_int(conf, PST_CONF_DNS_TIMEOUT) * 1000;
    struct pst_resolver_opts opts = {
        .resolver = pst_conf_text(conf, PST_CONF_DNS_RESOLVER),
        .trust_anchor = pst_conf_text(conf, PST_CONF_DNS_TRUST_ANCHOR),
        .deadline_ms = timeout_ms < LOOK_UP_MS ? timeout_ms : LOOK_UP_MS,
        .sockets = 64,
    };
    struct pst_err err = {0};

    if (pst_resolver_new(&r->resolver, &opts, &err) != PST_OK)
        warn(r, err.text);
    r->env.resolver = r->resolver;
}

static void close_all(struct dns_run *r)
{
    pst_dns_provider_free(r->provider);
    pst_resolver_freep(&r->resolver);
    pst_http_free(r->env.http);
    pst_http_free(r->env.gated);
    pst_gate_free(r->gate);
}

static const char *from_environment(void *arg, const char *name)
{
    return getenv(name);
}

/* What the flags do not say, the settings may. */
static void fill_urls(struct dns_run *r, struct pst_dns_settings *s)
{
    s->base_url = r->cli->base_url ? r->cli->base_url : pst_daemon_dns_base_url(r->d, s->provider);
    s->token_url =
        r->cli->token_url ? r->cli->token_url : pst_daemon_dns_token_url(r->d, s->provider);
}

static int open_provider(struct dns_run *r, struct pst_err *err)
{
    struct pst_dns_settings s = {.provider = getenv("DNS_PROVIDER"), .get = from_environment};

    fill_urls(r, &s);
    return pst_dns_provider_new(&r->provider, &r->env, &s, &r->blame, err);
}

/* ---- DNS ---- */

static int follow(struct dns_run *r, struct pst_err *err)
{
    struct pst_err why = {0};

    pst_str_copy(r->target, sizeof r->target, r->fqdn);
    if (!r->resolver)
        return PST_OK;
    int rc = pst_dns_follow_cname(r->resolver, r->fqdn, r->target, &why);
    r->dns_answers = rc == PST_OK;
    if (rc == PST_NOTYET) {
        warn(r, why.text);
        return PST_OK;
    }
    if (rc != PST_OK && err)
        *err = why;
    return rc;
}

/* The provider may hold a zone that the world does not ask it for. */
static void compare_zones(struct dns_run *r)
{
    auto_(pst_resolve_zone_free) struct pst_resolve_zone *zone = NULL;
    const char *theirs = pst_dns_zone(r->provider);
    struct pst_err ignored = {0};
    char text[sizeof r->warnings[0]];

    /* acme-dns has no zones, and a bare id tells none. */
    if (!r->dns_answers || !strchr(theirs, '.') || pst_streq(theirs, r->target))
        return;
    if (pst_resolve_zone(r->resolver, r->target, &zone, &ignored) != PST_OK ||
        zone->end.status != PST_DNS_OK) {
        warn(r, "the zone could not be looked up in the DNS");
        return;
    }
    if (pst_strcaseeq(zone->zone, theirs))
        return;
    snprintf(text, sizeof text,
             "the DNS says that %.90s is in the zone %.80s, but the provider's zone is %.80s",
             r->target, zone->zone, theirs);
    warn(r, text);
}

/* ---- the work ---- */

static void sleep_s(int64_t s)
{
    poll(NULL, 0, (int)(s * 1000));
}

static int act_once(struct dns_run *r, bool again, struct pst_err *err)
{
    struct pst_dns_record record = {
        .fqdn = r->target,
        .value = r->cli->value,
        .delegated = !pst_streq(r->target, r->fqdn),
        .again = again,
    };
    switch (r->cli->action) {
    case CHECK:
        return pst_dns_check(r->provider, &record, err);
    case ADD:
        return pst_dns_txt_add(r->provider, &record, &r->change, err);
    default:
        return pst_dns_txt_remove(r->provider, &record, &r->change, err);
    }
}

/* Again after transient faults, as often and as late as the provider wants it, within limits. */
static int act(struct dns_run *r, struct pst_err *err)
{
    int64_t waited = 0;

    for (int i = 0;; i++) {
        int rc = act_once(r, i > 0, err);
        if (rc == PST_OK || rc == PST_DONE) {
            r->nothing_to_do = rc == PST_DONE;
            return PST_OK;
        }
        int64_t wait = 1 << i;
        if (err->retry == PST_RETRY_AT) {
            wait = err->retry_at - pst_now(pst_clock_system());
            wait = wait < 1 ? 1 : wait;
        }
        if (!pst_dns_transient(err) || i + 1 == ATTEMPTS || waited + wait > WAIT_BUDGET_S)
            return rc;
        fprintf(stderr, "posternd: %s; again in %lld s\n", err->text, (long long)wait);
        sleep_s(wait);
        waited += wait;
    }
}

static int confirm(struct dns_run *r, struct pst_err *err)
{
    int64_t until = pst_mono_ms(pst_clock_system()) + CONFIRM_S * 1000;

    for (int64_t wait = 1;; wait = wait < 4 ? wait * 2 : wait) {
        int rc = pst_dns_confirm(r->provider, &r->change, err);
        if (rc == PST_OK)
            return PST_OK;
        bool over = pst_mono_ms(pst_clock_system()) > until;
        if (rc < 0 && (over || !pst_dns_transient(err)))
            return rc;
        if (over)
            return pst_fail(err, PST_EREMOTE,
                            "the provider has taken the change but did not confirm it within %d s",
                            CONFIRM_S);
        sleep_s(wait);
    }
}

static int wait_seen(struct dns_run *r, struct pst_err *err)
{
    int64_t until = pst_mono_ms(pst_clock_system()) + SEEN_S * 1000;
    struct pst_dns_look look = {
        .target = r->target,
        .value = r->cli->value,
        .absent = r->cli->action == REMOVE,
        .resolver = pst_conf_text(r->d->conf, PST_CONF_DNS_RESOLVER),
    };
    struct pst_dns_seen seen = {0};

    /* Nothing is ever removed there. */
    if (look.absent && pst_streq(pst_dns_provider_name(r->provider), "acme-dns"))
        return PST_OK;
    if (!r->resolver)
        return pst_fail(err, PST_ENET, "the DNS cannot be asked");
    for (;;) {
        int rc = pst_dns_look(r->resolver, &look, &seen, err);
        if (rc != PST_NOTYET)
            return rc;
        if (pst_mono_ms(pst_clock_system()) > until)
            return pst_fail(err, PST_ENET, "after %d s, %zu of %zu servers have the change (%s)",
                            SEEN_S, seen.have_n, seen.servers_n, seen.missing);
        sleep_s(2);
    }
}

static int run(struct dns_run *r, struct pst_err *err)
{
    int rc = open_clients(r, err);
    if (rc == PST_OK) {
        open_resolver(r);
        rc = open_provider(r, err);
    }
    if (rc == PST_OK)
        rc = follow(r, err);
    if (rc == PST_OK)
        rc = act(r, err);
    if (rc == PST_OK)
        rc = confirm(r, err);
    if (rc == PST_OK)
        compare_zones(r);
    if (rc == PST_OK && r->cli->wait && r->cli->action != CHECK)
        rc = wait_seen(r, err);
    if (rc != PST_OK && r->provider)
        r->blame = *pst_dns_blame(r->provider);
    return rc;
}

/* ---- the result ---- */

static bool add_fault(struct pst_json *j, const struct dns_run *r, const struct pst_err *err)
{
    struct pst_json *blame = pst_json_object(), *names = pst_json_array();
    bool ok = pst_json_set_text(j, "error", err->text) &&
              pst_json_set_bool(j, "transient", pst_dns_transient(err));

    ok = ok && pst_json_set_text(blame, "dns_provider", r->blame.provider);
    for (size_t i = 0; i < r->blame.n; i++)
        ok = ok && pst_json_push_text(names, r->blame.variables[i]);
    if (!ok) {
        pst_json_free(blame);
        pst_json_free(names);
        return false;
    }
    ok = pst_json_set(blame, "variables", names);
    if (ok && (r->blame.n > 0 || pst_streq(err->problem, "provider")))
        return pst_json_set(j, "acme_dns_error", blame);
    pst_json_free(blame);
    return ok;
}

static void print_json(const struct dns_run *r, int rc, const struct pst_err *err)
{
    auto_(pst_json_free) struct pst_json *j = pst_json_object();
    auto_buf struct pst_buf text = PST_BUF(64 * 1024);
    struct pst_json *warnings = pst_json_array();
    struct pst_err ignored;
    bool ok = pst_json_set_text(j, "command", action_names[r->cli->action]) &&
              pst_json_set_text(j, "fqdn", r->fqdn) && pst_json_set_text(j, "target", r->target);

    if (ok && r->provider)
        ok = pst_json_set_text(j, "provider", pst_dns_provider_name(r->provider)) &&
             pst_json_set_text(j, "zone", pst_dns_zone(r->provider));
    ok = ok && pst_json_set_bool(j, "done", rc == PST_OK) &&
         pst_json_set_bool(j, "changed",
                           rc == PST_OK && r->cli->action != CHECK && !r->nothing_to_do);
    for (size_t i = 0; i < r->warnings_n; i++)
        ok = ok && pst_json_push_text(warnings, r->warnings[i]);
    ok = pst_json_set(j, "warnings", warnings) && ok;
    if (rc != PST_OK)
        ok = ok && add_fault(j, r, err);
    if (ok && pst_json_write_pretty(j, &text, &ignored) == PST_OK)
        fputs(pst_buf_cstr(&text), stdout);
}

static void print_text(const struct dns_run *r)
{
    const char *provider = pst_dns_provider_name(r->provider);

    if (r->cli->action == CHECK)
        printf("%s: the credentials are good, the zone of %s is %s\n", provider, r->target,
               pst_dns_zone(r->provider));
    else if (r->nothing_to_do)
        printf("%s: nothing to do at %s\n", provider, r->target);
    else
        printf("%s: %s at %s\n", provider, r->cli->action == ADD ? "added" : "removed", r->target);
}

static int status_of(int rc, const struct pst_err *err)
{
    if (rc == PST_OK)
        return EXIT_SUCCESS;
    if (rc == PST_ECONFIG)
        return EXIT_USAGE;
    return rc == PST_REFUSED || !pst_dns_transient(err) ? EXIT_PERMANENT : EXIT_TRANSIENT;
}

int pst_command_dns(struct daemon *d, int argc, char **argv)
{
    struct dns_cli cli = {0};
    struct dns_run r = {.cli = &cli, .d = d};
    struct pst_err err = {0};

    if (argc == 2 && (!strcmp(argv[1], "--help") || !strcmp(argv[1], "-h"))) {
        fputs(help, stdout);
        return EXIT_SUCCESS;
    }
    if (!parse(argc, argv, &cli)) {
        fputs(help, stderr);
        return EXIT_USAGE;
    }
    normalise(cli.fqdn, r.fqdn);
    int rc = run(&r, &err);
    if (rc != PST_OK)
        fprintf(stderr, "posternd: dns %s: %s%s\n", action_names[cli.action], err.text,
                pst_streq(err.problem, "gate") ? " (the setting gate.allow lets trials through)"
                                               : "");
    if (cli.json)
        print_json(&r, rc, &err);
    else if (rc == PST_OK)
        print_text(&r);
    int status = status_of(rc, &err);
    close_all(&r);
    return status;
}
