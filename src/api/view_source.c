/* view_source.c - what the views of an app's domains are made of, read with three statements. */
#include "domain_view.h"

#include <stdlib.h>
#include <string.h>

#include <postern/base.h>

struct pst_view_source {
    struct pst_certificate *certs; /* by number */
    size_t certs_n, certs_cap;
    struct pst_domain *wildcards; /* by ascii */
    size_t wildcards_n, wildcards_cap;
    struct pst_default_ladder platform;
};

void pst_view_source_free(struct pst_view_source *s)
{
    if (!s)
        return;
    pst_free(s->certs);
    pst_free(s->wildcards);
    pst_free(s);
}

/* Room for one more; `list` as it is now, or NULL: no memory. */
static void *grow(void *list, size_t n, size_t *cap, size_t size)
{
    if (n < *cap)
        return list;
    size_t more = *cap ? 2 * *cap : 16;
    void *grown = pst_realloc(list, more * size);
    if (grown)
        *cap = more;
    return grown;
}

static int keep_certificate(const struct pst_certificate *c, void *arg)
{
    struct pst_view_source *s = arg;
    struct pst_certificate *list = grow(s->certs, s->certs_n, &s->certs_cap, sizeof *list);

    if (!list)
        return PST_ENOMEM;
    s->certs = list;
    list[s->certs_n++] = *c;
    return PST_OK;
}

static int keep_wildcard(const struct pst_domain *d, void *arg)
{
    struct pst_view_source *s = arg;
    struct pst_domain *list = grow(s->wildcards, s->wildcards_n, &s->wildcards_cap, sizeof *list);

    if (!list)
        return PST_ENOMEM;
    s->wildcards = list;
    list[s->wildcards_n++] = *d;
    return PST_OK;
}

int pst_view_source_load(struct pst_tx *tx, const char *app_id, struct pst_view_source **ret,
                         struct pst_err *err)
{
    auto_(pst_view_source_free) struct pst_view_source *s = pst_zalloc(1, sizeof *s);

    if (!s)
        return pst_fail_nomem(err, "the domains");
    int rc = pst_certificate_each_of_app(tx, app_id, keep_certificate, s, err);
    if (rc == PST_OK)
        rc = pst_domain_each_covering(tx, app_id, keep_wildcard, s, err);
    if (rc == PST_OK)
        rc = pst_default_ladder_get(tx, &s->platform, err);
    if (rc == PST_ENOMEM)
        return pst_fail_nomem(err, "the domains");
    if (rc == PST_OK)
        *ret = pst_take(&s);
    return rc;
}

static int by_num(const void *key, const void *element)
{
    const int64_t num = *(const int64_t *)key,
                  other = ((const struct pst_certificate *)element)->num;

    return (num > other) - (num < other);
}

int pst_view_source_certificate(const struct pst_view_source *s, int64_t num,
                                struct pst_certificate *ret)
{
    const struct pst_certificate *c =
        s->certs_n ? bsearch(&num, s->certs, s->certs_n, sizeof *s->certs, by_num) : NULL;

    if (!c)
        return PST_NOTFOUND;
    *ret = *c;
    return PST_OK;
}

static int by_ascii(const void *key, const void *element)
{
    return strcmp(key, ((const struct pst_domain *)element)->ascii);
}

int pst_view_source_wildcard(const struct pst_view_source *s, const char *ascii,
                             struct pst_domain *ret)
{
    const struct pst_domain *d = s->wildcards_n ? bsearch(ascii, s->wildcards, s->wildcards_n,
                                                          sizeof *s->wildcards, by_ascii)
                                                : NULL;

    if (!d)
        return PST_NOTFOUND;
    *ret = *d;
    return PST_OK;
}

void pst_view_source_default(const struct pst_view_source *s, struct pst_default_ladder *ret)
{
    *ret = s->platform;
}
