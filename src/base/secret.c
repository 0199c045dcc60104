/* secret.c - bytes that are wiped. */
#include <stdint.h>
#include <string.h>

#include <postern/err.h>
#include <postern/mem.h>
#include <postern/secret.h>
#include <postern/text.h>

int pst_secret_set(struct pst_secret *s, const void *data, size_t len, struct pst_err *err)
{
    if (len == SIZE_MAX)
        return pst_fail_nomem(err, "a secret");

    unsigned char *copy = pst_alloc(len + 1);
    if (!copy)
        return pst_fail_nomem(err, "a secret");
    if (len)
        memcpy(copy, data, len); /* before the old one goes: data may lie in it */
    copy[len] = '\0';

    pst_secret_deinit(s);
    s->data = copy;
    s->len = len;
    return PST_OK;
}

void pst_secret_deinit(struct pst_secret *s)
{
    if (s->data)
        pst_wipe(s->data, s->len);
    pst_free(s->data);
    s->data = NULL;
    s->len = 0;
}
