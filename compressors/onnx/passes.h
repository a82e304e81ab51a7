/* passes.h -- rewrites that keep what the model computes, used by techniques before and after their own work.
 * Each counts what it did in *count (may be NULL). All keep the names of the graph's inputs and outputs. */
#pragma once

#include <stddef.h>

#include "compressors/onnx/graph.h"

/* Constant nodes become initializers; Identity, Transpose, Reshape, Squeeze, Unsqueeze and Flatten of a
 * constant are computed, unless the constant has more than 1 KiB and other readers, so that it would stay
 * beside the result. */
MUST_USE enum rc pass_fold_constants(struct graph *g, size_t *count, struct err *err);

/* Conv followed only by BatchNormalization (inference) becomes one Conv: W' = W * s, B' = (B - mean) * s +
 * beta with s = gamma / sqrt(variance + epsilon) for each output channel (Jacob et al. 2018, section 3.2),
 * computed in double. The folded weights are new initializers, so shared ones are safe. */
MUST_USE enum rc pass_fold_batchnorm(struct graph *g, size_t *count, struct err *err);

/* Initializers with equal type, shape and bytes become one (the first). */
MUST_USE enum rc pass_dedup_initializers(struct graph *g, size_t *count, struct err *err);

/* Removes nodes none of whose outputs is read, initializers that nothing reads, and declarations of values
 * that are gone. */
MUST_USE enum rc pass_remove_dead(struct graph *g, size_t *count, struct err *err);
