/* show.c - what the replica holds, for people. */
#include <inttypes.h>
#include <string.h>

#include <postern/replica_reader.h>

#include "edge_internal.h"

PST_CLEANUP(struct pst_replica_reader, pst_replica_reader_free);

static int open_reader(struct pst_replica_reader **ret, const char *dir, struct pst_err *err)
{
    if (pst_replica_reader_new(ret, dir) != PST_REPLICA_OK)
        return pst_fail_nomem(err, "the replica's reader");
    return PST_OK;
}

/* The reader's answers as faults and PST_NOTFOUND. */
static int translate(const struct pst_replica_reader *r, int answer, const char *dir,
                     struct pst_err *err)
{
    struct pst_replica_seen seen;

    switch (answer) {
    case PST_REPLICA_OK:
        return PST_OK;
    case PST_REPLICA_MISSING:
    case PST_REPLICA_BADKEY:
        return PST_NOTFOUND;
    case PST_REPLICA_GONE:
        pst_replica_reader_seen(r, &seen);
        return pst_fail(err, PST_ESYS, "the replica in %s cannot be opened: %s", dir,
                        seen.last_errno > 0 ? strerror(seen.last_errno) : "it is damaged");
    default:
        return pst_fail(err, PST_EINTERNAL, "the replica in %s is damaged", dir);
    }
}

static const char *key_name(uint8_t key)
{
    static const char *const names[PST_REPLICA_KEY__END] = {
        [PST_REPLICA_P256] = "p256", [PST_REPLICA_RSA] = "rsa",         [PST_REPLICA_P384] = "p384",
        [PST_REPLICA_P521] = "p521", [PST_REPLICA_ED25519] = "ed25519",
    };

    return key < PST_REPLICA_KEY__END && names[key] ? names[key] : "?";
}

static const char *time_text(int64_t unix_s, char to[PST_TIME_SIZE])
{
    pst_time_format(to, unix_s * 1000);
    return to;
}

/* ---- a name ---- */

/* Why a step is taken or passed. */
static const char *judge(struct pst_replica_reader *r, const struct pst_replica_step *s,
                         int64_t now, bool *io_taken)
{
    struct pst_replica_cert cert;

    if (pst_replica_reader_cert(r, s->cert, &cert) != PST_REPLICA_OK)
        return "passed: the certificate is not in the replica";
    if (now < s->not_before)
        return "passed: not valid yet";
    if (now >= s->not_after)
        return "passed: expired";
    if (*io_taken)
        return "standby";
    *io_taken = true;
    return "served";
}

static bool show_steps(FILE *to, struct pst_replica_reader *r, const char *label,
                       const struct pst_replica_step *steps, unsigned n, int64_t now)
{
    char from[PST_TIME_SIZE], until[PST_TIME_SIZE];
    bool taken = false;

    for (unsigned i = 0; i < n; i++) {
        const struct pst_replica_step s = steps[i];
        const char *why = judge(r, &s, now, &taken);
        fprintf(to, "%s %u: certificate %" PRIu64 ", %s, %s to %s, %s\n", label, i + 1, s.cert,
                key_name(s.key), time_text(s.not_before, from), time_text(s.not_after, until), why);
    }
    return taken;
}

static void show_default(FILE *to, struct pst_replica_reader *r, int64_t now)
{
    struct pst_replica_default d;

    if (pst_replica_reader_default(r, &d) != PST_REPLICA_OK || d.step_n == 0)
        fputs("default: none\n", to);
    else
        show_steps(to, r, "default", d.steps, d.step_n, now);
}

static void show_app(FILE *to, struct pst_replica_reader *r, const char *id)
{
    struct pst_replica_app app;

    if (pst_replica_reader_app(r, id, &app) != PST_REPLICA_OK) {
        fprintf(to, "app: %s (not in the replica)\n", id);
        return;
    }
    fprintf(to, "app: %s (%s)\n", id, app.name);
    for (unsigned i = 0; i < app.upstream_n; i++)
        fprintf(to, "upstream: %s weight %u%s\n", app.upstreams[i].address, app.upstreams[i].weight,
                app.upstreams[i].drain ? " draining" : "");
    if (app.upstream_n == 0)
        fputs("upstream: none\n", to);
}

/* The name itself or the wildcard that covers it, as nginx looks it up. */
static int find_name(struct pst_replica_reader *r, const char *name, char ret_key[256],
                     struct pst_replica_name *ret)
{
    const char *dot = strchr(name, '.');

    if (!pst_str_copy(ret_key, 256, name))
        return PST_REPLICA_BADKEY;
    int rc = pst_replica_reader_name(r, name, strlen(name), ret);
    if (rc != PST_REPLICA_MISSING || !dot)
        return rc;
    ret_key[0] = '*';
    if (!pst_str_copy(ret_key + 1, 255, dot))
        return PST_REPLICA_BADKEY;
    return pst_replica_reader_name(r, ret_key, strlen(ret_key), ret);
}

int pst_edged_show(FILE *to, const char *replica_dir, const char *name, int64_t now,
                   struct pst_err *err)
{
    auto_(pst_replica_reader_free) struct pst_replica_reader *r = NULL;
    auto_(pst_free) char *lower = pst_strdup(name);
    struct pst_replica_name n;
    char key[256];

    if (!lower)
        return pst_fail_nomem(err, "a name");
    pst_str_lower(lower);
    int rc = open_reader(&r, replica_dir, err);
    if (rc == PST_OK)
        rc = translate(r, find_name(r, lower, key, &n), replica_dir, err);
    if (rc != PST_OK)
        return rc;

    fprintf(to, "name: %s\nkey: %s\nrevision: %" PRIu64 "\n", lower, key, n.generation);
    show_app(to, r, n.app);
    fprintf(to, "acme: %s\nforce_https: %s\ncanonical: %s\n", n.acme ? "on" : "off",
            n.force_https ? "on" : "off", n.canonical[0] ? n.canonical : "-");
    if (!show_steps(to, r, "step", n.steps, n.step_n, now)) {
        fputs("step: none is usable now, the default certificate is served\n", to);
        show_default(to, r, now);
    }
    return PST_OK;
}

/* ---- status ---- */

struct counts {
    uint64_t names, apps, certs;
};

static int count_all(struct pst_replica_reader *r, struct counts *ret)
{
    int rc = pst_replica_reader_count(r, PST_REPLICA_NAME, &ret->names);

    if (rc == PST_REPLICA_OK)
        rc = pst_replica_reader_count(r, PST_REPLICA_APP, &ret->apps);
    if (rc == PST_REPLICA_OK)
        rc = pst_replica_reader_count(r, PST_REPLICA_CERT, &ret->certs);
    return rc;
}

static int status_json(FILE *to, const struct pst_replica_state *s, const struct counts *c,
                       const struct pst_edged_brake_note *brake, int64_t now, struct pst_err *err)
{
    auto_buf struct pst_buf b = PST_BUF(4096);

    pst_buf_str(&b, "{\"epoch\":");
    pst_json_quote(&b, s->epoch);
    pst_buf_printf(&b,
                   ",\"rev\":%" PRIu64 ",\"committed_at\":%" PRId64 ",\"commit_age_s\":%" PRId64
                   ",\"names\":%" PRIu64 ",\"apps\":%" PRIu64 ",\"certs\":%" PRIu64 ",\"brake\":",
                   s->rev, s->committed_at, now - s->committed_at, c->names, c->apps, c->certs);
    if (brake)
        pst_buf_printf(&b, "{\"since\":%" PRId64 ",\"lost\":%" PRId64 ",\"of\":%" PRId64 "}",
                       brake->since, brake->lost_n, brake->of_n);
    else
        pst_buf_str(&b, "null");
    pst_buf_str(&b, "}\n");
    int rc = pst_buf_check(&b, "the status", err);
    if (rc == PST_OK)
        fputs(b.data, to);
    return rc;
}

static void status_text(FILE *to, const struct pst_replica_state *s, const struct counts *c,
                        const struct pst_edged_brake_note *brake, int64_t now)
{
    char at[PST_TIME_SIZE];

    fprintf(to, "epoch: %s\nrevision: %" PRIu64 "\nlast commit: %s, %" PRId64 " s ago\n", s->epoch,
            s->rev, time_text(s->committed_at, at), now - s->committed_at);
    fprintf(to, "names: %" PRIu64 "\napps: %" PRIu64 "\ncertificates: %" PRIu64 "\n", c->names,
            c->apps, c->certs);
    if (brake)
        fprintf(to,
                "BRAKE: since %s; %" PRId64 " of %" PRId64
                " names would go; see postern-edged accept\n",
                time_text(brake->since, at), brake->lost_n, brake->of_n);
}

int pst_edged_status(FILE *to, const char *replica_dir, int64_t now, bool json, struct pst_err *err)
{
    auto_(pst_replica_reader_free) struct pst_replica_reader *r = NULL;
    struct pst_edged_brake_note note, *brake = &note;
    struct pst_replica_state s;
    struct counts c;

    int rc = open_reader(&r, replica_dir, err);
    if (rc != PST_OK)
        return rc;
    int answer = pst_replica_reader_state(r, &s);
    if (answer == PST_REPLICA_OK)
        answer = count_all(r, &c);
    rc = translate(r, answer, replica_dir, err);
    if (rc != PST_OK)
        return rc;
    if (pst_edged_brake_note_read(replica_dir, &note, NULL) != PST_OK)
        brake = NULL;
    if (json)
        return status_json(to, &s, &c, brake, now, err);
    status_text(to, &s, &c, brake, now);
    return PST_OK;
}
