/*
 * verbs_bulk.c - imports and exports of many domains.
 *
 * The server says which line is next, so this program remembers nothing: after any interruption it
 * reads the file again from there.
 */
#include "cli_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum {
    PART_SIZE = 1024,
    READ_MAX = 64 * 1024,
    CHUNK_LINES = 5000,           /* in one request */
    LINE_LIMIT = 4 * 1024 * 1024, /* whatever the server says */
    PATIENCE_S = 300,             /* for a server that does not answer */
    PAUSE_MAX_S = 10,
    EXIT_INTERRUPTED = 130,
    PAGE_LINES = 5000,
};

/* ---- being interrupted ---- */

static atomic_bool interrupted;

static void on_signal(int number)
{
    (void)number;
    interrupted = true;
}

/* Sleep that an interruption ends. */
static void pause_s(int64_t seconds)
{
    int64_t until_ms = pst_mono_ms(pst_clock_system()) + seconds * 1000;
    struct timespec tick = {0, 100 * 1000000};

    while (!interrupted && pst_mono_ms(pst_clock_system()) < until_ms)
        nanosleep(&tick, NULL);
}

/* ---- reading lines ---- */

struct input {
    int fd;
    char block[READ_MAX];
    size_t at, n;
    bool over;
    int64_t line;        /* number of the line that comes next */
    size_t line_max;     /* of what is longer the server only needs to see that */
    struct pst_buf text; /* the line that was read, with its end */
};

/* PST_EXIT_OK: a line is in in->text, or in->over.  Otherwise it was told. */
static int read_line(struct input *in)
{
    bool ended = false, begun = false;

    pst_buf_cut(&in->text, 0);
    while (!ended) {
        if (in->at == in->n) {
            ssize_t n = read(in->fd, in->block, sizeof in->block);
            if (n < 0 && errno == EINTR && !interrupted)
                continue;
            if (n < 0)
                return interrupted
                           ? EXIT_INTERRUPTED
                           : cli_fail(PST_EXIT_FAILED, "reading the lines: %s", strerror(errno));
            in->at = 0;
            in->n = (size_t)n;
            if (n == 0)
                break;
        }
        begun = true;
        const char *from = in->block + in->at;
        const char *stop = memchr(from, '\n', in->n - in->at);
        size_t len = stop ? (size_t)(stop - from) : in->n - in->at;
        size_t room = in->line_max + 1 - in->text.len;
        pst_buf_add(&in->text, from, len < room ? len : room);
        in->at += len + (stop != NULL);
        ended = stop != NULL;
    }
    in->over = !begun;
    in->line += begun;
    pst_buf_char(&in->text, '\n');
    return pst_buf_check(&in->text, "a line", NULL) == PST_OK
               ? PST_EXIT_OK
               : cli_fail(PST_EXIT_FAILED, "a line of the file is too long for this program");
}

/* How many lines a file has; 0: not known. */
static int64_t count_lines(int fd)
{
    auto_(pst_free) char *block = pst_alloc(READ_MAX);
    struct stat st;
    int64_t n = 0;
    off_t at = 0;
    char last = '\n';

    if (!block || fstat(fd, &st) != 0 || !S_ISREG(st.st_mode))
        return 0;
    for (;;) {
        ssize_t got = pread(fd, block, READ_MAX, at);
        if (got <= 0)
            break;
        for (const char *p = block; (p = memchr(p, '\n', (size_t)(block + got - p))); p++)
            n++;
        last = block[got - 1];
        at += got;
    }
    return n + (last != '\n');
}

/* ---- an import ---- */

struct import {
    struct cli *c;
    struct input in;
    char id[PART_SIZE];
    int64_t next; /* line that the server waits for */
    size_t body_max;
    struct pst_buf chunk; /* lines that it has not acknowledged */
    int64_t chunk_first, chunk_n;
    bool held;                /* in.text is a line that did not fit */
    bool progress;            /* stderr is a terminal */
    int64_t unreached_ms;     /* monotonic: since when the server does not answer; 0: it does */
    struct cli_answer answer; /* the last object of the import */
};

static int64_t number_of(const struct pst_json *j, const char *key)
{
    int64_t n = 0;

    pst_json_get_int(j, key, &n);
    return n;
}

static const struct pst_json *object_of(const struct import *i)
{
    return pst_json_get(i->answer.json, "import");
}

/* Take over what the server says of the import. */
static int note_answer(struct import *i)
{
    const struct pst_json *j = object_of(i);
    const char *id = pst_json_get_text(j, "id");
    int64_t line_max = number_of(j, "line_max"), body_max = number_of(j, "body_max");

    if (!id || line_max < 1 || line_max > LINE_LIMIT || body_max <= line_max ||
        body_max > LINE_LIMIT)
        return cli_fail(PST_EXIT_FAILED, "the server's answer is not that of an import");
    cli_encode(i->id, sizeof i->id, id);
    i->next = number_of(j, "next_line");
    i->in.line_max = (size_t)line_max;
    i->body_max = (size_t)body_max;
    return PST_EXIT_OK;
}

static void show_progress(const struct import *i)
{
    const struct pst_json *j = object_of(i);
    int64_t lines = number_of(j, "lines"), expected = number_of(j, "lines_expected");
    int64_t rate = number_of(j, "lines_per_s"), refused = number_of(j, "refused");

    if (!i->progress)
        return;
    fprintf(stderr, "\r\033[K%lld lines", (long long)lines);
    if (expected >= lines && expected > 0)
        fprintf(stderr, " of %lld (%lld%%)", (long long)expected,
                (long long)(lines * 100 / expected));
    fprintf(stderr, ", %lld/s", (long long)rate);
    if (expected > lines && rate > 0)
        fprintf(stderr, ", %lld s left", (long long)((expected - lines) / rate + 1));
    if (refused)
        fprintf(stderr, ", %lld refused", (long long)refused);
    fflush(stderr);
}

static void end_progress(const struct import *i)
{
    if (i->progress)
        fprintf(stderr, "\r\033[K");
}

static int begin(struct import *i)
{
    struct cli *c = i->c;
    auto_(pst_json_free) struct pst_json *one = pst_json_object();
    auto_(pst_json_free) struct pst_json *body = pst_json_object();
    int64_t lines = count_lines(i->in.fd);
    char id[PART_SIZE];
    int status;

    if (c->flags[FLAG_RESUME]) {
        status = cli_ask(c, "GET", NULL, &i->answer, "/v1/imports/%s",
                         cli_encode(id, sizeof id, c->flags[FLAG_RESUME]));
        return status == PST_EXIT_OK ? note_answer(i) : status;
    }
    if (!pst_json_set_bool(one, "dry_run", c->flags[FLAG_DRY_RUN] != NULL) ||
        (c->app && !pst_json_set_text(one, "app", c->app)) ||
        (lines && !pst_json_set_int(one, "lines_expected", lines)) ||
        !pst_json_set(body, "import", pst_take(&one)))
        return cli_fail(PST_EXIT_FAILED, "no memory");
    status = cli_ask(c, "POST", body, &i->answer, "/v1/imports");
    return status == PST_EXIT_OK ? note_answer(i) : status;
}

/* Read over what the server has already. */
static int skip_known(struct import *i)
{
    while (i->in.line < i->next) {
        int status = read_line(&i->in);
        if (status != PST_EXIT_OK)
            return status;
        if (i->in.over)
            return cli_fail(PST_EXIT_FAILED,
                            "the file ends at line %lld, but the server has lines up to %lld: is "
                            "it the same file?",
                            (long long)i->in.line - 1, (long long)i->next - 1);
    }
    return PST_EXIT_OK;
}

/* Fill the chunk; empty afterwards: that was all. */
static int fill_chunk(struct import *i)
{
    pst_buf_cut(&i->chunk, 0);
    i->chunk_n = 0;
    i->chunk_first = i->in.line - i->held;
    while (i->chunk_n < CHUNK_LINES) {
        if (!i->held) {
            int status = read_line(&i->in);
            if (status != PST_EXIT_OK)
                return status;
            if (i->in.over)
                return PST_EXIT_OK;
        }
        i->held = i->chunk.len + i->in.text.len > i->body_max;
        if (i->held)
            return PST_EXIT_OK;
        pst_buf_add(&i->chunk, i->in.text.data, i->in.text.len);
        if (pst_buf_check(&i->chunk, "lines", NULL) != PST_OK)
            return cli_fail(PST_EXIT_FAILED, "no memory");
        i->chunk_n++;
    }
    return PST_EXIT_OK;
}

/* Take what was acknowledged off the chunk. */
static void drop_acknowledged(struct import *i)
{
    size_t at = 0;

    while (i->chunk_n > 0 && i->chunk_first < i->next) {
        const char *stop = memchr(i->chunk.data + at, '\n', i->chunk.len - at);
        at = (size_t)(stop - i->chunk.data) + 1;
        i->chunk_first++;
        i->chunk_n--;
    }
    memmove(i->chunk.data, i->chunk.data + at, i->chunk.len - at);
    pst_buf_cut(&i->chunk, i->chunk.len - at);
}

/* It did not answer, or not now: wait a while.  An exit status when that is enough. */
static int be_patient(struct import *i, const struct cli_call *call)
{
    int64_t now_ms = pst_mono_ms(pst_clock_system());

    if (!i->unreached_ms)
        i->unreached_ms = now_ms;
    int64_t waited_s = (now_ms - i->unreached_ms) / 1000;
    if (waited_s >= PATIENCE_S)
        return cli_fail(PST_EXIT_UNREACHED, "the server has not answered for %d s: %s", PATIENCE_S,
                        call->why);
    if (i->progress)
        fprintf(stderr, "\r\033[Kwaiting for the server");
    pause_s(waited_s < 1 ? 1 : waited_s > PAUSE_MAX_S ? PAUSE_MAX_S : waited_s);
    return PST_EXIT_OK;
}

static int bring_chunk(struct import *i)
{
    while (i->chunk_n > 0 && !interrupted) {
        struct cli_call call = {.method = "PUT",
                                .body = i->chunk.data,
                                .body_len = i->chunk.len,
                                .cancel = &interrupted};
        int status = cli_call(i->c, &call, &i->answer, "/v1/imports/%s/lines?from=%lld", i->id,
                              (long long)i->chunk_first);
        if (status == PST_EXIT_UNREACHED || i->answer.status == 503) {
            status = interrupted ? EXIT_INTERRUPTED : be_patient(i, &call);
            if (status != PST_EXIT_OK)
                return status;
            continue;
        }
        i->unreached_ms = 0;
        if (status == PST_EXIT_OK)
            status = cli_judge(i->c, &i->answer);
        if (status == PST_EXIT_OK)
            status = note_answer(i);
        if (status != PST_EXIT_OK)
            return status;
        drop_acknowledged(i);
        show_progress(i);
        if (!pst_streq(pst_json_get_text(object_of(i), "state"), "open"))
            return PST_EXIT_OK;
    }
    return interrupted ? EXIT_INTERRUPTED : PST_EXIT_OK;
}

static int bring_all(struct import *i)
{
    int status = skip_known(i);

    while (status == PST_EXIT_OK) {
        status = fill_chunk(i);
        if (status != PST_EXIT_OK || i->chunk_n == 0)
            return status;
        status = bring_chunk(i);
        if (status == PST_EXIT_OK && !pst_streq(pst_json_get_text(object_of(i), "state"), "open"))
            return cli_fail(PST_EXIT_FAILED, "the server stopped the import: %s",
                            cli_text(object_of(i), "reason"));
    }
    return status;
}

static int tell_result(struct import *i)
{
    const struct pst_json *j = object_of(i);
    const struct pst_json *list = pst_json_get(j, "refusals");
    int64_t refused = number_of(j, "refused");
    bool dry = false;

    if (!cli_print_json(i->c, i->answer.json)) {
        pst_json_get_bool(j, "dry_run", &dry);
        cli_line("%lld lines: %lld %s, %lld there already, %lld refused.",
                 (long long)number_of(j, "lines"), (long long)number_of(j, "added"),
                 dry ? "would be added" : "added", (long long)number_of(j, "unchanged"),
                 (long long)refused);
    }
    for (size_t k = 0; k < pst_json_len(list); k++) {
        const struct pst_json *r = pst_json_at(list, k);
        cli_fail(0, "line %lld: %s: %s", (long long)number_of(r, "line"),
                 pst_json_get_text(r, "field") ? pst_json_get_text(r, "field") : "it",
                 cli_text(r, "error"));
    }
    if (refused > (int64_t)pst_json_len(list))
        cli_fail(0, "all %lld refused lines: postern imports-refused %s", (long long)refused,
                 cli_text(j, "id"));
    return refused ? PST_EXIT_FAILED : PST_EXIT_OK;
}

static int run_import(struct import *i)
{
    int status = begin(i);

    if (status != PST_EXIT_OK)
        return status;
    status = bring_all(i);
    end_progress(i);
    bool stopped = !pst_streq(pst_json_get_text(object_of(i), "state"), "open");
    if (status == PST_EXIT_OK)
        status = cli_ask(i->c, "POST", NULL, &i->answer, "/v1/imports/%s/finish", i->id);
    if (status == PST_EXIT_OK)
        return tell_result(i);
    return stopped ? status
                   : cli_fail(status, "go on with: postern domains-import --resume %s %s", i->id,
                              i->c->args[0]);
}

int cli_domains_import(struct cli *c)
{
    struct sigaction act = {.sa_handler = on_signal};
    struct import *i = pst_zalloc(1, sizeof *i);
    bool standard = pst_streq(c->args[0], "-");
    int status = PST_EXIT_FAILED;

    if (!i)
        return cli_fail(PST_EXIT_FAILED, "no memory");
    i->c = c;
    i->in.line = 1;
    i->in.text = (struct pst_buf)PST_BUF(LINE_LIMIT + 2);
    i->chunk = (struct pst_buf)PST_BUF(LINE_LIMIT);
    i->progress = isatty(STDERR_FILENO);
    i->in.fd = standard ? STDIN_FILENO : open(c->args[0], O_RDONLY | O_CLOEXEC);
    if (i->in.fd < 0)
        cli_fail(PST_EXIT_FAILED, "%s: %s", c->args[0], strerror(errno));
    sigaction(SIGINT, &act, NULL);
    sigaction(SIGTERM, &act, NULL);
    if (i->in.fd >= 0)
        status = run_import(i);
    if (!standard && i->in.fd >= 0)
        close(i->in.fd);
    /* Lines may hold keys. */
    pst_buf_wipe(&i->in.text);
    pst_buf_wipe(&i->chunk);
    cli_answer_deinit(&i->answer);
    pst_wipe(i->in.block, sizeof i->in.block);
    pst_free(i);
    return status;
}

/* ---- looking after imports ---- */

int cli_imports(struct cli *c)
{
    static const struct cli_column columns[] = {
        {"BEGUN", "created_at", CLI_TIME},
        {"STATE", "state", CLI_PLAIN},
        {"DRY RUN", "dry_run", CLI_YES_NO},
        {"LINES", "lines", CLI_PLAIN},
        {"ADDED", "added", CLI_PLAIN},
        {"THERE", "unchanged", CLI_PLAIN},
        {"REFUSED", "refused", CLI_PLAIN},
        {"FINISH", "estimated_finish_at", CLI_TIME},
        {"ID", "id", CLI_PLAIN},
    };
    auto_answer struct cli_answer a = {0};

    int status = cli_ask(c, "GET", NULL, &a, "/v1/imports");
    if (status != PST_EXIT_OK || cli_print_json(c, a.json))
        return status;
    return cli_list(c, pst_json_get(a.json, "imports"), columns, PST_ARRAY_N(columns));
}

int cli_imports_cancel(struct cli *c)
{
    auto_answer struct cli_answer a = {0};
    char id[PART_SIZE];

    int status = cli_ask(c, "POST", NULL, &a, "/v1/imports/%s/cancel",
                         cli_encode(id, sizeof id, c->args[0]));
    if (status != PST_EXIT_OK || cli_print_json(c, a.json))
        return status;
    cli_line("The import has been cancelled; what it added stays.");
    return PST_EXIT_OK;
}

/* The number of the last line in a page of refused lines; 0: it is empty or broken. */
static int64_t last_line(const struct pst_buf *text)
{
    auto_(pst_json_free) struct pst_json *j = NULL;
    size_t end = text->len, at;

    while (end > 0 && text->data[end - 1] == '\n')
        end--;
    for (at = end; at > 0 && text->data[at - 1] != '\n'; at--)
        continue;
    if (end == 0 || pst_json_parse(&j, text->data + at, end - at, NULL) != PST_OK)
        return 0;
    return number_of(j, "line");
}

int cli_imports_refused(struct cli *c)
{
    int64_t after = 0;
    char id[PART_SIZE];

    cli_encode(id, sizeof id, c->args[0]);
    do {
        auto_buf struct pst_buf text = PST_BUF(LINE_LIMIT);
        auto_answer struct cli_answer a = {0};
        struct cli_call call = {.method = "GET", .ret = &text};
        int status =
            cli_call(c, &call, &a, "/v1/imports/%s/refusals?after=%lld", id, (long long)after);
        if (status == PST_EXIT_UNREACHED)
            return cli_fail(status, "%s", call.why);
        if (status == PST_EXIT_OK)
            status = cli_judge(c, &a);
        if (status != PST_EXIT_OK)
            return status;
        if (text.len)
            fwrite(text.data, 1, text.len, stdout);
        after = last_line(&text);
    } while (after > 0);
    return PST_EXIT_OK;
}

/* ---- exporting ---- */

static int export_pages(struct cli *c, FILE *to)
{
    char app[PART_SIZE], path[CLI_PATH_MAX];

    snprintf(path, sizeof path, "/v1/domains/export?limit=%d%s%s", PAGE_LINES,
             c->app ? "&app=" : "", c->app ? cli_encode(app, sizeof app, c->app) : "");
    while (path[0]) {
        auto_buf struct pst_buf text = PST_BUF(LINE_LIMIT);
        auto_answer struct cli_answer a = {0};
        struct cli_call call = {.method = "GET", .ret = &text};
        int status = cli_call(c, &call, &a, "%s", path);
        if (status == PST_EXIT_UNREACHED)
            return cli_fail(status, "%s", call.why);
        if (status == PST_EXIT_OK)
            status = cli_judge(c, &a);
        if (status != PST_EXIT_OK)
            return status;
        if (text.len && fwrite(text.data, 1, text.len, to) != text.len)
            return cli_fail(PST_EXIT_FAILED, "writing the domains: %s", strerror(errno));
        memcpy(path, call.next, sizeof path);
    }
    return PST_EXIT_OK;
}

/* Under another name until it is whole: half an export must not be taken for one. */
static int export_to_file(struct cli *c, const char *name)
{
    char part[CLI_PATH_MAX];

    if (snprintf(part, sizeof part, "%s.part", name) >= (int)sizeof part)
        return cli_fail(PST_EXIT_USAGE, "the name of the file is too long");
    FILE *to = fopen(part, "we");
    if (!to)
        return cli_fail(PST_EXIT_FAILED, "%s: %s", part, strerror(errno));
    int status = export_pages(c, to);
    if (fclose(to) != 0 && status == PST_EXIT_OK)
        status = cli_fail(PST_EXIT_FAILED, "%s: %s", part, strerror(errno));
    if (status == PST_EXIT_OK && rename(part, name) != 0)
        status = cli_fail(PST_EXIT_FAILED, "%s: %s", name, strerror(errno));
    if (status != PST_EXIT_OK)
        unlink(part);
    return status;
}

int cli_domains_export(struct cli *c)
{
    const char *name = cli_given(c, FLAG_OUTPUT);

    return name ? export_to_file(c, name) : export_pages(c, stdout);
}
