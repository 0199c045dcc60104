/* fake_http.c - see fake_http.h.  Test code: what cannot go on aborts. */
#include "fake_http.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

enum {
    ANSWERS_MAX = 128,
    REQUESTS_MAX = 2048,
    CONNECTIONS_MAX = 256,
    HEAD_MAX = 64 * 1024,
    BODY_MAX = 1024 * 1024,
};

enum answer_kind { ANSWER_HTTP, ANSWER_RAW, ANSWER_STALL };

struct answer {
    enum answer_kind kind;
    char *request; /* NULL: any */
    int times;     /* left; -1: for ever */
    int status;
    char *headers;
    char *body; /* or the raw bytes */
    size_t body_len;
};

struct connection {
    struct fake_http *f;
    pthread_t thread;
    int fd;
    unsigned number;
};

struct fake_http {
    int listener;
    int port;
    int stop_pipe[2];
    char url[64];
    char unix_path[108];
    pthread_t thread;

    pthread_mutex_t lock; /* guards what follows */
    struct answer answers[ANSWERS_MAX];
    size_t answers_n;
    struct fake_http_request *requests[REQUESTS_MAX];
    size_t requests_n;
    struct connection connections[CONNECTIONS_MAX];
    unsigned connections_n;
    unsigned nonces;
    char header[8192];
};

static void must(bool ok, const char *what)
{
    if (ok)
        return;
    perror(what);
    abort();
}

static char *copy(const void *data, size_t len)
{
    char *to = malloc(len + 1);

    must(to != NULL, "fake_http: malloc");
    memcpy(to, data, len);
    to[len] = '\0';
    return to;
}

/* Put {base} and {nonce} in; the caller holds the lock. */
static char *expand(struct fake_http *f, const char *text)
{
    size_t size = strlen(text) + 1;
    for (const char *s = text; (s = strchr(s, '{')); s++)
        size += sizeof f->url;
    char *out = malloc(size), *to = out;
    must(out != NULL, "fake_http: malloc");

    while (*text) {
        if (strncmp(text, "{base}", 6) == 0) {
            to += snprintf(to, size - (size_t)(to - out), "%s", f->url);
            text += 6;
        } else if (strncmp(text, "{nonce}", 7) == 0) {
            to += snprintf(to, size - (size_t)(to - out), "nonce%u", ++f->nonces);
            text += 7;
        } else {
            *to++ = *text++;
        }
    }
    *to = '\0';
    return out;
}

static bool fits(const struct answer *a, const struct fake_http_request *r)
{
    if (a->times == 0)
        return false;
    if (!a->request)
        return true;
    size_t method = strlen(r->method), path = strcspn(r->path, "?");
    return strncmp(a->request, r->method, method) == 0 && a->request[method] == ' ' &&
           strlen(a->request + method + 1) == path &&
           strncmp(a->request + method + 1, r->path, path) == 0;
}

static void send_all(int fd, const char *data, size_t len)
{
    while (len > 0) {
        ssize_t n = send(fd, data, len, MSG_NOSIGNAL);
        if (n <= 0)
            return; /* the client has gone: its business */
        data += n;
        len -= (size_t)n;
    }
}

/* Wait for bytes or the end of the test.  False: stop. */
static bool wait_readable(struct fake_http *f, int fd)
{
    struct pollfd p[2] = {{.fd = fd, .events = POLLIN}, {.fd = f->stop_pipe[0], .events = POLLIN}};

    return poll(p, 2, -1) > 0 && p[1].revents == 0;
}

/* Answer one request.  False: close the connection. */
static bool give_answer(struct fake_http *f, int fd, const struct fake_http_request *r)
{
    struct answer found = {.kind = ANSWER_HTTP, .status = 599};
    char *headers, *body, start[96];

    pthread_mutex_lock(&f->lock);
    for (size_t i = 0; i < f->answers_n; i++)
        if (fits(&f->answers[i], r)) {
            if (f->answers[i].times > 0)
                f->answers[i].times--;
            found = f->answers[i];
            break;
        }
    if (found.kind == ANSWER_RAW) {
        headers = NULL;
        body = copy(found.body ? found.body : "", found.body_len);
    } else {
        headers = expand(f, found.headers ? found.headers : "");
        body = expand(f, found.body ? found.body : "no answer was scripted for this request");
    }
    pthread_mutex_unlock(&f->lock);

    bool keep = false;
    if (found.kind == ANSWER_RAW) {
        send_all(fd, body, found.body_len);
    } else if (found.kind == ANSWER_STALL) {
        wait_readable(f, -1);
    } else {
        size_t len = strlen(body);
        bool no_length = found.status == 204 || found.status == 304;
        int n = snprintf(start, sizeof start, "HTTP/1.1 %d Canned\r\n", found.status);
        send_all(fd, start, (size_t)n);
        send_all(fd, headers, strlen(headers));
        n = no_length ? snprintf(start, sizeof start, "\r\n")
                      : snprintf(start, sizeof start, "Content-Length: %zu\r\n\r\n", len);
        send_all(fd, start, (size_t)n);
        if (strcmp(r->method, "HEAD") != 0 && !no_length)
            send_all(fd, body, len);
        keep = true;
    }
    free(headers);
    free(body);
    return keep;
}

/* Read until the blank line; gives the length of the head with it, 0 at the end. */
static size_t read_head(struct fake_http *f, int fd, char *to, size_t *io_have)
{
    for (;;) {
        to[*io_have] = '\0';
        const char *end = strstr(to, "\r\n\r\n");
        if (end)
            return (size_t)(end - to) + 4;
        if (*io_have == HEAD_MAX || !wait_readable(f, fd))
            return 0;
        ssize_t n = recv(fd, to + *io_have, HEAD_MAX - *io_have, 0);
        if (n <= 0)
            return 0;
        *io_have += (size_t)n;
    }
}

static const char *find_header(const char *head, const char *name, size_t *ret_len)
{
    size_t len = strlen(name);

    for (const char *s = head; *s; s += strcspn(s, "\n"), s += *s == '\n') {
        if (strncasecmp(s, name, len) != 0 || s[len] != ':')
            continue;
        s += len + 1;
        s += strspn(s, " ");
        *ret_len = strcspn(s, "\r\n");
        return s;
    }
    return NULL;
}

static struct fake_http_request *parse_request(const char *head, size_t len)
{
    struct fake_http_request *r = calloc(1, sizeof *r);
    must(r != NULL, "fake_http: calloc");

    const char *line_end = strstr(head, "\r\n") + 2;
    must(sscanf(head, "%15s %4095s", r->method, r->path) == 2, "fake_http: request line");
    r->head = copy(line_end, len - (size_t)(line_end - head) - 2);
    const char *text = find_header(r->head, "Content-Length", &(size_t){0});
    r->body_len = text ? strtoul(text, NULL, 10) : 0;
    must(r->body_len <= BODY_MAX, "fake_http: body");
    r->body = calloc(1, r->body_len + 1);
    must(r->body != NULL, "fake_http: calloc");
    return r;
}

static bool read_body(struct fake_http *f, int fd, struct fake_http_request *r, size_t have)
{
    while (have < r->body_len) {
        if (!wait_readable(f, fd))
            return false;
        ssize_t n = recv(fd, r->body + have, r->body_len - have, 0);
        if (n <= 0)
            return false;
        have += (size_t)n;
    }
    return true;
}

static void serve(struct connection *c, char *buf)
{
    struct fake_http *f = c->f;
    size_t have = 0, head;

    while ((head = read_head(f, c->fd, buf, &have)) > 0) {
        char first_of_body = buf[head];
        buf[head] = '\0';
        struct fake_http_request *r = parse_request(buf, head);
        buf[head] = first_of_body;
        r->connection = c->number;

        size_t early = have - head < r->body_len ? have - head : r->body_len;
        memcpy(r->body, buf + head, early);
        memmove(buf, buf + head + early, have - head - early);
        have -= head + early;
        bool whole = read_body(f, c->fd, r, early);

        pthread_mutex_lock(&f->lock);
        must(f->requests_n < REQUESTS_MAX, "fake_http: too many requests");
        f->requests[f->requests_n++] = r;
        pthread_mutex_unlock(&f->lock);
        if (!whole || !give_answer(f, c->fd, r))
            return;
    }
}

static void *run_connection(void *arg)
{
    struct connection *c = arg;
    char *buf = malloc(HEAD_MAX + 1);

    must(buf != NULL, "fake_http: malloc");
    serve(c, buf);
    free(buf);
    shutdown(c->fd, SHUT_RDWR);
    close(c->fd);
    return NULL;
}

static void *run_listener(void *arg)
{
    struct fake_http *f = arg;

    while (wait_readable(f, f->listener)) {
        int fd = accept(f->listener, NULL, NULL);
        if (fd < 0)
            continue;
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &(int){1}, sizeof(int));
        must(f->connections_n < CONNECTIONS_MAX, "fake_http: too many connections");
        struct connection *c = &f->connections[f->connections_n++];
        *c = (struct connection){.f = f, .fd = fd, .number = f->connections_n};
        must(pthread_create(&c->thread, NULL, run_connection, c) == 0, "fake_http: thread");
    }
    return NULL;
}

static struct fake_http *start(int listener)
{
    struct fake_http *f = calloc(1, sizeof *f);

    must(f != NULL && listen(listener, 64) == 0, "fake_http: listen");
    f->listener = listener;
    must(pipe(f->stop_pipe) == 0, "fake_http: pipe");
    pthread_mutex_init(&f->lock, NULL);
    return f;
}

static void go(struct fake_http *f)
{
    must(pthread_create(&f->thread, NULL, run_listener, f) == 0, "fake_http: thread");
}

struct fake_http *fake_http_start(void)
{
    struct sockaddr_in in = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof in;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    must(fd >= 0 && bind(fd, (struct sockaddr *)(void *)&in, sizeof in) == 0, "fake_http: bind");
    struct fake_http *f = start(fd);
    must(getsockname(fd, (struct sockaddr *)(void *)&in, &len) == 0, "fake_http: getsockname");
    f->port = ntohs(in.sin_port);
    snprintf(f->url, sizeof f->url, "http://127.0.0.1:%d", f->port);
    go(f);
    return f;
}

struct fake_http *fake_http_start_unix(const char *path)
{
    struct sockaddr_un un = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    must(strlen(path) < sizeof un.sun_path, "fake_http: path");
    memcpy(un.sun_path, path, strlen(path) + 1);
    unlink(path);
    must(fd >= 0 && bind(fd, (struct sockaddr *)(void *)&un, sizeof un) == 0, "fake_http: bind");
    struct fake_http *f = start(fd);
    snprintf(f->unix_path, sizeof f->unix_path, "%s", path);
    snprintf(f->url, sizeof f->url, "http://localhost");
    go(f);
    return f;
}

void fake_http_stop(struct fake_http *f)
{
    must(write(f->stop_pipe[1], "x", 1) == 1, "fake_http: stop");
    pthread_join(f->thread, NULL);
    for (unsigned i = 0; i < f->connections_n; i++)
        pthread_join(f->connections[i].thread, NULL);
    fake_http_clear(f);
    for (size_t i = 0; i < f->requests_n; i++) {
        free(f->requests[i]->head);
        free(f->requests[i]->body);
        free(f->requests[i]);
    }
    close(f->listener);
    close(f->stop_pipe[0]);
    close(f->stop_pipe[1]);
    if (f->unix_path[0])
        unlink(f->unix_path);
    pthread_mutex_destroy(&f->lock);
    free(f);
}

const char *fake_http_url(const struct fake_http *f)
{
    return f->url;
}

int fake_http_port(const struct fake_http *f)
{
    return f->port;
}

static void add(struct fake_http *f, struct answer a)
{
    pthread_mutex_lock(&f->lock);
    must(f->answers_n < ANSWERS_MAX, "fake_http: too many answers");
    f->answers[f->answers_n++] = a;
    pthread_mutex_unlock(&f->lock);
}

static char *copy_text(const char *s)
{
    return s ? copy(s, strlen(s)) : NULL;
}

void fake_http_on(struct fake_http *f, const char *request, int times, int status,
                  const char *headers, const char *body)
{
    add(f, (struct answer){.kind = ANSWER_HTTP,
                           .request = copy_text(request),
                           .times = times,
                           .status = status,
                           .headers = copy_text(headers),
                           .body = copy_text(body)});
}

void fake_http_raw(struct fake_http *f, const char *request, int times, const void *bytes,
                   size_t len)
{
    add(f, (struct answer){.kind = ANSWER_RAW,
                           .request = copy_text(request),
                           .times = times,
                           .body = len > 0 ? copy(bytes, len) : NULL,
                           .body_len = len});
}

void fake_http_stall(struct fake_http *f, const char *request, int times)
{
    add(f, (struct answer){.kind = ANSWER_STALL, .request = copy_text(request), .times = times});
}

void fake_http_clear(struct fake_http *f)
{
    pthread_mutex_lock(&f->lock);
    for (size_t i = 0; i < f->answers_n; i++) {
        free(f->answers[i].request);
        free(f->answers[i].headers);
        free(f->answers[i].body);
    }
    f->answers_n = 0;
    pthread_mutex_unlock(&f->lock);
}

size_t fake_http_count(struct fake_http *f)
{
    pthread_mutex_lock(&f->lock);
    size_t n = f->requests_n;
    pthread_mutex_unlock(&f->lock);
    return n;
}

size_t fake_http_count_of(struct fake_http *f, const char *request)
{
    struct answer wanted = {.request = copy_text(request), .times = -1};
    size_t n = 0;

    pthread_mutex_lock(&f->lock);
    for (size_t i = 0; i < f->requests_n; i++)
        n += fits(&wanted, f->requests[i]);
    pthread_mutex_unlock(&f->lock);
    free(wanted.request);
    return n;
}

const struct fake_http_request *fake_http_seen(struct fake_http *f, size_t i)
{
    pthread_mutex_lock(&f->lock);
    const struct fake_http_request *r = i < f->requests_n ? f->requests[i] : NULL;
    pthread_mutex_unlock(&f->lock);
    return r;
}

const struct fake_http_request *fake_http_last(struct fake_http *f)
{
    size_t n = fake_http_count(f);

    return n > 0 ? fake_http_seen(f, n - 1) : NULL;
}

const char *fake_http_header(struct fake_http *f, const struct fake_http_request *r,
                             const char *name)
{
    size_t len = 0;
    const char *value = find_header(r->head, name, &len);

    if (!value || len >= sizeof f->header)
        return NULL;
    memcpy(f->header, value, len);
    f->header[len] = '\0';
    return f->header;
}
