/* onnxruntime_parts.h -- what onnxruntime.c (environment, sessions) and onnxruntime_run.c (tensors, runs)
 * share. */
#pragma once

#include <onnxruntime_c_api.h>
#include <stdbool.h>

#include "runtimes/onnxruntime.h"

struct onnxruntime {
    const OrtApi *api;
    OrtEnv *env;
    OrtMemoryInfo *memory;   /* ordinary CPU memory */
    OrtAllocator *allocator; /* the runtime's default one, not owned */
    bool shared_pool;
};

struct onnxruntime_session {
    struct onnxruntime *runtime; /* borrowed; outlives the session */
    OrtSession *session;
    struct tensor_spec *inputs, *outputs;
    size_t input_count, output_count;
    const char **input_names, **output_names; /* the names again, as Run wants them */
    bool profiling;
};

/* RC_OK for NULL. Otherwise the status is released, its code translated and its words put into *err. */
MUST_USE enum rc onnxruntime_status(const OrtApi *api, OrtStatus *status, struct err *err);
