/* conf_doc.c - the sample file and the manual page, from the table. */
#include <string.h>

#include <postern/buf.h>

#include "conf_internal.h"

enum { WIDTH = 78 };

/* Words in comment lines of at most WIDTH. */
static void write_comment(const char *text, struct pst_buf *to)
{
    size_t column = 1;

    pst_buf_char(to, '#');
    while (*text) {
        size_t n = strcspn(text, " ");

        if (column > 1 && column + 1 + n > WIDTH) {
            pst_buf_str(to, "\n#");
            column = 1;
        }
        pst_buf_char(to, ' ');
        pst_buf_add(to, text, n);
        column += 1 + n;
        text += n;
        text += strspn(text, " ");
    }
    pst_buf_char(to, '\n');
}

static size_t section_len(const char *key)
{
    return strcspn(key, ".");
}

void pst_conf_write_sample(const struct pst_conf_table *table, struct pst_buf *to)
{
    pst_buf_printf(to,
                   "# Settings of %s.  Those that are commented out show their default;\n"
                   "# postern.conf(5) describes them all.\n",
                   table->program);
    for (size_t i = 0; i < PST_CONF_ID__COUNT; i++) {
        const struct pst_conf_key *key = pst_conf_key((enum pst_conf_id)i);

        if (!(key->programs & table->bit))
            continue;
        pst_buf_char(to, '\n');
        write_comment(key->text, to);
        pst_buf_printf(to, "#%s =%s%s\n", key->key, *key->value ? " " : "", key->value);
    }
}

/* Text as mdoc wants it: nothing that roff would take for a command. */
static void write_roff(const char *text, struct pst_buf *to)
{
    if (*text == '.' || *text == '\'')
        pst_buf_str(to, "\\&");
    for (; *text; text++) {
        if (*text == '\\')
            pst_buf_str(to, "\\e");
        else if (*text == '"')
            pst_buf_str(to, "\\(dq");
        else
            pst_buf_char(to, *text);
        /* A new sentence begins on a new line. */
        if (*text == '.' && text[1] == ' ' && text[2] >= 'A' && text[2] <= 'Z') {
            pst_buf_char(to, '\n');
            text++;
        }
    }
    pst_buf_char(to, '\n');
}

static void write_item(const struct pst_conf_key *key, struct pst_buf *to)
{
    pst_buf_printf(to, ".It Ic %s No = Ar \"", key->key);
    pst_conf_form_name(key, to);
    pst_buf_str(to, "\"\n");
    write_roff(key->text, to);
    if (*key->value)
        pst_buf_printf(to, "Default:\n.Ql %s .\n", key->value);
    if (key->reload == PST_CONF_RELOAD_RESTART)
        pst_buf_str(to, "A change needs a restart.\n");
}

void pst_conf_write_man(const struct pst_conf_table *table, struct pst_buf *to)
{
    const char *section = "";

    for (size_t i = 0; i < PST_CONF_ID__COUNT; i++) {
        const struct pst_conf_key *key = pst_conf_key((enum pst_conf_id)i);

        if (!(key->programs & table->bit))
            continue;
        size_t len = section_len(key->key);
        if (strncmp(section, key->key, len + 1) != 0) {
            section = key->key;
            pst_buf_printf(to, ".\\\" -- %.*s --\n", (int)len, section);
        }
        write_item(key, to);
    }
}
