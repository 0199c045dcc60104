/*
 * metric.h - counters of this process: how often something happened, by one label.
 *
 * Who counts need not know who shows them.  There is room for PST_METRICS_MAX pairs of name and
 * label; all that do not fit are counted together, as the label "other" of the first of them.
 * Threads: any.  Never fails.
 */
#ifndef POSTERN_METRIC_H
#define POSTERN_METRIC_H

#include <stdint.h>

enum { PST_METRICS_MAX = 128, PST_METRIC_LABEL_SIZE = 40 };

/* `name` is a constant; `label` is copied; one that is too long counts as "other". */
void pst_metric_count(const char *name, const char *label);
/* `n` times, for who counts by himself what happens too often for a lock. */
void pst_metric_add(const char *name, const char *label, int64_t n);

/* The value of each pair of a name, in the order in which they were first counted.  A non-zero
 * answer of `fn` ends it and is returned. */
int pst_metric_each(const char *name, int (*fn)(const char *label, int64_t n, void *arg),
                    void *arg);

#endif
