/* jobs.h -- the advisor's work: owns the store and the planner thread that carries studies from submission to
 * answer. The functions that handlers call are in intake.h (what is submitted), dispatch.h (agents), views.h
 * (what is shown), answer.h (recommendations, comparison), gates.h (CI verdicts), machines.h (targets,
 * prices). They are blocking and thread-safe, take and give JSON (objects returned in *ret are new references
 * owned by the caller), and say RC_INPUT, RC_NOT_FOUND, RC_CONFLICT ... with a text for people. */
#pragma once

#include <stdint.h>

#include "core/base/err.h"

struct store;
struct jobs;

struct jobs_opts {
    const char *folder;            /* data folder */
    uint32_t lease_s;              /* of a claimed job; 0 = 30 */
    int64_t (*now_ms)(void *user); /* NULL = wall clock */
    void *now_user;
    uint32_t collect_s; /* seconds between blob collections; 0 = 3600 */
};

/* Opens the store (errors of store_open). The planner does not run yet. */
MUST_USE enum rc jobs_open(const struct jobs_opts *opts, struct jobs **ret, struct err *err);
/* Starts the planner thread; studies that were under way go on. */
MUST_USE enum rc jobs_start(struct jobs *j, struct err *err);
/* Stops the planner, closes the store. NULL is fine. */
void jobs_close(struct jobs *j);

/* Borrowed: blobs, tokens, change counter. */
struct store *jobs_store(struct jobs *j);

/* One round of what the planner thread does: requeues lost leases, advances every unfinished study as far as
 * it goes. Used by the planner thread and, in place of it, by tests. */
MUST_USE enum rc jobs_step(struct jobs *j, struct err *err);
