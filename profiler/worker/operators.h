/* operators.h -- where the time of an ONNX configuration goes: by the runtime's own profile of every
 * operator, beside the multiplications and bytes that each needs. */
#pragma once

#include <jansson.h>

#include "core/base/err.h"
#include "core/formats/onnx_weights.h"
#include "profiler/worker/worker_job.h"
#include "runtimes/onnxruntime.h"
#include "runtimes/onnxruntime_profile.h"

struct operators_opts {
    const struct job_model *model;
    const struct onnxruntime_tensor *inputs; /* of one batch; borrowed */
    uint32_t threads, batch;
};

/* Runs the model some times in a session of its own, which profiles, in the working directory, and gives the
 * object "operators" of docs/protocol.md. Whatever goes wrong is a reason in that object ("available": false)
 * and no failure: all else about the configuration is measured. The caller owns the reference; NULL when out
 * of memory. */
json_t *operators_measure(struct onnxruntime *runtime, const struct operators_opts *opts);

/* {"available": false, "reason": text} */
json_t *operators_unavailable(const char *reason);

/* The same from a profile that was read; `weights` may be NULL. For tests. */
json_t *operators_json(const struct onnxruntime_profile *profile, const struct onnx_weights *weights,
                       const struct operators_opts *opts);
