/* opened_model.h -- an ONNX model of a job, loaded by the runtime, with its external data, inputs and
 * outputs. */
#pragma once

#include <stdint.h>

#include "core/base/err.h"
#include "core/formats/dtype.h"
#include "profiler/worker/job_spec.h"
#include "runtimes/onnxruntime.h"

struct opened_model {
    struct onnxruntime_session *session;
    const struct tensor_spec *inputs; /* owned by the session */
    size_t n_inputs;
    const struct tensor_spec *outputs;
    size_t n_outputs;
};

/* Loads `model` with its external data. RC_UNSUPPORTED, RC_INPUT, RC_IO as onnxruntime_open. `ret` is
 * released with opened_model_close, before the runtime. */
MUST_USE enum rc opened_model_open(struct onnxruntime *runtime, const struct job_model *model,
                                   const struct onnxruntime_session_opts *opts, struct opened_model *ret,
                                   struct err *err);
void opened_model_close(struct opened_model *m); /* a zeroed one is fine */

/* The number of examples that the model takes at once: 0 = any, else a fixed number (the same for all
 * inputs). */
MUST_USE enum rc opened_model_fixed_batch(const struct opened_model *m, size_t *ret, struct err *err);

/* True when the model's answer for an example depends on the others in the batch: it quantizes activations at
 * run time over the whole tensor (operator DynamicQuantizeLinear). Such a model is judged one example at a
 * time, as it would be served. */
MUST_USE enum rc opened_model_mixes_batch(const struct job_model *model, bool *ret, struct err *err);
