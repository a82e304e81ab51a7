/* int8_smooth.h -- moves the outliers of activations into weights before both are quantized (SmoothQuant:
 * Xiao et al. 2023, equations 3 and 4; for gates it is the cross-layer equalization of Nagel et al. 2019).
 *
 * A product x W stays the same when channel j of x is divided by s_j and row j of W multiplied by it. The
 * division costs nothing where the operator before has constants for each channel: the weights of a norm, or
 * of the product that feeds a gate. */
#pragma once

#include "compressors/onnx/calibration.h"
#include "compressors/onnx/graph.h"
#include "compressors/onnx/int8_plan.h"
#include "core/base/err.h"

/* True when the channels of this tensor of the plan can be rescaled: then its largest values by channel are
 * wanted. */
bool int8_smooth_applies(const struct graph *g, const struct int8_plan *plan, size_t tensor);

/* How far outliers move: 0 makes all rows of weights equally large, 1 all channels of the activation. */
struct int8_smoothing {
    bool search; /* for each activation the strength of least expected error; `strength` is then not used */
    double strength;
    double from, to; /* the part of the job's progress that this is */
};

/* Observes the channels of a few calibration examples and rescales every tensor of the plan that can be. The
 * graph computes what it did before, up to rounding; constants get new initializers; types are inferred
 * again. *count: tensors rescaled; `each` (may be NULL) is told of every one. Nothing is run where there are
 * none. Errors as calibration_run. */
MUST_USE enum rc int8_smooth(struct compress_job *job, const struct int8_plan *plan,
                             const struct int8_smoothing *how, struct record *each, size_t *count,
                             struct err *err);
