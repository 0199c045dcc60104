/* zone.c - which zone of the account holds a name, and whose turn it is to change it. */
#include <string.h>

#include "dns_internal.h"

enum { LOCKS = 64 };

struct pst_dns_locks {
    pthread_mutex_t locks[LOCKS];
};

int pst_dns_locks_new(struct pst_dns_locks **ret, struct pst_err *err)
{
    struct pst_dns_locks *l = pst_zalloc(1, sizeof *l);

    if (!l)
        return pst_fail_nomem(err, "the locks of zones");
    for (size_t i = 0; i < LOCKS; i++)
        pthread_mutex_init(&l->locks[i], NULL);
    *ret = l;
    return PST_OK;
}

void pst_dns_locks_free(struct pst_dns_locks *l)
{
    for (size_t i = 0; l && i < LOCKS; i++)
        pthread_mutex_destroy(&l->locks[i]);
    pst_free(l);
}

static uint32_t hash(uint32_t h, const char *s)
{
    for (; *s; s++)
        h = (h ^ (unsigned char)*s) * 16777619u; /* FNV-1a */
    return h;
}

pthread_mutex_t *pst_dns_lock_of(struct pst_dns_locks *l, const char *provider, const char *zone)
{
    return l ? &l->locks[hash(hash(2166136261u, provider), zone) % LOCKS] : NULL;
}

bool pst_dns_relative(const char *fqdn, const char *zone, char to[PST_NAME_SIZE])
{
    size_t fqdn_len = strlen(fqdn), zone_len = strlen(zone);

    if (pst_strcaseeq(fqdn, zone)) {
        to[0] = '\0';
        return true;
    }
    if (fqdn_len < zone_len + 2 || fqdn_len >= PST_NAME_SIZE ||
        fqdn[fqdn_len - zone_len - 1] != '.' || !pst_strcaseeq(fqdn + fqdn_len - zone_len, zone))
        return false;
    memcpy(to, fqdn, fqdn_len - zone_len - 1);
    to[fqdn_len - zone_len - 1] = '\0';
    return true;
}

/* The longest suffix of the name that the account has a zone for; a top-level domain is none. */
static int walk(struct pst_dns_provider *p, const struct pst_dns_record *r,
                struct pst_dns_zone *ret, struct pst_err *err)
{
    const char *name = r->delegated ? r->fqdn : strchr(r->fqdn, '.') + 1;

    for (; strchr(name, '.'); name = strchr(name, '.') + 1) {
        struct pst_err why = {0};
        struct pst_dns_zone zone = {0};
        int rc = p->ops->zone(p, name, &zone, &why);

        if (rc == PST_OK) {
            pst_str_copy(zone.name, sizeof zone.name, name);
            *ret = zone;
            p->blame.n = 0; /* of zones on the way that we may not know of */
            return PST_OK;
        }
        if (rc == PST_REFUSED && p->denied.rc == 0)
            p->denied = why;
        if (rc < 0) {
            if (err)
                *err = why;
            return rc;
        }
    }
    return PST_NOTFOUND;
}

int pst_dns_find_zone(struct pst_dns_provider *p, const struct pst_dns_record *r,
                      struct pst_dns_zone *ret, struct pst_err *err)
{
    memset(&p->denied, 0, sizeof p->denied);
    int rc = p->ops->find ? p->ops->find(p, r->fqdn, r->delegated, ret, err) : PST_NOTYET;
    if (rc == PST_NOTYET)
        rc = walk(p, r, ret, err);
    if (rc != PST_NOTFOUND)
        return rc;
    if (p->denied.rc != 0) {
        if (err)
            *err = p->denied;
        if (err)
            err->rc = PST_EREMOTE;
        return PST_EREMOTE;
    }
    pst_dns_permanent(err, "these credentials give access to no zone that holds %s", r->fqdn);
    pst_err_problem(err, "zone");
    return PST_EREMOTE;
}
