/*
 * The validating resolver: a libunbound context with its background thread, a second thread that
 * collects the answers, and callers that wait for theirs with a deadline.
 *
 * Not ub_resolve(): it has no deadline, and each call would set up the 4,096 sockets anew.
 */
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <unistd.h>

#include "resolve_internal.h"

/* Callers that wait together; each question counts as one reference, the caller as another. */
struct waiter {
    struct pst_resolver *resolver;
    struct waiter *prev, *next; /* all waiters with questions under way */
    pthread_cond_t ready;
    size_t open; /* questions without an answer */
    bool left;   /* the caller has gone: answers are thrown away */
    size_t n;
    struct slot {
        struct waiter *owner;
        bool done;
        int fault; /* libunbound's error code */
        struct ub_result *result;
    } slots[];
};

struct pst_resolver {
    struct ub_ctx *ub;
    uint32_t deadline_ms;
    pthread_t collector;
    bool started;
    int stop_fd;
    pthread_mutex_t lock; /* guards all waiters */
    struct waiter *waiters;
};

static void waiter_free(struct waiter *w)
{
    struct pst_resolver *r = w->resolver;

    if (w->prev)
        w->prev->next = w->next;
    else
        r->waiters = w->next;
    if (w->next)
        w->next->prev = w->prev;
    for (size_t i = 0; i < w->n; i++) {
        if (w->slots[i].result)
            ub_resolve_free(w->slots[i].result);
    }
    pthread_cond_destroy(&w->ready);
    pst_free(w);
}

static void on_answer(void *arg, int fault, struct ub_result *result)
{
    struct slot *s = arg;
    struct waiter *w = s->owner;
    struct pst_resolver *r = w->resolver;

    pthread_mutex_lock(&r->lock);
    s->done = true;
    s->fault = fault;
    s->result = result;
    if (--w->open == 0) {
        if (w->left)
            waiter_free(w);
        else
            pthread_cond_signal(&w->ready);
    }
    pthread_mutex_unlock(&r->lock);
}

static void *collect(void *arg)
{
    struct pst_resolver *r = arg;
    struct pollfd fds[2] = {{.fd = ub_fd(r->ub), .events = POLLIN},
                            {.fd = r->stop_fd, .events = POLLIN}};

    for (;;) {
        int n = poll(fds, 2, -1);

        if (n < 0 && errno != EINTR)
            break;
        if (n > 0 && fds[1].revents)
            break;
        if (n > 0 && fds[0].revents && ub_process(r->ub) != 0)
            break;
    }
    return NULL;
}

/* ------------------------------------------------------------------ settings */

static int set(struct ub_ctx *ub, const char *key, const char *value, struct pst_err *err)
{
    int fault = ub_ctx_set_option(ub, key, value);

    if (fault != 0)
        return pst_fail(err, PST_EINTERNAL, "libunbound refuses the option %s %s: %s", key, value,
                        ub_strerror(fault));
    return PST_OK;
}

struct option {
    const char *key, *value;
};

static const struct option always[] = {
    {"cache-max-ttl:", "60"}, /* a mended record counts within a minute */
    {"cache-max-negative-ttl:", "5"}, {"val-bogus-ttl:", "5"},
    {"infra-host-ttl:", "60"}, /* a server that was down is tried again within a minute */
    {"edns-buffer-size:", "1232"},    {"outgoing-num-tcp:", "64"},
    {"msg-cache-size:", "8m"},        {"rrset-cache-size:", "16m"},
    {"qname-minimisation:", "yes"},
};

/* Over those above: nothing is older than the second in which it was asked for. */
static const struct option when_fresh[] = {
    {"cache-max-ttl:", "0"},
    {"cache-max-negative-ttl:", "0"},
    {"val-bogus-ttl:", "0"},
    {"infra-host-ttl:", "5"},
};

static const struct option with_resolver[] = {
    {"do-not-query-localhost:", "no"},
    {"unblock-lan-zones:", "yes"},
    {"insecure-lan-zones:", "yes"},
};

/* With a resolver of the operator's, names that unbound would answer out of its own head go there
 * too: `*.test` would be NXDOMAIN without asking. */
static const char *const special_zones[] = {"localhost.", "test.", "invalid.", "onion.",
                                            "home.arpa."};

/* Without one, tenants decide which servers we speak to: not those of our own networks. */
static const struct option without_resolver[] = {
    {"do-not-query-localhost:", "yes"},         {"do-not-query-address:", "10.0.0.0/8"},
    {"do-not-query-address:", "100.64.0.0/10"}, {"do-not-query-address:", "169.254.0.0/16"},
    {"do-not-query-address:", "172.16.0.0/12"}, {"do-not-query-address:", "192.168.0.0/16"},
    {"do-not-query-address:", "fc00::/7"},      {"do-not-query-address:", "fe80::/10"},
};

static int set_table(struct ub_ctx *ub, const struct option *o, size_t n, struct pst_err *err)
{
    int rc = PST_OK;

    for (size_t i = 0; i < n && rc == PST_OK; i++)
        rc = set(ub, o[i].key, o[i].value, err);
    return rc;
}

/* Sockets for questions under way, as many as the limit of open files leaves room for. */
static int set_sockets(struct ub_ctx *ub, uint32_t want, struct pst_err *err)
{
    struct rlimit limit;
    char text[16];

    if (want == 0)
        want = 4096;
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur != RLIM_INFINITY &&
        want > limit.rlim_cur / 4)
        want = (uint32_t)(limit.rlim_cur / 4);
    if (want < 16)
        want = 16;
    (void)snprintf(text, sizeof text, "%u", (unsigned)want);
    int rc = set(ub, "outgoing-range:", text, err);
    if (rc == PST_OK)
        rc = set(ub, "num-queries-per-thread:", text, err);
    return rc;
}

static int set_forwarder(struct ub_ctx *ub, const char *text, struct pst_err *err)
{
    struct pst_dns_server server;
    char ip[PST_DNS_IP_SIZE], at[PST_DNS_IP_SIZE + 8];

    if (pst_dns_server_parse(text, &server, err) != PST_OK) {
        if (err)
            err->rc = PST_ECONFIG;
        pst_wrap(err, "the resolver \"%s\"", text);
        return PST_ECONFIG;
    }
    pst_dns_ip_text(&server.ip, ip);
    (void)snprintf(at, sizeof at, "%s@%u", ip, (unsigned)server.port);
    int fault = ub_ctx_set_fwd(ub, at);
    if (fault != 0)
        return pst_fail(err, PST_ECONFIG, "the resolver \"%s\": %s", text, ub_strerror(fault));
    return set_table(ub, with_resolver, PST_ARRAY_N(with_resolver), err);
}

/* Last of all: removing a zone makes the settings final, and reads the trust anchor. */
static int finish(struct ub_ctx *ub, bool forward, struct pst_err *err)
{
    static const char *const nothing[] = {"postern.invalid."};
    const char *const *zones = forward ? special_zones : nothing;
    size_t n = forward ? PST_ARRAY_N(special_zones) : PST_ARRAY_N(nothing);

    for (size_t i = 0; i < n; i++) {
        int fault = ub_ctx_zone_remove(ub, zones[i]);

        if (fault != 0)
            return pst_fail(err, PST_ECONFIG,
                            "the resolver's settings (or the contents of its trust anchor): %s",
                            ub_strerror(fault));
    }
    return PST_OK;
}

static int set_trust_anchor(struct ub_ctx *ub, const char *path, struct pst_err *err)
{
    /* libunbound reads the file later and then only says "initialization failed": look now. */
    if (access(path, R_OK) != 0)
        return pst_fail(err, PST_ECONFIG, "the trust anchor %s cannot be read: %s", path,
                        strerror(errno));
    int fault = ub_ctx_add_ta_file(ub, path);
    if (fault != 0)
        return pst_fail(err, PST_ECONFIG, "the trust anchor %s: %s", path, ub_strerror(fault));
    return PST_OK;
}

static int configure(struct pst_resolver *r, const struct pst_resolver_opts *opts,
                     struct pst_err *err)
{
    ub_ctx_debugout(r->ub, NULL);
    int fault = ub_ctx_async(r->ub, 1);
    if (fault != 0)
        return pst_fail(err, PST_EINTERNAL, "libunbound: %s", ub_strerror(fault));

    int rc = set_table(r->ub, always, PST_ARRAY_N(always), err);
    if (rc == PST_OK && opts->fresh)
        rc = set_table(r->ub, when_fresh, PST_ARRAY_N(when_fresh), err);
    if (rc == PST_OK)
        rc = set_sockets(r->ub, opts->sockets, err);
    if (rc != PST_OK)
        return rc;
    bool forward = opts->resolver && *opts->resolver;
    if (forward)
        rc = set_forwarder(r->ub, opts->resolver, err);
    else
        rc = set_table(r->ub, without_resolver, PST_ARRAY_N(without_resolver), err);
    if (rc == PST_OK && opts->trust_anchor && *opts->trust_anchor)
        rc = set_trust_anchor(r->ub, opts->trust_anchor, err);
    return rc == PST_OK ? finish(r->ub, forward, err) : rc;
}

int pst_resolver_new(struct pst_resolver **ret, const struct pst_resolver_opts *opts,
                     struct pst_err *err)
{
    auto_(pst_resolver_free) struct pst_resolver *r = pst_zalloc(1, sizeof *r);

    if (!r)
        return pst_fail_nomem(err, "the resolver");
    r->deadline_ms = opts->deadline_ms ? opts->deadline_ms : 10000;
    pthread_mutex_init(&r->lock, NULL);
    r->stop_fd = eventfd(0, EFD_CLOEXEC);
    if (r->stop_fd < 0)
        return pst_fail_sys(err, "an eventfd for the resolver");
    r->ub = ub_ctx_create();
    if (!r->ub)
        return pst_fail_nomem(err, "libunbound");
    int rc = configure(r, opts, err);
    if (rc != PST_OK)
        return rc;
    int fault = pthread_create(&r->collector, NULL, collect, r);
    if (fault != 0) {
        errno = fault;
        return pst_fail_sys(err, "a thread for the resolver");
    }
    r->started = true;
    *ret = pst_take(&r);
    return PST_OK;
}

void pst_resolver_free(struct pst_resolver *r)
{
    if (!r)
        return;
    if (r->started) {
        uint64_t one = 1;

        (void)!write(r->stop_fd, &one, sizeof one);
        pthread_join(r->collector, NULL);
    }
    /* Ends libunbound's thread; questions that nobody waits for any more get no answer. */
    if (r->ub)
        ub_ctx_delete(r->ub);
    while (r->waiters)
        waiter_free(r->waiters);
    if (r->stop_fd >= 0)
        close(r->stop_fd);
    pthread_mutex_destroy(&r->lock);
    pst_free(r);
}

/* ------------------------------------------------------------------ asking */

static struct waiter *waiter_new(struct pst_resolver *r, size_t n)
{
    pthread_condattr_t attr;
    struct waiter *w = pst_zalloc(1, sizeof *w + n * sizeof w->slots[0]);

    if (!w)
        return NULL;
    w->resolver = r;
    w->n = n;
    w->open = n;
    for (size_t i = 0; i < n; i++)
        w->slots[i].owner = w;
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&w->ready, &attr);
    pthread_condattr_destroy(&attr);
    pthread_mutex_lock(&r->lock);
    w->next = r->waiters;
    if (w->next)
        w->next->prev = w;
    r->waiters = w;
    pthread_mutex_unlock(&r->lock);
    return w;
}

/* The condition variable's clock is that of pst_mono_ms(). */
static struct timespec deadline_in(uint32_t ms)
{
    int64_t at_ms = pst_mono_ms(pst_clock_system()) + ms;

    return (struct timespec){.tv_sec = at_ms / 1000, .tv_nsec = (long)(at_ms % 1000) * 1000000};
}

static void no_answer(struct pst_lookup *l, enum pst_dns_status status, const char *why)
{
    l->end.status = status;
    pst_str_copy(l->end.why, sizeof l->end.why, why);
}

static void cut_copy(char *to, size_t size, const char *from)
{
    (void)snprintf(to, size, "%s", from ? from : "");
}

/* From libunbound's result to ours.  PST_OK or PST_ENOMEM. */
static int read_result(const struct ub_result *u, struct pst_lookup *l, struct pst_err *err)
{
    static const char *const whys[] = {
        [PST_DNS_SERVFAIL] = "the name servers failed or did not answer (SERVFAIL)",
        [PST_DNS_REFUSED] = "the name server refused to answer (REFUSED)",
        [PST_DNS_BROKEN] = "the answer makes no sense",
    };

    l->end.secure = u->secure;
    if (u->answer_packet && u->answer_len > 0) {
        struct pst_err why = {0};
        int rc = pst_dns_parse(u->answer_packet, (size_t)u->answer_len, &l->msg, &why);

        if (rc == PST_ENOMEM)
            return pst_fail_nomem(err, "a DNS answer");
        if (rc == PST_OK)
            pst_dns_follow(l->msg, &l->view);
    }
    if (u->bogus) {
        no_answer(l, PST_DNS_BOGUS, "");
        cut_copy(l->end.why, sizeof l->end.why, u->why_bogus ? u->why_bogus : "DNSSEC");
        return PST_OK;
    }
    if (l->msg)
        l->end.status = l->view.status;
    else if (u->nxdomain)
        l->end.status = PST_DNS_NXDOMAIN;
    else
        l->end.status = u->rcode == 5 ? PST_DNS_REFUSED : PST_DNS_SERVFAIL;
    if ((size_t)l->end.status < PST_ARRAY_N(whys))
        cut_copy(l->end.why, sizeof l->end.why, whys[l->end.status]);
    return PST_OK;
}

static void start_all(struct pst_resolver *r, struct waiter *w, const struct pst_lookup_question *q)
{
    for (size_t i = 0; i < w->n; i++) {
        int fault = ub_resolve_async(r->ub, q[i].name, q[i].type, 1, &w->slots[i], on_answer, NULL);

        if (fault != 0)
            on_answer(&w->slots[i], fault, NULL);
    }
}

void pst_lookup_deinit(struct pst_lookup *l)
{
    pst_dns_msg_free(l->msg);
    *l = (struct pst_lookup){0};
}

static int read_slot(const struct slot *s, struct pst_lookup *l, struct pst_err *err)
{
    if (!s->done) {
        no_answer(l, PST_DNS_TIMEOUT, "no answer within the time");
        return PST_OK;
    }
    if (s->fault == UB_NOMEM)
        return pst_fail_nomem(err, "a DNS look-up");
    if (s->fault == UB_SERVFAIL || (s->fault == 0 && !s->result)) {
        no_answer(l, PST_DNS_SERVFAIL, "the name servers failed (SERVFAIL)");
        return PST_OK;
    }
    if (s->fault != 0)
        return pst_fail(err, PST_ESYS, "the DNS look-up could not be made: %s",
                        ub_strerror(s->fault));
    return read_result(s->result, l, err);
}

int pst_lookup_all(struct pst_resolver *r, const struct pst_lookup_question *q, size_t n,
                   struct pst_lookup *ret, struct pst_err *err)
{
    int rc = PST_OK;

    pst_require(n > 0 && n <= PST_LOOKUP_MAX);
    for (size_t i = 0; i < n; i++) {
        if (*q[i].name && !pst_dns_name_ok(q[i].name))
            return pst_fail(err, PST_REFUSED,
                            "\"%.80s\" is not a name that the DNS can be asked for", q[i].name);
    }
    struct waiter *w = waiter_new(r, n);
    if (!w)
        return pst_fail_nomem(err, "a DNS look-up");
    struct timespec until = deadline_in(r->deadline_ms);
    start_all(r, w, q);

    pthread_mutex_lock(&r->lock);
    while (w->open > 0 && pthread_cond_timedwait(&w->ready, &r->lock, &until) != ETIMEDOUT)
        ;
    memset(ret, 0, n * sizeof *ret);
    for (size_t i = 0; i < n && rc == PST_OK; i++)
        rc = read_slot(&w->slots[i], &ret[i], err);
    w->left = true;
    if (w->open == 0)
        waiter_free(w);
    pthread_mutex_unlock(&r->lock);

    for (size_t i = 0; i < n && rc != PST_OK; i++)
        pst_lookup_deinit(&ret[i]);
    return rc;
}
