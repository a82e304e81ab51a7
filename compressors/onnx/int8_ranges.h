/* int8_ranges.h -- what calibration saw of the activations of a plan, kept by name, so that the same ranges
 * serve any number of copies of the graph. */
#pragma once

#include "compressors/compressor.h"
#include "compressors/onnx/graph.h"
#include "compressors/onnx/int8_plan.h"
#include "compressors/onnx/range.h"
#include "core/base/err.h"

struct int8_ranges; /* opaque, immutable once made */

/* Runs the calibration examples through job->graph and watches every tensor of the plan. `from` and `to` are
 * the part of the job's progress that this is. Errors as calibration_run. Owned by the caller. */
MUST_USE enum rc int8_ranges_observe(struct compress_job *job, const struct int8_plan *plan, double from,
                                     double to, struct int8_ranges **ret, struct err *err);
void int8_ranges_free(struct int8_ranges *r); /* NULL is fine */

size_t int8_ranges_examples(const struct int8_ranges *r);

/* Bans the values of g whose activations 8 bits cannot hold. */
MUST_USE enum rc int8_ranges_ban(const struct int8_ranges *r, const struct graph *g, struct int8_ban *ban,
                                 struct err *err);

/* How a range becomes 8 bits. */
struct int8_range_opts {
    enum range_type act;
    enum range_method method;
    double percent; /* RANGE_PERCENTILE only */
};

/* params[plan->tensor_count] for a plan of the observed graph or of a copy of it, that holds no other
 * tensors.
 */
MUST_USE enum rc int8_ranges_params(const struct int8_ranges *r, const struct int8_plan *plan,
                                    const struct int8_range_opts *o, struct range_params *params,
                                    struct err *err);
