/*
 * change.c - adding and removing one value, whatever the provider's API is like.
 *
 * What must hold for every provider is here: values of others survive, also those that appear
 * between our reading and writing; a value that stands there already, or is gone already, costs no
 * write; a contended change is tried again, a bounded number of times.
 */
#include <string.h>

#include "dns_internal.h"

enum { TRIES = 6, PAUSE_MS = 60 };

/* ---- sets ---- */

void pst_dns_set_deinit(struct pst_dns_set *s)
{
    for (size_t i = 0; i < s->n; i++) {
        pst_free(s->items[i].raw);
        pst_free(s->items[i].value);
    }
    pst_free(s->items);
    pst_buf_deinit(&s->extra);
}

int pst_dns_set_add(struct pst_dns_set *s, const char *raw, const char *value, struct pst_err *err)
{
    if (s->n == VALUES_MAX)
        return pst_dns_permanent(err, "there are more than %d TXT values at this name", VALUES_MAX);
    if ((s->n & (s->n - 1)) == 0) { /* grow at powers of two */
        struct pst_dns_item *more = pst_realloc(s->items, (s->n ? 2 * s->n : 1) * sizeof *s->items);
        if (!more)
            return pst_fail_nomem(err, "TXT values");
        s->items = more;
    }
    struct pst_dns_item item = {.raw = pst_strdup(raw), .value = pst_strdup(value)};
    if (!item.raw || !item.value) {
        pst_free(item.raw);
        pst_free(item.value);
        return pst_fail_nomem(err, "TXT values");
    }
    s->items[s->n++] = item;
    return PST_OK;
}

int pst_dns_set_add_quoted(struct pst_dns_set *s, const char *raw, const char *text,
                           struct pst_err *err)
{
    auto_buf struct pst_buf value = PST_BUF(64 * 1024);

    bool clear = pst_dns_unquote(text, &value);
    if (value.no_memory)
        return pst_fail_nomem(err, "TXT values");
    return pst_dns_set_add(s, raw, clear ? pst_buf_cstr(&value) : text, err);
}

static bool holds(const struct pst_dns_set *s, const char *value)
{
    for (size_t i = 0; i < s->n; i++) {
        if (strcmp(s->items[i].value, value) == 0)
            return true;
    }
    return false;
}

static bool same(const struct pst_dns_set *a, const struct pst_dns_set *b)
{
    if (a->exists != b->exists || a->ttl_s != b->ttl_s || a->n != b->n)
        return false;
    for (size_t i = 0; i < a->n; i++) {
        if (strcmp(a->items[i].raw, b->items[i].raw) != 0)
            return false;
    }
    return true;
}

/* `old` with the value added or without it. */
static int edit(struct pst_dns_provider *p, const struct pst_dns_target *t,
                const struct pst_dns_set *old, bool remove, struct pst_dns_set *ret,
                struct pst_err *err)
{
    int rc = PST_OK;

    ret->exists = true;
    ret->ttl_s = old->exists ? old->ttl_s : p->ops->ttl_s;
    for (size_t i = 0; i < old->n && rc == PST_OK; i++) {
        if (!remove || strcmp(old->items[i].value, t->value) != 0)
            rc = pst_dns_set_add(ret, old->items[i].raw, old->items[i].value, err);
    }
    if (rc != PST_OK || remove)
        return rc;
    auto_buf struct pst_buf raw = PST_BUF(1024);
    p->ops->item(p, t->value, &raw);
    rc = pst_buf_check(&raw, "a TXT value", err);
    return rc == PST_OK ? pst_dns_set_add(ret, raw.data, t->value, err) : rc;
}

static int read_set(struct pst_dns_provider *p, const struct pst_dns_target *t,
                    struct pst_dns_set *ret, struct pst_err *err)
{
    int rc = p->ops->read(p, t, ret, err);
    return rc == PST_NOTFOUND ? PST_OK : rc;
}

static bool unguarded(const struct pst_dns_provider *p)
{
    return p->ops->unguarded || p->guardless;
}

/* Providers without any guard: look again right before writing, and right after it. */
static int look_again(struct pst_dns_provider *p, const struct pst_dns_target *t,
                      const struct pst_dns_set *old, struct pst_err *err)
{
    auto_set struct pst_dns_set now = {0};
    int rc = read_set(p, t, &now, err);
    return rc == PST_OK && !same(old, &now) ? PST_CONFLICT : rc;
}

static int verify(struct pst_dns_provider *p, const struct pst_dns_target *t, bool remove,
                  struct pst_err *err)
{
    auto_set struct pst_dns_set now = {0};
    int rc = read_set(p, t, &now, err);
    return rc == PST_OK && holds(&now, t->value) == remove ? PST_CONFLICT : rc;
}

/* PST_OK, PST_DONE, PST_CONFLICT (from the beginning), or a fault. */
static int try_set(struct pst_dns_provider *p, const struct pst_dns_target *t, bool remove,
                   struct pst_dns_change *ret, struct pst_err *err)
{
    auto_set struct pst_dns_set old = {0};
    auto_set struct pst_dns_set set = {0};

    int rc = read_set(p, t, &old, err);
    if (rc != PST_OK)
        return rc;
    if (holds(&old, t->value) != remove)
        return PST_DONE;
    if (!remove && p->ops->append) {
        rc = p->ops->append(p, t, err);
        if (rc != PST_OK)
            return rc;
        return verify(p, t, remove, err);
    }
    rc = edit(p, t, &old, remove, &set, err);
    if (rc == PST_OK && unguarded(p))
        rc = look_again(p, t, &old, err);
    if (rc == PST_OK)
        rc = p->ops->write(p, t, &old, &set, ret, err);
    if (rc == PST_OK && unguarded(p))
        rc = verify(p, t, remove, err);
    return rc;
}

static int change_set(struct pst_dns_provider *p, const struct pst_dns_target *t, bool remove,
                      struct pst_dns_change *ret, struct pst_err *err)
{
    for (int i = 0; i < TRIES; i++) {
        int rc = try_set(p, t, remove, ret, err);
        if (rc == PST_DONE && i > 0)
            return PST_OK; /* an earlier round of ours did it */
        if (rc != PST_CONFLICT)
            return rc;
        /* Guarded writes go on at once: somebody else got his done. */
        if (unguarded(p) || i > 0)
            pst_dns_pause(p, (uint32_t)(PAUSE_MS + pst_dns_below(p, PAUSE_MS) * (unsigned)i));
    }
    return pst_fail(err, PST_EREMOTE, "the TXT records of %s keep changing while we change them",
                    t->fqdn);
}

/* ---- record ids ---- */

static int create(struct pst_dns_provider *p, const struct pst_dns_target *t, struct pst_err *err)
{
    auto_set struct pst_dns_set now = {0};

    int rc = p->ops->list(p, t, &now, err);
    if (rc != PST_OK)
        return rc;
    if (holds(&now, t->value))
        return PST_DONE;
    return p->ops->create_record(p, t, err);
}

static int destroy(struct pst_dns_provider *p, const struct pst_dns_target *t, struct pst_err *err)
{
    auto_set struct pst_dns_set now = {0};
    bool gone = false;

    int rc = p->ops->list(p, t, &now, err);
    for (size_t i = 0; i < now.n && rc == PST_OK; i++) {
        if (strcmp(now.items[i].value, t->value) != 0)
            continue;
        rc = p->ops->destroy_record(p, t, now.items[i].raw, err);
        gone |= rc == PST_OK;
        if (rc == PST_DONE)
            rc = PST_OK;
    }
    return rc == PST_OK && !gone ? PST_DONE : rc;
}

/* Publishing is repeated even when nothing was to be changed: the try that changed it may have
 * failed right there. */
static int change_record(struct pst_dns_provider *p, const struct pst_dns_target *t, bool remove,
                         struct pst_err *err)
{
    int rc = remove ? destroy(p, t, err) : create(p, t, err);

    if ((rc == PST_OK || rc == PST_DONE) && p->ops->publish) {
        int published = p->ops->publish(p, t, err);
        if (published != PST_OK)
            return published;
    }
    return rc;
}

/* ---- all families ---- */

static bool value_ok(const char *s)
{
    size_t n = 0;

    for (; s && s[n]; n++) {
        if (s[n] <= ' ' || s[n] > '~' || s[n] == '"' || s[n] == '\\' || n >= 255)
            return false;
    }
    return n > 0;
}

static bool name_ok(const char *s)
{
    size_t n = s ? strlen(s) : 0;

    if (n == 0 || n >= PST_NAME_SIZE || s[0] == '.' || s[n - 1] == '.' || !strchr(s, '.') ||
        strstr(s, ".."))
        return false;
    return s[strspn(s, "abcdefghijklmnopqrstuvwxyz0123456789-_.")] == '\0';
}

static int begin(struct pst_dns_provider *p, const struct pst_dns_record *r, bool with_value,
                 struct pst_err *err)
{
    p->blame.n = 0;
    p->zone[0] = '\0';
    if (!name_ok(r->fqdn)) {
        pst_fail(err, PST_EINPUT, "\"%.80s\" is not a name for a TXT record", r->fqdn);
        return pst_dns_never(err, PST_EINPUT);
    }
    if (with_value && !value_ok(r->value)) {
        pst_fail(err, PST_EINPUT,
                 "the value of a TXT record must be 1 to 255 printable characters without blanks, "
                 "quotes and backslashes");
        return pst_dns_never(err, PST_EINPUT);
    }
    return PST_OK;
}

static int locate(struct pst_dns_provider *p, const struct pst_dns_record *r,
                  struct pst_dns_zone *zone, char rel[PST_NAME_SIZE], struct pst_dns_target *ret,
                  struct pst_err *err)
{
    int rc = pst_dns_find_zone(p, r, zone, err);
    if (rc != PST_OK)
        return rc;
    pst_str_cut(p->zone, sizeof p->zone, zone->name[0] ? zone->name : zone->id);
    rel[0] = '\0';
    if (zone->name[0] && !pst_dns_relative(r->fqdn, zone->name, rel))
        return pst_dns_permanent(err, "%s is not in the zone %s", r->fqdn, zone->name);
    *ret = (struct pst_dns_target){
        .zone = zone, .fqdn = r->fqdn, .value = r->value, .rel = rel, .again = r->again};
    return PST_OK;
}

static int change(struct pst_dns_provider *p, const struct pst_dns_target *t, bool remove,
                  struct pst_dns_change *ret, struct pst_err *err)
{
    if (p->ops->put)
        return p->ops->put(p, t, remove, err);
    if (p->ops->write)
        return change_set(p, t, remove, ret, err);
    return change_record(p, t, remove, err);
}

static int change_locked(struct pst_dns_provider *p, const struct pst_dns_record *r, bool remove,
                         struct pst_dns_change *ret, struct pst_err *err)
{
    struct pst_dns_zone zone = {0};
    struct pst_dns_target t;
    struct pst_dns_change pending = {0};
    char rel[PST_NAME_SIZE];

    int rc = begin(p, r, true, err);
    if (rc == PST_OK)
        rc = locate(p, r, &zone, rel, &t, err);
    if (rc != PST_OK)
        return rc < 0 ? pst_wrap(err, "DNS provider %s", p->ops->name) : rc;
    pthread_mutex_t *lock = pst_dns_lock_of(p->env.locks, p->ops->name, zone.name);
    if (lock)
        pthread_mutex_lock(lock);
    rc = change(p, &t, remove, &pending, err);
    if (lock)
        pthread_mutex_unlock(lock);
    if (rc == PST_OK || rc == PST_DONE)
        *ret = pending;
    return rc < 0 ? pst_wrap(err, "DNS provider %s", p->ops->name) : rc;
}

int pst_dns_txt_add(struct pst_dns_provider *p, const struct pst_dns_record *r,
                    struct pst_dns_change *ret, struct pst_err *err)
{
    return change_locked(p, r, false, ret, err);
}

int pst_dns_txt_remove(struct pst_dns_provider *p, const struct pst_dns_record *r,
                       struct pst_dns_change *ret, struct pst_err *err)
{
    return change_locked(p, r, true, ret, err);
}

int pst_dns_check(struct pst_dns_provider *p, const struct pst_dns_record *r, struct pst_err *err)
{
    auto_set struct pst_dns_set set = {0};
    struct pst_dns_zone zone = {0};
    struct pst_dns_target t;
    char rel[PST_NAME_SIZE];

    int rc = begin(p, r, false, err);
    if (rc == PST_OK)
        rc = locate(p, r, &zone, rel, &t, err);
    if (rc == PST_OK && p->ops->check)
        rc = p->ops->check(p, &t, err);
    else if (rc == PST_OK && p->ops->read)
        rc = read_set(p, &t, &set, err);
    else if (rc == PST_OK && p->ops->list)
        rc = p->ops->list(p, &t, &set, err);
    return rc < 0 ? pst_wrap(err, "DNS provider %s", p->ops->name) : rc;
}

int pst_dns_confirm(struct pst_dns_provider *p, const struct pst_dns_change *change,
                    struct pst_err *err)
{
    p->blame.n = 0;
    if (!change->text[0] || !p->ops->confirm)
        return PST_OK;
    int rc = p->ops->confirm(p, change->text, err);
    return rc < 0 ? pst_wrap(err, "DNS provider %s", p->ops->name) : rc;
}
