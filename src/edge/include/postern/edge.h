/*
 * edge.h - postern-edged: keeps the replica of one edge in step with the control plane's feed.
 *
 * The program has its own process and user, also on a machine where everything runs.  It is the
 * only writer of the replica; nginx's workers read it.  What it does in its life:
 *
 *     enrol     once: a one-time token buys the edge's id and bearer token; the control plane gets
 *               the public half of an X25519 key, to which all secrets of the feed are boxed
 *     resync    snapshot into a new build, catch up, make it the current one
 *     follow    long polls of changes; each page is one durable commit, and the cursor of the next
 *               poll acknowledges it
 *
 * Whatever happens to the control plane, the network, or a page that is not what it must be: the
 * replica stays as it is and the program tries again (0.1 to 5 s).  Whatever happens to the
 * replica: a new one is built.
 *
 * Threads: the loop runs in one thread; another waits for signals.
 */
#ifndef POSTERN_EDGE_H
#define POSTERN_EDGE_H

/* The whole program: exit status as in postern-edged(8). */
int pst_edged_main(int argc, char **argv);

#endif
