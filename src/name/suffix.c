/* suffix.c - the public suffix list, loaded once. */
#include <libpsl.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include <postern/err.h>
#include <postern/text.h>

#include "name_internal.h"

static const psl_ctx_t *list;
static char info[256];

static void load(void)
{
    const char *path = psl_dist_filename();
    int64_t built_in_at = psl_builtin_file_time();
    int64_t at = built_in_at;
    struct stat st;
    char date[PST_TIME_SIZE];

    /* The file of the distribution is taken unless the library knows a newer list. */
    if (path && *path && stat(path, &st) == 0 && st.st_mtime >= built_in_at)
        list = psl_load_file(path);
    if (list) {
        at = st.st_mtime;
    } else {
        list = psl_builtin();
        path = "built into libpsl";
    }
    pst_require(list != NULL); /* only a libpsl that was built without a list */

    pst_time_format(date, at * 1000);
    snprintf(info, sizeof info, "public suffix list of %.10s (%.200s)", date, path);
}

static const psl_ctx_t *suffixes(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;

    pthread_once(&once, load);
    return list;
}

const char *pst_name_psl_info(void)
{
    suffixes();
    return info;
}

bool pst_name_tld_known(const char *name)
{
    const char *dot = strrchr(name, '.');
    const char *tld = dot ? dot + 1 : name;

    /* On the list, but not in the DNS (RFC 7686). */
    if (strcmp(tld, "onion") == 0)
        return false;
    return psl_is_public_suffix2(suffixes(), tld, PSL_TYPE_ICANN | PSL_TYPE_NO_STAR_RULE);
}

bool pst_name_is_icann_suffix(const char *name)
{
    return psl_is_public_suffix2(suffixes(), name, PSL_TYPE_ICANN | PSL_TYPE_NO_STAR_RULE);
}

const char *pst_name_registered_part(const char *name)
{
    const char *part = psl_registrable_domain(suffixes(), name);

    return part ? part : name;
}
