/* onnxruntime_profile.h -- the file that ONNX Runtime writes when a session profiles (onnxruntime_open with
 * profile_prefix): time and shapes of every operator, summed by node. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "core/base/err.h"
#include "core/formats/dtype.h"

/* One node of the graph as the runtime runs it, after its own optimisations. */
struct onnxruntime_operator {
    const char *node, *op; /* "/1/a/a.0/Conv", "QLinearConv"; they belong to the profile */
    double us;             /* a run: the median, with what profiling adds (a few microseconds a call) */
    double calls;          /* a run */
    enum dtype dtype;      /* of its first output */
    double first_input, first_output; /* elements, in its last call; 0 where not shown */
    double last_dim;                  /* of the first output; 1 for a scalar */
    double activation_bytes;          /* a run: inputs that are no weights, and outputs */
};

struct onnxruntime_profile {
    struct onnxruntime_operator *operators; /* in the order of their first call */
    size_t count;
    uint64_t runs; /* that were counted */
    double run_us; /* their median, with what profiling adds */
};

enum { ONNXRUNTIME_PROFILE_BYTES = 64 << 20 };

/* Reads a profile of at most ONNXRUNTIME_PROFILE_BYTES, without its first `skip` runs. RC_INPUT: not such a
 * file, or a name of a node that the runtime wrote without escaping it; RC_SAMPLE: no run is left;
 * RC_TOO_LARGE; RC_IO. Release with onnxruntime_profile_release. */
MUST_USE enum rc onnxruntime_profile_read(const char *path, uint64_t skip, struct onnxruntime_profile *ret,
                                          struct err *err);
/* The same from memory; `text` is borrowed. */
MUST_USE enum rc onnxruntime_profile_parse(const char *text, size_t size, uint64_t skip,
                                           struct onnxruntime_profile *ret, struct err *err);
void onnxruntime_profile_release(struct onnxruntime_profile *p);
