#include <postern/cli.h>

int main(int argc, char **argv)
{
    return pst_cli_main(argc, argv);
}
