/* conf_cli.c - the options that every program with settings has. */
#include "conf_internal.h"

#include <stdio.h>
#include <string.h>

#include <postern/base.h>

int pst_conf_cli_take(struct pst_conf_cli *cli, int option, const char *arg)
{
    switch (option) {
    case 'c':
        cli->path = arg;
        return PST_OK;
    case 's':
        if (cli->sets_n == PST_CONF_SETS_MAX)
            return PST_REFUSED;
        cli->sets[cli->sets_n++] = arg;
        return PST_OK;
    case PST_CONF_OPTION_CHECK:
        cli->check = true;
        return PST_OK;
    case PST_CONF_OPTION_SAMPLE:
        cli->sample = true;
        return PST_OK;
    }
    return PST_NOTFOUND;
}

static int apply_set(struct pst_conf *c, const char *set, struct pst_err *err)
{
    char key[128];
    const char *eq = strchr(set, '=');

    if (!eq || (size_t)(eq - set) >= sizeof key)
        return pst_fail(err, PST_ECONFIG, "--set wants KEY=VALUE, not \"%s\"", set);
    memcpy(key, set, (size_t)(eq - set));
    key[eq - set] = '\0';
    return pst_conf_set(c, key, eq + 1, err);
}

static bool is_missing(const char *path)
{
    auto_buf_wipe struct pst_buf data = PST_BUF(1);
    struct pst_err err = {0};

    return pst_io_read_file(path, &data, &err) == PST_NOTFOUND;
}

int pst_conf_cli_load(struct pst_conf **ret, const struct pst_conf_cli *cli,
                      const struct pst_conf_table *table, struct pst_err *err)
{
    auto_(pst_conf_free) struct pst_conf *c = NULL;
    bool defaults = cli->may_be_missing && is_missing(cli->path);

    int rc =
        defaults ? pst_conf_new_default(&c, table, err) : pst_conf_load(&c, cli->path, table, err);
    for (size_t i = 0; i < cli->sets_n && rc == PST_OK; i++)
        rc = apply_set(c, cli->sets[i], err);
    if (rc == PST_OK)
        *ret = pst_take(&c);
    return rc;
}

int pst_conf_print_sample(const struct pst_conf_table *table)
{
    auto_buf struct pst_buf b = PST_BUF(256 * 1024);

    pst_conf_write_sample(table, &b);
    return b.len && fputs(pst_buf_cstr(&b), stdout) >= 0 ? PST_OK : PST_ESYS;
}
