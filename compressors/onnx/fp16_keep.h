/* fp16_keep.h -- which nodes must go on computing in float32. */
#pragma once

#include "compressors/onnx/graph.h"

/* Why node n must stay in float32, or NULL when float16 is fine. Types must have been inferred
 * (graph_infer_types).
 *  - operators that ONNX does not define for float16, or whose subgraphs, random numbers or scales are
 * float32;
 *  - operators of other domains, which may be defined for float32 only;
 *  - squares, sums of squares, exponentials and logarithms and what lies between a mean of squares and its
 * square root: float16 ends at 65,504, and small epsilons vanish in it (the usual keep list of mixed
 * precision, Micikevicius et al. 2018). */
const char *fp16_keep_reason(const struct graph *g, const struct graph_node *n);

/* How a constant survives the conversion. */
enum fp16_fit {
    FP16_FITS,      /* every value is representable but for rounding */
    FP16_SATURATES, /* only stand-ins for infinity (magnitude over 1e30) are too large: they become 65,504 */
    FP16_TOO_LARGE, /* a finite value over 65,504 */
    FP16_TOO_SMALL, /* one value, not 0, below float16's normal numbers (6.1e-5): an epsilon */
};
enum fp16_fit fp16_fit_of(const float *values, size_t count);
