/* pooled_run.h -- an ONNX model ready to be timed on real examples: a session, inputs and outputs bound to
 * it, and a pool of batches that were converted before, so that a run is one copy and the runtime's own call.
 */
#pragma once

#include <stddef.h>

#include "core/base/err.h"
#include "profiler/worker/feeds.h"
#include "profiler/worker/opened_model.h"

enum { INPUT_POOL_BATCHES = 64 };

/* Batches of real examples. */
struct input_pool {
    struct feeds batches[INPUT_POOL_BATCHES];
    size_t count;
};

/* Reads the dataset for the inputs of `model`, fills at most INPUT_POOL_BATCHES batches (32 MiB) and lets the
 * dataset go. RC_INPUT: there is no dataset, it does not fit the model, or the model has another fixed batch.
 * Release with input_pool_release, after the runs. */
MUST_USE enum rc input_pool_open(const struct job_model *model, const json_t *dataset, uint64_t memory_bytes,
                                 size_t batch, struct input_pool *ret, struct err *err);
void input_pool_release(struct input_pool *pool); /* a zeroed one is fine */

struct pooled_run {
    struct opened_model model;
    struct onnxruntime_binding *binding;
    const struct input_pool *pool;
    struct feeds feeds; /* the memory that the binding reads */
    size_t next;
    double load_ms; /* of the session */
};

/* Loads the model and runs it once. `pool` is borrowed; `first` is the batch to begin with. Release with
 * pooled_run_close, also after a failure. */
MUST_USE enum rc pooled_run_open(struct onnxruntime *runtime, const struct job_model *model,
                                 const struct onnxruntime_session_opts *opts, const struct input_pool *pool,
                                 size_t first, struct pooled_run *ret, struct err *err);
void pooled_run_close(struct pooled_run *r); /* a zeroed one is fine */

/* Runs on the next batch; *us: wall time of the runtime's call. `user` is a struct pooled_run (the shape of
 * scenario_instance.run). */
MUST_USE enum rc pooled_run_once(void *user, float *us, struct err *err);
/* The same without the runtime's call: what surrounds it (scenario_instance.idle). */
MUST_USE enum rc pooled_run_idle(void *user, float *us, struct err *err);
