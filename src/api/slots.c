#include "slots.h"

#include <pthread.h>

#include <postern/base.h>
#include <postern/store.h>

enum { EACH_TENANT = 2 };

struct pst_slots {
    pthread_mutex_t lock;
    size_t n;
    char users[][PST_ID_SIZE]; /* "": free */
};

int pst_slots_new(struct pst_slots **ret, size_t n, struct pst_err *err)
{
    struct pst_slots *s = pst_zalloc(1, sizeof *s + n * sizeof s->users[0]);

    if (!s)
        return pst_fail_nomem(err, "the slots of long work");
    pthread_mutex_init(&s->lock, NULL);
    s->n = n;
    *ret = s;
    return PST_OK;
}

void pst_slots_free(struct pst_slots *s)
{
    if (!s)
        return;
    pthread_mutex_destroy(&s->lock);
    pst_free(s);
}

bool pst_slot_take(struct pst_slots *s, const char *user_id)
{
    char *mine = NULL;
    size_t has = 0;

    pthread_mutex_lock(&s->lock);
    for (size_t i = 0; i < s->n; i++) {
        has += pst_streq(s->users[i], user_id);
        if (!s->users[i][0])
            mine = s->users[i];
    }
    bool taken = mine && has < EACH_TENANT;
    if (taken)
        pst_str_copy(mine, PST_ID_SIZE, user_id);
    pthread_mutex_unlock(&s->lock);
    return taken;
}

void pst_slot_give(struct pst_slots *s, const char *user_id)
{
    pthread_mutex_lock(&s->lock);
    size_t i = 0;
    while (!pst_streq(s->users[i], user_id))
        i++;
    s->users[i][0] = '\0';
    pthread_mutex_unlock(&s->lock);
}
