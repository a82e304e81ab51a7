/* worker_process.c -- see worker_process.h. */
#include "profiler/agent/worker_process.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "core/base/clock.h"
#include "core/base/container.h"
#include "core/base/file.h"
#include "profiler/agent/worker_lines.h"

enum {
    TICK_MS = 200,
    GRACE_MS = 5000,
    MAX_ARGS = 8,
    MAX_ENVIRONMENT = 16,
    MAX_FILES = 1024,
    VMSTAT_BYTES = 64 * 1024
};

/* A running worker. Descriptors are -1 once closed. */
struct worker {
    const struct worker_process_opts *opts;
    pid_t pid;
    int in, out, errors;
    const char *unsent;
    size_t unsent_size;
    struct worker_lines lines;
    char log[WORKER_LOG_BYTES];
    size_t log_size;
    uint64_t deadline_ns;
    uint64_t oom_kills; /* when it was started */
    struct rusage used; /* when it has ended */
};

enum rc worker_process_find(const char *given, char *path, unsigned path_size, struct err *err) {
    const char *from = given ? given : getenv("PARE_WORKER");
    if (from && *from) {
        snprintf(path, path_size, "%s", from);
    } else {
        char self[4096];
        ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 1);
        if (n <= 0) {
            return err_set(err, RC_IO, "/proc/self/exe: %s", strerror(errno));
        }
        self[n] = '\0';
        char *slash = strrchr(self, '/');
        snprintf(path, path_size, "%.*s/pare-worker", slash ? (int)(slash - self) : 0, self);
    }
    if (access(path, X_OK) != 0) {
        return err_set(err, RC_IO,
                       "there is no pare-worker at %s (%s): install it beside pare, or set PARE_WORKER", path,
                       strerror(errno));
    }
    return RC_OK;
}

/* The worker gets no more of the environment than it needs: no tokens, no settings. */
static void make_environment(char *ret[MAX_ENVIRONMENT + 1]) {
    static const char *const kept[] = {
        "PATH=",         "LANG=",          "LC_ALL=",       "TZ=",          "LD_LIBRARY_PATH=",
        "ASAN_OPTIONS=", "UBSAN_OPTIONS=", "LSAN_OPTIONS=", "TSAN_OPTIONS="};
    size_t count = 0;
    for (char **variable = environ; *variable && count < MAX_ENVIRONMENT; variable++) {
        for (size_t i = 0; i < ARRAY_SIZE(kept); i++) {
            if (strncmp(*variable, kept[i], strlen(kept[i])) == 0 && count < MAX_ENVIRONMENT) {
                ret[count++] = *variable;
            }
        }
    }
    ret[count] = NULL;
}

static void close_fd(int *fd) {
    if (*fd >= 0) {
        close(*fd);
        *fd = -1;
    }
}

struct pipes {
    int in[2], out[2], errors[2]; /* read end, write end */
};

static enum rc pipes_open(struct pipes *p, struct err *err) {
    *p = (struct pipes){{-1, -1}, {-1, -1}, {-1, -1}};
    if (pipe2(p->in, O_CLOEXEC) != 0 || pipe2(p->out, O_CLOEXEC) != 0 || pipe2(p->errors, O_CLOEXEC) != 0) {
        return err_set(err, RC_IO, "a pipe to the worker: %s", strerror(errno));
    }
    return RC_OK;
}

static void pipes_close(struct pipes *p) {
    for (int i = 0; i < 2; i++) {
        close_fd(&p->in[i]);
        close_fd(&p->out[i]);
        close_fd(&p->errors[i]);
    }
}

/* In the child between fork and exec: async-signal-safe calls only. */
static void become_worker(const struct worker_process_opts *opts, const struct pipes *p, char *const *argv,
                          char *const *envp, pid_t parent) {
    const struct rlimit files = {MAX_FILES, MAX_FILES};
    const struct rlimit none = {0, 0};
    sigset_t all;
    sigemptyset(&all);
    sigprocmask(SIG_SETMASK, &all, NULL);
    signal(SIGPIPE, SIG_DFL);
    setpgid(0, 0);
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    setrlimit(RLIMIT_NOFILE, &files);
    setrlimit(RLIMIT_CORE, &none);
    if (getppid() != parent || dup2(p->in[0], STDIN_FILENO) < 0 || dup2(p->out[1], STDOUT_FILENO) < 0 ||
        dup2(p->errors[1], STDERR_FILENO) < 0 || chdir(opts->folder) != 0) {
        _exit(127);
    }
    syscall(SYS_close_range, 3, ~0U, 0);
    execve(opts->program, argv, envp);
    _exit(127);
}

static enum rc start(struct worker *w, struct err *err) {
    const struct worker_process_opts *opts = w->opts;
    char *argv[MAX_ARGS + 2] = {(char *)(uintptr_t)opts->program};
    char *envp[MAX_ENVIRONMENT + 1];
    struct pipes p;
    size_t count = 1;
    for (; opts->args && opts->args[count - 1] && count <= MAX_ARGS; count++) {
        argv[count] = (char *)(uintptr_t)opts->args[count - 1];
    }
    make_environment(envp);
    enum rc rc = pipes_open(&p, err);
    if (rc != RC_OK) {
        pipes_close(&p);
        return rc;
    }
    pid_t parent = getpid();
    w->pid = fork();
    if (w->pid == 0) {
        become_worker(opts, &p, argv, envp, parent);
    }
    if (w->pid < 0) {
        rc = err_set(err, RC_IO, "the worker cannot be started: %s", strerror(errno));
        pipes_close(&p);
        return rc;
    }
    setpgid(w->pid, w->pid); /* also here: it may be killed before it came so far */
    w->in = p.in[1];
    w->out = p.out[0];
    w->errors = p.errors[0];
    p.in[1] = p.out[0] = p.errors[0] = -1;
    pipes_close(&p);
    fcntl(w->in, F_SETFL, O_NONBLOCK);
    fcntl(w->out, F_SETFL, O_NONBLOCK);
    fcntl(w->errors, F_SETFL, O_NONBLOCK);
    return RC_OK;
}

static void send_input(struct worker *w) {
    ssize_t n = w->unsent_size > 0 ? write(w->in, w->unsent, w->unsent_size) : 0;
    if (n > 0) {
        w->unsent += n;
        w->unsent_size -= (size_t)n;
    }
    if (w->unsent_size == 0 || (n < 0 && errno != EAGAIN && errno != EINTR)) {
        close_fd(&w->in);
    }
}

/* Keeps the last WORKER_LOG_BYTES. */
static void keep_log(struct worker *w, const char *data, size_t size) {
    if (size >= sizeof(w->log)) {
        data += size - sizeof(w->log);
        size = sizeof(w->log);
    }
    if (w->log_size + size > sizeof(w->log)) {
        size_t gone = w->log_size + size - sizeof(w->log);
        memmove(w->log, w->log + gone, w->log_size - gone);
        w->log_size -= gone;
    }
    memcpy(w->log + w->log_size, data, size);
    w->log_size += size;
}

/* Reads what is there; closes the descriptor at its end. */
static enum rc drain(struct worker *w, int *fd, bool answer, struct err *err) {
    char data[65536];
    ssize_t n = read(*fd, data, sizeof(data));
    if (n < 0 && (errno == EAGAIN || errno == EINTR)) {
        return RC_OK;
    }
    if (n <= 0) {
        close_fd(fd);
        return RC_OK;
    }
    if (answer) {
        return worker_lines_add(&w->lines, data, (size_t)n, err);
    }
    keep_log(w, data, (size_t)n);
    return RC_OK;
}

static enum rc check_stop(const struct worker *w, struct err *err) {
    const struct worker_process_opts *opts = w->opts;
    if (opts->should_stop && opts->should_stop(opts->user) == WORKER_STOP) {
        return err_set(err, RC_CANCELLED, "the job was given up");
    }
    if (w->deadline_ns > 0 && clock_mono_ns() > w->deadline_ns) {
        return err_set(err, RC_TIMEOUT, "the worker took longer than %llu s",
                       (unsigned long long)(opts->timeout_ms / 1000));
    }
    return RC_OK;
}

/* Until both of its outputs are closed, or it must be killed. */
static enum rc converse(struct worker *w, struct err *err) {
    while (w->out >= 0 || w->errors >= 0) {
        struct pollfd fds[3] = {{.fd = w->in, .events = POLLOUT},
                                {.fd = w->out, .events = POLLIN},
                                {.fd = w->errors, .events = POLLIN}};
        int ready = poll(fds, ARRAY_SIZE(fds), TICK_MS);
        if (ready < 0 && errno != EINTR) {
            return err_set(err, RC_IO, "poll: %s", strerror(errno));
        }
        enum rc rc = check_stop(w, err);
        if (rc == RC_OK && w->in >= 0 && fds[0].revents) {
            send_input(w);
        }
        if (rc == RC_OK && w->out >= 0 && fds[1].revents) {
            rc = drain(w, &w->out, true, err);
        }
        if (rc == RC_OK && w->errors >= 0 && fds[2].revents) {
            rc = drain(w, &w->errors, false, err);
        }
        if (rc != RC_OK) {
            return rc;
        }
    }
    return RC_OK;
}

/* How often the kernel has killed for want of memory since it booted; 0 where it does not say. */
static uint64_t count_oom_kills(void) {
    char *data = NULL;
    size_t size = 0;
    uint64_t count = 0;
    if (file_read_kernel("/proc/vmstat", VMSTAT_BYTES, &data, &size, NULL) == RC_OK) {
        const char *line = strstr(data, "\noom_kill ");
        count = line ? strtoull(line + strlen("\noom_kill "), NULL, 10) : 0;
        free(data);
    }
    return count;
}

/* Waits for the end of a worker that closed its outputs; kills it after GRACE_MS. */
static int reap(struct worker *w, bool kill_now) {
    int status = 0;
    uint64_t deadline = clock_mono_ns() + (uint64_t)GRACE_MS * 1000000;
    while (!kill_now && wait4(w->pid, &status, WNOHANG, &w->used) == 0) {
        const struct timespec tick = {0, 5000000};
        nanosleep(&tick, NULL);
        kill_now = clock_mono_ns() > deadline;
    }
    kill(-w->pid, SIGKILL); /* and whatever it left behind */
    if (kill_now) {
        while (wait4(w->pid, &status, 0, &w->used) < 0 && errno == EINTR) {
        }
    }
    return status;
}

/* Signals by which people and service managers end processes; the kernel sends SIGKILL for want of memory
 * only. */
static bool may_be_a_request(int signal_number) {
    return signal_number == SIGTERM || signal_number == SIGINT || signal_number == SIGHUP ||
           signal_number == SIGKILL;
}

/* Whether the kernel, or a daemon that watches over the memory, may have ended the worker: the kernel has
 * killed for want of memory meanwhile, or the worker had a large part of the machine's. */
static bool wanted_memory(const struct worker *w) {
    uint64_t had_bytes = (uint64_t)w->used.ru_maxrss << 10;
    uint64_t machine_bytes = (uint64_t)sysconf(_SC_PHYS_PAGES) * (uint64_t)sysconf(_SC_PAGESIZE);
    return count_oom_kills() != w->oom_kills || had_bytes >= machine_bytes / 4;
}

static enum rc judge_signal(const struct worker *w, int number, struct worker_process_outcome *outcome,
                            struct err *err) {
    const char *name = sigabbrev_np(number) ? sigabbrev_np(number) : "?";
    if (may_be_a_request(number) && !wanted_memory(w)) {
        return err_set(err, RC_CANCELLED, "somebody ended the worker (SIG%s)", name);
    }
    outcome->crashed = true;
    const char *why = number == SIGXCPU          ? "it used up its processor time"
                      : number == SIGXFSZ        ? "it wrote a file beyond its limit"
                      : may_be_a_request(number) ? "perhaps for want of memory"
                                                 : "see the log";
    return err_set(err, RC_CRASHED, "the worker was ended by signal %d (SIG%s): %s", number, name, why);
}

/* What the end of the worker means, when we did not kill it. */
static enum rc judge(struct worker *w, int status, struct worker_process_outcome *outcome, struct err *err) {
    if (WIFSIGNALED(status)) {
        return judge_signal(w, WTERMSIG(status), outcome, err);
    }
    if (w->lines.reason.rc != RC_OK) {
        *err = w->lines.reason;
        return err->rc;
    }
    if (!w->lines.answered || WEXITSTATUS(status) != 0) {
        outcome->crashed = true;
        return err_set(err, RC_CRASHED, "the worker ended with code %d and without an answer",
                       WEXITSTATUS(status));
    }
    outcome->result = json_incref(w->lines.result);
    outcome->files = json_incref(w->lines.files);
    return RC_OK;
}

/* Bytes that are not printable ASCII become '?', so that the log can travel as JSON. */
static void copy_log(const struct worker *w, char *out) {
    for (size_t i = 0; i < w->log_size; i++) {
        unsigned char c = (unsigned char)w->log[i];
        out[i] = (char)(c == '\n' || c == '\t' || (c >= 0x20 && c < 0x7f) ? c : '?');
    }
    out[w->log_size] = '\0';
}

enum rc worker_process_run(const struct worker_process_opts *opts, struct worker_process_outcome *outcome,
                           struct err *err) {
    struct worker *w = calloc(1, sizeof(*w));
    *outcome = (struct worker_process_outcome){0};
    if (!w) {
        return err_memory(err);
    }
    *w = (struct worker){.opts = opts,
                         .in = -1,
                         .out = -1,
                         .errors = -1,
                         .unsent = opts->input,
                         .unsent_size = opts->input ? strlen(opts->input) : 0,
                         .oom_kills = count_oom_kills(),
                         .deadline_ns =
                             opts->timeout_ms > 0 ? clock_mono_ns() + opts->timeout_ms * 1000000 : 0};
    worker_lines_init(&w->lines);
    w->lines.on_progress = opts->on_progress;
    w->lines.user = opts->user;
    enum rc rc = start(w, err);
    if (rc == RC_OK) {
        rc = converse(w, err);
        int status = reap(w, rc != RC_OK);
        if (rc == RC_OK) {
            rc = judge(w, status, outcome, err);
        }
    }
    copy_log(w, outcome->log);
    close_fd(&w->in);
    close_fd(&w->out);
    close_fd(&w->errors);
    worker_lines_release(&w->lines);
    free(w);
    return rc;
}

void worker_process_outcome_release(struct worker_process_outcome *outcome) {
    json_decref(outcome->result);
    json_decref(outcome->files);
    *outcome = (struct worker_process_outcome){0};
}
