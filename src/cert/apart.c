/* apart.c - rounds in another process: start it, speak with it, and never wait long. */
#include "cert_internal.h"
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;

enum {
    WALL_MS = 1000,
    HEADER = 4,
    EXIT_NO_MEMORY = 5,
    CHUNK = 65536,
    ENVIRONMENT_MAX = 8,
    READS_MAX = 200, /* uploads that one process reads: far below its second of processor time */
};

struct child {
    pid_t pid;
    int fd;
    int64_t deadline_ms;
    const struct pst_clock *clock;
};

/* ---- starting ---- */

/* Of the environment only what finds OpenSSL's providers and what tests need. */
static void choose_environment(char *to[ENVIRONMENT_MAX + 1])
{
    static const char *const wanted[] = {
        "OPENSSL_MODULES=", "OPENSSL_CONF=", "ASAN_OPTIONS=", "UBSAN_OPTIONS=", "LD_LIBRARY_PATH="};
    size_t n = 0;

    for (char **e = environ; e && *e && n < ENVIRONMENT_MAX; e++)
        for (size_t i = 0; i < PST_ARRAY_N(wanted) && n < ENVIRONMENT_MAX; i++)
            if (pst_str_starts(*e, wanted[i]))
                to[n++] = *e;
    to[n] = NULL;
}

static int set_attributes(posix_spawnattr_t *attributes)
{
    sigset_t none, all;

    (void)sigemptyset(&none);
    (void)sigfillset(&all);
    return posix_spawnattr_setsigmask(attributes, &none) ||
           posix_spawnattr_setsigdefault(attributes, &all) ||
           posix_spawnattr_setflags(attributes, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
}

static int set_actions(posix_spawn_file_actions_t *actions, int fd)
{
    /* Descriptor 2 stays: a sanitizer's report must be seen.  Nothing else is written to it. */
    return posix_spawn_file_actions_adddup2(actions, fd, STDIN_FILENO) ||
           posix_spawn_file_actions_adddup2(actions, fd, STDOUT_FILENO) ||
           posix_spawn_file_actions_addclosefrom_np(actions, STDERR_FILENO + 1);
}

static int spawn(const char *program, int fd, pid_t *ret, struct pst_err *err)
{
    char name[] = "posternd", role[] = "--role=parse";
    char *argv[] = {name, role, NULL}, *environment[ENVIRONMENT_MAX + 1];
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attributes;
    int failed;

    choose_environment(environment);
    if (posix_spawn_file_actions_init(&actions) != 0)
        return pst_fail_nomem(err, "starting the reading process");
    if (posix_spawnattr_init(&attributes) != 0) {
        (void)posix_spawn_file_actions_destroy(&actions);
        return pst_fail_nomem(err, "starting the reading process");
    }
    failed = set_actions(&actions, fd) || set_attributes(&attributes)
                 ? ENOMEM
                 : posix_spawn(ret, program, &actions, &attributes, argv, environment);
    (void)posix_spawnattr_destroy(&attributes);
    (void)posix_spawn_file_actions_destroy(&actions);
    if (failed == 0)
        return PST_OK;
    errno = failed;
    return pst_fail_sys(err, "starting the reading process (%s)", program);
}

/* ---- speaking ---- */

/* Wait until the socket is ready.  PST_OK, PST_NOTYET (too late), PST_ESYS. */
static int wait_for(const struct child *c, short events, struct pst_err *err)
{
    for (;;) {
        int64_t left = c->deadline_ms - pst_mono_ms(c->clock);
        struct pollfd p = {.fd = c->fd, .events = events};
        int n;

        if (left <= 0)
            return PST_NOTYET;
        n = poll(&p, 1, (int)left);
        if (n > 0)
            return PST_OK;
        if (n < 0 && errno != EINTR)
            return pst_fail_sys(err, "waiting for the reading process");
    }
}

/* PST_OK also when it has gone: the answer will be missing then. */
static int send_all(const struct child *c, const char *data, size_t len, struct pst_err *err)
{
    while (len > 0) {
        int rc = wait_for(c, POLLOUT, err);
        ssize_t n;

        if (rc != PST_OK)
            return rc;
        n = send(c->fd, data, len, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (n < 0 && (errno == EPIPE || errno == ECONNRESET))
            return PST_OK;
        if (n < 0 && errno != EAGAIN && errno != EINTR)
            return pst_fail_sys(err, "writing to the reading process");
        data += n > 0 ? n : 0;
        len -= n > 0 ? (size_t)n : 0;
    }
    return PST_OK;
}

/* All that it says until it closes. */
static int receive_all(const struct child *c, struct pst_buf *to, struct pst_err *err)
{
    auto_(pst_free) char *chunk = pst_alloc(CHUNK);
    int rc = PST_OK;

    if (!chunk)
        return pst_fail_nomem(err, "a result");
    while ((rc = wait_for(c, POLLIN, err)) == PST_OK) {
        ssize_t n = recv(c->fd, chunk, CHUNK, MSG_DONTWAIT);

        if (n == 0 || (n < 0 && errno == ECONNRESET))
            break;
        if (n < 0 && errno != EAGAIN && errno != EINTR) {
            rc = pst_fail_sys(err, "reading from the reading process");
            break;
        }
        if (n > 0)
            pst_buf_add(to, chunk, (size_t)n);
        if (to->no_memory || to->too_long)
            break;
    }
    pst_wipe(chunk, CHUNK);
    return rc;
}

/* A message with its length in front. */
static int send_message(const struct child *c, const struct pst_buf *message, struct pst_err *err)
{
    uint8_t header[HEADER];
    int rc;

    for (size_t i = 0; i < HEADER; i++)
        header[i] = (uint8_t)(message->len >> (8 * i) & 0xff);
    rc = send_all(c, (const char *)header, sizeof header, err);
    return rc == PST_OK ? send_all(c, message->data, message->len, err) : rc;
}

static int send_request(const struct child *c, const struct pst_cert_request *req,
                        struct pst_err *err)
{
    auto_buf_wipe struct pst_buf out = PST_BUF(PST_WIRE_MAX);
    int rc;

    pst_wire_write_request(req, &out);
    rc = pst_buf_check(&out, "a request to judge a certificate", err);
    return rc == PST_OK ? send_message(c, &out, err) : rc;
}

static int exchange(const struct child *c, const struct pst_cert_request *req, struct pst_buf *ret,
                    struct pst_err *err)
{
    int rc = send_request(c, req, err);

    if (rc == PST_OK)
        rc = receive_all(c, ret, err);
    return rc == PST_OK ? pst_buf_check(ret, "a result", err) : rc;
}

/* ---- its end ---- */

static int reap(pid_t pid)
{
    int status = -1;

    while (waitpid(pid, &status, 0) < 0)
        if (errno != EINTR)
            return -1;
    return status;
}

/* It did not answer: why?  The signal is that of a limit, or of a bug that was caught here. */
static int judge_death(const struct pst_cert_request *req, int status, bool late,
                       struct pst_cert_result *ret, struct pst_err *err)
{
    if (!late && WIFEXITED(status)) {
        if (WEXITSTATUS(status) == EXIT_NO_MEMORY)
            return pst_cert_only(req, PST_CERT_TOO_LARGE, "Reading it would take too much memory.",
                                 ret, err);
        return pst_fail(err, PST_EINTERNAL, "the reading process ended with status %d",
                        WEXITSTATUS(status));
    }
    pst_log_warn("cert", "the reading process was ended",
                 pst_kv_i("signal", WIFSIGNALED(status) ? WTERMSIG(status) : 0),
                 pst_kv_b("late", late));
    return pst_cert_only(req, PST_CERT_UNREADABLE,
                         late || WTERMSIG(status) == SIGXCPU || WTERMSIG(status) == SIGKILL
                             ? "Reading it took too long."
                             : "It cannot be read: it broke the reader.",
                         ret, err);
}

static size_t length_of(const struct pst_buf *answer)
{
    size_t len = 0;

    for (size_t i = HEADER; i > 0; i--)
        len = len << 8 | (uint8_t)answer->data[i - 1];
    return len;
}

static int read_answer(const struct pst_buf *answer, struct pst_cert_result *ret,
                       struct pst_err *err)
{
    size_t len = length_of(answer);

    if (answer->len - HEADER != len)
        return pst_fail(err, PST_EINTERNAL, "the reading process gave a damaged result");
    return pst_wire_read_result(answer->data + HEADER, len, ret, err);
}

/* ---- a process of its own ---- */

static void set_deadline(struct child *c, const struct pst_cert_process *process)
{
    c->deadline_ms = pst_mono_ms(c->clock) + (process->wall_ms > 0 ? process->wall_ms : WALL_MS);
}

static int start(struct child *c, const struct pst_cert_process *process, struct pst_err *err)
{
    int pair[2], rc;

    *c = (struct child){.clock = process->clock, .fd = -1};
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
        return pst_fail_sys(err, "starting the reading process");
    set_deadline(c, process);
    rc = spawn(process->program ? process->program : "/proc/self/exe", pair[1], &c->pid, err);
    (void)close(pair[1]);
    if (rc == PST_OK)
        c->fd = pair[0];
    else
        (void)close(pair[0]);
    return rc;
}

/* Wait for its end, which is at hand or is made.  Its status. */
static int finish(struct child *c, bool end_it)
{
    int status;

    if (end_it)
        (void)kill(c->pid, SIGKILL);
    status = reap(c->pid);
    (void)close(c->fd);
    c->fd = -1;
    return status;
}

static int check_alone(const struct pst_cert_process *process, const struct pst_cert_request *req,
                       struct pst_cert_result *ret, struct pst_err *err)
{
    auto_buf_wipe struct pst_buf answer = PST_BUF(PST_WIRE_MAX);
    struct child c;
    int rc = start(&c, process, err), status;
    bool late;

    if (rc != PST_OK)
        return rc;
    rc = exchange(&c, req, &answer, err);
    late = rc == PST_NOTYET;
    status = finish(&c, rc != PST_OK);
    if (late || (rc == PST_OK && (!WIFEXITED(status) || WEXITSTATUS(status) != EXIT_SUCCESS ||
                                  answer.len < HEADER)))
        return judge_death(req, status, late, ret, err);
    return rc == PST_OK ? read_answer(&answer, ret, err) : rc;
}

/* ---- a process that is kept ---- */

struct pst_cert_reader {
    struct child child;
    bool running;
    unsigned read_n; /* uploads that this process has read */
    const void *roots;
};

int pst_cert_reader_open(struct pst_cert_reader **ret, struct pst_err *err)
{
    *ret = pst_zalloc(1, sizeof **ret);
    return *ret ? PST_OK : pst_fail_nomem(err, "a reading process");
}

static void stop(struct pst_cert_reader *r)
{
    /* It holds nothing that it could put in order. */
    if (r->running)
        (void)finish(&r->child, true);
    r->running = false;
}

void pst_cert_reader_close(struct pst_cert_reader *r)
{
    if (!r)
        return;
    stop(r);
    pst_free(r);
}

/* Have one that has read less than it may and knows the roots. */
static int ready(struct pst_cert_reader *r, const struct pst_cert_process *process,
                 const struct pst_cert_request *req, struct pst_err *err)
{
    auto_buf struct pst_buf out = PST_BUF(PST_WIRE_MAX);
    int rc;

    if (r->running && (r->read_n >= READS_MAX || r->roots != req->roots))
        stop(r);
    if (r->running)
        return PST_OK;
    rc = start(&r->child, process, err);
    if (rc != PST_OK)
        return rc;
    r->running = true;
    r->read_n = 0;
    r->roots = req->roots;
    pst_wire_write_stay(req->roots, req->roots_len, &out);
    rc = pst_buf_check(&out, "known roots", err);
    return rc == PST_OK ? send_message(&r->child, &out, err) : rc;
}

/* One message.  PST_OK, PST_NOTYET (too late), PST_DONE (it ended instead), negative. */
static int receive_message(const struct child *c, struct pst_buf *to, struct pst_err *err)
{
    auto_(pst_free) char *chunk = pst_alloc(CHUNK);
    int rc = PST_OK;

    if (!chunk)
        return pst_fail_nomem(err, "a result");
    while (rc == PST_OK && (to->len < HEADER || to->len < HEADER + length_of(to))) {
        ssize_t n;

        rc = wait_for(c, POLLIN, err);
        n = rc == PST_OK ? recv(c->fd, chunk, CHUNK, MSG_DONTWAIT) : 0;
        if (rc == PST_OK && (n == 0 || (n < 0 && errno == ECONNRESET)))
            rc = PST_DONE;
        else if (n < 0 && errno != EAGAIN && errno != EINTR)
            rc = pst_fail_sys(err, "reading from the reading process");
        else if (n > 0)
            pst_buf_add(to, chunk, (size_t)n);
        if (rc == PST_OK)
            rc = pst_buf_check(to, "a result", err);
    }
    pst_wipe(chunk, CHUNK);
    return rc;
}

static int check_kept(struct pst_cert_reader *r, const struct pst_cert_process *process,
                      const struct pst_cert_request *req, struct pst_cert_result *ret,
                      struct pst_err *err)
{
    auto_buf_wipe struct pst_buf answer = PST_BUF(PST_WIRE_MAX);
    struct pst_cert_request mine = *req;
    int rc = ready(r, process, req, err);

    mine.roots = NULL;
    mine.roots_len = 0;
    set_deadline(&r->child, process);
    if (rc == PST_OK)
        rc = send_request(&r->child, &mine, err);
    if (rc == PST_OK)
        rc = receive_message(&r->child, &answer, err);
    r->read_n++;
    if (rc == PST_OK)
        rc = read_answer(&answer, ret, err);
    if (rc != PST_OK)
        stop(r);
    /* Whether it was this upload, or those before it: alone it gets what every upload gets. */
    return rc == PST_NOTYET || rc == PST_DONE ? check_alone(process, req, ret, err) : rc;
}

int pst_cert_check_apart(const struct pst_cert_process *process, const struct pst_cert_request *req,
                         struct pst_cert_result *ret, struct pst_err *err)
{
    return process->reader ? check_kept(process->reader, process, req, ret, err)
                           : check_alone(process, req, ret, err);
}
