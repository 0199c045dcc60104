/*
 * cert_wire_fuzz.c - the pipe between posternd and its reading process, from both ends: a child
 * that was taken over must not harm its parent, nor the other way round.
 */
#include <postern/base.h>
#include <string.h>

#include "../../src/cert/cert_internal.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_result(const uint8_t *data, size_t size)
{
    auto_cert_result struct pst_cert_result r = {0};
    auto_buf struct pst_buf again = PST_BUF(PST_WIRE_MAX);
    int rc = pst_wire_read_result(data, size, &r, NULL);

    pst_require(rc == PST_OK || rc == PST_EINTERNAL);
    if (rc != PST_OK)
        return;
    pst_wire_write_result(&r, &again);
    pst_require(again.len == size && memcmp(again.data, data, size) == 0);
}

static void check_request(const uint8_t *data, size_t size)
{
    auto_(pst_free) uint8_t *copy = pst_memdup(data, size);
    auto_(pst_free) struct pst_wire_request *req = pst_zalloc(1, sizeof *req);
    auto_buf struct pst_buf again = PST_BUF(PST_WIRE_MAX);

    pst_require(copy && req);
    if (!pst_wire_read_request(copy, size, req))
        return;
    pst_wire_write_request(&req->req, &again);
    pst_require(again.len == size && memcmp(again.data, data, size) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    check_result(data, size);
    check_request(data, size);
    return 0;
}
