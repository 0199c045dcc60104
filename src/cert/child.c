/* child.c - `posternd --role=parse`: read a request, answer, end. */
#include "cert_internal.h"
#include <stdlib.h>
#include <unistd.h>

enum {
    HEADER = 4, /* the message's length, little-endian */
    EXIT_NO_SANDBOX = 3,
    EXIT_NO_REQUEST = 4,
    EXIT_NO_MEMORY = 5,
    EXIT_BROKEN = 6,
};

static bool read_message(struct pst_buf *to)
{
    uint8_t header[HEADER], chunk[4096];
    size_t n, len;

    if (pst_io_read_full(STDIN_FILENO, header, sizeof header, &n, NULL) != PST_OK || n != HEADER)
        return false;
    len = (size_t)header[0] | (size_t)header[1] << 8 | (size_t)header[2] << 16 |
          (size_t)header[3] << 24;
    if (len > PST_WIRE_MAX)
        return false;
    while (to->len < len) {
        size_t want = len - to->len < sizeof chunk ? len - to->len : sizeof chunk;

        if (pst_io_read_full(STDIN_FILENO, chunk, want, &n, NULL) != PST_OK || n != want)
            return false;
        pst_buf_add(to, chunk, n);
    }
    pst_wipe(chunk, sizeof chunk);
    return pst_buf_check(to, "a request", NULL) == PST_OK;
}

static bool write_message(const struct pst_buf *message)
{
    uint8_t header[HEADER] = {(uint8_t)message->len, (uint8_t)(message->len >> 8),
                              (uint8_t)(message->len >> 16), (uint8_t)(message->len >> 24)};

    return pst_io_write_full(STDOUT_FILENO, header, sizeof header, NULL) == PST_OK &&
           pst_io_write_full(STDOUT_FILENO, message->data, message->len, NULL) == PST_OK;
}

/* What a process that stays has been told first. */
struct stay {
    const void *roots;
    size_t roots_len;
    struct pst_cert_roots *indexed;
};

/* stay: NULL: for one request, which has its own roots. */
static int answer(struct pst_buf *in, const struct stay *stay)
{
    auto_buf_wipe struct pst_buf out = PST_BUF(PST_WIRE_MAX);
    auto_cert_result struct pst_cert_result result = {0};
    auto_(pst_free) struct pst_wire_request *request = pst_zalloc(1, sizeof *request);
    int rc;

    if (!request)
        return EXIT_NO_MEMORY;
    if (!pst_wire_read_request(in->data, in->len, request))
        return EXIT_NO_REQUEST;
    if (stay) {
        request->req.roots = stay->roots;
        request->req.roots_len = stay->roots_len;
        request->req.indexed = stay->indexed;
    }
    rc = pst_cert_check(&request->req, &result, NULL);
    if (rc == PST_OK)
        pst_wire_write_result(&result, &out);
    if (rc == PST_ENOMEM || out.no_memory)
        return EXIT_NO_MEMORY;
    if (rc != PST_OK || pst_buf_check(&out, "a result", NULL) != PST_OK)
        return EXIT_BROKEN;
    return write_message(&out) ? EXIT_SUCCESS : EXIT_BROKEN;
}

/* One request, or, when the first message says so, all that come until the other side closes. */
static int serve(void)
{
    auto_buf_wipe struct pst_buf first = PST_BUF(PST_WIRE_MAX);
    struct stay stay = {0};
    int status = EXIT_SUCCESS;

    if (!read_message(&first))
        return EXIT_NO_REQUEST;
    if (!pst_wire_read_stay(first.data, first.len, &stay.roots, &stay.roots_len))
        return answer(&first, NULL);
    if (pst_cert_roots_index(stay.roots, stay.roots_len, &stay.indexed, NULL) != PST_OK)
        return EXIT_NO_MEMORY;
    while (status == EXIT_SUCCESS) {
        auto_buf_wipe struct pst_buf in = PST_BUF(PST_WIRE_MAX);

        if (!read_message(&in))
            break;
        status = answer(&in, &stay);
    }
    pst_cert_roots_free(stay.indexed);
    return status;
}

int pst_cert_parse_child_main(void)
{
    struct pst_err err = {0};

    /* Whatever else posternd had open when it started this process is none of its business. */
    (void)close_range(STDERR_FILENO + 1, ~0U, 0);
    if (pst_crypto_init(true, &err) != PST_OK)
        return EXIT_NO_SANDBOX;
    pst_read_init();
    if (pst_sandbox_enter(&err) != PST_OK)
        return EXIT_NO_SANDBOX;
    /* No handlers that libraries left for the end: some would open files. */
    _exit(serve());
}
