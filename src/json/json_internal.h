/* json_internal.h - jansson behind <postern/json.h>. */
#ifndef POSTERN_JSON_INTERNAL_H
#define POSTERN_JSON_INTERNAL_H

#include <jansson.h>

#include <postern/json.h>

static inline json_t *to_jansson(struct pst_json *j)
{
    return (json_t *)j;
}

/* jansson's readers take no const, but do not change what they read. */
static inline json_t *to_jansson_const(const struct pst_json *j)
{
    return (json_t *)(uintptr_t)j;
}

static inline struct pst_json *from_jansson(json_t *j)
{
    return (struct pst_json *)j;
}

/* Make jansson allocate through base/.  Called before it allocates anything. */
void pst_json_use_own_memory(void);

/* Has an allocation of this thread failed since pst_json_memory_reset()?  jansson does not always
 * tell no memory from bad input. */
void pst_json_memory_reset(void);
bool pst_json_memory_failed(void);

#endif
