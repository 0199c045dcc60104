/* imports.h - what the files about imports share. */
#ifndef POSTERN_API_IMPORTS_H
#define POSTERN_API_IMPORTS_H

#include <postern/bulk.h>

struct pst_answer;
struct pst_err;
struct pst_req;

/* The longest line of an import: what fits into a body, with room for others beside it. */
size_t pst_import_line_max(const struct pst_req *req);

/* The import of the first parameter, as far as the caller sees it.  In a write transaction its row
 * is locked.  PST_OK, PST_REFUSED (answered 404), negative. */
int pst_import_find(struct pst_req *req, struct pst_tx *tx, struct pst_import *ret,
                    struct pst_answer *ans, struct pst_err *err);

/* Count the time since the last lines as time in which lines came, unless it is a pause. */
void pst_import_tick(struct pst_import *i, int64_t now_ms);

/* {"import": {...}} with its first refused lines. */
int pst_import_answer(struct pst_req *req, struct pst_tx *tx, const struct pst_import *i,
                      int status, struct pst_answer *ans, struct pst_err *err);

#endif
