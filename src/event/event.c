/* event.c - events as JSON. */
#include "event_internal.h"

#include <postern/json.h>

static bool set_or_null(struct pst_json *j, const char *key, const char *text)
{
    return text[0] ? pst_json_set_text(j, key, text) : pst_json_set_null(j, key);
}

struct pst_json *pst_event_json(const struct pst_event *e)
{
    auto_(pst_json_free) struct pst_json *j = pst_json_object();
    char at[PST_TIME_SIZE];

    pst_time_format(at, e->at_ms);
    if (!pst_json_set_text(j, "id", e->id) || !pst_json_set_text(j, "at", at) ||
        !pst_json_set_text(j, "kind", e->kind) || !pst_json_set_text(j, "actor", e->actor) ||
        !set_or_null(j, "request_id", e->request_id) || !set_or_null(j, "app_id", e->app_id) ||
        !set_or_null(j, "domain_id", e->domain_id) || !pst_json_set_text(j, "text", e->text) ||
        !(e->chain_pos ? pst_json_set_int(j, "position", e->chain_pos)
                       : pst_json_set_null(j, "position")) ||
        !set_or_null(j, "hash", e->hash))
        return NULL;
    return pst_take(&j);
}
