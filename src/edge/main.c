/* main.c - postern-edged(8). */
#include <postern/edge.h>

int main(int argc, char **argv)
{
    return pst_edged_main(argc, argv);
}
