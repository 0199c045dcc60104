/* A timer wheel: adding and removing cost the same for one name and for a million. */
#include "watch_internal.h"

void pst_wheel_init(struct pst_wheel *w, int64_t now_ms)
{
    for (size_t i = 0; i < PST_WHEEL_SLOTS; i++)
        w->slots[i].prev = w->slots[i].next = &w->slots[i];
    w->cursor = now_ms / PST_WHEEL_TICK_MS;
    w->n = 0;
}

/* The slot of a tick; ticks that lie in the past go where the cursor comes next. */
static struct pst_wtimer *slot_of(struct pst_wheel *w, int64_t tick)
{
    if (tick < w->cursor)
        tick = w->cursor;
    return &w->slots[tick % PST_WHEEL_SLOTS];
}

void pst_wheel_add(struct pst_wheel *w, struct pst_wtimer *t, int64_t due_ms)
{
    struct pst_wtimer *head = slot_of(w, due_ms / PST_WHEEL_TICK_MS);

    pst_require(!t->next);
    t->due_ms = due_ms;
    t->prev = head->prev;
    t->next = head;
    head->prev->next = t;
    head->prev = t;
    w->n++;
}

void pst_wheel_remove(struct pst_wheel *w, struct pst_wtimer *t)
{
    if (!t->next)
        return;
    t->prev->next = t->next;
    t->next->prev = t->prev;
    t->prev = t->next = NULL;
    w->n--;
}

struct pst_wtimer *pst_wheel_pop(struct pst_wheel *w, int64_t now_ms)
{
    int64_t now = now_ms / PST_WHEEL_TICK_MS;

    /* After a long sleep one turn visits every slot. */
    if (now - w->cursor > PST_WHEEL_SLOTS)
        w->cursor = now - PST_WHEEL_SLOTS;
    for (; w->cursor <= now; w->cursor++) {
        struct pst_wtimer *head = &w->slots[w->cursor % PST_WHEEL_SLOTS];

        /* Those of a later turn of the wheel stay where they are. */
        for (struct pst_wtimer *t = head->next; t != head; t = t->next) {
            if (t->due_ms <= now_ms) {
                pst_wheel_remove(w, t);
                return t;
            }
        }
        if (w->cursor == now)
            break; /* more may become due within this tick */
    }
    return NULL;
}

int64_t pst_wheel_wait(const struct pst_wheel *w, int64_t now_ms, int64_t max)
{
    if (w->n == 0)
        return max;
    for (int64_t tick = w->cursor; tick < w->cursor + PST_WHEEL_SLOTS; tick++) {
        const struct pst_wtimer *head = &w->slots[tick % PST_WHEEL_SLOTS];
        int64_t wait = tick * PST_WHEEL_TICK_MS - now_ms;

        if (wait >= max)
            break;
        for (const struct pst_wtimer *t = head->next; t != head; t = t->next) {
            if (t->due_ms < (tick + 1) * PST_WHEEL_TICK_MS) {
                wait = t->due_ms - now_ms;
                return wait < 0 ? 0 : wait < max ? wait : max;
            }
        }
    }
    return max;
}
