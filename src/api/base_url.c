/* base_url.c - under which URL clients reach this server. */
#include "api_internal.h"

#include <stdio.h>
#include <string.h>

void pst_req_base_url(const struct pst_req *req, char *to, size_t to_size)
{
    const char *set = req->api->set.public_url;
    const char *host = req->host[0] ? req->host : "127.0.0.1";
    bool local = pst_str_starts(host, "localhost") && (host[9] == ':' || host[9] == '\0');

    /* The Scalingo CLI breaks on a host without a dot. */
    if (local && !*set)
        snprintf(to, to_size, "http://127.0.0.1%s", host + strlen("localhost"));
    else if (*set)
        snprintf(to, to_size, "%s", set);
    else
        snprintf(to, to_size, "%s://%s", req->forwarded_proto[0] ? req->forwarded_proto : "http",
                 host);
    for (size_t len = strlen(to); len && to[len - 1] == '/'; len--)
        to[len - 1] = '\0';
}
