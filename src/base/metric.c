/* metric.c - counters, in a table of fixed size. */
#include <postern/metric.h>

#include <pthread.h>

#include <postern/base.h>

static struct {
    pthread_mutex_t lock;
    struct pair {
        const char *name;
        char label[PST_METRIC_LABEL_SIZE];
        int64_t n;
    } pairs[PST_METRICS_MAX];
    size_t n;
} table = {.lock = PTHREAD_MUTEX_INITIALIZER};

/* Under the lock.  NULL: it is not there and there is no room. */
static struct pair *find(const char *name, const char *label)
{
    for (size_t i = 0; i < table.n; i++)
        if (pst_streq(table.pairs[i].name, name) && pst_streq(table.pairs[i].label, label))
            return &table.pairs[i];
    if (table.n == PST_METRICS_MAX - 1) {
        table.pairs[table.n++] = (struct pair){.name = name, .label = "other"};
        return NULL;
    }
    if (table.n == PST_METRICS_MAX)
        return NULL;
    struct pair *p = &table.pairs[table.n++];
    p->name = name;
    pst_str_copy(p->label, sizeof p->label, label);
    return p;
}

void pst_metric_count(const char *name, const char *label)
{
    pst_metric_add(name, label, 1);
}

void pst_metric_add(const char *name, const char *label, int64_t n)
{
    char cut[PST_METRIC_LABEL_SIZE];

    if (!pst_str_copy(cut, sizeof cut, label))
        pst_str_copy(cut, sizeof cut, "other");
    pthread_mutex_lock(&table.lock);
    struct pair *p = find(name, cut);
    if (!p) /* full: the last place was kept for this */
        p = &table.pairs[PST_METRICS_MAX - 1];
    p->n += n;
    pthread_mutex_unlock(&table.lock);
}

int pst_metric_each(const char *name, int (*fn)(const char *label, int64_t n, void *arg), void *arg)
{
    int rc = 0;

    pthread_mutex_lock(&table.lock);
    for (size_t i = 0; rc == 0 && i < table.n; i++)
        if (pst_streq(table.pairs[i].name, name))
            rc = fn(table.pairs[i].label, table.pairs[i].n, arg);
    pthread_mutex_unlock(&table.lock);
    return rc;
}
