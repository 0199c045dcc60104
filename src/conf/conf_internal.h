/* conf_internal.h - what the files of conf/ share. */
#ifndef POSTERN_CONF_INTERNAL_H
#define POSTERN_CONF_INTERNAL_H

#include <postern/conf.h>

/* A value as it was read. */
struct pst_conf_value {
    bool set;     /* given, not the default */
    int64_t num;  /* numbers and booleans */
    char *text;   /* texts; NULL is "" */
    char **items; /* lists */
    size_t items_n;
};

void pst_conf_value_deinit(struct pst_conf_value *v);

/* Read `text` as the row wants it.  PST_OK, PST_ENOMEM, or PST_ECONFIG with "must be ..." without
 * the setting's name. */
int pst_conf_value_read(struct pst_conf_value *ret, const struct pst_conf_key *key,
                        const char *text, struct pst_err *err);

bool pst_conf_value_same(const struct pst_conf_value *a, const struct pst_conf_value *b);

/* Has `text` the named form?  PST_OK, or PST_ECONFIG with "must be ...". */
int pst_conf_form_check(const char *form, const char *text, struct pst_err *err);
/* Does the form exist?  For the test of the table. */
bool pst_conf_form_known(const char *form);
/* What the manual page calls such a value: "path", "text|json". */
void pst_conf_form_name(const struct pst_conf_key *key, struct pst_buf *to);

#endif
