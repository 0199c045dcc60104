/* edge_fixture.h - an edge with a folder of its own and a scripted control plane. */
#ifndef PST_EDGE_FIXTURE_H
#define PST_EDGE_FIXTURE_H

#include <pst_test.h>

#include <fake_http.h>
#include <fcntl.h>
#include <ftw.h>
#include <inttypes.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "edge_internal.h"

#define SNAPSHOT "GET /edge/v1/snapshot"
#define CHANGES  "GET /edge/v1/changes"
#define ENROL    "POST /edge/v1/enrol"
#define T0       INT64_C(1800000000)

enum { BODY_SIZE = 512 * 1024 };

struct fixture {
    char dir[64], keys[96], replica[96], token_file[96], url[96];
    struct fake_http *http;
    struct pst_clock_manual clock;
    struct pst_edged_opts opts;
    struct pst_edged *e;
    struct pst_edged_creds creds; /* a copy, to make boxes for */
};

static inline int remove_entry(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
    return remove(path);
}

static inline void remove_tree(const char *path)
{
    (void)nftw(path, remove_entry, 16, FTW_DEPTH | FTW_PHYS);
}

static inline void write_text(const char *path, const char *text, mode_t mode)
{
    struct pst_err err = {0};

    assert_ok(pst_io_write_file(path, text, strlen(text), mode, &err), err);
}

static inline void fixture_open(struct fixture *f)
{
    struct pst_err err = {0};

    assert_ok(pst_edged_new(&f->e, &f->opts, &err), err);
}

static inline void fixture_close(struct fixture *f)
{
    pst_edged_free(f->e);
    f->e = NULL;
}

static inline int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);

    pst_str_copy(f->dir, sizeof f->dir, "/tmp/pst-edge-XXXXXX");
    assert_non_null(mkdtemp(f->dir));
    snprintf(f->keys, sizeof f->keys, "%s/keys", f->dir);
    snprintf(f->replica, sizeof f->replica, "%s/replica", f->dir);
    snprintf(f->token_file, sizeof f->token_file, "%s/token", f->dir);
    f->http = fake_http_start();
    snprintf(f->url, sizeof f->url, "%s", fake_http_url(f->http));
    pst_clock_manual_init(&f->clock, T0 * 1000);
    f->opts = (struct pst_edged_opts){
        .control_url = f->url,
        .ca_file = "",
        .token_file = f->token_file,
        .name = "edge1",
        .probe_address = "127.0.0.1:8443",
        .keys_dir = f->keys,
        .replica = {.dir = f->replica, .map_bytes = 64 << 20},
        .brake_percent = 2,
        .brake_min = 100,
        .clock = &f->clock.clock,
        .rand = pst_rand_system(),
    };
    *state = f;
    return 0;
}

static inline int teardown(void **state)
{
    struct fixture *f = *state;

    fixture_close(f);
    pst_edged_creds_deinit(&f->creds);
    fake_http_stop(f->http);
    remove_tree(f->dir);
    free(f);
    return 0;
}

/* Enrolled, nothing more. */
static inline void enrol(struct fixture *f)
{
    struct pst_err err = {0};

    write_text(f->token_file, "tk-en-once\n", 0600);
    fake_http_on(f->http, ENROL, 1, 201, "", "{\"edge\":\"e1\",\"token\":\"tk-ed-bearer\"}");
    fixture_open(f);
    int rc;
    (void)pst_edged_step(f->e, &rc); /* looks for a replica */
    assert_int_equal(rc, PST_OK);
    (void)pst_edged_step(f->e, &rc); /* enrols */
    assert_int_equal(rc, PST_OK);
    assert_true(pst_edged_enrolled(f->e));
    assert_ok(pst_edged_creds_load(&f->creds, f->keys, pst_rand_system(), &err), err);
}

/* A page of the snapshot. */
static inline void on_snapshot(struct fixture *f, int64_t rev, const char *objects,
                               const char *next)
{
    struct pst_buf b = PST_BUF(BODY_SIZE);

    pst_buf_printf(&b,
                   "{\"epoch\":\"ep1\",\"rev\":%" PRId64 ",\"id\":\"id%" PRId64
                   "\",\"objects\":[%s],\"next\":%s}",
                   rev, rev, objects, next ? next : "null");
    fake_http_on(f->http, SNAPSHOT, 1, 200, "", pst_buf_cstr(&b));
    pst_buf_deinit(&b);
}

static inline void on_changes(struct fixture *f, int64_t rev, const char *objects, bool more)
{
    struct pst_buf b = PST_BUF(BODY_SIZE);

    pst_buf_printf(&b,
                   "{\"epoch\":\"ep1\",\"rev\":%" PRId64 ",\"id\":\"id%" PRId64
                   "\",\"objects\":[%s],\"more\":%s}",
                   rev, rev, objects, more ? "true" : "false");
    fake_http_on(f->http, CHANGES, 1, 200, "", pst_buf_cstr(&b));
    pst_buf_deinit(&b);
}

/* Step n times, each well. */
static inline void steps(struct fixture *f, int n)
{
    for (int i = 0; i < n; i++) {
        int rc;
        (void)pst_edged_step(f->e, &rc);
        assert_int_equal(rc, PST_OK);
    }
}

static inline void step_rc(struct fixture *f, int wanted)
{
    int rc;
    int64_t wait_ms = pst_edged_step(f->e, &rc);

    assert_int_equal(rc, wanted);
    assert_true(wanted == PST_OK || wait_ms > 0);
}

static inline int64_t at_rev(const struct fixture *f)
{
    struct pst_edged_cursor at;

    return pst_edged_at(f->e, &at) ? at.rev : -1;
}

#define NAME_VALUE                                                                                 \
    "{\"app\":\"a1\",\"acme\":true,\"force_https\":false,\"canonical\":null,\"steps\":[]}"

static inline void add_object(struct pst_buf *b, const char *kind, const char *key, int64_t rev,
                              const char *value)
{
    pst_buf_printf(
        b, "%s{\"kind\":\"%s\",\"key\":\"%s\",\"rev\":%" PRId64 ",\"deleted\":%s,\"value\":%s}",
        b->len ? "," : "", kind, key, rev, value ? "false" : "true", value ? value : "null");
}

/* Names n<from>.test .. n<to - 1>.test; deleted when `value` is NULL. */
static inline void add_names(struct pst_buf *b, int from, int to, int64_t rev, const char *value)
{
    for (int i = from; i < to; i++) {
        char key[32];
        snprintf(key, sizeof key, "n%04d.test", i);
        add_object(b, "name", key, rev, value);
    }
}

/* "sealed" of an object: a box to the edge, in base64. */
static inline void add_box(struct pst_buf *to, const uint8_t public_key[32], const char *aad,
                           const void *plain, size_t len)
{
    struct pst_buf box = PST_BUF(8192);
    struct pst_err err = {0};

    assert_ok(pst_box_seal(public_key, aad, plain, len, &box, &err), err);
    pst_b64_add(to, box.data, box.len);
    pst_buf_deinit(&box);
}

/* With names n0000 to n<n - 1> at revision 5, following. */
static inline void follow_with_names(struct fixture *f, int n)
{
    struct pst_buf b = PST_BUF(BODY_SIZE);

    enrol(f);
    add_names(&b, 0, n, 5, NAME_VALUE);
    on_snapshot(f, 5, pst_buf_cstr(&b), NULL);
    on_changes(f, 5, "", false);
    pst_buf_deinit(&b);
    steps(f, 3); /* begin, snapshot, catch up and publish */
    assert_int_equal(at_rev(f), 5);
}

/* What the replica shows of a name, read by a process of its own as nginx would; "" for nothing.
 * Good until the next call. */
static inline const char *shown(const struct fixture *f, const char *name)
{
    static char text[4096];
    int fds[2], status;

    assert_int_equal(pipe(fds), 0);
    pid_t pid = fork();
    if (pid == 0) {
        FILE *to = fdopen(fds[1], "w");
        struct pst_err err = {0};
        int rc = name ? pst_edged_show(to, f->replica, name, T0, &err)
                      : pst_edged_status(to, f->replica, T0, true, &err);
        fflush(to);
        _exit(rc == PST_OK ? 0 : 1);
    }
    close(fds[1]);
    size_t n;
    struct pst_err err = {0};
    assert_ok(pst_io_read_full(fds[0], text, sizeof text - 1, &n, &err), err);
    close(fds[0]);
    text[n] = '\0';
    while (waitpid(pid, &status, 0) < 0)
        continue;
    if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
        text[0] = '\0';
    return text;
}

#define assert_shows(f, name, part)                                                                \
    do {                                                                                           \
        const char *text_ = shown(f, name);                                                        \
        if (!strstr(text_, part))                                                                  \
            fail_msg("\"%s\" is not in:\n%s", part, text_);                                        \
    } while (0)
#define assert_shows_nothing(f, name) assert_string_equal(shown(f, name), "")

#endif
