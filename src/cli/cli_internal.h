/* cli_internal.h - what the files of cli/ share. */
#ifndef POSTERN_CLI_INTERNAL_H
#define POSTERN_CLI_INTERNAL_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include <postern/base.h>
#include <postern/cli.h>
#include <postern/http.h>
#include <postern/json.h>

enum { CLI_ARGS_MAX = 80, CLI_URL_MAX = 2048, CLI_PATH_MAX = 4096 };

/* ---- the tables ---- */

enum cli_flag {
    FLAG_APP,
    FLAG_JSON,
    FLAG_REGION,
    FLAG_URL,
    FLAG_HELP,
    FLAG_API_TOKEN,
    FLAG_FORCE,
    FLAG_ROLE,
    FLAG_USER,
    FLAG_READ_ONLY,
    FLAG_WAIT,
    FLAG_TIMEOUT,
    FLAG_NO_LETSENCRYPT,
    FLAG_CANONICAL,
    FLAG_LIMIT,
    FLAG_ENABLE,
    FLAG_DISABLE,
    FLAG_EVENTS,
    FLAG_LETSENCRYPT,
    FLAG_CERT,
    FLAG_KEY,
    FLAG_PASSPHRASE,
    FLAG_DOMAIN,
    FLAG_ROOTS,
    FLAG_AT,
    FLAG_KEY_TYPE,
    FLAG_COUNTRY,
    FLAG_STATE,
    FLAG_LOCALITY,
    FLAG_ORGANIZATION,
    FLAG_UNIT,
    FLAG_COMMON_NAME,
    FLAG_EMAIL,
    FLAG_DRY_RUN,
    FLAG_RESUME,
    FLAG_OUTPUT,
    FLAG_SKIP_PROOF,
    FLAG_FOLLOW,
    FLAG__COUNT
};
/* A set of flags. */
typedef uint64_t cli_flag_set;
_Static_assert(FLAG__COUNT <= 64, "a set of flags has 64 bits");
#define CLI_BIT(i) (UINT64_C(1) << (i))
#define BIT(flag)  CLI_BIT(FLAG_##flag)

struct cli_flag_row {
    const char *name;  /* without dashes */
    char letter;       /* or 0 */
    const char *value; /* what to call its value; NULL: takes none */
    const char *env;   /* variable with the default; NULL: none */
    const char *text;
};
extern const struct cli_flag_row cli_flags[FLAG__COUNT];
/* Those that every command takes. */
extern const cli_flag_set cli_common_flags;

struct cli;
typedef int cli_run(struct cli *c);

struct cli_command {
    const char *name;
    const char *args; /* "NAME", "ADDRESS...", "" */
    int args_min, args_max;
    cli_flag_set flags; /* besides the common ones */
    bool app;           /* works on an app: --app or POSTERN_APP is needed */
    cli_run *run;
    const char *text;   /* one line */
    const char *detail; /* more, or NULL */
};
extern const struct cli_command cli_commands[];
extern const size_t cli_commands_n;
const struct cli_command *cli_command_find(const char *name);

cli_run cli_login, cli_logout, cli_self, cli_regions;
cli_run cli_apps, cli_create, cli_apps_info, cli_destroy, cli_force_https;
cli_run cli_env, cli_env_get, cli_env_set, cli_env_unset;
cli_run cli_rename, cli_restart, cli_sticky_session, cli_router_logs, cli_domains_retry;
cli_run cli_tokens, cli_tokens_create, cli_tokens_renew, cli_tokens_revoke;
cli_run cli_users, cli_users_add, cli_users_remove, cli_ledger, cli_cas;
cli_run cli_upstreams, cli_upstreams_set, cli_upstreams_drain;
cli_run cli_domains, cli_domains_add, cli_domains_remove, cli_domains_explain, cli_domains_proof,
    cli_set_canonical, cli_unset_canonical;
cli_run cli_domains_import, cli_domains_export, cli_imports, cli_imports_cancel,
    cli_imports_refused;
cli_run cli_domains_ssl, cli_csr, cli_csrs, cli_csr_remove;
cli_run cli_bundles, cli_bundles_remove;
cli_run cli_certs_check, cli_certs_show, cli_certs_convert;
cli_run cli_platform, cli_events, cli_edges, cli_edges_remove, cli_edges_enrol_token;
cli_run cli_webhooks, cli_webhooks_add, cli_webhooks_remove, cli_webhooks_ping;
cli_run cli_dns_providers;
cli_run cli_version, cli_help, cli_completion, cli_mdoc;

/* ---- a run of the program ---- */

struct cli {
    const struct cli_command *command;
    const char *args[CLI_ARGS_MAX];
    int args_n;
    const char *flags[FLAG__COUNT]; /* the value, "" for one without; NULL: not given */
    const char *app;
    bool json; /* print what the server says */
    bool tty;  /* stdout is a terminal */

    char url[CLI_URL_MAX]; /* of the server, without a final slash */
    char socket[108];      /* path of a Unix socket, or "" */
    struct pst_http *http;
    struct pst_secret session; /* bearer */
    int64_t session_ms;        /* monotonic: since when */
};

/* Complain on stderr: "postern: <text>".  Returns `status`. */
int cli_fail(int status, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* Fill command, args and flags.  PST_EXIT_OK, or a usage error that was told. */
int cli_parse(struct cli *c, int argc, char **argv);

void cli_print_help(FILE *to, const struct cli_command *command); /* NULL: of the program */

/* ---- the server ---- */

struct cli_answer {
    int status;
    struct pst_json *json; /* NULL: no body */
};
void cli_answer_deinit(struct cli_answer *a);
#define auto_answer __attribute__((cleanup(cli_answer_deinit)))

/*
 * Ask the server, logging in first when that has not been done.  `path` is made with printf;
 * parts from outside go through cli_encode().  `body` may be NULL.
 *
 * PST_EXIT_OK: a 2xx answer is in `a`.  Otherwise what went wrong was told on stderr.
 */
int cli_ask(struct cli *c, const char *method, const struct pst_json *body, struct cli_answer *a,
            const char *fmt, ...) __attribute__((format(printf, 5, 6)));
/* Tell what a refusal says.  PST_EXIT_OK when it is none. */
int cli_judge(const struct cli *c, const struct cli_answer *a);

/* An exchange of lines, or one that is tried again by its caller. */
struct cli_call {
    const char *method;
    const void *body; /* lines of JSON, NULL: none */
    size_t body_len;
    const atomic_bool *cancel; /* NULL: cannot be ended early */
    struct pst_buf *ret;       /* the text of a 2xx answer goes here; NULL: it is JSON */
    char next[CLI_PATH_MAX];   /* path of the page that its Link field leads to; "": none */
    char why[400];             /* with PST_EXIT_UNREACHED: why, which was not told */
};
/* PST_EXIT_OK: the server answered, with any status.  PST_EXIT_UNREACHED; others were told. */
int cli_call(struct cli *c, struct cli_call *call, struct cli_answer *a, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));

/* The same without a session: only GET. */
int cli_ask_anonymous(struct cli *c, const char *path, struct cli_answer *a);
/* Exchange an API token for a session. */
int cli_exchange(struct cli *c, const struct pst_secret *token);
/* Where the server is: --url, POSTERN_URL, the last login, the default. */
int cli_find_server(struct cli *c);
/* Percent-encode a part of a path. */
const char *cli_encode(char *to, size_t to_size, const char *text);

/* ---- certificates of the customer's own ---- */

enum { CLI_UPLOAD_MAX = 1024 * 1024 };

/* The value of a flag; NULL when it was not given, or is empty. */
const char *cli_given(const struct cli *c, enum cli_flag flag);
/* --passphrase, or POSTERN_PASSPHRASE, which other users of the machine cannot see; or NULL. */
const char *cli_passphrase(const struct cli *c);
/* A file with a certificate or key.  An exit status. */
int cli_read_upload(const char *path, struct pst_buf *to);
/* Put the files (NULL: none) and the passphrase into a request's object.  An exit status. */
int cli_add_upload(struct cli *c, const char *cert, const char *key, struct pst_json *to);
/* Print the findings of an accepted upload on stderr. */
void cli_tell_findings(const struct pst_json *answer);

/* ---- stored logins ---- */

/* The token for this URL: POSTERN_TOKEN, else the stored login.  PST_OK, PST_NOTFOUND, negative. */
int cli_creds_token(const char *url, struct pst_secret *ret, struct pst_err *err);
/* The URL of the last login.  PST_OK, PST_NOTFOUND, negative. */
int cli_creds_url(char *to, size_t to_size, struct pst_err *err);
int cli_creds_store(const char *url, const struct pst_secret *token, const char *username,
                    struct pst_err *err);
/* PST_OK, PST_NOTFOUND (was not logged in), negative. */
int cli_creds_remove(const char *url, struct pst_err *err);

/* ---- output ---- */

/* Columns of a terminal that a UTF-8 text takes. */
size_t cli_width(const char *text);
/* Append without anything that could command a terminal: controls become U+FFFD. */
void cli_clean(struct pst_buf *to, const char *text);
/* Print one line that way. */
void cli_line(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

/*
 * A table.  On a terminal with a heading and aligned; elsewhere one line a row, columns separated
 * by tabs, no heading.
 */
struct cli_table;
int cli_table_new(struct cli_table **ret, const char *const *heads, size_t n, struct pst_err *err);
void cli_table_free(struct cli_table *t);
PST_CLEANUP(struct cli_table, cli_table_free);
/* A NULL cell is empty ("-").  Failures are kept for cli_table_print(). */
void cli_table_add(struct cli_table *t, const char *const *cells);
int cli_table_print(const struct cli_table *t, bool tty, FILE *to, struct pst_err *err);

/* A table of the objects in a list: a column for each member named. */
struct cli_column {
    const char *head, *key;
    enum { CLI_PLAIN, CLI_TIME, CLI_YES_NO } form;
};
/* Prints it; an exit status. */
int cli_list(const struct cli *c, const struct pst_json *list, const struct cli_column *columns,
             size_t n);
/* A member that is a text; "-" when it is not there. */
const char *cli_text(const struct pst_json *obj, const char *key);

/* With --json: print the answer and say true.  Otherwise the caller prints for people. */
bool cli_print_json(const struct cli *c, const struct pst_json *json);

/* "2026-11-20 15:00:45 UTC" of an RFC 3339 text; "-" for NULL. */
enum { CLI_TIME_SIZE = 32 };
const char *cli_time(char to[CLI_TIME_SIZE], const char *rfc3339);
/* "in 45 s", "2 min ago", "now". */
const char *cli_relative(char to[CLI_TIME_SIZE], int64_t at_ms, int64_t now_ms);

/* The human text of an explanation; pure but for writing to `to`. */
void cli_explain_text(struct pst_buf *to, const struct pst_json *explanation);

#endif
