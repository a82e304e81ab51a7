/* lowrank_emit.h -- two thin layers in place of a wide one. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "compressors/onnx/graph.h"
#include "compressors/onnx/weight_rows.h"
#include "core/base/err.h"

/* Why the layer cannot become two, or NULL. */
const char *lowrank_emit_obstacle(const struct graph *g, const struct graph_node *n, const struct weights *w);

/* Whether lowrank_emit_pivot takes the layer: a MatMul. */
bool lowrank_emit_can_pivot(const struct weights *w);

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

/* The same with some outputs as sums of the others (pivot_rows.h): x -> MatMul `kept` [.., rank] -> n, now
 * the sums [.., rows - rank]; Concat of both is the output of n, behind a Gather where `order` [rows], the
 * rows of kept and then those of rest, is not NULL. kept [rank, columns], rest [rows - rank, rank]. Raises
 * the operator set to 11. RC_UNSUPPORTED where that cannot be; RC_MEMORY, RC_TOO_LARGE. */
MUST_USE enum rc lowrank_emit_pivot(struct graph *g, struct graph_node *n, const struct weights *w,
                                    const struct weight_rows *shape, size_t rank, const float *kept,
                                    const float *rest, const size_t *order, struct err *err);
