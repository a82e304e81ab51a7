#include "advisor/cli/agent_child.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "core/base/clock.h"
#include "core/base/log.h"

enum { BACKOFF_FIRST_S = 1, BACKOFF_MAX_S = 60, STEADY_S = 60, GRACE_S = 5, ARGS = 7, EXEC_FAILED = 127 };

struct agent_child {
    char *server, *token, *cache_folder;
    char **environment; /* that of this process with the token */
    pthread_t thread;
    pthread_mutex_t lock; /* guards pid and stopping */
    pthread_cond_t changed;
    pid_t pid; /* 0 while none runs */
    bool stopping;
};

/* The environment with PARE_TOKEN replaced; the strings are borrowed from environ and token_variable. */
static char **make_environment(char *token_variable) {
    size_t n = 0, kept = 0;
    while (environ[n]) {
        n++;
    }
    char **list = calloc(n + 2, sizeof(*list));
    for (size_t i = 0; list && i < n; i++) {
        if (!token_variable || strncmp(environ[i], "PARE_TOKEN=", 11) != 0) {
            list[kept++] = environ[i];
        }
    }
    if (list && token_variable) {
        list[kept] = token_variable;
    }
    return list;
}

/* In the child: an own process group, so that a Ctrl-C on the terminal reaches it through us; it ends when we
 * do. */
static void become_agent(char *const *args, char **environment, pid_t parent) {
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    signal(SIGPIPE, SIG_DFL);
    setpgid(0, 0);
    prctl(PR_SET_PDEATHSIG, SIGTERM);
    if (getppid() == parent) {
        execve("/proc/self/exe", args, environment);
    }
    _exit(EXEC_FAILED);
}

static pid_t spawn(const struct agent_child *a) {
    char *args[ARGS + 1] = {"pare",    "agent",   "--local",       "--server",
                            a->server, "--cache", a->cache_folder, NULL};
    pid_t parent = getpid(), pid = fork();
    if (pid == 0) {
        become_agent(args, a->environment, parent);
    }
    return pid;
}

/* Starts the agent unless it is time to stop. */
static pid_t start(struct agent_child *a) {
    pid_t pid = -1;
    pthread_mutex_lock(&a->lock);
    if (!a->stopping) {
        pid = spawn(a);
        a->pid = pid > 0 ? pid : 0;
        if (pid < 0) {
            log_event(LOG_ERROR, "agent_not_started", "error=%d", errno);
        }
    }
    pthread_mutex_unlock(&a->lock);
    return pid;
}

static void wait_for(struct agent_child *a, pid_t pid) {
    int status = 0;
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR) {
    }
    pthread_mutex_lock(&a->lock);
    a->pid = 0;
    if (!a->stopping) {
        log_event(LOG_WARN, "agent_ended", "pid=%d exit=%d signal=%d", (int)pid,
                  WIFEXITED(status) ? WEXITSTATUS(status) : -1, WIFSIGNALED(status) ? WTERMSIG(status) : 0);
    }
    pthread_cond_broadcast(&a->changed);
    pthread_mutex_unlock(&a->lock);
}

/* False when it is time to stop. */
static bool pause_s(struct agent_child *a, unsigned seconds) {
    struct timespec until;
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += seconds;
    pthread_mutex_lock(&a->lock);
    while (!a->stopping && pthread_cond_timedwait(&a->changed, &a->lock, &until) == 0) {
    }
    bool go_on = !a->stopping;
    pthread_mutex_unlock(&a->lock);
    return go_on;
}

static void *keep_running(void *arg) {
    struct agent_child *a = arg;
    unsigned backoff_s = BACKOFF_FIRST_S;
    do {
        uint64_t begin_ns = clock_mono_ns();
        pid_t pid = start(a);
        if (pid > 0) {
            log_event(LOG_INFO, "agent_started", "pid=%d", (int)pid);
            wait_for(a, pid);
        }
        bool steady = clock_mono_ns() - begin_ns > STEADY_S * 1000000000ull;
        backoff_s = steady ? BACKOFF_FIRST_S : backoff_s * 2 < BACKOFF_MAX_S ? backoff_s * 2 : BACKOFF_MAX_S;
    } while (pause_s(a, backoff_s / 2));
    return NULL;
}

static void release(struct agent_child *a) {
    pthread_cond_destroy(&a->changed);
    pthread_mutex_destroy(&a->lock);
    free(a->environment);
    free(a->server);
    free(a->token);
    free(a->cache_folder);
    free(a);
}

static enum rc fill(struct agent_child *a, const struct agent_child_opts *opts, struct err *err) {
    a->server = strdup(opts->server);
    a->cache_folder = strdup(opts->cache_folder);
    if (opts->token && asprintf(&a->token, "PARE_TOKEN=%s", opts->token) < 0) {
        a->token = NULL;
        return err_memory(err);
    }
    a->environment = make_environment(a->token);
    return a->server && a->cache_folder && a->environment ? RC_OK : err_memory(err);
}

enum rc agent_child_start(const struct agent_child_opts *opts, struct agent_child **ret, struct err *err) {
    struct agent_child *a = calloc(1, sizeof(*a));
    if (!a) {
        return err_memory(err);
    }
    pthread_mutex_init(&a->lock, NULL);
    pthread_cond_init(&a->changed, NULL);
    enum rc rc = fill(a, opts, err);
    int e = rc == RC_OK ? pthread_create(&a->thread, NULL, keep_running, a) : 0;
    if (e != 0) {
        rc = err_set(err, RC_IO, "cannot start a thread: %s", strerror(e));
    }
    if (rc != RC_OK) {
        release(a);
        return rc;
    }
    *ret = a;
    return RC_OK;
}

/* Gives the agent GRACE_S to end by itself. Called with the lock held. */
static void wait_or_kill(struct agent_child *a) {
    struct timespec until;
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += GRACE_S;
    int e = 0;
    while (a->pid > 0 && e == 0) {
        e = pthread_cond_timedwait(&a->changed, &a->lock, &until);
    }
    if (a->pid > 0) {
        kill(-a->pid, SIGKILL);
        kill(a->pid, SIGKILL);
    }
}

void agent_child_ask_to_stop(struct agent_child *a) {
    if (!a) {
        return;
    }
    pthread_mutex_lock(&a->lock);
    a->stopping = true;
    pthread_cond_broadcast(&a->changed);
    if (a->pid > 0) {
        kill(a->pid, SIGTERM);
    }
    pthread_mutex_unlock(&a->lock);
}

void agent_child_stop(struct agent_child *a) {
    if (!a) {
        return;
    }
    agent_child_ask_to_stop(a);
    pthread_mutex_lock(&a->lock);
    wait_or_kill(a);
    pthread_mutex_unlock(&a->lock);
    pthread_join(a->thread, NULL);
    release(a);
}
