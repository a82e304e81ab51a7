/* worker_process.h -- one pare-worker: started with its input, read to its end, killed when it must be.
 * Blocking. The worker gets a process group of its own, a small environment, and dies with the thread that
 * started it. */
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "core/base/err.h"

enum { WORKER_LOG_BYTES = 8192 };

/* Why the caller wants a worker gone. */
enum worker_stop { WORKER_GO_ON, WORKER_STOP };

struct worker_process_opts {
    const char *program;                         /* path of pare-worker */
    const char *const *args;                     /* further arguments, NULL-terminated; NULL for none */
    const char *folder;                          /* working directory */
    const char *input;                           /* the job, on standard input; NULL for none */
    uint64_t timeout_ms;                         /* 0 = none */
    enum worker_stop (*should_stop)(void *user); /* asked about five times a second; NULL = never */
    void (*on_progress)(void *user, double fraction, const char *text); /* NULL is fine */
    void *user;
};

struct worker_process_outcome {
    json_t *result;                 /* NULL when there is none; released by worker_process_outcome_release */
    json_t *files;                  /* array; with `result` only */
    bool crashed;                   /* by its own doing: a fault, a limit, memory, no answer */
    char log[WORKER_LOG_BYTES + 1]; /* the end of its standard error */
};

/* The path of pare-worker: `given` unless NULL, else PARE_WORKER, else beside this program. RC_IO
 * names where it was looked for. */
MUST_USE enum rc worker_process_find(const char *given, char *path, unsigned path_size, struct err *err);

/* Runs one. RC_OK: outcome->result is there. Otherwise the worker's own error, RC_CRASHED (crashed is set;
 * which signal), RC_TIMEOUT, RC_CANCELLED (should_stop said so, or somebody ended it), RC_INTERNAL (what it
 * wrote is not the protocol), RC_IO (it could not be started). The outcome is filled in every case. */
MUST_USE enum rc worker_process_run(const struct worker_process_opts *opts,
                                    struct worker_process_outcome *outcome, struct err *err);
void worker_process_outcome_release(struct worker_process_outcome *outcome);
