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

static const char TOKEN_NAME[] = "PARE_TOKEN=";

struct agent_child {
    char *server, *cache_folder;
    struct agent_child_opts opts;                                     /* make_token and its user */
    char token_variable[sizeof(TOKEN_NAME) + AGENT_CHILD_TOKEN_SIZE]; /* "PARE_TOKEN=..." */
    pthread_t thread;
    pthread_mutex_t lock; /* guards pid and stopping */
    pthread_cond_t changed;
    pid_t pid; /* 0 while none runs */
    bool stopping;
};

/* The environment with PARE_TOKEN replaced, or as it is without a token; the strings are borrowed. */
static char **make_environment(struct agent_child *a) {
    size_t n = 0, kept = 0;
    bool has_token = a->token_variable[sizeof(TOKEN_NAME) - 1] != '\0';
    while (environ[n]) {
        n++;
    }
    char **list = calloc(n + 2, sizeof(*list));
    for (size_t i = 0; list && i < n; i++) {
        if (!has_token || strncmp(environ[i], TOKEN_NAME, sizeof(TOKEN_NAME) - 1) != 0) {
            list[kept++] = environ[i];
        }
    }
    if (list && has_token) {
        list[kept] = a->token_variable;
    }
    return list;
}

/* In the child: an own process group, so that a Ctrl-C on the terminal reaches it through us; it ends when we
 * do. */
static void become_agent(char *const *args, char *const *environment, pid_t parent) {
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

static pid_t spawn(struct agent_child *a) {
    char *args[ARGS + 1] = {"pare",    "agent",   "--local",       "--server",
                            a->server, "--cache", a->cache_folder, NULL};
    char **environment = make_environment(a);
    pid_t parent = getpid(), pid = environment ? fork() : -1;
    if (pid == 0) {
        become_agent(args, environment, parent);
    }
    free(environment);
    return pid;
}

/* A token of its own for each start: there may be one needed now where there was none before. */
static void renew_token(struct agent_child *a) {
    char token[AGENT_CHILD_TOKEN_SIZE] = "", text[600];
    struct err err = {0};
    if (a->opts.make_token(a->opts.user, token, &err) != RC_OK) {
        log_event(LOG_ERROR, "agent_token", "error=%s", log_quote(err.text, text, sizeof(text)));
    }
    snprintf(a->token_variable, sizeof(a->token_variable), "%s%s", TOKEN_NAME, token);
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
    clock_gettime(CLOCK_MONOTONIC, &until);
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
        renew_token(a);
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
    free(a->server);
    free(a->cache_folder);
    free(a);
}

enum rc agent_child_start(const struct agent_child_opts *opts, struct agent_child **ret, struct err *err) {
    struct agent_child *a = calloc(1, sizeof(*a));
    if (!a) {
        return err_memory(err);
    }
    pthread_condattr_t monotonic;
    pthread_mutex_init(&a->lock, NULL);
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&a->changed, &monotonic);
    pthread_condattr_destroy(&monotonic);
    a->opts = *opts;
    a->server = strdup(opts->server);
    a->cache_folder = strdup(opts->cache_folder);
    int e = a->server && a->cache_folder ? pthread_create(&a->thread, NULL, keep_running, a) : ENOMEM;
    if (e != 0) {
        release(a);
        return err_set(err, RC_IO, "cannot start the thread of the local agent: %s", strerror(e));
    }
    *ret = a;
    return RC_OK;
}

/* Gives the agent GRACE_S to end by itself. Called with the lock held. */
static void wait_or_kill(struct agent_child *a) {
    struct timespec until;
    clock_gettime(CLOCK_MONOTONIC, &until);
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
