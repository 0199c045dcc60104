/* v2_answer.c - how answers look in /v2: one message for all, or a page for a browser. */
#include "api_internal.h"

#include <string.h>

#include "v2_answer.h"

/* ---- messages ---- */

int pst_v2_message(struct pst_answer *ans, int status, int64_t id, const char *type,
                   const char *text)
{
    pst_answer_reset(ans);
    ans->status = status;
    pst_buf_printf(&ans->body, "{\"id\":%lld,\"message\":", (long long)id);
    pst_json_quote(&ans->body, text);
    pst_buf_printf(&ans->body, ",\"type\":\"%s\"}", type);
    return ans->body.no_memory ? PST_ENOMEM : PST_OK;
}

/* ---- pages ---- */

bool pst_v2_is_page(const struct pst_req *req)
{
    return req->route && pst_str_starts(req->route->pattern, "/v2/certificates") &&
           strstr(req->accept, "text/html");
}

static void add_html(struct pst_buf *to, const char *text)
{
    static const struct {
        char c;
        const char *written;
    } escapes[] = {{'&', "&amp;"}, {'<', "&lt;"}, {'>', "&gt;"}, {'"', "&quot;"}, {'\'', "&#39;"}};

    for (; *text; text++) {
        size_t i = 0;
        while (i < PST_ARRAY_N(escapes) && escapes[i].c != *text)
            i++;
        if (i < PST_ARRAY_N(escapes))
            pst_buf_str(to, escapes[i].written);
        else
            pst_buf_char(to, *text);
    }
}

void pst_v2_page_begin(struct pst_answer *ans, int status)
{
    pst_answer_reset(ans);
    ans->status = status;
    ans->type = "text/html; charset=utf-8";
    pst_buf_str(&ans->body, "<!doctype html><html lang=en><meta charset=utf-8>"
                            "<title>Certificate</title><body>");
}

int pst_v2_page(struct pst_answer *ans, int status, const char *text)
{
    pst_v2_page_begin(ans, status);
    pst_buf_str(&ans->body, "<p>");
    add_html(&ans->body, text);
    pst_buf_str(&ans->body, "</p>\n<p><a href=\"/v2/certificates/new\">Another one</a></p>\n");
    return ans->body.no_memory ? PST_ENOMEM : PST_OK;
}

/* ---- refusals ---- */

static int collect_errors(const char *field, const struct pst_json *list, void *arg)
{
    struct pst_buf *to = arg;

    for (size_t i = 0; i < pst_json_len(list); i++) {
        const char *text = pst_json_text(pst_json_at(list, i));
        pst_buf_printf(to, "%s%s: %s", to->len ? "; " : "", field, text ? text : "");
    }
    return 0;
}

void pst_v2_refusal(const struct pst_req *req, struct pst_answer *ans)
{
    auto_(pst_json_free) struct pst_json *j = NULL;
    auto_buf struct pst_buf text = PST_BUF(4096);
    const char *challenge = ans->challenge, *allow = ans->allow;
    int64_t retry_after_s = ans->retry_after_s;

    if (pst_json_parse(&j, pst_buf_cstr(&ans->body), ans->body.len, NULL) != PST_OK ||
        pst_json_get(j, "message"))
        return;
    if (pst_json_get_text(j, "resource"))
        pst_buf_printf(&text, "%s: ", pst_json_get_text(j, "resource"));
    if (pst_json_get_text(j, "error"))
        pst_buf_str(&text, pst_json_get_text(j, "error"));
    pst_json_each(pst_json_get(j, "errors"), collect_errors, &text);
    int status = ans->status == 422 ? 400 : ans->status;
    if (pst_v2_is_page(req)) {
        pst_v2_page(ans, status, pst_buf_cstr(&text));
        /* What makes a browser ask its user. */
        challenge = challenge ? "Basic realm=\"Postern, password: an API token\"" : NULL;
    } else {
        pst_v2_message(ans, status, status, "error", pst_buf_cstr(&text));
    }
    ans->challenge = challenge;
    ans->allow = allow;
    ans->retry_after_s = retry_after_s;
}
