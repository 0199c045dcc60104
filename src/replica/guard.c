#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stddef.h>

#include "guard_internal.h"
#include <postern/replica_record.h>

/*
 * Set only while this thread is in a guarded call.  The handler reads it, so its first use must not
 * allocate: initial-exec storage is there from the start of each thread.
 */
static _Thread_local sigjmp_buf *volatile guard_at __attribute__((tls_model("initial-exec")));

static struct sigaction before_segv, before_bus;

static void pass_on(int sig, siginfo_t *info, void *context)
{
    const struct sigaction *before = sig == SIGBUS ? &before_bus : &before_segv;

    if (before->sa_flags & SA_SIGINFO) {
        before->sa_sigaction(sig, info, context);
        return;
    }
    if (before->sa_handler != SIG_DFL && before->sa_handler != SIG_IGN) {
        before->sa_handler(sig);
        return;
    }
    /* Nobody wanted it: let it end the process as it would have, with the place in the core. */
    signal(sig, SIG_DFL);
    if (info->si_code <= 0)
        raise(sig);
}

static void on_fault(int sig, siginfo_t *info, void *context)
{
    sigjmp_buf *jump = guard_at;

    /* A positive code is a real access; kill(2) has others. */
    if (jump && info->si_code > 0) {
        guard_at = NULL;
        siglongjmp(*jump, 1);
    }
    pass_on(sig, info, context);
}

/* Unless it is ours already: whoever set another one since then is passed on to. */
static void install(int sig, struct sigaction *before)
{
    /* NODEFER: the handler is left by a jump that does not restore the mask (that would cost two
     * system calls in each look-up). */
    struct sigaction sa = {.sa_sigaction = on_fault,
                           .sa_flags = SA_SIGINFO | SA_NODEFER | SA_ONSTACK},
                     now;

    sigemptyset(&sa.sa_mask);
    if (sigaction(sig, NULL, &now) < 0 ||
        ((now.sa_flags & SA_SIGINFO) && now.sa_sigaction == on_fault))
        return;
    *before = now;
    sigaction(sig, &sa, NULL);
}

void pst_replica_guard_install(void)
{
    static pthread_mutex_t one_at_a_time = PTHREAD_MUTEX_INITIALIZER;

    pthread_mutex_lock(&one_at_a_time);
    install(SIGSEGV, &before_segv);
    install(SIGBUS, &before_bus);
    pthread_mutex_unlock(&one_at_a_time);
}

int pst_replica_guarded(int (*fn)(void *arg), void *arg)
{
    sigjmp_buf jump;

    if (sigsetjmp(jump, 0) != 0)
        return PST_REPLICA_FAULT;
    guard_at = &jump;
    int rc = fn(arg);
    guard_at = NULL;
    return rc;
}

void pst_replica_guard_assert(MDB_env *env, const char *text)
{
    sigjmp_buf *jump = guard_at;

    if (jump) {
        guard_at = NULL;
        siglongjmp(*jump, 1);
    }
}
