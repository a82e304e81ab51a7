/* agent_job.h -- one claimed job from its files to its answer: fetches, runs the worker, uploads, reports. */
#pragma once

#include <jansson.h>
#include <stdatomic.h>

#include "core/base/err.h"
#include "profiler/agent/blob_cache.h"

struct http_client;

struct agent_job_context {
    const char *server, *token; /* for the heartbeat's own client */
    struct http_client *client;
    struct blob_cache *cache;
    const char *jobs_folder; /* absolute; job folders are made in it and removed */
    const char *worker;      /* path of pare-worker */
    const char *sandbox;     /* "allow" or "require" */
    uint32_t lease_s;
    const atomic_int *stop;
};

/* Runs the "job" object of a claim. What goes wrong with the job is reported to the service as its failure;
 * an error is returned only when the service could not be told (RC_IO ...), or RC_INPUT when the claim itself
 * makes no sense. */
MUST_USE enum rc agent_job_run(const struct agent_job_context *context, const json_t *job, struct err *err);
