/* syscall_filter.c -- see syscall_filter.h. A list of what is allowed, so that a system call nobody thought
 * of is refused. clone3 answers ENOSYS: its flags lie in memory where a filter cannot see them, and the C
 * library then uses clone. */
#include "profiler/worker/syscall_filter.h"

#include <errno.h>
#include <linux/prctl.h>
#include <sched.h>
#include <seccomp.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "core/base/container.h"

static const char *const ALLOWED[] = {
    /* memory */
    "brk",
    "get_mempolicy",
    "madvise",
    "mbind",
    "membarrier",
    "mincore",
    "mlock",
    "mlock2",
    "mmap",
    "mprotect",
    "mremap",
    "msync",
    "munlock",
    "munmap",
    "set_mempolicy",
    /* files */
    "access",
    "chmod",
    "close",
    "close_range",
    "copy_file_range",
    "dup",
    "dup2",
    "dup3",
    "faccessat",
    "faccessat2",
    "fadvise64",
    "fallocate",
    "fchmod",
    "fchmodat",
    "fcntl",
    "fdatasync",
    "flock",
    "fstat",
    "fstatfs",
    "fsync",
    "ftruncate",
    "getcwd",
    "getdents",
    "getdents64",
    "link",
    "linkat",
    "lseek",
    "lstat",
    "mkdir",
    "mkdirat",
    "newfstatat",
    "open",
    "openat",
    "pread64",
    "preadv",
    "preadv2",
    "pwrite64",
    "pwritev",
    "pwritev2",
    "read",
    "readahead",
    "readlink",
    "readlinkat",
    "readv",
    "rename",
    "renameat",
    "renameat2",
    "rmdir",
    "sendfile",
    "stat",
    "statfs",
    "statx",
    "truncate",
    "umask",
    "unlink",
    "unlinkat",
    "write",
    "writev",
    /* waiting */
    "epoll_create1",
    "epoll_ctl",
    "epoll_pwait",
    "epoll_wait",
    "eventfd2",
    "pause",
    "pipe",
    "pipe2",
    "poll",
    "ppoll",
    "pselect6",
    "select",
    /* threads and signals within the process */
    "exit",
    "exit_group",
    "futex",
    "futex_waitv",
    "get_robust_list",
    "getcpu",
    "getpgrp",
    "getpid",
    "getppid",
    "gettid",
    "restart_syscall",
    "rseq",
    "rt_sigaction",
    "rt_sigpending",
    "rt_sigprocmask",
    "rt_sigreturn",
    "rt_sigsuspend",
    "rt_sigtimedwait",
    "sched_get_priority_max",
    "sched_get_priority_min",
    "sched_getaffinity",
    "sched_getattr",
    "sched_getparam",
    "sched_getscheduler",
    "sched_setaffinity",
    "sched_yield",
    "set_robust_list",
    "set_tid_address",
    "sigaltstack",
    /* time and facts about the machine */
    "clock_getres",
    "clock_gettime",
    "clock_nanosleep",
    "getegid",
    "geteuid",
    "getgid",
    "getgroups",
    "getpriority",
    "getrandom",
    "getresgid",
    "getresuid",
    "getrlimit",
    "getrusage",
    "gettimeofday",
    "getuid",
    "nanosleep",
    "sysinfo",
    "time",
    "times",
    "uname",
    "arch_prctl",
    "riscv_hwprobe",
#ifdef PARE_SANITIZED
    /* the leak checker stops all threads from a process of its own */
    "clone",
    "kill",
    "personality",
    "process_vm_readv",
    "ptrace",
    "tgkill",
    "wait4",
#endif
};

/* ioctl requests: is it a terminal; start, stop and reset counters that are already open. */
static const unsigned long IOCTLS[] = {
    0x5401 /* TCGETS */,      FIONREAD, FIOCLEX, 0x2400 /* PERF_EVENT_IOC_ENABLE */,
    0x2401 /* ..._DISABLE */, 0x2403 /* ..._RESET */};

static const int PRCTLS[] = {PR_SET_NAME, PR_GET_NAME, PR_GET_DUMPABLE, PR_CAPBSET_READ, PR_SET_VMA};

static int allow_names(scmp_filter_ctx filter) {
    for (size_t i = 0; i < ARRAY_SIZE(ALLOWED); i++) {
        int number = seccomp_syscall_resolve_name(ALLOWED[i]);
        int result = number == __NR_SCMP_ERROR ? 0 : seccomp_rule_add(filter, SCMP_ACT_ALLOW, number, 0);
        if (result != 0) {
            return result;
        }
    }
    return 0;
}

/* System calls allowed only with certain arguments. */
static int allow_arguments(scmp_filter_ctx filter) {
    const unsigned long thread = CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND | CLONE_THREAD;
    const unsigned long spaces = CLONE_NEWUSER | CLONE_NEWNET | CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWIPC |
                                 CLONE_NEWUTS | CLONE_NEWCGROUP;
    int result = seccomp_rule_add(filter, SCMP_ACT_ERRNO(ENOSYS), SCMP_SYS(clone3), 0);
#ifndef PARE_SANITIZED
    if (result == 0) {
        result = seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(clone), 1,
                                  SCMP_A0(SCMP_CMP_MASKED_EQ, thread | spaces, thread));
    }
    if (result == 0) {
        result = seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(tgkill), 1,
                                  SCMP_A0(SCMP_CMP_EQ, (scmp_datum_t)getpid(), 0));
    }
#else
    (void)thread;
    (void)spaces;
#endif
    if (result == 0) { /* reading a limit, one's own */
        result = seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(prlimit64), 2, SCMP_A0(SCMP_CMP_EQ, 0, 0),
                                  SCMP_A2(SCMP_CMP_EQ, 0, 0));
    }
    for (size_t i = 0; result == 0 && i < ARRAY_SIZE(IOCTLS); i++) {
        result = seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(ioctl), 1,
                                  SCMP_A1(SCMP_CMP_MASKED_EQ, 0xffffffff, IOCTLS[i]));
    }
    for (size_t i = 0; result == 0 && i < ARRAY_SIZE(PRCTLS); i++) {
        result = seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(prctl), 1,
                                  SCMP_A0(SCMP_CMP_EQ, (scmp_datum_t)PRCTLS[i], 0));
    }
    return result;
}

enum rc syscall_filter_apply(struct err *err) {
    scmp_filter_ctx filter = seccomp_init(SCMP_ACT_ERRNO(EPERM));
    if (!filter) {
        return err_memory(err);
    }
    int result = allow_names(filter);
    if (result == 0) {
        result = allow_arguments(filter);
    }
    if (result == 0) {
        result = seccomp_load(filter);
    }
    seccomp_release(filter);
    return result == 0
               ? RC_OK
               : err_set(err, RC_INTERNAL, "seccomp: the kernel refuses the filter (%s)", strerror(-result));
}
