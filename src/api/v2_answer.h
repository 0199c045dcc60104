/* v2_answer.h - how answers look in /v2: one message for all, or a page for a browser. */
#ifndef POSTERN_API_V2_ANSWER_H
#define POSTERN_API_V2_ANSWER_H

#include <stdbool.h>
#include <stdint.h>

struct pst_answer;
struct pst_req;

/* {"id","message","type"}; type: "success" or "error".  PST_OK or PST_ENOMEM. */
int pst_v2_message(struct pst_answer *ans, int status, int64_t id, const char *type,
                   const char *text);
/* Give a refusal in the shapes of /v1 that one. */
void pst_v2_refusal(const struct pst_req *req, struct pst_answer *ans);

/* Is it the page for uploads, asked for by a browser? */
bool pst_v2_is_page(const struct pst_req *req);
/* The top of a page; what is on it is for the caller to add. */
void pst_v2_page_begin(struct pst_answer *ans, int status);
/* A page that says this.  PST_OK or PST_ENOMEM. */
int pst_v2_page(struct pst_answer *ans, int status, const char *text);

#endif
