/*
 * api_testd.c - the API on a real store, and nothing else of the daemon: for tests/e2e/test_api.py.
 *
 *     api_testd <folder> [setting=value ...]
 *
 * The store is SQLite's in the folder, or the one of PostgreSQL that the setting database.url
 * names. Prints one line of JSON (port, socket, tokens), then obeys one JSON object a line on
 * standard input, each answered by one line, until its end.
 */
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <postern/api.h>
#include <postern/base.h>
#include <postern/cert.h>
#include <postern/conf.h>
#include <postern/crypto.h>
#include <postern/event.h>
#include <postern/json.h>
#include <postern/resolve.h>
#include <postern/store.h>

enum { LINE_MAX_LEN = 64 * 1024 };

struct testd {
    struct pst_conf *conf;
    struct pst_keyring *keys;
    struct pst_store *store;
    struct pst_resolver *resolver;
    struct pst_api *_Atomic api;
    pthread_mutex_t lock;
    struct pst_buf hooks; /* what was called, one word a call */
    struct pst_err err;
};

static void die(const struct testd *t, const char *what)
{
    fprintf(stderr, "api_testd: %s: %s\n", what, t->err.text);
    exit(1);
}

/* ---- time ---- */

static _Atomic int64_t ahead_ms; /* of the system's clock */

static int64_t shifted_wall_ms(const struct pst_clock *c)
{
    (void)c;
    return pst_wall_ms(pst_clock_system()) + ahead_ms;
}

static int64_t shifted_mono_ms(const struct pst_clock *c)
{
    (void)c;
    return pst_mono_ms(pst_clock_system()) + ahead_ms;
}

/* The API's, which the test puts forward. */
static const struct pst_clock shifted = {shifted_wall_ms, shifted_mono_ms};

/* ---- hooks ---- */

static void note(struct testd *t, const char *what, const char *id)
{
    pthread_mutex_lock(&t->lock);
    pst_buf_printf(&t->hooks, "%s:%s ", what, id);
    pthread_mutex_unlock(&t->lock);
}

static void on_added(void *arg, const char *id, const char *ascii)
{
    (void)id;
    note(arg, "added", ascii);
}

static void on_changed(void *arg, const char *id, const char *ascii)
{
    (void)id;
    note(arg, "changed", ascii);
}

static void on_removed(void *arg, const char *id)
{
    note(arg, "removed", id);
}

static int on_variables(void *arg, struct pst_tx *tx, const char *app_id, struct pst_err *err)
{
    (void)tx;
    (void)err;
    note(arg, "variables", app_id);
    return PST_OK;
}

/* A CA that takes such records below example.com only. */
static int persist_value(void *arg, struct pst_tx *tx, const char *ascii, struct pst_buf *ret,
                         struct pst_err *err)
{
    (void)arg;
    (void)tx;
    (void)err;
    if (!pst_str_ends(ascii, ".example.com"))
        return PST_NOTFOUND;
    pst_buf_printf(ret, "ca.example; accounturi=https://ca.example/a/1; policy=wildcard");
    return PST_OK;
}

static void on_commit(void *arg, int64_t rev)
{
    struct testd *t = arg;
    struct pst_api *api = t->api;

    if (api)
        pst_api_feed_moved(api, rev);
}

/* ---- start ---- */

static void open_store(struct testd *t, const char *dir)
{
    const char *set = pst_conf_text(t->conf, PST_CONF_DATABASE_URL);
    char key[512], url[512];

    snprintf(key, sizeof key, "%s/master.key", dir);
    snprintf(url, sizeof url, "sqlite:%s/postern.db", dir);
    if (pst_crypto_init(false, &t->err) != PST_OK ||
        pst_keyring_create_file(key, pst_rand_system(), &t->err) != PST_OK ||
        pst_keyring_open(&t->keys, key, pst_rand_system(), &t->err) != PST_OK)
        die(t, "keys");
    struct pst_store_opts o = {.url = pst_str_starts(set, "postgresql:") ? set : url,
                               .node = "testd",
                               .create = true,
                               .keys = t->keys,
                               .clock = pst_clock_system(),
                               .rand = pst_rand_system()};
    if (pst_store_open(&t->store, &o, &t->err) != PST_OK)
        die(t, "store");
    pst_store_on_commit(t->store, on_commit, t);
}

static int set_platform(struct pst_tx *tx, void *arg, struct pst_err *err)
{
    const struct pst_conf *c = arg;

    return pst_platform_set(tx, pst_conf_text(c, PST_CONF_PLATFORM_DOMAIN),
                            pst_conf_text(c, PST_CONF_PLATFORM_REGION), err);
}

static void make_users(struct testd *t, struct pst_buf *tokens)
{
    static const char *const users[][2] = {
        {"olga", "operator"}, {"alice", "tenant"}, {"bob", "tenant"}, {"rita", "reader"}};
    char mail[64], token[PST_API_TOKEN_SIZE];

    for (size_t i = 0; i < PST_ARRAY_N(users); i++) {
        snprintf(mail, sizeof mail, "%s@example.com", users[i][0]);
        if (pst_api_user_create(t->store, users[i][0], mail, users[i][1], token, &t->err) != PST_OK)
            die(t, "users");
        pst_buf_printf(tokens, "%s\"%s\":\"%s\"", i ? "," : "", users[i][0], token);
    }
}

/* Only where the test has a DNS server. */
static void open_resolver(struct testd *t)
{
    struct pst_resolver_opts o = {.resolver = pst_conf_text(t->conf, PST_CONF_DNS_RESOLVER),
                                  .deadline_ms =
                                      (uint32_t)pst_conf_int(t->conf, PST_CONF_DNS_TIMEOUT) * 1000,
                                  .fresh = true};

    if (*o.resolver && pst_resolver_new(&t->resolver, &o, &t->err) != PST_OK)
        die(t, "resolver");
}

static void start(struct testd *t, const char *dir, char **settings)
{
    auto_buf struct pst_buf tokens = PST_BUF(4096);
    char path[512];

    if (pst_conf_new_default(&t->conf, &pst_conf_posternd, &t->err) != PST_OK)
        die(t, "settings");
    for (; *settings; settings++) {
        auto_(pst_free) char *key = pst_strdup(*settings);
        char *value = key ? strchr(key, '=') : NULL;
        if (!value)
            die(t, *settings);
        *value++ = '\0';
        if (pst_conf_set(t->conf, key, value, &t->err) != PST_OK)
            die(t, *settings);
    }
    pst_log_set_levels(pst_conf_text(t->conf, PST_CONF_LOG_LEVEL), &t->err);
    open_store(t, dir);
    if (pst_store_write(t->store, set_platform, t->conf, NULL, &t->err) != PST_OK)
        die(t, "platform");
    make_users(t, &tokens);
    snprintf(path, sizeof path, "unix:%s/api.sock", dir);
    open_resolver(t);
    const char *const listen[] = {"127.0.0.1:0", path};
    struct pst_api_opts o = {
        .store = t->store,
        .conf = t->conf,
        .clock = &shifted,
        .rand = pst_rand_system(),
        .proofs = t->resolver,
        .listen = listen,
        .listen_n = PST_ARRAY_N(listen),
        .hooks = {t, on_added, on_changed, on_removed, on_variables, persist_value},
    };
    struct pst_api *api;
    if (pst_api_start(&api, &o, &t->err) != PST_OK)
        die(t, "API");
    t->api = api;
    printf("{\"port\":%u,\"socket\":\"%s\",\"tokens\":{%s}}\n", pst_api_port(api, 0),
           path + strlen("unix:"), pst_buf_cstr(&tokens));
    fflush(stdout);
}

/* ---- orders from the test ---- */

struct deed {
    struct testd *t;
    const struct pst_json *j;
};

static void copy(char *to, size_t size, const struct pst_json *j, const char *key)
{
    const char *text = pst_json_get_text(j, key);

    if (text)
        pst_str_copy(to, size, text);
}

static int load_domain(struct pst_tx *tx, const struct deed *d, struct pst_domain *ret,
                       struct pst_err *err)
{
    const char *id = pst_json_get_text(d->j, "id");

    return pst_domain_get(tx, id ? id : "", ret, err);
}

/* {"do":"domain","id":...,"phase":"work","problem":...,"reason":...,...} */
static int do_domain(struct pst_tx *tx, void *arg, struct pst_err *err)
{
    const struct deed *d = arg;
    const char *phase = pst_json_get_text(d->j, "phase");
    struct pst_domain dom;
    int64_t in_s;

    int rc = load_domain(tx, d, &dom, err);
    if (rc != PST_OK)
        return rc;
    for (int i = 0; phase && i < PST_PHASE__COUNT; i++)
        if (pst_streq(phase, pst_phase_name((enum pst_phase)i)))
            dom.phase = (enum pst_phase)i;
    copy(dom.problem, sizeof dom.problem, d->j, "problem");
    copy(dom.reason, sizeof dom.reason, d->j, "reason");
    copy(dom.evidence, sizeof dom.evidence, d->j, "evidence");
    copy(dom.record, sizeof dom.record, d->j, "record");
    copy(dom.acme_method, sizeof dom.acme_method, d->j, "acme_method");
    copy(dom.acme_dns_fqdn, sizeof dom.acme_dns_fqdn, d->j, "acme_dns_fqdn");
    copy(dom.acme_dns_value, sizeof dom.acme_dns_value, d->j, "acme_dns_value");
    copy(dom.acme_dns_error, sizeof dom.acme_dns_error, d->j, "acme_dns_error");
    pst_json_get_int(d->j, "acme_dns_until", &dom.acme_dns_until);
    pst_json_get_int(d->j, "failures", &dom.failures);
    if (dom.failures)
        dom.last_failure_at_ms = pst_wall_ms(pst_clock_system()) - 120000;
    if (pst_json_get_int(d->j, "next_try_in_s", &in_s))
        dom.next_try_at_ms = pst_wall_ms(pst_clock_system()) + in_s * 1000;
    return pst_domain_update(tx, &dom, err);
}

/* {"do":"cert","id":...,"origin":"acme","from_s":-10,"to_s":3600,"seen":true} */
static int do_cert(struct pst_tx *tx, void *arg, struct pst_err *err)
{
    const struct deed *d = arg;
    int64_t from_s = -3600, to_s = 86400;
    bool seen = false;
    struct pst_domain dom;
    struct pst_certificate c = {.key_type = "p256", .origin = "acme"};

    int rc = load_domain(tx, d, &dom, err);
    if (rc != PST_OK)
        return rc;
    pst_json_get_int(d->j, "from_s", &from_s);
    pst_json_get_int(d->j, "to_s", &to_s);
    pst_json_get_bool(d->j, "seen", &seen);
    copy(c.origin, sizeof c.origin, d->j, "origin");
    copy(c.key_type, sizeof c.key_type, d->j, "key_type");
    pst_str_copy(c.domain_id, sizeof c.domain_id, dom.id);
    snprintf(c.subject, sizeof c.subject, "/CN=%.200s", dom.ascii);
    snprintf(c.issuer, sizeof c.issuer, "/CN=Test CA");
    snprintf(c.serial, sizeof c.serial, "0badcafe");
    c.not_before = pst_now(pst_clock_system()) + from_s;
    c.not_after = pst_now(pst_clock_system()) + to_s;
    pst_rand_fill(pst_rand_system(), &c.num, sizeof c.num);
    c.num &= INT64_MAX;
    pst_id_new(pst_rand_system(), c.id);
    memset(c.sha256, 'a', 64);
    c.leaf = (struct pst_buf)PST_BUF(16);
    c.sealed = (struct pst_buf)PST_BUF(256);
    pst_buf_str(&c.leaf, "leaf");
    rc = pst_seal(d->t->keys, "certificate", c.id, "key", 3, &c.sealed, err);
    if (rc == PST_OK)
        rc = pst_certificate_insert(tx, &c, err);
    if (pst_streq(c.origin, "custom"))
        dom.custom_cert = c.num;
    else
        dom.acme_cert = c.num;
    if (seen)
        dom.acme_seen_at_ms = pst_wall_ms(pst_clock_system());
    if (rc == PST_OK)
        rc = pst_domain_update(tx, &dom, err);
    pst_certificate_deinit(&c);
    return rc;
}

/* {"do":"order","id":...,"state":"validating","detail":...,"ended":true} */
static int do_order(struct pst_tx *tx, void *arg, struct pst_err *err)
{
    const struct deed *d = arg;
    struct pst_domain dom;
    struct pst_order_row o = {.attempt = 1, .state = "new"};
    struct pst_account a = {.directory = "https://ca.example/directory", .status = "valid"};
    bool ended = false;

    int rc = load_domain(tx, d, &dom, err);
    if (rc != PST_OK)
        return rc;
    rc = pst_account_by_directory(tx, a.directory, &a, err);
    if (rc == PST_NOTFOUND)
        rc = pst_account_insert(tx, &a, err);
    pst_str_copy(o.account_id, sizeof o.account_id, a.id);
    pst_account_deinit(&a);
    pst_json_get_bool(d->j, "ended", &ended);
    pst_json_get_int(d->j, "attempt", &o.attempt);
    copy(o.state, sizeof o.state, d->j, "state");
    copy(o.detail, sizeof o.detail, d->j, "detail");
    pst_str_copy(o.domain_id, sizeof o.domain_id, dom.id);
    pst_str_copy(o.name, sizeof o.name, dom.ascii);
    pst_id_new(pst_rand_system(), o.certificate_id);
    o.run_at_ms = pst_wall_ms(pst_clock_system()) + 5000;
    if (ended)
        o.ended_at_ms = pst_wall_ms(pst_clock_system());
    return rc == PST_OK ? pst_order_insert(tx, &o, err) : rc;
}

/* {"do":"block","ms":...}: nobody else writes for so long. */
static int do_block(struct pst_tx *tx, void *arg, struct pst_err *err)
{
    const struct deed *d = arg;
    int64_t ms = 0;

    (void)tx;
    (void)err;
    pst_json_get_int(d->j, "ms", &ms);
    printf("ok\n"); /* the test goes on meanwhile */
    fflush(stdout);
    struct timespec left = {ms / 1000, ms % 1000 * 1000000};
    while (nanosleep(&left, &left) != 0)
        continue;
    return PST_OK;
}

static const struct {
    const char *name;
    pst_tx_fn *run;
} deeds[] = {{"domain", do_domain}, {"cert", do_cert}, {"order", do_order}, {"block", do_block}};

static void obey(struct testd *t, const char *line)
{
    auto_(pst_json_free) struct pst_json *j = NULL;
    int rc = pst_json_parse(&j, line, strlen(line), &t->err);
    const char *what = pst_json_get_text(j, "do");

    if (rc == PST_OK && what && pst_streq(what, "hooks")) {
        pthread_mutex_lock(&t->lock);
        printf("%s\n", pst_buf_cstr(&t->hooks));
        pst_buf_cut(&t->hooks, 0);
        pthread_mutex_unlock(&t->lock);
        return;
    }
    if (rc == PST_OK && what && pst_streq(what, "seal")) {
        while ((rc = pst_events_seal(t->store, &t->err)) == PST_OK)
            continue;
        printf("%s\n", rc == PST_DONE ? "ok" : pst_rc_name(rc));
        return;
    }
    /* {"do":"clock","ms":...}: so much later, from the API's point of view. */
    int64_t ms = 0;
    if (rc == PST_OK && what && pst_streq(what, "clock") && pst_json_get_int(j, "ms", &ms)) {
        ahead_ms += ms;
        printf("ok\n");
        return;
    }
    for (size_t i = 0; rc == PST_OK && what && i < PST_ARRAY_N(deeds); i++) {
        if (!pst_streq(deeds[i].name, what))
            continue;
        struct deed d = {t, j};
        rc = pst_store_write(t->store, deeds[i].run, &d, NULL, &t->err);
        if (pst_streq(what, "block"))
            return;
        printf("%s\n", rc == PST_OK ? "ok" : pst_rc_name(rc));
        return;
    }
    printf("unknown: %s\n", t->err.text);
}

int main(int argc, char **argv)
{
    struct testd t = {.hooks = PST_BUF(1024 * 1024)};
    static char line[LINE_MAX_LEN];

    if (argc == 2 && pst_streq(argv[1], "--role=parse")) /* as posternd: reads uploads */
        return pst_cert_parse_child_main();
    if (argc < 2)
        return 2;
    signal(SIGPIPE, SIG_IGN);
    pthread_mutex_init(&t.lock, NULL);
    start(&t, argv[1], argv + 2);
    while (fgets(line, sizeof line, stdin)) {
        obey(&t, line);
        fflush(stdout);
    }
    struct pst_api *api = t.api;
    t.api = NULL;
    pst_api_stop(api);
    pst_resolver_freep(&t.resolver);
    pst_store_close(t.store);
    pst_keyring_free(t.keys);
    pst_conf_free(t.conf);
    pst_buf_deinit(&t.hooks);
    return 0;
}
