/* agent_child.h -- the agent that `pare serve` runs on its own machine: a child process, started again when
 * it ends. */
#pragma once

#include "core/base/err.h"

struct agent_child;

enum { AGENT_CHILD_TOKEN_SIZE = 64 };

struct agent_child_opts {
    const char *server;       /* "http://127.0.0.1:7878" */
    const char *cache_folder; /* for its files */
    /* Gives the token for the next start (in its environment: PARE_TOKEN), "" where none is needed. On the
     * child's thread. */
    enum rc (*make_token)(void *user, char token[AGENT_CHILD_TOKEN_SIZE], struct err *err);
    void *user;
};

/* Starts a thread that runs `pare agent --local` (this very program) and waits for it. It is started again
 * after 1 s, doubling to 60 s while it keeps ending early. */
MUST_USE enum rc agent_child_start(const struct agent_child_opts *opts, struct agent_child **ret,
                                   struct err *err);

/* Asks the agent to end and returns at once: for the moment when the service begins to stop. NULL is fine. */
void agent_child_ask_to_stop(struct agent_child *a);

/* Ends the agent (SIGTERM, after 5 s SIGKILL) and its thread. NULL is fine. */
void agent_child_stop(struct agent_child *a);
