/*
 * The worker's cache: a hash table with a least-recently-used list, bounded in bytes.  It holds
 * what is dear to make (parsed certificates and keys), what belongs to the worker (idle upstream
 * connections), and the last known records, which go on serving when the replica fails.
 */
#include "ngx_http_postern.h"

/* Overhead of an allocation and of the bucket's pointer. */
enum { ENTRY_EXTRA = 64, BYTES_PER_BUCKET = 2048, BUCKETS_MIN = 256, BUCKETS_MAX = 1 << 20 };

static struct {
    struct postern_entry **buckets;
    size_t mask;
    ngx_queue_t lru; /* the most recently used first */
    size_t bytes;
    size_t max_bytes;
    uint64_t seed;
} cache;

ngx_int_t postern_cache_init(size_t max_bytes, ngx_log_t *log)
{
    size_t n = BUCKETS_MIN;

    while (n < max_bytes / BYTES_PER_BUCKET && n < BUCKETS_MAX)
        n *= 2;
    cache.buckets = ngx_calloc(n * sizeof *cache.buckets, log);
    if (cache.buckets == NULL)
        return NGX_ERROR;
    cache.mask = n - 1;
    cache.max_bytes = max_bytes;
    cache.bytes = 0;
    cache.seed = (uint64_t)ngx_random() << 31 ^ (uint64_t)ngx_random();
    ngx_queue_init(&cache.lru);
    return NGX_OK;
}

size_t postern_cache_bytes(void)
{
    return cache.bytes;
}

static uint64_t hash_of(enum postern_cached kind, const void *key, size_t len)
{
    return pst_replica_hash(cache.seed + (uint64_t)kind, key, len);
}

static void entry_free(struct postern_entry *e)
{
    switch (e->kind) {
    case POSTERN_CACHED_CERT:
        X509_free(e->u.cert.leaf);
        EVP_PKEY_free(e->u.cert.key);
        sk_X509_pop_free(e->u.cert.chain, X509_free);
        break;
    case POSTERN_CACHED_ISSUER:
        X509_free(e->u.issuer);
        break;
    default: /* the rest lies behind the entry */
        break;
    }
    ngx_free(e);
}

/* Out of the table; freed when nobody else holds it. */
static void detach(struct postern_entry *e)
{
    struct postern_entry **at = &cache.buckets[e->hash & cache.mask];

    while (*at != e)
        at = &(*at)->next;
    *at = e->next;
    ngx_queue_remove(&e->lru);
    cache.bytes -= e->bytes;
    e->in_cache = 0;
    if (e->kind == POSTERN_CACHED_APP)
        postern_pool_close(e);
    if (e->refs == 0)
        entry_free(e);
}

void postern_cache_deinit(void)
{
    if (cache.buckets == NULL)
        return;
    while (!ngx_queue_empty(&cache.lru))
        detach(ngx_queue_data(ngx_queue_head(&cache.lru), struct postern_entry, lru));
    ngx_free(cache.buckets);
    cache.buckets = NULL;
}

static struct postern_entry *find(uint64_t hash, enum postern_cached kind, const void *key,
                                  size_t len)
{
    struct postern_entry *e = cache.buckets[hash & cache.mask];

    for (; e; e = e->next) {
        if (e->hash == hash && e->kind == (unsigned)kind && e->key_len == len &&
            ngx_memcmp(e->key, key, len) == 0)
            return e;
    }
    return NULL;
}

struct postern_entry *postern_cache_find(enum postern_cached kind, const void *key, size_t len)
{
    struct postern_entry *e = find(hash_of(kind, key, len), kind, key, len);

    if (e) {
        ngx_queue_remove(&e->lru);
        ngx_queue_insert_head(&cache.lru, &e->lru);
    }
    return e;
}

void postern_cache_drop(enum postern_cached kind, const void *key, size_t len)
{
    struct postern_entry *e = find(hash_of(kind, key, len), kind, key, len);

    if (e)
        detach(e);
}

struct postern_entry *postern_cache_add(enum postern_cached kind, const void *key, size_t len,
                                        size_t extra, size_t outside, void **ret_extra)
{
    struct postern_entry *e;

    if (len > sizeof e->key)
        return NULL;
    postern_cache_drop(kind, key, len);
    e = ngx_calloc(sizeof *e + extra, postern.log);
    if (e == NULL)
        return NULL;

    e->kind = kind;
    e->key_len = (u_char)len;
    ngx_memcpy(e->key, key, len);
    e->hash = hash_of(kind, key, len);
    e->bytes = sizeof *e + extra + outside + ENTRY_EXTRA;
    e->in_cache = 1;
    if (ret_extra)
        *ret_extra = e + 1;

    e->next = cache.buckets[e->hash & cache.mask];
    cache.buckets[e->hash & cache.mask] = e;
    ngx_queue_insert_head(&cache.lru, &e->lru);
    cache.bytes += e->bytes;
    /* The new one stays, even alone over the limit: it is about to be used. */
    while (cache.bytes > cache.max_bytes && ngx_queue_last(&cache.lru) != &e->lru) {
        detach(ngx_queue_data(ngx_queue_last(&cache.lru), struct postern_entry, lru));
        postern_count(CACHE_EVICTED);
    }
    return e;
}

void postern_entry_hold(struct postern_entry *e)
{
    e->refs++;
}

void postern_entry_release(struct postern_entry *e)
{
    if (--e->refs == 0 && !e->in_cache)
        entry_free(e);
}
