/* conf_man.c - writes postern.conf(5): the manual page's frame around the table of settings. */
#include <stdio.h>

#include <postern/base.h>
#include <postern/conf.h>

static const char head[] =
    ".Dd November 20, 2026\n"
    ".Dt POSTERN.CONF 5\n"
    ".Os\n"
    ".Sh NAME\n"
    ".Nm postern.conf ,\n"
    ".Nm postern-edged.conf\n"
    ".Nd settings of posternd and postern-edged\n"
    ".Sh DESCRIPTION\n"
    "Each line is\n"
    ".Ar section.key Cm = Ar value .\n"
    "A\n"
    ".Ql #\n"
    "at the start of a line or after a blank begins a comment.\n"
    "Lists are separated by commas.\n"
    "Durations may end in s, m, h or d, sizes in K, M, G or T.\n"
    "An unknown setting, one given twice and a value out of its range are errors.\n"
    "Domains, apps and accounts are data of the database, never settings.\n"
    ".Pp\n"
    "The settings of\n"
    ".Xr posternd 8 ,\n"
    "in\n"
    ".Pa /etc/postern/postern.conf :\n"
    ".Bl -tag -width Ds\n";

static const char middle[] = ".El\n"
                             ".Pp\n"
                             "The settings of\n"
                             ".Xr postern-edged 8 ,\n"
                             "in\n"
                             ".Pa /etc/postern-edge/postern-edged.conf :\n"
                             ".Bl -tag -width Ds\n";

static const char tail[] = ".El\n"
                           ".Sh SEE ALSO\n"
                           ".Xr postern-edged 8 ,\n"
                           ".Xr posternd 8\n";

int main(void)
{
    auto_buf struct pst_buf page = PST_BUF(1024 * 1024);
    struct pst_err err = {0};

    pst_buf_str(&page, head);
    pst_conf_write_man(&pst_conf_posternd, &page);
    pst_buf_str(&page, middle);
    pst_conf_write_man(&pst_conf_edged, &page);
    pst_buf_str(&page, tail);
    if (pst_buf_check(&page, "the manual page", &err) != PST_OK) {
        fprintf(stderr, "conf_man: %s\n", err.text);
        return 1;
    }
    return fputs(pst_buf_cstr(&page), stdout) == EOF;
}
