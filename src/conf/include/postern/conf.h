/*
 * conf.h - the settings of posternd and postern-edged.
 *
 * Model:    each setting is one row of <postern/conf_keys.h>: parser, sample file and manual page
 *           are made from it.  A file has one `section.key = value` per line; `#` at the start of
 *           a line or after a blank begins a comment; lists are separated by commas; durations may
 *           end in s, m, h or d and sizes in K, M, G or T (1024 each).
 * Threads:  a loaded configuration is only read; many threads may do so.
 * Blocking: pst_conf_load() reads one file.
 * Failure:  everything that is wrong is PST_ECONFIG with file, line, setting and the mend.  Values
 *           of settings that may hold a password are never repeated in a text.
 */
#ifndef POSTERN_CONF_H
#define POSTERN_CONF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <postern/conf_keys.h>
#include <postern/mem.h>

struct pst_buf;
struct pst_err;

enum pst_conf_type {
    PST_CONF_TYPE_TEXT,     /* min, max: bytes */
    PST_CONF_TYPE_INT,      /* min, max: the value */
    PST_CONF_TYPE_BOOL,     /* true or false */
    PST_CONF_TYPE_DURATION, /* seconds */
    PST_CONF_TYPE_SIZE,     /* bytes */
    PST_CONF_TYPE_LIST,     /* of texts; min, max: how many */
};

enum pst_conf_reload {
    PST_CONF_RELOAD_LIVE,    /* a reload puts it into force */
    PST_CONF_RELOAD_RESTART, /* only a new start does */
};

enum pst_conf_program { PST_CONF_POSTERND = 1, PST_CONF_EDGED = 2 };

/* PST_CONF_DATABASE_URL and so on, one for each row. */
enum pst_conf_id {
#define PST_CONF_ID_(id, ...) PST_CONF_##id,
    PST_CONF_KEYS(PST_CONF_ID_)
#undef PST_CONF_ID_
        PST_CONF_ID__COUNT
};

struct pst_conf_key {
    const char *key; /* "database.url" */
    unsigned programs;
    enum pst_conf_type type;
    const char *form;  /* the unit of a number; what a text must look like */
    const char *value; /* the default */
    int64_t min, max;
    enum pst_conf_reload reload;
    const char *text; /* one or more sentences */
};

/* The settings of one program. */
struct pst_conf_table {
    const char *program;
    unsigned bit; /* of enum pst_conf_program */
};
extern const struct pst_conf_table pst_conf_posternd;
extern const struct pst_conf_table pst_conf_edged;

/* The row of a setting; never NULL. */
const struct pst_conf_key *pst_conf_key(enum pst_conf_id id);

struct pst_conf;

/* All settings at their defaults.  PST_OK or PST_ENOMEM.  Free with pst_conf_free(). */
int pst_conf_new_default(struct pst_conf **ret, const struct pst_conf_table *table,
                         struct pst_err *err);

/*
 * Read a file (at most 256 KiB); settings that it does not name have their defaults.
 *
 * PST_OK       *ret is the caller's; free with pst_conf_free().
 * PST_ECONFIG  there is no such file, or something in it is wrong: "FILE:LINE: setting: ...".
 * PST_ESYS, PST_ENOMEM
 */
int pst_conf_load(struct pst_conf **ret, const char *path, const struct pst_conf_table *table,
                  struct pst_err *err);

/* The same from `len` bytes; `name` stands for the file in texts. */
int pst_conf_parse(struct pst_conf **ret, const char *name, const char *data, size_t len,
                   const struct pst_conf_table *table, struct pst_err *err);

void pst_conf_free(struct pst_conf *c);
PST_CLEANUP(struct pst_conf, pst_conf_free);

/* Set one setting by its key, as --set on the command line does.  PST_OK, PST_ECONFIG (unknown
 * setting or bad value; nothing is changed) or PST_ENOMEM.  Before other threads read it. */
int pst_conf_set(struct pst_conf *c, const char *key, const char *value, struct pst_err *err);

/* Getters.  Asking for another type, or for a setting of the other program, is a bug and aborts.
 * Texts live as long as the configuration; one that is not set is "". */
const char *pst_conf_text(const struct pst_conf *c, enum pst_conf_id id);
int64_t pst_conf_int(const struct pst_conf *c, enum pst_conf_id id); /* INT, DURATION (s), SIZE */
bool pst_conf_bool(const struct pst_conf *c, enum pst_conf_id id);
size_t pst_conf_list_n(const struct pst_conf *c, enum pst_conf_id id);
const char *pst_conf_list_at(const struct pst_conf *c, enum pst_conf_id id, size_t i);

/* Was it given, in the file or by pst_conf_set()? */
bool pst_conf_is_set(const struct pst_conf *c, enum pst_conf_id id);

/* Do both have the same value? */
bool pst_conf_same(const struct pst_conf *a, const struct pst_conf *b, enum pst_conf_id id);

/* The keys, separated by ", ", that differ and want a new start. */
void pst_conf_restart_keys(const struct pst_conf *running, const struct pst_conf *fresh,
                           struct pst_buf *to);

/* A file with every setting, its text and its default, all commented out. */
void pst_conf_write_sample(const struct pst_conf_table *table, struct pst_buf *to);

/* ---- the command line of a program with settings ---- */

enum { PST_CONF_SETS_MAX = 64, PST_CONF_OPTION_CHECK = 'k', PST_CONF_OPTION_SAMPLE = 'S' };

/* Points into argv. */
struct pst_conf_cli {
    const char *path;                    /* --config */
    const char *sets[PST_CONF_SETS_MAX]; /* --set, in their order */
    size_t sets_n;
    bool check, sample;  /* --check-config, --sample-config */
    bool may_be_missing; /* without a file the defaults count */
};

/* Rows for getopt_long(), whose short options are "c:s:". */
#define PST_CONF_CLI_OPTIONS                                                                       \
    {"config", required_argument, NULL, 'c'}, {"set", required_argument, NULL, 's'},               \
        {"check-config", no_argument, NULL, PST_CONF_OPTION_CHECK},                                \
    {                                                                                              \
        "sample-config", no_argument, NULL, PST_CONF_OPTION_SAMPLE                                 \
    }

/* What getopt_long() gave.  PST_OK; PST_NOTFOUND: the option is the program's own; PST_REFUSED: one
 * --set too many. */
int pst_conf_cli_take(struct pst_conf_cli *cli, int option, const char *arg);

/* The file, then each --set over it, at the start and at a reload.  As pst_conf_load(). */
int pst_conf_cli_load(struct pst_conf **ret, const struct pst_conf_cli *cli,
                      const struct pst_conf_table *table, struct pst_err *err);

/* pst_conf_write_sample() to stdout.  PST_OK or PST_ESYS. */
int pst_conf_print_sample(const struct pst_conf_table *table);

/* The items of an mdoc list (between .Bl -tag and .El) for postern.conf(5). */
void pst_conf_write_man(const struct pst_conf_table *table, struct pst_buf *to);

#endif
