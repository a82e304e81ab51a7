/* weights.h -- which input of a node is its matrix of weights, for the techniques that change weights. */
#pragma once

#include <stdbool.h>

#include "compressors/onnx/graph.h"

enum weights_kind { WEIGHTS_NONE, WEIGHTS_CONV, WEIGHTS_CONV_TRANSPOSE, WEIGHTS_MATMUL, WEIGHTS_GEMM };

struct weights {
    enum weights_kind kind; /* WEIGHTS_NONE: the node has none, the rest is zero */
    size_t slot;            /* the input it comes in by */
    struct graph_value *value;
    Onnx__TensorProto *tensor; /* constant, of at least two dims */
};

/* The constant floating point weights of a Conv, ConvTranspose, MatMul or Gemm. MatMul: the right operand,
 * the left one where only that is constant. */
struct weights weights_of(const struct graph *g, const struct graph_node *n);

/* True when n is the first (by id) of the nodes that have w as their weights: so that shared weights have one
 * turn. */
bool weights_is_first(const struct graph *g, const struct graph_node *n, const struct weights *w);

/* "Conv", "MatMul" ... for any node that weights_of knows, whether its weights are constant or not; NULL for
 * others. */
const char *weights_op(const struct graph_node *n);
