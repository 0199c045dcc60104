/*
 * sandbox.c - giving up everything but thinking.
 *
 * Limits first (they also bound what libraries do), then a filter on system calls: reading from
 * descriptor 0, writing to descriptor 1, memory without new code, and the end.  What a library may
 * ask out of curiosity is answered with EPERM; everything else kills.
 */
#include "cert_internal.h"
#include <errno.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#if defined(__SANITIZE_ADDRESS__)
#define WITH_ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define WITH_ASAN 1
#endif
#endif
#ifndef WITH_ASAN
#define WITH_ASAN 0
#endif

#if defined(__x86_64__)
#define ARCH AUDIT_ARCH_X86_64
#elif defined(__aarch64__)
#define ARCH AUDIT_ARCH_AARCH64
#else
#error "the numbers of this machine's system calls are not known here"
#endif

enum {
    CPU_S = WITH_ASAN ? 20 : 1, /* what allocates is many times slower there */
    MEMORY_MAX = 64 * 1024 * 1024,
    FIRST_NUMBER_OF_X32 = 0x40000000,
    PROGRAM_MAX = 160,
};

/* ---- limits ---- */

/* Bytes of address space in use: libraries are mapped already, so the limit is on what is added. */
static rlim_t address_space(void)
{
    unsigned long pages = 0;
    FILE *f = fopen("/proc/self/statm", "re");

    if (f) {
        if (fscanf(f, "%lu", &pages) != 1)
            pages = 0;
        (void)fclose(f);
    }
    return (rlim_t)pages * (rlim_t)sysconf(_SC_PAGESIZE);
}

static int limit(int what, rlim_t most, struct pst_err *err)
{
    struct rlimit now;

    if (getrlimit(what, &now) < 0)
        return pst_fail_sys(err, "reading a limit");
    if (now.rlim_max != RLIM_INFINITY && now.rlim_max < most)
        most = now.rlim_max;
    if (setrlimit(what, &(struct rlimit){most, most}) < 0)
        return pst_fail_sys(err, "setting a limit");
    return PST_OK;
}

static int set_limits(struct pst_err *err)
{
    const struct {
        int what;
        rlim_t most;
    } limits[] = {
        {RLIMIT_CORE, 0},
        {RLIMIT_CPU, CPU_S},
        {RLIMIT_NOFILE, 3},
        {RLIMIT_FSIZE, 0},
        {RLIMIT_NPROC, 0},
        /* The sanitizer's shadow takes terabytes of address space. */
        {RLIMIT_DATA, WITH_ASAN ? RLIM_INFINITY : MEMORY_MAX},
        {RLIMIT_AS, WITH_ASAN ? RLIM_INFINITY : address_space() + MEMORY_MAX},
    };
    int rc = PST_OK;

    for (size_t i = 0; i < PST_ARRAY_N(limits) && rc == PST_OK; i++)
        if (limits[i].most != RLIM_INFINITY)
            rc = limit(limits[i].what, limits[i].most, err);
    return rc;
}

/* ---- the filter ---- */

enum rule_kind {
    ALLOW,
    EPERM_FOR,   /* not done, and no reason to die */
    ARG_IS,      /* argument `arg` is `value` */
    ARG_WITHOUT, /* argument `arg` has none of the bits of `value` */
};

struct rule {
    uint32_t number;
    enum rule_kind kind;
    unsigned arg;
    uint32_t value;
};

static const struct rule rules[] = {
    {__NR_read, ARG_IS, 0, STDIN_FILENO},
    {__NR_write, ARG_IS, 0, STDOUT_FILENO},
    {__NR_exit, ALLOW, 0, 0},
    {__NR_exit_group, ALLOW, 0, 0},
    {__NR_rt_sigreturn, ALLOW, 0, 0},
    {__NR_brk, ALLOW, 0, 0},
    {__NR_mmap, ARG_WITHOUT, 2, PROT_EXEC},
    {__NR_mprotect, ARG_WITHOUT, 2, PROT_EXEC},
    {__NR_munmap, ALLOW, 0, 0},
    {__NR_mremap, ALLOW, 0, 0},
    {__NR_madvise, ALLOW, 0, 0},
    {__NR_futex, ALLOW, 0, 0},
    {__NR_getrandom, ALLOW, 0, 0},
    {__NR_clock_gettime, ALLOW, 0, 0},
    {__NR_gettimeofday, ALLOW, 0, 0},
    {__NR_getpid, ALLOW, 0, 0},
    {__NR_gettid, ALLOW, 0, 0},
    {__NR_sched_yield, ALLOW, 0, 0},
    {__NR_openat, EPERM_FOR, 0, 0},
    {__NR_newfstatat, EPERM_FOR, 0, 0},
    {__NR_fstat, EPERM_FOR, 0, 0},
    {__NR_readlinkat, EPERM_FOR, 0, 0},
    {__NR_faccessat, EPERM_FOR, 0, 0},
    {__NR_ioctl, EPERM_FOR, 0, 0},
    {__NR_lseek, EPERM_FOR, 0, 0},
    {__NR_close, EPERM_FOR, 0, 0},
    {__NR_uname, EPERM_FOR, 0, 0},
    {__NR_sysinfo, EPERM_FOR, 0, 0},
    {__NR_prlimit64, EPERM_FOR, 0, 0},
    {__NR_sched_getaffinity, EPERM_FOR, 0, 0},
    {__NR_rt_sigprocmask, EPERM_FOR, 0, 0},
    {__NR_rt_sigaction, EPERM_FOR, 0, 0},
#if defined(__x86_64__)
    {__NR_open, EPERM_FOR, 0, 0},
    {__NR_stat, EPERM_FOR, 0, 0},
    {__NR_access, EPERM_FOR, 0, 0},
    {__NR_readlink, EPERM_FOR, 0, 0},
#endif
#if WITH_ASAN
    /* So that a report can be written. */
    {__NR_sigaltstack, ALLOW, 0, 0},
    {__NR_tgkill, ALLOW, 0, 0},
#endif
};

struct program {
    struct sock_filter code[PROGRAM_MAX];
    unsigned short len;
};

static void add(struct program *p, struct sock_filter instruction)
{
    pst_require(p->len < PROGRAM_MAX);
    p->code[p->len++] = instruction;
}

static void load(struct program *p, size_t offset)
{
    add(p, (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS, (uint32_t)offset));
}

/* Skip `yes` instructions when the loaded number compares so, else `no`. */
static void jump(struct program *p, uint16_t how, uint32_t value, uint8_t yes, uint8_t no)
{
    add(p, (struct sock_filter)BPF_JUMP(BPF_JMP | how | BPF_K, value, yes, no));
}

static void answer(struct program *p, uint32_t action)
{
    add(p, (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, action));
}

static void add_rule(struct program *p, const struct rule *r)
{
    /* The arguments that count fit into the lower half; both machines are little-endian. */
    size_t arg = offsetof(struct seccomp_data, args) + r->arg * sizeof(uint64_t);

    if (r->kind == ALLOW || r->kind == EPERM_FOR) {
        jump(p, BPF_JEQ, r->number, 0, 1);
        answer(p, r->kind == ALLOW ? SECCOMP_RET_ALLOW : SECCOMP_RET_ERRNO | EPERM);
        return;
    }
    jump(p, BPF_JEQ, r->number, 0, 4);
    load(p, arg);
    if (r->kind == ARG_IS)
        jump(p, BPF_JEQ, r->value, 1, 0);
    else
        jump(p, BPF_JSET, r->value, 0, 1);
    answer(p, SECCOMP_RET_KILL_PROCESS);
    answer(p, SECCOMP_RET_ALLOW);
}

static int filter(struct pst_err *err)
{
    struct program p = {.len = 0};
    struct sock_fprog prog;

    load(&p, offsetof(struct seccomp_data, arch));
    jump(&p, BPF_JEQ, ARCH, 1, 0);
    answer(&p, SECCOMP_RET_KILL_PROCESS);
    load(&p, offsetof(struct seccomp_data, nr));
    jump(&p, BPF_JGE, FIRST_NUMBER_OF_X32, 0, 1);
    answer(&p, SECCOMP_RET_KILL_PROCESS);
    for (size_t i = 0; i < PST_ARRAY_N(rules); i++)
        add_rule(&p, &rules[i]);
    answer(&p, SECCOMP_RET_KILL_PROCESS);

    prog = (struct sock_fprog){p.len, p.code};
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
        return pst_fail_sys(err, "giving up privileges");
    if (prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &prog) < 0)
        return pst_fail_sys(err, "filtering system calls");
    return PST_OK;
}

int pst_sandbox_enter(struct pst_err *err)
{
    int rc = set_limits(err);

    if (rc == PST_OK && prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0)
        rc = pst_fail_sys(err, "switching core dumps off");
    return rc == PST_OK ? filter(err) : rc;
}
