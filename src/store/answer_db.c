/*
 * answer_db.c - TXT values that our own name servers give.
 *
 * The version is counted up at the end of the transaction, before the feed's revision: nobody waits
 * for its row longer than a COMMIT takes, and always in this order.
 */
#include "store_internal.h"

#include <string.h>

enum { PUT, OTHERS, DELETE, SWEEP, EACH, VERSION, BUMP };

static const struct pst_stmt stmts[] = {
    [PUT] = {.name = "answer.put",
             .sql = "INSERT INTO dns_answers (label, value, until_ms) VALUES ($1, $2, $3) "
                    "ON CONFLICT (label, value) DO UPDATE SET until_ms = excluded.until_ms "
                    "WHERE dns_answers.until_ms < excluded.until_ms",
             .args = "tti",
             .cols = ""},
    [OTHERS] = {.name = "answer.others",
                .sql = "SELECT count(*) FROM dns_answers WHERE label = $1 AND value <> $2",
                .args = "tt",
                .cols = "i"},
    [DELETE] = {.name = "answer.delete",
                .sql = "DELETE FROM dns_answers WHERE label = $1 AND value = $2",
                .args = "tt",
                .cols = ""},
    [SWEEP] = {.name = "answer.sweep",
               .sql = "DELETE FROM dns_answers WHERE until_ms <= $1",
               .args = "i",
               .cols = ""},
    [EACH] = {.name = "answer.each",
              .sql = "SELECT label, value, until_ms FROM dns_answers ORDER BY label, value",
              .args = "",
              .cols = "tti"},
    [VERSION] = {.name = "answer.version",
                 .sql = "SELECT version FROM dns_answers_version WHERE id = 1",
                 .args = "",
                 .cols = "i"},
    [BUMP] = {.name = "answer.bump",
              .sql = "UPDATE dns_answers_version SET version = version + 1 WHERE id = 1",
              .args = "",
              .cols = ""},
};
PST_STORE_SQL(answer);

static const char label_bytes[] = "abcdefghijklmnopqrstuvwxyz0123456789-_";

static int check_label(const char *label, struct pst_err *err)
{
    size_t len = strlen(label);

    if (len == 0 || len >= PST_DNS_LABEL_SIZE || strspn(label, label_bytes) != len)
        return pst_fail(err, PST_EINPUT,
                        "\"%.80s\" is not a label: 1 to 63 lower-case letters, digits, - and _",
                        label);
    return PST_OK;
}

static int check_value(const char *value, struct pst_err *err)
{
    size_t len = strlen(value);

    for (size_t i = 0; i < len; i++)
        if (value[i] < 0x20 || value[i] > 0x7e)
            return pst_fail(err, PST_EINPUT, "a TXT value has only printable ASCII characters");
    if (len == 0 || len >= PST_DNS_VALUE_SIZE)
        return pst_fail(err, PST_EINPUT, "a TXT value has 1 to 255 characters, not %zu", len);
    return PST_OK;
}

/* PST_DONE of a statement: there was nothing to change. */
static int changed(struct pst_tx *tx, int rc)
{
    if (rc == PST_OK)
        tx->answers = true;
    return rc == PST_DONE ? PST_OK : rc;
}

int pst_dns_answer_put(struct pst_tx *tx, const char *label, const char *value, int64_t until_ms,
                       struct pst_err *err)
{
    int64_t others = 0;

    int rc = check_label(label, err);
    if (rc == PST_OK)
        rc = check_value(value, err);
    if (rc == PST_OK)
        rc = pst_number(tx, &stmts[OTHERS], &others, err, pst_t(label), pst_t(value));
    if (rc != PST_OK)
        return rc;
    if (others >= PST_DNS_VALUES_MAX)
        return pst_fail(err, PST_CONFLICT, "%s has %d values already", label, PST_DNS_VALUES_MAX);
    return changed(tx, pst_change(tx, &stmts[PUT], PST_DONE, err, pst_t(label), pst_t(value),
                                  pst_i(until_ms)));
}

int pst_dns_answer_delete(struct pst_tx *tx, const char *label, const char *value,
                          struct pst_err *err)
{
    return changed(tx, pst_change(tx, &stmts[DELETE], PST_DONE, err, pst_t(label), pst_t(value)));
}

int pst_dns_answer_sweep(struct pst_tx *tx, int64_t now_ms, struct pst_err *err)
{
    return changed(tx, pst_change(tx, &stmts[SWEEP], PST_DONE, err, pst_i(now_ms)));
}

int pst_dns_answer_each(struct pst_tx *tx, int (*fn)(const struct pst_dns_answer *a, void *arg),
                        void *arg, struct pst_err *err)
{
    auto_(pst_rows_free) struct pst_rows *rows = NULL;

    int rc = pst_db_query(tx->db, &stmts[EACH], &rows, err);
    while (rc == PST_OK && pst_rows_next(rows)) {
        struct pst_reader r = {.rows = rows, .err = err};
        struct pst_dns_answer a;

        pst_read_text(&r, a.label);
        pst_read_text(&r, a.value);
        a.until_ms = pst_read_i(&r);
        rc = pst_reader_end(&r, "a DNS answer");
        if (rc == PST_OK)
            rc = fn(&a, arg);
    }
    return rc;
}

int pst_dns_answers_version(struct pst_tx *tx, int64_t *ret, struct pst_err *err)
{
    int rc = pst_number(tx, &stmts[VERSION], ret, err);
    return rc == PST_NOTFOUND
               ? pst_fail(err, PST_EDB, "the database has lost the row of its DNS answers")
               : rc;
}

int pst_answers_flush(struct pst_tx *tx, struct pst_err *err)
{
    return tx->answers ? pst_db_exec(tx->db, &stmts[BUMP], NULL, err) : PST_OK;
}
