/* roots.c - is the authority at the end of a chain a public one? */
#include "cert_internal.h"
#include <string.h>

#define BEGIN "-----BEGIN "
#define END   "-----END "

/* The body of the next block; *at is behind it. */
static const char *next_body(const char **at, const char *end, size_t *ret_len)
{
    const char *begin = memmem(*at, (size_t)(end - *at), BEGIN, strlen(BEGIN)), *body, *stop;

    if (!begin)
        return NULL;
    begin += strlen(BEGIN);
    body = memmem(begin, (size_t)(end - begin), "-----", 5);
    if (!body)
        return NULL;
    body += 5;
    stop = memmem(body, (size_t)(end - body), END, strlen(END));
    if (!stop)
        return NULL;
    *at = stop;
    *ret_len = (size_t)(stop - body);
    return body;
}

/* Only a certificate with the right subject is really decoded: a bundle holds 150. */
static int try_root(const struct pst_x509 *x, const uint8_t subject[32], const void *der,
                    size_t len, struct pst_err *err)
{
    auto_(pst_x509_free) struct pst_x509 *root = NULL;
    int rc;

    if (memcmp(subject, pst_x509_facts(x)->issuer_sha256, 32) != 0)
        return PST_NOTFOUND;
    rc = pst_x509_read(der, len, &root, err);
    if (rc != PST_OK)
        return rc == PST_REFUSED ? PST_NOTFOUND : rc;
    return pst_x509_names_issuer(x, root) && pst_x509_signed_by(x, root) ? PST_OK : PST_NOTFOUND;
}

/* Call `fn` for each root until it says other than PST_NOTFOUND. */
typedef int root_fn(void *arg, const uint8_t subject[32], const struct pst_buf *der,
                    struct pst_err *err);

static int each_root(const void *pem, size_t pem_len, root_fn *fn, void *arg, struct pst_err *err)
{
    auto_buf struct pst_buf der = PST_BUF(PST_CERT_MAX);
    const char *at = pem, *end = at + pem_len, *body;
    uint8_t subject[32];
    size_t len;

    while ((body = next_body(&at, end, &len))) {
        int rc;

        pst_buf_cut(&der, 0);
        if (!pst_pem_decode(body, len, &der)) {
            if (der.no_memory)
                return pst_fail_nomem(err, "a root");
            continue;
        }
        rc = pst_der_subject_sha256(der.data, der.len, subject, err);
        if (rc == PST_OK)
            rc = fn(arg, subject, &der, err);
        if (rc != PST_NOTFOUND && rc != PST_EINPUT)
            return rc;
    }
    return PST_NOTFOUND;
}

static int try_each(void *arg, const uint8_t subject[32], const struct pst_buf *der,
                    struct pst_err *err)
{
    return try_root(arg, subject, der->data, der->len, err);
}

/* ---- made ready ---- */

struct indexed_root {
    uint8_t subject[32];
    size_t at, len; /* in der */
};

struct pst_cert_roots {
    struct indexed_root *list;
    size_t n, cap;
    struct pst_buf der;
};

static int keep_root(void *arg, const uint8_t subject[32], const struct pst_buf *der,
                     struct pst_err *err)
{
    struct pst_cert_roots *r = arg;

    if (r->n == r->cap) {
        size_t cap = r->cap ? 2 * r->cap : 64;
        struct indexed_root *more = pst_realloc(r->list, cap * sizeof *more);

        if (!more)
            return pst_fail_nomem(err, "the roots");
        r->list = more;
        r->cap = cap;
    }
    memcpy(r->list[r->n].subject, subject, sizeof r->list[r->n].subject);
    r->list[r->n].at = r->der.len;
    r->list[r->n].len = der->len;
    r->n++;
    pst_buf_add(&r->der, der->data, der->len);
    return r->der.no_memory ? pst_fail_nomem(err, "the roots") : PST_NOTFOUND;
}

int pst_cert_roots_index(const void *pem, size_t len, struct pst_cert_roots **ret,
                         struct pst_err *err)
{
    auto_(pst_cert_roots_free) struct pst_cert_roots *r = pst_zalloc(1, sizeof *r);
    int rc;

    if (!r)
        return pst_fail_nomem(err, "the roots");
    r->der = (struct pst_buf)PST_BUF(PST_CERT_ROOTS_MAX);
    rc = each_root(pem, len, keep_root, r, err);
    if (rc != PST_NOTFOUND)
        return rc;
    *ret = pst_take(&r);
    return PST_OK;
}

void pst_cert_roots_free(struct pst_cert_roots *r)
{
    if (!r)
        return;
    pst_buf_deinit(&r->der);
    pst_free(r->list);
    pst_free(r);
}

int pst_root_find(const struct pst_cert_request *req, const struct pst_x509 *x, struct pst_err *err)
{
    const struct pst_cert_roots *r = req->indexed;

    if (!r)
        return each_root(req->roots, req->roots_len, try_each, (void *)(uintptr_t)x, err);
    for (size_t i = 0; i < r->n; i++) {
        int rc = try_root(x, r->list[i].subject, r->der.data + r->list[i].at, r->list[i].len, err);

        if (rc != PST_NOTFOUND)
            return rc;
    }
    return PST_NOTFOUND;
}

int pst_cert_roots_load(const char *path, struct pst_buf *ret, struct pst_err *err)
{
    auto_buf struct pst_buf file = PST_BUF(PST_CERT_ROOTS_MAX);
    int rc = pst_io_read_file(path, &file, err);

    if (rc != PST_OK)
        return rc;
    pst_buf_add(ret, file.data, file.len);
    return pst_buf_check(ret, "the roots", err);
}
