/* answer.c - answers and the error bodies that public clients parse (platform API, 2.5). */
#include "api_internal.h"

#include <stdio.h>

void pst_answer_init(struct pst_answer *a)
{
    *a = (struct pst_answer){.status = 500, .body = PST_BUF(PST_API_ANSWER_MAX)};
}

void pst_answer_deinit(struct pst_answer *a)
{
    /* Answers may hold a fresh token. */
    pst_buf_wipe(&a->body);
}

void pst_answer_reset(struct pst_answer *a)
{
    pst_answer_deinit(a);
    pst_answer_init(a);
}

int pst_answer_json(struct pst_answer *a, int status, struct pst_json *json, struct pst_err *err)
{
    pst_answer_reset(a);
    if (!json)
        return pst_fail_nomem(err, "the answer");
    a->status = status;
    return pst_json_write(json, &a->body, err);
}

int pst_answer_text(struct pst_answer *a, int status, struct pst_buf *text)
{
    pst_answer_reset(a);
    a->status = status;
    a->body = *text;
    *text = (struct pst_buf){0};
    return PST_OK;
}

int pst_answer_empty(struct pst_answer *a, int status)
{
    pst_answer_reset(a);
    a->status = status;
    return PST_OK;
}

/* Written without a tree: must work when memory is short. */
static int finish(struct pst_answer *a)
{
    return a->body.no_memory ? PST_ENOMEM : PST_REFUSED;
}

int pst_answer_error(struct pst_answer *a, int status, const char *fmt, ...)
{
    char text[512];
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    pst_answer_reset(a);
    a->status = status;
    pst_buf_str(&a->body, "{\"error\":");
    pst_json_quote(&a->body, text);
    pst_buf_str(&a->body, "}");
    return finish(a);
}

int pst_answer_absent(struct pst_answer *a, const char *resource)
{
    pst_answer_reset(a);
    a->status = 404;
    pst_buf_str(&a->body, "{\"resource\":");
    pst_json_quote(&a->body, resource);
    pst_buf_str(&a->body, ",\"error\":\"not found\"}");
    return finish(a);
}

int pst_answer_invalid(struct pst_answer *a, const char *field, const char *fmt, ...)
{
    char text[512];
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    pst_answer_reset(a);
    a->status = 422;
    pst_buf_str(&a->body, "{\"errors\":{");
    pst_json_quote(&a->body, field);
    pst_buf_str(&a->body, ":[");
    pst_json_quote(&a->body, text);
    pst_buf_str(&a->body, "]}}");
    return finish(a);
}

/* ---- members ---- */

bool pst_json_set_or_null(struct pst_json *j, const char *key, const char *value)
{
    return value && *value ? pst_json_set_text(j, key, value) : pst_json_set_null(j, key);
}

bool pst_json_set_time(struct pst_json *j, const char *key, int64_t at_ms)
{
    char text[PST_TIME_SIZE];

    if (!at_ms)
        return pst_json_set_null(j, key);
    pst_time_format(text, at_ms);
    return pst_json_set_text(j, key, text);
}
