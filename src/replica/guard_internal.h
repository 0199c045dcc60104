/*
 * guard_internal.h - run something that reads the map, and survive a fault in it.
 *
 * Between entering and leaving, SIGBUS, SIGSEGV and LMDB's assertions of this thread end the call.
 * What the function did to memory of its own until then stays as it is: it may only allocate
 * through LMDB, and whoever calls gives up the environment afterwards.
 */
#ifndef POSTERN_GUARD_INTERNAL_H
#define POSTERN_GUARD_INTERNAL_H

#include <lmdb.h>

/* Install the signal handlers, unless they are there. */
void pst_replica_guard_install(void);

/* fn(arg), or PST_REPLICA_FAULT when it was broken off. */
int pst_replica_guarded(int (*fn)(void *arg), void *arg);

/* For mdb_env_set_assert(). */
void pst_replica_guard_assert(MDB_env *env, const char *text);

#endif
