/* An intrusive, seeded hash table by text. */
#include <string.h>

#include "watch_internal.h"

enum { FIRST_CAP = 1024 };

int pst_whash_init(struct pst_whash *h, uint64_t seed)
{
    *h = (struct pst_whash){.cap = FIRST_CAP, .seed = seed};
    h->buckets = pst_zalloc(h->cap, sizeof *h->buckets);
    return h->buckets ? PST_OK : PST_ENOMEM;
}

void pst_whash_deinit(struct pst_whash *h)
{
    pst_free(h->buckets);
    *h = (struct pst_whash){0};
}

/* FNV-1a from a random start, with a final mix. */
uint64_t pst_whash_of(const struct pst_whash *h, const void *data, size_t len)
{
    const unsigned char *p = data;
    uint64_t x = h->seed ^ 0xcbf29ce484222325u;

    for (size_t i = 0; i < len; i++)
        x = (x ^ p[i]) * 0x100000001b3u;
    x ^= x >> 32;
    x *= 0x9e3779b97f4a7c15u;
    return x ^ x >> 29;
}

struct pst_wnode *pst_whash_find(const struct pst_whash *h, const char *key)
{
    uint64_t hash = pst_whash_of(h, key, strlen(key));
    struct pst_wnode *n = h->buckets[hash & (h->cap - 1)];

    while (n && !(n->hash == hash && strcmp(n->key, key) == 0))
        n = n->next;
    return n;
}

static void grow(struct pst_whash *h)
{
    size_t cap = h->cap * 2;
    struct pst_wnode **to = pst_zalloc(cap, sizeof *to);

    if (!to)
        return;
    for (size_t i = 0; i < h->cap; i++) {
        while (h->buckets[i]) {
            struct pst_wnode *n = h->buckets[i];

            h->buckets[i] = n->next;
            n->next = to[n->hash & (cap - 1)];
            to[n->hash & (cap - 1)] = n;
        }
    }
    pst_free(h->buckets);
    h->buckets = to;
    h->cap = cap;
}

void pst_whash_insert(struct pst_whash *h, struct pst_wnode *n, const char *key)
{
    if (h->n >= h->cap)
        grow(h);
    n->key = key;
    n->hash = pst_whash_of(h, key, strlen(key));
    struct pst_wnode **head = &h->buckets[n->hash & (h->cap - 1)];
    n->next = *head;
    *head = n;
    h->n++;
}

void pst_whash_remove(struct pst_whash *h, struct pst_wnode *n)
{
    struct pst_wnode **p = &h->buckets[n->hash & (h->cap - 1)];

    while (*p && *p != n)
        p = &(*p)->next;
    pst_require(*p == n);
    *p = n->next;
    h->n--;
}
