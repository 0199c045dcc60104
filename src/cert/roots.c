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
static int try_root(const struct pst_x509 *x, const struct pst_buf *der, struct pst_err *err)
{
    auto_(pst_x509_free) struct pst_x509 *root = NULL;
    uint8_t subject[32];
    int rc = pst_der_subject_sha256(der->data, der->len, subject, err);

    if (rc == PST_EINPUT ||
        (rc == PST_OK && memcmp(subject, pst_x509_facts(x)->issuer_sha256, 32) != 0))
        return PST_NOTFOUND;
    if (rc == PST_OK)
        rc = pst_x509_read(der->data, der->len, &root, err);
    if (rc != PST_OK)
        return rc == PST_REFUSED ? PST_NOTFOUND : rc;
    return pst_x509_names_issuer(x, root) && pst_x509_signed_by(x, root) ? PST_OK : PST_NOTFOUND;
}

int pst_root_find(const struct pst_cert_request *req, const struct pst_x509 *x, struct pst_err *err)
{
    auto_buf struct pst_buf der = PST_BUF(PST_CERT_MAX);
    const char *at = req->roots, *end = at + req->roots_len, *body;
    size_t len;

    while ((body = next_body(&at, end, &len))) {
        int rc;

        pst_buf_cut(&der, 0);
        if (!pst_pem_decode(body, len, &der)) {
            if (der.no_memory)
                return pst_fail_nomem(err, "a root");
            continue;
        }
        rc = try_root(x, &der, err);
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
