/* lowrank_emit.h -- two thin layers in place of a wide one. */
#pragma once

#include <stddef.h>

#include "compressors/onnx/graph.h"
#include "compressors/onnx/weight_rows.h"
#include "core/base/err.h"

/* Why the layer cannot become two, or NULL. */
const char *lowrank_emit_obstacle(const struct graph *g, const struct graph_node *n, const struct weights *w);

/* Puts a layer with weights `narrow` before n, and gives n the weights `wide`, so that n computes wide narrow
 * x where it computed W x; what else n does (bias, alpha) stays with it.
 *
 *   MatMul, Gemm  x [.., columns] -> MatMul [.., rank] -> n [.., rows]
 *   Conv          the kernel of n with its strides and padding to groups * rank channels -> n, now 1 by 1
 *                 (the channel decomposition of Zhang et al. 2015)
 *
 * shape: of the layer as it was, its columns as stored. narrow [groups, rank, columns], wide [groups, rows,
 * rank]. RC_MEMORY, RC_TOO_LARGE. */
MUST_USE enum rc lowrank_emit(struct graph *g, struct graph_node *n, const struct weights *w,
                              const struct weight_rows *shape, size_t rank, const float *narrow,
                              const float *wide, struct err *err);
