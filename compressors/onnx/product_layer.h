/* product_layer.h -- the weights of a layer as matrices, to go with the rows of layer_rows.h: output o of
 * group g is the sum over k < rows.width of weight(g, o, k) * row[k], plus a bias. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "compressors/onnx/graph.h"
#include "compressors/onnx/layer_rows.h"
#include "compressors/onnx/weights.h"

struct product_layer {
    struct graph_node *node;
    struct weights weights;
    struct layer_rows rows;
    size_t outputs;                              /* of a group */
    size_t group_stride, out_stride, row_stride; /* in elements of the tensor */
    size_t rows_per_channel;                     /* rows of one index of the axis that is summed over */
};

/* Describes a node with constant weights. False with a reason (static) where that is not possible. */
bool product_layer_of(const struct graph *g, struct graph_node *n, struct product_layer *ret,
                      const char **why);

/* Where weight(g, o, k) lies in the tensor. */
static inline size_t product_layer_at(const struct product_layer *l, size_t group, size_t out, size_t row) {
    return group * l->group_stride + out * l->out_stride + row * l->row_stride;
}
