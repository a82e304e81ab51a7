/* int8_emit.h -- writes a plan into the graph as pairs of QuantizeLinear and DequantizeLinear ("QDQ"), which
 * the runtime fuses with the operators between them into 8-bit kernels. */
#pragma once

#include "compressors/onnx/graph.h"
#include "compressors/onnx/int8_plan.h"
#include "compressors/onnx/int8_weights.h" /* enum int8_scales */
#include "compressors/onnx/range.h"
#include "core/base/err.h"
#include "core/recipes/record.h"

struct int8_emit_opts {
    enum range_type act;               /* type of activations */
    enum int8_scales weights;          /* scales of weights */
    const struct range_params *params; /* [plan->tensor_count] */
};

/* Edits g as the plan says. Needs opset 13 (per-channel DequantizeLinear): raises it. Each changed tensor is
 * recorded. */
MUST_USE enum rc int8_emit(struct graph *g, const struct int8_plan *plan, const struct int8_emit_opts *opts,
                           struct record *record, struct err *err);
