/* platform_db.c - platform names (<app>.<region>.<platform domain>), the default ladder, and the
 * platform's own domain. */
#include "store_internal.h"

#include <stdio.h>
#include <string.h>

enum {
    NAME_OF,
    NAME_DROP,
    NAMES_ALL,
    NAMES_DROP,
    NAME_PUT,
    APPS,
    APP_NAMES,
    LADDER_GET,
    LADDER_SET,
    LADDER_DOMAIN,
};

static const struct pst_stmt stmts[] = {
    [NAME_OF] = {.name = "platform.name-of",
                 .sql = "SELECT ascii FROM platform_names WHERE app_id = $1",
                 .args = "t",
                 .cols = "t"},
    [NAME_DROP] = {.name = "platform.name-drop",
                   .sql = "DELETE FROM platform_names WHERE app_id = $1",
                   .args = "t",
                   .cols = ""},
    [NAMES_ALL] = {.name = "platform.names-all",
                   .sql = "SELECT ascii FROM platform_names",
                   .args = "",
                   .cols = "t"},
    [NAMES_DROP] = {.name = "platform.names-drop",
                    .sql = "DELETE FROM platform_names",
                    .args = "",
                    .cols = ""},
    [NAME_PUT] = {.name = "platform.name-put",
                  .sql = "INSERT INTO platform_names (ascii, app_id) SELECT $1, $2 "
                         "WHERE NOT EXISTS (SELECT 1 FROM domains WHERE ascii = $1) "
                         "ON CONFLICT DO NOTHING",
                  .args = "tt",
                  .cols = ""},
    [APPS] = {.name = "platform.apps",
              .sql = "SELECT id, name FROM apps WHERE name <> '" PST_PLATFORM_APP "'",
              .args = "",
              .cols = "tt"},
    [APP_NAMES] = {.name = "platform.app-names",
                   .sql = "SELECT ascii FROM domains WHERE app_id = $1 "
                          "UNION ALL SELECT ascii FROM platform_names WHERE app_id = $1",
                   .args = "t",
                   .cols = "t"},
    [LADDER_GET] = {.name = "platform.ladder-get",
                    .sql = "SELECT l.files_cert, coalesce(d.acme_cert * d.acme_enabled, 0), "
                           "l.local_cert, l.domain_id FROM default_ladder l "
                           "LEFT JOIN domains d ON d.id = l.domain_id WHERE l.id = 1",
                    .args = "",
                    .cols = "iiit"},
    [LADDER_SET] = {.name = "platform.ladder-set",
                    .sql = "INSERT INTO default_ladder (id, files_cert, local_cert) "
                           "VALUES (1, $1, $2) ON CONFLICT (id) DO UPDATE SET "
                           "files_cert = excluded.files_cert, local_cert = excluded.local_cert",
                    .args = "ii",
                    .cols = ""},
    [LADDER_DOMAIN] = {.name = "platform.ladder-domain",
                       .sql = "INSERT INTO default_ladder (id, files_cert, local_cert, domain_id) "
                              "VALUES (1, 0, 0, $1) ON CONFLICT (id) DO UPDATE SET "
                              "domain_id = excluded.domain_id",
                       .args = "t",
                       .cols = ""},
};
PST_STORE_SQL(platform);

/* ---- names ---- */

static int get_part(struct pst_tx *tx, const char *key, char *to, size_t size, struct pst_err *err)
{
    auto_buf struct pst_buf value = PST_BUF(size - 1);

    int rc = pst_meta_get(tx, key, &value, err);
    if (rc == PST_OK || rc == PST_NOTFOUND)
        pst_str_copy(to, size, rc == PST_OK ? pst_buf_cstr(&value) : "");
    return rc == PST_NOTFOUND ? PST_OK : rc;
}

int pst_platform_get(struct pst_tx *tx, char ret_domain[PST_NAME_SIZE],
                     char ret_region[PST_WORD_SIZE], struct pst_err *err)
{
    int rc = get_part(tx, "platform_domain", ret_domain, PST_NAME_SIZE, err);
    return rc == PST_OK ? get_part(tx, "platform_region", ret_region, PST_WORD_SIZE, err) : rc;
}

/* PST_OK; PST_NOTFOUND: platform names are off; PST_EINPUT: it would be too long. */
static int make_name(const char *app, const char *region, const char *domain,
                     char to[PST_NAME_SIZE], struct pst_err *err)
{
    if (!*domain)
        return PST_NOTFOUND;
    int n = snprintf(to, PST_NAME_SIZE, "%s.%s%s%s", app, region, *region ? "." : "", domain);
    if (n < 0 || n >= PST_NAME_SIZE)
        return pst_fail(err, PST_EINPUT, "the platform name of the app %.48s is longer than 253",
                        app);
    return PST_OK;
}

static int touch_all(struct pst_tx *tx, struct pst_rows *rows, bool deleted, struct pst_err *err)
{
    int rc = PST_OK;

    while (rc == PST_OK && pst_rows_next(rows))
        rc = pst_touch(tx, "name", pst_col_t(rows, 0), deleted, err);
    return rc;
}

static int drop_name(struct pst_tx *tx, const char *app_id, struct pst_err *err)
{
    auto_(pst_rows_free) struct pst_rows *rows = NULL;

    int rc = pst_db_query(tx->db, &stmts[NAME_OF], &rows, err, pst_t(app_id));
    if (rc == PST_OK)
        rc = touch_all(tx, rows, true, err);
    if (rc == PST_OK)
        rc = pst_db_exec(tx->db, &stmts[NAME_DROP], NULL, err, pst_t(app_id));
    return rc;
}

int pst_platform_name_set(struct pst_tx *tx, const char *app_id, const char *app_name,
                          struct pst_err *err)
{
    char domain[PST_NAME_SIZE], region[PST_WORD_SIZE], name[PST_NAME_SIZE];

    int rc = drop_name(tx, app_id, err);
    if (rc != PST_OK || !app_name || pst_streq(app_name, PST_PLATFORM_APP))
        return rc;
    rc = pst_platform_get(tx, domain, region, err);
    if (rc == PST_OK)
        rc = make_name(app_name, region, domain, name, err);
    if (rc == PST_NOTFOUND)
        return PST_OK;
    if (rc == PST_OK)
        rc = pst_change(tx, &stmts[NAME_PUT], PST_CONFLICT, err, pst_t(name), pst_t(app_id));
    return rc == PST_OK ? pst_touch(tx, "name", name, false, err) : rc;
}

static int make_all(struct pst_tx *tx, const char *domain, const char *region, struct pst_err *err)
{
    auto_(pst_rows_free) struct pst_rows *rows = NULL;
    char name[PST_NAME_SIZE];

    int rc = pst_db_query(tx->db, &stmts[APPS], &rows, err);
    while (rc == PST_OK && pst_rows_next(rows)) {
        rc = make_name(pst_col_t(rows, 1), region, domain, name, err);
        if (rc == PST_OK)
            rc = pst_change(tx, &stmts[NAME_PUT], PST_CONFLICT, err, pst_t(name),
                            pst_t(pst_col_t(rows, 0)));
        if (rc == PST_CONFLICT) {
            pst_log_warn("store", "a domain has the platform name of an app",
                         pst_kv_s("name", name));
            rc = PST_OK;
        } else if (rc == PST_OK) {
            rc = pst_touch(tx, "name", name, false, err);
        }
    }
    return rc == PST_NOTFOUND ? PST_OK : rc;
}

int pst_platform_set(struct pst_tx *tx, const char *domain, const char *region, struct pst_err *err)
{
    auto_(pst_rows_free) struct pst_rows *rows = NULL;
    char old_domain[PST_NAME_SIZE], old_region[PST_WORD_SIZE];

    int rc = pst_platform_get(tx, old_domain, old_region, err);
    if (rc != PST_OK || (pst_streq(domain, old_domain) && pst_streq(region, old_region)))
        return rc;
    rc = pst_meta_set(tx, "platform_domain", domain, err);
    if (rc == PST_OK)
        rc = pst_meta_set(tx, "platform_region", region, err);
    if (rc == PST_OK)
        rc = pst_db_query(tx->db, &stmts[NAMES_ALL], &rows, err);
    if (rc == PST_OK)
        rc = touch_all(tx, rows, true, err);
    if (rc == PST_OK)
        rc = pst_db_exec(tx->db, &stmts[NAMES_DROP], NULL, err);
    return rc == PST_OK ? make_all(tx, domain, region, err) : rc;
}

int pst_touch_app_names(struct pst_tx *tx, const char *app_id, struct pst_err *err)
{
    auto_(pst_rows_free) struct pst_rows *rows = NULL;

    int rc = pst_db_query(tx->db, &stmts[APP_NAMES], &rows, err, pst_t(app_id));
    return rc == PST_OK ? touch_all(tx, rows, false, err) : rc;
}

/* ---- the default ladder ---- */

int pst_default_ladder_get(struct pst_tx *tx, struct pst_default_ladder *ret, struct pst_err *err)
{
    auto_(pst_rows_free) struct pst_rows *rows = NULL;

    *ret = (struct pst_default_ladder){0};
    int rc = pst_one(tx, &stmts[LADDER_GET], &rows, err);
    if (rc != PST_OK)
        return rc < 0 ? rc : PST_OK;

    struct pst_reader r = {.rows = rows, .err = err};
    for (int i = 0; i < PST_DEFAULT_STEPS; i++)
        ret->certs[i] = pst_read_i(&r);
    pst_read_text(&r, ret->domain_id);
    return pst_reader_end(&r, "the default ladder");
}

int pst_default_ladder_set(struct pst_tx *tx, int64_t files_cert, int64_t local_cert,
                           struct pst_err *err)
{
    struct pst_default_ladder old;

    int rc = pst_default_ladder_get(tx, &old, err);
    if (rc != PST_OK)
        return rc;
    int64_t files = old.certs[PST_DEFAULT_FILES], local = old.certs[PST_DEFAULT_LOCAL];
    if (files == files_cert && local == local_cert)
        return PST_OK;
    rc = pst_db_exec(tx->db, &stmts[LADDER_SET], NULL, err, pst_i(files_cert), pst_i(local_cert));
    if (rc == PST_OK && files != files_cert)
        rc = pst_certificate_loose(tx, files, err);
    if (rc == PST_OK && local != local_cert)
        rc = pst_certificate_loose(tx, local, err);
    return rc == PST_OK ? pst_touch(tx, "meta", "default", false, err) : rc;
}

int pst_platform_has_domain(struct pst_tx *tx, const char *domain_id, bool *ret,
                            struct pst_err *err)
{
    struct pst_default_ladder l;

    int rc = pst_default_ladder_get(tx, &l, err);
    if (rc == PST_OK)
        *ret = pst_streq(l.domain_id, domain_id);
    return rc;
}

/* ---- the platform's own domain ---- */

/* The user stays: the label of a delegation is made with its id, and the CNAME to it is for good.
 */
static int drop_app(struct pst_tx *tx, const struct pst_app *app, struct pst_err *err)
{
    int rc = pst_app_delete(tx, app->id, err);

    if (rc == PST_OK)
        rc = pst_db_exec(tx->db, &stmts[LADDER_DOMAIN], NULL, err, pst_t(""));
    return rc > 0 ? pst_unexpected(err, rc, "the platform's own domain") : rc;
}

static int make_app(struct pst_tx *tx, struct pst_app *ret, struct pst_err *err)
{
    struct pst_user u = {.username = PST_PLATFORM_APP, .fullname = "The platform itself"};

    u.role = PST_ROLE_TENANT;
    *ret = (struct pst_app){.name = PST_PLATFORM_APP};
    int rc = pst_user_by_name(tx, u.username, &u, err);
    if (rc == PST_NOTFOUND)
        rc = pst_user_insert(tx, &u, err);
    if (rc == PST_OK) {
        memcpy(ret->user_id, u.id, sizeof ret->user_id);
        rc = pst_app_insert(tx, ret, err);
    }
    return rc > 0 ? pst_unexpected(err, rc, "the app of the platform's own domain") : rc;
}

static int make_domain(struct pst_tx *tx, const char *ascii, struct pst_domain *ret,
                       struct pst_err *err)
{
    struct pst_app app;

    *ret = (struct pst_domain){.wildcard = true, .acme_enabled = true};
    int rc = make_app(tx, &app, err);
    if (rc != PST_OK)
        return rc;
    memcpy(ret->app_id, app.id, sizeof ret->app_id);
    memcpy(ret->user_id, app.user_id, sizeof ret->user_id);
    pst_str_copy(ret->ascii, sizeof ret->ascii, ascii);
    pst_str_copy(ret->name, sizeof ret->name, ascii);
    ret->phase = PST_PHASE_MANUAL;
    pst_record_new(tx, ret->id, NULL);
    /* First, so that the edges never hear of it as of a name. */
    rc = pst_db_exec(tx->db, &stmts[LADDER_DOMAIN], NULL, err, pst_t(ret->id));
    if (rc == PST_OK)
        rc = pst_domain_insert(tx, ret, err);
    return rc == PST_CONFLICT
               ? pst_fail(err, PST_ECONFIG, "%s is a domain of an app: remove it there", ascii)
               : rc;
}

int pst_platform_domain_set(struct pst_tx *tx, const char *ascii, struct pst_domain *ret,
                            struct pst_err *err)
{
    struct pst_default_ladder l;
    struct pst_domain d = {0};
    struct pst_app app;

    int rc = pst_app_find(tx, NULL, PST_PLATFORM_APP, &app, err);
    if (rc < 0)
        return rc;
    bool there = rc == PST_OK;
    rc = pst_default_ladder_get(tx, &l, err);
    if (rc == PST_OK && l.domain_id[0])
        rc = pst_domain_get(tx, l.domain_id, &d, err);
    if (rc < 0)
        return rc;
    if (rc == PST_OK && ascii && pst_streq(d.ascii, ascii)) {
        *ret = d;
        return PST_DONE;
    }
    if (!there && !ascii)
        return PST_DONE;
    rc = there ? drop_app(tx, &app, err) : PST_OK;
    return rc == PST_OK && ascii ? make_domain(tx, ascii, ret, err) : rc;
}
