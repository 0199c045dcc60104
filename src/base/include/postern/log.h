/*
 * log.h - structured log lines on stderr: key=value for people and journald, or one JSON object.
 *
 *     pst_log_info("order", "step done", pst_kv_s("order", id), pst_kv_i("took_ms", ms));
 *     -> 2026-11-20T15:00:00.000Z info order: step done order=6741... took_ms=12
 *
 * The group is the module's name; levels can be raised for single groups ("info,order=debug").
 * Values are escaped, so that nothing from outside can forge a line; a line is cut at 4 KiB
 * (it then ends in "..." or has "cut":true).
 * Threads: any.  Blocking: one write(2).
 */
#ifndef POSTERN_LOG_H
#define POSTERN_LOG_H

#include <stdbool.h>
#include <stdint.h>

struct pst_err;

enum pst_log_level { PST_LOG_ERROR, PST_LOG_WARN, PST_LOG_INFO, PST_LOG_DEBUG };

enum pst_kv_kind { PST_KV_END, PST_KV_TEXT, PST_KV_INT, PST_KV_BOOL, PST_KV_SECRET };

struct pst_kv {
    enum pst_kv_kind kind;
    const char *key;
    const char *text;
    int64_t num;
};

#define pst_kv_s(k, v)      ((struct pst_kv){PST_KV_TEXT, (k), (v), 0}) /* a NULL prints as - */
#define pst_kv_i(k, v)      ((struct pst_kv){PST_KV_INT, (k), 0, (v)})
#define pst_kv_b(k, v)      ((struct pst_kv){PST_KV_BOOL, (k), 0, (v)})
#define pst_kv_secret(k, v) ((struct pst_kv){PST_KV_SECRET, (k), 0, 0})

#define pst_log(level, group, msg, ...)                                                            \
    pst_log_((level), (group), (msg),                                                              \
             (const struct pst_kv[]){__VA_ARGS__ __VA_OPT__(, ){PST_KV_END, 0, 0, 0}})
#define pst_log_error(group, msg, ...) pst_log(PST_LOG_ERROR, group, msg __VA_OPT__(, ) __VA_ARGS__)
#define pst_log_warn(group, msg, ...)  pst_log(PST_LOG_WARN, group, msg __VA_OPT__(, ) __VA_ARGS__)
#define pst_log_info(group, msg, ...)  pst_log(PST_LOG_INFO, group, msg __VA_OPT__(, ) __VA_ARGS__)
#define pst_log_debug(group, msg, ...) pst_log(PST_LOG_DEBUG, group, msg __VA_OPT__(, ) __VA_ARGS__)
void pst_log_(enum pst_log_level level, const char *group, const char *msg,
              const struct pst_kv *fields);

/* Log a fault: its text, problem, code and origin, after the fields given. */
#define pst_log_err(group, msg, err, ...)                                                          \
    pst_log_err_((group), (msg), (err),                                                            \
                 (const struct pst_kv[]){__VA_ARGS__ __VA_OPT__(, ){PST_KV_END, 0, 0, 0}})
void pst_log_err_(const char *group, const char *msg, const struct pst_err *err,
                  const struct pst_kv *fields);

/* Set levels: "info" or "info,order=debug,acme=debug".  PST_OK or PST_ECONFIG.  Before threads. */
int pst_log_set_levels(const char *spec, struct pst_err *err);
/* Would pst_log_set_levels() take it?  Changes nothing. */
int pst_log_check_levels(const char *spec, struct pst_err *err);
void pst_log_set_json(bool json);
/* Where lines go (2 at first); tests point it elsewhere. */
void pst_log_set_fd(int fd);
bool pst_log_on(enum pst_log_level level, const char *group);

#endif
