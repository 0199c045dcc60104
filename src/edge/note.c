/* note.c - the brake's notes between the daemon and a person. */
#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <unistd.h>

#include "edge_internal.h"

#define BRAKED   "braked"
#define ACCEPTED "accepted"

struct note_json {
    int64_t since, lost, of;
};

static const struct pst_json_field fields[] = {
    PST_JSON_FIELD(struct note_json, since, "since", INT, 0, 0),
    PST_JSON_FIELD(struct note_json, lost, "lost", INT, 0, 0),
    PST_JSON_FIELD(struct note_json, of, "of", INT, 0, 0),
};

static char *path_of(const char *replica_dir, const char *file)
{
    return pst_asprintf("%s/%s", replica_dir, file);
}

int pst_edged_brake_note_write(const char *replica_dir, const struct pst_edged_brake_note *n,
                               struct pst_err *err)
{
    auto_(pst_free) char *path = path_of(replica_dir, BRAKED);
    char text[160];

    if (!path)
        return pst_fail_nomem(err, "a path");
    snprintf(text, sizeof text, "{\"since\":%" PRId64 ",\"lost\":%" PRId64 ",\"of\":%" PRId64 "}\n",
             n->since, n->lost_n, n->of_n);
    return pst_io_write_file(path, text, strlen(text), 0640, err);
}

int pst_edged_brake_note_read(const char *replica_dir, struct pst_edged_brake_note *ret,
                              struct pst_err *err)
{
    auto_(pst_free) char *path = path_of(replica_dir, BRAKED);
    auto_(pst_json_free) struct pst_json *j = NULL;
    auto_buf struct pst_buf b = PST_BUF(1024);
    struct note_json f;

    if (!path)
        return pst_fail_nomem(err, "a path");
    int rc = pst_io_read_file(path, &b, err);
    if (rc == PST_OK)
        rc = pst_json_parse(&j, pst_buf_cstr(&b), b.len, err);
    if (rc == PST_OK)
        rc = pst_json_decode(j, fields, PST_ARRAY_N(fields), &f, PST_JSON_IGNORE, err);
    if (rc == PST_OK)
        *ret = (struct pst_edged_brake_note){f.since, f.lost, f.of};
    return rc;
}

int pst_edged_brake_accept(const char *replica_dir, struct pst_err *err)
{
    auto_(pst_free) char *braked = path_of(replica_dir, BRAKED);
    auto_(pst_free) char *accepted = path_of(replica_dir, ACCEPTED);

    if (!braked || !accepted)
        return pst_fail_nomem(err, "a path");
    if (access(braked, F_OK) < 0)
        return errno == ENOENT ? PST_NOTFOUND : pst_fail_sys(err, "looking at %s", braked);
    return pst_io_write_file(accepted, "", 0, 0640, err);
}

bool pst_edged_brake_accepted(const char *replica_dir)
{
    auto_(pst_free) char *path = path_of(replica_dir, ACCEPTED);

    return path && access(path, F_OK) == 0;
}

void pst_edged_brake_note_clear(const char *replica_dir)
{
    auto_(pst_free) char *braked = path_of(replica_dir, BRAKED);
    auto_(pst_free) char *accepted = path_of(replica_dir, ACCEPTED);

    /* The alarm goes last: an acceptance without it would be for the next one. */
    if (accepted)
        (void)unlink(accepted);
    if (braked)
        (void)unlink(braked);
}
