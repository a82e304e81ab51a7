/* self_test.c -- see self_test.h. Every attempt is one that would succeed in an ordinary process of the same
 * user. */
#include "profiler/worker/self_test.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/base/container.h"

/* Each returns what its system call returned: negative = blocked, errno says how. */

static long read_passwords(void) {
    return open("/etc/passwd", O_RDONLY | O_CLOEXEC);
}

static long write_outside(void) {
    return open("/tmp/pare-worker-self-test", O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
}

static long make_socket(void) {
    return socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
}

static long make_unix_socket(void) {
    return socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
}

static long run_program(void) {
    char *const argv[] = {(char[]){"true"}, NULL};
    char *const envp[] = {NULL};
    return execve("/bin/true", argv, envp);
}

#ifndef PARE_SANITIZED
static long make_process(void) {
    pid_t pid = fork();
    if (pid == 0) {
        _exit(0);
    }
    if (pid > 0) {
        waitpid(pid, NULL, 0);
    }
    return pid;
}

static long trace_parent(void) {
    return ptrace(PTRACE_SEIZE, getppid(), NULL, NULL);
}

static long signal_parent(void) {
    return kill(getppid(), 0);
}
#endif

static long mount_something(void) {
    return mount("none", "/tmp", "tmpfs", 0, NULL);
}

static long new_namespace(void) {
    return unshare(CLONE_NEWUSER);
}

static long use_keys(void) {
    return syscall(SYS_keyctl, 0, 0, 0, 0, 0);
}

static long open_counter(void) {
    return syscall(SYS_perf_event_open, NULL, 0, -1, -1, 0UL);
}

bool self_test_run(struct lines *lines) {
    static const struct {
        const char *name;
        long (*attempt)(void);
    } checks[] = {
        {"read /etc/passwd", read_passwords},     {"write outside the job folder", write_outside},
        {"make an internet socket", make_socket}, {"make a unix socket", make_unix_socket},
        {"run a program", run_program},
#ifndef PARE_SANITIZED /* whose leak checker needs these */
        {"make a process", make_process},         {"trace the parent", trace_parent},
        {"signal the parent", signal_parent},
#endif
        {"mount a file system", mount_something}, {"make a namespace", new_namespace},
        {"use the key ring", use_keys},           {"open a counter", open_counter},
    };
    bool blocked = true;
    json_t *list = json_array();
    for (size_t i = 0; i < ARRAY_SIZE(checks); i++) {
        int error = checks[i].attempt() < 0 ? errno : 0;
        bool fine = error == EPERM || error == EACCES;
        blocked = blocked && fine;
        json_array_append_new(list, json_pack("{s:s, s:b, s:s}", "check", checks[i].name, "blocked", fine,
                                              "errno", error ? strerrorname_np(error) : "none"));
    }
    json_t *result = json_pack("{s:o, s:b}", "checks", list, "blocked", blocked);
    struct err err;
    bool said = lines_result(lines, result, NULL, &err) == RC_OK;
    json_decref(result);
    return blocked && said;
}
