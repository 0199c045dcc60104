/* upstream_address.h - literal addresses with ports, and which of them may be an upstream.  All
 * pure but for the settings that they read. */
#ifndef POSTERN_API_UPSTREAM_ADDRESS_H
#define POSTERN_API_UPSTREAM_ADDRESS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct pst_api;
struct pst_err;

struct pst_address {
    unsigned char ip[16];
    size_t len; /* 4 or 16 */
    uint16_t port;
};

/* "192.0.2.1:3000" or "[2001:db8::1]:3000"; no names, no scopes, no port 0. */
bool pst_address_parse(const char *text, struct pst_address *ret);
/* One form for each address. */
void pst_address_format(const struct pst_address *a, char *to, size_t to_size);
/* network: "10.1.0.0/16", "fd00::/8" or one address. */
bool pst_address_in(const struct pst_address *a, const char *network);

/* PST_OK, or PST_REFUSED with a sentence. */
int pst_upstream_check(const struct pst_api *api, bool operator_asks, const struct pst_address *a,
                       struct pst_err *err);

#endif
