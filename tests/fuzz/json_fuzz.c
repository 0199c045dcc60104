/* json_fuzz.c - whatever pst_json_parse() takes must be written, read again and be the same. */
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <postern/buf.h>
#include <postern/err.h>
#include <postern/json.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void same_after_a_round(const struct pst_json *j)
{
    auto_buf struct pst_buf once = PST_BUF(8 << 20);
    auto_buf struct pst_buf twice = PST_BUF(8 << 20);
    auto_(pst_json_free) struct pst_json *again = NULL;

    pst_require(pst_json_write(j, &once, NULL) == PST_OK);
    pst_require(pst_json_parse(&again, once.data, once.len, NULL) == PST_OK);
    pst_require(pst_json_write(again, &twice, NULL) == PST_OK);
    pst_require(once.len == twice.len && memcmp(once.data, twice.data, once.len) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    auto_(pst_json_free) struct pst_json *j = NULL;
    struct pst_err err = {0};

    int rc = pst_json_parse(&j, (const char *)data, size, &err);
    if (rc == PST_OK)
        same_after_a_round(j);
    else
        pst_require(rc == PST_EINPUT && err.text[0]);
    return 0;
}
