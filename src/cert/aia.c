/* aia.c - fetching an issuer's certificate from where a certificate says it is. */
#include "cert_internal.h"
#include <postern/http.h>
#include <strings.h>

enum { TIMEOUT_MS = 5000, STATUS_OK = 200 };

PST_CLEANUP(struct pst_http_response, pst_http_response_free);

int pst_cert_aia_fetch(struct pst_http *gated, const char *url, struct pst_buf *ret,
                       struct pst_err *err)
{
    auto_(pst_http_response_free) struct pst_http_response *response = NULL;
    struct pst_http_request req = {
        .url = url, .timeout_ms = TIMEOUT_MS, .max_body = PST_CERT_INPUT_MAX};
    const char *body;
    size_t len;
    int rc;

    /* https would need the chain that is being mended. */
    if (strncasecmp(url, "http://", 7) != 0)
        return pst_fail(err, PST_REFUSED, "issuers are fetched over http only");
    rc = pst_http_do(gated, &req, &response, err);
    if (rc != PST_OK)
        return rc < 0 ? pst_wrap(err, "fetching an issuer") : rc;
    if (pst_http_status(response) != STATUS_OK)
        return PST_NOTFOUND;
    body = pst_http_body(response, &len);
    pst_buf_add(ret, body, len);
    return pst_buf_check(ret, "an issuer's certificate", err);
}
