/* agent.h -- one target: registers, claims jobs by long poll, runs each in a pare-worker of its own, uploads
 * what came out. Blocking: the caller's thread is the claim loop; while a job runs, a second thread keeps its
 * lease alive. */
#pragma once

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "core/base/err.h"

struct agent_opts {
    const char *server;       /* "http://127.0.0.1:7878" */
    const char *token;        /* NULL for none */
    const char *name;         /* of the target; NULL = the host's name */
    double price_per_hour;    /* USD; 0 = not known */
    const char *cache_folder; /* fetched blobs and job folders; created */
    uint64_t cache_bytes;     /* blobs beyond this are removed, least recently used first; 0 = 20 GiB */
    const char *worker;       /* path of pare-worker; NULL = PARE_WORKER, else beside this program */
    const char *sandbox;      /* "allow" or "require"; NULL = "allow" */
};

/* Runs until *stop becomes nonzero (set it from a signal handler; the job under way is abandoned: its worker
 * is killed and the failure reported as not crashed) and then returns RC_OK. An unreachable service is
 * retried for ever. RC_UNAUTHORIZED, RC_FORBIDDEN, RC_INPUT: the service refused the registration.
 * RC_NOT_FOUND: there is no pare-worker. */
MUST_USE enum rc agent_run(const struct agent_opts *opts, const atomic_int *stop, struct err *err);
