/*
 * replica_tool.c - writes a replica by hand, for tests of what reads it.
 *
 * usage: replica_tool FOLDER [GROUP]
 *
 * Each line on standard input is a command with blanks between its words, each is answered by one
 * line: "ok", or "error: ...".  "-" is an empty word.
 *
 *   new | open | publish | close          a new build, the current one; publish supersedes it
 *   begin | commit | drop                 a batch
 *   name KEY GEN APP FLAGS CANONICAL STEP...   FLAGS: letters a (acme), f (force HTTPS), or -
 *   app KEY GEN NAME ID=ADDRESS=WEIGHT...
 *   cert KEY GEN TYPE NOT_BEFORE NOT_AFTER SEALED LEAF ISSUER...     (hex)
 *   issuer KEY GEN DER                    challenge TOKEN GEN NAME ANSWER UNTIL
 *   ticket KEY GEN NOT_BEFORE NOT_AFTER SEALED
 *   default GEN STEP... | probe GEN SEALED | thumbprint GEN VALUE
 *   state EPOCH REV REV_ID COMMITTED_AT | delete KIND KEY | prune
 *
 * STEP is CERT:NOT_BEFORE:NOT_AFTER:TYPE[:CERT2:TYPE2]; TYPE is p256, rsa, p384, p521, ed25519.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <postern/base.h>
#include <postern/replica.h>

enum { WORDS = 80 };

struct tool {
    struct pst_replica_opts opts;
    struct pst_replica *r;     /* commands go here */
    struct pst_replica *older; /* what `publish` supersedes */
    char *word[WORDS];
    int n;
    struct pst_err err;
};

static const char *const types[PST_REPLICA_KEY__END] = {
    [PST_REPLICA_P256] = "p256", [PST_REPLICA_RSA] = "rsa",         [PST_REPLICA_P384] = "p384",
    [PST_REPLICA_P521] = "p521", [PST_REPLICA_ED25519] = "ed25519",
};

static const char *word(const struct tool *t, int i)
{
    if (i >= t->n)
        return "";
    return pst_streq(t->word[i], "-") ? "" : t->word[i];
}

static int64_t number(const char *s)
{
    return (int64_t)strtoull(s, NULL, 10);
}

static uint8_t key_type(const char *s)
{
    for (uint8_t i = 1; i < PST_REPLICA_KEY__END; i++) {
        if (pst_streq(types[i], s))
            return i;
    }
    return 0;
}

static unsigned steps(const struct tool *t, int from, struct pst_replica_step *to)
{
    unsigned n = 0;

    for (int i = from; i < t->n && n < PST_REPLICA_STEPS; i++, n++) {
        char *rest = t->word[i], *part[6] = {NULL};
        for (int k = 0; k < 6 && rest; k++)
            part[k] = strsep(&rest, ":");
        to[n] = (struct pst_replica_step){.cert = (uint64_t)number(part[0])};
        if (!part[3])
            continue;
        to[n].not_before = strtoll(part[1], NULL, 10);
        to[n].not_after = strtoll(part[2], NULL, 10);
        to[n].key = key_type(part[3]);
        if (part[5]) {
            to[n].cert2 = (uint64_t)number(part[4]);
            to[n].key2 = key_type(part[5]);
        }
    }
    return n;
}

/* The word's hex as bytes, over the hex itself; the length. */
static size_t hex(const struct tool *t, int i, const unsigned char **ret)
{
    static unsigned char empty[1];

    *ret = empty;
    if (i >= t->n)
        return 0;
    size_t len = strlen(t->word[i]) / 2;
    unsigned char *bytes = pst_alloc(len + 1);
    if (!bytes || !pst_unhex(bytes, len, t->word[i])) {
        pst_free(bytes);
        return 0;
    }
    memcpy(t->word[i], bytes, len);
    pst_free(bytes);
    *ret = (const unsigned char *)t->word[i];
    return len;
}

static int do_name(struct tool *t)
{
    struct pst_replica_name v = {0};

    (void)pst_str_copy(v.app, sizeof v.app, word(t, 3));
    v.acme = strchr(word(t, 4), 'a');
    v.force_https = strchr(word(t, 4), 'f');
    (void)pst_str_copy(v.canonical, sizeof v.canonical, word(t, 5));
    v.step_n = steps(t, 6, v.steps);
    return pst_replica_put_name(t->r, word(t, 1), (uint64_t)number(word(t, 2)), &v, &t->err);
}

static int do_app(struct tool *t)
{
    static struct pst_replica_app v;

    v = (struct pst_replica_app){0};
    (void)pst_str_copy(v.name, sizeof v.name, word(t, 3));
    for (int i = 4; i < t->n && v.upstream_n < PST_REPLICA_UPSTREAMS; i++) {
        struct pst_replica_upstream *u = &v.upstreams[v.upstream_n++];
        char *rest = t->word[i];
        (void)pst_str_copy(u->id, sizeof u->id, strsep(&rest, "="));
        (void)pst_str_copy(u->address, sizeof u->address, rest ? strsep(&rest, "=") : "");
        const char *weight = rest ? strsep(&rest, "=") : NULL;
        u->weight = (uint16_t)(weight ? number(weight) : 1);
        u->drain = rest && pst_streq(rest, "drain");
    }
    return pst_replica_put_app(t->r, word(t, 1), (uint64_t)number(word(t, 2)), &v, &t->err);
}

static int do_cert(struct tool *t)
{
    struct pst_replica_cert v = {.key = key_type(word(t, 3)),
                                 .not_before = number(word(t, 4)),
                                 .not_after = number(word(t, 5))};

    v.sealed_len = hex(t, 6, &v.sealed);
    v.leaf_len = hex(t, 7, &v.leaf);
    for (int i = 8; i < t->n && v.issuer_n < PST_REPLICA_ISSUERS; i++)
        v.issuers[v.issuer_n++] = strtoull(t->word[i], NULL, 16);
    return pst_replica_put_cert(t->r, word(t, 1), (uint64_t)number(word(t, 2)), &v, &t->err);
}

static int do_issuer(struct tool *t)
{
    struct pst_replica_issuer v;

    v.der_len = hex(t, 3, &v.der);
    return pst_replica_put_issuer(t->r, word(t, 1), (uint64_t)number(word(t, 2)), &v, &t->err);
}

static int do_challenge(struct tool *t)
{
    struct pst_replica_challenge v = {.until = number(word(t, 5))};

    (void)pst_str_copy(v.name, sizeof v.name, word(t, 3));
    (void)pst_str_copy(v.answer, sizeof v.answer, word(t, 4));
    return pst_replica_put_challenge(t->r, word(t, 1), (uint64_t)number(word(t, 2)), &v, &t->err);
}

static int do_ticket(struct tool *t)
{
    struct pst_replica_ticket v = {.not_before = number(word(t, 3)),
                                   .not_after = number(word(t, 4))};

    v.sealed_len = hex(t, 5, &v.sealed);
    return pst_replica_put_ticket(t->r, word(t, 1), (uint64_t)number(word(t, 2)), &v, &t->err);
}

static int do_default(struct tool *t)
{
    struct pst_replica_default v = {0};

    v.step_n = steps(t, 2, v.steps);
    return pst_replica_put_default(t->r, (uint64_t)number(word(t, 1)), &v, &t->err);
}

static int do_probe(struct tool *t)
{
    struct pst_replica_probe v;

    v.sealed_len = hex(t, 2, &v.sealed);
    return pst_replica_put_probe(t->r, (uint64_t)number(word(t, 1)), &v, &t->err);
}

static int do_thumbprint(struct tool *t)
{
    struct pst_replica_text v = {0};

    (void)pst_str_copy(v.value, sizeof v.value, word(t, 2));
    return pst_replica_put_thumbprint(t->r, (uint64_t)number(word(t, 1)), &v, &t->err);
}

static int do_state(struct tool *t)
{
    struct pst_replica_state v = {.rev = (uint64_t)number(word(t, 2)),
                                  .committed_at = number(word(t, 4))};

    (void)pst_str_copy(v.epoch, sizeof v.epoch, word(t, 1));
    (void)pst_str_copy(v.rev_id, sizeof v.rev_id, word(t, 3));
    return pst_replica_set_state(t->r, &v, &t->err);
}

static int do_delete(struct tool *t)
{
    int kind = pst_replica_kind_find(word(t, 1), strlen(word(t, 1)));
    int rc = pst_replica_delete(t->r, kind, word(t, 2), &t->err);

    return rc == PST_NOTFOUND ? pst_fail(&t->err, PST_EINPUT, "there is no such record") : rc;
}

static int do_new(struct tool *t)
{
    struct pst_replica *fresh = NULL;
    int rc = pst_replica_new_build(&fresh, &t->opts, pst_rand_system(), &t->err);

    if (rc < 0)
        return rc;
    pst_replica_close(t->older);
    t->older = t->r;
    t->r = fresh;
    return PST_OK;
}

static int do_open(struct tool *t)
{
    int rc = pst_replica_open(&t->r, &t->opts, &t->err);

    return rc == PST_NOTFOUND ? pst_fail(&t->err, PST_EINPUT, "there is no replica") : rc;
}

static int do_publish(struct tool *t)
{
    int rc = pst_replica_publish(t->r, t->older, &t->err);

    if (rc == PST_OK) {
        pst_replica_close(t->older);
        t->older = NULL;
    }
    return rc;
}

static int do_close(struct tool *t)
{
    pst_replica_close(t->r);
    pst_replica_close(t->older);
    t->r = t->older = NULL;
    return PST_OK;
}

static int do_begin(struct tool *t)
{
    return pst_replica_begin(t->r, &t->err);
}

static int do_commit(struct tool *t)
{
    return pst_replica_commit(t->r, &t->err);
}

static int do_drop(struct tool *t)
{
    pst_replica_drop(t->r);
    return PST_OK;
}

static int do_prune(struct tool *t)
{
    return pst_replica_prune(t->r, &t->err);
}

static const struct {
    const char *name;
    int (*run)(struct tool *t);
    bool without; /* needs no open build */
} commands[] = {
    {"new", do_new, true},
    {"open", do_open, true},
    {"close", do_close, true},
    {"publish", do_publish, 0},
    {"begin", do_begin, 0},
    {"commit", do_commit, 0},
    {"drop", do_drop, 0},
    {"prune", do_prune, 0},
    {"name", do_name, 0},
    {"app", do_app, 0},
    {"cert", do_cert, 0},
    {"issuer", do_issuer, 0},
    {"challenge", do_challenge, 0},
    {"ticket", do_ticket, 0},
    {"default", do_default, 0},
    {"probe", do_probe, 0},
    {"thumbprint", do_thumbprint, 0},
    {"state", do_state, 0},
    {"delete", do_delete, 0},
};

static int run(struct tool *t, char *line)
{
    char *rest = line;

    pst_err_clear(&t->err);
    for (t->n = 0; rest && t->n < WORDS;) {
        char *w = strsep(&rest, " \n");
        if (*w)
            t->word[t->n++] = w;
    }
    for (size_t i = 0; t->n && i < PST_ARRAY_N(commands); i++) {
        if (!pst_streq(commands[i].name, t->word[0]))
            continue;
        if (!t->r && !commands[i].without)
            return pst_fail(&t->err, PST_EINPUT, "no build is open");
        return commands[i].run(t);
    }
    return pst_fail(&t->err, PST_EINPUT, "no such command");
}

int main(int argc, char **argv)
{
    struct tool t = {.opts = {.map_bytes = 1u << 30}};
    char *line = NULL;
    size_t size = 0;

    if (argc != 2 && argc != 3) {
        (void)fprintf(stderr, "usage: replica_tool FOLDER [GROUP]\n");
        return 2;
    }
    t.opts.dir = argv[1];
    t.opts.group = argv[2]; /* NULL ends the arguments */
    while (getline(&line, &size, stdin) > 0) {
        if (run(&t, line) == PST_OK)
            (void)printf("ok\n");
        else
            (void)printf("error: %s\n", t.err.text);
        (void)fflush(stdout);
    }
    (void)do_close(&t);
    free(line);
    return 0;
}
