/* conf_fuzz.c - a settings file is taken, or refused with its line. */
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <postern/conf.h>
#include <postern/err.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const struct pst_conf_table *tables[] = {&pst_conf_posternd, &pst_conf_edged};

    for (size_t i = 0; i < PST_ARRAY_N(tables); i++) {
        auto_(pst_conf_free) struct pst_conf *c = NULL;
        struct pst_err err = {0};

        int rc = pst_conf_parse(&c, "f", (const char *)data, size, tables[i], &err);
        pst_require(rc == PST_OK || (rc == PST_ECONFIG && strncmp(err.text, "f:", 2) == 0));
        pst_require((rc == PST_OK) == (c != NULL));
    }
    return 0;
}
